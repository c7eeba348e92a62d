//! The actor with lanes that a test serves by hand.
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use chain::{HeaderBase, PowHash, Target};
use crossbeam_channel::Receiver;
use messages::facts::{LocalIds, Origin, Template, WorkerIdentity};
use messages::share_ledger::{Event, Verdict};
use messages::validation::{ClaimPermits, Proven};
use runtime::{Limits, Message, Refused};
use serde_json::value::RawValue;
use tokio::sync::oneshot;
use units::{Amount, Difficulty, Minute, Nonce};

use super::*;
use crate::lanes::Task as LaneTask;
use crate::work::{ORIGIN_PROOFS_MAX, OWNER_OWED_MAX, PAIR_PROOFS_MAX};

mod places;
mod queues;

const NOW: Timestamp = Timestamp::from_ms(1_800_000_000_000);
/// When shares are sent: after a strike at [`NOW`].
const SENT: Timestamp = Timestamp::from_ms(NOW.ms() + 1);
/// A hash that is a block, and one that is only a share.
const BLOCK: PowHash = PowHash([0; 32]);
const SHARE: PowHash = PowHash([0x3f; 32]);

pub(crate) fn template() -> Arc<Template> {
    let header = HeaderBase::from_bytes([7; 92]);
    Arc::new(Template {
        local_id: 1,
        height: header.height(),
        prev_hash: header.prev_hash(),
        merkle_root: header.merkle_root(),
        header_base: header,
        network_target: Target::from_hashes(1000),
        network_difficulty: Difficulty::new(1000).unwrap(),
        reward: Amount::ZERO,
        reward_address: String::new(),
        daemon_id: None,
        issuer: None,
        block: RawValue::from_string("{}".to_owned()).unwrap(),
        mempool_generation: None,
        fetched_at: NOW,
        retired_at: Default::default(),
        defined_in: Default::default(),
    })
}

/// An actor, its lanes, and what it did.
struct Stage {
    actor: Validation,
    lanes: Arc<Lanes>,
    tasks: Receiver<LaneTask>,
    candidates: Arc<Mutex<Vec<SubmitCandidate>>>,
    is_submitter_busy: Arc<AtomicBool>,
    template: Arc<Template>,
    ids: LocalIds,
    next_seq: u64,
}

impl Stage {
    /// `old-*` are trusted, and have so much at stake that nothing of them is drawn by chance.
    fn new(lanes: usize) -> Stage {
        let settings = ValidationSettings { sample_rate: 0.0, min_sample_every: 0, ..ValidationSettings::default() };
        let (lanes, tasks) = Lanes::scripted(lanes);
        let candidates: Arc<Mutex<Vec<SubmitCandidate>>> = Arc::default();
        let is_submitter_busy: Arc<AtomicBool> = Arc::default();
        let (taken, is_busy) = (Arc::clone(&candidates), Arc::clone(&is_submitter_busy));
        let metrics = Arc::<ValidationMetrics>::default();
        let known = ["old-1", "old-2"].map(|address| KnownPair {
            address: address.to_owned(),
            origin: [1; 16],
            verified: 20,
            last: NOW.minute(),
            work: vec![(NOW.minute(), Difficulty::MAX)],
        });
        let parts = ValidationParts {
            lanes: Arc::clone(&lanes),
            own: ActorRef::unbound(Limits { messages: 1, urgent: 1 }),
            ledger: Recipient::from_fn(|_, reply| {
                drop(reply);
                Ok(())
            }),
            submitter: Recipient::from_fn(move |candidate, reply: Reply<SubmitCandidate>| {
                if is_busy.load(Ordering::SeqCst) {
                    return Err(Refused::Busy(candidate));
                }
                taken.lock().unwrap().push(candidate);
                reply.send(());
                Ok(())
            }),
            penalties: Arc::new(Penalties::new(Vec::new(), settings.clone(), Arc::clone(&metrics), NOW)),
            known: Arc::new(known.to_vec()),
            settings,
            window: Duration::from_secs(6 * 3600),
            places: Arc::default(),
            metrics,
            clock: Arc::new(|| NOW),
            seed: || [7; 32],
        };
        Stage {
            actor: Validation::factory(parts)(),
            lanes,
            tasks,
            candidates,
            is_submitter_busy,
            template: template(),
            ids: LocalIds::default(),
            next_seq: 1,
        }
    }

    fn line(&self, address: &str, origin: u8) -> Arc<WorkerIdentity> {
        Arc::new(WorkerIdentity {
            local_id: self.ids.take(),
            address: address.into(),
            worker: "rig".into(),
            origin: Origin([origin; 16]),
            defined_in: Default::default(),
        })
    }

