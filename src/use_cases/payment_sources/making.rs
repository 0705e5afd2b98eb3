//! Payment sources are made: a new intent of the order's amount, or one that the caller has made at Stripe already.

use aggregates::ids::{IntentionId, OrderId, PaymentId};
use aggregates::order::state::WayToPay;
use aggregates::order::{Facts as OrderFacts, OrderCommand, OrderError, OrderEvent};
use aggregates::payment::terms::Metadata;
use aggregates::payment::{Description, Payment, PaymentCommand, PaymentEvent};
use aggregates::payment::{Facts, Status};
use aggregates::sealed::{Sealed, subject_of_order};
use projections::fold::Versioned;
use secrecy::{ExposeSecret, SecretString};
use std::sync::Arc;
use subtle::ConstantTimeEq;

use super::turns::Turn;
use super::{PaymentSource, SourceError, StripeOptions};
use crate::gateway::{self, CHECKOUT_KEY, IntentView, Outcome};
use crate::personal::Personal;
use crate::store::{Caller, Commit, Context, Decided, Merchant, Trouble};
use crate::use_cases::idempotency::{Idempotency, Standing};
use crate::use_cases::orders::{Asked, ROUNDS, Terms};
use crate::use_cases::payments::PaymentAnswer;
use crate::use_cases::steps::{PaymentStep, Update};
use crate::use_cases::verdict::Verdict;
use crate::use_cases::{App, AppError};

/// A payment source to be made.
#[derive(Debug, Clone)]
pub struct CreateSource {
    /// The order's short id.
    pub order: String,
    /// None has an intent made.
    pub intent: Option<GivenIntent>,
    /// None leaves what is said of the order's live payment as it is.
    pub description: Option<Description>,
    pub email: Option<String>,
    pub stripe: StripeOptions,
}

/// An intent that the caller has made at Stripe, and the proof that it is the caller's.
#[derive(Debug, Clone)]
pub struct GivenIntent {
    pub id: String,
    pub client_secret: SecretString,
}

/// On whose behalf, and for which order.
#[derive(Clone, Copy)]
struct For<'a> {
    caller: &'a Caller,
    context: &'a Context,
    order: OrderId,
    key: Option<&'a Idempotency>,
}

impl App {
    /// Makes a payment source for an order. An order has one way to be paid at a time: asking again gives the same one, newly
    /// described; an intent that is given takes the place of the one that is live.
    ///
    /// # Errors
    /// [`SourceError::Unfit`] where what is given of the intent does not fit; [`AppError::NotFound`], also for another
    /// merchant's order; [`AppError::OutcomeUnknown`] where repeating the call goes on with the same payment.
    pub async fn create_payment_source(
        &self,
        caller: &Caller,
        door: &'static str,
        it: CreateSource,
        key: Option<Idempotency>,
    ) -> Result<PaymentSource, SourceError> {
        let (app, caller, context) = (self.clone(), caller.clone(), self.context(caller, door));
        self.command(async move {
            let made = app.make_source(&caller, &context, &it, key.as_ref()).await;
            Ok(match made {
                Ok(answer) => app
                    .as_source(&caller.merchant, answer)
                    .await
                    .map_err(SourceError::from),
                Err(error) => Err(error),
            })
        })
        .await?
    }

    async fn make_source(
        &self,
        caller: &Caller,
        context: &Context,
        it: &CreateSource,
        key: Option<&Idempotency>,
    ) -> Result<PaymentAnswer, SourceError> {
        let merchant = &caller.merchant;
        let standing = self.standing(merchant, key).await?;
        // What was cut off goes on with the intent that is given, by the same steps.
        let begins = match standing {
            Standing::Free => true,
            Standing::Open(_) => it.intent.is_some(),
            Standing::Ended(..) => false,
        };
        let answer = match &it.intent {
            given if begins => {
                let order = self.order_called(merchant, "order", &it.order).await?;
                let by = For {
                    caller,
                    context,
                    order,
                    key,
                };
                match given {
                    None => match self.ask_for_source(by, it).await {
                        Err(SourceError::App(refused)) => {
                            let taken = self.or_taken(merchant, key, refused).await?;
                            self.join(merchant, context, taken, key).await?
                        }
                        asked => asked?,
                    },
                    Some(given) => self.take_source(by, it, given).await?,
                }
            }
            _ => self.join(merchant, context, standing, key).await?,
        };
        match answer.verdict {
            // Of an answer that is given again.
            Verdict::Refused(refusal) => Err(AppError::Refused(refusal).into()),
            Verdict::Done | Verdict::Declined(_) => Ok(answer),
        }
    }

