//! Databases of tests, and what a test does to them by hand.

use super::World;
use cluster::Cluster;
use counterfoil::service::MIGRATIONS;
use sha2::{Digest, Sha256};
use sqlx::{Connection, PgConnection};
use tokio::sync::OnceCell;
use tokio::task::spawn_blocking;

/// What PostgreSQL says of a name that is taken, or is being taken at the same moment.
const DUPLICATE_DATABASE: [&str; 2] = ["42P04", "23505"];

/// A migrated database of its own: a copy, since migrating takes longer than all else that a small test does.
pub async fn database() -> String {
    static MIGRATED: OnceCell<String> = OnceCell::const_new();
    let cluster = Cluster::shared_for_tests();
    let migrated = MIGRATED.get_or_init(|| migrated(cluster)).await;
    // It waits for a program: nothing that runs beside it in this task is to stand still meanwhile.
    let copied = spawn_blocking(move || cluster.fresh_database_from(migrated));
    let url = copied.await.unwrap();
    // The first session in a database reads its whole catalogue, which no service's patience is spent on.
    let first = PgConnection::connect(&url).await.unwrap();
    first.close().await.unwrap();
    url
}

/// The name of the database that the others are copies of. It is made by whoever comes first, in this process or another, and
/// gets its name last: one that is half migrated has another.
async fn migrated(cluster: &Cluster) -> String {
    let schema = MIGRATIONS.iter().fold(Sha256::new(), |hash, it| {
        hash.chain_update(it.version.to_be_bytes())
            .chain_update(&it.checksum)
    });
    let name = format!("cf_test_{}", &hex::encode(schema.finalize())[..12]);
    let mut owner = PgConnection::connect(&cluster.url("postgres"))
        .await
        .unwrap();
    let there = sqlx::query("select from pg_database where datname = $1").bind(&name);
    if there.fetch_optional(&mut owner).await.unwrap().is_none() {
        let made = migrated_anew(cluster).await;
        let naming = format!("alter database {made} rename to {name}");
        if let Err(error) = sqlx::query(&naming).execute(&mut owner).await {
            let code = error.as_database_error().and_then(|it| it.code());
            let taken = code.is_some_and(|it| DUPLICATE_DATABASE.contains(&it.as_ref()));
            assert!(taken, "{error}");
        }
    }
    owner.close().await.unwrap();
    name
}

async fn migrated_anew(cluster: &Cluster) -> String {
    let url = cluster.fresh_database("cf_migrating");
    let mut connection = PgConnection::connect(&url).await.unwrap();
    MIGRATIONS.run(&mut connection).await.unwrap();
    let name = sqlx::query_scalar("select current_database()::text");
    let name = name.fetch_one(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    name
}

/// What instances that are gone had leased is taken to have been let go, and is due now: nobody waits for that in a test. One
/// that still works on something goes on beside the next.
pub async fn end_leases(world: &World) {
    let mut owner = PgConnection::connect(&world.database_url).await.unwrap();
    for (table, waiting) in [
        ("recovery_work", "true"),
        ("webhook_deliveries", "state = 'pending'"),
        (
            "webhook_inbox",
            "applied_at is null and set_aside_at is null",
        ),
    ] {
        let over = format!(
            "update {table} set leased_until = case when lease is not null then clock_timestamp() end, next_at = clock_timestamp()
             where {waiting}"
        );
        sqlx::query(&over).execute(&mut owner).await.unwrap();
    }
    owner.close().await.unwrap();
}
