//! given / when / then over any aggregate of this crate, the values that tests share, and golden files.

use crate::catalogue::{Offer, OfferCommand, OfferError, OfferEvent};
use crate::ids::{IntentionId, MerchantId, OrderId, PaymentId};
use crate::money::{Currency, Money};
use crate::order::{Order, OrderCommand, OrderError, OrderEvent};
use crate::payment::{Payment, PaymentCommand, PaymentError, PaymentEvent};
use crate::reconciliation::{
    Reconciliation, ReconciliationCommand, ReconciliationError, ReconciliationEvent,
};
use crate::settlement::{Settlement, SettlementCommand, SettlementError, SettlementEvent};
use crate::stripe_request::{
    StripeRequest, StripeRequestCommand, StripeRequestError, StripeRequestEvent,
};
use cqrs_es::Aggregate;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt::Debug;
use std::path::PathBuf;
use uuid::Uuid;

/// An aggregate whose rules can be asked directly.
pub trait Decides: Aggregate<Event: PartialEq + Debug, Error: PartialEq> {
    fn rule(&self, command: Self::Command) -> Result<Vec<Self::Event>, Self::Error>;
}

impl Decides for Payment {
    fn rule(&self, command: PaymentCommand) -> Result<Vec<PaymentEvent>, PaymentError> {
        self.decide(command)
    }
}

impl Decides for Order {
    fn rule(&self, command: OrderCommand) -> Result<Vec<OrderEvent>, OrderError> {
        self.decide(command)
    }
}

impl Decides for Offer {
    fn rule(&self, command: OfferCommand) -> Result<Vec<OfferEvent>, OfferError> {
        self.decide(command)
    }
}

impl Decides for StripeRequest {
    fn rule(
        &self,
        command: StripeRequestCommand,
    ) -> Result<Vec<StripeRequestEvent>, StripeRequestError> {
        self.decide(command)
    }
}

impl Decides for Settlement {
    fn rule(&self, command: SettlementCommand) -> Result<Vec<SettlementEvent>, SettlementError> {
        self.decide(command)
    }
}

impl Decides for Reconciliation {
    fn rule(
        &self,
        command: ReconciliationCommand,
    ) -> Result<Vec<ReconciliationEvent>, ReconciliationError> {
        self.decide(command)
    }
}

pub struct Given<A>(pub A);

pub struct When<A: Decides> {
    before: A,
    decided: Result<Vec<A::Event>, A::Error>,
}

pub fn given<A: Decides>(events: impl IntoIterator<Item = A::Event>) -> Given<A> {
    Given(after(A::default(), events))
}

pub fn after<A: Aggregate>(mut state: A, events: impl IntoIterator<Item = A::Event>) -> A {
    for event in events {
        Aggregate::apply(&mut state, event);
    }
    state
}

impl<A: Decides> Given<A> {
    pub fn when(self, command: A::Command) -> When<A> {
        When {
            decided: self.0.rule(command),
            before: self.0,
        }
    }
}

impl<A: Decides> When<A> {
    /// Exactly these events; answers the state after them.
    #[track_caller]
    pub fn then(self, expected: impl IntoIterator<Item = A::Event>) -> A {
        let events = self.decided.expect("the command is taken");
        assert_eq!(events, expected.into_iter().collect::<Vec<_>>());
        after(self.before, events)
    }

    /// It is so already.
    #[track_caller]
    pub fn then_nothing(self) {
        self.then([]);
    }

    #[track_caller]
    pub fn then_err(self, expected: A::Error) {
        assert_eq!(self.decided, Err(expected));
    }

    /// One event, of which only this is looked at.
    #[track_caller]
    pub fn then_one(self, expected: impl Fn(&A::Event) -> bool) -> A {
        let events = self.decided.expect("the command is taken");
        assert!(events.len() == 1 && expected(&events[0]), "{events:?}");
        after(self.before, events)
    }
}

pub fn usd(minor: i64) -> Money {
    Money::new(minor, Currency::USD)
}

pub fn eur(minor: i64) -> Money {
    Money::new(minor, Currency::EUR)
}

pub fn merchant() -> MerchantId {
    "acme".parse().unwrap()
}

pub fn intention(number: u128) -> IntentionId {
    IntentionId::from_uuid(Uuid::from_u128(number))
}

pub fn payment_id(number: u128) -> PaymentId {
    PaymentId::from_uuid(Uuid::from_u128(number))
}

pub fn order_id() -> OrderId {
    OrderId::derive(&merchant(), "shop", "9")
}

/// The golden file of one event: it gives the event back, and is written again to the byte.
///
/// With `WRITE_GOLDEN` set a missing file is written; one that exists is never touched, since events are for ever.
#[track_caller]
pub fn check_golden<E: Serialize + DeserializeOwned + PartialEq + Debug>(
    aggregate: &str,
    name: &str,
    event: &E,
) {
    check_golden_version(aggregate, name, "1", event);
}

/// The same for a later version of the event's shape; each version that was ever written keeps its file.
#[track_caller]
pub fn check_golden_version<E: Serialize + DeserializeOwned + PartialEq + Debug>(
    aggregate: &str,
    name: &str,
    version: &str,
    event: &E,
) {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(aggregate);
    let path = folder.join(format!("{name}.v{version}.json"));
    let written = serde_json::to_string_pretty(event).unwrap() + "\n";
    if std::env::var_os("WRITE_GOLDEN").is_some() && !path.exists() {
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(&path, &written).unwrap();
    }
    let golden = std::fs::read_to_string(&path)
        .unwrap_or_else(|_| panic!("{name} has no golden file: WRITE_GOLDEN=1"));
    assert_eq!(
        written, golden,
        "{name} is written differently than its golden file says"
    );
    assert_eq!(
        &serde_json::from_str::<E>(&golden).unwrap(),
        event,
        "{name} is read differently"
    );
}
