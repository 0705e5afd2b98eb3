//! Rebuilding read models beside the live ones.
//!
//! Shadow tables are filled from the log by the append's own folds ([`Refold`]), compared with the live rows at one position,
//! and, unless it is a dry run, put in their places if there is a difference. What was found is kept: the certificate.
//!
//! One session does all the writing and holds an advisory lock: one rebuild at a time for each database, and one that loses
//! its session has lost the lock and can write no more. Until the swap commits, the live rows are not touched.

mod certificate;
mod checksum;
mod compare;
mod past;
mod refold;
mod shadow;
mod swap;
mod tally;

pub use certificate::{Order, Outcome};
pub use checksum::Checksum;
pub use compare::{Compared, Difference, Side, Slice, Told, What};
pub use past::{BalanceThen, Past, TableThen, past};
pub use refold::{Change, Refold, Refolds};

use crate::books::BooksError;
use crate::{TABLES, fold, journal};
use compare::Sides;
use eventstore::{BoxError, Pages, Reader, StoreError, Table, Tables};
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection, Executor, PgConnection};
use std::str::FromStr;
use std::time::Duration;

/// A read model that can be rebuilt: a table, and the version of the fold that fills it.
#[derive(Debug, Clone, Copy)]
pub struct Projection {
    table: Table,
    version: &'static str,
}

impl Projection {
    /// Its name, which is its table's.
    pub fn name(&self) -> &'static str {
        self.table.name
    }

    /// Its table.
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// Name and version, such as `orders.v1`.
    pub fn versioned(&self) -> String {
        format!("{}.{}", self.name(), self.version)
    }
}

/// All read models, the journal last.
pub fn projections() -> Vec<Projection> {
    let folded = TABLES.iter().map(|table| Projection {
        table: *table,
        version: fold::VERSION,
    });
    let (_, version) = journal::NAME.split_once('.').unwrap_or_default();
    let journal = Projection {
        table: journal::TABLE,
        version,
    };
    folded.chain([journal]).collect()
}

