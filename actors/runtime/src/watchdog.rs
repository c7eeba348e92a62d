//! Sees what no supervisor can: an arbiter that does not turn, because something on it burns its thread. A plain thread
//! that counts heartbeats. It measures in its own wake-ups and not by a clock, so a process that was frozen and
//! thawed is not taken for a stuck one.
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crate::core::Core;
use crate::supervisor::part_of;

/// An actor's arbiter has stopped turning. Nothing inside the process can help.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("actor {actor} has blocked its thread for {stuck_for:?}")]
pub struct Stuck {
    /// Whose arbiter.
    pub actor: &'static str,
    /// For how long, at least.
    pub stuck_for: Duration,
}

/// Dropping it ends the thread.
pub(crate) struct Watchdog {
    watched: Arc<Mutex<Vec<Watched>>>,
    /// Never used to send: its end is the thread's end.
    _end: Sender<()>,
}

struct Watched {
    core: Arc<Core>,
    patience: Duration,
    pulse: u64,
    stuck_for: Duration,
}

// === impl Watchdog ===

impl Watchdog {
    pub(crate) fn start(on_stuck: impl FnOnce(Stuck) + Send + 'static) -> std::io::Result<Self> {
        let watched = Arc::new(Mutex::new(Vec::new()));
        let (end, ended) = channel();
        let list = Arc::clone(&watched);
        thread::Builder::new().name("watchdog".to_owned()).spawn(move || {
            if let Some(stuck) = look(&list, &ended) {
                on_stuck(stuck);
            }
        })?;
        Ok(Watchdog { watched, _end: end })
    }

    pub(crate) fn watch(&self, core: Arc<Core>, stall_after: Duration) {
        let patience = stall_after.saturating_mul(2);
        let new = Watched { core, patience, pulse: 0, stuck_for: Duration::ZERO };
        self.watched.lock().unwrap_or_else(PoisonError::into_inner).push(new);
    }
}

fn look(list: &Mutex<Vec<Watched>>, ended: &Receiver<()>) -> Option<Stuck> {
    let mut period = part_of(Duration::ZERO);
    while ended.recv_timeout(period) == Err(RecvTimeoutError::Timeout) {
        let mut list = list.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(stuck) = list.iter_mut().find_map(|watched| watched.look(period)) {
            return Some(stuck);
        }
        period = part_of(list.iter().map(|watched| watched.patience).min().unwrap_or_default() / 2);
    }
    None
}

// === impl Watched ===

impl Watched {
    fn look(&mut self, since_last: Duration) -> Option<Stuck> {
        let pulse = self.core.pulse.beats();
        if pulse != self.pulse || pulse == 0 {
            self.pulse = pulse;
            self.stuck_for = Duration::ZERO;
            return None;
        }
        self.stuck_for += since_last;
        (self.stuck_for > self.patience).then(|| Stuck { actor: self.core.name, stuck_for: self.stuck_for })
    }
}
