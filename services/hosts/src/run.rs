//! From what was opened to running actors, and the way back.
use std::sync::Arc;

use boot::{GRACE, ServiceNotifier, Shutdown};
use runtime::{Host, LoopProgress, Task};
use share_log::LogDirectory;
use tracing::{error, info};
use validation::Lanes;

use crate::context::HostContext;
use crate::error::HostError;
use crate::pricing::Pricing;
use crate::role::Role;
use crate::roles::api::ApiRole;
use crate::roles::stratum::StratumRole;
use crate::roles::validator::{self, ValidatorRole};
use crate::roles::{Ending, Running, monitor, treasury};
use crate::wiring::Wiring;
use crate::{exports, readiness};

/// Runs the roles of `context` until a signal, or until an actor gives up.
///
/// # Errors
/// Why they did not start, or which actor gave up. The others have finished what they had accepted.
///
/// # Panics
/// The operating system gives no event loop.
pub fn run(context: &HostContext<'_>) -> Result<(), HostError> {
    let lanes = context.has(Role::Validator).then(|| validator::lanes(context)).transpose()?;
    runtime::block_on(async {
        let shutdown = Shutdown::listen().map_err(HostError::config)?;
        let (crew, wiring) = Crew::prepare(context, lanes).await?;
        let log = context.telemetry.log().clone();
        let mut host = Host::with_watchdog(move |stuck| {
            log.end_process(boot::SUPERVISOR, || {
                error!(?stuck, "actor thread stuck, ending the process for a restart");
            })
        })
        .map_err(HostError::config)?;
        let running = crew.start(context, &wiring, &mut host)?;
        until_told(context, &wiring, host, running, shutdown).await
    })
}

/// The roles of this process: all that a start can fail of is done, and no actor runs yet.
struct Crew {
    has_monitor: bool,
    has_treasury: bool,
    validator: Option<ValidatorRole>,
    stratum: Option<StratumRole>,
    api: Option<ApiRole>,
}

impl Crew {
    async fn prepare(context: &HostContext<'_>, lanes: Option<Arc<Lanes>>) -> Result<(Crew, Wiring), HostError> {
        let path = context.settings.data.dir.join("log");
        let directory = context.has(Role::Stratum).then(|| LogDirectory::open(&path)).transpose();
        let directory = directory.map_err(HostError::config)?;
        let pricing = Pricing::note(context, directory.as_ref()).await?;
        let mut validator = match lanes {
            Some(lanes) => Some(ValidatorRole::prepare(context, lanes).await?),
            None => None,
        };
        let api = context.has(Role::Api).then(|| ApiRole::prepare(context)).transpose()?;
        // Last: it registers the host.
        let stratum = match directory {
            Some(directory) => Some(StratumRole::prepare(context, directory).await?),
            None => None,
        };
        if let (Some(validator), Some(stratum)) = (&mut validator, &stratum) {
            validator.read_stakes(context, stratum.membership().id).await;
        }
        let restrictions = validator.as_ref().map(ValidatorRole::restrictions);
        let wiring = Wiring::new(context, stratum.as_ref().map(StratumRole::membership), pricing, restrictions);
        let (has_monitor, has_treasury) = (context.has(Role::Monitor), context.has(Role::Treasury));
        Ok((Crew { has_monitor, has_treasury, validator, stratum, api }, wiring))
    }

    /// The last stage first: a message always has somewhere to go, also in a drain, which takes the opposite order.
    /// The doors come when all is there that stands behind them.
    fn start(self, context: &HostContext<'_>, wiring: &Wiring, host: &mut Host) -> Result<Vec<Running>, HostError> {
        let mut running = Vec::new();
        if self.has_monitor {
            running.push(monitor::start(context, wiring, host));
        }
        if self.has_treasury {
            running.push(treasury::start(context, wiring, host));
        }
        if let Some(validator) = &self.validator {
            validator.start_helpers(context, wiring, host);
        }
        let mut front = None;
        if let Some(stratum) = self.stratum {
            let (log, door) = stratum.start(context, wiring, host);
            running.push(log);
            front = Some(door);
        }
        if let Some(validator) = self.validator {
            running.push(validator.start(context, wiring, host));
        }
        if let Some(front) = front {
            running.push(front.open(context, wiring, host)?);
        }
        exports::export(context, wiring, &host.ports());
        if let Some(api) = self.api {
            running.push(api.open(context, wiring, host.ports())?);
        }
        readiness::note_absent(context);
        Ok(running)
    }
}

/// What runs beside the actors, by what becomes of it.
#[derive(Default)]
struct Beside {
    tasks: Vec<Task>,
    pulses: Vec<Arc<LoopProgress>>,
    places: Vec<(&'static str, String)>,
    drains: Vec<Ending>,
    closings: Vec<Ending>,
}

impl Beside {
    fn of(running: Vec<Running>) -> Beside {
        let mut beside = Beside::default();
        for Running { tasks, pulses, places, drain, close } in running {
            beside.tasks.extend(tasks);
            beside.pulses.extend(pulses);
            beside.places.extend(places);
            beside.drains.extend(drain);
            beside.closings.extend(close);
        }
        beside
    }
}

async fn until_told(
    context: &HostContext<'_>,
    wiring: &Wiring,
    host: Host,
    running: Vec<Running>,
    mut shutdown: Shutdown,
) -> Result<(), HostError> {
    let Beside { tasks, pulses, places, drains, closings } = Beside::of(running);
    let log = context.telemetry.log();
    places.iter().for_each(|(what, place)| log.say(what, place));
    log.say("data", &context.settings.data.dir.display().to_string());

    let manager = Arc::new(ServiceNotifier::of_process());
    let announced = readiness::announce(
        &manager,
        &host,
        pulses,
        &context.metrics.stratum.front.stratum_sessions,
        wiring.published.jobs(),
    );
    let ending = async {
        let signal = shutdown.wait().await;
        info!(signal, "stopping");
        manager.stopping(signal);
        for drain in drains {
            drain.await;
        }
    };
    let outcome = host.run(ending, GRACE).await;
    if let Err(failure) = &outcome {
        manager.stopping(&failure.to_string());
    }
    // In the order of their start: the API answers until everything else has ended.
    for close in closings {
        close.await;
    }
    drop((announced, tasks));
    outcome.map_err(|failure| HostError::GaveUp(failure.to_string()))
}
