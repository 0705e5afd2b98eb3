//! Reads Stripe's balance transactions, and what moved them.

use aggregates::money::Money;
use aggregates::settlement::{Fee, PayoutSnapshot, TransactionSnapshot};
use rust_decimal::Decimal;
use serde::Deserialize;
use serde_json::{Number, Value};
use std::str::FromStr;

use super::answers::{Unreadable, currency, read};
use super::payouts::payout_from;

/// A page of balance transactions, newest first.
#[derive(Debug)]
pub struct TransactionPage {
    pub transactions: Vec<TransactionView>,
    /// The last one's id, to go on after; none where the page is empty.
    pub last: Option<String>,
    /// Those that could not be read, with why.
    pub unreadable: Vec<(String, Unreadable)>,
    pub has_more: bool,
}

/// A balance transaction, and the payout that it is of, where it is one's.
#[derive(Debug)]
pub struct TransactionView {
    pub snapshot: TransactionSnapshot,
    pub payout: Option<PayoutSnapshot>,
}

#[derive(Deserialize)]
struct List {
    data: Vec<Value>,
    has_more: bool,
}

#[derive(Deserialize)]
struct TransactionObject {
    id: String,
    amount: i64,
    #[serde(default)]
    fee: i64,
    #[serde(default)]
    fee_details: Vec<FeeObject>,
    net: i64,
    currency: String,
    r#type: String,
    #[serde(default)]
    reporting_category: Option<String>,
    #[serde(default)]
    source: Option<Value>,
    #[serde(default)]
    exchange_rate: Option<Number>,
    created: i64,
    available_on: i64,
    status: String,
}

#[derive(Deserialize)]
struct FeeObject {
    r#type: String,
    amount: i64,
    currency: String,
}

/// What moved a balance transaction, as far as it is told of money.
#[derive(Deserialize)]
struct Source {
    id: String,
    #[serde(default)]
    amount: Option<i64>,
    /// Of a charge: what was taken of it, which is what is booked.
    #[serde(default)]
    amount_captured: Option<i64>,
    #[serde(default)]
    currency: Option<String>,
}

/// Categories whose source has moved as much as was booked, in its own currency.
const OF_THEIR_SOURCE: [&str; 5] = [
    "charge",
    "refund",
    "refund_failure",
    "dispute",
    "dispute_reversal",
];

/// A page of a list of balance transactions whose sources were asked for as well (`expand[]=data.source`).
///
/// # Errors
/// When it is no list of objects with ids.
pub fn transactions_from(body: Value) -> Result<TransactionPage, Unreadable> {
    let list: List = read(body)?;
    let mut page = TransactionPage {
        transactions: Vec::with_capacity(list.data.len()),
        last: None,
        unreadable: Vec::new(),
        has_more: list.has_more,
    };
    for object in list.data {
        let id = object.get("id").and_then(Value::as_str);
        let id = id.ok_or_else(|| Unreadable::missing("id"))?.to_owned();
        match transaction_from(object) {
            Ok(view) => page.transactions.push(view),
            Err(error) => page.unreadable.push((id.clone(), error)),
        }
        page.last = Some(id);
    }
    Ok(page)
}

