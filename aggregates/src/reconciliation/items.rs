//! What the two sides show of a subject. Times are seconds since 1970; amounts of bookings are signed.

use crate::ids::{OrderId, PaymentId, RefundId, SettlementId};
use crate::money::{Currency, Money};
use crate::payment::command::{
    DisputeState, IntentSnapshot, RefundSnapshot, StripeRefundStatus, StripeStatus,
};
use crate::payment::state::{Facts, RefundStatus, Status};
use crate::reconciliation::subject::Subject;
use crate::settlement::{
    BankLine, Payout, PayoutSnapshot, PayoutStatus, ReconciliationStatus, Transaction,
    TransactionSnapshot,
};
use chrono::NaiveDate;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One thing that one side shows of a subject.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    pub subject: Subject,
    pub shown: Shown,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shown {
    Ours(Ours),
    Theirs(Theirs),
}

impl Item {
    /// The side, 0 for ours, and the kind and id of what is shown: what is shown twice of a subject under one name is one thing.
    pub fn name(&self) -> (i16, String) {
        match &self.shown {
            Shown::Ours(it) => (0, it.name()),
            Shown::Theirs(it) => (1, it.name()),
        }
    }
}

impl Ours {
    fn name(&self) -> String {
        match self {
            Self::Payment(it) => format!("payment/{}", it.payment),
            Self::Order(it) => format!("order/{}/{}", it.order, it.about),
            Self::Booking(it) => format!("booking/{}", it.id),
            Self::Payout(it) => format!("payout/{}", it.payout),
            Self::BankLine(it) => format!("line/{}", it.line),
            Self::BankTold(_) => "told".to_owned(),
            Self::Journal(it) => format!("journal/{}", it.currency()),
        }
    }
}

impl Theirs {
    fn name(&self) -> String {
        match self {
            Self::Intent(it) => format!("intent/{}", it.intent),
            Self::Charge(it) => format!("charge/{}", it.charge),
            Self::Refund(it) => format!("refund/{}", it.refund),
            Self::Dispute(it) => format!("dispute/{}", it.dispute),
            Self::Booking(it) => format!("booking/{}", it.id),
            Self::Payout(it) => format!("payout/{}", it.payout),
            Self::PayoutItem { id, .. } => format!("item/{id}"),
            Self::Balance(it) => format!("balance/{}", it.currency()),
        }
    }
}

/// What the ledger shows, up to the pinned position.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ours {
    Payment(Box<OurPayment>),
    Order(OurOrder),
    Booking(Box<Booking>),
    Payout(Box<OurPayout>),
    BankLine(Box<OurBankLine>),
    /// The last day of which the merchant's bank statements tell, by currency. Shown before everything else.
    BankTold(BTreeMap<Currency, NaiveDate>),
    /// What the journal says that Stripe holds.
    Journal(Money),
}

/// What Stripe's answers show.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Theirs {
    Intent(Box<TheirIntent>),
    Charge(TheirCharge),
    Refund(TheirRefund),
    Dispute(TheirDispute),
    Booking(Box<Booking>),
    Payout(Box<TheirPayout>),
    /// The net of one balance transaction, by its id, that went into the payout.
    PayoutItem {
        id: String,
        net: Money,
    },
    /// What Stripe says that it holds, pending or available.
    Balance(Money),
}

/// A payment of ours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OurPayment {
    pub payment: PaymentId,
    /// Stripe's intent; none before Stripe made one.
    pub intent: Option<String>,
    pub status: Status,
    pub amount: Money,
    pub captured: Money,
    /// When the capture was recorded.
    pub captured_at: Option<i64>,
    pub refunds: Vec<OurRefund>,
    pub disputes: Vec<OurDispute>,
    /// The order that it names.
    pub order: Option<OrderId>,
    pub created: i64,
    /// When something of it was recorded last, but for what a reconciliation observed.
    pub moved_at: i64,
    /// The oldest intention that Stripe has not answered: since when.
    pub waiting_since: Option<i64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OurRefund {
    pub id: RefundId,
    pub stripe_refund: Option<String>,
    pub amount: Money,
    pub status: RefundStatus,
    /// False for one that somebody made at Stripe.
    pub asked_here: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OurDispute {
    pub dispute: String,
    pub amount: Money,
    pub funds_withdrawn: bool,
    pub funds_reinstated: bool,
    /// None while it is open.
    pub won: Option<bool>,
}

/// An order, as far as it is about this payment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OurOrder {
    pub order: OrderId,
    pub about: AboutOrder,
    /// What the order costs, or what came for it and does not pay it.
    pub amount: Money,
    pub since: i64,
}

