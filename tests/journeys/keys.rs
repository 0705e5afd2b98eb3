//! Keys that are made and ended while the service runs.

use crate::support::{World, send};
use counterfoil::store::{KeyKind, NewKey, Scope};

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
