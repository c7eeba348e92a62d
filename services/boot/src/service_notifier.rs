//! What a service manager (systemd) hears of this process: that it serves, that it ends, and signs of life. Where none
//! listens, nothing is sent.
//!
//! A sign of life means that every event loop has turned since the last one. A process that hangs falls silent, and is
//! started again.
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use runtime::LoopProgress;
use sd_notify::NotifyState;
use tracing::warn;

/// Looks at the loops within the manager's patience: one that rests for a moment at the wrong time costs no life.
const LOOKS: u32 = 4;
/// How often the status is told to a manager that wants no signs of life.
const STATUS_EVERY: Duration = Duration::from_secs(15);

/// The service manager that started this process, if one did.
pub struct ServiceNotifier {
    is_there: bool,
    stopping: Arc<AtomicBool>,
}

impl ServiceNotifier {
    /// As the environment names it (`NOTIFY_SOCKET`).
    #[must_use]
    pub fn of_process() -> ServiceNotifier {
        let is_there = std::env::var_os("NOTIFY_SOCKET").is_some();
        ServiceNotifier { is_there, stopping: Arc::default() }
    }

    /// Says that the process serves, and from now on, from a thread of its own, that all loops turn, with a short line
    /// on how things are. Says nothing once the process stops.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn ready(
        &self,
        pulses: Vec<Arc<LoopProgress>>,
        status: impl Fn() -> String + Send + 'static,
    ) -> std::io::Result<()> {
        if !self.is_there || self.stopping.load(Ordering::Relaxed) {
            return Ok(());
        }
        send(&[NotifyState::Ready, NotifyState::Status(&status())]);
        let (stopping, patience) = (Arc::clone(&self.stopping), sd_notify::watchdog_enabled());
        let mut vitals = Liveness::new(pulses);
        let look = move || {
            loop {
                std::thread::sleep(patience.map_or(STATUS_EVERY, |patience| patience / LOOKS));
                match vitals.look() {
                    Some(still) => {
                        warn!(still, "event loop stalled: watchdog notification withheld")
                    }
                    None if patience.is_some() => send(&[NotifyState::Watchdog]),
                    None => {}
                }
                if !stopping.load(Ordering::Relaxed) {
                    send(&[NotifyState::Status(&status())]);
                }
            }
        };
        std::thread::Builder::new().name("manager".to_owned()).spawn(look).map(drop)
    }

    /// Says that the process ends, and why. Signs of life go on.
    pub fn stopping(&self, why: &str) {
        if self.is_there && !self.stopping.swap(true, Ordering::Relaxed) {
            send(&[NotifyState::Stopping, NotifyState::Status(&format!("stopping: {why}"))]);
        }
    }
}

fn send(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        warn!(%error, "service manager notification failed");
    }
}

/// Loops, and where their pulses were when all of them last had moved.
struct Liveness(Vec<(Arc<LoopProgress>, u64)>);

impl Liveness {
    fn new(pulses: Vec<Arc<LoopProgress>>) -> Liveness {
        Liveness(pulses.into_iter().map(|pulse| (pulse, 0)).collect())
    }

    /// A loop that has not turned since the last look that found none.
    fn look(&mut self) -> Option<&'static str> {
        let now: Vec<u64> = self.0.iter().map(|(pulse, _)| pulse.beats()).collect();
        let stands = |((_, before), now): &(&(Arc<LoopProgress>, u64), &u64)| **now != 0 && *now == before;
        if let Some(((pulse, _), _)) = self.0.iter().zip(&now).find(stands) {
            return Some(pulse.name());
        }
        self.0.iter_mut().zip(now).for_each(|((_, before), now)| *before = now);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_loop_that_stands_still_is_named_until_it_turns_again() {
        runtime::block_on(async {
            let (one, two) = (LoopProgress::new("one"), LoopProgress::new("two"));
            let mut vitals = Liveness::new(vec![Arc::clone(&one), Arc::clone(&two)]);
            assert_eq!(vitals.look(), None, "loops that do not run yet are nobody's trouble");
            let beat = |pulse: &Arc<LoopProgress>| {
                let pulse = Arc::clone(pulse);
                runtime::spawn(async move { pulse.beat(Duration::from_millis(1)).await })
            };
            let turned = async |pulse: &Arc<LoopProgress>, since: u64| {
                while pulse.beats() <= since {
                    tokio::task::yield_now().await;
                }
            };
            let tasks = [beat(&one), beat(&two)];
            turned(&one, 0).await;
            turned(&two, 0).await;
            assert_eq!(vitals.look(), None);
            // Nothing turns while this thread does not come back to its loop.
            assert_eq!(vitals.look(), Some("one"));
            assert_eq!(vitals.look(), Some("one"));
            turned(&one, one.beats()).await;
            turned(&two, two.beats()).await;
            assert_eq!(vitals.look(), None);
            drop(tasks);
            while one.beats() + two.beats() > 0 {
                tokio::task::yield_now().await;
            }
            assert_eq!([vitals.look(), vitals.look()], [None, None], "loops that have ended are not missed");
        });
    }
}
