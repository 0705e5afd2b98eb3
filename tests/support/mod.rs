//! A whole Counterfoil for a test: a database of its own on a real PostgreSQL, a simulator, and the service in front of
//! them, spoken to over HTTP as anybody would.
#![allow(dead_code, reason = "each test binary uses its own part of this")]

pub mod audit;
pub mod checkout;
pub mod database;
pub mod description;
pub mod json_api;
pub mod process;
pub mod proxy;
pub mod settling;
pub mod sums;

pub use database::database;

use counterfoil::config::Key32;
use counterfoil::gateway::GatewayOptions;
use counterfoil::http::server::Limits;
use counterfoil::ids::Ids;
use counterfoil::ops::{fixtures, sandbox};
use counterfoil::outbound::{self, Reach};
use counterfoil::service::{Opened, Parts, Service};
use counterfoil::use_cases::{Options, Recovery};
use description::Seen;
use reqwest::header::HeaderMap;
use reqwest::{Method, RequestBuilder, Url};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use simulator::{Simulator, WebhookEndpoint};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpListener;

/// How long a test waits for what must come. Reached only where something is broken.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A service with all that it stands on.
pub struct World {
    pub service: Option<Service>,
    pub simulator: simulator::Running,
    pub database_url: String,
    pub address: SocketAddr,
    pub http: reqwest::Client,
}

/// How the service of a test differs from the usual one.
#[derive(Clone, Copy)]
pub struct Setup {
    pub options: Options,
    pub recovery: Recovery,
    pub gateway: GatewayOptions,
    pub outbound: outbound::Options,
    pub limits: Limits,
    /// Of ids: two services on one database need two.
    pub seed: u64,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            options: Options {
                answer_within: PATIENCE,
                join_within: PATIENCE,
                ..Options::default()
            },
            // Recovery only at the start: a test that wants more says so.
            recovery: Recovery {
                every: Duration::from_secs(3600),
                ..Recovery::default()
            },
            gateway: GatewayOptions {
                attempts: 1,
                ..GatewayOptions::with_timeout(Duration::from_secs(20))
            },
            outbound: outbound::Options {
                reach: Reach::Anywhere,
                ..outbound::Options::default()
            },
            limits: Limits::default(),
            seed: 1,
        }
    }
}

/// The seal key of all tests.
pub fn seal_key() -> Key32 {
    Key32::new([7; 32])
}

/// A simulator that sends its webhooks to `service`.
pub async fn simulator(service: SocketAddr) -> simulator::Running {
    Simulator::start(simulator_config(service)).await.unwrap()
}

/// A simulator in which nothing happens by the mere passing of time; it tells `service` of everything.
pub async fn unhurried_simulator(service: SocketAddr) -> simulator::Running {
    let config = simulator::Config {
        later_s: 24 * 3600,
        ..simulator_config(service)
    };
    Simulator::start(config).await.unwrap()
}

/// What the simulator of a test is like, before the test changes it.
pub fn simulator_config(service: SocketAddr) -> simulator::Config {
    let key = seal_key();
    let accounts = fixtures::simulator_accounts(|merchant| {
        let url = format!("http://{service}/webhooks/stripe/{merchant}");
        WebhookEndpoint::new(
            &url,
            sandbox::webhook_secret(&key, merchant).expose_secret(),
        )
    });
    simulator::Config::new(accounts)
}

/// The service on `listener`, with the fixtures loaded.
pub async fn serve(
    listener: TcpListener,
    database_url: &str,
    simulator: &simulator::Running,
    setup: Setup,
) -> Service {
    let opened = opened(listener, database_url, simulator, setup).await;
    fixtures::load(&opened.app).await.unwrap();
    opened.serve().unwrap()
}

/// The service as it is before it serves, with what is in the database.
pub async fn opened(
    listener: TcpListener,
    database_url: &str,
    simulator: &simulator::Running,
    setup: Setup,
) -> Opened {
    description::hold_to_it(listener.local_addr().unwrap().port());
    let base: Url = simulator.url().parse().unwrap();
    let metrics = metrics_exporter_prometheus::PrometheusBuilder::new()
        .build_recorder()
        .handle();
    let parts = Parts {
        listener,
        public_url: None,
        database_url: database_url.to_owned(),
        seal_key: seal_key(),
        accounts: sandbox::accounts(&base),
        webhook_secrets: sandbox::webhook_secrets(&seal_key()),
        gateway: setup.gateway,
        options: setup.options,
        outbound: setup.outbound,
        recovery: setup.recovery,
        // Only when a test asks for it: `App::settle`.
        settle_every: None,
        reconcile_every: None,
        limits: setup.limits,
        ids: Ids::seeded(setup.seed),
        metrics,
    };
    Opened::new(parts).await.unwrap()
}

