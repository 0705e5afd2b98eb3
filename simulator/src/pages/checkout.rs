//! The page on which a payer pays a checkout: `/_sim/checkout/:session`, which is a hosted session's `url`.
//!
//! An embedded session has no address of its own: its form is `/_sim/checkout/:client_secret`, in a frame of the merchant's page. (Stripe's own
//! script makes that frame; there is no such script here. Nor can a frame without one lead the page around it elsewhere, so that once it is paid
//! it offers the way to `return_url` as a link.)
//!
//! `GET` shows the form, or says why there is none. `POST` tries to pay with `email` and either `number`, `expiry` and `cvc`, or `method`, a
//! ready-made method such as `pm_card_visa`; it leads to `success_url`, to 3-D Secure, or back to the form with what was wrong.
//! `POST` with `action=cancel` leads to `cancel_url`, as the link on the page does, and the session stays open.

use std::sync::Arc;

use http::Method;

use super::form::{self, Fault, Field};
use super::shell::{Place, page};
use crate::App;
use crate::answers::{Answer, escaped};
use crate::errors::{ApiError, Outcome};
use crate::flow;
use crate::money::display;
use crate::objects::{
    Cause, CheckoutSession, NextAction, PaymentIntent, PaymentMethod, PaymentStatus, SessionStatus,
};
use crate::params::{Params, Tree};
use crate::state::{AccountCell, Tx};

/// Numbers to try, and what they do.
const TEST_CARDS: &[(&str, &str)] = &[
    ("4242 4242 4242 4242", "pays"),
    ("4000 0000 0000 0002", "is declined"),
    ("4000 0000 0000 9995", "has insufficient funds"),
    ("4000 0000 0000 0069", "has expired"),
    ("4000 0000 0000 3220", "asks for 3-D Secure"),
    ("4000 0000 0000 0259", "pays, and disputes later"),
];
/// What no number does.
const READY_MADE: &[(&str, &str)] = &[
    ("pm_card_simProcessing", "Pay some time later"),
    (
        "pm_card_simProcessingDeclined",
        "Be declined some time later",
    ),
];

/// Answers a request for the page of a session, named by its id or, where it is embedded, by its client secret.
pub fn answer(app: &App, method: &Method, named: &str, body: &Tree) -> Answer {
    let (id, secret) = match named.split_once("_secret_") {
        Some((id, _)) => (id, Some(named)),
        None => (named, None),
    };
    let cell = app.accounts.iter().find(|cell| {
        let state = cell.lock();
        let session = state.tables.checkout_sessions.get(id);
        session.is_some_and(|it| match secret {
            Some(secret) => cell.with_secrets(|secrets| secrets.opens(id, secret)),
            None => !it.ui_mode.is_embedded(),
        })
    });
    let Some(cell) = cell else {
        let body = "<h1>No such checkout</h1><p>There is nothing to pay at this address.</p>";
        return page(404, "No such checkout", body, Place::Window);
    };
    let answered = match method.as_str() {
        "GET" => show(app, cell, id),
        "POST" => submit(app, cell, id, body),
        _ => return Answer::plain(405, "Use GET or POST."),
    };
    answered.unwrap_or_else(|error| Answer::json(error.status(), &error.body()))
}

/// Where a payer goes on after 3-D Secure: to the shop once the session is complete, else to its page. Its secret is in no state, so it is here that
/// an embedded one's address is made.
pub fn next(cell: &AccountCell, session: &CheckoutSession) -> String {
    let embedded = session.ui_mode.is_embedded();
    match session.after_payment() {
        Some(url) if !embedded && session.status == SessionStatus::Complete => url,
        _ if embedded => {
            let secret = cell.with_secrets(|it| it.client_secret(&session.id));
            format!("{}_sim/checkout/{secret}", cell.base_url)
        }
        _ => session.page(&cell.base_url),
    }
}

