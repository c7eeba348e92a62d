//! What stands beside `Validation`: its memory of pairs, the choice of stored shares for idle lanes, and the loss of
//! cheaters.
use std::sync::Arc;
use std::time::Duration;

use keepers::PenaltyKeeper;
use messages::counters::Counters;
use messages::facts::{Clock, LocalIds, LogPosition};
use messages::validation::{ChooseRechecks, VoidWork};
use messages::write_behind::StorePenalties;
use rand::Rng;
use runtime::{ActorRef, Host};
use settings::Settings;
use store::Store;
use store::penalties::ProvenPair;
use tokio::sync::watch;
use units::HostId;
use validation::{AuditSampler, AuditSamplerParts, Penalties, Validation, VoidProcessor, VoidProcessorParts};

use crate::policies;

/// Who is trusted and who is not, as the books had it at the start.
pub(crate) struct TrustAtStart {
    pub(crate) penalties: Arc<Penalties>,
    /// Whose shares were true before this process.
    pub(crate) known: Arc<Vec<ProvenPair>>,
}

impl TrustAtStart {
    pub(crate) async fn load(
        settings: &Settings,
        store: &Store,
        counters: &Arc<Counters>,
        clock: &Clock,
    ) -> store::Result<TrustAtStart> {
        let now = clock();
        let penalties = Penalties::new(Vec::new(), settings.validation.clone(), Arc::clone(counters), now);
        PenaltyKeeper::load(&penalties, store, now).await?;
        let since = now.minus(validation::TRUST_MEMORY).minute();
        let known = store.proven_pairs(since, i64::try_from(validation::KNOWN_MAX).unwrap_or(i64::MAX)).await?;
        Ok(TrustAtStart { penalties: Arc::new(penalties), known: Arc::new(known) })
    }
}

/// What the helpers are made of.
pub(crate) struct Helpers<'a> {
    pub(crate) memory: &'a TrustAtStart,
    pub(crate) settings: &'a Settings,
    pub(crate) store: &'a Store,
    pub(crate) host: HostId,
    pub(crate) ids: &'a Arc<LocalIds>,
    pub(crate) counters: &'a Arc<Counters>,
    pub(crate) clock: &'a Clock,
    pub(crate) position: watch::Receiver<Option<LogPosition>>,
    pub(crate) validation: &'a ActorRef<Validation>,
}

impl Helpers<'_> {
    /// Starts them; the pool works without any of them for a while.
    pub(crate) fn start(self, host: &mut Host) {
        let keeper = ActorRef::<PenaltyKeeper>::unbound(policies::QUIET);
        let penalties = Arc::clone(&self.memory.penalties);
        let factory = PenaltyKeeper::factory(penalties, self.store.clone(), Arc::clone(self.clock));
        host.start(&keeper, policies::COSMETIC, factory);
        host.tick(&keeper, Duration::from_secs(5), || StorePenalties);
        let rechecker = ActorRef::<AuditSampler>::unbound(policies::QUIET);
        let parts = AuditSamplerParts {
            store: self.store.clone(),
            host: self.host,
            cap: self.settings.provisional_cap(),
            ids: Arc::clone(self.ids),
            validation: self.validation.recipient(),
            counters: Arc::clone(self.counters),
            seed: || rand::rng().random(),
        };
        host.start(&rechecker, policies::COSMETIC, AuditSampler::factory(parts));
        host.tick(&rechecker, Duration::from_secs(2), || ChooseRechecks);
        let voider = ActorRef::<VoidProcessor>::unbound(policies::QUIET);
        let parts = VoidProcessorParts {
            store: self.store.clone(),
            host: self.host,
            window: self.settings.pplns.window,
            settings: self.settings.validation.clone(),
            penalties: Arc::clone(&self.memory.penalties),
            validation: self.validation.recipient(),
            position: self.position,
            ids: Arc::clone(self.ids),
            counters: Arc::clone(self.counters),
            clock: Arc::clone(self.clock),
        };
        host.start(&voider, policies::COSMETIC, VoidProcessor::factory(parts));
        host.tick(&voider, Duration::from_secs(1), || VoidWork);
    }
}
