//! The door of Stripe payments: an order's system asks for the payment of an order, in JSON:API as Commerce Layer serves it.
//!
//! The resource is a payment that belongs to an order, at whichever door it was begun. What it costs is what the order says.

mod attributes;
mod error;
mod history;
mod openapi;
mod query;
mod request;
mod response;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::response::Response;
use http::StatusCode;
use http::header::LOCATION;
use serde_json::Value;

use crate::http::json_api::{Document, Related, error::written};
use crate::http::routes::Routes;
use crate::store::Scope;
use crate::use_cases::{App, AppError, PaymentSource, Removal};
use error::Refusal;
use history::Kind;
use query::Page;
use request::{Asked, Call};
use response::Shown;

/// The door's name in events.
const NAME: &str = "stripe_payments";
const PATH: &str = "/api/stripe_payments";
const ORDERS: &str = "/api/orders";
const GATEWAYS: &str = "/api/stripe_gateways";

/// A path's id; none where it is not even text.
type Id = Result<Path<String>, PathRejection>;

/// `/api/stripe_payments` with all that hangs on it, and whatever its links lead to.
pub fn routes() -> Routes<App> {
    let mut routes = Routes::new(NAME)
        .get(PATH, list)
        .post(PATH, create)
        .get(&format!("{PATH}/{{id}}"), retrieve)
        .patch(&format!("{PATH}/{{id}}"), change)
        .delete(&format!("{PATH}/{{id}}"), remove)
        .get(&format!("{PATH}/{{id}}/order"), order_of)
        .get(&format!("{PATH}/{{id}}/payment_gateway"), gateway_of)
        .get(&format!("{ORDERS}/{{id}}"), order)
        .get(&format!("{GATEWAYS}/{{id}}"), gateway);
    for name in ["order", "payment_gateway", "versions", "event_stores"] {
        let path = format!("{PATH}/{{id}}/relationships/{name}");
        let serve = move |State(app): State<App>, id: Id, request: Request| async move {
            linkage(&app, name, id, request).await
        };
        routes = routes
            .get(&path, serve)
            .post(&path, no_linkage)
            .patch(&path, no_linkage)
            .delete(&path, no_linkage);
    }
    for kind in [Kind::Versions, Kind::EventStores] {
        let many = move |State(app): State<App>, id: Id, request: Request| async move {
            history_of(&app, kind, id, request).await
        };
        let one = move |State(app): State<App>, id: Id, request: Request| async move {
            change_of(&app, kind, id, request).await
        };
        routes = routes
            .get(&format!("{PATH}/{{id}}/{}", kind.name()), many)
            .get(&format!("/api/{}/{{id}}", kind.name()), one);
    }
    let mut routes = routes
        .described_by(openapi::fragment)
        .wrong_method(wrong_method)
        .nothing_at(&format!("{PATH}/{{id}}/{{other}}"), nothing_here);
    for path in [
        &format!("{PATH}/{{id}}"),
        ORDERS,
        GATEWAYS,
        "/api/versions",
        "/api/event_stores",
    ] {
        routes = routes.nothing_at(&format!("{path}/{{other}}/{{*rest}}"), nothing_here);
    }
    routes
}

async fn list(State(app): State<App>, request: Request) -> Response {
    let call = Call::begin(&app, &request);
    let answer = async {
        let (asked, _) = Asked::read(&app, request, Scope::PaymentsRead).await?;
        let wanted = query::wanted(&asked.query)?;
        let page = app.payment_sources(&asked.caller, &wanted).await?;
        let shown = Shown::new(&call, &asked);
        let mut resources = Vec::with_capacity(page.sources.len());
        let mut document = Document::default();
        for source in &page.sources {
            let include = self::response::include(&app, &asked, &shown, source).await?;
            resources.push(shown.payment(source, &include.linkage));
            document.included.extend(include.resources);
        }
        let paging = Page::of(&wanted, page.total);
        document.links = paging.links(&format!("{}{PATH}", call.base), &asked.query);
        document.meta = paging.meta(&call);
        Ok(written(
            StatusCode::OK,
            &document.many(&resources, &asked.query.fields),
        ))
    };
    call.answer(answer.await)
}

async fn create(State(app): State<App>, request: Request) -> Response {
    let call = Call::begin(&app, &request);
    let answer = async {
        let (asked, body) = Asked::read(&app, request, Scope::PaymentsWrite).await?;
        asked.query.only_of_one()?;
        let (wanted, key) = request::create(&app, &asked, &body)?;
        let made = app.create_payment_source(&asked.caller, NAME, wanted, key);
        let source = made.await?;
        let document = one(&app, &call, &asked, &source).await?;
        let mut answer = written(StatusCode::CREATED, &document);
        if let Ok(location) = response::self_of(&call, &source).parse() {
            answer.headers_mut().insert(LOCATION, location);
        }
        Ok(answer)
    };
    call.answer(answer.await)
}

