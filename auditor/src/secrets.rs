//! Card numbers and secrets in text or bytes (I11). What is found is never shown: only what it is, and where.

use std::fmt;

/// The lengths of card numbers, in digits.
const DIGITS_MIN: usize = 13;
const DIGITS_MAX: usize = 19;

/// How much of a text has to be seen at once, so that nothing is cut in two: the longest thing that is looked for.
pub(crate) const OVERLAP: usize = 512;

/// A text that must be found nowhere.
#[derive(Clone, PartialEq, Eq)]
pub struct Canary(String);

impl Canary {
    /// None for a text of fewer than 6 bytes, which would be found everywhere, or one that is too long to be looked for.
    pub fn new(text: &str) -> Option<Self> {
        let text = text.trim();
        (6..OVERLAP)
            .contains(&text.len())
            .then(|| Self(text.to_owned()))
    }

    pub(crate) fn text(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Canary {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("Canary(…)")
    }
}

/// What was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs, reason = "their names say it")]
pub enum Finding {
    CardNumber,
    SecretKey,
    WebhookSecret,
    ClientSecret,
    /// The canary of this number, from 1.
    Canary(usize),
}

impl fmt::Display for Finding {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CardNumber => to.write_str("a card number"),
            Self::SecretKey => to.write_str("a secret key"),
            Self::WebhookSecret => to.write_str("a webhook's signing secret"),
            Self::ClientSecret => to.write_str("a client secret"),
            Self::Canary(number) => write!(to, "canary {number}"),
        }
    }
}

/// All that is found, with where each begins.
pub(crate) fn search(bytes: &[u8], canaries: &[Canary]) -> Vec<(Finding, usize)> {
    let mut found = Vec::new();
    cards(bytes, &mut found);
    for prefix in ["sk_live_", "rk_live_"] {
        prefixed(bytes, prefix, 8, Finding::SecretKey, &mut found);
    }
    // Short ones are names in examples; Stripe's own are long.
    for prefix in ["sk_test_", "rk_test_"] {
        prefixed(bytes, prefix, 24, Finding::SecretKey, &mut found);
    }
    prefixed(bytes, "whsec_", 8, Finding::WebhookSecret, &mut found);
    client_secrets(bytes, &mut found);
    for (index, canary) in canaries.iter().enumerate() {
        let all = occurrences(bytes, canary.text().as_bytes());
        found.extend(all.map(|at| (Finding::Canary(index + 1), at)));
    }
    found
}

fn occurrences<'a>(bytes: &'a [u8], what: &'a [u8]) -> impl Iterator<Item = usize> + 'a {
    let first = what.first().copied();
    let begins = bytes.iter().enumerate();
    begins
        .filter(move |(at, byte)| Some(**byte) == first && bytes[*at..].starts_with(what))
        .map(|(at, _)| at)
}

fn prefixed(
    bytes: &[u8],
    prefix: &str,
    letters_min: usize,
    as_what: Finding,
    found: &mut Vec<(Finding, usize)>,
) {
    for at in occurrences(bytes, prefix.as_bytes()) {
        let rest = &bytes[at + prefix.len()..];
        if letters(rest) >= letters_min {
            found.push((as_what, at));
        }
    }
}

fn letters(bytes: &[u8]) -> usize {
    bytes
        .iter()
        .take_while(|it| it.is_ascii_alphanumeric())
        .count()
}

/// `pi_…_secret_…` and its like: an object's id, the word, and what opens it.
fn client_secrets(bytes: &[u8], found: &mut Vec<(Finding, usize)>) {
    const MARK: &[u8] = b"_secret_";
    const OBJECTS: [&[u8]; 5] = [b"pi_", b"seti_", b"cs_", b"src_", b"ek_"];
    for at in occurrences(bytes, MARK) {
        let before = bytes[..at].iter().rev();
        let length = before
            .take_while(|it| it.is_ascii_alphanumeric() || **it == b'_')
            .count();
        let id = &bytes[at - length..at];
        let of_object = OBJECTS
            .iter()
            .any(|it| id.starts_with(it) && id.len() > it.len());
        if of_object && letters(&bytes[at + MARK.len()..]) >= 4 {
            found.push((Finding::ClientSecret, at - length));
        }
    }
}