fn place(session: &CheckoutSession) -> Place {
    if session.ui_mode.is_embedded() {
        Place::Frame
    } else {
        Place::Window
    }
}

fn read(tx: &Tx<'_>, id: &str) -> Outcome<CheckoutSession> {
    tx.get(id)
        .ok_or_else(|| ApiError::not_found("checkout.session", id, "session"))
}

/// Works on the session once everything that was due has happened to it.
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
        if session.status != SessionStatus::Open {
            return Ok(closed(&session));
        }
        let intent: Option<PaymentIntent> =
            session.payment_intent.as_deref().and_then(|id| tx.get(id));
        let faults = intent.as_ref().map_or_else(Vec::new, refusal);
        let email = session.payer_email.as_deref().unwrap_or_default();
        Ok(to_pay(200, &session, email, &faults))
    })
}

/// What is shown where nothing can be paid any more.
fn closed(session: &CheckoutSession) -> Answer {
    let target = match place(session) {
        Place::Window => "",
        Place::Frame => " target=\"_top\"",
    };
    let link = |url: Option<String>, text: &str| {
        url.map_or_else(String::new, |url| {
            let url = escaped(&url);
            format!("<p><a href=\"{url}\"{target}>{text}</a></p>")
        })
    };
    if session.status == SessionStatus::Expired {
        let title = "This checkout has expired";
        let back = link(session.cancel_url.clone(), "Back to the shop");
        let body = format!(
            "<h1>{title}</h1><p>Nothing was paid, and nothing can be paid here any more.</p>{back}"
        );
        return page(410, title, &body, place(session));
    }
    let amount = display(session.amount_total, &session.currency);
    let title = match session.payment_status {
        PaymentStatus::Paid => format!("{amount} is paid"),
        PaymentStatus::Unpaid => format!("The payment of {amount} is under way"),
    };
    let on = link(session.after_payment(), "Continue");
    let body = format!("<h1>{title}</h1><p>Thank you. There is nothing more to do here.</p>{on}");
    page(200, &title, &body, place(session))
}

/// Why the last attempt failed.
fn refusal(intent: &PaymentIntent) -> Vec<Fault> {
    let error = intent.last_payment_error.as_ref();
    error.map(form::of_error).into_iter().collect()
}

fn to_pay(status: u16, session: &CheckoutSession, email: &str, faults: &[Fault]) -> Answer {
    let amount = display(session.amount_total, &session.currency);
    let title = if faults.is_empty() {
        format!("Pay {amount}")
    } else {
        format!("Error: pay {amount}")
    };
    let field = |it: Field, value: &str| form::field(it, value, faults, place(session));
    let fields = [
        field(Field::Email, email),
        field(Field::Number, ""),
        "<div class=\"short\">".to_owned(),
        field(Field::Expiry, ""),
        field(Field::Cvc, ""),
        "</div>".to_owned(),
    ]
    .concat();
    let cancel = session.cancel_url.as_ref().map_or_else(String::new, |url| {
        let url = escaped(url);
        format!("<p><a href=\"{url}\">Cancel and go back</a></p>")
    });
    let body = format!(
        "<h1>Pay {amount}</h1>\n{}\n<form method=\"post\">{fields}\
         <p><button class=\"pay\" name=\"action\" value=\"pay\">Pay {amount}</button></p>\n{}</form>\n{cancel}",
        lines(session),
        help()
    );
    page(status, &title, &body, place(session))
}

/// What is paid for.
fn lines(session: &CheckoutSession) -> String {
    let rows: String = session
        .line_items
        .iter()
        .map(|it| {
            let price = display(it.amount, &session.currency);
            let (name, quantity) = (escaped(&it.name), it.quantity);
            format!("<tr><td>{name}</td><td>{quantity}</td><td>{price}</td></tr>")
        })
        .collect();
    let total = display(session.amount_total, &session.currency);
    format!(
        "<table><caption>What you pay for</caption>\
         <thead><tr><th scope=\"col\">Article</th><th scope=\"col\">Quantity</th><th scope=\"col\">Amount</th></tr></thead>\
         <tbody>{rows}</tbody>\
         <tfoot><tr><th scope=\"row\" colspan=\"2\">Total</th><td>{total}</td></tr></tfoot></table>"
    )
}

