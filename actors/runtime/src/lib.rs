//! Actors with an exact bound, a supervisor that sees every failure, and a host that drains. actix is the engine
//! (one thread per actor, futures that need not be `Send`), never the contract: this is the only crate that names it.
//!
//! It refuses to: queue past a bound, drop a message without telling its sender, keep state over a failure, restart
//! without a budget, and find an actor by a global name.
//!
//! What a sender and a handler may rely on:
//! - A place is taken before a message is handed over and given back when its [`Reply`] is answered or dropped, so
//!   [`Limits`] bound queued, running and deferred work together, whatever is cloned.
//! - `Busy` and `Down` are said at once and the message was not taken. `Lost` and `Late` leave its outcome open.
//! - An actor handles strictly one message at a time. A handler never waits for another actor: it hands the reply to
//!   [`continue_with`], to a thread or to its own state, and takes the next message.
//! - After a failure the factory makes a fresh actor; whatever was queued answers `Lost`.
//! - A message that is only told is answered too, with `reply.send(())`: a reply that is dropped counts as lost.
#![warn(missing_docs)]

mod actor_handle;
mod actor_ref;
mod ask;
mod cell;
mod core;
mod durable_file;
mod exit;
mod handled;
mod host;
mod host_failure;
mod loop_progress;
mod mark;
mod policy;
mod recipient;
mod reply;
mod supervisor;
mod task;
mod watchdog;

pub use crate::actor_handle::ActorHandle;
pub use crate::actor_ref::ActorRef;
pub use crate::ask::{AskError, Refused};
pub use crate::core::{Health, Limits, Status};
pub use crate::durable_file::replace_file;
pub use crate::exit::Exit;
pub use crate::handled::{HANDLE_BOUNDS, Handled, Restarts};
pub use crate::host::Host;
pub use crate::host_failure::HostFailure;
pub use crate::loop_progress::LoopProgress;
pub use crate::mark::TraceMark;
pub use crate::policy::{OnExhausted, Policy, Restart};
pub use crate::recipient::Recipient;
pub use crate::reply::{Reply, continue_with};
pub use crate::task::{Task, block_on, spawn, spawn_detached};
pub use crate::watchdog::Stuck;
/// One more thread with an event loop, for work that is no actor, such as connections. Stop it when done.
pub use actix_rt::Arbiter;

/// A message from one actor to another. Imperative by name; "no" is a value of `Reply`, not a failure.
pub trait Message: Send + 'static {
    /// What the receiver answers.
    type Reply: Send + 'static;
    /// Name in spans and metrics, snake case.
    const NAME: &'static str;
    /// Takes its place from the second, small pool, so that a flood of ordinary messages cannot keep it out.
    /// It still waits its turn in the mailbox.
    const URGENT: bool = false;
}

/// A piece of the pool with a life of its own.
#[expect(async_fn_in_trait, reason = "an actor's futures stay on its arbiter; `Send` is not wanted")]
pub trait Actor: Sized + Unpin + 'static {
    /// Name in spans, metrics and health, snake case.
    const NAME: &'static str;

    /// Rebuilds working state. Runs before the first message of every generation; the actor is up when it is `Ok`.
    ///
    /// # Errors
    /// A [`Fault`] is one more failure for the restart policy.
    async fn open(&mut self) -> Result<(), Fault> {
        Ok(())
    }

    /// Called at a quiet stop only, when nothing is queued any more; never after a failure, so nothing may rely on it.
    async fn close(&mut self) {}
}

/// What an actor does with one kind of message.
#[expect(async_fn_in_trait, reason = "an actor's futures stay on its arbiter; `Send` is not wanted")]
pub trait Handler<M: Message>: Actor {
    /// Handles one message; the next one waits until this returns.
    ///
    /// # Errors
    /// A [`Fault`] means that the actor can no longer be trusted and asks to be made anew. A refusal of this one
    /// message travels in the reply instead.
    async fn handle(&mut self, msg: M, reply: Reply<M>) -> Result<(), Fault>;
}

/// The actor is broken and says why. The supervisor's business, never a sender's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Fault(String);

impl Fault {
    /// Names what broke, lower case, without a full stop.
    pub fn because(reason: impl Into<String>) -> Self {
        Fault(reason.into())
    }
}
