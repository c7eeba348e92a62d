//! Recomputes what the tables say from other tables. Only reads.
//!
//! Every audit sees one moment of the database, so a running pool does not disturb it, and holds a page of rows at
//! a time. It takes no table's word for what another one can tell: balances are added up from postings, segments
//! from decoded share batches, a block's weights from shares and verdicts.
//!
//! What it refuses to do: repair, or stop at the first difference.
mod blocks;
mod entries;
mod identities;
mod joined;
mod payouts;
mod recount;
mod shares;
mod sum;

pub use blocks::{Priced, StoredWeight, WeighedBlock};

use std::fmt::Display;

use diesel::sql_types::{BigInt, Text};
use diesel::{
    ExpressionMethods, OptionalExtension, QueryDsl, Queryable, QueryableByName, Selectable, SelectableHelper,
};
use diesel_async::RunQueryDsl;
use serde::Serialize;
use units::{HostId, Seq, Timestamp};

use crate::db::{Conn, on, q, snapshot};
use crate::fold::BatchRow;
use crate::schema::{hosts, share_batches, verdicts};
use crate::sql::{Bind, binds, for_database};
use crate::{Result, Store, StoreError, column};

/// Something that does not add up.
#[derive(Debug, Clone, Serialize, PartialEq, Eq)]
pub struct Difference {
    /// Which check.
    pub check: &'static str,
    /// About what (account, block, line, intent, batch).
    pub subject: String,
    /// What the table says.
    pub stored: String,
    /// What was computed.
    pub computed: String,
}

/// Differences that one audit lists at most: who has more needs a backup, not a longer list.
const LISTED_MAX: usize = 1_000;
/// Rows of the large tables that one query of an audit looks at.
const ROWS_PER_PAGE: i64 = 20_000;
/// Batches that are held in memory at once.
const BATCHES_PER_PAGE: u32 = 16;

// === impl Store ===

impl Store {
    /// Every entry sums to zero; every balance is the sum of its postings; kinds have the right signs.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn audit_entries(&self) -> Result<Vec<Difference>> {
        self.run(|db| async move { snapshot!(db, c => entries::audit(c).await?) }).await
    }

    /// Line totals, segments and share batches agree; a batch's digest is that of its body; running totals are
    /// the sums; verdicts are about stored shares; batches do not overlap.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn audit_shares(&self) -> Result<Vec<Difference>> {
        self.run(|db| async move { snapshot!(db, c => shares::audit(c).await?) }).await
    }

    /// A block was credited and reversed as often as the books say, and is in the state that follows from it; it is
    /// what its template says, and priced by its policy; its window has an end in every log; every credit is what the
    /// stored weights say; the weights are those that its window's shares and the verdicts that were known then give.
    /// What the rules make of that work is not known here: `price` says it of each block that has weights.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn audit_blocks(
        &self,
        price: impl Fn(&WeighedBlock) -> Priced + Send + Sync + 'static,
    ) -> Result<Vec<Difference>> {
        self.run(move |db| async move { snapshot!(db, c => blocks::audit(c, &price).await?) }).await
    }

    /// Every intent's entries match its recipients and state; in-flight balances are the open intents' gross.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn audit_payouts(&self) -> Result<Vec<Difference>> {
        self.run(|db| async move { snapshot!(db, c => payouts::audit(c).await?) }).await
    }

    /// The stored batches of a host after `after`, without decoding, to compare with the log; at most `limit`.
    ///
    /// # Errors
    /// `Damaged` for a row that is not a batch.
    pub async fn batch_list(&self, host: HostId, after: Seq, limit: u32) -> Result<Vec<BatchRow>> {
        self.run(move |db| async move { batches(&mut db.read().await?.conn(), host, after, limit).await }).await
    }

    /// The newest stored batch of a host that begins at or before this position.
    ///
    /// # Errors
    /// `Damaged` for a row that is not a batch.
    pub async fn batch_newest(&self, host: HostId, until: Seq) -> Result<Option<BatchRow>> {
        self.run(move |db| async move {
            let newest = share_batches::table
                .filter(share_batches::host_id.eq(host.0))
                .filter(share_batches::first_seq.le(until.to_i64()))
                .order(share_batches::first_seq.desc());
            let row: Option<StoredBatch> =
                q!(db, read, c => newest.select(StoredBatch::as_select()).first(c).await.optional())?;
            row.map(BatchRow::try_from).transpose()
        })
        .await
    }

    /// Shares of a host from `first` to `last` that have a verdict, in order: the share, what was said, and where.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn verdict_list(&self, host: HostId, first: Seq, last: Seq) -> Result<Vec<(Seq, String, Seq)>> {
        self.run(move |db| async move {
            let judged = verdicts::table
                .filter(verdicts::host_id.eq(host.0))
                .filter(verdicts::share_seq.between(first.to_i64(), last.to_i64()))
                .order(verdicts::share_seq)
                .select((verdicts::share_seq, verdicts::verdict, verdicts::seq));
            let rows: Vec<(i64, String, i64)> = q!(db, read, c => judged.load(c).await)?;
            let verdict = |(share, verdict, seq)| (Seq::from_i64(share), verdict, Seq::from_i64(seq));
            Ok(rows.into_iter().map(verdict).collect())
        })
        .await
    }

    /// All hosts: row, name, folded position.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn host_list(&self) -> Result<Vec<(HostId, String, Seq)>> {
        self.run(|db| async move { host_rows(&mut db.read().await?.conn()).await }).await
    }
}

