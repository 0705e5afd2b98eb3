use super::source::FileText;
use super::*;

type Variables<'a> = &'a [(&'a str, &'a str)];

fn read(variables: Variables<'_>) -> Result<Config, ConfigErrors> {
    Config::read(&Environment::of(variables.iter().copied()), None)
}

/// The one error of these variables, as people see it.
fn error(variables: Variables<'_>) -> String {
    let errors = read(variables).unwrap_err().0;
    assert_eq!(errors.len(), 1, "{errors:?}");
    errors[0].to_string()
}

const HEX: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

#[test]
fn without_any_setting_the_sandbox_has_what_it_needs() {
    let config = read(&[]).unwrap();
    assert_eq!(config.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(config.home, PathBuf::from(".counterfoil"));
    assert!(config.database_url.is_none() && config.stripe.default.is_none());
    assert!(config.stripe.named.is_empty() && !config.stripe.any_live());
    assert_eq!(config.timeouts.stripe, Duration::from_secs(20));
    assert_eq!(config.event_poll, Some(Duration::from_secs(300)));
    assert_eq!(config.settle_every, Some(Duration::from_secs(60)));
    assert_eq!(config.reconcile_every, Some(Duration::from_secs(86_400)));
    assert_eq!(
        config.log,
        LogSettings {
            filter: "info,sqlx=warn".into(),
            format: LogFormat::Auto
        }
    );
}

#[test]
fn an_interval_of_zero_switches_the_worker_off() {
    let off = read(&[
        ("COUNTERFOIL_EVENT_POLL_S", "0"),
        ("COUNTERFOIL_SETTLE_EVERY_S", "0"),
        ("COUNTERFOIL_RECONCILE_EVERY_S", "0"),
    ]);
    let off = off.unwrap();
    assert_eq!(
        (off.event_poll, off.settle_every, off.reconcile_every),
        (None, None, None)
    );
}

#[test]
fn an_empty_value_counts_as_not_set() {
    assert!(
        read(&[("DATABASE_URL", ""), ("COUNTERFOIL_LISTEN", "")])
            .unwrap()
            .database_url
            .is_none()
    );
}

#[test]
fn every_wrong_value_is_one_error_that_names_the_variable_and_what_it_wants() {
    let table: &[(&str, &str, &str)] = &[
        (
            "COUNTERFOIL_LISTEN",
            "8080",
            "COUNTERFOIL_LISTEN is `8080`, but must be an address and a port",
        ),
        (
            "COUNTERFOIL_LISTEN",
            "127.0.0.1:99999",
            "must be an address and a port such as 127.0.0.1:8080",
        ),
        (
            "DATABASE_URL",
            "mysql://u:hunter2@h/d",
            "DATABASE_URL (its value is not shown) must be a URL such as postgres://",
        ),
        ("DATABASE_URL", "postgres://", "must be a URL"),
        (
            "STRIPE_SECRET_KEY",
            "hunter2",
            "STRIPE_SECRET_KEY (its value is not shown) must be a secret key of Stripe's",
        ),
        (
            "STRIPE_SECRET_KEY",
            "pk_test_hunter2",
            "this is a publishable key",
        ),
        ("STRIPE_SECRET_KEY", "sk_test_", "must be a secret key"),
        (
            "STRIPE_SECRET_KEY",
            "sk_test_hunter2\nsk",
            "must be a secret key",
        ),
        (
            "STRIPE_ACME_SECRET_KEY",
            "hunter2",
            "STRIPE_ACME_SECRET_KEY (its value",
        ),
        (
            "COUNTERFOIL_SEAL_KEY",
            "hunter2",
            "COUNTERFOIL_SEAL_KEY (its value is not shown) must be 32 random bytes",
        ),
        (
            "COUNTERFOIL_SIGNING_KEY",
            &HEX[2..],
            "COUNTERFOIL_SIGNING_KEY (its value",
        ),
        (
            "COUNTERFOIL_STRIPE_TIMEOUT_MS",
            "20s",
            "is `20s`, but must be a whole number from 100 to 600000",
        ),
        (
            "COUNTERFOIL_DRAIN_TIMEOUT_MS",
            "0",
            "a whole number from 100",
        ),
        (
            "COUNTERFOIL_JOIN_TIMEOUT_MS",
            "-1",
            "a whole number from 100",
        ),
        (
            "COUNTERFOIL_EVENT_POLL_S",
            "86401",
            "a whole number from 0 to 86400",
        ),
        (
            "COUNTERFOIL_CONNECTIONS_MAX",
            "0",
            "a whole number from 1 to",
        ),
        (
            "COUNTERFOIL_LOG",
            "info,=,",
            "COUNTERFOIL_LOG is `info,=,`, but must be directives",
        ),
        (
            "COUNTERFOIL_LOG_FORMAT",
            "xml",
            "must be `auto`, `human` or `json`",
        ),
        (
            "COUNTERFOIL_RATE_LIMIT",
            "a lot",
            "a whole number from 0 to 1000000",
        ),
        (
            "COUNTERFOIL_PUBLIC_URL",
            "pay.example.com",
            "an absolute URL such as https://pay.example.com",
        ),
        (
            "COUNTERFOIL_WEBHOOK_REACH",
            "everywhere",
            "must be `public` or `anywhere`",
        ),
    ];
    for (name, value, expected) in table {
        let said = error(&[(name, value)]);
        assert!(said.contains(expected), "{name}={value}: {said}");
        assert!(!said.contains("hunter2"), "{said}");
    }
}

#[test]
fn all_wrong_values_are_reported_at_once() {
    let wrong = [
        ("COUNTERFOIL_LISTEN", "x"),
        ("STRIPE_SECRET_KEY", "x"),
        ("COUNTERFOIL_SEAL_KEY", "x"),
    ];
    let errors = read(&wrong).unwrap_err();
    assert_eq!(errors.0.len(), 3);
    assert!(
        errors
            .to_string()
            .starts_with("3 of the settings cannot be used:\n  - "),
        "{errors}"
    );
}

#[test]
fn the_public_address_is_an_absolute_url_and_loses_its_slash() {
    let of = |url| read(&[("COUNTERFOIL_PUBLIC_URL", url)]);
    let url = |config: Config| config.public_url;
    assert_eq!(
        url(of("https://pay.example.com/ledger/").unwrap()).as_deref(),
        Some("https://pay.example.com/ledger")
    );
    assert_eq!(url(read(&[]).unwrap()), None);
    for wrong in [
        "",
        "javascript:alert(1)",
        "https://a@b/",
        "https:///x",
        "https://a/?b",
        "https://a/#b",
    ] {
        assert!(of(wrong).is_err() || wrong.is_empty(), "{wrong}");
    }
}

#[test]
fn the_base_of_the_api_is_an_absolute_url_and_gets_its_slash() {
    let with = |base| {
        read(&[
            ("STRIPE_SECRET_KEY", "sk_test_a"),
            ("STRIPE_API_BASE", base),
        ])
    };
    let base = |config: Config| config.stripe.default.unwrap().api_base;
    assert_eq!(
        base(with("http://127.0.0.1:12111").unwrap()),
        "http://127.0.0.1:12111/"
    );
    assert_eq!(
        base(with("https://stripe.example/prefix/").unwrap()),
        "https://stripe.example/prefix/"
    );
    assert_eq!(
        base(read(&[("STRIPE_SECRET_KEY", "sk_test_a")]).unwrap()),
        "https://api.stripe.com/"
    );
    for wrong in [
        "localhost:1",
        "ftp://a/",
        "/v1",
        "https://u:p@a/",
        "https://a/?b",
        "https://a/#b",
        "https:///",
    ] {
        assert!(with(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn a_live_key_never_crosses_a_network_in_clear() {
    // Planted bug that turns this red: taking any http:// base for any key.
    let with = |key, base| read(&[("STRIPE_SECRET_KEY", key), ("STRIPE_API_BASE", base)]);
    assert!(with("sk_live_a", "http://stripe.example/").is_err());
    assert!(with("rk_live_a", "http://10.0.0.1/").is_err());
    assert!(with("sk_test_a", "http://stripe.example/").is_ok());
    assert!(with("sk_live_a", "http://localhost:9/").is_ok());
    assert!(with("sk_live_a", "http://[::1]:9/").is_ok());
    assert!(
        with("sk_live_a", "https://stripe.example/")
            .unwrap()
            .stripe
            .any_live()
    );
    let named = [
        ("STRIPE_ACME_SECRET_KEY", "sk_live_a"),
        ("STRIPE_API_BASE", "http://stripe.example/"),
    ];
    let said = read(&[named[0], named[1], ("STRIPE_SECRET_KEY", "sk_test_a")])
        .unwrap_err()
        .to_string();
    assert!(said.contains("STRIPE_ACME_API_BASE"), "{said}");
}

#[test]
fn each_merchants_account_is_found_by_its_configuration_name() {
    let config = read(&[
        ("STRIPE_SECRET_KEY", "sk_test_default"),
        ("STRIPE_WEBHOOK_SECRET", "whsec_default"),
        ("STRIPE_API_BASE", "http://127.0.0.1:1"),
        ("STRIPE_ACME_SECRET_KEY", "sk_live_acme"),
        ("STRIPE_ACME_WEBHOOK_SECRET", "whsec_acme"),
        ("STRIPE_ACME_API_BASE", "http://127.0.0.1:2"),
        ("STRIPE_NORTH_EU_SECRET_KEY", "rk_test_north"),
        ("STRIPE_PUBLISHABLE_KEY", "pk_test_ignored"),
    ])
    .unwrap();
    let default = config.stripe.default.as_ref().unwrap();
    assert_eq!(
        default.webhook_secret.as_ref().unwrap().expose_secret(),
        "whsec_default"
    );
    assert_eq!(
        config.stripe.named.keys().collect::<Vec<_>>(),
        ["acme", "north_eu"]
    );
    let (acme, north) = (
        &config.stripe.named["acme"],
        &config.stripe.named["north_eu"],
    );
    assert_eq!(
        (acme.secret_key.expose_secret(), acme.api_base.as_str()),
        ("sk_live_acme", "http://127.0.0.1:2/")
    );
    assert!(acme.is_live() && !north.is_live());
    assert_eq!(
        (north.webhook_secret.is_none(), north.api_base.as_str()),
        (true, "http://127.0.0.1:1/")
    );
}

#[test]
fn an_account_without_its_key_is_named() {
    let said = error(&[("STRIPE_ACME_WEBHOOK_SECRET", "whsec_a")]);
    assert!(
        said.starts_with("STRIPE_ACME_SECRET_KEY is missing"),
        "{said}"
    );
    let said = error(&[("STRIPE_API_BASE", "http://127.0.0.1:1")]);
    assert!(said.starts_with("STRIPE_SECRET_KEY is missing"), "{said}");
}

#[test]
fn a_key_is_read_from_hexadecimal_and_from_either_base64() {
    let wanted: Vec<u8> = (0..32).collect();
    let base64 = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    for text in [
        HEX,
        &HEX.to_uppercase(),
        base64,
        base64.trim_end_matches('='),
    ] {
        let config = read(&[("COUNTERFOIL_SEAL_KEY", text)]).unwrap();
        assert_eq!(
            config.seal_key.unwrap().expose().as_slice(),
            wanted,
            "{text}"
        );
    }
    let odd = read(&[(
        "COUNTERFOIL_SEAL_KEY",
        "-_-_-_-_-_-_-_-_-_-_-_-_-_-_-_-_-_-_-_-_-_8",
    )])
    .unwrap();
    assert_eq!(odd.seal_key.unwrap().expose()[0], 0xfb);
}

#[test]
fn the_file_says_the_same_things_and_the_environment_overrules_it() {
    let file = FileText::of(
        r#"
        listen = "0.0.0.0:80"
        home = "/srv/counterfoil"
        database_url = "postgres://db/ledger"
        join_timeout_ms = 2500
        [stripe]
        secret_key = "sk_test_default"
        [stripe.acme]
        secret_key = "sk_test_acme"
        webhook_secret = "whsec_acme"
        "#,
    );
    let environment = Environment::of([
        ("COUNTERFOIL_LISTEN", "localhost:81"),
        ("STRIPE_ACME_SECRET_KEY", "sk_test_x"),
    ]);
    let config = Config::read(&environment, Some(&file)).unwrap();
    assert_eq!(config.listen.to_string(), "127.0.0.1:81");
    assert_eq!(config.home, PathBuf::from("/srv/counterfoil"));
    assert_eq!(config.timeouts.join, Duration::from_millis(2500));
    assert_eq!(
        config.database_url.unwrap().expose_secret(),
        "postgres://db/ledger"
    );
    let acme = &config.stripe.named["acme"];
    assert_eq!(acme.secret_key.expose_secret(), "sk_test_x");
    assert_eq!(
        acme.webhook_secret.as_ref().unwrap().expose_secret(),
        "whsec_acme"
    );
}

#[test]
fn a_slip_in_the_file_is_named_with_its_place_and_without_its_value() {
    let said = |text: &str| {
        Config::read(&Environment::default(), Some(&FileText::of(text)))
            .unwrap_err()
            .to_string()
    };
    let unknown = said("listn = \"hunter2\"\n[stripe.Acme]\nsecret_key = \"sk_test_hunter2\"");
    assert!(unknown.contains("listn in counterfoil.toml"), "{unknown}");
    assert!(
        unknown.contains("stripe.Acme.secret_key in counterfoil.toml"),
        "{unknown}"
    );
    let broken = said("seal_key = hunter2\n");
    assert!(
        broken.contains("counterfoil.toml") && broken.contains("valid TOML (at line 1"),
        "{broken}"
    );
    let wrong = said("listen = 80\nseal_key = \"hunter2\"");
    assert!(
        wrong.contains("listen in counterfoil.toml is `80`"),
        "{wrong}"
    );
    for text in [unknown, broken, wrong] {
        assert!(!text.contains("hunter2"), "{text}");
    }
}

#[test]
fn a_file_that_was_asked_for_must_be_there() {
    let said = FileText::read("/nowhere/counterfoil.toml")
        .err()
        .unwrap()
        .to_string();
    assert!(
        said.contains("COUNTERFOIL_CONFIG is `/nowhere/counterfoil.toml: No such file"),
        "{said}"
    );
}

#[test]
fn secrets_do_not_show_in_debug() {
    let config = read(&[
        ("STRIPE_SECRET_KEY", "sk_test_hunter2"),
        ("STRIPE_WEBHOOK_SECRET", "whsec_hunter2"),
        ("DATABASE_URL", "postgres://u:hunter2@h/d"),
        ("COUNTERFOIL_SEAL_KEY", HEX),
    ])
    .unwrap();
    let shown = format!("{config:?}");
    assert!(
        !shown.contains("hunter2") && !shown.contains("0, 1, 2, 3"),
        "{shown}"
    );
}

#[test]
fn serving_outside_the_sandbox_names_everything_that_is_missing() {
    let errors = read(&[("DATABASE_URL", "postgres://h/d")])
        .unwrap()
        .complete_for_serving()
        .unwrap_err();
    let names: Vec<_> = errors.0.iter().map(|error| error.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "STRIPE_SECRET_KEY",
            "COUNTERFOIL_SEAL_KEY",
            "COUNTERFOIL_SIGNING_KEY"
        ]
    );
    let whole = [
        ("DATABASE_URL", "postgres://h/d"),
        ("STRIPE_ACME_SECRET_KEY", "sk_test_a"),
        ("COUNTERFOIL_SEAL_KEY", HEX),
        ("COUNTERFOIL_SIGNING_KEY", HEX),
    ];
    assert_eq!(read(&whole).unwrap().complete_for_serving(), Ok(()));
}
