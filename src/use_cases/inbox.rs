//! Applies what the inbox holds, through the same commands as everything else.
//!
//! An event is a hint, and may be late, early, repeated or out of order. Applying one twice changes nothing: a lease gives each
//! to one instance, and where a lease runs out two may apply it. What cannot be applied yet is tried again after growing pauses
//! and holds up nothing else; what cannot be applied at all is set aside for people.

use aggregates::ids::{MerchantId, PaymentId};
use aggregates::metadata::Actor;
use aggregates::payment::command::{Observation, Said};
use chrono::TimeDelta;
use futures::FutureExt;
use futures::stream::{FuturesUnordered, StreamExt};
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::sessions::Noticed;
use super::webhooks::{about, payment_in};
use super::{App, AppError, settling};
use crate::gateway::{self, MERCHANT_KEY, Outcome};
use crate::store::{Applied, Context, Delivery, LeasedEvent, Merchant, Next};

/// How many deliveries are leased at once, and how many this instance has under way at the most.
const LEASED_AT_ONCE: u32 = 32;
const UNDER_WAY_MAX: usize = 128;
/// A merchant with so many under way gets no more until some have ended: its Stripe may be slow, and the others' are not.
const UNDER_WAY_OF_ONE: usize = 32;
/// How often it is counted what waits.
const COUNTED_EVERY: Duration = Duration::from_secs(10);
/// An event that Stripe made so much later than we got it has a wrong time.
const TIME_AHEAD_MAX: TimeDelta = TimeDelta::seconds(300);

/// How patient the inbox is.
#[derive(Debug, Clone, Copy)]
pub struct InboxPatience {
    /// How long an instance has to show that it still works on what it leased.
    pub lease_for: Duration,
    /// The pause after the first failure; it doubles with each one.
    pub pause_min: Duration,
    pub pause_max: Duration,
    /// After so many failures in a row a delivery is set aside.
    pub attempts_max: u32,
    /// What speaks of nothing known is looked at again for so long, after pauses of half its age, but no shorter than this.
    pub unmatched_for: Duration,
    pub unmatched_pause_min: Duration,
}

impl Default for InboxPatience {
    fn default() -> Self {
        Self {
            lease_for: Duration::from_secs(60),
            pause_min: Duration::from_secs(1),
            pause_max: Duration::from_secs(3600),
            attempts_max: 30,
            unmatched_for: Duration::from_secs(3 * 24 * 3600),
            unmatched_pause_min: Duration::from_secs(5),
        }
    }
}

/// Why a delivery was not applied.
#[derive(Debug, thiserror::Error)]
enum NotApplied {
    /// It will never be readable to this program.
    #[error("it cannot be read: {0}")]
    Unreadable(String),
    #[error(transparent)]
    App(#[from] AppError),
}

/// Deliveries about one thing, applied one after the other; and whose they are.
type UnderWay = FuturesUnordered<JoinHandle<(String, usize)>>;

impl App {
    /// Applies what is kept until it is stopped.
    pub async fn run_inbox(&self, stop: CancellationToken) {
        let mut under_way = UnderWay::new();
        let mut load: HashMap<String, usize> = HashMap::new();
        let mut counted: Option<Instant> = None;
        while !stop.is_cancelled() {
            if counted.is_none_or(|at| at.elapsed() >= COUNTED_EVERY) {
                self.count_inbox().await;
                counted = Some(Instant::now());
            }
            while let Some(Some(ended)) = under_way.next().now_or_never() {
                lighten(&mut load, ended);
            }
            let leased = self.lease_events(&load).await;
            let none = leased.is_empty();
            for lane in lanes(leased) {
                let merchant = lane[0].delivery.merchant.to_string();
                *load.entry(merchant).or_default() += lane.len();
                under_way.push(self.start_lane(lane));
            }
            if none {
                tokio::select! {
                    () = self.inner.delivered.notified() => {}
                    Some(ended) = under_way.next() => lighten(&mut load, ended),
                    () = tokio::time::sleep(Duration::from_secs(1)) => {}
                    // What is under way is finished: it runs in tasks that the application waits for.
                    () = stop.cancelled() => {}
                }
            }
        }
    }

    /// Applies all that is due in the inbox, and says how many deliveries were tried.
    pub async fn apply_waiting(&self) -> usize {
        let mut tried = 0;
        loop {
            let leased = self.lease_events(&HashMap::new()).await;
            if leased.is_empty() {
                return tried;
            }
            tried += leased.len();
            let lanes: UnderWay = lanes(leased)
                .into_iter()
                .map(|lane| self.start_lane(lane))
                .collect();
            lanes.for_each(async |ended| drop(ended)).await;
        }
    }

