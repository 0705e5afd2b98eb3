//! A year of business, drawn from a seed, through the real commands and the simulator; what it comes to in the end; and the same
//! year with faults of every class planted in it.
//!
//! `CF_YEAR_PAYMENTS` says how many payments it has, `CF_YEAR_FAULTS` how many faults, `CF_SEED` of what they are drawn.

mod bank;
pub mod business;
mod client;
mod closing;
mod drift;
mod faults;
mod forging;
mod found;
mod planting;
pub mod stories;
mod victims;

use crate::support::{Setup, World, simulator_config};
use aggregates::ids::ReconciliationId;
use aggregates::reconciliation::BreakClass;
use business::{BEHIND_S, Year};
use simulator::{Settlement, Simulator};
use std::time::Instant;
use strum::IntoEnumIterator;

/// A size from the environment, or that of `make test`.
pub fn size(name: &str, slice: u64) -> u64 {
    let given = std::env::var(name).ok();
    given.map_or(slice, |it| {
        it.parse()
            .unwrap_or_else(|_| panic!("{name} is no number: {it}"))
    })
}

/// What Stripe tells: what no answer to the merchant's own calls says. (Of everything it would be three times as much, and most of it
/// no news.)
const TOLD: [&str; 10] = [
    "payment_intent.succeeded",
    "payment_intent.canceled",
    "payment_intent.payment_failed",
    "charge.updated",
    "charge.dispute.*",
    "refund.created",
    "refund.updated",
    "refund.failed",
    "payout.*",
    "checkout.session.*",
];

/// A world whose simulator stands before the year, and settles in dollars and pounds.
pub async fn world() -> World {
    World::start_beside(Setup::default(), async |service| {
        let mut config = simulator_config(service);
        config.behind_s = BEHIND_S;
        // Nothing comes later by the mere passing of real time.
        config.later_s = 24 * 3600;
        for account in &mut config.accounts {
            let rates = [("eur", 1_083_400), ("sek", 95_100)];
            for endpoint in &mut account.webhook_endpoints {
                endpoint.enabled_events = TOLD.map(str::to_owned).to_vec();
            }
            account.settlement = Some(Settlement {
                currency: "usd".to_owned(),
                rates_per_million: rates.map(|(of, rate)| (of.to_owned(), rate)).into(),
            });
        }
        Simulator::start(config).await.unwrap()
    })
    .await
}

/// One year for both: it takes as long to pass as all the rest together.
///
/// Planted bugs, each seen red here: a class that is never told; a tolerance of one minor unit too many; payouts that are held against
/// bookings of which was told already; a page of Stripe's charges that is left out; healing that observes nothing; what is late, taken
/// for in transit; the clock's time in a report.
#[tokio::test(flavor = "multi_thread")]
async fn a_year_of_business_ties_out_to_the_cent_and_each_fault_that_is_planted_in_it_is_found() {
    let world = world().await;
    let (seed, payments) = (size("CF_SEED", 1), size("CF_YEAR_PAYMENTS", 2_000));
    let mut year = Year::new(&world, seed);
    let began = Instant::now();
    year.pass(payments).await;
    let passed = began.elapsed();
    let clean = closing::ties_out(&year).await;
    println!(
        "campaign year: {payments} payments, {} bookings, {} payouts in {passed:.0?} ({}), closed in {:.0?}; 0 breaks; seed {seed}",
        clean.tail.totals.bookings,
        clean.tail.totals.payouts,
        year.took,
        began.elapsed() - passed,
    );
    println!("campaign year: {:?}", year.tally);

    let began = Instant::now();
    let drawn = faults::drawn(&mut year, size("CF_YEAR_FAULTS", 500));
    let count: u64 = drawn.values().sum();
    let (expected, drift) = faults::plant(&mut year, &drawn).await;
    let planted = began.elapsed();
    let run = reconciled(&world).await;
    let read = crate::read(&world, run).await;
    found::exactly(&read, expected);
    drift.is_healed(&year).await;
    let classes = read.tail.totals.breaks.len();
    assert_eq!(classes, BreakClass::iter().count());
    let compared = began.elapsed() - planted;
    found::repeats_to_the_byte(&world, run).await;
    println!(
        "campaign year_faults: {count} faults of {classes} classes planted in {planted:.0?}, all found and named in {compared:.0?}, \
         0 false alarms, {} healed, repeated to the byte; seed {seed}",
        read.head.pinned.healed,
    );
    world.stop().await;
}

async fn reconciled(world: &World) -> ReconciliationId {
    crate::next_second(world).await;
    crate::try_reconcile(world).await.unwrap()
}
