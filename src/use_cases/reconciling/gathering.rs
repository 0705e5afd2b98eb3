//! What the ledger shows, from its events alone, as far as the pinned position.

use aggregates::ids::{OrderId, PaymentId};
use aggregates::ledger::Account;
use aggregates::money::Money;
use aggregates::order::{Order, OrderEvent};
use aggregates::payment::{Payment, PaymentEvent};
use aggregates::reconciliation::items::{
    AboutOrder, Booking, OurBankLine, OurOrder, OurPayment, OurPayout, Ours, Shown, Times,
};
use aggregates::reconciliation::{Comparison, Item, Kind, Subject};
use aggregates::settlement::Settlement;
use projections::books::{self, AsOf, Balances, BooksError};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::time::Duration;
use uuid::Uuid;

use super::{AT_ONCE, Progress, Stage, Stepped, Working};
use crate::store::{Place, ToldEvent};
use crate::use_cases::AppError;

/// The door of what a reconciliation observes itself.
pub(super) const DOOR: &str = "reconciling";
/// How often it is looked whether the journal has come to the pinned position, and how many times.
const JOURNAL_EVERY: Duration = Duration::from_millis(100);
const JOURNAL_LOOKS: u32 = 600;

/// What of ours is gathered, one kind after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Shows {
    Payments,
    Orders,
    Settlements,
    Books,
}

impl Working {
    pub(super) async fn gather(
        &self,
        progress: &mut Progress,
        shows: Shows,
        after: i64,
    ) -> Result<Stepped, AppError> {
        let store = &self.app.inner.store;
        let upto = match progress.upto {
            Some(upto) => upto,
            None => {
                let head = store.reader().ledger_head(self.merchant.id.as_str()).await;
                let head =
                    head.map_err(|error| AppError::from(crate::store::Trouble::from(error)))?;
                progress.upto = Some(head);
                progress.bank_told.clear();
                progress.comparison = Comparison::new(self.terms);
                head
            }
        };
        let begins = shows == Shows::Payments && after == 0;
        let (items, next) = match shows {
            Shows::Payments => self.payments(after, upto).await?,
            Shows::Orders => self.orders(after, upto).await?,
            Shows::Settlements => self.settlements(progress, after, upto).await?,
            Shows::Books => (self.books(progress, upto).await?, None),
        };
        match (next, shows) {
            (Some(after), _) => progress.stage = Stage::Gathering { shows, after },
            (None, Shows::Payments) => progress.to(Stage::gathering(Shows::Orders)),
            (None, Shows::Orders) => progress.to(Stage::gathering(Shows::Settlements)),
            (None, Shows::Settlements) => progress.to(Stage::gathering(Shows::Books)),
            (None, Shows::Books) => progress.to(Stage::Comparing {
                at: Place::default(),
            }),
        }
        Ok(Stepped {
            items,
            clears_ours: begins,
            ..Stepped::default()
        })
    }

    async fn payments(&self, after: i64, upto: i64) -> Result<(Vec<Item>, Option<i64>), AppError> {
        let store = &self.app.inner.store;
        let told = store
            .payments_told(&self.merchant.id, (after, upto), AT_ONCE)
            .await?;
        let lives = told.lives.iter();
        Ok((
            lives.filter_map(|(id, life)| payment(*id, life)).collect(),
            told.next,
        ))
    }

    async fn orders(&self, after: i64, upto: i64) -> Result<(Vec<Item>, Option<i64>), AppError> {
        let store = &self.app.inner.store;
        let told = store
            .orders_told(&self.merchant.id, (after, upto), AT_ONCE)
            .await?;
        let mut known = Vec::new();
        for (id, life) in &told.lives {
            known.extend(of_order(*id, life));
        }
        let payments: Vec<Uuid> = known.iter().map(|(payment, _)| payment.uuid()).collect();
        let intents = store
            .reconciliations
            .intents_of(&self.merchant.id, &payments)
            .await;
        let intents = intents.map_err(AppError::from_sqlx)?;
        let items = known.into_iter().map(|(payment, it)| {
            let own = || payment.to_string();
            Item {
                subject: Subject::payment(intents.get(&payment).cloned().unwrap_or_else(own)),
                shown: Shown::Ours(Ours::Order(it)),
            }
        });
        Ok((items.collect(), told.next))
    }

