//! One step at a time, under the money lease.
use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use chain::{BlockId, Network};
use daemon::{Daemon, DaemonError, DaemonSettings, WalletPassword};
use messages::counters::Counters;
use messages::facts::{Clock, LeaseEpoch};
use messages::payout::{PayoutTick, SweepPayouts};
use runtime::{Actor, Fault, Handler, Reply};
use settings::PayoutSettings;
use store::payouts::{Intent, IntentState, OperatorWord};
use store::{Store, StoreError};
use tracing::{info, warn};
use units::Height;

use crate::evidence::{self, Look};
use crate::resolve::Key;
use crate::sweep::Run;
use crate::trail::Trail;
use crate::trouble::Trouble;
use crate::wallet::Wallet;

/// Sends of one step. Each may take the daemon's 30 s, and an actor that is busy for minutes is taken for stuck.
const SENDS_PER_STEP: usize = 8;

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
    /// Under which money may be written.
    pub lease: LeaseEpoch,
    /// The wall clock.
    pub clock: Clock,
    /// Chance.
    pub random_id: RandomId,
    /// Figures of the process.
    pub counters: Arc<Counters>,
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
pub(crate) struct Tip {
    pub(crate) height: Height,
    /// The beginning of the best block's id.
    best: String,
}

/// Pays what is due; see the crate's documentation.
pub struct Payout {
    pub(crate) parts: PayoutParts,
    pub(crate) daemon: Daemon,
    pub(crate) wallet: Wallet,
    /// Found out when first needed, and again after the daemon was away.
    pub(crate) mode: Option<Mode>,
    pub(crate) trail: Trail,
    /// Due addresses that are not paid.
    pub(crate) skipped: HashSet<String>,
    /// Outputs that the daemon would not spend at this tip.
    pub(crate) shunned: HashSet<(String, u32)>,
    /// A block as deep as settled payouts are: when it is replaced they may be gone.
    pub(crate) anchor: Option<(Height, BlockId)>,
    /// Height of the chain in this step.
    pub(crate) height: Height,
    run: Option<Run>,
    is_due: bool,
    /// The tip of the last pass without trouble.
    passed: Option<Tip>,
    /// Keys of requests whose refusal was said.
    pub(crate) refusals: RefCell<HashSet<String>>,
    /// Payouts that nothing new can be learned of before the next tip.
    looked: HashMap<String, Tip>,
    /// Words of operators that were looked at, and when.
    heard: HashMap<String, (OperatorWord, Tip)>,
    /// The tip at which nothing could be sent, which only another one can change.
    stuck: Option<Tip>,
    /// The epoch that the database has refused.
    fenced: Option<i64>,
    /// What the last trouble was about.
    said: Option<String>,
}

impl Payout {
    /// On the arbiter that will run it.
    #[must_use]
    pub fn new(parts: PayoutParts) -> Payout {
        Payout {
            daemon: Daemon::new(&parts.daemon),
            wallet: Wallet::new(Arc::clone(&parts.password)),
            parts,
            mode: None,
            trail: Trail::default(),
            skipped: HashSet::new(),
            shunned: HashSet::new(),
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
            said: None,
        }
    }

    /// One step, if this host may.
    async fn turn(&mut self) {
        let epoch = *self.parts.lease.borrow();
        let Some(epoch) = epoch.filter(|epoch| self.fenced != Some(*epoch)) else {
            self.run = None;
            return;
        };
        let trouble = match self.pass(epoch).await {
            Ok(Pass::Idle) => return,
            Ok(Pass::Done) => None,
            Err(trouble) => Some(trouble),
        };
        match &trouble {
            Some(Trouble::Store(StoreError::Fenced { .. })) => self.fenced = Some(epoch),
            Some(Trouble::Daemon(DaemonError::NotSent { .. } | DaemonError::NoSuchRoute { .. })) => self.mode = None,
            _ => {}
        }
        let is_shut = matches!(trouble, Some(Trouble::NoPassword(_) | Trouble::WalletShut(_)));
        self.parts.counters.payouts_wallet_shut.set(u64::from(is_shut));
        // Being told to wait is how the daemon paces sends, not a trouble.
        let trouble = trouble.filter(|trouble| !trouble.is_busy());
        let topic = trouble.as_ref().map(Trouble::topic);
        if topic != self.said {
            match trouble {
                // Change is locked for a while after every send: this comes and goes.
                Some(Trouble::Short(short)) => info!(%short, "payouts wait for funds"),
                // Another daemon may have heard of the newest block first.
                Some(trouble @ Trouble::LessWork { .. }) => info!("payouts wait: {trouble}"),
                Some(trouble) => warn!(%trouble, "payouts cannot go on now; it is tried again"),
                None => info!("payouts go on"),
            }
            self.said = topic;
        }
    }

