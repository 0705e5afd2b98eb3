//! The OpenAPI document: it describes every route and no other, it is one, it keeps its own promises, and it is shown on a page
//! that needs nobody else.

#[path = "../support/mod.rs"]
mod support;

mod browsers;
mod keys;
mod page;
mod repeats;
mod things;

use counterfoil::service;
use serde_json::Value;
use std::collections::BTreeSet;
use support::description::{DOCUMENT, pointed, resolved, valid};

const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

/// Every operation: its method, its path, and what is said of it.
fn operations() -> Vec<(&'static str, &'static str, &'static Value)> {
    let paths = DOCUMENT["paths"].as_object().unwrap();
    let of = |(path, item): (&'static String, &'static Value)| {
        let there = METHODS
            .into_iter()
            .filter(|method| item.get(method).is_some());
        there.map(move |method| (method, path.as_str(), &item[method]))
    };
    paths.iter().flat_map(of).collect()
}

/// Every value in the document, and where it stands.
fn walk(value: &'static Value, at: String, visit: &mut impl FnMut(&str, &'static Value)) {
    visit(&at, value);
    let members: Vec<(String, &'static Value)> = match value {
        Value::Object(members) => members
            .iter()
            .map(|(name, it)| (name.clone(), it))
            .collect(),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .map(|(at, it)| (at.to_string(), it))
            .collect(),
        _ => vec![],
    };
    for (name, member) in members {
        // What is in an example is data, whatever it looks like.
        if !["example", "value"].contains(&name.as_str()) {
            walk(member, format!("{at}/{name}"), visit);
        }
    }
}

#[test]
fn every_route_is_described_and_nothing_else_is() {
    let served: BTreeSet<(String, String)> = service::catalogue()
        .routes
        .into_iter()
        .map(|it| (it.method.as_str().to_ascii_lowercase(), it.path))
        .collect();
    let described: BTreeSet<(String, String)> = operations()
        .into_iter()
        .map(|(method, path, _)| (method.to_owned(), path.to_owned()))
        .collect();
    let undescribed: Vec<_> = served.difference(&described).collect();
    let unserved: Vec<_> = described.difference(&served).collect();
    assert!(
        undescribed.is_empty(),
        "served and not described: {undescribed:?}"
    );
    assert!(
        unserved.is_empty(),
        "described and not served: {unserved:?}"
    );
}

#[test]
fn the_document_is_openapi_3_1() {
    let schema: Value = serde_json::from_str(include_str!("openapi-3.1.schema.json")).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let errors: Vec<String> = validator
        .iter_errors(&DOCUMENT)
        .map(|error| format!("{error} at {}", error.instance_path))
        .collect();
    assert!(errors.is_empty(), "{errors:#?}");
}

#[test]
fn every_schema_in_it_is_a_json_schema() {
    let mut schemas = 0;
    walk(&DOCUMENT, String::new(), &mut |at, value| {
        if at.ends_with("/schema")
            || at.starts_with("/components/schemas/") && at.matches('/').count() == 3
        {
            let checked = jsonschema::draft202012::meta::validate(value);
            assert!(checked.is_ok(), "{at}: {}", checked.unwrap_err());
            schemas += 1;
        }
    });
    assert!(schemas > 100, "only {schemas} were seen");
}

#[test]
fn every_reference_leads_somewhere_and_every_part_is_used() {
    let mut used = BTreeSet::new();
    walk(&DOCUMENT, String::new(), &mut |at, value| {
        if let Some(reference) = value.get("$ref").and_then(Value::as_str) {
            assert!(
                pointed(reference).is_some(),
                "{at} leads nowhere: {reference}"
            );
            used.insert(reference.trim_start_matches('#').to_owned());
        }
    });
    let sections = DOCUMENT["components"].as_object().unwrap();
    for (section, parts) in sections.iter().filter(|it| it.0 != "securitySchemes") {
        for name in parts.as_object().unwrap().keys() {
            let at = format!("/components/{section}/{name}");
            assert!(used.contains(&at), "nothing uses {at}");
        }
    }
}

#[test]
fn every_operation_has_its_own_name_a_known_tag_and_known_keys() {
    let mut names = BTreeSet::new();
    let tags: Vec<_> = DOCUMENT["tags"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| &it["name"])
        .collect();
    for (method, path, operation) in operations() {
        let name = operation["operationId"].as_str().unwrap_or_default();
        assert!(
            !name.is_empty() && names.insert(name),
            "{method} {path}: {name}"
        );
        assert!(
            tags.contains(&&operation["tags"][0]),
            "{name}: {}",
            operation["tags"]
        );
        let keys = operation["security"].as_array();
        for key in keys.unwrap_or_else(|| panic!("{name} does not say which keys it takes")) {
            for scheme in key.as_object().unwrap().keys() {
                let known = &DOCUMENT["components"]["securitySchemes"][scheme];
                assert!(known.is_object(), "{name}: {scheme}");
            }
        }
    }
}

#[test]
fn every_part_of_a_path_is_a_parameter_and_every_parameter_has_its_part() {
    for (method, path, operation) in operations() {
        let parts: BTreeSet<&str> = path.split(['{', '}']).skip(1).step_by(2).collect();
        let parameters = operation["parameters"].as_array().into_iter().flatten();
        let placed: BTreeSet<&str> = parameters
            .map(resolved)
            .filter(|it| it["in"] == "path")
            .filter_map(|it| it["name"].as_str())
            .collect();
        assert_eq!(parts, placed, "{method} {path}");
    }
}

#[test]
fn every_example_is_as_its_schema_says() {
    let mut examples = 0;
    walk(&DOCUMENT, String::new(), &mut |at, value| {
        let schema = match value.get("schema") {
            Some(schema) => schema,
            None if at.starts_with("/components/schemas/") => value,
            None => return,
        };
        let several = value["examples"].as_object().into_iter().flatten();
        let several = several.map(|(_name, example)| &resolved(example)["value"]);
        for example in value.get("example").into_iter().chain(several) {
            let valid = valid(schema, example);
            assert!(valid.is_ok(), "{at}: {}\n{example:#}", valid.unwrap_err());
            examples += 1;
        }
    });
    assert!(examples > 50, "only {examples} were seen");
}

/// `make check` says so too, and how to put it right.
#[test]
fn the_committed_document_is_the_one_that_is_served() {
    let committed = include_str!("../../docs/openapi.json");
    let same = counterfoil::http::openapi::text(&DOCUMENT) == committed;
    assert!(same, "docs/openapi.json is out of step: run `make openapi`");
}
