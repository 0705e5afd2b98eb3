//! Errors as JSON:API writes them.

use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, VARY};
use http::{HeaderValue, StatusCode};
use serde_json::{Map, Value, json};

use super::MEDIA_TYPE;

/// One error object. Nothing of what the caller sent stands in it, and nothing of our insides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorObject {
    pub status: StatusCode,
    /// For machines, in capitals.
    pub code: &'static str,
    /// The same for every occurrence of the code.
    pub title: &'static str,
    /// One sentence.
    pub detail: String,
    /// Where the fault is.
    pub source: Option<Source>,
}

/// Where a fault is: a JSON pointer into the body, a query parameter, or a header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    Pointer(String),
    Parameter(String),
    Header(&'static str),
}

impl ErrorObject {
    /// An error that is nowhere in particular.
    pub fn new(
        status: StatusCode,
        code: &'static str,
        title: &'static str,
        detail: impl Into<String>,
    ) -> Self {
        Self {
            status,
            code,
            title,
            detail: detail.into(),
            source: None,
        }
    }

    /// The fault is at this pointer into the body, such as `/data/attributes/stripe_id`.
    pub fn at(self, pointer: impl Into<String>) -> Self {
        Self {
            source: Some(Source::Pointer(pointer.into())),
            ..self
        }
    }

    /// The fault is in this query parameter.
    pub fn in_parameter(self, name: impl Into<String>) -> Self {
        Self {
            source: Some(Source::Parameter(name.into())),
            ..self
        }
    }

    /// The fault is in this header.
    pub fn in_header(self, name: &'static str) -> Self {
        Self {
            source: Some(Source::Header(name)),
            ..self
        }
    }

    fn json(&self) -> Value {
        let mut object = json!({
            "status": self.status.as_u16().to_string(),
            "code": self.code,
            "title": self.title,
            "detail": self.detail,
        });
        if let (Some(source), Some(fields)) = (&self.source, object.as_object_mut()) {
            let source = match source {
                Source::Pointer(it) => json!({"pointer": it}),
                Source::Parameter(it) => json!({"parameter": it}),
                Source::Header(it) => json!({"header": it}),
            };
            fields.insert("source".to_owned(), source);
        }
        object
    }
}

/// The answer to a request that these errors are in, with the first one's status.
pub fn answer(errors: &[ErrorObject], meta: &Map<String, Value>) -> Response {
    let status = errors
        .first()
        .map_or(StatusCode::INTERNAL_SERVER_ERROR, |it| it.status);
    let listed: Vec<Value> = errors.iter().map(ErrorObject::json).collect();
    let body = json!({"errors": listed, "meta": meta, "jsonapi": {"version": "1.1"}});
    written(status, &body)
}

/// An answer in the media type.
pub fn written(status: StatusCode, body: &Value) -> Response {
    let mut response = (status, body.to_string()).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
    headers.insert(VARY, HeaderValue::from_static("Accept"));
    response
}
