//! Intents that were made elsewhere: before us, in Stripe's dashboard, by a checkout session. They come into the ledger when
//! somebody changes them through us, or when a webhook tells of one that is marked as this merchant's.

use aggregates::ids::PaymentId;
use aggregates::order::state::WayToPay;
use aggregates::payment::command::{Adopt, Observation, Said};
use aggregates::payment::{Payment, PaymentCommand};
use projections::fold::Versioned;
use serde_json::Value;
use std::sync::Arc;

use super::{App, AppError};
use crate::gateway::{self, CheckoutMark, MERCHANT_KEY, PAYMENT_KEY};
use crate::store::{Commit, Context, Decided, Merchant, Trouble};

impl App {
    /// The payment that Stripe calls `intent`; taken into the ledger now where Stripe knows it and we do not.
    pub(super) async fn find_or_adopt(
        &self,
        merchant: &Merchant,
        context: &Context,
        intent: &str,
    ) -> Result<PaymentId, AppError> {
        match self.find(&merchant.id, intent).await {
            Err(AppError::NotFound { .. }) => {}
            found => return found,
        }
        match self.adopt(merchant, context, intent, "change").await? {
            Some(payment) => Ok(payment),
            None => self.find(&merchant.id, intent).await,
        }
    }

    /// Takes the intent into the ledger as it stands at Stripe just now, with the refunds made of it. None where Stripe does
    /// not show it to this merchant, or it is a payment's already.
    pub(super) async fn adopt(
        &self,
        merchant: &Merchant,
        context: &Context,
        intent: &str,
        reason: &str,
    ) -> Result<Option<PaymentId>, AppError> {
        let path = format!("/payment_intents/{intent}");
        let said = self.read(merchant, &path, "").await?;
        if said.status >= 300 || !may_be_adopted(merchant, &said.body) {
            return Ok(None);
        }
        let mark = CheckoutMark::of(&said.body);
        let mut adopt =
            gateway::adoption_from(said.body, &merchant.id, reason).map_err(|error| {
                tracing::error!(%intent, %error, "an intent cannot be read");
                AppError::OutcomeUnknown
            })?;
        let checkout = match mark {
            Some(mark) => self.of_checkout(merchant, mark, &mut adopt).await?,
            None => None,
        };
        let id = checkout.unwrap_or_else(|| PaymentId::of_adopted(&merchant.id, intent));
        let seen = adopt.seen.clone();
        let before: Arc<Versioned<Payment>> = self.inner.store.payment(&merchant.id, id).await?;
        let events = before
            .state
            .decide(PaymentCommand::Adopt(Box::new(adopt)))?;
        let commit = Commit {
            payment: Some(Decided { id, before, events }),
            ..Commit::default()
        };
        match self.inner.store.commit(&merchant.id, context, commit).await {
            // On a conflict somebody else has just taken it in.
            Ok(_) | Err(Trouble::Conflict) => {}
            Err(trouble) => return Err(trouble.into()),
        }
        // Its money goes to its order first: what was given back of it comes out of what was sold.
        let observed = Observation {
            intention: None,
            current: true,
            said: Said::Intent(Box::new(seen)),
        };
        self.observe(merchant, id, observed, context).await?;
        self.adopt_refunds(merchant, context, id, intent).await?;
        // What was told of it before, while nobody here knew it.
        let inbox = &self.inner.store.inbox;
        if inbox.look_again(&merchant.id, intent).await? > 0 {
            self.inner.delivered.notify_one();
        }
        Ok(Some(id))
    }

    /// Whether the intent may be taken into the ledger for this merchant.
    pub(super) fn may_be_taken(&self, merchant: &Merchant, intent: &Value) -> bool {
        may_be_adopted(merchant, intent)
    }

    /// The payment of an order's checkout has the checkout's own id: by it, its money finds the order.
    async fn of_checkout(
        &self,
        merchant: &Merchant,
        CheckoutMark { order, checkout }: CheckoutMark,
        adopt: &mut Adopt,
    ) -> Result<Option<PaymentId>, AppError> {
        let known = self.inner.store.order(&merchant.id, order).await?;
        let Some(facts) = known.state.facts() else {
            return Ok(None);
        };
        if !facts.payments.contains_key(&checkout) {
            return Ok(None);
        }
        adopt.order = Some(order);
        if let Some(WayToPay::Checkout {
            checkout: live,
            session,
            ..
        }) = &facts.live
            && *live == checkout
        {
            adopt.checkout_session = Some(session.clone());
        }
        Ok(Some(checkout))
    }

    /// What was given back already counts against what may be given back.
    async fn adopt_refunds(
        &self,
        merchant: &Merchant,
        context: &Context,
        id: PaymentId,
        intent: &str,
    ) -> Result<(), AppError> {
        let mut after = String::new();
        loop {
            let query = format!("payment_intent={intent}&limit=100{after}");
            let said = self.read(merchant, "/refunds", &query).await?;
            let page = said.body.get("data").and_then(Value::as_array);
            let page = page.map(Vec::as_slice).unwrap_or_default();
            for refund in page {
                let Ok(snapshot) = gateway::refund_from(refund.clone()) else {
                    tracing::error!(%intent, "a refund cannot be read");
                    return Err(AppError::OutcomeUnknown);
                };
                let observed = Observation {
                    intention: None,
                    current: true,
                    said: Said::Refund(snapshot),
                };
                self.observe(merchant, id, observed, context).await?;
            }
            let last = page
                .last()
                .and_then(|it| it.get("id"))
                .and_then(Value::as_str);
            match last.filter(|_| said.body.get("has_more") == Some(&Value::Bool(true))) {
                Some(last) => after = format!("&starting_after={last}"),
                None => return Ok(()),
            }
        }
    }
}

/// Whether the intent may be taken in: it is no payment's of ours, and no other merchant's of the same account.
fn may_be_adopted(merchant: &Merchant, intent: &Value) -> bool {
    let ours = |key: &str| intent.get("metadata")?.get(key)?.as_str();
    ours(PAYMENT_KEY).is_none() && ours(MERCHANT_KEY).is_none_or(|it| it == merchant.id.as_str())
}
