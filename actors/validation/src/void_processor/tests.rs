//! How much a cheater loses.
use std::sync::Mutex;

use diesel::connection::SimpleConnection;
use diesel::{Connection, SqliteConnection};
use settings::ValidationSettings;
use units::{Difficulty, Timestamp, Work};

use super::*;

const HOUR: Duration = Duration::from_secs(3600);
const NOW: Timestamp = Timestamp::from_ms(1_800_000_000_000);

fn share(difficulty: u64, hours_ago: u32) -> JudgedShare {
    JudgedShare {
        line: IdentityKey { address: "a".to_owned(), worker: "w".to_owned(), origin: [0; 16] },
        seq: Seq(1),
        minute: NOW.minus(HOUR * hours_ago).minute(),
        difficulty: Difficulty::new(difficulty).unwrap(),
    }
}

fn lost_of(shares: &[JudgedShare], work: Option<u64>) -> usize {
    let price = VoidPrice { work: work.and_then(Work::new), at: NOW };
    lost(shares, price, StakeWindow::new(10 * HOUR))
}

#[test]
fn a_void_takes_work_and_not_a_number_of_shares() {
    let easy: Vec<JudgedShare> = (0..40).map(|_| share(15, 0)).collect();
    assert_eq!(lost_of(&easy, Some(300)), 20);
    assert_eq!(lost_of(&easy, Some(301)), 21);
    assert_eq!(lost_of(&[&[share(240, 0)], easy.as_slice()].concat(), Some(300)), 5);
    assert_eq!((lost_of(&easy, Some(601)), lost_of(&easy, None), lost_of(&easy, Some(0))), (40, 40, 0));
}

#[test]
fn work_that_is_almost_paid_out_is_no_price() {
    let old: Vec<JudgedShare> = (0..300).map(|_| share(15, 9)).collect();
    // A tenth of it was still to be paid.
    assert_eq!(lost_of(&old, Some(100)), 100);
    let paid: Vec<JudgedShare> = (0..9).map(|_| share(15, 11)).collect();
    assert_eq!(lost_of(&[&[share(15, 0)], paid.as_slice()].concat(), Some(15)), 1);
}

/// A database in which a cheater has verified shares, one in each of the last minutes, and the voids that are logged.
struct Stage {
    processor: VoidProcessor,
    path: String,
    sent: Arc<Mutex<Vec<Event>>>,
    _dir: tempfile::TempDir,
}

impl Stage {
    fn new(shares: u32, price: Option<u64>) -> Stage {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pool.sqlite").display().to_string();
        Store::migrate(&format!("sqlite:{path}")).unwrap();
        let mut sql = String::from(
            "PRAGMA foreign_keys = OFF; INSERT INTO miners (id, address, first_seen_at) VALUES (1, 'cheat', 0); \
             INSERT INTO worker_identities (id, host_id, miner_id, worker, origin, first_share_at, last_share_at) \
             VALUES (1, 1, 1, 'w', zeroblob(16), 0, 0);",
        );
        // The last one came after the strike.
        for n in 0..=shares {
            let minute = NOW.minute().0 - shares + n + 1;
            sql += &format!(
                "INSERT INTO verdicts (host_id, share_seq, identity_id, minute, difficulty, verdict, seq) \
                 VALUES (1, {n}, 1, {minute}, 15, 'verified', {n});"
            );
        }
        SqliteConnection::establish(&path).unwrap().batch_execute(&sql).unwrap();
        let metrics = Arc::<ValidationMetrics>::default();
        let penalties = Penalties::new(Vec::new(), ValidationSettings::default(), Arc::clone(&metrics), NOW);
        let pair = ("cheat".into(), Origin([0; 16]));
        penalties.strike(&pair, NOW, VoidPrice { work: price.and_then(Work::new), at: NOW });
        let sent: Arc<Mutex<Vec<Event>>> = Arc::default();
        let logged = Arc::clone(&sent);
        let parts = VoidProcessorParts {
            store: Store::open(&format!("sqlite:{path}"), 2).unwrap(),
            host: HostId(1),
            window: 10_000 * HOUR,
            penalties: Arc::new(penalties),
            validation: Recipient::from_fn(move |LogVerdicts(events), reply: Reply<LogVerdicts>| {
                logged.lock().unwrap().extend(events);
                reply.send(());
                Ok(())
            }),
            position: watch::channel(Some(LogPosition { durable: 9, folded: 9 })).1,
            ids: Arc::default(),
            metrics,
            clock: Arc::new(|| NOW),
        };
        Stage { processor: VoidProcessor::factory(parts)(), path, sent, _dir: dir }
    }

    /// One look, and then the books hear of it. Which shares were voided.
    fn look(&mut self) -> Vec<u64> {
        runtime::block_on(self.processor.look()).unwrap();
        let mut voided = Vec::new();
        for event in self.sent.lock().unwrap().drain(..) {
            let Event::Verdict { share, verdict: Verdict::Voided, .. } = event else { panic!("{event:?}") };
            voided.push(share.0);
            let sql = format!(
                "PRAGMA busy_timeout = 5000; UPDATE verdicts SET verdict = 'voided' WHERE share_seq = {}",
                share.0
            );
            SqliteConnection::establish(&self.path).unwrap().batch_execute(&sql).unwrap();
        }
        voided.sort_unstable();
        voided
    }

    fn is_done(&self) -> bool {
        self.processor.parts.penalties.to_void().is_none()
    }
}

#[test]
fn the_latest_work_worth_the_price_is_voided_and_nothing_that_came_after_the_strike() {
    let mut stage = Stage::new(30, Some(150));
    let voided = stage.look();
    // Ten shares and a little, since each was paid a little.
    assert_eq!(voided, (19..30).collect::<Vec<u64>>());
    assert!(!stage.is_done());
    assert!(stage.look().is_empty() && stage.is_done());
}

#[test]
fn a_void_of_everything_takes_all_that_came_before_the_strike() {
    let mut stage = Stage::new(30, None);
    assert_eq!(stage.look(), (0..30).collect::<Vec<u64>>());
    assert!(stage.look().is_empty() && stage.is_done());
}
