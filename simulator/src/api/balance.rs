//! `/v1/balance` and `/v1/balance_transactions`

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::call::Call;
use super::lists::{Created, Page, envelope};
use crate::errors::{ApiError, Outcome};
use crate::objects::{BalanceTransaction, Payout};
use crate::params::{Known, Shape};

const LIST: Known = &[
    ("created", Shape::Any),
    ("currency", Shape::Any),
    ("ending_before", Shape::Any),
    ("expand", Shape::Any),
    ("limit", Shape::Any),
    ("payout", Shape::Any),
    ("source", Shape::Any),
    ("starting_after", Shape::Any),
    ("type", Shape::Any),
];

/// `GET /v1/balance`
pub fn balance(call: &mut Call<'_, '_>) -> Outcome<Value> {
    call.params.only(&[("expand", Shape::Any)])?;
    // Every currency appears in both, as zero if need be.
    let mut sums: BTreeMap<&str, (i64, i64)> = BTreeMap::from([("usd", (0, 0))]);
    for transaction in call.tx.tables().balance_transactions.oldest_first() {
        let (available, pending) = sums.entry(&transaction.currency).or_default();
        let sum = match transaction.is_available(call.tx.now) {
            true => available,
            false => pending,
        };
        *sum = sum
            .checked_add(transaction.net())
            .ok_or_else(|| ApiError::internal("The balance exceeds what can be counted."))?;
    }
    let amounts = |pick: fn(&(i64, i64)) -> i64| -> Vec<Value> {
        sums.iter()
            .map(|(currency, pair)| {
                let amount = pick(pair);
                json!({ "amount": amount, "currency": currency, "source_types": { "card": amount } })
            })
            .collect()
    };
    Ok(json!({
        "object": "balance",
        "available": amounts(|(available, _)| *available),
        "livemode": false,
        "pending": amounts(|(_, pending)| *pending),
        "refund_and_dispute_prefunding": { "available": [], "pending": [] },
    }))
}

/// `GET /v1/balance_transactions/:id`
pub fn retrieve(call: &mut Call<'_, '_>) -> Outcome<Value> {
    call.params.only(&[("expand", Shape::Any)])?;
    let transaction: BalanceTransaction = call
        .tx
        .get(call.id)
        .ok_or_else(|| ApiError::not_found("balance transaction", call.id, "id"))?;
    Ok(transaction.render(call.tx.now))
}

/// The payout whose transactions are asked for; its own is not among them.
///
/// # Errors
/// 400 when there is none, or it was made by hand, which holds no certain transactions.
fn itemised(call: &Call<'_, '_>) -> Outcome<Option<String>> {
    let Some(id) = call.params.text("payout", 500)?.given() else {
        return Ok(None);
    };
    let payout: Payout = call
        .tx
        .get(&id)
        .ok_or_else(|| ApiError::no_such("payout", &id, "payout"))?;
    match payout.automatic {
        true => Ok(Some(id)),
        false => Err(ApiError::invalid(
            "Balance transaction history can only be filtered on automatic transfers, not manual.",
        )
        .param("payout")),
    }
}

/// `GET /v1/balance_transactions`
pub fn list(call: &mut Call<'_, '_>) -> Outcome<Value> {
    call.params.only(LIST)?;
    let payout = itemised(call)?;
    let created = Created::read(&call.params)?;
    let currency = call.params.text("currency", 3)?.given();
    let source = call.params.text("source", 500)?.given();
    let balance_type = call.params.text("type", 100)?.given();
    let (transactions, has_more) =
        Page::read(&call.params)?.of::<BalanceTransaction>(call, "balance transaction", |it| {
            created.covers(it.created)
                && payout
                    .as_ref()
                    .is_none_or(|payout| it.payout.as_ref() == Some(payout) && it.source != *payout)
                && currency
                    .as_ref()
                    .is_none_or(|currency| *currency == it.currency)
                && source.as_ref().is_none_or(|source| *source == it.source)
                && balance_type
                    .as_ref()
                    .is_none_or(|word| word == it.balance_type.as_type())
        })?;
    let now = call.tx.now;
    let data = transactions.into_iter().map(|it| it.render(now)).collect();
    Ok(envelope("/v1/balance_transactions", data, has_more))
}
