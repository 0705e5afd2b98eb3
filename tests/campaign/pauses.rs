//! Processes that stand still for a while: a service beside another one, and PostgreSQL.

use crate::database::{Database, children, world_on};
use crate::figures::{Campaign, brisk, size};
use crate::load::{Load, Plan};
use crate::support::World;
use crate::support::process::Process;
use rand::Rng;
use rand::seq::IndexedRandom;
use reqwest::Method;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use sqlx::{Connection, PgConnection};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpListener;

/// Planted bugs: deciding on what is in memory without asking the log for what came after it; a session that may hold the log's
/// head for as long as its process stands still.
#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_stands_still_beside_another_loses_nothing_and_doubles_nothing() {
    let campaign = Campaign::begin("service_pauses");
    let pauses = size("CF_SERVICE_PAUSES", 3);
    // Longer than the leases of recovery; in the slice they are ended by hand instead.
    let longest = Duration::from_secs(size("CF_PAUSE_S", 2));
    let mut rng = campaign.rng();
    let world = World::start_with(brisk()).await;
    let address = free_address().await;
    let mut process = Process::start_at(&world, address, &world.database_url).await;
    let plan = Plan {
        addresses: vec![world.address, address],
        patience: Duration::from_secs(1),
        ..Plan::new(&world, campaign.seed)
    };
    let load = Load::start(&world, plan);
    for pause in 0..pauses {
        // What Stripe did not answer is what a service leases at its start.
        silence(&world, rng.random_range(1..=4)).await;
        load.more(rng.random_range(10..=40)).await;
        process.kill();
        process = Process::start_at(&world, address, &world.database_url).await;
        let moment = Duration::from_micros(rng.random_range(0..50_000));
        tokio::time::sleep(moment).await;
        process.pause();
        end_leases(&world).await;
        let longest = if pause == 0 {
            longest
        } else {
            longest.min(Duration::from_secs(2))
        };
        let stands_still = longest.mul_f64(rng.random_range(0.2..1.0));
        load.more(10).await;
        tokio::time::sleep(stands_still).await;
        process.resume();
    }
    load.more(50).await;
    let mut book = load.finish().await;
    process.kill();
    let found = book.compare(&world).await;
    campaign.end(
        &format!("{pauses} pauses of one of two services"),
        &book,
        &found,
    );
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_stands_still_loses_nothing_and_doubles_nothing() {
    let campaign = Campaign::begin("database_pauses");
    let pauses = size("CF_DATABASE_PAUSES", 4);
    // Longer than the log waits for an answer: it then connects anew, and settles what the old connection left.
    let longest_ms = size("CF_PAUSE_S", 2) * 1000;
    let mut rng = campaign.rng();
    let database = Database::start();
    let world = world_on(&database.cluster, brisk()).await;
    let plan = Plan {
        patience: Duration::from_secs(2),
        ..Plan::new(&world, campaign.seed)
    };
    let load = Load::start(&world, plan);
    for pause in 0..pauses {
        load.more(rng.random_range(10..=60)).await;
        let stands_still = Duration::from_millis(match pause {
            0 => longest_ms.min(20_000),
            _ => rng.random_range(50..1500),
        });
        if rng.random_ratio(1, 2) {
            let writer = writers_session(&world).await;
            kill_process(writer, Signal::STOP).unwrap();
            tokio::time::sleep(stands_still).await;
            kill_process(writer, Signal::CONT).unwrap();
        } else if rng.random_ratio(1, 2) {
            database.signal(Signal::STOP);
            tokio::time::sleep(stands_still).await;
            database.signal(Signal::CONT);
        } else {
            let some = *children(database.server())
                .choose(&mut rng)
                .expect("it has sessions");
            let _ = kill_process(some, Signal::STOP);
            tokio::time::sleep(stands_still).await;
            let _ = kill_process(some, Signal::CONT);
        }
    }
    load.more(50).await;
    let mut book = load.finish().await;
    let found = book.compare(&world).await;
    campaign.end(
        &format!("{pauses} pauses of PostgreSQL's processes"),
        &book,
        &found,
    );
    world.stop().await;
}

async fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap()
}

/// Stripe does the next so many requests, and does not say so.
async fn silence(world: &World, requests: u64) {
    let fault =
        json!({"kind": "drop_after", "method": "POST", "path_prefix": "/v1/", "times": requests});
    world.sim(Method::POST, "faults", Some(fault)).await;
}

/// As if so much time had passed that every lease is over.
async fn end_leases(world: &World) {
    let mut owner = PgConnection::connect(&world.database_url).await.unwrap();
    sqlx::query("update recovery_work set leased_until = statement_timestamp(), next_at = statement_timestamp()")
        .execute(&mut owner)
        .await
        .unwrap();
    owner.close().await.unwrap();
}

/// The process of PostgreSQL's that serves the log's writer.
async fn writers_session(world: &World) -> Pid {
    let mut owner = PgConnection::connect(&world.database_url).await.unwrap();
    let pid: i32 = sqlx::query_scalar(
        "select pid from pg_stat_activity
         where datname = current_database() and application_name = 'counterfoil-writer' limit 1",
    )
    .fetch_one(&mut owner)
    .await
    .unwrap();
    owner.close().await.unwrap();
    Pid::from_raw(pid).unwrap()
}
