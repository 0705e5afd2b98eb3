//! The query parameters that JSON:API knows, and `filter[q][…]`: read as far as their names go. What the values may be is for the
//! resource to say.

use std::collections::{BTreeMap, BTreeSet};

use super::document::Fieldsets;

/// In bytes; longer queries are not looked at.
const LENGTH_MAX: usize = 8 * 1024;

/// The parameters of a request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query {
    /// Paths of relationships, each once.
    pub include: Vec<String>,
    pub fields: Fieldsets,
    pub sort: Vec<SortBy>,
    /// What stands in brackets after `page`, and its value.
    pub page: BTreeMap<String, String>,
    /// What stands in brackets after `filter[q]`, and its value, in the caller's order.
    pub filter: Vec<(String, String)>,
    /// Everything as it came, decoded, for the links to other pages.
    pub given: Vec<(String, String)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SortBy {
    pub field: String,
    pub descending: bool,
}

/// Why a query is not read; the parameter's name may be shown, its value is not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    #[error("the query is longer than {LENGTH_MAX} bytes, or not encoded as a query")]
    Unreadable,
    #[error("this parameter is not known here")]
    Unknown { parameter: String },
    #[error("this parameter is there more than once")]
    Repeated { parameter: String },
}

impl Query {
    /// Reads the query of an address.
    ///
    /// # Errors
    /// [`QueryError`].
    pub fn read(text: Option<&str>) -> Result<Self, QueryError> {
        let text = text.unwrap_or_default();
        if text.len() > LENGTH_MAX {
            return Err(QueryError::Unreadable);
        }
        let given: Vec<(String, String)> =
            serde_urlencoded::from_str(text).map_err(|_| QueryError::Unreadable)?;
        let mut query = Self::default();
        let mut seen = BTreeSet::new();
        for (name, value) in &given {
            if !seen.insert(name.as_str()) {
                let parameter = shown(name);
                return Err(QueryError::Repeated { parameter });
            }
            query.take(name, value)?;
        }
        query.given = given;
        Ok(query)
    }

    fn take(&mut self, name: &str, value: &str) -> Result<(), QueryError> {
        match (name, family(name)) {
            ("include", _) => self.include = each_once(value),
            ("sort", _) => self.sort = items(value).map(SortBy::of).collect(),
            (_, Some(("fields", kind))) => {
                let names = items(value).map(str::to_owned).collect();
                self.fields.insert(kind.to_owned(), names);
            }
            (_, Some(("page", part))) => {
                self.page.insert(part.to_owned(), value.to_owned());
            }
            (_, Some(("filter[q]", test))) => {
                self.filter.push((test.to_owned(), value.to_owned()));
            }
            _ => {
                let parameter = shown(name);
                return Err(QueryError::Unknown { parameter });
            }
        }
        Ok(())
    }

    /// As if this parameter had not been given, for links.
    pub fn without(&self, parameter: &str) -> Self {
        let mut query = self.clone();
        query.given.retain(|(name, _)| name != parameter);
        query
    }

    /// The query again with these parameters set, others as they came; with the question mark.
    pub fn with(&self, set: &[(&str, String)]) -> String {
        let kept = self
            .given
            .iter()
            .filter(|(name, _)| !set.iter().any(|(it, _)| it == name));
        let kept = kept.map(|(name, value)| (name.as_str(), value.as_str()));
        let set = set.iter().map(|(name, value)| (*name, value.as_str()));
        let pairs: Vec<(&str, &str)> = kept.chain(set).collect();
        let text = serde_urlencoded::to_string(pairs).expect("pairs of texts always encode");
        format!("?{text}")
    }
}

impl SortBy {
    fn of(text: &str) -> Self {
        let field = text.strip_prefix('-');
        Self {
            field: field.unwrap_or(text).to_owned(),
            descending: field.is_some(),
        }
    }
}

/// `page[size]` is `size` of the family `page`.
fn family(name: &str) -> Option<(&str, &str)> {
    let inner = name.strip_suffix(']')?;
    let (family, member) = inner.rsplit_once('[')?;
    (!member.is_empty() && !member.contains(']')).then_some((family, member))
}

fn items(value: &str) -> impl Iterator<Item = &str> {
    value.split(',').map(str::trim).filter(|it| !it.is_empty())
}

fn each_once(value: &str) -> Vec<String> {
    let mut seen = BTreeSet::new();
    items(value)
        .filter(|it| seen.insert(*it))
        .map(str::to_owned)
        .collect()
}

/// A parameter's name, where it may be shown: what looks like none may be anything.
fn shown(name: &str) -> String {
    let plain = |it: u8| it.is_ascii_alphabetic() || b"_-[].".contains(&it);
    if name.len() <= 80 && name.bytes().all(plain) {
        name.to_owned()
    } else {
        "…".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_family_of_parameters_is_read() {
        let query = Query::read(Some(
            "include=order,versions,order&fields%5Borders%5D=number,%20status&sort=-created_at,id\
             &page[number]=2&page[size]=5&filter[q][reference_eq]=a%20b&filter[q][id_in]=x,y",
        ))
        .unwrap();
        assert_eq!(query.include, ["order", "versions"]);
        assert_eq!(query.fields["orders"].len(), 2);
        let sort: Vec<_> = query
            .sort
            .iter()
            .map(|it| (it.field.as_str(), it.descending))
            .collect();
        assert_eq!(sort, [("created_at", true), ("id", false)]);
        assert_eq!(query.page["number"], "2");
        assert_eq!(
            query.filter[0],
            ("reference_eq".to_owned(), "a b".to_owned())
        );
        let next = query.with(&[("page[number]", "3".to_owned())]);
        let again = Query::read(next.strip_prefix('?')).unwrap();
        assert_eq!(again.page["number"], "3");
        assert_eq!((&again.filter, &again.sort), (&query.filter, &query.sort));
    }

    #[test]
    fn what_is_not_known_or_said_twice_is_refused_by_name() {
        for text in [
            "foo=1",
            "page=1",
            "filter[reference]=1",
            "filter[q]=1",
            "fields[]=a",
            "page[a]b]=1",
        ] {
            let refused = Query::read(Some(text)).unwrap_err();
            assert!(
                matches!(refused, QueryError::Unknown { .. }),
                "{text}: {refused:?}"
            );
        }
        let twice = Query::read(Some("sort=id&sort=id")).unwrap_err();
        assert_eq!(
            twice,
            QueryError::Repeated {
                parameter: "sort".to_owned()
            }
        );
        let card = Query::read(Some("4242424242424242=1")).unwrap_err();
        assert_eq!(
            card,
            QueryError::Unknown {
                parameter: "…".to_owned()
            }
        );
        let long = "a".repeat(LENGTH_MAX + 1);
        assert_eq!(Query::read(Some(&long)), Err(QueryError::Unreadable));
    }

    proptest! {
        #[test]
        fn no_query_makes_the_parser_fall_over(text in "\\PC{0,200}") {
            let _ = Query::read(Some(&text));
        }

        #[test]
        fn what_was_read_and_written_is_read_the_same(
            pairs in proptest::collection::btree_map("(include|sort|page\\[[a-z]{1,5}\\]|filter\\[q\\]\\[[a-z_]{1,9}\\]|fields\\[[a-z]{1,5}\\])", "\\PC{0,20}", 0..6)
        ) {
            let text = serde_urlencoded::to_string(&pairs).unwrap();
            let query = Query::read(Some(&text)).unwrap();
            let again = Query::read(query.with(&[]).strip_prefix('?')).unwrap();
            prop_assert_eq!(query, again);
        }
    }
}
