//! Figures of the payouts that are open.
use std::time::Duration;

use messages::counters::Counters;
use store::payouts::{Intent, IntentState};
use units::Timestamp;

pub(crate) fn count_open(counters: &Counters, open: &[Intent], now: Timestamp) {
    let of = |state| count(open.iter().filter(|intent| intent.state == state).count());
    counters.payouts_reserved.set(of(IntentState::Reserved));
    counters.payouts_unknown.set(of(IntentState::Unknown));
    counters.payouts_broadcast.set(of(IntentState::Broadcast));
    counters.payouts_confirmed.set(of(IntentState::Confirmed));
    counters.payouts_attention.set(count(open.iter().filter(|intent| intent.attention.is_some()).count()));
    let oldest = open.iter().map(|intent| now.since(intent.created_at)).max().unwrap_or(Duration::ZERO);
    counters.payouts_oldest_seconds.set(oldest.as_secs());
}

fn count(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
