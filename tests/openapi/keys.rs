//! The matrix of keys: every operation of the document, with every kind of key that it must refuse. The document is held to the
//! router (see `main`), so a route that is added is asked here too, or fails for want of an entry.
//!
//! Planted bugs that turn this red: a balance that is shown without asking for a key; a shop's key that is not asked for its
//! scope; a checkout's customer who is looked up at another merchant.

use counterfoil::store::{KeyKind, NewKey, Scope};
use reqwest::{Method, RequestBuilder};
use serde_json::Value;
use std::collections::BTreeSet;

use super::operations;
use super::support::description::resolved;
use super::support::{World, described};
use super::things::{Things, quiet_world};

/// How a key of a scheme of the document is presented, and whose it is.
pub struct Scheme {
    name: &'static str,
    kind: KeyKind,
    header: Header,
    /// Acme's, Rival's, and one of Acme's that is for something else.
    pub acme: &'static str,
    rival: &'static str,
    other: &'static str,
}

#[derive(Clone, Copy)]
enum Header {
    Bearer,
    Basic,
    Named(&'static str),
}

const SCHEMES: &[Scheme] = &[
    Scheme {
        name: "offersToken",
        kind: KeyKind::Offers,
        header: Header::Bearer,
        acme: "offers-acme",
        rival: "offers-rival",
        other: "cl-acme",
    },
    Scheme {
        name: "shopKey",
        kind: KeyKind::Shop,
        header: Header::Named("x-api-key"),
        acme: "123456789",
        rival: "123456780",
        other: "bokamera-acme",
    },
    Scheme {
        name: "customerToken",
        kind: KeyKind::Customer,
        header: Header::Bearer,
        acme: "customer-9",
        rival: "customer-8",
        other: "sk_test_acme",
    },
    Scheme {
        name: "checkoutKey",
        kind: KeyKind::Bokamera,
        header: Header::Named("x-api-key"),
        acme: "bokamera-acme",
        rival: "bokamera-rival",
        other: "123456789",
    },
    Scheme {
        name: "commerceLayerToken",
        kind: KeyKind::CommerceLayer,
        header: Header::Bearer,
        acme: "cl-acme",
        rival: "cl-rival",
        other: "offers-acme",
    },
    Scheme {
        name: "ledgerKey",
        kind: KeyKind::Native,
        header: Header::Bearer,
        acme: "admin-acme",
        rival: "admin-rival",
        other: "sk_test_acme",
    },
    Scheme {
        name: "stripeKey",
        kind: KeyKind::StripeSecret,
        header: Header::Bearer,
        acme: "sk_test_acme",
        rival: "sk_test_rival",
        other: "offers-acme",
    },
    Scheme {
        name: "stripeKeyAsUser",
        kind: KeyKind::StripeSecret,
        header: Header::Basic,
        acme: "sk_test_acme",
        rival: "sk_test_rival",
        other: "cl-acme",
    },
];

/// What asks for no key: what is public, what is for the machine around the service, and what is signed instead.
const OPEN: &[&str] = &[
    "/docs",
    "/docs/{file}",
    "/healthz",
    "/metrics",
    "/openapi.json",
    "/payment/stripe/v1/checkout/confirmed",
    "/readyz",
    "/webhooks/stripe/{merchant}",
];

const SCOPES: [Scope; 6] = [
    Scope::PaymentsRead,
    Scope::PaymentsWrite,
    Scope::LedgerRead,
    Scope::Admin,
    Scope::Approve,
    Scope::Operator,
];

/// A key that nobody has.
const UNKNOWN: &str = "nobody-has-this-key";
const REVOKED: &str = "this-key-was-revoked";

/// A scheme of an operation, and the scopes that the operation asks of its key.
pub type Asked = (&'static Scheme, Vec<Scope>);

fn scheme(name: &str) -> &'static Scheme {
    let found = SCHEMES.iter().find(|it| it.name == name);
    found.unwrap_or_else(|| panic!("the matrix has no keys of the scheme {name}"))
}

/// The ways to present keys to an operation; each is one or more schemes together.
pub fn ways(operation: &'static Value) -> Vec<Vec<Asked>> {
    let of = |(name, scopes): (&String, &Value)| {
        let scopes: Vec<String> = serde_json::from_value(scopes.clone()).unwrap();
        let scopes = scopes.iter().map(|it| it.parse().unwrap()).collect();
        (scheme(name), scopes)
    };
    let ways = operation["security"].as_array().unwrap();
    ways.iter()
        .map(|way| way.as_object().unwrap().iter().map(of).collect())
        .collect()
}

/// The operation's request as the document shows it, without any key.
pub fn request(
    world: &World,
    things: &Things,
    (method, path, operation): (&str, &str, &'static Value),
) -> RequestBuilder {
    let method: Method = method.to_ascii_uppercase().parse().unwrap();
    let required = |place: &'static str| {
        let parameters = operation["parameters"].as_array().into_iter().flatten();
        let there = move |it: &&Value| it["required"] == true && it["in"] == place;
        let needed = parameters.map(resolved).filter(there);
        needed.map(|it| {
            let (name, example) = (it["name"].as_str().unwrap(), &it["example"]);
            let example = example.as_str();
            (
                name,
                example.unwrap_or_else(|| panic!("{path}: {name} has no example")),
            )
        })
    };
    let query: Vec<_> = required("query").collect();
    let query = serde_urlencoded::to_string(query).unwrap();
    let mut request = world.request(method, &format!("{}?{query}", things.placed(path)));
    for (name, example) in required("header") {
        request = request.header(name, example);
    }
    match body(operation) {
        Some((media_type, body)) => request
            .header("content-type", media_type)
            .body(things.named(&body.to_string())),
        None => request,
    }
}

/// The first JSON that the document shows as a body.
fn body(operation: &'static Value) -> Option<(&'static str, &'static Value)> {
    let content = operation["requestBody"]["content"].as_object()?;
    let (media_type, said) = content.iter().find(|it| it.0.ends_with("json"))?;
    let several = said["examples"].as_object().into_iter().flatten();
    let mut several = several.map(|(_name, it)| &resolved(it)["value"]);
    let example = several.next_back().or_else(|| said.get("example"));
    Some((media_type, example?))
}

fn with_key(request: RequestBuilder, scheme: &Scheme, key: &str) -> RequestBuilder {
    match scheme.header {
        Header::Bearer => request.bearer_auth(key),
        Header::Basic => request.basic_auth(key, None::<&str>),
        Header::Named(name) => request.header(name, key),
    }
}

/// The request with a key for each scheme of the way; none where `key` says none.
pub fn presented(
    request: RequestBuilder,
    way: &[Asked],
    key: impl Fn(&Asked) -> Option<String>,
) -> RequestBuilder {
    way.iter().fold(request, |request, asked| match key(asked) {
        Some(key) => with_key(request, asked.0, &key),
        None => request,
    })
}

/// Keys that an operation refuses, by what is wrong with them, and the statuses that say so.
fn refused(
    scheme: &Scheme,
    scopes: &[Scope],
) -> Vec<(&'static str, Option<String>, &'static [u16])> {
    let mut refused: Vec<(_, _, &[u16])> = vec![
        ("none", None, &[401]),
        ("unknown", Some(UNKNOWN.to_owned()), &[401]),
        (
            "revoked",
            Some(format!("{REVOKED}-{}", scheme.kind)),
            &[401],
        ),
        ("for something else", Some(scheme.other.to_owned()), &[401]),
        ("too long", Some("k".repeat(600)), &[401]),
    ];
    if scheme.kind == KeyKind::StripeSecret {
        // With an intent's own secret such a key may read that one intent; without it, it is the secret that is missing.
        let publishable = Some("pk_test_acme".to_owned());
        refused.push(("publishable", publishable, &[401, 400]));
    }
    if !scopes.is_empty() {
        refused.push(("too narrow", Some(narrow(scheme.kind, scopes)), &[403]));
    }
    refused
}

/// The name of a key that may do everything but these.
fn narrow(kind: KeyKind, without: &[Scope]) -> String {
    let without: Vec<String> = without.iter().map(Scope::to_string).collect();
    format!("narrow-{kind}-{}", without.join("-").replace(':', "_"))
}

/// Makes the keys that the matrix presents beside the fixtures'.
async fn make_keys(world: &World) {
    let keys = &world.app().store().keys;
    let put = async |kind, secret: &str, scopes: &[Scope]| {
        let key = NewKey {
            key_id: &format!("key_{secret}"),
            secret: &secret.to_owned().into(),
            merchant: &"acme".parse().unwrap(),
            kind,
            scopes,
            customer: (kind == KeyKind::Customer).then_some("customer-9"),
        };
        keys.put_key(&key).await.unwrap();
    };
    let mut made = BTreeSet::new();
    for (scheme, scopes) in operations().iter().flat_map(|it| ways(it.2)).flatten() {
        let revoked = format!("{REVOKED}-{}", scheme.kind);
        if made.insert(revoked.clone()) {
            put(scheme.kind, &revoked, &SCOPES).await;
            assert!(keys.revoke(&format!("key_{revoked}")).await.unwrap());
        }
        let narrow = narrow(scheme.kind, &scopes);
        if !scopes.is_empty() && made.insert(narrow.clone()) {
            let rest: Vec<Scope> = SCOPES
                .into_iter()
                .filter(|it| !scopes.contains(it))
                .collect();
            put(scheme.kind, &narrow, &rest).await;
        }
    }
}

/// The body without what names the one request.
fn same_for_all(text: &str) -> String {
    let mut said: Value = serde_json::from_str(text).unwrap_or_else(|_| text.into());
    if let Some(members) = said.as_object_mut() {
        members.remove("apirequest_oid");
        members.remove("meta");
        members.remove("instance");
        let error = members.get_mut("error").and_then(Value::as_object_mut);
        error.map(|error| error.remove("request_log_url"));
    }
    said.to_string()
}

#[test]
fn what_asks_for_no_key_is_on_the_list_of_what_may() {
    let open: BTreeSet<&str> = operations()
        .into_iter()
        .filter(|(_, _, operation)| operation["security"].as_array().unwrap().is_empty())
        .map(|(_, path, _)| path)
        .collect();
    assert_eq!(open, OPEN.iter().copied().collect());
}

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_refuses_every_key_that_is_not_for_it_and_changes_nothing() {
    let world = quiet_world().await;
    let things = Things::made(&world).await;
    make_keys(&world).await;
    let before = things.everything(&world).await;
    let mut wrong = Vec::new();
    let mut asked = 0;
    for operation in operations() {
        for way in ways(operation.2) {
            for (scheme, scopes) in &way {
                let mut worded = BTreeSet::new();
                for (what, key, statuses) in refused(scheme, scopes) {
                    let request = request(&world, &things, operation);
                    let request = presented(request, &way, |it| {
                        if it.0.name == scheme.name {
                            key.clone()
                        } else {
                            Some(it.0.acme.to_owned())
                        }
                    });
                    let (status, headers, text) = described(request).await;
                    let at = format!("{} {}, {}: {what}", operation.0, operation.1, scheme.name);
                    asked += 1;
                    if !statuses.contains(&status) {
                        wrong.push(format!("{at} → {status} {text}"));
                    }
                    if status == 401 && !headers.contains_key("www-authenticate") {
                        wrong.push(format!("{at}: no WWW-Authenticate"));
                    }
                    if let Some(leak) = things.leak(&text, key.as_deref()) {
                        wrong.push(format!("{at} leaks {leak}: {text}"));
                    }
                    if ["unknown", "revoked", "too long"].contains(&what) {
                        worded.insert(same_for_all(&text));
                    }
                }
                if worded.len() > 1 {
                    let at = format!("{} {}", operation.0, operation.1);
                    wrong.push(format!(
                        "{at} tells apart which keys there were: {worded:?}"
                    ));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(asked > 500, "only {asked} were asked");
    assert_eq!(things.everything(&world).await, before, "something changed");
    world.stop().await;
}

/// Paths that name what every merchant has: its own accounts, its own months.
const OF_EVERYBODY: &[&str] = &[
    "/ledger/v1/accounts/",
    "/ledger/v1/chart/",
    "/ledger/v1/periods/",
];

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_answers_another_merchant_as_if_nothing_were_there() {
    let world = quiet_world().await;
    let things = Things::made(&world).await;
    let before = things.of_acme(&world).await;
    let mut wrong = Vec::new();
    for operation in operations() {
        let at = format!("{} {}", operation.0, operation.1);
        let of_everybody = OF_EVERYBODY.iter().any(|it| operation.1.starts_with(it));
        let asks_for_one = operation.1.contains('{') && !of_everybody
            || body(operation.2).is_some_and(|it| things.is_named_in(it.1));
        for way in ways(operation.2) {
            let as_rival = async |things: &Things| {
                let request = request(&world, things, operation);
                let request = presented(request, &way, |it| Some(it.0.rival.to_owned()));
                let (status, _, text) = described(request).await;
                (status, text)
            };
            let (status, text) = as_rival(&things).await;
            if let Some(leak) = things.leak(&text, None) {
                wrong.push(format!("{at} shows a rival {leak}: {text}"));
            }
            if !asks_for_one {
                continue;
            }
            if !(400..500).contains(&status) {
                wrong.push(format!("{at} answers a rival: {status} {text}"));
            }
            let nothing = things.made_up();
            let (other, missing) = as_rival(&nothing).await;
            let (seen, expected) = (
                things.forgotten(&same_for_all(&text)),
                nothing.forgotten(&same_for_all(&missing)),
            );
            if (status, &seen) != (other, &expected) {
                wrong.push(format!(
                    "{at} tells a rival what there is: {seen} is not {expected}"
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(
        things.of_acme(&world).await,
        before,
        "something of Acme's changed"
    );
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_two_keys_are_asked_for_they_must_be_of_one_merchant() {
    let world = quiet_world().await;
    let things = Things::made(&world).await;
    let before = things.everything(&world).await;
    let mut asked = 0;
    for operation in operations() {
        for way in ways(operation.2).into_iter().filter(|way| way.len() > 1) {
            for (foreign, _) in &way {
                let request = request(&world, &things, operation);
                let request = presented(request, &way, |(scheme, _)| {
                    let same = scheme.name == foreign.name;
                    Some(if same { scheme.rival } else { scheme.acme }.to_owned())
                });
                let (status, _, text) = described(request).await;
                assert_eq!(
                    status, 401,
                    "{} {}, {}: {text}",
                    operation.0, operation.1, foreign.name
                );
                asked += 1;
            }
        }
    }
    assert!(asked > 50, "only {asked} were asked");
    assert_eq!(things.everything(&world).await, before, "something changed");
    world.stop().await;
}
