//! A payment begun at each of the doors, in its dialect, and paid.

use crate::support::{World, card_payment, send};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

const FORM: &str = "application/x-www-form-urlencoded";
pub const COMPANY: &str = "11111111-1111-1111-1111-111111111111";
const CHECKOUT: &str = "/payment/stripe/v1/checkout";
const SOURCES: &str = "/api/stripe_payments";
const OFFERS: &str = "/api/offer/createpaymentintent";

/// Where a payment was begun, as far as that door has more to say of it.
#[derive(Debug)]
enum Door {
    Shop,
    Offers,
    /// With Stripe's session.
    Checkout(String),
    Intents,
    /// With the payment's id there.
    StripePayments(String),
    /// With the order's reference.
    Native(&'static str),
}

/// A payment that its customer has paid.
#[derive(Debug)]
pub struct Begun {
    door: Door,
    /// Stripe's id.
    pub intent: String,
    pub currency: &'static str,
    /// In minor units.
    pub amount: i64,
    pub pays_an_order: bool,
}

impl Begun {
    fn new(door: Door, intent: &Value, currency: &'static str, amount: i64) -> Self {
        Self {
            pays_an_order: !matches!(door, Door::Intents),
            door,
            intent: intent.as_str().unwrap().to_owned(),
            currency,
            amount,
        }
    }

