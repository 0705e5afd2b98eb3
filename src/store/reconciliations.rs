//! What runs of a reconciliation are made of and work with: pages of Stripe's answers, what both sides show, what was found, and
//! who works on a run. All times are the database's.

use aggregates::ids::{MerchantId, PaymentId, ReconciliationId};
use aggregates::reconciliation::{Finding, Item, Verdict};
use sha2::{Digest, Sha256};
use sqlx::{PgConnection, PgPool};
use std::collections::HashMap;
use std::time::Duration;
use uuid::Uuid;

use super::places::Places;
use super::rows::committed;
use super::run_leases;

/// A finding as it is kept, and where it stands in the report.
pub type Numbered = (i64, Finding);

/// A break as its row has it. Times are seconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct BreakRow {
    pub break_id: Uuid,
    pub run_id: Uuid,
    pub class: String,
    pub subject: String,
    pub part: String,
    pub ours_currency: Option<String>,
    pub ours_minor: Option<i64>,
    pub theirs_currency: Option<String>,
    pub theirs_minor: Option<i64>,
    pub says: String,
    pub since: i64,
    pub due: Option<i64>,
    pub first_seen: i64,
    pub status: String,
    pub owner: Option<String>,
    pub reason: Option<String>,
    pub resolved_by: Option<String>,
    pub approved_by: Option<String>,
}

/// A run as its row has it.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct RunRow {
    pub run_id: Uuid,
    pub status: String,
    pub at: i64,
    pub tolerance_minor: i64,
    pub ledger_position: Option<i64>,
    pub snapshot_hash: Option<String>,
    pub healed: Option<i64>,
    pub payments: Option<i64>,
    pub breaks: Option<i64>,
    pub report_hash: Option<String>,
}

/// What a run works with grows from nothing while it works: a plan made for the first page, and kept, reads all of it for each of the
/// pages that follow, until the database looks at the table by itself, a minute later.
const PLANNED_ONCE: bool = false;

const RUN: &str = "run_id, status, at, tolerance_minor, ledger_position, snapshot_hash, healed, payments, breaks, report_hash";
const BREAK: &str = "break_id, run_id, class, subject, part, ours_currency, ours_minor, theirs_currency, theirs_minor, says, since, \
     due, first_seen, status, owner, reason, resolved_by, approved_by";

/// How runs are kept.
pub struct Reconciliations {
    pub(super) pool: PgPool,
    /// For those that are repeated for a caller who waits: two of a process at once, and one of a merchant.
    pub repeats: Places,
}

impl Reconciliations {
    pub(super) fn new(pool: PgPool) -> Self {
        let repeats = Places::new(2, 1);
        Self { pool, repeats }
    }

