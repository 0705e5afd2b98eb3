//! What callers were told, and whether it is so: compared with the log's rows and with Stripe's objects.

use crate::door::Command;
use crate::support::{World, audit, until};
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::fs;
use std::time::Duration;

pub const MISPAID: &str = "an order is mispaid";

/// All that a load was told.
#[derive(Default)]
pub struct Book {
    /// Commands that were answered for good.
    pub acknowledged: u64,
    pub attempts: u64,
    /// Attempts without an answer.
    pub cut: u64,
    /// Attempts that were told to come again.
    pub turned_away: u64,
    /// Commands that were proved not to have been carried out, and asked for anew.
    pub not_carried_out: u64,
    /// Answers under a key: all of a short run, a sample of a long one.
    pub kept: Vec<Answered>,
    pub paid: Vec<Paid>,
    /// Ids of orders.
    pub cancelled: Vec<String>,
    /// References, and the session that was opened last.
    pub sessions: Vec<(String, String)>,
    /// What must not be.
    pub wrong: Vec<String>,
}

/// An answer, and what it was given to.
pub struct Answered {
    pub command: Command,
    pub status: u16,
    pub body: Value,
}

/// What became of a payment, in minor units, as its caller was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paid {
    pub intent: String,
    pub captured: i64,
    pub refunded: i64,
}

/// What is not as it was told.
#[derive(Debug, Default)]
pub struct Found {
    /// Told, and not there.
    pub lost: Vec<String>,
    /// There more often than it was asked for.
    pub doubled: Vec<String>,
    /// Anything else that must not be.
    pub wrong: Vec<String>,
}

impl Answered {
    /// # Errors
    /// A sentence where the repeat was told something else.
    pub fn is_repeated_by(&self, again: &(u16, Value)) -> Result<(), String> {
        let (status, body) = again;
        if (self.status, lasting(&self.body)) == (*status, lasting(body)) {
            return Ok(());
        }
        Err(format!(
            "{}: first {} {}, then {status} {body}",
            self.command.path, self.status, self.body
        ))
    }
}

/// The answer without what is new in every one of them: the id of the request.
fn lasting(body: &Value) -> Value {
    let mut body = body.clone();
    if let Some(object) = body.as_object_mut() {
        object.remove("apirequest_oid");
        object.remove("instance");
    }
    body
}

impl Book {
    /// Waits until every intention has ended, and compares. The service of `world` runs in this process.
    pub async fn compare(&mut self, world: &World) -> Found {
        // What Stripe has not told by now it would tell again at some time.
        let paused = Some(json!({"paused": true}));
        world.sim(Method::POST, "webhooks", paused).await;
        until_ended(world).await;
        let mut found = Found {
            wrong: std::mem::take(&mut self.wrong),
            ..Found::default()
        };
        self.answers_are_repeated(world, &mut found).await;
        self.log_is_whole(world, &mut found).await;
        self.payments_are_as_told(world, &mut found).await;
        self.orders_are_as_told(world, &mut found).await;
        self.auditor_finds_nothing(world, &mut found).await;
        found
    }

    /// The independent checker reads all of it in its own way, with the list of what was acknowledged.
    async fn auditor_finds_nothing(&self, world: &World, found: &mut Found) {
        let acknowledged = tempfile::NamedTempFile::new().unwrap();
        fs::write(acknowledged.path(), self.acknowledged()).unwrap();
        let report = audit::report(world, |audit| {
            audit.acknowledged = Some(acknowledged.path().to_owned());
            audit.settled = true;
        })
        .await;
        let words = counterfoil::ops::audit::in_words(&report);
        found.wrong.extend((!report.is_clean()).then_some(words));
    }

    /// One line for each thing that somebody was told of.
    fn acknowledged(&self) -> String {
        let captured = self.paid.iter().filter(|it| it.captured > 0);
        let captured = captured
            .map(|it| json!({"merchant": "acme", "stripe_id": it.intent, "did": "Captured"}));
        let refunded = self.paid.iter().filter(|it| it.refunded > 0);
        let refunded = refunded
            .map(|it| json!({"merchant": "acme", "stripe_id": it.intent, "did": "Refunded"}));
        let sessions = self.sessions.iter();
        let sessions =
            sessions.map(|(_, session)| json!({"merchant": "acme", "stripe_id": session}));
        let keys = self.kept.iter().filter_map(|it| it.command.key.as_ref());
        let keys = keys.map(|key| json!({"merchant": "acme", "key": key}));
        captured
            .chain(refunded)
            .chain(sessions)
            .chain(keys)
            .map(|line| format!("{line}\n"))
            .collect()
    }

