use serde_json::Value;

use crate::support::{Api, start, text};

fn ids(list: &Value) -> Vec<String> {
    let data = list["data"].as_array().expect("a list");
    data.iter().map(|it| text(it, "id").to_owned()).collect()
}

async fn five(api: &Api) -> Vec<String> {
    let mut made = Vec::new();
    for number in ["0", "1", "2", "3", "4"] {
        let intent = api.intent(&[("metadata[number]", number)]).await.ok();
        made.push(text(&intent, "id").to_owned());
    }
    made
}

#[tokio::test]
async fn pages_run_newest_first_in_both_directions() {
    let (_running, api) = start().await;
    let made = five(&api).await;
    let first = api.get("v1/payment_intents?limit=2").await.ok();
    assert_eq!(ids(&first), [made[4].clone(), made[3].clone()]);
    assert_eq!(
        (first["has_more"].as_bool(), text(&first, "url")),
        (Some(true), "/v1/payment_intents")
    );
    let path = format!("v1/payment_intents?limit=3&starting_after={}", made[3]);
    let next = api.get(&path).await.ok();
    assert_eq!(
        ids(&next),
        [made[2].clone(), made[1].clone(), made[0].clone()]
    );
    assert_eq!(next["has_more"], false);
    let path = format!("v1/payment_intents?limit=2&ending_before={}", made[0]);
    let back = api.get(&path).await.ok();
    assert_eq!(ids(&back), [made[2].clone(), made[1].clone()]);
    assert_eq!(back["has_more"], true);
    let path = format!("v1/payment_intents?ending_before={}", made[4]);
    assert!(ids(&api.get(&path).await.ok()).is_empty());
}

#[tokio::test]
async fn limits_and_cursors_are_checked() {
    let (_running, api) = start().await;
    for limit in ["0", "101", "-1", "x"] {
        let answer = api.get(&format!("v1/payment_intents?limit={limit}")).await;
        assert_eq!(
            answer.error(),
            (400, "parameter_invalid_integer", "limit"),
            "{limit}"
        );
    }
    let answer = api.get("v1/payment_intents?starting_after=pi_nobody").await;
    assert_eq!(answer.error(), (400, "resource_missing", "starting_after"));
    let answer = api
        .get("v1/payment_intents?starting_after=a&ending_before=b")
        .await;
    assert_eq!(answer.status, 400);
}

#[tokio::test]
async fn lists_are_filtered_by_time_type_and_source() {
    let (_running, api) = start().await;
    let early = api.paid("pm_card_visa").await;
    let created = early["created"].as_i64().expect("a time");
    api.advance(3_600).await;
    let late = api.paid("pm_card_visa").await;
    let after = created + 1_800;
    for (query, expected) in [
        (format!("created[gt]={after}"), vec![&late]),
        (format!("created[lte]={after}"), vec![&early]),
        (format!("created[gte]={created}"), vec![&late, &early]),
        (format!("created={created}"), vec![&early]),
    ] {
        let listed = api.get(&format!("v1/payment_intents?{query}")).await.ok();
        let expected: Vec<_> = expected.into_iter().map(|it| text(it, "id")).collect();
        assert_eq!(ids(&listed), expected, "{query}");
    }
    let bad = api.get("v1/payment_intents?created[around]=5").await;
    assert_eq!(bad.error(), (400, "parameter_unknown", "created[around]"));
    let charge = text(&late, "latest_charge");
    let listed = api
        .get(&format!("v1/charges?payment_intent={}", text(&late, "id")))
        .await
        .ok();
    assert_eq!(ids(&listed), [charge]);
    let listed = api
        .get(&format!(
            "v1/balance_transactions?source={charge}&type=charge&currency=usd"
        ))
        .await
        .ok();
    assert_eq!(text(&listed["data"][0], "source"), charge);
    let none = api.get("v1/balance_transactions?type=refund").await.ok();
    assert!(ids(&none).is_empty());
    let payouts = api.get("v1/balance_transactions?payout=po_1").await;
    assert_eq!(payouts.error(), (400, "resource_missing", "payout"));
    let events = api.get("v1/events?type=charge.*").await.ok();
    assert_eq!(events["data"].as_array().map(Vec::len), Some(2));
    let events = api
        .get("v1/events?types[]=payment_intent.created&types[]=charge.succeeded")
        .await
        .ok();
    assert_eq!(events["data"].as_array().map(Vec::len), Some(4));
}

