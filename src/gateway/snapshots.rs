//! Stripe's lists as a reconciliation compares them: what of each object is about money and where it stands, and nothing else, so
//! that it can be kept.

use aggregates::money::Money;
use aggregates::reconciliation::Subject;
use aggregates::reconciliation::items::{
    Booking, Item, Shown, TheirCharge, TheirDispute, TheirIntent, TheirPayout, TheirRefund, Theirs,
};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

use super::answers::{Reference, Unreadable, currency, intent_from, read, refund_from};
use super::balance_transactions::transaction_from;
use super::disputes::dispute_state_from;
use super::payouts::payout_from;
use super::{CHECKOUT_KEY, CheckoutMark, PAYMENT_KEY};

/// The lists that are compared.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    serde::Serialize,
    serde::Deserialize,
    strum::EnumIter,
    strum::Display,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum ShownList {
    PaymentIntents,
    Charges,
    Refunds,
    Disputes,
    Payouts,
    BalanceTransactions,
}

impl ShownList {
    /// Below the version of the API.
    pub fn path(self) -> String {
        format!("/{self}")
    }

    /// What is asked for beside the page.
    pub fn query(self) -> &'static str {
        match self {
            Self::BalanceTransactions => "expand%5B%5D=data.source",
            _ => "",
        }
    }
}

/// A page of a list, newest first.
#[derive(Debug, Default)]
pub struct ShownPage {
    pub items: Vec<Item>,
    /// The last one's id, to go on after; none where the page is empty.
    pub last: Option<String>,
    pub has_more: bool,
    /// Those that could not be read, with why.
    pub unreadable: Vec<(String, Unreadable)>,
}

#[derive(Deserialize)]
struct List {
    data: Vec<Value>,
    #[serde(default)]
    has_more: bool,
}

/// A page of one of the lists.
///
/// # Errors
/// When it is no list of objects with ids.
pub fn shown_from(list: ShownList, body: Value) -> Result<ShownPage, Unreadable> {
    let it: List = read(body)?;
    let mut page = ShownPage {
        has_more: it.has_more,
        ..ShownPage::default()
    };
    for object in it.data {
        let id = object.get("id").and_then(Value::as_str);
        let id = id.ok_or_else(|| Unreadable::missing("id"))?.to_owned();
        match item_from(list, object) {
            Ok(item) => page.items.extend(item),
            Err(error) => page.unreadable.push((id.clone(), error)),
        }
        page.last = Some(id);
    }
    Ok(page)
}

/// None for an object that is no payment's.
fn item_from(list: ShownList, object: Value) -> Result<Option<Item>, Unreadable> {
    let created = object.get("created").and_then(Value::as_i64).unwrap_or(0);
    let of = object
        .get("payment_intent")
        .cloned()
        .and_then(|it| read::<Reference>(it).ok())
        .map(Reference::id);
    let (subject, shown) = match list {
        ShownList::PaymentIntents => {
            let view = intent_from(object)?;
            let names = view.metadata.get(PAYMENT_KEY);
            let mark = view.metadata.get(CHECKOUT_KEY);
            let it = TheirIntent {
                names: names.and_then(|it| it.parse().ok()),
                checkout: mark.and_then(|it| Some(CheckoutMark::read(it)?.checkout)),
                ..TheirIntent::of(&view.snapshot)
            };
            (
                Subject::payment(it.intent.clone()),
                Theirs::Intent(Box::new(it)),
            )
        }
        ShownList::Payouts => {
            let it = TheirPayout::of(&payout_from(object)?);
            (
                Subject::payout(it.payout.clone()),
                Theirs::Payout(Box::new(it)),
            )
        }
        ShownList::BalanceTransactions => {
            let subject = subject_of(&object);
            let it = Booking::from(&transaction_from(object)?.snapshot);
            let subject = subject.unwrap_or_else(|| Subject::booking(it.id.clone()));
            (subject, Theirs::Booking(Box::new(it)))
        }
        ShownList::Charges | ShownList::Refunds | ShownList::Disputes => {
            let Some(intent) = of else {
                return Ok(None);
            };
            let shown = match list {
                ShownList::Charges => Theirs::Charge(charge_from(object)?),
                ShownList::Refunds => Theirs::Refund(TheirRefund::of(&refund_from(object)?)),
                _ => Theirs::Dispute(TheirDispute::of(&dispute_state_from(object)?, created)),
            };
            (Subject::payment(intent), shown)
        }
    };
    let shown = Shown::Theirs(shown);
    Ok(Some(Item { subject, shown }))
}

