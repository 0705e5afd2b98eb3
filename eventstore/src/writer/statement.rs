//! What a batch's statement is given, what it says, and what would prove that it was committed.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use sqlx::Row;
use sqlx::postgres::{PgArguments, PgRow};
use uuid::Uuid;

use super::plan::{Job, Plan};
use super::sql::Shape;
use crate::StoreError;
use crate::append::{Append, Appended};
use crate::fold::{RowFold, Tables, add};
use crate::leaf::{Leaf, leaf_hash};
use crate::read::Head;

/// A statement ready to be sent.
pub(super) struct Statement {
    pub(super) shape: Shape,
    pub(super) arguments: PgArguments,
    /// What to tell each of the accepted when it is committed.
    pub(super) answers: Vec<Appended>,
    /// What to look for when nobody knows whether it is.
    pub(super) evidence: Evidence,
    /// Where the ledgers end when it is committed.
    pub(super) ledgers: HashMap<String, i64>,
    pub(super) event_count: i64,
    pub(super) recorded_at: DateTime<Utc>,
}

/// A batch commits as a whole, so one thing that only this batch can have written tells of all of it.
#[derive(Debug)]
pub(super) enum Evidence {
    Event {
        position: i64,
        event_id: Uuid,
    },
    Claim {
        key: [String; 3],
        command_id: Uuid,
        created_at: DateTime<Utc>,
    },
    Answer {
        key: [String; 3],
        answer: String,
        completed_at: DateTime<Utc>,
    },
}

/// What the database said of a statement that it carried out.
#[derive(Debug)]
pub(super) struct Said {
    /// The head is ours and everything is written (once the transaction commits, where there is one).
    pub(super) written: bool,
    /// Indexes into the plan's `unchecked` of streams with another version than expected.
    pub(super) streams: Vec<usize>,
    /// Indexes into the accepted appends with a claim of claims that are taken.
    pub(super) taken: Vec<usize>,
    /// Indexes into the plan's `completions` of claims that are not there or are answered.
    pub(super) unanswerable: Vec<usize>,
    /// The database's clock.
    pub(super) now: DateTime<Utc>,
}

impl Said {
    pub(super) fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let indexes = |name: &str| -> Result<Vec<usize>, sqlx::Error> {
            let ordinals: Option<Vec<i64>> = row.try_get(name)?;
            let ordinals = ordinals.unwrap_or_default().into_iter();
            Ok(ordinals
                .filter_map(|it| usize::try_from(it - 1).ok())
                .collect())
        };
        Ok(Self {
            written: row.try_get::<Option<i64>, _>("written")?.is_some(),
            streams: indexes("streams")?,
            taken: indexes("taken")?,
            unanswerable: indexes("unanswerable")?,
            now: row.try_get("now")?,
        })
    }

    pub(super) fn is_obstructed(&self) -> bool {
        !(self.streams.is_empty() && self.taken.is_empty() && self.unanswerable.is_empty())
    }
}

impl Statement {
    /// Assigns positions after `head`, and binds everything.
    pub(super) fn build(
        plan: &Plan,
        head: &Head,
        ledgers: &HashMap<String, i64>,
        recorded_at: DateTime<Utc>,
        tables: &Tables,
    ) -> Result<Self, StoreError> {
        let stamps = Stamps::assign(&plan.accepted, head, ledgers, recorded_at);
        let rows = fold_rows(&plan.accepted, &stamps.answers, tables)?;
        let mut arguments = PgArguments::default();
        let shape = Shape {
            events: stamps.event_count > 0,
            unchecked: !plan.unchecked.is_empty(),
            claims: plan.accepted.iter().any(|job| job.append.claim.is_some()),
            completions: !plan.completions.is_empty(),
            tables: rows.touched(),
        };
        add(&mut arguments, head.position)?;
        add(&mut arguments, head.batch)?;
        add(&mut arguments, head.epoch)?;
        add(&mut arguments, recorded_at)?;
        add(&mut arguments, stamps.event_count)?;
        if shape.unchecked {
            bind_unchecked(&mut arguments, plan)?;
        }
        if shape.events {
            bind_events(&mut arguments, &plan.accepted, &stamps.answers)?;
            let (names, positions): (Vec<&str>, Vec<i64>) = stamps
                .ledgers
                .iter()
                .map(|(name, at)| (&**name, *at))
                .unzip();
            add(&mut arguments, names)?;
            add(&mut arguments, positions)?;
        }
        if shape.claims {
            bind_claims(&mut arguments, plan)?;
        }
        if shape.completions {
            bind_completions(&mut arguments, plan)?;
        }
        rows.bind(&mut arguments)?;
        Ok(Self {
            shape,
            arguments,
            evidence: evidence(plan, &stamps.answers),
            answers: stamps.answers,
            ledgers: stamps.ledgers,
            event_count: stamps.event_count,
            recorded_at,
        })
    }
}

