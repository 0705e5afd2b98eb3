//! Orders: placed, asked to be paid, found to be paid.

use aggregates::ids::{IntentionId, OrderId, PaymentId};
use aggregates::money::Money;
use aggregates::order::event::{Line, OrderEvent, Placed, Price};
use aggregates::order::state::Facts;
use aggregates::order::{Order, OrderCommand, OrderError};
use aggregates::payment::event::{Changes, CreateRequested, PaymentEvent};
use aggregates::payment::state::Status;
use aggregates::payment::terms::{CaptureMethod, Metadata, Parameters};
use aggregates::payment::{Payment, PaymentCommand, PaymentError};
use aggregates::sealed::subject_of_order;
use projections::fold::Versioned;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::payments::PaymentAnswer;
use super::verdict::Verdict;
use super::{App, AppError};
use crate::personal::Personal;
use crate::store::{Caller, Commit, Context, Decided, Merchant, Trouble};

/// How often a payment may turn out to be spent while it is asked for, before the caller is told to try again.
const ROUNDS: usize = 5;

/// An order to be kept. `source` and `reference` name it for ever.
#[derive(Debug, Clone)]
pub struct PlaceOrder {
    pub source: &'static str,
    pub reference: String,
    pub number: Option<String>,
    pub customer: Option<String>,
    pub lines: Vec<Line>,
    /// The part of the total that is tax.
    pub tax: Money,
    pub personal: Personal,
}

/// What a door asks Stripe to show of an order's payment.
pub struct Terms {
    pub description: Option<String>,
    pub capture_method: CaptureMethod,
    pub metadata: Metadata,
}

/// An order and the payment that an answer is about.
#[derive(Debug, Clone)]
pub struct OrderAnswer {
    pub order: Facts,
    pub payment: PaymentAnswer,
}

impl App {
    /// Keeps an order. The same order again changes nothing.
    ///
    /// # Errors
    /// [`OrderError::PlacedDifferently`] where another one has its name.
    pub async fn place_order(
        &self,
        merchant: &Merchant,
        context: &Context,
        it: PlaceOrder,
    ) -> Result<OrderId, AppError> {
        let (app, merchant, context) = (self.clone(), merchant.clone(), context.clone());
        self.command(async move { app.place(&merchant, &context, it).await })
            .await
    }

    async fn place(
        &self,
        merchant: &Merchant,
        context: &Context,
        it: PlaceOrder,
    ) -> Result<OrderId, AppError> {
        let id = OrderId::derive(&merchant.id, it.source, &it.reference);
        let total = total(&it).map_err(OrderError::from)?;
        loop {
            let order = self.inner.store.order(&merchant.id, id).await?;
            // The same person's data sealed twice is not the same text: what is sealed already stays.
            let personal = match order.state.facts() {
                Some(facts) => facts.personal.clone(),
                None if it.personal.is_empty() => None,
                None => Some(
                    self.inner
                        .store
                        .vault
                        .seal(&merchant.id, &subject_of_order(id), &it.personal)
                        .await?,
                ),
            };
            let placed = Placed {
                merchant: merchant.id.clone(),
                source: it.source.to_owned(),
                reference: it.reference.clone(),
                number: it.number.clone(),
                customer: it.customer.clone(),
                price: Price {
                    total,
                    tax: it.tax,
                    lines: it.lines.clone(),
                },
                personal,
            };
            let events = order
                .state
                .decide(OrderCommand::PlaceOrder(Box::new(placed)))?;
            let commit = Commit {
                order: Some(Decided {
                    id,
                    before: order,
                    events,
                }),
                ..Commit::default()
            };
            match self.inner.store.commit(&merchant.id, context, commit).await {
                Ok(_) => return Ok(id),
                Err(Trouble::Conflict) => {}
                Err(trouble) => return Err(trouble.into()),
            }
        }
    }