    /// Its own door says that it is paid, and takes no second payment.
    pub async fn is_over(&self, world: &World) {
        match &self.door {
            Door::Shop => {
                let (status, told) = send(world.shop_paid()).await;
                assert_eq!(status, 200, "{told}");
                let told = &told["data"];
                assert_eq!(
                    (&told["id"], &told["status"]),
                    (&json!(self.intent), &json!("succeeded"))
                );
                assert_eq!(told["amount"], "112.00");
                assert_eq!(send(world.shop_create()).await.0, 409);
            }
            Door::Offers => {
                let (status, told) = send(offer(world)).await;
                assert_eq!((status, &told["status"]), (409, &json!("0")), "{told}");
            }
            Door::Checkout(session) => {
                let asked = json!({"CompanyId": COMPANY, "SessionId": session});
                let (status, told) =
                    send(checkout(world, &format!("{CHECKOUT}/status"), &asked)).await;
                assert_eq!(
                    (status, &told["Status"]),
                    (200, &json!("complete")),
                    "{told}"
                );
                let (status, told) = send(checkout(world, CHECKOUT, &wanted())).await;
                assert_eq!(status, 409, "{told}");
            }
            Door::StripePayments(id) => {
                let path = format!("{SOURCES}/{id}");
                let (status, told) = send(as_json_api(world, Method::DELETE, &path)).await;
                assert_eq!(
                    (status, &told["errors"][0]["code"]),
                    (423, &json!("LOCKED")),
                    "{told}"
                );
            }
            Door::Native(reference) => {
                assert_eq!(send(shop_create(world, reference)).await.0, 409);
            }
            Door::Intents => {
                let again = json!({"payment_method": "pm_card_visa"});
                let path = format!("/v1/payment_intents/{}/confirm", self.intent);
                let (status, told) = send(world.pay(&path, again)).await;
                assert_eq!(status, 400, "{told}");
                assert_eq!(told["error"]["code"], "payment_intent_unexpected_state");
            }
        }
    }
}

/// A request as Stripe's own clients send it, with acme's key.
pub fn as_stripes_clients(world: &World, method: Method, path: &str, form: &str) -> RequestBuilder {
    world
        .request(method, path)
        .bearer_auth("sk_test_acme")
        .header("Stripe-Version", "2023-08-16")
        .header("Content-Type", FORM)
        .body(form.to_owned())
}

/// A request of Commerce Layer's clients.
pub fn as_json_api(world: &World, method: Method, path: &str) -> RequestBuilder {
    let media_type = "application/vnd.api+json";
    let request = world.request(method, path).bearer_auth("cl-acme");
    request
        .header("Accept", media_type)
        .header("Content-Type", media_type)
}

/// Gives a part back, and answers the refund's id.
pub async fn refund(world: &World, intent: &str, minor: i64) -> String {
    let form = format!("payment_intent={intent}&amount={minor}");
    let (status, made) = send(as_stripes_clients(
        world,
        Method::POST,
        "/v1/refunds",
        &form,
    ))
    .await;
    assert_eq!(
        (status, &made["status"]),
        (200, &json!("succeeded")),
        "{made}"
    );
    made["id"].as_str().unwrap().to_owned()
}

/// Confirms at the payment-intents door, as Stripe's clients do.
async fn confirm(world: &World, intent: &Value) {
    let path = format!("/v1/payment_intents/{}/confirm", intent.as_str().unwrap());
    let request = as_stripes_clients(world, Method::POST, &path, "payment_method=pm_card_visa");
    let (status, paid) = send(request).await;
    assert_eq!(
        (status, &paid["status"]),
        (200, &json!("succeeded")),
        "{paid}"
    );
}

/// Two of something for 56.00 dollars each; its customer pays at Stripe.
pub async fn at_the_shop(world: &World) -> Begun {
    let (status, created) = send(world.shop_create()).await;
    assert_eq!(status, 200, "{created}");
    let intent = &created["data"]["id"];
    pay_at_stripe(world, intent).await;
    Begun::new(Door::Shop, intent, "usd", 11_200)
}

/// What a customer's browser does at Stripe.
pub async fn pay_at_stripe(world: &World, intent: &Value) {
    let path = format!("/v1/payment_intents/{}/confirm", intent.as_str().unwrap());
    let body = json!({"payment_method": "pm_card_visa"});
    let (status, paid) = send(world.stripe(Method::POST, &path).json(&body)).await;
    assert_eq!(
        (status, &paid["status"]),
        (200, &json!("succeeded")),
        "{paid}"
    );
}

fn offer(world: &World) -> RequestBuilder {
    let body = json!({"offer_oid": "10311080"});
    world.post(OFFERS).bearer_auth("offers-acme").json(&body)
}

/// The whole offer, confirmed at the payment-intents door.
pub async fn at_the_offers(world: &World) -> Begun {
    let (status, created) = send(offer(world)).await;
    let intent = &created["response"]["payment_intent"];
    assert_eq!(
        (status, &intent["amount"]),
        (200, &json!(12_751)),
        "{created}"
    );
    confirm(world, &intent["id"]).await;
    Begun::new(Door::Offers, &intent["id"], "gbp", 12_751)
}

fn checkout(world: &World, path: &str, body: &Value) -> RequestBuilder {
    let keyed = world.post(path).header("x-api-key", "bokamera-acme");
    keyed.bearer_auth("customer-9").json(body)
}

/// Two of article 1 and one of article 2: 600.00 kronor.
fn wanted() -> Value {
    json!({
        "CompanyId": COMPANY,
        "CountryCode": "SE",
        "Articles": [{"ArticleId": 1, "Quantity": 2}, {"ArticleId": 2}],
        "InternalReferenceId": "journey",
        "ConfirmationUrl": "https://shop.example/done",
        "UiMode": "hosted",
    })
}

/// Opens a checkout, and answers Stripe's session.
pub async fn open_checkout(world: &World) -> String {
    let (status, opened) = send(checkout(world, CHECKOUT, &wanted())).await;
    assert_eq!(status, 200, "{opened}");
    opened["SessionId"].as_str().unwrap().to_owned()
}

/// Pays on the checkout's page with a card, as a browser sends it.
pub async fn pay_on_the_page(world: &World, session: &str) {
    let url = format!("{}_sim/checkout/{session}", world.simulator.url());
    let payer = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none());
    let typed =
        "email=ada%40example.com&number=4242+4242+4242+4242&expiry=12+%2F+40&cvc=123&action=pay";
    let request = payer.build().unwrap().post(url);
    let request = request.header("Content-Type", FORM).body(typed);
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 303);
    assert_eq!(answer.headers()["location"], "https://shop.example/done");
}

