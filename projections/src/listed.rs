//! The payment sources of orders: found by their short ids, listed a page at a time. What is counted and sorted is in the rows of
//! [`payments`](crate::payments); how one stands is told by its events.

use aggregates::ids::{MerchantId, OrderId, PaymentId};
use chrono::{DateTime, Utc};
use sqlx::{FromRow, PgConnection, Postgres, QueryBuilder};
use uuid::Uuid;

/// A payment source, and what its order stands at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    pub payment: PaymentId,
    pub order: OrderId,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    /// There is an intent at Stripe, and the order's system has not thrown it away.
    pub listed: bool,
}

/// What payment sources are told apart by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::EnumString)]
#[strum(serialize_all = "snake_case")]
pub enum Field {
    Id,
    StripeId,
    ChargeId,
    Reference,
    ReferenceOrigin,
    ReturnUrl,
    Metadata,
    CreatedAt,
    UpdatedAt,
}

/// What a field is compared with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operand {
    Text(String),
    Time(DateTime<Utc>),
}

/// How a field is compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Test {
    Compared(Comparison, Operand),
    /// One of these; not one of them where `negated`. A field without a value is none of them.
    OneOf {
        operands: Vec<Operand>,
        negated: bool,
    },
    /// Like a pattern of SQL's, whatever the case of letters; unlike it where `negated`.
    Like {
        pattern: String,
        negated: bool,
    },
    /// Whether it has no value.
    Null(bool),
    /// Whether it has a value that is not empty.
    Present(bool),
    /// Whether it holds this JSON.
    Holds(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// At least one of the fields stands the test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    pub fields: Vec<Field>,
    pub test: Test,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sort {
    pub field: Field,
    pub descending: bool,
}

/// Which payment sources, in which order, and how many of them: those of the page, counted from 1. What is equal in order is
/// in the order in which it was begun, which what comes later does not change.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    pub filters: Vec<Filter>,
    pub sort: Vec<Sort>,
    pub page_number: u32,
    pub page_size: u32,
}

/// A page of them, and how many there are in all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    pub rows: Vec<Listed>,
    pub total: u64,
}

#[derive(FromRow)]
struct Row {
    payment_id: Uuid,
    order_id: Uuid,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    listed: bool,
}

impl From<Row> for Listed {
    fn from(it: Row) -> Self {
        Self {
            payment: PaymentId::from_uuid(it.payment_id),
            order: OrderId::from_uuid(it.order_id),
            created_at: it.created_at,
            updated_at: it.updated_at,
            listed: it.listed,
        }
    }
}

const COLUMNS: &str = "payment_id, order_id, created_at, updated_at, listed";

/// The payment of an order of that short id, listed or not.
///
/// # Errors
/// When the database cannot be read.
pub async fn by_short_id(
    connection: &mut PgConnection,
    merchant: &MerchantId,
    short_id: &str,
) -> Result<Option<Listed>, sqlx::Error> {
    let sql = format!(
        "select {COLUMNS} from payments
         where merchant = $1 and short_id = $2 and order_id is not null"
    );
    let row: Option<Row> = sqlx::query_as(&sql)
        .bind(merchant.as_str())
        .bind(short_id)
        .fetch_optional(connection)
        .await?;
    Ok(row.map(Listed::from))
}

/// The order of that short id; of several, the one that is called so by its own system.
///
/// # Errors
/// When the database cannot be read.
pub async fn order_by_short_id(
    connection: &mut PgConnection,
    merchant: &MerchantId,
    short_id: &str,
) -> Result<Option<OrderId>, sqlx::Error> {
    let found: Option<Uuid> = sqlx::query_scalar(
        "select order_id from orders where merchant = $1 and short_id = $2
         order by (reference = short_id) desc, order_id limit 1",
    )
    .bind(merchant.as_str())
    .bind(short_id)
    .fetch_optional(connection)
    .await?;
    Ok(found.map(OrderId::from_uuid))
}

/// When the first and the last event of an order were recorded.
///
/// # Errors
/// When the database cannot be read.
pub async fn times_of_order(
    connection: &mut PgConnection,
    merchant: &MerchantId,
    order: OrderId,
) -> Result<Option<(DateTime<Utc>, DateTime<Utc>)>, sqlx::Error> {
    sqlx::query_as(
        "select f.recorded_at, l.recorded_at from orders o
         join events f on f.aggregate_type = 'order' and f.aggregate_id = $3 and f.sequence = 1
         join events l on l.position = o.position
         where o.merchant = $1 and o.order_id = $2",
    )
    .bind(merchant.as_str())
    .bind(order.uuid())
    .bind(order.aggregate_id(merchant))
    .fetch_optional(connection)
    .await
}

