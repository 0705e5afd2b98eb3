//! The whole payment protocol as a state machine: steps as they are drawn, over the doors, against the real service, its database
//! and a Stripe that misbehaves. What is answered is what the model allows; at the end, with Stripe well again, everything that
//! was asked for has an answer, and the model, our rows and Stripe agree.
//!
//! `CF_MACHINE_CASES` (runs, a few by default) and `CF_MACHINE_SEED` make it longer and repeatable; each case is a run of its own
//! payments in one world, so that shrinking is cheap.

use crate::commands;
use crate::control::plain;
use crate::invariants;
use crate::model::{AMOUNT, Card, Expected, Kind, Model, Step};
use crate::support::{Setup, World, card_payment, checkout, send, until};
use counterfoil::use_cases::{Recovery, TrafficLimits};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;
use tokio::runtime::Runtime;

/// How often a caller asks again before it leaves it to recovery.
const PATIENT: usize = 4;

/// One world for all cases.
struct Rig {
    runtime: Runtime,
    world: Mutex<World>,
    cases: AtomicUsize,
}

static RIG: OnceLock<Rig> = OnceLock::new();

fn rig() -> &'static Rig {
    RIG.get_or_init(|| {
        let runtime = Runtime::new().unwrap();
        let world = runtime.block_on(World::start_with(setup()));
        Rig {
            runtime,
            world: Mutex::new(world),
            cases: AtomicUsize::new(0),
        }
    })
}

impl Rig {
    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Recovery is always at it. What a look-up shows not to have been done is believed at once: no request is under way any more
/// when it is looked up, as Stripe answers or ends every connection here.
fn setup() -> Setup {
    let recovery = Recovery {
        every: Duration::from_millis(100),
        older_than: Duration::from_millis(300),
        absent_for: Duration::ZERO,
        pause_min: Duration::from_millis(20),
        pause_max: Duration::from_millis(200),
        traffic: TrafficLimits {
            attempts_per_s: 1_000,
            rest: Duration::from_millis(50),
            ..TrafficLimits::default()
        },
        ..Recovery::default()
    };
    Setup {
        recovery,
        ..Setup::default()
    }
}

/// What was asked for, to be asked for again.
struct Deed {
    thing: usize,
    step: Step,
    /// The key that it goes under.
    key: String,
    /// What was heard, if anything was.
    heard: Option<(u16, Value)>,
}

/// What is known of a payment or an order that the case has begun.
#[derive(Default, Clone)]
struct Known {
    tag: String,
    intent: Option<String>,
    order: Option<Value>,
    session: Option<String>,
}

pub struct Protocol {
    case: usize,
    known: Vec<Known>,
    deeds: Vec<Deed>,
    steps: usize,
}

fn is_known(status: u16) -> bool {
    !matches!(status, 409 | 429 | 500..)
}

/// The script of a bad day.
fn bad_day(seed: u64) -> Value {
    json!({
        "seed": seed,
        "requests": {
            "drop_before": 50, "drop_after": 80, "status_500": 40, "status_500_after": 40, "status_503": 40, "status_429": 60,
            "lock_timeout": 20, "latency_ms:20": 60,
        },
        "webhooks": {"lost": 150, "duplicated": 150, "late_ms:200": 100, "reordered_ms:100": 200},
    })
}

impl Protocol {
    /// The request of a step that one of our doors takes; none where it is somebody else's, or nothing is known to ask about.
    fn request(&self, world: &World, deed: &Deed) -> Option<RequestBuilder> {
        let known = &self.known[deed.thing];
        let intent = known.intent.as_deref();
        let of_intent = |rest: &str, body: Value| {
            let path = format!("/v1/payment_intents/{}{rest}", intent?);
            Some(world.pay(&path, body))
        };
        let tag = &known.tag;
        let request = match &deed.step {
            Step::Pay { card, hold } => {
                let number = match card {
                    Card::Good => "4242424242424242",
                    Card::Declined => "4000000000009995",
                    Card::Asking => "4000002760003184",
                };
                let mut body = card_payment(AMOUNT, "usd", number);
                body["capture_method"] = json!(if *hold { "manual" } else { "automatic" });
                world.pay("/v1/payment_intents", body)
            }
            Step::Capture(_, minor) => of_intent("/capture", json!({"amount_to_capture": minor}))?,
            Step::Cancel(_) => of_intent("/cancel", json!({}))?,
            Step::Refund(_, minor) => {
                let body = json!({"payment_intent": intent?, "amount": minor});
                world.pay("/v1/refunds", body)
            }
            Step::Place(total) => {
                let mut order = commands::order("shop", tag);
                order["lines"][0]["unit_minor"] = json!(total);
                world
                    .post("/ledger/v1/orders")
                    .bearer_auth("admin-acme")
                    .json(&order)
            }
            Step::Ask(_) => commands::shop(world, tag, "payment-intent"),
            Step::MarkPaid(_) => commands::shop(world, tag, "payment"),
            Step::Reprice(_, minor) => {
                let path = format!(
                    "/ledger/v1/orders/{}/reprice",
                    known.order.as_ref()?.as_str()?
                );
                let line = json!({"name": "Shoes", "unit_minor": minor, "quantity": 1});
                let price = json!({"currency": "usd", "lines": [line]});
                world.post(&path).bearer_auth("admin-acme").json(&price)
            }
            Step::Open | Step::OpenAnother(_) => checkout::ask_for(world, tag),
            _ => return None,
        };
        // The shop's document has no keys.
        Some(match deed.step {
            Step::Ask(_) | Step::MarkPaid(_) => request,
            _ => request.header("Idempotency-Key", &deed.key),
        })
    }

