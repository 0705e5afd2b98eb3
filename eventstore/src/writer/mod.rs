//! Group commit: one task per process turns the queue into one statement per batch.

mod heads;
mod plan;
mod session;
mod sql;
mod statement;

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep};

use self::heads::StreamHeads;
pub(crate) use self::plan::Job;
use self::plan::{Plan, in_order};
use self::session::{Outcome, Refusal, Session};
use self::sql::Shape;
use self::statement::{Evidence, Said, Statement, claims};
use crate::StoreError;
use crate::append::{AppendError, ExistingClaim};
use crate::fold::Tables;
use crate::log::LogOptions;
use crate::read::{Head, sequence};

/// No statement is made larger than this by a further append, in bytes.
const BATCH_BYTES_MAX: usize = 8 << 20;
/// How many events of others are read to bring the memory up to date; with more it is cleared instead.
const CATCH_UP_MAX: i64 = 20_000;
/// A batch that is lost more often than this, and not stored, is not sent again.
const LOSSES_MAX: usize = 5;
/// Waits this long after a first failure to connect, twice as long after each further one.
const BACKOFF_MIN: Duration = Duration::from_millis(10);
/// But no longer than this.
const BACKOFF_MAX: Duration = Duration::from_secs(1);

/// The one that writes: its connection and what it knows of the log.
pub(crate) struct Writer {
    options: LogOptions,
    tables: Tables,
    announce: Arc<watch::Sender<i64>>,
    session: Option<Session>,
    /// A statement's connection was lost; the next connection increments the epoch before anything else.
    unsettled: bool,
    /// Since when there is no connection.
    down_since: Option<Instant>,
    head: Head,
    heads: StreamHeads,
    ledgers: HashMap<String, i64>,
    texts: HashMap<Shape, Arc<str>>,
    /// How many statements in a row were lost and are not stored.
    losses: usize,
    /// How many jobs were taken from the queue.
    tickets: u64,
}

/// What comes of a batch.
enum Next {
    /// All of it is answered; these come with the next.
    Done(VecDeque<Job>),
    /// Judge these again: more is known now.
    Again(VecDeque<Job>),
}

impl Writer {
    /// Connects, and checks that the read-model tables are there.
    pub(crate) async fn open(
        options: LogOptions,
        tables: Tables,
        announce: Arc<watch::Sender<i64>>,
    ) -> Result<Self, StoreError> {
        let mut session = Session::connect(&options.database_url, options.answer_timeout).await?;
        session.check_tables(tables.as_slice()).await?;
        let head = session.head(false).await?;
        announce.send_replace(head.position);
        Ok(Self {
            heads: StreamHeads::new(options.stream_cache),
            options,
            tables,
            announce,
            session: Some(session),
            unsettled: false,
            down_since: None,
            head,
            ledgers: HashMap::new(),
            texts: HashMap::new(),
            losses: 0,
            tickets: 0,
        })
    }

    /// Serves the queue until it is closed and empty.
    pub(crate) async fn run(
        mut self,
        mut queue: mpsc::Receiver<Job>,
        mut closing: watch::Receiver<bool>,
    ) {
        let mut open = true;
        let mut waiting = VecDeque::new();
        loop {
            if waiting.is_empty() {
                tokio::select! {
                    biased;
                    _ = closing.wait_for(|closing| *closing), if open => {
                        queue.close();
                        open = false;
                    }
                    job = queue.recv() => match job {
                        Some(job) => self.take(&mut waiting, job),
                        None => return,
                    },
                }
            }
            // Those just answered may have more: without this they would queue behind a statement that is half empty.
            tokio::task::yield_now().await;
            self.fill(&mut waiting, &mut queue);
            waiting = self.write(waiting).await;
        }
    }

    /// Takes what is in the queue, without lingering, up to the size of a batch.
    fn fill(&mut self, waiting: &mut VecDeque<Job>, queue: &mut mpsc::Receiver<Job>) {
        let mut events: usize = waiting
            .iter()
            .map(|job| job.append.event_count().max(1))
            .sum();
        let mut bytes: usize = waiting.iter().map(|job| job.bytes).sum();
        while events < self.options.max_batch && bytes < BATCH_BYTES_MAX {
            let Ok(job) = queue.try_recv() else {
                return;
            };
            events += job.append.event_count().max(1);
            bytes += job.bytes;
            self.take(waiting, job);
        }
    }

    fn take(&mut self, waiting: &mut VecDeque<Job>, mut job: Job) {
        self.tickets += 1;
        job.ticket = self.tickets;
        waiting.push_back(job);
    }

