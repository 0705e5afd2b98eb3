//! A script: how often each kind of fault strikes, drawn from a seed, for as long as it is switched on.
//!
//! Each account has two rows of draws, one for its requests and one for its deliveries, so that the same conversation meets the same faults
//! again, whatever the other accounts do meanwhile.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::collections::HashSet;

use http::Method;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Drawn, Fault};

/// The sum of the shares of one row.
const WHOLE_PER_MILLE: u32 = 1_000;

/// A script as it is asked for. Shares are in per mille, and those of one row are at most a thousand together.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    seed: u64,
    #[serde(default)]
    account: Option<String>,
    #[serde(default)]
    method: Option<String>,
    #[serde(default = "super::every_path")]
    path_prefix: String,
    /// Of the requests: a kind of fault and its share.
    #[serde(default)]
    requests: BTreeMap<String, u32>,
    /// Of the deliveries to each endpoint: a mishap and its share.
    #[serde(default)]
    webhooks: BTreeMap<String, u32>,
}

/// What becomes of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mishap {
    /// It is never made.
    Lost,
    /// It is made twice, at the same time.
    Duplicated,
    /// It is made so many milliseconds of the simulator's clock later; others go first.
    LateMs(u32),
    /// It is made up to so many milliseconds later, as drawn, so that others may overtake it.
    ReorderedMs(u32),
}

/// A script that is switched on.
pub struct Script {
    asked: Asked,
    requests: Vec<(Fault, u32)>,
    webhooks: Vec<(Mishap, u32)>,
    rows: HashMap<String, Row>,
    struck: BTreeMap<String, u64>,
}

/// Where the draws of an account stand.
struct Row {
    requests: StdRng,
    webhooks: StdRng,
    /// The deliveries that were drawn for: each is once.
    seen: HashSet<String>,
}

impl Mishap {
    fn parse(text: &str) -> Option<Self> {
        let ms = |start: &str| text.strip_prefix(start).and_then(|ms| ms.parse().ok());
        match text {
            "lost" => Some(Self::Lost),
            "duplicated" => Some(Self::Duplicated),
            _ => None
                .or_else(|| ms("late_ms:").map(Self::LateMs))
                .or_else(|| ms("reordered_ms:").map(Self::ReorderedMs)),
        }
    }

    fn spelling(self) -> &'static str {
        match self {
            Self::Lost => "lost",
            Self::Duplicated => "duplicated",
            Self::LateMs(_) => "late_ms",
            Self::ReorderedMs(_) => "reordered_ms",
        }
    }
}

impl Script {
    /// Reads what is asked for.
    ///
    /// # Errors
    /// A sentence, where a kind is unknown, one waits for a release, or shares are more than a whole.
    pub fn new(asked: Asked) -> Result<Self, String> {
        let requests = shares(&asked.requests, |text| {
            Fault::parse(text)
                .filter(|it| !matches!(it, Fault::HoldBefore | Fault::HoldAfter))
                .ok_or("is no kind of fault that a script can have")
        })?;
        let webhooks = shares(&asked.webhooks, |text| {
            Mishap::parse(text).ok_or("is nothing that becomes of a delivery")
        })?;
        Ok(Self {
            asked,
            requests,
            webhooks,
            rows: HashMap::new(),
            struck: BTreeMap::new(),
        })
    }

    /// As it was asked for, and how often each kind has struck.
    pub fn show(&self) -> Value {
        json!({
            "seed": self.asked.seed,
            "account": self.asked.account,
            "method": self.asked.method,
            "path_prefix": self.asked.path_prefix,
            "requests": self.asked.requests,
            "webhooks": self.asked.webhooks,
            "struck": self.struck,
        })
    }

    /// Draws for a request, if the script is about it.
    pub fn request(&mut self, method: &Method, path: &str, account: &str) -> Option<Fault> {
        let asked = &self.asked;
        let is_meant = path.starts_with(&asked.path_prefix)
            && asked
                .method
                .as_deref()
                .is_none_or(|it| it.eq_ignore_ascii_case(method.as_str()))
            && asked.account.as_deref().is_none_or(|it| it == account);
        if !is_meant || self.requests.is_empty() {
            return None;
        }
        let row = row(&mut self.rows, asked.seed, account);
        let fault = pick(&self.requests, &mut row.requests)?;
        *self.struck.entry(fault.spelling()).or_default() += 1;
        Some(fault)
    }

