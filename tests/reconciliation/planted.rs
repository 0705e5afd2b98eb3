//! What Stripe and we can disagree on, planted at the simulator or by losing its webhooks: found, named, and healed where observing
//! heals it.

use crate::support::{World, checkout, send, until};
use crate::{at_stripe, forge, id_of, lose, pay, quiet, reconcile, refund};
use reqwest::Method;
use serde_json::{Value, json};

type Break = (String, String, String);

fn a_break(class: &str, subject: &str, part: &str) -> Break {
    (class.to_owned(), subject.to_owned(), part.to_owned())
}

async fn hold_webhooks(world: &World, paused: bool) {
    let body = json!({"paused": paused, "account": "acct_acme"});
    world.sim(Method::POST, "webhooks", Some(body)).await;
}

/// Planted bug: comparing before anything is observed anew, and never again.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_lost_webhook_did_not_tell_is_healed_and_is_no_break() {
    let world = World::start().await;
    let card = json!({"amount": 4_000, "currency": "usd", "confirm": true, "capture_method": "manual",
        "payment_method_data": {"type": "card", "card": {"number": "4242424242424242", "exp_month": "12", "exp_year": "2034", "cvc": "123"}},
        "return_url": "https://your.website"});
    let (status, intent) = send(world.pay("/v1/payment_intents", card)).await;
    assert_eq!(
        (status, &intent["status"]),
        (200, &json!("requires_capture")),
        "{intent}"
    );
    quiet(&world).await;
    hold_webhooks(&world, true).await;
    let capture = format!("/v1/payment_intents/{}/capture", id_of(&intent));
    let (status, _) = send(world.stripe(Method::POST, &capture)).await;
    assert_eq!(status, 200);
    let read = reconcile(&world).await;
    assert_eq!(read.breaks(), vec![]);
    assert_eq!(read.head.pinned.healed, 1);
    let history = world.history("acme").await;
    assert!(history.contains(&"Captured".to_owned()), "{history:?}");
    world.stop().await;
}

