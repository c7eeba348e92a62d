//! What becomes of a share that a lane has hashed: a verdict, a candidate, a strike.
use std::sync::Arc;

use messages::blocks::SubmitCandidate;
use messages::facts::TrustKey;
use messages::share_ledger::{Event, Verdict};
use messages::validation::{BookedShare, ProofRefusal, Proven, VerifyShare};
use runtime::Reply;
use tracing::warn;
use units::{Seq, Timestamp};

use crate::Validation;
use crate::lanes::DrawnShare;
use crate::penalties::{StrikeOutcome, VoidPrice};
use crate::stake::CheckChance;

impl Validation {
    pub(crate) fn judged(&mut self, drawn: Box<DrawnShare>, outcome: Result<Proven, ProofRefusal>, now: Timestamp) {
        if matches!(outcome, Err(ProofRefusal::HashFailed | ProofRefusal::Busy)) {
            // Not the miner's fault, and the question is still open.
            return if drawn.share.claims_block { self.work.claim(drawn, false) } else { self.owe(drawn, false, now) };
        }
        let share = &drawn.share;
        let pair = share.line.pair();
        let trust = self.pairs.touch(&pair, now);
        trust.under_way = trust.under_way.saturating_sub(1);
        let key = (share.template.local_id, share.nonce);
        let was_submitted = trust.at_daemon.take_if(|at_daemon| *at_daemon == key).is_some();
        match outcome {
            Ok(proven) => {
                if share.seq != Seq::ZERO {
                    self.earn(share, now);
                }
                if share.template.network_target.is_met_by(&proven.hash) {
                    self.parts.metrics.candidates_total.add(u64::from(!was_submitted));
                    self.submit(share, true);
                }
                self.log(share, Verdict::Verified);
            }
            Err(refusal) => self.reject(&drawn, refusal, now),
        }
    }

    /// A share of the log was found true. One from before its pair's last strike may be void: it earns nothing.
    pub(crate) fn earn(&mut self, share: &BookedShare, now: Timestamp) {
        let pair = share.line.pair();
        if self.parts.penalties.struck_at(&pair).is_none_or(|struck_at| share.received_at > struck_at) {
            self.pairs.earn(&pair, share.difficulty, share.received_at, now);
        }
    }

    /// A stored share: too old to be a block, and chosen again if it could not be hashed.
    pub(crate) fn rechecked(&mut self, drawn: &DrawnShare, outcome: Result<Proven, ProofRefusal>, now: Timestamp) {
        match outcome {
            Ok(_) => {
                self.earn(&drawn.share, now);
                self.log(&drawn.share, Verdict::Verified);
            }
            Err(ProofRefusal::HashFailed | ProofRefusal::Busy) => {}
            Err(refusal) => self.reject(drawn, refusal, now),
        }
    }

    fn reject(&mut self, drawn: &DrawnShare, refusal: ProofRefusal, now: Timestamp) {
        let share = &drawn.share;
        warn!(seq = share.seq.0, %refusal, "acknowledged share failed verification");
        let (pair, rules) = (share.line.pair(), self.pairs.rules);
        let work = self.pairs.touch(&pair, now).price(drawn.chance, share.difficulty, &rules, now);
        self.blame(&pair, now, VoidPrice { work, at: share.received_at });
        self.log(share, Verdict::Rejected);
    }

    fn log(&self, share: &BookedShare, verdict: Verdict) {
        if share.seq == Seq::ZERO {
            return; // No logged share that the verdict could be about.
        }
        self.outbox.put(Event::Verdict {
            share: share.seq,
            minute: share.minute,
            line: Arc::clone(&share.line),
            difficulty: share.difficulty,
            verdict,
        });
    }

    fn blame(&mut self, pair: &TrustKey, now: Timestamp, price: VoidPrice) {
        self.parts.metrics.checks_failed_total.add(1);
        let outcome = self.parts.penalties.strike(pair, now, price);
        if outcome == StrikeOutcome::InFlight {
            return; // What came since the last strike is neither void nor to blame.
        }
        self.pairs.distrust(pair);
        let dropped = self.work.drop_void(pair, now);
        self.parts.metrics.checks_void_total.add(dropped);
        self.pairs.settled(pair, dropped);
        if outcome == StrikeOutcome::Quarantined {
            for reply in self.work.quarantine(pair) {
                self.parts.metrics.proofs_refused_total.add(1);
                reply.send(Err(ProofRefusal::Busy));
            }
        } else {
            self.work.distrust(pair);
        }
    }

    pub(crate) fn proved(
        &mut self,
        share: Box<VerifyShare>,
        reply: Reply<VerifyShare>,
        outcome: Result<Proven, ProofRefusal>,
        now: Timestamp,
    ) {
        match outcome {
            Err(ProofRefusal::HashFailed) if share.claims_block() => return self.work.prove_again(share, reply),
            Err(ProofRefusal::InvalidProof) => {
                let (pair, rules) = (share.line.pair(), self.pairs.rules);
                let trust = self.pairs.touch(&pair, now);
                let work = trust.price(CheckChance::CERTAIN, share.difficulty, &rules, now);
                self.blame(&pair, now, VoidPrice { work, at: share.received_at });
            }
            Ok(_) | Err(_) => {}
        }
        let block = outcome.is_ok_and(|proven| share.template.network_target.is_met_by(&proven.hash));
        // Its share counts as verified when it comes back from the log. If nobody waits for that any more, the share
        // is refused, but the block is real.
        if !reply.deliver(outcome) && block {
            warn!(height = %share.template.height, "verified block submitted without its share: the miner has left");
            self.parts.metrics.candidates_total.add(1);
            let candidate = SubmitCandidate {
                share: Seq::ZERO,
                line: share.line,
                template: share.template,
                nonce: share.nonce,
                received_at: now,
                session: None,
                logged: false,
            };
            self.hand_over(candidate, true);
        }
    }
}
