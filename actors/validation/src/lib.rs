//! `Validation`: recomputes hashes, after the share was acknowledged wherever that can be, and says what it found.
//!
//! A hash costs about a second and 2 GiB, so most shares are taken on their word and some are drawn, by chance that
//! is drawn after the share is durable. Every verdict is an event in the share log, never an edit.
//!
//! What it refuses to do: hash in a handler, drop a check that is owed for an acknowledged share without counting
//! it, let one pair or one origin keep the others from the lanes, and blame anybody but the (address, origin) that
//! sent the share.
//!
//! Bounds: the mailbox and [`work`] bound proofs that are asked for; what is owed is bounded by `OWED_MAX`, block
//! claims by the places that are taken before they are acknowledged; trust is kept for `PAIRS_MAX` pairs, strikes for
//! `PENALTIES_MAX`. While `VERDICTS_MAX` verdicts wait for the log, no hash is begun.
//!
//! # Why no strategy gains
//!
//! A share of difficulty `d` is paid what `d` hashes are worth, spread over the blocks of the payout window behind it.
//! So of a share of age `a` in a window `W` the part `d * (1 - a / W)` is still to be paid; call the sum of that over a
//! pair's verified shares its stake `S`. An invented share costs nothing and gains at most `d`. It is drawn with
//! `p >= 2d / S`. If it is drawn, it is found false and gains nothing; the pair loses all its provisional work, and
//! verified work of which `2d / p` was still to be paid when the share came. Because `2d / p <= S`, there was so much.
//!
//! *One invented share.* It gains `(1 - p) * d` and loses `p * (2d / p) = 2d`: at least `d` is lost on average.
//!
//! *Any number of them, of any difficulties, sent before the first verdict.* Say they are drawn in some order, `q` is
//! the chance of each not to be drawn, and `Q` the chance that none is. If none is, they gain the sum of all `d`, that
//! is `Q * sum(d)`. What is lost is at least what the first drawn one costs: the sum over all of
//! `(product of q before it) * p * (2d / p)`, which is at least `Q * sum(2d)`, twice the gain. One strike for all of
//! them is therefore enough. A void that comes for several takes what the costliest of them costs.
//!
//! *Stopping, or doing so at any moment.* Each of the terms above belongs to shares that are already drawn, so nothing
//! that a pair does afterwards changes them. Since a strike empties the stake, what follows begins at `S = 0`, where
//! every share is checked.
//!
//! *Low difficulty first, then high.* `p` rises with `d` and falls with `S`, and both are work: twenty easy shares are a
//! stake of twenty easy shares. A higher difficulty never lowers `p`.
//!
//! *Old trust.* Work that is almost paid out is worth little in `S` and as little in a void, which measures what it takes
//! in the same way.
//!
//! *Bad memory.* Only two equal hashes speak against a share, so an honest pair is not taken for any of these.
//!
//! *Fresh addresses and other origins.* Each pair has its own `S`, and the sums above hold for each.
//!
//! What this takes for granted:
//! - the payout is by a sliding window of time (`pplns`). Under `proportional` early work of a round is worth more than
//!   its difficulty; `check-config` says so. Under `solo` a share is worth nothing;
//! - a verdict is in the books before the blocks found since its share are weighed: lanes keep up within the credit depth;
//! - every share is drawn for and every drawn share is checked. Where a draw of a pair was given up (`OWED_MAX`, a
//!   restart), its next void takes all its verified work, but a pair none of whose draws is ever done loses nothing
//!   before the audit finds it;
//! - a void finds the work that it is to take: what it costs is kept in memory, and is everything after a restart;
//! - nobody foresees the draw, which is made after the share is durable, and nobody finds two nonces with one hash;
//! - weights follow the pair: an address with several origins is one payee, and its cap and audit demand are one.
#![warn(missing_docs)]

mod audit_sampler;
#[doc(hidden)]
pub mod bench;
mod candidates;
mod judge;
mod known;
mod lanes;
mod metrics;
mod outbox;
mod penalties;
mod stake;
#[cfg(test)]
mod tests;
mod trust;
mod void_processor;
mod work;

use std::sync::Arc;
use std::time::Duration;

use messages::blocks::SubmitCandidate;
use messages::facts::{Clock, Restrictions};
use messages::share_ledger::AppendEvents;
use messages::validation::{
    BookedShare, ClaimPermits, LogVerdicts, OfferRechecks, OfferShares, ProofRefusal, ValidationTick, VerifyShare,
};
use rand::SeedableRng;
use rand::rngs::StdRng;
use runtime::{Actor, ActorRef, Fault, Handler, Recipient, Reply, Task};
use settings::ValidationSettings;
use units::{Seq, Timestamp};

