//! Old details: merged, summed up by day, removed. In steps that are short transactions, so that whoever folds or
//! pays waits for no more than one of them.
//!
//! What may go is decided by the caller from [`Facts`]: a minute before which no detail is needed any more. That
//! minute is never after the window's start of a block that is not final, nor after that of a block which a host may yet
//! report or a sweep may yet find. Why nothing is lost then:
//!
//! - A window sum is a difference of running totals of an identity: those of the last segment that begins in the
//!   window, less those before its first one. Merging neighbours keeps the totals of the last and the start of the first of
//!   them. So every sum stays the same whose window does not begin or end between two neighbours that were merged.
//!   Ten minutes are merged around the windows of all blocks, days only where no window is computed again. Segments
//!   of an identity are never removed while it lives, so totals follow from zero for ever.
//! - The last segment of an identity may still grow, and an identity may come back while it is removed. Every step that
//!   touches segments or identities holds the rows of all hosts, as a fold holds that of its own.
//! - Verdicts, rejects and payouts move into the day's summary in the transaction that removes them, and the day's
//!   work when the day's segments become one. So whatever is killed in the middle is counted once.
//! - What the audits compare is first marked as incomplete ([`Mark`]), then removed. Totals of hosts are not touched;
//!   beside them is counted what is gone, so that audits can still add up everything.
//! - A removed identity that comes back is a new one, whose totals begin at zero: no window reaches back to the old
//!   one, since it had no work since the mark. What it had done stays with its miner ([`crate::reads::MinerSummary`]).
//!
//! What it refuses to do: touch entries, postings, balances, blocks, weights, or a payout that is not closed.
mod days;
mod details;
mod names;
mod payouts;
mod segments;

use std::time::Duration;

use diesel::dsl::{case_when, max, min};
use diesel::sql_types::{BigInt, Nullable};
use diesel::upsert::excluded;
use diesel::{ExpressionMethods, OptionalExtension, QueryDsl, QueryableByName};
use diesel_async::RunQueryDsl;
use units::{Height, Minute, PolicyId, Timestamp};

