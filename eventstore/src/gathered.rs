//! Reads of streams, gathered: what is asked for while a query is under way goes into the next one, as appends do.

use std::time::Duration;

use futures::future::join_all;
use sqlx::postgres::PgRow;
use sqlx::{Executor, PgConnection, Row};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::StoreError;
use crate::plans::BY_INDEX;
use crate::read::{COLUMNS, Reader, Recorded, recorded};

/// How many streams one query reads at most.
const STREAMS_MAX: usize = 256;
/// How many reads may wait before whoever asks has to.
const QUEUE: usize = 1024;
/// After how long without an answer a connection counts as lost.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// How long everybody waits for a new connection before each asks the pool for one.
const CONNECT_WITHIN: Duration = Duration::from_millis(250);

/// A cheap handle on the one task of this process that reads streams together, on a connection of its own: a read costs a part of
/// a round trip, where one through the pool costs two (it rolls back what it lends). Ends with its last handle.
#[derive(Debug, Clone)]
pub struct StreamReads {
    queue: mpsc::Sender<Wanted>,
}

/// The events of a stream after a sequence, and who waits for them.
#[derive(Debug)]
struct Wanted {
    aggregate_type: &'static str,
    aggregate_id: String,
    after: u64,
    answer: oneshot::Sender<Result<Vec<Recorded>, StoreError>>,
}

impl StreamReads {
    /// Begins to read through this reader's pool, from which the connection is taken at the first need.
    pub fn begin(reader: Reader) -> Self {
        let (queue, wanted) = mpsc::channel(QUEUE);
        tokio::spawn(serve(reader, wanted));
        Self { queue }
    }

    /// As [`Reader::read_stream`]: the events as they are in the log when this is asked, or later.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn read_stream(
        &self,
        aggregate_type: &'static str,
        aggregate_id: &str,
        after_sequence: u64,
    ) -> Result<Vec<Recorded>, StoreError> {
        let (answer, answered) = oneshot::channel();
        let wanted = Wanted {
            aggregate_type,
            aggregate_id: aggregate_id.to_owned(),
            after: after_sequence,
            answer,
        };
        let ended = || StoreError::Invalid("nobody reads streams any more".to_owned());
        self.queue.send(wanted).await.map_err(|_| ended())?;
        answered.await.map_err(|_| ended())?
    }
}

async fn serve(reader: Reader, mut queue: mpsc::Receiver<Wanted>) {
    let mut connection = None;
    let mut batch = Vec::with_capacity(STREAMS_MAX);
    while queue.recv_many(&mut batch, STREAMS_MAX).await > 0 {
        let read = timeout(
            ANSWER_WITHIN,
            read_together(&reader, &mut connection, &batch),
        )
        .await;
        match read {
            Ok(Ok(read)) => {
                for (wanted, events) in batch.drain(..).zip(read) {
                    // Who has gone needs no answer.
                    let _ = wanted.answer.send(Ok(events));
                }
            }
            failed => {
                tracing::debug!(?failed, "streams are read one by one");
                connection = None;
                tokio::spawn(read_apart(reader.clone(), std::mem::take(&mut batch)));
            }
        }
    }
}

/// Reads all of them in one query.
async fn read_together(
    reader: &Reader,
    connection: &mut Option<PgConnection>,
    batch: &[Wanted],
) -> Result<Vec<Vec<Recorded>>, StoreError> {
    let mut conn = match connection.take() {
        Some(conn) => conn,
        None => timeout(CONNECT_WITHIN, connected(reader))
            .await
            .map_err(|_| StoreError::Database(sqlx::Error::PoolTimedOut))??,
    };
    let mut read: Vec<Vec<Recorded>> = batch.iter().map(|_| Vec::new()).collect();
    for row in rows(&mut conn, batch).await? {
        let number: i64 = row.try_get("i")?;
        let stream = usize::try_from(number - 1)
            .ok()
            .and_then(|at| read.get_mut(at));
        let stream = stream.ok_or_else(|| StoreError::Corrupt(format!("no stream {number}")))?;
        stream.push(recorded(&row)?);
    }
    // One that was left in the middle of an answer is not used again.
    *connection = Some(conn);
    Ok(read)
}

/// Not lent by the pool, which would want it back each time.
async fn connected(reader: &Reader) -> Result<PgConnection, StoreError> {
    let mut conn = reader.pool().acquire().await?.detach();
    conn.execute(BY_INDEX).await?;
    Ok(conn)
}

async fn rows(conn: &mut PgConnection, batch: &[Wanted]) -> Result<Vec<PgRow>, StoreError> {
    let types: Vec<&str> = batch.iter().map(|it| it.aggregate_type).collect();
    let ids: Vec<&str> = batch.iter().map(|it| it.aggregate_id.as_str()).collect();
    let after = batch.iter().map(|it| i64::try_from(it.after));
    let after = after
        .collect::<Result<Vec<i64>, _>>()
        .map_err(|error| StoreError::Invalid(error.to_string()))?;
    let sql = format!(
        "SELECT e.*, s.i FROM UNNEST($1::text[], $2::text[], $3::bigint[]) WITH ORDINALITY AS s(type, id, after, i), \
         LATERAL (SELECT {COLUMNS} FROM events WHERE aggregate_type = s.type AND aggregate_id = s.id \
         AND sequence > s.after ORDER BY sequence OFFSET 0) AS e ORDER BY s.i, e.sequence"
    );
    let rows = sqlx::query(&sql).bind(types).bind(ids).bind(after);
    Ok(rows.fetch_all(conn).await?)
}

/// Reads each by itself through the pool, so that one that cannot be read keeps nobody else from its answer.
async fn read_apart(reader: Reader, batch: Vec<Wanted>) {
    let reader = &reader;
    join_all(batch.into_iter().map(|it| async move {
        let read = reader.read_stream(it.aggregate_type, &it.aggregate_id, it.after);
        let _ = it.answer.send(read.await);
    }))
    .await;
}
