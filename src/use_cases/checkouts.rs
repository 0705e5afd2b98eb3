//! Checkouts: Stripe's own page (or form) on which an order of articles is paid. An order has one open at the most: the one
//! before is expired at Stripe before the next is opened, and where it was paid meanwhile, no other is opened.
//!
//! The request that opens a checkout is named by the order and its version, so that one that was cut off (a crash, a silent
//! Stripe) is found by whoever asks next, recorded, and expired like any other: none stays open that nobody knows of.

use aggregates::catalogue::ArticleError;
use aggregates::ids::{ArticleId, IntentionId, OrderId, PaymentId};
use aggregates::money::Money;
use aggregates::order::event::{Line, OrderEvent, Placed, Price};
use aggregates::order::state::{Facts, Status, WayToPay};
use aggregates::order::{Order, OrderCommand, OrderError};
use aggregates::payment::PaymentError;
use aggregates::stripe_request::{Method, Status as Asked};
use projections::fold::Versioned;
use serde_json::Value;
use std::sync::Arc;

use super::stripe_requests::Change;
use super::{App, AppError};
use crate::gateway::{self, CHECKOUT_KEY, StripeAnswer};
use crate::store::{Caller, Commit, Context, Decided, Merchant, Trouble};

/// The source of the orders that are placed for checkouts.
const SOURCE: &str = "checkout";
/// How many steps an opening takes at the most: what others do meanwhile takes some of them.
const STEPS_MAX: usize = 20;
/// How many times the opening may have been refused at one version of the order.
const ATTEMPTS_MAX: u32 = 100;

/// A checkout that is to be opened.
#[derive(Debug, Clone)]
pub struct OpenCheckout {
    /// A GUID, in lower case with hyphens.
    pub company: String,
    /// What the company calls that which is paid for.
    pub reference: String,
    /// Two letters.
    pub country: String,
    pub articles: Vec<CheckoutArticle>,
    pub shown: Shown,
}

/// So many of an article.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CheckoutArticle {
    pub number: u32,
    pub quantity: u32,
}

/// Where the payer sees it, and where the payer goes from there.
#[derive(Debug, Clone)]
pub enum Shown {
    /// On a page of Stripe's.
    Hosted {
        success_url: String,
        cancel_url: Option<String>,
    },
    /// In the caller's own page; without an address nobody is sent anywhere.
    Embedded { return_url: Option<String> },
}

/// How a checkout stands.
pub struct CheckoutStatus {
    pub customer_email: Option<String>,
    /// Stripe's word: `open`, `complete`, `expired`.
    pub status: String,
}

/// An opening, and on whose behalf.
struct Opening<'a> {
    merchant: &'a Merchant,
    context: &'a Context,
    customer: Option<&'a str>,
    order: OrderId,
    it: &'a OpenCheckout,
}

/// An order whose checkout is opened or closed, and on whose behalf.
#[derive(Clone, Copy)]
pub(super) struct At<'a> {
    pub merchant: &'a Merchant,
    pub context: &'a Context,
    pub order: OrderId,
}

impl Opening<'_> {
    fn at(&self) -> At<'_> {
        At {
            merchant: self.merchant,
            context: self.context,
            order: self.order,
        }
    }
}

/// What a step of an opening came to.
enum Step {
    /// Something was done: look again.
    Again,
    Opened(Box<StripeAnswer>),
}

impl App {
    /// Opens a checkout of the articles at their present prices, and invalidates the one that was open under the same reference.
    /// Answers Stripe's session, with the client secret where it has one.
    ///
    /// # Errors
    /// [`OrderError::AlreadyPaid`] and [`OrderError::PaymentUnderWay`] where somebody has paid meanwhile;
    /// [`ArticleError::NoSuchArticle`], also for another merchant's company; [`AppError::OutcomeUnknown`] where Stripe is
    /// silent: asking again goes on from there.
    pub async fn open_checkout(
        &self,
        caller: &Caller,
        door: &'static str,
        it: OpenCheckout,
    ) -> Result<StripeAnswer, AppError> {
        let (app, caller, context) = (self.clone(), caller.clone(), self.context(caller, door));
        self.command(async move {
            let reference = reference(&it);
            let opening = Opening {
                merchant: &caller.merchant,
                context: &context,
                customer: caller.customer.as_deref(),
                order: OrderId::derive(&caller.merchant.id, SOURCE, &reference),
                it: &it,
            };
            // Here one after the other; what other instances do is seen by the order's version.
            let lock = app.inner.locks.of(opening.order.uuid());
            let _alone = lock.lock().await;
            for _ in 0..STEPS_MAX {
                if let Step::Opened(answer) = app.step_towards(&opening).await? {
                    return Ok(*answer);
                }
            }
            Err(AppError::OutcomeUnknown)
        })
        .await
    }

