//! Histories drawn from a seed, through the doors and at the simulator: what the books were at any position of one is what its events
//! up to there come to.
//!
//! `CF_HISTORIES` says how many there are, `CF_SEED` of what they are drawn.

use crate::support::sums::{Figures, Sums, told};
use crate::support::{World, until};
use crate::year::business::Year;
use crate::year::stories::Story;
use crate::year::{self, size};
use crate::{acme, operator};
use aggregates::books::Month;
use chrono::Weekday;
use counterfoil::use_cases::Person;
use eventstore::Recorded;
use projections::books::AsOf;
use projections::rebuild;
use rand::Rng;
use std::collections::BTreeSet;

/// How many positions of a history are looked at, of those that moved something and of all; and how many replays are stopped at.
const LOOKED_AT: usize = 25;
const STOPPED_AT: usize = 3;

/// Each history has something of these.
const HAPPENS: [&str; 11] = [
    "OrderPaid",
    "Captured",
    "Refunded",
    "RefundFailed",
    "DisputeFundsWithdrawn",
    "DisputeClosed",
    "BalanceTransactionObserved",
    "PayoutObserved",
    "BankLineMatched",
    "BankLineImported",
    "PeriodClosed",
];

/// The two ways are of their own: the pure rules on the payloads, and a replay into rows. The live answer is the journal's.
///
/// Planted bugs, each seen red here: a bound of the balances that leaves the event itself out; entries that are booked twice where they
/// are posted in a later month than their own; balances that count a refund of later; a replay that stops one event early.
#[tokio::test(flavor = "multi_thread")]
async fn the_balances_as_of_any_position_are_those_of_a_replay_stopped_there() {
    let (first, histories) = (size("CF_SEED", 1), size("CF_HISTORIES", 2));
    let (mut positions, mut late) = (0, 0);
    for seed in first..first + histories {
        let world = year::world().await;
        let mut year = Year::new(&world, seed);
        passes(&mut year).await;
        let events = recorded(&world).await;
        let seen: BTreeSet<&str> = events.iter().map(|it| it.event_type.as_str()).collect();
        let missing = HAPPENS.iter().filter(|it| !seen.contains(**it));
        let missing: Vec<_> = missing.collect();
        assert!(missing.is_empty(), "seed {seed} has no {missing:?}");
        late += posted_late(&world).await;
        let sums = sums(&events);
        positions += sums.len();
        agree(&mut year, &sums, seed).await;
        drop(year);
        world.stop().await;
    }
    assert!(
        late > 0,
        "something is posted in a later month than its own"
    );
    println!(
        "campaign histories: {histories} histories of {positions} positions, the books as of those drawn are what the events \
         come to; seed {first}"
    );
}

/// Some weeks of business: one story of each kind and more, money back, payouts, bank lines; a month is closed while things still come
/// for it.
async fn passes(year: &mut Year<'_>) {
    year.one_back_of = year.rng.random_range(3..=6);
    let weeks: u64 = year.rng.random_range(5..=7);
    let payments: u64 = year.rng.random_range(20..=40);
    let closes = [0, 1].map(|_| year.rng.random_range(1..weeks - 1));
    year.days_until(Weekday::Sun).await;
    let (mut told, mut fails) = (0, true);
    for week in 0..weeks {
        let until = payments * (week + 1) / weeks;
        let stories = (told..until).map(|number| Story::draw(&mut year.rng, number));
        let stories: Vec<Story> = stories.collect();
        told = until;
        // What Stripe does of itself in the weeks of a year: fees, payouts by hand; and once a payout comes back.
        let like = match has_arrived(year) && std::mem::take(&mut fails) {
            true => 30,
            false => year.rng.random_range(0..12),
        };
        year.week(like, stories).await;
        if closes.contains(&week) {
            let by = Person {
                merchant: acme(),
                actor: operator(),
                because: "signed".to_owned(),
            };
            let month = Month::of(year.now().await);
            year.world.app().close_period(by, month).await.unwrap();
        }
    }
}

fn has_arrived(year: &Year<'_>) -> bool {
    let mut arrived = year.bank.arrived.iter();
    arrived.any(|it| it.automatic && it.amount.currency().code() == "usd")
}

/// All that was recorded of acme's, once it is in the journal.
async fn recorded(world: &World) -> Vec<Recorded> {
    let store = world.app().store();
    let mut events = Vec::new();
    until("the journal is caught up", async || {
        let now = store.ledger.balances(&acme(), AsOf::Now).await.unwrap();
        events = store
            .reader()
            .read_ledger("acme", 0, 1_000_000)
            .await
            .unwrap();
        events.last().map(|it| it.ledger_position) == Some(now.ledger_position)
    })
    .await;
    events
}

/// How many lines are posted in another month than that of their effect.
async fn posted_late(world: &World) -> i64 {
    sqlx::query_scalar(
        "select count(*) from journal
         where merchant = 'acme' and period <> to_char(effective_at at time zone 'UTC', 'YYYY-MM')",
    )
    .fetch_one(world.app().store().pool())
    .await
    .unwrap()
}

/// What the accounts come to after each event, by the rules alone.
fn sums(events: &[Recorded]) -> Vec<Figures> {
    let mut sums = Sums::default();
    let after = |it| {
        sums.take(it);
        sums.figures.clone()
    };
    events.iter().map(after).collect()
}

async fn agree(year: &mut Year<'_>, sums: &[Figures], seed: u64) {
    let (last, books) = (sums.len() - 1, year.world.app().books());
    let moved: Vec<usize> = (1..=last).filter(|at| sums[*at] != sums[at - 1]).collect();
    let mut drawn = BTreeSet::from([0, last]);
    for _ in 0..LOOKED_AT {
        drawn.insert(moved[year.rng.random_range(0..moved.len())]);
        drawn.insert(year.rng.random_range(0..=last));
    }
    for at in drawn {
        let as_of = AsOf::Position(i64::try_from(at).unwrap() + 1);
        let then = books.balances(&acme(), as_of).await.unwrap();
        assert_eq!(told(&then), sums[at], "seed {seed}, {as_of:?}");
        assert!(then.trial_balance().iter().all(|it| it.is_balanced()));
    }
    let reader = year.world.app().store().reader();
    for _ in 0..STOPPED_AT {
        let at = moved[year.rng.random_range(0..moved.len())];
        let as_of = AsOf::Position(i64::try_from(at).unwrap() + 1);
        let (url, all) = (&year.world.database_url, rebuild::projections());
        let then = rebuild::past(url, reader, (&acme(), as_of), &all, &mut ()).await;
        let then = then.unwrap();
        assert_eq!(then.differences(), 0, "seed {seed}, {as_of:?}: {then:#?}");
        let replayed = then.balances.iter().flat_map(|it| &it.replayed);
        let replayed: Figures = replayed
            .map(|it| ((it.account, it.currency), (it.debit_minor, it.credit_minor)))
            .collect();
        assert_eq!(replayed, sums[at], "seed {seed}, replayed {as_of:?}");
    }
}
