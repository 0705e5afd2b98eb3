//! A strict reader of JSON:API 1.1: what the specification says a document MUST be.

use serde_json::{Map, Value};
use std::collections::BTreeSet;

const TOP: &[&str] = &["data", "errors", "meta", "jsonapi", "links", "included"];
const RESOURCE: &[&str] = &[
    "type",
    "id",
    "lid",
    "attributes",
    "relationships",
    "links",
    "meta",
];
const LINKS: &[&str] = &[
    "self",
    "related",
    "describedby",
    "first",
    "last",
    "prev",
    "next",
];
const ERROR: &[&str] = &[
    "id", "links", "status", "code", "title", "detail", "source", "meta",
];

/// Everything that is wrong with a document; empty where nothing is.
pub fn faults(document: &Value) -> Vec<String> {
    let mut check = Check::default();
    check.document(document);
    check.faults
}

#[derive(Default)]
struct Check {
    faults: Vec<String>,
}

type Name = (String, String);

impl Check {
    fn fault(&mut self, at: &str, what: &str) {
        self.faults.push(format!("{at}: {what}"));
    }

    fn object<'a>(&mut self, at: &str, value: &'a Value) -> Option<&'a Map<String, Value>> {
        let object = value.as_object();
        if object.is_none() {
            self.fault(at, "is no object");
        }
        object
    }

    fn only(&mut self, at: &str, object: &Map<String, Value>, known: &[&str]) {
        for name in object.keys() {
            if !known.contains(&name.as_str()) && !name.starts_with('@') {
                self.fault(at, &format!("has {name:?}, which is no member of it"));
            }
        }
    }

    fn document(&mut self, document: &Value) {
        let Some(top) = self.object("/", document) else {
            return;
        };
        self.only("/", top, TOP);
        let has = |name: &str| top.contains_key(name);
        if !has("data") && !has("errors") && !has("meta") {
            self.fault("/", "has neither data, errors nor meta");
        }
        if has("data") && has("errors") {
            self.fault("/", "has data and errors");
        }
        if has("included") && !has("data") {
            self.fault("/", "includes without data");
        }
        if let Some(links) = top.get("links") {
            self.links("/links", links);
        }
        if let Some(meta) = top.get("meta") {
            self.object("/meta", meta);
        }
        if let Some(errors) = top.get("errors") {
            self.errors(errors);
        }
        if let Some(data) = top.get("data") {
            self.primary(data, top.get("included"));
        }
    }

    fn primary(&mut self, data: &Value, included: Option<&Value>) {
        let resources: Vec<&Value> = match data {
            Value::Null => vec![],
            Value::Array(items) => items.iter().collect(),
            one => vec![one],
        };
        let (mut known, mut linked) = (BTreeSet::new(), BTreeSet::new());
        for (index, resource) in resources.iter().enumerate() {
            let at = format!("/data/{index}");
            self.resource(&at, resource, &mut known, &mut linked);
        }
        let included = match included {
            None => return,
            Some(Value::Array(items)) => items,
            Some(_) => return self.fault("/included", "is no array"),
        };
        let mut names = Vec::new();
        for (index, resource) in included.iter().enumerate() {
            let at = format!("/included/{index}");
            names.extend(self.resource(&at, resource, &mut known, &mut linked));
        }
        for name in names {
            if !linked.contains(&name) {
                self.fault(
                    "/included",
                    &format!("{name:?} is linked from nowhere: no full linkage"),
                );
            }
        }
    }

    /// Checks a resource, notes what it is and what it links to, and answers its name.
    fn resource(
        &mut self,
        at: &str,
        value: &Value,
        known: &mut BTreeSet<Name>,
        linked: &mut BTreeSet<Name>,
    ) -> Option<Name> {
        let resource = self.object(at, value)?;
        self.only(at, resource, RESOURCE);
        let name = self.identity(at, resource)?;
        if !known.insert(name.clone()) {
            self.fault(at, &format!("{name:?} is there twice"));
        }
        let empty = Map::new();
        let part = |name: &str| resource.get(name).map_or(Some(&empty), Value::as_object);
        let (Some(attributes), Some(relationships)) = (part("attributes"), part("relationships"))
        else {
            self.fault(at, "attributes or relationships are no object");
            return Some(name);
        };
        for field in attributes.keys().chain(relationships.keys()) {
            self.member_name(at, field);
            if field == "id" || field == "type" {
                self.fault(at, "a field is called id or type");
            }
        }
        for field in attributes
            .keys()
            .filter(|it| relationships.contains_key(*it))
        {
            self.fault(at, &format!("{field:?} is an attribute and a relationship"));
        }
        for (field, relationship) in relationships {
            self.relationship(&format!("{at}/relationships/{field}"), relationship, linked);
        }
        if let Some(links) = resource.get("links") {
            self.links(&format!("{at}/links"), links);
        }
        Some(name)
    }

    fn identity(&mut self, at: &str, object: &Map<String, Value>) -> Option<Name> {
        let text = |name: &str| object.get(name).and_then(Value::as_str);
        match (text("type"), text("id")) {
            (Some(kind), Some(id)) if !kind.is_empty() && !id.is_empty() => {
                self.member_name(at, kind);
                Some((kind.to_owned(), id.to_owned()))
            }
            _ => {
                self.fault(at, "has no type and id, both texts");
                None
            }
        }
    }

    fn relationship(&mut self, at: &str, value: &Value, linked: &mut BTreeSet<Name>) {
        let Some(object) = self.object(at, value) else {
            return;
        };
        self.only(at, object, &["links", "data", "meta"]);
        if object.is_empty() {
            self.fault(at, "has neither links, data nor meta");
        }
        if let Some(links) = object.get("links") {
            self.links(&format!("{at}/links"), links);
            if links.get("self").is_none() && links.get("related").is_none() {
                self.fault(at, "its links have neither self nor related");
            }
        }
        let identifiers: Vec<&Value> = match object.get("data") {
            None | Some(Value::Null) => vec![],
            Some(Value::Array(items)) => items.iter().collect(),
            Some(one) => vec![one],
        };
        for identifier in identifiers {
            if let Some(object) = self.object(at, identifier) {
                self.only(at, object, &["type", "id", "lid", "meta"]);
                linked.extend(self.identity(at, object));
            }
        }
    }

    fn links(&mut self, at: &str, value: &Value) {
        let Some(links) = self.object(at, value) else {
            return;
        };
        self.only(at, links, LINKS);
        for (name, link) in links {
            let href = match link {
                Value::Null => continue,
                Value::String(text) => Some(text.as_str()),
                Value::Object(link) => link.get("href").and_then(Value::as_str),
                _ => None,
            };
            let address = href.is_some_and(|it| reqwest::Url::parse(it).is_ok());
            if !address {
                self.fault(at, &format!("{name} is no address"));
            }
        }
    }

    fn errors(&mut self, value: &Value) {
        let Some(errors) = value.as_array().filter(|it| !it.is_empty()) else {
            return self.fault("/errors", "is no array with errors in it");
        };
        for (index, error) in errors.iter().enumerate() {
            let at = format!("/errors/{index}");
            let Some(object) = self.object(&at, error) else {
                continue;
            };
            self.only(&at, object, ERROR);
            for name in ["id", "status", "code", "title", "detail"] {
                if object.get(name).is_some_and(|it| !it.is_string()) {
                    self.fault(&at, &format!("{name} is no text"));
                }
            }
            if let Some(source) = object.get("source") {
                let source = self.object(&at, source).cloned().unwrap_or_default();
                self.only(&at, &source, &["pointer", "parameter", "header"]);
            }
        }
    }

    /// Letters, digits and what is not reserved; hyphens, underscores and spaces not at the ends.
    fn member_name(&mut self, at: &str, name: &str) {
        let inside = |it: char| it.is_ascii_alphanumeric() || it > '\u{7f}' || "-_ ".contains(it);
        let end =
            |it: Option<char>| it.is_some_and(|it| it.is_ascii_alphanumeric() || it > '\u{7f}');
        let letters = name.chars();
        if !name.chars().all(inside) || !end(letters.clone().next()) || !end(letters.last()) {
            self.fault(at, &format!("{name:?} is no member name"));
        }
    }
}

