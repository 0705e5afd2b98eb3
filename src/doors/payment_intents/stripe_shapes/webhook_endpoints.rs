//! Webhook endpoints: the one thing under Stripe's `/v1` that is ours and not Stripe's, since the webhooks come from here.
//!
//! Stripe has no paths for deliveries and for rolling a secret (its dashboard has them); those are this service's own, in
//! Stripe's manner.

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use http::{HeaderMap, HeaderValue, Uri};
use secrecy::ExposeSecret;
use serde_json::{Map, Value, json};

use super::super::call::{Call, Look};
use super::super::error::{IDEMPOTENT_REPLAYED, StripeError};
use super::super::params::Params;
use super::super::{Answer, Id, NAME, form, named};
use crate::doors::firewall::holds_card_number;
use crate::http::routes::Routes;
use crate::store::{LoggedDelivery, Page};
use crate::use_cases::{
    App, AppError, CreateEndpoint, EndpointAnswer, EndpointError, Listed, UpdateEndpoint,
};

const OBJECT: &str = "webhook_endpoint";
/// Where they are, and what their lists say of themselves.
const PATH: &str = "/v1/webhook_endpoints";
/// In characters. What an endpoint's URL and description may be is the use cases' to say; this only bounds what is read.
const TEXT_LENGTH_MAX: usize = 10_000;
/// How many are on a page where nothing is said, and at the most.
const PAGE: (i64, i64) = (10, 100);

/// The endpoints, and what was delivered to them.
pub fn routes() -> Routes<App> {
    let delivery = "/v1/webhook_endpoints/{id}/deliveries/{delivery}/redeliver";
    Routes::new(NAME)
        .get(PATH, list)
        .post(PATH, create)
        .get("/v1/webhook_endpoints/{id}", retrieve)
        .post("/v1/webhook_endpoints/{id}", update)
        .delete("/v1/webhook_endpoints/{id}", delete)
        .post("/v1/webhook_endpoints/{id}/roll_secret", roll_secret)
        .get("/v1/webhook_endpoints/{id}/deliveries", deliveries)
        .post(delivery, redeliver)
}

async fn create(State(app): State<App>, request: Request) -> Answer {
    let call = Call::to_write(&app, request).await?;
    let it = create_from(&call.params())?;
    let made = app.create_endpoint(&call.caller, it, call.key).await;
    shown(&made.map_err(dressed)?)
}

async fn retrieve(State(app): State<App>, id: Id, headers: HeaderMap, uri: Uri) -> Answer {
    let look = Look::to_read(&app, &headers, &uri).await?;
    only_expand(&query(&look.query)?)?;
    let id = named(OBJECT, id)?;
    let found = app.webhook_endpoint(&look.caller, &id).await;
    shown(&found.map_err(dressed)?)
}

async fn update(State(app): State<App>, id: Id, request: Request) -> Answer {
    let call = Call::to_write(&app, request).await?;
    let it = update_from(&call.params())?;
    let id = named(OBJECT, id)?;
    let updated = app.update_endpoint(&call.caller, &id, it, call.key).await;
    shown(&updated.map_err(dressed)?)
}

async fn delete(State(app): State<App>, id: Id, request: Request) -> Answer {
    let call = Call::to_write(&app, request).await?;
    call.params().only(&[])?;
    let id = named(OBJECT, id)?;
    let deleted = app.delete_endpoint(&call.caller, &id, call.key).await;
    let replayed = deleted.map_err(dressed)?;
    let body = json!({"id": id, "object": OBJECT, "deleted": true});
    Ok(answered(body, replayed))
}

async fn list(State(app): State<App>, headers: HeaderMap, uri: Uri) -> Answer {
    let look = Look::to_read(&app, &headers, &uri).await?;
    let page = page(&query(&look.query)?)?;
    let listed = app.webhook_endpoints(&look.caller, &page).await;
    Ok(page_of(listed.map_err(dressed)?, PATH, endpoint))
}

