//! Facts land here, and never fail: no rule, no refusal, whatever comes in whatever order.

use crate::ids::{IntentionId, MerchantId, RefundId};
use crate::money::Money;
use crate::payment::event::{
    Adopted, Changes, CreateRequested, Created, Decline, OpenStatus, PaymentEvent, Refusal,
};
use crate::payment::state::{
    Dispute, Facts, Payment, Pending, Refund, RefundStatus, Status, Step, StripeIntent,
};
use crate::payment::terms::{CaptureMethod, Metadata, Parameters};
use crate::refused::RefusedObservations;
use litemap::LiteMap;
use std::collections::BTreeMap;

impl Payment {
    /// Takes a fact. One about a payment that was never begun leaves no trace.
    pub fn apply(&mut self, event: &PaymentEvent) {
        match (&mut self.facts, event) {
            (Some(facts), event) => facts.apply(event),
            (facts @ None, PaymentEvent::CreateRequested(request)) => {
                *facts = Some(Box::new(begun(request)))
            }
            (facts @ None, PaymentEvent::Adopted(it)) => *facts = Some(Box::new(adopted(it))),
            (None, _) => {}
        }
    }
}

fn begun(request: &CreateRequested) -> Facts {
    Facts {
        order: request.order,
        capture_method: request.capture_method,
        payment_method: request.payment_method.clone(),
        customer: request.customer.clone(),
        description: request.description.clone(),
        metadata: request.metadata.clone(),
        attributes: pairs(&request.attributes).collect(),
        personal: request.personal.clone().map(Box::new),
        then_confirm: request.then_confirm.clone().map(Box::new),
        pending: Some(Pending {
            intention: request.intention,
            step: Step::Create(Box::new(request.clone())),
        }),
        ..blank(&request.merchant, request.amount)
    }
}

fn pairs(of: &BTreeMap<String, String>) -> impl Iterator<Item = (String, String)> + '_ {
    of.iter().map(|(name, value)| (name.clone(), value.clone()))
}

fn adopted(it: &Adopted) -> Facts {
    Facts {
        order: it.order,
        capture_method: it.capture_method,
        status: it.status.into(),
        intent: Some(StripeIntent {
            id: it.intent.clone(),
            created: it.created,
            livemode: it.livemode,
        }),
        payment_method: it.payment_method.clone(),
        customer: it.customer.clone(),
        description: it.description.clone(),
        metadata: it.metadata.clone(),
        checkout_session: it.checkout_session.clone(),
        ..blank(&it.merchant, it.amount)
    }
}

/// A payment of which nothing is known but whose it is and how much.
fn blank(merchant: &MerchantId, amount: Money) -> Facts {
    let nothing = Money::zero(amount.currency());
    Facts {
        merchant: merchant.clone(),
        order: None,
        amount,
        capture_method: CaptureMethod::default(),
        status: Status::Creating,
        intent: None,
        payment_method: None,
        customer: None,
        description: None,
        metadata: Metadata::default(),
        attributes: LiteMap::new(),
        personal: None,
        then_confirm: None,
        pending: None,
        charge: None,
        authorized: nothing,
        captured: nothing,
        refunds: vec![],
        applied: nothing,
        taken_back: nothing,
        last_decline: None,
        refusal: None,
        cancellation_reason: None,
        canceled_at: None,
        return_url: None,
        disputes: BTreeMap::new(),
        checkout_session: None,
        parked: vec![],
        described: None,
        discarded: false,
        refused: RefusedObservations::default(),
    }
}

