//! The page on which a payer pays a checkout: `/_sim/checkout/:session`. It works without JavaScript.
//!
//! `GET` shows the form, or leads on when it was paid. `POST` with `action=pay`, `email` and `method` (a ready-made method such as `pm_card_visa`, or
//! `number` with `card[number]`, `card[exp_month]`, `card[exp_year]`) tries to pay and leads to `success_url` or `return_url`, to 3-D Secure, or
//! back to the form; `action=cancel` leads to `cancel_url`, and the session stays open.

use std::sync::Arc;

use http::Method;

use crate::App;
use crate::answers::{Answer, escaped};
use crate::api;
use crate::errors::{ApiError, Outcome};
use crate::flow;
use crate::money::display;
use crate::objects::{
    Cause, CheckoutSession, NextAction, PaymentIntent, PaymentMethod, SessionStatus,
};
use crate::params::{Params, Tree};
use crate::state::{AccountCell, Tx};

/// What the form offers: a ready-made method, and what it does.
const CHOICES: &[(&str, &str)] = &[
    ("pm_card_visa", "4242 4242 4242 4242: pays"),
    ("pm_card_chargeDeclined", "4000 0000 0000 0002: is declined"),
    (
        "pm_card_chargeDeclinedInsufficientFunds",
        "4000 0000 0000 9995: has insufficient funds",
    ),
    (
        "pm_card_threeDSecure2Required",
        "4000 0000 0000 3220: asks for 3-D Secure",
    ),
    (
        "pm_card_createDispute",
        "4000 0000 0000 0259: pays, and disputes",
    ),
    ("pm_card_simProcessing", "pays some time later"),
    (
        "pm_card_simProcessingDeclined",
        "is declined some time later",
    ),
];

/// Answers a request for the page of a session.
pub fn answer(app: &App, method: &Method, session: &str, body: &Tree) -> Answer {
    let cell = app.accounts.iter().find(|cell| {
        let state = cell.lock();
        state.tables.checkout_sessions.get(session).is_some()
    });
    let Some(cell) = cell else {
        return Answer::html(404, "<h1>No such checkout</h1>".to_owned());
    };
    let answered = match method.as_str() {
        "GET" => show(app, cell, session),
        "POST" => submit(app, cell, session, body),
        _ => return Answer::plain(405, "Use GET or POST."),
    };
    answered.unwrap_or_else(|error| Answer::json(error.status(), &error.body()))
}

/// The session, once everything that was due has happened to it.
fn read(tx: &Tx<'_>, id: &str) -> Outcome<CheckoutSession> {
    tx.get(id)
        .ok_or_else(|| ApiError::not_found("checkout.session", id, "session"))
}

