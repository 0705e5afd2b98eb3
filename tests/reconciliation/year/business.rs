//! A year of business, drawn from a seed and done week by week: through the doors, as callers do, and at the simulator, as payers,
//! banks and Stripe do. Nothing is put into the ledger behind its back.

use super::bank::{Arrived, Bank};
use super::client::{Client, Door, text};
use super::stories::{Paid, Story};
use crate::support::World;
use chrono::{DateTime, Datelike, Utc, Weekday};
use futures::StreamExt;
use futures::stream;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use reqwest::Method;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::{Duration, Instant};

const DAY_S: u32 = 24 * 3600;
/// Weeks in which something is sold.
const WEEKS: u64 = 52;
/// Weeks after them, until all has settled: disputes lapse, what is held expires, payouts arrive.
const SETTLING_WEEKS: u64 = 4;
/// How far behind real time the simulator is when the year is closed. What is planted then has as long to become late.
const LEFT_S: u32 = 15 * DAY_S;
/// How far behind real time the year begins.
pub const BEHIND_S: u32 = 57 * 7 * DAY_S + LEFT_S;
/// So many callers at once.
const AT_ONCE: usize = 16;

/// A year under way.
pub struct Year<'w> {
    pub world: &'w World,
    pub client: Client,
    pub rng: StdRng,
    pub bank: Bank,
    /// What can be given back.
    pool: Vec<Paid>,
    /// Of so many that were paid, one is given back each week.
    pub one_back_of: usize,
    /// Disputes that were answered, or are left to lapse.
    answered: BTreeSet<String>,
    /// How often each thing happened.
    pub tally: BTreeMap<&'static str, u64>,
    pub took: Took,
}

/// Where the time went.
#[derive(Default)]
pub struct Took {
    pub stories: Duration,
    pub money_back: Duration,
    pub webhooks: Duration,
    pub settling: Duration,
    pub bank: Duration,
}

impl fmt::Display for Took {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            to,
            "sales {:.0?}, money back {:.0?}, webhooks {:.0?}, bookings {:.0?}, bank {:.0?}",
            self.stories, self.money_back, self.webhooks, self.settling, self.bank
        )
    }
}

impl<'w> Year<'w> {
    pub fn new(world: &'w World, seed: u64) -> Self {
        Self {
            world,
            client: Client::new(world),
            rng: StdRng::seed_from_u64(seed),
            bank: Bank::default(),
            pool: Vec::new(),
            one_back_of: 40,
            answered: BTreeSet::new(),
            tally: BTreeMap::new(),
            took: Took::default(),
        }
    }

    /// All of it, with so many payments, until everything has settled.
    pub async fn pass(&mut self, payments: u64) {
        // What was sold on a Sunday is there on the next one; on the Monday between them it was not yet, and nothing was paid out of it.
        self.days_until(Weekday::Sun).await;
        let mut told = 0;
        for week in 0..WEEKS {
            let until = payments * (week + 1) / WEEKS;
            let stories: Vec<Story> = (told..until)
                .map(|number| Story::draw(&mut self.rng, number))
                .collect();
            told = until;
            self.week(week, stories).await;
        }
        for week in WEEKS..WEEKS + SETTLING_WEEKS {
            self.answer_disputes().await;
            self.advance(week, 7).await;
        }
        while self.a_payout_is_under_way().await {
            self.advance(0, 1).await;
        }
    }

    async fn a_payout_is_under_way(&self) -> bool {
        let (status, list) = self.client.get(Door::Stripe, "/v1/payouts?limit=10").await;
        assert_eq!(status, 200, "{list}");
        let mut data = list["data"].as_array().unwrap().iter();
        data.any(|it| it["status"] == "pending" || it["status"] == "in_transit")
    }

    pub async fn week(&mut self, week: u64, stories: Vec<Story>) {
        self.answer_disputes().await;
        let before = Instant::now();
        let (at_once, alone): (Vec<Story>, Vec<Story>) =
            stories.into_iter().partition(|it| it.goes_beside_others());
        let client = &self.client;
        let told = stream::iter(at_once).map(|it| it.tell(client));
        let mut told: Vec<_> = told.buffer_unordered(AT_ONCE).collect().await;
        for it in alone {
            told.push(it.tell(client).await);
        }
        self.took.stories += before.elapsed();
        let before = Instant::now();
        self.give_back().await;
        self.took.money_back += before.elapsed();
        // In the order of the plan, however the callers met: what is drawn from it later is the same.
        told.sort_by_key(|it| it.number);
        for it in told {
            self.count(it.what);
            self.pool.extend(it.paid);
        }
        self.at_stripe(week).await;
        self.advance(week, 7).await;
    }

    pub fn count(&mut self, what: &'static str) {
        *self.tally.entry(what).or_default() += 1;
    }

