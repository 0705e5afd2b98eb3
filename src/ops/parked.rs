//! `counterfoil parked`: what nobody could find out, and how people settle it: one says what became of it, another approves.
//!
//! Whoever may run this names themselves: the machine's own access control stands behind the name.

use aggregates::ids::{IntentionId, MerchantId};
use aggregates::metadata::Actor;
use anyhow::{Context as _, bail};
use eventstore::Role;
use serde_json::json;

use super::events::Form;
use super::{say, serve};
use crate::config::Config;
use crate::gateway::Gateway;
use crate::ids::Ids;
use crate::outbound::{self, Sender};
use crate::store::{ParkedRow, Store, Work};
use crate::use_cases::{App, ByHand, Outbound, Recovery, Settler};

/// Prints what is parked, one line each: what waits, or all that ever did.
///
/// # Errors
/// When the database cannot be read.
pub async fn list(
    url: &str,
    merchant: Option<&MerchantId>,
    settled_too: bool,
    form: Form,
) -> anyhow::Result<()> {
    let parked = work(url).await?.parked(merchant, settled_too).await?;
    if parked.is_empty() && form == Form::Words {
        say!("nothing is parked");
    }
    for it in &parked {
        match form {
            Form::Json => say!("{}", in_json(it)),
            Form::Words => say!("{}", in_words(it)),
        }
    }
    Ok(())
}

/// Prints all that is known of one parked intention.
///
/// # Errors
/// When nothing of this id is parked, or the database cannot be read.
pub async fn show(url: &str, intention: IntentionId, form: Form) -> anyhow::Result<()> {
    let found = work(url).await?.parked_one(intention).await?;
    let it = found.with_context(|| format!("nothing is parked under {intention}"))?;
    match form {
        Form::Json => say!("{}", in_json(&it)),
        Form::Words => {
            say!("{}", in_words(&it));
            say!("  merchant  {}", it.merchant);
            say!("  {:<9} {}", it.kind, it.subject);
            say!("  why       {}", it.reason);
            if let (Some(by), Some(because)) = (&it.proposed_by, &it.because) {
                say!("  proposed  {} by {by}: {because}", outcome_of(&it));
            }
            if let Some(by) = &it.approved_by {
                say!("  approved  by {by}");
            }
            say!("The history: counterfoil events show {}", it.subject);
        }
    }
    Ok(())
}

/// One person says what became of it.
///
/// # Errors
/// What the rules, the database or the configuration say.
pub async fn settle(
    config: &Config,
    url: &str,
    intention: IntentionId,
    outcome: ByHand,
    by: &str,
    because: String,
) -> anyhow::Result<()> {
    let app = app(config, url).await?;
    let proposed = app
        .propose_settlement(operator(by), intention, outcome, because)
        .await;
    close(&app).await;
    proposed?;
    say!("proposed; another person approves it: counterfoil parked approve {intention} --as …");
    Ok(())
}

/// Another person approves it.
///
/// # Errors
/// What the rules, Stripe, the database or the configuration say.
pub async fn approve(
    config: &Config,
    url: &str,
    intention: IntentionId,
    by: &str,
) -> anyhow::Result<()> {
    let app = app(config, url).await?;
    let approved = app.approve_settlement(operator(by), intention).await;
    close(&app).await;
    approved?;
    say!("settled");
    Ok(())
}

async fn work(url: &str) -> anyhow::Result<Work> {
    let pool = eventstore::pool(url, Role::Writer, 1)
        .await
        .context("the database (is the service running?)")?;
    Ok(Work::new(pool))
}

/// The application without its doors and workers, for one command.
pub(super) async fn app(config: &Config, url: &str) -> anyhow::Result<App> {
    let seal_key = config
        .seal_key
        .clone()
        .context("COUNTERFOIL_SEAL_KEY is needed")?;
    let (accounts, webhook_secrets) = serve::accounts(config)?;
    let options = outbound::Options {
        reach: config.webhook_reach,
        ..outbound::Options::default()
    };
    let outbound = Outbound {
        sender: Sender::new(&options)?,
        options,
        live_accounts: Default::default(),
    };
    let gateway = Gateway::new(serve::gateway_options(config), accounts)?;
    let store = Store::open(url, seal_key.expose(), Ids::system())
        .await
        .context("the database (DATABASE_URL)")?;
    Ok(App::new(
        store,
        gateway,
        webhook_secrets,
        serve::options(config),
        outbound,
        Recovery::default(),
        config.public_url.clone().unwrap_or_default(),
    ))
}

/// Finishes what runs, and closes the connections.
pub(super) async fn close(app: &App) {
    app.drain().await;
    app.store().close().await;
}

fn operator(name: &str) -> Settler {
    Settler {
        merchant: None,
        actor: Actor {
            name: name.to_owned(),
            key_id: None,
            door: "cli".to_owned(),
        },
        key: None,
    }
}

/// What came of it, as it is said on the command line.
///
/// # Errors
/// When it is said to have happened and not to have, or neither.
pub fn outcome(happened: Option<String>, did_not_happen: bool) -> anyhow::Result<ByHand> {
    match (happened, did_not_happen) {
        (Some(stripe_id), false) => Ok(ByHand::Happened { stripe_id }),
        (None, true) => Ok(ByHand::DidNotHappen),
        _ => bail!("say what came of it: --happened <Stripe's id> or --did-not-happen"),
    }
}

fn in_words(it: &ParkedRow) -> String {
    let state = match (it.state.as_str(), &it.proposed_by) {
        ("waiting", Some(by)) => format!("waits for an approval ({} says {by})", outcome_of(it)),
        ("waiting", None) => "waits".to_owned(),
        (state, _) => format!("{state} ({})", outcome_of(it)),
    };
    format!(
        "{}  {} of {} {}  {state}",
        it.intention, it.what, it.kind, it.subject
    )
}

fn outcome_of(it: &ParkedRow) -> String {
    match (it.outcome.as_deref(), &it.stripe_id) {
        (Some("happened"), Some(stripe_id)) => format!("happened, as {stripe_id}"),
        (Some(_), _) => "did not happen".to_owned(),
        (None, _) => "Stripe told".to_owned(),
    }
}

fn in_json(it: &ParkedRow) -> serde_json::Value {
    json!({
        "intention": it.intention,
        "merchant": it.merchant,
        "kind": it.kind,
        "subject": it.subject,
        "what": it.what,
        "reason": it.reason,
        "state": it.state,
        "outcome": it.outcome,
        "stripe_id": it.stripe_id,
        "proposed_by": it.proposed_by,
        "because": it.because,
        "approved_by": it.approved_by,
    })
}
