//! The payout actor between a real database and a simulated daemon whose clock and blocks are the test's.
use accounting::{Entry, EntryKind};
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use chain::Network;
use daemon_sim::{Control, MineOrder, Params, Sent, SimulatedDaemon};
use devnet_accounts::Keys;
use messages::conditions::Conditions;
use messages::payout::{PayoutTick, SweepPayouts};
use payout::{Payout, PayoutMetrics, PayoutParts};
use runtime::{Handler, Reply};
use secrecy::SecretString;
use settings::DaemonEndpoint;
use settings::PayoutSettings;
use store::Store;
use store::ledger::{Balance, MONEY_LEASE};
use store::payouts::{Intent, IntentState};
use tokio::sync::watch;
use units::{Amount, Timestamp};

use crate::database::{Kind, Scratch};

mod restored;
mod simulated;

pub(crate) const PASSWORD: &str = "test123";
pub(crate) const COIN: u64 = 100_000_000;
const START: Timestamp = Timestamp::from_ms(1_800_000_000_000);
/// Longer than a token of the send route takes to come back.
const STEP_MS: i64 = 2_500;

pub(crate) struct Harness {
    pub(crate) store: Store,
    pub(crate) metrics: Arc<PayoutMetrics>,
    pub(crate) settings: PayoutSettings,
    pub(crate) lease: watch::Sender<Option<i64>>,
    pub(crate) epoch: i64,
    pub(crate) password: watch::Sender<Option<&'static str>>,
    pub(crate) daemon: SimulatedDaemon,
    /// A second daemon on the same chain.
    pub(crate) standby: Option<SimulatedDaemon>,
    /// Where the actor thinks that its daemon is.
    place: DaemonEndpoint,
    pub(crate) actor: Payout,
    pub(crate) dir: tempfile::TempDir,
    clock_ms: i64,
    ids: Arc<AtomicU64>,
    funded: u64,
    pub(crate) conditions: Arc<Conditions>,
    kind: Kind,
    holder: String,
    /// Everything that was owed since the beginning.
    owed: Vec<Entry>,
    scratch: Vec<Scratch>,
}

pub(crate) fn atoms(atoms: u64) -> Amount {
    Amount::from_atoms(atoms).unwrap()
}

pub(crate) fn address(n: u64) -> String {
    Keys::derive(n, "miner").address()
}

pub(crate) fn settings() -> PayoutSettings {
    PayoutSettings { pause_file: None, ..PayoutSettings::default() }
}

impl Harness {
    pub(crate) async fn new() -> Harness {
        Harness::with(Kind::Sqlite, settings(), |_| {}).await
    }

    pub(crate) async fn on(kind: Kind) -> Harness {
        Harness::with(kind, settings(), |_| {}).await
    }

    pub(crate) async fn with(kind: Kind, settings: PayoutSettings, change: impl FnOnce(&mut Params)) -> Harness {
        let dir = tempfile::tempdir().unwrap();
        let mut params = Params {
            pow_memory_kib: 64,
            send_build: Duration::ZERO,
            wallet_save: Duration::ZERO,
            auto_wallet_password: Some(PASSWORD.to_owned()),
            ..Params::devnet(dir.path().join("daemon"))
        };
        change(&mut params);
        let daemon = SimulatedDaemon::start(params).unwrap();
        daemon.control().stop_clock(true);
        // Opening blocks, which an actor's thread may not.
        let opened = std::thread::spawn(move || {
            let scratch = Scratch::new(kind);
            Store::migrate(&scratch.url()).unwrap();
            (Store::open(&scratch.url(), 4).unwrap(), scratch)
        });
        let (store, scratch) = opened.join().unwrap();
        let epoch = store.lease_take(MONEY_LEASE, "test", Duration::from_secs(3600)).await.unwrap().unwrap().epoch;
        let lease = watch::Sender::new(Some(epoch));
        let password = watch::Sender::new(Some(PASSWORD));
        let (metrics, ids): (Arc<PayoutMetrics>, Arc<AtomicU64>) = Default::default();
        let place =
            DaemonEndpoint { url: daemon.url(), cookie_path: Some(daemon.cookie_path()), ..DaemonEndpoint::default() };
        let conditions = Arc::new(Conditions::new(Arc::new(|| START)));
        let steps_file = dir.path().join("payout.steps");
        let outside = Outside { place: &place, store: &store, settings: &settings, conditions: &conditions };
        let actor = Payout::new(parts(&outside, steps_file, &lease, &password, &metrics, &ids));
        Harness {
            store,
            metrics,
            settings,
            lease,
            epoch,
            password,
            daemon,
            standby: None,
            place,
            actor,
            dir,
            clock_ms: 0,
            ids,
            funded: 0,
            conditions,
            kind,
            holder: "test".to_owned(),
            owed: Vec::new(),
            scratch: vec![scratch],
        }
    }