    /// Writes the jobs and answers them, but for those that depend on others of them.
    async fn write(&mut self, mut jobs: VecDeque<Job>) -> VecDeque<Job> {
        loop {
            if jobs.is_empty() {
                self.unlock().await;
                return jobs;
            }
            if let Err(error) = self.prepare(&jobs).await {
                tracing::error!(%error, appends = jobs.len(), "the log cannot reach the database");
                answer_all(jobs, &AppendError::Unavailable);
                return VecDeque::new();
            }
            let plan = Plan::make(jobs, &self.heads);
            if plan.accepted.is_empty() {
                self.unlock().await;
                return plan.deferred;
            }
            jobs = match self.attempt(plan).await {
                Next::Done(deferred) => return deferred,
                Next::Again(jobs) => jobs,
            };
        }
    }

    /// Sees to it that there is a connection and that the ledgers of the jobs are known.
    async fn prepare(&mut self, jobs: &VecDeque<Job>) -> Result<(), StoreError> {
        const TRIES: usize = 3;
        let mut tries = 0;
        loop {
            self.connected().await?;
            let Err(error) = self.know_ledgers(jobs).await else {
                return Ok(());
            };
            self.session = None;
            tries += 1;
            if tries == TRIES {
                return Err(error);
            }
        }
    }

    /// The connection, made again where it was lost; an error when there has been none for longer than `patience`.
    async fn connected(&mut self) -> Result<&mut Session, StoreError> {
        let mut backoff = BACKOFF_MIN;
        while self.session.is_none() {
            match self.reconnect().await {
                Ok(()) => self.down_since = None,
                Err(error) => {
                    let since = *self.down_since.get_or_insert_with(Instant::now);
                    if since.elapsed() >= self.options.patience {
                        return Err(error);
                    }
                    tracing::warn!(%error, "the log has no connection yet");
                    sleep(backoff).await;
                    backoff = (backoff * 2).min(BACKOFF_MAX);
                }
            }
        }
        Ok(self.session.as_mut().expect("it was just made"))
    }

    /// Connects, and settles what an earlier connection may have left in flight. What was known is forgotten: after a
    /// failover it may be more than there is.
    async fn reconnect(&mut self) -> Result<(), StoreError> {
        let limit = self.options.answer_timeout;
        let mut session = Session::connect(&self.options.database_url, limit).await?;
        self.head = session.head(self.unsettled).await?;
        self.forget();
        self.announce(self.head.position);
        self.unsettled = false;
        self.session = Some(session);
        Ok(())
    }

    /// Takes note of a head that others moved, and of the streams and ledgers they moved it with.
    async fn catch_up(&mut self, session: &mut Session, head: Head) -> Result<(), StoreError> {
        if head.position - self.head.position > CATCH_UP_MAX {
            self.forget();
        } else if head.position > self.head.position {
            let moved = session.moved(self.head.position, head.position).await?;
            for (aggregate_type, aggregate_id, version, ledger, ledger_position) in moved {
                self.heads
                    .raise(&aggregate_type, &aggregate_id, sequence(version)?);
                if let Some(at) = self.ledgers.get_mut(&ledger) {
                    *at = ledger_position.max(*at);
                }
            }
        }
        self.head = head;
        self.announce(head.position);
        Ok(())
    }

    fn forget(&mut self) {
        self.heads.clear();
        self.ledgers.clear();
    }

    fn announce(&self, position: i64) {
        announce(&self.announce, position);
    }

    async fn know_ledgers(&mut self, jobs: &VecDeque<Job>) -> Result<(), StoreError> {
        let names = jobs.iter().map(|job| &*job.append.ledger);
        let unknown: HashSet<&str> = names
            .filter(|name| !self.ledgers.contains_key(*name))
            .collect();
        if unknown.is_empty() {
            return Ok(());
        }
        let unknown: Vec<&str> = unknown.into_iter().collect();
        let session = self.session.as_mut().expect("prepare has connected");
        let mut found = session.ledgers(&unknown).await?;
        for name in unknown {
            let at = found.remove(name).unwrap_or(0);
            self.ledgers.insert(name.to_owned(), at);
        }
        Ok(())
    }

    /// Sends the plan's statement and sees what comes of it.
    async fn attempt(&mut self, plan: Plan) -> Next {
        let session = self.session.as_mut().expect("prepare has connected");
        let recorded_at = session.now().max(self.head.recorded_at);
        let built = Statement::build(&plan, &self.head, &self.ledgers, recorded_at, &self.tables);
        let mut statement = match built {
            Ok(statement) => statement,
            Err(error) => {
                let refusal = Refusal {
                    code: "22003".into(),
                    about: error.to_string(),
                };
                return self.refused(plan, refusal).await;
            }
        };
        let arguments = std::mem::take(&mut statement.arguments);
        let text = self.texts.entry(statement.shape);
        let text = text.or_insert_with(|| statement.shape.sql(&self.tables).into());
        match session.execute(text, arguments).await {
            Outcome::Said(said) if said.written => self.committed(plan, statement),
            Outcome::Said(said) if said.is_obstructed() => self.obstructed(plan, &said).await,
            Outcome::Said(_) => self.outrun(plan).await,
            Outcome::Refused(refusal) => self.refused(plan, refusal).await,
            Outcome::Lost(error) => {
                tracing::warn!(%error, "the connection was lost at commit");
                self.lost(plan, statement).await
            }
        }
    }

