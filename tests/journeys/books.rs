//! The books: settled in another currency, closed month by month, and as they stood at any point.

use crate::settlement::{
    acme, days_pass, held_at_stripe, held_here, import, journal, pay, payouts, quiet, refund,
    statement,
};
use crate::support::sums::{Sums, told};
use crate::support::{self, Setup, World, audit, card_payment, send, until};
use aggregates::books::{Books, Month};
use aggregates::ledger::Account;
use aggregates::metadata::Actor;
use aggregates::money::Currency;
use chrono::{DateTime, TimeDelta, Utc};
use counterfoil::use_cases::{CloseError, MatchError, Person};
use cqrs_es::Aggregate;
use projections::books::AsOf;
use projections::periods::Period;
use reqwest::Method;
use serde_json::json;
use simulator::{Simulator, config};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// A world whose acme settles in dollars, and takes euros at 1.08.
async fn exchanging_world() -> World {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut config = support::simulator_config(address);
    for account in &mut config.accounts {
        account.settlement = Some(config::Settlement {
            currency: "usd".to_owned(),
            rates_per_million: BTreeMap::from([("eur".to_owned(), 1_080_000)]),
        });
    }
    let database_url = support::database().await;
    let simulator = Simulator::start(config).await.unwrap();
    let service = support::serve(listener, &database_url, &simulator, Setup::default()).await;
    World {
        service: Some(service),
        simulator,
        database_url,
        address,
        http: reqwest::Client::new(),
    }
}

/// Somebody of acme's who has a reason.
pub fn person(because: &str) -> Person {
    Person {
        merchant: acme(),
        actor: Actor {
            name: "operator:ada".to_owned(),
            key_id: None,
            door: "cli".to_owned(),
        },
        because: because.to_owned(),
    }
}

/// Planted bug, seen red here: taking the gross in the balance's currency off clearing, where it came in another.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_settled_in_another_currency_is_exchanged_and_each_balances_in_itself() {
    let world = exchanging_world().await;
    let paid = send(world.pay(
        "/v1/payment_intents",
        card_payment(10_000, "eur", "4242424242424242"),
    ));
    let (status, intent) = paid.await;
    assert_eq!(status, 200, "{intent}");
    pay(&world, 2_000, "4242424242424242").await;
    refund(&world, intent["id"].as_str().unwrap(), 2_500).await;
    quiet(&world).await;
    let settled = world.app().settle(&acme()).await.unwrap();
    assert_eq!((settled.refused, settled.unreadable), (0, 0));
    let books = journal(&world, AsOf::Now).await.unwrap();
    let (eur, usd) = (Currency::EUR, Currency::USD);
    for currency in [eur, usd] {
        assert_eq!(books.of(Account::StripeClearing, currency), 0);
        assert_eq!(books.of(Account::Suspense, currency), 0);
    }
    // 7 500 of euros were given for 8 100 of dollars.
    assert_eq!(books.of(Account::Exchange, eur), 7_500);
    assert_eq!(books.of(Account::Exchange, usd), -8_100);
    assert_eq!(books.of(Account::StripeBalance, eur), 0);
    assert_eq!(held_here(&world).await, held_at_stripe(&world).await);
    assert!(books.trial_balance().iter().all(|it| it.is_balanced()));
    audit::verify(&world).await;
    world.stop().await;
}

/// Planted bug: skipping an event that tells of a booking without saying that the account is due (`charge.updated`).
#[tokio::test(flavor = "multi_thread")]
async fn a_booking_that_comes_late_is_read_when_it_is_heard_of() {
    let world = World::start().await;
    // What Stripe has to say at once is lost: the booking's own event is all that is heard.
    let lost = json!({"seed": 1, "webhooks": {"lost": 1000}});
    world.sim(Method::POST, "faults/script", Some(lost)).await;
    let body = "amount=2000&currency=usd&confirm=true&payment_method=pm_card_visa&payment_method_types%5B%5D=card&capture_method=automatic_async";
    let made = world
        .stripe(Method::POST, "/v1/payment_intents")
        .header("Content-Type", "application/x-www-form-urlencoded")
        .body(body);
    let (status, made) = send(made).await;
    assert_eq!(status, 200, "{made}");
    assert_eq!(held_at_stripe(&world).await, 0);
    world.sim(Method::DELETE, "faults/script", None).await;

    let stop = CancellationToken::new();
    let (app, stopped) = (world.app().clone(), stop.clone());
    let hourly = Duration::from_secs(3600);
    support::fault(&world, "latency_ms:1", "GET", "/v1/balance_transactions", 1).await;
    let settling = tokio::spawn(async move { app.run_settling(hourly, stopped).await });
    until("the account is read for this hour", async || {
        let faults = world.sim(Method::GET, "faults", None).await;
        faults["faults"].as_array().unwrap().is_empty()
    })
    .await;
    days_pass(&world, 1).await;
    let there = held_at_stripe(&world).await;
    assert!(there > 0);
    until("the late booking is read", async || {
        held_here(&world).await == there
    })
    .await;
    stop.cancel();
    settling.await.unwrap();
    world.stop().await;
}

