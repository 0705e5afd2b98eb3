//! Calls drawn at random: mostly sensible, often illegal, always repeatable.

use crate::side::{Call, Side, Who};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, RngCore};
use reqwest::Method;

/// Cards that are approved, declined, or ask for 3-D Secure. None that does something later by itself.
const METHODS: &[&str] = &[
    "pm_card_visa",
    "pm_card_visa",
    "pm_card_visa",
    "pm_card_mastercard",
    "pm_card_amex",
    "pm_card_chargeDeclined",
    "pm_card_chargeDeclinedInsufficientFunds",
    "pm_card_chargeDeclinedExpiredCard",
    "pm_card_threeDSecure2Required",
    "!pm_nowhere",
];
const NUMBERS: &[&str] = &[
    "4242424242424242",
    "5555555555554444",
    "4000000000000002",
    "4000000000009995",
    "!4242424242424241",
    "!42",
];
const AMOUNTS: &[&str] = &[
    "500",
    "1000",
    "2000",
    "2000",
    "99999999",
    "!100000000",
    "!49",
    "!1",
    "!0",
    "!-5",
    "!ten",
    "!10.5",
    "!",
];
const CURRENCIES: &[&str] = &[
    "usd", "usd", "usd", "eur", "sek", "USD", "!jpy", "!kwd", "!xyz", "!", "!us",
];
const REASONS: &[&str] = &[
    "duplicate",
    "fraudulent",
    "requested_by_customer",
    "!abandoned",
    "!bored",
];
const EXPANDED: &[&str] = &[
    "latest_charge",
    "latest_charge.balance_transaction",
    "customer",
    "payment_method",
    "!amount",
    "!nothing",
];

/// The next call; it refers to what the side has already spoken of. Each sequence has keys of its own.
pub fn call(rng: &mut StdRng, side: &Side, sequence: u64) -> Call {
    // There is nothing to be done to an intent before there is one.
    let kind = match side.count("pi") {
        0 => 0,
        _ => rng.random_range(0..100),
    };
    let mut drawn = match kind {
        0..22 => create_intent(rng, side),
        22..30 => update_intent(rng, side),
        30..41 => confirm(rng, side),
        41..50 => capture(rng, side),
        50..56 => cancel(rng, side),
        56..67 => refund(rng, side),
        67..71 => change_refund(rng, side),
        71..80 => methods(rng, side),
        80..87 => customers(rng, side),
        87..91 => sessions(rng, side),
        91..98 => read(rng, side),
        _ => nonsense(rng),
    };
    if rng.random_bool(0.02) {
        drawn = drawn.with("colour", "red");
    }
    if drawn.method == Method::POST && rng.random_bool(0.25) {
        // Few keys, so that some come again: with the same parameters, or with others.
        let many = if rng.random_bool(0.5) { 4 } else { 1_000 };
        drawn.key = Some(format!("key-{sequence}-{}", rng.random_range(0..many)));
    }
    if rng.random_bool(0.02) {
        drawn.who = *pick(rng, &[Who::Stranger, Who::Nobody]);
    }
    drawn
}

fn pick<'a, T>(rng: &mut StdRng, from: &'a [T]) -> &'a T {
    from.choose(rng).expect("there is something to pick")
}

/// An object that was spoken of, the newest ones first; now and then one that there is not.
fn some(rng: &mut StdRng, side: &Side, prefix: &str) -> String {
    let count = side.count(prefix);
    if count == 0 || rng.random_bool(0.03) {
        return format!("{prefix}_nowhere");
    }
    let back = rng.random_range(0..count.min(4));
    format!("{{{prefix}:{}}}", count - 1 - back)
}

/// One of the values. Those after an exclamation mark are wrong ones, and come up seldom.
fn value<'a>(rng: &mut StdRng, from: &[&'a str]) -> &'a str {
    let wrong = rng.random_ratio(4, 100);
    let fitting: Vec<&str> = from
        .iter()
        .filter(|it| it.starts_with('!') == wrong)
        .copied()
        .collect();
    let drawn = fitting.choose(rng).unwrap_or(&from[0]);
    drawn.trim_start_matches('!')
}

