//! Reading a request's body within limits, and JSON from it. The errors are neutral and quote nothing of what was
//! sent (it may be a card number in the wrong field); doors dress them.

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, Request};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, EXPECT};
use http::{HeaderMap, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;
use std::convert::Infallible;
use std::time::Duration;

/// The largest body that is read: 1 MiB, for all doors.
pub const BODY_BYTES_MAX: usize = 1024 * 1024;
/// The deepest nesting of arrays and objects that is read; no door's format needs a third of it.
pub const JSON_LEVELS_MAX: usize = 32;
/// A client that has not sent its whole body by then is let go.
const BODY_WITHIN: Duration = Duration::from_secs(30);
/// How much of a body that is too large is read before it is refused, and for how long.
const DRAINED_BYTES_MAX: usize = 16 * BODY_BYTES_MAX;
const DRAINED_WITHIN: Duration = Duration::from_secs(3);

/// Why a body could not be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// More than [`BODY_BYTES_MAX`].
    #[error("the body is larger than {BODY_BYTES_MAX} bytes")]
    TooLarge,
    /// It did not arrive within 30 seconds.
    #[error("the body did not arrive in time")]
    TooSlow,
    /// The connection broke, or the transfer encoding is wrong.
    #[error("the body could not be read to its end")]
    Unreadable,
    /// Nothing but white space.
    #[error("the body is empty")]
    Empty,
    /// It is not JSON from the given place on.
    #[error("the body is not valid JSON (line {line}, column {column})")]
    NotJson {
        /// Counted from 1.
        line: usize,
        /// Counted from 1; 0 at the end of the text.
        column: usize,
    },
    /// Nested deeper than [`JSON_LEVELS_MAX`].
    #[error("the body is nested deeper than {JSON_LEVELS_MAX} levels")]
    TooDeep,
    /// A required member is absent.
    #[error("`{field}` is missing")]
    Missing {
        /// The path of the member, such as `data.amount`.
        field: String,
    },
    /// A member is of another type, or has a value that its type does not take.
    #[error("`{field}` is not {expected}")]
    WrongType {
        /// The path of the member; `.` is the body itself.
        field: String,
        /// What was wanted, such as "a string".
        expected: String,
    },
}

impl BodyError {
    /// The status that goes with it at every door.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            _ => StatusCode::BAD_REQUEST,
        }
    }
}

/// What the `Content-Type` says, as far as doors tell types apart. Parameters such as `charset` do not matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MediaType {
    /// `application/json`, or anything that ends in `+json`.
    Json,
    /// `application/x-www-form-urlencoded`, which Stripe's own clients send.
    Form,
    /// No such header.
    Absent,
    /// Anything else.
    Other,
}

impl MediaType {
    /// Reads the header.
    pub fn of(headers: &HeaderMap) -> Self {
        let Some(value) = headers.get(CONTENT_TYPE) else {
            return Self::Absent;
        };
        let essence = value
            .to_str()
            .unwrap_or_default()
            .split(';')
            .next()
            .unwrap_or_default();
        match essence.trim().to_ascii_lowercase().as_str() {
            "application/json" => Self::Json,
            "application/x-www-form-urlencoded" => Self::Form,
            it if it.ends_with("+json") => Self::Json,
            _ => Self::Other,
        }
    }
}

/// A body as an extractor that never rejects, so that the door words the error: `async fn create(body: RawBody)`.
#[derive(Debug)]
pub struct RawBody(pub Result<Bytes, BodyError>);

impl<S: Sync> FromRequest<S> for RawBody {
    type Rejection = Infallible;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Infallible> {
        let (parts, body) = request.into_parts();
        Ok(Self(read(&parts.headers, body).await))
    }
}

impl RawBody {
    /// The body as JSON; see [`json`].
    ///
    /// # Errors
    /// What went wrong while reading, or what [`json`] says.
    pub fn json<T: DeserializeOwned>(self) -> Result<T, BodyError> {
        json(&self.0?)
    }
}

/// Reads the whole body. One whose announced length is too large is refused unread, or read and thrown away where its
/// sender did not ask first.
///
/// # Errors
/// [`TooLarge`](BodyError::TooLarge), [`TooSlow`](BodyError::TooSlow), [`Unreadable`](BodyError::Unreadable).
pub async fn read(headers: &HeaderMap, body: Body) -> Result<Bytes, BodyError> {
    read_within(BODY_WITHIN, headers, body).await
}

