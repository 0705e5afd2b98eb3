//! The books of a merchant: read at any point of their history, and closed month by month.

use aggregates::books::{BooksCommand, BooksError as NotClosed, ChartAccount, Month};
use aggregates::ids::{MerchantId, OrderId};
use aggregates::ledger::Account;
use chrono::{DateTime, Utc};
use projections::books::{AsOf, BooksError};

use super::{App, AppError, KeptOrder, PaymentView, Person};
use crate::store::{BooksReader, Caller, Commit, Context, Decided, Exports, Trouble};

/// Why a month is not closed, or an account not mapped.
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
        self.change_books(by, move |merchant, now| BooksCommand::Close {
            merchant,
            through,
            now,
        })
        .await
    }

    /// A person says what the merchant's own books call an account; none takes back what was said.
    ///
    /// # Errors
    /// When it cannot be recorded.
    pub async fn map_account(
        &self,
        by: Person,
        account: Account,
        to: Option<ChartAccount>,
    ) -> Result<(), CloseError> {
        self.change_books(by, move |merchant, _| BooksCommand::Map {
            merchant,
            account,
            to: to.clone(),
        })
        .await
    }

    /// What is exported of the books and the log, and what explains figures.
    pub fn exports(&self) -> &Exports {
        &self.inner.store.exports
    }

    async fn change_books(
        &self,
        by: Person,
        command: impl Fn(MerchantId, DateTime<Utc>) -> BooksCommand + Send + Sync + 'static,
    ) -> Result<(), CloseError> {
        let app = self.clone();
        let change = self.command(async move { Ok(app.decide_books(by, command).await) });
        match change.await {
            Ok(changed) => changed,
            Err(error) => Err(error.into()),
        }
    }

    async fn decide_books(
        &self,
        by: Person,
        command: impl Fn(MerchantId, DateTime<Utc>) -> BooksCommand,
    ) -> Result<(), CloseError> {
        let store = &self.inner.store;
        let context = Context {
            reason: Some(by.because).filter(|it| !it.is_empty()),
            ..self.context_of(by.actor)
        };
        loop {
            let before = store.books(&by.merchant).await.map_err(AppError::from)?;
            let now = store.now().await.map_err(AppError::from)?;
            let events = before.state.decide(command(by.merchant.clone(), now))?;
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
