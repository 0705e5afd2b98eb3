//! Delivery of events: signed as Stripe signs, in the order of the events, and again with growing pauses until somebody acknowledges.
//!
//! Each endpoint has one worker, which sends one delivery at a time. A delivery that fails is put off and the next one goes first, as at Stripe.
//! A script of faults may lose, double or put off a delivery; it draws once for each, before the first attempt.
//! An endpoint that is disabled when a delivery is due gets it no more, even if it is enabled again; a deleted one loses its worker.
//! Pauses are measured by the simulator's clock, so that advancing it makes every delivery due. The time in the signature is real time, since the
//! receiver compares it with its own clock.

use std::collections::HashSet;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::task::JoinSet;

use crate::App;
use crate::faults::Drawn;
use crate::ids::hmac_sha256;
use crate::objects::{Cause, Delivery, DeliveryState, Event};
use crate::state::{AccountCell, AccountState, Target, Tx, real_ms};

/// Attempts until a delivery is given up.
const ATTEMPTS_MAX: u32 = 14;
/// The pause after the first failure; it doubles from there.
const PAUSE_FIRST_MS: i64 = 250;
/// The longest pause.
const PAUSE_MAX_MS: i64 = 30_000;
/// How long an endpoint has to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// What a worker does next.
enum Next {
    Send(Box<Delivery>, String, Target),
    GiveUp(Box<Delivery>),
    Resign,
    WaitMs(u64),
    WaitForBell,
}

/// A client that follows no redirects.
///
/// # Errors
/// When the machine has no TLS configuration to offer.
pub fn client() -> Result<reqwest::Client, reqwest::Error> {
    // An error means that somebody in this process has chosen a provider before.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(ANSWER_WITHIN)
        .build()
}

/// `Stripe-Signature`: an HMAC-SHA256 over `t.body` with the endpoint's secret.
pub fn signature(secret: &str, at_s: i64, body: &str) -> String {
    let mac = hmac_sha256(secret.as_bytes(), &[format!("{at_s}.{body}").as_bytes()]);
    format!("t={at_s},v1={}", hex::encode(mac))
}

/// Gives every endpoint of an account its worker, for as long as the simulator runs.
pub async fn hire(app: Arc<App>, cell: Arc<AccountCell>, client: reqwest::Client) -> Infallible {
    let mut workers = JoinSet::new();
    let mut hired = HashSet::new();
    loop {
        let change = cell.hiring.notified();
        tokio::pin!(change);
        // From here on no ring is missed.
        change.as_mut().enable();
        let endpoints = cell.endpoint_ids(&cell.lock().tables);
        for endpoint in endpoints {
            if hired.insert(endpoint.clone()) {
                let (app, cell) = (Arc::clone(&app), Arc::clone(&cell));
                workers.spawn(deliver(app, cell, endpoint, client.clone()));
            }
        }
        change.await;
        while workers.try_join_next().is_some() {}
    }
}

/// Delivers to one endpoint, until it is deleted.
async fn deliver(app: Arc<App>, cell: Arc<AccountCell>, endpoint: String, client: reqwest::Client) {
    loop {
        let bell = cell.bell.notified();
        tokio::pin!(bell);
        // From here on no ring is missed.
        bell.as_mut().enable();
        match next(&app, &cell, &endpoint) {
            Next::Send(delivery, body, target) => {
                let id = &cell.settings.id;
                let first = (delivery.attempts == 0)
                    .then(|| app.faults.draw_delivery(id, &delivery.id))
                    .flatten();
                match first {
                    None => {
                        let status = send(&target, &client, &body).await;
                        record(&app, &cell, *delivery, Some(status));
                    }
                    Some(Drawn::Twice) => {
                        let send = || send(&target, &client, &body);
                        let (status, _) = tokio::join!(send(), send());
                        record(&app, &cell, *delivery, Some(status));
                    }
                    Some(Drawn::Lost) => record(&app, &cell, *delivery, None),
                    Some(Drawn::After(ms)) => put_off(&app, &cell, *delivery, ms),
                }
            }
            Next::GiveUp(delivery) => record(&app, &cell, *delivery, None),
            Next::WaitMs(ms) => {
                let _ = tokio::time::timeout(Duration::from_millis(ms), bell).await;
            }
            Next::WaitForBell => bell.await,
            Next::Resign => return,
        }
    }
}

