//! A payment.

use super::intentions::{End, Intentions};
use super::postings::Posted;
use super::read::{Money, Taken, Unreadable, id, maybe_id, maybe_money, maybe_text, money, text};
use super::refunds::Refunds;
use super::{Of, Out};
use crate::events::{Event, Said};
use crate::report::Invariant;
use crate::spill::row;
use serde_json::Value;
use uuid::Uuid;

/// What its events come to.
#[derive(Default)]
pub(super) struct Payment {
    begun: bool,
    adopted: bool,
    order: Option<Uuid>,
    intent: Option<String>,
    status: &'static str,
    amount: Money,
    /// Held and not taken.
    authorized: i64,
    captured: Money,
    charge: Option<String>,
    /// The one step that Stripe has not answered.
    pending: Option<Uuid>,
    intentions: Intentions,
    refunds: Refunds,
    posted: Posted,
}

/// Stripe's words for where an intent stands, and ours for before there is one.
const STATES: [&str; 9] = [
    "creating",
    "refused",
    "requires_payment_method",
    "requires_confirmation",
    "requires_action",
    "processing",
    "requires_capture",
    "succeeded",
    "canceled",
];

impl Payment {
    pub fn take(&mut self, of: &Of, event: &Event, said: &Said, out: &mut Out) -> Taken {
        let body = &said.body;
        if !self.begun && !matches!(said.name.as_str(), "CreateRequested" | "Adopted") {
            out.wrong(
                Invariant::I7,
                event,
                format!("{} comes before the payment began", said.name),
            );
        }
        if self.take_intention(event, said, out)? {
            return Ok(());
        }
        if let Some(intention) = maybe_id(body, "intention").filter(|_| is_outcome(&said.name)) {
            self.answered(event, said, intention, out);
        }
        if self.intentions.take_parking(event, said, out)? {
            return Ok(());
        }
        self.posted.take(event, said, out)?;
        let captured = self.captured.clone();
        let told = (of, event, said);
        if self
            .refunds
            .take(told, &captured, &mut self.intentions, out)?
        {
            return Ok(());
        }
        self.take_fact(of, event, said, out)
    }

    /// Stripe is to be asked; whether that is what the event says.
    fn take_intention(
        &mut self,
        event: &Event,
        said: &Said,
        out: &mut Out,
    ) -> Result<bool, Unreadable> {
        let body = &said.body;
        let (asks, money) = match said.name.as_str() {
            "CreateRequested" => {
                self.begin(event, body, out)?;
                self.status = "creating";
                ("create", Some(self.amount.clone()))
            }
            "UpdateRequested" => {
                let changes = body.get("changes").unwrap_or(&Value::Null);
                ("update", maybe_money(changes, "amount")?)
            }
            "ConfirmRequested" => ("confirm", Some(self.amount.clone())),
            "CancelRequested" => ("cancel", None),
            "CaptureRequested" => {
                let amount = money(body, "amount")?;
                self.check_capture(event, &amount, out);
                ("capture", Some(amount))
            }
            _ => return Ok(false),
        };
        let intention = id(body, "intention")?;
        if let Some(open) = self.pending.replace(intention) {
            let what = format!("a {asks} was begun while {open} was open: that one can never end");
            out.wrong(Invariant::I3, event, what);
        }
        self.intentions
            .begin(event, said, asks, intention, money, out);
        Ok(true)
    }

    fn begin(&mut self, event: &Event, body: &Value, out: &mut Out) -> Taken {
        if self.begun {
            out.wrong(Invariant::I7, event, "the payment begins twice");
        }
        self.begun = true;
        self.amount = money(body, "amount")?;
        self.captured = Money {
            minor: 0,
            currency: self.amount.currency.clone(),
        };
        if let Some(order) = maybe_id(body, "order") {
            self.pays(event, order, out);
        }
        Ok(())
    }

    fn pays(&mut self, event: &Event, order: Uuid, out: &mut Out) {
        self.order = Some(order);
        out.names(event, "order", order);
    }

    fn check_capture(&self, event: &Event, asked: &Money, out: &mut Out) {
        if asked.currency != self.amount.currency {
            let what = format!(
                "a capture in {} of a payment in {}",
                asked.currency, self.amount.currency
            );
            out.wrong(Invariant::I6, event, what);
        }
        if asked.minor <= 0 || asked.minor > self.authorized {
            let what = format!(
                "a capture of {} was asked for, where {} is held",
                asked.minor, self.authorized
            );
            out.wrong(Invariant::I6, event, what);
        }
    }

    fn answered(&mut self, event: &Event, said: &Said, intention: Uuid, out: &mut Out) {
        let (end, of): (End, &[&str]) = match said.name.as_str() {
            "Created" => (End::Done, &["create"]),
            "CreateRefused" => (End::Refused, &["create"]),
            "Updated" => (End::Done, &["update"]),
            "UpdateRefused" => (End::Refused, &["update"]),
            "ConfirmRefused" => (End::Refused, &["confirm"]),
            "CaptureRefused" => (End::Refused, &["capture"]),
            "CancelRefused" => (End::Refused, &["cancel"]),
            _ => (End::Done, &[]),
        };
        self.intentions.end(event, said, intention, end, of, out);
        self.pending.take_if(|it| *it == intention);
    }

