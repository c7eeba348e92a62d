//! Routes about the node and its chain; none of them needs the token.
use std::sync::Arc;

use chain::{BlockId, Hash32, TxId};
use serde::Serialize;
use serde_json::{Value, json};

use super::Call;
use super::answer::{Answer, Stop, go_duration, go_number};
use crate::node::Node;
use crate::node::tree::Block;
use crate::params::Routes;

const TARGET_SUPPLY_ATOMS: u64 = 10_000_000_000_000_000;
const TAIL_ATOMS: u64 = 200_000_000;
const MONTHS_TO_TAIL: u64 = 48;
const RECENT_INTERVALS: usize = 12;
const MESSAGE_BYTES_MAX: usize = 1024;

pub(super) fn health(call: &Call) -> Result<Answer, Stop> {
    let now = chrono::DateTime::from_timestamp(call.instance.node()?.clock.now_secs(), 0).unwrap_or_default();
    let timestamp = now.to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
    Ok(Answer::json(200, &json!({"status": "ok", "timestamp": timestamp})))
}

#[derive(Serialize)]
struct Status<'a> {
    peer_id: &'a str,
    peers: u64,
    chain_height: u64,
    best_hash: String,
    total_work: u64,
    mempool_size: usize,
    mempool_bytes: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    mempool_generation: Option<u64>,
    syncing: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    sync_progress: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sync_target: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sync_percent: Option<String>,
    identity_age: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    wallet: Option<WalletStatus>,
}

#[derive(Serialize)]
struct WalletStatus {
    data_version: u8,
    enc_format: &'static str,
    kdf_version: u8,
    kdf_memory_mib: u16,
    kdf_iterations: u8,
    kdf_threads: u8,
    created_at: i64,
    view_only: bool,
    has_mnemonic: bool,
    address_format: &'static str,
    file_size_bytes: u64,
    synced_height: u64,
}

fn wallet_status(node: &Node) -> Option<WalletStatus> {
    let wallet = node.wallet.as_ref().filter(|wallet| !wallet.is_locked)?;
    Some(WalletStatus {
        data_version: 1,
        enc_format: "v1",
        kdf_version: 1,
        kdf_memory_mib: 256,
        kdf_iterations: 3,
        kdf_threads: 4,
        created_at: wallet.file().created_at_secs,
        view_only: node.is_view_only,
        has_mnemonic: true,
        address_format: "checksummed",
        file_size_bytes: wallet.path().metadata().map_or(0, |file| file.len()),
        synced_height: wallet.synced_height,
    })
}

/// Never waits for the chain lock.
pub(super) fn status(call: &Call) -> Result<Answer, Stop> {
    let node = call.instance.node()?;
    let tip = node.tree.tip();
    let network = node.network_view();
    let in_sync = |value: u64| Some(value).filter(|value| network.syncing && *value > 0);
    let percent = in_sync(network.sync_target).map(|target| {
        let per_mille = network.sync_progress.saturating_mul(1000) / target;
        format!("{}.{}%", per_mille / 10, per_mille % 10)
    });
    let age_ms = node.clock.now_ms().saturating_sub(node.started_ms);
    let status = Status {
        peer_id: &node.peer_id,
        peers: network.peers,
        chain_height: tip.height(),
        best_hash: hex::encode(&tip.id.0[..8]),
        total_work: tip.work,
        mempool_size: node.mempool.entries().len(),
        mempool_bytes: node.mempool.bytes(),
        mempool_generation: (node.params.routes == Routes::Full).then(|| node.mempool.generation()),
        syncing: network.syncing,
        sync_progress: in_sync(network.sync_progress),
        sync_target: in_sync(network.sync_target),
        sync_percent: percent,
        identity_age: go_duration(u64::try_from(age_ms / 1000).unwrap_or(0)),
        wallet: wallet_status(&node),
    };
    Ok(Answer::json(200, &status))
}

