//! Payouts: as they are known here, at Stripe, in Stripe's bookings, and at the bank.

use crate::money::Money;
use crate::reconciliation::comparison::{BANK_DAYS, BOOKING_S, BookingSides, Findings};
use crate::reconciliation::items::{Booking, OurBankLine, OurPayout, Ours, TheirPayout, Theirs};
use crate::reconciliation::subject::BreakClass;
use crate::settlement::PayoutStatus;
use chrono::{DateTime, Days, NaiveDate, NaiveTime};

const DAY_S: i64 = 86_400;

/// What was shown of a payout so far. What it is made of is only summed: there may be any number.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct PayoutSides {
    ours: Option<OurPayout>,
    theirs: Option<TheirPayout>,
    lines: Vec<OurBankLine>,
    /// As Stripe lists them.
    listed: Items,
    /// The same, but for those that were told to differ: these as our books have them.
    known: Items,
    pub bookings: BookingSides,
}

/// What a payout is made of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Items {
    count: u64,
    net: Option<Money>,
    /// Not all of it is in one currency, or it is beyond what can be counted.
    mixed: bool,
}

/// What was shown of a line of a bank statement.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct LineSides {
    pub line: Option<OurBankLine>,
}

impl PayoutSides {
    pub fn show_ours(&mut self, shown: Ours) {
        match shown {
            Ours::Payout(it) => self.ours = Some(*it),
            Ours::BankLine(it) => self.lines.push(*it),
            Ours::Booking(it) => self.bookings.ours.push(*it),
            _ => {}
        }
    }

    pub fn show_theirs(&mut self, shown: Theirs) {
        match shown {
            Theirs::Payout(it) => self.theirs = Some(*it),
            Theirs::Booking(it) => self.bookings.theirs.push(*it),
            _ => {}
        }
    }

    /// One thing that it is made of, by Stripe's list and by our books.
    pub fn show_item(&mut self, listed: Option<Money>, known: Option<Money>) {
        listed.into_iter().for_each(|it| self.listed.add(it));
        known.into_iter().for_each(|it| self.known.add(it));
    }

    pub fn compare(&self, found: &mut Findings) {
        let moved = self.ours.as_ref().map(|it| it.moved_at);
        found.moving = moved.is_some_and(|it| it >= found.terms.at);
        let at_fault = self.bookings.compare(found);
        match (&self.ours, &self.theirs) {
            (None, None) => self.orphans(found),
            (None, Some(theirs)) => {
                let says = format!("a payout that is {} at Stripe", theirs.status);
                let sides = (None, Some(theirs.amount));
                found.breaks(
                    BreakClass::MissingHere,
                    &theirs.payout,
                    sides,
                    theirs.created,
                    says,
                );
            }
            (Some(ours), None) => {
                let says = format!("a payout that is {} here", ours.status);
                let sides = (Some(ours.amount), None);
                let since = ours.arrival_date;
                found.breaks(
                    BreakClass::MissingAtStripe,
                    &ours.payout,
                    sides,
                    since,
                    says,
                );
            }
            (Some(ours), Some(theirs)) => {
                if both(ours, theirs, found) {
                    self.made_of(ours, theirs, found);
                    if at_fault.is_empty() {
                        self.booked(theirs, found);
                    }
                }
                self.at_the_bank(ours, found);
            }
        }
    }

    /// Lines that name a payout which nobody knows.
    fn orphans(&self, found: &mut Findings) {
        for line in &self.lines {
            let says = "the bank names a payout that neither side knows".to_owned();
            let sides = (Some(line.amount), None);
            let part = line.line.to_string();
            found.breaks(
                BreakClass::MissingAtStripe,
                &part,
                sides,
                noon(line.booked_on),
                says,
            );
        }
    }

    /// What Stripe lists must come to the payout, and to what was counted here; but for bookings of which it was told already that
    /// they are not what they were.
    fn made_of(&self, ours: &OurPayout, theirs: &TheirPayout, found: &mut Findings) {
        if !theirs.itemised {
            return;
        }
        let comes_to = |it: &Items| it.net == Some(theirs.amount) && !it.mixed;
        let items = if comes_to(&self.known) && !comes_to(&self.listed) {
            &self.known
        } else {
            &self.listed
        };
        let net = items.net.unwrap_or(Money::zero(theirs.amount.currency()));
        if items.mixed {
            let says = "what Stripe lists of the payout is not all in its currency".to_owned();
            let sides = (Some(theirs.amount), items.net);
            found.breaks(BreakClass::Currency, "items", sides, theirs.created, says);
            return;
        }
        let sides = (Some(theirs.amount), Some(net));
        let agrees = found.amounts("items", sides, theirs.created, || {
            format!(
                "the payout beside the {} balance transactions that Stripe lists of it",
                items.count
            )
        });
        if agrees && ours.items_count.is_some_and(|it| it != items.count) {
            let says = format!(
                "{} balance transactions were counted here, Stripe lists {}",
                ours.items_count.unwrap_or(0),
                items.count
            );
            let sides = (ours.items_net, Some(net));
            found.breaks(BreakClass::Amount, "items", sides, theirs.created, says);
        }
    }

