//! An error in RFC 9457's form, for answers that belong to no door: where a kind becomes a number.

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::firewall;

/// An error as `application/problem+json`. `code` is stable and for machines; `detail` is for people and never
/// holds what the caller sent, nor anything of our insides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The HTTP status.
    pub status: StatusCode,
    /// Names the kind of error; the last part of its `type`.
    pub code: &'static str,
    /// One sentence.
    pub detail: String,
    /// Everything that is wrong in the request, where its parts can be named.
    pub errors: Vec<Fault>,
    /// When the same request may do better, in seconds.
    pub retry_after_s: Option<u64>,
    /// The request's id, where the answer tells it.
    pub instance: Option<String>,
}

/// One thing that is wrong in a request, and where: a member of its body as a JSON pointer, a parameter of its query, or a
/// header.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fault {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pointer: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parameter: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub header: Option<&'static str>,
    pub detail: String,
}

impl Fault {
    /// At a JSON pointer of the body; the empty one is the body itself.
    pub fn at(pointer: String, detail: impl Into<String>) -> Self {
        Self {
            pointer: Some(pointer),
            parameter: None,
            header: None,
            detail: detail.into(),
        }
    }

    /// In a parameter of the query.
    pub fn of_parameter(name: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            pointer: None,
            parameter: Some(name.into()),
            header: None,
            detail: detail.into(),
        }
    }

    /// In a header.
    pub fn of_header(name: &'static str, detail: impl Into<String>) -> Self {
        Self {
            pointer: None,
            parameter: None,
            header: Some(name),
            detail: detail.into(),
        }
    }
}

impl Problem {
    /// A problem that is told in one sentence.
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self {
            status,
            code,
            detail: detail.into(),
            errors: Vec::new(),
            retry_after_s: None,
            instance: None,
        }
    }

    /// The same, with all that is wrong in the request.
    #[must_use]
    pub fn with_errors(self, errors: Vec<Fault>) -> Self {
        Self { errors, ..self }
    }

    /// The same, with the time after which to ask again.
    #[must_use]
    pub fn retry_after_s(self, seconds: u64) -> Self {
        Self {
            retry_after_s: Some(seconds),
            ..self
        }
    }

    /// The answer to what nobody foresaw: it reveals nothing, the log has the place.
    pub fn internal() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal_error",
            "Something went wrong on our side.",
        )
    }

    /// The answer where no route is.
    pub fn no_such_route() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "no_such_route",
            "There is nothing at this path.",
        )
    }

    fn body(&self) -> Value {
        let mut body = Map::new();
        let mut put = |name: &str, value: Value| body.insert(name.to_owned(), value);
        put("type", json!(format!("/problems/{}", self.code)));
        put(
            "title",
            json!(self.status.canonical_reason().unwrap_or_default()),
        );
        put("status", json!(self.status.as_u16()));
        put("code", json!(self.code));
        put("detail", json!(self.detail));
        if let Some(instance) = &self.instance {
            put("instance", json!(instance));
        }
        if !self.errors.is_empty() {
            put("errors", json!(self.errors));
        }
        let mut body = Value::Object(body);
        // A rule may name what it refuses, and a name may be anything.
        firewall::withhold(&mut body);
        body
    }
}

impl IntoResponse for Problem {
    /// The problem is an extension of the answer too, so that what stands around a handler can tell more with it.
    fn into_response(self) -> Response {
        let content_type = [(CONTENT_TYPE, "application/problem+json")];
        let body = self.body().to_string();
        let mut response = (self.status, content_type, body).into_response();
        if let Some(seconds) = self.retry_after_s {
            response.headers_mut().insert(RETRY_AFTER, seconds.into());
        }
        response.extensions_mut().insert(self);
        response
    }
}
