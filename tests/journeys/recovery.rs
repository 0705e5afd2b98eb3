//! What Stripe did not answer comes to its end by itself: sent again while that is safe, looked up when it is not, by one
//! instance at a time.

use crate::crash::Process;
use crate::support::{self, Setup, World, card_payment, send, until};
use counterfoil::gateway::GatewayOptions;
use counterfoil::service::Service;
use counterfoil::use_cases::Recovery;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::net::TcpListener;

pub const FORM: &str = "application/x-www-form-urlencoded";
const DAY: Duration = Duration::from_secs(24 * 3600);

/// Recovery that a test drives by hand: what is open is due at once, and again at once.
pub fn at_once() -> Recovery {
    Recovery {
        every: DAY,
        pause_min: Duration::ZERO,
        ..Recovery::default()
    }
}

/// The same, when every key may be forgotten: nothing is sent again. What is shown not to have been done is believed.
pub fn long_after() -> Recovery {
    Recovery {
        certain_for: Duration::ZERO,
        absent_for: Duration::ZERO,
        ..at_once()
    }
}

pub fn with(recovery: Recovery) -> Setup {
    Setup {
        recovery,
        ..Setup::default()
    }
}

/// A world in which Stripe tells nothing by itself.
pub async fn quiet_world(recovery: Recovery) -> World {
    let world = World::start_with(with(recovery)).await;
    let paused = Some(json!({"paused": true}));
    world.sim(Method::POST, "webhooks", paused).await;
    world
}

/// The next so many requests to Stripe of this method under `path` meet the fault.
pub async fn fault(world: &World, kind: &str, method: &str, path: &str, times: u64) {
    let fault = json!({"kind": kind, "method": method, "path_prefix": path, "times": times});
    world.sim(Method::POST, "faults", Some(fault)).await;
}

/// Two days pass at Stripe: it has forgotten every key.
pub async fn forget_keys(world: &World) {
    let advance = Some(json!({"advance_s": 2 * 24 * 3600}));
    world.sim(Method::POST, "clock", advance).await;
}

/// One look of recovery, at everything that is open.
pub async fn recover(world: &World) {
    world.app().recover(Duration::ZERO).await;
}

pub async fn names(world: &World, event: &str) -> usize {
    let history = world.history("acme").await;
    history.iter().filter(|name| *name == event).count()
}

pub async fn count_at_stripe(world: &World, path: &str) -> usize {
    let (_, list) = send(world.stripe(Method::GET, path)).await;
    list["data"].as_array().unwrap().len()
}

/// What recovery keeps of its work: attempts and the last error of each intention.
pub async fn work(world: &World) -> Vec<(i32, Option<String>)> {
    sqlx::query_as("select attempts, last_error from recovery_work order by intended_at")
        .fetch_all(world.app().store().pool())
        .await
        .unwrap()
}

/// Looks until nothing is open any more. The look at a restart may be under way already.
pub async fn until_ended(world: &World) {
    until("every intention has ended", async || {
        recover(world).await;
        let open: i64 = sqlx::query_scalar(
            "select (select count(*) from payments where pending_intention is not null)
                  + (select count(*) from stripe_requests where pending_intention is not null)
                  + (select count(*) from recovery_work)",
        )
        .fetch_one(world.app().store().pool())
        .await
        .unwrap();
        open == 0
    })
    .await;
}

fn order_9(intents: &[Value]) -> usize {
    let of_9 = intents
        .iter()
        .filter(|intent| intent["metadata"]["order_id"] == "9");
    of_9.count()
}

/// Planted bug: sending again what is older than Stripe's memory makes a second intent.
#[tokio::test(flavor = "multi_thread")]
async fn an_intent_that_was_made_is_found_after_stripe_has_forgotten_the_key() {
    let mut world = quiet_world(at_once()).await;
    fault(&world, "drop_after", "POST", "/v1/payment_intents", 1).await;
    assert_eq!(send(world.shop_create()).await.0, 503);
    forget_keys(&world).await;
    world.restart(with(long_after())).await;
    until_ended(&world).await;
    assert_eq!(names(&world, "Created").await, 1);
    let intents = world.intents_at_stripe("acme").await;
    assert_eq!(order_9(&intents), 1, "{intents:?}");
    let (status, answer) = send(world.shop_create()).await;
    assert_eq!(status, 200, "{answer}");
    let intents = world.intents_at_stripe("acme").await;
    assert_eq!(order_9(&intents), 1, "{intents:?}");
    world.stop_audited().await;
}

