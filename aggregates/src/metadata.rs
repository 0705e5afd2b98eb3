//! Who did it, when, through which door and why: what every event carries beside its payload.

use crate::ids::CommandId;
use chrono::{DateTime, SecondsFormat, Utc};
use std::collections::HashMap;
use uuid::Uuid;

/// The whole metadata of one event. The time recorded is the log's own column: only the log knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventMetadata {
    pub event_id: Uuid,
    /// When the caller or Stripe says it happened, where they say so.
    pub claimed_at: Option<DateTime<Utc>>,
    pub actor: Actor,
    /// What the event is a step of.
    pub command_id: CommandId,
    /// All that one request of a caller set in motion.
    pub correlation_id: Uuid,
    /// The event or delivery that this answers.
    pub causation_id: Option<Uuid>,
    /// Why, where a person acted.
    pub reason: Option<String>,
}

/// Who acts, by which key, through which door.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// `key:…`, `customer:…`, `stripe`, `recovery`, `operator:…`, `fixtures`. Never a secret.
    pub name: String,
    /// The public id of the API key that was used.
    pub key_id: Option<String>,
    /// The door's name (`shop`, `payment_intents`, `webhooks`, `cli`, …).
    pub door: String,
}

impl EventMetadata {
    /// As strings by name, which is how cqrs-es carries metadata. Absent things are left out.
    pub fn to_map(&self) -> HashMap<String, String> {
        let named = [
            ("event_id", Some(self.event_id.to_string())),
            (
                "claimed_at",
                self.claimed_at
                    .map(|it| it.to_rfc3339_opts(SecondsFormat::Micros, true)),
            ),
            ("actor", Some(self.actor.name.clone())),
            ("key_id", self.actor.key_id.clone()),
            ("door", Some(self.actor.door.clone())),
            ("command_id", Some(self.command_id.to_string())),
            ("correlation_id", Some(self.correlation_id.to_string())),
            ("causation_id", self.causation_id.map(|it| it.to_string())),
            ("reason", self.reason.clone()),
        ];
        named
            .into_iter()
            .filter_map(|(name, value)| value.map(|it| (name.to_owned(), it)))
            .collect()
    }
}