#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, strum::Display, strum::EnumString,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum AboutOrder {
    /// The order counts as paid by this payment.
    PaidByIt,
    /// The order knows of its money, which does not pay it.
    Mispaid,
}

/// A balance transaction, as either side has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Booking {
    /// Stripe's id (`txn_…`).
    pub id: String,
    /// Stripe's `reporting_category`.
    pub category: String,
    /// Gross.
    pub amount: Money,
    pub fee: Money,
    pub net: Money,
    /// What the parts of the fee come to; none where they are not all of the fee's currency.
    pub fee_parts: Option<Money>,
    /// Stripe's id of what moved it.
    pub source: Option<String>,
    /// What was moved in the currency of its source, with the sign of `amount`.
    pub origin: Option<Money>,
    #[serde(with = "rust_decimal::serde::str_option")]
    pub exchange_rate: Option<Decimal>,
    pub created: i64,
    /// The automatic payout that it went into, where that is known.
    pub payout: Option<String>,
    /// When it was recorded here, of one of ours.
    pub recorded_at: Option<i64>,
}

/// A payout, as it is known here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OurPayout {
    pub payout: String,
    pub amount: Money,
    pub status: PayoutStatus,
    pub arrival_date: i64,
    pub items_count: Option<u64>,
    pub items_net: Option<Money>,
    /// The bank line with which it arrived is known.
    pub arrived: bool,
    pub returned: bool,
    pub moved_at: i64,
}

