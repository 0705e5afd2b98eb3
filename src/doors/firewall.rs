//! The card-number firewall: text that is kept must not hold a card number, whatever field somebody pasted it into.
//!
//! What counts is an issuer's range, a length and the Luhn sum, so that phone numbers and dates pass. Ids and amounts
//! are not looked at: one long id in ten has a Luhn sum that is right by chance.

/// The lengths of card numbers, in digits.
const DIGITS_MIN: usize = 13;
const DIGITS_MAX: usize = 19;

/// Whether the text holds what looks like a card number, in one piece or in groups with single spaces or dashes.
pub fn holds_card_number(text: &str) -> bool {
    runs(text).iter().any(|groups| {
        (0..groups.len()).any(|first| {
            let mut digits = String::new();
            groups[first..].iter().any(|group| {
                digits.push_str(group);
                is_card_number(&digits)
            })
        })
    })
}

/// Groups of digits, those together that only a single space or dash separates.
fn runs(text: &str) -> Vec<Vec<String>> {
    let mut runs = vec![vec![String::new()]];
    let mut separated = false;
    for letter in text.chars() {
        let run = runs.last_mut().expect("there is always a run");
        let begun = run.last().is_some_and(|group| !group.is_empty());
        match letter {
            '0'..='9' => {
                let group = run.last_mut().expect("a run always has a group");
                group.push(letter);
                separated = false;
            }
            ' ' | '-' | '\u{a0}' if begun && !separated => {
                run.push(String::new());
                separated = true;
            }
            _ => {
                runs.push(vec![String::new()]);
                separated = false;
            }
        }
    }
    runs
}

fn is_card_number(digits: &str) -> bool {
    (DIGITS_MIN..=DIGITS_MAX).contains(&digits.len())
        && in_an_issuers_range(digits)
        && luhn_holds(digits)
}

/// Visa, Mastercard, American Express, Diners, Discover, JCB, UnionPay, Maestro.
fn in_an_issuers_range(digits: &str) -> bool {
    let first = |count: usize| digits[..count].parse::<u32>().unwrap_or(0);
    matches!(first(1), 4)
        || matches!(first(2), 34 | 35 | 36 | 37 | 38 | 39 | 50..=69)
        || matches!(first(4), 2221..=2720)
        || matches!(first(3), 300..=305)
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
    use super::holds_card_number;

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
        ] {
            assert!(!holds_card_number(text), "{text}");
        }
    }
}