/// The payment sources that are wanted.
///
/// # Errors
/// When the database cannot be read.
pub async fn page(
    connection: &mut PgConnection,
    merchant: &MerchantId,
    wanted: &Wanted,
) -> Result<Page, sqlx::Error> {
    let mut count = QueryBuilder::new("select count(*) from payments where listed and merchant = ");
    count.push_bind(merchant.as_str());
    wanted.filters.iter().for_each(|it| narrow(&mut count, it));
    let total: i64 = count
        .build_query_scalar()
        .fetch_one(&mut *connection)
        .await?;

    let mut rows = QueryBuilder::new(format!(
        "select {COLUMNS} from payments where listed and merchant = "
    ));
    rows.push_bind(merchant.as_str());
    wanted.filters.iter().for_each(|it| narrow(&mut rows, it));
    rows.push(" order by ");
    for sort in &wanted.sort {
        let direction = if sort.descending { "desc" } else { "asc" };
        rows.push(format!(
            "{} {direction} nulls last, ",
            sort.field.sorted_by()
        ));
    }
    rows.push("created_at, payment_id limit ");
    rows.push_bind(i64::from(wanted.page_size));
    rows.push(" offset ");
    let before = i64::from(wanted.page_number.saturating_sub(1));
    rows.push_bind(before * i64::from(wanted.page_size));
    let rows: Vec<Row> = rows.build_query_as().fetch_all(connection).await?;
    Ok(Page {
        rows: rows.into_iter().map(Listed::from).collect(),
        total: u64::try_from(total).unwrap_or(0),
    })
}

fn narrow(query: &mut QueryBuilder<'_, Postgres>, filter: &Filter) {
    query.push(" and (");
    for (index, field) in filter.fields.iter().enumerate() {
        if index > 0 {
            query.push(" or ");
        }
        stand(query, *field, &filter.test);
    }
    query.push(")");
}

/// One field's test. Every value is bound; what is pushed as text is made of this file's own words.
fn stand(query: &mut QueryBuilder<'_, Postgres>, field: Field, test: &Test) {
    let column = field.compared_as();
    match test {
        Test::Compared(comparison, operand) => {
            query.push(format!("{column} {} ", comparison.operator()));
            bind(query, operand);
        }
        Test::OneOf { operands, negated } => {
            query.push(if *negated {
                format!("({column} is null or {column} not in (")
            } else {
                format!("({column} in (")
            });
            for (index, operand) in operands.iter().enumerate() {
                if index > 0 {
                    query.push(", ");
                }
                bind(query, operand);
            }
            query.push("))");
        }
        Test::Like { pattern, negated } => {
            let not = if *negated { "not " } else { "" };
            query.push(format!("{not}coalesce({column}, '') ilike "));
            query.push_bind(pattern.clone());
        }
        Test::Null(wanted) => {
            let not = if *wanted { "" } else { "not " };
            query.push(format!("{column} is {not}null"));
        }
        Test::Present(wanted) => {
            let not = if *wanted { "" } else { "not " };
            query.push(format!("{not}coalesce({}, false)", field.is_filled()));
        }
        Test::Holds(json) => {
            query.push(format!("{column} @> "));
            query.push_bind(json.clone());
            query.push("::jsonb");
        }
    }
}

fn bind(query: &mut QueryBuilder<'_, Postgres>, operand: &Operand) {
    match operand {
        Operand::Text(text) => query.push_bind(text.clone()),
        Operand::Time(time) => query.push_bind(*time),
    };
}

impl Field {
    const fn column(self) -> &'static str {
        match self {
            Self::Id => "short_id",
            Self::StripeId => "intent",
            Self::ChargeId => "charge",
            Self::Reference => "reference",
            Self::ReferenceOrigin => "reference_origin",
            Self::ReturnUrl => "return_url",
            Self::Metadata => "metadata",
            Self::CreatedAt => "created_at",
            Self::UpdatedAt => "updated_at",
        }
    }

    /// Times are compared as they are shown: to the millisecond.
    fn compared_as(self) -> String {
        let column = self.column();
        if self.is_time() {
            format!("date_trunc('milliseconds', {column})")
        } else {
            column.to_owned()
        }
    }

    /// Texts in the order of their characters, whatever the database's language.
    fn sorted_by(self) -> String {
        match self {
            Self::CreatedAt | Self::UpdatedAt | Self::Metadata => self.column().to_owned(),
            _ => format!("{} collate \"C\"", self.column()),
        }
    }

    fn is_filled(self) -> String {
        let column = self.column();
        match self {
            Self::CreatedAt | Self::UpdatedAt => format!("{column} is not null"),
            Self::Metadata => format!("{column} <> '{{}}'"),
            _ => format!("{column} <> ''"),
        }
    }

    /// Whether its values are times.
    pub const fn is_time(self) -> bool {
        matches!(self, Self::CreatedAt | Self::UpdatedAt)
    }
}

impl Comparison {
    const fn operator(self) -> &'static str {
        match self {
            Self::Equal => "=",
            // What has no value is not equal to any.
            Self::NotEqual => "is distinct from",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
        }
    }
}
