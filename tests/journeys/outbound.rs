//! Webhooks that we send: what Stripe told us, on to the endpoints of the merchant, over real sockets.

use crate::receiver::Receiver;
use crate::support::{Setup, World, card_payment, send, until};
use counterfoil::outbound::{Options, Reach, Schedule};
use counterfoil::store::{Caller, KeyKind, LoggedDelivery, Page};
use counterfoil::use_cases::{
    AppError, CreateEndpoint, EndpointAnswer, EndpointError, Idempotency, UpdateEndpoint,
};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;

/// Looks often and pauses briefly, so that no test waits; how long the pauses are in service is the schedule's own test.
fn quick() -> Setup {
    Setup {
        outbound: Options {
            reach: Reach::Anywhere,
            schedule: Schedule {
                pause_first: Duration::from_millis(10),
                pause_max: Duration::from_millis(20),
                ..Schedule::default()
            },
            every: Duration::from_millis(10),
            ..Options::default()
        },
        ..Setup::default()
    }
}

async fn caller(world: &World, key: &str) -> Arc<Caller> {
    let keys = &world.app().store().keys;
    let found = keys
        .caller(KeyKind::StripeSecret, None, &key.to_owned().into())
        .await;
    found.unwrap().unwrap()
}

async fn acme(world: &World) -> Arc<Caller> {
    caller(world, "sk_test_acme").await
}

async fn register(world: &World, url: &str, events: &[&str]) -> EndpointAnswer {
    let it = CreateEndpoint {
        url: url.to_owned(),
        enabled_events: events.iter().map(|it| (*it).to_owned()).collect(),
        ..CreateEndpoint::default()
    };
    let acme = acme(world).await;
    world.app().create_endpoint(&acme, it, None).await.unwrap()
}

async fn pay(world: &World) -> Value {
    let body = card_payment(2000, "usd", "4242424242424242");
    let (status, paid) = send(world.pay("/v1/payment_intents", body)).await;
    assert_eq!(status, 200, "{paid}");
    paid
}

async fn log(world: &World, endpoint: &EndpointAnswer) -> Vec<LoggedDelivery> {
    let page = Page {
        limit: 100,
        ..Page::default()
    };
    let acme = acme(world).await;
    let listed = world.app().deliveries(&acme, &endpoint.endpoint.id, &page);
    listed.await.unwrap().items
}

/// Waits until the endpoint's deliveries are so many, and all of them have ended.
async fn until_ended(
    world: &World,
    endpoint: &EndpointAnswer,
    count: usize,
) -> Vec<LoggedDelivery> {
    let mut seen = Vec::new();
    until("the deliveries have ended", async || {
        seen = log(world, endpoint).await;
        seen.len() == count && seen.iter().all(|it| it.state != "pending")
    })
    .await;
    seen
}

const SUCCEEDED: &str = "payment_intent.succeeded";

/// Planted bugs: signing the body without the time; sending what is kept as it is, our marks included.
#[tokio::test(flavor = "multi_thread")]
async fn a_payment_arrives_signed_at_the_endpoint_that_asked_for_its_type_and_at_no_other() {
    let world = World::start_with(quick()).await;
    let (wanting, other) = (Receiver::start().await, Receiver::start().await);
    let endpoint = register(&world, &wanting.url(), &[SUCCEEDED]).await;
    let unmoved = register(&world, &other.url(), &["payout.paid"]).await;
    let paid = pay(&world).await;
    let ended = until_ended(&world, &endpoint, 1).await;

    let got = wanting.got();
    assert_eq!(got.len(), 1);
    assert!(got[0].is_signed_with(endpoint.secret.as_ref().unwrap()));
    assert!(!got[0].is_signed_with(unmoved.secret.as_ref().unwrap()));
    let event = got[0].event();
    assert_eq!(event["type"], SUCCEEDED);
    assert_eq!(event["id"], ended[0].event_id.as_str());
    let object = &event["data"]["object"];
    assert_eq!(object["id"], paid["id"]);
    assert_eq!(object["client_secret"], Value::Null);
    let text = String::from_utf8(got[0].body.to_vec()).unwrap();
    assert!(
        !text.contains("_secret_") && !text.contains("counterfoil_"),
        "{text}"
    );
    assert_eq!(got[0].header("counterfoil-delivery"), ended[0].delivery_id);
    let position: i64 = got[0]
        .header("counterfoil-ledger-position")
        .parse()
        .unwrap();
    assert!(position > 0 && position == ended[0].ledger_position);
    assert!(
        got[0]
            .header("content-type")
            .starts_with("application/json")
    );

    assert_eq!(ended[0].state, "delivered");
    assert_eq!(ended[0].attempts[0].status, Some(200));
    assert_eq!(ended[0].attempts[0].response_bytes, 9);
    assert!(other.got().is_empty() && log(&world, &unmoved).await.is_empty());
    world.stop_audited().await;
}

