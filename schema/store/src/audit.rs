//! Recomputes what the tables say from other tables. Only reads.
use diesel::QueryableByName;
use diesel::sql_types::{BigInt, Binary, Text};
use serde::Serialize;
use units::{HostId, Seq, Timestamp};

use crate::batch::ShareBatch;
use crate::fold::BatchRow;
use crate::sql::binds;
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

/// Subject, what is stored, what was computed.
#[derive(QueryableByName)]
struct Pair {
    #[diesel(sql_type = Text)]
    subject: String,
    #[diesel(sql_type = BigInt)]
    stored: i64,
    #[diesel(sql_type = BigInt)]
    computed: i64,
}

impl Store {
    /// Every entry sums to zero; every balance is the sum of its postings.
    ///
    /// # Errors
    /// [`crate::StoreError`].
    pub async fn audit_entries(&self) -> Result<Vec<Difference>> {
        let mut found = self
            .pairs(
                "entries sum to zero",
                "SELECT e.kind || ':' || e.reference AS subject, CAST(0 AS BIGINT) AS stored, \
                 CAST(COALESCE(SUM(p.amount), 0) AS BIGINT) AS computed FROM entries e \
                 LEFT JOIN postings p ON p.entry_id = e.id GROUP BY e.id, e.kind, e.reference \
                 HAVING COALESCE(SUM(p.amount), 0) <> 0 OR COUNT(p.id) < 2",
            )
            .await?;
        found.extend(
            self.pairs(
                "balances are the sum of their postings",
                "SELECT a.key AS subject, a.balance AS stored, CAST(COALESCE(SUM(p.amount), 0) AS BIGINT) AS computed \
                 FROM accounts a LEFT JOIN postings p ON p.account_id = a.id GROUP BY a.id, a.key, a.balance \
                 HAVING a.balance <> COALESCE(SUM(p.amount), 0)",
            )
            .await?,
        );
        Ok(found)
    }

    /// Totals of lines are the sums of their segments, running totals follow from them, and the work of all batches is
    /// the work of all lines. Every batch is decoded and compared with its digest and its row.
    ///
    /// # Errors
    /// [`crate::StoreError`].
    pub async fn audit_shares(&self) -> Result<Vec<Difference>> {
        let mut found = self
            .pairs(
                "work of a line is the sum of its segments",
                "SELECT 'line ' || l.id AS subject, l.work AS stored, \
                 CAST(COALESCE(SUM(s.work), 0) AS BIGINT) AS computed FROM lines l \
                 LEFT JOIN segments s ON s.line_id = l.id GROUP BY l.id, l.work, l.shares \
                 HAVING l.work <> COALESCE(SUM(s.work), 0) OR l.shares <> COALESCE(SUM(s.shares), 0)",
            )
            .await?;
        found.extend(
            self.pairs(
                "running total of a segment",
                "SELECT 'line ' || t.line_id || ' segment ' || t.start_seq AS subject, t.total_work AS stored, \
                 CAST(t.running AS BIGINT) AS computed FROM (SELECT line_id, start_seq, total_work, \
                 SUM(work) OVER (PARTITION BY line_id ORDER BY start_seq) AS running FROM segments) AS t \
                 WHERE t.total_work <> t.running",
            )
            .await?,
        );
        found.extend(
            self.pairs(
                "work of all batches is the work of all lines",
                "SELECT h.name AS subject, \
                 CAST(COALESCE((SELECT SUM(work) FROM lines l WHERE l.host_id = h.id), 0) AS BIGINT) AS stored, \
                 CAST(COALESCE((SELECT SUM(work) FROM share_batches b WHERE b.host_id = h.id), 0) AS BIGINT) AS computed \
                 FROM hosts h WHERE COALESCE((SELECT SUM(work) FROM lines l WHERE l.host_id = h.id), 0) <> \
                 COALESCE((SELECT SUM(work) FROM share_batches b WHERE b.host_id = h.id), 0)",
            )
            .await?,
        );
        for (host, name, _) in self.host_list().await? {
            let mut after = Seq::ZERO;
            loop {
                let page = self.batch_list(host, after, BATCHES_PER_PAGE).await?;
                let Some(last) = page.last() else { break };
                after = last.last_seq;
                found.extend(page.iter().filter_map(|batch| damage(&name, batch)));
            }
        }
        Ok(found)
    }

