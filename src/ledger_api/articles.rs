//! `articles`: what a company sells by the piece, listed and priced anew; and what it has cost.

use aggregates::catalogue::ArticleCommand;
use aggregates::catalogue::article::Listed;
use aggregates::ids::ArticleId;
use axum::extract::{Request, State};
use chrono::{DateTime, Utc};
use http::StatusCode;
use serde::Serialize;
use uuid::Uuid;

use super::NAME;
use super::call::{Answer, Call, Said, json, outcome};
use super::error::no_such;
use super::fields;
use super::shapes::{self, List, Priced};
use crate::http::problem::Problem;
use crate::store::{ArticleRow, Scope};
use crate::use_cases::{App, ArticleView, Outcome};

const LIST: &str = "articles";
const A_GUID: &str = "a GUID";

#[derive(Serialize)]
struct ArticleShown {
    object: &'static str,
    id: String,
    company: String,
    number: u32,
    name: String,
    currency: String,
    /// Negative for a rebate.
    price_minor: i64,
    version: u64,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

/// An article in a list.
#[derive(Serialize)]
struct ArticleListed {
    object: &'static str,
    id: Uuid,
    company: String,
    number: i64,
    name: String,
    currency: String,
    price_minor: i64,
    version: i64,
    created_at: DateTime<Utc>,
}

/// The articles of the caller's merchant, by id.
pub async fn list(State(app): State<App>, request: Request) -> Answer {
    let call = Call::open(app, request, Scope::PaymentsRead).await?;
    let mut query = call.query()?;
    let (limit, after) = (query.limit(), query.after::<ArticleId>(LIST));
    let company: Option<Uuid> = query.parsed("company", A_GUID);
    query.end()?;
    let company = company.map(|it| it.to_string());
    let found = call
        .app
        .articles(&call.caller, company.as_deref(), after, limit)
        .await?;
    let shown = List::new(
        LIST,
        (found.items, found.has_more),
        |row| row.article_id.to_string(),
        ArticleListed::from,
    );
    json(StatusCode::OK, &shown)
}

/// Keeps an article.
pub async fn publish(State(app): State<App>, request: Request) -> Answer {
    let call = Call::open(app, request, Scope::PaymentsWrite).await?;
    let Said { call, body, key } = call.read()?;
    let merchant = call.caller.merchant.id.clone();
    let it = fields::read(&body, |fields| {
        let company: Option<Uuid> = fields.parsed("company", A_GUID);
        let currency = fields.currency();
        Listed {
            merchant,
            company: company.map(|it| it.to_string()).unwrap_or_default(),
            number: fields.count("number", 0, u32::MAX),
            name: fields.text("name", Listed::NAME_LENGTH_MAX),
            price: fields.money("price_minor", currency),
        }
    })?;
    answer(
        call.app
            .list_article_once(&call.caller, NAME, it, key)
            .await?,
    )
}

/// One article.
pub async fn get(State(app): State<App>, request: Request) -> Answer {
    let call = Call::open(app, request, Scope::PaymentsRead).await?;
    call.query()?.end()?;
    let (company, number) = named(&call)?;
    let it = call.app.article(&call.caller, &company, number).await?;
    json(StatusCode::OK, &ArticleShown::of(it)?)
}

/// What an article has cost.
pub async fn prices(State(app): State<App>, request: Request) -> Answer {
    let call = Call::open(app, request, Scope::PaymentsRead).await?;
    call.query()?.end()?;
    let (company, number) = named(&call)?;
    let prices = call
        .app
        .article_prices(&call.caller, &company, number)
        .await?;
    let prices = prices.into_iter().map(Priced::from).collect();
    json(StatusCode::OK, &List::<Priced>::whole(prices))
}

/// Gives an article another price.
pub async fn reprice(State(app): State<App>, request: Request) -> Answer {
    let call = Call::open(app, request, Scope::PaymentsWrite).await?;
    let Said { call, body, key } = call.read()?;
    let (company, number) = named(&call)?;
    let price = fields::read(&body, |fields| {
        let currency = fields.currency();
        fields.money("price_minor", currency)
    })?;
    let id = ArticleId::derive(&call.caller.merchant.id, &company, number);
    let what = (id, ArticleCommand::Reprice { price });
    answer(call.app.article_once(&call.caller, NAME, what, key).await?)
}

/// Company and number, as they stand in the path.
fn named(call: &Call) -> Result<(String, u32), Problem> {
    let company: Option<Uuid> = call.named("company").parse().ok();
    let number = call.named("number").parse().ok();
    let both = company.zip(number);
    both.map(|(company, number)| (company.to_string(), number))
        .ok_or_else(|| no_such("article"))
}

fn answer(done: Outcome<ArticleView>) -> Answer {
    let shown = ArticleShown::of(done.it)?;
    let location = format!("/ledger/v1/articles/{}/{}", shown.company, shown.number);
    outcome((done.made, done.replayed), &location, &shown)
}

impl ArticleShown {
    fn of(it: ArticleView) -> Result<Self, Problem> {
        let facts = it.article.state.facts().ok_or_else(Problem::internal)?;
        Ok(Self {
            object: "article",
            id: it.id.to_string(),
            company: facts.listed.company.clone(),
            number: facts.listed.number,
            name: facts.item.name.clone(),
            currency: shapes::currency(facts.item.price),
            price_minor: facts.item.price.minor(),
            version: it.article.version,
            created_at: it.article.created_at,
            updated_at: it.article.updated_at,
        })
    }
}

impl From<ArticleRow> for ArticleListed {
    fn from(it: ArticleRow) -> Self {
        Self {
            object: "article",
            id: it.article_id,
            company: it.company,
            number: it.number,
            name: it.name,
            currency: it.currency,
            price_minor: it.price_minor,
            version: it.version,
            created_at: it.created_at,
        }
    }
}
