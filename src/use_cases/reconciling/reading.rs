//! Stripe's answers, page by page, as they are kept.

use aggregates::reconciliation::items::{Shown, Theirs};
use aggregates::reconciliation::{Item, Kind, Subject};
use serde_json::Value;
use std::collections::HashSet;
use strum::IntoEnumIterator;
use uuid::Uuid;

use super::gathering::Shows;
use super::{Progress, Stage, Stepped, Working};
use crate::gateway::{self, ShownList, ShownPage};
use crate::store::Place;
use crate::use_cases::AppError;

/// The most that Stripe shows at once.
const PAGE: usize = 100;
/// How often the balance is read again because something was booked meanwhile.
const BALANCE_TRIES: u64 = 10;

impl Working {
    pub(super) async fn read_list(
        &self,
        progress: &mut Progress,
        list: ShownList,
        after: Option<String>,
    ) -> Result<Stepped, AppError> {
        let page = self.page(list, list.query(), after.as_deref()).await?;
        let next = page.last.clone().filter(|_| page.has_more);
        let items = self.with_twins(page.items).await?;
        let following = || ShownList::iter().find(|it| *it > list);
        let stage = match (next, following()) {
            (Some(last), _) => Stage::List {
                list,
                after: Some(last),
            },
            (None, Some(list)) => Stage::List { list, after: None },
            (None, None) => Stage::PayoutItems {
                after: String::new(),
                within: None,
            },
        };
        match stage {
            Stage::List { list: next, .. } if next == list => progress.stage = stage,
            stage => progress.to(stage),
        }
        Ok(Stepped {
            page: Some(items),
            ..Stepped::default()
        })
    }

    /// The items of one payout, or of the next one that Stripe can itemise.
    pub(super) async fn read_items(
        &self,
        progress: &mut Progress,
        after: String,
        within: Option<(String, Option<String>)>,
    ) -> Result<Stepped, AppError> {
        let (payout, place) = match within {
            Some(it) => it,
            None => match self.next_itemised(&after).await? {
                Some(payout) => (payout, None),
                None => {
                    progress.to(Stage::Balance);
                    return Ok(Stepped::default());
                }
            },
        };
        let which = serde_urlencoded::to_string([("payout", payout.as_str())]);
        let which = which.map_err(|_| AppError::Internal)?;
        let query = format!("expand%5B%5D=data.source&{which}");
        let list = ShownList::BalanceTransactions;
        let page = self.page(list, &query, place.as_deref()).await?;
        let next = page.last.clone().filter(|_| page.has_more);
        let of_payout = page.items.into_iter().filter_map(|it| item_of(&payout, it));
        let items = of_payout.collect();
        progress.stage = match next {
            Some(last) => Stage::PayoutItems {
                after,
                within: Some((payout, Some(last))),
            },
            None => Stage::PayoutItems {
                after: payout,
                within: None,
            },
        };
        Ok(Stepped {
            page: Some(items),
            ..Stepped::default()
        })
    }

    /// The first payout after that one of which Stripe can tell what it is made of.
    async fn next_itemised(&self, after: &str) -> Result<Option<String>, AppError> {
        let runs = &self.app.inner.store.reconciliations;
        let subject = Subject::payout(after).to_string();
        let mut place = Place(subject, i16::MAX, String::new());
        loop {
            let items = runs.items(self.run, &place, 200).await;
            let items = items.map_err(AppError::from_sqlx)?;
            let Some((last, _)) = items.last().cloned() else {
                return Ok(None);
            };
            for (_, item) in items {
                if item.subject.kind() != Kind::Payout {
                    return Ok(None);
                }
                match item.shown {
                    Shown::Theirs(Theirs::Payout(it)) if it.itemised => return Ok(Some(it.payout)),
                    _ => {}
                }
            }
            place = last;
        }
    }

