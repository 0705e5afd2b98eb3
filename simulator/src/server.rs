//! The HTTP server: connections, limits, and who may ask for what.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::answers::Answer;
use crate::api::{self, Dropped};
use crate::params::Tree;
use crate::{App, admin, pages};

/// The largest body that is read.
const BODY_BYTES_MAX: usize = 1 << 20;
/// How long a caller may take to send the head of a request.
const HEAD_WITHIN: Duration = Duration::from_secs(30);
/// How long open requests may take to end when the simulator stops.
const DRAIN_WITHIN: Duration = Duration::from_secs(2);

/// Accepts connections until `stop` turns true, then lets open requests end.
pub async fn serve(app: Arc<App>, listener: TcpListener, mut stop: watch::Receiver<bool>) {
    let graceful = GracefulShutdown::new();
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|stop| *stop) => break,
            Some(_) = connections.join_next() => continue,
        };
        match accepted {
            Ok((stream, peer)) => connection(&app, stream, peer, &graceful, &mut connections),
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
    drop(listener);
    app.faults.release();
    if tokio::time::timeout(DRAIN_WITHIN, graceful.shutdown())
        .await
        .is_err()
    {
        tracing::warn!("requests were still open when the simulator stopped");
    }
}

fn connection(
    app: &Arc<App>,
    stream: TcpStream,
    peer: SocketAddr,
    graceful: &GracefulShutdown,
    connections: &mut JoinSet<()>,
) {
    // Answers are small and whole: waiting to fill a packet only costs time.
    let _ = stream.set_nodelay(true);
    let app = Arc::clone(app);
    let service = service_fn(move |request| {
        let app = Arc::clone(&app);
        async move { respond(&app, peer, request).await }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .serve_connection(TokioIo::new(stream), service);
    let connection = graceful.watch(connection);
    connections.spawn(async move {
        // An error ends the connection, which is what a fault asked for, or what the caller did.
        let _ = connection.await;
    });
}

/// An error ends the connection without an answer.
#[derive(Debug)]
struct Cut;

impl std::fmt::Display for Cut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the connection was cut by a fault")
    }
}

impl std::error::Error for Cut {}

async fn respond(
    app: &Arc<App>,
    peer: SocketAddr,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Cut> {
    let (head, body) = request.into_parts();
    let answer = match read_body(body).await {
        Err(answer) => answer,
        Ok(body) => match head.uri.path().strip_prefix("/_sim/") {
            Some(path) => own(app, peer, &head, path, &body),
            None => match api::answer(app, &head, &body).await {
                Ok(reply) => {
                    let (method, path) = (&head.method, head.uri.path());
                    tracing::debug!(%method, path, status = reply.status, request_id = reply.request_id, "answered");
                    Answer::from(reply)
                }
                Err(Dropped) => return Err(Cut),
            },
        },
    };
    Ok(answer.into_response())
}

async fn read_body(body: Incoming) -> Result<Bytes, Answer> {
    match Limited::new(body, BODY_BYTES_MAX).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => {
            Err(Answer::plain(413, "The body is larger than 1 MiB."))
        }
        Err(_) => Err(Answer::plain(400, "The body could not be read.")),
    }
}

/// A page for the payer: what it answers, given the id in its path and its parameters.
type Page = fn(&App, &http::Method, &str, &Tree) -> Answer;

/// What is the simulator's own: the payer's pages are for everybody, the handles for callers on this machine.
fn own(
    app: &App,
    peer: SocketAddr,
    head: &http::request::Parts,
    path: &str,
    body: &[u8],
) -> Answer {
    let page = match path.split_once('/') {
        Some(("3ds", intent)) => Some((pages::three_d_secure::answer as Page, intent)),
        Some(("checkout", session)) => Some((pages::checkout::answer as Page, session)),
        _ => None,
    };
    if let Some((page, id)) = page {
        let json = body.starts_with(b"{");
        let read = if json {
            Tree::from_json(body)
        } else {
            Tree::from_form(body)
        };
        return match read {
            Ok(tree) => page(app, &head.method, id, &tree),
            Err(error) => Answer::json(error.status(), &error.body()),
        };
    }
    if !peer.ip().to_canonical().is_loopback() {
        return Answer::plain(403, "Only callers on this machine are answered here.");
    }
    let query = head.uri.query().unwrap_or_default();
    admin::answer(app, &head.method, path, query, body)
}

/// Does what becomes due because real time passes.
pub async fn tick(app: Arc<App>) -> Infallible {
    let mut interval = tokio::time::interval(Duration::from_millis(200));
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        if let Err(error) = app.run_due() {
            tracing::error!(%error, "the journal cannot be written: what is due waits");
        }
    }
}
