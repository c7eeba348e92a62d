//! Payout intents: what is to be sent, what was asked of the wallet, and what became of it.
mod adopt;
mod rows;
mod standing;
mod unknown;

pub(crate) use rows::{Which, intents_load};
pub use standing::{Hold, PayoutBooks, ReadMark};
pub use unknown::{SendDecision, SendPlace, UnknownSend, UnknownTotals};

use accounting::Entry;
use chain::{Outpoint, TxId};
use diesel::{ExpressionMethods, QueryDsl};
use diesel_async::RunQueryDsl;
use serde::{Deserialize, Serialize};
use units::{Amount, Height, Timestamp};

use crate::db::{Conn, on, q, snapshot, txn};
use crate::ledger::{MONEY_LEASE, entry_post_in_txn, lease_check_in_txn};
use crate::schema::intents;
use crate::{Result, Store, StoreError};

/// Where a payout stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum IntentState {
    /// Money is reserved and the request's bytes are stored; nothing was asked of the wallet yet.
    Reserved,
    /// The wallet was, or may have been, asked.
    Unknown,
    /// The wallet sent it.
    Broadcast,
    /// In a block.
    Confirmed,
    /// Deep enough; the books are closed.
    Settled,
    /// Definitely not sent; the money is payable again.
    Released,
}

impl IntentState {
    /// As the column holds it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            IntentState::Reserved => "reserved",
            IntentState::Unknown => "unknown",
            IntentState::Broadcast => "broadcast",
            IntentState::Confirmed => "confirmed",
            IntentState::Settled => "settled",
            IntentState::Released => "released",
        }
    }
}

// === impl IntentState ===

impl IntentState {
    /// From the column.
    pub(crate) fn parse(text: &str) -> Option<IntentState> {
        use IntentState::{Broadcast, Confirmed, Released, Reserved, Settled, Unknown};
        [Reserved, Unknown, Broadcast, Confirmed, Settled, Released].into_iter().find(|state| state.as_str() == text)
    }

    /// True once the books are closed: nothing changes any more.
    #[must_use]
    pub fn is_closed(self) -> bool {
        matches!(self, IntentState::Settled | IntentState::Released)
    }
}

/// One recipient of an intent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IntentLine {
    /// Payout address.
    pub address: String,
    /// What its balance gives.
    pub gross: Amount,
    /// What it receives.
    pub net: Amount,
}

/// What an operator says about a payout that the pool cannot decide.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OperatorDecision {
    /// It was never sent, and never will be.
    Release {
        /// How that is known.
        because: String,
    },
    /// This transaction has paid it.
    Sent {
        /// Its id.
        txid: TxId,
    },
}

/// One request to the wallet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// 1 for the first.
    pub attempt: i64,
    /// `send` or `advanced`.
    pub route: &'static str,
    /// Sent as `Idempotency-Key`.
    pub idempotency_key: String,
    /// The exact request bytes.
    pub body: Vec<u8>,
    /// Chosen inputs; empty where the daemon chooses.
    pub inputs: Vec<Outpoint>,
    /// When it was stored.
    pub created_at: Timestamp,
    /// Tip height then.
    pub created_height: Height,
    /// What is known of it: `sent`, `failed`, ...; `None` while open.
    pub outcome: Option<String>,
    /// It was asked for again although not every answer is known: no refusal proves that it was never sent.
    pub repeated: bool,
}

/// A payout with its recipients and attempts.
#[derive(Debug, Clone)]
pub struct Intent {
    /// 32 hex digits; also the memo.
    pub id: String,
    /// State.
    pub state: IntentState,
    /// Sum of gross.
    pub gross: Amount,
    /// The network fee that the amounts were computed with.
    pub fee_expected: Amount,
    /// What the wallet said.
    pub fee_paid: Option<Amount>,
    /// The transaction.
    pub txid: Option<TxId>,
    /// When it was planned.
    pub created_at: Timestamp,
    /// Tip height then.
    pub created_height: Height,
    /// When the wallet sent it.
    pub sent_at: Option<Timestamp>,
    /// First tip height at which nothing showed it.
    pub absent_since: Option<Height>,
    /// Why an operator must look.
    pub attention: Option<String>,
    /// Address of the wallet that pays; `None` in rows of older programs.
    pub wallet: Option<String>,
    /// What an operator has said about it and was not acted upon yet.
    pub word: Option<OperatorDecision>,
    /// The epoch under which it last became reserved; `None` in rows of older programs.
    pub reserved_epoch: Option<i64>,
    /// When it was booked although the books had not planned it; it has no request then.
    pub adopted_at: Option<Timestamp>,
    /// Recipients.
    pub lines: Vec<IntentLine>,
    /// Requests, oldest first.
    pub attempts: Vec<Attempt>,
}