#[derive(Deserialize)]
struct ChargeObject {
    id: String,
    amount: i64,
    #[serde(default)]
    amount_captured: Option<i64>,
    #[serde(default)]
    captured: bool,
    currency: String,
    #[serde(default)]
    status: String,
    #[serde(default)]
    created: i64,
}

fn charge_from(object: Value) -> Result<TheirCharge, Unreadable> {
    let it: ChargeObject = read(object)?;
    let whole = if it.captured { it.amount } else { 0 };
    let minor = it.amount_captured.unwrap_or(whole);
    Ok(TheirCharge {
        charge: it.id,
        succeeded: it.status == "succeeded",
        captured: Money::new(minor, currency(&it.currency)?),
        created: it.created,
    })
}

/// The payment or the payout that a balance transaction is of, by its source.
fn subject_of(transaction: &Value) -> Option<Subject> {
    let source = transaction.get("source")?;
    let text = |name: &str| source.get(name).and_then(Value::as_str);
    if text("object") == Some("payout") {
        return Some(Subject::payout(text("id")?));
    }
    let intent: Reference = read(source.get("payment_intent")?.clone()).ok()?;
    Some(Subject::payment(intent.id()))
}

/// What Stripe holds in each currency, available or not.
///
/// # Errors
/// When it is no balance.
pub fn balance_from(body: Value) -> Result<Vec<Money>, Unreadable> {
    #[derive(Deserialize)]
    struct Balance {
        available: Vec<Amount>,
        pending: Vec<Amount>,
    }
    #[derive(Deserialize)]
    struct Amount {
        amount: i64,
        currency: String,
    }
    let it: Balance = read(body)?;
    let mut sums = BTreeMap::new();
    for amount in it.available.into_iter().chain(it.pending) {
        let sum: &mut i64 = sums.entry(currency(&amount.currency)?).or_default();
        *sum = sum.saturating_add(amount.amount);
    }
    let held = sums.into_iter();
    Ok(held.map(|(of, minor)| Money::new(minor, of)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Red when an object's text is kept: it may name a person.
    #[test]
    fn nothing_of_a_person_is_left_in_what_is_kept() {
        let page = json!({"object": "list", "has_more": false, "data": [
            {"id": "ch_1", "object": "charge", "amount": 500, "amount_captured": 500, "currency": "usd", "status": "succeeded",
             "payment_intent": {"id": "pi_1", "client_secret": "pi_1_secret_2"}, "created": 1,
             "billing_details": {"name": "Ada"}, "receipt_email": "ada@example.com", "description": "Ada"},
            {"id": "ch_2", "amount": "Ada", "currency": "usd", "payment_intent": "pi_2"}]});
        let page = shown_from(ShownList::Charges, page).unwrap();
        let kept = serde_json::to_string(&page.items).unwrap();
        assert_eq!(page.items[0].subject, Subject::payment("pi_1"));
        assert!(
            !kept.contains("Ada") && !kept.contains("ada@") && !kept.contains("secret"),
            "{kept}"
        );
        assert_eq!(page.unreadable[0].0, "ch_2");
        assert_eq!((page.last.as_deref(), page.has_more), (Some("ch_2"), false));
    }

    #[test]
    fn a_booking_is_shown_with_what_it_is_of() {
        let booked = |source: Value| {
            json!({"data": [{"id": "txn_1", "amount": 500, "fee": 20, "net": 480, "currency": "usd", "type": "charge",
                "source": source, "created": 1, "available_on": 2, "status": "available"}]})
        };
        let subject = |source: Value| {
            let page = shown_from(ShownList::BalanceTransactions, booked(source)).unwrap();
            page.items[0].subject.to_string()
        };
        let charge = json!({"id": "ch_1", "object": "charge", "payment_intent": "pi_1"});
        assert_eq!(subject(charge), "payment/pi_1");
        assert_eq!(subject(json!(null)), "booking/txn_1");
        let payout = json!({"id": "po_1", "object": "payout", "amount": 1, "currency": "usd", "status": "paid",
                            "arrival_date": 1, "created": 1});
        assert_eq!(subject(payout), "payout/po_1");
    }

    #[test]
    fn what_is_held_is_the_sum_of_what_is_available_and_pending() {
        let held = json!({"available": [{"amount": 5, "currency": "usd"}, {"amount": 1, "currency": "eur"}],
                          "pending": [{"amount": 2, "currency": "usd"}]});
        let held = balance_from(held).unwrap();
        let shown: Vec<String> = held.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["0.01 EUR", "0.07 USD"]);
    }
}
