//! Finds out what became of an intention without asking for it again.
//!
//! What Stripe shows to have been done is recorded as the outcome. What it shows not to have been done ends as not carried out,
//! once it has been shown so for [`absent_for`](super::Recovery::absent_for). What it does not show stays open.

use aggregates::ids::{IntentionId, PaymentId};
use aggregates::payment::command::Said;
use aggregates::payment::event::Refusal;
use aggregates::payment::lookup::Shown;
use aggregates::payment::state::{Facts, Pending, Refund, Step};
use aggregates::payment::terms::Metadata;
use aggregates::stripe_request::{self, ChangeRequested, Method};
use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use std::time::Duration;
use uuid::Uuid;

use crate::gateway::{
    self, IntentView, Outcome, REQUEST_KEY, RefundView, Request, StripeAnswer, Verb,
};
use crate::personal::Personal;
use crate::store::{Context, Merchant, WorkKind};
use crate::use_cases::{App, AppError};

/// How the outcome of an intention is to be brought in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::use_cases) enum Way {
    /// Its key lives: the same request again leads to the one effect.
    Send,
    /// Sent again it might act twice, or is answered with the same error: it is only looked up. Holds when it was intended.
    LookUp(DateTime<Utc>),
}

/// What was found.
enum Found<T> {
    Done(T),
    NotDone,
    Unclear(&'static str),
}

impl App {
    /// How the outcome may be brought in, by the database's clock.
    pub(in crate::use_cases) async fn way(
        &self,
        merchant: &Merchant,
        kind: WorkKind,
        subject: Uuid,
        intention: IntentionId,
        is_parked: bool,
    ) -> Result<Way, AppError> {
        let store = &self.inner.store;
        let certain_for = self.inner.recovery.certain_for;
        if !is_parked && store.fresh.holds(intention, certain_for) {
            return Ok(Way::Send);
        }
        let standing = store
            .work
            .standing(&merchant.id, kind, subject, intention)
            .await?;
        // What cannot be dated is not sent.
        let Some(standing) = standing else {
            tracing::error!(%intention, "an intention is not in the log");
            return Err(AppError::Internal);
        };
        let age = Duration::from_millis(u64::try_from(standing.age_ms).unwrap_or(0));
        if is_parked || standing.key_spent || age >= certain_for {
            return Ok(Way::LookUp(standing.intended_at));
        }
        Ok(Way::Send)
    }

    /// Looks up what became of a payment's pending step.
    pub(in crate::use_cases) async fn look_up_step(
        &self,
        merchant: &Merchant,
        context: &Context,
        (payment, facts, pending): (PaymentId, &Facts, &Pending),
        personal: Option<&Personal>,
        since: DateTime<Utc>,
    ) -> Result<(Said, Option<IntentView>), AppError> {
        let (account, gateway) = (&merchant.stripe_account, &self.inner.gateway);
        let outcome = match (&pending.step, &facts.intent) {
            (Step::Create(_), _) => gateway.find_intent(account, payment, since).await,
            (_, Some(intent)) => present(gateway.intent(account, &intent.id).await),
            (_, None) => return Err(AppError::Internal),
        };
        let seen = self
            .seen(merchant, context, pending.intention, outcome)
            .await?;
        let found = match seen {
            None if is_marked(&facts.metadata) => Found::NotDone,
            None => Found::Unclear("its metadata had no room for our mark"),
            Some(view) => match shown_of(facts, pending, &view, personal) {
                Shown::Done => Found::Done(view),
                Shown::NotDone => Found::NotDone,
                Shown::Unclear => Found::Unclear("Stripe's intent does not show it"),
            },
        };
        match self.concluded(merchant, pending.intention, found).await? {
            Some(view) => Ok((Said::Intent(Box::new(view.snapshot.clone())), Some(view))),
            None => Ok((Said::Refused(Refusal::not_carried_out()), None)),
        }
    }

