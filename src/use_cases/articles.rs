//! Articles: listed, and repriced. What a checkout of them costs is decided when it is opened.

use aggregates::catalogue::ArticleCommand;
use aggregates::catalogue::article::Listed;
use aggregates::ids::ArticleId;

use super::idempotency::Idempotency;
use super::once::{Done, Then};
use super::{App, AppError};
use crate::store::{Commit, Context, Decided, Merchant};

impl App {
    /// Keeps an article. The same article again changes nothing.
    ///
    /// # Errors
    /// [`ListedDifferently`](aggregates::catalogue::ArticleError::ListedDifferently) where another one has its number, or why
    /// it makes no sense.
    pub async fn list_article(
        &self,
        merchant: &Merchant,
        context: &Context,
        it: Listed,
    ) -> Result<ArticleId, AppError> {
        let id = ArticleId::derive(&merchant.id, &it.company, it.number);
        self.change_article(merchant, context, id, ArticleCommand::List(Box::new(it)))
            .await?;
        Ok(id)
    }

    /// Changes an article. A checkout that is open keeps the price that it was opened at; the next one has the new price.
    ///
    /// # Errors
    /// Why it is refused; nothing is recorded then.
    pub async fn change_article(
        &self,
        merchant: &Merchant,
        context: &Context,
        id: ArticleId,
        command: ArticleCommand,
    ) -> Result<(), AppError> {
        let (app, merchant, context) = (self.clone(), merchant.clone(), context.clone());
        self.command(async move {
            app.change_article_once((&merchant, &context), id, &command, None)
                .await
                .map(drop)
        })
        .await
    }

    /// Changes the article; under a caller's key this append is the whole answer to it.
    pub(super) async fn change_article_once(
        &self,
        (merchant, context): (&Merchant, &Context),
        id: ArticleId,
        command: &ArticleCommand,
        key: Option<&Idempotency>,
    ) -> Result<Done<ArticleId>, AppError> {
        loop {
            let before = self.inner.store.article(&merchant.id, id).await?;
            let events = before.state.decide(command.clone())?;
            let then = Then::after(id, before.version, events.len())?;
            let commit = Commit {
                article: Some(Decided { id, before, events }),
                ..Commit::default()
            };
            if let Some(done) = self
                .answer_at_once(merchant, context, then, commit, key)
                .await?
            {
                return Ok(done.with(|_| None));
            }
        }
    }
}