    fn take_fact(&mut self, of: &Of, event: &Event, said: &Said, out: &mut Out) -> Taken {
        let body = &said.body;
        match said.name.as_str() {
            "Adopted" => {
                self.begin(event, body, out)?;
                self.adopted = true;
                self.is_at_stripe(of, event, body, out)?;
                self.stands(text(body, "status")?)?;
            }
            "Created" => {
                self.is_at_stripe(of, event, body, out)?;
                self.stands(text(body, "status")?)?;
            }
            "CreateRefused" => self.stands("refused")?,
            "Updated" => {
                if let Some(status) = maybe_text(body, "status") {
                    self.stands(status)?;
                } else if self.status != "requires_capture" {
                    self.authorized = 0;
                }
                let changes = body.get("changes").unwrap_or(&Value::Null);
                if let Some(amount) = maybe_money(changes, "amount")? {
                    self.amount = amount;
                }
            }
            "RequiresAction" => self.stands("requires_action")?,
            "Processing" => self.stands("processing")?,
            "Authorized" => {
                self.stands("requires_capture")?;
                self.authorized = money(body, "amount")?.minor;
                self.is_charged(of, event, body, out);
            }
            "Captured" => {
                let amount = money(body, "amount")?;
                self.captured.minor = self.captured.minor.saturating_add(amount.minor);
                self.check_captured(event, &amount, out);
                self.is_charged(of, event, body, out);
            }
            "Succeeded" => self.stands("succeeded")?,
            "Declined" => {
                self.stands("requires_payment_method")?;
                let decline = body.get("decline").unwrap_or(&Value::Null);
                self.is_charged(of, event, decline, out);
            }
            "Reopened" => self.stands(text(body, "status")?)?,
            "Cancelled" => self.stands("canceled")?,
            "Applied" => out.names(event, "order", id(body, "order")?),
            "OrderAssigned" => self.pays(event, id(body, "order")?, out),
            "DisputeOpened" => out.owns(event, of, "dispute", text(body, "dispute")?),
            // These say nothing that is compared, or were heard already.
            "UpdateRefused"
            | "ConfirmRefused"
            | "CaptureRefused"
            | "CancelRefused"
            | "DisputeFundsWithdrawn"
            | "DisputeFundsReinstated"
            | "DisputeClosed"
            | "Described"
            | "Discarded"
            | "ObservationRefused"
            | "PersonalDataErased" => {}
            other => {
                return Err(Unreadable(format!("nobody knows {other}")));
            }
        }
        Ok(())
    }

    fn check_captured(&self, event: &Event, amount: &Money, out: &mut Out) {
        if amount.currency != self.amount.currency {
            let what = format!(
                "{} were captured of a payment in {}",
                amount.currency, self.amount.currency
            );
            out.wrong(Invariant::I6, event, what);
        }
    }

    /// It is this intent at Stripe, and no other.
    fn is_at_stripe(&mut self, of: &Of, event: &Event, body: &Value, out: &mut Out) -> Taken {
        let intent = text(body, "intent")?.to_owned();
        match &self.intent {
            Some(known) if *known != intent => {
                let what = format!("one payment is {known} and {intent} at Stripe");
                out.wrong(Invariant::I4, event, what);
            }
            Some(_) => {}
            None => out.owns(event, of, "payment_intent", &intent),
        }
        self.intent = Some(intent);
        Ok(())
    }

    fn is_charged(&mut self, of: &Of, event: &Event, body: &Value, out: &mut Out) {
        let Some(charge) = maybe_text(body, "charge") else {
            return;
        };
        if self.charge.as_deref() != Some(charge) {
            out.owns(event, of, "charge", charge);
        }
        self.charge = Some(charge.to_owned());
    }

    fn stands(&mut self, status: &str) -> Taken {
        let known = STATES.into_iter().find(|it| *it == status);
        self.status =
            known.ok_or_else(|| Unreadable(format!("{status} is no state of an intent")))?;
        // What was held is let go when the hold ends.
        if status != "requires_capture" {
            self.authorized = 0;
        }
        Ok(())
    }

    pub fn end(self, of: &Of, out: &mut Out) {
        if !self.begun {
            return;
        }
        out.payments.push(row![
            of.merchant,
            of.id,
            self.order,
            self.intent,
            self.status,
            self.amount.currency,
            self.amount.minor,
            self.captured.minor,
            self.refunds.total(&["succeeded"]),
            self.pending.or(self.refunds.open()),
            self.charge,
            self.adopted,
            of.version,
            of.position,
            of.first_at,
            of.last_at
        ]);
        self.refunds.finish(of, out);
        self.intentions.finish(of, "payment", out);
    }
}

/// Whether an intention that the event names is one that it ends.
fn is_outcome(name: &str) -> bool {
    !matches!(
        name,
        "IntentionParked" | "SettlementProposed" | "SettledByHand"
    )
}
