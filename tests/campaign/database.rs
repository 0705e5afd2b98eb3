//! A PostgreSQL of a campaign's own, so that it can be killed without anybody else noticing.

use crate::support::{Setup, World, serve, simulator};
use cluster::Cluster;
use counterfoil::service::MIGRATIONS;
use rustix::process::{Pid, Signal, kill_process};
use sqlx::{Connection, PgConnection};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use tokio::net::TcpListener;

/// A cluster and the directory it lives in, which goes with it.
pub struct Database {
    pub cluster: Cluster,
    _home: TempDir,
}

impl Database {
    pub fn start() -> Self {
        let home = home();
        let cluster = Cluster::start(home.path()).unwrap();
        Self {
            cluster,
            _home: home,
        }
    }

    /// The process that begins all others of the server.
    pub fn server(&self) -> Pid {
        Pid::from_raw(self.cluster.pid().cast_signed()).unwrap()
    }

    /// A signal to every process of the server at once.
    pub fn signal(&self, signal: Signal) {
        let server = self.server();
        let sessions = children(server);
        for process in std::iter::once(server).chain(sessions) {
            // A session may have ended meanwhile.
            let _ = kill_process(process, signal);
        }
    }
}

/// A directory that the server's user can walk through.
pub fn home() -> TempDir {
    let home = tempfile::tempdir().unwrap();
    fs::set_permissions(home.path(), Permissions::from_mode(0o711)).unwrap();
    home
}

/// Whether a process runs; one that waits to be reaped does not.
pub fn is_alive(process: Pid) -> bool {
    let at = PathBuf::from(format!("/proc/{}", process.as_raw_nonzero()));
    stat(&at).is_some_and(|(state, _)| state != "Z")
}

/// State and parent of a process.
fn stat(at: &Path) -> Option<(String, i32)> {
    let stat = fs::read_to_string(at.join("stat")).ok()?;
    // The name, in brackets, may hold anything; state and parent come after it.
    let mut fields = stat.rsplit(')').next()?.split_whitespace();
    Some((fields.next()?.to_owned(), fields.next()?.parse().ok()?))
}

/// The processes that a process has begun.
pub fn children(of: Pid) -> Vec<Pid> {
    let begun_by = |path: &Path| stat(path).and_then(|(_, parent)| Pid::from_raw(parent));
    let number = |path: &PathBuf| path.file_name()?.to_str()?.parse().ok();
    let processes = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    processes
        .map(|entry| entry.path())
        .filter(|path| begun_by(path) == Some(of))
        .filter_map(|path| number(&path).and_then(Pid::from_raw))
        .collect()
}

/// A whole Counterfoil on a cluster of its own.
pub async fn world_on(cluster: &Cluster, setup: Setup) -> World {
    let database_url = cluster.fresh_database("cf_campaign");
    let mut connection = PgConnection::connect(&database_url).await.unwrap();
    MIGRATIONS.run(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let simulator = simulator(address).await;
    let service = serve(listener, &database_url, &simulator, setup).await;
    World {
        service: Some(service),
        simulator,
        database_url,
        address,
        http: reqwest::Client::new(),
    }
}
