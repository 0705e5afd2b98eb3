//! The comparison: a state machine that takes what both sides show, ordered by subject, and finds what does not agree.
//!
//! It holds one subject at a time, and sums, so its memory does not grow with the account; between two subjects it can be
//! kept and gone on with. It asks nothing and has no clock: the same items give the same findings, in the same order.

use crate::money::{Currency, Money};
use crate::reconciliation::event::Terms;
use crate::reconciliation::items::{Booking, Item, Ours, Shown, Theirs};
use crate::reconciliation::payments::PaymentSides;
use crate::reconciliation::payouts::{LineSides, PayoutSides};
use crate::reconciliation::subject::{BreakClass, Kind, Subject};
use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::iter::Peekable;

/// How long, in seconds, Stripe may take to book what was captured: an hour, by its own word, and another.
pub const BOOKING_S: i64 = 2 * 3600;
/// How long, in seconds, what Stripe booked may take to be read here.
pub const RECORDING_S: i64 = 600;
/// How long, in seconds, an intention may wait for its outcome: as long as Stripe keeps an idempotency key.
pub const OUTCOME_S: i64 = 24 * 3600;
/// How many days after it is expected a payout may come to the bank.
pub const BANK_DAYS: i64 = 5;

/// How many bookings that differ are kept in mind for the payouts that they went into. An account of which more differs has
/// larger worries, and how far a run has come is written down with each of its steps.
const APART_MAX: usize = 2_000;

/// What both sides show, compared subject by subject.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Comparison {
    terms: Terms,
    totals: Totals,
    /// By how much Stripe's bookings exceed ours, as far as it was found and named.
    explained: BTreeMap<Currency, i64>,
    /// The last day of which the bank tells.
    bank_told: BTreeMap<Currency, NaiveDate>,
    /// What our bookings come to.
    booked: BTreeMap<Currency, i64>,
    /// Bookings whose net is not the same on both sides: it was told where they are, and not again of the payouts that they went into.
    #[serde(default)]
    apart: BTreeMap<String, Apart>,
    /// The subject that is looked at, as far as it was shown.
    #[serde(skip)]
    at: Option<(Subject, Sides)>,
}

/// Something that does not agree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    pub subject: Subject,
    /// Which part of the subject: an object of Stripe's, or a figure.
    pub part: String,
    pub verdict: Verdict,
    pub ours: Option<Money>,
    pub theirs: Option<Money>,
    /// What the figures are, in words.
    pub says: String,
    /// When what it is about happened, seconds since 1970.
    pub since: i64,
}

/// What to make of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// For people. `due` is when it should have come, for what is late.
    Break { class: BreakClass, due: Option<i64> },
    /// It is on its way, and due by then, seconds since 1970.
    InTransit { due: i64 },
    /// It changed while Stripe's answers were read: for the next run.
    Moving,
    /// Known and told: money that came for an order and does not pay it.
    Explained,
    /// It differs by no more than is tolerated.
    Tolerated,
}

/// What was compared and what was found. Maps are ordered, so that a total is always written the same.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    pub payments: u64,
    pub payouts: u64,
    pub bookings: u64,
    pub bank_lines: u64,
    /// Breaks by class.
    pub breaks: BTreeMap<BreakClass, u64>,
    pub in_transit: u64,
    pub moving: u64,
    pub explained: u64,
    pub tolerated: u64,
    /// What Stripe holds beside what the journal says, by currency.
    pub whole: BTreeMap<Currency, Whole>,
}

/// All that Stripe holds in one currency, minor units.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Whole {
    /// By our journal.
    pub journal_minor: i64,
    /// By Stripe's word.
    pub balance_minor: i64,
    /// What of the difference the findings above explain.
    pub explained_minor: i64,
}

impl Totals {
    /// Breaks of all classes.
    pub fn break_count(&self) -> u64 {
        self.breaks.values().sum()
    }
}

/// A booking of which Stripe has another net than we have, or that one side does not have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Apart {
    ours: Option<Money>,
    /// Stripe has it.
    theirs: bool,
    /// The payout that it went into, by our own books.
    payout: Option<String>,
}

