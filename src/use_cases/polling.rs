//! Reads Stripe's list of events, so that nothing is lost where a webhook never came. What it finds goes the way of a webhook:
//! cleaned, kept in the inbox, applied from there.
//!
//! Each merchant's list is read from where it was left, oldest hours first: the cursor ("all that Stripe made before this has been
//! read") moves on after every hour, so that a crash costs one hour's reading, and what is nearest to being forgotten by Stripe is
//! read first. A poll begins a while before the cursor, since an event may become visible late.

use chrono::{DateTime, TimeDelta, Utc};
use futures::stream::{FuturesUnordered, StreamExt};
use serde_json::Value;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

use super::inbox::gauge;
use super::webhooks::Event;
use super::{App, AppError};
use crate::gateway::{EventPage, Outcome, SilenceKind};
use crate::store::{CameBy, Kept, LeasedPoll, Merchant};

/// How Stripe's events are polled.
#[derive(Debug, Clone, Copy)]
pub struct Polling {
    /// From the end of a poll to the next.
    pub every: Duration,
    /// How far before the cursor a poll begins: longer than Stripe takes to show an event, and than clocks differ.
    pub overlap: Duration,
    /// An event that is younger than this may still come by webhook, and is left to it: shorter than `overlap`.
    pub grace: Duration,
    /// Between two requests to Stripe.
    pub pace: Duration,
    /// How much of a long time is read before the cursor moves on.
    pub stride: Duration,
    /// When people are told that too much is unread.
    pub alarm_after: Duration,
    /// For how long Stripe keeps events.
    pub kept_for: Duration,
    /// How long an instance has to show that it still reads.
    pub lease_for: Duration,
}

impl Polling {
    /// As Stripe's rules have it, with this pause between two polls.
    pub fn every(pause: Duration) -> Self {
        Self {
            every: pause,
            overlap: Duration::from_secs(15 * 60),
            grace: Duration::from_secs(60),
            pace: Duration::from_millis(200),
            stride: Duration::from_secs(3600),
            alarm_after: Duration::from_secs(24 * 3600),
            kept_for: Duration::from_secs(30 * 24 * 3600),
            lease_for: Duration::from_secs(120),
        }
    }
}

/// How long after the start the first poll is made, at the most.
const BEGIN_AFTER: Duration = Duration::from_secs(30);
/// The first poll begins so long after what Stripe is just forgetting.
const FORGETTING: Duration = Duration::from_secs(3600);
/// How often it is looked whether a poll is due, at the most.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How often people are told that too much is unread.
const TOLD_EVERY: Duration = Duration::from_secs(600);
/// How many merchants are polled beside one another by one instance.
const AT_ONCE: usize = 8;
/// After a failure a poll is made again after this, doubling up to the longest pause.
const PAUSE_MIN: Duration = Duration::from_secs(5);
const PAUSE_MAX: Duration = Duration::from_secs(15 * 60);
/// An event that Stripe dates so much after our now has a wrong time, and is not waited for.
const TIME_AHEAD_MAX: TimeDelta = TimeDelta::seconds(300);

/// Why a poll did not come to its end.
enum Stopped {
    Failed(String),
    /// The lease ran out, and another instance reads.
    Taken,
    /// The service stops.
    Stopping,
}

