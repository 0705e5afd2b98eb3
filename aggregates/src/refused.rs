//! What Stripe said and was not believed.

use serde::{Deserialize, Serialize};

/// How many are remembered; what was refused before is recorded again when it is said again.
const REMEMBERED_MAX: usize = 32;

/// The observations that were refused, the latest with their reasons: the same is not recorded again, however often and under
/// whatever id it is said.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RefusedObservations(Vec<String>);

impl RefusedObservations {
    /// Whether this was refused for this reason already.
    pub fn hold(&self, said: &str, because: &str) -> bool {
        self.0.contains(&line(said, because))
    }

    /// Takes one in; the oldest makes room.
    pub(crate) fn take(&mut self, said: &str, because: &str) {
        if self.0.len() >= REMEMBERED_MAX {
            self.0.remove(0);
        }
        self.0.push(line(said, because));
    }
}

fn line(said: &str, because: &str) -> String {
    format!("{said}: {because}")
}