/// Planted bugs: following a redirect reaches a 200 at once; counting any answer as success ends after the first; rendering
/// the time into the body makes another body.
#[tokio::test(flavor = "multi_thread")]
async fn what_fails_is_sent_again_word_for_word_until_it_is_taken_and_no_redirect_is_followed() {
    let world = World::start_with(quick()).await;
    let receiver = Receiver::start().await;
    receiver.answers(&[500, 302, 308, 404, 204]);
    let endpoint = register(&world, &receiver.url(), &[SUCCEEDED]).await;
    pay(&world).await;
    let ended = until_ended(&world, &endpoint, 1).await;
    assert_eq!(ended[0].state, "delivered");
    let tried: Vec<_> = ended[0]
        .attempts
        .iter()
        .map(|it| (it.status.unwrap(), it.error.as_deref()))
        .collect();
    let failed = [
        (500, Some("status")),
        (302, Some("redirect")),
        (308, Some("redirect")),
        (404, Some("status")),
    ];
    assert_eq!(tried, [&failed[..], &[(204, None)]].concat());
    let got = receiver.got();
    assert_eq!(got.len(), 5);
    assert!(got.iter().all(|it| it.body == got[0].body));
    world.stop_audited().await;
}

/// Planted bug: a schedule that never ends leaves it pending.
#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_takes_is_given_up_and_sent_once_more_on_request() {
    let mut setup = quick();
    setup.outbound.schedule.keep_trying_for = Duration::ZERO;
    let world = World::start_with(setup).await;
    let receiver = Receiver::start().await;
    receiver.answers(&[503]);
    let endpoint = register(&world, &receiver.url(), &[SUCCEEDED]).await;
    pay(&world).await;
    let failed = until_ended(&world, &endpoint, 1).await;
    assert_eq!(
        (failed[0].state.as_str(), failed[0].attempts.len()),
        ("failed", 1)
    );

    let (acme, id) = (acme(&world).await, &endpoint.endpoint.id);
    let (again, _) = world
        .app()
        .redeliver(&acme, id, &failed[0].delivery_id, None)
        .await
        .unwrap();
    assert_eq!(again.delivery_id, failed[0].delivery_id);
    until("it is delivered", async || {
        log(&world, &endpoint).await[0].state == "delivered"
    })
    .await;
    assert_eq!(log(&world, &endpoint).await[0].attempts.len(), 2);
    assert_eq!(receiver.got()[0].body, receiver.got()[1].body);
    let unknown = world
        .app()
        .redeliver(&acme, id, "whd_none", None)
        .await
        .unwrap_err();
    assert!(is_not_found(&unknown), "{unknown}");
    world.stop_audited().await;
}

fn is_not_found(error: &EndpointError) -> bool {
    matches!(error, EndpointError::App(AppError::NotFound { .. }))
}

/// Planted bug: without the bound for each endpoint, or with deliveries sent one after the other, the silent one holds up
/// the other, and the test waits in vain.
#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_does_not_answer_holds_up_no_other() {
    let mut setup = quick();
    setup.outbound.at_once_per_endpoint = 2;
    setup.outbound.at_once = 3;
    let world = World::start_with(setup).await;
    let (silent, lively) = (Receiver::start().await, Receiver::start().await);
    silent.hangs().await;
    let held = register(&world, &silent.url(), &["*"]).await;
    let quick = register(&world, &lively.url(), &["*"]).await;
    pay(&world).await;
    pay(&world).await;
    until("all of it has come to the lively one", async || {
        let (held, ended) = (log(&world, &held).await, log(&world, &quick).await);
        let succeeded = ended.iter().filter(|it| it.event_type == SUCCEEDED).count();
        succeeded == 2
            && held.len() == ended.len()
            && ended.iter().all(|it| it.state == "delivered")
    })
    .await;
    assert!(log(&world, &held).await.len() > 4);
    assert!(silent.at_once_max() <= 2);
    assert!(
        log(&world, &held)
            .await
            .iter()
            .all(|it| it.state == "pending")
    );
    silent.goes_on();
    let count = log(&world, &held).await.len();
    until_ended(&world, &held, count).await;
    assert!(silent.at_once_max() <= 2);
    world.stop_audited().await;
}

