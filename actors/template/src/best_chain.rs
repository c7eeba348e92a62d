//! The best chain that was ever built on, kept in the database. Without it a pool that restarts beside a daemon that
//! lags would mine on an old tip, and believe it: credits would be taken back, and payments would follow from it.
//!
//! The chain with the most work is the chain, and it only grows. So what was seen once stays a lower bound however old
//! it is, and only two things can make it wrong: a chain that was started anew, and a daemon that lied about its work.
//! Mining goes on all the same after a while ([`Pace::step_back`](crate::Pace)). Money does not, until a chain with as
//! much work is there, or an operator gives the old one up: time does not tell a lagging daemon from a new chain.
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use runtime::{Task, spawn};
use store::{Store, StoreError};
use tokio::time::timeout;
use tracing::{info, warn};
use units::Height;

use crate::published::Published;

/// How long the first look waits for the database. Mining does not depend on it; money does anyway.
const RECALL_PATIENCE: Duration = Duration::from_secs(2);

/// What one generation has done about it.
pub(crate) struct BestChainRecord {
    published: Arc<Published>,
    store: Store,
    asked: Cell<bool>,
    task: RefCell<Option<Task>>,
    unwell: Cell<bool>,
    last_logged: Cell<Option<Height>>,
}

impl BestChainRecord {
    pub(crate) fn new(published: Arc<Published>, store: Store) -> Rc<BestChainRecord> {
        Rc::new(BestChainRecord {
            published,
            store,
            asked: Cell::default(),
            task: RefCell::default(),
            unwell: Cell::default(),
            last_logged: Cell::default(),
        })
    }

    /// Before the first look: learns what earlier processes have seen.
    pub(crate) async fn recall(&self) {
        if self.asked.replace(true) || self.published.is_recalled() {
            return;
        }
        match timeout(RECALL_PATIENCE, self.load()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => self.complain(&error.to_string()),
            Err(_) => self.complain("the database does not answer"),
        }
    }

    /// After a look: what there is to load, to store or to give up, beside the looks.
    pub(crate) fn keep(self: &Rc<Self>) {
        let behind = self.published.tips().borrow().behind;
        if self.last_logged.replace(behind) != behind {
            match behind {
                Some(best) => warn!(
                    %best,
                    "the daemon's chain has less work than one seen before, at height {best}: until it has caught up, \
                     no block is credited or taken back. If that chain is gone for good: meshpool accept-chain"
                ),
                None => info!("daemon's chain has caught up with the best chain seen"),
            }
        }
        let published = &self.published;
        let is_idle = published.is_recalled() && published.best_to_store().is_none() && behind.is_none();
        if is_idle || self.task.borrow().as_ref().is_some_and(|task| !task.is_finished()) {
            return;
        }
        let this = Rc::clone(self);
        let task = spawn(async move {
            match this.tend(behind.is_some()).await {
                Ok(()) => this.unwell.set(false),
                Err(error) => this.complain(&error.to_string()),
            }
        });
        self.task.replace(Some(task));
    }

    async fn tend(&self, is_behind: bool) -> Result<(), StoreError> {
        let (published, store) = (&self.published, &self.store);
        if !published.is_recalled() {
            self.load().await?;
        }
        if let Some(best) = published.best_to_store() {
            store.best_chain_raise(best).await?;
            published.best_is_stored(best);
        } else if is_behind && store.best_chain_get().await?.is_some_and(|stored| stored.work == 0) {
            published.give_up_best();
            warn!("best chain record given up by an operator; following the daemon's chain");
        }
        Ok(())
    }

    async fn load(&self) -> Result<(), StoreError> {
        let stored = self.store.best_chain_get().await?;
        if !self.published.is_recalled() {
            self.published.recall(stored);
        }
        Ok(())
    }

    fn complain(&self, why: &str) {
        if !self.unwell.replace(true) {
            warn!(why, "best chain record unavailable, will retry");
        }
    }
}
