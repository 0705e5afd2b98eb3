//! A JSON object read strictly, member by member. A fault is noted with its place and reading goes on, so that all of them
//! are told at once; what is read of a faulty request is never used.

use aggregates::money::{Currency, Money};
use serde_json::{Map, Value};
use std::cell::RefCell;
use std::str::FromStr;

use super::error::invalid;
use crate::doors::firewall::holds_card_number;
use crate::http::problem::{Fault, Problem};

/// Reads a body.
///
/// # Errors
/// All that is wrong in it, what nobody has asked for among it.
pub fn read<'v, T>(
    body: &'v Map<String, Value>,
    read: impl for<'f> FnOnce(&mut Fields<'v, 'f>) -> T,
) -> Result<T, Problem> {
    let faults = Faults::default();
    let mut fields = Fields {
        faults: &faults,
        at: String::new(),
        members: body,
        known: Vec::new(),
    };
    let it = read(&mut fields);
    fields.end();
    match faults.0.into_inner() {
        none if none.is_empty() => Ok(it),
        faults => Err(invalid(faults)),
    }
}

/// What is wrong in a request so far.
#[derive(Default)]
struct Faults(RefCell<Vec<Fault>>);

/// An object that is being read.
pub struct Fields<'v, 'f> {
    faults: &'f Faults,
    /// The JSON pointer of the object.
    at: String,
    members: &'v Map<String, Value>,
    known: Vec<&'static str>,
}

/// What a text is. Free text is looked through for card numbers; a name is not, since one long id in ten looks like one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Text {
    Free,
    Name,
}

impl Faults {
    fn note(&self, at: String, detail: impl Into<String>) {
        self.0.borrow_mut().push(Fault::at(at, detail));
    }
}

impl<'v, 'f> Fields<'v, 'f> {
    /// Free text of 1 to `max` characters; empty where it is at fault.
    pub fn text(&mut self, name: &'static str, max: usize) -> String {
        let text = self.optional(name, max, Text::Free);
        self.required(name, text)
    }

    /// Free text, which may be absent or null.
    pub fn optional_text(&mut self, name: &'static str, max: usize) -> Option<String> {
        self.optional(name, max, Text::Free)
    }

    /// A name of 1 to `max` characters; empty where it is at fault.
    pub fn name(&mut self, name: &'static str, max: usize) -> String {
        let text = self.optional(name, max, Text::Name);
        self.required(name, text)
    }

    /// A name, which may be absent or null.
    pub fn optional_name(&mut self, name: &'static str, max: usize) -> Option<String> {
        self.optional(name, max, Text::Name)
    }

    /// A text that is a `T`, which is `what`.
    pub fn parsed<T: FromStr>(&mut self, name: &'static str, what: &str) -> Option<T> {
        let text = self.name(name, 200);
        let parsed = text.parse().ok();
        if parsed.is_none() && !text.is_empty() {
            self.fault(name, format!("is not {what}"));
        }
        parsed
    }

    /// A currency that payments can be made in.
    pub fn currency(&mut self) -> Currency {
        self.parsed("currency", "a currency such as \"usd\"")
            .unwrap_or(Currency::USD)
    }

    /// An amount in minor units of `currency`, of either sign.
    pub fn money(&mut self, name: &'static str, currency: Currency) -> Money {
        let minor = self.member(name).map(Value::as_i64);
        let minor = match minor {
            Some(Some(minor)) => minor,
            Some(None) => {
                self.fault(name, "is not a whole number of minor units");
                0
            }
            None => {
                self.fault(name, "is missing");
                0
            }
        };
        Money::new(minor, currency)
    }

    /// The same, which may be absent: none of it then.
    pub fn optional_money(&mut self, name: &'static str, currency: Currency) -> Money {
        match self.member(name) {
            None => Money::zero(currency),
            Some(_) => self.money(name, currency),
        }
    }

    /// A whole number within a range; its least where it is at fault.
    pub fn count(&mut self, name: &'static str, min: u32, max: u32) -> u32 {
        match self.member(name) {
            None => {
                self.fault(name, "is missing");
                min
            }
            Some(_) => self.optional_count(name, min, max).unwrap_or(min),
        }
    }

