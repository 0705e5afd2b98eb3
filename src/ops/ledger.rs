//! `counterfoil ledger`: the books on the command line, as they stand or as they stood.

use aggregates::books::Month;
use aggregates::ids::MerchantId;
use aggregates::ledger::Account;
use aggregates::metadata::Actor;
use aggregates::money::{Currency, Money};
use chrono::SecondsFormat;
use clap::{Args, Subcommand};
use projections::books::{AsOf, Balances, Statement};
use projections::entries::{EntryFilter, PostedEntry, PostedLine};
use projections::periods::{Closing, Period};
use serde_json::{Value, json};

use super::events::Form;
use super::{chart, database_of, figures, parked, say};
use crate::config::Config;
use crate::firewall::holds_card_number;
use crate::store::BooksReader;
use crate::use_cases::Person;

/// How many entries or lines are read at once.
const PAGE: u16 = 500;

/// Whose books, as of when, and how they are written.
#[derive(Debug, Clone, Args)]
pub struct Which {
    #[arg(long)]
    pub(super) merchant: MerchantId,
    /// A position of the ledger, or a time such as 2026-11-21T08:00:00Z
    #[arg(long, value_name = "POSITION|TIME")]
    as_of: Option<String>,
    /// The time is when things happened, by what is known now, and not when they were recorded
    #[arg(long, requires = "as_of")]
    effective: bool,
    /// JSON: one object, or one a line
    #[arg(long)]
    json: bool,
}

/// What may be asked of the books.
#[derive(Debug, Subcommand)]
pub enum LedgerCommand {
    /// The sums of all accounts, by currency: exit code 1 where debits and credits differ
    TrialBalance {
        #[command(flatten)]
        which: Which,
    },
    /// Every account that was ever touched
    Balances {
        #[command(flatten)]
        which: Which,
    },
    /// All entries, in the order in which they were recorded
    Journal {
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        part: Part,
    },
    /// The lines of one account in one currency, with what it stands at after each
    Statement {
        account: Account,
        currency: Currency,
        #[command(flatten)]
        which: Which,
    },
    /// Why an account stands where it does: its entries, the events behind them, who did it, and Stripe's objects
    Explain {
        account: Account,
        currency: Currency,
        /// What moved in this month alone, such as 2026-10
        #[arg(long)]
        period: Option<Month>,
        #[command(flatten)]
        which: Which,
    },
    /// Why an order comes to what it comes to: what it costs, what was paid, given back, is due
    ExplainOrder {
        /// Its reference, number or id
        order: String,
        #[command(flatten)]
        which: Which,
    },
    /// Why a payment comes to what it comes to: what was taken, given back, and what Stripe keeps of it
    ExplainPayment {
        /// Its id, or Stripe's pi_…
        payment: String,
        #[command(flatten)]
        which: Which,
    },
    /// What the merchant's own books call our accounts
    #[command(subcommand)]
    Chart(chart::ChartCommand),
    /// What a month came to on every account, such as 2026-10
    Period {
        month: Month,
        #[command(flatten)]
        which: Which,
    },
    /// Close a month and all before it: what comes later is posted in a later one
    Close {
        month: Month,
        #[arg(long)]
        merchant: MerchantId,
        /// Who says so
        #[arg(long = "as", value_name = "NAME")]
        by: String,
        /// Why
        #[arg(long)]
        because: String,
    },
}

/// A part of the journal.
#[derive(Debug, Clone, Args)]
pub struct Part {
    /// Only entries that touch this account
    #[arg(long)]
    account: Option<Account>,
    /// Only entries in this currency
    #[arg(long)]
    currency: Option<Currency>,
    /// Only what is posted in this month
    #[arg(long)]
    period: Option<Month>,
}

impl Which {
    async fn books(&self, url: &str) -> anyhow::Result<BooksReader> {
        Ok(BooksReader::new(database_of(url, &self.merchant, 1).await?))
    }

    pub(super) fn as_of(&self) -> anyhow::Result<AsOf> {
        super::as_of(self.as_of.as_deref(), self.effective)
    }

    pub(super) fn form(&self) -> Form {
        if self.json { Form::Json } else { Form::Words }
    }
}

