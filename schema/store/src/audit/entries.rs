//! Entries, postings, balances.
use super::{Difference, Findings, joined};
use crate::Result;
use crate::db::Conn;
use crate::sql::binds;

const ENTRIES: &str = "SELECT e.kind || ' ' || e.reference AS subject, CAST(0 AS BIGINT) AS stored, \
    CAST(COALESCE(SUM(p.amount), 0) AS BIGINT) AS computed \
    FROM entries e LEFT JOIN postings p ON p.entry_id = e.id WHERE e.id > $1 AND e.id <= $2 \
    GROUP BY e.id, e.kind, e.reference HAVING COALESCE(SUM(p.amount), 0) <> 0";

const POSTINGS_OF: &str = "SELECT e.kind || ' ' || e.reference AS subject, COUNT(p.id) AS stored, \
    CAST(2 AS BIGINT) AS computed \
    FROM entries e LEFT JOIN postings p ON p.entry_id = e.id WHERE e.id > $1 AND e.id <= $2 \
    GROUP BY e.id, e.kind, e.reference HAVING COUNT(p.id) < 2";

const STRAYS: &str = "SELECT 'posting ' || p.id AS subject, p.amount AS stored, CAST(0 AS BIGINT) AS computed \
    FROM postings p WHERE p.id > $1 AND p.id <= $2 \
    AND (NOT EXISTS (SELECT 1 FROM entries e WHERE e.id = p.entry_id) \
    OR NOT EXISTS (SELECT 1 FROM accounts a WHERE a.id = p.account_id))";

const BALANCES: &str = "SELECT a.key AS subject, a.balance AS stored, \
    CAST(COALESCE(SUM(p.amount), 0) AS BIGINT) AS computed \
    FROM accounts a LEFT JOIN postings p ON p.account_id = a.id WHERE a.id > $1 AND a.id <= $2 \
    GROUP BY a.id, a.key, a.balance HAVING a.balance <> COALESCE(SUM(p.amount), 0)";

const FROM_BLOCKS: &str = "SELECT a.key AS subject, a.from_blocks AS stored, \
    CAST(COALESCE(SUM(p.amount), 0) AS BIGINT) AS computed FROM accounts a LEFT JOIN \
    (SELECT p.account_id, p.amount FROM postings p JOIN entries e ON e.id = p.entry_id \
        WHERE e.kind IN ('block_credited', 'block_reversed')) AS p ON p.account_id = a.id \
    WHERE a.id > $1 AND a.id <= $2 \
    GROUP BY a.id, a.key, a.from_blocks HAVING a.from_blocks <> COALESCE(SUM(p.amount), 0)";

const SIGNS: &str = "SELECT key AS subject, balance AS stored, CAST(0 AS BIGINT) AS computed FROM accounts \
    WHERE id > $1 AND id <= $2 \
    AND ((balance < 0 AND kind IN ('payable', 'inflight', 'pool_fee', 'paid_out', 'network_fee')) \
    OR (balance > 0 AND kind IN ('chain_rewards', 'orphan_loss')))";

/// The key is what postings name an account by; kind and miner are what everybody else finds it by.
const NAMES: &str = "SELECT a.key AS subject, COALESCE(a.miner_id, 0) AS stored, CAST(0 AS BIGINT) AS computed \
    FROM accounts a LEFT JOIN miners m ON m.id = a.miner_id WHERE a.id > $1 AND a.id <= $2 \
    AND a.key <> CASE WHEN m.id IS NULL THEN a.kind ELSE a.kind || ':' || m.address END";

pub(super) async fn audit(c: &mut Conn<'_>) -> Result<Vec<Difference>> {
    let mut found = Findings::default();
    found.pages(c, "entry sums to zero", "entries", ENTRIES).await?;
    found.pages(c, "entry has two postings", "entries", POSTINGS_OF).await?;
    found.pages(c, "posting has entry and account", "postings", STRAYS).await?;
    found.pages(c, "balance is the sum of its postings", "accounts", BALANCES).await?;
    found.pages(c, "account counts what blocks gave it", "accounts", FROM_BLOCKS).await?;
    found.pages(c, "balance has the sign of its kind", "accounts", SIGNS).await?;
    found.pages(c, "account is named by kind and miner", "accounts", NAMES).await?;
    joined::audit(c, &mut found).await?;
    let sum = c.number("SELECT CAST(SUM(balance) AS BIGINT) AS n FROM accounts", binds![]).await?.unwrap_or(0);
    if sum != 0 {
        found.add("all balances sum to zero", "accounts", sum, 0);
    }
    Ok(found.0)
}
