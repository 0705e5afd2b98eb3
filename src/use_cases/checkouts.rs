//! Checkouts: Stripe's own page (or form) on which an order of articles is paid. An order has one open at the most: the one
//! before is expired at Stripe before the next is asked for, and where it was paid meanwhile, no other is opened.
//!
//! The order itself records that a checkout was asked for, together with the request: one that was cut off (a crash, a silent
//! Stripe) is found by whoever asks next and by recovery, ended, and expired like any other. None stays open that nobody knows
//! of. What this guards against is told in `docs/decisions/0008-one-open-checkout.md`.

use aggregates::catalogue::ArticleError;
use aggregates::ids::{ArticleId, IntentionId, OrderId, PaymentId};
use aggregates::money::Money;
use aggregates::order::event::{Line, OrderEvent, Placed, Price};
use aggregates::order::state::{Facts, Status, WayToPay};
use aggregates::order::{Order, OrderCommand, OrderError};
use aggregates::payment::PaymentError;
use aggregates::stripe_request::Method;
use projections::fold::Versioned;
use std::sync::Arc;

use super::idempotency::{Idempotency, Standing};
use super::sessions::SESSIONS;
use super::stripe_requests::{Change, ClaimedChange, EndedChange};
use super::{App, AppError};
use crate::gateway::{self, CHECKOUT_KEY, CheckoutMark, StripeAnswer};
use crate::store::{Caller, Commit, Context, Decided, Merchant, Trouble};

/// The source of the orders that are placed for checkouts.
const SOURCE: &str = "checkout";
/// How many steps an opening takes at the most: what others do meanwhile takes some of them.
const STEPS_MAX: usize = 60;
/// The longest name of a line that stands for several, in characters.
const NAME_LENGTH_MAX: usize = 250;

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

/// An opening, and on whose behalf.
struct Opening<'a> {
    merchant: &'a Merchant,
    context: &'a Context,
    customer: Option<&'a str>,
    order: OrderId,
    it: &'a OpenCheckout,
    key: Option<&'a Idempotency>,
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
        key: Option<Idempotency>,
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
                key: key.as_ref(),
            };
            if let Some(answer) = app.claimed_before(&opening).await? {
                return opened(answer);
            }
            // Here one after the other; what other instances do is seen by the order's version.
            let lock = app.inner.locks.of(opening.order.uuid());
            let _alone = lock.lock().await;
            for _ in 0..STEPS_MAX {
                if let Step::Opened(answer) = app.step_towards(&opening).await? {
                    return opened(*answer);
                }
            }
            Err(AppError::OutcomeUnknown)
        })
        .await
    }

    /// The answer that the caller's key has already, or that its running request comes to. None where it is free.
    async fn claimed_before(
        &self,
        opening: &Opening<'_>,
    ) -> Result<Option<StripeAnswer>, AppError> {
        let (merchant, context) = (opening.merchant, opening.context);
        let standing = self.standing(merchant, opening.key).await?;
        if matches!(standing, Standing::Free) {
            return Ok(None);
        }
        let was_open = matches!(standing, Standing::Open(ClaimedChange { .. }));
        let answer = self
            .answer_claimed(merchant, context, standing, opening.key)
            .await?;
        match opening.key {
            // It came to nothing while somebody else went on with it: the key is free for another attempt.
            Some(key) if was_open && answer.status >= 500 => {
                let commit = Commit {
                    completes: Some(key.completion(&EndedChange { not_begun: true })),
                    ..Commit::default()
                };
                match self.inner.store.commit(&merchant.id, context, commit).await {
                    Ok(_) | Err(Trouble::Claimed(_)) => Err(AppError::OutcomeUnknown),
                    Err(trouble) => Err(trouble.into()),
                }
            }
            _ => Ok(Some(answer)),
        }
    }

    async fn step_towards(&self, opening: &Opening<'_>) -> Result<Step, AppError> {
        let (merchant, context) = (opening.merchant, opening.context);
        let before = self.inner.store.order(&merchant.id, opening.order).await?;
        // After the order was read: a checkout that is seen there under this key has its claim as well.
        if let Some(answer) = self.claimed_before(opening).await? {
            return Ok(Step::Opened(Box::new(answer)));
        }
        let live = match before.state.facts() {
            Some(facts) => {
                must_be_theirs(opening, facts)?;
                must_be_open(facts)?;
                facts.live.clone()
            }
            None => None,
        };
        // What cannot be asked for closes nothing.
        let price = self.price_of(opening).await?;
        payable(merchant, price.total)?;
        let first = placed_at(opening, price.clone(), &before)?;
        match live {
            Some(WayToPay::Payment { .. }) => Err(OrderError::PaymentUnderWay.into()),
            Some(way) => {
                self.take_checkout_off(merchant, context, opening.order, &way)
                    .await?;
                Ok(Step::Again)
            }
            None => self.open(opening, &before, (first, &price)).await,
        }
    }

    /// Intends the checkout: of the order, as a request, and as what the caller's key stands for, in one append; and asks Stripe.
    async fn open(
        &self,
        opening: &Opening<'_>,
        before: &Arc<Versioned<Order>>,
        (mut events, price): (Vec<OrderEvent>, &Price),
    ) -> Result<Step, AppError> {
        let (merchant, context) = (opening.merchant, opening.context);
        let request = IntentionId::from_uuid(self.inner.store.ids.uuid());
        let mut order = before.state.clone();
        events.iter().for_each(|event| order.apply(event));
        events.extend(order.decide(OrderCommand::RequestCheckout {
            checkout: PaymentId::from_uuid(request.uuid()),
        })?);
        let change = Change {
            method: Method::Post,
            path: SESSIONS.to_owned(),
            form: form(opening, price, request),
            customer: None,
            makes_intent: true,
            order: Some(opening.order),
        };
        let commit = Commit {
            order: Some(Decided {
                id: opening.order,
                before: Arc::clone(before),
                events,
            }),
            stripe_request: Some(self.asked(merchant, request, change).await?),
            claim: opening.key.map(|key| key.claim(&ClaimedChange { request })),
            ..Commit::default()
        };
        match self.inner.store.commit(&merchant.id, context, commit).await {
            Ok(_) => {}
            Err(Trouble::Conflict | Trouble::Claimed(_)) => return Ok(Step::Again),
            Err(trouble) => return Err(trouble.into()),
        }
        let answer = self
            .drive_change(merchant, context, request, opening.key)
            .await?;
        Ok(Step::Opened(Box::new(answer)))
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
}

