//! `orders`: placed, repriced, cancelled, and their lives. The prices set here are what the ledger knows: what customers pay.

use aggregates::ids::OrderId;
use aggregates::money::{Currency, Money, MoneyError};
use aggregates::order::event::{Line, Price};
use aggregates::order::state::{Facts, Status, WayToPay};
use aggregates::order::{Order, OrderError};
use axum::extract::{Request, State};
use chrono::{DateTime, Utc};
use http::StatusCode;
use serde::Serialize;
use uuid::Uuid;

use super::NAME;
use super::call::{Answer, Call, Said, json, outcome};
use super::error::no_such;
use super::fields::{self, Fields};
use super::shapes::{self, List};
use crate::http::problem::Problem;
use crate::personal::{Address, Personal, Shipping};
use crate::store::{OrderFilter, OrderRow, Scope};
use crate::use_cases::{App, AppError, KeptOrder, Outcome, PlaceOrder};

/// The sources that orders are placed under from here: doors that pay what is kept, and our own.
const SOURCES: [&str; 3] = ["shop", "commerce_layer", "native"];
/// All there are: offers and checkouts place theirs themselves.
const ALL_SOURCES: [&str; 5] = ["shop", "commerce_layer", "native", "offers", "checkout"];
const LIST: &str = "orders";
const NAME_LENGTH_MAX: usize = 200;
const DESCRIPTION_LENGTH_MAX: usize = 1000;
const REASON_LENGTH_MAX: usize = 500;
const LINES_MAX: usize = 200;
const QUANTITY_MAX: u32 = 1_000_000;