pub use audit_sampler::{AuditSampler, AuditSamplerParts};
pub use known::{KnownPair, known_pairs, read_stakes};
pub use lanes::{Checked, Lanes, LanesError};
pub use metrics::ValidationMetrics;
pub use penalties::{PENALTIES_MAX, Penalties};
pub use void_processor::{VoidProcessor, VoidProcessorParts};
pub use work::RECHECKS_MAX;

use candidates::{Candidates, candidate_of};
use lanes::{DrawnShare, Subject};
use outbox::Outbox;
use stake::CheckChance;
use trust::{SamplingRules, TrustTable};
use work::Work;

/// Checks that may be owed. Beyond it a share stays provisional, and is counted.
pub const OWED_MAX: usize = 65_536;
/// Candidates that may wait for the submitter. Beyond it unproven ones go first: they are submitted when their check
/// has passed.
pub const CANDIDATES_MAX: usize = 1024;
/// Verdicts that may wait for the log before the lanes rest.
pub const VERDICTS_MAX: usize = 65_536;
/// A hash that takes longer means that its lane is stuck.
const LANE_OVERDUE: Duration = Duration::from_secs(300);

/// What the actor is built from. Cloned for every generation.
#[derive(Clone)]
pub struct ValidationParts {
    /// Sampling.
    pub settings: ValidationSettings,
    /// For how long a share is paid.
    pub window: Duration,
    /// The threads that hash.
    pub lanes: Arc<Lanes>,
    /// The actor's own address, for the lanes.
    pub own: ActorRef<Validation>,
    /// Takes verdicts.
    pub ledger: Recipient<AppendEvents>,
    /// Takes block candidates.
    pub submitter: Recipient<SubmitCandidate>,
    /// Who sent false shares, and what follows. Survives the actor.
    pub penalties: Arc<Penalties>,
    /// Places for block claims; hears who is trusted.
    pub places: Arc<ClaimPermits>,
    /// Whose shares were true, as the database said at the start.
    pub known: Arc<Vec<KnownPair>>,
    /// What it counts.
    pub metrics: Arc<ValidationMetrics>,
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
    pairs: TrustTable,
    work: Work,
    candidates: Candidates,
    outbox: Outbox,
    sender: Option<Task>,
}

impl Validation {
    /// A factory for the supervisor.
    pub fn factory(parts: ValidationParts) -> impl Fn() -> Validation {
        move || Validation {
            tell: parts.own.recipient(),
            chance: StdRng::from_seed((parts.seed)()),
            pairs: TrustTable::with_known(
                SamplingRules::new(&parts.settings, parts.window),
                Arc::clone(&parts.places),
                &parts.known,
                |pair| parts.penalties.struck_at(pair).is_none(),
            ),
            parts: parts.clone(),
            work: Work::default(),
            candidates: Candidates::new(parts.submitter.clone()),
            outbox: Outbox::default(),
            sender: None,
        }
    }

    fn take(&mut self, mut share: BookedShare, restrictions: &Restrictions, now: Timestamp) {
        let rules = self.pairs.rules;
        let pair = share.line.pair();
        let trust = self.pairs.touch(&pair, now);
        let is_refused = restrictions.quarantined.contains_key(&pair);
        let is_suspect = is_refused || restrictions.forced.contains(&pair);
        if share.verified {
            if share.seq != Seq::ZERO {
                self.earn(&share, now);
            }
            if share.claims_block {
                self.parts.metrics.candidates_total.add(1);
                self.submit(&share, true);
            }
            return;
        }
        let chance = match share.claims_block || is_suspect {
            true => CheckChance::CERTAIN,
            false => match trust.draw(share.difficulty, &rules, &mut self.chance, now) {
                Some(chance) => chance,
                None => return,
            },
        };
        trust.under_way += 1;
        let is_trusted = !is_suspect && trust.is_trusted(&rules);
        if !share.claims_block {
            self.parts.metrics.checks_sampled_total.add(1);
            return self.owe(Box::new(DrawnShare { share, chance }), is_trusted, now);
        }
        if is_refused {
            share.place = None; // Others need it.
        }
        // One at a time: the next one waits for its check, so that a flood of fakes cannot keep the daemon busy.
        if is_trusted && trust.at_daemon.is_none() {
            trust.at_daemon = Some((share.template.local_id, share.nonce));
            self.parts.metrics.candidates_total.add(1);
            self.submit(&share, false);
        }
        self.work.claim(Box::new(DrawnShare { share, chance }), is_trusted);
    }

    fn owe(&mut self, drawn: Box<DrawnShare>, is_trusted: bool, now: Timestamp) {
        if let Err(drawn) = self.work.owe(drawn, is_trusted, OWED_MAX) {
            self.parts.metrics.checks_forgone_total.add(1);
            self.pairs.forgone(&drawn.share.line.pair(), now);
        }
    }

