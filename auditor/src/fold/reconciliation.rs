//! Runs that compared the books with Stripe's, and the breaks that they found.

use super::read::{Taken, Unreadable, id, maybe_text, number, text};
use super::{Of, Out};
use crate::events::{Event, Said};
use crate::report::Invariant;
use crate::spill::row;
use serde_json::Value;
use uuid::Uuid;

/// One run or one break; which of the two it is, its first event tells.
#[derive(Default)]
pub(super) struct Reconciliation {
    run: Option<Run>,
    found: Option<Break>,
}

#[derive(Default)]
struct Run {
    status: &'static str,
    at: i64,
    ledger_position: Option<i64>,
    breaks: Option<i64>,
    report_hash: Option<String>,
}

#[derive(Default)]
struct Break {
    run: Uuid,
    class: String,
    subject: String,
    part: String,
    first_seen: i64,
    status: &'static str,
    owner: Option<String>,
    resolved_by: Option<String>,
    approved_by: Option<String>,
}

impl Reconciliation {
    pub fn take(&mut self, _of: &Of, event: &Event, said: &Said, out: &mut Out) -> Taken {
        let body = &said.body;
        match said.name.as_str() {
            "RunOpened" => {
                self.run = Some(Run {
                    status: "reading",
                    at: number(part(body, "terms")?, "at")?,
                    ..Run::default()
                });
            }
            "BreakFound" => {
                let seen = number(body, "seen")?;
                let known = self.found.take();
                self.found = Some(Break {
                    first_seen: seen,
                    owner: known.and_then(|it| it.owner),
                    ..found(body)?
                });
            }
            other if self.run.is_some() => return self.of_run(other, body),
            other => return self.of_break(other, event, body, out),
        }
        Ok(())
    }

    fn of_run(&mut self, name: &str, body: &Value) -> Taken {
        let Some(run) = &mut self.run else {
            return Err(Unreadable(format!("{name} is of no run")));
        };
        match name {
            "RunPinned" => {
                run.status = "comparing";
                run.ledger_position = Some(number(body, "ledger_position")?);
            }
            "RunClosed" => {
                run.status = "closed";
                let classes = part(part(body, "totals")?, "breaks")?.as_object();
                let counts = classes.into_iter().flatten().map(|(_, it)| it.as_i64());
                run.breaks = Some(counts.flatten().sum());
                run.report_hash = Some(text(body, "report_hash")?.to_owned());
            }
            "RunAbandoned" => run.status = "abandoned",
            other => return Err(Unreadable(format!("nobody knows {other}"))),
        }
        Ok(())
    }

    fn of_break(&mut self, name: &str, event: &Event, body: &Value, out: &mut Out) -> Taken {
        let Some(it) = &mut self.found else {
            return Err(Unreadable(format!("{name} is of no break")));
        };
        match name {
            "BreakChanged" => {
                *it = Break {
                    first_seen: it.first_seen,
                    owner: it.owner.take(),
                    ..found(body)?
                };
            }
            "BreakGone" => it.status = "gone",
            "BreakAssigned" => it.owner = Some(text(body, "owner")?.to_owned()),
            "BreakResolved" => {
                it.status = "resolved";
                it.resolved_by = Some(text(body, "by")?.to_owned());
                it.approved_by = None;
            }
            "ResolutionApproved" => {
                it.status = "approved";
                it.approved_by = Some(text(body, "by")?.to_owned());
                if it.approved_by == it.resolved_by {
                    let what = "who resolved the break approved it as well";
                    out.wrong(Invariant::I10, event, what);
                }
            }
            "ResolutionRefused" => {
                it.status = "open";
                it.resolved_by = None;
            }
            other => return Err(Unreadable(format!("nobody knows {other}"))),
        }
        Ok(())
    }

    pub fn end(self, of: &Of, out: &mut Out) {
        if let Some(run) = self.run {
            out.runs.push(row![
                of.merchant,
                of.id,
                run.status,
                run.at,
                run.ledger_position,
                run.breaks,
                run.report_hash,
                of.version,
                of.position
            ]);
        }
        if let Some(it) = self.found {
            out.breaks.push(row![
                of.merchant,
                of.id,
                it.run,
                it.class,
                it.subject,
                it.part,
                it.first_seen,
                it.status,
                it.owner,
                it.resolved_by,
                it.approved_by,
                of.version,
                of.position
            ]);
        }
    }
}

fn found(body: &Value) -> Result<Break, Unreadable> {
    let word = |name: &str| maybe_text(body, name).map(str::to_owned);
    Ok(Break {
        run: id(body, "run")?,
        class: word("class").unwrap_or_default(),
        subject: word("subject").unwrap_or_default(),
        part: word("part").unwrap_or_default(),
        status: "open",
        ..Break::default()
    })
}

fn part<'a>(body: &'a Value, name: &str) -> Result<&'a Value, Unreadable> {
    let found = body.get(name);
    found.ok_or_else(|| Unreadable(format!("`{name}` is missing")))
}