fn with_tx<T>(
    app: &App,
    cell: &Arc<AccountCell>,
    work: impl FnOnce(&mut Tx<'_>) -> Outcome<T>,
) -> Outcome<T> {
    let failed = |_| ApiError::internal("The simulator could not write its journal.");
    let mut state = cell.lock();
    let now_ms = app.clock.now_ms();
    flow::run_due(cell, &mut state, now_ms.div_euclid(1_000)).map_err(failed)?;
    let mut tx = Tx::begin(cell, &mut state, now_ms, Cause::default());
    let done = work(&mut tx)?;
    tx.commit().map_err(failed)?;
    Ok(done)
}

fn show(app: &App, cell: &Arc<AccountCell>, id: &str) -> Outcome<Answer> {
    with_tx(app, cell, |tx| {
        let session = read(tx, id)?;
        let intent: Option<PaymentIntent> =
            session.payment_intent.as_deref().and_then(|id| tx.get(id));
        Ok(match closed(&session) {
            Some(answer) => answer,
            None => form(200, &session, intent.as_ref().and_then(refusal)),
        })
    })
}

/// What is shown instead of the form when nothing can be paid any more.
fn closed(session: &CheckoutSession) -> Option<Answer> {
    match (session.status, session.after_payment()) {
        (SessionStatus::Open, _) => None,
        (SessionStatus::Expired, _) => Some(Answer::html(
            410,
            "<h1>This checkout has expired</h1><p>Nothing was paid.</p>".to_owned(),
        )),
        (SessionStatus::Complete, Some(url)) => Some(Answer::see_other(&url)),
        (SessionStatus::Complete, None) => Some(Answer::html(200, "<h1>Thank you</h1>".to_owned())),
    }
}

/// Why the last attempt failed.
fn refusal(intent: &PaymentIntent) -> Option<&str> {
    intent.last_payment_error.as_ref()?["message"].as_str()
}

fn form(status: u16, session: &CheckoutSession, error: Option<&str>) -> Answer {
    let amount = display(session.amount_total, &session.currency);
    let items: String = session
        .line_items
        .iter()
        .map(|it| {
            let price = display(it.amount, &session.currency);
            format!("<li>{} × {}: {price}</li>", it.quantity, escaped(&it.name))
        })
        .collect();
    let error = error.map_or_else(String::new, |it| {
        format!("<p role=\"alert\">{}</p>", escaped(it))
    });
    let email = escaped(session.payer_email.as_deref().unwrap_or_default());
    let choices: String = CHOICES
        .iter()
        .enumerate()
        .map(|(place, (method, what))| choice(method, what, place == 0))
        .collect();
    let number = choice("number", "another card", false);
    let cancel = match session.cancel_url {
        Some(_) => "<button name=\"action\" value=\"cancel\" formnovalidate>Cancel</button>",
        None => "",
    };
    Answer::html(
        status,
        format!(
            "<h1>Checkout (test)</h1><p>Pay {amount}.</p><ul>{items}</ul>{error}<form method=\"post\">\
             <p><label>E-mail <input type=\"email\" name=\"email\" value=\"{email}\" required></label></p>\
             <fieldset><legend>Card</legend>{choices}{number}\
             <p><label>Number <input name=\"card[number]\" inputmode=\"numeric\"></label> \
             <label>Month <input name=\"card[exp_month]\" size=\"2\" value=\"12\"></label> \
             <label>Year <input name=\"card[exp_year]\" size=\"4\" value=\"2040\"></label></p></fieldset>\
             <p><button name=\"action\" value=\"pay\">Pay {amount}</button> {cancel}</p></form>"
        ),
    )
}

fn choice(method: &str, what: &str, checked: bool) -> String {
    let checked = if checked { " checked" } else { "" };
    format!(
        "<p><label><input type=\"radio\" name=\"method\" value=\"{method}\"{checked}> {what}</label></p>"
    )
}

fn submit(app: &App, cell: &Arc<AccountCell>, id: &str, body: &Tree) -> Outcome<Answer> {
    let params = Params::root(body)?;
    let action = params.required_text("action", 20)?;
    with_tx(app, cell, |tx| {
        let session = read(tx, id)?;
        if let Some(answer) = closed(&session) {
            return Ok(answer);
        }
        match action.as_str() {
            "pay" => pay(tx, session, &params),
            "cancel" => Ok(match &session.cancel_url {
                Some(url) => Answer::see_other(url),
                None => form(200, &session, None),
            }),
            _ => Err(
                ApiError::invalid("Invalid action: must be one of pay or cancel").param("action"),
            ),
        }
    })
}

fn pay(tx: &mut Tx<'_>, session: CheckoutSession, params: &Params<'_>) -> Outcome<Answer> {
    let id = session.id.clone();
    let email = params.text("email", 800)?.given();
    let known = email.as_ref().or(session.payer_email.as_ref());
    if !known.is_some_and(|it| it.contains('@')) {
        return Ok(form(
            400,
            &session,
            Some("Your e-mail address is incomplete."),
        ));
    }
    let method = match read_method(tx, params) {
        Ok(method) => method,
        Err(error) => return Ok(form(error.status(), &session, Some(error.message()))),
    };
    let intent = flow::pay_session(tx, session, &method, email)?;
    let session = read(tx, &id)?;
    if let Some(answer) = closed(&session) {
        return Ok(answer);
    }
    Ok(match &intent.next_action {
        Some(NextAction::RedirectToUrl { url, .. } | NextAction::UseStripeSdk { url }) => {
            Answer::see_other(url)
        }
        None => form(402, &session, refusal(&intent)),
    })
}

fn read_method(tx: &mut Tx<'_>, params: &Params<'_>) -> Outcome<PaymentMethod> {
    let name = params.required_text("method", 200)?;
    if name == "number" {
        return api::read_new_card(tx, params);
    }
    // Only ready-made methods: what belongs to somebody is not to be named by whoever sees the page.
    match name.starts_with("pm_card_") {
        true => api::find_method(tx, &name),
        false => None,
    }
    .ok_or_else(|| ApiError::no_such("PaymentMethod", &name, "method"))
}
