//! One arbiter's part of the front: builds its parts, keeps their timers, and drains them.
//!
//! Everything in it is thread-local: no lock, no shared map. The parts own what they need and know only those before
//! them: restrictions, sessions, jobs, share difficulty, refusals, Validation, replies, shares in doubt, the ledger,
//! submits and logins, connections.
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use messages::facts::Notice;
use tokio::net::TcpListener;
use tokio::sync::{broadcast, watch};

use crate::StratumParts;
use crate::accept::{Acceptor, SharedLimits};
use crate::active_restrictions::ActiveRestrictions;
use crate::in_doubt::InDoubtShares;
use crate::inbound::{ListenerKind, RequestReader};
use crate::job_pusher::JobPusher;
use crate::ledger_client::LedgerClient;
use crate::login::Logins;
use crate::metrics::StratumMetrics;
use crate::notices;
use crate::open_sessions::OpenSessions;
use crate::ranges::Ranges;
use crate::reject_log::RejectLog;
use crate::replies::Replies;
use crate::retargeter::Retargeter;
use crate::submit::SubmitPipeline;
use crate::submit_checks::SubmitChecks;
use crate::tls::TlsGate;
use crate::validation_queue::ValidationQueue;

/// How often timers are looked at.
const TICK: Duration = Duration::from_millis(TICK_MS);
const TICK_MS: u64 = 1_000;

/// One arbiter's part of the front.
pub(crate) struct StratumShard {
    acceptor: Rc<Acceptor>,
    sessions: Rc<OpenSessions>,
    restrictions: Rc<ActiveRestrictions>,
    jobs: Rc<JobPusher>,
    retargeter: Rc<Retargeter>,
    rejects: Rc<RejectLog>,
    validation: Rc<ValidationQueue>,
    in_doubt: Rc<InDoubtShares>,
    ledger: Rc<LedgerClient>,
    notices: broadcast::Sender<Notice>,
    idle_timeout: Duration,
    metrics: Arc<StratumMetrics>,
}

impl StratumShard {
    pub(crate) fn new(
        parts: &StratumParts,
        shared: Arc<SharedLimits>,
        tls: Option<Arc<TlsGate>>,
        arbiter: u8,
    ) -> Rc<StratumShard> {
        let metrics = || Arc::clone(&parts.metrics);
        let clock = || Arc::clone(&parts.clock);
        let restrictions = ActiveRestrictions::new(parts.restrictions.clone());
        let sessions = OpenSessions::new(metrics());
        let ranges = Ranges::new(parts.era, arbiter);
        let jobs = JobPusher::new(parts.jobs.clone(), ranges, parts.settings.stale_grace, metrics());
        let hints = Arc::clone(&parts.hints);
        let retargeter = Retargeter::new(parts.vardiff.clone(), hints, Rc::clone(&jobs), clock(), metrics());
        let rejects = RejectLog::new(parts.events.clone(), clock(), metrics());
        let validation = ValidationQueue::new(parts.validation.clone(), parts.offer_all, metrics());
        let replies = Replies::new(Rc::clone(&retargeter), Rc::clone(&rejects), Rc::clone(&validation), metrics());
        let in_doubt = InDoubtShares::new(parts.finder.clone(), Rc::clone(&replies), metrics());
        let ledger = LedgerClient::new(
            parts.ledger.clone(),
            Rc::clone(&replies),
            Rc::clone(&in_doubt),
            Rc::clone(&validation),
            metrics(),
        );
        let checks = SubmitChecks::new(parts, Rc::clone(&restrictions), Rc::clone(&jobs), Rc::clone(&retargeter));
        let submits = SubmitPipeline::new(checks, parts.prover.clone(), Rc::clone(&ledger), replies);
        let logins = Logins::new(parts, Rc::clone(&restrictions), Rc::clone(&jobs), Rc::clone(&retargeter));
        let reader = RequestReader::new(logins, submits, tls, shared.limiter.limits.bytes);
        let acceptor = Acceptor::new(parts, shared, Rc::clone(&sessions), reader, Rc::clone(&retargeter));
        Rc::new(StratumShard {
            acceptor,
            sessions,
            restrictions,
            jobs,
            retargeter,
            rejects,
            validation,
            in_doubt,
            ledger,
            notices: parts.notices.clone(),
            idle_timeout: parts.settings.idle_timeout,
            metrics: metrics(),
        })
    }

    /// Starts the loops that listen to facts and clocks. They end with the arbiter.
    pub(crate) fn start(self: &Rc<Self>) {
        runtime::spawn_detached(Rc::clone(&self.ledger).append_loop());
        runtime::spawn_detached(Rc::clone(&self.jobs).follow(Rc::clone(&self.sessions)));
        runtime::spawn_detached(Rc::clone(&self.restrictions).follow());
        let (notices, sessions) = (self.notices.subscribe(), Rc::clone(&self.sessions));
        runtime::spawn_detached(notices::follow(notices, sessions, Arc::clone(&self.metrics)));
        runtime::spawn_detached(Rc::clone(self).tick());
    }

    /// Takes connections until the drain.
    pub(crate) async fn accept(
        self: Rc<Self>,
        listener: TcpListener,
        door: ListenerKind,
        drain: watch::Receiver<bool>,
    ) {
        Rc::clone(&self.acceptor).accept(listener, door, drain).await;
    }

    /// Lets every session finish what has arrived, and returns when all are gone.
    pub(crate) async fn drain(&self) {
        self.acceptor.begin_drain();
        self.sessions.drain().await;
        self.validation.offer_again();
        self.rejects.log().await;
    }

    async fn tick(self: Rc<Self>) {
        let mut ticks = tokio::time::interval(TICK);
        loop {
            ticks.tick().await;
            let now = Instant::now();
            let mut measured = Vec::new();
            let mut mining = 0;
            self.sessions
                .for_each(|session| {
                    session.look(self.idle_timeout, now);
                    mining += u64::from(self.jobs.is_mining(session));
                    self.retargeter.look(session, now, &mut measured);
                })
                .await;
            self.retargeter.note(measured);
            self.metrics.stratum_mining_ms_total.add(mining * TICK_MS);
            self.validation.offer_again();
            self.in_doubt.ask_again();
            self.rejects.start_logging();
        }
    }
}
