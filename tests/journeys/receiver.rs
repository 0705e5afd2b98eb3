//! A merchant's receiver of webhooks on loopback: keeps what it gets, answers as it is told.

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use sha2::Sha256;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

/// One request that the receiver got.
#[derive(Clone)]
pub struct Got {
    headers: HeaderMap,
    pub body: Bytes,
}

impl Got {
    pub fn event(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }

    /// Whether one of its signatures is what the secret makes of time and body; made here, by other code than the service's.
    pub fn is_signed_with(&self, secret: &SecretString) -> bool {
        let fields: Vec<(&str, &str)> = self
            .header("stripe-signature")
            .split(',')
            .map(|field| field.split_once('=').unwrap())
            .collect();
        let time = fields.iter().find(|(name, _)| *name == "t").unwrap().1;
        let now = chrono::Utc::now().timestamp();
        assert!((now - time.parse::<i64>().unwrap()).abs() < 300);
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.expose_secret().as_bytes()).unwrap();
        mac.update(format!("{time}.").as_bytes());
        mac.update(&self.body);
        let expected = hex::encode(mac.finalize().into_bytes());
        fields.contains(&("v1", expected.as_str()))
    }
}

/// A merchant's receiver: keeps what it gets, and answers as it is told, 200 where it is told nothing.
pub struct Receiver {
    pub address: SocketAddr,
    inner: Arc<Inner>,
}

struct Inner {
    got: Mutex<Vec<Got>>,
    answers: Mutex<VecDeque<StatusCode>>,
    /// Closed where it is to answer nothing until it is opened.
    gate: Semaphore,
    at_once: AtomicUsize,
    at_once_max: AtomicUsize,
}

impl Receiver {
    pub async fn start() -> Self {
        let inner = Arc::new(Inner {
            got: Mutex::default(),
            answers: Mutex::default(),
            gate: Semaphore::new(1_000_000),
            at_once: AtomicUsize::new(0),
            at_once_max: AtomicUsize::new(0),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new()
            .route("/hook", post(receive))
            .route("/elsewhere", post(receive))
            .with_state(Arc::clone(&inner));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { address, inner }
    }

    pub fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    pub fn got(&self) -> Vec<Got> {
        self.inner.got.lock().unwrap().clone()
    }

    pub fn answers(&self, statuses: &[u16]) {
        let statuses = statuses.iter().map(|it| StatusCode::from_u16(*it).unwrap());
        self.inner.answers.lock().unwrap().extend(statuses);
    }

    /// How many requests it had at once, at the most.
    pub fn at_once_max(&self) -> usize {
        self.inner.at_once_max.load(Ordering::SeqCst)
    }

    /// From now on it takes requests and does not answer.
    pub async fn hangs(&self) {
        self.inner
            .gate
            .acquire_many(1_000_000)
            .await
            .unwrap()
            .forget();
    }

    pub fn goes_on(&self) {
        self.inner.gate.add_permits(1_000_000);
    }
}

async fn receive(State(it): State<Arc<Inner>>, headers: HeaderMap, body: Bytes) -> Response {
    let at_once = it.at_once.fetch_add(1, Ordering::SeqCst) + 1;
    it.at_once_max.fetch_max(at_once, Ordering::SeqCst);
    it.got.lock().unwrap().push(Got { headers, body });
    drop(it.gate.acquire().await.unwrap());
    it.at_once.fetch_sub(1, Ordering::SeqCst);
    let status = it.answers.lock().unwrap().pop_front();
    match status.unwrap_or(StatusCode::OK) {
        status if status.is_redirection() => {
            (status, [(header::LOCATION, "/elsewhere")]).into_response()
        }
        status => (status, "thank you").into_response(),
    }
}
