//! A private PostgreSQL: finds the system's server, keeps a cluster of its own in a directory, serves it on a unix
//! socket alone, takes over one that survived a crash of its starter, and stops it cleanly.
//!
//! Knows nothing of what is stored in it. Synchronous: whoever runs an executor calls it from a blocking task.
//! There is no TCP here, and no password: the socket's directory is closed to everybody but the server's user.

mod binaries;
mod databases;
mod error;
mod place;
mod postmaster;
mod shared;

pub use error::ClusterError;
pub use shared::stop_shared_for_tests;

use binaries::Binaries;
use error::io_at;
use place::{Place, User};
use postmaster::PidFile;
use rustix::fs::{FlockOperation, flock};
use rustix::process::Pid;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Recovery after a crash replays the log first; this is long enough for a gigabyte of it on a slow disk.
const READY_WITHIN: Duration = Duration::from_secs(300);

/// What the server is told at each start. Statements and key values stay out of its log, which is no place for
/// what people typed; everything that makes a commit durable stays on.
const SETTINGS: &[&str] = &[
    "listen_addresses=",
    "port=5432",
    "unix_socket_permissions=0700",
    "max_connections=300",
    "shared_buffers=256MB",
    "effective_cache_size=1GB",
    "min_wal_size=256MB",
    "max_wal_size=2GB",
    "checkpoint_timeout=15min",
    "fsync=on",
    "full_page_writes=on",
    "synchronous_commit=on",
    "jit=off",
    "timezone=UTC",
    "log_timezone=UTC",
    "log_min_error_statement=panic",
    "log_error_verbosity=terse",
];

/// A running private cluster. Dropping it stops the server, as [`stop`](Cluster::stop) does.
#[derive(Debug)]
pub struct Cluster {
    place: Place,
    binaries: Binaries,
    socket_dir: PathBuf,
    pid: Pid,
    /// The server where we started it ourselves; one taken over is nobody's child.
    child: Option<Child>,
    /// Held while we own the server; the shared one of the tests belongs to nobody and outlives us.
    ownership: Option<File>,
}

impl Cluster {
    /// Starts the cluster that lives under `home/postgres`, making it the first time, or takes over its server if
    /// it survived the process that started it. Run as root, the server runs as another user; where that user
    /// cannot walk down to `home`, the cluster lives in `/var/tmp` and `home/postgres` is a link to it.
    ///
    /// # Errors
    /// [`InUse`](ClusterError::InUse) while another process owns it, [`WrongVersion`](ClusterError::WrongVersion)
    /// when no installed server can read its data, [`NotFound`](ClusterError::NotFound) when none is installed,
    /// [`NotReady`](ClusterError::NotReady) with the end of the server's log when it does not come up.
    pub fn start(home: &Path) -> Result<Self, ClusterError> {
        let place = Place::prepare(home)?;
        let ownership = own(&place)?;
        let mut cluster = Self::find_or_start(place)?;
        cluster.ownership = Some(ownership);
        Ok(cluster)
    }

    /// The server of `place`, started if it does not run. The caller holds a lock.
    fn find_or_start(place: Place) -> Result<Self, ClusterError> {
        let installed = binaries::find(std::env::var_os("COUNTERFOIL_PG_BIN"))?;
        let data = place.data();
        if !data.exists() {
            let newest = installed
                .first()
                .expect("find() returns at least one installation");
            init(newest, &place)?;
        }
        let binaries = matching(installed, &data)?;
        let (pid, child) = match survivor(&data) {
            Some(survivor) => (survivor.pid, None),
            None => {
                let (pid, child) = spawn(&binaries, &place)?;
                (pid, Some(child))
            }
        };
        let socket_dir = place.socket_dir.clone();
        let mut cluster = Self {
            place,
            binaries,
            socket_dir,
            pid,
            child,
            ownership: None,
        };
        cluster.await_ready()?;
        Ok(cluster)
    }

