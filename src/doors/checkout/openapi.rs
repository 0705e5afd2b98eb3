//! What describes this door: each operation is written down once, on the document's path, and served on ServiceStack's too.

use serde_json::{Value, json};

use super::formats::Format;
use super::{Operation, negotiation, paths};
use crate::http::openapi;

/// The fragment, with every path that an operation is served on.
pub fn fragment() -> Value {
    let mut fragment = openapi::fragment(include_str!("openapi.json"));
    for operation in [Operation::Create, Operation::Status] {
        let paths = paths(operation);
        let written = fragment["paths"][&paths[0]]["post"].clone();
        for (number, path) in paths.iter().enumerate().skip(1) {
            let mut again = written.clone();
            again["operationId"] = format!("{}_{number}", operation.name()).into();
            if let Some(format) = negotiation::of_path(path) {
                answered_in(format, &mut again);
            }
            fragment["paths"][path]["post"] = again;
        }
    }
    fragment
}

/// Where the path names the format, `?format=` does not matter, and what is answered is in that format alone.
fn answered_in(format: Format, operation: &mut Value) {
    let of_format = json!("#/components/parameters/CheckoutFormat");
    if let Some(parameters) = operation["parameters"].as_array_mut() {
        parameters.retain(|it| it["$ref"] != of_format);
    }
    let answers = &mut operation["responses"]["200"]["content"];
    if let Some(answers) = answers.as_object_mut() {
        answers.retain(|media_type, _| media_type == format.content_type());
    }
}
