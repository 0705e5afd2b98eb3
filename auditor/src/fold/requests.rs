//! What was asked of Stripe outside of payments.

use super::intentions::{End, Intentions};
use super::read::{Taken, Unreadable, id, maybe_text, text};
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
