//! Every command of every door: what has to be there before it, and how it is asked for. `tag` names the run, so that many fit
//! into one world.

use crate::support::checkout::{self, keyed, wanted};
use crate::support::{World, card_payment, send};
use futures::FutureExt;
use futures::future::BoxFuture;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

/// What has to be there before; answers what the request needs to know of it.
type Prepare = for<'w> fn(&'w World, &'w str) -> BoxFuture<'w, Value>;

pub struct Command {
    pub name: &'static str,
    pub prepare: Prepare,
    pub ask: fn(&World, &str, &Value) -> RequestBuilder,
    /// What a repetition may be answered with instead, where the door has no key and the thing is gone or done.
    pub or_status: Option<u16>,
}

const INTENTS: &str = "/v1/payment_intents";
pub const GOOD: &str = "4242424242424242";
const DECLINED: &str = "4000000000009995";
const AT_THE_BANK: &str = "4000002760003184";
const ORDERS: &str = "/ledger/v1/orders";
const SOURCES: &str = "/api/stripe_payments";
const MEDIA_TYPE: &str = "application/vnd.api+json";

pub fn all() -> Vec<Command> {
    let mut all = payments();
    all.extend(orders());
    all.extend(sources());
    all.extend(native());
    all.extend(of_stripes_own());
    all
}

fn command(
    name: &'static str,
    prepare: Prepare,
    ask: fn(&World, &str, &Value) -> RequestBuilder,
) -> Command {
    Command {
        name,
        prepare,
        ask,
        or_status: None,
    }
}

fn nothing<'w>(_: &'w World, _: &'w str) -> BoxFuture<'w, Value> {
    async { Value::Null }.boxed()
}

/// Under the run's own idempotency key.
fn once(request: RequestBuilder, tag: &str) -> RequestBuilder {
    request.header("Idempotency-Key", format!("key-{tag}"))
}

fn pay(world: &World, tag: &str, path: &str, body: Value) -> RequestBuilder {
    once(world.pay(path, body), tag)
}

/// As Stripe's own clients ask.
pub fn stripe(world: &World, path: &str, form: &str) -> RequestBuilder {
    world
        .post(path)
        .bearer_auth("sk_test_acme")
        .header("Stripe-Version", "2023-08-16")
        .header("Content-Type", "application/x-www-form-urlencoded")
        .body(form.to_owned())
}

async fn made(request: RequestBuilder) -> Value {
    let (status, answer) = send(request).await;
    assert!((200..300).contains(&status), "{status} {answer}");
    answer
}

fn at(known: &Value, rest: &str) -> String {
    format!("{INTENTS}/{}{rest}", known["id"].as_str().unwrap())
}

/// An intent of 20.00 that nobody has confirmed.
fn open<'w>(world: &'w World, _: &'w str) -> BoxFuture<'w, Value> {
    let body = json!({"amount": 2000, "currency": "usd", "payment_method_types": ["card"]});
    made(world.pay(INTENTS, body)).boxed()
}

/// 20.00 held on a card.
fn held<'w>(world: &'w World, _: &'w str) -> BoxFuture<'w, Value> {
    let mut body = card_payment(2000, "usd", GOOD);
    body["capture_method"] = json!("manual");
    made(world.pay(INTENTS, body)).boxed()
}

/// 20.00 taken from a card.
fn paid<'w>(world: &'w World, _: &'w str) -> BoxFuture<'w, Value> {
    made(world.pay(INTENTS, card_payment(2000, "usd", GOOD))).boxed()
}

