//! What requests may say about an intent, and how it is read into one.

use serde_json::Value;

use super::super::call::{
    Call, SHIPPING, read_descriptor, read_email, read_metadata, read_shipping, read_url,
};
use super::super::{customers, payment_methods};
use crate::errors::{ApiError, Outcome};
use crate::flow::Confirmation;
use crate::objects::{PaymentIntent, PaymentIntentStatus as Status, PaymentMethod};
use crate::params::{Field, Known, Params, Shape};

const AUTOMATIC_PAYMENT_METHODS: Shape =
    Shape::Hash(&[("allow_redirects", Shape::Any), ("enabled", Shape::Any)]);

/// Of the methods that the simulator does not have, what is said is not looked at.
const METHOD_OPTIONS: Shape = Shape::Hash(&[
    (
        "card",
        Shape::Hash(&[
            ("capture_method", Shape::Any),
            ("cvc_token", Shape::Any),
            ("installments", Shape::Open),
            ("mandate_options", Shape::Open),
            ("moto", Shape::Any),
            ("network", Shape::Any),
            ("request_three_d_secure", Shape::Any),
            ("setup_future_usage", Shape::Any),
            ("statement_descriptor_suffix_kana", Shape::Any),
            ("statement_descriptor_suffix_kanji", Shape::Any),
        ]),
    ),
    ("acss_debit", Shape::Open),
    ("affirm", Shape::Open),
    ("afterpay_clearpay", Shape::Open),
    ("alipay", Shape::Open),
    ("au_becs_debit", Shape::Open),
    ("bacs_debit", Shape::Open),
    ("bancontact", Shape::Open),
    ("blik", Shape::Open),
    ("boleto", Shape::Open),
    ("card_present", Shape::Open),
    ("cashapp", Shape::Open),
    ("customer_balance", Shape::Open),
    ("eps", Shape::Open),
    ("fpx", Shape::Open),
    ("giropay", Shape::Open),
    ("grabpay", Shape::Open),
    ("ideal", Shape::Open),
    ("interac_present", Shape::Open),
    ("klarna", Shape::Open),
    ("konbini", Shape::Open),
    ("link", Shape::Open),
    ("oxxo", Shape::Open),
    ("p24", Shape::Open),
    ("paynow", Shape::Open),
    ("paypal", Shape::Open),
    ("pix", Shape::Open),
    ("promptpay", Shape::Open),
    ("sepa_debit", Shape::Open),
    ("sofort", Shape::Open),
    ("us_bank_account", Shape::Open),
    ("wechat_pay", Shape::Open),
    ("zip", Shape::Open),
]);

pub(super) const CREATE: Known = &[
    ("amount", Shape::Any),
    ("automatic_payment_methods", AUTOMATIC_PAYMENT_METHODS),
    ("capture_method", Shape::Any),
    ("confirm", Shape::Any),
    ("confirmation_method", Shape::Any),
    ("currency", Shape::Any),
    ("customer", Shape::Any),
    ("description", Shape::Any),
    ("error_on_requires_action", Shape::Any),
    ("expand", Shape::Any),
    ("metadata", Shape::Open),
    ("off_session", Shape::Any),
    ("payment_method", Shape::Any),
    ("payment_method_data", Shape::Hash(payment_methods::DATA)),
    ("payment_method_options", METHOD_OPTIONS),
    ("payment_method_types", Shape::Any),
    ("radar_options", Shape::Open),
    ("receipt_email", Shape::Any),
    ("return_url", Shape::Any),
    ("setup_future_usage", Shape::Any),
    ("shipping", SHIPPING),
    ("statement_descriptor", Shape::Any),
    ("statement_descriptor_suffix", Shape::Any),
    ("transfer_group", Shape::Any),
    ("use_stripe_sdk", Shape::Any),
];

pub(super) const UPDATE: Known = &[
    ("amount", Shape::Any),
    ("capture_method", Shape::Any),
    ("client_secret", Shape::Any),
    ("currency", Shape::Any),
    ("customer", Shape::Any),
    ("description", Shape::Any),
    ("expand", Shape::Any),
    ("metadata", Shape::Open),
    ("payment_method", Shape::Any),
    ("payment_method_data", Shape::Hash(payment_methods::DATA)),
    ("payment_method_options", METHOD_OPTIONS),
    ("payment_method_types", Shape::Any),
    ("receipt_email", Shape::Any),
    ("setup_future_usage", Shape::Any),
    ("shipping", SHIPPING),
    ("statement_descriptor", Shape::Any),
    ("statement_descriptor_suffix", Shape::Any),
    ("transfer_group", Shape::Any),
];

