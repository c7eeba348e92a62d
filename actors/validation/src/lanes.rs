//! Verification lanes: threads that hash, each with a memory arena made once.
//!
//! A hash that speaks against a miner is computed twice before it is said ([`lane`]).
//!
//! They outlive the actor: a restart of it must not allocate gigabytes again. At most as many tasks are given out
//! as there are lanes; who waits is the actor's business.
mod lane;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

#[cfg(test)]
use crossbeam_channel::Receiver;
use crossbeam_channel::{Sender, bounded};
use messages::facts::WorkerIdentity;
use messages::validation::{BookedShare, ProofRefusal, Proven, VerifyShare};
use pow::{Arena, Kernel, MemoryKib};
use runtime::{Message, Recipient, Reply};
use tracing::info;

use self::lane::{Hasher, Lane};
use crate::metrics::ValidationMetrics;
use crate::stake::CheckChance;

/// A share of the log that is to be hashed.
pub(crate) struct DrawnShare {
    pub(crate) share: BookedShare,
    /// How likely that was when it was drawn.
    pub(crate) chance: CheckChance,
}

/// What is to be hashed, and for whom.
pub(crate) enum Subject {
    /// An acknowledged share.
    Booked(Box<DrawnShare>),
    /// A share from the books.
    Recheck(Box<DrawnShare>),
    /// A share that waits for its proof.
    Asked(Box<VerifyShare>, Reply<VerifyShare>),
}

/// A lane has finished. Sent to the actor.
pub struct Checked {
    pub(crate) subject: Subject,
    pub(crate) outcome: Result<Proven, ProofRefusal>,
}

impl Message for Checked {
    type Reply = ();
    const NAME: &'static str = "checked";
    const URGENT: bool = true;
}

impl Subject {
    pub(crate) fn line(&self) -> &WorkerIdentity {
        match self {
            Subject::Booked(drawn) | Subject::Recheck(drawn) => &drawn.share.line,
            Subject::Asked(share, _) => &share.line,
        }
    }
}

pub(crate) struct Task {
    pub(crate) subject: Subject,
    tell: Recipient<Checked>,
}

/// The lanes of this process.
pub struct Lanes {
    tasks: Sender<Task>,
    state: Arc<State>,
    count: usize,
}

#[derive(Default)]
struct State {
    busy: AtomicUsize,
    /// When each lane began what it is doing.
    began: Mutex<Vec<Option<Instant>>>,
    /// Which lanes' memory is to be mapped anew before the next hash.
    doubted: Mutex<Vec<bool>>,
    /// Results that the actor could not take; it looks here with every message. A lane is free before its result is
    /// taken, so there may be more of them than lanes: as many as were begun since the actor looked last.
    undelivered: Mutex<VecDeque<Checked>>,
}

/// Why the lanes did not start.
#[derive(Debug, thiserror::Error)]
pub enum LanesError {
    /// Memory of that size cannot be had.
    #[error("validation.lanes: memory of lane {lane} ({kib} KiB) cannot be allocated: {why}")]
    Memory {
        /// Which lane.
        lane: usize,
        /// Its size.
        kib: u32,
        /// What the system said.
        why: String,
    },
    /// A setting that the hash does not know.
    #[error("validation.pow_memory_kib: {0} KiB is not a size that the hash can use")]
    Size(u32),
    /// No thread.
    #[error("validation.lanes: thread of lane {0} cannot be started")]
    Thread(usize),
}

impl Lanes {
    /// Allocates and touches every lane's arena, then starts the threads.
    ///
    /// # Errors
    /// When memory or threads cannot be had: too many lanes must be known at start, not at the first share.
    pub fn start(count: usize, memory_kib: u32, metrics: &Arc<ValidationMetrics>) -> Result<Arc<Lanes>, LanesError> {
        Lanes::start_with(count, memory_kib, metrics, |_| {
            let kernel = Kernel::detect();
            Box::new(move |arena, header, nonce| kernel.hash(arena, header, nonce))
        })
    }

    fn start_with(
        count: usize,
        memory_kib: u32,
        metrics: &Arc<ValidationMetrics>,
        hasher: impl Fn(usize) -> Hasher,
    ) -> Result<Arc<Lanes>, LanesError> {
        let memory = MemoryKib::new(memory_kib).ok_or(LanesError::Size(memory_kib))?;
        let (tasks, queue) = bounded(count);
        let state = Arc::new(State::default());
        state.began.lock().unwrap_or_else(PoisonError::into_inner).resize(count, None);
        state.doubted.lock().unwrap_or_else(PoisonError::into_inner).resize(count, false);
        let seconds: Vec<_> = (0..count).map(|_| bounded(count)).collect();
        let mut huge_bytes = 0;
        for lane in 0..count {
            let arena = Arena::new(memory).map_err(|error| LanesError::Memory {
                lane,
                kib: memory_kib,
                why: error.to_string(),
            })?;
            huge_bytes += arena.huge_page_bytes();
            let another = (lane + 1) % count;
            let lane = Lane {
                number: lane,
                memory,
                arena: Some(arena),
                hasher: hasher(lane),
                tasks: queue.clone(),
                seconds: seconds[lane].1.clone(),
                next: (another != lane).then(|| seconds[another].0.clone()),
                state: Arc::clone(&state),
                metrics: Arc::clone(metrics),
            };
            let number = lane.number;
            std::thread::Builder::new()
                .name(format!("pow-{number}"))
                .spawn(move || lane.run())
                .map_err(|_| LanesError::Thread(number))?;
        }
        info!(lanes = count, memory_kib, huge_bytes, "verification lanes are ready");
        Ok(Arc::new(Lanes { tasks, state, count }))
    }

    /// Lanes that no thread serves: a test takes the tasks and says what came out.
    #[cfg(test)]
    pub(crate) fn scripted(count: usize) -> (Arc<Lanes>, Receiver<Task>) {
        let (tasks, queue) = bounded(count);
        (Arc::new(Lanes { tasks, state: Arc::default(), count }), queue)
    }

    /// A lane of [`Lanes::scripted`] is free again.
    #[cfg(test)]
    pub(crate) fn release(&self) {
        self.state.busy.fetch_sub(1, Ordering::AcqRel);
    }

    /// Whether a lane is free.
    pub(crate) fn is_free(&self) -> bool {
        self.busy() < self.count
    }

    /// Gives a task to a free lane, or gives it back.
    pub(crate) fn offer(&self, subject: Subject, tell: &Recipient<Checked>) -> Result<(), Subject> {
        let taken = self
            .state
            .busy
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |busy| (busy < self.count).then_some(busy + 1));
        if taken.is_err() {
            return Err(subject);
        }
        self.tasks.try_send(Task { subject, tell: tell.clone() }).map_err(|refused| {
            self.state.busy.fetch_sub(1, Ordering::AcqRel);
            refused.into_inner().subject
        })
    }

    /// Lanes that hash now.
    pub(crate) fn busy(&self) -> usize {
        self.state.busy.load(Ordering::Acquire)
    }

    /// A result that could not be delivered.
    pub(crate) fn undelivered(&self) -> Option<Checked> {
        self.state.undelivered.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    /// How long the longest hash has been running.
    pub(crate) fn longest(&self) -> Duration {
        let began = self.state.began.lock().unwrap_or_else(PoisonError::into_inner);
        began.iter().flatten().map(Instant::elapsed).max().unwrap_or_default()
    }
}
