//! The offers' errors: `{"status":"0","response":{"errors":[{"field","message"}]},"apirequest_oid"}`.

use aggregates::catalogue::OfferError;
use aggregates::order::OrderError;
use aggregates::payment::PaymentError;
use axum::Json;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use serde::Serialize;

use super::response::ApiRequest;
use crate::doors::sentence;
use crate::http::body::BodyError;
use crate::use_cases::AppError;

const OFFER: &str = "offer_oid";
const PRODUCTS: &str = "products";
const TOKEN: &str = "api_token";
const INTENT: &str = "payment_intent";

/// Why an offer is not answered with a payment.
pub enum OffersError {
    /// The token is missing, wrong or revoked: which of them is not said.
    Unauthenticated,
    /// The token may not do this.
    ScopeMissing,
    WrongMethod,
    NoSuchPath,
    Body(BodyError),
    /// A field cannot be read.
    Invalid {
        field: &'static str,
        message: String,
    },
    App(AppError),
}

impl From<BodyError> for OffersError {
    fn from(error: BodyError) -> Self {
        Self::Body(error)
    }
}

impl From<AppError> for OffersError {
    fn from(error: AppError) -> Self {
        Self::App(error)
    }
}

/// An error as it is written.
struct Dressed {
    status: StatusCode,
    /// The field at fault.
    field: &'static str,
    message: String,
    retry_after_s: Option<u64>,
}

#[derive(Serialize)]
struct Body<'a> {
    status: &'static str,
    response: Errors<'a>,
    apirequest_oid: &'a str,
}

#[derive(Serialize)]
struct Errors<'a> {
    errors: [FieldError<'a>; 1],
}

#[derive(Serialize)]
struct FieldError<'a> {
    field: &'a str,
    message: &'a str,
}

impl Dressed {
    fn new(status: StatusCode, field: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            field,
            message: message.into(),
            retry_after_s: None,
        }
    }

    fn retry_after_s(self, seconds: u64) -> Self {
        Self {
            retry_after_s: Some(seconds),
            ..self
        }
    }
}

impl OffersError {
    /// The answer to the call.
    pub fn answer(&self, call: &ApiRequest) -> Response {
        let it = self.dressed();
        let body = Json(Body {
            status: "0",
            response: Errors {
                errors: [FieldError {
                    field: it.field,
                    message: &it.message,
                }],
            },
            apirequest_oid: call.oid(),
        });
        let mut response = (it.status, body).into_response();
        let headers = response.headers_mut();
        if let Some(seconds) = it.retry_after_s {
            headers.insert(RETRY_AFTER, seconds.into());
        }
        if it.status == StatusCode::UNAUTHORIZED {
            let scheme = "Bearer".parse().expect("a word makes a header");
            headers.insert(WWW_AUTHENTICATE, scheme);
        }
        response
    }

    fn dressed(&self) -> Dressed {
        match self {
            Self::Unauthenticated => Dressed::new(
                StatusCode::UNAUTHORIZED,
                TOKEN,
                "The API token is not valid.",
            ),
            Self::ScopeMissing => Dressed::new(
                StatusCode::FORBIDDEN,
                TOKEN,
                "This API token is not allowed to do this.",
            ),
            Self::WrongMethod => Dressed::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "method",
                "This method is not allowed here.",
            ),
            Self::NoSuchPath => Dressed::new(
                StatusCode::NOT_FOUND,
                "ajax_url",
                "There is nothing at this path.",
            ),
            Self::Body(error @ BodyError::WrongType { .. }) => {
                Dressed::new(error.status(), "body", "The body must be a JSON object.")
            }
            Self::Body(error) => Dressed::new(error.status(), "body", sentence(error)),
            Self::Invalid { field, message } => {
                Dressed::new(StatusCode::BAD_REQUEST, field, message.clone())
            }
            Self::App(error) => of_app(error),
        }
    }
}

