//! What describes this door: its operations, over the shapes in `openapi.json`.

use serde_json::{Map, Value, json};

use super::{GATEWAYS, ORDERS, PATH};
use crate::http::json_api::MEDIA_TYPE;
use crate::http::openapi;

const READ: &str = "payments:read";
const WRITE: &str = "payments:write";
const RELATIONSHIPS: [&str; 4] = ["order", "payment_gateway", "versions", "event_stores"];
/// The answers that any operation may give beside its own, and those of what changes something.
const REFUSALS: [&str; 9] = [
    "400", "401", "403", "404", "406", "415", "429", "500", "503",
];
const OF_CHANGES: [&str; 5] = ["408", "409", "413", "422", "423"];
const ONE: &[&str] = &["JsonApiInclude", "JsonApiFields"];
const LIST: &[&str] = &[
    "JsonApiInclude",
    "JsonApiFields",
    "JsonApiSort",
    "JsonApiFilter",
    "JsonApiPage",
];
const HISTORY: &[&str] = &["JsonApiFields", "JsonApiHistoryPage"];
const KEYED: &[&str] = &["JsonApiInclude", "JsonApiFields", "IdempotencyKey"];

/// An operation: method, path, its name, what it does, the scope it needs, its parameters, and what it answers with.
struct Row<'a> {
    method: &'a str,
    path: String,
    name: String,
    summary: &'a str,
    scope: &'a str,
    parameters: &'a [&'a str],
    answers: Answers<'a>,
}

enum Answers<'a> {
    With(&'a str, &'a str),
    Nothing,
    /// It is refused, always.
    Never,
}
use Answers::{Never, Nothing, With};

/// The fragment of this door.
pub fn fragment() -> Value {
    let mut fragment = openapi::fragment(include_str!("openapi.json"));
    fragment["paths"] = json!({});
    for row in payments()
        .into_iter()
        .chain(beside())
        .chain(relationships())
    {
        fragment["paths"][&row.path][row.method] = operation(&row);
    }
    fragment
}

fn row<'a>(
    (method, path, name): (&'a str, String, &str),
    summary: &'a str,
    scope: &'a str,
    parameters: &'a [&'a str],
    answers: Answers<'a>,
) -> Row<'a> {
    let name = name.to_owned();
    Row {
        method,
        path,
        name,
        summary,
        scope,
        parameters,
        answers,
    }
}

fn payments() -> Vec<Row<'static>> {
    let (all, one) = (PATH.to_owned(), format!("{PATH}/{{id}}"));
    let document = "StripePaymentDocument";
    vec![
        row(
            ("get", all.clone(), "listStripePayments"),
            "List all stripe payments",
            READ,
            LIST,
            With("200", "StripePaymentList"),
        ),
        row(
            ("post", all, "createStripePayment"),
            "Create a stripe payment",
            WRITE,
            KEYED,
            With("201", document),
        ),
        row(
            ("get", one.clone(), "retrieveStripePayment"),
            "Retrieve a stripe payment",
            READ,
            ONE,
            With("200", document),
        ),
        row(
            ("patch", one.clone(), "updateStripePayment"),
            "Update a stripe payment",
            WRITE,
            KEYED,
            With("200", document),
        ),
        row(
            ("delete", one, "deleteStripePayment"),
            "Delete a stripe payment that holds no money",
            WRITE,
            &["IdempotencyKey"],
            Nothing,
        ),
    ]
}