/// A payout of acme's that is paid, and its id, arrival and amount.
async fn paid_out(world: &World) -> (String, i64, i64) {
    pay(world, 2_000, "4242424242424242").await;
    quiet(world).await;
    days_pass(world, 9).await;
    let payout = json!({"account": "acct_acme", "automatic": true});
    world.sim(Method::POST, "payouts", Some(payout)).await;
    days_pass(world, 4).await;
    quiet(world).await;
    world.app().settle(&acme()).await.unwrap();
    let made = payouts(world).await;
    let it = &made[0];
    (
        it["id"].as_str().unwrap().to_owned(),
        it["arrival_date"].as_i64().unwrap(),
        it["amount"].as_i64().unwrap(),
    )
}

async fn month(world: &World, month: Month) -> Period {
    journal(world, AsOf::Now).await.unwrap();
    let books = world.app().books();
    books.period(&acme(), month, AsOf::Now).await.unwrap()
}

/// What moved at the bank in a month.
fn at_bank(it: &Period) -> (i64, i64) {
    let found = it.totals.iter().find(|it| it.account == Account::Bank);
    found.map_or((0, 0), |it| (it.debit_minor, it.credit_minor))
}

/// Planted bugs, each seen red here: posting what is late in the month of its effect, whatever is closed; rematching what a person has taken apart.
#[tokio::test(flavor = "multi_thread")]
async fn a_closed_month_stays_as_it_was_and_what_is_late_is_posted_in_the_next() {
    let world = World::start().await;
    let (payout, _, amount) = paid_out(&world).await;
    // The bank's line is of long ago; it is the payout's, since it names it.
    let day = Utc::now() - TimeDelta::days(80);
    let then = Month::of(day);
    let lines = statement(day.timestamp(), amount, &format!("STRIPE {payout}"));
    let imported = import(&world, lines).await;
    assert_eq!((imported.new, imported.matched), (1, 1));
    assert_eq!(at_bank(&month(&world, then).await), (amount, 0));

    let app = world.app();
    let early = app.close_period(person("too early"), Month::of(Utc::now()));
    assert!(matches!(early.await, Err(CloseError::Refused(_))));
    for _ in 0..2 {
        app.close_period(person("signed"), then).await.unwrap();
    }
    let closings = app.books().closings(&acme()).await.unwrap();
    assert_eq!(closings.len(), 1);
    assert_eq!(
        (closings[0].by.as_deref(), closings[0].because.as_deref()),
        (Some("operator:ada"), Some("signed"))
    );
    let closed = month(&world, then).await;
    assert!(closed.closed.is_some());

    let line: uuid::Uuid = sqlx::query_scalar("select line_id from bank_lines")
        .fetch_one(app.store().pool())
        .await
        .unwrap();
    let line = aggregates::ids::SettlementId::from_uuid(line);
    let parted = app.unmatch_by_hand(person("another's"), line).await;
    assert!(parted.unwrap().by_hand);
    let again = app.unmatch_by_hand(person("another's"), line).await;
    assert!(matches!(again, Err(MatchError::Refused(_))));
    // Only people match it from now on.
    app.settle(&acme()).await.unwrap();
    let next = month(&world, then.next()).await;
    assert_eq!(at_bank(&next), (0, amount));
    let none = app.match_by_hand(person("sure"), line, "po_none".to_owned());
    assert!(matches!(none.await, Err(MatchError::App(_))));
    let bound = app.match_by_hand(person("sure"), line, payout.clone());
    assert_eq!(bound.await.unwrap().matched, Some(payout));

    let next = month(&world, then.next()).await;
    assert_eq!(at_bank(&next), (amount, amount));
    assert!(next.closed.is_none());
    let still = month(&world, then).await;
    assert_eq!(still.totals, closed.totals);
    let entries = app
        .books()
        .explain(
            &acme(),
            (Account::Bank, Currency::USD, Some(then.next())),
            AsOf::Now,
            None,
            10,
        )
        .await
        .unwrap();
    assert_eq!(entries.made_of.entries.len(), 2);
    for it in &entries.made_of.entries {
        assert_eq!(Month::of(it.effective_at), then, "the time is its own");
    }
    audit::verify(&world).await;
    world.stop().await;
}

