//! Which of the forms that are offered a client takes.

use http::HeaderMap;
use http::header::ACCEPT;

/// The best of `offered` (media types) for what `Accept` says: the one it likes most and, among those it likes alike, the
/// first. None where it takes none of them.
pub fn preferred<'a>(headers: &HeaderMap, offered: &[&'a str]) -> Option<&'a str> {
    let said: Vec<&str> = headers
        .get_all(ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .filter(|it| !it.is_empty())
        .collect();
    if said.is_empty() {
        return offered.first().copied();
    }
    let liked = |media: &str| {
        said.iter()
            .filter_map(|range| matched(range, media))
            .max_by_key(|(exactness, _)| *exactness)
            .map_or(0, |(_, quality)| quality)
    };
    offered
        .iter()
        .map(|media| (*media, liked(media)))
        .filter(|(_, quality)| *quality > 0)
        .reduce(|best, it| if it.1 > best.1 { it } else { best })
        .map(|(media, _)| media)
}

/// How exactly a range names the media type, and how much it is liked, in thousandths. None where it does not name it.
fn matched(range: &str, media: &str) -> Option<(u8, u16)> {
    let mut parts = range.split(';').map(str::trim);
    let name = parts.next().unwrap_or_default();
    let kind = media.split('/').next().unwrap_or_default();
    let exactness = match name.split_once('/') {
        _ if name.eq_ignore_ascii_case(media) => 2,
        Some((of, "*")) if of.eq_ignore_ascii_case(kind) => 1,
        Some(("*", "*")) => 0,
        _ => return None,
    };
    let quality = parts.find_map(|it| it.strip_prefix("q=").or_else(|| it.strip_prefix("Q=")));
    Some((exactness, quality.map_or(1000, thousandths)))
}

/// `1`, `0.5`, `0.125`; what is none of these is not liked.
fn thousandths(quality: &str) -> u16 {
    let (whole, rest) = quality.split_once('.').unwrap_or((quality, ""));
    let fraction: String = rest.chars().chain("000".chars()).take(3).collect();
    match (whole, fraction.parse::<u16>()) {
        ("1", Ok(0)) => 1000,
        ("0", Ok(fraction)) => fraction,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORMS: [&str; 3] = [
        "application/json",
        "application/x-ndjson",
        "text/event-stream",
    ];

    fn of(accept: &str) -> Option<&'static str> {
        let headers = HeaderMap::from_iter([(ACCEPT, accept.parse().unwrap())]);
        preferred(&headers, &FORMS)
    }

    #[test]
    fn the_form_that_is_liked_most_is_taken_and_the_first_among_equals() {
        assert_eq!(preferred(&HeaderMap::new(), &FORMS), Some(FORMS[0]));
        assert_eq!(of("*/*"), Some(FORMS[0]));
        assert_eq!(of("application/*"), Some(FORMS[0]));
        assert_eq!(of("text/event-stream"), Some(FORMS[2]));
        assert_eq!(of("Text/Event-Stream, */*;q=0.1"), Some(FORMS[2]));
        assert_eq!(
            of("application/json;q=0.5, application/x-ndjson"),
            Some(FORMS[1])
        );
        assert_eq!(of("application/json;q=0, */*"), Some(FORMS[1]));
    }

    #[test]
    fn what_is_not_offered_is_not_taken() {
        assert_eq!(of("text/html"), None);
        assert_eq!(of("application/json;q=0"), None);
        assert_eq!(of("application/json;q=nonsense"), None);
        assert_eq!(of("/"), None);
    }
}