/// Planted bug: taking what is due without asking for its lease has both send the same.
#[tokio::test(flavor = "multi_thread")]
async fn two_workers_never_send_the_same_delivery_at_the_same_time() {
    let world = World::start_with(quick()).await;
    let receiver = Receiver::start().await;
    receiver.hangs().await;
    let endpoint = register(&world, &receiver.url(), &[SUCCEEDED]).await;
    // Another instance's worker, on the same database.
    let stop = tokio_util::sync::CancellationToken::new();
    let (app, stopped) = (world.app().clone(), stop.clone());
    let other = tokio::spawn(async move { app.run_deliveries(stopped).await });
    pay(&world).await;
    until("it is under way", async || !receiver.got().is_empty()).await;
    // Both look for what is due, many times over, while it is under way.
    let store = world.app().store();
    for _ in 0..50 {
        let lease = store.ids.uuid();
        let taken = store
            .outgoing
            .lease(10, 4, lease, Duration::from_secs(60))
            .await;
        assert!(taken.unwrap().is_empty());
    }
    receiver.goes_on();
    let ended = until_ended(&world, &endpoint, 1).await;
    assert_eq!((ended[0].attempt_count, receiver.got().len()), (1, 1));
    stop.cancel();
    other.await.unwrap();
    world.stop_audited().await;
}

/// Planted bugs: telling a deleted endpoint of new events; leasing what waits for one that is switched off.
#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_is_switched_off_or_deleted_is_sent_nothing() {
    let world = World::start_with(quick()).await;
    let (gone, off) = (Receiver::start().await, Receiver::start().await);
    let watching = Receiver::start().await;
    gone.answers(&[500; 1000]);
    off.answers(&[500; 1000]);
    let deleted = register(&world, &gone.url(), &[SUCCEEDED]).await;
    let disabled = register(&world, &off.url(), &[SUCCEEDED]).await;
    let witness = register(&world, &watching.url(), &[SUCCEEDED]).await;
    let (app, acme) = (world.app(), acme(&world).await);
    pay(&world).await;
    until("both are tried", async || {
        !gone.got().is_empty() && !off.got().is_empty()
    })
    .await;
    let disable = UpdateEndpoint {
        disabled: Some(true),
        ..UpdateEndpoint::default()
    };
    let changed = app.update_endpoint(&acme, &disabled.endpoint.id, disable, None);
    assert!(!changed.await.unwrap().endpoint.enabled);
    let id = &deleted.endpoint.id;
    app.delete_endpoint(&acme, id, None).await.unwrap();
    let is_so = async |endpoint: &EndpointAnswer, condition: &str| -> Vec<bool> {
        let sql = format!("select {condition} from webhook_deliveries where endpoint_id = $1");
        let rows = sqlx::query_scalar(&sql).bind(&endpoint.endpoint.id);
        rows.fetch_all(app.store().pool()).await.unwrap()
    };
    let due = "state = 'pending' and lease is null and next_at <= clock_timestamp()";
    until("it would be due", async || {
        is_so(&disabled, due).await == [true]
    })
    .await;
    let tried = off.got().len();
    pay(&world).await;
    until_ended(&world, &witness, 2).await;
    assert_eq!(is_so(&deleted, "state = 'canceled'").await, [true]);
    assert_eq!(is_so(&disabled, due).await, [true]);
    assert_eq!(off.got().len(), tried);
    for refused in [
        app.webhook_endpoint(&acme, id).await.map(drop),
        app.delete_endpoint(&acme, id, None).await.map(drop),
    ] {
        assert!(is_not_found(&refused.unwrap_err()));
    }

    // What waits for an endpoint that stays off is given up in time; what ended goes when it is old. Nothing else does.
    let older = "update webhook_deliveries set tried_since = tried_since - interval '4 days', \
                 created_at = created_at - interval '31 days' where endpoint_id <> $1";
    let (pool, outgoing) = (app.store().pool(), &app.store().outgoing);
    let older = sqlx::query(older).bind(&witness.endpoint.id);
    older.execute(pool).await.unwrap();
    let days = |days: u64| Duration::from_secs(days * 24 * 3600);
    assert_eq!(outgoing.tidy(days(3), days(32)).await.unwrap(), 1);
    assert_eq!(is_so(&disabled, "state = 'failed'").await, [true]);
    assert_eq!(outgoing.tidy(days(3), days(30)).await.unwrap(), 0);
    assert!(log(&world, &disabled).await.is_empty() && is_so(&deleted, "true").await.is_empty());
    assert_eq!(log(&world, &witness).await.len(), 2);
    world.stop_audited().await;
}

