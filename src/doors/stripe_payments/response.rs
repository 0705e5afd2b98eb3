//! Payments, orders and gateways as JSON:API resources.

use aggregates::order::Status as OrderStatus;
use aggregates::payment::{Facts, Status};
use chrono::{DateTime, SecondsFormat, Utc};
use secrecy::ExposeSecret;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

use super::error::Refusal;
use super::history::{self, Kind};
use super::request::{Asked, Call};
use super::{GATEWAYS, ORDERS, PATH};
use crate::http::json_api::{Identifier, Related, Relationship, Resource};
use crate::use_cases::{App, Instrument, OrderView, PaymentSource, StripeView};

/// For whom, and in answer to what, resources are shown.
pub struct Shown<'a> {
    pub call: &'a Call,
    pub asked: &'a Asked,
}

/// What goes along with a payment.
pub struct Include {
    pub linkage: BTreeMap<&'static str, Related>,
    pub resources: Vec<Resource>,
}

/// What is to be included of a payment.
pub async fn include(
    app: &App,
    asked: &Asked,
    shown: &Shown<'_>,
    source: &PaymentSource,
) -> Result<Include, Refusal> {
    let (mut linkage, mut resources) = (BTreeMap::new(), Vec::new());
    let wants = |name: &str| asked.query.include.contains(name);
    if wants("order") {
        let order = source.order.short_id(source.order_id);
        let order = shown.order(&app.order_view(&asked.caller, &order).await?);
        linkage.insert("order", Related::One(Some(order.identifier.clone())));
        resources.push(order);
    }
    if wants("payment_gateway") {
        let gateway = shown.gateway();
        linkage.insert(
            "payment_gateway",
            Related::One(Some(gateway.identifier.clone())),
        );
        resources.push(gateway);
    }
    if wants("versions") || wants("event_stores") {
        let id = source.id.short();
        let changes = app.payment_source_history(&asked.caller, &id).await?;
        for kind in [Kind::Versions, Kind::EventStores] {
            if wants(kind.name()) {
                let all = history::resources(shown, kind, &id, &changes);
                let ids = all.iter().map(|it| it.identifier.clone()).collect();
                linkage.insert(kind.name(), Related::Many(ids));
                resources.extend(all);
            }
        }
    }
    Ok(Include { linkage, resources })
}

/// Where a payment is served.
pub fn self_of(call: &Call, source: &PaymentSource) -> String {
    format!("{}{PATH}/{}", call.base, source.id.short())
}

impl<'a> Shown<'a> {
    pub fn new(call: &'a Call, asked: &'a Asked) -> Self {
        Self { call, asked }
    }

    pub fn payment(
        &self,
        it: &PaymentSource,
        linkage: &BTreeMap<&'static str, Related>,
    ) -> Resource {
        let relationships = super::query::RELATIONSHIPS.map(|name| Relationship {
            name,
            linkage: linkage.get(name).cloned(),
        });
        Resource {
            identifier: Identifier {
                kind: super::NAME,
                id: it.id.short(),
            },
            self_link: self_of(self.call, it),
            attributes: attributes(it, &self.asked.stripe),
            relationships: relationships.into(),
            meta: self.call.meta_of(self.asked),
        }
    }

    pub fn order_of(&self, it: &PaymentSource) -> Identifier {
        Identifier {
            kind: "orders",
            id: it.order.short_id(it.order_id),
        }
    }

    pub fn order(&self, it: &OrderView) -> Resource {
        let id = it.facts.short_id(it.id);
        Resource {
            self_link: format!("{}{ORDERS}/{id}", self.call.base),
            identifier: Identifier { kind: "orders", id },
            attributes: order_attributes(it),
            relationships: vec![],
            meta: self.call.meta_of(self.asked),
        }
    }

    pub fn gateway(&self) -> Resource {
        let (merchant, stripe) = (&self.asked.caller.merchant, &self.asked.stripe);
        let id = merchant.id.short("stripe_gateway");
        let attributes = json!({
            "name": "Stripe",
            "connected_account": stripe.account,
            "publishable_key": stripe.publishable_key,
            "auto_payments": false,
            "webhook_endpoint_url": format!("{}/webhooks/stripe/{}", self.call.base, merchant.id),
            "disabled_at": null,
            "created_at": time(stripe.since),
            "updated_at": time(stripe.since),
            "reference": null,
            "reference_origin": null,
            "metadata": {},
        });
        Resource {
            self_link: format!("{}{GATEWAYS}/{id}", self.call.base),
            identifier: Identifier {
                kind: "stripe_gateways",
                id,
            },
            attributes: object(attributes),
            relationships: vec![],
            meta: self.call.meta_of(self.asked),
        }
    }
}

