//! What an operator says about payouts that the pool cannot decide: `meshpool payouts sent` and `release`.
//!
//! The word of an operator replaces knowledge that the pool does not have, never knowledge that it has.
use store::payouts::{Intent, IntentChange, IntentState, OperatorDecision};
use tracing::warn;
use units::Height;

use crate::actor::{Mode, Payout};
use crate::error::PayoutError;
use crate::evidence::WalletSnapshot;
use crate::resolve::{Inputs, Key, Leave, may_leave};
use crate::run_once::is_of_earlier_lease;
use crate::step::case;

impl Payout {
    /// Acts upon the operator's word, or says why that must wait.
    pub(crate) async fn apply_decision(
        &mut self,
        intent: &mut Intent,
        word: OperatorDecision,
        look: Option<&WalletSnapshot>,
        tip: Height,
        epoch: i64,
    ) -> Result<(), PayoutError> {
        match word {
            OperatorDecision::Sent { txid } => {
                match self.block_of(txid.clone(), intent.fee_expected, intent.created_height, tip).await? {
                    Some(seen) => {
                        warn!(payout = intent.id, txid, "payout transaction named by an operator");
                        self.acknowledge(intent, epoch).await?;
                        self.sent(intent, seen, epoch).await
                    }
                    None => {
                        let why = format!("an operator says that {txid} has paid it, but no block holds that one yet");
                        self.set_attention(intent, Some(&why), epoch).await
                    }
                }
            }
            OperatorDecision::Release { because } => match self.leave(intent, look, tip, epoch).await? {
                Leave::From(height) if height > tip => {
                    let why = format!("an operator has given it up; that counts from block {height} on");
                    self.set_attention(intent, Some(&why), epoch).await
                }
                Leave::Now | Leave::From(_) => {
                    self.acknowledge(intent, epoch).await?;
                    self.release(intent, &format!("given up by an operator: {because}"), epoch).await
                }
                Leave::Never(why) => {
                    self.acknowledge(intent, epoch).await?;
                    let why = format!("an operator wanted to give it up, but {why}");
                    self.set_attention(intent, Some(&why), epoch).await
                }
            },
        }
    }

    async fn leave(
        &mut self,
        intent: &Intent,
        look: Option<&WalletSnapshot>,
        tip: Height,
        epoch: i64,
    ) -> Result<Leave, PayoutError> {
        // Under an earlier lease it may have been asked for, and where the daemon can tell it is asked.
        let in_doubt = self.mode == Some(Mode::Full) && is_of_earlier_lease(intent, epoch);
        let is_reserved = intent.state == IntentState::Reserved;
        let never_asked =
            is_reserved && !in_doubt && intent.attempts.iter().all(|attempt| attempt.attempt == 1 && !attempt.repeated);
        let key = match intent.state {
            IntentState::Unknown => self.key(intent).await?,
            IntentState::Reserved if in_doubt => self.key(intent).await?,
            _ => Key::Mute,
        };
        let own = look.filter(|look| self.check_wallet(intent, &look.wallet).is_ok());
        let (inputs, seen) = match own {
            Some(look) => {
                let (inputs, by_change) = look.inputs(intent);
                (inputs, by_change.or(look.send_of(&intent.id)?))
            }
            // Another wallet, or a daemon that cannot tell: only the blocks are left.
            None => (Inputs::Unnamed, self.in_blocks(intent, tip).await?),
        };
        Ok(may_leave(&case(intent, key, seen, inputs, tip), never_asked))
    }

    async fn acknowledge(&self, intent: &mut Intent, epoch: i64) -> Result<(), PayoutError> {
        self.change(intent, epoch, IntentChange { heard: true, ..IntentChange::default() }).await
    }
}
