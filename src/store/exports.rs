//! What is exported: the journal, what accounts came to, events. Read page by page, so that an export of any size is written in
//! constant memory; and the figures of orders and payments, explained.

use aggregates::books::Chart;
use aggregates::ids::MerchantId;
use eventstore::{BoxError, Reader, Recorded};
use projections::books::{AsOf, BooksError};
use projections::exports::{
    EventFilter, ExportError, JournalFilter, JournalLine, JournalLines, TotalsFilter, of_order,
    positions, totals,
};
use projections::figures::{ExplainError, FiguresExplained, figures};
use projections::lives::Subject;
use projections::periods::Total;
use sqlx::PgPool;
use std::time::{Duration, Instant};

use super::BooksReader;
use super::places::{Place, Places};

/// How many events are held in memory.
const AT_ONCE: i64 = 500;
/// How many exports run at once in a process, and of one merchant: each may hold a connection for as long as it is read.
const RUN_AT_ONCE: usize = 6;
const OF_ONE_AT_ONCE: usize = 3;
/// How long one may take, however it is read.
const TAKES_MAX: Duration = Duration::from_secs(30 * 60);

/// What is exported of one merchant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    Journal(JournalFilter),
    Balances(TotalsFilter),
    Events(EventFilter),
}

/// Why there is no export, or no more of it.
#[derive(Debug, thiserror::Error)]
pub enum NoExport {
    #[error(transparent)]
    Export(#[from] ExportError),
    /// The merchant, or the process, has enough of them under way.
    #[error("too many exports are under way")]
    TooMany,
    #[error("the export took longer than {} minutes", TAKES_MAX.as_secs() / 60)]
    TooSlow,
    /// The database cannot be read.
    #[error(transparent)]
    Broken(#[from] BoxError),
}

/// Reads what is exported.
#[derive(Debug, Clone)]
pub struct Exports {
    pool: PgPool,
    reader: Reader,
    books: BooksReader,
    places: Places,
}

/// What an export is of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportHead {
    /// `journal`, `balances` or `events`.
    pub what: &'static str,
    pub merchant: MerchantId,
    /// The last position of the ledger that is in it.
    pub ledger_position: i64,
    /// How many rows follow.
    pub rows: i64,
    /// What the merchant's own books called our accounts at that position, where that is asked for.
    pub chart: Option<Chart>,
}

/// An export that is being read.
pub struct Export {
    pub head: ExportHead,
    rest: Rest,
    begun: Instant,
    _place: Place,
}

/// The next rows of an export.
#[derive(Debug, Clone, PartialEq)]
pub enum ExportRows {
    Journal(Vec<JournalLine>),
    Balances(Vec<Total>),
    Events(Vec<Recorded>),
}

enum Rest {
    Journal(Box<JournalLines>),
    Balances(Vec<Total>),
    /// Events after the one position and up to the other. The log never changes, so each page is of the same snapshot.
    Events(Reader, i64, i64),
    /// Those of one order.
    Life(Vec<Recorded>),
    Nothing,
}

impl Exports {
    pub fn new(pool: PgPool) -> Self {
        Self {
            reader: Reader::new(pool.clone()),
            books: BooksReader::new(pool.clone()),
            places: Places::new(RUN_AT_ONCE, OF_ONE_AT_ONCE),
            pool,
        }
    }

    /// Begins an export, with the merchant's own names of our accounts where it is `charted`.
    ///
    /// # Errors
    /// [`NoExport`].
    pub async fn begin(
        &self,
        merchant: &MerchantId,
        what: What,
        as_of: AsOf,
        charted: bool,
    ) -> Result<Export, NoExport> {
        let place = self.places.take(merchant).ok_or(NoExport::TooMany)?;
        let (head, rest) = match what {
            What::Journal(filter) => self.journal(merchant, filter, as_of, charted).await?,
            What::Balances(filter) => self.balances(merchant, filter, as_of, charted).await?,
            What::Events(filter) => self.events(merchant, filter, as_of).await?,
        };
        Ok(Export {
            head,
            rest,
            begun: Instant::now(),
            _place: place,
        })
    }

    async fn journal(
        &self,
        merchant: &MerchantId,
        filter: JournalFilter,
        as_of: AsOf,
        charted: bool,
    ) -> Result<(ExportHead, Rest), ExportError> {
        drop(self.books.caught_up(merchant).await?);
        let mut lines = JournalLines::open(&self.pool, merchant, filter, as_of).await?;
        let chart = match charted {
            true => Some(lines.chart(merchant).await?),
            false => None,
        };
        let head = ExportHead {
            what: "journal",
            merchant: merchant.clone(),
            ledger_position: lines.ledger_position,
            rows: lines.rows,
            chart,
        };
        Ok((head, Rest::Journal(Box::new(lines))))
    }