/// Adds a parameter in so many of a hundred calls.
fn maybe(rng: &mut StdRng, percent: u32, call: Call, name: &str, from: &[&str]) -> Call {
    if rng.random_ratio(percent, 100) {
        let value = value(rng, from);
        return call.with(name, value);
    }
    call
}

fn describe(rng: &mut StdRng, mut call: Call) -> Call {
    call = maybe(rng, 20, call, "description", &["Two tickets", "Ö & co", ""]);
    call = maybe(rng, 20, call, "metadata[cart]", &["17", "18", ""]);
    call = maybe(rng, 8, call, "metadata[note]", &["a", "", "b"]);
    if rng.random_ratio(1, 100) {
        let key = "k".repeat(41);
        call = call.with(&format!("metadata[{key}]"), "v");
    }
    if rng.random_ratio(1, 100) {
        call = call.with("metadata[long]", "v".repeat(501));
    }
    call = maybe(rng, 2, call, "metadata", &[""]);
    call
}

fn expand(rng: &mut StdRng, call: Call) -> Call {
    maybe(rng, 15, call, "expand[]", EXPANDED)
}

fn card(rng: &mut StdRng, call: Call, prefix: &str) -> Call {
    let name = |member: &str| match prefix {
        "" => member.to_owned(),
        _ => {
            let (first, rest) = member
                .split_once('[')
                .map_or((member, String::new()), |(a, b)| (a, format!("[{b}")));
            format!("{prefix}[{first}]{rest}")
        }
    };
    let call = call
        .with(&name("type"), "card")
        .with(&name("card[number]"), value(rng, NUMBERS))
        .with(
            &name("card[exp_month]"),
            value(rng, &["12", "12", "12", "!13"]),
        )
        .with(
            &name("card[exp_year]"),
            value(rng, &["2040", "2040", "40", "!2001"]),
        );
    maybe(rng, 80, call, &name("card[cvc]"), &["123", "!12"])
}

fn method(rng: &mut StdRng, side: &Side, call: Call) -> Call {
    match rng.random_range(0..10) {
        0..6 => call.with("payment_method", value(rng, METHODS)),
        6..8 => {
            let id = some(rng, side, "pm");
            call.with("payment_method", id)
        }
        _ => card(rng, call, "payment_method_data"),
    }
}

fn create_intent(rng: &mut StdRng, side: &Side) -> Call {
    let mut call = Call::post("/v1/payment_intents");
    call = maybe(rng, 97, call, "amount", AMOUNTS);
    call = maybe(rng, 97, call, "currency", CURRENCIES);
    call = describe(rng, call);
    call = maybe(
        rng,
        80,
        call,
        "payment_method_types[]",
        &["card", "card", "card", "!carrot"],
    );
    call = maybe(
        rng,
        35,
        call,
        "capture_method",
        &["manual", "manual", "automatic", "!never"],
    );
    let confirms = rng.random_bool(0.5);
    if confirms {
        call = call.with("confirm", "true");
    }
    if rng.random_bool(if confirms { 0.95 } else { 0.3 }) {
        call = method(rng, side, call);
    }
    let percent = if confirms { 40 } else { 4 };
    call = maybe(
        rng,
        percent,
        call,
        "return_url",
        &["https://shop.example/back", "!nowhere", "!javascript:x"],
    );
    call = maybe(rng, 4, call, "off_session", &["true", "false"]);
    call = maybe(
        rng,
        10,
        call,
        "receipt_email",
        &["payer@example.com", "!nobody"],
    );
    call = maybe(
        rng,
        5,
        call,
        "setup_future_usage",
        &["off_session", "!some_day"],
    );
    call = maybe(
        rng,
        5,
        call,
        "statement_descriptor",
        &["TICKETS", "!FAR TOO LONG FOR A STATEMENT"],
    );
    if rng.random_ratio(5, 100) {
        call = call.with("shipping[address][line1]", "Street 1");
        call = maybe(rng, 80, call, "shipping[name]", &["Ada"]);
    }
    if rng.random_ratio(15, 100) {
        let id = some(rng, side, "cus");
        call = call.with("customer", id);
    }
    expand(rng, call)
}

