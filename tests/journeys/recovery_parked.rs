//! What nobody could find out by its deadline waits for people: shown, settled by one, approved by another.

use crate::recovery::{FORM, at_once, fault, names, quiet_world, recover, with, work};
use crate::support::{World, card_payment, checkout, seal_key, send, until};
use aggregates::ids::IntentionId;
use aggregates::metadata::Actor;
use counterfoil::ops::fixtures;
use counterfoil::use_cases::{ByHand, Parked, Recovery, SettleError, Settler};
use reqwest::RequestBuilder;
use serde_json::{Value, json};
use std::process::Command;
use std::time::Duration;

/// Past every deadline: nothing is sent again, and what is not found out at once is parked.
fn too_late() -> Recovery {
    Recovery {
        park_after: Duration::ZERO,
        certain_for: Duration::ZERO,
        ..at_once()
    }
}

fn person(name: &str) -> Settler {
    Settler {
        merchant: None,
        actor: Actor {
            name: name.to_owned(),
            key_id: None,
            door: "cli".to_owned(),
        },
        key: None,
    }
}

async fn only_parked(world: &World) -> Parked {
    let mut parked = world.app().parked(None, false).await.unwrap();
    assert_eq!(parked.len(), 1, "{parked:?}");
    parked.pop().unwrap()
}

/// A held payment of 20.00 whose capture met the fault and then its deadline, and its intent.
pub async fn parked_capture(world: &mut World, kind: &str) -> (String, IntentionId) {
    let mut body = card_payment(2000, "usd", "4242424242424242");
    body["capture_method"] = json!("manual");
    let (_, held) = send(world.pay("/v1/payment_intents", body)).await;
    let intent = held["id"].as_str().unwrap().to_owned();
    let path = format!("/v1/payment_intents/{intent}");
    let capture = format!("{path}/capture");
    fault(world, kind, "POST", &capture, 1).await;
    let captured = send(world.pay(&capture, json!({}))).await;
    assert_eq!(captured.0, 500, "{captured:?}");
    fault(world, "drop_before", "GET", &path, 1).await;
    world.restart(with(too_late())).await;
    let parked = until_parked(world).await;
    assert_eq!(
        (parked.what.as_str(), parked.kind.as_str()),
        ("capture", "payment")
    );
    (intent, IntentionId::from_uuid(parked.intention))
}

/// Two people settle it as having happened.
pub async fn settle(world: &World, intention: IntentionId, stripe_id: &str) {
    let (app, because) = (world.app(), "seen in Stripe's dashboard".to_owned());
    app.propose_settlement(person("anna"), intention, happened(stripe_id), because)
        .await
        .unwrap();
    app.approve_settlement(person("ben"), intention)
        .await
        .unwrap();
}

async fn until_parked(world: &World) -> Parked {
    until("it is parked, and its lease given back", async || {
        let parked = names(world, "IntentionParked").await == 1;
        parked && work(world).await.iter().all(|(attempts, _)| *attempts > 0)
    })
    .await;
    only_parked(world).await
}

fn happened(stripe_id: &str) -> ByHand {
    ByHand::Happened {
        stripe_id: stripe_id.to_owned(),
    }
}

/// Planted bug: parking nothing leaves an intention open for ever, and nobody is told.
#[tokio::test(flavor = "multi_thread")]
async fn past_its_deadline_an_intention_is_shown_to_people_and_reads_as_processing() {
    let mut world = quiet_world(at_once()).await;
    let (intent, intention) = parked_capture(&mut world, "drop_before").await;
    assert_eq!(names(&world, "IntentionParked").await, 1);
    let shown = world.app().parked_one(None, intention).await.unwrap();
    assert!(shown.reason.contains("broke"), "{shown:?}");
    let rival = "rival".parse().unwrap();
    assert!(
        world
            .app()
            .parked_one(Some(&rival), intention)
            .await
            .is_err()
    );

    let path = format!("/v1/payment_intents/{intent}");
    let read = |request: reqwest::RequestBuilder| send(request.bearer_auth("sk_test_acme"));
    let (_, seed) = read(world.get(&path)).await;
    assert_eq!(seed["status"], "processing");
    let stripes = world.get(&path).header("Stripe-Version", "2023-08-16");
    let ours = world.get(&format!("/ledger/v1/payments/{intent}"));
    let (_, ours) = send(ours.bearer_auth("admin-acme")).await;
    assert_eq!(ours["outcome_unknown"], true);
    let due: chrono::DateTime<chrono::Utc> =
        ours["outcome_due_at"].as_str().unwrap().parse().unwrap();
    assert!(
        due <= chrono::Utc::now(),
        "it was parked at its deadline: {due}"
    );
    let (_, stripes) = read(stripes).await;
    assert_eq!(stripes["status"], "processing");
    world.stop_audited().await;
}

