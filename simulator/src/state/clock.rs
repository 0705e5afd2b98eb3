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
    writing: Mutex<()>,
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
            writing: Mutex::new(()),
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
        let _one_at_a_time = self.writing.lock().unwrap_or_else(|it| it.into_inner());
        let ahead_s = self.ahead_s() + i64::from(seconds);
        if let Some(path) = &self.file {
            let fresh = path.with_extension("new");
            std::fs::write(&fresh, serde_json::to_vec(&Stored { ahead_s })?)?;
            std::fs::rename(fresh, path)?;
        }
        self.ahead_s.store(ahead_s, Ordering::SeqCst);
        Ok(())
    }
}

/// Real time, in milliseconds since 1970.
pub fn real_ms() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("the machine's clock is past 1970");
    i64::try_from(since.as_millis()).expect("milliseconds fit for millions of years")
}
