//! The requests to Stripe, built by async-stripe's types and sent over our own [`wire`](super::wire). The one file that names async-stripe.

use aggregates::ids::IntentionId;
use aggregates::payment::event::{CancellationReason, Changes, CreateRequested, RefundReason};
use aggregates::payment::state::Step;
use aggregates::payment::terms::{CaptureMethod, ConfirmTerms, Metadata, Parameters};
use bytes::Bytes;
use reqwest::Method;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, OnceLock};
use stripe_client_core::{
    CustomizedStripeRequest, IdempotencyKey, RequestBuilder, RequestStrategy, StripeClient,
    StripeClientErr, StripeMethod, StripeRequest,
};
use stripe_core::payment_intent::{
    CancelPaymentIntent, CancelPaymentIntentCancellationReason, CapturePaymentIntent,
    ConfirmPaymentIntent, ConfirmPaymentIntentOffSession, CreatePaymentIntent,
    CreatePaymentIntentShipping, CreatePaymentIntentShippingAddress, RetrievePaymentIntent,
    UpdatePaymentIntent, UpdatePaymentIntentShipping, UpdatePaymentIntentShippingAddress,
};
use stripe_core::refund::{CreateRefund, CreateRefundReason, RetrieveRefund};
use stripe_payment::payment_method::{
    BillingDetailsAddress, BillingDetailsInnerParams, CreatePaymentMethod, CreatePaymentMethodCard,
    CreatePaymentMethodCardDetailsParams, CreatePaymentMethodType,
};
use stripe_shared::PaymentIntentCaptureMethod;

use super::answers::{self, IntentView, RefundView, Unreadable};
use super::wire::{Account, Answer, Call, GatewayOptions, Wire};
use super::{
    Effect, MERCHANT_KEY, Outcome, PAYMENT_KEY, REFUND_KEY, RefundEffect, Request, Silence,
    SilenceKind, StripeAnswer, Verb,
};
use crate::personal::{Address, Personal, Shipping};

/// Stripe, for any number of accounts of ours.
pub struct Gateway {
    wire: Wire,
    accounts: HashMap<String, Account>,
}

/// A card as a caller gave it: in memory, on its way to Stripe, nowhere else.
pub struct Card {
    pub number: SecretString,
    pub cvc: Option<SecretString>,
    pub exp_month: i64,
    pub exp_year: i64,
    pub name: Option<String>,
    pub email: Option<String>,
    pub phone: Option<String>,
    pub address: Option<Address>,
}

impl Gateway {
    /// `accounts`: by the configuration name that merchants refer to.
    ///
    /// # Errors
    /// When the HTTP client cannot be built.
    pub fn new(
        options: GatewayOptions,
        accounts: HashMap<String, Account>,
    ) -> Result<Self, reqwest::Error> {
        Ok(Self {
            wire: Wire::new(options)?,
            accounts,
        })
    }

    /// Whether a key for this account is configured.
    pub fn knows(&self, account: &str) -> bool {
        self.accounts.contains_key(account)
    }

    /// The configuration names of all accounts.
    pub fn account_names(&self) -> Vec<String> {
        self.accounts.keys().cloned().collect()
    }

    /// What is configured of this account.
    pub fn account(&self, account: &str) -> Option<&Account> {
        self.accounts.get(account)
    }

    /// Makes a payment method of a raw card. Moves no money, so it has no intention and no key, and is sent once.
    pub async fn payment_method(&self, account: &str, card: &Card) -> Outcome<String> {
        let request = payment_method(card).build();
        self.ask(account, request, None, |object| {
            object
                .get("id")
                .and_then(Value::as_str)
                .map(str::to_owned)
                .ok_or_else(|| Unreadable::missing("id"))
        })
        .await
    }

    /// Asks Stripe for one step of a payment. A decline is something it said: the intent shows it.
    pub async fn perform(&self, account: &str, effect: Effect<'_>) -> Outcome<IntentView> {
        let Some(request) = step(&effect) else {
            let why = "the payment has no intent at Stripe yet";
            return Outcome::Unknown(Silence::new(SilenceKind::NotSent, why));
        };
        self.ask(
            account,
            request,
            Some(effect.intention),
            answers::intent_from,
        )
        .await
    }

