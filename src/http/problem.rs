//! An error in RFC 9457's form, for answers that belong to no door: where a kind becomes a number.

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::CONTENT_TYPE;
use serde_json::json;

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
}

impl Problem {
    /// The answer to what nobody foresaw: it reveals nothing, the log has the place.
    pub fn internal() -> Self {
        let detail = "Something went wrong on our side.".to_owned();
        Self {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            code: "internal_error",
            detail,
        }
    }

    /// The answer where no route is.
    pub fn no_such_route() -> Self {
        let detail = "There is nothing at this path.".to_owned();
        Self {
            status: StatusCode::NOT_FOUND,
            code: "no_such_route",
            detail,
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = json!({
            "type": format!("/problems/{}", self.code),
            "title": self.status.canonical_reason().unwrap_or_default(),
            "status": self.status.as_u16(),
            "detail": self.detail,
        });
        (
            self.status,
            [(CONTENT_TYPE, "application/problem+json")],
            body.to_string(),
        )
            .into_response()
    }
}