async fn read_within(
    within: Duration,
    headers: &HeaderMap,
    body: Body,
) -> Result<Bytes, BodyError> {
    let announced = headers
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced
        .is_some_and(|bytes| usize::try_from(bytes).is_ok_and(|bytes| bytes > BODY_BYTES_MAX))
    {
        // A client that asked first hears the answer; another one only once it has sent, or its connection would break.
        if !headers.contains_key(EXPECT) {
            drain(body).await;
        }
        return Err(BodyError::TooLarge);
    }
    let whole = Limited::new(body, BODY_BYTES_MAX).collect();
    match tokio::time::timeout(within, whole).await {
        Err(_) => Err(BodyError::TooSlow),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(BodyError::TooLarge),
        Ok(Err(_)) => Err(BodyError::Unreadable),
        Ok(Ok(whole)) => Ok(whole.to_bytes()),
    }
}

/// Reads a body that nobody wants, within bounds.
async fn drain(mut body: Body) {
    let read = async {
        let mut left = DRAINED_BYTES_MAX;
        while let Some(Ok(frame)) = body.frame().await {
            left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
            if left == 0 {
                return;
            }
        }
    };
    // Whoever sends more, or slower, has its connection closed.
    let _ = tokio::time::timeout(DRAINED_WITHIN, read).await;
}

/// Reads `bytes` as JSON; of a member that is there twice the last one counts.
///
/// # Errors
/// Every [`BodyError`] but those of [`read`].
pub fn json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, BodyError> {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(BodyError::Empty);
    }
    if deeper_than(bytes, JSON_LEVELS_MAX) {
        return Err(BodyError::TooDeep);
    }
    let mut text = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut text).map_err(|error| neutral(&error))?;
    text.end().map_err(|error| not_json(&error))?;
    Ok(value)
}

fn not_json(error: &serde_json::Error) -> BodyError {
    BodyError::NotJson {
        line: error.line(),
        column: error.column(),
    }
}

/// serde_json's message quotes the value that it did not expect; only what our own types wanted is let through.
fn neutral(error: &serde_path_to_error::Error<serde_json::Error>) -> BodyError {
    let inner = error.inner();
    if !inner.is_data() {
        return not_json(inner);
    }
    let path = shown_path(error.path());
    let said = inner.to_string();
    let said = said
        .rsplit_once(" at line ")
        .map_or(said.as_str(), |(said, _place)| said);
    if let Some(name) = said
        .strip_prefix("missing field `")
        .and_then(|rest| rest.strip_suffix('`'))
    {
        let field = if path == "." {
            name.to_owned()
        } else {
            format!("{path}.{name}")
        };
        return BodyError::Missing { field };
    }
    let wanted = said
        .rsplit_once(", expected ")
        .map_or("", |(_quoted, wanted)| wanted);
    BodyError::WrongType {
        field: path,
        expected: in_words(wanted),
    }
}

/// What one of our types wanted, in JSON's words instead of Rust's.
fn in_words(wanted: &str) -> String {
    match wanted.split(' ').next().unwrap_or_default() {
        "" => "a value of its type",
        "struct" | "map" | "internally" => "an object",
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number, not negative, within its range",
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number within its range",
        _ => match wanted {
            "a map" => "an object",
            "a sequence" => "an array",
            other => other,
        },
    }
    .to_owned()
}

/// The path of a member. A name that no field of ours could have (in a map it is the caller's) is shown as `…`.
fn shown_path(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    let plain = |key: &str| {
        key.len() <= 40
            && key
                .bytes()
                .all(|byte| byte.is_ascii_alphabetic() || byte == b'_')
    };
    let segments = path.iter().map(|segment| match segment {
        Segment::Map { key } | Segment::Enum { variant: key } if plain(key) => key.clone(),
        Segment::Seq { index } => index.to_string(),
        _ => "…".to_owned(),
    });
    let joined = segments.collect::<Vec<_>>().join(".");
    if joined.is_empty() {
        ".".to_owned()
    } else {
        joined
    }
}

