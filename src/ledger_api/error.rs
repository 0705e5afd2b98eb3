//! Errors as problems: which number and which code each has. The codes are the callers' to rely on.

use aggregates::parking::ParkingError;
use aggregates::payment::error::ErrorKind;
use aggregates::reconciliation::ReconciliationError;
use aggregates::settlement::SettlementError;
use eventstore::BoxError;
use http::StatusCode;
use projections::books::BooksError;
use projections::exports::ExportError;
use projections::figures::ExplainError;
use projections::rebuild::RebuildError;
use std::fmt::Display;

use crate::doors::sentence;
use crate::http::body::BodyError;
use crate::http::problem::{Fault, Problem};
use crate::store::{NoExport, NoReplay, Scope};
use crate::use_cases::{
    AppError, BreakError, CloseError, FeedError, MatchError, NoRepeat, PastError, ReconcileError,
    RegisterError, SettleError, StartRebuildError,
};

/// The key is absent, malformed, unknown or ended: which of them is not said.
pub fn unauthenticated() -> Problem {
    Problem::new(
        StatusCode::UNAUTHORIZED,
        "unauthenticated",
        "A valid key is needed: Authorization: Bearer …",
    )
}

/// The key may not do this.
pub fn scope_missing(needed: Scope) -> Problem {
    let detail = format!("This key is not allowed to do this: it needs the scope '{needed}'.");
    Problem::new(StatusCode::FORBIDDEN, "scope_missing", detail)
}

/// Parts of the request are at fault.
pub fn invalid(errors: Vec<Fault>) -> Problem {
    let detail = match errors.as_slice() {
        [one] => one.detail.clone(),
        several => format!("{} parts of the request are at fault.", several.len()),
    };
    Problem::new(StatusCode::BAD_REQUEST, "invalid_request", detail).with_errors(errors)
}

/// There is no such thing, or it is another merchant's: the same, word for word.
pub fn no_such(what: &str) -> Problem {
    let what = what.replace('_', " ");
    Problem::new(
        StatusCode::NOT_FOUND,
        "not_found",
        sentence(&format!("no such {what}")),
    )
}

/// The run has not come to its report.
pub fn not_ended() -> Problem {
    Problem::new(
        StatusCode::CONFLICT,
        "not_ended",
        "This reconciliation has not ended: its report comes with its end.",
    )
}

impl From<BodyError> for Problem {
    fn from(error: BodyError) -> Self {
        let code = match error.status() {
            StatusCode::PAYLOAD_TOO_LARGE => "body_too_large",
            StatusCode::REQUEST_TIMEOUT => "body_too_slow",
            _ => "unreadable_body",
        };
        Self::new(error.status(), code, sentence(&error))
    }
}

impl From<AppError> for Problem {
    fn from(error: AppError) -> Self {
        match &error {
            AppError::NotFound { what, .. } => no_such(what),
            AppError::Payment(it) => of_rules(it.kind(), it.code(), it, "payment"),
            AppError::Order(it) => of_rules(it.kind(), it.code(), it, "order"),
            AppError::Offer(it) => of_rules(it.kind(), it.code(), it, "offer"),
            AppError::Article(it) => of_rules(it.kind(), it.code(), it, "article"),
            AppError::Refused(_) => Self::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "refused_by_stripe",
                error.to_string(),
            ),
            AppError::RefusedBefore(_) => conflict("refused_before", &error),
            AppError::NotPaid { .. } => conflict("not_paid", &error),
            AppError::KeyInUse => conflict("idempotency_key_in_use", &error).retry_after_s(1),
            AppError::KeyReused => Self::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "idempotency_key_reused",
                sentence(&error),
            ),
            AppError::TooManyRequests { wait_s } => Self::new(
                StatusCode::TOO_MANY_REQUESTS,
                "too_many_requests",
                sentence(&error),
            )
            .retry_after_s(*wait_s),
            AppError::OutcomeUnknown => unavailable(
                "outcome_unknown",
                "Stripe has not answered yet. Repeat the request: it goes on where it stands.",
                2,
            ),
            AppError::Unavailable => unavailable(
                "unavailable",
                "The service cannot be used just now. Nothing was done.",
                5,
            ),
            AppError::Internal => Self::internal(),
        }
    }
}

