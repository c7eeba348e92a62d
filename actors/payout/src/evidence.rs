//! What the wallet shows: its outputs, its sends, and what they say about a payout.
use std::collections::{BTreeMap, HashMap};

use chain::{Outpoint, TxId};
use daemon::{Balance, ChainState, Daemon, Output, OutputState, WalletOutputs, WalletSend};
use store::payouts::{Intent, IntentState};
use units::{Amount, Height};

use crate::body::memo_hex;
use crate::error::PayoutError;
use crate::paying_daemon::PayingDaemon;
use crate::plan::WalletOutput;
use crate::resolve::{FoundTransaction, Inputs, TxLocation};

/// Sends per page: one of them that no block holds makes the daemon walk the whole chain.
const PAGE: u32 = 20;
const PAGES_MAX: u64 = 200;
/// A send notes the tip as the daemon saw it, which may have been a little behind.
const HEIGHT_SLACK: u64 = 10;

/// The wallet at one tip.
pub(crate) struct WalletSnapshot {
    pub(crate) tip: Height,
    /// Whose it is.
    pub(crate) wallet: String,
    outputs: HashMap<Outpoint, Output>,
    /// What its own blocks and change gave it, by block.
    by_block: HashMap<Height, Vec<(TxId, Amount)>>,
    /// Newest first, as far back as any open payout reaches.
    sends: Vec<WalletSend>,
    /// Unspent outputs and expected change.
    pub(crate) held: Amount,
}

/// Looks at outputs first and sends last, so that a send in between is seen. `oldest`: tip when the oldest open payout
/// was planned.
pub(crate) async fn look(paying: &PayingDaemon, oldest: Option<Height>) -> Result<WalletSnapshot, PayoutError> {
    let daemon = paying.client();
    let before = paying.wallet_address().await?.address;
    let outputs = paying.with_wallet(async || daemon.wallet_outputs().await).await?;
    if outputs.synced_height < outputs.chain_height {
        return Err(PayoutError::Scanning { synced: outputs.synced_height, tip: outputs.chain_height });
    }
    let balance = daemon.wallet_balance().await?;
    let change = match balance {
        Balance::Ready(balance) if balance.chain_height == outputs.chain_height => balance.pending_unconfirmed,
        Balance::Ready(balance) => {
            return Err(PayoutError::Scanning { synced: outputs.synced_height, tip: balance.chain_height });
        }
        Balance::Scanning { synced_height, chain_height } => {
            return Err(PayoutError::Scanning { synced: synced_height, tip: chain_height });
        }
    };
    let sends = match oldest {
        Some(oldest) => sends_since(daemon, oldest).await?,
        None => Vec::new(),
    };
    // The URL may lead to another daemon at any moment.
    let now = daemon.wallet_address().await?.address;
    if now != before {
        return Err(PayoutError::WalletChanged { before, now });
    }
    Ok(WalletSnapshot::new(now, outputs, change, sends))
}

async fn sends_since(daemon: &Daemon, oldest: Height) -> Result<Vec<WalletSend>, PayoutError> {
    let mut sends: Vec<WalletSend> = Vec::new();
    for page in 0..PAGES_MAX {
        let offset = page.saturating_mul(u64::from(PAGE));
        let page = daemon.wallet_sends(PAGE, offset).await?;
        let is_last = page.sends.is_empty() || offset.saturating_add(u64::from(PAGE)) >= page.total;
        let reached = |send: &WalletSend| send.recorded_height.get().saturating_add(HEIGHT_SLACK) < oldest.get();
        let reached = page.sends.last().is_some_and(reached);
        sends.extend(page.sends);
        if is_last || reached {
            return Ok(sends);
        }
    }
    Err(PayoutError::TooManySends { oldest })
}

/// What the wallet got in the block that spent the inputs.
enum GivenBack {
    /// By one transaction, to the atom.
    Exactly(TxId),
    Nothing,
    /// Something else.
    Otherwise,
}

fn outpoint(output: &Output) -> Outpoint {
    Outpoint { txid: output.txid, index: output.output_index }
}

impl WalletSnapshot {
    pub(crate) fn new(
        wallet: String,
        outputs: WalletOutputs,
        change: Amount,
        sends: Vec<WalletSend>,
    ) -> WalletSnapshot {
        let unspent = outputs.outputs.iter().filter(|output| output.status != OutputState::Spent);
        let unspent = Amount::checked_sum(unspent.map(|output| output.amount)).unwrap_or(Amount::MAX);
        let mut by_block: HashMap<Height, Vec<(TxId, Amount)>> = HashMap::new();
        for output in outputs.outputs.iter().filter(|output| !output.coinbase) {
            by_block.entry(output.block_height).or_default().push((output.txid, output.amount));
        }
        let held = unspent.checked_add(change).unwrap_or(Amount::MAX);
        let tip = outputs.chain_height;
        let outputs = outputs.outputs.into_iter().map(|output| (outpoint(&output), output)).collect();
        WalletSnapshot { tip, wallet, outputs, by_block, sends, held }
    }

