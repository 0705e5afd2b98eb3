//! Webhook endpoints of merchants: made, changed, rolled, deleted, and what was delivered to them.

use aggregates::ids::MerchantId;
use aggregates::payment::terms::{Metadata, MetadataError};
use chrono::Utc;
use futures::FutureExt;
use secrecy::SecretString;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{App, AppError, Idempotency};
use crate::outbound::{self, UrlRefused};
use crate::store::{Caller, CreationKey, Endpoint, LoggedDelivery, Made, Page};

/// The version of Stripe's API that events come in: they are passed on as Stripe rendered them.
pub const EVENTS_VERSION: &str = "2023-08-16";
/// In characters, by Stripe's rule.
const DESCRIPTION_LENGTH_MAX: usize = 5000;
/// What a merchant calls it that has none of that id.
const ENDPOINT: &str = "webhook endpoint";
const DELIVERY: &str = "webhook delivery";

/// An endpoint to be made.
#[derive(Debug, Clone, Default)]
pub struct CreateEndpoint {
    pub url: String,
    pub enabled_events: Vec<String>,
    pub description: Option<String>,
    pub metadata: BTreeMap<String, String>,
    pub api_version: Option<String>,
}

/// What is to change in an endpoint; what is none stays.
#[derive(Debug, Clone, Default)]
pub struct UpdateEndpoint {
    pub url: Option<String>,
    pub enabled_events: Option<Vec<String>>,
    /// An empty one is taken off.
    pub description: Option<String>,
    pub disabled: Option<bool>,
    /// An empty value unsets its key.
    pub metadata: BTreeMap<String, String>,
    /// All metadata is unset first.
    pub clear_metadata: bool,
}

/// An endpoint, as its merchant may see it.
#[derive(Debug, Clone)]
pub struct EndpointAnswer {
    pub endpoint: Endpoint,
    pub livemode: bool,
    /// Only just after it was made or rolled.
    pub secret: Option<SecretString>,
    /// It was made before, under the same idempotency key.
    pub replayed: bool,
}

/// A page of a list, newest first, and whether there are more that way.
#[derive(Debug, Clone)]
pub struct Listed<T> {
    pub items: Vec<T>,
    pub has_more: bool,
}