/// Planted bugs: an approval by the maker; an outcome that is taken on trust, without asking Stripe.
#[tokio::test(flavor = "multi_thread")]
async fn one_person_settles_and_another_approves_what_stripe_bears_out() {
    let mut world = quiet_world(at_once()).await;
    let (intent, intention) = parked_capture(&mut world, "drop_after").await;
    let app = world.app();
    let because = || "seen in Stripe's dashboard".to_owned();
    let approve = |name: &str| app.approve_settlement(person(name), intention);
    assert!(matches!(approve("ben").await, Err(SettleError::Refused(_))));
    let propose = |outcome| app.propose_settlement(person("anna"), intention, outcome, because());
    propose(happened("pi_another")).await.unwrap();
    assert!(approve("ben").await.is_err(), "there is no such intent");
    propose(happened(&intent)).await.unwrap();
    let by_maker = approve("Anna").await.unwrap_err();
    assert!(
        by_maker.to_string().contains("another person"),
        "{by_maker}"
    );
    assert_eq!(names(&world, "Succeeded").await, 0);
    approve("ben").await.unwrap();
    assert_eq!(names(&world, "Succeeded").await, 1);
    assert_eq!(
        world.balances("acme", "usd").await[0],
        ("assets:stripe:clearing".to_owned(), 2000)
    );
    assert_eq!(app.parked(None, false).await.unwrap(), []);
    let settled = app.parked(None, true).await.unwrap().pop().unwrap();
    assert_eq!(
        (
            settled.state.as_str(),
            settled.proposed_by.as_deref(),
            settled.approved_by.as_deref()
        ),
        ("settled", Some("anna"), Some("ben"))
    );
    recover(&world).await;
    assert_eq!(work(&world).await, []);
    world.stop_audited().await;
}

/// Planted bug: an approval that leaves the step open.
#[tokio::test(flavor = "multi_thread")]
async fn what_people_found_not_to_have_happened_may_be_asked_for_anew() {
    let mut world = quiet_world(at_once()).await;
    let (intent, intention) = parked_capture(&mut world, "drop_before").await;
    let app = world.app();
    let because = "Stripe's support says so".to_owned();
    app.propose_settlement(person("anna"), intention, ByHand::DidNotHappen, because)
        .await
        .unwrap();
    app.approve_settlement(person("ben"), intention)
        .await
        .unwrap();
    assert_eq!(names(&world, "CaptureRefused").await, 1);
    world.restart(with(at_once())).await;
    let path = format!("/v1/payment_intents/{intent}/capture");
    let (status, captured) = send(world.pay(&path, json!({}))).await;
    assert_eq!((status, &captured["status"]), (200, &json!("succeeded")));
    world.stop_audited().await;
}

/// Planted bug: a database that lets the maker be the checker, were the rules ever to.
#[tokio::test(flavor = "multi_thread")]
async fn the_database_knows_too_that_the_maker_is_not_the_checker() {
    let mut world = quiet_world(at_once()).await;
    let (_, intention) = parked_capture(&mut world, "drop_before").await;
    let pool = world.app().store().pool();
    let mut transaction = pool.begin().await.unwrap();
    let refused = sqlx::query(
        "update parked set state = 'settled', outcome = 'did_not_happen', proposed_by = 'anna', because = 'x', approved_by = ' Anna'
         where intention = $1",
    )
    .bind(intention.uuid())
    .execute(&mut *transaction)
    .await
    .unwrap_err();
    let sqlx::Error::Database(refused) = refused else {
        panic!("{refused}");
    };
    assert_eq!(refused.constraint(), Some("parked_maker_is_not_checker"));
    transaction.rollback().await.unwrap();
    world.stop_audited().await;
}

