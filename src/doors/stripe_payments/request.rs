//! What a client sends: its token, the parameters, and a document that makes or changes a payment.

use aggregates::payment::Description;
use aggregates::payment::terms::Parameters;
use axum::body::Bytes;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use secrecy::SecretString;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

use super::NAME;
use super::error::{self, Refusal};
use super::query::Parsed;
use crate::doors::firewall::holds_card_number;
use crate::http::addresses::{self, may_return_to};
use crate::http::auth::{self, PresentedKey};
use crate::http::body;
use crate::http::json_api::{ErrorObject, error as written, media};
use crate::store::{Caller, KeyKind, Scope};
use crate::use_cases::{
    App, AppError, ChangeSource, CreateSource, GivenIntent, Idempotency, PaymentSource,
    StripeOptions, StripeView,
};

static IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// In characters, each.
const IDEMPOTENCY_KEY_LENGTH_MAX: usize = 255;
const TEXT_LENGTH_MAX: usize = 255;
const URL_LENGTH_MAX: usize = 2048;
/// Of an object, in bytes of JSON.
const OBJECT_LENGTH_MAX: usize = 16 * 1024;

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
/// What Stripe may be told through `options`; `return_url` stays here. No price, no card, nothing personal, no confirmation.
const OPTIONS: &[&str] = &[
    "application_fee_amount",
    "automatic_payment_methods",
    "on_behalf_of",
    "payment_method_options",
    "payment_method_types",
    "setup_future_usage",
    "statement_descriptor",
    "statement_descriptor_suffix",
    "transfer_data",
    "transfer_group",
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
    match text.filter(|it| (1..=IDEMPOTENCY_KEY_LENGTH_MAX).contains(&it.len())) {
        Some(text) => Ok(Some(text.to_owned())),
        None => Err(error::bad_key(format!(
            "An idempotency key is one header of 1 to {IDEMPOTENCY_KEY_LENGTH_MAX} ASCII characters."
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

/// The attributes of a document; only those that are taken.
struct Attributes<'a>(Option<&'a Map<String, Value>>);

impl<'a> Attributes<'a> {
    fn of(data: &'a Map<String, Value>, taken: &[&str]) -> Result<Self, Refusal> {
        let attributes = match data.get("attributes") {
            None | Some(Value::Null) => return Ok(Self(None)),
            Some(Value::Object(it)) => it,
            Some(_) => {
                let detail = "Attributes are an object.";
                return Err(error::bad_request(detail).at("/data/attributes").into());
            }
        };
        let strange = attributes
            .keys()
            .filter(|name| !taken.contains(&name.as_str()));
        let strange: Vec<ErrorObject> = strange
            .map(|name| refused("/data/attributes", name))
            .collect();
        if strange.is_empty() {
            Ok(Self(Some(attributes)))
        } else {
            Err(strange.into())
        }
    }

    fn get(&self, name: &str) -> Option<&'a Value> {
        self.0?.get(name)
    }

    /// A text, or null; none where it is not named.
    fn text(
        &self,
        name: &str,
        length_max: usize,
        faults: &mut Vec<ErrorObject>,
    ) -> Option<Option<String>> {
        let fault = match self.get(name)? {
            Value::Null => return Some(None),
            Value::String(text) if text.chars().count() > length_max => {
                format!("This is at most {length_max} characters long.")
            }
            Value::String(text) => match unfit(text) {
                None => return Some(Some(text.clone())),
                Some(fault) => fault.to_owned(),
            },
            _ => "This is a text, or null.".to_owned(),
        };
        faults.push(at(name, &fault));
        None
    }

    fn return_url(&self, faults: &mut Vec<ErrorObject>) -> Option<Option<String>> {
        let url = self.text("return_url", URL_LENGTH_MAX, faults)?;
        if url.as_deref().is_some_and(|url| !may_return_to(url)) {
            faults.push(at(
                "return_url",
                "This is not an address that a payer may be sent to.",
            ));
            return None;
        }
        Some(url)
    }

    fn email(&self, faults: &mut Vec<ErrorObject>) -> Option<Option<String>> {
        let email = self.text("receipt_email", TEXT_LENGTH_MAX, faults)?;
        let formed = |it: &str| {
            let odd = |letter: char| letter.is_whitespace() || letter.is_control();
            let parts = it.split_once('@');
            !it.contains(odd)
                && parts.is_some_and(|(name, host)| {
                    !name.is_empty() && !host.is_empty() && !host.contains('@')
                })
        };
        if email.as_deref().is_some_and(|it| !formed(it)) {
            faults.push(at("receipt_email", "This is not an e-mail address."));
            return None;
        }
        Some(email)
    }

    /// An object; null is an empty one.
    fn object(&self, name: &str, faults: &mut Vec<ErrorObject>) -> Option<Map<String, Value>> {
        let fault = match self.get(name)? {
            Value::Null => return Some(Map::new()),
            Value::Object(object) => {
                let value = Value::Object(object.clone());
                match unfit_within(&value) {
                    Some(fault) => fault.to_owned(),
                    None if value.to_string().len() > OBJECT_LENGTH_MAX => {
                        format!("This is at most {OBJECT_LENGTH_MAX} bytes of JSON.")
                    }
                    None => return Some(object.clone()),
                }
            }
            _ => "This is an object.".to_owned(),
        };
        faults.push(at(name, &fault));
        None
    }

    fn flag(&self, name: &str, faults: &mut Vec<ErrorObject>) -> bool {
        match self.get(name) {
            None | Some(Value::Null) => false,
            Some(Value::Bool(wanted)) => *wanted,
            Some(_) => {
                faults.push(at(name, "This is true or false."));
                false
            }
        }
    }

    /// An intent that exists is named by both its id and its secret.
    fn intent(&self, faults: &mut Vec<ErrorObject>) -> Option<GivenIntent> {
        let id = self.text("stripe_id", TEXT_LENGTH_MAX, faults).flatten();
        let secret = self
            .text("client_secret", TEXT_LENGTH_MAX, faults)
            .flatten();
        let plain = |it: u8| it.is_ascii_alphanumeric() || it == b'_';
        match (id, secret) {
            (None, None) => None,
            (Some(id), Some(_)) if id.is_empty() || !id.bytes().all(plain) => {
                faults.push(at("stripe_id", "This is no id of Stripe's."));
                None
            }
            (Some(id), Some(secret)) => Some(GivenIntent {
                id,
                client_secret: SecretString::from(secret),
            }),
            (Some(_), None) => {
                faults.push(at(
                    "client_secret",
                    "An intent is named by its id and its secret.",
                ));
                None
            }
            (None, Some(_)) => {
                faults.push(at(
                    "stripe_id",
                    "An intent is named by its id and its secret.",
                ));
                None
            }
        }
    }
}

/// What Stripe is told through the options.
fn options(given: &Map<String, Value>, faults: &mut Vec<ErrorObject>) -> StripeOptions {
    let mut options = StripeOptions::default();
    let mut pairs = BTreeMap::new();
    for (name, value) in given {
        let text = || value.as_str().map(str::to_owned);
        let taken = match name.as_str() {
            _ if value.is_null() => true,
            "return_url" => value.as_str().is_some_and(may_return_to),
            "customer" => {
                options.customer = text();
                text().is_some()
            }
            "payment_method" => {
                options.payment_method = text();
                text().is_some()
            }
            "description" => {
                options.description = text();
                text().is_some()
            }
            "capture_method" => {
                options.capture_method = value.as_str().and_then(|it| it.parse().ok());
                options.capture_method.is_some()
            }
            it if OPTIONS.contains(&it) => {
                flatten(name, value, &mut pairs);
                true
            }
            _ => false,
        };
        if !taken {
            faults.push(at(
                "options",
                "One of the options is not taken here, or not with this value.",
            ));
            return options;
        }
    }
    match Parameters::parse(pairs) {
        Ok(parameters) => options.parameters = parameters,
        Err(error) => faults.push(at("options", &crate::doors::sentence(&error))),
    }
    options
}

/// In brackets, as Stripe takes it.
fn flatten(name: &str, value: &Value, pairs: &mut BTreeMap<String, String>) {
    match value {
        Value::Null => {}
        Value::Object(fields) => {
            for (field, value) in fields {
                flatten(&format!("{name}[{field}]"), value, pairs);
            }
        }
        Value::Array(items) => {
            for (index, value) in items.iter().enumerate() {
                flatten(&format!("{name}[{index}]"), value, pairs);
            }
        }
        Value::String(text) => drop(pairs.insert(name.to_owned(), text.clone())),
        other => drop(pairs.insert(name.to_owned(), other.to_string())),
    }
}

/// Why a text is not kept.
fn unfit(text: &str) -> Option<&'static str> {
    if text.contains('\0') {
        Some("This holds a character that cannot be kept.")
    } else if holds_card_number(text) {
        Some("This holds what looks like a card number.")
    } else {
        None
    }
}

fn unfit_within(value: &Value) -> Option<&'static str> {
    match value {
        Value::String(text) => unfit(text),
        Value::Array(items) => items.iter().find_map(unfit_within),
        Value::Object(fields) => fields
            .iter()
            .find_map(|(name, value)| unfit(name).or_else(|| unfit_within(value))),
        Value::Number(number) => unfit(&number.to_string()),
        Value::Null | Value::Bool(_) => None,
    }
}

fn at(name: &str, detail: &str) -> ErrorObject {
    error::invalid(detail).at(format!("/data/attributes/{name}"))
}

/// A member that is not taken here. Its name is shown where it can be one.
fn refused(under: &str, name: &str) -> ErrorObject {
    let plain = |it: u8| it.is_ascii_alphabetic() || it == b'_';
    let shown = name.len() <= 40 && name.bytes().all(plain);
    let pointer = if shown {
        format!("{under}/{name}")
    } else {
        under.to_owned()
    };
    error::not_allowed("This is not one that can be set here.").at(pointer)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(given: Value) -> (StripeOptions, usize) {
        let mut faults = Vec::new();
        let options = options(given.as_object().unwrap(), &mut faults);
        (options, faults.len())
    }

    #[test]
    fn options_go_to_stripe_in_its_own_form_and_nothing_that_is_ours_to_decide() {
        let (read_so, faults) = read(json!({
            "customer": "cus_1", "payment_method": "pm_1", "capture_method": "manual", "return_url": "https://x.example",
            "payment_method_types": ["card"], "transfer_data": {"destination": "acct_1"}, "setup_future_usage": null,
        }));
        assert_eq!(faults, 0);
        assert_eq!(read_so.customer.as_deref(), Some("cus_1"));
        let pairs: Vec<_> = read_so.parameters.iter().collect();
        let expected = [
            ("payment_method_types[0]", "card"),
            ("transfer_data[destination]", "acct_1"),
        ];
        assert_eq!(pairs, expected);
        for wrong in [
            json!({"amount": 1}),
            json!({"currency": "usd"}),
            json!({"confirm": true}),
            json!({"payment_method_data": {"card": {}}}),
            json!({"return_url": "javascript:alert(1)"}),
            json!({"customer": 1}),
            json!({"capture_method": "later"}),
        ] {
            assert_eq!(read(wrong.clone()).1, 1, "{wrong}");
        }
    }

    #[test]
    fn no_text_anywhere_in_an_object_holds_a_card_number_or_a_nul() {
        for wrong in [
            json!({"a": {"b": ["4242 4242 4242 4242"]}}),
            json!({"4242424242424242": 1}),
            json!({"a": 4_242_424_242_424_242_i64}),
            json!({"a": "\0"}),
        ] {
            assert!(unfit_within(&wrong).is_some(), "{wrong}");
        }
        assert_eq!(
            unfit_within(&json!({"foo": "bar", "n": [1, null, true]})),
            None
        );
    }
}
