//! The simulator's own handles, under `/_sim`, for tests and the sandbox. They take no key, and only callers on the same machine are answered.
//!
//! | request | what it does |
//! |---|---|
//! | `GET /_sim/health` | the accounts that exist |
//! | `GET /_sim/clock`, `POST /_sim/clock {"advance_s"}` | shows the clock, or advances it and does what has become due |
//! | `POST /_sim/settle {"account"?}` | does now what Stripe does later: balance transactions, refunds, processing payments, disputes and their decisions, arrivals of payouts |
//! | `GET /_sim/state?account=` | every object, without secrets |
//! | `GET /_sim/effects?account=&kind=&after=` | a thousand objects of a kind in short, or events with the keys of the requests behind them |
//! | `POST /_sim/objects {"id", "amount", "currency", "client_secret"?, "description"?, "account"?}` | plants an intent; its secret lasts until the process ends |
//! | `POST /_sim/forge {"id", "as"?, "set"?}` | changes what is kept of an object, or of a copy of it under another id, and tells nobody |
//! | `POST /_sim/lose {"id"}` | forgets an object until the process ends, and tells nobody |
//! | `POST /_sim/disputes {"charge", "inquiry"?}` | lets the payer's bank dispute a charge, or ask about it |
//! | `POST /_sim/payouts {"account"?, "automatic": true}` | pays out now what is paid out on Mondays |
//! | `POST /_sim/payouts/fail {"payout", "failure_code"?}` | lets the bank send a payout back |
//! | `POST /_sim/fees {"amount", "currency", "account"?}` | Stripe takes a fee of its own off the balance |
//! | `POST /_sim/faults {"kind", "path_prefix"?, "method"?, "account"?, "times"?}` | adds a fault (see [`Fault`]) |
//! | `POST /_sim/faults/script {"seed", "requests": {kind: per mille}, "webhooks": {mishap: per mille}, "path_prefix"?, "method"?, "account"?}` | draws a fault for every request, and what becomes of every delivery, from a seed; instead of an earlier script |
//! | `DELETE /_sim/faults/script` | switches it off, and says how often each kind has struck |
//! | `GET /_sim/faults`, `DELETE /_sim/faults`, `POST /_sim/faults/release` | lists, with how many requests are held; removes all and the script; lets the held ones go on |
//! | `POST /_sim/keys/forget {"key"?, "older_than_s"?, "account"?}` | forgets what is kept under one idempotency key, or under all; or only what is older |
//! | `POST /_sim/webhooks {"paused", "account"?}` | holds deliveries back, or lets them go |
//! | `POST /_sim/webhooks/endpoints {"url", "secret", "enabled_events"?, "account"?}` | delivers there as well, until the process ends |
//! | `GET /_sim/webhooks/deliveries?account=` | what was delivered, with attempts and last status |
//! | `GET /_sim/webhooks/pending?account=` | how many deliveries have still to be made |
//! | `POST /_sim/webhooks/redeliver {"event"}` | delivers an event again |

use std::sync::Arc;
use std::sync::atomic::Ordering;

use http::Method;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::App;
use crate::answers::Answer;
use crate::api;
use crate::cards::Disputing;
use crate::config::{PlantedIntent, WebhookEndpoint};
use crate::errors::ApiError;
use crate::faults::script::Script;
use crate::faults::{Fault, Rule, every_path};
use crate::flow;
use crate::forging::{self, Forgery, NotForged};
use crate::objects::{Cause, Charge, PaymentIntent, Payout};
use crate::state::{AccountCell, Tx};
use crate::webhooks;

/// Why a handle did nothing: a status and a sentence.
struct Refusal(u16, String);

impl From<std::io::Error> for Refusal {
    fn from(error: std::io::Error) -> Self {
        Self(500, format!("the state cannot be written: {error}"))
    }
}

impl From<ApiError> for Refusal {
    fn from(error: ApiError) -> Self {
        Self(error.status(), error.message().to_owned())
    }
}

