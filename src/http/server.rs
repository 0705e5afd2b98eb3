//! The accept loop. It is our own because `axum::serve` sets no timer, without which hyper's limit on the time that
//! a client may take over its headers does nothing, and because it has no cap on connections and no patience to lose with a
//! client that does not read.

use axum::Router;
use axum::extract::{ConnectInfo, Request};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_io_timeout::TimeoutStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

/// After a failed accept (no file descriptors left, mostly) the loop rests this long, or it would spin.
const AFTER_FAILED_ACCEPT: Duration = Duration::from_millis(100);

/// Connections that may wait for room at once; more wait in the kernel's queue.
const LOBBY: usize = 64;
/// A refused client that goes on talking is not listened to any longer, nor for more bytes.
const REFUSED_WITHIN: Duration = Duration::from_secs(1);
const REFUSED_READ_BYTES_MAX: u64 = 64 * 1024;
/// There is no request yet to say in which form.
const NO_ROOM: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\n\
    content-type: text/plain\r\ncontent-length: 29\r\n\r\nToo many connections for now.";

/// The limits of the accept loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How long a client may take to send a request's headers, and a kept-alive connection may stand idle.
    pub header_read_within: Duration,
    /// How long a client may take nothing of an answer that waits for it.
    pub write_stalled_within: Duration,
    /// Connections served at once.
    pub connections_max: usize,
    /// How long a connection beyond them waits for one to end, before it is answered 503.
    pub room_within: Duration,
    /// After the stop, how long requests that are being worked on may take.
    pub drain_within: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            header_read_within: Duration::from_secs(10),
            write_stalled_within: Duration::from_secs(30),
            connections_max: 4096,
            room_within: Duration::from_secs(2),
            drain_within: Duration::from_secs(15),
        }
    }
}

/// How the server ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drained {
    /// Every request that had begun was answered.
    Whole,
    /// So many connections were cut at the deadline.
    Cut {
        /// Connections, not requests.
        connections: usize,
    },
}

/// Serves `router` on `listener` until `stop` is cancelled; then takes no more connections, lets the requests that
/// have begun finish, and returns. HTTP/1.1 with keep-alive; TLS is ended by whatever stands before the service.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    limits: Limits,
    stop: CancellationToken,
) -> Drained {
    let room = Arc::new(Semaphore::new(limits.connections_max));
    let lobby = Arc::new(Semaphore::new(LOBBY));
    let connections = TaskTracker::new();
    let cut = CancellationToken::new();
    while let Some((stream, peer, waiting)) = next(&listener, &lobby, &stop).await {
        let (room, router) = (Arc::clone(&room), router.clone());
        let (stop, cut) = (stop.clone(), cut.clone());
        let connection = async move {
            let found = tokio::time::timeout(limits.room_within, room.acquire_owned()).await;
            match found {
                Ok(_place) => {
                    drop(waiting);
                    serve_one(stream, peer, router, limits, stop).await;
                }
                Err(_full) => refuse(stream).await,
            }
        };
        connections.spawn(cut.run_until_cancelled_owned(connection));
    }
    drop(listener);
    drain(&connections, &cut, limits.drain_within).await
}

/// The next connection; `None` after the stop.
async fn next(
    listener: &TcpListener,
    lobby: &Arc<Semaphore>,
    stop: &CancellationToken,
) -> Option<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let accepted = async {
        let permit = Arc::clone(lobby)
            .acquire_owned()
            .await
            .expect("the semaphore is never closed");
        loop {
            match listener.accept().await {
                Ok((stream, peer)) => return (stream, peer, permit),
                Err(error) if is_the_clients(&error) => {}
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(AFTER_FAILED_ACCEPT).await;
                }
            }
        }
    };
    stop.run_until_cancelled(accepted).await
}

/// A client that left before it was accepted: the next one may come at once.
fn is_the_clients(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset
    )
}