pub(super) fn transaction_from(object: Value) -> Result<TransactionView, Unreadable> {
    let it: TransactionObject = read(object)?;
    let of = currency(&it.currency)?;
    let category = it.reporting_category.unwrap_or_else(|| it.r#type.clone());
    let payout = match &it.source {
        Some(source) if source.get("object").and_then(Value::as_str) == Some("payout") => {
            Some(payout_from(source.clone())?)
        }
        _ => None,
    };
    let (source, moved) = source_from(it.source)?;
    let fees = it.fee_details.into_iter().map(|fee| {
        Ok(Fee {
            kind: fee.r#type,
            amount: Money::new(fee.amount, currency(&fee.currency)?),
        })
    });
    let rate = it.exchange_rate.map(|rate| rate_from(&rate)).transpose()?;
    let snapshot = TransactionSnapshot {
        balance_transaction: it.id,
        kind: it.r#type,
        source_amount: moved.filter(|_| OF_THEIR_SOURCE.contains(&category.as_str())),
        category,
        amount: Money::new(it.amount, of),
        fee: Money::new(it.fee, of),
        fees: fees.collect::<Result<_, _>>()?,
        net: Money::new(it.net, of),
        source,
        exchange_rate: rate,
        created: it.created,
        available_on: it.available_on,
        available: it.status == "available",
        payout: None,
    };
    Ok(TransactionView { snapshot, payout })
}

/// The id of what moved the transaction, and how much it moved in its own currency, where that is told.
fn source_from(source: Option<Value>) -> Result<(Option<String>, Option<Money>), Unreadable> {
    match source {
        None | Some(Value::Null) => Ok((None, None)),
        Some(Value::String(id)) => Ok((Some(id), None)),
        Some(object) => {
            let it: Source = read(object)?;
            let amount = it.amount_captured.or(it.amount);
            let moved = match (amount, &it.currency) {
                (Some(minor), Some(code)) => Some(Money::new(minor, currency(code)?)),
                _ => None,
            };
            Ok((Some(it.id), moved))
        }
    }
}

/// As it is written, digit by digit: a rate is no float.
fn rate_from(rate: &Number) -> Result<Decimal, Unreadable> {
    let text = rate.to_string();
    Decimal::from_str(&text)
        .or_else(|_| Decimal::from_scientific(&text))
        .map_err(|_| Unreadable::missing("exchange_rate"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use aggregates::money::Currency;
    use rust_decimal::dec;
    use serde_json::json;

    fn listed(source: Value) -> Value {
        json!({"object": "list", "has_more": true, "data": [
            {"id": "txn_1", "object": "balance_transaction", "amount": 10800, "fee": 343, "net": 10457, "currency": "usd",
             "fee_details": [{"amount": 343, "currency": "usd", "type": "stripe_fee", "application": null}],
             "type": "charge", "reporting_category": "charge", "source": source, "exchange_rate": 1.0834,
             "created": 1743415050, "available_on": 1743500000, "status": "pending", "description": "Ada"},
            {"id": "txn_2", "amount": 5, "net": 5, "currency": "???", "type": "adjustment", "source": null,
             "created": 1743415050, "available_on": 1743500000, "status": "available"}]})
    }

    /// Red when the whole of a charge is taken for what was captured of it, or one object that cannot be read hides the rest.
    #[test]
    fn a_page_tells_what_was_moved_in_the_currency_of_its_source_and_names_what_it_cannot_read() {
        let charge = json!({"id": "ch_1", "object": "charge", "amount": 12000, "amount_captured": 10000, "currency": "eur"});
        let page = transactions_from(listed(charge)).unwrap();
        let seen = &page.transactions[0].snapshot;
        assert_eq!(seen.source.as_deref(), Some("ch_1"));
        assert_eq!(seen.source_amount, Some(Money::new(10_000, Currency::EUR)));
        assert_eq!(seen.exchange_rate, Some(dec!(1.0834)));
        assert!(!seen.available);
        assert_eq!(page.transactions.len(), 1);
        assert_eq!(page.unreadable[0].0, "txn_2");
        assert_eq!((page.last.as_deref(), page.has_more), (Some("txn_2"), true));
    }

    #[test]
    fn a_source_that_is_not_shown_is_known_by_its_id_and_a_payout_that_is_shown_is_told_as_well() {
        let page = transactions_from(listed(json!("ch_1"))).unwrap();
        let seen = &page.transactions[0].snapshot;
        assert_eq!(
            (seen.source.as_deref(), seen.source_amount),
            (Some("ch_1"), None)
        );
        let payout = json!({"id": "po_1", "object": "payout", "amount": 9500, "currency": "usd", "status": "paid",
                            "arrival_date": 1743500000, "created": 1743415050, "automatic": true, "method": "standard"});
        let page = transactions_from(listed(payout)).unwrap();
        let told = page.transactions[0].payout.as_ref().unwrap();
        assert_eq!(told.payout, "po_1");
        assert!(transactions_from(json!({"object": "list"})).is_err());
    }
}