    pub(crate) fn control(&self) -> Control {
        self.daemon.control()
    }

    /// The actor dies; its successor knows what is stored.
    pub(crate) fn crash(&mut self) {
        let outside =
            Outside { place: &self.place, store: &self.store, settings: &self.settings, conditions: &self.conditions };
        let parts = parts(&outside, self.steps_file(), &self.lease, &self.password, &self.metrics, &self.ids);
        self.actor = Payout::new(parts);
    }

    /// The actor speaks to another daemon from now on.
    pub(crate) fn point_at(&mut self, place: DaemonEndpoint) {
        self.place = place;
        self.crash();
    }

    // === money ===

    /// The wallet's daemon mines so many blocks, and they mature.
    pub(crate) fn endow(&mut self, blocks: u64) {
        self.load_wallet();
        let to = "wallet".to_owned();
        self.mine_as(MineOrder { count: blocks, to, empty: true, ..MineOrder::default() });
        self.mine(3);
    }

    pub(crate) async fn owe(&mut self, address: &str, amount: u64) {
        self.funded += 1;
        let amount = i64::try_from(amount).unwrap();
        let postings = [(format!("payable:{address}"), amount), ("chain_rewards".to_owned(), -amount)];
        self.post(&postings).await;
    }

    pub(crate) async fn post(&mut self, postings: &[(String, i64)]) {
        self.funded += 1;
        let postings = postings.iter().map(|(key, amount)| (key.parse().unwrap(), *amount));
        let entry = Entry::new(EntryKind::Adjustment, format!("owed {}", self.funded), postings).unwrap();
        let at = START.plus(Duration::from_secs(self.funded));
        self.owed.push(entry.clone());
        assert!(self.store.entry_post(self.epoch, entry, at).await.unwrap());
    }

    pub(crate) async fn balance(&self, address: &str) -> Balance {
        self.store.balance_of(address).await.unwrap()
    }

    pub(crate) async fn account(&self, key: &str) -> i64 {
        self.store.account_balance(key).await.unwrap()
    }

    // === time ===

    pub(crate) fn mine(&mut self, count: u64) {
        self.mine_as(MineOrder { count, ..MineOrder::default() });
    }

    /// Blocks that take nothing from the mempool.
    pub(crate) fn mine_empty(&mut self, count: u64) {
        self.mine_as(MineOrder { count, empty: true, ..MineOrder::default() });
    }

    pub(crate) fn mine_as(&mut self, order: MineOrder) {
        self.advance(3_000 * i64::try_from(order.count).unwrap());
        self.control().mine(&order).unwrap();
        self.agree();
    }

    /// Waits until the standby has the daemon's chain.
    pub(crate) fn agree(&self) {
        let tip = |daemon: &SimulatedDaemon| daemon.control().tip();
        let Some(standby) = &self.standby else { return };
        until("one tip", || tip(standby) == tip(&self.daemon));
    }

    pub(crate) fn advance(&mut self, ms: i64) {
        self.clock_ms += ms;
        self.control().set_clock_offset_ms(self.clock_ms);
        if let Some(standby) = &self.standby {
            standby.control().set_clock_offset_ms(self.clock_ms);
        }
    }

    /// A payout run is due.
    pub(crate) async fn sweep(&mut self) {
        let (reply, done) = Reply::<SweepPayouts>::test();
        self.actor.handle(SweepPayouts, reply).await.unwrap();
        done.await.unwrap();
    }

    pub(crate) async fn tick(&mut self) {
        self.advance(STEP_MS);
        let (reply, done) = Reply::<PayoutTick>::test();
        self.actor.handle(PayoutTick, reply).await.unwrap();
        done.await.unwrap();
    }

    pub(crate) async fn ticks(&mut self, count: usize) {
        for _ in 0..count {
            self.tick().await;
        }
    }