fn payments() -> Vec<Command> {
    let method =
        |it: &'static str| json!({"payment_method": it, "return_url": "https://a.example"});
    let _ = method;
    vec![
        command("intent: create", nothing, |world, tag, _| {
            let body = json!({"amount": 2000, "currency": "usd", "payment_method_types": ["card"]});
            pay(world, tag, INTENTS, body)
        }),
        command("intent: create and confirm", nothing, |world, tag, _| {
            pay(world, tag, INTENTS, card_payment(2000, "usd", GOOD))
        }),
        command(
            "intent: create and be declined",
            nothing,
            |world, tag, _| pay(world, tag, INTENTS, card_payment(2000, "usd", DECLINED)),
        ),
        command("intent: create for the bank", nothing, |world, tag, _| {
            pay(world, tag, INTENTS, card_payment(2000, "usd", AT_THE_BANK))
        }),
        command(
            "intent: create as Stripe's clients",
            nothing,
            |world, tag, _| {
                let form = "amount=2000&currency=usd&confirm=true&payment_method=pm_card_visa\
                        &automatic_payment_methods[enabled]=true&automatic_payment_methods[allow_redirects]=never";
                once(stripe(world, INTENTS, form), tag)
            },
        ),
        command("intent: update", open, |world, tag, known| {
            pay(world, tag, &at(known, ""), json!({"amount": 2500}))
        }),
        command("intent: confirm", open, |world, tag, known| {
            let body = json!({"payment_method": "pm_card_visa"});
            pay(world, tag, &at(known, "/confirm"), body)
        }),
        command("intent: capture", held, |world, tag, known| {
            pay(world, tag, &at(known, "/capture"), json!({}))
        }),
        command("intent: capture a part", held, |world, tag, known| {
            let body = json!({"amount_to_capture": 1500});
            pay(world, tag, &at(known, "/capture"), body)
        }),
        command("intent: cancel", held, |world, tag, known| {
            pay(world, tag, &at(known, "/cancel"), json!({}))
        }),
        command("refund", paid, |world, tag, known| {
            pay(
                world,
                tag,
                "/v1/refunds",
                json!({"payment_intent": known["id"]}),
            )
        }),
        command("refund a part", paid, |world, tag, known| {
            let body = json!({"payment_intent": known["id"], "amount": 700});
            pay(world, tag, "/v1/refunds", body)
        }),
        command("refund as Stripe's clients", paid, |world, tag, known| {
            let form = format!(
                "payment_intent={}&amount=700",
                known["id"].as_str().unwrap()
            );
            once(stripe(world, "/v1/refunds", &form), tag)
        }),
    ]
}

pub fn order(source: &str, tag: &str) -> Value {
    json!({
        "source": source, "reference": tag, "number": format!("N-{tag}"), "customer": "customer-9", "currency": "usd",
        "lines": [{"name": "Shoes", "unit_minor": 2000, "quantity": 1}],
    })
}

fn admin(world: &World, path: &str, body: &Value) -> RequestBuilder {
    world.post(path).bearer_auth("admin-acme").json(body)
}

pub fn shop(world: &World, tag: &str, rest: &str) -> RequestBuilder {
    let path = format!("/api/v1/shop/orders/{tag}/{rest}");
    world
        .post(&path)
        .bearer_auth("customer-9")
        .header("X-API-Key", "123456789")
        .header("Content-Type", "application/json")
}

/// An order of the shop.
pub fn ordered<'w>(world: &'w World, tag: &'w str) -> BoxFuture<'w, Value> {
    made(admin(world, ORDERS, &order("shop", tag))).boxed()
}

/// An order of the shop with a payment that can pay it.
fn asked<'w>(world: &'w World, tag: &'w str) -> BoxFuture<'w, Value> {
    async move {
        let placed = ordered(world, tag).await;
        let answer = made(shop(world, tag, "payment-intent")).await;
        json!({"order": placed["id"], "id": answer["data"]["id"]})
    }
    .boxed()
}

/// An order of the shop that its customer has paid at Stripe, behind our back.
pub fn paid_behind_our_back<'w>(world: &'w World, tag: &'w str) -> BoxFuture<'w, Value> {
    async move {
        let known = asked(world, tag).await;
        let body = json!({"payment_method": "pm_card_visa"});
        made(
            world
                .stripe(Method::POST, &at(&known, "/confirm"))
                .json(&body),
        )
        .await;
        known
    }
    .boxed()
}

