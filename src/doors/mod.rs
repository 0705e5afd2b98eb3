//! The doors: each translates its own dialect into commands, and answers back into its dialect. No rules in here.
//!
//! A door is one folder (`mod`, `request`, `response`, `error`), one line in [`router`], and one test file. No door names
//! another.

pub mod checkout;
mod firewall;
pub mod offers;
pub mod payment_intents;
pub mod shop;

use axum::Router;
use std::fmt::Display;

use crate::use_cases::App;

/// All doors over one application.
pub fn router(app: &App) -> Router {
    Router::new()
        .merge(checkout::router(app.clone()))
        .merge(offers::router(app.clone()))
        .merge(shop::router(app.clone()))
        .merge(payment_intents::router(app.clone()))
}

/// The domain's errors are phrases; doors write sentences.
fn sentence(phrase: &(impl Display + ?Sized)) -> String {
    let phrase = phrase.to_string();
    let mut letters = phrase.chars();
    letters.next().map_or_else(String::new, |first| {
        format!("{}{}.", first.to_uppercase(), letters.as_str())
    })
}