impl Facts {
    /// A new event does not compile until it has its line.
    pub(super) fn apply(&mut self, event: &PaymentEvent) {
        use PaymentEvent as E;
        self.apply_parking(event);
        match event {
            E::IntentionParked { .. } | E::SettlementProposed { .. } | E::SettledByHand { .. } => {}
            E::CreateRequested(_) | E::Adopted(_) => {}
            E::ObservationRefused { said, because } => self.refused.take(said, because),
            E::Created(created) => self.created(created),
            E::CreateRefused { intention, refusal } => self.create_refused(*intention, refusal),
            E::UpdateRequested { intention, changes } => {
                self.await_answer(*intention, Step::Update(changes.clone()))
            }
            E::Updated {
                intention,
                changes,
                status,
                payment_method,
            } => {
                self.updated(*intention, changes, *status, payment_method);
            }
            E::ConfirmRequested {
                intention,
                payment_method,
                terms,
            } => {
                self.then_confirm = None;
                self.return_url = terms.return_url.clone().or(self.return_url.take());
                let step = Step::Confirm {
                    payment_method: payment_method.clone(),
                    terms: terms.clone(),
                };
                self.await_answer(*intention, step);
            }
            E::CaptureRequested {
                intention,
                amount,
                parameters,
            } => {
                let (amount, parameters) = (*amount, parameters.clone());
                self.await_answer(*intention, Step::Capture { amount, parameters });
            }
            E::CancelRequested {
                intention,
                reason,
                parameters,
            } => {
                let step = Step::Cancel {
                    reason: *reason,
                    parameters: parameters.clone(),
                };
                self.await_answer(*intention, step)
            }
            E::UpdateRefused { intention, .. }
            | E::ConfirmRefused { intention, .. }
            | E::CaptureRefused { intention, .. }
            | E::CancelRefused { intention, .. } => self.answered(Some(*intention)),
            E::RequiresAction {
                intention,
                payment_method,
            } => {
                self.goes_on(Status::RequiresAction, *intention, payment_method);
            }
            E::Processing {
                intention,
                payment_method,
            } => {
                self.goes_on(Status::Processing, *intention, payment_method);
            }
            E::Authorized {
                intention,
                amount,
                charge,
                payment_method,
            } => {
                self.goes_on(Status::RequiresCapture, *intention, payment_method);
                self.authorized = *amount;
                keep_newer(&mut self.charge, charge);
            }
            E::Captured {
                intention,
                amount,
                charge,
                payment_method,
            } => {
                self.goes_on(self.status, *intention, payment_method);
                self.captured = self.captured.plus(*amount).unwrap_or(self.captured);
                keep_newer(&mut self.charge, charge);
            }
            E::Succeeded { intention } => self.stands(Status::Succeeded, *intention),
            E::Declined { intention, decline } => self.declined(*intention, decline),
            E::Reopened {
                status,
                payment_method,
            } => {
                self.stands((*status).into(), None);
                self.payment_method = payment_method.clone();
            }
            E::Cancelled {
                intention,
                reason,
                canceled_at,
            } => {
                self.stands(Status::Canceled, *intention);
                self.cancellation_reason = reason.clone();
                self.canceled_at = *canceled_at;
            }
            E::Applied { amount, .. } => self.applied = *amount,
            E::OrderAssigned { order } => self.order = Some(*order),
            E::Described(description) => self.described = Some(description.clone()),
            E::Discarded => self.discarded = true,

            E::PersonalDataErased { subject } => {
                self.personal.take_if(|it| it.subject == *subject);
            }
            E::RefundRequested { .. }
            | E::RefundPending { .. }
            | E::Refunded { .. }
            | E::RefundRefused { .. }
            | E::RefundFailed { .. }
            | E::RefundCancelled { .. } => self.apply_refund(event),
            E::DisputeOpened { .. }
            | E::DisputeFundsWithdrawn { .. }
            | E::DisputeFundsReinstated { .. }
            | E::DisputeClosed { .. } => self.apply_dispute(event),
        }
    }

    fn created(&mut self, it: &Created) {
        self.intent = Some(StripeIntent {
            id: it.intent.clone(),
            created: it.created,
            livemode: it.livemode,
        });
        self.payment_method = it.payment_method.clone();
        self.stands(it.status.into(), Some(it.intention));
    }

    fn create_refused(&mut self, intention: IntentionId, refusal: &Refusal) {
        self.stands(Status::Refused, Some(intention));
        self.refusal = Some(Box::new(refusal.clone()));
    }

    fn updated(
        &mut self,
        intention: IntentionId,
        changes: &Changes,
        status: Option<OpenStatus>,
        payment_method: &Option<String>,
    ) {
        self.stands(status.map_or(self.status, Status::from), Some(intention));
        self.amount = changes.amount.unwrap_or(self.amount);
        self.payment_method = payment_method.clone();
        keep_newer(&mut self.customer, &changes.customer);
        keep_newer(&mut self.description, &changes.description);
        self.metadata = self
            .metadata
            .overlaid(&changes.metadata, changes.clear_metadata);
        for (name, value) in pairs(&changes.attributes) {
            self.attributes.insert(name, value);
        }
        if let Some(personal) = &changes.personal {
            self.personal = Some(Box::new(personal.clone()));
        }
        self.last_decline = None;
    }

    /// A step towards the money: what was declined before is history.
    fn goes_on(
        &mut self,
        status: Status,
        intention: Option<IntentionId>,
        payment_method: &Option<String>,
    ) {
        self.stands(status, intention);
        keep_newer(&mut self.payment_method, payment_method);
        self.last_decline = None;
    }

    fn declined(&mut self, intention: Option<IntentionId>, decline: &Decline) {
        self.stands(Status::RequiresPaymentMethod, intention);
        self.payment_method = None;
        keep_newer(&mut self.charge, &decline.charge);
        self.last_decline = Some(Box::new(decline.clone()));
    }

    /// Where it stands now; what was held is let go when the hold ends.
    fn stands(&mut self, status: Status, intention: Option<IntentionId>) {
        self.answered(intention);
        self.status = status;
        if status != Status::RequiresCapture {
            self.authorized = Money::zero(self.amount.currency());
        }
    }

    fn await_answer(&mut self, intention: IntentionId, step: Step) {
        self.pending = Some(Pending { intention, step });
    }

