//! Rebuilds of read models: begun here, as the database's owner, and read back with their certificates.

use aggregates::ids::MerchantId;
use chrono::{DateTime, Utc};
use eventstore::Reader;
use projections::books::AsOf;
use projections::rebuild::{
    self, Difference, Order, Past, Projection, Rebuild, RebuildError, Refold, TableThen, Told,
    Watch,
};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use sqlx::FromRow;
use uuid::Uuid;

use super::BooksReader;
use super::lists::Found;
use super::places::Places;

/// How many replays of the past run at once in a process, and of one merchant: each holds two connections of its own, and a
/// processor.
const REPLAYS_AT_ONCE: usize = 2;
const OF_ONE_AT_ONCE: usize = 1;

/// What can be rebuilt, and what was.
pub struct Rebuilds {
    url: SecretString,
    reader: Reader,
    replays: Places,
}

/// Why the past is not replayed.
#[derive(Debug, thiserror::Error)]
pub enum NoReplay {
    /// The merchant, or the process, has enough of them under way.
    #[error("too many replays are under way")]
    TooMany,
    #[error(transparent)]
    Rebuild(#[from] RebuildError),
}

/// A rebuild, as it stands. Positions are those of the whole log, which nobody outside sees.
#[derive(Debug, Clone, FromRow)]
pub struct RebuildRow {
    pub id: Uuid,
    /// Names and versions of the folds.
    pub projections: Vec<String>,
    pub dry_run: bool,
    pub program: String,
    pub started_by: String,
    pub state: String,
    pub step: String,
    pub error: Option<String>,
    pub started_at: DateTime<Utc>,
    pub ended_at: Option<DateTime<Utc>>,
    pub filled_to: i64,
    pub head: i64,
    pub compared_at: Option<i64>,
    pub swapped_at: Option<i64>,
}

/// One merchant's rows of one table, live and rebuilt, where they were compared.
#[derive(Debug, Clone, FromRow)]
pub struct ComparedRow {
    pub table_name: String,
    pub merchant: String,
    pub ledger_position: i64,
    pub live_rows: i64,
    pub rebuilt_rows: i64,
    pub live_checksum: Vec<u8>,
    pub rebuilt_checksum: Vec<u8>,
    pub differences: i64,
}

/// A column that differs, or a row that only one side has.
#[derive(Debug, Clone, FromRow)]
pub struct DifferenceRow {
    pub table_name: String,
    pub merchant: String,
    pub row_key: Value,
    pub what: String,
    pub column_name: Option<String>,
    pub live: Option<Value>,
    pub rebuilt: Option<Value>,
}

impl DifferenceRow {
    /// The first differences of a table from what it was.
    pub fn of(then: &TableThen) -> Vec<Self> {
        let table = then.projection.table();
        let row = |it: &Difference, told: Told<'_>| Self {
            table_name: table.name.to_owned(),
            merchant: it.merchant.clone(),
            row_key: Value::Object(it.row_key(table)),
            what: told.what.to_owned(),
            column_name: told.column.map(str::to_owned),
            live: told.live.cloned(),
            rebuilt: told.rebuilt.cloned(),
        };
        let rows = |it| {
            Difference::told(it)
                .into_iter()
                .map(move |told| row(it, told))
        };
        then.listed.iter().flat_map(rows).collect()
    }
}

/// What a rebuild found.
#[derive(Debug, Clone)]
pub struct Certificate {
    pub tables: Vec<ComparedRow>,
    /// The first of the differences.
    pub differences: Vec<DifferenceRow>,
}

const COLUMNS: &str = "id, projections, dry_run, program, started_by, state, step, error, started_at, ended_at, filled_to, \
     head, compared_at, swapped_at";

impl Rebuilds {
    /// `url` is the database as its owner.
    pub fn new(url: &str, reader: Reader) -> Self {
        Self {
            url: url.to_owned().into(),
            reader,
            replays: Places::new(REPLAYS_AT_ONCE, OF_ONE_AT_ONCE),
        }
    }

