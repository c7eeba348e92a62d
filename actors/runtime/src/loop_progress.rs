//! A sign that an event loop turns: raised on the loop itself, read from any other thread.
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

/// The pulse of one event loop.
#[derive(Debug)]
pub struct LoopProgress {
    name: &'static str,
    beats: AtomicU64,
}

/// Stops the pulse when its loop drops the task, so that nobody takes a loop that has ended for one that hangs.
struct ResetOnDrop<'a>(&'a LoopProgress);

impl LoopProgress {
    /// A pulse that does not beat yet.
    #[must_use]
    pub fn new(name: &'static str) -> Arc<LoopProgress> {
        Arc::new(LoopProgress { name, beats: AtomicU64::new(0) })
    }

    /// Whose it is.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Beats so far; 0 while nobody should look, because the loop does not run yet or has ended.
    #[must_use]
    pub fn beats(&self) -> u64 {
        self.beats.load(Ordering::Relaxed)
    }

    /// Beats for as long as this is polled, which only a loop that turns does.
    pub async fn beat(&self, every: Duration) {
        let _rest = ResetOnDrop(self);
        let mut ticks = interval(every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            self.beats.fetch_add(1, Ordering::Relaxed);
            ticks.tick().await;
        }
    }
}

impl Drop for ResetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.beats.store(0, Ordering::Relaxed);
    }
}
