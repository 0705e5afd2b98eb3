//! The door of payment intents: create, read, update, confirm, capture, cancel, refund.
//!
//! One path is meant for two renderings; `rendering` chooses. Served today is WooshPay's (JSON in and out, times in
//! milliseconds, the currency as it was sent); requests of Stripe's own clients are told so.

mod call;
mod card;
mod error;
mod params;
mod request;
mod response;

use axum::Router;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::response::Response;
use axum::routing::{any, get, post};
use http::{HeaderMap, Uri};

use crate::store::Caller;
use crate::use_cases::{App, AppError, PaymentStep};
use call::Call;
use error::StripeError;
use params::Params;

/// The door's name in events, and the scope of its idempotency keys.
const NAME: &str = "payment_intents";

type Id = Result<Path<String>, PathRejection>;
type Answer = Result<Response, StripeError>;

/// `/v1/payment_intents` and `/v1/refunds`; whatever else is under `/v1` is a 404 in this door's form.
pub fn router(app: App) -> Router {
    Router::new()
        .route("/v1/payment_intents", post(create))
        .route("/v1/payment_intents/{id}", get(retrieve).post(update))
        .route("/v1/payment_intents/{id}/confirm", post(confirm))
        .route("/v1/payment_intents/{id}/capture", post(capture))
        .route("/v1/payment_intents/{id}/cancel", post(cancel))
        .route("/v1/refunds", post(refund))
        .route("/v1/refunds/{id}", get(retrieve_refund))
        .method_not_allowed_fallback(|| async { StripeError::method_not_allowed() })
        .route("/v1/{*rest}", any(|| async { StripeError::no_such_path() }))
        .with_state(app)
}

async fn create(State(app): State<App>, request: Request) -> Answer {
    let call = Call::to_write(&app, request).await?;
    let payment = request::create(&call.params())?;
    response::payment(
        &app.create_payment(&call.caller, NAME, payment, call.key)
            .await?,
    )
}

async fn retrieve(State(app): State<App>, id: Id, headers: HeaderMap, uri: Uri) -> Answer {
    let caller = call::to_read(&app, &headers, &uri).await?;
    response::payment(
        &app.payment(&caller, NAME, named("payment_intent", id)?)
            .await?,
    )
}

async fn update(State(app): State<App>, id: Id, request: Request) -> Answer {
    step(&app, id, request, request::update).await
}

async fn confirm(State(app): State<App>, id: Id, request: Request) -> Answer {
    step(&app, id, request, request::confirm).await
}

async fn capture(State(app): State<App>, id: Id, request: Request) -> Answer {
    step(&app, id, request, request::capture).await
}

async fn cancel(State(app): State<App>, id: Id, request: Request) -> Answer {
    step(&app, id, request, request::cancel).await
}

async fn refund(State(app): State<App>, request: Request) -> Answer {
    let call = Call::to_write(&app, request).await?;
    let refund = request::refund(&call.params())?;
    let intent = refund.intent.clone();
    match app.refund(&call.caller, NAME, refund, call.key).await {
        Ok(answer) => response::refund(&answer),
        Err(error) => Err(with_intent(&app, &call.caller, intent, error).await),
    }
}

async fn retrieve_refund(State(app): State<App>, id: Id, headers: HeaderMap, uri: Uri) -> Answer {
    let caller = call::to_read(&app, &headers, &uri).await?;
    response::refund(
        &app.refund_by_id(&caller, NAME, named("refund", id)?)
            .await?,
    )
}

/// One more step of the intent that the path names.
async fn step(
    app: &App,
    id: Id,
    request: Request,
    read: fn(&Params<'_>) -> Result<PaymentStep, StripeError>,
) -> Answer {
    let call = Call::to_write(app, request).await?;
    let step = read(&call.params())?;
    let intent = named("payment_intent", id)?;
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
        Ok(answer) => error.with_intent(response::without_secret(&answer)),
        Err(_) => error,
    }
}
