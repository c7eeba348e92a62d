//! What an operator can see of any actor, whatever its type. Every actor has it without a line of its own.
use std::sync::Arc;
use std::time::Duration;

use crate::core::Status;
use crate::handled::{Handled, Restarts};
use crate::loop_progress::LoopProgress;

/// The figures of one actor. All counters run from the start of the process.
pub trait ActorHandle: Send + Sync {
    /// The actor's name.
    fn name(&self) -> &'static str;
    /// Places taken now, both pools together.
    fn depth(&self) -> usize;
    /// Places there are, both pools together.
    fn capacity(&self) -> usize;
    /// Places of the urgent pool taken now.
    fn urgent_depth(&self) -> usize;
    /// Places of the urgent pool.
    fn urgent_capacity(&self) -> usize;
    /// Messages answered `Busy`: no place was left, or the actor was between two generations.
    fn refused(&self) -> u64;
    /// Messages answered `Down`.
    fn down(&self) -> u64;
    /// Messages accepted and never answered, told ones included.
    fn lost(&self) -> u64;
    /// Answers that were not there when the asker's patience ended.
    fn late(&self) -> u64;
    /// Ticks of the host's clock left out because the one before was not answered yet or there was no place.
    fn ticks_skipped(&self) -> u64;
    /// Health and generation.
    fn status(&self) -> Status;
    /// How long the work in hand (`open` or one message) has been in hand; zero when idle.
    fn busy_for(&self) -> Duration;
    /// Ends of generations by cause.
    fn restarts(&self) -> Restarts;
    /// Messages handled and the time it took, by kind.
    fn handled(&self) -> Vec<Handled>;
    /// Whether its thread turns.
    fn pulse(&self) -> Arc<LoopProgress>;
    /// Makes the actor panic when it has handled what is queued now. For fault drills only: whoever can reach this
    /// can stop the pool. Says whether there was an actor to hear it.
    fn inject_panic(&self) -> bool;
    /// Blocks the actor's thread for ever, as a loop without an end in a handler would. For fault drills only.
    fn inject_hang(&self) -> bool;
}
