//! What holds whatever is asked and whatever Stripe says, in any order.

use super::golden::sample;
use super::stripe::Luck;
use super::world::{Ask, Lie, Move, World};
use super::*;
use crate::ledger::{Account, payment_entries};
use crate::money::Currency;
use crate::payment::PaymentEventKind;
use crate::payment::command::{
    DisputeSnapshot, DisputeState, DisputeStatus, DisputeTurn, RefundSnapshot, StripeRefundStatus,
};
use crate::payment::event::Changes;
use crate::payment::state::RefundStatus;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use strum::IntoEnumIterator;

fn minor() -> impl Strategy<Value = i64> {
    prop_oneof![Just(100_00), Just(60_00), 1..=120_00_i64]
}

fn luck() -> impl Strategy<Value = Luck> {
    select(vec![
        Luck::Good,
        Luck::Good,
        Luck::Action,
        Luck::Slow,
        Luck::Bad,
    ])
}

fn ask() -> impl Strategy<Value = Ask> {
    let methods = select(vec![None, method(), Some("pm_other".to_owned())]);
    let changes = (
        proptest::option::of(minor().prop_map(|it| it.max(50))),
        methods.clone(),
        any::<bool>(),
    );
    let changes = changes.prop_map(|(amount, payment_method, describes)| Changes {
        amount: amount.map(usd),
        payment_method,
        description: describes.then(|| "new".to_owned()),
        ..Changes::default()
    });
    prop_oneof![
        2 => changes.prop_map(|it| Ask::Update(Box::new(it))),
        4 => methods.prop_map(Ask::Confirm),
        3 => proptest::option::of(minor()).prop_map(Ask::Capture),
        1 => Just(Ask::Cancel),
        4 => proptest::option::of(minor()).prop_map(Ask::Refund),
        1 => Just(Ask::Apply),
    ]
}

fn truthful() -> impl Strategy<Value = Move> {
    prop_oneof![
        6 => (ask(), luck()).prop_map(|(ask, luck)| Move::Ask(ask, luck)),
        2 => luck().prop_map(Move::Customer),
        1 => (minor(), luck()).prop_map(|(minor, luck)| Move::DashboardRefund(minor, luck)),
        1 => (any::<Index>(), luck()).prop_map(|(which, luck)| Move::RefundTurns(which, luck)),
        8 => (any::<Index>(), any::<bool>()).prop_map(|(which, again)| Move::Deliver(which, again)),
        1 => Just(Move::Poll),
    ]
}

fn any_intent() -> impl Strategy<Value = Said> {
    let amounts = (minor(), 0..=150_00_i64, 0..=150_00_i64);
    let statuses = select(StripeStatus::iter().collect::<Vec<_>>());
    (statuses, amounts, any::<bool>(), 0..3_u8).prop_map(
        |(status, (amount, held, received), declined, charge)| {
            let open = status == StripeStatus::RequiresPaymentMethod;
            Said::Intent(Box::new(IntentSnapshot {
                amount: usd(amount),
                amount_capturable: usd(held),
                amount_received: usd(received),
                last_error: (declined && open).then(|| decline(&format!("ch_{charge}"))),
                ..seen(status)
            }))
        },
    )
}

fn any_said() -> impl Strategy<Value = Said> {
    use StripeRefundStatus as R;
    let statuses = select(vec![
        R::Pending,
        R::RequiresAction,
        R::Succeeded,
        R::Failed,
        R::Canceled,
    ]);
    let refunds =
        (statuses, minor(), 0..4_u128, any::<bool>()).prop_map(|(status, amount, number, ours)| {
            Said::Refund(RefundSnapshot {
                refund: ours.then(|| intention(1000 + number)),
                stripe_refund: format!("re_{number}"),
                created: None,
                status,
                amount: usd(amount),
                failure_reason: None,
            })
        });
    let turns = select(vec![
        DisputeTurn::Opened { inquiry: true },
        DisputeTurn::FundsWithdrawn { fee_minor: 15_00 },
        DisputeTurn::FundsReinstated,
        DisputeTurn::Closed { won: false },
    ]);
    let disputes = (turns, minor()).prop_map(|(turn, amount)| {
        let (dispute, reason) = ("dp_1".to_owned(), "general".to_owned());
        Said::Dispute(DisputeSnapshot {
            dispute,
            amount: usd(amount),
            reason,
            turn,
        })
    });
    let statuses = select(DisputeStatus::iter().collect::<Vec<_>>());
    let fees = proptest::option::of(0..=20_00_i64);
    let read = (statuses, minor(), fees, any::<bool>()).prop_map(
        |(status, amount, withdrawn_fee_minor, reinstated)| {
            Said::DisputeState(DisputeState {
                dispute: "dp_1".to_owned(),
                amount: usd(amount),
                reason: "general".to_owned(),
                status,
                withdrawn_fee_minor,
                reinstated,
            })
        },
    );
    prop_oneof![5 => any_intent(), 1 => Just(Said::Refused(refusal())), 2 => refunds, 1 => disputes, 1 => read]
}

