//! What is done around every request, whichever door it is for: it gets an id, its end is logged and counted, its
//! body is limited, and a panic in it becomes a 500 that says nothing.

use crate::http::body::BODY_BYTES_MAX;
use crate::http::problem::Problem;
use axum::Router;
use axum::extract::{DefaultBodyLimit, FromRequestParts, MatchedPath, Request};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use futures::FutureExt;
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method};
use metrics::{counter, gauge, histogram};
use std::convert::Infallible;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;
use tracing::Instrument;
use uuid::Uuid;

static REQUEST_ID: HeaderName = HeaderName::from_static("request-id");

/// The id of one request, `req_…`: in its answer's `Request-Id`, in each log line written on its behalf, and in the
/// error bodies of the doors that show one. It is always ours: what a caller sends under that name is not believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId(Arc<str>);

impl RequestId {
    fn fresh() -> Self {
        Self(format!("req_{}", Uuid::now_v7().simple()).into())
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<S: Sync> FromRequestParts<S> for RequestId {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        // Outside of `observed` (a door under test on its own) there is none yet.
        Ok(parts.extensions.get().cloned().unwrap_or_else(Self::fresh))
    }
}

/// The finished router with all of this around it. Called once, last, when every route is in.
pub fn observed(router: Router) -> Router {
    router
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(from_fn(observe))
}

async fn observe(mut request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let id = RequestId::fresh();
    let method = known(request.method());
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route = route.as_ref().map_or("none", MatchedPath::as_str);
    request.extensions_mut().insert(id.clone());

    let span = tracing::info_span!("request", request_id = %id, trace_id = tracing::field::Empty);
    let in_flight = InFlight::enter();
    let answer = AssertUnwindSafe(next.run(request))
        .catch_unwind()
        .instrument(span.clone())
        .await;
    drop(in_flight);

    let mut answer = answer.unwrap_or_else(|_panic| {
        // The panic hook has told the log where; what it carried may be anything, so nobody else is told.
        counter!("http_panics_total").increment(1);
        Problem::internal().into_response()
    });
    let value = HeaderValue::from_str(id.as_str()).expect("an id is letters, digits and `_`");
    answer.headers_mut().insert(REQUEST_ID.clone(), value);
    span.in_scope(|| record(method, route, answer.status().as_u16(), begun));
    crate::crash_point!("answer-before");
    answer
}

/// One line and two metrics per request. Never the query, a body or a credential: only what names the kind of request.
fn record(method: &'static str, route: &str, status: u16, begun: Instant) {
    let took = begun.elapsed();
    let latency_ms = took.as_secs_f64() * 1000.0;
    tracing::info!(target: "counterfoil::access", method, route, status, latency_ms, "answered");
    let labels = [
        ("method", method.to_owned()),
        ("route", route.to_owned()),
        ("status", status.to_string()),
    ];
    counter!("http_requests_total", &labels).increment(1);
    histogram!("http_request_duration_seconds", &labels).record(took.as_secs_f64());
}

/// A method as a label: callers may invent any, and each label is kept forever.
fn known(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PATCH => "PATCH",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

/// Counts a request that is being worked on, also when its client hangs up and its future is dropped.
struct InFlight;

impl InFlight {
    fn enter() -> Self {
        gauge!("http_requests_in_flight").increment(1);
        Self
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        gauge!("http_requests_in_flight").decrement(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;
    use axum::routing::{get, post};
    use http::StatusCode;
    use http::header::ALLOW;
    use http_body_util::BodyExt;
    use metrics_exporter_prometheus::PrometheusBuilder;
    use std::io::Write;
    use std::sync::Mutex;
    use tower::ServiceExt;

    fn router() -> Router {
        let routes = Router::new()
            .route(
                "/orders/{id}",
                get(|id: RequestId| async move {
                    // A door may say in the log what it calls the request.
                    tracing::Span::current().record("trace_id", "traced");
                    id.to_string()
                }),
            )
            .route("/panics", get(panics))
            .route(
                "/takes",
                post(|body: String| async move { body.len().to_string() }),
            );
        observed(routes)
    }

    async fn panics() -> &'static str {
        panic!("holding 4242424242424242")
    }

    async fn ask(method: Method, path: &str, body: Body) -> (Response<()>, String) {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("request-id", "theirs")
            .body(body)
            .unwrap();
        let (parts, body) = router().oneshot(request).await.unwrap().into_parts();
        let text = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
        (Response::from_parts(parts, ()), text)
    }

    type Response<B> = http::Response<B>;

    #[tokio::test]
    async fn every_answer_carries_an_id_of_ours_that_the_handler_saw_too() {
        let (answer, seen) = ask(Method::GET, "/orders/9", Body::empty()).await;
        assert_eq!(answer.headers()["request-id"], seen.as_str());
        assert!(seen.starts_with("req_"), "{seen}");
        for (method, path, status) in [
            (Method::GET, "/nowhere", 404),
            (Method::DELETE, "/orders/9", 405),
        ] {
            let (answer, _) = ask(method, path, Body::empty()).await;
            assert_eq!(answer.status().as_u16(), status);
            assert!(
                answer.headers()["request-id"]
                    .to_str()
                    .unwrap()
                    .starts_with("req_")
            );
        }
    }

    #[tokio::test]
    async fn the_wrong_method_is_told_which_are_right() {
        let (answer, _) = ask(Method::DELETE, "/takes", Body::empty()).await;
        assert_eq!(answer.headers()[ALLOW], "POST");
    }

    #[tokio::test]
    async fn a_panic_becomes_a_500_that_says_nothing() {
        let (answer, body) = ask(Method::GET, "/panics", Body::empty()).await;
        assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert!(answer.headers().contains_key("request-id"));
        assert!(!body.contains("4242") && !body.contains(".rs"), "{body}");
    }

    #[tokio::test]
    async fn a_body_over_a_mebibyte_is_a_413() {
        let (fits, _) = ask(
            Method::POST,
            "/takes",
            Body::from(vec![b'x'; BODY_BYTES_MAX]),
        )
        .await;
        let (over, _) = ask(
            Method::POST,
            "/takes",
            Body::from(vec![b'x'; BODY_BYTES_MAX + 1]),
        )
        .await;
        assert_eq!((fits.status().as_u16(), over.status().as_u16()), (200, 413));
    }

    /// What was logged, as JSON lines.
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn the_log_line_and_the_metrics_name_the_route_and_never_what_the_caller_wrote() {
        // Planted bug that turns this red: logging or counting the path instead of the route.
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::fmt()
            .json()
            .with_writer(move || writer.clone())
            .finish();
        let recorder = PrometheusBuilder::new().build_recorder();
        let metrics = recorder.handle();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let id = metrics::with_local_recorder(&recorder, || {
            tracing::subscriber::with_default(subscriber, || {
                runtime
                    .block_on(ask(
                        Method::GET,
                        "/orders/4242424242424242?key=sk_live_1",
                        Body::empty(),
                    ))
                    .1
            })
        });
        let log = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        let line: serde_json::Value = serde_json::from_str(log.lines().last().unwrap()).unwrap();
        assert_eq!(line["fields"]["route"], "/orders/{id}");
        assert_eq!(line["fields"]["status"], 200);
        assert_eq!(line["fields"]["method"], "GET");
        assert!(line["fields"]["latency_ms"].is_number());
        assert_eq!(line["span"]["request_id"], id.as_str());
        assert_eq!(line["span"]["trace_id"], "traced");
        let rendered = metrics.render();
        let counted = r#"http_requests_total{method="GET",route="/orders/{id}",status="200"} 1"#;
        assert!(rendered.contains(counted), "{rendered}");
        assert!(rendered.contains("http_requests_in_flight 0"), "{rendered}");
        assert!(!log.contains("4242") && !log.contains("sk_live"), "{log}");
        assert!(!rendered.contains("4242"), "{rendered}");
    }
}
