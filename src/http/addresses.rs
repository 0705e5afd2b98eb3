//! Addresses: where a payer may be sent, and where callers reach us.

use http::HeaderMap;
use http::header::HOST;

/// A web address, or one of an app's own scheme. Nothing that a browser would run or read from a disk; a space or a
/// control character is refused because browsers drop some of them (`java\nscript:`).
pub fn may_return_to(url: &str) -> bool {
    let Some((scheme, rest)) = url.split_once(':') else {
        return false;
    };
    let scheme = scheme.to_ascii_lowercase();
    let formed = scheme.starts_with(|first: char| first.is_ascii_lowercase())
        && scheme
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'));
    let clean = !url
        .chars()
        .any(|letter| letter.is_whitespace() || letter.is_control());
    let leads_somewhere = match scheme.as_str() {
        "http" | "https" => rest
            .strip_prefix("//")
            .is_some_and(|rest| !rest.is_empty() && !rest.starts_with(['/', '?', '#', '\\', ':'])),
        "javascript" | "data" | "file" | "vbscript" | "blob" | "about" | "filesystem"
        | "view-source" => false,
        _ => !rest.is_empty(),
    };
    formed && clean && leads_somewhere
}

/// Where the caller reaches us, without a closing slash: what links are made of.
pub fn own(headers: &HeaderMap) -> String {
    let text = |name: &http::HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let plain = |host: &&str| {
        let letter = |it: u8| it.is_ascii_alphanumeric() || b".:-[]".contains(&it);
        !host.is_empty() && host.bytes().all(letter)
    };
    let host = text(&HOST).filter(plain).unwrap_or("localhost");
    let forwarded = http::HeaderName::from_static("x-forwarded-proto");
    let scheme = match text(&forwarded) {
        Some("https") => "https",
        _ => "http",
    };
    format!("{scheme}://{host}")
}
