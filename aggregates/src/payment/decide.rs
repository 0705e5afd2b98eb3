//! What may be done to a payment, and what it would record. Rules live here; nothing is changed.

use crate::ids::{IntentionId, OrderId, RefundId};
use crate::money::{Money, MoneyError};
use crate::payment::command::PaymentCommand;
use crate::payment::description::Description;
use crate::payment::error::PaymentError;
use crate::payment::event::{
    CancellationReason, Changes, CreateRequested, PaymentEvent, RefundReason,
};
use crate::payment::state::{Facts, Payment, RefundStatus, Status, Step};
use crate::payment::terms::{ConfirmTerms, Metadata, Parameters};

type Decision = Result<Vec<PaymentEvent>, PaymentError>;

impl Payment {
    /// The events that `command` leads to; none where it is so already.
    ///
    /// # Errors
    /// The reason why it is refused; nothing is to be recorded then.
    pub fn decide(&self, command: PaymentCommand) -> Decision {
        match (self.facts(), command) {
            (
                None,
                PaymentCommand::CreateIntent {
                    request,
                    enforce_minimum,
                },
            ) => create(request, enforce_minimum),
            (None, PaymentCommand::Adopt(adopt)) => Ok(adopt.events()),
            (None, _) => Err(PaymentError::NoSuchPayment),
            (Some(facts), command) => facts.decide(command),
        }
    }
}

impl Facts {
    fn decide(&self, command: PaymentCommand) -> Decision {
        match command {
            PaymentCommand::CreateIntent { .. } => Err(PaymentError::AlreadyCreated),
            PaymentCommand::Adopt(adopt) => self.adopt_again(&adopt),
            PaymentCommand::Update {
                intention,
                changes,
                enforce_minimum,
            } => self.update(intention, changes, enforce_minimum),
            PaymentCommand::Confirm {
                intention,
                payment_method,
                terms,
            } => self.confirm(intention, payment_method, terms),
            PaymentCommand::Capture {
                intention,
                amount,
                parameters,
            } => self.capture(intention, amount, parameters),
            PaymentCommand::Cancel {
                intention,
                reason,
                parameters,
            } => self.cancel(intention, reason, parameters),
            PaymentCommand::Refund {
                refund,
                amount,
                reason,
                metadata,
                parameters,
            } => self.give_back(refund, amount, reason, metadata, parameters),
            PaymentCommand::Apply { order, amount } => self.apply_to(order, amount),
            PaymentCommand::AssignOrder { order } => self.assign(order),
            PaymentCommand::Describe(description) => Ok(self.describe(description)),
            PaymentCommand::Discard => self.discard(),
            PaymentCommand::Observe(observation) => Ok(self.observe(observation)),
            PaymentCommand::Park { intention, reason } => Ok(self.park(intention, reason)),
            PaymentCommand::ErasePersonalData { subject } => self.erase(subject),
        }
    }

    fn update(
        &self,
        intention: IntentionId,
        changes: Box<Changes>,
        enforce_minimum: bool,
    ) -> Decision {
        self.ready_for("update")?;
        if !self.takes(&changes) {
            return Err(self.unexpected("update"));
        }
        if let Some(amount) = changes.amount {
            same_currency(self.amount, amount)?;
            payable(amount, enforce_minimum)?;
        }
        self.metadata
            .merged(&changes.metadata, changes.clear_metadata)?;
        if *changes == Changes::default() {
            return Ok(vec![]);
        }
        Ok(vec![PaymentEvent::UpdateRequested { intention, changes }])
    }

    /// The table's column "update": what may still change in each state. Attributes are ours alone and always may.
    fn takes(&self, changes: &Changes) -> bool {
        let terms = changes.payment_method.is_some()
            || changes.customer.is_some()
            || changes.personal.is_some()
            || changes.parameters.change_something();
        let amount = changes.amount.is_some();
        match self.status {
            Status::RequiresPaymentMethod
            | Status::RequiresConfirmation
            | Status::RequiresAction => true,
            Status::RequiresCapture => !amount,
            Status::Succeeded => !amount && !terms,
            Status::Processing => !amount && !terms && changes.description.is_none(),
            Status::Creating | Status::Refused | Status::Canceled => false,
        }
    }

