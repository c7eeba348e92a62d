//! A pool whose days pass as fast as they can be written down.
use accounting::{Entry, EntryKind};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use messages::facts::Clock;
use messages::retention::RetentionTick;
use retention::{Retention, RetentionMetrics, RetentionParts};
use runtime::{Handler, Reply};
use settings::RetentionSettings;
use store::Store;
use store::audit::Priced;
use store::blocks::{BlockState, BlockWeight};
use store::payouts::{IntentChange, IntentState};
use store::retention::{DAY, SWEPT_HEIGHT};
use tokio::sync::watch;
use units::{Amount, Minute, Timestamp};

use crate::common::TestDb;
use crate::common::log::{EPOCH, Log, WINDOW, at, hash, line, template};
use crate::common::money::{intent, lease, line as recipient, released, reserved, settled};

/// The first minute of the first day.
pub(crate) const START: u32 = EPOCH / DAY * DAY;
/// Blocks of the network in a day.
const HEIGHTS: u64 = 288;

/// An actor with its clock and its metrics.
pub(crate) struct Cleaner {
    pub(crate) actor: Retention,
    pub(crate) metrics: Arc<RetentionMetrics>,
    pub(crate) lease: watch::Sender<Option<i64>>,
}

impl Cleaner {
    pub(crate) fn new(store: Store, epoch: i64, clock: Clock, settings: RetentionSettings) -> Cleaner {
        let metrics = Arc::new(RetentionMetrics::default());
        let (lease, epochs) = watch::channel(Some(epoch));
        let parts =
            RetentionParts { settings, window: WINDOW, store, lease: epochs, clock, metrics: Arc::clone(&metrics) };
        Cleaner { actor: Retention::factory(parts)(), metrics, lease }
    }

    pub(crate) async fn tick(&mut self) {
        let (reply, done) = Reply::<RetentionTick>::test();
        self.actor.handle(RetentionTick, reply).await.unwrap();
        done.await.unwrap();
    }

    /// Turns until a clean-up is finished.
    pub(crate) async fn run(&mut self) {
        let before = self.metrics.retention_runs_total.get();
        while self.metrics.retention_runs_total.get() == before {
            self.tick().await;
        }
    }
}

/// What was done in all, counted beside the pool.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Sums {
    pub(crate) shares: u64,
    pub(crate) rejects: u64,
    pub(crate) verified: u64,
    pub(crate) refuted: u64,
}

pub(crate) struct Pool<'a> {
    pub(crate) db: &'a TestDb,
    pub(crate) log: Log,
    pub(crate) epoch: i64,
    pub(crate) day: u32,
    pub(crate) sums: Sums,
    now: Arc<AtomicI64>,
}