/// An offer of its own.
fn offered<'w>(world: &'w World, tag: &'w str) -> BoxFuture<'w, Value> {
    made(admin(world, "/ledger/v1/offers", &offer(tag))).boxed()
}

fn offer(tag: &str) -> Value {
    json!({
        "number": tag, "currency": "gbp",
        "groups": [{"name": "combined", "products": [{"code": "core", "name": "Core cover", "price_minor": 8000}]}],
        "selection": [{"group": "combined", "code": "core"}],
    })
}

/// A checkout that is open under the reference; the order's id and Stripe's session.
fn opened<'w>(world: &'w World, tag: &'w str) -> BoxFuture<'w, Value> {
    async move {
        let answer = made(checkout::ask_for(world, tag)).await;
        let reference = format!("{}/{tag}", checkout::COMPANY);
        let name = [("source", "checkout"), ("reference", &reference)];
        let query = serde_urlencoded::to_string(name).unwrap();
        let listed = world.get(&format!("{ORDERS}?{query}"));
        let listed = made(listed.bearer_auth("admin-acme")).await;
        json!({"order": listed["data"][0]["id"], "session": answer["SessionId"]})
    }
    .boxed()
}

fn orders() -> Vec<Command> {
    vec![
        command("offer: pay", offered, |world, tag, _| {
            let body = json!({"offer_oid": tag});
            let path = "/api/offer/createpaymentintent";
            world.post(path).bearer_auth("offers-acme").json(&body)
        }),
        command("offer: pay under a key", offered, |world, tag, _| {
            let body = json!({"offer_oid": tag});
            let path = "/api/offer/createpaymentintent";
            once(world.post(path).bearer_auth("offers-acme").json(&body), tag)
        }),
        command("shop: ask for a payment", ordered, |world, tag, _| {
            shop(world, tag, "payment-intent")
        }),
        command(
            "shop: mark as paid",
            paid_behind_our_back,
            |world, tag, _| shop(world, tag, "payment"),
        ),
        command("checkout: open", nothing, |world, tag, _| {
            once(checkout::ask_for(world, tag), tag)
        }),
        command("checkout: open another", opened, |world, tag, _| {
            once(checkout::ask_for(world, tag), tag)
        }),
        command("checkout: in another format", nothing, |world, tag, _| {
            let path = "/json/reply/StripeV1CreateCheckout";
            once(keyed(world.post(path)).json(&wanted(tag)), tag)
        }),
        command(
            "checkout: expire as Stripe's clients",
            opened,
            |world, tag, known| {
                let session = known["session"].as_str().unwrap();
                once(
                    stripe(
                        world,
                        &format!("/v1/checkout/sessions/{session}/expire"),
                        "",
                    ),
                    tag,
                )
            },
        ),
    ]
}

fn json_api(world: &World, method: Method, path: &str) -> RequestBuilder {
    let request = world.request(method, path).bearer_auth("cl-acme");
    request
        .header("Accept", MEDIA_TYPE)
        .header("Content-Type", MEDIA_TYPE)
}

fn source(world: &World, tag: &str) -> RequestBuilder {
    let order = json!({"data": {"type": "orders", "id": tag}});
    let data =
        json!({"type": "stripe_payments", "attributes": {}, "relationships": {"order": order}});
    json_api(world, Method::POST, SOURCES).body(json!({"data": data}).to_string())
}

fn change(world: &World, known: &Value, attributes: Value) -> RequestBuilder {
    let id = known["data"]["id"].as_str().unwrap();
    let data = json!({"type": "stripe_payments", "id": id, "attributes": attributes});
    let request = json_api(world, Method::PATCH, &format!("{SOURCES}/{id}"));
    request.body(json!({"data": data}).to_string())
}

/// An order of Commerce Layer's kind.
fn commerce<'w>(world: &'w World, tag: &'w str) -> BoxFuture<'w, Value> {
    made(admin(world, ORDERS, &order("commerce_layer", tag))).boxed()
}

