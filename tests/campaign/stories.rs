//! What callers do: whole lives of payments and orders, through several doors.

use crate::book::Paid;
use crate::door::{Command, Door};
use crate::load::{Caller, Wrong};
use crate::support::{card_payment, checkout};
use rand::Rng;
use serde_json::{Value, json};

const GOOD: &str = "4242424242424242";
const DECLINED: &str = "4000000000009995";

impl Caller {
    /// One life of something, from its beginning to an end.
    ///
    /// # Errors
    /// What must not be.
    pub async fn story(&mut self, cards_only: bool) -> Result<(), Wrong> {
        match self.rng.random_range(0..12) {
            _ if cards_only => self.by_card().await,
            0..6 => self.by_card().await,
            6..8 => self.shop().await,
            8 => self.offer().await,
            9 => self.checkout().await,
            _ => self.order().await,
        }
    }

    /// Paid with a card at the payment-intents door, held or at once, captured in part, given back in part.
    async fn by_card(&mut self) -> Result<(), Wrong> {
        let amount = self.rng.random_range(100..90_000);
        if self.chance(10) {
            let declined = card_payment(amount, "usd", DECLINED);
            return self
                .pay("/v1/payment_intents", declined, &[402])
                .await
                .map(drop);
        }
        let held = self.chance(3);
        let mut body = card_payment(amount, "usd", GOOD);
        if held {
            body["capture_method"] = json!("manual");
        }
        let in_two_steps = self.chance(3);
        let confirmation = json!({"payment_method_data": body["payment_method_data"].take()});
        let made = if in_two_steps {
            let unconfirmed = without(&body, &["confirm", "payment_method_data", "return_url"]);
            self.pay("/v1/payment_intents", unconfirmed, &[200]).await?
        } else {
            body["payment_method_data"] = confirmation["payment_method_data"].clone();
            self.pay("/v1/payment_intents", body, &[200]).await?
        };
        let intent = text(&made["id"]);
        if in_two_steps {
            let confirm = format!("/v1/payment_intents/{intent}/confirm");
            self.pay(&confirm, confirmation, &[200]).await?;
        }
        let captured = if held {
            self.take_or_leave(&intent, amount).await?
        } else {
            amount
        };
        let refunded = self.give_back(&intent, captured).await?;
        self.paid(Paid {
            intent,
            captured,
            refunded,
        });
        Ok(())
    }

    /// What is held is captured, in part or whole, or let go; what was captured.
    async fn take_or_leave(&mut self, intent: &str, held: i64) -> Result<i64, Wrong> {
        if self.chance(4) {
            let cancel = format!("/v1/payment_intents/{intent}/cancel");
            self.pay(&cancel, json!({}), &[200]).await?;
            return Ok(0);
        }
        let wanted = self.rng.random_range(50..=held);
        let capture = format!("/v1/payment_intents/{intent}/capture");
        let taken = self
            .pay(&capture, json!({"amount_to_capture": wanted}), &[200])
            .await?;
        match taken["amount_received"].as_i64() {
            Some(received) if received == wanted => Ok(wanted),
            _ => Err(Wrong(format!("{intent}: {wanted} was captured as {taken}"))),
        }
    }

    /// Gives back parts of what was captured; how much in all.
    async fn give_back(&mut self, intent: &str, captured: i64) -> Result<i64, Wrong> {
        let mut refunded = 0;
        while refunded < captured && self.chance(3) {
            let part = self.rng.random_range(1..=captured - refunded);
            let refund = json!({"payment_intent": intent, "amount": part});
            self.pay("/v1/refunds", refund, &[200]).await?;
            refunded += part;
        }
        Ok(refunded)
    }

    async fn pay(
        &mut self,
        path: &str,
        body: Value,
        expected: &'static [u16],
    ) -> Result<Value, Wrong> {
        let key = self.name();
        let command = Command::post(Door::Payments, path, body).keyed(key);
        self.ask(command.expecting(expected)).await
    }

    /// An order of the shop's: placed, its payment asked for (twice: the same), paid at Stripe, marked as paid.
    async fn shop(&mut self) -> Result<(), Wrong> {
        let reference = self.name();
        let amount = self.rng.random_range(100..50_000);
        self.place(&reference, amount).await?;
        let path = format!("/api/v1/shop/orders/{reference}/payment-intent");
        let asked = Command::post(Door::Shop, path, Value::Null);
        let first = self.ask(asked.clone()).await?;
        let intent = text(&first["data"]["id"]);
        let second = self.ask(asked).await?;
        if second["data"]["id"] != first["data"]["id"] {
            return Err(Wrong(format!(
                "{reference} has two payments: {first} {second}"
            )));
        }
        self.payer_pays(&intent).await?;
        let paid = format!("/api/v1/shop/orders/{reference}/payment");
        self.ask(Command::post(Door::Shop, paid, Value::Null))
            .await?;
        self.paid(Paid {
            intent,
            captured: amount,
            refunded: 0,
        });
        Ok(())
    }

