//! Submits under way: what is kept of each between its checks and its answer.
use std::rc::Rc;
use std::time::Duration;

use chain::PowHash;
use messages::validation::ClaimPermit;

use crate::session::Session;

/// How long the ledger may take for one message. Longer means that the disk hangs.
pub(crate) const LEDGER_PATIENCE: Duration = Duration::from_secs(10);

/// A submit that passed every check and waits for the log: what is kept here of it. The share itself goes to the
/// ledger and comes back with its answer.
pub(crate) struct Pending {
    pub(crate) session: Rc<Session>,
    pub(crate) id: u64,
    pub(crate) job_id: u64,
    pub(crate) offset: u32,
    pub(crate) claimed: Option<PowHash>,
    /// Of a block claim that is to be checked later.
    pub(crate) claim_place: Option<ClaimPermit>,
}

impl Pending {
    /// Gives its nonce back: its share is certainly not in the log.
    pub(crate) fn release(&self) {
        if let Some(miner) = self.session.miner.borrow_mut().as_mut() {
            miner.assignments.release(self.job_id, self.offset);
        }
    }
}
