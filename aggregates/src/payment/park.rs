//! Intentions that no machine could resolve: parked, settled by one person, approved by another.

use crate::ids::IntentionId;
use crate::parking::{self, ByHand, Parked, ParkingError, Proposal};
use crate::payment::command::{Observation, Said};
use crate::payment::event::{PaymentEvent, Refusal};
use crate::payment::lookup::Shown;
use crate::payment::state::{Facts, Payment, RefundStatus, Step};

impl Payment {
    /// The events of one person saying what became of a parked intention; none where they said so already.
    ///
    /// # Errors
    /// [`ParkingError`]; nothing is to be recorded then.
    pub fn propose_settlement(
        &self,
        intention: IntentionId,
        outcome: ByHand,
        by: String,
        because: String,
    ) -> Result<Vec<PaymentEvent>, ParkingError> {
        let facts = self.facts().ok_or(ParkingError::NotParked)?;
        facts.propose_settlement(intention, outcome, by, because)
    }

    /// The events of another person approving it, with the outcome. `shown`: what Stripe shows of it, where it is said to have
    /// happened.
    ///
    /// # Errors
    /// [`ParkingError`]; nothing is to be recorded then.
    pub fn approve_settlement(
        &self,
        intention: IntentionId,
        by: &str,
        shown: Option<Said>,
    ) -> Result<Vec<PaymentEvent>, ParkingError> {
        let facts = self.facts().ok_or(ParkingError::NotParked)?;
        facts.approve_settlement(intention, by, shown)
    }
}

impl Facts {
    /// What the open intention asks of Stripe, in a word; none where it is not open.
    fn open(&self, intention: IntentionId) -> Option<&'static str> {
        let step = self.pending.as_ref();
        let step = step.filter(|it| it.intention == intention);
        let refund = || {
            self.refund(intention)
                .is_some_and(|it| it.status == RefundStatus::Requested)
        };
        match step {
            Some(pending) => Some(pending.step.name()),
            None => refund().then_some("refund"),
        }
    }

    pub(super) fn park(&self, intention: IntentionId, reason: String) -> Vec<PaymentEvent> {
        match self.open(intention) {
            Some(what) if !self.is_parked(intention) => vec![PaymentEvent::IntentionParked {
                intention,
                what: what.to_owned(),
                reason,
            }],
            _ => vec![],
        }
    }

    /// A new proposal takes the place of one that nobody has approved.
    fn propose_settlement(
        &self,
        intention: IntentionId,
        outcome: ByHand,
        by: String,
        because: String,
    ) -> Result<Vec<PaymentEvent>, ParkingError> {
        let parked = parking::waiting(&self.parked, intention)?;
        parking::said_by(&by, &because)?;
        let proposal = Proposal {
            outcome,
            by,
            because,
        };
        if parked.proposal.as_ref() == Some(&proposal) {
            return Ok(vec![]);
        }
        Ok(vec![PaymentEvent::SettlementProposed {
            intention,
            outcome: proposal.outcome,
            by: proposal.by,
            because: proposal.because,
        }])
    }

    /// The outcome is recorded with the approval, from what Stripe shows where it is said to have happened.
    fn approve_settlement(
        &self,
        intention: IntentionId,
        by: &str,
        shown: Option<Said>,
    ) -> Result<Vec<PaymentEvent>, ParkingError> {
        let parked = parking::waiting(&self.parked, intention)?;
        let proposal = parked.approvable_by(by)?;
        parking::said_by(by, &proposal.because)?;
        let said = self.borne_out(intention, &proposal.outcome, shown)?;
        let settled = PaymentEvent::SettledByHand {
            intention,
            outcome: proposal.outcome.clone(),
            proposed_by: proposal.by.clone(),
            approved_by: by.to_owned(),
            because: proposal.because.clone(),
        };
        let mut after = self.clone();
        after.apply(&settled);
        let outcome = after.observe(Observation {
            intention: Some(intention),
            current: true,
            said,
        });
        outcome.iter().for_each(|event| after.apply(event));
        if after.open(intention).is_some() {
            return Err(not_borne_out("it ends nothing that is open here"));
        }
        Ok([settled].into_iter().chain(outcome).collect())
    }

    fn borne_out(
        &self,
        intention: IntentionId,
        outcome: &ByHand,
        shown: Option<Said>,
    ) -> Result<Said, ParkingError> {
        match (outcome, shown) {
            (ByHand::DidNotHappen, _) => Ok(Said::Refused(Refusal::settled_by_hand())),
            (ByHand::Happened { stripe_id }, Some(Said::Intent(seen))) => {
                let is_update = matches!(
                    self.pending.as_ref().map(|it| &it.step),
                    Some(Step::Update(_))
                );
                if self.refund(intention).is_some() || seen.intent != *stripe_id {
                    return Err(not_borne_out("it is another object"));
                }
                if self.shown_by(&seen) != Shown::Done && !is_update {
                    return Err(not_borne_out(
                        "Stripe's intent stands as if it had not happened",
                    ));
                }
                Ok(Said::Intent(seen))
            }
            (ByHand::Happened { stripe_id }, Some(Said::Refund(mut seen))) => {
                let asked = self.refund(intention);
                if seen.stripe_refund != *stripe_id
                    || asked.is_none_or(|it| it.amount != seen.amount)
                {
                    return Err(not_borne_out("it is another refund, or of another amount"));
                }
                seen.refund = Some(intention);
                Ok(Said::Refund(seen))
            }
            (ByHand::Happened { .. }, _) => Err(not_borne_out("Stripe does not show it")),
        }
    }

    pub(super) fn apply_parking(&mut self, event: &PaymentEvent) {
        if let PaymentEvent::IntentionParked {
            intention,
            what,
            reason,
        } = event
        {
            self.parked.push(Parked::new(*intention, what, reason));
            return;
        }
        let about = event.parks_or_ends();
        let Some(parked) = self
            .parked
            .iter_mut()
            .rev()
            .find(|it| Some(it.intention) == about)
        else {
            return;
        };
        match event {
            PaymentEvent::SettlementProposed {
                outcome,
                by,
                because,
                ..
            } => {
                parked.proposal = Some(Proposal {
                    outcome: outcome.clone(),
                    by: by.clone(),
                    because: because.clone(),
                });
            }
            PaymentEvent::SettledByHand { approved_by, .. } => parked.settled(approved_by),
            _ => parked.answered(),
        }
    }
}

fn not_borne_out(because: &str) -> ParkingError {
    ParkingError::NotBorneOut {
        because: because.to_owned(),
    }
}
