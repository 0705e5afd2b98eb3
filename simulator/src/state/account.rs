use std::collections::{BTreeSet, HashMap, HashSet};
use std::io;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, MutexGuard, RwLock};

use serde_json::Value;
use tokio::sync::Notify;

use super::endpoints::Configured;
use super::journal::Journal;
use super::table::Table;
use super::tx::Kind;
use super::{EVENT_KEPT_S, KEY_KEPT_S};
use crate::config;
use crate::ids::{IdMaker, Secrets};
use crate::objects::{
    BalanceTransaction, Charge, CheckoutSession, Customer, Delivery, DeliveryState, Dispute,
    Entity, Event, Later, Object, PaymentIntent, PaymentMethod, Payout, Refund, Remembered,
    Schedule, WebhookEndpoint,
};

/// An account: what was configured, and its state behind a lock.
pub struct AccountCell {
    /// As configured.
    pub settings: config::Account,
    /// Where the simulator is reached, with a trailing slash.
    pub base_url: String,
    /// See [`config::Config::later_s`].
    pub later_s: i64,
    /// Makes the ids of new objects.
    pub ids: IdMaker,
    /// Where events are delivered, besides the endpoints made through the API.
    pub(super) configured: Configured,
    secrets: RwLock<Secrets>,
    state: Mutex<AccountState>,
    /// Rung when there is something new to deliver, or an endpoint changed.
    pub bell: Notify,
    /// Rung when there may be a new endpoint.
    pub hiring: Notify,
    /// Whether deliveries are held back.
    pub paused: AtomicBool,
}

/// All objects of an account.
#[derive(Default)]
pub struct Tables {
    pub payment_intents: Table<PaymentIntent>,
    pub payment_methods: Table<PaymentMethod>,
    pub charges: Table<Charge>,
    pub disputes: Table<Dispute>,
    pub payouts: Table<Payout>,
    pub checkout_sessions: Table<CheckoutSession>,
    pub schedules: Table<Schedule>,
    pub customers: Table<Customer>,
    pub refunds: Table<Refund>,
    pub balance_transactions: Table<BalanceTransaction>,
    pub events: Table<Event>,
    pub deliveries: Table<Delivery>,
    pub remembered: Table<Remembered>,
    pub webhook_endpoints: Table<WebhookEndpoint>,
}

/// What the clock will do: when, what, and to which object.
type Agenda = BTreeSet<(i64, Later, String)>;

/// The objects, and what follows from them.
#[derive(Default)]
pub struct AccountState {
    /// The objects.
    pub tables: Tables,
    /// What the clock will do, soonest first.
    agenda: Agenda,
    /// What is to be delivered to each endpoint: when (ms), which place among the deliveries, and its id.
    outbox: HashMap<String, BTreeSet<(i64, usize, String)>>,
    /// Idempotency keys whose requests are running now.
    pub in_flight: HashSet<String>,
    /// The number of the next id.
    pub next_number: u64,
    journal: Option<Journal>,
}

impl AccountCell {
    /// Loads the account from its journal in `state_dir`, where there is one, and plants the configured intents that are missing.
    ///
    /// # Errors
    /// When the journal cannot be read or written.
    pub fn open(
        settings: config::Account,
        config: &config::Config,
        base_url: &str,
        now: i64,
    ) -> io::Result<Self> {
        let mut state = AccountState::default();
        if let Some(dir) = &config.state_dir {
            state.load(&dir.join(format!("{}.ndjson", settings.id)), now)?;
        }
        let planted = settings
            .planted_intents
            .iter()
            .filter_map(|it| Some((it.id.clone(), it.client_secret.clone()?)))
            .collect();
        let secrets = Secrets::new(&settings.secret_key, planted);
        let cell = Self {
            ids: IdMaker::new(config.seed, &settings.id),
            configured: Configured::new(&settings.webhook_endpoints, &secrets),
            secrets: RwLock::new(secrets),
            base_url: base_url.to_owned(),
            later_s: config.later_s,
            state: Mutex::new(state),
            bell: Notify::new(),
            hiring: Notify::new(),
            paused: AtomicBool::new(false),
            settings,
        };
        cell.plant_configured(now)?;
        Ok(cell)
    }