    /// How a checkout of the company stands at Stripe.
    ///
    /// # Errors
    /// [`AppError::NotFound`], also for another company's or another merchant's.
    pub async fn checkout_status(
        &self,
        caller: &Caller,
        company: &str,
        session: &str,
    ) -> Result<CheckoutStatus, AppError> {
        let path = format!("/checkout/sessions/{session}");
        let said = self.read(&caller.merchant, &path, "").await?;
        let text = |path: &str| said.body.pointer(path).and_then(Value::as_str);
        let theirs = said.status < 300 && text("/metadata/company") == Some(company);
        match text("/status").filter(|_| theirs) {
            Some(status) => Ok(CheckoutStatus {
                customer_email: text("/customer_details/email")
                    .or(text("/customer_email"))
                    .map(str::to_owned),
                status: status.to_owned(),
            }),
            None => Err(AppError::NotFound {
                what: "checkout",
                id: session.to_owned(),
            }),
        }
    }

    async fn step_towards(&self, opening: &Opening<'_>) -> Result<Step, AppError> {
        let merchant = &opening.merchant.id;
        let before = self.inner.store.order(merchant, opening.order).await?;
        if let Some(facts) = before.state.facts() {
            must_be_theirs(opening, facts)?;
            match (&facts.status, &facts.live) {
                (Status::Paid { .. }, _) => return Err(OrderError::AlreadyPaid.into()),
                (Status::Cancelled { .. }, _) => return Err(OrderError::OrderIsCancelled.into()),
                (Status::Open, Some(WayToPay::Payment { .. })) => {
                    return Err(OrderError::PaymentUnderWay.into());
                }
                (
                    Status::Open,
                    Some(WayToPay::Checkout {
                        checkout, session, ..
                    }),
                ) => {
                    let because = "a new checkout was asked for";
                    self.close_checkout(opening.at(), &before, (*checkout, session), because)
                        .await?;
                    return Ok(Step::Again);
                }
                (Status::Open, None) => {}
            }
        }
        let (request, cut_off) = self.next_request(opening, before.version).await?;
        if !cut_off {
            let price = self.price_of(opening).await?;
            payable(opening.merchant, price.total)?;
            let events = placed_at(opening, price, &before)?;
            if !events.is_empty() {
                self.record_order(opening.at(), &before, events).await?;
                return Ok(Step::Again);
            }
        }
        let opened = self.open(opening, &before, request).await?;
        Ok(match opened {
            Some(answer) if !cut_off => Step::Opened(Box::new(answer)),
            // What somebody else asked for, and never heard of: it is recorded now, and makes way next.
            _ => Step::Again,
        })
    }

    /// The request that opens the order's next checkout, and whether it was asked for already and its outcome never recorded.
    async fn next_request(
        &self,
        opening: &Opening<'_>,
        version: u64,
    ) -> Result<(IntentionId, bool), AppError> {
        for attempt in 0..ATTEMPTS_MAX {
            let request = IntentionId::of_checkout(opening.order, version, attempt);
            let store = &self.inner.store;
            let known = store.stripe_request(&opening.merchant.id, request).await?;
            match known.state.facts().map(|facts| facts.status) {
                None => return Ok((request, false)),
                Some(Asked::Requested | Asked::Made) => return Ok((request, true)),
                Some(Asked::Refused) => {}
            }
        }
        Err(AppError::OutcomeUnknown)
    }

