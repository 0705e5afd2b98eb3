//! The feed of events: in pages, in lines, and as they come.

use super::*;
use crate::support::{PATIENCE, Setup};
use std::collections::BTreeSet;

/// A feed that is being read, as a browser's `EventSource` reads it.
struct Sent {
    answer: reqwest::Response,
    text: String,
}

impl Sent {
    async fn open(world: &World, key: &str, last_event_id: Option<i64>) -> Self {
        let request = world
            .get("/ledger/v1/events")
            .bearer_auth(key)
            .header("Accept", "text/event-stream");
        let request = match last_event_id {
            Some(id) => request.header("Last-Event-ID", id.to_string()),
            None => request,
        };
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        Self {
            answer,
            text: String::new(),
        }
    }

    /// The next event, with its id; none where the feed has ended.
    async fn next(&mut self) -> Option<(i64, Value)> {
        loop {
            if let Some(end) = self.text.find("\n\n") {
                let message: String = self.text.drain(..end + 2).collect();
                let field = |name: &str| message.lines().find_map(|line| line.strip_prefix(name));
                if let (Some(id), Some(data)) = (field("id: "), field("data: ")) {
                    return Some((id.parse().unwrap(), serde_json::from_str(data).unwrap()));
                }
                continue;
            }
            let more = tokio::time::timeout(PATIENCE, self.answer.chunk()).await;
            let more = more.expect("the feed brings something, or ends").unwrap()?;
            self.text.push_str(std::str::from_utf8(&more).unwrap());
        }
    }

    async fn take(&mut self, count: usize) -> Vec<Value> {
        let mut events = Vec::new();
        for _ in 0..count {
            let (id, event) = self.next().await.expect("there are more");
            assert_eq!(event["position"], id);
            events.push(event);
        }
        events
    }
}

async fn pages(world: &World, key: &str, limit: u32) -> Vec<Value> {
    let (mut events, mut after) = (Vec::new(), "0".to_owned());
    loop {
        let page = get(world, key, &format!("/events?limit={limit}&after={after}"))
            .await
            .expect(200);
        events.extend(page["data"].as_array().unwrap().clone());
        after = page["next"].as_str().unwrap().to_owned();
        if page["has_more"] == false {
            return events;
        }
    }
}

async fn lines(world: &World, key: &str, after: usize) -> Vec<Value> {
    let path = format!("/ledger/v1/events?after={after}");
    let answer = ask(world
        .get(&path)
        .bearer_auth(key)
        .header("Accept", "application/x-ndjson"))
    .await;
    assert_eq!(answer.header("content-type"), Some("application/x-ndjson"));
    answer
        .text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Red when one of the three skips, repeats or reorders, or shows the whole database's position.
#[tokio::test(flavor = "multi_thread")]
async fn pages_lines_and_sent_events_tell_the_same() {
    let world = World::start().await;
    for number in 0..25 {
        placed(&world, &format!("f-{number}"), 100).await;
    }
    let paged = pages(&world, ADMIN, 7).await;
    assert_eq!(pages(&world, FINANCE, 100).await, paged);
    assert_eq!(lines(&world, FINANCE, 0).await, paged);
    assert_eq!(lines(&world, FINANCE, 10).await, paged[10..]);
    let mut sent = Sent::open(&world, FINANCE, None).await;
    assert_eq!(sent.take(paged.len()).await, paged);
    for (index, event) in paged.iter().enumerate() {
        assert_eq!(event["position"], index + 1, "gapless, from 1");
    }
    let names = [
        "object",
        "position",
        "event_id",
        "type",
        "version",
        "aggregate",
        "recorded_at",
        "claimed_at",
        "actor",
        "key_id",
        "door",
        "reason",
        "command_id",
        "correlation_id",
        "causation_id",
        "payload",
    ];
    let told: BTreeSet<&str> = paged[0]
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    assert_eq!(told, BTreeSet::from(names));
    // The rival's ledger is another one.
    let rivals = pages(&world, RIVAL, 100).await;
    let ids = |events: &[Value]| -> BTreeSet<String> {
        events.iter().map(|it| it["event_id"].to_string()).collect()
    };
    assert!(!rivals.is_empty() && ids(&rivals).is_disjoint(&ids(&paged)));
    assert_eq!(rivals[0]["position"], 1);
    world.stop().await;
}

/// Red when what is recorded while nobody reads is skipped, or told twice.
#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_is_cut_off_by_a_restart_goes_on_where_it_was() {
    let mut world = World::start().await;
    let mut sent = Sent::open(&world, ADMIN, None).await;
    let known = pages(&world, ADMIN, 100).await.len();
    let mut told = sent.take(known).await;
    placed(&world, "before", 100).await;
    told.extend(sent.take(1).await);
    // The stop ends the feed cleanly, whatever it was waiting for.
    world.stop_service().await;
    assert!(sent.next().await.is_none());
    world.restart(Setup::default()).await;
    placed(&world, "between", 100).await;
    let last = told.last().unwrap()["position"].as_i64().unwrap();
    let mut sent = Sent::open(&world, ADMIN, Some(last)).await;
    told.extend(sent.take(1).await);
    placed(&world, "after", 100).await;
    told.extend(sent.take(1).await);
    assert_eq!(told, pages(&world, ADMIN, 100).await);
    world.stop().await;
}

