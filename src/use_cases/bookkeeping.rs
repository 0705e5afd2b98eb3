//! The books of a merchant: read at any point of their history, and closed month by month.

use aggregates::books::{BooksCommand, BooksError as NotClosed, Month};
use aggregates::ids::OrderId;
use projections::books::{AsOf, BooksError};

use super::{App, AppError, KeptOrder, PaymentView, Person};
use crate::store::{BooksReader, Caller, Commit, Context, Decided, Trouble};

/// Why a month is not closed.
#[derive(Debug, thiserror::Error)]
pub enum CloseError {
    /// The rules say no; nothing was recorded.
    #[error(transparent)]
    Refused(#[from] NotClosed),
    #[error(transparent)]
    App(#[from] AppError),
}

/// Why something is not shown as it was.
#[derive(Debug, thiserror::Error)]
pub enum PastError {
    /// There is no history of then.
    #[error(transparent)]
    NoHistory(#[from] BooksError),
    #[error(transparent)]
    App(#[from] AppError),
}

impl App {
    /// An order of the caller's as it stood.
    ///
    /// # Errors
    /// [`PastError`]; [`AppError::NotFound`] also for one that was not placed yet, and for another merchant's.
    pub async fn order_as_of(
        &self,
        caller: &Caller,
        id: OrderId,
        as_of: AsOf,
    ) -> Result<KeptOrder, PastError> {
        let merchant = &caller.merchant;
        let position = self.books().position_as_of(&merchant.id, as_of).await?;
        let past = self.inner.store.order_at(&merchant.id, id, position).await;
        let order = past.map_err(AppError::from)?.ok_or(AppError::NotFound {
            what: "order",
            id: id.to_string(),
        })?;
        Ok(self.kept_order(merchant, id, order).await?)
    }

    /// A payment of the caller's as it stood, by our id or by Stripe's.
    ///
    /// # Errors
    /// [`PastError`]; [`AppError::NotFound`] also for one that was not begun yet, and for another merchant's.
    pub async fn payment_as_of(
        &self,
        caller: &Caller,
        name: &str,
        as_of: AsOf,
    ) -> Result<PaymentView, PastError> {
        let merchant = &caller.merchant.id;
        let position = self.books().position_as_of(merchant, as_of).await?;
        let id = self.known_payment(caller, name).await?.id;
        let past = self.inner.store.payment_at(merchant, id, position).await;
        let payment = past.map_err(AppError::from)?.ok_or(AppError::NotFound {
            what: "payment",
            id: name.to_owned(),
        })?;
        Ok(PaymentView {
            id,
            payment,
            // Of a deadline in the past nothing is to be told.
            outcome_due_at: None,
        })
    }

    /// What reads the books.
    pub fn books(&self) -> &BooksReader {
        &self.inner.store.ledger
    }

    /// A person closes a month, and all before it: whatever is recorded from then on is posted in a later one. Closing again
    /// what is closed changes nothing.
    ///
    /// # Errors
    /// [`CloseError`].
    pub async fn close_period(&self, by: Person, through: Month) -> Result<(), CloseError> {
        let app = self.clone();
        let closing = self.command(async move { Ok(app.close(by, through).await) });
        match closing.await {
            Ok(closed) => closed,
            Err(error) => Err(error.into()),
        }
    }

    async fn close(&self, by: Person, through: Month) -> Result<(), CloseError> {
        let store = &self.inner.store;
        let context = Context {
            reason: Some(by.because),
            ..self.context_of(by.actor)
        };
        loop {
            let before = store.books(&by.merchant).await.map_err(AppError::from)?;
            let command = BooksCommand::Close {
                merchant: by.merchant.clone(),
                through,
                now: store.now().await.map_err(AppError::from)?,
            };
            let events = before.state.decide(command)?;
            let commit = Commit {
                books: Some(Decided {
                    id: (),
                    before,
                    events,
                }),
                ..Commit::default()
            };
            match store.commit(&by.merchant, &context, commit).await {
                Ok(_) => return Ok(()),
                Err(Trouble::Conflict) => {}
                Err(trouble) => return Err(AppError::from(trouble).into()),
            }
        }
    }
}
