//! What a merchant may read of its own: orders and payments as the ledger knows them, and their lives. Stripe is not asked.

use aggregates::catalogue::offer::Choice;
use aggregates::catalogue::{ArticleEvent, OfferEvent};
use aggregates::ids::{ArticleId, MerchantId, OfferId, OrderId, PaymentId};
use aggregates::money::Money;
use aggregates::order::{Order, OrderError};
use aggregates::payment::Payment;
use aggregates::payment::state::{Refund, RefundStatus};
use chrono::{DateTime, Utc};
use cqrs_es::Aggregate;
use eventstore::Recorded;

use super::{App, AppError, KeptOrder};
use crate::store::{
    ArticleRow, Caller, Found, OfferFilter, OfferRow, OrderFilter, OrderRow, Past, PaymentFilter,
    PaymentRow, WorkKind,
};

/// A payment as the ledger knows it.
#[derive(Debug, Clone)]
pub struct PaymentView {
    pub id: PaymentId,
    pub payment: Past<Payment>,
    /// Where Stripe has still to answer something: by when that is found out, or waits for people.
    pub outcome_due_at: Option<DateTime<Utc>>,
}

/// What something has cost from a moment on.
#[derive(Debug, Clone)]
pub struct PriceSince {
    /// Which product of an offer; none for an article.
    pub product: Option<Choice>,
    pub price: Money,
    pub since: DateTime<Utc>,
    /// Of the event that set it.
    pub ledger_position: i64,
}

