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

use super::NAME;
use crate::http::routes::Routes;
use crate::use_cases::App;

/// The paths that only Stripe's clients know.
pub fn routes() -> Routes<App> {
    Routes::new(NAME)
        .get("/v1/payment_intents/search", through::read)
        .get("/v1/payment_methods", through::read)
        .post("/v1/payment_methods", through::make_payment_method)
        .get("/v1/payment_methods/{id}", through::read)
        .post("/v1/payment_methods/{id}", through::change)
        .post("/v1/payment_methods/{id}/attach", through::change)
        .post("/v1/payment_methods/{id}/detach", through::change)
        .get("/v1/customers", through::read)
        .post("/v1/customers", through::change)
        .get("/v1/customers/search", through::read)
        .get("/v1/customers/{id}", through::read)
        .post("/v1/customers/{id}", through::change)
        .delete("/v1/customers/{id}", through::change)
        .get("/v1/customers/{id}/payment_methods", through::read)
        .get("/v1/customers/{id}/payment_methods/{method}", through::read)
        .get("/v1/charges", through::read)
        .get("/v1/charges/search", through::read)
        .get("/v1/charges/{id}", through::read)
        .post("/v1/charges/{id}", through::change)
        .post("/v1/charges/{id}/capture", intents::capture_charge)
        .post("/v1/refunds/{id}/cancel", through::change)
        .get("/v1/disputes", through::read)
        .get("/v1/disputes/{id}", through::read)
        .post("/v1/disputes/{id}", through::change)
        .post("/v1/disputes/{id}/close", through::change)
        .get("/v1/checkout/sessions", through::read)
        .post("/v1/checkout/sessions", through::open_session)
        .get("/v1/checkout/sessions/{id}", through::read)
        .get("/v1/checkout/sessions/{id}/line_items", through::read)
        .post("/v1/checkout/sessions/{id}/expire", through::change)
        .get("/v1/balance", through::read)
        .get("/v1/balance_transactions", through::read)
        .get("/v1/balance_transactions/{id}", through::read)
        .get("/v1/payouts", through::read)
        .get("/v1/payouts/{id}", through::read)
        .get("/v1/events", through::read)
        .get("/v1/events/{id}", through::read)
        .merge(webhook_endpoints::routes())
}

pub use through::{change, from_browser, read};

/// The parameters as every request that they could be: for fuzzers.
pub(super) fn parse(params: &super::params::Params<'_>) {
    let _ = request::create(params);
    let _ = request::refund(params);
    for step in [
        request::update,
        request::confirm,
        request::capture,
        request::capture_charge,
        request::cancel,
    ] {
        let _ = step(params);
    }
}
