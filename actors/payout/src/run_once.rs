//! One run: follow what is open, then send what is due.
use std::rc::Rc;
use std::sync::Arc;

use daemon::{Daemon, WalletOpener};
use messages::facts::Clock;
use store::payouts::Intent;
use store::{Store, StoreError};
use units::Height;

use crate::error::PayoutError;
use crate::evidence::{self, WalletSnapshot};
use crate::finality::SettledPayouts;
use crate::follow::{Follower, Step};
use crate::funds::WalletFunds;
use crate::gate::{SendGate, SendPermission, WalletWatch};
use crate::intent::is_to_send;
use crate::intent_books::IntentBooks;
use crate::metrics::PayoutMetrics;
use crate::metrics::count_open;
use crate::parts::PayoutParts;
use crate::paying_daemon::{Mode, PayingDaemon};
use crate::reconcile::Reconciliation;
use crate::standing::Standing;
use crate::step::IntentStepper;
use crate::sweep::{PayoutRun, RunPlanner};
use crate::tip::{StepContext, WalletTip};

/// Sends of one step. Each may take the daemon's 30 s, and an actor that is busy for minutes is taken for stuck.
const SENDS_PER_STEP: usize = 8;

/// The parts of a run, and what is kept from one to the next.
pub(crate) struct PayoutRunner {
    daemon: Rc<PayingDaemon>,
    store: Store,
    metrics: Arc<PayoutMetrics>,
    clock: Clock,
    gate: SendGate,
    wallet: WalletWatch,
    books: IntentBooks,
    follower: Follower,
    stepper: IntentStepper,
    reconciliation: Reconciliation,
    settled: SettledPayouts,
    funds: WalletFunds,
    planner: RunPlanner,
    /// Height of the chain in this step.
    height: Height,
    run: Option<PayoutRun>,
    is_due: bool,
    /// The tip of the last run without trouble.
    passed: Option<WalletTip>,
    /// The tip at which nothing could be sent, which only another one can change.
    stuck: Option<WalletTip>,
}

impl PayoutRunner {
    /// On the arbiter that will run it.
    pub(crate) fn new(parts: &PayoutParts) -> PayoutRunner {
        let opener = WalletOpener::new(Arc::clone(&parts.password), "payouts");
        let daemon = Rc::new(PayingDaemon::new(Daemon::new(&parts.daemon), opener));
        PayoutRunner {
            store: parts.store.clone(),
            metrics: Arc::clone(&parts.metrics),
            clock: Arc::clone(&parts.clock),
            gate: SendGate::new(parts),
            wallet: WalletWatch::new(parts, &daemon),
            books: IntentBooks::new(parts),
            follower: Follower::new(parts, &daemon),
            stepper: IntentStepper::new(parts, &daemon),
            reconciliation: Reconciliation::new(parts, &daemon),
            settled: SettledPayouts::new(parts, &daemon),
            funds: WalletFunds::new(parts, &daemon),
            planner: RunPlanner::new(parts, &daemon),
            daemon,
            height: Height::new(0),
            run: None,
            is_due: false,
            passed: None,
            stuck: None,
        }
    }

    /// Height of the wallet's chain as last seen.
    pub(crate) fn height(&self) -> Height {
        self.height
    }

    /// It is time to pay what is due.
    pub(crate) fn set_due(&mut self) {
        self.is_due = true;
        self.reconciliation.request();
    }

    /// Another process pays from now on.
    pub(crate) fn drop_run(&mut self) {
        self.run = None;
    }

    /// Another daemon may answer from now on.
    pub(crate) fn forget_mode(&self) {
        self.daemon.forget_mode();
    }

    /// All that can be done now.
    pub(crate) async fn run_once(&mut self, epoch: i64, standing: &mut Standing) -> Result<RunOutcome, PayoutError> {
        let (tip, is_behind) = match self.look_at_chain().await {
            Ok(seen) => seen,
            Err(trouble) => {
                standing.front = Some(trouble.reason()).filter(|_| !trouble.is_busy());
                return Err(trouble);
            }
        };
        standing.front = None;
        self.wallet.look(standing).await;
        let outcome = self.run_at_tip(&tip, is_behind, epoch, standing).await;
        if outcome.as_ref().is_err_and(PayoutError::is_for_this_tip) {
            self.stuck = Some(tip.clone());
        }
        self.note_outcome(&tip, &outcome, standing);
        outcome
    }

    async fn look_at_chain(&mut self) -> Result<(WalletTip, bool), PayoutError> {
        let status = self.daemon.client().status().await?;
        let tip = WalletTip { height: status.chain_height, best: status.best_hash.clone() };
        self.height = tip.height;
        // The wallet sees its own daemon's chain, which another daemon's may have left behind.
        let best = self.store.best_chain_get().await?;
        if let Some(best) = best.filter(|best| status.total_work < best.work) {
            return Err(PayoutError::LessWork { height: tip.height, best: best.height });
        }
        Ok((tip, status.is_behind()))
    }

    /// Keeps what stands in the way until a run has found that it does not any more.
    fn note_outcome(&self, tip: &WalletTip, outcome: &Result<RunOutcome, PayoutError>, standing: &mut Standing) {
        match outcome {
            Ok(RunOutcome::Idle) => {}
            // What only another tip can change is still so.
            Ok(RunOutcome::Done) => {
                standing.run_once = standing.run_once.take().filter(|_| self.stuck.as_ref() == Some(tip))
            }
            Err(trouble) if trouble.is_busy() || trouble.is_of_one_payout() || trouble.is_of_the_books() => {
                standing.run_once = None;
            }
            Err(PayoutError::Insolvent { .. }) => standing.run_once = None,
            Err(trouble) => standing.run_once = Some(trouble.reason()),
        }
    }

