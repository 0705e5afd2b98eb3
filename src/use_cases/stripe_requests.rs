//! What is Stripe's alone: read through, and changed with an intention before and an outcome after.

use aggregates::ids::{IntentionId, MerchantId, OrderId};
use aggregates::sealed::subject_of_request;
use aggregates::stripe_request::{
    ChangeRequested, Facts, Method, Status, StripeRequest, StripeRequestCommand, StripeRequestEvent,
};
use projections::fold::Versioned;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::Arc;
use tokio::time::timeout;

use super::idempotency::{Idempotency, Standing};
use super::kept::as_listed;
use super::marks::{is_marked, mark, marked};
use super::recovery::Way;
use super::verdict::Verdict;
use super::{App, AppError};
use crate::gateway::{self, Outcome, Request, StripeAnswer, Verb};
use crate::store::{Caller, Commit, Context, Decided, Merchant, Trouble, WorkKind};

/// A change at Stripe.
pub struct Change {
    pub method: Method,
    /// Below Stripe's version: `/customers/cus_1`.
    pub path: String,
    /// Form-encoded; empty where there is nothing to say.
    pub form: String,
    /// The customer of Stripe's whose data it is, where one is named.
    pub customer: Option<String>,
    /// Whether an intent comes of it at Stripe: it is marked, so that it is known when it comes.
    pub makes_intent: bool,
    /// The order whose checkout it opens or ends.
    pub order: Option<OrderId>,
}

/// The intention of a change, and the state it was decided on.
pub(super) type AskedChange = Decided<IntentionId, StripeRequest, StripeRequestEvent>;

/// What a claim of a change stands for.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct ClaimedChange {
    pub request: IntentionId,
}

/// The claim of a change is answered: the request's own events hold the answer.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct EndedChange {
    /// Stripe refused to begin: the caller's key is free again.
    #[serde(default)]
    pub not_begun: bool,
}

impl App {
    /// What Stripe answers to a read, in its own words. A secret is shown only where one object was asked for by its id.
    ///
    /// # Errors
    /// [`AppError::OutcomeUnknown`] where Stripe does not answer.
    pub async fn look(
        &self,
        caller: &Caller,
        door: &'static str,
        path: String,
        query: String,
    ) -> Result<StripeAnswer, AppError> {
        let (app, merchant, context) = (
            self.clone(),
            caller.merchant.clone(),
            self.context(caller, door),
        );
        self.command(async move {
            let mut answer = app.read(&merchant, &path, &query).await?;
            if answer.status < 300 {
                app.notice(&merchant, &context, &answer.body).await?;
                app.show_as_processing(&merchant, &mut answer.body).await?;
                if !is_one(&answer.body) {
                    as_listed(&mut answer.body);
                }
            }
            Ok(answer)
        })
        .await
    }

    /// An intent whose confirm or capture has no outcome yet reads as processing: what Stripe shows may change any moment.
    async fn show_as_processing(
        &self,
        merchant: &Merchant,
        body: &mut Value,
    ) -> Result<(), AppError> {
        let text = |name: &str| body.get(name).and_then(Value::as_str);
        let (Some("payment_intent"), Some(intent)) = (text("object"), text("id")) else {
            return Ok(());
        };
        let store = &self.inner.store;
        let Some(payment) = store.payment_by_intent(&merchant.id, intent).await? else {
            return Ok(());
        };
        let payment = store.payment(&merchant.id, payment).await?;
        let facts = payment.state.facts();
        if facts.is_some_and(|facts| facts.public_status() != facts.status) {
            body["status"] = "processing".into();
        }
        Ok(())
    }

