//! A canary in every place of every request, in every webhook and in Stripe's own answers; then every place where one could
//! have ended up is looked through. The service runs as a process of its own and logs all that it can.
//!
//! Planted bugs that turn this red are listed at the test.

use crate::canaries::{self, ACCEPTED, CVC, Canaries, LONG_CVC, Needle, needles};
use crate::sinks::{Hit, Search};
use crate::support::process::{Process, SIGNING_KEY, program};
use crate::support::{self, Setup, World, seal_key, send, simulator_config, until};
use crate::things::Things;
use crate::{told, walk};
use cluster::Cluster;
use counterfoil::ops::{fixtures, sandbox};
use counterfoil::service::MIGRATIONS;
use reqwest::{Method, RequestBuilder};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use simulator::Simulator;
use sqlx::{Connection, PgConnection};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::Path;
use tokio::net::TcpListener;
use walk::{Operation, Place};

/// Where a card number was put past us.
const DASHBOARD: &str = "Stripe's dashboard";
/// Ids of the caller's own: echoed and searched by, so they are kept as they came, whatever they look like.
const IDS: [(&str, &[&str]); 6] = [
    (
        "/v1/payment_intents/{id}",
        &["merchant_order_id", "merchant_user_id", "tracking_number"],
    ),
    (
        "/v1/payment_intents",
        &["merchant_order_id", "merchant_user_id", "tracking_number"],
    ),
    (
        "/ledger/v1/orders",
        &["reference", "number", "customer", "tracking_number"],
    ),
    (
        "/ledger/v1/offers",
        &["number", "customer", "code", "groups/0/name"],
    ),
    ("/ledger/v1/articles", &["number", "code"]),
    ("/ledger/v1/customers/tokens", &["customer"]),
];

fn is_an_id(operation: &Operation, place: &Place) -> bool {
    let Place::Member(at) = place else {
        return false;
    };
    let named = |name: &&str| at.ends_with(&format!("/{name}"));
    IDS.iter()
        .any(|(path, names)| operation.path == *path && names.iter().any(named))
}

/// Where the document promises a client secret.
fn shows_a_client_secret(operation: &Operation) -> bool {
    let of = [
        "/v1/payment_intents",
        "/v1/checkout/sessions",
        "/api/v1/shop/orders/{order_id}/payment-intent",
        "/api/offer/createpaymentintent",
        "/api/stripe_payments",
    ];
    if operation.path.starts_with("/openapi.json") || operation.path.starts_with("/docs") {
        // Its examples are the documents' own.
        return true;
    }
    let list = operation.method == "get" && !operation.path.contains('{');
    let checkout = operation.path.contains("heckout") && !operation.path.contains("tatus");
    !list && (checkout || of.iter().any(|it| operation.path.starts_with(it)))
}

/// All that was answered, looked through at once.
struct Heard {
    search: Search,
    /// Client secrets that were told, so that they can be looked for elsewhere.
    secrets: BTreeSet<String>,
    wrong: Vec<String>,
    /// Answers by the hundreds of their statuses.
    by_status: [usize; 6],
}

impl Heard {
    async fn send(&mut self, at: &str, may_show: bool, request: RequestBuilder) -> Value {
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        let headers = format!("{:?}", answer.headers());
        let body = answer.bytes().await.unwrap();
        self.by_status[usize::from(status / 100)] += 1;
        // Where Stripe fails it is not known what came of it, and that is said.
        let faulty = status >= 500 && !at.starts_with("a card, Stripe Some");
        if faulty {
            self.wrong.push(format!(
                "{at} → {status} {}",
                String::from_utf8_lossy(&body)
            ));
        }
        self.search.bytes(at, headers.as_bytes());
        self.search.bytes(at, &body);
        let text = String::from_utf8_lossy(&body);
        let told = client_secrets(&text);
        if !told.is_empty() && !may_show {
            self.wrong
                .push(format!("{at} tells a client secret: {text}"));
        }
        self.secrets.extend(told);
        serde_json::from_slice(&body).unwrap_or(Value::Null)
    }
}

