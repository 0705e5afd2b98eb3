//! `counterfoil ledger chart`: what the merchant's own books call our accounts.

use aggregates::books::{Chart, ChartAccount};
use aggregates::ids::MerchantId;
use aggregates::ledger::Account;
use clap::Subcommand;
use projections::books::AsOf;
use serde_json::json;
use strum::IntoEnumIterator;

use super::ledger::{Which, person};
use super::{database_of, events::Form, parked, say};
use crate::config::Config;
use crate::firewall::holds_card_number;
use crate::store::Exports;

/// What may be done with the chart.
#[derive(Debug, Subcommand)]
pub enum ChartCommand {
    /// Every account of ours with the merchant's own, as it stands or as it stood
    Show {
        #[command(flatten)]
        which: Which,
    },
    /// Say what an account is called
    Set {
        account: Account,
        /// Its number, such as 1360
        code: String,
        /// Its name
        name: String,
        #[command(flatten)]
        said: Said,
    },
    /// Take back what an account is called
    Clear {
        account: Account,
        #[command(flatten)]
        said: Said,
    },
}

/// Whose, by whom, and why.
#[derive(Debug, clap::Args)]
pub struct Said {
    #[arg(long)]
    merchant: MerchantId,
    /// Who says so
    #[arg(long = "as", value_name = "NAME")]
    by: String,
    /// Why
    #[arg(long, default_value = "")]
    because: String,
}

/// Does what is asked.
///
/// # Errors
/// When there is no history of then, or the database cannot be used.
pub async fn run(command: ChartCommand, config: &Config, url: &str) -> anyhow::Result<()> {
    let (account, to, said) = match command {
        ChartCommand::Show { which } => return show(url, &which).await,
        ChartCommand::Set {
            account,
            code,
            name,
            said,
        } => {
            for text in [&code, &name] {
                anyhow::ensure!(
                    !holds_card_number(text),
                    "what looks like a card number is kept nowhere"
                );
            }
            (account, Some(ChartAccount::new(&code, &name)?), said)
        }
        ChartCommand::Clear { account, said } => (account, None, said),
    };
    let by = person(said.merchant, said.by, said.because)?;
    let app = parked::app(config, url).await?;
    let mapped = app.map_account(by, account, to).await;
    parked::close(&app).await;
    Ok(mapped?)
}

async fn show(url: &str, which: &Which) -> anyhow::Result<()> {
    let pool = database_of(url, &which.merchant, 1).await?;
    anyhow::ensure!(
        !matches!(which.as_of()?, AsOf::Effective(_)),
        "a chart is as of a position or a time of record"
    );
    let exports = Exports::new(pool);
    let (position, chart) = exports.chart(&which.merchant, which.as_of()?).await?;
    for account in Account::iter() {
        line(account, &chart, position, which.form());
    }
    Ok(())
}

fn line(account: Account, chart: &Chart, position: i64, form: Form) {
    let theirs = chart.get(&account);
    let (code, name) = (
        theirs.map(ChartAccount::code),
        theirs.map(ChartAccount::name),
    );
    match form {
        Form::Json => say!(
            "{}",
            json!({"position": position, "account": account, "code": code, "name": name})
        ),
        Form::Words => say!(
            "{account:<34} {:<12} {}",
            code.unwrap_or("—"),
            name.unwrap_or_default()
        ),
    }
}
