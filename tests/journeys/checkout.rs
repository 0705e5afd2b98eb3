//! A checkout and its payer at the same moment, in each order that Stripe may see them; with two services on one database; and
//! with a service that dies in between.

use crate::crash::{Process, kill_while_stripe_holds, release, restart, until_recorded};
use crate::support::checkout::{
    COMPANY, TOTAL, ask_for, ask_for_at, at_stripe, fault, pay, wanted,
};
use crate::support::{self, Setup, World, send, until};
use aggregates::ids::{CommandId, OrderId};
use aggregates::metadata::Actor;
use aggregates::money::Money;
use aggregates::order::event::{Line, Price};
use aggregates::order::state::WayToPay;
use aggregates::order::{Facts, OrderCommand};
use counterfoil::store::{Commit, Context, Decided};
use futures::future::join_all;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

const SESSIONS: &str = "/v1/checkout/sessions";
const VISA: &str = "pm_card_visa";

/// A new checkout that was opened.
async fn opened(world: &World, reference: &str) -> String {
    session(&send(ask_for(world, reference)).await)
}

#[track_caller]
fn session((status, answer): &(u16, Value)) -> String {
    assert_eq!(*status, 200, "{answer}");
    answer["SessionId"].as_str().unwrap().to_owned()
}

#[track_caller]
fn code((status, answer): &(u16, Value)) -> (u16, &str) {
    let code = answer["ResponseStatus"]["ErrorCode"].as_str();
    (*status, code.unwrap())
}

fn in_background(request: RequestBuilder) -> JoinHandle<(u16, Value)> {
    tokio::spawn(send(request))
}

fn order_id(reference: &str) -> OrderId {
    let named = format!("{COMPANY}/{reference}");
    OrderId::derive(&"acme".parse().unwrap(), "checkout", &named)
}

/// The order of the checkouts of `reference`, as the log has it.
async fn order(world: &World, reference: &str) -> Facts {
    let (store, merchant) = (world.app().store(), "acme".parse().unwrap());
    let order = store.order(&merchant, order_id(reference)).await;
    order.unwrap().state.facts().unwrap().clone()
}

async fn until_paid(world: &World, reference: &str) {
    until("the order is paid", async || {
        order(world, reference).await.is_paid()
    })
    .await;
}

async fn count(world: &World, event: &str) -> usize {
    let history = world.history("acme").await;
    history.iter().filter(|it| *it == event).count()
}

/// The session by which the order can be paid just now.
async fn live(world: &World, reference: &str) -> Option<String> {
    match order(world, reference).await.live {
        Some(WayToPay::Checkout { session, .. }) => Some(session),
        _ => None,
    }
}

async fn charges_at_stripe(world: &World) -> usize {
    let (_, charges) = send(world.stripe(Method::GET, "/v1/charges?limit=100")).await;
    charges["data"].as_array().unwrap().len()
}

/// A world whose Stripe does nothing by the mere passing of time.
async fn unhurried() -> World {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (database_url, simulator) =
        tokio::join!(support::database(), support::unhurried_simulator(address));
    let setup = Setup::default();
    let service = support::serve(listener, &database_url, &simulator, setup).await;
    World {
        service: Some(service),
        simulator,
        database_url,
        address,
        http: reqwest::Client::new(),
    }
}

/// Planted bug: taking the page off the order whatever Stripe says to its expiry.
#[tokio::test(flavor = "multi_thread")]
async fn a_payer_who_is_first_keeps_the_page_and_the_new_checkout_is_refused() {
    let world = World::start().await;
    let page = opened(&world, "b").await;
    fault(&world, "hold_before", &format!("{SESSIONS}/{page}/expire")).await;
    let new = in_background(ask_for(&world, "b"));
    world.wait_until_held(1).await;
    assert_eq!(pay(&world, &page, VISA).await.status(), 303);
    release(&world).await;
    assert_eq!(code(&new.await.unwrap()), (409, "Conflict"));
    until_paid(&world, "b").await;
    assert_eq!(at_stripe(&world, "complete").await, [page]);
    assert_eq!(at_stripe(&world, "open").await.len(), 0);
    assert_eq!(count(&world, "CheckoutInvalidated").await, 0);
    assert_eq!(count(&world, "OrderPaid").await, 1);
    let again = send(ask_for(&world, "b")).await;
    assert_eq!(code(&again), (409, "Conflict"));
    world.stop_audited().await;
}