    /// The order's one live payment, or a new one.
    async fn ask_for_source(
        &self,
        by: For<'_>,
        it: &CreateSource,
    ) -> Result<PaymentAnswer, SourceError> {
        let merchant = &by.caller.merchant;
        let personal = self.sealed_email(merchant, by.order, it).await?;
        let terms = |order: &OrderFacts| Ok(terms(order, it, personal.clone()));
        for _ in 0..ROUNDS {
            let order = self.own_order(by.caller, by.order, &it.order).await?;
            let live = order.state.facts().and_then(OrderFacts::live_payment);
            let by_whom = (merchant, by.context);
            let mut asked = Asked::new(by_whom, (by.order, order), vec![], &terms, by.key);
            asked.described = it.description.as_ref();
            let Some(answer) = self.way_to_pay(&asked).await? else {
                continue;
            };
            if live != Some(answer.payment.id) {
                return Ok(answer.payment);
            }
            let told = self.tell_stripe(by, &answer.payment, it).await?;
            return Ok(told.unwrap_or(answer.payment));
        }
        Err(AppError::OutcomeUnknown.into())
    }

    async fn sealed_email(
        &self,
        merchant: &Merchant,
        order: OrderId,
        it: &CreateSource,
    ) -> Result<Option<Sealed>, AppError> {
        let Some(email) = &it.email else {
            return Ok(None);
        };
        let personal = Personal {
            email: Some(email.clone()),
            shipping: None,
        };
        let vault = &self.inner.store.vault;
        let subject = subject_of_order(order);
        Ok(Some(vault.seal(&merchant.id, &subject, &personal).await?))
    }

    /// What an intent that was there already is to have beside what it has; none where that is nothing.
    async fn tell_stripe(
        &self,
        by: For<'_>,
        answer: &PaymentAnswer,
        it: &CreateSource,
    ) -> Result<Option<PaymentAnswer>, AppError> {
        let email = it.email.clone();
        let email = email.filter(|email| answer.personal.email.as_ref() != Some(email));
        let Some(update) = update(&answer.facts, email, &it.stripe) else {
            return Ok(None);
        };
        let (merchant, context) = (&by.caller.merchant, by.context);
        let told = self.update_intent(merchant, context, &answer.facts, update);
        Ok(Some(told.await?))
    }

    /// Changes the intent at Stripe.
    pub(super) async fn update_intent(
        &self,
        merchant: &Merchant,
        context: &Context,
        facts: &Facts,
        update: Update,
    ) -> Result<PaymentAnswer, AppError> {
        let intent = facts.intent.as_ref().ok_or(AppError::Internal)?;
        let step = PaymentStep::Update(Box::new(update));
        let answer = self
            .take_step(merchant, context, &intent.id, step, None)
            .await?;
        match answer.verdict {
            Verdict::Refused(refusal) => Err(AppError::Refused(refusal)),
            Verdict::Done | Verdict::Declined(_) => Ok(answer),
        }
    }

    /// The intent that is given becomes the order's way to be paid.
    async fn take_source(
        &self,
        by: For<'_>,
        it: &CreateSource,
        given: &GivenIntent,
    ) -> Result<PaymentAnswer, SourceError> {
        let (merchant, context) = (&by.caller.merchant, by.context);
        let view = self.intent_given(merchant, given).await?;
        let intent = &view.snapshot.intent;
        let known = self.inner.store.payment_by_intent(&merchant.id, intent);
        let payment = known
            .await?
            .unwrap_or_else(|| PaymentId::of_adopted(&merchant.id, intent));
        let _alone = match self.turn(merchant, context, payment, by.key).await? {
            Turn::Before(ended) => return Ok(self.join(merchant, context, *ended, by.key).await?),
            Turn::Ours(alone) => alone,
        };
        match self.take_given(by, it, &view).await {
            Ok(answer) => Ok(self.end_turn(merchant, context, by.key, Ok(answer)).await?),
            Err(error) => {
                match &error {
                    SourceError::App(error) => {
                        self.free_turn(merchant, context, by.key, error).await?;
                    }
                    SourceError::Unfit { .. } => self.refused(merchant, context, by.key).await?,
                }
                Err(error)
            }
        }
    }

