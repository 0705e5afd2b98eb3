//! Faults on request: the next so many requests that match are held, dropped, delayed, changed or answered with an error; or a seeded
//! [script](script) draws for every request and every delivery.
//!
//! A kind is one variant of [`Fault`], its spelling, and its line in [`Faults::act`], or in `api` where it changes what the request does.

pub mod script;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::api::Dropped;
use crate::errors::{ApiError, ErrorType};
use script::Script;

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Waits for the release, then goes on.
    HoldBefore,
    /// Makes the effect, then waits for the release.
    HoldAfter,
    /// Ends the connection; nothing was done.
    DropBefore,
    /// Makes the effect, then ends the connection.
    DropAfter,
    /// 401, as when the key has expired; nothing was done, nothing is kept under the key.
    Status401,
    /// 403, as when the key lacks a permission; nothing was done, nothing is kept under the key.
    Status403,
    /// 429 `rate_limit`; nothing was done, nothing is kept under the key.
    Status429,
    /// 429 `lock_timeout`, as when somebody else changes the object; nothing was done, nothing is kept under the key.
    LockTimeout,
    /// 500; nothing was done, and the 500 is kept under the key.
    Status500,
    /// 503; nothing was done, nothing is kept under the key.
    Status503,
    /// Makes the effect, then answers a 500, which is kept under the key.
    Status500After,
    /// Waits so many milliseconds, then goes on: a caller that has given up meanwhile has its effect all the same.
    LatencyMs(u64),
    /// Is silent for so many milliseconds, then ends the connection; nothing was done.
    TimeoutBefore(u64),
    /// Makes the effect, is silent for so many milliseconds, then ends the connection.
    TimeoutAfter(u64),
    /// Forgets what is kept under the request's key: a repeated request acts once more.
    ForgetKey,
    /// Acts on so many minor units more (or less) than the request says.
    DriftAmount(i64),
}

impl Fault {
    /// Reads `hold_before`, `latency_ms:250` and the like.
    pub fn parse(text: &str) -> Option<Self> {
        if let Some((kind, number)) = text.split_once(':') {
            return match kind {
                "latency_ms" => number.parse().ok().map(Self::LatencyMs),
                "timeout_before" => number.parse().ok().map(Self::TimeoutBefore),
                "timeout_after" => number.parse().ok().map(Self::TimeoutAfter),
                "drift_amount" => number.parse().ok().map(Self::DriftAmount),
                _ => None,
            };
        }
        Some(match text {
            "hold_before" => Self::HoldBefore,
            "hold_after" => Self::HoldAfter,
            "drop_before" => Self::DropBefore,
            "drop_after" => Self::DropAfter,
            "status_401" => Self::Status401,
            "status_403" => Self::Status403,
            "status_429" => Self::Status429,
            "lock_timeout" => Self::LockTimeout,
            "status_503" => Self::Status503,
            "status_500" => Self::Status500,
            "status_500_after" => Self::Status500After,
            "forget_key" => Self::ForgetKey,
            _ => return None,
        })
    }

    fn spelling(self) -> String {
        match self {
            Self::HoldBefore => "hold_before".to_owned(),
            Self::HoldAfter => "hold_after".to_owned(),
            Self::DropBefore => "drop_before".to_owned(),
            Self::DropAfter => "drop_after".to_owned(),
            Self::Status401 => "status_401".to_owned(),
            Self::Status403 => "status_403".to_owned(),
            Self::Status429 => "status_429".to_owned(),
            Self::LockTimeout => "lock_timeout".to_owned(),
            Self::Status503 => "status_503".to_owned(),
            Self::Status500 => "status_500".to_owned(),
            Self::Status500After => "status_500_after".to_owned(),
            Self::LatencyMs(ms) => format!("latency_ms:{ms}"),
            Self::TimeoutBefore(ms) => format!("timeout_before:{ms}"),
            Self::TimeoutAfter(ms) => format!("timeout_after:{ms}"),
            Self::ForgetKey => "forget_key".to_owned(),
            Self::DriftAmount(minor) => format!("drift_amount:{minor}"),
        }
    }
}

