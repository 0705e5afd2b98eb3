//! Stripe's rendering of `/v1`: the shapes that Stripe's own clients expect.
//!
//! What is read is Stripe's to tell, so it is asked and its words are passed on. What changes money goes through the
//! payment's own rules ([`intents`]); what changes anything else at Stripe is intended, asked for and recorded ([`through`]).

mod answer;
pub mod intents;
mod request;
mod through;
mod webhook_endpoints;
mod words;

use axum::Router;
use axum::routing::{get, post};

use crate::use_cases::App;

/// The paths that only Stripe's clients know.
pub fn router() -> Router<App> {
    Router::new()
        .route("/v1/payment_intents/search", get(through::read))
        .route(
            "/v1/payment_methods",
            get(through::read).post(through::make_payment_method),
        )
        .route(
            "/v1/payment_methods/{id}",
            get(through::read).post(through::change),
        )
        .route("/v1/payment_methods/{id}/attach", post(through::change))
        .route("/v1/payment_methods/{id}/detach", post(through::change))
        .route("/v1/customers", get(through::read).post(through::change))
        .route("/v1/customers/search", get(through::read))
        .route(
            "/v1/customers/{id}",
            get(through::read)
                .post(through::change)
                .delete(through::change),
        )
        .route("/v1/customers/{id}/payment_methods", get(through::read))
        .route(
            "/v1/customers/{id}/payment_methods/{method}",
            get(through::read),
        )
        .route("/v1/charges", get(through::read))
        .route("/v1/charges/search", get(through::read))
        .route("/v1/charges/{id}", get(through::read).post(through::change))
        .route("/v1/charges/{id}/capture", post(intents::capture_charge))
        .route("/v1/refunds/{id}/cancel", post(through::change))
        .route("/v1/disputes", get(through::read))
        .route(
            "/v1/disputes/{id}",
            get(through::read).post(through::change),
        )
        .route("/v1/disputes/{id}/close", post(through::change))
        .route(
            "/v1/checkout/sessions",
            get(through::read).post(through::open_session),
        )
        .route("/v1/checkout/sessions/{id}", get(through::read))
        .route("/v1/checkout/sessions/{id}/line_items", get(through::read))
        .route("/v1/checkout/sessions/{id}/expire", post(through::change))
        .route("/v1/balance", get(through::read))
        .route("/v1/balance_transactions", get(through::read))
        .route("/v1/balance_transactions/{id}", get(through::read))
        .route("/v1/payouts", get(through::read))
        .route("/v1/payouts/{id}", get(through::read))
        .route("/v1/events", get(through::read))
        .route("/v1/events/{id}", get(through::read))
        .merge(webhook_endpoints::router())
}

pub use through::{change, from_browser, read};
