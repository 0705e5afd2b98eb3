//! What the database can do by itself, with nothing of ours around it: PostgreSQL's own pgbench and psql, and batches
//! of a thousand commands through `UNNEST` on one connection, with the upserts that the same commands lead to.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use aggregates::order::{Order, OrderEvent};
use aggregates::payment::{Payment, PaymentEvent};
use anyhow::{Context, Result, bail, ensure};
use counterfoil::ids::Ids;
use cqrs_es::{Aggregate, DomainEvent};
use eventstore::{RowChange, RowFold, Tables};
use projections::fold::{self, Versioned};
use sqlx::{Connection, Executor, PgConnection};
use uuid::Uuid;

use crate::measure::per_second;
use crate::work::{Life, STEPS, Step, metadata};

/// How many commands one statement carries.
const BATCH: usize = 1000;

/// The programs that came with the running server.
pub struct Programs {
    directory: PathBuf,
}

impl Programs {
    /// Asks the server where its programs are.
    ///
    /// # Errors
    /// When it cannot be asked.
    pub async fn of(database_url: &str) -> Result<Self> {
        let mut connection = PgConnection::connect(database_url).await?;
        let directory: String =
            sqlx::query_scalar("SELECT setting FROM pg_config() WHERE name = 'BINDIR'")
                .fetch_one(&mut connection)
                .await?;
        Ok(Self {
            directory: directory.into(),
        })
    }

    /// Single-row inserts of an order's first event into stock's table per second; none where there is no pgbench.
    ///
    /// # Errors
    /// When pgbench fails.
    pub fn pgbench(&self, url: &str, clients: usize, length: Duration) -> Result<Option<f64>> {
        const SCRIPT: &str = "INSERT INTO events (aggregate_type, aggregate_id, sequence, event_type, event_version, \
             payload, metadata) VALUES ('order', 'shop-0/' || gen_random_uuid(), 1, 'OrderPlaced', '1.0', \
             :payload, :metadata);\n";
        // pgbench's time runs while it connects, though its rate leaves that out.
        let connecting = u64::try_from(clients / 64)?;
        let Some(program) = self.program("pgbench") else {
            return Ok(None);
        };
        let script = tempfile::NamedTempFile::new()?;
        std::fs::write(script.path(), SCRIPT)?;
        let (payload, metadata) = first_event()?;
        let mut command = Command::new(program);
        command
            .args(["--no-vacuum", "--protocol=prepared", "--jobs=2"])
            .arg(format!("--client={clients}"))
            .arg(format!("--time={}", length.as_secs() + connecting))
            .arg(format!("--define=payload={payload}"))
            .arg(format!("--define=metadata={metadata}"))
            .arg("--file")
            .arg(script.path())
            .arg(url);
        let said = succeeded("pgbench", &command.output()?)?;
        let tps = said.lines().find_map(|line| line.strip_prefix("tps = "));
        let tps = tps.and_then(|line| line.split(' ').next());
        let rate = tps.with_context(|| format!("pgbench names no rate: {said}"))?;
        Ok(Some(rate.parse()?))
    }

    /// Copies the columns that a replay reads, in the same order and format, to nowhere; the time it took.
    ///
    /// # Errors
    /// When psql fails.
    pub fn copy(&self, url: &str, to: i64) -> Result<Option<Duration>> {
        let Some(program) = self.program("psql") else {
            return Ok(None);
        };
        let copy = format!(
            "COPY (SELECT position, ledger, ledger_position, aggregate_type, aggregate_id, sequence, event_type, \
             event_version, event_id, recorded_at, payload, metadata, leaf_hash \
             FROM events WHERE position > 0 AND position <= {to} ORDER BY position) TO STDOUT (FORMAT binary)"
        );
        let start = Instant::now();
        let mut command = Command::new(program);
        command
            .args(["--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1"])
            .args(["--command", &copy, "--dbname", url])
            .stdout(Stdio::null());
        succeeded("psql", &command.output()?)?;
        Ok(Some(start.elapsed()))
    }

    fn program(&self, name: &str) -> Option<PathBuf> {
        // Debian keeps some programs of the client elsewhere.
        let candidates = [&*self.directory, Path::new("/usr/bin")];
        let candidates = candidates.map(|directory| directory.join(name));
        candidates.into_iter().find(|it| it.is_file())
    }
}

fn succeeded(program: &str, ended: &Output) -> Result<String> {
    let errors = String::from_utf8_lossy(&ended.stderr);
    ensure!(ended.status.success(), "{program}: {errors}");
    Ok(String::from_utf8_lossy(&ended.stdout).into_owned())
}

/// Payload and metadata of the event that an order begins with.
fn first_event() -> Result<(String, String)> {
    let ids = Ids::system();
    let Step::Order(command) = Life::new(&ids, 0)?.step(0) else {
        bail!("a life begins with its order");
    };
    let events = Order::default().decide(command)?;
    let metadata = serde_json::to_string(&metadata(&ids))?;
    Ok((serde_json::to_string(&events[0])?, metadata))
}

/// Batches of a thousand commands, on one connection of the owner's.
pub struct Batches {
    connection: PgConnection,
    tables: Tables,
    ids: Ids,
    /// Of the last event written.
    position: i64,
    /// Those that stand in the middle of their lives, and at which step.
    lives: Vec<(Life, Versioned<Order>, Versioned<Payment>)>,
    step: usize,
}

