//! `/v1/checkout/sessions`, for payments

use serde_json::Value;

use super::call::{Call, SHIPPING, read_email, read_metadata, read_url};
use super::customers;
use super::lists::{Created, Page, envelope, read_limit};
use super::payment_intents::{read_descriptive, read_types};
use crate::errors::{ApiError, Outcome};
use crate::flow;
use crate::money;
use crate::objects::{
    CheckoutSession, LineItem, Metadata, PaymentIntent, PaymentStatus, RedirectOnCompletion,
    SessionStatus, UiMode,
};
use crate::params::{Known, Params, Shape};

const INTENT_DATA: Shape = Shape::Hash(&[
    ("capture_method", Shape::Any),
    ("description", Shape::Any),
    ("metadata", Shape::Open),
    ("receipt_email", Shape::Any),
    ("setup_future_usage", Shape::Any),
    ("shipping", SHIPPING),
    ("statement_descriptor", Shape::Any),
    ("statement_descriptor_suffix", Shape::Any),
    ("transfer_group", Shape::Any),
]);
const CREATE: Known = &[
    ("billing_address_collection", Shape::Any),
    ("cancel_url", Shape::Any),
    ("client_reference_id", Shape::Any),
    ("customer", Shape::Any),
    ("customer_creation", Shape::Any),
    ("customer_email", Shape::Any),
    ("expand", Shape::Any),
    ("expires_at", Shape::Any),
    ("line_items", Shape::Any),
    ("locale", Shape::Any),
    ("metadata", Shape::Open),
    ("mode", Shape::Any),
    ("payment_intent_data", INTENT_DATA),
    ("payment_method_types", Shape::Any),
    ("redirect_on_completion", Shape::Any),
    ("return_url", Shape::Any),
    ("submit_type", Shape::Any),
    ("success_url", Shape::Any),
    ("ui_mode", Shape::Any),
];
const ITEM: Known = &[
    ("amount", Shape::Any),
    ("currency", Shape::Any),
    ("description", Shape::Any),
    ("name", Shape::Any),
    ("price", Shape::Any),
    (
        "price_data",
        Shape::Hash(&[
            ("currency", Shape::Any),
            (
                "product_data",
                Shape::Hash(&[
                    ("description", Shape::Any),
                    ("images", Shape::Any),
                    ("metadata", Shape::Open),
                    ("name", Shape::Any),
                ]),
            ),
            ("tax_behavior", Shape::Any),
            ("unit_amount", Shape::Any),
        ]),
    ),
    ("quantity", Shape::Any),
];
const UPDATE: Known = &[("expand", Shape::Any), ("metadata", Shape::Open)];
const LIST: Known = &[
    ("created", Shape::Any),
    ("customer", Shape::Any),
    ("customer_details", Shape::Hash(&[("email", Shape::Any)])),
    ("ending_before", Shape::Any),
    ("expand", Shape::Any),
    ("limit", Shape::Any),
    ("payment_intent", Shape::Any),
    ("payment_link", Shape::Any),
    ("starting_after", Shape::Any),
    ("status", Shape::Any),
    ("subscription", Shape::Any),
];
const LIST_ITEMS: Known = &[
    ("ending_before", Shape::Any),
    ("expand", Shape::Any),
    ("limit", Shape::Any),
    ("starting_after", Shape::Any),
];

/// How long a session is open unless the caller says otherwise, and at most, in seconds.
const OPEN_S: i64 = 24 * 3_600;
/// How long it is open at least.
const OPEN_MIN_S: i64 = 30 * 60;
/// The most items.
const ITEMS_MAX: usize = 100;

