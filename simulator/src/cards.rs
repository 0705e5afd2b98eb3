//! Stripe's test cards: which number (or ready-made token) does what, and what makes a card invalid.
//!
//! A number and a security code exist only while the request that brings them is read: what stays is a [`Card`].

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::errors::{ApiError, ErrorType, Outcome};
use crate::ids::Secrets;
use crate::params::{Field, Params};
use crate::wire::{Word, words};

words! {
    /// Why an issuer refuses, Stripe's decline code.
    Decline {
        Generic => "generic_decline",
        InsufficientFunds => "insufficient_funds",
        Lost => "lost_card",
        Stolen => "stolen_card",
        Expired => "expired_card",
        IncorrectCvc => "incorrect_cvc",
        ProcessingError => "processing_error",
        Velocity => "card_velocity_exceeded",
        Fraudulent => "fraudulent",
        AuthenticationRequired => "authentication_required",
    }
}

impl Decline {
    /// Stripe's error code, which is wider than the decline code for most.
    pub fn error_code(self) -> &'static str {
        match self {
            Self::Expired
            | Self::IncorrectCvc
            | Self::ProcessingError
            | Self::AuthenticationRequired => self.as_str(),
            _ => "card_declined",
        }
    }

    /// The text for the payer.
    pub fn message(self) -> &'static str {
        match self {
            Self::InsufficientFunds => "Your card has insufficient funds.",
            Self::Expired => "Your card has expired.",
            Self::IncorrectCvc => "Your card's security code is incorrect.",
            Self::ProcessingError => {
                "An error occurred while processing your card. Try again in a little bit."
            }
            Self::AuthenticationRequired => {
                "Your card was declined. This transaction requires authentication."
            }
            Self::Velocity => {
                "Your card was declined for making repeated attempts too frequently or exceeding its amount limit."
            }
            _ => "Your card was declined.",
        }
    }
}

/// What happens when a card is charged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Charging {
    /// The issuer agrees.
    Approve,
    /// The issuer refuses.
    Refuse(Decline),
    /// The payment is processing, and later succeeds.
    ProcessThenApprove,
    /// The payment is processing, and later is refused.
    ProcessThenRefuse,
}

/// What happens when a charge on the card is refunded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refunding {
    /// It succeeds at once.
    Succeed,
    /// It is pending, and later succeeds.
    SucceedLater,
    /// The payer has to do something for it, and later does.
    RequireAction,
    /// It succeeds, and later fails.
    FailLater,
}

/// What the payer's bank does some time after a charge on the card.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Disputing {
    /// Nothing.
    #[default]
    Never,
    /// It disputes the charge as fraudulent.
    Fraudulent,
    /// It disputes the charge, since nothing was received.
    NotReceived,
    /// It asks about the charge, and may dispute it.
    Inquiry,
}

/// How a card behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Behaviour {
    /// Whether the issuer asks for 3-D Secure.
    pub authenticate: bool,
    /// What charging does, after authentication where that is asked for.
    pub charging: Charging,
    /// What refunding does.
    pub refunding: Refunding,
    /// What the payer's bank does later.
    #[serde(default)]
    pub disputing: Disputing,
}

const PLAIN: Behaviour = Behaviour {
    authenticate: false,
    charging: Charging::Approve,
    refunding: Refunding::Succeed,
    disputing: Disputing::Never,
};

const fn refuse(decline: Decline) -> Behaviour {
    Behaviour {
        charging: Charging::Refuse(decline),
        ..PLAIN
    }
}

const fn authenticate(behaviour: Behaviour) -> Behaviour {
    Behaviour {
        authenticate: true,
        ..behaviour
    }
}

const fn refund(refunding: Refunding) -> Behaviour {
    Behaviour { refunding, ..PLAIN }
}

const fn dispute(disputing: Disputing) -> Behaviour {
    Behaviour { disputing, ..PLAIN }
}

