//! `counterfoil inbox`: what Stripe told, as it is kept; what of it could not be applied, and having that tried again.

use aggregates::ids::MerchantId;
use anyhow::{Context as _, bail};
use chrono::SecondsFormat;
use clap::Subcommand;
use eventstore::Role;
use serde_json::json;
use std::sync::Arc;
use tokio::sync::Notify;

use super::events::Form;
use super::say;
use crate::store::{Gap, Inbox, InboxFilter, InboxRow, PollRow, Polls};

/// What may be asked of the inbox.
#[derive(Debug, Subcommand)]
pub enum InboxCommand {
    /// Events that are set aside, or have failed and are tried again
    List {
        /// Only this merchant's
        #[arg(long)]
        merchant: Option<MerchantId>,
        /// Instead, those that speak of nothing known here
        #[arg(long, conflicts_with = "all")]
        unmatched: bool,
        /// Instead, all of them, the latest 1000
        #[arg(long)]
        all: bool,
        /// One JSON object a line
        #[arg(long)]
        json: bool,
    },
    /// All that is known of one event
    Show {
        /// Stripe's id of it, evt_…
        event: String,
        #[arg(long)]
        merchant: Option<MerchantId>,
        #[arg(long)]
        json: bool,
    },
    /// Have what is set aside, or unmatched, tried again by the running service
    Retry {
        /// Stripe's id of it, evt_…
        #[arg(required_unless_present = "all")]
        event: Option<String>,
        /// All that is set aside
        #[arg(long, conflicts_with = "event")]
        all: bool,
        #[arg(long)]
        merchant: Option<MerchantId>,
    },
    /// How far Stripe's lists of events have been read, and what may be missing
    Polls {
        /// One JSON object a line
        #[arg(long)]
        json: bool,
    },
}

/// Does what is asked.
///
/// # Errors
/// When there is no such event, or the database cannot be used.
pub async fn run(command: InboxCommand, url: &str) -> anyhow::Result<()> {
    let pool = eventstore::pool(url, Role::Writer, 1)
        .await
        .context("the database (is the service running?)")?;
    let inbox = Inbox::new(pool.clone(), Arc::new(Notify::new()));
    let form = |json| if json { Form::Json } else { Form::Words };
    match command {
        InboxCommand::List {
            merchant,
            unmatched,
            all,
            json,
        } => {
            let filter = match (unmatched, all) {
                (true, _) => InboxFilter::Unmatched,
                (_, true) => InboxFilter::All,
                _ => InboxFilter::Troubled,
            };
            list(&inbox, merchant.as_ref(), filter, form(json)).await
        }
        InboxCommand::Show {
            event,
            merchant,
            json,
        } => show(&inbox, merchant.as_ref(), &event, form(json)).await,
        InboxCommand::Retry {
            event, merchant, ..
        } => retry(&inbox, merchant.as_ref(), event.as_deref()).await,
        InboxCommand::Polls { json } => polls(&Polls::new(pool), form(json)).await,
    }
}

async fn list(
    inbox: &Inbox,
    merchant: Option<&MerchantId>,
    filter: InboxFilter,
    form: Form,
) -> anyhow::Result<()> {
    let rows = inbox.list(merchant, filter).await?;
    if rows.is_empty() && form == Form::Words {
        say!("nothing of that kind is in the inbox");
    }
    for it in &rows {
        match form {
            Form::Json => say!("{}", in_json(it)),
            Form::Words => say!("{}", in_words(it)),
        }
    }
    Ok(())
}

