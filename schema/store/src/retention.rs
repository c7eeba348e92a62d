//! Old details: merged, summed up by day, removed. In steps that are short transactions, so that whoever folds or
//! pays waits for no more than one of them.
//!
//! What may go is decided by the caller from [`Facts`]: a minute before which no detail is needed any more. That
//! minute is never after the window's start of a block that is not final, nor after that of a block which a host may yet
//! report or a sweep may yet find. Why nothing is lost then:
//!
//! - A window sum is a difference of running totals of a line: those of the last segment that begins in the window,
//!   less those before its first one. Merging neighbours keeps the totals of the last and the start of the first of
//!   them. So every sum stays the same whose window does not begin or end between two neighbours that were merged.
//!   Ten minutes are merged around the windows of all blocks, days only where no window is computed again. Segments
//!   of a line are never removed while the line lives, so totals follow from zero for ever.
//! - The last segment of a line may still grow, and a line may come back while it is removed. Every step that touches
//!   segments or lines holds the rows of all hosts, as a fold holds that of its own.
//! - Verdicts, rejects and payouts move into the day's summary in the transaction that removes them, and the day's
//!   work when the day's segments become one. So whatever is killed in the middle is counted once.
//! - What the audits compare is first marked as incomplete ([`Mark`]), then removed. Totals of hosts are not touched;
//!   beside them is counted what is gone, so that audits can still add up everything.
//! - A removed line that comes back is a new line, whose totals begin at zero: no window reaches back to the old one,
//!   since it had no work since the mark. What it had done stays with its miner ([`crate::reads::MinerSummary`]).
//!
//! What it refuses to do: touch entries, postings, balances, blocks, weights, or a payout that is not closed.
mod days;
mod details;
mod names;
mod payouts;
mod segments;

use std::time::Duration;

use diesel::QueryableByName;
use diesel::sql_types::BigInt;
use units::{Height, Minute, PolicyId, Timestamp};

use crate::blocks::insert::policy_terms;
use crate::db::{Conn, snapshot, txn};
use crate::ledger::{MONEY_LEASE, lease_check_in_txn};
use crate::sql::binds;
use crate::{Result, Store, StoreError, column};

pub use days::{PayoutDay, RejectDay, ShareDay};
pub use names::PrunedNames;
pub use segments::{Merged, Span};

/// Minutes of a day.
pub const DAY: u32 = 1440;

/// Under this key the height is stored up to which the chain was looked at for blocks without a candidate.
pub const SWEPT_HEIGHT: &str = "swept_height";

/// No reorganisation goes deeper.
const FINAL_DEPTH: i64 = 100;

/// Up to which minute something was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// Segments are merged to ten minutes.
    TenMinutes,
    /// Segments are merged to days, and summed up.
    Days,
    /// Rejects, verdicts and share batches may be gone.
    Details,
    /// Closed payouts may be gone.
    Payouts,
}

impl Mark {
    fn key(self) -> &'static str {
        match self {
            Mark::TenMinutes => "ten_minutes",
            Mark::Days => "days",
            Mark::Details => "details",
            Mark::Payouts => "payouts",
        }
    }
}

/// What still needs details.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// Whatever an open host has logged up to then is folded: of the host that is furthest behind.
    pub folded_until: Option<Timestamp>,
    /// Start of the earliest window of a block that is not final.
    pub open_window: Option<Timestamp>,
    /// When the first template was logged that may have made a block which nobody has looked for yet.
    pub unswept: Option<Timestamp>,
    /// Height that the newest template builds on.
    pub tip: Height,
    /// Length of the longest payout window of any policy.
    pub longest_window: Duration,
    /// When the oldest share batch ends; `None` without any.
    pub oldest_batch: Option<Timestamp>,
}

