//! `/openapi.json`, and `/docs`: a page that shows it. Everything that the page needs is in the program; it asks nobody else.

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::middleware::from_fn;
use axum::response::{Html, IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use serde_json::Value;
use std::sync::Arc;
use utoipa_swagger_ui::Config;

use super::cors;
use super::openapi;
use super::problem::Problem;
use super::routes::Routes;

/// The page. Its script is a file of its own, so that the policy below need not allow scripts in a page.
const PAGE: &str = include_str!("docs/page.html");
const START: &str = include_str!("docs/start.js");
/// What the page needs of Swagger UI.
const OF_SWAGGER_UI: [&str; 3] = [
    "swagger-ui.css",
    "swagger-ui-bundle.js",
    "favicon-32x32.png",
];
/// Only from here. Swagger UI writes a few styles into its elements, and its icons are `data:`.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
    img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
/// They change with the program alone.
const FOR_AN_HOUR: &str = "public, max-age=3600";

/// The document, ready to be sent.
#[derive(Clone, Debug)]
pub struct Document(Bytes);

impl Document {
    /// The document's text.
    pub fn new(document: &Value) -> Self {
        Self(openapi::text(document).into())
    }
}

/// `/openapi.json`, `/docs`, and what the page names.
pub fn routes() -> Routes<Document> {
    Routes::new("docs")
        .get("/openapi.json", document)
        .get("/docs", || async { page() })
        .get("/docs/{file}", |Path(file): Path<String>| async move {
            asset(&file)
        })
        .described_by(|| openapi::fragment(include_str!("docs/openapi.json")))
        .around(|router| {
            router.layer(from_fn(|request, next| {
                cors::readable(is_document, request, next)
            }))
        })
}

async fn document(State(Document(text)): State<Document>) -> Response {
    ([(CONTENT_TYPE, "application/json")], text).into_response()
}

/// Tools on other people's pages may read the document: it holds nothing but what is public.
fn is_document(path: &str) -> bool {
    path == "/openapi.json"
}

fn page() -> Response {
    let headers = [
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, Html(PAGE)).into_response()
}

fn asset(file: &str) -> Response {
    let of = |kind: &str, bytes: Bytes| {
        let headers = [
            (CONTENT_TYPE, kind),
            (CACHE_CONTROL, FOR_AN_HOUR),
            (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        ];
        (headers, bytes).into_response()
    };
    if file == "start.js" {
        return of("text/javascript", Bytes::from_static(START.as_bytes()));
    }
    let known = OF_SWAGGER_UI.contains(&file);
    let found = known.then(|| utoipa_swagger_ui::serve(file, Arc::new(Config::default())));
    match found {
        Some(Ok(Some(it))) => of(&it.content_type, it.bytes.into_owned().into()),
        _ => Problem::no_such_route().into_response(),
    }
}
