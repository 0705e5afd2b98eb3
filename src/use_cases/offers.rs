//! Offers: published, changed, and asked to be paid. An offer is paid through an order that is placed from it, so that
//! nobody can pay it twice.

use aggregates::catalogue::offer::{Published, Wanted};
use aggregates::catalogue::{OfferCommand, OfferError, OfferEvent};
use aggregates::ids::{OfferId, OrderId};
use aggregates::order::event::{OrderEvent, Placed, Price};
use aggregates::order::state::Facts;
use aggregates::order::{Order, OrderCommand};
use projections::fold::Versioned;
use serde_json::Value;
use std::sync::Arc;

use super::idempotency::{Idempotency, Standing};
use super::once::{Done, Then};
use super::orders::{Asked, ROUNDS, Terms};
use super::payments::PaymentAnswer;
use super::verdict::Verdict;
use super::{App, AppError};
use crate::store::{Caller, Commit, Context, Decided, Merchant};

/// The source of the orders that are placed from offers.
const SOURCE: &str = "offers";
/// How many attempts to pay an answer shows.
const CHARGES_MAX: usize = 10;

/// An offer that is to be paid.
#[derive(Debug, Clone)]
pub struct PayOffer {
    /// What the offer is called.
    pub number: String,
    /// None for the offer's own selection.
    pub wanted: Option<Wanted>,
}

/// The payment of an offer.
#[derive(Debug, Clone)]
pub struct OfferAnswer {
    pub payment: PaymentAnswer,
    /// Stripe's list of the attempts to pay; none where nobody has tried.
    pub charges: Option<Value>,
}

impl App {
    /// Keeps an offer. The same offer again changes nothing.
    ///
    /// # Errors
    /// [`OfferError::PublishedDifferently`] where another one has its number, or why it makes no sense.
    pub async fn publish_offer(
        &self,
        merchant: &Merchant,
        context: &Context,
        it: Published,
    ) -> Result<OfferId, AppError> {
        let number = it.number.clone();
        self.change_offer(
            merchant,
            context,
            number,
            OfferCommand::Publish(Box::new(it)),
        )
        .await
    }

    /// Changes the offer of that number. An open order that was placed from it takes the new prices in the same moment: money
    /// at the old ones does not pay it any more.
    ///
    /// # Errors
    /// [`OfferError::NoSuchOffer`], also for another merchant's; or why it is refused.
    pub async fn change_offer(
        &self,
        merchant: &Merchant,
        context: &Context,
        number: String,
        command: OfferCommand,
    ) -> Result<OfferId, AppError> {
        let (app, merchant, context) = (self.clone(), merchant.clone(), context.clone());
        self.command(async move {
            let by = (&merchant, &context);
            let done = app.change_offer_once(by, &number, &command, None).await?;
            Ok(done.about)
        })
        .await
    }

