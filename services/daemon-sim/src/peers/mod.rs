//! Other simulated daemons: one chain over several of them.
//!
//! They talk JSON over HTTP on loopback, in a way of their own that stands for the real peer-to-peer network. What a
//! pool can see of it is as in the real one: a block that is gossiped is an event, one that comes by a sync run is
//! none, and the wallet reads it with the next gossiped one; a sync run that is far behind refuses templates; right
//! after the start, before the first peer is reached, an old tip is served as if it were the newest; each daemon keeps its own wallet, mempool and leases, and of two blocks
//! of one height the one that it heard of first.
//!
//! What it refuses to do: judge the proof of work of a peer's block, since blocks made by an order have none. It is
//! computed all the same, for the time that it takes.
mod endpoint;
mod link;
mod wire;

pub(crate) use endpoint::serve;
pub(crate) use link::Links;

use chain::tx::Transaction;
use chain::{Block as FullBlock, BlockId};
use units::Nonce;

use crate::gossip::News;
use crate::http::Instance;
use crate::http::answer::Stop;
use crate::node::Node;
use crate::node::mempool::MempoolRefusal;
use crate::node::rules;

/// What became of a peer's block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Taken {
    /// It was there already, or its branch has no more work than the main chain.
    Aside,
    Tip,
    /// Its parent must be asked for first.
    NoParent,
    Invalid,
}

/// Validates a peer's block, with the chain locked for as long as that takes, and adds it.
async fn take(instance: &Instance, block: FullBlock, is_gossip: bool) -> Result<Taken, Stop> {
    let _validating = instance.chain_lock.write().await;
    {
        let node = instance.node()?;
        if node.tree.get(&block.header.block_id()).is_some() {
            return Ok(Taken::Aside);
        }
        if node.tree.get(&BlockId(block.header.prev_hash.0)).is_none() {
            return Ok(Taken::NoParent);
        }
        if let Err(why) = rules::check_header(&node.tree, &block.header, &node.rules(), node.clock.now_secs()) {
            return Ok(refused(&block, why));
        }
    }
    let shared = instance.shared.clone();
    tokio::time::sleep(shared.params.block_validation).await;
    let (base, nonce) = (block.header.base(), Nonce::new(block.header.nonce));
    if !matches!(actix_web::web::block(move || shared.hasher.hash(&base, nonce)).await, Ok(Ok(_))) {
        tracing::error!("proof of work cannot be computed");
    }
    let mut node = instance.node()?;
    if let Err(why) = rules::check_body(&node.tree, &block) {
        return Ok(refused(&block, why));
    }
    let is_tip = if is_gossip { node.adopt(block)? } else { node.adopt_unscanned(block)? };
    if is_tip && is_gossip {
        node.announce_tip();
    }
    Ok(if is_tip { Taken::Tip } else { Taken::Aside })
}

fn refused(block: &FullBlock, why: rules::Invalid) -> Taken {
    tracing::warn!(height = block.header.height, %why, "a peer's block is not valid");
    Taken::Invalid
}

impl Node {
    /// Takes a peer's transaction into the mempool and passes it on, unless it is there already.
    fn take_transaction(&mut self, tx: Transaction) {
        match self.mempool.add(&self.tree, tx.clone(), self.clock.now_ms()) {
            Ok(_) => self.peers.tell(News::Transaction(Box::new(tx))),
            Err(MempoolRefusal::SpentInMempool | MempoolRefusal::SpentOnChain) => {}
            Err(refusal) => tracing::debug!(%refusal, "a peer's transaction is not taken"),
        }
    }
}
