//! Following the log: catch up, then follow, with a checkpoint that moves in the follower's own transaction.

use std::future::Future;
use std::time::Duration;

use sqlx::PgConnection;
use sqlx::postgres::PgPool;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use crate::read::{Recorded, read_from};
use crate::{BoxError, StoreError};

/// What a subscription does with events.
pub trait Handler: Send + 'static {
    /// Handles a page of events, in order, inside a transaction that also moves the checkpoint: what is done through
    /// `tx` happens once per event. An error rolls back, and the same events come again.
    fn handle<'a>(
        &'a mut self,
        tx: &'a mut PgConnection,
        events: &'a [Recorded],
    ) -> impl Future<Output = Result<(), BoxError>> + Send + 'a;
}

/// What to follow, and under which name.
#[derive(Debug, Clone)]
pub struct SubscribeOptions {
    /// A pool of the writer's role.
    pub pool: PgPool,
    /// The checkpoint's name; instances that share it share the work.
    pub name: String,
    /// Where the log ends: [`Log::watch`](crate::Log::watch).
    pub head: watch::Receiver<i64>,
    /// How many events are handled in one transaction at most.
    pub page: i64,
}

impl SubscribeOptions {
    /// Pages of 500.
    pub fn new(pool: PgPool, name: impl Into<String>, head: watch::Receiver<i64>) -> Self {
        Self {
            pool,
            name: name.into(),
            head,
            page: 500,
        }
    }
}

/// A running subscription. Dropping it lets it stop by itself after the page at hand.
#[derive(Debug)]
pub struct Subscription {
    stop: watch::Sender<bool>,
    reached: watch::Receiver<i64>,
    task: JoinHandle<()>,
}

/// Starts to follow the log from the checkpoint of that name, or from the start.
///
/// Failures are logged, and tried again with back-off until the subscription is stopped; nothing is skipped.
pub fn subscribe(options: SubscribeOptions, handler: impl Handler) -> Subscription {
    let (stop, stopping) = watch::channel(false);
    let (reach, reached) = watch::channel(0);
    let follower = Follower {
        options,
        handler,
        stopping,
        reach,
    };
    Subscription {
        stop,
        reached,
        task: tokio::spawn(follower.run()),
    }
}

impl Subscription {
    /// The checkpoint as this instance knows it.
    pub fn reached(&self) -> watch::Receiver<i64> {
        self.reached.clone()
    }

    /// Waits until the checkpoint has reached a position, at most so long, and says where it stands.
    pub async fn wait_for(&self, position: i64, at_most: Duration) -> i64 {
        let mut reached = self.reached.clone();
        // Either way the answer is where it stands now.
        let _ = timeout(at_most, reached.wait_for(|at| *at >= position)).await;
        *reached.borrow()
    }

    /// Finishes the page at hand and stops.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        if let Err(error) = self.task.await {
            tracing::error!(%error, "a subscription's handler panicked");
        }
    }
}

/// Waits until the checkpoint of that name has reached a position, at most so long, and says where it stands (0 when
/// there is none), whichever process moves it.
///
/// # Errors
/// When the database cannot be read.
pub async fn wait_for(
    pool: &PgPool,
    name: &str,
    position: i64,
    at_most: Duration,
) -> Result<i64, StoreError> {
    const POLL: Duration = Duration::from_millis(5);
    let until = Instant::now() + at_most;
    loop {
        let at = sqlx::query_scalar("SELECT position FROM checkpoints WHERE name = $1")
            .bind(name)
            .fetch_optional(pool)
            .await?
            .unwrap_or(0);
        if at >= position || Instant::now() + POLL > until {
            return Ok(at);
        }
        sleep(POLL).await;
    }
}

/// Waits this long after a first failure, twice as long after each further one.
const BACKOFF_MIN: Duration = Duration::from_millis(50);
/// But no longer than this.
const BACKOFF_MAX: Duration = Duration::from_secs(5);
/// How often to look when nobody tells where the log ends any more.
const POLL_CLOSED: Duration = Duration::from_millis(250);

struct Follower<H> {
    options: SubscribeOptions,
    handler: H,
    stopping: watch::Receiver<bool>,
    reach: watch::Sender<i64>,
}

impl<H: Handler> Follower<H> {
    async fn run(mut self) {
        let mut backoff = BACKOFF_MIN;
        while !is_stopping(&self.stopping) {
            match self.step().await {
                Ok(Step { reached, moved }) => {
                    backoff = BACKOFF_MIN;
                    self.reach.send_replace(reached);
                    if !moved {
                        self.wait_for_more(reached).await;
                    }
                }
                Err(error) => {
                    let name = &self.options.name;
                    tracing::warn!(subscription = %name, %error, retry_in_ms = backoff.as_millis(), "a page failed");
                    pause(&mut self.stopping, backoff).await;
                    backoff = (backoff * 2).min(BACKOFF_MAX);
                }
            }
        }
    }

    /// Handles one page, and moves the checkpoint with it.
    async fn step(&mut self) -> Result<Step, BoxError> {
        let name = &self.options.name;
        let mut tx = self.options.pool.begin().await?;
        let checkpoint = lock_checkpoint(&mut tx, name).await?;
        let events = read_from(&mut tx, checkpoint, self.options.page).await?;
        let Some(last) = events.last() else {
            tx.commit().await?;
            return Ok(Step {
                reached: checkpoint,
                moved: false,
            });
        };
        self.handler.handle(&mut tx, &events).await?;
        sqlx::query(
            "UPDATE checkpoints SET position = $2, updated_at = clock_timestamp() WHERE name = $1",
        )
        .bind(name)
        .bind(last.position)
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(Step {
            reached: last.position,
            moved: true,
        })
    }

    async fn wait_for_more(&mut self, reached: i64) {
        let closed = tokio::select! {
            seen = self.options.head.wait_for(|head| *head > reached) => seen.is_err(),
            _ = self.stopping.changed() => false,
        };
        if closed {
            pause(&mut self.stopping, POLL_CLOSED).await;
        }
    }
}

struct Step {
    reached: i64,
    moved: bool,
}

/// Locks the checkpoint until the transaction ends; another instance waits here and then sees where this one came.
async fn lock_checkpoint(tx: &mut PgConnection, name: &str) -> Result<i64, sqlx::Error> {
    const LOCK: &str = "SELECT position FROM checkpoints WHERE name = $1 FOR UPDATE";
    if let Some(at) = sqlx::query_scalar(LOCK)
        .bind(name)
        .fetch_optional(&mut *tx)
        .await?
    {
        return Ok(at);
    }
    sqlx::query("INSERT INTO checkpoints (name, position) VALUES ($1, 0) ON CONFLICT DO NOTHING")
        .bind(name)
        .execute(&mut *tx)
        .await?;
    sqlx::query_scalar(LOCK).bind(name).fetch_one(tx).await
}

/// Told to stop, or forgotten by whoever could tell.
fn is_stopping(stopping: &watch::Receiver<bool>) -> bool {
    *stopping.borrow() || stopping.has_changed().is_err()
}

/// Sleeps, unless told to stop. A handle that was dropped tells so too.
async fn pause(stopping: &mut watch::Receiver<bool>, duration: Duration) {
    let _ = timeout(duration, stopping.wait_for(|stop| *stop)).await;
}
