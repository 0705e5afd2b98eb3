//! Merchants and keys as they are handed out over HTTP: made, listed, rolled, ended, and by whom. Whose key is presented is
//! looked up in [`keys`](super::keys).

use aggregates::ids::MerchantId;
use chrono::{DateTime, Utc};
use secrecy::SecretString;
use sqlx::{PgConnection, Postgres, QueryBuilder};

use super::keys::hint;
use super::{KeyKind, Keys, Merchant, Scope};

/// A key as people may see it: never its secret.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct KeyRecord {
    pub key_id: String,
    /// [`KeyKind`]'s name.
    pub kind: String,
    pub scopes: Vec<String>,
    /// Whom a customer's token speaks for.
    pub customer: Option<String>,
    pub hint: String,
    pub created_at: DateTime<Utc>,
    pub created_by: String,
    pub expires_at: Option<DateTime<Utc>>,
    pub rolled_to: Option<String>,
    pub rolled_at: Option<DateTime<Utc>>,
    pub rolled_by: Option<String>,
    pub revoked_at: Option<DateTime<Utc>>,
    pub revoked_by: Option<String>,
    /// Whether it lets anybody in now, by the database's clock.
    pub live: bool,
}

/// A key that is to be made, and by whom.
pub struct NewSecret<'a> {
    pub key_id: &'a str,
    pub secret: &'a SecretString,
    pub kind: KeyKind,
    pub scopes: &'a [Scope],
    pub customer: Option<&'a str>,
    pub by: &'a str,
}

/// Which keys are asked for.
#[derive(Debug, Clone, Default)]
pub struct KeyFilter {
    pub kind: Option<KeyKind>,
    pub customer: Option<String>,
}

/// What came of making a merchant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MadeMerchant {
    New,
    /// There is one of that id.
    Exists,
    /// The Stripe account is another merchant's.
    AccountTaken,
}

/// What came of rolling a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rolled {
    /// The key that took its place.
    To(Box<KeyRecord>),
    /// It had ended, or was rolled before.
    NotLive,
}

/// What came of revoking a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Revoked {
    /// Now, or before.
    Yes(Box<KeyRecord>),
    /// It is the last that may administer the merchant.
    LastAdmin,
}

const COLUMNS: &str = "key_id, kind, scopes, customer, hint, created_at, created_by, expires_at, rolled_to, rolled_at, rolled_by, \
     revoked_at, revoked_by, revoked_at is null and (expires_at is null or expires_at > clock_timestamp()) as live";