    /// Draws for a delivery that was not drawn for before.
    pub fn delivery(&mut self, account: &str, delivery: &str) -> Option<Drawn> {
        let asked = &self.asked;
        if asked.account.as_deref().is_some_and(|it| it != account) || self.webhooks.is_empty() {
            return None;
        }
        let row = row(&mut self.rows, asked.seed, account);
        if !row.seen.insert(delivery.to_owned()) {
            return None;
        }
        let mishap = pick(&self.webhooks, &mut row.webhooks)?;
        *self.struck.entry(mishap.spelling().to_owned()).or_default() += 1;
        Some(match mishap {
            Mishap::Lost => Drawn::Lost,
            Mishap::Duplicated => Drawn::Twice,
            Mishap::LateMs(ms) => Drawn::After(ms.into()),
            Mishap::ReorderedMs(ms) => {
                Drawn::After(row.webhooks.random_range(1..=ms.max(1)).into())
            }
        })
    }
}

fn row<'r>(rows: &'r mut HashMap<String, Row>, seed: u64, account: &str) -> &'r mut Row {
    rows.entry(account.to_owned()).or_insert_with(|| {
        // Every account its own, and the same at every run.
        let of_account = account.bytes().fold(seed, |it, byte| {
            it.rotate_left(8).wrapping_mul(0x0100_0000_01b3) ^ u64::from(byte)
        });
        Row {
            requests: StdRng::seed_from_u64(of_account),
            webhooks: StdRng::seed_from_u64(!of_account),
            seen: HashSet::new(),
        }
    })
}

fn shares<T>(
    asked: &BTreeMap<String, u32>,
    read: impl Fn(&str) -> Result<T, &'static str>,
) -> Result<Vec<(T, u32)>, String> {
    let total: u64 = asked.values().map(|share| u64::from(*share)).sum();
    if total > u64::from(WHOLE_PER_MILLE) {
        return Err(format!("{total} per mille are more than a whole"));
    }
    let read = |(text, share): (&String, &u32)| match read(text) {
        Ok(kind) => Ok((kind, *share)),
        Err(why) => Err(format!("{text:?} {why}")),
    };
    asked.iter().map(read).collect()
}

/// One draw: none, where it falls beyond all shares.
fn pick<T: Copy>(shares: &[(T, u32)], draws: &mut StdRng) -> Option<T> {
    let mut drawn = draws.random_range(0..WHOLE_PER_MILLE);
    for (kind, share) in shares {
        match drawn.checked_sub(*share) {
            Some(left) => drawn = left,
            None => return Some(*kind),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::{Asked, Drawn, Script};
    use http::Method;
    use serde_json::{Value, json};

    fn script(asked: Value) -> Result<Script, String> {
        let asked: Asked = serde_json::from_value(asked).expect("a script");
        Script::new(asked)
    }

    fn drawn(script: &mut Script, account: &str) -> Vec<String> {
        let mut draw = || script.request(&Method::POST, "/v1/refunds", account);
        (0..200)
            .map(|_| draw().map_or_else(String::new, super::Fault::spelling))
            .collect()
    }

    #[test]
    fn one_seed_is_one_row_of_draws_for_each_account() {
        let of = |seed: u64| json!({ "seed": seed, "requests": { "drop_after": 300, "status_429": 200 } });
        let mut first = script(of(7)).expect("it is one");
        let (one, two) = (drawn(&mut first, "one"), drawn(&mut first, "two"));
        let mut second = script(of(7)).expect("it is one");
        assert_eq!(drawn(&mut second, "two"), two);
        assert_eq!(drawn(&mut second, "one"), one);
        assert_ne!(one, two);
        assert_ne!(drawn(&mut script(of(8)).expect("it is one"), "one"), one);
        let struck = one.iter().filter(|it| *it == "drop_after").count();
        assert!(
            (30..=90).contains(&struck),
            "{struck} of 200 at 300 per mille"
        );
    }

    #[test]
    fn a_delivery_is_drawn_for_once() {
        let asked = json!({ "seed": 1, "webhooks": { "late_ms:50": 1000 } });
        let mut script = script(asked).expect("it is one");
        assert_eq!(script.delivery("one", "evt_1/we_1"), Some(Drawn::After(50)));
        assert_eq!(script.delivery("one", "evt_1/we_1"), None);
    }

    #[test]
    fn what_no_script_can_have_is_refused() {
        for asked in [
            json!({ "seed": 1, "requests": { "hold_after": 10 } }),
            json!({ "seed": 1, "requests": { "flood": 10 } }),
            json!({ "seed": 1, "requests": { "drop_after": 600, "drop_before": 401 } }),
            json!({ "seed": 1, "webhooks": { "drop_after": 10 } }),
        ] {
            assert!(script(asked.clone()).is_err(), "{asked}");
        }
    }
}
