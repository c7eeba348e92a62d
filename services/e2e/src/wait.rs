//! Waiting on a state, never for a time.
use std::fmt::Debug;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use rand::Rng;

const LOOK_EVERY: Duration = Duration::from_millis(40);

/// Looks until there is something, and returns it.
///
/// # Panics
/// When there is nothing `within` the time.
pub fn wait_for<T>(what: &str, within: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let give_up_at = Instant::now() + within;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < give_up_at, "waited {within:?} for {what}");
        std::thread::sleep(LOOK_EVERY);
    }
}

/// Looks until it is so.
///
/// # Panics
/// When it is not so `within` the time.
pub fn wait_until(what: &str, within: Duration, mut look: impl FnMut() -> bool) {
    wait_for(what, within, || look().then_some(()));
}

/// Looks until nothing is left.
///
/// # Panics
/// When something is left after that time; says what.
pub fn wait_gone<T: Debug>(what: &str, within: Duration, mut look: impl FnMut() -> Vec<T>) {
    let give_up_at = Instant::now() + within;
    loop {
        let left = look();
        if left.is_empty() {
            return;
        }
        assert!(Instant::now() < give_up_at, "waited {within:?} for the end of {what}, left: {left:#?}");
        std::thread::sleep(LOOK_EVERY);
    }
}

/// A port that nobody has, below those that the system gives to connections, so that none is taken away again.
///
/// # Panics
/// When the machine has none.
#[must_use]
pub fn free_port() -> u16 {
    let is_free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    let mut chance = rand::rng();
    (0..200).map(|_| chance.random_range(10_000..32_000)).find(is_free).expect("a machine has a free port")
}