    /// Asks Stripe for a refund.
    pub async fn refund(&self, account: &str, effect: RefundEffect<'_>) -> Outcome<RefundView> {
        let mut built = refund(&effect).build();
        pass_on(&mut built, &effect.refund.parameters);
        self.ask(account, built, Some(effect.refund.id), refund_view)
            .await
    }

    /// The intent as it stands now.
    pub async fn intent(&self, account: &str, intent: &str) -> Outcome<IntentView> {
        self.ask(
            account,
            RetrievePaymentIntent::new(intent).build(),
            None,
            answers::intent_from,
        )
        .await
    }

    /// The refund as it stands now.
    pub async fn refund_by_id(&self, account: &str, refund: &str) -> Outcome<RefundView> {
        self.ask(
            account,
            RetrieveRefund::new(refund).build(),
            None,
            refund_view,
        )
        .await
    }

    /// Asks Stripe for anything else, and answers in its own words, whatever they are.
    pub async fn request(&self, account: &str, request: Request<'_>) -> Outcome<StripeAnswer> {
        let method = match request.verb {
            Verb::Get => StripeMethod::Get,
            Verb::Post => StripeMethod::Post,
            Verb::Delete => StripeMethod::Delete,
        };
        let mut built = RequestBuilder::new(method, request.path);
        let parameters = request.parameters.map(str::to_owned);
        if request.verb == Verb::Get {
            built.query = parameters;
        } else {
            built.body = parameters;
        }
        let answer = match self
            .send(account, built, request.key.map(str::to_owned))
            .await
        {
            Ok(answer) => answer,
            Err(silence) => return Outcome::Unknown(silence),
        };
        match answers::object_from(&answer.body) {
            Ok(body) => Outcome::Said(StripeAnswer {
                status: answer.status,
                body,
                replayed: answer.replayed,
            }),
            Err(unreadable) => Outcome::Unknown(unreadable.into()),
        }
    }

    /// Sends what async-stripe built and reads the answer.
    async fn ask<T: Told>(
        &self,
        account: &str,
        request: RequestBuilder,
        intention: Option<IntentionId>,
        read: impl FnOnce(Value) -> Result<T, Unreadable>,
    ) -> Outcome<T> {
        let key = intention.map(IntentionId::stripe_key);
        match self.send(account, request, key).await {
            Ok(answer) => understand(answer, read),
            Err(silence) => Outcome::Unknown(silence),
        }
    }

    async fn send(
        &self,
        account: &str,
        request: RequestBuilder,
        key: Option<String>,
    ) -> Result<Answer, Silence> {
        let Some(account) = self.accounts.get(account) else {
            let why = format!("no key is configured for the Stripe account {account:?}");
            return Err(Silence::new(SilenceKind::NotSent, why));
        };
        let strategy = match key {
            Some(key) => RequestStrategy::Idempotent(
                IdempotencyKey::new(key).expect("a key of ours is neither empty nor long"),
            ),
            None => RequestStrategy::Once,
        };
        let exchange = Exchange {
            wire: &self.wire,
            account,
            answer: OnceLock::new(),
        };
        let Unread = request
            .customize::<Unread>()
            .request_strategy(strategy)
            .send(&exchange)
            .await?;
        let answer = exchange.answer.into_inner();
        answer.ok_or_else(|| Silence::new(SilenceKind::NotSent, "no answer"))
    }
}

/// One request and its answer. async-stripe sends through it and would read the answer strictly; what came is kept as bytes
/// instead, since an effect that has happened must not be lost over a field that this version of the library requires.
struct Exchange<'a> {
    wire: &'a Wire,
    account: &'a Account,
    answer: OnceLock<Answer>,
}