    async fn answers_are_repeated(&self, world: &World, found: &mut Found) {
        let base = format!("http://{}/", world.address);
        for kept in &self.kept {
            let request = kept.command.request(&world.http, &base);
            let answer = request.send().await.unwrap();
            let status = answer.status().as_u16();
            let again = (status, answer.json().await.unwrap_or(Value::Null));
            found.lost.extend(kept.is_repeated_by(&again).err());
        }
    }

    /// Positions without gaps, versions without gaps, debits and credits that are equal, nothing parked.
    async fn log_is_whole(&self, world: &World, found: &mut Found) {
        let checks = [
            (
                "positions have gaps",
                "select count(*) <> coalesce(max(position), 0) from events",
            ),
            (
                "positions of a ledger have gaps",
                "select exists (select from events group by ledger having count(*) <> max(ledger_position))",
            ),
            (
                "versions have gaps",
                "select exists (select from events group by aggregate_type, aggregate_id having count(*) <> max(sequence))",
            ),
            (
                "debits and credits differ",
                "select exists (select from balances group by merchant, currency having sum(debit_minor) <> sum(credit_minor))",
            ),
            (
                "something is parked",
                "select exists (select from parked where state = 'waiting')",
            ),
            (
                MISPAID,
                "select exists (select from orders where mispaid_minor > 0)",
            ),
        ];
        let pool = world.app().store().pool();
        for (what, sql) in checks {
            let is_so: bool = sqlx::query_scalar(sql).fetch_one(pool).await.unwrap();
            found.wrong.extend(is_so.then(|| what.to_owned()));
        }
    }

    async fn payments_are_as_told(&self, world: &World, found: &mut Found) {
        let ours = recorded(world).await;
        let theirs = Stripes::read(world).await;
        found.doubled.extend(theirs.doubled.iter().cloned());
        for told in &self.paid {
            if ours.get(&told.intent) != Some(told) {
                let here = ours.get(&told.intent);
                found.lost.push(format!("told {told:?}, here {here:?}"));
            }
        }
        // What nobody was told of counts as well: here and at Stripe the same has happened to every payment.
        for (intent, here) in &ours {
            let there = theirs.paid.get(intent);
            if there != Some(here) {
                found.wrong.push(format!("here {here:?}, there {there:?}"));
            }
        }
        for intent in theirs.paid.keys().filter(|it| !ours.contains_key(*it)) {
            found
                .doubled
                .push(format!("{intent} is at Stripe and not here"));
        }
    }

    async fn orders_are_as_told(&self, world: &World, found: &mut Found) {
        let pool = world.app().store().pool();
        let cancelled: Vec<String> = sqlx::query_scalar(
            "select order_id::text from orders where merchant = 'acme' and status = 'cancelled'",
        )
        .fetch_all(pool)
        .await
        .unwrap();
        for order in self.cancelled.iter().filter(|it| !cancelled.contains(it)) {
            found.lost.push(format!("the order {order} was cancelled"));
        }
        let mut open: HashMap<String, Vec<String>> = HashMap::new();
        for session in all_of(world, "checkout/sessions").await {
            if session["status"] == "open" {
                let reference = text(&session["client_reference_id"]);
                open.entry(reference)
                    .or_default()
                    .push(text(&session["id"]));
            }
        }
        for (reference, session) in &self.sessions {
            let there = open.values().filter(|it| it.contains(session)).count();
            if there != 1 {
                found
                    .lost
                    .push(format!("the checkout {session} of {reference}"));
            }
        }
        for (reference, sessions) in open.iter().filter(|(_, it)| it.len() > 1) {
            if !reference.is_empty() {
                found
                    .doubled
                    .push(format!("checkouts {sessions:?} of {reference}"));
            }
        }
        if open.values().map(Vec::len).sum::<usize>() > self.sessions.len() {
            found
                .doubled
                .push("more checkouts are open than were asked for".to_owned());
        }
    }
}

