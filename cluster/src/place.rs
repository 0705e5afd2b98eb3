//! Where a cluster lives on disk, and as which user its server runs.
//!
//! PostgreSQL refuses to run as root, so root starts it as `postgres` (or `nobody`). That user must be able to
//! walk down to its data: where it cannot (a checkout below `/root`), the cluster moves to `/var/tmp` and a link stays.

use crate::error::{ClusterError, io_at};
use std::fs::{self, DirBuilder, Metadata, Permissions};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

/// A unix socket's path has at most 107 bytes (`sun_path`, with its closing zero).
const SOCKET_PATH_BYTES_MAX: usize = 107;
/// The name that PostgreSQL gives to the socket of port 5432.
const SOCKET_NAME: &str = ".s.PGSQL.5432";

/// The user that the server runs as, where that is not ourselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct User {
    pub uid: u32,
    pub gid: u32,
}

/// The directories of one cluster. All belong to the server's user, with mode 0700.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub root: PathBuf,
    pub socket_dir: PathBuf,
    pub runs_as: Option<User>,
}

impl Place {
    /// Makes (or finds again) the directories for the cluster of `home`.
    pub(crate) fn prepare(home: &Path) -> Result<Self, ClusterError> {
        let root_user = rustix::process::geteuid().is_root();
        // Root's home must be walked through by the server's user; nobody may list it either way.
        let mode = if root_user { 0o711 } else { 0o700 };
        DirBuilder::new()
            .recursive(true)
            .mode(mode)
            .create(home)
            .map_err(io_at("create", home))?;
        let home = fs::canonicalize(home).map_err(io_at("find", home))?;
        let runs_as = root_user.then(|| server_user(&home.join("postgres")));
        let root = choose_root(&home, runs_as)?;
        own_directory(&root, runs_as)?;
        let socket_dir = choose_socket_dir(&root);
        own_directory(&socket_dir, runs_as)?;
        Ok(Self {
            root,
            socket_dir,
            runs_as,
        })
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.root.join("data")
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.root.join("postgres.log")
    }
}

/// The owner of a database that is there already, else `postgres`, else `nobody`.
fn server_user(existing: &Path) -> User {
    let real = |found: &Metadata| found.is_dir() && found.uid() != 0;
    if let Some(found) = fs::symlink_metadata(existing).ok().filter(real) {
        return User {
            uid: found.uid(),
            gid: found.gid(),
        };
    }
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let known = |name| user_in(&users, name);
    known("postgres")
        .or_else(|| known("nobody"))
        .unwrap_or(User {
            uid: 65534,
            gid: 65534,
        })
}

fn user_in(passwd: &str, name: &str) -> Option<User> {
    let fields = passwd
        .lines()
        .map(|line| line.split(':').collect::<Vec<_>>());
    let found = fields
        .into_iter()
        .find(|fields| fields.first() == Some(&name))?;
    Some(User {
        uid: found.get(2)?.parse().ok()?,
        gid: found.get(3)?.parse().ok()?,
    })
}

/// `home/postgres`, or a place in `/var/tmp` with a link to it where the server's user could not get there.
fn choose_root(home: &Path, runs_as: Option<User>) -> Result<PathBuf, ClusterError> {
    let wanted = home.join("postgres");
    let Some(user) = runs_as.filter(|user| !reachable(home, *user)) else {
        return Ok(fs::canonicalize(&wanted).unwrap_or(wanted));
    };
    match fs::symlink_metadata(&wanted) {
        Ok(found) if found.is_dir() => Err(ClusterError::Unreachable {
            path: wanted,
            uid: user.uid,
        }),
        Ok(found) if found.is_symlink() && wanted.exists() => {
            fs::canonicalize(&wanted).map_err(io_at("find", &wanted))
        }
        found => {
            if found.is_ok() {
                fs::remove_file(&wanted).map_err(io_at("remove", &wanted))?;
            }
            let elsewhere = PathBuf::from(format!("/var/tmp/counterfoil-{:016x}", hash(home)));
            symlink(&elsewhere, &wanted).map_err(io_at("link", &wanted))?;
            Ok(elsewhere)
        }
    }
}