/// Planted bug: asking for the next page before the one before is ended.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_was_expired_first_takes_no_money() {
    let world = World::start().await;
    let page = opened(&world, "b").await;
    fault(&world, "hold_after", &format!("{SESSIONS}/{page}/expire")).await;
    let new = in_background(ask_for(&world, "b"));
    world.wait_until_held(1).await;
    assert_eq!(
        at_stripe(&world, "open").await.len(),
        0,
        "none is open in between"
    );
    assert_eq!(pay(&world, &page, VISA).await.status(), 410);
    release(&world).await;
    let new = session(&new.await.unwrap());
    assert_eq!(at_stripe(&world, "open").await, std::slice::from_ref(&new));
    assert_eq!(live(&world, "b").await, Some(new.clone()));
    assert_eq!(charges_at_stripe(&world).await, 0);
    assert_eq!(pay(&world, &new, VISA).await.status(), 303);
    until_paid(&world, "b").await;
    world.stop_audited().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payer_who_is_at_the_bank_when_the_page_expires_is_not_charged() {
    let world = World::start().await;
    let page = opened(&world, "b").await;
    let bank = pay(&world, &page, "pm_card_threeDSecure2Required").await;
    assert_eq!(bank.status(), 303);
    let bank = bank.headers()["location"].to_str().unwrap().to_owned();
    let new = opened(&world, "b").await;
    let confirmed = world.http.post(&bank).body("outcome=complete");
    let form = "application/x-www-form-urlencoded";
    let _ = send(confirmed.header("Content-Type", form)).await;
    assert_eq!(charges_at_stripe(&world).await, 0);
    assert_eq!(at_stripe(&world, "open").await, std::slice::from_ref(&new));
    assert_eq!(live(&world, "b").await, Some(new));
    world.stop_audited().await;
}

/// Planted bug: taking a page off the order whose money is on the way.
#[tokio::test(flavor = "multi_thread")]
async fn while_money_is_on_the_way_no_other_page_opens_and_it_pays_in_the_end() {
    let world = unhurried().await;
    let page = opened(&world, "b").await;
    assert_eq!(
        pay(&world, &page, "pm_card_simProcessing").await.status(),
        303
    );
    let refused = send(ask_for(&world, "b")).await;
    assert_eq!(code(&refused), (409, "Conflict"));
    assert_eq!(count(&world, "CheckoutInvalidated").await, 0);
    world.sim(Method::POST, "settle", Some(json!({}))).await;
    until_paid(&world, "b").await;
    world.stop_audited().await;
}

/// Planted bug: taking the page off the order without cancelling its intent, which could be paid later.
#[tokio::test(flavor = "multi_thread")]
async fn money_that_did_not_come_in_the_end_makes_way_and_cannot_come_any_more() {
    let world = unhurried().await;
    let page = opened(&world, "b").await;
    let declined = pay(&world, &page, "pm_card_simProcessingDeclined").await;
    assert_eq!(declined.status(), 303);
    world.sim(Method::POST, "settle", Some(json!({}))).await;
    let new = opened(&world, "b").await;
    assert_eq!(at_stripe(&world, "open").await, [new]);
    let intents = world.intents_at_stripe("acme").await;
    let ours = intents
        .iter()
        .find(|it| it["metadata"]["counterfoil_checkout"].is_string());
    assert_eq!(ours.unwrap()["status"], "canceled");
    world.stop_audited().await;
}

/// Planted bug: skipping what Stripe tells of sessions.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_nobody_paid_for_a_day_frees_the_order() {
    let world = World::start().await;
    opened(&world, "b").await;
    let day = Some(json!({"advance_s": 25 * 3600}));
    world.sim(Method::POST, "clock", day).await;
    until_recorded(&world, "CheckoutInvalidated").await;
    assert_eq!(order(&world, "b").await.live, None);
    world.stop_audited().await;
}

