//! Who and what: ids with private insides, checked once, trusted after.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt;
use std::str::FromStr;
use uuid::Uuid;

/// A merchant's name: 1 to 40 of `a`–`z`, `0`–`9`, `_`, `-`, beginning with a letter. It is also its ledger's name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MerchantId(String);

/// The text is not an id of the kind asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a {kind}")]
pub struct IdError {
    kind: &'static str,
    text: String,
}

impl MerchantId {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Ten letters and digits: the id of something that a merchant has one of, named by its `kind`.
    pub fn short(&self, kind: &str) -> String {
        shortened(kind, &self.0)
    }
}

impl FromStr for MerchantId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let mut letters = text.bytes();
        let starts = letters
            .next()
            .is_some_and(|first| first.is_ascii_lowercase());
        let rest = letters
            .all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || it == b'_' || it == b'-');
        if starts && rest && text.len() <= 40 {
            Ok(Self(text.to_owned()))
        } else {
            Err(IdError {
                kind: "merchant id",
                text: text.to_owned(),
            })
        }
    }
}

impl TryFrom<String> for MerchantId {
    type Error = IdError;

    fn try_from(text: String) -> Result<Self, IdError> {
        text.parse()
    }
}

impl From<MerchantId> for String {
    fn from(it: MerchantId) -> Self {
        it.0
    }
}

impl fmt::Display for MerchantId {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(&self.0)
    }
}

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            pub const fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            pub const fn uuid(self) -> Uuid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(to)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                Uuid::parse_str(text).map(Self).map_err(|_| IdError { kind: $kind, text: text.to_owned() })
            }
        }
    };
}

uuid_id!(
    /// An order. Derived from merchant, source and reference, so that the stream itself guarantees one order for each.
    OrderId, "order id"
);
uuid_id!(
    /// An offer of the catalogue. Derived from merchant and number, so that the stream itself guarantees one for each.
    OfferId, "offer id"
);
uuid_id!(
    /// An article of the catalogue. Derived from merchant, company and number, so that the stream itself guarantees one for each.
    ArticleId, "article id"
);
uuid_id!(
    /// A payment: a UUIDv7, carried in the metadata of Stripe's intent; derived from the intent where that was made elsewhere.
    PaymentId, "payment id"
);
uuid_id!(
    /// An intention: the id of the event that records it. Stripe's idempotency key is derived from it.
    IntentionId, "intention id"
);
uuid_id!(
    /// One thing that is settled: a payout, a balance transaction, or a line of a bank statement. Derived, so that the stream
    /// itself guarantees one for each.
    SettlementId, "settlement id"
);
uuid_id!(
    /// A run of a reconciliation (a UUIDv7), or a break, whose id is derived, so that it is the same in every run that finds it.
    ReconciliationId, "reconciliation id"
);
uuid_id!(
    /// One whole command of a caller, through all of its steps.
    CommandId, "command id"
);

/// A refund is named by the intention that asked for it.
pub type RefundId = IntentionId;

/// The namespace of all ids that are derived (UUIDv5).
const NAMESPACE: Uuid = Uuid::from_u128(0x6f0c_5f3e_9a57_4b0e_8d43_c07e_2f01_1a10);

impl OrderId {
    /// The order that `merchant` calls `reference` in `source` ("shop", "offers", …).
    pub fn derive(merchant: &MerchantId, source: &str, reference: &str) -> Self {
        Self(derived(&["order", merchant.as_str(), source, reference]))
    }

    /// The id of its stream: `merchant/uuid`.
    pub fn aggregate_id(self, merchant: &MerchantId) -> String {
        format!("{merchant}/{self}")
    }
}

impl OrderId {
    /// Ten letters and digits: what a caller may call it whose own name for it is not one.
    pub fn short(self) -> String {
        shortened("order", &self.to_string())
    }
}

impl OfferId {
    /// The offer that `merchant` calls `number`.
    pub fn derive(merchant: &MerchantId, number: &str) -> Self {
        Self(derived(&["offer", merchant.as_str(), number]))
    }

    /// The id of its stream: `merchant/uuid`.
    pub fn aggregate_id(self, merchant: &MerchantId) -> String {
        format!("{merchant}/{self}")
    }
}

impl ArticleId {
    /// The article that `company` (a GUID in lower case) calls `number`.
    pub fn derive(merchant: &MerchantId, company: &str, number: u32) -> Self {
        let number = number.to_string();
        Self(derived(&["article", merchant.as_str(), company, &number]))
    }

    /// The id of its stream: `merchant/uuid`.
    pub fn aggregate_id(self, merchant: &MerchantId) -> String {
        format!("{merchant}/{self}")
    }
}

