//! When to stop.
use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGTERM and SIGINT. Made before anything is started, so that an early signal is not lost.
pub struct Shutdown {
    terminate: Signal,
    interrupt: Signal,
}

impl Shutdown {
    /// Listens from now on.
    ///
    /// # Errors
    /// When the process cannot install a handler.
    pub fn listen() -> std::io::Result<Shutdown> {
        Ok(Shutdown { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Resolves at the first of them; says which.
    pub async fn wait(&mut self) -> &'static str {
        tokio::select! {
            _got = self.terminate.recv() => "SIGTERM",
            _got = self.interrupt.recv() => "SIGINT",
        }
    }
}
