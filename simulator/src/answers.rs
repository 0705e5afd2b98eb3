//! HTTP answers, before they are put on the wire.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue, LOCATION};
use http::{Response, StatusCode};
use http_body_util::Full;
use serde_json::Value;

use crate::api::Reply;

/// An HTTP answer.
pub struct Answer {
    status: u16,
    headers: Vec<(HeaderName, String)>,
    body: Bytes,
}

impl Answer {
    fn new(status: u16, content_type: &str, body: String) -> Self {
        Self {
            status,
            headers: vec![(CONTENT_TYPE, content_type.to_owned())],
            body: body.into(),
        }
    }

    /// A JSON body.
    pub fn json(status: u16, body: &Value) -> Self {
        Self::new(status, "application/json", body.to_string())
    }

    /// A whole page.
    pub fn html(status: u16, page: String) -> Self {
        Self::new(status, "text/html; charset=utf-8", page)
    }

    /// A line of text.
    pub fn plain(status: u16, body: &str) -> Self {
        Self::new(status, "text/plain; charset=utf-8", body.to_owned())
    }

    /// Sends a browser elsewhere.
    pub fn see_other(url: &str) -> Self {
        let mut answer = Self::plain(303, "See other.");
        answer.headers.push((LOCATION, url.to_owned()));
        answer
    }

    /// One header more, named in lower case.
    pub fn header(&mut self, name: &'static str, value: impl Into<String>) {
        self.headers
            .push((HeaderName::from_static(name), value.into()));
    }

    /// The answer as it goes out. A header value that cannot be written is left out.
    pub fn into_response(self) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::new(self.body));
        *response.status_mut() =
            StatusCode::from_u16(self.status).expect("only valid statuses are answered");
        for (name, value) in self.headers {
            if let Ok(value) = HeaderValue::from_str(&value) {
                response.headers_mut().insert(name, value);
            }
        }
        response
    }
}

/// Text as a page may show it.
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for it in text.chars() {
        match it {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            _ => out.push(it),
        }
    }
    out
}

impl From<Reply> for Answer {
    fn from(reply: Reply) -> Self {
        let mut answer = Self::json(reply.status, &reply.body);
        answer.header("request-id", reply.request_id);
        answer.header("stripe-version", reply.version);
        if let Some(key) = reply.idempotency_key {
            answer.header("idempotency-key", key);
        }
        if let Some(original) = reply.original_request {
            answer.header("original-request", original);
        }
        if reply.replayed {
            answer.header("idempotent-replayed", "true");
        }
        if let Some(should) = reply.should_retry {
            answer.header("stripe-should-retry", should.to_string());
        }
        answer
    }
}
