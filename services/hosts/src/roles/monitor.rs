//! What the process knows of itself: its figures, and what is wrong around it.
//!
//! Needs of others: how far the log is folded (stratum) and when the money lease was renewed (treasury); without them it
//! judges neither.
use std::sync::Arc;
use std::time::Duration;

use live::{Live, LiveParts};
use messages::live::SampleLive;
use runtime::{ActorRef, Host};

use super::Running;
use crate::context::HostContext;
use crate::wiring::Wiring;
use crate::writes::Writes;
use crate::{doubts, policies};

pub(crate) fn start(context: &HostContext<'_>, wiring: &Wiring, host: &mut Host) -> Running {
    let live = ActorRef::<Live>::unbound(policies::QUIET);
    let parts = LiveParts {
        host: wiring.host_name.clone(),
        store: context.store.clone(),
        sessions: context.metrics.stratum.front.stratum_sessions.clone(),
        booking_clock: context.metrics.booking_clock(),
        conditions: Arc::clone(&context.conditions),
        published: wiring.snapshots.clone(),
        clock: Arc::clone(&context.clock),
    };
    host.start(&live, policies::COSMETIC, Live::factory(parts));
    host.tick(&live, Duration::from_secs(2), || SampleLive);
    let (conditions, ledger) = (&context.conditions, &context.metrics.stratum.ledger);
    let renewals = Arc::clone(&wiring.renewals);
    let tasks = vec![
        Writes::watch(conditions, ledger.log_disk_answers_total.clone(), wiring.position.subscribe(), renewals),
        doubts::watch(context.telemetry.log().clone(), ledger.log_minutes_behind.clone(), Arc::clone(conditions)),
    ];
    Running { tasks, ..Running::default() }
}
