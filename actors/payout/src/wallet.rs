//! Opens the daemon's wallet when it is shut: a headless daemon forgets it at every start.
use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use daemon::{Daemon, DaemonError, WalletPassword, WalletState};
use tokio::time::Instant;
use tracing::{info, warn};

use crate::error::PayoutError;

/// Loading costs the daemon a second and 256 MiB, and wrong passwords lock it for longer and longer.
const PAUSE: Duration = Duration::from_secs(10);

pub(crate) struct WalletOpener {
    password: WalletPassword,
    /// When it was last opened, or tried to be, in vain.
    failed_at: Cell<Option<Instant>>,
}

impl WalletOpener {
    pub(crate) fn new(password: WalletPassword) -> WalletOpener {
        WalletOpener { password, failed_at: Cell::new(None) }
    }

    /// Does what needs a wallet. When its state stands in the way nothing was done: it is opened, and the same is done
    /// once more.
    pub(crate) async fn with<T>(
        &self,
        daemon: &Daemon,
        work: impl AsyncFn() -> Result<T, DaemonError>,
    ) -> Result<T, PayoutError> {
        match work().await {
            Err(DaemonError::Wallet(state @ (WalletState::NotLoaded | WalletState::Locked))) => {
                self.open(daemon, state).await?;
                Ok(work().await?)
            }
            outcome => Ok(outcome?),
        }
    }

    /// Loads or unlocks it.
    pub(crate) async fn open(&self, daemon: &Daemon, state: WalletState) -> Result<(), PayoutError> {
        let now = Instant::now();
        if self.failed_at.get().is_some_and(|at| now.duration_since(at) < PAUSE) {
            return Err(PayoutError::WalletShut(state));
        }
        self.failed_at.set(Some(now));
        let read = Arc::clone(&self.password);
        // Its file may lie on a file system that hangs; the arbiter must not.
        let password = tokio::task::spawn_blocking(move || read()).await.unwrap_or_default();
        let password = password.ok_or(PayoutError::NoPassword(state))?;
        warn!(daemon = daemon.place(), wallet = %state, "opening the daemon's wallet for payouts");
        match state {
            WalletState::Locked => daemon.wallet_unlock(&password).await?,
            _ => drop(daemon.wallet_load(&password).await?),
        }
        self.failed_at.set(None);
        info!(daemon = daemon.place(), "daemon's wallet is open");
        Ok(())
    }
}
