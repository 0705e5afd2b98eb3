//! How large a campaign is, what it is drawn from, and the line that it ends with.

use crate::book::{Book, Found};
use counterfoil::use_cases::Recovery;
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::time::{Duration, Instant};

use crate::support::Setup;

/// A size from the environment, or that of the slice in `make test`.
pub fn size(name: &str, slice: u64) -> u64 {
    let given = std::env::var(name).ok();
    given.map_or(slice, |it| {
        it.parse()
            .unwrap_or_else(|_| panic!("{name} is no number: {it}"))
    })
}

/// A campaign under way.
pub struct Campaign {
    name: &'static str,
    pub seed: u64,
    began: Instant,
}

impl Campaign {
    /// With `CF_LOG` the services' log is shown, as far as its directives go.
    pub fn begin(name: &'static str) -> Self {
        if let Ok(filter) = std::env::var("CF_LOG") {
            // Another campaign of this process may have done so already.
            let _ = tracing_subscriber::fmt().with_env_filter(filter).try_init();
        }
        Self {
            name,
            seed: size("CF_SEED", 1),
            began: Instant::now(),
        }
    }

    /// Chance of its own, beside the callers'.
    pub fn rng(&self) -> StdRng {
        StdRng::seed_from_u64(self.seed)
    }

    /// Prints the figures.
    ///
    /// # Panics
    /// When anything is lost, doubled or wrong.
    pub fn end(self, what: &str, book: &Book, found: &Found) {
        let Book {
            acknowledged,
            attempts,
            cut,
            turned_away,
            ..
        } = book;
        let (lost, doubled, wrong) = (found.lost.len(), found.doubled.len(), found.wrong.len());
        println!(
            "campaign {}: {what}; {acknowledged} commands acknowledged in {attempts} attempts ({cut} cut off, {turned_away} turned away); \
             lost {lost}, doubled {doubled}, wrong {wrong}; seed {}, {:.0} s",
            self.name,
            self.seed,
            self.began.elapsed().as_secs_f64(),
        );
        assert!(lost + doubled + wrong == 0, "{found:#?}");
    }
}

/// Says that a campaign could not be run here, and why.
pub fn skipped(name: &str, why: &str) {
    println!("campaign {name}: SKIPPED: {why}");
    assert!(
        std::env::var("CF_FULL").is_err(),
        "a whole campaign leaves nothing out: {why}"
    );
}

/// A service whose recovery goes to work soon and comes again soon.
pub fn brisk() -> Setup {
    Setup {
        recovery: Recovery {
            every: Duration::from_millis(500),
            older_than: Duration::from_secs(5),
            pause_min: Duration::from_millis(100),
            pause_max: Duration::from_secs(1),
            ..Recovery::default()
        },
        ..Setup::default()
    }
}
