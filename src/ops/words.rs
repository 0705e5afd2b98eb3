//! Events in words: what a person reads in a history. One sentence per event; the compiler asks for one for each new event.

use aggregates::books::BooksEvent;
use aggregates::catalogue::{ArticleEvent, OfferEvent};
use aggregates::order::OrderEvent;
use aggregates::parking::ByHand;
use aggregates::payment::PaymentEvent;
use aggregates::payment::event::{Changes, CreateRequested, Decline, Refusal};
use aggregates::reconciliation::ReconciliationEvent;
use aggregates::settlement::SettlementEvent;

/// What happened to an order.
pub fn order(event: &OrderEvent) -> String {
    match event {
        OrderEvent::OrderPlaced(it) => {
            let name = it.number.as_deref().unwrap_or(&it.reference);
            format!(
                "order {name} placed in {} for {}",
                it.source, it.price.total
            )
        }
        OrderEvent::OrderRepriced { price } => format!("repriced to {}", price.total),
        OrderEvent::PaymentAttached { payment, amount } => {
            format!("to be paid by payment {payment}, {amount}")
        }
        OrderEvent::PaymentRetargeted { payment, amount } => {
            format!("payment {payment} is to take {amount} instead")
        }
        OrderEvent::PaymentReleased { payment, because } => {
            format!("payment {payment} is no way to pay any more: {because}")
        }
        OrderEvent::CheckoutRequested { amount, .. } => {
            format!("asked Stripe for a checkout of {amount}")
        }
        OrderEvent::CheckoutRefused { because, .. } => format!("no checkout was opened: {because}"),
        OrderEvent::CheckoutOpened {
            session, amount, ..
        } => format!("checkout {session} opened for {amount}"),
        OrderEvent::CheckoutInvalidated {
            session, because, ..
        } => format!("checkout {session} invalidated: {because}"),
        OrderEvent::OrderPaid { payment, amount } => format!("PAID: {amount} by payment {payment}"),
        OrderEvent::OrderMispaid {
            payment,
            received,
            expected,
            because,
        } => {
            format!(
                "MISPAID: {received} came by payment {payment}, {expected} was due ({because}); unapplied"
            )
        }
        OrderEvent::OrderCancelled { reason } => format!("cancelled: {reason}"),
        OrderEvent::PersonalDataErased { subject } => format!("personal data of {subject} erased"),
    }
}

/// What happened to a run of a reconciliation, or to a break.
pub fn reconciliation(event: &ReconciliationEvent) -> String {
    use ReconciliationEvent as E;
    match event {
        E::RunOpened { .. } => "begun to compare the account with Stripe's".to_owned(),
        E::RunPinned(it) => format!(
            "compares the ledger up to {} with {} pages of Stripe's answers",
            it.ledger_position, it.pages
        ),
        E::RunClosed(it) => format!(
            "compared: {} payments, {} breaks",
            it.totals.payments,
            it.totals.break_count()
        ),
        E::RunAbandoned { because } => format!("given up: {because}"),
        E::BreakFound(it) => format!(
            "BREAK {} at {} {}: {}",
            it.class, it.subject, it.part, it.says
        ),
        E::BreakChanged(it) => format!(
            "BREAK {} at {} {} has other figures: {}",
            it.class, it.subject, it.part, it.says
        ),
        E::BreakGone { .. } => "the two sides agree by now".to_owned(),
        E::BreakAssigned { owner } => format!("to be looked into by {owner}"),
        E::BreakResolved { reason, by } => format!("resolved by {by}: {reason}"),
        E::ResolutionApproved { by } => format!("resolution approved by {by}"),
        E::ResolutionRefused { by, because } => format!("resolution refused by {by}: {because}"),
    }
}

/// What happened to a payout, a balance transaction or a bank's line.
pub fn settlement(event: &SettlementEvent) -> String {
    use SettlementEvent as E;
    match event {
        E::PayoutObserved(it) => format!("payout {} of {} made", it.payout, it.amount),
        E::PayoutInTransit(_) => "payout on its way to the bank".to_owned(),
        E::PayoutPaid(_) => "payout at the bank, as Stripe says".to_owned(),
        E::PayoutFailed { code, .. } => {
            let why = code.as_deref().unwrap_or("no reason given");
            format!("payout FAILED ({why}): the money is at Stripe again")
        }
        E::PayoutCanceled(_) => "payout called off".to_owned(),
        E::PayoutReconciled => "Stripe can tell what the payout is made of".to_owned(),
        E::PayoutItemised(it) => {
            format!("payout made of {} bookings, together {}", it.count, it.net)
        }
        E::PayoutArrived { line } => format!("payout found at the bank: line {line}"),
        E::PayoutReturned { line } => format!("payout sent back by the bank: line {line}"),
        E::BalanceTransactionObserved(it) => {
            let of = it.source.as_deref().unwrap_or("nothing named");
            let (name, kind) = (&it.balance_transaction, &it.category);
            format!(
                "Stripe booked {name}: {kind} of {} less {}, for {of}",
                it.amount, it.fee
            )
        }
        E::BalanceTransactionAvailable { .. } => "available to be paid out".to_owned(),
        E::BalanceTransactionPaidOut { payout } => format!("paid out with {payout}"),
        E::BankLineImported(it) => format!(
            "the bank's statement of {} has {} on {}",
            it.account, it.amount, it.booked_on
        ),
        E::BankLineMatched { payout, amount, .. } => {
            format!("{amount} at the bank is payout {payout}")
        }
        E::PayoutUnmatched { line } => format!("payout is not the bank's line {line}"),
        E::BankLineUnmatched { payout, amount, .. } => {
            format!("{amount} at the bank is NOT payout {payout}")
        }
        E::ObservationRefused { said, because } => {
            format!("REFUSED what Stripe said ({said}): {because}")
        }
    }
}

