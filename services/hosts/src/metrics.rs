//! What `/metrics` and the collector see of this process.
use std::sync::Arc;

use boot::{Metrics, Queue};
use messages::counters::{Counter, Counters};
use messages::validation::ClaimPermits;
use runtime::ActorHandle;

use crate::context::HostContext;
use crate::roles::stratum::arbiters;
use crate::wiring::Wiring;

/// Registers the figures of all actors, counters and queues.
pub(crate) fn export(context: &HostContext<'_>, wiring: &Wiring, ports: &[Arc<dyn ActorHandle>]) {
    let counters = &context.counters;
    let metrics = Metrics::default();
    metrics.actors(ports);
    context.telemetry.export(&metrics);
    for (name, help, place) in Counters::list() {
        let counters = Arc::clone(counters);
        let read = move || place(&counters).get();
        if name.ends_with("_total") {
            metrics.counter(name, help.trim(), read);
        } else {
            metrics.gauge(name, help.trim(), read);
        }
    }
    let closed = Arc::clone(counters);
    let read = move || closed.stratum_closed.each().collect::<Vec<_>>();
    metrics.labelled("stratum_closed_total", "Stratum connections that ended or were refused.", "reason", read);
    let rejected = Arc::clone(counters);
    let read = move || rejected.shares_rejected.each().collect::<Vec<_>>();
    metrics.labelled("shares_rejected_by_reason_total", "Submits refused, by canonical reason.", "reason", read);
    metrics.queues(queues(context));
    metrics.daemons(wiring.published.daemons());
    metrics.conditions(&context.conditions);
}

/// All that holds what waits.
fn queues(context: &HostContext<'_>) -> Vec<Queue> {
    let (counters, settings) = (&context.counters, &context.settings);
    let queue = |name, capacity, depth: fn(&Counters) -> &Counter, refused: fn(&Counters) -> &Counter| {
        let (waiting, turned_away) = (Arc::clone(counters), Arc::clone(counters));
        Queue {
            name,
            depth: Box::new(move || depth(&waiting).get()),
            capacity,
            refused: Box::new(move || refused(&turned_away).get()),
        }
    };
    let connections = u64::from(settings.stratum.max_connections);
    let mut queues = vec![
        queue(
            "stratum_connections",
            connections,
            |counters| &counters.stratum_connections,
            |counters| &counters.stratum_connections_refused_total,
        ),
        queue(
            "share_log_bytes",
            settings.ledger.backlog_bytes(),
            |counters| &counters.log_backlog_bytes,
            |counters| &counters.log_full_total,
        ),
        queue(
            "offers",
            stratum::OFFERS_MAX as u64 * u64::from(arbiters()),
            |counters| &counters.offers_waiting,
            |counters| &counters.offers_forgone_total,
        ),
        queue(
            "owed_checks",
            validation::OWED_MAX as u64,
            |counters| &counters.checks_owed,
            |counters| &counters.checks_forgone_total,
        ),
        queue(
            "block_claims",
            ClaimPermits::MAX as u64,
            |counters| &counters.claims_waiting,
            |counters| &counters.claims_refused_total,
        ),
        queue(
            "proofs",
            u64::from(settings.validation.capacity.get()),
            |counters| &counters.proofs_waiting,
            |counters| &counters.proofs_refused_total,
        ),
        queue(
            "rechecks",
            validation::RECHECKS_MAX as u64,
            |counters| &counters.rechecks_waiting,
            |counters| &counters.rechecks_refused_total,
        ),
        queue(
            "block_candidates",
            validation::CANDIDATES_MAX as u64,
            |counters| &counters.candidates_waiting,
            |counters| &counters.candidates_forgone_total,
        ),
        queue(
            "verdicts",
            validation::VERDICTS_MAX as u64,
            |counters| &counters.verdicts_waiting,
            |counters| &counters.lanes_rested_total,
        ),
    ];
    queues.extend(context.telemetry.queues());
    queues
}
