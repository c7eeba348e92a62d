//! Rows as the database gives them.
use diesel::QueryableByName;
use diesel::sql_types::{BigInt, Binary, Nullable, Text};
use units::{Amount, BlockRowId, LineId, MinerId, PolicyId, Timestamp};

use super::{Block, BlockState, BlockWeight};
use crate::fold::TemplateRow;
use crate::{Result, StoreError, column};

/// All blocks (`b`) with their finders: the start of every query that gives [`BlockRow`]s.
pub(crate) const BLOCKS: &str = "SELECT b.id, b.hash, b.height, b.state, b.identity_id, m.address AS finder, l.worker, \
    b.difficulty, b.reward, b.found_at, b.policy_id, b.window_start, b.round_work, b.round_started_at, b.credits, \
    b.reversals, b.credited_at, b.displaced_at, b.hold_reason \
    FROM blocks b LEFT JOIN worker_identities l ON l.id = b.identity_id LEFT JOIN miners m ON m.id = l.miner_id";

/// A row of [`BLOCKS`].
#[derive(QueryableByName)]
pub(crate) struct BlockRow {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = Text)]
    hash: String,
    #[diesel(sql_type = BigInt)]
    height: i64,
    #[diesel(sql_type = Text)]
    state: String,
    #[diesel(sql_type = Nullable<BigInt>)]
    identity_id: Option<i64>,
    #[diesel(sql_type = Nullable<Text>)]
    finder: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    worker: Option<String>,
    #[diesel(sql_type = BigInt)]
    difficulty: i64,
    #[diesel(sql_type = BigInt)]
    reward: i64,
    #[diesel(sql_type = BigInt)]
    found_at: i64,
    #[diesel(sql_type = BigInt)]
    policy_id: i64,
    #[diesel(sql_type = BigInt)]
    window_start: i64,
    #[diesel(sql_type = BigInt)]
    round_work: i64,
    #[diesel(sql_type = BigInt)]
    round_started_at: i64,
    #[diesel(sql_type = BigInt)]
    credits: i64,
    #[diesel(sql_type = BigInt)]
    reversals: i64,
    #[diesel(sql_type = Nullable<BigInt>)]
    credited_at: Option<i64>,
    #[diesel(sql_type = Nullable<BigInt>)]
    displaced_at: Option<i64>,
    #[diesel(sql_type = Nullable<Text>)]
    hold_reason: Option<String>,
}

/// The blocks of rows of [`BLOCKS`].
pub(crate) fn blocks(rows: Vec<BlockRow>) -> Result<Vec<Block>> {
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
#[derive(QueryableByName)]
pub(super) struct StoredTemplate {
    #[diesel(sql_type = Text)]
    merkle_root: String,
    #[diesel(sql_type = BigInt)]
    height: i64,
    #[diesel(sql_type = Text)]
    prev_hash: String,
    #[diesel(sql_type = Binary)]
    header_base: Vec<u8>,
    #[diesel(sql_type = BigInt)]
    difficulty: i64,
    #[diesel(sql_type = BigInt)]
    reward: i64,
    #[diesel(sql_type = BigInt)]
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
#[derive(QueryableByName)]
pub(super) struct WeightRow {
    #[diesel(sql_type = BigInt)]
    miner_id: i64,
    #[diesel(sql_type = BigInt)]
    verified: i64,
    #[diesel(sql_type = BigInt)]
    provisional: i64,
    #[diesel(sql_type = BigInt)]
    weight: i64,
    #[diesel(sql_type = BigInt)]
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

/// A row's text.
#[derive(QueryableByName)]
pub(super) struct Name {
    #[diesel(sql_type = Text)]
    pub(super) name: String,
}

/// A row's number.
#[derive(QueryableByName)]
pub(super) struct Id {
    #[diesel(sql_type = BigInt)]
    #[expect(dead_code, reason = "only locked")]
    id: i64,
}
