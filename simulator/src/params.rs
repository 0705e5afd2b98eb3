//! Request parameters: form bodies in bracket notation and JSON bodies become one tree.
//!
//! Leaves are text, as in Stripe's own form encoding; a JSON number or boolean becomes its text and `null` the empty text, which unsets.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::errors::{ApiError, Outcome};
use crate::wire::Word;

/// The deepest nesting of brackets or JSON that is read.
const DEPTH_MAX: usize = 12;
/// The most parameters in one request.
const PAIRS_MAX: usize = 2_000;

/// A parameter's value.
#[derive(Clone, PartialEq, Eq)]
pub enum Tree {
    /// Text; empty means "unset".
    Leaf(String),
    /// Named members; a list written with indices is one as well.
    Hash(BTreeMap<String, Tree>),
    /// A list written with `[]`, or a JSON array.
    List(Vec<Tree>),
}

impl Tree {
    /// Reads a form-encoded body or a query string.
    ///
    /// # Errors
    /// 400 when it is not form-encoded, too deep, too long, or a name is used both as a value and as a hash.
    pub fn from_form(text: &[u8]) -> Outcome<Self> {
        let pairs: Vec<(String, String)> = serde_urlencoded::from_bytes(text)
            .map_err(|_| ApiError::invalid("Invalid request body: it is not form-encoded."))?;
        if pairs.len() > PAIRS_MAX {
            return Err(ApiError::invalid("Too many parameters."));
        }
        let mut root = Tree::Hash(BTreeMap::new());
        for (key, value) in pairs {
            let segments = segments(&key)?;
            root.insert(&segments, value, &key)?;
        }
        Ok(root)
    }

    /// Reads a JSON body, which must be an object.
    ///
    /// # Errors
    /// 400 when it is not JSON, not an object, or too deep.
    pub fn from_json(text: &[u8]) -> Outcome<Self> {
        let value: Value = serde_json::from_slice(text)
            .map_err(|_| ApiError::invalid("Invalid request body: it is not valid JSON."))?;
        match Self::from_value(value, 0)? {
            tree @ Tree::Hash(_) => Ok(tree),
            _ => Err(ApiError::invalid(
                "Invalid request body: it is not an object.",
            )),
        }
    }

    fn from_value(value: Value, depth: usize) -> Outcome<Self> {
        if depth > DEPTH_MAX {
            return Err(ApiError::invalid(
                "Invalid request body: nested too deeply.",
            ));
        }
        Ok(match value {
            Value::Null => Tree::Leaf(String::new()),
            Value::Bool(flag) => Tree::Leaf(flag.to_string()),
            Value::Number(number) => Tree::Leaf(number.to_string()),
            Value::String(text) => Tree::Leaf(text),
            Value::Array(items) => Tree::List(
                items
                    .into_iter()
                    .map(|item| Self::from_value(item, depth + 1))
                    .collect::<Outcome<_>>()?,
            ),
            Value::Object(members) => Tree::Hash(
                members
                    .into_iter()
                    .map(|(key, item)| Ok((key, Self::from_value(item, depth + 1)?)))
                    .collect::<Outcome<_>>()?,
            ),
        })
    }

    fn insert(&mut self, segments: &[&str], value: String, key: &str) -> Outcome<()> {
        let conflict = || {
            ApiError::invalid(format!("Invalid parameter: {}", shortened(key)))
                .param(shortened(key))
        };
        match (self, segments) {
            (slot @ Tree::Leaf(_), []) => *slot = Tree::Leaf(value),
            (Tree::List(items), [""]) => items.push(Tree::Leaf(value)),
            (Tree::List(items), ["", rest @ ..]) => {
                // `a[][x]=1&a[][y][z]=2` continues the last item until a value in it repeats.
                let starts_anew = match items.last() {
                    Some(last) => last.has(rest),
                    None => true,
                };
                if starts_anew {
                    items.push(Tree::Hash(BTreeMap::new()));
                }
                let last = items.last_mut().expect("one was pushed if there was none");
                last.insert(rest, value, key)?;
            }
            (Tree::Hash(members), [head, rest @ ..]) if !head.is_empty() => {
                match members.get_mut(*head) {
                    Some(slot) => slot.insert(rest, value, key)?,
                    None => {
                        let mut slot = match rest {
                            [] => Tree::Leaf(String::new()),
                            ["", ..] => Tree::List(Vec::new()),
                            _ => Tree::Hash(BTreeMap::new()),
                        };
                        slot.insert(rest, value, key)?;
                        members.insert((*head).to_owned(), slot);
                    }
                }
            }
            _ => return Err(conflict()),
        }
        Ok(())
    }