impl From<sqlx::Error> for Stopped {
    fn from(error: sqlx::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

impl From<AppError> for Stopped {
    fn from(error: AppError) -> Self {
        Self::Failed(error.to_string())
    }
}

impl App {
    /// Polls until it is stopped; not at all where polling is off.
    pub async fn run_polling(&self, stop: CancellationToken) {
        let Some(polling) = self.inner.options.polling else {
            return;
        };
        let mut told: Option<Instant> = None;
        // Who starts is called first; most of what Stripe had to say meanwhile comes by itself.
        tokio::select! {
            () = tokio::time::sleep(polling.every.min(BEGIN_AFTER)) => {}
            () = stop.cancelled() => return,
        }
        while !stop.is_cancelled() {
            let tell = told.is_none_or(|at| at.elapsed() >= TOLD_EVERY);
            if self.see_what_is_unread(polling, tell).await {
                told = Some(Instant::now());
            }
            self.poll_due().await;
            tokio::select! {
                () = tokio::time::sleep(polling.every.min(LOOK_EVERY)) => {}
                () = stop.cancelled() => return,
            }
        }
    }

    /// Reads the events of every merchant that is due and whose account is configured.
    pub async fn poll_due(&self) {
        let Some(polling) = self.inner.options.polling else {
            return;
        };
        let accounts = self.inner.gateway.account_names();
        let reach = polling.kept_for.saturating_sub(FORGETTING);
        if let Err(error) = self.inner.store.polls.begin(&accounts, reach).await {
            tracing::error!(%error, "merchants cannot be taken up by the poller");
        }
        let mut under_way = FuturesUnordered::new();
        loop {
            if under_way.len() < AT_ONCE
                && let Some(leased) = self.lease_poll(&accounts, polling).await
            {
                let app = self.clone();
                // In a task that nobody cancels: what it has begun to write is written.
                under_way.push(
                    self.inner
                        .tasks
                        .spawn(async move { app.poll(&leased, polling).await }),
                );
                continue;
            }
            match under_way.next().await {
                Some(Ok(())) => {}
                Some(Err(panic)) => {
                    tracing::error!(%panic, "a poll failed, and is made again when its lease is over")
                }
                None => return,
            }
        }
    }

    async fn lease_poll(&self, accounts: &[String], polling: Polling) -> Option<LeasedPoll> {
        if self.inner.stopping.is_cancelled() {
            return None;
        }
        let lease = self.inner.store.ids.uuid();
        let leased = self
            .inner
            .store
            .polls
            .lease(accounts, lease, polling.lease_for);
        leased.await.unwrap_or_else(|error| {
            tracing::error!(%error, "it cannot be read which polls are due");
            None
        })
    }

    async fn poll(&self, it: &LeasedPoll, polling: Polling) {
        let read = self.read_events(it, polling).await;
        let (pause, error) = match read {
            Ok(()) => (self.jittered(polling.every), None),
            Err(Stopped::Failed(why)) => {
                metrics::counter!("counterfoil_event_poll_failures_total").increment(1);
                tracing::warn!(merchant = %it.merchant, failures = it.failures, %why, "Stripe's events could not be read to their end");
                let full = PAUSE_MIN.saturating_mul(1 << it.failures.min(10));
                (self.jittered(full.min(PAUSE_MAX)), Some(why))
            }
            Err(Stopped::Stopping) => (Duration::ZERO, None),
            Err(Stopped::Taken) => return,
        };
        let ended = self.inner.store.polls.end(it, pause, error.as_deref());
        if let Err(error) = ended.await {
            tracing::error!(merchant = %it.merchant, %error, "the end of a poll cannot be written");
        }
    }

    /// Reads from the cursor to now, stride by stride.
    async fn read_events(&self, it: &LeasedPoll, polling: Polling) -> Result<(), Stopped> {
        let merchant = self.merchant(&it.merchant).await?;
        let mut cursor = self.after_the_gap(it, polling).await?;
        let mut from = (cursor - delta(polling.overlap.max(polling.grace))).max(it.begun_at);
        loop {
            let end = from + delta(polling.stride);
            // The last stride is open: what is dated after our now is read as well.
            let until = (end < it.now).then_some(end);
            cursor = cursor.max(until.unwrap_or(it.now));
            self.read_stride(it, &merchant, (from, until), polling)
                .await?;
            self.goes_on(it, cursor, 0, polling).await?;
            match until {
                Some(until) => from = until,
                None => return Ok(()),
            }
        }
    }

    /// Where reading begins. What Stripe has forgotten unread is said to be missing, from when until when.
    async fn after_the_gap(
        &self,
        it: &LeasedPoll,
        polling: Polling,
    ) -> Result<DateTime<Utc>, Stopped> {
        let kept_since = it.now - delta(polling.kept_for);
        if it.read_until >= kept_since {
            return Ok(it.read_until);
        }
        let polls = &self.inner.store.polls;
        polls.gap(it, it.read_until, kept_since).await?;
        metrics::counter!("counterfoil_event_gaps_total").increment(1);
        tracing::error!(merchant = %it.merchant, from = %it.read_until, until = %kept_since,
            "Stripe's events were not read in time: some that it made between these times may be missing");
        Ok(kept_since)
    }

    /// Reads the events that Stripe made within a span, all pages of them.
    async fn read_stride(
        &self,
        it: &LeasedPoll,
        merchant: &Merchant,
        (from, until): (DateTime<Utc>, Option<DateTime<Utc>>),
        polling: Polling,
    ) -> Result<(), Stopped> {
        let mut after: Option<String> = None;
        loop {
            if self.inner.stopping.is_cancelled() {
                return Err(Stopped::Stopping);
            }
            let EventPage { events, next } = self
                .page_of_events(merchant, from, until, after.as_deref())
                .await?;
            let missed = self.take_in_missed(it, events, polling).await?;
            self.goes_on(it, it.read_until, missed, polling).await?;
            tokio::time::sleep(polling.pace).await;
            match next {
                Some(next) => after = Some(next),
                None => return Ok(()),
            }
        }
    }

    async fn page_of_events(
        &self,
        merchant: &Merchant,
        from: DateTime<Utc>,
        until: Option<DateTime<Utc>>,
        after: Option<&str>,
    ) -> Result<EventPage, Stopped> {
        let account = &merchant.stripe_account;
        match self.inner.gateway.events(account, from, until, after).await {
            Outcome::Said(page) => Ok(page),
            Outcome::Refused(refusal) => Err(Stopped::Failed(refusal.message)),
            Outcome::Unknown(silence) => {
                let whose = match silence.kind {
                    SilenceKind::KeyRefused => " (may the key read events?)",
                    _ => "",
                };
                Err(Stopped::Failed(format!(
                    "{}: {}{whose}",
                    silence.kind, silence.why
                )))
            }
        }
    }

    /// Keeps what is not here yet and is too old to come by webhook any moment; answers how many those were.
    async fn take_in_missed(
        &self,
        it: &LeasedPoll,
        events: Vec<Value>,
        polling: Polling,
    ) -> Result<i64, Stopped> {
        let mut read = Vec::with_capacity(events.len());
        for event in events {
            match Event::read(event) {
                Ok(event) => read.push(event),
                Err(why) => {
                    metrics::counter!("counterfoil_events_unreadable_total").increment(1);
                    tracing::error!(merchant = %it.merchant, %why, "Stripe lists an event that is none");
                }
            }
        }
        let (settled, ahead) = (it.now - delta(polling.grace), it.now + TIME_AHEAD_MAX);
        read.retain(|event| event.created <= settled || event.created > ahead);
        let ids: Vec<String> = read.iter().map(|event| event.id.clone()).collect();
        let unknown = self.inner.store.inbox.unknown(&it.merchant, &ids).await?;
        let mut missed = 0;
        for event in read {
            if !unknown.contains(&event.id) {
                continue;
            }
            let id = event.id.clone();
            if self.take_in(&it.merchant, event, CameBy::Poll).await? == Kept::New {
                missed += 1;
                metrics::counter!("counterfoil_events_missed_total").increment(1);
                tracing::warn!(merchant = %it.merchant, event = %id, "an event never came by webhook, and was polled");
            }
        }
        Ok(missed)
    }

    /// Writes down how far it has come, and keeps the lease.
    async fn goes_on(
        &self,
        it: &LeasedPoll,
        cursor: DateTime<Utc>,
        missed: i64,
        polling: Polling,
    ) -> Result<(), Stopped> {
        let polls = &self.inner.store.polls;
        match polls
            .read_until(it, cursor, missed, polling.lease_for)
            .await?
        {
            true => Ok(()),
            false => Err(Stopped::Taken),
        }
    }

    /// Shows how much is unread, and where that is too much says so where people look: well before Stripe forgets it. Whether
    /// it did.
    async fn see_what_is_unread(&self, polling: Polling, tell: bool) -> bool {
        let rows = match self.inner.store.polls.all().await {
            Ok(rows) => rows,
            Err(error) => {
                tracing::error!(%error, "it cannot be read how far Stripe's events have been read");
                return false;
            }
        };
        gauge(
            "counterfoil_events_unread_seconds",
            rows.iter().map(|row| row.unread_s).max().unwrap_or(0),
        );
        let alarm_after = i64::try_from(polling.alarm_after.as_secs()).unwrap_or(i64::MAX);
        let late = rows.iter().filter(|row| tell && row.unread_s > alarm_after);
        let told = late.map(|row| {
            tracing::error!(merchant = %row.merchant, read_until = %row.read_until, failures = row.failures, last_error = row.last_error,
                "Stripe's events have not been read for long, and Stripe forgets them after 30 days");
        });
        told.count() > 0
    }
}

fn delta(duration: Duration) -> TimeDelta {
    TimeDelta::from_std(duration).unwrap_or(TimeDelta::MAX)
}
