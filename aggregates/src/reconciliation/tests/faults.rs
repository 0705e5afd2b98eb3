//! Faults planted in a year, each with the break that it makes.

use super::years::{AT, Seed, Year, bank_line};
use crate::money::{Currency, Money};
use crate::payment::command::StripeStatus;
use crate::payment::state::RefundStatus;
use crate::reconciliation::items::{
    AboutOrder, OurOrder, Shown, TheirCharge, TheirIntent, TheirRefund,
};
use crate::reconciliation::{BreakClass, Item, Kind, Ours, Subject, Theirs};
use crate::settlement::PayoutStatus;
use strum::EnumIter;

/// Every way in which the two sides can fall apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumIter)]
pub enum Fault {
    IntentMissingHere,
    IntentMissingAtStripe,
    IntentTwice,
    ChargedTwice,
    ChargeAmount,
    ChargeMissingAtStripe,
    CapturedAmount,
    PaymentCurrency,
    PaymentStatus,
    RefundAmount,
    RefundMissingAtStripe,
    RefundMadeAtStripe,
    RefundTwice,
    DisputeMissingHere,
    DisputeStatus,
    BookingMissingHere,
    BookingMissingAtStripe,
    BookingAmount,
    BookingFee,
    BookingTwice,
    BookingLate,
    GrossIsNotTheCharge,
    Rate,
    PayoutMissingHere,
    PayoutMissingAtStripe,
    PayoutAmount,
    PayoutStatus,
    PayoutItems,
    PayoutNotAtTheBank,
    PayoutTwiceAtTheBank,
    BankLineUnknown,
    PaidWithoutOrder,
    OrderWithoutPayment,
    BalanceOfTheWhole,
}

/// What is to be found of a fault.
pub type Expected = (BreakClass, Subject, String);