/// Planted bug: looking an endpoint up by its id alone.
#[tokio::test(flavor = "multi_thread")]
async fn another_merchants_endpoint_is_none_whatever_is_asked_of_it() {
    let world = World::start_with(quick()).await;
    let receiver = Receiver::start().await;
    let endpoint = register(&world, &receiver.url(), &[SUCCEEDED]).await;
    pay(&world).await;
    let delivery = until_ended(&world, &endpoint, 1)
        .await
        .remove(0)
        .delivery_id;
    let (app, rival, id) = (
        world.app(),
        caller(&world, "sk_test_rival").await,
        &endpoint.endpoint.id,
    );
    let page = Page {
        limit: 10,
        ..Page::default()
    };
    let refused = [
        app.webhook_endpoint(&rival, id).await.map(drop),
        app.update_endpoint(&rival, id, UpdateEndpoint::default(), None)
            .await
            .map(drop),
        app.roll_endpoint_secret(&rival, id, None).await.map(drop),
        app.delete_endpoint(&rival, id, None).await.map(drop),
        app.deliveries(&rival, id, &page).await.map(drop),
        app.redeliver(&rival, id, &delivery, None).await.map(drop),
    ];
    for refused in refused {
        let error = refused.unwrap_err();
        assert!(is_not_found(&error), "{error}");
        assert_eq!(
            error.to_string(),
            format!("no such webhook endpoint: '{id}'")
        );
    }
    assert!(
        app.webhook_endpoints(&rival, &page)
            .await
            .unwrap()
            .items
            .is_empty()
    );
    world.stop_audited().await;
}

/// Planted bugs: keeping the secret in a column; signing with the new secret alone; showing it to whoever asks later.
#[tokio::test(flavor = "multi_thread")]
async fn a_rolled_secret_signs_beside_the_new_one_and_neither_is_in_the_database() {
    let world = World::start_with(quick()).await;
    let receiver = Receiver::start().await;
    let endpoint = register(&world, &receiver.url(), &[SUCCEEDED]).await;
    let (acme, id) = (acme(&world).await, &endpoint.endpoint.id);
    let rolled = world
        .app()
        .roll_endpoint_secret(&acme, id, None)
        .await
        .unwrap();
    let (old, new) = (
        endpoint.secret.as_ref().unwrap(),
        rolled.secret.as_ref().unwrap(),
    );
    assert!(
        old.expose_secret().starts_with("whsec_") && old.expose_secret() != new.expose_secret()
    );
    assert!(
        world
            .app()
            .webhook_endpoint(&acme, id)
            .await
            .unwrap()
            .secret
            .is_none()
    );
    pay(&world).await;
    until_ended(&world, &endpoint, 1).await;
    let got = receiver.got();
    assert!(got[0].is_signed_with(old) && got[0].is_signed_with(new));
    assert!(!database_holds(&world, &[old, new]).await);

    // A day later the new one signs alone.
    sqlx::query("update webhook_endpoints set rolled_at = rolled_at - interval '25 hours'")
        .execute(world.app().store().pool())
        .await
        .unwrap();
    pay(&world).await;
    until_ended(&world, &endpoint, 2).await;
    let got = receiver.got();
    assert!(!got[1].is_signed_with(old) && got[1].is_signed_with(new));
    world.stop_audited().await;
}