/// Who looks on, and may call it off.
pub trait Watch: Send {
    /// What is done now, in a word or two.
    fn step(&mut self, _what: &'static str) {}
    /// The shadow holds the events up to `position` of `head`.
    fn filled(&mut self, _position: i64, _head: i64) {}
    /// Whether to stop before the next page.
    fn called_off(&self) -> bool {
        false
    }
}

/// Nobody looks.
impl Watch for () {}

/// Why a rebuild has no certificate, or swapped nothing. The live rows are as they were.
#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    #[error("another rebuild is running on this database")]
    Busy,
    #[error("it was called off")]
    CalledOff,
    #[error(
        "the tables were in use for so long that nothing could be put in their places: try again at a quieter time"
    )]
    InUse,
    /// Of a replay that stops at a moment which the ledger has no history of.
    #[error(transparent)]
    NoHistory(#[from] BooksError),
    #[error("an event cannot be folded: {0}")]
    Fold(BoxError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the database: {0}")]
    Database(#[from] sqlx::Error),
}

/// How many events are folded and written at once, unless told.
const PAGE: usize = 20_000;
/// So many events behind the head is near enough to take its lock.
const NEAR: i64 = 200;
/// How often a follower that does not come near tries before it takes the lock all the same.
const ROUNDS: usize = 20;

/// A rebuild that has the database's lock and has done nothing yet.
pub struct Rebuild<F> {
    /// Holds the lock, and does all the writing.
    session: PgConnection,
    options: PgConnectOptions,
    reader: Reader,
    tables: Tables,
    fold: F,
    filled_to: i64,
    page: usize,
    patience: Duration,
}

/// The same text for the same row in every session; and nothing hidden from the comparison.
const SET_UP: &str = "set role none; set timezone = 'UTC'; set datestyle = 'ISO, YMD'; set intervalstyle = 'postgres'; \
     set extra_float_digits = 1; set bytea_output = 'hex'; set row_security = off; set jit = off; set work_mem = '64MB'; \
     set maintenance_work_mem = '128MB'; set client_min_messages = error; \
     set statement_timeout = 0; set lock_timeout = 0; set idle_in_transaction_session_timeout = 0";

/// SQLSTATE of a lock that was waited for too long.
const LOCK_TIMEOUT: &str = "55P03";

/// The name of the lock.
const LOCK: &str = "counterfoil rebuild";

impl<F: Refolds> Rebuild<F> {
    /// Takes the lock, ends the records of rebuilds that were killed, and removes their shadows. `url` is the database as its
    /// owner; `reader` reads the log; `fold` makes the rows.
    ///
    /// # Errors
    /// [`RebuildError::Busy`]; when the database cannot be reached, or its user does not own the schema.
    pub async fn begin(
        url: &str,
        reader: Reader,
        projections: &[Projection],
        fold: F,
    ) -> Result<Self, RebuildError> {
        let options = PgConnectOptions::from_str(url)?
            .application_name("counterfoil-rebuild")
            // Filling and comparing take as long as they take, and that is no warning.
            .disable_statement_logging();
        let mut session = connect(&options).await?;
        lock(&mut session).await?;
        certificate::abandon(&mut session).await?;
        shadow::clear(&mut session).await?;
        let tables = projections.iter().map(|it| it.table).collect();
        Ok(Self {
            session,
            options,
            reader,
            tables: Tables::new(tables)?,
            fold,
            filled_to: 0,
            page: PAGE,
            patience: Duration::from_secs(60),
        })
    }

    /// Folds and writes so many events at once.
    #[must_use]
    pub fn page(mut self, events: usize) -> Self {
        self.page = events.max(1);
        self
    }

    /// Waits no longer than this for the tables to be free; a minute unless told.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Records that it begins, so that it can be asked for. False where one of this id has begun before: this one has nothing
    /// to do.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn record(&mut self, order: &Order) -> Result<bool, RebuildError> {
        let head = self.reader.head().await?.position;
        Ok(certificate::begin(&mut self.session, order, head).await?)
    }

    /// Fills, compares, keeps the certificate and, unless it is a dry run, swaps what differs. How it ended is recorded in
    /// any case, where the database can still be written.
    ///
    /// # Errors
    /// [`RebuildError`]; the live rows are as they were.
    pub async fn run(
        mut self,
        order: &Order,
        watch: &mut dyn Watch,
    ) -> Result<Outcome, RebuildError> {
        let ended = self.steps(order, watch).await;
        let told = match &ended {
            Ok(outcome) => certificate::end(&mut self.session, order, *outcome).await,
            Err(error) => certificate::fail(&mut self.session, order, error).await,
        };
        let cleared = shadow::clear(&mut self.session).await;
        // Whoever asks next finds the lock free. Where this cannot be said any more, the session is gone, and the lock with it;
        // what could not be cleared, the next one clears.
        let _ = self
            .session
            .execute("select pg_advisory_unlock_all()")
            .await;
        let _ = self.session.close().await;
        let outcome = ended?;
        told?;
        cleared?;
        Ok(outcome)
    }

    async fn steps(
        &mut self,
        order: &Order,
        watch: &mut dyn Watch,
    ) -> Result<Outcome, RebuildError> {
        self.step(order, watch, "filling").await?;
        shadow::make(&mut self.session, &self.tables).await?;
        let head = self.reader.head().await?.position;
        self.fill(order, head, watch).await?;
        self.step(order, watch, "following").await?;
        self.come_near(order, watch).await?;
        self.step(order, watch, "comparing").await?;
        let differences = self.compare(order, watch).await?;
        if differences == 0 {
            return Ok(Outcome::Identical);
        }
        if order.dry_run {
            return Ok(Outcome::Different { differences });
        }
        // Only what takes a place is ever searched.
        self.step(order, watch, "indexing").await?;
        shadow::index(&mut self.session, &self.tables).await?;
        self.step(order, watch, "swapping").await?;
        let position = self.swap(order, watch).await?;
        Ok(Outcome::Swapped {
            differences,
            position,
        })
    }

    async fn step(
        &mut self,
        order: &Order,
        watch: &mut dyn Watch,
        what: &'static str,
    ) -> Result<(), RebuildError> {
        watch.step(what);
        Ok(certificate::step(&mut self.session, order, what).await?)
    }

    /// Folds the events up to `to` into the shadow: a page while the database writes the one before.
    async fn fill(
        &mut self,
        order: &Order,
        to: i64,
        watch: &mut dyn Watch,
    ) -> Result<(), RebuildError> {
        let mut pages = self.reader.pages(self.filled_to, to, self.page);
        let mut folded = next_folded(&mut self.fold, &self.reader, &mut pages).await?;
        while let Some(page) = folded {
            if watch.called_off() {
                return Err(RebuildError::CalledOff);
            }
            let (written, following) = tokio::join!(
                write_page(&mut self.session, &self.tables, order, (&page, to)),
                next_folded(&mut self.fold, &self.reader, &mut pages)
            );
            written?;
            self.filled_to = page.reaches;
            watch.filled(self.filled_to, to);
            folded = following?;
        }
        Ok(())
    }

    /// Follows the head until it is near.
    async fn come_near(
        &mut self,
        order: &Order,
        watch: &mut dyn Watch,
    ) -> Result<(), RebuildError> {
        for _ in 0..ROUNDS {
            let head = self.reader.head().await?.position;
            if head - self.filled_to <= NEAR {
                break;
            }
            self.fill(order, head, watch).await?;
        }
        Ok(())
    }

    /// Compares at the head as it is now: the appends go on meanwhile. How many rows differ.
    async fn compare(&mut self, order: &Order, watch: &mut dyn Watch) -> Result<i64, RebuildError> {
        let mut live = connect(&self.options).await?;
        live.execute("begin isolation level repeatable read read only")
            .await?;
        // Read first: the rows that the append folds stand in this snapshot exactly where its head does.
        let (head, journal): (i64, i64) = sqlx::query_as(
            "select position, coalesce((select position from checkpoints where name = $1), 0) from log_head",
        )
        .bind(journal::NAME)
        .fetch_one(&mut live)
        .await?;
        self.fill(order, head, watch).await?;
        let mut found = Vec::new();
        for table in self.tables.as_slice() {
            let up_to = if table.name == journal::TABLE.name {
                journal
            } else {
                head
            };
            let sides = Sides {
                rebuilt: &shadow::shadow(table.name),
                merchant: None,
                column: "position",
                live_up_to: i64::MAX,
                rebuilt_up_to: up_to,
            };
            let session = &mut self.session;
            let compared = compare::compare(table, sides, &mut live, session).await?;
            found.push((*table, compared));
        }
        let ledgers: Vec<(String, i64)> =
            sqlx::query_as("select ledger, ledger_position from ledger_heads")
                .fetch_all(&mut live)
                .await?;
        let ledgers = ledgers.into_iter().collect();
        certificate::keep(&mut self.session, order, (head, &ledgers), &found).await?;
        live.execute("rollback").await?;
        Ok(found.iter().map(|(_, it)| it.differences()).sum())
    }
}

/// What a page of events makes of the rows, and the position of the last of them.
struct Page {
    changes: Vec<Change>,
    reaches: i64,
}

/// None at the end.
async fn next_folded(
    fold: &mut impl Refolds,
    reader: &Reader,
    pages: &mut Pages,
) -> Result<Option<Page>, RebuildError> {
    let Some(events) = pages.next().await? else {
        return Ok(None);
    };
    let changes = fold.changes(reader, &events).await;
    Ok(Some(Page {
        changes: changes.map_err(RebuildError::Fold)?,
        reaches: events.last().map_or(0, |it| it.position),
    }))
}

async fn write_page(
    session: &mut PgConnection,
    tables: &Tables,
    order: &Order,
    (page, to): (&Page, i64),
) -> Result<(), RebuildError> {
    // Whoever loses these rows in a crash of the server has lost this session, and all of the shadow.
    session
        .execute("begin; set local synchronous_commit = off")
        .await?;
    shadow::write(session, tables, &page.changes, shadow::shadow).await?;
    certificate::filled(session, order, page.reaches, to).await?;
    session.execute("commit").await?;
    Ok(())
}

/// Takes the lock. Whoever still tidies up after a rebuild that has ended is waited for: to all others it is over.
async fn lock(session: &mut PgConnection) -> Result<(), RebuildError> {
    let (locked, running): (bool, bool) = sqlx::query_as(
        "select pg_try_advisory_lock(hashtextextended($1, 0)), exists (select from rebuilds where state = 'running')",
    )
    .bind(LOCK)
    .fetch_one(&mut *session)
    .await?;
    if locked {
        return Ok(());
    }
    if running {
        return Err(RebuildError::Busy);
    }
    session.execute("set lock_timeout = '5s'").await?;
    let waited = sqlx::query("select pg_advisory_lock(hashtextextended($1, 0))")
        .bind(LOCK)
        .execute(&mut *session)
        .await;
    match waited {
        Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some(LOCK_TIMEOUT) => {
            return Err(RebuildError::Busy);
        }
        waited => waited?,
    };
    session.execute("set lock_timeout = 0").await?;
    Ok(())
}

async fn connect(options: &PgConnectOptions) -> Result<PgConnection, sqlx::Error> {
    let mut session = options.connect().await?;
    session.execute(SET_UP).await?;
    Ok(session)
}
