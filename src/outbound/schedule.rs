//! When a delivery that failed is tried again.

use std::time::Duration;

use crate::pauses;

/// How long the pauses between attempts are, and when it is enough.
#[derive(Debug, Clone, Copy)]
pub struct Schedule {
    /// After the first failure; it doubles from there.
    pub pause_first: Duration,
    /// The longest pause.
    pub pause_max: Duration,
    /// A delivery is given up when its next attempt would come later than this.
    pub keep_trying_for: Duration,
}

impl Default for Schedule {
    /// Half a minute, doubling up to six hours, for three days, as long as Stripe.
    fn default() -> Self {
        Self {
            pause_first: Duration::from_secs(30),
            pause_max: Duration::from_secs(6 * 3600),
            keep_trying_for: Duration::from_secs(3 * 24 * 3600),
        }
    }
}

impl Schedule {
    /// The pause after so many failures in a row (1: the first), of a delivery that is `age` old, [jittered](pauses::jittered)
    /// by `chance`. None when it is enough.
    pub fn pause(&self, failures: u32, age: Duration, chance: u32) -> Option<Duration> {
        let full = pauses::doubled(self.pause_first, self.pause_max, failures);
        let pause = pauses::jittered(full, chance);
        (age + pause <= self.keep_trying_for).then_some(pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEW: Duration = Duration::ZERO;

    #[test]
    fn pauses_double_up_to_the_longest_and_lie_between_half_and_all_of_it() {
        let schedule = Schedule::default();
        for (failures, full_s) in [
            (1, 30),
            (2, 60),
            (3, 120),
            (10, 15_360),
            (11, 21_600),
            (40, 21_600),
            (u32::MAX, 21_600),
        ] {
            let full = Duration::from_secs(full_s);
            assert_eq!(schedule.pause(failures, NEW, 0), Some(full / 2));
            assert_eq!(schedule.pause(failures, NEW, u32::MAX), Some(full));
            let middle = schedule.pause(failures, NEW, u32::MAX / 2).unwrap();
            assert!(full / 2 < middle && middle < full, "{middle:?}");
        }
    }

    /// Planted bug: doubling without an end, or never giving up, makes it another number of attempts, or none.
    #[test]
    fn a_dead_endpoint_is_tried_for_three_days_and_then_given_up() {
        let schedule = Schedule::default();
        for chance in [0, u32::MAX] {
            let (mut age, mut failures) = (NEW, 1);
            while let Some(pause) = schedule.pause(failures, age, chance) {
                age += pause;
                failures += 1;
                assert!(failures < 100, "it never ends");
            }
            assert!(age <= schedule.keep_trying_for);
            assert!(age > schedule.keep_trying_for - schedule.pause_max);
        }
    }
}
