//! One more step of a payment that exists: update, confirm, capture, cancel.

use aggregates::ids::{IntentionId, PaymentId};
use aggregates::money::{Currency, Money};
use aggregates::payment::event::{CancellationReason, Changes, PaymentEvent};
use aggregates::payment::terms::{ConfirmTerms, Parameters};
use aggregates::payment::{Payment, PaymentCommand, PaymentError};
use aggregates::sealed::Sealed;
use aggregates::sealed::subject_of_payment;
use projections::fold::Versioned;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::idempotency::{Claimed, Idempotency, Intended, Standing};
use super::payments::PaymentAnswer;
use super::verdict::Verdict;
use super::{App, AppError};
use crate::gateway::Card;
use crate::personal::Personal;
use crate::store::{Caller, Context, Merchant};

/// What is asked of a payment. Amounts in minor units of its own currency.
pub enum PaymentStep {
    Update(Box<Update>),
    Confirm {
        payment_method: Option<String>,
        card: Option<Box<Card>>,
        terms: ConfirmTerms,
    },
    /// None: all that is held.
    Capture {
        amount_minor: Option<i64>,
        /// Keys to set with it; an empty value unsets its key.
        metadata: BTreeMap<String, String>,
        /// What Stripe alone judges.
        parameters: Parameters,
    },
    Cancel {
        reason: Option<CancellationReason>,
        /// What Stripe alone judges.
        parameters: Parameters,
    },
}

/// A change of a payment: only what is named changes.
#[derive(Default)]
pub struct Update {
    pub amount_minor: Option<i64>,
    pub currency: Option<Currency>,
    pub payment_method: Option<String>,
    pub card: Option<Box<Card>>,
    pub customer: Option<String>,
    pub description: Option<String>,
    /// Keys to set; an empty value unsets its key.
    pub metadata: BTreeMap<String, String>,
    /// All metadata is unset first.
    pub clear_metadata: bool,
    pub attributes: BTreeMap<String, String>,
    /// What is given here replaces what was known.
    pub personal: Personal,
    /// What Stripe alone judges.
    pub parameters: Parameters,
}

impl App {
    /// Takes one step with the payment that has Stripe's intent `intent`.
    ///
    /// # Errors
    /// [`AppError`]; where another step is under way, that one is waited for and the wish is judged on its outcome.
    pub async fn step(
        &self,
        caller: &Caller,
        door: &'static str,
        intent: String,
        step: PaymentStep,
        key: Option<Idempotency>,
    ) -> Result<PaymentAnswer, AppError> {
        let (app, merchant, context) = (
            self.clone(),
            caller.merchant.clone(),
            self.context(caller, door),
        );
        let beside = beside(&step);
        self.command(async move {
            let taken = app
                .take_step(&merchant, &context, &intent, step, key.as_ref())
                .await?;
            if let Some(update) = beside
                && taken.verdict == Verdict::Done
                && !taken.replayed
            {
                // Stripe has it already; this tells the ledger. The money is taken, whatever becomes of it.
                let told = app.take_step(&merchant, &context, &intent, update, None);
                if let Err(error) = told.await {
                    tracing::warn!(%intent, %error, "the metadata of a capture is not recorded");
                }
            }
            Ok(taken)
        })
        .await
    }

    pub(super) async fn take_step(
        &self,
        merchant: &Merchant,
        context: &Context,
        intent: &str,
        step: PaymentStep,
        key: Option<&Idempotency>,
    ) -> Result<PaymentAnswer, AppError> {
        let standing = self.standing(merchant, key).await?;
        let taken = match standing {
            Standing::Free => match self.begin_step(merchant, context, intent, step, key).await {
                Ok(answer) => return Ok(answer),
                Err(refused) => self.or_taken(merchant, key, refused).await?,
            },
            taken => taken,
        };
        self.join(merchant, context, taken, key).await
    }

    async fn begin_step(
        &self,
        merchant: &Merchant,
        context: &Context,
        intent: &str,
        mut step: PaymentStep,
        key: Option<&Idempotency>,
    ) -> Result<PaymentAnswer, AppError> {
        let id = self.find_or_adopt(merchant, context, intent).await?;
        let intention = IntentionId::from_uuid(self.inner.store.ids.uuid());
        let claimed = Claimed {
            payment: id,
            intention,
        };
        loop {
            let payment = self.inner.store.payment(&merchant.id, id).await?;
            let events = match decide(merchant, &payment.state, &step, intention) {
                // Whoever is at work first: then the rules are asked again.
                Err(AppError::Payment(PaymentError::InProgress)) => {
                    self.drive(merchant, id, context, None).await?;
                    continue;
                }
                decided => decided?,
            };
            // Nothing is asked for that is not so already.
            if events.is_empty() {
                return self.refreshed(merchant, id, context).await;
            }
            if self.make_method(merchant, &mut step).await? {
                continue;
            }
            let events = self
                .seal_step(merchant, id, &payment, events, &step)
                .await?;
            let decided = (Arc::clone(&payment), events);
            match self
                .intend(merchant, context, claimed, decided, key)
                .await?
            {
                Intended::Recorded => return self.finish(merchant, context, claimed, key).await,
                Intended::Outrun => {}
                Intended::Taken(standing) => {
                    return self.join(merchant, context, *standing, key).await;
                }
            }
        }
    }