    /// The payer pays at Stripe, and looks how it stands where that is not clear.
    async fn payer_pays(&mut self, intent: &str) -> Result<(), Wrong> {
        for _ in 0..100 {
            let confirm = format!("/v1/payment_intents/{intent}/confirm");
            let terms =
                json!({"payment_method": "pm_card_visa", "return_url": "https://example.com"});
            let confirm = Command::post(Door::Payer, confirm, terms);
            let _ = self.ask(confirm.expecting(&[200, 400, 401, 403])).await?;
            let look = Command::get(Door::Payer, format!("/v1/payment_intents/{intent}"));
            let seen = self.ask(look.expecting(&[200, 401, 403])).await?;
            if seen["status"] == "succeeded" {
                return Ok(());
            }
        }
        Err(Wrong(format!("{intent} cannot be paid at Stripe")))
    }

    async fn place(&mut self, reference: &str, unit_minor: i64) -> Result<String, Wrong> {
        let order = json!({
            "source": "shop", "reference": reference, "customer": "customer-9",
            "currency": "usd", "tax_minor": 0,
            "lines": [{"name": "Shoes", "unit_minor": unit_minor, "quantity": 1}],
        });
        let placed = self.native("/orders", order, &[201]).await?;
        Ok(text(&placed["id"]))
    }

    async fn native(
        &mut self,
        path: &str,
        body: Value,
        expected: &'static [u16],
    ) -> Result<Value, Wrong> {
        let key = self.name();
        let command = Command::post(Door::Native, format!("/ledger/v1{path}"), body).keyed(key);
        self.ask(command.expecting(expected)).await
    }

    /// An order that is priced anew and cancelled, with its payment if it has one.
    async fn order(&mut self) -> Result<(), Wrong> {
        let reference = self.name();
        let id = self.place(&reference, 900).await?;
        if self.chance(2) {
            let path = format!("/api/v1/shop/orders/{reference}/payment-intent");
            self.ask(Command::post(Door::Shop, path, Value::Null))
                .await?;
        }
        let price = json!({"currency": "usd", "lines": [{"name": "Shoes", "unit_minor": 1100, "quantity": 1}]});
        self.native(&format!("/orders/{id}/reprice"), price, &[200])
            .await?;
        let cancel = format!("/orders/{id}/cancel");
        self.native(&cancel, json!({"reason": "sold out"}), &[200])
            .await?;
        self.cancelled(id);
        Ok(())
    }

    /// An offer: published, and its payment asked for twice, which is the same.
    async fn offer(&mut self) -> Result<(), Wrong> {
        let number = self.name();
        let offer = json!({
            "number": number, "currency": "gbp",
            "groups": [{"name": "combined", "products": [{"code": "core", "name": "Core cover", "price_minor": 8000}]}],
            "selection": [{"group": "combined", "code": "core"}],
        });
        self.native("/offers", offer, &[201]).await?;
        let asked = Command::post(
            Door::Offers,
            "/api/offer/createpaymentintent",
            json!({"offer_oid": number}),
        );
        let first = self.ask(asked.clone()).await?;
        let second = self.ask(asked).await?;
        let intent = |answer: &Value| text(&answer["response"]["payment_intent"]["id"]);
        if intent(&first) != intent(&second) {
            return Err(Wrong(format!(
                "{number} has two payments: {first} {second}"
            )));
        }
        self.paid(Paid {
            intent: intent(&first),
            captured: 0,
            refunded: 0,
        });
        Ok(())
    }

    /// A checkout, and perhaps another one in its place.
    async fn checkout(&mut self) -> Result<(), Wrong> {
        let reference = self.name();
        let times = if self.chance(2) { 2 } else { 1 };
        let mut session = String::new();
        for _ in 0..times {
            let key = self.name();
            let wanted = checkout::wanted(&reference);
            let command = Command::post(Door::Checkout, checkout::PATH, wanted).keyed(key);
            session = text(&self.ask(command).await?["SessionId"]);
        }
        self.checked_out(reference, session);
        Ok(())
    }
}

fn without(body: &Value, names: &[&str]) -> Value {
    let mut body = body.clone();
    let object = body.as_object_mut().expect("it is written as an object");
    object.retain(|name, _| !names.contains(&name.as_str()));
    body
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
