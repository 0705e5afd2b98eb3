//! The figures that the design sets floors for, each measured beside what it is compared with: the same commands, the
//! same machine, one run, fsync on. A figure that is short of its floor says so and fails nothing; only what cannot be
//! measured at all is an error.
//!
//! `FIGURES_SECONDS` is the length of each measurement (4 unless told), `FIGURES` what is measured, where not all of it
//! (`commands`, `replay`, `reconciliation`, with commas between). Every pair is measured in turns, twice or oftener, so that
//! a machine that drifts hits both sides.

mod limit;
mod measure;
mod ours;
mod reconciling;
mod report;
mod stock;
mod work;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use cluster::Cluster;
use counterfoil::service::MIGRATIONS;
use eventstore::Role;
use sqlx::{Connection, Executor, PgConnection};

use crate::limit::{Batches, Programs};
use crate::measure::{Load, Meter, drive, per_second};
use crate::ours::{Ours, Rebuilt};
use crate::report::{Figure, Goal};
use crate::stock::Stock;

/// The service's own, for both sides.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How often each pair is measured.
const ROUNDS: usize = 2;
/// How often a replay is: one takes but a third of a second.
const REPLAYS: usize = 8;
/// How many events a replay reads at least.
const REPLAYED: i64 = 200_000;
/// How many of them stock makes views of.
const REBUILT_BY_STOCK: i64 = 3000;

#[tokio::main]
async fn main() -> Result<()> {
    let home = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    // The server may run as another user, who has to walk through.
    fs::set_permissions(home.path(), fs::Permissions::from_mode(0o711))?;
    let cluster = Cluster::start(home.path())?;
    // Where the path is long, or closed to the server's user, the server's own directories lie elsewhere.
    let sockets = cluster.socket_dir().to_owned();
    let data = fs::canonicalize(home.path().join("postgres"))?;
    let measured = tokio::select! {
        measured = measure(&cluster) => measured,
        _ = tokio::signal::ctrl_c() => Err(anyhow!("interrupted")),
    };
    cluster.stop()?;
    for directory in [sockets, data].iter().filter(|it| it.exists()) {
        fs::remove_dir_all(directory)?;
    }
    measured
}

async fn measure(cluster: &Cluster) -> Result<()> {
    let mut bench = Bench::open(cluster).await?;
    bench.describe().await?;
    let mut figures = Vec::new();
    let mut costs = Vec::new();
    let named = std::env::var("FIGURES").ok();
    let wanted = |name| {
        named
            .as_deref()
            .is_none_or(|it| it.split(',').any(|it| it == name))
    };
    for callers in [1, 8, 64, 256, 1024] {
        if wanted("commands") {
            let result = bench.commands(callers).await?;
            figures.extend(result.figures());
            costs.extend(result.costs());
        }
    }
    if wanted("replay") {
        figures.extend(bench.replay().await?);
        figures.extend(bench.rebuild().await?);
    }
    if wanted("reconciliation") {
        let accounts = (migrated(cluster).await?, migrated(cluster).await?);
        figures.extend(reconciling::figures(accounts.0, accounts.1).await?);
    }
    report::print(&figures);
    report::print_costs(&costs);
    bench.ours.store.close().await;
    Ok(())
}

/// All sides, each in a database of its own.
struct Bench {
    length: Duration,
    meter: Meter,
    ours: Arc<Ours>,
    ours_url: String,
    stock: Arc<Stock>,
    batches: Batches,
    programs: Programs,
    pgbench_url: String,
}

/// What was measured at one number of callers.
struct Commands {
    callers: usize,
    ours: Load,
    stock: Option<Load>,
    pgbench: Option<f64>,
    batches: Option<f64>,
}

impl Bench {
    async fn open(cluster: &Cluster) -> Result<Self> {
        let seconds = std::env::var("FIGURES_SECONDS").unwrap_or_else(|_| "4".to_owned());
        let seconds: u32 = seconds
            .parse()
            .context("FIGURES_SECONDS is a whole number")?;
        let (ours_url, batches_url) = (migrated(cluster).await?, migrated(cluster).await?);
        let (stock_url, pgbench_url) = (
            cluster.fresh_database("stock"),
            cluster.fresh_database("pgbench"),
        );
        let mut pgbench = PgConnection::connect(&pgbench_url).await?;
        pgbench.execute(&*stock::events_table("events")).await?;
        Ok(Self {
            length: Duration::from_secs(u64::from(seconds.max(1))),
            meter: Meter::new(cluster.pid())?,
            ours: Ours::open(&ours_url).await?,
            stock: Stock::open(&stock_url).await?,
            batches: Batches::open(&batches_url).await?,
            programs: Programs::of(&pgbench_url).await?,
            ours_url,
            pgbench_url,
        })
    }

