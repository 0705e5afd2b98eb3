//! Checks answers against the schemas beside this file. Whoever serves Stripe's objects includes it with `#[path]`: the simulator's tests and the door's.
//!
//! A schema is Stripe's description of API version 2023-08-16 of one object, reduced to what is served: cards, and payments without Connect.
//! Members are exact: what the description does not name is an error. Required is what the description requires, and what it calls nullable, since
//! Stripe always sends that. An object within an object is checked by its own schema, wherever it stands.
//!
//! `newer.json` is merged over the schemas: what later versions of the API add, and clients of today require or a caller may ask for.

use std::collections::HashMap;
use std::sync::LazyLock;

use jsonschema::Validator;
use serde_json::Value;

macro_rules! schemas {
    ($($name:literal),+ $(,)?) => {
        [$(($name, include_str!(concat!($name, ".json")))),+]
    };
}

static SCHEMAS: LazyLock<HashMap<&str, Validator>> = LazyLock::new(|| {
    let texts = schemas!(
        "balance",
        "balance_transaction",
        "charge",
        "checkout_session",
        "customer",
        "deleted",
        "dispute",
        "error",
        "event",
        "item",
        "list",
        "payment_intent",
        "payment_method",
        "payout",
        "price",
        "refund",
        "search_result",
        "webhook_endpoint",
    );
    let newer: Value = serde_json::from_str(include_str!("newer.json")).expect("JSON");
    let read = |(name, text): (&'static str, &str)| {
        let mut schema: Value = serde_json::from_str(text).expect("JSON");
        merge(&mut schema, &newer[name]);
        (name, schema)
    };
    let mut schemas: HashMap<&str, Value> = texts.map(read).into();
    schemas.insert(PUBLIC_INTENT, without_required(&schemas["payment_intent"]));
    let compile = |(name, schema)| (name, jsonschema::validator_for(&schema).expect("a schema"));
    schemas.into_iter().map(compile).collect()
});

/// What a publishable key may see of an intent: some of its members, and no others.
const PUBLIC_INTENT: &str = "public_payment_intent";

fn without_required(schema: &Value) -> Value {
    let mut schema = schema.clone();
    schema["required"] = Value::Array(Vec::new());
    schema
}

/// Lays `over` upon `schema`: objects member by member, lists joined, anything else replaced.
fn merge(schema: &mut Value, over: &Value) {
    match (schema, over) {
        (_, Value::Null) => {}
        (Value::Object(members), Value::Object(over)) => {
            for (key, value) in over {
                match members.get_mut(key) {
                    Some(member) => merge(member, value),
                    None => drop(members.insert(key.clone(), value.clone())),
                }
            }
        }
        (Value::Array(items), Value::Array(more)) => items.extend(more.iter().cloned()),
        (schema, over) => *schema = over.clone(),
    }
}

/// Checks a body and every object inside it.
///
/// # Panics
/// When something in it is not as Stripe describes it; the message names every fault.
#[track_caller]
pub fn check(status: u16, body: &Value) {
    if status != 200 {
        validate("error", body);
    }
    walk(body);
}

#[track_caller]
fn walk(value: &Value) {
    match value {
        Value::Array(items) => {
            for item in items {
                walk(item);
            }
        }
        Value::Object(members) => {
            if let Some(object) = members.get("object").and_then(Value::as_str) {
                validate(schema_of(object, value), value);
            }
            for member in members.values() {
                walk(member);
            }
        }
        _ => {}
    }
}

fn schema_of<'o>(object: &'o str, value: &Value) -> &'o str {
    let has = |member| value.get(member).is_some();
    match object {
        _ if has("deleted") => "deleted",
        // The amount received is nothing that a payer may see.
        "payment_intent" if !has("amount_received") => PUBLIC_INTENT,
        "checkout.session" => "checkout_session",
        _ => object,
    }
}

#[track_caller]
fn validate(name: &str, value: &Value) {
    let errors = faults(name, value);
    assert!(errors.is_empty(), "{name}: {errors:#?}\n{value:#}");
}

#[track_caller]
fn faults(name: &str, value: &Value) -> Vec<String> {
    let schema = SCHEMAS
        .get(name)
        .unwrap_or_else(|| panic!("no schema for {name}"));
    schema
        .iter_errors(value)
        .map(|error| format!("{}: {error}", error.instance_path))
        .collect()
}

#[test]
fn a_missing_member_a_wrong_type_an_unknown_word_and_an_unknown_member_are_found() {
    // Turned red by leaving `required`, `type`, `enum` or `additionalProperties` out of the schemas.
    let whole = serde_json::json!({
        "object": "webhook_endpoint", "id": "we_1", "api_version": null, "application": null, "created": 1, "description": null,
        "enabled_events": ["*"], "livemode": false, "metadata": {}, "status": "enabled", "url": "https://shop.example/",
    });
    assert_eq!(faults("webhook_endpoint", &whole), [""; 0]);
    let spoilt = |member: &str, value: Option<Value>| {
        let mut spoilt = whole.clone();
        let members = spoilt.as_object_mut().expect("an object");
        match value {
            Some(value) => members.insert(member.to_owned(), value),
            None => members.remove(member),
        };
        faults("webhook_endpoint", &spoilt).len()
    };
    assert_eq!(spoilt("url", None), 1);
    assert_eq!(spoilt("created", Some(Value::from("1"))), 1);
    assert_eq!(spoilt("object", Some(Value::from("endpoint"))), 1);
    assert_eq!(spoilt("colour", Some(Value::from("red"))), 1);
}

#[test]
fn what_newer_versions_add_is_known_by_the_name_of_a_schema() {
    // Turned red by a misspelt name in `newer.json`, whose members would be laid upon nothing.
    let newer: Value = serde_json::from_str(include_str!("newer.json")).expect("JSON");
    let names = newer.as_object().expect("an object").keys();
    for name in names.filter(|it| *it != "$comment") {
        assert!(SCHEMAS.contains_key(name.as_str()), "{name}");
    }
}
