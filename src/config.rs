//! The settings of a run: from the environment, and below it from an optional file. Every wrong value is reported,
//! all at once, by name; a secret is never shown, neither in an error nor in `Debug`.
//!
//! An unknown variable is no error, since platforms set their own beside ours (Kubernetes makes `COUNTERFOIL_PORT` of
//! a service of that name); an unknown key in the file is one, since it can only be a slip.

mod source;
#[cfg(test)]
mod tests;
mod values;

pub use source::{ConfigErrors, Environment, SettingError};
pub use values::Key32;

use secrecy::{ExposeSecret, SecretString};
use source::{FileText, Settings, Shown};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::outbound::Reach;
use crate::use_cases::RateLimit;

/// The file that is read where `COUNTERFOIL_CONFIG` names none, and that need not be there.
const USUAL_FILE: &str = "counterfoil.toml";
const STRIPES_OWN_API: &str = "https://api.stripe.com/";

/// All settings of a run.
#[derive(Clone, Debug)]
pub struct Config {
    /// `COUNTERFOIL_LISTEN`, where the service listens; `127.0.0.1:8080` unless set.
    pub listen: SocketAddr,
    /// `COUNTERFOIL_PUBLIC_URL`, where people's browsers reach the service, without a closing slash; `http://` and where it
    /// listens unless set.
    pub public_url: Option<String>,
    /// `COUNTERFOIL_HOME`, where a run keeps what it makes itself; `.counterfoil` unless set.
    pub home: PathBuf,
    /// `DATABASE_URL`; without it a private cluster under `home` serves.
    pub database_url: Option<SecretString>,
    /// The Stripe accounts; none in a plain sandbox, which has its simulator.
    pub stripe: StripeAccounts,
    /// `COUNTERFOIL_SEAL_KEY`, the master key of sealed personal data.
    pub seal_key: Option<Key32>,
    /// `COUNTERFOIL_SIGNING_KEY`, which signs checkpoints of the log.
    pub signing_key: Option<Key32>,
    /// How long things may take.
    pub timeouts: Timeouts,
    /// `COUNTERFOIL_CONNECTIONS_MAX`, HTTP connections served at once; 4096 unless set.
    pub connections_max: usize,
    /// `COUNTERFOIL_RATE_LIMIT`, requests a second for each key, 0 for no limit; 250 unless set.
    pub rate_limit: Option<RateLimit>,
    /// `COUNTERFOIL_EVENT_POLL_S`, seconds from one poll of Stripe's events to the next, 0 for none; 300 unless set.
    pub event_poll: Option<Duration>,
    /// `COUNTERFOIL_SETTLE_EVERY_S`, seconds from one reading of what Stripe booked to the next, 0 for none, also where something is
    /// heard of it; a minute unless set.
    pub settle_every: Option<Duration>,
    /// `COUNTERFOIL_RECONCILE_EVERY_S`, seconds from one reconciliation of an account to the next, 0 for none; a day unless set.
    pub reconcile_every: Option<Duration>,
    /// `COUNTERFOIL_WEBHOOK_REACH`, where merchants' webhooks may be sent; public addresses unless set.
    pub webhook_reach: Reach,
    /// What is logged, and how.
    pub log: LogSettings,
}

/// Seconds from one poll of Stripe's events to the next, unless set otherwise.
const EVENT_POLL_S: u64 = 300;
/// Seconds from one reading of what Stripe booked to the next, unless set otherwise.
const SETTLE_EVERY_S: u64 = 60;
/// Seconds from one reconciliation of an account to the next, unless set otherwise.
const RECONCILE_EVERY_S: u64 = 86_400;
/// An interval; none where it is zero.
fn every(seconds: u64) -> Option<Duration> {
    (seconds > 0).then(|| Duration::from_secs(seconds))
}

/// Requests a second for each key, unless set otherwise.
const RATE_LIMIT: u64 = 250;

/// The Stripe accounts by configuration name: what a merchant's setting refers to.
#[derive(Clone, Debug, Default)]
pub struct StripeAccounts {
    /// `STRIPE_SECRET_KEY` and its companions: the account of merchants that name none.
    pub default: Option<StripeAccount>,
    /// `STRIPE_<NAME>_SECRET_KEY` or `[stripe.<name>]`, by the name in small letters.
    pub named: BTreeMap<String, StripeAccount>,
}

impl StripeAccounts {
    /// Whether any of the keys moves real money.
    pub fn any_live(&self) -> bool {
        self.default
            .iter()
            .chain(self.named.values())
            .any(StripeAccount::is_live)
    }
}

/// How one Stripe account is reached.
#[derive(Clone, Debug)]
pub struct StripeAccount {
    /// `sk_…`, or a restricted `rk_…`.
    pub secret_key: SecretString,
    /// `whsec_…`; without it no webhook of this account is believed.
    pub webhook_secret: Option<SecretString>,
    /// `pk_…`: shown to callers whose payers' browsers need it.
    pub publishable_key: Option<String>,
    /// `acct_…`: shown to callers who ask where funds go.
    pub account_id: Option<String>,
    /// Where its API is, with the closing slash that async-stripe wants; Stripe's own unless set.
    pub api_base: String,
}