    /// Asks until it is known what came of it, or patience ends.
    async fn insist(&self, world: &World, deed: &Deed) -> Option<(u16, Value)> {
        for _ in 0..PATIENT {
            let (status, answer) = send(self.request(world, deed)?).await;
            // A conflict may be a key in use, or an order that is paid: the second is an answer.
            if is_known(status) || (status == 409 && is_answer(&answer)) {
                return Some((status, answer));
            }
        }
        None
    }

    fn learn(&mut self, deed: &Deed) {
        let Some((status, answer)) = &deed.heard else {
            return;
        };
        let known = &mut self.known[deed.thing];
        let text = |value: &Value| value.as_str().map(str::to_owned);
        if let (Step::Pay { .. }, 402) = (&deed.step, status) {
            known.intent = text(&answer["error"]["payment_intent"]["id"]);
        }
        if *status >= 300 {
            return;
        }
        match deed.step {
            Step::Pay { .. } => known.intent = text(&answer["id"]),
            Step::Place(_) => known.order = Some(answer["id"].clone()),
            Step::Ask(_) => known.intent = text(&answer["data"]["id"]),
            Step::Open | Step::OpenAnother(_) => known.session = text(&answer["SessionId"]),
            _ => {}
        }
    }

    /// What is not asked of us: the payer, the dashboard, the bank, and what befalls the service and Stripe.
    async fn beside(&self, world: &mut World, step: &Step) {
        match step {
            Step::Restart => world.restart(setup()).await,
            Step::Faults(None) => {
                world.sim(Method::DELETE, "faults", None).await;
            }
            Step::Faults(Some(seed)) => {
                let script = Some(bad_day(*seed));
                world.sim(Method::POST, "faults/script", script).await;
            }
            Step::Authenticate(at) => {
                if let Some(intent) = &self.known[*at].intent {
                    let page = format!("{}_sim/3ds/{intent}", world.simulator.url());
                    let browser = reqwest::Client::builder();
                    let browser = browser.redirect(reqwest::redirect::Policy::none());
                    let page = browser.build().unwrap().post(page);
                    let page = page.header("Content-Type", "application/x-www-form-urlencoded");
                    page.body("outcome=complete").send().await.unwrap();
                }
            }
            Step::PayThere(at) => {
                if let Some(intent) = &self.known[*at].intent {
                    let path = format!("/v1/payment_intents/{intent}/confirm");
                    let body = json!({"payment_method": "pm_card_visa"});
                    at_stripe(world, &path, &body).await;
                }
            }
            Step::RefundThere(at, minor) => {
                if let Some(intent) = &self.known[*at].intent {
                    let body = json!({"payment_intent": intent, "amount": minor});
                    at_stripe(world, "/v1/refunds", &body).await;
                }
            }
            Step::Dispute(at) => {
                let intent = self.known[*at].intent.as_deref();
                if let Some(charge) = charge_of(world, intent).await {
                    let url = format!("{}_sim/disputes", world.simulator.url());
                    let asked = world.http.post(url).json(&json!({"charge": charge}));
                    // It may be disputed, or refunded, already.
                    asked.send().await.unwrap();
                }
            }
            Step::PayOnPage(at) => {
                if let Some(session) = &self.known[*at].session {
                    checkout::pay(world, session, "pm_card_visa").await;
                }
            }
            _ => {}
        }
    }

