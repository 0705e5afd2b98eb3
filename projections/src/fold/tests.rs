//! The rows that payments from elsewhere and what is settled leave behind.

use super::*;
use aggregates::catalogue::offer::{Choice, Group, Product, Published};
use aggregates::catalogue::{Offer, OfferCommand};
use aggregates::ids::{MerchantId, OfferId, SettlementId};
use aggregates::money::{Currency, Money};
use aggregates::payment::command::{
    Adopt, IntentSnapshot, RefundSnapshot, StripeRefundStatus, StripeStatus,
};
use aggregates::payment::terms::{CaptureMethod, Metadata};
use aggregates::payment::{Observation, PaymentCommand, Said};
use aggregates::settlement::{
    BankLineImported, PayoutSnapshot, PayoutStatus, ReconciliationStatus, Settlement,
    SettlementCommand, TransactionSnapshot,
};
use eventstore::{Table, Value};

fn merchant() -> MerchantId {
    "acme".parse().unwrap()
}

fn usd(minor: i64) -> Money {
    Money::new(minor, Currency::USD)
}

/// The value of `column` in the last row of `table`; every row has a value for every column.
fn cell(table: &Table, rows: &[RowChange], column: &str) -> Value {
    let mut of_table = rows.iter().filter(|row| row.table == table.name);
    let row = of_table.next_back().expect("a row of the table");
    assert_eq!(row.values.len(), table.columns.len());
    let index = table.columns.iter().position(|it| it.name == column);
    row.values[index.expect("a column of the table")].clone()
}

fn paid() -> PaymentCommand {
    PaymentCommand::Adopt(Box::new(Adopt {
        merchant: merchant(),
        order: None,
        capture_method: CaptureMethod::Automatic,
        customer: None,
        description: None,
        metadata: Metadata::default(),
        checkout_session: None,
        reason: "webhook".to_owned(),
        seen: IntentSnapshot {
            intent: "pi_1".to_owned(),
            status: StripeStatus::Succeeded,
            amount: usd(10_000),
            amount_capturable: usd(0),
            amount_received: usd(10_000),
            payment_method: Some("pm_1".to_owned()),
            charge: Some("ch_1".to_owned()),
            last_error: None,
            cancellation_reason: None,
            canceled_at: None,
            created: 1_743_415_050,
            livemode: false,
        },
    }))
}

/// Red when the row is only written for payments that were created here, or the money of an adopted one is not booked.
#[test]
fn an_adopted_payment_and_its_refund_have_their_rows() {
    let id = PaymentId::of_adopted(&merchant(), "pi_1");
    let mut known = Versioned::<Payment>::default();
    let events = known.state.decide(paid()).unwrap();
    let rows = payment(id, &mut known, &events, 0);
    let of_payment = |rows: &[RowChange], column| cell(&payments::TABLE, rows, column);
    assert_eq!(of_payment(&rows, "payment_id"), id.uuid().into());
    assert_eq!(of_payment(&rows, "order_id"), Value::Null);
    assert_eq!(of_payment(&rows, "intent"), "pi_1".into());
    assert_eq!(of_payment(&rows, "status"), "succeeded".into());
    assert_eq!(of_payment(&rows, "captured_minor"), 10_000.into());
    assert_eq!(of_payment(&rows, "pending_intention"), Value::Null);
    assert_eq!(of_payment(&rows, "version"), 3.into());
    let booked = rows.iter().filter(|row| row.table == balances::TABLE.name);
    assert_eq!(booked.count(), 2);

    let refund = PaymentCommand::Observe(Observation {
        intention: None,
        current: true,
        said: Said::Refund(RefundSnapshot {
            refund: None,
            stripe_refund: "re_1".to_owned(),
            status: StripeRefundStatus::Succeeded,
            amount: usd(6_000),
            failure_reason: None,
            created: Some(1_743_415_150),
        }),
    });
    let events = known.state.decide(refund).unwrap();
    let rows = payment(id, &mut known, &events, 0);
    let of_refund = |column| cell(&refunds::TABLE, &rows, column);
    assert_eq!(of_refund("stripe_refund"), "re_1".into());
    assert_eq!(of_refund("status"), "succeeded".into());
    assert_eq!(of_refund("payment_id"), id.uuid().into());
    assert_eq!(of_payment(&rows, "refunded_minor"), 6_000.into());
}

