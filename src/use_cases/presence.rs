//! Says in the log and in the metrics how many instances share the database.

use std::time::Duration;
use tokio_util::sync::CancellationToken;

use super::App;
use super::worker::{gauge, goes_on_after};
use crate::store::Trouble;

/// How often they are counted.
const EVERY: Duration = Duration::from_secs(5);

impl App {
    /// Is present until it is stopped.
    pub async fn run_presence(&self, stop: CancellationToken) {
        while let Err(error) = self.be_present(&stop).await {
            tracing::warn!(%error, "this instance cannot show that it is there");
            if !goes_on_after(EVERY, &stop).await {
                return;
            }
        }
    }

    async fn be_present(&self, stop: &CancellationToken) -> Result<(), Trouble> {
        let mut presence = self.inner.store.present().await?;
        let mut known = 0;
        loop {
            let instances = presence.count().await?;
            if instances != known {
                tracing::info!(instances, "instances that share this database");
                known = instances;
            }
            gauge("counterfoil_instances", instances);
            if !goes_on_after(EVERY, stop).await {
                presence.close().await;
                return Ok(());
            }
        }
    }
}
