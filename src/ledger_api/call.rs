//! A request as it is read: whose it is and what it may do first, then what it says.

use axum::RequestExt;
use axum::body::Bytes;
use axum::extract::{RawPathParams, Request};
use axum::response::{IntoResponse, Response};
use http::header::LOCATION;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use secrecy::SecretString;
use serde::Serialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::sync::Arc;

use super::NAME;
use super::accept::preferred;
use super::error::{invalid, scope_missing, unauthenticated};
use super::query::Query;
use crate::firewall::key_holds_card_number;
use crate::http::auth;
use crate::http::body::{self, MediaType};
use crate::http::problem::{Fault, Problem};
use crate::store::{Caller, KeyKind, Scope};
use crate::use_cases::{App, AppError, Idempotency};

pub const JSON: &str = "application/json";

static IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
static REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// In characters.
const IDEMPOTENCY_KEY_LENGTH_MAX: usize = 255;

/// What a handler answers.
pub type Answer = Result<Response, Problem>;

/// A request of somebody who may ask it.
pub struct Call {
    pub app: App,
    pub caller: Arc<Caller>,
    /// The key as it was presented, for what goes on for longer than a request.
    pub secret: SecretString,
    /// The form of the answer that the caller takes, of those that were offered.
    pub form: &'static str,
    params: Vec<(String, String)>,
    parts: Parts,
    body: Bytes,
}

/// What a request that changes something says.
pub struct Said {
    pub call: Call,
    pub body: Map<String, Value>,
    pub key: Option<Idempotency>,
}

impl Call {
    /// Lets the request in, to be answered in JSON.
    pub async fn open(app: App, request: Request, needed: Scope) -> Result<Self, Problem> {
        Self::open_for(app, request, needed, &[JSON]).await
    }

    /// Lets the request in, to be answered in one of the forms that are offered.
    pub async fn open_for(
        app: App,
        mut request: Request,
        needed: Scope,
        offered: &[&'static str],
    ) -> Result<Self, Problem> {
        let key = match auth::bearer(request.headers()) {
            Ok(Some(key)) => key,
            Ok(None) | Err(_) => return Err(unauthenticated()),
        };
        let secret = key.secret().clone();
        let found = app
            .store()
            .keys
            .caller(KeyKind::Native, None, &secret)
            .await;
        let caller = found.map_err(AppError::from)?.ok_or_else(unauthenticated)?;
        if !caller.may(needed) {
            return Err(scope_missing(needed));
        }
        app.admit(&caller)?;
        let form = preferred(request.headers(), offered).ok_or_else(|| {
            let detail = format!("This is answered in {}.", offered.join(", "));
            Problem::new(StatusCode::NOT_ACCEPTABLE, "not_acceptable", detail)
        })?;
        let params = request
            .extract_parts::<RawPathParams>()
            .await
            .map_err(|_| Problem::no_such_route())?;
        let params: Vec<(String, String)> = params
            .iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        // No name of anything holds one, and the database would not even look.
        if params
            .iter()
            .any(|(_, it)| it.chars().any(char::is_control))
        {
            return Err(Problem::no_such_route());
        }
        let (parts, sent) = request.into_parts();
        let body = match parts.method {
            Method::GET | Method::HEAD => Bytes::new(),
            _ => body::read(&parts.headers, sent).await?,
        };
        Ok(Self {
            app,
            caller,
            secret,
            form,
            params,
            parts,
            body,
        })
    }

    /// What stands in the path at `{name}`.
    pub fn named(&self, name: &str) -> &str {
        let found = self.params.iter().find(|(it, _)| it == name);
        found.map_or("", |(_, value)| value)
    }

    pub fn headers(&self) -> &HeaderMap {
        &self.parts.headers
    }

    /// The parameters of the query.
    pub fn query(&self) -> Result<Query, Problem> {
        Query::of(self.parts.uri.query().unwrap_or_default())
    }

    /// Reads what is said: a JSON object, or nothing at all where a request may be silent. Such requests take no query.
    pub fn read(self) -> Result<Said, Problem> {
        self.query()?.end()?;
        let body = if self.body.is_empty() {
            Map::new()
        } else {
            if MediaType::of(&self.parts.headers) != MediaType::Json {
                return Err(Problem::new(
                    StatusCode::UNSUPPORTED_MEDIA_TYPE,
                    "unsupported_media_type",
                    "The body is to be JSON: Content-Type: application/json",
                ));
            }
            body::json(&self.body)?
        };
        let key = self.idempotency_key(&body)?;
        Ok(Said {
            call: self,
            body,
            key,
        })
    }

    fn idempotency_key(&self, body: &Map<String, Value>) -> Result<Option<Idempotency>, Problem> {
        let mut values = self.parts.headers.get_all(&IDEMPOTENCY_KEY).iter();
        let Some(value) = values.next() else {
            return Ok(None);
        };
        let key = value
            .to_str()
            .ok()
            .filter(|_| values.next().is_none())
            .unwrap_or_default();
        if key.is_empty()
            || key.len() > IDEMPOTENCY_KEY_LENGTH_MAX
            || key.chars().any(char::is_control)
            || key_holds_card_number(key)
        {
            let detail = format!(
                "An idempotency key is one header of 1 to {IDEMPOTENCY_KEY_LENGTH_MAX} ASCII characters, and no card number."
            );
            return Err(invalid(vec![Fault::of_header("Idempotency-Key", detail)]));
        }
        let mut said = format!("{} {}\n", self.parts.method, self.parts.uri.path());
        write_sorted(&mut said, body);
        let fingerprint = self.app.store().keys.fingerprint(said.as_bytes());
        let key = Idempotency::new(NAME, key.to_owned(), fingerprint, false);
        Ok(Some(key))
    }
}

/// The order in which members are named makes no other request.
fn write_sorted(to: &mut String, object: &Map<String, Value>) {
    let sorted: BTreeMap<&String, &Value> = object.iter().collect();
    to.push('{');
    for (name, value) in sorted {
        to.push_str(&Value::from(name.as_str()).to_string());
        to.push(':');
        write_value(to, value);
        to.push(',');
    }
    to.push('}');
}

fn write_value(to: &mut String, value: &Value) {
    match value {
        Value::Object(object) => write_sorted(to, object),
        Value::Array(values) => {
            to.push('[');
            for value in values {
                write_value(to, value);
                to.push(',');
            }
            to.push(']');
        }
        other => to.push_str(&other.to_string()),
    }
}

/// An answer in JSON.
pub fn json(status: StatusCode, body: &impl Serialize) -> Answer {
    let text = serde_json::to_string(body).map_err(|error| {
        tracing::error!(%error, "an answer cannot be written");
        Problem::internal()
    })?;
    let content_type = [(http::header::CONTENT_TYPE, JSON)];
    Ok((status, content_type, text).into_response())
}

/// An answer to what may have been done before: 201 where it made something, which is found at `location`.
pub fn outcome((made, replayed): (bool, bool), location: &str, body: &impl Serialize) -> Answer {
    let status = if made {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    let mut response = json(status, body)?;
    let headers = response.headers_mut();
    if made && let Ok(location) = HeaderValue::from_str(location) {
        headers.insert(LOCATION, location);
    }
    if replayed {
        headers.insert(REPLAYED.clone(), HeaderValue::from_static("true"));
    }
    Ok(response)
}
