//! One of the two that are asked: how it is called, and which objects it has spoken of.

use reqwest::Method;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::fmt;

/// What a call says of who makes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    Merchant,
    Stranger,
    Nobody,
}

/// One call. In the path and in values `{pi:2}` stands for the third intent that was spoken of.
#[derive(Clone, Debug)]
pub struct Call {
    pub method: Method,
    pub path: String,
    pub params: Vec<(String, String)>,
    pub key: Option<String>,
    pub who: Who,
}

impl Call {
    pub fn get(path: impl Into<String>) -> Self {
        Self::new(Method::GET, path)
    }

    pub fn post(path: impl Into<String>) -> Self {
        Self::new(Method::POST, path)
    }

    pub fn new(method: Method, path: impl Into<String>) -> Self {
        Self {
            method,
            path: path.into(),
            params: Vec::new(),
            key: None,
            who: Who::Merchant,
        }
    }

    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.params.push((name.to_owned(), value.into()));
        self
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.path)?;
        for (name, value) in &self.params {
            write!(f, " {name}={value}")?;
        }
        if let Some(key) = &self.key {
            write!(f, " (key {key})")?;
        }
        match self.who {
            Who::Merchant => Ok(()),
            who => write!(f, " ({who:?})"),
        }
    }
}

/// One of the two.
pub struct Side {
    pub is_door: bool,
    base: String,
    key: String,
    http: reqwest::Client,
    /// Ids by their prefix, in the order in which answers brought them.
    known: HashMap<&'static str, Vec<String>>,
}

/// The kinds of objects that later calls refer to.
const REFERRED: &[&str] = &["pi", "pm", "cus", "ch", "re", "cs"];

impl Side {
    pub fn new(base: &str, key: &str, is_door: bool) -> Self {
        Self {
            is_door,
            base: base.to_owned(),
            key: key.to_owned(),
            http: reqwest::Client::new(),
            known: HashMap::new(),
        }
    }

    /// Begins anew: what was spoken of before is not referred to any more.
    pub fn forget(&mut self) {
        self.known.clear();
    }

    /// How many objects with this prefix can be referred to.
    pub fn count(&self, prefix: &str) -> usize {
        self.known.get(prefix).map_or(0, Vec::len)
    }

    /// How many objects of each kind can be referred to.
    pub fn counts(&self) -> Vec<usize> {
        REFERRED.iter().map(|it| self.count(it)).collect()
    }

    /// The text with references in place of which stand the ids of this side.
    fn resolve(&self, text: &str) -> String {
        let mut out = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let (reference, after) = after.split_once('}').expect("a reference is closed");
            let (prefix, place) = reference.split_once(':').expect("a reference has a place");
            out.push_str(before);
            out.push_str(&self.known[prefix][place.parse::<usize>().unwrap()]);
            rest = after;
        }
        out + rest
    }

    /// Makes the call as Stripe's clients do. Answers what is compared of the answer.
    pub async fn ask(&mut self, call: &Call) -> Value {
        let mut form = reqwest::Url::parse("form:?").unwrap();
        for (name, value) in &call.params {
            form.query_pairs_mut()
                .append_pair(name, &self.resolve(value));
        }
        let params = form.query().unwrap_or_default().to_owned();
        let url = format!("{}{}", self.base, self.resolve(&call.path));
        let request = match call.method {
            Method::GET if params.is_empty() => self.http.get(url),
            Method::GET => self.http.get(format!("{url}?{params}")),
            _ => self
                .http
                .request(call.method.clone(), url)
                .header("Content-Type", "application/x-www-form-urlencoded")
                .body(params),
        };
        let request = match call.who {
            Who::Merchant => request.bearer_auth(&self.key),
            Who::Stranger => request.bearer_auth("sk_test_of_nobody"),
            Who::Nobody => request,
        };
        let request = match &call.key {
            Some(key) => request.header("Idempotency-Key", key),
            None => request,
        };
        let answer = request
            .header("Stripe-Version", "2023-08-16")
            .send()
            .await
            .unwrap();
        let header = |name: &str| Some(answer.headers().get(name)?.to_str().unwrap().to_owned());
        let (replayed, should_retry) =
            (header("idempotent-replayed"), header("stripe-should-retry"));
        assert!(
            header("request-id").is_some_and(|it| it.starts_with("req_")),
            "{call} is answered with a request id"
        );
        let status = answer.status().as_u16();
        let text = answer.text().await.unwrap();
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        self.note(&body);
        json!({ "status": status, "replayed": replayed, "should_retry": should_retry, "body": body })
    }

    /// Notes the objects that an answer is about.
    fn note(&mut self, body: &Value) {
        let intent = &body["error"]["payment_intent"];
        for id in [
            &body["id"],
            &body["latest_charge"],
            &intent["id"],
            &intent["latest_charge"],
        ] {
            let Some(id) = id.as_str() else { continue };
            let prefix = id.split('_').next().unwrap_or_default();
            let Some(prefix) = REFERRED.iter().find(|it| **it == prefix) else {
                continue;
            };
            let known = self.known.entry(prefix).or_default();
            if !known.iter().any(|it| it == id) {
                known.push(id.to_owned());
            }
        }
    }
}
