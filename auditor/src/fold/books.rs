//! Up to which month a merchant's books are closed.

use super::Out;
use super::read::{Taken, Unreadable, text};
use crate::events::{Event, Said};
use crate::report::Invariant;
use crate::spill::row;

#[derive(Default)]
pub(super) struct Books {
    through: String,
}

impl Books {
    pub fn take(&mut self, event: &Event, said: &Said, out: &mut Out) -> Taken {
        match &*said.name {
            "PeriodClosed" => {}
            // What accounts are called elsewhere moves nothing.
            "AccountMapped" | "AccountUnmapped" => return Ok(()),
            other => return Err(Unreadable(format!("nobody knows {other}"))),
        }
        let through = text(&said.body, "through")?;
        // Months are written so that they sort as texts.
        if *through <= *self.through {
            let what = format!("{through} is closed after {} was", self.through);
            out.wrong(Invariant::I5, event, what);
        }
        if through >= event.recorded_at.format("%Y-%m").to_string().as_str() {
            let what = format!("{through} is closed before it has ended");
            out.wrong(Invariant::I5, event, what);
        }
        self.through = through.to_owned();
        out.closings
            .push(row![event.ledger, through, event.position]);
        Ok(())
    }
}
