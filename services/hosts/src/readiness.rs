//! When the process serves, how the service manager hears of it, and what it cannot do.
use std::sync::Arc;
use std::time::Duration;

use boot::ServiceNotifier;
use instruments::Gauge;
use messages::conditions::ConditionKind;
use messages::facts::JobReceiver;
use runtime::{Health, Host, LoopProgress, Task};
use tracing::warn;

use crate::context::HostContext;
use crate::role::Role;

/// How often the main loop shows that it turns.
const PULSE_EVERY: Duration = Duration::from_millis(500);

/// Tells the manager as soon as every actor is up, or down for a while where the pool does without: the ports are open
/// by now. A daemon or a database that is away is no reason to wait: `/readyz` tells of those. `pulses` are of loops
/// beside the main one and the actors'.
pub(crate) fn announce(
    manager: &Arc<ServiceNotifier>,
    host: &Host,
    mut pulses: Vec<Arc<LoopProgress>>,
    sessions: &Gauge,
    jobs: JobReceiver,
) -> Task {
    let (manager, mut health, sessions) = (Arc::clone(manager), host.health_watch(), sessions.clone());
    let main = LoopProgress::new("main");
    pulses.push(Arc::clone(&main));
    pulses.extend(host.ports().iter().map(|port| port.pulse()));
    runtime::spawn(async move {
        let told = async {
            let serves =
                |all: &Vec<(&str, Health)>| all.iter().all(|(_, one)| matches!(one, Health::Up | Health::Down));
            if health.wait_for(serves).await.is_err() {
                return; // The host is gone, and the process with it.
            }
            let status = move || {
                let miners = sessions.get();
                match &*jobs.borrow() {
                    Some(job) => format!("miners: {miners}, height: {}", job.template.height),
                    None => format!("miners: {miners}, no job: see /readyz"),
                }
            };
            if let Err(error) = manager.ready(pulses, status) {
                warn!(%error, "watchdog notification thread failed: the service manager will restart the pool");
            }
            std::future::pending().await
        };
        tokio::select! {
            () = main.beat(PULSE_EVERY) => {}
            () = told => {}
        }
    })
}

/// Names the roles that this process does not have: it works with those that it has, and is not ready.
pub(crate) fn note_absent(context: &HostContext<'_>) {
    let absent = Role::ALL.iter().filter(|role| !context.has(**role));
    let absent: Vec<String> = absent.map(|role| format!("{} ({})", role.name(), role.missed())).collect();
    let state = (!absent.is_empty()).then(|| {
        let text = format!("roles are not in this process: {}", absent.join(", "));
        let detail = format!("{text}; `meshpool up` has all of them in one process, and {} does not", context.name);
        (text, detail)
    });
    context.conditions.put(ConditionKind::RolesAbsent, state);
}
