//! The query, as far as this door's resources know it: which relationships, fields, filters, sorts and pages there are.

use chrono::{DateTime, NaiveDate, Utc};
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use std::str::FromStr;

use super::error::{self, Refusal};
use super::request::Call;
use crate::doors::firewall::holds_card_number;
use crate::http::json_api::Query;
use crate::http::json_api::document::Fieldsets;
use crate::http::json_api::query::SortBy;
use crate::use_cases::listed::{Comparison, Field, Filter, Operand, Sort, Test, Wanted};

pub const RELATIONSHIPS: [&str; 4] = ["order", "payment_gateway", "versions", "event_stores"];
const PAGE_SIZE: u32 = 10;
const PAGE_SIZE_MAX: u32 = 25;
/// Beyond it nothing is looked for.
const PAGE_NUMBER_MAX: u32 = 1_000_000;
const FILTERS_MAX: usize = 20;
const OPERANDS_MAX: usize = 100;

/// A query whose relationships and fields exist.
pub struct Parsed {
    pub include: BTreeSet<&'static str>,
    pub fields: Fieldsets,
    pub query: Query,
}

impl Parsed {
    pub fn read(text: Option<&str>) -> Result<Self, Refusal> {
        let query = Query::read(text)?;
        let mut given = query.given.iter();
        // Links repeat what was asked for, and no payment's text holds one.
        if given.any(|(name, value)| holds_card_number(name) || holds_card_number(value)) {
            return Err(error::bad_filter("A query must not hold a card number.").into());
        }
        let include = query.include.iter().map(|path| {
            let known = RELATIONSHIPS.into_iter().find(|it| it == path);
            known.ok_or_else(error::bad_include)
        });
        let include = include.collect::<Result<_, _>>()?;
        Ok(Self {
            include,
            fields: fields(&query)?,
            query,
        })
    }

    /// For what is no list: no page, sort or filter.
    pub fn only_of_one(&self) -> Result<(), Refusal> {
        let query = &self.query;
        if !query.sort.is_empty() {
            return Err(error::bad_sort("Only lists of Stripe payments can be sorted.").into());
        }
        if !query.filter.is_empty() {
            return Err(error::bad_filter("Only lists of Stripe payments can be filtered.").into());
        }
        match query.page.keys().next() {
            Some(part) => Err(error::bad_page(part, "Only lists have pages.").into()),
            None => Ok(()),
        }
    }

    /// For what has nothing to include either.
    pub fn fields_only(&self) -> Result<(), Refusal> {
        self.only_of_one()?;
        self.nothing_included()
    }

    pub fn nothing_included(&self) -> Result<(), Refusal> {
        if self.include.is_empty() {
            return Ok(());
        }
        Err(error::bad_include().into())
    }

    /// For what has no fields either.
    pub fn nothing(&self) -> Result<(), Refusal> {
        self.fields_only()?;
        match self.fields.keys().next() {
            Some(kind) => Err(error::bad_field(&format!("fields[{kind}]")).into()),
            None => Ok(()),
        }
    }
}

const PAYMENT_FIELDS: &[&str] = &[
    "stripe_id",
    "client_secret",
    "connected_account",
    "charge_id",
    "publishable_key",
    "on_behalf_of",
    "transfer_group",
    "options",
    "payment_method",
    "mismatched_amounts",
    "return_url",
    "receipt_email",
    "payment_instrument",
    "created_at",
    "updated_at",
    "reference",
    "reference_origin",
    "metadata",
    "order",
    "payment_gateway",
    "versions",
    "event_stores",
];
const ORDER_FIELDS: &[&str] = &[
    "number",
    "status",
    "payment_status",
    "fulfillment_status",
    "currency_code",
    "total_amount_cents",
    "total_tax_amount_cents",
    "total_taxable_amount_cents",
    "line_items_count",
    "created_at",
    "updated_at",
    "reference",
    "reference_origin",
    "metadata",
];
const GATEWAY_FIELDS: &[&str] = &[
    "name",
    "connected_account",
    "publishable_key",
    "auto_payments",
    "webhook_endpoint_url",
    "disabled_at",
    "created_at",
    "updated_at",
    "reference",
    "reference_origin",
    "metadata",
];
const CHANGE_FIELDS: &[&str] = &[
    "event",
    "payload",
    "changes",
    "who",
    "resource_type",
    "resource_id",
    "created_at",
    "updated_at",
    "reference",
    "reference_origin",
    "metadata",
];