    /// Looks up what became of a refund.
    pub(in crate::use_cases) async fn look_up_refund(
        &self,
        merchant: &Merchant,
        context: &Context,
        intent: &str,
        refund: &Refund,
    ) -> Result<Said, AppError> {
        let (account, gateway) = (&merchant.stripe_account, &self.inner.gateway);
        let outcome = gateway.find_refund(account, intent, refund.id).await;
        let found: Option<RefundView> = self.seen(merchant, context, refund.id, outcome).await?;
        let found = match found {
            Some(view) => Found::Done(view),
            None if is_marked(&refund.metadata) => Found::NotDone,
            None => Found::Unclear("its metadata had no room for our mark"),
        };
        Ok(match self.concluded(merchant, refund.id, found).await? {
            Some(view) => Said::Refund(view.snapshot),
            None => Said::Refused(Refusal::not_carried_out()),
        })
    }

    /// Looks up what became of a change that no payment carries. A refusal answers where nothing came of it. Of an order's
    /// checkout that is believed at once: somebody waits to pay, and a page that shows late is closed like any other.
    pub(in crate::use_cases) async fn look_up_change(
        &self,
        merchant: &Merchant,
        context: &Context,
        facts: &stripe_request::Facts,
        form: &str,
        since: DateTime<Utc>,
    ) -> Result<StripeAnswer, AppError> {
        let intention = facts.request.intention;
        let found = match Change::of(&facts.request, form) {
            Change::Makes => {
                let (account, path) = (&merchant.stripe_account, &facts.request.path);
                let gateway = &self.inner.gateway;
                let outcome = gateway.find_made(account, path, intention, since).await;
                match self.seen(merchant, context, intention, outcome).await? {
                    Some(made) => Found::Done(made),
                    None => Found::NotDone,
                }
            }
            Change::Changes { path, is_so } => {
                let request = Request {
                    verb: Verb::Get,
                    path,
                    parameters: None,
                    key: None,
                };
                let gateway = &self.inner.gateway;
                let outcome = present(gateway.request(&merchant.stripe_account, request).await);
                match self.seen(merchant, context, intention, outcome).await? {
                    Some(now) if now.status < 300 => match is_so(&now.body, form) {
                        Shown::Done => Found::Done(now),
                        Shown::NotDone => Found::NotDone,
                        Shown::Unclear => Found::Unclear("Stripe's object does not show it"),
                    },
                    _ => Found::Unclear("Stripe does not show the object"),
                }
            }
            Change::Hidden => Found::Unclear("nothing at Stripe shows it"),
        };
        if facts.request.order.is_some() && matches!(found, Found::NotDone) {
            return Ok(nothing_done());
        }
        let done = self.concluded(merchant, intention, found).await?;
        Ok(done.unwrap_or_else(|| refusal_of(&Refusal::not_carried_out())))
    }

    /// What Stripe showed; a silence leaves the intention open.
    async fn seen<T>(
        &self,
        merchant: &Merchant,
        context: &Context,
        intention: IntentionId,
        outcome: Outcome<Option<T>>,
    ) -> Result<Option<T>, AppError> {
        match outcome {
            Outcome::Said(seen) => {
                self.heard(merchant, context);
                Ok(seen)
            }
            Outcome::Refused(refusal) => {
                self.heard(merchant, context);
                self.remember(intention, &format!("look-up refused: {}", refusal.message));
                Err(AppError::OutcomeUnknown)
            }
            Outcome::Unknown(silence) => {
                self.not_heard(merchant, context, intention, &silence).await;
                Err(AppError::OutcomeUnknown)
            }
        }
    }