    async fn lease_events(&self, load: &HashMap<String, usize>) -> Vec<LeasedEvent> {
        let under_way: usize = load.values().sum();
        let room = u32::try_from(UNDER_WAY_MAX.saturating_sub(under_way)).unwrap_or(0);
        if room == 0 {
            return vec![];
        }
        let busy: Vec<String> = load
            .iter()
            .filter(|(_, many)| **many >= UNDER_WAY_OF_ONE)
            .map(|(merchant, _)| merchant.clone())
            .collect();
        let (lease, lease_for) = (
            self.inner.store.ids.uuid(),
            self.inner.options.inbox.lease_for,
        );
        let inbox = &self.inner.store.inbox;
        match inbox
            .lease(room.min(LEASED_AT_ONCE), &busy, lease, lease_for)
            .await
        {
            Ok(leased) => leased,
            Err(error) => {
                tracing::error!(%error, "the inbox cannot be read");
                vec![]
            }
        }
    }

    /// Applies the deliveries of a lane in a task that nobody cancels, and keeps their leases alive meanwhile.
    fn start_lane(&self, lane: Vec<LeasedEvent>) -> JoinHandle<(String, usize)> {
        let app = self.clone();
        let ended = (lane[0].delivery.merchant.to_string(), lane.len());
        self.inner.tasks.spawn(async move {
            let applied = async {
                for it in &lane {
                    app.apply_one(it).await;
                }
            };
            tokio::pin!(applied);
            let lease_for = app.inner.options.inbox.lease_for;
            loop {
                tokio::select! {
                    () = &mut applied => return ended,
                    () = tokio::time::sleep(lease_for / 3) => {
                        if let Err(error) = app.inner.store.inbox.renew(&lane, lease_for).await {
                            tracing::warn!(%error, "a lease could not be renewed");
                        }
                    }
                }
            }
        })
    }

    /// Applies one delivery, and keeps what came of it.
    async fn apply_one(&self, it: &LeasedEvent) {
        let event = &it.delivery.event_id;
        let patience = self.inner.options.inbox;
        let applied = if it.attempts > patience.attempts_max {
            // It was begun as often as may be, and never came to an end: it may take the process with it.
            Err(Err(
                "it was begun again and again, and never ended".to_owned()
            ))
        } else {
            match AssertUnwindSafe(self.apply(it)).catch_unwind().await {
                Ok(applied) => applied.map_err(Ok),
                Err(_) => Err(Err("applying it panicked".to_owned())),
            }
        };
        let inbox = &self.inner.store.inbox;
        let kept = match applied {
            Ok(result) => {
                let again = (result == Applied::Unmatched)
                    .then(|| self.pause_of_unmatched(it))
                    .flatten();
                crate::crash_point!("webhook-applied");
                let kept = inbox.done(it, result, again).await;
                if matches!(kept, Ok(true)) {
                    metrics::counter!("counterfoil_webhooks_applied_total", "result" => result.to_string()).increment(1);
                }
                kept
            }
            Err(why) => {
                let never = matches!(why, Ok(NotApplied::Unreadable(_)));
                let why = why.map_or_else(|why| why, |error| error.to_string());
                let next = if never || it.attempts >= patience.attempts_max {
                    metrics::counter!("counterfoil_inbox_set_aside_total").increment(1);
                    tracing::error!(%event, merchant = %it.delivery.merchant, attempts = it.attempts, %why, "an event is set aside for people");
                    Next::SetAside
                } else {
                    tracing::warn!(%event, merchant = %it.delivery.merchant, attempts = it.attempts, %why, "an event could not be applied yet");
                    Next::Again(self.pause_after_failure(it.attempts))
                };
                inbox.failed(it, &why.replace('\0', ""), next).await
            }
        };
        match kept {
            Ok(true) => {}
            Ok(false) => tracing::debug!(%event, "another instance has dealt with the event"),
            Err(error) => tracing::error!(%event, %error, "the inbox cannot be written"),
        }
    }

    /// Doubling with each failure.
    fn pause_after_failure(&self, attempts: u32) -> Duration {
        let patience = self.inner.options.inbox;
        let doublings = attempts.saturating_sub(1).min(20);
        let full = patience.pause_min.saturating_mul(1 << doublings);
        self.jittered(full.min(patience.pause_max))
    }

    /// Half of its age; none where it has been looked at for long enough.
    fn pause_of_unmatched(&self, it: &LeasedEvent) -> Option<Duration> {
        let patience = self.inner.options.inbox;
        let pause = (it.age / 2).max(patience.unmatched_pause_min);
        (it.age < patience.unmatched_for).then(|| self.jittered(pause))
    }

