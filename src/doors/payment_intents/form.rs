//! Form bodies in Stripe's bracket notation, read into the tree that a JSON body is, and written from it.

use serde_json::{Map, Value};

use super::error::StripeError;
use super::params::shown;

/// The deepest nesting of brackets that is read.
const LEVELS_MAX: usize = 12;
/// The most parameters in one request.
const PAIRS_MAX: usize = 2_000;

/// Reads `a[b][0]=c`. Leaves are text; a list may be written `a[]=…` or `a[0]=…`.
pub fn read(text: &[u8]) -> Result<Map<String, Value>, StripeError> {
    let pairs: Vec<(String, String)> = serde_urlencoded::from_bytes(text)
        .map_err(|_| StripeError::invalid("Invalid request body: it is not form-encoded."))?;
    if pairs.len() > PAIRS_MAX {
        return Err(StripeError::invalid("Too many parameters."));
    }
    let mut root = Map::new();
    for (name, value) in pairs {
        let (first, rest) = segments(&name)?;
        let named = first.clone();
        insert(
            &named,
            root.entry(first).or_insert(Value::Null),
            &rest,
            value,
        )?;
    }
    Ok(root
        .into_iter()
        .map(|(name, value)| (name, lists(value)))
        .collect())
}

/// Writes the tree as pairs of names in brackets and text, in the order of the names. Null is the empty text, which unsets.
pub fn pairs(fields: &Map<String, Value>) -> Vec<(String, String)> {
    let mut pairs = Vec::new();
    for (name, value) in fields {
        write(name, value, &mut pairs);
    }
    pairs
}

/// The pairs, form-encoded.
pub fn encode(pairs: &[(String, String)]) -> String {
    serde_urlencoded::to_string(pairs).expect("pairs of texts always encode")
}

fn malformed() -> StripeError {
    StripeError::invalid("Invalid request body: a parameter's name has broken brackets.")
}

/// The error for a parameter that is both a value and a hash.
fn twice(named: &str) -> StripeError {
    let name = shown(named);
    StripeError::invalid(format!("Invalid parameter: {name}")).param(&name)
}

/// `a[b][]` is `a`, then `b` and the empty name.
fn segments(name: &str) -> Result<(String, Vec<&str>), StripeError> {
    let Some((first, rest)) = name.split_once('[') else {
        return Ok((name.to_owned(), vec![]));
    };
    let inner = rest.strip_suffix(']').ok_or_else(malformed)?;
    let rest: Vec<&str> = inner.split("][").collect();
    if first.is_empty() || rest.len() >= LEVELS_MAX || rest.iter().any(|it| it.contains(['[', ']']))
    {
        return Err(malformed());
    }
    Ok((first.to_owned(), rest))
}

fn insert(named: &str, at: &mut Value, path: &[&str], text: String) -> Result<(), StripeError> {
    let Some((name, rest)) = path.split_first() else {
        // Of a parameter that is there twice the last one counts.
        if at.is_object() {
            return Err(twice(named));
        }
        *at = Value::String(text);
        return Ok(());
    };
    if at.is_null() {
        *at = Value::Object(Map::new());
    }
    let fields = at.as_object_mut().ok_or_else(|| twice(named))?;
    let name = if name.is_empty() {
        fields.len().to_string()
    } else {
        (*name).to_owned()
    };
    insert(named, fields.entry(name).or_insert(Value::Null), rest, text)
}

/// A hash whose names are 0, 1, 2, … is a list.
fn lists(value: Value) -> Value {
    let Value::Object(fields) = value else {
        return value;
    };
    let mut items: Vec<(String, Value)> = fields
        .into_iter()
        .map(|(name, value)| (name, lists(value)))
        .collect();
    items.sort_by_key(|(name, _)| name.parse::<usize>().unwrap_or(usize::MAX));
    let listed = items
        .iter()
        .enumerate()
        .all(|(index, (name, _))| *name == index.to_string());
    if listed && !items.is_empty() {
        items.into_iter().map(|(_, value)| value).collect()
    } else {
        items.into_iter().collect()
    }
}

fn write(name: &str, value: &Value, pairs: &mut Vec<(String, String)>) {
    match value {
        Value::Object(fields) => {
            for (field, value) in fields {
                write(&format!("{name}[{field}]"), value, pairs);
            }
        }
        Value::Array(items) => {
            for (index, value) in items.iter().enumerate() {
                write(&format!("{name}[{index}]"), value, pairs);
            }
        }
        Value::Null => pairs.push((name.to_owned(), String::new())),
        Value::String(text) => pairs.push((name.to_owned(), text.clone())),
        Value::Bool(_) | Value::Number(_) => pairs.push((name.to_owned(), value.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn tree(text: &str) -> Value {
        read(text.as_bytes()).map_or(Value::Null, Value::Object)
    }

    #[test]
    fn brackets_become_a_tree() {
        let text = "amount=2000&metadata[order%20id]=6735&card[exp_month]=8&types[]=card&types[]=link&items[1][q]=2&items[0][q]=1";
        let expected = json!({
            "amount": "2000",
            "metadata": {"order id": "6735"},
            "card": {"exp_month": "8"},
            "types": ["card", "link"],
            "items": [{"q": "1"}, {"q": "2"}],
        });
        assert_eq!(tree(text), expected);
    }

    #[test]
    fn an_empty_value_is_kept_since_it_unsets() {
        assert_eq!(
            tree("metadata[a]=&metadata[b]=1"),
            json!({"metadata": {"a": "", "b": "1"}})
        );
        assert_eq!(tree("metadata="), json!({"metadata": ""}));
    }

    #[test]
    fn what_is_broken_is_refused() {
        for text in [
            "a[b=1",
            "a[b]c=1",
            "[a]=1",
            "a[[b]]=1",
            "a=1&a[b]=2",
            "a[b]=1&a=2",
        ] {
            assert!(read(text.as_bytes()).is_err(), "{text}");
        }
        let deep = format!("a{}=1", "[b]".repeat(LEVELS_MAX));
        assert!(read(deep.as_bytes()).is_err());
    }

    proptest! {
        /// Red when a name is not put back as it was read, or a list loses its order.
        #[test]
        fn what_is_written_reads_the_same(names in proptest::collection::vec("[a-z]{1,6}(\\[[a-z]{1,4}\\]){0,2}", 1..12), value in "\\PC{0,12}") {
            let text = encode(&names.into_iter().map(|name| (name, value.clone())).collect::<Vec<_>>());
            if let Ok(tree) = read(text.as_bytes()) {
                prop_assert_eq!(read(encode(&pairs(&tree)).as_bytes()).ok(), Some(tree));
            }
        }

        #[test]
        fn no_bytes_break_the_reader(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&bytes);
        }
    }
}
