//! What a submit is answered, and what follows from the answer.
//!
//! What it refuses to do: decide. The checks and the log have.
use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use messages::share_ledger::AppendedShares;
use units::Seq;
use wire::Reject;

use crate::metrics::StratumMetrics;
use crate::pending::Pending;
use crate::reject_log::RejectLog;
use crate::retargeter::Retargeter;
use crate::session::Session;
use crate::validation_queue::ValidationQueue;

/// Said when the log could not decide in time: the share may or may not count.
const UNKNOWN: &str = "share outcome unknown";

/// One arbiter's answers to submits.
pub(crate) struct Replies {
    retargeter: Rc<Retargeter>,
    rejects: Rc<RejectLog>,
    validation: Rc<ValidationQueue>,
    /// The last position that the log has told: what is sent from now on comes behind it.
    last_position: Cell<Seq>,
    metrics: Arc<StratumMetrics>,
}

impl Replies {
    pub(crate) fn new(
        retargeter: Rc<Retargeter>,
        rejects: Rc<RejectLog>,
        validation: Rc<ValidationQueue>,
        metrics: Arc<StratumMetrics>,
    ) -> Rc<Replies> {
        Rc::new(Replies { retargeter, rejects, validation, last_position: Cell::default(), metrics })
    }

    /// Shares that are sent to the log now come behind this position.
    pub(crate) fn last_position(&self) -> Seq {
        self.last_position.get()
    }

    /// Tells miners that their shares are in the log, and Validation that they are there.
    pub(crate) fn accept(&self, pending: &mut [Pending], appended: AppendedShares) {
        let now = Instant::now();
        self.last_position.set(self.last_position.get().max(appended.at.first));
        self.metrics.shares_accepted_total.add(pending.len() as u64);
        for (pending, share) in pending.iter().zip(&appended.shares) {
            let session = &pending.session;
            let difficulty = self.retargeter.accepted(session, share.difficulty, now);
            session.queue(|out| wire::write_submit_ok(out, pending.id, share.verified, difficulty));
        }
        for pending in pending.iter() {
            pending.session.write_out(); // Nothing left to do when its answers left with an earlier one.
            pending.session.answered();
        }
        self.validation.add_logged(pending, appended);
    }

    /// A share is in the log whose miner was told that nobody knows: it counts.
    pub(crate) fn accept_untold(&self, pending: &mut Pending, appended: AppendedShares) {
        self.metrics.shares_accepted_total.add(1);
        self.validation.add_logged(std::slice::from_mut(pending), appended);
    }

    /// Answers a submit that did not pass its checks.
    pub(crate) fn reject(&self, session: &Session, id: u64, reject: &Reject) {
        session.write(|out| wire::write_error(out, id, reject));
        let miner = session.miner.borrow();
        self.rejects.count(miner.as_ref().map(|miner| &miner.line), reject);
    }

    /// Answers a submit that is certainly not in the log, and gives its nonce back.
    pub(crate) fn refuse(&self, pending: &Pending, reject: &Reject) {
        pending.release();
        let session = &pending.session;
        session.write(|out| wire::write_error(out, pending.id, reject));
        let miner = session.miner.borrow();
        // The login may have changed since: the refusal belongs to whom the job was given.
        let job = miner.as_ref().and_then(|miner| miner.assignments.named(pending.job_id));
        self.rejects.count(job.map(|job| &job.line), reject);
        session.answered();
    }

    /// Answers a submit whose outcome nobody knows yet.
    pub(crate) fn unknown(&self, pending: &Pending) {
        self.metrics.shares_unknown_total.add(1);
        pending.session.write(|out| wire::write_error(out, pending.id, UNKNOWN));
        pending.session.answered();
    }
}
