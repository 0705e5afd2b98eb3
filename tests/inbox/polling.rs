//! Stripe's list of events, read for what no webhook brought.

use crate::support::{Setup, World, send, until};
use crate::{
    DAY, close, count, counterfoil, fault, instance, lines, paid, pause_webhooks, quiet_world,
};
use counterfoil::store::PollRow;
use counterfoil::use_cases::{App, Options, Polling};
use reqwest::Method;
use serde_json::json;
use std::time::Duration;

/// Polls when the test says so, and leaves nothing to the webhooks.
fn polling() -> Setup {
    with(Polling {
        grace: Duration::ZERO,
        pace: Duration::ZERO,
        stride: DAY,
        ..Polling::every(DAY)
    })
}

fn with(polling: Polling) -> Setup {
    let usual = Setup::default();
    Setup {
        options: Options {
            polling: Some(polling),
            ..usual.options
        },
        ..usual
    }
}

async fn another(world: &World, setup: Setup) -> App {
    instance(
        &world.database_url,
        &world.simulator,
        Setup { seed: 2, ..setup },
    )
    .await
}

/// The time of the next poll has come.
async fn due(world: &World) {
    let due = "update event_polls set next_at = now()";
    sqlx::query(due)
        .execute(world.app().store().pool())
        .await
        .unwrap();
}

async fn acme(world: &World) -> PollRow {
    let rows = world.app().store().polls.all().await.unwrap();
    rows.into_iter().find(|it| it.merchant == "acme").unwrap()
}

async fn kept(world: &World) -> i64 {
    let count = sqlx::query_scalar("select count(*) from webhook_inbox where merchant = 'acme'");
    count.fetch_one(world.app().store().pool()).await.unwrap()
}

/// What Stripe lists of acme's account.
async fn listed(world: &World) -> usize {
    let state = world
        .sim(Method::GET, "state?account=acct_acme", None)
        .await;
    state["acct_acme"]["events"].as_array().unwrap().len()
}

/// A refund of which no webhook tells, and many events beside it: more than a page.
async fn in_the_dashboard(world: &World) {
    let intent = paid(world, 2000, "4242424242424242").await;
    let refund = json!({"payment_intent": intent["id"], "amount": 500});
    assert_eq!(
        send(world.stripe(Method::POST, "/v1/refunds").json(&refund))
            .await
            .0,
        200
    );
    for number in 0..60 {
        let customer = json!({"name": format!("No. {number}")});
        let (status, made) =
            send(world.stripe(Method::POST, "/v1/customers").json(&customer)).await;
        assert_eq!(status, 200, "{made}");
        let path = format!("/v1/customers/{}", made["id"].as_str().unwrap());
        let changed = world
            .stripe(Method::POST, &path)
            .json(&json!({"name": "Other"}));
        assert_eq!(send(changed).await.0, 200);
    }
    assert!(listed(world).await > 100);
}

/// Planted bugs: reading one page alone; taking a polled event for another than its webhook.
#[tokio::test(flavor = "multi_thread")]
async fn what_no_webhook_brought_is_polled_applied_and_counted_once() {
    let world = quiet_world(Setup::default()).await;
    in_the_dashboard(&world).await;
    let app = another(&world, polling()).await;
    app.poll_due().await;
    until("the refund is known", async || {
        count(&world, "Refunded").await == 1
    })
    .await;
    let (listed, row) = (listed(&world).await, acme(&world).await);
    assert_eq!(usize::try_from(row.missed).unwrap(), listed, "{row:?}");
    assert!(row.unread_s <= 60 && row.last_error.is_none(), "{row:?}");
    let told = lines(&counterfoil(
        &world.database_url,
        &["inbox", "polls", "--json"],
    ));
    assert!(
        told.iter()
            .any(|it| it["merchant"] == "acme" && it["missed"] == row.missed),
        "{told:?}"
    );
    // Twice is once.
    due(&world).await;
    app.poll_due().await;
    assert_eq!(acme(&world).await.missed, row.missed);

    // What is late is no news.
    until("all is applied", async || {
        app.store().inbox.counts().await.unwrap().waiting == 0
    })
    .await;
    let before = world.history("acme").await;
    pause_webhooks(&world, false).await;
    until("the webhooks have come", async || {
        let come = "select count(*) from webhook_inbox where merchant = 'acme' and repeats > 0";
        let come: i64 = sqlx::query_scalar(come)
            .fetch_one(app.store().pool())
            .await
            .unwrap();
        usize::try_from(come).unwrap() == listed
    })
    .await;
    assert_eq!(world.history("acme").await, before);
    let odd = "select count(*) from webhook_inbox where contradictions > 0 or not polled or body::text like '%_secret_%'";
    let odd: i64 = sqlx::query_scalar(odd)
        .fetch_one(app.store().pool())
        .await
        .unwrap();
    assert_eq!(odd, 0, "polled, they tell the same, and no secret");
    close(app).await;
    world.stop().await;
}

