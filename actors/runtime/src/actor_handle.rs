//! What an operator can see of any actor, whatever its type. Every actor has it without a line of its own.
use std::sync::Arc;
use std::time::Duration;

use crate::core::Status;
use crate::loop_progress::LoopProgress;

/// Upper bounds of the buckets of [`Handled::buckets`]; the last bucket has none.
pub const HANDLE_BOUNDS: [Duration; 6] = [
    Duration::from_micros(100),
    Duration::from_millis(1),
    Duration::from_millis(10),
    Duration::from_millis(100),
    Duration::from_secs(1),
    Duration::from_secs(10),
];

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

/// How often generations of an actor ended, by cause. A quiet stop does not count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Restarts {
    /// `open` or a handler returned a fault.
    pub faulted: u64,
    /// A panic in the factory, in `open`, in a handler or in carried work.
    pub panicked: u64,
    /// Aborted after a stall.
    pub killed: u64,
}

/// Messages of one kind that an actor has handled. A handler that panicked or was aborted is not counted here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handled {
    /// Name of the message.
    pub msg: &'static str,
    /// How many.
    pub count: u64,
    /// How many of them ended in a fault.
    pub faults: u64,
    /// Time inside the handler, summed.
    pub total: Duration,
    /// The longest one.
    pub max: Duration,
    /// How many took at most the bound of the same position in [`HANDLE_BOUNDS`] and more than the one before.
    pub buckets: [u64; HANDLE_BOUNDS.len() + 1],
}

impl Handled {
    pub(crate) fn new(msg: &'static str) -> Self {
        Handled { msg, count: 0, faults: 0, total: Duration::ZERO, max: Duration::ZERO, buckets: Default::default() }
    }

    pub(crate) fn add(&mut self, took: Duration, faulted: bool) {
        self.count += 1;
        self.faults += u64::from(faulted);
        self.total += took;
        self.max = self.max.max(took);
        self.buckets[HANDLE_BOUNDS.partition_point(|bound| *bound < took)] += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_falls_into_the_first_bucket_that_holds_it() {
        let mut handled = Handled::new("hit");
        for took in [Duration::ZERO, HANDLE_BOUNDS[0], Duration::from_millis(2), Duration::from_secs(60)] {
            handled.add(took, false);
        }
        handled.add(Duration::from_millis(5), true);
        assert_eq!(handled.buckets, [2, 0, 2, 0, 0, 0, 1]);
        assert_eq!((handled.count, handled.faults, handled.max), (5, 1, Duration::from_secs(60)));
        assert_eq!(handled.total, HANDLE_BOUNDS[0] + Duration::from_millis(7) + Duration::from_secs(60));
    }
}
