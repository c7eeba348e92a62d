//! What all handlers, the control endpoint and the server share.
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pow::MemoryError;
use tokio::sync::{mpsc, oneshot, watch};

use crate::clock::Clock;
use crate::faults::Faults;
use crate::hasher::Hasher;
use crate::node::{Node, Surroundings};
use crate::params::Params;
use crate::persist::PersistError;

/// Orders that wait for the server at most.
const ORDERS_MAX: usize = 16;

/// What the server is told from other threads.
#[derive(Debug)]
pub(crate) enum Order {
    /// Die (or, when clean, end) and start again.
    Restart { down: Duration, is_clean: bool, done: Option<oneshot::Sender<Result<(), StartError>>> },
    /// End for good: cleanly, or as by a kill.
    Stop { is_clean: bool },
}

/// Why a simulated daemon does not run.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data directory cannot be used.
    #[error("the daemon's data directory cannot be used")]
    Data(#[from] PersistError),
    /// Proof of work cannot be computed.
    #[error("proof of work cannot be checked")]
    Hasher(#[from] MemoryError),
    /// Somebody else has the address.
    #[error("cannot listen on {address}")]
    Listen {
        /// Which one.
        address: std::net::SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The control endpoint can do anything to the daemon, and peers are believed: both are for this machine only.
    #[error("the endpoints for control and peers must listen on a loopback address, not on {0}")]
    NotLoopback(std::net::SocketAddr),
    /// No thread, or it died.
    #[error("the daemon's thread cannot run")]
    Thread,
}

pub(crate) struct Shared {
    pub(crate) params: Arc<Params>,
    pub(crate) clock: Arc<Clock>,
    pub(crate) hasher: Hasher,
    node: Mutex<Node>,
    faults: Mutex<Faults>,
    is_paused: watch::Sender<bool>,
    is_cut_off: AtomicBool,
    wake_links: watch::Sender<()>,
    orders: mpsc::Sender<Order>,
}

impl Shared {
    pub(crate) fn open(params: Params) -> Result<(Arc<Shared>, mpsc::Receiver<Order>), StartError> {
        let (params, clock) = (Arc::new(params), Arc::new(Clock::default()));
        let (orders, order_queue) = mpsc::channel(ORDERS_MAX);
        let node = Node::open(Arc::clone(&params), Arc::clone(&clock), Surroundings::default())?;
        let shared = Shared {
            hasher: Hasher::new(params.pow_memory_kib)?,
            node: Mutex::new(node),
            faults: Mutex::default(),
            is_paused: watch::Sender::new(false),
            is_cut_off: AtomicBool::new(false),
            wake_links: watch::Sender::new(()),
            orders,
            params,
            clock,
        };
        Ok((Arc::new(shared), order_queue))
    }

    /// The state. A handler that panicked with it in hand does not take the daemon along.
    pub(crate) fn node(&self) -> MutexGuard<'_, Node> {
        self.node.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn faults(&self) -> MutexGuard<'_, Faults> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the server; false when it is gone or has too much to do.
    pub(crate) fn order(&self, order: Order) -> bool {
        self.orders.try_send(order).is_ok()
    }

    /// Freezes or thaws the whole API.
    pub(crate) fn pause(&self, is_paused: bool) {
        self.is_paused.send_replace(is_paused);
    }

    /// Returns when the API is not frozen.
    pub(crate) async fn unpaused(&self) {
        let mut is_paused = self.is_paused.subscribe();
        if is_paused.wait_for(|is_paused| !is_paused).await.is_err() {
            tracing::debug!("the daemon ends while it is paused");
        }
    }

    /// Cuts the daemon off from its peers, in both directions, or joins it to them again.
    pub(crate) fn cut_off(&self, is_cut_off: bool) {
        self.is_cut_off.store(is_cut_off, Ordering::Relaxed);
        self.look_at_peers();
    }

    pub(crate) fn is_cut_off(&self) -> bool {
        self.is_cut_off.load(Ordering::Relaxed)
    }

    /// Has the links look at their peers now.
    pub(crate) fn look_at_peers(&self) {
        self.wake_links.send_replace(());
    }

    pub(crate) fn peers_wake(&self) -> watch::Receiver<()> {
        self.wake_links.subscribe()
    }

    /// Marks the state as dead, so that nothing begun before changes it any more.
    pub(crate) fn kill(&self) {
        self.node().epoch += 1;
    }

    /// Replaces the state by what a new process would read from disk.
    pub(crate) fn reopen(&self) -> Result<(), StartError> {
        let mut node = self.node();
        let around = node.surroundings();
        *node = Node::open(Arc::clone(&self.params), Arc::clone(&self.clock), around)?;
        Ok(())
    }
}
