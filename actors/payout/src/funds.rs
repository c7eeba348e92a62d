//! What the wallet can spend, and whether it covers what the pool owes.
use std::collections::HashSet;
use std::rc::Rc;
use std::sync::Arc;

use accounting::AccountKind;
use chain::{Network, Outpoint};
use daemon::Balance;
use store::payouts::{Intent, IntentState};
use store::{Store, StoreError};
use units::Amount;

use crate::error::PayoutError;
use crate::evidence::WalletSnapshot;
use crate::metrics::PayoutMetrics;
use crate::parts::PayoutParts;
use crate::paying_daemon::{PayingDaemon, is_same_wallet};
use crate::plan::WalletOutput;

/// What can be spent.
pub(crate) enum SpendableFunds<'a> {
    /// These outputs.
    Outputs(&'a WalletSnapshot, Vec<WalletOutput>),
    /// So much, of outputs that the wallet chooses.
    Sum(Amount),
}

/// Only looks.
pub(crate) struct WalletFunds {
    daemon: Rc<PayingDaemon>,
    store: Store,
    metrics: Arc<PayoutMetrics>,
    network: Network,
}

impl WalletFunds {
    pub(crate) fn new(parts: &PayoutParts, daemon: &Rc<PayingDaemon>) -> WalletFunds {
        WalletFunds {
            daemon: Rc::clone(daemon),
            store: parts.store.clone(),
            metrics: Arc::clone(&parts.metrics),
            network: parts.network,
        }
    }

    /// What may be spent: no output that an open payout has chosen.
    pub(crate) async fn spendable<'a>(
        &self,
        look: Option<&'a WalletSnapshot>,
        open: &[Intent],
    ) -> Result<SpendableFunds<'a>, PayoutError> {
        let Some(look) = look else {
            return match self.daemon.wallet_balance().await? {
                Balance::Ready(balance) => Ok(SpendableFunds::Sum(balance.spendable)),
                Balance::Scanning { synced_height, chain_height } => {
                    Err(PayoutError::Scanning { synced: synced_height, tip: chain_height })
                }
            };
        };
        let chosen: HashSet<&Outpoint> =
            open.iter().flat_map(|intent| &intent.attempts).flat_map(|attempt| &attempt.inputs).collect();
        let is_free = |output: &WalletOutput| !chosen.contains(&output.outpoint);
        Ok(SpendableFunds::Outputs(look, look.outputs().filter(is_free).collect()))
    }

    /// The wallet must cover what the pool owes and has not sent.
    pub(crate) async fn check_solvency(
        &self,
        look: Option<&WalletSnapshot>,
        open: &[Intent],
    ) -> Result<(), PayoutError> {
        let (held, unsent): (Amount, Vec<Amount>) = match look {
            Some(look) => {
                let unsent = open.iter().filter(|intent| self.is_unsent(intent, look));
                (look.held, unsent.map(|intent| intent.gross).collect())
            }
            None => {
                let unsent = open.iter().filter(|intent| intent.state == IntentState::Reserved);
                (self.balance_held().await?, unsent.map(|intent| intent.gross).collect())
            }
        };
        let payable = payable(&self.store).await?;
        let owed = Amount::checked_sum(unsent.into_iter().chain([payable])).unwrap_or(Amount::MAX);
        let is_short = held < owed;
        self.metrics.payouts_insolvent.set(u64::from(is_short));
        if is_short { Err(PayoutError::Insolvent { held, owed }) } else { Ok(()) }
    }

    /// Money that the wallet still holds for a payout. What another wallet was asked for may become payable again.
    fn is_unsent(&self, intent: &Intent, look: &WalletSnapshot) -> bool {
        match &intent.wallet {
            Some(wallet) if !is_same_wallet(wallet, &look.wallet, &self.network) => {
                matches!(intent.state, IntentState::Reserved | IntentState::Unknown)
            }
            _ => look.still_holds(intent),
        }
    }

    async fn balance_held(&self) -> Result<Amount, PayoutError> {
        match self.daemon.wallet_balance().await? {
            Balance::Ready(balance) => {
                Ok(balance.total.checked_add(balance.pending_unconfirmed).unwrap_or(Amount::MAX))
            }
            Balance::Scanning { synced_height, chain_height } => {
                Err(PayoutError::Scanning { synced: synced_height, tip: chain_height })
            }
        }
    }
}

async fn payable(store: &Store) -> Result<Amount, StoreError> {
    let totals = store.account_totals().await?;
    let payable = totals.get(&AccountKind::Payable).copied().unwrap_or(0);
    Ok(Amount::from_i64(payable).unwrap_or(Amount::ZERO))
}