/// `POST /v1/checkout/sessions`
pub fn create(call: &mut Call<'_, '_>) -> Outcome<Value> {
    call.params.only(CREATE)?;
    let params = call.params.clone();
    if params.required_text("mode", 100)? != "payment" {
        return Err(ApiError::invalid(
            "Invalid mode: must be payment; the simulator has no other checkouts.",
        )
        .param("mode"));
    }
    let (line_items, currency) = read_items(call, &params)?;
    let amount_total = total(&line_items)?;
    money::check_charge(
        amount_total,
        &currency,
        call.tx.cell.settings.minimum_charge,
    )?;
    let id = call.tx.new_id("cs_test");
    let now = call.tx.now;
    let plan = PaymentIntent::new(String::new(), now, amount_total, currency.clone());
    let mut session = CheckoutSession {
        id,
        created: now,
        status: SessionStatus::Open,
        payment_status: PaymentStatus::Unpaid,
        ui_mode: params.plain_word("ui_mode")?.unwrap_or(UiMode::Hosted),
        amount_total,
        currency,
        line_items,
        success_url: read_url(&params, "success_url")?,
        cancel_url: read_url(&params, "cancel_url")?,
        return_url: read_url(&params, "return_url")?,
        redirect_on_completion: params.plain_word("redirect_on_completion")?,
        client_reference_id: params.text("client_reference_id", 200)?.given(),
        customer: None,
        customer_creation: params.plain_word("customer_creation")?,
        customer_email: None,
        payer_email: None,
        locale: params.text("locale", 10)?.given(),
        submit_type: read_one_of(&params, "submit_type", &["auto", "book", "donate", "pay"])?,
        billing_address_collection: read_one_of(
            &params,
            "billing_address_collection",
            &["auto", "required"],
        )?,
        metadata: Metadata::new(),
        expires_at: read_expiry(&params, now)?,
        plan: Box::new(plan),
        payment_intent: None,
    };
    check_urls(&params, &mut session)?;
    read_payer(call, &params, &mut session)?;
    read_metadata(&params, &mut session.metadata)?;
    read_types(&params, &mut session.plan)?;
    if let Some(data) = params.hash("payment_intent_data")?.given() {
        read_descriptive(&data, &mut session.plan)?;
    }
    call.tx.put(session.clone());
    Ok(session.render(&call.tx.cell.base_url))
}

fn read_one_of(params: &Params<'_>, key: &str, words: &[&str]) -> Outcome<Option<String>> {
    let word = params.text(key, 100)?.given();
    if word.as_deref().is_none_or(|it| words.contains(&it)) {
        return Ok(word);
    }
    let list = words.join(", ");
    Err(ApiError::invalid(format!("Invalid {key}: must be one of {list}")).param(key))
}

/// A hosted form leads elsewhere, an embedded one back to the page that it is part of.
fn check_urls(params: &Params<'_>, session: &mut CheckoutSession) -> Outcome<()> {
    let embedded = session.ui_mode.is_embedded();
    let foreign: &[&str] = match embedded {
        true => &["success_url", "cancel_url"],
        false => &["return_url", "redirect_on_completion"],
    };
    if let Some(param) = foreign.iter().find(|it| params.has(it)) {
        let mode = crate::wire::Word::as_str(session.ui_mode);
        return Err(ApiError::invalid(format!(
            "`{param}` can not be passed when `ui_mode` is `{mode}`."
        ))
        .param(*param));
    }
    if !embedded {
        params.required_text("success_url", 5_000)?;
        return Ok(());
    }
    let redirect = session
        .redirect_on_completion
        .get_or_insert(RedirectOnCompletion::Always);
    match (*redirect, &session.return_url) {
        (RedirectOnCompletion::Never, Some(_)) => Err(ApiError::invalid(
            "`return_url` can not be passed when `redirect_on_completion` is `never`.",
        )
        .param("return_url")),
        (RedirectOnCompletion::Never, None) | (_, Some(_)) => Ok(()),
        (_, None) => Err(ApiError::missing("return_url")),
    }
}

fn read_payer(
    call: &Call<'_, '_>,
    params: &Params<'_>,
    session: &mut CheckoutSession,
) -> Outcome<()> {
    session.customer_email = read_email(params, "customer_email")?.given();
    session.payer_email.clone_from(&session.customer_email);
    let Some(id) = params.text("customer", 500)?.given() else {
        return Ok(());
    };
    if session.customer_email.is_some() || session.customer_creation.is_some() {
        return Err(ApiError::invalid(
            "You may only specify one of these parameters: customer, customer_email, customer_creation.",
        )
        .param("customer"));
    }
    let customer = customers::named(call.tx, &id, "customer")?;
    session.payer_email = customer.email;
    session.customer = Some(customer.id);
    Ok(())
}

