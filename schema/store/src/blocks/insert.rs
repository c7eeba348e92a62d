//! New rows of `blocks`, and what is fixed at the find.
use std::time::Duration;

use accounting::WindowTerms;
use diesel::QueryableByName;
use diesel::sql_types::{BigInt, Nullable, Text};
use units::{PolicyId, Timestamp};

use crate::db::Conn;
use crate::sql::binds;
use crate::{Result, StoreError};

/// What a new block's row is made of; the rest is read from its template and the blocks before it.
pub(crate) struct NewBlock<'a> {
    pub(crate) hash: &'a str,
    pub(crate) state: &'static str,
    pub(crate) host: i64,
    pub(crate) merkle_root: &'a str,
    pub(crate) nonce: i64,
    /// Line and position of the finding share.
    pub(crate) finder: Option<(i64, i64)>,
    pub(crate) found_at: Timestamp,
    /// Its window begins its length before this.
    pub(crate) window_end: Timestamp,
    /// Where its template was logged under none.
    pub(crate) policy: PolicyId,
    /// Where its policy says none.
    pub(crate) window: Duration,
}

/// Where the new block's round began, and what the pool had done then and now.
#[derive(QueryableByName)]
struct RoundRow {
    #[diesel(sql_type = Nullable<BigInt>)]
    pool_work: Option<i64>,
    #[diesel(sql_type = Nullable<BigInt>)]
    before_work: Option<i64>,
    #[diesel(sql_type = Nullable<BigInt>)]
    before_at: Option<i64>,
    #[diesel(sql_type = Nullable<BigInt>)]
    first_share_at: Option<i64>,
}

/// Inserts the row; `None` when the block is there already.
pub(crate) async fn block_insert_in_txn(c: &mut Conn<'_>, block: &NewBlock<'_>) -> Result<Option<i64>> {
    let template = template_of(c, block).await?;
    let policy = template.policy_id.map_or(block.policy, PolicyId);
    let terms = policy_terms(c, policy).await?;
    // One statement, one moment: the pool's work never reads lower than that of the block before.
    let round = "SELECT (SELECT CAST(SUM(work) AS BIGINT) FROM hosts) AS pool_work, \
                 (SELECT pool_work FROM blocks ORDER BY id DESC LIMIT 1) AS before_work, \
                 (SELECT found_at FROM blocks ORDER BY id DESC LIMIT 1) AS before_at, \
                 (SELECT MIN(first_share_at) FROM hosts WHERE shares > 0) AS first_share_at";
    let round: RoundRow = c.rows(round, binds![]).await?.pop().ok_or(diesel::result::Error::NotFound)?;
    let pool_work = round.pool_work.unwrap_or(0);
    let round_work = pool_work.saturating_sub(round.before_work.unwrap_or(0));
    let round_started_at = round.before_at.or(round.first_share_at).unwrap_or(block.found_at.ms());
    let window_start = terms.start(block.window_end, Timestamp::from_ms(round_started_at), block.window);
    let insert = "INSERT INTO blocks (hash, state, host_id, template_id, identity_id, nonce, share_seq, found_at, \
                  policy_id, window_start, round_work, round_started_at, pool_work, height, difficulty, reward) \
                  SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, t.height, t.difficulty, t.reward \
                  FROM templates t WHERE t.id = $4 ON CONFLICT (hash) DO NOTHING RETURNING id AS n";
    let binds = binds![
        block.hash,
        block.state,
        block.host,
        template.id,
        block.finder.map(|(line, _)| line),
        block.nonce,
        block.finder.map_or(0, |(_, share)| share),
        block.found_at.ms(),
        policy.0,
        window_start.ms(),
        round_work,
        round_started_at,
        pool_work,
    ];
    c.number(insert, binds).await
}

#[derive(QueryableByName)]
struct TemplateOf {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = Nullable<BigInt>)]
    policy_id: Option<i64>,
}

async fn template_of(c: &mut Conn<'_>, block: &NewBlock<'_>) -> Result<TemplateOf> {
    let select = "SELECT id, policy_id FROM templates WHERE merkle_root = $1";
    let found: Option<TemplateOf> = c.rows(select, binds![block.merkle_root]).await?.pop();
    found.ok_or_else(|| StoreError::Damaged {
        what: format!("block {}", block.hash),
        why: format!("its template {} is not stored", block.merkle_root),
    })
}

/// What of this policy decides where a block's window begins.
pub(crate) async fn policy_terms(c: &mut Conn<'_>, policy: PolicyId) -> Result<WindowTerms> {
    #[derive(QueryableByName)]
    struct Body {
        #[diesel(sql_type = Text)]
        body: String,
    }
    let found: Option<Body> = c.rows("SELECT body FROM policies WHERE id = $1", binds![policy.0]).await?.pop();
    Ok(found.and_then(|row| serde_json::from_str(&row.body).ok()).unwrap_or_default())
}
