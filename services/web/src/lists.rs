//! Pages of blocks and payouts.
use actix_web::http::Uri;
use actix_web::{HttpRequest, HttpResponse, web};
use chain::Address;
use live::{RECENT, Recent};
use serde_json::{Value, json};
use store::blocks::{Block, BlockState, HELD_UNCHECKED};
use store::payouts::IntentState;
use store::reads::{BlockPage, PayoutRow};
use units::{Difficulty, Work};

use crate::WebParts;
use crate::answer::{ApiError, ApiResult};

const LIMIT_DEFAULT: u64 = 25;
const LIMIT_MAX: u64 = 200;
const OFFSET_MAX: u64 = 1_000_000;

/// What of a list is asked for. Parameters that are not known are left alone.
struct PageQuery {
    limit: u64,
    offset: u64,
    states: Vec<BlockState>,
    orphaned: Option<bool>,
    finder: Option<String>,
}

impl PageQuery {
    fn parse(uri: &Uri, parts: &WebParts) -> Result<PageQuery, ApiError> {
        let mut page = PageQuery { limit: LIMIT_DEFAULT, offset: 0, states: Vec::new(), orphaned: None, finder: None };
        let pairs = web::Query::<Vec<(String, String)>>::from_query(uri.query().unwrap_or_default())
            .map_err(|_| ApiError::BadRequest("query: is not a list of key=value".to_owned()))?;
        for (name, value) in pairs.into_inner() {
            match name.as_str() {
                "limit" => page.limit = whole("limit", &value)?.clamp(1, LIMIT_MAX),
                "offset" => page.offset = whole("offset", &value)?.min(OFFSET_MAX),
                "status" => (page.states, page.orphaned) = status(&value)?,
                // Whole addresses only: a part of one would let anybody complete the shortened ones.
                "finder" => page.finder = Some(address(parts, "finder", &value)?.as_str().to_owned()),
                _ => {}
            }
        }
        Ok(page)
    }

    /// The page from what `Live` keeps at hand, if it lies wholly in there.
    fn of<'a, T>(&self, recent: &'a Recent<T>) -> Option<&'a [T]> {
        let plain = self.states.is_empty() && self.orphaned.is_none() && self.finder.is_none();
        let known = self.offset + self.limit <= RECENT || recent.total <= RECENT;
        if !plain || !known {
            return None;
        }
        let edge = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(recent.rows.len());
        recent.rows.get(edge(self.offset)..edge(self.offset + self.limit))
    }

    fn answer(&self, items: &[Value], total: u64) -> HttpResponse {
        let page = json!({ "limit": self.limit, "offset": self.offset, "returned": items.len(), "total": total });
        HttpResponse::Ok().json(json!({ "items": items, "page": page }))
    }
}

fn whole(name: &str, value: &str) -> Result<u64, ApiError> {
    value.parse().map_err(|_| ApiError::BadRequest(format!("{name}: must be a whole number")))
}

/// Which states, and whether another block stands at their height.
fn status(value: &str) -> Result<(Vec<BlockState>, Option<bool>), ApiError> {
    use BlockState::{Candidate, Confirmed, Credited, Seen, Submitted};
    Ok(match value {
        "pending" => (vec![Candidate, Submitted, Seen], Some(false)),
        "confirmed" => (vec![Confirmed, Credited], Some(false)),
        "paid" => (vec![Credited], None),
        "unpaid" => (vec![Candidate, Submitted, Seen, Confirmed], Some(false)),
        "orphaned" => (Vec::new(), Some(true)),
        "all" | "" => (Vec::new(), None),
        _ => {
            let text = "status: must be one of all, pending, confirmed, paid, unpaid, orphaned";
            return Err(ApiError::BadRequest(text.to_owned()));
        }
    })
}

/// An address of this pool's network.
pub(crate) fn address(parts: &WebParts, name: &str, text: &str) -> Result<Address, ApiError> {
    Address::parse(text, &parts.settings.pool.network.addresses())
        .map_err(|error| ApiError::BadRequest(format!("{name}: {error}")))
}

