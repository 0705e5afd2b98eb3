//! Webhook endpoints of merchants: where they want to be told of events, and of which. Their secrets are derived, never kept.

use aggregates::ids::MerchantId;
use chrono::{DateTime, Utc};
use hmac::{Hmac, KeyInit, Mac};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use sqlx::PgPool;
use sqlx::types::Json;
use std::collections::BTreeMap;

/// How many endpoints a merchant may have, as at Stripe.
pub const ENDPOINTS_MAX: i64 = 16;

/// The register of endpoints.
pub struct Endpoints {
    pool: PgPool,
    secrets: Hmac<Sha256>,
}

/// An endpoint as it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// `we_…`.
    pub id: String,
    pub url: String,
    /// Stripe's event types, or `*`.
    pub enabled_events: Vec<String>,
    pub description: Option<String>,
    pub metadata: BTreeMap<String, String>,
    pub api_version: Option<String>,
    pub enabled: bool,
    pub created_at: DateTime<Utc>,
    /// Which secret signs: counts up when it is rolled.
    pub generation: i32,
    /// When the secret was rolled last.
    pub rolled_at: Option<DateTime<Utc>>,
}

/// The idempotency key that an endpoint is made under, and the hash of the request.
pub struct CreationKey<'a> {
    pub key: &'a str,
    pub hash: [u8; 32],
}

/// What came of making an endpoint.
#[derive(Debug, PartialEq, Eq)]
pub enum Made {
    New(Endpoint),
    /// It was made before, under the same idempotency key.
    Again(Endpoint),
    /// The idempotency key was used for another request.
    KeyReused,
    /// The merchant has as many as it may.
    TooMany,
}

#[derive(sqlx::FromRow)]
struct Row {
    endpoint_id: String,
    url: String,
    enabled_events: Vec<String>,
    description: Option<String>,
    metadata: Json<BTreeMap<String, String>>,
    api_version: Option<String>,
    enabled: bool,
    created_at: DateTime<Utc>,
    generation: i32,
    rolled_at: Option<DateTime<Utc>>,
}

const COLUMNS: &str = "endpoint_id, url, enabled_events, description, metadata, api_version, enabled, created_at, generation, rolled_at";

impl Endpoints {
    /// `seal_key`: the key of all secrets is derived from it.
    pub fn new(pool: PgPool, seal_key: &[u8; 32]) -> Self {
        let mut derive = hasher(seal_key);
        derive.update(b"counterfoil webhook endpoints v1");
        Self {
            pool,
            secrets: hasher(&derive.finalize().into_bytes()),
        }
    }

    /// The secret of an endpoint's generation, `whsec_…`: always the same, and nowhere written down.
    pub fn secret(&self, merchant: &MerchantId, endpoint: &str, generation: i32) -> SecretString {
        let mut mac = self.secrets.clone();
        mac.update(format!("{merchant}/{endpoint}/{generation}").as_bytes());
        format!("whsec_{}", hex::encode(mac.finalize().into_bytes())).into()
    }