/// Planted bug: an intention that is looked up and not found is left open, and its order with it.
#[tokio::test(flavor = "multi_thread")]
async fn an_intent_that_was_not_made_is_given_up_and_its_order_is_free_again() {
    let mut world = quiet_world(at_once()).await;
    fault(&world, "drop_before", "POST", "/v1/payment_intents", 1).await;
    assert_eq!(send(world.shop_create()).await.0, 503);
    forget_keys(&world).await;
    world.restart(with(long_after())).await;
    until_ended(&world).await;
    assert_eq!(names(&world, "CreateRefused").await, 1);
    assert_eq!(names(&world, "PaymentReleased").await, 1);
    assert_eq!(order_9(&world.intents_at_stripe("acme").await), 0);
    world.restart(with(at_once())).await;
    let (status, answer) = send(world.shop_create()).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(order_9(&world.intents_at_stripe("acme").await), 1);
    world.stop_audited().await;
}

/// Planted bug: believing at once that what is not there will not come gives up an intent that is still being made.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_yet_may_still_be_on_its_way() {
    let mut setup = with(at_once());
    setup.gateway = GatewayOptions {
        timeout: Duration::from_millis(300),
        attempts: 1,
    };
    let mut world = World::start_with(setup).await;
    let paused = Some(json!({"paused": true}));
    world.sim(Method::POST, "webhooks", paused).await;
    fault(&world, "hold_before", "POST", "/v1/payment_intents", 1).await;
    assert_eq!(send(world.shop_create()).await.0, 503);
    let patient = Recovery {
        absent_for: DAY,
        ..long_after()
    };
    world.restart(with(patient)).await;
    until("it was looked up", async || {
        let looked_up = work(&world).await.iter().any(|(attempts, _)| *attempts > 0);
        looked_up || names(&world, "CreateRefused").await > 0
    })
    .await;
    assert_eq!(names(&world, "CreateRefused").await, 0);
    world.sim(Method::POST, "faults/release", None).await;
    world.wait_until_held(0).await;
    until("the intent is made", async || {
        order_9(&world.intents_at_stripe("acme").await) == 1
    })
    .await;
    until_ended(&world).await;
    assert_eq!(names(&world, "Created").await, 1);
    world.stop_audited().await;
}

/// Planted bug: taking a kept 500 for any other asks for it again for ever.
#[tokio::test(flavor = "multi_thread")]
async fn a_500_that_stripe_keeps_is_not_asked_for_for_ever() {
    for (kind, made) in [("status_500_after", 1), ("status_500", 0)] {
        let believing = Recovery {
            absent_for: Duration::ZERO,
            ..at_once()
        };
        let world = quiet_world(believing).await;
        fault(&world, kind, "POST", "/v1/payment_intents", 1).await;
        assert_eq!(send(world.shop_create()).await.0, 503, "{kind}");
        recover(&world).await;
        assert_eq!(names(&world, "Created").await, made, "{kind}");
        assert_eq!(names(&world, "CreateRefused").await, 1 - made, "{kind}");
        assert_eq!(send(world.shop_create()).await.0, 200, "{kind}");
        let intents = world.intents_at_stripe("acme").await;
        assert_eq!(order_9(&intents), 1, "{kind}: {intents:?}");
        world.stop_audited().await;
    }
}

/// A payment of 20.00 that waits for `step`.
async fn ready_for(world: &World, step: &str) -> String {
    let mut body = card_payment(2000, "usd", "4242424242424242");
    match step {
        "/confirm" | "" => {
            body["confirm"] = json!(false);
            body.as_object_mut().unwrap().remove("return_url");
        }
        _ => body["capture_method"] = json!("manual"),
    }
    let (status, made) = send(world.pay("/v1/payment_intents", body)).await;
    assert_eq!(status, 200, "{made}");
    made["id"].as_str().unwrap().to_owned()
}

