//! A scripted chain, a migrated SQLite database, and a short way to write a share log's history into it.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use blocks::{BlockLifecycle, LifecycleParts, Policy};
use chain::BlockId;
use daemon::fake::{Fake, ScriptedAnswer};
use diesel::Connection;
use diesel::connection::SimpleConnection;
use messages::blocks::LifecycleTick;
use messages::conditions::Conditions;
use messages::facts::{LogPosition, Tip};
use runtime::{Handler, Reply};
use settings::DaemonEndpoint;
use store::Store;
use store::batch::{ShareBatch, StoredShare};
use store::blocks::Block;
use store::fold::{BatchRow, CandidateRow, FoldStep, IdentityKey, SegmentDelta, TemplateRow, VerdictRow};
use store::ledger::MONEY_LEASE;
use tokio::sync::watch;
use units::{Amount, BasisPoints, Difficulty, Height, HostId, Nonce, PolicyId, Seq, Timestamp, Work};

/// The tip when a test begins. Block `n` of the pool has height 99 + n.
pub(crate) const FIRST_HEIGHT: u64 = 99;
const FOUND_AT: Timestamp = Timestamp::from_ms(1_800_000_000_000);
const WINDOW: Duration = Duration::from_secs(3_600);

/// The pool's `n`-th block, or whatever else a test needs an id for.
pub(crate) fn id(n: u64) -> BlockId {
    BlockId(chain::sha3_256(&[&n.to_le_bytes()]))
}

#[derive(Default)]
struct World {
    /// Id and merkle root by height; elsewhere stands a block `1000 + height` of somebody else.
    chain: HashMap<u64, (BlockId, String)>,
    down: bool,
}

pub(crate) struct Harness {
    pub(crate) store: Store,
    pub(crate) lease: watch::Sender<Option<i64>>,
    pub(crate) epoch: i64,
    pub(crate) conditions: Arc<Conditions>,
    /// Prices the next find.
    pub(crate) policy: PolicyId,
    pub(crate) good_policy: PolicyId,
    world: Arc<Mutex<World>>,
    tip: watch::Sender<Tip>,
    log: watch::Sender<Option<LogPosition>>,
    host: HostId,
    folded: u64,
    parts: LifecycleParts,
    actor: BlockLifecycle,
    dir: tempfile::TempDir,
}

fn policy() -> Policy {
    Policy {
        scheme: "pplns".to_owned(),
        fee_bps: BasisPoints::new(100).unwrap(),
        fee_flat: Amount::ZERO,
        finder_bonus_bps: BasisPoints::default(),
        fee_address: None,
        provisional_cap: None,
        window_ms: 3_600_000,
        confirmations: 3,
    }
}

fn merkle_root(template: u64) -> String {
    format!("{template:064x}")
}

fn answer(world: &World, path: &str) -> ScriptedAnswer {
    if world.down {
        return ScriptedAnswer::plain(502, "nobody home");
    }
    let height: u64 = path.strip_prefix("/api/block/").unwrap().parse().unwrap();
    let (hash, merkle_root) =
        world.chain.get(&height).cloned().unwrap_or_else(|| (id(1_000 + height), merkle_root(900_000 + height)));
    ScriptedAnswer::json(
        200,
        format!(
            r#"{{"hash":"{hash}","height":{height},"prev_hash":"{hash}","merkle_root":"{merkle_root}","nonce":9,"difficulty":60,"timestamp":1800000000,"confirmations":1,"reward":1}}"#
        ),
    )
}

