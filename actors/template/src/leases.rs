//! Keeping the daemons' names of templates valid while miners work on them.
use std::rc::Rc;
use std::time::Duration;

use daemon::DaemonError;
use runtime::spawn;
use tracing::debug;
use units::Timestamp;

use crate::follow::Follower;

/// A lease is renewed this long before it ends.
const RENEW_AHEAD: Duration = Duration::from_secs(120);

impl Follower {
    pub(crate) fn soon(&self) -> Timestamp {
        (self.parts.clock)().plus(RENEW_AHEAD)
    }

    /// Keeps the leases of templates that miners still work on, so that their blocks can be submitted by name. Beside
    /// the looks: a daemon that is validating a block answers late, and the next job must not wait for that.
    pub(crate) fn renew_leases(self: &Rc<Self>) {
        if self.renewing.borrow().as_ref().is_some_and(|task| !task.is_finished()) {
            return;
        }
        let ending = self.parts.published.leases_ending(self.soon());
        if ending.is_empty() {
            return;
        }
        let this = Rc::clone(self);
        let task = spawn(async move {
            for (issuer, id) in ending {
                this.renew(issuer, &id).await;
            }
        });
        self.renewing.replace(Some(task));
    }

    async fn renew(&self, issuer: usize, id: &str) {
        let Some(node) = self.nodes.get(issuer) else { return };
        if node.no_renewals.get() {
            return;
        }
        let published = &self.parts.published;
        match node.client.renew_template(id).await {
            Ok(ends) => published.lease_is(issuer, id, Some(ends)),
            Err(DaemonError::NoSuchRoute { .. }) => node.no_renewals.set(true),
            Err(error) if error.is_unreachable() => debug!(%error, "lease not renewed now"),
            Err(_) => published.lease_is(issuer, id, None), // Gone or stale: the full form remains.
        }
    }
}
