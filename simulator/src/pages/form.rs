//! The form on which a card is given: its fields, and what is wrong with them.

use serde_json::Value;

use super::shell::Place;
use crate::answers::escaped;
use crate::api;
use crate::cards::GivenCard;
use crate::errors::{ApiError, Outcome};
use crate::objects::PaymentMethod;
use crate::params::{Field as Param, Params};
use crate::state::Tx;

/// A field of the form, named as it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    Email,
    Number,
    Expiry,
    Cvc,
}

impl Field {
    fn name(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Number => "number",
            Self::Expiry => "expiry",
            Self::Cvc => "cvc",
        }
    }

    /// What is written beside it, and what tells a browser what belongs there.
    fn label_and_hints(self) -> (&'static str, &'static str) {
        match self {
            Self::Email => ("E-mail", "type=\"email\" autocomplete=\"email\""),
            Self::Number => (
                "Card number",
                "inputmode=\"numeric\" autocomplete=\"cc-number\" maxlength=\"30\" placeholder=\"1234 1234 1234 1234\"",
            ),
            Self::Expiry => (
                "Expiry (MM / YY)",
                "inputmode=\"numeric\" autocomplete=\"cc-exp\" maxlength=\"9\" placeholder=\"MM / YY\"",
            ),
            Self::Cvc => (
                "Security code (CVC)",
                "inputmode=\"numeric\" autocomplete=\"cc-csc\" maxlength=\"4\" placeholder=\"CVC\"",
            ),
        }
    }
}

/// What is wrong with a field, for the payer.
pub type Fault = (Field, String);

/// The field with its label, what is wrong with it, and what it holds. The first that is wrong has the focus, which browsers allow to none in a frame.
///
/// What was typed of a card is never shown again.
pub fn field(it: Field, value: &str, faults: &[Fault], place: Place) -> String {
    let name = it.name();
    let (label, hints) = it.label_and_hints();
    let value = escaped(value);
    let fault = faults.iter().find(|(field, _)| *field == it);
    let (error, mut state) = match fault {
        None => (String::new(), String::new()),
        Some((_, message)) => (
            format!(
                "<span class=\"error\" id=\"{name}-error\" role=\"alert\">{}</span>",
                escaped(message)
            ),
            format!(" aria-invalid=\"true\" aria-describedby=\"{name}-error\""),
        ),
    };
    let is_first = faults.first().is_some_and(|(field, _)| *field == it);
    if is_first && place == Place::Window {
        state.push_str(" autofocus");
    }
    format!(
        "<p><label for=\"{name}\">{label}</label>\
         <input id=\"{name}\" name=\"{name}\" value=\"{value}\" {hints} required{state}>{error}</p>"
    )
}

/// What the payer typed of a card.
struct Typed {
    number: String,
    expiry: String,
    cvc: String,
}

/// Makes the method that the payer described.
///
/// # Errors
/// Every field that is empty or unreadable, or the one that is wrong.
pub fn read_card(tx: &mut Tx<'_>, params: &Params<'_>) -> Result<PaymentMethod, Vec<Fault>> {
    let typed = Typed {
        number: typed(params, "number"),
        expiry: typed(params, "expiry"),
        cvc: typed(params, "cvc"),
    };
    let expiry = month_and_year(&typed.expiry);
    let absent = [
        (
            typed.number.is_empty(),
            Field::Number,
            "Your card number is incomplete.",
        ),
        (
            expiry.is_none(),
            Field::Expiry,
            "Your card's expiration date is incomplete.",
        ),
        (
            typed.cvc.is_empty(),
            Field::Cvc,
            "Your card's security code is incomplete.",
        ),
    ];
    let absent = absent.into_iter().filter(|(is_so, ..)| *is_so);
    let absent: Vec<Fault> = absent
        .map(|(_, field, message)| (field, message.to_owned()))
        .collect();
    let Some((month, year)) = expiry.filter(|_| absent.is_empty()) else {
        return Err(absent);
    };
    let given = GivenCard {
        number: &typed.number,
        exp_month: month,
        exp_year: year,
        cvc: Some(&typed.cvc),
    };
    api::new_card(tx, &given).map_err(|error| vec![of_error(&error.object())])
}

/// What a field holds, without the spaces around it; empty where it is absent or far too long.
pub fn typed(params: &Params<'_>, name: &str) -> String {
    match params.text(name, 800) {
        Ok(Param::Given(text)) => text.trim().to_owned(),
        _ => String::new(),
    }
}

/// `12 / 34`, `12/2034`, `1234`: the month, and the year as it was typed.
fn month_and_year(text: &str) -> Option<(i64, i64)> {
    let parts: Vec<&str> = text
        .split(|it: char| !it.is_ascii_digit())
        .filter(|it| !it.is_empty())
        .collect();
    let (month, year) = match parts.as_slice() {
        [month, year] => (*month, *year),
        [both] => both.split_at_checked(2)?,
        _ => return None,
    };
    let fits = month.len() <= 2 && matches!(year.len(), 2 | 4);
    Some((month.parse().ok()?, year.parse().ok()?)).filter(|_| fits)
}

/// A method that needs no typing, by its name.
///
/// # Errors
/// 400 where there is none, and where it belongs to somebody: that is not to be named by whoever sees the page.
pub fn ready_made(tx: &mut Tx<'_>, name: &str) -> Outcome<PaymentMethod> {
    match name.starts_with("pm_card_") {
        true => api::find_method(tx, name),
        false => None,
    }
    .ok_or_else(|| ApiError::no_such("PaymentMethod", name, "method"))
}

/// An error of Stripe's beside the field that it is about, in words for the payer.
pub fn of_error(error: &Value) -> Fault {
    let text = |name: &str| error[name].as_str().unwrap_or_default();
    let (code, param) = (text("code"), text("param"));
    let field = match (code, param) {
        ("expired_card", _) | (_, "exp_month" | "exp_year") => Field::Expiry,
        ("incorrect_cvc", _) | (_, "cvc") => Field::Cvc,
        _ => Field::Number,
    };
    let message = match code {
        "payment_intent_authentication_failure" => {
            "We are unable to authenticate your payment method. Please choose a different payment method and try again."
        }
        _ => text("message"),
    };
    (field, message.to_owned())
}

#[cfg(test)]
mod tests {
    use super::month_and_year;

    #[test]
    fn an_expiry_is_read_as_payers_write_it() {
        for text in ["12/34", "12 / 34", "1234", "12-34", " 12 . 34"] {
            assert_eq!(month_and_year(text), Some((12, 34)), "{text}");
        }
        assert_eq!(month_and_year("122034"), Some((12, 2034)));
        assert_eq!(month_and_year("1/2034"), Some((1, 2034)));
        for text in [
            "", "12", "123", "1/2/34", "12/", "12/345", "123/34", "12/99999", "a",
        ] {
            assert_eq!(month_and_year(text), None, "{text}");
        }
    }
}
