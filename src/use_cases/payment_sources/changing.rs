//! Payment sources are changed, brought up to date, and thrown away.

use aggregates::ids::{IntentionId, PaymentId};
use aggregates::order::{OrderCommand, OrderError, OrderEvent};
use aggregates::payment::event::Changes;
use aggregates::payment::terms::Parameters;
use aggregates::payment::{Description, Facts, PaymentCommand, PaymentError, Status};
use serde_json::{Map, Value};

use super::making::update;
use super::turns::{Turn, changed};
use super::{PaymentSource, StripeOptions};
use crate::store::{Caller, Commit, Context, Decided, Merchant, Trouble};
use crate::use_cases::idempotency::{Claimed, Idempotency};
use crate::use_cases::orders::ROUNDS;
use crate::use_cases::payments::PaymentAnswer;
use crate::use_cases::steps::PaymentStep;
use crate::use_cases::verdict::Verdict;
use crate::use_cases::{App, AppError};

/// A change of a payment source: what is none stays as it is.
#[derive(Debug, Clone, Default)]
pub struct ChangeSource {
    pub reference: Option<Option<String>>,
    pub reference_origin: Option<Option<String>>,
    pub return_url: Option<Option<String>>,
    pub metadata: Option<Map<String, Value>>,
    /// As the caller gave them, and what they ask of Stripe.
    pub options: Option<(Map<String, Value>, StripeOptions)>,
    pub email: Option<String>,
    /// The intent is to take the order's amount.
    pub push: bool,
    /// It is to be read from Stripe how the payment stands.
    pub pull: bool,
}

impl ChangeSource {
    /// Whether anything is to be said of it anew.
    fn describes(&self) -> bool {
        self.reference.is_some()
            || self.reference_origin.is_some()
            || self.return_url.is_some()
            || self.metadata.is_some()
            || self.options.is_some()
    }
}

/// What became of the wish to throw a payment source away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removal {
    Removed,
    /// It has taken money, or may be taking some just now.
    Locked,
}

impl App {
    /// Changes a payment source. What Stripe is to know is told first: where it refuses, nothing is changed.
    ///
    /// # Errors
    /// [`AppError::NotFound`], also for another merchant's; why it is refused; [`AppError::OutcomeUnknown`] where Stripe was to
    /// be asked and does not answer.
    pub async fn change_payment_source(
        &self,
        caller: &Caller,
        door: &'static str,
        short_id: &str,
        it: ChangeSource,
        key: Option<Idempotency>,
    ) -> Result<PaymentSource, AppError> {
        let (app, merchant, context, short_id) = (
            self.clone(),
            caller.merchant.clone(),
            self.context(caller, door),
            short_id.to_owned(),
        );
        self.command(async move {
            let key = key.as_ref();
            let payment = match app.claimed_payment(&merchant, key).await? {
                Some(payment) => payment,
                None => app.listed(&merchant, &short_id).await?.payment,
            };
            let answer = match app.turn(&merchant, &context, payment, key).await? {
                Turn::Before(ended) => app.join(&merchant, &context, *ended, key).await?,
                Turn::Ours(_alone) => {
                    let changed = app.change_source(&merchant, &context, payment, &it).await;
                    app.end_turn(&merchant, &context, key, changed).await?
                }
            };
            app.as_source(&merchant, answer).await
        })
        .await
    }

    async fn change_source(
        &self,
        merchant: &Merchant,
        context: &Context,
        payment: PaymentId,
        it: &ChangeSource,
    ) -> Result<PaymentAnswer, AppError> {
        let driven = self.drive(merchant, payment, context, None).await?;
        let facts = driven
            .payment
            .state
            .facts()
            .ok_or(PaymentError::NoSuchPayment)?;
        let options = it.options.as_ref().map(|(_, stripe)| stripe.clone());
        if let Some(update) = update(facts, it.email.clone(), &options.unwrap_or_default()) {
            self.update_intent(merchant, context, facts, update).await?;
        }
        if it.describes() {
            self.describe_with(merchant, context, payment, |facts| described(facts, it))
                .await?;
        }
        if it.push {
            self.push_amount(merchant, context, payment).await?;
        }
        if it.pull {
            return self.pulled(merchant, context, payment).await;
        }
        self.refreshed(merchant, payment, context).await
    }