pub(crate) async fn blocks(parts: web::Data<WebParts>, request: HttpRequest) -> ApiResult {
    let query = PageQuery::parse(request.uri(), &parts)?;
    let show = |blocks: &[Block]| blocks.iter().map(|block| block_json(&parts, block, Audience::Public)).collect();
    let live = parts.live.borrow().clone();
    let (items, total): (Vec<Value>, u64) = match query.of(&live.blocks) {
        Some(rows) if live.stored_at.is_some() => (show(rows), live.blocks.total),
        _ => {
            let page = BlockPage {
                states: query.states.clone(),
                orphaned: query.orphaned,
                finder: query.finder.clone(),
                offset: query.offset,
                limit: query.limit,
            };
            let (rows, total) = parts.store.block_list(page).await?;
            (show(&rows), total)
        }
    };
    Ok(query.answer(&items, total))
}

/// Who looks at a block.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Audience {
    /// Everybody: finders are shortened, workers' names are nobody's business.
    Public,
    /// Somebody who knows the finder's address.
    Finder,
}

pub(crate) fn block_json(parts: &WebParts, block: &Block, audience: Audience) -> Value {
    let required = parts.settings.blocks.confirmations;
    let depth = block.height.depth_below(parts.tip.borrow().height).unwrap_or(0).min(required);
    let is_closed = matches!(block.state, BlockState::Lost | BlockState::Reversed);
    let orphaned = block.is_orphaned();
    let confirmed = matches!(block.state, BlockState::Confirmed | BlockState::Credited) && !orphaned;
    let confirmations = match block.state {
        _ if orphaned => 0,
        BlockState::Credited => required,
        _ => depth,
    };
    let own = audience == Audience::Finder;
    let finder = block.finder.as_deref().map(|finder| if own { finder.to_owned() } else { shortened(finder) });
    let effort = effort_pct(block.round_work, block.difficulty);
    json!({
        "height": block.height,
        "hash": block.hash,
        "difficulty": block.difficulty,
        "finder": finder,
        "finder_worker": block.worker.as_deref().filter(|_| own),
        "reward": block.reward.atoms(),
        "found_at": block.found_at,
        "timestamp": block.found_at,
        // While it may still return, what it would go on from is nobody's news.
        "state": if orphaned && !is_closed { "displaced" } else { block.state.as_str() },
        "confirmations": confirmations,
        "confirmations_required": required,
        "confirmed": confirmed,
        "orphaned": orphaned,
        "paid_out": block.state == BlockState::Credited,
        "effort_pct": effort,
        "effort_band": effort_band(effort),
        "duration_seconds": block.found_at.since(block.round_started_at).as_secs(),
        // The reason names hosts: the log and `meshpool hosts` have it.
        "hold_reason": block.hold_reason.as_deref().map(|why| match why {
            HELD_UNCHECKED => "it waits for checks of its payees' work",
            _ => "it waits for the pool's operator",
        }),
    })
}

/// Work of a round as a part of what a block takes on average. A display figure: money never reads it.
pub(crate) fn effort_pct(work: Work, difficulty: Difficulty) -> f64 {
    100.0 * work.get() as f64 / difficulty.get() as f64
}

fn effort_band(effort: f64) -> Value {
    let (label, tone) = match effort {
        ..100.0 => ("on pace", "ok"),
        ..200.0 => ("overdue", "warn"),
        _ => ("very overdue", "critical"),
    };
    json!({ "label": label, "tone": tone })
}

pub(crate) async fn payouts(parts: web::Data<WebParts>, request: HttpRequest) -> ApiResult {
    let query = PageQuery::parse(request.uri(), &parts)?;
    let live = parts.live.borrow().clone();
    let (items, total): (Vec<Value>, u64) = match query.of(&live.payouts) {
        Some(rows) if live.stored_at.is_some() => (rows.iter().map(payout_json).collect(), live.payouts.total),
        _ => {
            let (rows, total) = parts.store.payout_list(query.offset, query.limit).await?;
            (rows.iter().map(payout_json).collect(), total)
        }
    };
    Ok(query.answer(&items, total))
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
