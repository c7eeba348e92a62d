//! The daemon's state: chain, mempool, templates, wallet, idempotency records, limits.
//!
//! Opening it reads what is on disk; a restart is dropping it and opening it again, so whatever a restart forgets is
//! forgotten here by construction. It does no I/O beside its own files, takes time from a clock that is handed in,
//! and never waits.
pub(crate) mod idempotency;
pub(crate) mod limits;
pub(crate) mod mempool;
mod mine;
pub(crate) mod rules;
mod send;
pub(crate) mod templates;
pub(crate) mod tree;
pub(crate) mod wallet;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chain::tx::{Bytes, Transaction};
use chain::{Block as FullBlock, BlockHeader, DifficultyRules};
use devnet_accounts::Keys;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::clock::Clock;
use crate::events::Hub;
use crate::gossip::Peers;
use crate::params::Params;
use crate::persist::{self, LineLog, PersistError};
use idempotency::Idempotency;
use limits::{Bucket, ConnectionLimiter, UnlockBackoff};
use mempool::Mempool;
use templates::Templates;
use tree::{Block, Tree};
use wallet::{Maturity, Wallet};

pub use mine::MineError;
pub(crate) use mine::{BlockError, MineTo, Mined};
pub(crate) use send::{SendAnswer, SendRequest};

/// Unix seconds of the test network's first block.
const GENESIS_SECS: i64 = 1_772_000_000;
const GENESIS_DIFFICULTY: u64 = 4;
const GENESIS_PREV_HASH: &str = "af27f9c98f793819f8ef79513351587c1bfba2ab6ebb794eb19f2c7db69c3378";

/// What the daemon says about its peers, set by tests.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct NetworkView {
    /// Connected peers.
    pub peers: u64,
    /// A sync run is active.
    pub syncing: bool,
    /// Its goal; templates are refused when it is more than 2 above the tip.
    pub sync_target: u64,
    /// How far it is.
    pub sync_progress: u64,
}

#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) params: Arc<Params>,
    pub(crate) clock: Arc<Clock>,
    pub(crate) rng: StdRng,
    /// Counts the starts in this process, so that work begun before a restart is recognised after it.
    pub(crate) epoch: u64,
    pub(crate) token: String,
    pub(crate) peer_id: String,
    pub(crate) started_ms: i64,
    pub(crate) tree: Tree,
    log: LineLog,
    pub(crate) mempool: Mempool,
    pub(crate) templates: Templates,
    pub(crate) wallet: Option<Wallet>,
    pub(crate) is_wallet_scan_paused: bool,
    /// Its wallet has no spend key.
    pub(crate) is_view_only: bool,
    pub(crate) idempotency: Idempotency,
    pub(crate) network: NetworkView,
    pub(crate) peers: Peers,
    pub(crate) events: Hub,
    pub(crate) submit_bucket: Bucket,
    pub(crate) submit_gate: ConnectionLimiter,
    pub(crate) send_bucket: Bucket,
    pub(crate) send_gate: ConnectionLimiter,
    pub(crate) verify_bucket: Bucket,
    pub(crate) unlock_backoff: UnlockBackoff,
    /// Every transaction that left this node, for a network that remembers more than the node does.
    pub(crate) broadcast: Vec<Transaction>,
}

/// What outlives a daemon: the machine around it and the network it had talked to.
#[derive(Debug, Default)]
pub(crate) struct Surroundings {
    pub(crate) epoch: u64,
    pub(crate) network: NetworkView,
    pub(crate) broadcast: Vec<Transaction>,
}

impl Node {
    /// Reads the data directory, makes what is missing, and writes a new cookie.
    pub(crate) fn open(params: Arc<Params>, clock: Arc<Clock>, around: Surroundings) -> Result<Node, PersistError> {
        let dir = &params.data_dir;
        std::fs::create_dir_all(dir).map_err(|source| PersistError::Io { path: dir.clone(), source })?;
        let starts: u64 = persist::read_json(&dir.join("starts.json"))?.unwrap_or(0);
        persist::replace_json(&dir.join("starts.json"), &(starts + 1))?;
        // A repeated run repeats; a restart within it must not hand out the same ids again.
        let mut rng = match params.seed {
            Some(seed) => StdRng::seed_from_u64(seed.wrapping_add(starts.wrapping_mul(0x9e37_79b9_7f4a_7c15))),
            None => StdRng::from_os_rng(),
        };
        let (log, blocks) = LineLog::open::<FullBlock>(&dir.join("chain.jsonl"))?;
        let mut tree = Tree::new(genesis());
        for block in blocks {
            tree.add(block.header, block.transactions);
        }
        let token = random_hex::<32>(&mut rng);
        persist::replace_file(&dir.join("api.cookie"), token.as_bytes(), false)?;
        let started_ms = clock.now_ms();
        let mut node = Node {
            epoch: around.epoch,
            peer_id: peer_id(dir),
            token,
            started_ms,
            tree,
            log,
            mempool: Mempool::default(),
            templates: Templates::default(),
            wallet: None,
            is_wallet_scan_paused: false,
            is_view_only: false,
            idempotency: Idempotency::open(&dir.join("send-idempotency.json"))?,
            network: around.network,
            peers: Peers::new(params.peers.len()),
            events: Hub::default(),
            submit_bucket: Bucket::new(500, 4),
            submit_gate: ConnectionLimiter::new(2),
            send_bucket: Bucket::new(2000, 2),
            send_gate: ConnectionLimiter::new(1),
            verify_bucket: Bucket::new(200, 10),
            unlock_backoff: UnlockBackoff::default(),
            broadcast: around.broadcast,
            rng,
            params,
            clock,
        };
        node.premine()?;
        node.make_wallet()?;
        Ok(node)
    }