/// What the links of a payment lead to.
fn beside() -> Vec<Row<'static>> {
    let of = |name: &str| format!("{PATH}/{{id}}/{name}");
    let one = || With("200", "JsonApiOne");
    vec![
        row(
            ("get", of("order"), "stripePaymentOrder"),
            "A stripe payment's order",
            READ,
            &["JsonApiFields"],
            one(),
        ),
        row(
            ("get", of("payment_gateway"), "stripePaymentGateway"),
            "A stripe payment's gateway",
            READ,
            &["JsonApiFields"],
            one(),
        ),
        row(
            ("get", of("versions"), "stripePaymentVersions"),
            "What changed, change by change",
            READ,
            HISTORY,
            With("200", "JsonApiMany"),
        ),
        row(
            ("get", of("event_stores"), "stripePaymentEventStores"),
            "What happened, straight from the event log",
            READ,
            HISTORY,
            With("200", "JsonApiMany"),
        ),
        row(
            ("get", format!("{ORDERS}/{{id}}"), "stripeOrder"),
            "An order",
            READ,
            &["JsonApiFields"],
            one(),
        ),
        row(
            ("get", format!("{GATEWAYS}/{{id}}"), "stripeGateway"),
            "A gateway",
            READ,
            &["JsonApiFields"],
            one(),
        ),
        row(
            ("get", "/api/versions/{id}".to_owned(), "stripeVersion"),
            "A version",
            READ,
            &["JsonApiFields"],
            one(),
        ),
        row(
            (
                "get",
                "/api/event_stores/{id}".to_owned(),
                "stripeEventStore",
            ),
            "An event",
            READ,
            &["JsonApiFields"],
            one(),
        ),
    ]
}

fn relationships() -> Vec<Row<'static>> {
    let of = |name: &str| {
        let path = format!("{PATH}/{{id}}/relationships/{name}");
        let read = row(
            ("get", path.clone(), &format!("linkage_{name}")),
            "What a relationship holds",
            READ,
            &[],
            With("200", "JsonApiLinkage"),
        );
        let fixed = ["post", "patch", "delete"].map(|method| {
            let name = format!("{method}_linkage_{name}");
            row(
                (method, path.clone(), &name),
                "Refused: the relationship is fixed",
                WRITE,
                &[],
                Never,
            )
        });
        std::iter::once(read).chain(fixed).collect::<Vec<_>>()
    };
    RELATIONSHIPS.into_iter().flat_map(of).collect()
}

fn operation(row: &Row<'_>) -> Value {
    let shared = row.parameters.iter().map(|it| refer("parameters", it));
    let id = json!({"name": "id", "in": "path", "required": true, "schema": {"type": "string", "minLength": 1}});
    let placed = row.path.contains("{id}").then_some(id);
    let mut operation = json!({
        "tags": ["Stripe payments"],
        "operationId": row.name,
        "summary": row.summary,
        "security": [{"commerceLayerToken": [row.scope]}],
        "parameters": placed.into_iter().chain(shared).collect::<Vec<_>>(),
        "responses": responses(row),
    });
    let body = match row.name.as_str() {
        "createStripePayment" => Some((
            "StripePaymentCreate",
            json!({"document": refer("examples", "StripePaymentCreate")}),
        )),
        "updateStripePayment" => {
            let said = json!({"data": {"type": "stripe_payments", "id": "XAyRWNUzyN", "attributes": {"reference": "another"}}});
            Some(("StripePaymentUpdate", json!({"short": {"value": said}})))
        }
        _ => None,
    };
    if let Some((schema, examples)) = body {
        let said = json!({"schema": refer("schemas", schema), "examples": examples});
        operation["requestBody"] = json!({"required": true, "content": {MEDIA_TYPE: said}});
    }
    operation
}

fn responses(row: &Row<'_>) -> Map<String, Value> {
    let mut all = Map::new();
    match row.answers {
        With(status, schema) => {
            let mut said = json!({"schema": refer("schemas", schema)});
            if row.name == "createStripePayment" {
                said["examples"]["document"] = refer("examples", "StripePaymentDocument");
            }
            let mut done = json!({"description": "Done.", "content": {MEDIA_TYPE: said}});
            if status == "201" {
                let location = json!({"description": "Where it is.", "schema": {"type": "string"}});
                done["headers"]["Location"] = location;
            }
            all.insert(status.to_owned(), done);
        }
        Nothing => {
            all.insert("204".to_owned(), json!({"description": "It is gone."}));
        }
        Never => {}
    }
    let of_changes: &[&str] = if row.method == "get" {
        &[]
    } else {
        &OF_CHANGES
    };
    for status in REFUSALS.iter().chain(of_changes) {
        let refusal = refer("responses", &format!("JsonApi{status}"));
        all.insert((*status).to_owned(), refusal);
    }
    all
}

fn refer(section: &str, name: &str) -> Value {
    json!({"$ref": format!("#/components/{section}/{name}")})
}
