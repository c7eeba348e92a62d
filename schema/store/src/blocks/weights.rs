//! The heart of the money: how much work each miner has in a block's window.
use std::collections::HashMap;

use diesel::sql_types::{BigInt, Text};
use diesel::{ExpressionMethods, OptionalExtension, QueryDsl, QueryableByName};
use diesel_async::RunQueryDsl;
use units::{BlockRowId, HostId, MinerId, Seq, Timestamp, Work};

use super::{BlockWeight, WindowWork};
use crate::db::{Conn, on};
use crate::ledger::Balances;
use crate::schema::{block_windows, blocks, hosts};
use crate::sql::{binds, statement};
use crate::{Result, StoreError, column};

#[derive(QueryableByName)]
struct AcceptedRow {
    #[diesel(sql_type = BigInt)]
    miner: i64,
    #[diesel(sql_type = Text)]
    address: String,
    #[diesel(sql_type = BigInt)]
    accepted: i64,
}

#[derive(QueryableByName)]
struct JudgedRow {
    #[diesel(sql_type = BigInt)]
    miner: i64,
    #[diesel(sql_type = BigInt)]
    verified: i64,
    #[diesel(sql_type = BigInt)]
    taken: i64,
}

/// See [`crate::Store::block_window_work`]. The caller's transaction must show one moment: a verdict may replace
/// another, and the folded position says which were seen.
pub(crate) async fn window_work(c: &mut Conn<'_>, block: BlockRowId) -> Result<(Vec<WindowWork>, Vec<(HostId, Seq)>)> {
    let start = blocks::table.find(block.0).select(blocks::window_start);
    let start: Option<i64> = on!(c, c => start.get_result(c).await.optional())?;
    let start = start.ok_or_else(|| StoreError::Conflict { what: format!("block row {block}") })?;
    let minute = i64::from(Timestamp::from_ms(start).minute().0);
    let folded = block_windows::table
        .inner_join(hosts::table)
        .filter(block_windows::block_id.eq(block.0))
        .order(hosts::id)
        .select((hosts::id, hosts::folded_seq));
    let folded: Vec<(i64, i64)> = on!(c, c => folded.load(c).await)?;
    let folded = folded.into_iter().map(|(host, seq)| (HostId(host), Seq::from_i64(seq))).collect();
    let window = binds![minute, block.0];
    let accepted: Vec<AcceptedRow> = c.load_file(statement!("weights/accepted.sql"), window.clone()).await?;
    let judged: Vec<JudgedRow> = c.load_file(statement!("weights/judged.sql"), window).await?;
    let mut judged: HashMap<i64, JudgedRow> = judged.into_iter().map(|row| (row.miner, row)).collect();
    let works = accepted.into_iter().map(|row| {
        let judged = judged.remove(&row.miner);
        row.less(judged, block)
    });
    let works = works.collect::<Result<Vec<WindowWork>>>()?;
    match judged.into_keys().next() {
        Some(miner) => Err(damaged(block, &format!("miner {miner} has verdicts in it and no shares"))),
        None => Ok((works, folded)),
    }
}

impl AcceptedRow {
    fn less(self, judged: Option<JudgedRow>, block: BlockRowId) -> Result<WindowWork> {
        let (verified, taken) = judged.map_or((0, 0), |row| (row.verified, row.taken));
        let provisional = self.accepted.checked_sub(verified).and_then(|rest| rest.checked_sub(taken));
        let provisional = provisional
            .and_then(Work::from_i64)
            .ok_or_else(|| damaged(block, &format!("verdicts on {} are worth more than its shares", self.address)))?;
        Ok(WindowWork {
            miner: MinerId(self.miner),
            verified: column::work(verified, "verdict")?,
            provisional,
            address: self.address,
        })
    }
}

fn damaged(block: BlockRowId, why: &str) -> StoreError {
    StoreError::Damaged { what: format!("window of block row {block}"), why: why.to_owned() }
}

/// Inserts the rows of `block_weights`.
pub(super) async fn insert(c: &mut Conn<'_>, block: BlockRowId, weights: &[BlockWeight]) -> Result<()> {
    let rows: Vec<_> = weights
        .iter()
        .map(|row| (row.miner, row.verified.get(), row.provisional.get(), row.weight, row.credit.atoms()))
        .collect();
    let rows = serde_json::to_string(&rows).expect("numbers are always JSON");
    c.run_file(statement!("weights/insert.sql"), binds![rows, block.0]).await?;
    Ok(())
}

/// The balances of all accounts of a credit entry and of the pool's fees, locked until the transaction ends. An account of
/// a miner that was joined into another one is that one's.
pub(super) async fn balances_lock(c: &mut Conn<'_>, credited: &str) -> Result<Balances> {
    #[derive(QueryableByName)]
    struct Held {
        #[diesel(sql_type = Text)]
        key: String,
        #[diesel(sql_type = BigInt)]
        balance: i64,
    }
    let held: Vec<Held> = c.load_file(statement!("weights/balances_lock.sql"), binds![credited]).await?;
    Balances::of_rows(held.into_iter().map(|row| (row.key, row.balance)).collect())
}