    /// A payout leaves the balance once, and comes back with what brings it back.
    fn booked(&self, theirs: &TheirPayout, found: &mut Findings) {
        let expected = match theirs.status {
            PayoutStatus::Failed | PayoutStatus::Canceled => 0,
            _ => theirs.amount.minor().saturating_neg(),
        };
        let of_it = |it: &&Booking| it.amount.currency() == theirs.amount.currency();
        let bookings = self.bookings.theirs.iter().filter(of_it);
        let sum = bookings
            .map(|it| it.amount.minor())
            .fold(0, i64::saturating_add);
        if sum == expected {
            return;
        }
        let currency = theirs.amount.currency();
        let (expected, sum) = (Money::new(expected, currency), Money::new(sum, currency));
        let says = format!(
            "the payout is {}, and this is what Stripe booked of it",
            theirs.status
        );
        let since = theirs.created.max(found.terms.at.min(theirs.arrival_date));
        let due = since.saturating_add(BOOKING_S);
        found.awaited("booking", (Some(expected), Some(sum)), (since, due), says);
    }

    /// The bank's lines: the payout's own once, and no other.
    fn at_the_bank(&self, ours: &OurPayout, found: &mut Findings) {
        let mut surplus: Vec<&OurBankLine> = self.lines.iter().collect();
        surplus.retain(|it| it.matched.is_none());
        for line in surplus {
            let part = line.line.to_string();
            let sides = (Some(line.amount), Some(ours.amount));
            let since = noon(line.booked_on);
            let back = ours.amount.minor().checked_neg();
            let same = line.amount == ours.amount
                || (line.amount.currency() == ours.amount.currency()
                    && Some(line.amount.minor()) == back);
            if same {
                let says = "the bank has the payout a second time".to_owned();
                found.breaks(BreakClass::Duplicate, &part, sides, since, says);
            } else {
                found.amounts(&part, sides, since, || {
                    "the bank's line beside the payout that it names".to_owned()
                });
            }
        }
        let awaits_arrival = ours.status == PayoutStatus::Paid && !ours.arrived;
        let awaits_return = ours.status == PayoutStatus::Failed && ours.arrived && !ours.returned;
        if !(awaits_arrival || awaits_return) {
            return;
        }
        let Some(told_until) = found.bank_told.get(&ours.amount.currency()).copied() else {
            return;
        };
        let due = ours.arrival_date.saturating_add(BANK_DAYS * DAY_S);
        let told = DateTime::from_timestamp(due, 0).is_some_and(|it| it.date_naive() <= told_until);
        let says = if awaits_arrival {
            "no line of a bank statement is the payout's"
        } else {
            "no line of a bank statement is the failed payout's return"
        };
        // Where the bank has not told of that day yet, nobody can say that it is late.
        let due = if told { due } else { due.max(found.terms.at) };
        let since = ours.arrival_date;
        found.awaited(
            "bank",
            (Some(ours.amount), None),
            (since, due),
            says.to_owned(),
        );
    }
}

/// What both know of it. Answers whether they agree, so that it can be looked at further.
fn both(ours: &OurPayout, theirs: &TheirPayout, found: &mut Findings) -> bool {
    let sides = (Some(ours.amount), Some(theirs.amount));
    if !found.amounts("amount", sides, theirs.created, || "the payout".to_owned()) {
        return false;
    }
    if ours.status != theirs.status {
        let says = format!("{} here, {} at Stripe", ours.status, theirs.status);
        found.breaks(BreakClass::Status, "status", sides, theirs.created, says);
        return false;
    }
    if matches!(
        theirs.status,
        PayoutStatus::Pending | PayoutStatus::InTransit
    ) {
        let due = theirs.arrival_date.saturating_add(BANK_DAYS * DAY_S);
        let says = format!("the payout is {}", theirs.status);
        found.awaited("arrival", sides, (theirs.created, due), says);
    }
    true
}

impl Items {
    fn add(&mut self, net: Money) {
        self.count += 1;
        match self.net.map_or(Ok(net), |sum| sum.plus(net)) {
            Ok(sum) => self.net = Some(sum),
            Err(_) => self.mixed = true,
        }
    }
}

impl LineSides {
    /// A line that names Stripe and no payout, and that was matched with none, for as long as one may still be read.
    pub fn compare(&self, found: &mut Findings) {
        let Some(line) = self.line.as_ref().filter(|it| it.matched.is_none()) else {
            return;
        };
        let since = noon(line.booked_on);
        let says = "the bank names Stripe, and no payout is this line's".to_owned();
        let due = line
            .booked_on
            .checked_add_days(Days::new(BANK_DAYS.unsigned_abs()));
        let sides = (Some(line.amount), None);
        if due.map_or(since, noon) >= found.terms.at {
            found.awaited("line", sides, (since, due.map_or(since, noon)), says);
        } else {
            found.breaks(BreakClass::MissingAtStripe, "line", sides, since, says);
        }
    }
}

/// The middle of a day, seconds since 1970.
fn noon(day: NaiveDate) -> i64 {
    let noon = NaiveTime::from_hms_opt(12, 0, 0).unwrap_or(NaiveTime::MIN);
    day.and_time(noon).and_utc().timestamp()
}
