//! What Stripe was to be asked, and what came of it: of one stream.

use super::read::{Money, Taken, Unreadable, id, maybe_text, text};
use super::{Of, Out};
use crate::events::{Event, Said};
use crate::report::Invariant;
use crate::spill::row;
use chrono::{DateTime, Utc};
use serde_json::Value;
use std::collections::BTreeMap;
use uuid::Uuid;

/// How an intention ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Done,
    Refused,
}

struct Intention {
    asks: &'static str,
    money: Option<Money>,
    position: i64,
    recorded_at: DateTime<Utc>,
    command: Option<String>,
    ended: Option<End>,
}

/// An intention that waits, or has waited, for people.
#[derive(Default)]
struct Parked {
    what: String,
    reason: String,
    state: &'static str,
    proposed: Option<(Option<String>, String, String)>,
    approved_by: Option<String>,
    position: i64,
}

/// All intentions of a stream.
#[derive(Default)]
pub(super) struct Intentions {
    all: BTreeMap<Uuid, Intention>,
    parked: BTreeMap<Uuid, Parked>,
}

impl Intentions {
    /// Stripe is to be asked. The intention's id is the event's own.
    pub fn begin(
        &mut self,
        event: &Event,
        said: &Said,
        asks: &'static str,
        intention: Uuid,
        money: Option<Money>,
        out: &mut Out,
    ) {
        if intention != event.event_id {
            out.wrong(
                Invariant::I3,
                event,
                "an intention has another id than its event",
            );
        }
        let new = Intention {
            asks,
            money,
            position: event.position,
            recorded_at: event.recorded_at,
            command: maybe_text(&said.metadata, "command_id").map(str::to_owned),
            ended: None,
        };
        if self.all.insert(intention, new).is_some() {
            out.wrong(Invariant::I3, event, "the same intention is recorded twice");
        }
    }

    /// Something is said to be the outcome of an intention.
    pub fn end(
        &mut self,
        event: &Event,
        said: &Said,
        intention: Uuid,
        end: End,
        of: &[&str],
        out: &mut Out,
    ) {
        if let Some(parked) = self.parked.get_mut(&intention) {
            parked.position = event.position;
            if parked.state == "waiting" {
                parked.state = "answered";
            }
        }
        let Some(it) = self.all.get_mut(&intention) else {
            let what = format!("{} is the outcome of no earlier intention", said.name);
            return out.wrong(Invariant::I3, event, what);
        };
        let fits = of.is_empty() || of.contains(&it.asks);
        let before = it.ended;
        let asks = it.asks;
        it.ended = Some(end);
        if !fits {
            let what = format!("{} is given as the outcome of a {asks}", said.name);
            out.wrong(Invariant::I3, event, what);
        }
        // A refund that was refused and is there all the same is a fact; a step has one end.
        let late_refund = asks == "refund" && before == Some(End::Refused);
        if before.is_some_and(|before| before != end) && !late_refund {
            let what = format!("the {asks} has ended in two ways");
            out.wrong(Invariant::I3, event, what);
        }
    }

    /// Whether it was asked for here.
    pub fn asked(&self, intention: Uuid) -> bool {
        self.all.contains_key(&intention)
    }

    pub fn is_open(&self, intention: Uuid) -> bool {
        let found = self.all.get(&intention);
        found.is_some_and(|it| it.ended.is_none())
    }

    /// Takes what is said of waiting for people; whether it was such a thing.
    pub fn take_parking(
        &mut self,
        event: &Event,
        said: &Said,
        out: &mut Out,
    ) -> Result<bool, Unreadable> {
        match said.name.as_str() {
            "IntentionParked" => self.park(event, &said.body, out)?,
            "SettlementProposed" => self.propose(event, &said.body, out)?,
            "SettledByHand" => self.settle(event, &said.body, out)?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn park(&mut self, event: &Event, body: &Value, out: &mut Out) -> Taken {
        let intention = id(body, "intention")?;
        if !self.is_open(intention) {
            let what = "an intention is parked that is not open";
            out.wrong(Invariant::I3, event, what);
        }
        let parked = Parked {
            what: text(body, "what")?.to_owned(),
            reason: text(body, "reason")?.to_owned(),
            state: "waiting",
            position: event.position,
            ..Parked::default()
        };
        self.parked.insert(intention, parked);
        Ok(())
    }

    fn propose(&mut self, event: &Event, body: &Value, out: &mut Out) -> Taken {
        let proposed = (
            happened(body)?,
            text(body, "by")?.to_owned(),
            text(body, "because")?.to_owned(),
        );
        match self.parked.get_mut(&id(body, "intention")?) {
            Some(it) => {
                it.proposed = Some(proposed);
                it.position = event.position;
            }
            None => out.wrong(
                Invariant::I3,
                event,
                "what is settled by hand was never parked",
            ),
        }
        Ok(())
    }

    fn settle(&mut self, event: &Event, body: &Value, out: &mut Out) -> Taken {
        let (maker, checker) = (text(body, "proposed_by")?, text(body, "approved_by")?);
        if maker.trim().to_lowercase() == checker.trim().to_lowercase() {
            let what = format!("{maker} approved what they proposed themselves");
            out.wrong(Invariant::I3, event, what);
        }
        match self.parked.get_mut(&id(body, "intention")?) {
            Some(it) => {
                it.state = "settled";
                it.approved_by = Some(checker.to_owned());
                it.position = event.position;
            }
            None => out.wrong(
                Invariant::I3,
                event,
                "what is settled by hand was never parked",
            ),
        }
        Ok(())
    }

    /// Keeps them for comparing. `kind`: what the stream is of.
    pub fn finish(self, of: &Of, kind: &str, out: &mut Out) {
        for (intention, it) in self.all {
            let ended = it.ended.map(|end| match end {
                End::Done => "done",
                End::Refused => "refused",
            });
            let money = it.money.unwrap_or_default();
            out.intentions.push(row![
                of.merchant,
                intention,
                kind,
                of.stream,
                of.id,
                it.asks,
                money.minor,
                money.currency,
                it.position,
                it.recorded_at,
                it.command,
                ended
            ]);
        }
        for (intention, it) in self.parked {
            let (stripe_id, by, because) = match it.proposed {
                Some((stripe_id, by, because)) => (Some(stripe_id), Some(by), Some(because)),
                None => (None, None, None),
            };
            let outcome = stripe_id.as_ref().map(|it| match it {
                Some(_) => "happened",
                None => "did_not_happen",
            });
            out.parked.push(row![
                of.merchant,
                intention,
                kind,
                of.id,
                it.what,
                it.reason,
                it.state,
                outcome,
                stripe_id.flatten(),
                by,
                because,
                it.approved_by,
                it.position
            ]);
        }
    }
}

/// The object that it happened to; none where it is said not to have happened.
fn happened(body: &Value) -> Result<Option<String>, Unreadable> {
    match body.get("outcome") {
        Some(Value::String(word)) if word == "did_not_happen" => Ok(None),
        Some(it) => {
            let happened = it.get("happened").unwrap_or(&Value::Null);
            Ok(Some(text(happened, "stripe_id")?.to_owned()))
        }
        None => Err(Unreadable("`outcome` is missing".to_owned())),
    }
}
