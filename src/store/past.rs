//! Aggregates as they stood at a version, and their lives: read from the log, never from memory.

use aggregates::catalogue::{Article, ArticleEvent, Offer, OfferEvent};
use aggregates::ids::{ArticleId, IntentionId, MerchantId, OfferId, OrderId, PaymentId};
use aggregates::order::Order;
use aggregates::payment::Payment;
use aggregates::stripe_request::StripeRequest;
use chrono::{DateTime, Utc};
use cqrs_es::Aggregate;
use eventstore::{CqrsStore, Recorded};

use super::{Store, Trouble};

/// An aggregate as it stood at a version.
#[derive(Debug, Clone)]
pub struct Past<A> {
    pub state: A,
    pub version: u64,
    /// When its first event was recorded.
    pub created_at: DateTime<Utc>,
    /// When the last of the events that are in it was recorded.
    pub updated_at: DateTime<Utc>,
}

impl Store {
    /// An order as its first `version` events left it, or all of them. None where it was never placed.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn past_order(
        &self,
        merchant: &MerchantId,
        id: OrderId,
        version: Option<u64>,
    ) -> Result<Option<Past<Order>>, Trouble> {
        let life = self.life(Order::TYPE, &id.aggregate_id(merchant)).await?;
        folded(self.orders.store(), &life, version, |it, event| {
            it.apply(event)
        })
    }

    /// A payment; see [`past_order`](Self::past_order).
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn past_payment(
        &self,
        merchant: &MerchantId,
        id: PaymentId,
        version: Option<u64>,
    ) -> Result<Option<Past<Payment>>, Trouble> {
        let life = self.life(Payment::TYPE, &id.aggregate_id(merchant)).await?;
        folded(self.payments.store(), &life, version, |it, event| {
            it.apply(event)
        })
    }

    /// A request of its own to Stripe; see [`past_order`](Self::past_order).
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn past_request(
        &self,
        merchant: &MerchantId,
        id: IntentionId,
        version: Option<u64>,
    ) -> Result<Option<Past<StripeRequest>>, Trouble> {
        let life = self
            .life(StripeRequest::TYPE, &id.aggregate_id(merchant))
            .await?;
        folded(&self.stripe_requests, &life, version, |it, event| {
            it.apply(event)
        })
    }

    /// An offer; see [`past_order`](Self::past_order).
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn past_offer(
        &self,
        merchant: &MerchantId,
        id: OfferId,
        version: Option<u64>,
    ) -> Result<Option<Past<Offer>>, Trouble> {
        let life = self.life(Offer::TYPE, &id.aggregate_id(merchant)).await?;
        folded(&self.offers, &life, version, |it, event| it.apply(event))
    }

    /// An article; see [`past_order`](Self::past_order).
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn past_article(
        &self,
        merchant: &MerchantId,
        id: ArticleId,
        version: Option<u64>,
    ) -> Result<Option<Past<Article>>, Trouble> {
        let life = self.life(Article::TYPE, &id.aggregate_id(merchant)).await?;
        folded(&self.articles, &life, version, |it, event| it.apply(event))
    }

    /// The events of an offer as the domain knows them, oldest first.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn offer_events(
        &self,
        merchant: &MerchantId,
        id: OfferId,
    ) -> Result<Vec<(Recorded, OfferEvent)>, Trouble> {
        let life = self.life(Offer::TYPE, &id.aggregate_id(merchant)).await?;
        told(&self.offers, life)
    }

    /// The events of an article as the domain knows them, oldest first.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn article_events(
        &self,
        merchant: &MerchantId,
        id: ArticleId,
    ) -> Result<Vec<(Recorded, ArticleEvent)>, Trouble> {
        let life = self.life(Article::TYPE, &id.aggregate_id(merchant)).await?;
        told(&self.articles, life)
    }

    /// Every event of one aggregate, oldest first; none where there is no such one.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn life(&self, kind: &str, aggregate_id: &str) -> Result<Vec<Recorded>, Trouble> {
        Ok(self.reader.read_stream(kind, aggregate_id, 0).await?)
    }
}

fn told<A: Aggregate>(
    store: &CqrsStore<A>,
    life: Vec<Recorded>,
) -> Result<Vec<(Recorded, A::Event)>, Trouble> {
    let told = |recorded: Recorded| {
        let event = store.domain_event(&recorded)?;
        Ok((recorded, event))
    };
    let told: Result<_, serde_json::Error> = life.into_iter().map(told).collect();
    told.map_err(|error| Trouble::Broken(error.into()))
}

fn folded<A: Aggregate>(
    store: &CqrsStore<A>,
    life: &[Recorded],
    version: Option<u64>,
    apply: impl Fn(&mut A, &A::Event),
) -> Result<Option<Past<A>>, Trouble> {
    let upto = version.unwrap_or(u64::MAX);
    let mut past: Option<Past<A>> = None;
    for recorded in life.iter().filter(|it| it.sequence <= upto) {
        let event = store
            .domain_event(recorded)
            .map_err(|error| Trouble::Broken(error.into()))?;
        let it = past.get_or_insert_with(|| Past {
            state: A::default(),
            version: 0,
            created_at: recorded.recorded_at,
            updated_at: recorded.recorded_at,
        });
        apply(&mut it.state, &event);
        it.version = recorded.sequence;
        it.updated_at = recorded.recorded_at;
    }
    Ok(past)
}