fn lie() -> impl Strategy<Value = Move> {
    (any_said(), any::<bool>(), any::<bool>()).prop_map(|(said, answers, current)| {
        Move::Lie(Lie {
            said,
            answers,
            current,
        })
    })
}

/// The usual way, so that many sequences begin where money can be given back.
fn paid_and_applied() -> [Move; 7] {
    let good = |ask| Move::Ask(ask, Luck::Good);
    let confirm = good(Ask::Confirm(method()));
    [
        Move::Poll,
        confirm,
        Move::Poll,
        good(Ask::Capture(None)),
        Move::Poll,
        good(Ask::Apply),
        Move::Poll,
    ]
}

fn at_stripe(it: RefundStatus) -> Option<StripeRefundStatus> {
    match it {
        RefundStatus::Requested | RefundStatus::Refused => None,
        RefundStatus::Pending => Some(StripeRefundStatus::Pending),
        RefundStatus::Succeeded => Some(StripeRefundStatus::Succeeded),
        RefundStatus::Failed => Some(StripeRefundStatus::Failed),
        RefundStatus::Canceled => Some(StripeRefundStatus::Canceled),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// However answers and webhooks are shuffled, repeated and delayed, the payment ends where Stripe's intent ended.
    ///
    /// Red when `refundable` forgets open refunds (the tally's limit), when `capture` takes more than is held, when a
    /// step is decided while another waits, when a final state is left, or when a webhook cannot tell of the creation.
    #[test]
    fn the_payment_ends_where_stripe_ended(manual: bool, moves in prop::collection::vec(truthful(), 1..60), order: Vec<Index>) {
        let mut world = World::new(manual);
        moves.into_iter().for_each(|it| world.make(it));
        let mut order = order.into_iter().cycle();
        while !world.wire.is_empty() {
            let index = order.next().map_or(0, |it| it.index(world.wire.len()));
            let observation = world.wire.swap_remove(index);
            world.observe(observation);
        }
        world.poll();

        let facts = world.payment.facts().unwrap();
        let intent = world.stripe.intent.as_ref().unwrap();
        prop_assert_eq!(&facts.pending, &None);
        prop_assert_eq!(facts.stripe_status(), Some(intent.status));
        prop_assert_eq!(facts.amount_received(), intent.amount_received);
        prop_assert_eq!(facts.capturable(), intent.amount_capturable);
        prop_assert_eq!(facts.amount, intent.amount);
        let stripes = |it: &&crate::payment::state::Refund| it.stripe_refund.is_some();
        prop_assert_eq!(facts.refunds.iter().filter(stripes).count(), world.stripe.refunds.len());
        for seen in &world.stripe.refunds {
            let known = facts.refunds.iter().find(|it| it.stripe_refund.as_ref() == Some(&seen.stripe_refund)).unwrap();
            prop_assert_eq!((at_stripe(known.status), known.amount), (Some(seen.status), seen.amount));
        }
    }

    /// Whatever became of an intent before it came into the ledger, it stands there as it does at Stripe, whatever old news
    /// comes after it, and its money is in the books.
    ///
    /// Red when the adoption does not observe what came before it.
    #[test]
    fn an_adopted_payment_stands_where_stripes_intent_stands(manual: bool, moves in prop::collection::vec(truthful(), 1..60), after in prop::collection::vec(truthful(), 0..20)) {
        let mut world = World::new(manual);
        moves.into_iter().for_each(|it| world.make(it));
        prop_assume!(world.stripe.intent.is_some());
        world.adopt();
        let adopted = world.payment.facts().unwrap().clone();
        let intent = world.stripe.intent.clone().unwrap();
        prop_assert_eq!(adopted.stripe_status(), Some(intent.status));
        prop_assert_eq!((adopted.amount, adopted.captured), (intent.amount, intent.amount_received));
        prop_assert_eq!((adopted.capturable(), &adopted.pending), (intent.amount_capturable, &None));

        after.into_iter().for_each(|it| world.make(it));
        while let Some(observation) = world.wire.pop() {
            world.observe(observation);
        }
        world.poll();
        let facts = world.payment.facts().unwrap();
        let intent = world.stripe.intent.as_ref().unwrap();
        prop_assert_eq!(facts.stripe_status(), Some(intent.status));
        prop_assert_eq!(facts.amount_received(), intent.amount_received);
        prop_assert_eq!(facts.refunds.iter().filter(|it| it.stripe_refund.is_some()).count(), world.stripe.refunds.len());
        let at_stripe = world.balance(Account::StripeClearing) + world.balance(Account::StripeBalance);
        prop_assert_eq!(at_stripe, facts.captured.minor() - facts.refunded().minor());
    }

    /// Whatever Stripe says, what is decided here keeps to the limits, final states stay, one step waits at a time, and
    /// the same thing said twice is recorded once.
    ///
    /// Red when `contradiction` lets a cancelled intent succeed, or when a dispute's repeated turn is recorded again.
    #[test]
    fn no_lie_makes_us_break_our_limits(manual: bool, moves in prop::collection::vec(prop_oneof![truthful(), lie()], 1..60)) {
        let mut world = World::new(manual);
        moves.into_iter().for_each(|it| world.make(it));
        let facts = world.payment.facts().unwrap();
        prop_assert!(facts.refundable().minor() >= 0);
        prop_assert_eq!(facts.captured.minor(), world.tally.captured);
    }

    /// Every entry balances, sales give back no more than was sold, and `clearing` holds what was taken and not given back.
    ///
    /// Red when a refund after a failed one is taken out of the sales a second time, or a line is left out of an entry.
    #[test]
    fn the_ledger_follows_the_money(manual: bool, applied: bool, moves in prop::collection::vec(truthful(), 1..60)) {
        let mut world = World::new(manual);
        if applied {
            paid_and_applied().into_iter().for_each(|it| world.make(it));
        }
        moves.into_iter().for_each(|it| world.make(it));
        let facts = world.payment.facts().unwrap();
        let sold = world.balance(Account::Refunds);
        prop_assert!(0 <= sold && sold <= facts.applied.minor(), "{} given back of {}", sold, facts.applied);
        let at_stripe = world.balance(Account::StripeClearing) + world.balance(Account::StripeBalance);
        prop_assert_eq!(at_stripe, facts.captured.minor() - facts.refunded().minor());
    }

    /// Any events in any order, with any amounts, are taken without a panic, and so is every question after them.
    ///
    /// Red when `apply` adds with `+`, or unwraps what a fact may contradict.
    #[test]
    fn facts_never_fail(begun: bool, events in prop::collection::vec((any::<Index>(), any::<i64>(), any::<bool>()), 0..40)) {
        let kinds: Vec<PaymentEventKind> = PaymentEventKind::iter().collect();
        let mut payment = if begun { state(standing(Status::Creating)) } else { Payment::default() };
        for (kind, minor, euros) in events {
            let currency = if euros { Currency::EUR } else { Currency::USD };
            let event = with_amount(sample(kinds[kind.index(kinds.len())]), Money::new(minor, currency));
            for entry in payment_entries(&event, &payment) {
                prop_assert!(!entry.lines().is_empty());
            }
            payment.apply(&event);
            if let Some(facts) = payment.facts() {
                prop_assert!(facts.refundable().minor() >= 0);
                prop_assert!(facts.public_status() == facts.status || facts.pending.is_some());
            }
            let _ = payment.decide(webhook(seen(StripeStatus::Succeeded)));
            let _ = payment.decide(PaymentCommand::Refund {
                refund: intention(77), amount: None, reason: None, metadata: Metadata::default(), parameters: Parameters::default(),
            });
        }
    }
}

fn with_amount(mut event: PaymentEvent, it: Money) -> PaymentEvent {
    use PaymentEvent as E;
    match &mut event {
        E::CreateRequested(request) => request.amount = it,
        E::Adopted(adopted) => adopted.amount = it,
        E::Updated { changes, .. } | E::UpdateRequested { changes, .. } => {
            changes.amount = Some(it)
        }
        E::Authorized { amount, .. }
        | E::Captured { amount, .. }
        | E::CaptureRequested { amount, .. }
        | E::RefundRequested { amount, .. }
        | E::RefundPending { amount, .. }
        | E::Refunded { amount, .. }
        | E::RefundFailed { amount, .. }
        | E::RefundCancelled { amount, .. }
        | E::Applied { amount, .. }
        | E::DisputeOpened { amount, .. }
        | E::DisputeFundsReinstated { amount, .. }
        | E::DisputeClosed { amount, .. } => *amount = it,
        E::DisputeFundsWithdrawn {
            amount, fee_minor, ..
        } => {
            *amount = it;
            *fee_minor = it.minor();
        }
        _ => {}
    }
    event
}
