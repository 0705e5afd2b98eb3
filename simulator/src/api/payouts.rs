//! `/v1/payouts`

use serde_json::Value;

use super::call::{Call, read_metadata};
use super::lists::{Created, Page, envelope};
use crate::errors::{ApiError, Outcome};
use crate::flow::{self, NewPayout};
use crate::money;
use crate::objects::{Metadata, Payout, PayoutMethod, PayoutStatus};
use crate::params::{Known, Shape};

const CREATE: Known = &[
    ("amount", Shape::Any),
    ("currency", Shape::Any),
    ("description", Shape::Any),
    ("expand", Shape::Any),
    ("metadata", Shape::Open),
    ("method", Shape::Any),
    ("source_type", Shape::Any),
    ("statement_descriptor", Shape::Any),
];
const UPDATE: Known = &[("expand", Shape::Any), ("metadata", Shape::Open)];
const LIST: Known = &[
    ("arrival_date", Shape::Any),
    ("created", Shape::Any),
    ("ending_before", Shape::Any),
    ("expand", Shape::Any),
    ("limit", Shape::Any),
    ("starting_after", Shape::Any),
    ("status", Shape::Any),
];

/// `POST /v1/payouts`
pub fn create(call: &mut Call<'_, '_>) -> Outcome<Value> {
    call.params.only(CREATE)?;
    let params = call.params.clone();
    let amount = money::read_positive(&params, "amount")?;
    let currency = money::read_currency(&params, "currency")?;
    let mut metadata = Metadata::new();
    read_metadata(&params, &mut metadata)?;
    let asked = NewPayout {
        amount: amount.ok_or_else(|| ApiError::missing("amount"))?,
        currency: currency.ok_or_else(|| ApiError::missing("currency"))?,
        method: params
            .plain_word("method")?
            .unwrap_or(PayoutMethod::Standard),
        description: params.text("description", 1_000)?.given(),
        statement_descriptor: params.text("statement_descriptor", 22)?.given(),
        metadata,
    };
    if let Some(source) = params.text("source_type", 100)?.given()
        && source != "card"
    {
        return Err(ApiError::invalid(
            "Invalid source_type: must be card; the simulator has no other balance.",
        )
        .param("source_type"));
    }
    Ok(flow::pay_out(call.tx, asked)?.render())
}

fn the(call: &Call<'_, '_>) -> Outcome<Payout> {
    call.tx
        .get(call.id)
        .ok_or_else(|| ApiError::not_found("payout", call.id, "payout"))
}

/// `GET /v1/payouts/:id`
pub fn retrieve(call: &mut Call<'_, '_>) -> Outcome<Value> {
    call.params.only(&[("expand", Shape::Any)])?;
    Ok(the(call)?.render())
}

/// `POST /v1/payouts/:id`
pub fn update(call: &mut Call<'_, '_>) -> Outcome<Value> {
    call.params.only(UPDATE)?;
    let mut payout = the(call)?;
    read_metadata(&call.params, &mut payout.metadata)?;
    call.tx.put(payout.clone());
    call.tx.emit("payout.updated", &payout.render());
    Ok(payout.render())
}

/// `POST /v1/payouts/:id/cancel`
pub fn cancel(call: &mut Call<'_, '_>) -> Outcome<Value> {
    call.params.only(&[("expand", Shape::Any)])?;
    let payout = the(call)?;
    Ok(flow::cancel_payout(call.tx, payout)?.render())
}

/// `GET /v1/payouts`
pub fn list(call: &mut Call<'_, '_>) -> Outcome<Value> {
    call.params.only(LIST)?;
    let created = Created::read(&call.params)?;
    let arrival = Created::read_as(&call.params, "arrival_date")?;
    let status: Option<PayoutStatus> = call.params.word("status")?.given();
    let (payouts, has_more) = Page::read(&call.params)?.of::<Payout>(call, "payout", |it| {
        created.covers(it.created)
            && arrival.covers(it.arrival_date)
            && status.is_none_or(|status| status == it.status)
    })?;
    let data = payouts.into_iter().map(Payout::render).collect();
    Ok(envelope("/v1/payouts", data, has_more))
}
