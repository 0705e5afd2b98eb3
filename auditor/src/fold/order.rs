//! An order.

use super::read::{Money, Taken, Unreadable, id, maybe_text, money, text};
use super::{Of, Out, postings};
use crate::events::{Event, Said};
use crate::report::Invariant;
use crate::spill::row;
use serde_json::Value;
use std::collections::BTreeMap;
use uuid::Uuid;

/// What its events come to.
#[derive(Default)]
pub(super) struct Order {
    placed: bool,
    source: String,
    reference: String,
    number: Option<String>,
    customer: Option<String>,
    total: Money,
    tax: Money,
    cancelled: bool,
    paid_by: Option<Uuid>,
    /// The one way to pay it now.
    live: Option<Uuid>,
    /// Money that does not pay it, by payment.
    mispaid: BTreeMap<Uuid, i64>,
}

impl Order {
    pub fn take(&mut self, of: &Of, event: &Event, said: &Said, out: &mut Out) -> Taken {
        let body = &said.body;
        if !self.placed && said.name != "OrderPlaced" {
            out.wrong(
                Invariant::I7,
                event,
                format!("{} comes before the order was placed", said.name),
            );
        }
        match said.name.as_str() {
            "OrderPlaced" => self.placed(event, body, out)?,
            "OrderRepriced" => self.costs(body)?,
            "PaymentAttached" => {
                let payment = id(body, "payment")?;
                out.names(event, "payment", payment);
                self.goes_live(event, payment, out);
            }
            "PaymentRetargeted" => self.goes_live(event, id(body, "payment")?, out),
            "CheckoutRequested" => self.goes_live(event, id(body, "checkout")?, out),
            "CheckoutOpened" => {
                out.owns(event, of, "checkout_session", text(body, "session")?);
                self.goes_live(event, id(body, "checkout")?, out);
            }
            "PaymentReleased" => self.no_longer_live(id(body, "payment")?),
            "CheckoutInvalidated" | "CheckoutRefused" => self.no_longer_live(id(body, "checkout")?),
            "OrderPaid" => self.paid(event, body, out)?,
            "OrderMispaid" => {
                let payment = id(body, "payment")?;
                out.names(event, "payment", payment);
                out.heard_of.push(row![of.merchant, of.id, payment]);
                self.mispaid.insert(payment, money(body, "received")?.minor);
                self.no_longer_live(payment);
            }
            "OrderCancelled" => self.cancelled = true,
            "PersonalDataErased" => {}
            other => return Err(Unreadable(format!("nobody knows {other}"))),
        }
        if said.name == "OrderPaid" {
            out.heard_of.push(row![of.merchant, of.id, self.paid_by]);
        }
        Ok(())
    }

    fn placed(&mut self, event: &Event, body: &Value, out: &mut Out) -> Taken {
        if self.placed {
            out.wrong(Invariant::I7, event, "the order is placed twice");
        }
        self.placed = true;
        self.source = text(body, "source")?.to_owned();
        self.reference = text(body, "reference")?.to_owned();
        self.number = maybe_text(body, "number").map(str::to_owned);
        self.customer = maybe_text(body, "customer").map(str::to_owned);
        self.costs(body)
    }

    fn costs(&mut self, body: &Value) -> Taken {
        let price = body.get("price").unwrap_or(&Value::Null);
        self.total = money(price, "total")?;
        self.tax = money(price, "tax")?;
        Ok(())
    }

    fn goes_live(&mut self, event: &Event, way: Uuid, out: &mut Out) {
        let other = self.live.replace(way).filter(|it| *it != way);
        if let Some(other) = other {
            let what = format!("it could be paid by {other} and by {way} at once");
            out.wrong(Invariant::I6, event, what);
        }
    }

    fn no_longer_live(&mut self, way: Uuid) {
        self.live.take_if(|it| *it == way);
    }

    fn paid(&mut self, event: &Event, body: &Value, out: &mut Out) -> Taken {
        let (payment, amount) = (id(body, "payment")?, money(body, "amount")?);
        out.names(event, "payment", payment);
        if self.paid_by.is_some() {
            out.wrong(Invariant::I6, event, "the order is paid twice");
        }
        if amount != self.total {
            let what = format!(
                "{} {} pay an order of {} {}",
                amount.minor, amount.currency, self.total.minor, self.total.currency
            );
            out.wrong(Invariant::I6, event, what);
        }
        postings::paid(event, &amount, &self.tax, out);
        self.paid_by = Some(payment);
        self.cancelled = false;
        self.live = None;
        Ok(())
    }

    pub fn end(self, of: &Of, out: &mut Out) {
        if !self.placed {
            return;
        }
        let status = match (self.cancelled, self.paid_by) {
            (true, _) => "cancelled",
            (false, Some(_)) => "paid",
            (false, None) => "open",
        };
        let mispaid = self.mispaid.values().copied();
        out.orders.push(row![
            of.merchant,
            of.id,
            self.source,
            self.reference,
            self.number,
            self.customer,
            status,
            self.total.currency,
            self.total.minor,
            self.live,
            self.paid_by.filter(|_| !self.cancelled),
            mispaid.fold(0, i64::saturating_add),
            of.version,
            of.position
        ]);
    }
}
