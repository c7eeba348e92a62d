//! The daemon's wallet as far as templates need it: it must be loaded, and it may name the address to pin.
use std::cell::Cell;
use std::time::Duration;

use daemon::{Daemon, DaemonError, WalletState};
use secrecy::SecretString;
use tokio::time::Instant;
use tracing::{info, warn};

use crate::trouble::Trouble;

/// After a failure. Loading costs the daemon a second and 256 MiB, and wrong passwords lock it for longer and longer.
const PAUSE: Duration = Duration::from_secs(10);

pub(crate) struct Wallet {
    password: Option<SecretString>,
    tried_at: Cell<Option<Instant>>,
}

impl Wallet {
    pub(crate) fn new(password: Option<SecretString>) -> Wallet {
        Wallet { password, tried_at: Cell::new(None) }
    }

    /// Does what needs a wallet; opens it and does it once more when its state is what stands in the way.
    pub(crate) async fn with<T>(
        &self,
        daemon: &Daemon,
        work: impl AsyncFn() -> Result<T, DaemonError>,
    ) -> Result<T, Trouble> {
        match work().await {
            Err(DaemonError::Wallet(state @ (WalletState::NotLoaded | WalletState::Locked))) => {
                self.open(daemon, state).await?;
                Ok(work().await?)
            }
            outcome => Ok(outcome?),
        }
    }

    async fn open(&self, daemon: &Daemon, state: WalletState) -> Result<(), Trouble> {
        let Some(password) = &self.password else {
            return Err(Trouble::NoPassword(state));
        };
        let now = Instant::now();
        if self.tried_at.get().is_some_and(|at| now.duration_since(at) < PAUSE) {
            return Err(Trouble::WalletShut(state));
        }
        self.tried_at.set(Some(now));
        warn!(daemon = daemon.place(), wallet = %state, "opening the daemon's wallet");
        match state {
            WalletState::Locked => daemon.wallet_unlock(password).await?,
            _ => drop(daemon.wallet_load(password).await?),
        }
        self.tried_at.set(None);
        info!(daemon = daemon.place(), "daemon's wallet is open");
        Ok(())
    }
}
