//! What this crate counts.
use instruments::{Counter, Gauge};

instruments::metrics! {
    /// Metrics of clean-ups.
    pub struct RetentionMetrics {
        /// Segments that were merged into their neighbours.
        retention_segments_total: Counter,
        /// Rows of rejects that were summed up by day.
        retention_rejects_total: Counter,
        /// Verdicts that were summed up by day.
        retention_verdicts_total: Counter,
        /// Share batches that were removed.
        retention_batches_total: Counter,
        /// Templates that were removed.
        retention_templates_total: Counter,
        /// Workers that were removed.
        retention_lines_total: Counter,
        /// Miners that were removed.
        retention_miners_total: Counter,
        /// Payouts that were summed up by day.
        retention_payouts_total: Counter,
        /// Clean-ups that were finished.
        retention_runs_total: Counter,
        /// When the last clean-up was finished, in seconds since the epoch; 0 for not since the start (gauge).
        retention_last_run_timestamp_seconds: Gauge,
        /// Age of the oldest share batch, in seconds (gauge).
        retention_oldest_batch_seconds: Gauge,
        /// How much longer than set details are kept because a block, the search for lost blocks or a host needs them, in
        /// seconds (gauge).
        retention_held_seconds: Gauge,
    }
}
