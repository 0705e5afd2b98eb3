//! Amounts: integer minor units and a lower-case ISO-4217 code, with Stripe's rules for both.

use crate::errors::{ApiError, Outcome};
use crate::params::Params;

/// The largest amount of a charge, in minor units.
const AMOUNT_MAX: i64 = 99_999_999;

/// Currencies that Stripe presents.
const SUPPORTED: &str = "usd aed afn all amd ang aoa ars aud awg azn bam bbd bdt bgn bhd bif bmd bnd bob brl bsd bwp byn bzd cad cdf chf clp cny \
    cop crc cve czk djf dkk dop dzd egp etb eur fjd fkp gbp gel gip gmd gnf gtq gyd hkd hnl htg huf idr ils inr isk jmd jod jpy kes kgs khr kmf \
    krw kwd kyd kzt lak lbp lkr lrd lsl mad mdl mga mkd mmk mnt mop mur mvr mwk mxn myr mzn nad ngn nio nok npr nzd omr pab pen pgk php pkr pln \
    pyg qar ron rsd rub rwf sar sbd scr sek sgd shp sle sos srd std szl thb tjs tnd top try ttd twd tzs uah ugx uyu uzs vnd vuv wst xaf xcd xof \
    xpf yer zar zmw";
/// Currencies without minor units.
const ZERO_DECIMAL: &str = "bif clp djf gnf jpy kmf krw mga pyg rwf vnd vuv xaf xof xpf";
/// Currencies with three decimals, of which the last must be 0.
const THREE_DECIMAL: &str = "bhd jod kwd omr tnd";
/// Currencies that are written with two decimals which are always 00.
const WHOLE_UNITS: &str = "isk ugx";
/// The least charge, in minor units.
const MINIMUMS: &[(&str, i64)] = &[
    ("usd aud brl cad chf eur inr nzd sgd", 50),
    ("gbp", 30),
    ("bgn", 100),
    ("aed myr pln ron", 200),
    ("dkk", 250),
    ("nok sek", 300),
    ("hkd", 400),
    ("mxn thb", 1_000),
    ("czk", 1_500),
    ("jpy", 50),
    ("huf", 17_500),
];

fn listed(list: &str, currency: &str) -> bool {
    list.split_whitespace().any(|code| code == currency)
}

/// How many decimals the major unit has.
fn decimals(currency: &str) -> u32 {
    match currency {
        _ if listed(ZERO_DECIMAL, currency) => 0,
        _ if listed(THREE_DECIMAL, currency) => 3,
        _ => 2,
    }
}

/// The least amount that can be charged, in minor units; 1 where Stripe documents none.
pub fn minimum_minor(currency: &str) -> i64 {
    MINIMUMS
        .iter()
        .find(|(codes, _)| listed(codes, currency))
        .map_or(1, |(_, minimum)| *minimum)
}

/// An amount for people, as Stripe's messages write it: `$0.50`, `¥50`, `SEK 3.00`.
pub fn display(amount_minor: i64, currency: &str) -> String {
    let symbol = match currency {
        "usd" => "$".to_owned(),
        "eur" => "€".to_owned(),
        "gbp" => "£".to_owned(),
        "jpy" => "¥".to_owned(),
        _ => format!("{} ", currency.to_uppercase()),
    };
    let places = decimals(currency);
    if places == 0 {
        return format!("{symbol}{}", grouped(amount_minor));
    }
    let unit = 10_i64.pow(places);
    let width = usize::try_from(places).expect("at most three");
    format!(
        "{symbol}{}.{:0width$}",
        grouped(amount_minor / unit),
        amount_minor % unit
    )
}

fn grouped(number: i64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// What Stripe keeps of a charge: 2.9 % rounded half up, plus 30 minor units of the currency.
pub fn fee_minor(gross_minor: i64) -> i64 {
    let tenths_of_percent = gross_minor
        .checked_mul(29)
        .expect("a charge is at most eight digits");
    (tenths_of_percent + 500) / 1_000 + 30
}

/// Reads `currency`.
///
/// # Errors
/// 400 when it is not one that Stripe supports.
pub fn read_currency(params: &Params<'_>, key: &str) -> Outcome<Option<String>> {
    if !params.has(key) {
        return Ok(None);
    }
    let currency = params.required_text(key, 64)?.to_lowercase();
    if listed(SUPPORTED, &currency) {
        return Ok(Some(currency));
    }
    let all = SUPPORTED.split_whitespace().collect::<Vec<_>>().join(", ");
    Err(ApiError::invalid(format!(
        "Invalid currency: {currency}. Stripe currently supports these currencies: {all}"
    ))
    .param(params.name(key)))
}

/// Reads a positive amount, without the limits of a charge.
///
/// # Errors
/// 400 `parameter_invalid_integer`.
pub fn read_positive(params: &Params<'_>, key: &str) -> Outcome<Option<i64>> {
    let amount = params.int(key)?;
    if amount.is_some_and(|amount| amount < 1) {
        return Err(
            ApiError::invalid("This value must be greater than or equal to 1.")
                .code("parameter_invalid_integer")
                .param(params.name(key)),
        );
    }
    Ok(amount)
}

/// Whether `amount_minor` can be charged in `currency`.
///
/// # Errors
/// 400 `amount_too_small`, `amount_too_large`, or `parameter_invalid_integer` where the currency has no such fraction.
pub fn check_charge(amount_minor: i64, currency: &str, with_minimum: bool) -> Outcome<()> {
    if amount_minor > AMOUNT_MAX {
        let limit = display(AMOUNT_MAX, currency);
        return Err(
            ApiError::invalid(format!("Amount must be no more than {limit}"))
                .code("amount_too_large")
                .param("amount"),
        );
    }
    let step = match currency {
        _ if listed(THREE_DECIMAL, currency) => 10,
        _ if listed(WHOLE_UNITS, currency) => 100,
        _ => 1,
    };
    if amount_minor % step != 0 {
        return Err(ApiError::invalid(format!(
            "Invalid amount: in {currency} it must be a multiple of {step}."
        ))
        .code("parameter_invalid_integer")
        .param("amount"));
    }
    let minimum = minimum_minor(currency);
    if with_minimum && amount_minor < minimum {
        let limit = display(minimum, currency);
        return Err(
            ApiError::invalid(format!("Amount must be at least {limit} {currency}"))
                .code("amount_too_small")
                .param("amount"),
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fee_is_rounded_half_up() {
        let fees = [
            (1, 30),
            (50, 31),
            (100, 33),
            (500, 45),
            (5_900, 201),
            (10_000, 320),
            (11_200, 355),
        ];
        for (gross, fee) in fees {
            assert_eq!(fee_minor(gross), fee, "{gross}");
        }
    }

    #[test]
    fn amounts_read_as_people_write_them() {
        assert_eq!(display(99_999_999, "usd"), "$999,999.99");
        assert_eq!(display(50, "jpy"), "¥50");
        assert_eq!(display(300, "sek"), "SEK 3.00");
        assert_eq!(display(1_250, "kwd"), "KWD 1.250");
    }

    #[test]
    fn every_currency_with_a_rule_is_supported() {
        let minimums: Vec<_> = MINIMUMS.iter().map(|(codes, _)| *codes).collect();
        for codes in [ZERO_DECIMAL, THREE_DECIMAL, WHOLE_UNITS]
            .iter()
            .chain(&minimums)
        {
            for code in codes.split_whitespace() {
                assert!(listed(SUPPORTED, code), "{code}");
            }
        }
    }
}
