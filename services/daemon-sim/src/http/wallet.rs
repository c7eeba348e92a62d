//! Wallet routes other than sending.
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Call;
use super::answer::{Answer, Stop};
use crate::node::Node;
use crate::node::wallet::{LoadRefusal, MINIMUM_PASSWORD_CHARS, Owned, Wallet};

/// A wallet further behind the chain than this shows no balance.
const SCAN_LAG_BLOCKS_MAX: u64 = 100;
const UNCONFIRMED_ETA_SECS: u64 = 3300;
const PAGE_DEFAULT: usize = 50;
const PAGE_MAX: usize = 500;

/// The gate of nearly all wallet routes.
pub(super) fn open_wallet(node: &mut Node) -> Result<&mut Wallet, Answer> {
    match &mut node.wallet {
        None => Err(Answer::error(503, "no wallet loaded")),
        Some(wallet) if wallet.is_locked => Err(Answer::error(403, "wallet is locked")),
        Some(wallet) => Ok(wallet),
    }
}

pub(super) fn address(call: &Call) -> Result<Answer, Stop> {
    let mut node = call.instance.node()?;
    let view_only = node.is_view_only;
    let address = open_wallet(&mut node)?.keys().address();
    Ok(Answer::json(200, &json!({"address": address, "view_only": view_only})))
}

pub(super) async fn balance(call: &Call) -> Result<Answer, Stop> {
    let _reading = call.instance.chain_lock.read().await;
    let mut node = call.instance.node()?;
    let (tip_height, maturity) = (node.tree.tip_height(), node.maturity());
    let wallet = open_wallet(&mut node)?;
    // Unsigned on purpose: a wallet ahead of the chain is "scanning" too.
    if tip_height.wrapping_sub(wallet.synced_height) > SCAN_LAG_BLOCKS_MAX {
        let lagging = json!({"chain_height": tip_height, "scanning": true, "synced_height": wallet.synced_height});
        return Ok(Answer::json(200, &lagging));
    }
    let balance = wallet.balance(tip_height, maturity);
    Ok(Answer::json(
        200,
        &json!({
            "chain_height": tip_height,
            "memo_decrypt_failures": 0,
            "memo_decrypt_last_height": 0,
            "outputs_total": balance.outputs_total,
            "outputs_unspent": balance.outputs_unspent,
            "pending": balance.pending,
            "pending_unconfirmed": balance.pending_unconfirmed,
            "pending_unconfirmed_eta": if balance.pending_unconfirmed > 0 { UNCONFIRMED_ETA_SECS } else { 0 },
            "scanning": false,
            "spendable": balance.spendable,
            "synced_height": wallet.synced_height,
            "total": balance.spendable + balance.pending,
        }),
    ))
}

#[derive(Serialize)]
struct HistoryEntry {
    txid: String,
    output_index: u32,
    amount: u64,
    block_height: u64,
    is_coinbase: bool,
    spent: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    spent_height: Option<u64>,
    #[serde(skip_serializing_if = "String::is_empty")]
    memo_hex: String,
}

pub(super) fn history(call: &Call) -> Result<Answer, Stop> {
    let mut node = call.instance.node()?;
    let entries: Vec<HistoryEntry> = open_wallet(&mut node)?
        .owned()
        .iter()
        .map(|owned| HistoryEntry {
            txid: owned.outpoint.txid.to_string(),
            output_index: owned.outpoint.output_index,
            amount: owned.amount,
            block_height: owned.height,
            is_coinbase: owned.is_coinbase,
            spent: owned.spent.is_some(),
            spent_height: owned.spent.and_then(|spent| spent.height),
            memo_hex: hex::encode(&owned.memo),
        })
        .collect();
    Ok(Answer::json(200, &json!({"count": entries.len(), "outputs": entries})))
}

#[derive(Serialize)]
struct OutputEntry {
    txid: String,
    output_index: u32,
    amount: u64,
    status: &'static str,
    #[serde(rename = "type")]
    kind: &'static str,
    confirmations: u64,
    block_height: u64,
    one_time_pub: String,
    commitment: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    spent_height: Option<u64>,
    #[serde(skip_serializing_if = "String::is_empty")]
    memo_hex: String,
}

