//! Orders: placed, asked to be paid, found to be paid.

use aggregates::ids::{IntentionId, OrderId, PaymentId};
use aggregates::money::Money;
use aggregates::order::event::{Line, OrderEvent, Placed, Price};
use aggregates::order::state::Facts;
use aggregates::order::{Order, OrderCommand, OrderError};
use aggregates::payment::event::{Changes, CreateRequested, PaymentEvent};
use aggregates::payment::state::Status;
use aggregates::payment::terms::{CaptureMethod, Metadata, Parameters};
use aggregates::payment::{Description, Payment, PaymentCommand, PaymentError};
use aggregates::sealed::{Sealed, subject_of_order};
use projections::fold::Versioned;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::idempotency::{Claimed, Idempotency};
use super::once::{Done, Then};
use super::payments::PaymentAnswer;
use super::verdict::Verdict;
use super::{App, AppError};
use crate::personal::Personal;
use crate::store::{Caller, Commit, Context, Decided, Merchant, Trouble};

/// How often a payment may turn out to be spent while it is asked for, before the caller is told to try again.
pub(super) const ROUNDS: usize = 5;

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
#[derive(Debug, Clone, Default)]
pub struct Terms {
    pub description: Option<String>,
    pub capture_method: CaptureMethod,
    pub metadata: Metadata,
    pub customer: Option<String>,
    pub payment_method: Option<String>,
    /// What Stripe alone judges.
    pub parameters: Parameters,
    /// In the place of what the order knows of the person.
    pub personal: Option<Sealed>,
}

/// A door's terms for an order as it stands.
pub(super) type TermsOf<'a> = &'a (dyn Fn(&Facts) -> Result<Terms, AppError> + Send + Sync);

/// An order that is to be paid: what is to become of it along with that, and on whose behalf.
pub(super) struct Asked<'a> {
    pub merchant: &'a Merchant,
    pub context: &'a Context,
    pub terms: TermsOf<'a>,
    pub key: Option<&'a Idempotency>,
    /// What is said of the payment, recorded together with it.
    pub described: Option<&'a Description>,
    id: OrderId,
    before: Arc<Versioned<Order>>,
    /// Recorded in the same append as the payment: the order is placed, or takes another price.
    first: Vec<OrderEvent>,
    /// As it is after `first`.
    order: Order,
}

impl<'a> Asked<'a> {
    /// The order as it stands (`before`), after what is recorded of it `first`.
    pub fn new(
        (merchant, context): (&'a Merchant, &'a Context),
        (id, before): (OrderId, Arc<Versioned<Order>>),
        first: Vec<OrderEvent>,
        terms: TermsOf<'a>,
        key: Option<&'a Idempotency>,
    ) -> Self {
        let mut order = before.state.clone();
        for event in &first {
            order.apply(event);
        }
        Self {
            merchant,
            context,
            terms,
            key,
            described: None,
            id,
            before,
            first,
            order,
        }
    }

    /// The events of its payment, and what is said of it.
    fn with_description(
        &self,
        before: &Payment,
        mut events: Vec<PaymentEvent>,
    ) -> Result<Vec<PaymentEvent>, AppError> {
        if let Some(described) = self.described {
            let mut after = before.clone();
            events.iter().for_each(|event| after.apply(event));
            let command = PaymentCommand::Describe(Box::new(described.clone()));
            events.extend(after.decide(command)?);
        }
        Ok(events)
    }

    fn facts(&self) -> Result<&Facts, OrderError> {
        self.order.facts().ok_or(OrderError::NoSuchOrder)
    }

