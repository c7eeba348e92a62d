//! The way to the share log and back: one message for all that an arbiter has just read.
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use chain::PowHash;
use messages::share_ledger::{AppendRefusal, AppendShares, Appended, NewShare};
use messages::validation::{BookedShare, OfferShares};
use runtime::{AskError, Refused};
use tokio::sync::Notify;
use wire::Reject;

use crate::LEDGER_PATIENCE;
use crate::front::Front;
use crate::session::Session;

/// Most shares of one message: with the mailbox's bound this bounds what is under way.
const SHARES_PER_MESSAGE: usize = 512;
/// Acknowledged shares that Validation has not taken yet. Beyond it the oldest stay provisional.
const OWED_MAX: usize = 65_536;
/// Said when the disk failed: the share may or may not be in the log, so it must not be taken again.
const UNKNOWN: &str = "share outcome unknown";

/// A submit that passed every check and waits for the log.
pub(crate) struct Pending {
    pub(crate) session: Rc<Session>,
    pub(crate) id: u64,
    pub(crate) job_id: u64,
    pub(crate) offset: u32,
    pub(crate) share: NewShare,
    pub(crate) claimed: Option<PowHash>,
}

/// What waits for the log, and what Validation is still to hear of.
#[derive(Default)]
pub(crate) struct LedgerLink {
    batch: RefCell<Vec<Pending>>,
    flush: Notify,
    owed: RefCell<VecDeque<BookedShare>>,
}

impl Front {
    pub(crate) fn append(&self, pending: Pending) {
        let mut batch = self.link.batch.borrow_mut();
        if batch.is_empty() {
            self.link.flush.notify_one();
        }
        batch.push(pending);
    }

    /// Sends on what the ready sessions have read; many messages may be under way.
    pub(crate) async fn append_loop(self: Rc<Self>) {
        loop {
            self.link.flush.notified().await;
            // Sessions that are ready now still join this batch.
            tokio::task::yield_now().await;
            let mut batch = self.link.batch.take();
            while !batch.is_empty() {
                let rest = batch.split_off(batch.len().min(SHARES_PER_MESSAGE));
                let message = std::mem::replace(&mut batch, rest);
                actix_rt::spawn(Rc::clone(&self).append_batch(message));
            }
        }
    }

    async fn append_batch(self: Rc<Self>, batch: Vec<Pending>) {
        let shares = batch.iter().map(|pending| pending.share.clone()).collect();
        match self.parts.ledger.ask(AppendShares(shares), LEDGER_PATIENCE).await {
            Ok(Ok(appended)) => self.acknowledge(&batch, appended),
            Ok(Err(AppendRefusal::Full)) | Err(AskError::Busy | AskError::Down) => {
                batch.iter().for_each(|pending| self.refuse(pending, &Reject::ServerBusy));
            }
            // Only the log knows. The nonces stay reserved: the same share cannot be booked twice.
            Ok(Err(AppendRefusal::Disk)) | Err(AskError::Lost | AskError::Late) => {
                for pending in &batch {
                    self.parts.counters.shares_unknown_total.add(1);
                    pending.session.write(&self, |out| wire::write_error(out, pending.id, UNKNOWN));
                    pending.session.answered();
                }
            }
        }
    }

    fn acknowledge(&self, batch: &[Pending], appended: Appended) {
        let now = Instant::now();
        let counters = &self.parts.counters;
        counters.shares_accepted_total.add(batch.len() as u64);
        if let Some(last) = batch.last() {
            counters.share_at(last.share.received_at);
        }
        for pending in batch {
            let session = &pending.session;
            let difficulty = self.retarget(session, pending.share.difficulty, now);
            session.queue(|out| wire::write_submit_ok(out, pending.id, pending.share.verified, difficulty));
        }
        for pending in batch {
            pending.session.write_out(self); // Nothing left to do when its answers left with an earlier one.
            pending.session.answered();
        }
        self.owe(batch, appended);
        self.offer();
    }

    fn owe(&self, batch: &[Pending], appended: Appended) {
        let mut owed = self.link.owed.borrow_mut();
        for (place, pending) in (0..).zip(batch) {
            if !self.parts.offer_all && !pending.share.claims_block {
                continue;
            }
            let share = &pending.share;
            owed.push_back(BookedShare {
                seq: appended.first.plus(place),
                minute: appended.minute,
                line: Arc::clone(&share.line),
                template: Arc::clone(&share.template),
                nonce: share.nonce,
                difficulty: share.difficulty,
                claimed_hash: pending.claimed,
                received_at: share.received_at,
                claims_block: share.claims_block,
                verified: share.verified,
                session: Some(pending.session.id),
            });
        }
        while owed.len() > OWED_MAX {
            // A block claim is never forgone: it is also found again in the log after a restart.
            let Some(place) = owed.iter().position(|share| !share.claims_block) else { break };
            owed.remove(place);
            self.parts.counters.checks_forgone_total.add(1);
        }
    }

    /// Tells Validation of everything it has not heard of yet; what it refuses waits for the next time.
    pub(crate) fn offer(&self) {
        let mut owed = self.link.owed.borrow_mut();
        if owed.is_empty() {
            return;
        }
        let offer = OfferShares(owed.drain(..).collect());
        if let Err(Refused::Busy(offer) | Refused::Down(offer)) = self.parts.validation.tell(offer) {
            owed.extend(offer.0);
        }
    }
}
