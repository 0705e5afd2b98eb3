//! Disks that are full: that of the data, and that of the write-ahead log.

use crate::database::{home, world_on};
use crate::figures::{Campaign, brisk, size, skipped};
use crate::load::{Load, Plan};
use crate::support::World;
use cluster::Cluster;
use sqlx::{Connection, Executor, PgConnection};
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, lchown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_of_data_turns_callers_away_and_loses_nothing() {
    let campaign = Campaign::begin("full_data_disk");
    let Some(disk) = Disk::mount("full_data_disk", 256) else {
        return;
    };
    let elsewhere = home();
    let cluster = with_its_log_in(disk.path(), elsewhere.path());
    let world = world_on(&cluster, brisk()).await;
    let load = Load::start(&world, Plan::new(&world, campaign.seed));
    let times = size("CF_DISKS", 1);
    for _ in 0..times {
        load.more(50).await;
        let ballast = disk.fill();
        load.turned_away(20).await;
        fs::remove_file(ballast).unwrap();
        load.more(50).await;
    }
    let mut book = load.finish().await;
    let found = book.compare(&world).await;
    campaign.end(
        &format!("{times} times the disk of the data was full"),
        &book,
        &found,
    );
    world.stop().await;
    cluster.stop().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_of_the_write_ahead_log_turns_callers_away_and_loses_nothing() {
    let campaign = Campaign::begin("full_wal_disk");
    let Some(disk) = Disk::mount("full_wal_disk", 512) else {
        return;
    };
    let elsewhere = home();
    let mut cluster = with_its_log_in(elsewhere.path(), disk.path());
    let world = world_on(&cluster, brisk()).await;
    let load = Load::start(&world, Plan::new(&world, campaign.seed));
    let times = size("CF_DISKS", 1);
    for _ in 0..times {
        load.more(50).await;
        let ballast = disk.fill();
        until_it_stops(&world).await;
        load.turned_away(5).await;
        fs::remove_file(ballast).unwrap();
        tokio::task::block_in_place(|| cluster.ensure_running().unwrap());
        load.more(50).await;
    }
    let mut book = load.finish().await;
    let found = book.compare(&world).await;
    campaign.end(
        &format!("{times} times the disk of the write-ahead log was full"),
        &book,
        &found,
    );
    world.stop().await;
    cluster.stop().unwrap();
}

/// A small disk of our own, in memory.
struct Disk(TempDir);

impl Disk {
    /// Mounts it, or says why that cannot be done here.
    fn mount(campaign: &str, size_mb: u32) -> Option<Self> {
        let at = home();
        let options = format!("size={size_mb}m,mode=0711");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &options, "counterfoil"]);
        match mount.arg(at.path()).stdin(Stdio::null()).output() {
            Ok(ended) if ended.status.success() => return Some(Self(at)),
            Ok(ended) => skipped(campaign, String::from_utf8_lossy(&ended.stderr).trim()),
            Err(error) => skipped(campaign, &format!("mount: {error}")),
        }
        None
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Takes all the room that is left, to the last block; the file that takes it.
    fn fill(&self) -> PathBuf {
        let path = self.path().join("ballast");
        let mut ballast = File::create(&path).unwrap();
        for block in [1 << 20, 1 << 12] {
            let zeroes = vec![0; block];
            while ballast.write_all(&zeroes).is_ok() {}
        }
        path
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: a server that a failed test left behind may still stand on it.
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}

/// A cluster that lives in `home` and keeps its write-ahead log in another directory.
fn with_its_log_in(home: &Path, log: &Path) -> Cluster {
    Cluster::start(home).unwrap().stop().unwrap();
    let (from, to) = (home.join("postgres/data/pg_wal"), log.join("pg_wal"));
    let copied = Command::new("cp").arg("-a").args([&from, &to]).status();
    assert!(copied.unwrap().success());
    let owner = fs::metadata(&from).unwrap();
    fs::remove_dir_all(&from).unwrap();
    symlink(&to, &from).unwrap();
    lchown(&from, Some(owner.uid()), Some(owner.gid())).unwrap();
    Cluster::start(home).unwrap()
}

/// Writes to the write-ahead log until there is no room for more, and the server gives up.
async fn until_it_stops(world: &World) {
    let mut owner = PgConnection::connect(&world.database_url).await.unwrap();
    let message = "select pg_logical_emit_message(false, 'campaign', repeat('x', 1000000))";
    while owner.execute(message).await.is_ok() {}
}
