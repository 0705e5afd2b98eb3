//! Odd input: what the document shows, broken in every way that breaks parsers.

use crate::support::description::{DOCUMENT, resolved};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::Value;
use std::sync::LazyLock;

/// Pieces that parsers have stumbled over.
const PIECES: &[&str] = &[
    "\0",
    "\u{feff}",
    "\u{202e}",
    "\u{200b}",
    "\u{fffd}",
    "é",
    "😀",
    "\r\n",
    "\u{2028}",
    "\\ud800",
    "\\u0000",
    "\\",
    "\"",
    "'",
    "1e999",
    "-0",
    "-0.0",
    "1E400",
    "0.1e-400",
    "99999999999999999999",
    "9223372036854775808",
    "-9223372036854775809",
    "NaN",
    "Infinity",
    "null",
    "true",
    "{}",
    "[]",
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "=",
    "&",
    ";",
    "%",
    "%00",
    "%zz",
    "%25",
    "+",
    "<!DOCTYPE a [<!ENTITY b \"c\">]>",
    "&b;",
    "&#0;",
    "<![CDATA[",
    "]]>",
    "<?xml?>",
    "</a>",
    "<a/>",
    "<",
    "--",
    "/*",
    "$where",
    "a[b][c]=d",
    "a[]=1",
    "a[0]=1",
    "[[]]",
    "a[b=1",
    "{a:b,c:[d]}",
    "\"\"\"",
    "=1+1",
    "@SUM(1)",
    "..",
    "../../etc/passwd",
    "' or 1=1 --",
    "0x10",
    "1_000",
    "١٢٣",
    "4242424242424242",
    "2026-02-30T25:61:61Z",
    "+292278994-08-17T07:12:55Z",
    "application/json;q=1e9",
    "t=1,v1=00",
    "t=,v1=",
    "Bearer ",
    "Basic Og==",
    "req_\u{7f}",
    "page[size]",
    "filter[q][a_eq]",
];

/// What `make fuzz` begins with too.
const FILES: [&str; 14] = [
    include_str!("../../fuzz/seeds/payment_intent.json"),
    include_str!("../../fuzz/seeds/payment_intent.form"),
    include_str!("../../fuzz/seeds/checkout.xml"),
    include_str!("../../fuzz/seeds/checkout.csv"),
    include_str!("../../fuzz/seeds/checkout.jsv"),
    include_str!("../../fuzz/seeds/json_api.query"),
    include_str!("../../fuzz/seeds/ledger.query"),
    include_str!("../../fuzz/seeds/webhook"),
    include_str!("../../fuzz/seeds/refund.json"),
    include_str!("../../fuzz/seeds/dispute.json"),
    include_str!("../../fuzz/seeds/payout.json"),
    include_str!("../../fuzz/seeds/json_api.json"),
    include_str!("../../fuzz/seeds/offer.form"),
    include_str!("../../fuzz/seeds/accept"),
];

/// What the document shows as bodies, and what its formats and queries look like.
static SEEDS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let mut seeds: Vec<Vec<u8>> = FILES.iter().map(|it| it.as_bytes().to_vec()).collect();
    let operations = DOCUMENT["paths"].as_object().unwrap().values();
    let bodies = operations.flat_map(|item| item.as_object().unwrap().values());
    for body in bodies.filter_map(|it| it["requestBody"]["content"].as_object()) {
        for said in body.values() {
            let several = said["examples"].as_object().into_iter().flatten();
            let several = several.map(|(_, it)| &resolved(it)["value"]);
            for example in several
                .chain(said.get("example"))
                .filter(|it| !it.is_string())
            {
                seeds.push(example.to_string().into_bytes());
            }
        }
    }
    seeds
});

/// A text that something is wrong with.
pub fn text() -> impl Strategy<Value = String> {
    let piece = || prop::sample::select(PIECES).prop_map(str::to_owned);
    prop_oneof![
        3 => piece(),
        2 => prop::collection::vec(piece(), 1..6).prop_map(|it| it.concat()),
        2 => any::<String>(),
        1 => "[ -~]{0,40}",
        1 => (piece(), 100_usize..5_000).prop_map(|(it, times)| it.repeat(times)),
    ]
}

