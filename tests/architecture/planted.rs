//! The rules themselves: each sees what breaks it, and lets its neighbour pass.

use super::*;

fn breaks(rule: Rule, path: &str, line: &str) {
    assert!(rule(path, line), "not seen in {path}: {line}");
}

fn passes(rule: Rule, path: &str, line: &str) {
    assert!(!rule(path, line), "wrongly seen in {path}: {line}");
}

#[test]
fn the_rule_of_pure_aggregates_sees_a_clock() {
    let rule = reads_the_world;
    breaks(rule, "aggregates/src/order/mod.rs", "let at = Utc::now();");
    passes(
        rule,
        "aggregates/src/order/mod.rs",
        "recorded_at: DateTime<Utc>,",
    );
    passes(rule, "src/use_cases/mod.rs", "let at = Utc::now();");
}

#[test]
fn the_rules_of_doors_see_a_neighbour_and_a_short_cut() {
    let (shop, rule) = ("src/doors/shop/mod.rs", names_another_door);
    breaks(rule, shop, "use crate::doors::payment_intents::Answer;");
    breaks(rule, shop, "use super::super::checkout;");
    breaks(rule, shop, "use crate::doors::{firewall, offers};");
    passes(rule, shop, "use crate::doors::shop::request;");
    passes(rule, shop, "let payment_intents = answer.len();");
    passes(
        rule,
        "src/doors/mod.rs",
        ".merge(super::doors::shop::routes())",
    );
    let rule = reaches_past_the_use_cases;
    breaks(rule, shop, "use crate::gateway::Gateway;");
    breaks(rule, "src/webhooks/mod.rs", "sqlx::query(\"select 1\")");
    passes(rule, shop, "payment_gateway: Option<String>,");
    passes(rule, "src/ops/serve.rs", "use crate::gateway::Gateway;");
}

#[test]
fn the_rules_of_layers_see_an_arrow_that_points_outwards() {
    let rule = knows_who_stands_on_it;
    breaks(rule, "src/http/body.rs", "use crate::doors::shop;");
    passes(
        rule,
        "src/http/body.rs",
        "use crate::http::problem::Problem;",
    );
    let rule = speaks_a_wire_format_inside;
    breaks(rule, "src/use_cases/payments.rs", "use axum::Json;");
    breaks(rule, "src/gateway/mod.rs", "use crate::http::body;");
    passes(rule, "src/doors/shop/mod.rs", "use axum::Json;");
}

#[test]
fn the_rule_of_routes_sees_one_that_no_list_knows() {
    let (shop, rule) = ("src/doors/shop/mod.rs", hides_a_route);
    breaks(rule, shop, ".route(\"/api/v1/shop/hidden\", get(hidden))");
    breaks(rule, "src/service.rs", "router.nest(\"/x\", other)");
    passes(rule, shop, ".get(\"/api/v1/shop/listed\", listed)");
    passes(
        rule,
        "src/http/routes.rs",
        "self.router.route(path, handler)",
    );
    passes(
        rule,
        "simulator/src/server.rs",
        ".route(\"/_sim\", get(it))",
    );
}

#[test]
fn the_rules_of_one_place_each_see_a_second_place() {
    let rule = names_async_stripe_outside;
    breaks(
        rule,
        "src/use_cases/mod.rs",
        "use stripe_core::refund::CreateRefund;",
    );
    breaks(
        rule,
        "simulator/src/lib.rs",
        "let x: stripe_types::Currency;",
    );
    passes(
        rule,
        "src/gateway/client.rs",
        "use stripe_core::refund::CreateRefund;",
    );
    passes(
        rule,
        "src/webhooks/mod.rs",
        "crate::webhooks::stripe::routes()",
    );
    let rule = changes_the_log;
    breaks(
        rule,
        "projections/src/fold.rs",
        "\"INSERT  INTO events (payload)\"",
    );
    breaks(
        rule,
        "src/store/mod.rs",
        "\"update events set payload = $1\"",
    );
    passes(
        rule,
        "src/store/inbox.rs",
        "\"insert into events_seen (id)\"",
    );
    passes(
        rule,
        "eventstore/src/writer/sql.rs",
        "\"insert into events (payload)\"",
    );
}

#[test]
fn the_rules_of_amounts_see_a_float_and_a_cast() {
    breaks(
        holds_a_float,
        "projections/src/fold.rs",
        "let rate: f64 = 0.5;",
    );
    passes(holds_a_float, "src/http/observe.rs", "let rate: f64 = 0.5;");
    let (shop, cast) = ("src/doors/shop/mod.rs", |to: &str| {
        format!("let x = amount.minor() as {to};")
    });
    breaks(casts_an_amount, shop, &cast("i64"));
    breaks(casts_an_amount, shop, &cast("usize"));
    passes(casts_an_amount, shop, &cast("Text"));
    passes(casts_an_amount, shop, "let x = count as u64;");
}

#[test]
fn the_rules_of_readers_see_what_is_left_over_and_an_unwrap() {
    breaks(is_left_over, "src/app.rs", &["to", "do!()"].concat());
    passes(is_left_over, "src/app.rs", "let todo = list();");
    breaks(unwraps, "src/app.rs", "let x = list.first().unwrap();");
    breaks(
        unwraps,
        "eventstore/src/lib.rs",
        "let x = list.first().unwrap();",
    );
    passes(
        unwraps,
        "src/config/tests.rs",
        "let x = list.first().unwrap();",
    );
    passes(
        unwraps,
        "src/app.rs",
        "let x = list.first().unwrap_or_default();",
    );
}

#[test]
fn each_rule_about_manifests_sees_what_breaks_it() {
    let planted = "[package]\nname = \"x\"\n[dependencies]\nserde.workspace = true\nsimulator.workspace = true\n\
                   sqlx = \"0.8\"\n\n[dev-dependencies]\ncluster.workspace = true\neventstore = { path = \"..\" }\n";
    assert_eq!(
        wrong_arrows(planted, &[]),
        ["dependencies: simulator", "dev-dependencies: eventstore"]
    );
    assert_eq!(wrong_arrows(planted, &["simulator", "eventstore"]), [""; 0]);
    assert_eq!(worldly(planted), ["sqlx"]);
}

#[test]
fn comments_and_tests_of_a_file_are_not_its_code() {
    let text = "use a; // sqlx\n/// sqlx\nlet u = \"http://x\"; sqlx();\n#[cfg(test)]\nmod tests { use sqlx; }\n";
    let lines: Vec<_> = code(text)
        .filter(|(_, line)| names(line, "sqlx"))
        .map(|(number, _)| number)
        .collect();
    assert_eq!(lines, [3]);
}

#[test]
fn a_file_over_the_limit_is_seen() {
    assert!(is_too_long(&"\n".repeat(LINES_PER_FILE_MAX + 1)));
    assert!(!is_too_long(&"\n".repeat(LINES_PER_FILE_MAX)));
}
