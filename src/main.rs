//! The command line.

use aggregates::ids::{IntentionId, MerchantId};
use anyhow::Context as _;
use clap::{Parser, Subcommand};
use counterfoil::config::Config;
use counterfoil::firewall;
use counterfoil::http::openapi;
use counterfoil::ops::audit::Beside;
use counterfoil::ops::events::Form;
use counterfoil::ops::postgres::Postgres;
use counterfoil::ops::{
    audit, bank, events, export, inbox, keys, ledger, parked, reconcile, replay, sandbox, serve,
    telemetry,
};
use counterfoil::service;
use counterfoil::store::{KeyKind, Merchant, Scope};
use secrecy::ExposeSecret;
use std::process::ExitCode;

/// Folds and answers allocate much, and one thread frees what another has allocated: what this program does of a rebuild takes a quarter less processor by it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Parser)]
#[command(
    version,
    about = "An event-sourced payments ledger service",
    propagate_version = true
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve, with the database and the Stripe account that the configuration names
    Serve,
    /// Serve with a private PostgreSQL and, where no Stripe key is set, the simulator and its fixtures
    Sandbox,
    /// Bring the database's schema up to date
    Migrate,
    /// Print the OpenAPI document of all that is served
    Openapi,
    /// Read the history
    #[command(subcommand)]
    Events(EventsCommand),
    /// What nobody could find out: look at it, and settle it by hand
    #[command(subcommand)]
    Parked(ParkedCommand),
    /// What Stripe told: look at what could not be applied, and have it tried again
    #[command(subcommand)]
    Inbox(inbox::InboxCommand),
    /// The books: as they stand, as they stood, and why
    #[command(subcommand)]
    Ledger(ledger::LedgerCommand),
    /// Bank statements: import them, and say which payout a line is
    #[command(subcommand)]
    Bank(bank::BankCommand),
    /// Check what the ledger promises, independently of all that keeps it
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Take the journal, balances, events or a report away as a file: all of it, or none
    #[command(subcommand)]
    Export(Box<export::ExportCommand>),
    /// Compare the books with Stripe's: exit code 0 where they agree, 1 for breaks, 2 where it could not be finished
    Reconcile(Box<reconcile::Wanted>),
    /// Make read models again from the events, beside the live ones, or (--as-of) as they once were: exit code 0 what is live is as it
    /// should be (now), 1 there are differences, 2 could not finish
    Replay(Box<replay::Wanted>),
    /// Make or change merchants
    #[command(subcommand)]
    Merchants(MerchantsCommand),
    /// Make or revoke API keys
    #[command(subcommand)]
    Keys(KeysCommand),
}

#[derive(Subcommand)]
enum EventsCommand {
    /// The latest events, in words
    Tail {
        /// Only this merchant's
        #[arg(long)]
        merchant: Option<String>,
        /// How many to begin with
        #[arg(short = 'n', long, default_value_t = 20, value_parser = clap::value_parser!(i64).range(0..))]
        last: i64,
        /// Go on as they come
        #[arg(short, long)]
        follow: bool,
        /// One JSON object a line
        #[arg(long)]
        json: bool,
    },
    /// All that happened to an order and its payments
    Show {
        /// An order's reference, number or id; a payment's id; or Stripe's pi_…
        name: String,
        /// Where several merchants have one of that name
        #[arg(long)]
        merchant: Option<String>,
        /// One JSON object a line
        #[arg(long)]
        json: bool,
    },
}

#[derive(Subcommand)]
enum ParkedCommand {
    /// What waits for people
    List {
        /// Only this merchant's
        #[arg(long)]
        merchant: Option<MerchantId>,
        /// What is settled too
        #[arg(long)]
        all: bool,
        /// One JSON object a line
        #[arg(long)]
        json: bool,
    },
    /// All that is known of one intention
    Show {
        intention: IntentionId,
        #[arg(long)]
        json: bool,
    },
    /// Say what became of it; another person approves
    Settle {
        intention: IntentionId,
        /// It happened: to this object of Stripe's (pi_…, re_…, cus_…)
        #[arg(long, value_name = "ID", conflicts_with = "did_not_happen")]
        happened: Option<String>,
        /// It did not happen, and cannot happen any more
        #[arg(long)]
        did_not_happen: bool,
        /// Who says so
        #[arg(long = "as", value_name = "NAME")]
        by: String,
        /// Why they are sure
        #[arg(long)]
        because: String,
    },
    /// Approve what another person said
    Approve {
        intention: IntentionId,
        /// Who approves
        #[arg(long = "as", value_name = "NAME")]
        by: String,
    },
}

