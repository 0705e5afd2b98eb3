//! `events`: the feed of the ledger, by its position. Pages of JSON, lines of JSON (NDJSON), or server-sent events; all three
//! tell the same events in the same order, and each goes on from any position.

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::stream;
use http::header::{CONTENT_TYPE, HeaderName};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::Serialize;
use serde_json::value::RawValue;
use std::fmt;

use super::call::{Answer, Call, JSON, json};
use super::error::invalid;
use super::query::Query;
use super::shapes;
use crate::http::problem::{Fault, Problem};
use crate::store::Scope;
use crate::use_cases::{App, Feed, Next};

const LINES: &str = "application/x-ndjson";
const SENT: &str = "text/event-stream";

static LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// Proxies are to hand on what comes when it comes.
static UNBUFFERED: HeaderName = HeaderName::from_static("x-accel-buffering");

/// A page of the feed. `next` is told on the last page too: whoever comes back later goes on from there.
#[derive(Serialize)]
struct Page {
    object: &'static str,
    data: Vec<Box<RawValue>>,
    has_more: bool,
    /// The position of the last event here: to be given as `after`.
    next: String,
    /// Where the ledger ends.
    head: i64,
}

/// How a feed is written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Lines,
    Sent,
}

/// The feed could not be read on. The connection is cut, so that nobody takes what came for all there is.
#[derive(Debug)]
struct Cut;

impl fmt::Display for Cut {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("the feed cannot be read on")
    }
}

impl std::error::Error for Cut {}

/// The events of the caller's ledger after a position.
pub async fn feed(State(app): State<App>, request: Request) -> Answer {
    let forms = [JSON, LINES, SENT];
    let call = Call::open_for(app, request, Scope::LedgerRead, &forms).await?;
    let mut query = call.query()?;
    let after = position(&mut query);
    match call.form {
        LINES => {
            let follows = query.parsed("follow", "true or false").unwrap_or(false);
            query.end()?;
            stream_of(call, after, Form::Lines, follows).await
        }
        SENT => {
            query.end()?;
            let after = last_event_id(call.headers())?.unwrap_or(after);
            stream_of(call, after, Form::Sent, true).await
        }
        _ => {
            let limit = query.limit();
            query.end()?;
            page(&call, after, limit).await
        }
    }
}

async fn page(call: &Call, after: i64, limit: i64) -> Answer {
    let found = call.app.events_after(&call.caller, after, limit).await?;
    let (events, head) = found;
    let last = events.last().map_or(after, |event| event.ledger_position);
    json(
        StatusCode::OK,
        &Page {
            object: "list",
            data: shapes::shown(&events)?,
            has_more: last < head,
            next: last.to_string(),
            head: head.max(last),
        },
    )
}

async fn stream_of(call: Call, after: i64, form: Form, follows: bool) -> Answer {
    let feed = call
        .app
        .feed(call.caller, call.secret, after, follows)
        .await?;
    let begun = match form {
        Form::Lines => Bytes::new(),
        // How soon a client comes back once the connection has ended.
        Form::Sent => Bytes::from_static(b"retry: 1000\n\n"),
    };
    let first = stream::iter([Ok(begun)]);
    let rest = stream::unfold(Some(feed), move |feed| advance(feed, form));
    let body = Body::from_stream(futures::StreamExt::chain(first, rest));
    let content_type = match form {
        Form::Lines => LINES,
        Form::Sent => SENT,
    };
    let mut response: Response = body.into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(UNBUFFERED.clone(), HeaderValue::from_static("no"));
    Ok(response)
}

/// The next bytes of a feed. It is asked for them when there is room to send them.
async fn advance(feed: Option<Feed>, form: Form) -> Option<(Result<Bytes, Cut>, Option<Feed>)> {
    let mut feed = feed?;
    let written = match feed.next().await {
        Ok(Next::Events(events)) => written(&events, form),
        Ok(Next::Quiet) => Ok(match form {
            Form::Lines => Bytes::from_static(b"\n"),
            Form::Sent => Bytes::from_static(b": quiet\n\n"),
        }),
        Ok(Next::End) => return None,
        Err(_) => Err(Cut),
    };
    match written {
        Ok(bytes) => Some((Ok(bytes), Some(feed))),
        Err(cut) => Some((Err(cut), None)),
    }
}

fn written(events: &[eventstore::Recorded], form: Form) -> Result<Bytes, Cut> {
    let mut text = String::new();
    for it in events {
        let line = shapes::event(it).map_err(|_| Cut)?;
        match form {
            Form::Lines => {
                text.push_str(&line);
                text.push('\n');
            }
            Form::Sent => {
                text.push_str(&format!("id: {}\ndata: {line}\n\n", it.ledger_position));
            }
        }
    }
    Ok(text.into())
}

/// The position to go on from: 0 is before the first event.
pub(super) fn position(query: &mut Query) -> i64 {
    let after: Option<i64> = query.parsed("after", "a position in the ledger");
    if after.is_some_and(|it| it < 0) {
        query.fault("after", "is not a position in the ledger");
    }
    after.unwrap_or(0)
}

/// Where a client that was cut off has come to. It wins over the address, which says where it began.
pub(super) fn last_event_id(headers: &HeaderMap) -> Result<Option<i64>, Problem> {
    let Some(value) = headers.get(&LAST_EVENT_ID) else {
        return Ok(None);
    };
    let text = value.to_str().unwrap_or("?");
    if text.is_empty() {
        return Ok(None);
    }
    let position = text.parse().ok().filter(|it: &i64| *it >= 0);
    position.map(Some).ok_or_else(|| {
        let detail = "It is not a position in the ledger.";
        invalid(vec![Fault::of_header("Last-Event-ID", detail)])
    })
}