    /// Says on what it is measured.
    async fn describe(&self) -> Result<()> {
        let settings: String = sqlx::query_scalar(
            "SELECT 'PostgreSQL ' || current_setting('server_version') || ', fsync ' || current_setting('fsync') \
             || ', synchronous_commit ' || current_setting('synchronous_commit') \
             || ', full_page_writes ' || current_setting('full_page_writes')",
        )
        .fetch_one(self.ours.store.pool())
        .await?;
        let cores = std::thread::available_parallelism()?;
        let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let load = load.split(' ').next().unwrap_or("unknown");
        println!("{settings}; {cores} cores, load before the start {load}");
        println!(
            "{ROUNDS} × {} s each, in turns. A command is one of six in the life of an order and its payment, in \
             equal parts: place, create, created, attach, paid at Stripe, mark paid.",
            self.length.as_secs()
        );
        Ok(())
    }

    /// A checkpoint that falls into one side's time and not into the other's would decide between them.
    async fn checkpoint(&self) -> Result<()> {
        let mut connection = PgConnection::connect(&self.pgbench_url).await?;
        connection.execute("CHECKPOINT").await?;
        Ok(())
    }

    async fn commands(&mut self, callers: usize) -> Result<Commands> {
        let (mut ours, mut stock) = (Load::default(), Load::default());
        let (mut pgbench, mut batches) = (Vec::new(), Vec::new());
        let (with_stock, with_batches) = (callers <= 256, callers >= 256);
        for round in 1..=ROUNDS {
            eprintln!("{callers} callers, round {round} of {ROUNDS} …");
            self.checkpoint().await?;
            ours = ours.and(drive(&self.ours, callers, self.length, &self.meter).await?);
            if with_stock {
                self.checkpoint().await?;
                stock = stock.and(drive(&self.stock, callers, self.length, &self.meter).await?);
                self.checkpoint().await?;
                pgbench.extend(
                    self.programs
                        .pgbench(&self.pgbench_url, callers, self.length)?,
                );
            }
            if with_batches {
                self.checkpoint().await?;
                batches.push(self.batches.run(self.length).await?);
            }
        }
        Ok(Commands {
            callers,
            ours,
            stock: with_stock.then_some(stock),
            pgbench: mean(&pgbench),
            batches: mean(&batches),
        })
    }

    /// The same events, replayed three ways.
    async fn replay(&self) -> Result<Vec<Figure>> {
        let reader = self.ours.store.reader();
        while reader.head().await?.position < REPLAYED {
            drive(&self.ours, 256, self.length, &self.meter).await?;
        }
        let to = REPLAYED;
        let count = u64::try_from(to)?;
        let pool = eventstore::pool(&self.ours_url, Role::Owner, 4).await?;
        prepare_replay(&pool, to).await?;
        let (mut ours, mut stock, mut copy) =
            (Duration::ZERO, Duration::ZERO, Some(Duration::ZERO));
        let mut rounds = 0;
        for round in 1..=REPLAYS {
            eprintln!("replay of {to} events, round {round} of {REPLAYS} …");
            // What was written before is on the disk: nobody's reading has to make room by writing it.
            self.checkpoint().await?;
            ours += self.ours.replay(to).await?;
            stock += stock::replay(&pool, count).await?;
            let copied = self.programs.copy(&self.ours_url, to)?;
            copy = copy.zip(copied).map(|(sum, it)| sum + it);
            rounds += count;
        }
        let rate = |elapsed| per_second(rounds, elapsed);
        let figure = |beside, theirs, floor, aim| Figure {
            name: "replay, typed fold, events/s".to_owned(),
            ours: rate(ours),
            beside,
            theirs,
            goal: Goal::AtLeast { floor, aim },
        };
        Ok(vec![
            figure("stock replay_all, counting", Some(rate(stock)), 2.5, 5.0),
            figure("psql binary COPY to nowhere", copy.map(rate), 0.8, 1.2),
        ])
    }
}

impl Bench {
    /// All read models made again, compared and certified, beside stock's replay into one view: found to be what is live, and put in
    /// the place of what is not.
    async fn rebuild(&self) -> Result<[Figure; 2]> {
        let pool = eventstore::pool(&self.ours_url, Role::Owner, 4).await?;
        // Not measured: the journal's rows, which nobody has caught up here, are live after it.
        self.ours
            .rebuild(&self.ours_url, Rebuilt::PutInPlace)
            .await?;
        let mut sums = [(0, Duration::ZERO); 3];
        for round in 1..=ROUNDS {
            eprintln!("rebuild of all read models, round {round} of {ROUNDS} …");
            let all = [Rebuilt::Identical, Rebuilt::PutInPlace].map(Some);
            for (it, sum) in all.into_iter().chain([None]).zip(&mut sums) {
                self.checkpoint().await?;
                let (events, elapsed) = match it {
                    Some(it) => self.ours.rebuild(&self.ours_url, it).await?,
                    None => stock::rebuild(&pool, REBUILT_BY_STOCK).await?,
                };
                *sum = (sum.0 + events, sum.1 + elapsed);
            }
        }
        let rate = |(events, elapsed)| {
            Ok::<f64, anyhow::Error>(per_second(u64::try_from(events)?, elapsed))
        };
        let [identical, put_in_place, stock] = sums;
        let stock = rate(stock)?;
        let figure = |what, ours| Figure {
            name: format!("rebuild of all read models, {what}, events/s"),
            ours,
            beside: "stock replay into one GenericQuery",
            theirs: Some(stock),
            goal: Goal::AtLeast {
                floor: 15.0,
                aim: 200.0,
            },
        };
        Ok([
            figure("identical", rate(identical)?),
            figure("put in place", rate(put_in_place)?),
        ])
    }
}

