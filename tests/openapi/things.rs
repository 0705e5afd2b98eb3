//! One of everything that a path can name, made for Acme: what a rival must not see.

use reqwest::Method;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use uuid::Uuid;

use super::support::{self, Setup, World, card_payment, described, send, until};

/// A world in which nothing happens but what a test does.
pub async fn quiet_world() -> World {
    support::quiet_world(Setup::default()).await
}

/// The order of Acme's whose payment is a source of payment.
const ORDER: &str = "ABCRtyUpBa";
/// Acme's, with articles.
const COMPANY: &str = "11111111-1111-1111-1111-111111111111";

/// What stands for the parts of paths and in the examples of bodies.
#[derive(Clone)]
pub struct Things {
    /// By the path up to a part, the part.
    placed: BTreeMap<&'static str, String>,
    /// What examples of bodies call it, and what it is.
    named: Vec<(&'static str, String)>,
    /// What only Acme may see, beside the things' ids.
    marks: Vec<String>,
}

impl Things {
    /// Makes them.
    pub async fn made(world: &World) -> Self {
        let card = card_payment(5000, "usd", "4242424242424242");
        let (status, paid) = send(world.pay("/v1/payment_intents", card)).await;
        assert_eq!(status, 200, "{paid}");
        let intent = text(&paid["id"]);
        // So that there is something to pay out, whatever becomes of the first.
        let more = card_payment(90_000, "usd", "4242424242424242");
        let (status, more) = send(world.pay("/v1/payment_intents", more)).await;
        assert_eq!(status, 200, "{more}");
        let refund = json!({"payment_intent": intent, "amount": 100});
        let refund = made(world, "/v1/refunds", refund).await;
        let customer = json!({"name": "Acme's own customer", "email": "own@acme.example"});
        let customer = made(world, "/v1/customers", customer).await;
        let method = json!({"type": "card", "card": {"token": "tok_visa"}});
        let method = made(world, "/v1/payment_methods", method).await;
        let attached = json!({"customer": customer["id"]});
        let attach = format!("/v1/payment_methods/{}/attach", text(&method["id"]));
        made(world, &attach, attached).await;
        let session = json!({
            "mode": "payment", "success_url": "https://acme.example/secret-path",
            "line_items": [{"quantity": 1, "price_data": {
                "currency": "usd", "unit_amount": 2000, "product_data": {"name": "Acme's product"},
            }}],
        });
        let session = made(world, "/v1/checkout/sessions", session).await;
        let endpoint = json!({"url": "https://acme.example/webhooks", "enabled_events": ["*"]});
        let endpoint = made(world, "/v1/webhook_endpoints", endpoint).await;
        let source = Source::made(world).await;
        let ledger = InLedger::made(world).await;
        let at_stripe = AtStripe::made(world, &intent).await;
        let mut marks: Vec<String> = [&paid["client_secret"], &session["url"], &endpoint["secret"]]
            .into_iter()
            .map(text)
            .collect();
        marks.extend(
            [
                "Acme",
                "acme.example",
                "ORD-20250331-5XZF",
                "Main product 2",
                "acct_acme",
                "customer-9",
            ]
            .map(str::to_owned),
        );
        let endpoint = text(&endpoint["id"]);
        let customer = text(&customer["id"]);
        let method = text(&method["id"]);
        let placed = [
            ("/api/v1/shop/orders/", "9".to_owned()),
            ("/docs/", "start.js".to_owned()),
            ("/api/stripe_payments/", source.payment),
            ("/api/orders/", ORDER.to_owned()),
            ("/api/stripe_gateways/", source.gateway),
            ("/api/versions/", source.version),
            ("/api/event_stores/", source.event),
            ("/ledger/v1/orders/", ledger.order),
            ("/ledger/v1/payments/", ledger.payment),
            ("/ledger/v1/keys/", ledger.key),
            ("/ledger/v1/customers/tokens/", ledger.token),
            ("/ledger/v1/offers/", "10311080".to_owned()),
            ("/ledger/v1/articles/", COMPANY.to_owned()),
            ("/ledger/v1/articles/{company}/", "1".to_owned()),
            ("/v1/payment_intents/", intent.clone()),
            ("/v1/refunds/", text(&refund["id"])),
            ("/v1/payment_methods/", method.clone()),
            ("/v1/customers/", customer.clone()),
            ("/v1/customers/{id}/payment_methods/", method),
            ("/v1/checkout/sessions/", text(&session["id"])),
            ("/v1/charges/", at_stripe.charge),
            ("/v1/disputes/", at_stripe.dispute),
            ("/v1/balance_transactions/", at_stripe.balance_transaction),
            ("/v1/payouts/", at_stripe.payout),
            ("/v1/events/", at_stripe.event),
            ("/v1/webhook_endpoints/", endpoint),
            // What is parked comes of a silent Stripe, and is kept apart by the journeys of recovery.
            ("/ledger/v1/parked/", Uuid::from_u128(7).to_string()),
            // A bank's line comes of a statement, and is kept apart by the journeys of settlement; months are everybody's.
            ("/ledger/v1/bank-lines/", Uuid::from_u128(7).to_string()),
            ("/ledger/v1/accounts/", "assets:bank".to_owned()),
            ("/ledger/v1/periods/", "2020-01".to_owned()),
            // What does not agree with Stripe is planted by the tests of reconciliation.
            (
                "/ledger/v1/reconciliations/",
                Uuid::from_u128(8).to_string(),
            ),
            (
                "/ledger/v1/reconciliation_breaks/",
                Uuid::from_u128(9).to_string(),
            ),
            (
                "/ledger/v1/exports/reconciliations/",
                Uuid::from_u128(8).to_string(),
            ),
            ("/ledger/v1/chart/", "assets:bank".to_owned()),
            ("/ledger/v1/rebuilds/", ledger.rebuild),
            // Deliveries wait for webhooks; one that is made up is as unknown to everybody.
            (
                "/v1/webhook_endpoints/{id}/deliveries/",
                "whd_none".to_owned(),
            ),
        ];
        let named = [
            ("10311080", "10311080".to_owned()),
            (
                "11111111-1111-1111-1111-111111111111",
                "11111111-1111-1111-1111-111111111111".to_owned(),
            ),
            ("pi_1234XXX", intent),
            ("cus_1", customer),
            (ORDER, ORDER.to_owned()),
        ];
        Self {
            placed: placed.into(),
            named: named.into(),
            marks,
        }
    }

