use std::io;

use serde_json::Value;

use super::account::{AccountCell, AccountState, Tables};
use super::table::Table;
use crate::objects::{
    BalanceTransaction, Cause, Charge, CheckoutSession, Customer, Delivery, DeliveryState, Dispute,
    Entity, Event, Object, PaymentIntent, PaymentMethod, Payout, Refund, Remembered, Schedule,
    WebhookEndpoint,
};

/// A transaction on an account: reads see its own writes, and nothing takes effect before [`commit`](Tx::commit).
pub struct Tx<'a> {
    /// The account.
    pub cell: &'a AccountCell,
    /// The time at which everything in it happens, in seconds.
    pub now: i64,
    now_ms: i64,
    state: &'a mut AccountState,
    cause: Cause,
    next_number: u64,
    staged: Vec<Object>,
}

/// An entity and the table that it lives in.
pub trait Kind: Entity {
    /// Its table.
    fn table(tables: &Tables) -> &Table<Self>;
    /// It, if the object is of this kind.
    fn from_object(object: &Object) -> Option<&Self>;
    /// As an object.
    fn into_object(self) -> Object;
}

macro_rules! kinds {
    ($($kind:ident in $table:ident),+ $(,)?) => {
        $(impl Kind for $kind {
            fn table(tables: &Tables) -> &Table<Self> {
                &tables.$table
            }
            fn from_object(object: &Object) -> Option<&Self> {
                match object {
                    Object::$kind(it) => Some(it),
                    _ => None,
                }
            }
            fn into_object(self) -> Object {
                Object::$kind(self)
            }
        })+
    };
}

kinds!(
    PaymentIntent in payment_intents,
    PaymentMethod in payment_methods,
    Charge in charges,
    Dispute in disputes,
    Payout in payouts,
    CheckoutSession in checkout_sessions,
    Schedule in schedules,
    Customer in customers,
    Refund in refunds,
    BalanceTransaction in balance_transactions,
    Event in events,
    Delivery in deliveries,
    Remembered in remembered,
    WebhookEndpoint in webhook_endpoints,
);

impl<'a> Tx<'a> {
    /// Begins one. `now_ms` is in milliseconds of the simulator's clock.
    pub fn begin(
        cell: &'a AccountCell,
        state: &'a mut AccountState,
        now_ms: i64,
        cause: Cause,
    ) -> Self {
        Self {
            cell,
            now: now_ms.div_euclid(1_000),
            now_ms,
            next_number: state.next_number,
            state,
            cause,
            staged: Vec::new(),
        }
    }

    /// The committed objects, for lists.
    pub fn tables(&self) -> &Tables {
        &self.state.tables
    }

    /// A fresh id.
    pub fn new_id(&mut self, prefix: &str) -> String {
        let id = self.cell.ids.make(prefix, self.next_number);
        self.next_number += 1;
        id
    }

    /// An object, with the changes of this transaction.
    pub fn get<T: Kind>(&self, id: &str) -> Option<T> {
        self.staged
            .iter()
            .filter_map(T::from_object)
            .find(|it| it.id() == id)
            .or_else(|| T::table(&self.state.tables).get(id))
            .cloned()
    }

    /// Adds or changes an object.
    pub fn put<T: Kind>(&mut self, entity: T) {
        let place = self
            .staged
            .iter()
            .position(|it| T::from_object(it).is_some_and(|it| it.id() == entity.id()));
        match place {
            Some(place) => self.staged[place] = entity.into_object(),
            None => self.staged.push(entity.into_object()),
        }
    }

    /// Notes that something happened to an object (rendered without client secrets), and that it is to be delivered.
    pub fn emit(&mut self, event_type: &str, object: &Value) {
        let event = Event {
            id: self.new_id("evt"),
            created: self.now,
            event_type: event_type.to_owned(),
            data: object.to_string(),
            cause: self.cause.clone(),
        };
        let wanting = self.cell.endpoints_wanting(&self.state.tables, event_type);
        for endpoint_id in wanting {
            self.staged.push(Object::Delivery(Delivery {
                id: format!("{}/{endpoint_id}", event.id),
                event: event.id.clone(),
                endpoint_id,
                state: DeliveryState::Pending,
                attempts: 0,
                next_at_ms: self.now_ms,
                last_status: None,
            }));
        }
        self.staged.push(Object::Event(event));
    }

    /// Makes everything durable, then visible, and rings for deliveries.
    ///
    /// # Errors
    /// When the journal cannot be written; nothing has changed then.
    pub fn commit(self) -> io::Result<()> {
        let has = |is_meant: fn(&Object) -> bool| self.staged.iter().any(is_meant);
        let delivers = has(|it| matches!(it, Object::Delivery(_)));
        let endpoints_change = has(|it| matches!(it, Object::WebhookEndpoint(_)));
        self.state.apply(self.next_number, self.staged)?;
        if delivers || endpoints_change {
            self.cell.bell.notify_waiters();
        }
        if endpoints_change {
            self.cell.hiring.notify_waiters();
        }
        Ok(())
    }
}