    fn plant_configured(&self, now: i64) -> io::Result<()> {
        let mut state = self.lock();
        let mut puts = Vec::new();
        for planted in &self.settings.planted_intents {
            if state.tables.payment_intents.get(&planted.id).is_none() {
                let intent = PaymentIntent::planted(planted, now);
                puts.push(Object::PaymentIntent(intent));
            }
        }
        if state.tables.schedules.get(Schedule::ID).is_none() {
            puts.push(Object::Schedule(Schedule::after(now)));
        }
        let next_number = state.next_number;
        state.apply(next_number, puts)
    }

    /// The state, for this caller alone. A panic of an earlier holder left it whole, since only complete transactions change it.
    pub fn lock(&self) -> MutexGuard<'_, AccountState> {
        self.state.lock().unwrap_or_else(|it| it.into_inner())
    }

    /// Uses the account's secrets.
    pub fn with_secrets<T>(&self, read: impl FnOnce(&Secrets) -> T) -> T {
        read(&self.secrets.read().unwrap_or_else(|it| it.into_inner()))
    }

    /// Gives an intent a client secret until the process ends.
    pub fn plant_secret(&self, intent: &str, client_secret: &str) {
        self.secrets
            .write()
            .unwrap_or_else(|it| it.into_inner())
            .plant(intent, client_secret);
    }

    /// Renders an event as it stands.
    pub fn render_event(&self, tables: &Tables, event: &Event) -> Value {
        event.render(self.pending_webhooks(tables, &event.id))
    }
}

impl AccountState {
    fn load(&mut self, path: &Path, now: i64) -> io::Result<()> {
        let mut read = AccountState::default();
        let next_number = Journal::read(path, |object| read.hold(object))?;
        let kept = read.tables.into_objects(now);
        self.journal = Some(Journal::rewrite(path, next_number, &kept)?);
        self.next_number = next_number;
        kept.into_iter().for_each(|object| self.hold(object));
        Ok(())
    }

    /// Makes a transaction's changes durable, then visible.
    ///
    /// # Errors
    /// When the journal cannot be written; nothing has changed then.
    pub fn apply(&mut self, next_number: u64, puts: Vec<Object>) -> io::Result<()> {
        if puts.is_empty() {
            return Ok(());
        }
        if let Some(journal) = &mut self.journal {
            journal.append(next_number, &puts)?;
        }
        self.next_number = next_number;
        puts.into_iter().for_each(|object| self.hold(object));
        Ok(())
    }

    fn hold(&mut self, object: Object) {
        let Self { tables, agenda, .. } = self;
        match object {
            Object::PaymentIntent(it) => keep(&mut tables.payment_intents, agenda, it),
            Object::PaymentMethod(it) => keep(&mut tables.payment_methods, agenda, it),
            Object::Charge(it) => keep(&mut tables.charges, agenda, it),
            Object::Dispute(it) => keep(&mut tables.disputes, agenda, it),
            Object::Payout(it) => keep(&mut tables.payouts, agenda, it),
            Object::CheckoutSession(it) => keep(&mut tables.checkout_sessions, agenda, it),
            Object::Schedule(it) => keep(&mut tables.schedules, agenda, it),
            Object::Customer(it) => keep(&mut tables.customers, agenda, it),
            Object::Refund(it) => keep(&mut tables.refunds, agenda, it),
            Object::BalanceTransaction(it) => keep(&mut tables.balance_transactions, agenda, it),
            Object::Event(it) => keep(&mut tables.events, agenda, it),
            Object::Remembered(it) => keep(&mut tables.remembered, agenda, it),
            Object::WebhookEndpoint(it) => keep(&mut tables.webhook_endpoints, agenda, it),
            Object::Delivery(it) => self.hold_delivery(it),
        }
    }

