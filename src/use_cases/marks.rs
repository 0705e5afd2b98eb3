//! What requests to Stripe carry so that what comes of them is known again.

use aggregates::ids::{IntentionId, MerchantId};
use aggregates::payment::Metadata;

use crate::gateway::{MERCHANT_KEY, REQUEST_KEY};

/// The form of what marks the intent of a checkout session as this merchant's: by it a webhook's is known.
pub(super) fn marked(merchant: &MerchantId) -> String {
    let name = format!("payment_intent_data[metadata][{MERCHANT_KEY}]");
    let pair = serde_urlencoded::to_string([(name, merchant.as_str())])
        .expect("a pair of texts always encodes");
    format!("&{pair}")
}

/// What is made there takes metadata, and is listed by when it was made: so it is found again by the mark of its request.
const MARKED: &[&str] = &["/customers", "/checkout/sessions", "/payouts"];

/// Whether what is made there is marked with the request that it is made by.
pub(super) fn is_marked(path: &str) -> bool {
    MARKED.contains(&path)
}

/// Adds the request's own id to the metadata of what it makes, where Stripe has room for it.
pub(super) fn mark(form: &mut String, request: IntentionId) {
    let pairs: Vec<(String, String)> = serde_urlencoded::from_str(form).unwrap_or_default();
    let of_metadata = pairs
        .iter()
        .filter(|(name, _)| name.starts_with("metadata"));
    // All of the metadata unset at once leaves no room beside it.
    let unset = pairs.iter().any(|(name, _)| name == "metadata");
    if unset || of_metadata.count() >= Metadata::PAIRS_MAX {
        return;
    }
    let name = format!("metadata[{REQUEST_KEY}]");
    let pair = serde_urlencoded::to_string([(name, request.to_string())])
        .expect("a pair of texts always encodes");
    if !form.is_empty() {
        form.push('&');
    }
    form.push_str(&pair);
}