#[derive(Subcommand)]
enum AuditCommand {
    /// Read everything in one snapshot, and tell what breaks a promise: exit code 0 nothing, 1 something, 2 could not finish
    Verify {
        #[command(flatten)]
        beside: Box<Beside>,
        /// One JSON object
        #[arg(long)]
        json: bool,
    },
}

#[derive(Subcommand)]
enum MerchantsCommand {
    /// Make a merchant, or change its settings
    Put {
        id: MerchantId,
        #[arg(long)]
        name: Option<String>,
        /// The configuration name of its Stripe account
        #[arg(long, default_value = "default")]
        stripe_account: String,
        /// Its contract with Stripe knows no minimum charge
        #[arg(long)]
        no_minimum: bool,
        /// What the organisation is called in answers that name it, up to 64 letters and digits; derived unless set
        #[arg(long, value_parser = organization)]
        organization: Option<String>,
    },
}

#[derive(Subcommand)]
enum KeysCommand {
    /// Make a key and print it, once
    Create {
        #[arg(long)]
        merchant: MerchantId,
        /// stripe_secret, stripe_publishable, offers, shop, customer, bokamera, commerce_layer or native
        #[arg(long)]
        kind: KeyKind,
        /// payments:read, payments:write, ledger:read, admin, approve, operator
        #[arg(
            long,
            value_delimiter = ',',
            default_value = "payments:read,payments:write"
        )]
        scopes: Vec<Scope>,
        /// Whom a customer's token speaks for
        #[arg(long)]
        customer: Option<String>,
    },
    /// End a key
    Revoke { key_id: String },
}

fn main() -> ExitCode {
    // Where tests let it die; a program that is built to be served has no such points.
    let _points = fail::has_failpoints().then(fail::FailScenario::setup);
    let arguments = Arguments::parse();
    let config = match Config::load() {
        Ok(config) => config,
        Err(errors) => {
            eprintln!("counterfoil: {errors}");
            return ExitCode::from(2);
        }
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("counterfoil: no runtime: {error}");
            return ExitCode::from(2);
        }
    };
    match runtime.block_on(run(arguments.command, config)) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("counterfoil: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(command: Command, config: Config) -> anyhow::Result<ExitCode> {
    let config = match command {
        Command::Serve | Command::Sandbox | Command::Migrate | Command::Openapi => config,
        _ => sandbox::beside(config)?,
    };
    let done = match command {
        Command::Audit(AuditCommand::Verify { beside, json }) => {
            return Ok(audited(&config, *beside, json).await);
        }
        Command::Ledger(command) => {
            let balanced = match database(&config) {
                Ok(url) => ledger::run(command, &config, &url).await,
                Err(error) => Err(error),
            };
            return Ok(ended(balanced));
        }
        Command::Export(command) => {
            let exported = match database(&config) {
                Ok(url) => export::run(*command, &config, &url).await,
                Err(error) => Err(error),
            };
            return Ok(ended(exported.map(|()| true)));
        }
        Command::Reconcile(wanted) => {
            let clean = match database(&config) {
                Ok(url) => reconcile::run(&config, &url, *wanted).await,
                Err(error) => Err(error),
            };
            return Ok(ended(clean));
        }
        Command::Replay(wanted) => {
            let right = match database(&config) {
                Ok(url) => replay::run(&url, *wanted).await,
                Err(error) => Err(error),
            };
            return Ok(ended(right));
        }
        Command::Serve => serve::run(config.clone(), telemetry::init(&config.log)?).await,
        Command::Sandbox => sandbox::run(config.clone(), telemetry::init(&config.log)?).await,
        Command::Migrate => {
            let url = config
                .database_url
                .context("DATABASE_URL is needed: the database to migrate")?;
            serve::migrate(url.expose_secret()).await?;
            println!("the schema is current");
            Ok(())
        }
        Command::Openapi => {
            print!(
                "{}",
                openapi::text(&openapi::document(&service::catalogue()))
            );
            Ok(())
        }
        Command::Events(command) => read_history(command, &config).await,
        Command::Merchants(MerchantsCommand::Put {
            id,
            name,
            stripe_account,
            no_minimum,
            organization,
        }) => {
            let name = name.unwrap_or_else(|| id.to_string());
            no_card_number("--name", &name)?;
            let merchant = Merchant {
                id,
                name,
                stripe_account,
                enforce_minimum: !no_minimum,
                organization,
            };
            let seal_key = config
                .seal_key
                .clone()
                .context("COUNTERFOIL_SEAL_KEY is needed")?;
            keys::put_merchant(&database(&config)?, &seal_key, &merchant).await
        }
        Command::Keys(command) => change_keys(command, &config).await,
        Command::Inbox(command) => inbox::run(command, &database(&config)?).await,
        Command::Bank(command) => bank::run(command, &config, &database(&config)?).await,
        Command::Parked(command) => settle_by_hand(command, &config).await,
    };
    done.map(|()| ExitCode::SUCCESS)
}