/// Whether `user` may walk down to `path`: the execute bit that applies to it, on every directory.
fn reachable(path: &Path, user: User) -> bool {
    path.ancestors().all(|dir| {
        let Ok(found) = fs::metadata(dir) else {
            return false;
        };
        let bit = match found {
            ref it if it.uid() == user.uid => 0o100,
            ref it if it.gid() == user.gid => 0o010,
            _ => 0o001,
        };
        found.mode() & bit != 0
    })
}

fn choose_socket_dir(root: &Path) -> PathBuf {
    let inside = root.join("socket");
    if inside.join(SOCKET_NAME).as_os_str().len() <= SOCKET_PATH_BYTES_MAX {
        return inside;
    }
    PathBuf::from(format!("/tmp/counterfoil-{:016x}", hash(root)))
}

/// Makes `path` a directory of the server's user alone. One that is there already must be a real directory of
/// that user: in `/tmp` anybody could have put something else in its place.
fn own_directory(path: &Path, runs_as: Option<User>) -> Result<(), ClusterError> {
    let wanted = runs_as.map_or_else(|| rustix::process::geteuid().as_raw(), |user| user.uid);
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => {
            if let Some(user) = runs_as {
                chown(path, Some(user.uid), Some(user.gid)).map_err(io_at("give away", path))?;
            }
        }
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(io_at("create", path)(error)),
    }
    let found = fs::symlink_metadata(path).map_err(io_at("find", path))?;
    if !found.is_dir() || found.uid() != wanted {
        return Err(ClusterError::Foreign {
            path: path.to_owned(),
            owner: found.uid(),
            wanted,
        });
    }
    fs::set_permissions(path, Permissions::from_mode(0o700)).map_err(io_at("close", path))
}

/// FNV-1a, 64 bits: the standard library's hasher may differ between two builds, and the place must not.
fn hash(path: &Path) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    path.as_os_str()
        .as_encoded_bytes()
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_by_its_whole_name() {
        let passwd = "root:x:0:0::/root:/bin/bash\npostgresx:x:7:7::/:/bin/sh\npostgres:x:101:104:a,b:/var/lib:/bin/sh\n";
        assert_eq!(
            user_in(passwd, "postgres"),
            Some(User { uid: 101, gid: 104 })
        );
        assert_eq!(user_in(passwd, "nobody"), None);
    }

    #[test]
    fn a_directory_closed_to_others_cannot_be_walked_through() {
        let dir = tempfile::tempdir().unwrap();
        let inner = dir.path().join("inner");
        fs::create_dir(&inner).unwrap();
        let somebody = User {
            uid: 54_321,
            gid: 54_321,
        };
        fs::set_permissions(dir.path(), Permissions::from_mode(0o700)).unwrap();
        assert!(!reachable(&inner, somebody));
        fs::set_permissions(dir.path(), Permissions::from_mode(0o711)).unwrap();
        fs::set_permissions(&inner, Permissions::from_mode(0o711)).unwrap();
        assert!(reachable(&inner, somebody));
    }

    #[test]
    fn a_long_path_gets_a_short_socket_directory_of_its_own() {
        let (one, two) = (
            PathBuf::from(format!("/{}", "a".repeat(100))),
            PathBuf::from(format!("/{}", "b".repeat(100))),
        );
        assert!(
            choose_socket_dir(&one).join(SOCKET_NAME).as_os_str().len() <= SOCKET_PATH_BYTES_MAX
        );
        assert_ne!(choose_socket_dir(&one), choose_socket_dir(&two));
        assert_eq!(
            choose_socket_dir(Path::new("/short")),
            Path::new("/short/socket")
        );
    }
}
