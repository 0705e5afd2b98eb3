//! `expand[]`: ids in an answer become the objects that they name.

use serde_json::{Value, json};

use super::checkout_sessions::items_of;
use super::lists::envelope;
use crate::errors::{ApiError, Outcome};
use crate::flow::show_dispute;
use crate::objects::{
    BalanceTransaction, Charge, CheckoutSession, Customer, Dispute, PaymentIntent, PaymentMethod,
    Payout, Refund,
};
use crate::state::Tx;

/// The deepest path that Stripe expands.
const DEPTH_MAX: usize = 4;

/// What may be expanded, also where it is null: the expandable fields of Stripe's description.
const EXPANDABLE: &[&str] = &[
    "application",
    "application_fee",
    "balance_transaction",
    "charge",
    "customer",
    "default_payment_method",
    "default_source",
    "destination",
    "dispute",
    "failure_balance_transaction",
    "invoice",
    "latest_charge",
    "line_items",
    "on_behalf_of",
    "original_payout",
    "payment_intent",
    "payment_link",
    "payment_method",
    "refunds",
    "reversed_by",
    "review",
    "setup_intent",
    "source",
    "source_transfer",
    "source_transfer_reversal",
    "subscription",
    "test_clock",
    "transfer",
    "transfer_reversal",
];

/// How many items of a session an expansion shows.
const ITEMS_MAX: usize = 10;

/// Expands one dotted path in an answer.
///
/// # Errors
/// 400 when the path is too deep, or something on it cannot be expanded.
pub fn expand(tx: &Tx<'_>, answer: &mut Value, path: &str) -> Outcome<()> {
    let segments: Vec<&str> = path.split('.').collect();
    if segments.len() > DEPTH_MAX {
        return Err(ApiError::invalid(format!(
            "You cannot expand more than {DEPTH_MAX} levels of a property ({path})."
        ))
        .param("expand"));
    }
    descend(tx, answer, &segments, path)
}

fn descend(tx: &Tx<'_>, object: &mut Value, segments: &[&str], path: &str) -> Outcome<()> {
    let [segment, rest @ ..] = segments else {
        return Ok(());
    };
    let is_list = object["object"] == "list" || object["object"] == "search_result";
    let cannot = || {
        let advice = match is_list && *segment != "data" {
            true => format!(" You may want to try expanding 'data.{path}' instead."),
            false => String::new(),
        };
        let message = format!("This property cannot be expanded ({path}).{advice}");
        ApiError::invalid(message).param("expand")
    };
    let is_charge = object["object"] == "charge";
    let id = object["id"].as_str().unwrap_or_default().to_owned();
    if object["object"] == "checkout.session" && *segment == "line_items" {
        object["line_items"] = tx
            .get::<CheckoutSession>(&id)
            .map_or(Value::Null, |it| items_of(&it, 0, ITEMS_MAX));
    }
    let member = object.get_mut(*segment).ok_or_else(cannot)?;
    if is_charge && *segment == "refunds" {
        *member = refunds_of(tx, &id);
    }
    match member {
        // Within what is not there nothing is missed.
        Value::Null if EXPANDABLE.contains(segment) || !rest.is_empty() => return Ok(()),
        Value::Null => return Err(cannot()),
        Value::Array(_) if rest.is_empty() => return Err(cannot()),
        Value::Array(items) => {
            return items
                .iter_mut()
                .try_for_each(|item| descend(tx, item, rest, path));
        }
        Value::String(id) if EXPANDABLE.contains(segment) => match find(tx, id) {
            Some(found) => *member = found,
            None if is_lost(id) => return Ok(()),
            None => return Err(cannot()),
        },
        Value::String(_) => return Err(cannot()),
        // An object that was expanded before is one of its own.
        Value::Object(inner) if rest.is_empty() && !inner.contains_key("object") => {
            return Err(cannot());
        }
        Value::Object(_) => {}
        Value::Bool(_) | Value::Number(_) => return Err(cannot()),
    }
    descend(tx, member, rest, path)
}

fn find(tx: &Tx<'_>, id: &str) -> Option<Value> {
    match id.split_once('_')?.0 {
        "pi" => tx.get::<PaymentIntent>(id).map(|it| it.render()),
        "pm" => tx.get::<PaymentMethod>(id).map(|it| it.render()),
        "cs" => tx
            .get::<CheckoutSession>(id)
            .map(|it| it.render(&tx.cell.base_url)),
        "po" => tx.get::<Payout>(id).map(|it| it.render()),
        "dp" => tx.get::<Dispute>(id).map(|it| show_dispute(tx, &it)),
        "cus" => tx.get::<Customer>(id).map(|it| it.render()),
        "ch" => tx.get::<Charge>(id).map(|it| it.render()),
        "re" => tx.get::<Refund>(id).map(|it| it.render()),
        "txn" => tx.get::<BalanceTransaction>(id).map(|it| it.render(tx.now)),
        _ => None,
    }
}

/// Whether this is the id of something that a test has made Stripe forget: it stays an id.
fn is_lost(id: &str) -> bool {
    ["pi_", "ch_", "re_", "dp_", "po_", "txn_"]
        .iter()
        .any(|it| id.starts_with(it))
}

fn refunds_of(tx: &Tx<'_>, charge: &str) -> Value {
    let refunds: Vec<Value> = tx
        .tables()
        .refunds
        .older_than(None)
        .filter(|it| it.charge == charge)
        .map(|it| it.render())
        .collect();
    let mut list = envelope(&format!("/v1/charges/{charge}/refunds"), refunds, false);
    list["total_count"] = json!(list["data"].as_array().map_or(0, Vec::len));
    list
}
