//! Legal late turns, through the real service and the simulator, before and after the answer that they follow on; and what is
//! late and legal no more. The books balance after each.

use crate::support::{World, card_payment, send, until};
use crate::{count, deliver, event, fault, paid, pause_webhooks, shown, until_state};
use reqwest::Method;
use serde_json::{Value, json};

async fn settle(world: &World) {
    world
        .sim(
            Method::POST,
            "settle",
            Some(json!({"account": "acct_acme"})),
        )
        .await;
}

async fn until_recorded(world: &World, event: &str) {
    until(event, async || count(world, event).await == 1).await;
}

/// Debits equal credits in every currency, and the journal holds what the balances hold, line by line.
async fn the_books_balance(world: &World) {
    let pool = world.app().store().pool();
    let odd = "select count(*) from (select sum(debit_minor) <> sum(credit_minor) as odd from balances group by merchant, currency) it where odd";
    let odd: i64 = sqlx::query_scalar(odd).fetch_one(pool).await.unwrap();
    assert_eq!(odd, 0, "debits equal credits");
    until("the journal has caught up with the balances", async || {
        let differ = "select count(*) from (
            select merchant, currency, account, debit_minor::numeric, credit_minor::numeric from balances
            except select merchant, currency, account, sum(debit_minor), sum(credit_minor) from journal group by 1, 2, 3) it";
        let differ: i64 = sqlx::query_scalar(differ).fetch_one(pool).await.unwrap();
        differ == 0
    })
    .await;
}

async fn books(world: &World) -> Vec<(String, i64)> {
    the_books_balance(world).await;
    world.balances("acme", "usd").await
}

fn owned(lines: &[(&str, i64)]) -> Vec<(String, i64)> {
    lines
        .iter()
        .map(|(name, minor)| ((*name).to_owned(), *minor))
        .collect()
}

async fn refund(world: &World, intent: &Value, amount: i64, key: &str) -> (u16, Value) {
    let refund = json!({"payment_intent": intent["id"], "amount": amount});
    send(
        world
            .pay("/v1/refunds", refund)
            .header("Idempotency-Key", key),
    )
    .await
}

/// Planted bug: taking a refund's success for its end leaves money out of the books that is back.
#[tokio::test(flavor = "multi_thread")]
async fn a_refund_that_succeeded_fails_and_its_money_is_back() {
    let world = World::start().await;
    let intent = paid(&world, 2000, "4000000000005126").await;
    assert_eq!(refund(&world, &intent, 500, "one").await.0, 200);
    assert_eq!(count(&world, "Refunded").await, 1);
    settle(&world).await;
    until_recorded(&world, "RefundFailed").await;
    let expected = [
        ("assets:stripe:clearing", 2000),
        ("liabilities:customers:unapplied", -2000),
    ];
    assert_eq!(books(&world).await, owned(&expected));
    // What came back may be given back again.
    assert_eq!(refund(&world, &intent, 2000, "two").await.0, 200);
    world.stop().await;
}

/// Planted bug: taking the failure that comes first for all there was, and dropping the success that comes late.
#[tokio::test(flavor = "multi_thread")]
async fn a_refund_that_fails_before_its_answer_came_ends_the_same() {
    let world = World::start().await;
    let intent = paid(&world, 2000, "4000000000005126").await;
    pause_webhooks(&world, true).await;
    fault(&world, "drop_after", "POST", "/v1/refunds", 1).await;
    let (status, unknown) = refund(&world, &intent, 500, "one").await;
    assert!(status >= 500, "{unknown}");
    settle(&world).await;
    pause_webhooks(&world, false).await;
    // Heard of before the success, it is recorded again once that has come: who looks late sees two.
    let failures = async || count(&world, "RefundFailed").await;
    until("its failure is heard of", async || failures().await > 0).await;
    let (status, answer) = refund(&world, &intent, 500, "one").await;
    assert_eq!(status, 200, "{answer}");
    until("all is applied", async || {
        world.app().store().inbox.counts().await.unwrap().waiting == 0
    })
    .await;
    let expected = [
        ("assets:stripe:clearing", 2000),
        ("liabilities:customers:unapplied", -2000),
    ];
    assert_eq!(books(&world).await, owned(&expected));
    assert_eq!(count(&world, "RefundRequested").await, 1);
    assert!((1..=2).contains(&failures().await));
    world.stop().await;
}