/// Planted bugs, each seen red here: comparing positions, or times of record, with `<` where the event itself belongs to it.
#[tokio::test(flavor = "multi_thread")]
async fn balances_as_of_any_position_are_those_of_a_replay_stopped_there() {
    let world = World::start().await;
    let (status, order) = send(world.shop_create()).await;
    assert_eq!(status, 200, "{order}");
    paid_out(&world).await;
    let lost = pay(&world, 3_000, "4242424242424242").await;
    refund(&world, &lost, 700).await;
    quiet(&world).await;
    world.app().settle(&acme()).await.unwrap();
    let whole = journal(&world, AsOf::Now).await.unwrap();
    let reader = world.app().store().reader();
    let events = reader.read_ledger("acme", 0, 10_000).await.unwrap();
    let mut replay = Sums::default();
    let mut times: Vec<(DateTime<Utc>, i64)> = Vec::new();
    for event in &events {
        replay.take(event);
        times.push((event.recorded_at, event.ledger_position));
        let at = AsOf::Position(event.ledger_position);
        let then = world.app().books().balances(&acme(), at).await.unwrap();
        assert_eq!(told(&then), replay.figures, "at {}", event.ledger_position);
        assert!(then.trial_balance().iter().all(|it| it.is_balanced()));
    }
    // A time is the last position that was recorded by then.
    for (time, _) in times.iter().step_by(7) {
        let last = times.iter().rev().find(|(at, _)| at <= time).unwrap().1;
        let by = AsOf::Recorded(*time);
        let then = world.app().books().balances(&acme(), by).await.unwrap();
        assert_eq!(then.ledger_position, last);
    }
    assert_eq!(
        whole.ledger_position,
        events.last().unwrap().ledger_position
    );
    assert!(events.iter().all(|it| it.aggregate_type != Books::TYPE));
    world.stop().await;
}

/// What the command line answers: how it ended, and what it wrote.
fn counterfoil(world: &World, arguments: &[&str]) -> (bool, String, String) {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_counterfoil"))
        .args(arguments)
        .env_clear()
        .env("DATABASE_URL", &world.database_url)
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (
        output.status.success(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

/// Planted bug: answering an empty list, and ending well, for a position that the ledger has not reached.
#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_shows_the_same_books_and_says_where_there_is_no_history() {
    let world = World::start().await;
    paid_out(&world).await;
    let books = journal(&world, AsOf::Now).await.unwrap();
    let ask = |arguments: &[&str]| {
        let whose = ["--merchant", "acme", "--json"];
        counterfoil(&world, &[&["ledger"], arguments, &whose].concat())
    };
    let lines = |text: &str| -> Vec<serde_json::Value> {
        let lines = text.lines();
        lines.map(|it| serde_json::from_str(it).unwrap()).collect()
    };
    let (well, trial, _) = ask(&["trial-balance"]);
    assert!(well);
    assert_eq!(lines(&trial)[0]["balanced"], true);
    let (well, text, _) = ask(&["balances"]);
    assert!(well);
    assert_eq!(lines(&text).len(), books.balances.len());
    for (it, known) in lines(&text).iter().zip(&books.balances) {
        let minor = known.debit_minor - known.credit_minor;
        assert_eq!(
            (&it["account"], &it["balance_minor"]),
            (&json!(known.account), &json!(minor))
        );
    }
    let (well, text, _) = ask(&["explain", "assets:bank:in_transit", "usd"]);
    assert!(well);
    let entries = lines(&text);
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0]["event"]["type"], "BalanceTransactionObserved");
    let (well, text, _) = ask(&["statement", "assets:stripe:clearing", "usd"]);
    assert!(well);
    assert_eq!(lines(&text).last().unwrap()["balance_minor"], 0);
    let (well, text, _) = ask(&["journal"]);
    assert!(well && lines(&text).len() >= 3);

    let words = counterfoil(&world, &["ledger", "balances", "--merchant", "acme"]);
    assert!(words.0 && words.1.contains("assets:bank:in_transit"));
    for (as_of, why) in [
        ("999999", "the ledger ends at position"),
        ("2999-01-01T00:00:00Z", "still to come"),
        ("0", "the ledger begins after that"),
        ("yesterday", "neither a position of the ledger"),
    ] {
        let (well, text, error) = ask(&["balances", "--as-of", as_of]);
        assert!(!well && text.is_empty(), "{as_of}: {text}");
        assert!(error.contains(why), "{as_of}: {error}");
    }
    world.stop().await;
}
