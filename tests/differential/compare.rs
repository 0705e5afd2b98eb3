//! Placeholders for what is each side's own, and the places where two answers differ.

use serde_json::{Map, Value};
use std::collections::HashMap;

/// What ids begin with.
const PREFIXES: &[&str] = &[
    "pi", "pm", "cus", "ch", "re", "txn", "evt", "cs", "li", "price", "prod", "req", "dp", "po",
    "acct", "we",
];
/// What is derived from ids or keys, and has no form of its own.
const DERIVED: &[&str] = &[
    "fingerprint",
    "invoice_prefix",
    "authorization_code",
    "receipt_number",
];
/// Later than every amount, sooner than any time of a test, in seconds.
const TIMES_FROM: i64 = 1_600_000_000;

/// Placeholders in the order of appearance: what stands in the same place of the two answers is bound to the same one, and
/// to no other from then on.
#[derive(Default)]
pub struct Placeholders {
    bound: [HashMap<String, String>; 2],
    counts: HashMap<String, usize>,
}

impl Placeholders {
    /// The two answers with placeholders in them.
    pub fn put_into(&mut self, one: &Value, other: &Value) -> [Value; 2] {
        self.bind(one, other);
        [
            replaced(&self.bound[0], one),
            replaced(&self.bound[1], other),
        ]
    }

    /// Binds what stands in the same place of both.
    fn bind(&mut self, one: &Value, other: &Value) {
        match (one, other) {
            (Value::String(left), Value::String(right)) => {
                for (left, right) in words(left).zip(words(right)) {
                    self.bind_words(left, right);
                }
            }
            (Value::Array(left), Value::Array(right)) => {
                for (one, other) in left.iter().zip(right) {
                    self.bind(one, other);
                }
            }
            (Value::Object(left), Value::Object(right)) => {
                for (name, one) in left {
                    let Some(other) = right.get(name) else {
                        continue;
                    };
                    match (one.as_str(), other.as_str()) {
                        (Some(one), Some(other)) if DERIVED.contains(&name.as_str()) => {
                            self.bind_one(name, one, other);
                        }
                        _ => self.bind(one, other),
                    }
                }
            }
            _ => {}
        }
    }

    fn bind_words(&mut self, left: &str, right: &str) {
        for ((kind, left), (other, right)) in parts(left).into_iter().zip(parts(right)) {
            if kind == other {
                self.bind_one(kind, left, right);
            }
        }
    }

    fn bind_one(&mut self, kind: &str, left: &str, right: &str) {
        if self.bound[0].contains_key(left) || self.bound[1].contains_key(right) {
            return;
        }
        let count = self.counts.entry(kind.to_owned()).or_default();
        *count += 1;
        let placeholder = format!("<{kind}:{count}>");
        self.bound[0].insert(left.to_owned(), placeholder.clone());
        self.bound[1].insert(right.to_owned(), placeholder);
    }
}

/// The words of a text that may hold ids.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|it: char| !is_of_word(it))
        .filter(|it| !it.is_empty())
}

fn is_of_word(it: char) -> bool {
    it.is_ascii_alphanumeric() || it == '_'
}

/// The ids and secrets in a word, each with its kind.
fn parts(word: &str) -> Vec<(&str, &str)> {
    if let Some((id, secret)) = word.split_once("_secret_") {
        let mut parts = parts(id);
        parts.push(("secret", secret));
        return parts;
    }
    match word.split_once('_') {
        Some((prefix, rest)) if PREFIXES.contains(&prefix) && !rest.is_empty() => {
            vec![(prefix, word)]
        }
        _ => Vec::new(),
    }
}

/// The value with the placeholders that are bound, and one for any time.
fn replaced(bound: &HashMap<String, String>, value: &Value) -> Value {
    match value {
        Value::Number(number) if number.as_i64().is_some_and(|it| it >= TIMES_FROM) => {
            Value::from("<time>")
        }
        Value::String(text) => Value::String(in_text(bound, text)),
        Value::Array(items) => items.iter().map(|it| replaced(bound, it)).collect(),
        Value::Object(members) => members
            .iter()
            .map(|(name, value)| (name.clone(), replaced(bound, value)))
            .collect::<Map<_, _>>()
            .into(),
        other => other.clone(),
    }
}

