//! Payment intents and refunds in Stripe's shapes: decided by the payment's own rules, answered in Stripe's own words.

use aggregates::payment::PaymentError;
use aggregates::payment::error::ErrorKind;
use axum::extract::{Request, State};
use axum::response::Response;
use serde_json::Value;

use super::super::call::Call;
use super::super::error::StripeError;
use super::super::params::Params;
use super::super::{Answer, Id, NAME, form, named};
use super::answer::{answer, shown};
use super::{request, words};
use crate::store::Caller;
use crate::use_cases::{
    App, AppError, Idempotency, PaymentAnswer, PaymentStep, RefundOf, StripeAnswer, Verdict,
};

/// Makes an intent. To confirm one without a method is refused by Stripe once the intent is made.
pub async fn create(app: &App, call: Call) -> Answer {
    let mut payment = match request::create(&call.params()) {
        Ok(payment) => payment,
        Err(error) => return Err(or_reused(app, &call, error).await),
    };
    let unpayable = payment.payment_method.is_none() && payment.card.is_none();
    let asks_in_vain = payment.confirm.take_if(|_| unpayable).is_some();
    let asked = Asked::of(&call);
    let made = app
        .create_payment(&call.caller, NAME, payment, call.key)
        .await;
    match made {
        Ok(made) if asks_in_vain && made.verdict == Verdict::Done => {
            let refusal = words::refusal(&PaymentError::NeedsPaymentMethod, None, None, &[]);
            let body = made.said.map(|said| said.body.clone()).unwrap_or_default();
            Err(StripeError::refused(&refusal)
                .with_intent(&shown(body))
                .replayed(made.replayed)
                .documented())
        }
        Ok(made) => said(app, &call.caller, made).await,
        Err(error) => Err(asked.refused(app, &call.caller, None, error).await),
    }
}

/// A step of an intent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    Update,
    Confirm,
    Capture,
    Cancel,
}

impl Step {
    fn read(self, params: &Params<'_>) -> Result<PaymentStep, StripeError> {
        match self {
            Self::Update => request::update(params),
            Self::Confirm => request::confirm(params),
            Self::Capture => request::capture(params),
            Self::Cancel => request::cancel(params),
        }
    }
}

/// One more step of an intent.
pub async fn step(app: &App, call: Call, intent: String, step: Step) -> Answer {
    let read = match step.read(&call.params()) {
        Ok(read) => read,
        Err(error) => return Err(or_reused(app, &call, error).await),
    };
    let asked = Asked::of(&call);
    let taken = app
        .step(&call.caller, NAME, intent.clone(), read, call.key)
        .await;
    match taken {
        Ok(taken) => said(app, &call.caller, taken).await,
        Err(error) => {
            let error = asked.refused(app, &call.caller, Some(&intent), error).await;
            Err(error.missing_in_path("intent"))
        }
    }
}

/// Takes what a charge holds: the capture of its intent, told of the charge.
pub async fn capture_charge(State(app): State<App>, id: Id, request: Request) -> Answer {
    let call = Call::to_write(&app, request).await?;
    let charge = named("charge", id)?;
    let read = match request::capture_charge(&call.params()) {
        Ok(read) => read,
        Err(error) => return Err(or_reused(&app, &call, error).await),
    };
    let shown = form::encode(&call.params().as_pairs(&["expand"])?);
    let (caller, asked) = (call.caller.clone(), Asked::of(&call));
    let look = |query: String| app.look(&caller, NAME, format!("/charges/{charge}"), query);
    let held = look(String::new()).await?;
    let Some(intent) = held.body.get("payment_intent").and_then(Value::as_str) else {
        return Ok(answer(&held, false));
    };
    match app
        .step(&caller, NAME, intent.to_owned(), read, call.key)
        .await
    {
        Ok(taken) if taken.verdict == Verdict::Done => {
            Ok(answer(&look(shown).await?, taken.replayed))
        }
        Ok(taken) => said(&app, &caller, taken).await,
        Err(AppError::Payment(PaymentError::UnexpectedState { .. })) => {
            Err(not_held(&charge, &held.body))
        }
        Err(error) => Err(asked.refused(&app, &caller, None, error).await),
    }
}

/// Why what a charge holds cannot be taken.
fn not_held(id: &str, charge: &Value) -> StripeError {
    let is = |name: &str| charge.get(name) == Some(&Value::Bool(true));
    let (code, why) = match (is("captured"), is("refunded")) {
        (true, _) => (
            Some("charge_already_captured"),
            "has already been captured.",
        ),
        // What nobody takes in time is given back.
        (false, true) => (
            Some("charge_expired_for_capture"),
            "has expired, and can no longer be captured.",
        ),
        (false, false) => (None, "is not held, and cannot be captured."),
    };
    let error = StripeError::invalid(format!("Charge {id} {why}"));
    match code {
        Some(code) => error.code(code).documented(),
        None => error,
    }
}

