//! Stripe's error object, and which of our errors becomes which.

use aggregates::order::OrderError;
use aggregates::payment::PaymentError;
use aggregates::payment::error::ErrorKind;
use aggregates::payment::event::{Decline, Refusal};
use axum::Json;
use axum::response::{IntoResponse, Response};
use http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue, StatusCode};
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use crate::doors::firewall::{holds_card_number, key_holds_card_number};
use crate::doors::sentence;
use crate::http::body::BodyError;
use crate::use_cases::{AppError, StripeAnswer};

/// Says that the answer was given before, under the same idempotency key.
pub static IDEMPOTENT_REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
/// Whether the same request may be sent again.
pub static STRIPE_SHOULD_RETRY: HeaderName = HeaderName::from_static("stripe-should-retry");

const INVALID_REQUEST: &str = "invalid_request_error";
const API: &str = "api_error";
const CARD: &str = "card_error";
const IDEMPOTENCY: &str = "idempotency_error";
const MISSING: &str = "resource_missing";
const UNEXPECTED_STATE: &str = "payment_intent_unexpected_state";

/// An error answer of this door.
pub struct StripeError(Box<Parts>);

struct Parts {
    status: StatusCode,
    error: ErrorObject,
    retry_after_s: Option<u64>,
    should_retry: bool,
    replayed: bool,
}

#[derive(Serialize)]
struct Body<'a> {
    error: &'a ErrorObject,
}

/// Members that say nothing are left out, as Stripe does.
#[derive(Serialize)]
struct ErrorObject {
    r#type: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    decline_code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    doc_url: Option<String>,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    param: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payment_intent: Option<Box<RawValue>>,
}

impl StripeError {
    fn new(status: StatusCode, kind: &str, message: impl Into<String>) -> Self {
        let error = ErrorObject {
            r#type: kind.to_owned(),
            code: None,
            decline_code: None,
            doc_url: None,
            message: message.into(),
            param: None,
            payment_intent: None,
        };
        Self(Box::new(Parts {
            status,
            error,
            retry_after_s: None,
            should_retry: false,
            replayed: false,
        }))
    }

