//! Orders as their merchant keeps them: placed, repriced and cancelled by whoever may, each once under a caller's key.
//!
//! A price changes together with the payment that is live. A checkout that is open is closed at Stripe first, and so is a
//! payment before its order is cancelled: who pays at that moment is faster, and the change is refused.

use aggregates::ids::{IntentionId, OrderId, PaymentId};
use aggregates::order::event::Price;
use aggregates::order::state::{Facts, WayToPay};
use aggregates::order::{Order, OrderCommand, OrderError, OrderEvent};
use chrono::{DateTime, Utc};
use projections::fold::Versioned;

use super::once::{Begun, Done, Then};
use super::orders::Asked;
use super::{App, AppError, Idempotency, PlaceOrder, Terms};
use crate::personal::Personal;
use crate::store::{Caller, Commit, Context, Decided, Merchant, Past};

/// How many steps a change takes at the most: what others do meanwhile takes some of them.
const STEPS_MAX: usize = 20;

/// An order as its merchant may see it.
#[derive(Debug, Clone)]
pub struct KeptOrder {
    pub id: OrderId,
    pub order: Past<Order>,
    /// In the clear; none where there is none, or it was erased.
    pub personal: Option<Personal>,
}

/// What came of a command: how it stood when the command had ended.
#[derive(Debug, Clone)]
pub struct Outcome<T> {
    pub it: T,
    /// It was made by this command, not found.
    pub made: bool,
    /// The same answer was given before, under the same idempotency key.
    pub replayed: bool,
}

/// What is to become of an order.
enum Wish {
    Reprice(Price),
    Cancel { reason: String },
}

/// An order that is to be changed, and on whose behalf.
struct Change<'a> {
    caller: &'a Caller,
    context: &'a Context,
    id: OrderId,
    key: Option<&'a Idempotency>,
}

impl KeptOrder {
    /// What is known of it.
    pub fn facts(&self) -> Option<&Facts> {
        self.order.state.facts()
    }
}

impl App {
    /// Keeps an order. The same order again changes nothing.
    ///
    /// # Errors
    /// [`OrderError::PlacedDifferently`] where another one has its name; [`AppError::KeyReused`].
    pub async fn place_order_once(
        &self,
        caller: &Caller,
        door: &'static str,
        it: PlaceOrder,
        key: Option<Idempotency>,
    ) -> Result<Outcome<KeptOrder>, AppError> {
        let (app, caller, context) = (self.clone(), caller.clone(), self.context(caller, door));
        self.command(async move {
            let (merchant, key) = (&caller.merchant, key.as_ref());
            let placed = app.place(merchant, &context, &it, key).await;
            let done = app.or_before(merchant, key, placed).await?;
            app.order_done(merchant, done).await
        })
        .await
    }

    /// Gives an open order another price, and its live payment with it.
    ///
    /// # Errors
    /// [`AppError::NotFound`], also for another merchant's; [`OrderError::AlreadyPaid`] and the like; [`AppError::OutcomeUnknown`]
    /// where Stripe is silent: asking again goes on from there.
    pub async fn reprice_order(
        &self,
        caller: &Caller,
        door: &'static str,
        id: OrderId,
        price: Price,
        key: Option<Idempotency>,
    ) -> Result<Outcome<KeptOrder>, AppError> {
        self.change_order(caller, door, (id, Wish::Reprice(price)), key)
            .await
    }

    /// Cancels an open order, and before it whatever it could be paid by.
    ///
    /// # Errors
    /// [`AppError::NotFound`], also for another merchant's; [`OrderError::AlreadyPaid`] where it was paid, be it meanwhile;
    /// [`OrderError::PaymentUnderWay`] where Stripe is about to take the money.
    pub async fn cancel_order(
        &self,
        caller: &Caller,
        door: &'static str,
        id: OrderId,
        reason: String,
        key: Option<Idempotency>,
    ) -> Result<Outcome<KeptOrder>, AppError> {
        self.change_order(caller, door, (id, Wish::Cancel { reason }), key)
            .await
    }

