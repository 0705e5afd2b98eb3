//! Programs from outside: written for somebody else's client, run unmodified against what is served here.
//!
//! A program is a folder of `tests/sdk`: `main.mjs` with a `package-lock.json`, or `main.py` with a `requirements.txt`
//! (each file with its hash). Without either it needs its language alone. Packages are installed once per lockfile,
//! beside what cargo builds. Exit code 0 says that all is as it should be; what it printed is shown when it is not.
//!
//! Where what runs it is missing from the machine, a test says so and passes; where `CI=true` it fails.
#![allow(
    dead_code,
    reason = "each test binary with programs uses its own part of this"
)]

use crate::support::World;
use sha2::{Digest, Sha256};
use std::ffi::OsStr;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tempfile::TempDir;

/// How long a program may run unless it says otherwise. Reached only where something is broken.
const WITHIN: Duration = Duration::from_secs(180);
/// What would lead the programs elsewhere than to the address they are given.
const MISLEADING: &[&str] = &[
    "HTTP_PROXY",
    "http_proxy",
    "HTTPS_PROXY",
    "https_proxy",
    "ALL_PROXY",
    "all_proxy",
    "NODE_OPTIONS",
    "PYTHONHOME",
    "PYTHONPATH",
];
/// How Debian, and others, name the browser.
const BROWSERS: &[&str] = &["chromium", "chromium-browser", "google-chrome"];

/// What runs a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Language {
    Node,
    Python,
}

impl Language {
    /// What pins its packages.
    fn lockfile(self) -> &'static str {
        match self {
            Self::Node => "package-lock.json",
            Self::Python => "requirements.txt",
        }
    }

    /// The version of what runs it here, or why nothing does.
    fn version(self) -> Result<String, String> {
        match self {
            Self::Node => {
                let script = "if (parseInt(process.versions.node) < 18) process.exit(1); console.log(process.version)";
                let version = probe("node", &["-e", script], "node, version 18 or newer")?;
                probe("npm", &["--version"], "npm")?;
                Ok(version)
            }
            Self::Python => {
                let script = "import sys, venv, ensurepip; assert sys.version_info >= (3, 9); print(sys.version)";
                let what = "python3, version 3.9 or newer, with venv";
                probe("python3", &["-c", script], what)
            }
        }
    }

    /// Installs the packages that are pinned in `program` into `folder`.
    fn install(self, program: &Path, folder: &Path) {
        match self {
            Self::Node => {
                for name in ["package.json", "package-lock.json"] {
                    std::fs::copy(program.join(name), folder.join(name)).unwrap();
                }
                done(
                    command("npm")
                        .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"])
                        .current_dir(folder),
                );
            }
            Self::Python => {
                done(command("python3").args(["-m", "venv"]).arg(folder));
                // Nothing is built here: a hash is that of a file which runs as it is.
                done(
                    command(folder.join("bin/python"))
                        .args(["-m", "pip", "install", "--quiet", "--require-hashes"])
                        .args(["--only-binary=:all:", "--disable-pip-version-check"])
                        .arg("--requirement")
                        .arg(program.join(self.lockfile())),
                );
            }
        }
    }

    /// What starts it, and the file that it starts.
    fn runner(self, installed: &Path) -> (PathBuf, &'static str) {
        let of_packages = installed.join("bin/python");
        match self {
            Self::Node => (PathBuf::from("node"), "main.mjs"),
            Self::Python if of_packages.exists() => (of_packages, "main.py"),
            Self::Python => (PathBuf::from("python3"), "main.py"),
        }
    }
}

/// A program, named as its folder in `tests/sdk` is.
#[derive(Clone, Copy, Debug)]
pub struct Program {
    name: &'static str,
    language: Language,
    within: Duration,
    needs_browser: bool,
}

impl Program {
    /// `tests/sdk/<name>/main.mjs`.
    pub const fn node(name: &'static str) -> Self {
        Self::new(name, Language::Node)
    }

    /// `tests/sdk/<name>/main.py`.
    pub const fn python(name: &'static str) -> Self {
        Self::new(name, Language::Python)
    }

    const fn new(name: &'static str, language: Language) -> Self {
        Self {
            name,
            language,
            within: WITHIN,
            needs_browser: false,
        }
    }

    /// The same, with another limit of time.
    pub const fn within(self, within: Duration) -> Self {
        Self { within, ..self }
    }

    /// The same, for a program that drives the browser that it finds in `SDK_BROWSER`.
    pub const fn with_browser(self) -> Self {
        Self {
            needs_browser: true,
            ..self
        }
    }

    /// Runs it with these variables in its environment. Answers what it printed; nothing where it cannot run here.
    pub async fn run(self, variables: &[(&str, &str)]) -> Option<String> {
        let found = self.found_or_reason()?;
        let ready = tokio::task::spawn_blocking(move || self.ready(&found));
        let (mut program, _copy) = ready.await.unwrap();
        program.envs(variables.iter().copied());
        let mut program = tokio::process::Command::from(program);
        program.kill_on_drop(true);
        let output = tokio::time::timeout(self.within, program.output())
            .await
            .unwrap_or_else(|_| panic!("{} does not end in {:?}", self.name, self.within))
            .unwrap();
        assert!(output.status.success(), "{}", text(&output));
        Some(text(&output))
    }

