//! What the simulator is told before it starts. A JSON file holds the same:
//!
//! ```json
//! {
//!   "listen": "127.0.0.1:12111",
//!   "state_dir": ".counterfoil/simulator",
//!   "accounts": [{
//!     "id": "acct_acme",
//!     "secret_key": "sk_test_stripe_acme",
//!     "publishable_key": "pk_test_stripe_acme",
//!     "minimum_charge": true,
//!     "webhook_endpoints": [{ "url": "http://127.0.0.1:8080/webhooks/stripe/acme", "secret": "whsec_acme" }],
//!     "planted_intents": [{ "id": "pi_1234XXX", "client_secret": "pi_1234XXX_secret_5678YYY", "amount": 5900, "currency": "eur" }]
//!   }]
//! }
//! ```

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use serde::Deserialize;

/// The simulator's configuration.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where to listen; port 0 takes a free one. Default `127.0.0.1:0`.
    #[serde(default = "loopback")]
    pub listen: SocketAddr,
    /// Where state is kept between starts; without it everything is in memory.
    #[serde(default)]
    pub state_dir: Option<PathBuf>,
    /// The Stripe accounts that exist.
    pub accounts: Vec<Account>,
    /// Makes ids repeatable; 0 (the default) means fresh ones at every start.
    #[serde(default)]
    pub seed: u64,
    /// Seconds of the simulator's clock until what Stripe does later has happened: the balance transaction of an `automatic_async` charge, the
    /// outcome of an asynchronous refund or of a processing payment, a dispute and its decision, the arrival of a payout. Stripe says "up to an hour"; the default is 5.
    #[serde(default = "later_s")]
    pub later_s: i64,
    /// How many seconds behind real time the clock begins, so that a past can be lived through by advancing it.
    #[serde(default)]
    pub behind_s: u32,
}

/// One Stripe account.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Account {
    /// `acct_…`
    pub id: String,
    /// `sk_test_…`; everything secret on the account is derived from it.
    pub secret_key: String,
    /// `pk_test_…`
    #[serde(default)]
    pub publishable_key: Option<String>,
    /// Whether Stripe's minimum charges hold.
    #[serde(default = "yes")]
    pub minimum_charge: bool,
    /// The year and month by which the dates of cards are judged, so that an example of some year stays one; the clock's
    /// where none are named.
    #[serde(default)]
    pub cards_judged_in: Option<(i64, i64)>,
    /// Whether what is available is paid out every Monday.
    #[serde(default = "yes")]
    pub weekly_payouts: bool,
    /// Into what Stripe exchanges what comes in; where none is named, every currency is kept as it came.
    #[serde(default)]
    pub settlement: Option<Settlement>,
    /// Where events are delivered.
    #[serde(default)]
    pub webhook_endpoints: Vec<WebhookEndpoint>,
    /// Intents that stand on the account from the start.
    #[serde(default)]
    pub planted_intents: Vec<PlantedIntent>,
}

/// The currency that an account settles in, and the rates into it.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settlement {
    /// Lower-case ISO-4217 code.
    pub currency: String,
    /// By the currency that comes in: so many minor units of `currency` for a million minor units of it. What has no rate is
    /// kept as it came.
    pub rates_per_million: BTreeMap<String, i64>,
}

/// A URL to which events are delivered.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebhookEndpoint {
    /// `http://…`
    pub url: String,
    /// `whsec_…`, the key of the signatures.
    pub secret: String,
    /// The types to deliver; `*`, alone or as an ending, stands for any.
    #[serde(default = "every_event")]
    pub enabled_events: Vec<String>,
}

/// A payment intent that exists without having been created through the API.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlantedIntent {
    /// `pi_…`
    pub id: String,
    /// `pi_…_secret_…`; derived from the id when left out.
    #[serde(default)]
    pub client_secret: Option<String>,
    /// In minor units.
    pub amount: i64,
    /// Lower-case ISO-4217 code.
    pub currency: String,
    /// Shown as it is.
    #[serde(default)]
    pub description: Option<String>,
}

impl Config {
    /// A simulator in memory on a free port of the loopback interface.
    pub fn new(accounts: Vec<Account>) -> Self {
        Self {
            listen: loopback(),
            state_dir: None,
            accounts,
            seed: 0,
            later_s: later_s(),
            behind_s: 0,
        }
    }
}

impl Account {
    /// An account with Stripe's rules and no webhook endpoint.
    pub fn new(id: &str, secret_key: &str, publishable_key: &str) -> Self {
        Self {
            id: id.to_owned(),
            secret_key: secret_key.to_owned(),
            publishable_key: Some(publishable_key.to_owned()),
            minimum_charge: true,
            cards_judged_in: None,
            weekly_payouts: true,
            settlement: None,
            webhook_endpoints: Vec::new(),
            planted_intents: Vec::new(),
        }
    }
}

impl WebhookEndpoint {
    /// An endpoint for every type of event.
    pub fn new(url: &str, secret: &str) -> Self {
        Self {
            url: url.to_owned(),
            secret: secret.to_owned(),
            enabled_events: every_event(),
        }
    }

    /// Whether events of this type are delivered here.
    pub fn wants(&self, event_type: &str) -> bool {
        self.enabled_events
            .iter()
            .any(|pattern| matches_type(pattern, event_type))
    }
}

/// Whether `pattern` (`*`, `charge.*` or a whole type) covers the type.
pub fn matches_type(pattern: &str, event_type: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => event_type.starts_with(start),
        None => pattern == event_type,
    }
}

fn loopback() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, 0))
}

fn later_s() -> i64 {
    5
}

fn yes() -> bool {
    true
}

fn every_event() -> Vec<String> {
    vec!["*".to_owned()]
}