/// A line of a bank statement that names Stripe, or that is a payout's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OurBankLine {
    pub line: SettlementId,
    pub amount: Money,
    pub booked_on: NaiveDate,
    pub names_payout: Option<String>,
    pub names_stripe: bool,
    pub matched: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TheirIntent {
    pub intent: String,
    pub status: StripeStatus,
    pub amount: Money,
    pub amount_received: Money,
    pub created: i64,
    /// Our payment, by its metadata: we have asked for the intent.
    pub names: Option<PaymentId>,
    /// Our checkout, by its metadata: a page of Stripe's has made the intent, and its payment has the checkout's own id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkout: Option<PaymentId>,
    /// The own intent of the payment that it is [`of`](Self::payment), where that is another one.
    pub twin_of: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TheirCharge {
    pub charge: String,
    pub succeeded: bool,
    pub captured: Money,
    pub created: i64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TheirRefund {
    pub refund: String,
    pub amount: Money,
    #[serde(with = "text")]
    pub status: StripeRefundStatus,
    pub created: i64,
    /// Our refund, by its metadata.
    pub names: Option<RefundId>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TheirDispute {
    pub dispute: String,
    pub amount: Money,
    pub funds_withdrawn: bool,
    pub funds_reinstated: bool,
    /// None while it is open.
    pub won: Option<bool>,
    pub created: i64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TheirPayout {
    pub payout: String,
    pub amount: Money,
    pub status: PayoutStatus,
    pub arrival_date: i64,
    pub created: i64,
    /// Stripe can tell what it is made of.
    pub itemised: bool,
    pub failure_booking: Option<String>,
}

/// A value that writes itself as text.
mod text {
    use serde::{Deserialize, Deserializer, Serializer};
    use std::fmt::Display;
    use std::str::FromStr;

    pub fn serialize<T: Display, S: Serializer>(it: &T, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(it)
    }

    pub fn deserialize<'de, T: FromStr, D: Deserializer<'de>>(from: D) -> Result<T, D::Error> {
        let text = String::deserialize(from)?;
        text.parse()
            .map_err(|_| serde::de::Error::custom("not one of its words"))
    }
}

impl OurPayment {
    /// What a reconciliation looks at of a payment that its events left so; none before it was begun. The times are of its
    /// events.
    pub fn of(payment: PaymentId, facts: &Facts, times: Times) -> Self {
        let waiting = facts.pending.is_some()
            || facts
                .refunds
                .iter()
                .any(|it| it.status == RefundStatus::Requested);
        Self {
            payment,
            intent: facts.intent.as_ref().map(|it| it.id.clone()),
            status: facts.status,
            amount: facts.amount,
            captured: facts.captured,
            captured_at: times.captured_at,
            refunds: facts.refunds.iter().map(OurRefund::of).collect(),
            disputes: facts
                .disputes
                .iter()
                .map(|(dispute, it)| OurDispute {
                    dispute: dispute.clone(),
                    amount: it.amount,
                    funds_withdrawn: it.funds_withdrawn,
                    funds_reinstated: it.funds_reinstated,
                    won: it.won,
                })
                .collect(),
            order: facts.order,
            created: facts
                .intent
                .as_ref()
                .map_or(times.begun_at, |it| it.created),
            moved_at: times.moved_at,
            waiting_since: waiting.then_some(times.moved_at),
        }
    }
}

/// When the events of a payment were recorded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Times {
    pub begun_at: i64,
    /// The last of them, but for what a reconciliation observed.
    pub moved_at: i64,
    pub captured_at: Option<i64>,
}

impl OurRefund {
    fn of(it: &crate::payment::state::Refund) -> Self {
        let outside = it
            .stripe_refund
            .as_deref()
            .is_some_and(|stripes| it.id == RefundId::of_observed_refund(stripes));
        Self {
            id: it.id,
            stripe_refund: it.stripe_refund.clone(),
            amount: it.amount,
            status: it.status,
            asked_here: !outside,
        }
    }
}

impl From<&Transaction> for Booking {
    fn from(it: &Transaction) -> Self {
        let booked = &it.booked;
        Self {
            id: booked.balance_transaction.clone(),
            category: booked.category.clone(),
            amount: booked.amount,
            fee: booked.fee,
            net: booked.net,
            fee_parts: parts(booked.fee, booked.fees.iter().map(|it| it.amount)),
            source: booked.source.clone(),
            origin: booked.origin,
            exchange_rate: booked.exchange_rate,
            created: booked.created,
            payout: it.payout.clone(),
            recorded_at: None,
        }
    }
}

impl From<&TransactionSnapshot> for Booking {
    fn from(it: &TransactionSnapshot) -> Self {
        Self {
            id: it.balance_transaction.clone(),
            category: it.category.clone(),
            amount: it.amount,
            fee: it.fee,
            net: it.net,
            fee_parts: parts(it.fee, it.fees.iter().map(|it| it.amount)),
            source: it.source.clone(),
            origin: it.source_amount.map(|moved| {
                let minor = moved.minor().saturating_abs();
                let signed = minor.saturating_mul(it.amount.minor().signum());
                Money::new(signed, moved.currency())
            }),
            exchange_rate: it.exchange_rate,
            created: it.created,
            payout: it.payout.clone(),
            recorded_at: None,
        }
    }
}

/// The sum, in the currency of the whole.
fn parts(whole: Money, mut parts: impl Iterator<Item = Money>) -> Option<Money> {
    parts.try_fold(Money::zero(whole.currency()), |sum, it| sum.plus(it).ok())
}

impl TheirIntent {
    pub fn of(seen: &IntentSnapshot) -> Self {
        Self {
            intent: seen.intent.clone(),
            status: seen.status,
            amount: seen.amount,
            amount_received: seen.amount_received,
            created: seen.created,
            names: None,
            checkout: None,
            twin_of: None,
        }
    }

    /// The payment of ours that it says it is of.
    pub fn payment(&self) -> Option<PaymentId> {
        self.names.or(self.checkout)
    }
}

impl TheirRefund {
    pub fn of(seen: &RefundSnapshot) -> Self {
        Self {
            refund: seen.stripe_refund.clone(),
            amount: seen.amount,
            status: seen.status,
            created: seen.created.unwrap_or(0),
            names: seen.refund,
        }
    }
}

impl TheirDispute {
    /// `created` is Stripe's time.
    pub fn of(seen: &DisputeState, created: i64) -> Self {
        Self {
            dispute: seen.dispute.clone(),
            amount: seen.amount,
            funds_withdrawn: seen.withdrawn_fee_minor.is_some(),
            funds_reinstated: seen.reinstated,
            won: seen.status.won(),
            created,
        }
    }
}

impl TheirPayout {
    pub fn of(seen: &PayoutSnapshot) -> Self {
        Self {
            payout: seen.payout.clone(),
            amount: seen.amount,
            status: seen.status,
            arrival_date: seen.arrival_date,
            created: seen.created,
            itemised: seen.automatic
                && seen.reconciliation_status == ReconciliationStatus::Completed,
            failure_booking: seen.failure_balance_transaction.clone(),
        }
    }
}

impl OurPayout {
    /// `moved_at` is when something of it was recorded last.
    pub fn of(it: &Payout, moved_at: i64) -> Self {
        Self {
            payout: it.payout.clone(),
            amount: it.amount,
            status: it.status,
            arrival_date: it.arrival_date,
            items_count: it.items.map(|items| items.count),
            items_net: it.items.map(|items| items.net),
            arrived: it.arrived.is_some(),
            returned: it.returned.is_some(),
            moved_at,
        }
    }
}

impl OurBankLine {
    pub fn of(line: SettlementId, it: &BankLine) -> Self {
        Self {
            line,
            amount: it.line.amount,
            booked_on: it.line.booked_on,
            names_payout: it.line.names_payout.clone(),
            names_stripe: it.line.names_stripe,
            matched: it.matched.clone(),
        }
    }
}
