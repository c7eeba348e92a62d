//! Who is under suspicion now, as one arbiter knows it.
//!
//! What it refuses to do: decide. Validation does, and publishes it.
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use messages::facts::{Restrictions, WorkerIdentity};
use tokio::sync::watch;
use units::Timestamp;

/// The restrictions in force. Logins and submits ask for them; neither takes a lock.
pub(crate) struct ActiveRestrictions {
    current: RefCell<Arc<Restrictions>>,
    published: watch::Receiver<Arc<Restrictions>>,
}

impl ActiveRestrictions {
    pub(crate) fn new(published: watch::Receiver<Arc<Restrictions>>) -> Rc<ActiveRestrictions> {
        let current = RefCell::new(Arc::clone(&published.borrow()));
        Rc::new(ActiveRestrictions { current, published })
    }

    /// Takes over what is published, until nobody publishes any more.
    pub(crate) async fn follow(self: Rc<Self>) {
        let mut published = self.published.clone();
        while published.changed().await.is_ok() {
            let now = Arc::clone(&published.borrow_and_update());
            *self.current.borrow_mut() = now;
        }
    }

    /// What a restricted pair is told; `None` for everybody else.
    pub(crate) fn quarantine(&self, line: &WorkerIdentity, now: Timestamp) -> Option<wire::Quarantine> {
        let restrictions = self.current.borrow();
        if restrictions.quarantined.is_empty() {
            return None;
        }
        let quarantine = restrictions.quarantined.get(&line.pair()).filter(|found| found.until > now)?;
        Some(wire::Quarantine {
            reason: Some(quarantine.reason.to_owned()),
            sentence: Some(wire::Sentence {
                strikes: wire::Strikes::Fraud(quarantine.strikes),
                until: quarantine.until,
                remaining: quarantine.until.since(now),
            }),
        })
    }

    /// Whether its shares are proven before they are acknowledged.
    pub(crate) fn is_forced(&self, line: &WorkerIdentity) -> bool {
        let restrictions = self.current.borrow();
        !restrictions.forced.is_empty() && restrictions.forced.contains(&line.pair())
    }
}