/// A statement's events, column by column, and the rows that follow from each of them.
#[derive(Default)]
struct Batch {
    aggregate_type: Vec<&'static str>,
    aggregate_id: Vec<String>,
    sequence: Vec<i64>,
    event_type: Vec<String>,
    event_version: Vec<String>,
    payload: Vec<String>,
    metadata: Vec<String>,
    event_id: Vec<Uuid>,
    rows: Vec<RowChange>,
}

impl Batches {
    /// On a migrated database that nobody else writes to.
    ///
    /// # Errors
    /// When it cannot be reached.
    pub async fn open(database_url: &str) -> Result<Self> {
        Ok(Self {
            connection: PgConnection::connect(database_url).await?,
            tables: Tables::new(projections::TABLES.to_vec())?,
            ids: Ids::system(),
            position: 0,
            lives: Vec::new(),
            step: STEPS,
        })
    }

    /// Commands per second while the database is at work: the time in which batches are made does not count.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn run(&mut self, length: Duration) -> Result<f64> {
        let (mut commands, mut worked) = (0, Duration::ZERO);
        while worked < length {
            let batch = self.next()?;
            let start = Instant::now();
            self.write(&batch).await?;
            worked += start.elapsed();
            commands += BATCH;
        }
        Ok(per_second(u64::try_from(commands)?, worked))
    }

    /// The next step of a thousand lives.
    fn next(&mut self) -> Result<Batch> {
        if self.step == STEPS {
            let begin = |number| {
                let life = Life::new(&self.ids, number)?;
                Ok::<_, anyhow::Error>((life, Versioned::default(), Versioned::default()))
            };
            self.lives = (0..BATCH).map(begin).collect::<Result<_>>()?;
            self.step = 0;
        }
        let mut batch = Batch::default();
        for (life, order, payment) in &mut self.lives {
            let step = life.step(self.step);
            let id = life.aggregate_id(&step);
            match step {
                Step::Order(command) => {
                    let events: Vec<OrderEvent> = order.state.decide(command)?;
                    batch.push::<Order>(&id, order.version, &events, &self.ids)?;
                    let first = batch.payload.len() - events.len();
                    batch
                        .rows
                        .extend(fold::order(life.order, order, &events, first));
                }
                Step::Payment(command) => {
                    let events: Vec<PaymentEvent> = payment.state.decide(command)?;
                    batch.push::<Payment>(&id, payment.version, &events, &self.ids)?;
                    let first = batch.payload.len() - events.len();
                    batch
                        .rows
                        .extend(fold::payment(life.payment, payment, &events, first));
                }
            }
        }
        self.step += 1;
        Ok(batch)
    }

    async fn write(&mut self, batch: &Batch) -> Result<()> {
        // The same columns and indexes as ours; what is only computed (the hash, the places in a ledger) is made up.
        const EVENTS: &str = "INSERT INTO events (aggregate_type, aggregate_id, sequence, event_type, event_version, \
             payload, metadata, ledger, position, ledger_position, event_id, recorded_at, leaf_hash) \
             SELECT e.aggregate_type, e.aggregate_id, e.sequence, e.event_type, e.event_version, e.payload::json, \
             e.metadata::json, 'shop', $1 + e.i, $1 + e.i, e.event_id, clock_timestamp(), sha256('') \
             FROM UNNEST($2::text[], $3::text[], $4::bigint[], $5::text[], $6::text[], $7::text[], $8::text[], \
             $9::uuid[]) WITH ORDINALITY AS e(aggregate_type, aggregate_id, sequence, event_type, event_version, \
             payload, metadata, event_id, i)";
        let now = chrono::Utc::now();
        let mut fold = RowFold::new(&self.tables);
        for row in &batch.rows {
            let position = self.position + 1 + i64::try_from(row.event)?;
            fold.push(row, position, now)?;
        }
        self.connection.execute("BEGIN").await?;
        sqlx::query(EVENTS)
            .bind(self.position)
            .bind(&batch.aggregate_type)
            .bind(&batch.aggregate_id)
            .bind(&batch.sequence)
            .bind(&batch.event_type)
            .bind(&batch.event_version)
            .bind(&batch.payload)
            .bind(&batch.metadata)
            .bind(&batch.event_id)
            .execute(&mut self.connection)
            .await?;
        fold.write(&mut self.connection, str::to_owned).await?;
        self.connection.execute("COMMIT").await?;
        self.position += i64::try_from(batch.payload.len())?;
        Ok(())
    }
}

impl Batch {
    fn push<A: Aggregate>(
        &mut self,
        id: &str,
        version: u64,
        events: &[A::Event],
        ids: &Ids,
    ) -> Result<()> {
        let mut sequence = i64::try_from(version)?;
        for event in events {
            sequence += 1;
            self.aggregate_type.push(A::TYPE);
            self.aggregate_id.push(id.to_owned());
            self.sequence.push(sequence);
            self.event_type.push(event.event_type());
            self.event_version.push(event.event_version());
            self.payload.push(serde_json::to_string(event)?);
            self.metadata.push(serde_json::to_string(&metadata(ids))?);
            self.event_id.push(ids.uuid());
        }
        Ok(())
    }
}
