//! Cut off between intention and outcome: it is made once at Stripe, and whoever asks again under the same key is answered.

use crate::support::{Setup, World, until};
use crate::{
    Answer, CARD, Client, Form, SESSION, fault, path_of, pause_webhooks, text, world, world_with,
};
use counterfoil::gateway::GatewayOptions;
use reqwest::Method;
use serde_json::{Value, json};
use std::time::Duration;

/// What is asked of Stripe, and where one finds how often it was done.
struct Change<'a> {
    path: String,
    form: Vec<(&'a str, &'a str)>,
    /// A table of the simulator's, whose rows are counted.
    table: &'a str,
}

/// How often the change was made at Stripe.
async fn made(world: &World, table: &str) -> usize {
    let state = world
        .sim(Method::GET, "state?account=acct_acme", None)
        .await;
    let rows = state["acct_acme"][table].as_array().unwrap();
    match table {
        // Evidence is counted by the dispute itself.
        "disputes" => rows
            .iter()
            .filter_map(|it| it["evidence_details"]["submission_count"].as_u64())
            .filter_map(|count| usize::try_from(count).ok())
            .sum(),
        _ => rows.len(),
    }
}

/// Stripe's error for what is not known, with leave to ask again.
#[track_caller]
fn is_unknown(answer: &Answer) {
    assert_eq!(answer.status, 500, "{}", answer.text);
    assert_eq!(answer.body["error"]["type"], "api_error");
    assert_eq!(answer.header("stripe-should-retry"), Some("true"));
    let seconds: Option<u32> = answer.header("retry-after").and_then(|it| it.parse().ok());
    assert!(seconds.is_some_and(|it| it > 0), "{:?}", answer.headers);
}

/// No intention waits for its outcome any more, and no payment for the confirmation that it was made with.
async fn until_nothing_waits(world: &World) {
    until("every intention has its outcome", async || {
        let waiting: i64 = sqlx::query_scalar(
            "select (select count(*) from stripe_requests where pending_intention is not null)
                  + (select count(*) from payments
                     where pending_intention is not null or status = 'requires_confirmation')",
        )
        .fetch_one(world.app().store().pool())
        .await
        .unwrap();
        waiting == 0
    })
    .await;
}

/// Everything that is changed at Stripe in some way of its own.
fn changes<'a>(paid: &'a Value, dispute: &'a Value) -> [Change<'a>; 5] {
    let change = |path: &str, form: &[(&'a str, &'a str)], table| Change {
        path: path.to_owned(),
        form: form.to_vec(),
        table,
    };
    let confirmed = [
        ("amount", "1000"),
        ("currency", "usd"),
        ("payment_method", "pm_card_visa"),
        ("confirm", "true"),
    ];
    let refund = [("payment_intent", text(paid, "id")), ("amount", "100")];
    [
        change("/v1/customers", &[("name", "Ada")], "customers"),
        change("/v1/checkout/sessions", &SESSION, "checkout_sessions"),
        change(
            &path_of("disputes", dispute),
            &[("evidence[uncategorized_text]", "winning_evidence")],
            "disputes",
        ),
        change("/v1/payment_intents", &confirmed, "charges"),
        change("/v1/refunds", &refund, "refunds"),
    ]
}

/// A dispute of a payment that succeeded.
async fn disputed(world: &World, door: Client<'_>) -> Value {
    let paid = door.paid("pm_card_visa").await;
    let charge = json!({"charge": paid["latest_charge"]});
    world.sim(Method::POST, "disputes", Some(charge)).await
}

/// Planted bug: asking again under another key.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_cut_off_is_made_once_and_answered_after_a_restart() {
    for kind in ["drop_before", "drop_after"] {
        let mut world = world().await;
        // Nothing but recovery goes on with it.
        pause_webhooks(&world).await;
        let door = Client::new(&world);
        let (paid, dispute) = (
            door.paid("pm_card_visa").await,
            disputed(&world, door).await,
        );
        let mut before = Vec::new();
        for it in changes(&paid, &dispute) {
            before.push(made(&world, it.table).await);
            fault(&world, kind, Method::POST, &it.path).await;
            is_unknown(&door.post_as(&it.path, &it.path, &it.form).await);
        }
        world.restart(Setup::default()).await;
        until_nothing_waits(&world).await;
        let door = Client::new(&world);
        for (it, before) in changes(&paid, &dispute).into_iter().zip(before) {
            let cell = format!("{} after {kind}", it.path);
            assert_eq!(made(&world, it.table).await, before + 1, "{cell}");
            let answer = door.post_as(&it.path, &it.path, &it.form).await;
            assert_eq!(answer.status, 200, "{cell}: {}", answer.text);
            let replayed = answer.header("idempotent-replayed");
            assert_eq!(replayed, Some("true"), "{cell}");
            let again = door.post_as(&it.path, &it.path, &it.form).await;
            assert_eq!(again.text, answer.text, "{cell}");
            assert_eq!(made(&world, it.table).await, before + 1, "{cell}");
        }
        world.stop_audited().await;
    }
}

