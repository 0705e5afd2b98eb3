//! Years of business as both sides show them, made of a seed; and faults planted in them.

use crate::ids::{OrderId, PaymentId, RefundId, SettlementId};
use crate::money::{Currency, Money};
use crate::payment::command::{StripeRefundStatus, StripeStatus};
use crate::payment::state::{RefundStatus, Status};
use crate::reconciliation::items::Shown;
use crate::reconciliation::items::{
    AboutOrder, Booking, OurBankLine, OurDispute, OurOrder, OurPayment, OurPayout, OurRefund,
    TheirCharge, TheirDispute, TheirIntent, TheirPayout, TheirRefund,
};
use crate::reconciliation::{Item, Kind, Ours, Subject, Terms, Theirs};
use crate::settlement::PayoutStatus;
use chrono::DateTime;
use rust_decimal::{Decimal, dec};
use std::collections::BTreeMap;
use uuid::Uuid;

const DAY: i64 = 86_400;
pub const BEGIN: i64 = 1_735_689_600;
pub const AT: i64 = BEGIN + 366 * DAY;

pub fn terms() -> Terms {
    Terms {
        tolerance_minor: 0,
        at: AT,
    }
}

/// Numbers of a seed (splitmix64).
pub struct Seed(pub u64);

impl Seed {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut it = self.0;
        it = (it ^ (it >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        it = (it ^ (it >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        it ^ (it >> 31)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

/// Both sides of a year, by subject.
#[derive(Clone, Default)]
pub struct Year {
    pub items: Vec<Item>,
    held: BTreeMap<Currency, i64>,
}

impl Year {
    pub fn ours(&mut self, subject: &Subject, it: Ours) {
        self.items.push(Item {
            subject: subject.clone(),
            shown: Shown::Ours(it),
        });
    }

    pub fn theirs(&mut self, subject: &Subject, it: Theirs) {
        self.items.push(Item {
            subject: subject.clone(),
            shown: Shown::Theirs(it),
        });
    }

    /// Booked at Stripe and recorded here.
    fn booked(&mut self, subject: &Subject, it: Booking) {
        *self.held.entry(it.net.currency()).or_default() += it.net.minor();
        self.ours(subject, Ours::Booking(Box::new(it.clone())));
        self.theirs(subject, Theirs::Booking(Box::new(it)));
    }

    /// Ordered as a run orders them: by subject, ours first.
    pub fn ordered(&self) -> Vec<Item> {
        let mut items = self.items.clone();
        items.sort_by_key(|it| it.subject.clone());
        items
    }
}

/// A year with `payments` payments, in which both sides agree.
pub fn clean(seed: u64, payments: u64) -> Year {
    let mut year = Year::default();
    let mut seed = Seed(seed);
    let mut week = Vec::new();
    for number in 0..payments {
        let created = BEGIN + i64::try_from(number * 300 / payments).unwrap() * DAY;
        week.extend(payment(&mut year, &mut seed, number, created));
        if number % 25 == 24 {
            payout(&mut year, number, created, &mut week);
        }
    }
    let fee = booking("txn_fee", "fee", Money::new(-200, Currency::USD), 0, None);
    year.booked(&Subject::booking("txn_fee"), fee);
    let told_until = DateTime::from_timestamp(AT, 0).unwrap().date_naive();
    let told = Ours::BankTold([(Currency::USD, told_until)].into());
    year.ours(&Subject::bank(), told);
    for (currency, minor) in year.held.clone() {
        let held = Money::new(minor, currency);
        year.ours(&Subject::whole(currency), Ours::Journal(held));
        year.theirs(&Subject::whole(currency), Theirs::Balance(held));
    }
    year
}

fn booking(id: &str, category: &str, amount: Money, fee: i64, source: Option<&str>) -> Booking {
    let fee = Money::new(fee, amount.currency());
    Booking {
        id: id.to_owned(),
        category: category.to_owned(),
        amount,
        fee,
        net: amount.minus(fee).unwrap(),
        fee_parts: Some(fee),
        source: source.map(str::to_owned),
        origin: None,
        exchange_rate: None,
        created: BEGIN,
        payout: None,
        recorded_at: None,
    }
}

/// A payment of one of the kinds that a year has; answers what is booked in dollars of it.
fn payment(year: &mut Year, seed: &mut Seed, number: u64, created: i64) -> Vec<Money> {
    let subject = Subject::payment(format!("pi_{number:05}"));
    let minor = i64::try_from(1_000 + seed.below(90_000)).unwrap();
    // Each kind is there at least once.
    let kind = if number < 10 { number } else { seed.below(10) };
    let euros = kind == 7;
    let currency = if euros { Currency::EUR } else { Currency::USD };
    let amount = Money::new(minor, currency);
    let declined = kind == 8;
    let partial = kind == 6;
    let captured = if declined {
        0
    } else if partial {
        minor / 2
    } else {
        minor
    };
    let captured = Money::new(captured, currency);
    let id = PaymentId::from_uuid(Uuid::from_u128(u128::from(number) + 1));
    let order = OrderId::from_uuid(Uuid::from_u128(u128::from(number) + 1_000_000));
    let mut ours = OurPayment {
        payment: id,
        intent: Some(subject.name().to_owned()),
        status: if declined {
            Status::RequiresPaymentMethod
        } else {
            Status::Succeeded
        },
        amount,
        captured,
        captured_at: (!declined).then_some(created + 60),
        refunds: vec![],
        disputes: vec![],
        order: Some(order),
        created,
        moved_at: created + 60,
        waiting_since: None,
    };
    let intent = TheirIntent {
        intent: subject.name().to_owned(),
        status: if declined {
            StripeStatus::RequiresPaymentMethod
        } else {
            StripeStatus::Succeeded
        },
        amount,
        amount_received: captured,
        created,
        names: Some(id),
        checkout: None,
        twin_of: None,
    };
    year.theirs(&subject, Theirs::Intent(Box::new(intent)));
    let mut nets = vec![];
    if !declined {
        nets.push(charged(year, seed, &subject, number, captured, created));
        let about = if kind == 9 {
            AboutOrder::Mispaid
        } else {
            AboutOrder::PaidByIt
        };
        let known = OurOrder {
            order,
            about,
            amount: captured,
            since: created,
        };
        year.ours(&subject, Ours::Order(known));
    }
    if kind < 3 {
        nets.extend(refunded(year, &mut ours, number, captured, created, kind));
    }
    if kind == 4 || kind == 5 {
        nets.extend(disputed(year, &mut ours, number, captured, created, kind));
    }
    year.ours(&subject, Ours::Payment(Box::new(ours)));
    nets
}

fn charged(
    year: &mut Year,
    seed: &mut Seed,
    subject: &Subject,
    number: u64,
    captured: Money,
    created: i64,
) -> Money {
    let charge = format!("ch_{number:05}");
    let shown = TheirCharge {
        charge: charge.clone(),
        succeeded: true,
        captured,
        created,
    };
    year.theirs(subject, Theirs::Charge(shown));
    let id = format!("txn_{charge}");
    let fee = i64::try_from(30 + seed.below(300)).unwrap();
    let booked = if captured.currency() == Currency::USD {
        booking(&id, "charge", captured, fee, Some(&charge))
    } else {
        let rate = dec!(1.0834);
        let dollars = (Decimal::from(captured.minor()) * rate).round();
        let dollars = Money::new(i64::try_from(dollars).unwrap(), Currency::USD);
        Booking {
            origin: Some(captured),
            exchange_rate: Some(rate),
            ..booking(&id, "charge", dollars, fee, Some(&charge))
        }
    };
    let net = booked.net;
    year.booked(subject, booked);
    net
}

/// Refunds that succeeded, failed after they had, and are pending.
fn refunded(
    year: &mut Year,
    ours: &mut OurPayment,
    number: u64,
    captured: Money,
    created: i64,
    kind: u64,
) -> Vec<Money> {
    let name = format!("re_{number:05}");
    let id = RefundId::from_uuid(Uuid::from_u128(u128::from(number) + 2_000_000));
    let amount = Money::new(captured.minor() / 3, captured.currency());
    let (here, there) = [
        (RefundStatus::Succeeded, StripeRefundStatus::Succeeded),
        (RefundStatus::Failed, StripeRefundStatus::Failed),
        (RefundStatus::Pending, StripeRefundStatus::Pending),
    ][usize::try_from(kind).unwrap()];
    ours.refunds.push(OurRefund {
        id,
        stripe_refund: Some(name.clone()),
        amount,
        status: here,
        asked_here: true,
    });
    let subject = Subject::payment(format!("pi_{number:05}"));
    let shown = TheirRefund {
        refund: name.clone(),
        amount,
        status: there,
        created,
        names: Some(id),
    };
    year.theirs(&subject, Theirs::Refund(shown));
    let out = Money::new(-amount.minor(), amount.currency());
    let mut nets = vec![out];
    let booked = booking(&format!("txn_{name}"), "refund", out, 0, Some(&name));
    year.booked(&subject, booked);
    if there == StripeRefundStatus::Failed {
        let back = format!("txn_{name}_back");
        let booked = booking(&back, "refund_failure", amount, 0, Some(&name));
        year.booked(&subject, booked);
        nets.push(amount);
    }
    nets
}

/// Disputes, won and lost.
fn disputed(
    year: &mut Year,
    ours: &mut OurPayment,
    number: u64,
    captured: Money,
    created: i64,
    kind: u64,
) -> Vec<Money> {
    let dispute = format!("dp_{number:05}");
    let won = kind == 4;
    ours.disputes.push(OurDispute {
        dispute: dispute.clone(),
        amount: captured,
        funds_withdrawn: true,
        funds_reinstated: won,
        won: Some(won),
    });
    let subject = Subject::payment(format!("pi_{number:05}"));
    let shown = TheirDispute {
        dispute: dispute.clone(),
        amount: captured,
        funds_withdrawn: true,
        funds_reinstated: won,
        won: Some(won),
        created,
    };
    year.theirs(&subject, Theirs::Dispute(shown));
    let out = Money::new(-captured.minor(), captured.currency());
    let out = booking(
        &format!("txn_{dispute}"),
        "dispute",
        out,
        1500,
        Some(&dispute),
    );
    let mut nets = vec![out.net];
    year.booked(&subject, out);
    if won {
        let id = format!("txn_{dispute}_back");
        let back = booking(&id, "dispute_reversal", captured, 0, Some(&dispute));
        nets.push(back.net);
        year.booked(&subject, back);
    }
    nets
}

fn payout(year: &mut Year, number: u64, created: i64, week: &mut Vec<Money>) {
    let name = format!("po_{number:05}");
    let subject = Subject::payout(name.clone());
    let manual = number % 75 == 24;
    let failed = number % 50 == 49;
    let nets: Vec<Money> = std::mem::take(week);
    let sum: i64 = nets.iter().map(|it| it.minor()).sum();
    let amount = Money::new(if manual { sum / 2 } else { sum }, Currency::USD);
    let status = if failed {
        PayoutStatus::Failed
    } else {
        PayoutStatus::Paid
    };
    let theirs = TheirPayout {
        payout: name.clone(),
        amount,
        status,
        arrival_date: created + 2 * DAY,
        created,
        itemised: !manual,
        failure_booking: None,
    };
    year.theirs(&subject, Theirs::Payout(Box::new(theirs)));
    let ours = OurPayout {
        payout: name.clone(),
        amount,
        status,
        arrival_date: created + 2 * DAY,
        items_count: (!manual).then(|| u64::try_from(nets.len()).unwrap()),
        items_net: (!manual).then_some(amount),
        arrived: !failed,
        returned: false,
        moved_at: created + 3 * DAY,
    };
    year.ours(&subject, Ours::Payout(Box::new(ours)));
    if !manual {
        for (item, net) in nets.into_iter().enumerate() {
            let id = format!("txn_{name}_{item}");
            year.theirs(&subject, Theirs::PayoutItem { id, net });
        }
    }
    let out = Money::new(-amount.minor(), Currency::USD);
    let booked = booking(&format!("txn_{name}"), "payout", out, 0, Some(&name));
    year.booked(&subject, booked);
    if failed {
        let id = format!("txn_{name}_back");
        let back = booking(&id, "payout_reversal", amount, 0, Some(&name));
        year.booked(&subject, back);
    } else {
        year.ours(
            &subject,
            bank_line(number, amount, created + 2 * DAY, &name, true),
        );
    }
}

pub fn bank_line(number: u64, amount: Money, at: i64, payout: &str, matched: bool) -> Ours {
    Ours::BankLine(Box::new(OurBankLine {
        line: SettlementId::from_uuid(Uuid::from_u128(u128::from(number) + 3_000_000)),
        amount,
        booked_on: DateTime::from_timestamp(at, 0).unwrap().date_naive(),
        names_payout: Some(payout.to_owned()),
        names_stripe: true,
        matched: matched.then(|| payout.to_owned()),
    }))
}

/// Whether the subject is a payment.
pub fn is_payment(subject: &Subject) -> bool {
    subject.kind() == Kind::Payment
}
