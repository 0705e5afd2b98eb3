//! A key makes a request happen once: the same answer again, to the byte, whatever has happened since.

use crate::support::Setup;
use crate::{
    Answer, CARD, Client, Form, SESSION, at_stripe, fault, path_of, row, text, world, world_with,
};
use counterfoil::use_cases::Options;
use reqwest::Method;
use serde_json::{Value, json};
use std::time::Duration;

const VISA: (&str, &str) = ("payment_method", "pm_card_visa");
const CONFIRM: (&str, &str) = ("confirm", "true");
const MANUAL: (&str, &str) = ("capture_method", "manual");
/// A request under a key, and what may happen between it and its repeat.
struct Case {
    name: &'static str,
    path: String,
    form: Vec<(&'static str, String)>,
    status: u16,
    /// Posted between the two, to move the object on. `{}` in the path is the id that was answered.
    then: Option<(String, Vec<(&'static str, String)>)>,
}

impl Case {
    fn new(name: &'static str, path: &str, form: &[(&'static str, &str)]) -> Self {
        Self {
            name,
            path: path.to_owned(),
            form: owned(form),
            status: 200,
            then: None,
        }
    }

    fn refused(self, status: u16) -> Self {
        Self { status, ..self }
    }

    fn then(self, path: &str, form: &[(&'static str, &str)]) -> Self {
        let then = Some((path.to_owned(), owned(form)));
        Self { then, ..self }
    }

    async fn check(&self, door: Client<'_>) -> Answer {
        let form = borrowed(&self.form);
        let first = door.post_as(self.name, &self.path, &form).await;
        assert_eq!(first.status, self.status, "{}: {}", self.name, first.text);
        assert_eq!(first.header("idempotent-replayed"), None, "{}", self.name);
        let body = &first.body;
        let intent = &body["error"]["payment_intent"]["id"];
        let id = body["id"].as_str().or(intent.as_str()).unwrap_or_default();
        if let Some((path, form)) = &self.then {
            let path = path.replace("{}", id);
            door.post(&path, &borrowed(form)).await.ok();
        }
        let again = door.post_as(self.name, &self.path, &form).await;
        repeats(&again, &first, self.name);
        first
    }
}

fn owned(form: &[(&'static str, &str)]) -> Vec<(&'static str, String)> {
    let pairs = form
        .iter()
        .map(|(name, value)| (*name, (*value).to_owned()));
    pairs.collect()
}

fn borrowed<'f>(form: &'f [(&'static str, String)]) -> Vec<(&'f str, &'f str)> {
    let pairs = form.iter().map(|(name, value)| (*name, value.as_str()));
    pairs.collect()
}

/// The same status and the same bytes, and the header that says so.
#[track_caller]
fn repeats(again: &Answer, first: &Answer, what: &str) {
    assert_eq!(
        (again.status, &again.text),
        (first.status, &first.text),
        "{what}"
    );
    assert_eq!(again.header("idempotent-replayed"), Some("true"), "{what}");
}

async fn held(door: Client<'_>) -> Value {
    door.intent(&[VISA, CONFIRM, MANUAL]).await.ok()
}

/// Planted bug: answering from the state as it is now.
#[tokio::test(flavor = "multi_thread")]
async fn a_repeat_of_a_step_of_a_payment_is_its_first_answer_to_the_byte() {
    let world = world().await;
    let door = Client::new(&world);
    let amount = ("amount", "1000");
    let usd = ("currency", "usd");
    let ready = text(&door.intent(&[VISA]).await.ok(), "id").to_owned();
    let declined = text(
        &door
            .intent(&[("payment_method", "pm_card_chargeDeclined")])
            .await
            .ok(),
        "id",
    )
    .to_owned();
    let held_one = text(&held(door).await, "id").to_owned();
    let open = text(&door.intent(&[]).await.ok(), "id").to_owned();
    let paid = text(&door.paid("pm_card_visa").await, "id").to_owned();
    let note = [("metadata[since]", "yes")];
    let of = |id: &str, verb: &str| format!("/v1/payment_intents/{id}{verb}");
    let cases = [
        Case::new("create", "/v1/payment_intents", &[amount, usd, VISA])
            .then("/v1/payment_intents/{}/confirm", &[]),
        Case::new("pay", "/v1/payment_intents", &[amount, usd, VISA, CONFIRM])
            .then("/v1/payment_intents/{}", &note),
        Case::new(
            "decline",
            "/v1/payment_intents",
            &[
                amount,
                usd,
                ("payment_method", "pm_card_chargeDeclined"),
                CONFIRM,
            ],
        )
        .refused(402)
        .then("/v1/payment_intents/{}/confirm", &[VISA]),
        Case::new(
            "authenticate",
            "/v1/payment_intents",
            &[
                amount,
                usd,
                ("payment_method", "pm_card_authenticationRequired"),
                CONFIRM,
            ],
        ),
        Case::new(
            "update",
            &of(&open, ""),
            &[("amount", "1500"), ("metadata[a]", "b")],
        )
        .then("/v1/payment_intents/{}/cancel", &[]),
        Case::new("confirm", &of(&ready, "/confirm"), &[]).then("/v1/payment_intents/{}", &note),
        Case::new("confirm, declined", &of(&declined, "/confirm"), &[])
            .refused(402)
            .then("/v1/payment_intents/{}/confirm", &[VISA]),
        Case::new(
            "capture",
            &of(&held_one, "/capture"),
            &[("amount_to_capture", "400")],
        )
        .then("/v1/payment_intents/{}", &note),
        Case::new("cancel", &of(text(&held(door).await, "id"), "/cancel"), &[]),
        Case::new(
            "cancel, expanded",
            &of(text(&held(door).await, "id"), "/cancel"),
            &[("expand[]", "latest_charge")],
        ),
        Case::new(
            "create, expanded",
            "/v1/payment_intents",
            &[amount, usd, VISA, CONFIRM, ("expand[]", "latest_charge")],
        )
        .then("/v1/payment_intents/{}", &note),
        Case::new(
            "refund",
            "/v1/refunds",
            &[("payment_intent", &paid), ("amount", "100")],
        )
        .then("/v1/refunds", &[("payment_intent", &paid)]),
        Case::new(
            "refund, expanded",
            "/v1/refunds",
            &[
                ("payment_intent", &held_one),
                ("expand[]", "charge"),
                ("expand[]", "payment_intent"),
            ],
        ),
    ];
    for case in cases {
        let first = case.check(door).await;
        let intent = match first.status {
            402 => &first.body["error"]["payment_intent"],
            _ => &first.body,
        };
        if intent["object"] == "payment_intent" {
            let there = at_stripe(&world, text(intent, "id")).await;
            assert_eq!(
                intent["client_secret"], there["client_secret"],
                "{}",
                case.name
            );
            assert!(intent["client_secret"].is_string());
        }
    }
    world.stop_audited().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeat_of_anything_else_is_its_first_answer_to_the_byte() {
    let world = world().await;
    let door = Client::new(&world);
    let ada = door.post("/v1/customers", &[("name", "Ada")]).await.ok();
    let ada_path = path_of("customers", &ada);
    let method = door.post("/v1/payment_methods", &CARD).await.ok();
    let paid = door.paid("pm_card_visa").await;
    let charge = format!("/v1/charges/{}", text(&paid, "latest_charge"));
    let refund = [("payment_intent", text(&paid, "id")), ("amount", "100")];
    let refund = door.post("/v1/refunds", &refund).await.ok();
    let session = door.post("/v1/checkout/sessions", &SESSION).await.ok();
    let expire = format!("{}/expire", path_of("checkout/sessions", &session));
    let attach = format!("{}/attach", path_of("payment_methods", &method));
    let note = [("metadata[since]", "yes")];
    let cases = [
        Case::new("customer", "/v1/customers", &[("email", "ada@example.com")])
            .then("/v1/customers/{}", &note),
        Case::new("rename", &ada_path, &[("name", "Ada L.")])
            .then(&ada_path, &[("name", "Lady L.")]),
        Case::new("method", "/v1/payment_methods", &CARD),
        Case::new("attach", &attach, &[("customer", text(&ada, "id"))])
            .then("/v1/payment_methods/{}", &note),
        Case::new("annotate", &charge, &[("description", "tea")])
            .then(&charge, &[("description", "coffee")]),
        Case::new(
            "mark",
            &path_of("refunds", &refund),
            &[("metadata[a]", "b")],
        )
        .then("/v1/refunds/{}", &note),
        Case::new("session", "/v1/checkout/sessions", &SESSION)
            .then("/v1/checkout/sessions/{}/expire", &[]),
        Case::new("expire", &expire, &[]),
    ];
    for case in cases {
        let first = case.check(door).await;
        if case.name == "session" {
            let path = path_of("checkout/sessions", &first.body);
            let there = Client::at_stripe(&world).get(&path).await.ok();
            assert!(text(&first.body, "client_secret").contains("_secret_"));
            assert_eq!(first.body["client_secret"], there["client_secret"]);
        }
    }
    let customers = Client::at_stripe(&world).get("/v1/customers").await.ok();
    assert_eq!(customers["data"].as_array().unwrap().len(), 2);

    let deleting = || {
        door.request(Method::DELETE, &ada_path)
            .header("Idempotency-Key", "gone")
    };
    let first = door.send(deleting()).await;
    assert_eq!((first.status, &first.body["deleted"]), (200, &json!(true)));
    repeats(&door.send(deleting()).await, &first, "delete");
    world.stop_audited().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_with_other_parameters_is_refused_and_does_nothing() {
    let world = world().await;
    let door = Client::new(&world);
    let paid = door.paid("pm_card_visa").await;
    let id = text(&paid, "id");
    let requests: [(&str, Form<'_>, &str, Form<'_>); 5] = [
        (
            "/v1/payment_intents",
            &[("amount", "1000"), ("currency", "usd")],
            "/v1/payment_intents",
            &[("amount", "1001"), ("currency", "usd")],
        ),
        (
            "/v1/refunds",
            &[("payment_intent", id), ("amount", "100")],
            "/v1/refunds",
            &[("payment_intent", id), ("amount", "101")],
        ),
        (
            "/v1/customers",
            &[("name", "Ada")],
            "/v1/customers",
            &[("name", "Bob")],
        ),
        (
            "/v1/checkout/sessions",
            &SESSION,
            "/v1/checkout/sessions",
            &SESSION[..5],
        ),
        (
            "/v1/payment_intents",
            &[("amount", "1000"), ("currency", "usd")],
            "/v1/customers",
            &[],
        ),
    ];
    for (number, (path, form, other_path, other_form)) in requests.into_iter().enumerate() {
        let key = format!("key {number}");
        let first = door.post_as(&key, path, form).await;
        assert_eq!(first.status, 200, "{path}: {}", first.text);
        let events = world.events().await;
        let refused = door.post_as(&key, other_path, other_form).await;
        assert_eq!(refused.status, 400, "{other_path}: {}", refused.text);
        assert_eq!(refused.body["error"]["type"], "idempotency_error");
        assert_eq!(refused.header("idempotent-replayed"), None);
        let recorded: i64 = sqlx::query_scalar(
            "select count(*) from events where position > $1 and event_type like '%Requested'",
        )
        .bind(events)
        .fetch_one(world.app().store().pool())
        .await
        .unwrap();
        assert_eq!(recorded, 0, "{other_path}");
    }
    world.stop_audited().await;
}

/// Planted bug: driving without the lock asks Stripe a second time.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_whose_request_still_runs_is_in_use() {
    let world = world_with(Setup {
        options: Options {
            join_within: Duration::from_millis(50),
            ..Setup::default().options
        },
        ..Setup::default()
    })
    .await;
    let door = Client::new(&world);
    let paid = door.paid("pm_card_visa").await;
    let requests: [(&str, Form<'_>); 4] = [
        (
            "/v1/payment_intents",
            &[("amount", "1000"), ("currency", "usd")],
        ),
        (
            "/v1/refunds",
            &[("payment_intent", text(&paid, "id")), ("amount", "100")],
        ),
        ("/v1/customers", &[("name", "Ada")]),
        ("/v1/checkout/sessions", &SESSION),
    ];
    for (path, form) in requests {
        fault(&world, "hold_before", Method::POST, path).await;
        let (first, second) = tokio::join!(door.post_as(path, path, form), async {
            world.wait_until_held(1).await;
            let second = door.post_as(path, path, form).await;
            world.sim(Method::POST, "faults/release", None).await;
            second
        });
        assert_eq!(
            second.error(),
            (409, "idempotency_key_in_use", ""),
            "{path}: {}",
            second.text
        );
        assert!(second.header("retry-after").is_some());
        assert_eq!(first.status, 200, "{path}: {}", first.text);
        repeats(&door.post_as(path, path, form).await, &first, path);
    }
    world.stop_audited().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_was_refused_before_anything_was_done_leaves_its_key_free() {
    let world = world().await;
    let door = Client::new(&world);
    let open = path_of("payment_intents", &door.intent(&[]).await.ok());
    let usd = ("currency", "usd");
    let requests: [(&str, Form<'_>, Form<'_>); 5] = [
        (
            "/v1/payment_intents",
            &[("amount", "49"), usd],
            &[("amount", "50"), usd],
        ),
        ("/v1/payment_intents", &[usd], &[("amount", "50"), usd]),
        (
            "/v1/payment_intents",
            &[("amount", "50"), usd, ("colour", "red")],
            &[("amount", "50"), usd],
        ),
        (&open, &[("amount", "49")], &[("amount", "50")]),
        (
            "/v1/customers",
            &[("description", "4242424242424242")],
            &[("description", "tea")],
        ),
    ];
    for (number, (path, wrong, right)) in requests.into_iter().enumerate() {
        let key = format!("key {number}");
        for _ in 0..2 {
            let refused = door.post_as(&key, path, wrong).await;
            assert_eq!(refused.status, 400, "{path}: {}", refused.text);
            assert_eq!(refused.header("idempotent-replayed"), None);
        }
        let done = door.post_as(&key, path, right).await;
        assert_eq!(done.status, 200, "{path}: {}", done.text);
        assert_eq!(done.header("idempotent-replayed"), None);
    }
    world.stop_audited().await;
}

/// What Stripe itself finds wrong with a request is found before anything is done, as well.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_stripe_found_malformed_leaves_its_key_free() {
    let world = world().await;
    let door = Client::new(&world);
    let at_stripe = Client::at_stripe(&world);
    let wrong = [("email", "nobody")];
    let right = [("email", "ada@example.com")];
    for client in [at_stripe, door] {
        let refused = client.post_as("ada", "/v1/customers", &wrong).await;
        assert_eq!(refused.error(), (400, "email_invalid", "email"));
        let done = client.post_as("ada", "/v1/customers", &right).await;
        assert_eq!(done.status, 200, "{}", done.text);
        let again = client.post_as("ada", "/v1/customers", &right).await;
        repeats(&again, &done, "a request that was put right");
    }
    world.stop_audited().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_has_255_characters_at_most() {
    let world = world().await;
    let door = Client::new(&world);
    let before = world.events().await;
    for path in [
        "/v1/payment_intents",
        "/v1/customers",
        "/v1/payment_methods",
        "/v1/refunds",
    ] {
        for key in ["k".repeat(256), String::new()] {
            let refused = door.post_as(&key, path, &[]).await;
            assert_eq!(refused.status, 400, "{path}");
            let said = text(&refused.body["error"], "message");
            assert!(said.contains("255"), "{said}");
        }
    }
    assert_eq!(world.events().await, before);
    let key = "k".repeat(255);
    let made = door.post_as(&key, "/v1/customers", &[]).await;
    let again = door.post_as(&key, "/v1/customers", &[]).await;
    repeats(&again, &made, "255");
    world.stop_audited().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_one_merchants_own() {
    let world = world().await;
    let (acme, rival) = (
        Client::new(&world),
        Client::with_key(&world, "sk_test_rival"),
    );
    let form = [("amount", "1000"), ("currency", "usd")];
    let one = acme.post_as("k", "/v1/payment_intents", &form).await;
    let other = rival.post_as("k", "/v1/payment_intents", &form).await;
    assert_eq!((one.status, other.status), (200, 200));
    assert_eq!(other.header("idempotent-replayed"), None);
    assert_ne!(one.body["id"], other.body["id"]);
    assert!(row(&world, text(&other.body, "id")).await.is_some());
    world.stop_audited().await;
}
