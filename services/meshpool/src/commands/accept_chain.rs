//! `meshpool accept-chain`: gives up a chain with more work than the daemon has.
use std::process::ExitCode;
use std::time::SystemTime;

use settings::Settings;
use units::Timestamp;

use crate::database::with_store;
use crate::output::{confirmed, say};

/// Says what is given up, and asks. A running pool takes note of it while it waits.
pub(crate) fn run(settings: &Settings, yes: bool) -> ExitCode {
    with_store(settings, async |store| {
        let Some(best) = store.best_chain_get().await?.filter(|best| best.work > 0) else {
            say("no chain was waited for");
            return Ok(ExitCode::SUCCESS);
        };
        let (height, work, seen_at) = (best.height, best.work, best.seen_at);
        say(&format!(
            "The pool remembers a chain of height {height} and work {work}, seen {seen_at}.\n\
             Given up, the pool follows the chain that its daemon has, whatever its work. Blocks of the pool that stand \
             on the remembered chain only are lost then: their credits are taken back, from the pool's own fees where \
             they were paid out already. This is right when that chain is gone for good, and wrong while the daemon only \
             has to catch up."
        ));
        if let Err(code) = confirmed("Give up the remembered chain?", yes) {
            return Ok(code);
        }
        store.best_chain_give_up(Timestamp::from_system(SystemTime::now())).await?;
        say(&format!("given up: a chain of height {height} and work {work}"));
        Ok(ExitCode::SUCCESS)
    })
}
