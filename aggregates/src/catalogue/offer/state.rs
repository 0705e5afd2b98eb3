//! An offer as its events leave it. Facts land here, and never fail.

use crate::catalogue::Item;
use crate::catalogue::offer::event::{Choice, Group, OfferEvent, Published};
use crate::order::event::Line;
use serde::{Deserialize, Serialize};

/// An offer: not published yet, or what is known of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    facts: Option<Box<Facts>>,
}

/// What is known of an offer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// As it was in the beginning.
    pub published: Published,
    /// With the prices of now, and those before.
    pub groups: Vec<PricedGroup>,
    /// What is paid for where nothing else is asked for, in the order of the offer.
    pub selection: Vec<Choice>,
    /// Why it was withdrawn, where it was.
    pub withdrawn: Option<String>,
}

/// A group of products with their prices.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PricedGroup {
    pub name: String,
    pub items: Vec<Item>,
}

impl Offer {
    /// What is known of it; none before it was published.
    pub fn facts(&self) -> Option<&Facts> {
        self.facts.as_deref()
    }

    /// Takes a fact. One about an offer that was never published leaves no trace.
    pub fn apply(&mut self, event: &OfferEvent) {
        match (&mut self.facts, event) {
            (Some(facts), event) => facts.apply(event),
            (facts @ None, OfferEvent::OfferPublished(published)) => {
                *facts = Some(Box::new(begun(published)))
            }
            (None, _) => {}
        }
    }
}

fn begun(published: &Published) -> Facts {
    let group = |it: &Group| PricedGroup {
        name: it.name.clone(),
        items: it
            .products
            .iter()
            .map(|it| Item::new(it.code.clone(), it.name.clone(), it.price))
            .collect(),
    };
    Facts {
        groups: published.groups.iter().map(group).collect(),
        selection: published.selection.clone(),
        withdrawn: None,
        published: published.clone(),
    }
}

impl Facts {
    /// A new event does not compile until it has its line.
    fn apply(&mut self, event: &OfferEvent) {
        match event {
            OfferEvent::OfferPublished(_) => {}
            OfferEvent::OfferRepriced { prices } => {
                for it in prices {
                    if let Some(item) = self.item_mut(&it.group, &it.code) {
                        item.reprice(it.price);
                    }
                }
            }
            OfferEvent::SelectionChanged { selection } => self.selection.clone_from(selection),
            OfferEvent::OfferWithdrawn { reason } => self.withdrawn = Some(reason.clone()),
        }
    }

    /// The product `code` of the group, with its price.
    pub fn item(&self, group: &str, code: &str) -> Option<&Item> {
        let group = self.groups.iter().find(|it| it.name == group)?;
        group.items.iter().find(|it| it.code == code)
    }

    fn item_mut(&mut self, group: &str, code: &str) -> Option<&mut Item> {
        let group = self.groups.iter_mut().find(|it| it.name == group)?;
        group.items.iter_mut().find(|it| it.code == code)
    }

    /// Every product as the line that an order has of it, in the order of the offer.
    pub(super) fn lines(&self) -> impl Iterator<Item = (&str, &Item, Line)> {
        self.groups.iter().flat_map(|group| {
            group
                .items
                .iter()
                .map(|item| (group.name.as_str(), item, line(&group.name, item)))
        })
    }
}

fn line(group: &str, item: &Item) -> Line {
    Line {
        name: item.name.clone(),
        unit: item.price,
        quantity: 1,
        description: format!("{group}/{}", item.code),
    }
}
