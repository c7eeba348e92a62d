//! Shares whose answer from the ledger was lost or late: the log decides.
//!
//! The miner's answer waits for that, for a while: who reads the log again mostly knows within a moment, and a real
//! client neither asks again nor offers the share again. Until it is decided the nonces stay reserved.
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use messages::facts::{Template, WorkerIdentity};
use messages::share_ledger::{AppendedShares, FindShares, LoggedShare, NewShare};
use runtime::Recipient;
use units::{Difficulty, Nonce, Seq};
use wire::Reject;

use crate::metrics::StratumMetrics;
use crate::pending::{LEDGER_PATIENCE, Pending};
use crate::replies::Replies;

/// One arbiter's shares in doubt.
pub(crate) struct InDoubtShares {
    /// Those that wait for the next look.
    waiting: RefCell<Vec<InDoubtBatch>>,
    finder: Recipient<FindShares>,
    replies: Rc<Replies>,
    metrics: Arc<StratumMetrics>,
}

/// The shares of one message.
struct InDoubtBatch {
    shares: Vec<InDoubtShare>,
    /// They can only be behind this position.
    after: Seq,
    since: Instant,
    /// The miners were told that nobody knows.
    told: bool,
}

struct InDoubtShare {
    pending: Pending,
    line: Arc<WorkerIdentity>,
    template: Arc<Template>,
    nonce: Nonce,
    difficulty: Difficulty,
}

impl InDoubtShares {
    pub(crate) fn new(
        finder: Recipient<FindShares>,
        replies: Rc<Replies>,
        metrics: Arc<StratumMetrics>,
    ) -> Rc<InDoubtShares> {
        Rc::new(InDoubtShares { waiting: RefCell::default(), finder, replies, metrics })
    }

    /// Takes shares that were sent when `after` was the last known position, and has the log asked.
    pub(crate) fn add(self: &Rc<Self>, pending: Vec<Pending>, after: Seq) {
        let shares: Vec<_> = pending.into_iter().filter_map(|pending| self.in_doubt(pending)).collect();
        self.metrics.shares_in_doubt.add(shares.len() as u64);
        let batch = InDoubtBatch { shares, after, since: Instant::now(), told: false };
        runtime::spawn_detached(Rc::clone(self).decide(batch));
    }

    fn in_doubt(&self, pending: Pending) -> Option<InDoubtShare> {
        let job = pending.session.miner.borrow().as_ref().and_then(|miner| {
            let job = miner.assignments.named(pending.job_id)?;
            let nonce = job.nonce(pending.offset);
            Some((Arc::clone(&job.line), Arc::clone(&job.template), nonce, job.difficulty))
        });
        let Some((line, template, nonce, difficulty)) = job else {
            // Its job is long forgotten, so no retry can meet the reservation either.
            self.replies.unknown(&pending);
            return None;
        };
        Some(InDoubtShare { pending, line, template, nonce, difficulty })
    }

    /// Asks again about everything that is still in doubt.
    pub(crate) fn ask_again(self: &Rc<Self>) {
        for batch in self.waiting.take() {
            runtime::spawn_detached(Rc::clone(self).decide(batch));
        }
    }

    async fn decide(self: Rc<Self>, mut batch: InDoubtBatch) {
        let shares = batch.shares.iter().map(|share| (share.template.merkle_root, share.nonce)).collect();
        let question = FindShares { after: batch.after, shares };
        if let Ok(Ok(found)) = self.finder.ask(question, LEDGER_PATIENCE).await {
            self.metrics.shares_in_doubt.sub(batch.shares.len() as u64);
            let told = batch.told;
            batch.shares.into_iter().zip(found).for_each(|(share, logged)| self.settle(share, logged, told));
            return;
        }
        if !batch.told && batch.since.elapsed() >= LEDGER_PATIENCE {
            batch.told = true;
            batch.shares.iter().for_each(|share| self.replies.unknown(&share.pending));
        }
        self.waiting.borrow_mut().push(batch);
    }

    fn settle(&self, share: InDoubtShare, logged: Option<LoggedShare>, told: bool) {
        let InDoubtShare { mut pending, line, template, nonce, difficulty } = share;
        let Some(LoggedShare { at, received_at, verified, claims_block }) = logged else {
            return if told { pending.release() } else { self.replies.refuse(&pending, &Reject::ServerBusy) };
        };
        let share = NewShare { line, template, nonce, difficulty, received_at, verified, claims_block };
        let appended = AppendedShares { at, shares: vec![share] };
        if told {
            self.replies.accept_untold(&mut pending, appended);
        } else {
            self.replies.accept(std::slice::from_mut(&mut pending), appended);
        }
    }
}
