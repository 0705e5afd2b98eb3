//! The sandbox's fixtures: three merchants, their keys, and the orders, offers and articles that the documents' examples speak of.
//!
//! Their keys are public, so they are loaded only beside the simulator. Loading them again changes nothing.

use aggregates::catalogue::article::Listed;
use aggregates::catalogue::offer::{Choice, Group, Product, Published};
use aggregates::ids::CommandId;
use aggregates::metadata::Actor;
use aggregates::money::{Currency, Money, MoneyError};
use aggregates::order::COMMERCE_LAYER;
use aggregates::order::event::Line;
use secrecy::SecretString;
use simulator::{Account, PlantedIntent, WebhookEndpoint};

use crate::personal::Personal;
use crate::store::{Context, KeyKind, Merchant, NewKey, Scope};
use crate::use_cases::{App, AppError, PlaceOrder};

/// A merchant of the sandbox.
pub struct FixtureMerchant {
    pub id: &'static str,
    pub name: &'static str,
    pub enforce_minimum: bool,
    /// The organisation's id, where the documents name it.
    pub organization: Option<&'static str>,
    keys: &'static [(
        KeyKind,
        &'static str,
        &'static [Scope],
        Option<&'static str>,
    )],
}

const PAYMENTS: &[Scope] = &[Scope::PaymentsRead, Scope::PaymentsWrite];
const ADMIN: &[Scope] = &[
    Scope::PaymentsRead,
    Scope::PaymentsWrite,
    Scope::LedgerRead,
    Scope::Admin,
];
/// Acme's administrator is the sandbox's operator too: more merchants are made with its key.
const OPERATOR: &[Scope] = &[
    Scope::PaymentsRead,
    Scope::PaymentsWrite,
    Scope::LedgerRead,
    Scope::Admin,
    Scope::Operator,
];
const FINANCE: &[Scope] = &[Scope::PaymentsRead, Scope::LedgerRead];
const APPROVER: &[Scope] = &[Scope::PaymentsRead, Scope::LedgerRead, Scope::Approve];

/// Acme keeps to Stripe's rules, Seedpay knows no minimum charge, Rival is there to be kept apart.
pub const MERCHANTS: &[FixtureMerchant] = &[
    FixtureMerchant {
        id: "acme",
        name: "Acme",
        enforce_minimum: true,
        organization: Some("xRRkjDFafe"),
        keys: &[
            (KeyKind::StripeSecret, "sk_test_acme", PAYMENTS, None),
            (
                KeyKind::StripePublishable,
                "pk_test_acme",
                &[Scope::PaymentsRead],
                None,
            ),
            (KeyKind::Offers, "offers-acme", PAYMENTS, None),
            (KeyKind::Offers, "sk_test_acme", PAYMENTS, None),
            (KeyKind::Shop, "123456789", PAYMENTS, None),
            (
                KeyKind::Customer,
                "customer-9",
                PAYMENTS,
                Some("customer-9"),
            ),
            (KeyKind::Bokamera, "bokamera-acme", PAYMENTS, None),
            (KeyKind::CommerceLayer, "cl-acme", PAYMENTS, None),
            (KeyKind::Native, "admin-acme", OPERATOR, None),
            (KeyKind::Native, "finance-acme", FINANCE, None),
            (KeyKind::Native, "approver-acme", APPROVER, None),
        ],
    },
    FixtureMerchant {
        id: "seedpay",
        name: "Seedpay",
        enforce_minimum: false,
        organization: None,
        keys: &[(KeyKind::StripeSecret, "sk_test_seedpay", PAYMENTS, None)],
    },
    FixtureMerchant {
        id: "rival",
        name: "Rival",
        enforce_minimum: true,
        organization: None,
        keys: &[
            (KeyKind::StripeSecret, "sk_test_rival", PAYMENTS, None),
            (KeyKind::Offers, "offers-rival", PAYMENTS, None),
            (KeyKind::Shop, "123456780", PAYMENTS, None),
            (
                KeyKind::Customer,
                "customer-8",
                PAYMENTS,
                Some("customer-8"),
            ),
            (KeyKind::Bokamera, "bokamera-rival", PAYMENTS, None),
            (KeyKind::CommerceLayer, "cl-rival", PAYMENTS, None),
            (KeyKind::Native, "admin-rival", ADMIN, None),
        ],
    },
];