impl StripeAccount {
    /// Whether the key moves real money.
    pub fn is_live(&self) -> bool {
        values::is_live(self.secret_key.expose_secret())
    }
}

/// How long things may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// `COUNTERFOIL_STRIPE_TIMEOUT_MS`, one call to Stripe; 20 s unless set. After it the outcome is unknown.
    pub stripe: Duration,
    /// `COUNTERFOIL_JOIN_TIMEOUT_MS`, a repeated call waiting for the running one; 10 s unless set.
    pub join: Duration,
    /// `COUNTERFOIL_DRAIN_TIMEOUT_MS`, requests in progress after the signal to stop; 15 s unless set.
    pub drain: Duration,
}

/// What is logged, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// `COUNTERFOIL_LOG`, directives of tracing's `EnvFilter`; `info,sqlx=warn` unless set.
    pub filter: String,
    /// `COUNTERFOIL_LOG_FORMAT`.
    pub format: LogFormat,
}

/// The form of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Human on a terminal, JSON elsewhere.
    Auto,
    /// For people.
    Human,
    /// One JSON object per line.
    Json,
}

impl Config {
    /// The settings of this process: its environment, and the file that `COUNTERFOIL_CONFIG` names, or
    /// `counterfoil.toml` in the current directory where there is one.
    ///
    /// # Errors
    /// Everything that is wrong, one [`SettingError`] each.
    pub fn load() -> Result<Self, ConfigErrors> {
        let environment = Environment::of_the_process();
        let usual = Path::new(USUAL_FILE).exists().then_some(USUAL_FILE);
        let file = environment.get("COUNTERFOIL_CONFIG").or(usual);
        let file = file.map(FileText::read).transpose()?;
        Self::read(&environment, file.as_ref())
    }

    /// The settings of a given environment and file; what [`load`](Config::load) is made of, and tests use.
    ///
    /// # Errors
    /// Everything that is wrong, one [`SettingError`] each.
    pub fn read(environment: &Environment, file: Option<&FileText>) -> Result<Self, ConfigErrors> {
        let mut from = Settings::new(environment, file);
        let stripe = stripe_accounts(&mut from);
        let milliseconds = values::between(100, 600_000);
        let mut timeout = |name, key, usual| {
            from.plain(name, key, &milliseconds)
                .map_or(usual, Duration::from_millis)
        };
        let timeouts = Timeouts {
            stripe: timeout(
                "COUNTERFOIL_STRIPE_TIMEOUT_MS",
                "stripe_timeout_ms",
                Duration::from_secs(20),
            ),
            join: timeout(
                "COUNTERFOIL_JOIN_TIMEOUT_MS",
                "join_timeout_ms",
                Duration::from_secs(10),
            ),
            drain: timeout(
                "COUNTERFOIL_DRAIN_TIMEOUT_MS",
                "drain_timeout_ms",
                Duration::from_secs(15),
            ),
        };
        let connections = from.plain(
            "COUNTERFOIL_CONNECTIONS_MAX",
            "connections_max",
            values::between(1, 1_000_000),
        );
        let rate = from.plain(
            "COUNTERFOIL_RATE_LIMIT",
            "rate_limit",
            values::between(0, 1_000_000),
        );
        let event_poll_s = from.plain(
            "COUNTERFOIL_EVENT_POLL_S",
            "event_poll_s",
            values::between(0, 86_400),
        );
        let settle_every_s = from.plain(
            "COUNTERFOIL_SETTLE_EVERY_S",
            "settle_every_s",
            values::between(0, 86_400),
        );
        let reconcile_every_s = from.plain(
            "COUNTERFOIL_RECONCILE_EVERY_S",
            "reconcile_every_s",
            values::between(0, 31_536_000),
        );
        let reach = from.plain(
            "COUNTERFOIL_WEBHOOK_REACH",
            "webhook_reach",
            values::webhook_reach,
        );
        let filter = from.plain("COUNTERFOIL_LOG", "log", values::log_filter);
        let format = from.plain("COUNTERFOIL_LOG_FORMAT", "log_format", values::log_format);
        let config = Self {
            listen: from
                .plain("COUNTERFOIL_LISTEN", "listen", values::listen)
                .unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 8080))),
            public_url: from.plain("COUNTERFOIL_PUBLIC_URL", "public_url", values::public_url),
            home: from
                .plain("COUNTERFOIL_HOME", "home", values::path)
                .unwrap_or_else(|| ".counterfoil".into()),
            database_url: from.secret("DATABASE_URL", "database_url", values::database_url),
            stripe,
            seal_key: from.secret("COUNTERFOIL_SEAL_KEY", "seal_key", values::key32),
            signing_key: from.secret("COUNTERFOIL_SIGNING_KEY", "signing_key", values::key32),
            timeouts,
            connections_max: connections
                .and_then(|count| usize::try_from(count).ok())
                .unwrap_or(4096),
            rate_limit: u32::try_from(rate.unwrap_or(RATE_LIMIT))
                .ok()
                .and_then(NonZeroU32::new)
                .map(RateLimit::per_second),
            event_poll: every(event_poll_s.unwrap_or(EVENT_POLL_S)),
            settle_every: every(settle_every_s.unwrap_or(SETTLE_EVERY_S)),
            reconcile_every: every(reconcile_every_s.unwrap_or(RECONCILE_EVERY_S)),
            webhook_reach: reach.unwrap_or(Reach::Public),
            log: LogSettings {
                filter: filter.unwrap_or_else(|| "info,sqlx=warn".to_owned()),
                format: format.unwrap_or(LogFormat::Auto),
            },
        };
        from.finish().map(|()| config)
    }

    /// What a service outside the sandbox cannot do without; the sandbox makes all of it itself.
    ///
    /// # Errors
    /// Everything that is missing.
    pub fn complete_for_serving(&self) -> Result<(), ConfigErrors> {
        let account = self.stripe.default.is_some() || !self.stripe.named.is_empty();
        let needed = [
            (
                self.database_url.is_some(),
                "DATABASE_URL",
                values::A_DATABASE_URL,
            ),
            (account, "STRIPE_SECRET_KEY", values::A_SECRET_KEY),
            (
                self.seal_key.is_some(),
                "COUNTERFOIL_SEAL_KEY",
                values::A_KEY,
            ),
            (
                self.signing_key.is_some(),
                "COUNTERFOIL_SIGNING_KEY",
                values::A_KEY,
            ),
        ];
        let missing = needed.into_iter().filter(|(there, ..)| !there);
        ConfigErrors::unless_empty(
            missing
                .map(|(_, name, wants)| SettingError::missing(name, wants))
                .collect(),
        )
    }
}