    /// An intent as its client secret opens it, for a customer's browser; Stripe's refusal where the secret is another's.
    ///
    /// # Errors
    /// [`AppError::OutcomeUnknown`] where Stripe does not answer.
    pub async fn look_with_secret(
        &self,
        caller: &Caller,
        intent: &str,
        client_secret: &SecretString,
    ) -> Result<StripeAnswer, AppError> {
        let query = serde_urlencoded::to_string([("client_secret", client_secret.expose_secret())])
            .expect("a pair of texts always encodes");
        self.read(
            &caller.merchant,
            &format!("/payment_intents/{intent}"),
            &query,
        )
        .await
    }

    /// Makes a payment method. It moves no money and may hold a raw card, so it is sent once, from memory, and nothing of it
    /// is kept here: under the caller's key Stripe itself answers the same again.
    ///
    /// # Errors
    /// [`AppError::OutcomeUnknown`] where Stripe does not answer.
    pub async fn make_payment_method(
        &self,
        caller: &Caller,
        door: &'static str,
        form: SecretString,
        key: Option<&Idempotency>,
    ) -> Result<StripeAnswer, AppError> {
        self.check_key(caller, key).await?;
        let forwarded = key.map(|key| self.forwarded(&caller.merchant.id, key));
        let request = Request {
            verb: Verb::Post,
            path: "/payment_methods",
            parameters: Some(form.expose_secret()),
            key: forwarded.as_deref(),
        };
        let said = self.ask_stripe(&caller.merchant, request).await?;
        if let Some(key) = key.filter(|_| matches!(said.status, 200 | 402) && !said.replayed) {
            self.take_key(caller, door, key).await?;
        }
        Ok(said)
    }

    /// The key is used now, and Stripe keeps the answer.
    async fn take_key(
        &self,
        caller: &Caller,
        door: &'static str,
        key: &Idempotency,
    ) -> Result<(), AppError> {
        let commit = Commit {
            claim: Some(key.claim(&serde_json::json!({"at_stripe": true}))),
            completes: Some(key.completion(&EndedChange { not_begun: false })),
            ..Commit::default()
        };
        let (app, merchant, context) = (
            self.clone(),
            caller.merchant.clone(),
            self.context(caller, door),
        );
        self.command(async move {
            match app.inner.store.commit(&merchant.id, &context, commit).await {
                Ok(_) | Err(Trouble::Claimed(_)) => Ok(()),
                Err(trouble) => Err(trouble.into()),
            }
        })
        .await
    }

    /// Changes something at Stripe that no payment carries.
    ///
    /// # Errors
    /// [`AppError`]; what Stripe refuses is an answer too.
    pub async fn change(
        &self,
        caller: &Caller,
        door: &'static str,
        change: Change,
        key: Option<Idempotency>,
    ) -> Result<StripeAnswer, AppError> {
        let (app, merchant, context) = (
            self.clone(),
            caller.merchant.clone(),
            self.context(caller, door),
        );
        self.command(async move {
            app.carry_out(&merchant, &context, change, key.as_ref())
                .await
        })
        .await
    }

    pub(super) async fn carry_out(
        &self,
        merchant: &Merchant,
        context: &Context,
        change: Change,
        key: Option<&Idempotency>,
    ) -> Result<StripeAnswer, AppError> {
        let mut standing = self.standing(merchant, key).await?;
        if matches!(standing, Standing::Free) {
            let request = IntentionId::from_uuid(self.inner.store.ids.uuid());
            standing = self
                .intend_change(merchant, context, request, change, key)
                .await?;
            if let Standing::Open(ClaimedChange { request: opened }) = standing
                && opened == request
            {
                return self.drive_change(merchant, context, request, key).await;
            }
        }
        self.answer_claimed(merchant, context, standing, key).await
    }

