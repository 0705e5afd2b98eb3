//! Applied once, by one of several instances; tried again where that may help; set aside where it does not; and nothing waits
//! for anything else.

use crate::support::{Setup, World, card_payment, send, until};
use crate::{
    DAY, close, count, counterfoil, deliver, event, fault, instance, lines, paid, quiet_world,
    refund_of, shown, signature, until_state,
};
use counterfoil::use_cases::{App, InboxPatience, Options};
use futures::future::join;
use reqwest::Method;
use serde_json::{Value, json};
use std::time::Duration;
use uuid::Uuid;

fn with(inbox: InboxPatience) -> Setup {
    let usual = Setup::default();
    Setup {
        options: Options {
            inbox,
            ..usual.options
        },
        ..usual
    }
}

/// Little patience: three attempts, one after the other.
fn hasty() -> Setup {
    with(InboxPatience {
        pause_min: Duration::from_millis(1),
        attempts_max: 3,
        ..InboxPatience::default()
    })
}

/// A held payment, of which a refund cannot be recorded without asking Stripe.
async fn held(world: &World) -> Value {
    let mut body = card_payment(2000, "usd", "4242424242424242");
    body["capture_method"] = json!("manual");
    let (status, held) = send(world.pay("/v1/payment_intents", body)).await;
    assert_eq!(status, 200, "{held}");
    held
}

async fn take(app: &App, event: &Value) {
    let body = event.to_string();
    let signature = signature("acme", &body);
    let taken = app.receive_webhook("acme", &signature, body.as_bytes());
    taken.await.unwrap();
}

/// Planted bug: trying what cannot be read again and again instead of setting it aside, or not looking at it when told to.
#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_is_set_aside_shown_and_tried_again_when_people_say_so() {
    let world = quiet_world(Setup::default()).await;
    let intent = paid(&world, 2000, "4242424242424242").await;
    let unreadable = json!({"id": "pi_odd", "object": "payment_intent", "amount": "much"});
    deliver(
        &world,
        &event("evt_odd", "payment_intent.succeeded", &unreadable),
    )
    .await;
    deliver(
        &world,
        &event(
            "evt_fine",
            "refund.updated",
            &refund_of(&intent, "re_1", 500),
        ),
    )
    .await;
    until_state(&world, "evt_odd", "set_aside").await;
    until_state(&world, "evt_fine", "applied").await;

    let listed = lines(&counterfoil(
        &world.database_url,
        &["inbox", "list", "--json"],
    ));
    assert_eq!(listed.len(), 1, "{listed:?}");
    assert_eq!(
        (&listed[0]["id"], &listed[0]["state"]),
        (&json!("evt_odd"), &json!("set_aside"))
    );
    assert!(
        listed[0]["last_error"]
            .as_str()
            .unwrap()
            .contains("cannot be read")
    );
    let told = counterfoil(&world.database_url, &["inbox", "show", "evt_odd"]);
    let told = String::from_utf8(told.stdout).unwrap();
    assert!(
        told.contains("set aside") && told.contains("\"much\""),
        "{told}"
    );
    // A later program could read it: here the event is mended in its place.
    let mend = "update webhook_inbox set body = $1 where event_id = 'evt_odd'";
    let mended = event(
        "evt_odd",
        "refund.updated",
        &refund_of(&intent, "re_2", 300),
    );
    sqlx::query(mend)
        .bind(mended)
        .execute(world.app().store().pool())
        .await
        .unwrap();
    let kind = "update webhook_inbox set type = 'refund.updated' where event_id = 'evt_odd'";
    sqlx::query(kind)
        .execute(world.app().store().pool())
        .await
        .unwrap();
    let retried = counterfoil(&world.database_url, &["inbox", "retry", "evt_odd"]);
    assert!(retried.status.success(), "{retried:?}");
    until_state(&world, "evt_odd", "applied").await;
    assert_eq!(count(&world, "Refunded").await, 2);
    let none = counterfoil(&world.database_url, &["inbox", "retry", "evt_none"]);
    assert_eq!(none.status.code(), Some(1));
    world.stop().await;
}