    /// Keeps a new endpoint, unless the merchant has [`ENDPOINTS_MAX`], or the key was used within the last day. `it.created_at`
    /// is the moment that day is counted to.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn create(
        &self,
        merchant: &MerchantId,
        it: &Endpoint,
        key: Option<CreationKey<'_>>,
    ) -> Result<Made, sqlx::Error> {
        let mut transaction = self.pool.begin().await?;
        // One at a time for a merchant, so that they are counted right.
        sqlx::query("select from merchants where id = $1 for no key update")
            .bind(merchant.as_str())
            .execute(&mut *transaction)
            .await?;
        if let Some(key) = &key
            && let Some(made) = made_before(&mut transaction, merchant, it, key).await?
        {
            return Ok(made);
        }
        let count: i64 = sqlx::query_scalar(
            "select count(*) from webhook_endpoints where merchant = $1 and deleted_at is null",
        )
        .bind(merchant.as_str())
        .fetch_one(&mut *transaction)
        .await?;
        if count >= ENDPOINTS_MAX {
            return Ok(Made::TooMany);
        }
        let sql = format!(
            "insert into webhook_endpoints (merchant, {COLUMNS}, creation_key, creation_hash)
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) returning {COLUMNS}"
        );
        let row: Row = sqlx::query_as(&sql)
            .bind(merchant.as_str())
            .bind(&it.id)
            .bind(&it.url)
            .bind(&it.enabled_events)
            .bind(&it.description)
            .bind(Json(&it.metadata))
            .bind(&it.api_version)
            .bind(it.enabled)
            .bind(it.created_at)
            .bind(it.generation)
            .bind(it.rolled_at)
            .bind(key.as_ref().map(|it| it.key))
            .bind(key.as_ref().map(|it| it.hash.as_slice()))
            .fetch_one(&mut *transaction)
            .await?;
        super::rows::committed(transaction).await?;
        Ok(Made::New(row.into()))
    }

    /// The endpoint of that id; none where it is another merchant's, or deleted.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn get(
        &self,
        merchant: &MerchantId,
        id: &str,
    ) -> Result<Option<Endpoint>, sqlx::Error> {
        let sql = format!(
            "select {COLUMNS} from webhook_endpoints where merchant = $1 and endpoint_id = $2 and deleted_at is null"
        );
        let row: Option<Row> = sqlx::query_as(&sql)
            .bind(merchant.as_str())
            .bind(id)
            .fetch_optional(&self.pool)
            .await?;
        Ok(row.map(Endpoint::from))
    }

    /// All endpoints of a merchant, newest first.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn all(&self, merchant: &MerchantId) -> Result<Vec<Endpoint>, sqlx::Error> {
        let sql = format!(
            "select {COLUMNS} from webhook_endpoints where merchant = $1 and deleted_at is null
             order by created_at desc, endpoint_id desc"
        );
        let rows: Vec<Row> = sqlx::query_as(&sql)
            .bind(merchant.as_str())
            .fetch_all(&self.pool)
            .await?;
        Ok(rows.into_iter().map(Endpoint::from).collect())
    }

    /// Changes an endpoint while nobody else does. Its id and the moment it was made stay. None where there is no such
    /// endpoint.
    ///
    /// # Errors
    /// What `change` refuses, or when the database cannot be written; nothing is changed then.
    pub async fn change<E: From<sqlx::Error>>(
        &self,
        merchant: &MerchantId,
        id: &str,
        change: impl FnOnce(&mut Endpoint) -> Result<(), E>,
    ) -> Result<Option<Endpoint>, E> {
        let mut transaction = self.pool.begin().await?;
        let sql = format!(
            "select {COLUMNS} from webhook_endpoints
             where merchant = $1 and endpoint_id = $2 and deleted_at is null for update"
        );
        let row: Option<Row> = sqlx::query_as(&sql)
            .bind(merchant.as_str())
            .bind(id)
            .fetch_optional(&mut *transaction)
            .await?;
        let Some(row) = row else {
            return Ok(None);
        };
        let mut it = Endpoint::from(row);
        change(&mut it)?;
        sqlx::query(
            "update webhook_endpoints set url = $3, enabled_events = $4, description = $5, metadata = $6, api_version = $7,
                 enabled = $8, generation = $9, rolled_at = $10
             where merchant = $1 and endpoint_id = $2",
        )
        .bind(merchant.as_str())
        .bind(id)
        .bind(&it.url)
        .bind(&it.enabled_events)
        .bind(&it.description)
        .bind(Json(&it.metadata))
        .bind(&it.api_version)
        .bind(it.enabled)
        .bind(it.generation)
        .bind(it.rolled_at)
        .execute(&mut *transaction)
        .await?;
        super::rows::committed(transaction).await?;
        Ok(Some(it))
    }

    /// Deletes an endpoint and calls off what was still to be delivered to it. False where there is no such endpoint.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn delete(&self, merchant: &MerchantId, id: &str) -> Result<bool, sqlx::Error> {
        let mut transaction = self.pool.begin().await?;
        let deleted = sqlx::query(
            "update webhook_endpoints set deleted_at = clock_timestamp(), creation_key = null, creation_hash = null
             where merchant = $1 and endpoint_id = $2 and deleted_at is null",
        )
        .bind(merchant.as_str())
        .bind(id)
        .execute(&mut *transaction)
        .await?
        .rows_affected();
        sqlx::query(
            "update webhook_deliveries
             set state = 'canceled', ended_at = clock_timestamp(), lease = null, leased_until = null
             where merchant = $1 and endpoint_id = $2 and state = 'pending'",
        )
        .bind(merchant.as_str())
        .bind(id)
        .execute(&mut *transaction)
        .await?;
        super::rows::committed(transaction).await?;
        Ok(deleted > 0)
    }
}

/// What stands under the idempotency key. One that is more than a day old is taken off first.
async fn made_before(
    transaction: &mut sqlx::PgConnection,
    merchant: &MerchantId,
    it: &Endpoint,
    key: &CreationKey<'_>,
) -> Result<Option<Made>, sqlx::Error> {
    sqlx::query(
        "update webhook_endpoints set creation_key = null, creation_hash = null
         where merchant = $1 and creation_key = $2 and created_at < $3 - interval '24 hours'",
    )
    .bind(merchant.as_str())
    .bind(key.key)
    .bind(it.created_at)
    .execute(&mut *transaction)
    .await?;
    let hash: Option<Vec<u8>> = sqlx::query_scalar(
        "select creation_hash from webhook_endpoints where merchant = $1 and creation_key = $2",
    )
    .bind(merchant.as_str())
    .bind(key.key)
    .fetch_optional(&mut *transaction)
    .await?;
    let Some(hash) = hash else {
        return Ok(None);
    };
    if hash != key.hash {
        return Ok(Some(Made::KeyReused));
    }
    let sql = format!(
        "select {COLUMNS} from webhook_endpoints where merchant = $1 and creation_key = $2"
    );
    let row: Row = sqlx::query_as(&sql)
        .bind(merchant.as_str())
        .bind(key.key)
        .fetch_one(transaction)
        .await?;
    Ok(Some(Made::Again(row.into())))
}

impl From<Row> for Endpoint {
    fn from(row: Row) -> Self {
        Self {
            id: row.endpoint_id,
            url: row.url,
            enabled_events: row.enabled_events,
            description: row.description,
            metadata: row.metadata.0,
            api_version: row.api_version,
            enabled: row.enabled,
            created_at: row.created_at,
            generation: row.generation,
            rolled_at: row.rolled_at,
        }
    }
}

fn hasher(key: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).expect("HMAC takes a key of any length")
}
