//! The native API, `/ledger/v1`: what a merchant makes, changes and reads of its own, in the words of the domain.
//!
//! Wire to use case and back, like a door. A request is read in [`call`] (whose it is, what it may do) and [`fields`]
//! (strictly: every fault is told at once, with its place); errors are RFC 9457 problems ([`error`]).

mod accept;
mod articles;
mod bank;
mod books;
mod call;
mod chart;
mod cursor;
mod error;
mod events;
mod exports;
mod fields;
mod figures;
mod keys;
mod merchants;
mod offers;
mod openapi;
mod orders;
mod parked;
mod payments;
mod query;
mod rebuilds;
mod reconciliations;
mod replay;
mod shapes;

use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};

use crate::http::RequestId;
use crate::http::problem::Problem;
use crate::http::routes::Routes;
use crate::use_cases::App;

/// The name in events of what is done here, and the scope of its idempotency keys.
const NAME: &str = "native";

/// Everything under `/ledger/v1`; what is not there is a 404 in its form.
pub fn routes() -> Routes<App> {
    register(Routes::new(NAME))
        .merge(catalogue(Routes::new(NAME)))
        .merge(bookkeeping(Routes::new(NAME)))
        .merge(reconciling(Routes::new(NAME)))
        .merge(exporting(Routes::new(NAME)))
        .get("/ledger/v1/orders", orders::list)
        .post("/ledger/v1/orders", orders::place)
        .get("/ledger/v1/orders/{id}", orders::get)
        .post("/ledger/v1/orders/{id}/reprice", orders::reprice)
        .post("/ledger/v1/orders/{id}/cancel", orders::cancel)
        .get("/ledger/v1/orders/{id}/events", orders::life)
        .get("/ledger/v1/payments", payments::list)
        .get("/ledger/v1/payments/{id}", payments::get)
        .get("/ledger/v1/payments/{id}/events", payments::life)
        .get("/ledger/v1/orders/{id}/explain", figures::of_order)
        .get("/ledger/v1/payments/{id}/explain", figures::of_payment)
        .get("/ledger/v1/parked", parked::list)
        .get("/ledger/v1/parked/{id}", parked::get)
        .post("/ledger/v1/parked/{id}/settle", parked::settle)
        .post("/ledger/v1/parked/{id}/approve", parked::approve)
        .get("/ledger/v1/rebuilds", rebuilds::list)
        .post("/ledger/v1/rebuilds", rebuilds::start)
        .get("/ledger/v1/rebuilds/{id}", rebuilds::get)
        .get("/ledger/v1/replay", replay::as_of)
        .get("/ledger/v1/events", events::feed)
        .wrong_method(wrong_method)
        .described_by(openapi::fragment)
        .nothing_at("/ledger/v1/{*rest}", nothing)
        .around(|router| router.layer(from_fn(with_instance)))
}

/// Merchants, keys, customers' tokens.
fn register(routes: Routes<App>) -> Routes<App> {
    routes
        .get("/ledger/v1/merchants", merchants::own)
        .post("/ledger/v1/merchants", merchants::create)
        .patch("/ledger/v1/merchants", merchants::update)
        .get("/ledger/v1/keys", keys::list)
        .post("/ledger/v1/keys", keys::create)
        .get("/ledger/v1/keys/{id}", keys::get)
        .delete("/ledger/v1/keys/{id}", keys::revoke)
        .post("/ledger/v1/keys/{id}/roll", keys::roll)
        .get("/ledger/v1/customers/tokens", keys::list_tokens)
        .post("/ledger/v1/customers/tokens", keys::create_token)
        .delete("/ledger/v1/customers/tokens/{id}", keys::revoke_token)
}

/// The books, and what the bank says.
fn bookkeeping(routes: Routes<App>) -> Routes<App> {
    routes
        .get("/ledger/v1/accounts", books::accounts)
        .get("/ledger/v1/accounts/{id}/statement", books::statement)
        .get("/ledger/v1/entries", books::entries)
        .get("/ledger/v1/balances", books::balances)
        .get("/ledger/v1/trial-balance", books::trial_balance)
        .get("/ledger/v1/explain", books::explain)
        .get("/ledger/v1/closings", books::closings)
        .get("/ledger/v1/periods/{month}", books::period)
        .post("/ledger/v1/periods/{month}/close", books::close)
        .post("/ledger/v1/bank-statements", bank::import)
        .get("/ledger/v1/bank-lines", bank::list)
        .get("/ledger/v1/bank-lines/{id}", bank::get)
        .post("/ledger/v1/bank-lines/{id}/match", bank::bind)
        .post("/ledger/v1/bank-lines/{id}/unmatch", bank::part)
}