    fn hold_delivery(&mut self, delivery: Delivery) {
        let (id, endpoint) = (delivery.id.clone(), delivery.endpoint_id.clone());
        let due = (delivery.state == DeliveryState::Pending).then_some(delivery.next_at_ms);
        let before = self.tables.deliveries.put(delivery);
        let place = self.tables.deliveries.place(&id).expect("it was just put");
        let outbox = self.outbox.entry(endpoint).or_default();
        if let Some(before) = before {
            outbox.remove(&(before.next_at_ms, place, id.clone()));
        }
        if let Some(at_ms) = due {
            outbox.insert((at_ms, place, id));
        }
    }

    /// The next thing that the clock does, if its time has come.
    pub fn next_due(&self, now: i64) -> Option<(i64, Later, String)> {
        self.agenda.first().filter(|(at, ..)| *at <= now).cloned()
    }

    /// The next thing of some kinds that the clock does, whenever that is.
    pub fn next_of(&self, is_meant: impl Fn(Later) -> bool) -> Option<(i64, Later, String)> {
        let mut agenda = self.agenda.iter();
        agenda.find(|(_, later, _)| is_meant(*later)).cloned()
    }

    /// How many deliveries have still to be made.
    pub fn pending_deliveries(&self) -> usize {
        self.outbox.values().map(|it| it.len()).sum()
    }

    /// The next delivery to an endpoint and its time in milliseconds.
    pub fn next_delivery(&self, endpoint: &str) -> Option<(i64, Delivery)> {
        let (at_ms, _, id) = self.outbox.get(endpoint)?.first()?;
        Some((*at_ms, self.tables.deliveries.get(id)?.clone()))
    }
}

/// Puts an object into its table, and what the clock does to it on the agenda.
fn keep<T: Entity>(table: &mut Table<T>, agenda: &mut Agenda, entity: T) {
    let (id, after) = (entity.id().to_owned(), entity.later());
    let before = table.put(entity).and_then(|it| it.later());
    if before == after {
        return;
    }
    if let Some((at, later)) = before {
        agenda.remove(&(at, later, id.clone()));
    }
    if let Some((at, later)) = after {
        agenda.insert((at, later, id));
    }
}

impl Tables {
    /// What a fresh journal begins with: everything that is still of use.
    fn into_objects(self, now: i64) -> Vec<Object> {
        let event_is_kept = |event: &str| {
            self.events
                .get(event)
                .is_some_and(|it| it.created + EVENT_KEPT_S > now)
        };
        let mut objects = all(&self.webhook_endpoints);
        objects.extend(all(&self.customers));
        objects.extend(all(&self.payment_methods));
        objects.extend(all(&self.payment_intents));
        objects.extend(all(&self.charges));
        objects.extend(all(&self.refunds));
        objects.extend(all(&self.checkout_sessions));
        objects.extend(all(&self.schedules));
        objects.extend(all(&self.payouts));
        objects.extend(all(&self.disputes));
        objects.extend(all(&self.balance_transactions));
        objects.extend(some(&self.events, |it| event_is_kept(&it.id)));
        objects.extend(some(&self.deliveries, |it| event_is_kept(&it.event)));
        objects.extend(some(&self.remembered, |it| it.created + KEY_KEPT_S > now));
        objects
    }
}

fn all<T: Kind>(table: &Table<T>) -> Vec<Object> {
    some(table, |_| true)
}

fn some<T: Kind>(table: &Table<T>, is_kept: impl Fn(&T) -> bool) -> Vec<Object> {
    let kept = table.oldest_first().filter(|it| is_kept(it));
    kept.cloned().map(T::into_object).collect()
}
