use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Entity, Metadata};

/// A URL to which events are delivered, made through the API. Its secret is derived from its id, and not kept.
#[derive(Clone, Serialize, Deserialize)]
pub struct WebhookEndpoint {
    pub id: String,
    pub created: i64,
    pub url: String,
    /// Types of events, or `*` for all.
    pub enabled_events: Vec<String>,
    /// Shown as it is: events are rendered in one version alone.
    pub api_version: Option<String>,
    pub description: Option<String>,
    pub metadata: Metadata,
    pub disabled: bool,
    /// Kept as a note that it is gone.
    pub deleted: bool,
}

impl Entity for WebhookEndpoint {
    fn id(&self) -> &str {
        &self.id
    }
}

impl WebhookEndpoint {
    /// Whether deliveries are made to it.
    pub fn is_enabled(&self) -> bool {
        !self.disabled && !self.deleted
    }

    /// Whether events of this type are delivered to it.
    pub fn wants(&self, event_type: &str) -> bool {
        let mut enabled = self.enabled_events.iter();
        self.is_enabled() && enabled.any(|it| it == "*" || it == event_type)
    }

    /// The endpoint as Stripe shows it, without its secret.
    pub fn render(&self) -> Value {
        if self.deleted {
            return json!({ "id": self.id, "object": "webhook_endpoint", "deleted": true });
        }
        json!({
            "id": self.id,
            "object": "webhook_endpoint",
            "api_version": self.api_version,
            "application": null,
            "created": self.created,
            "description": self.description,
            "enabled_events": self.enabled_events,
            "livemode": false,
            "metadata": self.metadata,
            "status": if self.disabled { "disabled" } else { "enabled" },
            "url": self.url,
        })
    }

    /// The endpoint as it is shown once, with a place for its secret (see [`Secrets::reveal`](crate::ids::Secrets::reveal)).
    pub fn render_new(&self) -> Value {
        let mut endpoint = self.render();
        endpoint["secret"] = Value::Null;
        endpoint
    }
}