/// Which cards there are to try. Part of the form, after its own button, so that the Enter key pays.
fn help() -> String {
    let cards: String = TEST_CARDS
        .iter()
        .map(|(number, what)| format!("<li><code>{number}</code> {what}</li>"))
        .collect();
    let ready: String = READY_MADE
        .iter()
        .map(|(method, what)| {
            format!(
                "<p><button name=\"method\" value=\"{method}\" formnovalidate>{what}</button></p>"
            )
        })
        .collect();
    format!(
        "<details><summary>Cards to try</summary>\
         <p>With any date to come and any security code; so with every other valid number, which pays.</p>\
         <ul>{cards}</ul>{ready}</details>"
    )
}

fn submit(app: &App, cell: &Arc<AccountCell>, id: &str, body: &Tree) -> Outcome<Answer> {
    let params = Params::root(body)?;
    let cancels = match form::typed(&params, "action").as_str() {
        "" | "pay" => false,
        "cancel" => true,
        _ => {
            let message = "Invalid action: must be one of pay or cancel";
            return Err(ApiError::invalid(message).param("action"));
        }
    };
    with_tx(app, cell, |tx| {
        let session = read(tx, id)?;
        if session.status != SessionStatus::Open {
            return Ok(after(tx, &session));
        }
        match &session.cancel_url {
            Some(url) if cancels => Ok(Answer::see_other(url)),
            None if cancels => Ok(to_pay(200, &session, "", &[])),
            _ => pay(tx, session, &params),
        }
    })
}

/// Who has paid is led on, a second time too; who comes too late is told so.
fn after(tx: &Tx<'_>, session: &CheckoutSession) -> Answer {
    match session.status {
        SessionStatus::Complete => Answer::see_other(&next(tx.cell, session)),
        SessionStatus::Expired | SessionStatus::Open => closed(session),
    }
}

fn pay(tx: &mut Tx<'_>, session: CheckoutSession, params: &Params<'_>) -> Outcome<Answer> {
    let id = session.id.clone();
    let given = Some(form::typed(params, "email")).filter(|it| !it.is_empty());
    let email = given.clone().or_else(|| session.payer_email.clone());
    let email = email.unwrap_or_default();
    let (mut faults, mut status) = (Vec::new(), 400);
    if !email.contains('@') {
        let message = "Your e-mail address is incomplete.";
        faults.push((Field::Email, message.to_owned()));
    }
    let method = match read_method(tx, params)? {
        Ok(method) => Some(method),
        Err(wrong) => {
            faults.extend(wrong);
            status = 402;
            None
        }
    };
    let Some(method) = method.filter(|_| faults.is_empty()) else {
        return Ok(to_pay(status, &session, &email, &faults));
    };
    let intent = flow::pay_session(tx, session, &method, given)?;
    let session = read(tx, &id)?;
    if session.status != SessionStatus::Open {
        return Ok(after(tx, &session));
    }
    Ok(match &intent.next_action {
        Some(NextAction::RedirectToUrl { url, .. } | NextAction::UseStripeSdk { url }) => {
            Answer::see_other(url)
        }
        None => to_pay(402, &session, &email, &refusal(&intent)),
    })
}

/// The ready-made method that is named, or the card that was typed.
fn read_method(tx: &mut Tx<'_>, params: &Params<'_>) -> Outcome<Result<PaymentMethod, Vec<Fault>>> {
    match form::typed(params, "method").as_str() {
        "" => Ok(form::read_card(tx, params)),
        name => form::ready_made(tx, name).map(Ok),
    }
}
