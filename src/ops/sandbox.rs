//! `counterfoil sandbox`: everything on one machine with one command. PostgreSQL, the simulator in Stripe's place,
//! migrations, fixtures, the service.

use anyhow::{Context as _, bail};
use hmac::{Hmac, KeyInit, Mac};
use metrics_exporter_prometheus::PrometheusHandle;
use reqwest::Url;
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;
use simulator::{Simulator, WebhookEndpoint};
use std::collections::HashMap;
use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::fixtures::{self, MERCHANTS};
use super::postgres::Postgres;
use super::serve;
use crate::config::{Config, Key32, StripeAccount};
use crate::gateway::Account;
use crate::ids::Ids;
use crate::outbound::Reach;
use crate::service::Opened;
use crate::use_cases::WebhookSecrets;

/// Where the sandbox keeps its seal key, under `config.home`.
const SEAL_FILE: &str = "seal.key";
/// Where it says how its simulator is reached, for the command line.
const SIMULATOR_FILE: &str = "simulator.url";

/// Runs the sandbox until it is told to stop.
///
/// # Errors
/// What cannot be started, and why; whatever was started is stopped again.
pub async fn run(config: Config, metrics: PrometheusHandle) -> anyhow::Result<()> {
    let beside_simulator = config.stripe.default.is_none() && config.stripe.named.is_empty();
    let listener = serve::listen(config.listen).await?;
    let postgres = Postgres::open(&config).await.context("PostgreSQL")?;
    let result = with_postgres(&config, metrics, listener, &postgres, beside_simulator).await;
    let stopped = postgres.stop().await.context("PostgreSQL did not stop");
    result.and(stopped)
}

async fn with_postgres(
    config: &Config,
    metrics: PrometheusHandle,
    listener: tokio::net::TcpListener,
    postgres: &Postgres,
    beside_simulator: bool,
) -> anyhow::Result<()> {
    let database_url = postgres.url().expose_secret().to_owned();
    serve::migrate(&database_url).await?;
    let seal_key = seal_key(config)?;
    own_key(config.signing_key.clone(), &config.home, "signing.key")?;
    let told = config.home.join(SIMULATOR_FILE);
    if !beside_simulator {
        // One of an earlier start is not asked any more.
        let _ = fs::remove_file(told);
        let parts = serve::parts(config, listener, database_url, seal_key, metrics)?;
        let service = Opened::new(parts).await?.serve()?;
        println!(
            "Counterfoil serves on http://{} against the configured Stripe.",
            service.address()
        );
        return serve::until_told_to_stop(service).await;
    }
    let address = listener.local_addr()?;
    let simulator = start_simulator(config, address, &seal_key).await?;
    let base: Url = simulator.url().parse().context("the simulator's address")?;
    fs::write(&told, base.as_str())
        .with_context(|| format!("{} cannot be written", told.display()))?;
    let mut parts = serve::parts(config, listener, database_url, seal_key.clone(), metrics)?;
    parts.accounts = accounts(&base);
    parts.webhook_secrets = webhook_secrets(&seal_key);
    // Whoever tries the sandbox has a receiver on the same machine.
    parts.outbound.reach = Reach::Anywhere;
    let result = async {
        let opened = Opened::new(parts).await?;
        if let Err(error) = fixtures::load(&opened.app).await {
            opened.app.store().close().await;
            bail!("fixtures: {error}");
        }
        let service = opened.serve()?;
        greet(address, &base);
        serve::until_told_to_stop(service).await
    };
    let result = result.await;
    simulator.stop().await;
    result
}

/// The simulator listens one port above the service, so that its address stays the same.
async fn start_simulator(
    config: &Config,
    service: SocketAddr,
    seal_key: &Key32,
) -> anyhow::Result<simulator::Running> {
    let port = if config.listen.port() == 0 {
        0
    } else {
        config.listen.port().checked_add(1).unwrap_or(0)
    };
    let listen = SocketAddr::new([127, 0, 0, 1].into(), port);
    let accounts = fixtures::simulator_accounts(|merchant| {
        let url = format!("http://{service}/webhooks/stripe/{merchant}");
        WebhookEndpoint::new(&url, webhook_secret(seal_key, merchant).expose_secret())
    });
    let mut settings = simulator::Config::new(accounts);
    settings.listen = listen;
    settings.state_dir = Some(config.home.join("simulator"));
    Simulator::start(settings)
        .await
        .with_context(|| format!("the simulator cannot listen on {listen}"))
}

