//! What a payment's and an order's events post in double entry, by the table of the design.

use super::Out;
use super::read::{Money, Taken, flag, money, number, text};
use crate::events::{Event, Said};
use std::collections::BTreeMap;

const CLEARING: &str = "assets:stripe:clearing";
const BALANCE: &str = "assets:stripe:balance";
const DISPUTED: &str = "assets:stripe:disputed";
const UNAPPLIED: &str = "liabilities:customers:unapplied";
const TAX: &str = "liabilities:tax";
const SALES: &str = "income:sales";
const REFUNDS: &str = "contra:refunds";
const FEES: &str = "expenses:stripe:fees";
const LOST: &str = "expenses:disputes";

/// What of a payment's past decides which accounts its next event is posted to.
#[derive(Default)]
pub(super) struct Posted {
    /// Applied to its order, less what refunds took back of that.
    sold: i64,
    disputes: BTreeMap<String, Dispute>,
}

#[derive(Default)]
struct Dispute {
    /// What the bank holds of it now.
    withheld: i64,
    reinstated: bool,
    lost: bool,
}

impl Posted {
    pub fn take(&mut self, event: &Event, said: &Said, out: &mut Out) -> Taken {
        let body = &said.body;
        let amount = || money(body, "amount");
        match said.name.as_str() {
            "Captured" => moved(event, &amount()?, CLEARING, UNAPPLIED, out),
            "Applied" => self.sold = amount()?.minor,
            "Refunded" => {
                // What was sold is taken back from the sales; the rest was the customer's own all along.
                let it = amount()?;
                let sold = self.sold.min(it.minor).max(0);
                self.sold = self.sold.saturating_sub(sold);
                let lines = [
                    (REFUNDS, sold, 0),
                    (UNAPPLIED, it.minor.saturating_sub(sold), 0),
                    (CLEARING, 0, it.minor),
                ];
                out.posts(event, &it.currency, &lines);
            }
            "RefundFailed" if flag(body, "had_succeeded") => {
                moved(event, &amount()?, BALANCE, UNAPPLIED, out);
            }
            "DisputeFundsWithdrawn" => {
                self.withdrawn(event, text(body, "dispute")?, &amount()?, said, out)?;
            }
            "DisputeFundsReinstated" => {
                let dispute = self.dispute(text(body, "dispute")?);
                dispute.reinstated = true;
                dispute.withheld = 0;
                moved(event, &amount()?, BALANCE, DISPUTED, out);
            }
            "DisputeClosed" if !flag(body, "won") => {
                let dispute = self.dispute(text(body, "dispute")?);
                dispute.lost = true;
                let lost = Money {
                    minor: dispute.withheld,
                    currency: amount()?.currency,
                };
                moved(event, &lost, LOST, DISPUTED, out);
            }
            "DisputeClosed" => self.dispute(text(body, "dispute")?).lost = false,
            _ => {}
        }
        Ok(())
    }

    fn dispute(&mut self, id: &str) -> &mut Dispute {
        self.disputes.entry(id.to_owned()).or_default()
    }

    /// The turns of a dispute may be told in any order.
    fn withdrawn(
        &mut self,
        event: &Event,
        dispute: &str,
        amount: &Money,
        said: &Said,
        out: &mut Out,
    ) -> Taken {
        let fee = number(&said.body, "fee_minor")?;
        let dispute = self.dispute(dispute);
        let lines = [
            (DISPUTED, amount.minor, 0),
            (FEES, fee, 0),
            (BALANCE, 0, amount.minor),
            (BALANCE, 0, fee),
        ];
        out.posts(event, &amount.currency, &lines);
        if dispute.lost && !dispute.reinstated {
            moved(event, amount, LOST, DISPUTED, out);
        }
        dispute.withheld = if dispute.reinstated { 0 } else { amount.minor };
        Ok(())
    }
}

/// An order was paid: what was unapplied is sold, its tax apart.
pub(super) fn paid(event: &Event, amount: &Money, tax: &Money, out: &mut Out) {
    let same = tax.currency == amount.currency;
    let tax = if same {
        tax.minor.clamp(0, amount.minor.max(0))
    } else {
        0
    };
    let lines = [
        (UNAPPLIED, amount.minor, 0),
        (SALES, 0, amount.minor.saturating_sub(tax)),
        (TAX, 0, tax),
    ];
    out.posts(event, &amount.currency, &lines);
}

fn moved(event: &Event, amount: &Money, debit: &str, credit: &str, out: &mut Out) {
    let lines = [(debit, amount.minor, 0), (credit, 0, amount.minor)];
    out.posts(event, &amount.currency, &lines);
}
