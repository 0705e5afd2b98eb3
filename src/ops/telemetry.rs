//! Logs and metrics of the process, set up once at its start.

use crate::config::{LogFormat, LogSettings};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use std::any::Any;
use std::io::IsTerminal;
use std::panic::PanicHookInfo;
use std::time::Duration;
use tracing_subscriber::EnvFilter;

/// The upper bounds of the latency histograms, in seconds: fine where our own work is, coarse where Stripe's is.
const LATENCY_SECONDS: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
];
/// Samples are kept one by one until they are sorted into the buckets, so this bounds the memory they take.
const SORT_EVERY: Duration = Duration::from_secs(5);

/// Why logs or metrics could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter is checked when the configuration is read, so this is one made by hand.
    #[error("the log filter is not understood")]
    Filter,
    /// Set up twice in one process.
    #[error("a log subscriber is set up already")]
    Twice,
    /// The metrics recorder said no.
    #[error("metrics could not be set up: {0}")]
    Metrics(#[from] BuildError),
}

/// Sets up the log (to standard error, so that a command's own output stays clean), the panic hook, and the metrics
/// recorder; its handle renders `/metrics`. Call once, inside the runtime.
///
/// # Errors
/// [`TelemetryError`]; in a process that calls this once, none but a filter made by hand.
pub fn init(log: &LogSettings) -> Result<PrometheusHandle, TelemetryError> {
    let filter = EnvFilter::try_new(&log.filter).map_err(|_| TelemetryError::Filter)?;
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    let terminal = std::io::stderr().is_terminal();
    let human = match log.format {
        LogFormat::Human => true,
        LogFormat::Json => false,
        LogFormat::Auto => terminal,
    };
    let set = if human {
        lines.with_target(false).with_ansi(terminal).try_init()
    } else {
        lines
            .json()
            .flatten_event(true)
            .with_current_span(true)
            .with_span_list(false)
            .try_init()
    };
    set.map_err(|_| TelemetryError::Twice)?;
    std::panic::set_hook(Box::new(log_panic));
    let metrics = recorder()?.install_recorder()?;
    tokio::spawn(sort_samples(metrics.clone()));
    Ok(metrics)
}

fn recorder() -> Result<PrometheusBuilder, BuildError> {
    PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), LATENCY_SECONDS)
}

async fn sort_samples(metrics: PrometheusHandle) {
    let mut ticks = tokio::time::interval(SORT_EVERY);
    loop {
        ticks.tick().await;
        metrics.run_upkeep();
    }
}

/// A panic is logged with its place. Its message only where it is a literal in our source: one that was put together
/// at run time may hold anything, a card number too.
fn log_panic(panic: &PanicHookInfo<'_>) {
    let place = panic
        .location()
        .map(ToString::to_string)
        .unwrap_or_default();
    let backtrace = std::backtrace::Backtrace::capture();
    tracing::error!(%place, message_literal = literal(panic.payload()), %backtrace, "a panic");
}

fn literal(payload: &(dyn Any + Send)) -> &'static str {
    payload
        .downcast_ref::<&'static str>()
        .copied()
        .unwrap_or("(withheld: it was put together at run time)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panics_message_is_shown_only_if_it_is_a_literal() {
        let card = "4242424242424242";
        let formatted = std::panic::catch_unwind(|| panic!("unexpected {card}")).unwrap_err();
        assert!(!literal(formatted.as_ref()).contains("4242"));
        assert_eq!(
            literal(&"the head is never absent"),
            "the head is never absent"
        );
    }

    #[test]
    fn latencies_are_counted_in_buckets() {
        let recorder = recorder().unwrap().build_recorder();
        metrics::with_local_recorder(&recorder, || {
            metrics::histogram!("append_duration_seconds").record(0.003);
        });
        let rendered = recorder.handle().render();
        assert!(
            rendered.contains(r#"append_duration_seconds_bucket{le="0.0025"} 0"#),
            "{rendered}"
        );
        assert!(
            rendered.contains(r#"append_duration_seconds_bucket{le="0.005"} 1"#),
            "{rendered}"
        );
    }
}