/// Does what is asked, and says whether the books balance as far as they were looked at.
///
/// # Errors
/// When there is no history of then, or the database cannot be used.
pub async fn run(command: LedgerCommand, config: &Config, url: &str) -> anyhow::Result<bool> {
    if let LedgerCommand::Close {
        month,
        merchant,
        by,
        because,
    } = command
    {
        close(config, url, month, person(merchant, by, because)?).await?;
        return Ok(true);
    }
    match command {
        LedgerCommand::TrialBalance { which } => {
            return trial_balance(&which.books(url).await?, &which).await;
        }
        LedgerCommand::Balances { which } => {
            let books = which.books(url).await?;
            let found = books.balances(&which.merchant, which.as_of()?).await?;
            balances(&found, which.form());
        }
        LedgerCommand::Journal { which, part } => {
            journal(&which.books(url).await?, &which, &part).await?;
        }
        LedgerCommand::Statement {
            account,
            currency,
            which,
        } => statement(&which.books(url).await?, &which, (account, currency)).await?,
        LedgerCommand::Explain {
            account,
            currency,
            period,
            which,
        } => {
            explain(
                &which.books(url).await?,
                &which,
                (account, currency, period),
            )
            .await?
        }
        LedgerCommand::Period { month, which } => {
            let (books, as_of) = (which.books(url).await?, which.as_of()?);
            let found = books.period(&which.merchant, month, as_of).await?;
            period(&found, which.form());
        }
        LedgerCommand::ExplainOrder { order, which } => {
            figures::run(url, figures::Named::Order(order), &which).await?;
        }
        LedgerCommand::ExplainPayment { payment, which } => {
            figures::run(url, figures::Named::Payment(payment), &which).await?;
        }
        LedgerCommand::Chart(command) => chart::run(command, config, url).await?,
        LedgerCommand::Close { .. } => {}
    }
    Ok(true)
}

async fn trial_balance(books: &BooksReader, which: &Which) -> anyhow::Result<bool> {
    let found = books.balances(&which.merchant, which.as_of()?).await?;
    let sums = found.trial_balance();
    let balanced = sums.iter().all(|it| it.is_balanced());
    match which.form() {
        Form::Json => {
            let sums: Vec<Value> = sums
                .iter()
                .map(|it| {
                    json!({"currency": it.currency.code(), "debit_minor": it.debit_minor.to_string(),
                        "credit_minor": it.credit_minor.to_string(), "balanced": it.is_balanced()})
                })
                .collect();
            let position = found.ledger_position;
            say!(
                "{}",
                json!({"position": position, "balanced": balanced, "currencies": sums})
            );
        }
        Form::Words => {
            balances(&found, Form::Words);
            for it in &sums {
                let word = if it.is_balanced() {
                    "balances"
                } else {
                    "DOES NOT BALANCE"
                };
                say!(
                    "{}: {} debited, {} credited (minor units): {word}",
                    it.currency.code(),
                    it.debit_minor,
                    it.credit_minor
                );
            }
        }
    }
    Ok(balanced)
}

fn balances(found: &Balances, form: Form) {
    if form == Form::Words {
        say!("as of ledger position {}", found.ledger_position);
    }
    for it in &found.balances {
        let minor = it.minor();
        match form {
            Form::Json => say!(
                "{}",
                json!({"position": found.ledger_position, "account": it.account, "currency": it.currency.code(),
                    "debit_minor": it.debit_minor, "credit_minor": it.credit_minor, "balance_minor": minor})
            ),
            Form::Words => say!(
                "{:<34} {:>18} {}",
                it.account,
                Money::new(minor, it.currency).to_decimal_string(),
                it.currency.code()
            ),
        }
    }
}

async fn journal(books: &BooksReader, which: &Which, part: &Part) -> anyhow::Result<()> {
    let as_of = which.as_of()?;
    let filter = EntryFilter {
        account: part.account,
        currency: part.currency,
        period: part.period,
    };
    let mut after = None;
    loop {
        let page = books
            .entries(&which.merchant, filter, as_of, after, PAGE)
            .await?;
        page.entries.iter().for_each(|it| entry(it, which.form()));
        after = page.next;
        if after.is_none() {
            return Ok(());
        }
    }
}

async fn statement(
    books: &BooksReader,
    which: &Which,
    of: (Account, Currency),
) -> anyhow::Result<()> {
    let as_of = which.as_of()?;
    let mut after = None;
    loop {
        let page = books
            .statement(&which.merchant, of, as_of, after, PAGE)
            .await?;
        lines(&page, of.1, which.form());
        after = page.next;
        if after.is_none() {
            return Ok(());
        }
    }
}

fn lines(page: &Statement, currency: Currency, form: Form) {
    let written = |minor| Money::new(minor, currency).to_decimal_string();
    for it in &page.lines {
        match form {
            Form::Json => say!(
                "{}",
                json!({"at": it.at.to_string(), "debit_minor": it.debit_minor, "credit_minor": it.credit_minor,
                    "balance_minor": it.balance_minor, "recorded_at": time(it.recorded_at), "effective_at": time(it.effective_at)})
            ),
            Form::Words => say!(
                "{:<12} {}  {:>14} {:>14} {:>16}",
                it.at.to_string(),
                time(it.effective_at),
                written(it.debit_minor),
                written(it.credit_minor),
                written(it.balance_minor)
            ),
        }
    }
}

