//! Offers and articles: published, priced anew, and what they have cost.

use super::*;

fn offer(number: &str) -> Value {
    json!({
        "number": number, "currency": "gbp",
        "groups": [{"name": "combined", "products": [
            {"code": "core", "name": "Core cover", "price_minor": 8000},
            {"code": "extra", "name": "Extra cover", "price_minor": 1000},
        ]}],
        "selection": [{"group": "combined", "code": "core"}],
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offer_is_published_and_paid_at_the_price_it_has_by_then() {
    let world = World::start().await;
    let made = post_once(&world, ADMIN, "/offers", &offer("A 1/2"), "o").await;
    assert_eq!(made.header("location"), Some("/ledger/v1/offers/A%201%2F2"));
    let made = made.expect(201);
    let at = "/offers/A%201%2F2";
    assert_eq!(get(&world, ADMIN, at).await.expect(200), made);
    let prices = json!({"currency": "gbp", "prices": [{"group": "combined", "code": "core", "price_minor": 8500}]});
    let repriced = post(&world, ADMIN, &format!("{at}/reprice"), &prices)
        .await
        .expect(200);
    assert_eq!(repriced["groups"][0]["products"][0]["price_minor"], 8500);
    let wanted = json!({"selection": [{"group": "combined", "code": "core"}, {"group": "combined", "code": "extra"}]});
    let selected = post(&world, ADMIN, &format!("{at}/select"), &wanted)
        .await
        .expect(200);
    assert_eq!(selected["selection"], wanted["selection"]);
    let pay = world
        .post("/api/offer/createpaymentintent")
        .bearer_auth("offers-acme")
        .json(&json!({"offer_oid": "A 1/2"}));
    assert_eq!(ask(pay).await.status, 200);
    let intents = world.intents_at_stripe("acme").await;
    assert!(intents.iter().any(|it| it["amount"] == 9500), "{intents:?}");
    let history = get(&world, FINANCE, &format!("{at}/prices"))
        .await
        .expect(200);
    let told: Vec<_> = history["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| {
            (
                it["code"].as_str().unwrap(),
                it["price_minor"].as_i64().unwrap(),
            )
        })
        .collect();
    assert_eq!(told, [("core", 8000), ("extra", 1000), ("core", 8500)]);
    let again = post_once(&world, ADMIN, "/offers", &offer("A 1/2"), "o").await;
    assert_eq!((again.status, again.json), (201, made));
    let withdrawn = post(
        &world,
        ADMIN,
        &format!("{at}/withdraw"),
        &json!({"reason": "sold out"}),
    )
    .await;
    assert_eq!(withdrawn.expect(200)["withdrawn"], "sold out");
    let late = post(&world, ADMIN, &format!("{at}/reprice"), &prices).await;
    assert_eq!((late.status, late.problem()), (409, "offer_is_withdrawn"));
    let listed = get(&world, ADMIN, "/offers?withdrawn=true")
        .await
        .expect(200);
    assert_eq!(listed["data"][0]["number"], "A 1/2");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_makes_no_offer_is_refused_with_its_reason() {
    let world = World::start().await;
    let mut twice = offer("T");
    twice["groups"][0]["products"][1]["code"] = json!("core");
    let refused = post(&world, ADMIN, "/offers", &twice).await;
    assert_eq!((refused.status, refused.problem()), (422, "repeated"));
    let mut unknown = offer("U");
    unknown["selection"][0]["code"] = json!("none");
    assert_eq!(post(&world, ADMIN, "/offers", &unknown).await.status, 422);
    post(&world, ADMIN, "/offers", &offer("V"))
        .await
        .expect(201);
    let mut other = offer("V");
    other["groups"][0]["products"][0]["price_minor"] = json!(1);
    let refused = post(&world, ADMIN, "/offers", &other).await;
    assert_eq!(
        (refused.status, refused.problem()),
        (409, "published_differently")
    );
    let wrong = post(
        &world,
        ADMIN,
        "/offers",
        &json!({"groups": [], "expires_at": "soon"}),
    )
    .await;
    let mut places = wrong.places();
    places.sort_unstable();
    assert_eq!(places, ["/currency", "/expires_at", "/groups", "/number"]);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_article_is_listed_priced_anew_and_remembers_what_it_cost() {
    let world = World::start().await;
    let company = "33333333-3333-3333-3333-333333333333";
    let body = json!({"company": company, "number": 7, "name": "Massage", "currency": "sek", "price_minor": 50000});
    let made = post(&world, ADMIN, "/articles", &body).await;
    let at = format!("/articles/{company}/7");
    assert_eq!(
        made.header("location"),
        Some(format!("/ledger/v1{at}").as_str())
    );
    let made = made.expect(201);
    assert_eq!(get(&world, ADMIN, &at).await.expect(200), made);
    let reprice = json!({"currency": "sek", "price_minor": 55000});
    let path = format!("{at}/reprice");
    let repriced = post_once(&world, ADMIN, &path, &reprice, "p")
        .await
        .expect(200);
    assert_eq!(
        (&repriced["price_minor"], &repriced["version"]),
        (&json!(55000), &json!(2))
    );
    let back = json!({"currency": "sek", "price_minor": 50000});
    post(&world, ADMIN, &path, &back).await.expect(200);
    let again = post_once(&world, ADMIN, &path, &reprice, "p").await;
    assert_eq!(
        (again.header("idempotent-replayed"), &again.json),
        (Some("true"), &repriced)
    );
    let history = get(&world, ADMIN, &format!("{at}/prices"))
        .await
        .expect(200);
    let told: Vec<_> = history["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["price_minor"].as_i64().unwrap())
        .collect();
    assert_eq!(told, [50000, 55000, 50000]);
    let euros = post(
        &world,
        ADMIN,
        &path,
        &json!({"currency": "eur", "price_minor": 1}),
    )
    .await;
    assert_eq!((euros.status, euros.problem()), (422, "unpriceable"));
    let list = get(&world, ADMIN, &format!("/articles?company={company}"))
        .await
        .expect(200);
    assert_eq!(list["data"].as_array().unwrap().len(), 1);
    let none = post(
        &world,
        ADMIN,
        &format!("/articles/{company}/8/reprice"),
        &back,
    )
    .await;
    assert_eq!((none.status, none.problem()), (404, "not_found"));
    world.stop().await;
}