impl StripeClient for Exchange<'_> {
    type Err = Silence;

    async fn execute(&self, request: CustomizedStripeRequest) -> Result<Bytes, Silence> {
        let (request, settings) = request.into_pieces();
        let call = Call {
            method: match request.method {
                StripeMethod::Get => Method::GET,
                StripeMethod::Post => Method::POST,
                StripeMethod::Delete => Method::DELETE,
            },
            path: request.path,
            query: request.query,
            form: request.body,
            account: self.account,
            idempotency_key: settings
                .request_strategy
                .and_then(|it| it.get_key())
                .map(IdempotencyKey::into_inner),
        };
        let answer = self.wire.send(&call).await?;
        let _ = self.answer.set(answer);
        Ok(Bytes::from_static(b"{}"))
    }
}

impl StripeClientErr for Silence {
    fn deserialize_err(message: impl std::fmt::Display) -> Self {
        Self::new(SilenceKind::Unreadable, message.to_string())
    }
}

/// The answer as async-stripe reads it: not at all.
struct Unread;

impl miniserde::Deserialize for Unread {
    fn begin(out: &mut Option<Self>) -> &mut dyn miniserde::de::Visitor {
        *out = Some(Self);
        <dyn miniserde::de::Visitor>::ignore()
    }
}

/// What an answer means. Below 300 it is the object; otherwise a refusal, unless it carries the intent (a decline).
fn understand<T: Told>(
    answer: Answer,
    read: impl FnOnce(Value) -> Result<T, Unreadable>,
) -> Outcome<T> {
    let body = answers::object_from(&answer.body);
    let whole = body.as_ref().ok().map(|body| {
        Arc::new(StripeAnswer {
            status: answer.status,
            body: body.clone(),
            replayed: answer.replayed,
        })
    });
    if answer.status < 300 {
        return match body.and_then(read) {
            Ok(said) => Outcome::Said(said.with(whole)),
            Err(unreadable) => Outcome::Unknown(unreadable.into()),
        };
    }
    // Only Stripe refuses. What stands in front of it (a proxy, a page of somebody's network) says nothing of the effect.
    let body = match body {
        Ok(body) if body.get("error").is_some_and(Value::is_object) => body,
        _ => return Outcome::Unknown(Unreadable::missing("error").into()),
    };
    let (refusal, intent) = answers::error_from(answer.status, body);
    match intent
        .filter(|_| answer.status == 402)
        .and_then(T::from_declined)
    {
        Some(said) => Outcome::Said(said.with(whole)),
        None => Outcome::Refused(refusal),
    }
}

fn refund_view(object: Value) -> Result<RefundView, Unreadable> {
    Ok(RefundView {
        snapshot: answers::refund_from(object)?,
        answer: None,
    })
}

/// What Stripe told of, to whoever asked.
trait Told: Sized {
    /// What a decline's intent means.
    fn from_declined(_: IntentView) -> Option<Self> {
        None
    }

    /// Together with the answer that told it.
    fn with(self, _: Option<Arc<StripeAnswer>>) -> Self {
        self
    }
}

impl Told for IntentView {
    fn from_declined(intent: IntentView) -> Option<Self> {
        Some(intent)
    }

    fn with(self, answer: Option<Arc<StripeAnswer>>) -> Self {
        Self { answer, ..self }
    }
}

impl Told for RefundView {
    fn with(self, answer: Option<Arc<StripeAnswer>>) -> Self {
        Self { answer, ..self }
    }
}

impl Told for String {}

/// The request of one step; none where it needs an intent that is not there.
fn step(effect: &Effect<'_>) -> Option<RequestBuilder> {
    let (mut built, parameters) = match (effect.step, effect.intent) {
        (Step::Create(request), _) => (create(effect, request), &request.parameters),
        (_, None) => return None,
        (Step::Update(changes), Some(intent)) => {
            let built = update(intent, changes, effect.personal).build();
            (built, &changes.parameters)
        }
        (
            Step::Confirm {
                payment_method,
                terms,
            },
            Some(intent),
        ) => {
            let built = confirm(intent, payment_method.as_deref(), terms).build();
            (built, &terms.parameters)
        }
        (Step::Capture { amount, parameters }, Some(intent)) => {
            let request = CapturePaymentIntent::new(intent).amount_to_capture(amount.minor());
            (request.build(), parameters)
        }
        (Step::Cancel { reason, parameters }, Some(intent)) => {
            (cancel(intent, *reason).build(), parameters)
        }
    };
    pass_on(&mut built, parameters);
    Some(built)
}

