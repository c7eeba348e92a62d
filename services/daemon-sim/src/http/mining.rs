//! Templates, submits, events.
use chain::tx::{Bytes, Transaction};
use chain::{Address, Block as FullBlock, BlockHeader, Network, Target};
use devnet_accounts::Keys;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use units::Nonce;

use super::answer::{Answer, Stop};
use super::{Call, Instance};
use crate::events::Subscription;
use crate::faults::Phase;
use crate::node::BlockError;
use crate::node::templates::RenewRefusal;
use crate::params::Routes;

/// The daemon's own miner is always off.
pub(super) fn own_miner() -> Answer {
    Answer::json(200, &json!({"running": false, "threads": 1}))
}

pub(super) async fn subscribe(call: &Call) -> Result<Subscription, Stop> {
    let _reading = call.instance.chain_lock.read().await;
    let mut node = call.instance.node()?;
    let (height, syncing) = (node.tree.tip_height(), node.network_view().syncing);
    let keepalive_every = node.params.events_keepalive;
    Ok(node.events.subscribe(height, syncing, keepalive_every))
}

#[derive(Serialize)]
struct Template {
    block: FullBlock,
    header_base: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    mempool_generation: Option<u64>,
    reward_address_used: String,
    target: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    template_expires_at_unix_ms: Option<i64>,
    template_id: String,
}

pub(super) async fn template(call: &Call) -> Result<Answer, Stop> {
    let _reading = call.instance.chain_lock.read().await;
    let mut node = call.instance.node()?;
    let Some(wallet) = &node.wallet else { return Ok(Answer::error(503, "no wallet loaded")) };
    let own = *wallet.keys();
    if node.is_far_behind() {
        return Ok(Answer::error(503, "node is syncing"));
    }
    let asked = call.query.get("address").map(String::as_str).unwrap_or_default();
    let asked: String = asked.chars().filter(|char| (' '..='~').contains(char)).collect();
    let (keys, reward_address_used) = if asked.trim().is_empty() {
        (own, own.address())
    } else {
        match Address::parse(&asked, &Network::Testnet) {
            Ok(address) => (Keys::from(&address), asked),
            Err(_) => return Ok(Answer::error(400, "invalid address")),
        }
    };
    let block = node.build_template(keys);
    let (id, tip, now_ms) = (node.random_id(), node.tip().id, node.clock.now_ms());
    let expires_at_ms = match node.templates.issue(id.clone(), block.clone(), &tip, now_ms) {
        Ok(expires_at_ms) => expires_at_ms,
        Err(full) => {
            let body = json!({
                "code": "mining_template_cache_full",
                "error": "mining template cache full, retry after a lease expires or the chain tip changes",
            });
            return Ok(Answer::json(503, &body).with_header("Retry-After", full.retry_after_secs));
        }
    };
    let is_current = node.params.routes == Routes::Full;
    let template = Template {
        header_base: block.header.base().to_hex(),
        target: Target::from_hashes(block.header.difficulty).to_hex(),
        block,
        mempool_generation: is_current.then(|| node.mempool.generation()),
        reward_address_used,
        template_expires_at_unix_ms: is_current.then_some(expires_at_ms),
        template_id: id,
    };
    Ok(Answer::json(200, &template))
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RenewBody {
    template_id: String,
}

pub(super) async fn renew(call: &Call) -> Result<Answer, Stop> {
    let Some(body) = call.json::<RenewBody>() else { return Ok(Answer::error(400, "invalid JSON body")) };
    let id = body.template_id.trim();
    if id.is_empty() {
        return Ok(Answer::error(400, "template_id is required"));
    }
    let _reading = call.instance.chain_lock.read().await;
    let mut node = call.instance.node()?;
    let (tip, now_ms) = (node.tip().id, node.clock.now_ms());
    Ok(match node.templates.renew(id, &tip, now_ms) {
        Ok(expires_at_ms) => {
            Answer::json(200, &json!({"template_expires_at_unix_ms": expires_at_ms, "template_id": id}))
        }
        Err(RenewRefusal::Unknown) => Answer::error(404, "unknown or expired template_id"),
        Err(RenewRefusal::NotOnTip) => Answer::error(409, "template no longer builds on current tip"),
    })
}

/// The header of a full submit; what is missing is zero.
#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct SubmitHeader {
    version: u32,
    height: u64,
    prev_hash: Option<Bytes<32>>,
    merkle_root: Option<Bytes<32>>,
    timestamp: i64,
    difficulty: u64,
    nonce: u64,
}

/// Both forms of a submit in one: an id that is not blank makes it a compact one.
#[derive(Default, Deserialize)]
#[serde(default)]
struct SubmitBody {
    template_id: Option<String>,
    nonce: Option<u64>,
    header: SubmitHeader,
    transactions: Option<Vec<Transaction>>,
}

