//! The simulator as a program: `simulator --config FILE`.

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use simulator::{Config, Simulator};
use tokio::signal::unix::{SignalKind, signal};

/// A stateful look-alike of Stripe's HTTP API.
#[derive(Parser)]
struct Options {
    /// The configuration, a JSON file.
    #[arg(long, env = "SIMULATOR_CONFIG")]
    config: PathBuf,
    /// Where to listen, instead of what the file says.
    #[arg(long, env = "SIMULATOR_LISTEN")]
    listen: Option<SocketAddr>,
    /// Where to keep state, instead of what the file says.
    #[arg(long, env = "SIMULATOR_STATE_DIR")]
    state_dir: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .init();
    match run(Options::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("simulator: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(options: Options) -> std::io::Result<()> {
    let mut config: Config = serde_json::from_slice(&std::fs::read(&options.config)?)?;
    config.listen = options.listen.unwrap_or(config.listen);
    config.state_dir = options.state_dir.or(config.state_dir);
    let mut terminate = signal(SignalKind::terminate())?;
    let running = Simulator::start(config).await?;
    writeln!(std::io::stdout(), "listening on {}", running.url())?;
    tokio::select! {
        _ = terminate.recv() => {}
        interrupted = tokio::signal::ctrl_c() => interrupted?,
    }
    running.stop().await;
    Ok(())
}
