//! The order of the steps: decide, record the intention, ask Stripe, record the outcome. No rules, no wire formats.
//!
//! A door calls one method of [`App`] and renders what comes back. Every method that changes something runs in a task of
//! its own, so a caller that hangs up cancels nothing.

mod adoption;
mod articles;
mod banking;
mod bookkeeping;
mod catalogue_changes;
mod checkouts;
mod claims;
mod deliveries;
mod drive;
mod endpoint_keys;
mod endpoints;
mod feed;
mod idempotency;
mod inbox;
mod kept;
mod limits;
mod locks;
mod marks;
mod noticing;
mod offers;
mod once;
mod order_changes;
mod orders;
mod patience;
mod payment_sources;
mod payments;
mod polling;
mod presence;
mod reading;
mod rebuilds;
mod reconciling;
mod recovery;
mod refunds;
mod refusals;
mod register;
mod sessions;
mod settling;
mod steps;
mod stripe_requests;
mod verdict;
mod webhooks;
mod worker;

pub use crate::gateway::{Card, StripeAnswer};
pub use banking::{BankAccount, Imported, MatchError, NotABankAccount, Person};
pub use bookkeeping::{CloseError, PastError};
pub use catalogue_changes::{ArticleView, OfferView};
pub use checkouts::{CheckoutArticle, OpenCheckout, Shown};
pub use claims::KEYS_KEPT_FOR;
pub use deliveries::Outbound;
pub use endpoints::{
    CreateEndpoint, EVENTS_VERSION, EndpointAnswer, EndpointError, Listed, UpdateEndpoint,
};
pub use feed::{Feed, FeedError, Next};
pub use idempotency::Idempotency;
pub use inbox::InboxPatience;
pub use limits::RateLimit;
pub use offers::{OfferAnswer, PayOffer};
pub use order_changes::{KeptOrder, Outcome};
pub use orders::{OrderAnswer, PlaceOrder, Terms};
pub use payment_sources::{
    AtStripe, ChangeSource, CreateSource, GivenIntent, Instrument, OrderView, PaymentSource,
    Removal, SourceChange, SourceError, SourcePage, StripeOptions, StripeView,
};
pub use payments::{CreatePayment, PaymentAnswer};
pub use polling::Polling;
pub use projections::listed;
pub use reading::{PaymentView, PriceSince};
pub use rebuilds::{RebuildView, StartRebuild, StartRebuildError};
pub use reconciling::{
    Amount as ReportAmount, BreakChange, BreakError, CameTo, Head as ReportHead,
    Line as ReportLine, NoRepeat, ReconcileError, Repeated, Report, Seen as ReconcileSeen,
    Tail as ReportTail, json_head, json_line, json_tail,
};
pub use recovery::{ByHand, Parked, Recovery, SettleError, Settler, TrafficLimits};
pub use refunds::{RefundAnswer, RefundOf, RefundPayment};
pub use register::{
    CreateKey, CreateMerchant, KeyAnswer, MerchantView, RegisterError, new_key_id, new_secret,
};
pub use sessions::CheckoutStatus;
pub use settling::Settled;
pub use steps::{PaymentStep, Update};
pub use stripe_requests::Change;
pub use verdict::Verdict;
pub(crate) use webhooks::parse as parse_webhook;
pub use webhooks::{Secrets as WebhookSecrets, WebhookError};

use aggregates::catalogue::{ArticleError, OfferError};
use aggregates::ids::{CommandId, IntentionId, MerchantId};
use aggregates::metadata::Actor;
use aggregates::order::OrderError;
use aggregates::payment::PaymentError;
use aggregates::payment::event::Refusal;
use moka::sync::Cache;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::crash_point;
use crate::gateway::Gateway;
use crate::store::{Caller, Context, Merchant, Store, Trouble, VaultError};
use limits::Allowances;
use locks::Locks;
use recovery::Traffic;

/// The use cases and what they work with. Clones are the same application.
#[derive(Clone)]
pub struct App {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    gateway: Gateway,
    options: Options,
    tasks: TaskTracker,
    locks: Locks,
    allowances: Option<Allowances>,
    delivered: Notify,
    due: settling::Due,
    webhook_secrets: webhooks::Secrets,
    outbound: Outbound,
    recovery: Recovery,
    traffic: Traffic,
    /// Why the last attempt at an intention had no outcome.
    silences: Cache<IntentionId, String>,
    stopping: CancellationToken,
    public_url: String,
}

/// How many intentions without an outcome are remembered with why.
const SILENCES_REMEMBERED: u64 = 10_000;

/// How long callers wait, and how what Stripe tells is taken in.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// For an answer, at the most; the command goes on without its caller.
    pub answer_within: Duration,
    /// For a command that runs already under the same idempotency key.
    pub join_within: Duration,
    /// For each key; none lets any number in.
    pub rate_limit: Option<RateLimit>,
    pub inbox: InboxPatience,
    /// Off unless it is asked for.
    pub polling: Option<Polling>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            answer_within: Duration::from_secs(25),
            join_within: Duration::from_secs(10),
            rate_limit: None,
            inbox: InboxPatience::default(),
            polling: None,
        }
    }
}