/// Planted bugs, one for each assertion: leaving its rule out of the comparison.
#[tokio::test(flavor = "multi_thread")]
async fn each_thing_that_is_planted_at_stripe_is_found_and_named() {
    let world = World::start().await;
    let mut intents = Vec::new();
    for amount in [1_000, 2_000, 3_000, 4_000, 5_000, 6_000] {
        intents.push(pay(&world, amount).await);
    }
    refund(&world, &intents[5], 600).await;
    quiet(&world).await;
    assert_eq!(reconcile(&world).await.breaks(), vec![]);

    let charges = at_stripe(&world, "charges").await;
    let charge_of = |intent: &str| {
        charges
            .iter()
            .find(|it| it["payment_intent"] == intent)
            .unwrap()
    };
    let booking_of = |intent: &str| charge_of(intent)["balance_transaction"].as_str().unwrap();
    let subject = |intent: &str| format!("payment/{intent}");
    let mut expected = Vec::new();

    // Another fee, and another gross, than was recorded when it was booked.
    forge(
        &world,
        json!({"id": booking_of(&intents[0]), "set": {"fee": 1}}),
    )
    .await;
    expected.push(a_break(
        "fee",
        &subject(&intents[0]),
        booking_of(&intents[0]),
    ));
    forge(
        &world,
        json!({"id": booking_of(&intents[1]), "set": {"amount": 1_999}}),
    )
    .await;
    expected.push(a_break(
        "amount",
        &subject(&intents[1]),
        booking_of(&intents[1]),
    ));
    // Booked a second time, and not at all any more.
    forge(
        &world,
        json!({"id": booking_of(&intents[2]), "as": "txn_second"}),
    )
    .await;
    expected.push(a_break("duplicate", &subject(&intents[2]), "txn_second"));
    lose(&world, booking_of(&intents[3])).await;
    expected.push(a_break(
        "missing_at_stripe",
        &subject(&intents[3]),
        booking_of(&intents[3]),
    ));
    // An intent that Stripe has lost, and one that nobody here knows.
    lose(&world, &intents[4]).await;
    expected.push(a_break(
        "missing_at_stripe",
        &subject(&intents[4]),
        &intents[4],
    ));
    let unknown =
        json!({"id": "pi_unknown", "amount": 700, "currency": "usd", "account": "acct_acme"});
    world.sim(Method::POST, "objects", Some(unknown)).await;
    let paid = json!({"id": "pi_unknown", "set": {"status": "succeeded", "amount_received": 700}});
    forge(&world, paid).await;
    expected.push(a_break("missing_here", "payment/pi_unknown", "pi_unknown"));
    // A refund of another amount.
    let refunds = at_stripe(&world, "refunds").await;
    let refund = id_of(
        refunds
            .iter()
            .find(|it| it["payment_intent"] == intents[5].as_str())
            .unwrap(),
    );
    forge(&world, json!({"id": refund, "set": {"amount": 601}})).await;
    expected.push(a_break("amount", &subject(&intents[5]), &refund));

    expected.sort();
    let read = reconcile(&world).await;
    let mut found = read.breaks();
    found.sort();
    assert_eq!(found, expected);
    assert_eq!(read.tail.open, 7);
    // The same again: no news, and as old.
    let before = world.events().await;
    let again = reconcile(&world).await;
    let mut found = again.breaks();
    found.sort();
    assert_eq!(found, expected);
    let news = world.history("acme").await;
    let news = news.iter().filter(|it| it.starts_with("Break")).count();
    assert_eq!(news, 7, "after {before}");
    let first_seen = |it: &crate::Read| {
        let breaks = it.lines.iter().filter(|it| it.verdict == "break");
        breaks.map(|it| it.first_seen).max()
    };
    assert_eq!(first_seen(&again), first_seen(&read));
    world.stop().await;
}

/// Planted bugs: reading only the mark of the payment, or only that of the checkout; leaving out an intent whose mark nobody here made.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_intent_of_a_payment_or_of_a_checkout_is_a_duplicate() {
    let world = World::start().await;
    let asked = pay(&world, 1_000).await;
    let (status, _) = send(checkout::ask_for(&world, "r1")).await;
    assert_eq!(status, 200);
    let session = checkout::at_stripe(&world, "open").await.remove(0);
    assert_eq!(
        checkout::pay(&world, &session, "pm_card_visa")
            .await
            .status(),
        303
    );
    quiet(&world).await;
    assert_eq!(reconcile(&world).await.breaks(), vec![]);
    let intents = at_stripe(&world, "payment_intents").await;
    let marked = |it: &&Value| it["metadata"]["counterfoil_checkout"].is_string();
    let by_page = id_of(intents.iter().find(marked).unwrap());

    forge(&world, json!({"id": asked, "as": "pi_asked_again"})).await;
    forge(&world, json!({"id": by_page, "as": "pi_page_again"})).await;
    let mark = json!({"metadata": {"counterfoil_checkout": "of/nobody"}});
    forge(
        &world,
        json!({"id": by_page, "as": "pi_strange", "set": mark}),
    )
    .await;
    let mut found = reconcile(&world).await.breaks();
    found.sort();
    let named = |class: &str, intent: &str| a_break(class, &format!("payment/{intent}"), intent);
    let expected = vec![
        named("duplicate", "pi_asked_again"),
        named("duplicate", "pi_page_again"),
        named("missing_here", "pi_strange"),
    ];
    assert_eq!(found, expected);
    world.stop().await;
}

