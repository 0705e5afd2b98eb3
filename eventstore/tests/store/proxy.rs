//! A wire between the log and PostgreSQL that can be cut, held and deafened.

use std::path::PathBuf;
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
}

/// What has been seen on it.
#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    held: bool,
    client_bytes: usize,
}

pub struct Proxy {
    dir: tempfile::TempDir,
    orders: watch::Sender<Orders>,
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
        let (orders, obeyed) = watch::channel(Orders::default());
        let (saw, seen) = watch::channel(Seen::default());
        let wires = Arc::new(Mutex::new(Vec::new()));
        tokio::spawn(accept(
            listener,
            server,
            obeyed,
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
        format!("{base}?host={}", self.dir.path().display())
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
    orders: watch::Receiver<Orders>,
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
        let (orders, saw) = (orders.clone(), Arc::clone(&saw));
        let wire = tokio::spawn(async move {
            tokio::select! {
                _ = ask(client_read, server_write, orders.clone(), &saw) => {}
                _ = answer(server_read, client_write, orders) => {}
            }
        });
        wires.lock().unwrap().push(wire.abort_handle());
    }
}

async fn ask(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut orders: watch::Receiver<Orders>,
    saw: &watch::Sender<Seen>,
) -> std::io::Result<()> {
    let mut buffer = vec![0; 1 << 16];
    loop {
        let count = from.read(&mut buffer).await?;
        if count == 0 {
            return Ok(());
        }
        let bytes = &buffer[..count];
        let holds = |orders: &Orders| {
            orders
                .hold_at
                .is_some_and(|at| bytes.windows(at.len()).any(|window| window == at))
        };
        if holds(&orders.borrow()) {
            saw.send_modify(|seen| seen.held = true);
            let _ = orders.wait_for(|orders| !holds(orders)).await;
        }
        to.write_all(bytes).await?;
        saw.send_modify(|seen| seen.client_bytes += count);
    }
}

async fn answer(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    orders: watch::Receiver<Orders>,
) -> std::io::Result<()> {
    let mut buffer = vec![0; 1 << 16];
    loop {
        let count = from.read(&mut buffer).await?;
        if count == 0 {
            return Ok(());
        }
        if !orders.borrow().deaf {
            to.write_all(&buffer[..count]).await?;
        }
    }
}