fn stripe_accounts(from: &mut Settings<'_>) -> StripeAccounts {
    let base = from.plain("STRIPE_API_BASE", "stripe.api_base", values::api_base);
    let usual_base = base.clone().unwrap_or_else(|| STRIPES_OWN_API.to_owned());
    let default = stripe_account(from, "STRIPE", "stripe", base.is_some(), &usual_base);
    let mut named = BTreeMap::new();
    for name in from.stripe_account_names() {
        let (variable, key) = (
            format!("STRIPE_{}", name.to_ascii_uppercase()),
            format!("stripe.{name}"),
        );
        let base = from.plain(
            &format!("{variable}_API_BASE"),
            &format!("{key}.api_base"),
            values::api_base,
        );
        let its_base = base.clone().unwrap_or_else(|| usual_base.clone());
        if let Some(account) = stripe_account(from, &variable, &key, base.is_some(), &its_base) {
            named.insert(name, account);
        }
    }
    StripeAccounts { default, named }
}

/// One account; `None` where nothing names it, or where something is wrong with it (which is noted).
fn stripe_account(
    from: &mut Settings<'_>,
    variable: &str,
    key: &str,
    has_base: bool,
    api_base: &str,
) -> Option<StripeAccount> {
    let (secret_variable, secret_key) = (
        format!("{variable}_SECRET_KEY"),
        format!("{key}.secret_key"),
    );
    let webhook = (
        format!("{variable}_WEBHOOK_SECRET"),
        format!("{key}.webhook_secret"),
    );
    let webhook_secret = from.secret(&webhook.0, &webhook.1, values::webhook_secret);
    let publishable_key = from.secret(
        &format!("{variable}_PUBLISHABLE_KEY"),
        &format!("{key}.publishable_key"),
        values::publishable_key,
    );
    let account_id = from.plain(
        &format!("{variable}_ACCOUNT_ID"),
        &format!("{key}.account_id"),
        values::account_id,
    );
    if !from.has(&secret_variable, &secret_key) {
        if has_base || from.has(&webhook.0, &webhook.1) {
            from.note(SettingError::missing(
                &secret_variable,
                values::A_SECRET_KEY,
            ));
        }
        return None;
    }
    let secret_key = from.secret(&secret_variable, &secret_key, values::secret_key)?;
    if values::is_live(secret_key.expose_secret()) && values::would_leak(api_base) {
        let name = format!("{variable}_API_BASE");
        let wants = "https:// where the key is a live one: over plain HTTP anybody on the way could read it";
        from.note(SettingError::wrong(
            &name,
            Shown::Value(api_base.to_owned()),
            wants,
        ));
    }
    Some(StripeAccount {
        secret_key,
        webhook_secret,
        publishable_key,
        account_id,
        api_base: api_base.to_owned(),
    })
}
