//! What stands where Stripe should: the gateway reads any answer at all, believes only what Stripe can have said, and keeps within
//! its memory.

use crate::strange;
use counterfoil::gateway::{Account, Gateway, GatewayOptions, Outcome};
use proptest::strategy::{Strategy, ValueTree};
use std::collections::HashMap;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// A server that gives the same bytes to whoever asks, and a gateway to it.
async fn gateway_to(answer: Vec<u8>) -> Gateway {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 4096];
            let _ = stream.read(&mut request).await;
            let _ = stream.write_all(&answer).await;
        }
    });
    let account = Account {
        secret_key: "sk_test_1".to_owned().into(),
        base: base.parse().unwrap(),
        id: None,
        publishable_key: None,
    };
    let options = GatewayOptions {
        attempts: 1,
        ..GatewayOptions::with_timeout(Duration::from_secs(20))
    };
    Gateway::new(options, HashMap::from([("default".to_owned(), account)])).unwrap()
}

fn http(status: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

async fn asked(answer: Vec<u8>) -> &'static str {
    match gateway_to(answer).await.intent("default", "pi_1").await {
        Outcome::Said(_) => "said",
        Outcome::Refused(_) => "refused",
        Outcome::Unknown(_) => "unknown",
    }
}

const INTENT: &str =
    r#"{"id":"pi_1","object":"payment_intent","status":"succeeded","amount":100,"currency":"usd"}"#;

/// Planted bugs: taking any 4xx for Stripe's refusal; reading an answer to whatever end it has.
#[tokio::test(flavor = "multi_thread")]
async fn only_what_stripe_can_have_said_is_believed() {
    let refusal = r#"{"error":{"type":"invalid_request_error","code":"resource_missing","message":"No such payment_intent"}}"#;
    let huge = format!(
        r#"{{"description":"{}",{}"#,
        "x".repeat(17 << 20),
        &INTENT[1..]
    );
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let table: Vec<(Vec<u8>, &str)> = vec![
        (http("200 OK", INTENT.as_bytes()), "said"),
        (http("404 Not Found", refusal.as_bytes()), "refused"),
        (http("404 Not Found", b"<html>nginx</html>"), "unknown"),
        (http("400 Bad Request", b""), "unknown"),
        (http("400 Bad Request", b"{}"), "unknown"),
        (http("400 Bad Request", br#"{"error":"bad"}"#), "unknown"),
        (http("301 Moved Permanently", b""), "unknown"),
        (
            http(
                "302 Found\r\nlocation: http://127.0.0.1:1/",
                INTENT.as_bytes(),
            ),
            "unknown",
        ),
        (http("200 OK", b"<html>a portal</html>"), "unknown"),
        (http("200 OK", b""), "unknown"),
        (http("200 OK", &INTENT.as_bytes()[..40]), "unknown"),
        (http("200 OK", deep.as_bytes()), "unknown"),
        (http("200 OK", huge.as_bytes()), "unknown"),
        (
            http("200 OK", INTENT.replace("100", "1e999").as_bytes()),
            "unknown",
        ),
        (
            http(
                "200 OK",
                INTENT.replace("100", "9223372036854775808").as_bytes(),
            ),
            "unknown",
        ),
        (
            http("200 OK", INTENT.replace("100", "\"100\"").as_bytes()),
            "unknown",
        ),
        (
            http("200 OK", INTENT.replace("usd", "???").as_bytes()),
            "unknown",
        ),
        (
            http(
                "200 OK",
                INTENT.replace("succeeded", "4242424242424242").as_bytes(),
            ),
            "unknown",
        ),
        (
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n".to_vec(),
            "unknown",
        ),
        (b"nonsense".to_vec(), "unknown"),
        (Vec::new(), "unknown"),
    ];
    let mut wrong = Vec::new();
    for (answer, expected) in table {
        let shown = String::from_utf8_lossy(&answer[..answer.len().min(160)]).into_owned();
        let made_of_it = asked(answer).await;
        if made_of_it != expected {
            wrong.push(format!("{made_of_it} instead of {expected}: {shown}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_answer_at_all_makes_the_gateway_panic() {
    let mut runner = strange::runner(1);
    for _ in 0..60 {
        let body = strange::bytes().new_tree(&mut runner).unwrap().current();
        for status in ["200 OK", "402 Payment Required"] {
            asked(http(status, &body)).await;
        }
    }
}
