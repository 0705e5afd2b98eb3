//! Goes on with what was cut off: intentions that Stripe has not answered.
//!
//! Every instance looks for them; a lease gives each to one at a time. While the key of an intention certainly lives, the same
//! request is sent under it; after that, and once Stripe keeps an error under it, what became of it is only looked up
//! ([`lookup`]). What is still open after its deadline is parked for people ([`parking`]), and looked up at leisure.

mod lookup;
mod parking;
mod traffic;

pub(super) use lookup::Way;
pub use parking::{ByHand, Parked, SettleError, Settler};
pub use traffic::TrafficLimits;
pub(super) use traffic::{HeldBack, Traffic};

use aggregates::ids::{IntentionId, MerchantId, PaymentId};
use aggregates::metadata::Actor;
use futures::StreamExt;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

use super::{App, AppError};
use crate::crash_point;
use crate::gateway::{Silence, SilenceKind};
use crate::store::{Context, LeasedWork, Merchant, WorkKind};

/// The door that recovery comes in by.
const DOOR: &str = "recovery";

/// How recovery works.
#[derive(Debug, Clone, Copy)]
pub struct Recovery {
    /// How long to wait between two looks.
    pub every: Duration,
    /// How old an open intention is before it counts as cut off: longer than callers wait.
    pub older_than: Duration,
    /// How old an intention may be to be sent (again). Stripe forgets a key after 24 hours, and would act twice then; four
    /// hours are left for clocks that differ and requests that dawdle.
    pub certain_for: Duration,
    /// For how long looking it up must have shown that it was not done, until it is believed: longer than any request of ours
    /// can still be on its way, and than Stripe's own repairs after an error take.
    pub absent_for: Duration,
    /// How old an intention is when it is given up, and waits for people.
    pub park_after: Duration,
    /// How long an instance has to show that it still works on what it leased.
    pub lease_for: Duration,
    /// The pause after the first attempt; it doubles with each one.
    pub pause_min: Duration,
    pub pause_max: Duration,
    pub traffic: TrafficLimits,
}

/// How many intentions are leased at once, and how many of them are driven beside one another.
const LEASED_AT_ONCE: u32 = 32;
const DRIVEN_AT_ONCE: usize = 8;
/// What is parked is looked up so often.
const PARKED_PAUSE: Duration = Duration::from_secs(3600);

impl Default for Recovery {
    fn default() -> Self {
        Self {
            every: Duration::from_secs(5),
            older_than: Duration::from_secs(60),
            certain_for: Duration::from_secs(20 * 3600),
            absent_for: Duration::from_secs(600),
            park_after: Duration::from_secs(26 * 3600),
            lease_for: Duration::from_secs(60),
            pause_min: Duration::from_secs(5),
            pause_max: Duration::from_secs(15 * 60),
            traffic: TrafficLimits::default(),
        }
    }
}

/// What was done with a leased intention.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Driven {
    Attempted,
    /// Nothing, for now: the account has had enough of recovery.
    HeldBack,
}

impl App {
    /// Looks for open intentions until it is stopped; at the start for all of them, since every one was cut off.
    pub async fn run_recovery(&self, stop: CancellationToken) {
        let recovery = self.inner.recovery;
        let mut older_than = Duration::ZERO;
        loop {
            tokio::select! {
                () = self.recover(older_than) => {}
                // What is leased is finished: its requests are on their way.
                () = stop.cancelled() => return,
            }
            older_than = recovery.older_than;
            tokio::select! {
                () = tokio::time::sleep(recovery.every) => {}
                () = stop.cancelled() => return,
            }
        }
    }

