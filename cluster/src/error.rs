//! What can go wrong with a private PostgreSQL, each with what to do about it.

use std::io;
use std::path::{Path, PathBuf};

/// Why a cluster could not be started, used or stopped.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// No server binaries anywhere, and no way to install them.
    #[error(
        "no PostgreSQL server of version {} or later was found (looked in {looked_in}). Install it \
         (Debian, Ubuntu: `apt-get install postgresql`; Fedora: `dnf install postgresql-server`; \
         macOS: `brew install postgresql`), or set COUNTERFOIL_PG_BIN to the directory that holds \
         `initdb` and `postgres`, or set DATABASE_URL to a server of your own",
        crate::binaries::OLDEST_MAJOR
    )]
    NotFound {
        /// The directories that were searched, for people.
        looked_in: String,
    },
    /// `COUNTERFOIL_PG_BIN` is set, but to something else.
    #[error("COUNTERFOIL_PG_BIN is {}, but {why}", path.display())]
    BadBinaries {
        /// What the variable holds.
        path: PathBuf,
        /// What is missing there.
        why: String,
    },
    /// The distribution's package could not be installed.
    #[error(
        "PostgreSQL is missing, and `apt-get {step}` failed ({why}); install the package `postgresql` by hand"
    )]
    Install {
        /// `update` or `install`.
        step: &'static str,
        /// The exit status, or why it could not be run.
        why: String,
    },
    /// The data was written by another major version than any that is installed.
    #[error(
        "the database in {} was made by PostgreSQL {found}, but only {installed} is installed: install \
         `postgresql-{found}`, or move that directory away to begin afresh", data.display()
    )]
    WrongVersion {
        /// The data directory.
        data: PathBuf,
        /// What its `PG_VERSION` says.
        found: String,
        /// The majors that are installed, for people.
        installed: String,
    },
    /// Another living process owns the cluster.
    #[error("the database in {} is in use by process {owner}; stop it first, or set COUNTERFOIL_HOME to another directory", root.display())]
    InUse {
        /// Where the cluster lives.
        root: PathBuf,
        /// The process id the owner left in the lock file.
        owner: String,
    },
    /// A directory that must be ours alone belongs to somebody else.
    #[error("{} belongs to user id {owner}, not to {wanted}: remove it, or run as its owner", path.display())]
    Foreign {
        /// The directory.
        path: PathBuf,
        /// Who owns it.
        owner: u32,
        /// Who should.
        wanted: u32,
    },
    /// A database exists in a place that the server's user can no longer reach.
    #[error("the database in {} cannot be reached by user id {uid}: give its parent directories the execute bit (chmod o+x)", path.display())]
    Unreachable {
        /// The directory with the data.
        path: PathBuf,
        /// The user that the server runs as.
        uid: u32,
    },
    /// A name that cannot be a database's.
    #[error(
        "`{name}` is no name for a database: small letters, digits and `_`, a letter first, at most 63"
    )]
    BadName {
        /// The name as given.
        name: String,
    },
    /// One of PostgreSQL's own programs said no.
    #[error("{program} failed: {said}")]
    Failed {
        /// The program's name.
        program: &'static str,
        /// Its last words.
        said: String,
    },
    /// The server ended, or did not become ready in time.
    #[error("PostgreSQL did not become ready ({why}); the end of {}:\n{said}", log.display())]
    NotReady {
        /// What was seen.
        why: String,
        /// The server's log.
        log: PathBuf,
        /// Its last lines.
        said: String,
    },
    /// The server did not stop in time, even when told to abandon its sessions.
    #[error("PostgreSQL (process {pid}) did not stop")]
    StopTimedOut {
        /// The postmaster.
        pid: i32,
    },
    /// The operating system said no.
    #[error("{doing} {}: {source}", path.display())]
    Io {
        /// What was tried, such as "create".
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system answered.
        source: io::Error,
    },
}

/// Names the act and the path in an [`io::Error`]: `fs::create_dir(p).map_err(io_at("create", p))`.
pub(crate) fn io_at(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ClusterError {
    let path = path.to_owned();
    move |source| ClusterError::Io {
        doing,
        path,
        source,
    }
}
