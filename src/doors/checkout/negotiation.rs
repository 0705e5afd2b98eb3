//! In which format a client speaks, and in which it wants its answer.

use axum::body::Body;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, Uri};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

use super::formats::{self, Format};
use crate::http::body::{self, BodyError, MediaType};

/// The members of a request, by their names in lower case; those without a value are not there.
pub type Said = BTreeMap<String, Value>;

/// The format that is wanted: by the path (`….csv`, `/csv/reply/…`), then by `?format=`, then by `Accept`. What says none of ours
/// is answered in JSON.
pub fn wanted(uri: &Uri, headers: &HeaderMap) -> Format {
    let of_query = || {
        let pairs = pairs(uri.query());
        let named = pairs
            .into_iter()
            .find(|(name, _)| name.eq_ignore_ascii_case("format"));
        named.and_then(|(_, word)| Format::of_word(&word))
    };
    of_path(uri.path())
        .or_else(of_query)
        .or_else(|| accepted(headers))
        .unwrap_or(Format::Json)
}

/// The format that a path names, where it names one.
pub fn of_path(path: &str) -> Option<Format> {
    let reply = path
        .strip_prefix('/')
        .and_then(|rest| rest.split_once("/reply/"));
    let word = match reply {
        Some((word, _)) => word,
        None => path.rsplit_once('.')?.1,
    };
    Format::of_word(word)
}

/// The format that `Accept` wants most; of two that it wants alike, the one that it names first.
fn accepted(headers: &HeaderMap) -> Option<Format> {
    let lines = headers.get_all(ACCEPT).iter();
    let ranges: Vec<(String, u16)> = lines
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','))
        .map(range)
        .collect();
    let weighed = Format::ALL.into_iter().filter_map(|format| {
        weight(format, &ranges).map(|(weight, place)| (format, weight, place))
    });
    let best = weighed
        .filter(|(_, weight, _)| *weight > 0)
        .min_by_key(|(_, weight, place)| (std::cmp::Reverse(*weight), *place));
    best.map(|(format, ..)| format)
}

/// A media range and its weight in thousandths; one that cannot be read weighs as much as none that is said.
fn range(text: &str) -> (String, u16) {
    let mut parts = text.split(';').map(str::trim);
    let essence = parts.next().unwrap_or_default().to_ascii_lowercase();
    let weight = parts
        .filter_map(|part| part.split_once('='))
        .find(|(name, _)| name.trim().eq_ignore_ascii_case("q"))
        .and_then(|(_, weight)| thousandths(weight.trim()));
    (essence, weight.unwrap_or(1000))
}

fn thousandths(text: &str) -> Option<u16> {
    let (whole, rest) = text.split_once('.').unwrap_or((text, ""));
    let digits = format!("{rest:0<3}");
    let all = whole.parse::<u16>().ok()?.checked_mul(1000)?;
    let rest: u16 = digits.get(..3)?.parse().ok()?;
    Some(all.checked_add(rest)?.min(1000))
}

/// The weight of the range that fits the format most closely, and where it stands. `*/*` and `application/*` are JSON's.
fn weight(format: Format, ranges: &[(String, u16)]) -> Option<(u16, usize)> {
    let closeness = |essence: &str| match essence {
        "*/*" if format == Format::Json => Some(0),
        "application/*" if format == Format::Json => Some(1),
        "text/*" if format == Format::Csv => Some(1),
        exact if Format::of_media_type(exact) == Some(format) => Some(2),
        _ => None,
    };
    let fitting = ranges
        .iter()
        .enumerate()
        .filter_map(|(place, (essence, weight))| Some((closeness(essence)?, *weight, place)));
    fitting
        .max_by_key(|(closeness, _, place)| (*closeness, std::cmp::Reverse(*place)))
        .map(|(_, weight, place)| (weight, place))
}

