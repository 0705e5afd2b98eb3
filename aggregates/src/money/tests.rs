use crate::money::{Currency, Money, MoneyError};
use crate::testing::{eur, usd};
use proptest::prelude::*;
use proptest::sample::Index;
use std::sync::LazyLock;

/// Every code that can be read, found by trying all of them.
fn every_currency() -> &'static [Currency] {
    static ALL: LazyLock<Vec<Currency>> = LazyLock::new(|| {
        let letters = || b'A'..=b'Z';
        let codes =
            letters().flat_map(|a| letters().flat_map(move |b| letters().map(move |c| [a, b, c])));
        codes
            .filter_map(|code| Currency::parse(std::str::from_utf8(&code).unwrap()).ok())
            .collect()
    });
    &ALL
}

fn currency(code: &str) -> Currency {
    code.parse().unwrap()
}

#[test]
fn a_currency_is_read_in_any_case_and_written_in_lower_case() {
    for text in ["usd", "USD", "Usd"] {
        assert_eq!(currency(text).code(), "usd");
    }
    assert_eq!(serde_json::to_string(&Currency::USD).unwrap(), r#""usd""#);
    assert_eq!(
        serde_json::from_str::<Currency>(r#""USD""#).unwrap(),
        Currency::USD
    );
}

#[test]
fn what_is_no_currency_to_pay_in_is_refused_without_repeating_it() {
    for text in [
        "",
        "us",
        "usdd",
        "xxx",
        "xts",
        "xau",
        "chw",
        "clf",
        "lyd",
        "ÜSD",
        "4242424242424242",
    ] {
        let error = Currency::parse(text).unwrap_err();
        assert_eq!(error, MoneyError::UnknownCurrency);
        assert!(text.is_empty() || !error.to_string().contains(text));
    }
}

#[test]
fn each_currency_has_as_many_decimals_as_stripe_writes() {
    let without = "bif clp djf gnf jpy kmf krw mga pyg rwf vnd vuv xaf xof xpf";
    let three = "bhd jod kwd omr tnd";
    for it in every_currency().iter().copied() {
        let code = it.code();
        let listed = |list: &str| list.split(' ').any(|one| one == code);
        let expected = if listed(without) {
            0
        } else if listed(three) {
            3
        } else {
            2
        };
        assert_eq!(it.exponent(), expected, "{code}");
    }
    for code in without
        .split(' ')
        .chain(three.split(' '))
        .chain(["isk", "ugx", "usd", "sek", "huf", "twd"])
    {
        assert_eq!(currency(code).code(), code);
    }
}

#[test]
fn the_smallest_charge_is_the_wire_tables() {
    let table = "usd=0.50 aud=0.50 brl=0.50 cad=0.50 chf=0.50 eur=0.50 inr=0.50 nzd=0.50 sgd=0.50 gbp=0.30 bgn=1 aed=2 \
                 myr=2 pln=2 ron=2 dkk=2.50 nok=3 sek=3 hkd=4 mxn=10 thb=10 czk=15 jpy=50 huf=175";
    let listed: Vec<_> = table
        .split(' ')
        .map(|it| it.split_once('=').unwrap())
        .map(|(code, major)| Money::parse_decimal(major, currency(code)).unwrap())
        .collect();
    for it in every_currency().iter().copied() {
        let expected = listed
            .iter()
            .find(|minimum| minimum.currency() == it)
            .copied();
        assert_eq!(it.minimum_charge(), expected, "{it}");
    }
}

#[test]
fn an_amount_is_written_with_exactly_the_places_of_its_currency() {
    assert_eq!(usd(112_00).to_decimal_string(), "112.00");
    assert_eq!(usd(-5).to_string(), "-0.05 USD");
    assert_eq!(
        Money::new(11_200, Currency::JPY).to_decimal_string(),
        "11200"
    );
    assert_eq!(
        Money::new(1_500, Currency::KWD).to_decimal_string(),
        "1.500"
    );
    assert_eq!(usd(0).to_string(), "0.00 USD");
}

#[test]
fn an_amount_is_stored_as_minor_units_and_a_lowercase_code() {
    let text = r#"{"minor":11200,"currency":"usd"}"#;
    assert_eq!(serde_json::to_string(&usd(112_00)).unwrap(), text);
    assert_eq!(serde_json::from_str::<Money>(text).unwrap(), usd(112_00));
    for wrong in [
        r#"{"minor":1.5,"currency":"usd"}"#,
        r#"{"minor":"1","currency":"usd"}"#,
        r#"{"minor":1,"currency":"x"}"#,
    ] {
        assert!(serde_json::from_str::<Money>(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn only_plain_decimals_are_read_as_amounts() {
    for (text, minor) in [
        ("112.00", 112_00),
        ("112", 112_00),
        ("112.5", 112_50),
        ("-0.01", -1),
        ("007", 7_00),
    ] {
        assert_eq!(Money::parse_decimal(text, Currency::USD), Ok(usd(minor)));
    }
    let refused = MoneyError::NotAnAmount {
        currency: Currency::USD,
        places: 2,
    };
    for text in [
        "", "-", ".5", "5.", "1.005", "1e3", "+1", " 1", "1,00", "--1", "1.-5", "٣", "0x10",
        "1.2.3", "NaN",
    ] {
        assert_eq!(
            Money::parse_decimal(text, Currency::USD),
            Err(refused.clone()),
            "{text:?}"
        );
    }
    assert_eq!(
        Money::parse_decimal("92233720368547758.08", Currency::USD),
        Err(MoneyError::Overflow)
    );
    assert!(Money::parse_decimal("1.0", Currency::JPY).is_err());
}

#[test]
fn only_what_stripe_can_charge_is_chargeable() {
    let maximum = usd(99_999_999);
    assert_eq!(usd(1).chargeable(), Ok(usd(1)));
    assert_eq!(maximum.chargeable(), Ok(maximum));
    assert_eq!(
        usd(0).chargeable(),
        Err(MoneyError::NotPositive { amount: usd(0) })
    );
    assert_eq!(
        usd(-1).chargeable(),
        Err(MoneyError::NotPositive { amount: usd(-1) })
    );
    let over = usd(100_000_000);
    assert_eq!(
        over.chargeable(),
        Err(MoneyError::TooLarge {
            amount: over,
            maximum
        })
    );
    for (code, step, fine, coarse) in [
        ("kwd", 10, 1_505, 1_500),
        ("isk", 100, 5_50, 5_00),
        ("ugx", 100, 1, 100),
    ] {
        let (fine, coarse) = (
            Money::new(fine, currency(code)),
            Money::new(coarse, currency(code)),
        );
        assert_eq!(
            fine.chargeable(),
            Err(MoneyError::TooFine { amount: fine, step })
        );
        assert_eq!(coarse.chargeable(), Ok(coarse));
    }
}

#[test]
fn currencies_do_not_mix() {
    let mismatch = MoneyError::CurrencyMismatch {
        left: Currency::USD,
        right: Currency::EUR,
    };
    assert_eq!(usd(1).plus(eur(1)), Err(mismatch.clone()));
    assert_eq!(usd(1).minus(eur(1)), Err(mismatch));
}

proptest! {
    /// Red when reading drops the sign, or writing takes two places for every currency.
    #[test]
    fn what_is_written_is_read_back_in_every_currency(minor: i64, any: Index) {
        let each_kind = ["usd", "jpy", "kwd", "isk"].map(currency);
        for currency in each_kind.into_iter().chain([*any.get(every_currency())]) {
            let amount = Money::new(minor, currency);
            let text = amount.to_decimal_string();
            let places = text.split_once('.').map_or(0, |(_, fraction)| fraction.len());
            prop_assert_eq!(places, usize::try_from(currency.exponent()).unwrap());
            prop_assert_eq!(Money::parse_decimal(&text, currency), Ok(amount));
        }
    }

    /// Red when an operation wraps (`wrapping_add`) or saturates instead of answering `Overflow`.
    #[test]
    fn sums_are_exact_or_refused(left: i64, right: i64, count: u32) {
        let wide = |exact: i128| i64::try_from(exact).map(usd).map_err(|_| MoneyError::Overflow);
        let (left_wide, right_wide) = (i128::from(left), i128::from(right));
        prop_assert_eq!(usd(left).plus(usd(right)), wide(left_wide + right_wide));
        prop_assert_eq!(usd(left).minus(usd(right)), wide(left_wide - right_wide));
        prop_assert_eq!(usd(left).times(count), wide(left_wide * i128::from(count)));
    }

    /// Red when reading an amount can panic, which `split_at` on a multi-byte character would.
    #[test]
    fn any_text_is_read_or_refused(text: String) {
        if let Ok(amount) = Money::parse_decimal(&text, Currency::KWD) {
            prop_assert_eq!(amount.currency(), Currency::KWD);
            prop_assert!(text.bytes().any(|it| it.is_ascii_digit()));
        }
    }
}
