//! One step at a time, under the money lease.
use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;

use chain::{BlockId, Network};
use daemon::{Daemon, DaemonError, DaemonSettings, WalletPassword};
use messages::conditions::Conditions;
use messages::counters::Counters;
use messages::facts::{Clock, LeaseEpoch};
use messages::payout::{PayoutTick, SweepPayouts};
use runtime::{Actor, Fault, Handler, Reply};
use settings::PayoutSettings;
use store::payouts::OperatorDecision;
use store::{Store, StoreError};
use tokio::time::Instant;
use tracing::info;
use units::Height;

use crate::error::PayoutError;
use crate::history::History;
use crate::run_once::RunOutcome;
use crate::standing::Standing;
use crate::sweep::PayoutRun;
use crate::tx_locator::TxLocator;
use crate::wallet::WalletOpener;

/// Makes the 128 random bits of an intent's id.
pub type RandomId = Arc<dyn Fn() -> [u8; 16] + Send + Sync>;

/// What the actor is built from, once per generation.
#[derive(Clone)]
pub struct PayoutParts {
    /// The first daemon: its wallet pays.
    pub daemon: DaemonSettings,
    /// Opens its wallet.
    pub password: WalletPassword,
    /// The books.
    pub store: Store,
    /// Its section of the settings.
    pub settings: PayoutSettings,
    /// Whose addresses are paid.
    pub network: Network,
    /// Whom blocks pay, where the settings say so: it is never paid by the pool.
    pub reward_address: Option<String>,
    /// Depth (tip height minus block height) at which a payout is settled.
    pub settle_depth: u64,
    /// Depth at which a block is credited.
    pub credit_depth: u64,
    /// The data directory's own count of payout steps.
    pub steps_file: PathBuf,
    /// Under which money may be written.
    pub lease: LeaseEpoch,
    /// The wall clock.
    pub clock: Clock,
    /// Chance.
    pub random_id: RandomId,
    /// Figures of the process.
    pub counters: Arc<Counters>,
    /// What is wrong with the process.
    pub conditions: Arc<Conditions>,
}

/// Which requests the daemon understands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Named inputs, and a daemon that can be asked what became of a request.
    Full,
    /// Neither: only what every daemon has.
    Plain,
}

/// The chain of the wallet's own daemon: what its wallet says is about that one, whichever daemon templates come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WalletTip {
    pub(crate) height: Height,
    /// The beginning of the best block's id.
    pub(crate) best: String,
}

/// Pays what is due; see the crate's documentation.
pub struct Payout {
    pub(crate) parts: PayoutParts,
    pub(crate) daemon: Daemon,
    pub(crate) wallet: WalletOpener,
    /// Found out when first needed, and again after the daemon was away.
    pub(crate) mode: Option<Mode>,
    pub(crate) trail: TxLocator,
    /// Due addresses that are not paid.
    pub(crate) skipped: HashSet<String>,
    /// Outputs that the daemon would not spend at this tip.
    pub(crate) excluded_outputs: HashSet<(String, u32)>,
    /// A block as deep as settled payouts are: when it is replaced they may be gone.
    pub(crate) anchor: Option<(Height, BlockId)>,
    /// Height of the chain in this step.
    pub(crate) height: Height,
    pub(crate) run: Option<PayoutRun>,
    pub(crate) is_due: bool,
    /// The tip of the last pass without trouble.
    pub(crate) passed: Option<WalletTip>,
    /// Keys of requests whose refusal was said.
    pub(crate) refusals: RefCell<HashSet<String>>,
    /// Payouts that nothing new can be learned of before the next tip.
    pub(crate) looked: HashMap<String, WalletTip>,
    /// Words of operators that were looked at, and when.
    pub(crate) heard: HashMap<String, (OperatorDecision, WalletTip)>,
    /// The tip at which nothing could be sent, which only another one can change.
    pub(crate) stuck: Option<WalletTip>,
    /// The epoch that the database has refused.
    fenced: Option<i64>,
    /// The epoch under which both counts of payout steps were compared.
    pub(crate) steps_under: Option<i64>,
    /// What is known of the wallet's sends.
    pub(crate) history: History,
    /// Adopted payouts that were looked at, and when.
    pub(crate) adopt_tried: HashMap<String, WalletTip>,
    /// When the wallet was last looked at.
    pub(crate) wallet_looked: Option<Instant>,
    /// Why nothing is sent.
    pub(crate) standing: Standing,
    /// What the last failed pass was about.
    last_logged: Option<&'static str>,
}

