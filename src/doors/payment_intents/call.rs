//! A request as far as it is the same for every endpoint: who calls, in which rendering, with which parameters, and under
//! which idempotency key.

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use secrecy::SecretString;
use serde_json::{Map, Value};
use std::sync::Arc;

use super::NAME;
use super::error::{STRIPE_SHOULD_RETRY, StripeError};
use super::form;
use super::params::{self, Params};
use crate::doors::firewall::key_holds_card_number;
use crate::http::auth;
use crate::http::body::{self, MediaType};
use crate::store::{Caller, KeyKind, Scope};
use crate::use_cases::{App, AppError, Idempotency};

static IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Acts for another account (Connect). Every key here is for one account, its merchant's.
static STRIPE_ACCOUNT: HeaderName = HeaderName::from_static("stripe-account");
static STRIPE_VERSION: HeaderName = HeaderName::from_static("stripe-version");

/// In characters, by Stripe's rule.
const IDEMPOTENCY_KEY_LENGTH_MAX: usize = 255;
/// In bytes.
const QUERY_LENGTH_MAX: usize = 8 * 1024;

/// In which shapes a caller is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rendering {
    /// WooshPay's: JSON in and out.
    Seed,
    /// Stripe's own, for Stripe's own clients.
    Stripe,
}

/// A request that may change something.
pub struct Call {
    pub caller: Arc<Caller>,
    pub key: Option<Idempotency>,
    pub rendering: Rendering,
    pub fields: Map<String, Value>,
}

/// A request that reads.
pub struct Look {
    pub caller: Arc<Caller>,
    pub rendering: Rendering,
    /// As it came.
    pub query: String,
}

impl Call {
    /// Reads a `POST` or a `DELETE`: first who it is, then what is said.
    pub async fn to_write(app: &App, request: Request) -> Result<Self, StripeError> {
        let (parts, body) = request.into_parts();
        let caller = authenticate(app, &parts.headers, Scope::PaymentsWrite).await?;
        no_query(parts.uri.query())?;
        let fields = fields(&parts.headers, &body::read(&parts.headers, body).await?)?;
        let rendering = rendering(&parts.headers);
        let key = idempotency_key(&parts.headers)?.map(|key| {
            let canonical = canonical(parts.uri.path(), &fields);
            let fingerprint = app.store().keys.fingerprint(canonical.as_bytes());
            Idempotency::new(NAME, key, fingerprint, rendering == Rendering::Stripe)
        });
        Ok(Self {
            caller,
            key,
            rendering,
            fields,
        })
    }

    /// The caller's idempotency key.
    pub fn key_name(&self) -> Option<String> {
        self.key.as_ref().map(|key| key.key.clone())
    }

    /// The parameters, to be read from.
    pub fn params(&self) -> Params<'_> {
        match self.rendering {
            Rendering::Seed => Params::root(&self.fields),
            Rendering::Stripe => Params::of_texts(&self.fields),
        }
    }
}

impl Look {
    /// Reads a `GET`. The seed's rendering has no parameters there; Stripe's has.
    pub async fn to_read(app: &App, headers: &HeaderMap, uri: &Uri) -> Result<Self, StripeError> {
        let caller = authenticate(app, headers, Scope::PaymentsRead).await?;
        let query = uri.query().unwrap_or_default();
        if query.len() > QUERY_LENGTH_MAX {
            return Err(StripeError::invalid("The query is too long."));
        }
        Ok(Self {
            caller,
            rendering: rendering(headers),
            query: query.to_owned(),
        })
    }

    /// Refuses every parameter, where none is known.
    pub fn without_query(&self) -> Result<(), StripeError> {
        no_query(Some(&self.query))
    }
}

