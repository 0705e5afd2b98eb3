//! Stripe's own clients for Node and Python, unmodified and at pinned versions, run the life of payments: once against the
//! simulator, once against the door. What they take for granted is what "speaks Stripe" means.
//!
//! The programs are under `sdk/`. Their packages are installed once per lockfile, beside what cargo builds. On a machine
//! without the language a test says so and passes; where `CI=true` it fails.

mod support;

use sha2::{Digest, Sha256};
use simulator::Simulator;
use std::ffi::OsStr;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use support::{Setup, World};
use tempfile::TempDir;

/// How long a program may run. Reached only where something is broken.
const PROGRAM_WITHIN: Duration = Duration::from_secs(180);
/// What would lead the clients elsewhere than to the address they are given.
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

/// A language that Stripe's client is written for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Language {
    Node,
    Python,
}

impl Language {
    /// Its name, and that of its folder.
    fn name(self) -> &'static str {
        match self {
            Self::Node => "node",
            Self::Python => "python",
        }
    }

    /// What pins its packages.
    fn lockfile(self) -> &'static str {
        match self {
            Self::Node => "package-lock.json",
            Self::Python => "requirements.txt",
        }
    }

    /// Where its program and lockfile are.
    fn folder(self) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/sdk")
            .join(self.name())
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

    /// Installs the pinned packages into `folder`.
    fn install(self, folder: &Path) {
        match self {
            Self::Node => {
                for name in ["package.json", "package-lock.json", ".npmrc"] {
                    std::fs::copy(self.folder().join(name), folder.join(name)).unwrap();
                }
                done(
                    command("npm")
                        .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"])
                        .current_dir(folder),
                );
            }
            Self::Python => {
                done(command("python3").args(["-m", "venv"]).arg(folder));
                // The hashes are those of the universal files: nothing is to be built here.
                done(
                    command(folder.join("bin/python"))
                        .args(["-m", "pip", "install", "--quiet", "--require-hashes"])
                        .args(["--only-binary=:all:", "--disable-pip-version-check"])
                        .arg("--requirement")
                        .arg(self.folder().join(self.lockfile())),
                );
            }
        }
    }

    /// The program, ready to run. Node looks for packages in the folders above a file, so the file is copied below them.
    fn program(self, installed: &Path) -> (Command, TempDir) {
        let copy = tempfile::tempdir_in(installed).unwrap();
        copy_files(&self.folder(), copy.path());
        let (runner, main) = match self {
            Self::Node => (PathBuf::from("node"), "main.mjs"),
            Self::Python => (installed.join("bin/python"), "main.py"),
        };
        let mut program = command(runner);
        program.arg(copy.path().join(main));
        (program, copy)
    }
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

/// Copies the program's own files; `node_modules` and the like are not among them.
fn copy_files(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (path, name) = (entry.path(), entry.file_name());
        let is_code = path
            .extension()
            .is_some_and(|it| ["mjs", "py"].iter().any(|code| it == *code));
        if name == "scenarios" {
            std::fs::create_dir(to.join(&name)).unwrap();
            copy_files(&path, &to.join(&name));
        } else if is_code {
            std::fs::copy(&path, to.join(&name)).unwrap();
        }
    }
}

/// One installation at a time.
fn installing() -> MutexGuard<'static, ()> {
    static INSTALLING: Mutex<()> = Mutex::new(());
    INSTALLING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The folder with the language's packages; they are installed where they are not yet there. A folder gets its name only
/// when it is whole, so one that was cut off is never taken for one.
fn installed(language: Language, version: &str) -> PathBuf {
    let _one = installing();
    let lockfile = std::fs::read(language.folder().join(language.lockfile())).unwrap();
    let hash = Sha256::new()
        .chain_update(lockfile)
        .chain_update(version)
        .finalize();
    let home = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .parent()
        .expect("cargo keeps it below its target directory")
        .join("sdk");
    let whole = home.join(format!("{}-{}", language.name(), hex::encode(&hash[..8])));
    if whole.is_dir() {
        return whole;
    }
    std::fs::create_dir_all(&home).unwrap();
    let fresh = tempfile::tempdir_in(&home).unwrap();
    language.install(fresh.path());
    // Another process may have been faster; its folder holds the same.
    if std::fs::rename(fresh.path(), &whole).is_err() {
        assert!(whole.is_dir(), "{} cannot be made", whole.display());
    }
    whole
}

/// Whom a program talks to.
struct Target {
    base: String,
    secret_key: &'static str,
    publishable_key: &'static str,
    admin: String,
}

/// Runs the language's program against the target. Where the language is missing, says so and does nothing.
async fn run(language: Language, target: Target) {
    let Some(version) = version_or_reason(language) else {
        return;
    };
    let ran = tokio::task::spawn_blocking(move || {
        let installed = installed(language, &version);
        let (mut program, copy) = language.program(&installed);
        program
            .env("SDK_BASE", target.base)
            .env("SDK_SECRET_KEY", target.secret_key)
            .env("SDK_PUBLISHABLE_KEY", target.publishable_key)
            .env("SDK_ADMIN", target.admin)
            .env("SDK_ACCOUNT", "acct_acme");
        (program, copy)
    });
    let (program, _copy) = ran.await.unwrap();
    let mut program = tokio::process::Command::from(program);
    program.kill_on_drop(true);
    let output = tokio::time::timeout(PROGRAM_WITHIN, program.output())
        .await
        .expect("the program ends in time")
        .unwrap();
    assert!(output.status.success(), "{}", text(&output));
}

/// The version of the language, or a line that says why there is none.
fn version_or_reason(language: Language) -> Option<String> {
    let reason = match language.version() {
        Ok(version) => return Some(version),
        Err(reason) => reason,
    };
    let is_ci = std::env::var("CI").is_ok_and(|it| it == "true");
    assert!(!is_ci, "{reason}");
    // Past what the test harness holds back of a test that passes.
    let name = language.name();
    let line = format!("skipped: Stripe's client for {name}, since {reason}\n");
    std::io::stderr().write_all(line.as_bytes()).unwrap();
    None
}

async fn at_the_simulator(language: Language) {
    const SECRET_KEY: &str = "sk_test_sdk";
    const PUBLISHABLE_KEY: &str = "pk_test_sdk";
    let account = simulator::Account::new("acct_acme", SECRET_KEY, PUBLISHABLE_KEY);
    let simulator = Simulator::start(simulator::Config::new(vec![account]))
        .await
        .unwrap();
    let target = Target {
        base: simulator.url().trim_end_matches('/').to_owned(),
        secret_key: SECRET_KEY,
        publishable_key: PUBLISHABLE_KEY,
        admin: format!("{}_sim/", simulator.url()),
    };
    run(language, target).await;
    simulator.stop().await;
}

async fn at_the_door(language: Language) {
    let mut setup = Setup::default();
    // A call whose key is in use is told so, and does not wait for the other.
    setup.options.join_within = Duration::from_millis(300);
    let world = World::start_with(setup).await;
    let target = Target {
        base: format!("http://{}", world.address),
        secret_key: "sk_test_acme",
        publishable_key: "pk_test_acme",
        admin: format!("{}_sim/", world.simulator.url()),
    };
    run(language, target).await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_client_for_node_lives_through_payments_at_the_simulator() {
    at_the_simulator(Language::Node).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_client_for_python_lives_through_payments_at_the_simulator() {
    at_the_simulator(Language::Python).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_client_for_node_lives_through_payments_at_the_door() {
    at_the_door(Language::Node).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_client_for_python_lives_through_payments_at_the_door() {
    at_the_door(Language::Python).await;
}
