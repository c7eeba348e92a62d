//! What one miner sees. The real miner polls the balance every five seconds.
use std::time::Duration;

use actix_web::{HttpResponse, web};
use chain::Address;
use serde_json::{Value, json};
use store::reads::{BlockPage, PayoutRow, WorkerRow};
use units::Work;

use crate::WebParts;
use crate::answer::{ApiError, ApiResult};
use crate::lists::{block_json, is_confirmed};

/// Over which a miner's hashrate is measured.
const HASHRATE_WINDOW: Duration = Duration::from_secs(3600);
/// Payouts and blocks that one page shows.
const ROWS: u64 = 50;

pub(crate) async fn balance(parts: web::Data<WebParts>, address: web::Path<String>) -> ApiResult {
    let address = address.into_inner();
    let balance = balance_json(&parts, &address).await?;
    Ok(HttpResponse::Ok().json(json!({ "address": address, "balance": balance })))
}

pub(crate) async fn miner(parts: web::Data<WebParts>, address: web::Path<String>) -> ApiResult {
    let network = parts.settings.pool.network.addresses();
    let address =
        Address::parse(&address, &network).map_err(|error| ApiError::BadRequest(format!("address: {error}")))?;
    let address = address.as_str();
    let now = (parts.clock)();
    let since = now.minus(HASHRATE_WINDOW).minute();
    let Some(summary) = parts.store.miner_summary(address, since).await? else {
        return Err(ApiError::NotFound("this address has not mined here"));
    };
    let span = summary.first_share_at.map_or(HASHRATE_WINDOW, |first| now.since(first));
    let span = span.clamp(Duration::from_secs(60), HASHRATE_WINDOW).as_secs_f64();
    let rate = |work: Work| work.get() as f64 / span;
    let sum = |pick: fn(&WorkerRow) -> u64| summary.workers.iter().map(pick).sum::<u64>();
    let workers: Vec<Value> = summary
        .workers
        .iter()
        .map(|worker| {
            json!({
                "worker": worker.worker,
                "hashrate": rate(worker.recent_work),
                "accepted": worker.shares,
                "rejected": worker.rejects,
                "last_share_at": worker.last_share_at,
            })
        })
        .collect();
    let page = BlockPage { finder: Some(address.to_owned()), limit: ROWS, ..BlockPage::default() };
    let (blocks, _) = parts.store.block_list(page).await?;
    let payouts = parts.store.payout_list_of(address, ROWS).await?;
    Ok(HttpResponse::Ok().json(json!({
        "address": address,
        "hashrate": summary.workers.iter().map(|worker| rate(worker.recent_work)).sum::<f64>(),
        "mining_since": summary.first_share_at,
        "total_accepted": sum(|worker| worker.shares),
        "total_rejected": sum(|worker| worker.rejects),
        "balance": balance_json(&parts, address).await?,
        "pending_estimate": Value::Null,
        "payouts": payouts.iter().map(payout_json).collect::<Vec<_>>(),
        "workers": workers,
        "blocks_found": blocks.iter().map(|block| block_json(&parts, block)).collect::<Vec<_>>(),
    })))
}

/// Integers, zeros for an unknown address: the miner reads `pending_confirmed` and `paid`.
async fn balance_json(parts: &WebParts, address: &str) -> Result<Value, ApiError> {
    let balance = parts.store.balance_of(address).await?;
    let (unqueued, queued) = (balance.payable.atoms(), balance.inflight.atoms());
    let pending = unqueued.saturating_add(queued);
    Ok(json!({
        "pending": pending,
        "pending_confirmed": pending,
        "pending_queued": queued,
        "pending_unqueued": unqueued,
        "paid": balance.paid.atoms(),
    }))
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
