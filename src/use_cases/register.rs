//! Merchants and their keys: made, listed, rolled, ended. A secret is in the answer that makes it and nowhere else: an answer
//! that is given again under an idempotency key goes without.

use aggregates::ids::MerchantId;
use chrono::{DateTime, Utc};
use secrecy::SecretString;
use std::sync::Arc;

use super::once::{Begun, Then};
use super::{App, AppError, Idempotency};
use crate::ids::Ids;
use crate::store::{
    Caller, Commit, Context, KeyFilter, KeyKind, KeyRecord, MadeMerchant, Merchant, NewSecret,
    Revoked, Rolled, Scope,
};

/// What the first key of a merchant may do.
const FIRST_KEY: &[Scope] = &[
    Scope::PaymentsRead,
    Scope::PaymentsWrite,
    Scope::LedgerRead,
    Scope::Admin,
];
/// What a merchant calls it that has none of that id.
const KEY: &str = "key";

/// A merchant to be made.
#[derive(Debug, Clone)]
pub struct CreateMerchant {
    pub id: MerchantId,
    pub name: String,
    pub stripe_account: String,
    pub enforce_minimum: bool,
}

/// A key to be made.
#[derive(Debug, Clone)]
pub struct CreateKey {
    pub kind: KeyKind,
    pub scopes: Vec<Scope>,
    /// Whom a customer's token speaks for; none for any other kind.
    pub customer: Option<String>,
}

/// A key, as its merchant may see it.
#[derive(Debug, Clone)]
pub struct KeyAnswer {
    pub key: KeyRecord,
    /// Only just after it was made.
    pub secret: Option<SecretString>,
    /// It was made before, under the same idempotency key.
    pub replayed: bool,
}

/// A merchant, as its settings stand.
#[derive(Debug, Clone)]
pub struct MerchantView {
    pub merchant: Merchant,
    pub created_at: DateTime<Utc>,
}

/// Why a merchant or a key is not made or changed. A variant's name is the caller's error code.
#[derive(Debug, thiserror::Error, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum RegisterError {
    #[error("a key cannot be given what your own may not do: {0}")]
    MoreThanYourOwn(Scope),
    #[error("a key may do at least one thing")]
    NoScope,
    #[error("a customer's token names its customer, and no other key does")]
    CustomerMismatch,
    #[error("only a native key may be given the scope '{0}'")]
    NotForThisKind(Scope),
    #[error("this is the last key that may administer the merchant")]
    LastAdminKey,
    #[error("this key has ended, or was rolled before")]
    KeyHasEnded,
    #[error("there is a merchant of this id already")]
    MerchantExists,
    #[error("no Stripe account of this name is configured")]
    UnknownStripeAccount,
    #[error("this Stripe account is another merchant's")]
    StripeAccountTaken,
    #[error(transparent)]
    App(#[from] AppError),
}

impl From<sqlx::Error> for RegisterError {
    fn from(error: sqlx::Error) -> Self {
        Self::App(Arc::new(error).into())
    }
}

impl RegisterError {
    /// The variant's name in snake case.
    pub fn code(&self) -> &'static str {
        self.into()
    }
}

type Answer<T> = Result<T, RegisterError>;

/// A new secret of that kind, 256 random bits behind what tells the kinds apart.
pub fn new_secret(ids: &Ids, kind: KeyKind) -> SecretString {
    let prefix = match kind {
        KeyKind::StripeSecret => "sk_",
        KeyKind::StripePublishable => "pk_",
        KeyKind::Offers => "offers_",
        KeyKind::Shop => "shop_",
        KeyKind::Customer => "customer_",
        KeyKind::Bokamera => "bokamera_",
        KeyKind::CommerceLayer => "cl_",
        KeyKind::Native => "cf_",
    };
    format!("{prefix}{}", hex::encode(ids.bytes::<32>())).into()
}

/// A new key's own id, which is no secret.
pub fn new_key_id(ids: &Ids) -> String {
    format!("key_{}", ids.uuid().simple())
}

