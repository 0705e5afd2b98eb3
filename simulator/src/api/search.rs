//! `GET /v1/payment_intents/search`, and the same for charges and customers: Stripe's query language, as far as the objects have its fields.
//!
//! At most ten clauses are joined by `AND` or by `OR`, never both. `metadata['key']:'value'`, `status:'…'`, `currency:'…'` compare whole texts; `~`
//! looks for a part of three characters or more; upper and lower case are the same; `:null` holds where there is nothing. Numbers such as `amount`
//! and `created` take `:`, `<`, `<=`, `>` and `>=`; a `-` before a clause negates it. Unlike Stripe's, which may lag behind by a minute, the search
//! sees every write at once.

use std::borrow::Cow;

use serde_json::{Value, json};

use super::call::Call;
use super::lists::read_limit;
use crate::errors::{ApiError, Outcome};
use crate::objects::{Charge, Customer, Metadata, PaymentIntent};
use crate::params::Shape;
use crate::state::Kind;
use crate::wire::Word;

/// What a query can ask of a kind of objects.
pub trait Searched: Kind {
    /// Where it is asked.
    const URL: &'static str;
    /// The fields that hold text.
    const TEXTS: &'static [&'static str];
    /// The fields that hold a number.
    const NUMBERS: &'static [&'static str];

    /// Whether it is found at all.
    fn is_there(&self) -> bool {
        true
    }
    /// One of [`TEXTS`](Self::TEXTS).
    fn text(&self, name: &str) -> Option<Cow<'_, str>>;
    /// One of [`NUMBERS`](Self::NUMBERS).
    fn number(&self, name: &str) -> Option<i64>;
    /// The caller's own pairs.
    fn metadata(&self) -> &Metadata;
    /// As it is answered.
    fn show(&self) -> Value;
}

impl Searched for PaymentIntent {
    const URL: &'static str = "/v1/payment_intents/search";
    const TEXTS: &'static [&'static str] = &["currency", "customer", "status"];
    const NUMBERS: &'static [&'static str] = &["amount", "created"];

    fn text(&self, name: &str) -> Option<Cow<'_, str>> {
        match name {
            "currency" => Some(self.currency.as_str().into()),
            "customer" => self.customer.as_deref().map(Cow::from),
            "status" => Some(self.status.as_str().into()),
            _ => None,
        }
    }

    fn number(&self, name: &str) -> Option<i64> {
        match name {
            "amount" => Some(self.amount),
            "created" => Some(self.created),
            _ => None,
        }
    }

    fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    fn show(&self) -> Value {
        self.render()
    }
}

impl Searched for Charge {
    const URL: &'static str = "/v1/charges/search";
    const TEXTS: &'static [&'static str] = &[
        "currency",
        "customer",
        "disputed",
        "payment_method_details.card.brand",
        "payment_method_details.card.last4",
        "refunded",
        "status",
    ];
    const NUMBERS: &'static [&'static str] = &[
        "amount",
        "created",
        "payment_method_details.card.exp_month",
        "payment_method_details.card.exp_year",
    ];

    fn text(&self, name: &str) -> Option<Cow<'_, str>> {
        match name {
            "currency" => Some(self.currency.as_str().into()),
            "customer" => self.customer.as_deref().map(Cow::from),
            "disputed" => Some(self.dispute.is_some().to_string().into()),
            "payment_method_details.card.brand" => Some(self.card.brand.as_str().into()),
            "payment_method_details.card.last4" => Some(self.card.last4.as_str().into()),
            "refunded" => Some((self.captured && self.refundable() == 0).to_string().into()),
            "status" => Some(self.status.as_str().into()),
            _ => None,
        }
    }

    fn number(&self, name: &str) -> Option<i64> {
        match name {
            "amount" => Some(self.amount),
            "created" => Some(self.created),
            "payment_method_details.card.exp_month" => Some(self.card.exp_month),
            "payment_method_details.card.exp_year" => Some(self.card.exp_year),
            _ => None,
        }
    }

    fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    fn show(&self) -> Value {
        self.render()
    }
}

