//! The service as a process of its own, so that it can be killed and stopped.

use super::{PATIENCE, World, seal_key, until};
use counterfoil::ops::{fixtures, sandbox};
use rustix::process::{Pid, Signal, kill_process};
use secrecy::ExposeSecret;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

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
        let mut command = Command::new(env!("CARGO_BIN_EXE_counterfoil"));
        command
            .arg("serve")
            .env_clear()
            .env("COUNTERFOIL_LISTEN", address.to_string())
            .env("DATABASE_URL", database_url)
            .env("COUNTERFOIL_RATE_LIMIT", "0")
            .env("COUNTERFOIL_SEAL_KEY", hex::encode(seal_key().expose()))
            .env("COUNTERFOIL_SIGNING_KEY", hex::encode([8; 32]))
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        for merchant in fixtures::MERCHANTS {
            let name = merchant.id.to_ascii_uppercase();
            command
                .env(
                    format!("STRIPE_{name}_SECRET_KEY"),
                    fixtures::simulator_key(merchant.id),
                )
                .env(format!("STRIPE_{name}_API_BASE"), world.simulator.url())
                .env(
                    format!("STRIPE_{name}_WEBHOOK_SECRET"),
                    sandbox::webhook_secret(&seal_key(), merchant.id).expose_secret(),
                );
        }
        let mut process = Self {
            child: command.spawn().unwrap(),
            address,
        };
        let ready = format!("http://{address}/readyz");
        until("the service is ready", async || {
            assert!(
                process.child.try_wait().unwrap().is_none(),
                "the service has ended"
            );
            let asked = world.http.get(&ready).timeout(PATIENCE).send().await;
            asked.is_ok_and(|answer| answer.status().is_success())
        })
        .await;
        process
    }

    /// kill -9.
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