/// Where each merchant's Stripe account is: at the simulator.
pub fn accounts(base: &Url) -> HashMap<String, Account> {
    let account = |merchant: &str| Account {
        secret_key: SecretString::from(fixtures::simulator_key(merchant)),
        base: base.clone(),
        id: Some(fixtures::simulator_account_id(merchant)),
        publishable_key: Some(fixtures::simulator_publishable_key(merchant)),
    };
    MERCHANTS
        .iter()
        .map(|it| (it.id.to_owned(), account(it.id)))
        .collect()
}

/// The configuration of a command that is given beside the running sandbox: where no database is named, its key and its
/// simulator's accounts stand in for what is not configured.
///
/// # Errors
/// When what the sandbox has left cannot be read.
pub fn beside(mut config: Config) -> anyhow::Result<Config> {
    if config.database_url.is_some() {
        return Ok(config);
    }
    if config.seal_key.is_none() && config.home.join(SEAL_FILE).exists() {
        config.seal_key = Some(seal_key(&config)?);
    }
    let Ok(base) = fs::read_to_string(config.home.join(SIMULATOR_FILE)) else {
        return Ok(config);
    };
    if config.stripe.default.is_none() && config.stripe.named.is_empty() {
        let base: Url = base.trim().parse().context("the simulator's address")?;
        let named = accounts(&base).into_iter();
        config.stripe.named = named.map(|(name, it)| (name, configured(it))).collect();
    }
    Ok(config)
}

fn configured(it: Account) -> StripeAccount {
    StripeAccount {
        secret_key: it.secret_key,
        webhook_secret: None,
        publishable_key: it.publishable_key,
        account_id: it.id,
        api_base: it.base.to_string(),
    }
}

/// The webhook secrets that service and simulator agree on.
pub fn webhook_secrets(seal_key: &Key32) -> WebhookSecrets {
    MERCHANTS
        .iter()
        .map(|it| (it.id.to_owned(), vec![webhook_secret(seal_key, it.id)]))
        .collect()
}

/// Derived, so that nothing needs to be kept.
pub fn webhook_secret(seal_key: &Key32, merchant: &str) -> SecretString {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(seal_key.expose()).expect("HMAC takes a key of any length");
    mac.update(b"sandbox webhook ");
    mac.update(merchant.as_bytes());
    SecretString::from(format!(
        "whsec_{}",
        hex::encode(mac.finalize().into_bytes())
    ))
}

/// The sandbox's seal key.
///
/// # Errors
/// When it can neither be read nor made.
pub fn seal_key(config: &Config) -> anyhow::Result<Key32> {
    own_key(config.seal_key.clone(), &config.home, SEAL_FILE)
}

/// The configured key, or one that the sandbox made at its first start and keeps under its home.
fn own_key(configured: Option<Key32>, home: &Path, name: &str) -> anyhow::Result<Key32> {
    if let Some(key) = configured {
        return Ok(key);
    }
    let path = home.join(name);
    if let Ok(text) = fs::read_to_string(&path) {
        let bytes = hex::decode(text.trim())
            .ok()
            .and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
        return bytes
            .map(Key32::new)
            .with_context(|| format!("{} does not hold a key of 32 bytes in hex", path.display()));
    }
    fs::create_dir_all(home).with_context(|| format!("{} cannot be made", home.display()))?;
    let bytes: [u8; 32] = Ids::system().bytes();
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)
        .with_context(|| format!("{} cannot be written", path.display()))?;
    writeln!(file, "{}", hex::encode(bytes))?;
    Ok(Key32::new(bytes))
}