    /// The answer to the request that the caller's key was claimed for: joined where it runs, given again where it has ended.
    pub(super) async fn answer_claimed(
        &self,
        merchant: &Merchant,
        context: &Context,
        standing: Standing<ClaimedChange, EndedChange>,
        key: Option<&Idempotency>,
    ) -> Result<StripeAnswer, AppError> {
        let mut answer = match standing {
            Standing::Free => return Err(AppError::Internal),
            Standing::Open(it) => {
                let driving = self.drive_change(merchant, context, it.request, key);
                timeout(self.inner.options.join_within, driving)
                    .await
                    .map_err(|_| AppError::KeyInUse)??
            }
            Standing::Ended(it, EndedChange { .. }) => {
                self.drive_change(merchant, context, it.request, None)
                    .await?
            }
        };
        answer.replayed = true;
        Ok(answer)
    }

    async fn intend_change(
        &self,
        merchant: &Merchant,
        context: &Context,
        request: IntentionId,
        change: Change,
        key: Option<&Idempotency>,
    ) -> Result<Standing<ClaimedChange, EndedChange>, AppError> {
        let claimed = ClaimedChange { request };
        let commit = Commit {
            stripe_request: Some(self.asked(merchant, request, change).await?),
            claim: key.map(|key| key.claim(&claimed)),
            ..Commit::default()
        };
        match (
            self.inner.store.commit(&merchant.id, context, commit).await,
            key,
        ) {
            (Ok(_), _) => Ok(Standing::Open(claimed)),
            (Err(Trouble::Claimed(found)), Some(key)) => key.standing(&found),
            (Err(trouble), _) => Err(trouble.into()),
        }
    }

    /// The intention of a change, to be committed; what Stripe is to be told is sealed.
    pub(super) async fn asked(
        &self,
        merchant: &Merchant,
        request: IntentionId,
        change: Change,
    ) -> Result<AskedChange, AppError> {
        let mut form = change.form;
        if change.makes_intent {
            form.push_str(&marked(&merchant.id));
        }
        if is_marked(&change.path) && change.method == Method::Post {
            mark(&mut form, request);
        }
        let parameters = if form.is_empty() {
            None
        } else {
            let subject = subject_of_request(request, change.customer.as_deref());
            let vault = &self.inner.store.vault;
            Some(vault.seal(&merchant.id, &subject, &form).await?)
        };
        let asked = ChangeRequested {
            intention: request,
            merchant: merchant.id.clone(),
            method: change.method,
            path: change.path,
            parameters,
            order: change.order,
        };
        let before: Arc<Versioned<StripeRequest>> = Arc::default();
        let events = before
            .state
            .decide(StripeRequestCommand::Ask(Box::new(asked)))
            .map_err(broken)?;
        Ok(Decided {
            id: request,
            before,
            events,
        })
    }

    /// Carries the request to its end, if it has not ended, and answers what Stripe said. Whoever comes first drives.
    pub(super) async fn drive_change(
        &self,
        merchant: &Merchant,
        context: &Context,
        request: IntentionId,
        answering: Option<&Idempotency>,
    ) -> Result<StripeAnswer, AppError> {
        let lock = self.inner.locks.of(request.uuid());
        let _driving = lock.lock().await;
        let before = self
            .inner
            .store
            .stripe_request(&merchant.id, request)
            .await?;
        let facts = before.state.facts().ok_or(AppError::Internal)?;
        if facts.status != Status::Requested {
            return self.answer_again(merchant, facts).await;
        }
        let form: Option<String> = match &facts.request.parameters {
            None => None,
            Some(sealed) => Some(
                self.inner
                    .store
                    .vault
                    .open(&merchant.id, sealed)
                    .await?
                    .ok_or(AppError::Internal)?,
            ),
        };
        let asked = self
            .ask_change(merchant, context, facts, form.as_deref())
            .await?;
        let Some(mut answer) = asked else {
            let now = self.inner.store.stripe_request(&merchant.id, request);
            let now = now.await?;
            let facts = now.state.facts().ok_or(AppError::Internal)?;
            return self.answer_again(merchant, facts).await;
        };
        answer.replayed = false;
        let subject = facts.request.parameters.as_ref().map_or_else(
            || subject_of_request(request, None),
            |sealed| sealed.subject.clone(),
        );
        self.end_change(merchant, context, &before, (&subject, &answer), answering)
            .await?;
        self.notice(merchant, context, &answer.body).await?;
        Ok(answer)
    }

