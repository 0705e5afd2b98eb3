//! The shop's door: a shop asks for the payment of an order that it keeps here, and has the order marked as paid.
//!
//! Prices are never taken from a request: there is nothing to read in a body but that it is one.

mod error;
mod request;
mod response;

use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::Response;
use http::HeaderMap;

use crate::http::openapi;
use crate::http::routes::Routes;
use crate::use_cases::App;
use error::ShopError;

/// The door's name in events, and the source of the orders it pays.
const NAME: &str = "shop";

/// `POST …/payment-intent` and `POST …/payment` of an order; whatever else is under `/api/v1/shop` is a 404 in this
/// door's form.
pub fn routes() -> Routes<App> {
    Routes::new(NAME)
        .post("/api/v1/shop/orders/{order_id}/payment-intent", create)
        .post("/api/v1/shop/orders/{order_id}/payment", mark_paid)
        .wrong_method(error::method_not_allowed)
        .described_by(|| openapi::fragment(include_str!("openapi.json")))
        .nothing_at("/api/v1/shop/{*rest}", error::no_such_path)
}

async fn create(
    State(app): State<App>,
    order: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ShopError> {
    let caller = request::customer(&app, &headers).await?;
    request::check_body(&headers, body).await?;
    let answer = app
        .request_payment(
            &caller,
            NAME,
            (NAME, request::order(order)?),
            request::terms,
        )
        .await?;
    Ok(response::payment(&answer))
}

async fn mark_paid(
    State(app): State<App>,
    order: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ShopError> {
    let caller = request::shop(&app, &headers).await?;
    request::check_body(&headers, body).await?;
    let answer = app
        .mark_paid(&caller, NAME, (NAME, request::order(order)?))
        .await?;
    Ok(response::payment(&answer))
}
