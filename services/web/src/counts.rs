//! What other crates of the process count and the API shows.
use instruments::{Counter, Gauge};
use live::BookingClock;

/// Clones of other crates' metrics, each named as there. Numbers of a role that the process does not have stay 0.
#[derive(Debug, Clone, Default)]
pub struct ProcessCounts {
    /// Open Stratum connections.
    pub stratum_connections: Gauge,
    /// Shares acknowledged.
    pub shares_accepted_total: Counter,
    /// Acknowledged shares that were never offered for a check.
    pub offers_forgone_total: Counter,
    /// Bytes of the share log that are not in the database.
    pub log_backlog_bytes: Gauge,
    /// 1 while shares cannot be booked because the share log cannot be read.
    pub log_unreadable: Gauge,
    /// By which time shares are booked.
    pub booking_clock: BookingClock,
    /// Hashes being recomputed.
    pub checks_running: Gauge,
    /// Block claims waiting for a lane.
    pub claims_waiting: Gauge,
    /// Checks waiting for a lane.
    pub checks_owed: Gauge,
    /// Checks given up at the bound of what may be owed.
    pub checks_forgone_total: Counter,
    /// Shares that were decided to be recomputed.
    pub checks_sampled_total: Counter,
    /// Recomputed shares that were not what they claimed.
    pub checks_failed_total: Counter,
}
