//! What `/metrics` and the collector see beside each crate's own metrics: actors, queues, daemons, conditions.
use std::sync::Arc;

use boot::{Metrics, Queue};
use instruments::{Counter, Gauge};
use messages::validation::ClaimPermits;
use runtime::ActorHandle;

use crate::context::HostContext;
use crate::role::Role;
use crate::roles::stratum::arbiters;
use crate::wiring::Wiring;

/// Registers the figures of all actors and queues.
pub(crate) fn export(context: &HostContext<'_>, wiring: &Wiring, ports: &[Arc<dyn ActorHandle>]) {
    let registry = context.telemetry.metrics();
    context.telemetry.export(&registry);
    let metrics = Metrics::new(&registry);
    metrics.actors(ports);
    metrics.queues(queues(context));
    metrics.daemons(wiring.published.daemons());
    metrics.conditions(&context.conditions);
}

/// All that holds what waits.
fn queues(context: &HostContext<'_>) -> Vec<Queue> {
    let mut queues = Vec::from(context.telemetry.queues());
    if context.has(Role::Stratum) {
        queues.extend(of_stratum(context));
    }
    if context.has(Role::Validator) {
        queues.extend(of_validator(context));
    }
    queues
}

fn queue(name: &'static str, capacity: u64, depth: &Gauge, refused: &Counter) -> Queue {
    let (depth, refused) = (depth.clone(), refused.clone());
    Queue { name, depth: Box::new(move || depth.get()), capacity, refused: Box::new(move || refused.get()) }
}

fn of_stratum(context: &HostContext<'_>) -> [Queue; 3] {
    let (settings, front, ledger) =
        (&context.settings, &context.metrics.stratum.front, &context.metrics.stratum.ledger);
    let connections = u64::from(settings.stratum.max_connections);
    let backlog = settings.ledger.backlog_bytes();
    let offers = stratum::OFFERS_MAX as u64 * u64::from(arbiters());
    [
        queue("stratum_connections", connections, &front.stratum_connections, &front.stratum_connections_refused_total),
        queue("share_log_bytes", backlog, &ledger.log_backlog_bytes, &ledger.log_full_total),
        queue("offers", offers, &front.offers_waiting, &front.offers_forgone_total),
    ]
}

fn of_validator(context: &HostContext<'_>) -> [Queue; 6] {
    let (metrics, front) = (&context.metrics.validator, &context.metrics.stratum.front);
    let (owed, claims) = (validation::OWED_MAX as u64, ClaimPermits::MAX as u64);
    let proofs = u64::from(context.settings.validation.capacity.get());
    let (rechecks, candidates) = (validation::RECHECKS_MAX as u64, validation::CANDIDATES_MAX as u64);
    [
        queue("owed_checks", owed, &metrics.checks_owed, &metrics.checks_forgone_total),
        // The front refuses what finds no place here.
        queue("block_claims", claims, &metrics.claims_waiting, &front.claims_refused_total),
        queue("proofs", proofs, &metrics.proofs_waiting, &metrics.proofs_refused_total),
        queue("rechecks", rechecks, &metrics.rechecks_waiting, &metrics.rechecks_refused_total),
        queue("block_candidates", candidates, &metrics.candidates_waiting, &metrics.candidates_forgone_total),
        queue("verdicts", validation::VERDICTS_MAX as u64, &metrics.verdicts_waiting, &metrics.lanes_rested_total),
    ]
}