impl Keys {
    /// Makes a merchant with its first key: there is never one that nobody can administer.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn create_merchant(
        &self,
        it: &Merchant,
        key: &NewSecret<'_>,
    ) -> Result<MadeMerchant, sqlx::Error> {
        let mut transaction = self.pool.begin().await?;
        let made = sqlx::query(
            "insert into merchants (id, name, stripe_account, enforce_minimum, created_by) values ($1, $2, $3, $4, $5)
             on conflict (id) do nothing",
        )
        .bind(it.id.as_str())
        .bind(&it.name)
        .bind(&it.stripe_account)
        .bind(it.enforce_minimum)
        .bind(key.by)
        .execute(&mut *transaction)
        .await;
        match made {
            Ok(made) if made.rows_affected() == 0 => return Ok(MadeMerchant::Exists),
            Err(sqlx::Error::Database(error))
                if error.constraint() == Some("merchants_by_stripe_account") =>
            {
                return Ok(MadeMerchant::AccountTaken);
            }
            made => made?,
        };
        self.insert_key(&mut transaction, &it.id, key).await?;
        super::rows::committed(transaction).await?;
        self.changed();
        Ok(MadeMerchant::New)
    }

    /// Changes a merchant's settings; what is none stays. None where there is no such merchant.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn update_merchant(
        &self,
        id: &MerchantId,
        name: Option<&str>,
        enforce_minimum: Option<bool>,
        by: &str,
    ) -> Result<Option<Merchant>, sqlx::Error> {
        let mut transaction = self.pool.begin().await?;
        sqlx::query(
            "update merchants set name = coalesce($2, name), enforce_minimum = coalesce($3, enforce_minimum),
                 changed_at = clock_timestamp(), changed_by = $4
             where id = $1",
        )
        .bind(id.as_str())
        .bind(name)
        .bind(enforce_minimum)
        .bind(by)
        .execute(&mut *transaction)
        .await?;
        super::rows::committed(transaction).await?;
        self.changed();
        self.merchant(id).await
    }

    /// Keeps a key (its hash). None where there is one of that id already.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn create_key(
        &self,
        merchant: &MerchantId,
        it: &NewSecret<'_>,
    ) -> Result<Option<KeyRecord>, sqlx::Error> {
        let mut transaction = self.pool.begin().await?;
        let made = self.insert_key(&mut transaction, merchant, it).await?;
        super::rows::committed(transaction).await?;
        self.changed();
        Ok(made)
    }

    /// The key of that id; none where it is another merchant's.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn key(
        &self,
        merchant: &MerchantId,
        key_id: &str,
    ) -> Result<Option<KeyRecord>, sqlx::Error> {
        let mut connection = self.pool.acquire().await?;
        found(&mut connection, merchant, key_id, "").await
    }

    /// At most `limit` keys of a merchant, in the order of their ids, beginning after `after`.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn list_keys(
        &self,
        merchant: &MerchantId,
        filter: &KeyFilter,
        after: Option<&str>,
        limit: i64,
    ) -> Result<Vec<KeyRecord>, sqlx::Error> {
        let mut sql = QueryBuilder::<Postgres>::new(format!(
            "select {COLUMNS} from api_keys where merchant = "
        ));
        sql.push_bind(merchant.as_str());
        if let Some(after) = after {
            sql.push(" and key_id > ").push_bind(after);
        }
        if let Some(kind) = filter.kind {
            sql.push(" and kind = ").push_bind(kind.to_string());
        }
        if let Some(customer) = &filter.customer {
            sql.push(" and customer = ").push_bind(customer);
        }
        sql.push(" order by key_id limit ").push_bind(limit);
        sql.build_query_as().fetch_all(&self.pool).await
    }

    /// Puts a new key in the place of a live one, with the same kind, scopes and customer. The old one lets in for
    /// `grace_s` seconds more; with 0 it is ended in the same moment. None where there is no such key.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn roll_key(
        &self,
        merchant: &MerchantId,
        key_id: &str,
        (new_id, secret): (&str, &SecretString),
        grace_s: u32,
        by: &str,
    ) -> Result<Option<Rolled>, sqlx::Error> {
        let mut transaction = self.pool.begin().await?;
        let Some(old) = found(&mut transaction, merchant, key_id, "for update").await? else {
            return Ok(None);
        };
        if !old.live || old.rolled_to.is_some() {
            return Ok(Some(Rolled::NotLive));
        }
        let sql = format!(
            "insert into api_keys (key_id, key_hash, merchant, kind, scopes, customer, hint, created_by)
             select $3, $4, merchant, kind, scopes, customer, $5, $6 from api_keys where merchant = $1 and key_id = $2
             returning {COLUMNS}"
        );
        let new: KeyRecord = sqlx::query_as(&sql)
            .bind(merchant.as_str())
            .bind(key_id)
            .bind(new_id)
            .bind(self.hash(secret).as_slice())
            .bind(hint(secret))
            .bind(by)
            .fetch_one(&mut *transaction)
            .await?;
        sqlx::query(
            "update api_keys set rolled_to = $3, rolled_at = clock_timestamp(), rolled_by = $4,
                 expires_at = clock_timestamp() + $5 * interval '1 second',
                 revoked_at = case when $5 = 0 then clock_timestamp() end, revoked_by = case when $5 = 0 then $4 end
             where merchant = $1 and key_id = $2",
        )
        .bind(merchant.as_str())
        .bind(key_id)
        .bind(new_id)
        .bind(by)
        .bind(i64::from(grace_s))
        .execute(&mut *transaction)
        .await?;
        super::rows::committed(transaction).await?;
        self.changed();
        Ok(Some(Rolled::To(Box::new(new))))
    }

    /// Ends a key, from now on here and within two seconds elsewhere, unless it is the last one that may administer the
    /// merchant. None where there is no such key.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn revoke_key(
        &self,
        merchant: &MerchantId,
        key_id: &str,
        only: Option<KeyKind>,
        by: &str,
    ) -> Result<Option<Revoked>, sqlx::Error> {
        let mut transaction = self.pool.begin().await?;
        // One at a time for a merchant: two that revoke one another's key would leave it without.
        sqlx::query("select from merchants where id = $1 for no key update")
            .bind(merchant.as_str())
            .execute(&mut *transaction)
            .await?;
        let Some(it) = found(&mut transaction, merchant, key_id, "for update").await? else {
            return Ok(None);
        };
        if only.is_some_and(|only| it.kind != only.to_string()) {
            return Ok(None);
        }
        if it.revoked_at.is_some() {
            return Ok(Some(Revoked::Yes(Box::new(it))));
        }
        if it.may_administer() && !others_may_administer(&mut transaction, merchant, key_id).await?
        {
            return Ok(Some(Revoked::LastAdmin));
        }
        let sql = format!(
            "update api_keys set revoked_at = clock_timestamp(), revoked_by = $3 where merchant = $1 and key_id = $2
             returning {COLUMNS}"
        );
        let revoked: KeyRecord = sqlx::query_as(&sql)
            .bind(merchant.as_str())
            .bind(key_id)
            .bind(by)
            .fetch_one(&mut *transaction)
            .await?;
        super::rows::committed(transaction).await?;
        self.changed();
        Ok(Some(Revoked::Yes(Box::new(KeyRecord {
            live: false,
            ..revoked
        }))))
    }

    async fn insert_key(
        &self,
        transaction: &mut PgConnection,
        merchant: &MerchantId,
        it: &NewSecret<'_>,
    ) -> Result<Option<KeyRecord>, sqlx::Error> {
        let scopes: Vec<String> = it.scopes.iter().map(Scope::to_string).collect();
        let sql = format!(
            "insert into api_keys (key_id, key_hash, merchant, kind, scopes, customer, hint, created_by)
             values ($1, $2, $3, $4, $5, $6, $7, $8) on conflict (key_id) do nothing returning {COLUMNS}"
        );
        sqlx::query_as(&sql)
            .bind(it.key_id)
            .bind(self.hash(it.secret).as_slice())
            .bind(merchant.as_str())
            .bind(it.kind.to_string())
            .bind(scopes)
            .bind(it.customer)
            .bind(hint(it.secret))
            .bind(it.by)
            .fetch_optional(transaction)
            .await
    }
}

impl KeyRecord {
    /// Whether it is one by which the merchant is administered.
    pub fn may_administer(&self) -> bool {
        self.kind == KeyKind::Native.to_string() && self.scopes.contains(&Scope::Admin.to_string())
    }
}

async fn found(
    connection: &mut PgConnection,
    merchant: &MerchantId,
    key_id: &str,
    lock: &str,
) -> Result<Option<KeyRecord>, sqlx::Error> {
    let sql = format!("select {COLUMNS} from api_keys where merchant = $1 and key_id = $2 {lock}");
    sqlx::query_as(&sql)
        .bind(merchant.as_str())
        .bind(key_id)
        .fetch_optional(connection)
        .await
}

/// A key that is about to expire does not count.
async fn others_may_administer(
    connection: &mut PgConnection,
    merchant: &MerchantId,
    key_id: &str,
) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar(
        "select exists (select from api_keys where merchant = $1 and key_id <> $2 and kind = $3 and $4 = any(scopes)
             and revoked_at is null and expires_at is null)",
    )
    .bind(merchant.as_str())
    .bind(key_id)
    .bind(KeyKind::Native.to_string())
    .bind(Scope::Admin.to_string())
    .fetch_one(connection)
    .await
}
