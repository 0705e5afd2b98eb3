//! Stripe's own clients for Node and Python run the life of payments: once against the simulator, once against the door.

use crate::harness::Program;
use crate::support::{Setup, World};
use simulator::Simulator;
use std::time::Duration;

const NODE: Program = Program::node("node");
const PYTHON: Program = Program::python("python");

async fn at_the_simulator(program: Program) {
    const SECRET_KEY: &str = "sk_test_sdk";
    const PUBLISHABLE_KEY: &str = "pk_test_sdk";
    let account = simulator::Account::new("acct_acme", SECRET_KEY, PUBLISHABLE_KEY);
    let simulator = Simulator::start(simulator::Config::new(vec![account]))
        .await
        .unwrap();
    let url = simulator.url();
    let variables = [
        ("SDK_BASE", url.trim_end_matches('/')),
        ("SDK_ADMIN", &format!("{url}_sim/")),
        ("SDK_SECRET_KEY", SECRET_KEY),
        ("SDK_PUBLISHABLE_KEY", PUBLISHABLE_KEY),
        ("SDK_ACCOUNT", "acct_acme"),
    ];
    program.run(&variables).await;
    simulator.stop().await;
}

async fn at_the_door(program: Program) {
    let mut setup = Setup::default();
    // A call whose key is in use is told so, and does not wait for the other.
    setup.options.join_within = Duration::from_millis(300);
    let world = World::start_with(setup).await;
    let variables = [
        ("SDK_SECRET_KEY", "sk_test_acme"),
        ("SDK_PUBLISHABLE_KEY", "pk_test_acme"),
        ("SDK_ACCOUNT", "acct_acme"),
    ];
    program.run_at(&world, &variables).await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_client_for_node_lives_through_payments_at_the_simulator() {
    at_the_simulator(NODE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_client_for_python_lives_through_payments_at_the_simulator() {
    at_the_simulator(PYTHON).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_client_for_node_lives_through_payments_at_the_door() {
    at_the_door(NODE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_client_for_python_lives_through_payments_at_the_door() {
    at_the_door(PYTHON).await;
}
