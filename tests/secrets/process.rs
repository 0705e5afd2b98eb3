//! The service as a process of its own: its log is a file, at the most talkative level there is.

use crate::support::{PATIENCE, World, seal_key, until};
use counterfoil::ops::{fixtures, sandbox};
use secrecy::ExposeSecret;
use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// The key of checkpoints, in the tests.
pub const SIGNING_KEY: [u8; 32] = [8; 32];

/// A running `counterfoil serve`. Dropped, it is killed.
pub struct Process(Child);

/// The program with the settings of `serve` for the world's database and simulator.
pub fn program(world: &World) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_counterfoil"));
    command
        .env_clear()
        .env("COUNTERFOIL_LISTEN", world.address.to_string())
        .env("DATABASE_URL", &world.database_url)
        .env("COUNTERFOIL_SEAL_KEY", hex::encode(seal_key().expose()))
        .env("COUNTERFOIL_SIGNING_KEY", hex::encode(SIGNING_KEY))
        .env("COUNTERFOIL_RATE_LIMIT", "0")
        .env("COUNTERFOIL_WEBHOOK_REACH", "anywhere");
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
    command
}

impl Process {
    /// Starts it, and waits until it is ready. `settings` come on top of the usual ones.
    pub async fn start(world: &World, log: &Path, settings: &[(&str, &str)]) -> Self {
        let file = File::options().create(true).append(true).open(log).unwrap();
        let mut command = program(world);
        command
            .arg("serve")
            .envs(settings.iter().copied())
            .stdout(file.try_clone().unwrap())
            .stdin(Stdio::null())
            .stderr(file);
        let mut process = Self(command.spawn().unwrap());
        until("the service is ready", async || {
            let running = process.0.try_wait().unwrap().is_none();
            assert!(running, "the service has ended; see {}", log.display());
            let ready = world.get("/readyz").timeout(PATIENCE).send().await;
            ready.is_ok_and(|answer| answer.status().is_success())
        })
        .await;
        process
    }

    /// kill -9: nothing is tidied up.
    pub fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