/// What happened to the books.
pub fn books(event: &BooksEvent) -> String {
    match event {
        BooksEvent::PeriodClosed { through, .. } => format!("books closed through {through}"),
        BooksEvent::AccountMapped { account, to, .. } => {
            format!(
                "{account} is {} ({}) in the merchant's chart",
                to.code(),
                to.name()
            )
        }
        BooksEvent::AccountUnmapped { account, .. } => {
            format!("{account} is none of the merchant's chart")
        }
    }
}

/// What happened to an offer.
pub fn offer(event: &OfferEvent) -> String {
    match event {
        OfferEvent::OfferPublished(it) => {
            let products: usize = it.groups.iter().map(|group| group.products.len()).sum();
            format!(
                "offer {} published with {products} products, {} of them selected",
                it.number,
                it.selection.len()
            )
        }
        OfferEvent::OfferRepriced { prices } => {
            let each = prices
                .iter()
                .map(|it| format!("{}/{} costs {}", it.group, it.code, it.price));
            format!("repriced: {}", each.collect::<Vec<_>>().join(", "))
        }
        OfferEvent::SelectionChanged { selection } => {
            let each = selection
                .iter()
                .map(|it| format!("{}/{}", it.group, it.code));
            format!("selected: {}", each.collect::<Vec<_>>().join(", "))
        }
        OfferEvent::OfferWithdrawn { reason } => format!("withdrawn: {reason}"),
    }
}

/// What happened to an article.
pub fn article(event: &ArticleEvent) -> String {
    match event {
        ArticleEvent::ArticleListed(it) => format!(
            "article {} of {} listed: {} for {}",
            it.number, it.company, it.name, it.price
        ),
        ArticleEvent::ArticleRepriced { price } => format!("costs {price}"),
    }
}

