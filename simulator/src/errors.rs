//! Errors in Stripe's form: `{"error": {"type", "code", "message", "param", …}}`.

use serde_json::{Map, Value, json};

/// The family of an error, Stripe's `type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorType {
    /// The request itself is at fault.
    InvalidRequest,
    /// The card was refused or cannot be used.
    Card,
    /// An idempotency key was reused with other parameters, or is in use.
    Idempotency,
    /// The simulator's (Stripe's) own failure.
    Api,
}

impl ErrorType {
    fn as_str(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request_error",
            Self::Card => "card_error",
            Self::Idempotency => "idempotency_error",
            Self::Api => "api_error",
        }
    }
}

/// An error answer: its HTTP status, its body, and whether it counts as executed.
///
/// An executed error is committed together with what it changed (a declined confirmation leaves its failed charge), and is remembered under the
/// idempotency key. Any other leaves no trace.
#[derive(Debug, Clone)]
pub struct ApiError(Box<Parts>);

#[derive(Debug, Clone)]
struct Parts {
    status: u16,
    error_type: ErrorType,
    message: String,
    extra: Map<String, Value>,
    executed: bool,
    should_retry: Option<bool>,
}

impl ApiError {
    /// An error of the given status and family.
    pub fn new(status: u16, error_type: ErrorType, message: impl Into<String>) -> Self {
        Self(Box::new(Parts {
            status,
            error_type,
            message: message.into(),
            extra: Map::new(),
            executed: false,
            should_retry: None,
        }))
    }

    /// A 400 `invalid_request_error`: nothing was executed.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(400, ErrorType::InvalidRequest, message)
    }

    /// A required parameter is absent.
    pub fn missing(param: &str) -> Self {
        Self::invalid(format!("Missing required param: {param}."))
            .code("parameter_missing")
            .param(param)
    }

    /// An object named in the path does not exist on this account: 404.
    pub fn not_found(what: &str, id: &str, param: &str) -> Self {
        Self::new(
            404,
            ErrorType::InvalidRequest,
            format!("No such {what}: '{id}'"),
        )
        .code("resource_missing")
        .param(param)
    }

    /// An object named by a parameter does not exist on this account: 400.
    pub fn no_such(what: &str, id: &str, param: &str) -> Self {
        Self::invalid(format!("No such {what}: '{id}'"))
            .code("resource_missing")
            .param(param)
    }

    /// The simulator itself failed; nothing was changed.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(500, ErrorType::Api, message).retry(true)
    }

    /// With Stripe's error code.
    #[must_use]
    pub fn code(self, code: &str) -> Self {
        self.with("code", json!(code)).with(
            "doc_url",
            json!(format!(
                "https://stripe.com/docs/error-codes/{}",
                code.replace('_', "-")
            )),
        )
    }

    /// With the parameter that is at fault, in bracket notation.
    #[must_use]
    pub fn param(self, param: impl Into<String>) -> Self {
        let param = param.into();
        self.with("param", json!(param))
    }

    /// With one more member of the error object.
    #[must_use]
    pub fn with(mut self, key: &str, value: Value) -> Self {
        self.0.extra.insert(key.to_owned(), value);
        self
    }

    /// Marks the error as the outcome of an executed request.
    #[must_use]
    pub fn executed(mut self) -> Self {
        self.0.executed = true;
        self
    }

    /// With the `Stripe-Should-Retry` header.
    #[must_use]
    pub fn retry(mut self, should: bool) -> Self {
        self.0.should_retry = Some(should);
        self
    }

    /// Whether the request was executed: its effects and its answer are kept.
    pub fn is_executed(&self) -> bool {
        self.0.executed
    }

    /// The text for people.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The HTTP status.
    pub fn status(&self) -> u16 {
        self.0.status
    }

    /// The value of `Stripe-Should-Retry`, where Stripe sends it.
    pub fn should_retry(&self) -> Option<bool> {
        self.0.should_retry
    }

    /// The error object without the envelope, as `last_payment_error` holds it.
    pub fn object(&self) -> Value {
        let mut object = self.0.extra.clone();
        object.insert("type".to_owned(), json!(self.0.error_type.as_str()));
        object.insert("message".to_owned(), json!(self.0.message));
        Value::Object(object)
    }

    /// The whole body.
    pub fn body(&self) -> Value {
        json!({ "error": self.object() })
    }
}

/// What handlers return.
pub type Outcome<T> = Result<T, ApiError>;