    /// Gives free lanes something to do.
    fn pump(&mut self) {
        let mut abandoned = 0;
        let rests = self.outbox.len() >= VERDICTS_MAX;
        self.parts.metrics.lanes_rested_total.add(u64::from(rests));
        while !rests && self.parts.lanes.is_free() {
            let Some(subject) = self.work.next(&mut abandoned) else { break };
            if let Err(subject) = self.parts.lanes.offer(subject, &self.tell) {
                self.work.give_back(subject);
                break;
            }
        }
        let metrics = &self.parts.metrics;
        metrics.proofs_abandoned_total.add(abandoned);
        metrics.checks_owed.set(self.work.owed() as u64);
        metrics.claims_waiting.set(self.work.claims_waiting() as u64);
        metrics.proofs_waiting.set(self.work.proofs_waiting() as u64);
        metrics.rechecks_waiting.set(self.work.rechecks() as u64);
        metrics.verdicts_waiting.set(self.outbox.len() as u64);
        metrics.candidates_waiting.set(self.candidates.waiting() as u64);
        metrics.pairs_known.set(self.pairs.len() as u64);
    }

    /// Hands a candidate to the submitter, which knows a block that it was given before.
    fn submit(&mut self, share: &BookedShare, proven: bool) {
        self.hand_over(candidate_of(share), proven);
    }

    fn hand_over(&mut self, candidate: SubmitCandidate, proven: bool) {
        let kept_all = self.candidates.hand_over(candidate, proven);
        self.parts.metrics.candidates_forgone_total.add(u64::from(!kept_all));
    }

    fn checked(&mut self, Checked { subject, outcome }: Checked, now: Timestamp) {
        match subject {
            Subject::Booked(drawn) => self.judged(drawn, outcome, now),
            Subject::Recheck(drawn) => self.rechecked(&drawn, outcome, now),
            Subject::Asked(share, reply) => self.proved(share, reply, outcome, now),
        }
    }

    /// What is due with every message.
    fn continue_work(&mut self, now: Timestamp) {
        while let Some(checked) = self.parts.lanes.undelivered() {
            self.checked(checked, now);
        }
        self.pump();
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
        let restrictions = self.parts.penalties.restrictions();
        for share in offer.0 {
            self.take(share, &restrictions, now);
        }
        self.continue_work(now);
        reply.send(());
        Ok(())
    }
}

impl Handler<OfferRechecks> for Validation {
    async fn handle(&mut self, offer: OfferRechecks, reply: Reply<OfferRechecks>) -> Result<(), Fault> {
        let chance = self.pairs.rules.rate;
        for share in offer.0 {
            // By what chance it was not drawn before nobody knows any more: that was at least the configured rate.
            if !self.work.recheck(DrawnShare { share, chance }) {
                self.parts.metrics.rechecks_refused_total.add(1);
            }
        }
        self.continue_work((self.parts.clock)());
        reply.send(());
        Ok(())
    }
}

impl Handler<LogVerdicts> for Validation {
    async fn handle(&mut self, verdicts: LogVerdicts, reply: Reply<LogVerdicts>) -> Result<(), Fault> {
        // Room for what the lanes find comes first; these come again.
        if self.outbox.len() + verdicts.0.len() <= VERDICTS_MAX / 2 {
            verdicts.0.into_iter().for_each(|verdict| self.outbox.put(verdict));
        }
        reply.send(());
        Ok(())
    }
}

impl Handler<VerifyShare> for Validation {
    async fn handle(&mut self, share: VerifyShare, reply: Reply<VerifyShare>) -> Result<(), Fault> {
        // The reply keeps its place in the mailbox until a lane answers: the mailbox bounds hashes, not wishes.
        let is_refused = self.parts.penalties.restrictions().quarantined.contains_key(&share.line.pair());
        let refused = if is_refused { Err(reply) } else { self.work.prove(Box::new(share), reply) };
        if let Err(reply) = refused {
            self.parts.metrics.proofs_refused_total.add(1);
            reply.send(Err(ProofRefusal::Busy));
        }
        self.continue_work((self.parts.clock)());
        Ok(())
    }
}

impl Handler<Checked> for Validation {
    async fn handle(&mut self, checked: Checked, reply: Reply<Checked>) -> Result<(), Fault> {
        let now = (self.parts.clock)();
        self.checked(checked, now);
        self.continue_work(now);
        reply.send(());
        Ok(())
    }
}

impl Handler<ValidationTick> for Validation {
    async fn handle(&mut self, _: ValidationTick, reply: Reply<ValidationTick>) -> Result<(), Fault> {
        let now = (self.parts.clock)();
        if self.parts.lanes.busy() > 0 && self.parts.lanes.longest() > LANE_OVERDUE {
            return Err(Fault::because("a verification lane is stuck"));
        }
        self.pairs.prune(now);
        self.parts.penalties.look(now);
        self.candidates.send();
        self.continue_work(now);
        reply.send(());
        Ok(())
    }
}
