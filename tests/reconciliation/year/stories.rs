//! What becomes of one sale, from the first call to what the caller was told in the end.

use super::client::{Client, Door, text};
use crate::support::{checkout, until};
use rand::Rng;
use rand::rngs::StdRng;
use serde_json::{Value, json};

/// One sale, as it was drawn.
#[derive(Debug, Clone)]
pub struct Story {
    number: u64,
    kind: Kind,
    minor: i64,
    currency: &'static str,
    /// How much of a hold is captured, or how much is given back at once.
    part_minor: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Card,
    Declined,
    CapturedInPart,
    CapturedWhole,
    HoldExpires,
    HoldCancelled,
    RefundFails,
    RefundPends,
    Disputed,
    AskedAbout,
    Ordered,
    Mispaid,
    CheckedOut,
    CheckoutLeft,
}

/// Each with its share, per mille.
const KINDS: [(Kind, u32); 14] = [
    (Kind::Card, 600),
    (Kind::Declined, 80),
    (Kind::CapturedInPart, 60),
    (Kind::CapturedWhole, 20),
    (Kind::HoldExpires, 15),
    (Kind::HoldCancelled, 15),
    (Kind::RefundFails, 15),
    (Kind::RefundPends, 15),
    (Kind::Disputed, 30),
    (Kind::AskedAbout, 5),
    (Kind::Ordered, 95),
    (Kind::Mispaid, 10),
    (Kind::CheckedOut, 25),
    (Kind::CheckoutLeft, 15),
];

/// What came of a story.
pub struct Told {
    pub number: u64,
    pub what: &'static str,
    /// What may be given back.
    pub paid: Option<Paid>,
}

/// A payment that was captured.
#[derive(Debug, Clone)]
pub struct Paid {
    pub intent: String,
    pub minor: i64,
}

impl Story {
    /// The first of a year are one of each kind.
    pub fn draw(rng: &mut StdRng, number: u64) -> Self {
        let first = usize::try_from(number).ok().and_then(|it| KINDS.get(it));
        let mut share = rng.random_range(0..1000);
        let drawn = KINDS.iter().find(|(_, of)| {
            let hit = share < *of;
            share = share.saturating_sub(*of);
            hit
        });
        let kind = first.or(drawn).map_or(Kind::Card, |(kind, _)| *kind);
        let currency = match rng.random_range(0..100) {
            0..60 => "usd",
            60..85 => "eur",
            _ => "gbp",
        };
        let minor = rng.random_range(500..90_000);
        Self {
            number,
            kind,
            minor,
            currency,
            part_minor: rng.random_range(100..=minor),
        }
    }

    /// One story holds requests at Stripe, and counts them.
    pub fn goes_beside_others(&self) -> bool {
        self.kind != Kind::Mispaid
    }

    /// # Panics
    /// Where it does not go as it has to.
    pub async fn tell(self, client: &Client) -> Told {
        let mut paid = None;
        let what = match self.kind {
            Kind::Card => {
                let intent = self.pays(client, "pm_card_visa").await;
                let minor = self.minor;
                paid = Some(Paid { intent, minor });
                "paid by card"
            }
            Kind::Declined => {
                let body = self.body("pm_card_chargeDeclined");
                let (status, said) = client.post(Door::Payments, INTENTS, &body).await;
                assert_eq!(status, 402, "{said}");
                "declined"
            }
            Kind::CapturedInPart => {
                let (minor, intent) = (self.part_minor, self.holds(client).await);
                self.captures(client, &intent, minor).await;
                paid = Some(Paid { intent, minor });
                "captured in part"
            }
            Kind::CapturedWhole => {
                let (minor, intent) = (self.minor, self.holds(client).await);
                self.captures(client, &intent, minor).await;
                "captured"
            }
            Kind::HoldExpires => {
                self.holds(client).await;
                "hold that expired"
            }
            Kind::HoldCancelled => {
                let intent = self.holds(client).await;
                let path = format!("{INTENTS}/{intent}/cancel");
                let (status, said) = client.post(Door::Payments, &path, &json!({})).await;
                assert_eq!((status, &said["status"]), (200, &json!("canceled")));
                "hold that was let go"
            }
            Kind::RefundFails => {
                let intent = self.pays(client, "pm_card_refundFail").await;
                client.refund(intent, self.part_minor).await;
                "refund that failed"
            }
            Kind::RefundPends => {
                let intent = self.pays(client, "pm_card_pendingRefund").await;
                client.refund(intent, self.part_minor).await;
                "refund that took its time"
            }
            Kind::Disputed => {
                self.pays(client, "pm_card_createDispute").await;
                "disputed"
            }
            Kind::AskedAbout => {
                self.pays(client, "pm_card_createDisputeInquiry").await;
                "asked about"
            }
            Kind::Ordered => {
                let (_, intent) = self.orders(client).await;
                self.payer_confirms(client, &intent).await;
                "order"
            }
            Kind::Mispaid => {
                self.is_mispaid(client).await;
                "mispaid order"
            }
            Kind::CheckedOut | Kind::CheckoutLeft => self.checks_out(client).await,
        };
        Told {
            number: self.number,
            what,
            paid,
        }
    }