use crate::blocks::insert::policy_terms;
use crate::db::{Conn, on, snapshot, txn};
use crate::ledger::{MONEY_LEASE, lease_check_in_txn};
use crate::schema::{blocks, hosts, meta, policies, retention_marks, share_batches, templates};
use crate::sql::{binds, statement};
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
            let raise = diesel::insert_into(retention_marks::table)
                .values((retention_marks::kind.eq(mark.key()), retention_marks::minute.eq(i64::from(to.0))))
                .on_conflict(retention_marks::kind)
                .do_update()
                .set(retention_marks::minute.eq(excluded(retention_marks::minute)));
            let raise = diesel::query_dsl::methods::FilterDsl::filter(
                raise,
                retention_marks::minute.lt(excluded(retention_marks::minute)),
            );
            txn!(db, conn => {
                lease_check_in_txn(conn, MONEY_LEASE, epoch).await?;
                on!(conn, c => raise.execute(c).await)?;
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

pub(crate) async fn mark_in_txn(conn: &mut Conn<'_>, mark: Mark) -> Result<Minute> {
    let minute = retention_marks::table.find(mark.key()).select(retention_marks::minute);
    let minute: Option<i64> = on!(conn, c => minute.first(c).await.optional())?;
    column::minute(minute.unwrap_or(0), "retention mark")
}

/// Begins a step: nobody else cleans up, folds, or writes money until the transaction ends.
async fn step_begin(conn: &mut Conn<'_>, epoch: i64) -> Result<()> {
    lease_check_in_txn(conn, MONEY_LEASE, epoch).await?;
    // On SQLite a writing transaction is alone anyway.
    if let Conn::Pg(c) = conn {
        // In order of id, as everybody who holds more than one.
        hosts::table.order(hosts::id).select(hosts::id).for_update().load::<i64>(*c).await?;
    }
    Ok(())
}

#[derive(QueryableByName)]
struct Page {
    #[diesel(sql_type = Nullable<BigInt>)]
    last: Option<i64>,
}

/// The last of the next `limit` rows after `after`, by a statement that says of which table.
async fn page_end(conn: &mut Conn<'_>, page: &'static str, after: i64, limit: u32) -> Result<Option<i64>> {
    let page: Option<Page> = conn.load_file(page, binds![after, i64::from(limit)]).await?.pop();
    Ok(page.and_then(|page| page.last))
}

/// The last of the next `limit` worker identities after `after`.
async fn identities_page_end(conn: &mut Conn<'_>, after: i64, limit: u32) -> Result<Option<i64>> {
    page_end(conn, statement!("retention/identities_page.sql"), after, limit).await
}

async fn facts(conn: &mut Conn<'_>) -> Result<Facts> {
    let caught_up =
        case_when(hosts::caught_up_at.gt(hosts::opened_at), hosts::caught_up_at).otherwise(hosts::opened_at);
    let open_hosts = hosts::table.filter(hosts::retired_at.is_null()).filter(hosts::closed_at.is_null());
    let folded_until = open_hosts.select(min(caught_up));
    let folded_until: Option<i64> = on!(conn, c => folded_until.first(c).await)?;
    let next = templates::table.select(max(templates::height));
    let next: Option<i64> = on!(conn, c => next.first(c).await)?;
    let tip = next.map_or(0, |next| (next - 1).max(0));
    let unswept = unswept(conn).await?;
    let (open_window, longest_window) = windows(conn).await?;
    let oldest = share_batches::table.order(share_batches::last_at).select(share_batches::last_at);
    let oldest_batch: Option<i64> = on!(conn, c => oldest.first(c).await.optional())?;
    Ok(Facts {
        folded_until: folded_until.map(Timestamp::from_ms),
        open_window: open_window.map(Timestamp::from_ms),
        unswept: unswept.map(Timestamp::from_ms),
        tip: column::height(tip, "template")?,
        longest_window,
        oldest_batch: oldest_batch.map(Timestamp::from_ms),
    })
}

/// See [`Facts::unswept`].
async fn unswept(conn: &mut Conn<'_>) -> Result<Option<i64>> {
    let swept = meta::table.find(SWEPT_HEIGHT).select(meta::value.fallible_cast::<BigInt>());
    let swept: Option<i64> = on!(conn, c => swept.first(c).await.optional())?;
    let first = templates::table.select(min(templates::seen_at));
    Ok(match swept {
        Some(swept) => {
            // The sweep goes back by as much when the chain has changed.
            let first = first.filter(templates::height.gt(swept.saturating_sub(FINAL_DEPTH)));
            on!(conn, c => first.first(c).await)?
        }
        None => on!(conn, c => first.first(c).await)?,
    })
}

/// See [`Facts::open_window`] and [`Facts::longest_window`].
async fn windows(conn: &mut Conn<'_>) -> Result<(Option<i64>, Duration)> {
    let open = blocks::table.filter(blocks::state.ne("lost")).filter(blocks::final_at.is_null());
    let open = open.select(min(blocks::window_start));
    let mut open_window: Option<i64> = on!(conn, c => open.first(c).await)?;
    let mut longest_window = Duration::ZERO;
    let policies: Vec<i64> = on!(conn, c => policies::table.select(policies::id).load(c).await)?;
    for policy in policies {
        let terms = policy_terms(conn, PolicyId(policy)).await?;
        longest_window = longest_window.max(terms.window().unwrap_or_default());
        if terms.is_proportional() {
            // The next block pays all work since the last one.
            let round = blocks::table.order(blocks::id.desc()).select(blocks::found_at);
            let round: Option<i64> = on!(conn, c => round.first(c).await.optional())?;
            let round = round.unwrap_or(0);
            open_window = Some(open_window.map_or(round, |open| open.min(round)));
        }
    }
    Ok((open_window, longest_window))
}

/// The JSON list of rows that a statement takes.
fn json<T: serde::Serialize>(rows: &[T]) -> String {
    serde_json::to_string(rows).expect("numbers and texts are always JSON")
}

/// A sum that no column can hold.
fn too_large(what: &str) -> StoreError {
    StoreError::Damaged { what: what.to_owned(), why: "a sum of it is too large".to_owned() }
}
