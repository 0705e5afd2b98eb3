//! Which appends of the queue go into the next statement.

use std::collections::{HashMap, HashSet, VecDeque};

use tokio::sync::oneshot;

use super::heads::StreamHeads;
use crate::append::{Append, AppendError, Appended};

/// An append in the queue, and who waits for it.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) append: Append,
    /// Its place in the queue.
    pub(crate) ticket: u64,
    /// Roughly how large it is on the wire.
    pub(crate) bytes: usize,
    pub(crate) answer: oneshot::Sender<Result<Appended, AppendError>>,
    /// It met a unique violation once and was given a second chance with fresh knowledge.
    pub(crate) retried: bool,
}

impl Job {
    pub(crate) fn new(append: Append) -> (Self, oneshot::Receiver<Result<Appended, AppendError>>) {
        let (answer, wait) = oneshot::channel();
        let sizes = append.events().map(|(_, stream, event)| {
            200 + stream.aggregate_id.len() + event.payload.get().len() + event.metadata.get().len()
        });
        let bytes = 200 + sizes.sum::<usize>();
        (
            Self {
                append,
                ticket: 0,
                bytes,
                answer,
                retried: false,
            },
            wait,
        )
    }

    /// Tells the caller. One who has gone away does not mind.
    pub(super) fn answer(self, answer: Result<Appended, AppendError>) {
        let _ = self.answer.send(answer);
    }
}

/// The next statement's appends, and what the statement itself has to check.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// These go into it, in this order.
    pub(super) accepted: Vec<Job>,
    /// These contradict one of the accepted; what becomes of them is decided when those are committed.
    pub(super) deferred: VecDeque<Job>,
    /// Streams whose version is not known: index into `accepted`, index of the stream.
    pub(super) unchecked: Vec<(usize, usize)>,
    /// Claims answered in the statement that makes them: index of the maker, index of the answerer.
    pub(super) answered_at_once: HashMap<usize, usize>,
    /// Those of `accepted` that answer an earlier claim.
    pub(super) completions: Vec<usize>,
}

enum Verdict {
    Accept,
    Defer,
    Refuse(AppendError),
}

impl Plan {
    /// Judges the jobs in order. Those that conflict with what is committed are answered here, and nobody else is
    /// troubled by them.
    pub(super) fn make(jobs: VecDeque<Job>, heads: &StreamHeads) -> Self {
        let mut batch = Batch::default();
        let verdicts: Vec<Verdict> = jobs
            .iter()
            .map(|job| batch.judge(&job.append, heads))
            .collect();
        let mut plan = Self {
            unchecked: std::mem::take(&mut batch.unchecked),
            answered_at_once: std::mem::take(&mut batch.answered_at_once),
            completions: std::mem::take(&mut batch.completions),
            ..Self::default()
        };
        for (job, verdict) in jobs.into_iter().zip(verdicts) {
            match verdict {
                Verdict::Accept => plan.accepted.push(job),
                Verdict::Defer => plan.deferred.push_back(job),
                Verdict::Refuse(error) => job.answer(Err(error)),
            }
        }
        plan
    }

    /// All jobs again, in the order of the queue.
    pub(super) fn into_jobs(self) -> VecDeque<Job> {
        in_order(self.accepted.into_iter().chain(self.deferred))
    }
}

/// First come, first judged: what one caller queues after another is never held against the other.
pub(super) fn in_order(jobs: impl Iterator<Item = Job>) -> VecDeque<Job> {
    let mut jobs: Vec<Job> = jobs.collect();
    jobs.sort_unstable_by_key(|job| job.ticket);
    jobs.into()
}

/// The state of streams and claims as it will be when what was accepted so far is committed.
#[derive(Default)]
struct Batch<'a> {
    streams: HashMap<Stream<'a>, u64>,
    claims: HashMap<Key<'a>, InBatch>,
    /// What deferred jobs touch: whoever comes after them waits with them, so that each stream is served in order.
    deferred: (HashSet<Stream<'a>>, HashSet<Key<'a>>),
    accepted: usize,
    unchecked: Vec<(usize, usize)>,
    answered_at_once: HashMap<usize, usize>,
    completions: Vec<usize>,
}