impl PaymentId {
    /// The payment of an intent that was made at Stripe, not here: always the same for the same intent, so that its stream
    /// takes it up once.
    pub fn of_adopted(merchant: &MerchantId, intent: &str) -> Self {
        Self(derived(&["adopted-payment", merchant.as_str(), intent]))
    }

    /// Ten letters and digits, such as `XAyRWNUzyN`: the id of the payment as an order's payment source.
    pub fn short(self) -> String {
        shortened("payment", &self.to_string())
    }

    /// The id of its stream: `merchant/uuid`.
    pub fn aggregate_id(self, merchant: &MerchantId) -> String {
        format!("{merchant}/{self}")
    }
}

/// The stream of a merchant's books.
pub fn books_aggregate_id(merchant: &MerchantId) -> String {
    format!("{merchant}/{}", derived(&["books", merchant.as_str()]))
}

impl SettlementId {
    /// The payout that Stripe calls `payout` (`po_…`) at this merchant's account.
    pub fn of_payout(merchant: &MerchantId, payout: &str) -> Self {
        Self(derived(&["payout", merchant.as_str(), payout]))
    }

    /// The balance transaction that Stripe calls `transaction` (`txn_…`) at this merchant's account.
    pub fn of_balance_transaction(merchant: &MerchantId, transaction: &str) -> Self {
        let parts = ["balance-transaction", merchant.as_str(), transaction];
        Self(derived(&parts))
    }

    /// A line of the statements of the merchant's bank `account`. `marks` are what tells it from the account's other lines:
    /// the same line read again, from whatever statement, has the same.
    pub fn of_bank_line(merchant: &MerchantId, account: &str, marks: &[&str]) -> Self {
        let whose = ["bank-line", merchant.as_str(), account];
        Self(derived(&[&whose, marks].concat()))
    }

    /// The id of its stream: `merchant/uuid`.
    pub fn aggregate_id(self, merchant: &MerchantId) -> String {
        format!("{merchant}/{self}")
    }
}

impl ReconciliationId {
    /// The break of this class in this part of this subject: the same whichever run finds it.
    pub fn of_break(merchant: &MerchantId, class: &str, subject: &str, part: &str) -> Self {
        Self(derived(&["break", merchant.as_str(), class, subject, part]))
    }

    /// The id of its stream: `merchant/uuid`.
    pub fn aggregate_id(self, merchant: &MerchantId) -> String {
        format!("{merchant}/{self}")
    }
}

impl IntentionId {
    /// The id of the stream of a request that is named by its intention: `merchant/uuid`.
    pub fn aggregate_id(self, merchant: &MerchantId) -> String {
        format!("{merchant}/{self}")
    }

    /// The idempotency key that Stripe sees for this intention.
    pub fn stripe_key(self) -> String {
        format!("cf-{self}")
    }

    /// The id of a refund that somebody made at Stripe, not here: always the same for the same refund.
    pub fn of_observed_refund(stripe_refund: &str) -> Self {
        Self(derived(&["observed-refund", stripe_refund]))
    }
}

/// Ten letters and digits of the hash of `kind:name`: the same for ever, and as good as never the same for two names. The
/// migration that gave ids to what was there already computes the same.
fn shortened(kind: &str, name: &str) -> String {
    const LETTERS: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let hash = Sha256::new()
        .chain_update(kind)
        .chain_update(":")
        .chain_update(name)
        .finalize();
    let letters = hash.iter().take(10);
    letters
        .map(|byte| char::from(LETTERS[usize::from(*byte) % LETTERS.len()]))
        .collect()
}

/// A UUIDv5 over parts that cannot run into one another.
fn derived(parts: &[&str]) -> Uuid {
    let joined: Vec<String> = parts
        .iter()
        .map(|part| format!("{}:{part}", part.len()))
        .collect();
    Uuid::new_v5(&NAMESPACE, joined.concat().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    /// Red when the derivation changes: callers have kept these ids.
    #[test]
    fn a_short_id_is_the_same_for_ever() {
        let nil = Uuid::from_u128(1);
        assert_eq!(PaymentId::from_uuid(nil).short(), "kTauoSvsvf");
        assert_eq!(OrderId::from_uuid(nil).short(), "hjaxBzvFvz");
        let acme: MerchantId = "acme".parse().unwrap();
        assert_eq!(acme.short("organization"), "Ho7wEpawU3");
    }

    #[test]
    fn short_ids_are_ten_letters_and_digits_and_differ() {
        let ids: HashSet<String> = (0..20_000)
            .map(|number| PaymentId::from_uuid(Uuid::from_u128(number)).short())
            .collect();
        assert_eq!(ids.len(), 20_000);
        let plain = |id: &String| id.len() == 10 && id.bytes().all(|it| it.is_ascii_alphanumeric());
        assert!(ids.iter().all(plain));
    }
}
