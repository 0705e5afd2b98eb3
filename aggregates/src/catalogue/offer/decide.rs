//! What may be done to an offer, and what a selection of it costs. Rules live here; nothing is changed.

use crate::catalogue::offer::event::{Choice, Group, NewPrice, OfferEvent, Published};
use crate::catalogue::offer::state::{Facts, Offer};
use crate::catalogue::offer::{OfferCommand, OfferError, Wanted};
use crate::money::{Currency, Money, MoneyError};
use crate::order::event::{Line, Price};
use chrono::{DateTime, Utc};
use std::collections::BTreeSet;

type Decision = Result<Vec<OfferEvent>, OfferError>;

impl Offer {
    /// The events that `command` leads to; none where it is so already.
    ///
    /// # Errors
    /// The reason why it is refused; nothing is to be recorded then.
    pub fn decide(&self, command: OfferCommand) -> Decision {
        match (self.facts(), command) {
            (None, OfferCommand::Publish(published)) => publish(*published),
            (None, _) => Err(OfferError::NoSuchOffer),
            (Some(facts), OfferCommand::Publish(again)) => facts.published_again(*again),
            (Some(facts), OfferCommand::Reprice { prices }) => facts.reprice(prices),
            (Some(facts), OfferCommand::Select { wanted }) => facts.select(&wanted),
            (Some(facts), OfferCommand::Withdraw { reason }) => Ok(facts.withdraw(reason)),
        }
    }

    /// What the wanted products cost together at `now`, in the order of the offer; without a wish, its own selection.
    ///
    /// # Errors
    /// What cannot be taken up: the offer ([`OfferExpired`](OfferError::OfferExpired) and the like), or the selection.
    pub fn price(&self, wanted: Option<&Wanted>, now: DateTime<Utc>) -> Result<Price, OfferError> {
        let facts = self.facts().ok_or(OfferError::NoSuchOffer)?;
        if facts.withdrawn.is_some() {
            return Err(OfferError::OfferIsWithdrawn);
        }
        if facts.published.expires_at.is_some_and(|until| until <= now) {
            return Err(OfferError::OfferExpired);
        }
        let chosen = match wanted {
            Some(wanted) => facts.chosen(wanted)?,
            None => facts.selection.clone(),
        };
        if chosen.is_empty() {
            return Err(OfferError::NothingSelected);
        }
        let is_chosen =
            |group: &str, code: &str| chosen.iter().any(|it| it.group == group && it.code == code);
        let lines = facts
            .lines()
            .filter(|(group, item, _)| is_chosen(group, &item.code))
            .map(|(_, _, line)| line);
        facts.sum(lines.collect())
    }

    /// What an order with this price costs now: each line that is a product of the offer at that product's present price.
    ///
    /// # Errors
    /// [`Unpriceable`](OfferError::Unpriceable) where the sum cannot be counted.
    pub fn repriced(&self, price: &Price) -> Result<Price, OfferError> {
        let facts = self.facts().ok_or(OfferError::NoSuchOffer)?;
        let now = |line: &Line| {
            facts
                .lines()
                .map(|(_, _, now)| now)
                .find(|now| now.name == line.name && now.description == line.description)
                .unwrap_or_else(|| line.clone())
        };
        facts.sum(price.lines.iter().map(now).collect())
    }
}

impl Facts {
    fn published_again(&self, it: Published) -> Decision {
        match publish(it)?.first() {
            Some(OfferEvent::OfferPublished(again)) if **again == self.published => Ok(vec![]),
            _ => Err(OfferError::PublishedDifferently),
        }
    }

    fn reprice(&self, prices: Vec<NewPrice>) -> Decision {
        self.must_stand()?;
        let mut seen = BTreeSet::new();
        let mut changed = Vec::new();
        for it in prices {
            let item = self.item_of(&it.group, &it.code)?;
            payable(it.price, self.published.currency)?;
            if !seen.insert((it.group.clone(), it.code.clone())) {
                return Err(OfferError::Repeated { name: it.code });
            }
            if item.price != it.price {
                changed.push(it);
            }
        }
        if changed.is_empty() {
            return Ok(vec![]);
        }
        Ok(vec![OfferEvent::OfferRepriced { prices: changed }])
    }

    fn select(&self, wanted: &Wanted) -> Decision {
        self.must_stand()?;
        let selection = self.chosen(wanted)?;
        if selection == self.selection {
            return Ok(vec![]);
        }
        Ok(vec![OfferEvent::SelectionChanged { selection }])
    }

    fn withdraw(&self, reason: String) -> Vec<OfferEvent> {
        match self.withdrawn {
            Some(_) => vec![],
            None => vec![OfferEvent::OfferWithdrawn { reason }],
        }
    }

    fn must_stand(&self) -> Result<(), OfferError> {
        match self.withdrawn {
            Some(_) => Err(OfferError::OfferIsWithdrawn),
            None => Ok(()),
        }
    }

