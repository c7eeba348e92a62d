//! The money lease: taken and renewed for as long as the process runs, published as a fencing epoch.
use std::time::Duration;

use store::Store;
use tokio::sync::watch;
use tracing::{info, warn};

const NAME: &str = "money";
const TTL: Duration = Duration::from_secs(15);
const RENEW_EVERY: Duration = Duration::from_secs(4);

/// Keeps the lease until `stop` says so, then gives it back.
pub(crate) async fn keep(
    store: Store,
    holder: String,
    epoch: watch::Sender<Option<i64>>,
    mut stop: watch::Receiver<bool>,
) {
    loop {
        match store.lease_take(NAME, &holder, TTL).await {
            Ok(lease) => {
                let held = lease.map(|lease| lease.epoch);
                if epoch.send_replace(held) != held {
                    info!(epoch = held, "money lease");
                }
            }
            Err(error) => {
                // It may still be ours, but nothing is certain: write nothing.
                if epoch.send_replace(None).is_some() {
                    warn!(%error, "money lease could not be renewed");
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
        warn!(%error, "money lease was not given back; it runs out by itself");
    }
}
