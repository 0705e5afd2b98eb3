//! One request to Stripe over HTTP: kept-alive connections, time-outs, a few quick repeats under the same key.

use bytes::{Bytes, BytesMut};
use rand::Rng;
use reqwest::{Method, StatusCode, Url, header};
use secrecy::{ExposeSecret, SecretString};
use std::time::Duration;

use super::{Silence, SilenceKind};
use crate::crash_point;

/// The version of Stripe's API that this program speaks, whatever the account's own default is.
const STRIPE_VERSION: &str = "2023-08-16";
/// A hundred of its largest objects fit in a fraction of it.
const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;

/// How patient to be with Stripe.
#[derive(Debug, Clone, Copy)]
pub struct GatewayOptions {
    /// For one attempt, from the first byte sent to the last received.
    pub timeout: Duration,
    /// How often one request is sent at the most, under the same idempotency key, before its outcome counts as unknown.
    pub attempts: u32,
}

/// One account at Stripe, or at a server that speaks Stripe's API.
#[derive(Debug, Clone)]
pub struct Account {
    pub secret_key: SecretString,
    /// Where its API is, such as `https://api.stripe.com/`; ends with a slash.
    pub base: Url,
    /// What Stripe calls the account (`acct_…`), where that is configured.
    pub id: Option<String>,
    /// What a payer's browser is given, where that is configured.
    pub publishable_key: Option<String>,
}

impl Account {
    /// Whether the key moves real money.
    pub fn is_live(&self) -> bool {
        let key = self.secret_key.expose_secret();
        key.starts_with("sk_live_") || key.starts_with("rk_live_")
    }
}

/// A request, ready to be sent: what async-stripe built, whose account it is for, and under which idempotency key.
pub(super) struct Call<'a> {
    pub method: Method,
    pub path: String,
    pub query: Option<String>,
    pub form: Option<String>,
    pub account: &'a Account,
    /// None for a read.
    pub idempotency_key: Option<String>,
}

/// Stripe's answer, as bytes. Its status is below 500 and neither 401, 403, 409 nor 429.
pub(super) struct Answer {
    pub status: u16,
    pub body: Bytes,
    /// It had been given before, under the same key.
    pub replayed: bool,
}

/// The connections to Stripe.
pub(super) struct Wire {
    http: reqwest::Client,
    options: GatewayOptions,
}

impl Wire {
    /// # Errors
    /// When the HTTP client cannot be built (no usable TLS roots on this machine).
    pub(super) fn new(options: GatewayOptions) -> Result<Self, reqwest::Error> {
        // Another part of the process may have installed the provider already; either is fine.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .timeout(options.timeout)
            .connect_timeout(options.timeout.min(Duration::from_secs(5)))
            .pool_idle_timeout(Duration::from_secs(60))
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        Ok(Self { http, options })
    }

    /// Sends the call until Stripe gives an answer that means something, at most `attempts` times.
    pub(super) async fn send(&self, call: &Call<'_>) -> Result<Answer, Silence> {
        let mut attempt = 1;
        loop {
            let silence = match self.once(call).await {
                Ok(answer) => return Ok(answer),
                Err(silence) => silence,
            };
            // A read or a keyed write may be repeated; anything else is sent once.
            let repeatable = (call.idempotency_key.is_some() || call.method == Method::GET)
                && silence.kind != SilenceKind::StoredError;
            if attempt >= self.options.attempts || !repeatable {
                return Err(silence);
            }
            tracing::debug!(attempt, why = %silence.why, path = %call.path, "asking Stripe again");
            tokio::time::sleep(pause(attempt)).await;
            attempt += 1;
        }
    }

    async fn once(&self, call: &Call<'_>) -> Result<Answer, Silence> {
        crash_point!("stripe-before");
        let mut response = self.request(call)?.send().await.map_err(silent)?;
        let status = response.status();
        let replayed = response
            .headers()
            .get("idempotent-replayed")
            .is_some_and(|value| value == "true");
        let mut body = BytesMut::new();
        while let Some(chunk) = response.chunk().await.map_err(silent)? {
            if body.len() + chunk.len() > ANSWER_BYTES_MAX {
                let why = "the answer is larger than any of Stripe's";
                return Err(Silence::new(SilenceKind::Unreadable, why));
            }
            body.extend_from_slice(&chunk);
        }
        crash_point!("stripe-after");
        if let Some(kind) = uncertain(status, replayed) {
            let why = format!("Stripe answered {}", status.as_u16());
            return Err(Silence::new(kind, why));
        }
        Ok(Answer {
            status: status.as_u16(),
            body: body.freeze(),
            replayed,
        })
    }

    fn request(&self, call: &Call<'_>) -> Result<reqwest::RequestBuilder, Silence> {
        let mut url = call
            .account
            .base
            .join(&format!("v1{}", call.path))
            .map_err(|error| {
                Silence::new(SilenceKind::NotSent, format!("no such address: {error}"))
            })?;
        url.set_query(call.query.as_deref());
        let mut request = self
            .http
            .request(call.method.clone(), url)
            .bearer_auth(call.account.secret_key.expose_secret())
            .header("Stripe-Version", STRIPE_VERSION);
        if let Some(key) = &call.idempotency_key {
            request = request.header("Idempotency-Key", key);
        }
        if let Some(form) = &call.form {
            request = request
                .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
                .body(form.clone());
        }
        Ok(request)
    }
}

/// What kind of silence an answer of this status is; none where it is an answer.
fn uncertain(status: StatusCode, replayed: bool) -> Option<SilenceKind> {
    match status {
        _ if status.is_server_error() && replayed => Some(SilenceKind::StoredError),
        _ if status.is_server_error() => Some(SilenceKind::ServerError),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Some(SilenceKind::KeyRefused),
        StatusCode::CONFLICT => Some(SilenceKind::StillRunning),
        StatusCode::TOO_MANY_REQUESTS => Some(SilenceKind::TooManyRequests),
        _ => None,
    }
}

/// What reqwest says went wrong, without the address (which holds ids, and a secret where one was in a query).
fn silent(error: reqwest::Error) -> Silence {
    if error.is_timeout() {
        Silence::new(SilenceKind::TimeOut, "time-out")
    } else if error.is_connect() {
        Silence::new(SilenceKind::NoConnection, "no connection")
    } else {
        Silence::new(SilenceKind::ConnectionBroke, "the connection broke")
    }
}

/// 100 ms doubling, each between half and all of it.
fn pause(attempt: u32) -> Duration {
    let full = 100_u64.saturating_mul(1 << attempt.min(5));
    Duration::from_millis(rand::rng().random_range(full / 2..=full))
}