/// The events as stock keeps them, beside ours; both as a vacuum leaves them.
async fn prepare_replay(pool: &sqlx::PgPool, to: i64) -> Result<()> {
    pool.execute(&*stock::events_table("stock_events")).await?;
    let copy = format!(
        "INSERT INTO stock_events SELECT aggregate_type, aggregate_id, sequence, event_type, event_version, payload, \
         metadata FROM events WHERE position <= {to} ORDER BY position"
    );
    pool.execute(&*copy).await?;
    pool.execute("VACUUM ANALYZE stock_events").await?;
    pool.execute("VACUUM ANALYZE events").await?;
    Ok(())
}

/// A fresh database with our schema.
async fn migrated(cluster: &Cluster) -> Result<String> {
    let url = cluster.fresh_database("figures");
    let pool = eventstore::pool(&url, Role::Owner, 1).await?;
    MIGRATIONS.run(&pool).await?;
    pool.close().await;
    Ok(url)
}

fn mean(of: &[f64]) -> Option<f64> {
    let count = u32::try_from(of.len()).ok().filter(|it| *it > 0)?;
    Some(of.iter().sum::<f64>() / f64::from(count))
}

impl Commands {
    fn figures(&self) -> Vec<Figure> {
        let mut figures = Vec::new();
        let figure = |beside, theirs, goal| Figure {
            name: format!("durable commands/s, {} callers", self.callers),
            ours: self.ours.rate(),
            beside,
            theirs,
            goal,
        };
        if let Some(stock) = &self.stock {
            let goal = self.beside_stock();
            figures.push(figure(
                "stock cqrs-es + postgres-es",
                Some(stock.rate()),
                goal,
            ));
            let goal = self.beside_pgbench();
            figures.push(figure("pgbench, single-row insert", self.pgbench, goal));
        }
        if let Some(batches) = self.batches {
            let floor = if self.callers < 1024 { 0.6 } else { 0.7 };
            let goal = Goal::AtLeast { floor, aim: 1.0 };
            figures.push(figure("UNNEST of 1000, 1 connection", Some(batches), goal));
        }
        if let (64, Some(stock)) = (self.callers, &self.stock) {
            figures.extend(self.costs_beside(stock));
        }
        figures
    }

    fn beside_stock(&self) -> Goal {
        match self.callers {
            1 => Goal::AtLeast {
                floor: 2.0,
                aim: 3.0,
            },
            8 => Goal::AtLeast {
                floor: 3.0,
                aim: 5.0,
            },
            64 => Goal::AtLeast {
                floor: 6.0,
                aim: 12.0,
            },
            _ => Goal::None,
        }
    }

    fn beside_pgbench(&self) -> Goal {
        match self.callers {
            64 => Goal::AtLeast {
                floor: 1.0,
                aim: 2.0,
            },
            _ => Goal::None,
        }
    }

    /// Latency and processor time. The floors for latency are set for HTTP, which is not measured here.
    fn costs_beside(&self, stock: &Load) -> [Figure; 3] {
        let cpu = |load: &Load| load.cpu_us(load.cpu.service + load.cpu.database);
        let figure = |what: &str, ours, theirs, goal| Figure {
            name: format!("{what}, {} callers", self.callers),
            ours,
            beside: "stock cqrs-es + postgres-es",
            theirs: Some(theirs),
            goal,
        };
        let (floor, aim) = (1.0 / 5.0, 1.0 / 12.0);
        let percentile = |load: &Load, per_mille| load.percentile_ms(per_mille);
        [
            figure(
                "p50 ms",
                percentile(&self.ours, 500),
                percentile(stock, 500),
                Goal::None,
            ),
            figure(
                "p99 ms",
                percentile(&self.ours, 990),
                percentile(stock, 990),
                Goal::None,
            ),
            figure(
                "CPU µs per command",
                cpu(&self.ours),
                cpu(stock),
                Goal::AtMost { floor, aim },
            ),
        ]
    }

    fn costs(&self) -> Vec<(String, Load)> {
        let ours = (format!("ours, {}", self.callers), self.ours.clone());
        let stock = self.stock.clone();
        let stock = stock.map(|load| (format!("stock, {}", self.callers), load));
        std::iter::once(ours).chain(stock).collect()
    }
}
