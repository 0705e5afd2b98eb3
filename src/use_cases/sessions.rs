//! What Stripe's checkout sessions mean for the orders that they are to pay: opened, expired, paid meanwhile.

use aggregates::ids::{IntentionId, OrderId, PaymentId};
use aggregates::order::state::{Facts, WayToPay};
use aggregates::order::{Order, OrderCommand, OrderError, OrderEvent};
use aggregates::stripe_request::{ChangeRequested, Method};
use serde_json::{Value, json};

use super::stripe_requests::Change;
use super::{App, AppError};
use crate::gateway::{self, CheckoutMark, StripeAnswer};
use crate::store::{Caller, Commit, Context, Decided, Merchant, Trouble};

/// Where sessions are opened, below Stripe's version.
pub(super) const SESSIONS: &str = "/checkout/sessions";

/// How a checkout stands.
pub struct CheckoutStatus {
    pub customer_email: Option<String>,
    /// Stripe's word: `open`, `complete`, `expired`.
    pub status: String,
}

/// What came of hearing of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Noticed {
    Recorded,
    /// Its checkout is being opened, and Stripe's answer to that has not been recorded: it will mean something then.
    NotYet,
    Nothing,
}

/// What Stripe tells of an order.
type AboutOrder = Decided<OrderId, Order, OrderEvent>;

impl App {
    /// How a checkout of the company stands at Stripe.
    ///
    /// # Errors
    /// [`AppError::NotFound`], also for another company's, another customer's or another merchant's;
    /// [`AppError::OutcomeUnknown`] where Stripe does not answer.
    pub async fn checkout_status(
        &self,
        caller: &Caller,
        door: &'static str,
        (company, session): (String, String),
    ) -> Result<CheckoutStatus, AppError> {
        let (app, caller, context) = (self.clone(), caller.clone(), self.context(caller, door));
        self.command(async move {
            let path = format!("{SESSIONS}/{session}");
            let said = app.read(&caller.merchant, &path, "").await?;
            let text = |path: &str| said.body.pointer(path).and_then(Value::as_str);
            let theirs = said.status < 300
                && text("/metadata/company") == Some(&company)
                && app.is_of_customer(&caller, &said.body).await?;
            let Some(status) = text("/status").filter(|_| theirs) else {
                return Err(AppError::NotFound {
                    what: "checkout",
                    id: session,
                });
            };
            app.notice(&caller.merchant, &context, &said.body).await?;
            Ok(CheckoutStatus {
                customer_email: text("/customer_details/email")
                    .or(text("/customer_email"))
                    .map(str::to_owned),
                status: status.to_owned(),
            })
        })
        .await
    }

    async fn is_of_customer(&self, caller: &Caller, session: &Value) -> Result<bool, AppError> {
        let Some(mark) = CheckoutMark::of(session) else {
            return Ok(false);
        };
        let order = self.inner.store.order(&caller.merchant.id, mark.order);
        let order = order.await?;
        let facts = order.state.facts();
        Ok(facts.is_some_and(|it| caller.customer.is_none() || caller.customer == it.customer))
    }

    /// What the answer to a request means for the order whose checkout it is about; none where it means nothing.
    pub(super) async fn after_change(
        &self,
        merchant: &Merchant,
        request: &ChangeRequested,
        said: &StripeAnswer,
    ) -> Result<Option<AboutOrder>, AppError> {
        let Some(id) = request.order else {
            return Ok(None);
        };
        let before = self.inner.store.order(&merchant.id, id).await?;
        let command = if opens_checkout(request) {
            Some(opened_or_refused(request.intention, said)?)
        } else {
            before
                .state
                .facts()
                .and_then(|facts| released_by(facts, &said.body))
        };
        let events = match command {
            Some(command) => before.state.decide(command)?,
            None => vec![],
        };
        Ok((!events.is_empty()).then_some(Decided { id, before, events }))
    }

    /// Records that a session of an order's checkout has expired, whoever tells.
    pub(super) async fn notice_session(
        &self,
        merchant: &Merchant,
        context: &Context,
        session: &Value,
    ) -> Result<Noticed, AppError> {
        let Some(CheckoutMark {
            order: id,
            checkout,
        }) = CheckoutMark::of(session)
        else {
            return Ok(Noticed::Nothing);
        };
        let store = &self.inner.store;
        loop {
            let before = store.order(&merchant.id, id).await?;
            let facts = before.state.facts();
            let expired = session.get("status").and_then(Value::as_str) == Some("expired");
            if expired && facts.is_some_and(|facts| is_opening(facts, checkout)) {
                return Ok(Noticed::NotYet);
            }
            let Some(command) = facts.and_then(|facts| released_by(facts, session)) else {
                return Ok(Noticed::Nothing);
            };
            let events = before.state.decide(command)?;
            let order = Some(Decided { id, before, events });
            let commit = Commit {
                order,
                ..Commit::default()
            };
            match store.commit(&merchant.id, context, commit).await {
                Ok(_) => return Ok(Noticed::Recorded),
                Err(Trouble::Conflict) => {}
                Err(trouble) => return Err(trouble.into()),
            }
        }
    }

