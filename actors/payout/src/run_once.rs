//! One pass: follow what is open, then send what is due.
use store::StoreError;
use store::payouts::{Intent, IntentState};
use tracing::info;
use units::Height;

use crate::actor::{Mode, Payout, WalletTip};
use crate::error::PayoutError;
use crate::evidence::{self, WalletSnapshot};
use crate::gate::SendPermission;
use crate::resolve::Key;
use crate::step::to;
use crate::sweep::PayoutRun;

/// Sends of one step. Each may take the daemon's 30 s, and an actor that is busy for minutes is taken for stuck.
const SENDS_PER_STEP: usize = 8;

impl Payout {
    pub(crate) async fn run_at_tip(
        &mut self,
        tip: &WalletTip,
        is_behind: bool,
        epoch: i64,
    ) -> Result<RunOutcome, PayoutError> {
        let mut open = self.parts.store.intent_list_open().await?;
        self.count(&open);
        let is_new_tip = self.passed.as_ref() != Some(tip);
        let gate = self.check_gate(is_behind).await;
        let to_follow = open.iter().any(|intent| self.is_to_follow(intent, tip, is_new_tip, epoch));
        let to_read = self.is_to_read(epoch);
        let is_stuck = self.stuck.as_ref() == Some(tip);
        let has_due = self.is_due || self.run.is_some();
        let to_send = !is_stuck && (has_due || open.iter().any(is_to_send));
        if !is_new_tip && !to_follow && !to_read {
            match gate {
                SendPermission::Shut => return Ok(RunOutcome::Idle),
                _ if !to_send => return Ok(RunOutcome::Idle),
                SendPermission::Stuck(trouble) => return Err(trouble),
                SendPermission::Open => {}
            }
        }
        if is_new_tip {
            self.excluded_outputs.clear();
        }
        let oldest = open.iter().map(|intent| intent.created_height).min();
        let mut look = None;
        if self.mode().await? == Mode::Full && is_new_tip {
            look = Some(evidence::look(&self.daemon, &self.wallet, oldest).await?);
        }
        self.doubt_reserved(&mut open, epoch).await?;
        let mut trouble = None;
        for intent in &mut open {
            let step = Step { tip, oldest, is_new_tip, epoch };
            match self.follow_one(intent, &mut look, step).await {
                Err(error) if error.is_of_one_payout() => {
                    self.set_attention(intent, Some(&error.to_string()), epoch).await?;
                    if let PayoutError::OtherWallet { id, .. } = &error {
                        self.looked.insert(id.clone(), tip.clone());
                    }
                    trouble = Some(error);
                }
                outcome => outcome?,
            }
        }
        self.passed = Some(tip.clone());
        open.retain(|intent| !intent.state.is_closed());
        self.count(&open);
        let books = self.check_books(tip, &open, epoch).await;
        if is_new_tip {
            if self.mode == Some(Mode::Full) {
                self.check_settled(tip).await?;
            }
            let solvency = self.check_solvency(look.as_ref(), &open).await;
            // What the books do not know may be what the wallet lacks.
            books?;
            solvency?;
        } else {
            books?;
        }
        match gate {
            SendPermission::Open => {}
            SendPermission::Shut => return trouble.map_or(Ok(RunOutcome::Done), Err),
            SendPermission::Stuck(trouble) => return Err(trouble),
        }
        if !is_stuck && (has_due || open.iter().any(is_to_send)) {
            self.send_all(&mut open, look, oldest, epoch).await?;
            self.count(&open);
        }
        trouble.map_or(Ok(RunOutcome::Done), Err)
    }

    /// The wallet's history must be compared with the books before anything is sent.
    fn is_to_read(&self, epoch: i64) -> bool {
        let of_mode = match self.mode {
            Some(Mode::Plain) => self.steps_under != Some(epoch) || self.history.is_due,
            _ => self.history.is_due(epoch),
        };
        of_mode || self.history.has_unknown
    }

    /// An error as long as the wallet has, or may have, sent what the books do not know.
    async fn check_books(&mut self, tip: &WalletTip, open: &[Intent], epoch: i64) -> Result<(), PayoutError> {
        let outcome = self.compare_books(tip, open, epoch).await;
        match &outcome {
            Ok(()) => self.standing.books = None,
            Err(trouble) if trouble.is_of_the_books() => self.standing.books = Some(trouble.reason()),
            // Nothing new is known.
            Err(_) => {}
        }
        outcome
    }

    async fn compare_books(&mut self, tip: &WalletTip, open: &[Intent], epoch: i64) -> Result<(), PayoutError> {
        match self.mode().await? {
            Mode::Full => self.check_history(tip, epoch).await?,
            Mode::Plain => self.check_steps(epoch).await?,
        }
        self.adopt(tip, open, epoch).await
    }

    /// A payout that was reserved under an earlier lease may have been asked for since: these books may be a copy from
    /// before that. Where the daemon can be asked it is; where it cannot, the count of steps tells.
    async fn doubt_reserved(&mut self, open: &mut [Intent], epoch: i64) -> Result<(), PayoutError> {
        if self.mode != Some(Mode::Full) {
            return Ok(());
        }
        for intent in open.iter_mut().filter(|intent| is_to_send(intent) && is_of_earlier_lease(intent, epoch)) {
            info!(payout = intent.id, "payout was reserved under an earlier lease: the daemon is asked about it first");
            self.change(intent, epoch, to(IntentState::Unknown)).await?;
        }
        Ok(())
    }