async fn show(
    inbox: &Inbox,
    merchant: Option<&MerchantId>,
    event: &str,
    form: Form,
) -> anyhow::Result<()> {
    let rows = inbox.shown(merchant, event).await?;
    if rows.is_empty() {
        bail!("there is no event {event} in the inbox");
    }
    for it in &rows {
        match form {
            Form::Json => {
                let mut whole = in_json(it);
                whole["event"] = it.body.clone();
                say!("{whole}");
            }
            Form::Words => {
                say!("{}", in_words(it));
                say!("  merchant  {}", it.merchant);
                say!("  made      {}", time(it.stripe_created));
                let how = if it.polled { "poll" } else { "webhook" };
                say!(
                    "  came      {} by {how}, {} more times",
                    time(it.received_at),
                    it.repeats
                );
                if it.contradictions > 0 {
                    say!(
                        "  beware    {} deliveries under its id told something else",
                        it.contradictions
                    );
                }
                if let Some(about) = &it.about {
                    say!("  about     {about} (its history: counterfoil events show {about})");
                }
                say!("{:#}", it.body);
            }
        }
    }
    Ok(())
}

async fn retry(
    inbox: &Inbox,
    merchant: Option<&MerchantId>,
    event: Option<&str>,
) -> anyhow::Result<()> {
    match (inbox.retry(merchant, event).await?, event) {
        (0, Some(event)) => bail!("no event {event} is set aside, unmatched or waiting"),
        (many, _) => {
            say!("{many} to be tried again by the running service");
            Ok(())
        }
    }
}

async fn polls(polls: &Polls, form: Form) -> anyhow::Result<()> {
    let (rows, gaps) = (polls.all().await?, polls.gaps().await?);
    for it in &rows {
        match form {
            Form::Json => say!("{}", poll_in_json(it)),
            Form::Words => say!("{}", poll_in_words(it)),
        }
    }
    for it in &gaps {
        match form {
            Form::Json => say!("{}", gap_in_json(it)),
            Form::Words => say!(
                "{}  MAY LACK events made between {} and {} (found {})",
                it.merchant,
                time(it.gap_from),
                time(it.gap_until),
                time(it.found_at)
            ),
        }
    }
    if rows.is_empty() && form == Form::Words {
        say!("nothing has been polled yet");
    }
    Ok(())
}

fn time(at: chrono::DateTime<chrono::Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

fn in_words(it: &InboxRow) -> String {
    let state = match (it.state.as_str(), it.next_at) {
        ("waiting", Some(next)) if it.attempts > 0 => {
            format!("has failed {} times, next at {}", it.attempts, time(next))
        }
        (state, Some(next)) if state != "waiting" => format!("{state}, next at {}", time(next)),
        (state, _) => state.replace('_', " "),
    };
    let why = it.last_error.as_ref().filter(|_| it.attempts > 0);
    let why = why.map_or_else(String::new, |why| format!(": {why}"));
    format!("{}  {}  {state}{why}", it.event_id, it.event_type)
}

fn in_json(it: &InboxRow) -> serde_json::Value {
    json!({
        "merchant": it.merchant,
        "id": it.event_id,
        "type": it.event_type,
        "about": it.about,
        "state": it.state,
        "polled": it.polled,
        "stripe_created": time(it.stripe_created),
        "received_at": time(it.received_at),
        "repeats": it.repeats,
        "contradictions": it.contradictions,
        "attempts": it.attempts,
        "last_error": it.last_error,
        "next_at": it.next_at.map(time),
    })
}

fn poll_in_words(it: &PollRow) -> String {
    let failing = match (&it.last_error, it.failures) {
        (Some(why), failures) if failures > 0 => format!("; {failures} polls have failed: {why}"),
        _ => String::new(),
    };
    format!(
        "{}  read until {}, {} s ago; next at {}; {} events had come by no webhook{failing}",
        it.merchant,
        time(it.read_until),
        it.unread_s,
        time(it.next_at),
        it.missed
    )
}

fn poll_in_json(it: &PollRow) -> serde_json::Value {
    json!({
        "merchant": it.merchant,
        "account": it.account,
        "read_until": time(it.read_until),
        "unread_s": it.unread_s,
        "next_at": time(it.next_at),
        "failures": it.failures,
        "last_error": it.last_error,
        "missed": it.missed,
    })
}

fn gap_in_json(it: &Gap) -> serde_json::Value {
    json!({
        "merchant": it.merchant,
        "gap_from": time(it.gap_from),
        "gap_until": time(it.gap_until),
        "found_at": time(it.found_at),
    })
}
