//! `/v1/disputes`: read, answered, given in to. They are made by the bank of a card that disputes, or by `POST /_sim/disputes`.

use serde_json::Value;

use super::call::{Call, read_metadata};
use super::lists::{Created, Page, envelope};
use crate::errors::{ApiError, Outcome};
use crate::flow::{self, show_dispute};
use crate::objects::{Dispute, EVIDENCE_FILES, EVIDENCE_TEXTS};
use crate::params::{Field, Known, Params, Shape};

const UPDATE: Known = &[
    ("evidence", Shape::Open),
    ("expand", Shape::Any),
    ("metadata", Shape::Open),
    ("submit", Shape::Any),
];
const LIST: Known = &[
    ("charge", Shape::Any),
    ("created", Shape::Any),
    ("ending_before", Shape::Any),
    ("expand", Shape::Any),
    ("limit", Shape::Any),
    ("payment_intent", Shape::Any),
    ("starting_after", Shape::Any),
];
/// The longest text of evidence, in characters.
const EVIDENCE_CHARS_MAX: usize = 20_000;

fn the(call: &Call<'_, '_>) -> Outcome<Dispute> {
    call.tx
        .get(call.id)
        .ok_or_else(|| ApiError::not_found("dispute", call.id, "dispute"))
}

/// `GET /v1/disputes/:id`
pub fn retrieve(call: &mut Call<'_, '_>) -> Outcome<Value> {
    call.params.only(&[("expand", Shape::Any)])?;
    Ok(show_dispute(call.tx, &the(call)?))
}

/// `POST /v1/disputes/:id`: evidence goes to the bank at once, unless `submit=false` only gathers it.
pub fn update(call: &mut Call<'_, '_>) -> Outcome<Value> {
    call.params.only(UPDATE)?;
    let mut dispute = the(call)?;
    read_metadata(&call.params, &mut dispute.metadata)?;
    let evidence = call.params.hash("evidence")?.given();
    if let Some(evidence) = &evidence {
        flow::check_answerable(&dispute)?;
        read_evidence(evidence, &mut dispute)?;
    }
    let submit = call.params.flag("submit")?.unwrap_or(evidence.is_some());
    if submit {
        dispute = flow::submit_evidence(call.tx, dispute)?;
    } else {
        call.tx.put(dispute.clone());
        let shown = show_dispute(call.tx, &dispute);
        call.tx.emit("charge.dispute.updated", &shown);
    }
    Ok(show_dispute(call.tx, &dispute))
}

fn read_evidence(evidence: &Params<'_>, dispute: &mut Dispute) -> Outcome<()> {
    for (name, _) in evidence.entries() {
        let full = evidence.name(name);
        if !EVIDENCE_TEXTS.contains(&name) && !EVIDENCE_FILES.contains(&name) {
            return Err(
                ApiError::invalid(format!("Received unknown parameter: {full}"))
                    .code("parameter_unknown")
                    .param(full),
            );
        }
        match evidence.text(name, EVIDENCE_CHARS_MAX)? {
            // Nothing can be uploaded to the simulator.
            Field::Given(file) if EVIDENCE_FILES.contains(&name) => {
                return Err(ApiError::no_such("file upload", &file, &full));
            }
            Field::Given(text) => drop(dispute.evidence.insert(name.to_owned(), text)),
            Field::Unset => drop(dispute.evidence.remove(name)),
            Field::Absent => {}
        }
    }
    Ok(())
}

/// `POST /v1/disputes/:id/close`
pub fn close(call: &mut Call<'_, '_>) -> Outcome<Value> {
    call.params.only(&[("expand", Shape::Any)])?;
    let dispute = flow::close_dispute(call.tx, the(call)?)?;
    Ok(show_dispute(call.tx, &dispute))
}

/// `GET /v1/disputes`
pub fn list(call: &mut Call<'_, '_>) -> Outcome<Value> {
    call.params.only(LIST)?;
    let created = Created::read(&call.params)?;
    let charge = call.params.text("charge", 500)?.given();
    let intent = call.params.text("payment_intent", 500)?.given();
    let (disputes, has_more) = Page::read(&call.params)?.of::<Dispute>(call, "dispute", |it| {
        created.covers(it.created)
            && charge.as_ref().is_none_or(|charge| *charge == it.charge)
            && intent
                .as_ref()
                .is_none_or(|intent| *intent == it.payment_intent)
    })?;
    let shown = disputes.into_iter().map(|it| show_dispute(call.tx, it));
    let data = shown.collect();
    Ok(envelope("/v1/disputes", data, has_more))
}
