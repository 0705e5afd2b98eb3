//! `GET /v1/payment_intents/search`: Stripe's query language, as far as intents have its fields.
//!
//! Clauses are joined by `AND` or by `OR`, never both. `metadata['key']:'value'`, `status:'…'`, `currency:'…'` compare whole texts; `~` looks for
//! a part; `amount` and `created` take `:`, `<`, `<=`, `>` and `>=`; a `-` before a clause negates it. Unlike Stripe's, which may lag behind by a
//! minute, the search sees every write at once.

use serde_json::{Value, json};

use super::super::call::Call;
use super::super::lists::read_limit;
use crate::errors::{ApiError, Outcome};
use crate::objects::PaymentIntent;
use crate::params::Shape;
use crate::wire::Word;

/// `GET /v1/payment_intents/search`
pub fn search(call: &mut Call<'_, '_>) -> Outcome<Value> {
    call.params.only(&[
        ("expand", Shape::Any),
        ("limit", Shape::Any),
        ("page", Shape::Any),
        ("query", Shape::Any),
    ])?;
    let query = Query::parse(&call.params.required_text("query", 5_000)?)?;
    let limit = read_limit(&call.params)?;
    let table = &call.tx.tables().payment_intents;
    let after = match call.params.text("page", 500)?.given() {
        None => None,
        Some(page) => Some(
            table
                .place(&page)
                .ok_or_else(|| ApiError::invalid("Invalid page.").param("page"))?,
        ),
    };
    let mut found: Vec<&PaymentIntent> = table
        .older_than(after)
        .filter(|it| query.matches(it))
        .take(limit + 1)
        .collect();
    let has_more = found.len() > limit;
    found.truncate(limit);
    let next_page = found.last().filter(|_| has_more).map(|it| it.id.clone());
    let data: Vec<Value> = found.into_iter().map(PaymentIntent::render).collect();
    Ok(json!({
        "object": "search_result",
        "data": data,
        "has_more": has_more,
        "next_page": next_page,
        "url": "/v1/payment_intents/search",
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
    value: String,
}

enum Field {
    Metadata(String),
    Status,
    Currency,
    Customer,
    Amount,
    Created,
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
    fn parse(text: &str) -> Outcome<Self> {
        let mut rest = text.trim();
        let mut clauses = Vec::new();
        let mut joints: Vec<&str> = Vec::new();
        loop {
            let (clause, after) = Clause::parse(rest)?;
            clauses.push(clause);
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

    fn matches(&self, intent: &PaymentIntent) -> bool {
        if self.any {
            self.clauses.iter().any(|it| it.matches(intent))
        } else {
            self.clauses.iter().all(|it| it.matches(intent))
        }
    }
}

impl Clause {
    /// A clause at the beginning of the text, and what follows it.
    fn parse(text: &str) -> Outcome<(Self, &str)> {
        let (negated, text) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let name_length = text
            .find(|it: char| !it.is_ascii_alphanumeric() && it != '_')
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
            "status" => Field::Status,
            "customer" => Field::Customer,
            "currency" => Field::Currency,
            "amount" => Field::Amount,
            "created" => Field::Created,
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
        let is_number = matches!(self.field, Field::Amount | Field::Created);
        let orders = !matches!(self.operator, Operator::Is | Operator::Contains);
        if is_number && self.value.parse::<i64>().is_err() {
            return Err(invalid("A number is expected."));
        }
        if orders && !is_number {
            return Err(invalid("Only numbers can be compared."));
        }
        Ok(())
    }

    fn matches(&self, intent: &PaymentIntent) -> bool {
        let holds = match &self.field {
            Field::Metadata(key) => intent.metadata.get(key).is_some_and(|it| self.is_text(it)),
            Field::Status => self.is_text(intent.status.as_str()),
            Field::Currency => self.is_text(&intent.currency),
            Field::Customer => intent.customer.as_ref().is_some_and(|it| self.is_text(it)),
            Field::Amount => self.is_number(intent.amount),
            Field::Created => self.is_number(intent.created),
        };
        holds != self.negated
    }

    fn is_text(&self, text: &str) -> bool {
        match self.operator {
            Operator::Contains => text.contains(&self.value),
            _ => text == self.value,
        }
    }

    fn is_number(&self, number: i64) -> bool {
        let value: i64 = self
            .value
            .parse()
            .expect("checked when the query was parsed");
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

/// A quoted text or a bare number.
fn value(text: &str) -> Outcome<(String, &str)> {
    if text.starts_with(['\'', '"']) {
        return quoted(text);
    }
    let end = text.find(char::is_whitespace).unwrap_or(text.len());
    let (number, rest) = text.split_at(end);
    if number.parse::<i64>().is_err() {
        return Err(invalid("A quote is missing."));
    }
    Ok((number.to_owned(), rest))
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
            ("metadata['payment']~'7'", true),
            ("metadata['other']:'7'", false),
            ("-metadata['other']:'7'", true),
            ("status:'requires_payment_method' AND amount>499", true),
            ("currency:'eur' OR created<=1000", true),
            ("currency:'eur' created<=1000", false),
            ("amount>=501", false),
        ];
        for (query, expected) in cases {
            let parsed = Query::parse(query).expect("a valid query");
            assert_eq!(parsed.matches(&intent()), expected, "{query}");
        }
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
            "amount>'b'",
            "status:'a' AND",
            "status:'a' AND status:'b' OR status:'c'",
        ];
        for query in queries {
            assert!(Query::parse(query).is_err(), "{query}");
        }
    }
}
