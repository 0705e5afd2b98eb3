//! Instances side by side, on the database and the simulator of one world.

use crate::support::{self, Setup, World, card_payment, described, send};
use counterfoil::gateway::GatewayOptions;
use counterfoil::service::Service;
use counterfoil::use_cases::Recovery;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpListener;

/// A world with more services than one.
pub struct Several {
    pub world: World,
    others: Vec<Service>,
    addresses: Vec<SocketAddr>,
}

/// Recovery that is soon there, so that a test need not wait for it.
pub fn eager() -> Setup {
    Setup {
        recovery: Recovery {
            every: Duration::from_millis(200),
            older_than: Duration::from_millis(500),
            pause_min: Duration::from_millis(50),
            pause_max: Duration::from_millis(200),
            ..Recovery::default()
        },
        ..as_served()
    }
}

/// As patient with Stripe as the program is.
pub fn as_served() -> Setup {
    Setup {
        gateway: GatewayOptions {
            attempts: 3,
            ..Setup::default().gateway
        },
        ..Setup::default()
    }
}

impl Several {
    /// So many instances. Stripe tells the first of them of everything, once webhooks are let go.
    pub async fn start(count: u64, setup: Setup) -> Self {
        let world = World::start_with(setup).await;
        let paused = Some(json!({"paused": true}));
        world.sim(Method::POST, "webhooks", paused).await;
        let mut several = Self {
            addresses: vec![world.address],
            others: Vec::new(),
            world,
        };
        for number in 1..count {
            let seed = setup.seed + number;
            several.add(Setup { seed, ..setup }).await;
        }
        several
    }

    async fn add(&mut self, setup: Setup) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        self.addresses.push(listener.local_addr().unwrap());
        let (url, simulator) = (&self.world.database_url, &self.world.simulator);
        self.others
            .push(support::serve(listener, url, simulator, setup).await);
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.addresses.len()
    }

    /// Where one of them listens.
    pub fn address(&self, instance: usize) -> SocketAddr {
        self.addresses[instance]
    }

    /// A request to one of them.
    pub fn ask(&self, instance: usize, method: Method, path: &str) -> RequestBuilder {
        let url = format!("http://{}{path}", self.addresses[instance]);
        self.world.http.request(method, url)
    }

    /// A call of acme's at the door of payment intents.
    pub async fn pay(&self, instance: usize, path: &str, body: Value) -> (u16, Value) {
        let request = self.ask(instance, Method::POST, path);
        send(request.bearer_auth("sk_test_acme").json(&body)).await
    }

    /// A payment that is made at one of them, and its id.
    pub async fn paid(&self, instance: usize, amount: i64, capture: &str) -> String {
        let mut body = card_payment(amount, "usd", "4242424242424242");
        body["capture_method"] = capture.into();
        let (status, made) = self.pay(instance, "/v1/payment_intents", body).await;
        assert_eq!(status, 200, "{made}");
        made["id"].as_str().unwrap().to_owned()
    }

    /// A read of acme's in the native API.
    pub async fn look(&self, instance: usize, path: &str) -> Value {
        let request = self.ask(instance, Method::GET, &format!("/ledger/v1{path}"));
        let (status, found) = send(request.bearer_auth("admin-acme")).await;
        assert_eq!(status, 200, "{found}");
        found
    }

    /// A change of acme's in the native API.
    pub async fn change(&self, instance: usize, path: &str, body: Value) -> (u16, Value) {
        let request = self.ask(instance, Method::POST, &format!("/ledger/v1{path}"));
        send(request.bearer_auth("admin-acme").json(&body)).await
    }

    /// Places an order of the shop's, and answers its id.
    pub async fn placed(&self, instance: usize, reference: &str) -> String {
        let (status, made) = self.change(instance, "/orders", order(reference)).await;
        assert_eq!(status, 201, "{made}");
        made["id"].as_str().unwrap().to_owned()
    }

    /// Asks for the order's payment, as its customer.
    pub async fn shop(&self, instance: usize, reference: &str, what: &str) -> (u16, String) {
        let path = format!("/api/v1/shop/orders/{reference}/{what}");
        let request = self.ask(instance, Method::POST, &path);
        let request = match what {
            "payment-intent" => request.bearer_auth("customer-9"),
            _ => request,
        };
        let (status, _, text) = described(request.header("X-API-Key", "123456789")).await;
        (status, text)
    }

    pub async fn stop(self) {
        for other in self.others {
            other.stop().await;
        }
        self.world.stop().await;
    }

    /// What any log must be, whoever wrote it: positions, ledger positions and versions without gaps or repeats, the journal as far
    /// as the log and each event in it once, and every payment with one outcome at most of each intention.
    pub async fn is_whole(&self) {
        whole(&self.world).await;
    }
}

/// See [`Several::is_whole`].
pub async fn whole(world: &World) {
    let pool = world.app().store().pool();
    let head = world.events().await;
    support::until("the journal has come to the end of the log", async || {
        let reached: Option<i64> =
            sqlx::query_scalar("select position from checkpoints where name = 'journal.v2'")
                .fetch_optional(pool)
                .await
                .unwrap();
        reached >= Some(head)
    })
    .await;
    for (what, wrong) in [
        ("positions", "select count(*) from (select position, row_number() over (order by position) as should from events) e where position <> should"),
        ("ledger positions", "select count(*) from (select ledger_position, row_number() over (partition by ledger order by ledger_position) as should from events) e where ledger_position <> should"),
        ("versions", "select count(*) from (select sequence, row_number() over (partition by aggregate_type, aggregate_id order by sequence) as should from events) e where sequence <> should"),
        ("event ids", "select count(*) - count(distinct event_id) from events"),
        ("the journal beside the balances", "select count(*) from (
             select merchant, currency, account, sum(debit_minor) as debit, sum(credit_minor) as credit from journal group by 1, 2, 3) j
             full join balances b using (merchant, currency, account)
             where j.debit is distinct from b.debit_minor or j.credit is distinct from b.credit_minor"),
        ("money taken twice", "select count(*) from (
             select aggregate_id from events where aggregate_type = 'payment' and event_type = 'Succeeded' group by 1 having count(*) > 1) e"),
    ] {
        let wrong: i64 = sqlx::query_scalar(wrong).fetch_one(pool).await.unwrap();
        assert_eq!(wrong, 0, "{what}");
    }
}

/// An order of the shop, of one line.
pub fn order(reference: &str) -> Value {
    json!({
        "source": "shop", "reference": reference, "number": format!("N-{reference}"), "customer": "customer-9",
        "currency": "usd", "tax_minor": 0,
        "lines": [{"name": "Shoes", "unit_minor": 900, "quantity": 1}],
    })
}

/// Another price for it.
pub fn price(unit_minor: i64) -> Value {
    json!({"currency": "usd", "lines": [{"name": "Shoes", "unit_minor": unit_minor, "quantity": 1}]})
}
