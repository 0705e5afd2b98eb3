//! Stripe's own words, as far as they may be kept: sealed, without secrets.

use aggregates::ids::MerchantId;
use aggregates::sealed::Sealed;
use serde_json::{Map, Value};

use super::{App, AppError};
use crate::gateway::{IntentView, StripeAnswer};
use secrecy::ExposeSecret;

/// Names of fields that hold a secret, or an address with one in it: kept nowhere.
const NEVER_KEPT: &[&str] = &["client_secret", "next_action", "secret"];
/// Names of fields that hold a secret: not for whoever may list.
const NEVER_LISTED: &[&str] = &["client_secret"];
/// What every client secret has in the middle, wherever it is written.
pub(super) const SECRET_MARK: &str = "_secret_";

impl App {
    /// Seals the answer under the key of `subject`.
    pub(super) async fn keep(
        &self,
        merchant: &MerchantId,
        subject: &str,
        answer: &StripeAnswer,
    ) -> Result<Sealed, AppError> {
        let mut kept = answer.clone();
        without(NEVER_KEPT, &mut kept.body);
        Ok(self
            .inner
            .store
            .vault
            .seal(merchant, subject, &kept)
            .await?)
    }

    /// The answer that was kept; none where it was erased since.
    pub(super) async fn kept(
        &self,
        merchant: &MerchantId,
        sealed: &Sealed,
    ) -> Result<Option<StripeAnswer>, AppError> {
        Ok(self.inner.store.vault.open(merchant, sealed).await?)
    }
}

/// Nulls what is not for whoever may list, however deep it is.
pub(super) fn as_listed(value: &mut Value) {
    without(NEVER_LISTED, value);
}

fn without(secrets: &[&str], value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                if secrets.contains(&name.as_str()) {
                    *field = Value::Null;
                } else {
                    without(secrets, field);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| without(secrets, item)),
        Value::String(text) if text.contains(SECRET_MARK) => text.clear(),
        _ => {}
    }
}

/// Puts what was not kept back into every rendering of the intent in `body`, from the intent as Stripe shows it now.
pub(super) fn refill(body: &mut Value, view: &IntentView) {
    match body {
        Value::Object(fields) if is(fields, "payment_intent", &view.snapshot.intent) => {
            let secret = view
                .client_secret
                .as_ref()
                .map(|secret| secret.expose_secret().into());
            fields.insert("client_secret".to_owned(), secret.unwrap_or_default());
            // What is to be done next is only true while it is.
            if fields.get("status").and_then(Value::as_str) == Some("requires_action") {
                let next = view.next_action.clone().unwrap_or_default();
                fields.insert("next_action".to_owned(), next);
            }
        }
        Value::Object(fields) => fields.values_mut().for_each(|field| refill(field, view)),
        _ => {}
    }
}

fn is(fields: &Map<String, Value>, object: &str, id: &str) -> bool {
    let text = |name: &str| fields.get(name).and_then(Value::as_str);
    text("object") == Some(object) && text("id") == Some(id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn view() -> IntentView {
        crate::gateway::intent_from(json!({
            "id": "pi_1", "object": "payment_intent", "status": "requires_action", "amount": 100, "currency": "usd",
            "client_secret": "pi_1_secret_2", "next_action": {"type": "redirect_to_url"},
        }))
        .unwrap()
    }

    /// Planted bug: looking at the top alone keeps the secret of an intent inside an error.
    #[test]
    fn no_secret_is_kept_however_deep_it_is() {
        let mut body = json!({"error": {"payment_intent": {
            "id": "pi_1", "client_secret": "pi_1_secret_2", "next_action": {"url": "https://x/?s=pi_1_secret_2"},
            "description": "see pi_1_secret_2",
        }}});
        without(NEVER_KEPT, &mut body);
        let kept = json!({"error": {"payment_intent": {
            "id": "pi_1", "client_secret": null, "next_action": null, "description": "",
        }}});
        assert_eq!(body, kept);
    }

    #[test]
    fn the_secret_comes_back_where_it_was_and_nowhere_else() {
        let mut body = json!({"error": {
            "payment_intent": {"object": "payment_intent", "id": "pi_1", "status": "requires_payment_method", "client_secret": null, "next_action": null},
            "other": {"object": "payment_intent", "id": "pi_2", "client_secret": null},
        }});
        refill(&mut body, &view());
        assert_eq!(
            body["error"]["payment_intent"]["client_secret"],
            "pi_1_secret_2"
        );
        assert_eq!(body["error"]["payment_intent"]["next_action"], Value::Null);
        assert_eq!(body["error"]["other"]["client_secret"], Value::Null);
    }

    #[test]
    fn what_is_to_be_done_next_comes_back_while_it_is_to_be_done() {
        let mut body =
            json!({"object": "payment_intent", "id": "pi_1", "status": "requires_action"});
        refill(&mut body, &view());
        assert_eq!(body["next_action"]["type"], "redirect_to_url");
    }
}