async fn retrieve(State(app): State<App>, id: Id, request: Request) -> Response {
    let call = Call::begin(&app, &request);
    let answer = async {
        let (asked, _) = Asked::read(&app, request, Scope::PaymentsRead).await?;
        asked.query.only_of_one()?;
        let source = app.payment_source(&asked.caller, NAME, &named(id)?).await?;
        let document = one(&app, &call, &asked, &source).await?;
        Ok(written(StatusCode::OK, &document))
    };
    call.answer(answer.await)
}

async fn change(State(app): State<App>, id: Id, request: Request) -> Response {
    let call = Call::begin(&app, &request);
    let answer = async {
        let (asked, body) = Asked::read(&app, request, Scope::PaymentsWrite).await?;
        asked.query.only_of_one()?;
        let id = named(id)?;
        // What is not there is told before what is wrong with the request.
        let known = app.known_payment_source(&asked.caller, &id).await?;
        let (wanted, key) = request::change(&app, &asked, &id, &known, &body)?;
        let changed = app.change_payment_source(&asked.caller, NAME, &id, wanted, key);
        let document = one(&app, &call, &asked, &changed.await?).await?;
        Ok(written(StatusCode::OK, &document))
    };
    call.answer(answer.await)
}

async fn remove(State(app): State<App>, id: Id, request: Request) -> Response {
    let call = Call::begin(&app, &request);
    let answer = async {
        let (asked, _) = Asked::read(&app, request, Scope::PaymentsWrite).await?;
        asked.query.nothing()?;
        let id = named(id)?;
        let key = asked.idempotency(&app, &["delete", &id])?;
        match app
            .remove_payment_source(&asked.caller, NAME, &id, key)
            .await?
        {
            Removal::Removed => Ok(call.no_content()),
            Removal::Locked => Err(Refusal::locked()),
        }
    };
    call.answer(answer.await)
}

async fn order_of(State(app): State<App>, id: Id, request: Request) -> Response {
    let call = Call::begin(&app, &request);
    let answer = async {
        let (asked, _) = Asked::read(&app, request, Scope::PaymentsRead).await?;
        asked.query.fields_only()?;
        let source = app.known_payment_source(&asked.caller, &named(id)?).await?;
        let order = source.order.short_id(source.order_id);
        let order = app.order_view(&asked.caller, &order).await?;
        let resource = Shown::new(&call, &asked).order(&order);
        let document = Document::default().one(Some(&resource), &asked.query.fields);
        Ok(written(StatusCode::OK, &document))
    };
    call.answer(answer.await)
}

async fn order(State(app): State<App>, id: Id, request: Request) -> Response {
    let call = Call::begin(&app, &request);
    let answer = async {
        let (asked, _) = Asked::read(&app, request, Scope::PaymentsRead).await?;
        asked.query.fields_only()?;
        let order = app.order_view(&asked.caller, &named(id)?).await?;
        let resource = Shown::new(&call, &asked).order(&order);
        let document = Document::default().one(Some(&resource), &asked.query.fields);
        Ok(written(StatusCode::OK, &document))
    };
    call.answer(answer.await)
}

async fn gateway_of(State(app): State<App>, id: Id, request: Request) -> Response {
    let call = Call::begin(&app, &request);
    let answer = async {
        let (asked, _) = Asked::read(&app, request, Scope::PaymentsRead).await?;
        asked.query.fields_only()?;
        app.known_payment_source(&asked.caller, &named(id)?).await?;
        let resource = Shown::new(&call, &asked).gateway();
        let document = Document::default().one(Some(&resource), &asked.query.fields);
        Ok(written(StatusCode::OK, &document))
    };
    call.answer(answer.await)
}

async fn gateway(State(app): State<App>, id: Id, request: Request) -> Response {
    let call = Call::begin(&app, &request);
    let answer = async {
        let (asked, _) = Asked::read(&app, request, Scope::PaymentsRead).await?;
        asked.query.fields_only()?;
        let resource = Shown::new(&call, &asked).gateway();
        if named(id)? != resource.identifier.id {
            return Err(Refusal::not_found());
        }
        let document = Document::default().one(Some(&resource), &asked.query.fields);
        Ok(written(StatusCode::OK, &document))
    };
    call.answer(answer.await)
}