pub(super) async fn outputs(call: &Call) -> Result<Answer, Stop> {
    let _reading = call.instance.chain_lock.read().await;
    let mut node = call.instance.node()?;
    let (tip_height, maturity) = (node.tree.tip_height(), node.maturity());
    let wallet = open_wallet(&mut node)?;
    let status = |owned: &Owned| match owned.spent {
        Some(_) => "spent",
        None if owned.is_mature(tip_height, maturity) => "unspent",
        None => "pending",
    };
    let entries: Vec<OutputEntry> = wallet
        .owned()
        .iter()
        .map(|owned| OutputEntry {
            txid: owned.outpoint.txid.to_string(),
            output_index: owned.outpoint.output_index,
            amount: owned.amount,
            status: status(owned),
            kind: if owned.is_coinbase { "coinbase" } else { "regular" },
            confirmations: owned.confirmations(tip_height),
            block_height: owned.height,
            one_time_pub: hex::encode(owned.one_time_key),
            commitment: hex::encode(owned.commitment),
            spent_height: owned.spent.and_then(|spent| spent.height),
            memo_hex: hex::encode(&owned.memo),
        })
        .collect();
    let count = |status| entries.iter().filter(|entry| entry.status == status).count();
    Ok(Answer::json(
        200,
        &json!({
            "chain_height": tip_height,
            "pending": count("pending"),
            "spent": count("spent"),
            "synced_height": wallet.synced_height,
            "total": entries.len(),
            "unspent": count("unspent"),
            "outputs": entries,
        }),
    ))
}

#[derive(Serialize)]
struct SendEntry<'a> {
    txid: String,
    timestamp: i64,
    recorded_height: u64,
    chain_state: &'static str,
    confirmations: u64,
    in_mempool: bool,
    fee: u64,
    total_amount: u64,
    recipients: &'a [crate::node::wallet::SentTo],
}