    fn confirm(
        &self,
        intention: IntentionId,
        payment_method: Option<String>,
        terms: ConfirmTerms,
    ) -> Decision {
        self.ready_for("confirm")?;
        match self.status {
            Status::RequiresPaymentMethod
            | Status::RequiresConfirmation
            | Status::RequiresAction => {}
            _ => return Err(self.unexpected("confirm")),
        }
        if payment_method.is_none() && self.payment_method.is_none() {
            return Err(PaymentError::NeedsPaymentMethod);
        }
        Ok(vec![PaymentEvent::ConfirmRequested {
            intention,
            payment_method,
            terms,
        }])
    }

    fn capture(
        &self,
        intention: IntentionId,
        amount: Option<Money>,
        parameters: Parameters,
    ) -> Decision {
        self.ready_for("capture")?;
        if self.status != Status::RequiresCapture {
            return Err(self.unexpected("capture"));
        }
        let capturable = self.capturable();
        let asked = amount.unwrap_or(capturable);
        same_currency(self.amount, asked)?;
        if asked.minor() > capturable.minor() {
            return Err(PaymentError::ExceedsHold { asked, capturable });
        }
        payable(asked, false)?;
        Ok(vec![PaymentEvent::CaptureRequested {
            intention,
            amount: asked,
            parameters,
        }])
    }

    fn cancel(
        &self,
        intention: IntentionId,
        reason: Option<CancellationReason>,
        parameters: Parameters,
    ) -> Decision {
        self.ready_for("cancel")?;
        match self.status {
            Status::RequiresPaymentMethod
            | Status::RequiresConfirmation
            | Status::RequiresAction
            | Status::RequiresCapture => Ok(vec![PaymentEvent::CancelRequested {
                intention,
                reason,
                parameters,
            }]),
            _ => Err(self.unexpected("cancel")),
        }
    }

    /// Refunds run beside one another: what is asked for counts against the limit at once, not when Stripe answers.
    fn give_back(
        &self,
        refund: RefundId,
        amount: Option<Money>,
        reason: Option<RefundReason>,
        metadata: Metadata,
        parameters: Parameters,
    ) -> Decision {
        if self.refund(refund).is_some() {
            return Ok(vec![]);
        }
        let refundable = self.may_give_back()?;
        let asked = amount.unwrap_or(refundable);
        same_currency(self.amount, asked)?;
        if !asked.is_positive() && amount.is_some() {
            return Err(PaymentError::AmountInvalid { amount: asked });
        }
        if refundable.is_zero() {
            return Err(PaymentError::AlreadyRefunded);
        }
        if asked.minor() > refundable.minor() {
            return Err(PaymentError::ExceedsRefundable { asked, refundable });
        }
        if amount.is_some() {
            payable(asked, false)?;
        }
        Ok(vec![PaymentEvent::RefundRequested {
            refund,
            amount: asked,
            reason,
            metadata,
            parameters,
        }])
    }

    /// What is left to give back, once it is known what was taken.
    fn may_give_back(&self) -> Result<Money, PaymentError> {
        let taking = match self.pending.as_ref().map(|it| &it.step) {
            Some(Step::Capture { .. }) => true,
            Some(Step::Create(_) | Step::Confirm { .. }) => self.captured.is_zero(),
            _ => false,
        };
        match (taking, self.captured.is_positive()) {
            (true, _) => Err(PaymentError::InProgress),
            (false, false) => Err(PaymentError::NothingCaptured),
            (false, true) => Ok(self.refundable()),
        }
    }