    async fn take_given(
        &self,
        by: For<'_>,
        it: &CreateSource,
        view: &IntentView,
    ) -> Result<PaymentAnswer, SourceError> {
        let (merchant, context) = (&by.caller.merchant, by.context);
        for _ in 0..ROUNDS {
            let Some(payment) = self.take_once(by, it, view).await? else {
                continue;
            };
            let answer = self.pulled(merchant, context, payment).await?;
            let told = self.tell_stripe(by, &answer, it).await?;
            return Ok(told.unwrap_or(answer));
        }
        Err(AppError::OutcomeUnknown.into())
    }

    /// The intent as Stripe shows it, once it is known that the caller knows its secret.
    async fn intent_given(
        &self,
        merchant: &Merchant,
        given: &GivenIntent,
    ) -> Result<IntentView, SourceError> {
        let found = self
            .inner
            .gateway
            .intent(&merchant.stripe_account, &given.id);
        let view = match found.await {
            Outcome::Said(view) => view,
            Outcome::Refused(_) => {
                return Err(unfit("stripe_id", "there is no such intent at Stripe"));
            }
            Outcome::Unknown(silence) => {
                tracing::warn!(why = %silence.why, "Stripe did not show an intent");
                return Err(AppError::OutcomeUnknown.into());
            }
        };
        let known = view.client_secret.as_ref();
        let known = known.map(|it| it.expose_secret().as_bytes());
        let told = given.client_secret.expose_secret().as_bytes();
        if known.is_none_or(|known| !bool::from(known.ct_eq(told))) {
            return Err(unfit(
                "client_secret",
                "it is not the secret of this intent",
            ));
        }
        if view.metadata.contains_key(CHECKOUT_KEY) {
            return Err(unfit("stripe_id", "the intent belongs to a checkout"));
        }
        Ok(view)
    }

    /// One round of taking an intent; none where somebody else was at work.
    async fn take_once(
        &self,
        by: For<'_>,
        it: &CreateSource,
        view: &IntentView,
    ) -> Result<Option<PaymentId>, SourceError> {
        let (merchant, context) = (&by.caller.merchant, by.context);
        let intent = &view.snapshot.intent;
        let known = self
            .inner
            .store
            .payment_by_intent(&merchant.id, intent)
            .await?;
        let id = known.unwrap_or_else(|| PaymentId::of_adopted(&merchant.id, intent));
        if known.is_some() {
            self.drive(merchant, id, context, None).await?;
        }
        let before = self.inner.store.payment(&merchant.id, id).await?;
        let events = match before.state.facts() {
            Some(facts) => of_known(facts, &before.state, by.order)?,
            None => self.of_stranger(merchant, by.order, view)?,
        };
        let mut after = before.state.clone();
        events.iter().for_each(|event| after.apply(event));
        let described = match &it.description {
            Some(said) => after.decide(PaymentCommand::Describe(Box::new(said.clone())))?,
            None => vec![],
        };
        let order = self.own_order(by.caller, by.order, &it.order).await?;
        let attach = OrderCommand::AttachPayment {
            payment: id,
            amount: view.snapshot.amount,
        };
        let attached = match order.state.decide(attach) {
            Err(OrderError::PaymentUnderWay) => {
                self.make_way(by, order.state.facts()).await?;
                return Ok(None);
            }
            Err(OrderError::Unpayable(_)) => {
                let because = "the intent is in another currency than the order";
                return Err(unfit("stripe_id", because));
            }
            attached => attached?,
        };
        let payment = [events, described].concat();
        self.record_source(by, (id, before, payment), (order, attached))
            .await
    }

    async fn record_source(
        &self,
        by: For<'_>,
        (id, before, events): (PaymentId, Arc<Versioned<Payment>>, Vec<PaymentEvent>),
        (order, attached): (Arc<Versioned<aggregates::order::Order>>, Vec<OrderEvent>),
    ) -> Result<Option<PaymentId>, SourceError> {
        let commit = Commit {
            payment: Some(Decided { id, before, events }),
            order: Some(Decided {
                id: by.order,
                before: order,
                events: attached,
            }),
            ..Commit::default()
        };
        let store = &self.inner.store;
        match store
            .commit(&by.caller.merchant.id, by.context, commit)
            .await
        {
            Ok(_) => Ok(Some(id)),
            Err(Trouble::Conflict) => Ok(None),
            Err(trouble) => Err(trouble.into()),
        }
    }