    async fn settlements(
        &self,
        progress: &mut Progress,
        after: i64,
        upto: i64,
    ) -> Result<(Vec<Item>, Option<i64>), AppError> {
        let store = &self.app.inner.store;
        let told = store
            .settlements_told(&self.merchant.id, (after, upto), AT_ONCE)
            .await?;
        let (mut items, mut bookings) = (Vec::new(), Vec::new());
        for (id, life) in &told.lives {
            let mut state = Settlement::default();
            life.iter().for_each(|it| state.apply(&it.event));
            if let Some(it) = state.transaction() {
                let recorded_at = life.first().map(|it| it.recorded.recorded_at.timestamp());
                bookings.push(Booking {
                    recorded_at,
                    ..Booking::from(it)
                });
            } else if let Some(it) = state.payout() {
                let it = OurPayout::of(it, moved_at(life));
                items.push(ours(
                    Subject::payout(it.payout.clone()),
                    Ours::Payout(Box::new(it)),
                ));
            } else if let Some(it) = state.bank_line() {
                let it = OurBankLine::of(*id, it);
                let told = progress
                    .bank_told
                    .entry(it.amount.currency())
                    .or_insert(it.booked_on);
                *told = (*told).max(it.booked_on);
                items.extend(bank_line(it));
            }
        }
        items.extend(self.bookings(bookings).await?);
        Ok((items, told.next))
    }

    /// Each where Stripe shows the same, or what moved it; else by itself.
    async fn bookings(&self, bookings: Vec<Booking>) -> Result<Vec<Item>, AppError> {
        let mut names: Vec<String> = Vec::new();
        for it in &bookings {
            names.push(format!("booking/{}", it.id));
            names.extend(it.source.as_ref().map(|source| named(source)));
        }
        let runs = &self.app.inner.store.reconciliations;
        let known = runs.subjects_of(self.run, &names).await;
        let known: HashMap<String, String> = known.map_err(AppError::from_sqlx)?;
        let items = bookings.into_iter().map(|it| {
            let source = it.source.as_ref().map(|source| named(source));
            let subject = known
                .get(&format!("booking/{}", it.id))
                .or_else(|| known.get(&source?))
                .and_then(|subject| subject.parse().ok());
            let subject = subject.unwrap_or_else(|| Subject::booking(it.id.clone()));
            ours(subject, Ours::Booking(Box::new(it)))
        });
        Ok(items.collect())
    }

    /// What the journal says that Stripe holds, at the pinned position, and how far the bank tells.
    async fn books(&self, progress: &Progress, upto: i64) -> Result<Vec<Item>, AppError> {
        let told = Ours::BankTold(progress.bank_told.clone());
        let mut items = vec![ours(Subject::bank(), told)];
        if upto > 0 {
            let balances = self.balances(upto).await?;
            for it in balances
                .balances
                .iter()
                .filter(|it| it.account == Account::StripeBalance)
            {
                let held = Money::new(it.minor(), it.currency);
                items.push(ours(Subject::whole(it.currency), Ours::Journal(held)));
            }
        }
        Ok(items)
    }