    /// A credited block has one live credit entry, whose amount is its reward, and its stored weights' credits are what
    /// the entry gave; blocks in other states have none.
    ///
    /// # Errors
    /// [`crate::StoreError`].
    pub async fn audit_blocks(&self) -> Result<Vec<Difference>> {
        let mut found = self
            .pairs(
                "credit entries of a block",
                "SELECT b.hash AS subject, b.credits AS stored, (SELECT COUNT(*) FROM entries e \
                 WHERE e.kind = 'block_credited' AND (e.reference = b.hash OR e.reference LIKE b.hash || ':%')) AS computed \
                 FROM blocks b WHERE b.credits <> (SELECT COUNT(*) FROM entries e \
                 WHERE e.kind = 'block_credited' AND (e.reference = b.hash OR e.reference LIKE b.hash || ':%'))",
            )
            .await?;
        found.extend(
            self.pairs(
                "reward of a credited block",
                "SELECT b.hash AS subject, b.reward AS stored, CAST(COALESCE(-SUM(p.amount), 0) AS BIGINT) AS computed \
                 FROM blocks b LEFT JOIN entries e ON e.kind = 'block_credited' AND e.reference = b.hash \
                 LEFT JOIN postings p ON p.entry_id = e.id AND p.account_id = (SELECT id FROM accounts WHERE key = 'chain_rewards') \
                 WHERE b.credits > 0 GROUP BY b.id, b.hash, b.reward HAVING b.reward <> COALESCE(-SUM(p.amount), 0)",
            )
            .await?,
        );
        found.extend(
            self.pairs(
                "credits of a block beside its weights",
                "SELECT b.hash || ' miner ' || w.miner_id AS subject, w.credit AS stored, \
                 CAST(COALESCE(SUM(p.amount), 0) AS BIGINT) AS computed FROM blocks b \
                 JOIN block_weights w ON w.block_id = b.id \
                 JOIN policies o ON o.id = b.policy_id JOIN miners m ON m.id = w.miner_id \
                 LEFT JOIN entries e ON e.kind = 'block_credited' AND e.reference = b.hash \
                 LEFT JOIN postings p ON p.entry_id = e.id AND p.account_id = \
                 (SELECT a.id FROM accounts a WHERE a.kind = 'payable' AND a.miner_id = w.miner_id) \
                 WHERE b.credits > 0 AND o.body NOT LIKE '%' || m.address || '%' \
                 GROUP BY b.id, b.hash, w.miner_id, w.credit HAVING w.credit <> COALESCE(SUM(p.amount), 0)",
            )
            .await?,
        );
        found.extend(
            self.pairs(
                "state of a block beside its credits",
                "SELECT hash AS subject, credits AS stored, reversals AS computed FROM blocks \
                 WHERE (state = 'credited' AND credits <> reversals + 1) OR (state = 'reversed' AND credits <> reversals) \
                 OR (state NOT IN ('credited', 'reversed') AND credits <> 0)",
            )
            .await?,
        );
        Ok(found)
    }

    /// What is in flight for a miner is what its open payouts hold; an intent's sums are those of its recipients.
    ///
    /// # Errors
    /// [`crate::StoreError`].
    pub async fn audit_payouts(&self) -> Result<Vec<Difference>> {
        let mut found = self
            .pairs(
                "in-flight balance",
                "SELECT a.key AS subject, a.balance AS stored, CAST(COALESCE((SELECT SUM(l.gross) FROM intent_lines l \
                 JOIN intents i ON i.id = l.intent_id WHERE l.miner_id = a.miner_id AND i.state NOT IN ('settled', 'released')), 0) \
                 AS BIGINT) AS computed FROM accounts a WHERE a.kind = 'inflight' AND a.balance <> \
                 COALESCE((SELECT SUM(l.gross) FROM intent_lines l JOIN intents i ON i.id = l.intent_id \
                 WHERE l.miner_id = a.miner_id AND i.state NOT IN ('settled', 'released')), 0)",
            )
            .await?;
        found.extend(
            self.pairs(
                "sum of a payout",
                "SELECT i.id AS subject, i.gross AS stored, CAST(COALESCE(SUM(l.gross), 0) AS BIGINT) AS computed \
                 FROM intents i LEFT JOIN intent_lines l ON l.intent_id = i.id GROUP BY i.id, i.gross \
                 HAVING i.gross <> COALESCE(SUM(l.gross), 0)",
            )
            .await?,
        );
        found.extend(
            self.pairs(
                "entries of a payout",
                "SELECT i.id AS subject, CAST(CASE WHEN i.state = 'settled' THEN 1 ELSE 0 END AS BIGINT) AS stored, \
                 (SELECT COUNT(*) FROM entries e WHERE e.kind = 'payout_settled' AND e.reference = i.id) AS computed \
                 FROM intents i WHERE CASE WHEN i.state = 'settled' THEN 1 ELSE 0 END <> \
                 (SELECT COUNT(*) FROM entries e WHERE e.kind = 'payout_settled' AND e.reference = i.id)",
            )
            .await?,
        );
        Ok(found)
    }