/// What looks like `pi_…_secret_…` in a text.
fn client_secrets(text: &str) -> Vec<String> {
    let words = text.split(|it: char| !it.is_ascii_alphanumeric() && it != '_');
    let secret = |it: &&str| {
        ["pi_", "cs_", "seti_"]
            .iter()
            .any(|kind| it.starts_with(kind))
            && it.contains("_secret_")
    };
    words.filter(secret).map(str::to_owned).collect()
}

/// A world on a database server of its own, so that its files hold nothing but ours.
struct Stage {
    world: World,
    cluster: Option<Cluster>,
    home: tempfile::TempDir,
}

impl Stage {
    async fn set() -> Self {
        let home = tempfile::tempdir().unwrap();
        let cluster = Cluster::start(&home.path().join("database")).unwrap();
        let database_url = cluster.fresh_database("cf_canary");
        let mut connection = PgConnection::connect(&database_url).await.unwrap();
        MIGRATIONS.run(&mut connection).await.unwrap();
        connection.close().await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let config = simulator::Config {
            state_dir: Some(home.path().join("simulator")),
            ..simulator_config(address)
        };
        let simulator = Simulator::start(config).await.unwrap();
        let service = support::serve(listener, &database_url, &simulator, Setup::default()).await;
        let mut world = World {
            service: Some(service),
            simulator,
            database_url,
            address,
            http: reqwest::Client::new(),
        };
        walk::make_keys(&world).await;
        world.stop_service().await;
        Self {
            world,
            cluster: Some(cluster),
            home,
        }
    }

    fn log(&self) -> std::path::PathBuf {
        self.home.path().join("service.log")
    }

    /// Ends everything, and removes the database, which may be elsewhere (see [`Cluster::start`]).
    async fn strike(mut self) {
        self.world.stop_service().await;
        self.world.simulator.stop().await;
        drop(self.cluster.take());
        if let Ok(elsewhere) = fs::canonicalize(self.home.path().join("database/postgres")) {
            fs::remove_dir_all(elsewhere).unwrap();
        }
    }
}

/// What must be found nowhere.
fn needles_everywhere() -> Vec<Needle> {
    let mut all = canaries::card_needles();
    all.extend(needles("the long CVC", LONG_CVC));
    for before in [
        "cvc\":\"",
        "cvc\": \"",
        "cvc\\\":\\\"",
        "cvc]=",
        "cvc%5D=",
        "cvc\":",
        "cvc=",
    ] {
        let what = "the CVC".to_owned();
        let bytes = format!("{before}{CVC}").into_bytes();
        all.push(Needle { what, bytes });
    }
    for kind in walk::all_kinds() {
        all.extend(needles("a key of ours", &walk::secret_of(kind)));
    }
    for merchant in fixtures::MERCHANTS {
        let webhook = sandbox::webhook_secret(&seal_key(), merchant.id);
        all.extend(needles("a webhook's secret", webhook.expose_secret()));
        all.extend(needles(
            "Stripe's key",
            &fixtures::simulator_key(merchant.id),
        ));
    }
    all.extend(needles("the seal key", &hex::encode(seal_key().expose())));
    all.extend(needles("the signing key", &hex::encode(SIGNING_KEY)));
    all.extend(needles("a client secret", told::CLIENT_SECRET));
    all
}

fn card(number: &str, cvc: &str) -> Value {
    json!({
        "amount": 2000, "currency": "usd", "confirm": true, "return_url": "https://your.website",
        "payment_method_data": {"type": "card", "card": {"number": number, "exp_month": "12", "exp_year": "2034", "cvc": cvc}},
    })
}