    /// The merchant's run that has not ended.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn open_run(
        &self,
        merchant: &MerchantId,
    ) -> Result<Option<ReconciliationId>, sqlx::Error> {
        let found: Option<Uuid> = sqlx::query_scalar(
            "select run_id from reconciliation_runs where merchant = $1 and status in ('reading', 'comparing')
             order by run_id limit 1",
        )
        .bind(merchant.as_str())
        .fetch_optional(&self.pool)
        .await?;
        Ok(found.map(ReconciliationId::from_uuid))
    }

    /// Whether the merchant's last run began longer ago than that, or never.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn is_due(
        &self,
        merchant: &MerchantId,
        every: Duration,
    ) -> Result<bool, sqlx::Error> {
        sqlx::query_scalar(
            "select coalesce(max(at), 0) <= extract(epoch from clock_timestamp()) - $2
                 or coalesce(bool_or(status in ('reading', 'comparing')), false)
             from reconciliation_runs where merchant = $1",
        )
        .bind(merchant.as_str())
        .bind(every.as_secs_f64())
        .fetch_one(&self.pool)
        .await
    }

    /// How far a run has come; none where nothing was kept of it.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn progress(&self, run: ReconciliationId) -> Result<Option<String>, sqlx::Error> {
        sqlx::query_scalar("select progress from reconciliation_work where run_id = $1")
            .bind(run.uuid())
            .fetch_optional(&self.pool)
            .await
    }

    /// A step of a run: what it showed and found, with how far the run has come by it. All of it or nothing: false where another
    /// has taken the run over from `holder`. A run that is only repeated is nobody's.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn step(
        &self,
        merchant: &MerchantId,
        run: ReconciliationId,
        holder: Option<Uuid>,
        step: &Step<'_>,
    ) -> Result<bool, sqlx::Error> {
        let mut transaction = self.pool.begin().await?;
        if let Some(holder) = holder
            && !run_leases::still_held(&mut transaction, merchant, holder).await?
        {
            return Ok(false);
        }
        if step.clears_ours {
            sqlx::query("delete from reconciliation_items where run_id = $1 and side = 0")
                .bind(run.uuid())
                .execute(&mut *transaction)
                .await?;
        }
        if step.clears_findings {
            sqlx::query("delete from reconciliation_findings where run_id = $1")
                .bind(run.uuid())
                .execute(&mut *transaction)
                .await?;
        }
        if let Some((number, body)) = &step.page {
            let hash = Sha256::digest(body.as_bytes());
            sqlx::query(
                "insert into reconciliation_pages (run_id, number, sha256, body) values ($1, $2, $3, $4)",
            )
            .bind(run.uuid())
            .bind(number)
            .bind(hash.as_slice())
            .bind(body)
            .execute(&mut *transaction)
            .await?;
        }
        put_items(&mut transaction, run, step.items).await?;
        put_findings(&mut transaction, run, step.findings).await?;
        sqlx::query(
            "insert into reconciliation_work (run_id, merchant, progress) values ($1, $2, $3)
             on conflict (run_id) do update set progress = excluded.progress, kept_at = clock_timestamp()",
        )
        .bind(run.uuid())
        .bind(merchant.as_str())
        .bind(step.progress)
        .execute(&mut *transaction)
        .await?;
        committed(transaction).await?;
        Ok(true)
    }

    /// The hash over all pages of a run, in hex, and how many there are.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn snapshot_hash(&self, run: ReconciliationId) -> Result<(String, u64), sqlx::Error> {
        let hashes: Vec<Vec<u8>> = sqlx::query_scalar(
            "select sha256 from reconciliation_pages where run_id = $1 order by number",
        )
        .bind(run.uuid())
        .fetch_all(&self.pool)
        .await?;
        let whole = hashes
            .iter()
            .fold(Sha256::new(), |all, it| all.chain_update(it))
            .finalize();
        let count = u64::try_from(hashes.len()).unwrap_or(u64::MAX);
        Ok((hex::encode(whole), count))
    }

    /// One page of a run, and whether its hash is still its own.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn page(
        &self,
        run: ReconciliationId,
        number: i32,
    ) -> Result<Option<(String, bool)>, sqlx::Error> {
        let found: Option<(Vec<u8>, String)> = sqlx::query_as(
            "select sha256, body from reconciliation_pages where run_id = $1 and number = $2",
        )
        .bind(run.uuid())
        .bind(number)
        .fetch_optional(&self.pool)
        .await?;
        Ok(found.map(|(hash, body)| {
            let own = Sha256::digest(body.as_bytes()).as_slice() == hash;
            (body, own)
        }))
    }

    /// What both sides show of the subjects after `after`, in their order, ours first: whole subjects, `limit` items or, where
    /// one subject has more, as many as it has.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn items(
        &self,
        run: ReconciliationId,
        after: &Place,
        limit: i64,
    ) -> Result<Vec<(Place, Item)>, sqlx::Error> {
        let rows: Vec<(String, i16, String, String)> = sqlx::query_as(
            "select subject, side, name, body from reconciliation_items
             where run_id = $1 and (subject, side, name) > ($2, $3, $4) order by subject, side, name limit $5",
        )
        .persistent(PLANNED_ONCE)
        .bind(run.uuid())
        .bind(&after.0)
        .bind(after.1)
        .bind(&after.2)
        .bind(limit)
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter()
            .map(|(subject, side, name, body)| {
                let item = parsed(&body)?;
                Ok((Place(subject, side, name), item))
            })
            .collect()
    }

    /// The subjects under which the other side showed these (`charge/ch_1`), by their names.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn subjects_of(
        &self,
        run: ReconciliationId,
        names: &[String],
    ) -> Result<HashMap<String, String>, sqlx::Error> {
        let rows: Vec<(String, String)> = sqlx::query_as(
            "select name, subject from reconciliation_items where run_id = $1 and side = 1 and name = any($2)",
        )
        .persistent(PLANNED_ONCE)
        .bind(run.uuid())
        .bind(names)
        .fetch_all(&self.pool)
        .await?;
        Ok(rows.into_iter().collect())
    }

    /// Stripe's intents of payments of ours, as far as they are known.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn intents_of(
        &self,
        merchant: &MerchantId,
        payments: &[Uuid],
    ) -> Result<HashMap<PaymentId, String>, sqlx::Error> {
        let rows: Vec<(Uuid, String)> = sqlx::query_as(
            "select payment_id, intent from payments
             where merchant = $1 and payment_id = any($2) and intent is not null",
        )
        .bind(merchant.as_str())
        .bind(payments)
        .fetch_all(&self.pool)
        .await?;
        let rows = rows.into_iter();
        Ok(rows
            .map(|(id, intent)| (PaymentId::from_uuid(id), intent))
            .collect())
    }

    /// What was found after `after`, in the order of the report.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn findings(
        &self,
        run: ReconciliationId,
        after: i64,
        limit: i64,
    ) -> Result<Vec<Numbered>, sqlx::Error> {
        let rows: Vec<(i64, String)> = sqlx::query_as(
            "select number, body from reconciliation_findings where run_id = $1 and number > $2 order by number limit $3",
        )
        .persistent(PLANNED_ONCE)
        .bind(run.uuid())
        .bind(after)
        .bind(limit)
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter()
            .map(|(number, body)| Ok((number, parsed(&body)?)))
            .collect()
    }

    /// Breaks that are not gone and that the run neither found again nor leaves open, after `after`.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn not_found_again(
        &self,
        merchant: &MerchantId,
        run: ReconciliationId,
        after: Uuid,
        limit: i64,
    ) -> Result<Vec<ReconciliationId>, sqlx::Error> {
        let rows: Vec<Uuid> = sqlx::query_scalar(
            "select break_id from reconciliation_breaks b
             where merchant = $1 and break_id > $3 and status <> 'gone' and not exists (
                 select from reconciliation_findings f where f.run_id = $2 and f.subject = b.subject and f.part = b.part
                   and (f.class is null or f.class = b.class))
             order by break_id limit $4",
        )
        .bind(merchant.as_str())
        .bind(run.uuid())
        .bind(after)
        .bind(limit)
        .fetch_all(&self.pool)
        .await?;
        Ok(rows.into_iter().map(ReconciliationId::from_uuid).collect())
    }

    /// Runs of the merchant, newest first, before `before`; where a position of the ledger is given, those that ended and were
    /// pinned there or earlier.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn runs(
        &self,
        merchant: &MerchantId,
        pinned_by: Option<i64>,
        before: Option<Uuid>,
        limit: i64,
    ) -> Result<Vec<RunRow>, sqlx::Error> {
        let sql = format!(
            "select {RUN} from reconciliation_runs
             where merchant = $1 and ($2::uuid is null or run_id < $2)
               and ($3::bigint is null or (status = 'closed' and ledger_position <= $3))
             order by run_id desc limit $4"
        );
        sqlx::query_as(&sql)
            .bind(merchant.as_str())
            .bind(before)
            .bind(pinned_by)
            .bind(limit)
            .fetch_all(&self.pool)
            .await
    }

    /// Breaks of the merchant, by their ids, after `after`; of one status only where one is named, else all but those gone.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn breaks(
        &self,
        merchant: &MerchantId,
        status: Option<&str>,
        after: Option<Uuid>,
        limit: i64,
    ) -> Result<Vec<BreakRow>, sqlx::Error> {
        let sql = format!(
            "select {BREAK} from reconciliation_breaks
             where merchant = $1 and ($2::uuid is null or break_id > $2)
               and case when $3::text is null then status <> 'gone' else status = $3 end
             order by break_id limit $4"
        );
        sqlx::query_as(&sql)
            .bind(merchant.as_str())
            .bind(after)
            .bind(status)
            .bind(limit)
            .fetch_all(&self.pool)
            .await
    }

    /// Forgets what processes that died worked with: of runs that have ended, and of repetitions of which nothing was heard for an
    /// hour. Whoever calls this works on the merchant's runs alone.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn forget_left(&self, merchant: &MerchantId) -> Result<(), sqlx::Error> {
        let left: Vec<(Uuid, bool)> = sqlx::query_as(
            "select w.run_id, r.run_id is not null from reconciliation_work w
             left join reconciliation_runs r on r.merchant = w.merchant and r.run_id = w.run_id
             where w.merchant = $1 and case when r.run_id is null then w.kept_at < clock_timestamp() - interval '1 hour'
               else r.status not in ('reading', 'comparing') end",
        )
        .bind(merchant.as_str())
        .fetch_all(&self.pool)
        .await?;
        for (run, is_a_run) in left {
            let run = ReconciliationId::from_uuid(run);
            if is_a_run {
                self.forget_items(run).await?;
            } else {
                self.forget(run).await?;
            }
        }
        Ok(())
    }

    /// The last run that was closed of those that were pinned at that position of the ledger or before it.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn pinned_by(
        &self,
        merchant: &MerchantId,
        position: i64,
    ) -> Result<Option<ReconciliationId>, sqlx::Error> {
        let found: Option<Uuid> = sqlx::query_scalar(
            "select run_id from reconciliation_runs where merchant = $1 and status = 'closed' and ledger_position <= $2
             order by ledger_position desc, at desc, run_id desc limit 1",
        )
        .bind(merchant.as_str())
        .bind(position)
        .fetch_optional(&self.pool)
        .await?;
        Ok(found.map(ReconciliationId::from_uuid))
    }

    /// Forgets what a run worked with. Its findings and its pages stay.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn forget_items(&self, run: ReconciliationId) -> Result<(), sqlx::Error> {
        self.delete(run, &["reconciliation_items", "reconciliation_work"])
            .await
    }

    /// Forgets all of a run that was only repeated.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn forget(&self, run: ReconciliationId) -> Result<(), sqlx::Error> {
        let tables = [
            "reconciliation_items",
            "reconciliation_work",
            "reconciliation_findings",
            "reconciliation_pages",
        ];
        self.delete(run, &tables).await
    }

    async fn delete(&self, run: ReconciliationId, tables: &[&str]) -> Result<(), sqlx::Error> {
        let mut transaction = self.pool.begin().await?;
        for table in tables {
            sqlx::query(&format!("delete from {table} where run_id = $1"))
                .bind(run.uuid())
                .execute(&mut *transaction)
                .await?;
        }
        committed(transaction).await
    }
}

