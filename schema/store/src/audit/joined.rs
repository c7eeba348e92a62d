//! Miners that were joined into another one.
use super::Findings;
use crate::Result;
use crate::db::Conn;
use crate::joined::Joined;
use crate::sql::binds;

const LEFT: &str = "SELECT a.key AS subject, a.balance AS stored, CAST(0 AS BIGINT) AS computed \
    FROM miners m JOIN accounts a ON a.miner_id = m.id WHERE m.joined_into IS NOT NULL AND a.balance <> 0";

const LINES: &str = "SELECT m.address AS subject, l.id AS stored, m.joined_into AS computed \
    FROM miners m JOIN worker_identities l ON l.miner_id = m.id WHERE m.joined_into IS NOT NULL";

const CHAINS: &str = "SELECT o.address AS subject, o.joined_into AS stored, COALESCE(n.joined_into, 0) AS computed \
    FROM miners o LEFT JOIN miners n ON n.id = o.joined_into \
    WHERE o.joined_into IS NOT NULL AND (n.id IS NULL OR n.joined_into IS NOT NULL)";

/// What one account loses, the account of the same kind of the same miner gains.
const MOVED: &str = "SELECT e.reference || ' ' || a.kind AS subject, CAST(SUM(p.amount) AS BIGINT) AS stored, \
    CAST(0 AS BIGINT) AS computed FROM entries e JOIN postings p ON p.entry_id = e.id \
    JOIN accounts a ON a.id = p.account_id LEFT JOIN miners m ON m.id = a.miner_id WHERE e.kind = 'accounts_joined' \
    GROUP BY e.id, e.reference, a.kind, COALESCE(m.joined_into, m.id) HAVING SUM(p.amount) <> 0";

const NAMED: &str = "SELECT e.reference AS subject, e.id AS stored, COALESCE(m.id, 0) AS computed FROM entries e \
    LEFT JOIN miners m ON m.address = e.reference WHERE e.kind = 'accounts_joined' AND m.joined_into IS NULL";

pub(super) async fn audit(c: &mut Conn<'_>, found: &mut Findings) -> Result<()> {
    found.query(c, "joined account is empty", LEFT, binds![]).await?;
    found.query(c, "joined miner has no line", LINES, binds![]).await?;
    found.query(c, "miner is joined into one that is not", CHAINS, binds![]).await?;
    found.query(c, "joining moves money to the same miner", MOVED, binds![]).await?;
    found.query(c, "entry that joins names who was joined", NAMED, binds![]).await?;
    for (old, new) in Joined::load(c).await?.pairs() {
        if !chain::Address::is_same_account(old, new) {
            found.add("joined texts name the same keys", old, new, "the same keys");
        }
    }
    Ok(())
}