    async fn run_at_tip(
        &mut self,
        tip: &WalletTip,
        is_behind: bool,
        epoch: i64,
        standing: &mut Standing,
    ) -> Result<RunOutcome, PayoutError> {
        let mut open = self.store.intent_list_open().await?;
        self.count(&open);
        let is_new_tip = self.passed.as_ref() != Some(tip);
        let gate = self.gate.check(is_behind, standing).await;
        let to_follow = open.iter().any(|intent| self.follower.is_to_follow(intent, tip, is_new_tip, epoch));
        let to_read = self.reconciliation.is_due(epoch);
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
        let oldest = open.iter().map(|intent| intent.created_height).min();
        let step = Step { tip, oldest, is_new_tip, epoch };
        let (look, trouble) = self.follow_open(&mut open, step).await?;
        self.check_money(look.as_ref(), &open, step, standing).await?;
        match gate {
            SendPermission::Open => {}
            SendPermission::Shut => return trouble.map_or(Ok(RunOutcome::Done), Err),
            SendPermission::Stuck(trouble) => return Err(trouble),
        }
        if !is_stuck && (has_due || open.iter().any(is_to_send)) {
            self.send_all(&mut open, look, step, standing).await?;
            self.count(&open);
        }
        trouble.map_or(Ok(RunOutcome::Done), Err)
    }

    /// What is seen of the wallet at a new tip, and what stands in the way of one payout.
    async fn follow_open(
        &mut self,
        open: &mut Vec<Intent>,
        step: Step<'_>,
    ) -> Result<(Option<WalletSnapshot>, Option<PayoutError>), PayoutError> {
        if step.is_new_tip {
            self.planner.forget_excluded_outputs();
        }
        let mut look = None;
        if self.daemon.mode().await? == Mode::Full && step.is_new_tip {
            look = Some(evidence::look(&self.daemon, step.oldest).await?);
        }
        let trouble = self.follower.follow_all(&mut self.stepper, open, &mut look, step).await?;
        self.passed = Some(step.tip.clone());
        open.retain(|intent| !intent.state.is_closed());
        self.count(open);
        Ok((look, trouble))
    }

    /// An error when nothing may be sent whatever is due: the books do not fit the wallet, or it lacks money.
    async fn check_money(
        &mut self,
        look: Option<&WalletSnapshot>,
        open: &[Intent],
        step: Step<'_>,
        standing: &mut Standing,
    ) -> Result<(), PayoutError> {
        let books = self.reconciliation.check(step.tip, open, step.epoch, standing).await;
        if !step.is_new_tip {
            return books;
        }
        if self.daemon.known_mode() == Some(Mode::Full) {
            self.settled.check(step.tip).await?;
        }
        let solvency = self.check_solvency(look, open, standing).await;
        // What the books do not know may be what the wallet lacks.
        books?;
        solvency
    }

    async fn check_solvency(
        &self,
        look: Option<&WalletSnapshot>,
        open: &[Intent],
        standing: &mut Standing,
    ) -> Result<(), PayoutError> {
        let outcome = self.funds.check_solvency(look, open).await;
        match &outcome {
            Ok(()) => standing.solvency = None,
            Err(trouble @ PayoutError::Insolvent { .. }) => standing.solvency = Some(trouble.reason()),
            // Nothing new is known.
            Err(_) => {}
        }
        outcome
    }

    /// Sends what is reserved, then what is due.
    async fn send_all(
        &mut self,
        open: &mut Vec<Intent>,
        mut look: Option<WalletSnapshot>,
        step: Step<'_>,
        standing: &mut Standing,
    ) -> Result<(), PayoutError> {
        let now = StepContext { epoch: step.epoch, height: step.tip.height };
        if look.is_none() && self.daemon.known_mode() == Some(Mode::Full) {
            look = Some(evidence::look(&self.daemon, step.oldest).await?);
        }
        self.check_solvency(look.as_ref(), open, standing).await?;
        let mut trouble = None;
        let reserved = open.iter().filter(|intent| is_to_send(intent)).count();
        for intent in open.iter_mut().filter(|intent| is_to_send(intent)).take(SENDS_PER_STEP) {
            match self.stepper.send(intent, now).await {
                Err(error) if error.is_of_one_payout() => {
                    self.books.set_attention(intent, Some(&error.to_string()), now.epoch).await?;
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
            self.run = Some(self.planner.begin().await?);
            self.is_due = false;
        }
        let Some(mut run) = self.run.take() else { return trouble.map_or(Ok(()), Err) };
        let outcome = self.continue_run(&mut run, open, look.as_ref(), now, left).await;
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

    async fn continue_run(
        &mut self,
        run: &mut PayoutRun,
        open: &mut Vec<Intent>,
        look: Option<&WalletSnapshot>,
        now: StepContext,
        sends: usize,
    ) -> Result<Left, PayoutError> {
        for _ in 0..sends {
            let funds = self.funds.spendable(look, open).await?;
            let Some(mut intent) = self.planner.reserve_next(run, &funds, open, now).await? else {
                return Ok(Left::Nothing);
            };
            let sent = self.stepper.send(&mut intent, now).await;
            open.push(intent);
            sent?;
        }
        Ok(Left::More)
    }

    /// Shows what is open, and forgets what is not any more.
    fn count(&mut self, open: &[Intent]) {
        count_open(&self.metrics, open, (self.clock)());
        self.follower.keep(open);
        self.stepper.keep(open);
    }
}

/// What a run came to.
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
