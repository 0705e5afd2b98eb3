//! A payment and Stripe, with what is on the wire between them; and a tally of its own that watches the limits.

use super::stripe::{Luck, Stripe};
use super::*;
use crate::ids::RefundId;
use crate::ledger::{Account, Side, payment_entries};
use crate::payment::PaymentEventKind;
use crate::payment::event::Changes;
use proptest::sample::Index;
use std::collections::BTreeMap;

/// What a caller may ask for; ids are drawn as the sequence goes on.
#[derive(Debug, Clone)]
pub enum Ask {
    Update(Box<Changes>),
    Confirm(Option<String>),
    Capture(Option<i64>),
    Cancel,
    Refund(Option<i64>),
    Apply,
}

#[derive(Debug, Clone)]
pub enum Move {
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
pub struct Lie {
    pub said: Said,
    /// Claims to answer the pending intention.
    pub answers: bool,
    pub current: bool,
}

/// The rules' own bookkeeping, kept apart from the state that they read.
#[derive(Default)]
pub struct Tally {
    waiting: Option<IntentionId>,
    held: i64,
    pub captured: i64,
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
            E::CaptureRequested {
                intention, amount, ..
            } => {
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
pub struct World {
    pub payment: Payment,
    pub stripe: Stripe,
    pub wire: Vec<Observation>,
    pub tally: Tally,
    balances: BTreeMap<Account, i64>,
    drawn: u128,
    manual: bool,
}

impl World {
    pub fn new(manual: bool) -> Self {
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

    pub fn make(&mut self, it: Move) {
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

    /// Forgets all that was known, and takes Stripe's intent up as it stands. What is on the wire stays there.
    pub fn adopt(&mut self) {
        let seen = self.stripe.intent.clone().expect("it was made");
        self.payment = Payment::default();
        self.tally = Tally::default();
        self.balances.clear();
        let command = PaymentCommand::Adopt(Box::new(Adopt {
            capture_method: if self.manual {
                CaptureMethod::Manual
            } else {
                CaptureMethod::AutomaticAsync
            },
            ..adopt(seen)
        }));
        let events = self.payment.decide(command).expect("nothing is known yet");
        self.record(&events);
    }

    fn command(&mut self, ask: Ask) -> PaymentCommand {
        self.drawn += 1;
        let drawn = intention(self.drawn);
        match ask {
            Ask::Update(changes) => PaymentCommand::Update {
                intention: drawn,
                changes,
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
                parameters: Parameters::default(),
            },
            Ask::Cancel => PaymentCommand::Cancel {
                intention: drawn,
                reason: None,
                parameters: Parameters::default(),
            },
            Ask::Refund(minor) => PaymentCommand::Refund {
                refund: drawn,
                amount: minor.map(usd),
                reason: None,
                metadata: Metadata::default(),
                parameters: Parameters::default(),
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

    pub fn poll(&mut self) {
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
    pub fn observe(&mut self, observation: Observation) {
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

    pub fn balance(&self, account: Account) -> i64 {
        self.balances.get(&account).copied().unwrap_or(0)
    }
}