/// What another instance records wakes the readers of this one.
#[tokio::test(flavor = "multi_thread")]
async fn a_feed_brings_what_another_instance_records() {
    let world = World::start().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let other = support::serve(
        listener,
        &world.database_url,
        &world.simulator,
        Setup::default(),
    )
    .await;
    let known = pages(&world, ADMIN, 100).await.len();
    let mut sent = Sent::open(&world, ADMIN, Some(i64::try_from(known).unwrap())).await;
    let body = order("elsewhere", 100);
    let there = world
        .http
        .post(format!("http://{address}/ledger/v1/orders"))
        .bearer_auth(ADMIN);
    ask(there.json(&body)).await.expect(201);
    let (_, event) = sent.next().await.unwrap();
    assert_eq!(
        (&event["type"], &event["aggregate"]["type"]),
        (&json!("OrderPlaced"), &json!("order"))
    );
    other.stop().await;
    world.stop().await;
}

/// Red when a feed outlives the key that it was opened with.
#[tokio::test(flavor = "multi_thread")]
async fn a_feed_ends_with_its_key() {
    let world = World::start().await;
    let body = json!({"kind": "native", "scopes": ["ledger:read"]});
    let key = post(&world, ADMIN, "/keys", &body).await.expect(201);
    let known = pages(&world, ADMIN, 100).await.len();
    let mut sent = Sent::open(&world, key["secret"].as_str().unwrap(), None).await;
    sent.take(known).await;
    delete(
        &world,
        ADMIN,
        &format!("/keys/{}", key["id"].as_str().unwrap()),
    )
    .await
    .expect(200);
    placed(&world, "unseen", 100).await;
    assert!(sent.next().await.is_none());
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_follow_where_that_is_asked_and_nobody_begins_beyond_the_head() {
    let world = World::start().await;
    let known = pages(&world, ADMIN, 100).await.len();
    let path = format!("/ledger/v1/events?follow=true&after={known}");
    let following = world
        .get(&path)
        .bearer_auth(ADMIN)
        .header("Accept", "application/x-ndjson");
    let mut following = following.send().await.unwrap();
    placed(&world, "followed", 100).await;
    let mut text = String::new();
    while !text.ends_with('\n') {
        let more = tokio::time::timeout(PATIENCE, following.chunk())
            .await
            .unwrap();
        text.push_str(std::str::from_utf8(&more.unwrap().unwrap()).unwrap());
    }
    let event: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(event["position"], known + 1);
    let beyond = get(&world, ADMIN, &format!("/events?after={}", known + 2)).await;
    assert_eq!((beyond.status, beyond.problem()), (400, "beyond_the_head"));
    let at_head = get(&world, ADMIN, &format!("/events?after={}", known + 1))
        .await
        .expect(200);
    assert_eq!(
        (&at_head["data"], &at_head["has_more"]),
        (&json!([]), &json!(false))
    );
    assert_eq!(at_head["next"], (known + 1).to_string());
    let wrong = world
        .get("/ledger/v1/events")
        .bearer_auth(ADMIN)
        .header("Accept", "text/event-stream");
    let wrong = ask(wrong.header("Last-Event-ID", "x")).await;
    assert_eq!((wrong.status, wrong.places()), (400, vec!["Last-Event-ID"]));
    world.stop().await;
}
