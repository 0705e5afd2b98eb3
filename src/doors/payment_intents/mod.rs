//! The door of payment intents: create, read, update, confirm, capture, cancel, refund.
//!
//! One path, two renderings; `call` chooses. WooshPay's is here (JSON in and out, times in milliseconds, the currency as it
//! was sent); Stripe's own, with everything else that its clients know under `/v1`, is in [`stripe_shapes`].

mod call;
mod card;
mod error;
mod form;
mod openapi;
mod params;
mod request;
mod response;
mod stripe_shapes;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::middleware::from_fn;
use axum::response::Response;
use http::{HeaderMap, Uri};

use crate::http::cors;
use crate::http::routes::Routes;
use crate::store::Caller;
use crate::use_cases::{App, AppError, PaymentStep};
use call::{Call, Look, Rendering};
use error::StripeError;
use params::Params;
use stripe_shapes::intents::Step;

/// The door's name in events, and the scope of its idempotency keys.
const NAME: &str = "payment_intents";

type Id = Result<Path<String>, PathRejection>;
type Answer = Result<Response, StripeError>;

/// `/v1` in both renderings; whatever else is under it is a 404 in this door's form.
pub fn routes() -> Routes<App> {
    Routes::new(NAME)
        .get("/v1/payment_intents", stripe_shapes::read)
        .post("/v1/payment_intents", create)
        .get("/v1/payment_intents/{id}", retrieve)
        .post("/v1/payment_intents/{id}", update)
        .post("/v1/payment_intents/{id}/confirm", confirm)
        .post("/v1/payment_intents/{id}/capture", capture)
        .post("/v1/payment_intents/{id}/cancel", cancel)
        .get("/v1/refunds", stripe_shapes::read)
        .post("/v1/refunds", refund)
        .get("/v1/refunds/{id}", retrieve_refund)
        .post("/v1/refunds/{id}", stripe_shapes::change)
        .merge(stripe_shapes::routes())
        .wrong_method(|| async { StripeError::method_not_allowed() })
        .described_by(openapi::fragment)
        .nothing_at("/v1/{*rest}", || async { StripeError::no_such_path() })
        .around(|router| {
            router
                .layer(from_fn(call::with_stripes_headers))
                .layer(from_fn(|request, next| {
                    cors::readable(is_one_intent, request, next)
                }))
        })
}

/// What a customer's browser may read with a publishable key and the intent's own secret.
fn is_one_intent(path: &str) -> bool {
    let id = path.strip_prefix("/v1/payment_intents/");
    id.is_some_and(|id| !id.is_empty() && !id.contains('/'))
}

async fn create(State(app): State<App>, request: Request) -> Answer {
    let call = Call::to_write(&app, request).await?;
    if call.rendering == Rendering::Stripe {
        return stripe_shapes::intents::create(&app, call).await;
    }
    let payment = request::create(&call.params())?;
    response::payment(
        &app.create_payment(&call.caller, NAME, payment, call.key)
            .await?,
    )
}

async fn retrieve(state: State<App>, id: Id, headers: HeaderMap, uri: Uri) -> Answer {
    let State(app) = &state;
    let id = named("payment_intent", id)?;
    if let Some(answer) = stripe_shapes::from_browser(app, &id, &headers, &uri).await? {
        return Ok(answer);
    }
    let look = Look::to_read(app, &headers, &uri).await?;
    if look.rendering == Rendering::Stripe {
        return stripe_shapes::read(state, headers, uri).await;
    }
    look.without_query()?;
    response::payment(&app.payment(&look.caller, NAME, id).await?)
}

async fn update(State(app): State<App>, id: Id, request: Request) -> Answer {
    step(&app, id, request, Step::Update, request::update).await
}

async fn confirm(State(app): State<App>, id: Id, request: Request) -> Answer {
    step(&app, id, request, Step::Confirm, request::confirm).await
}

async fn capture(State(app): State<App>, id: Id, request: Request) -> Answer {
    step(&app, id, request, Step::Capture, request::capture).await
}

async fn cancel(State(app): State<App>, id: Id, request: Request) -> Answer {
    step(&app, id, request, Step::Cancel, request::cancel).await
}

async fn refund(State(app): State<App>, request: Request) -> Answer {
    let call = Call::to_write(&app, request).await?;
    if call.rendering == Rendering::Stripe {
        return stripe_shapes::intents::refund(&app, call).await;
    }
    let (intent, refund) = request::refund(&call.params())?;
    match app.refund(&call.caller, NAME, refund, call.key).await {
        Ok(answer) => response::refund(&answer),
        Err(error) => Err(with_intent(&app, &call.caller, intent, error).await),
    }
}

async fn retrieve_refund(state: State<App>, id: Id, headers: HeaderMap, uri: Uri) -> Answer {
    let State(app) = &state;
    let look = Look::to_read(app, &headers, &uri).await?;
    if look.rendering == Rendering::Stripe {
        return stripe_shapes::read(state, headers, uri).await;
    }
    look.without_query()?;
    response::refund(
        &app.refund_by_id(&look.caller, NAME, named("refund", id)?)
            .await?,
    )
}

/// One more step of the intent that the path names.
async fn step(
    app: &App,
    id: Id,
    request: Request,
    step: Step,
    read: fn(&Params<'_>) -> Result<PaymentStep, StripeError>,
) -> Answer {
    let call = Call::to_write(app, request).await?;
    let intent = named("payment_intent", id)?;
    if call.rendering == Rendering::Stripe {
        return stripe_shapes::intents::step(app, call, intent, step).await;
    }
    let step = read(&call.params())?;
    match app
        .step(&call.caller, NAME, intent.clone(), step, call.key)
        .await
    {
        Ok(answer) => response::payment(&answer),
        Err(error) => Err(with_intent(app, &call.caller, intent, error).await),
    }
}

/// The id in the path. One that cannot be any of Stripe's names nothing, and is looked for nowhere.
fn named(what: &'static str, id: Id) -> Result<String, StripeError> {
    let id = id.map_or_else(|_| String::new(), |Path(id)| id);
    if request::is_plain_id(&id) {
        Ok(id)
    } else {
        Err(AppError::NotFound { what, id }.into())
    }
}

/// The error; with the intent as it stands, where its state is the reason.
async fn with_intent(app: &App, caller: &Caller, intent: String, error: AppError) -> StripeError {
    let error = StripeError::from(error);
    if !error.is_about_state() {
        return error;
    }
    match app.payment(caller, NAME, intent).await {
        Ok(answer) => error.with_intent(&response::without_secret(&answer)),
        Err(_) => error,
    }
}

/// Reads a body in both renderings, as every request that it could be: for fuzzers.
pub(crate) fn parse(bytes: &[u8]) {
    let of_form = form::read(bytes).ok();
    if let Some(fields) = &of_form {
        let again = form::read(form::encode(&form::pairs(fields)).as_bytes()).ok();
        assert_eq!(
            again.as_ref(),
            of_form.as_ref(),
            "what was read is written so that it reads the same"
        );
    }
    let of_json = crate::http::body::json(bytes).ok();
    for fields in of_form.iter().chain(&of_json) {
        for params in [Params::root(fields), Params::of_texts(fields)] {
            let _ = request::create(&params);
            let _ = request::refund(&params);
            for step in [
                request::update,
                request::confirm,
                request::capture,
                request::cancel,
            ] {
                let _ = step(&params);
            }
            stripe_shapes::parse(&params);
        }
    }
}