impl App {
    /// At most `limit` orders of the caller's, by id.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn orders(
        &self,
        caller: &Caller,
        filter: &OrderFilter,
        after: Option<OrderId>,
        limit: i64,
    ) -> Result<Found<OrderRow>, AppError> {
        let store = &self.inner.store;
        let found = store.orders(&caller.merchant.id, filter, after, limit);
        Ok(found.await?)
    }

    /// At most `limit` payments of the caller's, newest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn payments(
        &self,
        caller: &Caller,
        filter: &PaymentFilter,
        after: Option<PaymentId>,
        limit: i64,
    ) -> Result<Found<PaymentRow>, AppError> {
        let store = &self.inner.store;
        let found = store.payments(&caller.merchant.id, filter, after, limit);
        Ok(found.await?)
    }

    /// At most `limit` offers of the caller's, by id.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn offers(
        &self,
        caller: &Caller,
        filter: &OfferFilter,
        after: Option<OfferId>,
        limit: i64,
    ) -> Result<Found<OfferRow>, AppError> {
        let store = &self.inner.store;
        let found = store.offers(&caller.merchant.id, filter, after, limit);
        Ok(found.await?)
    }

    /// At most `limit` articles of the caller's, of one company or of all, by id.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn articles(
        &self,
        caller: &Caller,
        company: Option<&str>,
        after: Option<ArticleId>,
        limit: i64,
    ) -> Result<Found<ArticleRow>, AppError> {
        let store = &self.inner.store;
        let found = store.articles(&caller.merchant.id, company, after, limit);
        Ok(found.await?)
    }

    /// An order of the caller's.
    ///
    /// # Errors
    /// [`AppError::NotFound`], also for another merchant's.
    pub async fn order(&self, caller: &Caller, id: OrderId) -> Result<KeptOrder, AppError> {
        self.own_order(caller, id, &id.to_string()).await?;
        let store = &self.inner.store;
        let past = store.past_order(&caller.merchant.id, id, None).await?;
        let order = past.ok_or(OrderError::NoSuchOrder)?;
        self.kept_order(&caller.merchant, id, order).await
    }

    /// All that happened to an order and to the payments that were ever its own, in the order of the ledger.
    ///
    /// # Errors
    /// [`AppError::NotFound`], also for another merchant's.
    pub async fn order_life(
        &self,
        caller: &Caller,
        id: OrderId,
    ) -> Result<Vec<Recorded>, AppError> {
        let order = self.own_order(caller, id, &id.to_string()).await?;
        let merchant = &caller.merchant.id;
        let store = &self.inner.store;
        let mut life = store.life(Order::TYPE, &id.aggregate_id(merchant)).await?;
        let facts = order.state.facts().ok_or(OrderError::NoSuchOrder)?;
        for payment in facts.payments.keys() {
            let stream = payment.aggregate_id(merchant);
            life.extend(store.life(Payment::TYPE, &stream).await?);
        }
        life.sort_by_key(|event| event.ledger_position);
        Ok(life)
    }

    /// A payment of the caller's, by our id or by Stripe's (`pi_…`).
    ///
    /// # Errors
    /// [`AppError::NotFound`], also for another merchant's.
    pub async fn known_payment(
        &self,
        caller: &Caller,
        name: &str,
    ) -> Result<PaymentView, AppError> {
        let (merchant, store) = (&caller.merchant.id, &self.inner.store);
        let missing = || AppError::NotFound {
            what: "payment",
            id: name.to_owned(),
        };
        let id = match name.parse() {
            Ok(id) => id,
            Err(_) => store
                .payment_by_intent(merchant, name)
                .await?
                .ok_or_else(missing)?,
        };
        let past = store.past_payment(merchant, id, None).await?;
        let payment = past.ok_or_else(missing)?;
        let outcome_due_at = self.outcome_due_at(merchant, id, &payment.state).await?;
        Ok(PaymentView {
            id,
            payment,
            outcome_due_at,
        })
    }

    /// The deadline of the oldest intention of a payment that Stripe has not answered.
    async fn outcome_due_at(
        &self,
        merchant: &MerchantId,
        id: PaymentId,
        payment: &Payment,
    ) -> Result<Option<DateTime<Utc>>, AppError> {
        let Some(facts) = payment.facts() else {
            return Ok(None);
        };
        let step = facts.pending.as_ref();
        let step = step.map(|it| (WorkKind::Step, it.intention));
        let asked = |it: &&Refund| it.status == RefundStatus::Requested;
        let refunds = facts.refunds.iter().filter(asked);
        let open = step
            .into_iter()
            .chain(refunds.map(|it| (WorkKind::Refund, it.id)));
        let mut oldest: Option<DateTime<Utc>> = None;
        for (kind, intention) in open {
            let work = &self.inner.store.work;
            let standing = work.standing(merchant, kind, id.uuid(), intention).await?;
            let intended_at = standing.map(|it| it.intended_at);
            oldest = oldest.into_iter().chain(intended_at).min();
        }
        Ok(oldest.map(|intended_at| intended_at + self.inner.recovery.park_after))
    }

    /// All that happened to a payment.
    ///
    /// # Errors
    /// [`AppError::NotFound`], also for another merchant's.
    pub async fn payment_life(
        &self,
        caller: &Caller,
        name: &str,
    ) -> Result<Vec<Recorded>, AppError> {
        let it = self.known_payment(caller, name).await?;
        let stream = it.id.aggregate_id(&caller.merchant.id);
        Ok(self.inner.store.life(Payment::TYPE, &stream).await?)
    }

    /// What each product of an offer has cost, oldest first.
    ///
    /// # Errors
    /// Where there is no such offer, also for another merchant's.
    pub async fn offer_prices(
        &self,
        caller: &Caller,
        number: &str,
    ) -> Result<Vec<PriceSince>, AppError> {
        let it = self.offer(caller, number).await?;
        let store = &self.inner.store;
        let events = store.offer_events(&caller.merchant.id, it.id).await?;
        let prices = events.iter().flat_map(|(recorded, event)| {
            prices_of(event)
                .into_iter()
                .map(|(product, price)| PriceSince::new(recorded, Some(product), price))
        });
        Ok(prices.collect())
    }

    /// What an article has cost, oldest first.
    ///
    /// # Errors
    /// Where there is no such article, also for another merchant's.
    pub async fn article_prices(
        &self,
        caller: &Caller,
        company: &str,
        number: u32,
    ) -> Result<Vec<PriceSince>, AppError> {
        let it = self.article(caller, company, number).await?;
        let store = &self.inner.store;
        let events = store.article_events(&caller.merchant.id, it.id).await?;
        let prices = events.iter().map(|(recorded, event)| match event {
            ArticleEvent::ArticleListed(listed) => PriceSince::new(recorded, None, listed.price),
            ArticleEvent::ArticleRepriced { price } => PriceSince::new(recorded, None, *price),
        });
        Ok(prices.collect())
    }
}

impl PriceSince {
    fn new(recorded: &Recorded, product: Option<Choice>, price: Money) -> Self {
        Self {
            product,
            price,
            since: recorded.recorded_at,
            ledger_position: recorded.ledger_position,
        }
    }
}

/// The prices that an event sets, each with the product that has it.
fn prices_of(event: &OfferEvent) -> Vec<(Choice, Money)> {
    let choice = |group: &str, code: &str| Choice {
        group: group.to_owned(),
        code: code.to_owned(),
    };
    match event {
        OfferEvent::OfferPublished(it) => it
            .groups
            .iter()
            .flat_map(|group| {
                let products = group.products.iter();
                products.map(|it| (choice(&group.name, &it.code), it.price))
            })
            .collect(),
        OfferEvent::OfferRepriced { prices } => prices
            .iter()
            .map(|it| (choice(&it.group, &it.code), it.price))
            .collect(),
        OfferEvent::SelectionChanged { .. } | OfferEvent::OfferWithdrawn { .. } => vec![],
    }
}
