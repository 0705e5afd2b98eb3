//! What Stripe pays out, what it books, and what the bank's statements say.

use super::read::{
    Money, Taken, Unreadable, flag, id, maybe_money, maybe_text, money, number, text,
};
use super::{Of, Out, postings};
use crate::events::{Event, Said};
use crate::report::Invariant;
use crate::spill::row;
use uuid::Uuid;

/// One thing that is settled; which of the three it is, its first event tells.
#[derive(Default)]
pub(super) struct Settlement {
    payout: Option<Payout>,
    transaction: Option<Transaction>,
    line: Option<BankLine>,
}

#[derive(Default)]
struct Payout {
    payout: String,
    status: &'static str,
    amount: Money,
    reconciled: bool,
    items: Option<(i64, i64)>,
    arrived: Option<Uuid>,
    returned: Option<Uuid>,
}

struct Transaction {
    id: String,
    category: String,
    source: Option<String>,
    amount: Money,
    fee: i64,
    available: bool,
    payout: Option<String>,
}

struct BankLine {
    account: String,
    booked_on: String,
    amount: Money,
    matched: Option<String>,
}

impl Settlement {
    pub fn take(&mut self, of: &Of, event: &Event, said: &Said, out: &mut Out) -> Taken {
        let begins = match said.name.as_str() {
            "PayoutObserved" => {
                self.payout_begins(of, event, said, out)?;
                true
            }
            "BalanceTransactionObserved" => {
                self.booked(of, event, said, out)?;
                true
            }
            "BankLineImported" => {
                self.line_begins(said)?;
                true
            }
            _ => false,
        };
        let things = [
            self.payout.is_some(),
            self.transaction.is_some(),
            self.line.is_some(),
        ];
        if things.into_iter().filter(|it| *it).count() != 1 && said.name != "ObservationRefused" {
            let what = "one stream is of several things that are settled, or of none";
            out.wrong(Invariant::I4, event, what);
        }
        match said.name.as_str() {
            _ if begins => Ok(()),
            "ObservationRefused" => Ok(()),
            name if name.starts_with("Payout") => self.payout_moves(event, said, out),
            name if name.starts_with("BalanceTransaction") => self.money_moves(said),
            name if name.starts_with("BankLine") => self.line_moves(event, said, out),
            other => Err(unknown(other)),
        }
    }

    fn payout_begins(&mut self, of: &Of, event: &Event, said: &Said, out: &mut Out) -> Taken {
        let payout = text(&said.body, "payout")?;
        let known = self.payout.as_ref().map(|it| it.payout.as_str());
        if known.is_some_and(|it| it != payout) {
            let what = format!("one payout is also {payout} at Stripe");
            out.wrong(Invariant::I4, event, what);
        }
        out.owns(event, of, "payout", payout);
        self.payout = Some(Payout {
            payout: payout.to_owned(),
            status: "pending",
            amount: money(&said.body, "amount")?,
            reconciled: flag(&said.body, "reconciled"),
            ..Payout::default()
        });
        Ok(())
    }

    fn payout_moves(&mut self, event: &Event, said: &Said, out: &mut Out) -> Taken {
        let body = &said.body;
        let it = self.payout.as_mut().ok_or_else(|| unknown(&said.name))?;
        match said.name.as_str() {
            "PayoutInTransit" => it.status = "in_transit",
            "PayoutPaid" => it.status = "paid",
            "PayoutFailed" => it.status = "failed",
            "PayoutCanceled" => it.status = "canceled",
            "PayoutReconciled" => it.reconciled = true,
            "PayoutItemised" => {
                it.items = Some((number(body, "count")?, money(body, "net")?.minor))
            }
            "PayoutArrived" => it.arrived = Some(named_line(event, body, out)?),
            "PayoutReturned" => it.returned = Some(named_line(event, body, out)?),
            other => return Err(unknown(other)),
        }
        Ok(())
    }