    /// The books at a position, once the journal has come to it.
    async fn balances(&self, upto: i64) -> Result<Balances, AppError> {
        let pool = self.app.inner.store.pool();
        for _ in 0..JOURNAL_LOOKS {
            let mut connection = pool.acquire().await.map_err(AppError::from_sqlx)?;
            let as_of = AsOf::Position(upto);
            match books::balances(&mut connection, &self.merchant.id, as_of).await {
                Ok(it) => return Ok(it),
                Err(BooksError::CatchingUp { .. }) => {}
                Err(BooksError::Database(error)) => return Err(AppError::from_sqlx(error)),
                Err(error) => {
                    tracing::error!(%error, "the books cannot be read");
                    return Err(AppError::Internal);
                }
            }
            drop(connection);
            tokio::time::sleep(JOURNAL_EVERY).await;
        }
        tracing::error!("the journal does not come to the pinned position: nobody follows the log");
        Err(AppError::Unavailable)
    }
}

impl Stage {
    pub(super) fn gathering(shows: Shows) -> Self {
        Self::Gathering { shows, after: 0 }
    }
}

fn ours(subject: Subject, shown: Ours) -> Item {
    Item {
        subject,
        shown: Shown::Ours(shown),
    }
}

/// The name under which Stripe's side shows what moved a booking.
fn named(source: &str) -> String {
    let kind = match source.split_once('_').map(|it| it.0) {
        Some("ch" | "py") => "charge",
        Some("re" | "pyr") => "refund",
        Some("dp" | "du") => "dispute",
        Some("po") => "payout",
        _ => "",
    };
    format!("{kind}/{source}")
}

fn payment(id: PaymentId, life: &[ToldEvent<PaymentEvent>]) -> Option<Item> {
    let mut state = Payment::default();
    let mut times = Times {
        begun_at: life.first()?.recorded.recorded_at.timestamp(),
        ..Times::default()
    };
    for it in life {
        state.apply(&it.event);
        if let PaymentEvent::Captured { .. } = it.event {
            times.captured_at = Some(it.recorded.recorded_at.timestamp());
        }
    }
    times.moved_at = moved_at(life);
    let it = OurPayment::of(id, state.facts()?, times);
    let name = it.intent.clone().unwrap_or_else(|| id.to_string());
    Some(ours(Subject::payment(name), Ours::Payment(Box::new(it))))
}

/// What an order knows of each payment that brought it money.
fn of_order(id: OrderId, life: &[ToldEvent<OrderEvent>]) -> Vec<(PaymentId, OurOrder)> {
    let mut state = Order::default();
    life.iter().for_each(|it| state.apply(&it.event));
    let Some(facts) = state.facts() else {
        return vec![];
    };
    let since = moved_at(life);
    let known = |about, amount| OurOrder {
        order: id,
        about,
        amount,
        since,
    };
    let paid = facts.paid_by().map(|payment| {
        let it = known(AboutOrder::PaidByIt, facts.total());
        (payment, it)
    });
    let mispaid = facts.mispaid.iter();
    let mispaid = mispaid.map(|(payment, amount)| (*payment, known(AboutOrder::Mispaid, *amount)));
    paid.into_iter().chain(mispaid).collect()
}

/// A line that is a payout's, or that names one, is shown with it; one that names Stripe alone is a subject of its own.
fn bank_line(it: OurBankLine) -> Option<Item> {
    let payout = it.matched.clone().or_else(|| it.names_payout.clone());
    let subject = match payout {
        Some(payout) => Subject::payout(payout),
        None if it.names_stripe => Subject::new(Kind::BankLine, it.line.to_string()),
        None => return None,
    };
    Some(ours(subject, Ours::BankLine(Box::new(it))))
}

/// When something was recorded last, but for what a reconciliation observed itself; seconds since 1970.
fn moved_at<E>(life: &[ToldEvent<E>]) -> i64 {
    let own = |it: &&ToldEvent<E>| {
        let metadata = it.recorded.metadata_as::<HashMap<String, String>>();
        metadata.is_ok_and(|it| it.get("door").is_some_and(|door| door == DOOR))
    };
    let moved = life.iter().rev().find(|it| !own(it)).or(life.first());
    moved.map_or(0, |it| it.recorded.recorded_at.timestamp())
}
