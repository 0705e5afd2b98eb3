//! A service that has forgotten its rules: what it appends goes the usual way, rows and all, and breaks a promise all the same.

use super::planted::{copy, named, rehash, report, two_paid, world_at_rest};
use crate::support::seal_key;
use aggregates::ids::{CommandId, IntentionId, MerchantId, OrderId, PaymentId};
use aggregates::metadata::Actor;
use aggregates::money::Money;
use aggregates::payment::PaymentEvent as E;
use aggregates::payment::event::{CreateRequested, Created, OpenStatus};
use aggregates::payment::terms::{CaptureMethod, Metadata, Parameters};
use auditor::Invariant as I;
use counterfoil::ids::Ids;
use counterfoil::store::{Commit, Context, Decided, Store};
use sqlx::{Connection as _, Executor as _, PgConnection};
use std::collections::BTreeMap;
use uuid::Uuid;

/// What is appended to whose history, and what that breaks.
struct Case {
    payment: PaymentId,
    events: Vec<E>,
    breaks: &'static [I],
    says: &'static str,
}

fn usd(minor: i64) -> Money {
    Money::new(minor, "usd".parse().unwrap())
}

fn fresh() -> IntentionId {
    IntentionId::from_uuid(Uuid::now_v7())
}

fn refund(minor: i64) -> E {
    E::RefundRequested {
        refund: fresh(),
        amount: usd(minor),
        reason: None,
        metadata: Metadata::default(),
        parameters: Parameters::default(),
    }
}

fn cancel() -> E {
    E::CancelRequested {
        intention: fresh(),
        reason: None,
        parameters: Parameters::default(),
    }
}

fn captured(minor: i64, charge: Option<&str>) -> E {
    E::Captured {
        intention: None,
        amount: usd(minor),
        charge: charge.map(str::to_owned),
        payment_method: None,
    }
}

/// The intention to make an intent of 7.00, as the first event of a payment.
pub fn create() -> (IntentionId, E) {
    let intention = fresh();
    let request = CreateRequested {
        intention,
        merchant: "acme".parse().unwrap(),
        order: None,
        amount: usd(700),
        capture_method: CaptureMethod::default(),
        payment_method: None,
        customer: None,
        description: None,
        metadata: Metadata::default(),
        attributes: BTreeMap::new(),
        personal: None,
        then_confirm: None,
        parameters: Parameters::default(),
    };
    (intention, E::CreateRequested(Box::new(request)))
}

/// An intent that Stripe is said to have made.
pub fn made(intent: &str) -> Vec<E> {
    let (intention, create) = create();
    let created = Created {
        intention,
        intent: intent.to_owned(),
        status: OpenStatus::RequiresPaymentMethod,
        payment_method: None,
        created: 1,
        livemode: false,
    };
    vec![create, E::Created(created)]
}

fn cases(paid: PaymentId, others_charge: &str, rivals_order: OrderId) -> Vec<Case> {
    let on = |payment, events, breaks, says| Case {
        payment,
        events,
        breaks,
        says,
    };
    let new = || PaymentId::from_uuid(Uuid::now_v7());
    let nowhere = OrderId::from_uuid(Uuid::now_v7());
    let applied = |order| E::Applied {
        order,
        amount: usd(0),
    };
    let capture = E::CaptureRequested {
        intention: fresh(),
        amount: usd(10),
        parameters: Parameters::default(),
    };
    let back = E::Refunded {
        refund: fresh(),
        amount: usd(1),
        stripe_refund: "re_nowhere".to_owned(),
        created: None,
        observed: true,
    };
    let succeeded = E::Succeeded {
        intention: Some(fresh()),
    };
    vec![
        on(
            paid,
            vec![refund(100_000)],
            &[I::I6, I::I12],
            "a refund of 100000 was asked for",
        ),
        on(
            paid,
            vec![refund(1)],
            &[I::I12],
            "has no outcome, and is not parked",
        ),
        on(
            paid,
            vec![refund(1), refund(1)],
            &[I::I2, I::I12],
            "one command asked for the refund 2 times",
        ),
        on(paid, vec![capture], &[I::I6, I::I12], "where 0 is held"),
        on(
            paid,
            vec![succeeded],
            &[I::I3],
            "the outcome of no earlier intention",
        ),
        on(
            paid,
            vec![cancel(), cancel()],
            &[I::I3, I::I12],
            "that one can never end",
        ),
        on(
            paid,
            vec![captured(5, None)],
            &[I::I3],
            "Stripe says succeeded",
        ),
        on(paid, vec![back], &[I::I3], "Stripe shows no re_nowhere"),
        on(
            new(),
            made("pi_nowhere"),
            &[I::I3],
            "Stripe shows no pi_nowhere",
        ),
        on(
            paid,
            vec![captured(0, Some(others_charge))],
            &[I::I4],
            "belongs to",
        ),
        on(
            paid,
            vec![applied(nowhere)],
            &[I::I7],
            "which has no history",
        ),
        on(paid, vec![applied(rivals_order)], &[I::I10], "of rival"),
    ]
}

/// Red when the auditor believes whatever is consistent in itself.
#[tokio::test(flavor = "multi_thread")]
async fn what_should_never_have_been_decided_is_named_and_nothing_else() {
    let world = world_at_rest().await;
    let (paid, other) = two_paid(&world).await;
    let rivals_order: (Uuid,) = super::planted::first(
        &world,
        "select order_id from orders where merchant = 'rival' limit 1",
    )
    .await;
    for it in cases(paid.0, &other.1, OrderId::from_uuid(rivals_order.0)) {
        let url = copy(&world).await;
        append(&url, it.payment, it.events).await;
        named(&report(&world, &url).await, it.breaks, it.says);
    }

    // An intention that has been open for two days.
    let url = copy(&world).await;
    append(&url, paid.0, vec![refund(1)]).await;
    let mut owner = PgConnection::connect(&url).await.unwrap();
    owner.execute(TWO_DAYS_AGO).await.unwrap();
    rehash(&mut owner).await;
    owner.close().await.unwrap();
    named(
        &report(&world, &url).await,
        &[I::I3, I::I12],
        "has neither ended nor been parked",
    );
    world.stop().await;
}

const TWO_DAYS_AGO: &str = "
    alter table events disable trigger all;
    update events set recorded_at = recorded_at - interval '2 days';
    update claims set created_at = created_at - interval '2 days', completed_at = completed_at - interval '2 days';
    update payments set created_at = created_at - interval '2 days', updated_at = updated_at - interval '2 days'";

/// Appends to a payment of acme's, whatever the rules say.
pub async fn append(url: &str, id: PaymentId, events: Vec<E>) {
    let store = Store::open(url, seal_key().expose(), Ids::system())
        .await
        .unwrap();
    let merchant: MerchantId = "acme".parse().unwrap();
    let before = store.payment(&merchant, id).await.unwrap();
    let command = Uuid::now_v7();
    let context = Context {
        actor: Actor {
            name: "planted".to_owned(),
            key_id: None,
            door: "test".to_owned(),
        },
        command_id: CommandId::from_uuid(command),
        correlation_id: command,
        causation_id: None,
        reason: None,
        claimed_at: None,
    };
    let payment = Some(Decided { id, before, events });
    let commit = Commit {
        payment,
        ..Commit::default()
    };
    store.commit(&merchant, &context, commit).await.unwrap();
    store.close().await;
}
