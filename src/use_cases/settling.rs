//! What Stripe booked is read from it, page by page, and recorded through the settlement's own rules.
//!
//! A reading goes from the newest back to where the last one ended, and a little further, since Stripe may show a booking
//! later than its time says. Whatever was recorded already is no news, so an interrupted reading is gone on with, and two at
//! once are a waste and nothing worse.

use aggregates::ids::{MerchantId, SettlementId};
use aggregates::metadata::Actor;
use aggregates::money::Money;
use aggregates::settlement::{Items, SettlementCommand, SettlementEvent, TransactionSnapshot};
use projections::balance_transactions::Known;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::{App, AppError};
use crate::gateway::{self, Outcome, Request, TransactionPage, Verb};
use crate::store::{Commit, Context, Decided, Merchant, Trouble};

/// The most that Stripe shows at once.
const PAGE: usize = 100;
/// How far before its end the last reading is read again, in seconds.
const OVERLAP_S: i64 = 120;
/// How long a hint that something was booked waits for others.
const GATHER: Duration = Duration::from_secs(2);

/// The merchants at whose accounts something was booked, by what was heard.
#[derive(Default)]
pub(super) struct Due {
    merchants: Mutex<BTreeSet<MerchantId>>,
    added: Notify,
}

impl Due {
    pub(super) fn add(&self, merchant: &MerchantId) {
        let mut merchants = self
            .merchants
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        merchants.insert(merchant.clone());
        self.added.notify_one();
    }

    /// Waits for a hint, and a little longer for others. Where it is dropped before its end, it is because all accounts are
    /// read.
    async fn next(&self) -> Vec<MerchantId> {
        self.added.notified().await;
        tokio::time::sleep(GATHER).await;
        let mut merchants = self
            .merchants
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *merchants).into_iter().collect()
    }
}

/// Whether a webhook of that type tells of what Stripe booked.
pub(super) fn moves_balance(event_type: &str) -> bool {
    ["charge.", "refund.", "payout."]
        .iter()
        .any(|it| event_type.starts_with(it))
}

/// What a reading came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Settled {
    /// Balance transactions that Stripe showed.
    pub read: u64,
    /// Those that were news.
    pub recorded: u64,
    /// Those that contradict what is known, or themselves.
    pub refused: u64,
    /// Those that could not be read; the log names them.
    pub unreadable: u64,
    /// Payouts whose balance transactions were counted.
    pub itemised: u64,
}

/// How a page ended.
enum Paged {
    Page(TransactionPage),
    /// Stripe does not know the place to go on after.
    Lost,
}

