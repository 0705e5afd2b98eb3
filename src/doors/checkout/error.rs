//! The checkout's errors, in the format that was asked for: `{"ResponseStatus":{"ErrorCode","Message","Errors":[…]}}`.

use aggregates::catalogue::ArticleError;
use aggregates::order::OrderError;
use aggregates::payment::PaymentError;
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use serde_json::{Value, json};

use super::formats::{self, Format};
use crate::doors::sentence;
use crate::http::body::BodyError;
use crate::use_cases::AppError;

/// One field that is at fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    pub code: &'static str,
    pub field: String,
    pub message: String,
}

/// Why a checkout is not answered.
#[derive(Debug)]
pub enum CheckoutError {
    /// A key is missing, wrong or revoked: which of them is not said.
    Unauthenticated,
    /// The key may not do this.
    ScopeMissing,
    WrongMethod,
    NoSuchPath,
    Body(BodyError),
    /// Every faulty field.
    Invalid(Vec<Fault>),
    App(AppError),
}

impl From<BodyError> for CheckoutError {
    fn from(error: BodyError) -> Self {
        Self::Body(error)
    }
}

impl From<AppError> for CheckoutError {
    fn from(error: AppError) -> Self {
        Self::App(error)
    }
}

/// An error as it is written.
struct Dressed {
    status: StatusCode,
    code: &'static str,
    message: String,
    faults: Vec<Fault>,
    retry_after_s: Option<u64>,
}

impl Dressed {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            faults: vec![],
            retry_after_s: None,
        }
    }

    fn retry_after_s(self, seconds: u64) -> Self {
        Self {
            retry_after_s: Some(seconds),
            ..self
        }
    }

    fn of(self, field: &str) -> Self {
        let fault = Fault {
            code: self.code,
            field: field.to_owned(),
            message: self.message.clone(),
        };
        Self {
            faults: vec![fault],
            ..self
        }
    }

    fn status_object(&self) -> Value {
        let errors: Value = self
            .faults
            .iter()
            .map(|it| json!({"ErrorCode": it.code, "FieldName": it.field, "Message": it.message}))
            .collect();
        json!({"ErrorCode": self.code, "Message": self.message, "Errors": errors})
    }
}

impl CheckoutError {
    /// The answer in `format`.
    pub fn answer(&self, format: Format) -> Response {
        let it = self.dressed();
        let text = formats::write(
            format,
            "ErrorResponse",
            &[("ResponseStatus", it.status_object())],
        );
        let mut response = (it.status, text).into_response();
        let headers = response.headers_mut();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static(format.content_type()),
        );
        if let Some(seconds) = it.retry_after_s {
            headers.insert(RETRY_AFTER, seconds.into());
        }
        if it.status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }

    fn dressed(&self) -> Dressed {
        use StatusCode as S;
        match self {
            Self::Unauthenticated => {
                Dressed::new(S::UNAUTHORIZED, "Unauthorized", "The keys are not valid.")
            }
            Self::ScopeMissing => Dressed::new(
                S::FORBIDDEN,
                "Forbidden",
                "This key is not allowed to do this.",
            ),
            Self::WrongMethod => Dressed::new(
                S::METHOD_NOT_ALLOWED,
                "MethodNotAllowed",
                "This method is not allowed here.",
            ),
            Self::NoSuchPath => {
                Dressed::new(S::NOT_FOUND, "NotFound", "There is nothing at this path.")
            }
            Self::Body(error) => {
                Dressed::new(error.status(), "SerializationException", sentence(error))
            }
            Self::Invalid(faults) => {
                let first = faults.first();
                let message = first.map_or("", |fault| fault.message.as_str());
                let code = first.map_or("ArgumentException", |fault| fault.code);
                Dressed {
                    faults: faults.clone(),
                    ..Dressed::new(S::BAD_REQUEST, code, message)
                }
            }
            Self::App(error) => of_app(error),
        }
    }
}

