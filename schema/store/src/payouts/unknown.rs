//! Sends of the wallet that the books do not have, and what an operator decides about each.
use std::collections::HashSet;

use chain::TxId;
use diesel::prelude::*;
use diesel::sql_types::Bool;
use diesel_async::RunQueryDsl;
use units::{Amount, Height, Timestamp};

use super::rows::IDS_PER_QUERY;
use crate::db::{Conn, on, q, snapshot, txn};
use crate::ledger::{MONEY_LEASE, lease_check_in_txn, money_wait_in_txn};
use crate::schema::{entries, unknown_sends};
use crate::sql::{binds, statement};
use crate::{Result, Store, StoreError, column};

/// What an operator decided about a send that the books do not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SendDecision {
    /// It is a payout of this pool: it is booked.
    Adopt,
    /// It is no payout of this pool.
    Foreign,
    /// No block will ever hold it.
    GivenUp,
}

impl SendDecision {
    /// As the column holds it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            SendDecision::Adopt => "adopt",
            SendDecision::Foreign => "foreign",
            SendDecision::GivenUp => "given_up",
        }
    }

    fn parse(text: &str) -> Option<SendDecision> {
        [SendDecision::Adopt, SendDecision::Foreign, SendDecision::GivenUp].into_iter().find(|one| one.as_str() == text)
    }
}

/// Where a send was when the wallet was last read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SendPlace {
    /// In the main chain's block of this height.
    Block(Height),
    /// In the mempool.
    Mempool,
    /// In neither, as far as the daemon knows.
    Nowhere,
}

/// A send whose memo is that of a payout which the books do not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownSend {
    /// Its transaction.
    pub txid: TxId,
    /// Id of the payout, as its recipients were told.
    pub memo: String,
    /// Address of the wallet that sent it.
    pub wallet: String,
    /// When.
    pub sent_at: Timestamp,
    /// The wallet's tip then.
    pub sent_height: Height,
    /// What the network took.
    pub fee: Amount,
    /// Whom it paid what, as in the request.
    pub recipients: Vec<(String, Amount)>,
    /// Why it cannot be adopted whatever happens.
    pub defect: Option<String>,
    /// Where it was when the wallet was last read.
    pub place: SendPlace,
    /// The tip then.
    pub seen_height: Height,
    /// When it was first noticed.
    pub noted_at: Timestamp,
    /// The tip then.
    pub noted_height: Height,
    /// What an operator decided; `None` so far.
    pub decision: Option<SendDecision>,
    /// How the operator knows.
    pub because: Option<String>,
    /// Why it is not booked although that was decided.
    pub waits_for: Option<String>,
}

impl UnknownSend {
    /// What the recipients got; the largest amount where it is beyond one.
    #[must_use]
    pub fn total(&self) -> Amount {
        Amount::checked_sum(self.recipients.iter().map(|(_, amount)| *amount)).unwrap_or(Amount::MAX)
    }
}

/// How much of the wallet's history stands in the way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct UnknownTotals {
    /// Sends that are undecided, or to be adopted and not booked yet.
    pub open: u64,
    /// Those of them that nobody has decided about.
    pub undecided: u64,
}

/// An undecided send stops all payouts; so does an adopted one until it is booked.
macro_rules! open {
    () => {
        (unknown_sends::decision.is_null().or(unknown_sends::decision.eq("adopt")))
            .and(unknown_sends::booked_at.is_null())
    };
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = unknown_sends)]
struct Row {
    txid: String,
    memo: String,
    wallet: String,
    sent_at: i64,
    sent_height: i64,
    fee: i64,
    recipients: String,
    defect: Option<String>,
    chain_state: String,
    block_height: Option<i64>,
    seen_height: i64,
    noted_at: i64,
    noted_height: i64,
    decision: Option<String>,
    because: Option<String>,
    waits_for: Option<String>,
}

