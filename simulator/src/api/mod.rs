//! Stripe's API under `/v1`: from an HTTP request to its answer.
//!
//! A request passes, in this order: authentication, routing, parameters, idempotency, what a fault does before the effect, the handler and its
//! commit, what a fault does after the effect.

mod balance;
mod call;
mod charges;
mod checkout_sessions;
mod customers;
mod disputes;
mod events;
mod expand;
mod idempotency;
mod lists;
mod payment_intents;
mod payment_methods;
mod payouts;
mod refunds;
mod route;
mod search;
mod webhook_endpoints;

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderMap, Method};
use serde_json::{Value, json};

pub use self::call::Caller;
use self::call::{Call, Request};
use self::idempotency::Claim;
pub use self::idempotency::forget as forget_keys;
pub use self::payment_methods::{find as find_method, of_card as new_card};
use crate::App;
use crate::errors::{ApiError, ErrorType, Outcome};
use crate::faults::{Action, Moment};
use crate::flow;
use crate::objects::{Cause, Remembered};
use crate::params::{Params, Tree};
use crate::state::{AccountCell, Tx};

/// The version that answers are rendered in, unless the caller names one: it is echoed, and the rendering is the same for all.
const API_VERSION: &str = "2023-08-16";

/// An answer on its way out.
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// The body; client secrets are filled in.
    pub body: Value,
    /// `req_…`
    pub request_id: String,
    /// Echoed.
    pub version: String,
    /// Echoed.
    pub idempotency_key: Option<String>,
    /// Whether the body was kept from an earlier request.
    pub replayed: bool,
    /// The request that ran under the key: this one, or an earlier one.
    pub original_request: Option<String>,
    /// `Stripe-Should-Retry`, where it is sent.
    pub should_retry: Option<bool>,
}

/// The connection ends without an answer.
pub struct Dropped;

/// Answers a request under `/v1`.
///
/// # Errors
/// [`Dropped`] where a fault asks for it.
pub async fn answer(app: &Arc<App>, head: &Parts, body: &[u8]) -> Result<Reply, Dropped> {
    let reply = Reply {
        status: 200,
        body: Value::Null,
        request_id: request_id(),
        version: text(&head.headers, "stripe-version").unwrap_or_else(|| API_VERSION.to_owned()),
        idempotency_key: text(&head.headers, "idempotency-key"),
        replayed: false,
        original_request: None,
        should_retry: None,
    };
    let answered = answer_into(app, head, body, reply).await;
    answered.map(|reply| reply.advised(&head.method))
}

async fn answer_into(
    app: &Arc<App>,
    head: &Parts,
    body: &[u8],
    mut reply: Reply,
) -> Result<Reply, Dropped> {
    let request = match read(app, head, body, &reply.request_id) {
        Ok(request) => request,
        Err(error) => {
            reply.fail(&error);
            return Ok(reply);
        }
    };
    let action = app
        .faults
        .take(&head.method, &request.path, &request.cell.settings.id);
    let Some(action) = action else {
        run(app, &request, None, &mut reply).await?;
        return Ok(reply);
    };
    // A caller who hangs up during a fault does not stop what was begun, as at Stripe.
    let app = Arc::clone(app);
    let running = tokio::spawn(async move {
        run(&app, &request, Some(action), &mut reply).await?;
        Ok(reply)
    });
    running.await.unwrap_or(Err(Dropped))
}

fn request_id() -> String {
    let random: [u8; 8] = rand::random();
    format!("req_{}", hex::encode(random))
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    let value = headers.get(name)?.to_str().ok()?;
    Some(value.to_owned())
}

fn read(app: &App, head: &Parts, body: &[u8], request_id: &str) -> Outcome<Request> {
    let (cell, caller) = authenticate(app, &head.headers)?;
    let path = head.uri.path().to_owned();
    let route = route::find(&head.method, &path)?;
    if caller == Caller::Publishable && !route.public {
        return Err(ApiError::new(
            401,
            ErrorType::InvalidRequest,
            "This API call cannot be made with a publishable API key. Please use a secret API key.",
        )
        .code("secret_key_required"));
    }
    let mut params = read_body(&head.headers, body)?;
    params.merge(Tree::from_form(
        head.uri.query().unwrap_or_default().as_bytes(),
    )?);
    let key = match head.method {
        Method::POST => idempotency::read_key(&head.headers)?,
        _ => None,
    };
    Ok(Request {
        cell,
        caller,
        route,
        path,
        params,
        key,
        request_id: request_id.to_owned(),
    })
}