/// Planted bugs: never giving up; forgetting what was given up; letting one wait for another.
#[tokio::test(flavor = "multi_thread")]
async fn what_keeps_failing_is_set_aside_after_so_many_tries_and_others_are_applied_meanwhile() {
    let world = quiet_world(hasty()).await;
    let held = held(&world).await;
    let intent = paid(&world, 2000, "4242424242424242").await;
    fault(&world, "status_503", "GET", "/v1/payment_intents", 1000).await;
    deliver(
        &world,
        &event(
            "evt_stuck",
            "refund.updated",
            &refund_of(&held, "re_stuck", 100),
        ),
    )
    .await;
    deliver(
        &world,
        &event(
            "evt_fine",
            "refund.updated",
            &refund_of(&intent, "re_1", 500),
        ),
    )
    .await;
    until_state(&world, "evt_fine", "applied").await;
    until_state(&world, "evt_stuck", "set_aside").await;
    assert_eq!(shown(&world, "evt_stuck").await.unwrap().attempts, 3);
    world.sim(Method::DELETE, "faults", None).await;
    let inbox = &world.app().store().inbox;
    assert_eq!(inbox.retry(None, None).await.unwrap(), 1);
    until_state(&world, "evt_stuck", "applied").await;
    world.stop().await;
}

/// Planted bug: waiting for a whole page of events before the next is taken.
#[tokio::test(flavor = "multi_thread")]
async fn one_for_which_stripe_dawdles_holds_up_no_other() {
    let world = quiet_world(Setup::default()).await;
    let held = held(&world).await;
    let intent = paid(&world, 2000, "4242424242424242").await;
    fault(&world, "hold_before", "GET", "/v1/payment_intents", 1).await;
    deliver(
        &world,
        &event(
            "evt_slow",
            "refund.updated",
            &refund_of(&held, "re_slow", 100),
        ),
    )
    .await;
    world.wait_until_held(1).await;
    for number in 0..3 {
        let id = format!("evt_{number}");
        deliver(
            &world,
            &event(
                &id,
                "refund.updated",
                &refund_of(&intent, &format!("re_{number}"), 5),
            ),
        )
        .await;
        until_state(&world, &id, "applied").await;
    }
    assert_eq!(shown(&world, "evt_slow").await.unwrap().state, "waiting");
    world.sim(Method::POST, "faults/release", None).await;
    until_state(&world, "evt_slow", "applied").await;
    world.stop().await;
}

/// Planted bug: counting the failures that are reported, and not the attempts that are begun.
#[tokio::test(flavor = "multi_thread")]
async fn one_that_takes_its_process_with_it_is_set_aside_in_the_end() {
    let mut world = quiet_world(Setup::default()).await;
    let intent = paid(&world, 2000, "4242424242424242").await;
    world.stop_service().await;
    let app = instance(&world.database_url, &world.simulator, hasty()).await;
    take(
        &app,
        &event(
            "evt_deadly",
            "refund.updated",
            &refund_of(&intent, "re_1", 100),
        ),
    )
    .await;
    for _ in 0..3 {
        let inbox = &app.store().inbox;
        let leased = inbox
            .lease(10, &[], Uuid::now_v7(), Duration::ZERO)
            .await
            .unwrap();
        assert_eq!(leased.len(), 1, "its process died, and its lease is over");
    }
    app.apply_waiting().await;
    let inbox = &app.store().inbox;
    let row = inbox
        .shown(None, "evt_deadly")
        .await
        .unwrap()
        .pop()
        .unwrap();
    assert_eq!(row.state, "set_aside", "{row:?}");
    close(app).await;
    world.simulator.stop().await;
}

/// Planted bug: leasing what is leased (or not locking it) gives one event to both.
#[tokio::test(flavor = "multi_thread")]
async fn two_instances_share_the_inbox_and_each_event_is_one_instances() {
    let mut world = quiet_world(Setup::default()).await;
    let intent = paid(&world, 2000, "4242424242424242").await;
    world.stop_service().await;
    let another = |seed| {
        let setup = Setup {
            seed,
            ..Setup::default()
        };
        instance(&world.database_url, &world.simulator, setup)
    };
    let (one, two) = join(another(2), another(3)).await;
    for number in 0..60 {
        let object = refund_of(&intent, &format!("re_{number}"), 5);
        take(
            &one,
            &event(&format!("evt_{number}"), "refund.updated", &object),
        )
        .await;
    }
    let tried = join(one.apply_waiting(), two.apply_waiting()).await;
    assert_eq!(tried.0 + tried.1, 60, "{tried:?}");
    let reader = one.store().reader();
    let events = reader.read_ledger("acme", 0, 1000).await.unwrap();
    let refunds = events.iter().filter(|it| it.event_type == "Refunded");
    assert_eq!(refunds.count(), 60);
    close(one).await;
    close(two).await;
    world.simulator.stop().await;
}

