//! The schemas of `tests/schemas`: Stripe's description of API version 2023-08-16, reduced to what the simulator serves. Expandable members are
//! text or objects; members that Stripe calls nullable are required, since Stripe always sends them.

use std::collections::HashMap;
use std::sync::LazyLock;

use jsonschema::Validator;
use serde_json::Value;

macro_rules! schemas {
    ($($name:literal),+ $(,)?) => {
        [$(($name, include_str!(concat!("../../schemas/", $name, ".json")))),+]
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
    );
    let compile = |text: &str| {
        let schema: Value = serde_json::from_str(text).expect("JSON");
        jsonschema::validator_for(&schema).expect("a schema")
    };
    texts.map(|(name, text)| (name, compile(text))).into()
});

/// Checks a body and every object inside it.
///
/// What a publishable key may see is a part of an intent, and is known by the members that are missing; it is not checked.
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
        Value::Array(items) => items.iter().for_each(walk),
        Value::Object(members) => {
            if let Some(object) = members.get("object").and_then(Value::as_str)
                && (object != "payment_intent" || members.contains_key("amount_received"))
            {
                let name = match members.contains_key("deleted") {
                    true => "deleted",
                    false => object,
                };
                validate(name, value);
            }
            members.values().for_each(walk);
        }
        _ => {}
    }
}

#[track_caller]
fn validate(name: &str, value: &Value) {
    let schema = SCHEMAS
        .get(name.replace('.', "_").as_str())
        .unwrap_or_else(|| panic!("no schema for {name}"));
    let errors: Vec<String> = schema
        .iter_errors(value)
        .map(|error| format!("{}: {error}", error.instance_path))
        .collect();
    assert!(errors.is_empty(), "{name}: {errors:#?}\n{value:#}");
}

#[test]
fn a_missing_member_and_a_wrong_type_are_found() {
    let refund = serde_json::json!({ "object": "refund", "amount": "100" });
    let errors = SCHEMAS["refund"].iter_errors(&refund).count();
    assert!(errors > 2, "{errors}");
}