/// A word of digits, or groups of digits as cards have them printed, in an issuer's range, of a card's length, with the right check
/// digit. Words with letters in them are ids; UUIDs and what a member's name says to be an amount or a time are passed over.
fn cards(bytes: &[u8], found: &mut Vec<(Finding, usize)>) {
    let mut at = 0;
    while at < bytes.len() {
        if !bytes[at].is_ascii_digit() {
            at += 1;
            continue;
        }
        let groups = groups(bytes, at);
        let end = groups.last().map_or(at + 1, |(_, end)| *end);
        let word = !touches_word(bytes, at, end) && !in_uuid(bytes, at, end);
        if word && !is_quantity(bytes, at) {
            found.extend(card_of(bytes, &groups).map(|at| (Finding::CardNumber, at)));
        }
        at = end;
    }
}

/// Groups of digits from here on, one space or dash between them.
fn groups(bytes: &[u8], from: usize) -> Vec<(usize, usize)> {
    let digits = |from: usize| {
        let count = bytes[from..].iter().take_while(|it| it.is_ascii_digit());
        from + count.count()
    };
    let mut groups = vec![(from, digits(from))];
    while let Some((_, end)) = groups.last().copied() {
        let separated = matches!(bytes.get(end), Some(b' ' | b'-'));
        let goes_on = bytes.get(end + 1).is_some_and(u8::is_ascii_digit);
        if !separated || !goes_on {
            break;
        }
        groups.push((end + 1, digits(end + 1)));
    }
    groups
}

fn touches_word(bytes: &[u8], start: usize, end: usize) -> bool {
    let word = |it: &u8| it.is_ascii_alphanumeric() || matches!(it, b'_' | b'.');
    let before = start.checked_sub(1).and_then(|at| bytes.get(at));
    before.is_some_and(word)
        || bytes
            .get(end)
            .is_some_and(|it| it.is_ascii_alphanumeric() || *it == b'_')
}

/// Whether the digits are within something of the shape of a UUID: 8-4-4-4-12 hexadecimal digits.
fn in_uuid(bytes: &[u8], start: usize, end: usize) -> bool {
    let hex = |it: &u8| it.is_ascii_hexdigit() || *it == b'-';
    let before = bytes[..start]
        .iter()
        .rev()
        .take(36)
        .take_while(|it| hex(it));
    let after = bytes[end..].iter().take(36).take_while(|it| hex(it));
    let all = &bytes[start - before.count()..end + after.count()];
    let is_uuid = |it: &[u8]| {
        it.iter().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
    };
    all.windows(36).any(is_uuid)
}

/// Whether a JSON member's name before the digits says that they are an amount, a time or a place in an order.
fn is_quantity(bytes: &[u8], start: usize) -> bool {
    let mut before = bytes[..start].iter().rev().skip_while(|it| **it == b' ');
    if before.next() != Some(&b':') || before.next() != Some(&b'"') {
        return false;
    }
    let name: Vec<u8> = before
        .take(40)
        .take_while(|it| **it != b'"')
        .copied()
        .collect();
    let name: Vec<u8> = name.into_iter().rev().collect();
    const ENDS: [&[u8]; 6] = [
        b"minor",
        b"amount",
        b"created",
        b"_at",
        b"position",
        b"version",
    ];
    ENDS.iter().any(|it| name.ends_with(it))
}