fn take(world: &World, intent: &str, step: &str) -> RequestBuilder {
    let body = match step {
        "" => json!({"amount": 2500, "metadata": {"note": "changed"}}),
        "/confirm" => json!({"return_url": "https://your.website"}),
        _ => json!({}),
    };
    world.pay(&format!("/v1/payment_intents/{intent}{step}"), body)
}

/// Planted bugs: taking the answer of a look-up for an update's own (it is then always recorded as made); sending the step
/// again once its key may be forgotten (a capture of what was captured is refused, and recorded as refused).
#[tokio::test(flavor = "multi_thread")]
async fn every_step_is_looked_up_as_it_went() {
    let steps = [
        ("", "Updated", "UpdateRefused"),
        ("/confirm", "Succeeded", "ConfirmRefused"),
        ("/capture", "Succeeded", "CaptureRefused"),
        ("/cancel", "Cancelled", "CancelRefused"),
    ];
    for (step, done, refused) in steps {
        for (kind, is_done) in [("drop_after", true), ("drop_before", false)] {
            let mut world = quiet_world(at_once()).await;
            let intent = ready_for(&world, step).await;
            let path = format!("/v1/payment_intents/{intent}{step}");
            fault(&world, kind, "POST", &path, 1).await;
            let (status, answer) = send(take(&world, &intent, step)).await;
            assert_eq!(status, 500, "{step} {kind}: {answer}");
            forget_keys(&world).await;
            world.restart(with(long_after())).await;
            until_ended(&world).await;
            let told = (names(&world, done).await, names(&world, refused).await);
            assert_eq!(
                told,
                (usize::from(is_done), usize::from(!is_done)),
                "{step} {kind}: {:?}",
                world.history("acme").await
            );
            world.stop_audited().await;
        }
    }
}

/// Planted bugs: sending a refund again once its key may be forgotten gives the money back twice; looking at the first refund
/// of the list, whosever it is.
#[tokio::test(flavor = "multi_thread")]
async fn a_refund_is_found_among_the_intents_refunds_and_never_made_twice() {
    for (kind, refunded) in [("drop_after", 1), ("drop_before", 0)] {
        let mut world = quiet_world(at_once()).await;
        let (_, paid) = send(world.pay(
            "/v1/payment_intents",
            card_payment(2000, "usd", "4242424242424242"),
        ))
        .await;
        let refund = |amount| {
            let body = json!({"payment_intent": paid["id"], "amount": amount});
            world.pay("/v1/refunds", body)
        };
        assert_eq!(send(refund(300)).await.0, 200);
        fault(&world, kind, "POST", "/v1/refunds", 1).await;
        assert_eq!(send(refund(500)).await.0, 500, "{kind}");
        forget_keys(&world).await;
        world.restart(with(long_after())).await;
        until_ended(&world).await;
        let told = (
            names(&world, "Refunded").await,
            names(&world, "RefundRefused").await,
        );
        assert_eq!(told, (1 + refunded, 1 - refunded), "{kind}");
        let at_stripe = count_at_stripe(&world, "/v1/refunds").await;
        assert_eq!(at_stripe, 1 + refunded, "{kind}");
        world.stop_audited().await;
    }
}

fn customer(world: &World) -> RequestBuilder {
    world
        .post("/v1/customers")
        .bearer_auth("sk_test_acme")
        .header("Idempotency-Key", "customer-1")
        .header("Content-Type", FORM)
        .body("name=Ada")
}

/// Planted bug: making a customer again once the key may be forgotten makes two of her.
#[tokio::test(flavor = "multi_thread")]
async fn what_no_payment_carries_is_found_by_the_mark_of_its_request() {
    for (kind, made) in [("drop_after", 1), ("drop_before", 0)] {
        let mut world = quiet_world(at_once()).await;
        fault(&world, kind, "POST", "/v1/customers", 1).await;
        assert_eq!(send(customer(&world)).await.0, 500, "{kind}");
        forget_keys(&world).await;
        world.restart(with(long_after())).await;
        until_ended(&world).await;
        let told = (
            names(&world, "ChangeMade").await,
            names(&world, "ChangeRefused").await,
        );
        assert_eq!(told, (made, 1 - made), "{kind}");
        let (status, answer) = send(customer(&world)).await;
        match made {
            1 => assert_eq!((status, &answer["name"]), (200, &json!("Ada")), "{answer}"),
            _ => assert_eq!(
                (status, &answer["error"]["code"]),
                (409, &json!("not_carried_out")),
                "{answer}"
            ),
        }
        assert_eq!(answer["metadata"]["counterfoil_request"], Value::Null);
        assert_eq!(count_at_stripe(&world, "/v1/customers").await, made);
        world.stop_audited().await;
    }
}

