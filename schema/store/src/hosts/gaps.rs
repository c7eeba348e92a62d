//! Positions of a host's log that its tables never get, and what refers to them.
use std::sync::Arc;

use diesel::QueryableByName;
use diesel::sql_types::{BigInt, Text};
use units::{HostId, Seq, Timestamp};

use crate::db::{Conn, txn};
use crate::fold::FoldStep;
use crate::sql::binds;
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

#[derive(QueryableByName)]
struct GapRow {
    #[diesel(sql_type = BigInt)]
    first_seq: i64,
    #[diesel(sql_type = BigInt)]
    last_seq: i64,
    #[diesel(sql_type = Text)]
    kind: String,
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
        let number = async |select| {
            let n = self.number(select, binds![]).await?;
            Ok::<_, StoreError>(u64::try_from(n.unwrap_or(0)).unwrap_or(0))
        };
        let gaps = number("SELECT COUNT(*) AS n FROM log_gaps WHERE kind = 'lost'").await?;
        let records = "SELECT CAST(SUM(last_seq - first_seq + 1) AS BIGINT) AS n FROM log_gaps WHERE kind = 'lost'";
        Ok((gaps, number(records).await?))
    }

    /// Gives up what a host's log had between `folded`, where the database is, and `oldest`, the first position that is
    /// still stored: the fold goes on with that one.
    ///
    /// # Errors
    /// `Conflict` when the database is somewhere else by now.
    pub async fn gap_accept(&self, host: HostId, folded: Seq, oldest: Seq, at: Timestamp) -> Result<()> {
        self.run(move |db| async move {
            txn!(db, c => {
                let last = Seq(oldest.0.saturating_sub(1));
                let update = "UPDATE hosts SET folded_seq = $1, closed_seq = $1 WHERE id = $2 AND folded_seq = $3 \
                              AND folded_seq < $1";
                if c.run(update, binds![last.to_i64(), host.0, folded.to_i64()]).await? != 1 {
                    return Err(StoreError::Conflict { what: format!("the folded position of host {host}") });
                }
                insert(c, host.0, folded.plus(1), last, GapKind::Lost, at).await?;
            })
        })
        .await
    }
}

pub(super) async fn insert(
    c: &mut Conn<'_>,
    host: i64,
    first: Seq,
    last: Seq,
    kind: GapKind,
    at: Timestamp,
) -> Result<()> {
    let insert = "INSERT INTO log_gaps (host_id, first_seq, last_seq, kind, accepted_at) VALUES ($1, $2, $3, $4, $5)";
    c.run(insert, binds![host, first.to_i64(), last.to_i64(), kind.as_str(), at.ms()]).await?;
    Ok(())
}

async fn list(c: &mut Conn<'_>, host: HostId) -> Result<Vec<LogGap>> {
    let select = "SELECT first_seq, last_seq, kind FROM log_gaps WHERE host_id = $1 ORDER BY first_seq";
    let rows: Vec<GapRow> = c.rows(select, binds![host.0]).await?;
    let gap = |row: GapRow| {
        let kind = match row.kind.as_str() {
            "lost" => GapKind::Lost,
            "elsewhere" => GapKind::Elsewhere,
            other => {
                let (what, why) = (format!("gap of host {host}"), format!("its kind is `{other}`"));
                return Err(StoreError::Damaged { what, why });
            }
        };
        Ok(LogGap { first: Seq::from_i64(row.first_seq), last: Seq::from_i64(row.last_seq), kind })
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