impl Searched for Customer {
    const URL: &'static str = "/v1/customers/search";
    const TEXTS: &'static [&'static str] = &["email", "name", "phone"];
    const NUMBERS: &'static [&'static str] = &["created"];

    fn is_there(&self) -> bool {
        !self.deleted
    }

    fn text(&self, name: &str) -> Option<Cow<'_, str>> {
        match name {
            "email" => self.email.as_deref().map(Cow::from),
            "name" => self.name.as_deref().map(Cow::from),
            "phone" => self.phone.as_deref().map(Cow::from),
            _ => None,
        }
    }

    fn number(&self, name: &str) -> Option<i64> {
        match name {
            "created" => Some(self.created),
            _ => None,
        }
    }

    fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    fn show(&self) -> Value {
        self.render()
    }
}

/// Answers a search for objects of one kind.
///
/// # Errors
/// 400 for what is no query, or a page that is none.
pub fn search<T: Searched>(call: &mut Call<'_, '_>) -> Outcome<Value> {
    call.params.only(&[
        ("expand", Shape::Any),
        ("limit", Shape::Any),
        ("page", Shape::Any),
        ("query", Shape::Any),
    ])?;
    let query = Query::parse::<T>(&call.params.required_text("query", 5_000)?)?;
    let limit = read_limit(&call.params)?;
    let table = T::table(call.tx.tables());
    let after = match call.params.text("page", 500)?.given() {
        None => None,
        Some(page) => Some(
            table
                .place(&page)
                .ok_or_else(|| ApiError::invalid("Invalid page.").param("page"))?,
        ),
    };
    let mut found: Vec<&T> = table
        .older_than(after)
        .filter(|it| it.is_there() && query.matches(*it))
        .take(limit + 1)
        .collect();
    let has_more = found.len() > limit;
    found.truncate(limit);
    let next_page = found
        .last()
        .filter(|_| has_more)
        .map(|it| it.id().to_owned());
    let data: Vec<Value> = found.into_iter().map(Searched::show).collect();
    Ok(json!({
        "object": "search_result",
        "data": data,
        "has_more": has_more,
        "next_page": next_page,
        "url": T::URL,
    }))
}

struct Query {
    clauses: Vec<Clause>,
    any: bool,
}

struct Clause {
    negated: bool,
    field: Field,
    operator: Operator,
    /// None for `null`.
    value: Option<String>,
}

