//! `Validation`: recomputes hashes, after the share was acknowledged wherever that can be, and says what it found.
//!
//! A hash costs about a second and 2 GiB, so most shares are taken on their word and some are drawn, by chance that
//! is drawn after the share is durable. Every verdict is an event in the share log, never an edit.
//!
//! What it refuses to do: hash in a handler, drop a check that is owed for an acknowledged share without counting
//! it, and blame anybody but the (address, origin) that sent the share.
//!
//! Bounds: the mailbox bounds proofs that are asked for; what is owed is bounded by `OWED_MAX`, block claims by
//! `CLAIMS_MAX`; trust is kept for `PAIRS_MAX` pairs, others count as new.
#![warn(missing_docs)]

mod lanes;
mod outbox;
mod trust;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use messages::blocks::SubmitCandidate;
use messages::counters::Counters;
use messages::facts::{Clock, Pair, Quarantine, Restrictions};
use messages::share_ledger::{AppendEvents, Event, Verdict};
use messages::validation::{BookedShare, OfferShares, ProofRefusal, Proven, ValidationTick, VerifyShare};
use rand::SeedableRng;
use rand::rngs::StdRng;
use runtime::{Actor, ActorRef, Fault, Handler, Recipient, Refused, Reply, Task};
use settings::ValidationSettings;
use tokio::sync::watch;
use tracing::warn;
use units::Timestamp;

pub use lanes::{Checked, Lanes, LanesError};

use lanes::Subject;
use outbox::Outbox;
use trust::Trust;

/// Checks that may be owed. Beyond it a share stays provisional, and is counted.
pub const OWED_MAX: usize = 65_536;
/// Block claims that may wait. Beyond it they wait in the log for the next restart, and are counted.
pub const CLAIMS_MAX: usize = 4_096;
/// Pairs whose trust is remembered.
const PAIRS_MAX: usize = 100_000;
/// A pair that is not seen for so long is forgotten.
const FORGET_AFTER: Duration = Duration::from_secs(24 * 3600);
/// A hash that takes longer means that its lane is stuck.
const LANE_OVERDUE: Duration = Duration::from_secs(300);

/// What the actor is built from. Cloned for every generation.
#[derive(Clone)]
pub struct ValidationParts {
    /// Sampling.
    pub settings: ValidationSettings,
    /// The threads that hash.
    pub lanes: Arc<Lanes>,
    /// The actor's own address, for the lanes.
    pub own: ActorRef<Validation>,
    /// Takes verdicts.
    pub ledger: Recipient<AppendEvents>,
    /// Takes block candidates.
    pub submitter: Recipient<SubmitCandidate>,
    /// Where suspicion is published. Survives the actor.
    pub restrictions: watch::Sender<Arc<Restrictions>>,
    /// Counters.
    pub counters: Arc<Counters>,
    /// The wall clock.
    pub clock: Clock,
    /// Seeds the draw; from the system's chance in production.
    pub seed: fn() -> [u8; 32],
}

/// The actor.
pub struct Validation {
    parts: ValidationParts,
    tell: Recipient<Checked>,
    chance: StdRng,
    pairs: HashMap<Pair, Trust>,
    claims: VecDeque<BookedShare>,
    asked: VecDeque<(Box<VerifyShare>, Reply<VerifyShare>)>,
    owed: VecDeque<BookedShare>,
    unsent: VecDeque<SubmitCandidate>,
    outbox: Outbox,
    sender: Option<Task>,
}

impl Validation {
    /// A factory for the supervisor.
    pub fn factory(parts: ValidationParts) -> impl Fn() -> Validation {
        move || Validation {
            tell: parts.own.recipient(),
            chance: StdRng::from_seed((parts.seed)()),
            parts: parts.clone(),
            pairs: HashMap::new(),
            claims: VecDeque::new(),
            asked: VecDeque::new(),
            owed: VecDeque::new(),
            unsent: VecDeque::new(),
            outbox: Outbox::default(),
            sender: None,
        }
    }

    fn trust(&mut self, pair: Pair, now: Timestamp) -> Option<&mut Trust> {
        if self.pairs.len() >= PAIRS_MAX && !self.pairs.contains_key(&pair) {
            return None;
        }
        let trust = self.pairs.entry(pair).or_default();
        trust.seen_at = now;
        Some(trust)
    }