    /// The batch is durable: remember where everything ends, and tell the callers.
    fn committed(&mut self, plan: Plan, statement: Statement) -> Next {
        crate::crash_point!("append-committed");
        self.head.position += statement.event_count;
        self.head.batch += 1;
        self.head.recorded_at = statement.recorded_at;
        self.losses = 0;
        self.ledgers.extend(statement.ledgers);
        for job in &plan.accepted {
            for stream in &job.append.streams {
                let added = u64::try_from(stream.events.len()).expect("a length fits");
                let version = stream.expected_version + added;
                self.heads
                    .put(stream.aggregate_type, &stream.aggregate_id, version);
            }
        }
        self.announce(self.head.position);
        for (job, appended) in plan.accepted.into_iter().zip(statement.answers) {
            job.answer(Ok(appended));
        }
        Next::Done(plan.deferred)
    }

    /// Another process has moved the head (or the clock jumped): take the row's lock, and go on from there.
    async fn outrun(&mut self, plan: Plan) -> Next {
        let mut session = self.session.take().expect("prepare has connected");
        if session.locked {
            tracing::error!(head = ?self.head, now = %session.now(), "the locked head was refused: check the clock");
            answer_all(plan.accepted, &AppendError::Unavailable);
            return Next::Done(plan.deferred);
        }
        let caught_up = match session.lock().await {
            Ok(head) => self.catch_up(&mut session, head).await,
            Err(error) => Err(error),
        };
        match caught_up {
            Ok(()) => self.session = Some(session),
            Err(error) => tracing::warn!(%error, "the connection was lost before a commit"),
        }
        Next::Again(plan.into_jobs())
    }

    async fn unlock(&mut self) {
        if let Some(session) = &mut self.session
            && let Err(error) = session.unlock().await
        {
            tracing::warn!(%error, "the connection was lost before a commit");
            self.session = None;
        }
    }

    /// The database refused the statement: nothing is written. Each goes alone, so that only the culprit hears of it.
    async fn refused(&mut self, plan: Plan, refusal: Refusal) -> Next {
        self.unlock().await;
        if refusal.is_unique_violation() {
            // Somebody wrote past the head, or a cache is wrong; either way what is known is worth nothing.
            self.forget();
        }
        let Plan {
            accepted, deferred, ..
        } = plan;
        if accepted.len() > 1 {
            for job in accepted {
                Box::pin(self.write(VecDeque::from([job]))).await;
            }
            return Next::Done(deferred);
        }
        for mut job in accepted {
            if refusal.is_unique_violation() && !job.retried {
                job.retried = true;
                return Next::Again(in_order(std::iter::once(job).chain(deferred)));
            }
            let Refusal { code, about } = &refusal;
            tracing::warn!(%code, %about, command_id = %job.append.command_id, "an append was refused");
            job.answer(Err(if refusal.may_pass() {
                AppendError::Unavailable
            } else {
                AppendError::Invalid(format!("the database refuses it, {code} {about}"))
            }));
        }
        Next::Done(deferred)
    }

    /// Nobody knows whether the batch is stored. Settle it, then look, and only then say.
    async fn lost(&mut self, plan: Plan, statement: Statement) -> Next {
        self.session = None;
        self.unsettled = true;
        match self.settle(&statement.evidence).await {
            Ok(true) => {
                for (job, appended) in plan.accepted.into_iter().zip(statement.answers) {
                    job.answer(Ok(appended));
                }
                Next::Done(plan.deferred)
            }
            Ok(false) if self.losses < LOSSES_MAX => {
                self.losses += 1;
                Next::Again(plan.into_jobs())
            }
            Ok(false) => {
                self.losses = 0;
                answer_all(plan.accepted, &AppendError::Unavailable);
                Next::Done(plan.deferred)
            }
            Err(error) => {
                tracing::error!(%error, appends = plan.accepted.len(), "whether appends are stored is not known");
                answer_all(plan.accepted, &AppendError::Unknown);
                Next::Done(plan.deferred)
            }
        }
    }

    async fn settle(&mut self, evidence: &Evidence) -> Result<bool, StoreError> {
        const TRIES: usize = 5;
        let mut tries = 0;
        loop {
            match self.connected().await?.find(evidence).await {
                Ok(found) => return Ok(found),
                Err(error) => {
                    self.session = None;
                    tries += 1;
                    if tries == TRIES {
                        return Err(error);
                    }
                }
            }
        }
    }