    /// Drives every intention that has been open for so long and is due, each in a task that nobody cancels.
    pub async fn recover(&self, older_than: Duration) {
        let work = &self.inner.store.work;
        let (waiting, parked) = tokio::join!(work.find(older_than), work.parked_count());
        match (waiting, parked) {
            (Ok(waiting), Ok(parked)) => {
                gauge("counterfoil_recovery_waiting", waiting);
                gauge("counterfoil_parked", parked);
            }
            (Err(error), _) | (_, Err(error)) => {
                tracing::error!(%error, "recovery cannot look for its work");
                return;
            }
        }
        loop {
            let lease = self.inner.store.ids.uuid();
            let lease_for = self.inner.recovery.lease_for;
            let leased = match work.lease(LEASED_AT_ONCE, lease, lease_for).await {
                Ok(leased) => leased,
                Err(error) => {
                    tracing::error!(%error, "recovery cannot lease its work");
                    return;
                }
            };
            let whole = u32::try_from(leased.len()).is_ok_and(|many| many == LEASED_AT_ONCE);
            let driven = futures::stream::iter(leased).map(|it| {
                let app = self.clone();
                self.inner
                    .tasks
                    .spawn(async move { app.recover_one(it).await })
            });
            let driven = driven.buffer_unordered(DRIVEN_AT_ONCE);
            let held_back = driven
                .fold(false, async |held_back, driven| match driven {
                    Ok(driven) => held_back || driven == Driven::HeldBack,
                    Err(panic) => {
                        tracing::error!(%panic, "recovery of one intention failed");
                        held_back
                    }
                })
                .await;
            if !whole || held_back {
                return;
            }
        }
    }

    /// Drives one intention, and keeps its lease alive meanwhile.
    async fn recover_one(&self, it: LeasedWork) -> Driven {
        let attempt = self.attempt(&it);
        tokio::pin!(attempt);
        let lease_for = self.inner.recovery.lease_for;
        loop {
            tokio::select! {
                driven = &mut attempt => return driven,
                () = tokio::time::sleep(lease_for / 3) => {
                    // Without it the same request may be sent by another instance as well, under the same key.
                    if let Err(error) = self.inner.store.work.renew(&it, lease_for).await {
                        tracing::warn!(%error, "a lease could not be renewed");
                    }
                }
            }
        }
    }

    async fn attempt(&self, it: &LeasedWork) -> Driven {
        crash_point!("recovery-leased");
        let whose = match it.merchant.parse::<MerchantId>() {
            Ok(id) => self.merchant(&id).await,
            Err(_) => Err(AppError::Internal),
        };
        let merchant = match whose {
            Ok(merchant) => merchant,
            Err(error) => {
                tracing::error!(merchant = %it.merchant, %error, "a merchant cannot be read");
                self.put_back(it, &error.to_string()).await;
                return Driven::Attempted;
            }
        };
        let traffic = &self.inner.traffic;
        if let Err(held) = traffic.take(&merchant.stripe_account, Instant::now()) {
            let (why, pause) = match held {
                HeldBack::Breaker(pause) => ("breaker", pause),
                HeldBack::Budget(pause) => ("budget", pause),
            };
            metrics::counter!("counterfoil_recovery_held_back_total", "why" => why).increment(1);
            logged(self.inner.store.work.again(it, pause, None).await);
            return Driven::HeldBack;
        }
        let context = self.recovery();
        let outcome = self.drive_one(&merchant, &context, it).await;
        crash_point!("recovery-driven");
        let told = if outcome.is_ok() { "ended" } else { "open" };
        metrics::counter!("counterfoil_recovery_attempts_total", "outcome" => told).increment(1);
        match outcome {
            Ok(()) => {
                tracing::info!(merchant = %merchant.id, intention = %it.intention, "went on with what was cut off");
                logged(self.inner.store.work.ended(it).await);
            }
            Err(error) => self.still_open(&merchant, &context, it, &error).await,
        }
        Driven::Attempted
    }

    /// An attempt had no outcome: it is made again after a pause, and past the deadline people are told.
    async fn still_open(
        &self,
        merchant: &Merchant,
        context: &Context,
        it: &LeasedWork,
        error: &AppError,
    ) {
        let intention = IntentionId::from_uuid(it.intention);
        let why = self.inner.silences.get(&intention);
        let why = why.unwrap_or_else(|| error.to_string());
        tracing::warn!(merchant = %merchant.id, %intention, attempts = it.attempts, %why, "an intention still waits for Stripe");
        if it.age() >= self.inner.recovery.park_after
            && let Err(error) = self.park(merchant, context, it, &why).await
        {
            tracing::error!(%intention, %error, "an intention cannot be parked");
        }
        crash_point!("recovery-still-open");
        self.put_back(it, &why).await;
    }

