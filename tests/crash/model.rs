//! What the protocol comes to where everything goes well: the reference that draws sensible steps, and says of each what is to be
//! answered, as long as nothing was uncertain.

use proptest::prelude::{BoxedStrategy, Just, Strategy, any, prop_oneof};
use proptest::sample::select;
use proptest_state_machine::ReferenceStateMachine;

/// Of a payment without an order, in minor units.
pub const AMOUNT: i64 = 2000;
/// How many payments and orders one run has at the most.
const THINGS_MAX: usize = 4;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Card {
    Good,
    Declined,
    /// Its bank asks the payer first.
    Asking,
}

#[derive(Clone, Debug)]
pub enum Step {
    /// A payment of a card, at once.
    Pay {
        card: Card,
        hold: bool,
    },
    /// The payer approves at the bank.
    Authenticate(usize),
    Capture(usize, i64),
    Cancel(usize),
    Refund(usize, i64),
    /// In Stripe's dashboard, behind our back.
    RefundThere(usize, i64),
    /// The payer's bank wants it back.
    Dispute(usize),
    /// An order of the shop, at a price.
    Place(i64),
    Ask(usize),
    /// Its customer pays at Stripe, behind our back.
    PayThere(usize),
    MarkPaid(usize),
    Reprice(usize, i64),
    /// A checkout of articles.
    Open,
    /// Another one in its place.
    OpenAnother(usize),
    PayOnPage(usize),
    /// The service stops and starts anew.
    Restart,
    /// Stripe is at its worst, as drawn from this seed; or well again.
    Faults(Option<u64>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// `hold`: it is held, not taken, once the bank is content.
    Asking {
        hold: bool,
    },
    Declined,
    Held,
    Paid {
        captured: i64,
        refunded: i64,
    },
    Cancelled,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Payment(Stage),
    Order { total: i64, asked: bool, paid: bool },
    Checkout { paid: bool },
}

#[derive(Clone, Copy, Debug)]
pub struct Thing {
    pub kind: Kind,
    /// Nothing that Stripe said of it was lost: how it stands is known for certain.
    pub certain: bool,
}

/// What a step is to be answered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    Done,
    Refused,
    /// Whatever became of it, it may be either.
    Either,
}

#[derive(Clone, Debug)]
pub struct Model {
    pub things: Vec<Thing>,
    pub faults: bool,
    /// Of the last step.
    pub expected: Expected,
}

impl Model {
    fn thing(&self, at: usize) -> Option<&Thing> {
        self.things.get(at)
    }

    fn stage(&self, at: usize) -> Option<Stage> {
        match self.thing(at)?.kind {
            Kind::Payment(stage) => Some(stage),
            _ => None,
        }
    }

    fn add(&mut self, kind: Kind) -> Expected {
        let certain = !self.faults;
        self.things.push(Thing { kind, certain });
        Expected::Done
    }

    /// Changes a payment: to another stage, or a refusal.
    fn turn(&mut self, at: usize, to: Option<Stage>) -> Expected {
        match to {
            Some(stage) => {
                self.things[at].kind = Kind::Payment(stage);
                Expected::Done
            }
            None => Expected::Refused,
        }
    }

    fn step(&mut self, step: &Step) -> Expected {
        use Stage as S;
        match *step {
            Step::Pay { card, hold } => {
                let stage = match (card, hold) {
                    (Card::Declined, _) => S::Declined,
                    (Card::Asking, hold) => S::Asking { hold },
                    (Card::Good, true) => S::Held,
                    (Card::Good, false) => whole(),
                };
                self.add(Kind::Payment(stage));
                match card {
                    Card::Declined => Expected::Refused,
                    _ => Expected::Done,
                }
            }
            Step::Authenticate(at) => {
                let next = match self.stage(at) {
                    Some(S::Asking { hold: true }) => Some(S::Held),
                    Some(S::Asking { hold: false }) => Some(whole()),
                    _ => None,
                };
                self.turn(at, next)
            }
            Step::Capture(at, minor) => {
                let held = self.stage(at) == Some(S::Held) && minor <= AMOUNT;
                let captured = S::Paid {
                    captured: minor,
                    refunded: 0,
                };
                self.turn(at, held.then_some(captured))
            }
            Step::Cancel(at) => match self.stage(at) {
                Some(S::Cancelled) => Expected::Either,
                Some(S::Paid { .. }) | None => Expected::Refused,
                Some(_) => self.turn(at, Some(S::Cancelled)),
            },
            Step::Refund(at, minor) | Step::RefundThere(at, minor) => {
                let next = match self.stage(at) {
                    Some(S::Paid { captured, refunded }) if refunded + minor <= captured => {
                        Some(S::Paid {
                            captured,
                            refunded: refunded + minor,
                        })
                    }
                    _ => None,
                };
                self.turn(at, next)
            }
            Step::Dispute(at) => {
                self.things[at].certain = false;
                Expected::Done
            }
            Step::Restart | Step::Faults(_) => Expected::Done,
            Step::Open => self.add(Kind::Checkout { paid: false }),
            Step::Place(total) => self.add(Kind::Order {
                total,
                asked: false,
                paid: false,
            }),
            Step::Ask(at)
            | Step::PayThere(at)
            | Step::MarkPaid(at)
            | Step::Reprice(at, _)
            | Step::OpenAnother(at)
            | Step::PayOnPage(at) => self.step_of_order(at, step),
        }
    }