    /// The one live way to pay the order: the one it has, at the order's present amount, or a new one.
    ///
    /// # Errors
    /// [`AppError::NotFound`] also for another merchant's or another customer's order.
    pub async fn request_payment(
        &self,
        caller: &Caller,
        door: &'static str,
        (source, reference): (&'static str, String),
        terms: fn(&Facts) -> Result<Terms, AppError>,
    ) -> Result<OrderAnswer, AppError> {
        let (app, caller, context) = (self.clone(), caller.clone(), self.context(caller, door));
        self.command(async move {
            let id = OrderId::derive(&caller.merchant.id, source, &reference);
            for _ in 0..ROUNDS {
                let order = app.own_order(&caller, id, &reference).await?;
                if let Some(answer) = app
                    .way_to_pay(&caller.merchant, &context, id, &order, terms)
                    .await?
                {
                    return Ok(answer);
                }
            }
            Err(AppError::OutcomeUnknown)
        })
        .await
    }

    /// The caller's order of that name.
    async fn own_order(
        &self,
        caller: &Caller,
        id: OrderId,
        reference: &str,
    ) -> Result<Arc<Versioned<Order>>, AppError> {
        let order = self.inner.store.order(&caller.merchant.id, id).await?;
        let theirs = order
            .state
            .facts()
            .is_some_and(|facts| caller.customer.is_none() || caller.customer == facts.customer);
        if theirs {
            Ok(order)
        } else {
            Err(AppError::NotFound {
                what: "order",
                id: reference.to_owned(),
            })
        }
    }

    /// One round of asking for a payment; none where somebody else was at work, or the payment at hand is spent.
    async fn way_to_pay(
        &self,
        merchant: &Merchant,
        context: &Context,
        id: OrderId,
        order: &Arc<Versioned<Order>>,
        terms: fn(&Facts) -> Result<Terms, AppError>,
    ) -> Result<Option<OrderAnswer>, AppError> {
        let facts = order.state.facts().ok_or(OrderError::NoSuchOrder)?;
        let fresh = PaymentId::from_uuid(self.inner.store.ids.uuid());
        let events = order
            .state
            .decide(OrderCommand::RequestPayment { payment: fresh })?;
        let decided = Decided {
            id,
            before: Arc::clone(order),
            events: events.clone(),
        };
        match events.first() {
            None => {
                let live = facts.live_payment().ok_or(AppError::Internal)?;
                self.join_live(merchant, context, facts, live).await
            }
            Some(OrderEvent::PaymentAttached { .. }) => {
                let request = self.request_for(merchant, id, facts, terms(facts)?);
                let enforce_minimum = merchant.enforce_minimum;
                let command = PaymentCommand::CreateIntent {
                    request: Box::new(request),
                    enforce_minimum,
                };
                let events = Payment::default().decide(command)?;
                let payment = Decided {
                    id: fresh,
                    before: Arc::default(),
                    events,
                };
                self.open_step(merchant, context, facts, payment, decided)
                    .await
            }
            Some(OrderEvent::PaymentRetargeted { payment, amount }) => {
                self.retarget(merchant, context, facts, (*payment, *amount), decided)
                    .await
            }
            Some(_) => Err(AppError::Internal),
        }
    }

    fn request_for(
        &self,
        merchant: &Merchant,
        order: OrderId,
        facts: &Facts,
        terms: Terms,
    ) -> CreateRequested {
        CreateRequested {
            intention: IntentionId::from_uuid(self.inner.store.ids.uuid()),
            merchant: merchant.id.clone(),
            order: Some(order),
            amount: facts.total(),
            capture_method: terms.capture_method,
            payment_method: None,
            customer: None,
            description: terms.description,
            metadata: terms.metadata,
            attributes: BTreeMap::new(),
            personal: facts.personal.clone(),
            then_confirm: None,
            parameters: Parameters::default(),
        }
    }

    /// Records a step of the payment together with what it means for the order, and drives it.
    async fn open_step(
        &self,
        merchant: &Merchant,
        context: &Context,
        facts: &Facts,
        payment: Decided<PaymentId, Payment, PaymentEvent>,
        order: Decided<OrderId, Order, OrderEvent>,
    ) -> Result<Option<OrderAnswer>, AppError> {
        let id = payment.id;
        let commit = Commit {
            payment: Some(payment),
            order: Some(order),
            ..Commit::default()
        };
        match self.inner.store.commit(&merchant.id, context, commit).await {
            Ok(_) => {}
            Err(Trouble::Conflict) => return Ok(None),
            Err(trouble) => return Err(trouble.into()),
        }
        let driven = self.drive(merchant, id, context, None).await?;
        match driven.verdict.unwrap_or(Verdict::Done) {
            Verdict::Refused(refusal) => Err(AppError::Refused(refusal)),
            verdict => {
                let payment = self
                    .answer(merchant, id, &driven.payment, driven.intent, verdict)
                    .await?;
                Ok(Some(OrderAnswer {
                    order: facts.clone(),
                    payment,
                }))
            }
        }
    }

    /// The live payment takes the order's new amount, or is cancelled so that another can take its place.
    async fn retarget(
        &self,
        merchant: &Merchant,
        context: &Context,
        facts: &Facts,
        (live, amount): (PaymentId, Money),
        order: Decided<OrderId, Order, OrderEvent>,
    ) -> Result<Option<OrderAnswer>, AppError> {
        let before = self.inner.store.payment(&merchant.id, live).await?;
        let intention = IntentionId::from_uuid(self.inner.store.ids.uuid());
        let changes = Box::new(Changes {
            amount: Some(amount),
            ..Changes::default()
        });
        let enforce_minimum = merchant.enforce_minimum;
        match before.state.decide(PaymentCommand::Update {
            intention,
            changes,
            enforce_minimum,
        }) {
            Ok(events) => {
                let payment = Decided {
                    id: live,
                    before,
                    events,
                };
                self.open_step(merchant, context, facts, payment, order)
                    .await
            }
            Err(PaymentError::InProgress) => {
                self.drive(merchant, live, context, None).await?;
                Ok(None)
            }
            Err(PaymentError::UnexpectedState { .. } | PaymentError::CurrencyMismatch { .. }) => {
                self.cancel_live(merchant, context, live, &before, intention)
                    .await?;
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Cancels a payment that cannot take the order's new amount. Its outcome frees the order.
    async fn cancel_live(
        &self,
        merchant: &Merchant,
        context: &Context,
        live: PaymentId,
        before: &Arc<Versioned<Payment>>,
        intention: IntentionId,
    ) -> Result<(), AppError> {
        let Ok(events) = before.state.decide(PaymentCommand::Cancel {
            intention,
            reason: None,
            parameters: Parameters::default(),
        }) else {
            return Err(OrderError::PaymentUnderWay.into());
        };
        let payment = Decided {
            id: live,
            before: Arc::clone(before),
            events,
        };
        match self
            .inner
            .store
            .commit(
                &merchant.id,
                context,
                Commit {
                    payment: Some(payment),
                    ..Commit::default()
                },
            )
            .await
        {
            Ok(_) => self.drive(merchant, live, context, None).await.map(drop),
            Err(Trouble::Conflict) => Ok(()),
            Err(trouble) => Err(trouble.into()),
        }
    }

    /// The order has a live payment at the right amount: wait for its open steps, and show it as it stands. None where it
    /// turns out to be spent.
    async fn join_live(
        &self,
        merchant: &Merchant,
        context: &Context,
        facts: &Facts,
        live: PaymentId,
    ) -> Result<Option<OrderAnswer>, AppError> {
        self.drive(merchant, live, context, None).await?;
        let payment = self.refreshed(merchant, live, context).await?;
        match payment.facts.status {
            Status::Refused | Status::Canceled | Status::Succeeded => Ok(None),
            // An answer without the secret would be of no use to the customer.
            _ if payment.intent.is_none() => Err(AppError::OutcomeUnknown),
            _ => Ok(Some(OrderAnswer {
                order: facts.clone(),
                payment,
            })),
        }
    }

    /// Whether the order is paid, as Stripe says, not as the caller says. Twice, or beside the webhook: one transition.
    ///
    /// # Errors
    /// [`AppError::NotPaid`] where its own payment has not succeeded for its own amount; nothing changes then.
    pub async fn mark_paid(
        &self,
        caller: &Caller,
        door: &'static str,
        (source, reference): (&'static str, String),
    ) -> Result<OrderAnswer, AppError> {
        let (app, caller, context) = (self.clone(), caller.clone(), self.context(caller, door));
        self.command(async move {
            let id = OrderId::derive(&caller.merchant.id, source, &reference);
            let order = app.own_order(&caller, id, &reference).await?;
            let facts = order.state.facts().ok_or(OrderError::NoSuchOrder)?;
            let payment = facts.paid_by().or(facts.live_payment());
            let payment = payment.ok_or_else(|| AppError::NotPaid {
                status: "not requested".to_owned(),
            })?;
            app.drive(&caller.merchant, payment, &context, None).await?;
            let answer = app.refreshed(&caller.merchant, payment, &context).await?;
            let order = app.own_order(&caller, id, &reference).await?;
            let facts = order.state.facts().ok_or(OrderError::NoSuchOrder)?;
            if !facts.is_paid() {
                let mispaid = facts.mispaid.contains_key(&payment);
                let status = if mispaid {
                    "mispaid".to_owned()
                } else {
                    answer.facts.status.to_string()
                };
                return Err(AppError::NotPaid { status });
            }
            Ok(OrderAnswer {
                order: facts.clone(),
                payment: answer,
            })
        })
        .await
    }
}

fn total(it: &PlaceOrder) -> Result<Money, aggregates::money::MoneyError> {
    it.lines
        .iter()
        .try_fold(Money::zero(it.tax.currency()), |sum, line| {
            sum.plus(line.unit.times(line.quantity)?)
        })
}
