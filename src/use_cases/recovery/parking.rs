//! What could not be found out by its deadline: shown to people, settled by one of them, approved by another.

use aggregates::ids::{IntentionId, MerchantId, PaymentId};
use aggregates::metadata::Actor;
use aggregates::parking::ParkingError;
use aggregates::payment::command::Said;
use aggregates::payment::event::Refusal;
use aggregates::payment::{Payment, PaymentCommand, PaymentEvent};
use aggregates::sealed::{Sealed, subject_of_request};
use aggregates::stripe_request::{StripeRequestCommand, StripeRequestError};
use projections::fold::Versioned;
use serde_json::Value;
use std::sync::Arc;

pub use aggregates::parking::ByHand;

use super::lookup::refusal_of;
use crate::gateway::{Outcome, StripeAnswer};
use crate::store::{Commit, Context, Decided, LeasedWork, Merchant, ParkedRow, Trouble, WorkKind};
use crate::use_cases::{App, AppError};

/// An intention that waits, or has waited, for people.
pub type Parked = ParkedRow;

/// What a parked intention is a part of: a payment, or else a request of its own.
const OF_PAYMENT: &str = "payment";

/// Why something is not settled by hand.
#[derive(Debug, thiserror::Error)]
pub enum SettleError {
    /// The rules say no; nothing was recorded.
    #[error(transparent)]
    Refused(#[from] ParkingError),
    #[error(transparent)]
    App(#[from] AppError),
}

impl App {
    /// What is parked, oldest first: of one merchant or of all; with what is settled too, or only what waits.
    ///
    /// # Errors
    /// [`AppError::Unavailable`].
    pub async fn parked(
        &self,
        merchant: Option<&MerchantId>,
        settled_too: bool,
    ) -> Result<Vec<Parked>, AppError> {
        Ok(self.inner.store.work.parked(merchant, settled_too).await?)
    }

    /// One parked intention; `merchant` is none for an operator, who may see everybody's.
    ///
    /// # Errors
    /// [`AppError::NotFound`], also for another merchant's.
    pub async fn parked_one(
        &self,
        merchant: Option<&MerchantId>,
        intention: IntentionId,
    ) -> Result<Parked, AppError> {
        let found = self.inner.store.work.parked_one(intention).await?;
        found
            .filter(|it| merchant.is_none_or(|merchant| it.merchant == merchant.as_str()))
            .ok_or_else(|| AppError::NotFound {
                what: "parked intention",
                id: intention.to_string(),
            })
    }

    /// Says what became of a parked intention. It counts once another person [approves](Self::approve_settlement).
    ///
    /// # Errors
    /// [`AppError::NotFound`], and what the rules say ([`ParkingError`]).
    pub async fn propose_settlement(
        &self,
        merchant: Option<&MerchantId>,
        actor: Actor,
        intention: IntentionId,
        outcome: ByHand,
        because: String,
    ) -> Result<(), SettleError> {
        let parked = self.parked_one(merchant, intention).await?;
        let (app, context) = (self.clone(), self.by_hand(actor, Some(&because)));
        self.by_people(async move {
            let by = context.actor.name.clone();
            let merchant = app.merchant(&whose(&parked)?).await?;
            loop {
                let (outcome, by, because) = (outcome.clone(), by.clone(), because.clone());
                let commit = if parked.kind == OF_PAYMENT {
                    let before = app.parked_payment(&merchant, &parked).await?;
                    let state = &before.state;
                    let events = state.propose_settlement(intention, outcome, by, because)?;
                    of_payment(&parked, before, events)
                } else {
                    let command = StripeRequestCommand::ProposeSettlement {
                        outcome,
                        by,
                        because,
                    };
                    app.of_request(&merchant, intention, command).await?
                };
                if app.recorded(&merchant, &context, commit).await? {
                    return Ok(());
                }
            }
        })
        .await
    }

    /// Approves what another person proposed. Where it is said to have happened, it is read at Stripe first, and recorded from
    /// what Stripe shows.
    ///
    /// # Errors
    /// [`AppError::NotFound`]; [`AppError::OutcomeUnknown`] where Stripe does not answer; what the rules say
    /// ([`ParkingError`]), to the maker's own approval for one.
    pub async fn approve_settlement(
        &self,
        merchant: Option<&MerchantId>,
        actor: Actor,
        intention: IntentionId,
    ) -> Result<(), SettleError> {
        let parked = self.parked_one(merchant, intention).await?;
        let (app, context) = (self.clone(), self.by_hand(actor, None));
        self.by_people(async move {
            let merchant = app.merchant(&whose(&parked)?).await?;
            if parked.kind == OF_PAYMENT {
                app.approve_of_payment(&merchant, &context, &parked).await?;
            } else {
                app.approve_of_request(&merchant, &context, intention)
                    .await?;
            }
            metrics::counter!("counterfoil_parked_settled_total").increment(1);
            Ok(())
        })
        .await
    }

    /// Runs it in a task of its own, as every command.
    async fn by_people(
        &self,
        work: impl Future<Output = Result<(), SettleError>> + Send + 'static,
    ) -> Result<(), SettleError> {
        self.command(async move {
            Ok(match work.await {
                Err(SettleError::App(error)) => return Err(error),
                settled => settled,
            })
        })
        .await?
    }

    async fn approve_of_payment(
        &self,
        merchant: &Merchant,
        context: &Context,
        parked: &Parked,
    ) -> Result<(), SettleError> {
        let id = PaymentId::from_uuid(parked.subject);
        let intention = IntentionId::from_uuid(parked.intention);
        loop {
            let before = self.parked_payment(merchant, parked).await?;
            let facts = before.state.facts().ok_or(AppError::Internal)?;
            let waiting = facts.parked.iter().find(|it| it.intention == intention);
            let proposal = waiting.and_then(|it| it.proposal.as_ref());
            let shown = match proposal.map(|it| &it.outcome) {
                Some(ByHand::Happened { stripe_id }) => {
                    Some(self.shown_by_hand(merchant, id, stripe_id).await?)
                }
                _ => None,
            };
            let by = &context.actor.name;
            let events = before.state.approve_settlement(intention, by, shown)?;
            let decided = Decided { id, before, events };
            if self.record_settled(merchant, context, decided).await? {
                return Ok(());
            }
        }
    }

    /// What Stripe shows of the object that somebody named.
    async fn shown_by_hand(
        &self,
        merchant: &Merchant,
        payment: PaymentId,
        stripe_id: &str,
    ) -> Result<Said, SettleError> {
        let (account, gateway) = (&merchant.stripe_account, &self.inner.gateway);
        if stripe_id.starts_with("re_") || stripe_id.starts_with("pyr_") {
            return match gateway.refund_by_id(account, stripe_id).await {
                Outcome::Said(view) => Ok(Said::Refund(view.snapshot)),
                Outcome::Refused(_) => Err(not_borne_out("Stripe does not show it")),
                Outcome::Unknown(_) => Err(AppError::OutcomeUnknown.into()),
            };
        }
        // Each object of Stripe's belongs to one payment.
        let store = &self.inner.store;
        let other = store.payment_by_intent(&merchant.id, stripe_id).await;
        if other
            .map_err(AppError::from)?
            .is_some_and(|other| other != payment)
        {
            return Err(not_borne_out("the intent is another payment's"));
        }
        match gateway.intent(account, stripe_id).await {
            Outcome::Said(view) => Ok(Said::Intent(Box::new(view.snapshot))),
            Outcome::Refused(_) => Err(not_borne_out("Stripe does not show it")),
            Outcome::Unknown(_) => Err(AppError::OutcomeUnknown.into()),
        }
    }

    async fn approve_of_request(
        &self,
        merchant: &Merchant,
        context: &Context,
        intention: IntentionId,
    ) -> Result<(), SettleError> {
        loop {
            let answer = self.settled_answer(merchant, intention).await?;
            let text = |name: &str| answer.body.get(name).and_then(Value::as_str);
            let command = StripeRequestCommand::ApproveSettlement {
                by: context.actor.name.clone(),
                object: text("object").map(str::to_owned),
                id: text("id").map(str::to_owned),
                answer: self.kept_of_request(merchant, intention, &answer).await?,
            };
            let mut commit = self.of_request(merchant, intention, command).await?;
            let before = commit.stripe_request.as_ref().map(|it| &it.before);
            if let Some(facts) = before.and_then(|before| before.state.facts()) {
                commit.order = self.after_change(merchant, &facts.request, &answer).await?;
            }
            if self.recorded(merchant, context, commit).await? {
                crate::crash_point!("settlement-approved");
                if answer.status < 300 {
                    self.notice(merchant, context, &answer.body).await?;
                }
                return Ok(());
            }
        }
    }

    /// What is answered for a request from then on: the object as Stripe shows it, or the refusal.
    async fn settled_answer(
        &self,
        merchant: &Merchant,
        intention: IntentionId,
    ) -> Result<StripeAnswer, AppError> {
        let before = self
            .inner
            .store
            .stripe_request(&merchant.id, intention)
            .await?;
        let facts = before.state.facts().ok_or(AppError::Internal)?;
        let proposal = facts.parked.as_ref().and_then(|it| it.proposal.as_ref());
        match proposal.map(|it| &it.outcome) {
            Some(ByHand::Happened { stripe_id }) => {
                let path = object_path(&facts.request.path, stripe_id);
                self.read(merchant, &path, "").await
            }
            _ => Ok(refusal_of(&Refusal::settled_by_hand())),
        }
    }

    async fn kept_of_request(
        &self,
        merchant: &Merchant,
        intention: IntentionId,
        answer: &StripeAnswer,
    ) -> Result<Sealed, AppError> {
        let store = &self.inner.store;
        let before = store.stripe_request(&merchant.id, intention).await?;
        let facts = before.state.facts().ok_or(AppError::Internal)?;
        let subject = facts.request.parameters.as_ref().map_or_else(
            || subject_of_request(intention, None),
            |sealed| sealed.subject.clone(),
        );
        self.keep(&merchant.id, &subject, answer).await
    }

    /// Parks what recovery could not find out by its deadline.
    pub(super) async fn park(
        &self,
        merchant: &Merchant,
        context: &Context,
        it: &LeasedWork,
        reason: &str,
    ) -> Result<(), SettleError> {
        let intention = IntentionId::from_uuid(it.intention);
        loop {
            let reason = reason.to_owned();
            let commit = match it.kind() {
                WorkKind::Step | WorkKind::Refund => {
                    let id = PaymentId::from_uuid(it.subject);
                    let store = &self.inner.store;
                    let before = store.payment_from_log(&merchant.id, id).await;
                    let before = before.map_err(AppError::from)?;
                    let command = PaymentCommand::Park { intention, reason };
                    let events = before.state.decide(command).map_err(AppError::from)?;
                    Commit {
                        payment: Some(Decided { id, before, events }),
                        ..Commit::default()
                    }
                }
                WorkKind::Change => {
                    let command = StripeRequestCommand::Park { reason };
                    self.of_request(merchant, intention, command).await?
                }
            };
            if self.recorded(merchant, context, commit).await? {
                return Ok(());
            }
        }
    }

    async fn parked_payment(
        &self,
        merchant: &Merchant,
        parked: &Parked,
    ) -> Result<Arc<Versioned<Payment>>, AppError> {
        let id = PaymentId::from_uuid(parked.subject);
        Ok(self.inner.store.payment_from_log(&merchant.id, id).await?)
    }

    async fn of_request(
        &self,
        merchant: &Merchant,
        id: IntentionId,
        command: StripeRequestCommand,
    ) -> Result<Commit, SettleError> {
        let before = self.inner.store.stripe_request(&merchant.id, id).await;
        let before = before.map_err(AppError::from)?;
        let events = before.state.decide(command).map_err(|error| match error {
            StripeRequestError::Parking(error) => SettleError::Refused(error),
            _ => AppError::Internal.into(),
        })?;
        Ok(Commit {
            stripe_request: Some(Decided { id, before, events }),
            ..Commit::default()
        })
    }

    /// False where somebody else was first: then it is to be decided again.
    async fn recorded(
        &self,
        merchant: &Merchant,
        context: &Context,
        commit: Commit,
    ) -> Result<bool, AppError> {
        match self.inner.store.commit(&merchant.id, context, commit).await {
            Ok(_) => Ok(true),
            Err(Trouble::Conflict) => Ok(false),
            Err(trouble) => Err(trouble.into()),
        }
    }

    fn by_hand(&self, actor: Actor, because: Option<&str>) -> Context {
        Context {
            reason: because.map(str::to_owned),
            ..self.context_of(actor)
        }
    }
}

fn of_payment(
    parked: &Parked,
    before: Arc<Versioned<Payment>>,
    events: Vec<PaymentEvent>,
) -> Commit {
    let id = PaymentId::from_uuid(parked.subject);
    Commit {
        payment: Some(Decided { id, before, events }),
        ..Commit::default()
    }
}

fn whose(parked: &Parked) -> Result<MerchantId, AppError> {
    parked.merchant.parse().map_err(|_| AppError::Internal)
}

fn not_borne_out(because: &str) -> SettleError {
    SettleError::Refused(ParkingError::NotBorneOut {
        because: because.to_owned(),
    })
}

/// Where the object is read that a request was to make or change: beside what it was made in, or where it was changed.
fn object_path(path: &str, stripe_id: &str) -> String {
    match path.split_once(stripe_id) {
        Some((before, _)) => format!("{before}{stripe_id}"),
        None => format!("{path}/{stripe_id}"),
    }
}
