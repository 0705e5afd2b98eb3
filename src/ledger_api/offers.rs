//! `offers`: published, priced anew, selected from, withdrawn; and what their products have cost.

use aggregates::catalogue::offer::{Choice, Group, NewPrice, Product, Published, Wanted};
use aggregates::catalogue::{Item, OfferCommand};
use aggregates::ids::OfferId;
use aggregates::money::Currency;
use axum::extract::{Request, State};
use chrono::{DateTime, Utc};
use http::StatusCode;
use serde::Serialize;
use std::collections::BTreeMap;
use uuid::Uuid;

use super::NAME;
use super::call::{Answer, Call, Said, json, outcome};
use super::fields::{self, Fields};
use super::shapes::{List, Priced};
use crate::http::problem::Problem;
use crate::store::{OfferFilter, OfferRow, Scope};
use crate::use_cases::{App, Idempotency, OfferView, Outcome};

const LIST: &str = "offers";
const NAME_LENGTH_MAX: usize = Published::NAME_LENGTH_MAX;
const REASON_LENGTH_MAX: usize = 500;
const GROUPS_MAX: usize = 50;
const PRODUCTS_MAX: usize = 200;

#[derive(Serialize)]
struct OfferShown {
    object: &'static str,
    id: String,
    number: String,
    currency: String,
    groups: Vec<GroupShown>,
    /// What is paid for where nothing else is asked for.
    selection: Vec<ChoiceShown>,
    expires_at: Option<DateTime<Utc>>,
    /// Why it was withdrawn.
    withdrawn: Option<String>,
    version: u64,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

#[derive(Serialize)]
struct GroupShown {
    name: String,
    products: Vec<ProductShown>,
}

#[derive(Serialize)]
struct ProductShown {
    code: String,
    name: String,
    price_minor: i64,
}

#[derive(Serialize)]
struct ChoiceShown {
    group: String,
    code: String,
}

/// An offer in a list.
#[derive(Serialize)]
struct OfferListed {
    object: &'static str,
    id: Uuid,
    number: String,
    currency: String,
    products: i64,
    selected: i64,
    expires_at: Option<DateTime<Utc>>,
    withdrawn: bool,
    version: i64,
    created_at: DateTime<Utc>,
}

/// The offers of the caller's merchant, by id.
pub async fn list(State(app): State<App>, request: Request) -> Answer {
    let call = Call::open(app, request, Scope::PaymentsRead).await?;
    let mut query = call.query()?;
    let (limit, after) = (query.limit(), query.after::<OfferId>(LIST));
    let filter = OfferFilter {
        withdrawn: query.parsed("withdrawn", "true or false"),
    };
    query.end()?;
    let found = call.app.offers(&call.caller, &filter, after, limit).await?;
    let shown = List::new(
        LIST,
        (found.items, found.has_more),
        |row| row.offer_id.to_string(),
        OfferListed::from,
    );
    json(StatusCode::OK, &shown)
}

/// Keeps an offer.
pub async fn publish(State(app): State<App>, request: Request) -> Answer {
    let call = Call::open(app, request, Scope::PaymentsWrite).await?;
    let Said { call, body, key } = call.read()?;
    let merchant = call.caller.merchant.id.clone();
    let it = fields::read(&body, |fields| {
        let currency = fields.currency();
        Published {
            merchant,
            number: fields.name("number", NAME_LENGTH_MAX),
            currency,
            groups: fields.objects("groups", (1, GROUPS_MAX), |it| group(it, currency)),
            selection: fields.objects("selection", (0, PRODUCTS_MAX), choice),
            expires_at: fields.optional_moment("expires_at"),
        }
    })?;
    answer(
        call.app
            .publish_offer_once(&call.caller, NAME, it, key)
            .await?,
    )
}

/// One offer.
pub async fn get(State(app): State<App>, request: Request) -> Answer {
    let call = Call::open(app, request, Scope::PaymentsRead).await?;
    call.query()?.end()?;
    let it = call.app.offer(&call.caller, call.named("number")).await?;
    json(StatusCode::OK, &OfferShown::of(it)?)
}

/// What an offer's products have cost.
pub async fn prices(State(app): State<App>, request: Request) -> Answer {
    let call = Call::open(app, request, Scope::PaymentsRead).await?;
    call.query()?.end()?;
    let number = call.named("number");
    let prices = call.app.offer_prices(&call.caller, number).await?;
    let prices = prices.into_iter().map(Priced::from).collect();
    json(StatusCode::OK, &List::<Priced>::whole(prices))
}

/// Gives products of an offer other prices.
pub async fn reprice(State(app): State<App>, request: Request) -> Answer {
    let call = Call::open(app, request, Scope::PaymentsWrite).await?;
    let Said { call, body, key } = call.read()?;
    let prices = fields::read(&body, |fields| {
        let currency = fields.currency();
        fields.objects("prices", (1, PRODUCTS_MAX), |it| NewPrice {
            group: it.name("group", NAME_LENGTH_MAX),
            code: it.name("code", NAME_LENGTH_MAX),
            price: it.money("price_minor", currency),
        })
    })?;
    change(call, OfferCommand::Reprice { prices }, key).await
}

/// Selects what is paid for where nothing else is asked for.
pub async fn select(State(app): State<App>, request: Request) -> Answer {
    let call = Call::open(app, request, Scope::PaymentsWrite).await?;
    let Said { call, body, key } = call.read()?;
    let selection = fields::read(&body, |fields| {
        fields.objects("selection", (1, PRODUCTS_MAX), choice)
    })?;
    let mut groups: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for it in selection {
        groups.entry(it.group).or_default().push(it.code);
    }
    let wanted = Wanted::Grouped(groups);
    change(call, OfferCommand::Select { wanted }, key).await
}

/// Takes an offer back.
pub async fn withdraw(State(app): State<App>, request: Request) -> Answer {
    let call = Call::open(app, request, Scope::PaymentsWrite).await?;
    let Said { call, body, key } = call.read()?;
    let reason = fields::read(&body, |fields| fields.text("reason", REASON_LENGTH_MAX))?;
    change(call, OfferCommand::Withdraw { reason }, key).await
}

fn group(it: &mut Fields<'_, '_>, currency: Currency) -> Group {
    Group {
        name: it.name("name", NAME_LENGTH_MAX),
        products: it.objects("products", (1, PRODUCTS_MAX), |product| Product {
            code: product.name("code", NAME_LENGTH_MAX),
            name: product.text("name", NAME_LENGTH_MAX),
            price: product.money("price_minor", currency),
        }),
    }
}

fn choice(it: &mut Fields<'_, '_>) -> Choice {
    Choice {
        group: it.name("group", NAME_LENGTH_MAX),
        code: it.name("code", NAME_LENGTH_MAX),
    }
}

async fn change(call: Call, command: OfferCommand, key: Option<Idempotency>) -> Answer {
    let what = (call.named("number").to_owned(), command);
    answer(call.app.offer_once(&call.caller, NAME, what, key).await?)
}

fn answer(done: Outcome<OfferView>) -> Answer {
    let shown = OfferShown::of(done.it)?;
    let number = serde_urlencoded::to_string([("", &shown.number)]).unwrap_or_default();
    // As a part of a path: a space is `%20` there.
    let number = number.trim_start_matches('=').replace('+', "%20");
    let location = format!("/ledger/v1/offers/{number}");
    outcome((done.made, done.replayed), &location, &shown)
}

impl OfferShown {
    fn of(it: OfferView) -> Result<Self, Problem> {
        let facts = it.offer.state.facts().ok_or_else(Problem::internal)?;
        let groups = facts.groups.iter().map(|group| GroupShown {
            name: group.name.clone(),
            products: group.items.iter().map(ProductShown::from).collect(),
        });
        let selection = facts.selection.iter().map(|it| ChoiceShown {
            group: it.group.clone(),
            code: it.code.clone(),
        });
        Ok(Self {
            object: "offer",
            id: it.id.to_string(),
            number: facts.published.number.clone(),
            currency: facts.published.currency.code(),
            groups: groups.collect(),
            selection: selection.collect(),
            expires_at: facts.published.expires_at,
            withdrawn: facts.withdrawn.clone(),
            version: it.offer.version,
            created_at: it.offer.created_at,
            updated_at: it.offer.updated_at,
        })
    }
}

impl From<&Item> for ProductShown {
    fn from(it: &Item) -> Self {
        Self {
            code: it.code.clone(),
            name: it.name.clone(),
            price_minor: it.price.minor(),
        }
    }
}

impl From<OfferRow> for OfferListed {
    fn from(it: OfferRow) -> Self {
        Self {
            object: "offer",
            id: it.offer_id,
            number: it.number,
            currency: it.currency,
            products: it.products,
            selected: it.selected,
            expires_at: it.expires_at,
            withdrawn: it.withdrawn,
            version: it.version,
            created_at: it.created_at,
        }
    }
}
