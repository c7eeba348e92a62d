//! The way to the share log and back: one message for all that an arbiter has just read.
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use chain::PowHash;
use messages::share_ledger::{AppendRefusal, AppendShares, Appended, AppendedShares, NewShare};
use messages::validation::{BookedShare, ClaimPermit, OfferShares};
use runtime::{AskError, Refused};
use tokio::sync::Notify;
use tracing::{Instrument, error, info_span};
use units::Seq;
use wire::Reject;

use crate::LEDGER_PATIENCE;
use crate::in_doubt::InDoubtList;
use crate::session::Session;
use crate::shard::StratumShard;

/// Most shares of one message: with the mailbox's bound this bounds what is under way.
const SHARES_PER_MESSAGE: usize = 512;
/// Acknowledged shares that Validation has not taken yet, of one arbiter. Beyond it the oldest stay provisional.
pub(crate) const OWED_MAX: usize = 65_536;
/// Shares of one message to Validation.
const SHARES_PER_OFFER: usize = 512;

/// A submit that passed every check and waits for the log: what is kept here of it. The share itself goes to the
/// ledger and comes back with its answer.
pub(crate) struct Pending {
    pub(crate) session: Rc<Session>,
    pub(crate) id: u64,
    pub(crate) job_id: u64,
    pub(crate) offset: u32,
    pub(crate) claimed: Option<PowHash>,
    /// Of a block claim that is to be checked later.
    pub(crate) claim_place: Option<ClaimPermit>,
}

/// Shares and what is kept of them, in the same order.
#[derive(Default)]
struct Batch {
    pending: Vec<Pending>,
    shares: Vec<NewShare>,
}

impl Batch {
    /// Hands out what it has. The next one will be about as large, so it gets its room at once.
    fn take(&mut self) -> Batch {
        let room = self.pending.len();
        let next = Batch { pending: Vec::with_capacity(room), shares: Vec::with_capacity(room) };
        std::mem::replace(self, next)
    }
}

/// What waits for the log, and what Validation is still to hear of.
#[derive(Default)]
pub(crate) struct LedgerLink {
    batch: RefCell<Batch>,
    flush: Notify,
    owed: RefCell<VecDeque<BookedShare>>,
    /// Validation refused an offer; it hears nothing more before the next tick.
    rests: Cell<bool>,
    /// The last position that was heard of: what is sent now comes behind it.
    heard: Cell<Seq>,
    pub(crate) doubts: InDoubtList,
}

impl StratumShard {
    pub(crate) fn append(self: &Rc<Self>, pending: Pending, share: NewShare) {
        let mut batch = self.link.batch.borrow_mut();
        if batch.pending.is_empty() {
            self.link.flush.notify_one();
        }
        batch.pending.push(pending);
        batch.shares.push(share);
        if batch.pending.len() == SHARES_PER_MESSAGE {
            actix_rt::spawn(Rc::clone(self).append_batch(batch.take()));
        }
    }

    /// Sends on what the ready sessions have read; many messages may be under way.
    pub(crate) async fn append_loop(self: Rc<Self>) {
        loop {
            self.link.flush.notified().await;
            // Sessions that are ready now still join this batch.
            tokio::task::yield_now().await;
            let batch = self.link.batch.borrow_mut().take();
            if !batch.pending.is_empty() {
                actix_rt::spawn(Rc::clone(&self).append_batch(batch));
            }
        }
    }

    async fn append_batch(self: Rc<Self>, batch: Batch) {
        let Batch { mut pending, shares } = batch;
        let is_claim = |(_, share): &(usize, &NewShare)| share.claims_block;
        let claims: Vec<_> =
            shares.iter().enumerate().filter(is_claim).map(|(at, share)| (at, share.clone())).collect();
        let after = self.link.heard.get();
        // One trace for all that came together: a span for each share would cost more than the share.
        let span = info_span!("submit", shares = shares.len());
        match self.parts.ledger.ask(AppendShares(shares), LEDGER_PATIENCE).instrument(span).await {
            Ok(Ok(appended)) => self.acknowledge(&mut pending, appended),
            Ok(Err(AppendRefusal::Full)) | Err(AskError::Busy | AskError::Down) => {
                self.claim_unlogged(&mut pending, claims);
                pending.iter().for_each(|pending| self.refuse(pending, &Reject::ServerBusy));
            }
            // Only the log knows.
            Ok(Err(AppendRefusal::Disk)) | Err(AskError::Lost | AskError::Late) => {
                self.claim_unlogged(&mut pending, claims);
                self.doubt(pending, after);
            }
        }
    }