/// Numbers that do something special; every other valid number is approved.
const SPECIAL_NUMBERS: &[(&str, Behaviour)] = &[
    ("4000000000000002", refuse(Decline::Generic)),
    ("4000000000009995", refuse(Decline::InsufficientFunds)),
    ("4000000000009987", refuse(Decline::Lost)),
    ("4000000000009979", refuse(Decline::Stolen)),
    ("4000000000000069", refuse(Decline::Expired)),
    ("4000000000000127", refuse(Decline::IncorrectCvc)),
    ("4000000000000119", refuse(Decline::ProcessingError)),
    ("4000000000006975", refuse(Decline::Velocity)),
    ("4100000000000019", refuse(Decline::Fraudulent)),
    ("4000002500003155", authenticate(PLAIN)),
    ("4000002760003184", authenticate(PLAIN)),
    ("4000000000003220", authenticate(PLAIN)),
    ("4000008400001629", authenticate(refuse(Decline::Generic))),
    (
        "4000008260003178",
        authenticate(refuse(Decline::InsufficientFunds)),
    ),
    ("4000000000000259", dispute(Disputing::Fraudulent)),
    ("4000000000002685", dispute(Disputing::NotReceived)),
    ("4000000000001976", dispute(Disputing::Inquiry)),
    ("4000000000007726", refund(Refunding::SucceedLater)),
    ("4000000000005126", refund(Refunding::FailLater)),
];

/// Ready-made methods: the part of the name after `pm_card_` or `tok_`, and the number that it stands for.
const TOKENS: &[(&str, &str)] = &[
    ("visa", "4242424242424242"),
    ("visa_debit", "4000056655665556"),
    ("mastercard", "5555555555554444"),
    ("mastercard_debit", "5200828282828210"),
    ("mastercard_prepaid", "5105105105105100"),
    ("amex", "378282246310005"),
    ("discover", "6011111111111117"),
    ("diners", "3056930009020004"),
    ("jcb", "3566002020360505"),
    ("unionpay", "6200000000000005"),
    ("chargeDeclined", "4000000000000002"),
    ("visa_chargeDeclined", "4000000000000002"),
    ("chargeDeclinedInsufficientFunds", "4000000000009995"),
    ("visa_chargeDeclinedInsufficientFunds", "4000000000009995"),
    ("visa_chargeDeclinedLostCard", "4000000000009987"),
    ("visa_chargeDeclinedStolenCard", "4000000000009979"),
    ("chargeDeclinedExpiredCard", "4000000000000069"),
    ("chargeDeclinedIncorrectCvc", "4000000000000127"),
    ("chargeDeclinedProcessingError", "4000000000000119"),
    (
        "visa_chargeDeclinedVelocityLimitExceeded",
        "4000000000006975",
    ),
    ("radarBlock", "4100000000000019"),
    ("authenticationRequired", "4000002760003184"),
    ("authenticationRequiredOnSetup", "4000002500003155"),
    ("threeDSecure2Required", "4000000000003220"),
    ("threeDSecureRequiredChargeDeclined", "4000008400001629"),
    (
        "authenticationRequiredChargeDeclinedInsufficientFunds",
        "4000008260003178",
    ),
    ("createDispute", "4000000000000259"),
    ("createDisputeProductNotReceived", "4000000000002685"),
    ("createDisputeInquiry", "4000000000001976"),
    ("pendingRefund", "4000000000007726"),
    ("refundFail", "4000000000005126"),
];

const fn process(charging: Charging) -> Behaviour {
    Behaviour { charging, ..PLAIN }
}

/// Ready-made methods of the simulator's own, for states that Stripe's cards do not reach: a payment that is `processing` for a while, and a
/// refund that is in `requires_action`.
const OWN_TOKENS: &[(&str, Behaviour)] = &[
    ("simProcessing", process(Charging::ProcessThenApprove)),
    (
        "simProcessingDeclined",
        process(Charging::ProcessThenRefuse),
    ),
    ("simRefundRequiresAction", refund(Refunding::RequireAction)),
];

/// What is kept of a card.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Card {
    /// `visa`, `mastercard`, …
    pub brand: String,
    /// The last four digits.
    pub last4: String,
    /// 1 to 12.
    pub exp_month: i64,
    /// Four digits.
    pub exp_year: i64,
    /// `credit`, `debit` or `prepaid`.
    pub funding: String,
    /// See [`Secrets::card_fingerprint`].
    pub fingerprint: String,
    /// Whether a security code came with it.
    pub cvc_given: bool,
    /// How it behaves.
    pub behaviour: Behaviour,
}

/// A card as a payer gives it: it is never kept, nor shown.
pub struct GivenCard<'g> {
    /// Spaces and hyphens do not count.
    pub number: &'g str,
    /// 1 to 12.
    pub exp_month: i64,
    /// Two or four digits.
    pub exp_year: i64,
    /// Where one was asked for.
    pub cvc: Option<&'g str>,
}

