//! What was done on an account, in short, page by page: for a checker that compares it with somebody's books.

use serde_json::{Map, Value, json};

use crate::objects::Event;
use crate::state::{AccountCell, Clock};

/// How much is on a page.
const PAGE: usize = 1000;

/// What is shown of an object: enough to tell what it is, how much, and whose mark it carries.
const SHOWN: [&str; 8] = [
    "id",
    "created",
    "amount",
    "amount_received",
    "currency",
    "status",
    "payment_intent",
    "metadata",
];

/// Objects of a kind, oldest first, from the place `after` on; none where there is no such kind. Where the clock was behind real time, the
/// times are real ones: they are compared with what others recorded.
pub(crate) fn page(cell: &AccountCell, clock: &Clock, kind: &str, after: usize) -> Option<Value> {
    let state = cell.lock();
    let tables = &state.tables;
    let mut items: Vec<Value> = match kind {
        "payment_intents" => of(tables.payment_intents.oldest_first(), after, |it| {
            shown(&it.render())
        }),
        "refunds" => of(tables.refunds.oldest_first(), after, |it| {
            shown(&it.render())
        }),
        "customers" => of(tables.customers.oldest_first(), after, |it| {
            shown(&it.render())
        }),
        "payouts" => of(tables.payouts.oldest_first(), after, |it| {
            shown(&it.render())
        }),
        "checkout_sessions" => of(tables.checkout_sessions.oldest_first(), after, |it| {
            shown(&it.render(&cell.base_url))
        }),
        "events" => of(tables.events.oldest_first(), after, call),
        _ => return None,
    };
    for item in &mut items {
        if let Some(created) = item["created"].as_i64() {
            item["created"] = clock.real_of(created).into();
        }
    }
    let next = (items.len() == PAGE).then_some(after + PAGE);
    Some(json!({ "items": items, "next": next }))
}

fn of<'t, T: 't>(
    rows: impl Iterator<Item = &'t T>,
    after: usize,
    render: impl Fn(&T) -> Value,
) -> Vec<Value> {
    rows.skip(after).take(PAGE).map(render).collect()
}

fn shown(object: &Value) -> Value {
    let named = SHOWN.iter().filter_map(|name| {
        let value = object.get(name)?;
        Some(((*name).to_owned(), value.clone()))
    });
    Value::Object(named.collect::<Map<_, _>>())
}

/// An event as the trace of the request that caused it.
fn call(event: &Event) -> Value {
    let object: Value = serde_json::from_str(&event.data)
        .expect("it was written as JSON by this process or an earlier one");
    json!({
        "id": event.id,
        "created": event.created,
        "type": event.event_type,
        "object": object.get("id"),
        "idempotency_key": event.cause.idempotency_key,
    })
}
