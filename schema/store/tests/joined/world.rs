//! What an older program leaves behind: miners under both texts of their addresses, in all that is stored.
use accounting::{Booked, Entry};
use chain::{Address, Network};
use store::audit::{Difference, Priced};
use store::hints::HintRow;
use store::ledger::Balance;
use store::payouts::{IntentChange, IntentState};
use store::penalties::PenaltyRow;
use store::{Joining, Store};
use units::{Amount, Difficulty, Timestamp};

use crate::common::TestDb;
pub(crate) use crate::common::credits::{credit, weigh};
use crate::common::log::{EPOCH, Log, at, hash, line};
use crate::common::money::{NOW, intent, intent_id, lease, line as recipient, reserved, settled};

pub(crate) use crate::common::money::later;

/// The nth address, with its checksum.
pub(crate) fn address(n: u8) -> String {
    let key = |first| std::array::from_fn(|place| if place == 0 { first } else { 0 });
    let candidates = (2..=u8::MAX).map(|first| Address::encode(&key(first), &key(first), Network::Testnet));
    candidates.filter(|text| Address::parse(text, &Network::Testnet).is_ok()).nth(n.into()).unwrap()
}

/// The same one without.
pub(crate) fn legacy(n: u8) -> String {
    Address::parse(&address(n), &Network::Testnet).unwrap().legacy_text()
}

/// Whether an address, or the address in an account's key, is without checksum.
pub(crate) fn legacy_of(text: &str) -> bool {
    let text = text.rsplit(':').next().unwrap();
    Address::parse(text, &Network::Testnet).is_ok_and(|address| address.is_legacy())
}

/// As the pool joins.
pub(crate) const JOINING: Joining = Joining { network: Network::Testnet, entry: joined };

fn joined(from: &str, to: &str, booked: &Balance) -> Entry {
    let booked = Booked { payable: booked.payable, inflight: booked.inflight, paid_out: booked.paid };
    Entry::accounts_joined(from, to, &booked).unwrap()
}

/// Puts the database back to before the migration that joins.
pub(crate) fn unjoin(db: &TestDb) {
    let kind = if db.is_postgres() { "postgres" } else { "sqlite" };
    let down = format!("migrations/{kind}/00000000000013_one_account_per_keys/down.sql");
    db.sql(&std::fs::read_to_string(down).unwrap()).unwrap();
    db.sql("DELETE FROM __diesel_schema_migrations WHERE version = '00000000000013'").unwrap();
}

pub(crate) fn join(db: &TestDb) -> Vec<String> {
    Store::migrate_joining(&db.url, JOINING).unwrap()
}

pub(crate) async fn audit(db: &TestDb) -> Vec<Difference> {
    let mut found = db.store.audit_entries().await.unwrap();
    found.extend(db.store.audit_shares().await.unwrap());
    found.extend(db.store.audit_blocks(|_| Priced::default()).await.unwrap());
    found.extend(db.store.audit_payouts().await.unwrap());
    found
}

/// Two hosts, three miners: the first under both texts, the second under the checksummed one, the third under the legacy
/// one. A fourth has a fee policy.
pub(crate) struct World {
    pub(crate) epoch: i64,
    pub(crate) logs: Vec<Log>,
    minute: u32,
}

/// When the first miner began, by a line that is forgotten.
pub(crate) fn early() -> Timestamp {
    at(EPOCH - 5_000)
}

impl World {
    /// Filled, and put back to before the migration.
    pub(crate) async fn filled(db: &TestDb) -> World {
        let mut logs = Vec::new();
        for host in ["h1", "h2"] {
            let lines = vec![
                line(&legacy(0), "rig"),
                line(&address(0), "rig"),
                line(&legacy(0), "only"),
                line(&address(1), "w"),
                line(&legacy(2), "w"),
            ];
            let mut log = Log::new(&db.store, host, lines).await;
            log.window = std::time::Duration::from_secs(3600);
            logs.push(log);
        }
        let policy = format!("{{\"scheme\":\"pplns\",\"fee_address\":\"{}\"}}", legacy(3));
        db.store.policy_ensure(&policy, NOW).await.unwrap();
        let mut world = World { epoch: lease(db, "one").await, logs, minute: 0 };
        world.mine(db, 100).await;
        let [first, second] = [1_035, 1_065].map(hash);
        let first = db.store.block_find(&first).await.unwrap().unwrap();
        let second = db.store.block_find(&second).await.unwrap().unwrap();
        let credits = weigh(db, world.epoch, &first).await;
        assert!(credits.iter().any(|(to, _)| legacy_of(to)) && credits.iter().any(|(to, _)| *to == address(0)));
        let credited = credit(&first.hash, &first, &credits, "pool_fee");
        db.store.block_credit(world.epoch, first.id, credited, at(EPOCH + 100)).await.unwrap();
        weigh(db, world.epoch, &second).await;
        world.pay(db).await;
        side_tables(db).await;
        assert_eq!(audit(db).await, [], "before");
        unjoin(db);
        world
    }

