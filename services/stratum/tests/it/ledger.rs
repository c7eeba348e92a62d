//! A share ledger that does as it is told.
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use messages::share_ledger::{
    AppendRefusal, AppendShares, Appended, AppendedShares, FindShares, LoggedShare, NewShare,
};
use runtime::{Recipient, Refused, Reply};
use units::Seq;

use crate::pool::now;

/// What happens to the next messages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum LedgerBehavior {
    /// Written and answered at once.
    #[default]
    Writes,
    /// Kept until [`Ledger::release`].
    Holds,
    /// The mailbox is full.
    Busy,
    /// The disk budget is used up.
    Full,
    /// The disk failed; whether it was written is left open.
    Breaks { written: bool },
    /// The actor died with the message in hand, before or after writing.
    Loses { written: bool },
}

#[derive(Default)]
pub(crate) struct Ledger(Mutex<State>);

#[derive(Default)]
struct State {
    behavior: LedgerBehavior,
    shares: Vec<NewShare>,
    held: VecDeque<(AppendShares, Reply<AppendShares>)>,
    /// Nobody can read the log.
    is_blind: bool,
}

impl Ledger {
    pub(crate) fn recipient(self: &Arc<Self>) -> Recipient<AppendShares> {
        let ledger = Arc::clone(self);
        Recipient::from_fn(move |message, reply| ledger.take(message, reply))
    }

    /// Says what is in the log.
    pub(crate) fn finder(self: &Arc<Self>) -> Recipient<FindShares> {
        let ledger = Arc::clone(self);
        Recipient::from_fn(move |question, reply| ledger.find(question, reply))
    }

    /// Whether the log can be read.
    pub(crate) fn set_blind(&self, is_blind: bool) {
        self.0.lock().unwrap().is_blind = is_blind;
    }

    fn find(&self, question: FindShares, reply: Reply<FindShares>) -> Result<(), Refused<FindShares>> {
        let state = self.0.lock().unwrap();
        if state.is_blind {
            return Err(Refused::Down(question));
        }
        let find = |(template, nonce)| {
            let is_it = |share: &&NewShare| (share.template.merkle_root, share.nonce) == (template, nonce);
            let (place, share) = (1..).zip(&state.shares).find(|(_, share)| is_it(share))?;
            Some(LoggedShare {
                at: Appended { first: Seq(place), minute: now().minute() },
                received_at: share.received_at,
                verified: share.verified,
                claims_block: share.claims_block,
            })
        };
        reply.send(Ok(question.shares.iter().copied().map(find).collect()));
        Ok(())
    }

    pub(crate) fn set(&self, behavior: LedgerBehavior) {
        self.0.lock().unwrap().behavior = behavior;
    }

    /// Shares that were written.
    pub(crate) fn shares(&self) -> Vec<NewShare> {
        self.0.lock().unwrap().shares.clone()
    }

    /// Messages that are held.
    pub(crate) fn held(&self) -> usize {
        self.0.lock().unwrap().held.len()
    }

    /// Writes everything that is held, and from now on what comes.
    pub(crate) fn release(&self) {
        self.set(LedgerBehavior::Writes);
        let held = std::mem::take(&mut self.0.lock().unwrap().held);
        for (message, reply) in held {
            assert!(self.take(message, reply).is_ok());
        }
    }

    fn take(&self, message: AppendShares, reply: Reply<AppendShares>) -> Result<(), Refused<AppendShares>> {
        let mut state = self.0.lock().unwrap();
        match state.behavior {
            LedgerBehavior::Writes => {
                let first = Seq(state.shares.len() as u64 + 1);
                state.shares.extend_from_slice(&message.0);
                drop(state);
                let at = Appended { first, minute: now().minute() };
                reply.send(Ok(AppendedShares { at, shares: message.0 }));
            }
            LedgerBehavior::Holds => state.held.push_back((message, reply)),
            LedgerBehavior::Busy => return Err(Refused::Busy(message)),
            LedgerBehavior::Full => reply.send(Err(AppendRefusal::Full)),
            LedgerBehavior::Breaks { written } | LedgerBehavior::Loses { written } => {
                if written {
                    state.shares.extend(message.0);
                }
                match state.behavior {
                    LedgerBehavior::Breaks { .. } => reply.send(Err(AppendRefusal::Disk)),
                    _ => drop(reply),
                }
            }
        }
        Ok(())
    }
}