    fn booked(&mut self, address: &str, claimed: PowHash) -> BookedShare {
        let seq = Seq(self.next_seq);
        self.next_seq += 1;
        BookedShare {
            seq,
            minute: Minute(30_000_000),
            line: self.line(address, 1),
            template: Arc::clone(&self.template),
            nonce: Nonce::new(seq.0),
            difficulty: Difficulty::new(2).unwrap(),
            claimed_hash: Some(claimed),
            received_at: SENT,
            claims_block: claimed == BLOCK,
            verified: false,
            session: None,
            place: None,
        }
    }

    fn handle<M: Message>(&mut self, message: M) -> oneshot::Receiver<M::Reply>
    where
        Validation: Handler<M>,
    {
        let (reply, answer) = Reply::<M>::test();
        runtime::block_on(self.actor.handle(message, reply)).unwrap();
        answer
    }

    fn offer(&mut self, share: BookedShare) {
        self.handle(OfferShares(vec![share]));
    }

    /// Offers an acknowledged share of this pair; its position.
    fn share(&mut self, address: &str, claimed: PowHash) -> u64 {
        let share = self.booked(address, claimed);
        let seq = share.seq.0;
        self.offer(share);
        seq
    }

    fn prove(
        &mut self,
        address: &str,
        origin: u8,
        claimed: Option<PowHash>,
    ) -> oneshot::Receiver<<VerifyShare as Message>::Reply> {
        let nonce = Nonce::new(1_000_000 + self.next_seq);
        self.next_seq += 1;
        let share = VerifyShare {
            line: self.line(address, origin),
            template: Arc::clone(&self.template),
            nonce,
            difficulty: Difficulty::new(2).unwrap(),
            claimed_hash: claimed,
            received_at: SENT,
        };
        self.handle(share)
    }

    /// What a lane was given.
    fn task(&self) -> Option<LaneTask> {
        self.tasks.try_recv().ok()
    }

    fn finish(&mut self, task: LaneTask, outcome: Result<Proven, ProofRefusal>) {
        self.lanes.release();
        self.handle(Checked { subject: task.subject, outcome });
    }

    /// Hashes what the lane was given: true exactly when `hash` was claimed, or nothing.
    fn hash(&mut self, hash: PowHash) -> String {
        let task = self.task().expect("a lane has work");
        let address = task.subject.line().address.to_string();
        let claimed = match &task.subject {
            Subject::Booked(drawn) | Subject::Recheck(drawn) => drawn.share.claimed_hash,
            Subject::Asked(share, _) => share.claimed_hash,
        };
        let outcome = match claimed {
            Some(claimed) if claimed != hash => Err(ProofRefusal::InvalidProof),
            _ => Ok(Proven { hash }),
        };
        self.finish(task, outcome);
        address
    }

    /// Positions of the candidates so far.
    fn candidates(&self) -> Vec<u64> {
        self.candidates.lock().unwrap().iter().map(|candidate| candidate.share.0).collect()
    }

    fn verdicts(&self) -> Vec<(u64, Verdict)> {
        let about = |event| match event {
            Event::Verdict { share, verdict, .. } => (share.0, verdict),
            other => panic!("{other:?}"),
        };
        self.actor.outbox.take().into_iter().map(about).collect()
    }

    /// Twenty true shares.
    fn warm_up(&mut self, address: &str) {
        for _ in 0..20 {
            let share = BookedShare { verified: true, ..self.booked(address, SHARE) };
            self.offer(share);
        }
    }

    fn metrics(&self) -> &ValidationMetrics {
        &self.actor.parts.metrics
    }
}

#[test]
fn a_claim_is_submitted_also_if_its_pair_became_trusted_while_it_waited() {
    let mut stage = Stage::new(1);
    let seq = stage.share("new", BLOCK);
    assert!(stage.candidates().is_empty(), "nothing is known of the pair");
    stage.warm_up("new");
    stage.hash(BLOCK);
    assert_eq!(stage.candidates(), [seq]);
    assert_eq!(stage.verdicts(), [(seq, Verdict::Verified)]);
    assert_eq!(stage.metrics().candidates_total.get(), 1);
}