    async fn pass(&mut self, epoch: i64) -> Result<Pass, Trouble> {
        let status = self.daemon.status().await?;
        let tip = Tip { height: status.chain_height, best: status.best_hash.clone() };
        self.height = tip.height;
        // The wallet sees its own daemon's chain, which another daemon's may have left behind.
        let best = self.parts.store.best_chain_get().await?;
        if let Some(best) = best.filter(|best| status.total_work < best.work) {
            return Err(Trouble::LessWork { height: tip.height, best: best.height });
        }
        let outcome = self.pass_at(&tip, status.is_behind(), epoch).await;
        if outcome.as_ref().is_err_and(Trouble::is_for_this_tip) {
            self.stuck = Some(tip);
        }
        outcome
    }

    async fn pass_at(&mut self, tip: &Tip, is_behind: bool, epoch: i64) -> Result<Pass, Trouble> {
        let mut open = self.parts.store.intent_list_open().await?;
        self.count(&open);
        let is_new_tip = self.passed.as_ref() != Some(tip);
        let may_send = self.check_gate(is_behind).await;
        let to_follow = open.iter().any(|intent| self.is_to_follow(intent, tip, is_new_tip));
        let is_stuck = self.stuck.as_ref() == Some(tip);
        let has_due = self.is_due || self.run.is_some();
        let to_send = !is_stuck && (has_due || open.iter().any(is_to_send));
        if !is_new_tip && !to_follow {
            match may_send {
                _ if !to_send => return Ok(Pass::Idle),
                Err(trouble) => return Err(trouble),
                Ok(()) => {}
            }
        }
        if is_new_tip {
            self.shunned.clear();
        }
        let oldest = open.iter().map(|intent| intent.created_height).min();
        let mut look = None;
        if self.mode().await? == Mode::Full && is_new_tip {
            look = Some(evidence::look(&self.daemon, &self.wallet, oldest).await?);
        }
        let mut trouble = None;
        for intent in &mut open {
            let step = Step { tip, oldest, is_new_tip, epoch };
            match self.follow_one(intent, &mut look, step).await {
                Err(error) if error.is_of_one_payout() => {
                    self.attend(intent, Some(&error.to_string()), epoch).await?;
                    if let Trouble::OtherWallet { id, .. } = &error {
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
        if is_new_tip {
            if self.mode == Some(Mode::Full) {
                self.check_settled(tip).await?;
            }
            self.check_solvency(look.as_ref(), &open).await?;
        }
        may_send?;
        if !is_stuck && (has_due || open.iter().any(is_to_send)) {
            self.send_all(&mut open, look, oldest, epoch).await?;
            self.count(&open);
        }
        trouble.map_or(Ok(Pass::Done), Err)
    }

    /// Something new may be learned of it.
    fn is_to_follow(&self, intent: &Intent, tip: &Tip, is_new_tip: bool) -> bool {
        match intent.state {
            _ if intent.word.is_some() => self.is_unheard(intent, tip),
            IntentState::Reserved => false,
            IntentState::Unknown => self.mode != Some(Mode::Plain) || self.looked.get(&intent.id) != Some(tip),
            _ => is_new_tip,
        }
    }

    fn is_unheard(&self, intent: &Intent, tip: &Tip) -> bool {
        self.heard.get(&intent.id).is_none_or(|(word, at)| intent.word.as_ref() != Some(word) || at != tip)
    }

    async fn follow_one(
        &mut self,
        intent: &mut Intent,
        look: &mut Option<Look>,
        step: Step<'_>,
    ) -> Result<(), Trouble> {
        let Step { tip, oldest, is_new_tip, epoch } = step;
        if let Some(word) = intent.word.clone() {
            if !self.is_unheard(intent, tip) {
                return Ok(());
            }
            if look.is_none() && self.mode == Some(Mode::Full) {
                *look = Some(evidence::look(&self.daemon, &self.wallet, oldest).await?);
            }
            self.heard.insert(intent.id.clone(), (word.clone(), tip.clone()));
            return self.obey(intent, word, look.as_ref(), tip.height, epoch).await;
        }
        if is_reserved(intent) {
            let Some(look) = look.as_ref().filter(|_| is_new_tip) else { return Ok(()) };
            self.check_wallet(intent, &look.wallet)?;
            return self.attend(intent, None, epoch).await;
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
        mut look: Option<Look>,
        oldest: Option<Height>,
        epoch: i64,
    ) -> Result<(), Trouble> {
        if look.is_none() && self.mode == Some(Mode::Full) {
            look = Some(evidence::look(&self.daemon, &self.wallet, oldest).await?);
        }
        self.check_solvency(look.as_ref(), open).await?;
        let mut trouble = None;
        let reserved = open.iter().filter(|intent| is_to_send(intent)).count();
        for intent in open.iter_mut().filter(|intent| is_to_send(intent)).take(SENDS_PER_STEP) {
            match self.send(intent, epoch).await {
                Err(error) if error.is_of_one_payout() => {
                    self.attend(intent, Some(&error.to_string()), epoch).await?;
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
            Err(Trouble::Store(StoreError::Conflict { .. })) => self.is_due = true,
            _ if run.is_over() => {}
            Ok(Left::Nothing) => {}
            // The next step goes on.
            Ok(Left::More) | Err(_) => self.run = Some(run),
        }
        outcome.and_then(|_| trouble.map_or(Ok(()), Err))
    }

    async fn go_on(
        &mut self,
        run: &mut Run,
        open: &mut Vec<Intent>,
        look: Option<&Look>,
        epoch: i64,
        sends: usize,
    ) -> Result<Left, Trouble> {
        for _ in 0..sends {
            let purse = self.purse(look, open).await?;
            let Some(mut intent) = self.reserve_next(run, &purse, open, epoch).await? else { return Ok(Left::Nothing) };
            let sent = self.send(&mut intent, epoch).await;
            open.push(intent);
            sent?;
        }
        Ok(Left::More)
    }

    /// Whether anything may be sent at all. What was sent is followed all the same.
    async fn check_gate(&self, is_behind: bool) -> Result<(), Trouble> {
        let settings = &self.parts.settings;
        let paused = match settings.pause_file.clone() {
            _ if !settings.enabled => Some(Trouble::Off),
            Some(file) => {
                let path = file.clone();
                let found = tokio::task::spawn_blocking(move || path.try_exists()).await;
                match found.unwrap_or_else(|error| Err(std::io::Error::other(error))) {
                    Ok(false) => None,
                    Ok(true) => Some(Trouble::Paused(file)),
                    Err(error) => Some(Trouble::PauseUnknown { file, why: error.to_string() }),
                }
            }
            None => None,
        };
        self.parts.counters.payouts_paused.set(u64::from(paused.is_some()));
        match paused {
            Some(trouble) => Err(trouble),
            None if is_behind => Err(Trouble::Syncing),
            None => Ok(()),
        }
    }

    /// Which requests this daemon understands.
    async fn mode(&mut self) -> Result<Mode, Trouble> {
        if let Some(mode) = self.mode {
            return Ok(mode);
        }
        let can = self.daemon.probe().await?;
        let mode = if can.send_status && can.sends && can.advanced { Mode::Full } else { Mode::Plain };
        if mode == Mode::Plain {
            warn!(
                daemon = self.daemon.place(),
                "the daemon lacks send/status, sends or send/advanced: a payout whose outcome is unknown waits for an operator"
            );
        }
        self.mode = Some(mode);
        Ok(mode)
    }

    fn count(&mut self, open: &[Intent]) {
        let counters = &self.parts.counters;
        let of = |state| count(open.iter().filter(|intent| intent.state == state).count());
        counters.payouts_reserved.set(of(IntentState::Reserved));
        counters.payouts_unknown.set(of(IntentState::Unknown));
        counters.payouts_broadcast.set(of(IntentState::Broadcast));
        counters.payouts_confirmed.set(of(IntentState::Confirmed));
        counters.payouts_attention.set(count(open.iter().filter(|intent| intent.attention.is_some()).count()));
        let now = (self.parts.clock)();
        let oldest = open.iter().map(|intent| now.since(intent.created_at)).max().unwrap_or(Duration::ZERO);
        counters.payouts_oldest_seconds.set(oldest.as_secs());
        self.refusals.get_mut().retain(|key| open.iter().any(|intent| key.starts_with(&intent.id)));
        self.heard.retain(|id, _| open.iter().any(|intent| intent.id == *id));
        self.looked.retain(|id, _| open.iter().any(|intent| intent.id == *id));
        let named = open.iter().filter_map(|intent| match &intent.word {
            Some(OperatorWord::Sent { txid }) => Some(txid.as_str()),
            _ => None,
        });
        let sent = open.iter().filter_map(|intent| intent.txid.as_deref());
        self.trail.keep(&sent.chain(named).collect::<Vec<_>>());
    }
}

/// What a pass came to.
enum Pass {
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
    tip: &'a Tip,
    /// Tip when the oldest open payout was planned.
    oldest: Option<Height>,
    is_new_tip: bool,
    epoch: i64,
}

fn is_reserved(intent: &Intent) -> bool {
    intent.state == IntentState::Reserved
}

/// An operator's word comes first.
fn is_to_send(intent: &Intent) -> bool {
    is_reserved(intent) && intent.word.is_none()
}

fn count(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

impl Actor for Payout {
    const NAME: &'static str = "payout";
}

impl Handler<SweepPayouts> for Payout {
    async fn handle(&mut self, _: SweepPayouts, reply: Reply<SweepPayouts>) -> Result<(), Fault> {
        self.is_due = true;
        self.turn().await;
        reply.send(());
        Ok(())
    }
}

impl Handler<PayoutTick> for Payout {
    async fn handle(&mut self, _: PayoutTick, reply: Reply<PayoutTick>) -> Result<(), Fault> {
        self.turn().await;
        reply.send(());
        Ok(())
    }
}