/// The fieldsets, once it is known that their types and fields exist.
fn fields(query: &Query) -> Result<Fieldsets, Refusal> {
    let mut fields = Fieldsets::new();
    for (kind, names) in &query.fields {
        let (of, known) = match kind.as_str() {
            "stripe_payments" => ("stripe_payments", PAYMENT_FIELDS),
            "orders" => ("orders", ORDER_FIELDS),
            // Clients ask for the general kind; ours are all Stripe's.
            "stripe_gateways" | "payment_gateways" => ("stripe_gateways", GATEWAY_FIELDS),
            "versions" => ("versions", CHANGE_FIELDS),
            "event_stores" => ("event_stores", CHANGE_FIELDS),
            _ => return Err(error::bad_field("fields").into()),
        };
        if !names.iter().all(|name| known.contains(&name.as_str())) {
            return Err(error::bad_field(&format!("fields[{kind}]")).into());
        }
        fields.insert(of.to_owned(), names.clone());
    }
    Ok(fields)
}

/// Which payments a list is to show.
pub fn wanted(parsed: &Parsed) -> Result<Wanted, Refusal> {
    let query = &parsed.query;
    if query.filter.len() > FILTERS_MAX {
        return Err(error::bad_filter("These are too many filters.").into());
    }
    let filters = query.filter.iter().map(|(test, value)| filter(test, value));
    let (page_number, page_size) = page(query)?;
    if let Some(part) = query
        .page
        .keys()
        .find(|it| *it != "number" && *it != "size")
    {
        return Err(error::bad_page(part, "Pages are asked for by number and size.").into());
    }
    Ok(Wanted {
        filters: filters.collect::<Result<_, _>>()?,
        sort: query.sort.iter().map(sort).collect::<Result<_, _>>()?,
        page_number,
        page_size,
    })
}

/// Number, counted from 1, and size.
pub fn page(query: &Query) -> Result<(u32, u32), Refusal> {
    let number = |part: &str, usual: u32, most: u32| match query.page.get(part) {
        None => Ok(usual),
        Some(text) => {
            let number = text.parse().ok().filter(|it| (1..=most).contains(it));
            let detail = format!("This is a whole number from 1 to {most}.");
            number.ok_or_else(|| Refusal::from(error::bad_page(part, &detail)))
        }
    };
    Ok((
        number("number", 1, PAGE_NUMBER_MAX)?,
        number("size", PAGE_SIZE, PAGE_SIZE_MAX)?,
    ))
}

fn sort(by: &SortBy) -> Result<Sort, Refusal> {
    let sortable = [
        "id",
        "created_at",
        "updated_at",
        "reference",
        "reference_origin",
    ];
    let field = Field::from_str(&by.field).ok();
    match field.filter(|_| sortable.contains(&by.field.as_str())) {
        Some(field) => Ok(Sort {
            field,
            descending: by.descending,
        }),
        None => {
            let detail = "Stripe payments are sorted by id, created_at, updated_at, reference or reference_origin.";
            Err(error::bad_sort(detail).into())
        }
    }
}

/// Longer names first: `not_eq` ends with `eq`.
const PREDICATES: [&str; 23] = [
    "does_not_match",
    "not_matches",
    "not_start",
    "not_null",
    "not_cont",
    "not_end",
    "not_eq",
    "not_in",
    "matches",
    "present",
    "blank",
    "jcont",
    "start",
    "cont",
    "gteq",
    "lteq",
    "null",
    "end",
    "eq",
    "in",
    "gt",
    "lt",
    "is_null",
];

/// `reference_or_reference_origin_cont`: fields, and how they are compared.
fn filter(test: &str, value: &str) -> Result<Filter, Refusal> {
    let found = PREDICATES
        .iter()
        .filter_map(|it| Some((test.strip_suffix(it)?.strip_suffix('_')?, *it)));
    let (names, predicate) = found
        .min_by_key(|(names, _)| names.len())
        .ok_or_else(|| no_such_filter(test))?;
    let fields: Vec<Field> = names
        .split("_or_")
        .map(|name| Field::from_str(name).map_err(|_| no_such_filter(test)))
        .collect::<Result<_, _>>()?;
    let kinds = |kind: fn(Field) -> bool| fields.iter().copied().all(kind);
    let texts = kinds(|it| !it.is_time() && it != Field::Metadata);
    let times = kinds(Field::is_time);
    let objects = kinds(|it| it == Field::Metadata);
    let test = match predicate {
        "null" | "is_null" => Test::Null(flag(test, value)?),
        "not_null" => Test::Null(!flag(test, value)?),
        "present" => Test::Present(flag(test, value)?),
        "blank" => Test::Present(!flag(test, value)?),
        "jcont" if objects => Test::Holds(object(test, value)?),
        _ if !texts && !times => return Err(no_such_filter(test)),
        "in" | "not_in" => Test::OneOf {
            operands: operands(test, value, times)?,
            negated: predicate == "not_in",
        },
        "eq" | "not_eq" | "gt" | "lt" | "gteq" | "lteq" => {
            Test::Compared(comparison(predicate), operand(test, value, times)?)
        }
        _ if !texts => return Err(no_such_filter(test)),
        _ => like(predicate, value),
    };
    Ok(Filter { fields, test })
}