impl World {
    pub async fn start() -> Self {
        Self::start_with(Setup::default()).await
    }

    pub async fn start_with(setup: Setup) -> Self {
        Self::start_beside(setup, simulator).await
    }

    /// A world in which nothing happens by the mere passing of time.
    pub async fn start_unhurried(setup: Setup) -> Self {
        Self::start_beside(setup, unhurried_simulator).await
    }

    pub async fn start_beside(
        setup: Setup,
        simulator: impl AsyncFnOnce(SocketAddr) -> simulator::Running,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (database_url, simulator) = tokio::join!(database(), simulator(address));
        let service = serve(listener, &database_url, &simulator, setup).await;
        Self {
            service: Some(service),
            simulator,
            database_url,
            address,
            http: reqwest::Client::new(),
        }
    }

    /// Stops the service; database and simulator stay. [`restart`](Self::restart) goes on with them.
    pub async fn stop_service(&mut self) {
        if let Some(service) = self.service.take() {
            service.stop().await;
        }
    }

    /// A new service on the same address, database and simulator; the fixtures are there.
    pub async fn restart(&mut self, setup: Setup) {
        self.stop_service().await;
        let listener = TcpListener::bind(self.address).await.unwrap();
        let opened = opened(listener, &self.database_url, &self.simulator, setup).await;
        self.service = Some(opened.serve().unwrap());
    }

    pub fn app(&self) -> &counterfoil::use_cases::App {
        &self.service.as_ref().expect("the service runs").app
    }

    /// A request to the service.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http
            .request(method, format!("http://{}{path}", self.address))
    }

    pub fn post(&self, path: &str) -> RequestBuilder {
        self.request(Method::POST, path)
    }

    pub fn get(&self, path: &str) -> RequestBuilder {
        self.request(Method::GET, path)
    }

    /// A request to the simulator's Stripe API, with acme's key there.
    pub fn stripe(&self, method: Method, path: &str) -> RequestBuilder {
        self.stripe_as("acme", method, path)
    }

    /// A request to the simulator's Stripe API, with a merchant's key there.
    pub fn stripe_as(&self, merchant: &str, method: Method, path: &str) -> RequestBuilder {
        let url = format!("{}{}", self.simulator.url(), path.trim_start_matches('/'));
        self.http
            .request(method, url)
            .bearer_auth(fixtures::simulator_key(merchant))
    }

    /// One of the simulator's own handles.
    pub async fn sim(&self, method: Method, path: &str, body: Option<Value>) -> Value {
        let url = format!("{}_sim/{path}", self.simulator.url());
        let request = self.http.request(method, url);
        let request = match body {
            Some(body) => request.json(&body),
            None => request,
        };
        let answer = request.send().await.unwrap();
        let status = answer.status();
        let text = answer.text().await.unwrap();
        assert!(status.is_success(), "{path}: {status} {text}");
        serde_json::from_str(&text).unwrap_or(Value::Null)
    }

    /// Waits until the simulator holds so many requests.
    pub async fn wait_until_held(&self, requests: u64) {
        until("the simulator holds the request", async || {
            let faults = self.sim(Method::GET, "faults", None).await;
            faults["held"].as_u64() == Some(requests)
        })
        .await;
    }

    /// All payment intents of an account at the simulator.
    pub async fn intents_at_stripe(&self, merchant: &str) -> Vec<Value> {
        let answer = self
            .stripe_as(merchant, Method::GET, "/v1/payment_intents?limit=100")
            .send()
            .await
            .unwrap();
        let mut list: Value = answer.json().await.unwrap();
        serde_json::from_value(list["data"].take()).unwrap()
    }

    /// The shop's create call for order 9, as its document shows it.
    pub fn shop_create(&self) -> RequestBuilder {
        self.post("/api/v1/shop/orders/9/payment-intent")
            .header("Authorization", "Bearer customer-9")
            .header("X-API-Key", "123456789")
            .header("Content-Type", "application/json")
    }

    /// The shop's mark-as-paid call for order 9, as its document shows it.
    pub fn shop_paid(&self) -> RequestBuilder {
        self.post("/api/v1/shop/orders/9/payment")
            .header("X-API-Key", "123456789")
            .header("Content-Type", "application/json")
    }

    /// A call of the payment-intents door with acme's key and a JSON body.
    pub fn pay(&self, path: &str, body: Value) -> RequestBuilder {
        self.post(path).bearer_auth("sk_test_acme").json(&body)
    }

    /// The number of events in the log.
    pub async fn events(&self) -> i64 {
        self.app().store().reader().head().await.unwrap().position
    }

    /// The names of all events of one merchant, in order.
    pub async fn history(&self, merchant: &str) -> Vec<String> {
        let events = self
            .app()
            .store()
            .reader()
            .read_ledger(merchant, 0, 10_000)
            .await
            .unwrap();
        events.into_iter().map(|event| event.event_type).collect()
    }

    /// Every account's debits less its credits, for a merchant and currency; accounts at zero are left out.
    pub async fn balances(&self, merchant: &str, currency: &str) -> Vec<(String, i64)> {
        sqlx::query_as(
            "select account, debit_minor - credit_minor from balances
             where merchant = $1 and currency = $2 and debit_minor <> credit_minor order by account",
        )
        .bind(merchant)
        .bind(currency)
        .fetch_all(self.app().store().pool())
        .await
        .unwrap()
    }

    /// Audits, and stops: how a test ends that has disturbed anything.
    pub async fn stop_audited(self) {
        audit::verify(&self).await;
        self.stop().await;
    }

    pub async fn stop(mut self) {
        self.stop_service().await;
        self.simulator.stop().await;
    }
}

