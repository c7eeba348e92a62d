//! Verification lanes: threads that hash, each with a memory arena made once.
//!
//! They outlive the actor: a restart of it must not allocate gigabytes again. At most as many tasks are given out
//! as there are lanes; who waits is the actor's business.
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use chain::{PowHash, Target};
use crossbeam_channel::{Receiver, Sender, bounded};
use messages::facts::WorkerIdentity;
use messages::validation::{BookedShare, ProofRefusal, Proven, VerifyShare};
use pow::{Arena, Kernel, MemoryKib};
use runtime::{Message, Recipient, Refused, Reply};
use tracing::{error, info};
use units::Difficulty;

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
        let memory = MemoryKib::new(memory_kib).ok_or(LanesError::Size(memory_kib))?;
        let (tasks, queue) = bounded(count);
        let state = Arc::new(State::default());
        state.began.lock().unwrap_or_else(PoisonError::into_inner).resize(count, None);
        let mut huge_bytes = 0;
        for lane in 0..count {
            let arena = Arena::new(memory).map_err(|error| LanesError::Memory {
                lane,
                kib: memory_kib,
                why: error.to_string(),
            })?;
            huge_bytes += arena.huge_page_bytes();
            let (queue, state, metrics) = (queue.clone(), Arc::clone(&state), Arc::clone(metrics));
            std::thread::Builder::new()
                .name(format!("pow-{lane}"))
                .spawn(move || serve(lane, arena, &queue, &state, &metrics))
                .map_err(|_| LanesError::Thread(lane))?;
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

fn serve(lane: usize, mut arena: Arena, tasks: &Receiver<Task>, state: &State, metrics: &ValidationMetrics) {
    let kernel = Kernel::detect();
    let mark = |now| {
        if let Some(began) = state.began.lock().unwrap_or_else(PoisonError::into_inner).get_mut(lane) {
            *began = now;
        }
    };
    for Task { subject, tell } in tasks {
        mark(Some(Instant::now()));
        metrics.checks_running.add(1);
        let outcome = catch_unwind(AssertUnwindSafe(|| check(&kernel, &mut arena, &subject)));
        let outcome = outcome.unwrap_or_else(|_| {
            error!(lane, "verification lane panicked; its share stays unverified");
            Err(ProofRefusal::HashFailed)
        });
        metrics.checks_total.add(1);
        metrics.checks_running.sub(1);
        mark(None);
        // Free before it says so, so that the actor finds it free.
        state.busy.fetch_sub(1, Ordering::AcqRel);
        if let Err(Refused::Busy(checked) | Refused::Down(checked)) = tell.tell(Checked { subject, outcome }) {
            state.undelivered.lock().unwrap_or_else(PoisonError::into_inner).push_back(checked);
        }
    }
}

fn check(kernel: &Kernel, arena: &mut Arena, subject: &Subject) -> Result<Proven, ProofRefusal> {
    let (template, nonce, difficulty, claimed, claims_block) = match subject {
        Subject::Booked(drawn) | Subject::Recheck(drawn) => {
            let share = &drawn.share;
            (&share.template, share.nonce, share.difficulty, share.claimed_hash, share.claims_block)
        }
        Subject::Asked(share, _) => (&share.template, share.nonce, share.difficulty, share.claimed_hash, false),
    };
    let hash = PowHash(kernel.hash(arena, template.header_base.as_bytes(), nonce.get()));
    let network = &template.network_target;
    // One that comes back from the log has no claimed hash any more, but that it was a block is known.
    if claims_block && !network.is_met_by(&hash) {
        return Err(ProofRefusal::InvalidProof);
    }
    judge(hash, claimed, difficulty, network)
}

/// A hash that differs from the claim is proof of fraud, whatever it is worth. One that meets the network's target
/// is a block, whatever the share's target is.
fn judge(
    hash: PowHash,
    claimed: Option<PowHash>,
    difficulty: Difficulty,
    network: &Target,
) -> Result<Proven, ProofRefusal> {
    if claimed.is_some_and(|claimed| claimed != hash) {
        return Err(ProofRefusal::InvalidProof);
    }
    if !Target::from_difficulty(difficulty).is_met_by(&hash) && !network.is_met_by(&hash) {
        return Err(ProofRefusal::LowDifficulty);
    }
    Ok(Proven { hash })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_judged_against_the_claim_before_the_target() {
        let (low, high) = (PowHash([0x3f; 32]), PowHash([0xff; 32]));
        let (two, network) = (Difficulty::new(2).unwrap(), Target::from_hashes(1000));
        let judged = |hash, claimed| judge(hash, claimed, two, &network).map(|proven| proven.hash);
        assert_eq!(judged(low, Some(low)), Ok(low));
        assert_eq!(judged(low, None), Ok(low));
        assert_eq!(judged(low, Some(high)), Err(ProofRefusal::InvalidProof));
        assert_eq!(judged(high, Some(low)), Err(ProofRefusal::InvalidProof));
        assert_eq!(judged(high, None), Err(ProofRefusal::LowDifficulty));
    }

    #[test]
    fn a_block_that_misses_the_share_target_is_a_block() {
        let hash = PowHash([0x7f; 32]);
        let hard = Difficulty::new(1_000_000).unwrap();
        assert!(judge(hash, Some(hash), hard, &Target::from_hashes(2)).is_ok());
    }
}
