//! The money lease: taken and renewed for as long as the process runs, published as a fencing epoch.
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use messages::conditions::described;
use rand::Rng;
use store::Store;
use tokio::sync::watch;
use tracing::{info, warn};

const NAME: &str = "money";
const TTL: Duration = Duration::from_secs(15);
const RENEW_EVERY: Duration = Duration::from_secs(4);

/// When some host was last seen to hold the lease: each renewal, and each look at another's, is a write that the
/// database took.
pub(crate) struct Renewals(Mutex<(Option<Instant>, Option<String>)>);

impl Renewals {
    /// Nobody in this process has begun to ask for the lease.
    pub(crate) fn new() -> Arc<Renewals> {
        Arc::new(Renewals(Mutex::new((None, None))))
    }

    /// How long ago that was, and why the last try failed, if it did. No time at all while nobody asks for it here.
    pub(crate) fn age(&self) -> (Duration, Option<String>) {
        let (at, why) = &*self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (at.map_or(Duration::ZERO, |at| at.elapsed()), why.clone())
    }

    fn note(&self, failed: Option<String>) {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match failed {
            None => *last = (Some(Instant::now()), None),
            failed => last.1 = failed,
        }
    }
}

/// Keeps the lease until `stop` says so, then gives it back.
pub(crate) async fn keep(
    store: Store,
    host: String,
    epoch: watch::Sender<Option<i64>>,
    renewals: Arc<Renewals>,
    mut stop: watch::Receiver<bool>,
) {
    // A copied data directory has the same host's name in it, and the same holder would get the same epoch.
    let holder = format!("{host}:{}", hex::encode(rand::rng().random::<[u8; 8]>()));
    renewals.note(None);
    loop {
        match store.lease_take(NAME, &holder, TTL).await {
            Ok(lease) => {
                renewals.note(None);
                let held = lease.map(|lease| lease.epoch);
                if epoch.send_replace(held) != held {
                    info!(epoch = held, "money lease");
                }
            }
            Err(error) => {
                renewals.note(Some(described(&error)));
                // It may still be ours, but nothing is certain: write nothing.
                if epoch.send_replace(None).is_some() {
                    warn!(%error, "money lease renewal failed");
                }
            }
        }
        tokio::select! {
            () = tokio::time::sleep(RENEW_EVERY) => {}
            // An error means that whoever could stop us is gone, which is the same.
            _stopped = stop.wait_for(|stop| *stop) => break,
        }
    }
    let held = epoch.send_replace(None);
    if let Some(held) = held
        && let Err(error) = store.lease_release(NAME, &holder, held).await
    {
        warn!(%error, "money lease not released; it expires by itself");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_runs_of_one_host_do_not_hold_the_lease_together() {
        let dir = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", dir.path().join("pool.sqlite").display());
        Store::migrate(&url).unwrap();
        let store = Store::open(&url, 2).unwrap();
        runtime::block_on(async {
            let (stopping, stop) = watch::channel(false);
            let start = || {
                let (sender, mut held) = watch::channel(Some(-1));
                held.mark_unchanged();
                (tokio::spawn(keep(store.clone(), "host".to_owned(), sender, Renewals::new(), stop.clone())), held)
            };
            let (first, mut of_first) = start();
            of_first.changed().await.unwrap();
            let (second, mut of_second) = start();
            of_second.changed().await.unwrap();
            let held = of_first.borrow().expect("the first one holds it");
            assert_eq!(*of_second.borrow(), None);
            stopping.send_replace(true);
            first.await.unwrap();
            second.await.unwrap();
            // Given back: the next run need not wait.
            let next = store.lease_take(NAME, "next", TTL).await.unwrap().unwrap();
            assert!(next.epoch > held);
        });
    }
}