    fn apply_to(&self, order: OrderId, amount: Money) -> Decision {
        same_currency(self.amount, amount)?;
        if !self.applied.is_zero() {
            return Ok(vec![]);
        }
        if !amount.is_positive() || amount.minor() > self.captured.minor() {
            return Err(PaymentError::AmountInvalid { amount });
        }
        Ok(vec![PaymentEvent::Applied { order, amount }])
    }

    /// An order's payment stays that order's, and one that has ended without money is nobody's way to pay.
    fn assign(&self, order: OrderId) -> Decision {
        match self.order {
            Some(known) if known == order => Ok(vec![]),
            Some(_) => Err(self.unexpected("assign another order to")),
            None => {
                self.ready_for("assign an order to")?;
                Ok(vec![PaymentEvent::OrderAssigned { order }])
            }
        }
    }

    fn describe(&self, description: Box<Description>) -> Vec<PaymentEvent> {
        if self.described.as_ref() == Some(&description) {
            return vec![];
        }
        vec![PaymentEvent::Described(description)]
    }

    /// What can still take money, or has taken some, is not thrown away: nobody would look at it again.
    fn discard(&self) -> Decision {
        if self.pending.is_some() {
            return Err(PaymentError::InProgress);
        }
        match self.status {
            _ if self.discarded => Ok(vec![]),
            Status::Refused | Status::Canceled if self.captured.is_zero() => {
                Ok(vec![PaymentEvent::Discarded])
            }
            _ => Err(self.unexpected("discard")),
        }
    }

    /// An open intention may have to be sent again, sealed data included: its end is waited for.
    fn erase(&self, subject: String) -> Decision {
        let refund_waits = self
            .refunds
            .iter()
            .any(|it| it.status == RefundStatus::Requested);
        if self.pending.is_some() || refund_waits {
            return Err(PaymentError::InProgress);
        }
        match &self.personal {
            Some(sealed) if sealed.subject == subject => {
                Ok(vec![PaymentEvent::PersonalDataErased { subject }])
            }
            _ => Ok(vec![]),
        }
    }

    /// One step at a time: what the last one led to must be known before another is decided.
    fn ready_for(&self, action: &'static str) -> Result<(), PaymentError> {
        if self.pending.is_some() || self.status == Status::Creating {
            Err(PaymentError::InProgress)
        } else if matches!(self.status, Status::Refused | Status::Canceled) {
            Err(self.unexpected(action))
        } else {
            Ok(())
        }
    }

    fn unexpected(&self, action: &'static str) -> PaymentError {
        PaymentError::UnexpectedState {
            action,
            status: self.status,
        }
    }
}

fn create(request: Box<CreateRequested>, enforce_minimum: bool) -> Decision {
    payable(request.amount, enforce_minimum)?;
    if request.then_confirm.is_some() && request.payment_method.is_none() {
        return Err(PaymentError::NeedsPaymentMethod);
    }
    Ok(vec![PaymentEvent::CreateRequested(request)])
}

/// By Stripe's limits for amounts; the smallest charge is a matter of the merchant's settings.
fn payable(amount: Money, enforce_minimum: bool) -> Result<(), PaymentError> {
    amount.chargeable().map_err(|error| match error {
        MoneyError::TooLarge { amount, maximum } => {
            PaymentError::AmountTooLarge { amount, maximum }
        }
        _ => PaymentError::AmountInvalid { amount },
    })?;
    match amount.currency().minimum_charge() {
        Some(minimum) if enforce_minimum && amount.minor() < minimum.minor() => {
            Err(PaymentError::AmountTooSmall { amount, minimum })
        }
        _ => Ok(()),
    }
}

fn same_currency(given: Money, asked: Money) -> Result<(), PaymentError> {
    if given.currency() == asked.currency() {
        return Ok(());
    }
    Err(PaymentError::CurrencyMismatch {
        given: given.currency().code(),
        asked: asked.currency().code(),
    })
}
