//! What came of a run, in words that do not tell one run from another.

use crate::support::World;
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::Connection;
use std::collections::{BTreeMap, BTreeSet};

/// What Stripe has of what matters: raw cards become methods that no money hangs on, so those are left out.
const KINDS: [&str; 7] = [
    "payment_intents",
    "charges",
    "refunds",
    "customers",
    "checkout_sessions",
    "disputes",
    "balance_transactions",
];

/// What there is in a world at one moment.
pub struct Moment {
    at_stripe: BTreeMap<String, Value>,
    counts: BTreeMap<String, i64>,
}

/// What has become of it since, as text: new or changed at Stripe, moved in the books, and how many more there are of what no
/// book shows.
#[derive(Debug, PartialEq, Eq)]
pub struct Effects {
    at_stripe: Vec<String>,
    counts: BTreeMap<String, i64>,
}

/// Balances of accounts, and numbers of rows.
const COUNTS: &str = "
    select merchant || ' ' || currency || ' ' || account, debit_minor - credit_minor from balances
    union all select 'orders', count(*) from orders
    union all select 'offers', count(*) from offers
    union all select 'articles', count(*) from articles
    union all select 'merchants', count(*) from merchants
    union all select 'keys', count(*) from api_keys
    union all select 'live keys', count(*) from api_keys where revoked_at is null
    union all select 'prices', count(*) from events where event_type in ('ArticleRepriced', 'OfferRepriced', 'OrderRepriced')";

impl Moment {
    pub async fn now(world: &World) -> Self {
        let state = world.sim(Method::GET, "state", None).await;
        let mut at_stripe = BTreeMap::new();
        for (account, of_it) in state.as_object().unwrap() {
            for kind in KINDS {
                for object in of_it[kind].as_array().unwrap() {
                    let name = format!("{account}/{kind}/{}", object["id"]);
                    at_stripe.insert(name, object.clone());
                }
            }
        }
        let mut connection = sqlx::PgConnection::connect(&world.database_url)
            .await
            .unwrap();
        let counts: Vec<(String, i64)> = sqlx::query_as(COUNTS)
            .fetch_all(&mut connection)
            .await
            .unwrap();
        Self {
            at_stripe,
            counts: counts.into_iter().collect(),
        }
    }

    /// What is different `now`.
    pub fn until(&self, now: &Self, tag: &str) -> Effects {
        let is_new = |(name, object): &(&String, &Value)| self.at_stripe.get(*name) != Some(object);
        let new = now.at_stripe.iter().filter(is_new);
        let mut at_stripe: Vec<String> = new
            .map(|(name, object)| {
                let kind = name.split('/').nth(1).unwrap();
                format!("{kind} {}", plain(object, tag))
            })
            .collect();
        at_stripe.sort();
        let names: BTreeSet<&String> = self.counts.keys().chain(now.counts.keys()).collect();
        let of = |it: &Self, name: &str| it.counts.get(name).copied().unwrap_or(0);
        let moved = names
            .into_iter()
            .map(|name| (name.clone(), of(now, name) - of(self, name)));
        Effects {
            at_stripe,
            counts: moved.filter(|(_, moved)| *moved != 0).collect(),
        }
    }
}

/// Fields that tell one run from another, or the first answer from its repetition, whatever is in them.
const OTHERWISE: [&str; 7] = [
    "hint",
    "idempotency_key",
    "instance",
    "invoice_prefix",
    "ledger_position",
    "request",
    "secret",
];

/// The value without ids, times and addresses, and with the run's own tag made the same as every other's.
pub fn plain(value: &Value, tag: &str) -> Value {
    let mut ids = Vec::new();
    collect_ids(value, &mut ids);
    same(value, &|text: &str| {
        let known = ids.iter().filter(|id| *id != tag);
        let text = known.fold(text.to_owned(), |text, id| {
            text.replace(id.as_str(), "<id>")
        });
        // What comes after it is drawn, and may look like a word.
        match text.split_once("_secret_") {
            Some((whose, _)) => format!("{}_secret", without_ids(whose, tag)),
            None => without_ids(&text, tag),
        }
    })
}

/// What is called an id.
fn collect_ids(value: &Value, ids: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            let id = fields.get("id").and_then(Value::as_str);
            ids.extend(id.filter(|id| id.len() >= 8).map(str::to_owned));
            fields.values().for_each(|field| collect_ids(field, ids));
        }
        Value::Array(items) => items.iter().for_each(|item| collect_ids(item, ids)),
        _ => {}
    }
}

fn same(value: &Value, text: &impl Fn(&str) -> String) -> Value {
    match value {
        Value::Object(fields) => fields
            .iter()
            .filter(|(name, _)| !OTHERWISE.contains(&name.as_str()))
            .map(|(name, value)| (text(name), same(value, text)))
            .collect(),
        Value::Array(items) => items.iter().map(|item| same(item, text)).collect(),
        Value::String(it) => json!(text(it)),
        // A time, in seconds.
        Value::Number(number) if number.as_i64().is_some_and(|it| it > 1_000_000_000) => {
            json!("<time>")
        }
        other => other.clone(),
    }
}

fn without_ids(text: &str, tag: &str) -> String {
    if chrono::DateTime::parse_from_rfc3339(text).is_ok() {
        return "<time>".to_owned();
    }
    let text = text.replace(tag, "<tag>");
    let mut plain = String::new();
    let mut word = String::new();
    for letter in text.chars().chain([' ']) {
        if letter.is_ascii_alphanumeric() || letter == '_' || letter == '-' {
            word.push(letter);
            continue;
        }
        plain.push_str(if is_id(&word) { "<id>" } else { &word });
        word.clear();
        plain.push(letter);
    }
    plain.pop();
    without_port(&plain)
}

/// Every world has its own.
fn without_port(text: &str) -> String {
    const HOST: &str = "127.0.0.1:";
    let mut parts = text.split(HOST);
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        plain.push_str(HOST);
        plain.push_str(part.trim_start_matches(|it: char| it.is_ascii_digit()));
    }
    plain
}

/// Long, and with digits in it, as no word is.
fn is_id(word: &str) -> bool {
    const SHORTEST: usize = 14;
    word.len() >= SHORTEST && word.bytes().any(|it| it.is_ascii_digit())
}

#[test]
fn ids_times_and_tags_are_plain_and_amounts_and_words_are_not() {
    let value = json!({
        "id": "pi_3Qx1AbCdEfGh", "self": "http://127.0.0.1:4321/v1/pi_3Qx1AbCdEfGh", "amount": 2000, "created": 1_795_000_000, "reference": "shop-t7",
        "at": "2026-11-21T11:00:00Z", "payment_method_options": "requires_payment_method", "secret": "x",
    });
    let expected = json!({
        "id": "<id>", "self": "http://127.0.0.1:/v1/<id>", "amount": 2000, "created": "<time>", "reference": "shop-<tag>", "at": "<time>",
        "payment_method_options": "requires_payment_method",
    });
    assert_eq!(plain(&value, "t7"), expected);
}