impl From<RegisterError> for Problem {
    fn from(error: RegisterError) -> Self {
        let code = error.code();
        let status = match error {
            RegisterError::App(error) => return error.into(),
            RegisterError::MoreThanYourOwn(_) => StatusCode::FORBIDDEN,
            RegisterError::NoScope
            | RegisterError::CustomerMismatch
            | RegisterError::NotForThisKind(_)
            | RegisterError::UnknownStripeAccount => StatusCode::UNPROCESSABLE_ENTITY,
            RegisterError::LastAdminKey
            | RegisterError::KeyHasEnded
            | RegisterError::MerchantExists
            | RegisterError::StripeAccountTaken => StatusCode::CONFLICT,
        };
        Self::new(status, code, sentence(&error))
    }
}

impl From<FeedError> for Problem {
    fn from(error: FeedError) -> Self {
        match error {
            FeedError::BeyondHead { .. } => {
                Self::new(StatusCode::BAD_REQUEST, "beyond_the_head", sentence(&error))
            }
            FeedError::App(error) => error.into(),
        }
    }
}

impl From<BreakError> for Problem {
    fn from(error: BreakError) -> Self {
        let refused = match error {
            BreakError::App(error) => return error.into(),
            BreakError::Refused(refused) => refused,
        };
        let status = match refused {
            ReconciliationError::SamePerson => StatusCode::FORBIDDEN,
            _ => StatusCode::CONFLICT,
        };
        let detail = sentence(&refused);
        Self::new(status, (&refused).into(), detail)
    }
}

impl From<SettleError> for Problem {
    fn from(error: SettleError) -> Self {
        let refused = match error {
            SettleError::App(error) => return error.into(),
            SettleError::Refused(refused) => refused,
        };
        let status = match refused {
            ParkingError::SamePerson { .. } => StatusCode::FORBIDDEN,
            ParkingError::NoNameOrReason => StatusCode::UNPROCESSABLE_ENTITY,
            ParkingError::NotParked
            | ParkingError::NothingProposed
            | ParkingError::NotBorneOut { .. } => StatusCode::CONFLICT,
        };
        let detail = sentence(&refused);
        Self::new(status, (&refused).into(), detail)
    }
}

impl From<StartRebuildError> for Problem {
    fn from(error: StartRebuildError) -> Self {
        match error {
            StartRebuildError::Running => {
                Self::new(StatusCode::CONFLICT, "rebuild_running", sentence(&error))
            }
            StartRebuildError::App(error) => error.into(),
        }
    }
}

impl From<NoReplay> for Problem {
    fn from(error: NoReplay) -> Self {
        let detail = sentence(&error);
        match error {
            NoReplay::TooMany => {
                Self::new(StatusCode::TOO_MANY_REQUESTS, "too_many_replays", detail)
                    .retry_after_s(5)
            }
            NoReplay::Rebuild(RebuildError::NoHistory(error)) => error.into(),
            // The service stops.
            NoReplay::Rebuild(RebuildError::CalledOff) => AppError::Unavailable.into(),
            NoReplay::Rebuild(error) => {
                tracing::error!(%error, "the past cannot be replayed");
                AppError::Unavailable.into()
            }
        }
    }
}

impl From<BooksError> for Problem {
    fn from(error: BooksError) -> Self {
        let code = match &error {
            BooksError::AheadOfLedger { .. } => "beyond_the_head",
            BooksError::InTheFuture { .. } | BooksError::MonthToCome { .. } => "in_the_future",
            BooksError::BeforeTheBeginning => "before_the_beginning",
            BooksError::Reversed => "reversed_range",
            BooksError::NoEffectiveTime => "no_effective_time",
            BooksError::CatchingUp { .. } => {
                let detail = "The journal has not come that far yet. Repeat the request.";
                return unavailable("catching_up", detail, 1);
            }
            BooksError::Database(error) => {
                tracing::error!(%error, "the books cannot be read");
                return AppError::Unavailable.into();
            }
        };
        Self::new(StatusCode::BAD_REQUEST, code, sentence(&error))
    }
}