    fn take(&mut self, share: BookedShare, now: Timestamp) {
        let settings = self.parts.settings.clone();
        let mut chance = std::mem::replace(&mut self.chance, StdRng::from_seed([0; 32]));
        let (sampled, trusted) = match self.trust(share.line.pair(), now) {
            Some(trust) => {
                let sampled = !share.verified && trust.samples(&settings, &mut chance);
                trust.verified += u64::from(share.verified);
                trust.under_way += u64::from(sampled);
                (sampled, trust.is_trusted(&settings))
            }
            None => (!share.verified, false),
        };
        self.chance = chance;
        if share.claims_block && (trusted || share.verified) {
            self.submit(&share);
        }
        if share.claims_block && !share.verified {
            self.owe_claim(share, sampled);
        } else if sampled {
            self.parts.counters.checks_sampled_total.add(1);
            self.owe(share);
        }
    }

    fn owe(&mut self, share: BookedShare) {
        if self.owed.len() < OWED_MAX {
            return self.owed.push_back(share);
        }
        self.parts.counters.checks_forgone_total.add(1);
        self.settled(&share.line.pair());
    }

    fn owe_claim(&mut self, share: BookedShare, sampled: bool) {
        if self.claims.len() < CLAIMS_MAX {
            if !sampled {
                // Counted like a drawn one, so that its return finds it under way.
                if let Some(trust) = self.pairs.get_mut(&share.line.pair()) {
                    trust.under_way += 1;
                }
            }
            return self.claims.push_back(share);
        }
        warn!(seq = share.seq.0, "too many block claims wait; this one stays in the log");
        self.parts.counters.claims_forgone_total.add(1);
        if sampled {
            self.settled(&share.line.pair());
        }
    }

    fn settled(&mut self, pair: &Pair) {
        if let Some(trust) = self.pairs.get_mut(pair) {
            trust.under_way = trust.under_way.saturating_sub(1);
        }
    }

    /// Gives free lanes the most valuable work: block claims, then shares whose miner waits, then what is owed.
    fn pump(&mut self) {
        loop {
            let next = if let Some(claim) = self.claims.pop_front() {
                (Subject::Booked(Box::new(claim)), 0)
            } else if let Some((asked, reply)) = self.asked.pop_front() {
                (Subject::Asked(asked, reply), 1)
            } else if let Some(owed) = self.owed.pop_front() {
                (Subject::Booked(Box::new(owed)), 2)
            } else {
                break;
            };
            match (self.parts.lanes.offer(next.0, &self.tell), next.1) {
                (Ok(()), _) => {}
                (Err(Subject::Asked(asked, reply)), _) => {
                    self.asked.push_front((asked, reply));
                    break;
                }
                (Err(Subject::Booked(share)), from) => {
                    let queue = if from == 0 { &mut self.claims } else { &mut self.owed };
                    queue.push_front(*share);
                    break;
                }
            }
        }
        self.parts.counters.checks_owed.set(self.owed.len() as u64);
        self.parts.counters.claims_waiting.set(self.claims.len() as u64);
    }

    fn submit(&mut self, share: &BookedShare) {
        self.parts.counters.candidates_total.add(1);
        self.unsent.push_back(SubmitCandidate {
            share: share.seq,
            line: Arc::clone(&share.line),
            template: Arc::clone(&share.template),
            nonce: share.nonce,
            received_at: share.received_at,
            session: share.session,
            logged: false,
        });
        self.send_candidates();
    }

    fn send_candidates(&mut self) {
        while let Some(candidate) = self.unsent.pop_front() {
            if let Err(Refused::Busy(candidate) | Refused::Down(candidate)) = self.parts.submitter.tell(candidate) {
                return self.unsent.push_front(candidate);
            }
        }
    }