/// An order of the sandbox: merchant, source, reference, number, customer, and its one line (name, unit in minor units, quantity, currency).
type FixtureOrder = (
    &'static str,
    &'static str,
    &'static str,
    Option<&'static str>,
    Option<&'static str>,
    FixtureLine,
);
type FixtureLine = (&'static str, i64, u32, &'static str);

const ORDERS: &[FixtureOrder] = &[
    (
        "acme",
        "shop",
        "9",
        Some("ORD-20250331-5XZF"),
        Some("customer-9"),
        ("Main product 2", 5600, 2, "usd"),
    ),
    (
        "rival",
        "shop",
        "8",
        Some("ORD-20250331-8RVL"),
        Some("customer-8"),
        ("Rival product", 4200, 1, "usd"),
    ),
    (
        "acme",
        COMMERCE_LAYER,
        "ABCRtyUpBa",
        None,
        None,
        ("Order ABCRtyUpBa", 5900, 1, "eur"),
    ),
    (
        "rival",
        COMMERCE_LAYER,
        "ZZCRtyUpBz",
        None,
        None,
        ("Order ZZCRtyUpBz", 5900, 1, "eur"),
    ),
];

/// An offer of the sandbox: merchant, number, and its one group of products (code, name, price in minor units of gbp), all of
/// them selected.
type FixtureOffer = (
    &'static str,
    &'static str,
    &'static [(&'static str, &'static str, i64)],
);

const OFFERS: &[FixtureOffer] = &[
    (
        "acme",
        "10311080",
        &[
            ("core", "Core cover", 8_420),
            ("legal_protection", "Legal protection", 1_499),
            ("personal_possessions", "Personal possessions", 1_682),
            ("home_emergency", "Home emergency", 750),
            ("ad", "Accidental damage", 400),
        ],
    ),
    ("rival", "10311099", &[("core", "Core cover", 9_900)]),
];