fn read_expiry(params: &Params<'_>, now: i64) -> Outcome<i64> {
    let Some(at) = params.int("expires_at")? else {
        return Ok(now + OPEN_S);
    };
    match at - now {
        // A second of grace for a caller whose clock has just ticked.
        left if (OPEN_MIN_S - 1..=OPEN_S + 1).contains(&left) => Ok(at),
        _ => Err(ApiError::invalid(
            "The `expires_at` timestamp must be between 30 minutes and 24 hours from Checkout Session creation.",
        )
        .param("expires_at")),
    }
}

fn read_items(call: &mut Call<'_, '_>, params: &Params<'_>) -> Outcome<(Vec<LineItem>, String)> {
    let items = params
        .hashes("line_items")?
        .filter(|it| !it.is_empty())
        .ok_or_else(|| ApiError::missing("line_items"))?;
    if items.len() > ITEMS_MAX {
        return Err(ApiError::invalid("There are too many line items.").param("line_items"));
    }
    let mut currency: Option<String> = None;
    let mut read = Vec::with_capacity(items.len());
    for item in &items {
        let (line, of_item) = read_item(call, item)?;
        if currency.as_ref().is_some_and(|it| *it != of_item) {
            return Err(
                ApiError::invalid("All line items must have the same currency.")
                    .param("line_items"),
            );
        }
        currency = Some(of_item);
        read.push(line);
    }
    Ok((read, currency.expect("there is an item")))
}

/// An item and its currency: with `price_data`, or with the older `amount`, `currency` and `name`.
fn read_item(call: &mut Call<'_, '_>, item: &Params<'_>) -> Outcome<(LineItem, String)> {
    item.only(ITEM)?;
    if let Some(price) = item.text("price", 500)?.given() {
        return Err(ApiError::no_such("price", &price, &item.name("price")));
    }
    let (amount, of, named) = match item.hash("price_data")?.given() {
        Some(price) => {
            let product = price.hash("product_data")?.given();
            let product = product.ok_or_else(|| ApiError::missing(&price.name("product_data")))?;
            ("unit_amount", price, product)
        }
        None => ("amount", item.clone(), item.clone()),
    };
    let unit_amount = of
        .int(amount)?
        .ok_or_else(|| ApiError::missing(&of.name(amount)))?;
    let currency = money::read_currency(&of, "currency")?
        .ok_or_else(|| ApiError::missing(&of.name("currency")))?;
    let name = named.required_text("name", 5_000)?;
    let quantity = item.int("quantity")?.unwrap_or(1);
    let bad = |param: String| {
        ApiError::invalid("This value must be greater than or equal to 0.")
            .code("parameter_invalid_integer")
            .param(param)
    };
    if unit_amount < 0 {
        return Err(bad(of.name(amount)));
    }
    if quantity < 1 {
        return Err(bad(item.name("quantity")));
    }
    let total = unit_amount.checked_mul(quantity).ok_or_else(too_large)?;
    let line = LineItem {
        id: call.tx.new_id("li"),
        price: call.tx.new_id("price"),
        product: call.tx.new_id("prod"),
        name,
        unit_amount,
        quantity,
        amount: total,
    };
    Ok((line, currency))
}

fn total(items: &[LineItem]) -> Outcome<i64> {
    items.iter().try_fold(0_i64, |sum, item| {
        sum.checked_add(item.amount).ok_or_else(too_large)
    })
}

fn too_large() -> ApiError {
    ApiError::invalid("The total of the line items is too large.")
        .code("amount_too_large")
        .param("line_items")
}

