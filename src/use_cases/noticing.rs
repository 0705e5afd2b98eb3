//! What Stripe shows to whoever asks is noticed here as well: how a payment, its refund, its dispute, or a payout stands now.

use aggregates::ids::SettlementId;
use aggregates::payment::command::{Observation, Said};
use aggregates::settlement::{PayoutSnapshot, SettlementCommand};
use serde_json::Value;

use super::{App, AppError};
use crate::gateway;
use crate::store::{Commit, Context, Decided, Merchant, Trouble};

impl App {
    /// Records what an object of Stripe's says, as it stands now, of a payment of ours or of a payout.
    pub(super) async fn notice(
        &self,
        merchant: &Merchant,
        context: &Context,
        object: &Value,
    ) -> Result<(), AppError> {
        let text = |name: &str| object.get(name).and_then(Value::as_str);
        if let Some("charge" | "refund" | "dispute" | "payout") = text("object") {
            self.inner.due.add(&merchant.id);
        }
        let whole = || object.clone();
        let of_payment = match text("object") {
            Some("payment_intent") => gateway::intent_from(whole())
                .map(|view| (text("id"), Said::Intent(Box::new(view.snapshot)))),
            Some("refund") => {
                gateway::refund_from(whole()).map(|it| (text("payment_intent"), Said::Refund(it)))
            }
            Some("dispute") => gateway::dispute_state_from(whole())
                .map(|it| (text("payment_intent"), Said::DisputeState(it))),
            Some("payout") => match gateway::payout_from(whole()) {
                Ok(seen) => return self.observe_payout(merchant, context, seen).await,
                Err(unreadable) => Err(unreadable),
            },
            Some("checkout.session") => {
                return self
                    .notice_session(merchant, context, object)
                    .await
                    .map(drop);
            }
            _ => return Ok(()),
        };
        let (intent, said) = match of_payment {
            Ok((Some(intent), said)) => (intent, said),
            Ok((None, _)) => return Ok(()),
            // Whoever asked is answered all the same.
            Err(error) => {
                tracing::error!(%error, "an object of Stripe's cannot be read");
                return Ok(());
            }
        };
        let store = &self.inner.store;
        if let Some(payment) = store.payment_by_intent(&merchant.id, intent).await? {
            let observed = Observation {
                intention: None,
                current: true,
                said,
            };
            self.observe(merchant, payment, observed, context).await?;
        }
        Ok(())
    }

    /// Records how a payout stands.
    pub(super) async fn observe_payout(
        &self,
        merchant: &Merchant,
        context: &Context,
        seen: PayoutSnapshot,
    ) -> Result<(), AppError> {
        let id = SettlementId::of_payout(&merchant.id, &seen.payout);
        let seen = Box::new(seen);
        loop {
            let before = self.inner.store.settlement(&merchant.id, id).await?;
            let command = SettlementCommand::ObservePayout {
                merchant: merchant.id.clone(),
                seen: seen.clone(),
            };
            let events = before.state.decide(command).map_err(|error| {
                tracing::error!(%error, "a payout cannot be recorded");
                AppError::Internal
            })?;
            let commit = Commit {
                settlements: vec![Decided { id, before, events }],
                ..Commit::default()
            };
            match self.inner.store.commit(&merchant.id, context, commit).await {
                Ok(_) => return Ok(()),
                Err(Trouble::Conflict) => {}
                Err(trouble) => return Err(trouble.into()),
            }
        }
    }
}
