//! Where Stripe delivers its webhooks: the bytes as they came, and the signature over them, go straight to the use case.
//! A 200 means that the delivery is kept for good; anything else makes Stripe deliver it again.

use axum::Json;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderName, StatusCode};
use serde_json::json;

use crate::http::body::{self, BodyError};
use crate::http::openapi;
use crate::http::problem::Problem;
use crate::http::routes::Routes;
use crate::use_cases::{App, AppError, WebhookError};

static STRIPE_SIGNATURE: HeaderName = HeaderName::from_static("stripe-signature");

/// `POST /webhooks/stripe/{merchant}`.
pub fn routes() -> Routes<App> {
    Routes::new("webhooks")
        .post("/webhooks/stripe/{merchant}", receive)
        .described_by(|| openapi::fragment(include_str!("openapi.json")))
}

async fn receive(
    State(app): State<App>,
    merchant: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Failed> {
    // A header that is missing or is no text is a signature that does not fit.
    let signature = headers
        .get(&STRIPE_SIGNATURE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let Path(merchant) = merchant.map_err(|_| WebhookError::NoSuchEndpoint)?;
    let body = body::read(&headers, body).await?;
    app.receive_webhook(&merchant, signature, &body).await?;
    Ok(Json(json!({"received": true})).into_response())
}

/// Why a delivery was not taken.
enum Failed {
    Body(BodyError),
    Webhook(WebhookError),
}

impl From<BodyError> for Failed {
    fn from(error: BodyError) -> Self {
        Self::Body(error)
    }
}

impl From<WebhookError> for Failed {
    fn from(error: WebhookError) -> Self {
        Self::Webhook(error)
    }
}

impl IntoResponse for Failed {
    fn into_response(self) -> Response {
        let problem = match &self {
            Self::Body(error) => Problem::new(error.status(), "unreadable_body", error.to_string()),
            Self::Webhook(error) => of_webhook(error),
        };
        problem.into_response()
    }
}

fn of_webhook(error: &WebhookError) -> Problem {
    let bad = |code, detail: &str| Problem::new(StatusCode::BAD_REQUEST, code, detail);
    match error {
        WebhookError::NoSuchEndpoint => Problem::new(
            StatusCode::NOT_FOUND,
            "no_such_endpoint",
            "There is no such webhook endpoint.",
        ),
        WebhookError::BadSignature => bad("bad_signature", "The signature does not fit."),
        WebhookError::Stale => bad(
            "stale_signature",
            "The signature's time is too far from now.",
        ),
        // What the parser says may quote the body.
        WebhookError::NotAnEvent(_) => bad("not_an_event", "The body is not an event."),
        WebhookError::App(error) => of_app(error),
    }
}

fn of_app(error: &AppError) -> Problem {
    match error {
        AppError::OutcomeUnknown | AppError::KeyInUse | AppError::Unavailable => Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "unavailable",
            "The delivery could not be kept just now.",
        )
        .retry_after_s(5),
        // Keeping a delivery asks nothing of a payment or an order: any of these would be a bug.
        AppError::NotFound { .. }
        | AppError::Payment(_)
        | AppError::Order(_)
        | AppError::Offer(_)
        | AppError::Article(_)
        | AppError::Refused(_)
        | AppError::RefusedBefore(_)
        | AppError::NotPaid { .. }
        | AppError::KeyReused
        | AppError::TooManyRequests { .. }
        | AppError::Internal => Problem::internal(),
    }
}
