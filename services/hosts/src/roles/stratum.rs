//! The way of a share from the wire to the disk: the chain's tip and jobs, the Stratum front, the share log, and the blocks
//! that shares find.
//!
//! Needs of others: checks of shares (validator). Without them nothing is proved before it is acknowledged or paid.
use std::sync::Arc;
use std::time::Duration;

use ::stratum::{Bans, Hints, Listeners, OriginSalt, ProcessNumber, StratumParts};
use blocks::{BlockSubmitter, SubmitterParts};
use boot::GRACE;
use keepers::{BanKeeper, HintKeeper};
use messages::facts::SessionIds;
use messages::share_ledger::FoldNow;
use messages::template::{RefreshReason, RefreshTemplate};
use messages::write_behind::{StoreBans, StoreHints};
use runtime::{ActorRef, Host};
use share_ledger::{ShareLedger, ShareLedgerParts};
use share_log::LogDirectory;
use template::{FailoverTimeouts, Pace, TemplateActor, TemplateParts, TemplateSettings};

use super::Running;
use super::reopen::reopen_after_restart;
use crate::context::HostContext;
use crate::error::HostError;
use crate::high_mark::HighMark;
use crate::membership::Membership;
use crate::policies;
use crate::wiring::Wiring;

/// One thread of sessions per core, but not more than two: the disk and the lanes want the rest.
pub(crate) fn arbiters() -> u8 {
    std::thread::available_parallelism().map_or(1, |cores| u8::try_from(cores.get().min(2)).unwrap_or(1))
}

/// What the role is made of; its ports are taken and not served yet.
pub(crate) struct StratumRole {
    directory: LogDirectory,
    membership: Membership,
    front: StratumFront,
}

/// What sessions are made of.
pub(crate) struct StratumFront {
    listeners: Listeners,
    era: ProcessNumber,
    salt: OriginSalt,
    hints: Arc<Hints>,
    bans: Arc<Bans>,
}

// === impl StratumRole ===

impl StratumRole {
    /// Registers the host, last: call it when nothing else can fail any more.
    pub(crate) async fn prepare(context: &HostContext<'_>, directory: LogDirectory) -> Result<StratumRole, HostError> {
        let front = StratumFront::prepare(context).await?;
        // Last: a start that fails changes no host.
        let membership = Membership::open(&context.store, &directory, &context.clock, &context.conditions).await?;
        Ok(StratumRole { directory, membership, front })
    }

    pub(crate) fn membership(&self) -> &Membership {
        &self.membership
    }

    /// Starts the share log and what stands around it. Miners are served when the front is opened.
    pub(crate) fn start(self, context: &HostContext<'_>, wiring: &Wiring, host: &mut Host) -> (Running, StratumFront) {
        self.front.start_keepers(context, host);
        let parts = self.ledger_parts(context, wiring);
        host.start(&wiring.ledger, policies::VITAL, ShareLedger::factory(parts));
        let parts = SubmitterParts {
            daemons: context.daemons.iter().map(|source| source.daemon.clone()).collect(),
            ledger: wiring.ledger.recipient(),
            template: wiring.template.recipient(),
            notices: wiring.notices.clone(),
            metrics: Arc::clone(&context.metrics.stratum.blocks),
        };
        host.start(&wiring.submitter, policies::VITAL, move || BlockSubmitter::new(parts.clone()));
        host.tick(&wiring.ledger, Duration::from_secs(1), || FoldNow);
        let mut tasks = vec![reopen_after_restart(&wiring.submitter, wiring.ledger.recipient())];
        tasks.extend(self.membership.watch(&context.conditions));
        let membership = self.membership;
        let close = async move { membership.close().await };
        (Running { tasks, close: Some(Box::pin(close)), ..Running::default() }, self.front)
    }

    fn ledger_parts(&self, context: &HostContext<'_>, wiring: &Wiring) -> ShareLedgerParts {
        let settings = &context.settings;
        ShareLedgerParts {
            directory: self.directory.clone(),
            store: context.store.clone(),
            network: settings.pool.network.addresses(),
            host: wiring.host,
            capacity: wiring.ledger.capacity(),
            segment_max_bytes: settings.ledger.segment_bytes(),
            backlog_max_bytes: settings.ledger.backlog_bytes(),
            policy: wiring.pricing.id,
            window: wiring.pricing.policy.window(),
            clock: Arc::clone(&context.clock),
            ids: Arc::clone(&context.ids),
            metrics: Arc::clone(&context.metrics.stratum.ledger),
            conditions: Arc::clone(&context.conditions),
            position: wiring.position.clone(),
            owner: Arc::clone(&self.membership.owner),
            stall: Arc::clone(&wiring.disk_stall),
            validation: wiring.validation.recipient(),
            submitter: wiring.submitter.recipient(),
        }
    }
}

// === impl StratumFront ===