    /// The request itself is at fault: 400.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, INVALID_REQUEST, message)
    }

    /// No key was presented.
    pub fn no_key() -> Self {
        let message = "You did not provide an API key. Send it as a bearer token, or as the user name of basic auth.";
        Self::new(StatusCode::UNAUTHORIZED, INVALID_REQUEST, message)
    }

    /// The key is nobody's, or is revoked.
    pub fn unknown_key() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            INVALID_REQUEST,
            "Invalid API Key provided: ********",
        )
        .code("api_key_invalid")
        .documented()
    }

    /// A key for browsers was used where a secret one is needed.
    pub fn publishable_key() -> Self {
        let message =
            "This call cannot be made with a publishable API key. Please use a secret API key.";
        Self::new(StatusCode::UNAUTHORIZED, INVALID_REQUEST, message).code("secret_key_required")
    }

    /// The key may not do this.
    pub fn scope_missing() -> Self {
        let message = "The API key does not have the permission that this call needs.";
        Self::new(StatusCode::FORBIDDEN, INVALID_REQUEST, message).code("more_permissions_required")
    }

    /// The caller wants to act for an account that is not its own.
    pub fn no_other_account() -> Self {
        let message = "The key does not have access to another account: connected accounts are not served here.";
        Self::new(StatusCode::FORBIDDEN, INVALID_REQUEST, message).code("account_invalid")
    }

    /// There is nothing at the path.
    pub fn no_such_path() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            INVALID_REQUEST,
            "Unrecognized request URL.",
        )
        .code("url_invalid")
        .documented()
    }

    /// The path does not take the method; axum adds `Allow`.
    pub fn method_not_allowed() -> Self {
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            INVALID_REQUEST,
            "This method is not allowed at this URL.",
        )
    }

    /// The issuer said no: 402.
    pub fn declined(it: &Decline) -> Self {
        let mut error =
            Self::new(StatusCode::PAYMENT_REQUIRED, CARD, it.message.clone()).code(&it.code);
        error.0.error.decline_code.clone_from(&it.decline_code);
        error
    }

    /// Stripe refused for good: its own words.
    pub fn refused(it: &Refusal) -> Self {
        let status = StatusCode::from_u16(it.status)
            .ok()
            .filter(StatusCode::is_client_error);
        let mut error = Self::new(
            status.unwrap_or(StatusCode::BAD_REQUEST),
            &it.kind,
            it.message.clone(),
        );
        error.0.error.code.clone_from(&it.code);
        error.0.error.param.clone_from(&it.param);
        error
    }

    /// Stripe's error code.
    pub fn code(mut self, code: &str) -> Self {
        self.0.error.code = Some(code.to_owned());
        self
    }

    /// The parameter that is at fault, in Stripe's bracket notation.
    pub fn param(mut self, param: &str) -> Self {
        self.0.error.param = Some(param.to_owned());
        self
    }

    /// With the intent that it is about.
    pub fn with_intent(mut self, intent: &impl Serialize) -> Self {
        let written = to_raw_value(intent).expect("an intent of texts and numbers serialises");
        self.0.error.payment_intent = Some(written);
        self
    }

    /// Where a key was used for another request, the message names the key.
    pub fn naming(mut self, key: Option<&str>) -> Self {
        let error = &mut self.0.error;
        if let Some(key) =
            key.filter(|key| error.r#type == IDEMPOTENCY && !key_holds_card_number(key))
        {
            error.message.push_str(&format!(
                " Try using a key other than '{key}' if you meant to execute a different request."
            ));
        }
        self
    }

    /// Where the thing that was not found stands in the path, Stripe calls it so.
    pub fn missing_in_path(self, param: &str) -> Self {
        if self.is_missing() {
            self.param(param)
        } else {
            self
        }
    }

    /// Where the thing that was not found is named by a parameter, it is the request that is at fault: 400.
    pub fn missing_in_body(mut self) -> Self {
        if self.is_missing() {
            self.0.status = StatusCode::BAD_REQUEST;
        }
        self
    }

    fn is_missing(&self) -> bool {
        self.0.error.code.as_deref() == Some(MISSING)
    }

    /// With the address of what Stripe documents of its code.
    pub fn documented(mut self) -> Self {
        let error = &mut self.0.error;
        if let Some(code) = &error.code {
            let page = code.replace('_', "-");
            error.doc_url = Some(format!("https://stripe.com/docs/error-codes/{page}"));
        }
        self
    }

    /// The answer that it is, to be kept.
    pub fn as_answer(&self) -> StripeAnswer {
        let body = Body {
            error: &self.0.error,
        };
        StripeAnswer {
            status: self.0.status.as_u16(),
            body: serde_json::to_value(body).expect("an error of texts serialises"),
            replayed: false,
        }
    }

    /// Whether it is an answer that was given before.
    pub fn replayed(mut self, replayed: bool) -> Self {
        self.0.replayed = replayed;
        self
    }

    /// Whether the state of the intent is the reason.
    pub fn is_about_state(&self) -> bool {
        self.0.error.code.as_deref() == Some(UNEXPECTED_STATE)
    }

    /// The same request may be sent again.
    fn retry_after_s(mut self, seconds: u64) -> Self {
        self.0.retry_after_s = Some(seconds);
        self.0.should_retry = true;
        self
    }
}

