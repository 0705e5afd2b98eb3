//! The rows that events leave behind: the same functions in the append and in a rebuild.

#[cfg(test)]
mod tests;

use crate::{
    articles, balance_transactions, balances, bank_lines, offers, orders, parked, payments,
    payouts, reconciliations, refunds, stripe_requests,
};
use aggregates::books::{Books, BooksEvent};
use aggregates::catalogue::{Article, ArticleEvent, Offer, OfferEvent};
use aggregates::ids::{ArticleId, OfferId, OrderId, PaymentId, ReconciliationId, SettlementId};
use aggregates::ledger::{self, Entry};
use aggregates::order::{Order, OrderEvent};
use aggregates::payment::{Payment, PaymentEvent};
use aggregates::reconciliation::{Reconciliation, ReconciliationEvent};
use aggregates::settlement::{Settlement, SettlementEvent};
use aggregates::stripe_request::{StripeRequest, StripeRequestEvent};
use eventstore::RowChange;

/// The version of these folds: raised when the same events leave other rows.
pub const VERSION: &str = "v1";

/// An aggregate and the sequence of its last event.
#[derive(Debug, Clone, Default)]
pub struct Versioned<A> {
    pub state: A,
    pub version: u64,
}

/// Applies `events` to the order and answers the rows that follow. `first` is the index of the first of them in the append.
pub fn order(
    id: OrderId,
    order: &mut Versioned<Order>,
    events: &[OrderEvent],
    first: usize,
) -> Vec<RowChange> {
    order_posting(id, order, events, first, &mut |_, _| {})
}

/// The same; `posted` is told which event posts what.
pub(crate) fn order_posting(
    id: OrderId,
    order: &mut Versioned<Order>,
    events: &[OrderEvent],
    first: usize,
    posted: &mut dyn FnMut(usize, &[Entry]),
) -> Vec<RowChange> {
    let mut rows = Vec::new();
    for (index, event) in events.iter().enumerate() {
        let entries = ledger::order_entries(event, &order.state);
        if !entries.is_empty() {
            posted(first + index, &entries);
        }
        order.state.apply(event);
        order.version += 1;
        if let Some(facts) = order.state.facts() {
            rows.extend(balances::rows(&facts.merchant, &entries, first + index));
        }
    }
    if let (Some(facts), Some(last)) = (order.state.facts(), events.len().checked_sub(1)) {
        rows.push(orders::row(id, facts, order.version, first + last));
    }
    rows
}

/// Applies `events` to the payment and answers the rows that follow. `first` is the index of the first of them in the append.
pub fn payment(
    id: PaymentId,
    payment: &mut Versioned<Payment>,
    events: &[PaymentEvent],
    first: usize,
) -> Vec<RowChange> {
    payment_posting(id, payment, events, first, &mut |_, _| {})
}

/// The same; `posted` is told which event posts what.
pub(crate) fn payment_posting(
    id: PaymentId,
    payment: &mut Versioned<Payment>,
    events: &[PaymentEvent],
    first: usize,
    posted: &mut dyn FnMut(usize, &[Entry]),
) -> Vec<RowChange> {
    let mut rows = Vec::new();
    let mut touched = Vec::new();
    let mut ended = Vec::new();
    for (index, event) in events.iter().enumerate() {
        let entries = ledger::payment_entries(event, &payment.state);
        if !entries.is_empty() {
            posted(first + index, &entries);
        }
        payment.state.apply(event);
        payment.version += 1;
        if let Some(facts) = payment.state.facts() {
            rows.extend(balances::rows(&facts.merchant, &entries, first + index));
        }
        touched.extend(event.refund().map(|refund| (refund, first + index)));
        ended.extend(event.parks_or_ends().map(|it| (it, first + index)));
    }
    let (Some(facts), Some(last)) = (payment.state.facts(), events.len().checked_sub(1)) else {
        return rows;
    };
    for (refund, event) in touched {
        let found = facts.refunds.iter().find(|it| it.id == refund);
        rows.extend(found.map(|it| refunds::row(id, facts, it, event)));
    }
    for (intention, event) in ended {
        let found = facts.parked.iter().find(|it| it.intention == intention);
        let of = parked::Of::Payment(id.uuid());
        rows.extend(found.map(|it| parked::row(&facts.merchant, of, it, event)));
    }
    rows.push(payments::row(id, facts, payment.version, first + last));
    rows
}

