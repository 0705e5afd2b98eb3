//! Many at once, and against one another: one outcome, the same here, at Stripe and in the ledger.

use crate::support::World;
use crate::{Answer, Client, Form, at_stripe, fault, path_of, row, text, world};
use futures::future::join_all;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use reqwest::Method;
use serde_json::{Value, json};

/// How many times a race is run, each time with other delays at Stripe.
const ROUNDS: u64 = 24;

/// Lets Stripe take its time over the next requests, differently in each round.
async fn uneven_stripe(world: &World, round: u64) {
    let mut random = StdRng::seed_from_u64(round);
    for _ in 0..2 {
        let delay = format!("latency_ms:{}", random.random_range(0..12));
        fault(world, &delay, Method::POST, "/v1/payment_intents/").await;
    }
}

async fn no_more_faults(world: &World) {
    world.sim(Method::DELETE, "faults", None).await;
}

/// Posts both at once; which goes first depends on the round.
async fn race(
    door: Client<'_>,
    round: u64,
    (one, one_form): (&str, Form<'_>),
    (other, other_form): (&str, Form<'_>),
) -> (Answer, Answer) {
    if round.is_multiple_of(2) {
        tokio::join!(door.post(one, one_form), door.post(other, other_form))
    } else {
        let (other, one) = tokio::join!(door.post(other, other_form), door.post(one, one_form));
        (one, other)
    }
}

/// An intent with further parameters, and its path.
async fn made(door: Client<'_>, further: Form<'_>) -> (String, String) {
    let intent = door.intent(further).await.ok();
    (
        text(&intent, "id").to_owned(),
        path_of("payment_intents", &intent),
    )
}

/// Checks that the intent is in one and the same state everywhere, and answers that state.
async fn agreed(world: &World, id: &str) -> String {
    let here = Client::new(world)
        .get(&format!("/v1/payment_intents/{id}"))
        .await
        .ok();
    let there = at_stripe(world, id).await;
    let (state, amount, captured, refunded) = row(world, id).await.unwrap();
    assert_eq!(text(&here, "status"), text(&there, "status"));
    assert_eq!(state, text(&there, "status"));
    assert_eq!(there["amount"], amount);
    assert_eq!(there["amount_received"], captured);
    assert_eq!(refunded, 0);
    state
}

const UNEXPECTED: (u16, &str, &str) = (400, "payment_intent_unexpected_state", "");

/// Planted bug: judging refunds by what has succeeded, without those under way, asks Stripe for more than twenty.
#[tokio::test(flavor = "multi_thread")]
async fn of_100_refunds_of_100_on_2000_exactly_20_succeed() {
    let world = world().await;
    let door = Client::new(&world);
    let form = [
        ("amount", "2000"),
        ("currency", "usd"),
        ("payment_method", "pm_card_visa"),
        ("confirm", "true"),
    ];
    let paid = door.post("/v1/payment_intents", &form).await.ok();
    let id = text(&paid, "id");
    let refund = [("payment_intent", id), ("amount", "100")];
    let answers = join_all((0..100).map(|_| door.post("/v1/refunds", &refund))).await;
    let (made, refused): (Vec<Answer>, Vec<Answer>) =
        answers.into_iter().partition(|it| it.status == 200);
    assert_eq!((made.len(), refused.len()), (20, 80));
    for it in &refused {
        assert_eq!(
            it.error(),
            (400, "charge_already_refunded", ""),
            "{}",
            it.text
        );
    }
    let mut ids: Vec<&str> = made.iter().map(|it| text(&it.body, "id")).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 20);

    let path = format!("/v1/refunds?payment_intent={id}&limit=100");
    for client in [door, Client::at_stripe(&world)] {
        let list = client.get(&path).await.ok();
        let list = list["data"].as_array().unwrap();
        let sum: i64 = list.iter().map(|it| it["amount"].as_i64().unwrap()).sum();
        assert_eq!((list.len(), sum), (20, 2000));
    }
    let charge = door
        .get(&format!("/v1/charges/{}", text(&paid, "latest_charge")))
        .await
        .ok();
    assert_eq!(
        (&charge["amount_refunded"], &charge["refunded"]),
        (&json!(2000), &json!(true))
    );
    let expected = ("succeeded".to_owned(), 2000, 2000, 2000);
    assert_eq!(row(&world, id).await, Some(expected));
    assert_eq!(world.balances("acme", "usd").await, []);
    let history = world.history("acme").await;
    let asked = history.iter().filter(|it| *it == "RefundRequested").count();
    assert_eq!(asked, 20);
    world.stop_audited().await;
}

/// Planted bug: driving without the lock.
#[tokio::test(flavor = "multi_thread")]
async fn confirm_racing_cancel_leaves_one_terminal_state() {
    let world = world().await;
    let door = Client::new(&world);
    for round in 0..ROUNDS {
        let (id, path) = made(door, &[("payment_method", "pm_card_visa")]).await;
        uneven_stripe(&world, round).await;
        let (confirm, cancel) = (format!("{path}/confirm"), format!("{path}/cancel"));
        let (confirmed, cancelled) = race(door, round, (&confirm, &[]), (&cancel, &[])).await;
        no_more_faults(&world).await;
        let state = agreed(&world, &id).await;
        let (won, lost) = match state.as_str() {
            "succeeded" => (confirmed, cancelled),
            "canceled" => (cancelled, confirmed),
            other => panic!("round {round}: {other}"),
        };
        assert_eq!(text(&won.ok(), "status"), state, "round {round}");
        assert_eq!(lost.error(), UNEXPECTED, "round {round}");
        assert_eq!(lost.body["error"]["payment_intent"]["status"], state);
    }
    world.stop_audited().await;
}

/// Planted bug: driving without the lock.
#[tokio::test(flavor = "multi_thread")]
async fn capture_racing_capture_takes_the_money_once() {
    let world = world().await;
    let door = Client::new(&world);
    for round in 0..ROUNDS {
        let (id, path) = held(door).await;
        uneven_stripe(&world, round).await;
        let capture = format!("{path}/capture");
        let form: Form<'_> = &[("amount_to_capture", "600")];
        let (one, other) = race(door, round, (&capture, form), (&capture, &[])).await;
        no_more_faults(&world).await;
        assert_eq!(agreed(&world, &id).await, "succeeded");
        let received = at_stripe(&world, &id).await["amount_received"].clone();
        let (won, lost, expected) = match one.status {
            200 => (one, other, 600),
            _ => (other, one, 1000),
        };
        assert_eq!(
            (won.ok()["amount_received"].clone(), received),
            (json!(expected), json!(expected))
        );
        assert_eq!(lost.error(), UNEXPECTED, "round {round}");
    }
    world.stop_audited().await;
}

/// Planted bug: driving without the lock.
#[tokio::test(flavor = "multi_thread")]
async fn capture_racing_cancel_leaves_one_terminal_state() {
    let world = world().await;
    let door = Client::new(&world);
    for round in 0..ROUNDS {
        let (id, path) = held(door).await;
        uneven_stripe(&world, round).await;
        let (capture, cancel) = (format!("{path}/capture"), format!("{path}/cancel"));
        let (captured, cancelled) = race(door, round, (&capture, &[]), (&cancel, &[])).await;
        no_more_faults(&world).await;
        let state = agreed(&world, &id).await;
        let (won, lost) = match state.as_str() {
            "succeeded" => (captured, cancelled),
            "canceled" => (cancelled, captured),
            other => panic!("round {round}: {other}"),
        };
        assert_eq!(text(&won.ok(), "status"), state, "round {round}");
        assert_eq!(lost.error(), UNEXPECTED, "round {round}");
    }
    world.stop_audited().await;
}

/// Planted bug: driving without the lock.
#[tokio::test(flavor = "multi_thread")]
async fn update_racing_confirm_takes_the_old_price_or_the_new_and_says_which() {
    let world = world().await;
    let door = Client::new(&world);
    for round in 0..ROUNDS {
        let (id, path) = made(door, &[("payment_method", "pm_card_visa")]).await;
        uneven_stripe(&world, round).await;
        let confirm = format!("{path}/confirm");
        let price: Form<'_> = &[("amount", "1500")];
        let (updated, confirmed) = race(door, round, (&path, price), (&confirm, &[])).await;
        no_more_faults(&world).await;
        assert_eq!(agreed(&world, &id).await, "succeeded", "round {round}");
        let confirmed = confirmed.ok();
        let received = match updated.status {
            200 => 1500,
            _ => {
                let late = (400, "payment_intent_unexpected_state", "amount");
                assert_eq!(updated.error(), late, "round {round}");
                1000
            }
        };
        assert_eq!(confirmed["amount_received"], received, "round {round}");
    }
    world.stop_audited().await;
}

/// Planted bug: driving without the lock.
#[tokio::test(flavor = "multi_thread")]
async fn twenty_creates_under_one_key_make_one_and_answer_the_same() {
    let world = world().await;
    let door = Client::new(&world);
    fault(&world, "latency_ms:200", Method::POST, "/v1/").await;
    let form = [
        ("amount", "1000"),
        ("currency", "usd"),
        ("payment_method", "pm_card_visa"),
        ("confirm", "true"),
    ];
    let create = || door.post_as("twenty", "/v1/payment_intents", &form);
    let intents = join_all((0..20).map(|_| create())).await;
    once_and_the_same(&intents);
    let list = Client::at_stripe(&world).get("/v1/charges").await.ok();
    assert_eq!(list["data"].as_array().unwrap().len(), 1);

    let intent = text(&intents[0].body, "id");
    let refund = [("payment_intent", intent), ("amount", "100")];
    let give_back = || door.post_as("back", "/v1/refunds", &refund);
    let refunds = join_all((0..20).map(|_| give_back())).await;
    once_and_the_same(&refunds);
    assert_eq!(row(&world, intent).await.unwrap().3, 100);

    fault(&world, "latency_ms:200", Method::POST, "/v1/").await;
    let customer = [("email", "ada@example.com")];
    let make = || door.post_as("ada", "/v1/customers", &customer);
    let customers = join_all((0..20).map(|_| make())).await;
    once_and_the_same(&customers);
    let list = Client::at_stripe(&world).get("/v1/customers").await.ok();
    assert_eq!(list["data"].as_array().unwrap().len(), 1);
    world.stop_audited().await;
}

/// All have the same 200, and all but one say that it is a repeat.
fn once_and_the_same(answers: &[Answer]) {
    let first = &answers[0];
    for it in answers {
        assert_eq!((it.status, &it.text), (200, &first.text));
    }
    let replayed = answers
        .iter()
        .filter(|it| it.header("idempotent-replayed") == Some("true"));
    assert_eq!(replayed.count(), answers.len() - 1);
}

/// A payment whose money is held, and its path.
async fn held(door: Client<'_>) -> (String, String) {
    let form = [
        ("payment_method", "pm_card_visa"),
        ("confirm", "true"),
        ("capture_method", "manual"),
    ];
    let (id, path) = made(door, &form).await;
    let now: Value = door.get(&path).await.ok();
    assert_eq!(text(&now, "status"), "requires_capture");
    (id, path)
}