impl App {
    /// Reads every account each so often, and between that those that something was heard of, until it is stopped.
    pub async fn run_settling(&self, every: Duration, stop: CancellationToken) {
        let mut all = tokio::time::interval(every);
        all.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let merchants = tokio::select! {
                _ = all.tick() => self.inner.store.merchants_to_settle().await,
                due = self.inner.due.next() => Ok(due),
                () = stop.cancelled() => return,
            };
            let merchants = merchants.unwrap_or_else(|error| {
                tracing::error!(%error, "the merchants cannot be read");
                Vec::new()
            });
            for merchant in merchants {
                if stop.is_cancelled() {
                    return;
                }
                self.settle_one(&merchant, &stop).await;
            }
        }
    }

    async fn settle_one(&self, merchant: &MerchantId, stop: &CancellationToken) {
        match self.settle_until(merchant, stop.clone()).await {
            Ok(it) if it.recorded + it.refused + it.unreadable > 0 => {
                tracing::info!(%merchant, recorded = it.recorded, refused = it.refused, unreadable = it.unreadable,
                    itemised = it.itemised, "an account was read");
            }
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(%merchant, %error, "an account could not be read to its end")
            }
        }
    }

    /// Records what Stripe booked since it was read last, what its payouts are made of, and which bank lines are theirs.
    ///
    /// # Errors
    /// [`AppError`]; what was recorded stays, and the next reading goes on from there.
    pub async fn settle(&self, merchant: &MerchantId) -> Result<Settled, AppError> {
        self.settle_until(merchant, CancellationToken::new()).await
    }

    /// The same, but stops after a page when it is told to.
    async fn settle_until(
        &self,
        merchant: &MerchantId,
        stop: CancellationToken,
    ) -> Result<Settled, AppError> {
        let (app, merchant) = (self.clone(), merchant.clone());
        let work = async move {
            let merchant = app.merchant(&merchant).await?;
            if !app.inner.gateway.knows(&merchant.stripe_account) {
                return Ok(Settled::default());
            }
            let context = app.context_of(Actor {
                name: "stripe".to_owned(),
                key_id: None,
                door: "settling".to_owned(),
            });
            let mut settled = Settled::default();
            app.read_on(&merchant, &context, &stop, &mut settled)
                .await?;
            if !stop.is_cancelled() {
                app.itemise(&merchant, &context, &stop, &mut settled)
                    .await?;
                app.match_lines(&merchant, &context).await?;
            }
            Ok(settled)
        };
        // A task of its own, as long as it takes: nobody waits for an answer.
        let task = self.inner.tasks.spawn(work);
        task.await.map_err(|panic| {
            tracing::error!(%panic, "a reading failed");
            AppError::Internal
        })?
    }

    async fn read_on(
        &self,
        merchant: &Merchant,
        context: &Context,
        stop: &CancellationToken,
        settled: &mut Settled,
    ) -> Result<(), AppError> {
        let store = &self.inner.store;
        let mut reading = store.reading(&merchant.id).await?;
        let since = reading.read_until.saturating_sub(OVERLAP_S).max(0);
        let bound = format!("created%5Bgte%5D={since}");
        loop {
            let after = reading.under_way.as_ref().map(|(_, after)| after.as_str());
            let page = match self.page(merchant, &bound, after).await? {
                Paged::Page(page) => page,
                Paged::Lost => {
                    reading.under_way = None;
                    store.keep_reading(&merchant.id, &reading).await?;
                    continue;
                }
            };
            let (last, has_more) = (page.last.clone(), page.has_more);
            let first = page.transactions.first().map(|it| it.snapshot.created);
            self.record_page(merchant, context, page, None, settled)
                .await?;
            let newest = match &reading.under_way {
                Some((newest, _)) => *newest,
                None => first.unwrap_or(reading.read_until),
            };
            match last.filter(|_| has_more) {
                Some(last) => reading.under_way = Some((newest, last)),
                None => {
                    reading.read_until = reading.read_until.max(newest);
                    reading.under_way = None;
                }
            }
            store.keep_reading(&merchant.id, &reading).await?;
            if reading.under_way.is_none() || stop.is_cancelled() {
                return Ok(());
            }
        }
    }

    /// A page of balance transactions, newest first, each with its source.
    async fn page(
        &self,
        merchant: &Merchant,
        which: &str,
        after: Option<&str>,
    ) -> Result<Paged, AppError> {
        let mut query = format!("limit={PAGE}&expand%5B%5D=data.source&{which}");
        if let Some(after) = after {
            let pair = serde_urlencoded::to_string([("starting_after", after)]);
            query = format!("{query}&{}", pair.map_err(|_| AppError::Internal)?);
        }
        let request = Request {
            verb: Verb::Get,
            path: "/balance_transactions",
            parameters: Some(&query),
            key: None,
        };
        let gateway = &self.inner.gateway;
        let answer = match gateway.request(&merchant.stripe_account, request).await {
            Outcome::Said(answer) => answer,
            Outcome::Refused(refusal) => return Err(AppError::Refused(refusal)),
            Outcome::Unknown(silence) => {
                tracing::warn!(why = %silence.why, "Stripe did not tell what it booked");
                return Err(AppError::OutcomeUnknown);
            }
        };
        if answer.status >= 400 {
            let (refusal, _) = gateway::error_from(answer.status, answer.body);
            return match refusal.code.as_deref() {
                Some("resource_missing") if after.is_some() => Ok(Paged::Lost),
                _ => Err(AppError::Refused(refusal)),
            };
        }
        let page = gateway::transactions_from(answer.body).map_err(unreadable)?;
        Ok(Paged::Page(page))
    }

    /// Records what of a page is news; `payout` is the one in whose list it was seen.
    async fn record_page(
        &self,
        merchant: &Merchant,
        context: &Context,
        page: TransactionPage,
        payout: Option<&str>,
        settled: &mut Settled,
    ) -> Result<(), AppError> {
        for (transaction, error) in &page.unreadable {
            tracing::error!(merchant = %merchant.id, %transaction, %error, "a balance transaction cannot be read");
            metrics::counter!("counterfoil_balance_transactions_unreadable_total").increment(1);
            settled.unreadable += 1;
        }
        let names: Vec<String> = page
            .transactions
            .iter()
            .map(|it| it.snapshot.balance_transaction.clone())
            .collect();
        settled.read += u64::try_from(names.len()).unwrap_or(0);
        let store = &self.inner.store;
        let known = store.known_transactions(&merchant.id, &names).await?;
        let known: HashMap<&str, &Known> = known
            .iter()
            .map(|it| (it.balance_transaction.as_str(), it))
            .collect();
        let (mut news, mut seen_here) = (Vec::new(), HashSet::new());
        for mut view in page.transactions {
            view.snapshot.payout = payout.map(str::to_owned);
            let row = known.get(view.snapshot.balance_transaction.as_str());
            let again = !seen_here.insert(view.snapshot.balance_transaction.clone());
            if again || row.is_some_and(|row| tells_nothing_new(&view.snapshot, row)) {
                continue;
            }
            // A payout whose webhook was lost is known by what Stripe booked for it.
            if let (None, Some(seen)) = (row, view.payout) {
                self.observe_payout(merchant, context, seen).await?;
            }
            news.push(view.snapshot);
        }
        self.observe_transactions(merchant, context, &news, settled)
            .await
    }

    async fn observe_transactions(
        &self,
        merchant: &Merchant,
        context: &Context,
        news: &[TransactionSnapshot],
        settled: &mut Settled,
    ) -> Result<(), AppError> {
        let store = &self.inner.store;
        loop {
            let (mut recorded, mut refused) = (0, 0);
            let mut settlements = Vec::new();
            for seen in news {
                let id =
                    SettlementId::of_balance_transaction(&merchant.id, &seen.balance_transaction);
                let command = SettlementCommand::ObserveTransaction {
                    merchant: merchant.id.clone(),
                    seen: Box::new(seen.clone()),
                };
                let decided = self.settlement(&merchant.id, id, command).await?;
                let is_refused =
                    |it: &SettlementEvent| matches!(it, SettlementEvent::ObservationRefused { .. });
                match decided.events.first() {
                    None => continue,
                    Some(first) if is_refused(first) => refused += 1,
                    Some(_) => recorded += 1,
                }
                settlements.push(decided);
            }
            let commit = Commit {
                settlements,
                ..Commit::default()
            };
            match store.commit(&merchant.id, context, commit).await {
                Ok(_) => {
                    settled.recorded += recorded;
                    settled.refused += refused;
                    return Ok(());
                }
                Err(Trouble::Conflict) => {}
                Err(trouble) => return Err(trouble.into()),
            }
        }
    }

    /// What the command leads to in the thing of that id.
    pub(super) async fn settlement(
        &self,
        merchant: &MerchantId,
        id: SettlementId,
        command: SettlementCommand,
    ) -> Result<DecidedSettlement, AppError> {
        let before = self.inner.store.settlement(merchant, id).await?;
        let events = before.state.decide(command).map_err(|error| {
            tracing::error!(%error, "what is settled cannot be recorded");
            AppError::Internal
        })?;
        Ok(Decided { id, before, events })
    }

    /// Counts what each payout is made of, once Stripe can tell.
    async fn itemise(
        &self,
        merchant: &Merchant,
        context: &Context,
        stop: &CancellationToken,
        settled: &mut Settled,
    ) -> Result<(), AppError> {
        let store = &self.inner.store;
        let mut after = String::new();
        loop {
            let waiting = store.payouts_to_itemise(&merchant.id, &after, 100).await?;
            let Some(last) = waiting.last().cloned() else {
                return Ok(());
            };
            for payout in &waiting {
                if stop.is_cancelled() {
                    return Ok(());
                }
                let Some(items) = self.items_of(merchant, context, payout, settled).await? else {
                    continue;
                };
                let id = SettlementId::of_payout(&merchant.id, payout);
                let command = SettlementCommand::Itemise(items);
                let decided = self.settlement(&merchant.id, id, command).await?;
                let commit = Commit {
                    settlements: vec![decided],
                    ..Commit::default()
                };
                match store.commit(&merchant.id, context, commit).await {
                    Ok(_) => settled.itemised += 1,
                    // Somebody told of the payout meanwhile: it is counted by the next reading.
                    Err(Trouble::Conflict) => {}
                    Err(trouble) => return Err(trouble.into()),
                }
            }
            after = last;
        }
    }

    /// What a payout is made of, each recorded as part of it; none where it cannot all be read or counted.
    async fn items_of(
        &self,
        merchant: &Merchant,
        context: &Context,
        payout: &str,
        settled: &mut Settled,
    ) -> Result<Option<Items>, AppError> {
        let id = SettlementId::of_payout(&merchant.id, payout);
        let known = self.inner.store.settlement(&merchant.id, id).await?;
        let Some(known) = known.state.payout() else {
            return Ok(None);
        };
        let which = serde_urlencoded::to_string([("payout", payout)]);
        let which = which.map_err(|_| AppError::Internal)?;
        let mut items = Items {
            count: 0,
            net: Money::zero(known.amount.currency()),
        };
        let mut after: Option<String> = None;
        loop {
            let page = match self.page(merchant, &which, after.as_deref()).await? {
                Paged::Page(mut page) => {
                    // Stripe lists the payout's own booking beside what it is made of.
                    let own = |it: &gateway::TransactionView| {
                        it.snapshot.source.as_deref() == Some(payout)
                    };
                    page.transactions.retain(|it| !own(it));
                    page
                }
                Paged::Lost => return Ok(None),
            };
            if !page.unreadable.is_empty() {
                self.record_page(merchant, context, page, Some(payout), settled)
                    .await?;
                return Ok(None);
            }
            for it in &page.transactions {
                let Ok(net) = items.net.plus(it.snapshot.net) else {
                    return Ok(None);
                };
                items = Items {
                    count: items.count + 1,
                    net,
                };
            }
            let next = page.last.clone().filter(|_| page.has_more);
            self.record_page(merchant, context, page, Some(payout), settled)
                .await?;
            if next.is_none() {
                return Ok(Some(items));
            }
            after = next;
        }
    }
}

/// A thing that is settled, and what is to be recorded of it.
pub(super) type DecidedSettlement =
    Decided<SettlementId, aggregates::settlement::Settlement, SettlementEvent>;

/// Whether the snapshot is what is known already.
fn tells_nothing_new(seen: &TransactionSnapshot, known: &Known) -> bool {
    let same = seen.amount.minor() == known.amount_minor
        && seen.fee.minor() == known.fee_minor
        && seen.amount.currency().code() == known.currency
        && seen.category == known.category
        && seen.source == known.source;
    let paid_out = seen.payout.is_none() || seen.payout == known.payout;
    same && paid_out && (known.available || !seen.available)
}

fn unreadable(error: gateway::Unreadable) -> AppError {
    tracing::error!(%error, "what Stripe booked cannot be read");
    AppError::Internal
}