    fn await_ready(&mut self) -> Result<(), ClusterError> {
        let deadline = Instant::now() + READY_WITHIN;
        match postmaster::wait_until_ready(&self.place.data(), self.pid, &mut self.child, deadline)
        {
            Ok(ready) => {
                // A survivor serves where its starter told it to.
                self.socket_dir = ready.socket_dir;
                Ok(())
            }
            Err(why) => {
                let log = self.place.log();
                let said = last_lines(&fs::read_to_string(&log).unwrap_or_default(), 12);
                Err(ClusterError::NotReady { why, log, said })
            }
        }
    }

    /// The server's process id: what a test of crashes kills.
    pub fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// The directory that the server's unix socket is in.
    pub fn socket_dir(&self) -> &Path {
        &self.socket_dir
    }

    /// Starts the server again if it has died (it recovers from its log); `true` if it had.
    ///
    /// # Errors
    /// Those of [`start`](Cluster::start).
    pub fn ensure_running(&mut self) -> Result<bool, ClusterError> {
        if postmaster::living(&self.place.data()).is_some_and(|found| found.pid == self.pid) {
            return Ok(false);
        }
        // Reaps the dead child, whose number would otherwise look taken.
        postmaster::wait_until_gone(self.pid, &mut self.child, Duration::from_secs(1));
        let (pid, child) = spawn(&self.binaries, &self.place)?;
        (self.pid, self.child) = (pid, Some(child));
        self.await_ready()?;
        Ok(true)
    }

    /// Stops the server: sessions are ended, what they had committed is on disk, the process is gone on return.
    ///
    /// # Errors
    /// [`StopTimedOut`](ClusterError::StopTimedOut) when it survives even an immediate shutdown.
    pub fn stop(mut self) -> Result<(), ClusterError> {
        let stopped = postmaster::stop(self.pid, &mut self.child);
        // Given up only now: whoever waits for the cluster must not take over a server that is about to end.
        self.ownership = None;
        stopped
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if self.ownership.is_some()
            && let Err(error) = postmaster::stop(self.pid, &mut self.child)
        {
            eprintln!("{error}");
        }
    }
}

/// Takes the lock that makes this process the cluster's owner until it ends, however it ends.
fn own(place: &Place) -> Result<File, ClusterError> {
    let path = place.root.join("owner");
    let mut file = open_lock(&path)?;
    if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
        let owner = fs::read_to_string(&path)
            .unwrap_or_default()
            .trim()
            .to_owned();
        return Err(ClusterError::InUse {
            root: place.root.clone(),
            owner,
        });
    }
    let written = file
        .set_len(0)
        .and_then(|()| writeln!(file, "{}", std::process::id()));
    written.map_err(io_at("write", &path))?;
    Ok(file)
}

fn open_lock(path: &Path) -> Result<File, ClusterError> {
    let mut options = OpenOptions::new();
    options
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600);
    options.open(path).map_err(io_at("open", path))
}

/// The installation that can read `data`.
fn matching(installed: Vec<Binaries>, data: &Path) -> Result<Binaries, ClusterError> {
    let file = data.join("PG_VERSION");
    let found = fs::read_to_string(&file)
        .map_err(io_at("read", &file))?
        .trim()
        .to_owned();
    let majors = installed
        .iter()
        .map(|it| it.major.to_string())
        .collect::<Vec<_>>()
        .join(", ");
    let fits = installed
        .into_iter()
        .find(|it| it.major.to_string() == found);
    fits.ok_or_else(|| ClusterError::WrongVersion {
        data: data.to_owned(),
        found,
        installed: majors,
    })
}

/// A server that runs already. One that is on its way down is waited for and then counts as none.
fn survivor(data: &Path) -> Option<PidFile> {
    let found = postmaster::living(data)?;
    let leaves = found.status == "stopping"
        && postmaster::wait_until_gone(found.pid, &mut None, READY_WITHIN);
    (!leaves).then_some(found)
}