    fn has(&self, segments: &[&str]) -> bool {
        match (self, segments) {
            (_, []) => true,
            (Tree::Hash(members), [head, rest @ ..]) => {
                members.get(*head).is_some_and(|it| it.has(rest))
            }
            // A list within takes any number of items.
            (Tree::List(_), ["", ..]) => false,
            _ => true,
        }
    }

    /// Adds the members of another hash; those already here stay.
    pub fn merge(&mut self, other: Tree) {
        if let (Tree::Hash(mine), Tree::Hash(theirs)) = (self, other) {
            for (key, value) in theirs {
                mine.entry(key).or_insert(value);
            }
        }
    }

    /// Writes the tree in one fixed spelling, so that equal parameters have equal fingerprints whatever their order and encoding.
    /// The member `cvc` is left out.
    pub fn write_canonical(&self, out: &mut Vec<u8>) {
        match self {
            Tree::Leaf(text) => {
                out.push(b'=');
                out.extend_from_slice(text.len().to_string().as_bytes());
                out.push(b':');
                out.extend_from_slice(text.as_bytes());
            }
            Tree::Hash(members) => {
                out.push(b'{');
                for (key, item) in members.iter().filter(|(key, _)| key.as_str() != "cvc") {
                    Tree::Leaf(key.clone()).write_canonical(out);
                    item.write_canonical(out);
                }
                out.push(b'}');
            }
            Tree::List(items) => {
                let members = items
                    .iter()
                    .enumerate()
                    .map(|(index, item)| (index.to_string(), item.clone()))
                    .collect();
                Tree::Hash(members).write_canonical(out);
            }
        }
    }
}

/// A name for a message. A body of the wrong kind reads as one long name, which may hold what must not be repeated.
fn shortened(name: &str) -> String {
    const CHARS_MAX: usize = 60;
    match name.char_indices().nth(CHARS_MAX) {
        Some((end, _)) => format!("{}…", &name[..end]),
        None => name.to_owned(),
    }
}

/// `a[b][]` as `["a", "b", ""]`.
fn segments(key: &str) -> Outcome<Vec<&str>> {
    let bad = || ApiError::invalid(format!("Invalid parameter name: {}", shortened(key)));
    let Some(open) = key.find('[') else {
        return Ok(vec![key]);
    };
    let mut parts = vec![&key[..open]];
    let inner = key[open..]
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .ok_or_else(bad)?;
    parts.extend(inner.split("]["));
    if parts.len() > DEPTH_MAX || parts.iter().skip(1).any(|part| part.contains(['[', ']'])) {
        return Err(bad());
    }
    Ok(parts)
}

/// What a request may say: names, and for a nested hash the names within.
pub enum Shape {
    /// A value or a list; what is inside is read, and so checked, by the handler.
    Any,
    /// A hash with these members and no others.
    Hash(&'static [(&'static str, Shape)]),
    /// A hash with free names.
    Open,
}

/// The parameters that an endpoint knows.
pub type Known = &'static [(&'static str, Shape)];

/// An optional parameter: left out, sent empty to unset it, or given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Field<T> {
    /// Not in the request.
    Absent,
    /// Sent empty.
    Unset,
    /// Sent with a value.
    Given(T),
}

impl<T> Field<T> {
    /// Changes an optional attribute as the request says; left out changes nothing.
    pub fn apply(self, slot: &mut Option<T>) {
        match self {
            Field::Absent => {}
            Field::Unset => *slot = None,
            Field::Given(value) => *slot = Some(value),
        }
    }

