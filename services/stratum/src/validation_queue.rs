//! Acknowledged shares that Validation is still to hear of.
//!
//! What it refuses to do: make shares wait for Validation. What is refused there is offered again later.
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use messages::share_ledger::{Appended, AppendedShares, NewShare};
use messages::validation::{BookedShare, OfferShares};
use runtime::{Recipient, Refused};
use units::Seq;

use crate::metrics::StratumMetrics;
use crate::pending::Pending;

/// Acknowledged shares that Validation has not taken yet, of one arbiter. Beyond it the oldest stay provisional.
pub(crate) const OWED_MAX: usize = 65_536;
/// Shares of one message to Validation.
const SHARES_PER_OFFER: usize = 512;

/// One arbiter's shares for Validation, in the order of the log.
pub(crate) struct ValidationQueue {
    owed: RefCell<VecDeque<BookedShare>>,
    /// Validation refused an offer; it hears nothing more before the next tick.
    rests: Cell<bool>,
    validation: Recipient<OfferShares>,
    /// Whether Validation hears of every share, or only of those that claim a block.
    offer_all: bool,
    metrics: Arc<StratumMetrics>,
}

impl ValidationQueue {
    pub(crate) fn new(
        validation: Recipient<OfferShares>,
        offer_all: bool,
        metrics: Arc<StratumMetrics>,
    ) -> Rc<ValidationQueue> {
        let (owed, rests) = (RefCell::default(), Cell::default());
        Rc::new(ValidationQueue { owed, rests, validation, offer_all, metrics })
    }

    /// Takes shares that are in the log, and offers them.
    pub(crate) fn add_logged(&self, pending: &mut [Pending], appended: AppendedShares) {
        let Appended { first, minute } = appended.at;
        for ((place, pending), share) in (0..).zip(pending).zip(appended.shares) {
            if self.offer_all || share.claims_block {
                self.add(pending, share, Appended { first: first.plus(place), minute });
            }
        }
        let mut owed = self.owed.borrow_mut();
        while owed.len() > OWED_MAX {
            // A block claim is never forgone: it is also found again in the log after a restart.
            let Some(place) = owed.iter().position(|share| !share.claims_block) else { break };
            owed.remove(place);
            self.metrics.offers_forgone_total.add(1);
            self.metrics.offers_waiting.sub(1);
        }
        drop(owed);
        self.offer();
    }

    /// Takes a block claim that is not in the log.
    pub(crate) fn add_unlogged(&self, pending: &mut Pending, share: NewShare) {
        let minute = share.received_at.minute();
        self.add(pending, share, Appended { first: Seq::ZERO, minute });
    }

    fn add(&self, pending: &mut Pending, share: NewShare, at: Appended) {
        self.metrics.offers_waiting.add(1);
        self.owed.borrow_mut().push_back(BookedShare {
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
        self.rests.set(false);
        self.offer();
    }

    /// Tells Validation of everything it has not heard of yet; what it refuses waits for the next tick, so that shares
    /// do not pay for its trouble.
    fn offer(&self) {
        let mut owed = self.owed.borrow_mut();
        while !owed.is_empty() && !self.rests.get() {
            let many = owed.len().min(SHARES_PER_OFFER);
            let offer = OfferShares(owed.drain(..many).collect());
            match self.validation.tell(offer) {
                Ok(()) => self.metrics.offers_waiting.sub(many as u64),
                Err(Refused::Busy(offer) | Refused::Down(offer)) => {
                    offer.0.into_iter().rev().for_each(|share| owed.push_front(share));
                    self.rests.set(true);
                }
            }
        }
    }
}
