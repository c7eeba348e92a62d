//! The pure checks of a submit, in their fixed order. No lock that all connections share, no SQL, no hash.
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chain::PowHash;
use messages::facts::Clock;
use messages::share_ledger::NewShare;
use messages::validation::ClaimPermits;
use settings::StratumSettings;
use wire::{Reject, Submit};

use crate::StratumParts;
use crate::active_restrictions::ActiveRestrictions;
use crate::job_pusher::JobPusher;
use crate::metrics::StratumMetrics;
use crate::pending::Pending;
use crate::retargeter::Retargeter;
use crate::session::Session;

/// What of the settings a submit is checked against.
struct SubmitRules {
    rate_max: u32,
    rate_window: Duration,
    stale_grace: Duration,
    require_claimed_hash: bool,
}

/// Checks submits, and reserves the nonces of those that pass.
pub(crate) struct SubmitChecks {
    rules: SubmitRules,
    restrictions: Rc<ActiveRestrictions>,
    /// Says which template is current.
    jobs: Rc<JobPusher>,
    /// Hears of shares that only the submit rate stood against.
    retargeter: Rc<Retargeter>,
    claim_places: Arc<ClaimPermits>,
    clock: Clock,
    metrics: Arc<StratumMetrics>,
}

/// What is kept of a submit that passed, its share, and whether that is to be proven before it is acknowledged.
pub(crate) type Checked = (Pending, NewShare, bool);

impl SubmitRules {
    fn of(settings: &StratumSettings) -> SubmitRules {
        SubmitRules {
            rate_max: settings.submit_rate_max,
            rate_window: settings.submit_rate_window,
            stale_grace: settings.stale_grace,
            require_claimed_hash: settings.require_claimed_hash,
        }
    }
}

impl SubmitChecks {
    pub(crate) fn new(
        parts: &StratumParts,
        restrictions: Rc<ActiveRestrictions>,
        jobs: Rc<JobPusher>,
        retargeter: Rc<Retargeter>,
    ) -> SubmitChecks {
        SubmitChecks {
            rules: SubmitRules::of(&parts.settings),
            restrictions,
            jobs,
            retargeter,
            claim_places: Arc::clone(&parts.claim_places),
            clock: Arc::clone(&parts.clock),
            metrics: Arc::clone(&parts.metrics),
        }
    }

    /// Whether a submit may go on.
    ///
    /// # Errors
    /// What its miner is told. Its nonce is free again, if it ever was reserved.
    pub(crate) fn check(
        &self,
        session: &Rc<Session>,
        id: u64,
        submit: &Submit<'_>,
        read_at: Instant,
    ) -> Result<Checked, Reject> {
        let rules = &self.rules;
        let in_rate = session.rate.borrow_mut().admit(read_at, rules.rate_max, rules.rate_window);
        let checked = self.check_share(session, id, submit, read_at);
        if in_rate {
            return checked.and_then(|checked| self.with_place(checked));
        }
        let Ok((pending, share, _)) = &checked else { return Err(Reject::RateLimited) };
        // A fast miner is not to blame for a difficulty that is still too low, and a block is worth a submit.
        let excused = share.claims_block || self.retargeter.may_become_harder(session);
        if excused && session.place.may_exceed(read_at) {
            return checked.and_then(|checked| self.with_place(checked));
        }
        pending.release();
        self.retargeter.note_excess(pending, share);
        Err(Reject::RateLimited)
    }

    /// A block claim needs a place among those that wait for their check, before anything is promised. One that is
    /// proven first needs none.
    fn with_place(&self, checked: Checked) -> Result<Checked, Reject> {
        let (mut pending, share, prove_first) = checked;
        if share.claims_block && !prove_first {
            pending.claim_place = self.claim_places.take(&share.line.pair());
            if pending.claim_place.is_none() {
                pending.release();
                self.metrics.claims_refused_total.add(1);
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
    ) -> Result<Checked, Reject> {
        let mut miner = session.miner.borrow_mut();
        let miner = miner.as_mut().ok_or(Reject::NotLoggedIn)?;
        let current = self.jobs.current_uid();
        let job = miner.assignments.find(submit.job(), read_at, self.rules.stale_grace, current)?;
        if job.line.address != miner.line.address {
            return Err(Reject::NotAssigned);
        }
        let offset = job.offset(submit.nonce).ok_or(Reject::NonceOutOfRange)?;
        let received_at = (self.clock)();
        if let Some(quarantine) = self.restrictions.quarantine(&miner.line, received_at) {
            return Err(Reject::Quarantined(Box::new(quarantine)));
        }
        let claimed = submit.claim()?.map(PowHash);
        if claimed.is_none() && self.rules.require_claimed_hash {
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
        let prove_first = claimed.is_none() || self.restrictions.is_forced(&miner.line);
        let job_id = job.range.job_id;
        let session = Rc::clone(session);
        Ok((Pending { session, id, job_id, offset, claimed, claim_place: None }, share, prove_first))
    }
}
