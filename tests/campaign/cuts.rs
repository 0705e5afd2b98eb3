//! Connections to the database that are cut after COMMIT was sent, and before anybody has heard of it.

use crate::figures::{Campaign, brisk, size};
use crate::load::{Load, Plan};
use crate::support::proxy::{Loss, Proxy};
use crate::support::{self, World, until};
use rand::Rng;
use tokio::net::TcpListener;

/// As the log's writer introduces itself, and as the others do.
const WRITER: &[u8] = b"counterfoil-writer";
const ANYBODY: &[u8] = b"counterfoil";

/// Planted bug: sending a batch again without looking whether it was written ends in conflicts of callers with themselves.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_or_doubled_when_the_answer_to_a_commit_is_lost() {
    let campaign = Campaign::begin("cuts");
    let cuts = size("CF_CUTS", 25);
    let mut rng = campaign.rng();
    let (world, proxy) = world_behind_a_wire().await;
    let load = Load::start(&world, Plan::new(&world, campaign.seed));
    for _ in 0..cuts {
        load.more(rng.random_range(1..=8)).await;
        let of = if rng.random_ratio(3, 4) {
            WRITER
        } else {
            ANYBODY
        };
        let loss = match rng.random_range(0..4) {
            0 => Loss::Unasked,
            1 => Loss::Asked,
            _ => Loss::Answered,
        };
        let lost = proxy.lost();
        proxy.lose(of, loss);
        until("an answer is lost", async || proxy.lost() > lost).await;
        if rng.random_ratio(1, 8) {
            proxy.cut();
        }
    }
    let mut book = load.finish().await;
    let found = book.compare(&world).await;
    let epoch = world.app().store().reader().head().await.unwrap().epoch;
    let what = format!("{cuts} answers of the database lost, {epoch} of them to an append");
    campaign.end(&what, &book, &found);
    assert!(epoch > 0, "no append was struck");
    world.stop().await;
}

async fn world_behind_a_wire() -> (World, Proxy) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (direct, proxy) = tokio::join!(support::database(), Proxy::start());
    let simulator = support::simulator(address).await;
    let database_url = proxy.url(&direct);
    let service = support::serve(listener, &database_url, &simulator, brisk()).await;
    let world = World {
        service: Some(service),
        simulator,
        database_url,
        address,
        http: reqwest::Client::new(),
    };
    (world, proxy)
}