/// Gives money back.
pub async fn refund(app: &App, call: Call) -> Answer {
    let refund = match request::refund(&call.params()) {
        Ok(refund) => refund,
        Err(error) => return Err(or_reused(app, &call, error).await),
    };
    let (of, asked) = (refund.of.clone(), Asked::of(&call));
    match app.refund(&call.caller, NAME, refund, call.key).await {
        Ok(refund) => said(app, &call.caller, refund.payment).await,
        Err(AppError::RefusedBefore(words)) => Ok(answer(&words, true)),
        Err(error) => {
            let intent = match &of {
                RefundOf::Intent(intent) => Some(intent.as_str()),
                RefundOf::Charge(_) => None,
            };
            let error = asked.refused(app, &call.caller, intent, error).await;
            Err(error.missing_in_body())
        }
    }
}

/// What a refusal is made of, beside why.
struct Asked {
    key: Option<Idempotency>,
    /// The parameters of the request, in the order of their names.
    named: Vec<String>,
    /// The charge that it names instead of an intent.
    charge: Option<String>,
}

impl Asked {
    fn of(call: &Call) -> Self {
        let mut named: Vec<String> = call.fields.keys().cloned().collect();
        named.sort_unstable();
        Self {
            key: call.key.clone(),
            named,
            charge: call
                .fields
                .get("charge")
                .and_then(Value::as_str)
                .map(str::to_owned),
        }
    }

    /// The error in Stripe's words, with the intent where its state is the reason. What the state refused is kept under the
    /// caller's key.
    async fn refused(
        &self,
        app: &App,
        caller: &Caller,
        intent: Option<&str>,
        error: AppError,
    ) -> StripeError {
        let key = self.key.as_ref().map(|key| key.key.as_str());
        let AppError::Payment(reason) = &error else {
            return StripeError::from(error).naming(key).documented();
        };
        // Another step is under way: nothing that Stripe words in another way.
        if matches!(reason.kind(), ErrorKind::InProgress | ErrorKind::NotFound) {
            return error.into();
        }
        let named: Vec<&str> = self.named.iter().map(String::as_str).collect();
        let facts = match intent {
            Some(intent) => app.facts(caller, intent).await,
            None => Ok(None),
        };
        let facts = match facts {
            Ok(facts) => facts,
            Err(error) => return error.into(),
        };
        let charge = self.charge.as_deref();
        let refusal = words::refusal(reason, facts.as_ref(), charge, &named);
        let mut refused = StripeError::refused(&refusal).documented();
        let Some(intent) = intent else {
            return refused;
        };
        if refused.is_about_state() {
            refused = attach(app, caller, intent, refused).await;
        }
        if reason.kind() == ErrorKind::Conflict {
            let kept = (refusal, refused.as_answer());
            let key = self.key.as_ref();
            let keeping = app.keep_refusal(caller, NAME, intent.to_owned(), key, kept);
            if let Err(error) = keeping.await {
                return error.into();
            }
        }
        refused
    }
}

/// The error; that the key was used for another request comes first.
async fn or_reused(app: &App, call: &Call, error: StripeError) -> StripeError {
    match app.check_key(&call.caller, call.key.as_ref()).await {
        Err(reused @ AppError::KeyReused) => {
            let key = call.key.as_ref().map(|key| key.key.as_str());
            StripeError::from(reused).naming(key)
        }
        _ => error.documented(),
    }
}

/// The answer in Stripe's words.
async fn said(app: &App, caller: &Caller, it: PaymentAnswer) -> Result<Response, StripeError> {
    match (&it.verdict, &it.said) {
        (Verdict::Done, Some(words)) if words.status < 300 => Ok(answer(words, it.replayed)),
        (Verdict::Declined(_), Some(words)) if words.status == 402 => {
            Ok(answer(words, it.replayed))
        }
        // The decline came by another way than this answer: Stripe's error is made of the intent.
        (Verdict::Declined(decline), Some(words)) => Err(StripeError::declined(decline)
            .with_intent(&shown(words.body.clone()))
            .replayed(it.replayed)
            .documented()),
        // A refusal of ours that was kept, or Stripe's own.
        (Verdict::Refused(_), Some(words)) if words.status >= 400 => Ok(answer(words, it.replayed)),
        (Verdict::Refused(refusal), _) => {
            let error = StripeError::refused(refusal)
                .replayed(it.replayed)
                .documented();
            Err(
                match it.facts.intent.as_ref().filter(|_| error.is_about_state()) {
                    Some(intent) => attach(app, caller, &intent.id, error).await,
                    None => error,
                },
            )
        }
        (_, None) | (Verdict::Done, Some(_)) => Err(AppError::OutcomeUnknown.into()),
    }
}

async fn attach(app: &App, caller: &Caller, intent: &str, error: StripeError) -> StripeError {
    match look(app, caller, intent, &[]).await {
        Ok(words) if words.status < 300 => error.with_intent(&shown(words.body)),
        _ => error,
    }
}

async fn look(
    app: &App,
    caller: &Caller,
    intent: &str,
    query: &[(String, String)],
) -> Result<StripeAnswer, AppError> {
    let path = format!("/payment_intents/{intent}");
    app.look(caller, NAME, path, form::encode(query)).await
}
