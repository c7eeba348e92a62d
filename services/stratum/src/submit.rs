//! A submit's way: the checks, a proof where one is needed, then the log. Its answer comes from [`Replies`].
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use messages::share_ledger::NewShare;
use messages::validation::{ProofRefusal, VerifyShare};
use runtime::{AskError, Recipient};
use wire::{Reject, Submit};

use crate::ledger_client::LedgerClient;
use crate::pending::Pending;
use crate::replies::Replies;
use crate::session::Session;
use crate::submit_checks::SubmitChecks;

/// How long a proof before the acknowledgement may take, its wait for a lane included.
const PROOF_PATIENCE: Duration = Duration::from_secs(60);

/// One arbiter's submits.
pub(crate) struct SubmitPipeline {
    checks: SubmitChecks,
    /// Proves shares before they are acknowledged.
    prover: Recipient<VerifyShare>,
    ledger: Rc<LedgerClient>,
    replies: Rc<Replies>,
}

impl SubmitPipeline {
    pub(crate) fn new(
        checks: SubmitChecks,
        prover: Recipient<VerifyShare>,
        ledger: Rc<LedgerClient>,
        replies: Rc<Replies>,
    ) -> Rc<SubmitPipeline> {
        Rc::new(SubmitPipeline { checks, prover, ledger, replies })
    }

    /// Takes a submit: refuses it here, or sends it on its way to the log.
    pub(crate) fn submit(
        self: &Rc<Self>,
        session: &Rc<Session>,
        id: u64,
        params: Result<Submit<'_>, Reject>,
        read_at: Instant,
    ) {
        match params.and_then(|submit| self.checks.check(session, id, &submit, read_at)) {
            Ok((pending, share, prove_first)) => {
                session.will_answer();
                if prove_first {
                    runtime::spawn_detached(Rc::clone(self).prove(pending, share));
                } else {
                    self.ledger.append(pending, share);
                }
            }
            Err(reject) => self.replies.reject(session, id, &reject),
        }
    }

    /// Has the hash computed before anything is written or said.
    async fn prove(self: Rc<Self>, mut pending: Pending, mut share: NewShare) {
        let question = VerifyShare {
            line: Arc::clone(&share.line),
            template: Arc::clone(&share.template),
            nonce: share.nonce,
            difficulty: share.difficulty,
            claimed_hash: pending.claimed,
            received_at: share.received_at,
        };
        let reject = match self.prover.ask(question, PROOF_PATIENCE).await {
            Ok(Ok(proven)) => {
                share.verified = true;
                share.claims_block = share.template.network_target.is_met_by(&proven.hash);
                pending.claimed = Some(proven.hash);
                return self.ledger.append(pending, share);
            }
            Ok(Err(ProofRefusal::InvalidProof)) => Reject::InvalidProof,
            Ok(Err(ProofRefusal::LowDifficulty)) => Reject::LowDifficulty,
            Ok(Err(ProofRefusal::HashFailed)) => Reject::HashFailed,
            Ok(Err(ProofRefusal::Busy)) => Reject::ServerBusy,
            Err(AskError::Late) => Reject::ValidationTimeout,
            // Nothing was written, so the same share may be offered again.
            Err(AskError::Busy | AskError::Down | AskError::Lost) => Reject::ServerBusy,
        };
        self.replies.refuse(&pending, &reject);
    }
}