fn update_intent(rng: &mut StdRng, side: &Side) -> Call {
    let mut call = Call::post(format!("/v1/payment_intents/{}", some(rng, side, "pi")));
    call = maybe(rng, 40, call, "amount", AMOUNTS);
    // Not `currency`: here a payment has one for its life, since its ledger is kept in it; see `KNOWN`.
    call = maybe(
        rng,
        10,
        call,
        "receipt_email",
        &["payer@example.com", "!nobody", ""],
    );
    call = maybe(rng, 5, call, "capture_method", &["manual", "automatic"]);
    if rng.random_bool(0.35) {
        call = method(rng, side, call);
    }
    call = describe(rng, call);
    expand(rng, call)
}

fn confirm(rng: &mut StdRng, side: &Side) -> Call {
    let mut call = Call::post(format!(
        "/v1/payment_intents/{}/confirm",
        some(rng, side, "pi")
    ));
    if rng.random_bool(0.6) {
        call = method(rng, side, call);
    }
    call = maybe(
        rng,
        30,
        call,
        "return_url",
        &["https://shop.example/back", "!nowhere"],
    );
    call = maybe(rng, 5, call, "off_session", &["true"]);
    expand(rng, call)
}

fn capture(rng: &mut StdRng, side: &Side) -> Call {
    let call = Call::post(format!(
        "/v1/payment_intents/{}/capture",
        some(rng, side, "pi")
    ));
    let call = maybe(
        rng,
        60,
        call,
        "amount_to_capture",
        &["100", "500", "1999", "2000", "!3000", "!0", "!x"],
    );
    let call = maybe(rng, 10, call, "metadata[parcel]", &["1", ""]);
    expand(rng, call)
}

fn cancel(rng: &mut StdRng, side: &Side) -> Call {
    let call = Call::post(format!(
        "/v1/payment_intents/{}/cancel",
        some(rng, side, "pi")
    ));
    let call = maybe(rng, 50, call, "cancellation_reason", REASONS);
    expand(rng, call)
}

fn refund(rng: &mut StdRng, side: &Side) -> Call {
    let call = Call::post("/v1/refunds");
    let call = match rng.random_range(0..20) {
        0 => call,
        1..6 => {
            let id = some(rng, side, "ch");
            call.with("charge", id)
        }
        _ => {
            let id = some(rng, side, "pi");
            call.with("payment_intent", id)
        }
    };
    let call = maybe(
        rng,
        75,
        call,
        "amount",
        &["100", "100", "300", "2000", "!2001", "!0", "!-1", "!x"],
    );
    let call = maybe(rng, 25, call, "reason", REASONS);
    let call = maybe(rng, 15, call, "metadata[ticket]", &["1", "2"]);
    maybe(
        rng,
        10,
        call,
        "expand[]",
        &["charge", "payment_intent", "!nothing"],
    )
}

fn change_refund(rng: &mut StdRng, side: &Side) -> Call {
    let id = some(rng, side, "re");
    match rng.random_range(0..3) {
        0 => Call::post(format!("/v1/refunds/{id}/cancel")),
        1 => Call::post(format!("/v1/refunds/{id}")).with("metadata[by]", "me"),
        _ => Call::get(format!("/v1/refunds/{id}")),
    }
}

fn methods(rng: &mut StdRng, side: &Side) -> Call {
    let id = some(rng, side, "pm");
    let customer = some(rng, side, "cus");
    match rng.random_range(0..10) {
        0..3 => {
            let call = card(rng, Call::post("/v1/payment_methods"), "");
            maybe(
                rng,
                30,
                call,
                "billing_details[email]",
                &["a@example.com", "!nobody"],
            )
        }
        3..5 => Call::post(format!("/v1/payment_methods/{id}/attach")).with("customer", customer),
        5 => Call::post(format!("/v1/payment_methods/{id}/detach")),
        6 => {
            let call = Call::post(format!("/v1/payment_methods/{id}"));
            let call = maybe(rng, 50, call, "card[exp_year]", &["2041", "!2001"]);
            describe_method(rng, call)
        }
        7 => Call::get(format!("/v1/customers/{customer}/payment_methods")),
        8 => Call::get("/v1/payment_methods").with("customer", customer),
        _ => Call::get(format!("/v1/payment_methods/{id}")),
    }
}

