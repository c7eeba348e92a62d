//! Blocks of the pool: found, watched, weighed, credited.
use std::time::Duration;

use diesel::sql_types::BigInt;
use diesel::{ExpressionMethods, Insertable, IntoSql, OptionalExtension, QueryDsl, SelectableHelper};
use diesel_async::RunQueryDsl;
use units::{Amount, BlockRowId, Difficulty, Height, HostId, LineId, MinerId, PolicyId, Seq, Timestamp, Work};

use crate::db::{Conn, on, q, snapshot, txn};
use crate::fold::TemplateRow;
use crate::ledger::{MONEY_LEASE, lease_check_in_txn};
use crate::schema::{block_weights, block_windows, blocks, hosts, templates};
use crate::sql::{binds, statement};
use crate::{Result, Store, StoreError};

mod credit;
pub(crate) mod insert;
mod policies;
mod rows;
mod weights;
mod window;

pub(crate) use rows::{BlockRow, RoundRow, blocks_with_finders, read_blocks};
use rows::{CreditRow, StoredTemplate, WeightRow};
pub(crate) use weights::window_work;

/// [`Block::hold_reason`] of a block that goes on by itself, when enough of its payees' work is checked.
pub const HELD_UNCHECKED: &str = "work of its payees is still being checked";

/// Where a block stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BlockState {
    /// In the log; the daemon has not confirmed it yet.
    Candidate,
    /// The daemon said accepted.
    Submitted,
    /// Seen on the main chain.
    Seen,
    /// Deep enough; weights are fixed.
    Confirmed,
    /// Its reward is in the ledger.
    Credited,
    /// The credit was taken back.
    Reversed,
    /// Never on the main chain, and never will be.
    Lost,
}

impl BlockState {
    /// As the column holds it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            BlockState::Candidate => "candidate",
            BlockState::Submitted => "submitted",
            BlockState::Seen => "seen",
            BlockState::Confirmed => "confirmed",
            BlockState::Credited => "credited",
            BlockState::Reversed => "reversed",
            BlockState::Lost => "lost",
        }
    }

    /// The inverse of [`BlockState::as_str`].
    pub(crate) fn from_column(text: &str) -> Option<BlockState> {
        use BlockState::{Candidate, Confirmed, Credited, Lost, Reversed, Seen, Submitted};
        let all = [Candidate, Submitted, Seen, Confirmed, Credited, Reversed, Lost];
        all.into_iter().find(|state| state.as_str() == text)
    }
}

/// A row of `blocks`, with the finder's address.
#[derive(Debug, Clone)]
pub struct Block {
    /// Row.
    pub id: BlockRowId,
    /// 64 hex digits.
    pub hash: String,
    /// Height.
    pub height: Height,
    /// State.
    pub state: BlockState,
    /// Finder's identity; `None` for a block that no logged candidate explains.
    pub line: Option<LineId>,
    /// Finder's address.
    pub finder: Option<String>,
    /// Finder's worker.
    pub worker: Option<String>,
    /// Network difficulty.
    pub difficulty: Difficulty,
    /// What it pays.
    pub reward: Amount,
    /// When the share was received.
    pub found_at: Timestamp,
    /// The rules that price it.
    pub policy: PolicyId,
    /// Payout window's start.
    pub window_start: Timestamp,
    /// Pool work of its round.
    pub round_work: Work,
    /// When its round began.
    pub round_started_at: Timestamp,
    /// Times credited.
    pub credits: u64,
    /// Times reversed.
    pub reversals: u64,
    /// When it was credited last.
    pub credited_at: Option<Timestamp>,
    /// Tip height at which another block first stood at its height.
    pub displaced_at: Option<Height>,
    /// Why it is not credited although deep enough.
    pub hold_reason: Option<String>,
}

// === impl Block ===

impl Block {
    /// Another block stands at its height.
    #[must_use]
    pub fn is_orphaned(&self) -> bool {
        matches!(self.state, BlockState::Lost | BlockState::Reversed) || self.displaced_at.is_some()
    }
}

/// Work of one miner in a block's window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WindowWork {
    /// The miner.
    pub miner: MinerId,
    /// Its address.
    pub address: String,
    /// Verified work.
    pub verified: Work,
    /// Accepted, not judged.
    pub provisional: Work,
}

/// One miner's part of a block's allocation, as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockWeight {
    /// The miner.
    pub miner: MinerId,
    /// Verified work.
    pub verified: Work,
    /// Provisional work that counted.
    pub provisional: Work,
    /// What it was split by.
    pub weight: i64,
    /// What it was given.
    pub credit: Amount,
}

// === impl Store: finding and watching ===

