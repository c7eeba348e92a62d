//! New rows of `blocks`, and what is fixed at the find.
use std::time::Duration;

use accounting::WindowTerms;
use diesel::sql_types::{BigInt, Nullable};
use diesel::{OptionalExtension, QueryDsl, QueryableByName};
use diesel_async::RunQueryDsl;
use units::{PolicyId, Timestamp};

use super::RoundRow;
use crate::db::{Conn, on};
use crate::schema::policies;
use crate::sql::{binds, statement};
use crate::{Result, StoreError};

/// What a new block's row is made of; the rest is read from its template and the blocks before it.
pub(crate) struct NewBlock<'a> {
    pub(crate) hash: &'a str,
    pub(crate) state: &'static str,
    pub(crate) host: i64,
    pub(crate) merkle_root: &'a str,
    pub(crate) nonce: i64,
    /// Identity of the finder and position of its share.
    pub(crate) finder: Option<(i64, i64)>,
    pub(crate) found_at: Timestamp,
    /// Its window begins its length before this.
    pub(crate) window_end: Timestamp,
    /// Where its template was logged under none.
    pub(crate) policy: PolicyId,
    /// Where its policy says none.
    pub(crate) window: Duration,
}

/// Inserts the row; `None` when the block is there already.
pub(crate) async fn block_insert_in_txn(c: &mut Conn<'_>, block: &NewBlock<'_>) -> Result<Option<i64>> {
    let template = template_of(c, block).await?;
    let policy = template.policy_id.map_or(block.policy, PolicyId);
    let terms = policy_terms(c, policy).await?;
    let round = statement!("round.sql");
    let round: RoundRow = c.load_file(round, binds![]).await?.pop().ok_or(diesel::result::Error::NotFound)?;
    let pool_work = round.pool_work.unwrap_or(0);
    let round_work = pool_work.saturating_sub(round.before_work.unwrap_or(0));
    let round_started_at = round.before_at.or(round.first_share_at).unwrap_or(block.found_at.ms());
    let window_start = terms.start(block.window_end, Timestamp::from_ms(round_started_at), block.window);
    let binds = binds![
        block.hash,
        block.state,
        block.host,
        template.id,
        block.finder.map(|(identity, _)| identity),
        block.nonce,
        block.finder.map_or(0, |(_, share)| share),
        block.found_at.ms(),
        policy.0,
        window_start.ms(),
        round_work,
        round_started_at,
        pool_work,
    ];
    let inserted: Option<Id> = c.load_file(statement!("insert/block.sql"), binds).await?.pop();
    Ok(inserted.map(|row| row.id))
}

#[derive(QueryableByName)]
struct Id {
    #[diesel(sql_type = BigInt)]
    id: i64,
}

#[derive(QueryableByName)]
struct TemplateOf {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = Nullable<BigInt>)]
    policy_id: Option<i64>,
}

async fn template_of(c: &mut Conn<'_>, block: &NewBlock<'_>) -> Result<TemplateOf> {
    let select = statement!("insert/template.sql");
    let found: Option<TemplateOf> = c.load_file(select, binds![block.merkle_root]).await?.pop();
    found.ok_or_else(|| StoreError::Damaged {
        what: format!("block {}", block.hash),
        why: format!("its template {} is not stored", block.merkle_root),
    })
}

/// What of this policy decides where a block's window begins.
pub(crate) async fn policy_terms(c: &mut Conn<'_>, policy: PolicyId) -> Result<WindowTerms> {
    let body = policies::table.find(policy.0).select(policies::body);
    let found: Option<String> = on!(c, c => body.get_result(c).await.optional())?;
    Ok(found.and_then(|body| serde_json::from_str(&body).ok()).unwrap_or_default())
}
