//! Sends webhooks to merchants' endpoints: where to, how signed, how long to wait, when again. Which ones is decided by the
//! use cases; this knows neither merchants nor the database.

mod addresses;
mod schedule;
mod signature;

pub use addresses::{Reach, UrlRefused};
pub use schedule::Schedule;

use addresses::{Guarded, NotPublic};
use chrono::{DateTime, Utc};
use reqwest::header::{CONTENT_TYPE, USER_AGENT};
use secrecy::SecretString;
use std::collections::BTreeSet;
use std::error::Error;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

/// The types of events that Stripe documents, one a line.
static EVENT_TYPES: LazyLock<BTreeSet<&'static str>> =
    LazyLock::new(|| include_str!("event_types.txt").lines().collect());

/// No more of an answer is read than this, in bytes; and none of it is kept.
const ANSWER_LENGTH_MAX: usize = 64 * 1024;

/// How webhooks are sent.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    pub reach: Reach,
    /// For one attempt, from the look-up of the name to the end of the answer.
    pub timeout: Duration,
    pub schedule: Schedule,
    /// How long to wait between two looks at what is due, where nothing calls for one.
    pub every: Duration,
    /// How many deliveries are under way to one endpoint at once, over all instances of the service.
    pub at_once_per_endpoint: u32,
    /// How many are under way from this instance.
    pub at_once: u32,
    /// Deliveries that ended are kept for so long.
    pub keep_for: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            reach: Reach::Public,
            timeout: Duration::from_secs(10),
            schedule: Schedule::default(),
            every: Duration::from_secs(1),
            at_once_per_endpoint: 4,
            at_once: 1024,
            keep_for: Duration::from_secs(30 * 24 * 3600),
        }
    }
}

/// Whether an endpoint may ask for events of this type; `*` asks for all.
pub fn is_event_type(text: &str) -> bool {
    text == "*" || EVENT_TYPES.contains(text)
}

/// One webhook, ready to go.
pub struct Message<'a> {
    pub url: &'a str,
    pub delivery_id: &'a str,
    pub ledger_position: i64,
    pub body: Vec<u8>,
    /// All of them sign.
    pub secrets: &'a [SecretString],
}

/// What came of sending one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sent {
    /// The HTTP status; none where no answer came.
    pub status: Option<u16>,
    /// Why it was no success, in a word.
    pub error: Option<&'static str>,
    pub duration: Duration,
    /// How much of the answer's body was read.
    pub response_bytes: usize,
}

/// The connections to merchants' endpoints.
pub struct Sender {
    http: reqwest::Client,
    reach: Reach,
}

impl Sender {
    /// # Errors
    /// When the HTTP client cannot be built (no usable TLS roots on this machine).
    pub fn new(options: &Options) -> Result<Self, reqwest::Error> {
        // Another part of the process may have installed the provider already; either is fine.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .timeout(options.timeout)
            .pool_idle_timeout(Duration::from_secs(30))
            .pool_max_idle_per_host(2)
            .redirect(reqwest::redirect::Policy::none())
            // A proxy would resolve the name itself, and the check would be none.
            .no_proxy()
            .dns_resolver(Guarded(options.reach))
            .build()?;
        Ok(Self {
            http,
            reach: options.reach,
        })
    }

    /// Sends it, once, signed with the time `now`. Any 2xx is a success; a redirect is not followed.
    pub async fn send(&self, it: Message<'_>, now: DateTime<Utc>) -> Sent {
        let started = Instant::now();
        let answered = self.post(it, now).await;
        let duration = started.elapsed();
        match answered {
            Ok((status, response_bytes)) => Sent {
                status: Some(status),
                error: error_of(status),
                duration,
                response_bytes,
            },
            Err(error) => Sent {
                status: None,
                error: Some(error),
                duration,
                response_bytes: 0,
            },
        }
    }

    async fn post(
        &self,
        it: Message<'_>,
        now: DateTime<Utc>,
    ) -> Result<(u16, usize), &'static str> {
        let url = self.reach.url(it.url).map_err(|_| "address_refused")?;
        let signature = signature::signature(now, &it.body, it.secrets);
        let request = self
            .http
            .post(url)
            .header(CONTENT_TYPE, "application/json; charset=utf-8")
            .header(
                USER_AGENT,
                concat!("Counterfoil/", env!("CARGO_PKG_VERSION")),
            )
            .header("Stripe-Signature", signature)
            .header("Counterfoil-Delivery", it.delivery_id)
            .header("Counterfoil-Ledger-Position", it.ledger_position)
            .body(it.body);
        let mut response = request.send().await.map_err(|error| word(&error))?;
        let (status, mut read) = (response.status().as_u16(), 0);
        // The status is the answer. The body is read so that the connection can serve again; if it breaks, that is all.
        while let Ok(Some(chunk)) = response.chunk().await {
            read += chunk.len();
            if read >= ANSWER_LENGTH_MAX {
                break;
            }
        }
        Ok((status, read))
    }
}

fn error_of(status: u16) -> Option<&'static str> {
    match status {
        200..300 => None,
        300..400 => Some("redirect"),
        _ => Some("status"),
    }
}

/// What went wrong on the way. The address is not repeated: it may hold a token of the merchant's.
fn word(error: &reqwest::Error) -> &'static str {
    let mut cause: Option<&(dyn Error + 'static)> = error.source();
    while let Some(inner) = cause {
        if inner.is::<NotPublic>() {
            return "address_refused";
        }
        cause = inner.source();
    }
    if error.is_timeout() {
        "timeout"
    } else if error.is_connect() {
        "no_connection"
    } else {
        "connection_broke"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn event_types_are_those_that_stripe_documents() {
        for known in [
            "*",
            "payment_intent.succeeded",
            "charge.dispute.created",
            "refund.failed",
        ] {
            assert!(is_event_type(known), "{known}");
        }
        for unknown in [
            "",
            "payment_intent",
            "payment_intent.*",
            "order.paid",
            "payment_intent.succeeded ",
        ] {
            assert!(!is_event_type(unknown), "{unknown}");
        }
        assert!(EVENT_TYPES.len() > 200);
    }

    #[tokio::test]
    async fn a_name_that_resolves_to_this_machine_is_refused_with_that_word() {
        let sender = Sender::new(&Options::default()).unwrap();
        let message = |url| Message {
            url,
            delivery_id: "whd_1",
            ledger_position: 1,
            body: b"{}".to_vec(),
            secrets: &[],
        };
        for url in ["http://localhost:9/", "http://127.0.0.1:9/"] {
            let sent = sender.send(message(url), Utc::now()).await;
            assert_eq!(
                (sent.status, sent.error),
                (None, Some("address_refused")),
                "{url}"
            );
        }
    }
}