/// What was shown of one subject so far.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Sides {
    Payment(Box<PaymentSides>),
    Payout(Box<PayoutSides>),
    Booking(Box<BookingSides>),
    BankLine(Box<LineSides>),
    Whole {
        journal: Option<Money>,
        balance: Option<Money>,
    },
}

/// The bookings of a subject, as both sides have them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct BookingSides {
    pub ours: Vec<Booking>,
    pub theirs: Vec<Booking>,
}

impl Comparison {
    pub fn new(terms: Terms) -> Self {
        Self {
            terms,
            totals: Totals::default(),
            explained: BTreeMap::new(),
            bank_told: BTreeMap::new(),
            booked: BTreeMap::new(),
            apart: BTreeMap::new(),
            at: None,
        }
    }

    /// Takes the next item, and answers what was found of the subject before, where this is another.
    pub fn take(&mut self, item: Item) -> Vec<Finding> {
        let goes_on = self
            .at
            .as_ref()
            .is_some_and(|(subject, _)| *subject == item.subject);
        let found = if goes_on { vec![] } else { self.end_subject() };
        let at = self.at.get_or_insert_with(|| {
            let sides = Sides::of(item.subject.kind());
            (item.subject, sides)
        });
        match item.shown {
            Shown::Ours(Ours::BankTold(told)) => self.bank_told = told,
            Shown::Theirs(Theirs::PayoutItem { id, net }) => {
                let known = self.apart.get(&id).map_or(Some(net), |it| it.ours);
                if let Sides::Payout(it) = &mut at.1 {
                    it.show_item(Some(net), known);
                }
            }
            shown => at.1.show(shown),
        }
        found
    }

    /// Answers what was found of the subject that was shown last. After it, what was taken can be kept and gone on with.
    pub fn end_subject(&mut self) -> Vec<Finding> {
        let Some((subject, mut sides)) = self.at.take() else {
            return vec![];
        };
        if let Sides::Payout(it) = &mut sides {
            for net in self.lost_of(subject.name()) {
                it.show_item(None, Some(net));
            }
        }
        let mut found = Findings::new(self.terms, subject, self.bank_told.clone());
        match &sides {
            Sides::Payment(it) => {
                self.totals.payments += 1;
                it.compare(&mut found);
                self.count_bookings(&it.bookings);
            }
            Sides::Payout(it) => {
                self.totals.payouts += 1;
                it.compare(&mut found);
                self.count_bookings(&it.bookings);
            }
            Sides::Booking(it) => {
                it.compare(&mut found);
                self.count_bookings(it);
            }
            Sides::BankLine(it) => {
                self.totals.bank_lines += u64::from(it.line.is_some());
                it.compare(&mut found);
            }
            Sides::Whole { journal, balance } => self.compare_whole(*journal, *balance, &mut found),
        }
        for it in &found.found {
            self.totals.count(it.verdict);
        }
        found.found
    }

    /// What all of it came to; the last subject must have been ended.
    pub fn totals(&self) -> &Totals {
        &self.totals
    }

    /// What Stripe does not list of a payout any more because it has lost the booking.
    fn lost_of(&self, payout: &str) -> Vec<Money> {
        let of_it = |it: &&Apart| !it.theirs && it.payout.as_deref() == Some(payout);
        let lost = self.apart.values().filter(of_it);
        lost.filter_map(|it| it.ours).collect()
    }

    fn keep_apart(&mut self, it: &BookingSides) {
        let theirs = it.theirs.iter().map(|it| &it.id);
        let ids: BTreeSet<&String> = it.ours.iter().map(|it| &it.id).chain(theirs).collect();
        for id in ids {
            let ours = it.ours.iter().find(|it| it.id == *id);
            let theirs = it.theirs.iter().find(|it| it.id == *id);
            let (net, their_net) = (ours.map(|it| it.net), theirs.map(|it| it.net));
            if net != their_net && self.apart.len() < APART_MAX {
                let apart = Apart {
                    ours: net,
                    theirs: theirs.is_some(),
                    payout: ours.and_then(|it| it.payout.clone()),
                };
                self.apart.insert(id.clone(), apart);
            }
        }
    }

