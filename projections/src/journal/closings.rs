//! Which months of which ledger were closed when: what decides in which month an entry is posted.

use aggregates::books::{Books, BooksEvent, Month};
use aggregates::ids::books_aggregate_id;
use cqrs_es::Aggregate;
use eventstore::{BoxError, Recorded};
use sqlx::PgConnection;
use std::collections::HashMap;

/// The closings of some ledgers, as their events tell of them.
#[derive(Debug, Default)]
pub(crate) struct Closings {
    /// By ledger: at which position its books were closed through which month, oldest first.
    known: HashMap<String, Vec<(i64, Month)>>,
}

impl Closings {
    /// Takes note of a closing, if the event is one. A page may be handled again, so a closing is known by its position and
    /// taken once.
    ///
    /// # Errors
    /// When the event cannot be read.
    pub(crate) fn note(&mut self, event: &Recorded) -> Result<(), BoxError> {
        if event.aggregate_type != Books::TYPE {
            return Ok(());
        }
        let BooksEvent::PeriodClosed { through, .. } = event.payload_as()? else {
            return Ok(());
        };
        let closings = self.known.entry(event.ledger.clone()).or_default();
        if closings.last().is_none_or(|(at, _)| *at < event.position) {
            closings.push((event.position, through));
        }
        Ok(())
    }

    /// Through which month the books of the event's ledger were closed when it was recorded.
    pub(crate) fn before(&self, event: &Recorded) -> Option<Month> {
        let closings = self.known.get(&event.ledger);
        let mut earlier = closings.into_iter().flatten().rev();
        earlier
            .find(|(position, _)| *position < event.position)
            .map(|(_, month)| *month)
    }

    /// Makes the closings of the event's ledger known up to that event, for who did not see the log from its start.
    pub(crate) async fn know(
        &mut self,
        connection: &mut PgConnection,
        event: &Recorded,
    ) -> Result<(), BoxError> {
        if !self.known.contains_key(&event.ledger) {
            let read = read(connection, event).await?;
            self.known.insert(event.ledger.clone(), read);
        }
        Ok(())
    }
}

/// The closings of a ledger up to an event, oldest first.
async fn read(
    connection: &mut PgConnection,
    event: &Recorded,
) -> Result<Vec<(i64, Month)>, BoxError> {
    let stream = books_aggregate_id(&event.ledger.parse()?);
    let rows: Vec<(i64, String)> = sqlx::query_as(
        "select position, payload::text from events
         where aggregate_type = $1 and aggregate_id = $2 and position <= $3 order by position",
    )
    .bind(Books::TYPE)
    .bind(stream)
    .bind(event.position)
    .fetch_all(connection)
    .await?;
    let mut closings = Vec::new();
    for (position, payload) in rows {
        if let BooksEvent::PeriodClosed { through, .. } = serde_json::from_str(&payload)? {
            closings.push((position, through));
        }
    }
    Ok(closings)
}
