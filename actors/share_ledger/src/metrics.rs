//! What this crate counts.
use instruments::{Counter, Gauge};

instruments::metrics! {
    /// Metrics of the share log.
    pub struct LedgerMetrics {
        /// Records of the share log made durable.
        log_records_total: Counter,
        /// fsyncs of the share log.
        log_syncs_total: Counter,
        /// Bytes of the share log not yet folded (gauge).
        log_backlog_bytes: Gauge,
        /// Appends to the share log refused because its backlog is at its limit.
        log_full_total: Counter,
        /// Commits of the share log that the disk refused, mostly because it was full; nothing of them was kept, and
        /// the senders were told.
        log_refused_total: Counter,
        /// Commits and tries that the share log's disk has answered, whatever the answer was.
        log_disk_answers_total: Counter,
        /// 1 while the disk refuses writes of the share log (gauge).
        log_unwritable: Gauge,
        /// 1 while shares cannot be booked because the share log is damaged, or not the database's (gauge).
        log_unreadable: Gauge,
        /// Minutes that shares are booked ahead of the clock, which was set back; 0 as a rule (gauge).
        log_minutes_ahead: Gauge,
        /// Minutes that shares are booked behind the clock, which leapt ahead and is not trusted yet; 0 as a rule (gauge).
        log_minutes_behind: Gauge,
        /// Bytes of the share log that are folded and kept for claims and audits (gauge).
        log_kept_bytes: Gauge,
        /// Share log files deleted before their day was over, because they were too many or too large.
        log_removed_early_total: Counter,
        /// Refused definitions and records of the share log that are set aside, with all that refers to them (gauge).
        log_set_aside_items: Gauge,
        /// Records of the share log that are set aside, since the database refuses them (gauge).
        log_set_aside_records: Gauge,
        /// Records of the share log that were set aside.
        log_set_aside_total: Counter,
    }
}