impl App {
    /// The caller's own merchant.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn own_merchant(&self, caller: &Caller) -> Result<MerchantView, AppError> {
        let merchant = self.merchant(&caller.merchant.id).await?;
        self.merchant_view(merchant).await
    }

    /// Makes a merchant, and the first key that may administer it.
    ///
    /// # Errors
    /// [`RegisterError`]; nothing was made.
    pub async fn create_merchant(
        &self,
        caller: &Caller,
        door: &'static str,
        it: CreateMerchant,
        key: Option<Idempotency>,
    ) -> Answer<(MerchantView, KeyAnswer)> {
        let (app, caller, context) = (self.clone(), caller.clone(), self.context(caller, door));
        self.in_task(async move {
            if !app.inner.gateway.knows(&it.stripe_account) {
                return Err(RegisterError::UnknownStripeAccount);
            }
            let (by, key) = ((&caller.merchant, &context), key.as_ref());
            let key_id = match app.begin_key(by, key).await? {
                Begun::Before(left) => {
                    let key_id = left.with::<()>(|_| None).about;
                    let merchant = app.merchant(&it.id).await?;
                    return app.made_before(merchant, &key_id).await;
                }
                Begun::Now(key_id) => key_id,
            };
            let secret = new_secret(&app.inner.store.ids, KeyKind::Native);
            let merchant = Merchant {
                id: it.id,
                name: it.name,
                stripe_account: it.stripe_account,
                enforce_minimum: it.enforce_minimum,
                organization: None,
            };
            let first = NewSecret {
                key_id: &key_id,
                secret: &secret,
                kind: KeyKind::Native,
                scopes: FIRST_KEY,
                customer: None,
                by: &context.actor.name,
            };
            let keys = &app.inner.store.keys;
            let refusal = match keys.create_merchant(&merchant, &first).await? {
                MadeMerchant::New => {
                    app.end_key(by, &key_id, key).await?;
                    let record = app.key_of(&merchant.id, &key_id).await?;
                    let made = answer(record, Some(secret), false);
                    return Ok((app.merchant_view(merchant).await?, made));
                }
                // It may be the very one that this command made before it was cut off.
                MadeMerchant::Exists if keys.key(&merchant.id, &key_id).await?.is_some() => {
                    app.end_key(by, &key_id, key).await?;
                    return app.made_before(merchant, &key_id).await;
                }
                MadeMerchant::Exists => RegisterError::MerchantExists,
                MadeMerchant::AccountTaken => RegisterError::StripeAccountTaken,
            };
            app.refused(by.0, by.1, key).await?;
            Err(refusal)
        })
        .await
    }

    /// Changes the caller's own merchant; what is none stays.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn update_merchant(
        &self,
        caller: &Caller,
        door: &'static str,
        name: Option<String>,
        enforce_minimum: Option<bool>,
    ) -> Answer<MerchantView> {
        let (app, caller, context) = (self.clone(), caller.clone(), self.context(caller, door));
        self.in_task(async move {
            let keys = &app.inner.store.keys;
            let by = &context.actor.name;
            let updated = keys
                .update_merchant(&caller.merchant.id, name.as_deref(), enforce_minimum, by)
                .await?;
            let merchant = updated.ok_or(AppError::Internal)?;
            Ok(app.merchant_view(merchant).await?)
        })
        .await
    }

    /// Makes a key of the caller's merchant. It may do nothing that the caller's own key may not.
    ///
    /// # Errors
    /// [`RegisterError`]; nothing was made.
    pub async fn create_key(
        &self,
        caller: &Caller,
        door: &'static str,
        it: CreateKey,
        key: Option<Idempotency>,
    ) -> Answer<KeyAnswer> {
        let (app, caller, context) = (self.clone(), caller.clone(), self.context(caller, door));
        self.in_task(async move {
            may_be_made(&caller, &it)?;
            let (by, key) = ((&caller.merchant, &context), key.as_ref());
            let key_id = match app.begin_key(by, key).await? {
                Begun::Before(left) => {
                    let key_id = left.with::<()>(|_| None).about;
                    let record = app.key_of(&caller.merchant.id, &key_id).await?;
                    return Ok(answer(record, None, true));
                }
                Begun::Now(key_id) => key_id,
            };
            let secret = new_secret(&app.inner.store.ids, it.kind);
            let new = NewSecret {
                key_id: &key_id,
                secret: &secret,
                kind: it.kind,
                scopes: &it.scopes,
                customer: it.customer.as_deref(),
                by: &context.actor.name,
            };
            let made = app.inner.store.keys.create_key(&caller.merchant.id, &new);
            let made = match made.await? {
                Some(record) => answer(record, Some(secret), false),
                None => {
                    let record = app.key_of(&caller.merchant.id, &key_id).await?;
                    answer(record, None, true)
                }
            };
            app.end_key(by, &key_id, key).await?;
            Ok(made)
        })
        .await
    }

    /// Puts a new key in the place of a live one, which lets in for `grace_s` seconds more.
    ///
    /// # Errors
    /// [`AppError::NotFound`], also for another merchant's; [`RegisterError::KeyHasEnded`]; [`RegisterError::MoreThanYourOwn`].
    pub async fn roll_key(
        &self,
        caller: &Caller,
        door: &'static str,
        (named, grace_s): (String, u32),
        key: Option<Idempotency>,
    ) -> Answer<KeyAnswer> {
        let (app, caller, context) = (self.clone(), caller.clone(), self.context(caller, door));
        self.in_task(async move {
            let merchant = &caller.merchant.id;
            let old = app.key_of(merchant, &named).await?;
            within_own(&caller, scopes_of(&old)?.iter())?;
            let kind: KeyKind = old.kind.parse().map_err(|_| AppError::Internal)?;
            let (by, key) = ((&caller.merchant, &context), key.as_ref());
            let key_id = match app.begin_key(by, key).await? {
                Begun::Before(left) => {
                    let key_id = left.with::<()>(|_| None).about;
                    return Ok(answer(app.key_of(merchant, &key_id).await?, None, true));
                }
                Begun::Now(key_id) => key_id,
            };
            let store = &app.inner.store;
            let secret = new_secret(&store.ids, kind);
            let new = (key_id.as_str(), &secret);
            let rolled = store
                .keys
                .roll_key(merchant, &named, new, grace_s, &context.actor.name)
                .await?;
            match rolled.ok_or_else(|| missing(&named))? {
                Rolled::To(record) => {
                    app.end_key(by, &key_id, key).await?;
                    Ok(answer(*record, Some(secret), false))
                }
                Rolled::NotLive => match store.keys.key(merchant, &key_id).await? {
                    // This command rolled it before it was cut off.
                    Some(record) => {
                        app.end_key(by, &key_id, key).await?;
                        Ok(answer(record, None, true))
                    }
                    None => {
                        app.refused(by.0, by.1, key).await?;
                        Err(RegisterError::KeyHasEnded)
                    }
                },
            }
        })
        .await
    }

    /// Ends a key of the caller's merchant, of one kind or of any. Ending it again changes nothing.
    ///
    /// # Errors
    /// [`AppError::NotFound`], also for another merchant's; [`RegisterError::LastAdminKey`].
    pub async fn revoke_key(
        &self,
        caller: &Caller,
        door: &'static str,
        named: String,
        only: Option<KeyKind>,
    ) -> Answer<KeyRecord> {
        let (app, caller, context) = (self.clone(), caller.clone(), self.context(caller, door));
        self.in_task(async move {
            let keys = &app.inner.store.keys;
            let by = &context.actor.name;
            let revoked = keys
                .revoke_key(&caller.merchant.id, &named, only, by)
                .await?;
            match revoked.ok_or_else(|| missing(&named))? {
                Revoked::Yes(record) => Ok(*record),
                Revoked::LastAdmin => Err(RegisterError::LastAdminKey),
            }
        })
        .await
    }

    /// A key of the caller's merchant.
    ///
    /// # Errors
    /// [`AppError::NotFound`], also for another merchant's.
    pub async fn key(&self, caller: &Caller, named: &str) -> Result<KeyRecord, AppError> {
        self.key_of(&caller.merchant.id, named).await
    }

    /// At most `limit` keys of the caller's merchant after one of them, and whether there are more.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn keys(
        &self,
        caller: &Caller,
        filter: &KeyFilter,
        after: Option<&str>,
        limit: i64,
    ) -> Result<(Vec<KeyRecord>, bool), AppError> {
        let keys = &self.inner.store.keys;
        let found = keys.list_keys(&caller.merchant.id, filter, after, limit.saturating_add(1));
        let mut found = found.await.map_err(Arc::new)?;
        let limit = usize::try_from(limit).unwrap_or(0);
        let has_more = found.len() > limit;
        found.truncate(limit);
        Ok((found, has_more))
    }

    async fn in_task<T: Send + 'static>(
        &self,
        work: impl Future<Output = Answer<T>> + Send + 'static,
    ) -> Answer<T> {
        self.command(async move { Ok(work.await) }).await?
    }

    async fn begin_key(
        &self,
        (merchant, context): (&Merchant, &Context),
        key: Option<&Idempotency>,
    ) -> Answer<Begun<String>> {
        let fresh = new_key_id(&self.inner.store.ids);
        Ok(self.begin(merchant, context, fresh, key).await?)
    }

    /// The key is made: answers the caller's idempotency key with its id.
    async fn end_key(
        &self,
        (merchant, context): (&Merchant, &Context),
        key_id: &str,
        key: Option<&Idempotency>,
    ) -> Answer<()> {
        let then = Then::after(key_id.to_owned(), 0, 1)?;
        let nothing = Commit::default();
        self.answer_at_last(merchant, context, then, nothing, key)
            .await?;
        Ok(())
    }

    async fn made_before(
        &self,
        merchant: Merchant,
        key_id: &str,
    ) -> Answer<(MerchantView, KeyAnswer)> {
        let record = self.key_of(&merchant.id, key_id).await?;
        let view = self.merchant_view(merchant).await?;
        Ok((view, answer(record, None, true)))
    }

    async fn merchant_view(&self, merchant: Merchant) -> Result<MerchantView, AppError> {
        let since = self.inner.store.keys.merchant_since(&merchant.id).await;
        Ok(MerchantView {
            created_at: since.map_err(Arc::new)?.ok_or(AppError::Internal)?,
            merchant,
        })
    }

    async fn key_of(&self, merchant: &MerchantId, named: &str) -> Result<KeyRecord, AppError> {
        let found = self.inner.store.keys.key(merchant, named).await;
        found.map_err(Arc::new)?.ok_or_else(|| missing(named))
    }
}

