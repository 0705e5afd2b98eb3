//! Our side: the service's own store, and the replay of its log.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aggregates::ids::CommandId;
use aggregates::order::Order;
use aggregates::payment::{Payment, PaymentCommand};
use anyhow::{Result, ensure};
use counterfoil::ids::Ids;
use counterfoil::store::{Commit, Context, Decided, Store};
use cqrs_es::Aggregate;
use eventstore::{BoxError, Recorded};
use projections::rebuild::{self, Rebuild};
use sqlx::{Connection, Executor, PgConnection};

use crate::measure::Side;
use crate::work::{Life, Step, actor};

/// The store, used as the use cases use it: load, decide, commit with the rows that follow.
pub struct Ours {
    pub store: Store,
}

impl Ours {
    /// Opens the store on a migrated database.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn open(database_url: &str) -> Result<Arc<Self>> {
        let seal_key = [7; 32];
        let store = Store::open(database_url, &seal_key, Ids::system()).await?;
        Ok(Arc::new(Self { store }))
    }

    fn context(&self) -> Context {
        Context {
            actor: actor(),
            command_id: CommandId::from_uuid(self.store.ids.uuid()),
            correlation_id: self.store.ids.uuid(),
            causation_id: None,
            reason: None,
            claimed_at: None,
        }
    }

    async fn decide(&self, life: &Life, step: Step) -> Result<Commit> {
        let mut commit = Commit::default();
        match step {
            Step::Order(command) => {
                let id = life.order;
                let before = self.store.order(&life.merchant, id).await?;
                let events = before.state.decide(command)?;
                ensure!(!events.is_empty(), "a command came to nothing");
                commit.order = Some(Decided { id, before, events });
            }
            Step::Payment(command) => {
                let id = life.payment;
                // A payment's id is drawn for it, so that there is nothing to load where one is made.
                let before = match &command {
                    PaymentCommand::CreateIntent { .. } => Arc::default(),
                    _ => self.store.payment(&life.merchant, id).await?,
                };
                let events = before.state.decide(command)?;
                ensure!(!events.is_empty(), "a command came to nothing");
                commit.payment = Some(Decided { id, before, events });
            }
        }
        Ok(commit)
    }

    /// Rebuilds all read models: shadows filled, compared with the live rows, and the certificate kept; where something is to be put
    /// in place, a row is falsified before, and the shadows are indexed and swapped. How many events there are, and the time it took.
    ///
    /// # Errors
    /// When it cannot be done, or does not end as it is to.
    pub async fn rebuild(&self, owner_url: &str, end: Rebuilt) -> Result<(i64, Duration)> {
        if end == Rebuilt::PutInPlace {
            let falsify = "update orders set version = version + 1
                 where (merchant, order_id) = (select merchant, order_id from orders limit 1)";
            let mut owner = PgConnection::connect(owner_url).await?;
            owner.execute(falsify).await?;
        }
        let order = rebuild::Order {
            id: self.store.ids.uuid(),
            dry_run: false,
            started_by: "bench".to_owned(),
            merchant: None,
            program: "bench".to_owned(),
            projections: rebuild::projections(),
        };
        let reader = self.store.reader();
        let events = reader.head().await?.position;
        let start = Instant::now();
        let fold = rebuild::Refold::default();
        let rebuild = Rebuild::begin(owner_url, reader.clone(), &order.projections, fold).await;
        let mut rebuild = rebuild?;
        rebuild.record(&order).await?;
        let outcome = rebuild.run(&order, &mut Steps(start)).await?;
        let as_it_is_to = match outcome {
            rebuild::Outcome::Identical => end == Rebuilt::Identical,
            rebuild::Outcome::Swapped { .. } => end == Rebuilt::PutInPlace,
            rebuild::Outcome::Different { .. } => false,
        };
        ensure!(as_it_is_to, "{outcome:?}");
        Ok((events, start.elapsed()))
    }

    /// Folds the events up to and including a position into aggregates; the time it took.
    ///
    /// # Errors
    /// When an event is missing or is not one of ours.
    pub async fn replay(&self, to: i64) -> Result<Duration> {
        let start = Instant::now();
        let mut fold = Fold::default();
        let reader = self.store.reader();
        let count = reader.replay(0, to, |event| fold.take(event)).await;
        let count = count.map_err(|error| anyhow::anyhow!(error))?;
        let elapsed = start.elapsed();
        ensure!(i64::try_from(count)? == to, "{count} of {to} events");
        ensure!(!fold.orders.is_empty() && !fold.payments.is_empty());
        Ok(elapsed)
    }
}

/// How a rebuild ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rebuilt {
    /// What is live is what is rebuilt.
    Identical,
    /// A live row is wrong, and what is rebuilt takes the place of all.
    PutInPlace,
}

/// Tells when each step of a rebuild begins.
struct Steps(Instant);

impl rebuild::Watch for Steps {
    fn step(&mut self, what: &'static str) {
        eprintln!("  {what} at {:.1} s", self.0.elapsed().as_secs_f64());
    }
}

impl Side for Ours {
    async fn execute(&self, life: &Life, step: Step) -> Result<()> {
        let commit = self.decide(life, step).await?;
        let context = self.context();
        self.store.commit(&life.merchant, &context, commit).await?;
        Ok(())
    }
}

/// All aggregates, as their events leave them.
#[derive(Default)]
struct Fold {
    orders: HashMap<String, Order>,
    payments: HashMap<String, Payment>,
}

impl Fold {
    fn take(&mut self, event: &Recorded) -> Result<(), BoxError> {
        match event.aggregate_type.as_str() {
            Order::TYPE => apply(&mut self.orders, event),
            Payment::TYPE => apply(&mut self.payments, event),
            other => Err(format!("an event of a {other}").into()),
        }
    }
}

fn apply<A: Aggregate>(all: &mut HashMap<String, A>, event: &Recorded) -> Result<(), BoxError> {
    let fact: A::Event = event.payload_as()?;
    match all.get_mut(&event.aggregate_id) {
        Some(aggregate) => aggregate.apply(fact),
        None => {
            let mut aggregate = A::default();
            aggregate.apply(fact);
            all.insert(event.aggregate_id.clone(), aggregate);
        }
    }
    Ok(())
}
