//! What this crate counts.
use std::time::Duration;

use instruments::{Counter, Gauge};
use store::payouts::{Intent, IntentState};
use units::Timestamp;

instruments::metrics! {
    /// Metrics of payouts.
    pub struct PayoutMetrics {
        /// Payouts whose money is reserved and that the wallet was not asked to send yet (gauge).
        payouts_reserved: Gauge,
        /// Payouts that the wallet may have sent (gauge).
        payouts_unknown: Gauge,
        /// Payouts that wait for a block (gauge).
        payouts_broadcast: Gauge,
        /// Payouts in blocks that are not deep enough (gauge).
        payouts_confirmed: Gauge,
        /// Open payouts that an operator must look at (gauge).
        payouts_attention: Gauge,
        /// Age of the oldest open payout, in seconds (gauge).
        payouts_oldest_seconds: Gauge,
        /// Due balances that cannot be paid: no valid address, the pool's own, or less than their fee (gauge).
        payouts_skipped: Gauge,
        /// 1 while nothing is sent because payouts are off or the pause file exists (gauge).
        payouts_paused: Gauge,
        /// 1 while nothing is sent because the wallet is not open and the pool cannot open it (gauge).
        payouts_wallet_shut: Gauge,
        /// 1 while the wallet holds less than the pool owes (gauge).
        payouts_insolvent: Gauge,
        /// Payouts that the wallet was seen to have sent.
        payouts_sent_total: Counter,
        /// Payout requests repeated with the same bytes under the same idempotency key.
        payouts_repeated_total: Counter,
        /// Payouts requested again with the same inputs under a new idempotency key.
        payouts_replaced_total: Counter,
        /// Payouts settled: their block is deep enough.
        payouts_settled_total: Counter,
        /// Amount that recipients got from settled payouts, in atoms.
        payouts_settled_atoms_total: Counter,
        /// Payouts that could definitely not be sent.
        payouts_released_total: Counter,
        /// Payouts that the wallet had sent and the books did not have, booked afterwards.
        payouts_adopted_total: Counter,
        /// Sends of the wallet that the books do not know and that stop payouts (gauge).
        payouts_unknown_sends: Gauge,
        /// Settled payouts that no block holds any more (gauge).
        payouts_displaced: Gauge,
    }
}

/// Counts the payouts that are open.
pub(crate) fn count_open(metrics: &PayoutMetrics, open: &[Intent], now: Timestamp) {
    let of = |state| count(open.iter().filter(|intent| intent.state == state).count());
    metrics.payouts_reserved.set(of(IntentState::Reserved));
    metrics.payouts_unknown.set(of(IntentState::Unknown));
    metrics.payouts_broadcast.set(of(IntentState::Broadcast));
    metrics.payouts_confirmed.set(of(IntentState::Confirmed));
    metrics.payouts_attention.set(count(open.iter().filter(|intent| intent.attention.is_some()).count()));
    let oldest = open.iter().map(|intent| now.since(intent.created_at)).max().unwrap_or(Duration::ZERO);
    metrics.payouts_oldest_seconds.set(oldest.as_secs());
}

fn count(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