    /// Takes the one rebuild's lock, and records that it begins. None where it has begun before: two at once were asked for
    /// under one key.
    ///
    /// # Errors
    /// [`RebuildError::Busy`]; when the database cannot be used, or its user does not own the schema.
    pub async fn begin(&self, order: &Order) -> Result<Option<Rebuild<Refold>>, RebuildError> {
        let (url, reader) = (self.url.expose_secret(), self.reader.clone());
        let rebuild = Rebuild::begin(url, reader, &order.projections, Refold::default());
        let mut rebuild = rebuild.await?;
        Ok(rebuild.record(order).await?.then_some(rebuild))
    }

    /// See [`rebuild::past`].
    ///
    /// # Errors
    /// [`NoReplay`].
    pub async fn past(
        &self,
        (merchant, as_of): (&MerchantId, AsOf),
        projections: &[Projection],
        watch: &mut dyn Watch,
    ) -> Result<Past, NoReplay> {
        let _place = self.replays.take(merchant).ok_or(NoReplay::TooMany)?;
        let books = BooksReader::new(self.reader.pool().clone());
        drop(
            books
                .caught_up(merchant)
                .await
                .map_err(RebuildError::from)?,
        );
        let (url, reader) = (self.url.expose_secret(), &self.reader);
        Ok(rebuild::past(url, reader, (merchant, as_of), projections, watch).await?)
    }

    /// One that the merchant may know of: begun with its own key, or on the command line. None asks for everybody.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn one(
        &self,
        merchant: Option<&MerchantId>,
        id: Uuid,
    ) -> Result<Option<RebuildRow>, sqlx::Error> {
        let sql = format!(
            "select {COLUMNS} from rebuilds where id = $1 and ($2::text is null or coalesce(merchant, $2) = $2)"
        );
        sqlx::query_as(&sql)
            .bind(id)
            .bind(merchant.map(MerchantId::as_str))
            .fetch_optional(self.reader.pool())
            .await
    }

    /// At most `limit` of them, the latest first, begun before the one of that id.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn page(
        &self,
        merchant: &MerchantId,
        before: Option<Uuid>,
        limit: i64,
    ) -> Result<Found<RebuildRow>, sqlx::Error> {
        let sql = format!(
            "select {COLUMNS} from rebuilds where coalesce(merchant, $1) = $1 and ($2::uuid is null or id < $2)
             order by id desc limit $3"
        );
        let mut items: Vec<RebuildRow> = sqlx::query_as(&sql)
            .bind(merchant.as_str())
            .bind(before)
            .bind(limit.saturating_add(1))
            .fetch_all(self.reader.pool())
            .await?;
        let limit = usize::try_from(limit).unwrap_or(0);
        let has_more = items.len() > limit;
        items.truncate(limit);
        Ok(Found { items, has_more })
    }

    /// What it found: of one merchant's rows, or of everybody's.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn certificate(
        &self,
        merchant: Option<&MerchantId>,
        id: Uuid,
    ) -> Result<Certificate, sqlx::Error> {
        let merchant = merchant.map(MerchantId::as_str);
        let tables = sqlx::query_as(
            "select table_name, merchant, ledger_position, live_rows, rebuilt_rows, live_checksum, rebuilt_checksum,
                    differences
             from rebuild_tables where rebuild = $1 and ($2::text is null or merchant = $2)
             order by table_name, merchant",
        )
        .bind(id)
        .bind(merchant)
        .fetch_all(self.reader.pool())
        .await?;
        let differences = sqlx::query_as(
            "select table_name, merchant, row_key, what, column_name, live, rebuilt
             from rebuild_differences where rebuild = $1 and ($2::text is null or merchant = $2) order by number",
        )
        .bind(id)
        .bind(merchant)
        .fetch_all(self.reader.pool())
        .await?;
        Ok(Certificate {
            tables,
            differences,
        })
    }
}

/// The projections of these names; all of them where none is named.
///
/// # Errors
/// The name that is none.
pub fn projections_named(names: &[String]) -> Result<Vec<Projection>, String> {
    let all = projections::rebuild::projections();
    if let Some(unknown) = names
        .iter()
        .find(|name| all.iter().all(|it| it.name() != name.as_str()))
    {
        return Err(unknown.clone());
    }
    let wanted = |it: &Projection| names.is_empty() || names.iter().any(|name| name == it.name());
    Ok(all.into_iter().filter(wanted).collect())
}
