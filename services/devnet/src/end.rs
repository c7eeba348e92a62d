//! When the program ends.
use std::io::{self, Read};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use tokio::signal::unix::{SignalKind, signal};

use crate::args::LifeArgs;

/// SIGINT, SIGTERM or, with a lease, the end of standard input. To be made before the program says that it is up, so
/// that whoever ends it at once ends it cleanly too.
pub(crate) struct End(Receiver<()>);

impl End {
    pub(crate) fn watch(life: &LifeArgs) -> io::Result<End> {
        let (ended, end) = sync_channel(1);
        if life.stdin_lease {
            let ended = ended.clone();
            std::thread::spawn(move || {
                let mut ignored = [0; 256];
                let mut input = std::io::stdin().lock();
                // Bytes mean nothing, only their end does; an error is an end too.
                while matches!(input.read(&mut ignored), Ok(length) if length > 0) {}
                tell(&ended);
            });
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let listen = |kind| {
            let _inside = runtime.enter();
            signal(kind)
        };
        let (mut terminate, mut interrupt) = (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
        std::thread::spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                }
            });
            tell(&ended);
        });
        Ok(End(end))
    }

    pub(crate) fn wait(&self) {
        // All senders gone is an end as well.
        if self.0.recv().is_err() {
            tracing::debug!("nothing is left to wait for");
        }
    }
}

fn tell(ended: &SyncSender<()>) {
    if ended.try_send(()).is_err() {
        tracing::debug!("the end is known already");
    }
}
