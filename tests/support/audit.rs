//! The independent checker, run against a test's world: what disturbs anything ends with it.

use super::World;
use auditor::{Audit, Invariant, Report};
use counterfoil::config::StripeAccounts;
use counterfoil::ops::audit;

/// Audits the world beside its simulator, and panics with what is wrong.
pub async fn verify(world: &World) {
    clean(&report(world, |_| {}).await);
}

/// The same, where all faults have ended and everything has come to rest: nothing may be pending but what is parked.
pub async fn verify_settled(world: &World) {
    clean(&report(world, |audit| audit.settled = true).await);
}

/// What an audit of the world finds, with what `change` says besides.
pub async fn report(world: &World, change: impl FnOnce(&mut Audit)) -> Report {
    let simulator = world.simulator.url();
    let configured = StripeAccounts::default();
    let simulator = audit::simulator(&configured, &world.database_url, &simulator);
    let mut audit = Audit {
        database_url: world.database_url.clone(),
        simulator: Some(simulator.await.unwrap()),
        ..Audit::default()
    };
    change(&mut audit);
    let report = auditor::verify(&audit, &mut ()).await.unwrap();
    assert!(
        report.events > 0 && report.checked[&Invariant::I3].counted["objects at Stripe"] > 0,
        "the audit saw a world: {report:?}"
    );
    report
}

fn clean(report: &Report) {
    assert!(report.is_clean(), "\n{}", audit::in_words(report));
}
