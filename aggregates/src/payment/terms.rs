//! The terms of a payment: capture method, metadata, what a confirmation is asked with, and what goes to Stripe as it came.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// When money is taken after an attempt succeeds.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Default,
    Serialize,
    Deserialize,
    strum::Display,
    strum::EnumString,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum CaptureMethod {
    #[default]
    Automatic,
    /// At once too, but Stripe books the charge's balance transaction later.
    AutomaticAsync,
    Manual,
}

/// What a confirmation is asked with beside the payment method.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ConfirmTerms {
    pub return_url: Option<String>,
    pub off_session: bool,
    #[serde(skip_serializing_if = "Parameters::is_empty")]
    pub parameters: Parameters,
}

/// Key-value pairs attached to a payment, by Stripe's limits: at most 50 pairs, keys of 1 to 40 characters without
/// `[` or `]`, values of at most 500 characters. The keys that this service sends along itself are reserved.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Metadata(BTreeMap<String, String>);

/// Why metadata is refused. What is over its limit is not repeated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MetadataError {
    #[error(
        "at most {} pairs are kept, and this makes {count}",
        Metadata::PAIRS_MAX
    )]
    TooManyPairs { count: usize },
    #[error("a key is empty")]
    EmptyKey,
    #[error("a key is longer than {} characters", Metadata::KEY_LENGTH_MAX)]
    KeyTooLong,
    #[error("a key holds a square bracket")]
    KeyWithBracket,
    #[error(
        "the value of {key} is longer than {} characters",
        Metadata::VALUE_LENGTH_MAX
    )]
    ValueTooLong { key: String },
    #[error("the key {key} is reserved")]
    Reserved { key: String },
}

impl Metadata {
    pub const PAIRS_MAX: usize = 50;
    /// In characters, as `VALUE_LENGTH_MAX` is.
    pub const KEY_LENGTH_MAX: usize = 40;
    pub const VALUE_LENGTH_MAX: usize = 500;
    /// What this service writes beside the caller's own pairs, to find its payments and refunds again at Stripe.
    pub const RESERVED: [&'static str; 4] = [
        "counterfoil_payment",
        "counterfoil_refund",
        "counterfoil_merchant",
        "counterfoil_checkout",
    ];

    /// A caller's pairs, checked. A pair with an empty value is left out, since an empty value means "unset".
    ///
    /// # Errors
    /// The first limit that is broken.
    pub fn parse(pairs: impl IntoIterator<Item = (String, String)>) -> Result<Self, MetadataError> {
        Self::default().merged(&pairs.into_iter().collect(), false)
    }

    /// What an object at Stripe carries, without the pairs that this service sends along. Stripe has checked it, so it is
    /// not checked again.
    pub fn told(pairs: impl IntoIterator<Item = (String, String)>) -> Self {
        let own = |(key, value): &(String, String)| {
            !Self::RESERVED.contains(&key.as_str()) && !value.is_empty()
        };
        Self(pairs.into_iter().filter(own).collect())
    }

    /// These pairs after `changes`: an empty value unsets its key; with `clear` all are unset first.
    ///
    /// # Errors
    /// The first limit that is broken, by a change or by the whole.
    pub fn merged(
        &self,
        changes: &BTreeMap<String, String>,
        clear: bool,
    ) -> Result<Self, MetadataError> {
        changes
            .iter()
            .try_for_each(|(key, value)| allowed(key, value))?;
        let merged = self.overlaid(changes, clear);
        match merged.0.len() {
            count if count > Self::PAIRS_MAX => Err(MetadataError::TooManyPairs { count }),
            _ => Ok(merged),
        }
    }

    pub fn as_map(&self) -> &BTreeMap<String, String> {
        &self.0
    }

    /// [`merged`](Self::merged) for what was decided already: facts are not checked again.
    pub(crate) fn overlaid(&self, changes: &BTreeMap<String, String>, clear: bool) -> Self {
        let mut pairs = if clear {
            BTreeMap::new()
        } else {
            self.0.clone()
        };
        for (key, value) in changes {
            if value.is_empty() {
                pairs.remove(key);
            } else {
                pairs.insert(key.clone(), value.clone());
            }
        }
        Self(pairs)
    }
}

fn allowed(key: &str, value: &str) -> Result<(), MetadataError> {
    if key.is_empty() {
        Err(MetadataError::EmptyKey)
    } else if key.chars().count() > Metadata::KEY_LENGTH_MAX {
        Err(MetadataError::KeyTooLong)
    } else if key.contains(['[', ']']) {
        Err(MetadataError::KeyWithBracket)
    } else if Metadata::RESERVED.contains(&key) {
        Err(MetadataError::Reserved {
            key: key.to_owned(),
        })
    } else if value.chars().count() > Metadata::VALUE_LENGTH_MAX {
        Err(MetadataError::ValueTooLong {
            key: key.to_owned(),
        })
    } else {
        Ok(())
    }
}

/// Parameters of Stripe's that no rule here looks at, on their way to Stripe word for word: by form name, in brackets as
/// Stripe takes them (`payment_method_options[card][request_three_d_secure]`). At most 60 pairs, names of 1 to 200
/// characters, values of at most 5000; an empty value stays, since Stripe unsets by it.
///
/// They are recorded as they are, so nothing personal and no card goes in here: that is sealed, or only passes through.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Parameters(BTreeMap<String, String>);

/// Why parameters are refused. What is over its limit is not repeated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParametersError {
    #[error(
        "at most {} parameters are passed on, and these are {count}",
        Parameters::PAIRS_MAX
    )]
    TooManyPairs { count: usize },
    #[error("a parameter has no name")]
    EmptyName,
    #[error(
        "the name of a parameter is longer than {} characters",
        Parameters::NAME_LENGTH_MAX
    )]
    NameTooLong,
    #[error(
        "the value of {name} is longer than {} characters",
        Parameters::VALUE_LENGTH_MAX
    )]
    ValueTooLong { name: String },
}

impl Parameters {
    pub const PAIRS_MAX: usize = 60;
    /// In characters, as `VALUE_LENGTH_MAX` is.
    pub const NAME_LENGTH_MAX: usize = 200;
    pub const VALUE_LENGTH_MAX: usize = 5000;

    /// A caller's parameters, checked; of two with one name the later counts.
    ///
    /// # Errors
    /// The first limit that is broken.
    pub fn parse(
        pairs: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ParametersError> {
        let pairs: BTreeMap<String, String> = pairs.into_iter().collect();
        if pairs.len() > Self::PAIRS_MAX {
            let count = pairs.len();
            return Err(ParametersError::TooManyPairs { count });
        }
        for (name, value) in &pairs {
            if name.is_empty() {
                return Err(ParametersError::EmptyName);
            }
            if name.chars().count() > Self::NAME_LENGTH_MAX {
                return Err(ParametersError::NameTooLong);
            }
            if value.chars().count() > Self::VALUE_LENGTH_MAX {
                let name = name.clone();
                return Err(ParametersError::ValueTooLong { name });
            }
        }
        Ok(Self(pairs))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn as_map(&self) -> &BTreeMap<String, String> {
        &self.0
    }

    /// Whether any of them is more than a wish for how the answer is shown (`expand[0]`).
    pub fn change_something(&self) -> bool {
        self.0
            .keys()
            .any(|name| name != "expand" && !name.starts_with("expand["))
    }

    /// Name and value of each, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }
}