/// Planted bugs: leaving what is parked to people alone, although Stripe shows it; sending it again, since its key lives.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_parked_is_still_looked_up_and_never_sent_again() {
    for (kind, shown) in [("drop_after", 1), ("drop_before", 0)] {
        let mut world = quiet_world(at_once()).await;
        parked_capture(&mut world, kind).await;
        world.restart(with(at_once())).await;
        let pool = world.app().store().pool();
        let mut transaction = pool.begin().await.unwrap();
        sqlx::query("update recovery_work set next_at = clock_timestamp()")
            .execute(&mut *transaction)
            .await
            .unwrap();
        transaction.commit().await.unwrap();
        recover(&world).await;
        assert_eq!(names(&world, "Succeeded").await, shown, "{kind}");
        let parked = world.app().parked(None, true).await.unwrap();
        let state = ["waiting", "answered"][shown];
        assert_eq!(parked[0].state, state, "{kind}");
        world.stop_audited().await;
    }
}

/// Planted bug: reading what a request changed where it would have been made.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_nothing_shows_is_settled_by_people_too() {
    let mut world = quiet_world(at_once()).await;
    let (_, customer) = send(
        world
            .post("/v1/customers")
            .bearer_auth("sk_test_acme")
            .header("Content-Type", FORM)
            .body("name=Ada"),
    )
    .await;
    let id = customer["id"].as_str().unwrap().to_owned();
    let path = format!("/v1/customers/{id}");
    fault(&world, "drop_after", "POST", &path, 1).await;
    let change = |world: &World| {
        world
            .post(&path)
            .bearer_auth("sk_test_acme")
            .header("Idempotency-Key", "source-1")
            .header("Content-Type", FORM)
            .body("source=tok_visa")
    };
    assert_eq!(send(change(&world)).await.0, 500);
    world.restart(with(too_late())).await;
    let parked = until_parked(&world).await;
    assert_eq!(parked.kind, "stripe_request");
    let intention = IntentionId::from_uuid(parked.intention);
    settle(&world, intention, &id).await;
    let (status, answer): (u16, Value) = send(change(&world)).await;
    assert_eq!((status, answer["id"].as_str()), (200, Some(id.as_str())));
    world.stop_audited().await;
}

/// The program, on the world's database and simulator, as an operator runs it.
fn program(world: &World, arguments: &[&str]) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_counterfoil"))
        .args(arguments)
        .env_clear()
        .env("DATABASE_URL", &world.database_url)
        .env("COUNTERFOIL_SEAL_KEY", hex::encode(seal_key().expose()))
        .env("STRIPE_ACME_SECRET_KEY", fixtures::simulator_key("acme"))
        .env("STRIPE_ACME_API_BASE", world.simulator.url())
        .env("STRIPE_ACME_WEBHOOK_SECRET", "whsec_of_no_use_here")
        .output()
        .unwrap();
    let mut told = String::from_utf8(output.stdout).unwrap();
    told.push_str(&String::from_utf8(output.stderr).unwrap());
    (output.status.success(), told)
}

/// Planted bug: an exit code of 0 where nothing was settled.
#[tokio::test(flavor = "multi_thread")]
async fn an_operator_settles_from_the_command_line() {
    let mut world = quiet_world(at_once()).await;
    let (intent, intention) = parked_capture(&mut world, "drop_after").await;
    let id = intention.to_string();
    let (_, list) = program(&world, &["parked", "list", "--json"]);
    let listed: Value = serde_json::from_str(&list).unwrap();
    assert_eq!(
        (&listed["intention"], &listed["what"], &listed["state"]),
        (&json!(id), &json!("capture"), &json!("waiting"))
    );
    let (_, shown) = program(&world, &["parked", "show", &id]);
    assert!(shown.contains("broke"), "{shown}");
    let settle = ["parked", "settle", &id, "--happened", &intent];
    let words = ["--as", "anna", "--because", "seen in Stripe's dashboard"];
    let (done, told) = program(&world, &[&settle[..], &words[..]].concat());
    assert!(done, "{told}");
    let approve = |by| program(&world, &["parked", "approve", &id, "--as", by]);
    let (done, told) = approve("anna");
    assert!(!done && told.contains("another person"), "{told}");
    let (done, told) = approve("ben");
    assert!(done, "{told}");
    assert_eq!(names(&world, "Succeeded").await, 1);
    let (_, told) = program(&world, &["parked", "list"]);
    assert_eq!(told, "nothing is parked\n");
    world.stop_audited().await;
}

