//! What this crate counts.
use instruments::Counter;

instruments::metrics! {
    /// Metrics of found blocks.
    pub struct BlocksMetrics {
        /// Blocks that the daemon accepted.
        blocks_accepted_total: Counter,
    }
}
