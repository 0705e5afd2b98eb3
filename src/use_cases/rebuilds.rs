//! Read models rebuilt beside the live ones, as background work of the service.

use projections::books::AsOf;
use projections::rebuild::{
    Order, Outcome, Past, Projection, Rebuild, RebuildError, Refold, Watch,
};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::once::{Begun, Then};
use super::{App, AppError, Idempotency};
use crate::store::{Caller, Certificate, Commit, Found, NoReplay, RebuildRow};

/// A rebuild that is asked for.
#[derive(Debug, Clone)]
pub struct StartRebuild {
    pub projections: Vec<Projection>,
    /// Compares, and swaps nothing.
    pub dry_run: bool,
}

/// A rebuild, and what it found of the caller's own rows so far.
#[derive(Debug, Clone)]
pub struct RebuildView {
    pub rebuild: RebuildRow,
    pub certificate: Certificate,
}

/// Why a rebuild does not begin.
#[derive(Debug, thiserror::Error)]
pub enum StartRebuildError {
    #[error("another rebuild is running on this database: one at a time")]
    Running,
    #[error(transparent)]
    App(#[from] AppError),
}

/// How long a rebuild is given to end by itself when the service stops.
const GRACE: Duration = Duration::from_secs(3);
/// What a caller calls it that knows of none of that id.
const REBUILD: &str = "rebuild";

impl App {
    /// Begins a rebuild, which goes on by itself; it was begun before under the same idempotency key where the second says so.
    ///
    /// # Errors
    /// [`StartRebuildError`]; nothing was begun.
    pub async fn start_rebuild(
        &self,
        caller: &Caller,
        door: &'static str,
        it: StartRebuild,
        key: Option<Idempotency>,
    ) -> Result<(RebuildView, bool), StartRebuildError> {
        let (app, caller, context) = (self.clone(), caller.clone(), self.context(caller, door));
        self.command(async move {
            let (merchant, key) = (&caller.merchant, key.as_ref());
            let fresh = app.inner.store.ids.uuid();
            let id = match app.begin(merchant, &context, fresh, key).await? {
                Begun::Before(left) => {
                    let id = left.with::<()>(|_| None).about;
                    return Ok(Ok((app.rebuild(&caller, id).await?, true)));
                }
                Begun::Now(id) => id,
            };
            let rebuilds = &app.inner.store.rebuilds;
            // A command under this key may have been cut off after it began.
            if rebuilds.one(None, id).await?.is_none() {
                let order = Order {
                    id,
                    dry_run: it.dry_run,
                    started_by: context.actor.name.clone(),
                    merchant: Some(merchant.id.to_string()),
                    program: env!("CARGO_PKG_VERSION").to_owned(),
                    projections: it.projections,
                };
                match rebuilds.begin(&order).await {
                    Ok(Some(rebuild)) => app.go_on(rebuild, order),
                    Ok(None) => {}
                    // The one that is running may be this one, begun under the same key a moment ago.
                    Err(RebuildError::Busy) if rebuilds.one(None, id).await?.is_some() => {}
                    Err(RebuildError::Busy) => {
                        app.refused(merchant, &context, key).await?;
                        return Ok(Err(StartRebuildError::Running));
                    }
                    Err(error) => {
                        tracing::error!(%error, "a rebuild could not begin");
                        return Err(AppError::Unavailable);
                    }
                }
            }
            let (then, nothing) = (Then::after(id, 0, 1)?, Commit::default());
            app.answer_at_last(merchant, &context, then, nothing, key)
                .await?;
            Ok(Ok((app.rebuild(&caller, id).await?, false)))
        })
        .await?
    }

    /// A rebuild that the caller may know of, with what it found of the caller's own rows.
    ///
    /// # Errors
    /// [`AppError::NotFound`], also for one of another merchant's.
    pub async fn rebuild(&self, caller: &Caller, id: Uuid) -> Result<RebuildView, AppError> {
        let (store, merchant) = (&self.inner.store, &caller.merchant.id);
        let rebuild = store.rebuilds.one(Some(merchant), id).await?;
        let rebuild = rebuild.ok_or_else(|| AppError::NotFound {
            what: REBUILD,
            id: id.to_string(),
        })?;
        let certificate = store.rebuilds.certificate(Some(merchant), id).await?;
        Ok(RebuildView {
            rebuild,
            certificate,
        })
    }

    /// At most `limit` rebuilds that the caller may know of, the latest first, begun before one of them.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn rebuilds(
        &self,
        caller: &Caller,
        before: Option<Uuid>,
        limit: i64,
    ) -> Result<Found<RebuildRow>, AppError> {
        let (rebuilds, merchant) = (&self.inner.store.rebuilds, &caller.merchant.id);
        Ok(rebuilds.page(merchant, before, limit).await?)
    }

    /// What the caller's read models were, and whether what is live tells the same of then. Nothing is kept; whoever no longer waits
    /// for it ends it.
    ///
    /// # Errors
    /// [`NoReplay`].
    pub async fn read_models_as_of(
        &self,
        caller: &Caller,
        as_of: AsOf,
        projections: &[Projection],
    ) -> Result<Past, NoReplay> {
        let rebuilds = &self.inner.store.rebuilds;
        let (of, mut nobody) = ((&caller.merchant.id, as_of), ());
        tokio::select! {
            found = rebuilds.past(of, projections, &mut nobody) => found,
            () = self.stopping().cancelled() => Err(RebuildError::CalledOff.into()),
        }
    }

    /// In a task of its own, until it ends or the service stops.
    fn go_on(&self, rebuild: Rebuild<Refold>, order: Order) {
        let stopping = self.stopping().clone();
        self.inner.tasks.spawn(async move {
            let begun = Instant::now();
            let mut watch = UntilStopped(stopping.clone());
            let ended = tokio::select! {
                ended = rebuild.run(&order, &mut watch) => ended,
                () = grace(&stopping) => Err(RebuildError::CalledOff),
            };
            tell(&order, &ended, begun.elapsed());
        });
    }
}

async fn grace(stopping: &CancellationToken) {
    stopping.cancelled().await;
    tokio::time::sleep(GRACE).await;
}

struct UntilStopped(CancellationToken);

impl Watch for UntilStopped {
    fn called_off(&self) -> bool {
        self.0.is_cancelled()
    }
}

/// Says how it ended, in the log and in the metrics.
fn tell(order: &Order, ended: &Result<Outcome, RebuildError>, took: Duration) {
    let took_s = took.as_secs_f64();
    let (id, dry_run) = (order.id, order.dry_run);
    let (outcome, differences) = match ended {
        Ok(Outcome::Identical) => ("identical", 0),
        Ok(Outcome::Different { differences }) => ("different", *differences),
        Ok(Outcome::Swapped { differences, .. }) => ("swapped", *differences),
        Err(RebuildError::CalledOff) => ("abandoned", 0),
        Err(error) => {
            tracing::error!(%error, rebuild = %id, "a rebuild could not be finished");
            ("failed", 0)
        }
    };
    tracing::info!(rebuild = %id, dry_run, outcome, differences, took_s, "a rebuild has ended");
    metrics::counter!("counterfoil_rebuilds_total", "outcome" => outcome).increment(1);
    let differing = u64::try_from(differences).unwrap_or(0);
    metrics::counter!("counterfoil_rebuild_differences_total").increment(differing);
}
