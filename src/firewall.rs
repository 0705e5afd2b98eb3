//! The card-number firewall: text that is kept must not hold a card number, whatever field somebody pasted it into.
//!
//! What counts is an issuer's range, a length and the Luhn sum, so that phone numbers and dates pass. Ids and amounts
//! are not looked at: one long id in ten has a Luhn sum that is right by chance.
//!
//! Callers are refused ([`holds_card_number`]); what Stripe says has happened already, so there the text is withheld
//! instead ([`withhold`]). `docs/security.md` has the limits.

use serde_json::{Map, Value};
use std::borrow::Cow;
use uuid::Uuid;

/// The lengths of card numbers, in digits.
const DIGITS_MIN: usize = 13;
const DIGITS_MAX: usize = 19;
/// Groups of a number that stand further apart than one space or dash are taken together only if they are as long as
/// those on a card: lists of small numbers are no card's.
const LOOSE_GROUP_DIGITS_MIN: usize = 3;
/// By E.164.
const PHONE_DIGITS_MAX: usize = 15;

/// What stands where a card number stood.
const WITHHELD: &str = "(withheld: it held what looks like a card number)";

/// Whether the text holds what looks like a card number: in one piece or in groups, in any script's digits, as it
/// stands or percent-encoded.
pub fn holds_card_number(text: &str) -> bool {
    if !has_enough_digits(text) {
        return false;
    }
    let plain = |text: &str| {
        let text = without_uuids(text);
        runs(&text).iter().any(Run::holds_card_number)
    };
    plain(text) || percent_decoded(text).is_some_and(|decoded| plain(&decoded))
}

/// The same of an idempotency key, which a program draws: a word with a letter in it is a hash or an id, and one in some hundreds
/// of those has digits that look like a card's by chance.
pub fn key_holds_card_number(key: &str) -> bool {
    let key = without_uuids(key);
    let words = key.split_inclusive(|it: char| !it.is_alphanumeric());
    let numbers: String = words
        .map(|word| match word.chars().any(char::is_alphabetic) {
            true => NO_DIGIT,
            false => word,
        })
        .collect();
    holds_card_number(&numbers)
}

/// Replaces every text and every name in what Stripe says that holds a card number. Ids stay: they are what Stripe's
/// objects are found by.
pub fn withhold(value: &mut Value) {
    match value {
        Value::String(text) if !is_an_id(text) && holds_card_number(text) => {
            WITHHELD.clone_into(text);
        }
        Value::Array(items) => items.iter_mut().for_each(withhold),
        Value::Object(fields) => {
            if fields.keys().any(|name| holds_card_number(name)) {
                let held = std::mem::take(fields);
                *fields = named_anew(held);
            }
            fields.values_mut().for_each(withhold);
        }
        _ => {}
    }
}

/// What is named by a card number is not told apart, and only the last of it stays.
fn named_anew(fields: Map<String, Value>) -> Map<String, Value> {
    let named = fields.into_iter().map(|(name, value)| {
        if holds_card_number(&name) {
            (WITHHELD.to_owned(), value)
        } else {
            (name, value)
        }
    });
    named.collect()
}

/// Cheap, and true of few texts: everything Stripe says is asked this.
fn has_enough_digits(text: &str) -> bool {
    text.len() >= DIGITS_MIN
        && text.chars().filter_map(digit).take(DIGITS_MIN).count() == DIGITS_MIN
}

/// What parts digits that do not belong together.
const NO_DIGIT: &str = "#";
const UUID_LENGTH: usize = 36;
/// Where its first hyphen stands.
const UUID_HYPHEN: usize = 8;

/// Something else stands where a UUID stood, wherever in the text: two of its groups are all digits every now and then.
fn without_uuids(text: &str) -> Cow<'_, str> {
    let bytes = text.as_bytes();
    let is_uuid = |at: usize| {
        let it = text.get(at..at + UUID_LENGTH);
        bytes[at + UUID_HYPHEN] == b'-' && it.is_some_and(|it| Uuid::try_parse(it).is_ok())
    };
    let mut plain = String::new();
    let (mut at, mut kept) = (0, 0);
    while at + UUID_LENGTH <= bytes.len() {
        if is_uuid(at) {
            plain.push_str(&text[kept..at]);
            plain.push_str(NO_DIGIT);
            at += UUID_LENGTH;
            kept = at;
        } else {
            at += 1;
        }
    }
    if kept == 0 {
        return Cow::Borrowed(text);
    }
    plain.push_str(&text[kept..]);
    Cow::Owned(plain)
}

/// One of Stripe's: letters, an underscore, letters and digits.
fn is_an_id(text: &str) -> bool {
    let plain = |text: &str| {
        text.bytes()
            .all(|it| it.is_ascii_alphanumeric() || it == b'_')
    };
    text.split_once('_').is_some_and(|(kind, rest)| {
        !rest.is_empty()
            && plain(rest)
            && !kind.is_empty()
            && kind.bytes().all(|it| it.is_ascii_lowercase())
    })
}