/// The same as a form.
fn card_form(number: &str, cvc: &str) -> [(String, String); 8] {
    let pairs = [
        ("amount", "2000"),
        ("currency", "usd"),
        ("confirm", "true"),
        ("payment_method_data[type]", "card"),
        ("payment_method_data[card][number]", number),
        ("payment_method_data[card][exp_month]", "12"),
        ("payment_method_data[card][exp_year]", "2034"),
        ("payment_method_data[card][cvc]", cvc),
    ];
    pairs.map(|(name, text)| (name.to_owned(), text.to_owned()))
}

/// Payments as they should be made, through both renderings: the card goes to Stripe and nowhere else. Some while Stripe
/// fails in one of its ways.
async fn pay_with_cards(world: &World, heard: &mut Heard, canaries: &mut Canaries) {
    let key = walk::secret_of(counterfoil::store::KeyKind::StripeSecret);
    let faults = [
        None,
        Some(("payment_methods", "status_500")),
        Some(("payment_methods", "drop_after")),
        Some(("payment_methods", "status_429")),
        Some(("payment_intents", "status_500_after")),
        Some(("payment_intents", "drop_before")),
    ];
    for (round, fault) in faults.into_iter().enumerate() {
        if let Some((path, what)) = fault {
            let fault = json!({"kind": what, "path_prefix": format!("/v1/{path}"), "method": "POST", "times": 1});
            world.sim(Method::POST, "faults", Some(fault)).await;
        }
        let at = format!("a card, Stripe {fault:?}");
        let unknown = canaries.next(&at).digits;
        let request = || world.post("/v1/payment_intents").bearer_auth(&key);
        let accepted = request()
            .header("idempotency-key", format!("canary-{round}"))
            .json(&card(ACCEPTED, CVC));
        heard.send(&at, true, accepted).await;
        heard
            .send(&at, true, request().json(&card(&unknown, LONG_CVC)))
            .await;
        heard
            .send(&at, true, request().json(&card(ACCEPTED, LONG_CVC)))
            .await;
        heard
            .send(&at, true, walk::form(request(), &card_form(ACCEPTED, CVC)))
            .await;
        heard
            .send(&at, true, walk::form(request(), &card_form(&unknown, CVC)))
            .await;
        // Broken off in the middle, and not at all what it is called.
        let text = card(&unknown, CVC).to_string();
        let broken = request()
            .header("content-type", "application/json")
            .body(text[..text.len() - 9].to_owned());
        heard.send(&at, true, broken).await;
        let odd = request()
            .header("content-type", "text/csv")
            .body(text.clone());
        heard.send(&at, true, odd).await;
        let wrong = request()
            .header("content-type", "application/json")
            .body(format!("[{text}]"));
        heard.send(&at, true, wrong).await;
        world.sim(Method::DELETE, "faults", None).await;
    }
}

/// Card numbers that reached Stripe by another way, its dashboard say: asked for, listed, adopted and told by its webhooks.
async fn seen_at_stripe(world: &World, heard: &mut Heard, number: &str) {
    let key = walk::secret_of(counterfoil::store::KeyKind::StripeSecret);
    let made = [
        ("amount", "3000"),
        ("currency", "usd"),
        ("description", number),
        ("metadata[card]", number),
        ("statement_descriptor", "CANARY"),
        ("payment_method", "pm_card_visa"),
        ("confirm", "true"),
    ];
    let (status, intent) = send(walk::form(
        world.stripe(Method::POST, "/v1/payment_intents"),
        &made,
    ))
    .await;
    assert_eq!(status, 200, "{intent}");
    let id = intent["id"].as_str().unwrap();
    for path in [
        format!("/v1/payment_intents/{id}"),
        "/v1/payment_intents?limit=100".into(),
        "/v1/events?limit=100".into(),
    ] {
        let request = world
            .get(&path)
            .bearer_auth(&key)
            .header("stripe-version", "2023-08-16");
        heard
            .send(&format!("GET {path} of Stripe's own"), true, request)
            .await;
    }
    let note = [("metadata[adopted]", "yes")];
    let request = world
        .post(&format!("/v1/payment_intents/{id}"))
        .bearer_auth(&key);
    let adopted = heard
        .send("adopting", true, walk::form(request, &note))
        .await;
    assert_eq!(adopted["metadata"]["adopted"], "yes", "{adopted}");
}

