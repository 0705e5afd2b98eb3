//! What happens because time passes.

use std::io;

use super::charging::{approve, cancel, latest_charge, refuse};
use super::checkout::expire_session;
use super::settling::settle;
use super::{disputing, paying_out, refunding};
use crate::cards::{Charging, Decline};
use crate::objects::{
    Cause, Charge, CheckoutSession, Dispute, Later, PaymentIntent, PaymentMethod, Refund,
};
use crate::state::{AccountCell, AccountState, Tx};

/// Does everything whose time has come, each thing at its own time and in its own transaction.
///
/// # Errors
/// When the journal cannot be written; the rest stays due.
pub fn run_due(cell: &AccountCell, state: &mut AccountState, now: i64) -> io::Result<()> {
    while let Some((at, later, id)) = state.next_due(now) {
        run_one(cell, state, at, later, &id)?;
    }
    Ok(())
}

/// Does now what Stripe would do later of its own, but for what has its date. Answers how many things that were.
///
/// # Errors
/// When the journal cannot be written; the rest stays due.
pub fn settle_now(cell: &AccountCell, state: &mut AccountState, now: i64) -> io::Result<usize> {
    let mut done = 0;
    // One thing may lead to another: a charge settles, and then it is disputed.
    while let Some((at, later, id)) = state.next_of(|later| !later.is_dated()) {
        run_one(cell, state, now.min(at), later, &id)?;
        done += 1;
    }
    Ok(done)
}

fn run_one(
    cell: &AccountCell,
    state: &mut AccountState,
    at: i64,
    later: Later,
    id: &str,
) -> io::Result<()> {
    let mut tx = Tx::begin(cell, state, at * 1_000, Cause::default());
    match later {
        Later::ExpireAuthorisation => expire(&mut tx, id),
        Later::FinishProcessing => finish_processing(&mut tx, id),
        Later::SettleCharge => settle_charge(&mut tx, id),
        Later::OpenDispute => {
            let charge: Charge = tx.get(id).expect("the agenda names charges that exist");
            disputing::open(&mut tx, charge);
        }
        Later::DecideDispute => {
            let dispute = the_dispute(&tx, id);
            disputing::decide(&mut tx, dispute);
        }
        Later::LapseDispute => {
            let dispute = the_dispute(&tx, id);
            disputing::lapse(&mut tx, dispute);
        }
        Later::ExpireSession => {
            let session: CheckoutSession =
                tx.get(id).expect("the agenda names sessions that exist");
            expire_session(&mut tx, session).expect("only an open session is on the agenda");
        }
        Later::FinishPayout => paying_out::finish(&mut tx, id),
        Later::PayOut => paying_out::keep_schedule(&mut tx, id),
        Later::TurnRefund => {
            let refund: Refund = tx.get(id).expect("the agenda names refunds that exist");
            refunding::turn(&mut tx, refund);
        }
    }
    tx.commit()
}

fn the_dispute(tx: &Tx<'_>, id: &str) -> Dispute {
    tx.get(id).expect("the agenda names disputes that exist")
}

fn expire(tx: &mut Tx<'_>, id: &str) {
    let intent: PaymentIntent = tx.get(id).expect("the agenda names intents that exist");
    let charge = latest_charge(tx, &intent);
    tx.emit("charge.expired", &charge.render());
    cancel(tx, intent, Some("automatic"))
        .expect("only a held payment lapses, and it can be cancelled");
}

fn finish_processing(tx: &mut Tx<'_>, id: &str) {
    let intent: PaymentIntent = tx.get(id).expect("the agenda names intents that exist");
    let method: PaymentMethod = intent
        .payment_method
        .as_deref()
        .and_then(|id| tx.get(id))
        .expect("a processing intent has its method");
    if method.card.behaviour.charging == Charging::ProcessThenRefuse {
        // The error has nobody to be told to: it stands in the intent.
        drop(refuse(tx, intent, &method, Decline::Generic));
    } else {
        approve(tx, intent, &method, false);
    }
}

fn settle_charge(tx: &mut Tx<'_>, id: &str) {
    let mut charge: Charge = tx.get(id).expect("the agenda names charges that exist");
    settle(tx, &mut charge);
    tx.put(charge.clone());
    tx.emit("charge.updated", &charge.render());
}