fn seen(status: PayoutStatus) -> SettlementCommand {
    let failed = status == PayoutStatus::Failed;
    SettlementCommand::ObservePayout {
        merchant: merchant(),
        seen: Box::new(PayoutSnapshot {
            payout: "po_1".to_owned(),
            amount: usd(9_500),
            status,
            arrival_date: 1_743_500_000,
            created: 1_743_415_050,
            automatic: true,
            method: "standard".to_owned(),
            balance_transaction: Some("txn_1".to_owned()),
            failure_code: failed.then(|| "account_closed".to_owned()),
            failure_balance_transaction: failed.then(|| "txn_2".to_owned()),
            reconciliation_status: ReconciliationStatus::Completed,
        }),
    }
}

#[test]
fn a_payout_has_one_row_that_says_where_it_stands() {
    let id = SettlementId::of_payout(&merchant(), "po_1");
    let mut known = Versioned::<Settlement>::default();
    let events = known.state.decide(seen(PayoutStatus::Paid)).unwrap();
    let rows = settlement(id, &mut known, &events, 4);
    assert_eq!((rows.len(), rows[0].event), (1, 6));
    let of_payout = |rows: &[RowChange], column| cell(&payouts::TABLE, rows, column);
    assert_eq!(of_payout(&rows, "payout_id"), id.uuid().into());
    assert_eq!(of_payout(&rows, "payout"), "po_1".into());
    assert_eq!(of_payout(&rows, "status"), "paid".into());
    assert_eq!(of_payout(&rows, "amount_minor"), 9_500.into());
    assert_eq!(of_payout(&rows, "reconciled"), true.into());
    assert_eq!(of_payout(&rows, "failure_code"), Value::Null);
    assert_eq!(of_payout(&rows, "version"), 3.into());

    let events = known.state.decide(seen(PayoutStatus::Failed)).unwrap();
    let rows = settlement(id, &mut known, &events, 0);
    assert_eq!(of_payout(&rows, "status"), "failed".into());
    assert_eq!(of_payout(&rows, "failure_code"), "account_closed".into());
    assert_eq!(
        of_payout(&rows, "failure_balance_transaction"),
        "txn_2".into()
    );
    assert!(settlement(id, &mut known, &[], 0).is_empty());
}

