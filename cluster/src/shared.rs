//! The cluster that all tests of one checkout share: started by the first test process that asks, left running for
//! the next, stopped and removed by `make test` at its end.

use crate::place::Place;
use crate::{Cluster, ClusterError, error::io_at, open_lock, postmaster};
use rustix::fs::{FlockOperation, flock};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

impl Cluster {
    /// The tests' common cluster. Each test takes a [`fresh_database`](Cluster::fresh_database) of it, which is there until another
    /// process asks for the cluster after this one has ended.
    ///
    /// # Panics
    /// Where no server can be started, with the reason: no test can go on without.
    pub fn shared_for_tests() -> &'static Cluster {
        static SHARED: OnceLock<Cluster> = OnceLock::new();
        SHARED.get_or_init(|| find_or_start(&home()).unwrap_or_else(|error| panic!("{error}")))
    }
}

fn find_or_start(home: &Path) -> Result<Cluster, ClusterError> {
    let _one_at_a_time = lock(home)?;
    let cluster = Cluster::find_or_start(Place::prepare(home)?)?;
    cluster.drop_databases_of_the_dead()?;
    Ok(cluster)
}

/// Stops the tests' common cluster and removes it with all its databases; `false` if there was none.
///
/// # Errors
/// [`StopTimedOut`](ClusterError::StopTimedOut), or what the file system said.
pub fn stop_shared_for_tests() -> Result<bool, ClusterError> {
    stop_and_remove(&home())
}

fn stop_and_remove(home: &Path) -> Result<bool, ClusterError> {
    let _one_at_a_time = lock(home)?;
    if !home.exists() {
        return Ok(false);
    }
    let place = Place::prepare(home)?;
    if let Some(found) = postmaster::living(&place.data()) {
        postmaster::stop(found.pid, &mut None)?;
    }
    for dir in [&place.socket_dir, &place.root] {
        if dir.exists() {
            fs::remove_dir_all(dir).map_err(io_at("remove", dir))?;
        }
    }
    fs::remove_dir_all(home).map_err(io_at("remove", home))?;
    Ok(true)
}

/// Taken before anything is made in `home`, and beside it: what is removed with it would lock nobody out.
fn lock(home: &Path) -> Result<File, ClusterError> {
    let path = home.with_extension("lock");
    let file = open_lock(&path)?;
    flock(&file, FlockOperation::LockExclusive)
        .map_err(|error| io_at("lock", &path)(error.into()))?;
    Ok(file)
}

/// `test-cluster` in cargo's target directory (the one with the tag that cargo puts there), so that two checkouts
/// do not meet; in the temporary directory for a program that lives elsewhere.
fn home() -> PathBuf {
    let program = std::env::current_exe().unwrap_or_default();
    let target = program
        .ancestors()
        .find(|dir| dir.join("CACHEDIR.TAG").is_file());
    target.map_or_else(
        || std::env::temp_dir().join("counterfoil-test-cluster"),
        |target| target.join("test-cluster"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bare;
    use std::process::{Command, Stdio};

    /// Planted bug that turns this red: a lock that is taken after the directories are made.
    #[test]
    fn of_all_who_come_at_once_one_starts_it() {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().join("cluster");
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| find_or_start(&home).unwrap());
            }
        });
        assert!(stop_and_remove(&home).unwrap());
        assert!(!stop_and_remove(&home).unwrap());
    }

    /// Planted bugs that turn this red: dropping what a living process has made, or what nobody's name is in; not dropping what
    /// something is still connected to.
    #[test]
    fn what_tests_of_a_process_that_is_gone_have_left_is_dropped_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().join("cluster");
        let cluster = find_or_start(&home).unwrap();
        let mut gone = Command::new("true").spawn().unwrap();
        gone.wait().unwrap();
        let (left, used) = (
            format!("left_{}_1_1", gone.id()),
            format!("used_{}_1_2", gone.id()),
        );
        let ours = format!("ours_{}_1_1", std::process::id());
        for name in [&left, &used, &ours, "cf_test_0123456789ab"] {
            assert!(cluster.create_database_if_missing(name).unwrap());
        }
        let mut connected = bare(&cluster.binaries, "psql")
            .args(["--quiet", "--command", "select pg_sleep(600)", "--dbname"])
            .arg(cluster.url(&used))
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let sessions = format!("select count(*) from pg_stat_activity where datname = '{used}'");
        while cluster
            .psql(std::slice::from_ref(&sessions))
            .unwrap()
            .trim()
            == "0"
        {
            assert!(
                connected.try_wait().unwrap().is_none(),
                "it has not connected"
            );
        }
        let again = find_or_start(&home).unwrap();
        let there = |name: &str| again.has_database(name).unwrap();
        assert_eq!((there(&left), there(&used)), (false, false));
        assert!(there(&ours) && there("cf_test_0123456789ab"));
        assert!(!connected.wait().unwrap().success());
        assert!(stop_and_remove(&home).unwrap());
    }
}
