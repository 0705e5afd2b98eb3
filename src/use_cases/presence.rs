//! Says in the log and in the metrics how many instances share the database.

use std::time::Duration;
use tokio_util::sync::CancellationToken;

use super::App;
use crate::store::Trouble;

/// How often they are counted.
const EVERY: Duration = Duration::from_secs(5);

impl App {
    /// Is present until it is stopped.
    pub async fn run_presence(&self, stop: CancellationToken) {
        while let Err(error) = self.be_present(&stop).await {
            tracing::warn!(%error, "this instance cannot show that it is there");
            tokio::select! {
                () = tokio::time::sleep(EVERY) => {}
                () = stop.cancelled() => return,
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
            let count = u32::try_from(instances).map_or(f64::INFINITY, f64::from);
            metrics::gauge!("counterfoil_instances").set(count);
            tokio::select! {
                () = tokio::time::sleep(EVERY) => {}
                () = stop.cancelled() => {
                    presence.close().await;
                    return Ok(());
                }
            }
        }
    }
}