/// Red when the entry of a transaction is left out of the balances, or a settlement's row is always taken for a payout's.
#[test]
fn a_balance_transaction_and_a_banks_line_have_their_rows_and_their_entries() {
    let id = SettlementId::of_balance_transaction(&merchant(), "txn_1");
    let mut known = Versioned::<Settlement>::default();
    let told = SettlementCommand::ObserveTransaction {
        merchant: merchant(),
        seen: Box::new(TransactionSnapshot {
            balance_transaction: "txn_1".to_owned(),
            kind: "charge".to_owned(),
            category: "charge".to_owned(),
            amount: usd(10_000),
            fee: usd(320),
            fees: vec![],
            net: usd(9_680),
            source: Some("ch_1".to_owned()),
            source_amount: Some(usd(10_000)),
            exchange_rate: None,
            created: 1_743_415_050,
            available_on: 1_743_500_000,
            available: true,
            payout: Some("po_1".to_owned()),
        }),
    };
    let events = known.state.decide(told).unwrap();
    let rows = settlement(id, &mut known, &events, 3);
    let of_transaction = |column| cell(&balance_transactions::TABLE, &rows, column);
    assert_eq!(of_transaction("transaction_id"), id.uuid().into());
    assert_eq!(of_transaction("net_minor"), 9_680.into());
    assert_eq!(of_transaction("origin_minor"), 10_000.into());
    assert_eq!(of_transaction("exchange_rate"), Value::Null);
    assert_eq!(of_transaction("payout"), "po_1".into());
    assert_eq!(of_transaction("version"), 2.into());
    let mut booked = rows.iter().filter(|row| row.table == balances::TABLE.name);
    assert!(booked.all(|row| row.event == 3));
    assert_eq!(rows.len(), 4, "three lines of the entry and the row");

    let line = SettlementId::of_bank_line(&merchant(), "main", &["1"]);
    let mut known = Versioned::<Settlement>::default();
    let import = SettlementCommand::ImportBankLine(Box::new(BankLineImported {
        merchant: merchant(),
        account: "main".to_owned(),
        booked_on: chrono::NaiveDate::from_ymd_opt(2025, 4, 1).unwrap(),
        value_on: None,
        amount: usd(9_680),
        names_payout: None,
        names_stripe: true,
    }));
    let events = known.state.decide(import).unwrap();
    let rows = settlement(line, &mut known, &events, 0);
    assert_eq!(rows.len(), 1, "what nobody matched is in no account");
    assert_eq!(
        cell(&bank_lines::TABLE, &rows, "booked_on"),
        "2025-04-01".into()
    );
    let payout = "po_1".to_owned();
    let events = known
        .state
        .decide(SettlementCommand::MatchPayout { payout });
    let rows = settlement(line, &mut known, &events.unwrap(), 0);
    assert_eq!(cell(&bank_lines::TABLE, &rows, "matched"), "po_1".into());
    assert_eq!(rows.len(), 3);
}

fn product(code: &str, minor: i64) -> Product {
    Product {
        code: code.to_owned(),
        name: code.to_owned(),
        price: usd(minor),
    }
}

/// Red when a second event of one append is left out of the row, or the row is that of the offer's beginning.
#[test]
fn an_offer_has_one_row_that_says_how_it_stands() {
    let id = OfferId::derive(&merchant(), "7");
    let expires_at = chrono::DateTime::from_timestamp(1_800_000_000, 0);
    let publish = OfferCommand::Publish(Box::new(Published {
        merchant: merchant(),
        number: "7".to_owned(),
        currency: Currency::USD,
        groups: vec![Group {
            name: "all".to_owned(),
            products: vec![product("one", 1_00), product("two", 2_00)],
        }],
        selection: vec![Choice {
            group: "all".to_owned(),
            code: "two".to_owned(),
        }],
        expires_at,
    }));
    let mut known = Versioned::<Offer>::default();
    let events = known.state.decide(publish).unwrap();
    let rows = offer(id, &mut known, &events, 2);
    assert_eq!((rows.len(), rows[0].event), (1, 2));
    let of_offer = |rows: &[RowChange], column| cell(&offers::TABLE, rows, column);
    assert_eq!(of_offer(&rows, "offer_id"), id.uuid().into());
    assert_eq!(of_offer(&rows, "number"), "7".into());
    assert_eq!(of_offer(&rows, "currency"), "usd".into());
    assert_eq!(of_offer(&rows, "products"), 2.into());
    assert_eq!(of_offer(&rows, "selected"), 1.into());
    assert_eq!(of_offer(&rows, "expires_at"), expires_at.into());
    assert_eq!(of_offer(&rows, "withdrawn"), false.into());

    let withdraw = OfferCommand::Withdraw {
        reason: "no longer sold".to_owned(),
    };
    let events = known.state.decide(withdraw).unwrap();
    let rows = offer(id, &mut known, &events, 0);
    assert_eq!(of_offer(&rows, "withdrawn"), true.into());
    assert_eq!(of_offer(&rows, "version"), 2.into());
}
