//! Which media types a request may be in and an answer may have (JSON:API 1.1, "content negotiation").

use http::HeaderMap;
use http::header::{ACCEPT, CONTENT_TYPE};

use super::MEDIA_TYPE;

/// Why a request is not understood, or its answer would not be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MediaError {
    /// 415.
    #[error("the body must be application/vnd.api+json without media type parameters")]
    Unsupported,
    /// 406.
    #[error("the answer can only be application/vnd.api+json without media type parameters")]
    NotAcceptable,
}

/// Whether the request's own type is the media type without parameters but `profile`. Where there is no body, another type does
/// not matter.
///
/// # Errors
/// [`MediaError::Unsupported`].
pub fn check_content_type(headers: &HeaderMap, has_body: bool) -> Result<(), MediaError> {
    let mut values = headers.get_all(CONTENT_TYPE).iter();
    let value = values.next().and_then(|value| value.to_str().ok());
    let only = values.next().is_none();
    match value.map(Instance::of) {
        Some(it) if it.essence == MEDIA_TYPE && it.is_plain && only => Ok(()),
        Some(it) if it.essence == MEDIA_TYPE => Err(MediaError::Unsupported),
        Some(_) | None if has_body => Err(MediaError::Unsupported),
        Some(_) | None => Ok(()),
    }
}

/// Whether the caller takes the media type: where it names it, at least once without parameters but `profile`.
///
/// # Errors
/// [`MediaError::NotAcceptable`].
pub fn check_accept(headers: &HeaderMap) -> Result<(), MediaError> {
    let values = headers.get_all(ACCEPT).iter();
    let texts = values.filter_map(|value| value.to_str().ok());
    let instances: Vec<Instance> = texts
        .flat_map(split_quoted)
        .filter(|text| !text.trim().is_empty())
        .map(Instance::of)
        .collect();
    let mut own = instances
        .iter()
        .filter(|it| it.essence == MEDIA_TYPE)
        .peekable();
    let acceptable = if own.peek().is_some() {
        own.any(|it| it.is_plain)
    } else {
        // JSON:API is JSON: who asks for that can read it.
        let wide = ["*/*", "application/*", "application/json"];
        instances.is_empty() || instances.iter().any(|it| wide.contains(&&*it.essence))
    };
    acceptable.then_some(()).ok_or(MediaError::NotAcceptable)
}

/// One media type of a header.
struct Instance {
    /// In small letters.
    essence: String,
    /// It has no parameter that changes the meaning: none but `profile`, and the weight of an `Accept`.
    is_plain: bool,
}

impl Instance {
    fn of(text: &str) -> Self {
        let mut parts = text.split(';');
        let essence = parts.next().unwrap_or_default().trim().to_ascii_lowercase();
        let is_plain = parts.all(|parameter| {
            let name = parameter.split('=').next().unwrap_or_default().trim();
            name.eq_ignore_ascii_case("profile") || name.eq_ignore_ascii_case("q")
        });
        Self { essence, is_plain }
    }
}

/// At the commas that are not inside quotes: a profile's value may hold some.
fn split_quoted(text: &str) -> Vec<&str> {
    let (mut quoted, mut begins, mut parts) = (false, 0, Vec::new());
    for (at, letter) in text.char_indices() {
        match letter {
            '"' => quoted = !quoted,
            ',' if !quoted => {
                parts.push(&text[begins..at]);
                begins = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[begins..]);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: http::HeaderName, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name, http::HeaderValue::from_static(value))])
    }

    #[test]
    fn a_body_is_in_the_media_type_and_nothing_else() {
        for (value, taken) in [
            ("application/vnd.api+json", true),
            ("Application/Vnd.Api+Json", true),
            (
                "application/vnd.api+json; profile=\"https://example.com/x\"",
                true,
            ),
            ("application/vnd.api+json; charset=utf-8", false),
            (
                "application/vnd.api+json; ext=\"https://example.com/x\"",
                false,
            ),
            ("application/vnd.api+json;version=1", false),
            ("application/json", false),
            ("text/plain", false),
        ] {
            let headers = headers(CONTENT_TYPE, value);
            assert_eq!(check_content_type(&headers, true).is_ok(), taken, "{value}");
        }
        assert!(check_content_type(&HeaderMap::new(), true).is_err());
        assert!(check_content_type(&HeaderMap::new(), false).is_ok());
        let none = headers(CONTENT_TYPE, "text/plain");
        assert!(check_content_type(&none, false).is_ok());
        let changed = headers(CONTENT_TYPE, "application/vnd.api+json; charset=utf-8");
        assert!(check_content_type(&changed, false).is_err());
    }

    #[test]
    fn an_answer_is_refused_where_every_instance_is_changed_by_a_parameter() {
        for (value, taken) in [
            ("application/vnd.api+json", true),
            ("text/html, application/vnd.api+json;q=0.5", true),
            (
                "application/vnd.api+json; charset=utf-8, application/vnd.api+json",
                true,
            ),
            ("application/vnd.api+json; charset=utf-8", false),
            ("application/vnd.api+json; ext=\"a,b\", */*", false),
            ("application/vnd.api+json; profile=\"a,b\"", true),
            ("*/*", true),
            ("application/json", true),
            ("", true),
            ("text/html", false),
        ] {
            let headers = headers(ACCEPT, value);
            assert_eq!(check_accept(&headers).is_ok(), taken, "{value}");
        }
        assert!(check_accept(&HeaderMap::new()).is_ok());
    }
}