    fn judged(&mut self, share: &BookedShare, outcome: Result<Proven, ProofRefusal>, now: Timestamp) {
        self.settled(&share.line.pair());
        let verdict = match outcome {
            Ok(proven) => {
                let trusted_before = self.praise(&share.line.pair(), now);
                if share.template.network_target.is_met_by(&proven.hash) && !(share.claims_block && trusted_before) {
                    self.submit(share);
                }
                Verdict::Verified
            }
            Err(ProofRefusal::HashFailed) => return self.owe(share.clone()),
            Err(refusal) => {
                warn!(seq = share.seq.0, %refusal, "an acknowledged share is false");
                self.blame(share.line.pair(), now);
                Verdict::Rejected
            }
        };
        self.outbox.put(Event::Verdict {
            share: share.seq,
            minute: share.minute,
            line: Arc::clone(&share.line),
            difficulty: share.difficulty,
            verdict,
        });
    }

    /// Notes a true share; whether the pair was trusted before it.
    fn praise(&mut self, pair: &Pair, now: Timestamp) -> bool {
        let settings = self.parts.settings.clone();
        let Some(trust) = self.trust(pair.clone(), now) else { return false };
        let before = trust.is_trusted(&settings);
        trust.verified += 1;
        before
    }

    fn blame(&mut self, pair: Pair, now: Timestamp) {
        self.parts.counters.checks_failed_total.add(1);
        let sentence = self.trust(pair.clone(), now).map(|trust| (trust.strike(), trust.strikes));
        self.parts.restrictions.send_modify(|restrictions| {
            let mut changed =
                Restrictions { forced: restrictions.forced.clone(), quarantined: restrictions.quarantined.clone() };
            changed.forced.insert(pair.clone());
            if let Some((Some(length), strikes)) = sentence {
                let quarantine = Quarantine { reason: "invalid share proof", strikes, until: now.plus(length) };
                changed.quarantined.insert(pair, quarantine);
            }
            *restrictions = Arc::new(changed);
        });
    }

    fn checked(&mut self, checked: Checked, now: Timestamp) {
        let Checked { subject, outcome } = checked;
        match subject {
            Subject::Booked(share) => self.judged(&share, outcome, now),
            Subject::Asked(asked, reply) => {
                let pair = asked.line.pair();
                match outcome {
                    Ok(_) => {
                        self.praise(&pair, now);
                    }
                    Err(ProofRefusal::InvalidProof) => self.blame(pair, now),
                    Err(_) => {}
                }
                reply.send(outcome);
            }
        }
    }
}

impl Actor for Validation {
    const NAME: &'static str = "validation";

    async fn open(&mut self) -> Result<(), Fault> {
        self.sender = Some(self.outbox.start(self.parts.ledger.clone()));
        Ok(())
    }

    async fn close(&mut self) {
        self.outbox.drain().await;
    }
}

impl Handler<OfferShares> for Validation {
    async fn handle(&mut self, offer: OfferShares, reply: Reply<OfferShares>) -> Result<(), Fault> {
        let now = (self.parts.clock)();
        for share in offer.0 {
            self.take(share, now);
        }
        self.pump();
        reply.send(());
        Ok(())
    }
}

impl Handler<VerifyShare> for Validation {
    async fn handle(&mut self, share: VerifyShare, reply: Reply<VerifyShare>) -> Result<(), Fault> {
        // The reply keeps its place in the mailbox until a lane answers: the mailbox bounds hashes, not wishes.
        self.asked.push_back((Box::new(share), reply));
        self.pump();
        Ok(())
    }
}

impl Handler<Checked> for Validation {
    async fn handle(&mut self, checked: Checked, reply: Reply<Checked>) -> Result<(), Fault> {
        let now = (self.parts.clock)();
        self.checked(checked, now);
        self.pump();
        reply.send(());
        Ok(())
    }
}

impl Handler<ValidationTick> for Validation {
    async fn handle(&mut self, _: ValidationTick, reply: Reply<ValidationTick>) -> Result<(), Fault> {
        let now = (self.parts.clock)();
        while let Some(checked) = self.parts.lanes.undelivered() {
            self.checked(checked, now);
        }
        if self.parts.lanes.busy() > 0 && self.parts.lanes.longest() > LANE_OVERDUE {
            return Err(Fault::because("a verification lane is stuck"));
        }
        self.pairs.retain(|_, trust| trust.strikes > 0 || now.since(trust.seen_at) < FORGET_AFTER);
        self.send_candidates();
        self.pump();
        reply.send(());
        Ok(())
    }
}
