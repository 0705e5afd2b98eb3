//! Reading payment sources: one as it stands at Stripe just now, or a page of them as the ledger knows them; their orders and the
//! account that takes the money.

use aggregates::ids::{OrderId, PaymentId};
use aggregates::order::OrderError;
use aggregates::order::Status as OrderStatus;
use aggregates::payment::{Facts, PaymentError};
use chrono::{DateTime, Utc};
use projections::listed::{Listed, Wanted};
use secrecy::SecretString;
use serde_json::Value;
use std::sync::Arc;

use super::PaymentSource;
use crate::gateway::StripeAnswer;
use crate::store::{Caller, Context, Merchant};
use crate::use_cases::payments::PaymentAnswer;
use crate::use_cases::{App, AppError};

/// What only Stripe can tell of a payment source.
#[derive(Debug, Clone, Default)]
pub struct AtStripe {
    /// For the payer's browser alone: answered, never kept.
    pub client_secret: Option<SecretString>,
    pub on_behalf_of: Option<String>,
    pub transfer_group: Option<String>,
    pub instrument: Option<Instrument>,
}

/// What a payer pays with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Instrument {
    /// Stripe's word for its kind, such as `card`.
    pub kind: String,
    /// Of a card: who issued it, its brand, and what may be shown of it.
    pub issuer: Option<String>,
    pub brand: Option<String>,
    pub last_digits: Option<String>,
    pub expires: Option<(i64, i64)>,
}

/// A page of payment sources, and how many there are in all.
#[derive(Debug, Clone)]
pub struct SourcePage {
    pub sources: Vec<PaymentSource>,
    pub total: u64,
}

/// An order, as it is shown.
#[derive(Debug, Clone)]
pub struct OrderView {
    pub id: OrderId,
    pub facts: aggregates::order::Facts,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    /// The payment that paid it, or by which it can be paid.
    pub payment: Option<Facts>,
}

/// The account that takes a merchant's money.
#[derive(Debug, Clone)]
pub struct StripeView {
    /// `acct_…`, where it is configured.
    pub account: Option<String>,
    pub publishable_key: Option<String>,
    pub live: bool,
    /// Since when the merchant is here.
    pub since: DateTime<Utc>,
}

impl App {
    /// A payment source as it stands at Stripe just now; as it is known here where Stripe does not answer.
    ///
    /// # Errors
    /// [`AppError::NotFound`], also for another merchant's.
    pub async fn payment_source(
        &self,
        caller: &Caller,
        door: &'static str,
        short_id: &str,
    ) -> Result<PaymentSource, AppError> {
        let (app, merchant, context, short_id) = (
            self.clone(),
            caller.merchant.clone(),
            self.context(caller, door),
            short_id.to_owned(),
        );
        self.command(async move {
            let found = app.listed(&merchant, &short_id).await?;
            let answer = app.refreshed(&merchant, found.payment, &context).await?;
            app.as_source(&merchant, answer).await
        })
        .await
    }

    /// A payment source as the ledger knows it.
    ///
    /// # Errors
    /// [`AppError::NotFound`], also for another merchant's.
    pub async fn known_payment_source(
        &self,
        caller: &Caller,
        short_id: &str,
    ) -> Result<PaymentSource, AppError> {
        let found = self.listed(&caller.merchant, short_id).await?;
        self.as_listed_in(&caller.merchant, &found).await
    }

    /// The payment sources that are wanted, as the ledger knows them.
    ///
    /// # Errors
    /// Where the store cannot be used.
    pub async fn payment_sources(
        &self,
        caller: &Caller,
        wanted: &Wanted,
    ) -> Result<SourcePage, AppError> {
        let store = &self.inner.store;
        let page = store.payment_sources(&caller.merchant.id, wanted).await?;
        let mut sources = Vec::with_capacity(page.rows.len());
        for row in &page.rows {
            sources.push(self.as_listed_in(&caller.merchant, row).await?);
        }
        Ok(SourcePage {
            sources,
            total: page.total,
        })
    }

    /// The order of that short id.
    ///
    /// # Errors
    /// [`AppError::NotFound`], also for another merchant's.
    pub async fn order_view(&self, caller: &Caller, short_id: &str) -> Result<OrderView, AppError> {
        let merchant = &caller.merchant;
        let id = self.order_called(merchant, "record", short_id).await?;
        let store = &self.inner.store;
        let order = store.order(&merchant.id, id).await?;
        let facts = order.state.facts().ok_or(OrderError::NoSuchOrder)?.clone();
        let times = store.times_of_order(&merchant.id, id).await?;
        let (created_at, updated_at) = times.ok_or(AppError::Internal)?;
        let payment = match &facts.status {
            OrderStatus::Paid { payment } => Some(*payment),
            OrderStatus::Open | OrderStatus::Cancelled { .. } => facts.live_payment(),
        };
        let payment = match payment {
            Some(payment) => store
                .payment(&merchant.id, payment)
                .await?
                .state
                .facts()
                .cloned(),
            None => None,
        };
        Ok(OrderView {
            id,
            facts,
            created_at,
            updated_at,
            payment,
        })
    }

