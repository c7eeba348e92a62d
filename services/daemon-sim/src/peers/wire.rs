//! What one daemon asks another, and how long it waits for the answer.
use std::time::Duration;

use awc::Client;
use chain::tx::Transaction;
use chain::{Block as FullBlock, BlockId};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// How long a peer may take. It validates a block of ours before it answers.
const PATIENCE: Duration = Duration::from_secs(30);
/// Blocks of one answer at most.
pub(super) const BATCH: u64 = 16;
/// Bytes of one answer at most.
const ANSWER_BYTES_MAX: usize = 64 << 20;
/// Peers relay no larger message; what is larger comes by a sync run.
pub(super) const RELAY_BYTES_MAX: usize = 2 << 20;

/// Where a peer's chain is.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct PeerTip {
    pub(super) height: u64,
    pub(super) work: u64,
}

/// A peer that can be asked.
#[derive(Clone)]
pub(super) struct Peer {
    client: Client,
    url: String,
}

/// A peer does not answer, or not in this way.
#[derive(Debug, thiserror::Error)]
#[error("peer {url}: {why}")]
pub(super) struct PeerError {
    url: String,
    why: String,
}

impl Peer {
    pub(super) fn new(url: &str) -> Peer {
        let client = Client::builder().timeout(PATIENCE).disable_redirects().finish();
        Peer { client, url: url.trim_end_matches('/').to_owned() }
    }

    pub(super) async fn tip(&self) -> Result<PeerTip, PeerError> {
        self.get("/tip").await
    }

    /// Ids of its main chain from this height up, at most 101.
    pub(super) async fn ids(&self, from: u64) -> Result<Vec<BlockId>, PeerError> {
        self.get(&format!("/ids?from={from}")).await
    }

    /// Blocks of its main chain from this height up, at most [`BATCH`].
    pub(super) async fn blocks(&self, from: u64) -> Result<Vec<FullBlock>, PeerError> {
        self.get(&format!("/blocks?from={from}")).await
    }

    pub(super) async fn mempool(&self) -> Result<Vec<Transaction>, PeerError> {
        self.get("/mempool").await
    }

    pub(super) async fn tell_block(&self, block: &FullBlock) -> Result<(), PeerError> {
        self.post("/block", block).await
    }

    pub(super) async fn tell_transaction(&self, tx: &Transaction) -> Result<(), PeerError> {
        self.post("/transaction", tx).await
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, PeerError> {
        let mut response =
            self.client.get(format!("{}{path}", self.url)).send().await.map_err(|error| self.error(error))?;
        if !response.status().is_success() {
            return Err(self.error(response.status()));
        }
        response.json().limit(ANSWER_BYTES_MAX).await.map_err(|error| self.error(error))
    }

    async fn post(&self, path: &str, body: &impl Serialize) -> Result<(), PeerError> {
        let sent = self.client.post(format!("{}{path}", self.url)).send_json(body).await;
        let status = sent.map_err(|error| self.error(error))?.status();
        if status.is_success() { Ok(()) } else { Err(self.error(status)) }
    }

    fn error(&self, why: impl std::fmt::Display) -> PeerError {
        PeerError { url: self.url.clone(), why: why.to_string() }
    }
}