    /// Records what is said of a payment.
    pub(in crate::use_cases) async fn describe(
        &self,
        merchant: &Merchant,
        context: &Context,
        payment: PaymentId,
        description: &Description,
    ) -> Result<(), AppError> {
        self.describe_with(merchant, context, payment, |_| description.clone())
            .await
    }

    async fn describe_with(
        &self,
        merchant: &Merchant,
        context: &Context,
        id: PaymentId,
        description: impl Fn(&Facts) -> Description,
    ) -> Result<(), AppError> {
        loop {
            let before = self.inner.store.payment(&merchant.id, id).await?;
            let facts = before.state.facts().ok_or(PaymentError::NoSuchPayment)?;
            let command = PaymentCommand::Describe(Box::new(description(facts)));
            let events = before.state.decide(command)?;
            let commit = Commit {
                payment: Some(Decided { id, before, events }),
                ..Commit::default()
            };
            match self.inner.store.commit(&merchant.id, context, commit).await {
                Ok(_) => return Ok(()),
                Err(Trouble::Conflict) => {}
                Err(trouble) => return Err(trouble.into()),
            }
        }
    }

    /// The intent takes the order's amount. One that cannot is left as it is: it is not replaced by another behind the caller's
    /// back.
    async fn push_amount(
        &self,
        merchant: &Merchant,
        context: &Context,
        id: PaymentId,
    ) -> Result<(), AppError> {
        for _ in 0..ROUNDS {
            self.drive(merchant, id, context, None).await?;
            let before = self.inner.store.payment(&merchant.id, id).await?;
            let facts = before.state.facts().ok_or(PaymentError::NoSuchPayment)?;
            let order_id = facts.order.ok_or(OrderError::NoSuchOrder)?;
            let order = self.inner.store.order(&merchant.id, order_id).await?;
            let total = order.state.facts().ok_or(OrderError::NoSuchOrder)?.total();
            if facts.amount == total {
                return Ok(());
            }
            let retargeted = order
                .state
                .decide(OrderCommand::RequestPayment { payment: id })?;
            match retargeted.first() {
                None => {}
                Some(OrderEvent::PaymentRetargeted { payment, .. }) if *payment == id => {}
                // It is no way to pay this order any more, or another is.
                _ => return Err(OrderError::NotItsPayment.into()),
            }
            let intention = IntentionId::from_uuid(self.inner.store.ids.uuid());
            let command = PaymentCommand::Update {
                intention,
                changes: Box::new(Changes {
                    amount: Some(total),
                    ..Changes::default()
                }),
                enforce_minimum: merchant.enforce_minimum,
            };
            let events = before.state.decide(command)?;
            let commit = Commit {
                payment: Some(Decided { id, before, events }),
                order: Some(Decided {
                    id: order_id,
                    before: order,
                    events: retargeted,
                }),
                ..Commit::default()
            };
            let claimed = Claimed {
                payment: id,
                intention,
            };
            match self.inner.store.commit(&merchant.id, context, commit).await {
                Ok(_) => {
                    let answer = self.finish(merchant, context, claimed, None).await?;
                    return match answer.verdict {
                        Verdict::Refused(refusal) => Err(AppError::Refused(refusal)),
                        Verdict::Done | Verdict::Declined(_) => Ok(()),
                    };
                }
                Err(Trouble::Conflict) => {}
                Err(trouble) => return Err(trouble.into()),
            }
        }
        Err(AppError::OutcomeUnknown)
    }

    /// Throws a payment source away: its intent is cancelled first, so that the order keeps no hidden way to be paid.
    ///
    /// # Errors
    /// [`AppError::NotFound`], also for another merchant's; [`AppError::OutcomeUnknown`] where repeating the call goes on.
    pub async fn remove_payment_source(
        &self,
        caller: &Caller,
        door: &'static str,
        short_id: &str,
        key: Option<Idempotency>,
    ) -> Result<Removal, AppError> {
        let (app, merchant, context, short_id) = (
            self.clone(),
            caller.merchant.clone(),
            self.context(caller, door),
            short_id.to_owned(),
        );
        self.command(async move {
            let key = key.as_ref();
            let payment = match app.claimed_payment(&merchant, key).await? {
                Some(payment) => payment,
                None => app.listed(&merchant, &short_id).await?.payment,
            };
            let _alone = match app.turn(&merchant, &context, payment, key).await? {
                Turn::Before(_) => return Ok(Removal::Removed),
                Turn::Ours(alone) => alone,
            };
            let removed = app.remove(&merchant, &context, payment, key).await;
            match &removed {
                Ok(Removal::Removed) => {}
                // It may be let go one day.
                Ok(Removal::Locked) => app.refused(&merchant, &context, key).await?,
                Err(error) => app.free_turn(&merchant, &context, key, error).await?,
            }
            removed
        })
        .await
    }

