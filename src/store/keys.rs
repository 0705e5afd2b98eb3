//! Merchants and their keys: who is calling, and what they may do.
//!
//! A key is 256 random bits (fixtures aside), shown once and kept as a keyed hash. Looking one up hashes what was
//! presented, so no comparison of secrets leaks its time.

use aggregates::ids::MerchantId;
use chrono::{DateTime, Utc};
use hmac::{Hmac, KeyInit, Mac};
use moka::future::Cache;
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;
use sqlx::PgPool;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How long another instance's revocation may take to be seen here.
const CACHED_FOR: Duration = Duration::from_secs(2);

/// The register of merchants and keys.
pub struct Keys {
    pub(super) pool: PgPool,
    hasher: Hmac<Sha256>,
    found: Cache<Presented, Option<Arc<Caller>>>,
    /// Counts the changes made here. What was looked up before a change is never found after it, not even by a look-up
    /// that was under way meanwhile.
    changes: AtomicU64,
}

/// A key as it was presented: after how many changes, what for, to whose door, and its hash.
type Presented = (u64, KeyKind, Option<MerchantId>, [u8; 32]);

/// What a key is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, strum::Display, strum::EnumString)]
#[strum(serialize_all = "snake_case")]
pub enum KeyKind {
    StripeSecret,
    StripePublishable,
    Offers,
    Shop,
    /// Speaks for one customer; looked up within the merchant that another key named.
    Customer,
    Bokamera,
    CommerceLayer,
    Native,
}

/// What a key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, strum::Display, strum::EnumString)]
pub enum Scope {
    #[strum(serialize = "payments:read")]
    PaymentsRead,
    #[strum(serialize = "payments:write")]
    PaymentsWrite,
    #[strum(serialize = "ledger:read")]
    LedgerRead,
    #[strum(serialize = "admin")]
    Admin,
    #[strum(serialize = "approve")]
    Approve,
    /// Make merchants.
    #[strum(serialize = "operator")]
    Operator,
}

/// A merchant, as its settings stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Merchant {
    pub id: MerchantId,
    pub name: String,
    /// The configuration name of its Stripe account.
    pub stripe_account: String,
    pub enforce_minimum: bool,
    /// What the organisation is called in answers that name it; none derives it from the merchant's id.
    pub organization: Option<String>,
}

impl Merchant {
    /// What the organisation is called in answers that name it.
    pub fn organization_id(&self) -> String {
        let set = self.organization.clone();
        set.unwrap_or_else(|| self.id.short("organization"))
    }
}

/// Whoever presented a key that is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    pub merchant: Merchant,
    pub key_id: String,
    pub scopes: Vec<Scope>,
    /// Whom a customer's token speaks for.
    pub customer: Option<String>,
}

/// A key to be kept.
pub struct NewKey<'a> {
    pub key_id: &'a str,
    pub secret: &'a SecretString,
    pub merchant: &'a MerchantId,
    pub kind: KeyKind,
    pub scopes: &'a [Scope],
    pub customer: Option<&'a str>,
}

#[derive(sqlx::FromRow)]
struct Row {
    key_id: String,
    scopes: Vec<String>,
    customer: Option<String>,
    merchant: String,
    name: String,
    stripe_account: String,
    enforce_minimum: bool,
    organization: Option<String>,
}

impl Keys {
    /// `seal_key`: the hash's key is derived from it.
    pub fn new(pool: PgPool, seal_key: &[u8; 32]) -> Self {
        let mut derive = hasher(seal_key);
        derive.update(b"counterfoil api keys v1");
        let hasher = hasher(&derive.finalize().into_bytes());
        Self {
            pool,
            hasher,
            found: Cache::builder()
                .time_to_live(CACHED_FOR)
                .max_capacity(100_000)
                .build(),
            changes: AtomicU64::new(0),
        }
    }

