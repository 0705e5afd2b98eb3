//! The refunds of a payment.

use super::read::{Money, Taken, Unreadable, flag, id, money, text};
use super::{Of, Out};
use crate::events::{Event, Said};
use crate::fold::intentions::{End, Intentions};
use crate::report::Invariant;
use crate::spill::row;
use chrono::{DateTime, Utc};
use std::collections::BTreeMap;
use uuid::Uuid;

struct Refund {
    money: Money,
    stripe_refund: Option<String>,
    status: &'static str,
    position: i64,
    last_at: DateTime<Utc>,
}

/// All refunds of a payment, by the intention that asked for each, or the id that one made elsewhere is given.
#[derive(Default)]
pub(super) struct Refunds {
    all: BTreeMap<Uuid, Refund>,
}

impl Refunds {
    /// Takes what is said of a refund; whether it was such a thing. `captured`: what may be given back in all.
    pub fn take(
        &mut self,
        (of, event, said): (&Of, &Event, &Said),
        captured: &Money,
        intentions: &mut Intentions,
        out: &mut Out,
    ) -> Result<bool, Unreadable> {
        let status = match said.name.as_str() {
            "RefundRequested" => {
                self.requested(event, said, captured, intentions, out)?;
                return Ok(true);
            }
            "RefundRefused" => {
                let refund = id(&said.body, "refund")?;
                intentions.end(event, said, refund, End::Refused, &["refund"], out);
                if let Some(it) = self.all.get_mut(&refund) {
                    it.status = "refused";
                    it.moved(event);
                }
                return Ok(true);
            }
            "RefundPending" => "pending",
            "Refunded" => "succeeded",
            "RefundFailed" => "failed",
            "RefundCancelled" => "canceled",
            _ => return Ok(false),
        };
        self.stands((of, event, said), status, intentions, out)?;
        Ok(true)
    }

    fn requested(
        &mut self,
        event: &Event,
        said: &Said,
        captured: &Money,
        intentions: &mut Intentions,
        out: &mut Out,
    ) -> Taken {
        let (refund, asked) = (id(&said.body, "refund")?, money(&said.body, "amount")?);
        if asked.currency != captured.currency {
            let what = format!(
                "a refund in {} of a payment in {}",
                asked.currency, captured.currency
            );
            out.wrong(Invariant::I6, event, what);
        }
        let back = self.total(&["succeeded", "requested", "pending"]);
        let left = captured.minor.saturating_sub(back);
        if asked.minor <= 0 || asked.minor > left {
            let what = format!(
                "a refund of {} was asked for, where {} was captured and {back} given back or under way",
                asked.minor, captured.minor
            );
            out.wrong(Invariant::I6, event, what);
        }
        intentions.begin(event, said, "refund", refund, Some(asked.clone()), out);
        let new = Refund {
            money: asked,
            stripe_refund: None,
            status: "requested",
            position: event.position,
            last_at: event.recorded_at,
        };
        self.all.insert(refund, new);
        Ok(())
    }

    fn stands(
        &mut self,
        (of, event, said): (&Of, &Event, &Said),
        status: &'static str,
        intentions: &mut Intentions,
        out: &mut Out,
    ) -> Taken {
        let (refund, amount) = (id(&said.body, "refund")?, money(&said.body, "amount")?);
        let stripe_refund = text(&said.body, "stripe_refund")?.to_owned();
        if intentions.asked(refund) {
            intentions.end(event, said, refund, End::Done, &["refund"], out);
        } else if status == "succeeded" && !flag(&said.body, "observed") {
            let what = "a refund was made that nobody asked for, and that is not said to be made elsewhere";
            out.wrong(Invariant::I3, event, what);
        }
        let known = self.all.get(&refund);
        let before = known.and_then(|it| it.stripe_refund.as_ref());
        if before.is_none() {
            out.owns(event, of, "refund", &stripe_refund);
        } else if before != Some(&stripe_refund) {
            let what = format!(
                "one refund is {} and {stripe_refund} at Stripe",
                before.map_or("", String::as_str)
            );
            out.wrong(Invariant::I4, event, what);
        }
        let new = Refund {
            money: amount,
            stripe_refund: Some(stripe_refund),
            status,
            position: event.position,
            last_at: event.recorded_at,
        };
        self.all.insert(refund, new);
        Ok(())
    }

    /// What these states come to, in minor units.
    pub fn total(&self, states: &[&str]) -> i64 {
        let amounts = self.all.values().filter(|it| states.contains(&it.status));
        amounts
            .map(|it| it.money.minor)
            .fold(0, i64::saturating_add)
    }

    /// The oldest that Stripe has not answered.
    pub fn open(&self) -> Option<Uuid> {
        let mut open = self.all.iter().filter(|(_, it)| it.status == "requested");
        open.next().map(|(id, _)| *id)
    }

    pub fn finish(self, of: &Of, out: &mut Out) {
        for (id, it) in self.all {
            out.refunds.push(row![
                of.merchant,
                id,
                of.id,
                it.stripe_refund,
                it.status,
                it.money.currency,
                it.money.minor,
                it.position,
                it.last_at
            ]);
        }
    }
}

impl Refund {
    fn moved(&mut self, event: &Event) {
        self.position = event.position;
        self.last_at = event.recorded_at;
    }
}