    /// What is recorded of the order, with these events last.
    fn recorded(&self, last: Vec<OrderEvent>) -> Decided<OrderId, Order, OrderEvent> {
        Decided {
            id: self.id,
            before: Arc::clone(&self.before),
            events: self.first.iter().cloned().chain(last).collect(),
        }
    }
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
        self.command(async move {
            let placed = app.place(&merchant, &context, &it, None).await?;
            Ok(placed.about)
        })
        .await
    }

    /// Places the order; under a caller's key this append is the whole answer to it.
    pub(super) async fn place(
        &self,
        merchant: &Merchant,
        context: &Context,
        it: &PlaceOrder,
        key: Option<&Idempotency>,
    ) -> Result<Done<OrderId, Order>, AppError> {
        let id = OrderId::derive(&merchant.id, it.source, &it.reference);
        let total = total(it).map_err(OrderError::from)?;
        loop {
            let order = self.inner.store.order(&merchant.id, id).await?;
            // The same person's data sealed twice is not the same text: what is sealed already stays.
            let personal = match order.state.facts() {
                Some(facts) => facts.personal.as_deref().cloned(),
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
            let then = Then::after(id, order.version, events.len())?;
            let commit = Commit {
                order: Some(Decided {
                    id,
                    before: order,
                    events,
                }),
                ..Commit::default()
            };
            if let Some(done) = self
                .answer_at_once(merchant, context, then, commit, key)
                .await?
            {
                return Ok(done.with(|committed| committed.order));
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
                let by = (&caller.merchant, &context);
                let asked = Asked::new(by, (id, order), vec![], &terms, None);
                if let Some(answer) = app.way_to_pay(&asked).await? {
                    return Ok(answer);
                }
            }
            Err(AppError::OutcomeUnknown)
        })
        .await
    }

    /// The caller's order of that name.
    pub(super) async fn own_order(
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
    pub(super) async fn way_to_pay(&self, it: &Asked<'_>) -> Result<Option<OrderAnswer>, AppError> {
        let facts = it.facts()?;
        let fresh = PaymentId::from_uuid(self.inner.store.ids.uuid());
        let events = it
            .order
            .decide(OrderCommand::RequestPayment { payment: fresh })?;
        match events.first() {
            None => {
                let live = facts.live_payment().ok_or(AppError::Internal)?;
                if it.first.is_empty() || self.record_first(it).await? {
                    self.join_live(it, facts, live).await
                } else {
                    Ok(None)
                }
            }
            Some(OrderEvent::PaymentAttached { .. }) => {
                let request = self.request_for(it.merchant, it.id, facts, (it.terms)(facts)?);
                let command = PaymentCommand::CreateIntent {
                    request: Box::new(request),
                    enforce_minimum: it.merchant.enforce_minimum,
                };
                let events_of_it = Payment::default().decide(command)?;
                let payment = Decided {
                    id: fresh,
                    before: Arc::default(),
                    events: it.with_description(&Payment::default(), events_of_it)?,
                };
                self.open_step(it, facts, payment, events).await
            }
            Some(OrderEvent::PaymentRetargeted { payment, amount }) => {
                let target = (*payment, *amount);
                self.retarget(it, facts, target, events).await
            }
            Some(_) => Err(AppError::Internal),
        }
    }

    /// Records what becomes of the order where nothing becomes of its payment. False where somebody else was first.
    async fn record_first(&self, it: &Asked<'_>) -> Result<bool, AppError> {
        let commit = Commit {
            order: Some(it.recorded(vec![])),
            ..Commit::default()
        };
        match self
            .inner
            .store
            .commit(&it.merchant.id, it.context, commit)
            .await
        {
            Ok(_) => Ok(true),
            Err(Trouble::Conflict) => Ok(false),
            Err(trouble) => Err(trouble.into()),
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
            payment_method: terms.payment_method,
            customer: terms.customer,
            description: terms.description,
            metadata: terms.metadata,
            attributes: BTreeMap::new(),
            personal: terms
                .personal
                .or_else(|| facts.personal.as_deref().cloned()),
            then_confirm: None,
            parameters: terms.parameters,
        }
    }

    /// Records a step of the payment together with what it means for the order and with the claim of the caller's key, and
    /// drives it.
    async fn open_step(
        &self,
        it: &Asked<'_>,
        facts: &Facts,
        payment: Decided<PaymentId, Payment, PaymentEvent>,
        order: Vec<OrderEvent>,
    ) -> Result<Option<OrderAnswer>, AppError> {
        let begun = payment.events.iter().find_map(PaymentEvent::intention);
        let claimed = Claimed {
            payment: payment.id,
            intention: begun.ok_or(AppError::Internal)?,
        };
        let commit = Commit {
            payment: Some(payment),
            order: Some(it.recorded(order)),
            claim: it.key.map(|key| key.claim(&claimed)),
            ..Commit::default()
        };
        let committed = self
            .inner
            .store
            .commit(&it.merchant.id, it.context, commit)
            .await;
        let payment = match (committed, it.key) {
            (Ok(_), key) => self.finish(it.merchant, it.context, claimed, key).await?,
            (Err(Trouble::Conflict), _) => return Ok(None),
            (Err(Trouble::Claimed(found)), Some(key)) => {
                let standing = key.standing(&found)?;
                self.join(it.merchant, it.context, standing, Some(key))
                    .await?
            }
            (Err(trouble), _) => return Err(trouble.into()),
        };
        match payment.verdict {
            Verdict::Refused(refusal) => Err(AppError::Refused(refusal)),
            Verdict::Done | Verdict::Declined(_) => Ok(Some(OrderAnswer {
                order: facts.clone(),
                payment,
            })),
        }
    }

    /// The live payment takes the order's new amount, or is cancelled so that another can take its place.
    async fn retarget(
        &self,
        it: &Asked<'_>,
        facts: &Facts,
        (live, amount): (PaymentId, Money),
        order: Vec<OrderEvent>,
    ) -> Result<Option<OrderAnswer>, AppError> {
        let (merchant, context) = (it.merchant, it.context);
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
                let events = it.with_description(&before.state, events)?;
                let payment = Decided {
                    id: live,
                    before,
                    events,
                };
                self.open_step(it, facts, payment, order).await
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

    /// Gives an order its new price (what is recorded first) together with its live payment, which is asked to take the new
    /// amount, or cancelled where it cannot. False where it is to be tried again.
    pub(super) async fn reprice_live(&self, it: &Asked<'_>) -> Result<bool, AppError> {
        let facts = it.facts()?;
        let fresh = PaymentId::from_uuid(self.inner.store.ids.uuid());
        let events = it
            .order
            .decide(OrderCommand::RequestPayment { payment: fresh })?;
        let Some(OrderEvent::PaymentRetargeted { payment, amount }) = events.first() else {
            return self.record_first(it).await;
        };
        let target = (*payment, *amount);
        match self.retarget(it, facts, target, events).await {
            Ok(answer) => Ok(answer.is_some()),
            // The order has its price. Why Stripe would not change the payment is seen in how it stands there: paid, mostly.
            Err(AppError::Refused(_)) => {
                self.refreshed(it.merchant, target.0, it.context).await?;
                Ok(true)
            }
            Err(error) => Err(error),
        }
    }

    /// Cancels a payment that is to make way. Its outcome frees the order.
    pub(super) async fn cancel_live(
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
        it: &Asked<'_>,
        facts: &Facts,
        live: PaymentId,
    ) -> Result<Option<OrderAnswer>, AppError> {
        let (merchant, context) = (it.merchant, it.context);
        self.drive(merchant, live, context, None).await?;
        if let Some(described) = it.described {
            self.describe(merchant, context, live, described).await?;
        }
        let payment = self.refreshed(merchant, live, context).await?;
        match payment.facts.status {
            Status::Refused | Status::Canceled | Status::Succeeded => Ok(None),
            // An answer without the secret would be of no use to the customer.
            _ if payment.intent.is_none() => Err(AppError::OutcomeUnknown),
            _ => {
                let payment = match it.key {
                    Some(key) => self.answer_key(merchant, context, live, key).await?,
                    None => payment,
                };
                Ok(Some(OrderAnswer {
                    order: facts.clone(),
                    payment,
                }))
            }
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
            crate::crash_point!("paid-driven");
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
