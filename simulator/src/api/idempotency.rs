//! Stripe's idempotency keys: per account, kept 24 hours, compared by parameters and not by bytes.

use std::sync::Arc;

use http::HeaderMap;
use serde_json::Value;

use super::call::Request;
use crate::App;
use crate::errors::{ApiError, ErrorType, Outcome};
use crate::objects::{Cause, Remembered};
use crate::state::{AccountCell, KEY_KEPT_S, Tx};

/// The time of what was forgotten before its time.
const FORGOTTEN: i64 = 0;

/// The longest key, in characters.
const KEY_CHARS_MAX: usize = 255;

/// What a key leads to.
pub enum Claim {
    /// To run the request; the key is in use until the guard is dropped.
    Run(Option<Guard>),
    /// To the answer of the first request.
    Replay {
        /// Its HTTP status.
        status: u16,
        /// Its body.
        body: Value,
        /// Its `req_…`.
        request_id: Option<String>,
    },
}

/// Holds a key while its request runs.
pub struct Guard {
    cell: Arc<AccountCell>,
    key: String,
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.cell.lock().in_flight.remove(&self.key);
    }
}

/// Reads the header.
///
/// # Errors
/// 400 for a key that is too long, or not text.
pub fn read_key(headers: &HeaderMap) -> Outcome<Option<String>> {
    let Some(value) = headers.get("idempotency-key") else {
        return Ok(None);
    };
    let invalid = |message: &str| ApiError::new(400, ErrorType::InvalidRequest, message);
    let key = value
        .to_str()
        .map_err(|_| invalid("Idempotency keys must be plain text."))?
        .trim();
    if key.chars().count() > KEY_CHARS_MAX {
        return Err(invalid(
            "Idempotency keys are limited to 255 characters. Try using a shorter key.",
        ));
    }
    Ok((!key.is_empty()).then(|| key.to_owned()))
}

/// The fingerprint of a request's parameters.
pub fn fingerprint(request: &Request) -> String {
    let mut canonical = Vec::new();
    request.params.write_canonical(&mut canonical);
    request
        .cell
        .with_secrets(|it| it.request_fingerprint(&canonical))
}

/// Looks up the request's key and, where it is new, claims it.
///
/// # Errors
/// 400 `idempotency_error` for other parameters; 409 `idempotency_key_in_use` while the first request runs.
pub fn claim(app: &App, request: &Request) -> Outcome<Claim> {
    let Some(key) = &request.key else {
        return Ok(Claim::Run(None));
    };
    let mut state = request.cell.lock();
    let kept = state
        .tables
        .remembered
        .get(key)
        .filter(|it| it.created + KEY_KEPT_S > app.clock.now());
    if let Some(kept) = kept {
        let differs =
            |message: String| Err(ApiError::new(400, ErrorType::Idempotency, message).retry(false));
        if kept.path != request.path {
            return differs(format!(
                "Keys for idempotent requests can only be used for the same endpoint they were first used for ('{}' vs '{}'). Try using a key \
                 other than '{key}' if you meant to execute a different request.",
                request.path, kept.path
            ));
        }
        if kept.fingerprint != fingerprint(request) {
            return differs(format!(
                "Keys for idempotent requests can only be used with the same parameters they were first used with. Try using a key other than \
                 '{key}' if you meant to execute a different request."
            ));
        }
        let body = serde_json::from_str(&kept.body)
            .expect("it was written as JSON by this process or an earlier one");
        return Ok(Claim::Replay {
            status: kept.status,
            body,
            request_id: kept.request_id.clone(),
        });
    }
    if !state.in_flight.insert(key.clone()) {
        return Err(ApiError::new(
            409,
            ErrorType::Idempotency,
            format!(
                "There is currently another in-progress request using this Idempotent Key (that probably means you submitted twice, and the \
                 other request is still going through): {key}. Please try your request again later."
            ),
        )
        .code("idempotency_key_in_use")
        .retry(true));
    }
    Ok(Claim::Run(Some(Guard {
        cell: Arc::clone(&request.cell),
        key: key.clone(),
    })))
}

/// Forgets what has been kept for so many seconds under a key, or under every key of the account. Answers how many were
/// forgotten.
///
/// # Errors
/// When the journal cannot be written.
pub fn forget(
    cell: &AccountCell,
    now_ms: i64,
    key: Option<&str>,
    older_than_s: u32,
) -> std::io::Result<usize> {
    let until = now_ms / 1000 - i64::from(older_than_s);
    let mut state = cell.lock();
    let kept = state.tables.remembered.oldest_first();
    let kept: Vec<Remembered> = kept
        .filter(|it| it.created > FORGOTTEN && it.created <= until)
        .filter(|it| key.is_none_or(|key| key == it.key))
        .cloned()
        .collect();
    let forgotten = kept.len();
    let mut tx = Tx::begin(cell, &mut state, now_ms, Cause::default());
    for it in kept {
        tx.put(Remembered {
            created: FORGOTTEN,
            ..it
        });
    }
    tx.commit()?;
    Ok(forgotten)
}