/// Where the first card number among the groups begins.
fn card_of(bytes: &[u8], groups: &[(usize, usize)]) -> Option<usize> {
    let is_card = |first: usize, count: usize| {
        let of = &groups[first..=first + count];
        let digits: Vec<u8> = of
            .iter()
            .flat_map(|(start, end)| &bytes[*start..*end])
            .map(|it| it - b'0')
            .collect();
        // Printed in groups, the first has four, and none has more than six.
        let lengths: Vec<usize> = of.iter().map(|(start, end)| end - start).collect();
        let printed = lengths.len() == 1
            || (lengths[0] == 4 && lengths.iter().all(|it| (2..=6).contains(it)));
        printed && is_card_number(&digits)
    };
    let starts = 0..groups.len();
    starts
        .flat_map(|first| (0..groups.len() - first).map(move |count| (first, count)))
        .find(|(first, count)| is_card(*first, *count))
        .map(|(first, _)| groups[first].0)
}

fn is_card_number(digits: &[u8]) -> bool {
    (DIGITS_MIN..=DIGITS_MAX).contains(&digits.len()) && of_issuer(digits) && checks_out(digits)
}

/// Visa, Mastercard, American Express, Diners, Discover, JCB, UnionPay, Maestro.
fn of_issuer(digits: &[u8]) -> bool {
    let first = |count: usize| {
        let digits = digits[..count].iter();
        digits.fold(0_u32, |sum, it| sum * 10 + u32::from(*it))
    };
    first(1) == 4
        || matches!(first(2), 34..=39 | 50..=69)
        || matches!(first(3), 300..=305)
        || matches!(first(4), 2221..=2720)
}

fn checks_out(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, digit)| match (place % 2, u32::from(*digit) * 2) {
            (0, _) => u32::from(*digit),
            (_, doubled) if doubled > 9 => doubled - 9,
            (_, doubled) => doubled,
        })
        .sum();
    sum.is_multiple_of(10)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<Finding> {
        let found = search(text.as_bytes(), &[]);
        found.into_iter().map(|(what, _)| what).collect()
    }

    #[test]
    fn a_card_number_is_found_wherever_it_is_a_word() {
        for text in [
            "4242424242424242",
            r#"{"number":"4242424242424242"}"#,
            r#"{"number":4242424242424242}"#,
            "card 4242 4242 4242 4242 exp 12/34",
            "4242-4242-4242-4242",
            "3782 822463 10005",
            "order 12 4242424242424242",
        ] {
            assert_eq!(found(text), [Finding::CardNumber], "{text}");
        }
    }

    #[test]
    fn ids_amounts_and_times_are_no_card_numbers() {
        for text in [
            "4242424242424241",
            "pi_4242424242424242",
            "ch_3R84242424242424242",
            r#"{"minor":4242424242424242,"currency":"jpy"}"#,
            r#"{"created":4242424242424242}"#,
            "42424242-4242-4242-4242-424242424242",
            "2026-11-21 10:55:12.424242",
            "0.4242424242424242",
            "deadbeef4242424242424242",
        ] {
            assert_eq!(found(text), [], "{text}");
        }
    }

    #[test]
    fn secrets_are_found_by_what_they_begin_with() {
        assert_eq!(found("key=sk_live_51H8abcdEFGH"), [Finding::SecretKey]);
        assert_eq!(found("whsec_0123456789abcdef"), [Finding::WebhookSecret]);
        assert_eq!(
            found(r#""pi_1234XXX_secret_5678YYY""#),
            [Finding::ClientSecret]
        );
        for text in ["sk_test_acme", "whsec_", "client_secret_basic", "_secret_"] {
            assert_eq!(found(text), [], "{text}");
        }
    }

    #[test]
    fn a_canary_is_found_in_any_bytes_and_never_shown() {
        let canary = Canary::new("xyzzy-417").unwrap();
        assert_eq!(format!("{canary:?}"), "Canary(…)");
        let bytes = [&[0, 255, 7][..], b"xyzzy-417", &[0]].concat();
        assert_eq!(search(&bytes, &[canary]), [(Finding::Canary(1), 3)]);
        assert_eq!(Canary::new("417"), None);
    }
}
