//! The feed: a merchant's events by ledger position, as far as they go, or on as they come.

use eventstore::Recorded;
use secrecy::SecretString;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

use super::{App, AppError};
use crate::store::{Caller, KeyKind};

/// How many events a feed holds in memory at the most; whoever reads slowly makes it wait.
const PAGE: i64 = 100;
/// A feed that has nothing to say says so this often, so that both sides know that the other is there.
const QUIET: Duration = Duration::from_secs(15);

/// A feed that is being read.
pub struct Feed {
    app: App,
    caller: Arc<Caller>,
    /// Presented again before every page: a feed ends with its key.
    secret: SecretString,
    at: i64,
    until: Until,
}

/// How far a feed goes.
enum Until {
    /// As far as the ledger went when it was asked for.
    Head(i64),
    /// On, as events come.
    Ever(watch::Receiver<i64>),
}

/// What a feed brings next.
#[derive(Debug)]
pub enum Next {
    Events(Vec<Recorded>),
    /// There was nothing for a while.
    Quiet,
    /// It is at its end, its key has ended, or the service stops.
    End,
}

/// Why there is no feed from there on.
#[derive(Debug, thiserror::Error)]
pub enum FeedError {
    /// The ledger does not reach that far: its reader has seen another one, or a later one.
    #[error("the ledger ends at position {head}")]
    BeyondHead { head: i64 },
    #[error(transparent)]
    App(#[from] AppError),
}

impl App {
    /// At most `limit` events after a ledger position (0: from the start), and where the ledger ends.
    ///
    /// # Errors
    /// [`FeedError::BeyondHead`] where the ledger never reached that far.
    pub async fn events_after(
        &self,
        caller: &Caller,
        after: i64,
        limit: i64,
    ) -> Result<(Vec<Recorded>, i64), FeedError> {
        let head = self.head_from(caller, after).await?;
        let reader = self.inner.store.reader();
        let ledger = caller.merchant.id.as_str();
        let events = reader.read_ledger(ledger, after, limit).await;
        Ok((events.map_err(stored)?, head))
    }

    /// A feed of the events after a ledger position, to where the ledger ends now or, where it `follows`, for ever.
    ///
    /// # Errors
    /// [`FeedError::BeyondHead`] where the ledger never reached that far.
    pub async fn feed(
        &self,
        caller: Arc<Caller>,
        secret: SecretString,
        after: i64,
        follows: bool,
    ) -> Result<Feed, FeedError> {
        let watch = self.inner.store.log().watch();
        let head = self.head_from(&caller, after).await?;
        Ok(Feed {
            app: self.clone(),
            caller,
            secret,
            at: after,
            until: if follows {
                Until::Ever(watch)
            } else {
                Until::Head(head)
            },
        })
    }

    async fn head_from(&self, caller: &Caller, after: i64) -> Result<i64, FeedError> {
        let reader = self.inner.store.reader();
        let head = reader.ledger_head(caller.merchant.id.as_str()).await;
        let head = head.map_err(stored)?;
        if after > head {
            return Err(FeedError::BeyondHead { head });
        }
        Ok(head)
    }
}

fn stored(error: eventstore::StoreError) -> AppError {
    crate::store::Trouble::from(error).into()
}

impl Feed {
    /// What comes next. Reads nothing before it is asked.
    ///
    /// # Errors
    /// When the store cannot be read; the feed may be asked for again from the last position seen.
    pub async fn next(&mut self) -> Result<Next, AppError> {
        loop {
            if self.app.inner.stopping.is_cancelled() || !self.may_go_on().await? {
                return Ok(Next::End);
            }
            // Whatever is recorded from here on is seen by this read, or wakes the wait after it.
            if let Until::Ever(head) = &mut self.until {
                head.borrow_and_update();
            }
            let events = self.read().await?;
            if let Some(last) = events.last() {
                self.at = last.ledger_position;
                return Ok(Next::Events(events));
            }
            let Until::Ever(head) = &mut self.until else {
                return Ok(Next::End);
            };
            tokio::select! {
                changed = head.changed() => if changed.is_err() {
                    return Ok(Next::End);
                },
                () = tokio::time::sleep(QUIET) => return Ok(Next::Quiet),
                () = self.app.inner.stopping.cancelled() => return Ok(Next::End),
            }
        }
    }

    async fn read(&self) -> Result<Vec<Recorded>, AppError> {
        let limit = match self.until {
            Until::Ever(_) => PAGE,
            Until::Head(head) => PAGE.min(head.saturating_sub(self.at)),
        };
        if limit <= 0 {
            return Ok(vec![]);
        }
        let reader = self.app.inner.store.reader();
        let ledger = self.caller.merchant.id.as_str();
        let events = reader.read_ledger(ledger, self.at, limit).await;
        events.map_err(stored)
    }

    async fn may_go_on(&self) -> Result<bool, AppError> {
        let keys = &self.app.inner.store.keys;
        let now = keys.caller(KeyKind::Native, None, &self.secret).await?;
        Ok(now.is_some_and(|now| now.key_id == self.caller.key_id))
    }
}
