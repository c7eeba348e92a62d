//! The pure checks of a submit, in their fixed order. No lock that all connections share, no SQL, no hash.
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use chain::PowHash;
use messages::facts::WorkerIdentity;
use messages::share_ledger::NewShare;
use messages::validation::{ProofRefusal, VerifyShare};
use runtime::AskError;
use wire::{Reject, Submit};

use crate::PROOF_PATIENCE;
use crate::ledger_link::Pending;
use crate::session::Session;
use crate::shard::StratumShard;

impl StratumShard {
    /// Takes a submit: refuses it here, or sends it on its way to the log.
    pub(crate) fn submit(
        self: &Rc<Self>,
        session: &Rc<Session>,
        id: u64,
        params: Result<Submit<'_>, Reject>,
        read_at: Instant,
    ) {
        match params.and_then(|submit| self.check(session, id, &submit, read_at)) {
            Ok((pending, share, prove_first)) => {
                session.under_way.set(session.under_way.get() + 1);
                if prove_first {
                    actix_rt::spawn(Rc::clone(self).prove(pending, share));
                } else {
                    self.append(pending, share);
                }
            }
            Err(reject) => {
                session.write(|out| wire::write_error(out, id, &reject));
                let miner = session.miner.borrow();
                self.count_reject(miner.as_ref().map(|miner| &miner.line), &reject);
            }
        }
    }

    fn count_reject(&self, line: Option<&Arc<WorkerIdentity>>, reject: &Reject) {
        let counters = &self.parts.counters;
        match reject {
            Reject::ServerBusy => counters.shares_busy_total.add(1),
            _ => {
                counters.shares_rejected_total.add(1);
                counters.shares_rejected.add(reject.code());
            }
        }
        if let Some(line) = line
            && !self.rejects.borrow_mut().count(line, reject.code(), (self.parts.clock)().minute())
        {
            counters.rejects_uncounted_total.add(1);
        }
    }

    fn check(
        &self,
        session: &Rc<Session>,
        id: u64,
        submit: &Submit<'_>,
        read_at: Instant,
    ) -> Result<(Pending, NewShare, bool), Reject> {
        let settings = &self.parts.settings;
        let in_rate = session.rate.borrow_mut().admit(read_at, settings.submit_rate_max, settings.submit_rate_window);
        let checked = self.check_share(session, id, submit, read_at);
        if in_rate {
            return checked.and_then(|checked| self.with_place(checked));
        }
        let Ok((pending, share, _)) = &checked else { return Err(Reject::RateLimited) };
        // A fast miner is not to blame for a difficulty that is still too low, and a block is worth a submit.
        let excused = share.claims_block || self.may_become_harder(session);
        if excused && session.place.may_exceed(read_at) {
            return checked.and_then(|checked| self.with_place(checked));
        }
        self.release(pending);
        self.note_excess(pending, share);
        Err(Reject::RateLimited)
    }

    /// A block claim needs a place among those that wait for their check, before anything is promised. One that is
    /// proven first needs none.
    fn with_place(&self, checked: (Pending, NewShare, bool)) -> Result<(Pending, NewShare, bool), Reject> {
        let (mut pending, share, prove_first) = checked;
        if share.claims_block && !prove_first {
            pending.claim_place = self.parts.claim_places.take(&share.line.pair());
            if pending.claim_place.is_none() {
                self.release(&pending);
                self.parts.counters.claims_refused_total.add(1);
                return Err(Reject::ServerBusy);
            }
        }
        Ok((pending, share, prove_first))
    }