async fn audited(config: &Config, beside: Beside, json: bool) -> ExitCode {
    let form = if json { Form::Json } else { Form::Words };
    let clean = match database(config) {
        Ok(url) => audit::verify(config, &url, beside, form).await,
        Err(error) => Err(error),
    };
    ended(clean)
}

/// An audit has three ends, and so have a reconciliation, a trial balance and a replay, and so three exit codes.
fn ended(clean: anyhow::Result<bool>) -> ExitCode {
    match clean {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("counterfoil: {error:#}");
            ExitCode::from(2)
        }
    }
}

async fn read_history(command: EventsCommand, config: &Config) -> anyhow::Result<()> {
    let url = database(config)?;
    let form = |json| if json { Form::Json } else { Form::Words };
    match command {
        EventsCommand::Tail {
            merchant,
            last,
            follow,
            json,
        } => events::tail(&url, merchant.as_deref(), last, follow, form(json)).await,
        EventsCommand::Show {
            name,
            merchant,
            json,
        } => events::show(&url, merchant.as_deref(), &name, form(json)).await,
    }
}

async fn change_keys(command: KeysCommand, config: &Config) -> anyhow::Result<()> {
    let url = database(config)?;
    let seal_key = config
        .seal_key
        .clone()
        .context("COUNTERFOIL_SEAL_KEY is needed")?;
    match command {
        KeysCommand::Create {
            merchant,
            kind,
            scopes,
            customer,
        } => {
            keys::create(
                &url,
                &seal_key,
                &merchant,
                kind,
                &scopes,
                customer.as_deref(),
            )
            .await
        }
        KeysCommand::Revoke { key_id } => keys::revoke(&url, &seal_key, &key_id).await,
    }
}

async fn settle_by_hand(command: ParkedCommand, config: &Config) -> anyhow::Result<()> {
    let url = database(config)?;
    let form = |json| if json { Form::Json } else { Form::Words };
    match command {
        ParkedCommand::List {
            merchant,
            all,
            json,
        } => parked::list(&url, merchant.as_ref(), all, form(json)).await,
        ParkedCommand::Show { intention, json } => parked::show(&url, intention, form(json)).await,
        ParkedCommand::Settle {
            intention,
            happened,
            did_not_happen,
            by,
            because,
        } => {
            no_card_number("--as", &by)?;
            no_card_number("--because", &because)?;
            let outcome = parked::outcome(happened, did_not_happen)?;
            parked::settle(config, &url, intention, outcome, &by, because).await
        }
        ParkedCommand::Approve { intention, by } => {
            no_card_number("--as", &by)?;
            parked::approve(config, &url, intention, &by).await
        }
    }
}

/// The configured database, or the running sandbox's.
fn database(config: &Config) -> anyhow::Result<String> {
    match &config.database_url {
        Some(url) => Ok(url.expose_secret().to_owned()),
        None => Postgres::running_url(config),
    }
}

/// What is typed here is kept like what comes through a door. It is not repeated: a terminal is a log too.
fn no_card_number(option: &str, text: &str) -> anyhow::Result<()> {
    anyhow::ensure!(
        !firewall::holds_card_number(text),
        "{option} holds what looks like a card number: that is kept nowhere"
    );
    Ok(())
}

fn organization(text: &str) -> Result<String, String> {
    let plain = (1..=64).contains(&text.len()) && text.bytes().all(|it| it.is_ascii_alphanumeric());
    plain
        .then(|| text.to_owned())
        .ok_or_else(|| "1 to 64 letters and digits".to_owned())
}
