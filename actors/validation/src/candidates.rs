//! Block candidates on their way to the submitter.
use std::collections::VecDeque;
use std::sync::Arc;

use messages::blocks::SubmitCandidate;
use messages::validation::BookedShare;
use runtime::{Recipient, Refused};
use tracing::error;

use super::CANDIDATES_MAX;

/// What the submitter has not taken yet, in the order of the checks.
pub(crate) struct Candidates {
    submitter: Recipient<SubmitCandidate>,
    /// Each with whether its hash is known to be true.
    waiting: VecDeque<(SubmitCandidate, bool)>,
}

impl Candidates {
    pub(crate) fn new(submitter: Recipient<SubmitCandidate>) -> Candidates {
        Candidates { submitter, waiting: VecDeque::new() }
    }

    /// Hands a candidate to the submitter, at once if it can. `false` when one had to be dropped for it: an unproven one
    /// if there is any, since that is submitted when its check has passed.
    pub(crate) fn hand_over(&mut self, candidate: SubmitCandidate, proven: bool) -> bool {
        self.waiting.push_back((candidate, proven));
        self.send();
        if self.waiting.len() <= CANDIDATES_MAX {
            return true;
        }
        let unproven = self.waiting.iter().position(|(_, proven)| !proven);
        self.waiting.remove(unproven.unwrap_or(0));
        error!("block submitter busy, candidate dropped; a verified one is restored from the share log");
        false
    }

    /// Tries those that wait.
    pub(crate) fn send(&mut self) {
        while let Some((candidate, proven)) = self.waiting.pop_front() {
            if let Err(Refused::Busy(candidate) | Refused::Down(candidate)) = self.submitter.tell(candidate) {
                return self.waiting.push_front((candidate, proven));
            }
        }
    }

    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }
}

/// A share of the log as a candidate.
pub(crate) fn candidate_of(share: &BookedShare) -> SubmitCandidate {
    SubmitCandidate {
        share: share.seq,
        line: Arc::clone(&share.line),
        template: Arc::clone(&share.template),
        nonce: share.nonce,
        received_at: share.received_at,
        session: share.session,
        logged: false,
    }
}
