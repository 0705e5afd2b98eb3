//! What a run and a break do, and the golden files of their events.

use crate::ids::ReconciliationId;
use crate::money::Currency;
use crate::reconciliation::comparison::Whole;
use crate::reconciliation::{
    BreakClass, BreakStatus, Closed, Found, Kind, Pinned, Reconciliation,
    ReconciliationCommand as Do, ReconciliationError as No, ReconciliationEvent as Did,
    ReconciliationEventKind, Subject, Terms, Totals,
};
use crate::testing::{Given, check_golden, merchant, usd};
use strum::IntoEnumIterator;
use uuid::Uuid;

fn given<const N: usize>(events: [Did; N]) -> Given<Reconciliation> {
    crate::testing::given(events)
}

fn run(number: u128) -> ReconciliationId {
    ReconciliationId::from_uuid(Uuid::from_u128(number))
}

fn opened() -> Did {
    Did::RunOpened {
        merchant: merchant(),
        terms: Terms {
            tolerance_minor: 0,
            at: 1_743_415_050,
        },
    }
}

fn pinned() -> Pinned {
    Pinned {
        ledger_position: 812,
        snapshot_hash: "5feceb66ffc86f38d952786c6d696c79c2dbc239dd4e91b46729d73a27fb57e9"
            .to_owned(),
        pages: 12,
        healed: 2,
    }
}

fn closed() -> Box<Closed> {
    let whole = Whole {
        journal_minor: 900_00,
        balance_minor: 910_00,
        explained_minor: 10_00,
    };
    Box::new(Closed {
        totals: Totals {
            payments: 40,
            payouts: 3,
            bookings: 61,
            bank_lines: 1,
            breaks: [(BreakClass::MissingHere, 1)].into(),
            in_transit: 2,
            moving: 1,
            explained: 1,
            tolerated: 0,
            whole: [(Currency::USD, whole)].into(),
        },
        report_hash: "6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b".to_owned(),
    })
}

fn found() -> Found {
    Found {
        merchant: merchant(),
        run: run(1),
        class: BreakClass::Timing,
        subject: Subject::payment("pi_1"),
        part: "ch_1".to_owned(),
        ours: Some(usd(112_00)),
        theirs: None,
        says: "Stripe has not booked the charge ch_1".to_owned(),
        since: 1_743_400_000,
        due: Some(1_743_407_200),
        seen: 1_743_415_050,
    }
}

fn is_found() -> Did {
    Did::BreakFound(Box::new(found()))
}

fn resolved(by: &str) -> Did {
    Did::BreakResolved {
        reason: "booked by hand".to_owned(),
        by: by.to_owned(),
    }
}

fn approve(by: &str) -> Do {
    Do::Approve { by: by.to_owned() }
}

#[test]
fn a_run_is_opened_once_pinned_once_and_closed_once() {
    let run = given([]).when(Do::Open {
        merchant: merchant(),
        terms: Terms {
            tolerance_minor: 0,
            at: 1_743_415_050,
        },
    });
    run.then([opened()]);
    given([opened()])
        .when(Do::Close(closed()))
        .then_err(No::NotPinned);
    given([opened()])
        .when(Do::Pin(pinned()))
        .then([Did::RunPinned(pinned())]);
    given([opened(), Did::RunPinned(pinned())])
        .when(Do::Pin(pinned()))
        .then_err(No::AlreadyPinned);
    given([opened(), Did::RunPinned(pinned())])
        .when(Do::Close(closed()))
        .then([Did::RunClosed(closed())]);
    given([opened(), Did::RunPinned(pinned()), Did::RunClosed(closed())])
        .when(Do::Close(closed()))
        .then_err(No::RunEnded);
    given([is_found()])
        .when(Do::Close(closed()))
        .then_err(No::NoSuchRun);
}

#[test]
fn a_break_that_is_found_again_with_the_same_figures_is_no_news() {
    let again = Found {
        run: run(2),
        seen: found().seen + 86_400,
        ..found()
    };
    given([is_found()])
        .when(Do::Find(Box::new(again)))
        .then_nothing();
}

/// Red when the age of a break begins anew with each run, or an approved reason covers figures that nobody approved.
#[test]
fn a_break_with_other_figures_keeps_its_age_and_is_open_again() {
    let other = Found {
        ours: Some(usd(113_00)),
        seen: found().seen + 86_400,
        ..found()
    };
    let approved = Did::ResolutionApproved {
        by: "checker".to_owned(),
    };
    let state = given([is_found(), resolved("maker"), approved])
        .when(Do::Find(Box::new(other.clone())))
        .then([Did::BreakChanged(Box::new(other))]);
    let state = state.found().unwrap();
    assert_eq!(state.first_seen, found().seen);
    assert_eq!(
        (state.status, &state.resolution),
        (BreakStatus::Open, &None)
    );
}

