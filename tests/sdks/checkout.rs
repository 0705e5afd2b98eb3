//! The checkout's door through ServiceStack's own client, and through parsers that know nothing of us.

use crate::harness::Program;
use crate::support::World;

const KEYS: [(&str, &str); 2] = [
    ("SDK_API_KEY", "bokamera-acme"),
    ("SDK_TOKEN", "customer-9"),
];

async fn at_the_door(program: Program) {
    let world = World::start().await;
    program.run_at(&world, &KEYS).await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn servicestacks_client_opens_checkouts_and_understands_refusals() {
    at_the_door(Program::node("servicestack")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pythons_parsers_read_the_same_in_every_format() {
    at_the_door(Program::python("formats")).await;
}
