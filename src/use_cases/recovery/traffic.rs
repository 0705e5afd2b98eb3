//! How much recovery may ask of each Stripe account: a budget that follows the callers' own traffic, and a breaker that holds
//! recovery back while Stripe does not answer.
//!
//! Both hold recovery back, and nobody else: a caller who waits at a door is worth a request to a Stripe that may be well again,
//! and its answer is what closes the breaker. What callers hear of Stripe counts for both.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// One attempt costs so much; amounts in thousandths of an attempt.
const ATTEMPT: u64 = 1000;
/// What is saved up at the most: so many attempts at once after a rest.
const SAVED_MAX: u64 = 20 * ATTEMPT;

/// The limits of recovery's traffic to one account.
#[derive(Debug, Clone, Copy)]
pub struct TrafficLimits {
    /// Attempts a second that are always allowed.
    pub attempts_per_s: u32,
    /// Attempts that are allowed beside, for each hundred requests of callers.
    pub attempts_per_cent: u32,
    /// After so many silences in a row recovery asks no more.
    pub silences_max: u32,
    /// For so long; then one attempt shows how it stands.
    pub rest: Duration,
}

impl Default for TrafficLimits {
    fn default() -> Self {
        Self {
            attempts_per_s: 5,
            attempts_per_cent: 20,
            silences_max: 5,
            rest: Duration::from_secs(30),
        }
    }
}

/// What is known of each account's traffic, in this process.
pub struct Traffic {
    limits: TrafficLimits,
    accounts: Mutex<HashMap<String, Account>>,
}

/// Why an attempt is held back, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeldBack {
    Breaker(Duration),
    Budget(Duration),
}

struct Account {
    silences: u32,
    /// While the breaker is open: until when nothing is asked, or the attempt that is under way is waited for.
    closed_again: Option<Instant>,
    saved: u64,
    counted: Instant,
}

impl Traffic {
    pub fn new(limits: TrafficLimits) -> Self {
        Self {
            limits,
            accounts: Mutex::default(),
        }
    }

    /// A caller has asked something of the account.
    pub fn caller_asked(&self, account: &str, now: Instant) {
        let earned = ATTEMPT * u64::from(self.limits.attempts_per_cent) / 100;
        self.with(account, now, |it, _| {
            it.saved = it.saved.saturating_add(earned).min(SAVED_MAX);
        });
    }

    /// Stripe has answered something, whatever it was.
    pub fn answered(&self, account: &str, now: Instant) {
        self.with(account, now, |it, _| {
            it.silences = 0;
            it.closed_again = None;
        });
        report(account, false);
    }

    /// Stripe has not answered, or is out of order.
    pub fn silent(&self, account: &str, now: Instant) {
        let is_open = self.with(account, now, |it, limits| {
            it.silences = it.silences.saturating_add(1);
            if it.silences >= limits.silences_max {
                it.closed_again = Some(now + limits.rest);
            }
            it.closed_again.is_some()
        });
        report(account, is_open);
    }

    /// Takes one attempt of recovery out of the budget.
    ///
    /// # Errors
    /// [`HeldBack`]; nothing is taken then.
    pub fn take(&self, account: &str, now: Instant) -> Result<(), HeldBack> {
        self.with(account, now, |it, limits| {
            if let Some(until) = it.closed_again.filter(|until| *until > now) {
                return Err(HeldBack::Breaker(until - now));
            }
            if it.saved < ATTEMPT {
                let per_s = u64::from(limits.attempts_per_s).max(1);
                return Err(HeldBack::Budget(Duration::from_millis(ATTEMPT / per_s)));
            }
            it.saved -= ATTEMPT;
            if let Some(until) = &mut it.closed_again {
                // Half open: this one shows how it stands, and the others wait for it.
                *until = now + limits.rest;
            }
            Ok(())
        })
    }

    fn with<T>(
        &self,
        account: &str,
        now: Instant,
        work: impl FnOnce(&mut Account, &TrafficLimits) -> T,
    ) -> T {
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        if !accounts.contains_key(account) {
            let fresh = Account {
                silences: 0,
                closed_again: None,
                saved: SAVED_MAX,
                counted: now,
            };
            accounts.insert(account.to_owned(), fresh);
        }
        let it = accounts
            .get_mut(account)
            .expect("it was put there just now, under the same lock");
        let passed = now.saturating_duration_since(it.counted);
        it.counted = now;
        let earned = passed
            .as_micros()
            .saturating_mul(u128::from(self.limits.attempts_per_s))
            / 1000;
        let earned = u64::try_from(earned).unwrap_or(SAVED_MAX);
        it.saved = it.saved.saturating_add(earned).min(SAVED_MAX);
        work(it, &self.limits)
    }
}

fn report(account: &str, is_open: bool) {
    let open = if is_open { 1.0 } else { 0.0 };
    metrics::gauge!("counterfoil_breaker_open", "account" => account.to_owned()).set(open);
}

#[cfg(test)]
mod tests {
    use super::*;

    const REST: Duration = Duration::from_secs(30);

    fn traffic() -> (Traffic, Instant) {
        (Traffic::new(TrafficLimits::default()), Instant::now())
    }

    /// Planted bug: counting silences over all answers, rather than in a row.
    #[test]
    fn the_breaker_opens_after_silences_in_a_row_and_closes_with_an_answer() {
        let (traffic, now) = traffic();
        for _ in 0..4 {
            traffic.silent("acme", now);
        }
        traffic.answered("acme", now);
        for _ in 0..4 {
            traffic.silent("acme", now);
        }
        assert_eq!(traffic.take("acme", now), Ok(()));
        traffic.silent("acme", now);
        assert_eq!(traffic.take("acme", now), Err(HeldBack::Breaker(REST)));
        assert_eq!(
            traffic.take("rival", now),
            Ok(()),
            "each account has its own"
        );
        traffic.answered("acme", now);
        assert_eq!(traffic.take("acme", now), Ok(()));
    }

    /// Planted bug: letting everybody through once the rest is over.
    #[test]
    fn after_its_rest_one_attempt_shows_how_it_stands() {
        let (traffic, now) = traffic();
        for _ in 0..5 {
            traffic.silent("acme", now);
        }
        let later = now + REST;
        assert_eq!(traffic.take("acme", later), Ok(()));
        assert_eq!(traffic.take("acme", later), Err(HeldBack::Breaker(REST)));
        traffic.silent("acme", later);
        assert_eq!(traffic.take("acme", later), Err(HeldBack::Breaker(REST)));
        assert_eq!(traffic.take("acme", later + REST), Ok(()));
        traffic.answered("acme", later + REST);
        assert_eq!(traffic.take("acme", later + REST), Ok(()));
    }

    /// Planted bug: a budget that nothing is taken from.
    #[test]
    fn the_budget_is_spent_and_grows_with_time_and_with_callers() {
        let (traffic, now) = traffic();
        for _ in 0..20 {
            assert_eq!(traffic.take("acme", now), Ok(()));
        }
        let held_back = Err(HeldBack::Budget(Duration::from_millis(200)));
        assert_eq!(traffic.take("acme", now), held_back);
        for _ in 0..5 {
            traffic.caller_asked("acme", now);
        }
        assert_eq!(traffic.take("acme", now), Ok(()));
        assert_eq!(traffic.take("acme", now), held_back);
        let later = now + Duration::from_secs(1);
        for _ in 0..5 {
            assert_eq!(traffic.take("acme", later), Ok(()));
        }
        assert_eq!(traffic.take("acme", later), held_back);
    }
}