    fn booked(&mut self, of: &Of, event: &Event, said: &Said, out: &mut Out) -> Taken {
        let body = &said.body;
        let it = Transaction {
            id: text(body, "balance_transaction")?.to_owned(),
            category: text(body, "category")?.to_owned(),
            source: maybe_text(body, "source").map(str::to_owned),
            amount: money(body, "amount")?,
            fee: money(body, "fee")?.minor,
            available: flag(body, "available"),
            payout: None,
        };
        let net = money(body, "net")?;
        if it.amount.minor.checked_sub(it.fee) != Some(net.minor) {
            let what = format!(
                "Stripe booked {} less {}, and that is not {}",
                it.amount.minor, it.fee, net.minor
            );
            out.wrong(Invariant::I5, event, what);
        }
        out.owns(event, of, "balance_transaction", &it.id);
        let booking = postings::Booking {
            category: &it.category,
            source: it.source.as_deref(),
            gross: &it.amount,
            fee: it.fee,
            origin: maybe_money(body, "origin")?,
            exchanged: maybe_text(body, "exchange_rate").is_some(),
        };
        booking.post(event, out);
        self.transaction = Some(it);
        Ok(())
    }

    fn money_moves(&mut self, said: &Said) -> Taken {
        let known = self.transaction.as_mut();
        let it = known.ok_or_else(|| unknown(&said.name))?;
        match said.name.as_str() {
            "BalanceTransactionAvailable" => it.available = true,
            "BalanceTransactionPaidOut" => it.payout = Some(text(&said.body, "payout")?.to_owned()),
            other => return Err(unknown(other)),
        }
        Ok(())
    }

    fn line_begins(&mut self, said: &Said) -> Taken {
        let body = &said.body;
        self.line = Some(BankLine {
            account: text(body, "account")?.to_owned(),
            booked_on: text(body, "booked_on")?.to_owned(),
            amount: money(body, "amount")?,
            matched: None,
        });
        Ok(())
    }

    fn line_moves(&mut self, event: &Event, said: &Said, out: &mut Out) -> Taken {
        let it = self.line.as_mut().ok_or_else(|| unknown(&said.name))?;
        let amount = money(&said.body, "amount")?;
        if amount != it.amount {
            let what = "the line is matched with another amount than it has";
            out.wrong(Invariant::I5, event, what);
        }
        match said.name.as_str() {
            "BankLineMatched" => {
                it.matched = Some(text(&said.body, "payout")?.to_owned());
                postings::at_the_bank(event, &amount, out);
            }
            other => return Err(unknown(other)),
        }
        Ok(())
    }

    pub fn end(self, of: &Of, out: &mut Out) {
        if let Some(it) = self.payout {
            out.payouts.push(row![
                of.merchant,
                of.id,
                it.payout,
                it.status,
                it.amount.currency,
                it.amount.minor,
                it.reconciled,
                it.items.map(|it| it.0),
                it.items.map(|it| it.1),
                it.arrived,
                it.returned,
                of.version,
                of.position
            ]);
        }
        if let Some(it) = self.transaction {
            out.transactions.push(row![
                of.merchant,
                of.id,
                it.id,
                it.category,
                it.source,
                it.amount.currency,
                it.amount.minor,
                it.fee,
                it.available,
                it.payout,
                of.version,
                of.position
            ]);
        }
        if let Some(it) = self.line {
            out.bank_lines.push(row![
                of.merchant,
                of.id,
                it.account,
                it.booked_on,
                it.amount.currency,
                it.amount.minor,
                it.matched,
                of.version,
                of.position
            ]);
        }
    }
}

fn named_line(event: &Event, body: &serde_json::Value, out: &mut Out) -> Result<Uuid, Unreadable> {
    let line = id(body, "line")?;
    out.names(event, "settlement", line);
    Ok(line)
}

fn unknown(name: &str) -> Unreadable {
    Unreadable(format!("nobody knows {name} here"))
}
