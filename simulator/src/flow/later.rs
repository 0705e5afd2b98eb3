//! What happens because time passes.

use std::io;

use super::charging::{approve, cancel, latest_charge, refuse};
use super::refunding;
use super::settling::settle;
use crate::cards::{Charging, Decline};
use crate::objects::{Cause, Charge, Later, PaymentIntent, PaymentMethod, Refund};
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

/// Does now what Stripe would do later, but for the lapse of authorisations. Answers how many things that were.
///
/// # Errors
/// When the journal cannot be written; the rest stays due.
pub fn settle_now(cell: &AccountCell, state: &mut AccountState, now: i64) -> io::Result<usize> {
    let mut agenda = state.agenda();
    agenda.retain(|(_, later, _)| *later != Later::ExpireAuthorisation);
    for (at, later, id) in &agenda {
        run_one(cell, state, now.min(*at), *later, id)?;
    }
    Ok(agenda.len())
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
        Later::TurnRefund => {
            let refund: Refund = tx.get(id).expect("the agenda names refunds that exist");
            refunding::turn(&mut tx, refund);
        }
    }
    tx.commit()
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
