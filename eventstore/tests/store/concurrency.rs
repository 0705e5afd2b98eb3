//! Many callers, several processes.

use std::collections::HashSet;
use std::pin::pin;
use std::process::Command;

use eventstore::{Append, AppendError, Log};
use futures::future::join_all;
use futures::poll;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use crate::support::{Database, append, assert_sound, claim, id, stream};

/// Appends to a stream `times`, loading and trying again upon each conflict; gives how many conflicts there were.
async fn increment(
    log: &Log,
    reader: &eventstore::Reader,
    aggregate_id: &str,
    times: usize,
) -> usize {
    let mut conflicts = 0;
    for _ in 0..times {
        loop {
            let seen = reader.read_stream("order", aggregate_id, 0).await.unwrap();
            let version = seen.last().map_or(0, |event| event.sequence);
            match log.append(append(aggregate_id, version)).await {
                Ok(_) => break,
                Err(AppendError::Conflict { actual, .. }) => {
                    assert!(actual > version);
                    conflicts += 1;
                }
                Err(error) => panic!("{error}"),
            }
        }
    }
    conflicts
}

#[tokio::test(flavor = "multi_thread")]
async fn thirty_two_callers_on_one_stream_lose_no_update() {
    let db = Database::fresh().await;
    let (log, reader) = (db.log().await, db.reader().await);
    let callers = (0..32).map(|_| increment(&log, &reader, "acme/hot", 5));
    let conflicts: usize = join_all(callers).await.into_iter().sum();
    assert!(conflicts > 0, "they did meet");
    assert_eq!(assert_sound(&reader).await, 32 * 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conflict_is_answered_to_its_own_caller_alone() {
    let db = Database::fresh().await;
    let log = db.log().await;
    log.append(append("acme/hot", 0)).await.unwrap();
    let appends = (0..64).map(|n| {
        // Every fourth decides on a version that is gone, or not there yet.
        let it = match n % 4 {
            0 => append("acme/hot", n % 8 / 4 * 9),
            _ => append(&format!("acme/{n}"), 0),
        };
        log.append(it)
    });
    for (n, answer) in join_all(appends).await.into_iter().enumerate() {
        assert_eq!(answer.is_err(), n % 4 == 0, "{n}: {answer:?}");
    }
    assert_eq!(assert_sound(&db.reader().await).await, 1 + 48);
}

#[tokio::test(flavor = "multi_thread")]
async fn appends_of_one_batch_may_build_on_one_another() {
    let db = Database::fresh().await;
    let log = db.log().await;
    // Polled in order, they are queued in order, and all but the first wait for its statement together.
    let chain = (0..20).map(|version| log.append(append("acme/chain", version)));
    for answer in join_all(chain).await {
        answer.unwrap();
    }
    assert_eq!(assert_sound(&db.reader().await).await, 20);
    assert!(
        db.reader().await.head().await.unwrap().batch < 20,
        "some did share a batch"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_equal_claims_one_wins_and_the_others_are_shown_it() {
    let db = Database::fresh().await;
    let logs = [db.log().await, db.log().await];
    let appends =
        (0..40).map(|n| logs[n % 2].append(append(&format!("acme/{n}"), 0).claim(claim("same"))));
    let answers = join_all(appends).await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
    let claim = db
        .reader()
        .await
        .claim("acme", "door", "same")
        .await
        .unwrap()
        .unwrap();
    for answer in answers {
        match answer {
            Ok(_) => {}
            Err(AppendError::Claimed(shown)) => assert_eq!(shown.command_id, claim.command_id),
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(assert_sound(&db.reader().await).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_goes_away_leaves_a_whole_append_or_none() {
    let db = Database::fresh().await;
    let (log, reader) = (db.log().await, db.reader().await);
    for n in 0..40 {
        let (one, other) = (format!("acme/{n}-a"), format!("acme/{n}-b"));
        let whole = Append::new("acme", id())
            .stream(stream(&one, 0, 2))
            .stream(stream(&other, 0, 1))
            .claim(claim(&n.to_string()));
        let mut gone = pin!(log.append(whole));
        for _ in 0..n % 5 {
            if poll!(&mut gone).is_ready() {
                break;
            }
            tokio::task::yield_now().await;
        }
    }
    log.close().await;
    let mut written = 0;
    for n in 0..40 {
        let one = reader
            .read_stream("order", &format!("acme/{n}-a"), 0)
            .await
            .unwrap()
            .len();
        let other = reader
            .read_stream("order", &format!("acme/{n}-b"), 0)
            .await
            .unwrap()
            .len();
        let claimed = reader
            .claim("acme", "door", &n.to_string())
            .await
            .unwrap()
            .is_some();
        assert!(matches!(
            (one, other, claimed),
            (0, 0, false) | (2, 1, true)
        ));
        written += i64::from(claimed) * 3;
    }
    assert_eq!(assert_sound(&reader).await, written);
    assert!(
        written >= 32 * 3,
        "whoever was polled once was written: {written}"
    );
}

/// Where a child of [`two_processes_share_one_log`] finds the database.
const CHILD: &str = "COUNTERFOIL_TEST_CHILD_DATABASE";

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_share_one_log() {
    const EACH: usize = 40;
    if let Ok(url) = std::env::var(CHILD) {
        let db = Database { url };
        let (log, reader) = (db.log().await, db.reader().await);
        let name = std::process::id();
        let own = (0..16).map(|n| {
            let log = &log;
            async move {
                for version in 0..10 {
                    log.append(append(&format!("acme/{name}-{n}"), version))
                        .await
                        .unwrap();
                }
            }
        });
        tokio::join!(join_all(own), increment(&log, &reader, "acme/hot", EACH));
        log.close().await;
        return;
    }
    let db = Database::fresh().await;
    let children = [(); 2].map(|()| {
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "concurrency::two_processes_share_one_log"])
            .env(CHILD, &db.url)
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap()
    });
    let log = db.log().await;
    for mut child in children {
        let status = tokio::task::spawn_blocking(move || child.wait().unwrap())
            .await
            .unwrap();
        assert!(status.success());
    }
    let reader = db.reader().await;
    let total = assert_sound(&reader).await;
    assert_eq!(total, 2 * (160 + i64::try_from(EACH).unwrap()));
    assert_eq!(
        reader
            .read_stream("order", "acme/hot", 0)
            .await
            .unwrap()
            .len(),
        2 * EACH
    );
    let mut head = log.watch();
    head.wait_for(|head| *head == total).await.unwrap();
}

#[derive(Debug, Clone)]
struct Step {
    /// Streams, each with an error of the expected version and a number of events.
    streams: Vec<(u8, i8, u8)>,
    claim: Option<u8>,
}

fn step() -> impl Strategy<Value = Step> {
    let wrong = prop_oneof![6 => Just(0_i8), 1 => Just(-1_i8), 1 => Just(1_i8)];
    let streams = prop::collection::vec((0..5_u8, wrong, 1..4_u8), 1..4);
    (streams, prop::option::weighted(0.4, 0..4_u8)).prop_map(|(mut streams, claim)| {
        let mut seen = HashSet::new();
        streams.retain(|(stream, ..)| seen.insert(*stream));
        Step { streams, claim }
    })
}

/// The store as it should be, in a few lines.
#[derive(Default)]
struct Model {
    versions: [u64; 5],
    claims: HashSet<u8>,
}

impl Model {
    /// The append that a step makes, and whether it is to be taken.
    fn append(&mut self, ledger: &str, step: &Step, at_once: bool) -> (Append, bool) {
        let mut append = Append::new(ledger, id());
        let mut next = self.versions;
        let mut taken = true;
        for (number, wrong, count) in &step.streams {
            let version = self.versions[usize::from(*number)];
            // An append that is ahead of its time may be in time for a batch that it did not expect to be in.
            let wrong = if at_once { *wrong.min(&0) } else { *wrong };
            let expected = version.saturating_add_signed(i64::from(wrong));
            taken &= expected == version;
            next[usize::from(*number)] += u64::from(*count);
            let stream = stream(&format!("{ledger}/{number}"), expected, usize::from(*count));
            append = append.stream(stream);
        }
        if let Some(key) = step.claim {
            append = append.claim(claim(&key.to_string()));
            taken &= !self.claims.contains(&key);
        }
        if taken {
            self.versions = next;
            self.claims.extend(step.claim);
        }
        (append, taken)
    }
}

#[test]
fn appends_do_what_the_model_does_in_whatever_batches_they_fall() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let db = runtime.block_on(Database::fresh());
    let (log, other) = runtime.block_on(async { (db.log().await, db.log().await) });
    let ledgers = std::cell::Cell::new(0);
    let config = ProptestConfig {
        cases: 40,
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(20_261_121),
        ..ProptestConfig::default()
    };
    let cases = (prop::collection::vec(step(), 1..25), any::<bool>());
    proptest!(config, |((steps, at_once) in cases)| {
        ledgers.set(ledgers.get() + 1);
        let ledger = format!("l{}", ledgers.get());
        let mut model = Model::default();
        let (appends, expected): (Vec<_>, Vec<_>) =
            steps.iter().map(|step| model.append(&ledger, step, at_once)).unzip();
        let taken: Vec<bool> = runtime.block_on(async {
            if at_once {
                // Queued in order by one caller; the batches are whatever they become.
                let answers = join_all(appends.into_iter().map(|it| log.append(it))).await;
                return answers.iter().map(Result::is_ok).collect();
            }
            let mut taken = Vec::new();
            for (n, append) in appends.into_iter().enumerate() {
                let log = if n % 3 == 2 { &other } else { &log };
                taken.push(log.append(append).await.is_ok());
            }
            taken
        });
        prop_assert_eq!(taken, expected);
    });
    runtime.block_on(async { assert_sound(&db.reader().await).await });
}
