//! Whether a run kept the promises.
use std::collections::HashMap;

use messages::share_ledger::NewShare;

use super::peer::{Answer, End, Peer, Submitted};
use super::world::World;

/// What a login is told before its connection is closed.
const CLOSING: [&str; 4] = ["invalid address", "pool requires", "address quarantined", "server busy"];
/// Submits without an answer that are remembered: those of the last hundred runs or more.
const EARLIER_MAX: usize = 10_000;
/// What a submit is told whose share may or may not be in the log.
const UNKNOWN: &str = "share outcome unknown";

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
            Some(submits) => assert!(
                submits.iter().any(|(peer, submitted, answer)| is_offered_by(share, peer, submitted, *answer)),
                "not as it was submitted, or refused: {share:?}"
            ),
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
    drop(written);
    let is_open =
        |submits: &[(&Peer, &Submitted, Option<&Answer>)]| submits.iter().any(|(.., answer)| answer.is_none());
    books.earlier.extend(by_nonce.iter().filter(|(_, submits)| is_open(submits)).map(|(nonce, _)| *nonce));
    let forgotten = books.earlier.len().saturating_sub(EARLIER_MAX);
    books.earlier.drain(..forgotten);
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
        .find(|answer| {
            answer.id != 0 && CLOSING.iter().any(|text| answer.says(text)) && !peer.submits.contains_key(&answer.id)
        })
        .and_then(|answer| asked.iter().position(|asked| asked.id == answer.id));
    let read = closed_by.map_or(&asked[..], |last| &asked[..=last]);
    let (mut due, mut got): (HashMap<u64, usize>, HashMap<u64, usize>) = Default::default();
    read.iter().for_each(|asked| *due.entry(asked.id).or_default() += 1);
    peer.answers.iter().for_each(|answer| *got.entry(answer.id).or_default() += 1);
    for (id, got) in &got {
        let due = due.get(id).copied().unwrap_or(0);
        assert!(*got <= due, "request {id} was made {due} times and answered {got} times; {}", peer.tale());
    }
    for (id, due) in due.iter().filter(|_| peer.end == Some(End::Closed)) {
        assert_eq!(got.get(id), Some(due), "answers to request {id}; {}", peer.tale());
    }
}

/// Whether a share in the ledger is what this submit offered, and the submit was not refused for good.
fn is_offered_by(share: &NewShare, peer: &Peer, submitted: &Submitted, answer: Option<&Answer>) -> bool {
    let Some(job) = &submitted.job else { return false };
    let may_be_written = answer.is_none_or(|answer| answer.accepted || answer.says(UNKNOWN));
    let is_theirs = peer.addresses.iter().any(|address| **address == *share.line.address);
    let is_inside =
        (job.nonces.0..=job.nonces.1).contains(&share.nonce.get()) && share.difficulty.get() == job.difficulty;
    let solves = submitted.claim.is_some_and(|claim| claim <= job.targets.1);
    let is_good = submitted.claim.is_some_and(|claim| claim <= job.targets.0) || solves;
    may_be_written && is_theirs && is_inside && (share.verified || is_good && share.claims_block == solves)
}