/// Planted bug: recovery that looks at payments alone leaves the checkout open, and its order with it.
#[tokio::test(flavor = "multi_thread")]
async fn a_checkout_that_was_cut_off_is_gone_on_with_though_nobody_asks_again() {
    let world = quiet_world(at_once()).await;
    fault(&world, "drop_after", "POST", "/v1/checkout/sessions", 1).await;
    let checkout = world
        .post("/payment/stripe/v1/checkout")
        .header("x-api-key", "bokamera-acme")
        .bearer_auth("customer-9")
        .json(&json!({
            "CompanyId": "11111111-1111-1111-1111-111111111111",
            "CountryCode": "SE",
            "Articles": [{"ArticleId": 1, "Quantity": 1}],
            "InternalReferenceId": "cut-off",
            "ConfirmationUrl": "https://shop.example/done",
        }));
    let (status, answer) = send(checkout).await;
    assert_eq!(status, 503, "{answer}");
    assert_eq!(names(&world, "ChangeMade").await, 0);
    recover(&world).await;
    assert_eq!(names(&world, "ChangeMade").await, 1);
    assert_eq!(
        count_at_stripe(&world, "/v1/checkout/sessions").await,
        1,
        "the same request under the same key"
    );
    world.stop_audited().await;
}

/// Another instance on the world's database and simulator.
async fn second_instance(world: &World, recovery: Recovery) -> Service {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let setup = Setup {
        seed: 2,
        ..with(recovery)
    };
    support::serve(listener, &world.database_url, &world.simulator, setup).await
}

/// Planted bug: leasing what is leased has both ask for the same at once.
#[tokio::test(flavor = "multi_thread")]
async fn two_instances_never_drive_the_same_intention_at_once() {
    let world = quiet_world(at_once()).await;
    fault(&world, "drop_before", "POST", "/v1/payment_intents", 1).await;
    assert_eq!(send(world.shop_create()).await.0, 503);
    let other = second_instance(&world, at_once()).await;
    // The second looks once at its start; by then nothing else may be due.
    until("the intention has its outcome", async || {
        other.app.recover(Duration::ZERO).await;
        names(&world, "Created").await == 1
    })
    .await;

    fault(&world, "drop_before", "POST", "/v1/payment_intents", 1).await;
    let body = json!({"amount": 2000, "currency": "usd"});
    assert_eq!(send(world.pay("/v1/payment_intents", body)).await.0, 500);
    fault(&world, "hold_before", "POST", "/v1/payment_intents", 1).await;
    let first = tokio::spawn({
        let app = world.app().clone();
        async move { app.recover(Duration::ZERO).await }
    });
    world.wait_until_held(1).await;
    other.app.recover(Duration::ZERO).await;
    assert_eq!(work(&world).await, [(0, None)], "the second left it alone");
    world.sim(Method::POST, "faults/release", None).await;
    first.await.unwrap();
    assert_eq!(names(&world, "Created").await, 2);
    assert_eq!(work(&world).await, []);
    other.stop().await;
    world.stop_audited().await;
}

/// Planted bug: a lease that never runs out keeps what a dead instance had for ever.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_instance_had_leased_another_goes_on_with() {
    let mut world = quiet_world(at_once()).await;
    fault(&world, "drop_before", "POST", "/v1/payment_intents", 1).await;
    assert_eq!(send(world.shop_create()).await.0, 503);
    world.stop_service().await;
    fault(&world, "hold_before", "POST", "/v1/payment_intents", 1).await;
    let doomed = Process::start(&world).await;
    world.wait_until_held(1).await;
    doomed.kill();
    world.sim(Method::POST, "faults/release", None).await;
    world.wait_until_held(0).await;

    world.restart(with(at_once())).await;
    recover(&world).await;
    assert_eq!(names(&world, "Created").await, 0, "the lease still stands");
    // A minute later.
    let pool = world.app().store().pool();
    let mut transaction = pool.begin().await.unwrap();
    sqlx::query("update recovery_work set leased_until = leased_until - interval '1 minute'")
        .execute(&mut *transaction)
        .await
        .unwrap();
    transaction.commit().await.unwrap();
    // Stripe may still be ending the request that was held: then it is asked again.
    until_ended(&world).await;
    assert_eq!(names(&world, "Created").await, 1);
    assert_eq!(order_9(&world.intents_at_stripe("acme").await), 1);
    world.stop_audited().await;
}

