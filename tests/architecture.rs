//! The arrows of the house, and a few rules that a reader may rely on, held by reading the sources as text.
//! The standard library alone: `make check` compiles and runs this file by itself, in seconds.
//!
//! Each rule is a function from a path and a line (or a manifest) to "this breaks it"; `planted` gives each of them
//! a line that breaks it, and one that comes near, so that no rule can go blind unseen.

#[path = "architecture/planted.rs"]
mod planted;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

const OURS: [&str; 6] = [
    "aggregates",
    "auditor",
    "cluster",
    "eventstore",
    "projections",
    "simulator",
];
const LINES_PER_FILE_MAX: usize = 600;

// ---- The tree -------------------------------------------------------------------------------------------------

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every Rust file of the repository, by its path from the root, with its text.
fn sources() -> Vec<(String, String)> {
    let mut files = Vec::new();
    collect(root(), &mut files);
    assert!(
        files.len() > 30,
        "only {} source files were found: is this the root?",
        files.len()
    );
    let relative = |path: &Path| {
        path.strip_prefix(root())
            .unwrap()
            .to_string_lossy()
            .into_owned()
    };
    files
        .iter()
        .map(|path| (relative(path), fs::read_to_string(path).unwrap()))
        .collect()
}

fn collect(dir: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
        let (path, name) = (
            entry.path(),
            entry.file_name().to_string_lossy().into_owned(),
        );
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            collect(&path, files);
        } else if name.ends_with(".rs") {
            files.push(path);
        }
    }
}

/// The lines that are code: comments are cut off, and a file's tests, which may reach further, end it.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let numbered = text
        .lines()
        .enumerate()
        .map(|(index, line)| (index + 1, line));
    numbered
        .take_while(|(_, line)| !line.starts_with("#[cfg(test)]"))
        .map(|(number, line)| (number, uncommented(line)))
}

fn uncommented(line: &str) -> &str {
    // The `//` of a URL is no comment.
    let comment = line
        .match_indices("//")
        .find(|(at, _)| !line[..*at].ends_with(':'));
    comment.map_or(line, |(at, _)| &line[..at])
}

/// A rule about lines of code: whether the line, in the file of that path, breaks it.
type Rule = fn(&str, &str) -> bool;

fn broken(rule: Rule) -> Vec<String> {
    let files = sources();
    let lines = files
        .iter()
        .flat_map(|(path, text)| code(text).map(move |(number, line)| (path, number, line)));
    let bad = lines.filter(|(path, _, line)| rule(path, line));
    bad.map(|(path, number, line)| format!("{path}:{number}: {}", line.trim()))
        .collect()
}

fn hold(rule: Rule) {
    let broken = broken(rule);
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

/// Whether `word` stands in `line` as a whole identifier.
fn names(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let part = |c: char| c.is_alphanumeric() || c == '_';
        !line[..at].ends_with(part) && !line[at + word.len()..].starts_with(part)
    })
}

// ---- Arrows between crates ------------------------------------------------------------------------------------

/// The keys of `[section]` in a manifest: the names of dependencies.
fn section<'a>(manifest: &'a str, section: &str) -> BTreeSet<&'a str> {
    let after = manifest
        .lines()
        .skip_while(|line| line.trim() != format!("[{section}]"))
        .skip(1);
    let lines = after.take_while(|line| !line.starts_with('['));
    lines
        .filter_map(|line| line.split(['.', '=', ' ']).next())
        .filter(|name| !name.is_empty() && !name.starts_with('#'))
        .collect()
}

/// What `crate_name` depends on of ours without being allowed to. Tests may start a database besides.
fn wrong_arrows(manifest: &str, allowed: &[&str]) -> Vec<String> {
    let wrong = |kind: &str, also: &[&str]| {
        let named = section(manifest, kind);
        let ours = OURS
            .into_iter()
            .filter(|it| named.contains(it) && !allowed.contains(it) && !also.contains(it));
        ours.map(|it| format!("{kind}: {it}")).collect::<Vec<_>>()
    };
    [
        wrong("dependencies", &[]),
        wrong("dev-dependencies", &["cluster"]),
        wrong("build-dependencies", &[]),
    ]
    .concat()
}

fn manifest(crate_name: &str) -> String {
    fs::read_to_string(root().join(crate_name).join("Cargo.toml")).unwrap()
}

#[test]
fn aggregates_eventstore_simulator_and_cluster_depend_on_nothing_of_ours() {
    for name in ["aggregates", "eventstore", "simulator", "cluster"] {
        assert_eq!(wrong_arrows(&manifest(name), &[]), [""; 0], "{name}");
    }
}

/// What the auditor checks cannot hide in what it shares with the checked, not even in its tests.
#[test]
fn the_auditor_depends_on_nothing_of_ours() {
    assert_eq!(wrong_arrows(&manifest("auditor"), &[]), [""; 0]);
}

#[test]
fn projections_depend_only_on_the_event_store_and_the_aggregates() {
    assert_eq!(
        wrong_arrows(&manifest("projections"), &["eventstore", "aggregates"]),
        [""; 0]
    );
}

