//! What is sent in order to be looked for: card numbers that are each used once, so that one that is found tells where it
//! was sent; keys and secrets that stand nowhere else; and every form in which any of them could turn up.

use base64::Engine;
use base64::prelude::BASE64_STANDARD_NO_PAD;

/// Ten digits that begin each kind of number, and its length. The counter and the check digit follow.
const KINDS: [(&str, usize); 3] = [("4918273645", 16), ("3791827364", 15), ("6291827364", 19)];
/// The test card that payments succeed with.
pub const ACCEPTED: &str = "4242424242424242";
/// A verification code that payments succeed with, and one that is long enough to be found by itself.
pub const CVC: &str = "7391";
pub const LONG_CVC: &str = "73918264";

/// One card number, as it is written in one place.
pub struct Canary {
    /// What is sent.
    pub written: String,
    /// Its digits.
    pub digits: String,
}

/// Card numbers without end, each another one, in turn of every kind and in every way to write one.
#[derive(Default)]
pub struct Canaries {
    made: usize,
    /// Where each was sent.
    places: Vec<(String, String)>,
}

impl Canaries {
    /// The next one, for `place`.
    pub fn next(&mut self, place: &str) -> Canary {
        let (prefix, length) = KINDS[self.made % KINDS.len()];
        let room = length - prefix.len() - 1;
        let digits = checked(&format!("{prefix}{:0room$}", self.made));
        let written = match self.made / KINDS.len() % 6 {
            0 | 1 => digits.clone(),
            2 => grouped(&digits, " "),
            3 => grouped(&digits, "-"),
            4 => fullwidth(&digits),
            _ => format!("card {} expires 12/34", grouped(&digits, " ")),
        };
        self.made += 1;
        self.places.push((digits.clone(), place.to_owned()));
        Canary { written, digits }
    }

    /// Where the number was sent that stands in `text` (as far as it can be told from its digits).
    pub fn place(&self, text: &str) -> &str {
        let digits: String = text.chars().filter(char::is_ascii_digit).collect();
        let found = self.places.iter().find(|it| digits.contains(&it.0));
        found.map_or("it is not known where", |it| &it.1)
    }
}

/// With the digit that makes its Luhn sum right.
fn checked(digits: &str) -> String {
    let sum: u32 = digits
        .bytes()
        .rev()
        .enumerate()
        .map(|(place, byte)| match u32::from(byte - b'0') {
            digit if place % 2 == 1 => digit,
            digit if digit > 4 => digit * 2 - 9,
            digit => digit * 2,
        })
        .sum();
    format!("{digits}{}", (10 - sum % 10) % 10)
}

fn grouped(digits: &str, by: &str) -> String {
    let groups = digits.as_bytes().chunks(4);
    let groups: Vec<_> = groups.map(String::from_utf8_lossy).collect();
    groups.join(by)
}

fn fullwidth(digits: &str) -> String {
    let wide = |digit: char| char::from_u32(u32::from(digit) - 0x30 + 0xff10).unwrap();
    digits.chars().map(wide).collect()
}

/// A text that must be found nowhere, in one of its forms.
pub struct Needle {
    /// What it is part of.
    pub what: String,
    pub bytes: Vec<u8>,
}

/// Every form of every card number of ours.
pub fn card_needles() -> Vec<Needle> {
    let starts = KINDS.iter().map(|it| it.0).chain([ACCEPTED]);
    let forms = starts.flat_map(|start| {
        let by = [" ", "-", "+", "%20", "\u{a0}"].map(|by| grouped(start, by));
        let wide = fullwidth(start);
        let escaped: String = start.chars().map(|it| format!("\\uff1{it}")).collect();
        by.into_iter()
            .chain([wide, escaped])
            .map(move |form| Needle {
                what: format!("the card number {start}…"),
                bytes: form.into_bytes(),
            })
    });
    let plain = KINDS.iter().map(|it| it.0).chain([ACCEPTED]);
    forms
        .chain(plain.flat_map(|start| needles("the card number", start)))
        .collect()
}

/// The forms of one secret: as it is, percent-encoded, in base64 (wherever it begins), hex and UTF-16.
pub fn needles(what: &str, secret: &str) -> Vec<Needle> {
    let bytes = secret.as_bytes();
    let mut forms = vec![
        bytes.to_vec(),
        hex::encode(bytes).into_bytes(),
        hex::encode_upper(bytes).into_bytes(),
        secret.encode_utf16().flat_map(u16::to_le_bytes).collect(),
    ];
    for before in 0..3 {
        // Of what stands before and after, the letters at the ends depend.
        let encoded = BASE64_STANDARD_NO_PAD.encode([vec![0; before], bytes.to_vec()].concat());
        let first = (before * 8).div_ceil(6);
        let last = (before + bytes.len()) * 8 / 6;
        forms.push(encoded.as_bytes()[first..last].to_vec());
    }
    let what = format!("{what} {}…", &secret[..secret.len().min(12)]);
    forms
        .into_iter()
        .map(|bytes| Needle {
            what: what.clone(),
            bytes,
        })
        .collect()
}

#[test]
fn every_canary_is_a_card_number_of_its_own_that_the_needles_find() {
    let needles = card_needles();
    let mut canaries = Canaries::default();
    for made in 0..40 {
        let place = made.to_string();
        let canary = canaries.next(&place);
        assert!(
            counterfoil::firewall::holds_card_number(&canary.written),
            "{}",
            canary.written
        );
        let found = needles.iter().any(|it| {
            let written = canary.written.as_bytes();
            written
                .windows(it.bytes.len())
                .any(|window| window == it.bytes)
        });
        assert!(found, "{}", canary.written);
        assert_eq!(canaries.place(&canary.digits), place);
    }
}

#[test]
fn a_secret_is_found_wherever_in_base64_it_begins() {
    let secret = "sk_test_canary";
    for before in 0..6 {
        let text = [vec![b'x'; before], secret.into(), b"yy".to_vec()].concat();
        let encoded = BASE64_STANDARD_NO_PAD.encode(text);
        let found = needles("a key", secret)
            .into_iter()
            .any(|it| encoded.contains(&String::from_utf8_lossy(&it.bytes).into_owned()));
        assert!(found, "{before}");
    }
}
