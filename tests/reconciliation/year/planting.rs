//! How each fault is planted: at the simulator, which tells nobody; in the bank's statements; and in the ledger, by events that a
//! faulty program would have recorded.

use super::bank::{Arrived, BankLine};
use super::business::Year;
use super::client::{Door, text};
use super::faults::{Amount, Fault, Told};
use super::forging;
use super::victims::{Back, Plain, Victims};
use crate::acme;
use aggregates::ids::SettlementId;
use aggregates::money::{Currency, Money};
use chrono::{Days, NaiveDate, Utc, Weekday};
use reqwest::Method;
use serde_json::{Value, json};

pub struct Planting<'a, 'w> {
    pub year: &'a mut Year<'w>,
    pub victims: Victims,
    lines: Vec<BankLine>,
    told: Vec<Told>,
    /// Objects that were forged under another name so far.
    copies: u64,
    /// Payouts by hand whose lines the bank leaves out.
    left_out: Vec<String>,
}

impl<'a, 'w> Planting<'a, 'w> {
    pub async fn new(year: &'a mut Year<'w>) -> Self {
        let victims = Victims::of(year).await;
        Self {
            year,
            victims,
            lines: Vec::new(),
            told: Vec::new(),
            copies: 0,
            left_out: Vec::new(),
        }
    }

