//! Bank statements: their lines are imported once, and each payout finds its own.

use aggregates::ids::{MerchantId, SettlementId};
use aggregates::metadata::Actor;
use aggregates::settlement::{
    BankLine, BankLineImported, Match, SettlementCommand, SettlementError, match_of, what_it_names,
};
use std::collections::HashMap;
use std::str::FromStr;

use super::settling::DecidedSettlement;
use super::{App, AppError};
use crate::bank::StatementLine;
use crate::store::{Commit, Context, Decided, Merchant, Trouble};

/// How many lines are recorded, or looked at, at once.
const PAGE: usize = 100;

/// What a merchant calls its account with the bank: 1 to 40 of `a`–`z`, `0`–`9`, `_` and `-`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BankAccount(String);

/// The text is no name of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a bank account is called by 1 to 40 lower-case letters, digits, hyphens and underscores")]
pub struct NotABankAccount;

impl FromStr for BankAccount {
    type Err = NotABankAccount;

    fn from_str(text: &str) -> Result<Self, NotABankAccount> {
        let part = |it: char| it.is_ascii_lowercase() || it.is_ascii_digit() || "_-".contains(it);
        // A number would do for a name, and must not be one of a card.
        let named = text.chars().any(|it| it.is_ascii_lowercase());
        if named && text.len() <= 40 && text.chars().all(part) {
            Ok(Self(text.to_owned()))
        } else {
            Err(NotABankAccount)
        }
    }
}

/// What became of a statement.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Imported {
    /// Lines that were not known.
    pub new: usize,
    /// Lines that were known already.
    pub known: usize,
    /// Of all lines of the merchant: what was matched just now.
    pub matched: usize,
    /// Of all lines of the merchant: those that fit several payouts equally well.
    pub ambiguous: usize,
}

impl App {
    /// Imports the lines of a statement of one account, and matches what can be matched. The same lines may be imported again,
    /// from the same statement or one that overlaps it.
    ///
    /// # Errors
    /// [`AppError`]; importing the statement again goes on with it.
    pub async fn import_statement(
        &self,
        merchant: &MerchantId,
        actor: Actor,
        account: BankAccount,
        lines: Vec<StatementLine>,
    ) -> Result<Imported, AppError> {
        let (app, merchant) = (self.clone(), merchant.clone());
        let work = async move {
            let merchant = app.merchant(&merchant).await?;
            let context = app.context_of(actor);
            let identified = identified(&merchant.id, &account, lines);
            let mut imported = Imported::default();
            for page in identified.chunks(PAGE) {
                let new = app.import(&merchant, &context, page).await?;
                imported.new += new;
                imported.known += page.len() - new;
            }
            let (matched, ambiguous) = app.match_lines(&merchant, &context).await?;
            Ok(Imported {
                matched,
                ambiguous,
                ..imported
            })
        };
        let task = self.inner.tasks.spawn(work);
        task.await.map_err(|panic| {
            tracing::error!(%panic, "an import failed");
            AppError::Internal
        })?
    }

    /// Records those lines that are not known, and says how many they are.
    async fn import(
        &self,
        merchant: &Merchant,
        context: &Context,
        lines: &[(SettlementId, BankLineImported)],
    ) -> Result<usize, AppError> {
        loop {
            let mut settlements = Vec::new();
            for (id, line) in lines {
                let command = SettlementCommand::ImportBankLine(Box::new(line.clone()));
                let decided = self.settlement(&merchant.id, *id, command).await?;
                if !decided.events.is_empty() {
                    settlements.push(decided);
                }
            }
            let new = settlements.len();
            let commit = Commit {
                settlements,
                ..Commit::default()
            };
            match self.inner.store.commit(&merchant.id, context, commit).await {
                Ok(_) => return Ok(new),
                Err(Trouble::Conflict) => {}
                Err(trouble) => return Err(trouble.into()),
            }
        }
    }