/// A fault that was drawn for one request.
#[derive(Clone, Copy, Debug)]
pub struct Action {
    fault: Fault,
    /// Drawn by a script: it strikes an answer that is replayed as well.
    scripted: bool,
}

impl Action {
    /// Whether what is kept under the request's key is forgotten first.
    pub fn forgets_key(self) -> bool {
        self.fault == Fault::ForgetKey
    }

    /// How much more than it says the request acts on, in minor units.
    pub fn drift_minor(self) -> Option<i64> {
        match self.fault {
            Fault::DriftAmount(minor) => Some(minor),
            _ => None,
        }
    }

    /// Whether it strikes an answer that is replayed.
    pub fn strikes_replays(self) -> bool {
        self.scripted
    }
}

/// What a script has drawn for a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drawn {
    /// It is never made.
    Lost,
    /// It is made twice at the same time.
    Twice,
    /// It is made so many milliseconds of the simulator's clock later.
    After(i64),
}

/// When a fault strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Nothing was done yet.
    Before,
    /// The effect is made and durable.
    After,
}

/// Which requests a fault strikes.
pub struct Rule {
    /// Any, where not given.
    pub method: Option<String>,
    /// The beginning of the path.
    pub path_prefix: String,
    /// Any, where not given.
    pub account: Option<String>,
    /// How many requests are still to be struck.
    pub times: u64,
    /// What happens.
    pub fault: Fault,
}

/// The rules, the script, and the requests that are being held.
pub struct Faults {
    rules: Mutex<Vec<Rule>>,
    script: Mutex<Option<Script>>,
    held: AtomicUsize,
    releases: watch::Sender<u64>,
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            rules: Mutex::default(),
            script: Mutex::default(),
            held: AtomicUsize::new(0),
            releases: watch::Sender::new(0),
        }
    }
}

