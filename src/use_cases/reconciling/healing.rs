//! Drift is healed by asking Stripe how a payment or a payout stands now, and observing that through the normal commands. What
//! Stripe answered becomes part of the snapshot, so that the comparison is of what was observed.

use aggregates::reconciliation::{BreakClass, Finding, Item, Kind, Subject, Verdict};
use serde_json::Value;

use super::gathering::{DOOR, Shows};
use super::{Progress, Stage, Stepped, Working};
use crate::gateway::{self, ShownList};
use crate::use_cases::AppError;

/// How many findings one step looks at: each may ask Stripe several times.
const HEALED_AT_ONCE: i64 = 20;

impl Working {
    /// What follows a comparison: healing, where it was the first and something may have drifted; else its breaks are recorded.
    pub(super) async fn after_comparing(
        &self,
        progress: &Progress,
        last: &[Finding],
    ) -> Result<Stage, AppError> {
        let records = Stage::Recording { after: 0 };
        if self.repeats || progress.healed.is_some() {
            return Ok(records);
        }
        let runs = &self.app.inner.store.reconciliations;
        let mut drifted = last.iter().any(|it| drifts(it).is_some());
        let mut after = 0;
        while !drifted {
            let found = runs.findings(self.run, after, super::AT_ONCE).await;
            let found = found.map_err(AppError::from_sqlx)?;
            let Some((number, _)) = found.last() else {
                break;
            };
            after = *number;
            drifted = found.iter().any(|(_, it)| drifts(it).is_some());
        }
        Ok(if drifted {
            Stage::Healing { after: 0 }
        } else {
            records
        })
    }

    /// Heals what some of the findings are about. After the last of them all of ours is shown anew, and compared again.
    pub(super) async fn heal(
        &self,
        progress: &mut Progress,
        after: i64,
    ) -> Result<Stepped, AppError> {
        let runs = &self.app.inner.store.reconciliations;
        let found = runs.findings(self.run, after, HEALED_AT_ONCE).await;
        let found = found.map_err(AppError::from_sqlx)?;
        let mut healed = progress.healed.unwrap_or(0);
        let Some((last, _)) = found.last() else {
            progress.healed = Some(healed);
            progress.upto = None;
            progress.found = 0;
            progress.to(Stage::gathering(Shows::Payments));
            return Ok(Stepped {
                clears_findings: true,
                ..Stepped::default()
            });
        };
        progress.stage = Stage::Healing { after: *last };
        let mut subjects: Vec<&Subject> = found.iter().filter_map(|(_, it)| drifts(it)).collect();
        subjects.dedup();
        let mut page = Vec::new();
        for subject in subjects {
            let (shown, observed) = self.observe_anew(subject).await?;
            page.extend(shown);
            healed += u64::from(observed);
        }
        progress.healed = Some(healed);
        Ok(Stepped {
            page: Some(page),
            ..Stepped::default()
        })
    }

    /// What Stripe shows of the subject now, and whether that was news here.
    async fn observe_anew(&self, subject: &Subject) -> Result<(Vec<Item>, bool), AppError> {
        let name = subject.name();
        let before = self.stands(subject).await?;
        let mut shown = Vec::new();
        if subject.kind() == Kind::Payout {
            let path = format!("/payouts/{name}");
            shown.extend(self.observe_one(ShownList::Payouts, &path).await?);
        } else if name.starts_with("pi_") {
            let path = format!("/payment_intents/{name}");
            let intent = self.observe_one(ShownList::PaymentIntents, &path).await?;
            if intent.is_empty() {
                return Ok((vec![], false));
            }
            shown.extend(intent);
            let of = serde_urlencoded::to_string([("payment_intent", name)]);
            let of = format!("limit=100&{}", of.map_err(|_| AppError::Internal)?);
            for list in [ShownList::Charges, ShownList::Refunds, ShownList::Disputes] {
                let said = self.ask(&list.path(), &of).await?;
                for object in said
                    .get("data")
                    .and_then(Value::as_array)
                    .into_iter()
                    .flatten()
                {
                    self.observe(object).await?;
                }
                shown.extend(gateway::shown_from(list, said).map_err(unreadable)?.items);
            }
        }
        let after = self.stands(subject).await?;
        Ok((self.with_twins(shown).await?, before != after))
    }

    /// None where Stripe does not know it.
    async fn observe_one(&self, list: ShownList, path: &str) -> Result<Vec<Item>, AppError> {
        let said = match self.ask(path, "").await {
            Ok(said) => said,
            Err(AppError::Refused(refusal)) if refusal.status == 404 => return Ok(vec![]),
            Err(error) => return Err(error),
        };
        self.observe(&said).await?;
        let listed = serde_json::json!({"data": [said]});
        Ok(gateway::shown_from(list, listed).map_err(unreadable)?.items)
    }

    async fn observe(&self, object: &Value) -> Result<(), AppError> {
        let mut context = self.context.clone();
        DOOR.clone_into(&mut context.actor.door);
        self.app.notice(&self.merchant, &context, object).await
    }

    /// The version of what we have of the subject.
    async fn stands(&self, subject: &Subject) -> Result<u64, AppError> {
        let (store, merchant) = (&self.app.inner.store, &self.merchant.id);
        if subject.kind() == Kind::Payout {
            let id = aggregates::ids::SettlementId::of_payout(merchant, subject.name());
            return Ok(store.settlement(merchant, id).await?.version);
        }
        match store.payment_by_intent(merchant, subject.name()).await? {
            Some(id) => Ok(store.payment(merchant, id).await?.version),
            None => Ok(0),
        }
    }
}

/// The subject of a finding that may be drift of state: what Stripe has to say of it was not heard.
fn drifts(it: &Finding) -> Option<&Subject> {
    let Verdict::Break { class, .. } = it.verdict else {
        return None;
    };
    let may = matches!(
        class,
        BreakClass::Status
            | BreakClass::Amount
            | BreakClass::MissingHere
            | BreakClass::MissingAtStripe
            | BreakClass::OrderWithoutPayment
    );
    // Bookings are recorded by reading them: how what they are of stands says nothing of them.
    let of_booking = it.part.starts_with("txn_");
    let observed = matches!(it.subject.kind(), Kind::Payment | Kind::Payout) && !of_booking;
    (may && observed).then_some(&it.subject)
}

fn unreadable(error: gateway::Unreadable) -> AppError {
    tracing::error!(%error, "what Stripe shows cannot be read");
    AppError::Internal
}