/// A world in which Stripe tells nothing by itself.
pub async fn quiet_world(setup: Setup) -> World {
    let world = World::start_with(setup).await;
    pause_webhooks(&world, true).await;
    world
}

pub async fn pause_webhooks(world: &World, paused: bool) {
    let paused = Some(json!({"paused": paused}));
    world.sim(Method::POST, "webhooks", paused).await;
}

/// The next so many requests to Stripe of this method under `path` meet the fault.
pub async fn fault(world: &World, kind: &str, method: &str, path: &str, times: u64) {
    let fault = json!({"kind": kind, "method": method, "path_prefix": path, "times": times});
    world.sim(Method::POST, "faults", Some(fault)).await;
}

/// The body of a payment of `amount` with a test card, confirmed at once.
pub fn card_payment(amount: i64, currency: &str, number: &str) -> Value {
    json!({
        "amount": amount,
        "currency": currency,
        "confirm": true,
        "payment_method_data": {
            "type": "card",
            "card": {"number": number, "exp_month": "12", "exp_year": "2034", "cvc": "123"},
        },
        "return_url": "https://your.website",
    })
}

/// Sends, and answers status and JSON. What a service answers is held to its description.
pub async fn send(request: RequestBuilder) -> (u16, Value) {
    let (status, _headers, text) = described(request).await;
    (
        status,
        serde_json::from_str(&text).unwrap_or(Value::String(text)),
    )
}

/// Sends, and answers status, headers and text. What a service answers is held to its description.
pub async fn described(request: RequestBuilder) -> (u16, HeaderMap, String) {
    let (client, request) = request.build_split();
    let request = request.unwrap();
    let (method, url) = (request.method().clone(), request.url().clone());
    let answer = client.execute(request).await.unwrap();
    let (status, headers) = (answer.status(), answer.headers().clone());
    let body = answer.bytes().await.unwrap();
    description::check(&Seen {
        method: &method,
        url: &url,
        status,
        headers: &headers,
        body: &body,
    });
    let text = String::from_utf8_lossy(&body).into_owned();
    (status.as_u16(), headers, text)
}

/// Polls until it is so. A condition, not a delay: it ends as soon as it can.
pub async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let waited = tokio::time::timeout(PATIENCE, async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    assert!(waited.await.is_ok(), "waited too long: {what}");
}
