//! Reads Stripe's list of events, which it keeps for 30 days.

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::lookup::{id_of, pairs};
use super::{Gateway, Outcome, Request, Silence, SilenceKind, Verb};

/// A page of events, newest first.
#[derive(Debug)]
pub struct EventPage {
    pub events: Vec<Value>,
    /// The last event's id, where older ones follow.
    pub next: Option<String>,
}

impl Gateway {
    /// A page of the events that Stripe made at `from` or later and, where that is given, before `until`; those after the event
    /// `after`, where a page went before. What happened at Stripe last is first.
    pub async fn events(
        &self,
        account: &str,
        from: DateTime<Utc>,
        until: Option<DateTime<Utc>>,
        after: Option<&str>,
    ) -> Outcome<EventPage> {
        let (from, until) = (
            from.timestamp().to_string(),
            until.map(|it| it.timestamp().to_string()),
        );
        let mut query = vec![("limit", "100"), ("created[gte]", &from)];
        query.extend(until.as_deref().map(|it| ("created[lt]", it)));
        query.extend(after.map(|it| ("starting_after", it)));
        let query = pairs(&query);
        let request = Request {
            verb: Verb::Get,
            path: "/events",
            parameters: Some(&query),
            key: None,
        };
        let mut answer = match self.request(account, request).await {
            Outcome::Said(answer) if answer.status < 300 => answer,
            Outcome::Said(answer) => {
                let why = format!("Stripe answered {} to the list of events", answer.status);
                return Outcome::Unknown(Silence::new(SilenceKind::Unreadable, why));
            }
            Outcome::Refused(refusal) => return Outcome::Refused(refusal),
            Outcome::Unknown(silence) => return Outcome::Unknown(silence),
        };
        let unreadable = |why: &str| Outcome::Unknown(Silence::new(SilenceKind::Unreadable, why));
        let Some(Value::Array(events)) = answer.body.get_mut("data").map(Value::take) else {
            return unreadable("a list without its data");
        };
        let next = match (answer.body.get("has_more"), events.last().and_then(id_of)) {
            (Some(Value::Bool(true)), Some(last)) => Some(last),
            (Some(Value::Bool(false)), _) => None,
            _ => return unreadable("a list without an end"),
        };
        Outcome::Said(EventPage { events, next })
    }
}
