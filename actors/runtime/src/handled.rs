//! Figures that every actor has: what it handled, and how its generations ended.
use std::time::Duration;

/// Upper bounds of the buckets of [`Handled::buckets`]; the last bucket has none.
pub const HANDLE_BOUNDS: [Duration; 6] = [
    Duration::from_micros(100),
    Duration::from_millis(1),
    Duration::from_millis(10),
    Duration::from_millis(100),
    Duration::from_secs(1),
    Duration::from_secs(10),
];

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
