//! `/v1/webhook_endpoints`. Those of the configuration are not among them.
//!
//! Stripe takes only addresses that the whole world reaches; the simulator takes any, since the sandbox has no others.

use serde_json::Value;

use super::call::{Call, read_metadata, read_url};
use super::lists::{Page, envelope};
use crate::errors::{ApiError, Outcome};
use crate::objects::{Delivery, DeliveryState, Metadata, WebhookEndpoint};
use crate::params::{Field, Known, Params, Shape};

const CREATE: Known = &[
    ("api_version", Shape::Any),
    ("connect", Shape::Any),
    ("description", Shape::Any),
    ("enabled_events", Shape::Any),
    ("expand", Shape::Any),
    ("metadata", Shape::Open),
    ("url", Shape::Any),
];
const UPDATE: Known = &[
    ("description", Shape::Any),
    ("disabled", Shape::Any),
    ("enabled_events", Shape::Any),
    ("expand", Shape::Any),
    ("metadata", Shape::Open),
    ("url", Shape::Any),
];
const LIST: Known = &[
    ("ending_before", Shape::Any),
    ("expand", Shape::Any),
    ("limit", Shape::Any),
    ("starting_after", Shape::Any),
];

/// How many an account has at most, in test mode.
const ENDPOINTS_MAX: usize = 16;
/// What can be subscribed to, one type a line: the description's list, and the events of refunds, which came later.
const EVENT_TYPES: &str = include_str!("event_types.txt");

/// `POST /v1/webhook_endpoints`: the only answer with the endpoint's secret.
pub fn create(call: &mut Call<'_, '_>) -> Outcome<Value> {
    call.params.only(CREATE)?;
    let params = call.params.clone();
    params.required_text("url", 5_000)?;
    if !params.has("enabled_events") {
        return Err(ApiError::missing("enabled_events"));
    }
    if params.flag("connect")?.unwrap_or(false) {
        let message = "Invalid connect: must be false; the simulator has no connected accounts.";
        return Err(ApiError::invalid(message).param("connect"));
    }
    check_room(call)?;
    let mut endpoint = WebhookEndpoint {
        id: call.tx.new_id("we"),
        created: call.tx.now,
        url: String::new(),
        enabled_events: Vec::new(),
        api_version: params.text("api_version", 5_000)?.given(),
        description: None,
        metadata: Metadata::new(),
        disabled: false,
        deleted: false,
    };
    read_attributes(&params, &mut endpoint)?;
    call.tx.put(endpoint.clone());
    Ok(endpoint.render_new())
}

fn check_room(call: &Call<'_, '_>) -> Outcome<()> {
    let existing = call.tx.tables().webhook_endpoints.oldest_first();
    if existing.filter(|it| !it.deleted).count() < ENDPOINTS_MAX {
        return Ok(());
    }
    Err(ApiError::invalid(format!(
        "You have reached the maximum of {ENDPOINTS_MAX} test webhook endpoints."
    )))
}

fn read_attributes(params: &Params<'_>, endpoint: &mut WebhookEndpoint) -> Outcome<()> {
    if let Field::Unset = params.text("url", 5_000)? {
        return Err(params.empty("url"));
    }
    if let Some(url) = read_url(params, "url")? {
        if !url.starts_with("http://") && !url.starts_with("https://") {
            let message = "Invalid URL: the scheme must be http or https.";
            return Err(ApiError::invalid(message).code("url_invalid").param("url"));
        }
        endpoint.url = url;
    }
    if params.has("enabled_events") {
        endpoint.enabled_events = read_types(params)?;
    }
    let description = params.text("description", 5_000)?;
    description.apply(&mut endpoint.description);
    read_metadata(params, &mut endpoint.metadata)
}

fn read_types(params: &Params<'_>) -> Outcome<Vec<String>> {
    let types = params.texts("enabled_events")?.unwrap_or_default();
    if types.is_empty() {
        return Err(params.empty("enabled_events"));
    }
    let is_known = |it: &str| it == "*" || EVENT_TYPES.lines().any(|known| known == it);
    match types.iter().position(|it| !is_known(it)) {
        None => Ok(types),
        Some(place) => {
            let param = format!("enabled_events[{place}]");
            let message = format!("Invalid {param}: must be `*` or the type of an event.");
            Err(ApiError::invalid(message).param(param))
        }
    }
}

fn the(call: &Call<'_, '_>) -> Outcome<WebhookEndpoint> {
    let endpoint: Option<WebhookEndpoint> = call.tx.get(call.id);
    endpoint
        .filter(|it| !it.deleted)
        .ok_or_else(|| ApiError::not_found("webhook endpoint", call.id, "id"))
}

/// `GET /v1/webhook_endpoints/:id`
pub fn retrieve(call: &mut Call<'_, '_>) -> Outcome<Value> {
    call.params.only(&[("expand", Shape::Any)])?;
    Ok(the(call)?.render())
}

/// `POST /v1/webhook_endpoints/:id`
pub fn update(call: &mut Call<'_, '_>) -> Outcome<Value> {
    call.params.only(UPDATE)?;
    let mut endpoint = the(call)?;
    read_attributes(&call.params, &mut endpoint)?;
    if let Some(disabled) = call.params.flag("disabled")? {
        endpoint.disabled = disabled;
    }
    call.tx.put(endpoint.clone());
    Ok(endpoint.render())
}

/// `DELETE /v1/webhook_endpoints/:id`: what was still to be delivered to it is given up.
pub fn delete(call: &mut Call<'_, '_>) -> Outcome<Value> {
    call.params.only(&[])?;
    let endpoint = WebhookEndpoint {
        url: String::new(),
        enabled_events: Vec::new(),
        api_version: None,
        description: None,
        metadata: Metadata::new(),
        deleted: true,
        ..the(call)?
    };
    let is_lost =
        |it: &&Delivery| it.endpoint_id == endpoint.id && it.state == DeliveryState::Pending;
    let deliveries = call.tx.tables().deliveries.oldest_first();
    let lost: Vec<Delivery> = deliveries.filter(is_lost).cloned().collect();
    for mut delivery in lost {
        delivery.state = DeliveryState::Failed;
        call.tx.put(delivery);
    }
    call.tx.put(endpoint.clone());
    Ok(endpoint.render())
}

/// `GET /v1/webhook_endpoints`
pub fn list(call: &mut Call<'_, '_>) -> Outcome<Value> {
    call.params.only(LIST)?;
    let page = Page::read(&call.params)?;
    let (endpoints, has_more) =
        page.of::<WebhookEndpoint>(call, "webhook endpoint", |it| !it.deleted)?;
    let data = endpoints.into_iter().map(WebhookEndpoint::render).collect();
    Ok(envelope("/v1/webhook_endpoints", data, has_more))
}
