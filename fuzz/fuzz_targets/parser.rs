//! Any bytes at all to the parser that `PARSER` names, or to all of them.
#![no_main]

use counterfoil::parsers::{PARSERS, Parser};
use libfuzzer_sys::fuzz_target;
use std::sync::OnceLock;

static CHOSEN: OnceLock<Vec<Parser>> = OnceLock::new();

fn choose() {
    let wanted = std::env::var("PARSER").unwrap_or_default();
    let chosen = PARSERS.iter().filter(|it| wanted.is_empty() || it.0 == wanted);
    let chosen: Vec<Parser> = chosen.map(|it| it.1).collect();
    let names: Vec<&str> = PARSERS.iter().map(|it| it.0).collect();
    assert!(!chosen.is_empty(), "PARSER is one of: {}", names.join(", "));
    CHOSEN.set(chosen).expect("chosen once");
}

fuzz_target!(init: choose(), |bytes: &[u8]| {
    for parse in CHOSEN.get().expect("chosen before") {
        parse(bytes);
    }
});
