//! What a hash says, and whether it is believed.
use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;

use crossbeam_channel::{Receiver, bounded};
use messages::validation::BookedShare;
use pow::Kernel;
use runtime::Recipient;
use units::{Minute, Nonce, Seq, Timestamp};

use super::*;
use crate::lanes::{DrawnShare, Lanes};
use crate::stake::CheckChance;
use crate::tests::template;

const KIB: u32 = 8;

/// Lanes whose hashes of these numbers, counted over all lanes, are wrong, each in its own way.
struct Stage {
    lanes: Arc<Lanes>,
    metrics: Arc<ValidationMetrics>,
    /// Which lane computed each hash.
    by: Arc<Mutex<Vec<usize>>>,
    checked: Receiver<Checked>,
    tell: Recipient<Checked>,
}

impl Stage {
    #[expect(clippy::result_large_err, reason = "a recipient gives the message back")]
    fn new(lanes: usize, wrong: &'static [usize]) -> Stage {
        let metrics = Arc::<ValidationMetrics>::default();
        let (by, count) = (Arc::<Mutex<Vec<usize>>>::default(), Arc::new(AtomicUsize::new(0)));
        let hashed_by = Arc::clone(&by);
        let hasher = move |lane: usize| -> Hasher {
            let (kernel, by, count) = (Kernel::detect(), Arc::clone(&hashed_by), Arc::clone(&count));
            Box::new(move |arena, header, nonce| {
                by.lock().unwrap().push(lane);
                let mut hash = kernel.hash(arena, header, nonce);
                let number = count.fetch_add(1, Ordering::SeqCst);
                if wrong.contains(&number) {
                    hash[31] ^= 1 << number;
                }
                hash
            })
        };
        let lanes = Lanes::start_with(lanes, KIB, &metrics, hasher).unwrap();
        let (sender, checked) = bounded(8);
        let tell = Recipient::from_fn(move |message, reply: runtime::Reply<Checked>| {
            sender.send(message).unwrap();
            reply.send(());
            Ok(())
        });
        Stage { lanes, metrics, by, checked, tell }
    }

    /// What becomes of an acknowledged share that claims this hash, and how many hashes that took.
    fn check(&self, claimed: PowHash) -> (Result<PowHash, ProofRefusal>, usize) {
        let share = BookedShare {
            seq: Seq(1),
            minute: Minute(30_000_000),
            line: Arc::new(messages::facts::WorkerIdentity {
                local_id: 1,
                address: "a".into(),
                worker: "w".into(),
                origin: messages::facts::Origin([1; 16]),
                defined_in: Default::default(),
            }),
            template: template(),
            nonce: Nonce::new(5),
            difficulty: Difficulty::ONE,
            claimed_hash: Some(claimed),
            received_at: Timestamp::from_ms(0),
            claims_block: false,
            verified: false,
            session: None,
            place: None,
        };
        let before = self.by.lock().unwrap().len();
        let drawn = Box::new(DrawnShare { share, chance: CheckChance::CERTAIN });
        assert!(self.lanes.offer(Subject::Booked(drawn), &self.tell).is_ok());
        let checked = self.checked.recv_timeout(Duration::from_secs(20)).unwrap();
        assert_eq!(self.lanes.busy(), 0);
        (checked.outcome.map(|proven| proven.hash), self.by.lock().unwrap().len() - before)
    }
}

fn true_hash() -> PowHash {
    let mut arena = Arena::new(MemoryKib::new(KIB).unwrap()).unwrap();
    PowHash(Kernel::detect().hash(&mut arena, template().header_base.as_bytes(), 5))
}

#[test]
fn one_wrong_hash_blames_nobody_and_its_lane_gets_new_memory() {
    for lanes in [1, 2, 3] {
        let stage = Stage::new(lanes, &[0]);
        assert_eq!(stage.check(true_hash()), (Ok(true_hash()), 2), "{lanes} lanes");
        let by = stage.by.lock().unwrap().clone();
        assert_eq!(by[0] == by[1], lanes == 1, "another lane where there is one");
        let metrics = &stage.metrics;
        assert_eq!((metrics.lane_faults_total.get(), metrics.checks_repeated_total.get()), (1, 1));
        assert_eq!(metrics.checks_total.get(), 2);
        assert_eq!(stage.check(true_hash()), (Ok(true_hash()), 1), "it goes on");
    }
}

#[test]
fn a_false_share_is_believed_when_two_hashes_say_so() {
    for lanes in [1, 2] {
        let stage = Stage::new(lanes, &[]);
        assert_eq!(stage.check(PowHash([1; 32])), (Err(ProofRefusal::InvalidProof), 2));
        assert_eq!(stage.metrics.lane_faults_total.get(), 0);
    }
}

#[test]
fn two_wrong_hashes_that_differ_leave_the_question_open() {
    for lanes in [1, 2] {
        let stage = Stage::new(lanes, &[0, 1]);
        assert_eq!(stage.check(true_hash()), (Err(ProofRefusal::HashFailed), 2));
        assert_eq!(stage.metrics.lane_faults_total.get(), 1);
        assert_eq!(stage.check(true_hash()), (Ok(true_hash()), 1));
    }
}

#[test]
fn lanes_go_on_however_many_shares_are_false() {
    let stage = Stage::new(2, &[]);
    for _ in 0..20 {
        assert_eq!(stage.check(PowHash([1; 32])).0, Err(ProofRefusal::InvalidProof));
    }
    assert_eq!(stage.check(true_hash()).0, Ok(true_hash()));
}

#[test]
fn a_hash_is_judged_against_the_claim_before_the_target() {
    let (low, high) = (PowHash([0x3f; 32]), PowHash([0xff; 32]));
    let (two, network) = (Difficulty::new(2).unwrap(), Target::from_hashes(1000));
    let judged = |hash, claimed| judge(hash, claimed, two, &network).map(|proven| proven.hash);
    assert_eq!(judged(low, Some(low)), Ok(low));
    assert_eq!(judged(low, None), Ok(low));
    assert_eq!(judged(low, Some(high)), Err(ProofRefusal::InvalidProof));
    assert_eq!(judged(high, Some(low)), Err(ProofRefusal::InvalidProof));
    assert_eq!(judged(high, None), Err(ProofRefusal::LowDifficulty));
}

#[test]
fn a_block_that_misses_the_share_target_is_a_block() {
    let hash = PowHash([0x7f; 32]);
    let hard = Difficulty::new(1_000_000).unwrap();
    assert!(judge(hash, Some(hash), hard, &Target::from_hashes(2)).is_ok());
}
