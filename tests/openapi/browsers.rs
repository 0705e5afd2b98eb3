//! What a script on somebody else's page may read.

use super::support::{World, card_payment, send};
use reqwest::{Method, RequestBuilder};
use serde_json::Value;

const PAGE: &str = "https://shop.example";

fn of_page(request: RequestBuilder) -> RequestBuilder {
    request.header("origin", PAGE)
}

/// What a browser asks before it sends a `GET` with a key in it.
fn preflight(world: &World, path: &str) -> RequestBuilder {
    of_page(world.request(Method::OPTIONS, path))
        .header("access-control-request-method", "GET")
        .header("access-control-request-headers", "authorization")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customers_browser_may_read_the_intent_that_it_has_the_secret_of() {
    let world = World::start().await;
    let payment = card_payment(2000, "usd", "4242424242424242");
    let (_, paid) = send(world.pay("/v1/payment_intents", payment)).await;
    let path = format!("/v1/payment_intents/{}", paid["id"].as_str().unwrap());
    let asked = preflight(&world, &path).send().await.unwrap();
    assert_eq!(asked.status(), 200);
    let allowed = |name: &str| asked.headers()[name].to_str().unwrap().to_owned();
    assert_eq!(allowed("access-control-allow-origin"), "*");
    assert_eq!(allowed("access-control-allow-methods"), "GET");
    assert!(allowed("access-control-allow-headers").contains("authorization"));
    let secret = paid["client_secret"].as_str().unwrap();
    let read = of_page(world.get(&format!("{path}?client_secret={secret}")));
    let read = read.bearer_auth("pk_test_acme").send().await.unwrap();
    assert_eq!(read.status(), 200);
    assert_eq!(read.headers()["access-control-allow-origin"], "*");
    let exposed = read.headers()["access-control-expose-headers"]
        .to_str()
        .unwrap();
    assert!(exposed.contains("request-id"), "{exposed}");
    let intent: Value = read.json().await.unwrap();
    assert_eq!(intent["status"], "succeeded");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_else_is_for_scripts_of_other_pages_and_an_options_of_nobodys_is_a_wrong_method() {
    let world = World::start().await;
    for path in [
        "/v1/payment_intents",
        "/v1/charges",
        "/v1/payment_intents/pi_1/confirm",
        "/api/v1/shop/orders/9/payment",
        "/metrics",
    ] {
        let asked = preflight(&world, path).send().await.unwrap();
        assert_eq!(asked.status(), 405, "{path}");
        assert!(
            !asked.headers().contains_key("access-control-allow-origin"),
            "{path}"
        );
    }
    let list = of_page(world.get("/v1/payment_intents")).bearer_auth("sk_test_acme");
    let list = list.send().await.unwrap();
    assert_eq!(list.status(), 200);
    assert!(!list.headers().contains_key("access-control-allow-origin"));
    let options = world.request(Method::OPTIONS, "/v1/payment_intents/pi_1");
    let options = options.send().await.unwrap();
    assert_eq!(options.status(), 405);
    assert_eq!(options.headers()["allow"], "GET,HEAD,POST");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_has_a_request_id_of_its_own() {
    let world = World::start().await;
    let mut seen = std::collections::BTreeSet::new();
    let asked = [
        world.get("/healthz"),
        world.get("/docs"),
        world.get("/nowhere"),
        world.get("/v1/nowhere"),
        world.request(Method::PATCH, "/v1/charges"),
        world.request(Method::HEAD, "/v1/balance"),
        world.request(Method::from_bytes(b"BREW").unwrap(), "/readyz"),
        preflight(&world, "/openapi.json"),
        world.shop_create(),
    ];
    let many = asked.len();
    for request in asked {
        let answer = request.send().await.unwrap();
        let id = answer.headers()["request-id"].to_str().unwrap().to_owned();
        assert!(id.starts_with("req_") && id.len() == 36, "{id}");
        seen.insert(id);
    }
    assert_eq!(seen.len(), many);
    world.stop().await;
}