fn context(world: &World) -> Context {
    let ids = &world.app().store().ids;
    Context {
        actor: Actor {
            name: "test".into(),
            key_id: None,
            door: "test".into(),
        },
        command_id: CommandId::from_uuid(ids.uuid()),
        correlation_id: ids.uuid(),
        causation_id: None,
        reason: None,
        claimed_at: None,
    }
}

/// Acme's article 1 costs so much from now on, in minor units.
async fn reprice_article(world: &World, minor: i64) {
    use aggregates::catalogue::ArticleCommand;
    use aggregates::ids::ArticleId;
    let app = world.app();
    let id = "acme".parse().unwrap();
    let acme = app.store().keys.merchant(&id).await.unwrap().unwrap();
    let article = ArticleId::derive(&id, COMPANY, 1);
    let price = Money::new(minor, "sek".parse().unwrap());
    let command = ArticleCommand::Reprice { price };
    app.change_article(&acme, &context(world), article, command)
        .await
        .unwrap();
}

/// A page is an offer at its price, as long as it is open; the next one has the new price, and ends it.
#[tokio::test(flavor = "multi_thread")]
async fn an_open_page_keeps_its_price_when_an_article_is_repriced_and_the_next_has_the_new_one() {
    let world = World::start().await;
    let kept = opened(&world, "kept").await;
    let replaced = opened(&world, "replaced").await;
    reprice_article(&world, 30_000).await;
    assert_eq!(pay(&world, &kept, VISA).await.status(), 303);
    until_paid(&world, "kept").await;
    assert_eq!(order(&world, "kept").await.total().minor(), TOTAL);

    let new = opened(&world, "replaced").await;
    let path = format!("{SESSIONS}/{new}");
    let (_, shown) = send(world.stripe(Method::GET, &path)).await;
    assert_eq!(shown["amount_total"], TOTAL + 10_000);
    assert_eq!(pay(&world, &replaced, VISA).await.status(), 410);
    assert_eq!(
        order(&world, "replaced").await.total().minor(),
        TOTAL + 10_000
    );
    world.stop_audited().await;
}

/// The order costs so much from now on, whatever pages of it are open.
async fn reprice_order(world: &World, reference: &str, minor: i64) {
    let (store, merchant) = (world.app().store(), "acme".parse().unwrap());
    let id = order_id(reference);
    let before = store.order(&merchant, id).await.unwrap();
    let unit = Money::new(minor, "sek".parse().unwrap());
    let price = Price {
        total: unit,
        tax: Money::zero(unit.currency()),
        lines: vec![Line {
            name: "Haircut".into(),
            unit,
            quantity: 1,
            description: String::new(),
        }],
    };
    let events = before
        .state
        .decide(OrderCommand::Reprice { price })
        .unwrap();
    let commit = Commit {
        order: Some(Decided { id, before, events }),
        ..Commit::default()
    };
    store
        .commit(&merchant, &context(world), commit)
        .await
        .unwrap();
}

/// Planted bug: an order that takes whatever money its own page brings as its price.
#[tokio::test(flavor = "multi_thread")]
async fn money_at_a_price_that_the_order_no_longer_has_leaves_it_unpaid_and_unapplied() {
    let world = World::start().await;
    let page = opened(&world, "b").await;
    reprice_order(&world, "b", TOTAL + 1).await;
    assert_eq!(pay(&world, &page, VISA).await.status(), 303);
    until_recorded(&world, "OrderMispaid").await;
    let mispaid = order(&world, "b").await;
    assert!(!mispaid.is_paid() && mispaid.live.is_none());
    assert_eq!(count(&world, "OrderPaid").await, 0);
    let unapplied = ("liabilities:customers:unapplied".to_owned(), -TOTAL);
    let balances = world.balances("acme", "sek").await;
    assert!(balances.contains(&unapplied), "{balances:?}");
    let new = opened(&world, "b").await;
    assert_eq!(at_stripe(&world, "open").await, [new]);
    world.stop_audited().await;
}