    pub async fn all<'f>(&mut self, kinds: impl Iterator<Item = (&'f Fault, &'f u64)>) {
        for (kind, count) in kinds {
            for _ in 0..*count {
                self.one(*kind).await;
            }
        }
    }

    /// Something is sold on a Tuesday, so that on Thursday there is money for payouts by hand: on Mondays all is paid out.
    pub async fn money_comes(&mut self) {
        self.year.days_until(Weekday::Tue).await;
        let body = json!({"amount": 9_000_000, "currency": "usd", "confirm": true, "payment_method": "pm_card_visa",
            "return_url": "https://shop.example"});
        let paid = self
            .year
            .client
            .post(Door::Payments, "/v1/payment_intents", &body);
        let (status, paid) = paid.await;
        assert_eq!(status, 200, "{paid}");
        self.year.days_until(Weekday::Fri).await;
    }

    /// From then until now: what has become due is done, told, booked, and on the bank's statement.
    pub async fn time_passes(&mut self) {
        let clock = self.year.world.sim(Method::GET, "clock", None).await;
        let left = -clock["ahead_s"].as_i64().unwrap();
        let body = json!({"advance_s": left});
        self.year.world.sim(Method::POST, "clock", Some(body)).await;
        self.year.client.quiet(self.year.world).await;
        self.year.world.app().settle(&acme()).await.unwrap();
        let mut arrived = self.year.payouts_paid().await;
        arrived.retain(|it| !self.left_out.contains(&it.id));
        let mut lines = self.year.bank.books(arrived, &mut self.year.rng);
        // The bank tells of every day until now.
        for currency in [Currency::USD, Currency::GBP] {
            let rent = Money::new(-77_777, currency);
            lines.push(self.year.bank.line(today(), rent, "Rent".to_owned()));
        }
        self.year.client.import(&lines, true).await;
    }

    /// What has to be found, once all is in its place.
    pub async fn end(self) -> Vec<Told> {
        self.year.client.import(&self.lines, false).await;
        self.told
    }

    async fn one(&mut self, kind: Fault) {
        match kind {
            Fault::IntentUnknown => self.unknown_intent().await,
            Fault::RefundMadeAtStripe => self.refund_at_stripe().await,
            Fault::RefundNotBooked => self.refund_without_booking().await,
            Fault::PayoutNotAtTheBank => self.payout_without_line().await,
            Fault::BookingUnknown => self.unknown_booking().await,
            Fault::IntentLost | Fault::ChargeLost | Fault::BookingLost => self.lost(kind).await,
            Fault::RefundLost | Fault::DisputeLost => self.lost_back(kind).await,
            Fault::PayoutLost | Fault::PayoutAmount | Fault::PayoutStatus => {
                self.payout(kind).await;
            }
            Fault::LineOfNoPayout | Fault::LineOfUnknownPayout | Fault::LineTwice => {
                self.line(kind);
            }
            Fault::IntentAmount | Fault::IntentCurrency | Fault::IntentStatus => {
                self.intent(kind).await;
            }
            Fault::ChargeAmount | Fault::ChargeTwice => self.charge(kind).await,
            Fault::RefundAmount | Fault::RefundStatus | Fault::RefundTwice => {
                self.refund(kind).await;
            }
            Fault::DisputeStatus => self.dispute().await,
            Fault::BookingAmount
            | Fault::BookingCurrency
            | Fault::BookingCategory
            | Fault::BookingFee
            | Fault::BookingTwice => self.booking(kind).await,
            Fault::IntentTwice => self.intent_twice().await,
            Fault::OrderKnowsNothing => self.order_knows_nothing().await,
            Fault::NothingCaptured => self.nothing_captured().await,
        }
    }

    fn tell(
        &mut self,
        class: &str,
        subject: String,
        part: String,
        (ours, theirs): (Amount, Amount),
    ) {
        let class = class.to_owned();
        self.told.push((class, subject, part, ours, theirs));
    }

    /// Of a payment.
    fn tell_of(&mut self, class: &str, intent: &Value, part: String, sides: (Amount, Amount)) {
        self.tell(class, format!("payment/{}", text(intent)), part, sides);
    }

    async fn forge(&self, id: &Value, set: Value) {
        let body = json!({"id": id, "set": set});
        self.year.client.sim("forge", &body).await;
    }

    /// Puts a copy of an object beside it; answers what the copy is called.
    async fn copy(&mut self, id: &Value, set: Value) -> String {
        self.copies += 1;
        let prefix = text(id);
        let prefix = prefix.split('_').next().unwrap();
        // Some come before what they are copies of, and some after it.
        let name = format!(
            "{prefix}_{}copy{}",
            ["0", "z"][usize::try_from(self.copies % 2).unwrap()],
            self.copies
        );
        let body = json!({"id": id, "as": name, "set": set});
        self.year.client.sim("forge", &body).await;
        name
    }

    async fn lose(&self, id: &Value) {
        self.year.client.sim("lose", &json!({"id": id})).await;
    }

    async fn unknown_intent(&mut self) {
        self.copies += 1;
        let (id, minor) = (format!("pi_unknown{}", self.copies), 700);
        let planted = json!({"id": id, "amount": minor, "currency": "usd", "account": "acct_acme"});
        self.year.client.sim("objects", &planted).await;
        let paid = json!({"status": "succeeded", "amount_received": minor});
        self.forge(&json!(id), paid).await;
        let sides = (None, Some((minor, "usd".to_owned())));
        self.tell_of("missing_here", &json!(id), id.clone(), sides);
    }

    /// Somebody gives money back in Stripe's dashboard.
    async fn refund_at_stripe(&mut self) {
        let Plain { charge, .. } = self.victims.plain();
        let intent = &charge["payment_intent"];
        let form = format!("payment_intent={}&amount=100", text(intent));
        let (status, refund) = self
            .year
            .client
            .form(Door::Stripe, "/v1/refunds", &form)
            .await;
        assert_eq!(status, 200, "{refund}");
        let sides = (None, amount(&refund, "amount"));
        self.tell_of("missing_here", intent, text(&refund["id"]), sides);
    }

    async fn refund_without_booking(&mut self) {
        let Plain { charge, .. } = self.victims.plain();
        let intent = &charge["payment_intent"];
        let id = self.year.client.refund(text(intent), 100).await;
        let path = format!("/v1/refunds/{id}");
        let (_, refund) = self.year.client.get(Door::Stripe, &path).await;
        self.lose(&refund["balance_transaction"]).await;
        let sides = (Some((-100, text(&refund["currency"]))), None);
        self.tell_of("timing", intent, id, sides);
    }

    async fn payout_without_line(&mut self) {
        // Each of another amount, so that no line is taken for it.
        let minor = 5_000 + i64::try_from(self.left_out.len()).unwrap();
        let form = format!("amount={minor}&currency=usd");
        let (status, payout) = self
            .year
            .client
            .form(Door::Stripe, "/v1/payouts", &form)
            .await;
        assert_eq!(status, 200, "{payout}");
        let id = text(&payout["id"]);
        let sides = (amount(&payout, "amount"), None);
        self.tell("timing", format!("payout/{id}"), "bank".to_owned(), sides);
        self.left_out.push(id);
    }

    async fn unknown_booking(&mut self) {
        let fee = self.victims.fees[0].clone();
        let net = amount(&fee, "net");
        let copy = self.copy(&fee["id"], json!({})).await;
        self.tell("missing_here", format!("booking/{copy}"), copy, (None, net));
    }

    async fn lost(&mut self, kind: Fault) {
        let Plain {
            intent,
            charge,
            booking,
            ..
        } = self.victims.plain();
        let (lost, part, ours) = match kind {
            Fault::IntentLost => (&intent, text(&intent["id"]), amount(&intent, "amount")),
            Fault::ChargeLost => (
                &charge,
                "charge".to_owned(),
                amount(&intent, "amount_received"),
            ),
            _ => (&booking, text(&booking["id"]), amount(&booking, "net")),
        };
        self.lose(&lost["id"]).await;
        self.tell_of("missing_at_stripe", &intent["id"], part, (ours, None));
    }

    async fn lost_back(&mut self, kind: Fault) {
        let known = match kind {
            Fault::RefundLost => self.victims.refunds.pop(),
            _ => self.victims.disputes.pop(),
        };
        let Back { intent, it } = known.expect("a year has enough of them");
        self.lose(&it["id"]).await;
        let sides = (amount(&it, "amount"), None);
        self.tell_of("missing_at_stripe", &json!(intent), text(&it["id"]), sides);
    }

    async fn payout(&mut self, kind: Fault) {
        let payout = self
            .victims
            .payouts
            .pop()
            .expect("a year has enough of them");
        let (id, known) = (&payout["id"], amount(&payout, "amount"));
        let subject = format!("payout/{}", text(id));
        match kind {
            Fault::PayoutLost => {
                self.lose(id).await;
                self.tell("missing_at_stripe", subject, text(id), (known, None));
            }
            Fault::PayoutAmount => {
                let more = plus(&known, 1);
                self.forge(id, json!({"amount": more.as_ref().unwrap().0}))
                    .await;
                self.tell("amount", subject, "amount".to_owned(), (known, more));
            }
            _ => {
                self.forge(id, json!({"status": "canceled"})).await;
                self.tell(
                    "status",
                    subject,
                    "status".to_owned(),
                    (known.clone(), known),
                );
            }
        }
    }

    fn line(&mut self, kind: Fault) {
        self.copies += 1;
        let unusual = Money::new(
            10_000_000 + i64::try_from(self.copies).unwrap(),
            Currency::USD,
        );
        let ours = Some((unusual.minor(), "usd".to_owned()));
        let day = today() - Days::new(10);
        match kind {
            Fault::LineOfNoPayout => {
                let id = self.on_the_statement(day, unusual, "STRIPE TRANSFER".to_owned());
                self.tell(
                    "missing_at_stripe",
                    format!("bank_line/{id}"),
                    "line".to_owned(),
                    (ours, None),
                );
            }
            Fault::LineOfUnknownPayout => {
                let payout = format!("po_unknown{}", self.copies);
                let id = self.on_the_statement(day, unusual, format!("STRIPE {payout}"));
                self.tell(
                    "missing_at_stripe",
                    format!("payout/{payout}"),
                    id,
                    (ours, None),
                );
            }
            _ => {
                let payout = self
                    .victims
                    .payouts
                    .pop()
                    .expect("a year has enough of them");
                let Arrived {
                    id: payout,
                    amount,
                    day,
                    ..
                } = Arrived::of(&payout);
                let sides = Some((amount.minor(), amount.currency().code()));
                let id = self.on_the_statement(day, amount, format!("STRIPE {payout}"));
                self.tell(
                    "duplicate",
                    format!("payout/{payout}"),
                    id,
                    (sides.clone(), sides),
                );
            }
        }
    }

    /// A line on the next statement; its id here.
    fn on_the_statement(&mut self, day: NaiveDate, amount: Money, text: String) -> String {
        let line = self.year.bank.line(day, amount, text);
        let marks = [
            "",
            &day.to_string(),
            &amount.minor().to_string(),
            &amount.currency().code(),
            &line.reference,
            "1",
        ];
        let id = SettlementId::of_bank_line(&acme(), "main", &marks);
        self.lines.push(line);
        id.to_string()
    }

    async fn intent(&mut self, kind: Fault) {
        let Plain { intent, .. } = self.victims.plain();
        let id = &intent["id"];
        let received = amount(&intent, "amount_received");
        match kind {
            Fault::IntentAmount => {
                let less = plus(&received, -1);
                self.forge(id, json!({"amount_received": less.as_ref().unwrap().0}))
                    .await;
                self.tell_of("amount", id, "captured".to_owned(), (received, less));
            }
            Fault::IntentCurrency => {
                let known = amount(&intent, "amount");
                let other = known.clone().map(|(minor, _)| (minor, "nok".to_owned()));
                self.forge(id, json!({"currency": "nok"})).await;
                self.tell_of("currency", id, "amount".to_owned(), (known, other));
            }
            _ => {
                self.forge(id, json!({"status": "canceled"})).await;
                self.tell_of(
                    "status",
                    id,
                    "status".to_owned(),
                    (received.clone(), received),
                );
            }
        }
    }

    async fn charge(&mut self, kind: Fault) {
        let Plain { intent, charge, .. } = self.victims.plain();
        let taken = amount(&charge, "amount_captured");
        if kind == Fault::ChargeTwice {
            let later = charge["created"].as_i64().unwrap() + 1;
            let copy = self.copy(&charge["id"], json!({"created": later})).await;
            self.tell_of("duplicate", &intent["id"], copy, (None, taken));
        } else {
            let less = plus(&taken, -1);
            let set = json!({"amount_captured": less.as_ref().unwrap().0});
            self.forge(&charge["id"], set).await;
            self.tell_of("amount", &intent["id"], text(&charge["id"]), (taken, less));
        }
    }

    async fn refund(&mut self, kind: Fault) {
        let Back { intent, it } = self
            .victims
            .refunds
            .pop()
            .expect("a year has enough of them");
        let (intent, known) = (json!(intent), amount(&it, "amount"));
        match kind {
            Fault::RefundAmount => {
                let more = plus(&known, 1);
                self.forge(&it["id"], json!({"amount": more.as_ref().unwrap().0}))
                    .await;
                self.tell_of("amount", &intent, text(&it["id"]), (known, more));
            }
            Fault::RefundStatus => {
                self.forge(&it["id"], json!({"status": "pending"})).await;
                self.tell_of("status", &intent, text(&it["id"]), (known.clone(), known));
            }
            _ => {
                let copy = self.copy(&it["id"], json!({})).await;
                self.tell_of("duplicate", &intent, copy, (None, known));
            }
        }
    }

    async fn dispute(&mut self) {
        let Back { intent, it } = self
            .victims
            .disputes
            .pop()
            .expect("a year has enough of them");
        self.forge(&it["id"], json!({"status": "under_review"}))
            .await;
        let known = amount(&it, "amount");
        self.tell_of(
            "status",
            &json!(intent),
            text(&it["id"]),
            (known.clone(), known),
        );
    }

    async fn booking(&mut self, kind: Fault) {
        let Plain {
            intent, booking, ..
        } = self.victims.plain();
        let (id, subject) = (&booking["id"], &intent["id"]);
        let (gross, fee) = (amount(&booking, "amount"), amount(&booking, "fee"));
        match kind {
            Fault::BookingAmount => {
                let less = plus(&gross, -1);
                self.forge(id, json!({"amount": less.as_ref().unwrap().0}))
                    .await;
                self.tell_of("amount", subject, text(id), (gross, less));
            }
            Fault::BookingCurrency => {
                let other = gross.clone().map(|(minor, _)| (minor, "nok".to_owned()));
                self.forge(id, json!({"currency": "nok"})).await;
                self.tell_of("currency", subject, text(id), (gross, other));
            }
            Fault::BookingCategory => {
                self.forge(id, json!({"balance_type": "refund_failure"}))
                    .await;
                self.tell_of("status", subject, text(id), (gross.clone(), gross));
            }
            Fault::BookingFee => {
                let more = plus(&fee, 1);
                self.forge(id, json!({"fee": more.as_ref().unwrap().0}))
                    .await;
                self.tell_of("fee", subject, text(id), (fee, more));
            }
            _ => {
                let copy = self.copy(id, json!({})).await;
                self.tell_of("duplicate", subject, copy, (None, amount(&booking, "net")));
            }
        }
    }

    async fn intent_twice(&mut self) {
        let Plain { intent, .. } = self.victims.named();
        let copy = self.copy(&intent["id"], json!({})).await;
        let sides = (None, amount(&intent, "amount"));
        self.tell_of("duplicate", &json!(copy), copy.clone(), sides);
    }

    /// A payment says that it is for an order, and the order was never told.
    async fn order_knows_nothing(&mut self) {
        let Plain { intent, charge, .. } = self.victims.without_order();
        let (order, _) = self.place().await;
        forging::assigned(self.year.world, &text(&intent["id"]), &order).await;
        let sides = (None, amount(&charge, "amount_captured"));
        self.tell_of("paid_without_order", &intent["id"], order, sides);
    }

    /// An order counts as paid by a payment that has captured nothing.
    async fn nothing_captured(&mut self) {
        let (order, reference) = self.place().await;
        let path = format!("/api/v1/shop/orders/{reference}/payment-intent");
        let (status, asked) = self.year.client.post(Door::Shop, &path, &Value::Null).await;
        assert_eq!(status, 200, "{asked}");
        forging::paid(self.year.world, &order).await;
        let sides = (Some((4_200, "usd".to_owned())), None);
        self.tell_of("order_without_payment", &asked["data"]["id"], order, sides);
    }

    /// A new order of 42 dollars: its id and reference.
    async fn place(&mut self) -> (String, String) {
        self.copies += 1;
        let reference = format!("f{}", self.copies);
        let order = json!({
            "source": "shop", "reference": reference, "customer": "customer-9", "currency": "usd",
            "lines": [{"name": "Shoes", "unit_minor": 4_200, "quantity": 1}],
        });
        let (status, placed) = self
            .year
            .client
            .post(Door::Native, "/ledger/v1/orders", &order)
            .await;
        assert_eq!(status, 201, "{placed}");
        (text(&placed["id"]), reference)
    }
}

fn today() -> NaiveDate {
    Utc::now().date_naive()
}

fn amount(object: &Value, field: &str) -> Amount {
    Some((object[field].as_i64()?, text(&object["currency"])))
}

fn plus(amount: &Amount, minor: i64) -> Amount {
    let (known, currency) = amount.clone()?;
    Some((known + minor, currency))
}
