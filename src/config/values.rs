//! What each setting may hold. A parser's error is what the setting wants, to follow "must be".

use super::LogFormat;
use crate::outbound::Reach;
use base64::Engine;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use http::Uri;
use secrecy::{ExposeSecret, SecretBox, SecretString};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use tracing_subscriber::EnvFilter;

pub(super) const A_DATABASE_URL: &str = "a URL such as postgres://user:password@host:5432/database";
pub(super) const A_SECRET_KEY: &str =
    "a secret key of Stripe's, sk_test_…, sk_live_…, rk_test_… or rk_live_…";
pub(super) const A_KEY: &str =
    "32 random bytes as 64 hexadecimal digits or as base64 (`openssl rand -hex 32` makes some)";

type Parsed<T> = Result<T, String>;

/// A key of 32 bytes. Its `Debug` shows nothing of it.
#[derive(Clone, Debug)]
pub struct Key32(Arc<SecretBox<[u8; 32]>>);

impl Key32 {
    /// A key made of given bytes, as the sandbox does.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(Arc::new(SecretBox::new(Box::new(bytes))))
    }

    /// The bytes, for a cipher and nothing else.
    pub fn expose(&self) -> &[u8; 32] {
        self.0.expose_secret()
    }
}

pub(super) fn listen(text: &str) -> Parsed<SocketAddr> {
    let loopback = text
        .strip_prefix("localhost:")
        .and_then(|port| port.parse().ok());
    let loopback = loopback.map(|port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port));
    let wants = "an address and a port such as 127.0.0.1:8080 or [::1]:8080";
    loopback
        .or_else(|| text.parse().ok())
        .ok_or_else(|| wants.to_owned())
}

pub(super) fn path(text: &str) -> Parsed<PathBuf> {
    if text.contains('\0') {
        Err("a path".to_owned())
    } else {
        Ok(PathBuf::from(text))
    }
}

pub(super) fn database_url(text: &str) -> Parsed<SecretString> {
    let rest = text
        .strip_prefix("postgres://")
        .or_else(|| text.strip_prefix("postgresql://"));
    match rest.filter(|rest| !rest.is_empty() && !text.contains(char::is_whitespace)) {
        Some(_) => Ok(text.into()),
        None => Err(A_DATABASE_URL.to_owned()),
    }
}

pub(super) fn secret_key(text: &str) -> Parsed<SecretString> {
    let kinds = ["sk_test_", "sk_live_", "rk_test_", "rk_live_"];
    let rest = kinds.into_iter().find_map(|kind| text.strip_prefix(kind));
    if rest.is_some_and(is_word) {
        return Ok(text.into());
    }
    let publishable = text.starts_with("pk_");
    let hint = if publishable {
        " (this is a publishable key, which can only be used in browsers)"
    } else {
        ""
    };
    Err(format!("{A_SECRET_KEY}{hint}"))
}

pub(super) fn publishable_key(text: &str) -> Parsed<String> {
    let rest = ["pk_test_", "pk_live_"]
        .into_iter()
        .find_map(|kind| text.strip_prefix(kind));
    match rest.is_some_and(is_word) {
        true => Ok(text.to_owned()),
        false => Err("a publishable key of Stripe's, pk_test_… or pk_live_…".to_owned()),
    }
}

pub(super) fn account_id(text: &str) -> Parsed<String> {
    match text.strip_prefix("acct_").is_some_and(is_word) {
        true => Ok(text.to_owned()),
        false => Err("the id of an account at Stripe, acct_…".to_owned()),
    }
}

pub(super) fn is_live(secret_key: &str) -> bool {
    secret_key
        .get(2..)
        .is_some_and(|rest| rest.starts_with("_live_"))
}

pub(super) fn webhook_secret(text: &str) -> Parsed<SecretString> {
    let rest = text.strip_prefix("whsec_").filter(|rest| !rest.is_empty());
    match rest.filter(|rest| rest.bytes().all(|byte| byte.is_ascii_graphic())) {
        Some(_) => Ok(text.into()),
        None => Err("the signing secret of a webhook endpoint, whsec_…".to_owned()),
    }
}

fn is_word(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// Where an API is, with a closing slash.
pub(super) fn api_base(text: &str) -> Parsed<String> {
    plain_url(text, "https://api.stripe.com/").map(|url| format!("{url}/"))
}

/// Where browsers reach us, without a closing slash.
pub(super) fn public_url(text: &str) -> Parsed<String> {
    plain_url(text, "https://pay.example.com")
}

/// An address of the web that others are put together from, without a closing slash.
fn plain_url(text: &str, example: &str) -> Parsed<String> {
    let wants = || format!("an absolute URL such as {example}, without user, query or fragment");
    let uri = Uri::from_str(text).map_err(|_| wants())?;
    let web = matches!(uri.scheme_str(), Some("http" | "https"));
    let plain = uri
        .authority()
        .is_some_and(|authority| !authority.as_str().contains('@') && !authority.host().is_empty())
        && uri.query().is_none();
    if !web || !plain || text.contains('#') {
        return Err(wants());
    }
    Ok(text.trim_end_matches('/').to_owned())
}

/// Whether a secret sent to `api_base` would cross a network in clear.
pub(super) fn would_leak(api_base: &str) -> bool {
    let Ok(uri) = Uri::from_str(api_base) else {
        return true;
    };
    let host = uri
        .host()
        .unwrap_or_default()
        .trim_start_matches('[')
        .trim_end_matches(']');
    let here = host == "localhost"
        || host
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback());
    uri.scheme_str() != Some("https") && !here
}

pub(super) fn key32(text: &str) -> Parsed<Key32> {
    let padding =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let base64 = |alphabet| GeneralPurpose::new(alphabet, padding).decode(text).ok();
    // 64 hexadecimal digits are base64 as well, of 48 bytes; the length tells them apart.
    let readings = [hex::decode(text).ok(), base64(&STANDARD), base64(&URL_SAFE)];
    let bytes = readings
        .into_iter()
        .flatten()
        .find_map(|bytes| <[u8; 32]>::try_from(bytes).ok());
    bytes.map(Key32::new).ok_or_else(|| A_KEY.to_owned())
}

pub(super) fn between(least: u64, most: u64) -> impl Fn(&str) -> Parsed<u64> {
    move |text| {
        let number = text
            .parse()
            .ok()
            .filter(|number| (least..=most).contains(number));
        number.ok_or_else(|| format!("a whole number from {least} to {most}"))
    }
}

pub(super) fn webhook_reach(text: &str) -> Parsed<Reach> {
    match text {
        "public" => Ok(Reach::Public),
        "anywhere" => Ok(Reach::Anywhere),
        _ => Err("`public` or `anywhere`".to_owned()),
    }
}

pub(super) fn log_filter(text: &str) -> Parsed<String> {
    let wants = "directives such as `info` or `info,counterfoil=debug,sqlx=warn`";
    EnvFilter::try_new(text)
        .map(|_| text.to_owned())
        .map_err(|_| wants.to_owned())
}

pub(super) fn log_format(text: &str) -> Parsed<LogFormat> {
    match text {
        "auto" => Ok(LogFormat::Auto),
        "human" => Ok(LogFormat::Human),
        "json" => Ok(LogFormat::Json),
        _ => Err("`auto`, `human` or `json`".to_owned()),
    }
}
