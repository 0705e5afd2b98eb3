//! The service as a process that dies where it is told to.

use crate::support::{World, seal_key, until};
use counterfoil::ops::{fixtures, sandbox};
use secrecy::ExposeSecret;
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use tokio::net::TcpStream;

/// What a process dies of at a point: it aborts.
const ABORTED: i32 = 6;

pub struct Doomed(Child);

impl Doomed {
    /// The program on the world's database and simulator, with these points in `FAILPOINTS`.
    pub fn spawn(world: &World, address: SocketAddr, points: &str) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_counterfoil"));
        command
            .arg("serve")
            .env_clear()
            .env("FAILPOINTS", points)
            .env("COUNTERFOIL_LISTEN", address.to_string())
            .env("DATABASE_URL", &world.database_url)
            .env("COUNTERFOIL_RATE_LIMIT", "0")
            .env("COUNTERFOIL_WEBHOOK_REACH", "anywhere")
            .env("COUNTERFOIL_SEAL_KEY", hex::encode(seal_key().expose()))
            .env("COUNTERFOIL_SIGNING_KEY", hex::encode([8; 32]))
            .stdout(Stdio::null())
            .stderr(Stdio::null());
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
        Self(command.spawn().unwrap())
    }

    /// The same, once it takes connections: what is asked then is answered as soon as it serves. It is not asked whether it is
    /// ready, since it may be told to die of its first answer.
    pub async fn start(world: &World, address: SocketAddr, points: &str) -> Self {
        let mut process = Self::spawn(world, address, points);
        until("the service listens", async || {
            let ended = process.0.try_wait().unwrap();
            assert!(ended.is_none(), "the service has ended: {ended:?}");
            TcpStream::connect(address).await.is_ok()
        })
        .await;
        process
    }

    /// Waits until it has died of one of its points.
    pub async fn dies(mut self) {
        let mut ended = None;
        until("the service dies", async || {
            ended = self.0.try_wait().unwrap();
            ended.is_some()
        })
        .await;
        assert_eq!(ended.unwrap().signal(), Some(ABORTED), "{ended:?}");
    }

    /// kill -9.
    pub fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Doomed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