    /// Finds the payout of each line that has none, and says how many were found, and how many lines fit several.
    pub(super) async fn match_lines(
        &self,
        merchant: &Merchant,
        context: &Context,
    ) -> Result<(usize, usize), AppError> {
        let store = &self.inner.store;
        let (mut matched, mut ambiguous) = (0, 0);
        let mut last: Option<(String, SettlementId)> = None;
        loop {
            let after = last.as_ref().map(|(day, id)| (day.as_str(), *id));
            let limit = i64::try_from(PAGE).unwrap_or(i64::MAX);
            let lines = store.matchable_lines(&merchant.id, after, limit).await?;
            for (_, id) in &lines {
                match self.match_line(merchant, context, *id).await? {
                    Match::One(_) => matched += 1,
                    Match::Several(payouts) => {
                        tracing::warn!(merchant = %merchant.id, line = %id, ?payouts, "a bank's line fits several payouts");
                        ambiguous += 1;
                    }
                    Match::None => {}
                }
            }
            match lines.into_iter().next_back() {
                Some(it) => last = Some(it),
                None => return Ok((matched, ambiguous)),
            }
        }
    }

    /// Finds the line's payout and records it with both, or with neither.
    async fn match_line(
        &self,
        merchant: &Merchant,
        context: &Context,
        id: SettlementId,
    ) -> Result<Match, AppError> {
        let store = &self.inner.store;
        let line = store.settlement(&merchant.id, id).await?;
        let free = |it: &&BankLine| it.matched.is_none() && !it.by_hand;
        let Some(known) = line.state.bank_line().filter(free) else {
            return Ok(Match::None);
        };
        let awaited = store.awaited_payouts(&merchant.id, &known.line).await?;
        let found = match_of(&known.line, &awaited);
        let Match::One(payout) = &found else {
            return Ok(found);
        };
        let meet = SettlementCommand::MeetBankLine {
            line: id,
            amount: known.line.amount,
        };
        let of_line = SettlementCommand::MatchPayout {
            payout: payout.payout.clone(),
        };
        let both = [(id, of_line), (payout.id, meet)];
        match self.bind(merchant, context, both).await {
            Ok(()) => Ok(found),
            // The row was older than the payout, or somebody else was first: the next reading sees what is left.
            Err(MatchError::Refused(error)) => {
                tracing::info!(%error, "a bank's line is not matched");
                Ok(Match::None)
            }
            Err(MatchError::App(error)) => Err(error),
        }
    }

    /// Decides for a line and its payout together, and records both or neither.
    async fn bind(
        &self,
        merchant: &Merchant,
        context: &Context,
        both: [(SettlementId, SettlementCommand); 2],
    ) -> Result<(), MatchError> {
        let store = &self.inner.store;
        loop {
            let mut settlements: Vec<DecidedSettlement> = Vec::new();
            for (id, command) in both.clone() {
                let before = store.settlement(&merchant.id, id).await;
                let before = before.map_err(AppError::from)?;
                let events = before.state.decide(command)?;
                settlements.push(Decided { id, before, events });
            }
            let commit = Commit {
                settlements,
                ..Commit::default()
            };
            match store.commit(&merchant.id, context, commit).await {
                Ok(_) => return Ok(()),
                Err(Trouble::Conflict) => {}
                Err(trouble) => return Err(AppError::from(trouble).into()),
            }
        }
    }

    /// A person says which payout (`po_…`) a line is the arrival or the return of, and why they are sure: also where several
    /// fit equally well, or where the machine had matched it with another before.
    ///
    /// # Errors
    /// [`MatchError`]; the line stays as it was.
    pub async fn match_by_hand(
        &self,
        by: Person,
        line: SettlementId,
        payout: String,
    ) -> Result<BankLine, MatchError> {
        let amount = self.line_of(&by.merchant, line).await?.line.amount;
        let id = SettlementId::of_payout(&by.merchant, &payout);
        let known = self.inner.store.settlement(&by.merchant, id).await;
        if known.map_err(AppError::from)?.state.payout().is_none() {
            return Err(not_found("payout", payout).into());
        }
        let meet = SettlementCommand::MeetBankLine { line, amount };
        let both = [
            (line, SettlementCommand::MatchPayout { payout }),
            (id, meet),
        ];
        self.bound_by_hand(by, line, both).await
    }

