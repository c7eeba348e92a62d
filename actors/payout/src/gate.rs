//! What may be done now: whether anything may be sent at all, and whether there is a wallet that could.
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use chain::{Address, Network};
use settings::PayoutSettings;
use tokio::time::Instant;

use crate::error::PayoutError;
use crate::metrics::PayoutMetrics;
use crate::parts::PayoutParts;
use crate::paying_daemon::PayingDaemon;
use crate::standing::Standing;

/// How often the wallet is looked at while nothing else needs it.
const WALLET_EVERY: Duration = Duration::from_secs(2);

/// Whether anything new may be sent.
pub(crate) enum SendPermission {
    Open,
    /// An operator wants nothing to be sent.
    Shut,
    /// Nobody wants it so.
    Stuck(PayoutError),
}

/// What operators and the daemon's own state allow.
pub(crate) struct SendGate {
    settings: PayoutSettings,
    metrics: Arc<PayoutMetrics>,
}

impl SendGate {
    pub(crate) fn new(parts: &PayoutParts) -> SendGate {
        SendGate { settings: parts.settings.clone(), metrics: Arc::clone(&parts.metrics) }
    }

    /// Whether anything may be sent at all. What was sent is followed all the same.
    pub(crate) async fn check(&self, is_behind: bool, standing: &mut Standing) -> SendPermission {
        let settings = &self.settings;
        let paused = match settings.pause_file.clone() {
            _ if !settings.enabled => Some(PayoutError::Off),
            Some(file) => {
                let path = file.clone();
                let found = tokio::task::spawn_blocking(move || path.try_exists()).await;
                match found.unwrap_or_else(|error| Err(std::io::Error::other(error))) {
                    Ok(false) => None,
                    Ok(true) => Some(PayoutError::Paused(file)),
                    Err(error) => Some(PayoutError::PauseUnknown { file, why: error.to_string() }),
                }
            }
            None => None,
        };
        self.metrics.payouts_paused.set(u64::from(paused.is_some()));
        let wanted = paused.as_ref().filter(|paused| !matches!(paused, PayoutError::PauseUnknown { .. }));
        standing.wanted = wanted.map(PayoutError::reason);
        standing.gate = match &paused {
            Some(trouble @ PayoutError::PauseUnknown { .. }) => Some(trouble.reason()),
            _ if is_behind => Some(PayoutError::Syncing.reason()),
            _ => None,
        };
        match paused {
            Some(trouble @ PayoutError::PauseUnknown { .. }) => SendPermission::Stuck(trouble),
            Some(_) => SendPermission::Shut,
            None if is_behind => SendPermission::Stuck(PayoutError::Syncing),
            None => SendPermission::Open,
        }
    }
}

/// Looks at the wallet now and then.
pub(crate) struct WalletWatch {
    daemon: Rc<PayingDaemon>,
    network: Network,
    metrics: Arc<PayoutMetrics>,
    looked_at: Option<Instant>,
}

impl WalletWatch {
    pub(crate) fn new(parts: &PayoutParts, daemon: &Rc<PayingDaemon>) -> WalletWatch {
        WalletWatch {
            daemon: Rc::clone(daemon),
            network: parts.network,
            metrics: Arc::clone(&parts.metrics),
            looked_at: None,
        }
    }

    /// Whether there is a wallet that could send: also while nothing is due, so that an operator hears of it in time. A
    /// wallet that is shut is opened.
    pub(crate) async fn look(&mut self, standing: &mut Standing) {
        if self.looked_at.is_some_and(|looked| looked.elapsed() < WALLET_EVERY) {
            return;
        }
        self.looked_at = Some(Instant::now());
        let trouble = match self.daemon.wallet_address().await {
            Ok(own) if own.view_only => Some(PayoutError::ViewOnly),
            Ok(own) => {
                let parsed = Address::parse(&own.address, &self.network);
                parsed.err().map(|error| PayoutError::ForeignWallet { why: error.to_string() })
            }
            Err(trouble) if trouble.is_of_the_wallet() => Some(trouble),
            // The daemon is asked in every step; what it lacks is told there.
            Err(_) => return,
        };
        let is_shut = trouble.as_ref().is_some_and(PayoutError::is_shut);
        self.metrics.payouts_wallet_shut.set(u64::from(is_shut));
        standing.wallet = trouble.as_ref().map(PayoutError::reason);
    }
}