async fn history_of(app: &App, kind: Kind, id: Id, request: Request) -> Response {
    let call = Call::begin(app, &request);
    let answer = async {
        let (asked, _) = Asked::read(app, request, Scope::PaymentsRead).await?;
        let id = named(id)?;
        let changes = app.payment_source_history(&asked.caller, &id).await?;
        let shown = Shown::new(&call, &asked);
        let all = history::resources(&shown, kind, &id, &changes);
        let document = history::page(&call, &asked, kind, &id, all)?;
        Ok(written(StatusCode::OK, &document))
    };
    call.answer(answer.await)
}

/// One change: its id is the payment's with its place in the history.
async fn change_of(app: &App, kind: Kind, id: Id, request: Request) -> Response {
    let call = Call::begin(app, &request);
    let answer = async {
        let (asked, _) = Asked::read(app, request, Scope::PaymentsRead).await?;
        asked.query.fields_only()?;
        let id = named(id)?;
        let (payment, _) = id.rsplit_once('-').ok_or_else(Refusal::not_found)?;
        let changes = app.payment_source_history(&asked.caller, payment).await?;
        let shown = Shown::new(&call, &asked);
        let all = history::resources(&shown, kind, payment, &changes);
        let found = all.iter().find(|it| it.identifier.id == id);
        let found = found.ok_or_else(Refusal::not_found)?;
        let document = Document::default().one(Some(found), &asked.query.fields);
        Ok(written(StatusCode::OK, &document))
    };
    call.answer(answer.await)
}

async fn linkage(app: &App, name: &'static str, id: Id, request: Request) -> Response {
    let call = Call::begin(app, &request);
    let answer = async {
        let (asked, _) = Asked::read(app, request, Scope::PaymentsRead).await?;
        asked.query.nothing()?;
        let id = named(id)?;
        let source = app.known_payment_source(&asked.caller, &id).await?;
        let shown = Shown::new(&call, &asked);
        let related = match name {
            "order" => Related::One(Some(shown.order_of(&source))),
            "payment_gateway" => Related::One(Some(shown.gateway().identifier)),
            _ => {
                let changes = app.payment_source_history(&asked.caller, &id).await?;
                let kind = Kind::named(name);
                let all = history::resources(&shown, kind, &id, &changes);
                Related::Many(all.into_iter().map(|it| it.identifier).collect())
            }
        };
        let own = response::self_of(&call, &source);
        let mut document = Document::default();
        for (link, address) in [
            ("self", format!("{own}/relationships/{name}")),
            ("related", format!("{own}/{name}")),
        ] {
            document.links.insert(link.to_owned(), address.into());
        }
        document.meta = call.meta_of(&asked);
        Ok(written(StatusCode::OK, &document.linkage(&related)))
    };
    call.answer(answer.await)
}

/// A payment stays its order's.
async fn no_linkage(State(app): State<App>, id: Id, request: Request) -> Response {
    let call = Call::begin(&app, &request);
    let answer = async {
        let (asked, _) = Asked::read(&app, request, Scope::PaymentsWrite).await?;
        app.known_payment_source(&asked.caller, &named(id)?).await?;
        Err(Refusal::fixed_relationship("/data"))
    };
    call.answer(answer.await)
}

async fn wrong_method(State(app): State<App>, request: Request) -> Response {
    Call::begin(&app, &request).answer(Err(Refusal::wrong_method()))
}

async fn nothing_here(State(app): State<App>, request: Request) -> Response {
    Call::begin(&app, &request).answer(Err(Refusal::not_found()))
}

/// The document about a payment, with what is to be included.
async fn one(
    app: &App,
    call: &Call,
    asked: &Asked,
    source: &PaymentSource,
) -> Result<Value, Refusal> {
    let shown = Shown::new(call, asked);
    let include = response::include(app, asked, &shown, source).await?;
    let resource = shown.payment(source, &include.linkage);
    let document = Document {
        included: include.resources,
        ..Document::default()
    };
    Ok(document.one(Some(&resource), &asked.query.fields))
}

fn named(id: Id) -> Result<String, AppError> {
    let unknown = || AppError::NotFound {
        what: "payment source",
        id: String::new(),
    };
    // What no id of ours could be is not looked for.
    let plain = |it: u8| it.is_ascii_alphanumeric() || it == b'_' || it == b'-';
    let Path(id) = id.map_err(|_| unknown())?;
    if (1..=80).contains(&id.len()) && id.bytes().all(plain) {
        Ok(id)
    } else {
        Err(unknown())
    }
}

/// Reads a query, a body, and what they ask for as far as no store is asked: for fuzzers.
pub(crate) fn parse(bytes: &[u8]) {
    request::parse(bytes);
    let text = String::from_utf8_lossy(bytes);
    if let Ok(parsed) = query::Parsed::read(Some(&text)) {
        let _ = parsed.only_of_one();
        if let Ok(wanted) = query::wanted(&parsed) {
            let _ = Page::of(&wanted, 1_000).links(PATH, &parsed);
        }
    }
}
