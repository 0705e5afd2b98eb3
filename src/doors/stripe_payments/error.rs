//! This door's errors: JSON:API's error objects, with Commerce Layer's codes.

use aggregates::catalogue::{ArticleError, OfferError};
use aggregates::order::OrderError;
use aggregates::payment::PaymentError;
use http::StatusCode;

use crate::doors::sentence;
use crate::http::body::BodyError;
use crate::http::json_api::ErrorObject;
use crate::http::json_api::media::MediaError;
use crate::http::json_api::query::QueryError;
use crate::use_cases::{AppError, SourceError};

/// Why a request is not answered as it wishes.
#[derive(Debug)]
pub struct Refusal {
    pub errors: Vec<ErrorObject>,
    /// In seconds, where asking again may help.
    pub retry_after_s: Option<u64>,
}

impl From<ErrorObject> for Refusal {
    fn from(error: ErrorObject) -> Self {
        Self {
            errors: vec![error],
            retry_after_s: None,
        }
    }
}

impl From<Vec<ErrorObject>> for Refusal {
    fn from(errors: Vec<ErrorObject>) -> Self {
        Self {
            errors,
            retry_after_s: None,
        }
    }
}

impl Refusal {
    fn later(self, seconds: u64) -> Self {
        Self {
            retry_after_s: Some(seconds),
            ..self
        }
    }

    /// No key at all.
    pub fn unauthenticated() -> Self {
        let detail = "This needs an access token: Authorization: Bearer …";
        object(401, "UNAUTHORIZED", "Unauthorized", detail).into()
    }

    /// A key that is malformed, unknown, revoked or for another door: which of them is not said.
    pub fn invalid_token() -> Self {
        let detail = "The access token you provided is not valid.";
        object(401, "INVALID_TOKEN", "Invalid token", detail).into()
    }

    pub fn scope_missing() -> Self {
        let detail = "This access token is not allowed to do this.";
        object(403, "FORBIDDEN", "Forbidden", detail).into()
    }

    /// The same for what is not there and for what is somebody else's.
    pub fn not_found() -> Self {
        record_not_found().into()
    }

    pub fn wrong_method() -> Self {
        let detail = "This method is not allowed here.";
        object(405, "METHOD_NOT_ALLOWED", "Method not allowed", detail).into()
    }

    pub fn locked() -> Self {
        let detail =
            "This payment has taken money, or may be taking it just now: it cannot be deleted.";
        object(423, "LOCKED", "Locked", detail).into()
    }

    pub fn fixed_relationship(pointer: &str) -> Self {
        let detail = "The relationships of a payment cannot be changed.";
        let error = object(403, "FORBIDDEN", "Forbidden", detail);
        error.at(pointer).into()
    }
}

/// A number, for the few places where an error is made.
fn object(status: u16, code: &'static str, title: &'static str, detail: &str) -> ErrorObject {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    ErrorObject::new(status, code, title, detail)
}

/// A parameter or a member that is not allowed here.
pub fn not_allowed(detail: &str) -> ErrorObject {
    object(400, "PARAM_NOT_ALLOWED", "Param not allowed", detail)
}

/// The document is not one that can be read.
pub fn bad_request(detail: &str) -> ErrorObject {
    object(400, "BAD_REQUEST", "Bad request", detail)
}

/// The document's member names something else than the address does.
pub fn conflict(detail: &str) -> ErrorObject {
    object(409, "CONFLICT", "Conflict", detail)
}

pub fn client_id() -> ErrorObject {
    let detail = "Ids are given here, not by clients.";
    object(403, "FORBIDDEN", "Forbidden", detail).at("/data/id")
}

pub fn key_not_included() -> ErrorObject {
    let detail = "The id of the address must stand in the document too.";
    object(
        400,
        "KEY_NOT_INCLUDED_IN_URL",
        "Key is not included in URL",
        detail,
    )
    .at("/data/id")
}

pub fn invalid(detail: &str) -> ErrorObject {
    object(422, "VALIDATION_ERROR", "Validation error", detail)
}

pub fn bad_filter(detail: &str) -> ErrorObject {
    object(400, "FILTER_NOT_ALLOWED", "Filter not allowed", detail)
}

pub fn bad_sort(detail: &str) -> ErrorObject {
    object(
        400,
        "INVALID_SORT_CRITERIA",
        "Invalid sort criteria",
        detail,
    )
    .in_parameter("sort")
}

pub fn bad_include() -> ErrorObject {
    let detail = "Only order, payment_gateway, versions and event_stores of a Stripe payment can be included.";
    object(400, "INVALID_INCLUDE", "Invalid include", detail).in_parameter("include")
}

pub fn bad_field(parameter: &str) -> ErrorObject {
    let detail = "There is no such type, or it has no such field.";
    object(400, "INVALID_FIELD", "Invalid field", detail).in_parameter(parameter)
}

pub fn bad_page(part: &str, detail: &str) -> ErrorObject {
    let error = object(400, "INVALID_PAGE_VALUE", "Invalid page value", detail);
    error.in_parameter(format!("page[{part}]"))
}

pub fn bad_key(detail: String) -> ErrorObject {
    bad_request(&detail).in_header("Idempotency-Key")
}

fn record_not_found() -> ErrorObject {
    let detail = "The requested record could not be found.";
    object(404, "RECORD_NOT_FOUND", "Record not found", detail)
}

