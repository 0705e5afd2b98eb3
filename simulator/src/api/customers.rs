//! `/v1/customers`. What belongs to invoices, coupons and bank accounts is not known here.

use serde_json::Value;

use super::call::{
    ADDRESS, Call, SHIPPING, read_address, read_email, read_metadata, read_shipping,
};
use super::lists::{Created, Page, envelope};
use super::payment_methods::{attach, detach};
use crate::errors::{ApiError, Outcome};
use crate::objects::{Customer, PaymentMethod};
use crate::params::{Known, Params, Shape};
use crate::state::Tx;

const INVOICE_SETTINGS: Shape = Shape::Hash(&[("default_payment_method", Shape::Any)]);

const CREATE: Known = &[
    ("address", ADDRESS),
    ("description", Shape::Any),
    ("email", Shape::Any),
    ("expand", Shape::Any),
    ("invoice_settings", INVOICE_SETTINGS),
    ("metadata", Shape::Open),
    ("name", Shape::Any),
    ("payment_method", Shape::Any),
    ("phone", Shape::Any),
    ("preferred_locales", Shape::Any),
    ("shipping", SHIPPING),
    ("tax_exempt", Shape::Any),
];
const UPDATE: Known = &[
    ("address", ADDRESS),
    ("description", Shape::Any),
    ("email", Shape::Any),
    ("expand", Shape::Any),
    ("invoice_settings", INVOICE_SETTINGS),
    ("metadata", Shape::Open),
    ("name", Shape::Any),
    ("phone", Shape::Any),
    ("preferred_locales", Shape::Any),
    ("shipping", SHIPPING),
    ("tax_exempt", Shape::Any),
];
const LIST: Known = &[
    ("created", Shape::Any),
    ("email", Shape::Any),
    ("ending_before", Shape::Any),
    ("expand", Shape::Any),
    ("limit", Shape::Any),
    ("starting_after", Shape::Any),
];

/// `POST /v1/customers`
pub fn create(call: &mut Call<'_, '_>) -> Outcome<Value> {
    call.params.only(CREATE)?;
    let params = call.params.clone();
    let mut customer = Customer::new(call.tx.new_id("cus"), call.tx.now);
    call.tx.put(customer.clone());
    let method = match params.text("payment_method", 500)?.given() {
        Some(id) => Some(attach(call.tx, &id, "payment_method", &customer)?),
        None => None,
    };
    read_attributes(call.tx, &params, &mut customer)?;
    call.tx.put(customer.clone());
    call.tx.emit("customer.created", &customer.render());
    if let Some(method) = method {
        call.tx.emit("payment_method.attached", &method.render());
    }
    Ok(customer.render())
}

fn read_attributes(tx: &Tx<'_>, params: &Params<'_>, customer: &mut Customer) -> Outcome<()> {
    if params.has("address") {
        customer.address = read_address(params)?;
    }
    let description = params.text("description", 5_000)?;
    description.apply(&mut customer.description);
    read_email(params, "email")?.apply(&mut customer.email);
    params.text("name", 256)?.apply(&mut customer.name);
    params.text("phone", 20)?.apply(&mut customer.phone);
    read_shipping(params)?.apply(&mut customer.shipping);
    read_metadata(params, &mut customer.metadata)?;
    if let Some(exempt) = params.word("tax_exempt")?.given() {
        customer.tax_exempt = exempt;
    }
    if let Some(locales) = params.texts("preferred_locales")? {
        customer.preferred_locales = locales;
    }
    let Some(settings) = params.hash("invoice_settings")?.given() else {
        return Ok(());
    };
    let default = settings.text("default_payment_method", 500)?;
    default.apply(&mut customer.default_payment_method);
    let Some(id) = &customer.default_payment_method else {
        return Ok(());
    };
    let method: Option<PaymentMethod> = tx.get(id);
    match method.filter(|it| it.customer.as_ref() == Some(&customer.id)) {
        Some(_) => Ok(()),
        None => Err(ApiError::invalid(format!(
            "The customer does not have a payment method with the ID {id}. The payment method must be attached to the customer."
        ))
        .code("resource_missing")
        .param(settings.name("default_payment_method"))),
    }
}

/// The customer with this id, as a parameter names it.
///
/// # Errors
/// 400 when there is none, or no longer.
pub fn named(tx: &Tx<'_>, id: &str, param: &str) -> Outcome<Customer> {
    let customer: Option<Customer> = tx.get(id);
    customer
        .filter(|it| !it.deleted)
        .ok_or_else(|| ApiError::no_such("customer", id, param))
}

/// The filter `customer` of a list.
///
/// # Errors
/// 400 when it names nobody. A deleted customer's objects are still listed.
pub fn filter(call: &Call<'_, '_>) -> Outcome<Option<String>> {
    let Some(id) = call.params.text("customer", 500)?.given() else {
        return Ok(None);
    };
    match call.tx.get::<Customer>(&id) {
        Some(_) => Ok(Some(id)),
        None => Err(ApiError::no_such("customer", &id, "customer")),
    }
}

fn the(call: &Call<'_, '_>) -> Outcome<Customer> {
    call.tx
        .get(call.id)
        .ok_or_else(|| ApiError::not_found("customer", call.id, "id"))
}

fn the_living(call: &Call<'_, '_>) -> Outcome<Customer> {
    let customer = the(call)?;
    match customer.deleted {
        true => Err(ApiError::not_found("customer", call.id, "id")),
        false => Ok(customer),
    }
}

/// `GET /v1/customers/:id`: of a deleted one, that it is deleted.
pub fn retrieve(call: &mut Call<'_, '_>) -> Outcome<Value> {
    call.params.only(&[("expand", Shape::Any)])?;
    Ok(the(call)?.render())
}

/// `POST /v1/customers/:id`
pub fn update(call: &mut Call<'_, '_>) -> Outcome<Value> {
    call.params.only(UPDATE)?;
    let mut customer = the_living(call)?;
    read_attributes(call.tx, &call.params, &mut customer)?;
    call.tx.put(customer.clone());
    call.tx.emit("customer.updated", &customer.render());
    Ok(customer.render())
}

/// `DELETE /v1/customers/:id`: its methods are detached, and so of no more use.
pub fn delete(call: &mut Call<'_, '_>) -> Outcome<Value> {
    call.params.only(&[])?;
    let customer = the_living(call)?;
    let methods: Vec<PaymentMethod> = call
        .tx
        .tables()
        .payment_methods
        .oldest_first()
        .filter(|it| it.customer.as_ref() == Some(&customer.id))
        .cloned()
        .collect();
    for method in methods {
        detach(call.tx, method);
    }
    call.tx.emit("customer.deleted", &customer.render());
    let erased = erased(customer);
    call.tx.put(erased.clone());
    Ok(erased.render())
}

/// What is kept of a deleted customer: that it was there.
fn erased(customer: Customer) -> Customer {
    Customer {
        deleted: true,
        ..Customer::new(customer.id, customer.created)
    }
}

/// `GET /v1/customers`
pub fn list(call: &mut Call<'_, '_>) -> Outcome<Value> {
    call.params.only(LIST)?;
    let created = Created::read(&call.params)?;
    let email = call.params.text("email", 512)?.given();
    let (customers, has_more) =
        Page::read(&call.params)?.of::<Customer>(call, "customer", |it| {
            !it.deleted && created.covers(it.created) && (email.is_none() || email == it.email)
        })?;
    let data = customers.into_iter().map(Customer::render).collect();
    Ok(envelope("/v1/customers", data, has_more))
}
