//! Balance transactions: each as it is recorded here beside Stripe's own.

use crate::reconciliation::comparison::{BookingSides, Findings, RECORDING_S};
use crate::reconciliation::items::Booking;
use crate::reconciliation::subject::BreakClass;
use std::collections::BTreeSet;

/// What one thing moves once at the most.
const ONCE: [&str; 5] = [
    "charge",
    "refund",
    "refund_failure",
    "dispute",
    "dispute_reversal",
];

impl BookingSides {
    /// Compares them, and answers the ids of those that do not agree: nothing else is to be made of their figures.
    pub fn compare(&self, found: &mut Findings) -> BTreeSet<String> {
        let mut at_fault = BTreeSet::new();
        let twice = self.twice();
        for theirs in &self.theirs {
            let id = theirs.id.as_str();
            let ours = self.ours.iter().find(|it| it.id == theirs.id);
            let agrees = if twice.contains(id) {
                let says = format!("booked a second time, as {}", theirs.what());
                let sides = (None, Some(theirs.net));
                found.breaks(BreakClass::Duplicate, id, sides, theirs.created, says);
                false
            } else {
                match ours {
                    Some(ours) => agrees(ours, theirs, found),
                    None => {
                        missing_here(theirs, found);
                        false
                    }
                }
            };
            if !agrees {
                at_fault.insert(theirs.id.clone());
            }
        }
        for ours in &self.ours {
            if self.theirs.iter().all(|it| it.id != ours.id) {
                let says = format!("recorded here as {}", ours.what());
                let sides = (Some(ours.net), None);
                if ours.recorded_at.is_some_and(|it| it >= found.terms.at) {
                    // Booked while Stripe's answers were read, after its bookings were.
                    found.is_moving(&ours.id, sides, ours.created, says);
                    continue;
                }
                found.breaks(
                    BreakClass::MissingAtStripe,
                    &ours.id,
                    sides,
                    ours.created,
                    says,
                );
                at_fault.insert(ours.id.clone());
            }
        }
        at_fault
    }

    /// Stripe's bookings of one thing beyond the first: what is recorded here goes before what is not, the older before the
    /// younger.
    fn twice(&self) -> BTreeSet<&str> {
        let mut theirs: Vec<&Booking> = self.theirs.iter().collect();
        let known = |it: &Booking| self.ours.iter().any(|ours| ours.id == it.id);
        theirs.sort_by_key(|it| (!known(it), it.created, it.id.clone()));
        let mut seen = BTreeSet::new();
        theirs
            .into_iter()
            .filter(|it| ONCE.contains(&it.category.as_str()) && it.source.is_some())
            .filter(|it| !seen.insert((it.category.as_str(), it.source.as_deref())))
            .map(|it| it.id.as_str())
            .collect()
    }
}

fn missing_here(theirs: &Booking, found: &mut Findings) {
    let says = format!("booked by Stripe as {}", theirs.what());
    let sides = (None, Some(theirs.net));
    let due = theirs.created.saturating_add(RECORDING_S);
    if due >= found.terms.at {
        found.awaited(&theirs.id, sides, (theirs.created, due), says);
    } else {
        found.breaks(
            BreakClass::MissingHere,
            &theirs.id,
            sides,
            theirs.created,
            says,
        );
    }
}

/// Says one thing of a booking at the most: what differs first, from the coarse to the fine.
fn agrees(ours: &Booking, theirs: &Booking, found: &mut Findings) -> bool {
    let (id, since) = (theirs.id.as_str(), theirs.created);
    let gross = (Some(ours.amount), Some(theirs.amount));
    if (&ours.category, &ours.source) != (&theirs.category, &theirs.source) {
        let says = format!("{} here, {} at Stripe", ours.what(), theirs.what());
        found.breaks(BreakClass::Status, id, gross, since, says);
        return false;
    }
    if !found.amounts(id, gross, since, || format!("gross of {}", theirs.what())) {
        return false;
    }
    let fee = (Some(ours.fee), Some(theirs.fee));
    if !found.figures(BreakClass::Fee, id, fee, since, || {
        format!("Stripe's fee for {}", theirs.what())
    }) {
        return false;
    }
    let parts = (theirs.fee_parts, Some(theirs.fee));
    if theirs.fee_parts.is_some_and(|it| !it.is_zero())
        && !found.figures(BreakClass::Fee, id, parts, since, || {
            format!("parts of the fee for {}", theirs.what())
        })
    {
        return false;
    }
    let net = (theirs.amount.minus(theirs.fee).ok(), Some(theirs.net));
    if !found.amounts(id, net, since, || {
        format!("net of {}, which is not gross less fee", theirs.what())
    }) {
        return false;
    }
    match (&ours.payout, &theirs.payout) {
        (Some(here), Some(there)) if here != there => {
            let says = format!("paid out in {here} here, in {there} at Stripe");
            let sides = (Some(ours.net), Some(theirs.net));
            found.breaks(BreakClass::Status, id, sides, since, says);
            false
        }
        _ => true,
    }
}

impl Booking {
    /// For people.
    pub(super) fn what(&self) -> String {
        match &self.source {
            Some(source) => format!("{} of {source}", self.category),
            None => self.category.clone(),
        }
    }
}