/// A customer's browser that knows an intent's client secret: whose publishable key it has, and the secret. None where the
/// key is no publishable one.
pub async fn from_browser(
    app: &App,
    headers: &HeaderMap,
    uri: &Uri,
) -> Result<Option<(Arc<Caller>, SecretString)>, StripeError> {
    let Ok(Some(presented)) = auth::bearer_or_basic(headers) else {
        return Ok(None);
    };
    let keys = &app.store().keys;
    let found = keys
        .caller(KeyKind::StripePublishable, None, presented.secret())
        .await;
    let Some(caller) = found.map_err(AppError::from)? else {
        return Ok(None);
    };
    let query: Vec<(String, String)> =
        serde_urlencoded::from_str(uri.query().unwrap_or_default()).unwrap_or_default();
    let secret = query.into_iter().find(|(name, _)| name == "client_secret");
    match secret {
        Some((_, secret)) => {
            app.admit(&caller)?;
            Ok(Some((caller, SecretString::from(secret))))
        }
        None => Err(Params::root(&Map::new()).missing("client_secret")),
    }
}

/// Whose secret key it is. A publishable key is in every customer's browser, so it may do nothing here.
async fn authenticate(
    app: &App,
    headers: &HeaderMap,
    scope: Scope,
) -> Result<Arc<Caller>, StripeError> {
    let presented = auth::bearer_or_basic(headers).map_err(|_| StripeError::unknown_key())?;
    let presented = presented.ok_or_else(StripeError::no_key)?;
    if headers.contains_key(&STRIPE_ACCOUNT) {
        return Err(StripeError::no_other_account());
    }
    let keys = &app.store().keys;
    let found = keys
        .caller(KeyKind::StripeSecret, None, presented.secret())
        .await
        .map_err(AppError::from)?;
    match found {
        Some(caller) if caller.may(scope) => {
            app.admit(&caller)?;
            Ok(caller)
        }
        Some(_) => Err(StripeError::scope_missing()),
        None => {
            let publishable = keys
                .caller(KeyKind::StripePublishable, None, presented.secret())
                .await;
            match publishable.map_err(AppError::from)? {
                Some(_) => Err(StripeError::publishable_key()),
                None => Err(StripeError::unknown_key()),
            }
        }
    }
}

/// Chooses the rendering, here and nowhere else. Stripe's own clients send a version header and form-encoded bodies.
fn rendering(headers: &HeaderMap) -> Rendering {
    if headers.contains_key(&STRIPE_VERSION) || MediaType::of(headers) == MediaType::Form {
        Rendering::Stripe
    } else {
        Rendering::Seed
    }
}

/// Parameters of a write are read from the body alone; one that stands elsewhere is not ignored in silence.
fn no_query(query: Option<&str>) -> Result<(), StripeError> {
    match query
        .unwrap_or_default()
        .split(['=', '&'])
        .find(|name| !name.is_empty())
    {
        Some(name) => Err(params::unknown(&params::shown(name))),
        None => Ok(()),
    }
}

/// A body may be left out where no parameter is required.
fn fields(headers: &HeaderMap, body: &[u8]) -> Result<Map<String, Value>, StripeError> {
    if body.iter().all(u8::is_ascii_whitespace) {
        Ok(Map::new())
    } else if MediaType::of(headers) == MediaType::Form {
        form::read(body)
    } else {
        Ok(body::json(body)?)
    }
}