    /// The value, where one was given.
    pub fn given(self) -> Option<T> {
        match self {
            Field::Given(value) => Some(value),
            Field::Absent | Field::Unset => None,
        }
    }
}

/// Reads one hash of parameters, and names them in full in errors.
#[derive(Clone)]
pub struct Params<'t> {
    members: &'t BTreeMap<String, Tree>,
    path: String,
}

impl<'t> Params<'t> {
    /// The request's own parameters.
    ///
    /// # Errors
    /// 400 when the tree is no hash.
    pub fn root(tree: &'t Tree) -> Outcome<Self> {
        match tree {
            Tree::Hash(members) => Ok(Self {
                members,
                path: String::new(),
            }),
            _ => Err(ApiError::invalid("Invalid request body.")),
        }
    }

    /// The full name of a parameter, as errors give it: `card[number]`.
    pub fn name(&self, key: &str) -> String {
        if self.path.is_empty() {
            key.to_owned()
        } else {
            format!("{}[{key}]", self.path)
        }
    }

    /// Whether the parameter was sent at all.
    pub fn has(&self, key: &str) -> bool {
        self.members.contains_key(key)
    }

    /// Every name and value, for hashes with free names.
    pub fn entries(&self) -> impl Iterator<Item = (&'t str, &'t Tree)> {
        self.members.iter().map(|(key, tree)| (key.as_str(), tree))
    }

    /// Refuses what the endpoint does not know.
    ///
    /// # Errors
    /// 400 `parameter_unknown` that lists every unknown name.
    pub fn only(&self, known: Known) -> Outcome<()> {
        let mut unknown = Vec::new();
        self.collect_unknown(known, &mut unknown)?;
        let Some(first) = unknown.first().cloned() else {
            return Ok(());
        };
        let noun = if unknown.len() == 1 {
            "parameter"
        } else {
            "parameters"
        };
        let names = unknown.join(", ");
        Err(
            ApiError::invalid(format!("Received unknown {noun}: {names}"))
                .code("parameter_unknown")
                .param(first),
        )
    }