/// Until nothing waits for Stripe any more, and what it told is applied.
async fn until_ended(world: &World) {
    until("every intention has ended", async || {
        world.app().recover(Duration::ZERO).await;
        let open: Result<i64, _> = sqlx::query_scalar(
            "select (select count(*) from payments where pending_intention is not null)
                  + (select count(*) from refunds where status = 'requested')
                  + (select count(*) from stripe_requests where pending_intention is not null)
                  + (select count(*) from webhook_inbox where applied_at is null)",
        )
        .fetch_one(world.app().store().pool())
        .await;
        open.is_ok_and(|open| open == 0)
    })
    .await;
}

/// What the log knows of every payment of acme's.
async fn recorded(world: &World) -> HashMap<String, Paid> {
    let rows: Vec<(String, i64, i64)> = sqlx::query_as(
        "select intent, captured_minor, refunded_minor from payments where merchant = 'acme' and intent is not null",
    )
    .fetch_all(world.app().store().pool())
    .await
    .unwrap();
    let paid = |(intent, captured, refunded): (String, i64, i64)| Paid {
        intent,
        captured,
        refunded,
    };
    rows.into_iter()
        .map(|row| (row.0.clone(), paid(row)))
        .collect()
}

/// What Stripe has done to every payment that carries our mark.
struct Stripes {
    paid: HashMap<String, Paid>,
    doubled: Vec<String>,
}

impl Stripes {
    async fn read(world: &World) -> Self {
        let intents = all_of(world, "payment_intents").await;
        let refunds = all_of(world, "refunds").await;
        let charges = all_of(world, "charges").await;
        let mut doubled = twice(&intents, "counterfoil_payment");
        doubled.extend(twice(&refunds, "counterfoil_refund"));
        let mut paid = HashMap::new();
        for intent in &intents {
            if intent["metadata"]["counterfoil_payment"].is_string() {
                let id = text(&intent["id"]);
                let captured = intent["amount_received"].as_i64().unwrap_or(-1);
                let it = Paid {
                    intent: id.clone(),
                    captured,
                    refunded: 0,
                };
                paid.insert(id, it);
            }
        }
        for refund in refunds.iter().filter(|it| it["status"] == "succeeded") {
            if let Some(it) = paid.get_mut(&text(&refund["payment_intent"])) {
                it.refunded += refund["amount"].as_i64().unwrap_or(0);
            }
        }
        let mut charged: HashMap<String, usize> = HashMap::new();
        for charge in charges.iter().filter(|it| it["status"] == "succeeded") {
            *charged.entry(text(&charge["payment_intent"])).or_default() += 1;
        }
        let twice_charged = charged.iter().filter(|(_, times)| **times > 1);
        doubled.extend(twice_charged.map(|(intent, _)| format!("{intent} was charged twice")));
        Self { paid, doubled }
    }
}

/// Objects that carry the same mark of ours.
fn twice(objects: &[Value], mark: &str) -> Vec<String> {
    let mut seen: HashMap<&str, usize> = HashMap::new();
    for object in objects {
        if let Some(mark) = object["metadata"][mark].as_str() {
            *seen.entry(mark).or_default() += 1;
        }
    }
    let many = seen.into_iter().filter(|(_, times)| *times > 1);
    many.map(|(id, times)| format!("{mark} {id} is there {times} times"))
        .collect()
}

/// A whole list of acme's at Stripe, page by page.
async fn all_of(world: &World, what: &str) -> Vec<Value> {
    let (mut all, mut after) = (Vec::new(), String::new());
    loop {
        let path = format!("/v1/{what}?limit=100{after}");
        let answer = world.stripe(Method::GET, &path).send().await.unwrap();
        let mut page: Value = answer.json().await.unwrap();
        let Value::Array(objects) = page["data"].take() else {
            panic!("no list of {what}: {page}");
        };
        let Some(last) = objects.last() else {
            return all;
        };
        after = format!("&starting_after={}", text(&last["id"]));
        all.extend(objects);
        if page["has_more"] != true {
            return all;
        }
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