fn the(call: &Call<'_, '_>) -> Outcome<CheckoutSession> {
    call.tx
        .get(call.id)
        .ok_or_else(|| ApiError::not_found("checkout.session", call.id, "session"))
}

/// `GET /v1/checkout/sessions/:id`
pub fn retrieve(call: &mut Call<'_, '_>) -> Outcome<Value> {
    call.params.only(&[("expand", Shape::Any)])?;
    Ok(the(call)?.render(&call.tx.cell.base_url))
}

/// `POST /v1/checkout/sessions/:id`
pub fn update(call: &mut Call<'_, '_>) -> Outcome<Value> {
    call.params.only(UPDATE)?;
    let mut session = the(call)?;
    read_metadata(&call.params, &mut session.metadata)?;
    call.tx.put(session.clone());
    Ok(session.render(&call.tx.cell.base_url))
}

/// `POST /v1/checkout/sessions/:id/expire`
pub fn expire(call: &mut Call<'_, '_>) -> Outcome<Value> {
    call.params.only(&[("expand", Shape::Any)])?;
    let session = the(call)?;
    let session = flow::expire_session(call.tx, session)?;
    Ok(session.render(&call.tx.cell.base_url))
}

/// `GET /v1/checkout/sessions`
pub fn list(call: &mut Call<'_, '_>) -> Outcome<Value> {
    call.params.only(LIST)?;
    let created = Created::read(&call.params)?;
    let customer = customers::filter(call)?;
    let intent = call.params.text("payment_intent", 500)?.given();
    let status: Option<SessionStatus> = call.params.word("status")?.given();
    for what in ["payment_link", "subscription"] {
        // There are none at the simulator.
        if let Some(id) = call.params.text(what, 500)?.given() {
            return Err(ApiError::no_such(what, &id, what));
        }
    }
    let email = match call.params.hash("customer_details")?.given() {
        Some(details) => details.text("email", 800)?.given(),
        None => None,
    };
    let (sessions, has_more) =
        Page::read(&call.params)?.of::<CheckoutSession>(call, "checkout.session", |it| {
            created.covers(it.created)
                && (customer.is_none() || customer == it.customer)
                && (intent.is_none() || intent == it.payment_intent)
                && (email.is_none() || email == it.payer_email)
                && status.is_none_or(|status| status == it.status)
        })?;
    let base_url = &call.tx.cell.base_url;
    let data = sessions.into_iter().map(|it| it.render(base_url)).collect();
    Ok(envelope("/v1/checkout/sessions", data, has_more))
}

/// `GET /v1/checkout/sessions/:id/line_items`: in their own order.
pub fn list_items(call: &mut Call<'_, '_>) -> Outcome<Value> {
    call.params.only(LIST_ITEMS)?;
    let session = the(call)?;
    let limit = read_limit(&call.params)?;
    let place = |param: &str| match call.params.text(param, 500)?.given() {
        None => Ok(None),
        Some(id) => match session.line_items.iter().position(|it| it.id == id) {
            Some(place) => Ok(Some(place)),
            None => Err(ApiError::no_such("item", &id, param)),
        },
    };
    match (place("starting_after")?, place("ending_before")?) {
        (Some(_), Some(_)) => Err(ApiError::invalid(
            "You can only pass one of these parameters: starting_after, ending_before.",
        )
        .param("starting_after")),
        (Some(after), None) => Ok(items_of(&session, after + 1, limit)),
        (None, None) => Ok(items_of(&session, 0, limit)),
        (None, Some(end)) => {
            let begin = end.saturating_sub(limit);
            let mut page = items_of(&session, begin, end - begin);
            page["has_more"] = Value::Bool(begin > 0);
            Ok(page)
        }
    }
}

/// The session's items from a place on.
pub fn items_of(session: &CheckoutSession, begin: usize, limit: usize) -> Value {
    let left = &session.line_items[begin..];
    let data = left.iter().take(limit);
    let data = data.map(|it| session.render_item(it)).collect();
    let url = format!("/v1/checkout/sessions/{}/line_items", session.id);
    envelope(&url, data, left.len() > limit)
}