/// Says that there is no room, and lets the client read it: what is closed with bytes unread breaks off.
async fn refuse(mut stream: TcpStream) {
    metrics::counter!("http_connections_refused_total").increment(1);
    let said = async {
        stream.write_all(NO_ROOM).await?;
        stream.shutdown().await?;
        tokio::io::copy(
            &mut stream.take(REFUSED_READ_BYTES_MAX),
            &mut tokio::io::sink(),
        )
        .await
    };
    // Whether it is heard is the client's business.
    let _ = tokio::time::timeout(REFUSED_WITHIN, said).await;
}

async fn serve_one(
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    limits: Limits,
    stop: CancellationToken,
) {
    // Answers are small and whole: waiting to fill a packet only adds latency.
    let _ = stream.set_nodelay(true);
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(limits.write_stalled_within));
    let service = router.map_request(move |mut request: http::Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        request.map(axum::body::Body::new) as Request
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_read_within)
        .serve_connection(
            TokioIo::new(Box::pin(stream)),
            TowerToHyperService::new(service),
        );
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        // Clients hang up and scanners talk nonsense; that is their business, and no news.
        tracing::debug!(%error, "a connection ended early");
    }
}

async fn drain(connections: &TaskTracker, cut: &CancellationToken, within: Duration) -> Drained {
    connections.close();
    if tokio::time::timeout(within, connections.wait())
        .await
        .is_ok()
    {
        return Drained::Whole;
    }
    let left = connections.len();
    cut.cancel();
    connections.wait().await;
    tracing::warn!(
        connections = left,
        "connections were cut at the end of the drain"
    );
    Drained::Cut { connections: left }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::routing::get;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::sync::Notify;
    use tokio::task::JoinHandle;

    struct Running {
        address: SocketAddr,
        stop: CancellationToken,
        ended: JoinHandle<Drained>,
    }

    async fn run(router: Router, limits: Limits) -> Running {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let ended = tokio::spawn(serve(listener, router, limits, stop.clone()));
        Running {
            address,
            stop,
            ended,
        }
    }

    /// One request on a connection of its own; all that came back before the end of the connection.
    async fn ask(address: SocketAddr, request: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    const CLOSING: &str = "GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";

    #[tokio::test]
    async fn a_connection_is_kept_for_the_next_request_and_the_handler_knows_the_peer() {
        let peer =
            |ConnectInfo(peer): ConnectInfo<SocketAddr>| async move { peer.ip().to_string() };
        let running = run(Router::new().route("/", get(peer)), Limits::default()).await;
        let twice = format!("GET / HTTP/1.1\r\nhost: x\r\n\r\n{CLOSING}");
        let answers = ask(running.address, &twice).await;
        assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 2, "{answers}");
        assert_eq!(answers.matches("127.0.0.1").count(), 2, "{answers}");
        running.stop.cancel();
        assert_eq!(running.ended.await.unwrap(), Drained::Whole);
    }

    #[tokio::test]
    async fn a_client_that_dawdles_over_its_headers_or_stands_idle_is_let_go() {
        // Planted bug that turns this red: a builder without a timer.
        let limits = Limits {
            header_read_within: Duration::from_millis(50),
            ..Limits::default()
        };
        let handler = get(|| async { "served" });
        let running = run(Router::new().route("/", handler), limits).await;
        let let_go = async |sent| {
            let ended = tokio::time::timeout(Duration::from_secs(30), ask(running.address, sent));
            ended.await.expect("the server ends the connection")
        };
        let dawdling = let_go("GET / HTTP/1.1\r\nhost: x\r\nx-slow: ").await;
        assert!(!dawdling.contains("served"), "{dawdling}");
        let idle = let_go("GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
        assert_eq!(idle.matches("served").count(), 1, "{idle}");
    }

    #[tokio::test]
    async fn no_more_connections_are_served_at_once_than_the_cap_allows() {
        // Planted bug that turns this red: giving the place back before the connection ends.
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (inside, seen) = (Arc::clone(&now), Arc::clone(&most));
        let busy = move || async move {
            seen.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            for _ in 0..500 {
                tokio::task::yield_now().await;
            }
            inside.fetch_sub(1, Ordering::SeqCst);
        };
        let limits = Limits {
            connections_max: 2,
            room_within: Duration::from_secs(60),
            ..Limits::default()
        };
        let running = run(Router::new().route("/", get(busy)), limits).await;
        let asked = (0..12).map(|_| ask(running.address, CLOSING));
        let answers = futures::future::join_all(asked).await;
        assert!(
            answers.iter().all(|answer| answer.contains("200 OK")),
            "{answers:?}"
        );
        assert_eq!(most.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn a_connection_that_finds_no_room_is_told_so_and_one_that_does_is_served() {
        // Red where room is waited for without end.
        let limits = Limits {
            connections_max: 1,
            room_within: Duration::from_millis(50),
            header_read_within: Duration::from_secs(600),
            ..Limits::default()
        };
        let running = run(Router::new().route("/", get(|| async { "served" })), limits).await;
        let mut idle = TcpStream::connect(running.address).await.unwrap();
        // Once it was answered it has its place, and keeps it.
        idle.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
            .await
            .unwrap();
        idle.read_u8().await.unwrap();
        for _ in 0..3 {
            let refused = ask(running.address, CLOSING).await;
            assert!(refused.starts_with("HTTP/1.1 503"), "{refused}");
            let (head, body) = refused.split_once("\r\n\r\n").unwrap();
            assert!(
                head.contains(&format!("content-length: {}", body.len())),
                "{refused}"
            );
        }
        drop(idle);
        while !ask(running.address, CLOSING).await.ends_with("served") {}
    }

    #[tokio::test]
    async fn a_client_that_does_not_read_loses_its_place() {
        // Red where a write that waits has no limit.
        let limits = Limits {
            write_stalled_within: Duration::from_millis(100),
            connections_max: 1,
            room_within: Duration::from_secs(60),
            ..Limits::default()
        };
        let endless = || async {
            let pieces = futures::stream::repeat_with(|| Ok::<_, io::Error>(vec![b'x'; 64 * 1024]));
            axum::body::Body::from_stream(pieces)
        };
        let routes = Router::new().route("/", get(|| async { "served" }));
        let running = run(routes.route("/endless", get(endless)), limits).await;
        let mut deaf = TcpStream::connect(running.address).await.unwrap();
        deaf.write_all(b"GET /endless HTTP/1.1\r\nhost: x\r\n\r\n")
            .await
            .unwrap();
        deaf.read_u8().await.unwrap();
        // The only place is taken until the one that does not read is let go.
        assert!(ask(running.address, CLOSING).await.ends_with("served"));
    }

    #[tokio::test]
    async fn a_request_that_has_begun_is_answered_after_the_stop() {
        // Planted bug that turns this red: dropping the connections at the stop.
        let (entered, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (inside, released) = (Arc::clone(&entered), Arc::clone(&go_on));
        let handler = move || async move {
            inside.notify_one();
            released.notified().await;
            "finished"
        };
        let running = run(Router::new().route("/", get(handler)), Limits::default()).await;
        let asked =
            tokio::spawn(
                async move { ask(running.address, "GET / HTTP/1.1\r\nhost: x\r\n\r\n").await },
            );
        entered.notified().await;
        running.stop.cancel();
        while TcpStream::connect(running.address).await.is_ok() {
            tokio::task::yield_now().await;
        }
        go_on.notify_one();
        assert!(asked.await.unwrap().ends_with("finished"));
        assert_eq!(running.ended.await.unwrap(), Drained::Whole);
    }

    #[tokio::test]
    async fn a_request_that_outlasts_the_drain_is_cut_and_counted() {
        let entered = Arc::new(Notify::new());
        let inside = Arc::clone(&entered);
        let handler = move || async move {
            inside.notify_one();
            std::future::pending::<()>().await;
        };
        let limits = Limits {
            drain_within: Duration::from_millis(20),
            ..Limits::default()
        };
        let running = run(Router::new().route("/", get(handler)), limits).await;
        let asked = tokio::spawn(async move { ask(running.address, CLOSING).await });
        entered.notified().await;
        running.stop.cancel();
        assert_eq!(
            running.ended.await.unwrap(),
            Drained::Cut { connections: 1 }
        );
        assert_eq!(asked.await.unwrap(), "");
    }
}