impl Harness {
    pub(crate) async fn new() -> Harness {
        let world: Arc<Mutex<World>> = Arc::default();
        let script = Arc::clone(&world);
        let fake = Fake::start(move |seen| answer(&script.lock().unwrap(), &seen.path));
        let dir = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", dir.path().join("pool.sqlite").display());
        // Opening blocks, which an actor's thread may not.
        let opened = std::thread::spawn(move || {
            Store::migrate(&url).unwrap();
            Store::open(&url, 2).unwrap()
        });
        let store = opened.join().unwrap();
        let good_policy = store.policy_ensure(&policy().to_json(), FOUND_AT).await.unwrap();
        let host = store.host_register("h", Timestamp::from_ms(0)).await.unwrap();
        let epoch = store.lease_take(MONEY_LEASE, "test", WINDOW).await.unwrap().unwrap().epoch;
        // As after a change of holder: epoch - 1 is an old one.
        let (lease, (tip, log)) = (
            watch::Sender::new(Some(epoch)),
            (watch::Sender::default(), watch::Sender::new(Some(LogPosition::default()))),
        );
        let conditions = Arc::new(Conditions::new(Arc::new(|| FOUND_AT)));
        let parts = LifecycleParts {
            daemons: vec![DaemonEndpoint { url: fake.url, ..DaemonEndpoint::default() }],
            store: store.clone(),
            host,
            policy: good_policy,
            window: WINDOW,
            tip: tip.subscribe(),
            position: log.subscribe(),
            lease: lease.subscribe(),
            clock: Arc::new(|| FOUND_AT.plus(WINDOW)),
            conditions: Arc::clone(&conditions),
        };
        let actor = BlockLifecycle::new(parts.clone());
        let policy = good_policy;
        let folded = 0;
        Harness {
            store,
            lease,
            epoch,
            conditions,
            policy,
            good_policy,
            world,
            tip,
            log,
            host,
            folded,
            parts,
            actor,
            dir,
        }
    }

    /// Prices the next find by another policy.
    pub(crate) async fn policy_with(&mut self, change: impl FnOnce(&mut Policy)) {
        let mut policy = policy();
        change(&mut policy);
        self.policy = self.store.policy_ensure(&policy.to_json(), FOUND_AT).await.unwrap();
    }

    /// Shares of these miners on template `n`, one each, and a candidate of the first one's that makes block `n`.
    pub(crate) async fn find(&mut self, n: u64, works: &[(&str, u64)]) {
        self.fold(n, works, true).await;
    }

    /// The same without the candidate: the template is known, the block is not.
    pub(crate) async fn define(&mut self, n: u64, works: &[(&str, u64)]) {
        self.fold(n, works, false).await;
    }

    async fn fold(&mut self, n: u64, works: &[(&str, u64)], found: bool) {
        let from = self.folded;
        let place = |index: usize| Seq(from + 1 + index as u64);
        let minute = FOUND_AT.minute();
        let lines: Vec<IdentityKey> = works.iter().map(|(address, _)| identity(address)).collect();
        let segments = works.iter().enumerate().map(|(line, (_, work))| SegmentDelta {
            line,
            minute,
            start_seq: place(line),
            last_seq: place(line),
            shares: 1,
            work: Work::new(*work).unwrap(),
            first_at: FOUND_AT,
            last_at: FOUND_AT,
        });
        let shares = works.iter().enumerate().map(|(line, (_, work))| share(place(line), line, from, *work));
        let batch = ShareBatch { lines: lines.clone(), templates: vec![merkle_root(n)], shares: shares.collect() };
        let last = place(works.len() - 1);
        let row = BatchRow {
            first_seq: place(0),
            last_seq: last,
            shares: works.len() as u64,
            work: Work::new(works.iter().map(|(_, work)| work).sum()).unwrap(),
            first_at: FOUND_AT,
            last_at: FOUND_AT,
            digest: batch.digest(),
            body: batch.encode(),
        };
        let candidate = found.then(|| CandidateRow {
            line: 0,
            template: 0,
            hash: id(n).to_string(),
            nonce: 9,
            share_seq: place(0),
            found_at: FOUND_AT,
            booked_until: FOUND_AT,
        });
        self.folded = last.0 + u64::from(found);
        let step = FoldStep {
            host: self.host,
            from: Seq(from),
            to: Seq(self.folded),
            lines,
            templates: vec![template_row(n)],
            batch: Some(row),
            segments: segments.collect(),
            verdicts: Vec::new(),
            rejects: Vec::new(),
            candidate,
            aside: store::fold::Aside::default(),
            policy: self.policy,
            window: WINDOW,
            at: FOUND_AT,
        };
        self.store.fold(step).await.unwrap();
    }

    /// The shares of a find that began after this position were found true.
    pub(crate) async fn verify(&mut self, from: u64, works: &[(&str, u64)]) {
        let seq = Seq(self.folded + 1);
        let verdicts = works.iter().enumerate().map(|(line, (_, work))| VerdictRow {
            line,
            share_seq: Seq(from + 1 + line as u64),
            minute: FOUND_AT.minute(),
            difficulty: Difficulty::new(*work).unwrap(),
            verdict: "verified",
            seq,
        });
        let step = FoldStep {
            host: self.host,
            from: Seq(self.folded),
            to: seq,
            lines: works.iter().map(|(address, _)| identity(address)).collect(),
            templates: Vec::new(),
            batch: None,
            segments: Vec::new(),
            verdicts: verdicts.collect(),
            rejects: Vec::new(),
            candidate: None,
            aside: store::fold::Aside::default(),
            policy: self.policy,
            window: WINDOW,
            at: FOUND_AT,
        };
        self.store.fold(step).await.unwrap();
        self.folded = seq.0;
    }

