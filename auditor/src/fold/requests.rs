//! What was asked of Stripe outside of payments, and what Stripe pays out.

use super::intentions::{End, Intentions};
use super::read::{Money, Taken, Unreadable, flag, id, maybe_text, money, text};
use super::{Of, Out};
use crate::events::{Event, Said};
use crate::report::Invariant;
use crate::spill::row;
use uuid::Uuid;

/// One change at Stripe: a customer, a checkout session, evidence.
#[derive(Default)]
pub(super) struct Request {
    asked: bool,
    method: String,
    path: String,
    status: &'static str,
    object: Option<String>,
    stripe_id: Option<String>,
    pending: Option<Uuid>,
    intentions: Intentions,
}

impl Request {
    pub fn take(&mut self, of: &Of, event: &Event, said: &Said, out: &mut Out) -> Taken {
        let body = &said.body;
        if self.intentions.take_parking(event, said, out)? {
            return Ok(());
        }
        match said.name.as_str() {
            "ChangeRequested" => {
                let intention = id(body, "intention")?;
                if intention != of.id {
                    out.wrong(
                        Invariant::I7,
                        event,
                        "the request has another id than its stream",
                    );
                }
                if self.asked {
                    out.wrong(Invariant::I3, event, "one request is asked twice");
                }
                self.asked = true;
                self.status = "requested";
                self.method = text(body, "method")?.to_owned();
                self.path = text(body, "path")?.to_owned();
                self.pending = Some(intention);
                self.intentions
                    .begin(event, said, "change", intention, None, out);
            }
            "ChangeMade" => {
                self.ended(event, said, End::Done, out)?;
                self.status = "made";
                self.object = maybe_text(body, "object").map(str::to_owned);
                self.stripe_id = maybe_text(body, "id").map(str::to_owned);
            }
            "ChangeRefused" => {
                self.ended(event, said, End::Refused, out)?;
                self.status = "refused";
            }
            "PersonalDataErased" => {}
            other => return Err(Unreadable(format!("nobody knows {other}"))),
        }
        Ok(())
    }

    fn ended(&mut self, event: &Event, said: &Said, end: End, out: &mut Out) -> Taken {
        let intention = id(&said.body, "intention")?;
        self.intentions
            .end(event, said, intention, end, &["change"], out);
        self.pending.take_if(|it| *it == intention);
        Ok(())
    }

    pub fn end(self, of: &Of, out: &mut Out) {
        if !self.asked {
            return;
        }
        out.requests.push(row![
            of.merchant,
            of.id,
            self.method,
            self.path,
            self.status,
            self.object,
            self.stripe_id,
            self.pending,
            of.version,
            of.position
        ]);
        self.intentions.finish(of, "stripe_request", out);
    }
}

/// What Stripe sends to the merchant's bank.
#[derive(Default)]
pub(super) struct Payout {
    payout: Option<String>,
    status: &'static str,
    amount: Money,
    reconciled: bool,
}

impl Payout {
    pub fn take(&mut self, of: &Of, event: &Event, said: &Said, out: &mut Out) -> Taken {
        self.status = match said.name.as_str() {
            "PayoutObserved" => {
                let body = &said.body;
                let payout = text(body, "payout")?;
                if self.payout.as_deref().is_some_and(|it| it != payout) {
                    out.wrong(
                        Invariant::I4,
                        event,
                        format!("one payout is also {payout} at Stripe"),
                    );
                }
                out.owns(event, of, "payout", payout);
                self.payout = Some(payout.to_owned());
                self.amount = money(body, "amount")?;
                self.reconciled = flag(body, "reconciled");
                "pending"
            }
            "PayoutInTransit" => "in_transit",
            "PayoutPaid" => "paid",
            "PayoutFailed" => "failed",
            "PayoutCanceled" => "canceled",
            "PayoutReconciled" => {
                self.reconciled = true;
                self.status
            }
            "ObservationRefused" => self.status,
            other => return Err(Unreadable(format!("nobody knows {other}"))),
        };
        Ok(())
    }

    pub fn end(self, of: &Of, out: &mut Out) {
        let Some(payout) = self.payout else {
            return;
        };
        out.payouts.push(row![
            of.merchant,
            of.id,
            payout,
            self.status,
            self.amount.currency,
            self.amount.minor,
            self.reconciled,
            of.version,
            of.position
        ]);
    }
}