    /// A whole number within a range, which may be absent or null.
    pub fn optional_count(&mut self, name: &'static str, min: u32, max: u32) -> Option<u32> {
        let value = self.member(name)?;
        let count = value.as_u64().and_then(|it| u32::try_from(it).ok());
        let count = count.filter(|it| (min..=max).contains(it));
        if count.is_none() {
            self.fault(name, format!("is not a whole number from {min} to {max}"));
        }
        count
    }

    /// True or false, which may be absent or null.
    pub fn optional_flag(&mut self, name: &'static str) -> Option<bool> {
        let value = self.member(name)?;
        let flag = value.as_bool();
        if flag.is_none() {
            self.fault(name, "is neither true nor false");
        }
        flag
    }

    /// A moment, which may be absent or null.
    pub fn optional_moment(&mut self, name: &'static str) -> Option<chrono::DateTime<chrono::Utc>> {
        let value = self.member(name)?;
        let moment = value
            .as_str()
            .and_then(|it| chrono::DateTime::parse_from_rfc3339(it).ok());
        if moment.is_none() {
            self.fault(name, "is not a time such as 2026-11-21T08:00:00Z");
        }
        moment.map(|it| it.to_utc())
    }

    /// An object in it, which may be absent or null.
    pub fn optional_object(&mut self, name: &'static str) -> Option<Fields<'v, 'f>> {
        let value = self.member(name)?;
        let at = self.pointer(name);
        self.object_of(at, value)
    }

    /// The objects of a list of `min` to `max`, each read by `read`.
    pub fn objects<T>(
        &mut self,
        name: &'static str,
        (min, max): (usize, usize),
        mut read: impl FnMut(&mut Fields<'v, 'f>) -> T,
    ) -> Vec<T> {
        let mut read_one = |fields: Option<Fields<'v, 'f>>| {
            let mut fields = fields?;
            let it = read(&mut fields);
            fields.end();
            Some(it)
        };
        let values = self.list(name, (min, max));
        let places = values.iter().enumerate();
        places
            .filter_map(|(index, value)| {
                let at = format!("{}/{index}", self.pointer(name));
                read_one(self.object_of(at, value))
            })
            .collect()
    }

    /// The names of a list of `min` to `max`.
    pub fn names(
        &mut self,
        name: &'static str,
        bounds: (usize, usize),
        longest: usize,
    ) -> Vec<String> {
        let values = self.list(name, bounds);
        let mut names = Vec::new();
        for (index, value) in values.iter().enumerate() {
            let at = format!("{}/{index}", self.pointer(name));
            names.extend(self.checked(at, value, longest, Text::Name));
        }
        names
    }

    /// Whether the member is there, and not null.
    pub fn has(&self, name: &str) -> bool {
        self.members.get(name).is_some_and(|it| !it.is_null())
    }

    /// Notes what is wrong with a member.
    pub fn fault(&self, name: &str, wrong: impl std::fmt::Display) {
        self.faults
            .note(self.pointer(name), format!("`{name}` {wrong}."));
    }

    /// Ends the reading of this object: what is left of it is not known.
    pub fn end(self) {
        for name in self.members.keys() {
            if !self.known.contains(&name.as_str()) {
                let shown: String = name.chars().take(40).collect();
                // A card number may stand in a name as well.
                let shown = if holds_card_number(name) || shown.chars().any(char::is_control) {
                    "…".to_owned()
                } else {
                    shown
                };
                self.faults.note(
                    self.pointer(&shown),
                    format!("`{shown}` is not known here."),
                );
            }
        }
    }

    fn object_of(&self, at: String, value: &'v Value) -> Option<Fields<'v, 'f>> {
        let Some(members) = value.as_object() else {
            self.faults.note(at, "An object is wanted here.");
            return None;
        };
        Some(Fields {
            faults: self.faults,
            at,
            members,
            known: Vec::new(),
        })
    }

