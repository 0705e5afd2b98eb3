//! The program as a process of its own, so that it can be killed and stopped.

use super::{PATIENCE, World, seal_key, until};
use counterfoil::ops::{fixtures, sandbox};
use rustix::process::{Pid, Signal, kill_process};
use secrecy::ExposeSecret;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use tokio::net::TcpStream;

/// The key of checkpoints, in the tests.
pub const SIGNING_KEY: [u8; 32] = [8; 32];
/// What a process dies of at a point where a test lets it die: it aborts.
const ABORTED: i32 = 6;

/// The program with the settings of `serve` for the world's database and simulator.
pub fn program(world: &World) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_counterfoil"));
    command
        .env_clear()
        .env("COUNTERFOIL_LISTEN", world.address.to_string())
        .env("DATABASE_URL", &world.database_url)
        .env("COUNTERFOIL_RATE_LIMIT", "0")
        .env("COUNTERFOIL_WEBHOOK_REACH", "anywhere")
        .env("COUNTERFOIL_SEAL_KEY", hex::encode(seal_key().expose()))
        .env("COUNTERFOIL_SIGNING_KEY", hex::encode(SIGNING_KEY))
        .stdin(Stdio::null());
    for merchant in fixtures::MERCHANTS {
        let name = merchant.id.to_ascii_uppercase();
        let secret = sandbox::webhook_secret(&seal_key(), merchant.id);
        command
            .env(
                format!("STRIPE_{name}_SECRET_KEY"),
                fixtures::simulator_key(merchant.id),
            )
            .env(format!("STRIPE_{name}_API_BASE"), world.simulator.url())
            .env(
                format!("STRIPE_{name}_ACCOUNT_ID"),
                fixtures::simulator_account_id(merchant.id),
            )
            .env(
                format!("STRIPE_{name}_PUBLISHABLE_KEY"),
                fixtures::simulator_publishable_key(merchant.id),
            )
            .env(
                format!("STRIPE_{name}_WEBHOOK_SECRET"),
                secret.expose_secret(),
            );
    }
    command
}

/// An address that nobody listens at.
pub fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0")
        .and_then(|free| free.local_addr())
        .unwrap()
}

/// A running `counterfoil serve`. Dropped, it is killed.
pub struct Process {
    child: Child,
    pub address: SocketAddr,
}

impl Process {
    /// Starts the program on the world's address, database and simulator, and waits until it is ready.
    pub async fn start(world: &World) -> Self {
        Self::start_at(world, world.address, &world.database_url).await
    }

    /// The same on another address, or another way to the database.
    pub async fn start_at(world: &World, address: SocketAddr, database_url: &str) -> Self {
        let mut command = program(world);
        command.env("DATABASE_URL", database_url);
        Self::spawn(command, address).ready(world).await
    }

    /// Starts the program with these settings and this address, silently, and does not wait for it.
    pub fn spawn(mut command: Command, address: SocketAddr) -> Self {
        command.stdout(Stdio::null()).stderr(Stdio::null());
        Self::logging(command, address)
    }

    /// The same, and it says what it says where the command lets it.
    pub fn logging(mut command: Command, address: SocketAddr) -> Self {
        command
            .arg("serve")
            .env("COUNTERFOIL_LISTEN", address.to_string());
        Self {
            child: command.spawn().unwrap(),
            address,
        }
    }

    /// Waits until it is ready.
    pub async fn ready(mut self, world: &World) -> Self {
        let ready = format!("http://{}/readyz", self.address);
        until("the service is ready", async || {
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none(), "the service has ended: {ended:?}");
            let asked = world.http.get(&ready).timeout(PATIENCE).send().await;
            asked.is_ok_and(|answer| answer.status().is_success())
        })
        .await;
        self
    }

    /// Waits until it takes connections: what is asked then is answered as soon as it serves. It is not asked whether it is ready,
    /// since it may be told to die of its first answer.
    pub async fn listening(mut self) -> Self {
        until("the service listens", async || {
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none(), "the service has ended: {ended:?}");
            TcpStream::connect(self.address).await.is_ok()
        })
        .await;
        self
    }

    /// Waits until it has died of one of the points where it was let die.
    pub async fn dies(mut self) {
        let mut ended = None;
        until("the service dies", async || {
            ended = self.child.try_wait().unwrap();
            ended.is_some()
        })
        .await;
        assert_eq!(ended.unwrap().signal(), Some(ABORTED), "{ended:?}");
    }

    /// kill -9: nothing is tidied up.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGSTOP: it stands still between two instructions, and knows nothing of it.
    pub fn pause(&self) {
        kill_process(Pid::from_child(&self.child), Signal::STOP).unwrap();
    }

    /// SIGCONT.
    pub fn resume(&self) {
        kill_process(Pid::from_child(&self.child), Signal::CONT).unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