fn of_app(error: &AppError) -> Dressed {
    match error {
        AppError::NotFound { .. } => no_such_offer(),
        AppError::Offer(error) => of_offer(error),
        AppError::Article(error) => of_products(error),
        AppError::Payment(error) => of_payment(error),
        AppError::Order(error) => of_order(error),
        AppError::Refused(refusal) => Dressed::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            INTENT,
            refusal.message.clone(),
        ),
        AppError::RefusedBefore(_) | AppError::NotPaid { .. } => {
            Dressed::new(StatusCode::CONFLICT, OFFER, sentence(error))
        }
        AppError::KeyReused => {
            Dressed::new(StatusCode::CONFLICT, "Idempotency-Key", sentence(error))
        }
        AppError::KeyInUse => {
            let message = "The same request is still running. Please repeat it.";
            Dressed::new(StatusCode::CONFLICT, "Idempotency-Key", message).retry_after_s(1)
        }
        AppError::TooManyRequests { wait_s } => {
            let message =
                "Too many requests with this token. Please send it again, a little later.";
            Dressed::new(StatusCode::TOO_MANY_REQUESTS, TOKEN, message).retry_after_s(*wait_s)
        }
        AppError::OutcomeUnknown => unavailable(
            "The payment provider has not answered yet. Please repeat the request.",
            2,
        ),
        AppError::Unavailable => unavailable(
            "The service is not available just now. Please try again.",
            5,
        ),
        AppError::Internal => Dressed::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            INTENT,
            "Something went wrong on our side.",
        ),
    }
}

fn of_offer(error: &OfferError) -> Dressed {
    match error {
        OfferError::NoSuchOffer => no_such_offer(),
        OfferError::PublishedDifferently
        | OfferError::OfferExpired
        | OfferError::OfferIsWithdrawn => {
            Dressed::new(StatusCode::CONFLICT, OFFER, sentence(error))
        }
        OfferError::UnknownGroup { .. }
        | OfferError::UnknownCode { .. }
        | OfferError::UnknownCodeInGroup { .. }
        | OfferError::AmbiguousCode { .. }
        | OfferError::NothingSelected
        | OfferError::NothingOffered
        | OfferError::UnusableName
        | OfferError::Repeated { .. }
        | OfferError::NegativePrice
        | OfferError::Unpriceable(_) => of_products(error),
    }
}

fn of_payment(error: &PaymentError) -> Dressed {
    match error {
        PaymentError::NoSuchPayment => no_such_offer(),
        PaymentError::AmountTooSmall { .. }
        | PaymentError::AmountTooLarge { .. }
        | PaymentError::AmountInvalid { .. }
        | PaymentError::CurrencyMismatch { .. } => of_products(error),
        PaymentError::Metadata(_) => {
            Dressed::new(StatusCode::UNPROCESSABLE_ENTITY, OFFER, sentence(error))
        }
        PaymentError::AlreadyCreated
        | PaymentError::UnexpectedState { .. }
        | PaymentError::NeedsPaymentMethod
        | PaymentError::ExceedsHold { .. }
        | PaymentError::ExceedsRefundable { .. }
        | PaymentError::AlreadyRefunded
        | PaymentError::NothingCaptured => {
            Dressed::new(StatusCode::CONFLICT, INTENT, sentence(error))
        }
        PaymentError::InProgress => unavailable(&sentence(error), 1),
    }
}

fn of_order(error: &OrderError) -> Dressed {
    match error {
        OrderError::NoSuchOrder => no_such_offer(),
        OrderError::LinesDoNotAddUp | OrderError::Unpayable(_) => of_products(error),
        OrderError::AlreadyPaid => {
            Dressed::new(StatusCode::CONFLICT, OFFER, "This offer is paid already.")
        }
        OrderError::PlacedDifferently
        | OrderError::OrderIsCancelled
        | OrderError::PaymentUnderWay
        | OrderError::NotItsPayment => Dressed::new(StatusCode::CONFLICT, OFFER, sentence(error)),
    }
}

/// The same for what does not exist and for what is another merchant's.
fn no_such_offer() -> Dressed {
    Dressed::new(StatusCode::NOT_FOUND, OFFER, "No such offer.")
}

fn of_products(error: &dyn std::error::Error) -> Dressed {
    Dressed::new(StatusCode::UNPROCESSABLE_ENTITY, PRODUCTS, sentence(error))
}

fn unavailable(message: &str, retry_after_s: u64) -> Dressed {
    Dressed::new(StatusCode::SERVICE_UNAVAILABLE, INTENT, message).retry_after_s(retry_after_s)
}