/// The headers that Stripe's clients look for: the idempotency key again, and whether to send a refused write once more.
pub async fn with_stripes_headers(request: Request, next: Next) -> Response {
    let told = |key: &&HeaderValue| key.to_str().is_ok_and(|it| !key_holds_card_number(it));
    let key = request
        .headers()
        .get(&IDEMPOTENCY_KEY)
        .filter(told)
        .cloned();
    let stripes = rendering(request.headers()) == Rendering::Stripe;
    let writes = !request.method().is_safe();
    let mut response = next.run(request).await;
    let in_vain = stripes && writes && response.status().is_client_error();
    let headers = response.headers_mut();
    if let Some(key) = key {
        headers.insert(IDEMPOTENCY_KEY.clone(), key);
    }
    if in_vain {
        headers
            .entry(&STRIPE_SHOULD_RETRY)
            .or_insert(HeaderValue::from_static("false"));
    }
    response
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, StripeError> {
    let mut values = headers.get_all(&IDEMPOTENCY_KEY).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    let text = value
        .to_str()
        .ok()
        .filter(|_| values.next().is_none())
        .unwrap_or_default();
    let fits = (1..=IDEMPOTENCY_KEY_LENGTH_MAX).contains(&text.len());
    if !fits || key_holds_card_number(text) {
        let message = format!(
            "An idempotency key is one header of 1 to {IDEMPOTENCY_KEY_LENGTH_MAX} ASCII characters, and no card number."
        );
        return Err(StripeError::invalid(message));
    }
    Ok(Some(text.to_owned()))
}

/// What makes two requests the same: path and parameters, in whatever order they came. The CVC is not part of it, since
/// not even a hash of it may be kept.
fn canonical(path: &str, fields: &Map<String, Value>) -> String {
    let mut whole = Value::Object(fields.clone());
    for at in ["/payment_method_data/card", "/card"] {
        if let Some(card) = whole.pointer_mut(at).and_then(Value::as_object_mut) {
            card.remove("cvc");
        }
    }
    let mut text = format!("POST {path}\n");
    write_sorted(&whole, &mut text);
    text
}

fn write_sorted(value: &Value, out: &mut String) {
    match value {
        Value::Object(fields) => {
            let mut names: Vec<&String> = fields.keys().collect();
            names.sort_unstable();
            out.push('{');
            for name in names {
                out.push_str(&Value::from(name.as_str()).to_string());
                out.push(':');
                write_sorted(&fields[name], out);
                out.push(',');
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for item in items {
                write_sorted(item, out);
                out.push(',');
            }
            out.push(']');
        }
        plain => out.push_str(&plain.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(path: &str, body: &str) -> String {
        canonical(path, &serde_json::from_str(body).unwrap())
    }

    #[test]
    fn the_order_of_parameters_does_not_make_another_request() {
        let one = of(
            "/v1/payment_intents",
            r#"{"amount":10,"metadata":{"a":"1","b":"2"}}"#,
        );
        let other = of(
            "/v1/payment_intents",
            r#"{"metadata":{"b":"2","a":"1"},"amount":10}"#,
        );
        assert_eq!(one, other);
    }

    #[test]
    fn another_path_value_or_nesting_makes_another_request() {
        let one = of("/v1/refunds", r#"{"amount":10,"metadata":{"a":"1"}}"#);
        for (path, body) in [
            (
                "/v1/payment_intents",
                r#"{"amount":10,"metadata":{"a":"1"}}"#,
            ),
            ("/v1/refunds", r#"{"amount":11,"metadata":{"a":"1"}}"#),
            ("/v1/refunds", r#"{"amount":"10","metadata":{"a":"1"}}"#),
            (
                "/v1/refunds",
                r#"{"amount":10,"metadata":{"a":"1\",\"b\":\"2"}}"#,
            ),
            ("/v1/refunds", r#"{"amount":10,"metadata":{},"a":"1"}"#),
        ] {
            assert_ne!(one, of(path, body), "{path} {body}");
        }
    }

    #[test]
    fn the_security_code_is_no_part_of_a_request_and_the_number_is() {
        // Planted bug that turns this red: hashing the body as it came.
        let with = |number: &str, cvc: &str| {
            let body = format!(
                r#"{{"payment_method_data":{{"card":{{"number":"{number}","cvc":"{cvc}"}}}}}}"#
            );
            of("/v1/payment_intents", &body)
        };
        assert_eq!(with("4242", "123"), with("4242", "999"));
        assert!(!with("4242", "987").contains("987"));
        assert_ne!(with("4242", "123"), with("4111", "123"));
    }
}
