//! What this crate counts.
use instruments::{Counter, Gauge, Histogram};

use crate::close_reason::CloseReasonCounts;
use crate::reject_code::RejectCodeCounts;

/// Bounds of the latency histogram, seconds.
const TIP_TO_LAST_JOB_BOUNDS: [f64; 12] = [0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.15, 0.25, 0.5, 1.0, 2.0, 5.0];

instruments::metrics! {
    /// Metrics of miners' connections and their shares.
    pub struct StratumMetrics {
        /// Open Stratum connections (gauge).
        stratum_connections: Gauge,
        /// Logged-in Stratum sessions (gauge).
        stratum_sessions: Gauge,
        /// Connections accepted.
        stratum_connections_total: Counter,
        /// Connections refused by a limit or a ban.
        stratum_connections_refused_total: Counter,
        /// Clients that are banned now (gauge).
        stratum_bans: Gauge,
        /// Bans imposed.
        stratum_bans_total: Counter,
        /// TLS handshakes completed.
        stratum_tls_handshakes_total: Counter,
        /// Changed TLS certificates that could not be used; the one before stays in use.
        stratum_tls_reload_failures_total: Counter,
        /// Connections closed because they did not read what they were sent.
        stratum_slow_readers_total: Counter,
        /// Acknowledged shares that Validation has not taken yet (gauge).
        offers_waiting: Gauge,
        /// Acknowledged shares dropped before Validation took them, because too many were waiting: they stay
        /// provisional.
        offers_forgone_total: Counter,
        /// Notices of solved blocks that a thread could not keep up with.
        notices_missed_total: Counter,
        /// Rejected submits that are missing in the counts by miner: too many miners were rejected at once, or the
        /// share log did not answer.
        rejects_uncounted_total: Counter,
        /// Shares acknowledged.
        shares_accepted_total: Counter,
        /// Submits rejected.
        shares_rejected_total: Counter,
        /// Submits answered `server busy, retry`.
        shares_busy_total: Counter,
        /// Submits whose append to the share log was answered late or not at all, until the log tells their outcome
        /// (gauge).
        shares_in_doubt: Gauge,
        /// Submits answered `share outcome unknown`, because the share log did not tell their outcome in time.
        shares_unknown_total: Counter,
        /// Job lines written.
        jobs_pushed_total: Counter,
        /// Jobs not given when they should have been: a thread has assigned every range of the template, or a session has
        /// more jobs within their grace than it may have.
        jobs_withheld_total: Counter,
        /// Time that sessions had a job to work on, in milliseconds, summed over all sessions.
        stratum_mining_ms_total: Counter,
        /// Mining time lost because a new tip discarded hashes in progress, in milliseconds (estimate: half a hash of 2
        /// s for each job).
        stratum_lost_to_tips_ms_total: Counter,
        /// Mining time lost because a session's difficulty changed while the tip stayed, in milliseconds (estimate:
        /// half a hash of 2 s for each job).
        stratum_lost_to_retargets_ms_total: Counter,
        /// Jobs pushed because a session's difficulty was far off.
        retargets_pushed_total: Counter,
        /// Smaller changes of difficulty, which waited for the next job.
        retargets_deferred_total: Counter,
        /// Workers whose measured difficulty is remembered (gauge).
        difficulty_hints: Gauge,
        /// Measured difficulties dropped before they were stored, because too many were waiting.
        difficulty_hints_dropped_total: Counter,
        /// Submits answered `server busy, retry` because too many block claims wait for their check.
        claims_refused_total: Counter,
        /// Block claims that the share log did not take; they are checked all the same, but their shares do not count.
        claims_unlogged_total: Counter,
        /// Time from the first notice of a new tip to the job line of a thread's last session, in seconds.
        stratum_tip_to_last_job_seconds: Histogram(&TIP_TO_LAST_JOB_BOUNDS),
        /// Stratum connections that ended or were refused, by reason.
        stratum_closed_total: CloseReasonCounts,
        /// Submits rejected, by canonical reason.
        shares_rejected_by_reason_total: RejectCodeCounts,
    }
}