/// Runs an update of one block under the money lease: a macro, since the type of each update is another one.
macro_rules! change_one {
    ($store:expr, $epoch:expr, $block:expr, $update:expr) => {
        $store
            .run(move |db| async move {
                txn!(db, conn => {
                    lease_check_in_txn(conn, MONEY_LEASE, $epoch).await?;
                    expect_one(on!(conn, c => $update.execute(c).await)?, $block)?
                })
            })
            .await
    };
}

impl Store {
    /// Blocks that may still change: neither lost nor final. Lowest height first.
    ///
    /// # Errors
    /// When the database gives no answer, or a row is damaged.
    pub async fn block_list_open(&self) -> Result<Vec<Block>> {
        self.run(|db| async move {
            let open = blocks_with_finders()
                .filter(blocks::state.ne(BlockState::Lost.as_str()))
                .filter(blocks::final_at.is_null())
                .order((blocks::height, blocks::id));
            read_blocks(q!(db, read, c => open.select(BlockRow::as_select()).load(c).await)?)
        })
        .await
    }

    /// The block with this id.
    ///
    /// # Errors
    /// When the database gives no answer, or the row is damaged.
    pub async fn block_find(&self, hash: &str) -> Result<Option<Block>> {
        let of_hash = blocks_with_finders().filter(blocks::hash.eq(hash.to_owned()));
        self.run(|db| async move {
            let found = q!(db, read, c => of_hash.select(BlockRow::as_select()).get_result(c).await.optional())?;
            found.map(Block::try_from).transpose()
        })
        .await
    }

    /// The folded template with this merkle root.
    ///
    /// # Errors
    /// When the database gives no answer, or the row is damaged.
    pub async fn template_find(&self, merkle_root: &str) -> Result<Option<TemplateRow>> {
        let of_root = templates::table.filter(templates::merkle_root.eq(merkle_root.to_owned()));
        self.run(|db| async move {
            let found = q!(db, read, c => of_root.select(StoredTemplate::as_select()).get_result(c).await.optional())?;
            found.map(TemplateRow::try_from).transpose()
        })
        .await
    }

    /// Records a main-chain block of the pool that no candidate explains (state `seen`): no finder, window end at
    /// every host's folded position, segments closed there. `policy` and `window` price it where its template was
    /// logged under no policy. `false`, and no change, if the block is known.
    ///
    /// # Errors
    /// `Fenced`; `Damaged` when the template is not stored.
    #[expect(clippy::too_many_arguments, reason = "one row")]
    pub async fn block_insert_unexplained(
        &self,
        epoch: i64,
        host: HostId,
        hash: &str,
        nonce: u64,
        merkle_root: &str,
        found_at: Timestamp,
        policy: PolicyId,
        window: Duration,
    ) -> Result<bool> {
        let (hash, merkle_root) = (hash.to_owned(), merkle_root.to_owned());
        // A column holds it as the same 64 bits.
        let nonce = nonce.cast_signed();
        self.run(move |db| async move {
            txn!(db, c => {
                lease_check_in_txn(c, MONEY_LEASE, epoch).await?;
                let block = insert::NewBlock {
                    hash: &hash,
                    state: BlockState::Seen.as_str(),
                    host: host.0,
                    merkle_root: &merkle_root,
                    nonce,
                    finder: None,
                    found_at,
                    window_end: found_at,
                    policy,
                    window,
                };
                close_everywhere(c, &block).await?
            })
        })
        .await
    }

    /// Moves a block from one state to another.
    ///
    /// # Errors
    /// `Fenced`; `Conflict` if it is not in `from`.
    pub async fn block_move(&self, epoch: i64, block: BlockRowId, from: BlockState, to: BlockState) -> Result<()> {
        let in_from = blocks::table.find(block.0).filter(blocks::state.eq(from.as_str()));
        let update = diesel::update(in_from).set(blocks::state.eq(to.as_str()));
        change_one!(self, epoch, block, update)
    }

    /// Notes since when another block stands at its height (`None`: it stands there itself).
    ///
    /// # Errors
    /// `Fenced`; `Conflict` for a block that is not there.
    pub async fn block_displaced(&self, epoch: i64, block: BlockRowId, since: Option<Height>) -> Result<()> {
        let displaced_at = blocks::displaced_at.eq(since.map(Height::to_i64));
        let update = diesel::update(blocks::table.find(block.0)).set(displaced_at);
        change_one!(self, epoch, block, update)
    }

    /// Notes why it is not credited although deep enough.
    ///
    /// # Errors
    /// `Fenced`; `Conflict` for a block that is not there.
    pub async fn block_hold(&self, epoch: i64, block: BlockRowId, why: Option<&str>) -> Result<()> {
        let hold_reason = blocks::hold_reason.eq(why.map(str::to_owned));
        let update = diesel::update(blocks::table.find(block.0)).set(hold_reason);
        change_one!(self, epoch, block, update)
    }