fn comparison(predicate: &str) -> Comparison {
    match predicate {
        "not_eq" => Comparison::NotEqual,
        "gt" => Comparison::Greater,
        "lt" => Comparison::Less,
        "gteq" => Comparison::GreaterOrEqual,
        "lteq" => Comparison::LessOrEqual,
        _ => Comparison::Equal,
    }
}

/// `matches` takes the pattern as it comes; in the others every letter stands for itself.
fn like(predicate: &str, value: &str) -> Test {
    let plain = value.replace('\0', "");
    let exact = plain
        .replace('\\', "\\\\")
        .replace('%', "\\%")
        .replace('_', "\\_");
    let pattern = match predicate {
        "cont" | "not_cont" => format!("%{exact}%"),
        "start" | "not_start" => format!("{exact}%"),
        "end" | "not_end" => format!("%{exact}"),
        // PostgreSQL refuses a pattern that ends within an escape.
        _ => match plain.chars().rev().take_while(|it| *it == '\\').count() % 2 {
            0 => plain,
            _ => format!("{plain}\\"),
        },
    };
    let negated = predicate.starts_with("not_") || predicate == "does_not_match";
    Test::Like { pattern, negated }
}

fn operands(test: &str, value: &str, times: bool) -> Result<Vec<Operand>, Refusal> {
    let parts: Vec<&str> = value.split(',').map(str::trim).collect();
    if parts.len() > OPERANDS_MAX {
        return Err(bad_value(test));
    }
    parts.iter().map(|it| operand(test, it, times)).collect()
}

fn operand(test: &str, value: &str, times: bool) -> Result<Operand, Refusal> {
    if !times {
        return Ok(Operand::Text(value.replace('\0', "")));
    }
    // A plus that was not encoded arrives as a space.
    let text = value.trim().replace(' ', "+");
    let moment = DateTime::parse_from_rfc3339(&text).map(|it| it.with_timezone(&Utc));
    let day = || {
        let day = NaiveDate::parse_from_str(&text, "%Y-%m-%d").ok()?;
        Some(day.and_hms_opt(0, 0, 0)?.and_utc())
    };
    // What PostgreSQL can hold as well.
    let held = |it: &DateTime<Utc>| (0..=9999).contains(&chrono::Datelike::year(it));
    let time = moment.ok().or_else(day).filter(held);
    time.map(Operand::Time).ok_or_else(|| bad_value(test))
}

fn flag(test: &str, value: &str) -> Result<bool, Refusal> {
    match value {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err(bad_value(test)),
    }
}

fn object(test: &str, value: &str) -> Result<String, Refusal> {
    let read: Option<Value> = crate::http::body::json(value.as_bytes()).ok();
    let read = read.filter(Value::is_object).map(|it| it.to_string());
    read.filter(|it| !it.contains("\\u0000"))
        .ok_or_else(|| bad_value(test))
}

fn no_such_filter(test: &str) -> Refusal {
    let error = error::bad_filter("There is no such filter here.");
    named(error, test).into()
}

fn bad_value(test: &str) -> Refusal {
    let error = error::bad_filter("This filter does not take this value.");
    named(error, test).into()
}

fn named(
    error: crate::http::json_api::ErrorObject,
    test: &str,
) -> crate::http::json_api::ErrorObject {
    let plain = |it: u8| it.is_ascii_lowercase() || it == b'_';
    if test.len() <= 80 && test.bytes().all(plain) {
        error.in_parameter(format!("filter[q][{test}]"))
    } else {
        error.in_parameter("filter[q]")
    }
}

/// Where a page of a list stands among the others.
pub struct Page {
    number: u64,
    size: u64,
    total: u64,
}

impl Page {
    pub fn of(wanted: &Wanted, total: u64) -> Self {
        Self::new(wanted.page_number, wanted.page_size, total)
    }

    pub fn new(number: u32, size: u32, total: u64) -> Self {
        Self {
            number: u64::from(number),
            size: u64::from(size),
            total,
        }
    }

    /// At least one, if an empty one.
    pub fn count(&self) -> u64 {
        self.total.div_ceil(self.size).max(1)
    }

