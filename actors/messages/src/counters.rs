//! Counters that many threads write and `Live` and `/metrics` read. Since the start of the process.
use std::sync::atomic::{AtomicI64, Ordering};

use units::Timestamp;

use crate::closed::Closed;
pub use crate::counter::Counter;
use crate::rejected::Rejected;

macro_rules! counters {
    ($($(#[doc = $help:literal])+ $name:ident),* $(,)?) => {
        /// The host's counters.
        #[derive(Debug, Default)]
        pub struct Counters {
            $($(#[doc = $help])+ pub $name: Counter,)*
            /// Ended Stratum connections by reason, refused ones included.
            pub stratum_closed: Closed,
            /// Refused submits by canonical reason, those answered `server busy, retry` excepted.
            pub shares_rejected: Rejected,
            /// When the last share was accepted, in milliseconds since the epoch; 0 for never.
            pub last_share_ms: AtomicI64,
        }

        impl Counters {
            /// Name, meaning and place of each, for export.
            #[must_use]
            pub fn list() -> &'static [(&'static str, &'static str, fn(&Counters) -> &Counter)] {
                &[$((stringify!($name), concat!($($help),+), |counters| &counters.$name)),*]
            }
        }
    };
}

counters! {
    /// Open Stratum connections (gauge).
    stratum_connections,
    /// Logged-in Stratum sessions (gauge).
    stratum_sessions,
    /// Connections accepted.
    stratum_connections_total,
    /// Connections refused by a limit.
    stratum_connections_refused_total,
    /// Clients that are banned now (gauge).
    stratum_bans,
    /// Bans imposed.
    stratum_bans_total,
    /// TLS handshakes completed.
    stratum_tls_handshakes_total,
    /// Changed TLS certificates that could not be used; the one before stays in use.
    stratum_tls_reload_failures_total,
    /// Connections closed because they did not read what they were sent.
    stratum_slow_readers_total,
    /// Acknowledged shares that Validation has not taken yet (gauge).
    offers_waiting,
    /// Such shares given up at the bound: they stay provisional.
    offers_forgone_total,
    /// Notices of solved blocks that a thread could not keep up with.
    notices_missed_total,
    /// Refusals that are missing in the counts by miner: too many miners were refused at once, or the log gave no answer.
    rejects_uncounted_total,
    /// Shares acknowledged.
    shares_accepted_total,
    /// Submits refused.
    shares_rejected_total,
    /// Submits answered `server busy, retry`.
    shares_busy_total,
    /// Submits whose answer was lost or late, until the log says what became of them (gauge). What may be under way to
    /// the ledger bounds it.
    shares_in_doubt,
    /// Submits answered `share outcome unknown`, since the log did not say so in time.
    shares_unknown_total,
    /// Job lines written.
    jobs_pushed_total,
    /// Jobs not given when they should have been: a thread has assigned every range of the template, or a session has
    /// more jobs within their grace than it may have.
    jobs_withheld_total,
    /// Time that sessions had a job to work on.
    stratum_mining_ms_total,
    /// Part of it lost because a new tip threw away hashes in progress (estimate: half a hash of 2 s for each job).
    stratum_lost_to_tips_ms_total,
    /// Part of it lost because a session's difficulty changed in the middle of a tip (same estimate).
    stratum_lost_to_retargets_ms_total,
    /// Jobs pushed because a session's difficulty was far off.
    retargets_pushed_total,
    /// Smaller changes of difficulty, which waited for the next job.
    retargets_deferred_total,
    /// Workers whose measured difficulty is remembered (gauge).
    difficulty_hints,
    /// Measured difficulties forgotten at the bound before they were stored.
    difficulty_hints_dropped_total,
    /// Records made durable.
    log_records_total,
    /// fsyncs of the share log.
    log_syncs_total,
    /// Bytes of log not yet folded (gauge).
    log_backlog_bytes,
    /// Appends refused because the backlog is at its bound.
    log_full_total,
    /// Commits that the disk did not take, mostly because it is full; nothing of them was kept, and the senders were told.
    log_refused_total,
    /// Commits and tries that the share log's disk has answered, whatever the answer was.
    log_disk_answers_total,
    /// 1 while the disk does not take the share log (gauge).
    log_unwritable,
    /// 1 while shares cannot be booked because the share log is damaged, or not the database's (gauge).
    log_unreadable,
    /// Minutes that shares are booked ahead of the clock, which was set back; 0 as a rule (gauge).
    log_minutes_ahead,
    /// Minutes that shares are booked behind the clock, which leapt ahead and is not trusted yet; 0 as a rule (gauge).
    log_minutes_behind,
    /// Bytes of log that are folded and stay, for claims and audits (gauge).
    log_kept_bytes,
    /// Log files that went before their day was over, since they were too many or too large.
    log_removed_early_total,
    /// Refused definitions and records of the share log that are set aside, with all that refers to them (gauge).
    log_set_aside_items,
    /// Records of the share log that are set aside, since the database refuses them (gauge).
    log_set_aside_records,
    /// Records of the share log that were set aside.
    log_set_aside_total,
    /// Hashes recomputed.
    checks_total,
    /// Shares that were decided to be recomputed.
    checks_sampled_total,
    /// Recomputed shares that were not what they claimed.
    checks_failed_total,
    /// Hashes being recomputed now (gauge).
    checks_running,
    /// Checks owed for acknowledged shares and waiting for a lane (gauge).
    checks_owed,
    /// Block claims waiting for a lane (gauge).
    claims_waiting,
    /// Checks given up at the bound of what may be owed: those shares stay provisional.
    checks_forgone_total,
    /// Submits answered `server busy, retry` because too many block claims wait for their check.
    claims_refused_total,
    /// Block claims that the log did not take; they are looked at all the same, but their shares do not count.
    claims_unlogged_total,
    /// Shares that wait for their proof before they are acknowledged (gauge).
    proofs_waiting,
    /// Proofs refused because too many of the same pair or client wait, or the pair was refused meanwhile.
    proofs_refused_total,
    /// Proofs given up because nobody waits for them any more.
    proofs_abandoned_total,
    /// Stored shares that wait for an idle lane (gauge).
    rechecks_waiting,
    /// Stored shares chosen to be recomputed before a block is credited.
    rechecks_total,
    /// Stored shares given back because enough of them wait.
    rechecks_refused_total,
    /// Shares of cheaters that were voided.
    shares_voided_total,
    /// Verdicts that wait for the log (gauge). At the bound no hash is begun.
    verdicts_waiting,
    /// Times that no hash was begun because too many verdicts wait for the log.
    lanes_rested_total,
    /// Block candidates that wait for the submitter (gauge).
    candidates_waiting,
    /// Block candidates given up at the bound of what may wait for the submitter.
    candidates_forgone_total,
    /// Pairs of address and origin whose every share is proven before it is acknowledged (gauge).
    pairs_forced,
    /// Pairs whose shares are refused (gauge).
    pairs_quarantined,
    /// Pairs whose trust is remembered (gauge).
    pairs_known,
    /// Block candidates handed to the submitter.
    candidates_total,
    /// Blocks that the daemon accepted.
    blocks_accepted_total,
    /// Templates fetched.
    templates_total,
    /// Payouts whose money is reserved and that were not asked for yet (gauge).
    payouts_reserved,
    /// Payouts that the wallet may have sent (gauge).
    payouts_unknown,
    /// Payouts that wait for a block (gauge).
    payouts_broadcast,
    /// Payouts in blocks that are not deep enough (gauge).
    payouts_confirmed,
    /// Open payouts that an operator must look at (gauge).
    payouts_attention,
    /// Age of the oldest open payout (gauge).
    payouts_oldest_seconds,
    /// Due balances that cannot be paid: no valid address, the pool's own, or less than their fee (gauge).
    payouts_skipped,
    /// 1 while nothing is sent because payouts are off or the pause file exists (gauge).
    payouts_paused,
    /// 1 while nothing is sent because the wallet is not open and the pool cannot open it (gauge).
    payouts_wallet_shut,
    /// 1 while the wallet holds less than the pool owes (gauge).
    payouts_insolvent,
    /// Payouts that the wallet was seen to have sent.
    payouts_sent_total,
    /// Requests repeated with the same bytes under the same key.
    payouts_repeated_total,
    /// Payouts asked for again with the same inputs under a new key.
    payouts_replaced_total,
    /// Payouts that became final.
    payouts_settled_total,
    /// What their recipients got.
    payouts_settled_atoms_total,
    /// Payouts that could definitely not be sent.
    payouts_released_total,
    /// Payouts booked that the wallet had sent without these books.
    payouts_adopted_total,
    /// Sends of the wallet that the books do not know and that stop payouts (gauge).
    payouts_unknown_sends,
    /// Settled payouts that no block holds any more (gauge).
    payouts_displaced,
    /// Segments that were merged into their neighbours.
    retention_segments_total,
    /// Rows of rejects that were summed up by day.
    retention_rejects_total,
    /// Verdicts that were summed up by day.
    retention_verdicts_total,
    /// Share batches that were removed.
    retention_batches_total,
    /// Templates that were removed.
    retention_templates_total,
    /// Workers that were forgotten.
    retention_lines_total,
    /// Miners that were forgotten.
    retention_miners_total,
    /// Payouts that were summed up by day.
    retention_payouts_total,
    /// Clean-ups that were finished.
    retention_runs_total,
    /// When the last clean-up was finished, in seconds since the epoch; 0 for not since the start (gauge).
    retention_last_run_timestamp_seconds,
    /// Age of the oldest share batch (gauge).
    retention_oldest_batch_seconds,
    /// For how much longer than asked details are kept, since a block, a sweep or a host needs them (gauge).
    retention_held_seconds,
    /// New jobs: changes of the template's identity.
    template_pushes_total,
    /// Templates not taken because they build on a chain with less work than the current one.
    templates_older_total,
    /// Templates refused because they would pay another address than the pool's.
    templates_foreign_total,
    /// Times that another daemon was chosen to make the templates.
    daemon_switches_total,
}

impl Counters {
    /// Notes an accepted share's time.
    pub fn share_at(&self, at: Timestamp) {
        self.last_share_ms.fetch_max(at.ms(), Ordering::Relaxed);
    }
}
