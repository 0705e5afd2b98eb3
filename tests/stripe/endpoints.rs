//! Webhook endpoints, which are ours, in Stripe's shapes.

use crate::{Client, path_of, text, world};
use reqwest::Method;
use serde_json::json;

/// Red when a member is missing or one too many: every answer is held to Stripe's schema on its way in.
#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_is_made_read_changed_listed_and_deleted_in_stripes_shapes() {
    let world = world().await;
    let door = Client::new(&world);
    let form = [
        ("url", "https://merchant.example/hook"),
        ("enabled_events[]", "payment_intent.succeeded"),
        ("description", "orders"),
        ("metadata[team]", "shop"),
    ];
    let made = door.post("/v1/webhook_endpoints", &form).await.ok();
    assert!(text(&made, "secret").starts_with("whsec_"));
    let path = path_of("webhook_endpoints", &made);
    let read = door.get(&path).await.ok();
    assert_eq!(read.get("secret"), None, "it is shown once");
    let changed = door.post(&path, &[("disabled", "true")]).await.ok();
    assert_eq!(text(&changed, "status"), "disabled");
    let list = door.get("/v1/webhook_endpoints").await.ok();
    assert_eq!(list["data"], json!([changed]));
    let gone = door.delete(&path).await.ok();
    assert_eq!((&gone["id"], &gone["deleted"]), (&made["id"], &json!(true)));
    let missing = door.send(door.request(Method::GET, &path)).await;
    assert_eq!(missing.error().1, "resource_missing");
    world.stop().await;
}
