//! Sends of the wallet that the books do not have, and what an operator decides about each.
use chain::TxId;
use std::collections::HashSet;

use diesel::QueryableByName;
use diesel::sql_types::{BigInt, Nullable, Text};
use units::{Amount, Height, Timestamp};

use crate::db::{Conn, txn};
use crate::ledger::{MONEY_LEASE, lease_check_in_txn, money_wait_in_txn};
use crate::sql::{Bind, binds};
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
const OPEN: &str = "(decision IS NULL OR decision = 'adopt') AND booked_at IS NULL";

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = Text)]
    txid: String,
    #[diesel(sql_type = Text)]
    memo: String,
    #[diesel(sql_type = Text)]
    wallet: String,
    #[diesel(sql_type = BigInt)]
    sent_at: i64,
    #[diesel(sql_type = BigInt)]
    sent_height: i64,
    #[diesel(sql_type = BigInt)]
    fee: i64,
    #[diesel(sql_type = Text)]
    recipients: String,
    #[diesel(sql_type = Nullable<Text>)]
    defect: Option<String>,
    #[diesel(sql_type = Text)]
    chain_state: String,
    #[diesel(sql_type = Nullable<BigInt>)]
    block_height: Option<i64>,
    #[diesel(sql_type = BigInt)]
    seen_height: i64,
    #[diesel(sql_type = BigInt)]
    noted_at: i64,
    #[diesel(sql_type = BigInt)]
    noted_height: i64,
    #[diesel(sql_type = Nullable<Text>)]
    decision: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    because: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
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

#[derive(QueryableByName)]
pub(super) struct Named {
    #[diesel(sql_type = Text)]
    pub(super) name: String,
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
        let group = (1..=ids.len()).map(|n| format!("${n}")).collect::<Vec<_>>().join(", ");
        let select =
            format!("SELECT reference AS name FROM entries WHERE kind = 'payout_reserved' AND reference IN ({group})");
        let binds: Vec<Bind> = ids.into_iter().map(Bind::from).collect();
        let known: Vec<Named> =
            self.run(move |db| async move { db.read().await?.conn().rows(&select, binds).await }).await?;
        Ok(known.into_iter().map(|row| row.name).collect())
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
        let select = format!("SELECT * FROM unknown_sends WHERE {OPEN} ORDER BY sent_at, txid LIMIT $1");
        self.unknown_sends(select, binds![i64::from(limit)]).await
    }

    /// Every send with the memo of this payout, oldest first.
    ///
    /// # Errors
    /// `Damaged` for a row that is no send.
    pub async fn unknown_sends_of(&self, memo: &str) -> Result<Vec<UnknownSend>> {
        self.unknown_sends("SELECT * FROM unknown_sends WHERE memo = $1 ORDER BY sent_at, txid".into(), binds![memo])
            .await
    }

    async fn unknown_sends(&self, select: String, binds: Vec<Bind>) -> Result<Vec<UnknownSend>> {
        let rows: Vec<Row> =
            self.run(move |db| async move { db.read().await?.conn().rows(&select, binds).await }).await?;
        rows.into_iter().map(UnknownSend::try_from).collect()
    }

    /// How many sends stop payouts.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn unknown_totals(&self) -> Result<UnknownTotals> {
        #[derive(QueryableByName)]
        struct Totals {
            #[diesel(sql_type = BigInt)]
            open: i64,
            #[diesel(sql_type = BigInt)]
            undecided: i64,
        }
        let select = format!(
            "SELECT COUNT(*) AS open, CAST(COALESCE(SUM(CASE WHEN decision IS NULL THEN 1 ELSE 0 END), 0) AS BIGINT) \
             AS undecided FROM unknown_sends WHERE {OPEN}"
        );
        let rows: Vec<Totals> =
            self.run(move |db| async move { db.read().await?.conn().rows(&select, binds![]).await }).await?;
        let count = |number: i64| u64::try_from(number).unwrap_or(0);
        let totals = rows.first().map(|row| UnknownTotals { open: count(row.open), undecided: count(row.undecided) });
        Ok(totals.unwrap_or_default())
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
        let ids = serde_json::to_string(&txids.iter().map(|txid| [txid]).collect::<Vec<_>>()).expect("texts are JSON");
        let because = because.map(str::to_owned);
        let sound = if decision == SendDecision::Adopt { " AND defect IS NULL" } else { "" };
        self.run(move |db| async move {
            txn!(db, c => {
                // The pool may be noting the same rows in another order.
                money_wait_in_txn(c).await?;
                // The list comes first: parameters are numbered as they appear.
                let update = format!(
                    "WITH these AS (SELECT value->>0 AS txid FROM {}) UPDATE unknown_sends SET decision = $2, \
                     because = $3, decided_at = $4, waits_for = NULL \
                     WHERE {OPEN}{sound} AND txid IN (SELECT txid FROM these)",
                    c.json_rows()
                );
                c.run(&update, binds![ids, decision.as_str(), because, at.ms()]).await?
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
                c.run("UPDATE unknown_sends SET waits_for = $1 WHERE txid = $2", binds![why, txid]).await?;
            })
        })
        .await
    }
}

async fn note(c: &mut Conn<'_>, send: &UnknownSend) -> Result<()> {
    let upsert = "INSERT INTO unknown_sends (txid, memo, wallet, sent_at, sent_height, fee, recipients, defect, \
                  chain_state, block_height, seen_height, noted_at, noted_height) \
                  VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) ON CONFLICT (txid) DO UPDATE SET \
                  chain_state = excluded.chain_state, block_height = excluded.block_height, \
                  seen_height = excluded.seen_height, defect = COALESCE(excluded.defect, unknown_sends.defect), \
                  decision = CASE WHEN unknown_sends.decision = 'given_up' AND excluded.chain_state = 'confirmed' \
                  THEN NULL ELSE unknown_sends.decision END";
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
    c.run(upsert, binds).await?;
    Ok(())
}
