//! What is not as the events say is found, named, and mended; what is, is left alone.

use crate::support::World;
use crate::{
    assert_identical, busy_world, caught_up, listed, of_everything, owner, pay, rebuild_with,
    replay, replay_output, settled,
};
use eventstore::{BoxError, Reader, Recorded, Value as Cell};
use projections::rebuild::{Change, Outcome, Refold, Refolds};
use serde_json::{Value, json};
use sqlx::Executor;
use std::collections::BTreeMap;
use uuid::Uuid;

/// Every row of every read model, by table.
async fn rows(world: &World) -> BTreeMap<&'static str, Vec<Value>> {
    let mut all = BTreeMap::new();
    for it in projections::rebuild::projections() {
        let sql = format!("select to_jsonb(t) from {} t order by t::text", it.name());
        let mut owner = owner(world).await;
        let rows = sqlx::query_scalar(&sql).fetch_all(&mut owner).await;
        all.insert(it.name(), rows.unwrap());
    }
    all
}

/// Planted bugs, each seen red here: sums that keep the position of the row pushed last (`RowFold::push`), a row's first time
/// not kept (`keeps_a_time`), histories that are not read again (`Streams::read`).
#[tokio::test(flavor = "multi_thread")]
async fn what_is_rebuilt_is_what_is_live_however_the_log_is_cut_into_pages() {
    let world = busy_world().await;
    let live = rows(&world).await;
    for table in ["orders", "payments", "refunds", "balances", "journal"] {
        assert!(!live[table].is_empty(), "{table} has rows to compare");
    }
    for page in [1, 7, 20_000] {
        let order = of_everything(true);
        let outcome = rebuild_with(&world, Refold::keeping(1), page, &order).await;
        assert_eq!(
            outcome.unwrap(),
            Outcome::Identical,
            "page {page}: {:#?}",
            listed(&world, order.id).await
        );
    }
    // The journal is compared as well: a certificate says of each table what it counted.
    let counted: i64 = sqlx::query_scalar(
        "select sum(rebuilt_rows)::bigint from rebuild_tables where table_name = 'journal'",
    )
    .fetch_one(&mut owner(&world).await)
    .await
    .unwrap();
    assert_eq!(counted, 3 * i64::try_from(live["journal"].len()).unwrap());
    world.stop_audited().await;
}

/// Makes a payment's status wrong, loses a refund, invents an article, and falsifies a line of the journal.
async fn plant(world: &World) {
    let mut owner = owner(world).await;
    for bug in [
        "update payments set status = 'canceled', amount_minor = amount_minor + 1
         where ctid = (select ctid from payments where merchant = 'acme' and status = 'succeeded' order by position limit 1)",
        "delete from refunds where ctid = (select ctid from refunds order by refund_id limit 1)",
        "insert into articles select merchant, gen_random_uuid(), company, 99, name, currency, price_minor, version, position
         from articles limit 1",
        "update journal set debit_minor = debit_minor + 1
         where ctid = (select ctid from journal where debit_minor > 0 order by merchant, ledger_position limit 1)",
    ] {
        let changed = owner.execute(bug).await.unwrap();
        assert_eq!(changed.rows_affected(), 1, "{bug}");
    }
}

/// Planted bugs, each seen red here: `compare` that looks at the rows of one side only, a swap in a dry run.
#[tokio::test(flavor = "multi_thread")]
async fn a_planted_difference_is_named_by_a_dry_run_and_mended_by_a_real_one() {
    let world = busy_world().await;
    let before = rows(&world).await;
    plant(&world).await;
    let planted = rows(&world).await;

    let (code, told) = replay(&world, &["--all", "--dry-run", "--json"]).await;
    assert_eq!(code, 1, "{told:#}");
    assert_eq!(
        (&told["state"], &told["differences"]),
        (&json!("different"), &json!(4))
    );
    let found = |table: &str, what: &str| -> Vec<&Value> {
        let listed = told["listed"].as_array().unwrap().iter();
        listed
            .filter(|it| it["table"] == table && it["what"] == what)
            .collect()
    };
    let columns: Vec<_> = found("payments", "differs")
        .into_iter()
        .map(|it| (it["column"].as_str().unwrap(), &it["live"], &it["rebuilt"]))
        .collect();
    assert_eq!(
        columns,
        [
            ("amount_minor", &json!(2001), &json!(2000)),
            ("status", &json!("canceled"), &json!("succeeded")),
        ]
    );
    assert_eq!(found("refunds", "missing").len(), 1);
    let surplus = found("articles", "surplus");
    assert_eq!(surplus[0]["live"]["number"], 99);
    assert_eq!(found("journal", "differs")[0]["column"], "debit_minor");
    assert_eq!(told["listed"].as_array().unwrap().len(), 5, "{told:#}");
    assert_eq!(rows(&world).await, planted, "a dry run changes nothing");

    // One projection alone is mended; the others are not looked at.
    let (code, told) = replay(&world, &["payments", "--json"]).await;
    assert_eq!((code, &told["state"]), (0, &json!("swapped")), "{told:#}");
    let now = rows(&world).await;
    assert_eq!(now["payments"], before["payments"]);
    assert_eq!(now["journal"], planted["journal"]);

    let ended = replay_output(&world, &["--all"]).await;
    let words = String::from_utf8_lossy(&ended.stdout);
    assert_eq!(ended.status.code(), Some(0), "{words}");
    assert!(words.contains("3 were not as they should be"), "{words}");
    assert_eq!(rows(&world).await, before);

    // Appends and the journal go on in the tables that took the place.
    pay(&world, "sk_test_acme", "4242424242424242").await;
    caught_up(&world).await;
    assert_identical(&world).await;
    let (code, told) = replay(&world, &["--all", "--json"]).await;
    assert_eq!((code, &told["state"]), (0, &json!("identical")), "{told:#}");
    world.stop_audited().await;
}

