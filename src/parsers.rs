//! Every parser that reads from outside, for fuzzers: each takes any bytes at all. None may panic, and what it asserts is what
//! its reading promises. Nothing that serves calls these.

use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue};
use serde_json::Value;

use crate::http::body::{self, MediaType};
use crate::http::json_api::{self, Query};
use crate::http::{addresses, auth};
use crate::{doors, firewall, gateway, ledger_api, use_cases};

/// A parser, or a few that read the same.
pub type Parser = fn(&[u8]);

/// By what they read.
pub const PARSERS: [(&str, Parser); 11] = [
    ("bodies", bodies),
    ("headers", headers),
    ("queries", queries),
    ("text", text),
    ("offers", doors::offers::parse),
    ("checkout", doors::checkout::parse),
    ("payment_intents", doors::payment_intents::parse),
    ("stripe_payments", doors::stripe_payments::parse),
    ("ledger_api", ledger_api::parse),
    ("webhooks", use_cases::parse_webhook),
    ("stripes_answers", gateway::parse),
];

fn bodies(bytes: &[u8]) {
    let read = body::json::<Value>(bytes);
    if let Ok(value) = read {
        let again = body::json::<Value>(value.to_string().as_bytes());
        assert!(
            again.is_ok(),
            "what was read is written so that it can be read"
        );
    }
}

/// The bytes as the value of each header that is read.
fn headers(bytes: &[u8]) {
    let Ok(value) = HeaderValue::from_bytes(bytes) else {
        return;
    };
    let of = |name| HeaderMap::from_iter([(name, value.clone())]);
    let _ = auth::bearer(&of(AUTHORIZATION));
    let _ = auth::bearer_or_basic(&of(AUTHORIZATION));
    let _ = auth::header(&of(AUTHORIZATION), &AUTHORIZATION);
    let _ = MediaType::of(&of(CONTENT_TYPE));
    let _ = json_api::media::check_content_type(&of(CONTENT_TYPE), true);
    let _ = json_api::media::check_accept(&of(ACCEPT));
}

fn queries(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if let Ok(query) = Query::read(Some(text)) {
        let link = query.with(&[]);
        let again = Query::read(link.strip_prefix('?'));
        assert_eq!(
            again.as_ref(),
            Ok(&query),
            "a link leads to what it stands for"
        );
    }
}

fn text(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let _ = firewall::holds_card_number(&text);
    let mut said = Value::from(text.clone());
    firewall::withhold(&mut said);
    let _ = addresses::may_return_to(&text);
}
