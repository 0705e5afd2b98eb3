//! A line of a bank statement: imported once, however often its statement is, and matched with one payout.

use crate::settlement::{BankLineImported, Settlement, SettlementError, SettlementEvent};

/// A payout's id is never longer.
const PAYOUT_LENGTH_MAX: usize = 64;

impl Settlement {
    /// The stream is named by what tells the line from others, so whatever comes to it again is the same line.
    pub(super) fn import(
        &self,
        line: Box<BankLineImported>,
    ) -> Result<Vec<SettlementEvent>, SettlementError> {
        match self.bank_line() {
            Some(_) => Ok(vec![]),
            None if self.merchant().is_some() => Err(self.another(&line.account)),
            None => Ok(vec![SettlementEvent::BankLineImported(line)]),
        }
    }

    pub(super) fn match_payout(
        &self,
        payout: String,
    ) -> Result<Vec<SettlementEvent>, SettlementError> {
        let Some(known) = self.bank_line() else {
            return Err(self.another("a line of a bank statement"));
        };
        match &known.matched {
            Some(with) if *with == payout => Ok(vec![]),
            Some(with) => Err(SettlementError::MatchedAlready {
                with: format!("payout {with}"),
            }),
            None => Ok(vec![SettlementEvent::BankLineMatched {
                payout,
                amount: known.line.amount,
                booked_on: known.line.booked_on,
            }]),
        }
    }

    pub(super) fn unmatch(&self) -> Result<Vec<SettlementEvent>, SettlementError> {
        let Some(known) = self.bank_line() else {
            return Err(self.another("a line of a bank statement"));
        };
        let payout = known.matched.clone().ok_or(SettlementError::NotMatched)?;
        Ok(vec![SettlementEvent::BankLineUnmatched {
            payout,
            amount: known.line.amount,
            booked_on: known.line.booked_on,
        }])
    }
}

/// What the text of a bank's line says of Stripe: the payout (`po_…`) that it names, and whether it names Stripe at all.
pub fn what_it_names(text: &str) -> (Option<String>, bool) {
    let part = |it: char| it.is_ascii_alphanumeric() || it == '_';
    let words = text.split(|it| !part(it));
    let payout = words
        .filter(|word| (6..=PAYOUT_LENGTH_MAX).contains(&word.len()))
        .find(|word| word.starts_with("po_") && !word[3..].contains('_'));
    let named = text.to_ascii_lowercase().contains("stripe");
    (payout.map(str::to_owned), named)
}
