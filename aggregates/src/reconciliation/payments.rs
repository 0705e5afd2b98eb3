//! Payments: the ledger's payment beside Stripe's intent, its charge, refunds and disputes, what Stripe booked for each, and the
//! order that the money was for.

use crate::money::Money;
use crate::payment::command::{StripeRefundStatus, StripeStatus};
use crate::payment::state::RefundStatus;
use crate::reconciliation::comparison::{BOOKING_S, BookingSides, Findings, OUTCOME_S};
use crate::reconciliation::items::{
    AboutOrder, Booking, OurDispute, OurOrder, OurPayment, OurRefund, Ours, TheirCharge,
    TheirDispute, TheirIntent, TheirRefund, Theirs,
};
use crate::reconciliation::subject::BreakClass;
use rust_decimal::Decimal;
use std::collections::BTreeSet;

/// What was shown of a payment so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct PaymentSides {
    ours: Option<OurPayment>,
    orders: Vec<OurOrder>,
    intent: Option<TheirIntent>,
    charges: Vec<TheirCharge>,
    refunds: Vec<TheirRefund>,
    disputes: Vec<TheirDispute>,
    pub bookings: BookingSides,
}

impl PaymentSides {
    pub fn show_ours(&mut self, shown: Ours) {
        match shown {
            Ours::Payment(it) => self.ours = Some(*it),
            Ours::Order(it) => self.orders.push(it),
            Ours::Booking(it) => self.bookings.ours.push(*it),
            _ => {}
        }
    }

    pub fn show_theirs(&mut self, shown: Theirs) {
        match shown {
            Theirs::Intent(it) => self.intent = Some(*it),
            Theirs::Charge(it) => self.charges.push(it),
            Theirs::Refund(it) => self.refunds.push(it),
            Theirs::Dispute(it) => self.disputes.push(it),
            Theirs::Booking(it) => self.bookings.theirs.push(*it),
            _ => {}
        }
    }

    pub fn compare(&self, found: &mut Findings) {
        let moved = self.ours.as_ref().map(|it| it.moved_at);
        found.moving = moved.is_some_and(|it| it >= found.terms.at);
        match (&self.ours, &self.intent) {
            (Some(ours), Some(theirs)) => self.compare_both(ours, theirs, found),
            (Some(ours), None) => missing_there(ours, found),
            (None, Some(theirs)) => missing_here(theirs, found),
            (None, None) => {
                let at_fault = self.bookings.compare(found);
                self.tie_out(&at_fault, found);
            }
        }
        self.compare_orders(found);
    }

    fn compare_both(&self, ours: &OurPayment, theirs: &TheirIntent, found: &mut Findings) {
        let at_fault = self.bookings.compare(found);
        let sides = (Some(ours.amount), Some(theirs.amount));
        let since = theirs.created;
        if ours.amount.currency() != theirs.amount.currency() {
            let says = "the payment".to_owned();
            found.breaks(BreakClass::Currency, "amount", sides, since, says);
            return;
        }
        if let Some(waiting) = ours.waiting_since {
            let says = "Stripe has not answered an intention of the payment".to_owned();
            let due = waiting.saturating_add(OUTCOME_S);
            found.awaited("outcome", (Some(ours.amount), None), (waiting, due), says);
        }
        let status = ours.status.at_stripe();
        let captured = (Some(ours.captured), Some(theirs.amount_received));
        let mut agrees = true;
        if status == Some(theirs.status) || ours.waiting_since.is_some() {
            if ours.waiting_since.is_none() {
                agrees = found.amounts("captured", captured, since, || {
                    "what was captured".to_owned()
                }) && found.amounts("amount", sides, since, || {
                    "what was to be captured".to_owned()
                });
            }
        } else {
            let says = format!("{} here, {} at Stripe", ours.status, theirs.status);
            found.breaks(BreakClass::Status, "status", captured, since, says);
        }
        // What differs here already is not held against the charge as well.
        let charge = if agrees {
            self.compare_charges(theirs, found)
        } else {
            None
        };
        let mut doubted = self.compare_refunds(ours, found);
        doubted.extend(charge);
        self.compare_disputes(ours, found);
        let at_fault = at_fault.union(&doubted).cloned().collect();
        self.tie_out(&at_fault, found);
    }