    /// Asks Stripe for the change, or looks up what became of it. None where another instance has recorded it meanwhile.
    async fn ask_change(
        &self,
        merchant: &Merchant,
        context: &Context,
        facts: &Facts,
        form: Option<&str>,
    ) -> Result<Option<StripeAnswer>, AppError> {
        let request = facts.request.intention;
        let kind = WorkKind::Change;
        let way = self.way(merchant, kind, request.uuid(), request, facts.is_parked());
        let since = match way.await? {
            Way::LookUp(since) => since,
            Way::Send => {
                let stripe_key = request.stripe_key();
                let asked = Request {
                    verb: match facts.request.method {
                        Method::Post => Verb::Post,
                        Method::Delete => Verb::Delete,
                    },
                    path: &facts.request.path,
                    parameters: form,
                    key: Some(&stripe_key),
                };
                let gateway = &self.inner.gateway;
                let mut patience = self.patience();
                let silence = loop {
                    match gateway.request(&merchant.stripe_account, asked).await {
                        Outcome::Said(answer) => {
                            self.heard(merchant, context);
                            return Ok(Some(answer));
                        }
                        Outcome::Refused(refusal) => return Err(AppError::Refused(refusal)),
                        Outcome::Unknown(silence) if patience.waits_out(&silence).await => {
                            let now = self.inner.store.stripe_request(&merchant.id, request);
                            let now = now.await?;
                            let status = now.state.facts().map(|facts| facts.status);
                            if status != Some(Status::Requested) {
                                return Ok(None);
                            }
                        }
                        Outcome::Unknown(silence) => break silence,
                    }
                };
                if !self.not_heard(merchant, context, request, &silence).await {
                    return Err(AppError::OutcomeUnknown);
                }
                let work = &self.inner.store.work;
                let standing = work.standing(&merchant.id, kind, request.uuid(), request);
                standing.await?.ok_or(AppError::Internal)?.intended_at
            }
        };
        let form = form.unwrap_or_default();
        self.look_up_change(merchant, context, facts, form, since)
            .await
            .map(Some)
    }

    /// Records what Stripe said, together with what it means for the order whose checkout it is about.
    async fn end_change(
        &self,
        merchant: &Merchant,
        context: &Context,
        before: &Arc<Versioned<StripeRequest>>,
        (subject, said): (&str, &StripeAnswer),
        answering: Option<&Idempotency>,
    ) -> Result<(), AppError> {
        let answer = self.keep(&merchant.id, subject, said).await?;
        let text = |name| said.body.get(name).and_then(Value::as_str);
        let mut not_begun = false;
        let command = if said.status < 300 {
            StripeRequestCommand::Done {
                object: text("object").map(str::to_owned),
                id: text("id").map(str::to_owned),
                answer,
            }
        } else {
            let (refusal, _) = gateway::error_from(said.status, said.body.clone());
            // A failure of Stripe's own is recorded only once it is known to have left nothing behind.
            not_begun = said.status >= 500 || Verdict::Refused(refusal.clone()).is_not_begun();
            StripeRequestCommand::Refuse { refusal, answer }
        };
        let mut completes = answering.map(|key| key.completion(&EndedChange { not_begun }));
        let mut before = Arc::clone(before);
        loop {
            let facts = before.state.facts().ok_or(AppError::Internal)?;
            let events = before.state.decide(command.clone()).map_err(broken)?;
            if events.is_empty() {
                return Ok(());
            }
            let id = facts.request.intention;
            let order = self.after_change(merchant, &facts.request, said).await?;
            let commit = Commit {
                stripe_request: Some(Decided {
                    id,
                    before: Arc::clone(&before),
                    events,
                }),
                order,
                completes: completes.clone(),
                ..Commit::default()
            };
            match self.inner.store.commit(&merchant.id, context, commit).await {
                Ok(_) => return Ok(()),
                // Another instance has recorded it, from the same answer, or the order has moved on: look again.
                Err(Trouble::Conflict) => {
                    before = self.inner.store.stripe_request(&merchant.id, id).await?;
                }
                // The claim has its answer already: record the outcome without it.
                Err(Trouble::Claimed(_)) if completes.is_some() => completes = None,
                Err(trouble) => return Err(trouble.into()),
            }
        }
    }

