//! What the daemon answers, as far as the pool reads it. Unknown fields are ignored: newer daemons add some.
use chain::{BlockId, HeaderBase, MerkleRoot, Target, TxId};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use units::{Amount, Height, Nonce, Timestamp};

/// The daemon's state; costs it nothing and waits for nothing.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Status {
    /// Connected peers.
    pub peers: u64,
    /// Height of the best block.
    pub chain_height: Height,
    /// The first 8 bytes of the best block's id, 16 hex digits.
    pub best_hash: String,
    /// Sum of the difficulties of all its blocks.
    pub total_work: u64,
    /// Transactions waiting.
    #[serde(default)]
    pub mempool_size: u64,
    /// Counts changes of the mempool since the daemon's start; missing before 0.17.
    #[serde(default)]
    pub mempool_generation: Option<u64>,
    /// A sync run is going on; flickers near the tip.
    pub syncing: bool,
    /// Where the sync run goes, while one is going on.
    #[serde(default)]
    pub sync_target: Option<u64>,
    /// A wallet is loaded and unlocked.
    #[serde(default, deserialize_with = "presence")]
    pub wallet: bool,
}

impl Status {
    /// Whether its best block is this one, as far as the first bytes tell.
    #[must_use]
    pub fn is_tip(&self, height: Height, id: &BlockId) -> bool {
        let prefix = self.best_hash.to_ascii_lowercase();
        self.chain_height == height && !prefix.is_empty() && id.to_string().starts_with(&prefix)
    }

    /// Whether the daemon is so far behind that it refuses templates.
    #[must_use]
    pub fn is_behind(&self) -> bool {
        self.syncing && self.sync_target.is_some_and(|target| target > self.chain_height.get().saturating_add(2))
    }
}

/// A block of the chain. Looked up by height it is on the main chain; by id it may be on any branch.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct BlockInfo {
    /// Its id.
    pub hash: BlockId,
    /// Its height.
    pub height: Height,
    /// Its parent.
    pub prev_hash: BlockId,
    /// Root over its transactions: the same as its template's.
    pub merkle_root: MerkleRoot,
    /// The nonce that solved it.
    pub nonce: Nonce,
    /// Its network difficulty; may exceed what a share difficulty holds.
    pub difficulty: u64,
    /// Unix seconds, as its miner set it.
    pub timestamp: i64,
    /// Tip minus height plus one; arithmetic only, an orphan shows the same as its rival.
    pub confirmations: u64,
    /// The emission of its height.
    #[serde(deserialize_with = "atoms")]
    pub reward: Amount,
    /// What it holds, the coinbase first.
    #[serde(default)]
    pub transactions: Vec<BlockTransaction>,
}

/// A transaction as a block lists it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct BlockTransaction {
    /// Its id.
    pub hash: TxId,
}

/// A block to mine.
#[derive(Debug, Clone, Deserialize)]
pub struct TemplateAnswer {
    /// What miners hash.
    pub header_base: HeaderBase,
    /// A hash at or below it is a block.
    pub target: Target,
    /// The lease's name, for the compact submit.
    #[serde(default)]
    pub template_id: Option<String>,
    /// When the lease ends.
    #[serde(default, rename = "template_expires_at_unix_ms", deserialize_with = "unix_ms")]
    pub expires_at: Option<Timestamp>,
    /// The mempool that it was made from; missing before 0.17.
    #[serde(default)]
    pub mempool_generation: Option<u64>,
    /// Whom it pays.
    pub reward_address_used: String,
    /// The block as the daemon wrote it, for the full submit.
    pub block: Box<RawValue>,
}

/// The daemon took a block.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Accepted {
    /// Always true.
    pub accepted: bool,
    /// The block's id.
    pub hash: BlockId,
    /// Its height.
    pub height: Height,
}

/// The wallet's own address.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct WalletAddress {
    /// Where it receives.
    pub address: String,
    /// It has no spend key.
    #[serde(default)]
    pub view_only: bool,
}

/// A wallet that was just loaded.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct LoadedWallet {
    /// Where it receives.
    pub address: String,
    /// How far it has looked.
    pub synced_height: Height,
}

/// What the wallet holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Balance {
    /// The wallet is far behind the chain; its figures mean nothing yet.
    Scanning {
        /// How far it has looked.
        synced_height: Height,
        /// How far there is to look.
        chain_height: Height,
    },
    /// The wallet is (nearly) at the tip.
    Ready(WalletBalance),
}

/// The wallet's figures.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct WalletBalance {
    /// Unspent and mature. Does not subtract what a transaction in the mempool already spends.
    #[serde(deserialize_with = "atoms")]
    pub spendable: Amount,
    /// Unspent and not mature.
    #[serde(deserialize_with = "atoms")]
    pub pending: Amount,
    /// Change of own sends that no block holds yet; not part of `total`.
    #[serde(default, deserialize_with = "atoms")]
    pub pending_unconfirmed: Amount,
    /// `spendable` and `pending`.
    #[serde(deserialize_with = "atoms")]
    pub total: Amount,
    /// The chain's height.
    pub chain_height: Height,
    /// How far the wallet has looked.
    pub synced_height: Height,
    /// Outputs ever received.
    #[serde(default)]
    pub outputs_total: u64,
    /// Outputs not spent.
    #[serde(default)]
    pub outputs_unspent: u64,
}