    async fn step(&mut self, world: &mut World, model: &Model, step: &Step) {
        self.steps += 1;
        let thing = match step {
            Step::Pay { .. } | Step::Place(_) | Step::Open => {
                let tag = format!("case{:05}t{}", self.case, self.known.len());
                self.known.push(Known {
                    tag,
                    ..Known::default()
                });
                self.known.len() - 1
            }
            Step::Capture(at, _)
            | Step::Cancel(at)
            | Step::Refund(at, _)
            | Step::Ask(at)
            | Step::MarkPaid(at)
            | Step::Reprice(at, _)
            | Step::OpenAnother(at) => *at,
            _ => return self.beside(world, step).await,
        };
        let mut deed = Deed {
            thing,
            step: step.clone(),
            key: format!("case{:05}-{}", self.case, self.steps),
            heard: None,
        };
        // What is asked about is not known: nothing was heard of it yet.
        if self.request(world, &deed).is_none() {
            return;
        }
        deed.heard = self.insist(world, &deed).await;
        self.learn(&deed);
        let refused = deed.heard.as_ref().map(|(status, _)| *status >= 300);
        let (heard, expected) = (&deed.heard, model.expected);
        match expected {
            Expected::Done => assert_eq!(refused, Some(false), "{step:?}: {heard:?}"),
            Expected::Refused => assert_eq!(refused, Some(true), "{step:?}: {heard:?}"),
            Expected::Either => {}
        }
        self.deeds.push(deed);
    }

    /// Stripe is well again, and tells what it lost on the way.
    async fn calm(&self, world: &mut World) {
        world.sim(Method::DELETE, "faults", None).await;
        if world.service.is_none() {
            world.restart(setup()).await;
        }
        let log = world.sim(Method::GET, "webhooks/deliveries", None).await;
        for delivery in log["deliveries"].as_array().unwrap() {
            if delivery["state"] == "failed" {
                let event = Some(json!({"event": delivery["event"]}));
                world.sim(Method::POST, "webhooks/redeliver", event).await;
            }
        }
        until("every webhook has come and is applied", async || {
            let log = world.sim(Method::GET, "webhooks/deliveries", None).await;
            let mut deliveries = log["deliveries"].as_array().unwrap().iter();
            let waiting: i64 =
                sqlx::query_scalar("select count(*) from webhook_inbox where applied_at is null")
                    .fetch_one(world.app().store().pool())
                    .await
                    .unwrap();
            waiting == 0 && deliveries.all(|it| it["state"] != "pending")
        })
        .await;
        invariants::until_ended(world).await;
    }