    /// What was done; none where it was not, and will not be any more.
    async fn concluded<T>(
        &self,
        merchant: &Merchant,
        intention: IntentionId,
        found: Found<T>,
    ) -> Result<Option<T>, AppError> {
        let why = match found {
            Found::Done(seen) => return Ok(Some(seen)),
            Found::Unclear(why) => why,
            Found::NotDone => {
                let work = &self.inner.store.work;
                let absent_ms = work.is_absent(&merchant.id, intention).await?;
                let absent = Duration::from_millis(u64::try_from(absent_ms).unwrap_or(0));
                if absent >= self.inner.recovery.absent_for {
                    metrics::counter!("counterfoil_recovery_not_carried_out_total").increment(1);
                    return Ok(None);
                }
                "Stripe shows that it was not done; that is believed after a while"
            }
        };
        self.remember(intention, why);
        Err(AppError::OutcomeUnknown)
    }
}

/// Whether the object is there at all is no question here.
fn present<T>(outcome: Outcome<T>) -> Outcome<Option<T>> {
    match outcome {
        Outcome::Said(it) => Outcome::Said(Some(it)),
        Outcome::Refused(refusal) => Outcome::Refused(refusal),
        Outcome::Unknown(silence) => Outcome::Unknown(silence),
    }
}

fn shown_of(
    facts: &Facts,
    pending: &Pending,
    view: &IntentView,
    personal: Option<&Personal>,
) -> Shown {
    match (&pending.step, &view.answer) {
        (Step::Update(changes), Some(answer)) => {
            gateway::shows_changes(&answer.body, changes, personal)
        }
        _ => facts.shown_by(&view.snapshot),
    }
}

/// Whether Stripe had room for our mark beside the caller's own metadata.
fn is_marked(metadata: &Metadata) -> bool {
    metadata.as_map().len() < Metadata::PAIRS_MAX
}

/// How a change shows at Stripe.
enum Change<'a> {
    /// An object that carries the request's id.
    Makes,
    /// In the object at `path`.
    Changes {
        path: &'a str,
        is_so: fn(&Value, &str) -> Shown,
    },
    Hidden,
}

impl<'a> Change<'a> {
    fn of(request: &'a ChangeRequested, form: &str) -> Self {
        let path = request.path.as_str();
        if request.method == Method::Delete {
            return Self::Changes {
                path,
                is_so: |now, _| known(now.get("deleted") == Some(&Value::Bool(true))),
            };
        }
        let mark = format!("metadata[{REQUEST_KEY}]");
        if serde_urlencoded::from_str::<Vec<(String, String)>>(form)
            .is_ok_and(|pairs| pairs.iter().any(|(name, _)| *name == mark))
        {
            return Self::Makes;
        }
        let (object, verb) = path.rsplit_once('/').unwrap_or((path, ""));
        let is_so: fn(&Value, &str) -> Shown = match verb {
            "expire" => |now, _| known(text(now, "status") == Some("expired")),
            "cancel" => |now, _| known(text(now, "status") == Some("canceled")),
            "attach" => |now, form| match gateway::shows_form(now, form) {
                Shown::Unclear if text(now, "customer").is_none() => Shown::NotDone,
                shown => shown,
            },
            "detach" => |now, _| known(text(now, "customer").is_none()),
            // A dispute may be lost without our closing it.
            "close" => |now, _| match text(now, "status") {
                Some("needs_response" | "warning_needs_response") => Shown::NotDone,
                _ => Shown::Unclear,
            },
            _ => return Self::of_object(path),
        };
        Self::Changes {
            path: object,
            is_so,
        }
    }

    /// A change of one object: `/customers/cus_1`. What was to be made without a mark is not shown by anything.
    fn of_object(path: &'a str) -> Self {
        let is_object = path
            .rsplit('/')
            .next()
            .is_some_and(|last| last.contains('_') && path.matches('/').count() >= 2);
        match is_object {
            true => Self::Changes {
                path,
                is_so: gateway::shows_form,
            },
            false => Self::Hidden,
        }
    }
}

fn known(is_so: bool) -> Shown {
    if is_so { Shown::Done } else { Shown::NotDone }
}

fn text<'v>(object: &'v Value, name: &str) -> Option<&'v str> {
    object.get(name).and_then(Value::as_str)
}

/// Stripe's own failure, once it is known that it left nothing behind.
fn nothing_done() -> StripeAnswer {
    StripeAnswer {
        status: 500,
        body: json!({"error": {"type": "api_error", "message": "Stripe failed, and did nothing."}}),
        replayed: false,
    }
}

/// The refusal in the shape of an answer of Stripe's.
pub(in crate::use_cases) fn refusal_of(it: &Refusal) -> StripeAnswer {
    StripeAnswer {
        status: it.status,
        body: json!({"error": {"type": it.kind, "code": it.code, "message": it.message}}),
        replayed: false,
    }
}
