//! Odd input at every parser, and at every place of every request. `FUZZ_TIMES` makes it longer, `FUZZ_SEED` another one.

use crate::strange;
use crate::support::{World, described};
use crate::things::{Things, quiet_world};
use crate::walk::{self, Operation, Place};
use counterfoil::parsers::PARSERS;
use proptest::prelude::*;
use reqwest::RequestBuilder;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// Planted bug: a cursor that is taken for UTF-8 unread (`unwrap()`).
#[test]
fn no_parser_panics_whatever_it_reads() {
    let mut runner = strange::runner(1_000);
    let done = runner.run(&strange::bytes(), |bytes| {
        for (_name, parse) in PARSERS {
            parse(&bytes);
        }
        Ok(())
    });
    done.unwrap();
}

/// Planted bug: adding up the groups of a card number to the end of the text, which is quadratic.
#[test]
fn no_parser_takes_long_over_a_large_input() {
    const BYTES: usize = 64 * 1024;
    let pieces = [
        "[",
        "{\"a\":",
        "{\"a\":[",
        "1 ",
        "4243 ",
        "a[b][c]=d&",
        "a[]=1&",
        "a&",
        "%41",
        "\"",
        "\"\"",
        ",",
        "\n",
        "\r\n\"",
        "<a>",
        "&amp;",
        "<a/>",
        "{a:",
        "[a,",
        "=",
        "\\\"",
        "\u{0}",
        "é",
        "filter[q][reference_eq]=a&",
        "*/*;q=0.1,",
        "t=1,v1=00,",
    ];
    for piece in pieces {
        let input = piece.repeat(BYTES / piece.len());
        for (name, parse) in PARSERS {
            // What is deep or long in the right places is read by the outer parser first.
            let wrapped = format!(
                "{{\"description\":\"{}\"}}",
                input.replace(['"', '\\'], "x")
            );
            for bytes in [input.clone().into_bytes(), wrapped.into_bytes()] {
                let (ended, waiting) = mpsc::channel();
                thread::spawn(move || {
                    parse(&bytes);
                    ended.send(()).unwrap();
                });
                let in_time = waiting.recv_timeout(Duration::from_secs(20));
                in_time.unwrap_or_else(|why| {
                    panic!("{name} does not come to an end with {piece:?}: {why}")
                });
            }
        }
    }
}

/// A request that something is wrong with.
#[derive(Clone, Debug)]
struct Odd {
    operation: usize,
    place: usize,
    text: String,
    /// Instead of the body, under a type of its own.
    body: Option<(Vec<u8>, &'static str)>,
}

const TYPES: &[&str] = &[
    "application/json",
    "application/x-www-form-urlencoded",
    "application/xml",
    "text/csv",
    "text/jsv",
    "application/vnd.api+json",
    "text/plain",
    "application/json; charset=utf-16",
    "",
];

fn odd() -> impl Strategy<Value = Odd> {
    let body = prop::option::of((strange::bytes(), prop::sample::select(TYPES)));
    (
        any::<prop::sample::Index>(),
        any::<usize>(),
        strange::text(),
        body,
    )
        .prop_map(|(operation, place, text, body)| Odd {
            operation: operation.index(usize::MAX >> 1),
            place,
            text,
            body,
        })
}

/// Operations that answer, unlike a feed that waits for more.
fn asked() -> Vec<Operation> {
    let mut all = walk::operations();
    all.retain(|it| it.path != "/ledger/v1/events");
    all
}

fn request(
    world: &World,
    things: &Things,
    operation: &Operation,
    it: &Odd,
) -> Option<RequestBuilder> {
    let places = operation.places();
    let place = &places[it.place % places.len()];
    let fits = match place {
        Place::Header(_) => reqwest::header::HeaderValue::from_bytes(it.text.as_bytes()).is_ok(),
        Place::Part(_) => it.text.len() < 2_000,
        Place::Query(_) => it.text.len() < 5_000,
        _ => true,
    };
    if !fits {
        return None;
    }
    let request = operation.request(world, things, place, &it.text);
    Some(match &it.body {
        Some((body, media_type)) if operation.method != "get" => {
            let (client, request) = request.build_split();
            let mut request = request.unwrap();
            request.headers_mut().remove("content-type");
            if !media_type.is_empty() {
                request
                    .headers_mut()
                    .insert("content-type", media_type.parse().unwrap());
            }
            *request.body_mut() = Some(body.clone().into());
            RequestBuilder::from_parts(client, request)
        }
        _ => request,
    })
}

/// How much there is of what a request can make. An intention that Stripe refused is history, and no thing.
async fn made(world: &World) -> i64 {
    let count = "select (select count(*) from orders) + (select count(*) from payments where intent is not null)
        + (select count(*) from offers) + (select count(*) from articles) + (select count(*) from api_keys)
        + (select count(*) from merchants) + (select count(*) from refunds where stripe_refund is not null)";
    sqlx::query_scalar(count)
        .fetch_one(world.app().store().pool())
        .await
        .unwrap()
}

/// Answers are held to the document besides.
///
/// Planted bug: reading the limit of a list with `unwrap()`.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_is_sent_is_a_fault_of_ours_and_what_is_refused_makes_nothing() {
    let world = quiet_world().await;
    walk::make_keys(&world).await;
    let things = Things::made(&world).await;
    let operations = asked();
    let runtime = tokio::runtime::Handle::current();
    let ask = |it: Odd| {
        runtime.block_on(async {
            let operation = &operations[it.operation % operations.len()];
            let Some(request) = request(&world, &things, operation, &it) else {
                return Ok(());
            };
            let before = made(&world).await;
            let (status, _, text) = described(request).await;
            let at = format!("{} {} → {status} {text}", operation.method, operation.path);
            prop_assert!(status < 500, "{}", at);
            if status >= 400 && status != 402 {
                prop_assert_eq!(made(&world).await, before, "{}", at);
            }
            Ok(())
        })
    };
    let done = tokio::task::block_in_place(|| strange::runner(400).run(&odd(), ask));
    done.unwrap();
    world.stop().await;
}