#[test]
fn the_workspace_has_no_crate_that_these_rules_do_not_know() {
    let members = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let line = members
        .lines()
        .find(|line| line.starts_with("members"))
        .unwrap()
        .to_owned();
    let found: BTreeSet<_> = line.split('"').skip(1).step_by(2).collect();
    assert_eq!(found, BTreeSet::from(OURS));
}

// ---- The aggregates are pure ----------------------------------------------------------------------------------

/// What would let a rule read the world: files, sockets, databases, clocks, chance.
const WORLDLY: &str = "async-stripe axum futures getrandom http hyper log metrics rand reqwest rustix sqlx \
                       tokio tracing";

fn worldly(manifest: &str) -> Vec<&str> {
    section(manifest, "dependencies")
        .into_iter()
        .filter(|it| WORLDLY.split(' ').any(|worldly| worldly == *it))
        .collect()
}

/// Names that read the world, other than in tests (golden files are read from disk).
fn reads_the_world(path: &str, line: &str) -> bool {
    let clocks = "SystemTime::now Instant::now Utc::now Local::now Uuid::now_v7 Uuid::new_v4";
    let doors = "std::fs std::net std::env std::process std::thread println! eprintln!";
    let tests =
        path.ends_with("/tests.rs") || path.ends_with("/testing.rs") || path.contains("/tests/");
    let mut named = clocks.split(' ').chain(doors.split(' '));
    path.starts_with("aggregates/src/") && !tests && named.any(|it| line.contains(it))
}

#[test]
fn aggregates_depend_on_no_crate_that_does_input_or_output() {
    assert_eq!(worldly(&manifest("aggregates")), [""; 0]);
}

#[test]
fn aggregates_ask_no_clock_no_chance_and_no_file() {
    hold(reads_the_world);
}

// ---- Arrows inside src ----------------------------------------------------------------------------------------

/// Every folder in `src/doors/` is a door; a file beside them is shared by all.
static DOORS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let entries = fs::read_dir(root().join("src/doors")).unwrap();
    let folders = entries
        .map(Result::unwrap)
        .filter(|entry| entry.path().is_dir());
    let names = folders.map(|entry| entry.file_name().into_string().unwrap());
    names.collect()
});

fn door_of(path: &str) -> Option<&str> {
    let (door, _file) = path.strip_prefix("src/doors/")?.split_once('/')?;
    Some(door)
}

fn names_another_door(path: &str, line: &str) -> bool {
    let Some(own) = door_of(path) else {
        return false;
    };
    let mut others = DOORS.iter().filter(|door| *door != own);
    let reaching = line.contains("doors::") || line.contains("super::");
    reaching && others.any(|other| names(line, other))
}

/// Where a wire format is spoken: these translate, and leave the world to the use cases.
fn is_an_edge(path: &str) -> bool {
    [
        "src/doors/",
        "src/ledger_api/",
        "src/console/",
        "src/webhooks/",
    ]
    .iter()
    .any(|edge| path.starts_with(edge))
}

fn reaches_past_the_use_cases(path: &str, line: &str) -> bool {
    is_an_edge(path)
        && (names(line, "sqlx") || names(line, "gateway::") || line.contains("crate::gateway"))
}

fn knows_who_stands_on_it(path: &str, line: &str) -> bool {
    let mut above = "doors ledger_api console webhooks use_cases store gateway".split(' ');
    path.starts_with("src/http/") && above.any(|it| line.contains(&format!("crate::{it}")))
}

fn speaks_a_wire_format_inside(path: &str, line: &str) -> bool {
    let inside = ["src/use_cases/", "src/store/", "src/gateway/"]
        .iter()
        .any(|it| path.starts_with(it));
    inside && (names(line, "axum") || line.contains("crate::doors") || line.contains("crate::http"))
}

#[test]
fn a_door_names_no_other_door() {
    hold(names_another_door);
}

#[test]
fn doors_name_neither_the_gateway_nor_sqlx() {
    hold(reaches_past_the_use_cases);
}

#[test]
fn what_the_doors_share_knows_no_door_and_nothing_inside() {
    hold(knows_who_stands_on_it);
}

#[test]
fn use_cases_store_and_gateway_know_no_door_and_no_web_framework() {
    hold(speaks_a_wire_format_inside);
}

/// Red when the folders are looked for elsewhere: then every door would keep the rule above.
#[test]
fn the_doors_that_these_rules_know_are_the_documents() {
    let mut doors = DOORS.clone();
    doors.retain(|door| names("checkout offers payment_intents shop stripe_payments", door));
    assert_eq!(doors.len(), 5, "{DOORS:?}");
}

// ---- One place each -------------------------------------------------------------------------------------------

/// Names one of async-stripe's crates.
fn names_async_stripe(line: &str) -> bool {
    let crates = "stripe stripe_client_core stripe_core stripe_payment stripe_shared stripe_types";
    crates.split(' ').any(|it| {
        let path = format!("{it}::");
        let begins = |at: usize| {
            !line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':')
        };
        line.match_indices(&path).any(|(at, _)| begins(at))
    })
}

