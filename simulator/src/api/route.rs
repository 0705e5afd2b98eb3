//! Which handler answers which method and path.

use http::Method;

use super::call::{Handler, Route};
use super::search::search;
use super::{
    balance, charges, checkout_sessions, customers, disputes, events, payment_intents,
    payment_methods, payouts, refunds, webhook_endpoints,
};
use crate::errors::{ApiError, ErrorType, Outcome};
use crate::objects::{Charge, Customer, PaymentIntent};

/// Finds the route.
///
/// # Errors
/// 404 in Stripe's words where there is none.
pub fn find(method: &Method, path: &str) -> Outcome<Route> {
    let segments: Vec<&str> = path.trim_matches('/').split('/').collect();
    let found = match segments.as_slice() {
        ["v1", "checkout", "sessions", rest @ ..] => checkout(method, rest),
        ["v1", resource] => collection(method, resource).map(|handler| (handler, "")),
        ["v1", resource, "search"] if method == Method::GET => {
            searched(resource).map(|handler| (handler, ""))
        }
        ["v1", "balance", "history"] if method == Method::GET => {
            Some((balance::list as Handler, ""))
        }
        ["v1", resource, id] => member(method, resource).map(|handler| (handler, *id)),
        ["v1", resource, id, verb] if method == Method::POST => {
            command(resource, verb).map(|handler| (handler, *id))
        }
        ["v1", "customers", id, "payment_methods"] if method == Method::GET => {
            Some((payment_methods::list_of_customer as Handler, *id))
        }
        ["v1", "customers", _, "payment_methods", _] if method == Method::GET => path
            .split_once("customers/")
            .map(|(_, ids)| (payment_methods::retrieve_of_customer as Handler, ids)),
        ["v1", "balance", "history", id] if method == Method::GET => {
            Some((balance::retrieve as Handler, *id))
        }
        _ => None,
    };
    let (handler, id) = found.ok_or_else(|| {
        ApiError::new(
            404,
            ErrorType::InvalidRequest,
            format!(
                "Unrecognized request URL ({method}: {path}). Please see https://stripe.com/docs or we can help at https://support.stripe.com/."
            ),
        )
        .code("url_invalid")
    })?;
    Ok(Route {
        handler,
        id: id.to_owned(),
        public: is_public(method, &segments),
    })
}

fn checkout<'p>(method: &Method, rest: &[&'p str]) -> Option<(Handler, &'p str)> {
    Some(match (method.as_str(), rest) {
        ("POST", []) => (checkout_sessions::create, ""),
        ("GET", []) => (checkout_sessions::list, ""),
        ("GET", [id]) => (checkout_sessions::retrieve, *id),
        ("POST", [id]) => (checkout_sessions::update, *id),
        ("GET", [id, "line_items"]) => (checkout_sessions::list_items, *id),
        ("POST", [id, "expire"]) => (checkout_sessions::expire, *id),
        _ => return None,
    })
}

fn searched(resource: &str) -> Option<Handler> {
    Some(match resource {
        "charges" => search::<Charge>,
        "customers" => search::<Customer>,
        "payment_intents" => search::<PaymentIntent>,
        _ => return None,
    })
}

fn collection(method: &Method, resource: &str) -> Option<Handler> {
    Some(match (method.as_str(), resource) {
        ("POST", "payment_intents") => payment_intents::create,
        ("GET", "payment_intents") => payment_intents::list,
        ("POST", "payment_methods") => payment_methods::create,
        ("GET", "payment_methods") => payment_methods::list,
        ("POST", "customers") => customers::create,
        ("GET", "customers") => customers::list,
        ("GET", "charges") => charges::list,
        ("GET", "disputes") => disputes::list,
        ("POST", "payouts") => payouts::create,
        ("GET", "payouts") => payouts::list,
        ("POST", "refunds") => refunds::create,
        ("GET", "refunds") => refunds::list,
        ("GET", "balance") => balance::balance,
        ("GET", "balance_transactions") => balance::list,
        ("GET", "events") => events::list,
        ("POST", "webhook_endpoints") => webhook_endpoints::create,
        ("GET", "webhook_endpoints") => webhook_endpoints::list,
        _ => return None,
    })
}

fn member(method: &Method, resource: &str) -> Option<Handler> {
    Some(match (method.as_str(), resource) {
        ("GET", "payment_intents") => payment_intents::retrieve,
        ("POST", "payment_intents") => payment_intents::update,
        ("GET", "payment_methods") => payment_methods::retrieve,
        ("POST", "payment_methods") => payment_methods::update,
        ("GET", "customers") => customers::retrieve,
        ("POST", "customers") => customers::update,
        ("DELETE", "customers") => customers::delete,
        ("GET", "charges") => charges::retrieve,
        ("POST", "charges") => charges::update,
        ("GET", "disputes") => disputes::retrieve,
        ("POST", "disputes") => disputes::update,
        ("GET", "payouts") => payouts::retrieve,
        ("POST", "payouts") => payouts::update,
        ("GET", "refunds") => refunds::retrieve,
        ("POST", "refunds") => refunds::update,
        ("GET", "balance_transactions") => balance::retrieve,
        ("GET", "events") => events::retrieve,
        ("GET", "webhook_endpoints") => webhook_endpoints::retrieve,
        ("POST", "webhook_endpoints") => webhook_endpoints::update,
        ("DELETE", "webhook_endpoints") => webhook_endpoints::delete,
        _ => return None,
    })
}

fn command(resource: &str, verb: &str) -> Option<Handler> {
    Some(match (resource, verb) {
        ("charges", "capture") => charges::capture,
        ("payment_intents", "confirm") => payment_intents::confirm,
        ("payment_intents", "capture") => payment_intents::capture,
        ("payment_intents", "cancel") => payment_intents::cancel,
        ("payment_methods", "attach") => payment_methods::attach_to,
        ("payment_methods", "detach") => payment_methods::detach_from,
        ("disputes", "close") => disputes::close,
        ("payouts", "cancel") => payouts::cancel,
        ("refunds", "cancel") => refunds::cancel,
        _ => return None,
    })
}

/// What a browser may do with a publishable key: make a method, and look at or confirm the intent whose secret it knows.
fn is_public(method: &Method, segments: &[&str]) -> bool {
    matches!(
        (method.as_str(), segments),
        ("GET", ["v1", "payment_intents", _])
            | ("POST", ["v1", "payment_intents", _, "confirm"])
            | ("POST", ["v1", "payment_methods"])
    )
}
