//! Closed sets of words as Stripe writes them, in requests, answers and the journal alike.

/// A word out of a closed set.
pub trait Word: Sized + Copy + PartialEq + 'static {
    /// Every member, in the order in which Stripe's error messages list them.
    const ALL: &'static [Self];

    /// The word as it stands on the wire.
    fn as_str(self) -> &'static str;

    /// The member that is written so, if any.
    fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|word| word.as_str() == text)
    }
}

/// Declares an enum together with the words that stand for its members.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[$note:meta])* $variant:ident => $word:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
        pub enum $name {
            $($(#[$note])* #[serde(rename = $word)] $variant),+
        }

        impl $crate::wire::Word for $name {
            const ALL: &'static [Self] = &[$(Self::$variant),+];

            fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word),+
                }
            }
        }
    };
}

pub(crate) use words;
