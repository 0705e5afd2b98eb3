//! What can be refused about an append without asking the database, in the caller's own task.

use crate::append::{Append, AppendError, NewEvent, StreamAppend};
use crate::fold::Tables;

/// Refuses an append that contradicts itself or the schema.
pub(crate) fn check(append: &Append, tables: &Tables) -> Result<(), AppendError> {
    inconsistency(append, tables).map_or(Ok(()), |what| Err(AppendError::Invalid(what)))
}

fn inconsistency(append: &Append, tables: &Tables) -> Option<String> {
    if append.ledger.is_empty() || append.ledger.contains(['/', '\0']) {
        return Some("a ledger is named, without a slash".into());
    }
    if append.streams.is_empty() && append.claim.is_none() && append.completes.is_none() {
        return Some("nothing to append".into());
    }
    for (index, stream) in append.streams.iter().enumerate() {
        if append.streams[..index]
            .iter()
            .any(|other| is_same(other, stream))
        {
            return Some(format!("{} is named twice", stream.aggregate_id));
        }
        if let Some(what) = stream_inconsistency(&append.ledger, stream) {
            return Some(what);
        }
    }
    let texts = append
        .claim
        .iter()
        .flat_map(|claim| [&claim.scope, &claim.key]);
    let completes = append.completes.iter().flat_map(|it| [&it.scope, &it.key]);
    if texts.chain(completes).any(|text| text.contains('\0')) {
        return Some("a claim's scope or key holds a NUL".into());
    }
    let events = append.event_count();
    append.rows.iter().find_map(|row| {
        if row.event >= events {
            return Some(format!(
                "a row of {} names an event that is not there",
                row.table
            ));
        }
        tables.check(row).err()
    })
}

fn is_same(one: &StreamAppend, other: &StreamAppend) -> bool {
    one.aggregate_type == other.aggregate_type && one.aggregate_id == other.aggregate_id
}

fn stream_inconsistency(ledger: &str, stream: &StreamAppend) -> Option<String> {
    let id = &stream.aggregate_id;
    let within = id
        .strip_prefix(ledger)
        .and_then(|rest| rest.strip_prefix('/'));
    if within.is_none_or(str::is_empty) || id.contains('\0') {
        return Some(format!("{id:?} does not belong to ledger {ledger:?}"));
    }
    if stream.aggregate_type.is_empty() || stream.aggregate_type.contains('\0') {
        return Some("an aggregate has a type".into());
    }
    if stream.events.is_empty() {
        return Some(format!("no events for {id}"));
    }
    let last = u64::try_from(stream.events.len()).ok();
    let last = last.and_then(|count| stream.expected_version.checked_add(count));
    if last.and_then(|last| i64::try_from(last).ok()).is_none() {
        return Some(format!("{id} has no version {}", stream.expected_version));
    }
    let has_nul =
        |event: &NewEvent| event.event_type.contains('\0') || event.event_version.contains('\0');
    stream
        .events
        .iter()
        .any(has_nul)
        .then(|| "an event's type holds a NUL".into())
}
