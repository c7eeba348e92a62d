//! What each role starts, and what it leaves running beside its actors.
//!
//! Each is made in two steps: what can fail while nothing was changed yet (`prepare`), then its actors (`start`), each
//! with its restart policy and the bounds of its mailbox.
use std::pin::Pin;
use std::sync::Arc;

use runtime::{LoopProgress, Task};

pub(crate) mod api;
pub(crate) mod monitor;
mod reopen;
pub(crate) mod stratum;
pub(crate) mod treasury;
pub(crate) mod validator;

/// A way to an end; nothing is done before it is awaited.
pub(crate) type Ending = Pin<Box<dyn Future<Output = ()>>>;

/// What runs beside the actors of a role.
#[derive(Default)]
pub(crate) struct Running {
    /// End when they are dropped.
    pub(crate) tasks: Vec<Task>,
    /// Loops that the watchdog follows.
    pub(crate) pulses: Vec<Arc<LoopProgress>>,
    /// Where it can be reached, by the word that the operator knows it by.
    pub(crate) places: Vec<(&'static str, String)>,
    /// What brings work from outside ends before the actors do.
    pub(crate) drain: Option<Ending>,
    /// What is left to do when all actors have ended.
    pub(crate) close: Option<Ending>,
}
