//! When to stop.
use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGTERM and SIGINT. Made before anything is started, so that an early signal is not lost. SIGHUP ends no process from
/// then on: it is an order to read certificates again, for whoever has some.
pub struct Shutdown {
    terminate: Signal,
    interrupt: Signal,
    _hangup: Signal,
}

impl Shutdown {
    /// Listens from now on.
    ///
    /// # Errors
    /// When the process cannot install a handler.
    pub fn listen() -> std::io::Result<Shutdown> {
        let [terminate, interrupt, hangup] = [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()];
        Ok(Shutdown { terminate: signal(terminate)?, interrupt: signal(interrupt)?, _hangup: signal(hangup)? })
    }

    /// Resolves at the first of them; says which.
    pub async fn wait(&mut self) -> &'static str {
        tokio::select! {
            _got = self.terminate.recv() => "SIGTERM",
            _got = self.interrupt.recv() => "SIGINT",
        }
    }
}