struct Stamps {
    answers: Vec<Appended>,
    ledgers: HashMap<String, i64>,
    event_count: i64,
}

impl Stamps {
    fn assign(
        jobs: &[Job],
        head: &Head,
        known: &HashMap<String, i64>,
        recorded_at: DateTime<Utc>,
    ) -> Self {
        let mut position = head.position;
        let mut ledgers: HashMap<String, i64> = HashMap::new();
        let mut answers = Vec::with_capacity(jobs.len());
        for Job { append, .. } in jobs {
            let count = i64::try_from(append.event_count()).expect("a length fits");
            let known = || known.get(&append.ledger).copied().unwrap_or(0);
            let mut ledger_position = ledgers.get(&append.ledger).copied().unwrap_or_else(known);
            let (first_position, first_ledger_position) = (position + 1, ledger_position + 1);
            position += count;
            ledger_position += count;
            if count > 0 {
                ledgers.insert(append.ledger.clone(), ledger_position);
            }
            answers.push(Appended {
                position,
                first_position,
                ledger_position,
                first_ledger_position,
                recorded_at,
            });
        }
        Self {
            answers,
            ledgers,
            event_count: position - head.position,
        }
    }
}

fn fold_rows<'a>(
    jobs: &'a [Job],
    answers: &[Appended],
    tables: &'a Tables,
) -> Result<RowFold<'a>, StoreError> {
    let mut fold = RowFold::new(tables);
    for (job, at) in jobs.iter().zip(answers) {
        for row in &job.append.rows {
            let index = i64::try_from(row.event).expect("an index fits");
            fold.push(row, at.first_position + index, at.recorded_at)
                .map_err(|error| StoreError::Invalid(error.to_string()))?;
        }
    }
    Ok(fold)
}

fn bind_unchecked(arguments: &mut PgArguments, plan: &Plan) -> Result<(), StoreError> {
    let streams = || {
        let unchecked = plan.unchecked.iter();
        unchecked.map(|(job, stream)| &plan.accepted[*job].append.streams[*stream])
    };
    add(
        arguments,
        streams().map(|it| it.aggregate_type).collect::<Vec<_>>(),
    )?;
    add(
        arguments,
        streams().map(|it| &*it.aggregate_id).collect::<Vec<_>>(),
    )?;
    add(
        arguments,
        streams()
            .map(|it| signed(it.expected_version))
            .collect::<Vec<_>>(),
    )
}

#[derive(Default)]
struct EventColumns<'a> {
    aggregate_type: Vec<&'a str>,
    aggregate_id: Vec<&'a str>,
    sequence: Vec<i64>,
    event_type: Vec<&'a str>,
    event_version: Vec<&'a str>,
    payload: Vec<&'a str>,
    metadata: Vec<&'a str>,
    ledger: Vec<&'a str>,
    ledger_position: Vec<i64>,
    event_id: Vec<Uuid>,
    leaf_hash: Vec<Vec<u8>>,
}

impl<'a> EventColumns<'a> {
    fn push(&mut self, append: &'a Append, at: &Appended) {
        let mut ledger_position = at.first_ledger_position;
        for stream in &append.streams {
            let sequences = signed(stream.expected_version) + 1..;
            for (sequence, event) in sequences.zip(&stream.events) {
                let leaf = Leaf {
                    ledger: &append.ledger,
                    ledger_position,
                    aggregate_type: stream.aggregate_type,
                    aggregate_id: &stream.aggregate_id,
                    sequence,
                    event_type: &event.event_type,
                    event_version: &event.event_version,
                    event_id: event.event_id,
                    recorded_at_us: at.recorded_at.timestamp_micros(),
                    payload: event.payload.get(),
                    metadata: event.metadata.get(),
                };
                self.push_leaf(&leaf);
                ledger_position += 1;
            }
        }
    }

    fn push_leaf(&mut self, leaf: &Leaf<'a>) {
        self.aggregate_type.push(leaf.aggregate_type);
        self.aggregate_id.push(leaf.aggregate_id);
        self.sequence.push(leaf.sequence);
        self.event_type.push(leaf.event_type);
        self.event_version.push(leaf.event_version);
        self.payload.push(leaf.payload);
        self.metadata.push(leaf.metadata);
        self.ledger.push(leaf.ledger);
        self.ledger_position.push(leaf.ledger_position);
        self.event_id.push(leaf.event_id);
        self.leaf_hash.push(leaf_hash(leaf).to_vec());
    }
}