/// The program's own exports.
fn exports(world: &World) -> Vec<(String, Vec<u8>)> {
    let commands: [&[&str]; 11] = [
        &["events", "tail", "-n", "100000", "--json"],
        &["events", "tail", "-n", "100000"],
        &["events", "show", "9", "--merchant", "acme", "--json"],
        &["parked", "list", "--all", "--json"],
        &["export", "events", "--merchant", "acme"],
        &[
            "export",
            "events",
            "--merchant",
            "acme",
            "--format",
            "ndjson",
        ],
        &["export", "journal", "--merchant", "acme"],
        &["export", "balances", "--merchant", "acme"],
        &["ledger", "journal", "--merchant", "acme"],
        &["ledger", "chart", "show", "--merchant", "acme"],
        &["ledger", "trial-balance", "--merchant", "acme", "--json"],
    ];
    let run = |command: &&[&str]| {
        let output = program(world)
            .args(*command)
            .env("COUNTERFOIL_LOG", "trace")
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{command:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        (command.join(" "), [output.stdout, output.stderr].concat())
    };
    commands.iter().map(run).collect()
}

/// Every operation, with a canary in every place.
async fn walk_through(
    world: &World,
    things: &Things,
    heard: &mut Heard,
    canaries: &mut Canaries,
) -> usize {
    let mut sent = 0;
    for operation in walk::operations() {
        for place in operation.places() {
            if is_an_id(&operation, &place) {
                continue;
            }
            let at = format!("{} {}, {place:?}", operation.method, operation.path);
            let canary = canaries.next(&at);
            let request = operation.request(world, things, &place, &canary.written);
            heard
                .send(&at, shows_a_client_secret(&operation), request)
                .await;
            sent += 1;
        }
    }
    sent
}

/// Planted bugs, each of which was seen where it ends up: a description that is not looked through (rows, the database's files, its
/// log of changes, exports); a body, Stripe's key or a caller's `Authorization` in a line of the log; the path instead of the route in
/// the metrics; a webhook that is kept as it came; Stripe's answers taken as they are; the whole number instead of the last four
/// digits in the simulator.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_secret_that_is_sent_anywhere_is_kept_logged_or_told() {
    let mut stage = Stage::set().await;
    let log = File::options()
        .create(true)
        .append(true)
        .open(stage.log())
        .unwrap();
    let mut talkative = program(&stage.world);
    talkative
        .env("COUNTERFOIL_LOG", "trace")
        .env("COUNTERFOIL_LOG_FORMAT", "json")
        .stdout(log.try_clone().unwrap())
        .stderr(log);
    let process = Process::logging(talkative, stage.world.address);
    let process = process.ready(&stage.world).await;
    let mut canaries = Canaries::default();
    let mut heard = Heard {
        search: Search::new(needles_everywhere()),
        secrets: BTreeSet::new(),
        wrong: Vec::new(),
        by_status: [0; 6],
    };
    let world = &stage.world;
    let things = Things::made(world).await;
    pay_with_cards(world, &mut heard, &mut canaries).await;
    let elsewhere = canaries.next(DASHBOARD);
    seen_at_stripe(world, &mut heard, &elsewhere.written).await;
    let paid = support::card_payment(4000, "usd", ACCEPTED);
    let (_, intent) = send(world.pay("/v1/payment_intents", paid)).await;
    let (_, intent) = send(world.stripe(
        Method::GET,
        &format!("/v1/payment_intents/{}", intent["id"].as_str().unwrap()),
    ))
    .await;
    for text in told::deliver_all(world, &intent, &mut canaries).await {
        heard
            .search
            .bytes("the answer to a webhook", text.as_bytes());
    }
    let sent = walk_through(world, &things, &mut heard, &mut canaries).await;
    for path in ["/metrics", "/healthz", "/readyz"] {
        heard.send(path, false, world.get(path)).await;
    }
    until("all webhooks were taken up", async || {
        let waiting =
            "select count(*) from webhook_inbox where applied_at is null and attempts = 0";
        let mut connection = PgConnection::connect(&world.database_url).await.unwrap();
        sqlx::query_scalar::<_, i64>(waiting)
            .fetch_one(&mut connection)
            .await
            .unwrap()
            == 0
    })
    .await;
    assert!(sent > 1000, "only {sent} were sent");
    assert!(
        heard.by_status[2] > 200 && heard.by_status[4] > 500,
        "{:?}",
        heard.by_status
    );
    assert!(
        heard.secrets.len() > 5,
        "client secrets were told: {:?}",
        heard.secrets
    );
    process.kill();
    let (hits, wrong) = (
        std::mem::take(&mut heard.search.hits),
        std::mem::take(&mut heard.wrong),
    );
    let kept = look_through(&mut stage, &heard.secrets, &canaries).await;
    let all: Vec<String> = hits
        .iter()
        .chain(&kept)
        .map(|hit| shown(hit, &canaries))
        .chain(wrong)
        .collect();
    stage.strike().await;
    assert!(
        all.is_empty(),
        "{} are wrong:\n{}",
        all.len(),
        all.join("\n")
    );
}

