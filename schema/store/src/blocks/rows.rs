//! Rows as the database gives them.
use diesel::dsl::auto_type;
use diesel::sql_types::{BigInt, Nullable, Text};
use diesel::{
    ExpressionMethods, JoinOnDsl, NullableExpressionMethods, QueryDsl, Queryable, QueryableByName, Selectable,
};
use units::{Amount, BlockRowId, LineId, MinerId, PolicyId, Timestamp};

use super::{Block, BlockState, BlockWeight};
use crate::fold::TemplateRow;
use crate::schema::{block_weights, blocks, miners, templates, worker_identities};
use crate::{Result, StoreError, column};

/// All blocks with their finders: the start of every query that gives [`BlockRow`]s.
#[auto_type]
pub(crate) fn blocks_with_finders() -> _ {
    let is_finder = miners::id.nullable().eq(worker_identities::miner_id.nullable());
    blocks::table.left_join(worker_identities::table).left_join(miners::table.on(is_finder))
}

/// A row of [`blocks_with_finders`].
#[derive(Queryable, Selectable)]
#[diesel(table_name = blocks)]
pub(crate) struct BlockRow {
    id: i64,
    hash: String,
    height: i64,
    state: String,
    identity_id: Option<i64>,
    #[diesel(select_expression = miners::address.nullable())]
    finder: Option<String>,
    #[diesel(select_expression = worker_identities::worker.nullable())]
    worker: Option<String>,
    difficulty: i64,
    reward: i64,
    found_at: i64,
    policy_id: i64,
    window_start: i64,
    round_work: i64,
    round_started_at: i64,
    credits: i64,
    reversals: i64,
    credited_at: Option<i64>,
    displaced_at: Option<i64>,
    hold_reason: Option<String>,
}

/// The blocks of rows of [`blocks_with_finders`].
pub(crate) fn read_blocks(rows: Vec<BlockRow>) -> Result<Vec<Block>> {
    rows.into_iter().map(Block::try_from).collect()
}

impl TryFrom<BlockRow> for Block {
    type Error = StoreError;

    fn try_from(row: BlockRow) -> Result<Block> {
        let what = format!("block {}", row.hash);
        let state = BlockState::from_column(&row.state)
            .ok_or_else(|| StoreError::Damaged { what: what.clone(), why: format!("its state is `{}`", row.state) })?;
        Ok(Block {
            id: BlockRowId(row.id),
            height: column::height(row.height, &what)?,
            state,
            line: row.identity_id.map(LineId),
            finder: row.finder,
            worker: row.worker,
            difficulty: column::difficulty(row.difficulty, &what)?,
            reward: column::amount(row.reward, &what)?,
            found_at: Timestamp::from_ms(row.found_at),
            policy: PolicyId(row.policy_id),
            window_start: Timestamp::from_ms(row.window_start),
            round_work: column::work(row.round_work, &what)?,
            round_started_at: Timestamp::from_ms(row.round_started_at),
            credits: column::count(row.credits, &what)?,
            reversals: column::count(row.reversals, &what)?,
            credited_at: row.credited_at.map(Timestamp::from_ms),
            displaced_at: row.displaced_at.map(|height| column::height(height, &what)).transpose()?,
            hold_reason: row.hold_reason,
            hash: row.hash,
        })
    }
}

/// A row of `templates`.
#[derive(Queryable, Selectable)]
#[diesel(table_name = templates)]
pub(super) struct StoredTemplate {
    merkle_root: String,
    height: i64,
    prev_hash: String,
    header_base: Vec<u8>,
    difficulty: i64,
    reward: i64,
    seen_at: i64,
}

impl TryFrom<StoredTemplate> for TemplateRow {
    type Error = StoreError;

    fn try_from(row: StoredTemplate) -> Result<TemplateRow> {
        let what = format!("template {}", row.merkle_root);
        Ok(TemplateRow {
            height: column::height(row.height, &what)?,
            prev_hash: row.prev_hash,
            header_base: row.header_base,
            difficulty: column::difficulty(row.difficulty, &what)?,
            reward: column::amount(row.reward, &what)?,
            seen_at: Timestamp::from_ms(row.seen_at),
            merkle_root: row.merkle_root,
        })
    }
}

/// A row of `block_weights`.
#[derive(Queryable, Selectable)]
#[diesel(table_name = block_weights)]
pub(super) struct WeightRow {
    miner_id: i64,
    verified: i64,
    provisional: i64,
    weight: i64,
    credit: i64,
}

impl TryFrom<WeightRow> for BlockWeight {
    type Error = StoreError;

    fn try_from(row: WeightRow) -> Result<BlockWeight> {
        let what = format!("block weight of miner {}", row.miner_id);
        Ok(BlockWeight {
            miner: MinerId(row.miner_id),
            verified: column::work(row.verified, &what)?,
            provisional: column::work(row.provisional, &what)?,
            weight: row.weight,
            credit: column::amount(row.credit, &what)?,
        })
    }
}

/// What one address was given.
#[derive(QueryableByName)]
pub(super) struct CreditRow {
    #[diesel(sql_type = Text)]
    address: String,
    #[diesel(sql_type = BigInt)]
    credit: i64,
}

impl CreditRow {
    pub(super) fn read(self) -> Result<(String, Amount)> {
        let credit = column::amount(self.credit, "block credit")?;
        Ok((self.address, credit))
    }
}

/// What the pool has done, and where it stood at the newest block of the log: a row of `round.sql`.
#[derive(QueryableByName)]
pub(crate) struct RoundRow {
    #[diesel(sql_type = Nullable<BigInt>)]
    pub(crate) pool_work: Option<i64>,
    #[diesel(sql_type = Nullable<BigInt>)]
    pub(crate) before_work: Option<i64>,
    #[diesel(sql_type = Nullable<BigInt>)]
    pub(crate) before_at: Option<i64>,
    #[diesel(sql_type = Nullable<BigInt>)]
    pub(crate) first_share_at: Option<i64>,
}