/// A place among what both sides show: subject, side, name.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Place(pub String, pub i16, pub String);

/// What one step of a run keeps.
#[derive(Default)]
pub struct Step<'a> {
    /// What was shown of our side before is shown anew.
    pub clears_ours: bool,
    /// What was found before is found anew.
    pub clears_findings: bool,
    /// A page of the snapshot, by its number.
    pub page: Option<(i32, String)>,
    pub items: &'a [Item],
    pub findings: &'a [Numbered],
    pub progress: &'a str,
}

/// What was shown of an object before is what it was before: the later page counts.
async fn put_items(
    connection: &mut PgConnection,
    run: ReconciliationId,
    items: &[Item],
) -> Result<(), sqlx::Error> {
    if items.is_empty() {
        return Ok(());
    }
    let mut named: HashMap<(String, i16, String), String> = HashMap::new();
    for item in items {
        let (side, name) = item.name();
        let body = serde_json::to_string(item).map_err(encoding)?;
        named.insert((item.subject.to_string(), side, name), body);
    }
    let (mut subjects, mut sides, mut names, mut bodies) = (vec![], vec![], vec![], vec![]);
    for ((subject, side, name), body) in named {
        subjects.push(subject);
        sides.push(side);
        names.push(name);
        bodies.push(body);
    }
    sqlx::query(
        "insert into reconciliation_items (run_id, subject, side, name, body)
         select $1, * from unnest($2::text[], $3::smallint[], $4::text[], $5::text[])
         on conflict (run_id, subject, side, name) do update set body = excluded.body",
    )
    .bind(run.uuid())
    .bind(subjects)
    .bind(sides)
    .bind(names)
    .bind(bodies)
    .execute(connection)
    .await?;
    Ok(())
}

async fn put_findings(
    connection: &mut PgConnection,
    run: ReconciliationId,
    findings: &[Numbered],
) -> Result<(), sqlx::Error> {
    for (number, it) in findings {
        sqlx::query(
            "insert into reconciliation_findings (run_id, number, subject, part, class, body) values ($1, $2, $3, $4, $5, $6)",
        )
        .bind(run.uuid())
        .bind(number)
        .bind(it.subject.to_string())
        .bind(&it.part)
        .bind(class_of(it.verdict))
        .bind(serde_json::to_string(it).map_err(encoding)?)
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

/// The class of a break; none where nobody can say yet whether it is one.
fn class_of(it: Verdict) -> Option<&'static str> {
    match it {
        Verdict::Break { class, .. } => Some(class.into()),
        Verdict::InTransit { .. } | Verdict::Moving => None,
        Verdict::Explained | Verdict::Tolerated => Some(""),
    }
}

fn encoding(error: serde_json::Error) -> sqlx::Error {
    sqlx::Error::Encode(Box::new(error))
}

fn parsed<T: serde::de::DeserializeOwned>(body: &str) -> Result<T, sqlx::Error> {
    serde_json::from_str(body).map_err(|error| sqlx::Error::Decode(Box::new(error)))
}