    /// With another thing for the last part of the paths that begin so.
    pub fn with(mut self, prefix: &'static str, id: String) -> Self {
        self.placed.insert(prefix, id);
        self
    }

    /// The same in number, and nobody's.
    pub fn made_up(&self) -> Self {
        let mut other = self.clone();
        for (prefix, id) in &mut other.placed {
            if *prefix != "/docs/" {
                *id = nobodys(id);
            }
        }
        for (_, id) in &mut other.named {
            *id = nobodys(id);
        }
        other
    }

    /// A path with its parts in their places.
    ///
    /// # Panics
    /// Where nothing was made for a part: a route was added.
    pub fn placed(&self, template: &str) -> String {
        let mut path = String::new();
        let mut seen = String::new();
        for part in template.split_inclusive('/') {
            if part.starts_with('{') {
                let thing = self.placed.get(seen.as_str());
                path += thing.unwrap_or_else(|| panic!("nothing was made for {template}"));
                path += if part.ends_with('/') { "/" } else { "" };
            } else {
                path += part;
            }
            seen += part;
        }
        path
    }

    /// A body with what its example names.
    pub fn named(&self, body: &str) -> String {
        let named = self.named.iter();
        named.fold(body.to_owned(), |body, (example, is)| {
            body.replace(example, is)
        })
    }

    /// Whether the example names one of them.
    pub fn is_named_in(&self, body: &Value) -> bool {
        let body = body.to_string();
        self.named.iter().any(|(example, _)| body.contains(example))
    }

    /// A text without the ids that were asked for.
    pub fn forgotten(&self, text: &str) -> String {
        let ids = self
            .placed
            .values()
            .chain(self.named.iter().map(|it| &it.1));
        let long = ids.filter(|id| id.len() > 3);
        long.fold(text.to_owned(), |text, id| text.replace(id, "…"))
    }

    /// What of Acme's, of a key or of the program's insides a text shows.
    pub fn leak<'a>(&'a self, text: &str, key: Option<&'a str>) -> Option<&'a str> {
        let inside = ["sk_test", "src/", ".rs:", "sqlx", "panicked", "select "];
        let marks = self
            .marks
            .iter()
            .map(String::as_str)
            .chain(inside)
            .chain(key);
        marks.into_iter().find(|mark| text.contains(mark))
    }

    /// How much there is of everything: the rows of every table, and what the account has at Stripe.
    pub async fn everything(&self, world: &World) -> BTreeMap<String, i64> {
        let tables: Vec<String> = sqlx::query_scalar(
            "select table_name::text from information_schema.tables
             where table_schema = 'public' and table_type = 'BASE TABLE'",
        )
        .fetch_all(world.app().store().pool())
        .await
        .unwrap();
        let mut all = BTreeMap::new();
        for table in tables {
            let rows = rows(world, &table).await;
            all.insert(table, rows);
        }
        all.extend(self.at_stripe(world).await);
        all
    }

    /// How much there is of Acme's.
    pub async fn of_acme(&self, world: &World) -> BTreeMap<String, i64> {
        let mut all = self.at_stripe(world).await;
        let events = world.history("acme").await.len();
        all.insert("events".to_owned(), i64::try_from(events).unwrap());
        all
    }