/// Planted bug: moving the cursor on before all pages are read.
#[tokio::test(flavor = "multi_thread")]
async fn a_poll_that_breaks_off_goes_on_and_misses_nothing() {
    let world = quiet_world(Setup::default()).await;
    in_the_dashboard(&world).await;
    let app = another(&world, polling()).await;
    // The first page is shown, the second is not.
    for kind in ["latency_ms:1", "status_503"] {
        let fault =
            json!({"kind": kind, "path_prefix": "/v1/events", "account": "acct_acme", "times": 1});
        world.sim(Method::POST, "faults", Some(fault)).await;
    }
    app.poll_due().await;
    let broken = acme(&world).await;
    assert_eq!(broken.failures, 1, "{broken:?}");
    assert!(broken.last_error.unwrap().contains("503"));
    due(&world).await;
    app.poll_due().await;
    let whole = acme(&world).await;
    assert_eq!(whole.failures, 0);
    assert!(whole.read_until > broken.read_until);
    assert_eq!(
        usize::try_from(kept(&world).await).unwrap(),
        listed(&world).await
    );
    close(app).await;
    world.stop().await;
}

/// Planted bug: polling without a lease.
#[tokio::test(flavor = "multi_thread")]
async fn one_instance_at_a_time_polls_an_account() {
    let world = quiet_world(Setup::default()).await;
    let one = another(&world, polling()).await;
    let two = instance(
        &world.database_url,
        &world.simulator,
        Setup {
            seed: 3,
            ..polling()
        },
    )
    .await;
    // Each account's first request is held.
    let accounts = u64::try_from(counterfoil::ops::fixtures::MERCHANTS.len()).unwrap();
    fault(&world, "hold_before", "GET", "/v1/events", accounts).await;
    let polls = one.clone();
    let polls = tokio::spawn(async move { polls.poll_due().await });
    world.wait_until_held(accounts).await;
    let before = acme(&world).await;
    two.poll_due().await;
    assert_eq!(
        acme(&world).await.next_at,
        before.next_at,
        "nobody else has polled it"
    );
    world.sim(Method::POST, "faults/release", None).await;
    polls.await.unwrap();
    assert_eq!(acme(&world).await.failures, 0);
    close(one).await;
    close(two).await;
    world.stop().await;
}

/// Planted bug: beginning where the last poll ended loses what became visible late.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_becomes_visible_late_is_not_missed() {
    let world = quiet_world(Setup::default()).await;
    paid(&world, 2000, "4242424242424242").await;
    let app = another(&world, polling()).await;
    app.poll_due().await;
    let all = kept(&world).await;
    // As if Stripe had not shown it then.
    let owner = eventstore::pool(&world.database_url, eventstore::Role::Owner, 1)
        .await
        .unwrap();
    let lost =
        "delete from webhook_inbox where merchant = 'acme' and type = 'payment_intent.succeeded'";
    let lost = sqlx::query(lost).execute(&owner).await.unwrap();
    assert_eq!(lost.rows_affected(), 1);
    // Any later moment of the same hour will do.
    let later =
        "update event_polls set next_at = now(), read_until = read_until + interval '5 minutes'";
    sqlx::query(later).execute(&owner).await.unwrap();
    app.poll_due().await;
    assert_eq!(kept(&world).await, all);
    close(app).await;
    world.stop().await;
}

