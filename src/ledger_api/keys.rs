//! `keys` and `customers/tokens`: who may call. A secret is shown once, by the answer that makes it.

use axum::extract::{Request, State};
use chrono::{DateTime, Utc};
use http::StatusCode;
use secrecy::ExposeSecret;
use serde::Serialize;

use super::NAME;
use super::call::{Answer, Call, Said, json, outcome};
use super::fields::{self, Fields};
use super::shapes::List;
use crate::store::{KeyFilter, KeyKind, KeyRecord, Scope};
use crate::use_cases::{App, CreateKey, KeyAnswer};

const CUSTOMER_LENGTH_MAX: usize = 200;
/// The longest grace of a rolled key: 30 days, in seconds.
const GRACE_MAX_S: u32 = 30 * 24 * 3600;
const KINDS: &str = "a kind of key: stripe_secret, stripe_publishable, offers, shop, customer, bokamera, commerce_layer or native";
const SCOPES: &str =
    "a scope: payments:read, payments:write, ledger:read, admin, approve or operator";

/// A key as it is shown. Never its secret, but in the answer that makes it.
#[derive(Serialize)]
pub struct KeyShown {
    object: &'static str,
    id: String,
    kind: String,
    scopes: Vec<String>,
    customer: Option<String>,
    /// How the secret begins and ends.
    hint: String,
    /// Whether it lets anybody in now.
    live: bool,
    created_at: DateTime<Utc>,
    created_by: String,
    expires_at: Option<DateTime<Utc>>,
    rolled_to: Option<String>,
    rolled_at: Option<DateTime<Utc>>,
    rolled_by: Option<String>,
    revoked_at: Option<DateTime<Utc>>,
    revoked_by: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
}

impl From<KeyRecord> for KeyShown {
    fn from(it: KeyRecord) -> Self {
        Self {
            object: "key",
            id: it.key_id,
            kind: it.kind,
            scopes: it.scopes,
            customer: it.customer,
            hint: it.hint,
            live: it.live,
            created_at: it.created_at,
            created_by: it.created_by,
            expires_at: it.expires_at,
            rolled_to: it.rolled_to,
            rolled_at: it.rolled_at,
            rolled_by: it.rolled_by,
            revoked_at: it.revoked_at,
            revoked_by: it.revoked_by,
            secret: None,
        }
    }
}

impl From<KeyAnswer> for KeyShown {
    fn from(it: KeyAnswer) -> Self {
        Self {
            secret: it.secret.map(|secret| secret.expose_secret().to_owned()),
            ..it.key.into()
        }
    }
}

/// The keys of the caller's merchant, customers' tokens among them.
pub async fn list(State(app): State<App>, request: Request) -> Answer {
    let call = Call::open(app, request, Scope::Admin).await?;
    let mut query = call.query()?;
    let kind = query.parsed("kind", KINDS);
    page(call, query, "keys", kind).await
}

/// Makes a key.
pub async fn create(State(app): State<App>, request: Request) -> Answer {
    let call = Call::open(app, request, Scope::Admin).await?;
    let said = call.read()?;
    let it = fields::read(&said.body, |fields| CreateKey {
        kind: fields.parsed("kind", KINDS).unwrap_or(KeyKind::Native),
        scopes: scopes(fields),
        customer: fields.optional_name("customer", CUSTOMER_LENGTH_MAX),
    })?;
    made(said, it).await
}

/// One key.
pub async fn get(State(app): State<App>, request: Request) -> Answer {
    let call = Call::open(app, request, Scope::Admin).await?;
    call.query()?.end()?;
    let key = call.app.key(&call.caller, call.named("id")).await?;
    json(StatusCode::OK, &KeyShown::from(key))
}

/// Puts a new key in the place of one.
pub async fn roll(State(app): State<App>, request: Request) -> Answer {
    let call = Call::open(app, request, Scope::Admin).await?;
    let Said { call, body, key } = call.read()?;
    let grace_s = fields::read(&body, |fields| {
        fields.optional_count("expires_in", 0, GRACE_MAX_S)
    })?;
    let what = (call.named("id").to_owned(), grace_s.unwrap_or(0));
    let made = call.app.roll_key(&call.caller, NAME, what, key).await?;
    answer(made)
}

/// Ends a key.
pub async fn revoke(State(app): State<App>, request: Request) -> Answer {
    let call = Call::open(app, request, Scope::Admin).await?;
    revoked(call, None).await
}

/// The tokens of customers.
pub async fn list_tokens(State(app): State<App>, request: Request) -> Answer {
    let call = Call::open(app, request, Scope::Admin).await?;
    let query = call.query()?;
    page(call, query, "tokens", Some(KeyKind::Customer)).await
}

/// Makes a token that speaks for one customer.
pub async fn create_token(State(app): State<App>, request: Request) -> Answer {
    let call = Call::open(app, request, Scope::Admin).await?;
    let said = call.read()?;
    let it = fields::read(&said.body, |fields| CreateKey {
        kind: KeyKind::Customer,
        scopes: vec![Scope::PaymentsRead, Scope::PaymentsWrite],
        customer: Some(fields.name("customer", CUSTOMER_LENGTH_MAX)),
    })?;
    made(said, it).await
}

/// Ends a customer's token.
pub async fn revoke_token(State(app): State<App>, request: Request) -> Answer {
    let call = Call::open(app, request, Scope::Admin).await?;
    revoked(call, Some(KeyKind::Customer)).await
}

async fn page(
    call: Call,
    mut query: super::query::Query,
    list: &'static str,
    kind: Option<KeyKind>,
) -> Answer {
    let (limit, after) = (query.limit(), query.after::<String>(list));
    let filter = KeyFilter {
        kind,
        customer: query.text("customer"),
    };
    query.end()?;
    let found = call
        .app
        .keys(&call.caller, &filter, after.as_deref(), limit)
        .await?;
    let shown = List::new(list, found, |key| key.key_id.clone(), KeyShown::from);
    json(StatusCode::OK, &shown)
}

async fn made(Said { call, key, .. }: Said, it: CreateKey) -> Answer {
    answer(call.app.create_key(&call.caller, NAME, it, key).await?)
}

fn answer(made: KeyAnswer) -> Answer {
    let location = format!("/ledger/v1/keys/{}", made.key.key_id);
    let replayed = made.replayed;
    outcome((true, replayed), &location, &KeyShown::from(made))
}

async fn revoked(call: Call, only: Option<KeyKind>) -> Answer {
    let Said { call, body, .. } = call.read()?;
    fields::read(&body, |_| ())?;
    let named = call.named("id").to_owned();
    let ended = call.app.revoke_key(&call.caller, NAME, named, only).await?;
    json(StatusCode::OK, &KeyShown::from(ended))
}

/// Each once, in the order in which they are named.
fn scopes(fields: &mut Fields<'_, '_>) -> Vec<Scope> {
    let mut scopes: Vec<Scope> = Vec::new();
    for name in fields.names("scopes", (1, 10), 40) {
        match name.parse() {
            Ok(scope) if scopes.contains(&scope) => {}
            Ok(scope) => scopes.push(scope),
            Err(_) => fields.fault("scopes", format!("holds what is not {SCOPES}")),
        }
    }
    scopes
}