    async fn remove(
        &self,
        merchant: &Merchant,
        context: &Context,
        id: PaymentId,
        key: Option<&Idempotency>,
    ) -> Result<Removal, AppError> {
        for _ in 0..ROUNDS {
            if let Some(removal) = self.step_off(merchant, context, id, key).await? {
                return Ok(removal);
            }
        }
        Err(AppError::OutcomeUnknown)
    }

    /// One step towards throwing it away; none where there is more to do. The last one answers the caller's key.
    async fn step_off(
        &self,
        merchant: &Merchant,
        context: &Context,
        id: PaymentId,
        key: Option<&Idempotency>,
    ) -> Result<Option<Removal>, AppError> {
        // Stripe may know of money that we do not.
        let answer = self.pulled(merchant, context, id).await?;
        match answer.facts.status {
            Status::Succeeded | Status::Processing => return Ok(Some(Removal::Locked)),
            _ if answer.facts.captured.is_positive() => return Ok(Some(Removal::Locked)),
            Status::Canceled | Status::Refused => {}
            _ => {
                let intent = answer.facts.intent.as_ref().ok_or(AppError::Internal)?;
                let step = PaymentStep::Cancel {
                    reason: None,
                    parameters: Parameters::default(),
                };
                let cancelled = self
                    .take_step(merchant, context, &intent.id, step, None)
                    .await;
                return match cancelled {
                    Ok(answer) => match answer.verdict {
                        Verdict::Refused(refusal) => {
                            self.why_kept(merchant, context, id, refusal).await
                        }
                        Verdict::Done | Verdict::Declined(_) => Ok(None),
                    },
                    // It has moved on meanwhile.
                    Err(AppError::Payment(PaymentError::UnexpectedState { .. })) => Ok(None),
                    Err(error) => Err(error),
                };
            }
        }
        let before = self.inner.store.payment(&merchant.id, id).await?;
        let events = before.state.decide(PaymentCommand::Discard)?;
        let after = u64::try_from(events.len()).map_err(|_| AppError::Internal)?;
        let after = before.version.saturating_add(after);
        let commit = Commit {
            payment: Some(Decided { id, before, events }),
            completes: key.map(|key| changed(key, after)),
            ..Commit::default()
        };
        match self.inner.store.commit(&merchant.id, context, commit).await {
            // Another instance may have gone through the steps under the same key, and was faster.
            Ok(_) | Err(Trouble::Claimed(_)) => Ok(Some(Removal::Removed)),
            Err(Trouble::Conflict) => Ok(None),
            Err(trouble) => Err(trouble.into()),
        }
    }

    /// Stripe does not cancel it: because it has been paid, or for a reason that the caller is told.
    async fn why_kept(
        &self,
        merchant: &Merchant,
        context: &Context,
        id: PaymentId,
        refusal: aggregates::payment::event::Refusal,
    ) -> Result<Option<Removal>, AppError> {
        let now = self.pulled(merchant, context, id).await?;
        match now.facts.status {
            Status::Succeeded | Status::Processing => Ok(Some(Removal::Locked)),
            Status::Canceled => Ok(None),
            _ => Err(AppError::Refused(refusal)),
        }
    }
}

/// What is said of the payment after the change.
fn described(facts: &Facts, it: &ChangeSource) -> Description {
    let before = facts.described.as_deref().cloned();
    let mut after = before.unwrap_or_else(|| Description {
        metadata: facts.said_metadata(),
        return_url: facts.return_url.clone(),
        ..Description::default()
    });
    let set = |text: &mut Option<String>, wanted: &Option<Option<String>>| {
        if let Some(wanted) = wanted {
            text.clone_from(wanted);
        }
    };
    set(&mut after.reference, &it.reference);
    set(&mut after.reference_origin, &it.reference_origin);
    set(&mut after.return_url, &it.return_url);
    if let Some((options, _)) = &it.options {
        after.options.clone_from(options);
    }
    if let Some(metadata) = &it.metadata {
        after.metadata.clone_from(metadata);
    }
    after
}
