//! `/v1/events`, readable for 30 days.

use serde_json::Value;

use super::call::Call;
use super::lists::{Created, Page, envelope};
use crate::config::matches_type;
use crate::errors::{ApiError, Outcome};
use crate::objects::Event;
use crate::params::{Known, Shape};
use crate::state::EVENT_KEPT_S;

const LIST: Known = &[
    ("created", Shape::Any),
    ("delivery_success", Shape::Any),
    ("ending_before", Shape::Any),
    ("expand", Shape::Any),
    ("limit", Shape::Any),
    ("starting_after", Shape::Any),
    ("type", Shape::Any),
    ("types", Shape::Any),
];

/// `GET /v1/events/:id`
pub fn retrieve(call: &mut Call<'_, '_>) -> Outcome<Value> {
    call.params.only(&[("expand", Shape::Any)])?;
    let event: Option<Event> = call.tx.get(call.id);
    event
        .filter(|it| it.created + EVENT_KEPT_S > call.tx.now)
        .map(|it| call.tx.cell.render_event(call.tx.tables(), &it))
        .ok_or_else(|| ApiError::not_found("event", call.id, "id"))
}

/// `GET /v1/events`
pub fn list(call: &mut Call<'_, '_>) -> Outcome<Value> {
    call.params.only(LIST)?;
    let created = Created::read(&call.params)?;
    let types = types(call)?;
    let delivered = call.params.flag("delivery_success")?;
    let oldest = call.tx.now - EVENT_KEPT_S;
    let (cell, tables) = (call.tx.cell, call.tx.tables());
    let (events, has_more) = Page::read(&call.params)?.of::<Event>(call, "event", |it| {
        it.created > oldest
            && created.covers(it.created)
            && types.as_ref().is_none_or(|types| {
                types
                    .iter()
                    .any(|pattern| matches_type(pattern, &it.event_type))
            })
            && delivered
                .is_none_or(|delivered| delivered == (cell.pending_webhooks(tables, &it.id) == 0))
    })?;
    let data = events
        .into_iter()
        .map(|it| cell.render_event(tables, it))
        .collect();
    Ok(envelope("/v1/events", data, has_more))
}

fn types(call: &Call<'_, '_>) -> Outcome<Option<Vec<String>>> {
    let one = call.params.text("type", 200)?.given();
    let several = call.params.texts("types")?;
    match (one, several) {
        (Some(_), Some(_)) => Err(ApiError::invalid(
            "You can only pass one of these parameters: type, types.",
        )
        .param("type")),
        (Some(one), None) => Ok(Some(vec![one])),
        (None, several) => Ok(several),
    }
}