    fn answered(&mut self, intention: Option<IntentionId>) {
        self.pending.take_if(|it| Some(it.intention) == intention);
    }

    fn apply_refund(&mut self, event: &PaymentEvent) {
        use PaymentEvent as E;
        match event {
            E::RefundRequested {
                refund,
                amount,
                reason,
                metadata,
                parameters,
            } => {
                let it = self.refund_at(*refund, *amount);
                it.reason = *reason;
                it.metadata = metadata.clone();
                it.parameters = parameters.clone();
            }
            E::RefundPending {
                refund,
                amount,
                stripe_refund,
                created,
            } => {
                self.refund_stands(
                    *refund,
                    *amount,
                    (stripe_refund, *created),
                    RefundStatus::Pending,
                );
            }
            E::Refunded {
                refund,
                amount,
                stripe_refund,
                created,
                ..
            } => {
                let sold = self.out_of_sales(*amount);
                self.taken_back = self.taken_back.plus(sold).unwrap_or(self.taken_back);
                self.refund_stands(
                    *refund,
                    *amount,
                    (stripe_refund, *created),
                    RefundStatus::Succeeded,
                );
                self.refund_at(*refund, *amount).had_succeeded = true;
            }
            E::RefundFailed {
                refund,
                amount,
                stripe_refund,
                created,
                reason,
                ..
            } => {
                self.refund_stands(
                    *refund,
                    *amount,
                    (stripe_refund, *created),
                    RefundStatus::Failed,
                );
                self.refund_at(*refund, *amount).failure_reason = reason.clone();
            }
            E::RefundCancelled {
                refund,
                amount,
                stripe_refund,
                created,
            } => {
                self.refund_stands(
                    *refund,
                    *amount,
                    (stripe_refund, *created),
                    RefundStatus::Canceled,
                );
            }
            E::RefundRefused { refund, refusal } => {
                if let Some(it) = self.refunds.iter_mut().find(|it| it.id == *refund) {
                    it.status = RefundStatus::Refused;
                    it.refusal = Some(refusal.clone());
                    it.parameters = Parameters::default();
                }
            }
            _ => {}
        }
    }

    fn refund_stands(
        &mut self,
        refund: RefundId,
        amount: Money,
        (stripe_refund, created): (&str, Option<i64>),
        status: RefundStatus,
    ) {
        let it = self.refund_at(refund, amount);
        it.amount = amount;
        it.stripe_refund = Some(stripe_refund.to_owned());
        it.created = created.or(it.created);
        it.status = status;
        it.parameters = Parameters::default();
    }

    /// The refund of this id, begun with `amount` where it is a new one.
    fn refund_at(&mut self, id: RefundId, amount: Money) -> &mut Refund {
        let known = self.refunds.iter().position(|it| it.id == id);
        let index = known.unwrap_or_else(|| {
            self.refunds.push(Refund {
                id,
                amount,
                reason: None,
                metadata: Metadata::default(),
                parameters: Parameters::default(),
                stripe_refund: None,
                created: None,
                status: RefundStatus::Requested,
                failure_reason: None,
                refusal: None,
                had_succeeded: false,
            });
            self.refunds.len() - 1
        });
        &mut self.refunds[index]
    }

    fn apply_dispute(&mut self, event: &PaymentEvent) {
        use PaymentEvent as E;
        match event {
            E::DisputeOpened {
                dispute,
                amount,
                reason,
                inquiry,
            } => {
                let it = self.dispute_at(dispute, *amount);
                it.opened = true;
                it.amount = *amount;
                it.reason = reason.clone();
                it.inquiry = *inquiry;
            }
            E::DisputeFundsWithdrawn {
                dispute, amount, ..
            } => {
                let it = self.dispute_at(dispute, *amount);
                it.funds_withdrawn = true;
                it.withdrawn = if it.funds_reinstated {
                    Money::zero(amount.currency())
                } else {
                    *amount
                };
            }
            E::DisputeFundsReinstated { dispute, amount } => {
                let it = self.dispute_at(dispute, *amount);
                it.funds_reinstated = true;
                it.withdrawn = Money::zero(amount.currency());
            }
            E::DisputeClosed {
                dispute,
                amount,
                won,
            } => self.dispute_at(dispute, *amount).won = Some(*won),
            _ => {}
        }
    }

    /// The dispute of this id; a turn of it may come before its opening does.
    fn dispute_at(&mut self, id: &str, amount: Money) -> &mut Dispute {
        self.disputes
            .entry(id.to_owned())
            .or_insert_with(|| Dispute {
                amount,
                reason: String::new(),
                inquiry: false,
                withdrawn: Money::zero(amount.currency()),
                opened: false,
                funds_withdrawn: false,
                funds_reinstated: false,
                won: None,
            })
    }
}

fn keep_newer(known: &mut Option<String>, newer: &Option<String>) {
    if newer.is_some() {
        known.clone_from(newer);
    }
}
