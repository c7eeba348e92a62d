//! Logins: who may, and what they get.
use std::mem::take;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Instant;

use crate::close_reason::CloseReason;
use crate::metrics::StratumMetrics;
use chain::{Address, Network};
use messages::facts::{Clock, LocalIds, WorkerIdentity};
use wire::{Capability, Login, LoginRefusal};

use crate::StratumParts;
use crate::active_restrictions::ActiveRestrictions;
use crate::assignment::Assignments;
use crate::job_pusher::JobPusher;
use crate::limits::LOGINS;
use crate::retargeter::Retargeter;
use crate::session::{Miner, Session};

/// One arbiter's logins.
pub(crate) struct Logins {
    network: Network,
    require_claimed_hash: bool,
    /// Local ids of lines.
    ids: Arc<LocalIds>,
    restrictions: Rc<ActiveRestrictions>,
    retargeter: Rc<Retargeter>,
    jobs: Rc<JobPusher>,
    clock: Clock,
    metrics: Arc<StratumMetrics>,
}

impl Logins {
    pub(crate) fn new(
        parts: &StratumParts,
        restrictions: Rc<ActiveRestrictions>,
        jobs: Rc<JobPusher>,
        retargeter: Rc<Retargeter>,
    ) -> Logins {
        Logins {
            network: parts.network,
            require_claimed_hash: parts.settings.require_claimed_hash,
            ids: Arc::clone(&parts.ids),
            restrictions,
            retargeter,
            jobs,
            clock: Arc::clone(&parts.clock),
            metrics: Arc::clone(&parts.metrics),
        }
    }

    /// Answers a login and pushes a job if there is one. A second login on a connection replaces the first.
    pub(crate) fn login(&self, session: &Session, id: u64, params: Result<Login, LoginRefusal>, now: Instant) {
        match params.and_then(|login| self.authorize(session, &login, now).map(|miner| (login, miner))) {
            Ok((login, miner)) => {
                let required = self.require_claimed_hash;
                session.write(|out| wire::write_login_ok(out, id, login.protocol_version, required));
                if !session.counted.replace(true) {
                    self.metrics.stratum_sessions.add(1);
                }
                *session.miner.borrow_mut() = Some(miner);
                self.jobs.push(session);
            }
            Err(refusal) => {
                session.write(|out| wire::write_error(out, id, &refusal));
                if refusal.closes() {
                    session.finish(match refusal {
                        LoginRefusal::TooManyLogins => CloseReason::LoginRate,
                        LoginRefusal::TooManyNames => CloseReason::Names,
                        _ => CloseReason::LoginRefused,
                    });
                }
            }
        }
    }

    fn authorize(&self, session: &Session, login: &Login, now: Instant) -> Result<Miner, LoginRefusal> {
        let mut logins = session.logins.get();
        let in_time = session.place.peer.is_exempt() || logins.admit(1, now, LOGINS);
        session.logins.set(logins);
        if !in_time || !session.place.may_log_in(now) {
            return Err(LoginRefusal::TooManyLogins);
        }
        let address = Address::parse(&login.address, &self.network)
            .map_err(|error| LoginRefusal::MalformedAddress(error.to_string()))?;
        if self.require_claimed_hash {
            if login.protocol_version < 2 {
                return Err(LoginRefusal::VersionRequired);
            }
            if !login.capabilities.has(Capability::SubmitClaimedHash) {
                return Err(LoginRefusal::ClaimedHashRequired);
            }
        }
        let line = WorkerIdentity {
            local_id: self.ids.take(),
            address: address.as_str().into(),
            worker: login.worker.as_str().into(),
            origin: session.origin,
            defined_in: AtomicU64::new(0),
        };
        if let Some(quarantine) = self.restrictions.quarantine(&line, (self.clock)()) {
            return Err(LoginRefusal::Quarantined(Box::new(quarantine)));
        }
        session.place.may_use(&line.address, &login.worker, now)?;
        // The login before on this connection may have been of the same worker.
        self.retargeter.note_measured(session, now);
        let vardiff = self.retargeter.start(&line, login.difficulty_hint, now);
        // What was assigned to the login before stays known: its late shares are told whose job that was.
        let before = &mut *session.miner.borrow_mut();
        let assignments = before.as_mut().map_or_else(Assignments::default, |miner| take(&mut miner.assignments));
        Ok(Miner { line: Arc::new(line), assignments, vardiff, is_owed_job: false })
    }
}
