//! Every limit that has no key in the settings, and the two ways to count against one. None of these applies to
//! loopback, unless a PROXY header names the client; only what is held at once is bounded for everybody.
use std::time::{Duration, Instant};

use settings::StratumSettings;

/// From accept to a successful login.
pub(crate) const LOGIN_DEADLINE: Duration = Duration::from_secs(30);
/// From accept to the end of a trusted peer's PROXY header.
pub(crate) const PROXY_DEADLINE: Duration = Duration::from_secs(5);
/// From the first byte of TLS to the end of the handshake.
pub(crate) const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(10);
/// PROXY headers awaited at once.
pub(crate) const PROXY_HEADERS_AT_ONCE: usize = 1024;
/// TLS handshakes at once: each holds tens of KiB and costs a signature.
pub(crate) const HANDSHAKES_AT_ONCE: usize = 1024;
/// Refused connections that are told so and closed later; beyond it they are closed without a word.
pub(crate) const REFUSALS_AT_ONCE: u32 = 1024;
/// Connections of one network, as a multiple of `max_connections_per_ip`.
const CLIENTS_PER_PREFIX: u32 = 16;
/// Logins of one connection: at once, and after that one every so often.
pub(crate) const LOGINS: Rate = Rate { every: Duration::from_secs(6), burst: 10 };
/// Lines of one connection that are no request.
pub(crate) const INVALID_LINES: Rate = Rate { every: Duration::from_secs(2), burst: 30 };
/// Connections of one client that were closed for abuse, before it is banned: about eight in ten minutes.
pub(crate) const STRIKES: Rate = Rate { every: Duration::from_secs(75), burst: 8 };
/// Different payout addresses of one client within [`NAMES_PERIOD`], as a multiple of `max_connections_per_ip`.
const ADDRESSES_PER_CONNECTION: u32 = 4;
/// The same for workers: address and name.
const WORKERS_PER_CONNECTION: u32 = 16;
/// How long names count.
pub(crate) const NAMES_PERIOD: Duration = Duration::from_secs(3600);
/// Bytes a second that every connection may send, and more where the submit rate allows more.
const BYTES_PER_SECOND_MIN: u32 = 32 * 1024;
/// Bytes of one submit, generously.
const BYTES_PER_SUBMIT: u32 = 512;
/// Submits that one client may send beyond the rate of its connections, as a multiple of `submit_rate_max`: while a
/// fast miner's difficulty is still to be found, its shares come as fast as it finds them.
const SURPLUS: u32 = 8;
/// Shares over the rate that are taken note of until the next job: more than it takes to get a harder one.
pub(crate) const EXCESS_MAX: usize = 128;
/// Bytes that it may send at once.
const BYTES_AT_ONCE: u32 = 256 * 1024;

/// The limits that follow from the settings.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) total: u32,
    pub(crate) per_client: u32,
    pub(crate) per_prefix: u32,
    /// Connections that one client may begin.
    pub(crate) connects: Rate,
    /// Logins of one client, over all its connections.
    pub(crate) logins: Rate,
    pub(crate) addresses: usize,
    pub(crate) workers: usize,
    /// Workers of one network that are new to their client.
    pub(crate) names: Rate,
    /// Submits of one client, over all its connections, that their own rate does not allow.
    pub(crate) surplus: Rate,
    pub(crate) bytes: Rate,
}

impl Limits {
    pub(crate) fn of(settings: &StratumSettings) -> Limits {
        let per_client = settings.max_connections_per_ip.max(1);
        let window = settings.submit_rate_window.max(Duration::from_secs(1));
        let submits = f64::from(settings.submit_rate_max) / window.as_secs_f64();
        let bytes = (submits * f64::from(BYTES_PER_SUBMIT)).max(f64::from(BYTES_PER_SECOND_MIN));
        let names = per_client.saturating_mul(CLIENTS_PER_PREFIX * WORKERS_PER_CONNECTION);
        let many = |factor: u32| usize::try_from(per_client.saturating_mul(factor)).unwrap_or(usize::MAX);
        Limits {
            total: settings.max_connections,
            per_client,
            per_prefix: per_client.saturating_mul(CLIENTS_PER_PREFIX),
            // A whole farm may come at once, and again; the rest waits its turn.
            connects: Rate { every: Duration::from_secs(4) / per_client, burst: per_client.saturating_mul(4) },
            logins: Rate { every: Duration::from_secs(4) / per_client, burst: per_client.saturating_mul(8) },
            addresses: many(ADDRESSES_PER_CONNECTION),
            workers: many(WORKERS_PER_CONNECTION),
            names: Rate { every: NAMES_PERIOD / names, burst: names },
            surplus: Rate {
                every: window / settings.submit_rate_max.max(1),
                burst: settings.submit_rate_max.saturating_mul(SURPLUS),
            },
            bytes: Rate {
                every: Duration::from_secs_f64(1.0 / bytes),
                burst: BYTES_AT_ONCE.max((submits as u32).saturating_mul(BYTES_PER_SUBMIT)),
            },
        }
    }
}

