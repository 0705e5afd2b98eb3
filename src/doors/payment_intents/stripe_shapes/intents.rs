//! Payment intents and refunds in Stripe's shapes: decided by the payment's own rules, answered in Stripe's own words.

use axum::response::Response;

use super::super::call::Call;
use super::super::error::StripeError;
use super::super::params::Params;
use super::super::{Answer, NAME, form};
use super::answer::{answer, shown};
use super::request;
use crate::store::Caller;
use crate::use_cases::{
    App, AppError, PaymentAnswer, PaymentStep, RefundOf, StripeAnswer, Verdict,
};

/// Makes an intent.
pub async fn create(app: &App, call: Call) -> Answer {
    let payment = request::create(&call.params())?;
    let key = call.key_name();
    let made = app
        .create_payment(&call.caller, NAME, payment, call.key)
        .await;
    match made {
        Ok(made) => said(app, &call.caller, made).await,
        Err(error) => Err(StripeError::from(error).naming(key.as_deref())),
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
    let read = step.read(&call.params())?;
    let expand = call.params().as_pairs(&["expand"])?;
    let key = call.key_name();
    let taken = app.step(&call.caller, NAME, intent.clone(), read, call.key);
    match taken.await {
        Ok(mut taken) => {
            // A cancellation passes nothing on, so what is to be expanded in it is read after it.
            if step == Step::Cancel && !expand.is_empty() && taken.verdict == Verdict::Done {
                taken.said = Some(look(app, &call.caller, &intent, &expand).await?.into());
            }
            said(app, &call.caller, taken).await
        }
        Err(error) => {
            let error = with_intent(app, &call.caller, &intent, error).await;
            Err(error.missing_in_path("intent").naming(key.as_deref()))
        }
    }
}

/// Gives money back.
pub async fn refund(app: &App, call: Call) -> Answer {
    let refund = request::refund(&call.params())?;
    let (of, key) = (refund.of.clone(), call.key_name());
    match app.refund(&call.caller, NAME, refund, call.key).await {
        Ok(refund) => said(app, &call.caller, refund.payment).await,
        Err(error) => {
            let error = match of {
                RefundOf::Intent(intent) => with_intent(app, &call.caller, &intent, error).await,
                RefundOf::Charge(_) => error.into(),
            };
            Err(error.missing_in_body().naming(key.as_deref()))
        }
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
            .replayed(it.replayed)),
        (Verdict::Refused(refusal), _) => {
            let error = StripeError::refused(refusal).replayed(it.replayed);
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

/// The error; with the intent as it stands, where its state is the reason.
async fn with_intent(app: &App, caller: &Caller, intent: &str, error: AppError) -> StripeError {
    let error = StripeError::from(error);
    if error.is_about_state() {
        attach(app, caller, intent, error).await
    } else {
        error
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
