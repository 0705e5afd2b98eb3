//! Callers who never give up: what they ask, they ask again under the same key until it is answered for good, and they keep
//! every answer. All that they do is drawn from the seed.

use crate::book::{Answered, Book, Paid};
use crate::door::{Command, Door};
use crate::support::World;
use aggregates::payment::event::Refusal;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use reqwest::StatusCode;
use serde_json::Value;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// How long a caller keeps asking for one thing. Reached only where something is broken.
const GIVES_UP_AFTER: Duration = Duration::from_secs(180);

/// What a load is made of.
#[derive(Clone)]
pub struct Plan {
    pub seed: u64,
    pub callers: u64,
    /// Where the service is reached; each attempt draws one of them.
    pub addresses: Vec<SocketAddr>,
    /// How long one attempt waits for its answer.
    pub patience: Duration,
    /// So many stories in all; until they are told to stop unless given.
    pub stories: Option<u64>,
    /// Payments by card alone: the quickest way to many of them.
    pub cards_only: bool,
}

impl Plan {
    pub fn new(world: &World, seed: u64) -> Self {
        Self {
            seed,
            callers: 8,
            addresses: vec![world.address],
            patience: Duration::from_secs(30),
            stories: None,
            cards_only: false,
        }
    }
}

/// Callers at work.
pub struct Load {
    shared: Arc<Shared>,
    callers: Vec<JoinHandle<()>>,
    heard: watch::Receiver<u64>,
}

struct Shared {
    plan: Plan,
    stripe: String,
    http: reqwest::Client,
    ending: AtomicBool,
    begun: AtomicU64,
    book: Mutex<Book>,
    heard: watch::Sender<u64>,
}

impl Load {
    pub fn start(world: &World, plan: Plan) -> Self {
        let (sender, heard) = watch::channel(0);
        let shared = Arc::new(Shared {
            stripe: world.simulator.url(),
            http: reqwest::Client::new(),
            ending: AtomicBool::new(false),
            begun: AtomicU64::new(0),
            book: Mutex::default(),
            heard: sender,
            plan,
        });
        let callers = (0..shared.plan.callers).map(|number| {
            let caller = Caller::new(Arc::clone(&shared), number);
            tokio::spawn(caller.work())
        });
        Self {
            callers: callers.collect(),
            shared,
            heard,
        }
    }

    /// How many commands have been answered for good.
    pub fn answered(&self) -> u64 {
        *self.heard.borrow()
    }

    /// Waits until so many more commands have been answered.
    pub async fn more(&self, commands: u64) {
        let wanted = self.answered() + commands;
        let mut heard = self.heard.clone();
        let waited = tokio::time::timeout(
            GIVES_UP_AFTER,
            heard.wait_for(|answered| *answered >= wanted),
        );
        let _ = waited.await.expect("nobody gets an answer any more");
    }

    /// Waits until so many more attempts were turned away in the door's own words.
    pub async fn turned_away(&self, attempts: u64) {
        let before = self.shared.book().turned_away;
        crate::support::until("callers are turned away", async || {
            self.shared.book().turned_away >= before + attempts
        })
        .await;
    }

    /// Lets every caller end the story it is in; all of it.
    pub async fn finish(self) -> Book {
        self.shared.ending.store(true, Ordering::SeqCst);
        self.all().await
    }

    /// Waits until all stories of the plan have been told; all of it.
    pub async fn all(self) -> Book {
        for caller in self.callers {
            caller.await.unwrap();
        }
        std::mem::take(&mut *self.shared.book())
    }
}

impl Shared {
    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap()
    }

    /// Whether another story is to be begun.
    fn another(&self) -> bool {
        let begun = self.begun.fetch_add(1, Ordering::SeqCst);
        !self.ending.load(Ordering::SeqCst) && self.plan.stories.is_none_or(|most| begun < most)
    }
}

/// Something that must not be: a sentence for people.
pub struct Wrong(pub String);

/// One caller, with its own chance.
pub struct Caller {
    shared: Arc<Shared>,
    pub rng: StdRng,
    number: u64,
    commands: u64,
}

impl Caller {
    fn new(shared: Arc<Shared>, number: u64) -> Self {
        let rng = StdRng::seed_from_u64(shared.plan.seed.wrapping_mul(1_000_003) ^ number);
        Self {
            shared,
            rng,
            number,
            commands: 0,
        }
    }

