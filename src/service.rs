//! The service, put together: store, gateway, use cases, doors, workers. What `serve`, the sandbox and the tests start.

use futures::FutureExt;
use futures::future::BoxFuture;
use metrics_exporter_prometheus::PrometheusHandle;
use sqlx::migrate::Migrator;
use std::collections::{HashMap, HashSet};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::config::Key32;
use crate::gateway::{Account, Gateway, GatewayOptions};
use crate::http::docs::{self, Document};
use crate::http::health::{self, Check, Health, Readiness};
use crate::http::routes::{Catalogue, Routes};
use crate::http::server::{self, Drained, Limits};
use crate::http::{observed, openapi};
use crate::ids::Ids;
use crate::outbound::{self, Sender};
use crate::store::Store;
use crate::use_cases::{App, Options, Outbound, Recovery, WebhookSecrets};
use crate::{doors, journal, ledger_api, webhooks};

/// The schema, one forward-only file per change.
pub static MIGRATIONS: Migrator = sqlx::migrate!();

/// What a service is made of.
pub struct Parts {
    pub listener: TcpListener,
    /// Where people's browsers reach the service, without a closing slash; where it listens unless given.
    pub public_url: Option<String>,
    /// Migrated already; the user may take the roles of the writer and the reader.
    pub database_url: String,
    pub seal_key: Key32,
    /// Stripe's accounts by configuration name.
    pub accounts: HashMap<String, Account>,
    pub webhook_secrets: WebhookSecrets,
    pub gateway: GatewayOptions,
    pub options: Options,
    /// How merchants' webhooks are sent.
    pub outbound: outbound::Options,
    pub recovery: Recovery,
    /// How often each account's bookings are read at Stripe; none reads them only when it is asked to.
    pub settle_every: Option<Duration>,
    pub limits: Limits,
    pub ids: Ids,
    pub metrics: PrometheusHandle,
}

/// A service that serves.
pub struct Service {
    pub app: App,
    address: SocketAddr,
    stop: CancellationToken,
    server: JoinHandle<Drained>,
    workers: Vec<JoinHandle<()>>,
    journal: eventstore::Subscription,
}