/// Groups of digits that may be one number.
#[derive(Default)]
struct Run {
    groups: Vec<String>,
    /// Something else than one space or dash stands between two of them.
    loose: bool,
    /// A plus stands right before the first, and nothing that is part of a word before that.
    after_a_plus: bool,
}

impl Run {
    fn holds_card_number(&self) -> bool {
        if self.is_a_phone_number() {
            return false;
        }
        (0..self.groups.len()).any(|first| {
            let mut digits = String::new();
            let mut long = true;
            for group in &self.groups[first..] {
                // No number is longer: without this a megabyte of single digits takes minutes.
                if digits.len() + group.len() > DIGITS_MAX {
                    return false;
                }
                digits.push_str(group);
                long &= group.len() >= LOOSE_GROUP_DIGITS_MIN;
                if (long || !self.loose || digits == *group) && is_card_number(&digits) {
                    return true;
                }
            }
            false
        })
    }

    /// As it is written around the world: a plus, and no more than 15 digits.
    fn is_a_phone_number(&self) -> bool {
        self.after_a_plus && self.groups.iter().map(String::len).sum::<usize>() <= PHONE_DIGITS_MAX
    }
}

/// How far apart two groups of one number may stand.
const SEPARATORS_MAX: usize = 3;

fn runs(text: &str) -> Vec<Run> {
    let mut runs = vec![Run::default()];
    // What stands between the last group and here; none where a group has not begun or has not ended.
    let mut between: Vec<char> = Vec::new();
    let (mut last, mut before_last) = (' ', ' ');
    for letter in text.chars().filter(|letter| !is_invisible(*letter)) {
        let run = runs.last_mut().expect("there is always a run");
        match digit(letter) {
            Some(digit) if run.groups.is_empty() || !between.is_empty() => {
                if run.groups.is_empty() {
                    run.after_a_plus = last == '+' && !before_last.is_alphanumeric();
                } else {
                    run.loose |= !matches!(between.as_slice(), [' ' | '-' | '\u{a0}']);
                }
                run.groups.push(digit.to_string());
                between.clear();
            }
            Some(digit) => run.groups.last_mut().expect("it is not empty").push(digit),
            None if is_separator(letter) && between.len() < SEPARATORS_MAX => between.push(letter),
            None => {
                runs.push(Run::default());
                between.clear();
            }
        }
        (last, before_last) = (letter, last);
    }
    runs
}

/// The zeros of scripts whose ten digits follow one another: Latin, fullwidth, Arabic, Persian, Devanagari, Bengali, Thai.
const ZEROS: [char; 7] = [
    '0', '\u{ff10}', '\u{660}', '\u{6f0}', '\u{966}', '\u{9e6}', '\u{e50}',
];

/// The digit that the letter stands for, as ASCII.
fn digit(letter: char) -> Option<char> {
    let letter = u32::from(letter);
    let value = ZEROS
        .iter()
        .filter_map(|zero| letter.checked_sub(u32::from(*zero)))
        .find(|value| *value < 10)?;
    char::from_digit(value, 10)
}

/// What people, forms and programs put between the groups of a number.
fn is_separator(letter: char) -> bool {
    letter.is_whitespace()
        || matches!(
            letter,
            '-' | '.' | '_' | '/' | '+' | '\u{2010}'..='\u{2015}' | '\u{2212}'
        )
}

/// Soft hyphens, joiners, marks of direction: a reader does not see them.
fn is_invisible(letter: char) -> bool {
    matches!(
        letter,
        '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}'
    )
}

/// The text with its `%20` and the like resolved; none where there is nothing to resolve.
fn percent_decoded(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let encoded = (*byte == b'%')
            .then(|| bytes.get(at + 1..at + 3))
            .flatten()
            .and_then(|pair| hex::decode(pair).ok());
        match encoded {
            Some(meant) => {
                decoded.extend(meant);
                at += 3;
            }
            None => {
                decoded.push(*byte);
                at += 1;
            }
        }
    }
    (decoded.len() < bytes.len()).then(|| String::from_utf8_lossy(&decoded).into_owned())
}

fn is_card_number(digits: &str) -> bool {
    (DIGITS_MIN..=DIGITS_MAX).contains(&digits.len()) && is_an_issuers(digits) && luhn_holds(digits)
}

/// Visa; American Express; JCB; Diners; Mastercard; Discover and UnionPay; Maestro: their ranges, each with its lengths.
fn is_an_issuers(digits: &str) -> bool {
    let first = |count: usize| digits[..count].parse::<u32>().unwrap_or(0);
    let lengths = match (first(2), first(4)) {
        (40..=49, _) => return matches!(digits.len(), 13 | 16 | 19),
        (34 | 37, _) => 15..=15,
        (35, _) => 16..=19,
        (36 | 38 | 39, _) | (_, 3000..=3059) => 14..=19,
        (51..=55, _) | (_, 2221..=2720) => 16..=16,
        (60 | 62 | 65, _) => 16..=19,
        (50 | 56..=59 | 61 | 63 | 64 | 66..=69, _) => 13..=19,
        _ => return false,
    };
    lengths.contains(&digits.len())
}

