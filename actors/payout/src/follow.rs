//! Follows payouts that are open: what became of those that the wallet may have sent, and what operators decided.
use std::collections::HashMap;
use std::rc::Rc;

use store::payouts::{Intent, IntentState};
use tracing::info;
use units::Height;

use crate::error::PayoutError;
use crate::evidence::{self, WalletSnapshot};
use crate::intent::{is_of_earlier_lease, is_reserved, is_to_send, to};
use crate::intent_books::IntentBooks;
use crate::operator::OperatorDecisions;
use crate::parts::PayoutParts;
use crate::paying_daemon::{Mode, PayingDaemon};
use crate::resolve::Key;
use crate::step::IntentStepper;
use crate::tip::{StepContext, WalletTip};

/// When a step happens.
#[derive(Clone, Copy)]
pub(crate) struct Step<'a> {
    pub(crate) tip: &'a WalletTip,
    /// Tip when the oldest open payout was planned.
    pub(crate) oldest: Option<Height>,
    pub(crate) is_new_tip: bool,
    pub(crate) epoch: i64,
}

/// Reserves nothing and asks the wallet to send nothing.
pub(crate) struct Follower {
    daemon: Rc<PayingDaemon>,
    books: IntentBooks,
    decisions: OperatorDecisions,
    /// Payouts that nothing new can be learned of before the next tip.
    looked_at: HashMap<String, WalletTip>,
}

impl Follower {
    pub(crate) fn new(parts: &PayoutParts, daemon: &Rc<PayingDaemon>) -> Follower {
        Follower {
            daemon: Rc::clone(daemon),
            books: IntentBooks::new(parts),
            decisions: OperatorDecisions::new(parts, daemon),
            looked_at: HashMap::new(),
        }
    }

    /// Forgets what is not open any more.
    pub(crate) fn keep(&mut self, open: &[Intent]) {
        self.decisions.keep(open);
        self.looked_at.retain(|id, _| open.iter().any(|intent| intent.id == *id));
    }

    /// Something new may be learned of it.
    pub(crate) fn is_to_follow(&self, intent: &Intent, tip: &WalletTip, is_new_tip: bool, epoch: i64) -> bool {
        let is_plain = self.daemon.known_mode() == Some(Mode::Plain);
        match intent.state {
            _ if intent.word.is_some() => self.decisions.is_unheard(intent, tip),
            IntentState::Reserved => !is_plain && is_of_earlier_lease(intent, epoch),
            IntentState::Unknown => !is_plain || self.looked_at.get(&intent.id) != Some(tip),
            _ => is_new_tip,
        }
    }

    /// Follows all of them. What concerns one payout alone is that one's attention; the last such error comes back.
    pub(crate) async fn follow_all(
        &mut self,
        stepper: &mut IntentStepper,
        open: &mut [Intent],
        look: &mut Option<WalletSnapshot>,
        step: Step<'_>,
    ) -> Result<Option<PayoutError>, PayoutError> {
        self.doubt_reserved(open, step.epoch).await?;
        let mut trouble = None;
        for intent in open {
            match self.follow_one(stepper, intent, look, step).await {
                Err(error) if error.is_of_one_payout() => {
                    self.books.set_attention(intent, Some(&error.to_string()), step.epoch).await?;
                    if let PayoutError::OtherWallet { id, .. } = &error {
                        self.looked_at.insert(id.clone(), step.tip.clone());
                    }
                    trouble = Some(error);
                }
                outcome => outcome?,
            }
        }
        Ok(trouble)
    }

    /// A payout that was reserved under an earlier lease may have been asked for since: these books may be a copy from
    /// before that. Where the daemon can be asked it is; where it cannot, the count of steps tells.
    async fn doubt_reserved(&self, open: &mut [Intent], epoch: i64) -> Result<(), PayoutError> {
        if self.daemon.known_mode() != Some(Mode::Full) {
            return Ok(());
        }
        for intent in open.iter_mut().filter(|intent| is_to_send(intent) && is_of_earlier_lease(intent, epoch)) {
            info!(payout = intent.id, "payout was reserved under an earlier lease: the daemon is asked about it first");
            self.books.change(intent, epoch, to(IntentState::Unknown)).await?;
        }
        Ok(())
    }

    async fn follow_one(
        &mut self,
        stepper: &mut IntentStepper,
        intent: &mut Intent,
        look: &mut Option<WalletSnapshot>,
        step: Step<'_>,
    ) -> Result<(), PayoutError> {
        let Step { tip, oldest, is_new_tip, epoch } = step;
        if let Some(word) = intent.word.clone() {
            if !self.decisions.is_unheard(intent, tip) {
                return Ok(());
            }
            self.look(look, oldest).await?;
            return self.decisions.apply(stepper, intent, word, look.as_ref(), tip, epoch).await;
        }
        if is_reserved(intent) {
            let Some(look) = look.as_ref().filter(|_| is_new_tip) else { return Ok(()) };
            stepper.check_wallet(intent, &look.wallet)?;
            return self.books.set_attention(intent, None, epoch).await;
        }
        let key = match intent.state {
            IntentState::Unknown => stepper.key(intent).await?,
            _ if is_new_tip => Key::Mute,
            _ => return Ok(()),
        };
        let is_clear = matches!(key, Key::Running | Key::Done { .. });
        if !is_clear {
            if self.looked_at.get(&intent.id) == Some(tip) {
                return Ok(());
            }
            self.look(look, oldest).await?;
        }
        stepper.follow(intent, key, look.as_ref(), StepContext { epoch, height: tip.height }).await?;
        if intent.state == IntentState::Unknown && !is_clear {
            self.looked_at.insert(intent.id.clone(), tip.clone());
        } else {
            self.looked_at.remove(&intent.id);
        }
        Ok(())
    }

    /// Looks at the wallet unless that was done, where the daemon can show it.
    async fn look(&self, look: &mut Option<WalletSnapshot>, oldest: Option<Height>) -> Result<(), PayoutError> {
        if look.is_none() && self.daemon.known_mode() == Some(Mode::Full) {
            *look = Some(evidence::look(&self.daemon, oldest).await?);
        }
        Ok(())
    }
}
