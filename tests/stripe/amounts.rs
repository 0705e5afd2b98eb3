//! What an amount may be: at the smallest and at the largest of every currency, and one step beyond.

use crate::{Client, Form, everything_at_stripe, path_of, pause_webhooks, row, text, world};

/// The largest amount, in minor units of any currency.
const MAXIMUM: i64 = 99_999_999;

/// Smallest charges that Stripe names, in minor units.
#[rustfmt::skip]
const MINIMA: [(&str, i64); 24] = [
    ("usd", 50), ("aud", 50), ("brl", 50), ("cad", 50), ("chf", 50), ("eur", 50), ("inr", 50), ("nzd", 50), ("sgd", 50),
    ("gbp", 30), ("bgn", 100), ("aed", 200), ("myr", 200), ("pln", 200), ("ron", 200), ("dkk", 250), ("nok", 300),
    ("sek", 300), ("hkd", 400), ("mxn", 1_000), ("thb", 1_000), ("czk", 1_500), ("jpy", 50), ("huf", 17_500),
];

/// Currencies whose amounts are multiples of more than one minor unit, or are written without decimals; none has a minimum.
#[rustfmt::skip]
const STEPS: [(&str, i64); 22] = [
    ("bif", 1), ("clp", 1), ("djf", 1), ("gnf", 1), ("kmf", 1), ("krw", 1), ("mga", 1), ("pyg", 1), ("rwf", 1), ("vnd", 1),
    ("vuv", 1), ("xaf", 1), ("xof", 1), ("xpf", 1), ("zar", 1),
    ("bhd", 10), ("jod", 10), ("kwd", 10), ("omr", 10), ("tnd", 10), ("isk", 100), ("ugx", 100),
];

const SMALL: &str = "amount_too_small";
const LARGE: &str = "amount_too_large";
const INTEGER: &str = "parameter_invalid_integer";

/// The smallest and the largest amount of every currency of the two tables.
fn limits() -> Vec<(i64, &'static str)> {
    let from_minima = MINIMA
        .iter()
        .flat_map(|(currency, least)| [(*least, *currency), (MAXIMUM, *currency)]);
    let from_steps = STEPS
        .iter()
        .flat_map(|(currency, step)| [(*step, *currency), (MAXIMUM - MAXIMUM % step, *currency)]);
    from_minima.chain(from_steps).collect()
}