    /// Takes the order's checkout off, so that it is free for another way to pay: an open one is closed; one that is being
    /// opened is opened first, as nobody knows yet whether it is. The caller looks at the order again, and sees what came of it.
    ///
    /// # Errors
    /// As of [`close_checkout`](Self::close_checkout).
    pub(super) async fn take_checkout_off(
        &self,
        merchant: &Merchant,
        context: &Context,
        order: OrderId,
        live: &WayToPay,
    ) -> Result<(), AppError> {
        match live {
            WayToPay::Opening { checkout, .. } => {
                let request = IntentionId::from_uuid(checkout.uuid());
                self.drive_change(merchant, context, request, None).await?;
            }
            WayToPay::Checkout { session, .. } => {
                self.close_checkout(merchant, context, order, session)
                    .await?;
            }
            WayToPay::Payment { .. } => return Err(AppError::Internal),
        }
        Ok(())
    }

    /// Ends the order's open checkout at Stripe, and with that here. One that was paid meanwhile stays, and its payment is
    /// brought in. What has come of it is for the caller to see in the order.
    ///
    /// # Errors
    /// [`OrderError::PaymentUnderWay`] where its money is on the way; [`AppError::OutcomeUnknown`] where Stripe is silent.
    async fn close_checkout(
        &self,
        merchant: &Merchant,
        context: &Context,
        order: OrderId,
        session: &str,
    ) -> Result<(), AppError> {
        let path = format!("{SESSIONS}/{session}");
        let change = Change {
            method: Method::Post,
            path: format!("{path}/expire"),
            form: String::new(),
            customer: None,
            makes_intent: false,
            order: Some(order),
        };
        let said = self.carry_out(merchant, context, change, None).await?;
        crate::crash_point!("checkout-closed");
        if said.status < 300 {
            return Ok(());
        }
        let said = self
            .read(merchant, &path, "expand[]=payment_intent")
            .await?;
        let text = |path: &str| said.body.pointer(path).and_then(Value::as_str);
        match (said.status, text("/status"), text("/payment_intent/status")) {
            (404, ..) => {
                self.forget_checkout(merchant, context, order, session)
                    .await
            }
            (_, Some("expired"), _) | (_, Some("complete"), Some("canceled")) => {
                self.forget_checkout(merchant, context, order, session)
                    .await
            }
            (_, Some("complete"), Some(status)) => {
                let intent = text("/payment_intent/id").ok_or(AppError::OutcomeUnknown)?;
                let payment = self.find_or_adopt(merchant, context, intent).await?;
                self.refreshed(merchant, payment, context).await?;
                match status {
                    "succeeded" => Ok(()),
                    // The money did not come in the end, and must not come any more.
                    "requires_payment_method" => {
                        let before = self.inner.store.payment(&merchant.id, payment).await?;
                        let intention = IntentionId::from_uuid(self.inner.store.ids.uuid());
                        self.cancel_live(merchant, context, payment, &before, intention)
                            .await
                    }
                    _ => Err(OrderError::PaymentUnderWay.into()),
                }
            }
            _ => Err(AppError::OutcomeUnknown),
        }
    }

    /// Records that the session can bring no money any more.
    async fn forget_checkout(
        &self,
        merchant: &Merchant,
        context: &Context,
        order: OrderId,
        session: &str,
    ) -> Result<(), AppError> {
        let before = self.inner.store.order(&merchant.id, order).await?;
        let expired = json!({"id": session, "status": "expired"});
        let facts = before.state.facts();
        let Some(command) = facts.and_then(|facts| released_by(facts, &expired)) else {
            return Ok(());
        };
        let events = before.state.decide(command)?;
        let commit = Commit {
            order: Some(Decided {
                id: order,
                before,
                events,
            }),
            ..Commit::default()
        };
        match self.inner.store.commit(&merchant.id, context, commit).await {
            // On a conflict somebody else was first: whoever asked looks again.
            Ok(_) | Err(Trouble::Conflict) => Ok(()),
            Err(trouble) => Err(trouble.into()),
        }
    }
}

/// Whether the request is to open a checkout of an order.
pub(super) fn opens_checkout(request: &ChangeRequested) -> bool {
    request.order.is_some() && request.path == SESSIONS
}

fn opened_or_refused(request: IntentionId, said: &StripeAnswer) -> Result<OrderCommand, AppError> {
    let checkout = PaymentId::from_uuid(request.uuid());
    if said.status >= 300 {
        let (refusal, _) = gateway::error_from(said.status, said.body.clone());
        let because = refusal.code.unwrap_or(refusal.kind);
        return Ok(OrderCommand::RefuseCheckout { checkout, because });
    }
    let session = said.body.get("id").and_then(Value::as_str);
    Ok(OrderCommand::OpenCheckout {
        checkout,
        session: session.ok_or(AppError::OutcomeUnknown)?.to_owned(),
    })
}

/// What frees the order, where this session is its open checkout and has expired. The session's own word for which order it is
/// of is not enough: the order must know it.
fn released_by(order: &Facts, session: &Value) -> Option<OrderCommand> {
    let text = |name: &str| session.get(name).and_then(Value::as_str);
    match &order.live {
        Some(WayToPay::Checkout {
            checkout,
            session: live,
            ..
        }) if text("id") == Some(live) && text("status") == Some("expired") => {
            Some(OrderCommand::ReleasePayment {
                payment: *checkout,
                because: "it has expired".to_owned(),
            })
        }
        _ => None,
    }
}

fn is_opening(order: &Facts, checkout: PaymentId) -> bool {
    matches!(&order.live, Some(WayToPay::Opening { checkout: live, .. }) if *live == checkout)
}
