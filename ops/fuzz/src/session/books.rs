//! The ledger and Validation behind a front: what they have got, and how they behave.
use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use chain::{MerkleRoot, PowHash, Target};
use messages::facts::WorkerIdentity;
use messages::share_ledger::{
    AppendEvents, AppendRefusal, AppendShares, Appended, AppendedShares, FindShares, LoggedShare, NewShare,
};
use messages::validation::{OfferShares, ProofRefusal, Proven, VerifyShare};
use runtime::{Recipient, Refused, Reply};
use units::{Minute, Nonce, Seq};

use super::script::{LedgerBehavior, ProverBehavior};
/// What the ledger and Validation have got, and how they behave.
#[derive(Default)]
pub struct Books {
    /// Shares that were written.
    pub written: Vec<NewShare>,
    /// Nonces of shares that the front was or will be told of, and that Validation has not heard of yet.
    pub(super) unheard: HashSet<Nonce>,
    /// Nonces that Validation has heard of twice, or without reason.
    pub(super) strays: Vec<Nonce>,
    /// Nonces of runs before whose connection was cut off before their answer: they may still come.
    pub earlier: VecDeque<u64>,
    /// Whoever was seen in a message; nobody may be left when the front has ended.
    pub seen: Vec<Weak<WorkerIdentity>>,
    pub(super) total_written: u64,
    ledger: Option<LedgerBehavior>,
    prover: Option<ProverBehavior>,
    records: u64,
    held_appends: Vec<(Reply<AppendShares>, AppendedShares)>,
    held_proofs: Vec<(Reply<VerifyShare>, Proven)>,
}

pub(super) type Recipients = (
    Recipient<AppendShares>,
    Recipient<FindShares>,
    Recipient<AppendEvents>,
    Recipient<OfferShares>,
    Recipient<VerifyShare>,
);

pub(super) fn lock(books: &Mutex<Books>) -> MutexGuard<'_, Books> {
    books.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(super) fn recipients(books: &Arc<Mutex<Books>>) -> Recipients {
    let [ledger, finder, events, validation, prover] = [(); 5].map(|()| Arc::clone(books));
    (
        Recipient::from_fn(move |message, reply| lock(&ledger).append(message, reply)),
        Recipient::from_fn(move |question: FindShares, reply: Reply<FindShares>| {
            let books = lock(&finder);
            reply.send(Ok(question.shares.iter().map(|share| books.find(*share)).collect()));
            Ok(())
        }),
        Recipient::from_fn(move |message: AppendEvents, reply: Reply<AppendEvents>| {
            let appended = lock(&events).position(message.0.len());
            reply.send(Ok(appended));
            Ok(())
        }),
        Recipient::from_fn(move |message: OfferShares, reply: Reply<OfferShares>| {
            let books = &mut *lock(&validation);
            // A block claim that the log did not take is heard of without a position, and again if the log has it.
            let booked = message.0.iter().filter(|share| share.seq != Seq::ZERO || !share.claims_block);
            let heard = booked.map(|share| share.nonce);
            books.strays.extend(heard.filter(|nonce| !books.unheard.remove(nonce)));
            reply.send(());
            Ok(())
        }),
        Recipient::from_fn(move |message, reply| lock(&prover).prove(message, reply)),
    )
}

impl Books {
    /// From now on.
    pub fn behave(&mut self, ledger: Option<LedgerBehavior>, prover: Option<ProverBehavior>) {
        self.ledger = ledger.or(self.ledger);
        self.prover = prover.or(self.prover);
    }

    /// Answers what was held back.
    pub fn release(&mut self) {
        self.held_appends.drain(..).for_each(|(reply, appended)| reply.send(Ok(appended)));
        self.held_proofs.drain(..).for_each(|(reply, proven)| reply.send(Ok(proven)));
    }

    /// Whether an answer may be missing because of a behavior.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.ledger == Some(LedgerBehavior::Holds)
            || self.prover == Some(ProverBehavior::Holds)
            || !self.held_appends.is_empty()
            || !self.held_proofs.is_empty()
    }

    fn position(&mut self, records: usize) -> Appended {
        let first = Seq(self.records + 1);
        self.records += records as u64;
        Appended { first, minute: Minute(1) }
    }

    /// What is written counts, however the front comes to hear of it.
    fn write(&mut self, shares: Vec<NewShare>) -> AppendedShares {
        let at = self.position(shares.len());
        self.total_written += shares.len() as u64;
        self.unheard.extend(shares.iter().map(|share| share.nonce));
        self.written.extend(shares.iter().cloned());
        AppendedShares { at, shares }
    }

    fn find(&self, (template, nonce): (MerkleRoot, Nonce)) -> Option<LoggedShare> {
        let share = self.written.iter().find(|share| (share.template.merkle_root, share.nonce) == (template, nonce))?;
        Some(LoggedShare {
            // Positions are not looked at here.
            at: Appended { first: Seq(1), minute: Minute(1) },
            received_at: share.received_at,
            verified: share.verified,
            claims_block: share.claims_block,
        })
    }

    fn append(&mut self, message: AppendShares, reply: Reply<AppendShares>) -> Result<(), Refused<AppendShares>> {
        assert!(!message.0.is_empty(), "a message carries shares");
        self.seen.extend(message.0.iter().map(|share| Arc::downgrade(&share.line)));
        match self.ledger.unwrap_or(LedgerBehavior::Takes) {
            LedgerBehavior::Takes => {
                let appended = self.write(message.0);
                reply.send(Ok(appended));
            }
            LedgerBehavior::Holds => {
                let appended = self.write(message.0);
                self.held_appends.push((reply, appended));
            }
            LedgerBehavior::Full => reply.send(Err(AppendRefusal::Full)),
            LedgerBehavior::Disk(written) => {
                if written {
                    self.write(message.0);
                }
                reply.send(Err(AppendRefusal::Disk));
            }
            LedgerBehavior::Dies(written) => {
                if written {
                    self.write(message.0);
                }
                drop(reply);
            }
            LedgerBehavior::Busy => return Err(Refused::Busy(message)),
            LedgerBehavior::Down => return Err(Refused::Down(message)),
        }
        Ok(())
    }

    fn prove(&mut self, message: VerifyShare, reply: Reply<VerifyShare>) -> Result<(), Refused<VerifyShare>> {
        let on_target = PowHash(*Target::from_difficulty(message.difficulty).as_bytes());
        let proven = Proven { hash: message.claimed_hash.unwrap_or(on_target) };
        let refusals = [ProofRefusal::InvalidProof, ProofRefusal::LowDifficulty, ProofRefusal::HashFailed];
        match self.prover.unwrap_or(ProverBehavior::Proves) {
            ProverBehavior::Proves => reply.send(Ok(proven)),
            ProverBehavior::Holds => self.held_proofs.push((reply, proven)),
            ProverBehavior::Refuses(which) => reply.send(Err(refusals[usize::from(which) % refusals.len()])),
            ProverBehavior::Dies => drop(reply),
            ProverBehavior::Busy => return Err(Refused::Busy(message)),
        }
        Ok(())
    }
}
