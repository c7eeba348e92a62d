//! When to make an actor anew, and when to stop trying. Pure: no clock, no actor.
use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// Whether a failed actor is made anew at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restart {
    /// Within its budget, always.
    Permanent,
    /// Its first failure spends the budget.
    Never,
}

/// What follows when the budget is spent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnExhausted {
    /// The host cannot do its job without this actor: the process drains the others and ends.
    StopHost,
    /// The host goes on without it and tries once more after each cool-off.
    Degrade {
        /// The time between two tries.
        cool_off: Duration,
    },
}

/// How an actor is kept alive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Whether it is made anew.
    pub restart: Restart,
    /// The budget: restarts within `within`. One failure more spends it.
    pub max_restarts: u32,
    /// The window of the budget.
    pub within: Duration,
    /// Rest before the first restart; doubles with every failure in the window.
    pub backoff_min: Duration,
    /// The longest rest.
    pub backoff_max: Duration,
    /// What follows when the budget is spent.
    pub on_exhausted: OnExhausted,
    /// `open` or one message in hand for longer than this is a stall, and the generation is aborted.
    /// An arbiter that does not turn at all for twice as long is the watchdog's case.
    pub stall_after: Duration,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum FailureResponse {
    RestartAfter(Duration),
    CoolOff(Duration),
    StopHost,
}

/// The failures of one actor that still count.
#[derive(Debug, Default)]
pub(crate) struct History {
    failures: VecDeque<Instant>,
    /// Until then the actor is on trial after a cool-off: one failure sends it back.
    trial_ends: Option<Instant>,
}

impl History {
    /// Judges a failure that happened at `now`.
    pub(crate) fn judge(&mut self, policy: &Policy, now: Instant) -> FailureResponse {
        self.failures.retain(|at| now.duration_since(*at) < policy.within);
        let on_trial = self.trial_ends.is_some_and(|ends| now < ends);
        let failures = u32::try_from(self.failures.len()).unwrap_or(u32::MAX);
        if policy.restart == Restart::Never || on_trial || failures >= policy.max_restarts {
            return self.exhausted(policy, now);
        }
        self.failures.push_back(now);
        let factor = 2u32.saturating_pow(failures);
        FailureResponse::RestartAfter(policy.backoff_min.saturating_mul(factor).min(policy.backoff_max))
    }

    fn exhausted(&mut self, policy: &Policy, now: Instant) -> FailureResponse {
        match policy.on_exhausted {
            OnExhausted::StopHost => FailureResponse::StopHost,
            OnExhausted::Degrade { cool_off } => {
                self.failures.clear();
                self.trial_ends = Some(now + cool_off + policy.within);
                FailureResponse::CoolOff(cool_off)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: Policy = Policy {
        restart: Restart::Permanent,
        max_restarts: 3,
        within: Duration::from_secs(60),
        backoff_min: Duration::from_millis(200),
        backoff_max: Duration::from_millis(500),
        on_exhausted: OnExhausted::StopHost,
        stall_after: Duration::from_secs(30),
    };
    const COOL_OFF: Duration = Duration::from_secs(300);
    const DEGRADE: Policy = Policy { on_exhausted: OnExhausted::Degrade { cool_off: COOL_OFF }, ..POLICY };

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    #[test]
    fn rests_double_up_to_the_longest_and_then_the_budget_is_spent() {
        let (mut history, now) = (History::default(), Instant::now());
        for rest_ms in [200, 400, 500] {
            assert_eq!(history.judge(&POLICY, now), FailureResponse::RestartAfter(Duration::from_millis(rest_ms)));
        }
        assert_eq!(history.judge(&POLICY, now), FailureResponse::StopHost);
    }

    #[test]
    fn old_failures_do_not_count() {
        let (mut history, start) = (History::default(), Instant::now());
        for failure in 0..100 {
            let verdict = history.judge(&POLICY, start + seconds(20) * failure);
            assert!(matches!(verdict, FailureResponse::RestartAfter(_)), "failure {failure}: {verdict:?}");
        }
    }

    #[test]
    fn an_actor_that_is_never_restarted_spends_its_budget_at_once() {
        let never = Policy { restart: Restart::Never, ..POLICY };
        assert_eq!(History::default().judge(&never, Instant::now()), FailureResponse::StopHost);
    }

    #[test]
    fn after_a_cool_off_there_is_one_try() {
        let (mut history, mut now) = (History::default(), Instant::now());
        for _ in 0..3 {
            assert!(matches!(history.judge(&DEGRADE, now), FailureResponse::RestartAfter(_)));
        }
        for _ in 0..5 {
            assert_eq!(history.judge(&DEGRADE, now), FailureResponse::CoolOff(COOL_OFF));
            now += COOL_OFF + seconds(1);
        }
    }

    #[test]
    fn a_try_that_held_for_a_window_restores_the_budget() {
        let (mut history, mut now) = (History::default(), Instant::now());
        for _ in 0..4 {
            history.judge(&DEGRADE, now);
        }
        now += COOL_OFF + DEGRADE.within;
        for _ in 0..3 {
            assert!(matches!(history.judge(&DEGRADE, now), FailureResponse::RestartAfter(_)));
        }
        assert_eq!(history.judge(&DEGRADE, now), FailureResponse::CoolOff(COOL_OFF));
    }

    #[test]
    fn a_huge_budget_does_not_overflow_the_rest() {
        let generous = Policy { max_restarts: u32::MAX, ..POLICY };
        let (mut history, now) = (History::default(), Instant::now());
        for _ in 0..100 {
            history.judge(&generous, now);
        }
        assert_eq!(history.judge(&generous, now), FailureResponse::RestartAfter(POLICY.backoff_max));
    }
}