    /// Block claims are looked at whatever the log does: their blocks are worth more than their shares.
    fn claim_unlogged(&self, pending: &mut [Pending], claims: Vec<(usize, NewShare)>) {
        if claims.is_empty() {
            return;
        }
        error!(claims = claims.len(), "share log refused block claims; verifying and submitting them without it");
        self.parts.counters.claims_unlogged_total.add(claims.len() as u64);
        for (at, share) in claims {
            if let Some(pending) = pending.get_mut(at) {
                let minute = share.received_at.minute();
                self.owe_one(pending, share, Appended { first: Seq::ZERO, minute });
            }
        }
        self.offer_again();
    }

    pub(crate) fn acknowledge(&self, pending: &mut [Pending], appended: AppendedShares) {
        let now = Instant::now();
        self.link.heard.set(self.link.heard.get().max(appended.at.first));
        let counters = &self.parts.counters;
        counters.shares_accepted_total.add(pending.len() as u64);
        if let Some(last) = appended.shares.last() {
            counters.share_at(last.received_at);
        }
        for (pending, share) in pending.iter().zip(&appended.shares) {
            let session = &pending.session;
            let difficulty = self.retarget(session, share.difficulty, now);
            session.queue(|out| wire::write_submit_ok(out, pending.id, share.verified, difficulty));
        }
        for pending in pending.iter() {
            pending.session.write_out(); // Nothing left to do when its answers left with an earlier one.
            pending.session.answered();
        }
        self.owe(pending, appended);
        self.offer();
    }

    pub(crate) fn owe(&self, pending: &mut [Pending], appended: AppendedShares) {
        let Appended { first, minute } = appended.at;
        for ((place, pending), share) in (0..).zip(pending).zip(appended.shares) {
            if self.parts.offer_all || share.claims_block {
                self.owe_one(pending, share, Appended { first: first.plus(place), minute });
            }
        }
        let mut owed = self.link.owed.borrow_mut();
        while owed.len() > OWED_MAX {
            // A block claim is never forgone: it is also found again in the log after a restart.
            let Some(place) = owed.iter().position(|share| !share.claims_block) else { break };
            owed.remove(place);
            self.parts.counters.offers_forgone_total.add(1);
            self.parts.counters.offers_waiting.sub(1);
        }
    }

    fn owe_one(&self, pending: &mut Pending, share: NewShare, at: Appended) {
        self.parts.counters.offers_waiting.add(1);
        self.link.owed.borrow_mut().push_back(BookedShare {
            seq: at.first,
            minute: at.minute,
            line: share.line,
            template: share.template,
            nonce: share.nonce,
            difficulty: share.difficulty,
            claimed_hash: pending.claimed,
            received_at: share.received_at,
            claims_block: share.claims_block,
            verified: share.verified,
            session: Some(pending.session.id),
            place: pending.claim_place.take().map(Arc::new),
        });
    }

    /// Offers again what was refused.
    pub(crate) fn offer_again(&self) {
        self.link.rests.set(false);
        self.offer();
    }

    /// Tells Validation of everything it has not heard of yet; what it refuses waits for the next tick, so that shares
    /// do not pay for its trouble.
    pub(crate) fn offer(&self) {
        let mut owed = self.link.owed.borrow_mut();
        while !owed.is_empty() && !self.link.rests.get() {
            let many = owed.len().min(SHARES_PER_OFFER);
            let offer = OfferShares(owed.drain(..many).collect());
            match self.parts.validation.tell(offer) {
                Ok(()) => self.parts.counters.offers_waiting.sub(many as u64),
                Err(Refused::Busy(offer) | Refused::Down(offer)) => {
                    offer.0.into_iter().rev().for_each(|share| owed.push_front(share));
                    self.link.rests.set(true);
                }
            }
        }
    }
}