    /// A person says that a line is not the payout's that it was matched with, and why. From then on only people match it.
    ///
    /// # Errors
    /// [`MatchError`]; the line stays as it was.
    pub async fn unmatch_by_hand(
        &self,
        by: Person,
        line: SettlementId,
    ) -> Result<BankLine, MatchError> {
        let known = self.line_of(&by.merchant, line).await?;
        let payout = known.matched.ok_or(SettlementError::NotMatched)?;
        let id = SettlementId::of_payout(&by.merchant, &payout);
        let both = [
            (line, SettlementCommand::UnmatchLine),
            (id, SettlementCommand::PartFromLine { line }),
        ];
        self.bound_by_hand(by, line, both).await
    }

    async fn bound_by_hand(
        &self,
        by: Person,
        line: SettlementId,
        both: [(SettlementId, SettlementCommand); 2],
    ) -> Result<BankLine, MatchError> {
        let (app, whose) = (self.clone(), by.merchant.clone());
        let work = async move {
            let merchant = app.merchant(&by.merchant).await?;
            let context = Context {
                reason: Some(by.because),
                ..app.context_of(by.actor)
            };
            Ok(app.bind(&merchant, &context, both).await)
        };
        match self.command(work).await {
            Ok(Ok(())) => Ok(self.line_of(&whose, line).await?),
            Ok(Err(error)) => Err(error),
            Err(error) => Err(error.into()),
        }
    }

    /// A line of the merchant's as it stands.
    ///
    /// # Errors
    /// [`AppError::NotFound`], also for another merchant's.
    pub async fn line_of(
        &self,
        merchant: &MerchantId,
        line: SettlementId,
    ) -> Result<BankLine, AppError> {
        let known = self.inner.store.settlement(merchant, line).await?;
        let known = known.state.bank_line().cloned();
        known.ok_or_else(|| not_found("bank line", line.to_string()))
    }
}

/// Somebody who decides something of a merchant's books, and why.
#[derive(Debug, Clone)]
pub struct Person {
    pub merchant: MerchantId,
    pub actor: Actor,
    pub because: String,
}

/// Why a line and a payout are not bound, or not parted.
#[derive(Debug, thiserror::Error)]
pub enum MatchError {
    /// The rules say no; nothing was recorded.
    #[error(transparent)]
    Refused(#[from] SettlementError),
    #[error(transparent)]
    App(#[from] AppError),
}

fn not_found(what: &'static str, id: String) -> AppError {
    AppError::NotFound { what, id }
}

/// The lines under ids that are always the same for the same line: where the bank names it, by that name, else by its text;
/// lines that are alike in all of this are told apart by their number among their like.
fn identified(
    merchant: &MerchantId,
    account: &BankAccount,
    lines: Vec<StatementLine>,
) -> Vec<(SettlementId, BankLineImported)> {
    let mut alike: HashMap<[String; 5], u32> = HashMap::new();
    lines
        .into_iter()
        .map(|line| {
            let marks = [
                line.account.unwrap_or_default(),
                line.booked_on.to_string(),
                line.amount.minor().to_string(),
                line.amount.currency().code(),
                line.reference.as_ref().unwrap_or(&line.text).clone(),
            ];
            let number = alike.entry(marks.clone()).or_default();
            *number += 1;
            let number = number.to_string();
            let mut parts: Vec<&str> = marks.iter().map(String::as_str).collect();
            parts.push(&number);
            let id = SettlementId::of_bank_line(merchant, &account.0, &parts);
            let said = format!("{} {}", line.reference.unwrap_or_default(), line.text);
            let (names_payout, names_stripe) = what_it_names(&said);
            let imported = BankLineImported {
                merchant: merchant.clone(),
                account: account.0.clone(),
                booked_on: line.booked_on,
                value_on: line.value_on,
                amount: line.amount,
                names_payout,
                names_stripe,
            };
            (id, imported)
        })
        .collect()
}
