//! A year of business, drawn from a seed, through the real commands and the simulator; what it comes to in the end; and the same
//! year with faults of every class planted in it.
//!
//! `CF_YEAR_PAYMENTS` says how many payments it has, `CF_YEAR_FAULTS` how many faults, `CF_SEED` of what they are drawn.

mod bank;
mod business;
mod client;
mod closing;
mod stories;

use crate::support::{Setup, World, simulator_config};
use business::{BEHIND_S, Plan, Year};
use simulator::{Settlement, Simulator};
use std::time::Instant;

/// A size from the environment, or that of `make test`.
fn size(name: &str, slice: u64) -> u64 {
    let given = std::env::var(name).ok();
    given.map_or(slice, |it| {
        it.parse()
            .unwrap_or_else(|_| panic!("{name} is no number: {it}"))
    })
}

/// A world whose simulator stands before the year, and settles in dollars and pounds.
async fn world() -> World {
    World::start_beside(Setup::default(), async |service| {
        let mut config = simulator_config(service);
        config.behind_s = BEHIND_S;
        // Nothing comes later by the mere passing of real time.
        config.later_s = 24 * 3600;
        for account in &mut config.accounts {
            let rates = [("eur", 1_083_400), ("sek", 95_100)];
            account.settlement = Some(Settlement {
                currency: "usd".to_owned(),
                rates_per_million: rates.map(|(of, rate)| (of.to_owned(), rate)).into(),
            });
        }
        Simulator::start(config).await.unwrap()
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_year_of_business_ties_out_to_the_cent() {
    let world = world().await;
    let seed = size("CF_SEED", 1);
    let plan = Plan {
        seed,
        payments: size("CF_YEAR_PAYMENTS", 2_000),
    };
    let began = Instant::now();
    let mut year = Year::new(&world, seed);
    year.pass(plan).await;
    println!("{:?} {:?} {:?}", began.elapsed(), year.took, year.tally);
    closing::ties_out(&year).await;
    println!("{:?}", began.elapsed());
    world.stop().await;
}
