//! Finding PostgreSQL's programs, or installing the distribution's package where that is allowed.

use crate::error::{ClusterError, io_at};
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The oldest major version that serves: 14 brought what the event store's statements lean on.
pub(crate) const OLDEST_MAJOR: u32 = 14;

/// One installation: a directory with `initdb`, `postgres` and `psql`, and their major version.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Binaries {
    pub major: u32,
    pub dir: PathBuf,
}

impl Binaries {
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Reads the installation in `dir`; `Err` says, for people, what is missing there.
    fn read(dir: &Path) -> Result<Self, String> {
        for program in ["initdb", "postgres", "psql"] {
            if !dir.join(program).is_file() {
                return Err(format!("there is no `{program}` in it"));
            }
        }
        let said = Command::new(dir.join("postgres"))
            .arg("--version")
            .stdin(Stdio::null())
            .output()
            .map_err(|error| format!("its `postgres` does not run: {error}"))?;
        let said = String::from_utf8_lossy(&said.stdout).trim().to_owned();
        match major_of(&said) {
            Some(major) if major >= OLDEST_MAJOR => Ok(Self {
                major,
                dir: dir.to_owned(),
            }),
            _ => Err(format!(
                "its `postgres --version` says `{said}`, and {OLDEST_MAJOR} is the oldest that serves"
            )),
        }
    }
}

/// The major version in the words of `postgres --version`: "postgres (PostgreSQL) 15.14 (Debian …)".
fn major_of(said: &str) -> Option<u32> {
    let version = said
        .split_whitespace()
        .find(|word| word.starts_with(|c: char| c.is_ascii_digit()))?;
    let digits: String = version.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

/// Every installation that serves, the newest first; `explicit` (`COUNTERFOIL_PG_BIN`) excludes all others.
/// Where there is none, root on a machine with `apt-get` installs one.
pub(crate) fn find(explicit: Option<OsString>) -> Result<Vec<Binaries>, ClusterError> {
    if let Some(path) = explicit.filter(|path| !path.is_empty()).map(PathBuf::from) {
        let found = Binaries::read(&path).map_err(|why| ClusterError::BadBinaries { path, why })?;
        return Ok(vec![found]);
    }
    let search_path = std::env::var_os("PATH").unwrap_or_default();
    let looked_in = usual_places(&search_path);
    let found = installed_in(&looked_in);
    if !found.is_empty() {
        return Ok(found);
    }
    let apt_get = std::env::split_paths(&search_path)
        .map(|dir| dir.join("apt-get"))
        .find(|program| program.is_file());
    if let (Some(apt_get), true) = (apt_get, rustix::process::geteuid().is_root()) {
        install(&apt_get)?;
    }
    some_or_not_found(installed_in(&usual_places(&search_path)), &looked_in)
}

fn some_or_not_found(
    found: Vec<Binaries>,
    looked_in: &[PathBuf],
) -> Result<Vec<Binaries>, ClusterError> {
    if found.is_empty() {
        let looked_in = looked_in
            .iter()
            .map(|dir| dir.display().to_string())
            .collect::<Vec<_>>()
            .join(", ");
        return Err(ClusterError::NotFound { looked_in });
    }
    Ok(found)
}

fn installed_in(places: &[PathBuf]) -> Vec<Binaries> {
    let mut found: Vec<_> = places
        .iter()
        .filter_map(|dir| Binaries::read(dir).ok())
        .collect();
    found.sort();
    found.reverse();
    found
}

/// Where the distributions put the server's programs (Debian keeps them off the search path).
fn usual_places(search_path: &OsString) -> Vec<PathBuf> {
    let mut places = Vec::new();
    for parent in [
        "/usr/lib/postgresql",
        "/usr/local/lib/postgresql",
        "/opt/homebrew/opt",
    ] {
        let Ok(entries) = fs::read_dir(parent) else {
            continue;
        };
        places.extend(
            entries
                .filter_map(Result::ok)
                .map(|entry| entry.path().join("bin")),
        );
    }
    if let Ok(entries) = fs::read_dir("/usr") {
        let versions = entries.filter_map(Result::ok).map(|entry| entry.path());
        places.extend(
            versions
                .filter(|path| path.to_string_lossy().contains("/pgsql-"))
                .map(|path| path.join("bin")),
        );
    }
    places.extend(std::env::split_paths(search_path));
    places.retain(|dir| dir.join("initdb").is_file());
    places.dedup();
    places
}

/// Installs the distribution's package `postgresql`, without the cluster it would make and start for itself.
fn install(apt_get: &Path) -> Result<(), ClusterError> {
    eprintln!(
        "No PostgreSQL server on this machine: installing the distribution's package `postgresql` …"
    );
    let settings = Path::new("/etc/postgresql-common");
    if !settings.exists() {
        fs::create_dir_all(settings).map_err(io_at("create", settings))?;
        let file = settings.join("createcluster.conf");
        fs::write(&file, "create_main_cluster = false\n").map_err(io_at("write", &file))?;
    }
    run(apt_get, "update", &["-q"])?;
    let keep_ours = "-oDpkg::Options::=--force-confold";
    run(
        apt_get,
        "install",
        &[
            "-q",
            "-y",
            "--no-install-recommends",
            keep_ours,
            "postgresql",
        ],
    )
}

fn run(apt_get: &Path, step: &'static str, arguments: &[&str]) -> Result<(), ClusterError> {
    let ended = Command::new(apt_get)
        .arg(step)
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status();
    match ended {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(ClusterError::Install {
            step,
            why: status.to_string(),
        }),
        Err(error) => Err(ClusterError::Install {
            step,
            why: error.to_string(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_version_is_read_from_what_distributions_print() {
        assert_eq!(
            major_of("postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)"),
            Some(15)
        );
        assert_eq!(major_of("postgres (PostgreSQL) 18beta1"), Some(18));
        assert_eq!(major_of("postgres (PostgreSQL) 9.6.24"), Some(9));
        assert_eq!(major_of("nothing of the kind"), None);
    }

    #[test]
    fn a_directory_without_the_programs_is_refused_by_name() {
        let empty = tempfile::tempdir().unwrap();
        let refused = find(Some(empty.path().as_os_str().to_owned()))
            .unwrap_err()
            .to_string();
        assert!(refused.contains("COUNTERFOIL_PG_BIN"), "{refused}");
        assert!(refused.contains("`initdb`"), "{refused}");
    }

    #[test]
    fn where_nothing_is_installed_the_error_names_what_to_install() {
        let refused = some_or_not_found(Vec::new(), &[PathBuf::from("/nowhere")])
            .unwrap_err()
            .to_string();
        assert!(refused.contains("apt-get install postgresql"), "{refused}");
        assert!(refused.contains("/nowhere"), "{refused}");
    }

    #[test]
    fn the_newest_installation_comes_first() {
        let found = find(None).unwrap();
        assert!(
            found.windows(2).all(|pair| pair[0].major >= pair[1].major),
            "{found:?}"
        );
        assert!(found[0].major >= OLDEST_MAJOR);
    }
}
