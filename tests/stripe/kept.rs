//! What stays in the database after everything was used that is secret or personal: none of it in the clear.

use crate::support::{World, until};
use crate::{CARD, Client, SESSION, path_of, text, world};

/// Planted bug: storing a webhook's body as it came.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_is_secret_or_personal_is_kept_in_the_clear() {
    let world = world().await;
    let door = Client::new(&world);
    let email = ("email", "ada.lovelace@example.com");
    let ada = door
        .post_as("1", "/v1/customers", &[email, ("name", "Ada Lovelace")])
        .await
        .ok();
    let method = door.post_as("2", "/v1/payment_methods", &CARD).await.ok();
    let attach = format!("{}/attach", path_of("payment_methods", &method));
    door.post_as("3", &attach, &[("customer", text(&ada, "id"))])
        .await
        .ok();
    let raw = [
        ("amount", "1000"),
        ("currency", "usd"),
        ("confirm", "true"),
        ("receipt_email", email.1),
        ("shipping[name]", "Ada Lovelace"),
        ("shipping[address][line1]", "12 St James's Square"),
        ("payment_method_data[type]", "card"),
        ("payment_method_data[card][number]", "4242424242424242"),
        ("payment_method_data[card][exp_month]", "12"),
        ("payment_method_data[card][exp_year]", "2034"),
        ("payment_method_data[card][cvc]", "737"),
        ("payment_method_data[billing_details][email]", email.1),
    ];
    let paid = door.post_as("4", "/v1/payment_intents", &raw).await.ok();
    let session = [&SESSION[..], &[("customer_email", email.1)]].concat();
    let session = door
        .post_as("5", "/v1/checkout/sessions", &session)
        .await
        .ok();
    let refund = [("payment_intent", text(&paid, "id"))];
    door.post_as("6", "/v1/refunds", &refund).await.ok();
    let authenticate = [
        ("payment_method", "pm_card_authenticationRequired"),
        ("confirm", "true"),
        ("return_url", "https://shop.example/"),
    ];
    door.intent(&authenticate).await.ok();
    until("Stripe has told everything", async || {
        waiting(&world).await == 0 && applied(&world, "charge.refunded").await
    })
    .await;

    let kept = everything_kept(&world).await;
    for it in [
        text(&paid, "id"),
        text(&ada, "id"),
        text(&session, "id"),
        "charge.refunded",
    ] {
        assert!(kept.contains(it), "{it}: what is searched is what is kept");
    }
    for it in [
        text(&paid, "client_secret"),
        text(&session, "client_secret"),
        "_secret_",
        "4242424242424242",
        "\"737\"",
        "=737",
        email.1,
        "ada.lovelace",
        "Lovelace",
        "St James",
        "sk_test_",
    ] {
        let found = kept.find(it).map(|at| &kept[at.saturating_sub(200)..at]);
        assert_eq!(found, None, "{it}");
    }
    world.stop().await;
}

async fn waiting(world: &World) -> i64 {
    sqlx::query_scalar("select count(*) from webhook_inbox where applied_at is null")
        .fetch_one(world.app().store().pool())
        .await
        .unwrap()
}

async fn applied(world: &World, event_type: &str) -> bool {
    sqlx::query_scalar(
        "select exists(select 1 from webhook_inbox where type = $1 and applied_at is not null)",
    )
    .bind(event_type)
    .fetch_one(world.app().store().pool())
    .await
    .unwrap()
}

/// Every row of every table, as text.
async fn everything_kept(world: &World) -> String {
    let pool = world.app().store().pool();
    let tables: Vec<String> =
        sqlx::query_scalar("select tablename::text from pg_tables where schemaname = 'public'")
            .fetch_all(pool)
            .await
            .unwrap();
    let mut kept = String::new();
    for table in tables.iter().filter(|it| *it != "_sqlx_migrations") {
        let query = format!("select row_to_json(it)::text from \"{table}\" it");
        let rows: Vec<String> = sqlx::query_scalar(&query).fetch_all(pool).await.unwrap();
        kept.extend(rows);
    }
    kept
}