/// What may change about an open intent; `None` leaves a field alone.
#[derive(Debug, Clone, Default)]
pub struct IntentChange {
    /// New state.
    pub state: Option<IntentState>,
    /// The transaction and the fee that the wallet named.
    pub sent: Option<(TxId, Amount, Timestamp)>,
    /// `Some(None)` clears it.
    pub absent_since: Option<Option<Height>>,
    /// `Some(None)` clears it.
    pub attention: Option<Option<String>>,
    /// Outcome of the newest attempt.
    pub outcome: Option<String>,
    /// The newest attempt is asked for again.
    pub repeated: bool,
    /// The operator's word was acted upon, or refused.
    pub heard: bool,
}

/// A balance that is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// Payout address.
    pub address: String,
    /// Payable.
    pub payable: Amount,
    /// Time of the oldest credit since its last reserved payout.
    pub waiting_since: Timestamp,
}

/// Money of an intent moves with its state in one transaction, so a closing state needs its entry.
fn assert_open(state: IntentState) {
    assert!(!state.is_closed(), "an intent is closed by intent_close only");
}

// === impl Store ===

impl Store {
    /// Balances of at least `min`, oldest waiting first, at most `limit`.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn payout_list_due(&self, min: Amount, limit: u32) -> Result<Vec<Due>> {
        rows::due(self, min, limit).await
    }

    /// Stores an intent (state `reserved`) with its recipients, its first attempt, and posts `entry` (payable to
    /// inflight), in one transaction.
    ///
    /// # Errors
    /// `Conflict` when the id is taken or a balance does not cover its part; `Fenced` when `epoch` is not the lease's.
    ///
    /// # Panics
    /// When the intent is not as it must be at this step: reserved, one attempt, recipients adding up to its gross.
    pub async fn intent_reserve(&self, epoch: i64, intent: Intent, entry: Entry, at: Timestamp) -> Result<()> {
        assert_reservable(&intent);
        self.run(move |db| async move {
            txn!(db, c => {
                // First the entry: it makes the miners' rows that the lines refer to.
                if !entry_post_in_txn(c, epoch, &entry, at).await? {
                    return Err(conflict(&intent.id));
                }
                rows::intent_insert(c, &intent, epoch).await?;
                rows::recipients_insert(c, &intent).await?;
                for attempt in &intent.attempts {
                    rows::attempt_insert(c, &intent.id, attempt).await?;
                }
            })
        })
        .await
    }

    /// Intents that are not settled or released, oldest first, with recipients and attempts.
    ///
    /// # Errors
    /// `Damaged` for a row that is not an intent.
    pub async fn intent_list_open(&self) -> Result<Vec<Intent>> {
        self.intents(Which::Open).await
    }

    /// Settled intents that were planned at `since` or later, oldest first.
    ///
    /// # Errors
    /// `Damaged` for a row that is not an intent.
    pub async fn intent_list_settled(&self, since: Height) -> Result<Vec<Intent>> {
        self.intents(Which::SettledSince(since)).await
    }

    /// One intent.
    ///
    /// # Errors
    /// `Damaged` for a row that is not an intent.
    pub async fn intent_find(&self, id: &str) -> Result<Option<Intent>> {
        Ok(self.intents(Which::Of(id.to_owned())).await?.into_iter().next())
    }

    async fn intents(&self, which: Which) -> Result<Vec<Intent>> {
        self.run(|db| async move { snapshot!(db, c => intents_load(c, which).await?) }).await
    }

    /// Notes what an operator says about an open intent; the payout actor acts upon it. `false` for one that is closed or
    /// unknown.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn intent_say(&self, id: &str, word: &OperatorDecision) -> Result<bool> {
        let word = serde_json::to_string(word).expect("texts are JSON");
        let open = intents::table.find(id.to_owned()).filter(intents::state.eq_any(rows::OPEN_STATES));
        let update = diesel::update(open).set(intents::operator_word.eq(word));
        self.run(|db| async move { Ok(q!(db, write, c => update.execute(c).await)? == 1) }).await
    }

    /// Changes an intent that is in `from`.
    ///
    /// # Errors
    /// `Conflict` when it is in another state, `Fenced` when `epoch` is not the lease's.
    ///
    /// # Panics
    /// When `from` or the new state is a closed one: see [`Store::intent_close`].
    pub async fn intent_change(&self, epoch: i64, id: &str, from: IntentState, change: IntentChange) -> Result<()> {
        assert_open(from);
        let to = change.state.unwrap_or(from);
        assert_open(to);
        let id = id.to_owned();
        self.run(move |db| async move {
            txn!(db, c => {
                lease_check_in_txn(c, MONEY_LEASE, epoch).await?;
                intent_move(c, &id, from, to).await?;
                if change.state == Some(IntentState::Reserved) {
                    rows::reserved_under(c, &id, epoch).await?;
                }
                rows::intent_update(c, &id, change).await?;
            })
        })
        .await
    }

    /// Stores a further attempt (state back to `reserved`) and closes the one before it with `outcome`. What was known
    /// of the attempt before (transaction, fee, time, absence) is cleared: it is no longer what the intent waits for.
    ///
    /// # Errors
    /// `Conflict` when the intent is in another state, or the attempt does not follow its last one; `Fenced` when
    /// `epoch` is not the lease's.
    ///
    /// # Panics
    /// When `from` is a closed state.
    pub async fn intent_attempt_add(
        &self,
        epoch: i64,
        id: &str,
        from: IntentState,
        attempt: Attempt,
        outcome: &str,
    ) -> Result<()> {
        assert_open(from);
        let (id, outcome) = (id.to_owned(), outcome.to_owned());
        self.run(move |db| async move {
            txn!(db, c => {
                lease_check_in_txn(c, MONEY_LEASE, epoch).await?;
                intent_move(c, &id, from, IntentState::Reserved).await?;
                rows::reserved_under(c, &id, epoch).await?;
                rows::attempt_close(c, &id, &outcome).await?;
                let before = intents::attempt.eq(attempt.attempt.saturating_sub(1));
                let next = diesel::update(intents::table.find(&id).filter(before)).set((
                    intents::attempt.eq(attempt.attempt),
                    intents::txid.eq(None::<String>),
                    intents::fee_paid.eq(None::<i64>),
                    intents::sent_at.eq(None::<i64>),
                    intents::absent_since.eq(None::<i64>),
                ));
                if on!(c, c => next.execute(c).await)? != 1 {
                    return Err(conflict(&id));
                }
                rows::attempt_insert(c, &id, &attempt).await?;
            })
        })
        .await
    }

    /// Posts `entry` and moves the intent to `settled` or `released`, in one transaction; once.
    ///
    /// # Errors
    /// `Conflict` when the intent is in another state or the entry is there already; `Fenced` when `epoch` is not the
    /// lease's.
    ///
    /// # Panics
    /// When `from` is closed, or `to` is not.
    pub async fn intent_close(
        &self,
        epoch: i64,
        id: &str,
        from: IntentState,
        to: IntentState,
        entry: Entry,
        at: Timestamp,
    ) -> Result<()> {
        assert_open(from);
        assert!(to.is_closed(), "an intent is closed to settled or released");
        let id = id.to_owned();
        self.run(move |db| async move {
            txn!(db, c => {
                if !entry_post_in_txn(c, epoch, &entry, at).await? {
                    return Err(conflict(&id));
                }
                intent_move(c, &id, from, to).await?;
                if to == IntentState::Settled {
                    let settled = diesel::update(intents::table.find(&id)).set(intents::settled_at.eq(at.ms()));
                    on!(c, c => settled.execute(c).await)?;
                }
            })
        })
        .await
    }
}

