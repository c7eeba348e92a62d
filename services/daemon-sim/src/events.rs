//! The event stream: what is sent to whom, and what is lost when a reader is slow.
//!
//! Each connection has a queue of ten events per kind; a full one loses the event in silence. The two events of an
//! own block come in random order. Nothing is ever sent again.
use std::time::Duration;

use actix_web::web::Bytes;
use chain::BlockId;
use tokio::sync::{mpsc, watch};
use tokio::time::{Interval, MissedTickBehavior, interval_at};

const QUEUE_EVENTS: usize = 10;

#[derive(Debug)]
struct Client {
    new_block: mpsc::Sender<Bytes>,
    mined_block: mpsc::Sender<Bytes>,
}

/// All connections of the event stream.
#[derive(Debug)]
pub(crate) struct Hub {
    clients: Vec<Client>,
    is_stalled: watch::Sender<bool>,
}

/// One connection's side.
#[derive(Debug)]
pub(crate) struct Subscription {
    first: Option<Bytes>,
    new_block: mpsc::Receiver<Bytes>,
    mined_block: mpsc::Receiver<Bytes>,
    is_stalled: watch::Receiver<bool>,
    keepalive: Interval,
}

fn frame(name: &str, data: &serde_json::Value) -> Bytes {
    Bytes::from(format!("event: {name}\ndata: {data}\n\n"))
}

impl Default for Hub {
    fn default() -> Hub {
        Hub { clients: Vec::new(), is_stalled: watch::Sender::new(false) }
    }
}

impl Hub {
    /// Adds a connection; its first event says where the chain is.
    pub(crate) fn subscribe(&mut self, chain_height: u64, syncing: bool, keepalive_every: Duration) -> Subscription {
        let (new_block, new_blocks) = mpsc::channel(QUEUE_EVENTS);
        let (mined_block, mined_blocks) = mpsc::channel(QUEUE_EVENTS);
        self.clients.push(Client { new_block, mined_block });
        let mut keepalive = interval_at(tokio::time::Instant::now() + keepalive_every, keepalive_every);
        keepalive.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Subscription {
            first: Some(frame("connected", &serde_json::json!({"chain_height": chain_height, "syncing": syncing}))),
            new_block: new_blocks,
            mined_block: mined_blocks,
            is_stalled: self.is_stalled.subscribe(),
            keepalive,
        }
    }

    pub(crate) fn new_block(&mut self, id: &BlockId, height: u64, timestamp: i64, tx_count: usize) {
        let data = serde_json::json!({"hash": id, "height": height, "timestamp": timestamp, "tx_count": tx_count});
        self.send(&frame("new_block", &data), |client| &client.new_block);
    }

    pub(crate) fn mined_block(&mut self, id: &BlockId, height: u64, reward: u64) {
        let data = serde_json::json!({"hash": id, "height": height, "reward": reward});
        self.send(&frame("mined_block", &data), |client| &client.mined_block);
    }

    fn send(&mut self, frame: &Bytes, queue: impl Fn(&Client) -> &mpsc::Sender<Bytes>) {
        // A full queue loses the event, as the daemon's does; a closed one belongs to a reader that is gone.
        self.clients.retain(|client| {
            !matches!(queue(client).try_send(frame.clone()), Err(mpsc::error::TrySendError::Closed(_)))
        });
    }

    /// Stops or goes on writing to all connections, without closing them.
    pub(crate) fn stall(&mut self, is_stalled: bool) {
        self.is_stalled.send_replace(is_stalled);
    }

    /// Closes all connections.
    pub(crate) fn hang_up(&mut self) {
        self.clients.clear();
    }
}

impl Subscription {
    /// The next piece of the stream; `None` when the daemon hung up.
    pub(crate) async fn next(&mut self) -> Option<Bytes> {
        if let Some(first) = self.first.take() {
            return Some(first);
        }
        self.is_stalled.wait_for(|is_stalled| !is_stalled).await.ok()?;
        // Unbiased on purpose: the order of the two events of one block is random.
        tokio::select! {
            event = self.new_block.recv() => match event {
                // Both queues end together, but one may hold what was sent before.
                None => self.mined_block.recv().await,
                some => some,
            },
            event = self.mined_block.recv() => match event {
                None => self.new_block.recv().await,
                some => some,
            },
            _ = self.keepalive.tick() => Some(Bytes::from_static(b": keepalive\n\n")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[actix_web::test]
    async fn a_slow_reader_loses_all_but_ten_events() {
        let mut hub = Hub::default();
        let mut subscription = hub.subscribe(5, false, Duration::from_secs(30));
        for height in 0..30 {
            hub.new_block(&BlockId::ZERO, height, 0, 1);
        }
        hub.hang_up();
        let mut events = Vec::new();
        while let Some(event) = subscription.next().await {
            events.push(event);
        }
        assert_eq!(events[0], "event: connected\ndata: {\"chain_height\":5,\"syncing\":false}\n\n");
        assert_eq!(events.len(), 11);
        assert!(events[10].starts_with(b"event: new_block\ndata: {\"hash\":\"00"));
    }
}