    /// A step that dies at its `polls`th await; `true` when it was over before.
    pub(crate) async fn tick_until_crash(&mut self, sweep: bool, polls: u32) -> bool {
        self.advance(STEP_MS);
        let actor = &mut self.actor;
        let step = async {
            if sweep {
                actor.handle(SweepPayouts, Reply::test().0).await.unwrap();
            } else {
                actor.handle(PayoutTick, Reply::test().0).await.unwrap();
            }
        };
        let over = {
            let mut step = pin!(step);
            let mut left = polls;
            std::future::poll_fn(|cx| {
                if left == 0 {
                    return Poll::Ready(false);
                }
                left -= 1;
                step.as_mut().poll(cx).map(|()| true)
            })
            .await
        };
        if !over {
            self.crash();
        }
        over
    }

    pub(crate) async fn sweep_until_crash(&mut self, polls: u32) {
        self.tick_until_crash(true, polls).await;
    }

    /// Blocks and steps until every payout is closed.
    pub(crate) async fn settle(&mut self) {
        for _ in 0..60 {
            self.ticks(2).await;
            if self.open().await.is_empty() {
                return;
            }
            self.mine(1);
        }
        panic!("still open: {:#?}", self.open().await);
    }

    /// Plans a payout and stops right before the wallet is asked: the daemon has no token left for it.
    pub(crate) async fn reserve(&mut self) -> Intent {
        self.sweep().await;
        let intent = self.only().await;
        assert_eq!(intent.state, IntentState::Reserved);
        intent
    }

    // === what is so ===

    pub(crate) async fn open(&self) -> Vec<Intent> {
        self.store.intent_list_open().await.unwrap()
    }

    pub(crate) async fn only(&self) -> Intent {
        let mut open = self.open().await;
        assert_eq!(open.len(), 1, "{open:#?}");
        open.remove(0)
    }

    pub(crate) async fn find(&self, id: &str) -> Intent {
        self.store.intent_find(id).await.unwrap().unwrap()
    }

    pub(crate) fn sends(&self) -> Vec<Sent> {
        self.control().sends()
    }

    /// What the chain gave an address, by payout.
    pub(crate) fn income(&self, address: &str) -> Vec<u64> {
        self.control().income(address).unwrap().into_iter().map(|income| income.amount).collect()
    }

    /// The books add up, and each of these was paid by the chain what the books say, in so many payments.
    pub(crate) async fn check(&self, paid: &[(&str, usize)]) {
        self.audit().await;
        for (address, payments) in paid {
            let income = self.income(address);
            assert_eq!(income.len(), *payments, "payments to {address}: {income:?}");
            let balance = self.balance(address).await;
            assert_eq!(balance.paid.atoms(), income.iter().sum::<u64>(), "{balance:?}");
            assert_eq!(balance.inflight, Amount::ZERO);
        }
    }

    pub(crate) async fn audit(&self) {
        let mut found = self.store.audit_entries().await.unwrap();
        found.extend(self.store.audit_payouts().await.unwrap());
        assert!(found.is_empty(), "{found:#?}");
    }
}

/// Waits for a state of something that runs on a thread of its own.
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(std::time::Instant::now() < deadline, "never: {what}");
        std::thread::park_timeout(Duration::from_millis(2));
    }
}

/// What an actor is built from that is not its own.
struct Outside<'a> {
    place: &'a DaemonEndpoint,
    store: &'a Store,
    settings: &'a PayoutSettings,
    conditions: &'a Arc<Conditions>,
}

fn parts(
    outside: &Outside<'_>,
    steps_file: PathBuf,
    lease: &watch::Sender<Option<i64>>,
    password: &watch::Sender<Option<&'static str>>,
    metrics: &Arc<PayoutMetrics>,
    ids: &Arc<AtomicU64>,
) -> PayoutParts {
    let (password, ids) = (password.subscribe(), Arc::clone(ids));
    PayoutParts {
        daemon: outside.place.clone(),
        password: Arc::new(move || password.borrow().map(SecretString::from)),
        store: outside.store.clone(),
        settings: outside.settings.clone(),
        network: Network::Testnet,
        reward_address: None,
        settle_depth: 3,
        credit_depth: 3,
        steps_file,
        lease: lease.subscribe(),
        clock: Arc::new(|| START.plus(Duration::from_secs(100_000))),
        random_id: Arc::new(move || u128::from(ids.fetch_add(1, Ordering::Relaxed) + 0xabc0).to_be_bytes()),
        metrics: Arc::clone(metrics),
        conditions: Arc::clone(outside.conditions),
    }
}
