//! The HTTP API and the page.
//!
//! Needs of others: the process's figures (monitor), tip and job (stratum). It shows what there is.
use std::net::TcpListener;
use std::sync::Arc;

use runtime::ActorHandle;
use tracing::warn;
use web::{FaultInjection, InjectedFault, WebParts};

use super::Running;
use crate::context::HostContext;
use crate::error::HostError;
use crate::pricing::settle_depth;
use crate::wiring::Wiring;

/// The ports, taken and not served yet.
pub(crate) struct ApiRole {
    listeners: Vec<TcpListener>,
}

impl ApiRole {
    pub(crate) fn prepare(context: &HostContext<'_>) -> Result<ApiRole, HostError> {
        let listeners = web::bind(&context.settings.api.listen).map_err(HostError::config)?;
        Ok(ApiRole { listeners })
    }

    /// Answers from now on; `actors` are all of the process.
    pub(crate) fn open(
        self,
        context: &HostContext<'_>,
        wiring: &Wiring,
        actors: Vec<Arc<dyn ActorHandle>>,
    ) -> Result<Running, HostError> {
        let parts = WebParts {
            store: context.store.clone(),
            settings: Arc::clone(&context.settings),
            live: wiring.snapshots.subscribe(),
            ports: actors.clone(),
            counts: context.metrics.counts(),
            conditions: Arc::clone(&context.conditions),
            tip: wiring.published.tips(),
            jobs: wiring.published.jobs(),
            daemons: wiring.published.daemons(),
            position: wiring.position.subscribe(),
            metrics: Arc::new(context.telemetry.printer()),
            drill: context.is_devnet().then(|| drill(wiring, actors)),
            keys: context.settings.api.keys.clone(),
            clock: Arc::clone(&context.clock),
            started_at: (context.clock)(),
            settle_depth: settle_depth(&context.settings),
        };
        let (server, pages) = web::serve_on(parts, self.listeners).map_err(HostError::config)?;
        let handle = server.handle();
        let server = tokio::spawn(server);
        let close = async move {
            handle.stop(true).await;
            if server.await.is_err() {
                warn!(what = "server", "did not end cleanly");
            }
        };
        let places = pages.iter().map(|page| ("page", format!("http://{page}/"))).collect();
        Ok(Running { places, close: Some(Box::pin(close)), ..Running::default() })
    }
}

fn drill(wiring: &Wiring, actors: Vec<Arc<dyn ActorHandle>>) -> FaultInjection {
    let stall = Arc::clone(&wiring.disk_stall);
    let named = move |name: &str, inject: fn(&dyn ActorHandle) -> bool| {
        actors.iter().find(|actor| actor.name() == name).is_some_and(|actor| inject(&**actor))
    };
    Arc::new(move |order| match order {
        InjectedFault::Panic(name) => named(&name, |actor| actor.inject_panic()),
        InjectedFault::Hang(name) => named(&name, |actor| actor.inject_hang()),
        InjectedFault::StallDisk(stalled) => {
            stall.set(stalled);
            true
        }
    })
}
