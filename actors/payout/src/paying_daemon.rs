//! The daemon whose wallet pays: its wallet is opened when it is shut, and what the daemon understands is found out when
//! that is first needed.
use std::cell::Cell;

use chain::{Address, Network};
use daemon::{Balance, Daemon, DaemonError, WalletAddress, WalletOpener, WalletState};
use tracing::warn;

use crate::error::PayoutError;

/// Which requests the daemon understands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Named inputs, and a daemon that can be asked what became of a request.
    Full,
    /// Neither: only what every daemon has.
    Plain,
}

/// One per actor, shared by its parts.
pub(crate) struct PayingDaemon {
    daemon: Daemon,
    opener: WalletOpener,
    /// Found out when first needed, and again after the daemon was away.
    mode: Cell<Option<Mode>>,
}

impl PayingDaemon {
    pub(crate) fn new(daemon: Daemon, opener: WalletOpener) -> PayingDaemon {
        PayingDaemon { daemon, opener, mode: Cell::new(None) }
    }

    /// For what needs no wallet, or must not be done twice.
    pub(crate) fn client(&self) -> &Daemon {
        &self.daemon
    }

    /// Does what needs a wallet; opens it and does it once more when its state is what stands in the way.
    pub(crate) async fn with_wallet<T>(
        &self,
        work: impl AsyncFn() -> Result<T, DaemonError>,
    ) -> Result<T, PayoutError> {
        Ok(self.opener.with(&self.daemon, work).await?)
    }

    pub(crate) async fn open_wallet(&self, state: WalletState) -> Result<(), PayoutError> {
        Ok(self.opener.open(&self.daemon, state).await?)
    }

    pub(crate) async fn wallet_address(&self) -> Result<WalletAddress, PayoutError> {
        self.with_wallet(async || self.daemon.wallet_address().await).await
    }

    pub(crate) async fn wallet_balance(&self) -> Result<Balance, PayoutError> {
        self.with_wallet(async || self.daemon.wallet_balance().await).await
    }

    /// Which requests this daemon understands.
    pub(crate) async fn mode(&self) -> Result<Mode, PayoutError> {
        if let Some(mode) = self.mode.get() {
            return Ok(mode);
        }
        let can = self.daemon.probe().await?;
        let mode = if can.send_status && can.sends && can.advanced { Mode::Full } else { Mode::Plain };
        if mode == Mode::Plain {
            warn!(
                daemon = self.daemon.place(),
                "the daemon lacks send/status, sends or send/advanced: a payout whose outcome is unknown waits for an operator"
            );
        }
        self.mode.set(Some(mode));
        Ok(mode)
    }

    /// What is known of it without asking.
    pub(crate) fn known_mode(&self) -> Option<Mode> {
        self.mode.get()
    }

    /// Another daemon may answer from now on.
    pub(crate) fn forget_mode(&self) {
        self.mode.set(None);
    }
}

/// An address has more than one text.
pub(crate) fn is_same_wallet(one: &str, other: &str, network: &Network) -> bool {
    let keys = |text| Address::parse(text, network).ok().map(|address| (*address.spend_key(), *address.view_key()));
    one == other || keys(one).is_some_and(|one| Some(one) == keys(other))
}
