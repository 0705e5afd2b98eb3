//! Driving a side with many callers, and what that cost.

use std::fs;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use counterfoil::ids::Ids;
use tokio::task::JoinSet;

use crate::work::{Life, STEPS, Step};

/// Something that carries out commands durably.
pub trait Side: Send + Sync + 'static {
    /// Carries out one command; an error ends the measurement.
    fn execute(&self, life: &Life, step: Step) -> impl Future<Output = Result<()>> + Send;
}

/// What callers got done in a while, and what it cost.
#[derive(Default, Clone)]
pub struct Load {
    pub commands: u64,
    pub elapsed: Duration,
    /// How long each command took, sorted.
    pub latencies: Vec<Duration>,
    pub cpu: Cpu,
}

/// Processor time, both in user and in kernel mode.
#[derive(Default, Clone, Copy)]
pub struct Cpu {
    pub service: Duration,
    pub database: Duration,
}

impl Load {
    /// Both rounds as one.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.commands += other.commands;
        self.elapsed += other.elapsed;
        self.latencies.extend(other.latencies);
        self.latencies.sort_unstable();
        self.cpu.service += other.cpu.service;
        self.cpu.database += other.cpu.database;
        self
    }

    /// Commands per second.
    pub fn rate(&self) -> f64 {
        per_second(self.commands, self.elapsed)
    }

    /// The latency, in milliseconds, that so many of a thousand commands did not exceed.
    pub fn percentile_ms(&self, per_mille: usize) -> f64 {
        let last = self.latencies.len().saturating_sub(1);
        let at = self.latencies.get(last * per_mille / 1000);
        at.map_or(0.0, Duration::as_secs_f64) * 1e3
    }

    /// Microseconds of processor time per command.
    pub fn cpu_us(&self, of: Duration) -> f64 {
        of.as_secs_f64() * 1e6 / real(self.commands.max(1))
    }

    /// How many cores were busy, of the service and of the database.
    pub fn cores(&self) -> (f64, f64) {
        let elapsed = self.elapsed.as_secs_f64().max(f64::MIN_POSITIVE);
        (
            self.cpu.service.as_secs_f64() / elapsed,
            self.cpu.database.as_secs_f64() / elapsed,
        )
    }
}

/// How many per second.
pub fn per_second(count: u64, elapsed: Duration) -> f64 {
    real(count) / elapsed.as_secs_f64().max(f64::MIN_POSITIVE)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a count for people to read; 2^53 is never reached"
)]
fn real(count: u64) -> f64 {
    count as f64
}

/// Lets `callers` callers live lives, one command after another, for `length`.
///
/// # Errors
/// The first that a command meets.
pub async fn drive<S: Side>(
    side: &Arc<S>,
    callers: usize,
    length: Duration,
    meter: &Meter,
) -> Result<Load> {
    let before = meter.read();
    let start = Instant::now();
    let mut tasks = JoinSet::new();
    for caller in 0..callers {
        tasks.spawn(call(Arc::clone(side), caller, start + length));
    }
    let mut latencies = Vec::new();
    while let Some(ended) = tasks.join_next().await {
        latencies.extend(ended??);
    }
    let elapsed = start.elapsed();
    let after = meter.read();
    latencies.sort_unstable();
    Ok(Load {
        commands: u64::try_from(latencies.len())?,
        elapsed,
        latencies,
        cpu: Cpu {
            service: after.service.saturating_sub(before.service),
            database: after.database.saturating_sub(before.database),
        },
    })
}

/// One caller. Its first life is cut short, each caller's at another step, so that callers do not walk in step.
async fn call<S: Side>(side: Arc<S>, caller: usize, deadline: Instant) -> Result<Vec<Duration>> {
    let ids = Ids::system();
    let mut latencies = Vec::new();
    let mut steps = caller % STEPS + 1;
    loop {
        let life = Life::new(&ids, caller)?;
        for step in 0..steps {
            let start = Instant::now();
            if start >= deadline {
                return Ok(latencies);
            }
            side.execute(&life, life.step(step)).await?;
            latencies.push(start.elapsed());
        }
        steps = STEPS;
    }
}

/// Reads processor times from `/proc`; all of them are zero where there is none.
pub struct Meter {
    postmaster: u32,
    ticks_per_second: u32,
}

impl Meter {
    /// For this process and the server with that process id.
    ///
    /// # Errors
    /// When the system does not say how long its clock ticks are.
    pub fn new(postmaster: u32) -> Result<Self> {
        let said = Command::new("getconf").arg("CLK_TCK").output();
        let said = said.context("getconf, which tells the length of a clock tick")?;
        let ticks_per_second = String::from_utf8_lossy(&said.stdout).trim().parse()?;
        Ok(Self {
            postmaster,
            ticks_per_second,
        })
    }

    /// What has been used up to now.
    pub fn read(&self) -> Cpu {
        let own = stat("self").map_or(0, |it| it.own);
        // The server's ended processes are counted by their parent.
        let server = stat(&self.postmaster.to_string()).map_or(0, |it| it.own + it.ended_children);
        let children = processes().filter_map(|process| stat(&process));
        let children = children.filter(|it| it.parent == self.postmaster);
        Cpu {
            service: self.time(own),
            database: self.time(server + children.map(|it| it.own).sum::<u32>()),
        }
    }

    fn time(&self, ticks: u32) -> Duration {
        Duration::from_secs(ticks.into()) / self.ticks_per_second
    }
}

/// Processor time of a process and of its ended children, in clock ticks.
struct Stat {
    parent: u32,
    own: u32,
    ended_children: u32,
}

/// The names of all processes.
fn processes() -> impl Iterator<Item = String> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    names.filter(|name| name.starts_with(|c: char| c.is_ascii_digit()))
}

fn stat(process: &str) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The program's name, in parentheses, may hold anything; what follows it is state, parent and 48 numbers.
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let number = |index: usize| fields.get(index)?.parse::<u32>().ok();
    Some(Stat {
        parent: number(1)?,
        own: number(11)? + number(12)?,
        ended_children: number(13)? + number(14)?,
    })
}