    /// Outputs that can be spent now.
    pub(crate) fn outputs(&self) -> impl Iterator<Item = WalletOutput> + '_ {
        let unspent = self.outputs.values().filter(|output| output.status == OutputState::Unspent);
        unspent.map(|output| WalletOutput { outpoint: outpoint(output), amount: output.amount })
    }

    /// The payout's money has not left the wallet.
    pub(crate) fn still_holds(&self, intent: &Intent) -> bool {
        match self.inputs(intent).0 {
            Inputs::Unnamed => intent.state == IntentState::Reserved,
            Inputs::Unspent | Inputs::Immature => true,
            Inputs::Leaving | Inputs::Unclear { .. } | Inputs::Taken { .. } => false,
        }
    }

    /// The inputs of a payout, and its transaction where its change alone tells of it: all inputs were spent in one
    /// block, and a transaction there gave back to the atom what this payout would have left over.
    pub(crate) fn inputs(&self, intent: &Intent) -> (Inputs, Option<FoundTransaction>) {
        let Some(attempt) = intent.attempts.last().filter(|attempt| !attempt.inputs.is_empty()) else {
            return (Inputs::Unnamed, None);
        };
        let found: Vec<Option<&Output>> = attempt.inputs.iter().map(|input| self.outputs.get(input)).collect();
        let Some(found) = found.into_iter().collect::<Option<Vec<&Output>>>() else {
            return (Inputs::Taken { since: None }, None);
        };
        let is = |state| move |output: &&&Output| output.status == state;
        let spent = found.iter().filter(is(OutputState::Spent)).count();
        let mined =
            found.iter().filter_map(|output| output.spent_height.filter(|_| output.status == OutputState::Spent));
        let Some(first) = mined.clone().min() else {
            let immature = found.iter().filter(is(OutputState::Pending)).count();
            return match (spent, immature) {
                (0, 0) => (Inputs::Unspent, None),
                (0, _) => (Inputs::Immature, None),
                _ => (Inputs::Leaving, None),
            };
        };
        let together = mined.clone().count() == found.len() && mined.clone().all(|height| height == first);
        if !together {
            return (Inputs::Taken { since: Some(first) }, None);
        }
        let total = Amount::checked_sum(found.iter().map(|output| output.amount));
        let sent = Amount::checked_sum(intent.lines.iter().map(|line| line.net).chain([intent.fee_expected]));
        let change = total.zip(sent).and_then(|(total, sent)| total.checked_sub(sent)).unwrap_or_default();
        match self.given_back(&memo_hex(&intent.id), first, change) {
            GivenBack::Exactly(txid) => {
                let place = TxLocation::Block { depth: self.tip.get().saturating_sub(first.get()) };
                (Inputs::Leaving, Some(FoundTransaction { txid, fee: intent.fee_expected, place }))
            }
            // This payout would have given change back.
            GivenBack::Nothing if !change.is_zero() => (Inputs::Taken { since: Some(first) }, None),
            GivenBack::Nothing | GivenBack::Otherwise => (Inputs::Unclear { since: first }, None),
        }
    }

    /// `memo`: of the payout. Payouts of equal blocks leave equal change, so what the wallet knows as another one's
    /// transaction is not looked at, and two that fit tell nothing.
    fn given_back(&self, memo: &str, height: Height, change: Amount) -> GivenBack {
        let Some(outputs) = self.by_block.get(&height) else { return GivenBack::Nothing };
        let mut by_tx: BTreeMap<TxId, Amount> = BTreeMap::new();
        for (txid, amount) in outputs {
            let sum = by_tx.entry(*txid).or_insert(Amount::ZERO);
            *sum = sum.checked_add(*amount).unwrap_or(Amount::MAX);
        }
        let is_others = |txid: &TxId| self.sends.iter().any(|send| send.txid == *txid && !has_memo(send, memo));
        let mut exact = by_tx.into_iter().filter(|(txid, sum)| *sum == change && !is_others(txid));
        match (exact.next(), exact.next()) {
            (Some((txid, _)), None) => GivenBack::Exactly(txid),
            _ => GivenBack::Otherwise,
        }
    }

    /// The send with the payout's memo: the one in a block if there is one, else one that waits, else the newest.
    pub(crate) fn send_of(&self, id: &str) -> Result<Option<FoundTransaction>, PayoutError> {
        let memo = memo_hex(id);
        let ours: Vec<&WalletSend> = self.sends.iter().filter(|send| has_memo(send, &memo)).collect();
        let mined: Vec<&&WalletSend> = ours.iter().filter(|send| send.chain_state == ChainState::Confirmed).collect();
        if mined.len() > 1 {
            let why = format!("{} transactions with its memo are in blocks", mined.len());
            return Err(PayoutError::Books { id: id.to_owned(), why });
        }
        let waiting = ours.iter().find(|send| send.chain_state == ChainState::Mempool);
        let best = mined.first().copied().or(waiting).or(ours.first());
        Ok(best.map(|send| FoundTransaction {
            txid: send.txid,
            fee: send.fee,
            place: match send.chain_state {
                ChainState::Confirmed => TxLocation::Block { depth: send.confirmations.saturating_sub(1) },
                ChainState::Mempool => TxLocation::Mempool,
                ChainState::NotFound => TxLocation::Nowhere,
            },
        }))
    }
}

fn has_memo(send: &WalletSend, memo: &str) -> bool {
    send.recipients.iter().any(|recipient| recipient.memo_hex.as_deref() == Some(memo))
}

#[cfg(test)]
mod tests;