fn create(effect: &Effect<'_>, it: &CreateRequested) -> RequestBuilder {
    let currency: stripe_types::Currency = known(it.amount.currency().code().parse());
    let ours = [
        (PAYMENT_KEY, effect.payment.to_string()),
        (MERCHANT_KEY, effect.merchant.to_string()),
    ];
    let metadata = with_ours(&it.metadata, ours);
    let mut request = CreatePaymentIntent::new(it.amount.minor(), currency)
        .capture_method(capture_method(it.capture_method))
        .metadata(metadata);
    if let Some(description) = &it.description {
        request = request.description(description);
    }
    if let Some(customer) = &it.customer {
        request = request.customer(customer);
    }
    if let Some(payment_method) = &it.payment_method {
        request = request.payment_method(payment_method);
    }
    if let Some(email) = effect.personal.and_then(|personal| personal.email.as_ref()) {
        request = request.receipt_email(email);
    }
    if let Some(shipping) = effect
        .personal
        .and_then(|personal| personal.shipping.as_ref())
    {
        request = request.shipping(create_shipping(shipping));
    }
    let mut built = request.build();
    let chosen = |name: &str| {
        name.starts_with("payment_method_types") || name.starts_with("automatic_payment_methods")
    };
    if !it.parameters.iter().any(|(name, _)| chosen(name)) {
        // The version of the API that we speak calls it so; async-stripe's newest knows it only under a later name.
        push(&mut built, "&payment_method_types[0]=card");
    }
    built
}

/// Adds what no rule here looked at, word for word.
fn pass_on(built: &mut RequestBuilder, parameters: &Parameters) {
    for pair in parameters.iter() {
        let pair = serde_urlencoded::to_string([pair]).expect("a pair of texts always encodes");
        push(built, &format!("&{pair}"));
    }
}

fn push(built: &mut RequestBuilder, more: &str) {
    let form = built.body.get_or_insert_default();
    form.push_str(if form.is_empty() {
        more.trim_start_matches('&')
    } else {
        more
    });
}

fn update(intent: &str, it: &Changes, personal: Option<&Personal>) -> UpdatePaymentIntent {
    let mut request = UpdatePaymentIntent::new(intent);
    if let Some(amount) = it.amount {
        request = request.amount(amount.minor());
    }
    if let Some(payment_method) = &it.payment_method {
        request = request.payment_method(payment_method);
    }
    if let Some(customer) = &it.customer {
        request = request.customer(customer);
    }
    if let Some(description) = &it.description {
        request = request.description(description);
    }
    if !it.metadata.is_empty() {
        request = request.metadata(it.metadata.clone().into_iter().collect::<HashMap<_, _>>());
    }
    if let Some(email) = personal.and_then(|personal| personal.email.as_ref()) {
        request = request.receipt_email(email);
    }
    if let Some(shipping) = personal.and_then(|personal| personal.shipping.as_ref()) {
        request = request.shipping(update_shipping(shipping));
    }
    request
}

fn confirm(
    intent: &str,
    payment_method: Option<&str>,
    terms: &ConfirmTerms,
) -> ConfirmPaymentIntent {
    let mut request = ConfirmPaymentIntent::new(intent);
    if let Some(payment_method) = payment_method {
        request = request.payment_method(payment_method);
    }
    if let Some(return_url) = &terms.return_url {
        request = request.return_url(return_url);
    }
    if terms.off_session {
        request = request.off_session(ConfirmPaymentIntentOffSession::Bool(true));
    }
    request
}

fn cancel(intent: &str, reason: Option<CancellationReason>) -> CancelPaymentIntent {
    let request = CancelPaymentIntent::new(intent);
    match reason {
        Some(reason) => request.cancellation_reason(known(
            reason
                .to_string()
                .parse::<CancelPaymentIntentCancellationReason>(),
        )),
        None => request,
    }
}