    async fn change_order(
        &self,
        caller: &Caller,
        door: &'static str,
        (id, wish): (OrderId, Wish),
        key: Option<Idempotency>,
    ) -> Result<Outcome<KeptOrder>, AppError> {
        let (app, caller, context) = (self.clone(), caller.clone(), self.context(caller, door));
        self.command(async move {
            let (merchant, key) = (&caller.merchant, key.as_ref());
            app.own_order(&caller, id, &id.to_string()).await?;
            let done = match app.begin(merchant, &context, id, key).await? {
                Begun::Before(left) => left.with(|_| None),
                Begun::Now(id) => {
                    // Here one after the other; what other instances do is seen by the order's version.
                    let lock = app.inner.locks.of(id.uuid());
                    let _alone = lock.lock().await;
                    let it = Change {
                        caller: &caller,
                        context: &context,
                        id,
                        key,
                    };
                    let changed = match &wish {
                        Wish::Reprice(price) => app.repriced(&it, price).await,
                        Wish::Cancel { reason } => app.cancelled(&it, reason).await,
                    };
                    if changed.as_ref().is_err_and(is_final) {
                        app.refused(merchant, &context, key).await?;
                    }
                    changed?
                }
            };
            app.order_done(merchant, done).await
        })
        .await
    }

    async fn repriced(
        &self,
        it: &Change<'_>,
        price: &Price,
    ) -> Result<Done<OrderId, Order>, AppError> {
        let by = (&it.caller.merchant, it.context);
        for _ in 0..STEPS_MAX {
            let before = self.own_order(it.caller, it.id, &it.id.to_string()).await?;
            let facts = before.state.facts().ok_or(OrderError::NoSuchOrder)?;
            let price = price.clone();
            let total = price.total;
            let events = before.state.decide(OrderCommand::Reprice { price })?;
            match facts.live.clone() {
                Some(way) if !events.is_empty() || way.amount() != total => {
                    if let WayToPay::Payment { .. } = way {
                        let asked = Asked::new(by, (it.id, before), events, &nothing_to_show, None);
                        self.reprice_live(&asked).await?;
                    } else {
                        self.take_checkout_off(by.0, by.1, it.id, &way).await?;
                    }
                }
                live => {
                    // What was cut off before: Stripe is told of the price before the caller is.
                    if let Some(WayToPay::Payment { payment, .. }) = live {
                        self.drive(by.0, payment, by.1, None).await?;
                    }
                    let order = Decided {
                        id: it.id,
                        before,
                        events,
                    };
                    if let Some(done) = self.record_change(it, order).await? {
                        return Ok(done);
                    }
                }
            }
        }
        Err(OrderError::PaymentUnderWay.into())
    }

    async fn cancelled(
        &self,
        it: &Change<'_>,
        reason: &str,
    ) -> Result<Done<OrderId, Order>, AppError> {
        for _ in 0..STEPS_MAX {
            let before = self.own_order(it.caller, it.id, &it.id.to_string()).await?;
            let facts = before.state.facts().ok_or(OrderError::NoSuchOrder)?;
            let reason = reason.to_owned();
            let decided = before.state.decide(OrderCommand::Cancel { reason });
            match (decided, facts.live.clone()) {
                (Err(OrderError::PaymentUnderWay), Some(WayToPay::Payment { payment, .. })) => {
                    self.take_off(it, payment).await?;
                }
                (Err(OrderError::PaymentUnderWay), Some(way)) => {
                    let (merchant, context) = (&it.caller.merchant, it.context);
                    self.take_checkout_off(merchant, context, it.id, &way)
                        .await?;
                }
                (decided, _) => {
                    let order = Decided {
                        id: it.id,
                        before,
                        events: decided?,
                    };
                    if let Some(done) = self.record_change(it, order).await? {
                        return Ok(done);
                    }
                }
            }
        }
        Err(OrderError::PaymentUnderWay.into())
    }