/// A disputed payment, and its dispute.
async fn disputed(world: &World) -> (Value, String) {
    let intent = paid(world, 2000, "4000000000000259").await;
    settle(world).await;
    until_recorded(world, "DisputeFundsWithdrawn").await;
    let list = format!(
        "/v1/disputes?payment_intent={}",
        intent["id"].as_str().unwrap()
    );
    let (_, list) = send(world.stripe(Method::GET, &list)).await;
    (intent, list["data"][0]["id"].as_str().unwrap().to_owned())
}

async fn decide(world: &World, dispute: &str, evidence: &str) {
    let evidence = json!({"evidence": {"uncategorized_text": evidence}, "submit": true});
    let path = format!("/v1/disputes/{dispute}");
    let (status, answer) = send(world.stripe(Method::POST, &path).json(&evidence)).await;
    assert_eq!(status, 200, "{answer}");
    settle(world).await;
    until_recorded(world, "DisputeClosed").await;
}

/// Planted bugs: leaving the withdrawal, the reinstatement or the loss out of the postings; recording a turn anew for every id that it
/// comes under; recording a refusal anew.
#[tokio::test(flavor = "multi_thread")]
async fn a_disputes_money_goes_and_comes_back_when_it_is_won_and_stays_away_when_it_is_lost() {
    for (evidence, back) in [("winning_evidence", true), ("losing_evidence", false)] {
        let world = World::start().await;
        let (intent, dispute) = disputed(&world).await;
        decide(&world, &dispute, evidence).await;
        if back {
            until_recorded(&world, "DisputeFundsReinstated").await;
        }
        the_books_balance(&world).await;
        let balances = world.balances("acme", "usd").await;
        let of = |account: &str| {
            let found = balances.iter().find(|(name, _)| name == account);
            found.map_or(0, |(_, minor)| *minor)
        };
        assert_eq!(of("assets:stripe:disputed"), 0, "{balances:?}");
        assert_eq!(
            of("expenses:disputes"),
            if back { 0 } else { 2000 },
            "{balances:?}"
        );

        // Told again, with a new id: nothing. Told otherwise: refused, once, with the reason.
        let told = |won: bool| {
            json!({"id": dispute, "object": "dispute", "amount": 2000, "currency": "usd", "reason": "fraudulent",
                "status": if won { "won" } else { "lost" }, "payment_intent": intent["id"]})
        };
        let before = world.history("acme").await;
        deliver(
            &world,
            &event("evt_same", "charge.dispute.closed", &told(back)),
        )
        .await;
        until_state(&world, "evt_same", "applied").await;
        assert_eq!(world.history("acme").await, before);
        for id in ["evt_other", "evt_again"] {
            deliver(&world, &event(id, "charge.dispute.closed", &told(!back))).await;
            until_state(&world, id, "applied").await;
        }
        assert_eq!(count(&world, "ObservationRefused").await, 1);
        assert_eq!(count(&world, "DisputeClosed").await, 1);
        world.stop().await;
    }
}

