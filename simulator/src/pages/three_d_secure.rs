//! The page on which a payer passes or fails 3-D Secure: `/_sim/3ds/:intent`.
//!
//! `GET` shows two buttons; `POST` with `outcome=complete` or `outcome=fail` presses one, and leads back to the `return_url`,
//! or to the checkout that it belongs to.

use std::sync::Arc;

use http::Method;

use super::checkout;
use super::shell::{Place, page};
use crate::App;
use crate::answers::Answer;
use crate::errors::Outcome;
use crate::flow;
use crate::money::display;
use crate::objects::{Cause, CheckoutSession, NextAction, PaymentIntent, PaymentIntentStatus};
use crate::params::{Params, Tree};
use crate::state::{AccountCell, Tx};
use crate::wire::Word;

/// Answers a request for the page of an intent.
pub fn answer(app: &App, method: &Method, intent: &str, body: &Tree) -> Answer {
    let cell = app.accounts.iter().find(|cell| {
        let state = cell.lock();
        state.tables.payment_intents.get(intent).is_some()
    });
    let Some(cell) = cell else {
        return no_such();
    };
    match method.as_str() {
        "GET" => show(cell, intent),
        "POST" => match press(app, cell, intent, body) {
            Ok(answer) => answer,
            Err(error) => Answer::json(error.status(), &error.body()),
        },
        _ => Answer::plain(405, "Use GET or POST."),
    }
}

fn no_such() -> Answer {
    let title = "No such payment";
    page(404, title, &format!("<h1>{title}</h1>"), Place::Window)
}

/// A bank's page, which may be shown in the merchant's or in that of an embedded checkout.
fn show(cell: &Arc<AccountCell>, id: &str) -> Answer {
    let state = cell.lock();
    let Some(intent) = state.tables.payment_intents.get(id) else {
        return no_such();
    };
    let amount = display(intent.amount, &intent.currency);
    if intent.status != PaymentIntentStatus::RequiresAction {
        let (title, status) = ("Nothing to approve", intent.status.as_str());
        let body = format!("<h1>{title}</h1><p>The payment of {amount} is {status}.</p>");
        return page(200, title, &body, Place::Frame);
    }
    let title = format!("Approve the payment of {amount}?");
    let body = format!(
        "<h1>{title}</h1><p>Your bank asks whether it is you who pays (3-D Secure).</p><form method=\"post\">\
         <p><button class=\"pay\" name=\"outcome\" value=\"complete\">Complete authentication</button></p>\
         <p><button name=\"outcome\" value=\"fail\">Fail authentication</button></p></form>"
    );
    page(200, &title, &body, Place::Frame)
}

fn press(app: &App, cell: &Arc<AccountCell>, id: &str, body: &Tree) -> Outcome<Answer> {
    use crate::errors::ApiError;
    let outcome = Params::root(body)?.required_text("outcome", 20)?;
    let passed = match outcome.as_str() {
        "complete" => true,
        "fail" => false,
        _ => {
            return Err(
                ApiError::invalid("Invalid outcome: must be one of complete or fail")
                    .param("outcome"),
            );
        }
    };
    let mut state = cell.lock();
    let mut tx = Tx::begin(cell, &mut state, app.clock.now_ms(), Cause::default());
    let intent: PaymentIntent = tx
        .get(id)
        .ok_or_else(|| ApiError::not_found("payment_intent", id, "intent"))?;
    let return_url = match &intent.next_action {
        Some(NextAction::RedirectToUrl { return_url, .. }) => Some(return_url.clone()),
        _ => None,
    };
    let intent = flow::finish_authentication(&mut tx, intent, passed)?;
    let session: Option<CheckoutSession> =
        intent.checkout_session.as_deref().and_then(|id| tx.get(id));
    tx.commit()
        .map_err(|_| ApiError::internal("The simulator could not write its journal."))?;
    drop(state);
    let leads_to = match (&session, return_url) {
        (Some(session), _) => Some(checkout::next(cell, session)),
        (None, Some(url)) => Some(back(cell, &url, &intent)),
        (None, None) => None,
    };
    Ok(match leads_to {
        Some(url) => Answer::see_other(&url),
        None => Answer::json(200, &intent.render()),
    })
}

/// The `return_url` with what Stripe adds to it.
fn back(cell: &AccountCell, url: &str, intent: &PaymentIntent) -> String {
    let joint = if url.contains('?') { '&' } else { '?' };
    let status = match intent.status {
        PaymentIntentStatus::RequiresPaymentMethod => "failed",
        _ => "succeeded",
    };
    let secret = cell.with_secrets(|it| it.client_secret(&intent.id));
    let id = &intent.id;
    format!(
        "{url}{joint}payment_intent={id}&payment_intent_client_secret={secret}&redirect_status={status}"
    )
}