/// Any JSON, odd leaves above all.
fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        text().prop_map(Value::from),
    ];
    let names = prop_oneof![
        text(),
        prop::sample::select(
            &[
                "id",
                "amount",
                "currency",
                "data",
                "metadata",
                "type",
                "attributes",
                "object",
                "status"
            ][..]
        )
        .prop_map(str::to_owned),
    ];
    leaf.prop_recursive(6, 40, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((names.clone(), inner), 0..6)
                .prop_map(|it| it.into_iter().collect()),
        ]
    })
}

/// How a seed is broken.
#[derive(Clone, Debug)]
enum Break {
    Insert(usize, String),
    Cut(usize, usize),
    Repeat(usize, usize, usize),
    Flip(usize, u8),
    Nest(usize, &'static str, usize),
}

fn broken() -> impl Strategy<Value = Break> {
    prop_oneof![
        4 => (any::<usize>(), text()).prop_map(|(at, it)| Break::Insert(at, it)),
        2 => (any::<usize>(), 0_usize..40).prop_map(|(at, length)| Break::Cut(at, length)),
        2 => (any::<usize>(), 1_usize..60, 2_usize..40).prop_map(|(at, length, times)| Break::Repeat(at, length, times)),
        2 => (any::<usize>(), any::<u8>()).prop_map(|(at, byte)| Break::Flip(at, byte)),
        1 => (any::<usize>(), prop::sample::select(&["[", "{\"a\":", "<a>", "{a:", "a[b]"][..]), 1_usize..2_000)
            .prop_map(|(at, it, times)| Break::Nest(at, it, times)),
    ]
}

fn apply(bytes: &mut Vec<u8>, it: &Break) {
    let place = |at: usize| at % (bytes.len() + 1);
    match it {
        Break::Insert(at, text) => drop(bytes.splice(place(*at)..place(*at), text.bytes())),
        Break::Cut(at, length) => {
            let from = place(*at);
            let to = (from + length).min(bytes.len());
            bytes.drain(from..to);
        }
        Break::Repeat(at, length, times) => {
            let from = place(*at);
            let to = (from + length).min(bytes.len());
            let repeated = bytes[from..to].repeat(*times);
            bytes.splice(from..from, repeated);
        }
        Break::Flip(at, byte) => {
            let at = place(*at);
            if let Some(there) = bytes.get_mut(at) {
                *there = *byte;
            }
        }
        Break::Nest(at, text, times) => {
            let at = place(*at);
            bytes.splice(at..at, text.repeat(*times).into_bytes());
        }
    }
}

/// A body, a query, a header: something that is there, broken; or something that never was.
pub fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let seeds = prop::sample::select(SEEDS.as_slice());
    let of_seed = (seeds, prop::collection::vec(broken(), 0..4)).prop_map(|(mut bytes, breaks)| {
        for it in &breaks {
            apply(&mut bytes, it);
        }
        bytes
    });
    prop_oneof![
        6 => of_seed,
        2 => json().prop_map(|it| it.to_string().into_bytes()),
        1 => text().prop_map(String::into_bytes),
        1 => prop::collection::vec(any::<u8>(), 0..200),
    ]
}

/// Runs `cases` (times `FUZZ_TIMES`) from `FUZZ_SEED`: the same again for the same seed.
pub fn runner(cases: u32) -> TestRunner {
    let number = |name: &str, usual: u32| {
        std::env::var(name).map_or(usual, |it| it.parse().expect("a number"))
    };
    let mut seed = [0; 32];
    seed[..4].copy_from_slice(&number("FUZZ_SEED", 5).to_le_bytes());
    let config = Config {
        cases: cases * number("FUZZ_TIMES", 1),
        failure_persistence: None,
        max_shrink_iters: 200,
        ..Config::default()
    };
    TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &seed))
}