    /// Ends the watch over a credited or reversed block: no reorganisation can reach it any more.
    ///
    /// # Errors
    /// `Fenced`; `Conflict` for a block in another state.
    pub async fn block_finish(&self, epoch: i64, block: BlockRowId, at: Timestamp) -> Result<()> {
        let settled = [BlockState::Credited.as_str(), BlockState::Reversed.as_str()];
        let settled = blocks::table.find(block.0).filter(blocks::state.eq_any(settled));
        let update = diesel::update(settled).set(blocks::final_at.eq(at.ms()));
        change_one!(self, epoch, block, update)
    }
}

/// Inserts a block whose window ends where every host's log is folded.
async fn close_everywhere(conn: &mut Conn<'_>, block: &insert::NewBlock<'_>) -> Result<bool> {
    window::hosts_lock(conn).await?;
    let Some(id) = insert::block_insert_in_txn(conn, block).await? else { return Ok(false) };
    let windows = hosts::table
        .select((id.into_sql::<BigInt>(), hosts::id, hosts::folded_seq))
        .insert_into(block_windows::table)
        .into_columns((block_windows::block_id, block_windows::host_id, block_windows::end_seq));
    on!(conn, c => windows.execute(c).await)?;
    let close = diesel::update(hosts::table).set(hosts::closed_seq.eq(hosts::folded_seq));
    on!(conn, c => close.execute(c).await)?;
    Ok(true)
}

fn expect_one(changed: usize, block: BlockRowId) -> Result<()> {
    if changed == 1 { Ok(()) } else { Err(StoreError::Conflict { what: format!("block row {block}") }) }
}

// === impl Store: weighing ===

impl Store {
    /// Work per miner in the block's window: whole segments from the one that contains the window's start to the
    /// window's end positions, less what verdicts took away, split into verified and provisional. By address.
    /// A difference of running totals per identity; verdicts are summed. Also how far each host was folded, and with it
    /// which verdicts were seen.
    ///
    /// # Errors
    /// `Conflict` for a block that is not there; `Damaged` when verdicts take more than was accepted.
    pub async fn block_window_work(&self, block: BlockRowId) -> Result<(Vec<WindowWork>, Vec<(HostId, Seq)>)> {
        self.run(move |db| async move { snapshot!(db, c => weights::window_work(c, block).await?) }).await
    }

    /// Stores the weights once (state `seen` to `confirmed`); `seen`: what they were computed from, as
    /// [`Store::block_window_work`] says it.
    ///
    /// # Errors
    /// `Fenced`; `Conflict` when already stored or in another state.
    pub async fn block_weights_store(
        &self,
        epoch: i64,
        block: BlockRowId,
        weights: Vec<BlockWeight>,
        digest: &str,
        seen: Vec<(HostId, Seq)>,
    ) -> Result<()> {
        let digest = digest.to_owned();
        let verdict_seq = seen.iter().map(|(_, seq)| *seq).max().unwrap_or_default();
        self.run(move |db| async move {
            txn!(db, conn => {
                lease_check_in_txn(conn, MONEY_LEASE, epoch).await?;
                let unweighed = blocks::table
                    .find(block.0)
                    .filter(blocks::state.eq(BlockState::Seen.as_str()))
                    .filter(blocks::weights_digest.is_null());
                let update = diesel::update(unweighed).set((
                    blocks::state.eq(BlockState::Confirmed.as_str()),
                    blocks::weights_digest.eq(digest),
                    blocks::verdict_seq.eq(verdict_seq.to_i64()),
                ));
                expect_one(on!(conn, c => update.execute(c).await)?, block)?;
                for (host, seq) in seen {
                    let update = diesel::update(block_windows::table.find((block.0, host.0)))
                        .set(block_windows::verdict_seq.eq(seq.to_i64()));
                    on!(conn, c => update.execute(c).await)?;
                }
                weights::insert(conn, block, &weights).await?
            })
        })
        .await
    }

    /// The stored weights, by miner.
    ///
    /// # Errors
    /// When the database gives no answer, or a row is damaged.
    pub async fn block_weights_list(&self, block: BlockRowId) -> Result<Vec<BlockWeight>> {
        let stored = block_weights::table.filter(block_weights::block_id.eq(block.0)).order(block_weights::miner_id);
        self.run(|db| async move {
            let rows = q!(db, read, c => stored.select(WeightRow::as_select()).load(c).await)?;
            rows.into_iter().map(BlockWeight::try_from).collect()
        })
        .await
    }

    /// What the stored weights gave each miner, by its address of today.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn block_credits(&self, block: BlockRowId) -> Result<Vec<(String, Amount)>> {
        let stored: Vec<CreditRow> = self.load_file(statement!("blocks/credits.sql"), binds![block.0]).await?;
        stored.into_iter().map(CreditRow::read).collect()
    }
}
