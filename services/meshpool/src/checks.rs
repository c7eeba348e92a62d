//! What stands beside `Validation`: its memory of pairs, and the choice of stored shares for idle lanes.
use std::sync::Arc;
use std::time::Duration;

use messages::counters::Counters;
use messages::facts::{Clock, LocalIds};
use messages::validation::{ChooseRechecks, KeepSuspects, OfferRechecks};
use rand::Rng;
use runtime::{ActorRef, Host, Recipient};
use settings::Settings;
use store::Store;
use store::suspects::ProvenPair;
use units::HostId;
use validation::{Rechecker, RecheckerParts, SuspectKeeper, Suspects};

use crate::roster;

/// Who is trusted and who is not, as the books had it at the start.
pub(crate) struct Memory {
    pub(crate) suspects: Arc<Suspects>,
    /// Whose shares were true before this process.
    pub(crate) known: Arc<Vec<ProvenPair>>,
}

impl Memory {
    pub(crate) async fn load(
        settings: &Settings,
        store: &Store,
        counters: &Arc<Counters>,
        clock: &Clock,
    ) -> store::Result<Memory> {
        let now = clock();
        let stored = store.suspects_list(now).await?;
        let suspects = Suspects::new(stored, settings.validation.clone(), Arc::clone(counters), now);
        let since = now.minus(validation::TRUST_MEMORY).minute();
        let known = store.proven_pairs(since, i64::try_from(validation::KNOWN_MAX).unwrap_or(i64::MAX)).await?;
        Ok(Memory { suspects: Arc::new(suspects), known: Arc::new(known) })
    }
}

/// What the helpers are made of.
pub(crate) struct Helpers<'a> {
    pub(crate) memory: &'a Memory,
    pub(crate) settings: &'a Settings,
    pub(crate) store: &'a Store,
    pub(crate) host: HostId,
    pub(crate) ids: &'a Arc<LocalIds>,
    pub(crate) counters: &'a Arc<Counters>,
    pub(crate) clock: &'a Clock,
    pub(crate) validation: Recipient<OfferRechecks>,
}

impl Helpers<'_> {
    /// Starts them; the pool works without either for a while.
    pub(crate) fn start(self, host: &mut Host) {
        let keeper = ActorRef::<SuspectKeeper>::unbound(roster::QUIET);
        let suspects = Arc::clone(&self.memory.suspects);
        let factory = SuspectKeeper::factory(suspects, self.store.clone(), Arc::clone(self.clock));
        host.start(&keeper, roster::COSMETIC, factory);
        host.tick(&keeper, Duration::from_secs(5), || KeepSuspects);
        let rechecker = ActorRef::<Rechecker>::unbound(roster::QUIET);
        let parts = RecheckerParts {
            store: self.store.clone(),
            host: self.host,
            cap: self.settings.provisional_cap(),
            ids: Arc::clone(self.ids),
            validation: self.validation,
            counters: Arc::clone(self.counters),
            seed: || rand::rng().random(),
        };
        host.start(&rechecker, roster::COSMETIC, Rechecker::factory(parts));
        host.tick(&rechecker, Duration::from_secs(2), || ChooseRechecks);
    }
}