    /// Opens the session at Stripe and records it. None where the order has moved on meanwhile: the session is expired then.
    async fn open(
        &self,
        opening: &Opening<'_>,
        before: &Arc<Versioned<Order>>,
        request: IntentionId,
    ) -> Result<Option<StripeAnswer>, AppError> {
        let facts = before.state.facts().ok_or(AppError::Internal)?;
        let change = Change {
            method: Method::Post,
            path: "/checkout/sessions".to_owned(),
            form: form(opening, facts, request),
            customer: None,
            makes_intent: true,
        };
        let (merchant, context) = (opening.merchant, opening.context);
        let answer = self.change_once(merchant, context, request, change).await?;
        if answer.status >= 300 {
            let (refusal, _) = gateway::error_from(answer.status, answer.body);
            return Err(AppError::Refused(refusal));
        }
        let session = answer.body.get("id").and_then(Value::as_str);
        let session = session.ok_or(AppError::OutcomeUnknown)?.to_owned();
        let events = before.state.decide(OrderCommand::OpenCheckout {
            checkout: PaymentId::from_uuid(request.uuid()),
            session: session.clone(),
            amount: facts.total(),
        })?;
        if self.record_order(opening.at(), before, events).await? {
            return Ok(Some(answer));
        }
        // Another instance may have recorded the very same; anything else leaves this session without an order.
        let store = &self.inner.store;
        let now = store.order(&merchant.id, opening.order).await?;
        let live = now.state.facts().and_then(|facts| facts.live.as_ref());
        if live.is_none_or(|way| way.id().uuid() != request.uuid()) {
            self.expire(opening.at(), &session).await?;
        }
        Ok(None)
    }

    /// Ends the checkout that is open: expired at Stripe, then invalidated here. One that was paid meanwhile stays, and its
    /// payment is brought in.
    pub(super) async fn close_checkout(
        &self,
        at: At<'_>,
        before: &Arc<Versioned<Order>>,
        (checkout, session): (PaymentId, &str),
        because: &str,
    ) -> Result<(), AppError> {
        let said = self.expire(at, session).await?;
        if said.status >= 300 && !self.is_spent(at, session).await? {
            return Ok(());
        }
        let events = before.state.decide(OrderCommand::ReleasePayment {
            payment: checkout,
            because: because.to_owned(),
        })?;
        self.record_order(at, before, events).await?;
        Ok(())
    }

    async fn expire(&self, at: At<'_>, session: &str) -> Result<StripeAnswer, AppError> {
        let change = Change {
            method: Method::Post,
            path: format!("/checkout/sessions/{session}/expire"),
            form: String::new(),
            customer: None,
            makes_intent: false,
        };
        self.carry_out(at.merchant, at.context, change, None).await
    }

    /// Whether a session that cannot be expired can bring no money any more. Where it has brought some, the payment is
    /// recorded, and with it what it means for the order.
    async fn is_spent(&self, at: At<'_>, session: &str) -> Result<bool, AppError> {
        let (merchant, context) = (at.merchant, at.context);
        let path = format!("/checkout/sessions/{session}");
        let said = self
            .read(merchant, &path, "expand[]=payment_intent")
            .await?;
        let text = |path: &str| said.body.pointer(path).and_then(Value::as_str);
        match (text("/status"), text("/payment_intent/status")) {
            (Some("expired"), _) => Ok(true),
            (Some("complete"), Some("requires_payment_method" | "canceled")) => Ok(true),
            (Some("complete"), Some("succeeded")) => {
                let intent = text("/payment_intent/id").ok_or(AppError::OutcomeUnknown)?;
                let payment = self.find_or_adopt(merchant, context, intent).await?;
                self.refreshed(merchant, payment, context).await?;
                Ok(false)
            }
            _ => Err(OrderError::PaymentUnderWay.into()),
        }
    }

    /// The articles at their present prices.
    async fn price_of(&self, opening: &Opening<'_>) -> Result<Price, AppError> {
        let mut lines = Vec::new();
        for it in &opening.it.articles {
            let id = ArticleId::derive(&opening.merchant.id, &opening.it.company, it.number);
            let article = self.inner.store.article(&opening.merchant.id, id).await?;
            let facts = article.state.facts().ok_or(ArticleError::NoSuchArticle)?;
            lines.push(Line {
                name: facts.item.name.clone(),
                unit: facts.item.price,
                quantity: it.quantity,
                description: String::new(),
            });
        }
        let currency = lines.first().map(|line| line.unit.currency());
        let zero = Money::zero(currency.ok_or(ArticleError::NoSuchArticle)?);
        let total = lines
            .iter()
            .try_fold(zero, |sum, line| sum.plus(line.unit.times(line.quantity)?))
            .map_err(ArticleError::from)?;
        Ok(Price {
            total,
            tax: zero,
            lines,
        })
    }

