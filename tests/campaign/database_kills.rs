//! kill -9 of PostgreSQL while callers are at work; the service stays up and goes on by itself.

use crate::database::{Database, children, is_alive, world_on};
use crate::figures::{Campaign, brisk, size};
use crate::load::{Load, Plan};
use crate::support::until;
use rand::Rng;
use rand::seq::IndexedRandom;
use rustix::process::{Signal, kill_process};
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_however_often_postgresql_is_killed() {
    let campaign = Campaign::begin("database_kills");
    let kills = size("CF_DATABASE_KILLS", 3);
    let mut rng = campaign.rng();
    let mut database = Database::start();
    let world = world_on(&database.cluster, brisk()).await;
    let load = Load::start(&world, Plan::new(&world, campaign.seed));
    for kill in 0..kills {
        load.more(rng.random_range(10..=60)).await;
        let moment = Duration::from_micros(rng.random_range(0..30_000));
        tokio::time::sleep(moment).await;
        match rng.random_range(0..4) {
            0 => one_session(&database, &mut rng),
            1 => shut_down(&database).await,
            _ => all_at_once(&database).await,
        }
        if kill == kills / 2 {
            // Once it stays away for longer than callers are kept waiting.
            all_at_once(&database).await;
            load.turned_away(3).await;
        }
        tokio::task::block_in_place(|| database.cluster.ensure_running().unwrap());
    }
    load.more(50).await;
    let mut book = load.finish().await;
    let found = book.compare(&world).await;
    campaign.end(
        &format!("{kills} times kill -9 of PostgreSQL"),
        &book,
        &found,
    );
    world.stop().await;
}

/// PostgreSQL's own immediate shutdown.
async fn shut_down(database: &Database) {
    kill_process(database.server(), Signal::QUIT).unwrap();
    until("the server is gone", async || !is_alive(database.server())).await;
}

async fn all_at_once(database: &Database) {
    database.signal(Signal::KILL);
    until("the server is gone", async || !is_alive(database.server())).await;
}

/// One process of the server dies; the server then ends all sessions and recovers by itself.
fn one_session(database: &Database, rng: &mut impl Rng) {
    if let Some(session) = children(database.server()).choose(rng) {
        let _ = kill_process(*session, Signal::KILL);
    }
}
