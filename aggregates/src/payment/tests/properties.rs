//! What holds whatever is asked and whatever Stripe says, in any order.

use super::golden::sample;
use super::stripe::{Luck, Stripe};
use super::*;
use crate::ids::RefundId;
use crate::ledger::{Account, Side, payment_entries};
use crate::money::Currency;
use crate::payment::PaymentEventKind;
use crate::payment::command::{DisputeSnapshot, DisputeTurn, RefundSnapshot, StripeRefundStatus};
use crate::payment::event::Changes;
use crate::payment::state::RefundStatus;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use std::collections::BTreeMap;
use strum::IntoEnumIterator;

/// What a caller may ask for; ids are drawn as the sequence goes on.
#[derive(Debug, Clone)]
enum Ask {
    Update(Changes),
    Confirm(Option<String>),
    Capture(Option<i64>),
    Cancel,
    Refund(Option<i64>),
    Apply,
}

#[derive(Debug, Clone)]
enum Move {
    Ask(Ask, Luck),
    /// The customer acts at Stripe, past us.
    Customer(Luck),
    DashboardRefund(i64, Luck),
    RefundTurns(Index, Luck),
    /// Something that Stripe said arrives; it may arrive again.
    Deliver(Index, bool),
    Poll,
    /// Stripe, or somebody in its name, says anything at all.
    Lie(Lie),
}

#[derive(Debug, Clone)]
struct Lie {
    said: Said,
    /// Claims to answer the pending intention.
    answers: bool,
    current: bool,
}

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
        2 => changes.prop_map(Ask::Update),
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
    prop_oneof![5 => any_intent(), 1 => Just(Said::Refused(refusal())), 2 => refunds, 1 => disputes]
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

/// The rules' own bookkeeping, kept apart from the state that they read.
#[derive(Default)]
struct Tally {
    waiting: Option<IntentionId>,
    held: i64,
    captured: i64,
    applied: i64,
    /// By refund: its amount, while it is open or has succeeded.
    alive: BTreeMap<RefundId, i64>,
    ended: bool,
}

impl Tally {
    fn take(&mut self, event: &PaymentEvent) {
        use PaymentEvent as E;
        let kind = PaymentEventKind::from(event);
        let stages = [
            PaymentEventKind::Created,
            PaymentEventKind::CreateRefused,
            PaymentEventKind::RequiresAction,
            PaymentEventKind::Processing,
            PaymentEventKind::Authorized,
            PaymentEventKind::Captured,
            PaymentEventKind::Succeeded,
            PaymentEventKind::Declined,
            PaymentEventKind::Reopened,
            PaymentEventKind::Cancelled,
        ];
        assert!(
            !(self.ended && stages.contains(&kind)),
            "{event:?} after the end"
        );
        match event {
            E::CreateRequested(request) => self.begins(request.intention),
            E::UpdateRequested { intention, .. }
            | E::ConfirmRequested { intention, .. }
            | E::CancelRequested { intention, .. } => self.begins(*intention),
            E::CaptureRequested { intention, amount } => {
                assert!(
                    amount.minor() <= self.held,
                    "{amount} of {} held",
                    self.held
                );
                self.begins(*intention);
            }
            E::Authorized {
                amount, intention, ..
            } => {
                self.held = amount.minor();
                self.ends(*intention);
            }
            E::Captured {
                amount, intention, ..
            } => {
                self.captured += amount.minor();
                self.ends(*intention);
            }
            E::Succeeded { intention } | E::Cancelled { intention, .. } => {
                self.ended = true;
                self.ends(*intention);
            }
            E::RequiresAction { intention, .. }
            | E::Processing { intention, .. }
            | E::Declined { intention, .. } => {
                self.ends(*intention);
            }
            E::Created(created) => self.ends(Some(created.intention)),
            E::CreateRefused { intention, .. }
            | E::Updated { intention, .. }
            | E::UpdateRefused { intention, .. }
            | E::ConfirmRefused { intention, .. }
            | E::CaptureRefused { intention, .. }
            | E::CancelRefused { intention, .. } => self.ends(Some(*intention)),
            E::RefundRequested { refund, amount, .. } => {
                self.alive.insert(*refund, amount.minor());
                let sum: i64 = self.alive.values().sum();
                assert!(
                    sum <= self.captured,
                    "{sum} asked back of {}",
                    self.captured
                );
            }
            E::RefundPending { refund, amount, .. } | E::Refunded { refund, amount, .. } => {
                self.alive.insert(*refund, amount.minor());
            }
            E::RefundRefused { refund, .. }
            | E::RefundFailed { refund, .. }
            | E::RefundCancelled { refund, .. } => {
                self.alive.remove(refund);
            }
            E::Applied { amount, .. } => {
                assert_eq!(self.applied, 0, "applied twice");
                self.applied = amount.minor();
            }
            _ => {}
        }
    }