fn luhn_holds(digits: &str) -> bool {
    let sum: u32 = digits
        .bytes()
        .rev()
        .map(|byte| u32::from(byte - b'0'))
        .enumerate()
        .map(|(place, digit)| match digit * 2 {
            _ if place % 2 == 0 => digit,
            doubled if doubled > 9 => doubled - 9,
            doubled => doubled,
        })
        .sum();
    sum.is_multiple_of(10)
}

#[cfg(test)]
mod tests {
    use super::{WITHHELD, holds_card_number, key_holds_card_number, withhold};
    use proptest::prelude::*;
    use serde_json::json;
    use uuid::Uuid;

    proptest! {
        /// Stripe's own clients draw such keys for what they may send again (`stripe-node-retry-…`).
        #[test]
        fn no_uuid_is_a_card_whatever_stands_around_it(
            drawn: u128, digits in "[0-9]{8}-[0-9]{4}-4[0-9]{3}-8[0-9]{3}-[0-9]{12}", before in "[a-z]{0,9}[- ]?",
        ) {
            for uuid in [Uuid::from_u128(drawn).to_string(), digits] {
                let text = format!("{before}{uuid}");
                prop_assert!(!holds_card_number(&text), "{text}");
                prop_assert!(!key_holds_card_number(&text), "{text}");
            }
        }
    }

    #[test]
    fn a_hash_is_a_key_and_a_card_number_is_none() {
        assert!(!key_holds_card_number("a4242424242424242f"));
        for key in [
            "4242424242424242",
            "order 4242-4242-4242-4242",
            "k:4242424242424242",
        ] {
            assert!(key_holds_card_number(key), "{key}");
        }
    }

    #[test]
    fn a_card_number_is_found_however_it_is_written() {
        for text in [
            "4242424242424242",
            "4242 4242 4242 4242",
            "4242-4242-4242-4242",
            "card:4242424242424242;exp 12/30",
            "ref 12 4242424242424242",
            "3782 822463 10005",
            "5555555555554444 thanks",
            "2223003122003222",
            "6011111111111117",
            "4 2 4 2 4 2 4 2 4 2 4 2 4 2 4 2",
            "4242.4242.4242.4242",
            "4242  4242\t4242\n4242",
            "4242 - 4242 - 4242 - 4242",
            "4242+4242+4242+4242",
            "https://shop.example/?card=4242%204242%204242%204242&x=1",
            "%34242424242424242",
            "4242\u{200b}4242\u{ad}4242\u{202e}4242",
            "４２４２４２４２４２４２４２４２",
            "٤٢٤٢ ٤٢٤٢ ٤٢٤٢ ٤٢٤٢",
            "4242\u{2013}4242\u{2013}4242\u{2013}4242",
            "6205500000000000004",
            "+4242424242424242",
        ] {
            assert!(holds_card_number(text), "{text}");
        }
    }

    #[test]
    fn what_is_no_card_number_passes() {
        for text in [
            "",
            "product description",
            "Order112344343",
            "4242424242424241",
            "+44 20 7946 0958",
            "1671261323000",
            "42424242424242424242424242424242",
            "2026-12-24 10:15:00",
            "ORD-20250331-5XZF",
            "44444444-4444-4444-8444-444444444446",
            "4, 2, 4, 2, 4, 2, 4, 2, 4, 2, 4, 2, 4, 2, 4, 2",
            "4242, 4242, 4242, 4242",
            // A German mobile number whose Luhn sum is right.
            "+49 151 2345 6787",
            "tel. +4915123456787",
            // An EAN of Mastercard's range.
            "5449000000996",
            "100 %",
            "%",
            "4242....4242....4242....4242",
        ] {
            assert!(!holds_card_number(text), "{text}");
        }
    }

    /// Adding group to group to the end of the text is quadratic, and does not end before one's patience.
    #[test]
    fn a_megabyte_of_digits_is_looked_through_once() {
        for text in ["1 ", "4243 ", "4-", "4242424242424241 "] {
            let text = text.repeat(1024 * 1024 / text.len());
            assert!(!holds_card_number(&text));
        }
    }

    /// Red where values alone are looked at: a name may hold one too.
    #[test]
    fn what_stripe_says_of_a_card_number_is_withheld_and_its_ids_stay() {
        let mut said = json!({
            "id": "pi_4242424242424242",
            "amount": 4_242_424_242_424_242_i64,
            "description": "card 4242 4242 4242 4242",
            "metadata": {"4242424242424242": "x", "counterfoil_payment": "0194c2a1-4242-7242-8242-424242424242"},
            "charges": [{"statement_descriptor": "4242424242424242"}],
        });
        withhold(&mut said);
        assert_eq!(
            said,
            json!({
                "id": "pi_4242424242424242",
                "amount": 4_242_424_242_424_242_i64,
                "description": WITHHELD,
                "metadata": {WITHHELD: "x", "counterfoil_payment": "0194c2a1-4242-7242-8242-424242424242"},
                "charges": [{"statement_descriptor": WITHHELD}],
            })
        );
    }
}