/// The eighteen attributes.
fn attributes(it: &PaymentSource, stripe: &StripeView) -> Map<String, Value> {
    let at_stripe = it.at_stripe.as_ref();
    let secret = at_stripe.and_then(|it| it.client_secret.as_ref());
    let secret = secret.map(|it| it.expose_secret().to_owned());
    let method = it.facts.payment_method.as_ref();
    let instrument = at_stripe.and_then(|it| it.instrument.as_ref());
    let mut attributes = known_attributes(&it.facts);
    let told = |name: &str, told: Option<&String>| {
        told.map_or_else(|| option(&it.facts, name), |it| it.as_str().into())
    };
    let rest = json!({
        "client_secret": secret,
        "connected_account": stripe.account,
        "publishable_key": stripe.publishable_key,
        "on_behalf_of": told("on_behalf_of", at_stripe.and_then(|it| it.on_behalf_of.as_ref())),
        "transfer_group": told("transfer_group", at_stripe.and_then(|it| it.transfer_group.as_ref())),
        "mismatched_amounts": it.is_mismatched(),
        "receipt_email": it.email,
        "payment_instrument": instrument.map_or_else(|| json!({}), shown_instrument),
        "created_at": time(it.created_at),
        "updated_at": time(it.updated_at),
    });
    attributes.extend(object(rest));
    attributes.insert(
        "payment_method".to_owned(),
        method.map_or_else(|| json!({}), |id| json!({"id": id})),
    );
    attributes
}

/// What of the attributes the payment's events alone tell.
pub fn known_attributes(facts: &Facts) -> Map<String, Value> {
    let said = facts.described.as_deref();
    let text = |of: Option<&Option<String>>| json!(of.and_then(Option::as_ref));
    let known = json!({
        "stripe_id": facts.intent.as_ref().map(|it| &it.id),
        "charge_id": facts.charge,
        "options": said.map(|it| it.options.clone()).unwrap_or_default(),
        "payment_method": facts.payment_method.as_ref().map_or_else(|| json!({}), |id| json!({"id": id})),
        "return_url": facts.returns_to(),
        "reference": text(said.map(|it| &it.reference)),
        "reference_origin": text(said.map(|it| &it.reference_origin)),
        "metadata": facts.said_metadata(),
    });
    object(known)
}

/// One of the options, where Stripe was not asked.
fn option(facts: &Facts, name: &str) -> Value {
    let said = facts.described.as_deref();
    said.and_then(|it| it.options.get(name).cloned())
        .filter(Value::is_string)
        .unwrap_or_default()
}

fn shown_instrument(it: &Instrument) -> Value {
    let mut shown = Map::new();
    shown.insert("payment_method_type".to_owned(), it.kind.clone().into());
    for (name, value) in [
        ("issuer", &it.issuer),
        ("card_type", &it.brand),
        ("card_last_digits", &it.last_digits),
    ] {
        if let Some(value) = value {
            shown.insert(name.to_owned(), value.clone().into());
        }
    }
    if let Some((month, year)) = it.expires {
        shown.insert("card_expiry_month".to_owned(), month.to_string().into());
        shown.insert("card_expiry_year".to_owned(), year.to_string().into());
    }
    shown.into()
}

/// Amounts in minor units of the currency, whatever the vendor's names say.
fn order_attributes(it: &OrderView) -> Map<String, Value> {
    let (total, tax) = (it.facts.total(), it.facts.price.tax);
    let status = match &it.facts.status {
        OrderStatus::Open => "pending",
        OrderStatus::Paid { .. } => "placed",
        OrderStatus::Cancelled { .. } => "cancelled",
    };
    object(json!({
        "number": it.facts.number,
        "status": status,
        "payment_status": payment_status(it),
        "fulfillment_status": "unfulfilled",
        "currency_code": total.currency().code().to_uppercase(),
        "total_amount_cents": total.minor(),
        "total_tax_amount_cents": tax.minor(),
        "total_taxable_amount_cents": total.minor().saturating_sub(tax.minor()),
        "line_items_count": it.facts.price.lines.len(),
        "created_at": time(it.created_at),
        "updated_at": time(it.updated_at),
        "reference": it.facts.reference,
        "reference_origin": it.facts.source,
        "metadata": {},
    }))
}

fn payment_status(it: &OrderView) -> &'static str {
    let payment = it.payment.as_ref();
    match (&it.facts.status, payment) {
        (OrderStatus::Paid { .. }, Some(payment)) => {
            let (taken, back) = (payment.captured.minor(), payment.refunded().minor());
            match back {
                0 => "paid",
                back if back < taken => "partially_refunded",
                _ => "refunded",
            }
        }
        (OrderStatus::Paid { .. }, None) => "paid",
        (OrderStatus::Cancelled { .. }, _) => "voided",
        (OrderStatus::Open, Some(it)) if it.status == Status::RequiresCapture => "authorized",
        (OrderStatus::Open, _) => "unpaid",
    }
}

/// As the vendor writes times: to the millisecond.
pub fn time(it: DateTime<Utc>) -> String {
    it.to_rfc3339_opts(SecondsFormat::Millis, true)
}

pub fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}