    /// An intent has one charge that succeeded, and it took what the intent received. Answers the charge that did not.
    fn compare_charges(&self, intent: &TheirIntent, found: &mut Findings) -> Option<String> {
        let taken: Vec<&TheirCharge> = self.taken().collect();
        let surplus = taken.iter().skip(1);
        for charge in surplus {
            let says = "the payment was charged a second time".to_owned();
            let sides = (None, Some(charge.captured));
            found.breaks(
                BreakClass::Duplicate,
                &charge.charge,
                sides,
                charge.created,
                says,
            );
        }
        let received = Some(intent.amount_received);
        match (taken.as_slice(), intent.status) {
            ([charge], StripeStatus::Succeeded) => {
                let sides = (received, Some(charge.captured));
                let same = found.amounts(&charge.charge, sides, charge.created, || {
                    "Stripe's intent beside its charge".to_owned()
                });
                (!same).then(|| charge.charge.clone())
            }
            ([], StripeStatus::Succeeded) if intent.amount_received.is_positive() => {
                let says = "Stripe has no charge of what the intent received".to_owned();
                let sides = (received, None);
                let class = BreakClass::MissingAtStripe;
                found.breaks(class, "charge", sides, intent.created, says);
                None
            }
            _ => None,
        }
    }

    /// Charges that took money, oldest first.
    fn taken(&self) -> impl Iterator<Item = &TheirCharge> {
        let mut taken: Vec<&TheirCharge> = self
            .charges
            .iter()
            .filter(|it| it.succeeded && it.captured.is_positive())
            .collect();
        taken.sort_by_key(|it| (it.created, it.charge.clone()));
        taken.into_iter()
    }

    /// Answers the refunds that do not agree, by Stripe's ids.
    fn compare_refunds(&self, ours: &OurPayment, found: &mut Findings) -> BTreeSet<String> {
        let mut doubted = BTreeSet::new();
        let mut met = BTreeSet::new();
        for theirs in &self.refunds {
            let known = ours.refunds.iter().find(|it| it.is_stripes(theirs));
            let sides = (known.map(|it| it.amount), Some(theirs.amount));
            let part = theirs.refund.as_str();
            // It names a refund of ours that is another one, or that another one is as well.
            let twin = theirs.names.is_some_and(|name| match known {
                Some(_) => !met.insert(name),
                None => ours.refunds.iter().any(|it| it.id == name),
            });
            let agrees = match known {
                _ if twin => {
                    let says = "the refund was made a second time".to_owned();
                    found.breaks(BreakClass::Duplicate, part, sides, theirs.created, says);
                    false
                }
                None => {
                    let says = format!("a refund that is {} at Stripe", theirs.status);
                    found.breaks(BreakClass::MissingHere, part, sides, theirs.created, says);
                    false
                }
                Some(known) => known.agrees(theirs, found),
            };
            if !agrees {
                doubted.insert(theirs.refund.clone());
            }
        }
        for known in &ours.refunds {
            let shown = self.refunds.iter().any(|it| known.is_stripes(it));
            if let (Some(name), false) = (&known.stripe_refund, shown) {
                let says = format!("a refund that is {} here", known.status);
                let sides = (Some(known.amount), None);
                found.breaks(
                    BreakClass::MissingAtStripe,
                    name,
                    sides,
                    ours.moved_at,
                    says,
                );
                doubted.insert(name.clone());
            }
        }
        doubted
    }

