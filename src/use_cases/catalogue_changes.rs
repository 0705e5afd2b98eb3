//! The catalogue as its merchant keeps it: offers and articles published, priced anew, withdrawn, each once under a caller's key.

use aggregates::catalogue::article::Listed;
use aggregates::catalogue::offer::Published;
use aggregates::catalogue::{
    Article, ArticleCommand, ArticleError, Offer, OfferCommand, OfferError,
};
use aggregates::ids::{ArticleId, OfferId};

use super::once::Done;
use super::order_changes::Outcome;
use super::{App, AppError, Idempotency};
use crate::store::{Caller, Past};

/// An offer, and what it is called by programs.
#[derive(Debug, Clone)]
pub struct OfferView {
    pub id: OfferId,
    pub offer: Past<Offer>,
}

/// An article, and what it is called by programs.
#[derive(Debug, Clone)]
pub struct ArticleView {
    pub id: ArticleId,
    pub article: Past<Article>,
}

impl App {
    /// Keeps an offer; see [`publish_offer`](Self::publish_offer).
    ///
    /// # Errors
    /// [`OfferError::PublishedDifferently`] and the like; [`AppError::KeyReused`].
    pub async fn publish_offer_once(
        &self,
        caller: &Caller,
        door: &'static str,
        it: Published,
        key: Option<Idempotency>,
    ) -> Result<Outcome<OfferView>, AppError> {
        let number = it.number.clone();
        let command = OfferCommand::Publish(Box::new(it));
        self.offer_once(caller, door, (number, command), key).await
    }

    /// Changes an offer; see [`change_offer`](Self::change_offer).
    ///
    /// # Errors
    /// [`AppError::Offer`], [`AppError::KeyReused`].
    pub async fn offer_once(
        &self,
        caller: &Caller,
        door: &'static str,
        (number, command): (String, OfferCommand),
        key: Option<Idempotency>,
    ) -> Result<Outcome<OfferView>, AppError> {
        let (app, merchant) = (self.clone(), caller.merchant.clone());
        let context = self.context(caller, door);
        self.command(async move {
            let (by, key) = ((&merchant, &context), key.as_ref());
            let done = app.change_offer_once(by, &number, &command, key).await;
            let done: Done<OfferId> = app.or_before(&merchant, key, done).await?;
            let store = &app.inner.store;
            let past = store.past_offer(&merchant.id, done.about, Some(done.version));
            let offer = past.await?.ok_or(AppError::Internal)?;
            Ok(Outcome {
                it: OfferView {
                    id: done.about,
                    offer,
                },
                made: done.made,
                replayed: done.replayed,
            })
        })
        .await
    }

    /// The offer of that number.
    ///
    /// # Errors
    /// [`OfferError::NoSuchOffer`], also for another merchant's.
    pub async fn offer(&self, caller: &Caller, number: &str) -> Result<OfferView, AppError> {
        let merchant = &caller.merchant.id;
        let id = OfferId::derive(merchant, number);
        let past = self.inner.store.past_offer(merchant, id, None).await?;
        let offer = past.ok_or(OfferError::NoSuchOffer)?;
        Ok(OfferView { id, offer })
    }

    /// Keeps an article; see [`list_article`](Self::list_article).
    ///
    /// # Errors
    /// [`ArticleError::ListedDifferently`] and the like; [`AppError::KeyReused`].
    pub async fn list_article_once(
        &self,
        caller: &Caller,
        door: &'static str,
        it: Listed,
        key: Option<Idempotency>,
    ) -> Result<Outcome<ArticleView>, AppError> {
        let id = ArticleId::derive(&it.merchant, &it.company, it.number);
        let command = ArticleCommand::List(Box::new(it));
        self.article_once(caller, door, (id, command), key).await
    }

    /// Changes an article; see [`change_article`](Self::change_article).
    ///
    /// # Errors
    /// [`AppError::Article`], [`AppError::KeyReused`].
    pub async fn article_once(
        &self,
        caller: &Caller,
        door: &'static str,
        (id, command): (ArticleId, ArticleCommand),
        key: Option<Idempotency>,
    ) -> Result<Outcome<ArticleView>, AppError> {
        let (app, merchant) = (self.clone(), caller.merchant.clone());
        let context = self.context(caller, door);
        self.command(async move {
            let (by, key) = ((&merchant, &context), key.as_ref());
            let done = app.change_article_once(by, id, &command, key).await;
            let done: Done<ArticleId> = app.or_before(&merchant, key, done).await?;
            let store = &app.inner.store;
            let past = store.past_article(&merchant.id, done.about, Some(done.version));
            let article = past.await?.ok_or(AppError::Internal)?;
            Ok(Outcome {
                it: ArticleView {
                    id: done.about,
                    article,
                },
                made: done.made,
                replayed: done.replayed,
            })
        })
        .await
    }

    /// The article that a company calls `number`.
    ///
    /// # Errors
    /// [`ArticleError::NoSuchArticle`], also for another merchant's.
    pub async fn article(
        &self,
        caller: &Caller,
        company: &str,
        number: u32,
    ) -> Result<ArticleView, AppError> {
        let merchant = &caller.merchant.id;
        let id = ArticleId::derive(merchant, company, number);
        let past = self.inner.store.past_article(merchant, id, None).await?;
        let article = past.ok_or(ArticleError::NoSuchArticle)?;
        Ok(ArticleView { id, article })
    }
}