/// The nearest amounts beyond the limits, and what is said of them.
fn beyond() -> Vec<(i64, &'static str, &'static str)> {
    let from_minima = MINIMA.iter().flat_map(|(currency, least)| {
        [
            (least - 1, *currency, SMALL),
            (MAXIMUM + 1, *currency, LARGE),
        ]
    });
    let from_steps = STEPS.iter().flat_map(|(currency, step)| {
        [
            (0, *currency, INTEGER),
            (MAXIMUM + 1, *currency, LARGE),
            // Between two multiples; with a step of 1 there is nothing between.
            (
                step * 3 / 2,
                *currency,
                if *step == 1 { "" } else { INTEGER },
            ),
        ]
    });
    from_minima.chain(from_steps).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_smallest_and_the_largest_amount_of_every_currency_are_taken() {
    let world = world().await;
    pause_webhooks(&world).await;
    let door = Client::new(&world);
    for (amount, currency) in limits() {
        let digits = amount.to_string();
        let form = [("amount", digits.as_str()), ("currency", currency)];
        let intent = door.post("/v1/payment_intents", &form).await.ok();
        assert_eq!(
            (intent["amount"].as_i64(), text(&intent, "currency")),
            (Some(amount), currency)
        );
        let expected = ("requires_payment_method".to_owned(), amount, 0, 0);
        assert_eq!(row(&world, text(&intent, "id")).await, Some(expected));
    }
    world.stop().await;
}

/// Planted bug: a smallest charge that is off by one in one currency.
#[tokio::test(flavor = "multi_thread")]
async fn the_next_amount_beyond_is_refused_and_nothing_is_made_anywhere() {
    let world = world().await;
    pause_webhooks(&world).await;
    let door = Client::new(&world);
    let before = (
        world.events().await,
        everything_at_stripe(&world, "acme").await,
    );
    for (amount, currency, code) in beyond().into_iter().filter(|it| !it.2.is_empty()) {
        let digits = amount.to_string();
        let card = [
            ("amount", digits.as_str()),
            ("currency", currency),
            ("payment_method_data[type]", "card"),
            ("payment_method_data[card][number]", "4242424242424242"),
            ("payment_method_data[card][exp_month]", "12"),
            ("payment_method_data[card][exp_year]", "2034"),
        ];
        for form in [&card[..2], &card[..]] {
            let answer = door.post("/v1/payment_intents", form).await;
            assert_eq!(
                answer.error(),
                (400, code, "amount"),
                "{amount} {currency}: {}",
                answer.text
            );
        }
    }
    let after = (
        world.events().await,
        everything_at_stripe(&world, "acme").await,
    );
    assert_eq!(after, before);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_amount_is_refused_by_name_and_nothing_is_made_anywhere() {
    let world = world().await;
    pause_webhooks(&world).await;
    let door = Client::new(&world);
    let before = (
        world.events().await,
        everything_at_stripe(&world, "acme").await,
    );
    let usd = ("currency", "usd");
    let cases: [(Form<'_>, &str, &str); 11] = [
        (&[usd], "parameter_missing", "amount"),
        (&[("amount", "1000")], "parameter_missing", "currency"),
        (&[], "parameter_missing", "amount"),
        (&[("amount", ""), usd], "parameter_invalid_empty", "amount"),
        (&[("amount", "-1"), usd], INTEGER, "amount"),
        (&[("amount", "10.5"), usd], INTEGER, "amount"),
        (&[("amount", "1e3"), usd], INTEGER, "amount"),
        (&[("amount", "ten"), usd], INTEGER, "amount"),
        (
            &[("amount", "99999999999999999999"), usd],
            INTEGER,
            "amount",
        ),
        (&[("amount", "1000"), ("currency", "xyz")], "", "currency"),
        (
            &[("amount", "1000"), ("currency", "")],
            "parameter_invalid_empty",
            "currency",
        ),
    ];
    for (form, code, param) in cases {
        let answer = door.post("/v1/payment_intents", form).await;
        assert_eq!(
            answer.error(),
            (400, code, param),
            "{form:?}: {}",
            answer.text
        );
    }
    let after = (
        world.events().await,
        everything_at_stripe(&world, "acme").await,
    );
    assert_eq!(after, before);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_a_capture_and_a_refund_obey_limits_of_their_own() {
    let world = world().await;
    pause_webhooks(&world).await;
    let door = Client::new(&world);
    let open = path_of("payment_intents", &door.intent(&[]).await.ok());
    let held = [
        ("payment_method", "pm_card_visa"),
        ("confirm", "true"),
        ("capture_method", "manual"),
    ];
    let held = door.intent(&held).await.ok();
    let capture = format!("{}/capture", path_of("payment_intents", &held));
    let paid = door.paid("pm_card_visa").await;
    let before = (
        world.events().await,
        everything_at_stripe(&world, "acme").await,
    );
    for (amount, code) in [("49", SMALL), ("100000000", LARGE), ("0", INTEGER)] {
        let answer = door.post(&open, &[("amount", amount)]).await;
        assert_eq!(answer.error(), (400, code, "amount"), "update {amount}");
    }
    for (amount, code) in [("1001", LARGE), ("0", INTEGER), ("-1", INTEGER)] {
        let answer = door.post(&capture, &[("amount_to_capture", amount)]).await;
        assert_eq!(
            answer.error(),
            (400, code, "amount_to_capture"),
            "capture {amount}: {}",
            answer.text
        );
    }
    for (amount, code) in [("1001", ""), ("0", INTEGER), ("x", INTEGER)] {
        let form = [("payment_intent", text(&paid, "id")), ("amount", amount)];
        let answer = door.post("/v1/refunds", &form).await;
        assert_eq!(answer.error(), (400, code, "amount"), "refund {amount}");
    }
    let none = door.post("/v1/refunds", &[("amount", "100")]).await;
    assert_eq!(none.error(), (400, "parameter_missing", "payment_intent"));
    let after = (
        world.events().await,
        everything_at_stripe(&world, "acme").await,
    );
    assert_eq!(after, before);

    assert_eq!(
        door.post(&open, &[("amount", "50")]).await.ok()["amount"],
        50
    );
    let least = [("amount_to_capture", "1")];
    let taken = door.post(&capture, &least).await.ok();
    assert_eq!(taken["amount_received"], 1);
    let form = [("payment_intent", text(&paid, "id")), ("amount", "1")];
    assert_eq!(door.post("/v1/refunds", &form).await.ok()["amount"], 1);
    let refunded = row(&world, text(&paid, "id")).await;
    assert_eq!(refunded, Some(("succeeded".to_owned(), 1000, 1000, 1)));
    world.stop().await;
}

/// A merchant whose contract with Stripe knows no smallest charge.
#[tokio::test(flavor = "multi_thread")]
async fn a_merchant_without_a_minimum_is_still_held_to_the_maximum() {
    let world = world().await;
    let door = Client::with_key(&world, "sk_test_seedpay");
    let tiny = [("amount", "1"), ("currency", "usd")];
    assert_eq!(
        door.post("/v1/payment_intents", &tiny).await.ok()["amount"],
        1
    );
    let huge = [("amount", "100000000"), ("currency", "usd")];
    let huge = door.post("/v1/payment_intents", &huge).await;
    assert_eq!(huge.error(), (400, LARGE, "amount"));
    world.stop().await;
}