#[test]
fn a_break_that_is_gone_and_comes_again_is_new() {
    let again = Box::new(Found {
        seen: found().seen + 86_400,
        ..found()
    });
    let gone = Did::BreakGone { run: run(2) };
    given([is_found()])
        .when(Do::NotFound { run: run(2) })
        .then([gone.clone()]);
    given([is_found(), gone.clone()])
        .when(Do::NotFound { run: run(3) })
        .then_nothing();
    given([is_found(), gone.clone()])
        .when(approve("checker"))
        .then_err(No::NotPossible {
            status: "gone".to_owned(),
        });
    let state = given([is_found(), gone])
        .when(Do::Find(again.clone()))
        .then([Did::BreakFound(again.clone())]);
    assert_eq!(state.found().unwrap().first_seen, again.seen);
}

/// Red when whoever resolves may approve.
#[test]
fn maker_is_never_checker() {
    let state = given([is_found(), resolved("maker")]).0;
    assert_eq!(state.found().unwrap().status, BreakStatus::Resolved);
    given([is_found(), resolved("maker")])
        .when(approve("maker"))
        .then_err(No::SamePerson);
    let refuse = Do::Refuse {
        by: "maker".to_owned(),
        because: "no".to_owned(),
    };
    given([is_found(), resolved("maker")])
        .when(refuse)
        .then_err(No::SamePerson);
    given([is_found(), resolved("maker")])
        .when(approve("checker"))
        .then([Did::ResolutionApproved {
            by: "checker".to_owned(),
        }]);
    given([is_found()])
        .when(approve("checker"))
        .then_err(No::NotPossible {
            status: "open".to_owned(),
        });
}

#[test]
fn a_refused_resolution_opens_the_break_again() {
    let refused = Did::ResolutionRefused {
        by: "checker".to_owned(),
        because: "which hand?".to_owned(),
    };
    let refuse = Do::Refuse {
        by: "checker".to_owned(),
        because: "which hand?".to_owned(),
    };
    given([is_found(), resolved("maker")])
        .when(refuse)
        .then([refused.clone()]);
    let again = Do::Resolve {
        reason: "the left".to_owned(),
        by: "maker".to_owned(),
    };
    given([is_found(), resolved("maker"), refused])
        .when(again)
        .then_one(|it| matches!(it, Did::BreakResolved { .. }));
}

#[test]
fn what_is_said_twice_is_said_once() {
    let same = Do::Resolve {
        reason: "booked by hand".to_owned(),
        by: "maker".to_owned(),
    };
    given([is_found(), resolved("maker")])
        .when(same)
        .then_nothing();
    let owner = || "finance".to_owned();
    given([is_found(), Did::BreakAssigned { owner: owner() }])
        .when(Do::Assign { owner: owner() })
        .then_nothing();
    given([opened()])
        .when(Do::Assign { owner: owner() })
        .then_err(No::NoSuchBreak);
}

#[test]
fn the_same_break_has_the_same_id_in_every_run_and_another_part_another() {
    let other_run = Found {
        run: run(9),
        ..found()
    };
    assert_eq!(other_run.id(), found().id());
    let other_part = Found {
        part: "re_1".to_owned(),
        ..found()
    };
    assert_ne!(other_part.id(), found().id());
    assert_eq!(
        found().id().to_string(),
        "6f3dafc0-51b2-53a6-bc8a-4f904d2e5780",
        "people have kept these ids"
    );
}

#[test]
fn subjects_sort_as_their_texts_do() {
    let kinds: Vec<Subject> = Kind::iter().map(|it| Subject::new(it, "x/1")).collect();
    let mut texts: Vec<String> = kinds.iter().map(ToString::to_string).collect();
    texts.sort();
    let parsed: Vec<Subject> = texts.iter().map(|it| it.parse().unwrap()).collect();
    assert_eq!(parsed, kinds);
    assert!("nothing/1".parse::<Subject>().is_err());
}

#[test]
fn every_event_is_written_as_its_golden_file_says() {
    for kind in ReconciliationEventKind::iter() {
        let event = match kind {
            ReconciliationEventKind::RunOpened => opened(),
            ReconciliationEventKind::RunPinned => Did::RunPinned(pinned()),
            ReconciliationEventKind::RunClosed => Did::RunClosed(closed()),
            ReconciliationEventKind::RunAbandoned => Did::RunAbandoned {
                because: "Stripe's account is another one".to_owned(),
            },
            ReconciliationEventKind::BreakFound => is_found(),
            ReconciliationEventKind::BreakChanged => Did::BreakChanged(Box::new(found())),
            ReconciliationEventKind::BreakGone => Did::BreakGone { run: run(2) },
            ReconciliationEventKind::BreakAssigned => Did::BreakAssigned {
                owner: "finance".to_owned(),
            },
            ReconciliationEventKind::BreakResolved => resolved("key:key_1"),
            ReconciliationEventKind::ResolutionApproved => Did::ResolutionApproved {
                by: "key:key_2".to_owned(),
            },
            ReconciliationEventKind::ResolutionRefused => Did::ResolutionRefused {
                by: "key:key_2".to_owned(),
                because: "which hand?".to_owned(),
            },
        };
        let name: &'static str = kind.into();
        check_golden("reconciliation", name, &event);
    }
}