    fn compare_disputes(&self, ours: &OurPayment, found: &mut Findings) {
        for theirs in &self.disputes {
            let known = ours.disputes.iter().find(|it| it.dispute == theirs.dispute);
            let (part, since) = (theirs.dispute.as_str(), theirs.created);
            let sides = (known.map(|it| it.amount), Some(theirs.amount));
            match known {
                None => {
                    let says = "a dispute".to_owned();
                    found.breaks(BreakClass::MissingHere, part, sides, since, says);
                }
                Some(known) => {
                    let same = found.amounts(part, sides, since, || "a dispute".to_owned());
                    if same && known.stands() != theirs.stands() {
                        let says = format!(
                            "a dispute: {} here, {} at Stripe",
                            stands(known.stands()),
                            stands(theirs.stands())
                        );
                        found.breaks(BreakClass::Status, part, sides, since, says);
                    }
                }
            }
        }
        for known in &ours.disputes {
            if self.disputes.iter().all(|it| it.dispute != known.dispute) {
                let sides = (Some(known.amount), None);
                let says = "a dispute".to_owned();
                found.breaks(
                    BreakClass::MissingAtStripe,
                    &known.dispute,
                    sides,
                    ours.moved_at,
                    says,
                );
            }
        }
    }

    /// What Stripe took and gave back beside what it booked for that. `at_fault` names bookings and refunds of which something
    /// was found already.
    fn tie_out(&self, at_fault: &BTreeSet<String>, found: &mut Findings) {
        for charge in self.taken().take(1) {
            if at_fault.contains(&charge.charge) {
                continue;
            }
            let captured_at = self.ours.as_ref().and_then(|it| it.captured_at);
            let since = captured_at.unwrap_or(charge.created).max(charge.created);
            let moved = charge.captured;
            self.tie("charge", &charge.charge, moved, since, at_fault, found);
        }
        for refund in &self.refunds {
            let out = Money::new(
                refund.amount.minor().saturating_neg(),
                refund.amount.currency(),
            );
            let (part, since) = (refund.refund.as_str(), refund.created);
            match refund.status {
                _ if at_fault.contains(part) => {}
                StripeRefundStatus::Succeeded => {
                    self.tie("refund", part, out, since, at_fault, found);
                }
                StripeRefundStatus::Failed | StripeRefundStatus::Canceled => {
                    self.undone(part, since, at_fault, found);
                }
                StripeRefundStatus::Pending | StripeRefundStatus::RequiresAction => {}
            }
        }
        for dispute in &self.disputes {
            let (part, since) = (dispute.dispute.as_str(), dispute.created);
            if dispute.funds_withdrawn {
                let minor = dispute.amount.minor();
                let out = Money::new(minor.saturating_neg(), dispute.amount.currency());
                self.tie("dispute", part, out, since, at_fault, found);
            }
            if dispute.funds_reinstated {
                let back = dispute.amount;
                self.tie("dispute_reversal", part, back, since, at_fault, found);
            }
        }
    }

    /// One movement has one booking, of what was moved.
    fn tie(
        &self,
        category: &str,
        source: &str,
        moved: Money,
        since: i64,
        at_fault: &BTreeSet<String>,
        found: &mut Findings,
    ) {
        let of_it = |it: &&Booking| it.category == category && it.source.as_deref() == Some(source);
        let ours = self.bookings.ours.iter().filter(of_it);
        if ours.clone().any(|it| at_fault.contains(&it.id)) {
            return;
        }
        let Some(booking) = self.bookings.theirs.iter().find(of_it) else {
            let says = format!("Stripe has not booked the {category} {source}");
            let due = since.saturating_add(BOOKING_S);
            found.awaited(source, (Some(moved), None), (since, due), says);
            return;
        };
        if at_fault.contains(&booking.id) {
            return;
        }
        let gross = booking.origin.unwrap_or(booking.amount);
        if gross.currency() == moved.currency() {
            let sides = (Some(moved), Some(gross));
            let same = found.amounts(source, sides, since, || {
                format!("the {category} beside its booking {}", booking.id)
            });
            if !same {
                return;
            }
        } else if booking.exchange_rate.is_none() {
            let sides = (Some(moved), Some(gross));
            let says = format!("the {category} beside its booking {}", booking.id);
            found.breaks(BreakClass::Currency, source, sides, since, says);
            return;
        }
        exchanged(booking, since, found);
    }