pub(super) fn stats(call: &Call) -> Result<Answer, Stop> {
    let node = call.instance.node()?;
    let tip = node.tree.tip();
    let difficulty = node.tree.next_difficulty(tip, &node.rules());
    let recent = node.tree.main().iter().rev().take(RECENT_INTERVALS + 1).map(|block| block.header.timestamp);
    let times: Vec<i64> = recent.collect();
    let intervals: Vec<i64> = times.windows(2).map(|pair| pair[0] - pair[1]).filter(|interval| *interval > 0).collect();
    let float = |integer: u64| integer.to_string().parse::<f64>().unwrap_or(0.0);
    let sum = float(u64::try_from(intervals.iter().sum::<i64>()).unwrap_or(0));
    let mean = if intervals.is_empty() { 0.0 } else { sum / float(u64::try_from(intervals.len()).unwrap_or(1)) };
    let hashrate = if mean > 0.0 { float(difficulty) / mean } else { 0.0 };
    let emitted: u64 = node.tree.main().iter().skip(1).map(|block| block.reward()).sum();
    Ok(Answer::json(
        200,
        &json!({
            "height": tip.height(),
            "difficulty": difficulty,
            "network_hashrate": go_number(hashrate),
            "avg_block_time": go_number(mean),
            "block_reward": tip.reward(),
            "emitted": emitted,
            "remaining": TARGET_SUPPLY_ATOMS.saturating_sub(emitted),
            "target_supply": TARGET_SUPPLY_ATOMS,
            "pct_emitted": go_number(float(emitted) / float(TARGET_SUPPLY_ATOMS) * 100.0),
            "tail_emission": TAIL_ATOMS,
            "months_to_tail": MONTHS_TO_TAIL,
            "blocks_per_month": chain::BLOCKS_PER_MONTH,
            "block_interval_sec": node.params.target_secs,
        }),
    ))
}

/// Blocks can be looked up by height on the main chain, and by hash on any branch.
pub(super) async fn block(call: &Call) -> Result<Answer, Stop> {
    let _reading = call.instance.chain_lock.read().await;
    let node = call.instance.node()?;
    let id = &call.variable;
    let is_number = !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit());
    let found = if let Some(height) = id.parse::<u64>().ok().filter(|_| is_number) {
        node.tree.at(height)
    } else if id.len() == 64 {
        match id.parse::<BlockId>() {
            Ok(id) => node.tree.get(&id),
            Err(_) => return Ok(Answer::error(400, "invalid block hash")),
        }
    } else {
        return Ok(Answer::error(400, "id must be a height or 64-char hex hash"));
    };
    Ok(match found {
        Some(block) => Answer::json(200, &block_json(block, node.tree.tip_height())),
        None => Answer::error(404, "block not found"),
    })
}

fn block_json(block: &Arc<Block>, tip_height: u64) -> Value {
    let transactions: Vec<Value> = block
        .transactions
        .iter()
        .zip(&block.txids)
        .enumerate()
        .map(|(at, (tx, txid))| {
            json!({
                "fee": tx.fee,
                "hash": txid,
                "inputs": tx.inputs.len(),
                "is_coinbase": at == 0 && block.height() > 0,
                "outputs": tx.outputs.len(),
            })
        })
        .collect();
    json!({
        "confirmations": (tip_height + 1).saturating_sub(block.height()),
        "difficulty": block.header.difficulty,
        "hash": block.id,
        "height": block.height(),
        "merkle_root": Hash32(block.header.merkle_root.0),
        "nonce": block.header.nonce,
        "prev_hash": block.parent(),
        "reward": block.reward(),
        "timestamp": block.header.timestamp,
        "tx_count": transactions.len(),
        "transactions": transactions,
    })
}