fn of_app(error: &AppError) -> Dressed {
    match error {
        AppError::NotFound { .. } => not_found(),
        AppError::Article(error) => of_article(error),
        AppError::Offer(error) => of_articles(error),
        AppError::Payment(error) => of_payment(error),
        AppError::Order(error) => of_order(error),
        AppError::Refused(refusal) => Dressed::new(
            StatusCode::BAD_REQUEST,
            "StripeException",
            refusal.message.clone(),
        ),
        AppError::RefusedBefore(_) | AppError::NotPaid { .. } | AppError::KeyReused => {
            conflict(sentence(error))
        }
        AppError::KeyInUse => conflict(sentence(error)).retry_after_s(1),
        AppError::TooManyRequests { wait_s } => {
            let message = "Too many requests with this key. Please send it again, a little later.";
            Dressed::new(StatusCode::TOO_MANY_REQUESTS, "TooManyRequests", message)
                .retry_after_s(*wait_s)
        }
        AppError::OutcomeUnknown => {
            let message = "The payment provider has not answered yet. Please repeat the request.";
            Dressed::new(StatusCode::SERVICE_UNAVAILABLE, "OutcomeUnknown", message)
                .retry_after_s(2)
        }
        AppError::Unavailable => {
            let message = "The service is not available just now. Please try again.";
            Dressed::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "ServiceUnavailable",
                message,
            )
            .retry_after_s(5)
        }
        AppError::Internal => Dressed::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "InternalServerError",
            "Something went wrong on our side.",
        ),
    }
}

fn of_article(error: &ArticleError) -> Dressed {
    match error {
        ArticleError::NoSuchArticle => not_found(),
        ArticleError::ListedDifferently
        | ArticleError::UnusableName
        | ArticleError::Unpriceable(_) => of_articles(error),
    }
}

fn of_payment(error: &PaymentError) -> Dressed {
    match error {
        PaymentError::NoSuchPayment => not_found(),
        PaymentError::AmountTooSmall { .. } => of_amount("AmountTooSmall", error),
        PaymentError::AmountTooLarge { .. } => of_amount("AmountTooLarge", error),
        PaymentError::AmountInvalid { .. }
        | PaymentError::CurrencyMismatch { .. }
        | PaymentError::Metadata(_) => of_articles(error),
        PaymentError::AlreadyCreated
        | PaymentError::UnexpectedState { .. }
        | PaymentError::NeedsPaymentMethod
        | PaymentError::ExceedsHold { .. }
        | PaymentError::ExceedsRefundable { .. }
        | PaymentError::AlreadyRefunded
        | PaymentError::InProgress
        | PaymentError::NothingCaptured => conflict(sentence(error)),
    }
}

fn of_order(error: &OrderError) -> Dressed {
    match error {
        OrderError::NoSuchOrder => not_found(),
        OrderError::LinesDoNotAddUp | OrderError::Unpayable(_) => of_articles(error),
        OrderError::AlreadyPaid => {
            conflict("This reference is paid already: no other checkout is opened.".to_owned())
        }
        OrderError::PlacedDifferently
        | OrderError::OrderIsCancelled
        | OrderError::PaymentUnderWay
        | OrderError::NotItsPayment => conflict(sentence(error)),
    }
}

/// The same for what does not exist and for what is another merchant's.
fn not_found() -> Dressed {
    let message = "There is no such company, article or checkout.";
    Dressed::new(StatusCode::NOT_FOUND, "NotFound", message)
}

fn conflict(message: String) -> Dressed {
    Dressed::new(StatusCode::CONFLICT, "Conflict", message)
}

fn of_amount(code: &'static str, error: &dyn std::error::Error) -> Dressed {
    Dressed::new(StatusCode::BAD_REQUEST, code, sentence(error)).of("Articles")
}

fn of_articles(error: &dyn std::error::Error) -> Dressed {
    of_amount("ArgumentException", error)
}