/// Planted bug: taking up what is only seconds old counts as missed what is on its way.
#[tokio::test(flavor = "multi_thread")]
async fn what_may_still_come_by_webhook_is_left_to_it() {
    let world = quiet_world(Setup::default()).await;
    paid(&world, 2000, "4242424242424242").await;
    let app = another(&world, with(Polling::every(DAY))).await;
    app.poll_due().await;
    assert_eq!((kept(&world).await, acme(&world).await.missed), (0, 0));
    close(app).await;
    world.stop().await;
}

/// Planted bugs: passing over the gap in silence; staying behind it for ever.
#[tokio::test(flavor = "multi_thread")]
async fn what_stripe_forgot_unread_is_told_of_and_reading_goes_on_after_it() {
    let world = quiet_world(Setup::default()).await;
    let app = another(&world, polling()).await;
    app.poll_due().await;
    let behind = "update event_polls set next_at = now(), begun_at = now() - interval '90 days', read_until = now() - interval '40 days'
        where merchant = 'acme'";
    sqlx::query(behind)
        .execute(app.store().pool())
        .await
        .unwrap();
    let unread = acme(&world).await;
    assert!(
        unread.unread_s >= 40 * 24 * 3600,
        "the alarm's figure: {unread:?}"
    );
    paid(&world, 2000, "4242424242424242").await;
    app.poll_due().await;
    let gaps = app.store().polls.gaps().await.unwrap();
    assert_eq!(gaps.len(), 1, "{gaps:?}");
    assert_eq!(gaps[0].gap_from, unread.read_until);
    let days = (gaps[0].gap_until - gaps[0].gap_from).num_hours();
    assert!((239..=241).contains(&days), "ten days: {gaps:?}");
    let row = acme(&world).await;
    assert!(row.unread_s <= 60 && row.failures == 0, "{row:?}");
    assert!(row.missed > 0);
    let told = lines(&counterfoil(
        &world.database_url,
        &["inbox", "polls", "--json"],
    ));
    assert!(
        told.iter()
            .any(|it| it["merchant"] == "acme" && it["gap_from"].is_string()),
        "{told:?}"
    );
    close(app).await;
    world.stop().await;
}

/// Planted bug: beginning at the present loses what was before; beginning further back than Stripe shows looks like a gap.
#[tokio::test(flavor = "multi_thread")]
async fn the_first_poll_begins_when_the_merchant_was_made_but_no_longer_ago_than_stripe_remembers()
{
    let world = quiet_world(Setup::default()).await;
    let pool = world.app().store().pool();
    let old = "update merchants set created_at = now() - interval '60 days' where id = 'rival'";
    sqlx::query(old).execute(pool).await.unwrap();
    let app = another(&world, polling()).await;
    app.poll_due().await;
    let begun =
        "select extract(epoch from now() - begun_at)::bigint / 86400, begun_at = m.created_at
        from event_polls join merchants m on m.id = merchant where merchant = $1";
    for (merchant, days, at_its_beginning) in [("acme", 0_i64, true), ("rival", 29, false)] {
        let begun: (i64, bool) = sqlx::query_as(begun)
            .bind(merchant)
            .fetch_one(pool)
            .await
            .unwrap();
        assert_eq!(begun, (days, at_its_beginning), "{merchant}");
    }
    assert!(app.store().polls.gaps().await.unwrap().is_empty());
    close(app).await;
    world.stop().await;
}

/// Planted bug: a worker that never begins, or does nothing when it is due.
#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_is_told_to_poll_does_so_by_itself() {
    let every = Duration::from_millis(50);
    let world = quiet_world(with(Polling {
        every,
        grace: Duration::ZERO,
        ..Polling::every(every)
    }))
    .await;
    let intent = paid(&world, 2000, "4242424242424242").await;
    let refund = json!({"payment_intent": intent["id"], "amount": 500});
    assert_eq!(
        send(world.stripe(Method::POST, "/v1/refunds").json(&refund))
            .await
            .0,
        200
    );
    until("the refund is known", async || {
        count(&world, "Refunded").await == 1
    })
    .await;
    world.stop().await;
}
