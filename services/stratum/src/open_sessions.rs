//! The sessions of one arbiter that are open now.
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use crate::close_reason::CloseReason;
use crate::metrics::StratumMetrics;
use tokio::sync::Notify;

use crate::session::Session;

/// Sessions that a broadcast serves before it lets others run.
const SESSIONS_PER_TURN: usize = 256;

/// One arbiter's open sessions.
pub(crate) struct OpenSessions {
    sessions: RefCell<Vec<Option<Rc<Session>>>>,
    free: RefCell<Vec<usize>>,
    open: Cell<usize>,
    emptied: Notify,
    metrics: Arc<StratumMetrics>,
}

impl OpenSessions {
    pub(crate) fn new(metrics: Arc<StratumMetrics>) -> Rc<OpenSessions> {
        Rc::new(OpenSessions {
            sessions: RefCell::default(),
            free: RefCell::default(),
            open: Cell::new(0),
            emptied: Notify::new(),
            metrics,
        })
    }

    /// Takes a session in; gives the slot that it leaves by.
    pub(crate) fn enter(&self, session: &Rc<Session>) -> usize {
        let mut sessions = self.sessions.borrow_mut();
        let slot = self.free.borrow_mut().pop().unwrap_or_else(|| {
            sessions.push(None);
            sessions.len() - 1
        });
        sessions[slot] = Some(Rc::clone(session));
        self.open.set(self.open.get() + 1);
        self.metrics.stratum_connections.add(1);
        slot
    }

    /// Lets a session go.
    pub(crate) fn leave(&self, slot: usize, session: &Session, reason: CloseReason) {
        self.sessions.borrow_mut()[slot] = None;
        self.free.borrow_mut().push(slot);
        self.open.set(self.open.get() - 1);
        self.metrics.stratum_connections.sub(1);
        if session.counted.get() {
            self.metrics.stratum_sessions.sub(1);
        }
        self.metrics.stratum_closed_total.add(reason);
        if reason == CloseReason::SlowReader {
            self.metrics.stratum_slow_readers_total.add(1);
        }
        if self.open.get() == 0 {
            self.emptied.notify_one();
        }
    }

    /// Calls `each` for every session, letting others run in between.
    pub(crate) async fn for_each(&self, mut each: impl FnMut(&Rc<Session>)) {
        let mut slot = 0;
        loop {
            let session = match self.sessions.borrow().get(slot) {
                None => return,
                Some(session) => session.clone(),
            };
            if let Some(session) = session {
                each(&session);
            }
            slot += 1;
            if slot.is_multiple_of(SESSIONS_PER_TURN) {
                tokio::task::yield_now().await;
            }
        }
    }

    /// Lets every session finish what has arrived, and returns when all are gone.
    pub(crate) async fn drain(&self) {
        self.for_each(|session| session.drain()).await;
        while self.open.get() > 0 {
            self.emptied.notified().await;
        }
    }
}