    /// Changes the offer; under a caller's key this append is the whole answer to it.
    pub(super) async fn change_offer_once(
        &self,
        (merchant, context): (&Merchant, &Context),
        number: &str,
        command: &OfferCommand,
        key: Option<&Idempotency>,
    ) -> Result<Done<OfferId>, AppError> {
        let id = OfferId::derive(&merchant.id, number);
        loop {
            let before = self.inner.store.offer(&merchant.id, id).await?;
            let events = before.state.decide(command.clone())?;
            let order = self.follow(merchant, number, &before, &events).await?;
            let then = Then::after(id, before.version, events.len())?;
            let commit = Commit {
                offer: Some(Decided { id, before, events }),
                order,
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

    /// What new prices of the offer mean for the order that was placed from it, where there is one that is open.
    async fn follow(
        &self,
        merchant: &Merchant,
        number: &str,
        offer: &Versioned<aggregates::catalogue::Offer>,
        events: &[OfferEvent],
    ) -> Result<Option<Decided<OrderId, Order, OrderEvent>>, AppError> {
        let repriced = |event: &OfferEvent| matches!(event, OfferEvent::OfferRepriced { .. });
        if !events.iter().any(repriced) {
            return Ok(None);
        }
        let id = OrderId::derive(&merchant.id, SOURCE, number);
        let before = self.inner.store.order(&merchant.id, id).await?;
        let Some(facts) = before.state.facts() else {
            return Ok(None);
        };
        let mut after = offer.state.clone();
        events.iter().for_each(|event| after.apply(event));
        let price = after.repriced(&facts.price)?;
        // An order that is paid or cancelled keeps its price, and one that would cost nothing keeps its old one.
        let events = before
            .state
            .decide(OrderCommand::Reprice { price })
            .unwrap_or_default();
        Ok(Some(Decided { id, before, events }))
    }

    /// The one live way to pay the offer: the one it has, at the price of what is wanted, or a new one.
    ///
    /// # Errors
    /// [`OfferError`] where what is wanted cannot be had, also for another merchant's offer; [`AppError::Order`] where it is
    /// paid; nothing is recorded then.
    pub async fn pay_offer(
        &self,
        caller: &Caller,
        door: &'static str,
        it: PayOffer,
        terms: fn(&Facts) -> Result<Terms, AppError>,
        key: Option<Idempotency>,
    ) -> Result<OfferAnswer, AppError> {
        let (app, merchant, context) = (
            self.clone(),
            caller.merchant.clone(),
            self.context(caller, door),
        );
        self.command(async move {
            let by = (&merchant, &context);
            let payment = match app.standing(&merchant, key.as_ref()).await? {
                Standing::Free => match app.pay(by, &it, terms, key.as_ref()).await {
                    Ok(payment) => payment,
                    Err(refused) => {
                        let taken = app.or_taken(&merchant, key.as_ref(), refused).await?;
                        app.join(&merchant, &context, taken, key.as_ref()).await?
                    }
                },
                taken => app.join(&merchant, &context, taken, key.as_ref()).await?,
            };
            // Of an answer that is given again.
            if let Verdict::Refused(refusal) = payment.verdict {
                return Err(AppError::Refused(refusal));
            }
            let charges = app.charges(&merchant, &payment).await?;
            Ok(OfferAnswer { payment, charges })
        })
        .await
    }

    async fn pay(
        &self,
        (merchant, context): (&Merchant, &Context),
        it: &PayOffer,
        terms: fn(&Facts) -> Result<Terms, AppError>,
        key: Option<&Idempotency>,
    ) -> Result<PaymentAnswer, AppError> {
        let id = OrderId::derive(&merchant.id, SOURCE, &it.number);
        for _ in 0..ROUNDS {
            let price = self.price(merchant, it).await?;
            let before = self.inner.store.order(&merchant.id, id).await?;
            let first = placed_at(merchant, it, price, &before)?;
            let asked = Asked::new((merchant, context), (id, before), first, &terms, key);
            if let Some(answer) = self.way_to_pay(&asked).await? {
                return Ok(answer.payment);
            }
        }
        Err(AppError::OutcomeUnknown)
    }

    /// What is wanted, at the offer's present prices.
    async fn price(&self, merchant: &Merchant, it: &PayOffer) -> Result<Price, AppError> {
        let store = &self.inner.store;
        let id = OfferId::derive(&merchant.id, &it.number);
        let offer = store.offer(&merchant.id, id).await?;
        if offer.version == 0 {
            return Err(OfferError::NoSuchOffer.into());
        }
        let order = OrderId::derive(&merchant.id, SOURCE, &it.number);
        let order = store.order(&merchant.id, order).await?;
        // What is paid is said before what else would be wrong with it.
        if order.state.facts().is_some_and(Facts::is_paid) {
            return Err(aggregates::order::OrderError::AlreadyPaid.into());
        }
        Ok(offer.state.price(it.wanted.as_ref(), store.now().await?)?)
    }

    /// The attempts to pay, where there was one.
    async fn charges(
        &self,
        merchant: &Merchant,
        payment: &PaymentAnswer,
    ) -> Result<Option<Value>, AppError> {
        let facts = &payment.facts;
        let tried = facts.charge.is_some() || facts.last_decline.is_some();
        let Some(intent) = facts.intent.as_ref().filter(|_| tried) else {
            return Ok(None);
        };
        let query = format!("payment_intent={}&limit={CHARGES_MAX}", intent.id);
        let said = self.read(merchant, "/charges", &query).await?;
        Ok((said.status < 300).then_some(said.body))
    }
}

/// What makes the offer's order one at this price: it is placed, or takes it; nothing where it has it.
fn placed_at(
    merchant: &Merchant,
    it: &PayOffer,
    price: Price,
    order: &Arc<Versioned<Order>>,
) -> Result<Vec<OrderEvent>, AppError> {
    let command = match order.state.facts() {
        Some(_) => OrderCommand::Reprice { price },
        None => OrderCommand::PlaceOrder(Box::new(Placed {
            merchant: merchant.id.clone(),
            source: SOURCE.to_owned(),
            reference: it.number.clone(),
            number: None,
            customer: None,
            price,
            personal: None,
        })),
    };
    Ok(order.state.decide(command)?)
}