/// Makes the data directory. It gets its name last: one that `initdb` did not finish is never taken for a database.
fn init(binaries: &Binaries, place: &Place) -> Result<(), ClusterError> {
    let partial = place.root.join("data.partial");
    if partial.exists() {
        fs::remove_dir_all(&partial).map_err(io_at("remove", &partial))?;
    }
    let tried = initdb(binaries, place, &partial, "C.UTF-8");
    // Where the system has no such locale, plain C sorts the same bytes in the same order.
    let made = tried.or_else(|first| initdb(binaries, place, &partial, "C").map_err(|_| first));
    made?;
    fs::rename(&partial, place.data()).map_err(io_at("rename", &partial))
}

fn initdb(
    binaries: &Binaries,
    place: &Place,
    data: &Path,
    locale: &str,
) -> Result<(), ClusterError> {
    let mut command = as_server(binaries, "initdb", place);
    command
        .arg("--pgdata")
        .arg(data)
        .arg(format!("--locale={locale}"))
        .args([
            "--encoding=UTF8",
            "--data-checksums",
            "--username=postgres",
            "--auth-local=trust",
            "--auth-host=reject",
        ]);
    succeed("initdb", &mut command).map(drop)
}

/// Starts the server as our child, in a process group of its own: Ctrl-C on the terminal is for us, and we drain
/// before we stop it.
fn spawn(binaries: &Binaries, place: &Place) -> Result<(Pid, Child), ClusterError> {
    postmaster::clear_the_dead(&place.data());
    let log = open_log(place)?;
    let errors = log.try_clone().map_err(io_at("open", &place.log()))?;
    let mut command = as_server(binaries, "postgres", place);
    command.arg("-D").arg(place.data());
    for setting in SETTINGS {
        command.args(["-c", setting]);
    }
    command.arg("-c").arg(format!(
        "unix_socket_directories={}",
        place.socket_dir.display()
    ));
    command
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(errors)
        .process_group(0);
    let program = binaries.program("postgres");
    let child = command.spawn().map_err(io_at("start", &program))?;
    Ok((Pid::from_child(&child), child))
}

/// The server's log; the last run's is kept beside it.
fn open_log(place: &Place) -> Result<File, ClusterError> {
    let path = place.log();
    if path.exists() {
        let last = place.root.join("postgres.log.1");
        fs::rename(&path, &last).map_err(io_at("rename", &path))?;
    }
    let file = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(&path)
        .map_err(io_at("open", &path))?;
    if let Some(User { uid, gid }) = place.runs_as {
        chown(&path, Some(uid), Some(gid)).map_err(io_at("give away", &path))?;
    }
    Ok(file)
}

/// A program of PostgreSQL's as the server's user, in a directory that it can enter, without our environment
/// (`PGDATA`, `PGHOST` and their like would lead it astray).
fn as_server(binaries: &Binaries, program: &str, place: &Place) -> Command {
    let mut command = bare(binaries, program);
    command.current_dir(&place.root).env("HOME", &place.root);
    if let Some(User { uid, gid }) = place.runs_as {
        command.uid(uid).gid(gid);
    }
    command
}

fn bare(binaries: &Binaries, program: &str) -> Command {
    let mut command = Command::new(binaries.program(program));
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("LC_ALL", "C");
    command
}

/// Runs `command` to its end; its standard output, or its last words as an error.
fn succeed(program: &'static str, command: &mut Command) -> Result<String, ClusterError> {
    let ended = command.stdin(Stdio::null()).output();
    let ended = ended.map_err(|error| ClusterError::Failed {
        program,
        said: error.to_string(),
    })?;
    if ended.status.success() {
        return Ok(String::from_utf8_lossy(&ended.stdout).into_owned());
    }
    let said = last_lines(&String::from_utf8_lossy(&ended.stderr), 6);
    Err(ClusterError::Failed { program, said })
}

fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}
