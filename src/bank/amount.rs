//! Amounts as banks write them.

use aggregates::money::{Currency, Money};
use aggregates::settlement::BOOKED_MAX_MINOR;

/// The marks between digits.
#[derive(Debug, Clone, Copy)]
pub(super) struct Marks {
    pub decimal: char,
    pub thousands: Option<char>,
}

/// An amount of major units, with a sign before it or none, and with at most the currency's own places; zeros beyond them
/// are none.
pub(super) fn read(text: &str, currency: Currency, marks: Marks) -> Result<Money, String> {
    let (sign, digits) = match text.strip_prefix(['-', '+']) {
        Some(rest) if text.starts_with('-') => ("-", rest),
        Some(rest) => ("", rest),
        None => ("", text),
    };
    let (whole, fraction) = match digits.split_once(marks.decimal) {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (digits, None),
    };
    let whole = grouped(whole, marks.thousands).ok_or("this is not an amount")?;
    let places = usize::try_from(currency.exponent()).unwrap_or(0);
    let mut plain = format!("{sign}{whole}");
    if let Some(fraction) = fraction {
        if fraction.is_empty() || !fraction.bytes().all(|it| it.is_ascii_digit()) {
            return Err("this is not an amount".to_owned());
        }
        let spare = fraction.get(places..).unwrap_or("");
        if spare.bytes().any(|it| it != b'0') {
            return Err(format!("{currency} is written with {places} decimals"));
        }
        let kept = fraction.get(..places).unwrap_or(fraction);
        if !kept.is_empty() {
            plain = format!("{plain}.{kept}");
        }
    }
    let amount = Money::parse_decimal(&plain, currency).map_err(|error| error.to_string())?;
    if amount.minor().unsigned_abs() > BOOKED_MAX_MINOR.unsigned_abs() {
        return Err("this is more than can be booked".to_owned());
    }
    Ok(amount)
}

/// The digits without the marks between thousands, which stand before each third digit from the right or nowhere.
fn grouped(text: &str, mark: Option<char>) -> Option<String> {
    let digits = |it: &str| !it.is_empty() && it.bytes().all(|it| it.is_ascii_digit());
    let Some(mark) = mark.filter(|it| text.contains(*it)) else {
        return digits(text).then(|| text.to_owned());
    };
    let groups: Vec<&str> = text.split(mark).collect();
    let (first, rest) = groups.split_first()?;
    let fits = digits(first) && first.len() <= 3;
    let all = rest.iter().all(|it| digits(it) && it.len() == 3);
    (fits && all).then(|| groups.concat())
}
