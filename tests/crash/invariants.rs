//! What holds of a world whatever has happened in it, once everything has come to its end.

use crate::support::database::end_leases;
use crate::support::{World, audit, until};
use std::time::Duration;

/// Everything that stands open, and what recovery works on.
const OPEN: &str = "select (select count(*) from payments where pending_intention is not null)
          + (select count(*) from stripe_requests where pending_intention is not null)
          + (select count(*) from refunds where status = 'requested')";

/// Lets recovery go on until nothing is open.
pub async fn until_ended(world: &World) {
    until("every intention has ended", async || {
        end_leases(world).await;
        world.app().recover(Duration::ZERO).await;
        let open: i64 = sqlx::query_scalar(OPEN)
            .fetch_one(world.app().store().pool())
            .await
            .unwrap();
        open == 0
    })
    .await;
}

/// Panics where anything is not as it was promised.
pub async fn hold(world: &World) {
    audit::verify_settled(world).await;
}
