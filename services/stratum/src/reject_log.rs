//! Refused submits on their way into the log: counted here, and handed over now and then.
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use messages::facts::{Clock, WorkerIdentity};
use messages::share_ledger::{AppendEvents, AppendRefusal};
use runtime::{AskError, Recipient};
use wire::Reject;

use crate::metrics::StratumMetrics;
use crate::pending::LEDGER_PATIENCE;
use crate::reject_counts::RejectCounts;

/// One arbiter's refusals.
pub(crate) struct RejectLog {
    counts: RefCell<RejectCounts>,
    /// Some of them are under way to the log. The others wait, so that what may come back is bounded.
    is_logging: Cell<bool>,
    events: Recipient<AppendEvents>,
    clock: Clock,
    metrics: Arc<StratumMetrics>,
}

impl RejectLog {
    pub(crate) fn new(events: Recipient<AppendEvents>, clock: Clock, metrics: Arc<StratumMetrics>) -> Rc<RejectLog> {
        Rc::new(RejectLog { counts: RefCell::default(), is_logging: Cell::default(), events, clock, metrics })
    }

    /// Counts a refusal; without a line it is in the process's metrics only.
    pub(crate) fn count(&self, line: Option<&Arc<WorkerIdentity>>, reject: &Reject) {
        let metrics = &self.metrics;
        match reject {
            Reject::ServerBusy => metrics.shares_busy_total.add(1),
            _ => {
                metrics.shares_rejected_total.add(1);
                metrics.shares_rejected_by_reason_total.add(reject.code());
            }
        }
        if let Some(line) = line
            && !self.counts.borrow_mut().count(line, reject.code(), (self.clock)().minute())
        {
            metrics.rejects_uncounted_total.add(1);
        }
    }

    /// Begins to hand the counts to the log, unless some are under way.
    pub(crate) fn start_logging(self: &Rc<Self>) {
        if !self.is_logging.replace(true) {
            let log = Rc::clone(self);
            runtime::spawn_detached(async move {
                log.log().await;
                log.is_logging.set(false);
            });
        }
    }

    /// Hands the counts to the log. What is certainly not there is counted again; what may be there is not.
    pub(crate) async fn log(&self) {
        let events = self.counts.borrow_mut().take();
        if events.is_empty() {
            return;
        }
        let uncounted = match self.events.ask(AppendEvents(events.clone()), LEDGER_PATIENCE).await {
            Ok(Ok(_)) => 0,
            Ok(Err(AppendRefusal::Full)) | Err(AskError::Busy | AskError::Down) => {
                self.counts.borrow_mut().put_back(events)
            }
            Ok(Err(AppendRefusal::Disk)) | Err(AskError::Lost | AskError::Late) => RejectCounts::sum(&events),
        };
        self.metrics.rejects_uncounted_total.add(uncounted);
    }
}
