//! The database of a run: the one that the configuration names, or a private cluster of our own.

use crate::config::Config;
use anyhow::Context;
use cluster::{Cluster, ClusterError};
use secrecy::SecretString;

/// The name of our database inside the private cluster.
const DATABASE: &str = "counterfoil";
/// Where a running private cluster leaves its address, under `config.home`.
const URL_FILE: &str = "database.url";

/// A database to connect to, and the server behind it where we started that ourselves.
pub struct Postgres {
    url: SecretString,
    cluster: Option<Cluster>,
}

impl Postgres {
    /// The database of `config.database_url`, taken at its word; where it names none, a private cluster under
    /// `config.home`, started (or taken over after a crash) here.
    ///
    /// # Errors
    /// What [`Cluster::start`] says. That the named database answers is not checked here: connecting will tell.
    pub async fn open(config: &Config) -> Result<Self, ClusterError> {
        if let Some(url) = &config.database_url {
            return Ok(Self {
                url: url.clone(),
                cluster: None,
            });
        }
        let home = config.home.clone();
        let (cluster, url) = blocking(move || {
            let cluster = Cluster::start(&home)?;
            cluster.create_database_if_missing(DATABASE)?;
            let url = cluster.url(DATABASE);
            Ok((cluster, url))
        })
        .await?;
        // For the command line beside a running sandbox; it holds no secret, a private cluster trusts its socket.
        if let Err(error) = std::fs::write(config.home.join(URL_FILE), &url) {
            tracing::warn!(%error, "the command line will not find this database by itself");
        }
        Ok(Self {
            url: url.into(),
            cluster: Some(cluster),
        })
    }

    /// Where the private cluster that runs under `config.home` is reached.
    ///
    /// # Errors
    /// When none was ever started there.
    pub fn running_url(config: &Config) -> anyhow::Result<String> {
        let path = config.home.join(URL_FILE);
        std::fs::read_to_string(&path).with_context(|| {
            let there = path.display();
            format!(
                "no database: set DATABASE_URL, or start the sandbox first (there is no {there})"
            )
        })
    }

    /// Where to connect. It may hold a password.
    pub fn url(&self) -> &SecretString {
        &self.url
    }

    /// Whether the server is ours, and stops with us.
    pub fn is_private(&self) -> bool {
        self.cluster.is_some()
    }

    /// Stops the server if it is ours: the last step of a drain, when every pool is closed.
    ///
    /// # Errors
    /// What [`Cluster::stop`] says.
    pub async fn stop(self) -> Result<(), ClusterError> {
        match self.cluster {
            Some(cluster) => blocking(move || cluster.stop()).await,
            None => Ok(()),
        }
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ClusterError> + Send + 'static,
) -> Result<T, ClusterError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Environment;
    use secrecy::ExposeSecret;
    use sqlx::Connection;
    use std::os::unix::fs::PermissionsExt;

    fn config(name: &str, value: &str) -> Config {
        Config::read(&Environment::of([(name, value)]), None).unwrap()
    }

    #[tokio::test]
    async fn a_named_database_is_used_and_left_alone() {
        let opened = Postgres::open(&config("DATABASE_URL", "postgres://u:p@db/ledger"))
            .await
            .unwrap();
        assert!(!opened.is_private());
        assert_eq!(opened.url().expose_secret(), "postgres://u:p@db/ledger");
        opened.stop().await.unwrap();
    }

    #[tokio::test]
    async fn without_one_a_private_server_starts_that_sqlx_reaches_and_that_stops_with_us() {
        let home = tempfile::tempdir().unwrap();
        std::fs::set_permissions(home.path(), std::fs::Permissions::from_mode(0o711)).unwrap();
        let opened = Postgres::open(&config("COUNTERFOIL_HOME", home.path().to_str().unwrap()))
            .await
            .unwrap();
        assert!(opened.is_private());
        let url = opened.url().expose_secret().to_owned();
        let mut connection = sqlx::PgConnection::connect(&url).await.unwrap();
        let name: String = sqlx::query_scalar("select current_database()")
            .fetch_one(&mut connection)
            .await
            .unwrap();
        assert_eq!(name, DATABASE);
        drop(connection);
        opened.stop().await.unwrap();
        assert!(sqlx::PgConnection::connect(&url).await.is_err());
    }
}
