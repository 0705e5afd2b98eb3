//! How a request names the payment method: one that exists at Stripe, or a raw card.

use secrecy::SecretString;

use super::error::StripeError;
use super::params::Params;
use crate::personal::Address;
use crate::use_cases::Card;

/// A method that exists, or a card to make one of; at most one of them.
#[derive(Default)]
pub struct Method {
    pub payment_method: Option<String>,
    pub card: Option<Card>,
}

const ADDRESS: &[&str] = &["city", "country", "line1", "line2", "postal_code", "state"];
/// For a name, a line of an address, and the like.
const PERSONAL_LENGTH_MAX: usize = 255;
const EMAIL_LENGTH_MAX: usize = 512;

impl Method {
    /// Reads `payment_method` or `payment_method_data`.
    pub fn read(params: &Params<'_>) -> Result<Self, StripeError> {
        let named = params.id("payment_method", 255)?;
        match (named, params.hash("payment_method_data")?) {
            (Some(_), Some(_)) => Err(StripeError::invalid(
                "You may only specify one of these parameters: payment_method, payment_method_data.",
            )
            .code("parameters_exclusive")
            .param("payment_method_data")),
            (Some(id), None) => Ok(Self { payment_method: Some(stripes(id)?), card: None }),
            (None, Some(data)) => Ok(Self { payment_method: None, card: Some(raw(&data)?) }),
            (None, None) => Ok(Self::default()),
        }
    }
}

/// An id that can be one of Stripe's; anything else (a card number, say) is neither kept nor sent.
fn stripes(id: &str) -> Result<String, StripeError> {
    let known = ["pm_", "card_", "src_"]
        .iter()
        .any(|prefix| id.starts_with(prefix));
    if known
        && id
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    {
        Ok(id.to_owned())
    } else {
        Err(StripeError::invalid("No such PaymentMethod")
            .code("resource_missing")
            .param("payment_method"))
    }
}

fn raw(data: &Params<'_>) -> Result<Card, StripeError> {
    data.only(&["type", "card", "billing_details"])?;
    if data.required_id("type", 100)? != "card" {
        let name = data.name("type");
        return Err(StripeError::invalid(format!("Invalid {name}: must be card")).param(&name));
    }
    let card = data.hash("card")?.ok_or_else(|| data.missing("card"))?;
    card.only(&["number", "exp_month", "exp_year", "cvc"])?;
    let mut made = Card {
        number: SecretString::from(card.required_id("number", 32)?),
        exp_month: card.required_integer("exp_month")?,
        exp_year: card.required_integer("exp_year")?,
        cvc: card.id("cvc", 8)?.map(SecretString::from),
        name: None,
        email: None,
        phone: None,
        address: None,
    };
    if let Some(billing) = data.hash("billing_details")? {
        read_billing(&billing, &mut made)?;
    }
    Ok(made)
}

fn read_billing(billing: &Params<'_>, card: &mut Card) -> Result<(), StripeError> {
    billing.only(&["address", "email", "name", "phone"])?;
    card.name = personal(billing, "name")?;
    card.email = email(billing, "email")?;
    card.phone = personal(billing, "phone")?;
    card.address = billing
        .hash("address")?
        .map(|it| address(&it))
        .transpose()?;
    Ok(())
}

/// A postal address.
pub fn address(params: &Params<'_>) -> Result<Address, StripeError> {
    params.only(ADDRESS)?;
    Ok(Address {
        city: personal(params, "city")?,
        country: personal(params, "country")?,
        line1: personal(params, "line1")?,
        line2: personal(params, "line2")?,
        postal_code: personal(params, "postal_code")?,
        state: personal(params, "state")?,
    })
}

/// What is known of a person, in free text; an empty one says nothing.
pub fn personal(params: &Params<'_>, field: &str) -> Result<Option<String>, StripeError> {
    Ok(params
        .prose(field, PERSONAL_LENGTH_MAX)?
        .filter(|text| !text.is_empty()))
}

/// An e-mail address, as far as its form can be told; an empty one says nothing.
pub fn email(params: &Params<'_>, field: &str) -> Result<Option<String>, StripeError> {
    let text = params
        .prose(field, EMAIL_LENGTH_MAX)?
        .filter(|text| !text.is_empty());
    let formed = |text: &String| {
        let parts = text.split_once('@');
        parts
            .is_some_and(|(user, host)| !user.is_empty() && !host.is_empty() && !host.contains('@'))
            && !text
                .chars()
                .any(|letter| letter.is_whitespace() || letter.is_control())
    };
    if text.as_ref().is_some_and(|text| !formed(text)) {
        return Err(StripeError::invalid("Invalid email address")
            .code("email_invalid")
            .param(&params.name(field)));
    }
    Ok(text)
}
