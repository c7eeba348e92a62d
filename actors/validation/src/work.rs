//! What waits for a lane, and whose turn it is.
//!
//! Nobody can keep others out: block claims and owed checks are taken in turns, one of each owner after the other. An
//! owner is a trusted pair, or an origin with all its pairs that are not trusted, since new addresses cost nothing.
//! The kinds take turns too, so a flood of one of them slows the others and never stops them.
use std::collections::{HashMap, VecDeque};

use messages::facts::{Origin, TrustKey};
use messages::validation::{BookedShare, VerifyShare};
use runtime::Reply;
use units::Timestamp;

use crate::lanes::{DrawnShare, Subject};

/// Proofs of one pair that may wait. Beyond it the miner is told at once.
pub(crate) const PAIR_PROOFS_MAX: usize = 8;
/// Proofs of one origin that may wait.
pub(crate) const ORIGIN_PROOFS_MAX: usize = 32;
/// Stored shares that may wait for an idle lane.
pub const RECHECKS_MAX: usize = 64;
/// Checks owed to one owner. Beyond it a share stays provisional, and is counted.
pub(crate) const OWNER_OWED_MAX: usize = 4096;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Owner {
    TrustKey(TrustKey),
    Origin(Origin),
}

impl Owner {
    fn of(pair: TrustKey, trusted: bool) -> Owner {
        if trusted { Owner::TrustKey(pair) } else { Owner::Origin(pair.1) }
    }
}

/// A queue in which owners take turns.
struct FairQueue<T> {
    lists: HashMap<Owner, VecDeque<T>>,
    turns: VecDeque<Owner>,
    len: usize,
}

impl<T> Default for FairQueue<T> {
    fn default() -> Self {
        FairQueue { lists: HashMap::new(), turns: VecDeque::new(), len: 0 }
    }
}

impl<T> FairQueue<T> {
    fn of(&self, owner: &Owner) -> impl Iterator<Item = &T> {
        self.lists.get(owner).into_iter().flatten()
    }

    fn push(&mut self, owner: Owner, item: T) {
        self.len += 1;
        if let Some(list) = self.lists.get_mut(&owner) {
            return list.push_back(item);
        }
        self.turns.push_back(owner.clone());
        self.lists.insert(owner, VecDeque::from([item]));
    }

    fn pop(&mut self) -> Option<T> {
        let owner = self.turns.pop_front()?;
        let list = self.lists.get_mut(&owner)?;
        let item = list.pop_front()?;
        self.len -= 1;
        if list.is_empty() {
            self.lists.remove(&owner);
        } else {
            self.turns.push_back(owner);
        }
        Some(item)
    }

    /// Takes out what `is_it` says of one owner's list, in order.
    fn extract(&mut self, owner: &Owner, is_it: impl Fn(&T) -> bool) -> VecDeque<T> {
        let Some(list) = self.lists.remove(owner) else { return VecDeque::new() };
        let (taken, left): (VecDeque<T>, VecDeque<T>) = list.into_iter().partition(is_it);
        self.len -= taken.len();
        if left.is_empty() {
            self.turns.retain(|other| other != owner);
        } else {
            self.lists.insert(owner.clone(), left);
        }
        taken
    }
}

/// Kinds of work in the order of their turns: a block claim is every other one.
const TURNS: [Kind; 4] = [Kind::Claim, Kind::Proof, Kind::Claim, Kind::Owed];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Claim,
    Proof,
    Owed,
}

/// While stored shares wait, one of so many hashes is theirs. They only wait while a block does, and its credit waits for
/// them: no flood may keep them out.
const RECHECK_EVERY: u32 = 4;

/// Everything that waits for a lane.
#[derive(Default)]
pub(crate) struct Work {
    /// Block claims of trusted pairs go before those of all others.
    trusted_claims: FairQueue<Subject>,
    claims: FairQueue<Subject>,
    proofs: VecDeque<(Box<VerifyShare>, Reply<VerifyShare>)>,
    owed: FairQueue<Subject>,
    /// For lanes that have nothing else to do, and a part of all hashes.
    rechecks: VecDeque<Box<DrawnShare>>,
    /// Hashes of others while stored shares waited.
    since_recheck: u32,
    turn: usize,
}

impl Work {
    /// A block claim that was acknowledged, or that the log did not take.
    pub(crate) fn claim(&mut self, claim: Box<DrawnShare>, trusted: bool) {
        let queue = if trusted { &mut self.trusted_claims } else { &mut self.claims };
        queue.push(Owner::of(claim.share.line.pair(), trusted), Subject::Booked(claim));
    }

    /// A drawn check of an acknowledged share; given back when its owner has too many.
    pub(crate) fn owe(&mut self, drawn: Box<DrawnShare>, trusted: bool, max: usize) -> Result<(), Box<DrawnShare>> {
        let owner = Owner::of(drawn.share.line.pair(), trusted);
        let has = self.owed.lists.get(&owner).map_or(0, VecDeque::len);
        if self.owed.len >= max || has >= OWNER_OWED_MAX {
            return Err(drawn);
        }
        self.owed.push(owner, Subject::Booked(drawn));
        Ok(())
    }

    /// A share from the books; whether there is room for it.
    pub(crate) fn recheck(&mut self, drawn: DrawnShare) -> bool {
        let has_room = self.rechecks.len() < RECHECKS_MAX;
        if has_room {
            self.rechecks.push_back(Box::new(drawn));
        }
        has_room
    }