pub(super) const CONFIRM: Known = &[
    ("capture_method", Shape::Any),
    ("client_secret", Shape::Any),
    ("error_on_requires_action", Shape::Any),
    ("expand", Shape::Any),
    ("off_session", Shape::Any),
    ("payment_method", Shape::Any),
    ("payment_method_data", Shape::Hash(payment_methods::DATA)),
    ("payment_method_options", METHOD_OPTIONS),
    ("payment_method_types", Shape::Any),
    ("radar_options", Shape::Open),
    ("receipt_email", Shape::Any),
    ("return_url", Shape::Any),
    ("setup_future_usage", Shape::Any),
    ("shipping", SHIPPING),
    ("use_stripe_sdk", Shape::Any),
];

/// Reads what describes an intent and leaves it where it stands; a checkout session says the same of the intent to come.
///
/// # Errors
/// 400 as the parameter deserves.
pub fn read_descriptive(params: &Params<'_>, intent: &mut PaymentIntent) -> Outcome<()> {
    params
        .text("description", 1_000)?
        .apply(&mut intent.description);
    read_metadata(params, &mut intent.metadata)?;
    read_email(params, "receipt_email")?.apply(&mut intent.receipt_email);
    read_shipping(params)?.apply(&mut intent.shipping);
    read_descriptors(params, intent)?;
    params
        .text("transfer_group", 500)?
        .apply(&mut intent.transfer_group);
    params
        .word("setup_future_usage")?
        .apply(&mut intent.setup_future_usage);
    if let Some(method) = params.plain_word("capture_method")? {
        intent.capture_method = method;
    }
    Ok(())
}

/// Reads `statement_descriptor` and its suffix.
///
/// # Errors
/// 400 for what no bank would print.
pub fn read_descriptors(params: &Params<'_>, intent: &mut PaymentIntent) -> Outcome<()> {
    let whole = read_descriptor(params, "statement_descriptor")?;
    whole.apply(&mut intent.statement_descriptor);
    let suffix = read_descriptor(params, "statement_descriptor_suffix")?;
    suffix.apply(&mut intent.statement_descriptor_suffix);
    Ok(())
}

/// Reads every attribute that the request names, whatever the endpoint; what an endpoint does not know was refused before.
///
/// # Errors
/// 400 or 402 as the parameter deserves.
pub(super) fn read_attributes(call: &mut Call<'_, '_>, intent: &mut PaymentIntent) -> Outcome<()> {
    let params = call.params.clone();
    read_descriptive(&params, intent)?;
    if let Some(customer) = params.text("customer", 500)?.given() {
        intent.customer = Some(customers::named(call.tx, &customer, "customer")?.id);
    }
    read_types(&params, intent)?;
    read_options(&params, intent)?;
    read_method(call, &params, intent)?;
    check_owner(call, intent)
}

/// A customer's method pays only for that customer, and a detached one for nobody.
fn check_owner(call: &Call<'_, '_>, intent: &PaymentIntent) -> Outcome<()> {
    let method: Option<PaymentMethod> = intent
        .payment_method
        .as_deref()
        .and_then(|id| call.tx.get(id));
    let Some(method) = method else {
        return Ok(());
    };
    payment_methods::check_usable(&method)?;
    match &method.customer {
        Some(owner) if intent.customer.as_ref() != Some(owner) => Err(ApiError::invalid(format!(
            "The PaymentMethod {} belongs to the Customer {owner}. Please include the Customer in the `customer` parameter on the PaymentIntent.",
            method.id
        ))
        .param("payment_method")),
        _ => Ok(()),
    }
}

/// Reads `payment_method_types`.
///
/// # Errors
/// 400 for a type that there is not, or when cards are not among them.
pub fn read_types(params: &Params<'_>, intent: &mut PaymentIntent) -> Outcome<()> {
    let Some(types) = params.texts("payment_method_types")? else {
        return Ok(());
    };
    if let Some(other) = types
        .iter()
        .find(|it| !matches!(it.as_str(), "card" | "link"))
    {
        return Err(ApiError::invalid(format!(
            "The payment method type \"{other}\" is invalid. Please ensure the provided type is activated in your dashboard."
        ))
        .code("payment_intent_invalid_parameter")
        .param("payment_method_types"));
    }
    if !types.iter().any(|it| it == "card") {
        return Err(params.empty("payment_method_types"));
    }
    intent.payment_method_types = types;
    Ok(())
}