impl TryFrom<Row> for UnknownSend {
    type Error = StoreError;
    fn try_from(row: Row) -> Result<UnknownSend> {
        let what = format!("unknown send {}", row.txid);
        let damaged = |why: String| StoreError::Damaged { what: what.clone(), why };
        let recipients: Vec<(String, i64)> =
            serde_json::from_str(&row.recipients).map_err(|error| damaged(format!("recipients: {error}")))?;
        let recipients = recipients.into_iter().map(|(address, sum)| Ok((address, column::amount(sum, &what)?)));
        let place = match (row.chain_state.as_str(), row.block_height) {
            ("confirmed", Some(height)) => SendPlace::Block(column::height(height, &what)?),
            ("mempool", _) => SendPlace::Mempool,
            ("not_found", _) => SendPlace::Nowhere,
            (other, _) => return Err(damaged(format!("state {other}"))),
        };
        let decision =
            row.decision.map(|text| SendDecision::parse(&text).ok_or_else(|| damaged(format!("decision {text}"))));
        Ok(UnknownSend {
            sent_height: column::height(row.sent_height, &what)?,
            fee: column::amount(row.fee, &what)?,
            recipients: recipients.collect::<Result<_>>()?,
            place,
            seen_height: column::height(row.seen_height, &what)?,
            noted_height: column::height(row.noted_height, &what)?,
            decision: decision.transpose()?,
            txid: column::txid(&row.txid, &what)?,
            memo: row.memo,
            wallet: row.wallet,
            sent_at: Timestamp::from_ms(row.sent_at),
            defect: row.defect,
            noted_at: Timestamp::from_ms(row.noted_at),
            because: row.because,
            waits_for: row.waits_for,
        })
    }
}

