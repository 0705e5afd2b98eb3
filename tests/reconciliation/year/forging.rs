//! Events that a faulty program would have recorded.

use crate::acme;
use crate::operator;
use crate::support::World;
use aggregates::ids::{CommandId, OrderId};
use aggregates::order::OrderEvent;
use aggregates::order::state::WayToPay;
use aggregates::payment::PaymentEvent;
use counterfoil::store::{Commit, Context, Decided};

/// The payment of that intent is to pay the order, and the order is not told.
pub async fn assigned(world: &World, intent: &str, order: &str) {
    let store = world.app().store();
    let id = store.payment_by_intent(&acme(), intent).await.unwrap();
    let id = id.expect("every intent is a payment's");
    let before = store.payment(&acme(), id).await.unwrap();
    let order: OrderId = order.parse().unwrap();
    let events = vec![PaymentEvent::OrderAssigned { order }];
    let payment = Some(Decided { id, before, events });
    commit(
        world,
        Commit {
            payment,
            ..Commit::default()
        },
    )
    .await;
}

/// The order counts as paid by the payment that was asked for.
pub async fn paid(world: &World, order: &str) {
    let id: OrderId = order.parse().unwrap();
    let before = world.app().store().order(&acme(), id).await.unwrap();
    let facts = before.state.facts().unwrap();
    let Some(WayToPay::Payment {
        payment, amount, ..
    }) = facts.live.clone()
    else {
        panic!("a payment was asked for");
    };
    let events = vec![OrderEvent::OrderPaid { payment, amount }];
    let order = Some(Decided { id, before, events });
    commit(
        world,
        Commit {
            order,
            ..Commit::default()
        },
    )
    .await;
}

async fn commit(world: &World, commit: Commit) {
    let ids = &world.app().store().ids;
    let context = Context {
        actor: operator(),
        command_id: CommandId::from_uuid(ids.uuid()),
        correlation_id: ids.uuid(),
        causation_id: None,
        reason: None,
        claimed_at: None,
    };
    let done = world.app().store().commit(&acme(), &context, commit).await;
    done.map(drop).unwrap();
}
