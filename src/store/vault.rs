//! Seals personal data under a key of its subject's own, and opens it again.
//!
//! Each subject's key is random, wrapped under the master key (`COUNTERFOIL_SEAL_KEY`) and kept in `subject_keys`.
//! Deleting that row makes the data unreadable in every event, and leaves the events as they are.

use aggregates::ids::MerchantId;
use aggregates::sealed::Sealed;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::PgPool;

use crate::ids::Ids;

/// The vault of all subjects.
pub struct Vault {
    pool: PgPool,
    master: XChaCha20Poly1305,
    ids: Ids,
}

/// Personal data could not be sealed or opened.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    #[error("the vault cannot be reached: {0}")]
    Database(#[from] sqlx::Error),
    /// Another master key sealed it, or somebody changed it.
    #[error("the data does not open under this key")]
    WrongKey,
    #[error("personal data is not what it should be: {0}")]
    Shape(#[from] serde_json::Error),
}

const NONCE_BYTES: usize = 24;

impl Vault {
    /// `seal_key`: the 32 bytes of `COUNTERFOIL_SEAL_KEY`.
    pub fn new(pool: PgPool, seal_key: &[u8; 32], ids: Ids) -> Self {
        Self {
            pool,
            master: XChaCha20Poly1305::new(seal_key.into()),
            ids,
        }
    }

    /// Seals `data` for `subject`, whose key is made where there is none yet.
    ///
    /// # Errors
    /// When the key cannot be read or written.
    pub async fn seal<T: Serialize>(
        &self,
        merchant: &MerchantId,
        subject: &str,
        data: &T,
    ) -> Result<Sealed, VaultError> {
        let key = match self.key(merchant, subject).await? {
            Some(key) => key,
            None => self.make_key(merchant, subject).await?,
        };
        let nonce: [u8; NONCE_BYTES] = self.ids.bytes();
        let text = serde_json::to_vec(data)?;
        let ciphertext = cipher(&key)
            .encrypt(
                XNonce::from_slice(&nonce),
                Payload {
                    msg: &text,
                    aad: subject.as_bytes(),
                },
            )
            .map_err(|_| VaultError::WrongKey)?;
        Ok(Sealed {
            subject: subject.to_owned(),
            nonce: STANDARD.encode(nonce),
            ciphertext: STANDARD.encode(ciphertext),
        })
    }

    /// Opens what was sealed; none where its subject's key was deleted.
    ///
    /// # Errors
    /// When the key cannot be read, or does not fit.
    pub async fn open<T: DeserializeOwned>(
        &self,
        merchant: &MerchantId,
        sealed: &Sealed,
    ) -> Result<Option<T>, VaultError> {
        let Some(key) = self.key(merchant, &sealed.subject).await? else {
            return Ok(None);
        };
        let decode = |text: &str| STANDARD.decode(text).map_err(|_| VaultError::WrongKey);
        let (nonce, ciphertext) = (decode(&sealed.nonce)?, decode(&sealed.ciphertext)?);
        if nonce.len() != NONCE_BYTES {
            return Err(VaultError::WrongKey);
        }
        let text = cipher(&key)
            .decrypt(
                XNonce::from_slice(&nonce),
                Payload {
                    msg: &ciphertext,
                    aad: sealed.subject.as_bytes(),
                },
            )
            .map_err(|_| VaultError::WrongKey)?;
        Ok(Some(serde_json::from_slice(&text)?))
    }

    async fn key(
        &self,
        merchant: &MerchantId,
        subject: &str,
    ) -> Result<Option<[u8; 32]>, VaultError> {
        let wrapped: Option<Vec<u8>> = sqlx::query_scalar(
            "select wrapped_key from subject_keys where merchant = $1 and subject = $2",
        )
        .bind(merchant.as_str())
        .bind(subject)
        .fetch_optional(&self.pool)
        .await?;
        wrapped
            .map(|wrapped| self.unwrap_key(merchant, subject, &wrapped))
            .transpose()
    }

    /// Two callers may make one at once: the first row stays, and both use it.
    async fn make_key(&self, merchant: &MerchantId, subject: &str) -> Result<[u8; 32], VaultError> {
        let wrapped = self.wrap_key(merchant, subject, &self.ids.bytes())?;
        let mut transaction = self.pool.begin().await?;
        sqlx::query("insert into subject_keys (merchant, subject, wrapped_key) values ($1, $2, $3) on conflict do nothing")
            .bind(merchant.as_str())
            .bind(subject)
            .bind(wrapped)
            .execute(&mut *transaction)
            .await?;
        super::rows::committed(transaction).await?;
        self.key(merchant, subject)
            .await?
            .ok_or(VaultError::WrongKey)
    }

    /// Nonce, then ciphertext; bound to merchant and subject.
    fn wrap_key(
        &self,
        merchant: &MerchantId,
        subject: &str,
        key: &[u8; 32],
    ) -> Result<Vec<u8>, VaultError> {
        let nonce: [u8; NONCE_BYTES] = self.ids.bytes();
        let bound = format!("{merchant}/{subject}");
        let sealed = self
            .master
            .encrypt(
                XNonce::from_slice(&nonce),
                Payload {
                    msg: key,
                    aad: bound.as_bytes(),
                },
            )
            .map_err(|_| VaultError::WrongKey)?;
        Ok([nonce.as_slice(), &sealed].concat())
    }

    fn unwrap_key(
        &self,
        merchant: &MerchantId,
        subject: &str,
        wrapped: &[u8],
    ) -> Result<[u8; 32], VaultError> {
        let bound = format!("{merchant}/{subject}");
        let (nonce, sealed) = wrapped
            .split_at_checked(NONCE_BYTES)
            .ok_or(VaultError::WrongKey)?;
        let key = self
            .master
            .decrypt(
                XNonce::from_slice(nonce),
                Payload {
                    msg: sealed,
                    aad: bound.as_bytes(),
                },
            )
            .map_err(|_| VaultError::WrongKey)?;
        key.try_into().map_err(|_| VaultError::WrongKey)
    }
}

fn cipher(key: &[u8; 32]) -> XChaCha20Poly1305 {
    XChaCha20Poly1305::new(key.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn pool() -> PgPool {
        let url = cluster::Cluster::shared_for_tests().fresh_database("cf_vault");
        let pool = PgPool::connect(&url).await.unwrap();
        sqlx::raw_sql(include_str!("../../migrations/0012_vault.sql"))
            .execute(&pool)
            .await
            .unwrap();
        pool
    }

    fn vault(pool: &PgPool, seal_key: u8) -> Vault {
        Vault::new(pool.clone(), &[seal_key; 32], Ids::seeded(seal_key.into()))
    }

    fn merchant(id: &str) -> MerchantId {
        id.parse().unwrap()
    }

    async fn open(
        vault: &Vault,
        merchant: &MerchantId,
        sealed: &Sealed,
    ) -> Result<Option<String>, VaultError> {
        vault.open(merchant, sealed).await
    }

    async fn keep_key(pool: &PgPool, merchant: &MerchantId, subject: &str, wrapped: &[u8]) {
        sqlx::query(
            "insert into subject_keys (merchant, subject, wrapped_key) values ($1, $2, $3)",
        )
        .bind(merchant.as_str())
        .bind(subject)
        .bind(wrapped)
        .execute(pool)
        .await
        .unwrap();
    }

    #[tokio::test]
    async fn what_was_sealed_opens_until_its_key_is_deleted_and_under_no_other_master_key() {
        let (pool, acme) = (pool().await, merchant("acme"));
        let vault = vault(&pool, 7);
        let sealed = vault.seal(&acme, "order/1", &"canary").await.unwrap();
        assert_eq!(
            open(&vault, &acme, &sealed).await.unwrap().as_deref(),
            Some("canary")
        );
        let other = self::vault(&pool, 8);
        assert!(matches!(
            open(&other, &acme, &sealed).await,
            Err(VaultError::WrongKey)
        ));
        sqlx::query("delete from subject_keys")
            .execute(&pool)
            .await
            .unwrap();
        assert_eq!(open(&vault, &acme, &sealed).await.unwrap(), None);
    }

    /// Planted bug: sealing without the subject as associated data opens it.
    #[tokio::test]
    async fn what_was_sealed_for_one_subject_opens_for_no_other_even_under_the_same_key() {
        let (pool, acme) = (pool().await, merchant("acme"));
        let vault = vault(&pool, 7);
        let mut sealed = vault.seal(&acme, "order/1", &"canary").await.unwrap();
        let key = vault.key(&acme, "order/1").await.unwrap().unwrap();
        let wrapped = vault.wrap_key(&acme, "order/2", &key).unwrap();
        keep_key(&pool, &acme, "order/2", &wrapped).await;
        assert_eq!(vault.key(&acme, "order/2").await.unwrap(), Some(key));
        sealed.subject = "order/2".to_owned();
        assert!(matches!(
            open(&vault, &acme, &sealed).await,
            Err(VaultError::WrongKey)
        ));
    }

    /// Planted bug: wrapping a key without merchant and subject as associated data opens it.
    #[tokio::test]
    async fn a_key_copied_to_another_merchant_opens_nothing() {
        let (pool, acme, rival) = (pool().await, merchant("acme"), merchant("rival"));
        let vault = vault(&pool, 7);
        let sealed = vault.seal(&acme, "order/1", &"canary").await.unwrap();
        let wrapped: Vec<u8> = sqlx::query_scalar("select wrapped_key from subject_keys")
            .fetch_one(&pool)
            .await
            .unwrap();
        keep_key(&pool, &rival, "order/1", &wrapped).await;
        assert!(matches!(
            open(&vault, &rival, &sealed).await,
            Err(VaultError::WrongKey)
        ));
    }

    #[tokio::test]
    async fn callers_that_make_a_subjects_key_at_once_all_seal_under_the_one_that_stays() {
        let (pool, acme) = (pool().await, merchant("acme"));
        let vault = vault(&pool, 7);
        let seal = async || vault.seal(&acme, "order/1", &"canary").await.unwrap();
        let (one, other) = tokio::join!(seal(), seal());
        for sealed in [one, other] {
            assert_eq!(
                open(&vault, &acme, &sealed).await.unwrap().as_deref(),
                Some("canary")
            );
        }
    }
}