impl<'de> Deserialize<'de> for Balance {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Balance, D::Error> {
        #[derive(Deserialize)]
        struct Scan {
            #[serde(default)]
            scanning: bool,
            synced_height: Height,
            chain_height: Height,
        }
        let value = serde_json::Value::deserialize(deserializer)?;
        let scan = Scan::deserialize(&value).map_err(serde::de::Error::custom)?;
        if scan.scanning {
            return Ok(Balance::Scanning { synced_height: scan.synced_height, chain_height: scan.chain_height });
        }
        WalletBalance::deserialize(value).map(Balance::Ready).map_err(serde::de::Error::custom)
    }
}

/// Everything the wallet ever received.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct WalletOutputs {
    /// The chain's height.
    pub chain_height: Height,
    /// How far the wallet has looked.
    pub synced_height: Height,
    /// By height, transaction, index.
    pub outputs: Vec<Output>,
}

/// One output of the wallet.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Output {
    /// The transaction that made it.
    pub txid: TxId,
    /// Its place there.
    pub output_index: u32,
    /// What it holds.
    #[serde(deserialize_with = "atoms")]
    pub amount: Amount,
    /// Spent, spendable or immature.
    pub status: OutputState,
    /// Mined, so it matures later.
    #[serde(rename = "type", deserialize_with = "is_coinbase")]
    pub coinbase: bool,
    /// Tip minus height: one less than a block's.
    pub confirmations: u64,
    /// The block that made it.
    pub block_height: Height,
    /// The block that spent it; missing while that is not mined.
    #[serde(default)]
    pub spent_height: Option<Height>,
    /// Its memo, hex.
    #[serde(default)]
    pub memo_hex: Option<String>,
}

/// What an output is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OutputState {
    /// Gone, maybe not yet in a block.
    Spent,
    /// Can be spent now.
    Unspent,
    /// Not mature.
    Pending,
}

/// A page of the wallet's own sends.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Sends {
    /// How many there are in all.
    pub total: u64,
    /// Newest first.
    pub sends: Vec<WalletSend>,
}

/// One send of this wallet.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct WalletSend {
    /// The transaction.
    pub txid: TxId,
    /// Unix seconds.
    pub timestamp: i64,
    /// The tip when it was sent.
    pub recorded_height: Height,
    /// Where it is now.
    pub chain_state: ChainState,
    /// Tip minus height plus one; 0 while not in a block.
    #[serde(default)]
    pub confirmations: u64,
    /// What the network took.
    #[serde(deserialize_with = "atoms")]
    pub fee: Amount,
    /// What the recipients got.
    #[serde(deserialize_with = "atoms")]
    pub total_amount: Amount,
    /// Whom it paid.
    pub recipients: Vec<SendRecipient>,
}

/// Where a transaction is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChainState {
    /// Waiting in this daemon's mempool.
    Mempool,
    /// In a block of the main chain.
    Confirmed,
    /// Neither; proves nothing, other nodes may still hold it.
    NotFound,
}

/// One recipient of a send.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct SendRecipient {
    /// As it was given in the request.
    pub address: String,
    /// What it got.
    #[serde(deserialize_with = "atoms")]
    pub amount: Amount,
    /// Its memo, hex.
    #[serde(default)]
    pub memo_hex: Option<String>,
}

/// A send that was done.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Sent {
    /// The transaction.
    pub txid: TxId,
    /// What the network took.
    #[serde(deserialize_with = "atoms")]
    pub fee: Amount,
    /// What came back.
    #[serde(deserialize_with = "atoms")]
    pub change: Amount,
}

/// What a send would cost.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct DryRun {
    /// What the network would take.
    #[serde(deserialize_with = "atoms")]
    pub fee: Amount,
    /// What would come back.
    #[serde(deserialize_with = "atoms")]
    pub change: Amount,
    /// Inputs it would spend.
    pub input_count: u64,
    /// What they hold.
    #[serde(deserialize_with = "atoms")]
    pub input_total: Amount,
}

/// What the daemon has stored under an idempotency key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SendStatus {
    /// Nothing.
    NotFound,
    /// It was running when the daemon died, and will say so for ever.
    Accepted,
    /// It is running.
    InProgress,
    /// It was done.
    Completed(Sent),
    /// It was refused; a repetition under the same key gets this answer again.
    Failed {
        /// HTTP status of the refusal.
        status: u16,
        /// Its words.
        error: String,
    },
}

impl<'de> Deserialize<'de> for SendStatus {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<SendStatus, D::Error> {
        #[derive(Deserialize)]
        struct Stored {
            state: String,
            #[serde(default)]
            original_status: u16,
            #[serde(default)]
            error: String,
            #[serde(default)]
            result: Option<Sent>,
        }
        use serde::de::Error;
        let stored = Stored::deserialize(deserializer)?;
        Ok(match stored.state.as_str() {
            "not_found" => SendStatus::NotFound,
            "accepted" => SendStatus::Accepted,
            "in_progress" => SendStatus::InProgress,
            "completed" => SendStatus::Completed(stored.result.ok_or_else(|| D::Error::missing_field("result"))?),
            "failed" => SendStatus::Failed { status: stored.original_status, error: stored.error },
            other => return Err(D::Error::custom(format!("unknown send state `{other}`"))),
        })
    }
}

// === reading single fields ===

pub(crate) fn atoms<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Amount, D::Error> {
    let atoms = u64::deserialize(deserializer)?;
    Amount::from_atoms(atoms).ok_or_else(|| serde::de::Error::custom(format!("{atoms} atoms are beyond any amount")))
}

fn unix_ms<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    Ok(Option::<i64>::deserialize(deserializer)?.map(Timestamp::from_ms))
}

fn presence<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    Ok(Option::<serde::de::IgnoredAny>::deserialize(deserializer)?.is_some())
}

fn is_coinbase<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    Ok(std::borrow::Cow::<'de, str>::deserialize(deserializer)? == "coinbase")
}
