//! The offers' door: an insurer's shop asks for the payment of an offer (a quote) that is kept here.
//!
//! What it costs is what the catalogue says of the products that are asked for; nothing in a request sets a price. The
//! intent is shown as Stripe showed it before its API version 2019-02-11.

mod error;
mod products;
mod request;
mod response;

use aggregates::order::Facts;
use aggregates::payment::terms::{CaptureMethod, Metadata};
use axum::extract::{Request, State};
use axum::response::Response;

use crate::http::RequestId;
use crate::http::openapi;
use crate::http::routes::Routes;
use crate::use_cases::{App, AppError, OfferAnswer, Terms};
use error::OffersError;
pub(crate) use request::parse;
use response::ApiRequest;

/// The door's name in events.
const NAME: &str = "offers";

/// `POST /api/offer/createpaymentintent`; whatever else is under `/api/offer` is a 404 in this door's form.
pub fn routes() -> Routes<App> {
    Routes::new(NAME)
        .post("/api/offer/createpaymentintent", create)
        .wrong_method(method_not_allowed)
        .described_by(|| openapi::fragment(include_str!("openapi.json")))
        .nothing_at("/api/offer/{*rest}", no_such_path)
}

async fn create(State(app): State<App>, id: RequestId, request: Request) -> Response {
    let call = ApiRequest::new(&id);
    match pay(&app, request).await {
        Ok(answer) => response::payment(&answer, &call),
        Err(error) => error.answer(&call),
    }
}

async fn pay(app: &App, request: Request) -> Result<OfferAnswer, OffersError> {
    let asked = request::read(app, request).await?;
    let answer = app
        .pay_offer(&asked.caller, NAME, asked.offer, terms, asked.key)
        .await?;
    Ok(answer)
}

/// What Stripe is asked to show of the payment.
fn terms(order: &Facts) -> Result<Terms, AppError> {
    Ok(Terms {
        description: Some(format!("Payment intent for quote: {}", order.reference)),
        capture_method: CaptureMethod::Automatic,
        metadata: Metadata::default(),
        ..Terms::default()
    })
}

/// The answer to a method that the path does not take; axum adds `Allow`.
async fn method_not_allowed(id: RequestId) -> Response {
    OffersError::WrongMethod.answer(&ApiRequest::new(&id))
}

/// The answer where this door has no path.
async fn no_such_path(id: RequestId) -> Response {
    OffersError::NoSuchPath.answer(&ApiRequest::new(&id))
}
