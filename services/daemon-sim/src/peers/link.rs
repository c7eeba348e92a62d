//! One daemon's end of each link: it looks at the peer's tip, catches up with it, and tells it what is new.
use std::time::Duration;

use chain::BlockId;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until};

use super::wire::{Peer, PeerError, PeerTip};
use super::{Taken, take};
use crate::gossip::{News, SyncRun};
use crate::http::Instance;
use crate::http::answer::Stop;
use crate::node::tree::FINALITY_DEPTH;

/// How often a peer's tip is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// All links of one start of the daemon; dropped, they are gone.
pub(crate) struct Links(Vec<JoinHandle<()>>);

impl Links {
    /// On the runtime that is current.
    pub(crate) fn start(instance: &Instance) -> Links {
        let peers = &instance.shared.params.peers;
        let spawn = |(place, url): (usize, &String)| {
            let link = Link { instance: instance.clone(), place, peer: Peer::new(url) };
            actix_rt::spawn(link.run())
        };
        Links(peers.iter().enumerate().map(spawn).collect())
    }

    pub(crate) fn stop(&self) {
        self.0.iter().for_each(JoinHandle::abort);
    }
}

impl Drop for Links {
    fn drop(&mut self) {
        self.stop();
    }
}

struct Link {
    instance: Instance,
    /// In the list of peers.
    place: usize,
    peer: Peer,
}

/// Why a link does not go on: the peer, or this daemon itself.
enum Broken {
    Peer(PeerError),
    Own,
}

impl From<PeerError> for Broken {
    fn from(error: PeerError) -> Broken {
        Broken::Peer(error)
    }
}

impl From<Stop> for Broken {
    fn from(_: Stop) -> Broken {
        Broken::Own
    }
}

impl Link {
    async fn run(self) {
        // Addresses are tried one after the other, slowly: until then nobody knows that the own tip is old.
        sleep(self.instance.shared.params.peer_dial).await;
        let Ok(mut news) = self.instance.node().map(|node| node.peers.listen()) else { return };
        let mut wake = self.instance.shared.peers_wake();
        let mut look_at = Instant::now();
        loop {
            let outcome = tokio::select! {
                told = news.recv() => self.pass_on(told, &mut news).await,
                () = sleep_until(look_at) => {
                    look_at = Instant::now() + LOOK_EVERY;
                    self.look().await
                }
                woken = wake.changed() => match woken {
                    Ok(()) => self.look().await,
                    Err(_) => return,
                },
            };
            let is_reached = match outcome {
                Ok(is_reached) => is_reached,
                Err(Broken::Peer(error)) => {
                    tracing::debug!(%error, "a peer is not reached");
                    false
                }
                Err(Broken::Own) => return,
            };
            let Ok(mut node) = self.instance.node() else { return };
            node.peers.reached[self.place] = is_reached;
        }
    }

    /// Whether the peer was reached.
    async fn look(&self) -> Result<bool, Broken> {
        if self.instance.shared.is_cut_off() {
            return Ok(false);
        }
        let theirs = self.peer.tip().await?;
        let own = {
            let mut node = self.instance.node()?;
            if theirs.work <= node.tree.tip().work || node.peers.sync_run.is_some() {
                return Ok(true);
            }
            let own = node.tree.tip_height();
            node.peers.sync_run = Some(SyncRun { target: theirs.height, progress: own });
            own
        };
        let outcome = self.catch_up(own, theirs).await;
        self.instance.node()?.peers.sync_run = None;
        outcome.map(|()| true)
    }

    /// A sync run: blocks from the fork up, which no event announces, and the peer's mempool.
    async fn catch_up(&self, own: u64, theirs: PeerTip) -> Result<(), Broken> {
        let lowest = own.saturating_sub(FINALITY_DEPTH);
        let ids = self.peer.ids(lowest).await?;
        let fork = {
            let node = self.instance.node()?;
            let is_ours = |(height, id): &(u64, BlockId)| node.tree.at(*height).is_some_and(|block| block.id == *id);
            (lowest..).zip(ids).take_while(is_ours).last().map(|(height, _)| height)
        };
        let Some(fork) = fork else {
            tracing::debug!(height = theirs.height, "a peer's chain leaves ours too deep to be followed");
            return Ok(());
        };
        let mut next = fork + 1;
        while next <= theirs.height {
            let blocks = self.peer.blocks(next).await?;
            if blocks.is_empty() {
                break; // The peer's own chain has changed meanwhile.
            }
            for block in blocks {
                let height = block.header.height;
                let is_lost = matches!(take(&self.instance, block, false).await?, Taken::NoParent | Taken::Invalid);
                if is_lost || self.instance.shared.is_cut_off() {
                    return Ok(());
                }
                if let Some(run) = &mut self.instance.node()?.peers.sync_run {
                    run.progress = height;
                }
                next = height + 1;
            }
        }
        let transactions = self.peer.mempool().await?;
        let mut node = self.instance.node()?;
        transactions.into_iter().for_each(|tx| node.take_transaction(tx));
        Ok(())
    }

    async fn pass_on(&self, told: Result<News, RecvError>, news: &mut Receiver<News>) -> Result<bool, Broken> {
        if self.instance.shared.is_cut_off() {
            // What happens meanwhile is not told later.
            *news = news.resubscribe();
            return Ok(false);
        }
        match told {
            Ok(News::Tip(id)) => {
                let block = self.instance.node()?.tree.get(&id).map(|block| block.full());
                if let Some(block) = block {
                    self.peer.tell_block(&block).await?;
                }
            }
            Ok(News::Transaction(tx)) => {
                let (peer, shared) = (self.peer.clone(), self.instance.shared.clone());
                // A transaction takes a detour that hides its origin, beside whatever else is said.
                actix_rt::spawn(async move {
                    sleep(shared.params.relay).await;
                    if !shared.is_cut_off()
                        && let Err(error) = peer.tell_transaction(&tx).await
                    {
                        tracing::debug!(%error, "a transaction is not passed on");
                    }
                });
            }
            Err(RecvError::Lagged(missed)) => tracing::debug!(missed, "a slow link; the peer finds out by itself"),
            Err(RecvError::Closed) => return Err(Broken::Own),
        }
        Ok(true)
    }
}