/// What a new user needs: the keys, and a line to copy for each door.
fn greet(service: SocketAddr, simulator: &Url) {
    println!(
        "
Counterfoil serves on http://{service}   (Ctrl-C stops it, the database included)
The simulator stands in for Stripe on {simulator} (its secret key for acme: {sim_key})

Shop: ask to pay order 9, then see whether it is paid
  curl -X POST http://{service}/api/v1/shop/orders/9/payment-intent -H 'Authorization: Bearer customer-9' -H 'X-API-Key: 123456789'
  curl -X POST http://{service}/api/v1/shop/orders/9/payment -H 'X-API-Key: 123456789'
Offers: ask to pay offer 10311080, with a selection of its products
  curl http://{service}/api/offer/createpaymentintent -H 'Authorization: Bearer offers-acme' -H 'Content-Type: application/json' -d '{{\"offer_oid\":\"10311080\",\"products\":{{\"combined\":[\"core\",\"legal_protection\"]}}}}'
Payment intents: take 10 USD cents with a test card
  curl http://{service}/v1/payment_intents -H 'Authorization: Bearer sk_test_seedpay' -H 'Content-Type: application/json' -d '{{\"amount\":10,\"currency\":\"USD\",\"confirm\":true,\"payment_method_data\":{{\"type\":\"card\",\"card\":{{\"number\":\"4111111111111111\",\"exp_month\":\"12\",\"exp_year\":\"2030\",\"cvc\":\"123\"}}}},\"return_url\":\"https://your.website\"}}'
The same as Stripe itself, for Stripe's own clients (address http://{service}, key sk_test_acme)
  curl http://{service}/v1/payment_intents -u sk_test_acme: -d amount=2000 -d currency=usd -d confirm=true -d payment_method=pm_card_visa -d 'expand[]=latest_charge'
Checkout: open a page on which two haircuts are paid; in XML, CSV or JSV as well (checkout.xml, ?format=csv)
  curl http://{service}/payment/stripe/v1/checkout -H 'x-api-key: bokamera-acme' -H 'Authorization: Bearer customer-9' -H 'Content-Type: application/json' -d '{{\"CompanyId\":\"11111111-1111-1111-1111-111111111111\",\"CountryCode\":\"SE\",\"Articles\":[{{\"ArticleId\":1,\"Quantity\":2}}],\"InternalReferenceId\":\"booking-1\",\"UiMode\":\"hosted\"}}'
Stripe payments: ask to pay order ABCRtyUpBa in JSON:API, then list what there is with its orders
  curl http://{service}/api/stripe_payments -H 'Authorization: Bearer cl-acme' -H 'Content-Type: application/vnd.api+json' -d '{{\"data\":{{\"type\":\"stripe_payments\",\"attributes\":{{}},\"relationships\":{{\"order\":{{\"data\":{{\"type\":\"orders\",\"id\":\"ABCRtyUpBa\"}}}}}}}}}}'
  curl -g 'http://{service}/api/stripe_payments?include=order&sort=-created_at' -H 'Authorization: Bearer cl-acme'
The ledger's own API: place an order, then follow all that happens (once more with -H 'Accept: text/event-stream')
  curl http://{service}/ledger/v1/orders -H 'Authorization: Bearer admin-acme' -H 'Content-Type: application/json' -d '{{\"source\":\"shop\",\"reference\":\"10\",\"currency\":\"usd\",\"lines\":[{{\"name\":\"Shoes\",\"unit_minor\":7900,\"quantity\":1}}]}}'
  curl http://{service}/ledger/v1/events -H 'Authorization: Bearer admin-acme'

Keys     acme: sk_test_acme, pk_test_acme; offers offers-acme; shop 123456789 with customer-9; checkout bokamera-acme with customer-9;
         Stripe payments cl-acme; the ledger's own API admin-acme, finance-acme (reads)
         seedpay (no minimum charge): sk_test_seedpay
         rival: sk_test_rival; offers offers-rival; shop 123456780 with customer-8; checkout bokamera-rival with customer-8; Stripe payments cl-rival
Health   http://{service}/healthz  /readyz  /metrics
History  target/debug/counterfoil events tail      target/debug/counterfoil events show 9
",
        sim_key = fixtures::simulator_key("acme"),
    );
}
