//! Lists of Stripe payments: pages that stay where they are, filters, sorts.

use crate::stripe_payments::{PATH, call, create, id, place, send};
use crate::support::World;
use reqwest::Method;
use serde_json::{Value, json};

async fn list(world: &World, query: &str) -> crate::Answer {
    let answer = send(call(world, Method::GET, &format!("{PATH}?{query}"))).await;
    assert_eq!(answer.status, 200, "{query}: {}", answer.text);
    answer
}

fn references(answer: &crate::Answer) -> Vec<&str> {
    let data = answer.json["data"].as_array().unwrap();
    data.iter()
        .map(|it| it["attributes"]["reference"].as_str().unwrap_or("-"))
        .collect()
}

/// Payments of orders of their own, with these references.
async fn payments(world: &World, references: &[&str]) -> Vec<String> {
    let mut ids = Vec::new();
    for reference in references {
        let order = format!("order-{}", reference.replace('%', ""));
        place(world, &order, 5000).await;
        let attributes = json!({"reference": reference, "reference_origin": "shop", "metadata": {"of": reference}});
        ids.push(id(&create(world, &order, attributes).await));
    }
    ids
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_and_sorts_find_what_they_say() {
    let world = World::start().await;
    let ids = payments(&world, &["alpha", "beta", "Gamma_1", "50%"]).await;
    let bare = id(&create(&world, "ABCRtyUpBa", json!({})).await);
    for (query, expected) in [
        ("filter[q][reference_eq]=alpha", "alpha"),
        ("filter[q][reference_not_eq]=alpha", "beta,Gamma_1,50%,-"),
        ("filter[q][reference_in]=alpha,50%25", "alpha,50%"),
        ("filter[q][reference_not_in]=alpha,beta", "Gamma_1,50%,-"),
        ("filter[q][reference_cont]=a_1", "Gamma_1"),
        ("filter[q][reference_cont]=%25", "50%"),
        ("filter[q][reference_start]=GAM", "Gamma_1"),
        ("filter[q][reference_end]=ta", "beta"),
        ("filter[q][reference_matches]=%25et%25", "beta"),
        ("filter[q][reference_matches]=%5C", ""),
        ("filter[q][reference_null]=true", "-"),
        (
            "filter[q][reference_present]=true&sort=-reference",
            "beta,alpha,Gamma_1,50%",
        ),
        ("filter[q][reference_gt]=alpha", "beta"),
        (
            "filter[q][reference_or_reference_origin_eq]=shop",
            "alpha,beta,Gamma_1,50%",
        ),
        (
            "filter[q][metadata_jcont]=%7B%22of%22%3A%22beta%22%7D",
            "beta",
        ),
        (
            "filter[q][created_at_gt]=2018-01-01T12:00:00.000Z&sort=-created_at",
            "-,50%,Gamma_1,beta,alpha",
        ),
        ("filter[q][created_at_lt]=2018-01-01", ""),
        (
            "filter[q][reference_eq]=alpha&filter[q][reference_origin_eq]=other",
            "",
        ),
    ] {
        let found = list(&world, query).await;
        let found = references(&found).join(",");
        if query.contains("reference_gt") {
            // What is greater is for the database's language to say.
            assert!(
                found.contains("beta") && !found.contains("alpha"),
                "{found}"
            );
        } else {
            assert_eq!(found, expected, "{query}");
        }
    }
    let one = list(&world, &format!("filter[q][id_eq]={bare}")).await;
    assert_eq!(one.json["data"][0]["id"], bare);
    let mut sorted = ids.clone();
    sorted.push(bare);
    sorted.sort_unstable();
    let by_id = list(&world, "sort=id").await;
    let by_id: Vec<&str> = by_id.json["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["id"].as_str().unwrap())
        .collect();
    assert_eq!(by_id, sorted);
    let created = list(&world, "filter[q][reference_eq]=beta").await;
    let created = created.json["data"][0]["attributes"]["created_at"]
        .as_str()
        .unwrap();
    let same = list(&world, &format!("filter[q][created_at_eq]={created}")).await;
    assert!(references(&same).contains(&"beta"));
    world.stop().await;
}

/// Planted bug: listing the newest first, so that what comes in between pushes a payment onto the next page again.
#[tokio::test(flavor = "multi_thread")]
async fn pages_hold_every_payment_once_while_others_come_in() {
    let world = World::start().await;
    payments(&world, &["a", "b", "c", "d", "e"]).await;
    let mut query =
        "page[size]=2&fields[stripe_payments]=reference&filter[q][reference_origin_eq]=shop"
            .to_owned();
    let mut seen = Vec::new();
    for number in 0..10 {
        let page = list(&world, &query).await;
        seen.extend(references(&page).into_iter().map(str::to_owned));
        let links = &page.json["links"];
        for link in links.as_object().unwrap().values() {
            let link = link.as_str().unwrap();
            assert!(
                link.contains("fields%5Bstripe_payments%5D=reference"),
                "{link}"
            );
            assert!(link.contains("reference_origin_eq"), "{link}");
        }
        assert_eq!(links.get("prev").is_some(), number > 0);
        if number == 0 {
            assert_eq!(
                (
                    &page.json["meta"]["record_count"],
                    &page.json["meta"]["page_count"]
                ),
                (&json!(5), &json!(3))
            );
        }
        let Some(next) = links.get("next").and_then(Value::as_str) else {
            break;
        };
        query = next.split_once('?').unwrap().1.to_owned();
        if number == 0 {
            payments(&world, &["f"]).await;
        }
    }
    assert_eq!(seen, ["a", "b", "c", "d", "e", "f"]);
    let beyond = list(&world, "page[number]=999").await;
    assert_eq!(beyond.json["data"], json!([]));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_that_makes_no_sense_is_refused_by_its_code() {
    let world = World::start().await;
    for (query, expected) in [
        ("foo=bar", "PARAM_NOT_ALLOWED"),
        ("filter[q][amount_eq]=1", "FILTER_NOT_ALLOWED"),
        ("filter[q][created_at_gt]=soon", "FILTER_NOT_ALLOWED"),
        ("sort=amount", "INVALID_SORT_CRITERIA"),
        ("include=customer", "INVALID_INCLUDE"),
        ("page[size]=26", "INVALID_PAGE_VALUE"),
        ("page[number]=0", "INVALID_PAGE_VALUE"),
        ("fields[stripe_payments]=secret", "INVALID_FIELD"),
    ] {
        let refused = send(call(&world, Method::GET, &format!("{PATH}?{query}"))).await;
        assert_eq!(refused.status, 400, "{query}");
        assert_eq!(refused.json["errors"][0]["code"], expected, "{query}");
        let source = &refused.json["errors"][0]["source"]["parameter"];
        assert!(source.is_string(), "{query}");
    }
    world.stop().await;
}

/// What the migration computes for rows that were there before is what the fold writes. Planted bug: another alphabet.
#[tokio::test(flavor = "multi_thread")]
async fn short_ids_are_the_same_in_sql() {
    let world = World::start().await;
    payments(&world, &["alpha", "beta"]).await;
    crate::support::send(world.shop_create()).await;
    let migration = include_str!("../../migrations/0022_payment_sources.sql");
    let (_, from) = migration.split_once("CREATE FUNCTION").unwrap();
    let (function, _) = from.split_once("$$;").unwrap();
    let owner = eventstore::pool(&world.database_url, eventstore::Role::Owner, 1);
    let mut owner = owner.await.unwrap().acquire().await.unwrap();
    let function = format!("CREATE FUNCTION{function}$$;");
    sqlx::raw_sql(&function).execute(&mut *owner).await.unwrap();
    let (rows, differing): (i64, i64) = sqlx::query_as(
        "select count(*), count(*) filter (where short_id <> short_id('payment', payment_id::text)) from payments",
    )
    .fetch_one(&mut *owner)
    .await
    .unwrap();
    assert_eq!((rows, differing), (3, 0));
    let named: Vec<String> = sqlx::query_scalar(
        "select reference from orders where short_id <> case when source = 'commerce_layer' then reference
         else short_id('order', order_id::text) end",
    )
    .fetch_all(&mut *owner)
    .await
    .unwrap();
    assert_eq!(named, [""; 0]);
    world.stop().await;
}