fn authenticate(app: &App, headers: &HeaderMap) -> Outcome<(Arc<AccountCell>, Caller)> {
    let unauthorized = |message: &str| ApiError::new(401, ErrorType::InvalidRequest, message);
    let header = headers.get(AUTHORIZATION).and_then(|it| it.to_str().ok());
    let key = match header.map(|it| it.split_once(' ').unwrap_or(("", it))) {
        Some((scheme, encoded)) if scheme.eq_ignore_ascii_case("basic") => STANDARD
            .decode(encoded.trim())
            .ok()
            .and_then(|it| String::from_utf8(it).ok())
            .map(|it| it.split(':').next().unwrap_or_default().to_owned()),
        Some((_, key)) => Some(key.trim().to_owned()),
        None => None,
    };
    let Some(key) = key.filter(|it| !it.is_empty()) else {
        return Err(unauthorized(
            "You did not provide an API key. You need to provide your API key in the Authorization header, using Bearer auth (e.g. \
             'Authorization: Bearer YOUR_SECRET_KEY'). See https://stripe.com/docs/api#authentication for details, or we can help at \
             https://support.stripe.com/.",
        ));
    };
    app.account_of_key(&key)
        .ok_or_else(|| unauthorized("Invalid API Key provided: ********").code("api_key_invalid"))
}

fn read_body(headers: &HeaderMap, body: &[u8]) -> Outcome<Tree> {
    let content_type = headers.get(CONTENT_TYPE).and_then(|it| it.to_str().ok());
    match content_type {
        _ if body.is_empty() => Tree::from_form(body),
        Some(kind) if kind.starts_with("application/json") => Tree::from_json(body),
        None if body.starts_with(b"{") => Tree::from_json(body),
        Some(kind) if kind.starts_with("multipart/") => Err(ApiError::invalid(
            "Invalid request body: it must be form-encoded.",
        )),
        _ => Tree::from_form(body),
    }
}

async fn run(
    app: &Arc<App>,
    request: &Request,
    action: Option<Action>,
    reply: &mut Reply,
) -> Result<(), Dropped> {
    if let (Some(key), true) = (&request.key, action.is_some_and(Action::forgets_key)) {
        // What cannot be written is not forgotten, which is no fault.
        let _ = forget_keys(&request.cell, app.clock.now_ms(), Some(key), 0);
    }
    match idempotency::claim(app, request) {
        Ok(Claim::Replay {
            status,
            body,
            request_id,
        }) => {
            reply.status = status;
            reply.body = body;
            reply.replayed = true;
            reply.original_request = request_id;
            strike_replay(app, action, reply).await?;
        }
        Ok(Claim::Run(guard)) => {
            reply.original_request = guard.as_ref().map(|_| reply.request_id.clone());
            let forced = at(app, action, Moment::Before).await?;
            let (status, body, should_retry) = match forced {
                Some(error) => remember_forced(app, request, &error),
                None => execute(app, request, action.and_then(Action::drift_minor)),
            };
            if let Some(error) = at(app, action, Moment::After).await? {
                remember_forced(app, request, &error);
                reply.fail(&error);
                return Ok(());
            }
            (reply.status, reply.body, reply.should_retry) = (status, body, should_retry);
        }
        Err(error) => reply.fail(&error),
    }
    request.cell.with_secrets(|it| it.reveal(&mut reply.body));
    Ok(())
}

/// What a fault of a script does to an answer that is replayed. Stripe's failures are kept already, or not at all.
async fn strike_replay(
    app: &App,
    action: Option<Action>,
    reply: &mut Reply,
) -> Result<(), Dropped> {
    let action = action.filter(|it| it.strikes_replays());
    for moment in [Moment::Before, Moment::After] {
        let forced = at(app, action, moment).await?;
        if let Some(error) = forced.filter(|it| !it.is_executed()) {
            reply.replayed = false;
            reply.fail(&error);
        }
    }
    Ok(())
}

/// What a fault does at this moment: waits, ends the connection, or answers with an error of its own.
async fn at(
    app: &App,
    action: Option<Action>,
    moment: Moment,
) -> Result<Option<ApiError>, Dropped> {
    match action {
        Some(action) => app.faults.act(action, moment).await,
        None => Ok(None),
    }
}

type Answered = (u16, Value, Option<bool>);