impl Fault {
    /// Plants it in one place that the seed names; none where the year has no such place.
    pub fn plant(self, year: &mut Year, seed: &mut Seed) -> Option<Expected> {
        use BreakClass as Class;
        let items = &mut year.items;
        match self {
            Self::IntentMissingHere => {
                let at = pick(items, seed, |it| {
                    matches!(it, Shown::Theirs(Theirs::Intent(_)))
                })?;
                let subject = items[at].subject.clone();
                items.retain(|it| {
                    it.subject != subject
                        || !matches!(it.shown, Shown::Ours(Ours::Payment(_) | Ours::Order(_)))
                });
                Some((
                    Class::MissingHere,
                    subject.clone(),
                    subject.name().to_owned(),
                ))
            }
            Self::IntentMissingAtStripe => {
                let at = pick(items, seed, |it| {
                    matches!(it, Shown::Theirs(Theirs::Intent(_)))
                })?;
                let subject = items[at].subject.clone();
                items.retain(|it| {
                    it.subject != subject
                        || matches!(it.shown, Shown::Ours(_) | Shown::Theirs(Theirs::Booking(_)))
                });
                Some((
                    Class::MissingAtStripe,
                    subject.clone(),
                    subject.name().to_owned(),
                ))
            }
            Self::IntentTwice => {
                let at = pick(items, seed, |it| {
                    matches!(it, Shown::Theirs(Theirs::Intent(_)))
                })?;
                let Shown::Theirs(Theirs::Intent(intent)) = &items[at].shown else {
                    return None;
                };
                let twin = TheirIntent {
                    intent: format!("{}b", intent.intent),
                    twin_of: Some(intent.intent.clone()),
                    ..TheirIntent::clone(intent)
                };
                let subject = Subject::payment(twin.intent.clone());
                year.theirs(&subject, Theirs::Intent(Box::new(twin)));
                Some((Class::Duplicate, subject.clone(), subject.name().to_owned()))
            }
            Self::ChargedTwice => {
                let at = pick(items, seed, |it| {
                    matches!(it, Shown::Theirs(Theirs::Charge(_)))
                })?;
                let Shown::Theirs(Theirs::Charge(charge)) = &items[at].shown else {
                    return None;
                };
                let twin = TheirCharge {
                    charge: format!("{}b", charge.charge),
                    created: charge.created + 1,
                    ..charge.clone()
                };
                let (subject, part) = (items[at].subject.clone(), twin.charge.clone());
                year.theirs(&subject, Theirs::Charge(twin));
                Some((Class::Duplicate, subject, part))
            }
            Self::ChargeAmount | Self::ChargeMissingAtStripe => {
                let at = pick(items, seed, |it| {
                    matches!(it, Shown::Theirs(Theirs::Charge(_)))
                })?;
                let subject = items[at].subject.clone();
                if self == Self::ChargeMissingAtStripe {
                    items.remove(at);
                    return Some((Class::MissingAtStripe, subject, "charge".to_owned()));
                }
                let Shown::Theirs(Theirs::Charge(it)) = &mut items[at].shown else {
                    return None;
                };
                it.captured = more(it.captured, 1);
                Some((Class::Amount, subject, it.charge.clone()))
            }
            Self::CapturedAmount => {
                let at = pick(
                    items,
                    seed,
                    |it| matches!(it, Shown::Ours(Ours::Payment(it)) if it.captured.is_positive()),
                )?;
                let Shown::Ours(Ours::Payment(it)) = &mut items[at].shown else {
                    return None;
                };
                it.captured = more(it.captured, 1);
                Some((
                    Class::Amount,
                    items[at].subject.clone(),
                    "captured".to_owned(),
                ))
            }
            Self::PaymentCurrency => {
                let at = pick(items, seed, |it| {
                    matches!(it, Shown::Ours(Ours::Payment(_)))
                })?;
                let Shown::Ours(Ours::Payment(it)) = &mut items[at].shown else {
                    return None;
                };
                it.amount = Money::new(it.amount.minor(), Currency::GBP);
                Some((
                    Class::Currency,
                    items[at].subject.clone(),
                    "amount".to_owned(),
                ))
            }
            Self::PaymentStatus => {
                let at = pick(
                    items,
                    seed,
                    |it| matches!(it, Shown::Theirs(Theirs::Intent(it)) if it.status == StripeStatus::RequiresPaymentMethod),
                )?;
                let Shown::Theirs(Theirs::Intent(it)) = &mut items[at].shown else {
                    return None;
                };
                it.status = StripeStatus::Canceled;
                Some((
                    Class::Status,
                    items[at].subject.clone(),
                    "status".to_owned(),
                ))
            }
            Self::RefundAmount => {
                let at = pick(
                    items,
                    seed,
                    |it| matches!(it, Shown::Ours(Ours::Payment(it)) if !it.refunds.is_empty()),
                )?;
                let Shown::Ours(Ours::Payment(it)) = &mut items[at].shown else {
                    return None;
                };
                let refund = it.refunds.first_mut()?;
                refund.amount = more(refund.amount, -1);
                let part = refund.stripe_refund.clone()?;
                Some((Class::Amount, items[at].subject.clone(), part))
            }
            Self::RefundMissingAtStripe => {
                let at = pick(items, seed, |it| {
                    matches!(it, Shown::Theirs(Theirs::Refund(_)))
                })?;
                let gone = items.remove(at);
                let Shown::Theirs(Theirs::Refund(it)) = gone.shown else {
                    return None;
                };
                Some((Class::MissingAtStripe, gone.subject, it.refund))
            }
            Self::RefundMadeAtStripe => {
                let at = pick(
                    items,
                    seed,
                    |it| matches!(it, Shown::Ours(Ours::Payment(it)) if it.refunds.iter().any(|it| it.status != RefundStatus::Failed)),
                )?;
                let Shown::Ours(Ours::Payment(it)) = &mut items[at].shown else {
                    return None;
                };
                let refund = it.refunds.first_mut()?;
                refund.asked_here = false;
                let part = refund.stripe_refund.clone()?;
                Some((Class::MissingHere, items[at].subject.clone(), part))
            }
            Self::RefundTwice => {
                let at = pick(items, seed, |it| {
                    matches!(it, Shown::Theirs(Theirs::Refund(_)))
                })?;
                let Shown::Theirs(Theirs::Refund(it)) = &items[at].shown else {
                    return None;
                };
                let twin = TheirRefund {
                    refund: format!("{}b", it.refund),
                    ..it.clone()
                };
                let (subject, part) = (items[at].subject.clone(), twin.refund.clone());
                // It may be shown before the one that it is made of, or after it.
                let at = if seed.below(2) == 0 { 0 } else { items.len() };
                let shown = Shown::Theirs(Theirs::Refund(twin));
                let item = Item {
                    subject: subject.clone(),
                    shown,
                };
                items.insert(at, item);
                Some((Class::Duplicate, subject, part))
            }
            Self::DisputeMissingHere => {
                let at = pick(
                    items,
                    seed,
                    |it| matches!(it, Shown::Ours(Ours::Payment(it)) if !it.disputes.is_empty()),
                )?;
                let Shown::Ours(Ours::Payment(it)) = &mut items[at].shown else {
                    return None;
                };
                let part = it.disputes.pop()?.dispute;
                Some((Class::MissingHere, items[at].subject.clone(), part))
            }
            Self::DisputeStatus => {
                let at = pick(
                    items,
                    seed,
                    |it| matches!(it, Shown::Ours(Ours::Payment(it)) if !it.disputes.is_empty()),
                )?;
                let Shown::Ours(Ours::Payment(it)) = &mut items[at].shown else {
                    return None;
                };
                let dispute = it.disputes.first_mut()?;
                dispute.won = None;
                let part = dispute.dispute.clone();
                Some((Class::Status, items[at].subject.clone(), part))
            }
            Self::BookingMissingHere | Self::BookingMissingAtStripe => {
                let here = self == Self::BookingMissingHere;
                let at = pick(items, seed, |it| match it {
                    Shown::Ours(Ours::Booking(_)) => here,
                    Shown::Theirs(Theirs::Booking(_)) => !here,
                    _ => false,
                })?;
                let gone = items.remove(at);
                let (class, it) = match gone.shown {
                    Shown::Ours(Ours::Booking(it)) => (Class::MissingHere, it),
                    Shown::Theirs(Theirs::Booking(it)) => (Class::MissingAtStripe, it),
                    _ => return None,
                };
                whole(items, it.net, here);
                Some((class, gone.subject, it.id))
            }
            Self::BookingAmount | Self::BookingFee => {
                let at = pick(items, seed, |it| {
                    matches!(it, Shown::Theirs(Theirs::Booking(_)))
                })?;
                let Shown::Theirs(Theirs::Booking(it)) = &mut items[at].shown else {
                    return None;
                };
                let one = Money::new(1, it.net.currency());
                let class = if self == Self::BookingFee {
                    it.fee = it.fee.plus(one).unwrap();
                    it.fee_parts = Some(it.fee);
                    it.net = it.net.minus(one).unwrap();
                    Class::Fee
                } else {
                    it.amount = it.amount.minus(one).unwrap();
                    it.net = it.net.minus(one).unwrap();
                    Class::Amount
                };
                let part = it.id.clone();
                let subject = items[at].subject.clone();
                whole(items, one, false);
                Some((class, subject, part))
            }
            Self::BookingTwice => {
                let at = pick(
                    items,
                    seed,
                    |it| matches!(it, Shown::Theirs(Theirs::Booking(it)) if it.category == "charge"),
                )?;
                let Shown::Theirs(Theirs::Booking(it)) = &items[at].shown else {
                    return None;
                };
                let mut twin = it.clone();
                twin.id += "b";
                let (subject, part, net) = (items[at].subject.clone(), twin.id.clone(), twin.net);
                let back = Money::new(-net.minor(), net.currency());
                whole(items, back, false);
                year.theirs(&subject, Theirs::Booking(twin));
                Some((Class::Duplicate, subject, part))
            }
            Self::BookingLate => {
                let at = pick(
                    items,
                    seed,
                    |it| matches!(it, Shown::Theirs(Theirs::Booking(it)) if it.category == "charge"),
                )?;
                let Shown::Theirs(Theirs::Booking(it)) = items[at].shown.clone() else {
                    return None;
                };
                items.retain(|item| match &item.shown {
                    Shown::Ours(Ours::Booking(known)) | Shown::Theirs(Theirs::Booking(known)) => {
                        known.id != it.id
                    }
                    _ => true,
                });
                whole(items, it.net, true);
                whole(items, it.net, false);
                let subject = Subject::payment(it.source.clone()?.replace("ch_", "pi_"));
                Some((Class::Timing, subject, it.source?))
            }
            Self::GrossIsNotTheCharge => {
                let at = pick(
                    items,
                    seed,
                    |it| matches!(it, Shown::Theirs(Theirs::Charge(it)) if it.captured.currency() == Currency::USD),
                )?;
                let subject = items[at].subject.clone();
                let mut part = None;
                for item in items.iter_mut().filter(|it| it.subject == subject) {
                    match &mut item.shown {
                        Shown::Theirs(Theirs::Charge(it)) => {
                            it.captured = more(it.captured, 1);
                            part = Some(it.charge.clone());
                        }
                        Shown::Theirs(Theirs::Intent(it)) => {
                            it.amount = more(it.amount, 1);
                            it.amount_received = more(it.amount_received, 1);
                        }
                        Shown::Ours(Ours::Payment(it)) => {
                            it.amount = more(it.amount, 1);
                            it.captured = more(it.captured, 1);
                        }
                        _ => {}
                    }
                }
                Some((Class::Amount, subject, part?))
            }
            Self::Rate => {
                let at = pick(
                    items,
                    seed,
                    |it| matches!(it, Shown::Theirs(Theirs::Booking(it)) if it.exchange_rate.is_some()),
                )?;
                let Shown::Theirs(Theirs::Booking(it)) = &mut items[at].shown else {
                    return None;
                };
                it.exchange_rate = Some(rust_decimal::dec!(1.2));
                let part = it.id.clone();
                Some((Class::Amount, items[at].subject.clone(), part))
            }
            Self::PayoutMissingHere => {
                let at = pick(items, seed, |it| matches!(it, Shown::Ours(Ours::Payout(_))))?;
                let gone = items.remove(at);
                items.retain(|it| {
                    it.subject != gone.subject
                        || !matches!(it.shown, Shown::Ours(Ours::BankLine(_)))
                });
                Some((
                    Class::MissingHere,
                    gone.subject.clone(),
                    gone.subject.name().to_owned(),
                ))
            }
            Self::PayoutMissingAtStripe => {
                let at = pick(items, seed, |it| {
                    matches!(it, Shown::Theirs(Theirs::Payout(_)))
                })?;
                let gone = items.remove(at);
                Some((
                    Class::MissingAtStripe,
                    gone.subject.clone(),
                    gone.subject.name().to_owned(),
                ))
            }
            Self::PayoutAmount => {
                let at = pick(items, seed, |it| matches!(it, Shown::Ours(Ours::Payout(_))))?;
                let Shown::Ours(Ours::Payout(it)) = &mut items[at].shown else {
                    return None;
                };
                it.amount = more(it.amount, 1);
                let subject = items[at].subject.clone();
                for item in items.iter_mut().filter(|it| it.subject == subject) {
                    if let Shown::Ours(Ours::BankLine(it)) = &mut item.shown {
                        it.amount = more(it.amount, 1);
                    }
                }
                Some((Class::Amount, subject, "amount".to_owned()))
            }
            Self::PayoutStatus => {
                let at = pick(
                    items,
                    seed,
                    |it| matches!(it, Shown::Ours(Ours::Payout(it)) if it.status == PayoutStatus::Failed),
                )?;
                let Shown::Ours(Ours::Payout(it)) = &mut items[at].shown else {
                    return None;
                };
                it.status = PayoutStatus::InTransit;
                Some((
                    Class::Status,
                    items[at].subject.clone(),
                    "status".to_owned(),
                ))
            }
            Self::PayoutItems => {
                let at = pick(items, seed, |it| {
                    matches!(it, Shown::Theirs(Theirs::PayoutItem { .. }))
                })?;
                let Shown::Theirs(Theirs::PayoutItem { net: it, .. }) = &mut items[at].shown else {
                    return None;
                };
                *it = more(*it, 1);
                Some((Class::Amount, items[at].subject.clone(), "items".to_owned()))
            }
            Self::PayoutNotAtTheBank => {
                let at = pick(
                    items,
                    seed,
                    |it| matches!(it, Shown::Ours(Ours::Payout(it)) if it.arrived),
                )?;
                let Shown::Ours(Ours::Payout(it)) = &mut items[at].shown else {
                    return None;
                };
                it.arrived = false;
                let subject = items[at].subject.clone();
                items.retain(|it| {
                    it.subject != subject || !matches!(it.shown, Shown::Ours(Ours::BankLine(_)))
                });
                Some((Class::Timing, subject, "bank".to_owned()))
            }
            Self::PayoutTwiceAtTheBank => {
                let at = pick(
                    items,
                    seed,
                    |it| matches!(it, Shown::Ours(Ours::Payout(it)) if it.arrived),
                )?;
                let Shown::Ours(Ours::Payout(it)) = &items[at].shown else {
                    return None;
                };
                let (subject, amount) = (items[at].subject.clone(), it.amount);
                let line = bank_line(9_000_000, amount, AT - 40 * 86_400, subject.name(), false);
                let Ours::BankLine(known) = &line else {
                    return None;
                };
                let part = known.line.to_string();
                year.ours(&subject, line);
                Some((Class::Duplicate, subject, part))
            }
            Self::BankLineUnknown => {
                let subject = Subject::new(Kind::BankLine, "9");
                let amount = Money::new(50_00, Currency::USD);
                year.ours(&subject, bank_line(9, amount, AT - 40 * 86_400, "", false));
                Some((Class::MissingAtStripe, subject, "line".to_owned()))
            }
            Self::PaidWithoutOrder => {
                let at = pick(
                    items,
                    seed,
                    |it| matches!(it, Shown::Ours(Ours::Order(it)) if it.about == AboutOrder::PaidByIt),
                )?;
                let gone = items.remove(at);
                let Shown::Ours(Ours::Order(it)) = gone.shown else {
                    return None;
                };
                Some((Class::PaidWithoutOrder, gone.subject, it.order.to_string()))
            }
            Self::OrderWithoutPayment => {
                let at = pick(
                    items,
                    seed,
                    |it| matches!(it, Shown::Ours(Ours::Payment(it)) if !it.captured.is_positive()),
                )?;
                let Shown::Ours(Ours::Payment(it)) = &items[at].shown else {
                    return None;
                };
                let order = OurOrder {
                    order: it.order?,
                    about: AboutOrder::PaidByIt,
                    amount: it.amount,
                    since: it.created,
                };
                let (subject, part) = (items[at].subject.clone(), order.order.to_string());
                year.ours(&subject, Ours::Order(order));
                Some((Class::OrderWithoutPayment, subject, part))
            }
            Self::BalanceOfTheWhole => {
                let one = Money::new(1, Currency::USD);
                whole(items, one, false);
                Some((
                    Class::Amount,
                    Subject::whole(Currency::USD),
                    "balance".to_owned(),
                ))
            }
        }
    }
}

pub fn more(it: Money, minor: i64) -> Money {
    Money::new(it.minor() + minor, it.currency())
}

/// What was booked less is held less, on our side or on Stripe's.
pub fn whole(items: &mut [Item], net: Money, here: bool) {
    for item in items {
        match &mut item.shown {
            Shown::Ours(Ours::Journal(it)) if here && it.currency() == net.currency() => {
                *it = it.minus(net).unwrap();
            }
            Shown::Theirs(Theirs::Balance(it)) if !here && it.currency() == net.currency() => {
                *it = it.minus(net).unwrap();
            }
            _ => {}
        }
    }
}

fn pick(items: &[Item], seed: &mut Seed, fits: impl Fn(&Shown) -> bool) -> Option<usize> {
    let places: Vec<usize> = (0..items.len())
        .filter(|at| fits(&items[*at].shown))
        .collect();
    let count = u64::try_from(places.len()).ok().filter(|it| *it > 0)?;
    Some(places[usize::try_from(seed.below(count)).unwrap()])
}