impl<'a> Pool<'a> {
    pub(crate) async fn new(db: &'a TestDb) -> Pool<'a> {
        let lines = vec![line("alice", "a"), line("alice", "b"), line("bob", ""), line("carol", "c")];
        let mut log = Log::new(&db.store, "host", lines).await;
        log.share(0, START, 1);
        let mut pool =
            Pool { db, log, epoch: lease(db, "treasury").await, day: 0, sums: Sums::default(), now: Arc::default() };
        pool.sums.shares = 1;
        let postings = [("adjustment", -1_000_000_000), ("payable:alice", 1_000_000_000)];
        let fund = crate::common::money::entry(EntryKind::Adjustment, "fund", &postings);
        db.store.entry_post(pool.epoch, fund, at(START)).await.unwrap();
        pool
    }

    pub(crate) fn clock(&self) -> Clock {
        let now = Arc::clone(&self.now);
        Arc::new(move || Timestamp::from_ms(now.load(Ordering::Relaxed)))
    }

    pub(crate) fn cleaner(&self, settings: RetentionSettings) -> Cleaner {
        Cleaner::new(self.db.store.clone(), self.epoch, self.clock(), settings)
    }

    /// A day of shares, verdicts, rejects and invented names, with a block at its end. The block of the day before is
    /// credited and final, unless it is `held`; a payout is settled.
    pub(crate) async fn day(&mut self, held: Option<u32>) {
        let midnight = START + self.day * DAY;
        self.log.template = template(1_000 + u64::from(self.day) * HEIGHTS);
        self.log.template.seen_at = at(midnight);
        self.log.lines.push(line(&format!("invented {}", self.day), ""));
        self.log.reject(self.log.lines.len() - 1, midnight, "low difficulty share", 1);
        self.db.store.fold(self.log.step()).await.unwrap();
        self.log.lines.pop();
        for (place, minute) in (midnight..midnight + DAY).step_by(90).enumerate() {
            // Carol leaves after ten days.
            let line = (place + self.day as usize) % if self.day < 10 { 4 } else { 3 };
            for more in 0..3 {
                let share = self.log.share(line, minute + more, 10 + u64::from(more));
                self.sums.shares += 1;
                match share % 5 {
                    0 => self.judge(share, "verified"),
                    1 if share.is_multiple_of(3) => self.judge(share, "rejected"),
                    _ => {}
                }
            }
            self.log.reject(line, minute, "stale job", 2);
            self.sums.rejects += 2;
            if place % 4 == 3 {
                self.db.store.fold(self.log.step()).await.unwrap();
            }
        }
        self.sums.rejects += 1;
        let last = midnight + DAY - 1;
        let share = self.log.share(0, last, 50);
        self.sums.shares += 1;
        self.db.store.fold(self.log.candidate(&hash(u64::from(self.day)), 0, share, last)).await.unwrap();
        self.now.store(at(last).ms(), Ordering::Relaxed);
        let folded = self.db.store.host_folded(self.log.host).await.unwrap();
        self.db.store.host_caught_up(self.log.host, folded, at(last)).await.unwrap();
        let swept = self.log.template.height.get().to_string();
        self.db.store.meta_set(SWEPT_HEIGHT, &swept).await.unwrap();
        self.pay().await;
        if let Some(yesterday) = self.day.checked_sub(1).filter(|day| Some(*day) != held) {
            self.credit(yesterday).await;
        }
        self.day += 1;
    }

    fn judge(&mut self, share: u64, verdict: &'static str) {
        self.log.verdict(share, verdict);
        if verdict == "verified" { self.sums.verified += 1 } else { self.sums.refuted += 1 }
    }

    /// A settled payout, and every third day one that was never sent.
    async fn pay(&self) {
        let (store, now) = (&self.db.store, self.clock()());
        let height = self.log.template.height;
        for gives_up in [false, true].into_iter().take(if self.day.is_multiple_of(3) { 2 } else { 1 }) {
            let id = format!("{:032x}", u64::from(self.day) * 2 + u64::from(gives_up));
            let mut intent = intent(&id, vec![recipient("alice", 900, 870)]);
            (intent.created_at, intent.created_height) = (now, height);
            store.intent_reserve(self.epoch, intent.clone(), reserved(&intent), now).await.unwrap();
            let (to, entry) = if gives_up {
                (IntentState::Released, released(&intent))
            } else {
                let sent = Some((
                    chain::TxId([u8::try_from(self.day % 251).unwrap(); 32]),
                    Amount::from_atoms(20).unwrap(),
                    now,
                ));
                let change = IntentChange { state: Some(IntentState::Confirmed), sent, ..IntentChange::default() };
                store.intent_change(self.epoch, &id, IntentState::Reserved, change).await.unwrap();
                (IntentState::Settled, settled(&intent, 20))
            };
            let from = if gives_up { IntentState::Reserved } else { IntentState::Confirmed };
            store.intent_close(self.epoch, &id, from, to, entry, now).await.unwrap();
        }
    }

    /// Weighs, credits and finishes the block of a day.
    pub(crate) async fn credit(&self, day: u32) {
        let (store, epoch, now) = (&self.db.store, self.epoch, self.clock()());
        let block = store.block_find(&hash(u64::from(day))).await.unwrap().unwrap();
        store.block_move(epoch, block.id, BlockState::Candidate, BlockState::Seen).await.unwrap();
        let (works, verdicts) = store.block_window_work(block.id).await.unwrap();
        let mut postings = vec![("chain_rewards".to_owned(), -block.reward.to_i64())];
        let mut weights = Vec::new();
        let mut left = block.reward.to_i64();
        for work in works {
            let weight = i64::try_from(work.verified.get() + work.provisional.get()).unwrap();
            postings.push((format!("payable:{}", work.address), weight));
            left -= weight;
            let credit = Amount::from_atoms(u64::try_from(weight).unwrap()).unwrap();
            let (verified, provisional) = (work.verified, work.provisional);
            weights.push(BlockWeight { miner: work.miner, verified, provisional, weight, credit });
        }
        postings.push(("pool_fee".to_owned(), left));
        let postings = postings.into_iter().map(|(key, amount)| (key.parse().unwrap(), amount));
        let entry = Entry::new(EntryKind::BlockCredited, &block.hash, postings).unwrap();
        store.block_weights_store(epoch, block.id, weights, "digest", verdicts).await.unwrap();
        store.block_credit(epoch, block.id, entry, now).await.unwrap();
        store.block_finish(epoch, block.id, now).await.unwrap();
    }

    /// The window of a day's block, share by share: accepted work by address.
    pub(crate) fn naive(&self, day: u32) -> BTreeMap<String, u64> {
        let found = START + day * DAY + DAY - 1;
        let first = at(found).minus(WINDOW).minute().0;
        let mut sums = BTreeMap::new();
        for share in self.log.shares.iter().filter(|share| share.minute >= first && share.minute <= found) {
            *sums.entry(self.log.lines[share.line].address.clone()).or_default() += share.difficulty;
        }
        sums
    }

    pub(crate) async fn audit(&self) -> Vec<store::audit::Difference> {
        audit(&self.db.store).await
    }

    pub(crate) async fn totals(&self) -> Sums {
        let totals = self.db.store.pool_totals().await.unwrap();
        let (shares, rejects) = (totals.shares, totals.rejects);
        Sums { shares, rejects, verified: totals.verified, refuted: totals.refuted }
    }

    pub(crate) fn count(&self, table: &str) -> i64 {
        self.db.number(&format!("SELECT COUNT(*) AS n FROM {table}"))
    }
}

pub(crate) async fn audit(store: &Store) -> Vec<store::audit::Difference> {
    let mut found = store.audit_entries().await.unwrap();
    found.extend(store.audit_shares().await.unwrap());
    found.extend(store.audit_blocks(|_| Priced::default()).await.unwrap());
    found.extend(store.audit_payouts().await.unwrap());
    found
}

/// The default, but for payouts.
pub(crate) fn kept(shares: u64, payouts: u64) -> RetentionSettings {
    let days = |count: u64| Some(Duration::from_secs(count * 86_400));
    RetentionSettings { shares: days(shares), payouts: days(payouts), ..RetentionSettings::default() }
}

/// The minute at which so many days are over.
pub(crate) fn midnight(days: u32) -> Minute {
    Minute(START + days * DAY)
}
