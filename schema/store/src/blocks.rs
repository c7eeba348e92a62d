//! Blocks of the pool: found, watched, weighed, credited.
use std::time::Duration;

use units::{Amount, BlockRowId, Difficulty, Height, HostId, LineId, MinerId, PolicyId, Seq, Timestamp, Work};

use crate::db::{Conn, snapshot, txn};
use crate::fold::TemplateRow;
use crate::ledger::{MONEY_LEASE, lease_check_in_txn};
use crate::sql::{Bind, binds};
use crate::{Result, Store, StoreError};

mod credit;
pub(crate) mod insert;
mod policies;
mod rows;
mod weights;
mod window;

pub(crate) use rows::{BLOCKS, BlockRow, blocks};
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
    /// Finder's line; `None` for a block that no logged candidate explains.
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

/// One stored line of a block's allocation.
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

impl Store {
    /// Blocks that may still change: neither lost nor final. Lowest height first.
    ///
    /// # Errors
    /// When the database gives no answer, or a row is damaged.
    pub async fn block_list_open(&self) -> Result<Vec<Block>> {
        let select = format!("{BLOCKS} WHERE b.state <> 'lost' AND b.final_at IS NULL ORDER BY b.height, b.id");
        self.run(move |db| async move { blocks(db.read().await?.conn().rows(&select, binds![]).await?) }).await
    }

    /// The block with this id.
    ///
    /// # Errors
    /// When the database gives no answer, or the row is damaged.
    pub async fn block_find(&self, hash: &str) -> Result<Option<Block>> {
        let select = format!("{BLOCKS} WHERE b.hash = $1");
        let hash = hash.to_owned();
        let found: Vec<BlockRow> =
            self.run(move |db| async move { db.read().await?.conn().rows(&select, binds![hash]).await }).await?;
        Ok(blocks(found)?.pop())
    }

    /// The folded template with this merkle root.
    ///
    /// # Errors
    /// When the database gives no answer, or the row is damaged.
    pub async fn template_find(&self, merkle_root: &str) -> Result<Option<TemplateRow>> {
        let select = "SELECT merkle_root, height, prev_hash, header_base, difficulty, reward, seen_at FROM templates \
                      WHERE merkle_root = $1";
        let found: Vec<rows::StoredTemplate> = self.rows(select, binds![merkle_root]).await?;
        found.into_iter().next().map(TemplateRow::try_from).transpose()
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
        self.run(move |db| async move {
            txn!(db, c => {
                lease_check_in_txn(c, MONEY_LEASE, epoch).await?;
                let update = "UPDATE blocks SET state = $1 WHERE id = $2 AND state = $3";
                let moved = c.run(update, binds![to.as_str(), block.0, from.as_str()]).await?;
                expect_one(moved, block)?
            })
        })
        .await
    }

    /// Notes since when another block stands at its height (`None`: it stands there itself).
    ///
    /// # Errors
    /// `Fenced`; `Conflict` for a block that is not there.
    pub async fn block_displaced(&self, epoch: i64, block: BlockRowId, since: Option<Height>) -> Result<()> {
        let update = "UPDATE blocks SET displaced_at = $1 WHERE id = $2";
        self.block_note(epoch, block, update, binds![since.map(Height::to_i64), block.0]).await
    }

    /// Notes why it is not credited although deep enough.
    ///
    /// # Errors
    /// `Fenced`; `Conflict` for a block that is not there.
    pub async fn block_hold(&self, epoch: i64, block: BlockRowId, why: Option<&str>) -> Result<()> {
        let update = "UPDATE blocks SET hold_reason = $1 WHERE id = $2";
        self.block_note(epoch, block, update, binds![why.map(str::to_owned), block.0]).await
    }

