//! What every page has around it.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use crate::answers::Answer;

const STYLE: &str = include_str!("style.css");

/// The one style that the browser is to apply, by its hash.
static STYLE_HASH: LazyLock<String> =
    LazyLock::new(|| format!("'sha256-{}'", STANDARD.encode(Sha256::digest(STYLE))));

/// Where a page may be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// By itself.
    Window,
    /// As a part of the merchant's page.
    Frame,
}

/// A page. `title` is a text; `body` is HTML, in which texts are escaped already.
///
/// Nothing is loaded and nothing is run. A form may lead anywhere on the web: to where the merchant wants the payer, and on from there, which
/// browsers hold against the form as well.
pub fn page(status: u16, title: &str, body: &str, place: Place) -> Answer {
    let title = crate::answers::escaped(title);
    let mut answer = Answer::html(
        status,
        format!(
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
             <title>{title}</title><style>{STYLE}</style></head>\n<body><main>\
             <p class=\"mode\">Test mode: no money moves.</p>\n{body}\n</main></body></html>\n"
        ),
    );
    let ancestors = match place {
        Place::Window => "'none'",
        Place::Frame => "http: https:",
    };
    let style = &*STYLE_HASH;
    let policy = format!(
        "default-src 'none'; style-src {style}; form-action 'self' http: https:; base-uri 'none'; frame-ancestors {ancestors}"
    );
    answer.header("content-security-policy", policy);
    answer.header("x-content-type-options", "nosniff");
    // The address of an embedded page holds its secret.
    answer.header("referrer-policy", "no-referrer");
    answer.header("cache-control", "no-store");
    answer
}