/// The same with a payment source.
fn sourced<'w>(world: &'w World, tag: &'w str) -> BoxFuture<'w, Value> {
    async move {
        commerce(world, tag).await;
        made(source(world, tag)).await
    }
    .boxed()
}

fn sources() -> Vec<Command> {
    vec![
        command("source: create", commerce, |world, tag, _| {
            source(world, tag)
        }),
        command("source: create under a key", commerce, |world, tag, _| {
            once(source(world, tag), tag)
        }),
        command("source: describe", sourced, |world, tag, known| {
            let attributes = json!({"receipt_email": "ada@example.com", "reference": tag});
            once(change(world, known, attributes), tag)
        }),
        command("source: refresh", sourced, |world, tag, known| {
            once(change(world, known, json!({"_refresh": true})), tag)
        }),
        Command {
            or_status: Some(404),
            ..command("source: delete", sourced, |world, _, known| {
                let id = known["data"]["id"].as_str().unwrap();
                json_api(world, Method::DELETE, &format!("{SOURCES}/{id}"))
            })
        },
    ]
}

fn reprice(world: &World, tag: &str, order: &Value, currency: &str) -> RequestBuilder {
    let price = json!({
        "currency": currency, "lines": [{"name": "Shoes", "unit_minor": 2500, "quantity": 1}],
    });
    let path = format!("{ORDERS}/{}/reprice", order.as_str().unwrap());
    once(admin(world, &path, &price), tag)
}

fn cancel(world: &World, tag: &str, order: &Value) -> RequestBuilder {
    let path = format!("{ORDERS}/{}/cancel", order.as_str().unwrap());
    once(admin(world, &path, &json!({"reason": "sold out"})), tag)
}

fn native() -> Vec<Command> {
    vec![
        command("native: place an order", nothing, |world, tag, _| {
            once(admin(world, ORDERS, &order("shop", tag)), tag)
        }),
        command(
            "native: reprice under a payment",
            asked,
            |world, tag, known| reprice(world, tag, &known["order"], "usd"),
        ),
        command(
            "native: cancel under a payment",
            asked,
            |world, tag, known| cancel(world, tag, &known["order"]),
        ),
        command(
            "native: reprice under a checkout",
            opened,
            |world, tag, known| reprice(world, tag, &known["order"], "sek"),
        ),
        command(
            "native: cancel under a checkout",
            opened,
            |world, tag, known| cancel(world, tag, &known["order"]),
        ),
        command("native: publish an offer", nothing, |world, tag, _| {
            once(admin(world, "/ledger/v1/offers", &offer(tag)), tag)
        }),
        command("native: make a key", nothing, |world, tag, _| {
            let body = json!({"kind": "shop", "scopes": ["payments:read"]});
            once(admin(world, "/ledger/v1/keys", &body), tag)
        }),
        command(
            "native: make a customer's token",
            nothing,
            |world, tag, _| {
                let body = json!({"customer": tag});
                once(admin(world, "/ledger/v1/customers/tokens", &body), tag)
            },
        ),
    ]
}

/// A customer at Stripe.
fn customer<'w>(world: &'w World, _: &'w str) -> BoxFuture<'w, Value> {
    made(stripe(world, "/v1/customers", "name=Ada")).boxed()
}

fn of_stripes_own() -> Vec<Command> {
    vec![
        command("customer: create", nothing, |world, tag, _| {
            let form = "name=Ada&email=ada%40example.com";
            once(stripe(world, "/v1/customers", form), tag)
        }),
        command("customer: update", customer, |world, tag, known| {
            let path = format!("/v1/customers/{}", known["id"].as_str().unwrap());
            once(stripe(world, &path, "name=Grace"), tag)
        }),
        command("webhook endpoint: create", nothing, |world, tag, _| {
            let form = format!("url=https://example.com/{tag}&enabled_events[]=payout.paid");
            once(stripe(world, "/v1/webhook_endpoints", &form), tag)
        }),
    ]
}
