//! What is taken at the door though it is odd, and what is not.

use crate::support::{Setup, World};
use crate::{count, deliver, deliver_to, event, paid, quiet_world, refund_of, shown, until_state};
use chrono::Utc;
use serde_json::{Value, json};
use std::collections::HashMap;

async fn kept(world: &World) -> i64 {
    let count = sqlx::query_scalar("select count(*) from webhook_inbox");
    count.fetch_one(world.app().store().pool()).await.unwrap()
}

/// The times that Stripe claimed for acme's events of this name.
async fn claimed(world: &World, name: &str) -> Vec<Option<String>> {
    let reader = world.app().store().reader();
    let events = reader.read_ledger("acme", 0, 1000).await.unwrap();
    let named = events.into_iter().filter(|it| it.event_type == name);
    let claimed = named.map(|it| {
        let metadata: HashMap<String, String> = it.metadata_as().unwrap();
        metadata.get("claimed_at").cloned()
    });
    claimed.collect()
}

/// Planted bug: taking Stripe's time over as it is puts a time into the history that has not come.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_from_the_future_is_applied_and_its_time_is_not_believed() {
    let world = quiet_world(Setup::default()).await;
    let intent = paid(&world, 2000, "4242424242424242").await;
    for (id, ahead_s) in [
        ("evt_now", 0),
        ("evt_ahead", 200),
        ("evt_future", 24 * 3600),
    ] {
        let mut event = event(
            id,
            "refund.updated",
            &refund_of(&intent, &format!("re_{id}"), 100),
        );
        event["created"] = json!(Utc::now().timestamp() + ahead_s);
        deliver(&world, &event).await;
        until_state(&world, id, "applied").await;
    }
    let claimed = claimed(&world, "Refunded").await;
    let believed: Vec<bool> = claimed.iter().map(Option::is_some).collect();
    assert_eq!(believed, [true, true, false], "{claimed:?}");
    world.stop().await;
}

/// Planted bugs: keeping the later body; counting what only the surroundings of the event differ in.
#[tokio::test(flavor = "multi_thread")]
async fn an_id_that_comes_again_with_another_body_is_counted_and_never_applied() {
    let world = quiet_world(Setup::default()).await;
    let intent = paid(&world, 2000, "4242424242424242").await;
    let first = event(
        "evt_one",
        "refund.updated",
        &refund_of(&intent, "re_one", 500),
    );
    deliver(&world, &first).await;
    until_state(&world, "evt_one", "applied").await;
    let mut again = first.clone();
    again["pending_webhooks"] = json!(7);
    again["api_version"] = json!("2099-01-01");
    deliver(&world, &again).await;
    let row = shown(&world, "evt_one").await.unwrap();
    assert_eq!((row.repeats, row.contradictions), (1, 0));

    let mut other = first.clone();
    other["data"]["object"] = refund_of(&intent, "re_other", 300);
    deliver(&world, &other).await;
    let row = shown(&world, "evt_one").await.unwrap();
    assert_eq!((row.repeats, row.contradictions), (2, 1));
    assert_eq!(row.body["data"]["object"]["id"], "re_one");
    // The next event is applied after it, so it would have been by now.
    deliver(
        &world,
        &event(
            "evt_two",
            "refund.updated",
            &refund_of(&intent, "re_two", 1),
        ),
    )
    .await;
    until_state(&world, "evt_two", "applied").await;
    assert_eq!(count(&world, "Refunded").await, 2);
    world.stop().await;
}

/// Planted bug: leaving the reading of ids and times to the database makes a 5xx of them, and Stripe delivers them for days.
#[tokio::test(flavor = "multi_thread")]
async fn what_no_event_of_stripes_has_is_refused_and_not_kept() {
    let world = quiet_world(Setup::default()).await;
    let good = event(
        "evt_good",
        "customer.created",
        &json!({"id": "cus_1", "object": "customer"}),
    );
    let with = |path: &str, value: Value| {
        let mut bad = good.clone();
        *bad.pointer_mut(path).unwrap() = value;
        bad
    };
    let bad = [
        with("/id", json!("evt_\u{0}")),
        with("/id", json!("")),
        with("/id", json!("e".repeat(5000))),
        with("/id", json!("evt_1 or 2")),
        with("/type", json!("customer\u{0}")),
        with("/type", json!("t".repeat(5000))),
        with("/created", json!(-1)),
        with("/created", json!(-300_000_000_000_i64)),
        with("/created", json!(i64::MAX)),
        with("/created", json!(1.5)),
        with("/created", json!("now")),
        with("/data", json!({})),
        with("/data/object", json!([])),
        with("/data/object", json!("cus_1")),
        json!({"object": "customer", "id": "cus_1"}),
    ];
    for body in &bad {
        assert_eq!(deliver_to(&world, "acme", body).await, 400, "{body}");
    }
    assert_eq!(kept(&world).await, 0);
    // What the database cannot hold is left out.
    let odd = with(
        "/data/object",
        json!({"payment_intent": "\u{0}", "id": {"a": ["\u{0}"]}}),
    );
    deliver(&world, &odd).await;
    until_state(&world, "evt_good", "skipped").await;
    world.stop().await;
}
