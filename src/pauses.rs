//! How long to wait before something is tried again.

use std::time::Duration;

/// The pause after so many failures in a row (1: the first): `first`, doubling with each one, and never longer than `longest`.
pub fn doubled(first: Duration, longest: Duration, failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(31);
    first.saturating_mul(1 << doublings).min(longest)
}

/// Between half of `full` and all of it, as `chance` says, so that what failed together does not come again together.
pub fn jittered(full: Duration, chance: u32) -> Duration {
    let half = full / 2;
    let more = half.as_micros() * u128::from(chance) / u128::from(u32::MAX);
    half + u64::try_from(more).map_or(half, Duration::from_micros)
}
