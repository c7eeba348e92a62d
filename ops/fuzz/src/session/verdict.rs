//! Whether a run kept the promises.
use std::collections::HashMap;

use messages::share_ledger::NewShare;

use super::peer::{Answer, End, Peer, Submitted};
use super::world::World;

/// What a login is told before its connection is closed.
const CLOSING: [&str; 4] = ["invalid address", "pool requires", "address quarantined", "server busy"];
/// What a connection beyond a limit is told.
const REFUSED: &str = "too many connections";
/// What a submit is told whose share may or may not be in the log.
const UNKNOWN: &str = "share outcome unknown";

impl Peer {
    /// Whether the pool had no place for it: it is told so, and the rest does not matter.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        self.answers.iter().any(|answer| answer.says(REFUSED))
    }
}

impl Answer {
    fn says(&self, text: &str) -> bool {
        self.error.as_ref().is_some_and(|error| error.starts_with(text))
    }
}

/// Panics where a promise was broken; returns how many shares were accepted.
pub(super) fn judge(world: &World, peers: &[Peer]) -> usize {
    peers.iter().for_each(answered_once);
    let by_nonce = by_nonce(peers);
    let mut books = world.books();
    let mut written: HashMap<u64, &NewShare> = HashMap::new();
    for share in &books.written {
        let nonce = share.nonce.get();
        assert!(written.insert(nonce, share).is_none(), "nonce {nonce} is twice in the ledger");
        match by_nonce.get(&nonce) {
            Some(submits) => is_as_submitted(share, submits),
            // A connection of the run before that was cut off.
            None => assert!(books.earlier.contains(&nonce), "nobody submitted nonce {nonce}"),
        }
    }
    let mut accepted = 0;
    for (nonce, submits) in &by_nonce {
        let yes = submits.iter().filter(|(_, _, answer)| answer.is_some_and(|answer| answer.accepted)).count();
        assert!(yes <= 1, "nonce {nonce} was accepted {yes} times");
        assert!(yes == 0 || written.contains_key(nonce), "nonce {nonce} was accepted and is not in the ledger");
        accepted += yes;
    }
    let (mut confirmed, mut offered) = (books.confirmed.clone(), books.offered.clone());
    confirmed.sort_unstable();
    offered.sort_unstable();
    assert_eq!(confirmed, offered, "Validation hears once of every confirmed share");
    drop(written);
    books.earlier = by_nonce.into_keys().collect();
    accepted
}

type OfNonce<'a> = HashMap<u64, Vec<(&'a Peer, &'a Submitted, Option<&'a Answer>)>>;

fn by_nonce(peers: &[Peer]) -> OfNonce<'_> {
    let mut all = OfNonce::new();
    for peer in peers {
        for (id, submitted) in &peer.submits {
            let answer = peer.answers.iter().find(|answer| answer.id == *id);
            all.entry(submitted.nonce).or_default().push((peer, submitted, answer));
        }
    }
    all
}

/// Every line that was read is answered once, nothing behind the line that ended the connection is.
fn answered_once(peer: &Peer) {
    let asked = peer.asked();
    let closed_by = peer
        .answers
        .iter()
        .find(|answer| answer.id != 0 && CLOSING.iter().any(|text| answer.says(text)) && !peer.submits.contains_key(&answer.id))
        .and_then(|answer| asked.iter().position(|asked| asked.id == answer.id));
    let read = closed_by.map_or(&asked[..], |last| &asked[..=last]);
    let (mut due, mut got): (HashMap<u64, usize>, HashMap<u64, usize>) = Default::default();
    read.iter().for_each(|asked| *due.entry(asked.id).or_default() += 1);
    peer.answers.iter().for_each(|answer| *got.entry(answer.id).or_default() += 1);
    let complete = peer.end == Some(End::Closed) && !peer.is_refused();
    for (id, got) in &got {
        let due = due.get(id).copied().unwrap_or(0);
        let spare = usize::from(peer.is_refused()); // It may be told before it has asked.
        assert!(*got <= due + spare, "request {id} was made {due} times and answered {got} times; {}", peer.tale());
    }
    for (id, due) in due.iter().filter(|_| complete) {
        assert_eq!(got.get(id), Some(due), "answers to request {id}; {}", peer.tale());
    }
}

/// A written share is one of those submits: not one that was refused for good.
fn is_as_submitted(share: &NewShare, submits: &[(&Peer, &Submitted, Option<&Answer>)]) {
    let may_be_written = |answer: &Answer| answer.accepted || answer.says(UNKNOWN);
    let found = submits.iter().find(|(_, _, answer)| answer.is_none_or(may_be_written));
    let Some((peer, submitted, _)) = found else { panic!("a refused share is in the ledger: {share:?}") };
    let Some(job) = &submitted.job else { panic!("a share of no job is in the ledger: {share:?}") };
    assert!((job.nonces.0..=job.nonces.1).contains(&share.nonce.get()), "{share:?} is outside its range");
    assert_eq!(share.difficulty.get(), job.difficulty);
    assert!(peer.addresses.iter().any(|address| **address == *share.line.address), "{share:?} is not that miner's");
    let solves = submitted.claim.map(|claim| claim <= job.targets.1);
    assert!(share.verified || solves == Some(share.claims_block), "{share:?}");
    assert!(share.verified || submitted.claim.is_some_and(|claim| claim <= job.targets.0 || solves == Some(true)));
}