    /// Drives it, and answers the key of the caller who waited for it, as that caller's own command would have.
    async fn drive_one(
        &self,
        merchant: &Merchant,
        context: &Context,
        it: &LeasedWork,
    ) -> Result<(), AppError> {
        let intention = IntentionId::from_uuid(it.intention);
        let payment = PaymentId::from_uuid(it.subject);
        match it.kind() {
            WorkKind::Step => {
                let key = self.key_of_step(merchant, payment).await?;
                let driven = self.drive(merchant, payment, context, key.as_ref());
                driven.await.map(drop)
            }
            WorkKind::Refund => {
                let key = self.key_of_refund(merchant, payment, intention).await?;
                let driven = self.drive_refund(merchant, payment, intention, context, key.as_ref());
                driven.await.map(drop)
            }
            WorkKind::Change => {
                let key = self.key_of_change(merchant, intention).await?;
                let driven = self.drive_change(merchant, context, intention, key.as_ref());
                driven.await.map(drop)
            }
        }
    }

    async fn put_back(&self, it: &LeasedWork, why: &str) {
        let pause = self.pause(it);
        logged(self.inner.store.work.again(it, pause, Some(why)).await);
    }

    /// Doubling with each attempt, and drawn from its upper half, so that what was cut off together does not come together.
    fn pause(&self, it: &LeasedWork) -> Duration {
        let recovery = &self.inner.recovery;
        let doublings = u32::try_from(it.attempts).unwrap_or(0).min(20);
        let full = recovery
            .pause_min
            .saturating_mul(1 << doublings)
            .min(recovery.pause_max);
        let full = if it.age() >= recovery.park_after {
            full.max(PARKED_PAUSE.min(recovery.pause_max.saturating_mul(4)))
        } else {
            full
        };
        let drawn = u32::from(u16::from_be_bytes(self.inner.store.ids.bytes()));
        full / 2 + full / 2 * drawn / u32::from(u16::MAX)
    }

    /// The circumstances of what recovery does.
    fn recovery(&self) -> Context {
        self.context_of(Actor {
            name: "recovery".to_owned(),
            key_id: None,
            door: DOOR.to_owned(),
        })
    }

    /// Stripe has answered a request for the account.
    pub(super) fn heard(&self, merchant: &Merchant, context: &Context) {
        let (traffic, now) = (&self.inner.traffic, Instant::now());
        if context.actor.door != DOOR {
            traffic.caller_asked(&merchant.stripe_account, now);
        }
        traffic.answered(&merchant.stripe_account, now);
    }

    /// Stripe has not answered for an intention. True where it keeps an error under the intention's key, so that it is only
    /// looked up from now on.
    pub(super) async fn not_heard(
        &self,
        merchant: &Merchant,
        context: &Context,
        intention: IntentionId,
        silence: &Silence,
    ) -> bool {
        tracing::warn!(%intention, why = %silence.why, "Stripe's outcome is not known");
        metrics::counter!("counterfoil_outcomes_unknown_total").increment(1);
        if silence.is_outage() {
            let (traffic, now) = (&self.inner.traffic, Instant::now());
            if context.actor.door != DOOR {
                traffic.caller_asked(&merchant.stripe_account, now);
            }
            traffic.silent(&merchant.stripe_account, now);
        } else if silence.kind != SilenceKind::NotSent {
            self.heard(merchant, context);
        }
        self.remember(intention, &format!("{}: {}", silence.kind, silence.why));
        let spent = silence.kind == SilenceKind::StoredError;
        if spent {
            let work = &self.inner.store.work;
            logged(work.key_is_spent(&merchant.id, intention).await);
            self.inner.store.fresh.forget(intention);
        }
        spent
    }

    /// Why the last attempt had no outcome: for the log, and for people where it is parked.
    fn remember(&self, intention: IntentionId, why: &str) {
        self.inner.silences.insert(intention, why.to_owned());
    }
}

impl LeasedWork {
    /// Since it was intended, by the database's clock.
    fn age(&self) -> Duration {
        Duration::from_millis(u64::try_from(self.age_ms).unwrap_or(0))
    }
}

fn gauge(name: &'static str, count: i64) {
    let count = u32::try_from(count).map_or(f64::INFINITY, f64::from);
    metrics::gauge!(name).set(count);
}

/// What recovery keeps for itself may be lost: then it is found again.
fn logged(done: Result<(), sqlx::Error>) {
    if let Err(error) = done {
        tracing::error!(%error, "recovery cannot write what it works on");
    }
}