impl Payout {
    /// On the arbiter that will run it.
    #[must_use]
    pub fn new(parts: PayoutParts) -> Payout {
        Payout {
            daemon: Daemon::new(&parts.daemon),
            wallet: WalletOpener::new(Arc::clone(&parts.password)),
            parts,
            mode: None,
            trail: TxLocator::default(),
            skipped: HashSet::new(),
            excluded_outputs: HashSet::new(),
            anchor: None,
            height: Height::new(0),
            run: None,
            is_due: false,
            passed: None,
            refusals: RefCell::default(),
            looked: HashMap::new(),
            heard: HashMap::new(),
            stuck: None,
            fenced: None,
            steps_under: None,
            history: History::default(),
            adopt_tried: HashMap::new(),
            wallet_looked: None,
            standing: Standing::default(),
            last_logged: None,
        }
    }

    /// One step, if this host may.
    async fn tick(&mut self) {
        let epoch = *self.parts.lease.borrow();
        let Some(epoch) = epoch.filter(|epoch| self.fenced != Some(*epoch)) else {
            self.run = None;
            self.tell_nothing();
            return;
        };
        let outcome = self.run_once(epoch).await;
        match &outcome {
            Err(PayoutError::Store(StoreError::Fenced { .. })) => {
                self.fenced = Some(epoch);
                self.tell_nothing();
                return;
            }
            Err(PayoutError::Daemon(DaemonError::NotSent { .. } | DaemonError::NoSuchRoute { .. })) => self.mode = None,
            _ => {}
        }
        self.log(&outcome);
        self.tell(epoch).await;
    }

    /// Says what ended a pass, when that changes. What lasts becomes a condition, which says it aloud.
    fn log(&mut self, outcome: &Result<RunOutcome, PayoutError>) {
        let trouble = match outcome {
            Ok(RunOutcome::Idle) => return,
            Ok(RunOutcome::Done) => None,
            // Being told to wait is how the daemon paces sends, not a trouble.
            Err(trouble) => Some(trouble).filter(|trouble| !trouble.is_busy()),
        };
        let code = trouble.map(|trouble| trouble.reason().code);
        if code != self.last_logged {
            match trouble {
                Some(error) => info!(%error, "payout run failed, will retry"),
                None => info!("payout run succeeded again"),
            }
            self.last_logged = code;
        }
    }

    async fn run_once(&mut self, epoch: i64) -> Result<RunOutcome, PayoutError> {
        let (tip, is_behind) = match self.look_at_chain().await {
            Ok(seen) => seen,
            Err(trouble) => {
                self.standing.front = Some(trouble.reason()).filter(|_| !trouble.is_busy());
                return Err(trouble);
            }
        };
        self.standing.front = None;
        self.look_at_wallet().await;
        let outcome = self.run_at_tip(&tip, is_behind, epoch).await;
        if outcome.as_ref().is_err_and(PayoutError::is_for_this_tip) {
            self.stuck = Some(tip.clone());
        }
        self.note_outcome(&tip, &outcome);
        outcome
    }

    async fn look_at_chain(&mut self) -> Result<(WalletTip, bool), PayoutError> {
        let status = self.daemon.status().await?;
        let tip = WalletTip { height: status.chain_height, best: status.best_hash.clone() };
        self.height = tip.height;
        // The wallet sees its own daemon's chain, which another daemon's may have left behind.
        let best = self.parts.store.best_chain_get().await?;
        if let Some(best) = best.filter(|best| status.total_work < best.work) {
            return Err(PayoutError::LessWork { height: tip.height, best: best.height });
        }
        Ok((tip, status.is_behind()))
    }

    /// Keeps what stands in the way until a pass has found that it does not any more.
    fn note_outcome(&mut self, tip: &WalletTip, outcome: &Result<RunOutcome, PayoutError>) {
        let standing = &mut self.standing;
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
}

impl Actor for Payout {
    const NAME: &'static str = "payout";
}

impl Handler<SweepPayouts> for Payout {
    async fn handle(&mut self, _: SweepPayouts, reply: Reply<SweepPayouts>) -> Result<(), Fault> {
        self.is_due = true;
        self.history.is_due = true;
        self.tick().await;
        reply.send(());
        Ok(())
    }
}

impl Handler<PayoutTick> for Payout {
    async fn handle(&mut self, _: PayoutTick, reply: Reply<PayoutTick>) -> Result<(), Fault> {
        self.tick().await;
        reply.send(());
        Ok(())
    }
}