impl Store {
    /// What still needs details.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn retention_facts(&self) -> Result<Facts> {
        self.run(|db| async move { snapshot!(db, c => facts(c).await?) }).await
    }

    /// Raises a mark to `to`; a higher one stays.
    ///
    /// # Errors
    /// `Fenced`.
    pub async fn retention_mark(&self, epoch: i64, mark: Mark, to: Minute) -> Result<()> {
        self.run(move |db| async move {
            txn!(db, c => {
                lease_check_in_txn(c, MONEY_LEASE, epoch).await?;
                let raise = "INSERT INTO retention_marks (kind, minute) VALUES ($1, $2) ON CONFLICT (kind) DO UPDATE \
                             SET minute = excluded.minute WHERE retention_marks.minute < excluded.minute";
                c.run(raise, binds![mark.key(), i64::from(to.0)]).await?;
            })
        })
        .await
    }

    /// A mark; minute 0 before it was first raised.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn retention_marked(&self, mark: Mark) -> Result<Minute> {
        self.run(move |db| async move { mark_in_txn(&mut db.read().await?.conn(), mark).await }).await
    }
}

#[derive(QueryableByName)]
struct Id {
    #[diesel(sql_type = BigInt)]
    id: i64,
}

pub(crate) async fn mark_in_txn(c: &mut Conn<'_>, mark: Mark) -> Result<Minute> {
    let minute = c.number("SELECT minute AS n FROM retention_marks WHERE kind = $1", binds![mark.key()]).await?;
    column::minute(minute.unwrap_or(0), "retention mark")
}

/// Begins a step: nobody else cleans up, folds, or writes money until the transaction ends.
async fn step_begin(c: &mut Conn<'_>, epoch: i64) -> Result<()> {
    lease_check_in_txn(c, MONEY_LEASE, epoch).await?;
    // In order of id, as everybody who holds more than one.
    c.rows::<Id>(&format!("SELECT id FROM hosts ORDER BY id{}", c.for_update()), binds![]).await?;
    Ok(())
}

async fn facts(c: &mut Conn<'_>) -> Result<Facts> {
    let until = "SELECT MIN(CASE WHEN caught_up_at > opened_at THEN caught_up_at ELSE opened_at END) AS n \
                 FROM hosts WHERE retired_at IS NULL AND closed_at IS NULL";
    let folded_until = c.number(until, binds![]).await?;
    let tip = c.number("SELECT MAX(height) AS n FROM templates", binds![]).await?.map_or(0, |next| (next - 1).max(0));
    let open = "SELECT MIN(window_start) AS n FROM blocks WHERE state <> 'lost' AND final_at IS NULL";
    let mut open_window = c.number(open, binds![]).await?;
    let swept = "SELECT CAST(value AS BIGINT) AS n FROM meta WHERE key = $1";
    let unswept = match c.number(swept, binds![SWEPT_HEIGHT]).await? {
        Some(swept) => {
            // The sweep goes back by as much when the chain has changed.
            let first = "SELECT MIN(seen_at) AS n FROM templates WHERE height > $1";
            c.number(first, binds![swept.saturating_sub(FINAL_DEPTH)]).await?
        }
        None => c.number("SELECT MIN(seen_at) AS n FROM templates", binds![]).await?,
    };
    let mut longest_window = Duration::ZERO;
    for policy in c.rows::<Id>("SELECT id FROM policies", binds![]).await? {
        let terms = policy_terms(c, PolicyId(policy.id)).await?;
        longest_window = longest_window.max(terms.window().unwrap_or_default());
        if terms.is_proportional() {
            // The next block pays all work since the last one.
            let round = "SELECT COALESCE((SELECT found_at FROM blocks ORDER BY id DESC LIMIT 1), 0) AS n";
            let round = c.number(round, binds![]).await?.unwrap_or(0);
            open_window = Some(open_window.map_or(round, |open| open.min(round)));
        }
    }
    let oldest = "SELECT last_at AS n FROM share_batches ORDER BY last_at LIMIT 1";
    let oldest_batch = c.number(oldest, binds![]).await?;
    Ok(Facts {
        folded_until: folded_until.map(Timestamp::from_ms),
        open_window: open_window.map(Timestamp::from_ms),
        unswept: unswept.map(Timestamp::from_ms),
        tip: column::height(tip, "template")?,
        longest_window,
        oldest_batch: oldest_batch.map(Timestamp::from_ms),
    })
}

/// The JSON list of rows that a statement takes.
fn json<T: serde::Serialize>(rows: &[T]) -> String {
    serde_json::to_string(rows).expect("numbers and texts are always JSON")
}

/// A sum that no column can hold.
fn too_large(what: &str) -> StoreError {
    StoreError::Damaged { what: what.to_owned(), why: "a sum of it is too large".to_owned() }
}
