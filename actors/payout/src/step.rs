//! Moves one payout as far as it goes now.
use accounting::{Entry, Paid};
use daemon::{Conflict, DaemonError, SendStatus, Sent, WalletState};
use store::payouts::{Attempt, Intent, IntentChange, IntentState};
use tracing::{info, warn};
use units::{Amount, Height};

use crate::actor::{Mode, Payout};
use crate::error::PayoutError;
use crate::evidence::WalletSnapshot;
use crate::funds::is_same_wallet;
use crate::resolve::{
    self, FoundTransaction, Inputs, Key, PayoutEvidence, REFUSED, SendKnowledge, TxLocation, Verdict,
};

pub(crate) const PLAIN: &str = "send";
pub(crate) const ADVANCED: &str = "advanced";

/// Attention of a payout under whose key the daemon knows another request.
const KEY_REUSED: &str = "the daemon knows another request under its key";

impl Payout {
    /// Asks the wallet to send a reserved payout. The state says that it may have been asked before it is.
    pub(crate) async fn send(&mut self, intent: &mut Intent, epoch: i64) -> Result<(), PayoutError> {
        let own = self.wallet.with(&self.daemon, async || self.daemon.wallet_address().await).await?;
        if own.view_only {
            return Err(PayoutError::ViewOnly);
        }
        self.check_wallet(intent, &own.address)?;
        let attempt = newest(intent)?;
        let (key, body, route) = (attempt.idempotency_key.clone(), attempt.body.clone().into(), attempt.route);
        let steps = self.parts.store.intent_ask(epoch, &intent.id).await?;
        intent.state = IntentState::Unknown;
        if let Err(trouble) = self.count_step(steps).await {
            // The wallet was not asked.
            self.change(intent, epoch, to(IntentState::Reserved)).await?;
            return Err(trouble);
        }
        let answer = match route {
            ADVANCED => self.daemon.send_advanced(body, &key).await,
            _ => self.daemon.send(body, &key).await,
        };
        match answer {
            Ok(Sent { txid, fee, .. }) => {
                let seen = FoundTransaction { txid: txid.to_string(), fee, place: TxLocation::Nowhere };
                self.sent(intent, seen, epoch).await
            }
            Err(DaemonError::Conflict(Conflict::InProgress)) => Ok(()),
            Err(DaemonError::Conflict(Conflict::KeyReuse)) => self.set_attention(intent, Some(KEY_REUSED), epoch).await,
            // Where the daemon can be asked, what it has stored decides.
            Err(DaemonError::Refused { .. }) if self.mode == Some(Mode::Full) => Ok(()),
            Err(DaemonError::Refused { status, text, .. }) => {
                warn!(payout = intent.id, status, text, "payout refused");
                let key = Key::Failed { definite: is_definite(status, &text) };
                let case = case(intent, key, None, Inputs::Unnamed, intent.created_height);
                self.apply(intent, resolve::resolve(&case), epoch).await
            }
            Err(error) if error.is_definitely_not_done() => {
                self.change(intent, epoch, to(IntentState::Reserved)).await?;
                if let Some(state @ (WalletState::NotLoaded | WalletState::Locked)) = error.wallet_state() {
                    self.wallet.open(&self.daemon, state).await?;
                }
                Err(error.into())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Follows a payout that the wallet may have sent.
    /// Without a look only its key and the blocks tell of it.
    pub(crate) async fn follow(
        &mut self,
        intent: &mut Intent,
        key: Key,
        look: Option<&WalletSnapshot>,
        tip: Height,
        epoch: i64,
    ) -> Result<(), PayoutError> {
        let case = match look {
            Some(look) => {
                self.check_wallet(intent, &look.wallet)?;
                let (inputs, by_change) = look.inputs(intent);
                let by_memo = look.send_of(&intent.id)?;
                // The chain knows better than a history that lost it.
                let seen = by_change.or(by_memo);
                case(intent, key, seen, inputs, look.tip)
            }
            None => {
                let seen = self.in_blocks(intent, tip).await?;
                case(intent, key, seen, Inputs::Unnamed, tip)
            }
        };
        let verdict = resolve::resolve(&case);
        self.apply(intent, verdict, epoch).await
    }

    /// What the daemon has stored under the newest attempt's key.
    pub(crate) async fn key(&self, intent: &Intent) -> Result<Key, PayoutError> {
        let attempt = newest(intent)?;
        Ok(match self.daemon.send_status(&attempt.idempotency_key, attempt.route == ADVANCED).await {
            Ok(SendStatus::NotFound) => Key::Nothing,
            Ok(SendStatus::Accepted) => Key::Accepted,
            Ok(SendStatus::InProgress) => Key::Running,
            Ok(SendStatus::Completed(sent)) => Key::Done { txid: sent.txid.to_string(), fee: sent.fee },
            Ok(SendStatus::Failed { status, error }) => {
                // Asked again and again, it says the same each time.
                if self.refusals.borrow_mut().insert(attempt.idempotency_key.clone()) {
                    warn!(payout = intent.id, status, error, "payout rejected by the daemon");
                }
                Key::Failed { definite: is_definite(status, &error) }
            }
            Err(DaemonError::NoSuchRoute { .. }) => Key::Mute,
            Err(error) => return Err(error.into()),
        })
    }

    /// Another wallet's word on this payout means nothing, and it must not send it either.
    pub(crate) fn check_wallet(&self, intent: &Intent, own: &str) -> Result<(), PayoutError> {
        match &intent.wallet {
            Some(wallet) if !is_same_wallet(wallet, own, &self.parts.network) => {
                Err(PayoutError::OtherWallet { id: intent.id.clone(), ours: wallet.clone(), there: own.to_owned() })
            }
            _ => Ok(()),
        }
    }

    pub(crate) async fn in_blocks(
        &mut self,
        intent: &Intent,
        tip: Height,
    ) -> Result<Option<FoundTransaction>, PayoutError> {
        let (Some(txid), Some(fee)) = (intent.txid.clone(), intent.fee_paid) else { return Ok(None) };
        let since = newest(intent)?.created_height;
        self.block_of(txid, fee, since, tip).await
    }

    /// Where a transaction is that was sent when the tip was `since` or later, if a block holds it.
    pub(crate) async fn block_of(
        &mut self,
        txid: String,
        fee: Amount,
        since: Height,
        tip: Height,
    ) -> Result<Option<FoundTransaction>, PayoutError> {
        let found = self.trail.find(&self.daemon, &txid, since, tip).await?;
        Ok(found.and_then(|height| height.depth_below(tip)).map(|depth| FoundTransaction {
            txid,
            fee,
            place: TxLocation::Block { depth },
        }))
    }

    pub(crate) async fn apply(&mut self, intent: &mut Intent, verdict: Verdict, epoch: i64) -> Result<(), PayoutError> {
        match verdict {
            Verdict::Wait { quiet_since, attention } => {
                if intent.absent_since != quiet_since {
                    let change = IntentChange { absent_since: Some(quiet_since), ..IntentChange::default() };
                    self.change(intent, epoch, change).await?;
                }
                self.set_attention(intent, attention, epoch).await
            }
            Verdict::Repeat => {
                info!(payout = intent.id, "daemon has no record of the payout request, repeating it unchanged");
                self.parts.counters.payouts_repeated_total.add(1);
                let change = IntentChange { absent_since: Some(None), repeated: true, ..to(IntentState::Reserved) };
                self.change(intent, epoch, change).await
            }
            Verdict::Replace { outcome } => self.replace(intent, outcome, epoch).await,
            Verdict::Release { outcome } => self.release(intent, outcome, epoch).await,
            Verdict::Sent(seen) => self.sent(intent, seen, epoch).await,
        }
    }

    /// Notes a transaction, and closes the books when it is deep enough.
    pub(crate) async fn sent(
        &mut self,
        intent: &mut Intent,
        seen: FoundTransaction,
        epoch: i64,
    ) -> Result<(), PayoutError> {
        let state = match seen.place {
            TxLocation::Block { .. } => IntentState::Confirmed,
            TxLocation::Mempool | TxLocation::Nowhere => IntentState::Broadcast,
        };
        let is_new = intent.txid.as_ref() != Some(&seen.txid) || intent.fee_paid != Some(seen.fee);
        let is_deep = matches!(seen.place, TxLocation::Block { depth } if depth >= self.parts.settle_depth);
        // What hinders the closing of the books is still so.
        let is_well = intent.attention.is_none() || is_deep;
        if is_new || intent.state != state || intent.absent_since.is_some() || !is_well {
            let at = (self.parts.clock)();
            let change = IntentChange {
                state: Some(state),
                sent: is_new.then(|| (seen.txid.clone(), seen.fee, at)),
                absent_since: Some(None),
                attention: (!is_well).then_some(None),
                outcome: is_new.then(|| "sent".to_owned()),
                ..IntentChange::default()
            };
            self.change(intent, epoch, change).await?;
            if is_new {
                self.parts.counters.payouts_sent_total.add(1);
            }
            info!(payout = intent.id, txid = seen.txid, state = state.as_str(), "payout");
        }
        if is_deep { self.settle(intent, seen.fee, epoch).await } else { Ok(()) }
    }

    async fn settle(&mut self, intent: &mut Intent, fee: Amount, epoch: i64) -> Result<(), PayoutError> {
        let paid: Vec<Paid<'_>> =
            intent.lines.iter().map(|line| Paid { address: &line.address, gross: line.gross, net: line.net }).collect();
        let entry = Entry::payout_settled(&intent.id, &paid, fee).map_err(|error| books(intent, error))?;
        self.close(intent, IntentState::Settled, &entry, epoch).await?;
        let counters = &self.parts.counters;
        counters.payouts_settled_total.add(1);
        counters.payouts_settled_atoms_total.add(intent.lines.iter().map(|line| line.net.atoms()).sum());
        info!(payout = intent.id, txid = intent.txid, recipients = intent.lines.len(), "payout settled");
        Ok(())
    }

    pub(crate) async fn release(&mut self, intent: &mut Intent, outcome: &str, epoch: i64) -> Result<(), PayoutError> {
        let change = IntentChange { outcome: Some(outcome.to_owned()), ..IntentChange::default() };
        self.change(intent, epoch, change).await?;
        let gross: Vec<(&str, Amount)> = intent.lines.iter().map(|line| (line.address.as_str(), line.gross)).collect();
        let entry = Entry::payout_released(&intent.id, &gross).map_err(|error| books(intent, error))?;
        self.close(intent, IntentState::Released, &entry, epoch).await?;
        self.parts.counters.payouts_released_total.add(1);
        warn!(payout = intent.id, outcome, "payout not sent, amounts payable again");
        Ok(())
    }

    /// The same request under a new key: it spends the same inputs, so the chain takes one of all attempts at most.
    async fn replace(&mut self, intent: &mut Intent, outcome: &str, epoch: i64) -> Result<(), PayoutError> {
        let before = newest(intent)?;
        assert!(!before.inputs.is_empty(), "only a payout with named inputs is asked for under a new key");
        let number = before.attempt.saturating_add(1);
        let attempt = Attempt {
            attempt: number,
            idempotency_key: key_of(&intent.id, number),
            created_at: (self.parts.clock)(),
            created_height: self.height,
            outcome: None,
            repeated: false,
            ..before.clone()
        };
        self.parts.store.intent_attempt_add(epoch, &intent.id, intent.state, attempt, outcome).await?;
        self.parts.counters.payouts_replaced_total.add(1);
        warn!(payout = intent.id, outcome, attempt = number, "payout request repeated with the same inputs");
        *intent = self.reload(&intent.id).await?;
        Ok(())
    }

    async fn close(&self, intent: &mut Intent, to: IntentState, entry: &Entry, epoch: i64) -> Result<(), PayoutError> {
        let at = (self.parts.clock)();
        self.parts.store.intent_close(epoch, &intent.id, intent.state, to, entry.parts().into(), at).await?;
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
        self.parts.store.intent_change(epoch, &intent.id, intent.state, change).await?;
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
        self.parts.store.intent_find(id).await?.ok_or_else(gone)
    }
}

/// `tip`: of the evidence.
pub(crate) fn case(
    intent: &Intent,
    key: Key,
    seen: Option<FoundTransaction>,
    inputs: Inputs,
    tip: Height,
) -> PayoutEvidence {
    let others = intent.attempts.split_last().map_or(&[][..], |(_, others)| others);
    PayoutEvidence {
        known: match intent.state {
            IntentState::Broadcast | IntentState::Confirmed => SendKnowledge::Sent,
            _ => SendKnowledge::Asked,
        },
        key,
        seen,
        inputs,
        repeated: intent.attempts.last().is_some_and(|attempt| attempt.repeated),
        others_refused: others.iter().all(|attempt| attempt.outcome.as_deref() == Some(REFUSED)),
        tip,
        asked_at: intent.attempts.last().map_or(intent.created_height, |attempt| attempt.created_height),
        quiet_since: intent.absent_since,
    }
}

/// A refusal that comes before anything is sent. Inputs that are spent already may have been spent by this very payout,
/// through another daemon.
fn is_definite(status: u16, text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    status < 500
        && !["key image", "double-spend", "double spend", "already spent"].iter().any(|sign| text.contains(sign))
}

pub(crate) fn to(state: IntentState) -> IntentChange {
    IntentChange { state: Some(state), ..IntentChange::default() }
}

pub(crate) fn newest(intent: &Intent) -> Result<&Attempt, PayoutError> {
    let none = || PayoutError::Books { id: intent.id.clone(), why: "it has no attempt".to_owned() };
    intent.attempts.last().ok_or_else(none)
}

/// The idempotency key of an attempt.
pub(crate) fn key_of(id: &str, attempt: i64) -> String {
    format!("{id}-{attempt}")
}

fn books(intent: &Intent, error: impl ToString) -> PayoutError {
    PayoutError::Books { id: intent.id.clone(), why: error.to_string() }
}