    /// Ends the watch over a credited or reversed block: no reorganisation can reach it any more.
    ///
    /// # Errors
    /// `Fenced`; `Conflict` for a block in another state.
    pub async fn block_finish(&self, epoch: i64, block: BlockRowId, at: Timestamp) -> Result<()> {
        let update = "UPDATE blocks SET final_at = $1 WHERE id = $2 AND state IN ('credited', 'reversed')";
        self.block_note(epoch, block, update, binds![at.ms(), block.0]).await
    }

    async fn block_note(&self, epoch: i64, block: BlockRowId, update: &'static str, binds: Vec<Bind>) -> Result<()> {
        self.run(move |db| async move {
            txn!(db, c => {
                lease_check_in_txn(c, MONEY_LEASE, epoch).await?;
                let noted = c.run(update, binds).await?;
                expect_one(noted, block)?
            })
        })
        .await
    }
}

/// Inserts a block whose window ends where every host's log is folded.
async fn close_everywhere(c: &mut Conn<'_>, block: &insert::NewBlock<'_>) -> Result<bool> {
    // In order of id, so that two of these cannot wait for each other; a fold holds one only.
    c.rows::<rows::Id>(&format!("SELECT id FROM hosts ORDER BY id{}", c.for_update()), binds![]).await?;
    let Some(id) = insert::block_insert_in_txn(c, block).await? else { return Ok(false) };
    let windows = "INSERT INTO block_windows (block_id, host_id, end_seq) SELECT $1, id, folded_seq FROM hosts";
    c.run(windows, binds![id]).await?;
    c.run("UPDATE hosts SET closed_seq = folded_seq", binds![]).await?;
    Ok(true)
}

fn expect_one(changed: usize, block: BlockRowId) -> Result<()> {
    if changed == 1 { Ok(()) } else { Err(StoreError::Conflict { what: format!("block row {block}") }) }
}

// === impl Store: weighing ===

impl Store {
    /// Work per miner in the block's window: whole segments from the one that contains the window's start to the
    /// window's end positions, less what verdicts took away, split into verified and provisional. By address.
    /// A difference of running totals per line; verdicts are summed. Also how far each host was folded, and with it
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
            txn!(db, c => {
                lease_check_in_txn(c, MONEY_LEASE, epoch).await?;
                let update = "UPDATE blocks SET state = 'confirmed', weights_digest = $1, verdict_seq = $2 \
                              WHERE id = $3 AND state = 'seen' AND weights_digest IS NULL";
                let moved = c.run(update, binds![digest, verdict_seq.to_i64(), block.0]).await?;
                expect_one(moved, block)?;
                for (host, seq) in seen {
                    let update = "UPDATE block_windows SET verdict_seq = $1 WHERE block_id = $2 AND host_id = $3";
                    c.run(update, binds![seq.to_i64(), block.0, host.0]).await?;
                }
                weights::insert(c, block, &weights).await?
            })
        })
        .await
    }

    /// The stored weights, by miner.
    ///
    /// # Errors
    /// When the database gives no answer, or a row is damaged.
    pub async fn block_weights_list(&self, block: BlockRowId) -> Result<Vec<BlockWeight>> {
        let select = "SELECT miner_id, verified, provisional, weight, credit FROM block_weights WHERE block_id = $1 \
                      ORDER BY miner_id";
        let stored: Vec<rows::WeightRow> = self.rows(select, binds![block.0]).await?;
        stored.into_iter().map(BlockWeight::try_from).collect()
    }

    /// What the stored weights gave each miner, by its address of today.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn block_credits(&self, block: BlockRowId) -> Result<Vec<(String, Amount)>> {
        let select = "SELECT m.address, CAST(SUM(w.credit) AS BIGINT) AS credit FROM block_weights w \
                      JOIN miners o ON o.id = w.miner_id JOIN miners m ON m.id = COALESCE(o.joined_into, o.id) \
                      WHERE w.block_id = $1 AND w.credit > 0 GROUP BY m.address ORDER BY m.address";
        let stored: Vec<rows::CreditRow> = self.rows(select, binds![block.0]).await?;
        stored.into_iter().map(rows::CreditRow::read).collect()
    }
}
