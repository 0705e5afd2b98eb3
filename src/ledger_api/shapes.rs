//! Shapes that several resources share.

use aggregates::money::Money;
use chrono::{DateTime, Utc};
use eventstore::Recorded;
use serde::Serialize;
use serde_json::value::RawValue;
use std::collections::HashMap;

use super::cursor;
use crate::http::problem::Problem;
use crate::use_cases::PriceSince;

/// A page of a list.
#[derive(Serialize)]
pub struct List<T> {
    pub object: &'static str,
    pub data: Vec<T>,
    pub has_more: bool,
    /// Where the next page begins: to be given as `after`.
    pub next: Option<String>,
}

impl<T> List<T> {
    /// A page of the list `name`, whose entries are named by `id`.
    pub fn new<R>(
        name: &str,
        (rows, has_more): (Vec<R>, bool),
        id: impl Fn(&R) -> String,
        shown: impl Fn(R) -> T,
    ) -> Self {
        let last = rows.last().filter(|_| has_more);
        let next = last.map(|row| cursor::after(name, &id(row)));
        Self {
            object: "list",
            data: rows.into_iter().map(shown).collect(),
            has_more,
            next,
        }
    }

    /// All there is.
    pub fn whole(data: Vec<T>) -> Self {
        Self {
            object: "list",
            data,
            has_more: false,
            next: None,
        }
    }
}

/// A price in the history of prices.
#[derive(Serialize)]
pub struct Priced {
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<String>,
    price_minor: i64,
    currency: String,
    since: DateTime<Utc>,
    /// Of the event that set it.
    position: i64,
}

impl From<PriceSince> for Priced {
    fn from(it: PriceSince) -> Self {
        let (group, code) = match it.product {
            Some(product) => (Some(product.group), Some(product.code)),
            None => (None, None),
        };
        Self {
            group,
            code,
            price_minor: it.price.minor(),
            currency: currency(it.price),
            since: it.since,
            position: it.ledger_position,
        }
    }
}

/// An event as the feed shows it. Personal data in it is sealed, and stays so.
#[derive(Serialize)]
pub struct Event<'a> {
    object: &'static str,
    /// Within the merchant's ledger: gapless, from 1.
    position: i64,
    event_id: String,
    r#type: &'a str,
    version: &'a str,
    aggregate: Aggregate<'a>,
    recorded_at: DateTime<Utc>,
    /// When it happened, for whoever told of it.
    claimed_at: Option<String>,
    actor: Option<String>,
    key_id: Option<String>,
    /// Through which door it came.
    door: Option<String>,
    reason: Option<String>,
    command_id: Option<String>,
    correlation_id: Option<String>,
    causation_id: Option<String>,
    payload: &'a RawValue,
}

#[derive(Serialize)]
struct Aggregate<'a> {
    r#type: &'a str,
    id: &'a str,
    /// Which event of this aggregate it is, from 1.
    sequence: u64,
}

/// The event as one line of JSON.
pub fn event(it: &Recorded) -> Result<String, Problem> {
    let unreadable = |error: serde_json::Error| {
        tracing::error!(%error, position = it.position, "a recorded event cannot be shown");
        Problem::internal()
    };
    let mut metadata: HashMap<String, String> = it.metadata_as().map_err(unreadable)?;
    let mut told = |name: &str| metadata.remove(name);
    let payload: &RawValue = serde_json::from_str(&it.payload).map_err(unreadable)?;
    let shown = Event {
        object: "event",
        position: it.ledger_position,
        event_id: it.event_id.to_string(),
        r#type: &it.event_type,
        version: &it.event_version,
        aggregate: Aggregate {
            r#type: &it.aggregate_type,
            id: it.aggregate_id.rsplit('/').next().unwrap_or_default(),
            sequence: it.sequence,
        },
        recorded_at: it.recorded_at,
        claimed_at: told("claimed_at"),
        actor: told("actor"),
        key_id: told("key_id"),
        door: told("door"),
        reason: told("reason"),
        command_id: told("command_id"),
        correlation_id: told("correlation_id"),
        causation_id: told("causation_id"),
        payload,
    };
    let line = serde_json::to_string(&shown).map_err(unreadable)?;
    // Within JSON a line break is white space; one in a text is escaped.
    Ok(line.replace(['\n', '\r'], " "))
}

/// Events as a list, all there are.
pub fn life(events: &[Recorded]) -> Result<List<Box<RawValue>>, Problem> {
    Ok(List::whole(shown(events)?))
}

/// Events, each as JSON.
pub fn shown(events: &[Recorded]) -> Result<Vec<Box<RawValue>>, Problem> {
    let raw = |it: &Recorded| RawValue::from_string(event(it)?).map_err(|_| Problem::internal());
    events.iter().map(raw).collect()
}

/// Three lowercase letters.
pub fn currency(of: Money) -> String {
    of.currency().code()
}