    /// Everything that was asked for is known now, and is what was heard of it before.
    async fn everything_is_known(&mut self, world: &World) {
        for deed in std::mem::take(&mut self.deeds) {
            // What was refused left its key free: asked again, it might be allowed by now.
            if deed.heard.as_ref().is_some_and(|(it, _)| *it >= 300) {
                self.deeds.push(deed);
                continue;
            }
            let repeatable = !matches!(deed.step, Step::Ask(_) | Step::MarkPaid(_));
            let Some(request) = self.request(world, &deed) else {
                assert!(deed.heard.is_none(), "{:?}: {:?}", deed.step, deed.heard);
                continue;
            };
            let (status, answer) = send(request).await;
            assert!(
                status < 500 || is_failure_of_stripes(&answer),
                "{:?}: {status} {answer}",
                deed.step
            );
            if let Some((before, said)) = deed
                .heard
                .as_ref()
                .filter(|(it, _)| repeatable && *it < 300)
            {
                let tag = &self.known[deed.thing].tag;
                let now = (status, without_next_action(plain(&answer, tag)));
                let then = (*before, without_next_action(plain(said, tag)));
                assert_eq!(now, then, "{:?}", deed.step);
            }
            let known = Deed {
                heard: Some((status, answer)),
                ..deed
            };
            self.learn(&known);
            self.deeds.push(known);
        }
    }

    /// What was answered has happened, once; what was refused has not.
    async fn deeds_are_effects(&self, world: &World, model: &Model) {
        let state = world.sim(Method::GET, "state", None).await;
        let accounts = state.as_object().unwrap();
        let all = |kind: &str| {
            let of_each = accounts.values().map(|it| it[kind].as_array().unwrap());
            of_each.flatten().cloned().collect::<Vec<Value>>()
        };
        for (at, known) in self.known.iter().enumerate() {
            let Some(intent) = &known.intent else {
                continue;
            };
            let shown = all("payment_intents")
                .into_iter()
                .find(|it| it["id"] == intent.as_str())
                .unwrap();
            let refunds: Vec<Value> = all("refunds")
                .into_iter()
                .filter(|it| it["payment_intent"] == intent.as_str())
                .collect();
            let ours = refunds
                .iter()
                .filter(|it| it["metadata"]["counterfoil_refund"].is_string());
            let done = self.deeds.iter().filter(|it| {
                let is_done = it.heard.as_ref().is_some_and(|(status, _)| *status < 300);
                it.thing == at && matches!(it.step, Step::Refund(..)) && is_done
            });
            assert_eq!(
                ours.count(),
                done.count(),
                "refunds of {known:?}: {refunds:?}",
                known = known.tag
            );
            let row: (i64, i64) = sqlx::query_as(
                "select captured_minor, refunded_minor from payments where merchant = 'acme' and intent = $1",
            )
            .bind(intent)
            .fetch_one(world.app().store().pool())
            .await
            .unwrap();
            let refunded: i64 = refunds
                .iter()
                .filter(|it| it["status"] == "succeeded")
                .map(|it| it["amount"].as_i64().unwrap())
                .sum();
            assert_eq!(
                row,
                (shown["amount_received"].as_i64().unwrap(), refunded),
                "{}",
                known.tag
            );
            assert!(refunded <= row.0);
            let thing = &model.things[at];
            if let (true, Kind::Payment(stage)) = (thing.certain, thing.kind) {
                use crate::model::Stage as S;
                let expected = match stage {
                    S::Paid { captured, refunded } => (captured, refunded),
                    _ => (0, 0),
                };
                assert_eq!(row, expected, "{}: {stage:?}", known.tag);
            }
        }
        self.orders_are_paid_once(world, model).await;
    }

    async fn orders_are_paid_once(&self, world: &World, model: &Model) {
        for (known, thing) in self.known.iter().zip(&model.things) {
            let paid: Vec<(String, i64)> = sqlx::query_as(
                "select o.status, (select count(*) from payments p where p.merchant = o.merchant and p.order_id = o.order_id
                     and p.captured_minor > 0) from orders o where merchant = 'acme' and reference like '%' || $1",
            )
            .bind(&known.tag)
            .fetch_all(world.app().store().pool())
            .await
            .unwrap();
            for (status, payments) in &paid {
                assert!(*payments <= 1, "{} was paid {payments} times", known.tag);
                assert_eq!(status == "paid", *payments == 1, "{}: {status}", known.tag);
            }
            let expected = match thing.kind {
                Kind::Order { paid, .. } | Kind::Checkout { paid } if thing.certain => Some(paid),
                _ => None,
            };
            if let (Some(expected), Some((status, _))) = (expected, paid.first()) {
                assert_eq!(status == "paid", expected, "{}", known.tag);
            }
        }
    }
}