    /// Puts a block on the main chain.
    pub(crate) fn chain_has(&self, height: u64, hash: BlockId) {
        self.chain_has_mined(height, hash, 800_000 + height);
    }

    /// Puts a block on the main chain that was made from template `n`.
    pub(crate) fn chain_has_mined(&self, height: u64, hash: BlockId, n: u64) {
        self.world.lock().unwrap().chain.insert(height, (hash, merkle_root(n)));
    }

    pub(crate) fn down(&self, down: bool) {
        self.world.lock().unwrap().down = down;
    }

    pub(crate) fn position(&self, durable: u64, folded: u64) {
        self.log.send_replace(Some(LogPosition { durable, folded }));
    }

    /// Does to the tables what no actor does.
    pub(crate) fn sql(&self, text: &str) {
        let path = self.dir.path().join("pool.sqlite");
        let mut conn = diesel::SqliteConnection::establish(path.to_str().unwrap()).unwrap();
        // An actor may be writing.
        conn.batch_execute(&format!("PRAGMA busy_timeout = 5000; {text}")).unwrap();
    }

    /// Goes back to before the migration that joins accounts, joins, and starts anew.
    pub(crate) async fn join(&mut self, joining: store::Joining) {
        let migration = "../../schema/store/migrations/sqlite/00000000000013_one_account_per_keys/down.sql";
        self.sql(&std::fs::read_to_string(migration).unwrap());
        self.sql("DELETE FROM __diesel_schema_migrations WHERE version = '00000000000013'");
        let url = format!("sqlite:{}", self.dir.path().join("pool.sqlite").display());
        let joined = std::thread::spawn(move || Store::migrate_joining(&url, joining)).join().unwrap();
        assert_eq!(joined.unwrap().len(), 1);
        self.actor = BlockLifecycle::new(self.parts.clone());
    }

    /// As after a start.
    pub(crate) fn log_is_shut(&self) {
        self.log.send_replace(None);
    }

    /// One tick at this tip.
    pub(crate) async fn tick(&mut self, tip: u64) {
        self.tip.send_replace(Tip {
            daemon: 0,
            height: Height::new(tip),
            hash: Some(id(1_000 + tip)),
            behind: None,
            syncing: false,
            reachable: true,
        });
        let (reply, done) = Reply::test();
        self.actor.handle(LifecycleTick, reply).await.unwrap();
        done.await.unwrap();
    }

    pub(crate) async fn find_block(&self, n: u64) -> Option<Block> {
        self.store.block_find(&id(n).to_string()).await.unwrap()
    }

    pub(crate) async fn block(&self, n: u64) -> Block {
        self.find_block(n).await.unwrap()
    }

    pub(crate) async fn balances<const N: usize>(&self, accounts: &[&str; N]) -> [i64; N] {
        let mut balances = [0; N];
        for (balance, account) in balances.iter_mut().zip(accounts) {
            *balance = self.store.account_balance(account).await.unwrap();
        }
        balances
    }
}

fn identity(address: &str) -> IdentityKey {
    IdentityKey { address: address.to_owned(), worker: "w".to_owned(), origin: [7; 16] }
}

/// The share of the step's identity `line`.
fn share(seq: Seq, line: usize, from: u64, work: u64) -> StoredShare {
    StoredShare {
        seq,
        line: u32::try_from(line).unwrap(),
        template: 0,
        nonce: Nonce::new(from + line as u64),
        difficulty: Difficulty::new(work).unwrap(),
        received_at: FOUND_AT,
        minute: FOUND_AT.minute(),
        flags: 0,
    }
}

fn template_row(n: u64) -> TemplateRow {
    TemplateRow {
        merkle_root: merkle_root(n),
        height: Height::new(FIRST_HEIGHT + n),
        prev_hash: id(0).to_string(),
        header_base: vec![0; 92],
        difficulty: Difficulty::new(60).unwrap(),
        reward: Amount::from_atoms(1_000_003).unwrap(),
        seen_at: FOUND_AT,
    }
}
