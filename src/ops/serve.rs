//! `counterfoil serve` and `counterfoil migrate`: the service where everything it needs is given to it.

use anyhow::{Context as _, bail};
use metrics_exporter_prometheus::PrometheusHandle;
use secrecy::ExposeSecret;
use sqlx::{Connection, PgConnection};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::config::{Config, Key32, StripeAccount};
use crate::gateway::{Account, GatewayOptions};
use crate::http::server::Limits;
use crate::ids::Ids;
use crate::outbound;
use crate::service::{self, MIGRATIONS, Opened, Parts, Service};
use crate::use_cases::{Options, Polling, Recovery, WebhookSecrets};

/// Serves until it is told to stop.
///
/// # Errors
/// What is missing, wrong or out of reach.
pub async fn run(config: Config, metrics: PrometheusHandle) -> anyhow::Result<()> {
    config.complete_for_serving()?;
    let (Some(url), Some(seal_key)) = (&config.database_url, config.seal_key.clone()) else {
        bail!("the configuration is not complete");
    };
    let url = url.expose_secret().to_owned();
    let pool = eventstore::pool(&url, eventstore::Role::Owner, 1)
        .await
        .context("the database (DATABASE_URL)")?;
    let pending = service::pending(&pool).await?;
    pool.close().await;
    if pending > 0 {
        bail!("the database lacks {pending} migrations: run `counterfoil migrate` first");
    }
    let listener = listen(config.listen).await?;
    let service = Opened::new(parts(&config, listener, url, seal_key, metrics)?)
        .await?
        .serve()?;
    tracing::info!(address = %service.address(), "serving");
    until_told_to_stop(service).await
}

/// Brings the schema up to date.
///
/// # Errors
/// When the database cannot be reached, or was migrated by a newer program.
pub async fn migrate(database_url: &str) -> anyhow::Result<()> {
    let mut connection = PgConnection::connect(database_url)
        .await
        .context("the database (DATABASE_URL)")?;
    MIGRATIONS
        .run(&mut connection)
        .await
        .context("migrations")?;
    connection.close().await?;
    Ok(())
}

/// The address to listen on.
///
/// # Errors
/// When it is taken, or not ours.
pub async fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address} (COUNTERFOIL_LISTEN)"))
}

/// The parts of a service, as configured.
///
/// # Errors
/// When an account's API base is no address.
pub fn parts(
    config: &Config,
    listener: TcpListener,
    database_url: String,
    seal_key: Key32,
    metrics: PrometheusHandle,
) -> anyhow::Result<Parts> {
    let (accounts, webhook_secrets) = accounts(config)?;
    Ok(Parts {
        listener,
        public_url: config.public_url.clone(),
        database_url,
        seal_key,
        accounts,
        webhook_secrets,
        gateway: gateway_options(config),
        options: options(config),
        outbound: outbound::Options {
            reach: config.webhook_reach,
            ..outbound::Options::default()
        },
        recovery: Recovery::default(),
        settle_every: config.settle_every,
        reconcile_every: config.reconcile_every,
        limits: Limits {
            connections_max: config.connections_max,
            drain_within: config.timeouts.drain,
            ..Limits::default()
        },
        ids: Ids::system(),
        metrics,
    })
}

/// The Stripe accounts by configuration name, and their webhooks' secrets.
///
/// # Errors
/// When an account's API base is no address.
pub fn accounts(config: &Config) -> anyhow::Result<(HashMap<String, Account>, WebhookSecrets)> {
    let (mut accounts, mut webhook_secrets) = (HashMap::new(), WebhookSecrets::new());
    let default = config
        .stripe
        .default
        .iter()
        .map(|account| ("default", account));
    let named = config
        .stripe
        .named
        .iter()
        .map(|(name, account)| (name.as_str(), account));
    for (name, it) in default.chain(named) {
        accounts.insert(name.to_owned(), account(it)?);
        webhook_secrets.insert(name.to_owned(), it.webhook_secret.iter().cloned().collect());
    }
    Ok((accounts, webhook_secrets))
}

/// How patient to be with Stripe, as configured.
pub fn gateway_options(config: &Config) -> GatewayOptions {
    GatewayOptions::with_timeout(config.timeouts.stripe)
}

/// How long callers wait, as configured.
pub fn options(config: &Config) -> Options {
    Options {
        answer_within: config.timeouts.stripe + Duration::from_secs(5),
        join_within: config.timeouts.join,
        rate_limit: config.rate_limit,
        polling: config.event_poll.map(Polling::every),
        ..Options::default()
    }
}

fn account(it: &StripeAccount) -> anyhow::Result<Account> {
    let base = it.api_base.parse().context("STRIPE_API_BASE")?;
    Ok(Account {
        secret_key: it.secret_key.clone(),
        base,
        id: it.account_id.clone(),
        publishable_key: it.publishable_key.clone(),
    })
}

/// Serves until Ctrl-C or SIGTERM, then finishes what has begun.
///
/// # Errors
/// When the signals cannot be heard.
pub async fn until_told_to_stop(service: Service) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("stopping: finishing what has begun");
    service.stop().await;
    Ok(())
}