/// What the payer has to do next is asked of Stripe whenever it is shown, and may be done by then.
fn without_next_action(mut answer: Value) -> Value {
    if let Some(fields) = answer.as_object_mut() {
        fields.remove("next_action");
    }
    answer
}

/// Whether a 409 tells how the thing stands, and not that another request with the key is running.
fn is_answer(answer: &Value) -> bool {
    let text = answer.to_string();
    !["idempot", "in progress", "still running", "in_use"]
        .iter()
        .any(|it| text.contains(it))
}

/// What Stripe failed at for good, and is known to have left undone.
fn is_failure_of_stripes(answer: &Value) -> bool {
    answer.to_string().contains("not_carried_out")
}

async fn at_stripe(world: &World, path: &str, body: &Value) {
    // The payer's own connection is as bad as ours: it is tried until something is answered.
    for nth in 0..20 {
        let key = format!("{path}-{body}-{nth}");
        let asked = world.stripe(Method::POST, path).json(body);
        let asked = asked.header("Idempotency-Key", &key[..key.len().min(200)]);
        let answer = asked.send().await;
        if answer.is_ok_and(|answer| answer.status().as_u16() < 429) {
            return;
        }
    }
}

async fn charge_of(world: &World, intent: Option<&str>) -> Option<String> {
    let state = world.sim(Method::GET, "state", None).await;
    let accounts = state.as_object()?;
    let mut charges = accounts
        .values()
        .flat_map(|it| it["charges"].as_array().unwrap());
    let charge =
        charges.find(|it| it["payment_intent"].as_str() == intent && it["captured"] == true)?;
    charge["id"].as_str().map(str::to_owned)
}

impl StateMachineTest for Protocol {
    type SystemUnderTest = Self;
    type Reference = Model;

    fn init_test(_: &Model) -> Self {
        let rig = rig();
        let case = rig.cases.fetch_add(1, Ordering::SeqCst);
        let mut world = rig.world();
        let it = Self {
            case,
            known: vec![],
            deeds: vec![],
            steps: 0,
        };
        // A case that failed may have left Stripe at its worst, or no service.
        rig.runtime.block_on(it.calm(&mut world));
        it
    }

    fn apply(mut state: Self, model: &Model, step: Step) -> Self {
        let rig = rig();
        let mut world = rig.world();
        rig.runtime.block_on(state.step(&mut world, model, &step));
        state
    }

    fn teardown(mut state: Self, model: Model) {
        let rig = rig();
        let mut world = rig.world();
        rig.runtime.block_on(async {
            state.calm(&mut world).await;
            state.everything_is_known(&world).await;
            state.calm(&mut world).await;
            state.deeds_are_effects(&world, &model).await;
        });
    }
}

fn number(name: &str, usual: u64) -> u64 {
    let given = std::env::var(name).ok();
    given.map_or(usual, |it| it.parse().expect("a number"))
}

#[test]
fn the_protocol_holds_whatever_stripe_does() {
    let cases = u32::try_from(number("CF_MACHINE_CASES", 12)).unwrap();
    let seed = number("CF_MACHINE_SEED", 1);
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let config = Config {
        cases,
        max_shrink_iters: 100,
        failure_persistence: None,
        ..Config::default()
    };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(config.clone(), rng);
    let steps = Model::sequential_strategy(6..20);
    let ran = runner.run(&steps, |(model, steps, seen)| {
        Protocol::test_sequential(config.clone(), model, steps, seen);
        Ok(())
    });
    if let Err(error) = ran {
        panic!("seed {seed}: {error}");
    }
    let rig = rig();
    let world = rig.world();
    rig.runtime.block_on(invariants::hold(&world));
}