    fn step_of_order(&mut self, at: usize, step: &Step) -> Expected {
        let allowed = |is: bool| match is {
            true => Expected::Done,
            false => Expected::Refused,
        };
        match (&mut self.things[at].kind, step) {
            (Kind::Order { asked, paid, .. }, Step::Ask(_)) => {
                *asked |= !*paid;
                allowed(!*paid)
            }
            (Kind::Order { paid, .. }, Step::PayThere(_)) => {
                *paid = true;
                Expected::Done
            }
            (Kind::Order { paid, .. }, Step::MarkPaid(_)) => allowed(*paid),
            (Kind::Order { total, paid, .. }, Step::Reprice(_, minor)) => {
                if !*paid {
                    *total = *minor;
                }
                allowed(!*paid)
            }
            (Kind::Checkout { paid }, Step::OpenAnother(_)) => allowed(!*paid),
            (Kind::Checkout { paid }, Step::PayOnPage(_)) => {
                *paid = true;
                Expected::Done
            }
            _ => Expected::Either,
        }
    }
}

fn whole() -> Stage {
    Stage::Paid {
        captured: AMOUNT,
        refunded: 0,
    }
}

/// Which thing a step is about.
fn about(step: &Step) -> Option<usize> {
    match step {
        Step::Authenticate(at)
        | Step::Capture(at, _)
        | Step::Cancel(at)
        | Step::Refund(at, _)
        | Step::RefundThere(at, _)
        | Step::Dispute(at)
        | Step::Ask(at)
        | Step::PayThere(at)
        | Step::MarkPaid(at)
        | Step::Reprice(at, _)
        | Step::OpenAnother(at)
        | Step::PayOnPage(at) => Some(*at),
        _ => None,
    }
}

impl ReferenceStateMachine for Model {
    type State = Self;
    type Transition = Step;

    fn init_state() -> BoxedStrategy<Self> {
        Just(Self {
            things: vec![],
            faults: false,
            expected: Expected::Done,
        })
        .boxed()
    }

    fn transitions(state: &Self) -> BoxedStrategy<Step> {
        let cards =
            prop_oneof![4 => Just(Card::Good), 1 => Just(Card::Declined), 1 => Just(Card::Asking)];
        let begin = prop_oneof![
            4 => (cards, any::<bool>()).prop_map(|(card, hold)| Step::Pay { card, hold }),
            2 => (1_000..5_000_i64).prop_map(Step::Place),
            1 => Just(Step::Open),
        ];
        let faults = state.faults;
        let around = (any::<u64>(), 0..4).prop_map(move |(seed, which)| match which {
            0 => Step::Restart,
            _ => Step::Faults((!faults).then_some(seed)),
        });
        if state.things.is_empty() {
            return prop_oneof![4 => begin, 1 => around].boxed();
        }
        let known = state.clone();
        let goes_on = (0..state.things.len(), 1..2_500_i64).prop_flat_map(move |(at, minor)| {
            let mut steps = vec![
                Step::Authenticate(at),
                Step::Capture(at, minor),
                Step::Capture(at, AMOUNT),
                Step::Cancel(at),
                Step::Refund(at, minor),
                Step::Refund(at, minor / 3 + 1),
                Step::RefundThere(at, minor / 3 + 1),
                Step::Dispute(at),
                Step::Ask(at),
                Step::PayThere(at),
                Step::MarkPaid(at),
                Step::Reprice(at, minor + 500),
                Step::OpenAnother(at),
                Step::PayOnPage(at),
            ];
            steps.retain(|step| Self::preconditions(&known, step));
            // A checkout that is paid can be opened anew, a payment cancelled, an order repriced: something is left.
            select(steps)
        });
        // There is room for so many alone.
        if state.things.len() == THINGS_MAX {
            return prop_oneof![8 => goes_on, 2 => around].boxed();
        }
        prop_oneof![2 => begin, 8 => goes_on, 2 => around].boxed()
    }

    fn apply(mut state: Self, step: &Step) -> Self {
        let at = about(step).unwrap_or(state.things.len());
        if let Step::Faults(seed) = step {
            state.faults = seed.is_some();
        }
        let certain_before = state.things.get(at).is_none_or(|it| it.certain);
        let expected = state.step(step);
        if state.faults
            && let Some(thing) = state.things.get_mut(at)
        {
            thing.certain = false;
        }
        let certain = certain_before && !state.faults;
        state.expected = if certain { expected } else { Expected::Either };
        state
    }

    fn preconditions(state: &Self, step: &Step) -> bool {
        let kind = about(step).map(|at| state.thing(at).map(|it| it.kind));
        let is_payment = matches!(kind, Some(Some(Kind::Payment(_))));
        match step {
            Step::Pay { .. } | Step::Place(_) | Step::Open => state.things.len() < THINGS_MAX,
            Step::Faults(seed) => seed.is_some() != state.faults,
            Step::Restart => true,
            Step::Capture(..) | Step::Cancel(_) | Step::Refund(..) => is_payment,
            Step::Authenticate(at) => matches!(state.stage(*at), Some(Stage::Asking { .. })),
            Step::RefundThere(at, minor) => matches!(
                state.stage(*at),
                Some(Stage::Paid { captured, refunded }) if refunded + minor <= captured
            ),
            Step::Dispute(at) => matches!(state.stage(*at), Some(Stage::Paid { .. })),
            Step::Ask(_) | Step::MarkPaid(_) | Step::Reprice(..) => {
                matches!(kind, Some(Some(Kind::Order { .. })))
            }
            Step::PayThere(_) => matches!(
                kind,
                Some(Some(Kind::Order {
                    asked: true,
                    paid: false,
                    ..
                }))
            ),
            Step::OpenAnother(_) => matches!(kind, Some(Some(Kind::Checkout { .. }))),
            Step::PayOnPage(_) => matches!(kind, Some(Some(Kind::Checkout { paid: false }))),
        }
    }
}