/// A checkout, paid on its page.
pub async fn at_the_checkout(world: &World) -> Begun {
    let session = open_checkout(world).await;
    pay_on_the_page(world, &session).await;
    let path = format!("/v1/checkout/sessions/{session}");
    let (status, shown) = send(as_stripes_clients(world, Method::GET, &path, "")).await;
    assert_eq!(
        (status, &shown["payment_status"]),
        (200, &json!("paid")),
        "{shown}"
    );
    assert_eq!(shown["amount_total"], 60_000);
    Begun::new(
        Door::Checkout(session),
        &shown["payment_intent"],
        "sek",
        60_000,
    )
}

/// A card, held by nobody before, in the document's own rendering.
pub async fn at_the_intents(world: &World) -> Begun {
    let body = card_payment(2_000, "usd", "4242424242424242");
    let (status, paid) = send(world.pay("/v1/payment_intents", body)).await;
    assert_eq!(
        (status, &paid["status"]),
        (200, &json!("succeeded")),
        "{paid}"
    );
    Begun::new(Door::Intents, &paid["id"], "usd", 2_000)
}

/// The same in Stripe's, of a currency without a smaller unit.
pub async fn at_stripes_rendering(world: &World) -> Begun {
    let form = "amount=9900&currency=jpy&payment_method_types[]=card";
    let path = "/v1/payment_intents";
    let (status, made) = send(as_stripes_clients(world, Method::POST, path, form)).await;
    assert_eq!(status, 200, "{made}");
    confirm(world, &made["id"]).await;
    Begun::new(Door::Intents, &made["id"], "jpy", 9_900)
}

/// Makes a payment of the order of 59.00 euros; answers its id and the intent's.
pub async fn open_source(world: &World) -> (String, Value) {
    let order = json!({"data": {"type": "orders", "id": "ABCRtyUpBa"}});
    let data =
        json!({"type": "stripe_payments", "attributes": {}, "relationships": {"order": order}});
    let request = as_json_api(world, Method::POST, SOURCES);
    let body = json!({"data": data}).to_string();
    let (status, made) = send(request.body(body)).await;
    assert_eq!(status, 201, "{made}");
    let id = made["data"]["id"].as_str().unwrap().to_owned();
    (id, made["data"]["attributes"]["stripe_id"].clone())
}

/// A payment made at the door of Stripe payments; its customer pays at Stripe.
pub async fn at_the_stripe_payments(world: &World) -> Begun {
    let (id, intent) = open_source(world).await;
    pay_at_stripe(world, &intent).await;
    Begun::new(Door::StripePayments(id), &intent, "eur", 5_900)
}

fn shop_create(world: &World, reference: &str) -> RequestBuilder {
    let path = format!("/api/v1/shop/orders/{reference}/payment-intent");
    let request = world.post(&path).bearer_auth("customer-9");
    request.header("X-API-Key", "123456789")
}

/// Places an order of the shop through the native API, of three things for 19.99 pounds each; answers its id.
pub async fn place(world: &World, reference: &str) -> String {
    let order = json!({
        "source": "shop", "reference": reference, "number": "N-1", "customer": "customer-9",
        "currency": "gbp", "lines": [{"name": "Socks", "unit_minor": 1_999, "quantity": 3}],
    });
    let request = world.post("/ledger/v1/orders").bearer_auth("admin-acme");
    let (status, placed) = send(request.json(&order)).await;
    assert_eq!(
        (status, &placed["total_minor"]),
        (201, &json!(5_997)),
        "{placed}"
    );
    placed["id"].as_str().unwrap().to_owned()
}

/// Asks for its payment at the shop's door, and answers the intent's id.
pub async fn ask_at_the_shop(world: &World, reference: &str, amount: &str) -> Value {
    let (status, created) = send(shop_create(world, reference)).await;
    assert_eq!(
        (status, &created["data"]["amount"]),
        (200, &json!(amount)),
        "{created}"
    );
    created["data"]["id"].clone()
}

/// An order placed through the native API, and paid at the shop's door.
pub async fn at_the_native_api(world: &World) -> Begun {
    place(world, "4711").await;
    let intent = ask_at_the_shop(world, "4711", "59.97").await;
    pay_at_stripe(world, &intent).await;
    Begun::new(Door::Native("4711"), &intent, "gbp", 5_997)
}
