//! The list of all points, held against the source.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

/// Every point at which the process may be let die, by where it lies. `enumerated` and `background` reach each of them, but for those
/// of reconciliations (`run-…`), which tests/reconciliation does.
pub const POINTS: [&str; 27] = [
    "answer-before",
    "append-before-commit",
    "append-before-send",
    "append-committed",
    "append-sent",
    "card-became-method",
    "checkout-closed",
    "command-begun",
    "command-ended",
    "commit-after",
    "commit-before",
    "delivery-leased",
    "delivery-sent",
    "paid-driven",
    "recovery-driven",
    "recovery-leased",
    "recovery-still-open",
    "rows-before-commit",
    "rows-committed",
    "run-closed",
    "run-decided",
    "run-stepped",
    "settlement-approved",
    "stripe-after",
    "stripe-before",
    "webhook-applied",
    "webhook-kept",
];

/// What `FAILPOINTS` has to say so that every point does this.
pub fn everywhere(action: &str) -> String {
    let each: Vec<String> = POINTS
        .iter()
        .map(|point| format!("{point}={action}"))
        .collect();
    each.join(";")
}

fn collect(dir: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, found);
        } else if path.extension().is_some_and(|it| it == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            let calls = text.split("crash_point!(\"").skip(1);
            found.extend(calls.map(|call| call.split('"').next().unwrap().to_owned()));
        }
    }
}

#[test]
fn every_point_of_the_source_is_on_the_list_and_stands_in_one_place() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    collect(&root.join("src"), &mut found);
    collect(&root.join("eventstore/src"), &mut found);
    found.sort();
    assert_eq!(found, POINTS);
}

#[test]
fn what_is_built_to_be_served_has_no_points() {
    let features = |edges: &str| {
        let listed = Command::new(env!("CARGO"))
            .args(["tree", "--offline", "--locked", "--workspace", "-e", edges])
            .args(["-i", "fail"])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .unwrap();
        let told = String::from_utf8(listed.stderr).unwrap();
        assert!(listed.status.success(), "{told}");
        let tree = String::from_utf8(listed.stdout).unwrap();
        assert!(tree.contains("eventstore"), "{tree}");
        let features = tree.lines().filter(|line| line.contains("fail feature"));
        features.map(str::to_owned).collect::<BTreeSet<_>>()
    };
    let has_them = |edges: &str| features(edges).iter().any(|it| it.contains("failpoints"));
    assert!(has_them("features"), "a test is built with them");
    assert!(!has_them("features,no-dev"));
}