/// Planted bug: recording what an event tells again because another instance has applied it meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_two_instances_apply_at_once_changes_nothing_twice() {
    let mut world = quiet_world(Setup::default()).await;
    let held = held(&world).await;
    world.stop_service().await;
    // The leases of one are over before they begin, as those of a process that was paused.
    let careless = with(InboxPatience {
        lease_for: Duration::ZERO,
        ..InboxPatience::default()
    });
    let one = instance(
        &world.database_url,
        &world.simulator,
        Setup {
            seed: 2,
            ..careless
        },
    )
    .await;
    let usual = Setup {
        seed: 3,
        ..Setup::default()
    };
    let two = instance(&world.database_url, &world.simulator, usual).await;
    take(
        &one,
        &event("evt_both", "refund.updated", &refund_of(&held, "re_1", 5)),
    )
    .await;
    fault(&world, "hold_before", "GET", "/v1/payment_intents", 1).await;
    let paused = one.clone();
    let paused = tokio::spawn(async move { paused.apply_waiting().await });
    world.wait_until_held(1).await;
    // The row may be locked just now: the other one renews its lease without end.
    until("the other instance has applied it", async || {
        two.apply_waiting().await == 1
    })
    .await;
    world.sim(Method::POST, "faults/release", None).await;
    assert_eq!(paused.await.unwrap(), 1);
    let reader = one.store().reader();
    let events = reader.read_ledger("acme", 0, 1000).await.unwrap();
    let refunds = events.iter().filter(|it| it.event_type == "Refunded");
    assert_eq!(refunds.count(), 1);
    let counts = one.store().inbox.counts().await.unwrap();
    assert_eq!((counts.waiting, counts.set_aside), (0, 0));
    close(one).await;
    close(two).await;
    world.simulator.stop().await;
}

/// Planted bug: what is unmatched once stays so (no second look when its intent is adopted).
#[tokio::test(flavor = "multi_thread")]
async fn what_came_before_its_payment_was_known_is_applied_once_it_is() {
    let world = quiet_world(with(InboxPatience {
        unmatched_pause_min: DAY,
        ..InboxPatience::default()
    }))
    .await;
    let made = world.stripe(Method::POST, "/v1/payment_intents").json(&json!({
        "amount": 2000, "currency": "usd", "payment_method": "pm_card_visa", "confirm": true, "payment_method_types": ["card"],
    }));
    let (status, elsewhere) = send(made).await;
    assert_eq!(status, 200, "{elsewhere}");
    let dispute = json!({
        "id": "dp_1", "object": "dispute", "amount": 2000, "currency": "usd", "reason": "fraudulent",
        "status": "needs_response", "payment_intent": elsewhere["id"],
    });
    deliver(
        &world,
        &event("evt_early", "charge.dispute.created", &dispute),
    )
    .await;
    until_state(&world, "evt_early", "unmatched").await;
    let listed = lines(&counterfoil(
        &world.database_url,
        &["inbox", "list", "--unmatched", "--json"],
    ));
    assert_eq!(listed[0]["id"], "evt_early", "{listed:?}");
    assert_eq!(count(&world, "DisputeOpened").await, 0);

    let path = format!("/v1/payment_intents/{}", elsewhere["id"].as_str().unwrap());
    let (status, changed) = send(world.pay(&path, json!({"metadata": {"case": "17"}}))).await;
    assert_eq!(status, 200, "{changed}");
    until_state(&world, "evt_early", "applied").await;
    assert_eq!(count(&world, "DisputeOpened").await, 1);
    world.stop().await;
}

/// Planted bug: looking at it for ever, or giving it up without keeping it.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_never_known_is_looked_at_for_a_while_and_kept_as_unmatched() {
    let world = quiet_world(with(InboxPatience {
        unmatched_pause_min: Duration::from_millis(1),
        unmatched_for: Duration::from_millis(300),
        ..InboxPatience::default()
    }))
    .await;
    let foreign = json!({"id": "re_foreign"});
    let mut foreign = refund_of(&foreign, "re_foreign", 100);
    foreign["payment_intent"] = json!("pi_foreign");
    deliver(&world, &event("evt_foreign", "refund.created", &foreign)).await;
    until("it is not looked at any more", async || {
        let row = shown(&world, "evt_foreign").await;
        row.is_some_and(|it| it.state == "unmatched" && it.next_at.is_none())
    })
    .await;
    world.stop().await;
}
