//! A stateful look-alike of Stripe's HTTP API, for the sandbox and for tests: payment intents, payment methods, charges, refunds, balance
//! transactions, events, webhook endpoints and signed deliveries, with Stripe's idempotency, state machine, validation and test cards.
//!
//! It validates what it receives as Stripe does, keeps its state over a restart, has a clock that can be advanced (see [`admin`]), and does harm
//! on request. What it answers has the fields of Stripe's schemas of 2023-08-16 and what newer clients require besides.
//!
//! Where it knowingly differs from Stripe: releasing a held payment makes no refund object; search sees every write at once; a checkout has no
//! shipping, taxes or discounts; a confirmation needs no `return_url` for cards; webhook endpoints of the configuration are not listed; what
//! belongs to Connect is an unknown parameter.

#![warn(missing_docs)]
// The objects are written out as Stripe documents them, in one `json!` each.
#![recursion_limit = "256"]

pub mod admin;
mod answers;
mod api;
mod cards;
pub mod config;
mod dump;
mod errors;
mod faults;
mod flow;
mod forging;
mod ids;
mod money;
mod objects;
mod pages;
mod params;
mod server;
mod state;
mod webhooks;
mod wire;

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{FlockOperation, flock};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use crate::api::Caller;
pub use crate::config::{Account, Config, PlantedIntent, Settlement, WebhookEndpoint};
use crate::faults::Faults;
use crate::state::{AccountCell, Clock};

/// Everything that requests share.
pub(crate) struct App {
    pub(crate) accounts: Vec<Arc<AccountCell>>,
    keys: HashMap<String, (Arc<AccountCell>, Caller)>,
    pub(crate) clock: Clock,
    pub(crate) faults: Faults,
    /// Held as long as the state is in use, so that no second simulator takes it.
    _lock: Option<File>,
}

/// The simulator; see [`Simulator::start`].
pub struct Simulator;

/// A simulator that is answering. Dropping it stops it at once.
pub struct Running {
    app: Arc<App>,
    addr: SocketAddr,
    stop: watch::Sender<bool>,
    serving: AbortOnDrop,
    _working: JoinSet<()>,
}

struct AbortOnDrop(JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Simulator {
    /// Loads the state, and answers from then on.
    ///
    /// # Errors
    /// When two accounts share an id or a key, the address cannot be listened on, or the state directory is in use, unreadable or read-only.
    pub async fn start(config: Config) -> io::Result<Running> {
        let listener = TcpListener::bind(config.listen).await?;
        let addr = listener.local_addr()?;
        let app = Arc::new(App::open(&config, &base_url(addr))?);
        app.run_due()?;
        let client = webhooks::client().map_err(io::Error::other)?;
        let mut working = JoinSet::new();
        for cell in &app.accounts {
            let hiring = webhooks::hire(Arc::clone(&app), Arc::clone(cell), client.clone());
            working.spawn(async move { match hiring.await {} });
        }
        let ticking = server::tick(Arc::clone(&app));
        working.spawn(async move { match ticking.await {} });
        let (stop, stopping) = watch::channel(false);
        let serving = tokio::spawn(server::serve(Arc::clone(&app), listener, stopping));
        Ok(Running {
            app,
            addr,
            stop,
            serving: AbortOnDrop(serving),
            _working: working,
        })
    }
}

impl Running {
    /// Where it answers, with the trailing slash that clients want: `http://127.0.0.1:PORT/`.
    pub fn url(&self) -> String {
        base_url(self.addr)
    }

    /// The address that it listens on.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Delivers events of an account to this endpoint as well, from now on and until the process ends.
    ///
    /// # Errors
    /// When there is no such account.
    pub fn add_webhook_endpoint(&self, account: &str, endpoint: WebhookEndpoint) -> io::Result<()> {
        let cells = &self.app.accounts;
        let cell = cells.iter().find(|cell| cell.settings.id == account);
        cell.ok_or_else(|| wrong("there is no such account"))?
            .add_endpoint(endpoint);
        Ok(())
    }

    /// Stops: no new connections, open requests end, held ones are released. All that was answered is in the state directory already.
    pub async fn stop(mut self) {
        let _ = self.stop.send(true);
        // A panic of the server has been reported where it happened.
        let _ = (&mut self.serving.0).await;
        self._working.shutdown().await;
    }
}

fn base_url(addr: SocketAddr) -> String {
    format!("http://{addr}/")
}

impl App {
    fn open(config: &Config, base_url: &str) -> io::Result<Self> {
        let lock = match &config.state_dir {
            Some(dir) => Some(take(dir)?),
            None => None,
        };
        let kept = config.state_dir.as_ref().map(|dir| dir.join("clock.json"));
        let clock = Clock::open(kept, config.behind_s)?;
        let mut accounts: Vec<Arc<AccountCell>> = Vec::new();
        let mut keys = HashMap::new();
        for settings in &config.accounts {
            check_id(&settings.id)?;
            if accounts.iter().any(|cell| cell.settings.id == settings.id) {
                return Err(wrong("two accounts have the same id"));
            }
            let cell = AccountCell::open(settings.clone(), config, base_url, clock.now())?;
            let cell = Arc::new(cell);
            let publishable = settings
                .publishable_key
                .iter()
                .map(|key| (key, Caller::Publishable));
            for (key, caller) in publishable.chain([(&settings.secret_key, Caller::Secret)]) {
                if keys
                    .insert(key.clone(), (Arc::clone(&cell), caller))
                    .is_some()
                {
                    return Err(wrong("two keys are the same"));
                }
            }
            accounts.push(cell);
        }
        Ok(Self {
            accounts,
            keys,
            clock,
            faults: Faults::default(),
            _lock: lock,
        })
    }

    pub(crate) fn account_of_key(&self, key: &str) -> Option<(Arc<AccountCell>, Caller)> {
        self.keys.get(key).cloned()
    }

    /// Does what has become due on every account.
    pub(crate) fn run_due(&self) -> io::Result<()> {
        let now = self.clock.now();
        self.accounts
            .iter()
            .try_for_each(|cell| flow::run_due(cell, &mut cell.lock(), now))
    }
}

/// Takes a state directory for this process alone; the kernel gives it back whatever ends the process.
fn take(dir: &Path) -> io::Result<File> {
    std::fs::create_dir_all(dir)?;
    let file = File::create(dir.join("lock"))?;
    flock(&file, FlockOperation::NonBlockingLockExclusive)
        .map_err(|_| io::Error::other("another simulator uses the state directory"))?;
    Ok(file)
}

/// An account's id is part of a file's name.
fn check_id(id: &str) -> io::Result<()> {
    let plain = |it: char| it.is_ascii_alphanumeric() || it == '_';
    if id.is_empty() || !id.chars().all(plain) {
        return Err(wrong(
            "an account's id is made of letters, digits and underscores",
        ));
    }
    Ok(())
}

fn wrong(message: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, message)
}