/// A request to the native API under a key of its own.
fn native(world: &World, key: &str, path: &str, body: Option<Value>) -> RequestBuilder {
    let path = format!("/ledger/v1/parked{path}");
    match body {
        None => world.get(&path).bearer_auth(key),
        Some(body) => world.post(&path).bearer_auth(key).json(&body),
    }
}

/// Planted bugs: an approval by the key that proposed; a repeated approval that is refused because it was carried out already.
#[tokio::test(flavor = "multi_thread")]
async fn keys_settle_through_the_native_api_and_hear_the_same_again() {
    let mut world = quiet_world(at_once()).await;
    let (intent, intention) = parked_capture(&mut world, "drop_after").await;
    let scopes = "payments:read,payments:write,approve";
    let of_both = [
        "keys",
        "create",
        "--merchant",
        "acme",
        "--kind",
        "native",
        "--scopes",
        scopes,
    ];
    let (made, told) = program(&world, &of_both);
    assert!(made, "{told}");
    let both = told.lines().nth(1).unwrap();
    let (_, list) = send(native(&world, "finance-acme", "?state=waiting", None)).await;
    let (id, waiting) = (intention.to_string(), list["data"][0].clone());
    assert_eq!(
        (&waiting["id"], &waiting["proposal"]),
        (&json!(id), &Value::Null)
    );

    let settle =
        json!({"outcome": "happened", "stripe_id": intent, "because": "seen in the dashboard"});
    let (settling, approving) = (format!("/{id}/settle"), format!("/{id}/approve"));
    let proposed =
        || native(&world, both, &settling, Some(settle.clone())).header("Idempotency-Key", "p");
    let approved =
        |key| native(&world, key, &approving, Some(json!({}))).header("Idempotency-Key", "a");
    let first = send(approved("approver-acme")).await;
    assert_eq!(
        (first.0, &first.1["code"]),
        (409, &json!("nothing_proposed"))
    );
    let proposal = send(proposed()).await;
    assert_eq!(
        (proposal.0, &proposal.1["proposal"]["stripe_id"]),
        (200, &json!(intent))
    );
    let by_maker = send(approved(both)).await;
    assert_eq!(
        (by_maker.0, &by_maker.1["code"]),
        (403, &json!("same_person"))
    );
    let approval = send(approved("approver-acme")).await;
    assert_eq!(
        (approval.0, &approval.1["state"]),
        (200, &json!("settled")),
        "{approval:?}"
    );
    assert_eq!(names(&world, "Succeeded").await, 1);

    assert_eq!(send(proposed()).await, proposal, "as it stood then");
    assert_eq!(send(approved("approver-acme")).await, approval);
    let (_, now) = send(native(&world, "finance-acme", &format!("/{id}"), None)).await;
    assert_eq!(now, approval.1);
    let (status, _) = send(native(&world, "admin-rival", &format!("/{id}"), None)).await;
    assert_eq!(status, 404);
    world.stop().await;
}

/// An opening of a checkout that nobody could find out about: its order waits for it.
///
/// Planted bug: a settlement that ends the request alone, and leaves the order waiting for its checkout.
#[tokio::test(flavor = "multi_thread")]
async fn a_checkout_that_two_people_found_not_to_be_there_frees_its_order() {
    let mut world = quiet_world(at_once()).await;
    let open = |world: &World| checkout::ask_for(world, "booking-1");
    fault(&world, "drop_before", "POST", "/v1/checkout/sessions", 1).await;
    assert_eq!(send(open(&world)).await.0, 503);
    fault(&world, "drop_before", "GET", "/v1/checkout/sessions", 3).await;
    world.restart(with(too_late())).await;
    let parked = until_parked(&world).await;
    assert_eq!(parked.kind, "stripe_request");
    let (app, intention) = (world.app(), IntentionId::from_uuid(parked.intention));
    let because = "case 123 with Stripe".to_owned();
    app.propose_settlement(person("anna"), intention, ByHand::DidNotHappen, because)
        .await
        .unwrap();
    app.approve_settlement(person("ben"), intention)
        .await
        .unwrap();
    assert_eq!(names(&world, "CheckoutRefused").await, 1);
    world.restart(with(at_once())).await;
    assert_eq!(send(open(&world)).await.0, 200);
    world.stop().await;
}
