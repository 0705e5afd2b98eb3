//! An instance dies, or stands still, in the middle of everything. The others go on, end what it had begun, and it does no harm
//! when it wakes.

use crate::several::{Several, eager};
use crate::support::process::{Process, free_address};
use crate::support::{PATIENCE, World, card_payment, send, until};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How many callers there are, and how many payments each makes; `INSTANCES_PAYMENTS` for more.
const CALLERS: usize = 6;
const PAYMENTS: usize = 10;

/// How long a caller keeps asking for one payment. Reached only where something is broken.
const GIVES_UP_AFTER: Duration = Duration::from_secs(120);

/// One more instance, as a process of its own.
async fn beside(world: &World) -> Process {
    Process::start_at(world, free_address(), &world.database_url).await
}

fn payments_each() -> usize {
    let wanted = std::env::var("INSTANCES_PAYMENTS").ok();
    wanted.map_or(PAYMENTS, |it| {
        it.parse().expect("INSTANCES_PAYMENTS is a number")
    })
}

/// Successful charges of acme's at Stripe.
pub async fn charges(world: &World) -> usize {
    let state = world
        .sim(Method::GET, "state?account=acct_acme", None)
        .await;
    let charges = state["acct_acme"]["charges"].as_array().unwrap();
    charges
        .iter()
        .filter(|it| it["status"] == "succeeded")
        .count()
}

/// Intents of a merchant's at Stripe that carry our mark.
async fn intents_of_ours(world: &World, merchant: &str) -> usize {
    let state = world.sim(Method::GET, "state", None).await;
    let intents = &state[format!("acct_{merchant}")]["payment_intents"];
    let intents = intents.as_array().unwrap().iter();
    intents
        .filter(|it| it["metadata"]["counterfoil_payment"].is_string())
        .count()
}

fn paying(http: &reqwest::Client, at: SocketAddr, key: &str) -> RequestBuilder {
    paying_as("sk_test_acme", http, at, key)
}

fn paying_as(secret: &str, http: &reqwest::Client, at: SocketAddr, key: &str) -> RequestBuilder {
    http.post(format!("http://{at}/v1/payment_intents"))
        .bearer_auth(secret)
        .header("Idempotency-Key", key)
        .json(&card_payment(100, "usd", "4242424242424242"))
        .timeout(Duration::from_secs(3))
}

/// Callers that pay at all the addresses in turn, and ask the next instance under the same key where one does not answer well.
struct Load {
    tasks: Vec<tokio::task::JoinHandle<()>>,
    /// By key, the id of what was acknowledged.
    acknowledged: Arc<Mutex<BTreeMap<String, Value>>>,
    /// Answers that no caller should get while nothing is amiss: 5xx.
    broken: Arc<AtomicUsize>,
    calm: Arc<AtomicBool>,
}

impl Load {
    fn begin(http: &reqwest::Client, addresses: &[SocketAddr], name: &str) -> Self {
        let load = Self {
            tasks: Vec::new(),
            acknowledged: Arc::default(),
            broken: Arc::default(),
            calm: Arc::new(AtomicBool::new(true)),
        };
        let tasks = (0..CALLERS).map(|caller| {
            let (http, addresses, name) = (http.clone(), addresses.to_vec(), name.to_owned());
            let acknowledged = Arc::clone(&load.acknowledged);
            let (broken, calm) = (Arc::clone(&load.broken), Arc::clone(&load.calm));
            tokio::spawn(async move {
                let mut next = caller;
                for payment in 0..payments_each() {
                    let key = format!("{name}-{caller}-{payment}");
                    let begun = Instant::now();
                    let id = loop {
                        next += 1;
                        assert!(begun.elapsed() < GIVES_UP_AFTER, "{key} is never answered");
                        let at = addresses[next % addresses.len()];
                        let was_calm = calm.load(Ordering::SeqCst);
                        match paying(&http, at, &key).send().await {
                            Ok(answer) if answer.status() == 200 => {
                                let Ok(paid) = answer.json::<Value>().await else {
                                    continue;
                                };
                                assert_eq!(paid["status"], "succeeded", "{paid}");
                                break paid["id"].clone();
                            }
                            Ok(answer)
                                if answer.status().is_server_error()
                                    && was_calm
                                    && calm.load(Ordering::SeqCst) =>
                            {
                                broken.fetch_add(1, Ordering::SeqCst);
                            }
                            // Dead, asleep, or still at it: the next one is asked.
                            Ok(_) | Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
                        }
                    };
                    acknowledged.lock().unwrap().insert(key, id);
                }
            })
        });
        let tasks = tasks.collect();
        Self { tasks, ..load }
    }