#[derive(Serialize)]
struct OrderShown {
    object: &'static str,
    id: String,
    source: String,
    reference: String,
    number: Option<String>,
    customer: Option<String>,
    status: &'static str,
    currency: String,
    total_minor: i64,
    tax_minor: i64,
    lines: Vec<LineShown>,
    /// The one way to pay it now.
    live: Option<LiveShown>,
    /// The payment that paid it.
    paid_by: Option<String>,
    cancel_reason: Option<String>,
    /// Money that came and does not pay it.
    unapplied: Vec<UnappliedShown>,
    /// None where there is none, or it was erased.
    personal: Option<Personal>,
    version: u64,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

#[derive(Serialize)]
struct LineShown {
    name: String,
    unit_minor: i64,
    quantity: u32,
    description: String,
}

#[derive(Serialize)]
struct LiveShown {
    /// `payment` or `checkout`.
    kind: &'static str,
    payment: String,
    /// Stripe's session of a checkout.
    session: Option<String>,
    amount_minor: i64,
}

#[derive(Serialize)]
struct UnappliedShown {
    payment: String,
    amount_minor: i64,
    currency: String,
}

/// An order in a list.
#[derive(Serialize)]
struct OrderListed {
    object: &'static str,
    id: Uuid,
    source: String,
    reference: String,
    number: Option<String>,
    customer: Option<String>,
    status: String,
    currency: String,
    total_minor: i64,
    unapplied_minor: i64,
    paid_by: Option<Uuid>,
    version: i64,
    created_at: DateTime<Utc>,
}

/// The orders of the caller's merchant, by id.
pub async fn list(State(app): State<App>, request: Request) -> Answer {
    let call = Call::open(app, request, Scope::PaymentsRead).await?;
    let mut query = call.query()?;
    let limit = query.limit();
    let after: Option<OrderId> = query.after(LIST);
    let source = query.word("source", &ALL_SOURCES);
    let ids = query.text("reference").map(|reference| {
        let sources = source
            .as_deref()
            .map_or(ALL_SOURCES.to_vec(), |it| vec![it]);
        let merchant = &call.caller.merchant.id;
        let named = |source: &&str| OrderId::derive(merchant, source, &reference);
        sources.iter().map(named).collect()
    });
    let filter = OrderFilter {
        ids,
        source,
        status: query.word("status", &["open", "paid", "cancelled"]),
        customer: query.text("customer"),
    };
    query.end()?;
    let found = call.app.orders(&call.caller, &filter, after, limit).await?;
    let shown = List::new(
        LIST,
        (found.items, found.has_more),
        |row| row.order_id.to_string(),
        OrderListed::from,
    );
    json(StatusCode::OK, &shown)
}

/// Keeps an order.
pub async fn place(State(app): State<App>, request: Request) -> Answer {
    let call = Call::open(app, request, Scope::PaymentsWrite).await?;
    let Said { call, body, key } = call.read()?;
    let it = fields::read(&body, |fields| {
        let (lines, tax) = lines(fields);
        let personal = fields.optional_object("personal").map(personal);
        PlaceOrder {
            source: source(fields),
            reference: fields.name("reference", NAME_LENGTH_MAX),
            number: fields.optional_name("number", NAME_LENGTH_MAX),
            customer: fields.optional_name("customer", NAME_LENGTH_MAX),
            lines,
            tax,
            personal: personal.unwrap_or_default(),
        }
    })?;
    answer(
        call.app
            .place_order_once(&call.caller, NAME, it, key)
            .await?,
    )
}

/// One order.
pub async fn get(State(app): State<App>, request: Request) -> Answer {
    let call = Call::open(app, request, Scope::PaymentsRead).await?;
    call.query()?.end()?;
    let it = call.app.order(&call.caller, id(&call)?).await?;
    json(StatusCode::OK, &OrderShown::of(it)?)
}

/// Gives an order another price.
pub async fn reprice(State(app): State<App>, request: Request) -> Answer {
    let call = Call::open(app, request, Scope::PaymentsWrite).await?;
    let Said { call, body, key } = call.read()?;
    let id = id(&call)?;
    let (lines, tax) = fields::read(&body, |fields| lines(fields))?;
    let total =
        total(&lines, tax.currency()).map_err(|error| AppError::from(OrderError::from(error)))?;
    let price = Price { total, tax, lines };
    answer(
        call.app
            .reprice_order(&call.caller, NAME, id, price, key)
            .await?,
    )
}

/// Cancels an order, and whatever it could be paid by.
pub async fn cancel(State(app): State<App>, request: Request) -> Answer {
    let call = Call::open(app, request, Scope::PaymentsWrite).await?;
    let Said { call, body, key } = call.read()?;
    let id = id(&call)?;
    let reason = fields::read(&body, |fields| fields.text("reason", REASON_LENGTH_MAX))?;
    answer(
        call.app
            .cancel_order(&call.caller, NAME, id, reason, key)
            .await?,
    )
}

/// All that happened to an order and its payments.
pub async fn life(State(app): State<App>, request: Request) -> Answer {
    let call = Call::open(app, request, Scope::PaymentsRead).await?;
    call.query()?.end()?;
    let events = call.app.order_life(&call.caller, id(&call)?).await?;
    json(StatusCode::OK, &shapes::life(&events)?)
}

fn id(call: &Call) -> Result<OrderId, Problem> {
    call.named("id").parse().map_err(|_| no_such("order"))
}

fn source(fields: &mut Fields<'_, '_>) -> &'static str {
    let named = fields.name("source", 40);
    let known = SOURCES.into_iter().find(|it| *it == named);
    if known.is_none() && !named.is_empty() {
        fields.fault("source", format!("is one of: {}", SOURCES.join(", ")));
    }
    known.unwrap_or(SOURCES[0])
}

/// The lines, and the part of their total that is tax.
fn lines(fields: &mut Fields<'_, '_>) -> (Vec<Line>, Money) {
    let currency = fields.currency();
    let tax = fields.optional_money("tax_minor", currency);
    let lines = fields.objects("lines", (1, LINES_MAX), |line| Line {
        name: line.text("name", NAME_LENGTH_MAX),
        unit: line.money("unit_minor", currency),
        quantity: line.count("quantity", 1, QUANTITY_MAX),
        description: line
            .optional_text("description", DESCRIPTION_LENGTH_MAX)
            .unwrap_or_default(),
    });
    (lines, tax)
}

fn total(lines: &[Line], currency: Currency) -> Result<Money, MoneyError> {
    lines.iter().try_fold(Money::zero(currency), |sum, line| {
        sum.plus(line.unit.times(line.quantity)?)
    })
}

fn personal(mut fields: Fields<'_, '_>) -> Personal {
    let email = fields.optional_text("email", NAME_LENGTH_MAX);
    let shipping = fields.optional_object("shipping").map(|mut it| {
        let shipping = Shipping {
            name: it.text("name", NAME_LENGTH_MAX),
            phone: it.optional_text("phone", NAME_LENGTH_MAX),
            carrier: it.optional_text("carrier", NAME_LENGTH_MAX),
            tracking_number: it.optional_name("tracking_number", NAME_LENGTH_MAX),
            address: it
                .optional_object("address")
                .map(address)
                .unwrap_or_default(),
        };
        it.end();
        shipping
    });
    fields.end();
    Personal { email, shipping }
}