type Handled = Result<Value, Refusal>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Advance {
    advance_s: u32,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct OfAccount {
    #[serde(default)]
    account: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Effects {
    account: String,
    kind: String,
    #[serde(default)]
    after: usize,
}

#[derive(Deserialize)]
struct Plant {
    #[serde(default)]
    account: Option<String>,
    #[serde(flatten)]
    intent: Planted,
}

/// As [`PlantedIntent`], which refuses unknown members and so cannot be flattened.
#[derive(Deserialize)]
struct Planted {
    id: String,
    client_secret: Option<String>,
    amount: i64,
    currency: String,
    description: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewDispute {
    charge: String,
    #[serde(default)]
    inquiry: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewPayouts {
    #[serde(default)]
    account: Option<String>,
    automatic: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FailPayout {
    payout: String,
    #[serde(default = "could_not_process")]
    failure_code: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewFee {
    amount: u32,
    currency: String,
    #[serde(default)]
    account: Option<String>,
}

fn could_not_process() -> String {
    "could_not_process".to_owned()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewFault {
    kind: String,
    #[serde(default)]
    method: Option<String>,
    #[serde(default = "every_path")]
    path_prefix: String,
    #[serde(default)]
    account: Option<String>,
    #[serde(default = "once")]
    times: u64,
}

fn once() -> u64 {
    1
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Forget {
    #[serde(default)]
    key: Option<String>,
    #[serde(default)]
    older_than_s: u32,
    #[serde(default)]
    account: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Pause {
    paused: bool,
    #[serde(default)]
    account: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewEndpoint {
    #[serde(default)]
    account: Option<String>,
    url: String,
    secret: String,
    #[serde(default)]
    enabled_events: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Redeliver {
    event: String,
}

/// Answers a request under `/_sim`; `path` is what follows.
pub(crate) fn answer(app: &App, method: &Method, path: &str, query: &str, body: &[u8]) -> Answer {
    let handled = match (method.as_str(), path) {
        ("GET", "health") => Ok(health(app)),
        ("GET", "clock") => Ok(clock(app)),
        ("POST", "clock") => advance(app, body),
        ("POST", "settle") => settle(app, body),
        ("GET", "state") => of_query(app, query).map(|cells| state(app, &cells)),
        ("GET", "effects") => effects(app, query),
        ("POST", "objects") => plant(app, body),
        ("POST", "forge") => forge(app, body),
        ("POST", "lose") => lose(app, body),
        ("POST", "disputes") => dispute(app, body),
        ("POST", "payouts") => pay_out(app, body),
        ("POST", "payouts/fail") => fail_payout(app, body),
        ("POST", "fees") => charge_fee(app, body),
        ("GET", "faults") => Ok(app.faults.list()),
        ("POST", "faults") => add_fault(app, body),
        ("DELETE", "faults") => {
            app.faults.clear();
            Ok(app.faults.list())
        }
        ("POST", "faults/script") => follow_script(app, body),
        ("DELETE", "faults/script") => Ok(app.faults.end_script()),
        ("POST", "keys/forget") => forget_keys(app, body),
        ("POST", "faults/release") => {
            app.faults.release();
            Ok(app.faults.list())
        }
        ("POST", "webhooks") => pause(app, body),
        ("POST", "webhooks/endpoints") => add_endpoint(app, body),
        ("GET", "webhooks/deliveries") => of_query(app, query).map(|cells| deliveries(&cells)),
        ("GET", "webhooks/pending") => of_query(app, query).map(|cells| pending(&cells)),
        ("POST", "webhooks/redeliver") => redeliver(app, body),
        _ => Err(Refusal(404, format!("there is no {method} /_sim/{path}"))),
    };
    match handled {
        Ok(body) => Answer::json(200, &body),
        Err(Refusal(status, message)) => Answer::json(status, &json!({ "error": message })),
    }
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|error| Refusal(400, error.to_string()))
}

/// The named account, or all of them.
fn cells<'a>(app: &'a App, account: Option<&str>) -> Result<Vec<&'a Arc<AccountCell>>, Refusal> {
    let cells: Vec<_> = app
        .accounts
        .iter()
        .filter(|cell| account.is_none_or(|id| id == cell.settings.id))
        .collect();
    if cells.is_empty() {
        return Err(Refusal(404, "there is no such account".to_owned()));
    }
    Ok(cells)
}

fn of_query<'a>(app: &'a App, query: &str) -> Result<Vec<&'a Arc<AccountCell>>, Refusal> {
    let of: OfAccount =
        serde_urlencoded::from_str(query).map_err(|error| Refusal(400, error.to_string()))?;
    cells(app, of.account.as_deref())
}

fn health(app: &App) -> Value {
    let ids: Vec<_> = app.accounts.iter().map(|cell| &cell.settings.id).collect();
    json!({ "status": "ok", "accounts": ids })
}

fn clock(app: &App) -> Value {
    json!({ "now": app.clock.now(), "ahead_s": app.clock.ahead_s() })
}

fn advance(app: &App, body: &[u8]) -> Handled {
    let Advance { advance_s } = read(body)?;
    app.clock.advance(advance_s)?;
    app.run_due()?;
    for cell in &app.accounts {
        cell.bell.notify_waiters();
    }
    Ok(clock(app))
}

fn settle(app: &App, body: &[u8]) -> Handled {
    let of: OfAccount = match body {
        [] => OfAccount::default(),
        _ => read(body)?,
    };
    let mut done = 0;
    for cell in cells(app, of.account.as_deref())? {
        done += flow::settle_now(cell, &mut cell.lock(), app.clock.now())?;
    }
    Ok(json!({ "done": done }))
}

fn state(app: &App, cells: &[&Arc<AccountCell>]) -> Value {
    let now = app.clock.now();
    let accounts: serde_json::Map<String, Value> = cells
        .iter()
        .map(|cell| (cell.settings.id.clone(), state_of(cell, now)))
        .collect();
    Value::Object(accounts)
}

fn state_of(cell: &AccountCell, now: i64) -> Value {
    let state = cell.lock();
    let tables = &state.tables;
    let transactions = tables.balance_transactions.oldest_first();
    let booked = |id: &str| tables.balance_transactions.get(id).cloned();
    json!({
        "payment_intents": rendered(tables.payment_intents.oldest_first(), |it| it.render()),
        "payment_methods": rendered(tables.payment_methods.oldest_first(), |it| it.render()),
        "customers": rendered(tables.customers.oldest_first(), |it| it.render()),
        "charges": rendered(tables.charges.oldest_first(), |it| it.render()),
        "disputes": rendered(tables.disputes.oldest_first(), |it| it.render(now, booked)),
        "checkout_sessions": rendered(tables.checkout_sessions.oldest_first(), |it| it.render(&cell.base_url)),
        "payouts": rendered(tables.payouts.oldest_first(), |it| it.render()),
        "refunds": rendered(tables.refunds.oldest_first(), |it| it.render()),
        "balance_transactions": rendered(transactions, |it| it.render(now)),
        "events": rendered(tables.events.oldest_first(), |it| cell.render_event(tables, it)),
        "webhook_endpoints": rendered(tables.webhook_endpoints.oldest_first(), |it| it.render()),
    })
}

fn effects(app: &App, query: &str) -> Handled {
    let asked: Effects =
        serde_urlencoded::from_str(query).map_err(|error| Refusal(400, error.to_string()))?;
    let cell = cells(app, Some(&asked.account))?[0];
    crate::dump::page(cell, &app.clock, &asked.kind, asked.after)
        .ok_or_else(|| Refusal(400, "there is no such kind of object".to_owned()))
}

fn rendered<'t, T: 't>(
    rows: impl Iterator<Item = &'t T>,
    render: impl Fn(&T) -> Value,
) -> Vec<Value> {
    rows.map(render).collect()
}

fn plant(app: &App, body: &[u8]) -> Handled {
    let Plant { account, intent } = read(body)?;
    let cell = cells(app, account.as_deref())?[0];
    let now_ms = app.clock.now_ms();
    let mut state = cell.lock();
    let mut tx = Tx::begin(cell, &mut state, now_ms, Cause::default());
    if tx.get::<PaymentIntent>(&intent.id).is_some() {
        return Err(Refusal(409, "the intent exists".to_owned()));
    }
    let planted = PlantedIntent {
        id: intent.id,
        client_secret: intent.client_secret,
        amount: intent.amount,
        currency: intent.currency,
        description: intent.description,
    };
    let object = PaymentIntent::planted(&planted, tx.now);
    let rendered = object.render();
    tx.put(object);
    tx.commit()?;
    if let Some(secret) = &planted.client_secret {
        cell.plant_secret(&planted.id, secret);
    }
    Ok(rendered)
}

fn forge(app: &App, body: &[u8]) -> Handled {
    let it: Forgery = read(body)?;
    for cell in &app.accounts {
        let mut state = cell.lock();
        let tx = Tx::begin(cell, &mut state, app.clock.now_ms(), Cause::default());
        match forging::forge(tx, &it) {
            Ok(forged) => return Ok(forged),
            Err(NotForged::Unknown) => {}
            Err(NotForged::Wrong(error)) => return Err(Refusal(400, error.to_string())),
            Err(NotForged::Io(error)) => return Err(error.into()),
        }
    }
    Err(Refusal(404, "there is no such object".to_owned()))
}

fn lose(app: &App, body: &[u8]) -> Handled {
    #[derive(Deserialize)]
    struct Lost {
        id: String,
    }
    let Lost { id } = read(body)?;
    let mut cells = app.accounts.iter();
    match cells.any(|cell| forging::lose(&mut cell.lock(), &id)) {
        true => Ok(json!({ "lost": id })),
        false => Err(Refusal(404, "there is no such object".to_owned())),
    }
}

fn dispute(app: &App, body: &[u8]) -> Handled {
    let NewDispute { charge, inquiry } = read(body)?;
    let how = match inquiry {
        true => Disputing::Inquiry,
        false => Disputing::Fraudulent,
    };
    for cell in &app.accounts {
        let mut state = cell.lock();
        let mut tx = Tx::begin(cell, &mut state, app.clock.now_ms(), Cause::default());
        let Some(charge) = tx.get::<Charge>(&charge) else {
            continue;
        };
        let dispute = flow::dispute(&mut tx, charge, how)?;
        let shown = flow::show_dispute(&tx, &dispute);
        tx.commit()?;
        return Ok(shown);
    }
    Err(Refusal(404, "there is no such charge".to_owned()))
}

fn pay_out(app: &App, body: &[u8]) -> Handled {
    let NewPayouts { account, automatic } = read(body)?;
    if !automatic {
        let message = "a payout by hand is made by POST /v1/payouts";
        return Err(Refusal(400, message.to_owned()));
    }
    let mut payouts = Vec::new();
    for cell in cells(app, account.as_deref())? {
        let mut state = cell.lock();
        let mut tx = Tx::begin(cell, &mut state, app.clock.now_ms(), Cause::default());
        payouts.extend(flow::pay_out_all(&mut tx).iter().map(Payout::render));
        tx.commit()?;
    }
    Ok(json!({ "payouts": payouts }))
}

fn fail_payout(app: &App, body: &[u8]) -> Handled {
    let FailPayout {
        payout,
        failure_code,
    } = read(body)?;
    for cell in &app.accounts {
        let mut state = cell.lock();
        let mut tx = Tx::begin(cell, &mut state, app.clock.now_ms(), Cause::default());
        let Some(payout) = tx.get::<Payout>(&payout) else {
            continue;
        };
        let failed = flow::fail_payout(&mut tx, payout, &failure_code)?;
        tx.commit()?;
        return Ok(failed.render());
    }
    Err(Refusal(404, "there is no such payout".to_owned()))
}

fn charge_fee(app: &App, body: &[u8]) -> Handled {
    let asked: NewFee = read(body)?;
    let cell = cells(app, asked.account.as_deref())?[0];
    let mut state = cell.lock();
    let mut tx = Tx::begin(cell, &mut state, app.clock.now_ms(), Cause::default());
    let booked = flow::charge_fee(&mut tx, i64::from(asked.amount), &asked.currency);
    tx.commit()?;
    Ok(booked.render(app.clock.now()))
}

fn add_fault(app: &App, body: &[u8]) -> Handled {
    let asked: NewFault = read(body)?;
    let fault = Fault::parse(&asked.kind)
        .ok_or_else(|| Refusal(400, "there is no such kind of fault".to_owned()))?;
    if asked.times > 0 {
        app.faults.add(Rule {
            method: asked.method,
            path_prefix: asked.path_prefix,
            account: asked.account,
            times: asked.times,
            fault,
        });
    }
    Ok(app.faults.list())
}

fn follow_script(app: &App, body: &[u8]) -> Handled {
    let script = Script::new(read(body)?).map_err(|why| Refusal(400, why))?;
    app.faults.follow(script);
    Ok(app.faults.list())
}

fn forget_keys(app: &App, body: &[u8]) -> Handled {
    let Forget {
        key,
        older_than_s,
        account,
    } = read(body)?;
    let mut forgotten = 0;
    for cell in cells(app, account.as_deref())? {
        let now_ms = app.clock.now_ms();
        forgotten += api::forget_keys(cell, now_ms, key.as_deref(), older_than_s)?;
    }
    Ok(json!({ "forgotten": forgotten }))
}

fn pause(app: &App, body: &[u8]) -> Handled {
    let Pause { paused, account } = read(body)?;
    for cell in cells(app, account.as_deref())? {
        cell.paused.store(paused, Ordering::SeqCst);
        cell.bell.notify_waiters();
    }
    Ok(json!({ "paused": paused }))
}

fn add_endpoint(app: &App, body: &[u8]) -> Handled {
    let asked: NewEndpoint = read(body)?;
    let cell = cells(app, asked.account.as_deref())?[0];
    let mut endpoint = WebhookEndpoint::new(&asked.url, &asked.secret);
    if let Some(types) = asked.enabled_events {
        endpoint.enabled_events = types;
    }
    cell.add_endpoint(endpoint);
    Ok(json!({ "account": cell.settings.id, "url": asked.url }))
}

fn deliveries(cells: &[&Arc<AccountCell>]) -> Value {
    let mut log = Vec::new();
    for cell in cells {
        let state = cell.lock();
        for delivery in state.tables.deliveries.oldest_first() {
            let event = state.tables.events.get(&delivery.event);
            let target = cell.target(&state.tables, &delivery.endpoint_id);
            log.push(json!({
                "account": cell.settings.id,
                "event": delivery.event,
                "type": event.map(|it| &it.event_type),
                "endpoint": delivery.endpoint_id,
                "url": target.map(|it| it.url),
                "state": delivery.state,
                "attempts": delivery.attempts,
                "last_status": delivery.last_status,
            }));
        }
    }
    json!({ "deliveries": log })
}

fn pending(cells: &[&Arc<AccountCell>]) -> Value {
    let pending: usize = cells.iter().map(|it| it.lock().pending_deliveries()).sum();
    json!({ "pending": pending })
}

fn redeliver(app: &App, body: &[u8]) -> Handled {
    let Redeliver { event } = read(body)?;
    for cell in &app.accounts {
        if cell.lock().tables.events.get(&event).is_some() {
            let deliveries = webhooks::redeliver(app, cell, &event)?;
            return Ok(json!({ "deliveries": deliveries }));
        }
    }
    Err(Refusal(404, "there is no such event".to_owned()))
}