    /// A share whose miner waits. One that claims a block is taken in turn with the other claims.
    pub(crate) fn prove(
        &mut self,
        share: Box<VerifyShare>,
        reply: Reply<VerifyShare>,
    ) -> Result<(), Reply<VerifyShare>> {
        let pair = share.line.pair();
        let origin = Owner::Origin(pair.1);
        let claims = self.claims.of(&origin).filter_map(|subject| match subject {
            Subject::Asked(share, _) => Some(share),
            Subject::Booked(_) | Subject::Recheck(_) => None,
        });
        let (mut of_pair, mut of_origin) = (0, 0);
        for other in self.proofs.iter().map(|(share, _)| share).chain(claims) {
            if other.line.origin == pair.1 {
                of_origin += 1;
                of_pair += usize::from(other.line.address == pair.0);
            }
        }
        if of_pair >= PAIR_PROOFS_MAX || of_origin >= ORIGIN_PROOFS_MAX {
            return Err(reply);
        }
        self.prove_again(share, reply);
        Ok(())
    }

    /// One that a lane could not compute.
    pub(crate) fn prove_again(&mut self, share: Box<VerifyShare>, reply: Reply<VerifyShare>) {
        if share.claims_block() {
            self.claims.push(Owner::Origin(share.line.origin), Subject::Asked(share, reply));
        } else {
            self.proofs.push_back((share, reply));
        }
    }

    /// A lane could not be given this one after all.
    pub(crate) fn give_back(&mut self, subject: Subject) {
        match subject {
            Subject::Booked(drawn) => self.claim(drawn, false),
            Subject::Recheck(drawn) => self.rechecks.push_front(drawn),
            Subject::Asked(share, reply) => self.prove_again(share, reply),
        }
    }

    /// What is hashed next. `abandoned` is counted up for proofs that nobody waits for any more: they are given up,
    /// unless they claim a block.
    pub(crate) fn next(&mut self, abandoned: &mut u64) -> Option<Subject> {
        if self.since_recheck + 1 >= RECHECK_EVERY
            && let Some(drawn) = self.next_recheck()
        {
            return Some(drawn);
        }
        let first = TURNS[self.turn % TURNS.len()];
        self.turn += 1;
        let next = [first, Kind::Claim, Kind::Proof, Kind::Owed].into_iter().find_map(|kind| match kind {
            Kind::Claim => self.trusted_claims.pop().or_else(|| self.claims.pop()),
            Kind::Proof => self.next_proof(abandoned),
            Kind::Owed => self.owed.pop(),
        });
        if next.is_none() {
            return self.next_recheck();
        }
        self.since_recheck = if self.rechecks.is_empty() { 0 } else { self.since_recheck + 1 };
        next
    }

    fn next_recheck(&mut self) -> Option<Subject> {
        let drawn = self.rechecks.pop_front()?;
        self.since_recheck = 0;
        Some(Subject::Recheck(drawn))
    }

    fn next_proof(&mut self, abandoned: &mut u64) -> Option<Subject> {
        while let Some((share, reply)) = self.proofs.pop_front() {
            if reply.is_awaited() {
                return Some(Subject::Asked(share, reply));
            }
            *abandoned += 1;
            reply.send(Err(messages::validation::ProofRefusal::Busy));
        }
        None
    }

    /// A pair has lost its trust: its claims wait with those of all others.
    pub(crate) fn distrust(&mut self, pair: &TrustKey) {
        for claim in self.trusted_claims.extract(&Owner::TrustKey(pair.clone()), |_| true) {
            self.claims.push(Owner::Origin(pair.1), claim);
        }
    }

    /// All of a pair's work up to a moment is void: what waits of it is not hashed any more, but for block claims, which
    /// may be blocks. How many checks of acknowledged shares that are.
    pub(crate) fn drop_void(&mut self, pair: &TrustKey, before: Timestamp) -> u64 {
        let is_void = |share: &BookedShare| {
            let is_its = share.line.address == pair.0 && share.line.origin == pair.1;
            is_its && !share.claims_block && share.received_at <= before
        };
        let is_void_check = |subject: &Subject| matches!(subject, Subject::Booked(drawn) if is_void(&drawn.share));
        let mut dropped = 0;
        for owner in [Owner::TrustKey(pair.clone()), Owner::Origin(pair.1)] {
            dropped += self.owed.extract(&owner, is_void_check).len() as u64;
        }
        self.rechecks.retain(|drawn| !is_void(&drawn.share));
        dropped
    }

    /// A pair is refused from now on. Proofs that it waits for are returned, to be answered. What was acknowledged is
    /// still checked, for it may be a block and it may be false, but only when its turn among owed checks comes; its
    /// places are free for others' claims.
    pub(crate) fn quarantine(&mut self, pair: &TrustKey) -> Vec<Reply<VerifyShare>> {
        self.distrust(pair);
        let mut answered = Vec::new();
        let is_its = |subject: &Subject| subject.line().address == pair.0 && subject.line().origin == pair.1;
        for subject in self.claims.extract(&Owner::Origin(pair.1), is_its) {
            match subject {
                Subject::Booked(mut drawn) => {
                    drawn.share.place = None;
                    self.owed.push(Owner::TrustKey(pair.clone()), Subject::Booked(drawn));
                }
                Subject::Recheck(drawn) => self.rechecks.push_back(drawn),
                Subject::Asked(_, reply) => answered.push(reply),
            }
        }
        for (share, reply) in std::mem::take(&mut self.proofs) {
            if share.line.origin == pair.1 && share.line.address == pair.0 {
                answered.push(reply);
            } else {
                self.proofs.push_back((share, reply));
            }
        }
        answered
    }

    pub(crate) fn claims_waiting(&self) -> usize {
        self.trusted_claims.len + self.claims.len
    }

    pub(crate) fn proofs_waiting(&self) -> usize {
        self.proofs.len()
    }

    pub(crate) fn rechecks(&self) -> usize {
        self.rechecks.len()
    }

    pub(crate) fn owed(&self) -> usize {
        self.owed.len
    }
}