    /// Records what becomes of the order. False where somebody else was first.
    async fn record_order(
        &self,
        at: At<'_>,
        before: &Arc<Versioned<Order>>,
        events: Vec<OrderEvent>,
    ) -> Result<bool, AppError> {
        let commit = Commit {
            order: Some(Decided {
                id: at.order,
                before: Arc::clone(before),
                events,
            }),
            ..Commit::default()
        };
        let store = &self.inner.store;
        match store.commit(&at.merchant.id, at.context, commit).await {
            Ok(_) => Ok(true),
            Err(Trouble::Conflict) => Ok(false),
            Err(trouble) => Err(trouble.into()),
        }
    }
}

/// The order's name: a company's GUID is of one length, so that it cannot run into the reference.
fn reference(it: &OpenCheckout) -> String {
    format!("{}/{}", it.company, it.reference)
}

/// Another customer's order is answered as one that is not there.
fn must_be_theirs(opening: &Opening<'_>, facts: &Facts) -> Result<(), AppError> {
    if opening.customer.is_none() || opening.customer == facts.customer.as_deref() {
        return Ok(());
    }
    Err(AppError::NotFound {
        what: "order",
        id: opening.it.reference.clone(),
    })
}

/// Below the smallest charge of its currency nothing is asked of Stripe.
fn payable(merchant: &Merchant, amount: Money) -> Result<(), AppError> {
    let amount = amount.chargeable().map_err(OrderError::from)?;
    match amount.currency().minimum_charge() {
        Some(minimum) if merchant.enforce_minimum && amount.minor() < minimum.minor() => {
            Err(PaymentError::AmountTooSmall { amount, minimum }.into())
        }
        _ => Ok(()),
    }
}

/// What makes the order one at this price: it is placed, or takes it; nothing where it has it.
fn placed_at(
    opening: &Opening<'_>,
    price: Price,
    order: &Versioned<Order>,
) -> Result<Vec<OrderEvent>, AppError> {
    let command = match order.state.facts() {
        Some(_) => OrderCommand::Reprice { price },
        None => OrderCommand::PlaceOrder(Box::new(Placed {
            merchant: opening.merchant.id.clone(),
            source: SOURCE.to_owned(),
            reference: reference(opening.it),
            number: Some(opening.it.reference.clone()),
            customer: opening.customer.map(str::to_owned),
            price,
            personal: None,
        })),
    };
    Ok(order.state.decide(command)?)
}

/// The session, as Stripe is asked for it. Its intent is marked with the order and the checkout, so that its money finds them.
fn form(opening: &Opening<'_>, order: &Facts, request: IntentionId) -> String {
    let it = opening.it;
    let mut pairs: Vec<(String, String)> = Vec::new();
    let mut add = |name: &str, value: &str| pairs.push((name.to_owned(), value.to_owned()));
    add("mode", "payment");
    add("metadata[company]", &it.company);
    add("metadata[reference]", &it.reference);
    add("metadata[country]", &it.country);
    let mark = format!("{}/{request}", opening.order);
    add(
        &format!("payment_intent_data[metadata][{CHECKOUT_KEY}]"),
        &mark,
    );
    match &it.shown {
        Shown::Hosted {
            success_url,
            cancel_url,
        } => {
            add("ui_mode", "hosted");
            add("success_url", success_url);
            if let Some(cancel_url) = cancel_url {
                add("cancel_url", cancel_url);
            }
        }
        Shown::Embedded { return_url } => {
            add("ui_mode", "embedded");
            match return_url {
                Some(return_url) => add("return_url", return_url),
                None => add("redirect_on_completion", "never"),
            }
        }
    }
    for (index, line) in shown_lines(&order.price).iter().enumerate() {
        let name = |of: &str| format!("line_items[{index}]{of}");
        add(&name("[quantity]"), &line.quantity.to_string());
        let currency = line.unit.currency().code();
        add(&name("[price_data][currency]"), &currency);
        let unit = line.unit.minor().to_string();
        add(&name("[price_data][unit_amount]"), &unit);
        add(&name("[price_data][product_data][name]"), &line.name);
    }
    serde_urlencoded::to_string(pairs).expect("pairs of texts always encode")
}

/// Stripe takes no negative line: where there is a rebate, the whole is one line.
fn shown_lines(price: &Price) -> Vec<Line> {
    if price.lines.iter().all(|line| line.unit.minor() >= 0) {
        return price.lines.clone();
    }
    let names: Vec<&str> = price.lines.iter().map(|line| line.name.as_str()).collect();
    vec![Line {
        name: names.join(", "),
        unit: price.total,
        quantity: 1,
        description: String::new(),
    }]
}
