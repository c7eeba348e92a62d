//! What keeps callers from asking too often: token buckets, gates, and the delay after a wrong password.
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Tokens per caller that come back at a steady rate.
#[derive(Debug)]
pub(crate) struct Bucket {
    token_every_ms: i64,
    burst: i64,
    /// When the caller's bucket will be full again.
    full_at_ms: HashMap<IpAddr, i64>,
}

impl Bucket {
    pub(crate) fn new(token_every_ms: i64, burst: i64) -> Bucket {
        Bucket { token_every_ms, burst, full_at_ms: HashMap::new() }
    }

    /// Takes a token if there is one.
    pub(crate) fn take(&mut self, caller: IpAddr, now_ms: i64) -> bool {
        let full_at_ms = self.full_at_ms.entry(caller).or_insert(now_ms);
        // A clock that was set back must not lock the caller out for longer than an empty bucket does.
        let empty_until_ms = now_ms.saturating_add(self.token_every_ms * self.burst);
        let start_ms = (*full_at_ms).clamp(now_ms, empty_until_ms);
        let after_ms = start_ms + self.token_every_ms;
        let has_token = after_ms <= empty_until_ms;
        if has_token {
            *full_at_ms = after_ms;
        }
        has_token
    }
}

/// At most so many at a time.
#[derive(Clone, Debug)]
pub(crate) struct ConnectionLimiter {
    places: usize,
    taken: Arc<AtomicUsize>,
}

/// A place behind a gate; dropping it gives it back.
#[derive(Debug)]
pub(crate) struct ConnectionPermit(Arc<AtomicUsize>);

impl ConnectionLimiter {
    pub(crate) fn new(places: usize) -> ConnectionLimiter {
        ConnectionLimiter { places, taken: Arc::default() }
    }

    pub(crate) fn enter(&self) -> Option<ConnectionPermit> {
        let enter = |taken| (taken < self.places).then_some(taken + 1);
        self.taken.fetch_update(Ordering::AcqRel, Ordering::Acquire, enter).ok()?;
        Some(ConnectionPermit(Arc::clone(&self.taken)))
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

const UNLOCK_DELAY_MS_MIN: i64 = 250;
const UNLOCK_DELAY_MS_MAX: i64 = 5000;
const UNLOCK_FAILURES_MAX: u32 = 8;
const UNLOCK_LOCKOUT_MS: i64 = 30_000;

/// Why a password is not even looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct UnlockRefusal {
    pub(crate) text: &'static str,
    pub(crate) retry_after_secs: i64,
}

#[derive(Debug, Default)]
struct Failures {
    count: u32,
    delay_until_ms: i64,
    locked_until_ms: i64,
}

/// Wrong passwords per caller.
#[derive(Debug, Default)]
pub(crate) struct UnlockBackoff(HashMap<IpAddr, Failures>);

impl UnlockBackoff {
    /// Whether the caller may try now.
    pub(crate) fn check(&mut self, caller: IpAddr, now_ms: i64) -> Result<(), UnlockRefusal> {
        let Some(failures) = self.0.get(&caller) else { return Ok(()) };
        let wait_secs = |until_ms: i64| (until_ms.saturating_sub(now_ms) + 999).div_euclid(1000).max(1);
        if failures.locked_until_ms > now_ms {
            let retry_after_secs = wait_secs(failures.locked_until_ms);
            return Err(UnlockRefusal { text: "too many unlock attempts; try again later", retry_after_secs });
        }
        if failures.delay_until_ms > now_ms {
            let retry_after_secs = wait_secs(failures.delay_until_ms);
            return Err(UnlockRefusal { text: "unlock backoff active; retry later", retry_after_secs });
        }
        Ok(())
    }

    /// Counts a wrong password. The answer waits for the returned milliseconds; `Err` when the caller is locked out.
    pub(crate) fn fail(&mut self, caller: IpAddr, now_ms: i64) -> Result<i64, UnlockRefusal> {
        let failures = self.0.entry(caller).or_default();
        failures.count += 1;
        if failures.count >= UNLOCK_FAILURES_MAX {
            failures.count = 0;
            failures.locked_until_ms = now_ms + UNLOCK_LOCKOUT_MS;
            return Err(UnlockRefusal {
                text: "too many unlock attempts; try again later",
                retry_after_secs: UNLOCK_LOCKOUT_MS / 1000,
            });
        }
        let delay_ms = (UNLOCK_DELAY_MS_MIN << (failures.count - 1)).min(UNLOCK_DELAY_MS_MAX);
        failures.delay_until_ms = now_ms + delay_ms;
        Ok(delay_ms)
    }

    /// A right password forgives all.
    pub(crate) fn succeed(&mut self, caller: IpAddr) {
        self.0.remove(&caller);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    const CALLER: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    #[test]
    fn a_burst_empties_the_bucket_and_time_fills_it() {
        let mut bucket = Bucket::new(500, 4);
        let taken = |bucket: &mut Bucket, now_ms| (0..6).filter(|_| bucket.take(CALLER, now_ms)).count();
        assert_eq!(taken(&mut bucket, 0), 4);
        assert_eq!(taken(&mut bucket, 499), 0);
        assert_eq!(taken(&mut bucket, 1000), 2);
        assert_eq!(taken(&mut bucket, 100_000), 4);
    }

    #[test]
    fn a_gate_gives_a_place_back_when_it_is_dropped() {
        let gate = ConnectionLimiter::new(1);
        let place = gate.enter();
        assert!(place.is_some() && gate.enter().is_none());
        drop(place);
        assert!(gate.enter().is_some());
    }

    #[test]
    fn wrong_passwords_double_the_delay_and_the_eighth_locks_out() {
        let mut backoff = UnlockBackoff::default();
        let delays: Vec<_> =
            (0..8).map(|_| backoff.fail(CALLER, 0).map_err(|refusal| refusal.retry_after_secs)).collect();
        assert_eq!(delays, [Ok(250), Ok(500), Ok(1000), Ok(2000), Ok(4000), Ok(5000), Ok(5000), Err(30)]);
        assert!(backoff.check(CALLER, 29_999).is_err());
        assert!(backoff.check(CALLER, 30_000).is_ok());
    }
}