/// Whether any row of any table holds one of these.
async fn database_holds(world: &World, secrets: &[&SecretString]) -> bool {
    let pool = world.app().store().pool();
    let tables: Vec<String> = sqlx::query_scalar(
        "select quote_ident(tablename) from pg_tables where schemaname = 'public'",
    )
    .fetch_all(pool)
    .await
    .unwrap();
    assert!(tables.iter().any(|it| it == "webhook_endpoints"));
    for table in tables {
        for secret in secrets {
            // With the prefix or without it.
            let needle = secret.expose_secret().trim_start_matches("whsec_");
            let sql = format!(
                "select exists (select from {table} it where position($1 in it::text) > 0)"
            );
            let found: bool = sqlx::query_scalar(&sql)
                .bind(needle)
                .fetch_one(pool)
                .await
                .unwrap();
            if found {
                return true;
            }
        }
    }
    false
}

/// Planted bug: checking the address when the endpoint is made, and not when it is sent to, reaches this machine.
#[tokio::test(flavor = "multi_thread")]
async fn an_address_on_this_machine_is_refused_when_the_endpoint_is_made_and_when_it_is_sent_to() {
    let mut setup = quick();
    setup.outbound.reach = Reach::Public;
    setup.outbound.schedule.keep_trying_for = Duration::ZERO;
    let world = World::start_with(setup).await;
    let receiver = Receiver::start().await;
    let acme = acme(&world).await;
    for url in [
        receiver.url(),
        "http://[::1]/".to_owned(),
        "http://10.0.0.1/".to_owned(),
    ] {
        let it = CreateEndpoint {
            url,
            enabled_events: vec!["*".to_owned()],
            ..CreateEndpoint::default()
        };
        let refused = world
            .app()
            .create_endpoint(&acme, it, None)
            .await
            .unwrap_err();
        assert!(matches!(refused, EndpointError::Url(_)), "{refused}");
        assert_eq!(refused.param().as_deref(), Some("url"));
    }
    // A name says nothing until it is resolved.
    let named = format!("http://localhost:{}/hook", receiver.address.port());
    let endpoint = register(&world, &named, &[SUCCEEDED]).await;
    pay(&world).await;
    let ended = until_ended(&world, &endpoint, 1).await;
    assert_eq!(
        ended[0].attempts[0].error.as_deref(),
        Some("address_refused")
    );
    assert_eq!(ended[0].state, "failed");
    assert!(receiver.got().is_empty());
    world.stop_audited().await;
}

/// Planted bugs: counting outside of the transaction makes a seventeenth; forgetting the key makes two.
#[tokio::test(flavor = "multi_thread")]
async fn a_merchant_has_sixteen_endpoints_at_the_most_and_one_for_each_idempotency_key() {
    let world = World::start_with(quick()).await;
    let (app, acme) = (world.app(), acme(&world).await);
    let it = || CreateEndpoint {
        url: "https://example.com/hook".to_owned(),
        enabled_events: vec!["*".to_owned()],
        ..CreateEndpoint::default()
    };
    let key = |hash: u8| Idempotency::new("payment_intents", "once".to_owned(), [hash; 32], false);
    let first = app
        .create_endpoint(&acme, it(), Some(key(1)))
        .await
        .unwrap();
    let again = app
        .create_endpoint(&acme, it(), Some(key(1)))
        .await
        .unwrap();
    assert_eq!(
        (first.endpoint.id, first.replayed),
        (again.endpoint.id, false)
    );
    assert!(again.replayed);
    let other = app
        .create_endpoint(&acme, it(), Some(key(2)))
        .await
        .unwrap_err();
    assert!(
        matches!(other, EndpointError::App(AppError::KeyReused)),
        "{other}"
    );
    let many = (0..40).map(|_| app.create_endpoint(&acme, it(), None));
    let made = futures::future::join_all(many).await;
    let refused = made
        .iter()
        .filter(|it| matches!(it, Err(EndpointError::TooMany)))
        .count();
    let accepted = made.iter().filter(|it| it.is_ok()).count();
    assert_eq!((accepted, refused), (15, 25));
    let page = Page {
        limit: 100,
        ..Page::default()
    };
    assert_eq!(
        app.webhook_endpoints(&acme, &page)
            .await
            .unwrap()
            .items
            .len(),
        16
    );
    world.stop_audited().await;
}
