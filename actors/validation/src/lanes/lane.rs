//! One lane: a thread with its memory, and what it does with a hash that speaks against somebody.
//!
//! A bit error in two gigabytes makes a true share look false. So such a hash is computed again before it is believed:
//! by another lane, or, where there is one only, in memory that was mapped anew. A lane that was wrong gets new memory.
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use chain::{PowHash, Target};
use crossbeam_channel::{Receiver, Sender, never, select};
use messages::validation::{ProofRefusal, Proven};
use pow::{Arena, HEADER_BASE_BYTES, MemoryKib};
use runtime::Refused;
use tracing::error;
use units::Difficulty;

use super::{Checked, State, Subject, Task};
use crate::metrics::ValidationMetrics;

/// How long a lane rests that finds no memory.
const NO_MEMORY: Duration = Duration::from_secs(1);

/// Computes one hash.
pub(super) type Hasher = Box<dyn FnMut(&mut Arena, &[u8; HEADER_BASE_BYTES], u64) -> [u8; 32] + Send>;

/// A task whose first hash speaks against its miner.
pub(super) struct SecondCheck {
    task: Task,
    first: PowHash,
    /// Who computed it.
    lane: usize,
}

/// What a thread owns.
pub(super) struct Lane {
    pub(super) number: usize,
    pub(super) memory: MemoryKib,
    /// `None` while the system gives none.
    pub(super) arena: Option<Arena>,
    pub(super) hasher: Hasher,
    pub(super) tasks: Receiver<Task>,
    /// What the lane before this one asks.
    pub(super) seconds: Receiver<SecondCheck>,
    /// The lane behind it, if that is another one.
    pub(super) next: Option<Sender<SecondCheck>>,
    pub(super) state: Arc<State>,
    pub(super) metrics: Arc<ValidationMetrics>,
}

/// A hash and what it says; `None` when it could not be computed.
type Finding = Option<(PowHash, Result<Proven, ProofRefusal>)>;

impl Lane {
    /// Serves until nobody gives tasks any more.
    pub(super) fn run(mut self) {
        loop {
            // First what another lane asks: somebody is about to be blamed.
            if let Ok(second) = self.seconds.try_recv() {
                self.check_again(second);
                continue;
            }
            select! {
                recv(self.seconds) -> second => match second {
                    Ok(second) => self.check_again(second),
                    // There is no lane before this one.
                    Err(_) => self.seconds = never(),
                },
                recv(self.tasks) -> task => match task {
                    Ok(task) => self.check(task),
                    Err(_) => return,
                },
            }
        }
    }

    fn check(&mut self, task: Task) {
        match self.hash(&task.subject) {
            Some((first, Err(refusal))) if is_blame(&task.subject, &refusal) => {
                self.metrics.checks_repeated_total.add(1);
                let second = SecondCheck { task, first, lane: self.number };
                let Some(next) = &self.next else {
                    self.map_anew();
                    return self.check_again(second);
                };
                // There is room for as many as there are tasks.
                if let Err(unsent) = next.try_send(second) {
                    self.finish(unsent.into_inner().task, Err(ProofRefusal::HashFailed));
                }
            }
            Some((_, outcome)) => self.finish(task, outcome),
            None => self.finish(task, Err(ProofRefusal::HashFailed)),
        }
    }

    fn check_again(&mut self, SecondCheck { task, first, lane }: SecondCheck) {
        let (outcome, was_wrong) = decide(first, self.hash(&task.subject));
        if was_wrong {
            error!(lane, other = self.number, "two hashes of one share differ, verification memory is replaced");
            self.metrics.lane_faults_total.add(1);
            self.doubt(lane);
            // Which of the two is wrong is known only when the other one found the share true.
            if outcome.is_err() {
                self.doubt(self.number);
            }
        }
        self.finish(task, outcome);
    }