    fn begins(&mut self, intention: IntentionId) {
        assert_eq!(self.waiting, None, "a second step while one waits");
        self.waiting = Some(intention);
    }

    fn ends(&mut self, intention: Option<IntentionId>) {
        self.waiting.take_if(|it| Some(*it) == intention);
    }
}

/// A payment, Stripe, and what is on the wire between them.
struct World {
    payment: Payment,
    stripe: Stripe,
    wire: Vec<Observation>,
    tally: Tally,
    balances: BTreeMap<Account, i64>,
    drawn: u128,
    manual: bool,
}

impl World {
    fn new(manual: bool) -> Self {
        let mut world = Self {
            payment: Payment::default(),
            stripe: Stripe::default(),
            wire: vec![],
            tally: Tally::default(),
            balances: BTreeMap::new(),
            drawn: 1000,
            manual,
        };
        let capture_method = if manual {
            CaptureMethod::Manual
        } else {
            CaptureMethod::AutomaticAsync
        };
        let request = Box::new(CreateRequested {
            capture_method,
            ..request()
        });
        world.ask(
            PaymentCommand::CreateIntent {
                request,
                enforce_minimum: true,
            },
            Luck::Good,
        );
        world
    }

    fn make(&mut self, it: Move) {
        match it {
            Move::Ask(ask, luck) => {
                let command = self.command(ask);
                self.ask(command, luck);
            }
            Move::Customer(luck) => {
                self.stripe.customer(luck, self.manual);
                self.send_webhook();
            }
            Move::DashboardRefund(minor, luck) => {
                let said = self.stripe.refund(None, usd(minor), luck);
                if matches!(said, Said::Refund(_)) {
                    self.send(None, false, Some(said));
                }
            }
            Move::RefundTurns(which, luck) => {
                let said = self.stripe.refund_turns(which.index(usize::MAX), luck);
                self.send(None, false, said);
            }
            Move::Deliver(which, again) if !self.wire.is_empty() => {
                let index = which.index(self.wire.len());
                let observation = if again {
                    self.wire[index].clone()
                } else {
                    self.wire.swap_remove(index)
                };
                self.observe(observation);
            }
            Move::Deliver(..) => {}
            Move::Poll => self.poll(),
            Move::Lie(it) => {
                let pending = self
                    .payment
                    .facts()
                    .and_then(|it| it.pending.as_ref())
                    .map(|it| it.intention);
                let intention = pending.filter(|_| it.answers);
                self.observe(Observation {
                    intention,
                    current: it.current,
                    said: it.said,
                });
            }
        }
    }

    fn command(&mut self, ask: Ask) -> PaymentCommand {
        self.drawn += 1;
        let drawn = intention(self.drawn);
        match ask {
            Ask::Update(changes) => PaymentCommand::Update {
                intention: drawn,
                changes: Box::new(changes),
                enforce_minimum: true,
            },
            Ask::Confirm(payment_method) => PaymentCommand::Confirm {
                intention: drawn,
                payment_method,
                terms: ConfirmTerms::default(),
            },
            Ask::Capture(minor) => PaymentCommand::Capture {
                intention: drawn,
                amount: minor.map(usd),
            },
            Ask::Cancel => PaymentCommand::Cancel {
                intention: drawn,
                reason: None,
            },
            Ask::Refund(minor) => PaymentCommand::Refund {
                refund: drawn,
                amount: minor.map(usd),
                reason: None,
                metadata: Metadata::default(),
            },
            Ask::Apply => {
                let captured = self.payment.facts().map_or(usd(0), |it| it.captured);
                PaymentCommand::Apply {
                    order: order_id(),
                    amount: captured,
                }
            }
        }
    }