#[test]
fn a_trusted_pair_has_one_unproven_claim_at_the_daemon() {
    let mut stage = Stage::new(1);
    let first = stage.share("old-1", BLOCK);
    let second = stage.share("old-1", BLOCK);
    let other = stage.share("old-2", BLOCK);
    assert_eq!(stage.candidates(), [first, other]);
    assert_eq!(stage.hash(BLOCK), "old-1");
    let third = stage.share("old-1", BLOCK);
    assert_eq!(stage.candidates(), [first, other, first, third], "proven, it is handed on once more");
    for _ in 0..3 {
        stage.hash(BLOCK);
    }
    assert!(stage.candidates().contains(&second));
    assert_eq!(stage.metrics().candidates_total.get(), 4);
}

#[test]
fn a_false_claim_costs_the_trust_and_is_no_candidate() {
    let mut stage = Stage::new(1);
    let fake = stage.share("new", BLOCK);
    stage.hash(SHARE);
    assert_eq!((stage.candidates().len(), stage.verdicts()), (0, vec![(fake, Verdict::Rejected)]));
    let fake = stage.share("old-1", BLOCK);
    assert_eq!(stage.candidates(), [fake]);
    stage.hash(SHARE);
    stage.share("old-1", BLOCK);
    assert_eq!(stage.candidates(), [fake], "not before its check any more");
    let forced = &stage.actor.parts.penalties.restrictions().forced;
    assert_eq!(forced.len(), 2);
}

#[test]
fn a_claim_that_could_not_be_hashed_stays_a_claim() {
    let mut stage = Stage::new(1);
    let seq = stage.share("new", BLOCK);
    for _ in 0..3 {
        let task = stage.task().unwrap();
        stage.finish(task, Err(ProofRefusal::HashFailed));
    }
    assert!(stage.verdicts().is_empty());
    stage.hash(BLOCK);
    assert_eq!((stage.candidates(), stage.verdicts()), (vec![seq], vec![(seq, Verdict::Verified)]));
}

#[test]
fn a_drawn_check_that_could_not_be_done_is_owed_again() {
    let mut stage = Stage::new(1);
    let seq = stage.share("new", SHARE);
    let task = stage.task().unwrap();
    stage.finish(task, Err(ProofRefusal::HashFailed));
    stage.hash(SHARE);
    assert_eq!(stage.verdicts(), [(seq, Verdict::Verified)]);
}

#[test]
fn a_claim_that_the_log_did_not_take_is_checked_and_submitted_without_a_verdict() {
    let mut stage = Stage::new(1);
    for (address, verified) in [("new", false), ("old-1", false), ("proven", true)] {
        let share = BookedShare { seq: Seq::ZERO, verified, ..stage.booked(address, BLOCK) };
        stage.offer(share);
    }
    assert_eq!(stage.candidates(), [0, 0], "the trusted and the proven one go at once");
    stage.hash(BLOCK);
    stage.hash(BLOCK);
    assert_eq!(stage.candidates(), [0; 4]);
    assert!(stage.verdicts().is_empty());
}

#[test]
fn nobody_keeps_the_others_from_the_lanes() {
    let mut stage = Stage::new(1);
    let mut answers = Vec::new();
    for _ in 0..ClaimPermits::PAIR_MAX {
        stage.share("fakes", BLOCK);
    }
    for n in 0..PAIR_PROOFS_MAX {
        answers.push(stage.prove(&format!("proof-{n}"), 2, None));
    }
    let mut claim = stage.booked("claim", BLOCK);
    claim.line = stage.line("claim", 3);
    stage.offer(claim);
    stage.warm_up("sampled");
    for _ in 0..30 {
        let mut share = stage.booked("flood", SHARE);
        share.line = stage.line("flood", 4);
        stage.offer(share);
    }
    let mut share = stage.booked("honest", SHARE);
    share.line = stage.line("honest", 5);
    stage.offer(share);
    // Whatever stands before it: a turn of its kind comes at every fourth hash, and within the kind every owner's.
    let order: Vec<String> = (0..12)
        .map(|_| {
            let task = stage.task().unwrap();
            let address = task.subject.line().address.to_string();
            stage.lanes.release();
            stage.actor.pump();
            address
        })
        .collect();
    let place = |address: &str| order.iter().position(|other| other == address).unwrap_or(usize::MAX);
    assert!(place("claim") < 5 && place("proof-0") < 4 && place("flood") < 4 && place("honest") < 8, "{order:?}");
}

#[test]
fn claims_of_trusted_pairs_go_before_all_others() {
    let mut stage = Stage::new(1);
    stage.share("busy", SHARE);
    stage.share("new", BLOCK);
    stage.share("old-1", BLOCK);
    stage.hash(SHARE);
    assert_eq!(stage.hash(BLOCK), "old-1");
    assert_eq!(stage.hash(BLOCK), "new");
}
