//! What Stripe alone knows: read through to it, and changed there with an intention before and an outcome after.

use aggregates::stripe_request::Method as ChangeMethod;
use axum::extract::{Request, State};
use http::{HeaderMap, Method, Uri};
use secrecy::SecretString;
use serde_json::{Map, Value};

use super::super::call::{self, Call, Look};
use super::super::error::StripeError;
use super::super::{Answer, NAME, form, params, request as common};
use super::answer::answer;
use crate::doors::firewall::holds_card_number;
use crate::use_cases::{App, Change};

/// What a publishable key may see of an intent, by Stripe's own list.
const FOR_BROWSERS: &[&str] = &[
    "amount",
    "amount_details",
    "automatic_payment_methods",
    "canceled_at",
    "cancellation_reason",
    "capture_method",
    "client_secret",
    "confirmation_method",
    "created",
    "currency",
    "description",
    "id",
    "last_payment_error",
    "livemode",
    "next_action",
    "object",
    "payment_method",
    "payment_method_configuration_details",
    "payment_method_types",
    "processing",
    "receipt_email",
    "setup_future_usage",
    "shipping",
    "source",
    "status",
];

/// `GET` of anything: as Stripe answers it.
pub async fn read(State(app): State<App>, headers: HeaderMap, uri: Uri) -> Answer {
    let look = Look::to_read(&app, &headers, &uri).await?;
    let path = path(&uri)?;
    let said = app.look(&look.caller, NAME, path, look.query).await?;
    Ok(answer(&said, false))
}

/// An intent for a customer's browser that knows its client secret; none where the request is not a browser's.
pub async fn from_browser(
    app: &App,
    intent: &str,
    headers: &HeaderMap,
    uri: &Uri,
) -> Result<Option<axum::response::Response>, StripeError> {
    let Some((caller, secret)) = call::from_browser(app, headers, uri).await? else {
        return Ok(None);
    };
    let mut said = app.look_with_secret(&caller, intent, &secret).await?;
    if let (true, Value::Object(fields)) = (said.status < 300, &mut said.body) {
        fields.retain(|name, _| FOR_BROWSERS.contains(&name.as_str()));
    }
    Ok(Some(answer(&said, false)))
}

/// `POST` or `DELETE` of anything that is no payment.
pub async fn change(State(app): State<App>, request: Request) -> Answer {
    carry_out(&app, request, |_| {}).await
}

/// `POST /v1/checkout/sessions`: the intent that the session will make is to be known as ours.
pub async fn open_session(State(app): State<App>, request: Request) -> Answer {
    carry_out(&app, request, |change| change.makes_intent = true).await
}

async fn carry_out(app: &App, request: Request, more: impl FnOnce(&mut Change)) -> Answer {
    let (uri, method) = (request.uri().clone(), request.method().clone());
    let call = Call::to_write(app, request).await?;
    let path = path(&uri)?;
    no_card_number(&call.fields)?;
    let customer = path
        .strip_prefix("/customers/")
        .and_then(|rest| rest.split('/').next())
        .or_else(|| call.fields.get("customer").and_then(Value::as_str));
    let mut change = Change {
        order: None,
        method: match method {
            Method::DELETE => ChangeMethod::Delete,
            _ => ChangeMethod::Post,
        },
        customer: customer
            .filter(|id| common::is_plain_id(id))
            .map(str::to_owned),
        path,
        form: form::encode(&form::pairs(&call.fields)),
        makes_intent: false,
    };
    more(&mut change);
    let key = call.key_name();
    let changed = app.change(&call.caller, NAME, change, call.key).await;
    let said = changed.map_err(|error| StripeError::from(error).naming(key.as_deref()))?;
    Ok(answer(&said, said.replayed))
}

/// `POST /v1/payment_methods`: the one place where a raw card travels, from memory to Stripe.
pub async fn make_payment_method(State(app): State<App>, request: Request) -> Answer {
    let call = Call::to_write(&app, request).await?;
    let mut beside = call.fields.clone();
    beside.remove("card");
    no_card_number(&beside)?;
    let form = SecretString::from(form::encode(&form::pairs(&call.fields)));
    let key = call.key_name();
    let made = app
        .make_payment_method(&call.caller, NAME, form, call.key.as_ref())
        .await;
    let said = made.map_err(|error| StripeError::from(error).naming(key.as_deref()))?;
    Ok(answer(&said, said.replayed))
}

/// The path below the version. A part that cannot be an id of Stripe's is not asked for.
fn path(uri: &Uri) -> Result<String, StripeError> {
    let path = uri.path().strip_prefix("/v1").unwrap_or_default();
    if path.split('/').skip(1).all(common::is_plain_id) {
        Ok(path.to_owned())
    } else {
        Err(StripeError::no_such_path())
    }
}

/// Text that is kept must not hold a card number; ids and addresses are Stripe's own.
fn no_card_number(fields: &Map<String, Value>) -> Result<(), StripeError> {
    let pairs = form::pairs(fields);
    let found = pairs
        .iter()
        .find(|(name, text)| holds_card_number(name) || holds_card_number(text));
    match found {
        Some((name, _)) => Err(params::card_number_in(&params::shown(name))),
        None => Ok(()),
    }
}