    fn count_bookings(&mut self, it: &BookingSides) {
        self.keep_apart(it);
        self.totals.bookings += u64::try_from(it.theirs.len()).unwrap_or(0);
        for ours in &it.ours {
            let (of, minor) = (ours.net.currency(), ours.net.minor());
            add(&mut self.booked, of, minor);
            add(&mut self.explained, of, minor.saturating_neg());
        }
        for theirs in &it.theirs {
            add(
                &mut self.explained,
                theirs.net.currency(),
                theirs.net.minor(),
            );
        }
    }

    /// The journal must be what our bookings come to, and Stripe's balance what the journal says and the differences of
    /// single bookings, each of which was found above, explain.
    fn compare_whole(
        &mut self,
        journal: Option<Money>,
        balance: Option<Money>,
        found: &mut Findings,
    ) {
        let Some(currency) = journal.or(balance).map(Money::currency) else {
            return;
        };
        let minor = |it: Option<Money>| it.map_or(0, Money::minor);
        let of = |sums: &BTreeMap<Currency, i64>| sums.get(&currency).copied().unwrap_or(0);
        let whole = Whole {
            journal_minor: minor(journal),
            balance_minor: minor(balance),
            explained_minor: of(&self.explained),
        };
        self.totals.whole.insert(currency, whole);
        let sides = |ours: i64, theirs: i64| {
            let money = |minor| Some(Money::new(minor, currency));
            (money(ours), money(theirs))
        };
        let booked = of(&self.booked);
        found.amounts(
            "journal",
            sides(whole.journal_minor, booked),
            self.terms.at,
            || "the journal is not what the recorded balance transactions come to".to_owned(),
        );
        let expected = booked.saturating_add(whole.explained_minor);
        found.amounts(
            "balance",
            sides(expected, whole.balance_minor),
            self.terms.at,
            || "Stripe's balance is not what its balance transactions come to".to_owned(),
        );
    }
}

impl Totals {
    fn count(&mut self, verdict: Verdict) {
        let counted = match verdict {
            Verdict::Break { class, .. } => self.breaks.entry(class).or_default(),
            Verdict::InTransit { .. } => &mut self.in_transit,
            Verdict::Moving => &mut self.moving,
            Verdict::Explained => &mut self.explained,
            Verdict::Tolerated => &mut self.tolerated,
        };
        *counted += 1;
    }
}

impl Sides {
    fn of(kind: Kind) -> Self {
        match kind {
            Kind::Payment => Self::Payment(Box::default()),
            Kind::Payout => Self::Payout(Box::default()),
            Kind::Booking => Self::Booking(Box::default()),
            Kind::BankLine => Self::BankLine(Box::default()),
            Kind::Whole => Self::Whole {
                journal: None,
                balance: None,
            },
        }
    }

    /// What is shown of a subject that it is not about is left out: whoever gathers shows each thing where it belongs.
    fn show(&mut self, shown: Shown) {
        match (self, shown) {
            (Self::Payment(it), Shown::Ours(shown)) => it.show_ours(shown),
            (Self::Payment(it), Shown::Theirs(shown)) => it.show_theirs(shown),
            (Self::Payout(it), Shown::Ours(shown)) => it.show_ours(shown),
            (Self::Payout(it), Shown::Theirs(shown)) => it.show_theirs(shown),
            (Self::Booking(it), Shown::Ours(Ours::Booking(shown))) => it.ours.push(*shown),
            (Self::Booking(it), Shown::Theirs(Theirs::Booking(shown))) => it.theirs.push(*shown),
            (Self::BankLine(it), Shown::Ours(Ours::BankLine(shown))) => it.line = Some(*shown),
            (Self::Whole { journal, .. }, Shown::Ours(Ours::Journal(it))) => *journal = Some(it),
            (Self::Whole { balance, .. }, Shown::Theirs(Theirs::Balance(it))) => {
                *balance = Some(it);
            }
            _ => {}
        }
    }
}

fn add(sums: &mut BTreeMap<Currency, i64>, currency: Currency, minor: i64) {
    let sum = sums.entry(currency).or_default();
    *sum = sum.saturating_add(minor);
}

/// What was found of one subject.
pub(super) struct Findings {
    pub terms: Terms,
    /// The last day of which the bank tells, by currency.
    pub bank_told: BTreeMap<Currency, NaiveDate>,
    subject: Subject,
    /// Set where the subject changed while Stripe's answers were read: nothing that differs is a break then.
    pub moving: bool,
    found: Vec<Finding>,
}

