//! What the pool is, and how it does.
use actix_web::{HttpResponse, web};
use serde_json::{Value, json};
use units::Amount;

use crate::{WebParts, lists};

/// Seconds between two blocks that the network aims at; until a second block was seen.
const BLOCK_SECONDS: f64 = 300.0;

/// Routes below `/api` that there are.
pub(crate) struct RouteList {
    /// For everybody.
    pub(crate) public: Vec<&'static str>,
    /// Those that ask for a key and answer whoever has one.
    pub(crate) protected: Vec<&'static str>,
}

pub(crate) async fn info(parts: web::Data<WebParts>, routes: web::Data<RouteList>) -> HttpResponse {
    let settings = &parts.settings;
    HttpResponse::Ok().json(json!({
        "pool_name": settings.pool.name,
        "pool_url": settings.pool.url,
        "version": env!("CARGO_PKG_VERSION"),
        "network": settings.pool.network,
        "stratum_port": settings.stratum.listen.port(),
        "stratum_listen": settings.stratum.listen.to_string(),
        "pool_fee_pct": settings.pool.fee_bps.get() as f64 / 100.0,
        "pool_fee_flat": coins(settings.pool.fee_flat),
        "finder_bonus_bps": settings.pool.finder_bonus_bps,
        "fee_bps": settings.pool.fee_bps,
        "min_payout_amount": coins(settings.payout.min_amount),
        "min_payout_atoms": settings.payout.min_amount.atoms(),
        "blocks_before_payout": settings.blocks.confirmations,
        "payout_scheme": settings.pool.scheme,
        "pplns_window_duration": humantime::format_duration(settings.pplns.window).to_string(),
        "payout_interval_seconds": settings.payout.interval.as_secs(),
        "network_fee_policy": settings.payout.network_fee,
        "settle_depth": parts.settle_depth,
        "sample_rate": settings.validation.sample_rate,
        "warmup_shares": settings.validation.warmup_shares,
        "min_sample_every": settings.validation.min_sample_every,
        "payout_provisional_cap_multiplier": settings.pplns.provisional_cap_multiplier,
        "api_auth_configured": !parts.keys.is_empty(),
        "started_at": parts.started_at,
        "public_endpoints": routes.public,
        "protected_endpoints": routes.protected,
    }))
}

/// A setting as older clients read it; amounts of money are atoms everywhere else.
fn coins(amount: Amount) -> f64 {
    amount.atoms() as f64 / 1e8
}

pub(crate) async fn stats(parts: web::Data<WebParts>) -> HttpResponse {
    let live = parts.live.borrow().clone();
    let (totals, counts) = (&live.totals, &parts.counts);
    let template = parts.jobs.borrow().as_ref().map(|job| job.template.clone());
    let difficulty = template.as_ref().map(|template| template.network_difficulty);
    let tip = parts.tip.borrow().clone();
    let position = parts.position.borrow().unwrap_or_default();
    let provisional = totals.shares.saturating_sub(totals.verified + totals.refuted);
    let ratio = |part: u64, whole: u64| if whole == 0 { 0.0 } else { 100.0 * part as f64 / whole as f64 };
    HttpResponse::Ok().json(json!({
        // How old the figures are: of this process, and of the database.
        "sampled_at": live.sampled_at,
        "stored_at": live.stored_at,
        "pool": {
            "miners": live.miners,
            "workers": live.workers,
            "connections": counts.stratum_connections.get(),
            "hashrate": live.hashrate,
            "shares_accepted": totals.shares,
            "shares_rejected": totals.rejects,
            "shares_verified": totals.verified,
            "shares_provisional": provisional,
            "total_shares": totals.shares + totals.rejects,
            "blocks_found": totals.blocks,
            "total_blocks": totals.blocks,
            "orphaned_blocks": totals.orphaned,
            "orphan_rate_pct": ratio(totals.orphaned, totals.blocks + totals.orphaned),
            "pool_fees_collected": totals.fees.atoms(),
            "paid_to_miners_total": totals.paid.atoms(),
            "last_share_at": totals.last_share_at,
        },
        "chain": {
            "current_job_height": template.as_ref().map(|template| template.height),
            "network_difficulty": difficulty,
            // A number for the miner's display, whatever is known.
            "network_hashrate": difficulty.map_or(0.0, |difficulty| difficulty.get() as f64 / live.block_seconds.unwrap_or(BLOCK_SECONDS)),
            "daemon_chain_height": tip.hash.is_some().then_some(tip.height),
            "daemon_syncing": tip.reachable.then_some(tip.syncing),
        },
        "round": {
            "round_start": live.round_started_at,
            "round_work": live.round_work,
            "expected_work": difficulty,
            "effort_pct": difficulty.map(|difficulty| lists::effort_pct(live.round_work, difficulty)),
        },
        "validation": {
            "in_flight": counts.checks_running.get(),
            "candidate_queue_depth": counts.claims_waiting.get(),
            "regular_queue_depth": counts.checks_owed.get(),
            "audit_debt": counts.checks_forgone_total.get() + counts.offers_forgone_total.get(),
            "total_shares": counts.shares_accepted_total.get(),
            "sampled_shares": counts.checks_sampled_total.get(),
            "invalid_samples": counts.checks_failed_total.get(),
            "pending_provisional": provisional,
            "fraud_detections": counts.checks_failed_total.get(),
        },
        "payouts": {
            // Balances that no payout has taken yet; what payouts under way hold is pending.
            "unpaid_count": totals.unpaid_miners,
            "unpaid_amount": totals.unpaid.atoms(),
            "pending_count": totals.payouts_open,
            "pending_total_amount": totals.payouts_open_amount.atoms(),
            "next_sweep_in_seconds": Value::Null,
            "last_payout_at": totals.last_payout_at,
        },
        "ledger": { "durable_seq": position.durable, "folded_seq": position.folded },
    }))
}
