//! What a client sends: its token, the parameters, and a document that makes or changes a payment.

use aggregates::payment::Description;
use axum::body::Bytes;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde_json::{Map, Value, json};
use std::sync::Arc;

use super::NAME;
use super::attributes::{Attributes, TEXT_LENGTH_MAX, at, options, refused};
use super::error::{self, Refusal};
use super::query::Parsed;
use crate::doors::firewall::key_holds_card_number;
use crate::http::addresses;
use crate::http::auth::{self, PresentedKey};
use crate::http::body;
use crate::http::json_api::{ErrorObject, error as written, media};
use crate::store::{Caller, KeyKind, Scope};
use crate::use_cases::{
    App, AppError, ChangeSource, CreateSource, Idempotency, PaymentSource, StripeView,
};

static IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// In characters.
const IDEMPOTENCY_KEY_LENGTH_MAX: usize = 255;

const CREATABLE: &[&str] = &[
    "stripe_id",
    "client_secret",
    "options",
    "return_url",
    "receipt_email",
    "reference",
    "reference_origin",
    "metadata",
];
const UPDATABLE: &[&str] = &[
    "options",
    "return_url",
    "receipt_email",
    "reference",
    "reference_origin",
    "metadata",
    "_update",
    "_refresh",
];
/// What an order's system says of a payment, Stripe's part in it aside.
const DESCRIBING: &[&str] = &[
    "options",
    "return_url",
    "reference",
    "reference_origin",
    "metadata",
];

/// One request, as its answer speaks of it.
pub struct Call {
    /// 64 hexadecimal digits, of this request alone; in the log too.
    pub trace_id: String,
    /// Where the caller reaches us.
    pub base: String,
}

impl Call {
    pub fn begin(app: &App, request: &Request) -> Self {
        let trace_id = hex::encode(app.store().ids.bytes::<32>());
        tracing::Span::current().record("trace_id", trace_id.as_str());
        Self {
            trace_id,
            base: addresses::own(request.headers()),
        }
    }

    /// The answer, or the error in this door's form.
    pub fn answer(&self, answer: Result<Response, Refusal>) -> Response {
        let refusal = match answer {
            Ok(response) => return response,
            Err(refusal) => refusal,
        };
        let mut meta = Map::new();
        meta.insert("trace_id".to_owned(), self.trace_id.clone().into());
        let mut response = written::answer(&refusal.errors, &meta);
        let unauthorized = response.status() == StatusCode::UNAUTHORIZED;
        let headers = response.headers_mut();
        if let Some(seconds) = refusal.retry_after_s {
            headers.insert(RETRY_AFTER, seconds.into());
        }
        if unauthorized {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }

    /// The answer to a deletion.
    pub fn no_content(&self) -> Response {
        StatusCode::NO_CONTENT.into_response()
    }

    /// What every resource of an answer says of it.
    pub fn meta_of(&self, asked: &Asked) -> Map<String, Value> {
        let meta = json!({
            "mode": if asked.stripe.live { "live" } else { "test" },
            "organization_id": asked.caller.merchant.organization_id(),
            "trace_id": self.trace_id,
        });
        meta.as_object().cloned().unwrap_or_default()
    }
}

/// Who asks, and how the answer is to be.
pub struct Asked {
    pub caller: Arc<Caller>,
    pub stripe: StripeView,
    pub query: Parsed,
    key: Option<String>,
}

impl Asked {
    /// Reads everything but what the document says.
    pub async fn read(app: &App, request: Request, scope: Scope) -> Result<(Self, Bytes), Refusal> {
        let (parts, body) = request.into_parts();
        let headers = &parts.headers;
        let caller = caller(app, headers, scope).await?;
        media::check_accept(headers)?;
        let body = body::read(headers, body).await?;
        let writes = parts.method == http::Method::POST || parts.method == http::Method::PATCH;
        media::check_content_type(headers, writes || !body.is_empty())?;
        let query = Parsed::read(parts.uri.query())?;
        let key = idempotency_key(headers)?;
        let stripe = app.stripe_view(&caller.merchant).await?;
        let asked = Self {
            caller,
            stripe,
            query,
            key,
        };
        Ok((asked, body))
    }