impl Faults {
    fn rules(&self) -> MutexGuard<'_, Vec<Rule>> {
        self.rules.lock().unwrap_or_else(|it| it.into_inner())
    }

    /// Adds a rule; earlier rules strike first.
    pub fn add(&self, rule: Rule) {
        self.rules().push(rule);
    }

    /// Removes every rule, and switches the script off. Held requests stay held.
    pub fn clear(&self) {
        self.rules().clear();
        *self.script() = None;
    }

    fn script(&self) -> MutexGuard<'_, Option<Script>> {
        self.script.lock().unwrap_or_else(|it| it.into_inner())
    }

    /// Switches a script on, in the place of an earlier one.
    pub fn follow(&self, script: Script) {
        *self.script() = Some(script);
    }

    /// Switches the script off. Answers it, with how often each kind has struck.
    pub fn end_script(&self) -> Value {
        let ended = self.script().take();
        json!({ "script": ended.map(|it| it.show()) })
    }

    /// Draws what becomes of a delivery, once for each.
    pub fn draw_delivery(&self, account: &str, delivery: &str) -> Option<Drawn> {
        self.script().as_mut()?.delivery(account, delivery)
    }

    /// Lets every held request go on.
    pub fn release(&self) {
        self.releases.send_modify(|it| *it += 1);
    }

    /// The rules that still strike, and how many requests are held now.
    pub fn list(&self) -> Value {
        let rules: Vec<Value> = self
            .rules()
            .iter()
            .map(|rule| {
                json!({
                    "method": rule.method,
                    "path_prefix": rule.path_prefix,
                    "account": rule.account,
                    "times": rule.times,
                    "kind": rule.fault.spelling(),
                })
            })
            .collect();
        let script = self.script().as_ref().map(Script::show);
        json!({ "faults": rules, "script": script, "held": self.held.load(Ordering::SeqCst) })
    }

    /// Takes the fault for a request, if there is one: of the first rule that matches, or of the script.
    pub fn take(&self, method: &Method, path: &str, account: &str) -> Option<Action> {
        let scripted = |fault| Action {
            fault,
            scripted: true,
        };
        self.take_ruled(method, path, account).or_else(|| {
            let mut script = self.script();
            script
                .as_mut()?
                .request(method, path, account)
                .map(scripted)
        })
    }

    fn take_ruled(&self, method: &Method, path: &str, account: &str) -> Option<Action> {
        let mut rules = self.rules();
        let place = rules.iter().position(|rule| {
            path.starts_with(&rule.path_prefix)
                && rule
                    .method
                    .as_deref()
                    .is_none_or(|it| it.eq_ignore_ascii_case(method.as_str()))
                && rule.account.as_deref().is_none_or(|it| it == account)
        })?;
        let fault = rules[place].fault;
        rules[place].times -= 1;
        if rules[place].times == 0 {
            rules.remove(place);
        }
        Some(Action {
            fault,
            scripted: false,
        })
    }

    /// Does what the fault does at this moment. An answer takes the place of the request's own.
    ///
    /// # Errors
    /// [`Dropped`] when the connection is to end.
    pub async fn act(&self, action: Action, moment: Moment) -> Result<Option<ApiError>, Dropped> {
        match (action.fault, moment) {
            (Fault::HoldBefore, Moment::Before) | (Fault::HoldAfter, Moment::After) => {
                self.hold().await;
            }
            (Fault::DropBefore, Moment::Before) | (Fault::DropAfter, Moment::After) => {
                return Err(Dropped);
            }
            (Fault::LatencyMs(ms), Moment::Before) => {
                tokio::time::sleep(Duration::from_millis(ms)).await;
            }
            (Fault::TimeoutBefore(ms), Moment::Before)
            | (Fault::TimeoutAfter(ms), Moment::After) => {
                tokio::time::sleep(Duration::from_millis(ms)).await;
                return Err(Dropped);
            }
            (Fault::Status401, Moment::Before) => return Ok(Some(expired_key())),
            (Fault::Status403, Moment::Before) => return Ok(Some(forbidden())),
            (Fault::Status429, Moment::Before) => return Ok(Some(too_many_requests())),
            (Fault::LockTimeout, Moment::Before) => return Ok(Some(locked())),
            (Fault::Status503, Moment::Before) => return Ok(Some(unavailable())),
            (Fault::Status500, Moment::Before) | (Fault::Status500After, Moment::After) => {
                return Ok(Some(out_of_order().executed()));
            }
            _ => {}
        }
        Ok(None)
    }

    async fn hold(&self) {
        let mut releases = self.releases.subscribe();
        self.held.fetch_add(1, Ordering::SeqCst);
        // An error means that the simulator ends, which releases as well.
        let _ = releases.changed().await;
        self.held.fetch_sub(1, Ordering::SeqCst);
    }
}

/// The beginning of every path.
pub fn every_path() -> String {
    "/".to_owned()
}

fn expired_key() -> ApiError {
    let message = "Expired API Key provided: ********";
    ApiError::new(401, ErrorType::InvalidRequest, message).code("api_key_expired")
}

fn forbidden() -> ApiError {
    ApiError::new(
        403,
        ErrorType::InvalidRequest,
        "The provided key does not have the required permissions for this endpoint on this account.",
    )
}

fn locked() -> ApiError {
    ApiError::new(
        429,
        ErrorType::InvalidRequest,
        "This object cannot be accessed right now because another API request or Stripe process is currently accessing it. If you see this error \
         intermittently, retry the request.",
    )
    .code("lock_timeout")
    .retry(true)
}

fn unavailable() -> ApiError {
    ApiError::new(
        503,
        ErrorType::Api,
        "Stripe is temporarily unavailable. Please try again later.",
    )
    .retry(true)
}

fn too_many_requests() -> ApiError {
    ApiError::new(
        429,
        ErrorType::InvalidRequest,
        "Request rate limit exceeded. Learn more about rate limits here https://stripe.com/docs/rate-limits.",
    )
    .code("rate_limit")
    .retry(true)
}

fn out_of_order() -> ApiError {
    ApiError::internal(
        "Sorry, there was an unexpected error. Please contact us via https://support.stripe.com/.",
    )
}