    /// Something new may be learned of it.
    fn is_to_follow(&self, intent: &Intent, tip: &WalletTip, is_new_tip: bool, epoch: i64) -> bool {
        match intent.state {
            _ if intent.word.is_some() => self.is_unheard(intent, tip),
            IntentState::Reserved => self.mode != Some(Mode::Plain) && is_of_earlier_lease(intent, epoch),
            IntentState::Unknown => self.mode != Some(Mode::Plain) || self.looked.get(&intent.id) != Some(tip),
            _ => is_new_tip,
        }
    }

    fn is_unheard(&self, intent: &Intent, tip: &WalletTip) -> bool {
        self.heard.get(&intent.id).is_none_or(|(word, at)| intent.word.as_ref() != Some(word) || at != tip)
    }

    async fn follow_one(
        &mut self,
        intent: &mut Intent,
        look: &mut Option<WalletSnapshot>,
        step: Step<'_>,
    ) -> Result<(), PayoutError> {
        let Step { tip, oldest, is_new_tip, epoch } = step;
        if let Some(word) = intent.word.clone() {
            if !self.is_unheard(intent, tip) {
                return Ok(());
            }
            if look.is_none() && self.mode == Some(Mode::Full) {
                *look = Some(evidence::look(&self.daemon, &self.wallet, oldest).await?);
            }
            self.heard.insert(intent.id.clone(), (word.clone(), tip.clone()));
            return self.apply_decision(intent, word, look.as_ref(), tip.height, epoch).await;
        }
        if is_reserved(intent) {
            let Some(look) = look.as_ref().filter(|_| is_new_tip) else { return Ok(()) };
            self.check_wallet(intent, &look.wallet)?;
            return self.set_attention(intent, None, epoch).await;
        }
        let key = match intent.state {
            IntentState::Unknown => self.key(intent).await?,
            _ if is_new_tip => Key::Mute,
            _ => return Ok(()),
        };
        let is_clear = matches!(key, Key::Running | Key::Done { .. });
        if !is_clear {
            if self.looked.get(&intent.id) == Some(tip) {
                return Ok(());
            }
            if look.is_none() && self.mode == Some(Mode::Full) {
                *look = Some(evidence::look(&self.daemon, &self.wallet, oldest).await?);
            }
        }
        self.follow(intent, key, look.as_ref(), tip.height, epoch).await?;
        if intent.state == IntentState::Unknown && !is_clear {
            self.looked.insert(intent.id.clone(), tip.clone());
        } else {
            self.looked.remove(&intent.id);
        }
        Ok(())
    }

    /// Sends what is reserved, then what is due.
    async fn send_all(
        &mut self,
        open: &mut Vec<Intent>,
        mut look: Option<WalletSnapshot>,
        oldest: Option<Height>,
        epoch: i64,
    ) -> Result<(), PayoutError> {
        if look.is_none() && self.mode == Some(Mode::Full) {
            look = Some(evidence::look(&self.daemon, &self.wallet, oldest).await?);
        }
        self.check_solvency(look.as_ref(), open).await?;
        let mut trouble = None;
        let reserved = open.iter().filter(|intent| is_to_send(intent)).count();
        for intent in open.iter_mut().filter(|intent| is_to_send(intent)).take(SENDS_PER_STEP) {
            match self.send(intent, epoch).await {
                Err(error) if error.is_of_one_payout() => {
                    self.set_attention(intent, Some(&error.to_string()), epoch).await?;
                    trouble = Some(error);
                }
                outcome => outcome?,
            }
        }
        let left = SENDS_PER_STEP.saturating_sub(reserved);
        if left == 0 {
            return trouble.map_or(Ok(()), Err);
        }
        if self.is_due {
            self.run = Some(self.run_begin().await?);
            self.is_due = false;
        }
        let Some(mut run) = self.run.take() else { return trouble.map_or(Ok(()), Err) };
        let outcome = self.go_on(&mut run, open, look.as_ref(), epoch, left).await;
        match &outcome {
            // A balance has changed meanwhile: look again who is due.
            Err(PayoutError::Store(StoreError::Conflict { .. })) => self.is_due = true,
            _ if run.is_over() => {}
            Ok(Left::Nothing) => {}
            // The next step goes on.
            Ok(Left::More) | Err(_) => self.run = Some(run),
        }
        outcome.and_then(|_| trouble.map_or(Ok(()), Err))
    }

    async fn go_on(
        &mut self,
        run: &mut PayoutRun,
        open: &mut Vec<Intent>,
        look: Option<&WalletSnapshot>,
        epoch: i64,
        sends: usize,
    ) -> Result<Left, PayoutError> {
        for _ in 0..sends {
            let funds = self.funds(look, open).await?;
            let Some(mut intent) = self.reserve_next(run, &funds, open, epoch).await? else { return Ok(Left::Nothing) };
            let sent = self.send(&mut intent, epoch).await;
            open.push(intent);
            sent?;
        }
        Ok(Left::More)
    }
}

/// What a pass came to.
pub(crate) enum RunOutcome {
    /// There was nothing to do.
    Idle,
    /// All that could be done.
    Done,
}

/// What of a run is left for the next step.
enum Left {
    /// Nothing that fits now.
    Nothing,
    /// Perhaps more.
    More,
}

/// When a step happens.
#[derive(Clone, Copy)]
struct Step<'a> {
    tip: &'a WalletTip,
    /// WalletTip when the oldest open payout was planned.
    oldest: Option<Height>,
    is_new_tip: bool,
    epoch: i64,
}

/// Whoever reserved it may have asked for it, as far as these books know.
pub(crate) fn is_of_earlier_lease(intent: &Intent, epoch: i64) -> bool {
    intent.reserved_epoch != Some(epoch)
}

fn is_reserved(intent: &Intent) -> bool {
    intent.state == IntentState::Reserved
}

/// An operator's word comes first.
fn is_to_send(intent: &Intent) -> bool {
    is_reserved(intent) && intent.word.is_none()
}

pub(crate) fn count(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