// === what the audits share ===

/// What was found so far.
#[derive(Default)]
struct Findings(Vec<Difference>);

impl Findings {
    fn add(&mut self, check: &'static str, subject: impl Display, stored: impl Display, computed: impl Display) {
        if self.0.len() < LISTED_MAX {
            let (subject, stored, computed) = (subject.to_string(), stored.to_string(), computed.to_string());
            self.0.push(Difference { check, subject, stored, computed });
        }
    }

    fn push(&mut self, difference: Difference) {
        if self.0.len() < LISTED_MAX {
            self.0.push(difference);
        }
    }

    /// Adds the rows of a statement of a file that selects only what is wrong, as `subject`, `stored` and `computed`.
    async fn query(
        &mut self,
        c: &mut Conn<'_>,
        check: &'static str,
        statement: &'static str,
        binds: Vec<Bind>,
    ) -> Result<()> {
        #[derive(QueryableByName)]
        struct Wrong {
            #[diesel(sql_type = Text)]
            subject: String,
            #[diesel(sql_type = BigInt)]
            stored: i64,
            #[diesel(sql_type = BigInt)]
            computed: i64,
        }
        let statement = for_database(statement, matches!(c, Conn::Pg(_)));
        for row in c.rows::<Wrong>(&format!("{statement} LIMIT {LISTED_MAX}"), binds).await? {
            self.add(check, row.subject, row.stored, row.computed);
        }
        Ok(())
    }

    /// The same for a large table up to the row `last`: the statement looks at the rows with an id above `$1` and up to
    /// `$2`.
    async fn pages(
        &mut self,
        c: &mut Conn<'_>,
        check: &'static str,
        statement: &'static str,
        last: Option<i64>,
    ) -> Result<()> {
        let last = last.unwrap_or(0);
        let mut after = 0;
        while after < last {
            self.query(c, check, statement, binds![after, after.saturating_add(ROWS_PER_PAGE)]).await?;
            after = after.saturating_add(ROWS_PER_PAGE);
        }
        Ok(())
    }
}

async fn host_rows(conn: &mut Conn<'_>) -> Result<Vec<(HostId, String, Seq)>> {
    let all = hosts::table.order(hosts::id).select((hosts::id, hosts::name, hosts::folded_seq));
    let rows: Vec<(i64, String, i64)> = on!(conn, c => all.load(c).await)?;
    Ok(rows.into_iter().map(|(id, name, folded)| (HostId(id), name, Seq::from_i64(folded))).collect())
}

async fn batches(conn: &mut Conn<'_>, host: HostId, after: Seq, limit: u32) -> Result<Vec<BatchRow>> {
    let page = share_batches::table
        .filter(share_batches::host_id.eq(host.0))
        .filter(share_batches::first_seq.gt(after.to_i64()))
        .order(share_batches::first_seq)
        .limit(i64::from(limit));
    let rows: Vec<StoredBatch> = on!(conn, c => page.select(StoredBatch::as_select()).load(c).await)?;
    rows.into_iter().map(BatchRow::try_from).collect()
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = share_batches)]
struct StoredBatch {
    first_seq: i64,
    last_seq: i64,
    shares: i64,
    work: i64,
    first_at: i64,
    last_at: i64,
    digest: Vec<u8>,
    body: Vec<u8>,
}

impl TryFrom<StoredBatch> for BatchRow {
    type Error = StoreError;

    fn try_from(row: StoredBatch) -> Result<BatchRow> {
        let what = format!("share batch {}", row.first_seq);
        let digest = <[u8; 32]>::try_from(row.digest)
            .map_err(|_| StoreError::Damaged { what: what.clone(), why: "its digest has not 32 bytes".to_owned() })?;
        Ok(BatchRow {
            first_seq: Seq::from_i64(row.first_seq),
            last_seq: Seq::from_i64(row.last_seq),
            shares: column::count(row.shares, &what)?,
            work: column::work(row.work, &what)?,
            first_at: Timestamp::from_ms(row.first_at),
            last_at: Timestamp::from_ms(row.last_at),
            digest,
            body: row.body,
        })
    }
}