/// Stripe tells of it, and nobody takes it in: the payment that it says it is of has an intent. Planted bug, seen red here: not asking the mark whose
/// payment it is when an intent is taken in.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_intent_of_a_checkout_is_not_taken_in_when_stripe_tells_of_it() {
    let world = World::start().await;
    assert_eq!(send(checkout::ask_for(&world, "r1")).await.0, 200);
    let session = checkout::at_stripe(&world, "open").await.remove(0);
    let paid = checkout::pay(&world, &session, "pm_card_visa").await;
    assert_eq!(paid.status(), 303);
    quiet(&world).await;
    let intents = at_stripe(&world, "payment_intents").await;
    let marked = |it: &&Value| it["metadata"]["counterfoil_checkout"].is_string();
    let by_page = id_of(intents.iter().find(marked).unwrap());
    let unpaid = json!({"status": "requires_confirmation", "amount_received": 0, "latest_charge": null,
        "checkout_session": null});
    forge(
        &world,
        json!({"id": by_page, "as": "pi_twin", "set": unpaid}),
    )
    .await;
    let confirm = world.stripe(Method::POST, "/v1/payment_intents/pi_twin/confirm");
    let confirm = confirm.header("Content-Type", "application/x-www-form-urlencoded");
    let (status, twin) =
        send(confirm.body("payment_method=pm_card_visa&return_url=https%3A%2F%2Fshop.example"))
            .await;
    assert_eq!((status, &twin["status"]), (200, &json!("succeeded")));
    until("Stripe has told of it", async || {
        let told: bool = sqlx::query_scalar(
            "select exists (select from webhook_inbox where about = 'pi_twin' and type = 'payment_intent.succeeded'
                            and (attempts > 0 or applied_at is not null))",
        )
        .fetch_one(world.app().store().pool())
        .await
        .unwrap();
        told
    })
    .await;
    let twin = a_break("duplicate", "payment/pi_twin", "pi_twin");
    assert_eq!(reconcile(&world).await.breaks(), vec![twin]);
    let history = world.history("acme").await;
    let adopted = history.iter().filter(|it| *it == "Adopted").count();
    assert_eq!(adopted, 1, "{history:?}");
    world.stop().await;
}

/// A refund that somebody made at Stripe is recorded as a fact, and is for people.
#[tokio::test(flavor = "multi_thread")]
async fn a_refund_that_nobody_asked_for_here_is_a_break() {
    let world = World::start().await;
    let intent = pay(&world, 3_000).await;
    let body = format!("payment_intent={intent}&amount=100");
    let request = world.stripe(Method::POST, "/v1/refunds");
    let request = request.header("Content-Type", "application/x-www-form-urlencoded");
    let (status, refund) = send(request.body(body)).await;
    assert_eq!(status, 200, "{refund}");
    quiet(&world).await;
    let read = reconcile(&world).await;
    let subject = format!("payment/{intent}");
    assert_eq!(
        read.breaks(),
        vec![a_break("missing_here", &subject, &id_of(&refund))]
    );
    world.stop().await;
}

/// Planted bug: never saying that a break is gone.
#[tokio::test(flavor = "multi_thread")]
async fn a_break_that_is_mended_at_stripe_is_gone() {
    let world = World::start().await;
    let intent = pay(&world, 1_000).await;
    quiet(&world).await;
    let charge = at_stripe(&world, "charges").await;
    let charge = charge
        .iter()
        .find(|it| it["payment_intent"] == intent.as_str())
        .unwrap();
    let transactions = at_stripe(&world, "balance_transactions").await;
    let booked = transactions
        .iter()
        .find(|it| it["id"] == charge["balance_transaction"])
        .unwrap();
    crate::reconcile(&world).await;
    forge(&world, json!({"id": booked["id"], "set": {"fee": 1}})).await;
    assert_eq!(reconcile(&world).await.breaks().len(), 1);
    forge(
        &world,
        json!({"id": booked["id"], "set": {"fee": booked["fee"]}}),
    )
    .await;
    assert_eq!(reconcile(&world).await.breaks(), vec![]);
    let history = world.history("acme").await;
    assert!(history.contains(&"BreakGone".to_owned()), "{history:?}");
    world.stop().await;
}