    fn collect_unknown(&self, known: Known, unknown: &mut Vec<String>) -> Outcome<()> {
        for (key, tree) in self.members {
            match known
                .iter()
                .find(|(name, _)| name == key)
                .map(|(_, shape)| shape)
            {
                None => unknown.push(shortened(&self.name(key))),
                Some(Shape::Any) => {}
                Some(Shape::Open) => drop(self.hash(key)?),
                Some(Shape::Hash(inner)) => {
                    if let (Field::Given(hash), Tree::Hash(_)) = (self.hash(key)?, tree) {
                        hash.collect_unknown(inner, unknown)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// A text of at most `chars_max` characters.
    ///
    /// # Errors
    /// 400 when it is a hash or list, or too long.
    pub fn text(&self, key: &str, chars_max: usize) -> Outcome<Field<String>> {
        match self.members.get(key) {
            None => Ok(Field::Absent),
            Some(Tree::Leaf(text)) if text.is_empty() => Ok(Field::Unset),
            Some(Tree::Leaf(text)) if text.chars().count() > chars_max => {
                Err(ApiError::invalid(format!(
                    "Invalid string: {}…; must be at most {chars_max} characters",
                    text.chars().take(12).collect::<String>()
                ))
                .param(self.name(key)))
            }
            Some(Tree::Leaf(text)) => Ok(Field::Given(text.clone())),
            Some(_) => Err(
                ApiError::invalid("Invalid string: expected text, got a hash or list.")
                    .param(self.name(key)),
            ),
        }
    }

    /// A text that must be there.
    ///
    /// # Errors
    /// 400 `parameter_missing` or `parameter_invalid_empty`.
    pub fn required_text(&self, key: &str, chars_max: usize) -> Outcome<String> {
        match self.text(key, chars_max)? {
            Field::Given(text) => Ok(text),
            Field::Unset => Err(self.empty(key)),
            Field::Absent => Err(ApiError::missing(&self.name(key))),
        }
    }

    /// An integer that cannot be unset.
    ///
    /// # Errors
    /// 400 `parameter_invalid_integer` or `parameter_invalid_empty`.
    pub fn int(&self, key: &str) -> Outcome<Option<i64>> {
        match self.text(key, 64)? {
            Field::Absent => Ok(None),
            Field::Unset => Err(self.empty(key)),
            Field::Given(text) => match text.parse() {
                Ok(number) => Ok(Some(number)),
                Err(_) => Err(self.not_an_integer(key, &text)),
            },
        }
    }

    fn not_an_integer(&self, key: &str, text: &str) -> ApiError {
        ApiError::invalid(format!("Invalid integer: {text}"))
            .code("parameter_invalid_integer")
            .param(self.name(key))
    }

    /// A boolean that cannot be unset.
    ///
    /// # Errors
    /// 400 when it is neither `true` nor `false`.
    pub fn flag(&self, key: &str) -> Outcome<Option<bool>> {
        match self.text(key, 64)? {
            Field::Absent => Ok(None),
            Field::Unset => Err(self.empty(key)),
            Field::Given(text) => match text.as_str() {
                "true" => Ok(Some(true)),
                "false" => Ok(Some(false)),
                _ => {
                    Err(ApiError::invalid(format!("Invalid boolean: {text}")).param(self.name(key)))
                }
            },
        }
    }

    /// A word out of a closed set.
    ///
    /// # Errors
    /// 400 that lists the words.
    pub fn word<W: Word>(&self, key: &str) -> Outcome<Field<W>> {
        Ok(match self.text(key, 100)? {
            Field::Absent => Field::Absent,
            Field::Unset => Field::Unset,
            Field::Given(text) => match W::parse(&text) {
                Some(word) => Field::Given(word),
                None => return Err(self.not_one_of::<W>(key)),
            },
        })
    }

    /// A word that may be left out but not unset.
    ///
    /// # Errors
    /// As [`word`](Self::word), and `parameter_invalid_empty`.
    pub fn plain_word<W: Word>(&self, key: &str) -> Outcome<Option<W>> {
        match self.word(key)? {
            Field::Absent => Ok(None),
            Field::Unset => Err(self.empty(key)),
            Field::Given(word) => Ok(Some(word)),
        }
    }

    fn not_one_of<W: Word>(&self, key: &str) -> ApiError {
        let words: Vec<_> = W::ALL.iter().map(|word| word.as_str()).collect();
        let list = match words.as_slice() {
            [one, other] => format!("{one} or {other}"),
            [first @ .., last] => format!("{}, or {last}", first.join(", ")),
            [] => String::new(),
        };
        ApiError::invalid(format!("Invalid {}: must be one of {list}", self.name(key)))
            .param(self.name(key))
    }

    /// A nested hash; empty text unsets it.
    ///
    /// # Errors
    /// 400 when it is text or a list.
    pub fn hash(&self, key: &str) -> Outcome<Field<Params<'t>>> {
        match self.members.get(key) {
            None => Ok(Field::Absent),
            Some(Tree::Leaf(text)) if text.is_empty() => Ok(Field::Unset),
            Some(Tree::Hash(members)) => Ok(Field::Given(Params {
                members,
                path: self.name(key),
            })),
            Some(_) => Err(ApiError::invalid("Invalid object").param(self.name(key))),
        }
    }

    /// A list of texts, written `[]`, with indices, or as JSON.
    ///
    /// # Errors
    /// 400 when it is text, or an item is not text.
    pub fn texts(&self, key: &str) -> Outcome<Option<Vec<String>>> {
        let Some(items) = self.items(key)? else {
            return Ok(None);
        };
        let texts = items.into_iter().map(|(_, item)| match item {
            Tree::Leaf(text) => Ok(text.clone()),
            _ => Err(self.no_list(key)),
        });
        texts.collect::<Outcome<Vec<_>>>().map(Some)
    }

    /// A list of hashes, written as one of texts may be.
    ///
    /// # Errors
    /// 400 when it is text, or an item is no hash.
    pub fn hashes(&self, key: &str) -> Outcome<Option<Vec<Params<'t>>>> {
        let Some(items) = self.items(key)? else {
            return Ok(None);
        };
        let hashes = items.into_iter().map(|(index, item)| match item {
            Tree::Hash(members) => Ok(Params {
                members,
                path: format!("{}[{index}]", self.name(key)),
            }),
            _ => Err(self.no_list(key)),
        });
        hashes.collect::<Outcome<Vec<_>>>().map(Some)
    }

    fn no_list(&self, key: &str) -> ApiError {
        ApiError::invalid("Invalid array").param(self.name(key))
    }

    fn items(&self, key: &str) -> Outcome<Option<Vec<(usize, &'t Tree)>>> {
        let items = match self.members.get(key) {
            None => return Ok(None),
            Some(Tree::List(items)) => items.iter().enumerate().collect(),
            Some(Tree::Hash(members)) => {
                let index = |it: &str| it.parse::<usize>().map_err(|_| self.no_list(key));
                let items = members.iter().map(|(it, item)| Ok((index(it)?, item)));
                let mut items = items.collect::<Outcome<Vec<_>>>()?;
                items.sort_by_key(|(index, _)| *index);
                items
            }
            Some(Tree::Leaf(text)) if text.is_empty() => Vec::new(),
            Some(Tree::Leaf(_)) => return Err(self.no_list(key)),
        };
        Ok(Some(items))
    }

    /// The error for an empty value where none can be unset.
    pub fn empty(&self, key: &str) -> ApiError {
        let name = self.name(key);
        ApiError::invalid(format!(
            "You passed an empty string for '{name}'. We assume empty values are an attempt to unset a parameter; however '{name}' cannot be \
             unset. You should remove '{name}' from your request or supply a non-empty value."
        ))
        .code("parameter_invalid_empty")
        .param(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(tree: &Tree) -> Vec<u8> {
        let mut out = Vec::new();
        tree.write_canonical(&mut out);
        out
    }

    #[test]
    fn form_and_json_of_the_same_parameters_are_one_tree() {
        let form = Tree::from_form(b"expand[]=a&card[number]=42&amount=100&expand[]=b&off=").ok();
        let json = Tree::from_json(
            br#"{"amount":100,"off":null,"card":{"number":"42"},"expand":["a","b"]}"#,
        )
        .ok();
        assert!(form.is_some());
        assert!(form == json);
    }

    #[test]
    fn a_list_with_indices_equals_one_without_in_its_canonical_form() {
        let plain = Tree::from_form(b"types[]=card&types[]=link").expect("valid");
        let indexed = Tree::from_form(b"types[1]=link&types[0]=card").expect("valid");
        assert_eq!(canonical(&plain), canonical(&indexed));
        let names = Params::root(&indexed)
            .expect("a hash")
            .texts("types")
            .expect("texts");
        assert_eq!(names, Some(vec!["card".to_owned(), "link".to_owned()]));
    }

    #[test]
    fn hashes_in_a_list_begin_anew_when_a_member_repeats() {
        let tree = Tree::from_form(b"items[][a]=1&items[][b]=2&items[][a]=3").expect("valid");
        let json = Tree::from_json(br#"{"items":[{"a":1,"b":2},{"a":3}]}"#).expect("valid");
        assert!(tree == json);
        let form = b"items[][p][a]=1&items[][p][b]=2&items[][p][a]=3";
        let tree = Tree::from_form(form).expect("valid");
        let json = br#"{"items":[{"p":{"a":1,"b":2}},{"p":{"a":3}}]}"#;
        assert!(tree == Tree::from_json(json).expect("valid"));
    }

    #[test]
    fn names_that_are_both_value_and_hash_are_refused() {
        for body in ["a=1&a[b]=2", "a[b]=1&a=2", "a[=1", "a[b]c=1", "[]=1"] {
            let refused = Tree::from_form(body.as_bytes())
                .err()
                .map(|error| error.status());
            assert_eq!(refused, Some(400), "{body}");
        }
    }

    #[test]
    fn the_security_code_is_not_part_of_the_canonical_form() {
        let one = Tree::from_form(b"card[number]=42&card[cvc]=123").expect("valid");
        let other = Tree::from_form(b"card[cvc]=999&card[number]=42").expect("valid");
        assert_eq!(canonical(&one), canonical(&other));
    }
}
