//! Stock cqrs-es with stock postgres-es: its own schema, its own pool, one view per aggregate, and its replay.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use aggregates::order::Order;
use aggregates::payment::Payment;
use anyhow::{Result, anyhow, ensure};
use async_trait::async_trait;
use counterfoil::ids::Ids;
use cqrs_es::persist::{GenericQuery, QueryReplay};
use cqrs_es::{Aggregate, EventEnvelope, Query, View};
use postgres_es::{PostgresCqrs, PostgresEventRepository, PostgresViewRepository, postgres_cqrs};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sqlx::{Executor, PgPool};

use crate::measure::Side;
use crate::work::{Life, Step, metadata};

/// The events table of postgres-es 0.5.0 (`db/init.sql`), under a name.
pub fn events_table(name: &str) -> String {
    format!(
        "CREATE TABLE {name} (
            aggregate_type text                         NOT NULL,
            aggregate_id   text                         NOT NULL,
            sequence       bigint CHECK (sequence >= 0) NOT NULL,
            event_type     text                         NOT NULL,
            event_version  text                         NOT NULL,
            payload        json                         NOT NULL,
            metadata       json                         NOT NULL,
            PRIMARY KEY (aggregate_type, aggregate_id, sequence)
        );"
    )
}

/// The table of a view of postgres-es 0.5.0, under a name.
fn view_table(name: &str) -> String {
    format!(
        "CREATE TABLE {name} (
            view_id text                        NOT NULL,
            version bigint CHECK (version >= 0) NOT NULL,
            payload json                        NOT NULL,
            PRIMARY KEY (view_id)
        );"
    )
}

/// Both frameworks.
pub struct Stock {
    orders: PostgresCqrs<Order>,
    payments: PostgresCqrs<Payment>,
    ids: Ids,
    failures: Arc<AtomicU64>,
}

impl Stock {
    /// Makes the tables in an empty database.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn open(database_url: &str) -> Result<Arc<Self>> {
        let pool = postgres_es::default_postgress_pool(database_url).await;
        pool.execute(&*events_table("events")).await?;
        pool.execute(&*view_table("order_view")).await?;
        pool.execute(&*view_table("payment_view")).await?;
        let failures = Arc::new(AtomicU64::new(0));
        Ok(Arc::new(Self {
            orders: framework("order_view", &pool, &failures),
            payments: framework("payment_view", &pool, &failures),
            ids: Ids::system(),
            failures,
        }))
    }
}

fn framework<A>(view: &str, pool: &PgPool, failures: &Arc<AtomicU64>) -> PostgresCqrs<A>
where
    A: Aggregate<Services = ()> + Serialize + DeserializeOwned + std::fmt::Debug + 'static,
{
    let views = PostgresViewRepository::<Mirror<A>, A>::new(view, pool.clone());
    let mut query = GenericQuery::<_, Mirror<A>, A>::new(Arc::new(views));
    let failures = Arc::clone(failures);
    query.use_error_handler(Box::new(move |_| {
        failures.fetch_add(1, Ordering::Relaxed);
    }));
    postgres_cqrs(pool.clone(), vec![Box::new(query)], ())
}

impl Side for Stock {
    async fn execute(&self, life: &Life, step: Step) -> Result<()> {
        let (id, metadata) = (life.aggregate_id(&step), metadata(&self.ids));
        match step {
            Step::Order(it) => self.orders.execute_with_metadata(&id, it, metadata).await?,
            Step::Payment(it) => {
                self.payments
                    .execute_with_metadata(&id, it, metadata)
                    .await?;
            }
        }
        ensure!(
            self.failures.load(Ordering::Relaxed) == 0,
            "a view was not written"
        );
        Ok(())
    }
}

/// The view: the aggregate as it stands.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
struct Mirror<A>(A);

impl<A> View<A> for Mirror<A>
where
    A: Aggregate + Serialize + DeserializeOwned + std::fmt::Debug,
{
    fn update(&mut self, event: &EventEnvelope<A>) {
        self.0.apply(event.payload.clone());
    }
}

/// Replays the table `stock_events` into a query that only counts; the time it took.
///
/// # Errors
/// When not all of `expected` events were counted: stock's replay does not say so itself.
pub async fn replay(pool: &PgPool, expected: u64) -> Result<Duration> {
    let start = Instant::now();
    let counted = replay_all::<Order>(pool).await? + replay_all::<Payment>(pool).await?;
    let elapsed = start.elapsed();
    ensure!(counted == expected, "{counted} of {expected} events");
    Ok(elapsed)
}

/// Replays the first payments' events of the table `stock_events` into one `GenericQuery`, which keeps a view of each; how many
/// there were, and the time it took. Not all of them: it would take as many seconds as ours takes milliseconds.
///
/// # Errors
/// When a view was not written.
pub async fn rebuild(pool: &PgPool, events: i64) -> Result<(i64, Duration)> {
    pool.execute("DROP TABLE IF EXISTS stock_view, stock_some")
        .await?;
    pool.execute(&*events_table("stock_some")).await?;
    pool.execute(&*view_table("stock_view")).await?;
    let copied = sqlx::query(
        "INSERT INTO stock_some SELECT * FROM stock_events WHERE aggregate_type = $1 ORDER BY aggregate_id, sequence LIMIT $2",
    );
    let copied = copied
        .bind(Payment::TYPE)
        .bind(events)
        .execute(pool)
        .await?;
    let start = Instant::now();
    let views = PostgresViewRepository::<Mirror<Payment>, Payment>::new("stock_view", pool.clone());
    let mut query = GenericQuery::<_, Mirror<Payment>, Payment>::new(Arc::new(views));
    let failures = Arc::new(AtomicU64::new(0));
    let failed = Arc::clone(&failures);
    query.use_error_handler(Box::new(move |_| {
        failed.fetch_add(1, Ordering::Relaxed);
    }));
    let repository =
        PostgresEventRepository::new(pool.clone()).with_tables("stock_some", "stock_snapshots");
    let replay = QueryReplay::<_, _, Payment>::new(repository, query);
    replay
        .replay_all()
        .await
        .map_err(|error| anyhow!("stock replay: {error}"))?;
    let elapsed = start.elapsed();
    let views: i64 = sqlx::query_scalar("SELECT count(*) FROM stock_view")
        .fetch_one(pool)
        .await?;
    ensure!(
        views > 0 && failures.load(Ordering::Relaxed) == 0,
        "a view was not written"
    );
    Ok((i64::try_from(copied.rows_affected())?, elapsed))
}

async fn replay_all<A: Aggregate>(pool: &PgPool) -> Result<u64> {
    let repository =
        PostgresEventRepository::new(pool.clone()).with_tables("stock_events", "stock_snapshots");
    let count = Arc::new(AtomicU64::new(0));
    let replay = QueryReplay::<_, _, A>::new(repository, Count(Arc::clone(&count)));
    let replayed = replay.replay_all().await;
    replayed.map_err(|error| anyhow!("stock replay: {error}"))?;
    Ok(count.load(Ordering::Relaxed))
}

struct Count(Arc<AtomicU64>);

#[async_trait]
impl<A: Aggregate> Query<A> for Count {
    async fn dispatch(&self, _: &str, events: &[EventEnvelope<A>]) {
        let count = u64::try_from(events.len()).unwrap_or(u64::MAX);
        self.0.fetch_add(count, Ordering::Relaxed);
    }
}