    /// Cancels the payment at Stripe. Where Stripe would not, because it was paid meanwhile, that is brought in.
    async fn take_off(&self, it: &Change<'_>, live: PaymentId) -> Result<(), AppError> {
        let (merchant, context) = (&it.caller.merchant, it.context);
        let driven = self.drive(merchant, live, context, None).await?;
        let fresh = IntentionId::from_uuid(self.inner.store.ids.uuid());
        let cancelled = self
            .cancel_live(merchant, context, live, &driven.payment, fresh)
            .await;
        let now = self.inner.store.order(&merchant.id, it.id).await?;
        let is_live = |order: &Versioned<Order>| {
            order.state.facts().and_then(Facts::live_payment) == Some(live)
        };
        if !is_live(&now) {
            return Ok(());
        }
        self.refreshed(merchant, live, context).await?;
        let now = self.inner.store.order(&merchant.id, it.id).await?;
        if is_live(&now) { cancelled } else { Ok(()) }
    }

    /// Records the change as the answer to the caller's key. None where somebody else was first.
    async fn record_change(
        &self,
        it: &Change<'_>,
        order: Decided<OrderId, Order, OrderEvent>,
    ) -> Result<Option<Done<OrderId, Order>>, AppError> {
        let then = Then::after(it.id, order.before.version, order.events.len())?;
        let commit = Commit {
            order: Some(order),
            ..Commit::default()
        };
        let merchant = &it.caller.merchant;
        let left = self
            .answer_at_last(merchant, it.context, then, commit, it.key)
            .await?;
        Ok(left.map(|left| left.with(|committed| committed.order)))
    }

    /// The order as it stood when the command had ended.
    async fn order_done(
        &self,
        merchant: &Merchant,
        done: Done<OrderId, Order>,
    ) -> Result<Outcome<KeptOrder>, AppError> {
        let id = done.about;
        let order = match done.fresh.filter(|_| done.made) {
            Some((order, at)) => placed_now(&order, at),
            None => {
                let store = &self.inner.store;
                let past = store.past_order(&merchant.id, id, Some(done.version));
                past.await?.ok_or(AppError::Internal)?
            }
        };
        Ok(Outcome {
            it: self.kept_order(merchant, id, order).await?,
            made: done.made,
            replayed: done.replayed,
        })
    }

    pub(super) async fn kept_order(
        &self,
        merchant: &Merchant,
        id: OrderId,
        order: Past<Order>,
    ) -> Result<KeptOrder, AppError> {
        let sealed = order
            .state
            .facts()
            .and_then(|facts| facts.personal.as_deref());
        let personal = match sealed {
            Some(sealed) => self.inner.store.vault.open(&merchant.id, sealed).await?,
            None => None,
        };
        Ok(KeptOrder {
            id,
            order,
            personal,
        })
    }

    /// What came of the command or, where it was refused now, of the same command before, under the same key.
    pub(super) async fn or_before<I, A>(
        &self,
        merchant: &Merchant,
        key: Option<&Idempotency>,
        done: Result<Done<I, A>, AppError>,
    ) -> Result<Done<I, A>, AppError>
    where
        I: serde::de::DeserializeOwned,
    {
        match done {
            Err(error) if is_final(&error) => match self.before(merchant, key).await? {
                Some(left) => Ok(left.with(|_| None)),
                None => Err(error),
            },
            done => done,
        }
    }
}

fn placed_now(order: &Versioned<Order>, at: DateTime<Utc>) -> Past<Order> {
    Past {
        state: order.state.clone(),
        version: order.version,
        created_at: at,
        updated_at: at,
    }
}

/// Whether asking again under the same key would not go on, but begin anew.
pub(super) fn is_final(error: &AppError) -> bool {
    !matches!(
        error,
        AppError::OutcomeUnknown
            | AppError::Unavailable
            | AppError::Internal
            | AppError::KeyInUse
            | AppError::KeyReused
            | AppError::TooManyRequests { .. }
    )
}

/// A payment that is there already is shown as it was asked for.
fn nothing_to_show(_: &Facts) -> Result<Terms, AppError> {
    Err(AppError::Internal)
}
