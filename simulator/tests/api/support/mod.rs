//! A simulator, and a caller that checks the shape of every answer.

pub mod receiver;
#[path = "../../schemas/check.rs"]
pub mod shapes;

use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};
use simulator::{Account, Config, Running, Simulator};

pub const SECRET_KEY: &str = "sk_test_simulated";
pub const PUBLISHABLE_KEY: &str = "pk_test_simulated";

/// Form parameters.
pub type Form<'a> = &'a [(&'a str, &'a str)];

/// An account with Stripe's rules.
pub fn account() -> Account {
    Account::new("acct_one", SECRET_KEY, PUBLISHABLE_KEY)
}

/// A configuration in which what happens later happens only when the clock is advanced.
pub fn config() -> Config {
    Config {
        later_s: 3_600,
        ..Config::new(vec![account()])
    }
}

/// A simulator that answers, and a caller with the secret key.
pub async fn start() -> (Running, Api) {
    start_with(config()).await
}

pub async fn start_with(config: Config) -> (Running, Api) {
    let running = Simulator::start(config).await.expect("it starts");
    let api = Api::new(&running.url(), SECRET_KEY);
    (running, api)
}

/// An HTTP client that follows no redirects.
pub fn client() -> Client {
    // An error means that another test has installed it.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .expect("a client")
}

/// Fails rather than waits for ever for something that does not happen.
pub async fn soon<T>(what: impl Future<Output = T>) -> T {
    let limit = std::time::Duration::from_secs(60);
    tokio::time::timeout(limit, what)
        .await
        .expect("it happens within a minute")
}

/// Calls a simulator with one key.
#[derive(Clone)]
pub struct Api {
    pub base: String,
    key: String,
    client: Client,
}

/// What was answered.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: reqwest::header::HeaderMap,
    pub body: Value,
    pub text: String,
}

impl Api {
    pub fn new(base: &str, key: &str) -> Self {
        Self {
            base: base.to_owned(),
            key: key.to_owned(),
            client: client(),
        }
    }

    /// The same caller with another key.
    pub fn with_key(&self, key: &str) -> Self {
        Self {
            key: key.to_owned(),
            ..self.clone()
        }
    }

    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let url = format!("{}{}", self.base, path.trim_start_matches('/'));
        self.client.request(method, url).bearer_auth(&self.key)
    }

    pub async fn get(&self, path: &str) -> Answer {
        send(self.request(Method::GET, path)).await
    }

    pub async fn post(&self, path: &str, form: Form<'_>) -> Answer {
        send(with_form(self.request(Method::POST, path), form)).await
    }

    pub async fn post_with_key(&self, path: &str, form: Form<'_>, key: &str) -> Answer {
        let request = with_form(self.request(Method::POST, path), form);
        send(request.header("idempotency-key", key)).await
    }

    /// A request to the simulator's own handles.
    pub async fn own(&self, method: Method, path: &str, body: Value) -> Value {
        let request = self.request(method, &format!("_sim/{path}"));
        let answer = request.json(&body).send().await.expect("an answer");
        assert!(answer.status().is_success(), "{path}: {}", answer.status());
        answer.json().await.expect("JSON")
    }

    pub async fn advance(&self, seconds: i64) {
        self.own(Method::POST, "clock", json!({ "advance_s": seconds }))
            .await;
    }

    /// An intent of 10.00 usd, with further parameters.
    pub async fn intent(&self, further: Form<'_>) -> Answer {
        let mut form = vec![("amount", "1000"), ("currency", "usd")];
        form.extend_from_slice(further);
        self.post("v1/payment_intents", &form).await
    }

    /// A succeeded payment of 10.00 usd with a ready-made method; answers its intent.
    pub async fn paid(&self, method: &str) -> Value {
        let answer = self
            .intent(&[("confirm", "true"), ("payment_method", method)])
            .await;
        answer.ok()
    }

    /// The types of all events, oldest first.
    pub async fn event_types(&self) -> Vec<String> {
        let events = self.get("v1/events?limit=100").await.ok();
        let events = events["data"].as_array().expect("a list");
        let types = events
            .iter()
            .rev()
            .map(|it| it["type"].as_str().expect("text").to_owned());
        types.collect()
    }
}

/// A form-encoded body.
pub fn with_form(request: RequestBuilder, form: Form<'_>) -> RequestBuilder {
    let body = serde_urlencoded::to_string(form).expect("pairs of text");
    let content_type = "application/x-www-form-urlencoded";
    request.header("content-type", content_type).body(body)
}

/// Sends a request to Stripe's API, and checks the shape of the answer.
pub async fn send(request: RequestBuilder) -> Answer {
    let answer = request.send().await.expect("an answer");
    let status = answer.status().as_u16();
    let headers = answer.headers().clone();
    let text = answer.text().await.expect("text");
    let body: Value = serde_json::from_str(&text).expect("JSON");
    assert!(headers.contains_key("request-id"));
    shapes::check(status, &body);
    Answer {
        status,
        headers,
        body,
        text,
    }
}

impl Answer {
    /// The body of a 200.
    #[track_caller]
    pub fn ok(self) -> Value {
        assert_eq!(self.status, 200, "{}", self.body);
        self.body
    }

    /// Status, code and param of an error.
    #[track_caller]
    pub fn error(&self) -> (u16, &str, &str) {
        let error = &self.body["error"];
        assert!(error.is_object(), "{}", self.body);
        (
            self.status,
            error["code"].as_str().unwrap_or_default(),
            error["param"].as_str().unwrap_or_default(),
        )
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// The text of a member.
#[track_caller]
pub fn text<'a>(object: &'a Value, member: &str) -> &'a str {
    object[member].as_str().expect("text")
}