impl Card {
    /// Reads `card[…]`: a number with its expiry, or a ready-made token.
    ///
    /// `today` is the year and month of the simulator's clock.
    ///
    /// # Errors
    /// 402 `card_error` for an invalid card, 400 for missing or malformed parameters.
    pub fn read(card: &Params<'_>, secrets: &Secrets, today: (i64, i64)) -> Outcome<Self> {
        if let Field::Given(token) = card.text("token", 200)? {
            return token
                .strip_prefix("tok_")
                .and_then(|name| Self::ready_made(name, secrets, today))
                .ok_or_else(|| ApiError::no_such("token", &token, &card.name("token")));
        }
        let number = card.required_text("number", 64)?;
        let missing = |key: &str| ApiError::missing(&card.name(key));
        let exp_month = card.int("exp_month")?.ok_or_else(|| missing("exp_month"))?;
        let exp_year = card.int("exp_year")?.ok_or_else(|| missing("exp_year"))?;
        let cvc = card.text("cvc", 64)?.given();
        let given = GivenCard {
            number: &number,
            exp_month,
            exp_year,
            cvc: cvc.as_deref(),
        };
        Self::checked(&given, secrets, today)
    }

    /// The card with this number, date and code; `today` as in [`read`](Self::read).
    ///
    /// # Errors
    /// 402 `card_error` for an invalid card.
    pub fn checked(given: &GivenCard<'_>, secrets: &Secrets, today: (i64, i64)) -> Outcome<Self> {
        let number: String = given
            .number
            .chars()
            .filter(|it| !matches!(it, ' ' | '-'))
            .collect();
        check_number(&number)?;
        let exp_year = check_expiry(given.exp_month, given.exp_year, today)?;
        check_cvc(given.cvc, brand(&number))?;
        Ok(Self {
            cvc_given: given.cvc.is_some(),
            ..Self::from_number(&number, given.exp_month, exp_year, secrets)
        })
    }

    /// The card behind `pm_card_<name>` or `tok_<name>`.
    pub fn ready_made(name: &str, secrets: &Secrets, today: (i64, i64)) -> Option<Self> {
        let exp_year = today.0 + 1;
        if let Some((_, behaviour)) = OWN_TOKENS.iter().find(|(token, _)| *token == name) {
            let mut card = Self::from_number("4242424242424242", 12, exp_year, secrets);
            card.behaviour = *behaviour;
            return Some(card);
        }
        let (_, number) = TOKENS.iter().find(|(token, _)| *token == name)?;
        Some(Self::from_number(number, 12, exp_year, secrets))
    }

    fn from_number(number: &str, exp_month: i64, exp_year: i64, secrets: &Secrets) -> Self {
        let behaviour = SPECIAL_NUMBERS
            .iter()
            .find(|(special, _)| *special == number)
            .map_or(PLAIN, |(_, behaviour)| *behaviour);
        let funding = match number {
            "4000056655665556" | "5200828282828210" => "debit",
            "5105105105105100" => "prepaid",
            _ => "credit",
        };
        Self {
            brand: brand(number).to_owned(),
            last4: number[number.len() - 4..].to_owned(),
            exp_month,
            exp_year,
            funding: funding.to_owned(),
            fingerprint: secrets.card_fingerprint(number),
            cvc_given: false,
            behaviour,
        }
    }

    /// Gives the card another expiry.
    ///
    /// # Errors
    /// 402 when it is past, or no date.
    pub fn set_expiry(&mut self, month: i64, year: i64, today: (i64, i64)) -> Outcome<()> {
        self.exp_year = check_expiry(month, year, today)?;
        self.exp_month = month;
        Ok(())
    }

    /// The member `card` of a payment method.
    pub fn render(&self) -> Value {
        json!({
            "brand": self.brand,
            "checks": {
                "address_line1_check": null,
                "address_postal_code_check": null,
                "cvc_check": self.cvc_check(),
            },
            "country": "US",
            "display_brand": self.brand,
            "exp_month": self.exp_month,
            "exp_year": self.exp_year,
            "fingerprint": self.fingerprint,
            "funding": self.funding,
            "generated_from": null,
            "last4": self.last4,
            "networks": { "available": [self.network()], "preferred": null },
            "three_d_secure_usage": { "supported": true },
            "wallet": null,
        })
    }