async fn roll_secret(State(app): State<App>, id: Id, request: Request) -> Answer {
    let call = Call::to_write(&app, request).await?;
    call.params().only(&[])?;
    let id = named(OBJECT, id)?;
    let rolled = app.roll_endpoint_secret(&call.caller, &id, call.key).await;
    shown(&rolled.map_err(dressed)?)
}

async fn deliveries(State(app): State<App>, id: Id, headers: HeaderMap, uri: Uri) -> Answer {
    let look = Look::to_read(&app, &headers, &uri).await?;
    let page = page(&query(&look.query)?)?;
    let id = named(OBJECT, id)?;
    let listed = app.deliveries(&look.caller, &id, &page).await;
    let url = format!("{PATH}/{id}/deliveries");
    Ok(page_of(listed.map_err(dressed)?, &url, delivery))
}

async fn redeliver(
    State(app): State<App>,
    ids: Result<Path<(String, String)>, PathRejection>,
    request: Request,
) -> Answer {
    let call = Call::to_write(&app, request).await?;
    call.params().only(&[])?;
    let Path((id, of)) = ids.map_err(|_| StripeError::no_such_path())?;
    let (id, of) = (
        named(OBJECT, Ok(Path(id)))?,
        named("webhook_delivery", Ok(Path(of)))?,
    );
    let again = app.redeliver(&call.caller, &id, &of, call.key).await;
    let (again, replayed) = again.map_err(dressed)?;
    Ok(answered(delivery(again), replayed))
}

// ---- What is asked --------------------------------------------------------------------------------------------

fn create_from(params: &Params<'_>) -> Result<CreateEndpoint, StripeError> {
    params.only(&[
        "url",
        "enabled_events",
        "description",
        "metadata",
        "api_version",
        "connect",
        "expand",
    ])?;
    if params.flag("connect")? == Some(true) {
        let why = "Endpoints for connected accounts are not served here: there are none.";
        return Err(StripeError::invalid(why).param("connect"));
    }
    Ok(CreateEndpoint {
        url: url(params)?.ok_or_else(|| params.missing("url"))?,
        enabled_events: events(params)?.ok_or_else(|| params.missing("enabled_events"))?,
        description: params.prose("description", TEXT_LENGTH_MAX)?,
        metadata: params.metadata()?.pairs,
        api_version: params.id("api_version", 100)?.map(str::to_owned),
    })
}

fn update_from(params: &Params<'_>) -> Result<UpdateEndpoint, StripeError> {
    params.only(&[
        "url",
        "enabled_events",
        "description",
        "metadata",
        "disabled",
        "expand",
    ])?;
    let metadata = params.metadata()?;
    Ok(UpdateEndpoint {
        url: url(params)?,
        enabled_events: events(params)?,
        description: params.prose("description", TEXT_LENGTH_MAX)?,
        disabled: params.flag("disabled")?,
        metadata: metadata.pairs,
        clear_metadata: metadata.clear,
    })
}

fn url(params: &Params<'_>) -> Result<Option<String>, StripeError> {
    match params.id("url", TEXT_LENGTH_MAX)? {
        Some(url) if holds_card_number(url) => Err(StripeError::invalid(
            "This looks like a card number, which must not be stored here",
        )
        .param("url")),
        url => Ok(url.map(str::to_owned)),
    }
}

fn events(params: &Params<'_>) -> Result<Option<Vec<String>>, StripeError> {
    let named = params.words("enabled_events")?;
    Ok(named.map(|named| named.into_iter().map(str::to_owned).collect()))
}

fn query(text: &str) -> Result<Map<String, Value>, StripeError> {
    form::read(text.as_bytes())
}

/// Nothing in an endpoint can be expanded; SDKs may send the parameter all the same.
fn only_expand(query: &Map<String, Value>) -> Result<(), StripeError> {
    Params::of_texts(query).only(&["expand"])
}