    /// The wanted products, each once, in the order of the offer.
    fn chosen(&self, wanted: &Wanted) -> Result<Vec<Choice>, OfferError> {
        let mut named = BTreeSet::new();
        match wanted {
            Wanted::Grouped(groups) => {
                for (group, codes) in groups {
                    self.group_of(group)?;
                    for code in codes {
                        self.item_of(group, code)?;
                        named.insert((group.as_str(), code.as_str()));
                    }
                }
            }
            Wanted::Codes(codes) => {
                for code in codes {
                    named.insert((self.only_group_with(code)?, code.as_str()));
                }
            }
        }
        let choices = self
            .lines()
            .filter(|(group, item, _)| named.contains(&(*group, item.code.as_str())))
            .map(|(group, item, _)| Choice {
                group: group.to_owned(),
                code: item.code.clone(),
            });
        Ok(choices.collect())
    }

    fn group_of(&self, name: &str) -> Result<&super::PricedGroup, OfferError> {
        let found = self.groups.iter().find(|it| it.name == name);
        found.ok_or_else(|| OfferError::UnknownGroup {
            group: name.to_owned(),
        })
    }

    fn item_of(&self, group: &str, code: &str) -> Result<&crate::catalogue::Item, OfferError> {
        self.group_of(group)?;
        self.item(group, code)
            .ok_or_else(|| OfferError::UnknownCodeInGroup {
                group: group.to_owned(),
                code: code.to_owned(),
            })
    }

    /// The group that has the code, where only one has.
    fn only_group_with(&self, code: &str) -> Result<&str, OfferError> {
        let mut having = self
            .lines()
            .filter(|(_, item, _)| item.code == code)
            .map(|(group, ..)| group);
        match (having.next(), having.next()) {
            (Some(group), None) => Ok(group),
            (Some(_), Some(_)) => Err(OfferError::AmbiguousCode {
                code: code.to_owned(),
            }),
            (None, _) => Err(OfferError::UnknownCode {
                code: code.to_owned(),
            }),
        }
    }

    /// An offer's prices include whatever tax there is; it is not told apart.
    fn sum(&self, lines: Vec<Line>) -> Result<Price, OfferError> {
        let zero = Money::zero(self.published.currency);
        let total = lines
            .iter()
            .try_fold(zero, |sum, line| sum.plus(line.unit.times(line.quantity)?))?;
        Ok(Price {
            total,
            tax: zero,
            lines,
        })
    }
}

/// A new offer, its selection in its own order and without repetition.
fn publish(mut it: Published) -> Decision {
    usable(&it.number)?;
    if it.groups.is_empty() {
        return Err(OfferError::NothingOffered);
    }
    let mut names = BTreeSet::new();
    for group in &it.groups {
        usable(&group.name)?;
        once(&mut names, &group.name)?;
        check_products(group, it.currency)?;
    }
    for choice in &it.selection {
        known(&it.groups, choice)?;
    }
    let selected = |group: &str, code: &str| {
        it.selection
            .iter()
            .any(|it| it.group == group && it.code == code)
    };
    let all = it.groups.iter().flat_map(|group| {
        group
            .products
            .iter()
            .map(|product| (&group.name, &product.code))
    });
    it.selection = all
        .filter(|(group, code)| selected(group, code))
        .map(|(group, code)| Choice {
            group: group.clone(),
            code: code.clone(),
        })
        .collect();
    Ok(vec![OfferEvent::OfferPublished(Box::new(it))])
}

fn check_products(group: &Group, currency: Currency) -> Result<(), OfferError> {
    if group.products.is_empty() {
        return Err(OfferError::NothingOffered);
    }
    let mut codes = BTreeSet::new();
    for product in &group.products {
        usable(&product.code)?;
        usable(&product.name)?;
        once(&mut codes, &product.code)?;
        payable(product.price, currency)?;
    }
    Ok(())
}

fn known(groups: &[Group], choice: &Choice) -> Result<(), OfferError> {
    let group = groups.iter().find(|it| it.name == choice.group);
    let group = group.ok_or_else(|| OfferError::UnknownGroup {
        group: choice.group.clone(),
    })?;
    if group.products.iter().any(|it| it.code == choice.code) {
        Ok(())
    } else {
        Err(OfferError::UnknownCodeInGroup {
            group: choice.group.clone(),
            code: choice.code.clone(),
        })
    }
}

fn once<'a>(seen: &mut BTreeSet<&'a str>, name: &'a str) -> Result<(), OfferError> {
    if seen.insert(name) {
        Ok(())
    } else {
        Err(OfferError::Repeated {
            name: name.to_owned(),
        })
    }
}

fn usable(name: &str) -> Result<(), OfferError> {
    if (1..=Published::NAME_LENGTH_MAX).contains(&name.chars().count()) {
        Ok(())
    } else {
        Err(OfferError::UnusableName)
    }
}

/// A price of the offer's currency, from nothing to what can be charged at once.
fn payable(price: Money, currency: Currency) -> Result<(), OfferError> {
    if price.currency() != currency {
        return Err(MoneyError::CurrencyMismatch {
            left: currency,
            right: price.currency(),
        }
        .into());
    }
    if price.minor() < 0 {
        return Err(OfferError::NegativePrice);
    }
    if !price.is_zero() {
        price.chargeable()?;
    }
    Ok(())
}