    /// Some of what was paid in the weeks before is given back, in part or whole.
    async fn give_back(&mut self) {
        let wanted = self.pool.len() / self.one_back_of;
        let mut refunds = Vec::new();
        for _ in 0..wanted {
            let at = self.rng.random_range(0..self.pool.len());
            let paid = self.pool.swap_remove(at);
            let whole = self.rng.random_bool(0.4);
            let minor = if whole {
                paid.minor
            } else {
                self.rng.random_range(1..=paid.minor)
            };
            refunds.push((paid.intent, minor, whole));
        }
        // Whoever was not given anything back within a few weeks keeps what was bought.
        let kept = self.pool.len().saturating_sub(200);
        self.pool.drain(..kept);
        for (_, _, whole) in &refunds {
            self.count(if *whole {
                "refunded"
            } else {
                "refunded in part"
            });
        }
        let client = &self.client;
        let done = stream::iter(refunds).map(|(intent, minor, _)| client.refund(intent, minor));
        done.buffer_unordered(AT_ONCE).collect::<Vec<_>>().await;
    }

    /// What the merchant and Stripe do at Stripe: payouts by hand, fees, a payout that comes back.
    async fn at_stripe(&mut self, week: u64) {
        if week % 4 == 3 {
            let fee = self.rng.random_range(500..5_000);
            let fee = json!({"account": "acct_acme", "amount": fee, "currency": "usd"});
            self.world.sim(Method::POST, "fees", Some(fee)).await;
            self.count("fee of Stripe's");
        }
        if week % 6 == 4 {
            let form = format!("amount={}&currency=usd", self.rng.random_range(100..900));
            let (status, made) = self.client.form(Door::Stripe, "/v1/payouts", &form).await;
            // A very small year has nothing to pay out.
            assert!(
                status == 200 || made["error"]["code"] == "balance_insufficient",
                "{made}"
            );
            if status == 200 {
                self.count("payout by hand");
            }
        }
        if week == 30 {
            let payout = self.bank.last_arrived("usd");
            let fails = json!({"payout": payout.id, "failure_code": "account_closed"});
            self.world
                .sim(Method::POST, "payouts/fail", Some(fails))
                .await;
            self.bank.sends_back(payout);
            self.count("payout that came back");
        }
    }

    /// Disputes that have come up are won, lost, or left to lapse.
    async fn answer_disputes(&mut self) {
        let (status, list) = self
            .client
            .get(Door::Stripe, "/v1/disputes?limit=100")
            .await;
        assert_eq!(status, 200, "{list}");
        let mut waiting: Vec<String> = Vec::new();
        for it in list["data"].as_array().unwrap() {
            let id = text(&it["id"]);
            let waits = text(&it["status"]).ends_with("needs_response");
            if waits && self.answered.insert(id.clone()) {
                waiting.push(id);
            }
        }
        waiting.sort();
        for id in waiting {
            let (what, evidence) = match self.rng.random_range(0..5) {
                0 | 1 => ("dispute won", "winning_evidence"),
                2 | 3 => ("dispute lost", "losing_evidence"),
                _ => {
                    self.count("dispute left to lapse");
                    continue;
                }
            };
            self.count(what);
            let form = format!("evidence%5Buncategorized_text%5D={evidence}&submit=true");
            let path = format!("/v1/disputes/{id}");
            let (status, said) = self.client.form(Door::Stripes, &path, &form).await;
            assert_eq!(status, 200, "{said}");
        }
    }

    /// Time passes: what is due at Stripe is done, told, booked, and the bank's statement comes.
    async fn advance(&mut self, week: u64, days: u32) {
        self.days_pass(days).await;
        let before = Instant::now();
        self.client.quiet(self.world).await;
        self.took.webhooks += before.elapsed();
        let before = Instant::now();
        self.world.app().settle(&crate::acme()).await.unwrap();
        self.took.settling += before.elapsed();
        let before = Instant::now();
        let arrived = self.payouts_paid().await;
        let lines = self.bank.books(arrived, &mut self.rng);
        self.client.import(&lines, week.is_multiple_of(2)).await;
        self.took.bank += before.elapsed();
    }

    /// Goes on to that day of the week, at the same time of day.
    pub async fn days_until(&self, weekday: Weekday) {
        let days = weekday.days_since(self.now().await.weekday());
        self.days_pass(days).await;
    }

    /// By the simulator's clock.
    pub async fn now(&self) -> DateTime<Utc> {
        let clock = self.world.sim(Method::GET, "clock", None).await;
        DateTime::from_timestamp(clock["now"].as_i64().unwrap(), 0).unwrap()
    }

    async fn days_pass(&self, days: u32) {
        let body = json!({"advance_s": days * DAY_S});
        self.world.sim(Method::POST, "clock", Some(body)).await;
    }

    /// Payouts that have arrived since it was asked before.
    pub async fn payouts_paid(&mut self) -> Vec<Arrived> {
        let (status, list) = self.client.get(Door::Stripe, "/v1/payouts?limit=20").await;
        assert_eq!(status, 200, "{list}");
        let data = list["data"].as_array().unwrap();
        self.bank.not_seen_yet(data)
    }
}
