//! Logins: who may, and what they get.
use std::mem::take;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Instant;

use chain::Address;
use messages::closed::CloseReason;
use messages::facts::WorkerIdentity;
use units::{Difficulty, Timestamp};
use wire::{Capability, Login, LoginRefusal};

use crate::assignment::Assignments;
use crate::hints::{Hint, Worker};
use crate::limits::LOGINS;
use crate::session::{Miner, Session};
use crate::shard::StratumShard;
use crate::vardiff::{Known, Start, Vardiff};

impl StratumShard {
    /// Answers a login and pushes a job if there is one. A second login on a connection replaces the first.
    pub(crate) fn login(&self, session: &Rc<Session>, id: u64, params: Result<Login, LoginRefusal>, now: Instant) {
        match params.and_then(|login| self.authorize(session, &login, now).map(|miner| (login, miner))) {
            Ok((login, miner)) => {
                let required = self.parts.settings.require_claimed_hash;
                session.write(|out| wire::write_login_ok(out, id, login.protocol_version, required));
                if !session.counted.replace(true) {
                    self.parts.counters.stratum_sessions.add(1);
                }
                *session.miner.borrow_mut() = Some(miner);
                self.push_job(session);
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
        let address = Address::parse(&login.address, &self.parts.network)
            .map_err(|error| LoginRefusal::MalformedAddress(error.to_string()))?;
        if self.parts.settings.require_claimed_hash {
            if login.protocol_version < 2 {
                return Err(LoginRefusal::VersionRequired);
            }
            if !login.capabilities.has(Capability::SubmitClaimedHash) {
                return Err(LoginRefusal::ClaimedHashRequired);
            }
        }
        let line = WorkerIdentity {
            local_id: self.parts.ids.take(),
            address: address.as_str().into(),
            worker: login.worker.as_str().into(),
            origin: session.origin,
            defined_in: AtomicU64::new(0),
        };
        if let Some(quarantine) = self.quarantine(&line, (self.parts.clock)()) {
            return Err(LoginRefusal::Quarantined(Box::new(quarantine)));
        }
        session.place.may_use(&line.address, &login.worker, now)?;
        // The login before on this connection may have been of the same worker.
        self.note_measured(session, now);
        let start = Start::new(&self.parts.vardiff, self.known(&line), login.difficulty_hint);
        let vardiff = Vardiff::new(&self.parts.vardiff, start, now);
        // What was assigned to the login before stays known: its late shares are told whose job that was.
        let before = &mut *session.miner.borrow_mut();
        let assignments = before.as_mut().map_or_else(Assignments::default, |miner| take(&mut miner.assignments));
        Ok(Miner { line: Arc::new(line), assignments, vardiff, is_owed_job: false })
    }

    /// What an earlier session measured.
    fn known(&self, line: &WorkerIdentity) -> Option<Known> {
        let hint = self.parts.hints.find(&Miner::worker(line))?;
        let age = (self.parts.clock)().since(hint.measured_at);
        Some(Known { difficulty: hint.difficulty, age, same_origin: hint.origin == line.origin })
    }

    /// Keeps what a session that ends has measured.
    pub(crate) fn note_measured(&self, session: &Session, now: Instant) {
        let miner = session.miner.borrow();
        let Some(miner) = miner.as_ref() else { return };
        if let Some(measured) = miner.vardiff.measured(&self.parts.vardiff) {
            self.parts.hints.note([self.hint(&miner.line, measured, now)]);
        }
    }

    /// A measurement as later sessions may use it.
    pub(crate) fn hint(&self, line: &WorkerIdentity, measured: (Difficulty, Instant), now: Instant) -> (Worker, Hint) {
        let (difficulty, heard_at) = measured;
        let measured_at = (self.parts.clock)().minus(now.saturating_duration_since(heard_at));
        (Miner::worker(line), Hint { difficulty, measured_at, origin: line.origin })
    }

    /// What a restricted pair is told; `None` for everybody else.
    pub(crate) fn quarantine(&self, line: &WorkerIdentity, now: Timestamp) -> Option<wire::Quarantine> {
        let restrictions = self.restrictions.borrow();
        if restrictions.quarantined.is_empty() {
            return None;
        }
        let quarantine = restrictions.quarantined.get(&line.pair()).filter(|found| found.until > now)?;
        Some(wire::Quarantine {
            reason: Some(quarantine.reason.to_owned()),
            sentence: Some(wire::Sentence {
                strikes: wire::Strikes::Fraud(quarantine.strikes),
                until: quarantine.until,
                remaining: quarantine.until.since(now),
            }),
        })
    }
}