fn conflict(id: &str) -> StoreError {
    StoreError::Conflict { what: format!("payout {id}") }
}

fn assert_reservable(intent: &Intent) {
    let id = &intent.id;
    assert!(intent.state == IntentState::Reserved, "payout {id} is stored as reserved");
    assert!(intent.attempts.len() == 1, "payout {id} is stored with its first attempt");
    assert!(intent.attempts.iter().all(|attempt| attempt.attempt == 1), "the first attempt of payout {id} is 1");
    assert!(!intent.lines.is_empty(), "payout {id} has recipients");
    assert!(intent.lines.iter().all(|line| line.net <= line.gross), "payout {id} sends no more than it takes");
    let gross = Amount::checked_sum(intent.lines.iter().map(|line| line.gross));
    assert!(gross == Some(intent.gross), "the recipients of payout {id} add up to its gross");
}

/// The guard of every change of state.
async fn intent_move(c: &mut Conn<'_>, id: &str, from: IntentState, to: IntentState) -> Result<()> {
    let as_expected = intents::table.find(id).filter(intents::state.eq(from.as_str()));
    let update = diesel::update(as_expected).set(intents::state.eq(to.as_str()));
    if on!(c, c => update.execute(c).await)? == 1 {
        return Ok(());
    }
    Err(conflict(id))
}
