//! The server's process: what its pid file says, whether it lives, how it is stopped.

use crate::error::ClusterError;
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How often the outside world is looked at while we wait for it.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// A fast shutdown writes a checkpoint; a slow disk may take this long over it.
const STOP_WITHIN: Duration = Duration::from_secs(60);
/// Sessions of a killed server notice its death and leave within this.
const ORPHANS_LEAVE_WITHIN: Duration = Duration::from_secs(15);

/// `postmaster.pid`, which the server writes for the likes of us.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct PidFile {
    pub pid: Pid,
    pub data: PathBuf,
    pub socket_dir: PathBuf,
    pub shared_memory_id: Option<i64>,
    pub status: String,
}

impl PidFile {
    pub(crate) fn read(data: &Path) -> Option<Self> {
        Self::parse(&fs::read_to_string(data.join("postmaster.pid")).ok()?)
    }

    fn parse(text: &str) -> Option<Self> {
        let lines: Vec<_> = text.lines().collect();
        let line = |number: usize| lines.get(number).copied().unwrap_or_default().trim();
        Some(Self {
            pid: line(0).parse().ok().and_then(Pid::from_raw)?,
            data: PathBuf::from(line(1)),
            socket_dir: PathBuf::from(line(4)),
            shared_memory_id: line(6)
                .split_whitespace()
                .nth(1)
                .and_then(|id| id.parse().ok()),
            status: line(7).to_owned(),
        })
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.status == "ready"
    }
}

/// The living server of `data`, if there is one. A pid file alone proves nothing: after a crash its number may
/// belong to any other process by now.
pub(crate) fn living(data: &Path) -> Option<PidFile> {
    PidFile::read(data).filter(|it| it.data == data && alive(it.pid) && serves(it.pid, data))
}

/// Whether a process runs under this number (a dead one that nobody has reaped does not).
pub(crate) fn alive(pid: Pid) -> bool {
    let stat = format!("/proc/{}/stat", pid.as_raw_nonzero());
    match fs::read_to_string(stat) {
        Ok(stat) => !stat
            .rsplit(')')
            .next()
            .is_some_and(|rest| rest.trim_start().starts_with(['Z', 'X'])),
        Err(_) if Path::new("/proc/self/stat").exists() => false,
        Err(_) => !matches!(test_kill_process(pid), Err(rustix::io::Errno::SRCH)),
    }
}

/// Whether the process was started as the server of `data`; where there is no `/proc` its number must do.
fn serves(pid: Pid, data: &Path) -> bool {
    match fs::read(format!("/proc/{}/cmdline", pid.as_raw_nonzero())) {
        Ok(line) => line
            .split(|byte| *byte == 0)
            .any(|argument| argument == data.as_os_str().as_encoded_bytes()),
        Err(_) => !Path::new("/proc/self/stat").exists(),
    }
}

/// Makes way for a new server after a crash: waits until the sessions of the dead one have let go of its shared
/// memory (PostgreSQL would refuse to start beside them), then removes a pid file whose number now belongs to a
/// stranger or to a dead process that nobody reaps (PostgreSQL would take either for a living server).
pub(crate) fn clear_the_dead(data: &Path) {
    let Some(left) = PidFile::read(data) else {
        return;
    };
    let deadline = Instant::now() + ORPHANS_LEAVE_WITHIN;
    while left.shared_memory_id.is_some_and(attached) && Instant::now() < deadline {
        sleep(LOOK_EVERY);
    }
    let number_taken = test_kill_process(left.pid).is_ok();
    if number_taken && !left.shared_memory_id.is_some_and(attached) {
        // Should it fail, the server's own message about the file is as good as ours.
        let _ = fs::remove_file(data.join("postmaster.pid"));
    }
}