    /// The member `payment_method_details.card` of a charge; `authenticated` says whether the payer passed 3-D Secure.
    pub fn render_details(&self, authenticated: bool) -> Value {
        let three_d_secure = authenticated.then(|| {
            json!({
                "authentication_flow": "challenge",
                "result": "authenticated",
                "result_reason": null,
                "version": "2.2.0",
            })
        });
        json!({
            "brand": self.brand,
            "checks": {
                "address_line1_check": null,
                "address_postal_code_check": null,
                "cvc_check": self.cvc_check(),
            },
            "country": "US",
            "exp_month": self.exp_month,
            "exp_year": self.exp_year,
            "fingerprint": self.fingerprint,
            "funding": self.funding,
            "installments": null,
            "last4": self.last4,
            "mandate": null,
            "network": self.network(),
            "network_token": { "used": false },
            "three_d_secure": three_d_secure,
            "wallet": null,
        })
    }

    fn cvc_check(&self) -> Option<&'static str> {
        match (self.cvc_given, self.behaviour.charging) {
            (false, _) => None,
            (true, Charging::Refuse(Decline::IncorrectCvc)) => Some("fail"),
            (true, _) => Some("pass"),
        }
    }

    fn network(&self) -> &str {
        &self.brand
    }
}

fn invalid_card(code: &str, param: &str, message: &str) -> ApiError {
    ApiError::new(402, ErrorType::Card, message)
        .code(code)
        .param(param)
        .executed()
}

fn check_number(number: &str) -> Outcome<()> {
    let incorrect = || {
        invalid_card(
            "incorrect_number",
            "number",
            "Your card number is incorrect.",
        )
    };
    let digits: Option<Vec<u32>> = number.chars().map(|it| it.to_digit(10)).collect();
    let Some(digits) = digits else {
        return Err(invalid_card(
            "invalid_number",
            "number",
            "The card number is not a valid credit card number.",
        ));
    };
    if !(12..=19).contains(&digits.len()) {
        return Err(incorrect());
    }
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, digit)| match place % 2 {
            0 => *digit,
            _ => digit * 2 / 10 + digit * 2 % 10,
        })
        .sum();
    if sum.is_multiple_of(10) {
        Ok(())
    } else {
        Err(incorrect())
    }
}

/// Returns the year with four digits.
fn check_expiry(month: i64, year: i64, today: (i64, i64)) -> Outcome<i64> {
    let bad_month = || {
        invalid_card(
            "invalid_expiry_month",
            "exp_month",
            "Your card's expiration month is invalid.",
        )
    };
    let bad_year = || {
        invalid_card(
            "invalid_expiry_year",
            "exp_year",
            "Your card's expiration year is invalid.",
        )
    };
    let year = if (0..100).contains(&year) {
        year + 2_000
    } else {
        year
    };
    if !(1..=12).contains(&month) {
        return Err(bad_month());
    }
    if year < today.0 || year > today.0 + 50 {
        return Err(bad_year());
    }
    if (year, month) < today {
        return Err(bad_month());
    }
    Ok(year)
}

fn check_cvc(cvc: Option<&str>, brand: &str) -> Outcome<()> {
    let Some(cvc) = cvc else {
        return Ok(());
    };
    let length_fits = cvc.len() == 3 || (brand == "amex" && cvc.len() == 4);
    if length_fits && cvc.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(());
    }
    Err(invalid_card(
        "invalid_cvc",
        "cvc",
        "Your card's security code is invalid.",
    ))
}

fn brand(number: &str) -> &'static str {
    match number.as_bytes() {
        [b'4', ..] => "visa",
        [b'5', b'1'..=b'5', ..] | [b'2', b'2'..=b'7', ..] => "mastercard",
        [b'3', b'4' | b'7', ..] => "amex",
        [b'3', b'5', ..] => "jcb",
        [b'3', b'0' | b'6' | b'8', ..] => "diners",
        [b'6', b'0' | b'4' | b'5', ..] => "discover",
        [b'6', b'2', ..] => "unionpay",
        _ => "unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_of_the_tables_is_a_valid_one() {
        let numbers = SPECIAL_NUMBERS.iter().map(|(number, _)| number);
        for number in numbers.chain(TOKENS.iter().map(|(_, number)| number)) {
            assert!(check_number(number).is_ok(), "{number}");
        }
    }

    #[test]
    fn a_card_expires_at_the_end_of_its_month() {
        let today = (2026, 11);
        assert_eq!(check_expiry(11, 2026, today).ok(), Some(2026));
        assert_eq!(check_expiry(12, 26, today).ok(), Some(2026));
        for (month, year) in [(10, 2026), (12, 2025), (13, 2027), (0, 2027), (1, 2099)] {
            assert!(check_expiry(month, year, today).is_err(), "{month}/{year}");
        }
    }
}