enum Field {
    Metadata(String),
    Text(String),
    Number(String),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Operator {
    Is,
    Contains,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// The most clauses in a query.
const CLAUSES_MAX: usize = 10;
/// The shortest part that `~` looks for, in characters.
const PART_CHARS_MIN: usize = 3;

/// Longer spellings first.
const OPERATORS: &[(&str, Operator)] = &[
    ("<=", Operator::LessOrEqual),
    (">=", Operator::GreaterOrEqual),
    ("<", Operator::Less),
    (">", Operator::Greater),
    (":", Operator::Is),
    ("~", Operator::Contains),
];

fn invalid(what: &str) -> ApiError {
    ApiError::invalid(format!(
        "We were unable to parse your search query. {what} Try using the format `metadata[\"key\"]:\"value\"` to query for metadata or \
         key:\"value\" to query for other fields."
    ))
    .param("query")
}

impl Query {
    fn parse<T: Searched>(text: &str) -> Outcome<Self> {
        let mut rest = text.trim();
        let mut clauses = Vec::new();
        let mut joints: Vec<&str> = Vec::new();
        loop {
            let (clause, after) = Clause::parse::<T>(rest)?;
            clauses.push(clause);
            if clauses.len() > CLAUSES_MAX {
                return Err(invalid("There are more than 10 clauses."));
            }
            rest = after.trim_start();
            if rest.is_empty() {
                break;
            }
            // Clauses that merely follow each other are joined by AND.
            let joint = ["AND ", "OR "].into_iter().find(|it| {
                rest.get(..it.len())
                    .is_some_and(|head| head.eq_ignore_ascii_case(it))
            });
            joints.push(joint.unwrap_or("AND "));
            rest = rest[joint.map_or(0, str::len)..].trim_start();
        }
        let any = joints.contains(&"OR ");
        if any && joints.contains(&"AND ") {
            return Err(invalid(
                "You can only use `AND` or `OR` operators, not both.",
            ));
        }
        Ok(Self { clauses, any })
    }

    fn matches<T: Searched>(&self, object: &T) -> bool {
        if self.any {
            self.clauses.iter().any(|it| it.matches(object))
        } else {
            self.clauses.iter().all(|it| it.matches(object))
        }
    }
}

impl Clause {
    /// A clause at the beginning of the text, and what follows it.
    fn parse<T: Searched>(text: &str) -> Outcome<(Self, &str)> {
        let (negated, text) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let name_length = text
            .find(|it: char| !it.is_ascii_alphanumeric() && !matches!(it, '_' | '.'))
            .unwrap_or(text.len());
        let (name, mut rest) = text.split_at(name_length);
        let field = match name {
            "metadata" => {
                let inner = rest
                    .strip_prefix('[')
                    .ok_or_else(|| invalid("Metadata needs a key."))?;
                let (key, after) = quoted(inner)?;
                rest = after
                    .strip_prefix(']')
                    .ok_or_else(|| invalid("A bracket is missing."))?;
                Field::Metadata(key)
            }
            _ if T::TEXTS.contains(&name) => Field::Text(name.to_owned()),
            _ if T::NUMBERS.contains(&name) => Field::Number(name.to_owned()),
            _ => {
                return Err(invalid(&format!(
                    "Field `{name}` is an unsupported search field."
                )));
            }
        };
        let (spelling, operator) = OPERATORS
            .iter()
            .find(|(spelling, _)| rest.starts_with(spelling))
            .ok_or_else(|| invalid("An operator is missing."))?;
        let (value, rest) = value(&rest[spelling.len()..])?;
        let clause = Self {
            negated,
            field,
            operator: *operator,
            value,
        };
        clause.check()?;
        Ok((clause, rest))
    }

    fn check(&self) -> Outcome<()> {
        let is_number = matches!(self.field, Field::Number(_));
        let orders = !matches!(self.operator, Operator::Is | Operator::Contains);
        let Some(value) = &self.value else {
            return match self.operator {
                Operator::Is if !is_number => Ok(()),
                _ => Err(invalid("Only a text can be null.")),
            };
        };
        if is_number && value.parse::<i64>().is_err() {
            return Err(invalid("A number is expected."));
        }
        if orders && !is_number {
            return Err(invalid("Only numbers can be compared."));
        }
        if self.operator == Operator::Contains && value.chars().count() < PART_CHARS_MIN {
            return Err(invalid("A part must have at least 3 characters."));
        }
        Ok(())
    }

    fn matches<T: Searched>(&self, object: &T) -> bool {
        let holds = match &self.field {
            Field::Metadata(key) => self.is_text(object.metadata().get(key).map(String::as_str)),
            Field::Text(name) => self.is_text(object.text(name).as_deref()),
            Field::Number(name) => object.number(name).is_some_and(|it| self.is_number(it)),
        };
        holds != self.negated
    }

    fn is_text(&self, text: Option<&str>) -> bool {
        let (Some(text), Some(value)) = (text, &self.value) else {
            return text.is_none() && self.value.is_none();
        };
        let (text, value) = (text.to_lowercase(), value.to_lowercase());
        match self.operator {
            Operator::Contains => text.contains(&value),
            _ => text == value,
        }
    }

    fn is_number(&self, number: i64) -> bool {
        let value = self.value.as_deref().and_then(|it| it.parse().ok());
        let value: i64 = value.expect("checked when the query was parsed");
        match self.operator {
            Operator::Is | Operator::Contains => number == value,
            Operator::Less => number < value,
            Operator::LessOrEqual => number <= value,
            Operator::Greater => number > value,
            Operator::GreaterOrEqual => number >= value,
        }
    }
}

/// A text in single or double quotes at the beginning, and what follows it. A backslash takes the next character as it is.
fn quoted(text: &str) -> Outcome<(String, &str)> {
    let mut chars = text.char_indices();
    let quote = match chars.next() {
        Some((_, quote @ ('\'' | '"'))) => quote,
        _ => return Err(invalid("A quote is missing.")),
    };
    let mut out = String::new();
    while let Some((at, it)) = chars.next() {
        match it {
            '\\' => out.extend(chars.next().map(|(_, escaped)| escaped)),
            _ if it == quote => return Ok((out, &text[at + quote.len_utf8()..])),
            _ => out.push(it),
        }
    }
    Err(invalid("A quote is not closed."))
}

/// A quoted text, a bare number, or `null`, which is none.
fn value(text: &str) -> Outcome<(Option<String>, &str)> {
    if text.starts_with(['\'', '"']) {
        return quoted(text).map(|(value, rest)| (Some(value), rest));
    }
    let end = text.find(char::is_whitespace).unwrap_or(text.len());
    let (bare, rest) = text.split_at(end);
    match bare {
        "null" => Ok((None, rest)),
        _ if bare.parse::<i64>().is_ok() => Ok((Some(bare.to_owned()), rest)),
        _ => Err(invalid("A quote is missing.")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn intent() -> PaymentIntent {
        let mut intent = PaymentIntent::new("pi_1".to_owned(), 1_000, 500, "usd".to_owned());
        intent
            .metadata
            .insert("payment".to_owned(), "it's 7".to_owned());
        intent
    }

    #[test]
    fn clauses_hold_as_written() {
        let cases = [
            (r#"metadata["payment"]:"it's 7""#, true),
            (r"metadata['payment']:'it\'s 7'", true),
            ("metadata['payment']~'S 7'", true),
            ("metadata['payment']:null", false),
            ("-metadata['payment']:null", true),
            ("metadata['other']:null AND customer:null", true),
            ("currency:'USD'", true),
            ("metadata['other']:'7'", false),
            ("-metadata['other']:'7'", true),
            ("status:'requires_payment_method' AND amount>499", true),
            ("currency:'eur' OR created<=1000", true),
            ("currency:'eur' created<=1000", false),
            ("amount>=501", false),
        ];
        for (query, expected) in cases {
            let parsed = Query::parse::<PaymentIntent>(query).expect("a valid query");
            assert_eq!(parsed.matches(&intent()), expected, "{query}");
        }
    }

    #[test]
    fn each_kind_has_its_own_fields() {
        assert!(Query::parse::<Customer>("email~'@example.com'").is_ok());
        assert!(Query::parse::<Customer>("currency:'usd'").is_err());
        assert!(Query::parse::<Charge>("payment_method_details.card.last4:'4242'").is_ok());
        assert!(Query::parse::<PaymentIntent>("payment_method_details.card.last4:'4242'").is_err());
    }

    #[test]
    fn what_is_no_query_is_refused() {
        let queries = [
            "",
            "metadata",
            "metadata['a'",
            "metadata['a']:'b",
            "colour:'red'",
            "status>'a'",
            "metadata['a']~'ab'",
            "amount:null",
            "amount>'b'",
            "status:'a' AND",
            "status:'a' AND status:'b' OR status:'c'",
        ];
        let eleven = ["amount>1"; 11].join(" AND ");
        for query in queries.into_iter().chain([eleven.as_str()]) {
            assert!(Query::parse::<PaymentIntent>(query).is_err(), "{query}");
        }
    }
}
