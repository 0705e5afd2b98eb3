//! Why an order or a payment comes to what it comes to: each figure with the events that it moved at, and by how much. The
//! figures are looked at before and after each event, so what is told adds up to them, whatever an event means.

use crate::books::{AsOf, BooksError, position_as_of};
use crate::entries::PostedBy;
use crate::lives::{Subject, life};
use aggregates::figures::{Figure, of_booking, of_order, of_payment};
use aggregates::ids::MerchantId;
use aggregates::money::{Currency, Money};
use aggregates::order::Order;
use aggregates::payment::Payment;
use aggregates::settlement::Settlement;
use chrono::{DateTime, Utc};
use cqrs_es::Aggregate;
use eventstore::{BoxError, Recorded};
use sqlx::PgConnection;
use std::collections::BTreeMap;

/// The figures of an order or a payment, and what each is made of.
#[derive(Debug, Clone, PartialEq)]
pub struct FiguresExplained {
    /// The last position of the ledger that is in it.
    pub ledger_position: i64,
    pub figures: Vec<FigureExplained>,
}

/// A figure, in one currency.
#[derive(Debug, Clone, PartialEq)]
pub struct FigureExplained {
    pub figure: Figure,
    pub amount: Money,
    /// Oldest first.
    pub made_of: Vec<Change>,
}

/// An event at which a figure moved.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    pub ledger_position: i64,
    pub recorded_at: DateTime<Utc>,
    pub by: Money,
    pub comes_to: Money,
    pub event: PostedBy,
}

/// Why nothing is explained.
#[derive(Debug, thiserror::Error)]
pub enum ExplainError {
    #[error(transparent)]
    Books(#[from] BooksError),
    /// What is recorded cannot be read.
    #[error(transparent)]
    Unreadable(BoxError),
}

/// The figures as they stood; none of what had not begun by then.
///
/// # Errors
/// [`ExplainError`].
pub async fn figures(
    connection: &mut PgConnection,
    merchant: &MerchantId,
    subject: Subject,
    as_of: AsOf,
) -> Result<Option<FiguresExplained>, ExplainError> {
    let ledger_position = position_as_of(connection, merchant, as_of).await?;
    let life = life(connection, merchant, subject, ledger_position).await;
    let figures = explained(&life.map_err(ExplainError::Unreadable)?);
    let figures = figures.map_err(ExplainError::Unreadable)?;
    Ok((!figures.is_empty()).then_some(FiguresExplained {
        ledger_position,
        figures,
    }))
}

/// Sums of figures. Each is of one aggregate or of several, so they may be larger than any of them.
type Sums = BTreeMap<(Figure, Currency), i64>;

fn explained(life: &[Recorded]) -> Result<Vec<FigureExplained>, BoxError> {
    let mut seen = Seen::default();
    let mut known: BTreeMap<(Figure, Currency), FigureExplained> = BTreeMap::new();
    for recorded in life {
        seen.take(recorded)?;
        for ((figure, currency), minor) in seen.sums() {
            let it = known.entry((figure, currency)).or_insert(FigureExplained {
                figure,
                amount: Money::zero(currency),
                made_of: Vec::new(),
            });
            let moved = minor.saturating_sub(it.amount.minor());
            if moved != 0 {
                it.amount = Money::new(minor, currency);
                it.made_of
                    .push(change(recorded, Money::new(moved, currency), it.amount)?);
            }
        }
    }
    Ok(known.into_values().collect())
}

fn change(it: &Recorded, by: Money, comes_to: Money) -> Result<Change, BoxError> {
    Ok(Change {
        ledger_position: it.ledger_position,
        recorded_at: it.recorded_at,
        by,
        comes_to,
        event: PostedBy::read(
            it.event_id,
            it.event_type.clone(),
            (it.aggregate_type.clone(), &it.aggregate_id),
            (&it.payload, &it.metadata),
        )?,
    })
}

/// What a life is about, as far as it was read.
#[derive(Default)]
struct Seen {
    order: Order,
    payments: BTreeMap<String, Payment>,
    bookings: BTreeMap<String, Settlement>,
    /// Every figure that was ever there: one that is not any more is zero.
    ever: Sums,
}

impl Seen {
    fn take(&mut self, it: &Recorded) -> Result<(), BoxError> {
        match it.aggregate_type.as_str() {
            Order::TYPE => self.order.apply(&it.payload_as()?),
            Payment::TYPE => {
                let payment = self.payments.entry(it.aggregate_id.clone()).or_default();
                payment.apply(&it.payload_as()?);
            }
            Settlement::TYPE => {
                let booking = self.bookings.entry(it.aggregate_id.clone()).or_default();
                booking.apply(&it.payload_as()?);
            }
            other => return Err(format!("no figure is made of a {other}").into()),
        }
        Ok(())
    }

    fn sums(&mut self) -> Sums {
        let order = self.order.facts().into_iter().flat_map(of_order);
        let payments = self.payments.values().filter_map(Payment::facts);
        let bookings = self.bookings.values().filter_map(Settlement::transaction);
        let all = order
            .chain(payments.flat_map(of_payment))
            .chain(bookings.flat_map(|it| of_booking(&it.booked)));
        let mut sums = self.ever.clone();
        for (figure, amount) in all {
            let sum = sums.entry((figure, amount.currency())).or_default();
            *sum = sum.saturating_add(amount.minor());
        }
        self.ever = sums.keys().map(|key| (*key, 0)).collect();
        sums
    }
}