/// An article of the sandbox: merchant, company, number, name, and price in minor units of sek; a rebate's is negative.
type FixtureArticle = (&'static str, &'static str, u32, &'static str, i64);

const ARTICLES: &[FixtureArticle] = &[
    (
        "acme",
        "11111111-1111-1111-1111-111111111111",
        1,
        "Haircut",
        25_000,
    ),
    (
        "acme",
        "11111111-1111-1111-1111-111111111111",
        2,
        "Beard trim",
        10_000,
    ),
    (
        "acme",
        "11111111-1111-1111-1111-111111111111",
        3,
        "Rebate",
        -5_000,
    ),
    (
        "rival",
        "22222222-2222-2222-2222-222222222222",
        1,
        "Massage",
        40_000,
    ),
];

/// Why fixtures could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum FixtureError {
    #[error("a fixture is wrong: {0}")]
    Wrong(#[from] aggregates::ids::IdError),
    #[error("a fixture is wrong: {0}")]
    Money(#[from] MoneyError),
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    #[error(transparent)]
    App(#[from] AppError),
}

/// Loads merchants, keys, orders, offers and articles.
///
/// # Errors
/// When the store cannot be used.
pub async fn load(app: &App) -> Result<(), FixtureError> {
    for fixture in MERCHANTS {
        let merchant = merchant(fixture)?;
        app.store().keys.put_merchant(&merchant, true).await?;
        for (number, (kind, secret, scopes, customer)) in fixture.keys.iter().enumerate() {
            let key_id = format!("key_{}_{number}", fixture.id);
            let secret = SecretString::from(*secret);
            let key = NewKey {
                key_id: &key_id,
                secret: &secret,
                merchant: &merchant.id,
                kind: *kind,
                scopes,
                customer: *customer,
            };
            app.store().keys.put_key(&key).await?;
        }
        for order in ORDERS.iter().filter(|order| order.0 == fixture.id) {
            place(app, &merchant, order).await?;
        }
        for offer in OFFERS.iter().filter(|offer| offer.0 == fixture.id) {
            publish(app, &merchant, offer).await?;
        }
        for it in ARTICLES.iter().filter(|it| it.0 == fixture.id) {
            let listed = Listed {
                merchant: merchant.id.clone(),
                company: it.1.to_owned(),
                number: it.2,
                name: it.3.to_owned(),
                price: Money::new(it.4, Currency::SEK),
            };
            app.list_article(&merchant, &context(app), listed).await?;
        }
    }
    Ok(())
}

fn merchant(it: &FixtureMerchant) -> Result<Merchant, FixtureError> {
    Ok(Merchant {
        id: it.id.parse()?,
        name: it.name.to_owned(),
        stripe_account: it.id.to_owned(),
        enforce_minimum: it.enforce_minimum,
        organization: it.organization.map(str::to_owned),
    })
}

async fn place(app: &App, merchant: &Merchant, order: &FixtureOrder) -> Result<(), FixtureError> {
    let (_, source, reference, number, customer, (name, unit, quantity, currency)) = *order;
    let currency: Currency = currency.parse()?;
    let line = Line {
        name: name.to_owned(),
        unit: Money::new(unit, currency),
        quantity,
        description: String::new(),
    };
    let placed = PlaceOrder {
        source,
        reference: reference.to_owned(),
        number: number.map(str::to_owned),
        customer: customer.map(str::to_owned),
        lines: vec![line],
        tax: Money::zero(currency),
        personal: Personal {
            email: customer.map(|it| format!("{it}@example.com")),
            shipping: None,
        },
    };
    app.place_order(merchant, &context(app), placed).await?;
    Ok(())
}

async fn publish(app: &App, merchant: &Merchant, offer: &FixtureOffer) -> Result<(), FixtureError> {
    const GROUP: &str = "combined";
    let (_, number, products) = *offer;
    let product = |it: &(&str, &str, i64)| Product {
        code: it.0.to_owned(),
        name: it.1.to_owned(),
        price: Money::new(it.2, Currency::GBP),
    };
    let choice = |it: &(&str, &str, i64)| Choice {
        group: GROUP.to_owned(),
        code: it.0.to_owned(),
    };
    let published = Published {
        merchant: merchant.id.clone(),
        number: number.to_owned(),
        currency: Currency::GBP,
        groups: vec![Group {
            name: GROUP.to_owned(),
            products: products.iter().map(product).collect(),
        }],
        selection: products.iter().map(choice).collect(),
        expires_at: None,
    };
    app.publish_offer(merchant, &context(app), published)
        .await?;
    Ok(())
}

fn context(app: &App) -> Context {
    let command = app.store().ids.uuid();
    Context {
        actor: Actor {
            name: "fixtures".to_owned(),
            key_id: None,
            door: "sandbox".to_owned(),
        },
        command_id: CommandId::from_uuid(command),
        correlation_id: command,
        causation_id: None,
        reason: None,
        claimed_at: None,
    }
}

/// The simulator's accounts, one per merchant; `webhooks` gives each the address and secret of its endpoint here.
pub fn simulator_accounts(webhooks: impl Fn(&str) -> WebhookEndpoint) -> Vec<Account> {
    MERCHANTS
        .iter()
        .map(|it| {
            let mut account = Account::new(
                &simulator_account_id(it.id),
                &simulator_key(it.id),
                &simulator_publishable_key(it.id),
            );
            account.minimum_charge = it.enforce_minimum;
            account.webhook_endpoints = vec![webhooks(it.id)];
            match it.id {
                "acme" => account.planted_intents = vec![planted()],
                // The document's card is dated 12/2026, and its example is to stay one.
                "seedpay" => account.cards_judged_in = Some((2026, 1)),
                _ => {}
            }
            account
        })
        .collect()
}

/// The secret key of a merchant's account at the simulator.
pub fn simulator_key(merchant: &str) -> String {
    format!("sk_test_sim_{merchant}")
}

/// The publishable key of a merchant's account at the simulator.
pub fn simulator_publishable_key(merchant: &str) -> String {
    format!("pk_test_sim_{merchant}")
}

/// What a merchant's account at the simulator is called.
pub fn simulator_account_id(merchant: &str) -> String {
    format!("acct_{merchant}")
}

/// The intent that the document of Stripe payments speaks of.
fn planted() -> PlantedIntent {
    PlantedIntent {
        id: "pi_1234XXX".to_owned(),
        client_secret: Some("pi_1234XXX_secret_5678YYY".to_owned()),
        amount: 5900,
        currency: "eur".to_owned(),
        description: None,
    }
}
