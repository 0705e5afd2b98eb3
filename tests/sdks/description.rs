//! Schemathesis against the service, by the service's own description: `tests/sdk/schemathesis`.
//!
//! Planted bug that turns this red: an operation whose 404 the description does not know.

use super::harness::Program;
use super::support::World;
use std::time::Duration;

/// How many requests are drawn for each operation, unless `FUZZ_EXAMPLES` says otherwise: `make fuzz-api` does.
const EXAMPLES: &str = "3";
/// Bounded runs are the same every time.
const SEED: &str = "1";
/// For a long run; a bounded one takes a minute or two.
const WITHIN: Duration = Duration::from_secs(4 * 3600);

#[tokio::test(flavor = "multi_thread")]
async fn no_request_that_a_stranger_draws_from_the_description_is_answered_otherwise() {
    let world = World::start().await;
    let long = std::env::var("FUZZ_EXAMPLES").ok();
    let seed = std::env::var("FUZZ_SEED").ok();
    let seed = seed.or_else(|| long.is_none().then(|| SEED.to_owned()));
    let examples = long.as_deref().unwrap_or(EXAMPLES);
    let mut variables = vec![("SDK_EXAMPLES", examples)];
    variables.extend(seed.as_deref().map(|seed| ("SDK_SEED", seed)));
    if long.is_some() {
        variables.push(("SDK_LONG", "1"));
    }
    let program = Program::python("schemathesis").within(WITHIN);
    if let Some(said) = program.run_at(&world, &variables).await {
        assert!(said.contains("Tested"), "nothing was asked: {said}");
        // Shown by `--nocapture`, as `make fuzz-api` has it.
        println!("{said}");
    }
    world.stop().await;
}
