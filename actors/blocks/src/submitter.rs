//! Candidates on their way to the daemon.
use std::collections::VecDeque;
use std::rc::Rc;

use chain::BlockId;
use futures_util::future::join;
use messages::blocks::SubmitCandidate;
use runtime::{Actor, Fault, Handler, Reply, continue_with};
use tracing::{debug, info, warn};

use crate::broadcaster::{BlockBroadcaster, Outcome, Settled};
use crate::parts::SubmitterParts;

/// Blocks that are remembered, so that one that comes twice is submitted once.
const REMEMBERED: usize = 1024;

/// Submits blocks; see the crate's documentation.
pub struct BlockSubmitter {
    broadcaster: Rc<BlockBroadcaster>,
    known: VecDeque<BlockId>,
}

impl BlockSubmitter {
    /// On the arbiter that will run it.
    #[must_use]
    pub fn new(parts: SubmitterParts) -> BlockSubmitter {
        BlockSubmitter { broadcaster: Rc::new(BlockBroadcaster::new(parts)), known: VecDeque::new() }
    }
}

impl Actor for BlockSubmitter {
    const NAME: &'static str = "block_submitter";
}

impl Handler<SubmitCandidate> for BlockSubmitter {
    async fn handle(&mut self, candidate: SubmitCandidate, reply: Reply<SubmitCandidate>) -> Result<(), Fault> {
        let id = candidate.template.header_base.block_id(candidate.nonce);
        if self.known.contains(&id) {
            reply.send(());
            return Ok(());
        }
        self.known.push_back(id);
        if self.known.len() > REMEMBERED {
            self.known.pop_front();
        }
        let broadcaster = Rc::clone(&self.broadcaster);
        continue_with(reply, async move {
            let (_recorded, Settled { outcome, was_known }) =
                join(broadcaster.record(&candidate), broadcaster.deliver(&candidate, id)).await;
            let height = candidate.template.height;
            match outcome {
                _ if was_known => debug!(%height, %id, ?outcome, "block was settled before"),
                Outcome::Accepted => info!(%height, %id, "block accepted"),
                Outcome::Lost => info!(%height, %id, "block orphaned"),
                Outcome::Refused => warn!(%height, %id, "block rejected by the daemon"),
            }
        });
        Ok(())
    }
}