/// Planted bug: asking again under another key.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_asks_again_under_the_key_goes_on_with_what_was_cut_off() {
    for kind in ["drop_before", "drop_after"] {
        let world = world().await;
        let door = Client::new(&world);
        let (paid, dispute) = (
            door.paid("pm_card_visa").await,
            disputed(&world, door).await,
        );
        for it in changes(&paid, &dispute) {
            let cell = format!("{} after {kind}", it.path);
            let before = made(&world, it.table).await;
            fault(&world, kind, Method::POST, &it.path).await;
            is_unknown(&door.post_as(&it.path, &it.path, &it.form).await);
            let answer = door.post_as(&it.path, &it.path, &it.form).await;
            assert_eq!(answer.status, 200, "{cell}: {}", answer.text);
            assert_eq!(made(&world, it.table).await, before + 1, "{cell}");
        }
        world.stop_audited().await;
    }
}

/// Planted bug: asking again under another key.
#[tokio::test(flavor = "multi_thread")]
async fn a_time_out_is_no_outcome() {
    let gateway = GatewayOptions {
        timeout: Duration::from_millis(200),
        ..Setup::default().gateway
    };
    let mut world = world_with(Setup {
        gateway,
        ..Setup::default()
    })
    .await;
    let form: Form<'_> = &[("name", "Ada")];
    fault(&world, "hold_after", Method::POST, "/v1/customers").await;
    let silent = Client::new(&world)
        .post_as("ada", "/v1/customers", form)
        .await;
    is_unknown(&silent);
    world.sim(Method::POST, "faults/release", None).await;
    world.wait_until_held(0).await;
    world.restart(Setup::default()).await;
    until_nothing_waits(&world).await;
    let answer = Client::new(&world)
        .post_as("ada", "/v1/customers", form)
        .await;
    assert_eq!(text(&answer.ok(), "name"), "Ada");
    assert_eq!(made(&world, "customers").await, 1);
    world.stop_audited().await;
}

/// A payment method moves no money and may hold a raw card: it is sent once, and Stripe's own key makes a repeat harmless.
#[tokio::test(flavor = "multi_thread")]
async fn a_payment_method_that_was_cut_off_is_made_once() {
    let world = world().await;
    let door = Client::new(&world);
    fault(&world, "drop_after", Method::POST, "/v1/payment_methods").await;
    is_unknown(&door.post_as("card", "/v1/payment_methods", &CARD).await);
    let made_then = made(&world, "payment_methods").await;
    let answer = door.post_as("card", "/v1/payment_methods", &CARD).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(made(&world, "payment_methods").await, made_then);
    world.stop_audited().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_that_stripe_does_not_answer_may_be_asked_again() {
    let world = world().await;
    let door = Client::new(&world);
    for path in ["/v1/balance", "/v1/customers", "/v1/payment_intents"] {
        fault(&world, "drop_before", Method::GET, path).await;
        is_unknown(&door.get(path).await);
        assert_eq!(door.get(path).await.status, 200);
    }
    world.stop_audited().await;
}

/// Planted bug: intending the confirmation only where the caller's own request brings the outcome of the create. A webhook
/// brings it here, and nobody asks again.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_to_be_confirmed_is_confirmed_although_a_webhook_told_of_the_create_first() {
    let mut world = world().await;
    let form = [
        ("amount", "1000"),
        ("currency", "usd"),
        ("payment_method", "pm_card_visa"),
        ("confirm", "true"),
    ];
    fault(&world, "drop_after", Method::POST, "/v1/payment_intents").await;
    let door = Client::new(&world);
    is_unknown(&door.post_as("once", "/v1/payment_intents", &form).await);
    until("the webhook told of the create", async || {
        world.history("acme").await.iter().any(|it| it == "Created")
    })
    .await;
    world.restart(Setup::default()).await;
    until("the charge is made", async || {
        made(&world, "charges").await == 1
    })
    .await;
    until_nothing_waits(&world).await;
    world.stop_audited().await;
}