/// Planted bugs: taking `paid` for the end of a payout; recording a refusal anew for every id that it comes under.
#[tokio::test(flavor = "multi_thread")]
async fn a_payout_that_was_paid_fails() {
    let world = World::start().await;
    paid(&world, 20_000, "4242424242424242").await;
    settle(&world).await;
    let days = json!({"advance_s": 9 * 24 * 3600});
    world.sim(Method::POST, "clock", Some(days)).await;
    let automatic = json!({"account": "acct_acme", "automatic": true});
    let made = world.sim(Method::POST, "payouts", Some(automatic)).await;
    // The clock may have paid out by itself before.
    let state = world
        .sim(Method::GET, "state?account=acct_acme", None)
        .await;
    let payout = state["acct_acme"]["payouts"][0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let days = json!({"advance_s": 9 * 24 * 3600});
    world.sim(Method::POST, "clock", Some(days)).await;
    let status = async || {
        let status = "select status from payouts where merchant = 'acme' and payout = $1";
        let status: Option<String> = sqlx::query_scalar(status)
            .bind(&payout)
            .fetch_optional(world.app().store().pool())
            .await
            .unwrap();
        status.unwrap_or_default()
    };
    until("the payout is paid", async || status().await == "paid").await;
    let fail = json!({"payout": payout});
    world.sim(Method::POST, "payouts/fail", Some(fail)).await;
    until("the payout has failed", async || status().await == "failed").await;
    the_books_balance(&world).await;
    drop(made);

    // It cannot have been canceled as well: refused, once.
    let canceled = json!({"id": payout, "object": "payout", "amount": 1, "currency": "usd", "status": "canceled",
        "arrival_date": 1, "created": 1});
    for id in ["evt_canceled", "evt_canceled_again"] {
        deliver(&world, &event(id, "payout.canceled", &canceled)).await;
        until_state(&world, id, "applied").await;
    }
    assert_eq!(status().await, "failed");
    assert_eq!(count(&world, "ObservationRefused").await, 1);
    world.stop().await;
}

/// Planted bug: failing on a charge, or recording something of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_charge_that_is_booked_late_is_kept_and_moves_nothing_yet() {
    let world = World::start().await;
    let mut body = card_payment(2000, "usd", "4242424242424242");
    body["capture_method"] = json!("automatic_async");
    assert_eq!(send(world.pay("/v1/payment_intents", body)).await.0, 200);
    until("the payment has succeeded", async || {
        count(&world, "Succeeded").await == 1
    })
    .await;
    let before = books(&world).await;
    settle(&world).await;
    let late =
        "select event_id from webhook_inbox where type = 'charge.updated' and result = 'skipped'
        and body #>> '{data,object,balance_transaction}' is not null";
    until("the booking is kept", async || {
        let late: Option<String> = sqlx::query_scalar(late)
            .fetch_optional(world.app().store().pool())
            .await
            .unwrap();
        late.is_some()
    })
    .await;
    assert_eq!(books(&world).await, before);
    world.stop().await;
}

/// Planted bugs: dropping what contradicts the end in silence; recording it again for every id that it comes under.
#[tokio::test(flavor = "multi_thread")]
async fn what_contradicts_a_final_state_is_refused_once_and_shown_to_people() {
    let world = World::start().await;
    let intent = paid(&world, 2000, "4242424242424242").await;
    let id = intent["id"].as_str().unwrap();
    let mut canceled = json!({"id": id, "object": "payment_intent", "amount": 2000, "currency": "usd", "amount_received": 0});
    canceled["status"] = json!("canceled");
    let mut cheaper = canceled.clone();
    cheaper["status"] = json!("succeeded");
    cheaper["amount_received"] = json!(1999);
    for round in 0..3 {
        for (kind, object) in [("canceled", &canceled), ("succeeded", &cheaper)] {
            let event_id = format!("evt_{kind}_{round}");
            deliver(
                &world,
                &event(&event_id, &format!("payment_intent.{kind}"), object),
            )
            .await;
            until_state(&world, &event_id, "applied").await;
        }
    }
    assert_eq!(count(&world, "ObservationRefused").await, 2);
    let told = crate::counterfoil(&world.database_url, &["events", "show", id]);
    let told = String::from_utf8(told.stdout).unwrap();
    assert!(told.contains("is final"), "{told}");
    assert_eq!(
        shown(&world, "evt_canceled_2")
            .await
            .unwrap()
            .about
            .as_deref(),
        Some(id)
    );
    the_books_balance(&world).await;
    world.stop().await;
}

/// Planted bug: recording a refund of a payment that is not known to be taken, without asking how it stands: it would come out of
/// nothing, and the sale would stay in the books.
#[tokio::test(flavor = "multi_thread")]
async fn a_refund_that_is_heard_of_before_its_payment_comes_out_of_the_sale() {
    let world = World::start().await;
    pause_webhooks(&world, true).await;
    let (status, order) = send(world.shop_create()).await;
    assert_eq!(status, 200, "{order}");
    let intent = order["data"]["id"].as_str().unwrap();
    let confirm = format!("/v1/payment_intents/{intent}/confirm");
    let confirm = world.stripe(Method::POST, &confirm);
    assert_eq!(
        send(confirm.json(&json!({"payment_method": "pm_card_visa"})))
            .await
            .0,
        200
    );
    let refund = json!({"payment_intent": intent, "amount": 700});
    let (status, refund) = send(world.stripe(Method::POST, "/v1/refunds").json(&refund)).await;
    assert_eq!(status, 200, "{refund}");
    deliver(&world, &event("evt_early", "refund.created", &refund)).await;
    until_state(&world, "evt_early", "applied").await;
    let books = books(&world).await;
    assert!(
        books.contains(&("contra:refunds".to_owned(), 700)),
        "{books:?}"
    );
    world.stop().await;
}