    /// The caller's key with what it is used for, where it gave one.
    pub fn idempotency(&self, app: &App, said: &[&str]) -> Result<Option<Idempotency>, Refusal> {
        let said = json!(said).to_string();
        let keys = &app.store().keys;
        Ok(self
            .key
            .clone()
            .map(|key| Idempotency::new(NAME, key, keys.fingerprint(said.as_bytes()), false)))
    }
}

async fn caller(app: &App, headers: &HeaderMap, scope: Scope) -> Result<Arc<Caller>, Refusal> {
    let presented = auth::bearer(headers).map_err(|_| Refusal::invalid_token())?;
    let presented: PresentedKey = presented.ok_or_else(Refusal::unauthenticated)?;
    let keys = &app.store().keys;
    let found = keys.caller(KeyKind::CommerceLayer, None, presented.secret());
    let caller = found.await.map_err(AppError::from)?;
    let caller = caller.ok_or_else(Refusal::invalid_token)?;
    if !caller.may(scope) {
        return Err(Refusal::scope_missing());
    }
    app.admit(&caller)?;
    Ok(caller)
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Refusal> {
    let mut values = headers.get_all(&IDEMPOTENCY_KEY).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    let text = value.to_str().ok().filter(|_| values.next().is_none());
    let fits = |it: &&str| {
        (1..=IDEMPOTENCY_KEY_LENGTH_MAX).contains(&it.len()) && !key_holds_card_number(it)
    };
    match text.filter(fits) {
        Some(text) => Ok(Some(text.to_owned())),
        None => Err(error::bad_key(format!(
            "An idempotency key is one header of 1 to {IDEMPOTENCY_KEY_LENGTH_MAX} ASCII characters, and no card number."
        ))
        .into()),
    }
}

/// `POST /api/stripe_payments`.
pub fn create(
    app: &App,
    asked: &Asked,
    body: &[u8],
) -> Result<(CreateSource, Option<Idempotency>), Refusal> {
    let data = data(body)?;
    if data.contains_key("id") {
        return Err(error::client_id().into());
    }
    check_kind(&data)?;
    let attributes = Attributes::of(&data, CREATABLE)?;
    let order = order(&data)?;
    let mut faults = Vec::new();
    let description = Description {
        reference: attributes
            .text("reference", TEXT_LENGTH_MAX, &mut faults)
            .flatten(),
        reference_origin: attributes
            .text("reference_origin", TEXT_LENGTH_MAX, &mut faults)
            .flatten(),
        options: attributes
            .object("options", &mut faults)
            .unwrap_or_default(),
        return_url: attributes.return_url(&mut faults).flatten(),
        metadata: attributes
            .object("metadata", &mut faults)
            .unwrap_or_default(),
    };
    let stripe = options(&description.options, &mut faults);
    let email = attributes.email(&mut faults).flatten();
    let intent = attributes.intent(&mut faults);
    let Some(order) = order else {
        let missing = error::invalid("A payment belongs to an order.");
        faults.push(missing.at("/data/relationships/order"));
        return Err(faults.into());
    };
    if !faults.is_empty() {
        return Err(faults.into());
    }
    let said = DESCRIBING.iter().any(|name| attributes.get(name).is_some());
    let key = asked.idempotency(app, &["create", &Value::Object(data).to_string()])?;
    let wanted = CreateSource {
        order,
        intent,
        description: said.then_some(description),
        email,
        stripe,
    };
    Ok((wanted, key))
}

/// `PATCH /api/stripe_payments/{id}`: what is not named stays as it is.
pub fn change(
    app: &App,
    asked: &Asked,
    id: &str,
    known: &PaymentSource,
    body: &[u8],
) -> Result<(ChangeSource, Option<Idempotency>), Refusal> {
    let data = data(body)?;
    check_kind(&data)?;
    match data.get("id") {
        Some(Value::String(given)) if given == id => {}
        None => return Err(error::key_not_included().into()),
        Some(_) => {
            let differs = error::conflict("The document's id is not that of the address.");
            return Err(differs.at("/data/id").into());
        }
    }
    let attributes = Attributes::of(&data, UPDATABLE)?;
    let order = order(&data)?;
    if order.is_some_and(|order| order != known.order.short_id(known.order_id)) {
        return Err(Refusal::fixed_relationship("/data/relationships/order"));
    }
    let mut faults = Vec::new();
    let given = attributes.object("options", &mut faults);
    let wanted = ChangeSource {
        reference: attributes.text("reference", TEXT_LENGTH_MAX, &mut faults),
        reference_origin: attributes.text("reference_origin", TEXT_LENGTH_MAX, &mut faults),
        return_url: attributes.return_url(&mut faults),
        metadata: attributes.object("metadata", &mut faults),
        options: given.map(|given| {
            let stripe = options(&given, &mut faults);
            (given, stripe)
        }),
        email: match attributes.email(&mut faults) {
            Some(None) => {
                faults.push(at(
                    "receipt_email",
                    "A receipt's address can be changed, not removed.",
                ));
                None
            }
            email => email.flatten(),
        },
        push: attributes.flag("_update", &mut faults),
        pull: attributes.flag("_refresh", &mut faults),
    };
    if !faults.is_empty() {
        return Err(faults.into());
    }
    let key = asked.idempotency(app, &["change", id, &Value::Object(data).to_string()])?;
    Ok((wanted, key))
}

/// The document's primary data.
fn data(body: &[u8]) -> Result<Map<String, Value>, Refusal> {
    let mut document: Value = body::json(body)?;
    match document.get_mut("data").map(Value::take) {
        Some(Value::Object(data)) => Ok(data),
        _ => {
            let detail = "The document must be an object with `data`, a resource object.";
            Err(error::bad_request(detail).at("/data").into())
        }
    }
}

fn check_kind(data: &Map<String, Value>) -> Result<(), Refusal> {
    match data.get("type") {
        Some(Value::String(kind)) if kind == NAME => Ok(()),
        Some(Value::String(_)) => {
            let detail = "Resources of this address are of type stripe_payments.";
            Err(error::conflict(detail).at("/data/type").into())
        }
        _ => {
            let detail = "The resource's type is missing.";
            Err(error::bad_request(detail).at("/data/type").into())
        }
    }
}

/// The order that the document names; none where it names none.
fn order(data: &Map<String, Value>) -> Result<Option<String>, Refusal> {
    let relationships = match data.get("relationships") {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Object(it)) => it,
        Some(_) => {
            let detail = "Relationships are an object.";
            return Err(error::bad_request(detail).at("/data/relationships").into());
        }
    };
    let strange = relationships.keys().filter(|name| *name != "order");
    let strange: Vec<ErrorObject> = strange
        .map(|name| refused("/data/relationships", name))
        .collect();
    if !strange.is_empty() {
        return Err(strange.into());
    }
    let Some(order) = relationships.get("order") else {
        return Ok(None);
    };
    let text = |name: &str| order.get("data")?.get(name)?.as_str();
    match (text("type"), text("id")) {
        (Some("orders"), Some(id)) => Ok(Some(id.to_owned())),
        _ => {
            let detail = "The order is named by its type, orders, and its id.";
            let error = error::invalid(detail).at("/data/relationships/order/data");
            Err(error.into())
        }
    }
}

/// Reads a body: for fuzzers.
pub(super) fn parse(bytes: &[u8]) {
    let Ok(data) = data(bytes) else {
        return;
    };
    let _ = check_kind(&data);
    let _ = order(&data);
    let Ok(attributes) = Attributes::of(&data, CREATABLE) else {
        return;
    };
    let mut faults = Vec::new();
    let _ = attributes.text("reference", TEXT_LENGTH_MAX, &mut faults);
    let _ = attributes.return_url(&mut faults);
    let _ = attributes.email(&mut faults);
    let _ = attributes.intent(&mut faults);
    let _ = attributes.object("metadata", &mut faults);
    if let Some(given) = attributes.object("options", &mut faults) {
        let _ = options(&given, &mut faults);
    }
}
