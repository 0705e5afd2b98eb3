//! The parameters of a query, read strictly: each once, none that is not known, every fault told.

use chrono::{DateTime, Utc};
use std::collections::BTreeMap;
use std::str::FromStr;

use super::cursor;
use super::error::invalid;
use crate::firewall::holds_card_number;
use crate::http::problem::{Fault, Problem};

const LIMIT: i64 = 20;
const LIMIT_MAX: i64 = 100;
/// In characters. No name of anything is longer.
const VALUE_LENGTH_MAX: usize = 500;

/// What is left of a query to be read, and what was wrong with what was.
pub struct Query {
    left: BTreeMap<String, String>,
    faults: Vec<Fault>,
}

impl Query {
    /// Takes the query apart.
    pub fn of(text: &str) -> Result<Self, Problem> {
        let pairs: Vec<(String, String)> = serde_urlencoded::from_str(text)
            .map_err(|_| invalid(vec![Fault::of_parameter("", "The query cannot be read.")]))?;
        let mut query = Self {
            left: BTreeMap::new(),
            faults: Vec::new(),
        };
        for (name, value) in pairs {
            if value.chars().any(char::is_control) || value.chars().count() > VALUE_LENGTH_MAX {
                query.fault(&name, "is not a value that anything has");
            } else if query.left.insert(name.clone(), value).is_some() {
                query.fault(&name, "is there more than once");
            }
        }
        Ok(query)
    }

    /// Whether the parameter is there.
    pub fn has(&self, name: &str) -> bool {
        self.left.contains_key(name)
    }

    /// The parameter as it stands; none where it is absent.
    pub fn text(&mut self, name: &str) -> Option<String> {
        self.left.remove(name)
    }

    /// The parameter as a `T`, which is `what`.
    pub fn parsed<T: FromStr>(&mut self, name: &str, what: &str) -> Option<T> {
        let text = self.text(name)?;
        let parsed = text.parse().ok();
        if parsed.is_none() {
            self.fault(name, &format!("is not {what}"));
        }
        parsed
    }

    /// The parameter as one of a few words.
    pub fn word(&mut self, name: &str, words: &[&str]) -> Option<String> {
        let text = self.text(name)?;
        if words.contains(&text.as_str()) {
            return Some(text);
        }
        self.fault(name, &format!("is one of: {}", words.join(", ")));
        None
    }

    /// The parameter as a moment.
    pub fn moment(&mut self, name: &str) -> Option<DateTime<Utc>> {
        let text = self.text(name)?;
        let moment = DateTime::parse_from_rfc3339(&text).ok();
        if moment.is_none() {
            self.fault(name, "is not a time such as 2026-11-21T08:00:00Z");
        }
        moment.map(|it| it.to_utc())
    }

    /// How many entries a page holds: 1 to 100, 20 where it is not said.
    pub fn limit(&mut self) -> i64 {
        let Some(text) = self.text("limit") else {
            return LIMIT;
        };
        match text.parse() {
            Ok(limit @ 1..=LIMIT_MAX) => limit,
            _ => {
                self.fault("limit", &format!("is a whole number from 1 to {LIMIT_MAX}"));
                LIMIT
            }
        }
    }

    /// The name of the entry of `list` that the page begins after.
    pub fn after<T: FromStr>(&mut self, list: &str) -> Option<T> {
        let text = self.text("after")?;
        let name = cursor::read(list, &text);
        let after = name.and_then(|name| name.parse().ok());
        if after.is_none() {
            self.fault("after", "is not the `next` of a page of this list");
        }
        after
    }

    /// Says what is wrong with a parameter.
    pub fn fault(&mut self, name: &str, wrong: &str) {
        let shown: String = if holds_card_number(name) {
            "…".to_owned()
        } else {
            name.chars()
                .filter(|it| !it.is_control())
                .take(40)
                .collect()
        };
        self.faults.push(Fault::of_parameter(
            shown.clone(),
            format!("`{shown}` {wrong}."),
        ));
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// All that was wrong, with what nobody has asked for.
    pub fn end(mut self) -> Result<(), Problem> {
        for name in std::mem::take(&mut self.left).into_keys() {
            self.fault(&name, "is not known here");
        }
        if self.faults.is_empty() {
            Ok(())
        } else {
            Err(invalid(self.faults))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(query: Query) -> Vec<String> {
        let errors = query.end().err().map(|it| it.errors).unwrap_or_default();
        errors.into_iter().map(|it| it.detail).collect()
    }

    #[test]
    fn every_fault_is_told_at_once() {
        let mut query = Query::of("limit=0&after=x&odd=1&status=open&a=1&a=2")
            .ok()
            .unwrap();
        assert_eq!(query.limit(), LIMIT);
        assert_eq!(query.after::<String>("orders"), None);
        assert_eq!(query.text("a").as_deref(), Some("2"));
        assert_eq!(query.word("status", &["paid"]), None);
        assert_eq!(
            faults(query),
            [
                "`a` is there more than once.",
                "`limit` is a whole number from 1 to 100.",
                "`after` is not the `next` of a page of this list.",
                "`status` is one of: paid.",
                "`odd` is not known here.",
            ]
        );
    }

    #[test]
    fn a_limit_is_one_to_a_hundred() {
        let limit = |text: &str| Query::of(text).ok().unwrap().limit();
        assert_eq!(
            [limit(""), limit("limit=1"), limit("limit=100")],
            [20, 1, 100]
        );
        for wrong in ["0", "101", "-1", "ten", "", "1.0", "99999999999999999999"] {
            let mut query = Query::of(&format!("limit={wrong}")).ok().unwrap();
            query.limit();
            assert_eq!(faults(query).len(), 1, "{wrong}");
        }
    }

    #[test]
    fn no_control_character_goes_any_further() {
        let mut query = Query::of("customer=a%00b").ok().unwrap();
        assert_eq!(query.text("customer"), None);
        assert_eq!(
            faults(query),
            ["`customer` is not a value that anything has."]
        );
    }
}