/// The query's values, and over them the body's. `wanted` is the body's format too where it has no type of its own.
pub async fn read(
    wanted: Format,
    headers: &HeaderMap,
    query: Option<&str>,
    body: Body,
) -> Result<Said, BodyError> {
    let bytes = body::read(headers, body).await?;
    let mut said: Said = pairs(query)
        .into_iter()
        .filter_map(|(name, text)| member((name, text.into())))
        .collect();
    if !bytes.iter().all(u8::is_ascii_whitespace) {
        let members = members(wanted, headers, &bytes)?;
        said.extend(members.into_iter().filter_map(member));
    }
    Ok(said)
}

fn members(
    wanted: Format,
    headers: &HeaderMap,
    bytes: &[u8],
) -> Result<Map<String, Value>, BodyError> {
    let value = headers.get(CONTENT_TYPE).and_then(|it| it.to_str().ok());
    let essence = value
        .and_then(|it| it.split(';').next())
        .unwrap_or_default();
    let braced = bytes.trim_ascii_start().first() == Some(&b'{');
    match (Format::of_media_type(essence), MediaType::of(headers)) {
        (Some(format), _) => formats::read(format, bytes),
        (None, MediaType::Form) if !braced => serde_urlencoded::from_bytes(bytes)
            .map(|pairs: Vec<(String, String)>| {
                pairs
                    .into_iter()
                    .map(|(name, it)| (name, it.into()))
                    .collect()
            })
            .map_err(|_| BodyError::Unreadable),
        (None, MediaType::Absent) => formats::read(wanted, bytes),
        (None, _) => formats::read(Format::Json, bytes),
    }
}

/// A member under its name in lower case; none where it has no value.
pub fn member((name, value): (String, Value)) -> Option<(String, Value)> {
    (!value.is_null()).then(|| (name.to_ascii_lowercase(), value))
}

fn pairs(query: Option<&str>) -> Vec<(String, String)> {
    serde_urlencoded::from_str(query.unwrap_or_default()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(path: &str, accept: &[&str]) -> Format {
        let mut headers = HeaderMap::new();
        for line in accept {
            headers.append(ACCEPT, line.parse().unwrap());
        }
        wanted(&path.parse().unwrap(), &headers)
    }

    #[test]
    fn the_path_comes_before_the_query_and_the_query_before_what_is_accepted() {
        for (path, format) in [
            ("/a/checkout", Format::Xml),
            ("/a/checkout.csv", Format::Csv),
            ("/a/checkout.JSV?format=json", Format::Jsv),
            ("/jsv/reply/StripeV1CreateCheckout", Format::Jsv),
            ("/a/checkout?x=1&Format=CSV", Format::Csv),
            ("/a/checkout?format=html", Format::Xml),
        ] {
            assert_eq!(of(path, &["application/xml"]), format, "{path}");
        }
    }

    /// Planted bug: taking the first known type whatever its weight.
    #[test]
    fn what_is_accepted_most_is_answered() {
        for (accept, format) in [
            ("", Format::Json),
            ("*/*", Format::Json),
            ("text/html", Format::Json),
            ("text/csv", Format::Csv),
            ("Text/CSV; charset=utf-8", Format::Csv),
            ("application/json;q=0.5, text/csv", Format::Csv),
            ("application/json;q=0.5, text/csv;q=0.45", Format::Json),
            ("text/csv;q=0.7, application/xml ; q=0.701", Format::Xml),
            ("text/jsv, application/xml", Format::Jsv),
            ("text/csv;q=0, */*;q=0.1", Format::Json),
            ("application/json;q=0, */*, text/xml;q=0.2", Format::Xml),
            ("text/*", Format::Csv),
            (
                "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
                Format::Xml,
            ),
            ("text/csv;q=x", Format::Csv),
            ("text/csv;q=99999999999999999999", Format::Csv),
        ] {
            assert_eq!(of("/a", &[accept]), format, "{accept}");
        }
        assert_eq!(of("/a", &["text/html", "text/csv"]), Format::Csv);
        assert_eq!(of("/a", &[]), Format::Json);
    }
}
