//! `counterfoil keys` and `counterfoil merchants`: who may call. A key is shown once, when it is made.

use aggregates::ids::MerchantId;
use anyhow::{Context as _, bail};
use secrecy::ExposeSecret;

use crate::config::Key32;
use crate::ids::Ids;
use crate::store::{KeyKind, Keys, Merchant, NewKey, Scope};
use crate::use_cases::{new_key_id, new_secret};

/// Makes a merchant, or changes its settings.
///
/// # Errors
/// When the Stripe account is another merchant's, or the database cannot be written.
pub async fn put_merchant(url: &str, seal_key: &Key32, merchant: &Merchant) -> anyhow::Result<()> {
    let put = keys(url, seal_key)
        .await?
        .put_merchant(merchant, false)
        .await;
    if let Err(sqlx::Error::Database(error)) = &put
        && error.constraint() == Some("merchants_by_stripe_account")
    {
        bail!(
            "the Stripe account {:?} is another merchant's: what stands in it is shown to its merchant, so each has one of its own",
            merchant.stripe_account
        );
    }
    put?;
    println!(
        "merchant {} uses the Stripe account {:?}",
        merchant.id, merchant.stripe_account
    );
    Ok(())
}

/// Makes a key and prints it, once.
///
/// # Errors
/// When there is no such merchant, or the database cannot be written.
pub async fn create(
    url: &str,
    seal_key: &Key32,
    merchant: &MerchantId,
    kind: KeyKind,
    scopes: &[Scope],
    customer: Option<&str>,
) -> anyhow::Result<()> {
    if (kind == KeyKind::Customer) != customer.is_some() {
        bail!("a customer's token, and nothing else, names its customer (--customer)");
    }
    let keys = keys(url, seal_key).await?;
    if keys.merchant(merchant).await?.is_none() {
        bail!("there is no merchant {merchant}: make it first with `counterfoil merchants put`");
    }
    let ids = Ids::system();
    let (key_id, secret) = (new_key_id(&ids), new_secret(&ids, kind));
    keys.put_key(&NewKey {
        key_id: &key_id,
        secret: &secret,
        merchant,
        kind,
        scopes,
        customer,
    })
    .await?;
    println!("{key_id}\n{}", secret.expose_secret());
    eprintln!("Keep it: only its hash is stored.");
    Ok(())
}

/// Ends a key.
///
/// # Errors
/// When there is no such live key.
pub async fn revoke(url: &str, seal_key: &Key32, key_id: &str) -> anyhow::Result<()> {
    if !keys(url, seal_key).await?.revoke(key_id).await? {
        bail!("there is no live key {key_id}");
    }
    println!("{key_id} is revoked");
    Ok(())
}

async fn keys(url: &str, seal_key: &Key32) -> anyhow::Result<Keys> {
    let pool = eventstore::pool(url, eventstore::Role::Writer, 1)
        .await
        .context("the database (DATABASE_URL)")?;
    Ok(Keys::new(pool, seal_key.expose()))
}