pub(super) fn sends(call: &Call) -> Result<Answer, Stop> {
    let mut node = call.instance.node()?;
    open_wallet(&mut node)?;
    let number = |name: &str, default: usize| match call.query.get(name) {
        None => Ok(default),
        Some(text) => text.parse().map_err(|_| Answer::error(400, format!("{name} must be an integer >= 0"))),
    };
    let (limit, offset) = (number("limit", PAGE_DEFAULT)?.min(PAGE_MAX), number("offset", 0)?);
    let order = call.query.get("order").map_or("desc", String::as_str);
    if !["asc", "desc"].contains(&order) {
        return Ok(Answer::error(400, "order must be asc or desc"));
    }
    let node = &*node;
    let mut all: Vec<_> = node.wallet.iter().flat_map(Wallet::sends).collect();
    all.sort_by_key(|send| (send.timestamp, send.txid));
    if order == "desc" {
        all.reverse();
    }
    let page: Vec<SendEntry<'_>> = all
        .iter()
        .skip(offset)
        .take(limit)
        .map(|send| {
            let in_mempool = node.mempool.get(&send.txid).is_some();
            let height = node.tree.transaction_height(&send.txid);
            SendEntry {
                txid: send.txid.to_string(),
                timestamp: send.timestamp,
                recorded_height: send.recorded_height,
                chain_state: match height {
                    _ if in_mempool => "mempool",
                    Some(_) => "confirmed",
                    None => "not_found",
                },
                confirmations: height.map_or(0, |height| node.tree.tip_height() + 1 - height),
                in_mempool,
                fee: send.fee,
                total_amount: send.total_amount,
                recipients: &send.recipients,
            }
        })
        .collect();
    Ok(Answer::json(
        200,
        &json!({
            "count": page.len(), "limit": limit, "offset": offset, "order": order, "sends": page, "total": all.len(),
        }),
    ))
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct PasswordBody {
    password: String,
    filepath: String,
    filename: String,
}

impl PasswordBody {
    fn read(call: &Call) -> Result<PasswordBody, Answer> {
        let body = call.json::<PasswordBody>().ok_or_else(|| Answer::error(400, "invalid JSON body"))?;
        if body.password.chars().count() < MINIMUM_PASSWORD_CHARS {
            let text = format!("password must be at least {MINIMUM_PASSWORD_CHARS} characters");
            return Err(Answer::error(400, text));
        }
        Ok(body)
    }
}

/// Directories are ignored: wallets live in one place.
fn base_name(given: &str, default: &str) -> Result<String, Answer> {
    if given.trim().is_empty() {
        return Ok(default.to_owned());
    }
    let name = Path::new(given.trim()).file_name().and_then(|name| name.to_str());
    name.map(str::to_owned).ok_or_else(|| Answer::error(400, "invalid filepath"))
}

pub(super) fn load(call: &Call) -> Result<Answer, Stop> {
    let mut node = call.instance.node()?;
    if node.wallet.is_some() {
        return Ok(Answer::error(409, "wallet already loaded"));
    }
    let body = PasswordBody::read(call)?;
    let filename = base_name(&body.filepath, &node.params.wallet_file)?;
    let wallet = match Wallet::load(&node.wallet_path(&filename), &body.password, &node.tree) {
        Ok(wallet) => wallet,
        Err(refusal) => {
            let status = match refusal {
                LoadRefusal::NotFound => 404,
                LoadRefusal::NotReadable => 403,
                LoadRefusal::WrongPassword => 401,
                LoadRefusal::Io => 500,
            };
            return Ok(Answer::error(status, refusal));
        }
    };
    let answer = json!({
        "address": wallet.keys().address(),
        "chain_height": node.tree.tip_height(),
        "filename": filename,
        "loaded": true,
        "synced_height": wallet.synced_height,
    });
    node.set_wallet(wallet)?;
    Ok(Answer::json(200, &answer))
}

pub(super) fn create(call: &Call) -> Result<Answer, Stop> {
    let mut node = call.instance.node()?;
    if node.wallet.is_some() {
        return Ok(Answer::error(409, "wallet already loaded"));
    }
    let body = PasswordBody::read(call)?;
    let filename = base_name(&body.filename, &node.params.wallet_file)?;
    let path = node.wallet_path(&filename);
    if path.exists() {
        return Ok(Answer::error(409, format!("wallet file already exists: {filename}")));
    }
    let keys = node.new_wallet_keys();
    let wallet = Wallet::create(&path, keys, &body.password, node.clock.now_secs(), &node.tree)?;
    node.wallet = Some(wallet);
    Ok(Answer::json(200, &json!({"address": keys.address(), "created": true, "filename": filename})))
}

pub(super) fn unload(call: &Call) -> Result<Answer, Stop> {
    let mut node = call.instance.node()?;
    Ok(match node.wallet.take() {
        Some(_) => Answer::json(200, &json!({"unloaded": true})),
        None => Answer::error(503, "no wallet loaded"),
    })
}

pub(super) fn lock(call: &Call) -> Result<Answer, Stop> {
    let mut node = call.instance.node()?;
    let Some(wallet) = &mut node.wallet else { return Ok(Answer::error(503, "no wallet loaded")) };
    wallet.is_locked = true;
    Ok(Answer::json(200, &json!({"locked": true})))
}

pub(super) async fn unlock(call: &Call) -> Result<Answer, Stop> {
    let failed = {
        let mut guard = call.instance.node()?;
        let node = &mut *guard;
        let now_ms = node.clock.now_ms();
        let Some(wallet) = &mut node.wallet else { return Ok(Answer::error(503, "no wallet loaded")) };
        if let Err(refusal) = node.unlock_backoff.check(call.caller, now_ms) {
            return Ok(too_many(refusal));
        }
        let Some(body) = call.json::<PasswordBody>() else {
            return Ok(Answer::error(400, "invalid JSON body"));
        };
        if wallet.has_password(&body.password) {
            wallet.is_locked = false;
            node.unlock_backoff.succeed(call.caller);
            return Ok(Answer::json(200, &json!({"locked": false})));
        }
        node.unlock_backoff.fail(call.caller, now_ms)
    };
    match failed {
        Ok(delay_ms) => {
            tokio::time::sleep(Duration::from_millis(u64::try_from(delay_ms).unwrap_or(0))).await;
            Ok(Answer::error(401, "incorrect password"))
        }
        Err(refusal) => Ok(too_many(refusal)),
    }
}

fn too_many(refusal: crate::node::limits::UnlockRefusal) -> Answer {
    Answer::error(429, refusal.text).with_header("Retry-After", refusal.retry_after_secs)
}

/// Scans forward only; while the scan is held up by a test it says so and does not move.
pub(super) fn sync(call: &Call) -> Result<Answer, Stop> {
    let mut node = call.instance.node()?;
    let tip_height = node.tree.tip_height();
    let synced_height = open_wallet(&mut node)?.synced_height;
    let status = if synced_height >= tip_height { "already synced" } else { "scanning" };
    node.scan_wallet()?;
    let answer: Value = json!({"chain_height": tip_height, "status": status, "synced_height": synced_height});
    Ok(Answer::json(200, &answer))
}