fn next(app: &App, cell: &AccountCell, endpoint: &str) -> Next {
    let state = cell.lock();
    let Some(target) = cell.target(&state.tables, endpoint) else {
        return Next::Resign;
    };
    if cell.paused.load(Ordering::SeqCst) {
        return Next::WaitForBell;
    }
    let Some((at_ms, delivery)) = state.next_delivery(endpoint) else {
        return Next::WaitForBell;
    };
    let wait_ms = at_ms - app.clock.now_ms();
    if let Ok(ms @ 1..) = u64::try_from(wait_ms) {
        return Next::WaitMs(ms);
    }
    if !target.enabled {
        return Next::GiveUp(Box::new(delivery));
    }
    let event: &Event = state
        .tables
        .events
        .get(&delivery.event)
        .expect("a delivery is made and dropped together with its event");
    let mut body = cell.render_event(&state.tables, event);
    drop(state);
    cell.with_secrets(|it| it.reveal(&mut body));
    Next::Send(Box::new(delivery), body.to_string(), target)
}

/// The status of the answer; 0 where there was none.
async fn send(target: &Target, client: &reqwest::Client, body: &str) -> u16 {
    let at_s = real_ms().div_euclid(1_000);
    let answer = client
        .post(&target.url)
        .header("content-type", "application/json; charset=utf-8")
        .header(
            "user-agent",
            "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
        )
        .header("stripe-signature", signature(&target.secret, at_s, body))
        .body(body.to_owned())
        .send()
        .await;
    match answer {
        Ok(answer) => {
            let status = answer.status().as_u16();
            // Read to its end, so that the connection can be used again.
            let _ = answer.bytes().await;
            status
        }
        Err(_) => 0,
    }
}

/// Makes a delivery later, without an attempt.
fn put_off(app: &App, cell: &AccountCell, delivery: Delivery, ms: i64) {
    let mut state = cell.lock();
    if is_overtaken(&state, &delivery) {
        return;
    }
    let next_at_ms = app.clock.now_ms().saturating_add(ms);
    keep(
        app,
        cell,
        &mut state,
        Delivery {
            next_at_ms,
            ..delivery
        },
    );
}

/// Whether it was asked for again, or lost with its endpoint, while the attempt ran.
fn is_overtaken(state: &AccountState, delivery: &Delivery) -> bool {
    state
        .tables
        .deliveries
        .get(&delivery.id)
        .is_none_or(|it| it.next_at_ms != delivery.next_at_ms || it.state != DeliveryState::Pending)
}

/// Keeps the outcome of an attempt; without a status the delivery is given up.
fn record(app: &App, cell: &AccountCell, mut delivery: Delivery, status: Option<u16>) {
    let now_ms = app.clock.now_ms();
    let mut state = cell.lock();
    if is_overtaken(&state, &delivery) {
        return;
    }
    if let Some(status) = status {
        delivery.attempts += 1;
        delivery.last_status = Some(status);
    }
    match status {
        Some(200..300) => delivery.state = DeliveryState::Delivered,
        Some(_) if delivery.attempts < ATTEMPTS_MAX => {
            delivery.next_at_ms = now_ms + pause_ms(delivery.attempts);
        }
        _ => delivery.state = DeliveryState::Failed,
    }
    keep(app, cell, &mut state, delivery);
}

fn keep(app: &App, cell: &AccountCell, state: &mut AccountState, delivery: Delivery) {
    let id = delivery.id.clone();
    let mut tx = Tx::begin(cell, state, app.clock.now_ms(), Cause::default());
    tx.put(delivery);
    if let Err(error) = tx.commit() {
        tracing::error!(delivery = id, %error, "the outcome of a delivery could not be kept: it will be made again");
    }
}

/// The pause after so many failures.
fn pause_ms(failures: u32) -> i64 {
    PAUSE_FIRST_MS
        .checked_shl(failures.saturating_sub(1))
        .filter(|ms| (1..=PAUSE_MAX_MS).contains(ms))
        .unwrap_or(PAUSE_MAX_MS)
}

/// Makes every delivery of an event (again). Answers how many there are.
///
/// # Errors
/// When the journal cannot be written.
pub fn redeliver(app: &App, cell: &AccountCell, event: &str) -> std::io::Result<usize> {
    let mut state = cell.lock();
    let endpoints = cell.endpoint_ids(&state.tables);
    let deliveries: Vec<Delivery> = endpoints
        .iter()
        .filter_map(|endpoint| state.tables.deliveries.get(&format!("{event}/{endpoint}")))
        .cloned()
        .collect();
    let now_ms = app.clock.now_ms();
    let count = deliveries.len();
    let mut tx = Tx::begin(cell, &mut state, now_ms, Cause::default());
    for mut delivery in deliveries {
        delivery.state = DeliveryState::Pending;
        delivery.attempts = 0;
        delivery.next_at_ms = now_ms;
        tx.put(delivery);
    }
    tx.commit()?;
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::pause_ms;

    #[test]
    fn pauses_double_up_to_the_longest() {
        let pauses: Vec<_> = [1, 2, 3, 7, 8, 63, 64, 100].map(pause_ms).into();
        assert_eq!(
            pauses,
            [250, 500, 1_000, 16_000, 30_000, 30_000, 30_000, 30_000]
        );
    }
}