fn shown(hit: &Hit, canaries: &Canaries) -> String {
    let place = canaries.place(&hit.around);
    format!(
        "{} holds {}, sent at [{place}]: …{}…",
        hit.sink,
        hit.what,
        hit.around.escape_debug()
    )
}

/// Looks through everything that is left once the service has ended.
async fn look_through(stage: &mut Stage, told: &BTreeSet<String>, canaries: &Canaries) -> Vec<Hit> {
    let mut all = needles_everywhere();
    all.extend(
        told.iter()
            .take(40)
            .flat_map(|secret| needles("a client secret that was told", secret)),
    );
    let mut kept = Search::new(all);
    let log = fs::read(stage.log()).unwrap();
    assert!(
        log.len() > 100_000 && log.windows(7).any(|it| it == b"\"TRACE\""),
        "the log is not talkative"
    );
    kept.bytes("the log", &log);
    for (command, printed) in exports(&stage.world) {
        kept.bytes(&command, &printed);
    }
    stage.world.restart(Setup::default()).await;
    let opened = kept.database(&stage.world).await;
    assert!(opened > 20, "only {opened} seals were opened");
    stage.world.stop_service().await;
    let mut owner = PgConnection::connect(&stage.world.database_url)
        .await
        .unwrap();
    sqlx::query("checkpoint").execute(&mut owner).await.unwrap();
    let own_files: String = sqlx::query_scalar(
        "select 'base/' || oid from pg_database where datname = current_database()",
    )
    .fetch_one(&mut owner)
    .await
    .unwrap();
    owner.close().await.unwrap();
    let data = stage.home.path().join("database/postgres/data");
    let before = kept.looked_through;
    kept.files("the log of changes", &data.join("pg_wal"));
    kept.files("the database's files", &data.join(own_files));
    assert!(
        kept.looked_through - before > 10 << 20,
        "only {} bytes",
        kept.looked_through - before
    );
    kept.hits.extend(at_the_simulator(
        &stage.home.path().join("simulator"),
        canaries,
    ));
    std::mem::take(&mut kept.hits)
}

/// The simulator knows what Stripe knows, but no card numbers: none that were a card's. What we put there ourselves, as somebody
/// at Stripe's dashboard would, is there.
fn at_the_simulator(state: &Path, canaries: &Canaries) -> Vec<Hit> {
    let mut search = Search::new(canaries::card_needles());
    search.files("the simulator's state", state);
    assert!(search.looked_through > 10_000);
    search
        .hits
        .retain(|hit| canaries.place(&hit.around) != DASHBOARD);
    search.hits
}