    fn count(&self) -> usize {
        self.acknowledged.lock().unwrap().len()
    }

    /// Waits until a part of it is acknowledged.
    async fn until_part(&self, part: usize) {
        let enough = CALLERS * payments_each() * part / 4;
        until("some are acknowledged", async || self.count() >= enough).await;
    }

    async fn end(self) -> BTreeMap<String, Value> {
        for task in self.tasks {
            task.await.unwrap();
        }
        assert_eq!(
            self.broken.load(Ordering::SeqCst),
            0,
            "5xx while nothing was amiss"
        );
        let acknowledged = self.acknowledged.lock().unwrap();
        acknowledged.clone()
    }
}

/// Every intention has its outcome.
async fn nothing_is_open(world: &World) {
    until("every intention has ended", async || {
        let open: i64 =
            sqlx::query_scalar("select count(*) from payments where pending_intention is not null")
                .fetch_one(world.app().store().pool())
                .await
                .unwrap();
        open == 0
    })
    .await;
}

/// Everything that was acknowledged is there, once, and is answered the same by any instance.
async fn all_is_well(all: &Several, acknowledged: &BTreeMap<String, Value>) {
    nothing_is_open(&all.world).await;
    assert_eq!(
        charges(&all.world).await,
        acknowledged.len(),
        "each was charged once"
    );
    assert_eq!(
        intents_of_ours(&all.world, "acme").await,
        acknowledged.len(),
        "each is one intent at Stripe"
    );
    let mut ids: Vec<&str> = acknowledged
        .values()
        .map(|id| id.as_str().unwrap())
        .collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), acknowledged.len());
    for (number, (key, id)) in acknowledged.iter().enumerate().filter(|it| it.0 % 5 == 0) {
        let request = all.ask(number % all.count(), Method::POST, "/v1/payment_intents");
        let request = request
            .bearer_auth("sk_test_acme")
            .header("Idempotency-Key", key);
        let (status, again) =
            send(request.json(&card_payment(100, "usd", "4242424242424242"))).await;
        assert_eq!((status, &again["id"]), (200, id), "{again}");
    }
    let taken = i64::try_from(acknowledged.len() * 100).unwrap();
    let balances = all.world.balances("acme", "usd").await;
    let owed = ("liabilities:customers:unapplied".to_owned(), -taken);
    assert!(balances.contains(&owed), "{balances:?}");
    all.is_whole().await;
}

/// Planted bug: a key at Stripe that is the attempt's and not the intention's, so that what the dead one had asked for is done again.
#[tokio::test(flavor = "multi_thread")]
async fn one_of_three_is_killed_under_load_and_nothing_is_lost_or_done_twice() {
    let all = Several::start(2, eager()).await;
    let third = beside(&all.world).await;
    let addresses = [all.address(0), all.address(1), third.address];
    let load = Load::begin(&all.world.http, &addresses, "killed");
    load.until_part(1).await;
    load.calm.store(false, Ordering::SeqCst);
    // In the middle of this one for certain: another merchant's, so that it is no other that Stripe holds.
    let hold = json!({"kind": "hold_after", "method": "POST", "path_prefix": "/v1/payment_intents", "account": "acct_rival"});
    all.world.sim(Method::POST, "faults", Some(hold)).await;
    let rivals = |at| {
        let request = paying_as("sk_test_rival", &all.world.http, at, "middle");
        request.timeout(PATIENCE)
    };
    let middle = tokio::spawn(rivals(third.address).send());
    all.world.wait_until_held(1).await;
    third.kill();
    assert!(
        middle.await.unwrap().is_err(),
        "the caller never heard of it"
    );
    all.world.sim(Method::POST, "faults/release", None).await;
    let (status, paid) = send(rivals(all.address(0))).await;
    assert_eq!(
        (status, &paid["status"]),
        (200, &json!("succeeded")),
        "{paid}"
    );
    assert_eq!(
        intents_of_ours(&all.world, "rival").await,
        1,
        "what the dead one had asked for is what it is"
    );
    let acknowledged = load.end().await;
    assert_eq!(acknowledged.len(), CALLERS * payments_each());
    all_is_well(&all, &acknowledged).await;
    all.stop().await;
}