    /// Makes a payment method of the step's raw card, once the rules allow the step. True where one was made.
    async fn make_method(
        &self,
        merchant: &Merchant,
        step: &mut PaymentStep,
    ) -> Result<bool, AppError> {
        let (card, payment_method) = match step {
            PaymentStep::Confirm {
                card,
                payment_method,
                ..
            } => (card, payment_method),
            PaymentStep::Update(update) => (&mut update.card, &mut update.payment_method),
            PaymentStep::Capture { .. } | PaymentStep::Cancel { .. } => return Ok(false),
        };
        let Some(given) = card.as_ref() else {
            return Ok(false);
        };
        *payment_method = Some(self.payment_method(merchant, given).await?);
        *card = None;
        Ok(true)
    }

    /// Seals what an update says of the person, together with what was known.
    async fn seal_step(
        &self,
        merchant: &Merchant,
        id: PaymentId,
        payment: &Versioned<Payment>,
        events: Vec<PaymentEvent>,
        step: &PaymentStep,
    ) -> Result<Vec<PaymentEvent>, AppError> {
        let (PaymentStep::Update(update), Some(facts)) = (step, payment.state.facts()) else {
            return Ok(events);
        };
        if update.personal.is_empty() {
            return Ok(events);
        }
        let known = self
            .personal(&merchant.id, facts)
            .await?
            .unwrap_or_default();
        let personal = Personal {
            email: update.personal.email.clone().or(known.email),
            shipping: update.personal.shipping.clone().or(known.shipping),
        };
        let subject = subject_of_payment(id, facts.order);
        self.with_personal(merchant, &subject, events, &personal)
            .await
    }
}

/// What Stripe changes along with the step, as a step of its own.
fn beside(step: &PaymentStep) -> Option<PaymentStep> {
    match step {
        PaymentStep::Capture { metadata, .. } if !metadata.is_empty() => {
            Some(PaymentStep::Update(Box::new(Update {
                metadata: metadata.clone(),
                ..Update::default()
            })))
        }
        _ => None,
    }
}

/// What the rules make of the step. A card that is still to travel counts as a method.
fn decide(
    merchant: &Merchant,
    payment: &Payment,
    step: &PaymentStep,
    intention: IntentionId,
) -> Result<Vec<PaymentEvent>, AppError> {
    let facts = payment.facts().ok_or(PaymentError::NoSuchPayment)?;
    let method = |named: &Option<String>, card: &Option<Box<Card>>| {
        named
            .clone()
            .or_else(|| card.as_ref().map(|_| "pm_to_be_made".to_owned()))
    };
    let command = match step {
        PaymentStep::Update(update) => {
            let changes = Box::new(changes(
                facts,
                update,
                method(&update.payment_method, &update.card),
            ));
            PaymentCommand::Update {
                intention,
                changes,
                enforce_minimum: merchant.enforce_minimum,
            }
        }
        PaymentStep::Confirm {
            payment_method,
            card,
            terms,
        } => PaymentCommand::Confirm {
            intention,
            payment_method: method(payment_method, card),
            terms: terms.clone(),
        },
        PaymentStep::Capture {
            amount_minor,
            parameters,
            ..
        } => {
            let amount = amount_minor.map(|minor| Money::new(minor, facts.amount.currency()));
            PaymentCommand::Capture {
                intention,
                amount,
                parameters: parameters.clone(),
            }
        }
        PaymentStep::Cancel { reason, parameters } => PaymentCommand::Cancel {
            intention,
            reason: *reason,
            parameters: parameters.clone(),
        },
    };
    Ok(payment.decide(command)?)
}

fn changes(
    facts: &aggregates::payment::state::Facts,
    update: &Update,
    payment_method: Option<String>,
) -> Changes {
    let currency = update.currency.unwrap_or(facts.amount.currency());
    let minor = update
        .amount_minor
        .or(update.currency.map(|_| facts.amount.minor()));
    let mut metadata = update.metadata.clone();
    if update.clear_metadata {
        // Stripe is told key by key.
        for key in facts.metadata.as_map().keys() {
            metadata.entry(key.clone()).or_default();
        }
    }
    Changes {
        amount: minor.map(|minor| Money::new(minor, currency)),
        payment_method,
        customer: update.customer.clone(),
        description: update.description.clone(),
        metadata,
        clear_metadata: false,
        attributes: update.attributes.clone(),
        // What is sealed takes its place before anything is recorded.
        personal: (!update.personal.is_empty()).then(to_be_sealed),
        parameters: update.parameters.clone(),
    }
}

fn to_be_sealed() -> Sealed {
    Sealed {
        subject: String::new(),
        nonce: String::new(),
        ciphertext: String::new(),
    }
}
