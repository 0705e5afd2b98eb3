//! One article of a company: something that is sold by the piece, or a rebate that lowers what is sold with it.

#[cfg(test)]
mod tests;

use crate::catalogue::Item;
use crate::ids::MerchantId;
use crate::money::{Money, MoneyError};
use crate::payment::error::ErrorKind;
use cqrs_es::event_sink::EventSink;
use cqrs_es::{Aggregate, DomainEvent};
use serde::{Deserialize, Serialize};

/// A wish about one article.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ArticleCommand {
    /// Listing the same article again changes nothing, whatever it costs by now; another one under its number is refused.
    List(Box<Listed>),
    /// It costs this from now on.
    Reprice { price: Money },
}

/// Every fact of an article.
#[derive(
    Debug,
    Clone,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    strum::IntoStaticStr,
    strum::EnumDiscriminants,
)]
#[strum_discriminants(derive(strum::EnumIter, strum::IntoStaticStr), name(ArticleEventKind))]
pub enum ArticleEvent {
    ArticleListed(Box<Listed>),
    ArticleRepriced { price: Money },
}

/// An article as it was listed. A negative price is a rebate's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    pub merchant: MerchantId,
    /// Whose it is: a GUID, in lower case with hyphens.
    pub company: String,
    /// What the company calls it.
    pub number: u32,
    pub name: String,
    pub price: Money,
}

impl Listed {
    /// The longest name, in characters.
    pub const NAME_LENGTH_MAX: usize = 100;
}

/// Why an article says no; nothing was recorded. A variant's name is the caller's error code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum ArticleError {
    #[error("no such article")]
    NoSuchArticle,
    #[error("another article was listed under this number")]
    ListedDifferently,
    #[error("a name has 1 to {} characters", Listed::NAME_LENGTH_MAX)]
    UnusableName,
    #[error("a price cannot be used: {0}")]
    Unpriceable(#[from] MoneyError),
}

impl ArticleError {
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NoSuchArticle => ErrorKind::NotFound,
            Self::ListedDifferently => ErrorKind::Conflict,
            Self::UnusableName | Self::Unpriceable(_) => ErrorKind::Invalid,
        }
    }

    /// The variant's name in snake case.
    pub fn code(&self) -> &'static str {
        self.into()
    }
}

/// An article: not listed yet, or what is known of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Article {
    facts: Option<Box<Facts>>,
}

/// What is known of an article.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// As it was in the beginning.
    pub listed: Listed,
    /// With the price of now, and those before.
    pub item: Item,
}

impl Article {
    /// What is known of it; none before it was listed.
    pub fn facts(&self) -> Option<&Facts> {
        self.facts.as_deref()
    }

    /// The events that `command` leads to; none where it is so already.
    ///
    /// # Errors
    /// The reason why it is refused; nothing is to be recorded then.
    pub fn decide(&self, command: ArticleCommand) -> Result<Vec<ArticleEvent>, ArticleError> {
        match (self.facts(), command) {
            (None, ArticleCommand::List(listed)) => {
                let length = listed.name.chars().count();
                if !(1..=Listed::NAME_LENGTH_MAX).contains(&length) {
                    return Err(ArticleError::UnusableName);
                }
                countable(listed.price)?;
                Ok(vec![ArticleEvent::ArticleListed(listed)])
            }
            (None, ArticleCommand::Reprice { .. }) => Err(ArticleError::NoSuchArticle),
            (Some(facts), ArticleCommand::List(again)) if facts.listed == *again => Ok(vec![]),
            (Some(_), ArticleCommand::List(_)) => Err(ArticleError::ListedDifferently),
            (Some(facts), ArticleCommand::Reprice { price }) => facts.reprice(price),
        }
    }

    /// Takes a fact, and never fails. One about an article that was never listed leaves no trace.
    pub fn apply(&mut self, event: &ArticleEvent) {
        match (&mut self.facts, event) {
            (facts @ None, ArticleEvent::ArticleListed(listed)) => {
                let code = listed.number.to_string();
                *facts = Some(Box::new(Facts {
                    listed: Listed::clone(listed),
                    item: Item::new(code, listed.name.clone(), listed.price),
                }));
            }
            (Some(facts), ArticleEvent::ArticleRepriced { price }) => facts.item.reprice(*price),
            (None, ArticleEvent::ArticleRepriced { .. })
            | (Some(_), ArticleEvent::ArticleListed(_)) => {}
        }
    }
}

impl Facts {
    fn reprice(&self, price: Money) -> Result<Vec<ArticleEvent>, ArticleError> {
        let (left, right) = (self.item.price.currency(), price.currency());
        if left != right {
            return Err(MoneyError::CurrencyMismatch { left, right }.into());
        }
        countable(price)?;
        if price == self.item.price {
            return Ok(vec![]);
        }
        Ok(vec![ArticleEvent::ArticleRepriced { price }])
    }
}

/// Nothing, or an amount that could be charged, or given off where it is negative.
fn countable(price: Money) -> Result<(), MoneyError> {
    if price.is_zero() {
        return Ok(());
    }
    let size = if price.is_positive() {
        price
    } else {
        Money::zero(price.currency()).minus(price)?
    };
    size.chargeable().map(|_| ())
}

impl DomainEvent for ArticleEvent {
    fn event_type(&self) -> String {
        <&'static str>::from(self).to_owned()
    }

    fn event_version(&self) -> String {
        "1.0".to_owned()
    }
}

impl Aggregate for Article {
    const TYPE: &'static str = "article";
    type Command = ArticleCommand;
    type Event = ArticleEvent;
    type Error = ArticleError;
    type Services = ();

    /// Forwards to [`Article::decide`]: `handle` runs before the commit, so it must touch nothing.
    async fn handle(
        &mut self,
        command: ArticleCommand,
        (): &(),
        sink: &EventSink<Self>,
    ) -> Result<(), ArticleError> {
        for event in self.decide(command)? {
            sink.write(event, self).await;
        }
        Ok(())
    }

    fn apply(&mut self, event: ArticleEvent) {
        Self::apply(self, &event);
    }
}