fn describe_method(rng: &mut StdRng, call: Call) -> Call {
    let call = maybe(rng, 50, call, "billing_details[name]", &["Ada", ""]);
    maybe(rng, 50, call, "metadata[a]", &["1", ""])
}

fn customers(rng: &mut StdRng, side: &Side) -> Call {
    let id = some(rng, side, "cus");
    match rng.random_range(0..10) {
        0..5 => {
            let call = Call::post("/v1/customers");
            let call = maybe(rng, 60, call, "name", &["Ada", "Grace"]);
            let call = maybe(rng, 60, call, "email", &["ada@example.com", "!nobody"]);
            let call = maybe(rng, 20, call, "payment_method", METHODS);
            describe(rng, call)
        }
        5..7 => {
            let call = Call::post(format!("/v1/customers/{id}"));
            let call = maybe(rng, 60, call, "name", &["Ada", ""]);
            describe(rng, call)
        }
        7 => Call::new(Method::DELETE, format!("/v1/customers/{id}")),
        _ => Call::get(format!("/v1/customers/{id}")),
    }
}

fn sessions(rng: &mut StdRng, side: &Side) -> Call {
    let id = some(rng, side, "cs");
    match rng.random_range(0..6) {
        0..3 => {
            let call = Call::post("/v1/checkout/sessions").with("mode", "payment");
            let call = maybe(
                rng,
                90,
                call,
                "success_url",
                &["https://shop.example/thanks", "!nowhere"],
            );
            let item = "line_items[0]";
            let price = format!("{item}[price_data]");
            maybe(
                rng,
                95,
                call,
                &format!("{item}[quantity]"),
                &["1", "2", "!0"],
            )
            .with(&format!("{price}[currency]"), "usd")
            .with(
                &format!("{price}[unit_amount]"),
                value(rng, &["700", "!10", "!-1"]),
            )
            .with(&format!("{price}[product_data][name]"), "Ticket")
        }
        3 => Call::post(format!("/v1/checkout/sessions/{id}/expire")),
        4 => Call::get(format!("/v1/checkout/sessions/{id}/line_items")),
        _ => Call::get(format!("/v1/checkout/sessions/{id}")),
    }
}

fn read(rng: &mut StdRng, side: &Side) -> Call {
    let (intent, charge) = (some(rng, side, "pi"), some(rng, side, "ch"));
    match rng.random_range(0..10) {
        0..3 => expand(rng, Call::get(format!("/v1/payment_intents/{intent}"))),
        3 => Call::get(format!("/v1/charges/{charge}")),
        4 => describe(rng, Call::post(format!("/v1/charges/{charge}"))),
        5 => Call::get("/v1/refunds").with("payment_intent", intent),
        6 => Call::get("/v1/charges").with("payment_intent", intent),
        7 => {
            let call = Call::get("/v1/payment_intents");
            let call = maybe(rng, 100, call, "limit", &["1", "3", "!0", "!101", "!x"]);
            maybe(
                rng,
                30,
                call,
                "expand[]",
                &["data.latest_charge", "!data.nothing"],
            )
        }
        8 => Call::get("/v1/payment_intents")
            .with("limit", "2")
            .with("starting_after", intent),
        _ => Call::get("/v1/balance"),
    }
}

fn nonsense(rng: &mut StdRng) -> Call {
    match rng.next_u32() % 4 {
        0 => Call::get("/v1/nothing"),
        1 => Call::post("/v1/payment_intents/pi_nowhere/explode"),
        2 => Call::new(Method::DELETE, "/v1/payment_intents/pi_nowhere"),
        _ => Call::get("/v1/disputes/dp_nowhere"),
    }
}