/// The text; in it each word that is bound, and the server's address, are replaced.
fn in_text(bound: &HashMap<String, String>, text: &str) -> String {
    let of = |part: &str| bound.get(part).cloned().unwrap_or_else(|| part.to_owned());
    let mut out = String::new();
    let mut rest = text;
    while !rest.is_empty() {
        let word_end = rest.find(|it| !is_of_word(it)).unwrap_or(rest.len());
        let (word, after) = rest.split_at(word_end);
        match word.split_once("_secret_") {
            Some((id, secret)) => out.push_str(&format!("{}_secret_{}", of(id), of(secret))),
            None => out.push_str(&of(word)),
        }
        let gap_end = after.find(is_of_word).unwrap_or(after.len());
        out.push_str(&after[..gap_end]);
        rest = &after[gap_end..];
    }
    without_port(out)
}

/// The two servers differ in their ports.
fn without_port(text: String) -> String {
    const HOST: &str = "http://127.0.0.1:";
    let Some((before, after)) = text.split_once(HOST) else {
        return text;
    };
    let path = after.trim_start_matches(|it: char| it.is_ascii_digit());
    format!("{before}<server>{path}")
}

/// What an answer shows: a kind of object and its state, or a refusal.
pub fn shown(answer: &Value) -> String {
    let (body, status) = (&answer["body"], &answer["status"]);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    if body["error"].is_null() {
        return format!("{} {}", text(&body["object"]), text(&body["status"]));
    }
    let code = [&body["error"]["code"], &body["error"]["type"]];
    let code = code.into_iter().find(|it| it.is_string());
    format!("{status} {}", text(code.unwrap_or(&Value::Null)))
}

/// Where two answers differ: path, the one, the other.
pub fn differences(one: &Value, other: &Value) -> Vec<String> {
    // An object and a refusal differ in everything, which tells no more than that they are such.
    if one["body"]["error"].is_null() != other["body"]["error"].is_null() {
        let of = |it: &Value| format!("{} {}", shown(it), it["body"]["error"]["message"]);
        return vec![format!("the whole: {} and {}", of(one), of(other))];
    }
    let mut found = Vec::new();
    compare("", one, other, &mut found);
    found
}

fn compare(path: &str, one: &Value, other: &Value, found: &mut Vec<String>) {
    match (one, other) {
        (Value::Object(left), Value::Object(right)) => {
            for (name, value) in left {
                match right.get(name) {
                    Some(other) => compare(&format!("{path}/{name}"), value, other, found),
                    None => found.push(format!("{path}/{name}: {value} and nothing")),
                }
            }
            for (name, value) in right.iter().filter(|(name, _)| !left.contains_key(*name)) {
                found.push(format!("{path}/{name}: nothing and {value}"));
            }
        }
        (Value::Array(left), Value::Array(right)) if left.len() == right.len() => {
            for (place, (one, other)) in left.iter().zip(right).enumerate() {
                compare(&format!("{path}/{place}"), one, other, found);
            }
        }
        _ if one == other => {}
        _ => found.push(format!("{path}: {one} and {other}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Red where a placeholder forgets which id it stands for, or two ids share one.
    #[test]
    fn what_stands_in_the_same_place_has_the_same_placeholder() {
        let answer = |id: &str, secret: &str, port: u16| {
            json!({
                "id": id, "client_secret": format!("{id}_secret_{secret}"), "amount": 500, "created": 1_790_000_000,
                "message": format!("No such payment_intent: '{id}'"), "url": format!("http://127.0.0.1:{port}/a/{id}"),
            })
        };
        let mut placeholders = Placeholders::default();
        let [one, other] =
            placeholders.put_into(&answer("pi_3ab", "x", 81), &answer("pi_3cd", "y", 82));
        assert_eq!(
            one,
            json!({
                "id": "<pi:1>", "client_secret": "<pi:1>_secret_<secret:1>", "amount": 500, "created": "<time>",
                "message": "No such payment_intent: '<pi:1>'", "url": "<server>/a/<pi:1>",
            })
        );
        assert_eq!(one, other);
        let [one, other] = placeholders.put_into(&json!("pi_3ab"), &json!("pi_3ef"));
        assert_ne!(one, other, "an id that is bound is bound to one alone");
    }

    /// Red where a member that only one side has, or another order, is overlooked.
    #[test]
    fn every_difference_is_found() {
        let one = json!({"a": 1, "b": [1, 2], "c": {"d": null}, "e": 5});
        let other = json!({"a": 2, "b": [2, 1], "c": {"d": 0}, "f": 5});
        let paths: Vec<_> = differences(&one, &other)
            .iter()
            .map(|it| it.split(':').next().unwrap().to_owned())
            .collect();
        assert_eq!(paths, ["/a", "/b/0", "/b/1", "/c/d", "/e", "/f"]);
        assert!(differences(&one, &one).is_empty());
    }
}
