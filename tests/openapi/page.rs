//! `/openapi.json` and `/docs`, over HTTP.

use super::support::World;
use super::support::description::DOCUMENT;
use serde_json::Value;

/// The addresses that an HTML page names.
fn named(page: &str) -> Vec<&str> {
    let attributes = ["src=\"", "href=\""];
    let of = |attribute| page.split(attribute).skip(1);
    let rests = attributes.into_iter().flat_map(of);
    rests.filter_map(|rest| rest.split('"').next()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_document_is_served_as_it_is_committed_to_whoever_asks() {
    let world = World::start().await;
    let request = world
        .get("/openapi.json")
        .header("origin", "https://tools.example");
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["content-type"], "application/json");
    assert_eq!(answer.headers()["access-control-allow-origin"], "*");
    let served: Value = answer.json().await.unwrap();
    assert_eq!(served, *DOCUMENT);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_and_all_that_it_names_come_from_here_and_it_may_reach_nobody_else() {
    let world = World::start().await;
    let answer = world.get("/docs").send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let policy = answer.headers()["content-security-policy"]
        .to_str()
        .unwrap()
        .to_owned();
    let kind = answer.headers()["content-type"]
        .to_str()
        .unwrap()
        .to_owned();
    assert!(kind.starts_with("text/html"), "{kind}");
    // Whatever the page or a script in it would like: only this service, and no script within the page.
    assert!(
        policy.starts_with("default-src 'none'; script-src 'self';"),
        "{policy}"
    );
    assert!(policy.contains("connect-src 'self'"), "{policy}");
    assert!(
        !policy.contains("http:") && !policy.contains("https:") && !policy.contains('*'),
        "{policy}"
    );
    let page = answer.text().await.unwrap();
    assert!(
        !page.contains("<style") && !page.contains("<script>"),
        "{page}"
    );
    let named = named(&page);
    assert!(named.len() >= 5, "{named:?}");
    for address in named {
        assert!(
            address.starts_with('/') && !address.starts_with("//"),
            "{address}"
        );
        let asset = world.get(address).send().await.unwrap();
        assert_eq!(asset.status(), 200, "{address}");
        let kind = asset.headers()["content-type"].to_str().unwrap().to_owned();
        let expected = match address.rsplit('.').next().unwrap() {
            "js" => "text/javascript",
            "css" => "text/css",
            "png" => "image/png",
            _ => "application/json",
        };
        assert_eq!(kind, expected, "{address}");
        assert!(asset.bytes().await.unwrap().len() > 100, "{address}");
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_asks_for_this_document_and_for_no_validator_of_somebody_elses() {
    let world = World::start().await;
    let start = world.get("/docs/start.js").send().await.unwrap();
    let start = start.text().await.unwrap();
    assert!(start.contains("url: '/openapi.json'"), "{start}");
    assert!(start.contains("validatorUrl: null"), "{start}");
    assert!(!start.contains("://"), "{start}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_page_does_not_need_is_not_there() {
    let world = World::start().await;
    for path in [
        "/docs/swagger-initializer.js",
        "/docs/..%2fmain.rs",
        "/docs/nothing",
    ] {
        let answer = world.get(path).send().await.unwrap();
        assert_eq!(answer.status(), 404, "{path}");
        assert_eq!(answer.headers()["content-type"], "application/problem+json");
    }
    world.stop().await;
}
