//! `products`: which of the offer's products are asked for, in any of the ways that clients write it.

use aggregates::catalogue::offer::{Published, Wanted};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

use super::error::OffersError;
use crate::firewall::holds_card_number;
use crate::http::body;

/// The most codes of one request; no offer has as many.
const CODES_MAX: usize = 1_000;

const SHAPE: &str = "Products are an object of groups with lists of codes, the same as JSON text, or a list of codes.";

/// An object `{group: [codes]}`, a list of codes, or either of them as JSON text; none where it is absent or null.
pub fn read(value: Option<&Value>) -> Result<Option<Wanted>, OffersError> {
    let wanted = match value {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::String(text)) if text.trim().is_empty() => Wanted::Codes(vec![]),
        Some(Value::String(text)) => {
            let value = body::json::<Value>(text.as_bytes()).map_err(|_| wrong(SHAPE))?;
            wanted(&value)?
        }
        Some(value) => wanted(value)?,
    };
    check(&wanted)?;
    Ok(Some(wanted))
}

/// The fields of a form whose names are `products`, `products[]` or `products[group][]`, as the JSON value that they write.
pub fn of_form(pairs: &[(String, String)]) -> Result<Option<Value>, OffersError> {
    let mut texts = Vec::new();
    let mut codes = Vec::new();
    let mut groups = Map::new();
    for (name, value) in pairs {
        let Some(rest) = name.strip_prefix("products") else {
            continue;
        };
        let value = Value::from(value.as_str());
        match brackets(rest).as_deref() {
            Some([]) => texts.push(value),
            Some([index]) if is_index(index) => codes.push(value),
            Some([group]) => of_group(&mut groups, group).push(value),
            Some([group, index]) if is_index(index) => of_group(&mut groups, group).push(value),
            Some(_) => return Err(wrong(SHAPE)),
            // Another field, whose name begins alike.
            None => {}
        }
    }
    match (texts.len(), codes.len(), groups.len()) {
        (0, 0, 0) => Ok(None),
        (1, 0, 0) => Ok(texts.pop()),
        (_, 0, 0) => Ok(Some(texts.into())),
        (0, _, 0) => Ok(Some(codes.into())),
        (0, 0, _) => Ok(Some(Value::Object(groups))),
        _ => Err(wrong(SHAPE)),
    }
}

fn of_group<'a>(groups: &'a mut Map<String, Value>, name: &str) -> &'a mut Vec<Value> {
    let group = groups.entry(name).or_insert_with(|| Value::Array(vec![]));
    group.as_array_mut().expect("every group is a list")
}

/// What stands in the brackets of `[a][b]`; none where it is something else.
fn brackets(rest: &str) -> Option<Vec<&str>> {
    if rest.is_empty() {
        return Some(vec![]);
    }
    let inner = rest.strip_prefix('[')?.strip_suffix(']')?;
    Some(inner.split("][").collect())
}

/// `[]` and `[0]` are places in a list.
fn is_index(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_digit())
}

fn wanted(value: &Value) -> Result<Wanted, OffersError> {
    match value {
        Value::Array(codes) => Ok(Wanted::Codes(codes_of(codes)?)),
        Value::Object(groups) => {
            let groups: Result<BTreeMap<String, Vec<String>>, OffersError> = groups
                .iter()
                .map(|(group, codes)| {
                    let codes = match codes {
                        Value::Array(codes) => codes_of(codes)?,
                        one => codes_of(std::slice::from_ref(one))?,
                    };
                    Ok((group.clone(), codes))
                })
                .collect();
            Ok(Wanted::Grouped(groups?))
        }
        _ => Err(wrong(SHAPE)),
    }
}

/// Codes are texts; whole numbers are taken for what they look like.
fn codes_of(values: &[Value]) -> Result<Vec<String>, OffersError> {
    let code = |value: &Value| match value {
        Value::String(code) => Ok(code.clone()),
        Value::Number(code) if code.is_u64() => Ok(code.to_string()),
        _ => Err(wrong(SHAPE)),
    };
    values.iter().map(code).collect()
}