fn address(mut it: Fields<'_, '_>) -> Address {
    let address = Address {
        city: it.optional_text("city", NAME_LENGTH_MAX),
        country: it.optional_text("country", NAME_LENGTH_MAX),
        line1: it.optional_text("line1", NAME_LENGTH_MAX),
        line2: it.optional_text("line2", NAME_LENGTH_MAX),
        postal_code: it.optional_text("postal_code", NAME_LENGTH_MAX),
        state: it.optional_text("state", NAME_LENGTH_MAX),
    };
    it.end();
    address
}

fn answer(done: Outcome<KeptOrder>) -> Answer {
    let location = format!("/ledger/v1/orders/{}", done.it.id);
    let shown = OrderShown::of(done.it)?;
    outcome((done.made, done.replayed), &location, &shown)
}

impl OrderShown {
    fn of(it: KeptOrder) -> Result<Self, Problem> {
        let facts = it.facts().ok_or_else(Problem::internal)?.clone();
        let (status, cancel_reason) = match &facts.status {
            Status::Open => ("open", None),
            Status::Paid { .. } => ("paid", None),
            Status::Cancelled { reason } => ("cancelled", Some(reason.clone())),
        };
        let past: &crate::store::Past<Order> = &it.order;
        Ok(Self {
            object: "order",
            id: it.id.to_string(),
            status,
            currency: shapes::currency(facts.total()),
            total_minor: facts.total().minor(),
            tax_minor: facts.price.tax.minor(),
            live: facts.live.as_ref().map(LiveShown::from),
            paid_by: facts.paid_by().map(|it| it.to_string()),
            cancel_reason,
            unapplied: unapplied(&facts),
            lines: facts.price.lines.into_iter().map(LineShown::from).collect(),
            source: facts.source,
            reference: facts.reference,
            number: facts.number,
            customer: facts.customer,
            version: past.version,
            created_at: past.created_at,
            updated_at: past.updated_at,
            personal: it.personal,
        })
    }
}

fn unapplied(facts: &Facts) -> Vec<UnappliedShown> {
    let shown = |(payment, amount): (&aggregates::ids::PaymentId, &Money)| UnappliedShown {
        payment: payment.to_string(),
        amount_minor: amount.minor(),
        currency: shapes::currency(*amount),
    };
    facts.mispaid.iter().map(shown).collect()
}

impl From<Line> for LineShown {
    fn from(it: Line) -> Self {
        Self {
            name: it.name,
            unit_minor: it.unit.minor(),
            quantity: it.quantity,
            description: it.description,
        }
    }
}

impl From<&WayToPay> for LiveShown {
    fn from(it: &WayToPay) -> Self {
        let (kind, session) = match it {
            WayToPay::Payment { .. } => ("payment", None),
            WayToPay::Opening { .. } => ("checkout", None),
            WayToPay::Checkout { session, .. } => ("checkout", Some(session.clone())),
        };
        Self {
            kind,
            payment: it.id().to_string(),
            session,
            amount_minor: it.amount().minor(),
        }
    }
}

impl From<OrderRow> for OrderListed {
    fn from(it: OrderRow) -> Self {
        Self {
            object: "order",
            id: it.order_id,
            source: it.source,
            reference: it.reference,
            number: it.number,
            customer: it.customer,
            status: it.status,
            currency: it.currency,
            total_minor: it.total_minor,
            unapplied_minor: it.mispaid_minor,
            paid_by: it.paid_by,
            version: it.version,
            created_at: it.created_at,
        }
    }
}

/// Reads an order's members: for fuzzers.
pub(super) fn parse(body: &serde_json::Map<String, serde_json::Value>) {
    let read = super::fields::read(body, |fields| {
        let _ = fields.name("reference", NAME_LENGTH_MAX);
        let _ = source(fields);
        let _ = fields.optional_object("personal").map(personal);
        let _ = fields.optional_moment("claimed_at");
        let (lines, tax) = lines(fields);
        (total(&lines, tax.currency()), tax)
    });
    drop(read);
}
