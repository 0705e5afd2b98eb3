//! Articles: listed, and repriced. What a checkout of them costs is decided when it is opened.

use aggregates::catalogue::ArticleCommand;
use aggregates::catalogue::article::Listed;
use aggregates::ids::ArticleId;

use super::{App, AppError};
use crate::store::{Commit, Context, Decided, Merchant, Trouble};

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
            loop {
                let before = app.inner.store.article(&merchant.id, id).await?;
                let events = before.state.decide(command.clone())?;
                let commit = Commit {
                    article: Some(Decided { id, before, events }),
                    ..Commit::default()
                };
                match app.inner.store.commit(&merchant.id, &context, commit).await {
                    Ok(_) => return Ok(()),
                    Err(Trouble::Conflict) => {}
                    Err(trouble) => return Err(trouble.into()),
                }
            }
        })
        .await
    }
}
