//! Positions of a host's log that its tables never get, and what refers to them.
use std::sync::Arc;

use diesel::sql_types::BigInt;
use diesel::{ExpressionMethods, QueryDsl, QueryableByName};
use diesel_async::RunQueryDsl;
use units::{HostId, Seq, Timestamp};

use crate::db::{Conn, on, txn};
use crate::fold::FoldStep;
use crate::schema::{hosts, log_gaps};
use crate::sql::{binds, statement};
use crate::{Result, Store, StoreError};

/// Why positions are not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GapKind {
    /// The database is older than the log, and an operator gave them up.
    Lost,
    /// They belong to the host that this one replaces.
    Elsewhere,
}

/// Positions that are not in the tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogGap {
    /// The first one.
    pub first: Seq,
    /// The last one.
    pub last: Seq,
    /// Why.
    pub kind: GapKind,
}

impl GapKind {
    fn as_str(self) -> &'static str {
        match self {
            GapKind::Lost => "lost",
            GapKind::Elsewhere => "elsewhere",
        }
    }
}

impl LogGap {
    /// Whether the position is one of them.
    #[must_use]
    pub fn has(&self, seq: Seq) -> bool {
        (self.first..=self.last).contains(&seq)
    }

    /// How many there are.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.last.0 - self.first.0 + 1
    }
}

impl Store {
    /// What the tables lack of a host's log, in order.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn gap_list(&self, host: HostId) -> Result<Vec<LogGap>> {
        self.run(move |db| async move { list(&mut db.read().await?.conn(), host).await }).await
    }

    /// How many gaps operators have given up, and how many positions they have.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn gap_totals(&self) -> Result<(u64, u64)> {
        #[derive(QueryableByName)]
        struct Totals {
            #[diesel(sql_type = BigInt)]
            gaps: i64,
            #[diesel(sql_type = BigInt)]
            records: i64,
        }
        let totals: Vec<Totals> = self
            .run(|db| async move { db.read().await?.conn().load_file(statement!("gaps/totals.sql"), binds![]).await })
            .await?;
        let number = |n: i64| u64::try_from(n).unwrap_or(0);
        Ok(totals.into_iter().next().map_or((0, 0), |totals| (number(totals.gaps), number(totals.records))))
    }

    /// Gives up what a host's log had between `folded`, where the database is, and `oldest`, the first position that is
    /// still stored: the fold goes on with that one.
    ///
    /// # Errors
    /// `Conflict` when the database is somewhere else by now.
    pub async fn gap_accept(&self, host: HostId, folded: Seq, oldest: Seq, at: Timestamp) -> Result<()> {
        self.run(move |db| async move {
            txn!(db, conn => {
                let last = Seq(oldest.0.saturating_sub(1));
                let there = hosts::table.find(host.0).filter(hosts::folded_seq.eq(folded.to_i64()));
                let behind = there.filter(hosts::folded_seq.lt(last.to_i64()));
                let moved = (hosts::folded_seq.eq(last.to_i64()), hosts::closed_seq.eq(last.to_i64()));
                let update = diesel::update(behind).set(moved);
                if on!(conn, c => update.execute(c).await)? != 1 {
                    return Err(StoreError::Conflict { what: format!("the folded position of host {host}") });
                }
                insert(conn, host, folded.plus(1), last, GapKind::Lost, at).await?;
            })
        })
        .await
    }
}

pub(super) async fn insert(
    conn: &mut Conn<'_>,
    host: HostId,
    first: Seq,
    last: Seq,
    kind: GapKind,
    at: Timestamp,
) -> Result<()> {
    let row = (
        log_gaps::host_id.eq(host.0),
        log_gaps::first_seq.eq(first.to_i64()),
        log_gaps::last_seq.eq(last.to_i64()),
        log_gaps::kind.eq(kind.as_str()),
        log_gaps::accepted_at.eq(at.ms()),
    );
    on!(conn, c => diesel::insert_into(log_gaps::table).values(row).execute(c).await)?;
    Ok(())
}

async fn list(conn: &mut Conn<'_>, host: HostId) -> Result<Vec<LogGap>> {
    let gaps = log_gaps::table.filter(log_gaps::host_id.eq(host.0)).order(log_gaps::first_seq).select((
        log_gaps::first_seq,
        log_gaps::last_seq,
        log_gaps::kind,
    ));
    let rows: Vec<(i64, i64, String)> = on!(conn, c => gaps.load(c).await)?;
    let gap = |(first, last, kind): (i64, i64, String)| {
        let kind = match kind.as_str() {
            "lost" => GapKind::Lost,
            "elsewhere" => GapKind::Elsewhere,
            other => {
                let (what, why) = (format!("gap of host {host}"), format!("its kind is `{other}`"));
                return Err(StoreError::Damaged { what, why });
            }
        };
        Ok(LogGap { first: Seq::from_i64(first), last: Seq::from_i64(last), kind })
    };
    rows.into_iter().map(gap).collect()
}

/// Takes from a step what refers to shares in a gap: verdicts on them, and the finder of a candidate whose share lies in
/// one (its block is found all the same).
pub(crate) async fn settle_step(c: &mut Conn<'_>, mut step: Arc<FoldStep>) -> Result<Arc<FoldStep>> {
    if step.verdicts.is_empty() && step.candidate.is_none() {
        return Ok(step);
    }
    let gaps = list(c, step.host).await?;
    if gaps.is_empty() {
        return Ok(step);
    }
    let is_gone = |share: Seq| gaps.iter().any(|gap| gap.has(share));
    let settled = Arc::make_mut(&mut step);
    settled.verdicts.retain(|verdict| !is_gone(verdict.share_seq));
    if let Some(candidate) = settled.candidate.as_mut().filter(|candidate| is_gone(candidate.share_seq)) {
        candidate.share_seq = Seq::ZERO;
    }
    Ok(step)
}