    async fn balances(
        &self,
        merchant: &MerchantId,
        filter: TotalsFilter,
        as_of: AsOf,
        charted: bool,
    ) -> Result<(ExportHead, Rest), ExportError> {
        drop(self.books.caught_up(merchant).await?);
        let found = totals(&self.pool, merchant, filter, as_of).await?;
        let head = ExportHead {
            what: "balances",
            merchant: merchant.clone(),
            ledger_position: found.ledger_position,
            rows: counted(found.totals.len()),
            chart: charted.then_some(found.chart),
        };
        Ok((head, Rest::Balances(found.totals)))
    }

    async fn events(
        &self,
        merchant: &MerchantId,
        filter: EventFilter,
        as_of: AsOf,
    ) -> Result<(ExportHead, Rest), ExportError> {
        let mut connection = self.pool.acquire().await.map_err(BooksError::from)?;
        let (after, upto) = positions(&mut connection, merchant, filter.recorded, as_of).await?;
        let (rows, rest) = match filter.order {
            None => {
                let rows = upto.saturating_sub(after).max(0);
                (rows, Rest::Events(self.reader.clone(), after, upto))
            }
            Some(order) => {
                let mut life = of_order(&mut connection, merchant, order, upto).await?;
                life.retain(|it| it.ledger_position > after);
                (counted(life.len()), Rest::Life(life))
            }
        };
        let head = ExportHead {
            what: "events",
            merchant: merchant.clone(),
            ledger_position: upto,
            rows,
            chart: None,
        };
        Ok((head, rest))
    }

    /// The figures of an order or a payment, as they stood; none of what had not begun by then.
    ///
    /// # Errors
    /// [`ExplainError`].
    pub async fn figures(
        &self,
        merchant: &MerchantId,
        subject: Subject,
        as_of: AsOf,
    ) -> Result<Option<FiguresExplained>, ExplainError> {
        let mut connection = self.pool.acquire().await.map_err(BooksError::from)?;
        figures(&mut connection, merchant, subject, as_of).await
    }

    /// What a merchant's own books called our accounts, and the position of the ledger that this is as of.
    ///
    /// # Errors
    /// [`ExportError`].
    pub async fn chart(
        &self,
        merchant: &MerchantId,
        as_of: AsOf,
    ) -> Result<(i64, Chart), ExportError> {
        let mut connection = self.pool.acquire().await.map_err(BooksError::from)?;
        let upto = projections::books::position_as_of(&mut connection, merchant, as_of).await?;
        let chart = projections::exports::chart(&mut connection, merchant, upto).await?;
        Ok((upto, chart))
    }
}

impl Export {
    /// The next rows; none at the end.
    ///
    /// # Errors
    /// [`NoExport::TooSlow`], and where they cannot be read: what came is not all there is.
    pub async fn next(&mut self) -> Result<Option<ExportRows>, NoExport> {
        if self.begun.elapsed() > TAKES_MAX {
            return Err(NoExport::TooSlow);
        }
        let rows = match std::mem::replace(&mut self.rest, Rest::Nothing) {
            Rest::Journal(mut lines) => {
                let page = lines.next().await.map_err(broken)?;
                if page.is_empty() {
                    return Ok(None);
                }
                self.rest = Rest::Journal(lines);
                ExportRows::Journal(page)
            }
            Rest::Balances(totals) => ExportRows::Balances(totals),
            Rest::Life(life) => ExportRows::Events(life),
            Rest::Events(reader, after, upto) if after < upto => {
                let merchant = self.head.merchant.as_str();
                let limit = upto.saturating_sub(after).min(AT_ONCE);
                let page = reader.read_ledger(merchant, after, limit).await;
                let page = page.map_err(broken)?;
                let last = page.last().map_or(upto, |it| it.ledger_position);
                self.rest = Rest::Events(reader, last, upto);
                ExportRows::Events(page)
            }
            Rest::Events(..) | Rest::Nothing => return Ok(None),
        };
        Ok(Some(rows))
    }
}

fn broken(error: impl Into<BoxError>) -> NoExport {
    NoExport::Broken(error.into())
}

fn counted(rows: usize) -> i64 {
    i64::try_from(rows).unwrap_or(i64::MAX)
}
