//! Keys that are made and ended while the service runs.

use crate::support::{World, seal_key, send};
use counterfoil::ops;
use counterfoil::store::{KeyKind, Merchant, NewKey, Scope};

/// Planted bug: a revocation that leaves the key in memory lets it in for a while longer.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_nobodys_from_the_moment_it_is_revoked() {
    let world = World::start().await;
    let keys = &world.app().store().keys;
    let (secret, merchant) = (
        "sk_test_short_lived".to_owned().into(),
        "acme".parse().unwrap(),
    );
    let call = || {
        send(
            world
                .get("/v1/payment_intents/pi_nobodys")
                .bearer_auth("sk_test_short_lived"),
        )
    };
    assert_eq!(call().await.0, 401, "there is no such key yet");
    let key = NewKey {
        key_id: "key_short_lived",
        secret: &secret,
        merchant: &merchant,
        kind: KeyKind::StripeSecret,
        scopes: &[Scope::PaymentsRead],
        customer: None,
    };
    keys.put_key(&key).await.unwrap();
    assert_eq!(
        call().await.0,
        404,
        "it is let in, and there is no such payment"
    );
    assert!(keys.revoke("key_short_lived").await.unwrap());
    assert_eq!(call().await.0, 401);
    world.stop().await;
}

/// What stands in a Stripe account is shown to its merchant, so it can be nobody else's. Red without the unique index.
#[tokio::test(flavor = "multi_thread")]
async fn a_stripe_account_is_one_merchants_alone() {
    let world = World::start().await;
    let merchant = Merchant {
        id: "newcomer".parse().unwrap(),
        name: "Newcomer".to_owned(),
        stripe_account: "acme".to_owned(),
        enforce_minimum: true,
        organization: None,
    };
    let refused = ops::keys::put_merchant(&world.database_url, &seal_key(), &merchant).await;
    let said = refused.unwrap_err().to_string();
    assert!(said.contains("another merchant's"), "{said}");
    let own = Merchant {
        stripe_account: "newcomers".to_owned(),
        ..merchant
    };
    ops::keys::put_merchant(&world.database_url, &seal_key(), &own)
        .await
        .unwrap();
    world.stop().await;
}
