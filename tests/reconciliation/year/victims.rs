//! What of a year a fault may befall: each thing once, so that every break is one fault's.

use super::business::Year;
use super::client::text;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// A payment that was captured, nothing of it given back, nothing disputed.
#[derive(Debug, Clone)]
pub struct Plain {
    pub intent: Value,
    pub charge: Value,
    pub booking: Value,
    pub names_an_order: bool,
}

/// A refund or a dispute of a payment that has no other.
#[derive(Debug, Clone)]
pub struct Back {
    pub intent: String,
    pub it: Value,
}

#[derive(Default)]
pub struct Victims {
    pub plain: Vec<Plain>,
    /// That succeeded.
    pub refunds: Vec<Back>,
    /// That were lost.
    pub disputes: Vec<Back>,
    /// Automatic, and at the bank.
    pub payouts: Vec<Value>,
    /// Stripe's own fees.
    pub fees: Vec<Value>,
}

impl Victims {
    /// All there are, in an order that is drawn.
    pub async fn of(year: &mut Year<'_>) -> Self {
        let client = &year.client;
        let intents = by_id(client.all("payment_intents").await);
        let charges = client.all("charges").await;
        let refunds = client.all("refunds").await;
        let disputes = client.all("disputes").await;
        let payouts = client.all("payouts").await;
        let bookings = by_id(client.all("balance_transactions").await);
        let orders = orders(year).await;

        let mut charged: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        for it in charges {
            let of = charged.entry(text(&it["payment_intent"])).or_default();
            of.push(it);
        }
        let (refunds, disputes) = (by_intent(refunds), by_intent(disputes));
        let mut victims = Self::default();
        for (intent, of) in charged {
            let (Some(shown), [charge]) = (intents.get(&intent), of.as_slice()) else {
                continue;
            };
            match (refunds.get(&intent), disputes.get(&intent)) {
                (None, None) if shown["status"] == "succeeded" => {
                    let booking = bookings.get(&text(&charge["balance_transaction"]));
                    victims.plain.push(Plain {
                        intent: shown.clone(),
                        charge: charge.clone(),
                        booking: booking.unwrap().clone(),
                        names_an_order: orders.contains(&intent),
                    });
                }
                (Some(one), None) if one.len() == 1 && one[0]["status"] == "succeeded" => {
                    let it = one[0].clone();
                    victims.refunds.push(Back { intent, it });
                }
                (None, Some(one)) if one[0]["status"] == "lost" => {
                    let it = one[0].clone();
                    victims.disputes.push(Back { intent, it });
                }
                _ => {}
            }
        }
        let arrived = |it: &Value| it["status"] == "paid" && it["automatic"] == true;
        victims.payouts = payouts.into_iter().filter(arrived).collect();
        let is_fee = |it: &Value| it["reporting_category"] == "fee";
        victims.fees = bookings.into_values().filter(is_fee).collect();
        victims.shuffle(&mut year.rng);
        victims
    }

    fn shuffle(&mut self, rng: &mut StdRng) {
        // By what does not depend on how callers met, before anything is drawn.
        self.plain.sort_by_key(|it| it.intent["amount"].as_i64());
        self.refunds.sort_by_key(|it| it.it["amount"].as_i64());
        self.disputes.sort_by_key(|it| it.it["amount"].as_i64());
        self.payouts.sort_by_key(|it| it["created"].as_i64());
        self.fees.sort_by_key(|it| it["created"].as_i64());
        self.plain.shuffle(rng);
        self.refunds.shuffle(rng);
        self.disputes.shuffle(rng);
        self.payouts.shuffle(rng);
    }

    /// One that names no order.
    pub fn without_order(&mut self) -> Plain {
        let mut plain = self.plain.iter();
        let at = plain.position(|it| !it.names_an_order);
        self.plain
            .swap_remove(at.expect("most payments name no order"))
    }

    /// One whose intent says which payment of ours it is, or which checkout.
    pub fn named(&mut self) -> Plain {
        let marks = ["counterfoil_payment", "counterfoil_checkout"];
        let named = |it: &Plain| {
            marks
                .iter()
                .any(|mark| it.intent["metadata"][mark].is_string())
        };
        let at = self.plain.iter().position(named);
        self.plain
            .swap_remove(at.expect("most payments were asked for here"))
    }

    pub fn plain(&mut self) -> Plain {
        self.plain
            .pop()
            .expect("a year has more payments than faults")
    }
}

fn by_id(list: Vec<Value>) -> BTreeMap<String, Value> {
    list.into_iter().map(|it| (text(&it["id"]), it)).collect()
}

fn by_intent(list: Vec<Value>) -> BTreeMap<String, Vec<Value>> {
    let mut all: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for it in list {
        all.entry(text(&it["payment_intent"])).or_default().push(it);
    }
    all
}

/// The intents whose payments name an order.
async fn orders(year: &Year<'_>) -> BTreeSet<String> {
    let named: Vec<String> = sqlx::query_scalar(
        "select intent from payments where merchant = 'acme' and intent is not null and order_id is not null",
    )
    .fetch_all(year.world.app().store().pool())
    .await
    .unwrap();
    named.into_iter().collect()
}