/// The session; or why Stripe opened none.
fn opened(answer: StripeAnswer) -> Result<StripeAnswer, AppError> {
    match answer.status {
        ..300 => Ok(answer),
        // Its own failure, which left nothing behind: the next attempt may fare better.
        500.. => Err(AppError::OutcomeUnknown),
        status => Err(AppError::Refused(
            gateway::error_from(status, answer.body).0,
        )),
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

fn must_be_open(facts: &Facts) -> Result<(), OrderError> {
    match facts.status {
        Status::Open => Ok(()),
        Status::Paid { .. } => Err(OrderError::AlreadyPaid),
        Status::Cancelled { .. } => Err(OrderError::OrderIsCancelled),
    }
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

/// The session, as Stripe is asked for it. It and its intent are marked with the order and the checkout, so that what becomes of
/// them finds both.
fn form(opening: &Opening<'_>, price: &Price, request: IntentionId) -> String {
    let it = opening.it;
    let mut pairs: Vec<(String, String)> = Vec::new();
    let mut add = |name: &str, value: &str| pairs.push((name.to_owned(), value.to_owned()));
    add("mode", "payment");
    add("metadata[company]", &it.company);
    add("metadata[reference]", &it.reference);
    add("metadata[country]", &it.country);
    let mark = CheckoutMark {
        order: opening.order,
        checkout: PaymentId::from_uuid(request.uuid()),
    };
    let mark = mark.to_string();
    add(&format!("metadata[{CHECKOUT_KEY}]"), &mark);
    add(
        &format!("payment_intent_data[metadata][{CHECKOUT_KEY}]"),
        &mark,
    );
    // Where Stripe makes the intent at once, its secret is told along with it.
    add("expand[]", "payment_intent");
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
    for (index, line) in shown_lines(price).iter().enumerate() {
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
    let whole = names.join(", ");
    let name = match whole.char_indices().nth(NAME_LENGTH_MAX) {
        Some((end, _)) => format!("{}…", &whole[..end]),
        None => whole,
    };
    vec![Line {
        name,
        unit: price.total,
        quantity: 1,
        description: String::new(),
    }]
}
