//! `counterfoil bank`: statements of the bank, their lines, and which payout each is.

use aggregates::ids::{MerchantId, SettlementId};
use anyhow::{Context as _, bail};
use clap::Subcommand;
use eventstore::Role;
use serde_json::json;
use std::path::{Path, PathBuf};

use super::events::Form;
use super::{ledger, parked, say};
use crate::bank::{CsvFormat, StatementLine, read_camt053, read_csv};
use crate::config::Config;
use crate::store::BooksReader;
use crate::use_cases::BankAccount;

const PAGE: i64 = 500;

/// What may be done with bank statements.
#[derive(Debug, Subcommand)]
pub enum BankCommand {
    /// Import a statement: camt.053, or CSV where a format is named. Importing it again changes nothing
    Import {
        file: PathBuf,
        #[arg(long)]
        merchant: MerchantId,
        /// What the merchant calls its account with the bank
        #[arg(long, default_value = "main")]
        account: BankAccount,
        /// How the bank writes CSV: a JSON file
        #[arg(long, value_name = "FILE")]
        csv_format: Option<PathBuf>,
        /// Who imports it
        #[arg(long = "as", value_name = "NAME", default_value = "operator")]
        by: String,
        #[arg(long)]
        json: bool,
    },
    /// The lines that were imported
    Lines {
        #[arg(long)]
        merchant: MerchantId,
        /// Only those that no payout was found for
        #[arg(long)]
        unmatched: bool,
        /// One JSON object a line
        #[arg(long)]
        json: bool,
    },
    /// Say which payout a line is
    Match {
        line: SettlementId,
        /// Stripe's id of it, po_…
        payout: String,
        #[arg(long)]
        merchant: MerchantId,
        /// Who says so
        #[arg(long = "as", value_name = "NAME")]
        by: String,
        /// Why they are sure
        #[arg(long)]
        because: String,
    },
    /// Say that a line is not the payout that it was matched with
    Unmatch {
        line: SettlementId,
        #[arg(long)]
        merchant: MerchantId,
        /// Who says so
        #[arg(long = "as", value_name = "NAME")]
        by: String,
        /// Why they are sure
        #[arg(long)]
        because: String,
    },
}

/// Does what is asked.
///
/// # Errors
/// When the file is broken, the rules say no, or the database cannot be used.
pub async fn run(command: BankCommand, config: &Config, url: &str) -> anyhow::Result<()> {
    match command {
        BankCommand::Lines {
            merchant,
            unmatched,
            json,
        } => lines(url, &merchant, unmatched, json).await,
        BankCommand::Import {
            file,
            merchant,
            account,
            csv_format,
            by,
            json,
        } => {
            let lines = read(&file, csv_format.as_deref())?;
            let by = ledger::person(merchant, by, String::new())?;
            let app = parked::app(config, url).await?;
            let imported = app
                .import_statement(&by.merchant, by.actor, account, lines)
                .await;
            parked::close(&app).await;
            let it = imported?;
            if json {
                say!(
                    "{}",
                    json!({"new": it.new, "known": it.known, "matched": it.matched, "ambiguous": it.ambiguous})
                );
            } else {
                say!(
                    "{} new lines, {} known already; {} matched now, {} fit several payouts",
                    it.new,
                    it.known,
                    it.matched,
                    it.ambiguous
                );
            }
            Ok(())
        }
        BankCommand::Match {
            line,
            payout,
            merchant,
            by,
            because,
        } => {
            let app = parked::app(config, url).await?;
            let by = ledger::person(merchant, by, because)?;
            let done = app.match_by_hand(by, line, payout).await;
            parked::close(&app).await;
            done?;
            say!("matched");
            Ok(())
        }
        BankCommand::Unmatch {
            line,
            merchant,
            by,
            because,
        } => {
            let app = parked::app(config, url).await?;
            let by = ledger::person(merchant, by, because)?;
            let done = app.unmatch_by_hand(by, line).await;
            parked::close(&app).await;
            done?;
            say!("unmatched; from now on only people match it");
            Ok(())
        }
    }
}

fn read(file: &Path, csv_format: Option<&Path>) -> anyhow::Result<Vec<StatementLine>> {
    let bytes = std::fs::read(file).with_context(|| file.display().to_string())?;
    let read = match csv_format {
        Some(path) => {
            let format = std::fs::read(path).with_context(|| path.display().to_string())?;
            let format: CsvFormat =
                serde_json::from_slice(&format).with_context(|| path.display().to_string())?;
            read_csv(&bytes, &format)
        }
        None => read_camt053(&bytes),
    };
    match read {
        Ok(lines) => Ok(lines),
        Err(error) => bail!("{}: nothing of it was imported\n{error}", file.display()),
    }
}

async fn lines(
    url: &str,
    merchant: &MerchantId,
    unmatched: bool,
    json: bool,
) -> anyhow::Result<()> {
    let pool = eventstore::pool(url, Role::Writer, 1)
        .await
        .context("the database (is the service running?)")?;
    let books = BooksReader::new(pool);
    let form = if json { Form::Json } else { Form::Words };
    let matched = unmatched.then_some(false);
    let mut after = None;
    loop {
        let page = books.bank_lines(merchant, matched, after, PAGE).await?;
        for it in &page {
            match form {
                Form::Json => say!(
                    "{}",
                    json!({"id": it.line_id, "account": it.account, "booked_on": it.booked_on, "value_on": it.value_on,
                        "currency": it.currency, "amount_minor": it.amount_minor, "names_payout": it.names_payout,
                        "names_stripe": it.names_stripe, "matched": it.matched, "by_hand": it.by_hand})
                ),
                Form::Words => say!(
                    "{}  {}  {:>14} {} (minor units)  {}",
                    it.line_id,
                    it.booked_on,
                    it.amount_minor,
                    it.currency,
                    it.matched.as_deref().unwrap_or("unmatched")
                ),
            }
        }
        match page.last() {
            Some(last) => after = Some(SettlementId::from_uuid(last.line_id)),
            None => return Ok(()),
        }
    }
}
