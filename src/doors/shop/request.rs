//! What the shop sends: two keys and the order's id. And what Stripe is to show of the order's payment.

use aggregates::order::Facts;
use aggregates::order::event::Line;
use aggregates::payment::PaymentError;
use aggregates::payment::terms::{CaptureMethod, Metadata};
use axum::body::Body;
use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use http::{HeaderMap, HeaderName};
use serde::Serialize;
use serde::de::IgnoredAny;
use std::collections::HashMap;
use std::sync::Arc;

use super::error::ShopError;
use crate::http::auth::{self, PresentedKey};
use crate::http::body;
use crate::store::{Caller, KeyKind, Scope};
use crate::use_cases::{App, AppError, Terms};

static X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// The shop, by its `X-API-Key`. A bearer token beside it is not looked at, and one alone is no shop.
pub async fn shop(app: &App, headers: &HeaderMap) -> Result<Arc<Caller>, ShopError> {
    let key = presented(auth::header(headers, &X_API_KEY))?;
    let found = app
        .store()
        .keys
        .caller(KeyKind::Shop, None, key.secret())
        .await
        .map_err(AppError::from)?;
    let caller = found.ok_or(ShopError::Unauthenticated)?;
    if caller.may(Scope::PaymentsWrite) {
        app.admit(&caller)?;
        Ok(caller)
    } else {
        Err(ShopError::ScopeMissing)
    }
}

/// The shop, speaking for the customer whose bearer token is there as well.
pub async fn customer(app: &App, headers: &HeaderMap) -> Result<Caller, ShopError> {
    let token = presented(auth::bearer(headers));
    let shop = shop(app, headers).await?;
    let keys = &app.store().keys;
    let found = keys
        .caller(KeyKind::Customer, Some(&shop.merchant.id), token?.secret())
        .await
        .map_err(AppError::from)?;
    let customer = found
        .and_then(|found| found.customer.clone())
        .ok_or(ShopError::Unauthenticated)?;
    Ok(Caller {
        customer: Some(customer),
        ..Caller::clone(&shop)
    })
}

/// Absent and malformed are answered as unknown is: who asks learns nothing of which keys there are.
fn presented(
    key: Result<Option<PresentedKey>, auth::MalformedKey>,
) -> Result<PresentedKey, ShopError> {
    key.ok().flatten().ok_or(ShopError::Unauthenticated)
}

/// The order's id. What cannot be read is no order's.
pub fn order(path: Result<Path<String>, PathRejection>) -> Result<String, ShopError> {
    match path {
        Ok(Path(id)) => Ok(id),
        Err(_) => Err(AppError::NotFound {
            what: "order",
            id: String::new(),
        }
        .into()),
    }
}

/// A body may be left out; one that is there is a JSON object. Nothing in it is used: the ledger knows the price.
pub async fn check_body(headers: &HeaderMap, body: Body) -> Result<(), ShopError> {
    let bytes = body::read(headers, body).await?;
    if !bytes.iter().all(u8::is_ascii_whitespace) {
        body::json::<HashMap<String, IgnoredAny>>(&bytes)?;
    }
    Ok(())
}

/// What Stripe is asked to show of the order's payment.
pub fn terms(order: &Facts) -> Result<Terms, AppError> {
    let number = order.number.as_ref().unwrap_or(&order.reference);
    let pairs = [
        ("order_id", order.reference.clone()),
        ("order_number", number.clone()),
        ("line_items", line_items_text(&order.price.lines)),
    ];
    let metadata = Metadata::parse(pairs.map(|(key, value)| (key.to_owned(), value)));
    Ok(Terms {
        description: Some(format!("Payment for Order #{number}")),
        capture_method: CaptureMethod::AutomaticAsync,
        metadata: metadata.map_err(PaymentError::from)?,
        ..Terms::default()
    })
}

/// A line of an order as this door writes it, in its answers and in Stripe's metadata. `amount` is the unit's price in
/// minor units; `description` is empty where there is none.
#[derive(Serialize)]
pub struct LineItem<'a> {
    name: &'a str,
    amount: i64,
    currency: String,
    quantity: u32,
    description: &'a str,
}

impl<'a> From<&'a Line> for LineItem<'a> {
    fn from(it: &'a Line) -> Self {
        Self {
            name: &it.name,
            amount: it.unit.minor(),
            currency: it.unit.currency().code(),
            quantity: it.quantity,
            description: &it.description,
        }
    }
}

/// The lines as JSON text: as many whole ones, from the first on, as Stripe's limit for a value lets through.
fn line_items_text(lines: &[Line]) -> String {
    let mut text = "[".to_owned();
    for line in lines {
        let line = serde_json::to_string(&LineItem::from(line))
            .expect("texts and numbers always serialise");
        let comma = if text.len() > 1 { "," } else { "" };
        let length = text.chars().count() + comma.len() + line.chars().count() + "]".len();
        if length > Metadata::VALUE_LENGTH_MAX {
            break;
        }
        text.push_str(comma);
        text.push_str(&line);
    }
    text.push(']');
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use aggregates::money::{Currency, Money};

    fn line(name: &str, quantity: u32) -> Line {
        Line {
            name: name.to_owned(),
            unit: Money::new(5600, Currency::USD),
            quantity,
            description: String::new(),
        }
    }

    #[test]
    fn a_line_is_written_compactly_in_the_documented_order() {
        let text = line_items_text(&[line("Main product 2", 2)]);
        let documented = r#"[{"name":"Main product 2","amount":5600,"currency":"usd","quantity":2,"description":""}]"#;
        assert_eq!(text, documented);
    }

    #[test]
    fn no_more_whole_lines_are_written_than_fit_and_the_text_stays_json() {
        // Planted bug that turns this red: counting without the closing bracket, or cutting the text at 500.
        let lines = vec![line("Ünïcödé product", 2); 40];
        let text = line_items_text(&lines);
        let read: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
        let one = serde_json::to_string(&LineItem::from(&lines[0]))
            .unwrap()
            .chars()
            .count();
        assert!(text.chars().count() <= 500);
        assert!(
            text.chars().count() + 1 + one > 500,
            "another line would have fitted"
        );
        assert_eq!(read[0]["name"], "Ünïcödé product");
    }

    #[test]
    fn a_line_that_never_fits_leaves_an_empty_list() {
        assert_eq!(line_items_text(&[line(&"x".repeat(600), 1)]), "[]");
        assert_eq!(line_items_text(&[]), "[]");
    }
}