pub(super) fn transaction(call: &Call) -> Result<Answer, Stop> {
    if call.variable.len() != 64 {
        return Ok(Answer::error(400, "hash must be 64 hex characters"));
    }
    let Ok(txid) = call.variable.parse::<TxId>() else {
        return Ok(Answer::error(400, "invalid hex hash"));
    };
    let node = call.instance.node()?;
    if let Some(entry) = node.mempool.get(&txid) {
        return Ok(Answer::json(200, &json!({"confirmations": 0, "in_mempool": true, "tx": entry.tx})));
    }
    // The chain search knows lower case only.
    let is_lower = !call.variable.bytes().any(|byte| byte.is_ascii_uppercase());
    Ok(match node.tree.transaction(&txid).filter(|_| is_lower) {
        Some((height, tx)) => {
            let confirmations = node.tree.tip_height() + 1 - height;
            let found = json!({
                "block_height": height, "confirmations": confirmations, "in_mempool": false, "tx": tx,
            });
            Answer::json(200, &found)
        }
        None => Answer::error(404, "transaction not found"),
    })
}

#[derive(Serialize)]
struct MempoolStats {
    count: usize,
    size_bytes: usize,
    generation: u64,
    min_fee: u64,
    max_fee: u64,
    avg_fee: u64,
}

pub(super) fn mempool(call: &Call) -> Result<Answer, Stop> {
    let node = call.instance.node()?;
    let fees: Vec<u64> = node.mempool.entries().iter().map(|entry| entry.tx.fee).collect();
    let count = u64::try_from(fees.len()).unwrap_or(u64::MAX);
    Ok(Answer::json(
        200,
        &MempoolStats {
            count: fees.len(),
            size_bytes: node.mempool.bytes(),
            generation: node.mempool.generation(),
            min_fee: fees.iter().min().copied().unwrap_or(0),
            max_fee: fees.iter().max().copied().unwrap_or(0),
            avg_fee: fees.iter().sum::<u64>().checked_div(count).unwrap_or(0),
        },
    ))
}

pub(super) fn mempool_transactions(call: &Call) -> Result<Answer, Stop> {
    let node = call.instance.node()?;
    let transactions: Vec<_> = node.mempool.entries().iter().map(|entry| &entry.tx).collect();
    Ok(Answer::json(200, &transactions))
}

pub(super) fn peers(call: &Call) -> Result<Answer, Stop> {
    let count = call.instance.node()?.network_view().peers;
    let peer = |at| json!({"peer_id": format!("12D3KooWDevnetPeer{at}"), "addrs": ["/ip4/192.0.2.1/tcp/38080"]});
    Ok(Answer::json(200, &json!({"count": count, "peers": (0..count).map(peer).collect::<Vec<_>>()})))
}

pub(super) fn peers_banned() -> Answer {
    Answer::json(200, &json!({"banned": [], "count": 0}))
}

#[derive(Default, serde::Deserialize)]
#[serde(default)]
struct VerifyBody {
    address: String,
    message: String,
    signature: String,
}

/// Simulated addresses have no secret keys that could sign, so no signature is ever valid.
pub(super) fn verify(call: &Call) -> Result<Answer, Stop> {
    let mut node = call.instance.node()?;
    let now_ms = node.clock.now_ms();
    if !node.verify_bucket.take(call.caller, now_ms) {
        return Ok(Answer::error(429, "verify rate limit exceeded"));
    }
    let Some(body) = call.json::<VerifyBody>() else { return Ok(Answer::error(400, "invalid JSON body")) };
    if chain::Address::parse(&body.address, &chain::Network::Testnet).is_err() {
        return Ok(Answer::error(400, "invalid address"));
    }
    if body.message.len() > MESSAGE_BYTES_MAX {
        return Ok(Answer::error(400, "message too long"));
    }
    if hex::decode(&body.signature).map_or(true, |signature| signature.len() != 64) {
        return Ok(Answer::error(400, "invalid signature"));
    }
    Ok(Answer::json(200, &json!({"valid": false})))
}
