//! Faults that are planted in a year, each with the break that has to be told of it.

use super::business::Year;
use super::drift::{self, Drift};
use super::planting::Planting;
use rand::Rng;
use std::collections::BTreeMap;
use strum::IntoEnumIterator;

/// In which way the two sides fall apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, strum::EnumIter)]
pub enum Fault {
    // Missing here.
    IntentUnknown,
    RefundMadeAtStripe,
    BookingUnknown,
    // Missing at Stripe.
    IntentLost,
    ChargeLost,
    RefundLost,
    DisputeLost,
    PayoutLost,
    BookingLost,
    LineOfNoPayout,
    LineOfUnknownPayout,
    // Amount.
    IntentAmount,
    ChargeAmount,
    RefundAmount,
    PayoutAmount,
    BookingAmount,
    // Currency.
    IntentCurrency,
    BookingCurrency,
    // Status.
    IntentStatus,
    RefundStatus,
    DisputeStatus,
    PayoutStatus,
    BookingCategory,
    // Fee.
    BookingFee,
    // Duplicate.
    IntentTwice,
    ChargeTwice,
    RefundTwice,
    BookingTwice,
    LineTwice,
    // Orders.
    OrderKnowsNothing,
    NothingCaptured,
    // Timing.
    RefundNotBooked,
    PayoutNotAtTheBank,
}

/// An amount in minor units with its currency.
pub type Amount = Option<(i64, String)>;
/// What has to be told: class, subject, part, and what is here and at Stripe.
pub type Told = (String, String, String, Amount, Amount);

impl Fault {
    /// Whether time has to pass over it before it is a fault.
    pub fn comes_first(self) -> bool {
        matches!(
            self,
            Self::RefundMadeAtStripe | Self::RefundNotBooked | Self::PayoutNotAtTheBank
        )
    }

    /// Its share of them all. There are few payouts and disputes in a year, and one fault each is enough for them.
    fn share(self) -> u32 {
        match self {
            Self::BookingFee | Self::BookingAmount => 80,
            Self::BookingLost | Self::BookingTwice => 50,
            Self::PayoutLost | Self::PayoutAmount | Self::PayoutStatus | Self::LineTwice => 4,
            Self::DisputeLost | Self::DisputeStatus => 4,
            Self::RefundTwice | Self::RefundLost | Self::RefundAmount | Self::RefundStatus => 15,
            _ => 30,
        }
    }
}

/// So many faults, of every kind at least one.
pub fn drawn(year: &mut Year<'_>, count: u64) -> BTreeMap<Fault, u64> {
    let mut drawn: BTreeMap<Fault, u64> = Fault::iter().map(|it| (it, 1)).collect();
    let whole: u32 = Fault::iter().map(Fault::share).sum();
    for _ in u64::try_from(drawn.len()).unwrap()..count {
        let mut at = year.rng.random_range(0..whole);
        let kind = Fault::iter().find(|it| {
            let hit = at < it.share();
            at = at.saturating_sub(it.share());
            hit
        });
        *drawn.entry(kind.unwrap()).or_default() += 1;
    }
    drawn
}

/// How many payments are held while the rest of the time passes, and drift.
const HELD: usize = 12;

/// Plants them all, lets the rest of the time pass until now, and answers what has to be found, and what has drifted and is not
/// to be found.
pub async fn plant(year: &mut Year<'_>, drawn: &BTreeMap<Fault, u64>) -> (Vec<Told>, Drift) {
    let mut planting = Planting::new(year).await;
    planting.money_comes().await;
    let first = drawn.iter().filter(|(kind, _)| kind.comes_first());
    planting.all(first).await;
    planting.time_passes().await;
    let rest = drawn.iter().filter(|(kind, _)| !kind.comes_first());
    planting.all(rest).await;
    let held = drift::held(planting.year, HELD).await;
    planting.year.client.quiet(planting.year.world).await;
    let drift = drift::drifts(planting.year, held, &mut planting.victims).await;
    (planting.end().await, drift)
}