    async fn at_stripe(&self, world: &World) -> BTreeMap<String, i64> {
        let mut all = BTreeMap::new();
        for of in [
            "payment_intents",
            "customers",
            "refunds",
            "checkout/sessions",
            "webhook_endpoints",
        ] {
            let path = format!("/v1/{of}?limit=100");
            let (_, list) = send(world.stripe(Method::GET, &path)).await;
            let many = list["data"].as_array().map_or(0, Vec::len);
            all.insert(format!("{of} at Stripe"), i64::try_from(many).unwrap());
        }
        all
    }
}

async fn rows(world: &World, table: &str) -> i64 {
    let counted = format!("select count(*) from {table}");
    sqlx::query_scalar(&counted)
        .fetch_one(world.app().store().pool())
        .await
        .unwrap()
}

/// An id of the same form that nobody has.
fn nobodys(id: &str) -> String {
    let last = id.chars().last().unwrap();
    let other = if last == '7' { '6' } else { '7' };
    format!("{}{other}", &id[..id.len() - last.len_utf8()])
}

/// What is known of Acme at Stripe without having been made through the door.
struct AtStripe {
    charge: String,
    dispute: String,
    balance_transaction: String,
    payout: String,
    event: String,
}

impl AtStripe {
    async fn made(world: &World, intent: &str) -> Self {
        let one = async |path: &str| {
            let (status, found) = send(world.stripe(Method::GET, path)).await;
            assert_eq!(status, 200, "{found}");
            found
        };
        let intent = one(&format!("/v1/payment_intents/{intent}")).await;
        let charge = json!({"charge": intent["latest_charge"]});
        let dispute = world.sim(Method::POST, "disputes", Some(charge)).await;
        let days = json!({"advance_s": 8 * 24 * 3600});
        world.sim(Method::POST, "clock", Some(days)).await;
        let all = json!({"account": "acct_acme", "automatic": true});
        world.sim(Method::POST, "payouts", Some(all)).await;
        let first =
            async |of: &str| text(&one(&format!("/v1/{of}?limit=1")).await["data"][0]["id"]);
        Self {
            charge: text(&intent["latest_charge"]),
            dispute: text(&dispute["id"]),
            balance_transaction: first("balance_transactions").await,
            payout: first("payouts").await,
            event: first("events").await,
        }
    }
}

/// A payment of an order, as the door of Stripe payments names it, and what hangs on it.
struct Source {
    payment: String,
    gateway: String,
    version: String,
    event: String,
}

impl Source {
    async fn made(world: &World) -> Self {
        const PATH: &str = "/api/stripe_payments";
        const MEDIA_TYPE: &str = "application/vnd.api+json";
        let said = json!({"data": {
            "type": "stripe_payments",
            "relationships": {"order": {"data": {"type": "orders", "id": ORDER}}},
        }});
        let request = world.post(PATH).bearer_auth("cl-acme");
        let request = request.header("content-type", MEDIA_TYPE);
        let (status, made) = send(request.body(said.to_string())).await;
        assert_eq!(status, 201, "{made}");
        let payment = text(&made["data"]["id"]);
        let of = async |name: &str| {
            let path = format!("{PATH}/{payment}/{name}");
            let (status, found) = send(world.get(&path).bearer_auth("cl-acme")).await;
            assert_eq!(status, 200, "{found}");
            found["data"].clone()
        };
        Self {
            gateway: text(&of("payment_gateway").await["id"]),
            version: text(&of("versions").await[0]["id"]),
            event: text(&of("event_stores").await[0]["id"]),
            payment,
        }
    }
}

/// What the native API names.
struct InLedger {
    order: String,
    payment: String,
    key: String,
    token: String,
    rebuild: String,
}

impl InLedger {
    async fn made(world: &World) -> Self {
        let first = async |path: &str| {
            let request = world.get(path).bearer_auth("admin-acme");
            let (status, found) = send(request).await;
            assert_eq!(status, 200, "{found}");
            text(&found["data"][0]["id"])
        };
        Self {
            order: first("/ledger/v1/orders?source=shop").await,
            payment: first("/ledger/v1/payments").await,
            key: first("/ledger/v1/keys?kind=offers").await,
            token: first("/ledger/v1/customers/tokens").await,
            rebuild: Self::rebuild(world).await,
        }
    }

    /// One that has ended: there may be but one at a time.
    async fn rebuild(world: &World) -> String {
        let start = world.post("/ledger/v1/rebuilds").bearer_auth("admin-acme");
        let start = start.json(&json!({"projections": ["articles"], "dry_run": true}));
        let (status, begun) = send(start).await;
        assert_eq!(status, 201, "{begun}");
        let id = text(&begun["id"]);
        until("the rebuild has ended", async || {
            let asked = world.get(&format!("/ledger/v1/rebuilds/{id}"));
            let (_, it) = send(asked.bearer_auth("admin-acme")).await;
            it["state"] != "running"
        })
        .await;
        id
    }
}

/// What acme's key makes in Stripe's rendering.
async fn made(world: &World, path: &str, body: Value) -> Value {
    let request = world.pay(path, body).header("stripe-version", "2023-08-16");
    let (status, _, text) = described(request).await;
    assert_eq!(status, 200, "{path}: {text}");
    serde_json::from_str(&text).unwrap()
}

fn text(value: &Value) -> String {
    value
        .as_str()
        .unwrap_or_else(|| panic!("no text: {value}"))
        .to_owned()
}
