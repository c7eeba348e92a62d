//! Changes payouts, each in the database first and then at hand, and books what they come to.
use std::sync::Arc;

use accounting::{Entry, Paid};
use messages::facts::Clock;
use store::Store;
use store::payouts::{Attempt, Intent, IntentChange, IntentState};
use tracing::{info, warn};
use units::Amount;

use crate::error::PayoutError;
use crate::intent::{key_of, newest, to};
use crate::metrics::PayoutMetrics;
use crate::parts::PayoutParts;
use crate::resolve::{FoundTransaction, TxLocation};
use crate::tip::StepContext;

/// Asks no daemon: what it writes was found out by others. Cheap to clone.
#[derive(Clone)]
pub(crate) struct IntentBooks {
    store: Store,
    clock: Clock,
    metrics: Arc<PayoutMetrics>,
    settle_depth: u64,
}

impl IntentBooks {
    pub(crate) fn new(parts: &PayoutParts) -> IntentBooks {
        IntentBooks {
            store: parts.store.clone(),
            clock: Arc::clone(&parts.clock),
            metrics: Arc::clone(&parts.metrics),
            settle_depth: parts.settle_depth,
        }
    }

    /// Notes that the wallet is about to be asked; the number of that step. From here on it may have been.
    pub(crate) async fn ask(&self, intent: &mut Intent, epoch: i64) -> Result<u64, PayoutError> {
        let steps = self.store.intent_ask(epoch, &intent.id).await?;
        intent.state = IntentState::Unknown;
        Ok(steps)
    }

    /// Notes a transaction, and closes the books when it is deep enough.
    pub(crate) async fn sent(
        &self,
        intent: &mut Intent,
        seen: FoundTransaction,
        epoch: i64,
    ) -> Result<(), PayoutError> {
        let state = match seen.place {
            TxLocation::Block { .. } => IntentState::Confirmed,
            TxLocation::Mempool | TxLocation::Nowhere => IntentState::Broadcast,
        };
        let is_new = intent.txid.as_ref() != Some(&seen.txid) || intent.fee_paid != Some(seen.fee);
        let is_deep = matches!(seen.place, TxLocation::Block { depth } if depth >= self.settle_depth);
        // What hinders the closing of the books is still so.
        let is_well = intent.attention.is_none() || is_deep;
        if is_new || intent.state != state || intent.absent_since.is_some() || !is_well {
            let at = (self.clock)();
            let change = IntentChange {
                state: Some(state),
                sent: is_new.then_some((seen.txid, seen.fee, at)),
                absent_since: Some(None),
                attention: (!is_well).then_some(None),
                outcome: is_new.then(|| "sent".to_owned()),
                ..IntentChange::default()
            };
            self.change(intent, epoch, change).await?;
            if is_new {
                self.metrics.payouts_sent_total.add(1);
            }
            info!(payout = intent.id, txid = %seen.txid, state = state.as_str(), "payout");
        }
        if is_deep { self.settle(intent, seen.fee, epoch).await } else { Ok(()) }
    }

    async fn settle(&self, intent: &mut Intent, fee: Amount, epoch: i64) -> Result<(), PayoutError> {
        let paid: Vec<Paid<'_>> =
            intent.lines.iter().map(|line| Paid { address: &line.address, gross: line.gross, net: line.net }).collect();
        let entry = Entry::payout_settled(&intent.id, &paid, fee).map_err(|error| books(intent, error))?;
        self.close(intent, IntentState::Settled, entry, epoch).await?;
        let metrics = &self.metrics;
        metrics.payouts_settled_total.add(1);
        metrics.payouts_settled_atoms_total.add(intent.lines.iter().map(|line| line.net.atoms()).sum());
        info!(
            payout = intent.id,
            txid = intent.txid.map(tracing::field::display),
            recipients = intent.lines.len(),
            "payout settled"
        );
        Ok(())
    }

    pub(crate) async fn release(&self, intent: &mut Intent, outcome: &str, epoch: i64) -> Result<(), PayoutError> {
        let change = IntentChange { outcome: Some(outcome.to_owned()), ..IntentChange::default() };
        self.change(intent, epoch, change).await?;
        let gross: Vec<(&str, Amount)> = intent.lines.iter().map(|line| (line.address.as_str(), line.gross)).collect();
        let entry = Entry::payout_released(&intent.id, &gross).map_err(|error| books(intent, error))?;
        self.close(intent, IntentState::Released, entry, epoch).await?;
        self.metrics.payouts_released_total.add(1);
        warn!(payout = intent.id, outcome, "payout not sent, amounts payable again");
        Ok(())
    }