    /// What a shutdown on request does and a kill does not.
    pub(crate) fn close(&mut self) -> Result<(), PersistError> {
        if let Some(wallet) = &mut self.wallet {
            wallet.save()?;
        }
        persist::remove_file(&self.cookie_path())
    }

    pub(crate) fn cookie_path(&self) -> PathBuf {
        self.params.data_dir.join("api.cookie")
    }

    /// Path of a wallet by its base name; other directories are out of reach.
    pub(crate) fn wallet_path(&self, name: &str) -> PathBuf {
        self.params.data_dir.join(name)
    }

    /// Leaves what outlives the daemon to its next start.
    pub(crate) fn surroundings(&mut self) -> Surroundings {
        Surroundings {
            epoch: self.epoch + 1,
            network: self.network.clone(),
            broadcast: std::mem::take(&mut self.broadcast),
        }
    }

    /// What it says about peers and sync: what tests have set, and what its links make of it.
    pub(crate) fn network_view(&self) -> NetworkView {
        let peers = self.network.peers.saturating_add(self.peers.count());
        match self.peers.sync_run {
            Some(run) => NetworkView { peers, syncing: true, sync_target: run.target, sync_progress: run.progress },
            None => NetworkView { peers, ..self.network.clone() },
        }
    }

    pub(crate) fn rules(&self) -> DifficultyRules {
        DifficultyRules {
            target_secs: self.params.target_secs,
            floor: self.params.difficulty_floor,
            ..DifficultyRules::BLOCKNET
        }
    }

    pub(crate) fn maturity(&self) -> Maturity {
        Maturity { coinbase: self.params.coinbase_maturity, other: self.params.output_maturity }
    }

    pub(crate) fn tip(&self) -> Arc<Block> {
        Arc::clone(self.tree.tip())
    }

    pub(crate) fn random_id(&mut self) -> String {
        random_hex::<8>(&mut self.rng)
    }

    /// Keys of a new wallet, different for each wallet of a run.
    pub(crate) fn new_wallet_keys(&mut self) -> Keys {
        let seed = self.rng.random();
        Keys::derive(seed, "wallet")
    }

    /// Loads a wallet, which then reads the blocks it has missed.
    pub(crate) fn set_wallet(&mut self, wallet: Wallet) -> Result<(), PersistError> {
        self.wallet = Some(wallet);
        self.scan_wallet()
    }

    /// Lets the wallet read new blocks, unless a test holds it up.
    pub(crate) fn scan_wallet(&mut self) -> Result<(), PersistError> {
        match &mut self.wallet {
            Some(wallet) if !self.is_wallet_scan_paused => wallet.catch_up(&self.tree),
            _ => Ok(()),
        }
    }

    fn make_wallet(&mut self) -> Result<(), PersistError> {
        let Some(password) = self.params.auto_wallet_password.clone() else { return Ok(()) };
        persist::replace_file(&self.params.data_dir.join("wallet.password"), password.as_bytes(), true)?;
        let path = self.wallet_path(&self.params.wallet_file);
        if !path.exists() {
            let keys = self.new_wallet_keys();
            Wallet::create(&path, keys, &password, self.clock.now_secs(), &self.tree)?;
        }
        Ok(())
    }
}

fn genesis() -> BlockHeader {
    let mut prev_hash = [0; 32];
    hex::decode_to_slice(GENESIS_PREV_HASH, &mut prev_hash).expect("the constant is 64 hex digits");
    BlockHeader {
        version: 1,
        height: 0,
        prev_hash: Bytes(prev_hash),
        merkle_root: Bytes([0; 32]),
        timestamp: GENESIS_SECS,
        difficulty: GENESIS_DIFFICULTY,
        nonce: 0,
    }
}

/// Looks like a libp2p peer id, and is the same at every start from this directory.
fn peer_id(dir: &Path) -> String {
    let digest = chain::sha3_256(&[b"devnet peer", dir.as_os_str().as_encoded_bytes()]);
    let mut bytes = vec![0, 0x24, 8, 1, 0x12, 0x20];
    bytes.extend(digest);
    bs58::encode(bytes).into_string()
}

fn random_hex<const BYTES: usize>(rng: &mut StdRng) -> String {
    let mut text = String::with_capacity(BYTES * 2);
    for byte in rng.random::<[u8; 32]>().iter().take(BYTES) {
        write!(text, "{byte:02x}").expect("writing to a string does not fail");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn genesis_is_the_one_of_the_test_network() {
        let id = genesis().block_id().to_string();
        assert_eq!(id, "7a2dfd3adf786a6f6c2b45015bd439e8c95b939a4d652ba008d8d084412ae0d7");
    }
}