/// Why an endpoint is not made or changed.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    #[error("Invalid URL: {0}.")]
    Url(#[from] UrlRefused),
    #[error("You must name at least one event type in enabled_events, or '*' for all of them.")]
    NoEvents,
    /// Where in the list it stands. It is not repeated: it is the caller's text.
    #[error("Invalid enabled_events[{0}]: it is no event type of Stripe's, and not '*'.")]
    UnknownEvent(usize),
    #[error("Invalid api_version: events are delivered in the version {EVENTS_VERSION}.")]
    ApiVersion,
    #[error("Invalid description: at most {DESCRIPTION_LENGTH_MAX} characters.")]
    Description,
    #[error("Invalid metadata: {0}.")]
    Metadata(#[from] MetadataError),
    #[error("You have reached the maximum of 16 webhook endpoints.")]
    TooMany,
    #[error(transparent)]
    App(#[from] AppError),
}

impl From<sqlx::Error> for EndpointError {
    fn from(error: sqlx::Error) -> Self {
        Self::App(Arc::new(error).into())
    }
}

impl EndpointError {
    /// The parameter that is at fault, in Stripe's bracket notation.
    pub fn param(&self) -> Option<String> {
        match self {
            Self::Url(_) => Some("url".to_owned()),
            Self::NoEvents => Some("enabled_events".to_owned()),
            Self::UnknownEvent(index) => Some(format!("enabled_events[{index}]")),
            Self::ApiVersion => Some("api_version".to_owned()),
            Self::Description => Some("description".to_owned()),
            Self::Metadata(_) => Some("metadata".to_owned()),
            Self::TooMany | Self::App(_) => None,
        }
    }
}

type Answer = Result<EndpointAnswer, EndpointError>;

impl App {
    /// Makes an endpoint. Its secret is in this answer alone.
    ///
    /// # Errors
    /// [`EndpointError`]; nothing was made.
    pub async fn create_endpoint(
        &self,
        caller: &Caller,
        it: CreateEndpoint,
        key: Option<Idempotency>,
    ) -> Answer {
        let live = self.is_live(caller);
        let endpoint = Endpoint {
            id: format!("we_{}", hex::encode(self.inner.store.ids.bytes::<12>())),
            url: self.receivable(&it.url, live)?,
            enabled_events: event_types(it.enabled_events)?,
            description: described(it.description)?,
            metadata: Metadata::parse(it.metadata)?.as_map().clone(),
            api_version: it.api_version,
            enabled: true,
            created_at: Utc::now(),
            generation: 1,
            rolled_at: None,
        };
        if endpoint
            .api_version
            .as_ref()
            .is_some_and(|version| version != EVENTS_VERSION)
        {
            return Err(EndpointError::ApiVersion);
        }
        let (app, merchant, named) = (self.clone(), caller.merchant.id.clone(), key.clone());
        let work = |_| {
            async move {
                let to = app.clone();
                let made = app.command(async move {
                    // Cut off after it was made, and gone on with: it is found by this.
                    let key = named.as_ref().map(|key| CreationKey {
                        key: &key.key,
                        hash: key.fingerprint,
                    });
                    let endpoints = &to.inner.store.endpoints;
                    let made = endpoints.create(&merchant, &endpoint, key).await;
                    made.map_err(|error| Arc::new(error).into())
                });
                match made.await? {
                    Made::New(endpoint) | Made::Again(endpoint) => Ok(endpoint),
                    Made::KeyReused => Err(AppError::KeyReused.into()),
                    Made::TooMany => Err(EndpointError::TooMany),
                }
            }
            .boxed()
        };
        let (endpoint, replayed) = self.keeping_once(caller, key, 0, work).await?;
        Ok(EndpointAnswer {
            replayed,
            ..self.with_secret(caller, endpoint)
        })
    }

    /// The endpoint of that id.
    ///
    /// # Errors
    /// Where it is not the caller's, or the store cannot be read.
    pub async fn webhook_endpoint(&self, caller: &Caller, id: &str) -> Answer {
        let found = self
            .inner
            .store
            .endpoints
            .get(&caller.merchant.id, id)
            .await?;
        let endpoint = found.ok_or_else(|| not_found(ENDPOINT, id))?;
        Ok(self.shown(caller, endpoint))
    }

    /// The caller's endpoints, newest first.
    ///
    /// # Errors
    /// Where the cursor is none of them, or the store cannot be read.
    pub async fn webhook_endpoints(
        &self,
        caller: &Caller,
        page: &Page,
    ) -> Result<Listed<EndpointAnswer>, EndpointError> {
        let all = self.inner.store.endpoints.all(&caller.merchant.id).await?;
        let listed = paged(all, page)?;
        Ok(Listed {
            items: listed
                .items
                .into_iter()
                .map(|it| self.shown(caller, it))
                .collect(),
            has_more: listed.has_more,
        })
    }

    /// Changes an endpoint.
    ///
    /// # Errors
    /// [`EndpointError`]; nothing was changed.
    pub async fn update_endpoint(
        &self,
        caller: &Caller,
        id: &str,
        it: UpdateEndpoint,
        key: Option<Idempotency>,
    ) -> Answer {
        let live = self.is_live(caller);
        let url = it.url.map(|url| self.receivable(&url, live)).transpose()?;
        let events = it.enabled_events.map(event_types).transpose()?;
        let changes_description = it.description.is_some();
        let description = described(it.description)?;
        let change = move |endpoint: &mut Endpoint| {
            let metadata = Metadata::parse(std::mem::take(&mut endpoint.metadata))?;
            endpoint.metadata = metadata
                .merged(&it.metadata, it.clear_metadata)?
                .as_map()
                .clone();
            endpoint.url = url.unwrap_or_else(|| std::mem::take(&mut endpoint.url));
            endpoint.enabled_events =
                events.unwrap_or_else(|| std::mem::take(&mut endpoint.enabled_events));
            if changes_description {
                endpoint.description = description;
            }
            endpoint.enabled = it.disabled.map_or(endpoint.enabled, |disabled| !disabled);
            Ok(())
        };
        let (app, by, named) = (self.clone(), caller.clone(), id.to_owned());
        let work = |_| async move { app.changed(&by, &named, change).await }.boxed();
        let (changed, replayed) = self.keeping_once(caller, key, 0, work).await?;
        Ok(EndpointAnswer {
            replayed,
            ..self.shown(caller, changed)
        })
    }

    /// Gives an endpoint a new secret, which is in this answer alone. For a day the old one signs beside it.
    ///
    /// # Errors
    /// Where it is not the caller's, or the store cannot be written.
    pub async fn roll_endpoint_secret(
        &self,
        caller: &Caller,
        id: &str,
        key: Option<Idempotency>,
    ) -> Answer {
        let now = Utc::now();
        // One that is not there is missed by the work: the key is looked at first.
        let before = self.webhook_endpoint(caller, id).await;
        let generation = before.map_or(0, |it| it.endpoint.generation);
        let (app, by, named) = (self.clone(), caller.clone(), id.to_owned());
        let is_keyed = key.is_some();
        let work = move |from: i32| {
            let change = move |endpoint: &mut Endpoint| {
                // Cut off after it was rolled, and gone on with: it is rolled already.
                if is_keyed && endpoint.generation != from {
                    return Ok(());
                }
                let next = endpoint.generation.checked_add(1);
                endpoint.generation = next.ok_or(EndpointError::App(AppError::Internal))?;
                endpoint.rolled_at = Some(now);
                Ok(())
            };
            async move { app.changed(&by, &named, change).await }.boxed()
        };
        let rolled = self.keeping_once(caller, key, generation, work);
        let (rolled, replayed) = rolled.await?;
        Ok(EndpointAnswer {
            replayed,
            ..self.with_secret(caller, rolled)
        })
    }

    /// Deletes an endpoint: nothing more is sent to it. Says whether that was done before, under the same key.
    ///
    /// # Errors
    /// Where it is not the caller's, or the store cannot be written.
    pub async fn delete_endpoint(
        &self,
        caller: &Caller,
        id: &str,
        key: Option<Idempotency>,
    ) -> Result<bool, EndpointError> {
        let (app, merchant, named) = (self.clone(), caller.merchant.id.clone(), id.to_owned());
        let work = |_| {
            async move {
                let to = app.clone();
                let (of, it) = (merchant, named.clone());
                let deleted = app.command(async move {
                    let deleted = to.inner.store.endpoints.delete(&of, &it).await;
                    deleted.map_err(|error| Arc::new(error).into())
                });
                if deleted.await? {
                    Ok(())
                } else {
                    Err(not_found(ENDPOINT, &named).into())
                }
            }
            .boxed()
        };
        let ((), replayed) = self.keeping_once(caller, key, 0, work).await?;
        Ok(replayed)
    }

    /// What was, is and will be delivered to an endpoint, newest first.
    ///
    /// # Errors
    /// Where the endpoint or the cursor is not the caller's, or the store cannot be read.
    pub async fn deliveries(
        &self,
        caller: &Caller,
        endpoint: &str,
        page: &Page,
    ) -> Result<Listed<LoggedDelivery>, EndpointError> {
        self.webhook_endpoint(caller, endpoint).await?;
        let outgoing = &self.inner.store.outgoing;
        let found = outgoing.log(&caller.merchant.id, endpoint, page).await?;
        let (items, has_more) = found.ok_or_else(|| not_found(DELIVERY, cursor(page)))?;
        Ok(Listed { items, has_more })
    }

    /// Delivers once more, whatever came of it before. Says as well whether that was asked before, under the same key.
    ///
    /// # Errors
    /// Where it is not the caller's, or the store cannot be written.
    pub async fn redeliver(
        &self,
        caller: &Caller,
        endpoint: &str,
        delivery: &str,
        key: Option<Idempotency>,
    ) -> Result<(LoggedDelivery, bool), EndpointError> {
        let (app, by, merchant) = (self.clone(), caller.clone(), caller.merchant.id.clone());
        let (of, named) = (endpoint.to_owned(), delivery.to_owned());
        let work = |_| {
            async move {
                app.webhook_endpoint(&by, &of).await?;
                let to = app.clone();
                let it = named.clone();
                let again = app.command(async move {
                    let again = to.inner.store.outgoing.again(&merchant, &of, &it).await;
                    again.map_err(|error| Arc::new(error).into())
                });
                let again = again.await?;
                again.ok_or_else(|| not_found(DELIVERY, &named).into())
            }
            .boxed()
        };
        self.keeping_once(caller, key, 0, work).await
    }

    async fn changed(
        &self,
        caller: &Caller,
        id: &str,
        change: impl FnOnce(&mut Endpoint) -> Result<(), EndpointError> + Send + 'static,
    ) -> Result<Endpoint, EndpointError> {
        let (app, merchant, named) = (self.clone(), caller.merchant.id.clone(), id.to_owned());
        let changed = self.command(async move {
            let endpoints = &app.inner.store.endpoints;
            Ok(endpoints.change(&merchant, &named, change).await)
        });
        let changed = changed.await??;
        changed.ok_or_else(|| not_found(ENDPOINT, id).into())
    }

    fn is_live(&self, caller: &Caller) -> bool {
        let account = &caller.merchant.stripe_account;
        self.inner.outbound.live_accounts.contains(account)
    }

    /// The URL, where webhooks may be sent to it. Live ones go nowhere in the clear.
    fn receivable(&self, url: &str, live: bool) -> Result<String, UrlRefused> {
        let parsed = self.inner.outbound.options.reach.url(url)?;
        if live && parsed.scheme() != "https" {
            return Err(UrlRefused::NotSecure);
        }
        Ok(url.to_owned())
    }

    fn shown(&self, caller: &Caller, endpoint: Endpoint) -> EndpointAnswer {
        EndpointAnswer {
            endpoint,
            livemode: self.is_live(caller),
            secret: None,
            replayed: false,
        }
    }

    fn with_secret(&self, caller: &Caller, endpoint: Endpoint) -> EndpointAnswer {
        let secret = self.secret_of(&caller.merchant.id, &endpoint);
        EndpointAnswer {
            secret: Some(secret),
            ..self.shown(caller, endpoint)
        }
    }

    fn secret_of(&self, merchant: &MerchantId, it: &Endpoint) -> SecretString {
        self.inner
            .store
            .endpoints
            .secret(merchant, &it.id, it.generation)
    }
}

fn not_found(what: &'static str, id: &str) -> AppError {
    AppError::NotFound {
        what,
        id: id.to_owned(),
    }
}

fn cursor(page: &Page) -> &str {
    let named = page.starting_after.as_ref().or(page.ending_before.as_ref());
    named.map_or("", String::as_str)
}

/// Each once, in the order they were named.
fn event_types(named: Vec<String>) -> Result<Vec<String>, EndpointError> {
    if named.is_empty() {
        return Err(EndpointError::NoEvents);
    }
    if let Some(index) = named.iter().position(|it| !outbound::is_event_type(it)) {
        return Err(EndpointError::UnknownEvent(index));
    }
    let mut seen = BTreeSet::new();
    Ok(named
        .into_iter()
        .filter(|it| seen.insert(it.clone()))
        .collect())
}

fn described(text: Option<String>) -> Result<Option<String>, EndpointError> {
    match text {
        Some(text) if text.chars().count() > DESCRIPTION_LENGTH_MAX => {
            Err(EndpointError::Description)
        }
        text => Ok(text.filter(|text| !text.is_empty())),
    }
}

/// The page of a list that is short enough to be here whole, newest first.
fn paged(mut all: Vec<Endpoint>, page: &Page) -> Result<Listed<Endpoint>, EndpointError> {
    let at = |id: &String| {
        all.iter()
            .position(|it| it.id == *id)
            .ok_or_else(|| not_found(ENDPOINT, id))
    };
    let limit = usize::try_from(page.limit).unwrap_or(0);
    let (from, to) = match (&page.starting_after, &page.ending_before) {
        (Some(after), _) => {
            let from = at(after)? + 1;
            (from, all.len().min(from.saturating_add(limit)))
        }
        (None, Some(before)) => {
            let to = at(before)?;
            (to.saturating_sub(limit), to)
        }
        (None, None) => (0, all.len().min(limit)),
    };
    let backwards = page.starting_after.is_none() && page.ending_before.is_some();
    let has_more = if backwards { from > 0 } else { to < all.len() };
    all.truncate(to);
    let items = all.split_off(from);
    Ok(Listed { items, has_more })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(id: &str) -> Endpoint {
        Endpoint {
            id: id.to_owned(),
            url: "https://example.com".to_owned(),
            enabled_events: vec!["*".to_owned()],
            description: None,
            metadata: BTreeMap::new(),
            api_version: None,
            enabled: true,
            created_at: chrono::DateTime::UNIX_EPOCH,
            generation: 1,
            rolled_at: None,
        }
    }

    fn page(limit: i64, after: Option<&str>, before: Option<&str>) -> Option<(String, bool)> {
        let all = ["d", "c", "b", "a"].map(endpoint).to_vec();
        let page = Page {
            limit,
            starting_after: after.map(str::to_owned),
            ending_before: before.map(str::to_owned),
        };
        let listed = paged(all, &page).ok()?;
        let ids: String = listed.items.iter().map(|it| it.id.as_str()).collect();
        Some((ids, listed.has_more))
    }

    #[test]
    fn a_page_begins_after_its_cursor_or_ends_before_it_and_says_whether_there_are_more() {
        let is = |ids: &str, more| Some((ids.to_owned(), more));
        assert_eq!(page(10, None, None), is("dcba", false));
        assert_eq!(page(2, None, None), is("dc", true));
        assert_eq!(page(2, Some("c"), None), is("ba", false));
        assert_eq!(page(1, Some("c"), None), is("b", true));
        assert_eq!(page(10, Some("a"), None), is("", false));
        assert_eq!(page(1, None, Some("b")), is("c", true));
        assert_eq!(page(2, None, Some("b")), is("dc", false));
        assert_eq!(page(2, None, Some("d")), is("", false));
        assert_eq!(page(2, Some("x"), None), None);
    }

    #[test]
    fn event_types_are_stripes_or_all_and_each_is_named_once() {
        let of = |names: &[&str]| event_types(names.iter().map(|it| (*it).to_owned()).collect());
        assert_eq!(
            of(&["*", "charge.refunded", "*"]).unwrap(),
            ["*", "charge.refunded"]
        );
        assert!(matches!(of(&[]), Err(EndpointError::NoEvents)));
        let unknown = of(&["charge.refunded", "charge.exploded"]);
        assert!(matches!(unknown, Err(EndpointError::UnknownEvent(1))));
    }
}
