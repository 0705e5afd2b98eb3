//! What a script on somebody else's page may read: what is public, and what a customer's browser has a key of its own for.

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use http::header::{ACCESS_CONTROL_REQUEST_METHOD, AUTHORIZATION, ORIGIN};
use http::{HeaderName, Method};
use std::time::Duration;
use tower::{Layer, ServiceExt};
use tower_http::cors::{Any, CorsLayer};

/// What such a script may send beside what every script may.
const SENT: [HeaderName; 2] = [AUTHORIZATION, HeaderName::from_static("stripe-version")];
/// What it may read beside the body.
const READ: [HeaderName; 2] = [
    HeaderName::from_static("request-id"),
    HeaderName::from_static("retry-after"),
];
/// A browser asks again after that.
const KNOWN_FOR: Duration = Duration::from_secs(3600);

/// Lets scripts of any page `GET` the path where `may` says so. Nothing is sent along by the browser itself: there are no
/// cookies here, and a key is only sent by who has it.
pub async fn readable(may: fn(&str) -> bool, request: Request, next: Next) -> Response {
    let headers = request.headers();
    let asks = request.method() == Method::OPTIONS;
    let preflight = headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD);
    // An `OPTIONS` that is no browser's question is a method that the path does not take.
    if !may(request.uri().path()) || !headers.contains_key(ORIGIN) || (asks && !preflight) {
        return next.run(request).await;
    }
    let answered = CorsLayer::new()
        .allow_origin(Any)
        .allow_methods([Method::GET])
        .allow_headers(SENT)
        .expose_headers(READ)
        .max_age(KNOWN_FOR)
        .layer(next)
        .oneshot(request)
        .await;
    match answered {
        Ok(answer) => answer,
        Err(never) => match never {},
    }
}
