//! How each door is spoken to, and how it turns a caller away.

use crate::support::checkout;
use reqwest::{Client, Method, RequestBuilder};
use serde_json::Value;

/// Where a command goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    Payments,
    Shop,
    Offers,
    Checkout,
    Native,
    /// The payer, at Stripe itself.
    Payer,
}

/// What is asked, to the byte: a retry asks the same.
#[derive(Clone)]
pub struct Command {
    pub door: Door,
    pub method: Method,
    pub path: String,
    pub body: Option<Value>,
    pub key: Option<String>,
    /// The statuses that may come of it.
    pub expected: &'static [u16],
}

impl Command {
    pub fn post(door: Door, path: impl Into<String>, body: Value) -> Self {
        Self {
            door,
            method: Method::POST,
            path: path.into(),
            body: (!body.is_null()).then_some(body),
            key: None,
            expected: &[200],
        }
    }

    pub fn get(door: Door, path: impl Into<String>) -> Self {
        Self {
            method: Method::GET,
            ..Self::post(door, path, Value::Null)
        }
    }

    pub fn keyed(self, key: String) -> Self {
        Self {
            key: Some(key),
            ..self
        }
    }

    pub fn expecting(self, expected: &'static [u16]) -> Self {
        Self { expected, ..self }
    }

    pub fn request(&self, http: &Client, base: &str) -> RequestBuilder {
        let url = format!("{base}{}", self.path.trim_start_matches('/'));
        let request = http.request(self.method.clone(), url);
        let request = match self.door {
            Door::Payments => request.bearer_auth("sk_test_acme"),
            Door::Shop => request
                .bearer_auth("customer-9")
                .header("X-API-Key", "123456789"),
            Door::Offers => request.bearer_auth("offers-acme"),
            Door::Checkout => checkout::keyed(request),
            Door::Native => request.bearer_auth("admin-acme"),
            Door::Payer => request.bearer_auth(counterfoil::ops::fixtures::simulator_key("acme")),
        };
        let request = match &self.key {
            Some(key) => request.header("Idempotency-Key", key),
            None => request,
        };
        match &self.body {
            Some(body) => request.json(body),
            None => request,
        }
    }
}

impl Door {
    /// What does not answer for good says so in the door's own form.
    ///
    /// # Errors
    /// A sentence where it does not.
    pub fn check_its_form(self, status: u16, body: &Value) -> Result<(), String> {
        let told = match self {
            Self::Payments | Self::Payer => &body["error"]["message"],
            Self::Shop => &body["message"],
            Self::Offers => &body["response"]["errors"][0]["message"],
            Self::Checkout => &body["ResponseStatus"]["Message"],
            Self::Native => &body["detail"],
        };
        // Stripe's own way to say that an outcome is not known.
        let unknown = self == Self::Payments && body["error"]["type"] == "api_error";
        let expected = status == 503 || matches!(status, 409 | 429) || (status == 500 && unknown);
        let broken = told
            .as_str()
            .is_none_or(|it| it == "Something went wrong on our side.");
        if self != Self::Payer && (!expected || broken) {
            return Err(format!("turned away with {status} {body}"));
        }
        Ok(())
    }
}
