//! Whether the books know all that the wallet has sent: by its history where the daemon can list it, by the count of steps
//! where it cannot. What an operator adopts is booked here.
use std::rc::Rc;

use store::payouts::Intent;

use crate::adopt::Adoption;
use crate::error::PayoutError;
use crate::history::History;
use crate::parts::PayoutParts;
use crate::paying_daemon::{Mode, PayingDaemon};
use crate::standing::Standing;
use crate::steps::StepCounts;
use crate::tip::WalletTip;

/// The books against the wallet.
pub(crate) struct Reconciliation {
    daemon: Rc<PayingDaemon>,
    history: History,
    steps: StepCounts,
    adoption: Adoption,
}

impl Reconciliation {
    pub(crate) fn new(parts: &PayoutParts, daemon: &Rc<PayingDaemon>) -> Reconciliation {
        Reconciliation {
            daemon: Rc::clone(daemon),
            history: History::new(parts, daemon),
            steps: StepCounts::new(parts),
            adoption: Adoption::new(parts, daemon),
        }
    }

    /// Somebody wants to know again.
    pub(crate) fn request(&mut self) {
        self.history.request();
    }

    /// The wallet's history must be compared with the books before anything is sent.
    pub(crate) fn is_due(&self, epoch: i64) -> bool {
        let of_mode = match self.daemon.known_mode() {
            Some(Mode::Plain) => self.are_steps_due(epoch),
            _ => self.history.is_due(epoch),
        };
        of_mode || self.history.has_unknown()
    }

    /// An error as long as the wallet has, or may have, sent what the books do not know.
    pub(crate) async fn check(
        &mut self,
        tip: &WalletTip,
        open: &[Intent],
        epoch: i64,
        standing: &mut Standing,
    ) -> Result<(), PayoutError> {
        let outcome = self.compare(tip, open, epoch).await;
        match &outcome {
            Ok(()) => standing.books = None,
            Err(trouble) if trouble.is_of_the_books() => standing.books = Some(trouble.reason()),
            // Nothing new is known.
            Err(_) => {}
        }
        outcome
    }

    async fn compare(&mut self, tip: &WalletTip, open: &[Intent], epoch: i64) -> Result<(), PayoutError> {
        match self.daemon.mode().await? {
            Mode::Full => self.history.check(tip, &self.steps, epoch).await?,
            Mode::Plain => self.check_steps(epoch).await?,
        }
        self.adoption.adopt(&mut self.history, tip, open, epoch).await
    }

    /// Compares the two counts: once under each epoch and in each run, where nothing better tells.
    async fn check_steps(&mut self, epoch: i64) -> Result<(), PayoutError> {
        if !self.are_steps_due(epoch) {
            return Ok(());
        }
        self.steps.compare(epoch).await?;
        self.history.count_unknown().await?;
        self.steps.set_compared(epoch);
        self.history.set_answered();
        Ok(())
    }

    fn are_steps_due(&self, epoch: i64) -> bool {
        self.steps.is_due(epoch) || self.history.is_requested()
    }
}