fn names_async_stripe_outside(path: &str, line: &str) -> bool {
    let service = path.starts_with("src/") && !path.starts_with("src/gateway/");
    let pure = [
        "aggregates/src/",
        "eventstore/src/",
        "projections/src/",
        "simulator/src/",
        "cluster/src/",
        "auditor/src/",
    ];
    (service || pure.iter().any(|it| path.starts_with(it))) && names_async_stripe(line)
}

/// A statement that changes the log. The store's own files and the tests, which try what must not work, may hold one.
fn changes_the_log(path: &str, line: &str) -> bool {
    let words = line
        .to_ascii_lowercase()
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ");
    let verbs = [
        "insert into events",
        "update events",
        "delete from events",
        "truncate events",
        "truncate table events",
    ];
    let exempt =
        path.starts_with("eventstore/") || path.contains("tests/") || path.starts_with("benches/");
    !exempt && verbs.iter().any(|it| names(&words, it))
}

/// Puts a handler where no list of routes knows of it.
fn hides_a_route(path: &str, line: &str) -> bool {
    let past = [
        "route",
        "route_service",
        "nest",
        "nest_service",
        "fallback",
        "fallback_service",
    ];
    let past = past.iter().any(|it| line.contains(&format!(".{it}(")));
    path.starts_with("src/") && path != "src/http/routes.rs" && past
}

#[test]
fn every_route_is_on_the_list_of_routes() {
    hold(hides_a_route);
}

#[test]
fn only_the_gateway_names_async_stripe() {
    hold(names_async_stripe_outside);
}

#[test]
fn exactly_one_file_names_async_stripe() {
    let names_it = |text: &str| code(text).any(|(_, line)| names_async_stripe(line));
    let in_src = |path: &str| path.starts_with("src/");
    let files: Vec<_> = sources()
        .into_iter()
        .filter(|(path, text)| in_src(path) && names_it(text))
        .collect();
    assert_eq!(
        files.len(),
        1,
        "{:?}",
        files.iter().map(|(path, _)| path).collect::<Vec<_>>()
    );
}

#[test]
fn only_the_event_store_writes_events() {
    hold(changes_the_log);
}

// ---- Amounts --------------------------------------------------------------------------------------------------

fn holds_a_float(path: &str, line: &str) -> bool {
    let exact = path.starts_with("aggregates/") || path.starts_with("projections/");
    exact && (names(line, "f32") || names(line, "f64"))
}

/// `as` to a number, of something that is named like money.
fn casts_an_amount(_path: &str, line: &str) -> bool {
    let money = ["amount", "minor", "total", "price", "fee", "balance"];
    line.match_indices(" as ").any(|(at, found)| {
        let to: String = line[at + found.len()..]
            .chars()
            .take_while(|c| c.is_alphanumeric())
            .collect();
        let number = to
            .strip_prefix(['i', 'u', 'f'])
            .is_some_and(|rest| rest == "size" || rest.parse::<u8>().is_ok());
        let ends_word = |c: char| !(c.is_alphanumeric() || "_.()".contains(c));
        let what = line[..at].rsplit(ends_word).next().unwrap_or_default();
        number && money.iter().any(|it| what.contains(it))
    })
}

#[test]
fn aggregates_and_projections_know_no_floats() {
    hold(holds_a_float);
}

#[test]
fn no_amount_is_cast() {
    hold(casts_an_amount);
}

// ---- Readers --------------------------------------------------------------------------------------------------

fn is_too_long(text: &str) -> bool {
    text.lines().count() > LINES_PER_FILE_MAX
}

#[test]
fn no_file_is_longer_than_a_reader_can_hold() {
    let long: Vec<_> = sources()
        .into_iter()
        .filter(|(_, text)| is_too_long(text))
        .map(|(path, _)| path)
        .collect();
    assert!(long.is_empty(), "over {LINES_PER_FILE_MAX} lines: {long:?}");
}

/// What is not finished, or switched off. Put together here, so that this file does not name it.
fn is_left_over(_path: &str, line: &str) -> bool {
    let left = [
        ("to", "do!("),
        ("unimple", "mented!("),
        ("#[ig", "nore"),
        ("db", "g!("),
    ];
    left.iter()
        .any(|(head, tail)| line.contains(&[*head, *tail].concat()))
}

/// `unwrap` says nothing when it fails; outside of tests `?` or an `expect` with its reason stands there.
fn unwraps(path: &str, line: &str) -> bool {
    let tests =
        path.ends_with("tests.rs") || path.ends_with("/testing.rs") || path.contains("tests/");
    let program = path.starts_with("src/") || path.contains("/src/");
    program && !tests && line.contains(".unwrap()")
}

#[test]
fn nothing_is_unfinished_or_switched_off() {
    hold(is_left_over);
}

#[test]
fn nothing_is_unwrapped_outside_of_tests() {
    hold(unwraps);
}
