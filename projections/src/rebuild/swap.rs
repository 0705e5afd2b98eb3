//! Putting the shadows in the places of the live tables, at one moment.

use super::{NEAR, Rebuild, RebuildError, Refolds, Watch, certificate, shadow};
use crate::journal;
use crate::rebuild::certificate::Order;
use sqlx::Executor;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Shorter than the second after which PostgreSQL looks for deadlocks: whoever reads or appends never loses to a swap. A
/// process that is paused while it holds the locks is cut off.
const LOCK_WITHIN: &str = "begin; set local lock_timeout = '250ms'; set local statement_timeout = '3s'; \
     set local idle_in_transaction_session_timeout = '3s'";
/// Between two tries, growing.
const PAUSE: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(2);

impl<F: Refolds> Rebuild<F> {
    /// Swaps, as soon as nobody holds the tables for longer than a moment. The position at which it did.
    pub(super) async fn swap(
        &mut self,
        order: &Order,
        watch: &mut dyn Watch,
    ) -> Result<i64, RebuildError> {
        let until = Instant::now() + self.patience;
        let mut pause = PAUSE;
        loop {
            if watch.called_off() {
                return Err(RebuildError::CalledOff);
            }
            self.come_near(order, watch).await?;
            match self.try_swap(order).await {
                Ok(Some(position)) => return Ok(position),
                Ok(None) => {}
                Err(error) if passes(&error) => {}
                Err(error) => return Err(error),
            }
            self.session.execute("rollback").await?;
            if Instant::now() > until {
                return Err(RebuildError::InUse);
            }
            sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// Takes the locks, brings the shadow up to the head, and swaps: none where the head has moved too far meanwhile.
    async fn try_swap(&mut self, order: &Order) -> Result<Option<i64>, RebuildError> {
        self.session.execute(LOCK_WITHIN).await?;
        self.lock_tables().await?;
        let head: i64 = sqlx::query_scalar("select position from log_head for update")
            .fetch_one(&mut self.session)
            .await?;
        if head - self.filled_to > NEAR * 10 {
            return Ok(None);
        }
        let events = self
            .reader
            .read_from(self.filled_to, head - self.filled_to)
            .await?;
        if !events.is_empty() {
            let changes = self.fold.changes(&self.reader, &events).await;
            let changes = changes.map_err(RebuildError::Fold)?;
            shadow::write(&mut self.session, &self.tables, &changes, shadow::shadow).await?;
            // Should the rest fail, the rows are gone and the next try folds the same events again.
        }
        self.move_checkpoint(head).await?;
        shadow::take_places(&mut self.session, &self.tables).await?;
        certificate::swapped(&mut self.session, order, head).await?;
        self.session.execute("commit").await?;
        self.filled_to = head;
        Ok(Some(head))
    }

    /// The tables before the head: an append has locked its tables by the time that it asks for the head's row.
    async fn lock_tables(&mut self) -> Result<(), sqlx::Error> {
        let names: Vec<&str> = self.tables.as_slice().iter().map(|it| it.name).collect();
        if names.contains(&journal::TABLE.name) {
            // Its follower locks the checkpoint first, then the table.
            sqlx::query("select from checkpoints where name = $1 for update")
                .bind(journal::NAME)
                .execute(&mut self.session)
                .await?;
        }
        let lock = format!("lock table {} in access exclusive mode", names.join(", "));
        self.session.execute(&*lock).await?;
        Ok(())
    }

    /// The journal goes on from where its shadow stands.
    async fn move_checkpoint(&mut self, position: i64) -> Result<(), sqlx::Error> {
        let tables = self.tables.as_slice();
        if tables.iter().any(|it| it.name == journal::TABLE.name) {
            sqlx::query(
                "insert into checkpoints (name, position) values ($1, $2)
                 on conflict (name) do update set position = excluded.position, updated_at = clock_timestamp()",
            )
            .bind(journal::NAME)
            .bind(position)
            .execute(&mut self.session)
            .await?;
        }
        Ok(())
    }
}

/// Somebody held a lock for too long, or a deadlock was found: another try may succeed.
fn passes(error: &RebuildError) -> bool {
    let RebuildError::Database(sqlx::Error::Database(error)) = error else {
        return false;
    };
    // lock_not_available, deadlock_detected, query_canceled (statement_timeout).
    error
        .code()
        .is_some_and(|code| ["55P03", "40P01", "57014"].contains(&&*code))
}