    /// Drawn from the upper half, so that what failed together does not come together.
    pub(super) fn jittered(&self, full: Duration) -> Duration {
        let drawn = u32::from(u16::from_be_bytes(self.inner.store.ids.bytes()));
        full / 2 + full / 2 * drawn / u32::from(u16::MAX)
    }

    async fn count_inbox(&self) {
        match self.inner.store.inbox.counts().await {
            Ok(counts) => {
                gauge("counterfoil_inbox_waiting", counts.waiting);
                gauge("counterfoil_inbox_oldest_seconds", counts.oldest_s);
                gauge("counterfoil_inbox_set_aside", counts.set_aside);
            }
            Err(error) => tracing::error!(%error, "the inbox cannot be counted"),
        }
    }

    async fn apply(&self, leased: &LeasedEvent) -> Result<Applied, NotApplied> {
        let delivery = &leased.delivery;
        let object = delivery.body.pointer("/data/object");
        let Some(object) = object.and_then(Value::as_object) else {
            return Ok(Applied::Skipped);
        };
        if settling::moves_balance(&delivery.event_type) {
            self.inner.due.add(&delivery.merchant);
        }
        let merchant = self.merchant(&delivery.merchant).await?;
        let context = self.context_of_event(leased);
        if delivery.event_type.starts_with("payout.") {
            let seen = gateway::payout_from(Value::Object(object.clone()))
                .map_err(|error| NotApplied::Unreadable(error.to_string()))?;
            self.observe_payout(&merchant, &context, seen).await?;
            return Ok(Applied::Applied);
        }
        if delivery.event_type.starts_with("checkout.session.") {
            return Ok(self.apply_session(&merchant, &context, object).await?);
        }
        let said = said(&delivery.event_type, object)
            .map_err(|error| NotApplied::Unreadable(error.to_string()))?;
        let Some(said) = said else {
            return Ok(Applied::Skipped);
        };
        let payment = match self.payment_of(delivery, object).await? {
            Some(payment) => payment,
            None => match self.adopt_marked(&merchant, object, &context).await? {
                Some(payment) => payment,
                None => return Ok(Applied::Unmatched),
            },
        };
        let said = (said, delivery.about.as_deref());
        self.hint(&merchant, payment, said, &context).await?;
        Ok(Applied::Applied)
    }

    /// What a session's money did is told by its intent; that it has expired, by itself alone.
    async fn apply_session(
        &self,
        merchant: &Merchant,
        context: &Context,
        object: &Map<String, Value>,
    ) -> Result<Applied, AppError> {
        let session = Value::Object(object.clone());
        let noticed = self.notice_session(merchant, context, &session).await?;
        Ok(match noticed {
            Noticed::Recorded => Applied::Applied,
            Noticed::NotYet => Applied::Unmatched,
            Noticed::Nothing => Applied::Skipped,
        })
    }

    /// The circumstances of what an event tells. A time that had not come when we got it is not taken over.
    fn context_of_event(&self, it: &LeasedEvent) -> Context {
        let delivery = &it.delivery;
        let actor = Actor {
            name: format!("stripe:{}", delivery.event_id),
            key_id: None,
            door: "webhooks".to_owned(),
        };
        let claimed = delivery.stripe_created;
        Context {
            claimed_at: (claimed <= it.received_at + TIME_AHEAD_MAX).then_some(claimed),
            ..self.context_of(actor)
        }
    }

    /// What an event says is recorded; where it tells of an earlier stage than is known, Stripe is asked how it stands now.
    async fn hint(
        &self,
        merchant: &Merchant,
        id: PaymentId,
        (said, about): (Said, Option<&str>),
        context: &Context,
    ) -> Result<(), AppError> {
        let status = match &said {
            Said::Intent(snapshot) => Some(snapshot.status),
            _ => None,
        };
        let before = self.inner.store.payment(&merchant.id, id).await?;
        let taken = before
            .state
            .facts()
            .is_some_and(|it| it.captured.is_positive());
        if let (Said::Refund(_), false, Some(intent)) = (&said, taken, about) {
            // It comes out of what was sold, so it must be known first that anything was.
            self.see_now(merchant, id, intent, context).await?;
        }
        let observed = Observation {
            intention: None,
            current: false,
            said,
        };
        let after = self.observe(merchant, id, observed, context).await?;
        let known = after.state.facts().map(|facts| facts.status.to_string());
        let settled = |it: &String| it == "succeeded" || it == "canceled";
        if status.is_some_and(|status| {
            known
                .as_ref()
                .is_some_and(|known| *known != status.to_string() && !settled(known))
        }) {
            self.refreshed(merchant, id, context).await?;
        }
        Ok(())
    }

