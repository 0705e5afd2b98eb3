//! The checkout's door: a booking site asks for a page (or a form) of Stripe's on which articles are paid, as ServiceStack
//! serves it: in JSON, XML, CSV or JSV, on the document's path and on ServiceStack's own.
//!
//! What the articles cost is what the catalogue says of them; nothing in a request sets a price.

mod error;
mod formats;
mod openapi;
mod request;
mod response;

use axum::extract::{Request, State};
use axum::response::{Html, IntoResponse, Response};
use http::{HeaderMap, Method, StatusCode};

use crate::http::routes::Routes;
use crate::use_cases::App;
use error::CheckoutError;
use formats::Format;

/// The door's name in events.
const NAME: &str = "checkout";
const PATH: &str = "/payment/stripe/v1/checkout";
/// Where a payer of a hosted checkout goes where the caller names no address.
const CONFIRMED: &str = "/payment/stripe/v1/checkout/confirmed";

/// An operation of this door: its name with ServiceStack, and its root element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    Create,
    Status,
}

impl Operation {
    /// The name of the request, in routes, in XML and in the name of a CSV file.
    fn name(self) -> &'static str {
        match self {
            Self::Create => "StripeV1CreateCheckout",
            Self::Status => "StripeV1CheckoutStatus",
        }
    }
}

/// `POST /payment/stripe/v1/checkout` and `…/checkout/status`, each with `.json`, `.xml`, `.csv` and `.jsv`, and on
/// ServiceStack's paths.
pub fn routes() -> Routes<App> {
    let mut routes = Routes::new(NAME).get(CONFIRMED, confirmed);
    for operation in [Operation::Create, Operation::Status] {
        for (path, format) in paths(operation) {
            let serve = move |State(app): State<App>, request: Request| async move {
                answer(&app, operation, format, request).await
            };
            routes = routes.post(&path, serve);
        }
    }
    routes
        .wrong_method(method_not_allowed)
        .described_by(openapi::fragment)
        .nothing_at("/payment/stripe/v1/{*rest}", no_such_path)
}

/// Where an operation is served, and in which format where the path says so.
fn paths(operation: Operation) -> Vec<(String, Option<Format>)> {
    let name = operation.name();
    let path = match operation {
        Operation::Create => PATH.to_owned(),
        Operation::Status => format!("{PATH}/status"),
    };
    let mut paths = vec![(path.clone(), None), (format!("/api/{name}"), None)];
    for format in Format::ALL {
        let word = format.word();
        paths.push((format!("{path}.{word}"), Some(format)));
        paths.push((format!("/api/{name}.{word}"), Some(format)));
        paths.push((format!("/{word}/reply/{name}"), Some(format)));
    }
    paths
}

async fn answer(
    app: &App,
    operation: Operation,
    of_path: Option<Format>,
    request: Request,
) -> Response {
    let format =
        of_path.unwrap_or_else(|| request::wanted(request.headers(), request.uri().query()));
    match serve(app, operation, format, request).await {
        Ok(members) => response::write(format, operation, &members),
        Err(error) => error.answer(format),
    }
}

async fn serve(
    app: &App,
    operation: Operation,
    format: Format,
    request: Request,
) -> Result<Vec<response::Member>, CheckoutError> {
    let (parts, body) = request.into_parts();
    let caller = request::caller(app, &parts.headers).await?;
    let said = request::read(format, &parts.headers, parts.uri.query(), body).await?;
    match operation {
        Operation::Create => {
            let wanted = request::create(&said, &confirmation(&parts.headers))?;
            let session = app.open_checkout(&caller, NAME, wanted).await?;
            Ok(response::opened(&session.body))
        }
        Operation::Status => {
            let (company, session) = request::status(&said)?;
            let status = app.checkout_status(&caller, &company, &session).await?;
            Ok(response::status(status))
        }
    }
}

/// Our own page of thanks, as the caller reaches us. The caller could as well name any other address.
fn confirmation(headers: &HeaderMap) -> String {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let plain = |host: &&str| {
        host.bytes()
            .all(|it| it.is_ascii_alphanumeric() || b".:-[]".contains(&it))
    };
    let host = text("host").filter(plain).unwrap_or("localhost");
    let scheme = match text("x-forwarded-proto") {
        Some("https") => "https",
        _ => "http",
    };
    format!("{scheme}://{host}{CONFIRMED}")
}

async fn confirmed() -> Html<&'static str> {
    Html("<!doctype html><title>Thank you</title><p>Thank you. You may close this page.</p>")
}

/// The answer to a method that the path does not take; axum adds `Allow`.
async fn method_not_allowed(method: Method, headers: HeaderMap) -> Response {
    if method == Method::HEAD {
        return StatusCode::METHOD_NOT_ALLOWED.into_response();
    }
    CheckoutError::WrongMethod.answer(request::wanted(&headers, None))
}

/// The answer where this door has no path.
async fn no_such_path(headers: HeaderMap) -> Response {
    CheckoutError::NoSuchPath.answer(request::wanted(&headers, None))
}
