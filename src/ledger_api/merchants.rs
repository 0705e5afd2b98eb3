//! `merchants`: the caller's own, and new ones where the key is an operator's.

use aggregates::ids::MerchantId;
use axum::extract::{Request, State};
use chrono::{DateTime, Utc};
use http::StatusCode;
use serde::Serialize;

use super::NAME;
use super::call::{Answer, Call, Said, json, outcome};
use super::fields;
use super::keys::KeyShown;
use crate::http::problem::Problem;
use crate::store::Scope;
use crate::use_cases::{App, CreateMerchant, MerchantView};

const NAME_LENGTH_MAX: usize = 100;

#[derive(Serialize)]
struct MerchantShown {
    object: &'static str,
    id: String,
    name: String,
    /// The configuration name of its Stripe account.
    stripe_account: String,
    /// Whether the smallest charges of Stripe's apply.
    enforce_minimum: bool,
    created_at: DateTime<Utc>,
    /// Its first key: in the answer that makes the merchant alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<KeyShown>,
}

impl MerchantShown {
    fn new(it: MerchantView, key: Option<KeyShown>) -> Self {
        Self {
            object: "merchant",
            id: it.merchant.id.to_string(),
            name: it.merchant.name,
            stripe_account: it.merchant.stripe_account,
            enforce_minimum: it.merchant.enforce_minimum,
            created_at: it.created_at,
            key,
        }
    }
}

/// The caller's own merchant.
pub async fn own(State(app): State<App>, request: Request) -> Answer {
    let call = Call::open(app, request, Scope::Admin).await?;
    call.query()?.end()?;
    let it = call.app.own_merchant(&call.caller).await?;
    json(StatusCode::OK, &MerchantShown::new(it, None))
}

/// Makes a merchant, and its first key.
pub async fn create(State(app): State<App>, request: Request) -> Answer {
    let said = Call::open(app, request, Scope::Operator).await?;
    let Said { call, body, key } = said.read()?;
    let it = fields::read(&body, |fields| {
        let what = "1 to 40 of a-z, 0-9, `_` and `-`, beginning with a letter";
        let id: Option<MerchantId> = fields.parsed("id", what);
        Some(CreateMerchant {
            name: fields.text("name", NAME_LENGTH_MAX),
            stripe_account: fields.name("stripe_account", 40),
            enforce_minimum: fields.optional_flag("enforce_minimum").unwrap_or(true),
            id: id?,
        })
    })?;
    let it = it.ok_or_else(Problem::internal)?;
    let (merchant, made) = call
        .app
        .create_merchant(&call.caller, NAME, it, key)
        .await?;
    let replayed = made.replayed;
    let shown = MerchantShown::new(merchant, Some(made.into()));
    outcome((true, replayed), "/ledger/v1/merchants", &shown)
}

/// Changes the caller's own merchant.
pub async fn update(State(app): State<App>, request: Request) -> Answer {
    let call = Call::open(app, request, Scope::Admin).await?;
    let Said { call, body, .. } = call.read()?;
    let (name, enforce_minimum) = fields::read(&body, |fields| {
        let name = fields.optional_text("name", NAME_LENGTH_MAX);
        let enforce_minimum = fields.optional_flag("enforce_minimum");
        (name, enforce_minimum)
    })?;
    let it = call
        .app
        .update_merchant(&call.caller, NAME, name, enforce_minimum)
        .await?;
    json(StatusCode::OK, &MerchantShown::new(it, None))
}