/// Applies `events` to the request and answers the row that follows. `first` is the index of the first of them in the append.
pub fn stripe_request(
    request: &mut Versioned<StripeRequest>,
    events: &[StripeRequestEvent],
    first: usize,
) -> Vec<RowChange> {
    for event in events {
        request.state.apply(event);
        request.version += 1;
    }
    match (request.state.facts(), events.len().checked_sub(1)) {
        (Some(facts), Some(last)) => {
            let merchant = &facts.request.merchant;
            let of = parked::Of::StripeRequest(facts.request.intention.uuid());
            let (version, event) = (request.version, first + last);
            let parked = facts.parked.as_ref();
            parked
                .map(|it| parked::row(merchant, of, it, event))
                .into_iter()
                .chain([stripe_requests::row(facts, version, event)])
                .collect()
        }
        _ => vec![],
    }
}

/// Applies `events` to the offer and answers the row that follows. `first` is the index of the first of them in the append.
pub fn offer(
    id: OfferId,
    offer: &mut Versioned<Offer>,
    events: &[OfferEvent],
    first: usize,
) -> Vec<RowChange> {
    for event in events {
        offer.state.apply(event);
        offer.version += 1;
    }
    match (offer.state.facts(), events.len().checked_sub(1)) {
        (Some(facts), Some(last)) => vec![offers::row(id, facts, offer.version, first + last)],
        _ => vec![],
    }
}

/// Applies `events` to the article and answers the row that follows. `first` is the index of the first of them in the append.
pub fn article(
    id: ArticleId,
    article: &mut Versioned<Article>,
    events: &[ArticleEvent],
    first: usize,
) -> Vec<RowChange> {
    for event in events {
        article.state.apply(event);
        article.version += 1;
    }
    match (article.state.facts(), events.len().checked_sub(1)) {
        (Some(facts), Some(last)) => vec![articles::row(id, facts, article.version, first + last)],
        _ => vec![],
    }
}

/// Applies `events` to the books, of which there are no rows.
pub fn books(
    (): (),
    books: &mut Versioned<Books>,
    events: &[BooksEvent],
    _first: usize,
) -> Vec<RowChange> {
    for event in events {
        books.state.apply(event);
        books.version += 1;
    }
    vec![]
}

/// Applies `events` to the payout, balance transaction or bank's line and answers the rows that follow. `first` is the index of
/// the first of them in the append.
pub fn settlement(
    id: SettlementId,
    settlement: &mut Versioned<Settlement>,
    events: &[SettlementEvent],
    first: usize,
) -> Vec<RowChange> {
    settlement_posting(id, settlement, events, first, &mut |_, _| {})
}

/// The same; `posted` is told which event posts what.
pub(crate) fn settlement_posting(
    id: SettlementId,
    settlement: &mut Versioned<Settlement>,
    events: &[SettlementEvent],
    first: usize,
    posted: &mut dyn FnMut(usize, &[Entry]),
) -> Vec<RowChange> {
    let mut rows = Vec::new();
    for (index, event) in events.iter().enumerate() {
        let entries = ledger::settlement_entries(event);
        if !entries.is_empty() {
            posted(first + index, &entries);
        }
        settlement.state.apply(event);
        settlement.version += 1;
        if let Some(merchant) = settlement.state.merchant() {
            rows.extend(balances::rows(merchant, &entries, first + index));
        }
    }
    let Some(last) = events.len().checked_sub(1) else {
        return rows;
    };
    let (state, version, event) = (&settlement.state, settlement.version, first + last);
    rows.extend(
        state
            .payout()
            .map(|it| payouts::row(id, it, version, event)),
    );
    let transaction = state.transaction();
    rows.extend(transaction.map(|it| balance_transactions::row(id, it, version, event)));
    let line = state.bank_line();
    rows.extend(line.map(|it| bank_lines::row(id, it, version, event)));
    rows
}

/// Applies `events` to the run or the break and answers the row that follows. `first` is the index of the first of them in the
/// append.
pub fn reconciliation(
    id: ReconciliationId,
    it: &mut Versioned<Reconciliation>,
    events: &[ReconciliationEvent],
    first: usize,
) -> Vec<RowChange> {
    for event in events {
        it.state.apply(event);
        it.version += 1;
    }
    let Some(last) = events.len().checked_sub(1) else {
        return vec![];
    };
    let run = it
        .state
        .run()
        .map(|run| reconciliations::run(id, run, it.version, first + last));
    let found = it.state.found();
    let found = found.map(|found| reconciliations::found(id, found, it.version, first + last));
    run.into_iter().chain(found).collect()
}