    /// Decides, and lets Stripe carry out what was decided; a refusal leaves everything as it was.
    fn ask(&mut self, command: PaymentCommand, luck: Luck) {
        let Ok(events) = self.payment.decide(command) else {
            return;
        };
        self.record(&events);
        for event in &events {
            let intention = match event {
                PaymentEvent::RefundRequested { refund, .. } => Some(*refund),
                _ => self
                    .payment
                    .facts()
                    .and_then(|it| it.pending.as_ref())
                    .map(|it| it.intention),
            };
            let said = self
                .stripe
                .carry_out(&self.payment, event, luck)
                .filter(|_| intention.is_some());
            self.send(intention, true, said);
            self.send_webhook();
        }
    }

    fn send(&mut self, intention: Option<IntentionId>, current: bool, said: Option<Said>) {
        self.wire.extend(said.map(|said| Observation {
            intention,
            current,
            said,
        }));
    }

    fn send_webhook(&mut self) {
        let said = self
            .stripe
            .intent
            .clone()
            .map(|it| Said::Intent(Box::new(it)));
        self.send(None, false, said);
    }

    fn poll(&mut self) {
        let intents = self
            .stripe
            .intent
            .clone()
            .map(|it| Said::Intent(Box::new(it)));
        let refunds = self.stripe.refunds.clone().into_iter().map(Said::Refund);
        for said in intents.into_iter().chain(refunds) {
            self.observe(Observation {
                intention: None,
                current: true,
                said,
            });
        }
    }

    /// Takes what Stripe says; the same said again must change nothing.
    fn observe(&mut self, observation: Observation) {
        let events = self
            .payment
            .decide(PaymentCommand::Observe(observation.clone()))
            .expect("facts are never refused");
        self.record(&events);
        let again = self
            .payment
            .decide(PaymentCommand::Observe(observation))
            .expect("facts are never refused");
        let news = again
            .iter()
            .find(|it| !matches!(it, PaymentEvent::ObservationRefused { .. }));
        assert_eq!(news, None, "said twice, recorded twice");
    }

    fn record(&mut self, events: &[PaymentEvent]) {
        for event in events {
            self.post(event);
            self.tally.take(event);
            self.payment.apply(event);
        }
        let waiting = self
            .payment
            .facts()
            .and_then(|it| it.pending.as_ref())
            .map(|it| it.intention);
        assert_eq!(waiting, self.tally.waiting, "after {events:?}");
    }

    /// Debits less credits, by account.
    fn post(&mut self, event: &PaymentEvent) {
        for entry in payment_entries(event, &self.payment) {
            let mut sum = 0;
            for line in entry.lines() {
                let signed = match line.side {
                    Side::Debit => line.amount.minor(),
                    Side::Credit => -line.amount.minor(),
                };
                assert!(line.amount.is_positive(), "{entry:?}");
                sum += signed;
                *self.balances.entry(line.account).or_default() += signed;
            }
            assert_eq!(sum, 0, "{entry:?}");
        }
    }

    fn balance(&self, account: Account) -> i64 {
        self.balances.get(&account).copied().unwrap_or(0)
    }
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
    /// step is decided while another waits, when a final state is left, or when a webhook's outcome is not taken.
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
    fn the_ledger_follows_the_money(manual: bool, moves in prop::collection::vec(truthful(), 1..60)) {
        let mut world = World::new(manual);
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
                refund: intention(77), amount: None, reason: None, metadata: Metadata::default(),
            });
        }
    }
}

fn with_amount(mut event: PaymentEvent, it: Money) -> PaymentEvent {
    use PaymentEvent as E;
    match &mut event {
        E::CreateRequested(request) => request.amount = it,
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