fn bind_events(
    arguments: &mut PgArguments,
    jobs: &[Job],
    answers: &[Appended],
) -> Result<(), StoreError> {
    let mut columns = EventColumns::default();
    for (job, at) in jobs.iter().zip(answers) {
        columns.push(&job.append, at);
    }
    add(arguments, columns.aggregate_type)?;
    add(arguments, columns.aggregate_id)?;
    add(arguments, columns.sequence)?;
    add(arguments, columns.event_type)?;
    add(arguments, columns.event_version)?;
    add(arguments, columns.payload)?;
    add(arguments, columns.metadata)?;
    add(arguments, columns.ledger)?;
    add(arguments, columns.ledger_position)?;
    add(arguments, columns.event_id)?;
    add(arguments, columns.leaf_hash)
}

fn bind_claims(arguments: &mut PgArguments, plan: &Plan) -> Result<(), StoreError> {
    let claims: Vec<_> = claims(plan).collect();
    let answer = |job: &usize| {
        let answerer = plan.answered_at_once.get(job)?;
        let completion = plan.accepted[*answerer].append.completes.as_ref()?;
        Some(completion.answer.get())
    };
    add(
        arguments,
        claims
            .iter()
            .map(|(_, append, _)| &*append.ledger)
            .collect::<Vec<_>>(),
    )?;
    add(
        arguments,
        claims
            .iter()
            .map(|(_, _, claim)| &*claim.scope)
            .collect::<Vec<_>>(),
    )?;
    add(
        arguments,
        claims
            .iter()
            .map(|(_, _, claim)| &*claim.key)
            .collect::<Vec<_>>(),
    )?;
    add(
        arguments,
        claims
            .iter()
            .map(|(_, _, claim)| &claim.fingerprint[..])
            .collect::<Vec<_>>(),
    )?;
    add(
        arguments,
        claims
            .iter()
            .map(|(_, append, _)| append.command_id)
            .collect::<Vec<_>>(),
    )?;
    add(
        arguments,
        claims
            .iter()
            .map(|(_, _, claim)| claim.context.get())
            .collect::<Vec<_>>(),
    )?;
    add(
        arguments,
        claims
            .iter()
            .map(|(job, _, _)| answer(job))
            .collect::<Vec<_>>(),
    )
}

/// The claims that a plan makes, in the order in which the statement numbers them.
pub(super) fn claims(plan: &Plan) -> impl Iterator<Item = (usize, &Append, &crate::Claim)> {
    plan.accepted.iter().enumerate().filter_map(|(index, job)| {
        let claim = job.append.claim.as_ref()?;
        Some((index, &job.append, claim))
    })
}

fn bind_completions(arguments: &mut PgArguments, plan: &Plan) -> Result<(), StoreError> {
    let appends = || {
        plan.completions
            .iter()
            .map(|job| &plan.accepted[*job].append)
    };
    let completions = || appends().filter_map(|append| append.completes.as_ref());
    add(
        arguments,
        appends().map(|it| &*it.ledger).collect::<Vec<_>>(),
    )?;
    add(
        arguments,
        completions().map(|it| &*it.scope).collect::<Vec<_>>(),
    )?;
    add(
        arguments,
        completions().map(|it| &*it.key).collect::<Vec<_>>(),
    )?;
    add(
        arguments,
        completions().map(|it| it.answer.get()).collect::<Vec<_>>(),
    )
}

fn evidence(plan: &Plan, answers: &[Appended]) -> Evidence {
    for (job, at) in plan.accepted.iter().zip(answers) {
        if let Some((_, _, event)) = job.append.events().next() {
            return Evidence::Event {
                position: at.first_position,
                event_id: event.event_id,
            };
        }
    }
    let recorded_at = answers[0].recorded_at;
    let key = |ledger: &str, scope: &str, key: &str| [ledger, scope, key].map(str::to_owned);
    if let Some((_, append, claim)) = claims(plan).next() {
        return Evidence::Claim {
            key: key(&append.ledger, &claim.scope, &claim.key),
            command_id: append.command_id,
            created_at: recorded_at,
        };
    }
    let append = &plan.accepted[0].append;
    let completion = append
        .completes
        .as_ref()
        .expect("an append without events or claim answers one");
    Evidence::Answer {
        key: key(&append.ledger, &completion.scope, &completion.key),
        answer: completion.answer.get().to_owned(),
        completed_at: recorded_at,
    }
}

fn signed(version: u64) -> i64 {
    i64::try_from(version).expect("versions out of range are refused before they are queued")
}