    /// The same request is to be sent once more: the daemon knows nothing of it.
    pub(crate) async fn repeat(&self, intent: &mut Intent, epoch: i64) -> Result<(), PayoutError> {
        info!(payout = intent.id, "daemon has no record of the payout request, repeating it unchanged");
        self.metrics.payouts_repeated_total.add(1);
        let change = IntentChange { absent_since: Some(None), repeated: true, ..to(IntentState::Reserved) };
        self.change(intent, epoch, change).await
    }

    /// The same request under a new key: it spends the same inputs, so the chain takes one of all attempts at most.
    pub(crate) async fn replace(
        &self,
        intent: &mut Intent,
        outcome: &str,
        now: StepContext,
    ) -> Result<(), PayoutError> {
        let before = newest(intent)?;
        assert!(!before.inputs.is_empty(), "only a payout with named inputs is asked for under a new key");
        let number = before.attempt.saturating_add(1);
        let attempt = Attempt {
            attempt: number,
            idempotency_key: key_of(&intent.id, number),
            created_at: (self.clock)(),
            created_height: now.height,
            outcome: None,
            repeated: false,
            ..before.clone()
        };
        self.store.intent_attempt_add(now.epoch, &intent.id, intent.state, attempt, outcome).await?;
        self.metrics.payouts_replaced_total.add(1);
        warn!(payout = intent.id, outcome, attempt = number, "payout request repeated with the same inputs");
        *intent = self.reload(&intent.id).await?;
        Ok(())
    }

    async fn close(&self, intent: &mut Intent, to: IntentState, entry: Entry, epoch: i64) -> Result<(), PayoutError> {
        let at = (self.clock)();
        self.store.intent_close(epoch, &intent.id, intent.state, to, entry, at).await?;
        intent.state = to;
        Ok(())
    }

    /// Tells an operator, or takes it back.
    pub(crate) async fn set_attention(
        &self,
        intent: &mut Intent,
        why: Option<&str>,
        epoch: i64,
    ) -> Result<(), PayoutError> {
        if intent.attention.as_deref() == why {
            return Ok(());
        }
        match why {
            Some(why) => warn!(payout = intent.id, why, "payout needs an operator"),
            None => info!(payout = intent.id, "payout no longer needs an operator"),
        }
        let change = IntentChange { attention: Some(why.map(str::to_owned)), ..IntentChange::default() };
        self.change(intent, epoch, change).await
    }

    /// Changes the stored payout and the one at hand.
    pub(crate) async fn change(
        &self,
        intent: &mut Intent,
        epoch: i64,
        change: IntentChange,
    ) -> Result<(), PayoutError> {
        let change_at_hand = change.clone();
        self.store.intent_change(epoch, &intent.id, intent.state, change).await?;
        let IntentChange { state, sent, absent_since, attention, outcome, repeated, heard } = change_at_hand;
        intent.state = state.unwrap_or(intent.state);
        if state == Some(IntentState::Reserved) {
            intent.reserved_epoch = Some(epoch);
        }
        if let Some((txid, fee, at)) = sent {
            (intent.txid, intent.fee_paid, intent.sent_at) = (Some(txid), Some(fee), Some(at));
        }
        intent.absent_since = absent_since.unwrap_or(intent.absent_since);
        if let Some(attention) = attention {
            intent.attention = attention;
        }
        if let (Some(attempt), Some(outcome)) = (intent.attempts.last_mut(), outcome) {
            attempt.outcome = Some(outcome);
        }
        if heard {
            intent.word = None;
        }
        if let Some(attempt) = intent.attempts.last_mut() {
            attempt.repeated |= repeated;
        }
        Ok(())
    }

    async fn reload(&self, id: &str) -> Result<Intent, PayoutError> {
        let gone = || PayoutError::Books { id: id.to_owned(), why: "it has vanished from the database".to_owned() };
        self.store.intent_find(id).await?.ok_or_else(gone)
    }
}

fn books(intent: &Intent, error: impl ToString) -> PayoutError {
    PayoutError::Books { id: intent.id.clone(), why: error.to_string() }
}