/// Planted bug: a pause of nothing asks again with every look.
#[tokio::test(flavor = "multi_thread")]
async fn after_each_attempt_it_waits_longer_and_never_the_same_time() {
    let minute = Duration::from_secs(60);
    let waiting = Recovery {
        pause_min: minute,
        ..at_once()
    };
    let world = quiet_world(waiting).await;
    fault(&world, "status_429", "POST", "/v1/payment_intents", 3).await;
    for _ in 0..2 {
        let body = json!({"amount": 2000, "currency": "usd"});
        assert_eq!(send(world.pay("/v1/payment_intents", body)).await.0, 500);
    }
    recover(&world).await;
    recover(&world).await;
    let work: Vec<(i32, f64)> = sqlx::query_as(
        "select attempts, extract(epoch from next_at - clock_timestamp())::float8 from recovery_work order by next_at",
    )
    .fetch_all(world.app().store().pool())
    .await
    .unwrap();
    // One met the last fault, and waits; the other was made.
    assert_eq!(work.len(), 1, "{work:?}");
    let (attempts, pause_s) = work[0];
    assert_eq!(attempts, 1, "the second look found nothing due");
    assert!(
        (25.0..=60.0).contains(&pause_s),
        "a minute, half of it drawn: {pause_s}"
    );
    world.stop_audited().await;
}

/// Planted bug: a breaker that holds nothing back asks a dead Stripe with every look.
#[tokio::test(flavor = "multi_thread")]
async fn a_stripe_that_is_out_of_order_is_left_alone_until_it_answers_somebody() {
    let world = quiet_world(at_once()).await;
    fault(&world, "drop_before", "POST", "/v1/payment_intents", 100).await;
    assert_eq!(send(world.shop_create()).await.0, 503);
    for _ in 0..20 {
        recover(&world).await;
    }
    let (attempts, error) = work(&world).await.pop().unwrap();
    assert_eq!(
        attempts, 4,
        "the caller's own silence was the first of five"
    );
    assert!(error.is_some_and(|error| error.contains("broke")));
    world.sim(Method::DELETE, "faults", None).await;
    recover(&world).await;
    assert_eq!(names(&world, "Created").await, 0, "the breaker is open");
    // A caller is not held back, and what it hears closes the breaker.
    let body = json!({"amount": 2000, "currency": "usd"});
    assert_eq!(send(world.pay("/v1/payment_intents", body)).await.0, 200);
    let pool = world.app().store().pool();
    let mut transaction = pool.begin().await.unwrap();
    sqlx::query("update recovery_work set next_at = clock_timestamp()")
        .execute(&mut *transaction)
        .await
        .unwrap();
    transaction.commit().await.unwrap();
    recover(&world).await;
    assert_eq!(order_9(&world.intents_at_stripe("acme").await), 1);
    assert_eq!(work(&world).await, []);
    world.stop_audited().await;
}

/// Planted bug: finding work by what was found before, instead of in the read models, loses what was never found.
#[tokio::test(flavor = "multi_thread")]
async fn what_recovery_keeps_for_itself_may_be_lost() {
    let mut world = quiet_world(at_once()).await;
    fault(&world, "drop_before", "POST", "/v1/payment_intents", 2).await;
    assert_eq!(send(world.shop_create()).await.0, 503);
    recover(&world).await;
    assert_eq!(work(&world).await.len(), 1);
    let pool = world.app().store().pool();
    let mut transaction = pool.begin().await.unwrap();
    sqlx::query("delete from recovery_work")
        .execute(&mut *transaction)
        .await
        .unwrap();
    transaction.commit().await.unwrap();
    world.restart(with(at_once())).await;
    until_ended(&world).await;
    assert_eq!(names(&world, "Created").await, 1);
    world.stop_audited().await;
}
