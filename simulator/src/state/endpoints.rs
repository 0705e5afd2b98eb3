use std::sync::{Arc, PoisonError, RwLock};

use super::account::{AccountCell, Tables};
use crate::config;
use crate::ids::Secrets;
use crate::objects::{DeliveryState, WebhookEndpoint};

/// Endpoints that were not made through the API, which does not list them: as configured, and what was added since. Each has an id that is the
/// same after a restart.
pub struct Configured(RwLock<Arc<Vec<(String, config::WebhookEndpoint)>>>);

/// Where a delivery goes.
pub struct Target {
    /// `http://…`
    pub url: String,
    /// The key of the signatures.
    pub secret: String,
    /// Whether deliveries are made now.
    pub enabled: bool,
}

impl Configured {
    /// The endpoints of the configuration.
    pub fn new(endpoints: &[config::WebhookEndpoint], secrets: &Secrets) -> Self {
        let configured = Self(RwLock::default());
        for endpoint in endpoints {
            configured.add(endpoint.clone(), secrets);
        }
        configured
    }

    fn all(&self) -> Arc<Vec<(String, config::WebhookEndpoint)>> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn add(&self, endpoint: config::WebhookEndpoint, secrets: &Secrets) {
        let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let nth = all.iter().filter(|(_, it)| it.url == endpoint.url).count();
        let id = secrets.endpoint_id(&endpoint.url, nth);
        Arc::make_mut(&mut all).push((id, endpoint));
    }
}

impl AccountCell {
    /// Adds an endpoint until the process ends.
    pub fn add_endpoint(&self, endpoint: config::WebhookEndpoint) {
        self.with_secrets(|it| self.configured.add(endpoint, it));
        self.hiring.notify_waiters();
    }

    /// The ids of the endpoints that there are, disabled ones included.
    pub fn endpoint_ids(&self, tables: &Tables) -> Vec<String> {
        let configured = self.configured.all();
        let configured = configured.iter().map(|(id, _)| id.clone());
        let made = tables.webhook_endpoints.oldest_first();
        let made = made.filter(|it| !it.deleted).map(|it| it.id.clone());
        configured.chain(made).collect()
    }

    /// The ids of the endpoints to which events of a type are delivered.
    pub fn endpoints_wanting(&self, tables: &Tables, event_type: &str) -> Vec<String> {
        let configured = self.configured.all();
        let configured = configured.iter().filter(|(_, it)| it.wants(event_type));
        let made = tables.webhook_endpoints.oldest_first();
        let made = made.filter(|it| it.wants(event_type));
        configured
            .map(|(id, _)| id.clone())
            .chain(made.map(|it| it.id.clone()))
            .collect()
    }

    /// Where the endpoint with this id is; none once it is deleted.
    pub fn target(&self, tables: &Tables, id: &str) -> Option<Target> {
        if let Some((_, it)) = self.configured.all().iter().find(|(it, _)| it == id) {
            return Some(Target {
                url: it.url.clone(),
                secret: it.secret.clone(),
                enabled: true,
            });
        }
        let made: &WebhookEndpoint = tables.webhook_endpoints.get(id)?;
        (!made.deleted).then(|| Target {
            url: made.url.clone(),
            secret: self.with_secrets(|it| it.endpoint_secret(id)),
            enabled: made.is_enabled(),
        })
    }

    /// How many deliveries of an event are still to be made.
    pub fn pending_webhooks(&self, tables: &Tables, event: &str) -> usize {
        let ids = self.endpoint_ids(tables);
        ids.iter()
            .filter_map(|endpoint| tables.deliveries.get(&format!("{event}/{endpoint}")))
            .filter(|delivery| delivery.state == DeliveryState::Pending)
            .count()
    }
}