impl Store {
    /// Which of these payouts the books have an entry of. Entries are never removed, so it does not matter how old they
    /// are.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn payouts_known(&self, ids: Vec<String>) -> Result<HashSet<String>> {
        if ids.is_empty() {
            return Ok(HashSet::new());
        }
        let reserved = entries::table
            .filter(entries::kind.eq("payout_reserved"))
            .filter(entries::reference.eq_any(ids))
            .select(entries::reference);
        let known: Vec<String> = self.run(|db| async move { Ok(q!(db, read, c => reserved.load(c).await)?) }).await?;
        Ok(known.into_iter().collect())
    }

    /// Notes sends that the books do not have, or where they are now. What was given up and is in a block all the same
    /// is undecided again.
    ///
    /// # Errors
    /// `Fenced` when `epoch` is not the lease's.
    pub async fn unknown_sends_note(&self, epoch: i64, sends: Vec<UnknownSend>) -> Result<()> {
        self.run(move |db| async move {
            txn!(db, c => {
                lease_check_in_txn(c, MONEY_LEASE, epoch).await?;
                for send in &sends {
                    note(c, send).await?;
                }
            })
        })
        .await
    }

    /// Sends that stop payouts, oldest first, at most `limit`.
    ///
    /// # Errors
    /// `Damaged` for a row that is no send.
    pub async fn unknown_sends_open(&self, limit: u32) -> Result<Vec<UnknownSend>> {
        self.run(move |db| async move {
            let rows: Vec<Row> = q!(db, read, c => unknown_sends::table
                .filter(open!())
                .order((unknown_sends::sent_at, unknown_sends::txid))
                .limit(i64::from(limit))
                .select(Row::as_select())
                .load(c)
                .await)?;
            rows.into_iter().map(UnknownSend::try_from).collect()
        })
        .await
    }

    /// Every send with the memo of this payout, oldest first.
    ///
    /// # Errors
    /// `Damaged` for a row that is no send.
    pub async fn unknown_sends_of(&self, memo: &str) -> Result<Vec<UnknownSend>> {
        let of_memo = unknown_sends::memo.eq(memo.to_owned());
        self.run(|db| async move {
            let rows: Vec<Row> = q!(db, read, c => unknown_sends::table
                .filter(of_memo)
                .order((unknown_sends::sent_at, unknown_sends::txid))
                .select(Row::as_select())
                .load(c)
                .await)?;
            rows.into_iter().map(UnknownSend::try_from).collect()
        })
        .await
    }

    /// How many sends stop payouts.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn unknown_totals(&self) -> Result<UnknownTotals> {
        let open = unknown_sends::table.filter(open!());
        let undecided = open.filter(unknown_sends::decision.is_null());
        self.run(move |db| async move {
            let count = |number: i64| u64::try_from(number).unwrap_or(0);
            snapshot!(db, c => UnknownTotals {
                open: count(on!(c, c => open.count().get_result(c).await)?),
                undecided: count(on!(c, c => undecided.count().get_result(c).await)?),
            })
        })
        .await
    }

    /// Notes what an operator decides about these transactions; how many of them it concerns. What is booked, marked as
    /// foreign or given up stays as it is, and what has a defect is not adopted.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn unknown_sends_decide(
        &self,
        txids: &[TxId],
        decision: SendDecision,
        because: Option<&str>,
        at: Timestamp,
    ) -> Result<usize> {
        let ids: Vec<String> = txids.iter().map(TxId::to_string).collect();
        let because = because.map(str::to_owned);
        // One with a defect cannot be adopted.
        let may_have_defect = decision != SendDecision::Adopt;
        self.run(move |db| async move {
            txn!(db, c => {
                // The pool may be noting the same rows in another order.
                money_wait_in_txn(c).await?;
                let mut decided = 0;
                for some in ids.chunks(IDS_PER_QUERY) {
                    let sound = unknown_sends::defect.is_null().or(may_have_defect.into_sql::<Bool>());
                    let named = unknown_sends::table.filter(open!()).filter(sound).filter(unknown_sends::txid.eq_any(some));
                    let decide = diesel::update(named).set((
                        unknown_sends::decision.eq(decision.as_str()),
                        unknown_sends::because.eq(&because),
                        unknown_sends::decided_at.eq(at.ms()),
                        unknown_sends::waits_for.eq(None::<String>),
                    ));
                    decided += on!(c, c => decide.execute(c).await)?;
                }
                decided
            })
        })
        .await
    }

    /// Says why an adopted send is not booked yet; `None` takes it back.
    ///
    /// # Errors
    /// `Fenced` when `epoch` is not the lease's.
    pub async fn unknown_send_waits(&self, epoch: i64, txid: &TxId, why: Option<String>) -> Result<()> {
        let txid = txid.to_string();
        self.run(move |db| async move {
            txn!(db, c => {
                lease_check_in_txn(c, MONEY_LEASE, epoch).await?;
                let update = diesel::update(unknown_sends::table.find(&txid)).set(unknown_sends::waits_for.eq(&why));
                on!(c, c => update.execute(c).await)?;
            })
        })
        .await
    }
}

async fn note(c: &mut Conn<'_>, send: &UnknownSend) -> Result<()> {
    let recipients: Vec<(&str, i64)> =
        send.recipients.iter().map(|(address, amount)| (address.as_str(), amount.to_i64())).collect();
    let (state, height) = match send.place {
        SendPlace::Block(height) => ("confirmed", Some(height.to_i64())),
        SendPlace::Mempool => ("mempool", None),
        SendPlace::Nowhere => ("not_found", None),
    };
    let binds = binds![
        send.txid.to_string(),
        send.memo.clone(),
        send.wallet.clone(),
        send.sent_at.ms(),
        send.sent_height.to_i64(),
        send.fee.to_i64(),
        serde_json::to_string(&recipients).expect("texts and numbers are JSON"),
        send.defect.clone(),
        state,
        height,
        send.seen_height.to_i64(),
        send.noted_at.ms(),
        send.noted_height.to_i64(),
    ];
    c.run_file(statement!("unknown/note.sql"), binds).await?;
    Ok(())
}
