//! Payouts: the available balance goes to the merchant's bank, on Mondays or when the merchant asks, and sometimes comes back.
//!
//! An automatic payout holds the balance transactions that became available since the last one, and their net is its amount. A manual payout holds
//! none: the next automatic payout counts it among its own, as something that was taken out before.

use std::collections::BTreeMap;

use super::settling::{Movement, book};
use crate::errors::{ApiError, Outcome};
use crate::objects::{
    BalanceTransaction, BalanceType, Metadata, Payout, PayoutMethod, PayoutStatus as Status,
    Schedule,
};
use crate::state::Tx;
use crate::wire::Word;

/// What a caller asks for.
pub struct NewPayout {
    /// In minor units.
    pub amount: i64,
    /// Lower-case ISO-4217 code.
    pub currency: String,
    /// How fast.
    pub method: PayoutMethod,
    /// For people.
    pub description: Option<String>,
    /// For the bank statement.
    pub statement_descriptor: Option<String>,
    /// The caller's own pairs.
    pub metadata: Metadata,
}

/// Pays out what the merchant asks for.
///
/// # Errors
/// 400 `balance_insufficient` when not so much is available.
pub fn pay_out(tx: &mut Tx<'_>, asked: NewPayout) -> Outcome<Payout> {
    let transactions = tx.tables().balance_transactions.oldest_first();
    let available: i64 = transactions
        .filter(|it| it.currency == asked.currency && it.is_available(tx.now))
        .map(BalanceTransaction::net)
        .sum();
    if available < asked.amount {
        return Err(ApiError::invalid(
            "You have insufficient funds in your Stripe account for this transfer. Your card balance is too low. You can use the /v1/balance \
             endpoint to view your Stripe balance (for more details, see stripe.com/docs/api#balance).",
        )
        .code("balance_insufficient")
        .param("amount"));
    }
    Ok(make(tx, asked, false))
}

/// Pays out everything that is available, one payout per currency, as the schedule does on Mondays.
pub fn pay_out_all(tx: &mut Tx<'_>) -> Vec<Payout> {
    let mut unpaid: BTreeMap<String, Vec<BalanceTransaction>> = BTreeMap::new();
    for transaction in tx.tables().balance_transactions.oldest_first() {
        if transaction.payout.is_none() && transaction.is_available(tx.now) {
            let of_currency = unpaid.entry(transaction.currency.clone()).or_default();
            of_currency.push(transaction.clone());
        }
    }
    let mut payouts = Vec::new();
    for (currency, transactions) in unpaid {
        let amount: i64 = transactions.iter().map(BalanceTransaction::net).sum();
        // What is owed to Stripe waits for money that covers it.
        if amount > 0 {
            payouts.push(pay_out_these(tx, currency, amount, transactions));
        }
    }
    payouts
}

fn pay_out_these(
    tx: &mut Tx<'_>,
    currency: String,
    amount: i64,
    mut transactions: Vec<BalanceTransaction>,
) -> Payout {
    let asked = NewPayout {
        amount,
        currency,
        method: PayoutMethod::Standard,
        description: Some("STRIPE PAYOUT".to_owned()),
        statement_descriptor: None,
        metadata: Metadata::new(),
    };
    let payout = make(tx, asked, true);
    let own = tx.get(&payout.balance_transaction);
    transactions.extend(own);
    for mut transaction in transactions {
        transaction.payout = Some(payout.id.clone());
        tx.put(transaction);
    }
    payout
}

fn make(tx: &mut Tx<'_>, asked: NewPayout, automatic: bool) -> Payout {
    let mut payout = Payout {
        id: tx.new_id("po"),
        created: tx.now,
        amount: asked.amount,
        currency: asked.currency,
        automatic,
        method: asked.method,
        status: Status::Pending,
        arrival_date: tx.now + tx.cell.later_s,
        balance_transaction: String::new(),
        failure_balance_transaction: None,
        failure_code: None,
        failure_message: None,
        description: asked.description,
        statement_descriptor: asked.statement_descriptor,
        metadata: asked.metadata,
    };
    payout.balance_transaction = book_payout(tx, BalanceType::Payout, -payout.amount, &payout);
    put(tx, &payout, &["payout.created"]);
    payout
}

fn book_payout(tx: &mut Tx<'_>, balance_type: BalanceType, amount: i64, payout: &Payout) -> String {
    let movement = Movement {
        balance_type,
        amount,
        fee: 0,
        currency: &payout.currency,
        source: &payout.id,
        description: payout.description.clone(),
        available_on: tx.now,
    };
    book(tx, movement)
}

fn put(tx: &mut Tx<'_>, payout: &Payout, event_types: &[&str]) {
    tx.put(payout.clone());
    for event_type in event_types {
        tx.emit(event_type, &payout.render());
    }
}

/// It is Monday: pays out, and waits for the next one.
pub(super) fn keep_schedule(tx: &mut Tx<'_>, id: &str) {
    debug_assert_eq!(id, Schedule::ID);
    if tx.cell.settings.weekly_payouts {
        pay_out_all(tx);
    }
    tx.put(Schedule::after(tx.now));
}

/// The payout has arrived.
pub(super) fn finish(tx: &mut Tx<'_>, id: &str) {
    let mut payout: Payout = tx.get(id).expect("the agenda names payouts that exist");
    payout.status = Status::Paid;
    let types: &[&str] = match payout.automatic {
        true => &["payout.paid", "payout.reconciliation_completed"],
        false => &["payout.paid"],
    };
    put(tx, &payout, types);
}

/// The bank sends the money back, be it on its way or after it arrived.
///
/// # Errors
/// 400 when it has come back already.
pub fn fail_payout(tx: &mut Tx<'_>, mut payout: Payout, code: &str) -> Outcome<Payout> {
    if !matches!(payout.status, Status::Pending | Status::Paid) {
        return Err(cannot(&payout, "fail"));
    }
    payout.status = Status::Failed;
    payout.failure_code = Some(code.to_owned());
    payout.failure_message = Some(match code {
        "account_closed" => "The bank account has been closed.".to_owned(),
        "no_account" => "The bank account could not be located.".to_owned(),
        "insufficient_funds" => "Your Stripe account has insufficient funds.".to_owned(),
        _ => "The bank could not process this payout.".to_owned(),
    });
    let amount = payout.amount;
    let id = book_payout(tx, BalanceType::PayoutFailure, amount, &payout);
    payout.failure_balance_transaction = Some(id);
    put(tx, &payout, &["payout.failed"]);
    Ok(payout)
}

/// Takes back a payout that the merchant asked for and that is still pending.
///
/// # Errors
/// 400 for an automatic one, or once it has arrived or come back.
pub fn cancel_payout(tx: &mut Tx<'_>, mut payout: Payout) -> Outcome<Payout> {
    if payout.automatic {
        return Err(ApiError::invalid("Automatic payouts cannot be canceled."));
    }
    if payout.status != Status::Pending {
        return Err(cannot(&payout, "be canceled"));
    }
    payout.status = Status::Canceled;
    let amount = payout.amount;
    let id = book_payout(tx, BalanceType::PayoutCancel, amount, &payout);
    payout.failure_balance_transaction = Some(id);
    put(tx, &payout, &["payout.canceled"]);
    Ok(payout)
}

fn cannot(payout: &Payout, what: &str) -> ApiError {
    let status = payout.status.as_str();
    ApiError::invalid(format!(
        "Payout {} cannot {what} because it has a status of {status}.",
        payout.id
    ))
}
