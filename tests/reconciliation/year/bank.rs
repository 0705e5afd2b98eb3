//! The merchant's bank: what it books of payouts, and how it writes that down.

use super::client::text;
use aggregates::money::Money;
use chrono::{DateTime, NaiveDate};
use rand::Rng;
use rand::rngs::StdRng;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fmt::Write;

/// How the bank's comma-separated statements are read.
pub const CSV: &str = r#"{"booked_on": "date", "amount": {"signed": "amount"}, "currency": {"column": "currency"}, "reference": "reference", "text": ["text"]}"#;

/// A line of a statement.
#[derive(Debug, Clone)]
pub struct BankLine {
    pub day: NaiveDate,
    pub amount: Money,
    pub text: String,
    /// The bank's own name for it.
    pub reference: String,
}

/// A payout that has come.
#[derive(Debug, Clone)]
pub struct Arrived {
    pub id: String,
    pub amount: Money,
    pub day: NaiveDate,
    pub automatic: bool,
}

#[derive(Default)]
pub struct Bank {
    seen: BTreeSet<String>,
    pub arrived: Vec<Arrived>,
    /// What is to be on the next statement beside what arrives.
    next: Vec<BankLine>,
    lines: u64,
}

impl Bank {
    /// The payouts of Stripe's list that have arrived and that the bank has not booked yet, oldest first.
    pub fn not_seen_yet(&mut self, list: &[Value]) -> Vec<Arrived> {
        let paid = list.iter().rev().filter(|it| it["status"] == "paid");
        let arrived: Vec<Arrived> = paid
            .filter(|it| self.seen.insert(text(&it["id"])))
            .map(Arrived::of)
            .collect();
        self.arrived.extend(arrived.iter().cloned());
        arrived
    }

    /// What the next statement says.
    pub fn books(&mut self, arrived: Vec<Arrived>, rng: &mut StdRng) -> Vec<BankLine> {
        let mut lines = std::mem::take(&mut self.next);
        for it in arrived {
            // Some banks leave the sender's own words out.
            let named = it.automatic && rng.random_bool(0.6);
            let said = if named {
                format!("STRIPE PAYOUT {} & co", it.id)
            } else {
                "STRIPE TRANSFER".to_owned()
            };
            lines.push(self.line(it.day, it.amount, said));
            if rng.random_bool(0.5) {
                let rent = Money::new(-rng.random_range(1_000..90_000), it.amount.currency());
                lines.push(self.line(it.day, rent, "Rent, \"the shop\"".to_owned()));
            }
        }
        lines
    }

    pub fn line(&mut self, day: NaiveDate, amount: Money, text: String) -> BankLine {
        self.lines += 1;
        BankLine {
            day,
            amount,
            text,
            reference: format!("{:08}", self.lines),
        }
    }

    /// The last payout in that currency that is on a statement.
    pub fn last_arrived(&self, currency: &str) -> Arrived {
        let mut arrived = self.arrived.iter().rev();
        arrived
            .find(|it| it.automatic && it.amount.currency().code() == currency)
            .expect("one payout has arrived by then")
            .clone()
    }

    /// The money goes back to Stripe some days after it came.
    pub fn sends_back(&mut self, it: Arrived) {
        let back = Money::new(-it.amount.minor(), it.amount.currency());
        let day = it.day + chrono::Days::new(3);
        let line = self.line(day, back, format!("RETURN STRIPE {}", it.id));
        self.next.push(line);
    }
}

impl Arrived {
    pub fn of(payout: &Value) -> Self {
        let currency = text(&payout["currency"]).parse().unwrap();
        let arrival = payout["arrival_date"].as_i64().unwrap();
        Self {
            id: text(&payout["id"]),
            amount: Money::new(payout["amount"].as_i64().unwrap(), currency),
            day: DateTime::from_timestamp(arrival, 0).unwrap().date_naive(),
            automatic: payout["automatic"] == true,
        }
    }
}

/// As comma-separated values.
pub fn csv(lines: &[BankLine]) -> String {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let head = ["date", "reference", "amount", "currency", "text"];
    writer.write_record(head).unwrap();
    for it in lines {
        let (amount, currency) = (it.amount.to_decimal_string(), it.amount.currency().code());
        let row = [
            &it.day.to_string(),
            &it.reference,
            &amount,
            &currency.to_uppercase(),
            &it.text,
        ];
        writer.write_record(row).unwrap();
    }
    String::from_utf8(writer.into_inner().unwrap()).unwrap()
}

/// As camt.053.
pub fn camt053(lines: &[BankLine]) -> String {
    let mut entries = String::new();
    for it in lines {
        let currency = it.amount.currency().code().to_uppercase();
        let came = it.amount.is_positive();
        let minor = it.amount.minor().abs();
        let amount = Money::new(minor, it.amount.currency()).to_decimal_string();
        let said = it.text.replace('&', "&amp;");
        write!(
            entries,
            "<Ntry><Amt Ccy=\"{currency}\">{amount}</Amt><CdtDbtInd>{}</CdtDbtInd><Sts>BOOK</Sts>\
             <BookgDt><Dt>{}</Dt></BookgDt><AcctSvcrRef>{}</AcctSvcrRef>\
             <NtryDtls><TxDtls><RmtInf><Ustrd>{said}</Ustrd></RmtInf></TxDtls></NtryDtls></Ntry>",
            if came { "CRDT" } else { "DBIT" },
            it.day,
            it.reference,
        )
        .unwrap();
    }
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\
         <Document xmlns=\"urn:iso:std:iso:20022:tech:xsd:camt.053.001.08\"><BkToCstmrStmt>\
         <GrpHdr><MsgId>1</MsgId><CreDtTm>2025-04-02T06:00:00Z</CreDtTm></GrpHdr>\
         <Stmt><Id>1</Id><Acct><Id><IBAN>DE89370400440532013000</IBAN></Id></Acct>{entries}</Stmt>\
         </BkToCstmrStmt></Document>"
    )
}
