//! The simulated daemon's wall clock: the machine's, plus an offset that tests move, or standing still.
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

const RUNNING: i64 = i64::MIN;

/// A clock that can be set. It only jumps when told to.
#[derive(Debug)]
pub(crate) struct Clock {
    offset_ms: AtomicI64,
    /// Where it was stopped, without the offset.
    stopped_at_ns: AtomicI64,
}

impl Default for Clock {
    fn default() -> Clock {
        Clock { offset_ms: AtomicI64::new(0), stopped_at_ns: AtomicI64::new(RUNNING) }
    }
}

fn machine_ns() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

impl Clock {
    /// Nanoseconds since the Unix epoch.
    pub(crate) fn now_ns(&self) -> i64 {
        let stopped_at_ns = self.stopped_at_ns.load(Ordering::Relaxed);
        let base_ns = if stopped_at_ns == RUNNING { machine_ns() } else { stopped_at_ns };
        base_ns.saturating_add(self.offset_ms().saturating_mul(1_000_000))
    }

    /// Milliseconds since the Unix epoch.
    pub(crate) fn now_ms(&self) -> i64 {
        self.now_ns().div_euclid(1_000_000)
    }

    /// Seconds since the Unix epoch, as block headers count.
    pub(crate) fn now_secs(&self) -> i64 {
        self.now_ns().div_euclid(1_000_000_000)
    }

    /// How far it is ahead of where it would be.
    pub(crate) fn offset_ms(&self) -> i64 {
        self.offset_ms.load(Ordering::Relaxed)
    }

    /// Moves it to `offset_ms` ahead of where it would be.
    pub(crate) fn set_offset_ms(&self, offset_ms: i64) {
        self.offset_ms.store(offset_ms, Ordering::Relaxed);
    }

    /// Stops it, or lets it run with the machine's again.
    pub(crate) fn stop(&self, is_stopped: bool) {
        self.stopped_at_ns.store(if is_stopped { machine_ns() } else { RUNNING }, Ordering::Relaxed);
    }
}
