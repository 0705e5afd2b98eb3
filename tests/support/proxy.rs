//! A wire between a program and PostgreSQL that can be cut, held and deafened, and that loses an answer on request. The event
//! store's tests use it as well.
#![allow(dead_code, reason = "each test binary uses its own part of this")]

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use cluster::Cluster;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::AbortHandle;

/// What the wire does; changed while it carries.
#[derive(Debug, Clone, Default)]
struct Orders {
    /// New connections are closed at once.
    refuse: bool,
    /// What the server says is swallowed.
    deaf: bool,
    /// What the client says is held back from the first bytes on that contain this.
    hold_at: Option<&'static [u8]>,
    /// The next request of a client that introduced itself with these bytes loses its answer.
    lose: Option<(&'static [u8], Loss)>,
}

/// When a wire is cut that loses an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// The server has not been asked.
    Unasked,
    /// The server has been asked; whether it gets to do it, nobody knows.
    Asked,
    /// The server has done it and has answered: a commit is durable, and nobody has heard.
    Answered,
}

/// What has been seen on it.
#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    held: bool,
    client_bytes: usize,
    lost: usize,
}

pub struct Proxy {
    dir: tempfile::TempDir,
    orders: Arc<watch::Sender<Orders>>,
    seen: watch::Receiver<Seen>,
    wires: Arc<Mutex<Vec<AbortHandle>>>,
}

impl Proxy {
    pub async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(dir.path().join(".s.PGSQL.5432")).unwrap();
        let server = Cluster::shared_for_tests()
            .socket_dir()
            .join(".s.PGSQL.5432");
        let orders = Arc::new(watch::Sender::new(Orders::default()));
        let (saw, seen) = watch::channel(Seen::default());
        let wires = Arc::new(Mutex::new(Vec::new()));
        tokio::spawn(accept(
            listener,
            server,
            Arc::clone(&orders),
            Arc::new(saw),
            Arc::clone(&wires),
        ));
        Self {
            dir,
            orders,
            seen,
            wires,
        }
    }

    /// The same database, through the wire.
    pub fn url(&self, url: &str) -> String {
        let (base, _) = url
            .split_once("?host=")
            .expect("the cluster's URLs name a socket directory");
        format!("{base}?host={}&sslmode=disable", self.dir.path().display())
    }

    /// Ends every connection, at both ends.
    pub fn cut(&self) {
        for wire in self.wires.lock().unwrap().drain(..) {
            wire.abort();
        }
    }

    pub fn refuse(&self, refuse: bool) {
        self.orders.send_modify(|orders| orders.refuse = refuse);
    }

    pub fn deaf(&self, deaf: bool) {
        self.orders.send_modify(|orders| orders.deaf = deaf);
    }

    pub fn hold_at(&self, bytes: Option<&'static [u8]>) {
        self.orders.send_modify(|orders| orders.hold_at = bytes);
    }

    /// The next request of a client that introduced itself with these bytes loses its answer, and its wire is cut.
    pub fn lose(&self, of: &'static [u8], loss: Loss) {
        self.orders
            .send_modify(|orders| orders.lose = Some((of, loss)));
    }

    /// How many answers have been lost.
    pub fn lost(&self) -> usize {
        self.seen.borrow().lost
    }

    /// Until something is held back.
    pub async fn held(&self) {
        self.seen.clone().wait_for(|seen| seen.held).await.unwrap();
    }

    /// How much clients have sent and the server has been given.
    pub fn client_bytes(&self) -> usize {
        self.seen.borrow().client_bytes
    }

    /// Until clients have sent more than that.
    pub async fn carried_more_than(&self, bytes: usize) {
        self.seen
            .clone()
            .wait_for(|seen| seen.client_bytes > bytes)
            .await
            .unwrap();
    }
}

async fn accept(
    listener: UnixListener,
    server: PathBuf,
    orders: Arc<watch::Sender<Orders>>,
    saw: Arc<watch::Sender<Seen>>,
    wires: Arc<Mutex<Vec<AbortHandle>>>,
) {
    while let Ok((client, _)) = listener.accept().await {
        if orders.borrow().refuse {
            continue;
        }
        let Ok(upstream) = UnixStream::connect(&server).await else {
            continue;
        };
        let (client_read, client_write) = client.into_split();
        let (server_read, server_write) = upstream.into_split();
        let (orders, saw) = (Arc::clone(&orders), Arc::clone(&saw));
        let wire = tokio::spawn(async move {
            let doomed = AtomicBool::new(false);
            tokio::select! {
                _ = ask(client_read, server_write, &orders, &saw, &doomed) => {}
                _ = answer(server_read, client_write, orders.subscribe(), &doomed) => {}
            }
        });
        wires.lock().unwrap().push(wire.abort_handle());
    }
}

async fn ask(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    orders: &watch::Sender<Orders>,
    saw: &watch::Sender<Seen>,
    doomed: &AtomicBool,
) -> std::io::Result<()> {
    let mut buffer = vec![0; 1 << 16];
    let mut introduction: Option<Vec<u8>> = None;
    loop {
        let count = from.read(&mut buffer).await?;
        if count == 0 {
            return Ok(());
        }
        let bytes = &buffer[..count];
        let holds = |orders: &Orders| orders.hold_at.is_some_and(|at| contains(bytes, at));
        if holds(&orders.borrow()) {
            saw.send_modify(|seen| seen.held = true);
            let _ = orders.subscribe().wait_for(|orders| !holds(orders)).await;
        }
        let loss = introduction.as_ref().and_then(|it| taken(orders, it));
        if loss == Some(Loss::Answered) {
            doomed.store(true, Ordering::SeqCst);
        }
        if loss != Some(Loss::Unasked) {
            to.write_all(bytes).await?;
        }
        saw.send_modify(|seen| {
            seen.client_bytes += count;
            seen.lost += usize::from(loss.is_some());
        });
        if matches!(loss, Some(Loss::Asked | Loss::Unasked)) {
            return Ok(());
        }
        introduction.get_or_insert_with(|| bytes.to_vec());
    }
}

/// The loss that is ordered for a client that introduced itself so. It is struck once.
fn taken(orders: &watch::Sender<Orders>, introduction: &[u8]) -> Option<Loss> {
    let mut taken = None;
    orders.send_if_modified(|orders| {
        if let Some((of, loss)) = orders.lose
            && contains(introduction, of)
        {
            taken = Some(loss);
            orders.lose = None;
        }
        taken.is_some()
    });
    taken
}

fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}

async fn answer(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    orders: watch::Receiver<Orders>,
    doomed: &AtomicBool,
) -> std::io::Result<()> {
    let mut buffer = vec![0; 1 << 16];
    loop {
        let count = from.read(&mut buffer).await?;
        if count == 0 || doomed.load(Ordering::SeqCst) {
            return Ok(());
        }
        if !orders.borrow().deaf {
            to.write_all(&buffer[..count]).await?;
        }
    }
}