/// What a certificate says of the balances, merchant by merchant.
async fn of_balances(world: &World, id: Uuid) -> BTreeMap<String, Value> {
    let rows: Vec<(String, Value)> = sqlx::query_as(
        "select merchant, to_jsonb(t) - 'rebuild' from rebuild_tables t where rebuild = $1 and table_name = 'balances'",
    )
    .bind(id)
    .fetch_all(&mut owner(world).await)
    .await
    .unwrap();
    rows.into_iter().collect()
}

/// Planted bugs, each seen red here: passing by what is too much to be looked at merchant by merchant; looking at the first of those that
/// differ alone; forgetting those that are the same.
#[tokio::test(flavor = "multi_thread")]
async fn whether_one_merchant_differs_or_many_each_is_named_and_the_others_count_as_before() {
    let world = busy_world().await;
    let identical = of_everything(true);
    let outcome = rebuild_with(&world, Refold::default(), 1000, &identical).await;
    assert_eq!(outcome.unwrap(), Outcome::Identical);
    let before = of_balances(&world, identical.id).await;
    assert!(before.contains_key("acme"), "{before:#?}");
    for strangers in [1, 8, 9] {
        sqlx::query(
            "insert into balances select (jsonb_populate_record(null::balances, to_jsonb(b) || jsonb_build_object('merchant', 'stranger-' || number))).*
             from (select * from balances order by merchant, account limit 1) as b, generate_series(1, $1) as number
             on conflict do nothing",
        )
        .bind(strangers)
        .execute(&mut owner(&world).await)
        .await
        .unwrap();
        let order = of_everything(true);
        let outcome = rebuild_with(&world, Refold::default(), 1000, &order).await;
        let differences = i64::from(strangers);
        assert_eq!(outcome.unwrap(), Outcome::Different { differences });
        let mut now = of_balances(&world, order.id).await;
        let listed = listed(&world, order.id).await;
        assert_eq!(i32::try_from(listed.len()), Ok(strangers), "{listed:#?}");
        for number in 1..=strangers {
            let stranger = format!("stranger-{number}");
            let told = now.remove(&stranger).unwrap();
            let counts = ["live_rows", "rebuilt_rows", "differences"].map(|it| &told[it]);
            assert_eq!(counts, [1, 0, 1]);
            let is = |it: &Value| it["merchant"] == *stranger && it["what"] == "surplus";
            assert!(listed.iter().any(is), "{stranger}: {listed:#?}");
        }
        assert_eq!(now, before);
    }
    world.stop().await;
}

/// A fold as a later program may have it: open orders are called something else, and refunds are one cent more.
struct Changed(Refold);

