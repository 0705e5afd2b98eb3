//! Object ids and what is derived from an account's secret key: client secrets, card fingerprints, fingerprints of parameters.
//!
//! A client secret is never stored: it is an HMAC of the intent's id, so that it is the same after a restart. Only one that the configuration
//! gives to a planted intent is looked up instead.

use std::collections::HashMap;

use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha256;
use subtle::ConstantTimeEq;

const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// HMAC-SHA256 of the parts, separated so that no two lists of parts run together.
pub fn hmac_sha256(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            mac.update(&[0]);
        }
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// The first `length` base-62 digits of a hash (at most 32).
fn base62(hash: [u8; 32], length: usize) -> String {
    hash.iter()
        .take(length)
        .map(|byte| char::from(BASE62[usize::from(*byte) % BASE62.len()]))
        .collect()
}

/// Makes ids that look like Stripe's. With one seed, an account's ids are the same in every run.
pub struct IdMaker {
    key: [u8; 32],
}

impl IdMaker {
    /// `seed` 0 stands for fresh randomness at every start.
    pub fn new(seed: u64, account: &str) -> Self {
        let fresh: [u8; 32] = match seed {
            0 => rand::random(),
            _ => hmac_sha256(&seed.to_be_bytes(), &[b"ids"]),
        };
        Self {
            key: hmac_sha256(&fresh, &[account.as_bytes()]),
        }
    }

    /// The id with the given number; numbers are never used twice.
    pub fn make(&self, prefix: &str, number: u64) -> String {
        let hash = hmac_sha256(&self.key, &[prefix.as_bytes(), &number.to_be_bytes()]);
        match prefix {
            "pi" | "ch" | "re" | "txn" => format!("{prefix}_3{}", base62(hash, 23)),
            "pm" | "evt" | "dp" | "po" | "we" | "li" | "price" => {
                format!("{prefix}_1{}", base62(hash, 23))
            }
            "cs_test" => format!("cs_test_a1{}", base62(hash, 32)),
            _ => format!("{prefix}_{}", base62(hash, 14)),
        }
    }
}

/// The secrets of one account. Never stored, never printed.
pub struct Secrets {
    key: Vec<u8>,
    planted: HashMap<String, String>,
}

impl Secrets {
    /// Derives everything from the account's secret key; `planted` maps an intent's id to the client secret that it was given.
    pub fn new(secret_key: &str, planted: HashMap<String, String>) -> Self {
        Self {
            key: hmac_sha256(secret_key.as_bytes(), &[b"simulator"]).to_vec(),
            planted,
        }
    }

    /// Gives an intent a client secret of one's own choice, until the process ends.
    pub fn plant(&mut self, intent: &str, client_secret: &str) {
        self.planted
            .insert(intent.to_owned(), client_secret.to_owned());
    }

    /// An intent's client secret.
    pub fn client_secret(&self, intent: &str) -> String {
        match self.planted.get(intent) {
            Some(secret) => secret.clone(),
            None => {
                let hash = hmac_sha256(&self.key, &[b"client_secret", intent.as_bytes()]);
                format!("{intent}_secret_{}", base62(hash, 25))
            }
        }
    }

    /// Whether `offered` is the intent's client secret, in constant time.
    pub fn opens(&self, intent: &str, offered: &str) -> bool {
        let secret = self.client_secret(intent);
        secret.as_bytes().ct_eq(offered.as_bytes()).into()
    }

    /// The id of an endpoint that is configured: the `nth` with this URL.
    pub fn endpoint_id(&self, url: &str, nth: usize) -> String {
        let hash = hmac_sha256(
            &self.key,
            &[b"endpoint", url.as_bytes(), &nth.to_be_bytes()],
        );
        format!("we_1{}", base62(hash, 23))
    }

    /// The key of the signatures for an endpoint that was made through the API.
    pub fn endpoint_secret(&self, id: &str) -> String {
        let hash = hmac_sha256(&self.key, &[b"endpoint_secret", id.as_bytes()]);
        format!("whsec_{}", base62(hash, 32))
    }

    /// The same for the same card number on one account, and not to be turned back.
    pub fn card_fingerprint(&self, number: &str) -> String {
        base62(hmac_sha256(&self.key, &[b"card", number.as_bytes()]), 16)
    }

    /// A fingerprint of a request, in hexadecimal.
    pub fn request_fingerprint(&self, canonical: &[u8]) -> String {
        hex::encode(hmac_sha256(&self.key, &[b"request", canonical]))
    }

    /// Fills in the client secret of every payment intent and every embedded checkout session in a body that is about to leave, and the secret of
    /// a webhook endpoint that has a place for it.
    pub fn reveal(&self, body: &mut Value) {
        match body {
            Value::Array(items) => items.iter_mut().for_each(|item| self.reveal(item)),
            Value::Object(members) => {
                let intent = match (members.get("object"), members.get("id")) {
                    (Some(Value::String(object)), Some(Value::String(id)))
                        if object == "payment_intent" =>
                    {
                        Some(id.clone())
                    }
                    _ => None,
                };
                let session = match (members.get("object"), members.get("ui_mode")) {
                    (Some(Value::String(object)), Some(Value::String(mode)))
                        if object == "checkout.session" && mode.starts_with("embedded") =>
                    {
                        members.get("id").and_then(Value::as_str).map(str::to_owned)
                    }
                    _ => None,
                };
                if let Some(id) = intent.or(session) {
                    let secret = self.client_secret(&id);
                    members.insert("client_secret".to_owned(), Value::String(secret));
                }
                if members.get("secret").is_some_and(Value::is_null)
                    && let Some(Value::String(id)) = members.get("id")
                {
                    let secret = self.endpoint_secret(id);
                    members.insert("secret".to_owned(), Value::String(secret));
                }
                members.values_mut().for_each(|item| self.reveal(item));
            }
            _ => {}
        }
    }
}
