//! Commerce Layer's own client, in both of the versions that are about, makes and reads Stripe payments at the door.

use crate::harness::Program;
use crate::support::World;

async fn at_the_door(version: &str) {
    let world = World::start().await;
    let variables = [("SDK_KEY", "cl-acme"), ("SDK_VERSION", version)];
    let program = Program::node("commercelayer");
    program.run_at(&world, &variables).await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn commerce_layers_client_of_version_6_pays_orders_at_the_door() {
    at_the_door("6").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn commerce_layers_client_of_version_7_pays_orders_at_the_door() {
    at_the_door("7").await;
}
