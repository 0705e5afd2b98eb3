//! What events post in double entry, by the table of the design and its record of decisions: what is told of a payment against
//! clearing, what Stripe booked off it.

use super::Out;
use super::read::{Money, Taken, flag, money, text};
use crate::events::{Event, Said};
use std::collections::BTreeMap;

const CLEARING: &str = "assets:stripe:clearing";
const BANK: &str = "assets:bank";
const IN_TRANSIT: &str = "assets:bank:in_transit";
const EXCHANGE: &str = "assets:exchange";
const RESERVE: &str = "assets:stripe:reserve";
const SUSPENSE: &str = "suspense";
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
            "Captured" => {
                let charge = text(body, "charge").unwrap_or_default();
                out.clears(event, true, (charge, "charge"), &amount()?);
                moved(event, &amount()?, CLEARING, UNAPPLIED, out);
            }
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
                out.clears(
                    event,
                    true,
                    (text(body, "stripe_refund")?, "refund"),
                    &it.back(),
                );
            }
            "RefundFailed" if flag(body, "had_succeeded") => {
                let object = (text(body, "stripe_refund")?, "refund_failure");
                out.clears(event, true, object, &amount()?);
                moved(event, &amount()?, CLEARING, UNAPPLIED, out);
            }
            "DisputeFundsWithdrawn" => {
                self.withdrawn(event, text(body, "dispute")?, &amount()?, out);
            }
            "DisputeFundsReinstated" => {
                let dispute = self.dispute(text(body, "dispute")?);
                dispute.reinstated = true;
                dispute.withheld = 0;
                let object = (text(body, "dispute")?, "dispute_reversal");
                out.clears(event, true, object, &amount()?);
                moved(event, &amount()?, CLEARING, DISPUTED, out);
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

    /// The turns of a dispute may be told in any order. Its fee is posted with Stripe's booking.
    fn withdrawn(&mut self, event: &Event, name: &str, amount: &Money, out: &mut Out) {
        let dispute = self.dispute(name);
        out.clears(event, true, (name, "dispute"), &amount.back());
        moved(event, amount, DISPUTED, CLEARING, out);
        if dispute.lost && !dispute.reinstated {
            moved(event, amount, LOST, DISPUTED, out);
        }
        dispute.withheld = if dispute.reinstated { 0 } else { amount.minor };
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

/// What Stripe booked.
pub(super) struct Booking<'a> {
    pub category: &'a str,
    pub source: Option<&'a str>,
    pub gross: &'a Money,
    pub fee: i64,
    /// What moved it, in its own currency.
    pub origin: Option<Money>,
    pub exchanged: bool,
}

impl Booking<'_> {
    /// The balance takes the net, fees what Stripe kept, and the rest comes from where its category says.
    pub fn post(&self, event: &Event, out: &mut Out) {
        let (gross, currency) = (self.gross.minor, self.gross.currency.as_str());
        let mut post = |account, currency: &str, minor: i64| {
            let lines = [(account, minor.max(0), minor.saturating_neg().max(0))];
            out.posts(event, currency, &lines);
        };
        post(BALANCE, currency, gross.saturating_sub(self.fee));
        post(FEES, currency, self.fee);
        let (account, cleared) = self.comes_from();
        let back = gross.saturating_neg();
        match cleared {
            Some(Money {
                minor,
                currency: of,
            }) if *of != *currency => {
                post(EXCHANGE, currency, back);
                post(EXCHANGE, of, *minor);
                post(account, of, minor.saturating_neg());
            }
            _ => post(account, currency, back),
        }
        if let Some(cleared) = cleared {
            let object = (self.source.unwrap_or_default(), self.category);
            out.clears(event, false, object, &cleared.back());
        }
    }

    /// The account, and where it is clearing, what is taken off there.
    fn comes_from(&self) -> (&'static str, Option<&Money>) {
        match self.category {
            "charge"
            | "refund"
            | "refund_failure"
            | "dispute"
            | "dispute_reversal"
            | "partial_capture_reversal" => match &self.origin {
                None if self.exchanged => (SUSPENSE, None),
                Some(origin) if origin.currency != self.gross.currency => (CLEARING, Some(origin)),
                _ => (CLEARING, Some(self.gross)),
            },
            "payout" | "payout_reversal" | "topup" | "topup_reversal" => (IN_TRANSIT, None),
            "fee" | "network_cost" | "tax" => (FEES, None),
            "risk_reserved_funds"
            | "connect_reserved_funds"
            | "payout_minimum_balance_hold"
            | "payout_minimum_balance_release" => (RESERVE, None),
            _ => (SUSPENSE, None),
        }
    }
}

/// A payout came to the bank, or the bank sent it back (negative).
pub(super) fn at_the_bank(event: &Event, amount: &Money, out: &mut Out) {
    let (came, went) = (amount.minor.max(0), amount.minor.saturating_neg().max(0));
    let lines = [(BANK, came, went), (IN_TRANSIT, went, came)];
    out.posts(event, &amount.currency, &lines);
}

fn moved(event: &Event, amount: &Money, debit: &str, credit: &str, out: &mut Out) {
    let lines = [(debit, amount.minor, 0), (credit, 0, amount.minor)];
    out.posts(event, &amount.currency, &lines);
}