enum Submitted {
    Compact { id: String, nonce: u64 },
    Full(FullBlock),
}

fn read_submit(body: &[u8]) -> Result<Submitted, &'static str> {
    const INVALID: &str = "invalid JSON body";
    let value: Value = serde_json::from_slice(body).map_err(|_| INVALID)?;
    if !value.is_object() {
        return Err(INVALID);
    }
    let body: SubmitBody = serde_json::from_value(value).map_err(|_| INVALID)?;
    let id = body.template_id.unwrap_or_default();
    if !id.trim().is_empty() {
        let nonce = body.nonce.ok_or("nonce is required with template_id")?;
        return Ok(Submitted::Compact { id: id.trim().to_owned(), nonce });
    }
    let header = BlockHeader {
        version: body.header.version,
        height: body.header.height,
        prev_hash: body.header.prev_hash.unwrap_or(Bytes([0; 32])),
        merkle_root: body.header.merkle_root.unwrap_or(Bytes([0; 32])),
        timestamp: body.header.timestamp,
        difficulty: body.header.difficulty,
        nonce: body.header.nonce,
    };
    Ok(Submitted::Full(FullBlock { header, transactions: body.transactions.unwrap_or_default() }))
}

fn resolve(instance: &Instance, submitted: Submitted) -> Result<FullBlock, Stop> {
    match submitted {
        Submitted::Full(block) => Ok(block),
        Submitted::Compact { id, nonce } => {
            let mut node = instance.node()?;
            let now_ms = node.clock.now_ms();
            let unknown = || Answer::error(400, "unknown or expired template_id");
            let mut block = node.templates.get(&id, now_ms).ok_or_else(unknown)?.clone();
            block.header.nonce = nonce;
            Ok(block)
        }
    }
}

fn refuse(error: BlockError) -> Stop {
    match error {
        BlockError::Stale => Answer::error(400, &error).into(),
        BlockError::Invalid(reason) => {
            tracing::info!(%reason, "API internal error: POST /api/mining/submitblock");
            Answer::error(400, "block rejected").into()
        }
        BlockError::Persist(error) => error.into(),
    }
}

pub(super) async fn submit(call: &Call) -> Result<Answer, Stop> {
    let instance = &call.instance;
    let gate = {
        let mut node = instance.node()?;
        let now_ms = node.clock.now_ms();
        if !node.submit_bucket.take(call.caller, now_ms) {
            return Ok(Answer::error(429, "submitblock rate limit exceeded"));
        }
        node.submit_gate.clone()
    };
    let Some(_place) = gate.enter() else {
        return Ok(Answer::error(429, "submitblock busy, retry later"));
    };
    let body = call.body.as_deref().unwrap_or_default();
    let submitted = match read_submit(body) {
        Ok(submitted) => submitted,
        Err(text) => return Ok(Answer::error(400, text)),
    };
    let block = resolve(instance, submitted)?;
    let _validating = instance.chain_lock.write().await;
    instance.node()?.check_before_work(&block.header).map_err(refuse)?;
    call.meet_faults(Phase::During).await;
    tokio::time::sleep(instance.shared.params.block_validation).await;
    let (shared, base, nonce) = (instance.shared.clone(), block.header.base(), Nonce::new(block.header.nonce));
    let hash = actix_web::web::block(move || shared.hasher.hash(&base, nonce)).await;
    let Ok(Ok(hash)) = hash else {
        tracing::error!(?hash, "proof of work cannot be checked");
        return Ok(Answer::error(500, "internal error"));
    };
    let height = block.header.height;
    let id = instance.node()?.submit(block, &hash).map_err(refuse)?;
    call.meet_faults(Phase::Effected).await;
    Ok(Answer::json(200, &json!({"accepted": true, "hash": id, "height": height})))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_of_a_submit_is_judged_as_the_daemon_does() {
        let text = |body: &str| read_submit(body.as_bytes()).map(|_| ()).unwrap_err();
        for body in ["{", "[]", r#"{"template_id":5}"#, r#"{"template_id":"a","nonce":"1"}"#, "{} {}"] {
            assert_eq!(text(body), "invalid JSON body", "{body}");
        }
        for nonce in ["-1", "1.5", "true"] {
            assert_eq!(text(&format!(r#"{{"template_id":"a","nonce":{nonce}}}"#)), "invalid JSON body");
        }
        assert_eq!(text(r#"{"template_id":"a","nonce":null}"#), "nonce is required with template_id");
        assert!(matches!(read_submit(b"{}"), Ok(Submitted::Full(block)) if block.header.height == 0));
        let both = br#"{"template_id":" a ","nonce":18446744073709551615,"header":{"Height":5}}"#;
        assert!(matches!(read_submit(both), Ok(Submitted::Compact { id, nonce: u64::MAX }) if id == "a"));
    }
}
