//! What the events of one stream come to, in the auditor's own words.
//!
//! A fold keeps what the promises are about (whose, how much, where it stands, what Stripe was asked and has answered) and says what
//! is wrong with a history as it goes.

mod catalogue;
mod intentions;
mod order;
mod payment;
mod postings;
mod read;
mod refunds;
mod requests;
mod settlement;

use crate::events::{Event, Said};
use crate::report::{Invariant, Report, Violation};
use crate::spill::{Spill, row};
use chrono::{DateTime, Utc};
use read::{Money, Unreadable};
use sqlx::PgConnection;
use uuid::Uuid;

/// Where the folds leave what they found.
pub(crate) struct Out {
    pub report: Report,
    streams: Spill,
    payments: Spill,
    refunds: Spill,
    orders: Spill,
    heard_of: Spill,
    requests: Spill,
    payouts: Spill,
    transactions: Spill,
    bank_lines: Spill,
    clearing: Spill,
    offers: Spill,
    articles: Spill,
    parked: Spill,
    lines: Spill,
    intentions: Spill,
    stripe_ids: Spill,
    links: Spill,
}

impl Out {
    pub fn new(report: Report) -> Self {
        Self {
            report,
            streams: Spill::new("audit_streams"),
            payments: Spill::new("audit_payments"),
            refunds: Spill::new("audit_refunds"),
            orders: Spill::new("audit_orders"),
            heard_of: Spill::new("audit_money_heard_of"),
            requests: Spill::new("audit_requests"),
            payouts: Spill::new("audit_payouts"),
            transactions: Spill::new("audit_transactions"),
            bank_lines: Spill::new("audit_bank_lines"),
            clearing: Spill::new("audit_clearing"),
            offers: Spill::new("audit_offers"),
            articles: Spill::new("audit_articles"),
            parked: Spill::new("audit_parked"),
            lines: Spill::new("audit_lines"),
            intentions: Spill::new("audit_intentions"),
            stripe_ids: Spill::new("audit_stripe_ids"),
            links: Spill::new("audit_links"),
        }
    }

    /// Sends what has gathered to the temporary tables; `all` of it at the end.
    pub async fn flush(
        &mut self,
        connection: &mut PgConnection,
        all: bool,
    ) -> Result<(), sqlx::Error> {
        let spills = [
            &mut self.streams,
            &mut self.payments,
            &mut self.refunds,
            &mut self.orders,
            &mut self.heard_of,
            &mut self.requests,
            &mut self.payouts,
            &mut self.transactions,
            &mut self.bank_lines,
            &mut self.clearing,
            &mut self.offers,
            &mut self.articles,
            &mut self.parked,
            &mut self.lines,
            &mut self.intentions,
            &mut self.stripe_ids,
            &mut self.links,
        ];
        for spill in spills {
            spill.flush(connection, all).await?;
        }
        Ok(())
    }

    /// Something is wrong with this event, or with what stood before it.
    fn wrong(&mut self, invariant: Invariant, event: &Event, what: impl Into<String>) {
        self.report.add(Violation {
            invariant,
            merchant: Some(event.ledger.clone()),
            at: Some(event.stream()),
            position: Some(event.position),
            what: what.into(),
        });
    }

    /// Stripe's object belongs to this stream.
    fn owns(&mut self, event: &Event, of: &Of, kind: &str, stripe_id: &str) {
        self.stripe_ids.push(row![
            stripe_id,
            kind,
            event.ledger,
            event.stream(),
            of.id,
            event.position
        ]);
    }

    /// The event names another stream of the same merchant.
    fn names(&mut self, event: &Event, kind: &str, target: Uuid) {
        self.links.push(row![
            event.ledger,
            event.stream(),
            kind,
            target,
            event.position
        ]);
    }

    /// What is moved through clearing for Stripe's object: `told` by what it belongs to, or booked by Stripe. Debits are positive.
    fn clears(&mut self, event: &Event, told: bool, (object, why): (&str, &str), it: &Money) {
        self.clearing.push(row![
            event.ledger,
            object,
            why,
            told,
            it.currency,
            it.minor,
            event.position
        ]);
    }

    /// One line of an entry that the event posts.
    fn posts(&mut self, event: &Event, currency: &str, lines: &[(&str, i64, i64)]) {
        for (account, debit, credit) in lines.iter().filter(|it| it.1 > 0 || it.2 > 0) {
            self.lines.push(row![
                event.ledger,
                event.ledger_position,
                *account,
                currency,
                *debit,
                *credit,
                event.position
            ]);
        }
    }
}

/// What every stream has.
pub(crate) struct Of {
    pub merchant: String,
    pub id: Uuid,
    pub stream: String,
    pub version: i64,
    pub position: i64,
    pub first_at: DateTime<Utc>,
    pub last_at: DateTime<Utc>,
}