fn answer(key: KeyRecord, secret: Option<SecretString>, replayed: bool) -> KeyAnswer {
    KeyAnswer {
        key,
        secret,
        replayed,
    }
}

fn missing(named: &str) -> AppError {
    AppError::NotFound {
        what: KEY,
        id: named.to_owned(),
    }
}

fn may_be_made(caller: &Caller, it: &CreateKey) -> Answer<()> {
    if (it.kind == KeyKind::Customer) != it.customer.is_some() {
        return Err(RegisterError::CustomerMismatch);
    }
    if it.scopes.is_empty() {
        return Err(RegisterError::NoScope);
    }
    let payments = [Scope::PaymentsRead, Scope::PaymentsWrite];
    let beyond = it.scopes.iter().find(|scope| !payments.contains(scope));
    match beyond {
        Some(scope) if it.kind != KeyKind::Native => Err(RegisterError::NotForThisKind(*scope)),
        _ => within_own(caller, it.scopes.iter()),
    }
}

/// Nobody hands out more than they have.
fn within_own<'a>(caller: &Caller, mut scopes: impl Iterator<Item = &'a Scope>) -> Answer<()> {
    match scopes.find(|scope| !caller.may(**scope)) {
        Some(scope) => Err(RegisterError::MoreThanYourOwn(*scope)),
        None => Ok(()),
    }
}

fn scopes_of(key: &KeyRecord) -> Result<Vec<Scope>, AppError> {
    let scopes: Result<Vec<Scope>, _> = key.scopes.iter().map(|scope| scope.parse()).collect();
    scopes.map_err(|_| AppError::Internal)
}