/// What happened to a payment.
pub fn payment(event: &PaymentEvent) -> String {
    use PaymentEvent as E;
    match event {
        E::CreateRequested(it) => create(it),
        E::Created(it) => format!("Stripe made intent {}, {}", it.intent, it.status),
        E::CreateRefused { refusal, .. } => format!("Stripe refused to make it: {}", why(refusal)),
        E::Adopted(it) => format!(
            "intent {} of {}, made elsewhere, came in by {}",
            it.intent, it.amount, it.reason
        ),
        E::UpdateRequested { changes, .. } => format!("asked Stripe to change {}", named(changes)),
        E::Updated {
            status: Some(status),
            ..
        } => format!("changed; now {status}"),
        E::Updated { status: None, .. } => "changed".to_owned(),
        E::UpdateRefused { refusal, .. } => format!("Stripe refused the change: {}", why(refusal)),
        E::ConfirmRequested { payment_method, .. } => {
            format!("asked Stripe to confirm{}", with(payment_method.as_deref()))
        }
        E::ConfirmRefused { refusal, .. } => format!("Stripe refused to confirm: {}", why(refusal)),
        E::RequiresAction { intention, .. } => {
            by("the customer has to act (3-D Secure)", intention.is_some())
        }
        E::Processing { intention, .. } => by("processing", intention.is_some()),
        E::Authorized {
            intention, amount, ..
        } => by(&format!("{amount} held"), intention.is_some()),
        E::Captured {
            intention, amount, ..
        } => by(&format!("{amount} taken"), intention.is_some()),
        E::Succeeded { intention } => by("succeeded", intention.is_some()),
        E::Declined { intention, decline } => by(&declined(decline), intention.is_some()),
        E::Reopened { status, .. } => format!("open again: {status}"),
        E::CaptureRequested { amount, .. } => format!("asked Stripe to take {amount}"),
        E::CaptureRefused { refusal, .. } => format!("Stripe refused to take it: {}", why(refusal)),
        E::CancelRequested { reason, .. } => match reason {
            Some(reason) => format!("asked Stripe to cancel ({reason})"),
            None => "asked Stripe to cancel".to_owned(),
        },
        E::CancelRefused { refusal, .. } => format!("Stripe refused to cancel: {}", why(refusal)),
        E::Cancelled { intention, .. } => by("cancelled", intention.is_some()),
        E::IntentionParked { what, reason, .. } => parked(what, reason),
        E::SettlementProposed {
            outcome,
            by,
            because,
            ..
        } => proposed(outcome, by, because),
        E::SettledByHand {
            outcome,
            proposed_by,
            approved_by,
            ..
        } => settled(outcome, proposed_by, approved_by),
        E::RefundRequested { amount, .. } => format!("asked Stripe to give back {amount}"),
        E::RefundPending {
            amount,
            stripe_refund,
            ..
        } => format!("refund {stripe_refund} of {amount} is pending"),
        E::Refunded {
            amount,
            stripe_refund,
            observed,
            ..
        } => by(&format!("{amount} given back ({stripe_refund})"), !observed),
        E::RefundRefused { refusal, .. } => format!("Stripe refused the refund: {}", why(refusal)),
        E::RefundFailed {
            amount,
            stripe_refund,
            reason,
            ..
        } => {
            format!(
                "refund {stripe_refund} of {amount} FAILED: {}",
                reason.as_deref().unwrap_or("no reason given")
            )
        }
        E::RefundCancelled {
            amount,
            stripe_refund,
            ..
        } => format!("refund {stripe_refund} of {amount} called off"),
        E::Applied { order, amount } => format!("{amount} applied to order {order}"),
        E::DisputeOpened {
            dispute,
            amount,
            reason,
            inquiry,
        } => {
            let what = if *inquiry { "inquiry" } else { "dispute" };
            format!("{what} {dispute} over {amount} opened: {reason}")
        }
        E::DisputeFundsWithdrawn {
            dispute, amount, ..
        } => format!("{amount} withdrawn for dispute {dispute}"),
        E::DisputeFundsReinstated { dispute, amount } => {
            format!("{amount} of dispute {dispute} came back")
        }
        E::DisputeClosed { dispute, won, .. } => {
            format!("dispute {dispute} {}", if *won { "won" } else { "LOST" })
        }
        E::OrderAssigned { order } => format!("is to pay order {order}"),
        E::Described(it) => match &it.reference {
            Some(reference) => format!("described; called {reference} elsewhere"),
            None => "described".to_owned(),
        },
        E::Discarded => "thrown away as a payment source".to_owned(),
        E::ObservationRefused { said, because } => {
            format!("Stripe said {said}: not applied, {because}")
        }
        E::PersonalDataErased { subject } => format!("personal data of {subject} erased"),
    }
}

fn create(it: &CreateRequested) -> String {
    let order = it
        .order
        .map(|order| format!(" for order {order}"))
        .unwrap_or_default();
    format!("asked Stripe for an intent of {}{order}", it.amount)
}

fn named(changes: &Changes) -> String {
    let parts = [
        changes
            .amount
            .map(|amount| format!("the amount to {amount}")),
        changes
            .payment_method
            .as_ref()
            .map(|method| format!("the payment method to {method}")),
        changes.customer.as_ref().map(|_| "the customer".to_owned()),
        changes
            .description
            .as_ref()
            .map(|_| "the description".to_owned()),
        (!changes.metadata.is_empty() || changes.clear_metadata).then(|| "metadata".to_owned()),
        changes
            .personal
            .as_ref()
            .map(|_| "personal data".to_owned()),
        (!changes.attributes.is_empty()).then(|| "attributes".to_owned()),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    if parts.is_empty() {
        "nothing".to_owned()
    } else {
        parts.join(", ")
    }
}

fn declined(decline: &Decline) -> String {
    format!(
        "DECLINED: {}",
        decline.decline_code.as_deref().unwrap_or(&decline.code)
    )
}

fn why(refusal: &Refusal) -> String {
    format!(
        "{} ({})",
        refusal.message,
        refusal.code.as_deref().unwrap_or(&refusal.kind)
    )
}

fn with(payment_method: Option<&str>) -> String {
    payment_method
        .map(|it| format!(" with {it}"))
        .unwrap_or_default()
}

/// Tells what we had asked for from what Stripe brought on its own.
fn by(what: &str, asked: bool) -> String {
    if asked {
        what.to_owned()
    } else {
        format!("{what} (Stripe reports)")
    }
}

fn parked(what: &str, reason: &str) -> String {
    format!("PARKED: nobody could find out what came of the {what} ({reason}); people have to")
}

fn proposed(outcome: &ByHand, by: &str, because: &str) -> String {
    format!("{by} says that it {}: {because}", by_hand(outcome))
}

fn settled(outcome: &ByHand, proposed_by: &str, approved_by: &str) -> String {
    format!(
        "settled by hand: it {} (says {proposed_by}, approved by {approved_by})",
        by_hand(outcome)
    )
}

fn by_hand(outcome: &ByHand) -> String {
    match outcome {
        ByHand::Happened { stripe_id } => format!("happened, as {stripe_id}"),
        ByHand::DidNotHappen => "did not happen".to_owned(),
    }
}
