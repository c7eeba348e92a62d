//! What one miner sees. The real miner polls the balance every five seconds.
use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use serde_json::{Value, json};
use store::blocks::Block;
use store::ledger::Balance;
use store::payouts::IntentState;
use store::reads::{BlockPage, MinerSummary, PayoutRow, WorkerRow};
use units::Amount;

use crate::WebParts;
use crate::answer::{ApiResult, problem};
use crate::lists::{self, Audience, is_confirmed};

/// Payouts and blocks that one page shows.
const ROWS: u64 = 50;

/// Always an answer: zeros for an address that nobody mines to. The miner looks at the body alone.
pub(crate) async fn balance(parts: web::Data<WebParts>, address: web::Path<String>) -> ApiResult {
    // What is no address has no balance, and the database need not be asked for it.
    let known = lists::address(&parts, "address", &address).ok();
    let address = known.as_ref().map_or_else(|| address.into_inner(), |known| known.as_str().to_owned());
    let balance = if known.is_some() { parts.store.balance_of(&address).await? } else { Balance::default() };
    let payouts = match balance.inflight {
        Amount::ZERO => Vec::new(),
        _ => parts.store.payout_list_of(&address, ROWS).await?,
    };
    Ok(HttpResponse::Ok().json(json!({
        "address": address,
        "balance": balance_json(&balance),
        "pending_estimate": Value::Null,
        "pending_payout": pending_payout(&address, &payouts),
    })))
}

/// 404 for an address that never mined here, with the same members as for one that did.
pub(crate) async fn miner(parts: web::Data<WebParts>, address: web::Path<String>) -> ApiResult {
    let address = lists::address(&parts, "address", &address)?;
    let address = address.as_str();
    let now = parts.counts.booking_clock.now((parts.clock)());
    let summary = parts.store.miner_summary(address, live::hashrate_since(now)).await?;
    let known = summary.is_some();
    let page = BlockPage { finder: Some(address.to_owned()), limit: ROWS, ..BlockPage::default() };
    let ((blocks, found), payouts, balance) = if known {
        let blocks = parts.store.block_list(page).await?;
        let payouts = parts.store.payout_list_of(address, ROWS).await?;
        (blocks, payouts, parts.store.balance_of(address).await?)
    } else {
        ((Vec::new(), 0), Vec::new(), Balance::default())
    };
    let summary = summary.unwrap_or_else(|| MinerSummary {
        first_share_at: None,
        gone_shares: 0,
        gone_rejects: 0,
        workers: Vec::new(),
    });
    let recent = |worker: &WorkerRow| worker.recent_since.map(|since| (since, worker.recent_work));
    let sum = |pick: fn(&WorkerRow) -> u64| summary.workers.iter().map(pick).sum::<u64>();
    let worker = |worker: &WorkerRow| {
        json!({
            "worker": worker.worker,
            "hashrate": live::hashrate(recent(worker), now),
            "accepted": worker.shares,
            "rejected": worker.rejects,
            "last_share_at": worker.last_share_at,
        })
    };
    let own = |block: &Block| lists::block_json(&parts, block, Audience::Finder);
    let body = json!({
        "address": address,
        "hashrate": live::hashrate(summary.workers.iter().filter_map(recent), now),
        "mining_since": summary.first_share_at,
        "total_accepted": summary.gone_shares + sum(|worker| worker.shares),
        "total_rejected": summary.gone_rejects + sum(|worker| worker.rejects),
        "balance": balance_json(&balance),
        "pending_estimate": Value::Null,
        "pending_payout": pending_payout(address, &payouts),
        "payouts": payouts.iter().map(payout_json).collect::<Vec<_>>(),
        "workers": summary.workers.iter().map(worker).collect::<Vec<_>>(),
        "blocks_found": blocks.iter().map(own).collect::<Vec<_>>(),
        // The list holds the newest only.
        "blocks_found_total": found,
    });
    if known {
        return Ok(HttpResponse::Ok().json(body));
    }
    Ok(problem(HttpResponse::NotFound(), StatusCode::NOT_FOUND, "this address has not mined here", body))
}

/// Unsigned integers: the miner reads `pending_confirmed` and `paid`.
fn balance_json(balance: &Balance) -> Value {
    let (unqueued, queued) = (balance.payable.atoms(), balance.inflight.atoms());
    let pending = unqueued.saturating_add(queued);
    json!({
        "pending": pending,
        "pending_confirmed": pending,
        "pending_queued": queued,
        "pending_unqueued": unqueued,
        "paid": balance.paid.atoms(),
    })
}

/// The payout that is under way to this address, if there is one.
fn pending_payout(address: &str, payouts: &[PayoutRow]) -> Value {
    let open = |row: &&PayoutRow| !matches!(row.state, IntentState::Settled | IntentState::Released);
    payouts.iter().find(open).map_or(
        Value::Null,
        |row| json!({ "address": address, "amount": row.net.atoms(), "initiated_at": row.at, "state": row.state.as_str() }),
    )
}

fn payout_json(row: &PayoutRow) -> Value {
    json!({
        "amount": row.net.atoms(),
        "fee": row.fee.atoms(),
        "tx_hash": row.txid,
        "timestamp": row.at,
        "confirmed": is_confirmed(row.state),
    })
}
