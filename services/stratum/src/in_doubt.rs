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
use units::{Difficulty, Nonce, Seq};
use wire::Reject;

use crate::LEDGER_PATIENCE;
use crate::ledger_link::Pending;
use crate::shard::StratumShard;

/// Said when the log could not decide in time: the share may or may not count.
const UNKNOWN: &str = "share outcome unknown";

/// The shares of one message.
pub(crate) struct InDoubtShares {
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

/// InDoubtList that wait for the next look.
pub(crate) type InDoubtList = RefCell<Vec<InDoubtShares>>;

impl StratumShard {
    /// Takes shares into doubt that were sent when `after` was the last known position, and has the log asked.
    pub(crate) fn doubt(self: &Rc<Self>, pending: Vec<Pending>, after: Seq) {
        let shares: Vec<_> = pending.into_iter().filter_map(|pending| self.doubtful(pending)).collect();
        self.parts.counters.shares_in_doubt.add(shares.len() as u64);
        let doubt = InDoubtShares { shares, after, since: Instant::now(), told: false };
        actix_rt::spawn(Rc::clone(self).decide(doubt));
    }

    fn doubtful(&self, pending: Pending) -> Option<InDoubtShare> {
        let job = pending.session.miner.borrow().as_ref().and_then(|miner| {
            let job = miner.assignments.named(pending.job_id)?;
            let nonce = job.nonce(pending.offset);
            Some((Arc::clone(&job.line), Arc::clone(&job.template), nonce, job.difficulty))
        });
        let Some((line, template, nonce, difficulty)) = job else {
            // Its job is long forgotten, so no retry can meet the reservation either.
            self.tell_unknown(&pending);
            return None;
        };
        Some(InDoubtShare { pending, line, template, nonce, difficulty })
    }

    /// Asks again about everything that is still in doubt.
    pub(crate) fn look_at_doubts(self: &Rc<Self>) {
        for doubt in self.link.doubts.take() {
            actix_rt::spawn(Rc::clone(self).decide(doubt));
        }
    }

    async fn decide(self: Rc<Self>, mut doubt: InDoubtShares) {
        let shares = doubt.shares.iter().map(|share| (share.template.merkle_root, share.nonce)).collect();
        let question = FindShares { after: doubt.after, shares };
        if let Ok(Ok(found)) = self.parts.finder.ask(question, LEDGER_PATIENCE).await {
            self.parts.counters.shares_in_doubt.sub(doubt.shares.len() as u64);
            let told = doubt.told;
            doubt.shares.into_iter().zip(found).for_each(|(share, logged)| self.settle(share, logged, told));
            return;
        }
        if !doubt.told && doubt.since.elapsed() >= LEDGER_PATIENCE {
            doubt.told = true;
            doubt.shares.iter().for_each(|share| self.tell_unknown(&share.pending));
        }
        self.link.doubts.borrow_mut().push(doubt);
    }

    fn tell_unknown(&self, pending: &Pending) {
        self.parts.counters.shares_unknown_total.add(1);
        pending.session.write(|out| wire::write_error(out, pending.id, UNKNOWN));
        pending.session.answered();
    }

    fn settle(&self, share: InDoubtShare, logged: Option<LoggedShare>, told: bool) {
        let InDoubtShare { mut pending, line, template, nonce, difficulty } = share;
        let Some(LoggedShare { at, received_at, verified, claims_block }) = logged else {
            return if told { self.release(&pending) } else { self.refuse(&pending, &Reject::ServerBusy) };
        };
        let share = NewShare { line, template, nonce, difficulty, received_at, verified, claims_block };
        let appended = AppendedShares { at, shares: vec![share] };
        if told {
            // It counts, whatever the miner was told.
            self.parts.counters.shares_accepted_total.add(1);
            self.owe(std::slice::from_mut(&mut pending), appended);
            self.offer();
        } else {
            self.acknowledge(std::slice::from_mut(&mut pending), appended);
        }
    }
}