impl Findings {
    fn new(terms: Terms, subject: Subject, bank_told: BTreeMap<Currency, NaiveDate>) -> Self {
        Self {
            terms,
            bank_told,
            subject,
            moving: false,
            found: vec![],
        }
    }

    /// For people.
    pub fn breaks(
        &mut self,
        class: BreakClass,
        part: &str,
        sides: (Option<Money>, Option<Money>),
        since: i64,
        says: String,
    ) {
        let verdict = Verdict::Break { class, due: None };
        self.add(verdict, part, sides, since, says);
    }

    /// In transit until `due`, and late after it.
    pub fn awaited(
        &mut self,
        part: &str,
        sides: (Option<Money>, Option<Money>),
        (since, due): (i64, i64),
        says: String,
    ) {
        let verdict = if due >= self.terms.at {
            Verdict::InTransit { due }
        } else {
            let class = BreakClass::Timing;
            Verdict::Break {
                class,
                due: Some(due),
            }
        };
        self.add(verdict, part, sides, since, says);
    }

    pub fn explained(&mut self, part: &str, ours: Money, since: i64, says: String) {
        self.add(Verdict::Explained, part, (Some(ours), None), since, says);
    }

    /// Seen on one side while the other was read.
    pub fn is_moving(
        &mut self,
        part: &str,
        sides: (Option<Money>, Option<Money>),
        since: i64,
        says: String,
    ) {
        self.add(Verdict::Moving, part, sides, since, says);
    }

    /// Two amounts that should be the same; answers whether they agree. Where the currencies differ, that is the break.
    pub fn amounts(
        &mut self,
        part: &str,
        sides: (Option<Money>, Option<Money>),
        since: i64,
        says: impl FnOnce() -> String,
    ) -> bool {
        self.figures(BreakClass::Amount, part, sides, since, says)
    }

    /// The same, of another class.
    pub fn figures(
        &mut self,
        class: BreakClass,
        part: &str,
        sides: (Option<Money>, Option<Money>),
        since: i64,
        says: impl FnOnce() -> String,
    ) -> bool {
        let (Some(ours), Some(theirs)) = sides else {
            return true;
        };
        if ours.currency() != theirs.currency() {
            self.breaks(BreakClass::Currency, part, sides, since, says());
            return false;
        }
        let apart = ours.minor().abs_diff(theirs.minor());
        if apart == 0 {
            return true;
        }
        if apart <= self.terms.tolerance_minor.unsigned_abs() {
            self.add(Verdict::Tolerated, part, sides, since, says());
            return true;
        }
        self.breaks(class, part, sides, since, says());
        false
    }

    fn add(
        &mut self,
        verdict: Verdict,
        part: &str,
        (ours, theirs): (Option<Money>, Option<Money>),
        since: i64,
        says: String,
    ) {
        let open = matches!(verdict, Verdict::Break { .. } | Verdict::InTransit { .. });
        self.found.push(Finding {
            subject: self.subject.clone(),
            part: part.to_owned(),
            verdict: if open && self.moving {
                Verdict::Moving
            } else {
                verdict
            },
            ours,
            theirs,
            says,
            since,
        });
    }
}

/// What both sides show, each ordered by subject, as one stream in that order.
pub fn joined(
    ours: impl Iterator<Item = Item>,
    theirs: impl Iterator<Item = Item>,
) -> impl Iterator<Item = Item> {
    Joined {
        ours: ours.peekable(),
        theirs: theirs.peekable(),
    }
}

struct Joined<A: Iterator<Item = Item>, B: Iterator<Item = Item>> {
    ours: Peekable<A>,
    theirs: Peekable<B>,
}

impl<A: Iterator<Item = Item>, B: Iterator<Item = Item>> Iterator for Joined<A, B> {
    type Item = Item;

    fn next(&mut self) -> Option<Item> {
        match (self.ours.peek(), self.theirs.peek()) {
            (Some(ours), Some(theirs)) if theirs.subject < ours.subject => self.theirs.next(),
            (None, _) => self.theirs.next(),
            (Some(_), _) => self.ours.next(),
        }
    }
}