impl From<MediaError> for Refusal {
    fn from(error: MediaError) -> Self {
        let detail = sentence(&error);
        match error {
            MediaError::Unsupported => {
                let code = "UNSUPPORTED_MEDIA_TYPE";
                object(415, code, "Unsupported media type", &detail).in_header("Content-Type")
            }
            MediaError::NotAcceptable => {
                object(406, "NOT_ACCEPTABLE", "Not acceptable", &detail).in_header("Accept")
            }
        }
        .into()
    }
}

impl From<QueryError> for Refusal {
    fn from(error: QueryError) -> Self {
        let detail = sentence(&error);
        match error {
            QueryError::Unreadable => bad_request(&detail),
            QueryError::Unknown { parameter } | QueryError::Repeated { parameter } => {
                not_allowed(&detail).in_parameter(parameter)
            }
        }
        .into()
    }
}

impl From<BodyError> for Refusal {
    fn from(error: BodyError) -> Self {
        let detail = sentence(&error);
        let (code, title) = match error {
            BodyError::TooLarge => ("PAYLOAD_TOO_LARGE", "Payload too large"),
            BodyError::TooSlow => ("REQUEST_TIMEOUT", "Request timeout"),
            _ => ("BAD_REQUEST", "Bad request"),
        };
        ErrorObject::new(error.status(), code, title, detail).into()
    }
}

impl From<SourceError> for Refusal {
    fn from(error: SourceError) -> Self {
        match error {
            SourceError::App(error) => error.into(),
            SourceError::Unfit { field, because } => {
                let pointer = format!("/data/attributes/{field}");
                invalid(&sentence(because)).at(pointer).into()
            }
        }
    }
}

impl From<AppError> for Refusal {
    fn from(error: AppError) -> Self {
        let said = |error: &dyn std::error::Error| invalid(&sentence(&error.to_string()));
        match &error {
            AppError::NotFound { what, .. } if *what == "order" => record_not_found()
                .at("/data/relationships/order/data/id")
                .into(),
            AppError::NotFound { .. } => Self::not_found(),
            AppError::Payment(error) => of_payment(error),
            AppError::Order(error) => of_order(error),
            AppError::Offer(OfferError::NoSuchOffer)
            | AppError::Article(ArticleError::NoSuchArticle) => Self::not_found(),
            AppError::Offer(error) => said(error).into(),
            AppError::Article(error) => said(error).into(),
            AppError::Refused(refusal) => {
                let error = invalid(&refusal.message);
                match refusal.param.as_deref() {
                    Some("receipt_email") => error.at("/data/attributes/receipt_email"),
                    Some("amount") => error.at("/data/relationships/order"),
                    Some(_) => error.at("/data/attributes/options"),
                    None => error.at("/data"),
                }
                .into()
            }
            AppError::RefusedBefore(_) | AppError::NotPaid { .. } => {
                conflict(&sentence(&error)).into()
            }
            AppError::KeyInUse => {
                let detail = "A request with this idempotency key is still running.";
                let code = "IDEMPOTENCY_KEY_IN_USE";
                let error = object(409, code, "Idempotency key in use", detail);
                Self::from(error.in_header("Idempotency-Key")).later(1)
            }
            AppError::KeyReused => {
                let detail = "This idempotency key was used with another request.";
                let code = "IDEMPOTENCY_KEY_REUSED";
                let error = object(422, code, "Idempotency key reused", detail);
                error.in_header("Idempotency-Key").into()
            }
            AppError::TooManyRequests { wait_s } => {
                let detail = "Too many requests with this access token.";
                let error = object(429, "TOO_MANY_REQUESTS", "Too many requests", detail);
                Self::from(error).later(*wait_s)
            }
            AppError::OutcomeUnknown => {
                let detail = "Stripe has not answered yet. Repeating the request is safe and goes on with it.";
                let error = object(503, "OUTCOME_UNKNOWN", "Outcome unknown", detail);
                Self::from(error).later(2)
            }
            AppError::Unavailable => {
                let detail = "The service is not available just now.";
                let error = object(503, "SERVICE_UNAVAILABLE", "Service unavailable", detail);
                Self::from(error).later(5)
            }
            AppError::Internal => {
                let detail = "Something went wrong on our side.";
                object(500, "INTERNAL_ERROR", "Internal error", detail).into()
            }
        }
    }
}

fn of_payment(error: &PaymentError) -> Refusal {
    let detail = sentence(error);
    match error {
        PaymentError::NoSuchPayment => Refusal::not_found(),
        PaymentError::AmountTooSmall { .. }
        | PaymentError::AmountTooLarge { .. }
        | PaymentError::AmountInvalid { .. }
        | PaymentError::CurrencyMismatch { .. } => {
            invalid(&detail).at("/data/relationships/order").into()
        }
        PaymentError::InProgress => Refusal::from(conflict(&detail)).later(1),
        PaymentError::AlreadyCreated
        | PaymentError::UnexpectedState { .. }
        | PaymentError::NeedsPaymentMethod
        | PaymentError::ExceedsHold { .. }
        | PaymentError::ExceedsRefundable { .. }
        | PaymentError::AlreadyRefunded
        | PaymentError::NothingCaptured
        | PaymentError::Metadata(_) => invalid(&detail).at("/data").into(),
    }
}

fn of_order(error: &OrderError) -> Refusal {
    match error {
        OrderError::NoSuchOrder => Refusal::not_found(),
        OrderError::PlacedDifferently
        | OrderError::AlreadyPaid
        | OrderError::OrderIsCancelled
        | OrderError::PaymentUnderWay
        | OrderError::NotItsPayment
        | OrderError::LinesDoNotAddUp
        | OrderError::Unpayable(_) => invalid(&sentence(error))
            .at("/data/relationships/order")
            .into(),
    }
}
