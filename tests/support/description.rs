//! Holds answers to the OpenAPI document: of the status, the headers and the body it says what they may be.

use counterfoil::http::openapi;
use counterfoil::service;
use jsonschema::Validator;
use reqwest::header::HeaderMap;
use reqwest::{Method, StatusCode, Url};
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, LazyLock, Mutex};

/// The document of the service.
pub static DOCUMENT: LazyLock<Value> = LazyLock::new(|| openapi::document(&service::catalogue()));

/// The ports on which a service under test listens: what is asked of others is not this document's to judge.
static SERVICES: LazyLock<Mutex<HashSet<u16>>> = LazyLock::new(Mutex::default);

static VALIDATORS: LazyLock<Mutex<HashMap<String, Arc<Validator>>>> = LazyLock::new(Mutex::default);

/// From now on answers from this port are held to the document.
pub fn hold_to_it(port: u16) {
    SERVICES.lock().unwrap().insert(port);
}

/// An answer as it came.
pub struct Seen<'a> {
    pub method: &'a Method,
    pub url: &'a Url,
    pub status: StatusCode,
    pub headers: &'a HeaderMap,
    pub body: &'a [u8],
}

/// Fails where the document does not allow the answer.
pub fn check(seen: &Seen<'_>) {
    let ours = seen
        .url
        .port()
        .is_some_and(|port| SERVICES.lock().unwrap().contains(&port));
    if ours && let Err(why) = conforms(seen) {
        let body = String::from_utf8_lossy(seen.body);
        let (method, url, status) = (seen.method, seen.url, seen.status);
        panic!("not as described: {method} {url} → {status}: {why}\n{body}");
    }
}

/// Why the answer is not one that the document allows.
pub fn conforms(seen: &Seen<'_>) -> Result<(), String> {
    let id = seen.headers.get("request-id");
    id.ok_or("the answer has no Request-Id")?;
    let Some(operation) = operation(seen.method, seen.url.path()) else {
        let unknown = [404, 405].contains(&seen.status.as_u16()) || seen.method == Method::OPTIONS;
        let head = seen.method == Method::HEAD;
        return (unknown || head)
            .then_some(())
            .ok_or_else(|| "the route is not described".to_owned());
    };
    let status = seen.status.as_str();
    let response = resolved(&operation["responses"][status]);
    if response.is_null() {
        return Err("the status is not described".to_owned());
    }
    if response["content"].is_null() {
        let nothing = seen.body.is_empty();
        return nothing
            .then_some(())
            .ok_or_else(|| "no body is described".to_owned());
    }
    let media_type = seen.headers.get("content-type").map_or("", |value| {
        let text = value.to_str().unwrap_or_default();
        text.split(';').next().unwrap_or_default()
    });
    // What is described without content has none.
    if response["content"].is_null() && seen.body.is_empty() {
        return Ok(());
    }
    let content = &response["content"][media_type];
    if content.is_null() {
        return Err(format!("the media type {media_type:?} is not described"));
    }
    // Lines of JSON are no JSON.
    if !media_type.ends_with("json") || media_type.ends_with("x-ndjson") {
        return Ok(());
    }
    let body: Value = serde_json::from_slice(seen.body).map_err(|error| error.to_string())?;
    valid(&content["schema"], &body)
}

/// What the document says of a request, where it says something.
pub fn operation(method: &Method, path: &str) -> Option<&'static Value> {
    let method = method.as_str().to_ascii_lowercase();
    let fits = |template: &str| {
        let (mut asked, mut known) = (path.split('/'), template.split('/'));
        loop {
            match (asked.next(), known.next()) {
                (None, None) => return true,
                (Some(_), Some(part)) if part.starts_with('{') => {}
                (Some(asked), Some(part)) if asked == part => {}
                _ => return false,
            }
        }
    };
    let paths = DOCUMENT["paths"].as_object().unwrap();
    let fitting = paths.iter().filter(|(template, _)| fits(template));
    // As the router does: a plain path before one with a part that may be anything.
    let item = fitting.min_by_key(|(template, _)| template.matches('{').count())?;
    item.1.get(&method)
}

/// What is behind a reference.
pub fn resolved(value: &'static Value) -> &'static Value {
    match value["$ref"].as_str() {
        Some(reference) => pointed(reference).unwrap_or(&Value::Null),
        None => value,
    }
}

/// What a reference within the document points at.
pub fn pointed(reference: &str) -> Option<&'static Value> {
    DOCUMENT.pointer(reference.strip_prefix('#')?)
}

/// Whether a value is as a schema of the document says.
pub fn valid(schema: &Value, value: &Value) -> Result<(), String> {
    let mut known = VALIDATORS.lock().unwrap();
    let compile = || {
        // The schema's references are to be found in it.
        let mut whole = json!({"allOf": [schema], "components": DOCUMENT["components"]});
        whole["$schema"] = "https://json-schema.org/draft/2020-12/schema".into();
        Arc::new(jsonschema::validator_for(&whole).expect("a schema"))
    };
    let validator = Arc::clone(known.entry(schema.to_string()).or_insert_with(compile));
    drop(known);
    let errors: Vec<String> = validator
        .iter_errors(value)
        .map(|error| format!("{} at {}", error, error.instance_path))
        .collect();
    errors.is_empty().then_some(()).ok_or(errors.join("\n"))
}