    async fn pairs(&self, check: &'static str, select: &'static str) -> Result<Vec<Difference>> {
        let rows: Vec<Pair> = self.rows(select, binds![]).await?;
        let difference = |pair: Pair| Difference {
            check,
            subject: pair.subject,
            stored: pair.stored.to_string(),
            computed: pair.computed.to_string(),
        };
        Ok(rows.into_iter().map(difference).collect())
    }

    /// The stored batches of a host after `after`, without decoding; at most `limit`.
    ///
    /// # Errors
    /// `Damaged` for a row that is not a batch.
    pub async fn batch_list(&self, host: HostId, after: Seq, limit: u32) -> Result<Vec<BatchRow>> {
        let select = "SELECT first_seq, last_seq, shares, work, first_at, last_at, digest, body FROM share_batches \
                      WHERE host_id = $1 AND first_seq > $2 ORDER BY first_seq LIMIT $3";
        let rows: Vec<StoredBatch> = self.rows(select, binds![host.0, after.to_i64(), i64::from(limit)]).await?;
        rows.into_iter().map(BatchRow::try_from).collect()
    }

    /// All hosts: row, name, folded position.
    ///
    /// # Errors
    /// [`crate::StoreError`].
    pub async fn host_list(&self) -> Result<Vec<(HostId, String, Seq)>> {
        let rows: Vec<StoredHost> = self.rows("SELECT id, name, folded_seq FROM hosts ORDER BY id", binds![]).await?;
        Ok(rows.into_iter().map(|host| (HostId(host.id), host.name, Seq::from_i64(host.folded_seq))).collect())
    }
}

/// Batches that are held in memory at once.
const BATCHES_PER_PAGE: u32 = 16;

/// What is wrong with a batch, if anything is.
fn damage(host: &str, batch: &BatchRow) -> Option<Difference> {
    let subject = format!("{host} batch {}", batch.first_seq);
    let found = |check, stored: String, computed: String| {
        Some(Difference { check, subject: subject.clone(), stored, computed })
    };
    let decoded = match ShareBatch::decode(&batch.body) {
        Ok(decoded) => decoded,
        Err(error) => return found("batch can be decoded", "a batch".into(), error.to_string()),
    };
    let work = decoded.shares.iter().map(|share| u128::from(share.difficulty.get())).sum::<u128>();
    let (shares, computed) = (decoded.shares.len() as u64, decoded.digest());
    if shares != batch.shares || work != u128::from(batch.work.get()) {
        let stored = format!("{} shares, {} work", batch.shares, batch.work.get());
        return found("batch holds what its row says", stored, format!("{shares} shares, {work} work"));
    }
    if computed != batch.digest {
        return found("digest of a batch", hex::encode(batch.digest), hex::encode(computed));
    }
    None
}

#[derive(QueryableByName)]
struct StoredHost {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = BigInt)]
    folded_seq: i64,
}

#[derive(QueryableByName)]
struct StoredBatch {
    #[diesel(sql_type = BigInt)]
    first_seq: i64,
    #[diesel(sql_type = BigInt)]
    last_seq: i64,
    #[diesel(sql_type = BigInt)]
    shares: i64,
    #[diesel(sql_type = BigInt)]
    work: i64,
    #[diesel(sql_type = BigInt)]
    first_at: i64,
    #[diesel(sql_type = BigInt)]
    last_at: i64,
    #[diesel(sql_type = Binary)]
    digest: Vec<u8>,
    #[diesel(sql_type = Binary)]
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
