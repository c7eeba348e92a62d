//! What an operator says about payouts that the pool cannot decide: `meshpool payouts sent` and `release`.
//!
//! The word of an operator replaces knowledge that the pool does not have, never knowledge that it has.
use std::collections::HashMap;
use std::rc::Rc;

use store::payouts::{Intent, IntentChange, IntentState, OperatorDecision};
use tracing::warn;

use crate::error::PayoutError;
use crate::evidence::WalletSnapshot;
use crate::intent::is_of_earlier_lease;
use crate::intent_books::IntentBooks;
use crate::parts::PayoutParts;
use crate::paying_daemon::{Mode, PayingDaemon};
use crate::resolve::{Inputs, Key, Leave, may_leave};
use crate::step::{IntentStepper, case};
use crate::tip::{StepContext, WalletTip};

/// Which decisions were looked at.
pub(crate) struct OperatorDecisions {
    daemon: Rc<PayingDaemon>,
    books: IntentBooks,
    /// The last one of each payout, and when.
    heard: HashMap<String, (OperatorDecision, WalletTip)>,
}

impl OperatorDecisions {
    pub(crate) fn new(parts: &PayoutParts, daemon: &Rc<PayingDaemon>) -> OperatorDecisions {
        OperatorDecisions { daemon: Rc::clone(daemon), books: IntentBooks::new(parts), heard: HashMap::new() }
    }

    /// Nothing was made of it yet at this tip.
    pub(crate) fn is_unheard(&self, intent: &Intent, tip: &WalletTip) -> bool {
        self.heard.get(&intent.id).is_none_or(|(word, at)| intent.word.as_ref() != Some(word) || at != tip)
    }

    /// Forgets what is not open any more.
    pub(crate) fn keep(&mut self, open: &[Intent]) {
        self.heard.retain(|id, _| open.iter().any(|intent| intent.id == *id));
    }

    /// Acts upon the operator's word, or says why that must wait.
    pub(crate) async fn apply(
        &mut self,
        stepper: &mut IntentStepper,
        intent: &mut Intent,
        word: OperatorDecision,
        look: Option<&WalletSnapshot>,
        tip: &WalletTip,
        epoch: i64,
    ) -> Result<(), PayoutError> {
        self.heard.insert(intent.id.clone(), (word.clone(), tip.clone()));
        let now = StepContext { epoch, height: tip.height };
        match word {
            OperatorDecision::Sent { txid } => {
                match stepper.block_of(txid, intent.fee_expected, intent.created_height, now.height).await? {
                    Some(seen) => {
                        warn!(payout = intent.id, %txid, "payout transaction named by an operator");
                        self.acknowledge(intent, epoch).await?;
                        self.books.sent(intent, seen, epoch).await
                    }
                    None => {
                        let why = format!("an operator says that {txid} has paid it, but no block holds that one yet");
                        self.books.set_attention(intent, Some(&why), epoch).await
                    }
                }
            }
            OperatorDecision::Release { because } => match self.leave(stepper, intent, look, now).await? {
                Leave::From(height) if height > now.height => {
                    let why = format!("an operator has given it up; that counts from block {height} on");
                    self.books.set_attention(intent, Some(&why), epoch).await
                }
                Leave::Now | Leave::From(_) => {
                    self.acknowledge(intent, epoch).await?;
                    self.books.release(intent, &format!("given up by an operator: {because}"), epoch).await
                }
                Leave::Never(why) => {
                    self.acknowledge(intent, epoch).await?;
                    let why = format!("an operator wanted to give it up, but {why}");
                    self.books.set_attention(intent, Some(&why), epoch).await
                }
            },
        }
    }

    async fn leave(
        &self,
        stepper: &mut IntentStepper,
        intent: &Intent,
        look: Option<&WalletSnapshot>,
        now: StepContext,
    ) -> Result<Leave, PayoutError> {
        // Under an earlier lease it may have been asked for, and where the daemon can tell it is asked.
        let in_doubt = self.daemon.known_mode() == Some(Mode::Full) && is_of_earlier_lease(intent, now.epoch);
        let is_reserved = intent.state == IntentState::Reserved;
        let never_asked =
            is_reserved && !in_doubt && intent.attempts.iter().all(|attempt| attempt.attempt == 1 && !attempt.repeated);
        let key = match intent.state {
            IntentState::Unknown => stepper.key(intent).await?,
            IntentState::Reserved if in_doubt => stepper.key(intent).await?,
            _ => Key::Mute,
        };
        let own = look.filter(|look| stepper.check_wallet(intent, &look.wallet).is_ok());
        let (inputs, seen) = match own {
            Some(look) => {
                let (inputs, by_change) = look.inputs(intent);
                (inputs, by_change.or(look.send_of(&intent.id)?))
            }
            // Another wallet, or a daemon that cannot tell: only the blocks are left.
            None => (Inputs::Unnamed, stepper.in_blocks(intent, now.height).await?),
        };
        Ok(may_leave(&case(intent, key, seen, inputs, now.height), never_asked))
    }

    async fn acknowledge(&self, intent: &mut Intent, epoch: i64) -> Result<(), PayoutError> {
        self.books.change(intent, epoch, IntentChange { heard: true, ..IntentChange::default() }).await
    }
}
