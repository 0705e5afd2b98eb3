//! kill -9 of the service while callers are at work.

use crate::figures::{Campaign, brisk, size};
use crate::load::{Load, Plan};
use crate::support::World;
use crate::support::process::Process;
use rand::Rng;
use std::time::Duration;

/// Planted bug: a fresh key at Stripe for every attempt makes second intents, which nobody here knows.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_however_often_the_service_is_killed() {
    let campaign = Campaign::begin("service_kills");
    let kills = size("CF_SERVICE_KILLS", 6);
    let mut rng = campaign.rng();
    let mut world = World::start().await;
    world.stop_service().await;
    let load = Load::start(&world, Plan::new(&world, campaign.seed));
    for _ in 0..kills {
        let process = Process::start(&world).await;
        load.more(rng.random_range(1..=12)).await;
        // Not between two answers, but anywhere.
        let moment = Duration::from_micros(rng.random_range(0..30_000));
        tokio::time::sleep(moment).await;
        process.kill();
    }
    let process = Process::start(&world).await;
    let mut book = load.finish().await;
    process.kill();
    world.restart(brisk()).await;
    let found = book.compare(&world).await;
    campaign.end(
        &format!("{kills} times kill -9 of the service"),
        &book,
        &found,
    );
    world.stop().await;
}
