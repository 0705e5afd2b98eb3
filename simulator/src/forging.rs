//! What never happens at Stripe, for tests of those who compare with it: objects are changed, doubled or lost, and nobody is told.

use serde::Deserialize;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use std::io;

use crate::objects::{BalanceTransaction, Charge, Dispute, PaymentIntent, Payout, Refund};
use crate::state::{AccountState, Kind, Tx};

/// What is to be forged.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Forgery {
    /// The object.
    pub id: String,
    /// Under this id the changed object is put beside the old one.
    #[serde(default, rename = "as")]
    pub copy: Option<String>,
    /// Facts that the simulator keeps of it, as its journal holds them, and what they are to be.
    #[serde(default)]
    pub set: Map<String, Value>,
}

/// Why nothing was forged.
pub enum NotForged {
    /// There is no such object.
    Unknown,
    /// It cannot be so.
    Wrong(serde_json::Error),
    Io(io::Error),
}

/// Changes the object, or a copy of it; answers it as it is kept.
///
/// # Errors
/// [`NotForged`].
pub fn forge(mut tx: Tx<'_>, it: &Forgery) -> Result<Value, NotForged> {
    let forged = forged::<PaymentIntent>(&mut tx, it)?
        .or(forged::<Charge>(&mut tx, it)?)
        .or(forged::<Refund>(&mut tx, it)?)
        .or(forged::<Dispute>(&mut tx, it)?)
        .or(forged::<Payout>(&mut tx, it)?)
        .or(forged::<BalanceTransaction>(&mut tx, it)?);
    let forged = forged.ok_or(NotForged::Unknown)?;
    tx.commit().map_err(NotForged::Io)?;
    Ok(forged)
}

fn forged<T: Kind + Serialize + DeserializeOwned>(
    tx: &mut Tx<'_>,
    it: &Forgery,
) -> Result<Option<Value>, NotForged> {
    let Some(known) = tx.get::<T>(&it.id) else {
        return Ok(None);
    };
    let mut facts = serde_json::to_value(&known).map_err(NotForged::Wrong)?;
    if let Value::Object(facts) = &mut facts {
        facts.extend(it.set.clone());
        if let Some(copy) = &it.copy {
            facts.insert("id".to_owned(), copy.as_str().into());
        }
    }
    let forged: T = serde_json::from_value(facts.clone()).map_err(NotForged::Wrong)?;
    tx.put(forged);
    Ok(Some(facts))
}

/// Loses the object until the process ends. Whether there was one.
pub fn lose(state: &mut AccountState, id: &str) -> bool {
    let tables = &mut state.tables;
    let lost = [
        tables.payment_intents.remove(id),
        tables.charges.remove(id),
        tables.refunds.remove(id),
        tables.disputes.remove(id),
        tables.payouts.remove(id),
        tables.balance_transactions.remove(id),
    ];
    lost.contains(&true)
}
