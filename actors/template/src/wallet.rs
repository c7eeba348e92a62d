//! The daemon's wallet as far as templates need it: it must be loaded, and it may name the address to pin.
use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use daemon::{Daemon, DaemonError, WalletPassword, WalletState};
use tokio::time::Instant;
use tracing::{info, warn};

use crate::error::TemplateError;

/// After a failure. Loading costs the daemon a second and 256 MiB, and wrong passwords lock it for longer and longer.
const PAUSE: Duration = Duration::from_secs(10);

pub(crate) struct WalletOpener {
    password: WalletPassword,
    tried_at: Cell<Option<Instant>>,
    /// It stood in the way the last time.
    is_shut: Cell<bool>,
}

impl WalletOpener {
    pub(crate) fn new(password: WalletPassword) -> WalletOpener {
        WalletOpener { password, tried_at: Cell::new(None), is_shut: Cell::new(false) }
    }

    /// Whether it was needed the last time and could not be opened.
    pub(crate) fn is_shut(&self) -> bool {
        self.is_shut.get()
    }

    /// Does what needs a wallet; opens it and does it once more when its state is what stands in the way.
    pub(crate) async fn with<T>(
        &self,
        daemon: &Daemon,
        work: impl AsyncFn() -> Result<T, DaemonError>,
    ) -> Result<T, TemplateError> {
        let outcome = match work().await {
            Err(DaemonError::Wallet(state @ (WalletState::NotLoaded | WalletState::Locked))) => {
                self.is_shut.set(true);
                self.open(daemon, state).await?;
                work().await
            }
            outcome => outcome,
        };
        self.is_shut.set(matches!(outcome, Err(DaemonError::Wallet(_))));
        Ok(outcome?)
    }

    async fn open(&self, daemon: &Daemon, state: WalletState) -> Result<(), TemplateError> {
        let now = Instant::now();
        if self.tried_at.get().is_some_and(|at| now.duration_since(at) < PAUSE) {
            return Err(TemplateError::WalletShut(state));
        }
        let read = Arc::clone(&self.password);
        // Its file may lie on a file system that hangs; the arbiter must not.
        let password = tokio::task::spawn_blocking(move || read()).await.unwrap_or_default();
        let Some(password) = password else { return Err(TemplateError::NoPassword(state)) };
        self.tried_at.set(Some(now));
        warn!(daemon = daemon.place(), wallet = %state, "opening the daemon's wallet");
        match state {
            WalletState::Locked => daemon.wallet_unlock(&password).await?,
            _ => drop(daemon.wallet_load(&password).await?),
        }
        self.tried_at.set(None);
        info!(daemon = daemon.place(), "daemon's wallet is open");
        Ok(())
    }
}