/// So many at once, and one more `every` so often.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rate {
    pub(crate) every: Duration,
    pub(crate) burst: u32,
}

/// What was used up of a [`Rate`]: the moment up to which everything is paid for.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Pace(Option<Instant>);

impl Pace {
    /// Whether `n` more at `now` keep within `rate`. Refused ones do not count.
    pub(crate) fn admit(&mut self, n: u32, now: Instant, rate: Rate) -> bool {
        let from = self.0.map_or(now, |paid| paid.max(now));
        let to = from + rate.every * n;
        let admitted = to.duration_since(now) <= rate.every * rate.burst;
        if admitted {
            self.0 = Some(to);
        }
        admitted
    }

    /// Whether nothing is used up any more.
    pub(crate) fn is_fresh(self, now: Instant) -> bool {
        self.0.is_none_or(|paid| paid <= now)
    }
}

/// A sliding window over submits, in constant memory: the last whole window is assumed to have been even.
#[derive(Debug)]
pub(crate) struct RateWindow {
    started: Instant,
    now: u32,
    before: u32,
}

impl RateWindow {
    pub(crate) fn new(started: Instant) -> RateWindow {
        RateWindow { started, now: 0, before: 0 }
    }

    /// Whether one more at `at` keeps within `max` per `window`. A refused one does not count.
    pub(crate) fn admit(&mut self, at: Instant, max: u32, window: Duration) -> bool {
        let elapsed = at.saturating_duration_since(self.started);
        if elapsed >= window * 2 {
            *self = RateWindow::new(at);
        } else if elapsed >= window {
            *self = RateWindow { started: self.started + window, now: 0, before: self.now };
        }
        let into = at.saturating_duration_since(self.started).as_millis();
        let whole = window.as_millis().max(1);
        let carried = u128::from(self.before) * whole.saturating_sub(into) / whole;
        let admitted = carried + u128::from(self.now) < u128::from(max);
        self.now += u32::from(admitted);
        admitted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pace_lets_its_burst_through_at_once_and_then_one_at_a_time() {
        let (start, rate) = (Instant::now(), Rate { every: Duration::from_secs(2), burst: 5 });
        let mut pace = Pace::default();
        assert_eq!((0..20).filter(|_| pace.admit(1, start, rate)).count(), 5);
        assert!(!pace.admit(1, start + Duration::from_secs(1), rate));
        assert!(pace.admit(1, start + Duration::from_secs(2), rate));
        let much_later = start + Duration::from_secs(100);
        assert!(pace.is_fresh(much_later) && pace.admit(5, much_later, rate) && !pace.is_fresh(much_later));
    }

    #[test]
    fn a_farm_may_come_back_at_once_and_bytes_follow_the_submit_rate() {
        let mut settings = StratumSettings { max_connections_per_ip: 1000, ..StratumSettings::default() };
        let limits = Limits::of(&settings);
        assert_eq!((limits.connects.burst, limits.per_prefix), (4000, 16_000));
        assert_eq!(limits.bytes.burst, BYTES_AT_ONCE);
        settings.submit_rate_max = 100_000;
        assert!(Limits::of(&settings).bytes.burst > BYTES_AT_ONCE);
    }

    #[test]
    fn a_window_lets_its_maximum_through_and_no_more() {
        let start = Instant::now();
        let window = Duration::from_secs(10);
        let mut rate = RateWindow::new(start);
        let passed = (0..300).filter(|_| rate.admit(start, 120, window)).count();
        assert_eq!(passed, 120);
        assert!(!rate.admit(start + Duration::from_secs(9), 120, window));
        let later = start + Duration::from_secs(15);
        let passed = (0..300).filter(|_| rate.admit(later, 120, window)).count();
        assert_eq!(passed, 60, "half of the window before still counts");
        assert!(rate.admit(start + Duration::from_secs(60), 120, window));
    }
}
