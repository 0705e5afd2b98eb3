//! The log's handle.

use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::PgListener;
use tokio::sync::{Mutex, mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::append::{Append, AppendError, Appended};
use crate::fold::Tables;
use crate::rows::Table;
use crate::writer::{Job, Writer, announce};
use crate::{StoreError, validate};

/// How to open the log.
#[derive(Debug, Clone)]
pub struct LogOptions {
    /// The database. The login user must be a member of `counterfoil_writer`.
    pub database_url: String,
    /// The read-model tables that appends may fold rows into.
    pub tables: Vec<Table>,
    /// How many events one statement takes at most (a larger append goes alone).
    pub max_batch: usize,
    /// How many appends may wait before callers have to.
    pub queue: usize,
    /// How many streams' versions are remembered, at most twice as many.
    pub stream_cache: usize,
    /// After how long without a connection appends are answered instead of kept waiting.
    pub patience: Duration,
    /// After how long without an answer a connection counts as lost.
    pub answer_timeout: Duration,
}

impl LogOptions {
    /// Batches of 1000, a queue of 4096, 100,000 streams, 10 s of patience, 15 s for an answer, no tables.
    pub fn new(database_url: impl Into<String>) -> Self {
        Self {
            database_url: database_url.into(),
            tables: Vec::new(),
            max_batch: 1000,
            queue: 4096,
            stream_cache: 100_000,
            patience: Duration::from_secs(10),
            answer_timeout: Duration::from_secs(15),
        }
    }

    /// With these read-model tables.
    #[must_use]
    pub fn tables(mut self, tables: Vec<Table>) -> Self {
        self.tables = tables;
        self
    }
}

/// The append side of the log: a cheap handle on the one writer task of this process.
#[derive(Debug, Clone)]
pub struct Log {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    queue: mpsc::Sender<Job>,
    tables: Tables,
    closing: watch::Sender<bool>,
    head: watch::Receiver<i64>,
    writer: Mutex<Option<JoinHandle<()>>>,
    listener: JoinHandle<()>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        // The writer drains its queue and ends by itself; the listener has nobody to tell.
        self.listener.abort();
    }
}

impl Log {
    /// Connects, and starts the writer and a listener for what other processes append.
    ///
    /// # Errors
    /// When the database cannot be reached or does not have the tables, or their declaration is wrong.
    pub async fn open(mut options: LogOptions) -> Result<Self, StoreError> {
        let tables = Tables::new(std::mem::take(&mut options.tables))?;
        let (queue, jobs) = mpsc::channel(options.queue);
        let (closing, closed) = watch::channel(false);
        let (announce, head) = watch::channel(0);
        let announce = Arc::new(announce);
        let database_url = options.database_url.clone();
        let writer = Writer::open(options, tables.clone(), Arc::clone(&announce)).await?;
        let listener = tokio::spawn(listen(database_url, announce));
        let writer = Mutex::new(Some(tokio::spawn(writer.run(jobs, closed))));
        let inner = Inner {
            queue,
            tables,
            closing,
            head,
            writer,
            listener,
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// Appends, durably and as a whole.
    ///
    /// Once the returned future has been polled, dropping it may or may not stop the append, but never halves it.
    ///
    /// # Errors
    /// See [`AppendError`]: each says what is known of its durability.
    pub async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        validate::check(&append, &self.inner.tables)?;
        let (job, answer) = Job::new(append);
        self.inner
            .queue
            .send(job)
            .await
            .map_err(|_| AppendError::Closed)?;
        // The writer answers every job it takes; should it panic, nobody knows.
        answer.await.unwrap_or(Err(AppendError::Unknown))
    }

    /// Whether appends are still taken: not after [`close`](Self::close), nor where the writer has ended.
    pub fn is_open(&self) -> bool {
        !self.inner.queue.is_closed()
    }

    /// The last position known to be committed, here or elsewhere. What it shows can be read.
    pub fn watch(&self) -> watch::Receiver<i64> {
        self.inner.head.clone()
    }

    /// The tables it folds rows into, for a rebuild to fold the same way.
    pub fn tables(&self) -> &Tables {
        &self.inner.tables
    }

    /// Takes no more appends, writes those in the queue, and ends. Appends from now on are answered
    /// [`AppendError::Closed`].
    pub async fn close(&self) {
        self.inner.closing.send_replace(true);
        let mut writer = self.inner.writer.lock().await;
        if let Some(task) = writer.as_mut() {
            if let Err(error) = task.await {
                tracing::error!(%error, "the log's writer panicked");
            }
            *writer = None;
        }
        self.inner.listener.abort();
    }
}

/// Waits this long before it connects again.
const LISTENER_BACKOFF: Duration = Duration::from_millis(250);

/// Announces what any process appends. What was notified while there was no connection is caught up by reading the
/// head after the channel is open again.
async fn listen(database_url: String, head: Arc<watch::Sender<i64>>) {
    loop {
        if let Err(error) = listen_once(&database_url, &head).await {
            tracing::warn!(%error, "the log's listener lost its connection");
        }
        sleep(LISTENER_BACKOFF).await;
    }
}

async fn listen_once(database_url: &str, head: &watch::Sender<i64>) -> Result<(), sqlx::Error> {
    let mut listener = PgListener::connect(database_url).await?;
    listener.listen("counterfoil_log").await?;
    loop {
        let position = sqlx::query_scalar("SELECT position FROM log_head")
            .fetch_one(&mut listener)
            .await?;
        announce(head, position);
        while let Some(notification) = listener.try_recv().await? {
            if let Ok(position) = notification.payload().parse() {
                announce(head, position);
            }
        }
    }
}