fn page(query: &Map<String, Value>) -> Result<Page, StripeError> {
    let params = Params::of_texts(query);
    params.only(&["limit", "starting_after", "ending_before", "expand"])?;
    let limit = params.positive("limit")?.unwrap_or(PAGE.0);
    if limit > PAGE.1 {
        let why = format!("This value must be less than or equal to {}", PAGE.1);
        return Err(StripeError::invalid(why)
            .code("parameter_invalid_integer")
            .param("limit"));
    }
    let cursor = |name| -> Result<Option<String>, StripeError> {
        Ok(params.id(name, 255)?.map(str::to_owned))
    };
    let (starting_after, ending_before) = (cursor("starting_after")?, cursor("ending_before")?);
    if starting_after.is_some() && ending_before.is_some() {
        let why = "You may only specify one of these parameters: ending_before, starting_after.";
        return Err(StripeError::invalid(why));
    }
    Ok(Page {
        limit,
        starting_after,
        ending_before,
    })
}

// ---- What is answered -----------------------------------------------------------------------------------------

fn shown(it: &EndpointAnswer) -> Answer {
    Ok(answered(endpoint_with_secret(it), it.replayed))
}

fn answered(body: Value, replayed: bool) -> Response {
    let mut response = Json(body).into_response();
    if replayed {
        response.headers_mut().insert(
            IDEMPOTENT_REPLAYED.clone(),
            HeaderValue::from_static("true"),
        );
    }
    response
}

fn endpoint_with_secret(it: &EndpointAnswer) -> Value {
    let mut body = endpoint(it.clone());
    if let Some(secret) = &it.secret {
        body["secret"] = json!(secret.expose_secret());
    }
    body
}

/// Without its secret, whatever is known.
fn endpoint(it: EndpointAnswer) -> Value {
    let EndpointAnswer {
        endpoint, livemode, ..
    } = it;
    json!({
        "id": endpoint.id,
        "object": OBJECT,
        "api_version": endpoint.api_version,
        "application": null,
        "created": endpoint.created_at.timestamp(),
        "description": endpoint.description,
        "enabled_events": endpoint.enabled_events,
        "livemode": livemode,
        "metadata": endpoint.metadata,
        "status": if endpoint.enabled { "enabled" } else { "disabled" },
        "url": endpoint.url,
    })
}

fn delivery(it: LoggedDelivery) -> Value {
    let seconds = |at: Option<DateTime<Utc>>| at.map(|at| at.timestamp());
    let next = Some(it.next_at).filter(|_| it.state == "pending");
    let attempts: Vec<Value> = it
        .attempts
        .iter()
        .map(|attempt| {
            json!({
                "created": attempt.started_at.timestamp(),
                "duration_ms": attempt.duration_ms,
                "status_code": attempt.status,
                "error": attempt.error,
                "response_bytes": attempt.response_bytes,
            })
        })
        .collect();
    json!({
        "id": it.delivery_id,
        "object": "webhook_delivery",
        "webhook_endpoint": it.endpoint_id,
        "event": it.event_id,
        "event_type": it.event_type,
        "ledger_position": it.ledger_position,
        "status": it.state,
        "created": it.created_at.timestamp(),
        "next_attempt": seconds(next),
        "ended": seconds(it.ended_at),
        "attempt_count": it.attempt_count,
        "attempts": attempts,
    })
}

fn page_of<T>(listed: Listed<T>, url: &str, show: fn(T) -> Value) -> Response {
    let data: Vec<Value> = listed.items.into_iter().map(show).collect();
    Json(json!({"object": "list", "url": url, "has_more": listed.has_more, "data": data}))
        .into_response()
}

fn dressed(error: EndpointError) -> StripeError {
    let param = error.param();
    match error {
        EndpointError::App(AppError::NotFound { what, id }) => {
            let param = what.replace(' ', "_");
            StripeError::from(AppError::NotFound { what, id }).param(&param)
        }
        EndpointError::App(error) => error.into(),
        error => {
            let refused = StripeError::invalid(error.to_string());
            match param {
                Some(param) => refused.param(&param),
                None => refused,
            }
        }
    }
}