/// Whether any process holds the System V segment (Linux lists them all; elsewhere PostgreSQL checks alone).
fn attached(shared_memory_id: i64) -> bool {
    let table = fs::read_to_string("/proc/sysvipc/shm").unwrap_or_default();
    table.lines().skip(1).any(|row| {
        let fields: Vec<_> = row.split_whitespace().collect();
        let number = |index: usize| {
            fields
                .get(index)
                .and_then(|field| field.parse::<i64>().ok())
        };
        number(1) == Some(shared_memory_id) && number(6).is_some_and(|holders| holders > 0)
    })
}

/// Waits until the server `pid` of `data` says that it is ready, or is dead, or `deadline` has passed; in the
/// latter cases `Err` says which. A pid file that says ready counts only if it is this server's.
pub(crate) fn wait_until_ready(
    data: &Path,
    pid: Pid,
    child: &mut Option<Child>,
    deadline: Instant,
) -> Result<PidFile, String> {
    loop {
        if let Some(found) = PidFile::read(data).filter(|it| it.pid == pid && it.is_ready()) {
            return Ok(found);
        }
        if let Some(status) = reap(child) {
            return Err(format!("it ended with {status}"));
        }
        if !alive(pid) {
            return Err("it ended".to_owned());
        }
        if Instant::now() > deadline {
            return Err("it took too long".to_owned());
        }
        sleep(LOOK_EVERY);
    }
}

fn reap(child: &mut Option<Child>) -> Option<std::process::ExitStatus> {
    child
        .as_mut()
        .and_then(|child| child.try_wait().ok().flatten())
}

/// Stops the server: sessions are told to go and a checkpoint is written (SIGINT); if that hangs, at once
/// (SIGQUIT; the next start recovers from the log). Waits until the process is gone.
pub(crate) fn stop(pid: Pid, child: &mut Option<Child>) -> Result<(), ClusterError> {
    for (signal, within) in [(Signal::INT, STOP_WITHIN), (Signal::QUIT, STOP_WITHIN / 6)] {
        // A process that is gone already needs no signal.
        let _ = kill_process(pid, signal);
        if wait_until_gone(pid, child, within) {
            return Ok(());
        }
    }
    Err(ClusterError::StopTimedOut {
        pid: pid.as_raw_nonzero().get(),
    })
}

pub(crate) fn wait_until_gone(pid: Pid, child: &mut Option<Child>, within: Duration) -> bool {
    let deadline = Instant::now() + within;
    while Instant::now() < deadline {
        if reap(child).is_some() || !alive(pid) {
            return true;
        }
        sleep(LOOK_EVERY);
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    const READY: &str =
        "4242\n/home/data\n1763680000\n5432\n/home/socket\n\n  1234567   98305\nready   \n";

    #[test]
    fn the_pid_file_of_a_ready_server_is_understood() {
        let read = PidFile::parse(READY).unwrap();
        assert_eq!(read.pid.as_raw_nonzero().get(), 4242);
        assert_eq!(
            (read.data.as_path(), read.socket_dir.as_path()),
            (Path::new("/home/data"), Path::new("/home/socket"))
        );
        assert_eq!(read.shared_memory_id, Some(98305));
        assert!(read.is_ready());
    }

    #[test]
    fn a_half_written_pid_file_is_not_ready() {
        assert_eq!(PidFile::parse(""), None);
        assert!(!PidFile::parse("4242\n/home/data\n").unwrap().is_ready());
    }

    #[test]
    fn a_stranger_under_the_old_number_is_not_taken_for_the_server() {
        // Planted bug that turns this red: believing the pid file without looking at the process.
        let data = fs::canonicalize(tempfile::tempdir().unwrap().keep()).unwrap();
        let file = format!(
            "{}\n{}\n0\n5432\n/tmp\n\n1 1\nready\n",
            std::process::id(),
            data.display()
        );
        fs::write(data.join("postmaster.pid"), file).unwrap();
        assert!(alive(PidFile::read(&data).unwrap().pid));
        assert_eq!(living(&data), None);
        clear_the_dead(&data);
        assert_eq!(PidFile::read(&data), None);
        fs::remove_dir(data).unwrap();
    }
}
