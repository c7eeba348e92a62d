//! What this crate counts.
use instruments::{Counter, Gauge};

instruments::metrics! {
    /// Metrics of the checks of shares and of what follows from them.
    pub struct ValidationMetrics {
        /// Hashes recomputed.
        checks_total: Counter,
        /// Hashes computed again because the first one spoke against a miner.
        checks_repeated_total: Counter,
        /// Shares of which a lane computed two different hashes: its memory or another lane's is faulty.
        lane_faults_total: Counter,
        /// Shares chosen to be recomputed.
        checks_sampled_total: Counter,
        /// Recomputed shares that were not what they claimed.
        checks_failed_total: Counter,
        /// Hashes being recomputed now (gauge).
        checks_running: Gauge,
        /// Checks owed for acknowledged shares and waiting for a lane (gauge).
        checks_owed: Gauge,
        /// Block claims waiting for a lane (gauge).
        claims_waiting: Gauge,
        /// Checks dropped because too many were owed: those shares stay provisional.
        checks_forgone_total: Counter,
        /// Checks dropped because all work of their pair was voided.
        checks_void_total: Counter,
        /// Shares that wait for their proof before they are acknowledged (gauge).
        proofs_waiting: Gauge,
        /// Proofs refused because too many of the same pair or client wait, or the pair was refused meanwhile.
        proofs_refused_total: Counter,
        /// Proofs given up because nobody waits for them any more.
        proofs_abandoned_total: Counter,
        /// Stored shares that wait for an idle lane (gauge).
        rechecks_waiting: Gauge,
        /// Stored shares chosen to be recomputed before a block is credited.
        rechecks_total: Counter,
        /// Stored shares not taken for a recheck because enough of them wait.
        rechecks_refused_total: Counter,
        /// Shares of cheaters that were voided.
        shares_voided_total: Counter,
        /// Verdicts that wait for the share log (gauge). While too many wait, no hash is begun.
        verdicts_waiting: Gauge,
        /// Times that no hash was begun because too many verdicts wait for the share log.
        lanes_rested_total: Counter,
        /// Block candidates that wait for the submitter (gauge).
        candidates_waiting: Gauge,
        /// Block candidates dropped because too many were waiting for the submitter.
        candidates_forgone_total: Counter,
        /// Pairs of address and origin whose every share is proven before it is acknowledged (gauge).
        pairs_forced: Gauge,
        /// Pairs of address and origin whose shares are refused (gauge).
        pairs_quarantined: Gauge,
        /// Pairs of address and origin whose trust is remembered (gauge).
        pairs_known: Gauge,
        /// Block candidates handed to the submitter.
        candidates_total: Counter,
    }
}