    async fn work(mut self) {
        while self.shared.another() {
            if let Err(Wrong(what)) = self.story(self.shared.plan.cards_only).await {
                self.shared.book().wrong.push(what);
            }
        }
    }

    /// A name that nobody else in this load has.
    pub fn name(&mut self) -> String {
        self.commands += 1;
        let seed = self.shared.plan.seed;
        format!("{seed:x}-{}-{}", self.number, self.commands)
    }

    pub fn chance(&mut self, of: u32) -> bool {
        self.rng.random_ratio(1, of)
    }

    pub fn paid(&self, it: Paid) {
        self.shared.book().paid.push(it);
    }

    pub fn cancelled(&self, order: String) {
        self.shared.book().cancelled.push(order);
    }

    pub fn checked_out(&self, reference: String, session: String) {
        self.shared.book().sessions.push((reference, session));
    }

    /// Asks until it is answered for good, and keeps the answer. Now and then it asks once more, as a caller does who did not
    /// hear the answer, and must be told the same.
    ///
    /// What Stripe was proved not to have done is asked for anew, under another key.
    ///
    /// # Errors
    /// An answer that is none of `expected`, or another than the first.
    pub async fn ask(&mut self, mut command: Command) -> Result<Value, Wrong> {
        let (mut status, mut body) = self.answered(&command).await?;
        while command.key.is_some() && is_not_carried_out(&body) {
            self.shared.book().not_carried_out += 1;
            command.key = Some(self.name());
            (status, body) = self.answered(&command).await?;
        }
        if !command.expected.contains(&status) {
            let asked = &command.path;
            return Err(Wrong(format!("{asked} was answered {status} {body}")));
        }
        let kept = Answered {
            command,
            status,
            body,
        };
        if kept.command.key.is_some() && self.chance(6) {
            let again = self.answered(&kept.command).await?;
            kept.is_repeated_by(&again).map_err(Wrong)?;
        }
        let body = kept.body.clone();
        let mut book = self.shared.book();
        book.acknowledged += 1;
        if kept.command.key.is_some() && (book.kept.len() < 500 || self.rng.random_ratio(1, 50)) {
            book.kept.push(kept);
        }
        drop(book);
        self.shared.heard.send_modify(|heard| *heard += 1);
        Ok(body)
    }

    async fn answered(&mut self, command: &Command) -> Result<(u16, Value), Wrong> {
        let deadline = Instant::now() + GIVES_UP_AFTER;
        loop {
            let last = match self.attempt(command).await {
                Ok((status, true, body)) => return Ok((status, body)),
                Ok((status, false, body)) => {
                    command
                        .door
                        .check_its_form(status, &body)
                        .map_err(|why| Wrong(format!("{}: {why}", command.path)))?;
                    self.shared.book().turned_away += 1;
                    format!("{status} {body}")
                }
                Err(error) => {
                    self.shared.book().cut += 1;
                    error.to_string()
                }
            };
            if Instant::now() > deadline {
                let asked = &command.path;
                return Err(Wrong(format!("{asked} was never answered: {last}")));
            }
            let pause = self.rng.random_range(5..80);
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
    }

    /// One attempt: the status, whether it is for good, and the body.
    async fn attempt(&mut self, command: &Command) -> reqwest::Result<(u16, bool, Value)> {
        let addresses = &self.shared.plan.addresses;
        let address = addresses[self.rng.random_range(0..addresses.len())];
        let base = match command.door {
            Door::Payer => self.shared.stripe.clone(),
            _ => format!("http://{address}/"),
        };
        self.shared.book().attempts += 1;
        let request = command.request(&self.shared.http, &base);
        let answer = request.timeout(self.shared.plan.patience).send().await?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        let text = answer.text().await?;
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        let running = status == StatusCode::CONFLICT && headers.contains_key("retry-after");
        let for_good =
            !running && !status.is_server_error() && status != StatusCode::TOO_MANY_REQUESTS;
        Ok((status.as_u16(), for_good, body))
    }
}

fn is_not_carried_out(body: &Value) -> bool {
    body["error"]["code"] == Refusal::NOT_CARRIED_OUT
}