/// Why a service does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("the event log cannot be opened: {0}")]
    Store(#[from] eventstore::StoreError),
    #[error("an HTTP client cannot be made: {0}")]
    Gateway(#[from] reqwest::Error),
    #[error("the address cannot be used: {0}")]
    Listen(#[from] io::Error),
    #[error(
        "a live Stripe key is configured, and the database holds the sandbox's fixture keys: they must never meet"
    )]
    LiveKeyBesideFixtures,
    #[error("the database cannot be read: {0}")]
    Database(#[from] sqlx::Error),
}

/// A service that is put together and does not serve yet.
pub struct Opened {
    pub app: App,
    listener: TcpListener,
    settle_every: Option<Duration>,
    limits: Limits,
    metrics: PrometheusHandle,
}

impl Opened {
    /// Opens store, gateway and use cases.
    ///
    /// # Errors
    /// [`StartError`]; nothing is left running.
    pub async fn new(parts: Parts) -> Result<Self, StartError> {
        let live_accounts: HashSet<String> = parts
            .accounts
            .iter()
            .filter(|(_, account)| account.is_live())
            .map(|(name, _)| name.clone())
            .collect();
        let live = !live_accounts.is_empty();
        let outbound = Outbound {
            sender: Sender::new(&parts.outbound)?,
            options: parts.outbound,
            live_accounts,
        };
        let public_url = match parts.public_url {
            Some(url) => url,
            None => reached_at(parts.listener.local_addr()?),
        };
        let gateway = Gateway::new(parts.gateway, parts.accounts)?;
        let store = Store::open(&parts.database_url, parts.seal_key.expose(), parts.ids).await?;
        if live && store.keys.holds_fixtures().await? {
            return Err(StartError::LiveKeyBesideFixtures);
        }
        let app = App::new(
            store,
            gateway,
            parts.webhook_secrets,
            parts.options,
            outbound,
            parts.recovery,
            public_url,
        );
        Ok(Self {
            app,
            listener: parts.listener,
            settle_every: parts.settle_every,
            limits: parts.limits,
            metrics: parts.metrics,
        })
    }

    /// Starts the workers, and serves.
    ///
    /// # Errors
    /// When the listener has lost its address.
    pub fn serve(self) -> Result<Service, StartError> {
        let Self {
            app,
            listener,
            settle_every,
            limits,
            metrics,
        } = self;
        let address = listener.local_addr()?;
        let stop = app.stopping().clone();
        let mut workers = vec![
            tokio::spawn(worker(app.clone(), stop.clone(), |app, stop| {
                async move { app.run_inbox(stop).await }.boxed()
            })),
            tokio::spawn(worker(app.clone(), stop.clone(), |app, stop| {
                async move { app.run_recovery(stop).await }.boxed()
            })),
            tokio::spawn(worker(app.clone(), stop.clone(), |app, stop| {
                async move { app.run_deliveries(stop).await }.boxed()
            })),
            tokio::spawn(worker(app.clone(), stop.clone(), |app, stop| {
                async move { app.run_claims(stop).await }.boxed()
            })),
            tokio::spawn(worker(app.clone(), stop.clone(), |app, stop| {
                async move { app.run_presence(stop).await }.boxed()
            })),
            tokio::spawn(worker(app.clone(), stop.clone(), |app, stop| {
                async move { app.run_polling(stop).await }.boxed()
            })),
        ];
        if let Some(every) = settle_every {
            let settling = worker(app.clone(), stop.clone(), move |app, stop| {
                async move { app.run_settling(every, stop).await }.boxed()
            });
            workers.push(tokio::spawn(settling));
        }
        let journal = journal::follow(app.store());
        let health = Health {
            readiness: Arc::new(Ready { app: app.clone() }),
            metrics,
        };
        let router = routes(app.clone(), health).router();
        let server = tokio::spawn(server::serve(
            listener,
            observed(router),
            limits,
            stop.clone(),
        ));
        Ok(Service {
            app,
            address,
            stop,
            server,
            workers,
            journal,
        })
    }
}

impl Service {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes no more requests, finishes what has begun, and closes everything.
    pub async fn stop(self) {
        self.stop.cancel();
        match self.server.await {
            Ok(Drained::Whole) => {}
            Ok(Drained::Cut { connections }) => {
                tracing::warn!(connections, "some requests did not end in time")
            }
            Err(error) => tracing::error!(%error, "the server failed"),
        }
        for worker in self.workers {
            if let Err(error) = worker.await {
                tracing::error!(%error, "a worker failed");
            }
        }
        self.app.drain().await;
        self.journal.stop().await;
        self.app.store().close().await;
    }
}

/// Where a browser on the same machine reaches what listens at `address`.
fn reached_at(address: SocketAddr) -> String {
    if address.ip().is_unspecified() {
        format!("http://localhost:{}", address.port())
    } else {
        format!("http://{address}")
    }
}

/// What speaks for the application.
fn of_app() -> Routes<App> {
    doors::routes()
        .merge(ledger_api::routes())
        .merge(webhooks::routes())
}

/// All that is served, and the description of it.
fn routes(app: App, health: Health) -> Routes {
    let routes = of_app()
        .with_state(app)
        .merge(health::routes().with_state(health));
    let described = Document::new(&openapi::document(&catalogue()));
    routes.merge(docs::routes().with_state(described))
}

/// The place and the description of everything that is served.
pub fn catalogue() -> Catalogue {
    of_app()
        .catalogue()
        .and(health::routes().catalogue())
        .and(docs::routes().catalogue())
}

/// A worker that panics is a bug, but no reason to stop working: it starts again.
async fn worker(
    app: App,
    stop: CancellationToken,
    work: impl Fn(App, CancellationToken) -> BoxFuture<'static, ()>,
) {
    while !stop.is_cancelled() {
        let run = tokio::spawn(work(app.clone(), stop.clone()));
        if let Err(error) = run.await {
            tracing::error!(%error, "a worker failed and starts again");
            metrics::counter!("counterfoil_worker_failures_total").increment(1);
            tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        }
    }
}

struct Ready {
    app: App,
}

impl Readiness for Ready {
    fn checks(&self) -> BoxFuture<'_, Vec<Check>> {
        async move {
            let store = self.app.store();
            let database = store
                .reader()
                .head()
                .await
                .map(drop)
                .map_err(|_| "the event log cannot be read");
            let migrations = match pending(store.pool()).await {
                Ok(0) => Ok(()),
                Ok(_) => Err("the schema is not current: run `counterfoil migrate`"),
                Err(_) => Err("the schema's version cannot be read"),
            };
            let writer = if store.log().is_open() {
                Ok(())
            } else {
                Err("the log's writer has ended")
            };
            vec![
                Check {
                    name: "database",
                    result: database,
                },
                Check {
                    name: "migrations",
                    result: migrations,
                },
                Check {
                    name: "writer",
                    result: writer,
                },
            ]
        }
        .boxed()
    }
}

/// How many migrations the database lacks.
///
/// # Errors
/// When the database cannot be read.
pub async fn pending(pool: &sqlx::PgPool) -> Result<usize, sqlx::Error> {
    let known: bool = sqlx::query_scalar("select to_regclass('_sqlx_migrations') is not null")
        .fetch_one(pool)
        .await?;
    let applied: HashSet<i64> = if known {
        let versions: Vec<i64> =
            sqlx::query_scalar("select version from _sqlx_migrations where success")
                .fetch_all(pool)
                .await?;
        versions.into_iter().collect()
    } else {
        HashSet::new()
    };
    Ok(MIGRATIONS
        .iter()
        .filter(|migration| !applied.contains(&migration.version))
        .count())
}