fn read_options(params: &Params<'_>, intent: &mut PaymentIntent) -> Outcome<()> {
    let Some(options) = params.hash("payment_method_options")?.given() else {
        return Ok(());
    };
    let Some(card) = options.hash("card")?.given() else {
        return Ok(());
    };
    if let Some(request) = card.plain_word("request_three_d_secure")? {
        intent.request_three_d_secure = request;
    }
    let options = &mut intent.card_options;
    card.word("capture_method")?
        .apply(&mut options.capture_method);
    card.word("setup_future_usage")?
        .apply(&mut options.setup_future_usage);
    if let Some(network) = card.plain_word("network")? {
        options.network = Some(network);
    }
    Ok(())
}

/// A method makes an intent ready for confirmation; taking it away makes it need one.
fn read_method(
    call: &mut Call<'_, '_>,
    params: &Params<'_>,
    intent: &mut PaymentIntent,
) -> Outcome<()> {
    let data = params.hash("payment_method_data")?.given();
    let given = params.text("payment_method", 500)?;
    match (given, data) {
        (Field::Given(_), Some(_)) => {
            return Err(ApiError::invalid(
                "You may only specify one of these parameters: payment_method, payment_method_data.",
            )
            .param("payment_method_data"));
        }
        (Field::Given(id), None) => {
            let method = payment_methods::find(call.tx, &id)
                .ok_or_else(|| ApiError::no_such("PaymentMethod", &id, "payment_method"))?;
            intent.payment_method = Some(method.id);
        }
        (_, Some(data)) => {
            intent.payment_method = Some(payment_methods::read_new(call.tx, &data)?.id);
        }
        (Field::Unset, None) => intent.payment_method = None,
        (Field::Absent, None) => return Ok(()),
    }
    intent.next_action = None;
    intent.authenticated = false;
    intent.status = match intent.payment_method {
        Some(_) => Status::RequiresConfirmation,
        None => Status::RequiresPaymentMethod,
    };
    Ok(())
}

/// Reads `automatic_payment_methods`. Unlike Stripe's, a confirmation without `return_url` is not refused where they may redirect: cards, the only
/// methods here, do not.
///
/// # Errors
/// 400 when it says nothing, or is given beside `payment_method_types`.
pub(super) fn read_automatic(params: &Params<'_>, intent: &mut PaymentIntent) -> Outcome<()> {
    let Some(automatic) = params.hash("automatic_payment_methods")?.given() else {
        // Since 2023-08-16 they are on unless the caller names the types.
        let named = params.has("payment_method_types");
        intent.automatic_payment_methods = (!named).then(|| "always".to_owned());
        return Ok(());
    };
    let enabled = automatic
        .flag("enabled")?
        .ok_or_else(|| ApiError::missing(&automatic.name("enabled")))?;
    if enabled && params.has("payment_method_types") {
        return Err(ApiError::invalid(
            "You may only specify one of these parameters: automatic_payment_methods, payment_method_types.",
        )
        .param("payment_method_types"));
    }
    let redirects = automatic.text("allow_redirects", 20)?.given();
    let redirects = redirects.unwrap_or_else(|| "always".to_owned());
    if !matches!(redirects.as_str(), "always" | "never") {
        return Err(ApiError::invalid(
            "Invalid automatic_payment_methods[allow_redirects]: must be one of always or never",
        )
        .param(automatic.name("allow_redirects")));
    }
    intent.automatic_payment_methods = enabled.then_some(redirects);
    Ok(())
}

/// Reads how to confirm.
///
/// # Errors
/// 400 when something in it is malformed.
pub(super) fn read_confirmation(params: &Params<'_>) -> Outcome<Confirmation> {
    let off_session = match params.text("off_session", 20)?.given().as_deref() {
        Some("one_off" | "recurring") => true,
        _ => params.flag("off_session")?.unwrap_or(false),
    };
    params.flag("use_stripe_sdk")?;
    Ok(Confirmation {
        off_session,
        error_on_requires_action: params.flag("error_on_requires_action")?.unwrap_or(false),
        return_url: read_url(params, "return_url")?,
    })
}

/// Refuses what only makes sense with `confirm=true`.
///
/// # Errors
/// 400 that names the parameter.
pub(super) fn check_unconfirmed(params: &Params<'_>) -> Outcome<()> {
    for param in ["return_url", "off_session", "error_on_requires_action"] {
        if params.has(param) {
            return Err(ApiError::invalid(format!(
                "The parameter {param} cannot be passed when creating a PaymentIntent unless confirm is set to true."
            ))
            .code("payment_intent_invalid_parameter")
            .param(param));
        }
    }
    Ok(())
}

/// The intent as this caller may see it.
pub(super) fn shown(call: &Call<'_, '_>, intent: &PaymentIntent) -> Value {
    match call.caller {
        super::super::call::Caller::Secret => intent.render(),
        super::super::call::Caller::Publishable => intent.render_publicly(),
    }
}