    /// Everything but the rate and the place.
    fn check_share(
        &self,
        session: &Rc<Session>,
        id: u64,
        submit: &Submit<'_>,
        read_at: Instant,
    ) -> Result<(Pending, NewShare, bool), Reject> {
        let settings = &self.parts.settings;
        let mut miner = session.miner.borrow_mut();
        let miner = miner.as_mut().ok_or(Reject::NotLoggedIn)?;
        let job = miner.assignments.find(submit.job(), read_at, settings.stale_grace, self.current_uid())?;
        if job.line.address != miner.line.address {
            return Err(Reject::NotAssigned);
        }
        let offset = job.offset(submit.nonce).ok_or(Reject::NonceOutOfRange)?;
        let received_at = (self.parts.clock)();
        if let Some(quarantine) = self.quarantine(&miner.line, received_at) {
            return Err(Reject::Quarantined(Box::new(quarantine)));
        }
        let claimed = submit.claim()?.map(PowHash);
        if claimed.is_none() && settings.require_claimed_hash {
            return Err(Reject::ClaimedHashRequired);
        }
        // A block is a block, whatever the share target is.
        let claims_block = claimed.is_some_and(|hash| job.template.network_target.is_met_by(&hash));
        if claimed.is_some_and(|hash| !claims_block && !job.target.is_met_by(&hash)) {
            return Err(Reject::LowDifficulty);
        }
        job.reserve(offset)?;
        let share = NewShare {
            line: Arc::clone(&miner.line),
            template: Arc::clone(&job.template),
            nonce: submit.nonce,
            difficulty: job.difficulty,
            received_at,
            verified: false,
            claims_block,
        };
        let prove_first = claimed.is_none() || self.is_forced(&miner.line);
        let job_id = job.range.job_id;
        let session = Rc::clone(session);
        Ok((Pending { session, id, job_id, offset, claimed, claim_place: None }, share, prove_first))
    }

    fn is_forced(&self, line: &WorkerIdentity) -> bool {
        let restrictions = self.restrictions.borrow();
        !restrictions.forced.is_empty() && restrictions.forced.contains(&line.pair())
    }

    /// Has the hash computed before anything is written or said.
    async fn prove(self: Rc<Self>, mut pending: Pending, mut share: NewShare) {
        let question = VerifyShare {
            line: Arc::clone(&share.line),
            template: Arc::clone(&share.template),
            nonce: share.nonce,
            difficulty: share.difficulty,
            claimed_hash: pending.claimed,
        };
        match self.parts.prover.ask(question, PROOF_PATIENCE).await {
            Ok(Ok(proven)) => {
                share.verified = true;
                share.claims_block = share.template.network_target.is_met_by(&proven.hash);
                pending.claimed = Some(proven.hash);
                self.append(pending, share);
            }
            Ok(Err(ProofRefusal::InvalidProof)) => self.refuse(&pending, &Reject::InvalidProof),
            Ok(Err(ProofRefusal::LowDifficulty)) => self.refuse(&pending, &Reject::LowDifficulty),
            Ok(Err(ProofRefusal::HashFailed)) => self.refuse(&pending, &Reject::HashFailed),
            Ok(Err(ProofRefusal::Busy)) => self.refuse(&pending, &Reject::ServerBusy),
            Err(AskError::Late) => self.refuse(&pending, &Reject::ValidationTimeout),
            // Nothing was written, so the same share may be offered again.
            Err(AskError::Busy | AskError::Down | AskError::Lost) => self.refuse(&pending, &Reject::ServerBusy),
        }
    }

    /// Answers a submit that is certainly not in the log, and gives its nonce back.
    pub(crate) fn refuse(&self, pending: &Pending, reject: &Reject) {
        self.release(pending);
        let session = &pending.session;
        session.write(|out| wire::write_error(out, pending.id, reject));
        let miner = session.miner.borrow();
        // The login may have changed since: the refusal belongs to whom the job was given.
        let job = miner.as_ref().and_then(|miner| miner.assignments.named(pending.job_id));
        self.count_reject(job.map(|job| &job.line), reject);
        session.answered();
    }

    pub(crate) fn release(&self, pending: &Pending) {
        if let Some(miner) = pending.session.miner.borrow_mut().as_mut() {
            miner.assignments.release(pending.job_id, pending.offset);
        }
    }
}