    /// Whose key this is; none where it is nobody's, revoked, or of another kind. A customer's token is looked for within `merchant`.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn caller(
        &self,
        kind: KeyKind,
        merchant: Option<&MerchantId>,
        presented: &SecretString,
    ) -> Result<Option<Arc<Caller>>, Arc<sqlx::Error>> {
        let hash = self.hash(presented);
        let changes = self.changes.load(Ordering::Acquire);
        let entry = (changes, kind, merchant.cloned(), hash);
        self.found
            .try_get_with(entry, self.look_up(kind, merchant, hash))
            .await
    }

    async fn look_up(
        &self,
        kind: KeyKind,
        merchant: Option<&MerchantId>,
        hash: [u8; 32],
    ) -> Result<Option<Arc<Caller>>, sqlx::Error> {
        let row: Option<Row> = sqlx::query_as(
            "select k.key_id, k.scopes, k.customer, m.id as merchant, m.name, m.stripe_account, m.enforce_minimum,
                 m.organization
             from api_keys k join merchants m on m.id = k.merchant
             where k.kind = $1 and k.key_hash = $2 and k.revoked_at is null
               and (k.expires_at is null or k.expires_at > clock_timestamp()) and ($3::text is null or m.id = $3)
             order by k.created_at limit 1",
        )
        .bind(kind.to_string())
        .bind(hash.as_slice())
        .bind(merchant.map(MerchantId::as_str))
        .fetch_optional(&self.pool)
        .await?;
        row.map(|row| Caller::try_from(row).map(Arc::new))
            .transpose()
    }

    /// The merchant of that name.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn merchant(&self, id: &MerchantId) -> Result<Option<Merchant>, sqlx::Error> {
        let row: Option<(String, String, bool, Option<String>)> = sqlx::query_as(
            "select name, stripe_account, enforce_minimum, organization from merchants where id = $1",
        )
        .bind(id.as_str())
        .fetch_optional(&self.pool)
        .await?;
        Ok(row.map(
            |(name, stripe_account, enforce_minimum, organization)| Merchant {
                id: id.clone(),
                name,
                stripe_account,
                enforce_minimum,
                organization,
            },
        ))
    }

    /// When the merchant was made.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn merchant_since(
        &self,
        id: &MerchantId,
    ) -> Result<Option<DateTime<Utc>>, sqlx::Error> {
        sqlx::query_scalar("select created_at from merchants where id = $1")
            .bind(id.as_str())
            .fetch_optional(&self.pool)
            .await
    }

    /// Makes the merchant, or brings its settings up to date.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn put_merchant(&self, it: &Merchant, fixture: bool) -> Result<(), sqlx::Error> {
        let mut transaction = self.pool.begin().await?;
        sqlx::query(
            "insert into merchants as known (id, name, stripe_account, enforce_minimum, fixture, organization)
             values ($1, $2, $3, $4, $5, $6)
             on conflict (id) do update set name = excluded.name, stripe_account = excluded.stripe_account,
                 enforce_minimum = excluded.enforce_minimum,
                 organization = coalesce(excluded.organization, known.organization)",
        )
        .bind(it.id.as_str())
        .bind(&it.name)
        .bind(&it.stripe_account)
        .bind(it.enforce_minimum)
        .bind(fixture)
        .bind(it.organization.as_deref())
        .execute(&mut *transaction)
        .await?;
        super::rows::committed(transaction).await
    }

    /// Keeps a key (its hash). A key that is kept already stays as it is, revoked or not.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn put_key(&self, it: &NewKey<'_>) -> Result<(), sqlx::Error> {
        let scopes: Vec<String> = it.scopes.iter().map(Scope::to_string).collect();
        let mut transaction = self.pool.begin().await?;
        sqlx::query(
            "insert into api_keys (key_id, key_hash, merchant, kind, scopes, customer, hint)
             values ($1, $2, $3, $4, $5, $6, $7) on conflict do nothing",
        )
        .bind(it.key_id)
        .bind(self.hash(it.secret).as_slice())
        .bind(it.merchant.as_str())
        .bind(it.kind.to_string())
        .bind(scopes)
        .bind(it.customer)
        .bind(hint(it.secret))
        .execute(&mut *transaction)
        .await?;
        super::rows::committed(transaction).await?;
        self.changed();
        Ok(())
    }

    /// From now on the key is nobody's. False where there is no such live key.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn revoke(&self, key_id: &str) -> Result<bool, sqlx::Error> {
        let mut transaction = self.pool.begin().await?;
        let revoked =
            sqlx::query("update api_keys set revoked_at = clock_timestamp(), revoked_by = 'operator' where key_id = $1 and revoked_at is null")
                .bind(key_id)
                .execute(&mut *transaction)
                .await?
                .rows_affected();
        super::rows::committed(transaction).await?;
        self.changed();
        Ok(revoked > 0)
    }

    /// Whether any merchant or key of the sandbox's fixtures is here.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn holds_fixtures(&self) -> Result<bool, sqlx::Error> {
        sqlx::query_scalar("select exists (select from merchants where fixture)")
            .fetch_one(&self.pool)
            .await
    }

    /// A keyed hash of a request, for an idempotency claim. The caller leaves the CVC out.
    pub fn fingerprint(&self, request: &[u8]) -> [u8; 32] {
        let mut hasher = self.hasher.clone();
        hasher.update(b"request\0");
        hasher.update(request);
        hasher.finalize().into_bytes().into()
    }

    /// What is in memory is old. Called once the change is committed.
    pub(super) fn changed(&self) {
        self.changes.fetch_add(1, Ordering::AcqRel);
    }

    pub(super) fn hash(&self, secret: &SecretString) -> [u8; 32] {
        let mut hasher = self.hasher.clone();
        hasher.update(secret.expose_secret().as_bytes());
        hasher.finalize().into_bytes().into()
    }
}

impl Caller {
    /// Whether the key may do this.
    pub fn may(&self, scope: Scope) -> bool {
        self.scopes.contains(&scope)
    }
}

impl TryFrom<Row> for Caller {
    type Error = sqlx::Error;

    fn try_from(row: Row) -> Result<Self, sqlx::Error> {
        let merchant = row
            .merchant
            .parse()
            .map_err(|error| sqlx::Error::Decode(Box::new(error)))?;
        let scopes: Result<Vec<Scope>, _> = row.scopes.iter().map(|scope| scope.parse()).collect();
        Ok(Self {
            merchant: Merchant {
                id: merchant,
                name: row.name,
                stripe_account: row.stripe_account,
                enforce_minimum: row.enforce_minimum,
                organization: row.organization,
            },
            key_id: row.key_id,
            scopes: scopes.map_err(|error| sqlx::Error::Decode(Box::new(error)))?,
            customer: row.customer,
        })
    }
}

/// What people may see of a key: how it begins and, where it is long, how it ends.
pub(super) fn hint(secret: &SecretString) -> String {
    let text = secret.expose_secret();
    let head: String = text.chars().take(text.len().min(8) / 2).collect();
    let tail: String = if text.len() >= 24 {
        text.chars().skip(text.chars().count() - 4).collect()
    } else {
        String::new()
    };
    format!("{head}…{tail}")
}

fn hasher(key: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).expect("HMAC takes a key of any length")
}
