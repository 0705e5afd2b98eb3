//! An endpoint for webhooks that keeps what it received and answers as it is told.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use sha2::Sha256;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

/// What came in.
pub struct Received {
    pub signature: String,
    pub body: String,
}

pub struct Receiver {
    pub url: String,
    received: mpsc::UnboundedReceiver<Received>,
    answers: Arc<Mutex<VecDeque<u16>>>,
}

impl Receiver {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/hook", listener.local_addr().expect("an address"));
        let (sender, received) = mpsc::unbounded_channel();
        let answers: Arc<Mutex<VecDeque<u16>>> = Arc::default();
        let told = Arc::clone(&answers);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (sender, told) = (sender.clone(), Arc::clone(&told));
                let service =
                    service_fn(move |request| receive(request, sender.clone(), Arc::clone(&told)));
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        Self {
            url,
            received,
            answers,
        }
    }

    /// Answers the next request with this status; 200 when nothing was told.
    pub fn then_answer(&self, status: u16) {
        self.answers.lock().expect("no panic").push_back(status);
    }

    pub async fn next(&mut self) -> Received {
        super::soon(self.received.recv())
            .await
            .expect("the receiver lives")
    }

    /// Whether something has come in that was not taken yet.
    pub fn is_empty(&self) -> bool {
        self.received.is_empty()
    }
}

impl Received {
    /// Checks the signature without the simulator's own code.
    #[track_caller]
    pub fn verify(&self, secret: &str) {
        let (time, signature) = self.signature.split_once(",v1=").expect("t=…,v1=…");
        let time = time.strip_prefix("t=").expect("t=…");
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("a key");
        mac.update(time.as_bytes());
        mac.update(b".");
        mac.update(self.body.as_bytes());
        let signature = hex::decode(signature).expect("hexadecimal");
        mac.verify_slice(&signature)
            .expect("the signature is of this body");
        let now = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .expect("after 1970");
        let age = now.as_secs().abs_diff(time.parse().expect("seconds"));
        assert!(age < 300, "the time in a signature is real time");
    }

    pub fn event(&self) -> Value {
        serde_json::from_str(&self.body).expect("JSON")
    }

    pub fn event_type(&self) -> String {
        self.event()["type"].as_str().expect("text").to_owned()
    }
}

async fn receive(
    request: Request<Incoming>,
    sender: mpsc::UnboundedSender<Received>,
    told: Arc<Mutex<VecDeque<u16>>>,
) -> Result<Response<Empty<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.expect("a body").to_bytes();
    let received = Received {
        signature: header(&head.headers, "stripe-signature"),
        body: String::from_utf8(body.to_vec()).expect("text"),
    };
    // The test may have ended.
    let _ = sender.send(received);
    let status = told.lock().expect("no panic").pop_front().unwrap_or(200);
    let mut response = Response::new(Empty::new());
    *response.status_mut() = StatusCode::from_u16(status).expect("a status");
    Ok(response)
}

fn header(headers: &HeaderMap, name: &str) -> String {
    headers[name].to_str().expect("text").to_owned()
}
