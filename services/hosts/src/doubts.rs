//! What the process notices about its own surroundings: who reads its log, and what its clock does.
use std::sync::Arc;
use std::time::Duration;

use boot::Log;
use instruments::Gauge;
use messages::conditions::{ConditionKind, Conditions};
use runtime::Task;

/// Soon enough for a fault to be visible within ten seconds.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Clocks are set right by less than this at any time.
const LEAP_MINUTES: u64 = 5;

/// Keeps these conditions up to date for as long as it is held.
pub(crate) fn watch(log: Log, minutes_behind: Gauge, conditions: Arc<Conditions>) -> Task {
    runtime::spawn(async move {
        let mut looks = tokio::time::interval(LOOK_EVERY);
        loop {
            looks.tick().await;
            conditions.put(ConditionKind::LogStalled, log.trouble());
            conditions.put(ConditionKind::ClockLeapt, leap(minutes_behind.get()));
        }
    })
}

fn leap(minutes: u64) -> Option<(String, String)> {
    let text = "the clock leapt ahead: shares are booked by the time before until it has stayed for 15 minutes";
    let detail = format!("{text}; they are {minutes} minutes behind it; look at what sets the clock");
    (minutes >= LEAP_MINUTES).then(|| (text.to_owned(), detail))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_leapt_is_named_and_one_that_is_set_right_is_not() {
        assert_eq!(leap(0), None);
        assert_eq!(leap(LEAP_MINUTES - 1), None);
        let (text, detail) = leap(60).unwrap();
        assert!(
            text.contains("clock leapt ahead") && !text.contains("60") && detail.contains("60 minutes"),
            "{detail}"
        );
    }
}