    /// The account that takes the caller's money.
    ///
    /// # Errors
    /// Where the store cannot be used.
    pub async fn stripe_view(&self, merchant: &Merchant) -> Result<StripeView, AppError> {
        let account = self.inner.gateway.account(&merchant.stripe_account);
        let keys = &self.inner.store.keys;
        let since = keys.merchant_since(&merchant.id).await.map_err(Arc::new)?;
        Ok(StripeView {
            account: account.and_then(|it| it.id.clone()),
            publishable_key: account.and_then(|it| it.publishable_key.clone()),
            live: account.is_some_and(|it| it.is_live()),
            since: since.ok_or(AppError::Internal)?,
        })
    }

    /// The order that the caller calls so.
    pub(super) async fn order_called(
        &self,
        merchant: &Merchant,
        what: &'static str,
        short_id: &str,
    ) -> Result<OrderId, AppError> {
        let found = self.inner.store.order_by_short_id(&merchant.id, short_id);
        found.await?.ok_or_else(|| AppError::NotFound {
            what,
            id: short_id.to_owned(),
        })
    }

    /// The payment source that the caller calls so.
    pub(super) async fn listed(
        &self,
        merchant: &Merchant,
        short_id: &str,
    ) -> Result<Listed, AppError> {
        let found = self.inner.store.payment_source(&merchant.id, short_id);
        let found = found.await?.filter(|it| it.listed);
        found.ok_or_else(|| AppError::NotFound {
            what: "payment source",
            id: short_id.to_owned(),
        })
    }

    async fn as_listed_in(
        &self,
        merchant: &Merchant,
        row: &Listed,
    ) -> Result<PaymentSource, AppError> {
        let payment = self.inner.store.payment(&merchant.id, row.payment).await?;
        let facts = payment.state.facts().ok_or(PaymentError::NoSuchPayment)?;
        let personal = self.personal(&merchant.id, facts).await?;
        let email = personal.and_then(|it| it.email);
        self.of_row(merchant, row, facts.clone(), email).await
    }

    /// The payment source that an answer is about.
    pub(super) async fn as_source(
        &self,
        merchant: &Merchant,
        answer: PaymentAnswer,
    ) -> Result<PaymentSource, AppError> {
        let store = &self.inner.store;
        let row = store
            .payment_source(&merchant.id, &answer.id.short())
            .await?;
        let row = row.ok_or(AppError::Internal)?;
        let at_stripe = match &answer.intent {
            Some(view) => {
                let mut at_stripe = told(answer.said.as_deref());
                at_stripe.client_secret.clone_from(&view.client_secret);
                at_stripe.instrument = self.instrument(merchant, &answer.facts).await;
                Some(at_stripe)
            }
            None => None,
        };
        let source = self.of_row(merchant, &row, answer.facts, answer.personal.email);
        Ok(PaymentSource {
            at_stripe,
            ..source.await?
        })
    }

    async fn of_row(
        &self,
        merchant: &Merchant,
        row: &Listed,
        facts: Facts,
        email: Option<String>,
    ) -> Result<PaymentSource, AppError> {
        let order = self.inner.store.order(&merchant.id, row.order).await?;
        let order = order.state.facts().ok_or(OrderError::NoSuchOrder)?;
        Ok(PaymentSource {
            id: row.payment,
            facts,
            order_id: row.order,
            order: order.clone(),
            created_at: row.created_at,
            updated_at: row.updated_at,
            email,
            at_stripe: None,
        })
    }

    /// What the payer pays with, as Stripe shows it; none where it does not.
    async fn instrument(&self, merchant: &Merchant, facts: &Facts) -> Option<Instrument> {
        let method = facts.payment_method.as_ref()?;
        let path = format!("/payment_methods/{method}");
        let said = self.read(merchant, &path, "").await.ok()?;
        (said.status < 300).then(|| instrument(&said.body))
    }

    /// The payment as it stands at Stripe just now.
    ///
    /// # Errors
    /// [`AppError::OutcomeUnknown`] where Stripe does not answer.
    pub(super) async fn pulled(
        &self,
        merchant: &Merchant,
        context: &Context,
        payment: PaymentId,
    ) -> Result<PaymentAnswer, AppError> {
        self.drive(merchant, payment, context, None).await?;
        let answer = self.refreshed(merchant, payment, context).await?;
        match answer.intent {
            Some(_) => Ok(answer),
            None => Err(AppError::OutcomeUnknown),
        }
    }
}

fn told(said: Option<&StripeAnswer>) -> AtStripe {
    let text = |name: &str| {
        let value = said.and_then(|it| it.body.get(name));
        value.and_then(Value::as_str).map(str::to_owned)
    };
    AtStripe {
        on_behalf_of: text("on_behalf_of"),
        transfer_group: text("transfer_group"),
        ..AtStripe::default()
    }
}

fn instrument(method: &Value) -> Instrument {
    let kind = method.get("type").and_then(Value::as_str);
    let card = |name: &str| method.get("card")?.get(name);
    let text = |name: &str| card(name).and_then(Value::as_str).map(str::to_owned);
    let number = |name: &str| card(name).and_then(Value::as_i64);
    Instrument {
        kind: kind.unwrap_or("card").to_owned(),
        issuer: text("issuer"),
        brand: text("brand"),
        last_digits: text("last4"),
        expires: number("exp_month").zip(number("exp_year")),
    }
}