    /// What Stripe said then; what was not kept of it is asked for anew.
    async fn answer_again(
        &self,
        merchant: &Merchant,
        facts: &Facts,
    ) -> Result<StripeAnswer, AppError> {
        let kept = match &facts.answer {
            Some(sealed) => self.kept(&merchant.id, sealed).await?,
            None => None,
        };
        let Some(mut answer) = kept else {
            return erased(facts);
        };
        if let (Some("checkout.session"), Some(id)) = (facts.object.as_deref(), facts.id.as_deref())
        {
            let now = self
                .read(merchant, &format!("/checkout/sessions/{id}"), "")
                .await?;
            if let (Some(kept), Some(secret)) = (
                answer.body.get_mut("client_secret"),
                now.body.get("client_secret"),
            ) {
                kept.clone_from(secret);
            }
        }
        Ok(answer)
    }

    pub(super) async fn read(
        &self,
        merchant: &Merchant,
        path: &str,
        query: &str,
    ) -> Result<StripeAnswer, AppError> {
        let request = Request {
            verb: Verb::Get,
            path,
            parameters: Some(query).filter(|query| !query.is_empty()),
            key: None,
        };
        self.ask_stripe(merchant, request).await
    }

    async fn ask_stripe(
        &self,
        merchant: &Merchant,
        request: Request<'_>,
    ) -> Result<StripeAnswer, AppError> {
        let gateway = &self.inner.gateway;
        let outcome = gateway.request(&merchant.stripe_account, request).await;
        said(outcome, &request)
    }

    /// The key that Stripe sees for a request that is only passed on: the caller's, hashed with whose and where it is.
    fn forwarded(&self, merchant: &MerchantId, key: &Idempotency) -> String {
        let text = format!("{merchant}\n{}\n{}", key.scope, key.key);
        let hash = self.inner.store.keys.fingerprint(text.as_bytes());
        format!("cf-{}", hex::encode(hash))
    }
}

/// What Stripe said to the request.
fn said(outcome: Outcome<StripeAnswer>, to: &Request<'_>) -> Result<StripeAnswer, AppError> {
    match outcome {
        Outcome::Said(answer) => Ok(answer),
        Outcome::Refused(refusal) => Err(AppError::Refused(refusal)),
        Outcome::Unknown(silence) => {
            tracing::warn!(path = %to.path, why = %silence.why, "Stripe did not answer");
            if to.verb != Verb::Get {
                metrics::counter!("counterfoil_outcomes_unknown_total").increment(1);
            }
            Err(AppError::OutcomeUnknown)
        }
    }
}

/// What is left of an answer whose person's data was erased: what was changed, or why nothing was.
fn erased(facts: &Facts) -> Result<StripeAnswer, AppError> {
    if let Some(refusal) = &facts.refusal {
        return Err(AppError::Refused(refusal.clone()));
    }
    Ok(StripeAnswer {
        status: 200,
        body: serde_json::json!({"id": facts.id, "object": facts.object}),
        replayed: true,
    })
}

/// Whether it is one object, rather than a list of them or an event that speaks of one.
fn is_one(body: &Value) -> bool {
    !matches!(
        body.get("object").and_then(Value::as_str),
        Some("list" | "search_result" | "event") | None
    )
}

fn broken(error: aggregates::stripe_request::StripeRequestError) -> AppError {
    tracing::error!(%error, "a request to Stripe cannot go on");
    AppError::Internal
}
