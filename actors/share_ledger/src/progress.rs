//! What the thread of the disk and that of the fold tell each other.
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use runtime::TraceMark;
use share_log::Durable;
use tracing::Span;

/// What was set aside and is to be in the log again.
#[derive(Debug)]
pub(crate) struct RetriedRows {
    pub(crate) row: i64,
    pub(crate) body: Vec<u8>,
}

/// One at a time: the next is offered when the fold has seen what became of the one before.
#[derive(Debug, Default)]
enum RetrySlot {
    #[default]
    Free,
    Offered(RetriedRows),
    UnderWay,
}

/// What the disk and the fold tell each other.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    durable: Mutex<Durable>,
    /// Grows with every commit; the fold, which knows the truth, sets it after each pass.
    backlog_bytes: AtomicU64,
    /// The first commit that is not folded yet: its trace goes on in the fold.
    trace: Mutex<Option<TraceMark>>,
    retry: Mutex<RetrySlot>,
}

impl Progress {
    /// A log that ends there.
    #[cfg(test)]
    pub(crate) fn at(durable: Durable) -> Progress {
        Progress { durable: Mutex::new(durable), ..Progress::default() }
    }

    pub(crate) fn durable(&self) -> Durable {
        *self.durable.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From the disk, after the sync.
    pub(crate) fn set_durable(&self, durable: Durable) {
        *self.durable.lock().unwrap_or_else(PoisonError::into_inner) = durable;
    }

    /// The trace that the next fold continues.
    pub(crate) fn take_trace(&self) -> Option<TraceMark> {
        self.trace.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Of a commit, unless an earlier one waits for the fold already.
    pub(crate) fn keep_trace(&self, span: &Span) {
        self.trace.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(|| TraceMark::of(span));
    }

    /// Whether nothing is on its way into the log again. Asked before the log's end is looked up: what was on its way
    /// is before that end then.
    pub(crate) fn retry_is_free(&self) -> bool {
        matches!(*self.retry_slot(), RetrySlot::Free)
    }

    /// From the fold.
    pub(crate) fn offer_retry(&self, rows: RetriedRows) {
        *self.retry_slot() = RetrySlot::Offered(rows);
    }

    /// For the disk.
    pub(crate) fn take_retry(&self) -> Option<RetriedRows> {
        let mut slot = self.retry_slot();
        match std::mem::replace(&mut *slot, RetrySlot::UnderWay) {
            RetrySlot::Offered(rows) => Some(rows),
            before => {
                *slot = before;
                None
            }
        }
    }

    /// From the disk: what was offered is in the log, or was given up.
    pub(crate) fn retry_done(&self) {
        *self.retry_slot() = RetrySlot::Free;
    }

    fn retry_slot(&self) -> MutexGuard<'_, RetrySlot> {
        self.retry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set_backlog_bytes(&self, bytes: u64) {
        self.backlog_bytes.store(bytes, Ordering::Relaxed);
    }

    pub(crate) fn add_backlog_bytes(&self, bytes: u64) {
        self.backlog_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn backlog_bytes(&self) -> u64 {
        self.backlog_bytes.load(Ordering::Relaxed)
    }
}
