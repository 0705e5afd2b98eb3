//! Databases inside the cluster: their URLs, and making them.

use crate::{Cluster, ClusterError, bare, postmaster, succeed};
use rustix::process::Pid;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// PostgreSQL cuts longer names without a word.
const NAME_BYTES_MAX: usize = 63;

impl Cluster {
    /// Where `database` is, as sqlx and libpq read it: user `postgres`, over the unix socket, no password.
    pub fn url(&self, database: &str) -> String {
        let socket_dir = percent_encoded(self.socket_dir().as_os_str().as_encoded_bytes());
        format!("postgres://postgres@localhost/{database}?host={socket_dir}&sslmode=disable")
    }

    /// Makes an empty database under a name of its own that begins with `prefix`, for one test; its URL.
    ///
    /// # Panics
    /// Where the server refuses, with its words: a test has no use for the error.
    pub fn fresh_database(&self, prefix: &str) -> String {
        self.create_unique(prefix, None)
            .unwrap_or_else(|error| panic!("{error}"))
    }

    /// As [`fresh_database`](Cluster::fresh_database), as a copy of the database `template` (a name, not a URL),
    /// to which nobody may be connected: migrating once and copying is faster than migrating every time.
    ///
    /// # Panics
    /// Where the server refuses, with its words.
    pub fn fresh_database_from(&self, template: &str) -> String {
        self.create_unique(template, Some(template))
            .unwrap_or_else(|error| panic!("{error}"))
    }

    /// Makes `name` unless it is there; `true` if it was made now. Safe to call from several processes at once.
    ///
    /// # Errors
    /// [`BadName`](ClusterError::BadName), or what the server said.
    pub fn create_database_if_missing(&self, name: &str) -> Result<bool, ClusterError> {
        checked(name)?;
        if self.has_database(name)? {
            return Ok(false);
        }
        match self.psql(&[format!("create database {name}")]) {
            Ok(_) => Ok(true),
            // Somebody else was faster.
            Err(_) if self.has_database(name)? => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Drops the databases that processes which are gone have made for their tests, so that a whole run needs no more disk than its
    /// largest program.
    ///
    /// # Errors
    /// What the server said.
    pub(crate) fn drop_databases_of_the_dead(&self) -> Result<(), ClusterError> {
        let names = self.psql(&["select datname from pg_database".to_owned()])?;
        let left = names.lines().filter(|name| {
            maker(name).is_some_and(|pid| !postmaster::alive(pid)) && checked(name).is_ok()
        });
        // Of what such a process has started, something may still live.
        let drops: Vec<String> = left
            .map(|name| format!("drop database if exists {name} with (force)"))
            .collect();
        if !drops.is_empty() {
            self.psql(&drops)?;
        }
        Ok(())
    }

    pub(crate) fn has_database(&self, name: &str) -> Result<bool, ClusterError> {
        let found = self.psql(&[format!(
            "select 1 from pg_database where datname = '{name}'"
        )])?;
        Ok(found.trim() == "1")
    }

    fn create_unique(&self, prefix: &str, template: Option<&str>) -> Result<String, ClusterError> {
        let name = unique(prefix);
        checked(&name)?;
        let copy = match template {
            Some(template) => format!(" template {}", checked(template)?),
            None => String::new(),
        };
        self.psql(&[format!("create database {name}{copy}")])?;
        Ok(self.url(&name))
    }

    /// Runs statements in the database `postgres`, each by itself, as far as the first that fails; the rows as text.
    pub(crate) fn psql(&self, statements: &[String]) -> Result<String, ClusterError> {
        let mut command = bare(&self.binaries, "psql");
        command.args([
            "--no-psqlrc",
            "--quiet",
            "--tuples-only",
            "--no-align",
            "--set=ON_ERROR_STOP=1",
        ]);
        command
            .args([
                "--username=postgres",
                "--dbname=postgres",
                "--port=5432",
                "--host",
            ])
            .arg(self.socket_dir());
        for statement in statements {
            command.args(["--command", statement]);
        }
        succeed("psql", &mut command)
    }
}

/// A name that no other test has, in this process or another: `prefix`, process, moment, count.
fn unique(prefix: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let moment = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_millis());
    let suffix = format!("_{}_{moment}_{count}", std::process::id());
    let room = NAME_BYTES_MAX.saturating_sub(suffix.len());
    let prefix: String = prefix.chars().take(room).collect();
    prefix + &suffix
}

/// The process that made a database under a name of [`unique`].
fn maker(name: &str) -> Option<Pid> {
    let mut suffix = name.rsplitn(4, '_');
    let (_count, _moment): (u32, u128) =
        (suffix.next()?.parse().ok()?, suffix.next()?.parse().ok()?);
    let pid = suffix.next()?.parse().ok().and_then(Pid::from_raw);
    suffix.next().and(pid)
}

/// A name that needs no quoting, so that none can be forgotten.
fn checked(name: &str) -> Result<&str, ClusterError> {
    let letter_first = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_');
    let plain = name
        .chars()
        .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if letter_first && plain && name.len() <= NAME_BYTES_MAX {
        return Ok(name);
    }
    Err(ClusterError::BadName {
        name: name.to_owned(),
    })
}

fn percent_encoded(bytes: &[u8]) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-_.~".contains(&byte);
    let encoded = |byte: &u8| {
        if plain(*byte) {
            char::from(*byte).to_string()
        } else {
            format!("%{byte:02X}")
        }
    };
    bytes.iter().map(encoded).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_would_need_quoting_is_refused() {
        for bad in [
            "",
            "1a",
            "a-b",
            "a\"; drop database x; --",
            "A",
            "ä",
            &"a".repeat(64),
        ] {
            assert!(checked(bad).is_err(), "{bad}");
        }
        assert_eq!(checked("orders_2").unwrap(), "orders_2");
    }

    #[test]
    fn names_made_in_one_process_differ_and_fit() {
        let long = "p".repeat(80);
        let (one, two) = (unique(&long), unique(&long));
        assert_ne!(one, two);
        assert!(one.len() <= NAME_BYTES_MAX && checked(&one).is_ok());
    }

    #[test]
    fn a_name_tells_who_made_it() {
        let this = i32::try_from(std::process::id()).unwrap();
        for prefix in ["orders", "or_1_2_3", "_", &"p".repeat(80)] {
            assert_eq!(maker(&unique(prefix)), Pid::from_raw(this), "{prefix}");
        }
        for other in ["postgres", "cf_test_0123456789ab", "a_b_c_d", "1_2_3"] {
            assert_eq!(maker(other).map(|_| ()), None, "{other}");
        }
    }

    #[test]
    fn a_socket_directory_with_odd_characters_survives_the_url() {
        assert_eq!(percent_encoded(b"/tmp/a b&c"), "/tmp/a%20b%26c");
    }
}
