//! The OpenAPI document of all that is served, put together of the fragments that lie with what they describe.

use serde_json::{Map, Value, json};

use super::routes::Catalogue;

/// What belongs to no door: the title, and what several fragments name.
const SHARED: &str = include_str!("openapi.json");
/// The members of a path that are operations.
const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

/// A fragment that is kept as a file: `paths`, `components` and `tags`, as in the whole document.
///
/// # Panics
/// Where the file, which is part of the program, is not JSON.
pub fn fragment(text: &'static str) -> Value {
    serde_json::from_str(text).expect("a fragment is JSON, as the tests have seen")
}

/// The whole document. Every answer in it has the `Request-Id` that every answer has.
///
/// # Panics
/// Where two fragments say different things of one name, which the tests see before anybody else does.
pub fn document(catalogue: &Catalogue) -> Value {
    let mut whole = fragment(SHARED);
    whole["info"]["version"] = env!("CARGO_PKG_VERSION").into();
    for fragment in &catalogue.fragments {
        merge(&mut whole, fragment(), "");
    }
    for response in responses(&mut whole) {
        let id = json!({"$ref": "#/components/headers/Request-Id"});
        if let Some(headers) = headers_of(response) {
            headers.insert("Request-Id".to_owned(), id);
        }
    }
    whole
}

/// The document as it is served and committed: in one form alone.
pub fn text(document: &Value) -> String {
    let mut text = serde_json::to_string_pretty(document).expect("JSON serialises");
    text.push('\n');
    text
}

fn merge(into: &mut Value, from: Value, at: &str) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (name, value) in from {
                let at = format!("{at}/{name}");
                match into.get_mut(&name) {
                    Some(there) => merge(there, value, &at),
                    None => {
                        into.insert(name, value);
                    }
                }
            }
        }
        (Value::Array(into), Value::Array(from)) if at == "/tags" => into.extend(from),
        (there, value) => assert!(*there == value, "two fragments differ in {at}"),
    }
}

/// Every response that is written out and not a reference.
fn responses(document: &mut Value) -> Vec<&mut Value> {
    let mut found: Vec<&mut Value> = Vec::new();
    for (section, value) in members(document) {
        match section.as_str() {
            "paths" => {
                let operations = members(value)
                    .flat_map(|(_path, item)| members(item))
                    .filter(|(method, _)| METHODS.contains(&method.as_str()));
                let answers = operations
                    .filter_map(|(_method, operation)| operation.get_mut("responses"))
                    .flat_map(members);
                found.extend(answers.map(|(_status, response)| response));
            }
            "components" => {
                let shared = value.get_mut("responses").into_iter().flat_map(members);
                found.extend(shared.map(|(_name, response)| response));
            }
            _ => {}
        }
    }
    found.retain(|response| response.get("$ref").is_none());
    found
}

fn members(value: &mut Value) -> impl Iterator<Item = (&String, &mut Value)> {
    value.as_object_mut().into_iter().flatten()
}

fn headers_of(response: &mut Value) -> Option<&mut Map<String, Value>> {
    let headers = response.as_object_mut()?.entry("headers");
    headers.or_insert_with(|| json!({})).as_object_mut()
}

#[cfg(test)]
mod tests {
    use super::super::routes::Fragment;
    use super::*;

    fn one() -> Value {
        json!({
            "tags": [{"name": "one"}],
            "paths": {"/a": {"get": {"responses": {
                "200": {"description": "It."}, "404": {"$ref": "#/components/responses/None"},
            }}}},
            "components": {"responses": {"None": {"description": "None.", "headers": {"X": {}}}}},
        })
    }

    fn other() -> Value {
        json!({
            "tags": [{"name": "other"}],
            "paths": {"/a": {"post": {"responses": {"200": {"description": "Made."}}}}},
        })
    }

    fn of(fragments: &[Fragment]) -> Value {
        document(&Catalogue {
            routes: vec![],
            fragments: fragments.to_vec(),
        })
    }

    #[test]
    fn fragments_are_put_together_and_every_answer_has_its_request_id() {
        let whole = of(&[one, other]);
        assert_eq!(whole["tags"], json!([{"name": "one"}, {"name": "other"}]));
        let id = json!({"$ref": "#/components/headers/Request-Id"});
        let at = |pointer| whole.pointer(pointer).cloned().unwrap_or_default();
        for response in [
            "/paths/~1a/get/responses/200",
            "/paths/~1a/post/responses/200",
            "/components/responses/None",
        ] {
            assert_eq!(at(response)["headers"]["Request-Id"], id, "{response}");
        }
        assert_eq!(at("/components/responses/None/headers/X"), json!({}));
        let referred = json!({"$ref": "#/components/responses/None"});
        assert_eq!(at("/paths/~1a/get/responses/404"), referred);
    }

    #[test]
    #[should_panic = "two fragments differ in /paths//a/get"]
    fn two_fragments_that_describe_one_operation_differently_are_refused() {
        let (one, two): (Fragment, Fragment) = (
            || json!({"paths": {"/a": {"get": 1}}}),
            || json!({"paths": {"/a": {"get": 2}}}),
        );
        of(&[one, two]);
    }
}
