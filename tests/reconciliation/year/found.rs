//! What a run told, beside what it had to tell.

use super::faults::{Amount, Told};
use crate::support::World;
use crate::{Read, acme};
use aggregates::ids::ReconciliationId;
use counterfoil::ops::report::{self, Form};
use counterfoil::use_cases::{Report, ReportAmount, ReportLine};
use std::collections::BTreeSet;
use tokio_util::sync::CancellationToken;

/// Every fault was told, with its class, its place and its amounts, and nothing else was.
pub fn exactly(read: &Read, expected: Vec<Told>) {
    let breaks = read.lines.iter().filter(|it| it.verdict == "break");
    let told: Vec<Told> = breaks.map(told).collect();
    let count = (told.len(), expected.len());
    let told: BTreeSet<Told> = told.into_iter().collect();
    let expected: BTreeSet<Told> = expected.into_iter().collect();
    let missed: Vec<&Told> = expected.difference(&told).collect();
    let false_alarms: Vec<&Told> = told.difference(&expected).collect();
    assert!(
        missed.is_empty() && false_alarms.is_empty(),
        "missed {}: {missed:#?}\nfalse alarms {}: {false_alarms:#?}",
        missed.len(),
        false_alarms.len(),
    );
    assert_eq!(count.0, count.1, "nothing is told twice");
}

fn told(line: &ReportLine) -> Told {
    let class = line.class.map(|it| it.to_string()).unwrap_or_default();
    let (ours, theirs) = (amount(line.ours.as_ref()), amount(line.theirs.as_ref()));
    (class, line.subject.clone(), line.part.clone(), ours, theirs)
}

fn amount(it: Option<&ReportAmount>) -> Amount {
    it.map(|it| (it.minor, it.currency.clone()))
}

/// The run, compared again, writes the same in every form.
pub async fn repeats_to_the_byte(world: &World, run: ReconciliationId) {
    let app = world.app();
    let stop = CancellationToken::new();
    let first = app.report(&acme(), run).await.unwrap();
    let repeated = app.repeat_run(&acme(), run, &stop, |_| {}).await.unwrap();
    assert!(repeated.came_to.is_the_same());
    let (second, kept) = repeated.into_parts();
    for form in [Form::Words, Form::Json, Form::Csv, Form::Html] {
        let [first, second] = [written(&first, form).await, written(&second, form).await];
        assert!(first == second, "{form:?} is not the same");
    }
    kept.forget().await.unwrap();
}

async fn written(report: &Report, form: Form) -> Vec<u8> {
    let mut bytes = Vec::new();
    report::write(report.again(), form, &mut bytes)
        .await
        .unwrap();
    bytes
}