fn refund(effect: &RefundEffect<'_>) -> CreateRefund {
    let ours = [
        (REFUND_KEY, effect.refund.id.to_string()),
        (PAYMENT_KEY, effect.payment.to_string()),
        (MERCHANT_KEY, effect.merchant.to_string()),
    ];
    let metadata = with_ours(&effect.refund.metadata, ours);
    let request = CreateRefund::new()
        .payment_intent(effect.intent)
        .amount(effect.refund.amount.minor())
        .metadata(metadata);
    match effect.refund.reason {
        Some(RefundReason::Duplicate) => request.reason(CreateRefundReason::Duplicate),
        Some(RefundReason::Fraudulent) => request.reason(CreateRefundReason::Fraudulent),
        Some(RefundReason::RequestedByCustomer) => {
            request.reason(CreateRefundReason::RequestedByCustomer)
        }
        None => request,
    }
}

fn payment_method(card: &Card) -> CreatePaymentMethod {
    let mut details = CreatePaymentMethodCardDetailsParams::new(
        card.exp_month,
        card.exp_year,
        card.number.expose_secret(),
    );
    details.cvc = card.cvc.as_ref().map(|cvc| cvc.expose_secret().to_owned());
    let mut billing = BillingDetailsInnerParams::new();
    billing.name.clone_from(&card.name);
    billing.email.clone_from(&card.email);
    billing.phone.clone_from(&card.phone);
    billing.address = card.address.as_ref().map(|it| {
        let mut address = BillingDetailsAddress::new();
        address.city.clone_from(&it.city);
        address.country.clone_from(&it.country);
        address.line1.clone_from(&it.line1);
        address.line2.clone_from(&it.line2);
        address.postal_code.clone_from(&it.postal_code);
        address.state.clone_from(&it.state);
        address
    });
    CreatePaymentMethod::new()
        .type_(CreatePaymentMethodType::Card)
        .card(CreatePaymentMethodCard::CardDetailsParams(details))
        .billing_details(billing)
}

macro_rules! shipping {
    ($function:ident, $shipping:ident, $address:ident) => {
        fn $function(it: &Shipping) -> $shipping {
            let mut address = $address::new();
            address.city.clone_from(&it.address.city);
            address.country.clone_from(&it.address.country);
            address.line1.clone_from(&it.address.line1);
            address.line2.clone_from(&it.address.line2);
            address.postal_code.clone_from(&it.address.postal_code);
            address.state.clone_from(&it.address.state);
            let mut shipping = $shipping::new(address, &it.name);
            shipping.carrier.clone_from(&it.carrier);
            shipping.phone.clone_from(&it.phone);
            shipping.tracking_number.clone_from(&it.tracking_number);
            shipping
        }
    };
}
shipping!(
    create_shipping,
    CreatePaymentIntentShipping,
    CreatePaymentIntentShippingAddress
);
shipping!(
    update_shipping,
    UpdatePaymentIntentShipping,
    UpdatePaymentIntentShippingAddress
);

/// The caller's metadata with as many of our own pairs as Stripe has room for. A payment without them is still found, by its
/// intent, once Stripe has answered.
fn with_ours<const N: usize>(
    metadata: &Metadata,
    ours: [(&str, String); N],
) -> HashMap<String, String> {
    let mut all: HashMap<String, String> = metadata.as_map().clone().into_iter().collect();
    for (key, value) in ours {
        if all.len() < Metadata::PAIRS_MAX {
            all.insert(key.to_owned(), value);
        }
    }
    all
}

fn capture_method(it: CaptureMethod) -> PaymentIntentCaptureMethod {
    match it {
        CaptureMethod::Automatic => PaymentIntentCaptureMethod::Automatic,
        CaptureMethod::AutomaticAsync => PaymentIntentCaptureMethod::AutomaticAsync,
        CaptureMethod::Manual => PaymentIntentCaptureMethod::Manual,
    }
}

/// async-stripe's enums take any text.
fn known<T>(parsed: Result<T, Infallible>) -> T {
    match parsed {
        Ok(it) => it,
    }
}
