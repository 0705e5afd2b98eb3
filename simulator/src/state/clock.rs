use std::io;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// The simulator's clock: real time, less what it began behind it, plus what it was advanced by. The advance survives a restart.
pub struct Clock {
    ahead_s: AtomicI64,
    file: Option<PathBuf>,
    /// When it was advanced, in real milliseconds, and how far ahead of real time it was then.
    advances: Mutex<Vec<(i64, i64)>>,
}

#[derive(Serialize, Deserialize)]
struct Stored {
    ahead_s: i64,
}

impl Clock {
    /// Reads the advance from `file`, where there is one; else the clock begins `behind_s` behind real time.
    ///
    /// # Errors
    /// When the file is there and cannot be read.
    pub fn open(file: Option<PathBuf>, behind_s: u32) -> io::Result<Self> {
        let ahead_s = match &file {
            Some(path) if path.exists() => {
                serde_json::from_slice::<Stored>(&std::fs::read(path)?)?.ahead_s
            }
            _ => -i64::from(behind_s),
        };
        Ok(Self {
            ahead_s: AtomicI64::new(ahead_s),
            file,
            advances: Mutex::new(vec![(real_ms(), ahead_s)]),
        })
    }

    /// Seconds since 1970.
    pub fn now(&self) -> i64 {
        self.now_ms().div_euclid(1_000)
    }

    /// Milliseconds since 1970.
    pub fn now_ms(&self) -> i64 {
        real_ms() + self.ahead_s.load(Ordering::SeqCst) * 1_000
    }

    /// How far ahead of real time it is; negative where it is behind.
    pub fn ahead_s(&self) -> i64 {
        self.ahead_s.load(Ordering::SeqCst)
    }

    /// Moves the clock forward, durably.
    ///
    /// # Errors
    /// When the file cannot be written; the clock then stays as it is.
    pub fn advance(&self, seconds: u32) -> io::Result<()> {
        let mut advances = self.advances.lock().unwrap_or_else(|it| it.into_inner());
        let ahead_s = self.ahead_s() + i64::from(seconds);
        if let Some(path) = &self.file {
            let fresh = path.with_extension("new");
            std::fs::write(&fresh, serde_json::to_vec(&Stored { ahead_s })?)?;
            std::fs::rename(fresh, path)?;
        }
        self.ahead_s.store(ahead_s, Ordering::SeqCst);
        advances.push((real_ms(), ahead_s));
        Ok(())
    }

    /// The real time, in seconds, at which something was done here that this clock says happened at `at`; `at` itself where the
    /// clock was not behind then.
    pub fn real_of(&self, at: i64) -> i64 {
        let advances = self.advances.lock().unwrap_or_else(|it| it.into_inner());
        let mut ends = advances.iter().skip(1);
        let mut real = at;
        for (_, ahead_s) in advances.iter() {
            real = at - ahead_s;
            match ends.next() {
                // It was done before the clock was advanced, or because it was.
                Some((end_ms, after_s)) => {
                    let end = end_ms.div_euclid(1_000);
                    if at <= end + ahead_s {
                        break;
                    }
                    if at < end + after_s {
                        real = end;
                        break;
                    }
                }
                None => break,
            }
        }
        real.max(at)
    }
}

/// Real time, in milliseconds since 1970.
pub fn real_ms() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("the machine's clock is past 1970");
    i64::try_from(since.as_millis()).expect("milliseconds fit for millions of years")
}