impl Refolds for Changed {
    async fn changes(
        &mut self,
        reader: &Reader,
        events: &[Recorded],
    ) -> Result<Vec<Change>, BoxError> {
        let mut changes = self.0.changes(reader, events).await?;
        for change in &mut changes {
            for value in &mut change.row.values {
                match (change.row.table, value) {
                    ("orders", Cell::Text(text)) if text == "open" => *text = "awaiting".to_owned(),
                    ("refunds", Cell::Int8(minor)) => *minor += 1,
                    _ => {}
                }
            }
        }
        Ok(changes)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_shows_what_changed_code_would_change() {
    let world = busy_world().await;
    let before = rows(&world).await;
    let order = of_everything(true);
    let outcome = rebuild_with(&world, Changed(Refold::default()), 1000, &order).await;
    let open = before["orders"].iter().filter(|it| it["status"] == "open");
    let open = open.count();
    let refunds = before["refunds"].len();
    assert!(open > 1 && refunds > 1);
    let differences = i64::try_from(open + refunds).unwrap();
    assert_eq!(outcome.unwrap(), Outcome::Different { differences });
    let told = listed(&world, order.id).await;
    assert_eq!(told.len(), open + refunds);
    for it in &told {
        let expected = match it["table_name"].as_str().unwrap() {
            "orders" => json!(["status", "open", "awaiting"]),
            _ => json!(["amount_minor", it["live"], it["live"].as_i64().unwrap() + 1]),
        };
        assert_eq!(
            json!([it["column_name"], it["live"], it["rebuilt"]]),
            expected
        );
    }
    assert_eq!(rows(&world).await, before);

    // The same, for good: the rows are as that program folds them, until this one folds them again.
    let order = of_everything(false);
    let outcome = rebuild_with(&world, Changed(Refold::default()), 1000, &order).await;
    assert!(
        matches!(outcome, Ok(Outcome::Swapped { .. })),
        "{outcome:?}"
    );
    assert_ne!(rows(&world).await, before);
    assert_eq!(replay(&world, &["--all", "--json"]).await.0, 0);
    assert_eq!(rows(&world).await, before);
    world.stop_audited().await;
}

/// All that the database knows of a table, but its own number and its statistics.
async fn description(world: &World, table: &str) -> Value {
    sqlx::query_scalar(
        "select jsonb_build_object(
            'class', (select jsonb_build_array(relname, relnamespace::regnamespace, relowner::regrole,
                             array(select it::text from unnest(relacl) as it order by 1),
                             reloptions, relrowsecurity, relforcerowsecurity, relpersistence, relreplident)
                      from pg_class where oid = $1::text::regclass),
            'columns', (select jsonb_agg(jsonb_build_array(attname, atttypid::regtype, attnotnull, attstorage, attidentity,
                               attcollation::regcollation,
                               array(select it::text from unnest(attacl) as it order by 1), pg_get_expr(adbin, adrelid)) order by attnum)
                        from pg_attribute left join pg_attrdef on adrelid = attrelid and adnum = attnum
                        where attrelid = $1::text::regclass and attnum > 0 and not attisdropped),
            'constraints', (select jsonb_agg(jsonb_build_array(conname, contype, convalidated, pg_get_constraintdef(oid))
                                   order by conname) from pg_constraint where conrelid = $1::text::regclass),
            'indexes', (select jsonb_agg(pg_get_indexdef(indexrelid) order by indexrelid::regclass::text)
                        from pg_index where indrelid = $1::text::regclass),
            'policies', (select jsonb_agg(to_jsonb(p) order by policyname) from pg_policies p where tablename = $1::text))",
    )
    .bind(table)
    .fetch_one(&mut owner(world).await)
    .await
    .unwrap()
}

/// Planted bugs, each seen red here: rights that are not copied, options that are not, indexes that are left out.
#[tokio::test(flavor = "multi_thread")]
async fn what_takes_the_place_is_guarded_and_indexed_like_what_was_there() {
    let world = busy_world().await;
    let mut owner = owner(&world).await;
    owner
        .execute(
            "grant select on orders to counterfoil_reader;
             grant select (merchant, version) on payments to counterfoil_reader with grant option;
             revoke delete on orders from counterfoil_writer;
             grant select on refunds to public;
             alter table orders enable row level security;
             alter table orders force row level security;
             create policy writer_keeps on orders to counterfoil_writer using (true) with check (true);
             create policy reader_sees_one_ledger on orders for select to counterfoil_reader
                 using (merchant = current_setting('counterfoil.ledger', true));
             create policy nobody_else on orders as restrictive to public using (merchant <> 'nobody');
             update orders set total_minor = total_minor + 1;
             update payments set amount_minor = amount_minor + 1;
             delete from refunds; delete from journal where entry = 0;
             update balances set debit_minor = debit_minor + 1",
        )
        .await
        .unwrap();
    let tables = ["orders", "payments", "refunds", "journal", "balances"];
    let mut before = Vec::new();
    for table in tables {
        before.push(description(&world, table).await);
    }
    let (code, told) = replay(&world, &["--all", "--json"]).await;
    assert_eq!((code, &told["state"]), (0, &json!("swapped")), "{told:#}");
    for (table, before) in tables.into_iter().zip(before) {
        assert_eq!(description(&world, table).await, before, "{table}");
    }
    let left: i64 = sqlx::query_scalar(
        "select count(*) from pg_class where relnamespace = 'rebuild'::regnamespace",
    )
    .fetch_one(&mut owner)
    .await
    .unwrap();
    assert_eq!(left, 0, "no shadow is left");
    // The service, in its own role, goes on behind the policies.
    pay(&world, "sk_test_acme", "4242424242424242").await;
    settled(&world).await;
    assert_identical(&world).await;
    world.stop_audited().await;
}
