//! Our books beside Stripe's: runs that compare them, and the breaks that runs find.
//!
//! A run is an aggregate of its own, and so is each break, whose id is the same in every run that finds it: so a break keeps
//! its age, its owner and its resolution from run to run, and what agrees, however much it is, leaves no events. The
//! [`comparison`] is pure: the same items give the same findings.

mod bookings;
mod command;
pub mod comparison;
mod error;
mod event;
pub mod items;
mod payments;
mod payouts;
mod state;
mod subject;
#[cfg(test)]
mod tests;

pub use command::ReconciliationCommand;
pub use comparison::{Comparison, Finding, Totals, Verdict};
pub use error::ReconciliationError;
pub use event::{Closed, Found, Pinned, ReconciliationEvent, ReconciliationEventKind, Terms};
pub use items::{Item, Ours, Theirs};
pub use state::{Break, BreakStatus, Reconciliation, Resolution, Run, RunStatus};
pub use subject::{Age, BreakClass, Kind, NotASubject, Subject, days_between};

use crate::ids::ReconciliationId;
use cqrs_es::Aggregate;
use cqrs_es::event_sink::EventSink;

impl Reconciliation {
    /// The events that the command leads to; none where it is so already.
    ///
    /// # Errors
    /// [`ReconciliationError`].
    pub fn decide(
        &self,
        command: ReconciliationCommand,
    ) -> Result<Vec<ReconciliationEvent>, ReconciliationError> {
        use ReconciliationCommand as C;
        use ReconciliationError as No;
        match command {
            C::Open { merchant, terms } => match self.merchant() {
                None => Ok(vec![ReconciliationEvent::RunOpened { merchant, terms }]),
                Some(_) => Err(No::AlreadyOpen),
            },
            C::Pin(pinned) => match self.live_run()?.pinned {
                None => Ok(vec![ReconciliationEvent::RunPinned(pinned)]),
                Some(_) => Err(No::AlreadyPinned),
            },
            C::Close(closed) => match self.live_run()?.pinned {
                Some(_) => Ok(vec![ReconciliationEvent::RunClosed(closed)]),
                None => Err(No::NotPinned),
            },
            C::Abandon { because } => {
                self.live_run()?;
                Ok(vec![ReconciliationEvent::RunAbandoned { because }])
            }
            C::Find(found) => self.find(found),
            C::NotFound { run } => self.not_found(run),
            C::Assign { owner } => {
                let it = self.live_break()?;
                let known = it.owner.as_ref() == Some(&owner);
                let event = ReconciliationEvent::BreakAssigned { owner };
                Ok((!known).then_some(event).into_iter().collect())
            }
            C::Resolve { reason, by } => self.resolve(reason, by),
            C::Approve { by } => self.approve(by),
            C::Refuse { by, because } => {
                self.resolved_by_another(&by)?;
                Ok(vec![ReconciliationEvent::ResolutionRefused { by, because }])
            }
        }
    }

    fn find(&self, found: Box<Found>) -> Result<Vec<ReconciliationEvent>, ReconciliationError> {
        if self.run().is_some() {
            return Err(ReconciliationError::NoSuchBreak);
        }
        Ok(match self.found() {
            None => vec![ReconciliationEvent::BreakFound(found)],
            Some(it) if it.status == BreakStatus::Gone => {
                vec![ReconciliationEvent::BreakFound(found)]
            }
            Some(it) if it.found.is_like(&found) => vec![],
            Some(_) => vec![ReconciliationEvent::BreakChanged(found)],
        })
    }

    fn not_found(
        &self,
        run: ReconciliationId,
    ) -> Result<Vec<ReconciliationEvent>, ReconciliationError> {
        let it = self.found().ok_or(ReconciliationError::NoSuchBreak)?;
        let gone = it.status == BreakStatus::Gone;
        let event = ReconciliationEvent::BreakGone { run };
        Ok((!gone).then_some(event).into_iter().collect())
    }

    fn resolve(
        &self,
        reason: String,
        by: String,
    ) -> Result<Vec<ReconciliationEvent>, ReconciliationError> {
        let it = self.live_break()?;
        let same = |known: &Resolution| known.reason == reason && known.by == by;
        match it.status {
            BreakStatus::Open => Ok(vec![ReconciliationEvent::BreakResolved { reason, by }]),
            _ if it.resolution.as_ref().is_some_and(same) => Ok(vec![]),
            _ => Err(it.not_possible()),
        }
    }

    fn approve(&self, by: String) -> Result<Vec<ReconciliationEvent>, ReconciliationError> {
        let it = self.live_break()?;
        let approved = it
            .resolution
            .as_ref()
            .and_then(|it| it.approved_by.as_ref());
        if approved == Some(&by) {
            return Ok(vec![]);
        }
        self.resolved_by_another(&by)?;
        Ok(vec![ReconciliationEvent::ResolutionApproved { by }])
    }

    /// Maker is never checker.
    fn resolved_by_another(&self, by: &str) -> Result<(), ReconciliationError> {
        let it = self.live_break()?;
        match &it.resolution {
            Some(resolution) if it.status == BreakStatus::Resolved => {
                if resolution.by == by {
                    return Err(ReconciliationError::SamePerson);
                }
                Ok(())
            }
            _ => Err(it.not_possible()),
        }
    }

    fn live_run(&self) -> Result<&Run, ReconciliationError> {
        let run = self.run().ok_or(ReconciliationError::NoSuchRun)?;
        if run.has_ended() {
            return Err(ReconciliationError::RunEnded);
        }
        Ok(run)
    }

    fn live_break(&self) -> Result<&Break, ReconciliationError> {
        let it = self.found().ok_or(ReconciliationError::NoSuchBreak)?;
        if it.status == BreakStatus::Gone {
            return Err(it.not_possible());
        }
        Ok(it)
    }
}

impl Break {
    fn not_possible(&self) -> ReconciliationError {
        ReconciliationError::NotPossible {
            status: self.status.to_string(),
        }
    }
}

impl Aggregate for Reconciliation {
    const TYPE: &'static str = "reconciliation";
    type Command = ReconciliationCommand;
    type Event = ReconciliationEvent;
    type Error = ReconciliationError;
    type Services = ();

    /// Forwards to [`Reconciliation::decide`]: `handle` runs before the commit, so it must touch nothing.
    async fn handle(
        &mut self,
        command: ReconciliationCommand,
        (): &(),
        sink: &EventSink<Self>,
    ) -> Result<(), ReconciliationError> {
        for event in self.decide(command)? {
            sink.write(event, self).await;
        }
        Ok(())
    }

    fn apply(&mut self, event: ReconciliationEvent) {
        Self::apply(self, &event);
    }
}
