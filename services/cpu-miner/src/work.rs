//! The hashing thread: one job at a time, one hash at a time, never faster than asked.
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use chain::PowHash;
use pow::{Arena, Kernel};

use crate::protocol::Job;

/// A hash that meets the share target of the job that was current when it was found.
#[derive(Debug)]
pub(super) struct FoundNonce {
    /// Which assignment; see [`Bench::give`].
    pub(super) turn: u64,
    pub(super) nonce: u64,
    pub(super) hash: PowHash,
}

#[derive(Debug, Default)]
struct Order {
    /// Counts what was given; work of an earlier turn is thrown away.
    turn: u64,
    job: Option<Arc<Job>>,
    is_over: bool,
}

/// Where the connection puts work and the hashing thread takes it.
#[derive(Debug, Default)]
pub(super) struct Bench {
    order: Mutex<Order>,
    changed: Condvar,
}

impl Bench {
    fn change(&self, change: impl FnOnce(&mut Order)) -> u64 {
        let mut order = self.order.lock().unwrap_or_else(PoisonError::into_inner);
        order.turn += 1;
        change(&mut order);
        self.changed.notify_all();
        order.turn
    }

    /// Replaces the work, whatever it was; `None` for nothing to do. Returns the turn of what will be found.
    pub(super) fn give(&self, job: Option<Arc<Job>>) -> u64 {
        self.change(|order| order.job = job)
    }

    /// Ends the hashing thread.
    pub(super) fn close(&self) {
        self.change(|order| order.is_over = true);
    }

    /// Waits until there is other work than `turn`'s, but at most `patience`. `None` when it is over.
    fn look(&self, turn: u64, patience: Option<Duration>) -> Option<(u64, Option<Arc<Job>>)> {
        let order = self.order.lock().unwrap_or_else(PoisonError::into_inner);
        let is_same = |order: &mut Order| order.turn == turn && !order.is_over;
        let order = match patience {
            None => self.changed.wait_while(order, is_same).unwrap_or_else(PoisonError::into_inner),
            Some(patience) if patience.is_zero() => order,
            Some(patience) => {
                let waited = self.changed.wait_timeout_while(order, patience, is_same);
                waited.unwrap_or_else(PoisonError::into_inner).0
            }
        };
        if order.is_over { None } else { Some((order.turn, order.job.clone())) }
    }
}

/// Hashes until the bench is closed. `hash_every` is zero for as fast as it goes.
pub(super) fn run(
    bench: &Bench,
    kernel: Kernel,
    mut arena: Arena,
    hash_every: Duration,
    found: &SyncSender<FoundNonce>,
    mut count_hash: impl FnMut(),
) {
    let mut turn = 0;
    let mut nonce = None;
    let mut next_hash_at = Instant::now();
    loop {
        // Without a nonce there is nothing to do until other work comes.
        let now = Instant::now();
        let patience = nonce.map(|_| next_hash_at.saturating_duration_since(now));
        let Some((now_turn, job)) = bench.look(turn, patience) else { return };
        if now_turn != turn {
            turn = now_turn;
            nonce = job.as_ref().map(|job| job.nonce_start);
            continue;
        }
        let (Some(job), Some(this_nonce)) = (job, nonce) else { continue };
        let hash = PowHash(kernel.hash(&mut arena, job.header_base.as_bytes(), this_nonce));
        count_hash();
        // Lost time is not caught up: the limit is a speed, not an average since the beginning.
        next_hash_at = next_hash_at.max(Instant::now().checked_sub(hash_every).unwrap_or(now)) + hash_every;
        if job.target.is_met_by(&hash) && found.try_send(FoundNonce { turn, nonce: this_nonce, hash }).is_err() {
            tracing::warn!("a share is dropped: too many wait already");
        }
        nonce = this_nonce.checked_add(1).filter(|next| *next <= job.nonce_end);
    }
}
