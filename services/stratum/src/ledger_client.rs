//! The way to the share log: one message for all that an arbiter has just read.
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use messages::share_ledger::{AppendRefusal, AppendShares, NewShare};
use runtime::{AskError, Recipient};
use tokio::sync::Notify;
use tracing::{Instrument, error, info_span};
use wire::Reject;

use crate::in_doubt::InDoubtShares;
use crate::metrics::StratumMetrics;
use crate::pending::{LEDGER_PATIENCE, Pending};
use crate::replies::Replies;
use crate::validation_queue::ValidationQueue;

/// Most shares of one message: with the mailbox's bound this bounds what is under way.
const SHARES_PER_MESSAGE: usize = 512;

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

/// What of one arbiter waits for the log, and who hears what became of it.
pub(crate) struct LedgerClient {
    batch: RefCell<Batch>,
    flush: Notify,
    ledger: Recipient<AppendShares>,
    replies: Rc<Replies>,
    in_doubt: Rc<InDoubtShares>,
    /// Hears of block claims that the log refused.
    validation: Rc<ValidationQueue>,
    metrics: Arc<StratumMetrics>,
}

impl LedgerClient {
    pub(crate) fn new(
        ledger: Recipient<AppendShares>,
        replies: Rc<Replies>,
        in_doubt: Rc<InDoubtShares>,
        validation: Rc<ValidationQueue>,
        metrics: Arc<StratumMetrics>,
    ) -> Rc<LedgerClient> {
        let (batch, flush) = (RefCell::default(), Notify::new());
        Rc::new(LedgerClient { batch, flush, ledger, replies, in_doubt, validation, metrics })
    }

    /// Sends a share with the next message.
    pub(crate) fn append(self: &Rc<Self>, pending: Pending, share: NewShare) {
        let mut batch = self.batch.borrow_mut();
        if batch.pending.is_empty() {
            self.flush.notify_one();
        }
        batch.pending.push(pending);
        batch.shares.push(share);
        if batch.pending.len() == SHARES_PER_MESSAGE {
            runtime::spawn_detached(Rc::clone(self).append_batch(batch.take()));
        }
    }

    /// Sends on what the ready sessions have read; many messages may be under way.
    pub(crate) async fn append_loop(self: Rc<Self>) {
        loop {
            self.flush.notified().await;
            // Sessions that are ready now still join this batch.
            tokio::task::yield_now().await;
            let batch = self.batch.borrow_mut().take();
            if !batch.pending.is_empty() {
                runtime::spawn_detached(Rc::clone(&self).append_batch(batch));
            }
        }
    }

    async fn append_batch(self: Rc<Self>, batch: Batch) {
        let Batch { mut pending, shares } = batch;
        let is_claim = |(_, share): &(usize, &NewShare)| share.claims_block;
        let claims: Vec<_> =
            shares.iter().enumerate().filter(is_claim).map(|(at, share)| (at, share.clone())).collect();
        let after = self.replies.last_position();
        // One trace for all that came together: a span for each share would cost more than the share.
        let span = info_span!("submit", shares = shares.len());
        match self.ledger.ask(AppendShares(shares), LEDGER_PATIENCE).instrument(span).await {
            Ok(Ok(appended)) => self.replies.accept(&mut pending, appended),
            Ok(Err(AppendRefusal::Full)) | Err(AskError::Busy | AskError::Down) => {
                self.claim_unlogged(&mut pending, claims);
                pending.iter().for_each(|pending| self.replies.refuse(pending, &Reject::ServerBusy));
            }
            // Only the log knows.
            Ok(Err(AppendRefusal::Disk)) | Err(AskError::Lost | AskError::Late) => {
                self.claim_unlogged(&mut pending, claims);
                self.in_doubt.add(pending, after);
            }
        }
    }

    /// Block claims are looked at whatever the log does: their blocks are worth more than their shares.
    fn claim_unlogged(&self, pending: &mut [Pending], claims: Vec<(usize, NewShare)>) {
        if claims.is_empty() {
            return;
        }
        error!(claims = claims.len(), "share log refused block claims; verifying and submitting them without it");
        self.metrics.claims_unlogged_total.add(claims.len() as u64);
        for (at, share) in claims {
            if let Some(pending) = pending.get_mut(at) {
                self.validation.add_unlogged(pending, share);
            }
        }
        self.validation.offer_again();
    }
}