    /// A refund that came to nothing has moved nothing, once what undoes it is booked.
    fn undone(&self, refund: &str, since: i64, at_fault: &BTreeSet<String>, found: &mut Findings) {
        let bookings = self.bookings.theirs.iter();
        let of_it = bookings.filter(|it| it.source.as_deref() == Some(refund));
        let mut sum: Option<Money> = None;
        for it in of_it {
            if at_fault.contains(&it.id) {
                return;
            }
            sum = sum.map_or(Some(it.amount), |sum| sum.plus(it.amount).ok());
        }
        if let Some(sum) = sum.filter(|it| !it.is_zero()) {
            let says = "the refund came to nothing, and Stripe has not booked it back".to_owned();
            let due = since.saturating_add(BOOKING_S).max(found.terms.at);
            let sides = (Some(Money::zero(sum.currency())), Some(sum));
            found.awaited(refund, sides, (since, due), says);
        }
    }

    /// Money that came for an order that is named must be known of that order, and the other way round.
    fn compare_orders(&self, found: &mut Findings) {
        let ours = self.ours.as_ref();
        let kept = ours.map_or(0, OurPayment::kept_minor);
        for it in &self.orders {
            let name = it.order.to_string();
            match it.about {
                AboutOrder::Mispaid if kept > 0 => {
                    let says = "what came for the order does not pay it".to_owned();
                    found.explained(&name, it.amount, it.since, says);
                }
                AboutOrder::PaidByIt if ours.is_none_or(|it| !it.captured.is_positive()) => {
                    let says =
                        "the order counts as paid by it, and nothing was captured".to_owned();
                    let sides = (Some(it.amount), None);
                    found.breaks(
                        BreakClass::OrderWithoutPayment,
                        &name,
                        sides,
                        it.since,
                        says,
                    );
                }
                AboutOrder::Mispaid | AboutOrder::PaidByIt => {}
            }
        }
        if let Some((ours, order)) = ours.and_then(|it| Some((it, it.order?))) {
            let told = self.orders.iter().any(|it| it.order == order);
            if kept > 0 && !told {
                let says = "the order that it names knows nothing of it".to_owned();
                let (part, sides) = (order.to_string(), (None, Some(ours.captured)));
                let since = ours.captured_at.unwrap_or(ours.created);
                found.breaks(BreakClass::PaidWithoutOrder, &part, sides, since, says);
            }
        }
    }
}

fn missing_here(theirs: &TheirIntent, found: &mut Findings) {
    let sides = (None, Some(theirs.amount));
    let (part, since) = (theirs.intent.as_str(), theirs.created);
    match &theirs.twin_of {
        Some(twin) => {
            let says = format!("a second intent of the payment that has {twin}");
            found.breaks(BreakClass::Duplicate, part, sides, since, says);
        }
        // Made elsewhere, and nothing is held or was taken: there is nothing to account for.
        None if theirs.names.is_none() && !theirs.moves_money() => {
            let says = format!("an intent of somebody else's that is {}", theirs.status);
            found.explained(part, theirs.amount, since, says);
        }
        None => {
            let says = format!("an intent that is {} at Stripe", theirs.status);
            found.breaks(BreakClass::MissingHere, part, sides, since, says);
        }
    }
}

impl TheirIntent {
    fn moves_money(&self) -> bool {
        let held = matches!(
            self.status,
            StripeStatus::Processing | StripeStatus::RequiresCapture | StripeStatus::Succeeded
        );
        held || self.amount_received.is_positive()
    }
}

