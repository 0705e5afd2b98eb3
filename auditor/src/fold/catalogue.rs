//! What merchants sell.

use super::read::{Money, Taken, Unreadable, money, number, text};
use super::{Of, Out};
use crate::events::{Event, Said};
use crate::spill::row;
use serde_json::Value;

/// An offer: products of which some are selected.
#[derive(Default)]
pub(super) struct Offer {
    number: Option<String>,
    currency: String,
    products: i64,
    selected: i64,
    withdrawn: bool,
}

impl Offer {
    pub fn take(&mut self, _event: &Event, said: &Said, _out: &mut Out) -> Taken {
        let body = &said.body;
        match said.name.as_str() {
            "OfferPublished" => {
                self.number = Some(text(body, "number")?.to_owned());
                self.currency = text(body, "currency")?.to_owned();
                let groups = body.get("groups").and_then(Value::as_array);
                let of_group = |group: &Value| length(group, "products");
                let products = groups.into_iter().flatten().map(of_group);
                self.products = products.sum::<Result<i64, Unreadable>>()?;
                self.selected = length(body, "selection")?;
            }
            "SelectionChanged" => self.selected = length(body, "selection")?,
            "OfferWithdrawn" => self.withdrawn = true,
            "OfferRepriced" => {}
            other => return Err(Unreadable(format!("nobody knows {other}"))),
        }
        Ok(())
    }

    pub fn end(self, of: &Of, out: &mut Out) {
        let Some(number) = self.number else {
            return;
        };
        out.offers.push(row![
            of.merchant,
            of.id,
            number,
            self.currency,
            self.products,
            self.selected,
            self.withdrawn,
            of.version,
            of.position
        ]);
    }
}

fn length(body: &Value, name: &str) -> Result<i64, Unreadable> {
    let list = body.get(name).and_then(Value::as_array);
    let length = list.and_then(|it| i64::try_from(it.len()).ok());
    length.ok_or_else(|| Unreadable(format!("`{name}` is no list")))
}

/// What is sold by the piece.
#[derive(Default)]
pub(super) struct Article {
    listed: Option<(String, i64, String)>,
    price: Money,
}

impl Article {
    pub fn take(&mut self, _event: &Event, said: &Said, _out: &mut Out) -> Taken {
        let body = &said.body;
        match said.name.as_str() {
            "ArticleListed" => {
                let (company, name) = (text(body, "company")?, text(body, "name")?);
                self.listed = Some((company.to_owned(), number(body, "number")?, name.to_owned()));
                self.price = money(body, "price")?;
            }
            "ArticleRepriced" => self.price = money(body, "price")?,
            other => return Err(Unreadable(format!("nobody knows {other}"))),
        }
        Ok(())
    }

    pub fn end(self, of: &Of, out: &mut Out) {
        let Some((company, number, name)) = self.listed else {
            return;
        };
        out.articles.push(row![
            of.merchant,
            of.id,
            company,
            number,
            name,
            self.price.currency,
            self.price.minor,
            of.version,
            of.position
        ]);
    }
}