/// Why a use case has no answer. Doors dress it; nothing here knows of HTTP.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// There is no such thing, or it is not the caller's: the same, word for word.
    #[error("no such {what}: '{id}'")]
    NotFound { what: &'static str, id: String },
    #[error(transparent)]
    Payment(#[from] PaymentError),
    #[error(transparent)]
    Order(#[from] OrderError),
    #[error(transparent)]
    Offer(#[from] OfferError),
    #[error(transparent)]
    Article(#[from] ArticleError),
    /// Stripe refused for good; nothing was done.
    #[error("{}", .0.message)]
    Refused(Refusal),
    /// The same request was refused before, in these words, which were kept under its key.
    #[error("this was refused before")]
    RefusedBefore(Box<StripeAnswer>),
    /// The order's own payment has not paid it; `status` is where it stands.
    #[error("the order is not paid: its payment is {status}")]
    NotPaid { status: String },
    /// Nobody knows yet what came of it. Repeating the call is safe and goes on with the same payment.
    #[error("the outcome is not known yet")]
    OutcomeUnknown,
    /// The same request is running.
    #[error("a request with this idempotency key is still running")]
    KeyInUse,
    /// The key has asked too often; it may ask again in `wait_s` seconds.
    #[error("too many requests with this key")]
    TooManyRequests { wait_s: u64 },
    /// The key was used for another request.
    #[error("this idempotency key was used with other parameters")]
    KeyReused,
    /// The store cannot be used; nothing was done.
    #[error("the store cannot be used just now")]
    Unavailable,
    /// A bug or a broken database; the log says what.
    #[error("something went wrong here")]
    Internal,
}

impl App {
    /// `webhook_secrets`: the endpoint's secrets by the configuration name of the Stripe account; several while one is rolled.
    /// `public_url`: where people's browsers reach the service, without a closing slash.
    pub fn new(
        store: Store,
        gateway: Gateway,
        webhook_secrets: webhooks::Secrets,
        options: Options,
        outbound: Outbound,
        recovery: Recovery,
        public_url: String,
    ) -> Self {
        let inner = Inner {
            store,
            gateway,
            options,
            tasks: TaskTracker::new(),
            locks: Locks::default(),
            allowances: options.rate_limit.and_then(Allowances::new),
            delivered: Notify::new(),
            due: settling::Due::default(),
            webhook_secrets,
            outbound,
            recovery,
            traffic: Traffic::new(recovery.traffic),
            silences: Cache::new(SILENCES_REMEMBERED),
            stopping: CancellationToken::new(),
            public_url,
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// Where people's browsers reach the service, without a closing slash.
    pub fn public_url(&self) -> &str {
        &self.inner.public_url
    }

    /// What is kept: for authentication, health and the operator's tools.
    pub fn store(&self) -> &Store {
        &self.inner.store
    }

    /// Cancelled when the service stops: what would go on for ever ends then.
    pub fn stopping(&self) -> &CancellationToken {
        &self.inner.stopping
    }

    /// Runs a command in a task of its own and waits for it, within the time that callers wait.
    async fn command<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, AppError>> + Send + 'static,
    ) -> Result<T, AppError> {
        let work = async move {
            crash_point!("command-begun");
            let ended = work.await;
            crash_point!("command-ended");
            ended
        };
        let task = self
            .inner
            .tasks
            .spawn(tracing::Instrument::in_current_span(work));
        match tokio::time::timeout(self.inner.options.answer_within, task).await {
            Ok(Ok(result)) => result,
            Ok(Err(panic)) => {
                tracing::error!(%panic, "a command failed");
                Err(AppError::Internal)
            }
            Err(_) => Err(AppError::OutcomeUnknown),
        }
    }

    /// Waits until every command that runs has ended.
    pub async fn drain(&self) {
        self.inner.tasks.close();
        self.inner.tasks.wait().await;
    }

    /// A merchant that something recorded is of.
    async fn merchant(&self, id: &MerchantId) -> Result<Merchant, AppError> {
        let found = self.inner.store.keys.merchant(id).await;
        found.map_err(Arc::new)?.ok_or(AppError::Internal)
    }

    /// The circumstances of a new command of a caller.
    fn context(&self, caller: &Caller, door: &str) -> Context {
        let name = match &caller.customer {
            Some(customer) => format!("customer:{customer}"),
            None => format!("key:{}", caller.key_id),
        };
        let actor = Actor {
            name,
            key_id: Some(caller.key_id.clone()),
            door: door.to_owned(),
        };
        self.context_of(actor)
    }

    /// A caller as somebody who decides something of their merchant's books.
    pub fn person(&self, caller: &Caller, door: &str, because: String) -> Person {
        Person {
            merchant: caller.merchant.id.clone(),
            actor: self.context(caller, door).actor,
            because,
        }
    }

    /// The circumstances of a new command of anybody.
    fn context_of(&self, actor: Actor) -> Context {
        let command = self.inner.store.ids.uuid();
        Context {
            actor,
            command_id: CommandId::from_uuid(command),
            correlation_id: command,
            causation_id: None,
            reason: None,
            claimed_at: None,
        }
    }
}

impl From<Trouble> for AppError {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Unknown => Self::OutcomeUnknown,
            Trouble::Conflict | Trouble::Claimed(_) => Self::KeyInUse,
            Trouble::Broken(error) => {
                tracing::error!(%error, "the store cannot be used");
                Self::Unavailable
            }
        }
    }
}

impl From<VaultError> for AppError {
    fn from(error: VaultError) -> Self {
        tracing::error!(%error, "the vault cannot be used");
        Self::Unavailable
    }
}

impl From<sqlx::Error> for AppError {
    fn from(error: sqlx::Error) -> Self {
        tracing::error!(%error, "the store cannot be used");
        Self::Unavailable
    }
}

impl From<Arc<sqlx::Error>> for AppError {
    fn from(error: Arc<sqlx::Error>) -> Self {
        tracing::error!(%error, "the store cannot be used");
        Self::Unavailable
    }
}