    /// Some of the batch contradict what is stored; nothing is written. Those are answered, the others go again.
    async fn obstructed(&mut self, plan: Plan, said: &Said) -> Next {
        match self.look_up(&plan, said).await {
            Ok(mut refusals) => {
                let mut jobs = Vec::with_capacity(plan.accepted.len());
                for (index, job) in plan.accepted.into_iter().enumerate() {
                    match refusals.remove(&index) {
                        Some(error) => job.answer(Err(error)),
                        None => jobs.push(job),
                    }
                }
                Next::Again(in_order(jobs.into_iter().chain(plan.deferred)))
            }
            Err(error) => {
                tracing::warn!(%error, "the connection was lost before a commit");
                self.session = None;
                Next::Again(plan.into_jobs())
            }
        }
    }

    /// What stands in the way of whom, by index into the accepted.
    async fn look_up(
        &mut self,
        plan: &Plan,
        said: &Said,
    ) -> Result<HashMap<usize, AppendError>, StoreError> {
        let session = self.session.as_mut().expect("prepare has connected");
        let mut refusals = HashMap::new();
        let suspects: Vec<_> = said
            .streams
            .iter()
            .map(|index| plan.unchecked[*index])
            .collect();
        if !suspects.is_empty() {
            let streams = suspects
                .iter()
                .map(|(job, stream)| &plan.accepted[*job].append.streams[*stream]);
            let streams: Vec<_> = streams.collect();
            let keys: Vec<_> = streams
                .iter()
                .map(|it| (it.aggregate_type, &*it.aggregate_id))
                .collect();
            let versions = session.versions(&keys).await?;
            for (((job, _), stream), actual) in suspects.iter().zip(streams).zip(versions) {
                self.heads
                    .put(stream.aggregate_type, &stream.aggregate_id, actual);
                if actual != stream.expected_version {
                    let conflict = AppendError::Conflict {
                        aggregate_type: stream.aggregate_type,
                        aggregate_id: stream.aggregate_id.clone(),
                        expected: stream.expected_version,
                        actual,
                    };
                    refusals.insert(*job, conflict);
                }
            }
        }
        look_up_claims(session, plan, said, &mut refusals).await?;
        Ok(refusals)
    }
}

async fn look_up_claims(
    session: &mut Session,
    plan: &Plan,
    said: &Said,
    refusals: &mut HashMap<usize, AppendError>,
) -> Result<(), StoreError> {
    let made: Vec<_> = claims(plan).collect();
    let taken = said.taken.iter().map(|index| made[*index]);
    let taken =
        taken.map(|(job, append, claim)| (job, [&*append.ledger, &*claim.scope, &*claim.key]));
    let unanswerable = said
        .unanswerable
        .iter()
        .map(|index| plan.completions[*index]);
    let unanswerable = unanswerable.filter_map(|job| {
        let append = &plan.accepted[job].append;
        let completion = append.completes.as_ref()?;
        Some((job, [&*append.ledger, &*completion.scope, &*completion.key]))
    });
    let (taken, unanswerable): (Vec<_>, Vec<_>) = (taken.collect(), unanswerable.collect());
    if taken.is_empty() && unanswerable.is_empty() {
        return Ok(());
    }
    let keys: Vec<_> = taken
        .iter()
        .chain(&unanswerable)
        .map(|(_, key)| *key)
        .collect();
    let found = session.claims(&keys).await?;
    let find = |key: [&str; 3]| -> Option<Box<ExistingClaim>> {
        let is_it = |claim: &&ExistingClaim| [&*claim.ledger, &*claim.scope, &*claim.key] == key;
        found.iter().find(is_it).cloned().map(Box::new)
    };
    for (job, key) in taken {
        if let Some(claim) = find(key) {
            refusals.entry(job).or_insert(AppendError::Claimed(claim));
        }
    }
    for (job, key) in unanswerable {
        match find(key) {
            None => {
                drop(refusals.insert(job, AppendError::Invalid("no such claim to answer".into())))
            }
            Some(claim) if claim.answer.is_some() => {
                refusals.entry(job).or_insert(AppendError::Claimed(claim));
            }
            Some(_) => {}
        }
    }
    Ok(())
}

fn answer_all(jobs: impl IntoIterator<Item = Job>, error: &AppendError) {
    for job in jobs {
        job.answer(Err(error.clone()));
    }
}

/// Tells the watchers of a position, unless they know of a later one.
pub(crate) fn announce(watchers: &watch::Sender<i64>, position: i64) {
    watchers.send_if_modified(|known| {
        let news = position > *known;
        *known = position.max(*known);
        news
    });
}