/// A second service on the world's database and simulator.
async fn second(world: &World, setup: Setup) -> (counterfoil::service::Service, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let setup = Setup { seed: 2, ..setup };
    let service = support::serve(listener, &world.database_url, &world.simulator, setup).await;
    (service, address)
}

/// Stripe may be answering the other service under the same key: then it is asked again.
fn patient() -> Setup {
    let mut setup = Setup::default();
    setup.gateway.attempts = 8;
    setup
}

/// Planted bug: asking for a checkout without recording it of the order, so that each service opens one.
#[tokio::test(flavor = "multi_thread")]
async fn twenty_checkouts_at_once_on_two_services_leave_exactly_one_open() {
    let world = World::start_with(patient()).await;
    let (other, address) = second(&world, patient()).await;
    let at = |it: usize| {
        if it.is_multiple_of(2) {
            world.address
        } else {
            address
        }
    };
    let asked = (0..20).map(|it| send(ask_for_at(&world, at(it), "b")));
    let answers = join_all(asked).await;
    let ids: Vec<String> = answers.iter().map(session).collect();
    let open = at_stripe(&world, "open").await;
    assert_eq!(open.len(), 1, "{open:?}");
    assert!(ids.contains(&open[0]));
    assert_eq!(live(&world, "b").await.as_ref(), Some(&open[0]));
    assert_eq!(count(&world, "CheckoutOpened").await, 20);
    assert_eq!(count(&world, "CheckoutInvalidated").await, 19);
    other.stop().await;
    world.stop_audited().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_paid_while_two_services_would_end_it_stays_and_both_callers_are_told_so() {
    let world = World::start_with(patient()).await;
    let (other, address) = second(&world, patient()).await;
    let page = opened(&world, "b").await;
    let expire = format!("{SESSIONS}/{page}/expire");
    fault(&world, "hold_before", &expire).await;
    fault(&world, "hold_before", &expire).await;
    let here = in_background(ask_for(&world, "b"));
    let there = in_background(ask_for_at(&world, address, "b"));
    world.wait_until_held(2).await;
    assert_eq!(pay(&world, &page, VISA).await.status(), 303);
    release(&world).await;
    assert_eq!(code(&here.await.unwrap()), (409, "Conflict"));
    assert_eq!(code(&there.await.unwrap()), (409, "Conflict"));
    until_paid(&world, "b").await;
    assert_eq!(at_stripe(&world, "open").await.len(), 0);
    assert_eq!(count(&world, "CheckoutInvalidated").await, 0);
    assert_eq!(count(&world, "OrderPaid").await, 1);
    other.stop().await;
    world.stop_audited().await;
}

/// Planted bug: recovery that ends the request alone, and leaves the order waiting for it.
#[tokio::test(flavor = "multi_thread")]
async fn killed_while_a_page_was_opened_recovery_records_it_and_exactly_one_is_open() {
    let mut world = World::start().await;
    let fault = json!({"kind": "hold_after", "method": "POST", "path_prefix": SESSIONS});
    kill_while_stripe_holds(&mut world, fault, |world| ask_for(world, "b")).await;
    release(&world).await;
    restart(&mut world).await;
    until_recorded(&world, "CheckoutOpened").await;
    let open = at_stripe(&world, "open").await;
    assert_eq!(open.len(), 1, "{open:?}");
    assert_eq!(live(&world, "b").await, Some(open[0].clone()));
    let new = opened(&world, "b").await;
    assert_eq!(at_stripe(&world, "open").await, [new]);
    assert_eq!(at_stripe(&world, "expired").await, open);
    world.stop_audited().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_while_a_page_was_ended_recovery_ends_it_and_the_retry_opens_exactly_one() {
    let mut world = World::start().await;
    let page = opened(&world, "b").await;
    let expire = format!("{SESSIONS}/{page}/expire");
    // What Stripe tells by itself is held back: recovery alone is to find it out.
    let paused = Some(json!({"paused": true}));
    world.sim(Method::POST, "webhooks", paused).await;
    let fault = json!({"kind": "hold_before", "method": "POST", "path_prefix": expire});
    kill_while_stripe_holds(&mut world, fault, |world| ask_for(world, "b")).await;
    release(&world).await;
    restart(&mut world).await;
    until_recorded(&world, "CheckoutInvalidated").await;
    assert_eq!(order(&world, "b").await.live, None);
    assert_eq!(at_stripe(&world, "expired").await, [page]);
    let new = opened(&world, "b").await;
    assert_eq!(at_stripe(&world, "open").await, [new]);
    world.stop_audited().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_while_a_page_was_opened_the_retry_with_the_same_key_gets_that_very_page() {
    let mut world = World::start().await;
    let keyed = |world: &World| ask_for(world, "b").header("Idempotency-Key", "k-1");
    let fault = json!({"kind": "hold_after", "method": "POST", "path_prefix": SESSIONS});
    kill_while_stripe_holds(&mut world, fault, keyed).await;
    release(&world).await;
    let restarted = Process::start(&world).await;
    let answer = session(&send(keyed(&world)).await);
    assert_eq!(
        at_stripe(&world, "open").await,
        std::slice::from_ref(&answer)
    );
    assert_eq!(at_stripe(&world, "expired").await.len(), 0);
    assert_eq!(session(&send(keyed(&world)).await), answer);
    restarted.kill();
    restart(&mut world).await;
    world.stop_audited().await;
}

/// Planted bug: asking on and on under a key whose answer will never be another one.
#[tokio::test(flavor = "multi_thread")]
async fn a_failure_that_stripe_repeats_for_ever_does_not_block_the_order() {
    for (kind, left_behind) in [("status_500", 0), ("status_500_after", 1)] {
        let world = World::start().await;
        fault(&world, kind, SESSIONS).await;
        let failed = send(ask_for(&world, "b")).await;
        assert_eq!(code(&failed), (503, "OutcomeUnknown"), "{kind}");
        let new = opened(&world, "b").await;
        assert_eq!(at_stripe(&world, "open").await, [new], "{kind}");
        let expired = at_stripe(&world, "expired").await;
        assert_eq!(expired.len(), left_behind, "{kind}");
        world.stop_audited().await;
    }
}

/// Planted bug: looking for what was opened alone, so that an expiry waits for ever.
#[tokio::test(flavor = "multi_thread")]
async fn an_expiry_that_stripe_fails_for_ever_ends_all_the_same() {
    let world = World::start().await;
    let page = opened(&world, "b").await;
    fault(&world, "status_500", &format!("{SESSIONS}/{page}/expire")).await;
    assert_eq!(
        code(&send(ask_for(&world, "b")).await),
        (503, "OutcomeUnknown")
    );
    assert_eq!(at_stripe(&world, "open").await, [page]);
    let new = opened(&world, "b").await;
    assert_eq!(at_stripe(&world, "open").await, [new]);
    world.app().recover(Duration::ZERO).await;
    let waiting: i64 = sqlx::query_scalar(
        "select count(*) from stripe_requests where pending_intention is not null",
    )
    .fetch_one(world.app().store().pool())
    .await
    .unwrap();
    assert_eq!(waiting, 0);
    world.stop_audited().await;
}

/// The caller's own key is free again where its request came to nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_failure_of_stripes_frees_the_callers_key() {
    let world = World::start().await;
    let keyed = || ask_for(&world, "b").header("Idempotency-Key", "k-1");
    fault(&world, "status_500", SESSIONS).await;
    assert_eq!(code(&send(keyed()).await), (503, "OutcomeUnknown"));
    // The second finds out that nothing came of the first.
    assert_eq!(code(&send(keyed()).await), (503, "OutcomeUnknown"));
    let third = session(&send(keyed()).await);
    assert_eq!(session(&send(keyed()).await), third);
    assert_eq!(at_stripe(&world, "open").await, [third]);
    let again = keyed().json(&wanted("another"));
    assert_eq!(code(&send(again).await), (409, "Conflict"));
    world.stop_audited().await;
}