/// Whether arrays and objects nest deeper than `levels_max`: looked at before parsing, since a parser that builds
/// values recurses.
fn deeper_than(text: &[u8], levels_max: usize) -> bool {
    let (mut level, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in text {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => level += 1,
            b']' | b'}' if !in_string => level = level.saturating_sub(1),
            _ => {}
        }
        if level > levels_max {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;
    use serde_json::Value;
    use std::collections::HashMap;

    #[derive(Debug, Deserialize, PartialEq)]
    struct Wanted {
        data: Inner,
        #[serde(default)]
        extra: HashMap<String, u32>,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    struct Inner {
        amount: u32,
    }

    fn wrong(text: &str) -> BodyError {
        json::<Wanted>(text.as_bytes()).unwrap_err()
    }

    #[test]
    fn every_kind_of_bad_json_has_its_error() {
        assert_eq!(wrong(" \n"), BodyError::Empty);
        assert_eq!(
            wrong("{\n\"data\":"),
            BodyError::NotJson { line: 2, column: 7 }
        );
        assert_eq!(
            wrong(r#"{"data":{"amount":1}} x"#),
            BodyError::NotJson {
                line: 1,
                column: 23
            }
        );
        assert_eq!(
            wrong(r#"{"data":{}}"#),
            BodyError::Missing {
                field: "data.amount".into()
            }
        );
        assert_eq!(
            wrong("{}"),
            BodyError::Missing {
                field: "data".into()
            }
        );
        let whole = "a whole number, not negative, within its range";
        let wrong_type = |field: &str, expected: &str| BodyError::WrongType {
            field: field.into(),
            expected: expected.into(),
        };
        assert_eq!(
            wrong(r#"{"data":{"amount":"1"}}"#),
            wrong_type("data.amount", whole)
        );
        assert_eq!(
            wrong(r#"{"data":{"amount":-1}}"#),
            wrong_type("data.amount", whole)
        );
        assert_eq!(wrong("[]"), wrong_type(".", "an object"));
        assert_eq!(
            wrong("\u{feff}{}"),
            BodyError::NotJson { line: 1, column: 1 }
        );
    }

    #[test]
    fn an_error_never_quotes_what_was_sent() {
        // Planted bug that turns this red: handing serde_json's own message on.
        let card = "4242424242424242";
        let bodies = [
            format!(r#"{{"data":{{"amount":"{card}"}}}}"#),
            format!(r#"{{"data":"{card}, expected "}}"#),
            format!(r#"{{"data":{{"amount":1}},"extra":{{"{card}":"x"}}}}"#),
            format!("{{\"data\":{card}"),
        ];
        for body in bodies {
            let error = wrong(&body);
            assert!(!format!("{error} {error:?}").contains("4242"), "{error:?}");
        }
    }

    #[test]
    fn nesting_is_bounded_and_brackets_in_strings_do_not_count() {
        let nested = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
        assert!(json::<Value>(nested(JSON_LEVELS_MAX).as_bytes()).is_ok());
        assert_eq!(
            json::<Value>(nested(JSON_LEVELS_MAX + 1).as_bytes()),
            Err(BodyError::TooDeep)
        );
        let huge = "[".repeat(BODY_BYTES_MAX);
        assert_eq!(json::<Value>(huge.as_bytes()), Err(BodyError::TooDeep));
        let text = format!(r#"{{"a\"":"{}"}}"#, "[{".repeat(100));
        assert!(json::<Value>(text.as_bytes()).is_ok());
    }

    #[test]
    fn the_media_type_is_read_without_its_parameters() {
        let of = |value: &'static str| {
            MediaType::of(&HeaderMap::from_iter([(
                CONTENT_TYPE,
                http::HeaderValue::from_static(value),
            )]))
        };
        assert_eq!(of("application/json; charset=utf-8"), MediaType::Json);
        assert_eq!(of("Application/Vnd.Api+Json"), MediaType::Json);
        assert_eq!(of("application/x-www-form-urlencoded"), MediaType::Form);
        assert_eq!(of("text/csv"), MediaType::Other);
        assert_eq!(MediaType::of(&HeaderMap::new()), MediaType::Absent);
    }

    #[tokio::test]
    async fn a_body_over_the_limit_is_refused_whether_it_announces_itself_or_not() {
        let announced =
            HeaderMap::from_iter([(CONTENT_LENGTH, http::HeaderValue::from(BODY_BYTES_MAX + 1))]);
        assert_eq!(
            read(&announced, Body::empty()).await,
            Err(BodyError::TooLarge)
        );
        let silent = Body::from(vec![b' '; BODY_BYTES_MAX + 1]);
        assert_eq!(
            read(&HeaderMap::new(), silent).await,
            Err(BodyError::TooLarge)
        );
        let fits = Body::from(vec![b' '; BODY_BYTES_MAX]);
        assert_eq!(
            read(&HeaderMap::new(), fits).await.map(|bytes| bytes.len()),
            Ok(BODY_BYTES_MAX)
        );
    }

    #[tokio::test]
    async fn a_body_that_never_ends_is_let_go() {
        let endless =
            Body::from_stream(futures::stream::pending::<Result<Bytes, std::io::Error>>());
        let read = read_within(Duration::from_millis(10), &HeaderMap::new(), endless).await;
        assert_eq!(read, Err(BodyError::TooSlow));
    }
}
