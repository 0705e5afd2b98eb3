//! The simulator over HTTP. Every answer that a test receives is checked against Stripe's published schemas (see `support::shapes`).

mod amounts;
mod capture;
mod cards;
mod checkout;
mod checkout_page;
mod clock;
mod customers;
mod disputes;
mod faults;
mod idempotency;
mod lists;
mod parameters;
mod payouts;
mod planted;
mod refunds;
mod restart;
mod scripts;
mod states;
mod support;
mod three_d_secure;
mod typed;
mod webhook_endpoints;
mod webhooks;