    /// The links to the others; all parameters but the page's number stay as they came.
    pub fn links(&self, address: &str, parsed: &Parsed) -> Map<String, Value> {
        let last = self.count();
        let to = |number: u64| {
            let set = [
                ("page[number]", number.to_string()),
                ("page[size]", self.size.to_string()),
            ];
            Value::from(format!("{address}{}", parsed.query.with(&set)))
        };
        let before = self.number.saturating_sub(1).min(last);
        let links = [
            ("first", Some(1)),
            ("prev", Some(before).filter(|it| *it >= 1)),
            ("next", Some(self.number + 1).filter(|it| *it <= last)),
            ("last", Some(last)),
        ];
        let there = links
            .into_iter()
            .filter_map(|(name, number)| Some((name, number?)));
        there
            .map(|(name, number)| (name.to_owned(), to(number)))
            .collect()
    }

    pub fn meta(&self, call: &Call) -> Map<String, Value> {
        let mut meta = Map::new();
        meta.insert("record_count".to_owned(), self.total.into());
        meta.insert("page_count".to_owned(), self.count().into());
        meta.insert("trace_id".to_owned(), call.trace_id.clone().into());
        meta
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(query: &str) -> Result<Wanted, Refusal> {
        wanted(&Parsed::read(Some(query))?)
    }

    #[track_caller]
    fn code(query: &str) -> &'static str {
        match of(query) {
            Ok(wanted) => panic!("{query}: {wanted:?}"),
            Err(refusal) => refusal.errors[0].code,
        }
    }

    #[test]
    fn filters_are_read_by_the_longest_predicate_that_fits() {
        let wanted = of("filter[q][reference_or_reference_origin_not_eq]=a&filter[q][created_at_gteq]=2018-01-01T12:00:00.000Z").unwrap();
        assert_eq!(
            wanted.filters[0].fields,
            [Field::Reference, Field::ReferenceOrigin]
        );
        let not_a = Test::Compared(Comparison::NotEqual, Operand::Text("a".to_owned()));
        assert_eq!(wanted.filters[0].test, not_a);
        assert!(matches!(
            wanted.filters[1].test,
            Test::Compared(Comparison::GreaterOrEqual, Operand::Time(_))
        ));
        let like = of("filter[q][reference_cont]=50%25_").unwrap();
        let pattern = "%50\\%\\_%".to_owned();
        assert_eq!(
            like.filters[0].test,
            Test::Like {
                pattern,
                negated: false
            }
        );
        assert_eq!((wanted.page_number, wanted.page_size), (1, 10));
    }

    #[test]
    fn what_there_is_not_is_refused_by_its_code() {
        for (query, expected) in [
            ("filter[q][amount_eq]=1", "FILTER_NOT_ALLOWED"),
            ("filter[q][reference]=1", "FILTER_NOT_ALLOWED"),
            ("filter[q][client_secret_eq]=1", "FILTER_NOT_ALLOWED"),
            ("filter[q][created_at_gt]=yesterday", "FILTER_NOT_ALLOWED"),
            ("filter[q][created_at_cont]=2018", "FILTER_NOT_ALLOWED"),
            ("filter[q][reference_null]=maybe", "FILTER_NOT_ALLOWED"),
            ("filter[q][metadata_jcont]=1", "FILTER_NOT_ALLOWED"),
            ("sort=amount", "INVALID_SORT_CRITERIA"),
            ("sort=stripe_id", "INVALID_SORT_CRITERIA"),
            ("include=customer", "INVALID_INCLUDE"),
            ("include=order.customer", "INVALID_INCLUDE"),
            ("page[size]=26", "INVALID_PAGE_VALUE"),
            ("page[size]=0", "INVALID_PAGE_VALUE"),
            ("page[number]=-1", "INVALID_PAGE_VALUE"),
            ("page[number]=x", "INVALID_PAGE_VALUE"),
            ("page[cursor]=x", "INVALID_PAGE_VALUE"),
            ("fields[stripe_payments]=amount", "INVALID_FIELD"),
            ("fields[customers]=name", "INVALID_FIELD"),
            ("foo=1", "PARAM_NOT_ALLOWED"),
        ] {
            assert_eq!(code(query), expected, "{query}");
        }
    }

    proptest! {
        #[test]
        fn no_filter_makes_the_parser_fall_over(test in "[a-z_]{0,40}|\\PC{0,20}", value in "\\PC{0,40}") {
            let _ = filter(&test, &value);
        }

        #[test]
        fn every_page_is_linked_to_its_neighbours(number in 1..50_u32, size in 1..=25_u32, total in 0..200_u64) {
            let parsed = Parsed::read(Some("sort=-id")).ok().unwrap();
            let links = Page::new(number, size, total).links("https://x", &parsed);
            let pages = total.div_ceil(u64::from(size)).max(1);
            prop_assert_eq!(links.contains_key("next"), u64::from(number) < pages);
            prop_assert_eq!(links.contains_key("prev"), number > 1);
            for link in links.values() {
                prop_assert!(link.as_str().unwrap().contains("sort=-id"));
            }
        }
    }
}
