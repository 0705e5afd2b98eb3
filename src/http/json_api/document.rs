//! Documents: resources with their links and relationships, what is included once each, sparse fields.

use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Type and id: what tells resources apart.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Identifier {
    pub kind: &'static str,
    pub id: String,
}

impl Identifier {
    fn json(&self) -> Value {
        json!({"type": self.kind, "id": self.id})
    }
}

/// A resource. Attributes and relationships share one namespace of names.
#[derive(Debug, Clone)]
pub struct Resource {
    pub identifier: Identifier,
    /// Where it is served, as a whole address.
    pub self_link: String,
    pub attributes: Map<String, Value>,
    pub relationships: Vec<Relationship>,
    pub meta: Map<String, Value>,
}

/// What a resource is related to. What it is served under is its own address with the name.
#[derive(Debug, Clone)]
pub struct Relationship {
    pub name: &'static str,
    /// Told only where it is included, or asked for: then there is full linkage.
    pub linkage: Option<Related>,
}

/// One resource, or none, or any number of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Related {
    One(Option<Identifier>),
    Many(Vec<Identifier>),
}

impl Related {
    /// As resource linkage.
    pub fn json(&self) -> Value {
        match self {
            Self::One(it) => it.as_ref().map_or(Value::Null, Identifier::json),
            Self::Many(them) => them.iter().map(Identifier::json).collect(),
        }
    }
}

/// Sparse fieldsets, by type; a type that is not named shows everything.
pub type Fieldsets = BTreeMap<String, BTreeSet<String>>;

/// A whole document, but for errors.
#[derive(Debug, Clone, Default)]
pub struct Document {
    pub included: Vec<Resource>,
    pub links: Map<String, Value>,
    pub meta: Map<String, Value>,
}

impl Document {
    /// The document about one resource, or none.
    pub fn one(self, resource: Option<&Resource>, fields: &Fieldsets) -> Value {
        let primary: Vec<&Resource> = resource.into_iter().collect();
        let data = resource.map_or(Value::Null, |it| it.json(fields));
        self.around(data, &primary, fields)
    }

    /// The document about any number of them.
    pub fn many(self, resources: &[Resource], fields: &Fieldsets) -> Value {
        let primary: Vec<&Resource> = resources.iter().collect();
        let data = resources.iter().map(|it| it.json(fields)).collect();
        self.around(data, &primary, fields)
    }

    /// The document about what a relationship links to.
    pub fn linkage(self, related: &Related) -> Value {
        self.around(related.json(), &[], &Fieldsets::new())
    }

    /// What is included stands there once, and never beside itself as primary data.
    fn around(self, data: Value, primary: &[&Resource], fields: &Fieldsets) -> Value {
        let mut seen: BTreeSet<&Identifier> = primary.iter().map(|it| &it.identifier).collect();
        let mut document = Map::new();
        document.insert("data".to_owned(), data);
        if !self.included.is_empty() {
            let included = self.included.iter();
            let fresh = included.filter(|it| seen.insert(&it.identifier));
            let included: Vec<Value> = fresh.map(|it| it.json(fields)).collect();
            document.insert("included".to_owned(), included.into());
        }
        for (name, object) in [("links", self.links), ("meta", self.meta)] {
            if !object.is_empty() {
                document.insert(name.to_owned(), object.into());
            }
        }
        document.insert("jsonapi".to_owned(), json!({"version": "1.1"}));
        document.into()
    }
}

impl Resource {
    fn json(&self, fields: &Fieldsets) -> Value {
        let wanted = fields.get(self.identifier.kind);
        let shows = |name: &str| wanted.is_none_or(|wanted| wanted.contains(name));
        let mut object = Map::new();
        object.insert("id".to_owned(), self.identifier.id.clone().into());
        object.insert("type".to_owned(), self.identifier.kind.into());
        object.insert("links".to_owned(), json!({"self": self.self_link}));
        let attributes = self.attributes.iter().filter(|(name, _)| shows(name));
        let attributes = attributes.map(|(name, value)| (name.clone(), value.clone()));
        object.insert(
            "attributes".to_owned(),
            attributes.collect::<Map<_, _>>().into(),
        );
        let relationships = self.relationships.iter().filter(|it| shows(it.name));
        let relationships = relationships.map(|it| (it.name.to_owned(), it.json(&self.self_link)));
        let relationships: Map<String, Value> = relationships.collect();
        if !relationships.is_empty() {
            object.insert("relationships".to_owned(), relationships.into());
        }
        if !self.meta.is_empty() {
            object.insert("meta".to_owned(), self.meta.clone().into());
        }
        object.into()
    }
}

impl Relationship {
    fn json(&self, of: &str) -> Value {
        let name = self.name;
        let mut object = Map::new();
        let links = json!({
            "self": format!("{of}/relationships/{name}"),
            "related": format!("{of}/{name}"),
        });
        object.insert("links".to_owned(), links);
        if let Some(linkage) = &self.linkage {
            object.insert("data".to_owned(), linkage.json());
        }
        object.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resource(kind: &'static str, id: &str) -> Resource {
        let attributes = json!({"name": "x", "size": 1});
        Resource {
            identifier: Identifier {
                kind,
                id: id.to_owned(),
            },
            self_link: format!("https://x/{kind}/{id}"),
            attributes: attributes.as_object().cloned().unwrap_or_default(),
            relationships: vec![Relationship {
                name: "owner",
                linkage: Some(Related::One(None)),
            }],
            meta: Map::new(),
        }
    }

    /// Planted bug: including whatever is found, however often.
    #[test]
    fn what_is_included_stands_there_once_and_not_beside_itself() {
        let document = Document {
            included: vec![resource("b", "1"), resource("b", "1"), resource("a", "1")],
            ..Document::default()
        };
        let written = document.one(Some(&resource("a", "1")), &Fieldsets::new());
        assert_eq!(written["included"].as_array().map(Vec::len), Some(1));
    }

    #[test]
    fn a_fieldset_leaves_out_attributes_and_relationships_of_its_type_alone() {
        let fields = Fieldsets::from([("a".to_owned(), BTreeSet::from(["size".to_owned()]))]);
        let document = Document {
            included: vec![resource("b", "1")],
            ..Document::default()
        };
        let written = document.one(Some(&resource("a", "1")), &fields);
        assert_eq!(written["data"]["attributes"], json!({"size": 1}));
        assert!(written["data"].get("relationships").is_none());
        assert_eq!(
            written["included"][0]["attributes"],
            json!({"name": "x", "size": 1})
        );
        let nothing = Document::default().one(None, &fields);
        assert_eq!(nothing["data"], Value::Null);
        let linked = Document::default().linkage(&Related::Many(vec![]));
        assert_eq!(linked["data"], json!([]));
    }
}