/// Runs of reconciliations, and their breaks.
fn reconciling(routes: Routes<App>) -> Routes<App> {
    routes
        .get("/ledger/v1/reconciliations", reconciliations::list)
        .post("/ledger/v1/reconciliations", reconciliations::open)
        .get("/ledger/v1/reconciliations/{id}", reconciliations::get)
        .get(
            "/ledger/v1/reconciliations/{id}/repeat",
            reconciliations::repeat,
        )
        .get(
            "/ledger/v1/reconciliation_breaks",
            reconciliations::list_breaks,
        )
        .get(
            "/ledger/v1/reconciliation_breaks/{id}",
            reconciliations::get_break,
        )
        .post(
            "/ledger/v1/reconciliation_breaks/{id}/assign",
            reconciliations::assign,
        )
        .post(
            "/ledger/v1/reconciliation_breaks/{id}/resolve",
            reconciliations::resolve,
        )
        .post(
            "/ledger/v1/reconciliation_breaks/{id}/approve",
            reconciliations::approve,
        )
        .post(
            "/ledger/v1/reconciliation_breaks/{id}/refuse",
            reconciliations::refuse,
        )
}

/// What is taken away as a file, and under which names.
fn exporting(routes: Routes<App>) -> Routes<App> {
    routes
        .get("/ledger/v1/exports/journal", exports::journal)
        .get("/ledger/v1/exports/balances", exports::balances)
        .get("/ledger/v1/exports/events", exports::events)
        .get(
            "/ledger/v1/exports/reconciliations/{id}",
            exports::reconciliation,
        )
        .get("/ledger/v1/chart", chart::get)
        .post("/ledger/v1/chart/{id}", chart::map)
        .delete("/ledger/v1/chart/{id}", chart::unmap)
}

/// Offers and articles.
fn catalogue(routes: Routes<App>) -> Routes<App> {
    routes
        .get("/ledger/v1/offers", offers::list)
        .post("/ledger/v1/offers", offers::publish)
        .get("/ledger/v1/offers/{number}", offers::get)
        .get("/ledger/v1/offers/{number}/prices", offers::prices)
        .post("/ledger/v1/offers/{number}/reprice", offers::reprice)
        .post("/ledger/v1/offers/{number}/select", offers::select)
        .post("/ledger/v1/offers/{number}/withdraw", offers::withdraw)
        .get("/ledger/v1/articles", articles::list)
        .post("/ledger/v1/articles", articles::publish)
        .get("/ledger/v1/articles/{company}/{number}", articles::get)
        .get(
            "/ledger/v1/articles/{company}/{number}/prices",
            articles::prices,
        )
        .post(
            "/ledger/v1/articles/{company}/{number}/reprice",
            articles::reprice,
        )
}

/// Tells the request's id in every problem, and lets nobody keep an answer.
async fn with_instance(id: RequestId, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        let told = Problem {
            instance: Some(id.as_str().to_owned()),
            ..problem
        };
        let (_, body) = told.into_response().into_parts();
        let (mut parts, _) = response.into_parts();
        parts.headers.remove(CONTENT_LENGTH);
        response = Response::from_parts(parts, body);
    }
    let unauthenticated = response.status() == StatusCode::UNAUTHORIZED;
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if unauthenticated {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

/// The answer to a method that the path does not take; axum adds `Allow`.
async fn wrong_method() -> Problem {
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        "This path does not take this method.",
    )
}

async fn nothing() -> Problem {
    Problem::no_such_route()
}

/// Reads a query, a cursor, headers and a body: for fuzzers.
pub(crate) fn parse(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let _ = cursor::read("orders", &text);
    if let Ok(mut query) = query::Query::of(&text) {
        let _ = query.limit();
        let _ = query.moment("created_from");
        let _ = query.after::<String>("orders");
        let _ = events::position(&mut query);
        exports::parse(&mut query);
        let _ = replay::projections(&mut query);
        let _ = query.end();
    }
    if let Ok(value) = HeaderValue::from_bytes(bytes) {
        let headers = |name| http::HeaderMap::from_iter([(name, value.clone())]);
        let _ = accept::preferred(
            &headers(http::header::ACCEPT),
            &["application/json", "text/event-stream"],
        );
        let _ = events::last_event_id(&headers(http::HeaderName::from_static("last-event-id")));
    }
    if let Ok(body) = crate::http::body::json(bytes) {
        orders::parse(&body);
    }
}
