//! What could not be found out by its deadline: shown to people, settled by one of them, approved by another.

use aggregates::ids::{IntentionId, MerchantId, PaymentId};
use aggregates::metadata::Actor;
use aggregates::parking::{self, ParkedState, ParkingError};
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
use crate::gateway::{self, StripeAnswer};
use crate::store::{
    Caller, Commit, Context, Decided, Found, LeasedWork, Merchant, ParkedRow, Trouble, WorkKind,
};
use crate::use_cases::once::{Left, Then, at_once};
use crate::use_cases::{App, AppError, Idempotency, Outcome};

/// An intention that waits, or has waited, for people.
pub type Parked = ParkedRow;

/// What a parked intention is a part of: a payment, or else a request of its own.
const OF_PAYMENT: &str = "payment";

/// Who settles something by hand.
#[derive(Debug, Clone)]
pub struct Settler {
    /// Whose things they may settle; none for an operator, who may settle everybody's.
    pub merchant: Option<MerchantId>,
    pub actor: Actor,
    /// Their own idempotency key, where they gave one.
    pub key: Option<Idempotency>,
}

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
    /// A caller who settles things of their own merchant's.
    pub fn settler(&self, caller: &Caller, door: &str, key: Option<Idempotency>) -> Settler {
        Settler {
            merchant: Some(caller.merchant.id.clone()),
            actor: self.context(caller, door).actor,
            key,
        }
    }

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

    /// What is parked of the caller's merchant, page by page, by intention: in one state or in any.
    ///
    /// # Errors
    /// [`AppError::Unavailable`].
    pub async fn parked_page(
        &self,
        caller: &Caller,
        state: Option<ParkedState>,
        after: Option<IntentionId>,
        limit: i64,
    ) -> Result<Found<Parked>, AppError> {
        let (merchant, work) = (&caller.merchant.id, &self.inner.store.work);
        Ok(work.parked_page(merchant, state, after, limit).await?)
    }

    /// Says what became of a parked intention. It counts once another person [approves](Self::approve_settlement).
    ///
    /// # Errors
    /// [`AppError::NotFound`], and what the rules say ([`ParkingError`]).
    pub async fn propose_settlement(
        &self,
        by: Settler,
        intention: IntentionId,
        outcome: ByHand,
        because: String,
    ) -> Result<Outcome<Parked>, SettleError> {
        let parked = self.parked_one(by.merchant.as_ref(), intention).await?;
        let (app, context) = (self.clone(), self.by_hand(by.actor, Some(&because)));
        self.by_people(async move {
            let (merchant, key) = (app.merchant(&whose(&parked)?).await?, by.key.as_ref());
            loop {
                if let Some(left) = app.before(&merchant, key).await? {
                    return app.settled(&merchant, &parked, left).await;
                }
                let by = context.actor.name.clone();
                let proposal = (outcome.clone(), by, because.clone());
                let proposed = app.proposed(&merchant, &parked, proposal).await?;
                let (then, commit) = proposed;
                let left = app.answer_at_once(&merchant, &context, then, commit, key);
                if let Some(left) = left.await? {
                    return app.settled(&merchant, &parked, left).await;
                }
            }
        })
        .await
    }

    async fn proposed(
        &self,
        merchant: &Merchant,
        parked: &Parked,
        (outcome, by, because): (ByHand, String, String),
    ) -> Result<(Then<IntentionId>, Commit), SettleError> {
        let intention = IntentionId::from_uuid(parked.intention);
        if parked.kind == OF_PAYMENT {
            let before = self.parked_payment(merchant, parked).await?;
            let state = &before.state;
            let events = state.propose_settlement(intention, outcome, by, because)?;
            let then = Then::after(intention, before.version, events.len())?;
            return Ok((then, of_payment(parked, before, events)));
        }
        let command = StripeRequestCommand::ProposeSettlement {
            outcome,
            by,
            because,
        };
        self.of_request(merchant, intention, command).await
    }

    /// Approves what another person proposed. Where it is said to have happened, it is read at Stripe first, and recorded from
    /// what Stripe shows.
    ///
    /// # Errors
    /// [`AppError::NotFound`]; [`AppError::OutcomeUnknown`] where Stripe does not answer; what the rules say
    /// ([`ParkingError`]), to the maker's own approval for one.
    pub async fn approve_settlement(
        &self,
        by: Settler,
        intention: IntentionId,
    ) -> Result<Outcome<Parked>, SettleError> {
        let parked = self.parked_one(by.merchant.as_ref(), intention).await?;
        let (app, context) = (self.clone(), self.by_hand(by.actor, None));
        self.by_people(async move {
            let (merchant, key) = (app.merchant(&whose(&parked)?).await?, by.key.as_ref());
            loop {
                if let Some(left) = app.before(&merchant, key).await? {
                    return app.settled(&merchant, &parked, left).await;
                }
                let then = if parked.kind == OF_PAYMENT {
                    app.approve_of_payment(&merchant, &context, &parked, key)
                        .await?
                } else {
                    app.approve_of_request(&merchant, &context, intention, key)
                        .await?
                };
                if let Some(then) = then {
                    metrics::counter!("counterfoil_parked_settled_total").increment(1);
                    return app.settled(&merchant, &parked, Left::now(then)).await;
                }
            }
        })
        .await
    }

    /// How the parked intention stood when the command had ended.
    async fn settled(
        &self,
        merchant: &Merchant,
        parked: &Parked,
        left: Left<IntentionId>,
    ) -> Result<Outcome<Parked>, SettleError> {
        let done = left.with::<()>(|_| None);
        let (store, at) = (&self.inner.store, Some(done.version));
        let found = if parked.kind == OF_PAYMENT {
            let id = PaymentId::from_uuid(parked.subject);
            let past = store.past_payment(&merchant.id, id, at).await;
            let past = past.map_err(AppError::from)?;
            let facts = past.as_ref().and_then(|it| it.state.facts());
            let all = facts.map(|facts| facts.parked.as_slice());
            all.and_then(|all| all.iter().rev().find(|it| it.intention == done.about))
                .cloned()
        } else {
            let past = store.past_request(&merchant.id, done.about, at).await;
            let past = past.map_err(AppError::from)?;
            let facts = past.as_ref().and_then(|it| it.state.facts());
            facts.and_then(|facts| facts.parked.clone())
        };
        let found = found.ok_or(AppError::Internal)?;
        Ok(Outcome {
            it: Parked::at(parked, &found),
            made: false,
            replayed: done.replayed,
        })
    }

    /// Runs it in a task of its own, as every command.
    async fn by_people(
        &self,
        work: impl Future<Output = Result<Outcome<Parked>, SettleError>> + Send + 'static,
    ) -> Result<Outcome<Parked>, SettleError> {
        self.command(async move {
            Ok(match work.await {
                Err(SettleError::App(error)) => return Err(error),
                settled => settled,
            })
        })
        .await?
    }

    /// None where somebody else was first: then it is to be decided again.
    async fn approve_of_payment(
        &self,
        merchant: &Merchant,
        context: &Context,
        parked: &Parked,
        key: Option<&Idempotency>,
    ) -> Result<Option<Then<IntentionId>>, SettleError> {
        let id = PaymentId::from_uuid(parked.subject);
        let intention = IntentionId::from_uuid(parked.intention);
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
        let then = Then::after(intention, before.version, events.len())?;
        let decided = Decided { id, before, events };
        let recorded = self
            .record_settled(merchant, context, decided, at_once(&then, key))
            .await?;
        Ok(recorded.then_some(then))
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
                gateway::Outcome::Said(view) => Ok(Said::Refund(view.snapshot)),
                gateway::Outcome::Refused(_) => Err(not_borne_out("Stripe does not show it")),
                gateway::Outcome::Unknown(_) => Err(AppError::OutcomeUnknown.into()),
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
            gateway::Outcome::Said(view) => Ok(Said::Intent(Box::new(view.snapshot))),
            gateway::Outcome::Refused(_) => Err(not_borne_out("Stripe does not show it")),
            gateway::Outcome::Unknown(_) => Err(AppError::OutcomeUnknown.into()),
        }
    }

    /// None where somebody else was first: then it is to be decided again.
    async fn approve_of_request(
        &self,
        merchant: &Merchant,
        context: &Context,
        intention: IntentionId,
        key: Option<&Idempotency>,
    ) -> Result<Option<Then<IntentionId>>, SettleError> {
        let answer = self.settled_answer(merchant, intention).await?;
        let text = |name: &str| answer.body.get(name).and_then(Value::as_str);
        let command = StripeRequestCommand::ApproveSettlement {
            by: context.actor.name.clone(),
            object: text("object").map(str::to_owned),
            id: text("id").map(str::to_owned),
            answer: self.kept_of_request(merchant, intention, &answer).await?,
        };
        let (then, mut commit) = self.of_request(merchant, intention, command).await?;
        let before = commit.stripe_request.as_ref().map(|it| &it.before);
        if let Some(facts) = before.and_then(|before| before.state.facts()) {
            commit.order = self.after_change(merchant, &facts.request, &answer).await?;
        }
        (commit.claim, commit.completes) = at_once(&then, key).unzip();
        if !self.recorded(merchant, context, commit).await? {
            return Ok(None);
        }
        crate::crash_point!("settlement-approved");
        if answer.status < 300 {
            self.notice(merchant, context, &answer.body).await?;
        }
        Ok(Some(then))
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
                    let before = store.payment(&merchant.id, id).await;
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
                    self.of_request(merchant, intention, command).await?.1
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
        Ok(self.inner.store.payment(&merchant.id, id).await?)
    }

    async fn of_request(
        &self,
        merchant: &Merchant,
        id: IntentionId,
        command: StripeRequestCommand,
    ) -> Result<(Then<IntentionId>, Commit), SettleError> {
        let before = self.inner.store.stripe_request(&merchant.id, id).await;
        let before = before.map_err(AppError::from)?;
        let events = before.state.decide(command).map_err(|error| match error {
            StripeRequestError::Parking(error) => SettleError::Refused(error),
            _ => AppError::Internal.into(),
        })?;
        let then = Then::after(id, before.version, events.len())?;
        let commit = Commit {
            stripe_request: Some(Decided { id, before, events }),
            ..Commit::default()
        };
        Ok((then, commit))
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
            Err(Trouble::Conflict | Trouble::Claimed(_)) => Ok(false),
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

impl Parked {
    /// The same intention, as it stood at another time.
    fn at(it: &Self, then: &parking::Parked) -> Self {
        let proposal = then.proposal.as_ref();
        let outcome = proposal.map(|it| &it.outcome);
        Self {
            state: then.state.to_string(),
            outcome: outcome.map(ToString::to_string),
            stripe_id: outcome.and_then(ByHand::stripe_id).map(str::to_owned),
            proposed_by: proposal.map(|it| it.by.clone()),
            because: proposal.map(|it| it.because.clone()),
            approved_by: then.approved_by.clone(),
            ..it.clone()
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
