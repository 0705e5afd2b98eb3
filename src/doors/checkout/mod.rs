//! The checkout's door: a booking site asks for a page (or a form) of Stripe's on which articles are paid, as ServiceStack
//! serves it: in JSON, XML, CSV or JSV, on the document's path and on ServiceStack's own.
//!
//! What the articles cost is what the catalogue says of them; nothing in a request sets a price.

mod error;
mod formats;
mod guid;
mod negotiation;
mod openapi;
mod request;
mod response;

use axum::extract::{Request, State};
use axum::response::{Html, IntoResponse, Response};
use http::{HeaderMap, Method, StatusCode, Uri};

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
            Self::Status => "GetStripeCheckoutV1CheckoutStatus",
        }
    }
}

/// `POST /payment/stripe/v1/checkout` and `…/checkout/status`, each with `.json`, `.xml`, `.csv` and `.jsv`, and on
/// ServiceStack's paths.
pub fn routes() -> Routes<App> {
    let mut routes = Routes::new(NAME).get(CONFIRMED, confirmed);
    for operation in [Operation::Create, Operation::Status] {
        for path in paths(operation) {
            let serve = move |State(app): State<App>, request: Request| async move {
                answer(&app, operation, request).await
            };
            routes = routes.post(&path, serve);
        }
    }
    for format in Format::ALL {
        let path = format!("/{}/reply/{{*rest}}", format.word());
        routes = routes.nothing_at(&path, no_such_path);
    }
    routes
        .wrong_method(method_not_allowed)
        .described_by(openapi::fragment)
        .nothing_at("/payment/stripe/v1/{*rest}", no_such_path)
}

/// Where an operation is served: on the document's path and on ServiceStack's, which may name a format.
fn paths(operation: Operation) -> Vec<String> {
    let name = operation.name();
    let path = match operation {
        Operation::Create => PATH.to_owned(),
        Operation::Status => format!("{PATH}/status"),
    };
    let mut paths = vec![path.clone(), format!("/api/{name}")];
    for format in Format::ALL {
        let word = format.word();
        paths.push(format!("{path}.{word}"));
        paths.push(format!("/api/{name}.{word}"));
        paths.push(format!("/{word}/reply/{name}"));
    }
    paths
}

async fn answer(app: &App, operation: Operation, request: Request) -> Response {
    let format = negotiation::wanted(request.uri(), request.headers());
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
    let headers = &parts.headers;
    let caller = request::caller(app, operation, headers).await?;
    let said = negotiation::read(format, headers, parts.uri.query(), body).await?;
    match operation {
        Operation::Create => {
            let confirmation = format!("{}{CONFIRMED}", app.public_url());
            let wanted = request::create(&said, &confirmation)?;
            let key = request::idempotency(app, &caller, headers, &wanted)?;
            let session = app.open_checkout(&caller, NAME, wanted, key).await?;
            Ok(response::opened(&session.body))
        }
        Operation::Status => {
            let asked = request::status(&said)?;
            let status = app.checkout_status(&caller, NAME, asked).await?;
            Ok(response::status(status))
        }
    }
}

/// Our own page of thanks, for payers whose caller names no address.
async fn confirmed() -> Html<&'static str> {
    Html(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Thank you</title>\
         <p>Thank you. You may close this page.</p></html>",
    )
}

/// The answer to a method that the path does not take; axum adds `Allow`.
async fn method_not_allowed(method: Method, uri: Uri, headers: HeaderMap) -> Response {
    if method == Method::HEAD {
        return StatusCode::METHOD_NOT_ALLOWED.into_response();
    }
    CheckoutError::WrongMethod.answer(negotiation::wanted(&uri, &headers))
}

/// The answer where this door has no path.
async fn no_such_path(uri: Uri, headers: HeaderMap) -> Response {
    CheckoutError::NoSuchPath.answer(negotiation::wanted(&uri, &headers))
}

/// Reads a body in each format, and what it says, as far as no store is asked: for fuzzers.
pub(crate) fn parse(bytes: &[u8]) {
    let _ = guid::read(&String::from_utf8_lossy(bytes));
    for format in Format::ALL {
        let Ok(members) = formats::read(format, bytes) else {
            continue;
        };
        let written: Vec<_> = members
            .iter()
            .map(|(name, value)| (name.as_str(), value.clone()))
            .collect();
        for format in Format::ALL {
            let again = formats::write(format, "Fuzzed", &written);
            assert!(format != Format::Json || formats::read(format, again.as_bytes()).is_ok());
        }
        let said = members
            .into_iter()
            .filter_map(negotiation::member)
            .collect();
        let _ = request::create(&said, "https://shop.example/confirmed");
        let _ = request::status(&said);
    }
}