    /// Records how Stripe shows the payment's intent now.
    async fn see_now(
        &self,
        merchant: &Merchant,
        id: PaymentId,
        intent: &str,
        context: &Context,
    ) -> Result<(), AppError> {
        let account = &merchant.stripe_account;
        let seen = match self.inner.gateway.intent(account, intent).await {
            Outcome::Said(view) => view.snapshot,
            Outcome::Refused(refusal) => {
                tracing::error!(%intent, message = %refusal.message, "Stripe does not show an intent that it tells of");
                return Ok(());
            }
            Outcome::Unknown(silence) => {
                tracing::warn!(%intent, why = %silence.why, "Stripe did not show an intent");
                return Err(AppError::OutcomeUnknown);
            }
        };
        let observed = Observation {
            intention: None,
            current: true,
            said: Said::Intent(Box::new(seen)),
        };
        self.observe(merchant, id, observed, context)
            .await
            .map(drop)
    }

    /// Takes in an intent that nobody here made but that is marked as this merchant's: a checkout session's.
    async fn adopt_marked(
        &self,
        merchant: &Merchant,
        object: &Map<String, Value>,
        context: &Context,
    ) -> Result<Option<PaymentId>, AppError> {
        let text = |name: &str| object.get(name).and_then(Value::as_str);
        let mark = object
            .get("metadata")
            .and_then(|metadata| metadata.get(MERCHANT_KEY));
        match (text("object"), text("id"), mark) {
            (Some("payment_intent"), Some(intent), Some(_)) => {
                self.adopt(merchant, context, intent, "webhook").await
            }
            _ => Ok(None),
        }
    }

    /// The payment that Stripe's object speaks of: named in its metadata, or known by its intent.
    async fn payment_of(
        &self,
        delivery: &Delivery,
        object: &Map<String, Value>,
    ) -> Result<Option<PaymentId>, AppError> {
        let (store, merchant): (_, &MerchantId) = (&self.inner.store, &delivery.merchant);
        if let Some(named) = payment_in(object) {
            let known = store.payment(merchant, named).await?;
            if known.version > 0 {
                return Ok(Some(named));
            }
        }
        match about(object) {
            Some(intent) => Ok(store.payment_by_intent(merchant, intent).await?),
            None => Ok(None),
        }
    }
}

fn lighten(
    load: &mut HashMap<String, usize>,
    ended: Result<(String, usize), tokio::task::JoinError>,
) {
    match ended {
        Ok((merchant, many)) => {
            let left = load
                .get(&merchant)
                .map_or(0, |now| now.saturating_sub(many));
            match left {
                0 => drop(load.remove(&merchant)),
                left => drop(load.insert(merchant, left)),
            }
        }
        Err(panic) => tracing::error!(%panic, "applying events failed"),
    }
}

/// Together what is about the same thing, so that no two of them get in each other's way.
fn lanes(leased: Vec<LeasedEvent>) -> Vec<Vec<LeasedEvent>> {
    let mut places: HashMap<(MerchantId, String), usize> = HashMap::new();
    let mut lanes: Vec<Vec<LeasedEvent>> = Vec::new();
    for it in leased {
        let object = it
            .delivery
            .body
            .pointer("/data/object/id")
            .and_then(Value::as_str);
        let thing = it.delivery.about.as_deref().or(object);
        let thing = thing.unwrap_or(&it.delivery.event_id).to_owned();
        let place = *places
            .entry((it.delivery.merchant.clone(), thing))
            .or_insert(lanes.len());
        match lanes.get_mut(place) {
            Some(lane) => lane.push(it),
            None => lanes.push(vec![it]),
        }
    }
    lanes
}

/// What an event says of a payment; none where its type says nothing that is recorded.
pub(super) fn said(
    event_type: &str,
    object: &Map<String, Value>,
) -> Result<Option<Said>, gateway::Unreadable> {
    let whole = || Value::Object(object.clone());
    if event_type.starts_with("payment_intent.") {
        return Ok(Some(Said::Intent(Box::new(
            gateway::intent_from(whole())?.snapshot,
        ))));
    }
    if event_type.starts_with("charge.dispute.") {
        return Ok(gateway::dispute_from(event_type, whole())?.map(Said::Dispute));
    }
    if event_type.starts_with("refund.") || event_type == "charge.refund.updated" {
        return Ok(Some(Said::Refund(gateway::refund_from(whole())?)));
    }
    Ok(None)
}

pub(super) fn gauge(name: &'static str, count: i64) {
    let count = u32::try_from(count).map_or(f64::INFINITY, f64::from);
    metrics::gauge!(name).set(count);
}