fn missing_there(ours: &OurPayment, found: &mut Findings) {
    let sides = (Some(ours.amount), None);
    match (&ours.intent, ours.waiting_since) {
        (Some(intent), _) => {
            let says = format!("a payment that is {} here", ours.status);
            let since = ours.created;
            found.breaks(BreakClass::MissingAtStripe, intent, sides, since, says);
        }
        (None, Some(waiting)) => {
            let says = "Stripe has not answered whether it made the intent".to_owned();
            let due = waiting.saturating_add(OUTCOME_S);
            found.awaited("outcome", sides, (waiting, due), says);
        }
        (None, None) => {}
    }
}

/// What was exchanged must come to the rate that Stripe tells, to the minor unit.
fn exchanged(booking: &Booking, since: i64, found: &mut Findings) {
    let (Some(origin), Some(rate)) = (booking.origin, booking.exchange_rate) else {
        return;
    };
    if origin.currency() == booking.amount.currency() {
        return;
    }
    let currency = booking.amount.currency();
    let unit = Decimal::new(1, currency.exponent());
    let Some(at_rate) = origin.to_decimal().checked_mul(rate) else {
        return;
    };
    let apart = (at_rate - booking.amount.to_decimal()).abs();
    if apart > unit {
        let says = format!("{origin} at the rate of {rate} is not what was booked");
        let sides = (Some(origin), Some(booking.amount));
        found.breaks(BreakClass::Amount, &booking.id, sides, since, says);
    }
}

impl OurPayment {
    /// What came and was not given back, minor units.
    fn kept_minor(&self) -> i64 {
        let back = self
            .refunds
            .iter()
            .filter(|it| it.status == RefundStatus::Succeeded)
            .map(|it| it.amount.minor())
            .fold(0, i64::saturating_add);
        self.captured.minor().saturating_sub(back)
    }
}

impl OurRefund {
    fn is_stripes(&self, theirs: &TheirRefund) -> bool {
        match &self.stripe_refund {
            Some(known) => *known == theirs.refund,
            None => theirs.names == Some(self.id),
        }
    }

    fn agrees(&self, theirs: &TheirRefund, found: &mut Findings) -> bool {
        let (part, since) = (theirs.refund.as_str(), theirs.created);
        let sides = (Some(self.amount), Some(theirs.amount));
        if !found.amounts(part, sides, since, || "a refund".to_owned()) {
            return false;
        }
        let same = matches!(
            (self.status, theirs.status),
            (
                RefundStatus::Pending,
                StripeRefundStatus::Pending | StripeRefundStatus::RequiresAction
            ) | (RefundStatus::Succeeded, StripeRefundStatus::Succeeded)
                | (RefundStatus::Failed, StripeRefundStatus::Failed)
                | (RefundStatus::Canceled, StripeRefundStatus::Canceled)
                | (RefundStatus::Requested, _)
        );
        if !same {
            let says = format!(
                "a refund: {} here, {} at Stripe",
                self.status, theirs.status
            );
            found.breaks(BreakClass::Status, part, sides, since, says);
            return false;
        }
        let moved = matches!(
            theirs.status,
            StripeRefundStatus::Pending | StripeRefundStatus::Succeeded
        );
        if !self.asked_here && moved {
            let says = "a refund that was made at Stripe: nobody asked for it here".to_owned();
            let sides = (None, Some(theirs.amount));
            found.breaks(BreakClass::MissingHere, part, sides, since, says);
        }
        true
    }
}

/// Funds withdrawn, funds reinstated, and how it was closed.
type Stands = (bool, bool, Option<bool>);

impl OurDispute {
    fn stands(&self) -> Stands {
        (self.funds_withdrawn, self.funds_reinstated, self.won)
    }
}

impl TheirDispute {
    fn stands(&self) -> Stands {
        (self.funds_withdrawn, self.funds_reinstated, self.won)
    }
}

fn stands((withdrawn, reinstated, won): Stands) -> String {
    let closed = match won {
        None => "open",
        Some(true) => "won",
        Some(false) => "lost",
    };
    let funds = match (withdrawn, reinstated) {
        (_, true) => "funds reinstated",
        (true, false) => "funds withdrawn",
        (false, false) => "no funds moved",
    };
    format!("{closed}, {funds}")
}
