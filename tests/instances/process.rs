//! The program as a process of its own, so that it can be killed and paused.

use crate::support::{PATIENCE, World, seal_key, until};
use counterfoil::ops::{fixtures, sandbox};
use secrecy::ExposeSecret;
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};

pub struct Process {
    child: Child,
    pub address: SocketAddr,
}

impl Process {
    /// Starts the program on the world's database and simulator, at an address of its own, and waits until it is ready.
    pub async fn start(world: &World) -> Self {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let mut command = Command::new(env!("CARGO_BIN_EXE_counterfoil"));
        command
            .arg("serve")
            .env_clear()
            .env("COUNTERFOIL_LISTEN", address.to_string())
            .env("DATABASE_URL", &world.database_url)
            .env("COUNTERFOIL_SEAL_KEY", hex::encode(seal_key().expose()))
            .env("COUNTERFOIL_SIGNING_KEY", hex::encode([8; 32]))
            .env("COUNTERFOIL_RATE_LIMIT", "0")
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
                    format!("STRIPE_{name}_WEBHOOK_SECRET"),
                    secret.expose_secret(),
                );
        }
        let mut process = Self {
            child: command.spawn().unwrap(),
            address,
        };
        until("the program is ready", async || {
            let ended = process.child.try_wait().unwrap();
            assert!(ended.is_none(), "the program has ended");
            let ready = world.http.get(format!("http://{address}/readyz"));
            let ready = ready.timeout(PATIENCE).send().await;
            ready.is_ok_and(|answer| answer.status().is_success())
        })
        .await;
        process
    }

    /// kill -9.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// It stands still, and knows nothing of it.
    pub fn pause(&self) {
        self.signal("-STOP");
    }

    /// It goes on where it stood.
    pub fn wake(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let told = Command::new("kill")
            .arg(signal)
            .arg(self.child.id().to_string())
            .status();
        assert!(told.unwrap().success());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