    /// Mines for so many minutes; a block every 30.
    async fn mine(&mut self, db: &TestDb, minutes: u32) {
        for minute in self.minute..self.minute + minutes {
            for log in &mut self.logs {
                let lines = log.lines.len();
                // The two texts of one worker take turns within the minute, and now and then one ends the other's.
                for step in 0..7_usize {
                    let line = if step % 2 == 0 {
                        step % 4 % lines
                    } else {
                        (usize::try_from(minute).unwrap() + step) % lines
                    };
                    let share = log.share(line, EPOCH + minute, 10 + step as u64);
                    match share % 5 {
                        0 | 1 => log.verdict(share, "verified"),
                        3 if share % 3 == 0 => log.verdict(share, "rejected"),
                        _ => {}
                    }
                }
                log.reject(usize::try_from(minute).unwrap() % 2, EPOCH + minute % 3, "stale job", 2);
            }
            if minute % 3 == 0 {
                db.store.fold(self.logs[1].step()).await.unwrap();
            }
            if minute % 30 == 5 {
                let log = &mut self.logs[0];
                let line = usize::try_from(minute / 30).unwrap() % 3;
                let found = log.share(line, EPOCH + minute, 50);
                let step = log.candidate(&hash(1_000 + u64::from(minute)), line, found, EPOCH + minute);
                db.store.fold(step).await.unwrap();
            }
        }
        self.minute += minutes;
        for log in &mut self.logs {
            db.store.fold(log.step()).await.unwrap();
            let folded = db.store.host_folded(log.host).await.unwrap();
            db.store.host_caught_up(log.host, folded, at(EPOCH + self.minute + 10)).await.unwrap();
        }
    }

    /// Pays the first miner under one text, and is about to pay it under each.
    async fn pay(&self, db: &TestDb) {
        let store = &db.store;
        for (n, to) in [(1, legacy(0)), (2, legacy(0)), (3, address(0))] {
            let intent = intent(&intent_id(n), vec![recipient(&to, 900, 870), recipient(&address(1), 600, 590)]);
            store.intent_reserve(self.epoch, intent.clone(), reserved(&intent), later(n.into())).await.unwrap();
            if n == 1 {
                let sent = IntentChange {
                    state: Some(IntentState::Confirmed),
                    sent: Some((chain::TxId([0xef; 32]), Amount::from_atoms(35).unwrap(), later(5))),
                    ..IntentChange::default()
                };
                store.intent_change(self.epoch, &intent.id, IntentState::Reserved, sent).await.unwrap();
                let (from, to) = (IntentState::Confirmed, IntentState::Settled);
                store.intent_close(self.epoch, &intent.id, from, to, settled(&intent, 35), NOW).await.unwrap();
            }
        }
    }

    /// Work of each miner in the window of a block that is not weighed yet.
    pub(crate) async fn open_window(&self, db: &TestDb) -> Vec<(String, u64)> {
        let block = db.store.block_find(&hash(1_095)).await.unwrap().unwrap();
        assert_eq!(db.store.block_window_close(self.epoch, block.id).await.unwrap(), [""; 0]);
        let (works, _) = db.store.block_window_work(block.id).await.unwrap();
        works.into_iter().map(|work| (work.address, work.verified.get() + work.provisional.get())).collect()
    }

    /// Mines on as the program of today does, and weighs and credits what is open.
    pub(crate) async fn go_on(&mut self, db: &TestDb) {
        for log in &mut self.logs {
            log.lines.iter_mut().for_each(|line| {
                line.address = Address::account_text(&line.address, &Network::Testnet).into_owned();
            });
        }
        self.mine(db, 40).await;
        for n in [1_095, 1_125] {
            let block = db.store.block_find(&hash(n)).await.unwrap().unwrap();
            let credits = weigh(db, self.epoch, &block).await;
            assert!(credits.iter().all(|(to, _)| !legacy_of(to)), "{credits:?}");
            let credited = credit(&block.hash, &block, &credits, "pool_fee");
            db.store.block_credit(self.epoch, block.id, credited, at(EPOCH + 300)).await.unwrap();
        }
    }
}

/// Tables that no audit looks at.
async fn side_tables(db: &TestDb) {
    let penalty = |address: String, origin, strikes, reason: &str| PenaltyRow {
        address,
        origin,
        reason: reason.to_owned(),
        strikes,
        struck_at: later(60 - u64::from(strikes)),
        forced_until: later(1_000 * u64::from(strikes)),
        quarantined_until: (strikes == 5).then(|| later(9_000)),
        void_before: (strikes == 3).then(|| later(20)),
        ends_at: later(18_000 * u64::from(strikes)),
    };
    let mut rows = vec![
        penalty(legacy(0), [7; 16], 5, "false claim"),
        penalty(address(0), [7; 16], 3, "invalid share proof"),
        penalty(legacy(0), [8; 16], 1, "invalid share proof"),
    ];
    rows[0].forced_until = later(8_000);
    rows[1].struck_at = later(60);
    db.store.penalties_put(&rows, NOW).await.unwrap();
    let hint = |address: String, worker: &str, difficulty, seconds| HintRow {
        address,
        worker: worker.to_owned(),
        origin: [7; 16],
        difficulty: Difficulty::new(difficulty).unwrap(),
        measured_at: later(seconds),
    };
    let hints = [hint(address(0), "rig", 111, 10), hint(legacy(0), "rig", 222, 20), hint(legacy(0), "only", 333, 5)];
    db.store.hints_put(&hints).await.unwrap();
    for (text, day, shares) in [(address(0), 5, 4), (legacy(0), 5, 6), (legacy(0), 6, 7)] {
        let of = format!("(SELECT id FROM miners WHERE address = '{text}')");
        let work = shares * 10;
        db.sql(&format!("INSERT INTO share_days (miner_id, day, shares, work) VALUES ({of}, {day}, {shares}, {work})"))
            .unwrap();
    }
    for (text, count) in [(address(0), 4), (legacy(0), 5)] {
        let of = format!("(SELECT id FROM miners WHERE address = '{text}')");
        db.sql(&format!(
            "INSERT INTO reject_days (miner_id, day, reason, count) VALUES ({of}, 5, 'stale job', {count})"
        ))
        .unwrap();
    }
    let gone = format!(
        "UPDATE miners SET gone_shares = 12, gone_rejects = 3, gone_first_at = {} WHERE address = '{}'",
        early().ms(),
        legacy(0)
    );
    db.sql(&gone).unwrap();
}
