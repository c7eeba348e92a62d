//! Opens a daemon's wallet when it is shut: a headless daemon forgets it at every start.
use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tracing::{info, warn};

use crate::{Daemon, DaemonError, WalletPassword, WalletState};

/// After a failure. Loading costs the daemon a second and 256 MiB, and wrong passwords lock it for longer and longer.
const PAUSE: Duration = Duration::from_secs(10);

/// Opens one daemon's wallet. It refuses to try again right after a try that failed.
pub struct WalletOpener {
    password: WalletPassword,
    /// For the log: what needs the wallet.
    purpose: &'static str,
    /// When it was last tried to open it, if that was in vain.
    tried_at: Cell<Option<Instant>>,
    /// It stood in the way the last time.
    is_shut: Cell<bool>,
}

/// Why something that needs a wallet was not done.
#[derive(Debug, thiserror::Error)]
pub enum WalletError {
    /// The daemon does not answer, or says no.
    #[error(transparent)]
    Daemon(#[from] DaemonError),
    /// The wallet must be opened by somebody who knows the password.
    #[error("daemon's wallet: {0}; no wallet password is set, so the pool cannot open it")]
    NoPassword(WalletState),
    /// Opening it was tried a moment ago.
    #[error("daemon's wallet: {0}; trying again in a moment")]
    Shut(WalletState),
}

impl WalletOpener {
    /// `purpose` is what needs the wallet, as the log says it.
    #[must_use]
    pub fn new(password: WalletPassword, purpose: &'static str) -> WalletOpener {
        WalletOpener { password, purpose, tried_at: Cell::new(None), is_shut: Cell::new(false) }
    }

    /// Whether it was needed the last time and could not be opened.
    #[must_use]
    pub fn is_shut(&self) -> bool {
        self.is_shut.get()
    }

    /// Does what needs a wallet. When its state stands in the way nothing was done: it is opened, and the same is done
    /// once more.
    ///
    /// # Errors
    /// What `work` says, or why the wallet cannot be opened.
    pub async fn with<T>(
        &self,
        daemon: &Daemon,
        work: impl AsyncFn() -> Result<T, DaemonError>,
    ) -> Result<T, WalletError> {
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

    /// Loads or unlocks it.
    ///
    /// # Errors
    /// [`WalletError::NoPassword`], [`WalletError::Shut`] right after a failure, or what the daemon says.
    pub async fn open(&self, daemon: &Daemon, state: WalletState) -> Result<(), WalletError> {
        let now = Instant::now();
        if self.tried_at.get().is_some_and(|at| now.duration_since(at) < PAUSE) {
            return Err(WalletError::Shut(state));
        }
        let read = Arc::clone(&self.password);
        // Its file may lie on a file system that hangs; the arbiter must not.
        let password = tokio::task::spawn_blocking(move || read()).await.unwrap_or_default();
        let password = password.ok_or(WalletError::NoPassword(state))?;
        self.tried_at.set(Some(now));
        warn!(daemon = daemon.place(), wallet = %state, purpose = self.purpose, "opening the daemon's wallet");
        match state {
            WalletState::Locked => daemon.wallet_unlock(&password).await?,
            _ => drop(daemon.wallet_load(&password).await?),
        }
        self.tried_at.set(None);
        info!(daemon = daemon.place(), "daemon's wallet is open");
        Ok(())
    }
}