    /// A lane's memory is not to be used any more.
    fn doubt(&self, lane: usize) {
        if self.next.is_some()
            && let Some(doubted) = self.state.doubted.lock().unwrap_or_else(PoisonError::into_inner).get_mut(lane)
        {
            *doubted = true;
        }
    }

    fn is_doubted(&self) -> bool {
        let mut doubted = self.state.doubted.lock().unwrap_or_else(PoisonError::into_inner);
        doubted.get_mut(self.number).is_some_and(std::mem::take)
    }

    /// The old memory goes first: there may be no room for both.
    fn map_anew(&mut self) {
        self.arena = None;
        match Arena::new(self.memory) {
            Ok(arena) => self.arena = Some(arena),
            Err(error) => {
                error!(lane = self.number, %error, "verification lane has no memory, will retry");
                std::thread::sleep(NO_MEMORY);
            }
        }
    }

    fn hash(&mut self, subject: &Subject) -> Finding {
        self.mark(Some(Instant::now()));
        self.metrics.checks_running.add(1);
        if self.arena.is_none() || self.is_doubted() {
            self.map_anew();
        }
        let (arena, hasher) = (&mut self.arena, &mut self.hasher);
        let finding = catch_unwind(AssertUnwindSafe(|| Some(find(hasher, arena.as_mut()?, subject))));
        let finding = finding.unwrap_or_else(|_| {
            error!(lane = self.number, "verification lane panicked; its share stays unverified");
            None
        });
        self.metrics.checks_total.add(1);
        self.metrics.checks_running.sub(1);
        self.mark(None);
        finding
    }

    fn mark(&self, now: Option<Instant>) {
        if let Some(began) = self.state.began.lock().unwrap_or_else(PoisonError::into_inner).get_mut(self.number) {
            *began = now;
        }
    }

    fn finish(&self, Task { subject, tell }: Task, outcome: Result<Proven, ProofRefusal>) {
        // Free before it says so, so that the actor finds it free.
        self.state.busy.fetch_sub(1, Ordering::AcqRel);
        if let Err(Refused::Busy(checked) | Refused::Down(checked)) = tell.tell(Checked { subject, outcome }) {
            self.state.undelivered.lock().unwrap_or_else(PoisonError::into_inner).push_back(checked);
        }
    }
}

/// Whether somebody is blamed for this.
fn is_blame(subject: &Subject, refusal: &ProofRefusal) -> bool {
    match subject {
        Subject::Booked(_) | Subject::Recheck(_) => true,
        Subject::Asked(..) => *refusal == ProofRefusal::InvalidProof,
    }
}

/// What two hashes say together, the first of which spoke against the miner; and whether one of them is wrong. Only two
/// equal hashes are believed.
fn decide(first: PowHash, second: Finding) -> (Result<Proven, ProofRefusal>, bool) {
    match second {
        Some((_, Ok(proven))) => (Ok(proven), true),
        Some((second, refusal)) if second == first => (refusal, false),
        Some(_) => (Err(ProofRefusal::HashFailed), true),
        None => (Err(ProofRefusal::HashFailed), false),
    }
}

fn find(hasher: &mut Hasher, arena: &mut Arena, subject: &Subject) -> (PowHash, Result<Proven, ProofRefusal>) {
    let (template, nonce, difficulty, claimed, claims_block) = match subject {
        Subject::Booked(drawn) | Subject::Recheck(drawn) => {
            let share = &drawn.share;
            (&share.template, share.nonce, share.difficulty, share.claimed_hash, share.claims_block)
        }
        Subject::Asked(share, _) => (&share.template, share.nonce, share.difficulty, share.claimed_hash, false),
    };
    let hash = PowHash(hasher(arena, template.header_base.as_bytes(), nonce.get()));
    let network = &template.network_target;
    // One that comes back from the log has no claimed hash any more, but that it was a block is known.
    if claims_block && !network.is_met_by(&hash) {
        return (hash, Err(ProofRefusal::InvalidProof));
    }
    (hash, judge(hash, claimed, difficulty, network))
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
mod tests;