    /// Runs it against a service: `SDK_BASE` is its address, `SDK_ADMIN` that of the simulator's own handles.
    pub async fn run_at(self, world: &World, variables: &[(&str, &str)]) -> Option<String> {
        let base = format!("http://{}", world.address);
        let admin = format!("{}_sim/", world.simulator.url());
        let usual = [("SDK_BASE", base.as_str()), ("SDK_ADMIN", admin.as_str())];
        self.run(&[&usual[..], variables].concat()).await
    }

    fn folder(self) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/sdk")
            .join(self.name)
    }

    /// What runs it on this machine, or a line that says why nothing does.
    fn found_or_reason(self) -> Option<Found> {
        let reason = match self.found() {
            Ok(found) => return Some(found),
            Err(reason) => reason,
        };
        let is_ci = std::env::var("CI").is_ok_and(|it| it == "true");
        assert!(!is_ci, "{reason}");
        // Past what the test harness holds back of a test that passes.
        let line = format!("skipped: tests/sdk/{}, since {reason}\n", self.name);
        std::io::stderr().write_all(line.as_bytes()).unwrap();
        None
    }

    fn found(self) -> Result<Found, String> {
        let version = self.language.version()?;
        let browser = self.needs_browser.then(browser).transpose()?;
        Ok(Found { version, browser })
    }

    /// The program, ready to run. Node looks for packages in the folders above a file, so the file is copied below them.
    fn ready(self, found: &Found) -> (Command, TempDir) {
        let home = Path::new(env!("CARGO_TARGET_TMPDIR"))
            .parent()
            .expect("cargo keeps it below its target directory")
            .join("sdk");
        let installed = self.installed(&home, &found.version);
        let copy = tempfile::tempdir_in(&installed).unwrap();
        copy_files(&self.folder(), copy.path());
        let (runner, main) = self.language.runner(&installed);
        let mut program = command(runner);
        program.arg(copy.path().join(main));
        if let Some(browser) = &found.browser {
            program.env("SDK_BROWSER", browser);
        }
        (program, copy)
    }

    /// The folder with its packages; they are installed where they are not yet there. A folder gets its name only when it
    /// is whole, so one that was cut off is never taken for one.
    fn installed(self, home: &Path, version: &str) -> PathBuf {
        let _one = installing();
        std::fs::create_dir_all(home).unwrap();
        let Ok(lockfile) = std::fs::read(self.folder().join(self.language.lockfile())) else {
            return home.to_owned();
        };
        let hash = Sha256::new()
            .chain_update(lockfile)
            .chain_update(version)
            .finalize();
        let whole = home.join(format!("{}-{}", self.name, hex::encode(&hash[..8])));
        if whole.is_dir() {
            return whole;
        }
        let fresh = tempfile::tempdir_in(home).unwrap();
        self.language.install(&self.folder(), fresh.path());
        // Another process may have been faster; its folder holds the same.
        if std::fs::rename(fresh.path(), &whole).is_err() {
            assert!(whole.is_dir(), "{} cannot be made", whole.display());
        }
        whole
    }
}

/// What runs a program on this machine.
struct Found {
    /// Of the language.
    version: String,
    browser: Option<PathBuf>,
}

/// One installation at a time.
fn installing() -> MutexGuard<'static, ()> {
    static INSTALLING: Mutex<()> = Mutex::new(());
    INSTALLING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The whole path of the browser: what drives it wants that.
fn browser() -> Result<PathBuf, String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let named = BROWSERS
        .iter()
        .flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
    let found = named.filter(|it| it.is_file()).find(|it| {
        let version = command(it).arg("--version").output();
        version.is_ok_and(|it| it.status.success())
    });
    found.ok_or_else(|| "there is no Chromium on this machine".to_owned())
}

/// A command that nothing in the environment leads astray.
fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.stdin(Stdio::null());
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    MISLEADING.iter().for_each(|name| {
        command.env_remove(name);
    });
    command
}

/// A command that installs: it may need what leads to the packages.
fn done(command: &mut Command) {
    for name in &MISLEADING[..6] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}\n{}", text(&output));
}

fn probe(program: &str, args: &[&str], what: &str) -> Result<String, String> {
    match command(program).args(args).output() {
        Ok(output) if output.status.success() => {
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        }
        _ => Err(format!("there is no {what} on this machine")),
    }
}

fn text(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// Copies the program's own files: not what was installed beside them by hand, nor what Python leaves behind.
fn copy_files(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (path, name) = (entry.path(), entry.file_name());
        if name == "node_modules" || name == "__pycache__" {
            continue;
        }
        if path.is_dir() {
            std::fs::create_dir(to.join(&name)).unwrap();
            copy_files(&path, &to.join(&name));
        } else {
            std::fs::copy(&path, to.join(&name)).unwrap();
        }
    }
}
