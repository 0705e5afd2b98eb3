//! What is not let in, and what cannot be read.

use super::*;
use counterfoil::use_cases::{Options, RateLimit};
use std::num::NonZeroU32;
use std::time::Duration;
use support::Setup;

#[tokio::test(flavor = "multi_thread")]
async fn who_has_no_key_or_too_small_a_one_is_told_so_and_nothing_else() {
    let world = World::start().await;
    let none = ask(world.get("/ledger/v1/orders")).await;
    assert_eq!((none.status, none.problem()), (401, "unauthenticated"));
    assert_eq!(none.header("www-authenticate"), Some("Bearer"));
    // A wrong key, a key of another kind, a malformed header: the same, word for word.
    for (name, value) in [
        ("Authorization", "Bearer nobody"),
        ("Authorization", "Bearer sk_test_acme"),
        ("Authorization", "Basic YWRtaW4tYWNtZTo="),
        ("X-API-Key", "admin-acme"),
    ] {
        let wrong = ask(world.get("/ledger/v1/orders").header(name, value)).await;
        assert_eq!((wrong.status, wrong.problem()), (401, "unauthenticated"));
        assert_eq!(wrong.json["detail"], none.json["detail"]);
    }
    let before = world.events().await;
    for (key, method, path, scope) in [
        (FINANCE, Method::POST, "/orders", "payments:write"),
        (FINANCE, Method::GET, "/keys", "admin"),
        (FINANCE, Method::PATCH, "/merchants", "admin"),
        (RIVAL, Method::POST, "/merchants", "operator"),
    ] {
        let path = format!("/ledger/v1{path}");
        let refused = ask(world
            .request(method, &path)
            .bearer_auth(key)
            .json(&json!({})))
        .await;
        assert_eq!((refused.status, refused.problem()), (403, "scope_missing"));
        assert!(refused.json["detail"].as_str().unwrap().contains(scope));
    }
    assert_eq!(world.events().await, before);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn paths_methods_forms_and_sizes_that_are_not_taken_are_problems() {
    let world = World::start().await;
    let nothing = get(&world, ADMIN, "/nowhere").await;
    assert_eq!((nothing.status, nothing.problem()), (404, "no_such_route"));
    let path = "/ledger/v1/payments";
    let wrong = ask(world.post(path).bearer_auth(ADMIN)).await;
    assert_eq!((wrong.status, wrong.problem()), (405, "method_not_allowed"));
    assert!(wrong.header("allow").unwrap().contains("GET"));
    let html = ask(world
        .get(path)
        .bearer_auth(ADMIN)
        .header("Accept", "text/html"))
    .await;
    assert_eq!((html.status, html.problem()), (406, "not_acceptable"));
    let sent = |content_type: &str, body: String| {
        let request = world.post("/ledger/v1/orders").bearer_auth(ADMIN);
        ask(request.header("Content-Type", content_type).body(body))
    };
    let form = sent("application/x-www-form-urlencoded", "a=1".to_owned()).await;
    assert_eq!(
        (form.status, form.problem()),
        (415, "unsupported_media_type")
    );
    let large = sent("application/json", " ".repeat(1024 * 1024 + 1)).await;
    assert_eq!((large.status, large.problem()), (413, "body_too_large"));
    let deep = "[".repeat(100) + &"]".repeat(100);
    for broken in ["{", "[1]", "\"x\"", "nonsense", deep.as_str()] {
        let refused = sent("application/json", broken.to_owned()).await;
        assert_eq!(
            (refused.status, refused.problem()),
            (400, "unreadable_body"),
            "{broken}"
        );
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_faulty_field_is_told_with_its_place_and_nothing_is_made() {
    let world = World::start().await;
    let before = world.events().await;
    let body = json!({
        "source": "offers", "number": 7, "currency": "dollars", "tax_minor": "0", "price": 1,
        "lines": [{"name": "", "unit_minor": 1.5, "quantity": 0, "colour": "red"}],
        "personal": {"email": 1, "shipping": {"address": {"planet": "earth"}}},
    });
    let refused = post(&world, ADMIN, "/orders", &body).await;
    assert_eq!(
        (refused.status, refused.problem()),
        (400, "invalid_request")
    );
    let mut places = refused.places();
    places.sort_unstable();
    assert_eq!(
        places,
        [
            "/currency",
            "/lines/0/colour",
            "/lines/0/name",
            "/lines/0/quantity",
            "/lines/0/unit_minor",
            "/number",
            "/personal/email",
            "/personal/shipping/address/planet",
            "/personal/shipping/name",
            "/price",
            "/reference",
            "/source",
            "/tax_minor",
        ]
    );
    assert_eq!(world.events().await, before);
    world.stop().await;
}

/// Red when free text is kept unread, or when a fault repeats what was sent.
#[tokio::test(flavor = "multi_thread")]
async fn a_card_number_in_free_text_is_refused_and_not_repeated() {
    let world = World::start().await;
    let mut body = order("card", 100);
    body["lines"][0]["name"] = json!("paid with 4242 4242 4242 4242");
    let refused = post(&world, ADMIN, "/orders", &body).await;
    assert_eq!(
        (refused.status, refused.places()),
        (400, vec!["/lines/0/name"])
    );
    assert!(!refused.text.contains("4242"));
    world.stop().await;
}

/// The database takes no NUL in a text: red when one gets that far, as a 5xx.
#[tokio::test(flavor = "multi_thread")]
async fn odd_texts_anywhere_are_the_callers_fault() {
    let world = World::start().await;
    let mut body = order("odd", 100);
    body["customer"] = json!("a\u{0}b");
    assert_eq!(
        post(&world, ADMIN, "/orders", &body).await.places(),
        ["/customer"]
    );
    for path in [
        "/orders?customer=a%00b",
        "/orders?reference=%00",
        "/orders?limit=0",
        "/orders?after=%2e%2e",
        "/orders?status=broken",
        "/orders?odd=1",
        "/orders?limit=1&limit=2",
        "/payments?created_from=yesterday",
        "/payments?after=MQpvcmRlcnMKeA",
        "/keys?kind=golden",
        "/events?after=-1",
        "/events?after=1.5",
        "/events?after=99999999999999999999",
    ] {
        let refused = get(&world, ADMIN, path).await;
        assert_eq!(
            (refused.status, refused.problem()),
            (400, "invalid_request"),
            "{path}"
        );
    }
    for path in [
        "/orders/%00",
        "/orders/nonsense",
        "/payments/pi_%00",
        "/payments/pi_nobodys",
        "/keys/%00",
        "/keys/key_nobodys",
        "/offers/%00",
        "/offers/%ff",
        "/offers/a%2fb",
        "/articles/x/y",
        "/articles/11111111-1111-1111-1111-111111111111/4294967296",
    ] {
        let refused = get(&world, ADMIN, path).await;
        refused.problem();
        assert_eq!(refused.status, 404, "{path} {}", refused.text);
    }
    world.stop().await;
}

/// Red when what is another merchant's is told apart from what does not exist.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_a_rivals_is_answered_like_what_does_not_exist() {
    let world = World::start().await;
    let order = placed(&world, "mine", 500).await;
    let unknown = "00000000-0000-7000-8000-000000000000";
    let article = "articles/11111111-1111-1111-1111-111111111111";
    let token = post(
        &world,
        ADMIN,
        "/customers/tokens",
        &json!({"customer": "c"}),
    )
    .await;
    let token = token.expect(201)["id"].as_str().unwrap().to_owned();
    let before = world.events().await;
    for (theirs, nobodys) in [
        (format!("/orders/{order}"), format!("/orders/{unknown}")),
        (
            format!("/orders/{order}/events"),
            format!("/orders/{unknown}/events"),
        ),
        ("/offers/10311080".to_owned(), "/offers/1".to_owned()),
        (
            "/offers/10311080/prices".to_owned(),
            "/offers/1/prices".to_owned(),
        ),
        (format!("/{article}/1"), format!("/{article}/999")),
        (format!("/keys/{token}"), "/keys/key_0".to_owned()),
    ] {
        let [theirs, nobodys] = [
            get(&world, RIVAL, &theirs).await,
            get(&world, RIVAL, &nobodys).await,
        ];
        assert_eq!((theirs.status, theirs.problem()), (404, nobodys.problem()));
        assert_eq!(theirs.json["detail"], nobodys.json["detail"]);
    }
    let reason = json!({"reason": "mischief"});
    for (path, body) in [
        (format!("/orders/{order}/cancel"), &reason),
        (format!("/orders/{order}/reprice"), &price(1)),
        ("/offers/10311080/withdraw".to_owned(), &reason),
        (format!("/keys/{token}/roll"), &json!({})),
    ] {
        let refused = post(&world, RIVAL, &path, body).await;
        assert_eq!(
            (refused.status, refused.problem()),
            (404, "not_found"),
            "{path}"
        );
    }
    assert_eq!(
        delete(&world, RIVAL, &format!("/keys/{token}"))
            .await
            .status,
        404
    );
    let list = get(&world, RIVAL, "/orders?limit=100").await;
    assert!(!list.text.contains(&order) && !list.text.contains("acme"));
    assert_eq!(world.events().await, before);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_asks_too_often_is_told_when_to_come_back() {
    let rate_limit = Some(RateLimit {
        burst: NonZeroU32::new(2).unwrap(),
        every: Duration::from_secs(3600),
    });
    let options = Options {
        rate_limit,
        ..Setup::default().options
    };
    let world = World::start_with(Setup {
        options,
        ..Setup::default()
    })
    .await;
    for _ in 0..2 {
        assert_eq!(get(&world, ADMIN, "/orders").await.status, 200);
    }
    let refused = get(&world, ADMIN, "/orders").await;
    assert_eq!(
        (refused.status, refused.problem()),
        (429, "too_many_requests")
    );
    let wait_s: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=3600).contains(&wait_s));
    assert_eq!(get(&world, RIVAL, "/orders").await.status, 200);
    world.stop().await;
}