/// Type and id.
type Stream<'a> = (&'a str, &'a str);
/// Ledger, scope and key.
type Key<'a> = [&'a str; 3];

/// What the batch does to a claim.
#[derive(Clone, Copy, PartialEq, Eq)]
enum InBatch {
    MadeBy(usize),
    Answered,
}

fn streams_of(append: &Append) -> impl Iterator<Item = Stream<'_>> {
    let streams = append.streams.iter();
    streams.map(|stream| (stream.aggregate_type, &*stream.aggregate_id))
}

/// The claim it makes and the claim it answers.
fn claims_of(append: &Append) -> (Option<Key<'_>>, Option<Key<'_>>) {
    let made = append.claim.as_ref();
    let answered = append.completes.as_ref();
    (
        made.map(|it| [&*append.ledger, &*it.scope, &*it.key]),
        answered.map(|it| [&*append.ledger, &*it.scope, &*it.key]),
    )
}

impl<'a> Batch<'a> {
    fn judge(&mut self, append: &'a Append, heads: &StreamHeads) -> Verdict {
        let verdict = if self.waits_for_deferred(append) {
            Verdict::Defer
        } else {
            self.judge_streams(append, heads)
        };
        if matches!(verdict, Verdict::Defer) {
            let (made, answered) = claims_of(append);
            self.deferred.0.extend(streams_of(append));
            self.deferred.1.extend(made.into_iter().chain(answered));
        }
        verdict
    }

    fn waits_for_deferred(&self, append: &'a Append) -> bool {
        let (streams, claims) = &self.deferred;
        let (made, answered) = claims_of(append);
        streams_of(append).any(|stream| streams.contains(&stream))
            || made
                .into_iter()
                .chain(answered)
                .any(|key| claims.contains(&key))
    }

    fn judge_streams(&mut self, append: &'a Append, heads: &StreamHeads) -> Verdict {
        let mut unchecked = Vec::new();
        for (index, stream) in append.streams.iter().enumerate() {
            let expected = stream.expected_version;
            let key = (stream.aggregate_type, &*stream.aggregate_id);
            if let Some(version) = self.streams.get(&key) {
                if *version != expected {
                    return Verdict::Defer;
                }
                continue;
            }
            match heads.get(stream.aggregate_type, &stream.aggregate_id) {
                Some(version) if version == expected => {}
                Some(version) if version > expected => {
                    return Verdict::Refuse(AppendError::Conflict {
                        aggregate_type: stream.aggregate_type,
                        aggregate_id: stream.aggregate_id.clone(),
                        expected,
                        actual: version,
                    });
                }
                // Not known, or the caller has seen more than is known here: the statement finds out.
                _ => unchecked.push((self.accepted, index)),
            }
        }
        if !self.accept_claims(append) {
            return Verdict::Defer;
        }
        for (key, stream) in streams_of(append).zip(&append.streams) {
            let added = u64::try_from(stream.events.len()).expect("a length fits");
            self.streams.insert(key, stream.expected_version + added);
        }
        self.unchecked.extend(unchecked);
        self.accepted += 1;
        Verdict::Accept
    }

    /// Takes note of the claim it makes and the claim it answers, or says no and takes note of nothing.
    fn accept_claims(&mut self, append: &'a Append) -> bool {
        let (made, answered) = claims_of(append);
        if made.is_some_and(|key| self.claims.contains_key(&key)) {
            return false;
        }
        let maker = match answered {
            Some(key) if made == Some(key) => Some(self.accepted),
            Some(key) => match self.claims.get(&key) {
                Some(InBatch::MadeBy(maker)) => Some(*maker),
                Some(InBatch::Answered) => return false,
                None => None,
            },
            None => None,
        };
        if let Some(key) = made {
            self.claims.insert(key, InBatch::MadeBy(self.accepted));
        }
        if let Some(key) = answered {
            self.claims.insert(key, InBatch::Answered);
            match maker {
                Some(maker) => drop(self.answered_at_once.insert(maker, self.accepted)),
                None => self.completions.push(self.accepted),
            }
        }
        true
    }
}