#[tokio::test]
async fn an_intent_is_found_by_its_metadata() {
    let (_running, api) = start().await;
    let made = five(&api).await;
    let path = "v1/payment_intents/search?query=metadata%5B'number'%5D%3A'3'";
    let found = api.get(path).await.ok();
    assert_eq!(ids(&found), [made[3].clone()]);
    assert_eq!(
        (found["has_more"].as_bool(), &found["next_page"]),
        (Some(false), &Value::Null)
    );
    let path = "v1/payment_intents/search?limit=2&query=status:'requires_payment_method'";
    let first = api.get(path).await.ok();
    let next = api
        .get(&format!("{path}&page={}", text(&first, "next_page")))
        .await
        .ok();
    assert_eq!(ids(&next), [made[2].clone(), made[1].clone()]);
    let bad = api.get("v1/payment_intents/search?query=what").await;
    assert_eq!(bad.error(), (400, "", "query"));
}

#[tokio::test]
async fn a_list_says_where_its_objects_are_expanded() {
    let (_running, api) = start().await;
    let answer = api.get("v1/charges?expand[]=customer").await;
    assert_eq!(answer.error(), (400, "", "expand"));
    let message = text(&answer.body["error"], "message");
    assert_eq!(
        message,
        "This property cannot be expanded (customer). You may want to try expanding 'data.customer' instead."
    );
}

#[tokio::test]
async fn what_moved_the_balance_is_found_under_its_older_name_too() {
    let (_running, api) = start().await;
    api.paid("pm_card_visa").await;
    let history = api.get("v1/balance/history").await.ok();
    let listed = api.get("v1/balance_transactions").await.ok();
    assert_eq!(history["data"], listed["data"]);
    let path = format!("v1/balance/history/{}", ids(&history)[0]);
    assert_eq!(api.get(&path).await.ok(), history["data"][0]);
}

#[tokio::test]
async fn ids_are_expanded_on_request() {
    let (_running, api) = start().await;
    let intent = api.paid("pm_card_visa").await;
    let path = format!("v1/payment_intents/{}", text(&intent, "id"));
    let query = "expand[]=payment_method&expand[]=latest_charge.balance_transaction.source&expand[]=customer";
    let whole = api.get(&format!("{path}?{query}")).await.ok();
    let charge = &whole["latest_charge"];
    assert_eq!(text(charge, "object"), "charge");
    assert_eq!(
        text(&charge["balance_transaction"]["source"], "id"),
        text(charge, "id")
    );
    assert_eq!(text(&whole["payment_method"], "object"), "payment_method");
    let listed = api
        .get("v1/payment_intents?expand[]=data.latest_charge")
        .await
        .ok();
    assert_eq!(
        text(&listed["data"][0]["latest_charge"], "object"),
        "charge"
    );
    let odd = [
        "amount",
        "currency",
        "nothing",
        "canceled_at",
        "metadata",
        "payment_method_types",
        "a.b.c.d.e",
    ];
    for odd in odd {
        let answer = api.get(&format!("{path}?expand[]={odd}")).await;
        assert_eq!(answer.error(), (400, "", "expand"), "{odd}");
    }
}

#[tokio::test]
async fn the_items_of_a_checkout_are_paged_in_their_own_order_both_ways() {
    let (_running, api) = start().await;
    let mut form = vec![
        ("mode".to_owned(), "payment".to_owned()),
        ("success_url".to_owned(), "https://shop.example/".to_owned()),
    ];
    for place in 0..4 {
        let item = format!("line_items[{place}]");
        form.push((format!("{item}[amount]"), "500".to_owned()));
        form.push((format!("{item}[currency]"), "usd".to_owned()));
        form.push((format!("{item}[name]"), format!("Tea {place}")));
    }
    let form: Vec<_> = form.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    let session = api.post("v1/checkout/sessions", &form).await.ok();
    let path = format!("v1/checkout/sessions/{}/line_items", text(&session, "id"));
    let all = api.get(&path).await.ok();
    let items = ids(&all);
    assert_eq!(items.len(), 4);
    for (query, expected, has_more) in [
        (
            format!("limit=2&starting_after={}", items[0]),
            &items[1..3],
            true,
        ),
        (
            format!("limit=2&starting_after={}", items[1]),
            &items[2..],
            false,
        ),
        (
            format!("limit=2&ending_before={}", items[3]),
            &items[1..3],
            true,
        ),
        (
            format!("limit=2&ending_before={}", items[2]),
            &items[..2],
            false,
        ),
        (format!("ending_before={}", items[0]), &items[..0], false),
    ] {
        let page = api.get(&format!("{path}?{query}")).await.ok();
        assert_eq!(ids(&page), expected, "{query}");
        assert_eq!(page["has_more"], has_more, "{query}");
    }
    let nowhere = api.get(&format!("{path}?ending_before=li_nobody")).await;
    assert_eq!(nowhere.error(), (400, "resource_missing", "ending_before"));
    for filter in ["payment_link", "subscription"] {
        let answer = api.get(&format!("v1/checkout/sessions?{filter}=x_1")).await;
        assert_eq!(answer.error(), (400, "resource_missing", filter));
    }
}