    /// What Stripe holds, at a moment at which all that it had booked was read.
    pub(super) async fn read_balance(&self, progress: &mut Progress) -> Result<Stepped, AppError> {
        let said = self.ask("/balance", "").await?;
        let held = gateway::balance_from(said).map_err(unreadable)?;
        let list = ShownList::BalanceTransactions;
        let newest = self.page(list, list.query(), None).await?.items;
        let names: Vec<String> = newest.iter().map(|it| it.name().1).collect();
        let runs = &self.app.inner.store.reconciliations;
        let known = runs.subjects_of(self.run, &names).await;
        let known = known.map_err(AppError::from_sqlx)?;
        let mut items: Vec<Item> = newest
            .into_iter()
            .filter(|it| !known.contains_key(&it.name().1))
            .collect();
        if items.is_empty() || progress.done >= BALANCE_TRIES {
            items.extend(held.into_iter().map(|it| Item {
                subject: Subject::whole(it.currency()),
                shown: Shown::Theirs(Theirs::Balance(it)),
            }));
            progress.to(Stage::Gathering {
                shows: Shows::Payments,
                after: 0,
            });
        }
        Ok(Stepped {
            page: Some(items),
            ..Stepped::default()
        })
    }

    /// An intent of a payment of ours which has another one is that one's twin.
    pub(super) async fn with_twins(&self, mut items: Vec<Item>) -> Result<Vec<Item>, AppError> {
        let named: HashSet<Uuid> = items
            .iter()
            .filter_map(|it| match &it.shown {
                Shown::Theirs(Theirs::Intent(it)) => it.payment().map(|it| it.uuid()),
                _ => None,
            })
            .collect();
        if named.is_empty() {
            return Ok(items);
        }
        let named: Vec<Uuid> = named.into_iter().collect();
        let runs = &self.app.inner.store.reconciliations;
        let known = runs.intents_of(&self.merchant.id, &named).await;
        let known = known.map_err(AppError::from_sqlx)?;
        for item in &mut items {
            if let Shown::Theirs(Theirs::Intent(it)) = &mut item.shown {
                let own = it.payment().and_then(|of| known.get(&of));
                it.twin_of = own.filter(|own| **own != it.intent).cloned();
            }
        }
        Ok(items)
    }

    /// A page of one of Stripe's lists.
    pub(super) async fn page(
        &self,
        list: ShownList,
        query: &str,
        after: Option<&str>,
    ) -> Result<ShownPage, AppError> {
        let mut query = format!("limit={PAGE}&{query}");
        if let Some(after) = after {
            let pair = serde_urlencoded::to_string([("starting_after", after)]);
            query = format!("{query}&{}", pair.map_err(|_| AppError::Internal)?);
        }
        let said = self.ask(&list.path(), query.trim_end_matches('&')).await?;
        let page = gateway::shown_from(list, said).map_err(unreadable)?;
        for (object, error) in &page.unreadable {
            // It is left out, so that what we have of it is missing at Stripe: people will look.
            tracing::error!(merchant = %self.merchant.id, %object, %error, "an object of Stripe's cannot be read");
        }
        Ok(page)
    }

    /// What Stripe answers to a reading.
    pub(super) async fn ask(&self, path: &str, query: &str) -> Result<Value, AppError> {
        let said = self.app.read(&self.merchant, path, query).await?;
        if said.status >= 300 {
            let (refusal, _) = gateway::error_from(said.status, said.body);
            return Err(AppError::Refused(refusal));
        }
        Ok(said.body)
    }
}

/// A balance transaction as a part of a payout. Stripe lists the payout's own booking beside what it is made of.
fn item_of(payout: &str, item: Item) -> Option<Item> {
    let Shown::Theirs(Theirs::Booking(it)) = item.shown else {
        return None;
    };
    let own = it.source.as_deref() == Some(payout);
    (!own).then(|| Item {
        subject: Subject::payout(payout),
        shown: Shown::Theirs(Theirs::PayoutItem {
            net: it.net,
            id: it.id,
        }),
    })
}

fn unreadable(error: gateway::Unreadable) -> AppError {
    tracing::error!(%error, "what Stripe shows cannot be read");
    AppError::Internal
}
