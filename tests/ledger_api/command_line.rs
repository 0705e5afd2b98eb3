//! `counterfoil export` and `counterfoil ledger` as a person runs them: the same as the API tells, whole files or none, and a
//! sentence and an exit code where there is nothing to tell.

use super::*;
use crate::finance::{Business, business, caught_up, lines_of};
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// The seal key of the tests, as it is configured.
const SEAL_KEY: &str = "0707070707070707070707070707070707070707070707070707070707070707";

fn counterfoil(world: &World, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_counterfoil"))
        .args(arguments)
        .env_clear()
        .env("DATABASE_URL", &world.database_url)
        .env("COUNTERFOIL_SEAL_KEY", SEAL_KEY)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// What it wrote, where it ended well.
pub fn well(world: &World, arguments: &[&str]) -> String {
    let output = counterfoil(world, arguments);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {error}");
    String::from_utf8(output.stdout).unwrap()
}

fn files(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap().map(Result::unwrap);
    entries
        .map(|it| it.file_name().into_string().unwrap())
        .collect()
}

/// Planted bug: a file that is made before it is known whether there is anything to write.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_exported_on_the_command_line_is_what_the_api_exports() {
    let world = World::start().await;
    let Business { order, intent } = business(&world).await;
    let at = get(&world, FINANCE, "/balances").await.expect(200)["position"].to_string();
    let folder = tempfile::tempdir().unwrap();
    for (what, more) in [
        ("journal", vec![]),
        ("journal", vec!["--order", "E-1"]),
        (
            "journal",
            vec!["--account", "income:sales", "--currency", "usd", "--chart"],
        ),
        ("balances", vec!["--chart"]),
        ("events", vec!["--order", &order]),
    ] {
        let mut query = format!("as_of={at}");
        for pair in more.chunks(2) {
            let value = pair.get(1).copied().unwrap_or("true");
            let value = if value == "E-1" {
                order.as_str()
            } else {
                value
            };
            query += &format!("&{}={value}", pair[0].trim_start_matches("--"));
        }
        for (form, media) in [("csv", "text/csv"), ("ndjson", "application/x-ndjson")] {
            let path = format!("/ledger/v1/exports/{what}?{query}");
            let asked = world
                .get(&path)
                .bearer_auth(FINANCE)
                .header("Accept", media);
            let told = ask(asked).await;
            assert_eq!(told.status, 200, "{}", told.text);
            let place = folder.path().join(format!("{what}.{form}"));
            let fixed = [
                "export",
                what,
                "--merchant",
                "acme",
                "--as-of",
                &at,
                "--format",
                form,
            ];
            let arguments = [&fixed[..], &more].concat();
            assert_eq!(well(&world, &arguments), told.text, "{arguments:?}");
            let output = ["--output", place.to_str().unwrap()];
            assert_eq!(well(&world, &[&arguments[..], &output].concat()), "");
            assert_eq!(std::fs::read_to_string(&place).unwrap(), told.text);
            assert_eq!(files(folder.path()), [format!("{what}.{form}")]);
            std::fs::remove_file(&place).unwrap();
        }
    }
    let place = folder.path().join("none.csv");
    for (arguments, why) in [
        (
            vec!["journal", "--as-of", "999999"],
            "the ledger ends at position",
        ),
        (
            vec!["events", "--as-of", "2999-01-01T00:00:00Z"],
            "still to come",
        ),
        (
            vec!["balances", "--as-of", "0"],
            "the ledger begins after that",
        ),
        (vec!["balances", "--period", "2999-01"], "has not begun"),
        (
            vec!["journal", "--order", "nobody's"],
            "no order and no payment is called",
        ),
        (
            vec!["journal", "--order", &intent],
            "is a payment and no order",
        ),
        (
            vec![
                "journal",
                "--recorded-from",
                "2020-01-02T00:00:00Z",
                "--recorded-before",
                "2020-01-01T00:00:00Z",
            ],
            "not before the time until which",
        ),
        (vec!["journal", "--account", "assets:gold"], "assets:gold"),
        (vec!["events", "--format", "xlsx"], "xlsx"),
    ] {
        let whose = ["--merchant", "acme", "--output", place.to_str().unwrap()];
        let output = counterfoil(&world, &[&["export"], &arguments[..], &whose].concat());
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {error}");
        assert!(error.contains(why), "{arguments:?}: {error}");
        assert_eq!(files(folder.path()), [""; 0], "{arguments:?}");
    }
    world.stop_audited().await;
}