    /// An intent that nobody here knows is taken into the ledger as the order's.
    fn of_stranger(
        &self,
        merchant: &Merchant,
        order: OrderId,
        view: &IntentView,
    ) -> Result<Vec<PaymentEvent>, SourceError> {
        let body = view.answer.as_ref().map(|it| it.body.clone());
        let body = body.ok_or(AppError::Internal)?;
        if !self.may_be_taken(merchant, &body) {
            return Err(unfit("stripe_id", "there is no such intent at Stripe"));
        }
        let mut adopt =
            gateway::adoption_from(body, &merchant.id, "payment_source").map_err(|error| {
                tracing::error!(%error, "an intent cannot be read");
                AppError::OutcomeUnknown
            })?;
        adopt.order = Some(order);
        let events = Payment::default().decide(PaymentCommand::Adopt(Box::new(adopt)))?;
        let mut payment = Payment::default();
        events.iter().for_each(|event| payment.apply(event));
        match payment.facts() {
            Some(facts) => must_be_usable(facts)?,
            None => return Err(AppError::Internal.into()),
        }
        Ok(events)
    }

    /// The order's live payment is cancelled, so that another can take its place.
    async fn make_way(&self, by: For<'_>, order: Option<&OrderFacts>) -> Result<(), AppError> {
        let Some(WayToPay::Payment { payment, .. }) = order.and_then(|it| it.live.as_ref()) else {
            return Err(OrderError::PaymentUnderWay.into());
        };
        let (merchant, context) = (&by.caller.merchant, by.context);
        self.drive(merchant, *payment, context, None).await?;
        let before = self.inner.store.payment(&merchant.id, *payment).await?;
        let intention = IntentionId::from_uuid(self.inner.store.ids.uuid());
        self.cancel_live(merchant, context, *payment, &before, intention)
            .await
    }
}

/// What is asked of Stripe of a new intent.
fn terms(order: &OrderFacts, it: &CreateSource, personal: Option<Sealed>) -> Terms {
    let called = order.number.as_ref().unwrap_or(&order.reference);
    let description = || format!("Payment for order {called}");
    Terms {
        description: Some(it.stripe.description.clone().unwrap_or_else(description)),
        capture_method: it.stripe.capture_method.unwrap_or_default(),
        metadata: Metadata::default(),
        customer: it.stripe.customer.clone(),
        payment_method: it.stripe.payment_method.clone(),
        parameters: it.stripe.parameters.clone(),
        personal,
    }
}

/// What of these options the intent has not yet; none where it has all. What only Stripe knows is told again.
pub(super) fn update(
    facts: &Facts,
    email: Option<String>,
    options: &StripeOptions,
) -> Option<Update> {
    let differing = |wanted: &Option<String>, known: &Option<String>| {
        wanted.clone().filter(|_| wanted != known)
    };
    let update = Update {
        customer: differing(&options.customer, &facts.customer),
        payment_method: differing(&options.payment_method, &facts.payment_method),
        description: differing(&options.description, &facts.description),
        parameters: options.parameters.clone(),
        personal: Personal {
            email,
            shipping: None,
        },
        ..Update::default()
    };
    let nothing = update.customer.is_none()
        && update.payment_method.is_none()
        && update.description.is_none()
        && update.parameters.is_empty()
        && update.personal.is_empty();
    (!nothing).then_some(update)
}

/// What makes a payment that is in the ledger this order's.
fn of_known(
    facts: &Facts,
    payment: &Payment,
    order: OrderId,
) -> Result<Vec<PaymentEvent>, SourceError> {
    must_be_usable(facts)?;
    if facts.order.is_some_and(|known| known != order) {
        return Err(unfit("stripe_id", "the intent belongs to another order"));
    }
    Ok(payment.decide(PaymentCommand::AssignOrder { order })?)
}

fn must_be_usable(facts: &Facts) -> Result<(), SourceError> {
    if facts.discarded || facts.status == Status::Canceled {
        return Err(unfit("stripe_id", "the intent is cancelled"));
    }
    Ok(())
}

fn unfit(field: &'static str, because: &'static str) -> SourceError {
    SourceError::Unfit { field, because }
}