async fn explain(
    books: &BooksReader,
    which: &Which,
    figure: (Account, Currency, Option<Month>),
) -> anyhow::Result<()> {
    let as_of = which.as_of()?;
    let mut after = None;
    loop {
        let page = books
            .explain(&which.merchant, figure, as_of, after, PAGE)
            .await?;
        if after.is_none() && which.form() == Form::Words {
            let it = &page.balance;
            let minor = it.minor();
            say!(
                "{} stands at {} {} as of ledger position {}, made of:",
                it.account,
                Money::new(minor, it.currency).to_decimal_string(),
                it.currency.code(),
                page.made_of.ledger_position
            );
        }
        let entries = &page.made_of.entries;
        entries.iter().for_each(|it| entry(it, which.form()));
        after = page.made_of.next;
        if after.is_none() {
            return Ok(());
        }
    }
}

fn entry(it: &PostedEntry, form: Form) {
    match form {
        Form::Json => say!("{}", entry_in_json(it)),
        Form::Words => {
            let told = |name: &str| it.event.metadata.get(name).map_or("", String::as_str);
            let ids: Vec<&str> = it.event.stripe_ids.iter().map(String::as_str).collect();
            say!(
                "{:<8} {} {}  {} of {} {}  {} {}",
                it.at.to_string(),
                time(it.effective_at),
                it.period,
                it.event.event_type,
                it.event.aggregate_type,
                it.event.aggregate_id,
                told("actor"),
                ids.join(" ")
            );
            it.lines.iter().for_each(line_in_words);
        }
    }
}

fn line_in_words(it: &PostedLine) {
    let written = |minor: i64| match minor {
        0 => String::new(),
        minor => Money::new(minor, it.currency).to_decimal_string(),
    };
    say!(
        "         {:<34} {:>14} {:>14} {}",
        it.account,
        written(it.debit_minor),
        written(it.credit_minor),
        it.currency.code()
    );
}

fn entry_in_json(it: &PostedEntry) -> Value {
    let lines = it.lines.iter().map(|line| {
        json!({"account": line.account, "currency": line.currency.code(), "debit_minor": line.debit_minor,
            "credit_minor": line.credit_minor})
    });
    json!({
        "position": it.at.ledger_position,
        "entry": it.at.entry,
        "recorded_at": time(it.recorded_at),
        "effective_at": time(it.effective_at),
        "period": it.period,
        "lines": lines.collect::<Vec<_>>(),
        "event": {
            "id": it.event.event_id,
            "type": it.event.event_type,
            "aggregate": {"type": it.event.aggregate_type, "id": it.event.aggregate_id},
            "metadata": it.event.metadata,
            "stripe_ids": it.event.stripe_ids,
        },
    })
}

fn period(found: &Period, form: Form) {
    if form == Form::Words {
        let state = found.closed.as_ref().map_or("open".to_owned(), closing);
        say!(
            "{}: {state}; as of ledger position {}",
            found.month,
            found.ledger_position
        );
    }
    for it in &found.totals {
        let written = |minor| Money::new(minor, it.currency).to_decimal_string();
        match form {
            Form::Json => say!(
                "{}",
                json!({"period": found.month, "closed": found.closed.is_some(), "position": found.ledger_position,
                    "account": it.account, "currency": it.currency.code(), "opening_minor": it.opening_minor,
                    "debit_minor": it.debit_minor, "credit_minor": it.credit_minor, "closing_minor": it.closing_minor()})
            ),
            Form::Words => say!(
                "{:<34} {:>16} {:>14} {:>14} {:>16} {}",
                it.account,
                written(it.opening_minor),
                written(it.debit_minor),
                written(it.credit_minor),
                written(it.closing_minor()),
                it.currency.code()
            ),
        }
    }
}

fn closing(it: &Closing) -> String {
    let (by, because) = (it.by.as_deref(), it.because.as_deref());
    format!(
        "closed {} by {}: {}",
        time(it.recorded_at),
        by.unwrap_or("nobody named"),
        because.unwrap_or("no reason given")
    )
}

fn time(at: chrono::DateTime<chrono::Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

async fn close(config: &Config, url: &str, month: Month, by: Person) -> anyhow::Result<()> {
    let app = parked::app(config, url).await?;
    let closed = app.close_period(by, month).await;
    parked::close(&app).await;
    closed?;
    say!("closed through {month}");
    Ok(())
}

/// Whoever may run this names themselves: the machine's own access control stands behind the name.
///
/// # Errors
/// When what they type would be kept and must not be.
pub(super) fn person(merchant: MerchantId, by: String, because: String) -> anyhow::Result<Person> {
    for text in [&by, &because] {
        anyhow::ensure!(
            !holds_card_number(text),
            "what is said holds what looks like a card number: that is kept nowhere"
        );
    }
    Ok(Person {
        merchant,
        actor: Actor {
            name: by,
            key_id: None,
            door: "cli".to_owned(),
        },
        because,
    })
}