/// The stream that is being read.
pub(crate) struct Stream {
    kind: String,
    aggregate_id: String,
    of: Of,
    what: What,
}

enum What {
    Payment(Box<payment::Payment>),
    Order(Box<order::Order>),
    Request(requests::Request),
    Settlement(Box<settlement::Settlement>),
    Offer(catalogue::Offer),
    Article(catalogue::Article),
    Unknown,
}

impl Stream {
    /// The stream that begins with this event.
    pub fn begin(event: &Event) -> Self {
        let id = event.aggregate_id.rsplit('/').next().unwrap_or_default();
        let what = match event.kind.as_str() {
            "payment" => What::Payment(Box::default()),
            "order" => What::Order(Box::default()),
            "stripe_request" => What::Request(requests::Request::default()),
            "settlement" => What::Settlement(Box::default()),
            "offer" => What::Offer(catalogue::Offer::default()),
            "article" => What::Article(catalogue::Article::default()),
            _ => What::Unknown,
        };
        Self {
            kind: event.kind.clone(),
            aggregate_id: event.aggregate_id.clone(),
            of: Of {
                merchant: event.ledger.clone(),
                id: Uuid::parse_str(id).unwrap_or_default(),
                stream: event.stream(),
                version: 0,
                position: 0,
                first_at: event.recorded_at,
                last_at: event.recorded_at,
            },
            what,
        }
    }

    /// Whether the event belongs to this stream.
    pub fn holds(&self, event: &Event) -> bool {
        self.kind == event.kind && self.aggregate_id == event.aggregate_id
    }

    /// Takes the next event.
    pub fn take(&mut self, event: &Event, out: &mut Out) {
        self.check_envelope(event, out);
        self.of.version += 1;
        self.of.position = event.position;
        self.of.last_at = event.recorded_at;
        let said = match event.said() {
            Ok(said) => said,
            Err(why) => return out.wrong(Invariant::I7, event, why),
        };
        self.check_said(event, &said, out);
        let taken = match &mut self.what {
            What::Payment(it) => it.take(&self.of, event, &said, out),
            What::Order(it) => it.take(&self.of, event, &said, out),
            What::Request(it) => it.take(&self.of, event, &said, out),
            What::Settlement(it) => it.take(&self.of, event, &said, out),
            What::Offer(it) => it.take(event, &said, out),
            What::Article(it) => it.take(event, &said, out),
            What::Unknown => Err(Unreadable(format!("nobody knows what a {} is", self.kind))),
        };
        if let Err(Unreadable(why)) = taken {
            out.wrong(
                Invariant::I7,
                event,
                format!("{} cannot be read: {why}", said.name),
            );
        }
    }

    /// The stream has ended: what it came to is kept for comparing.
    pub fn end(self, out: &mut Out) {
        let of = &self.of;
        out.streams.push(row![
            self.kind,
            of.merchant,
            of.id,
            of.version,
            of.position,
            of.first_at,
            of.last_at
        ]);
        match self.what {
            What::Payment(it) => it.end(of, out),
            What::Order(it) => it.end(of, out),
            What::Request(it) => it.end(of, out),
            What::Settlement(it) => it.end(of, out),
            What::Offer(it) => it.end(of, out),
            What::Article(it) => it.end(of, out),
            What::Unknown => {}
        }
    }

    fn check_envelope(&self, event: &Event, out: &mut Out) {
        if event.sequence != self.of.version + 1 {
            let what = format!(
                "version {} follows version {}",
                event.sequence, self.of.version
            );
            out.wrong(Invariant::I7, event, what);
        }
        if !event.is_as_hashed() {
            out.wrong(
                Invariant::I7,
                event,
                "it is not what was hashed: somebody changed it",
            );
        }
        let (whose, id) = event.aggregate_id.split_once('/').unwrap_or_default();
        if whose != event.ledger {
            out.wrong(
                Invariant::I10,
                event,
                format!("it is in the ledger of {}", event.ledger),
            );
        }
        if Uuid::parse_str(id).is_err() {
            out.wrong(Invariant::I7, event, "its stream's id is no UUID");
        }
    }

    fn check_said(&self, event: &Event, said: &Said, out: &mut Out) {
        if said.name != event.event_type {
            let what = format!("it is a {} that says {}", event.event_type, said.name);
            out.wrong(Invariant::I7, event, what);
        }
        let id = event.event_id.to_string();
        if said.metadata.get("event_id").and_then(|it| it.as_str()) != Some(&id) {
            out.wrong(
                Invariant::I7,
                event,
                "its metadata has another event's id, or none",
            );
        }
        let named = said.body.get("merchant").and_then(|it| it.as_str());
        if named.is_some_and(|it| it != event.ledger) {
            let what = format!("it names another merchant, {}", named.unwrap_or_default());
            out.wrong(Invariant::I10, event, what);
        }
    }
}