impl IntoResponse for StripeError {
    fn into_response(self) -> Response {
        let Parts {
            status,
            error,
            retry_after_s,
            should_retry,
            replayed,
        } = *self.0;
        let mut response = (status, Json(Body { error: &error })).into_response();
        let headers = response.headers_mut();
        if let Some(seconds) = retry_after_s {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if should_retry {
            headers.insert(
                STRIPE_SHOULD_RETRY.clone(),
                HeaderValue::from_static("true"),
            );
        }
        if replayed {
            headers.insert(
                IDEMPOTENT_REPLAYED.clone(),
                HeaderValue::from_static("true"),
            );
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

impl From<BodyError> for StripeError {
    fn from(error: BodyError) -> Self {
        let message = match &error {
            BodyError::WrongType { .. } => {
                "Invalid request body: it must be a JSON object.".to_owned()
            }
            _ => format!("Invalid request body: {error}."),
        };
        Self::new(error.status(), INVALID_REQUEST, message)
    }
}

impl From<AppError> for StripeError {
    fn from(error: AppError) -> Self {
        match error {
            AppError::NotFound { what, id } => not_found(what, &id),
            AppError::Article(error) => Self::invalid(sentence(&error.to_string())),
            AppError::Offer(error) => Self::invalid(sentence(&error.to_string())),
            AppError::Payment(error) => of_payment(&error),
            AppError::Order(error) => of_order(&error),
            AppError::Refused(refusal) => Self::refused(&refusal),
            AppError::RefusedBefore(_) | AppError::NotPaid { .. } => {
                Self::invalid(sentence(&error.to_string()))
            }
            AppError::OutcomeUnknown => {
                let message =
                    "It is not known yet what came of this request. Please send it again.";
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, API, message).retry_after_s(2)
            }
            AppError::KeyInUse => {
                let message =
                    "A request with this idempotency key is still running. Please send it again.";
                let error = Self::new(StatusCode::CONFLICT, INVALID_REQUEST, message);
                error.code("idempotency_key_in_use").retry_after_s(1)
            }
            AppError::TooManyRequests { wait_s } => {
                let message = "Too many requests with this key in too short a time. Please send it again, a little later.";
                let error = Self::new(StatusCode::TOO_MANY_REQUESTS, INVALID_REQUEST, message);
                error.code("rate_limit").retry_after_s(wait_s)
            }
            AppError::KeyReused => {
                let message = "Keys for idempotent requests can only be used with the same parameters they were first used with.";
                Self::new(StatusCode::BAD_REQUEST, IDEMPOTENCY, message)
            }
            AppError::Unavailable => {
                let message =
                    "The service is not available just now. Please send the request again.";
                Self::new(StatusCode::SERVICE_UNAVAILABLE, API, message).retry_after_s(5)
            }
            AppError::Internal => Self::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                API,
                "Something went wrong on our side.",
            ),
        }
    }
}

/// The same for what does not exist and for what is another merchant's. Only what can be an id is repeated.
fn not_found(what: &str, id: &str) -> StripeError {
    let plain = !id.is_empty() && id.len() <= 255 && id.bytes().all(|byte| byte.is_ascii_graphic());
    let shown = if plain && !holds_card_number(id) {
        id
    } else {
        "…"
    };
    let error = StripeError::new(
        StatusCode::NOT_FOUND,
        INVALID_REQUEST,
        format!("No such {what}: '{shown}'"),
    );
    error.code(MISSING).param(what)
}

fn of_payment(error: &PaymentError) -> StripeError {
    let invalid = StripeError::invalid(sentence(&error.to_string()));
    match error {
        PaymentError::NoSuchPayment => not_found("payment_intent", ""),
        PaymentError::AmountTooSmall { .. } => invalid.code("amount_too_small").param("amount"),
        PaymentError::AmountTooLarge { .. } => invalid.code("amount_too_large").param("amount"),
        PaymentError::AmountInvalid { .. } => {
            invalid.code("parameter_invalid_integer").param("amount")
        }
        PaymentError::CurrencyMismatch { .. } => invalid.param("currency"),
        PaymentError::ExceedsHold { .. } => {
            invalid.code("amount_too_large").param("amount_to_capture")
        }
        PaymentError::ExceedsRefundable { .. } => invalid.code("amount_too_large").param("amount"),
        PaymentError::AlreadyRefunded => invalid.code("charge_already_refunded"),
        PaymentError::Metadata(_) => invalid.param("metadata"),
        PaymentError::NothingCaptured => invalid.code("charge_not_refundable"),
        PaymentError::AlreadyCreated
        | PaymentError::UnexpectedState { .. }
        | PaymentError::NeedsPaymentMethod => invalid.code(UNEXPECTED_STATE),
        PaymentError::InProgress => {
            let busy = StripeError::new(
                StatusCode::TOO_MANY_REQUESTS,
                INVALID_REQUEST,
                sentence(&error.to_string()),
            );
            busy.code("lock_timeout").retry_after_s(1)
        }
    }
}

/// A payment made here is of no order of ours; one that is, is the shop's, and its order may have its say.
fn of_order(error: &OrderError) -> StripeError {
    let invalid = StripeError::invalid(sentence(&error.to_string()));
    match error.kind() {
        ErrorKind::NotFound => not_found("order", ""),
        ErrorKind::Invalid => invalid,
        ErrorKind::Conflict | ErrorKind::InProgress => invalid.code(UNEXPECTED_STATE),
    }
}
