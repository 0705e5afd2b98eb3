//! What `{:?}` shows of whatever holds a secret: nothing of it.

use crate::support::seal_key;
use counterfoil::config::{Config, Environment, StripeAccount, StripeAccounts};
use counterfoil::gateway::{self, Account, StripeAnswer};
use counterfoil::http::auth::PresentedKey;
use counterfoil::use_cases::GivenIntent;
use serde_json::json;

const SECRET: &str = "pi_1_secret_canaryNeverShown";

/// Planted bug: a derived `Debug` for what an intent shows.
#[test]
fn nothing_that_holds_a_secret_shows_it() {
    let secret = || SECRET.to_owned().into();
    let answer = || StripeAnswer {
        status: 200,
        body: json!({"id": "pi_1", "client_secret": SECRET}),
        replayed: false,
    };
    let intent = json!({
        "id": "pi_1", "status": "requires_action", "amount": 1, "currency": "usd", "client_secret": SECRET,
        "next_action": {"redirect_to_url": {"url": format!("https://hooks.example/?s={SECRET}")}},
    });
    let account = Account {
        secret_key: secret(),
        base: "https://api.stripe.com/".parse().unwrap(),
        id: None,
        publishable_key: None,
    };
    let configured = StripeAccount {
        secret_key: secret(),
        webhook_secret: Some(secret()),
        publishable_key: None,
        account_id: None,
        api_base: "https://api.stripe.com/".to_owned(),
    };
    let accounts = StripeAccounts {
        default: Some(configured),
        ..StripeAccounts::default()
    };
    let given = GivenIntent {
        id: "pi_1".to_owned(),
        client_secret: secret(),
    };
    let shown = [
        format!("{account:?}"),
        format!("{accounts:?}"),
        format!("{:?}", PresentedKey::of_field(SECRET).unwrap()),
        format!("{:?}", gateway::intent_from(intent).unwrap()),
        format!("{:?}", answer()),
        format!("{given:?}"),
    ];
    for text in shown {
        assert!(!text.contains("canaryNeverShown"), "{text}");
    }
    assert!(
        !format!("{:?}", seal_key()).contains("07"),
        "{:?}",
        seal_key()
    );
}

#[test]
fn the_settings_of_a_run_show_none_of_their_secrets() {
    let settings = [
        (
            "DATABASE_URL",
            format!("postgres://owner:{SECRET}@db/ledger"),
        ),
        ("STRIPE_SECRET_KEY", format!("sk_test_{SECRET}")),
        ("STRIPE_WEBHOOK_SECRET", format!("whsec_{SECRET}")),
        ("COUNTERFOIL_SEAL_KEY", hex::encode([0xab; 32])),
        ("COUNTERFOIL_SIGNING_KEY", hex::encode([0xab; 32])),
    ];
    let environment = Environment::of(settings.iter().map(|(name, value)| (*name, value.as_str())));
    let config = Config::read(&environment, None).unwrap();
    let shown = format!("{config:?}");
    assert!(!shown.contains("canaryNeverShown"), "{shown}");
    assert!(
        !shown.contains("abab") && !shown.contains("171, 171"),
        "{shown}"
    );
}
