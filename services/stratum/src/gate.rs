//! How many connections, in all and per client; how many submits per connection.
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Counts open connections. One for all arbiters; touched when a connection opens and closes, never by a share.
#[derive(Debug)]
pub(crate) struct Gate {
    max: u32,
    max_per_ip: u32,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    total: u32,
    per_ip: HashMap<IpAddr, u32>,
}

/// A connection's place; given back when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    gate: Arc<Gate>,
    client: IpAddr,
}

impl Gate {
    pub(crate) fn new(max: u32, max_per_ip: u32) -> Arc<Gate> {
        Arc::new(Gate { max, max_per_ip, open: Mutex::default() })
    }

    /// A place, or which limit stands in the way.
    pub(crate) fn enter(self: &Arc<Self>, client: IpAddr) -> Result<Place, &'static str> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.total >= self.max {
            return Err("too many connections, try again later");
        }
        let of_client = open.per_ip.entry(client).or_insert(0);
        if *of_client >= self.max_per_ip {
            return Err("too many connections from your address");
        }
        *of_client += 1;
        open.total += 1;
        Ok(Place { gate: Arc::clone(self), client })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.gate.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.total -= 1;
        if let Some(of_client) = open.per_ip.get_mut(&self.client) {
            *of_client -= 1;
            if *of_client == 0 {
                open.per_ip.remove(&self.client);
            }
        }
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
    fn a_place_is_given_back_when_its_connection_ends() {
        let gate = Gate::new(2, 1);
        let [one, two, three] = ["10.0.0.1", "10.0.0.2", "10.0.0.3"].map(|text| text.parse::<IpAddr>().unwrap());
        let first = gate.enter(one).unwrap();
        assert!(gate.enter(one).unwrap_err().contains("your address"));
        let _second = gate.enter(two).unwrap();
        assert!(gate.enter(three).unwrap_err().contains("too many connections"));
        drop(first);
        assert!(gate.enter(one).is_ok());
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
