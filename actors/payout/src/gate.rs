//! What may be done now, and with which requests; figures of what is open.
use std::time::Duration;

use chain::Address;
use store::payouts::{Intent, IntentState, OperatorDecision};
use tokio::time::Instant;
use tracing::warn;

use crate::actor::{Mode, Payout};
use crate::error::PayoutError;
use crate::run_once::count;

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

impl Payout {
    /// Whether anything may be sent at all. What was sent is followed all the same.
    pub(crate) async fn check_gate(&mut self, is_behind: bool) -> SendPermission {
        let settings = &self.parts.settings;
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
        self.parts.counters.payouts_paused.set(u64::from(paused.is_some()));
        let wanted = paused.as_ref().filter(|paused| !matches!(paused, PayoutError::PauseUnknown { .. }));
        self.standing.wanted = wanted.map(PayoutError::reason);
        self.standing.gate = match &paused {
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

    /// Whether there is a wallet that could send: also while nothing is due, so that an operator hears of it in time. A
    /// wallet that is shut is opened.
    pub(crate) async fn look_at_wallet(&mut self) {
        if self.wallet_looked.is_some_and(|looked| looked.elapsed() < WALLET_EVERY) {
            return;
        }
        self.wallet_looked = Some(Instant::now());
        let trouble = match self.wallet.with(&self.daemon, async || self.daemon.wallet_address().await).await {
            Ok(own) if own.view_only => Some(PayoutError::ViewOnly),
            Ok(own) => {
                let parsed = Address::parse(&own.address, &self.parts.network);
                parsed.err().map(|error| PayoutError::ForeignWallet { why: error.to_string() })
            }
            Err(trouble) if trouble.is_of_the_wallet() => Some(trouble),
            // The daemon is asked in every step; what it lacks is told there.
            Err(_) => return,
        };
        let is_shut = trouble.as_ref().is_some_and(PayoutError::is_shut);
        self.parts.counters.payouts_wallet_shut.set(u64::from(is_shut));
        self.standing.wallet = trouble.as_ref().map(PayoutError::reason);
    }

    /// Which requests this daemon understands.
    pub(crate) async fn mode(&mut self) -> Result<Mode, PayoutError> {
        if let Some(mode) = self.mode {
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
        self.mode = Some(mode);
        Ok(mode)
    }

    pub(crate) fn count(&mut self, open: &[Intent]) {
        let counters = &self.parts.counters;
        let of = |state| count(open.iter().filter(|intent| intent.state == state).count());
        counters.payouts_reserved.set(of(IntentState::Reserved));
        counters.payouts_unknown.set(of(IntentState::Unknown));
        counters.payouts_broadcast.set(of(IntentState::Broadcast));
        counters.payouts_confirmed.set(of(IntentState::Confirmed));
        counters.payouts_attention.set(count(open.iter().filter(|intent| intent.attention.is_some()).count()));
        let now = (self.parts.clock)();
        let oldest = open.iter().map(|intent| now.since(intent.created_at)).max().unwrap_or(Duration::ZERO);
        counters.payouts_oldest_seconds.set(oldest.as_secs());
        self.refusals.get_mut().retain(|key| open.iter().any(|intent| key.starts_with(&intent.id)));
        self.heard.retain(|id, _| open.iter().any(|intent| intent.id == *id));
        self.looked.retain(|id, _| open.iter().any(|intent| intent.id == *id));
        let named = open.iter().filter_map(|intent| match &intent.word {
            Some(OperatorDecision::Sent { txid }) => Some(txid.as_str()),
            _ => None,
        });
        let sent = open.iter().filter_map(|intent| intent.txid.as_deref());
        self.trail.keep(&sent.chain(named).collect::<Vec<_>>());
    }
}