/// Planted documents: each breaks one rule, and the reader says so.
#[test]
fn the_reader_of_documents_sees_what_is_wrong() {
    use serde_json::json;
    let sound = json!({
        "data": {"type": "a", "id": "1", "attributes": {"x": 1}, "links": {"self": "http://x/a/1"},
            "relationships": {"b": {"links": {"related": "http://x/a/1/b"}, "data": {"type": "b", "id": "2"}}}},
        "included": [{"type": "b", "id": "2"}],
        "jsonapi": {"version": "1.1"},
    });
    assert_eq!(faults(&sound), [""; 0]);
    let broken = |pointer: &str, value: Value| {
        let mut document = sound.clone();
        *document.pointer_mut(pointer).unwrap() = value;
        document
    };
    for document in [
        json!({"jsonapi": {}}),
        json!({"errors": []}),
        json!({"errors": [{"status": 400}]}),
        json!({"data": null, "errors": [{}]}),
        json!({"data": null, "other": 1}),
        json!({"data": {"type": "a"}}),
        json!({"data": {"type": "a", "id": 1}}),
        broken("/included", json!([{"type": "c", "id": "3"}])),
        broken(
            "/included",
            json!([{"type": "b", "id": "2"}, {"type": "b", "id": "2"}]),
        ),
        broken("/included", json!([{"type": "a", "id": "1"}])),
        broken("/data/attributes", json!({"b": 1})),
        broken("/data/attributes", json!({"type": 1})),
        broken("/data/attributes", json!({"_x": 1})),
        broken("/data/links/self", json!("/a/1")),
        broken("/data/relationships/b", json!({})),
    ] {
        assert!(!faults(&document).is_empty(), "{document}");
    }
}