/// What an answer may name again: not too much of it, and no card number.
fn check(wanted: &Wanted) -> Result<(), OffersError> {
    let names: Vec<&String> = match wanted {
        Wanted::Codes(codes) => codes.iter().collect(),
        Wanted::Grouped(groups) => groups
            .iter()
            .flat_map(|(group, codes)| std::iter::once(group).chain(codes))
            .collect(),
    };
    if names.len() > CODES_MAX {
        return Err(wrong("These are more products than any offer has."));
    }
    for name in names {
        if name.chars().count() > Published::NAME_LENGTH_MAX {
            return Err(wrong("A name or code is longer than any product's."));
        }
        if holds_card_number(name) {
            return Err(wrong("What looks like a card number is not taken here."));
        }
    }
    Ok(())
}

fn wrong(message: &str) -> OffersError {
    OffersError::Invalid {
        field: "products",
        message: message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn of(value: Value) -> Option<Wanted> {
        read(Some(&value)).ok().flatten()
    }

    fn form(text: &str) -> Option<Value> {
        let pairs: Vec<(String, String)> = serde_urlencoded::from_str(text).unwrap();
        of_form(&pairs).ok().flatten()
    }

    #[test]
    fn the_same_products_are_read_from_every_way_to_write_them() {
        let grouped = of(json!({"combined": ["core", "ad"]}));
        let codes = vec!["core".to_owned(), "ad".to_owned()];
        let expected = Wanted::Grouped([("combined".to_owned(), codes.clone())].into());
        assert_eq!(grouped, Some(expected));
        assert_eq!(of(json!(r#"{"combined": ["core", "ad"]}"#)), grouped);
        assert_eq!(of(json!(["core", "ad"])), Some(Wanted::Codes(codes)));
        assert_eq!(of(json!(r#"["core","ad"]"#)), of(json!(["core", "ad"])));
        assert_eq!(
            of(json!({"combined": "core"})),
            of(json!({"combined": ["core"]}))
        );
        assert_eq!(of(json!([7])), of(json!(["7"])));
    }

    #[test]
    fn a_form_writes_what_json_writes() {
        for (text, value) in [
            (
                "products=%7B%22combined%22%3A%5B%22core%22%5D%7D",
                json!("{\"combined\":[\"core\"]}"),
            ),
            (
                "products[combined][]=core&products[combined][]=ad",
                json!({"combined": ["core", "ad"]}),
            ),
            (
                "products[combined][0]=core&products[other]=ad",
                json!({"combined": ["core"], "other": ["ad"]}),
            ),
            ("products[]=core&products[]=ad", json!(["core", "ad"])),
            ("products[0]=core&products[1]=ad", json!(["core", "ad"])),
            ("products=core&products=ad", json!(["core", "ad"])),
        ] {
            assert_eq!(form(text), Some(value), "{text}");
        }
        for nothing in ["offer_oid=1", "products_count=3", "products]=3"] {
            assert_eq!(form(nothing), None, "{nothing}");
        }
        for mixed in [
            "products[]=core&products[combined][]=ad",
            "products=x&products[]=core",
            "products[a][b]=core",
            "products[a][b][]=core",
        ] {
            let pairs: Vec<(String, String)> = serde_urlencoded::from_str(mixed).unwrap();
            assert!(of_form(&pairs).is_err(), "{mixed}");
        }
    }

    #[test]
    fn absent_is_no_wish_and_empty_is_the_wish_for_nothing() {
        assert!(matches!(read(None), Ok(None)));
        assert!(matches!(read(Some(&Value::Null)), Ok(None)));
        for nothing in [json!(""), json!([]), json!("[]"), json!({}), json!("{}")] {
            let wanted = of(nothing.clone());
            let empty = match &wanted {
                Some(Wanted::Codes(codes)) => codes.is_empty(),
                Some(Wanted::Grouped(groups)) => groups.is_empty(),
                None => false,
            };
            assert!(empty, "{nothing} is {wanted:?}");
        }
    }

    #[test]
    fn what_is_no_selection_is_refused() {
        for wrong in [
            json!(7),
            json!(true),
            json!("core"),
            json!("{\"combined\":"),
            json!("\"core\""),
            json!([["core"]]),
            json!([null]),
            json!([1.5]),
            json!({"combined": {"core": 1}}),
            json!({"combined": null}),
            json!(["x".repeat(101)]),
            json!(vec!["core"; 1001]),
            json!(["4242 4242 4242 4242"]),
            json!({"4242424242424242": ["core"]}),
            json!("[".repeat(5000)),
        ] {
            assert!(read(Some(&wrong)).is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn no_text_breaks_the_reader(text in "\\PC{0,60}") {
            let _ = read(Some(&Value::from(text.as_str())));
            let _ = of_form(&[(format!("products{text}"), text)]);
        }
    }
}
