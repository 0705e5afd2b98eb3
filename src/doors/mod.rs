//! The doors: each translates its own dialect into commands, and answers back into its dialect. No rules in here.
//!
//! A door is one folder (`mod`, `request`, `response`, `error`), one line in [`routes`], and one test file. No door names
//! another.

pub mod checkout;
pub mod offers;
pub mod payment_intents;
pub mod shop;
pub mod stripe_payments;

use std::fmt::Display;

pub(crate) use crate::firewall;
use crate::http::routes::Routes;
use crate::use_cases::App;

/// All doors.
pub fn routes() -> Routes<App> {
    Routes::new("doors")
        .merge(checkout::routes())
        .merge(offers::routes())
        .merge(shop::routes())
        .merge(payment_intents::routes())
        .merge(stripe_payments::routes())
}

/// The domain's errors are phrases; doors write sentences.
pub(crate) fn sentence(phrase: &(impl Display + ?Sized)) -> String {
    let phrase = phrase.to_string();
    let mut letters = phrase.chars();
    letters.next().map_or_else(String::new, |first| {
        format!("{}{}.", first.to_uppercase(), letters.as_str())
    })
}
