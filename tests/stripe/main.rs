//! Stripe's rendering of `/v1`, as Stripe's own clients use it: forms in, Stripe's objects out. Every answer that is received
//! here is checked against Stripe's published schemas.

#[path = "../../simulator/tests/schemas/check.rs"]
mod schemas;
#[path = "../support/mod.rs"]
mod support;

mod amounts;
mod crash;
mod customers;
mod endpoints;
mod idempotency;
mod kept;
mod lists;
mod money;
mod races;
mod secrets;
mod sessions;
mod states;

use reqwest::header::HeaderMap;
use reqwest::{Method, RequestBuilder};
use serde_json::Value;
use support::{Setup, World};

/// The version that Stripe's clients name.
const VERSION: &str = "2023-08-16";
/// What this service calls its own pairs of metadata at Stripe; no caller ever sees one.
const OURS: &str = "counterfoil_";

/// A new payment method of a card that pays.
const CARD: [(&str, &str); 5] = [
    ("type", "card"),
    ("card[number]", "4242424242424242"),
    ("card[exp_month]", "12"),
    ("card[exp_year]", "2034"),
    ("card[cvc]", "737"),
];
/// An embedded checkout of 10.00 usd.
const SESSION: [(&str, &str); 6] = [
    ("mode", "payment"),
    ("ui_mode", "embedded"),
    ("return_url", "https://shop.example/done"),
    ("line_items[0][price_data][currency]", "usd"),
    ("line_items[0][price_data][unit_amount]", "1000"),
    ("line_items[0][price_data][product_data][name]", "Tea"),
];

/// Form parameters.
type Form<'a> = &'a [(&'a str, &'a str)];

/// A world in which what Stripe does later happens when a test says so.
async fn world() -> World {
    world_with(Setup::default()).await
}

async fn world_with(setup: Setup) -> World {
    // Before it there is no provider of TLS, which a client asks for.
    let world = World::start_unhurried(setup).await;
    World {
        http: client(),
        ..world
    }
}

/// One that follows no redirects, so that a payer's page can be looked at.
fn client() -> reqwest::Client {
    let redirect = reqwest::redirect::Policy::none();
    reqwest::Client::builder()
        .redirect(redirect)
        .build()
        .unwrap()
}

/// Holds back what Stripe would tell by itself, so that nothing happens beside what a test does.
async fn pause_webhooks(world: &World) {
    support::pause_webhooks(world, true).await;
}

/// The next request to Stripe of this method under `path` meets the fault.
async fn fault(world: &World, kind: &str, method: Method, path: &str) {
    support::fault(world, kind, method.as_str(), path, 1).await;
}

/// A caller with one key, at the door or at Stripe itself.
#[derive(Clone, Copy)]
struct Client<'w> {
    world: &'w World,
    key: &'w str,
    at_stripe: bool,
}

impl<'w> Client<'w> {
    /// Acme's, at the door.
    fn new(world: &'w World) -> Self {
        Self::with_key(world, "sk_test_acme")
    }

    fn with_key(world: &'w World, key: &'w str) -> Self {
        Self {
            world,
            key,
            at_stripe: false,
        }
    }

    /// Acme's, who goes to Stripe without this service.
    fn at_stripe(world: &'w World) -> Self {
        Self {
            at_stripe: true,
            ..Self::new(world)
        }
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = match self.at_stripe {
            true => self.world.stripe(method, path),
            false => self.world.request(method, path).bearer_auth(self.key),
        };
        request.header("Stripe-Version", VERSION)
    }

    fn posting(&self, path: &str, form: Form<'_>) -> RequestBuilder {
        let body = serde_urlencoded::to_string(form).unwrap();
        self.request(Method::POST, path)
            .header("Content-Type", "application/x-www-form-urlencoded")
            .body(body)
    }

    async fn get(&self, path: &str) -> Answer {
        self.send(self.request(Method::GET, path)).await
    }

    async fn post(&self, path: &str, form: Form<'_>) -> Answer {
        self.send(self.posting(path, form)).await
    }

    /// Under an idempotency key.
    async fn post_as(&self, key: &str, path: &str, form: Form<'_>) -> Answer {
        let request = self.posting(path, form);
        self.send(request.header("Idempotency-Key", key)).await
    }

    async fn delete(&self, path: &str) -> Answer {
        self.send(self.request(Method::DELETE, path)).await
    }

    /// Sends it, and checks what every answer must be: of Stripe's shape, to be asked about, and without what is ours alone.
    async fn send(&self, request: RequestBuilder) -> Answer {
        let answer = request.send().await.unwrap();
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let text = answer.text().await.unwrap();
        let body: Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{status} {text}"));
        assert!(headers.contains_key("request-id"), "{text}");
        schemas::check(status, &body);
        assert!(self.at_stripe || !text.contains(OURS), "{text}");
        Answer {
            status,
            headers,
            text,
            body,
        }
    }

    /// An intent of 10.00 usd, with further parameters.
    async fn intent(&self, further: Form<'_>) -> Answer {
        let form = [&[("amount", "1000"), ("currency", "usd")], further].concat();
        self.post("/v1/payment_intents", &form).await
    }

    /// A payment of 10.00 usd, confirmed with a ready-made method.
    async fn paid(&self, method: &str) -> Value {
        let form = [("payment_method", method), ("confirm", "true")];
        self.intent(&form).await.ok()
    }
}

/// An answer in Stripe's shape.
#[derive(Debug)]
struct Answer {
    status: u16,
    headers: HeaderMap,
    text: String,
    body: Value,
}

impl Answer {
    /// The body of a 200.
    #[track_caller]
    fn ok(self) -> Value {
        assert_eq!(self.status, 200, "{}", self.text);
        self.body
    }

    /// Status, code and param of an error; what an error does not name is empty.
    #[track_caller]
    fn error(&self) -> (u16, &str, &str) {
        let error = &self.body["error"];
        assert!(error.is_object(), "{}", self.text);
        let text = |member: &str| error[member].as_str().unwrap_or_default();
        (self.status, text("code"), text("param"))
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

/// The text of a member.
#[track_caller]
fn text<'a>(object: &'a Value, member: &str) -> &'a str {
    object[member]
        .as_str()
        .unwrap_or_else(|| panic!("{member} of {object:#}"))
}

/// The path of an object, under its collection.
#[track_caller]
fn path_of(collection: &str, object: &Value) -> String {
    format!("/v1/{collection}/{}", text(object, "id"))
}

/// A payment as the ledger has it: status, amount, captured and refunded, in minor units.
type Row = (String, i64, i64, i64);

/// The payment that has Stripe's intent `intent`.
async fn row(world: &World, intent: &str) -> Option<Row> {
    sqlx::query_as("select status, amount_minor, captured_minor, refunded_minor from payments where intent = $1")
        .bind(intent)
        .fetch_optional(world.app().store().pool())
        .await
        .unwrap()
}

/// The intent as the simulator has it, with the pairs of metadata that are ours.
async fn at_stripe(world: &World, intent: &str) -> Value {
    let path = format!("/v1/payment_intents/{intent}");
    Client::at_stripe(world).get(&path).await.ok()
}

/// Everything that Stripe has of a merchant, without secrets. Events are left out: they tell how often they were delivered.
async fn everything_at_stripe(world: &World, merchant: &str) -> Value {
    let path = format!("state?account=acct_{merchant}");
    let mut state = world.sim(Method::GET, &path, None).await;
    let mut state = state[format!("acct_{merchant}")].take();
    state["events"].take();
    state
}
