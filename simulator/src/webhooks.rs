//! Delivery of events: signed as Stripe signs, in the order of the events, and again with growing pauses until somebody acknowledges.
//!
//! Each endpoint has one worker, which sends one delivery at a time. A delivery that fails is put off and the next one goes first, as at Stripe.
//! Pauses are measured by the simulator's clock, so that advancing it makes every delivery due. The time in the signature is real time, since the
//! receiver compares it with its own clock.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinSet;

use crate::App;
use crate::ids::hmac_sha256;
use crate::objects::{Cause, Delivery, DeliveryState, Event};
use crate::state::{AccountCell, Tx, real_ms};

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
    Send(Box<Delivery>, String),
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

/// Names an endpoint that is to get a worker.
pub struct Hire {
    /// On which account.
    pub cell: Arc<AccountCell>,
    /// Its place.
    pub endpoint: usize,
}

/// Gives every endpoint that is named its worker, for as long as the simulator runs.
pub async fn dispatch(app: Arc<App>, client: reqwest::Client, mut hires: UnboundedReceiver<Hire>) {
    let mut workers = JoinSet::new();
    while let Some(Hire { cell, endpoint }) = hires.recv().await {
        workers.spawn(deliver(Arc::clone(&app), cell, endpoint, client.clone()));
    }
}

/// Delivers to one endpoint.
async fn deliver(app: Arc<App>, cell: Arc<AccountCell>, endpoint: usize, client: reqwest::Client) {
    loop {
        let bell = cell.bell.notified();
        tokio::pin!(bell);
        // From here on no ring is missed.
        bell.as_mut().enable();
        match next(&app, &cell, endpoint) {
            Next::Send(delivery, body) => {
                let status = send(&cell, endpoint, &client, body).await;
                record(&app, &cell, *delivery, status);
            }
            Next::WaitMs(ms) => {
                let _ = tokio::time::timeout(Duration::from_millis(ms), bell).await;
            }
            Next::WaitForBell => bell.await,
        }
    }
}

fn next(app: &App, cell: &AccountCell, endpoint: usize) -> Next {
    if cell.paused.load(Ordering::SeqCst) {
        return Next::WaitForBell;
    }
    let state = cell.lock();
    let Some((at_ms, delivery)) = state.next_delivery(endpoint) else {
        return Next::WaitForBell;
    };
    let wait_ms = at_ms - app.clock.now_ms();
    if let Ok(ms @ 1..) = u64::try_from(wait_ms) {
        return Next::WaitMs(ms);
    }
    let event: &Event = state
        .tables
        .events
        .get(&delivery.event)
        .expect("a delivery is made and dropped together with its event");
    let mut body = cell.render_event(&state.tables, event);
    drop(state);
    cell.with_secrets(|it| it.reveal(&mut body));
    Next::Send(Box::new(delivery), body.to_string())
}

/// The status of the answer; 0 where there was none.
async fn send(cell: &AccountCell, endpoint: usize, client: &reqwest::Client, body: String) -> u16 {
    let endpoints = cell.endpoints();
    let settings = &endpoints[endpoint];
    let at_s = real_ms().div_euclid(1_000);
    let answer = client
        .post(&settings.url)
        .header("content-type", "application/json; charset=utf-8")
        .header(
            "user-agent",
            "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
        )
        .header("stripe-signature", signature(&settings.secret, at_s, &body))
        .body(body)
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

fn record(app: &App, cell: &AccountCell, mut delivery: Delivery, status: u16) {
    let now_ms = app.clock.now_ms();
    let mut state = cell.lock();
    let asked_again = state
        .tables
        .deliveries
        .get(&delivery.id)
        .is_none_or(|it| it.next_at_ms != delivery.next_at_ms);
    if asked_again {
        return;
    }
    delivery.attempts += 1;
    delivery.last_status = Some(status);
    if (200..300).contains(&status) {
        delivery.state = DeliveryState::Delivered;
    } else if delivery.attempts >= ATTEMPTS_MAX {
        delivery.state = DeliveryState::Failed;
    } else {
        delivery.next_at_ms = now_ms + pause_ms(delivery.attempts);
    }
    let id = delivery.id.clone();
    let mut tx = Tx::begin(cell, &mut state, now_ms, Cause::default());
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
    let deliveries: Vec<Delivery> = (0..cell.endpoints().len())
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
