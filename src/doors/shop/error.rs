//! The shop's errors: `{"message", "errors": {field: [text]}}`.

use aggregates::order::OrderError;
use aggregates::payment::PaymentError;
use axum::Json;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use serde::Serialize;
use std::collections::BTreeMap;

use crate::doors::sentence;
use crate::http::body::BodyError;
use crate::use_cases::AppError;

/// Why the shop is not answered with a payment.
pub enum ShopError {
    /// A key is missing, wrong or revoked: which of them is not said.
    Unauthenticated,
    /// The key may not do this.
    ScopeMissing,
    Body(BodyError),
    App(AppError),
}

impl From<BodyError> for ShopError {
    fn from(error: BodyError) -> Self {
        Self::Body(error)
    }
}

impl From<AppError> for ShopError {
    fn from(error: AppError) -> Self {
        Self::App(error)
    }
}

/// An error as it is written.
struct Dressed {
    status: StatusCode,
    message: String,
    /// The field at fault.
    field: Option<&'static str>,
    retry_after_s: Option<u64>,
}

#[derive(Serialize)]
struct Body<'a> {
    message: &'a str,
    errors: BTreeMap<&'static str, [&'a str; 1]>,
}

impl Dressed {
    fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
            field: None,
            retry_after_s: None,
        }
    }

    fn of(self, field: &'static str) -> Self {
        Self {
            field: Some(field),
            ..self
        }
    }

    fn retry_after_s(self, seconds: u64) -> Self {
        Self {
            retry_after_s: Some(seconds),
            ..self
        }
    }
}

impl IntoResponse for Dressed {
    fn into_response(self) -> Response {
        let errors = self
            .field
            .map(|field| (field, [self.message.as_str()]))
            .into_iter()
            .collect();
        let body = Json(Body {
            message: &self.message,
            errors,
        });
        let mut response = (self.status, body).into_response();
        if let Some(seconds) = self.retry_after_s {
            response.headers_mut().insert(RETRY_AFTER, seconds.into());
        }
        if self.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(
                WWW_AUTHENTICATE,
                "Bearer".parse().expect("a word makes a header"),
            );
        }
        response
    }
}

impl IntoResponse for ShopError {
    fn into_response(self) -> Response {
        let dressed = match self {
            Self::Unauthenticated => Dressed::new(StatusCode::UNAUTHORIZED, "Unauthenticated."),
            Self::ScopeMissing => {
                Dressed::new(StatusCode::FORBIDDEN, "This key is not allowed to do this.")
            }
            Self::Body(error) => of_body(&error),
            Self::App(error) => of_app(&error),
        };
        dressed.into_response()
    }
}

/// The answer to a method that the path does not take; axum adds `Allow`.
pub async fn method_not_allowed() -> Response {
    Dressed::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "This method is not allowed here.",
    )
    .into_response()
}

/// The answer where this door has no path.
pub async fn no_such_path() -> Response {
    Dressed::new(StatusCode::NOT_FOUND, "There is nothing at this path.").into_response()
}

fn of_body(error: &BodyError) -> Dressed {
    match error {
        BodyError::WrongType { .. } => Dressed::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "The body must be a JSON object.",
        )
        .of("body"),
        _ => Dressed::new(error.status(), sentence(&error.to_string())).of("body"),
    }
}

fn of_app(error: &AppError) -> Dressed {
    let silent = "The payment provider has not answered yet. Please repeat the request.";
    match error {
        AppError::NotFound { .. } => not_found(),
        AppError::Offer(error) => {
            Dressed::new(StatusCode::CONFLICT, sentence(&error.to_string())).of("order")
        }
        AppError::Article(error) => {
            Dressed::new(StatusCode::CONFLICT, sentence(&error.to_string())).of("order")
        }
        AppError::Payment(error) => of_payment(error),
        AppError::Order(error) => of_order(error),
        AppError::Refused(refusal) => {
            Dressed::new(StatusCode::UNPROCESSABLE_ENTITY, refusal.message.clone()).of("payment")
        }
        AppError::RefusedBefore(_) | AppError::NotPaid { .. } => {
            Dressed::new(StatusCode::CONFLICT, sentence(&error.to_string())).of("order")
        }
        AppError::TooManyRequests { wait_s } => Dressed::new(
            StatusCode::TOO_MANY_REQUESTS,
            "Too many requests with this key. Please send it again, a little later.",
        )
        .retry_after_s(*wait_s),
        AppError::KeyReused => Dressed::new(StatusCode::CONFLICT, sentence(&error.to_string())),
        AppError::OutcomeUnknown => unavailable(silent, 2),
        AppError::KeyInUse => {
            unavailable("The same request is still running. Please repeat it.", 1)
        }
        AppError::Unavailable => unavailable(
            "The service is not available just now. Please try again.",
            5,
        ),
        AppError::Internal => Dressed::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "Something went wrong on our side.",
        ),
    }
}

fn of_payment(error: &PaymentError) -> Dressed {
    let message = sentence(&error.to_string());
    match error {
        PaymentError::NoSuchPayment => not_found(),
        PaymentError::AmountTooSmall { .. }
        | PaymentError::AmountTooLarge { .. }
        | PaymentError::AmountInvalid { .. }
        | PaymentError::CurrencyMismatch { .. } => {
            Dressed::new(StatusCode::UNPROCESSABLE_ENTITY, message).of("amount")
        }
        PaymentError::Metadata(_) => {
            Dressed::new(StatusCode::UNPROCESSABLE_ENTITY, message).of("order")
        }
        PaymentError::AlreadyCreated
        | PaymentError::UnexpectedState { .. }
        | PaymentError::NeedsPaymentMethod
        | PaymentError::ExceedsHold { .. }
        | PaymentError::ExceedsRefundable { .. }
        | PaymentError::AlreadyRefunded
        | PaymentError::NothingCaptured => {
            Dressed::new(StatusCode::CONFLICT, message).of("payment")
        }
        PaymentError::InProgress => unavailable(&message, 1),
    }
}

fn of_order(error: &OrderError) -> Dressed {
    let message = sentence(&error.to_string());
    match error {
        OrderError::NoSuchOrder => not_found(),
        OrderError::LinesDoNotAddUp | OrderError::Unpayable(_) => {
            Dressed::new(StatusCode::UNPROCESSABLE_ENTITY, message).of("amount")
        }
        OrderError::PlacedDifferently
        | OrderError::AlreadyPaid
        | OrderError::OrderIsCancelled
        | OrderError::PaymentUnderWay
        | OrderError::NotItsPayment => Dressed::new(StatusCode::CONFLICT, message).of("order"),
    }
}

/// The same for what does not exist and for what is somebody else's.
fn not_found() -> Dressed {
    Dressed::new(StatusCode::NOT_FOUND, "No such order.").of("order")
}

fn unavailable(message: &str, retry_after_s: u64) -> Dressed {
    Dressed::new(StatusCode::SERVICE_UNAVAILABLE, message).retry_after_s(retry_after_s)
}