/// Planted bug: a chart that is read as it stands, whatever `--as-of` says.
#[tokio::test(flavor = "multi_thread")]
async fn the_chart_and_the_figures_are_set_and_read_on_the_command_line() {
    let world = World::start().await;
    let Business { order, intent } = business(&world).await;
    let at = get(&world, FINANCE, "/balances").await.expect(200)["position"].to_string();
    let by = [
        "--merchant",
        "acme",
        "--as",
        "ada",
        "--because",
        "our books",
    ];
    let chart = ["ledger", "chart"];
    let set = ["set", "income:sales", "8400", "Sales"];
    well(&world, &[&chart[..], &set, &by].concat());
    let show = ["show", "--merchant", "acme", "--json"];
    let shown = |more: &[&str]| {
        let shown = lines_of(&well(&world, &[&chart[..], &show, more].concat()));
        let sales = shown.into_iter().find(|it| it["account"] == "income:sales");
        sales.unwrap()["code"].clone()
    };
    assert_eq!(shown(&[]), "8400");
    assert_eq!(shown(&["--as-of", &at]), Value::Null);
    caught_up(&world).await;
    let balances = ["export", "balances", "--merchant", "acme", "--chart"];
    let output = counterfoil(&world, &balances);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("assets:stripe:balance has no name in the merchant's chart"));
    assert!(String::from_utf8_lossy(&output.stdout).contains("income:sales,8400,Sales,true,usd"));
    let clear = ["clear", "income:sales"];
    well(&world, &[&chart[..], &clear, &by].concat());
    assert_eq!(shown(&[]), Value::Null);
    let card = ["set", "income:sales", "8400", "4242 4242 4242 4242"];
    let refused = counterfoil(&world, &[&chart[..], &card, &by].concat());
    assert_eq!(refused.status.code(), Some(2));

    let whose = ["--merchant", "acme", "--json"];
    for (what, name) in [("order", "E-1"), ("order", &order), ("payment", &intent)] {
        let explain = format!("explain-{what}");
        let told = lines_of(&well(
            &world,
            &[&["ledger", &explain, name], &whose[..]].concat(),
        ));
        let path = match what {
            "order" => format!("/orders/{order}/explain"),
            _ => format!("/payments/{intent}/explain"),
        };
        let figures = get(&world, FINANCE, &path).await.expect(200)["figures"].clone();
        let figures = figures.as_array().unwrap();
        assert_eq!(told.len(), figures.len());
        for (it, known) in told.iter().zip(figures) {
            assert_eq!(
                (&it["figure"], &it["amount_minor"]),
                (&known["figure"], &known["amount_minor"])
            );
        }
    }
    let words = well(
        &world,
        &["ledger", "explain-order", "E-1", "--merchant", "acme"],
    );
    assert!(
        words.contains("due") && words.contains("OrderPaid of order"),
        "{words}"
    );
    let nobody = counterfoil(
        &world,
        &["ledger", "explain-order", "E-9", "--merchant", "acme"],
    );
    assert_eq!(nobody.status.code(), Some(2));
    // The books do not balance: that is another ending than not knowing.
    let trial = ["ledger", "trial-balance", "--merchant", "acme"];
    assert!(well(&world, &trial).contains("usd: "));
    world.stop_audited().await;
}

/// Planted bug: asking the books of a merchant that there is none of, which are empty.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_shown_of_a_merchant_that_there_is_none_of() {
    let world = World::start().await;
    for arguments in [
        &["ledger", "balances"][..],
        &["ledger", "journal"],
        &["ledger", "explain", "assets:bank", "usd"],
        &["ledger", "period", "2020-01"],
        &["ledger", "chart", "show"],
        &["export", "journal"],
        &["export", "balances"],
        &["export", "events"],
    ] {
        let output = counterfoil(&world, &[arguments, &["--merchant", "nobody"]].concat());
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(
            !output.status.success() && output.stdout.is_empty(),
            "{arguments:?}"
        );
        assert!(
            error.contains("there is no merchant nobody"),
            "{arguments:?}: {error}"
        );
    }
    world.stop().await;
}

/// Planted bugs: a line that is printed whether anybody reads or not; an export that fails where nobody reads.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_stops_reading_a_pipe_sees_no_error() {
    let world = World::start().await;
    business(&world).await;
    for arguments in [
        vec!["export", "events", "--merchant", "acme"],
        vec!["ledger", "journal", "--merchant", "acme"],
        vec!["inbox", "list", "--all"],
        vec!["audit", "verify"],
        vec!["parked", "list"],
        vec!["bank", "lines", "--merchant", "acme"],
    ] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_counterfoil"))
            .args(&arguments)
            .env_clear()
            .env("DATABASE_URL", &world.database_url)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {error}");
        assert!(!error.contains("panicked"), "{error}");
    }
    world.stop().await;
}
