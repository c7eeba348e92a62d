//! Block claims that an actor has lost by starting afresh.
use messages::share_ledger::ReopenClaims;
use runtime::{Actor, ActorRef, Recipient, Task};
use tracing::warn;

/// Whoever was looking at block claims has lost them when it starts afresh: the log hands them on again.
pub(crate) fn reopen_after_restart<A: Actor>(actor: &ActorRef<A>, ledger: Recipient<ReopenClaims>) -> Task {
    let mut status = actor.watch();
    runtime::spawn(async move {
        let mut generation = 1;
        while status.changed().await.is_ok() {
            let now = status.borrow_and_update().generation;
            if now > generation.max(1) && ledger.tell(ReopenClaims).is_err() {
                warn!("open block claims not restored; a restart of the pool restores them");
            }
            generation = generation.max(now);
        }
    })
}