    fn body(&self, method: &str) -> Value {
        json!({"amount": self.minor, "currency": self.currency, "confirm": true, "payment_method": method,
            "return_url": "https://shop.example/done"})
    }

    async fn pays(&self, client: &Client, method: &str) -> String {
        let body = self.body(method);
        let (status, intent) = client.post(Door::Payments, INTENTS, &body).await;
        assert_eq!(
            (status, &intent["status"]),
            (200, &json!("succeeded")),
            "{intent}"
        );
        text(&intent["id"])
    }

    async fn holds(&self, client: &Client) -> String {
        let mut body = self.body("pm_card_visa");
        body["capture_method"] = json!("manual");
        let (status, intent) = client.post(Door::Payments, INTENTS, &body).await;
        assert_eq!(
            (status, &intent["status"]),
            (200, &json!("requires_capture")),
            "{intent}"
        );
        text(&intent["id"])
    }

    async fn captures(&self, client: &Client, intent: &str, minor: i64) {
        let path = format!("{INTENTS}/{intent}/capture");
        let body = json!({"amount_to_capture": minor});
        let (status, taken) = client.post(Door::Payments, &path, &body).await;
        assert_eq!(
            (status, &taken["amount_received"]),
            (200, &json!(minor)),
            "{taken}"
        );
    }

    /// An order of the shop's, and the payment that is asked for: their ids.
    async fn orders(&self, client: &Client) -> (String, String) {
        let reference = format!("y{}", self.number);
        let order = json!({
            "source": "shop", "reference": reference, "customer": "customer-9", "currency": self.currency, "tax_minor": self.minor / 6,
            "lines": [{"name": "Shoes", "unit_minor": self.minor, "quantity": 1}],
        });
        let (status, placed) = client.post(Door::Native, "/ledger/v1/orders", &order).await;
        assert_eq!(status, 201, "{placed}");
        let path = format!("/api/v1/shop/orders/{reference}/payment-intent");
        let (status, asked) = client.post(Door::Shop, &path, &Value::Null).await;
        assert_eq!(status, 200, "{asked}");
        (text(&placed["id"]), text(&asked["data"]["id"]))
    }

    async fn payer_confirms(&self, client: &Client, intent: &str) {
        let path = format!("{INTENTS}/{intent}/confirm");
        let form = "payment_method=pm_card_visa&return_url=https%3A%2F%2Fshop.example";
        let (status, said) = client.form(Door::Stripe, &path, form).await;
        assert_eq!(
            (status, &said["status"]),
            (200, &json!("succeeded")),
            "{said}"
        );
    }

    /// The price changes while the payer pays at the old one.
    async fn is_mispaid(&self, client: &Client) {
        let (order, intent) = self.orders(client).await;
        let path = format!("{INTENTS}/{intent}");
        let hold =
            json!({"kind": "hold_before", "method": "POST", "path_prefix": path, "times": 1});
        client.sim("faults", &hold).await;
        let price = json!({"currency": self.currency,
            "lines": [{"name": "Shoes", "unit_minor": self.minor + 100, "quantity": 1}]});
        let path = format!("/ledger/v1/orders/{order}/reprice");
        let repriced = client.post(Door::Native, &path, &price);
        let paid = async {
            until("the new price is held", async || client.held().await == 1).await;
            self.payer_confirms(client, &intent).await;
            client.sim("faults/release", &json!({})).await;
        };
        let ((status, said), ()) = tokio::join!(repriced, paid);
        assert_eq!(status, 200, "{said}");
    }

    /// A checkout that another one replaces, which is paid or left.
    async fn checks_out(&self, client: &Client) -> &'static str {
        let reference = format!("y{}", self.number);
        let wanted = checkout::wanted(&reference);
        let mut session = String::new();
        for _ in 0..2 {
            let (status, opened) = client.post(Door::Checkout, checkout::PATH, &wanted).await;
            assert_eq!(status, 200, "{opened}");
            session = text(&opened["SessionId"]);
        }
        if self.kind == Kind::CheckoutLeft {
            return "checkout that was left";
        }
        let status = client.pays_on_the_page(&session).await;
        assert_eq!(status, 303, "{session}");
        "checkout that replaced another"
    }
}

const INTENTS: &str = "/v1/payment_intents";
