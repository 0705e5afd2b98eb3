//! What happened to a payment: one `version` and one `event_store` for each event of the log, with what it changed.

use aggregates::payment::Facts;
use serde_json::{Map, Value, json};

use super::PATH;
use super::error::{self, Refusal};
use super::query::{self, Page};
use super::request::{Asked, Call};
use super::response::{Shown, known_attributes, object, time};
use crate::http::json_api::{Document, Identifier, Resource};
use crate::use_cases::SourceChange;

/// The two renderings of a history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Versions,
    EventStores,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Versions => "versions",
            Self::EventStores => "event_stores",
        }
    }

    pub fn named(name: &str) -> Self {
        match name {
            "versions" => Self::Versions,
            _ => Self::EventStores,
        }
    }

    /// What the changes are called.
    fn changes(self) -> &'static str {
        match self {
            Self::Versions => "changes",
            Self::EventStores => "payload",
        }
    }
}

/// Each event as a resource, oldest first. Its id is the payment's with its place in the payment's history.
pub fn resources(
    shown: &Shown<'_>,
    kind: Kind,
    payment: &str,
    changes: &[SourceChange],
) -> Vec<Resource> {
    let resource = |it: &SourceChange| {
        let id = format!("{payment}-{}", it.told.sequence);
        Resource {
            self_link: format!("{}/api/{}/{id}", shown.call.base, kind.name()),
            identifier: Identifier {
                kind: kind.name(),
                id,
            },
            attributes: attributes(kind, payment, it),
            relationships: vec![],
            meta: shown.call.meta_of(shown.asked),
        }
    };
    changes.iter().map(resource).collect()
}

fn attributes(kind: Kind, payment: &str, it: &SourceChange) -> Map<String, Value> {
    let recorded = time(it.told.recorded_at);
    let event = match it.before {
        None => "create",
        Some(_) => "update",
    };
    let mut attributes = object(json!({
        "event": event,
        "who": who(it),
        "resource_type": super::NAME,
        "resource_id": payment,
        "created_at": recorded,
        "updated_at": recorded,
        "reference": null,
        "reference_origin": null,
        "metadata": {"event_type": it.told.name, "event_id": it.told.event_id},
    }));
    let changed = differences(it.before.as_ref(), &it.after);
    attributes.insert(kind.changes().to_owned(), changed.into());
    attributes
}

/// Who did it, in the vendor's shape, and as the log has it.
fn who(it: &SourceChange) -> Value {
    let customer = it.told.actor.strip_prefix("customer:");
    json!({
        "application": {"id": it.told.key_id, "kind": it.told.door, "public": false},
        "owner": customer.map(|id| json!({"id": id, "type": "Customer"})),
        "actor": it.told.actor,
    })
}

/// Each attribute that the event changed, from what to what. Where it stands and how much of it was taken and given back are
/// told as well: they are no attributes of the resource, and what people ask a history for.
fn differences(before: Option<&Facts>, after: &Facts) -> Map<String, Value> {
    let before = before.map(told).unwrap_or_default();
    let after = told(after);
    let changed = after.into_iter().filter_map(|(name, to)| {
        let from = before.get(&name).cloned().unwrap_or_default();
        let nothing = |it: &Value| it.is_null() || it.as_object().is_some_and(Map::is_empty);
        let same = from == to || nothing(&from) && nothing(&to);
        (!same).then(|| (name, json!({"from": from, "to": to})))
    });
    changed.collect()
}

fn told(facts: &Facts) -> Map<String, Value> {
    let mut told = known_attributes(facts);
    told.extend(object(json!({
        "status": facts.status.to_string(),
        "amount_cents": facts.amount.minor(),
        "currency_code": facts.amount.currency().code().to_uppercase(),
        "captured_amount_cents": facts.captured.minor(),
        "refunded_amount_cents": facts.refunded().minor(),
        "deleted": facts.discarded,
    })));
    told
}

/// A page of the history: after a change by its id (`page[after]`), or by number.
pub fn page(
    call: &Call,
    asked: &Asked,
    kind: Kind,
    payment: &str,
    all: Vec<Resource>,
) -> Result<Value, Refusal> {
    asked.query.nothing_included()?;
    let query = &asked.query.query;
    if !query.sort.is_empty() {
        return Err(error::bad_sort("A history is told as it happened.").into());
    }
    if let Some((_, _)) = query.filter.first() {
        return Err(error::bad_filter("A history is told as a whole.").into());
    }
    if let Some(part) = query
        .page
        .keys()
        .find(|it| !["number", "size", "after"].contains(&it.as_str()))
    {
        return Err(error::bad_page(part, "There is no such part of a page here.").into());
    }
    let (number, size) = query::page(query)?;
    let address = format!("{}{PATH}/{payment}/{}", call.base, kind.name());
    let total = u64::try_from(all.len()).unwrap_or(u64::MAX);
    let paging = Page::new(number, size, total);
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    let by_number = query.page.contains_key("number");
    let begin = match query.page.get("after") {
        Some(_) if by_number => {
            let detail = "A page is asked for by number, or by what it comes after.";
            return Err(error::bad_page("after", detail).into());
        }
        Some(id) => {
            let found = all.iter().position(|it| it.identifier.id == *id);
            let unknown = || error::bad_page("after", "There is no such change of this payment.");
            found.ok_or_else(unknown)? + 1
        }
        None => usize::try_from(number - 1)
            .unwrap_or(usize::MAX)
            .saturating_mul(size),
    };
    let mut document = Document {
        meta: paging.meta(call),
        ..Document::default()
    };
    let more = begin.saturating_add(size) < all.len();
    let here: Vec<Resource> = all.into_iter().skip(begin).take(size).collect();
    if by_number {
        document.links = paging.links(&address, &asked.query);
    } else {
        let first = query.without("page[after]");
        let first = first.with(&[("page[size]", size.to_string())]);
        document
            .links
            .insert("first".to_owned(), format!("{address}{first}").into());
        if let Some(last) = here.last().filter(|_| more) {
            let next = query.with(&[
                ("page[after]", last.identifier.id.clone()),
                ("page[size]", size.to_string()),
            ]);
            document
                .links
                .insert("next".to_owned(), format!("{address}{next}").into());
        }
    }
    Ok(document.many(&here, &asked.query.fields))
}