    fn list(&mut self, name: &'static str, (min, max): (usize, usize)) -> &'v [Value] {
        let list = match self.member(name) {
            None => &[],
            Some(Value::Array(list)) => list.as_slice(),
            Some(_) => {
                self.fault(name, "is not a list");
                return &[];
            }
        };
        if list.len() < min || list.len() > max {
            self.fault(name, format!("has {min} to {max} entries"));
            return &[];
        }
        list
    }

    fn required(&self, name: &str, text: Option<String>) -> String {
        if text.is_none() && !self.has(name) {
            self.fault(name, "is missing");
        }
        text.unwrap_or_default()
    }

    fn optional(&mut self, name: &'static str, max: usize, kind: Text) -> Option<String> {
        let value = self.member(name)?;
        self.checked(self.pointer(name), value, max, kind)
    }

    fn checked(&self, at: String, value: &Value, max: usize, kind: Text) -> Option<String> {
        let wrong = match value.as_str() {
            None => "A text is wanted here.".to_owned(),
            Some(text) if kind == Text::Free && holds_card_number(text) => {
                "A card number must not stand here.".to_owned()
            }
            Some(text) if text.chars().any(|it| is_unwanted(it, kind)) => {
                "Control characters must not stand here.".to_owned()
            }
            Some(text) if text.is_empty() || text.chars().count() > max => {
                format!("A text of 1 to {max} characters is wanted here.")
            }
            Some(text) => return Some(text.to_owned()),
        };
        self.faults.note(at, wrong);
        None
    }

    /// The member; none where it is absent or null.
    fn member(&mut self, name: &'static str) -> Option<&'v Value> {
        self.known.push(name);
        self.members.get(name).filter(|it| !it.is_null())
    }

    fn pointer(&self, name: &str) -> String {
        let name = name.replace('~', "~0").replace('/', "~1");
        format!("{}/{name}", self.at)
    }
}

fn is_unwanted(letter: char, kind: Text) -> bool {
    letter.is_control() && (kind == Text::Name || !matches!(letter, '\n' | '\r' | '\t'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn faults<'v>(
        body: &'v Value,
        how: impl for<'f> FnOnce(&mut Fields<'v, 'f>),
    ) -> Vec<(String, String)> {
        let errors = read(body.as_object().unwrap(), how).err();
        let errors = errors.map(|it| it.errors).unwrap_or_default();
        errors
            .into_iter()
            .map(|it| (it.pointer.unwrap(), it.detail))
            .collect()
    }

    #[test]
    fn every_fault_is_told_with_its_place() {
        let body = json!({
            "name": 1, "currency": "xyz", "unit_minor": 1.5, "of/the~odd": true,
            "lines": [{"quantity": 0}, "x"], "number": "a\u{0}b",
        });
        let told = faults(&body, |it| {
            it.text("name", 10);
            let currency = it.currency();
            it.money("unit_minor", currency);
            it.optional_name("number", 10);
            it.text("absent", 5);
            it.objects("lines", (1, 5), |line| line.count("quantity", 1, 9));
        });
        let places: Vec<&str> = told.iter().map(|(at, _)| at.as_str()).collect();
        assert_eq!(
            places,
            [
                "/name",
                "/currency",
                "/unit_minor",
                "/number",
                "/absent",
                "/lines/0/quantity",
                "/lines/1",
                "/of~1the~0odd",
            ]
        );
    }

    #[test]
    fn a_card_number_in_free_text_or_in_a_name_nobody_knows_is_not_repeated() {
        let body = json!({"reason": "card 4242 4242 4242 4242", "4242424242424242": 1});
        let told = faults(&body, |it| {
            it.text("reason", 100);
        });
        assert_eq!(told.len(), 2);
        assert!(!format!("{told:?}").contains("4242"), "{told:?}");
    }

    #[test]
    fn null_is_as_good_as_absent_and_a_long_id_is_no_card_number() {
        let body = json!({"number": null, "reference": "4242424242424242"});
        let told = faults(&body, |it| {
            assert_eq!(it.optional_name("number", 10), None);
            assert_eq!(it.name("reference", 20), "4242424242424242");
        });
        assert_eq!(told, []);
    }
}
