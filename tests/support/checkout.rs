//! What is asked at the checkout's door, and what a payer does on Stripe's page.

use super::{World, send};
use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};
use std::net::SocketAddr;

pub const PATH: &str = "/payment/stripe/v1/checkout";
pub const COMPANY: &str = "11111111-1111-1111-1111-111111111111";
/// What [`wanted`] costs, in minor units of sek.
pub const TOTAL: i64 = 60_000;

/// A hosted checkout of two of article 1 and one of article 2.
pub fn wanted(reference: &str) -> Value {
    json!({
        "CompanyId": COMPANY,
        "CountryCode": "SE",
        "Articles": [{"ArticleId": 1, "ArticleTypeId": 0, "Quantity": 2}, {"ArticleId": 2}],
        "InternalReferenceId": reference,
        "ConfirmationUrl": "https://shop.example/done",
        "UiMode": "hosted",
    })
}

/// With acme's keys.
pub fn keyed(request: RequestBuilder) -> RequestBuilder {
    request
        .header("x-api-key", "bokamera-acme")
        .bearer_auth("customer-9")
}

/// A checkout of `reference`, asked of the world's service.
pub fn ask_for(world: &World, reference: &str) -> RequestBuilder {
    ask_for_at(world, world.address, reference)
}

/// A checkout of `reference`, asked of the service at an address.
pub fn ask_for_at(world: &World, address: SocketAddr, reference: &str) -> RequestBuilder {
    let url = format!("http://{address}{PATH}");
    keyed(world.http.post(url)).json(&wanted(reference))
}

/// Pays on the page as a payer would, and answers where the payer is sent: 303 on to somewhere, 410 where it is too late.
pub async fn pay(world: &World, session: &str, method: &str) -> Response {
    let url = format!("{}_sim/checkout/{session}", world.simulator.url());
    let body = format!("action=pay&email=ada%40example.com&method={method}");
    let payer = reqwest::Client::builder();
    let payer = payer.redirect(reqwest::redirect::Policy::none());
    let request = payer.build().unwrap().post(url).body(body);
    let form = "application/x-www-form-urlencoded";
    let request = request.header("Content-Type", form);
    request.send().await.unwrap()
}

/// The ids of acme's sessions at Stripe that stand so, newest first.
pub async fn at_stripe(world: &World, status: &str) -> Vec<String> {
    let path = format!("/v1/checkout/sessions?limit=100&status={status}");
    let (_, list) = send(world.stripe(Method::GET, &path)).await;
    let sessions = list["data"].as_array().unwrap().iter();
    sessions
        .map(|it| it["id"].as_str().unwrap().to_owned())
        .collect()
}

/// The next request to Stripe that changes something under `path` meets the fault.
pub async fn fault(world: &World, kind: &str, path: &str) {
    let fault = json!({"kind": kind, "method": "POST", "path_prefix": path, "times": 1});
    world.sim(Method::POST, "faults", Some(fault)).await;
}
