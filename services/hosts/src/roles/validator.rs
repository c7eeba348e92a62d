//! Checking of shares: `Validation` with its lanes and its memory of pairs, the choice of stored shares for idle lanes, and
//! the loss of cheaters.
//!
//! Needs of others: shares and verdicts' way into the log (stratum).
use std::sync::Arc;
use std::time::Duration;

use keepers::PenaltyKeeper;
use messages::facts::Restrictions;
use messages::validation::{ChooseRechecks, ValidationTick, VoidWork};
use messages::write_behind::StorePenalties;
use runtime::{ActorRef, Host};
use tokio::sync::watch;
use units::HostId;
use validation::{
    AuditSampler, AuditSamplerParts, KnownPair, Lanes, Penalties, Validation, ValidationParts, VoidProcessor,
    VoidProcessorParts,
};

use super::Running;
use super::reopen::reopen_after_restart;
use crate::context::HostContext;
use crate::error::HostError;
use crate::policies;
use crate::wiring::Wiring;

/// Makes the lanes, each with its memory. That fills gigabytes: not called where something else must go on.
pub(crate) fn lanes(context: &HostContext<'_>) -> Result<Arc<Lanes>, HostError> {
    let settings = &context.settings.validation;
    let count = usize::try_from(settings.lanes.get()).unwrap_or(1);
    Lanes::start(count, settings.pow_memory_kib, &context.metrics.validator).map_err(HostError::config)
}

/// What the role is made of.
pub(crate) struct ValidatorRole {
    lanes: Arc<Lanes>,
    /// Who is not trusted, as the books had it at the start.
    penalties: Arc<Penalties>,
    /// Whose shares were true before this process.
    known: Arc<Vec<KnownPair>>,
}

impl ValidatorRole {
    pub(crate) async fn prepare(context: &HostContext<'_>, lanes: Arc<Lanes>) -> Result<ValidatorRole, HostError> {
        let (store, now) = (&context.store, (context.clock)());
        let settings = context.settings.validation.clone();
        let penalties = Penalties::new(Vec::new(), settings, Arc::clone(&context.metrics.validator), now);
        PenaltyKeeper::load(&penalties, store, now).await.map_err(HostError::database)?;
        let known = validation::known_pairs(store, now).await.map_err(HostError::database)?;
        Ok(ValidatorRole { lanes, penalties: Arc::new(penalties), known: Arc::new(known) })
    }

    /// Reads what known miners have at stake in the share log of `host`, this process's own.
    pub(crate) async fn read_stakes(&mut self, context: &HostContext<'_>, host: HostId) {
        let (window, now) = (context.settings.pplns.window, (context.clock)());
        let known: &mut Vec<KnownPair> = Arc::make_mut(&mut self.known);
        validation::read_stakes(known, &context.store, host, window, now).await;
    }

    /// Who is under suspicion.
    pub(crate) fn restrictions(&self) -> watch::Receiver<Arc<Restrictions>> {
        self.penalties.subscribe()
    }

    /// Starts Validation itself.
    pub(crate) fn start(self, context: &HostContext<'_>, wiring: &Wiring, host: &mut Host) -> Running {
        let parts = ValidationParts {
            settings: context.settings.validation.clone(),
            window: context.settings.pplns.window,
            lanes: self.lanes,
            own: wiring.validation.clone(),
            ledger: wiring.ledger.recipient(),
            submitter: wiring.submitter.recipient(),
            penalties: self.penalties,
            places: Arc::clone(&wiring.claim_places),
            known: self.known,
            metrics: Arc::clone(&context.metrics.validator),
            clock: Arc::clone(&context.clock),
            seed: context.rng,
        };
        host.start(&wiring.validation, policies::VITAL, Validation::factory(parts));
        host.tick(&wiring.validation, Duration::from_secs(1), || ValidationTick);
        let claims = reopen_after_restart(&wiring.validation, wiring.ledger.recipient());
        Running { tasks: vec![claims], ..Running::default() }
    }

    /// What stands beside Validation; the pool works without any of it for a while.
    pub(crate) fn start_helpers(&self, context: &HostContext<'_>, wiring: &Wiring, host: &mut Host) {
        let keeper = ActorRef::<PenaltyKeeper>::unbound(policies::QUIET);
        let penalties = Arc::clone(&self.penalties);
        let factory = PenaltyKeeper::factory(penalties, context.store.clone(), Arc::clone(&context.clock));
        host.start(&keeper, policies::COSMETIC, factory);
        host.tick(&keeper, Duration::from_secs(5), || StorePenalties);
        let rechecker = ActorRef::<AuditSampler>::unbound(policies::QUIET);
        let parts = AuditSamplerParts {
            store: context.store.clone(),
            host: wiring.host,
            cap: context.settings.provisional_cap(),
            ids: Arc::clone(&context.ids),
            validation: wiring.validation.recipient(),
            metrics: Arc::clone(&context.metrics.validator),
            seed: context.rng,
        };
        host.start(&rechecker, policies::COSMETIC, AuditSampler::factory(parts));
        host.tick(&rechecker, Duration::from_secs(2), || ChooseRechecks);
        let voider = ActorRef::<VoidProcessor>::unbound(policies::QUIET);
        let parts = VoidProcessorParts {
            store: context.store.clone(),
            host: wiring.host,
            window: context.settings.pplns.window,
            penalties: Arc::clone(&self.penalties),
            validation: wiring.validation.recipient(),
            position: wiring.position.subscribe(),
            ids: Arc::clone(&context.ids),
            metrics: Arc::clone(&context.metrics.validator),
            clock: Arc::clone(&context.clock),
        };
        host.start(&voider, policies::COSMETIC, VoidProcessor::factory(parts));
        host.tick(&voider, Duration::from_secs(1), || VoidWork);
    }
}