impl From<NoExport> for Problem {
    fn from(error: NoExport) -> Self {
        let detail = sentence(&error);
        match error {
            NoExport::Export(error) => error.into(),
            NoExport::TooMany => {
                Self::new(StatusCode::TOO_MANY_REQUESTS, "too_many_exports", detail)
                    .retry_after_s(5)
            }
            NoExport::TooSlow => Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail),
            NoExport::Broken(error) => unreadable(&error),
        }
    }
}

impl From<ExportError> for Problem {
    fn from(error: ExportError) -> Self {
        match error {
            ExportError::Books(error) => error.into(),
            ExportError::NoSuchOrder => no_such("order"),
            ExportError::Unreadable(error) => unreadable(&error),
        }
    }
}

impl From<ExplainError> for Problem {
    fn from(error: ExplainError) -> Self {
        match error {
            ExplainError::Books(error) => error.into(),
            ExplainError::Unreadable(error) => unreadable(&error),
        }
    }
}

impl From<ReconcileError> for Problem {
    fn from(error: ReconcileError) -> Self {
        tracing::error!(%error, "a report cannot be read");
        AppError::Unavailable.into()
    }
}

/// Of a run that is there.
impl From<NoRepeat> for Problem {
    fn from(error: NoRepeat) -> Self {
        let detail = sentence(&error);
        match error {
            NoRepeat::TooMany => Self::new(
                StatusCode::TOO_MANY_REQUESTS,
                "too_many_repetitions",
                detail,
            )
            .retry_after_s(5),
            NoRepeat::Reconcile(ReconcileError::NoSuchRun) => not_ended(),
            // The service stops.
            NoRepeat::Reconcile(ReconcileError::Stopped) => AppError::Unavailable.into(),
            NoRepeat::Reconcile(ReconcileError::App(error)) => error.into(),
            NoRepeat::Reconcile(error) => error.into(),
        }
    }
}

fn unreadable(error: &BoxError) -> Problem {
    tracing::error!(%error, "what is recorded cannot be read");
    AppError::Unavailable.into()
}

impl From<PastError> for Problem {
    fn from(error: PastError) -> Self {
        match error {
            PastError::NoHistory(error) => error.into(),
            PastError::App(error) => error.into(),
        }
    }
}

impl From<CloseError> for Problem {
    fn from(error: CloseError) -> Self {
        match error {
            CloseError::App(error) => error.into(),
            CloseError::Refused(refused) => {
                Self::new(StatusCode::CONFLICT, "period_not_ended", sentence(&refused))
            }
        }
    }
}

impl From<MatchError> for Problem {
    fn from(error: MatchError) -> Self {
        let refused = match error {
            MatchError::App(error) => return error.into(),
            MatchError::Refused(refused) => refused,
        };
        let (status, code) = match &refused {
            SettlementError::AmountDiffers { .. } => {
                (StatusCode::UNPROCESSABLE_ENTITY, "amount_differs")
            }
            SettlementError::MatchedAlready { .. } => (StatusCode::CONFLICT, "matched_already"),
            SettlementError::NotReturned { .. } => (StatusCode::CONFLICT, "not_returned"),
            SettlementError::NotMatched => (StatusCode::CONFLICT, "not_matched"),
            SettlementError::Another { .. } => return no_such("bank_line"),
        };
        Self::new(status, code, sentence(&refused))
    }
}

fn of_rules(kind: ErrorKind, code: &'static str, error: &impl Display, what: &str) -> Problem {
    let detail = sentence(error);
    match kind {
        ErrorKind::NotFound => no_such(what),
        ErrorKind::Invalid => Problem::new(StatusCode::UNPROCESSABLE_ENTITY, code, detail),
        ErrorKind::Conflict => Problem::new(StatusCode::CONFLICT, code, detail),
        ErrorKind::InProgress => Problem::new(StatusCode::CONFLICT, code, detail).retry_after_s(1),
    }
}

fn conflict(code: &'static str, error: &AppError) -> Problem {
    Problem::new(StatusCode::CONFLICT, code, sentence(error))
}

fn unavailable(code: &'static str, detail: &str, retry_after_s: u64) -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, code, detail).retry_after_s(retry_after_s)
}
