//! The submitter over a scripted daemon.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use blocks::{BlockSubmitter, BlocksMetrics, SubmitterParts};
use chain::{BlockId, Hash32, HeaderBase, HeaderParts, Target};
use daemon::fake::{Fake, ScriptedAnswer};
use messages::blocks::SubmitCandidate;
use messages::facts::{Notice, Origin, SessionId, Template, WorkerIdentity};
use messages::share_ledger::{AppendEvents, Appended, Event};
use messages::template::{RefreshReason, RefreshTemplate};
use runtime::{Handler, Recipient, Refused, Reply};
use secrecy::SecretString;
use settings::DaemonEndpoint;
use tokio::sync::broadcast;
use units::{Amount, Difficulty, Height, Minute, Nonce, Seq, Timestamp};

const HEIGHT: u64 = 7;
const TIME: i64 = 1_800_000_000;

fn candidate(logged: bool) -> SubmitCandidate {
    let header_base = HeaderBase::build(&HeaderParts {
        version: 1,
        height: Height::new(HEIGHT),
        prev_hash: BlockId([1; 32]),
        merkle_root: Hash32([2; 32]),
        timestamp: TIME,
        difficulty: 60,
    });
    let difficulty = Difficulty::new(60).unwrap();
    let template = Template {
        local_id: 1,
        header_base,
        height: header_base.height(),
        prev_hash: header_base.prev_hash(),
        merkle_root: header_base.merkle_root(),
        network_target: Target::from_difficulty(difficulty),
        network_difficulty: difficulty,
        reward: Amount::ZERO,
        reward_address: "POOL".to_owned(),
        daemon_id: Some("t1".to_owned()),
        issuer: Some(0),
        block: serde_json::from_str(r#"{"header":{"Timestamp":1,"Nonce":0},"transactions":[]}"#).unwrap(),
        mempool_generation: None,
        fetched_at: Timestamp::from_ms(0),
        retired_at: OnceLock::new(),
        defined_in: AtomicU64::new(0),
    };
    let line = WorkerIdentity {
        local_id: 1,
        address: "A".into(),
        worker: "w".into(),
        origin: Origin([0; 16]),
        defined_in: AtomicU64::new(0),
    };
    SubmitCandidate {
        share: Seq(5),
        line: Arc::new(line),
        template: Arc::new(template),
        nonce: Nonce::new(11),
        received_at: Timestamp::from_ms(0),
        session: Some(SessionId(3)),
        logged,
    }
}

fn our_id() -> BlockId {
    let candidate = candidate(false);
    candidate.template.header_base.block_id(candidate.nonce)
}

fn accepted() -> ScriptedAnswer {
    ScriptedAnswer::json(200, format!(r#"{{"accepted":true,"hash":"{}","height":{HEIGHT}}}"#, our_id()))
}

/// What `/api/block/7` says.
fn on_chain(id: BlockId) -> ScriptedAnswer {
    ScriptedAnswer::json(
        200,
        format!(
            r#"{{"hash":"{id}","height":{HEIGHT},"prev_hash":"{id}","merkle_root":"{id}","nonce":1,"difficulty":60,"timestamp":1,"confirmations":1,"reward":1}}"#
        ),
    )
}

fn nothing() -> ScriptedAnswer {
    ScriptedAnswer::error(404, "block not found")
}

/// Submits are answered by `submits`, lookups by `lookups`, one after the other; the last answer stays.
fn daemon(submits: Vec<ScriptedAnswer>, lookups: Vec<ScriptedAnswer>) -> Fake {
    let (submits, lookups) = (Mutex::new(VecDeque::from(submits)), Mutex::new(VecDeque::from(lookups)));
    let next = |queue: &Mutex<VecDeque<ScriptedAnswer>>| {
        let mut queue = queue.lock().unwrap();
        if queue.len() > 1 { queue.pop_front() } else { queue.front().cloned() }
    };
    Fake::start(move |seen| {
        let queue = if seen.path.starts_with("/api/block/") { &lookups } else { &submits };
        next(queue).unwrap_or_else(|| ScriptedAnswer::plain(500, "not expected"))
    })
}

fn submits_to(fake: &Fake) -> Vec<String> {
    let seen = fake.seen().into_iter().filter(|seen| seen.path == "/api/mining/submitblock");
    seen.map(|seen| seen.body).collect()
}

struct Harness {
    fake: Fake,
    others: Vec<Fake>,
    actor: BlockSubmitter,
    metrics: Arc<BlocksMetrics>,
    notices: broadcast::Receiver<Notice>,
    refreshes: Arc<Mutex<Vec<RefreshReason>>>,
    records: Arc<Mutex<Vec<Event>>>,
    /// How many appends the log still refuses.
    log_busy: Arc<AtomicUsize>,
}

impl Harness {
    fn new(submits: Vec<ScriptedAnswer>, lookups: Vec<ScriptedAnswer>) -> Harness {
        Harness::over(vec![daemon(submits, lookups)])
    }

    fn over(mut fakes: Vec<Fake>) -> Harness {
        let (sender, notices) = broadcast::channel(8);
        let refreshes: Arc<Mutex<Vec<RefreshReason>>> = Arc::default();
        let records: Arc<Mutex<Vec<Event>>> = Arc::default();
        let log_busy: Arc<AtomicUsize> = Arc::default();
        let (told, logged, busy) = (Arc::clone(&refreshes), Arc::clone(&records), Arc::clone(&log_busy));
        let append = move |message: AppendEvents, reply: Reply<AppendEvents>| {
            if busy.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok() {
                return Err(Refused::Busy(message));
            }
            logged.lock().unwrap().extend(message.0);
            reply.send(Ok(Appended { first: Seq(6), minute: Minute(0) }));
            Ok(())
        };
        let refresh = move |RefreshTemplate(reason): RefreshTemplate, reply: Reply<RefreshTemplate>| {
            told.lock().unwrap().push(reason);
            reply.send(());
            Ok(())
        };
        let metrics: Arc<BlocksMetrics> = Arc::default();
        let settings = |fake: &Fake| {
            let token = SecretString::from("t");
            DaemonEndpoint { url: fake.url.clone(), token, ..DaemonEndpoint::default() }
        };
        let actor = BlockSubmitter::new(SubmitterParts {
            daemons: fakes.iter().map(settings).collect(),
            ledger: Recipient::from_fn(append),
            template: Recipient::from_fn(refresh),
            notices: sender,
            metrics: Arc::clone(&metrics),
        });
        let fake = fakes.remove(0);
        Harness { fake, others: fakes, actor, metrics, notices, refreshes, records, log_busy }
    }

    async fn submit(&mut self, candidate: SubmitCandidate) {
        let (reply, done) = Reply::test();
        self.actor.handle(candidate, reply).await.unwrap();
        done.await.unwrap();
    }

    /// The bodies that were submitted.
    fn submits(&self) -> Vec<String> {
        submits_to(&self.fake)
    }

    fn announced(&mut self) -> bool {
        matches!(self.notices.try_recv(), Ok(Notice::BlockSolved { finder: Some(SessionId(3)) }))
    }
}

#[actix_rt::test]
async fn an_accepted_block_is_recorded_counted_and_announced() {
    let mut harness = Harness::new(vec![accepted()], vec![]);
    harness.submit(candidate(false)).await;
    assert_eq!(harness.submits(), [r#"{"nonce":11,"template_id":"t1"}"#]);
    assert!(harness.announced());
    assert_eq!(harness.metrics.blocks_accepted_total.get(), 1);
    assert_eq!(*harness.refreshes.lock().unwrap(), [RefreshReason::BlockAccepted]);
    let records = harness.records.lock().unwrap();
    assert!(matches!(&records[..], [Event::Candidate { share: Seq(5), nonce, .. }] if nonce.get() == 11));
}

#[actix_rt::test]
async fn a_log_that_is_busy_delays_no_submit_and_gets_the_record_later() {
    let mut harness = Harness::new(vec![accepted()], vec![]);
    harness.log_busy.store(1, Ordering::SeqCst);
    harness.submit(candidate(false)).await;
    assert_eq!((harness.submits().len(), harness.records.lock().unwrap().len()), (1, 1));
}

#[actix_rt::test]
async fn the_same_block_twice_is_submitted_once() {
    let mut harness = Harness::new(vec![accepted()], vec![]);
    harness.submit(candidate(false)).await;
    harness.submit(candidate(false)).await;
    assert_eq!((harness.submits().len(), harness.records.lock().unwrap().len()), (1, 1));
}

#[actix_rt::test]
async fn a_forgotten_template_goes_as_a_whole_block_with_its_own_time() {
    let forgotten = ScriptedAnswer::error(400, "unknown or expired template_id");
    let mut harness = Harness::new(vec![forgotten, accepted()], vec![]);
    harness.submit(candidate(false)).await;
    let whole: serde_json::Value = serde_json::from_str(&harness.submits()[1]).unwrap();
    assert_eq!((whole["header"]["Nonce"].as_u64(), whole["header"]["Timestamp"].as_i64()), (Some(11), Some(TIME)));
    assert!(harness.announced());
}

#[actix_rt::test]
async fn a_stale_answer_to_a_block_that_the_chain_holds_is_an_acceptance() {
    let mut harness =
        Harness::new(vec![ScriptedAnswer::error(400, "block rejected as stale")], vec![on_chain(our_id())]);
    harness.submit(candidate(false)).await;
    assert!(harness.announced());
    assert_eq!(harness.submits().len(), 1);
}

#[actix_rt::test]
async fn a_block_that_lost_its_race_is_announced_to_nobody_and_still_recorded() {
    let rival = on_chain(BlockId([9; 32]));
    let mut harness = Harness::new(vec![ScriptedAnswer::error(400, "block rejected as stale")], vec![rival]);
    harness.submit(candidate(false)).await;
    assert!(!harness.announced());
    assert_eq!((harness.metrics.blocks_accepted_total.get(), harness.records.lock().unwrap().len()), (0, 1));
}

#[actix_rt::test]
async fn a_refused_block_is_given_up_and_still_recorded() {
    let mut harness = Harness::new(vec![ScriptedAnswer::error(400, "block rejected")], vec![nothing()]);
    harness.submit(candidate(false)).await;
    assert!(!harness.announced());
    assert_eq!((harness.submits().len(), harness.records.lock().unwrap().len()), (1, 1));
}

#[actix_rt::test]
async fn an_answer_that_says_nothing_is_resolved_by_asking_the_chain() {
    let mut harness = Harness::new(vec![ScriptedAnswer::plain(502, "gateway")], vec![on_chain(our_id())]);
    harness.submit(candidate(false)).await;
    assert!(harness.announced());
    assert_eq!(harness.submits().len(), 1, "it is not submitted again");
}

#[actix_rt::test]
async fn a_busy_daemon_is_asked_again_until_the_tip_has_moved_past() {
    let busy = ScriptedAnswer::error(429, "submitblock busy, retry later");
    let mut harness = Harness::new(vec![busy.clone(), accepted()], vec![nothing()]);
    harness.submit(candidate(false)).await;
    assert_eq!(harness.submits().len(), 2);
    assert!(harness.announced());
    let mut harness = Harness::new(vec![busy], vec![nothing(), on_chain(BlockId([9; 32]))]);
    harness.submit(candidate(false)).await;
    assert_eq!(harness.submits().len(), 2);
    assert!(!harness.announced());
}

#[actix_rt::test]
async fn after_a_restart_the_chain_is_asked_before_anything_is_submitted() {
    let mut harness = Harness::new(vec![accepted()], vec![on_chain(our_id())]);
    harness.submit(candidate(true)).await;
    assert!(harness.submits().is_empty() && harness.records.lock().unwrap().is_empty());
    // What the chain holds already was told by whoever submitted it.
    assert!(!harness.announced() && harness.refreshes.lock().unwrap().is_empty());
    let mut harness = Harness::new(vec![accepted()], vec![nothing()]);
    harness.submit(candidate(true)).await;
    assert_eq!(harness.submits().len(), 1);
    assert!(harness.records.lock().unwrap().is_empty(), "its record is in the log already");
    assert_eq!(*harness.refreshes.lock().unwrap(), [RefreshReason::BlockAccepted], "the chain had lost it");
}

#[actix_rt::test]
async fn a_block_goes_by_name_to_the_daemon_that_made_its_template_and_whole_to_the_others() {
    let stale = || ScriptedAnswer::error(400, "block rejected as stale");
    let fakes = vec![
        daemon(vec![stale()], vec![on_chain(our_id())]), // It heard of the block from the other one.
        daemon(vec![accepted()], vec![]),
        daemon(vec![accepted()], vec![]),
    ];
    let mut harness = Harness::over(fakes);
    let mut found = candidate(false);
    let template = Arc::get_mut(&mut found.template).unwrap();
    template.issuer = Some(1);
    harness.submit(found).await;
    assert_eq!(submits_to(&harness.others[0]), [r#"{"nonce":11,"template_id":"t1"}"#]);
    for fake in [&harness.fake, &harness.others[1]] {
        let bodies = submits_to(fake);
        let whole: serde_json::Value = serde_json::from_str(&bodies[0]).unwrap();
        assert_eq!((bodies.len(), whole["header"]["Nonce"].as_u64()), (1, Some(11)));
    }
    assert!(harness.announced() && !harness.announced(), "announced once");
    assert_eq!(harness.metrics.blocks_accepted_total.get(), 1);
}

#[actix_rt::test]
async fn a_daemon_that_is_away_does_not_keep_a_block_from_the_others() {
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut away = daemon(vec![], vec![]);
    away.url = format!("http://{gone}");
    let mut harness = Harness::over(vec![away, daemon(vec![accepted()], vec![])]);
    let (reply, _done) = Reply::test();
    harness.actor.handle(candidate(false), reply).await.unwrap();
    let waiting = tokio::time::timeout(std::time::Duration::from_secs(20), harness.notices.recv());
    assert!(matches!(waiting.await.unwrap().unwrap(), Notice::BlockSolved { finder: Some(SessionId(3)) }));
    assert_eq!(submits_to(&harness.others[0]).len(), 1);
}