/// Runs the handler in a transaction, and commits what counts as executed together with the answer under its key.
fn execute(app: &App, request: &Request, drift_minor: Option<i64>) -> Answered {
    let cell = &request.cell;
    let mut state = cell.lock();
    let cause = Cause {
        request_id: Some(request.request_id.clone()),
        idempotency_key: request.key.clone(),
    };
    let now_ms = app.clock.now_ms();
    if flow::run_due(cell, &mut state, now_ms.div_euclid(1_000)).is_err() {
        return failed(&journal_failed(), request);
    }
    let mut tx = Tx::begin(cell, &mut state, now_ms, cause);
    let drifted = drift_minor.map(|minor| drift(&request.params, minor));
    let outcome = handle(
        &mut tx,
        request,
        drifted.as_ref().unwrap_or(&request.params),
    );
    let is_executed = outcome
        .as_ref()
        .map_or_else(ApiError::is_executed, |_| true);
    let (status, body, should_retry) = match outcome {
        Ok(body) => (200, body, None),
        Err(error) => failed(&error, request),
    };
    if is_executed {
        remember(&mut tx, request, status, &body);
        if tx.commit().is_err() {
            return failed(&journal_failed(), request);
        }
    }
    (status, body, should_retry)
}

/// The parameters with so much more in every amount that they name. The key's fingerprint stays that of what was sent.
fn drift(params: &Tree, minor: i64) -> Tree {
    let mut drifted = params.clone();
    if let Tree::Hash(members) = &mut drifted {
        for name in ["amount", "amount_to_capture"] {
            if let Some(Tree::Leaf(amount)) = members.get_mut(name)
                && let Ok(asked) = amount.parse::<i64>()
            {
                *amount = asked.saturating_add(minor).to_string();
            }
        }
    }
    drifted
}

fn handle(tx: &mut Tx<'_>, request: &Request, params: &Tree) -> Outcome<Value> {
    let params = Params::root(params)?;
    let paths = params.texts("expand")?.unwrap_or_default();
    let mut answer = (request.route.handler)(&mut Call {
        tx,
        params,
        id: &request.route.id,
        caller: request.caller,
    })?;
    for path in &paths {
        expand::expand(tx, &mut answer, path)?;
    }
    Ok(answer)
}

fn remember(tx: &mut Tx<'_>, request: &Request, status: u16, body: &Value) {
    if let Some(key) = &request.key {
        tx.put(Remembered {
            key: key.clone(),
            created: tx.now,
            path: request.path.clone(),
            fingerprint: idempotency::fingerprint(request),
            status,
            request_id: Some(request.request_id.clone()),
            body: body.to_string(),
        });
    }
}

/// A fault answers instead. Stripe keeps its own failures under the key, but not what it refused to begin.
fn remember_forced(app: &App, request: &Request, error: &ApiError) -> Answered {
    let answered = failed(error, request);
    if error.is_executed() {
        let mut state = request.cell.lock();
        let mut tx = Tx::begin(
            &request.cell,
            &mut state,
            app.clock.now_ms(),
            Cause::default(),
        );
        remember(&mut tx, request, answered.0, &answered.1);
        if tx.commit().is_err() {
            return failed(&journal_failed(), request);
        }
    }
    answered
}

fn failed(error: &ApiError, request: &Request) -> Answered {
    error_answer(error, &request.request_id)
}

fn error_answer(error: &ApiError, request_id: &str) -> Answered {
    let mut body = error.body();
    let url = format!("https://dashboard.stripe.com/test/logs/{request_id}");
    body["error"]["request_log_url"] = json!(url);
    (error.status(), body, error.should_retry())
}

fn journal_failed() -> ApiError {
    ApiError::internal("The simulator could not write its journal; nothing was changed.")
}

impl Reply {
    /// With `Stripe-Should-Retry: false` where asking again changes nothing: a POST that was refused, or whose failure is kept under its key. When
    /// Stripe sends the header is not documented; this is what its answers show.
    fn advised(mut self, method: &Method) -> Self {
        let is_definite =
            (400..500).contains(&self.status) || (self.replayed && self.status >= 400);
        if is_definite && *method == Method::POST {
            self.should_retry = self.should_retry.or(Some(false));
        }
        self
    }

    fn fail(&mut self, error: &ApiError) {
        (self.status, self.body, self.should_retry) = error_answer(error, &self.request_id);
    }
}
