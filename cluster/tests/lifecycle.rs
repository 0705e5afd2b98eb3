//! A cluster from its first start to its end, with the accidents between.

use cluster::{Cluster, ClusterError};
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

/// A home that the server's user can walk down to.
fn home() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o711)).unwrap();
    dir
}

/// Rows of `statement` in the database behind `url`, through PostgreSQL's own client.
fn rows(url: &str, statement: &str) -> String {
    let mut command = Command::new("psql");
    command.args([
        "--no-psqlrc",
        "-qtA",
        "-v",
        "ON_ERROR_STOP=1",
        "--dbname",
        url,
    ]);
    let ended = command.args(["--command", statement]).output().unwrap();
    assert!(
        ended.status.success(),
        "{}",
        String::from_utf8_lossy(&ended.stderr)
    );
    String::from_utf8(ended.stdout).unwrap().trim().to_owned()
}

fn is_gone(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.is_empty() || stat.contains(") Z")
}

/// A process that owns the cluster of `home`, and the server's number.
fn another_owner(home: &Path) -> (Child, u32) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_test-cluster"));
    command
        .arg("hold")
        .arg(home)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    (child, line.trim().parse().unwrap())
}

#[test]
fn what_was_stored_is_there_after_a_stop_and_another_start() {
    let home = home();
    let first = Cluster::start(home.path()).unwrap();
    let pid = first.pid();
    assert!(first.create_database_if_missing("books").unwrap());
    assert!(!first.create_database_if_missing("books").unwrap());
    rows(
        &first.url("books"),
        "create table kept as select 42 as answer",
    );
    let settings = rows(
        &first.url("books"),
        "select string_agg(name || '=' || setting, ' ' order by name) from pg_settings
         where name in ('data_checksums', 'fsync', 'listen_addresses', 'server_encoding', 'synchronous_commit')",
    );
    assert_eq!(
        settings,
        "data_checksums=on fsync=on listen_addresses= server_encoding=UTF8 synchronous_commit=on"
    );
    first.stop().unwrap();
    assert!(is_gone(pid));

    let second = Cluster::start(home.path()).unwrap();
    assert_eq!(rows(&second.url("books"), "select answer from kept"), "42");
    let data = home.path().join("postgres/data");
    assert_eq!(fs::metadata(data).unwrap().mode() & 0o777, 0o700);
}

#[test]
fn dropping_the_cluster_stops_its_server() {
    let home = home();
    let cluster = Cluster::start(home.path()).unwrap();
    let pid = cluster.pid();
    drop(cluster);
    assert!(is_gone(pid));
}

#[test]
fn a_server_that_survived_its_starter_is_taken_over_and_can_be_stopped() {
    // Planted bug that turns this red: starting a second server without looking for a survivor.
    let home = home();
    let (mut starter, pid) = another_owner(home.path());
    let refused = Cluster::start(home.path()).unwrap_err();
    assert!(
        matches!(&refused, ClusterError::InUse { owner, .. } if *owner == starter.id().to_string()),
        "{refused}"
    );
    starter.kill().unwrap();
    starter.wait().unwrap();

    let taken_over = Cluster::start(home.path()).unwrap();
    assert_eq!(taken_over.pid(), pid);
    assert_eq!(rows(&taken_over.url("postgres"), "select 1"), "1");
    taken_over.stop().unwrap();
    assert!(is_gone(pid));
}

#[test]
fn a_server_that_was_killed_comes_back_with_what_was_committed() {
    // Planted bug that turns this red: starting beside the sessions that the dead server left behind.
    let home = home();
    let mut cluster = Cluster::start(home.path()).unwrap();
    rows(
        &cluster.url("postgres"),
        "create table kept as select 42 as answer",
    );
    assert!(!cluster.ensure_running().unwrap());
    let killed = Command::new("kill")
        .args(["-9", &cluster.pid().to_string()])
        .status()
        .unwrap();
    assert!(killed.success());
    // The dead process is our child: it counts as gone once it is a zombie, which the kill does not wait for.
    while !is_gone(cluster.pid()) {
        std::thread::yield_now();
    }
    assert!(cluster.ensure_running().unwrap());
    assert_eq!(
        rows(&cluster.url("postgres"), "select answer from kept"),
        "42"
    );
}

#[test]
fn a_path_too_long_for_a_socket_gets_a_short_one() {
    // Planted bug that turns this red: putting the socket beside the data whatever the length.
    let short = home();
    let long: PathBuf = short.path().join("d".repeat(120));
    let cluster = Cluster::start(&long).unwrap();
    assert!(cluster.socket_dir().as_os_str().len() < 100);
    assert_eq!(rows(&cluster.url("postgres"), "select 1"), "1");
    let socket_dir = cluster.socket_dir().to_owned();
    cluster.stop().unwrap();
    fs::remove_dir_all(socket_dir).unwrap();
}

#[test]
fn data_of_another_version_is_refused_with_both_versions_named() {
    // Planted bug that turns this red: starting the server without reading PG_VERSION.
    let home = home();
    Cluster::start(home.path()).unwrap().stop().unwrap();
    fs::write(home.path().join("postgres/data/PG_VERSION"), "9\n").unwrap();
    let refused = Cluster::start(home.path()).unwrap_err();
    assert!(
        matches!(refused, ClusterError::WrongVersion { .. }),
        "{refused}"
    );
    let said = refused.to_string();
    assert!(said.contains("made by PostgreSQL 9"), "{said}");
    assert!(said.contains("`postgresql-9`"), "{said}");
}

#[test]
fn a_home_that_the_servers_user_cannot_reach_gets_a_link_to_one_it_can() {
    // Planted bug that turns this red: making the data below a directory that only root may enter.
    let closed = tempfile::tempdir().unwrap();
    fs::set_permissions(closed.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let as_root = fs::metadata(closed.path()).unwrap().uid() == 0;
    let home = closed.path().join("home");
    let cluster = Cluster::start(&home).unwrap();
    assert_eq!(rows(&cluster.url("postgres"), "select 1"), "1");
    let link = home.join("postgres");
    assert_eq!(fs::symlink_metadata(&link).unwrap().is_symlink(), as_root);
    let root = fs::canonicalize(&link).unwrap();
    assert_eq!(root.starts_with("/var/tmp"), as_root);
    cluster.stop().unwrap();
    fs::remove_dir_all(root).unwrap();
}

#[test]
fn two_tests_that_ask_at_once_get_databases_of_their_own() {
    let cluster = Cluster::shared_for_tests();
    let urls: Vec<String> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| cluster.fresh_database("cluster_test")))
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    for url in &urls {
        rows(url, "create table mine (id int)");
    }
    let template = rows(&urls[0], "select current_database()");
    let copy = cluster.fresh_database_from(&template);
    assert_eq!(rows(&copy, "select count(*) from mine"), "0");
}