impl StratumFront {
    async fn prepare(context: &HostContext<'_>) -> Result<StratumFront, HostError> {
        let (settings, store, clock) = (&context.settings, &context.store, &context.clock);
        let fresh = hex::encode((context.rng)());
        let salt = store.meta_get_or_insert("origin_salt", &fresh).await.map_err(HostError::database)?;
        let mut bytes = [0; 32];
        hex::decode_to_slice(&salt, &mut bytes).map_err(|_| HostError::database("stored origin_salt is damaged"))?;
        let mut used = HighMark::read(&settings.data.dir, "era").map_err(HostError::config)?;
        let era = store.meta_count_above("stratum_era", used.highest()).await.map_err(HostError::database)?;
        used.raise(era).map_err(HostError::config)?;
        let hints = Arc::new(Hints::new(Arc::clone(&context.metrics.stratum.front)));
        HintKeeper::load(&*hints, store, clock()).await.map_err(HostError::database)?;
        let bans = Bans::new(Vec::new(), Arc::clone(&context.metrics.stratum.front), clock());
        BanKeeper::load(&bans, store, clock()).await.map_err(HostError::database)?;
        let bans = Arc::new(bans);
        let listeners =
            Listeners::bind(&settings.stratum, &context.metrics.stratum.front).map_err(HostError::config)?;
        Ok(StratumFront { listeners, era: ProcessNumber(era), salt: OriginSalt(bytes), hints, bans })
    }

    /// Early, so that they close late: sessions that a drain ends still note what they measured.
    fn start_keepers(&self, context: &HostContext<'_>, host: &mut Host) {
        let hint_keeper = ActorRef::<HintKeeper>::unbound(policies::QUIET);
        let (store, clock, hints) = (context.store.clone(), Arc::clone(&context.clock), Arc::clone(&self.hints));
        host.start(&hint_keeper, policies::COSMETIC, HintKeeper::factory(hints, store, clock));
        host.tick(&hint_keeper, Duration::from_secs(5), || StoreHints);
        let ban_keeper = ActorRef::<BanKeeper>::unbound(policies::QUIET);
        let (store, clock, bans) = (context.store.clone(), Arc::clone(&context.clock), Arc::clone(&self.bans));
        host.start(&ban_keeper, policies::COSMETIC, BanKeeper::factory(bans, store, clock));
        host.tick(&ban_keeper, Duration::from_secs(5), || StoreBans);
    }

    /// Starts to follow the chain, and serves miners from now on.
    pub(crate) fn open(
        self,
        context: &HostContext<'_>,
        wiring: &Wiring,
        host: &mut Host,
    ) -> Result<Running, HostError> {
        let settings = &context.settings;
        let parts = template_parts(context, wiring);
        host.start(&wiring.template, policies::VITAL, move || TemplateActor::new(parts.clone()));
        host.tick(&wiring.template, settings.daemon.poll_interval, || RefreshTemplate(RefreshReason::Poll));
        let parts = StratumParts {
            settings: settings.stratum.clone(),
            vardiff: settings.vardiff.clone(),
            network: settings.pool.network.addresses(),
            arbiters: arbiters(),
            era: self.era,
            salt: self.salt,
            ledger: wiring.ledger.recipient(),
            finder: wiring.ledger.recipient(),
            events: wiring.ledger.recipient(),
            validation: wiring.validation.recipient(),
            prover: wiring.validation.recipient(),
            offer_all: !settings.validation.is_off(),
            jobs: wiring.published.jobs(),
            claim_places: Arc::clone(&wiring.claim_places),
            restrictions: wiring.restrictions.clone(),
            notices: wiring.notices.clone(),
            hints: self.hints,
            bans: self.bans,
            metrics: Arc::clone(&context.metrics.stratum.front),
            clock: Arc::clone(&context.clock),
            ids: Arc::clone(&context.ids),
            sessions: Arc::new(SessionIds::default()),
        };
        let front = parts.start_on(self.listeners).map_err(HostError::config)?;
        let places = front.addresses().iter().map(|address| ("stratum", address.to_string())).collect();
        let pulses = front.pulses();
        let drain = async move { front.drain(GRACE).await };
        Ok(Running { pulses, places, drain: Some(Box::pin(drain)), ..Running::default() })
    }
}

fn template_parts(context: &HostContext<'_>, wiring: &Wiring) -> TemplateParts {
    let settings = &context.settings;
    let secs = Duration::from_secs;
    // There blocks come a hundred times as fast.
    let (pace, patience) = match context.is_devnet() {
        true => (
            Pace { min_age: secs(1), max_age: secs(10), step_back: secs(20) },
            FailoverTimeouts { lag: secs(2), settle: secs(5), bar: secs(2), ..FailoverTimeouts::default() },
        ),
        false => (Pace::default(), FailoverTimeouts::default()),
    };
    TemplateParts {
        settings: TemplateSettings {
            reward_address: settings.pool.reward_address.clone(),
            refresh_on_same_height: settings.stratum.refresh_on_same_height,
            pace,
            patience,
        },
        sources: context.daemons.clone(),
        store: context.store.clone(),
        published: Arc::clone(&wiring.published),
        ids: Arc::clone(&context.ids),
        metrics: Arc::clone(&context.metrics.stratum.template),
        clock: Arc::clone(&context.clock),
        ledger: wiring.ledger.recipient(),
    }
}