/// What a dead instance had begun, and nobody asks for, is ended by another one: as soon as recovery takes it up, and not before
/// the lease is over that the dead one held.
///
/// Planted bug: recovery that does not answer the key of whoever waited leaves it open.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_dead_instance_had_begun_is_ended_by_another_without_being_asked() {
    let all = Several::start(2, eager()).await;
    let third = beside(&all.world).await;
    let fault =
        json!({"kind": "hold_after", "method": "POST", "path_prefix": "/v1/payment_intents/pi_"});
    all.world.sim(Method::POST, "faults", Some(fault)).await;
    let call = tokio::spawn(
        paying(&all.world.http, third.address, "left")
            .timeout(Duration::from_secs(60))
            .send(),
    );
    all.world.wait_until_held(1).await;
    third.kill();
    assert!(call.await.unwrap().is_err(), "the caller never heard of it");
    all.world.sim(Method::POST, "faults/release", None).await;
    until("another instance has ended it", async || {
        all.world
            .history("acme")
            .await
            .iter()
            .any(|it| it == "Succeeded")
    })
    .await;
    nothing_is_open(&all.world).await;
    // Its key was answered along with it.
    let open: i64 = sqlx::query_scalar("select count(*) from claims where answer is null")
        .fetch_one(all.world.app().store().pool())
        .await
        .unwrap();
    assert_eq!(open, 0);
    let (status, again) = send(paying(&all.world.http, all.address(1), "left")).await;
    assert_eq!(
        (status, &again["status"]),
        (200, &json!("succeeded")),
        "{again}"
    );
    assert_eq!(charges(&all.world).await, 1);
    all.is_whole().await;
    all.stop().await;
}

/// Planted bug: leaving a paused process the log's head for as long as it holds it stops everybody.
#[tokio::test(flavor = "multi_thread")]
async fn an_instance_that_was_paused_and_wakes_does_no_harm() {
    let all = Several::start(2, eager()).await;
    let third = beside(&all.world).await;
    let addresses = [all.address(0), all.address(1), third.address];
    let load = Load::begin(&all.world.http, &addresses, "paused");
    for part in 1..=3 {
        load.until_part(part).await;
        load.calm.store(false, Ordering::SeqCst);
        third.pause();
        let before = load.count();
        // The others go on, and end what it has begun.
        until("the others go on", async || {
            load.count() >= before + 2 || load.count() == CALLERS * payments_each()
        })
        .await;
        nothing_is_left_of(&all.world).await;
        third.resume();
    }
    let acknowledged = load.end().await;
    all_is_well(&all, &acknowledged).await;
    // It is as good as the others again.
    let (status, paid) = send(paying(&all.world.http, third.address, "awake")).await;
    assert_eq!(status, 200, "{paid}");
    all.is_whole().await;
    third.kill();
    all.stop().await;
}

/// Nothing is open for longer than the others' recovery takes.
async fn nothing_is_left_of(world: &World) {
    until("what the paused one has begun is ended", async || {
        let old: i64 = sqlx::query_scalar(
            "select count(*) from payments p where pending_intention is not null and exists (
                 select from events e where e.event_id = p.pending_intention and e.recorded_at < clock_timestamp() - interval '2 s')",
        )
        .fetch_one(world.app().store().pool())
        .await
        .unwrap();
        old == 0
    })
    .await;
}
