//! What another instance asks of Stripe just now: Stripe says that it still works on the same request, so its outcome is about to
//! be recorded there.

use std::time::{Duration, Instant};

use super::App;
use crate::gateway::{Silence, SilenceKind};

const PAUSE_MIN: Duration = Duration::from_millis(25);
const PAUSE_MAX: Duration = Duration::from_millis(500);

/// For how long it is waited for, and how often it is looked.
pub(super) struct Patience {
    until: Instant,
    pause: Duration,
}

impl App {
    /// As long as a repeated call waits for the running one.
    pub(super) fn patience(&self) -> Patience {
        Patience {
            until: Instant::now() + self.inner.options.join_within,
            pause: PAUSE_MIN,
        }
    }
}

impl Patience {
    /// Waits a little, where the silence means that Stripe still works on the same request. False where it means something
    /// else, and when it has been waited for long enough: the one that asked may be dead, and Stripe slow.
    pub(super) async fn waits_out(&mut self, silence: &Silence) -> bool {
        if silence.kind != SilenceKind::StillRunning || Instant::now() + self.pause > self.until {
            return false;
        }
        tokio::time::sleep(self.pause).await;
        self.pause = (self.pause * 2).min(PAUSE_MAX);
        true
    }
}
