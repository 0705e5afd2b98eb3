//! `/healthz`, `/readyz` and `/metrics`: what the machine around the service asks.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use futures::future::BoxFuture;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use metrics_exporter_prometheus::PrometheusHandle;
use serde_json::{Map, Value, json};
use std::sync::Arc;
use std::time::Duration;

use crate::http::openapi;
use crate::http::routes::Routes;

/// A check that has not answered by then counts as failed: who asks is often a load balancer with little patience.
const CHECKS_WITHIN: Duration = Duration::from_secs(2);

/// What one part of the service says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// The part: `database`, `migrations`, `writer`.
    pub name: &'static str,
    /// `Err` says what is wrong, for people; it goes to whoever asks, so it holds no address and no secret.
    pub result: Result<(), &'static str>,
}

/// Whether requests can be served now. The application knows; this module only asks.
pub trait Readiness: Send + Sync + 'static {
    /// All parts, in a fixed order. May be dropped after two seconds.
    fn checks(&self) -> BoxFuture<'_, Vec<Check>>;
}

/// What the three routes tell of.
#[derive(Clone)]
pub struct Health {
    /// Asked at every `/readyz`.
    pub readiness: Arc<dyn Readiness>,
    /// Rendered at every `/metrics`.
    pub metrics: PrometheusHandle,
}

/// The three routes. `/healthz` says that the process answers and asks nobody: a database that is down is no reason
/// to restart the service. `/readyz` is 503 unless every check is well.
pub fn routes() -> Routes<Health> {
    let ready =
        |State(it): State<Health>| async move { ready(it.readiness.as_ref(), CHECKS_WITHIN).await };
    let metrics = |State(it): State<Health>| async move { rendered(&it.metrics) };
    Routes::new("health")
        .get("/healthz", || async {
            axum::Json(json!({"status": "alive"}))
        })
        .get("/readyz", ready)
        .get("/metrics", metrics)
        .described_by(|| openapi::fragment(include_str!("health.openapi.json")))
}

async fn ready(readiness: &dyn Readiness, within: Duration) -> Response {
    let Ok(checks) = tokio::time::timeout(within, readiness.checks()).await else {
        let late = json!({"status": "not ready", "checks": {"all": "no answer in time"}});
        return (StatusCode::SERVICE_UNAVAILABLE, axum::Json(late)).into_response();
    };
    let well = checks.iter().all(|check| check.result.is_ok());
    let (status, word) = if well {
        (StatusCode::OK, "ready")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready")
    };
    let parts = checks.iter().map(|check| {
        (
            check.name.to_owned(),
            json!(check.result.err().unwrap_or("ok")),
        )
    });
    let parts: Map<String, Value> = parts.collect();
    (status, axum::Json(json!({"status": word, "checks": parts}))).into_response()
}

fn rendered(metrics: &PrometheusHandle) -> Response {
    (
        [(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")],
        metrics.render(),
    )
        .into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::Router;
    use axum::body::Body;
    use axum::extract::Request;
    use http_body_util::BodyExt;
    use metrics_exporter_prometheus::PrometheusBuilder;
    use tower::ServiceExt;

    /// `None` never answers.
    struct Says(Option<Vec<Check>>);

    impl Readiness for Says {
        fn checks(&self) -> BoxFuture<'_, Vec<Check>> {
            match self.0.clone() {
                Some(checks) => Box::pin(std::future::ready(checks)),
                None => Box::pin(std::future::pending()),
            }
        }
    }

    async fn ask(says: Option<Vec<Check>>, path: &str) -> (u16, String) {
        let recorder = PrometheusBuilder::new().build_recorder();
        metrics::with_local_recorder(&recorder, || metrics::counter!("seen_total").increment(3));
        let health = Health {
            readiness: Arc::new(Says(says)),
            metrics: recorder.handle(),
        };
        let router: Router = routes().with_state(health).router();
        let answer = router
            .oneshot(Request::get(path).body(Body::empty()).unwrap())
            .await
            .unwrap();
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn readiness_is_that_of_every_part() {
        let database = |result| Check {
            name: "database",
            result,
        };
        let writer = Check {
            name: "writer",
            result: Ok(()),
        };
        let (status, body) = ask(Some(vec![database(Ok(())), writer.clone()]), "/readyz").await;
        assert_eq!(
            (status, body.as_str()),
            (
                200,
                r#"{"checks":{"database":"ok","writer":"ok"},"status":"ready"}"#
            )
        );
        let (status, body) = ask(
            Some(vec![database(Err("does not answer")), writer]),
            "/readyz",
        )
        .await;
        assert_eq!(status, 503);
        assert!(body.contains(r#""database":"does not answer""#), "{body}");
    }

    #[tokio::test]
    async fn a_check_that_hangs_is_not_ready_but_alive() {
        let late = ready(&Says(None), Duration::from_millis(10)).await;
        assert_eq!(late.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(
            ask(None, "/healthz").await,
            (200, r#"{"status":"alive"}"#.to_owned())
        );
    }

    #[tokio::test]
    async fn metrics_are_prometheus_text() {
        let (status, body) = ask(None, "/metrics").await;
        assert_eq!(status, 200);
        assert!(body.contains("seen_total 3"), "{body}");
    }
}
