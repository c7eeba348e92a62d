//! Pages of blocks and payouts.
use actix_web::{HttpResponse, web};
use serde::Deserialize;
use serde_json::{Value, json};
use store::blocks::{Block, BlockState};
use store::payouts::IntentState;
use store::reads::{BlockPage, PayoutRow};

use crate::WebParts;
use crate::answer::{ApiError, ApiResult};

const LIMIT_DEFAULT: u64 = 25;
const LIMIT_MAX: u64 = 200;
const OFFSET_MAX: u64 = 1_000_000;

#[derive(Deserialize)]
pub(crate) struct PageQuery {
    limit: Option<u64>,
    offset: Option<u64>,
    status: Option<String>,
    finder: Option<String>,
}

impl PageQuery {
    fn limit(&self) -> u64 {
        self.limit.unwrap_or(LIMIT_DEFAULT).clamp(1, LIMIT_MAX)
    }

    fn offset(&self) -> u64 {
        self.offset.unwrap_or(0).min(OFFSET_MAX)
    }

    fn states(&self) -> Result<Vec<BlockState>, ApiError> {
        use BlockState::{Candidate, Confirmed, Credited, Lost, Reversed, Seen, Submitted};
        Ok(match self.status.as_deref() {
            None => Vec::new(),
            Some("pending") => vec![Candidate, Submitted, Seen],
            Some("confirmed") => vec![Confirmed, Credited],
            Some("paid") => vec![Credited],
            Some("unpaid") => vec![Candidate, Submitted, Seen, Confirmed],
            Some("orphaned") => vec![Lost, Reversed],
            Some(other) => {
                let text = format!("status: `{other}` is none of pending, confirmed, paid, unpaid, orphaned");
                return Err(ApiError::BadRequest(text));
            }
        })
    }

    fn envelope(&self, items: Vec<Value>, total: u64) -> Value {
        let page = json!({ "limit": self.limit(), "offset": self.offset(), "returned": items.len(), "total": total });
        json!({ "items": items, "page": page })
    }
}

pub(crate) async fn blocks(parts: web::Data<WebParts>, query: web::Query<PageQuery>) -> ApiResult {
    let page = BlockPage {
        states: query.states()?,
        finder: query.finder.clone(),
        offset: query.offset(),
        limit: query.limit(),
    };
    let (blocks, total) = parts.store.block_list(page).await?;
    let items = blocks.iter().map(|block| block_json(&parts, block)).collect();
    Ok(HttpResponse::Ok().json(query.envelope(items, total)))
}

pub(crate) fn block_json(parts: &WebParts, block: &Block) -> Value {
    let required = parts.settings.blocks.confirmations;
    let depth = block.height.depth_below(parts.tip.borrow().height).unwrap_or(0);
    json!({
        "height": block.height,
        "hash": block.hash,
        "difficulty": block.difficulty,
        "finder": block.finder.as_deref().map(shortened),
        "finder_worker": block.worker,
        "reward": block.reward.atoms(),
        "found_at": block.found_at,
        "timestamp": block.found_at,
        "state": block.state.as_str(),
        "confirmations": depth.min(required),
        "confirmations_required": required,
        "confirmed": matches!(block.state, BlockState::Confirmed | BlockState::Credited),
        "orphaned": matches!(block.state, BlockState::Lost | BlockState::Reversed) || block.displaced_at.is_some(),
        "paid_out": block.state == BlockState::Credited,
        "effort_pct": 100.0 * block.round_work.get() as f64 / block.difficulty.get() as f64,
        "duration_seconds": block.found_at.since(block.round_started_at).as_secs(),
        "hold_reason": block.hold_reason,
    })
}

pub(crate) async fn payouts(parts: web::Data<WebParts>, query: web::Query<PageQuery>) -> ApiResult {
    let (rows, total) = parts.store.payout_list(query.offset(), query.limit()).await?;
    Ok(HttpResponse::Ok().json(query.envelope(rows.iter().map(payout_json).collect(), total)))
}

fn payout_json(row: &PayoutRow) -> Value {
    json!({
        "intent_id": row.intent,
        "state": row.state.as_str(),
        "total_amount": row.net.atoms(),
        "total_fee": row.fee.atoms(),
        "recipient_count": row.recipients,
        "tx_hashes": row.txid.iter().collect::<Vec<_>>(),
        "timestamp": row.at,
        "confirmed": is_confirmed(row.state),
        // The words are an operator's business; that there are some is everybody's.
        "attention": row.attention.as_ref().map(|_| "an operator looks at this payout"),
    })
}

pub(crate) fn is_confirmed(state: IntentState) -> bool {
    matches!(state, IntentState::Confirmed | IntentState::Settled)
}

/// Enough of an address for its owner to recognise it.
fn shortened(address: &str) -> String {
    match (address.get(..6), address.len().checked_sub(4).and_then(|from| address.get(from..))) {
        (Some(head), Some(tail)) if address.len() > 12 => format!("{head}…{tail}"),
        _ => address.to_owned(),
    }
}
