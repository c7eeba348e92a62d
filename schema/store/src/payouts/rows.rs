//! Rows of `intents`, `intent_recipients` and `intent_attempts`.
use diesel::QueryableByName;
use diesel::result::{DatabaseErrorKind, Error as DieselError};
use diesel::sql_types::{BigInt, Binary, Nullable, Text};
use units::Timestamp;

use super::{Attempt, Due, Intent, IntentChange, IntentLine, IntentState, conflict};
use crate::db::Conn;
use crate::sql::{Bind, binds, values};
use crate::{Result, StoreError, column};

/// Everything but settled and released.
pub(super) const OPEN_STATES: &str = "'reserved', 'unknown', 'broadcast', 'confirmed'";

/// Due balances. A miner waits since its oldest credit after its last reservation; without one (a part was left over)
/// since that reservation.
pub(super) const DUE: &str = "\
    SELECT d.address AS address, d.balance AS balance, \
        COALESCE((SELECT e.at FROM postings p JOIN entries e ON e.id = p.entry_id \
                  WHERE p.account_id = d.id AND p.id > d.reserved AND p.amount > 0 ORDER BY p.id LIMIT 1), \
                 (SELECT e.at FROM postings p JOIN entries e ON e.id = p.entry_id WHERE p.id = d.reserved), 0) AS since \
    FROM (SELECT a.id AS id, m.address AS address, a.balance AS balance, \
              COALESCE((SELECT p.id FROM postings p JOIN entries e ON e.id = p.entry_id \
                        WHERE p.account_id = a.id AND p.amount < 0 AND e.kind = 'payout_reserved' \
                        ORDER BY p.id DESC LIMIT 1), 0) AS reserved \
          FROM accounts a JOIN miners m ON m.id = a.miner_id WHERE a.kind = 'payable' AND a.balance >= $1) AS d \
    ORDER BY since, balance DESC, address LIMIT $2";

#[derive(QueryableByName)]
pub(super) struct DueRow {
    #[diesel(sql_type = Text)]
    address: String,
    #[diesel(sql_type = BigInt)]
    balance: i64,
    #[diesel(sql_type = BigInt)]
    since: i64,
}

impl TryFrom<DueRow> for Due {
    type Error = StoreError;
    fn try_from(row: DueRow) -> Result<Due> {
        let payable = column::amount(row.balance, &format!("balance payable:{}", row.address))?;
        Ok(Due { address: row.address, payable, waiting_since: Timestamp::from_ms(row.since) })
    }
}

#[derive(QueryableByName)]
struct IntentRow {
    #[diesel(sql_type = Text)]
    id: String,
    #[diesel(sql_type = Text)]
    state: String,
    #[diesel(sql_type = BigInt)]
    gross: i64,
    #[diesel(sql_type = BigInt)]
    fee_expected: i64,
    #[diesel(sql_type = Nullable<BigInt>)]
    fee_paid: Option<i64>,
    #[diesel(sql_type = Nullable<Text>)]
    txid: Option<String>,
    #[diesel(sql_type = BigInt)]
    created_at: i64,
    #[diesel(sql_type = BigInt)]
    created_height: i64,
    #[diesel(sql_type = Nullable<BigInt>)]
    sent_at: Option<i64>,
    #[diesel(sql_type = Nullable<BigInt>)]
    absent_since: Option<i64>,
    #[diesel(sql_type = Nullable<Text>)]
    attention: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    wallet: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    operator_word: Option<String>,
    #[diesel(sql_type = Nullable<BigInt>)]
    reserved_epoch: Option<i64>,
    #[diesel(sql_type = Nullable<BigInt>)]
    adopted_at: Option<i64>,
}

#[derive(QueryableByName)]
struct LineRow {
    #[diesel(sql_type = Text)]
    intent_id: String,
    #[diesel(sql_type = Text)]
    address: String,
    #[diesel(sql_type = BigInt)]
    gross: i64,
    #[diesel(sql_type = BigInt)]
    net: i64,
}

#[derive(QueryableByName)]
struct AttemptRow {
    #[diesel(sql_type = Text)]
    intent_id: String,
    #[diesel(sql_type = BigInt)]
    attempt: i64,
    #[diesel(sql_type = Text)]
    route: String,
    #[diesel(sql_type = Text)]
    idempotency_key: String,
    #[diesel(sql_type = Binary)]
    body: Vec<u8>,
    #[diesel(sql_type = Text)]
    inputs: String,
    #[diesel(sql_type = BigInt)]
    created_at: i64,
    #[diesel(sql_type = BigInt)]
    created_height: i64,
    #[diesel(sql_type = Nullable<Text>)]
    outcome: Option<String>,
    #[diesel(sql_type = BigInt)]
    repeated: i64,
}

fn damaged(id: &str, why: impl Into<String>) -> StoreError {
    StoreError::Damaged { what: format!("payout {id}"), why: why.into() }
}

impl TryFrom<IntentRow> for Intent {
    type Error = StoreError;
    fn try_from(row: IntentRow) -> Result<Intent> {
        let what = format!("payout {}", row.id);
        let state = IntentState::parse(&row.state).ok_or_else(|| damaged(&row.id, format!("state {}", row.state)))?;
        Ok(Intent {
            state,
            gross: column::amount(row.gross, &what)?,
            fee_expected: column::amount(row.fee_expected, &what)?,
            fee_paid: row.fee_paid.map(|fee| column::amount(fee, &what)).transpose()?,
            txid: row.txid.map(|txid| column::txid(&txid, &what)).transpose()?,
            created_at: Timestamp::from_ms(row.created_at),
            created_height: column::height(row.created_height, &what)?,
            sent_at: row.sent_at.map(Timestamp::from_ms),
            absent_since: row.absent_since.map(|height| column::height(height, &what)).transpose()?,
            attention: row.attention,
            wallet: row.wallet,
            // One that cannot be read is as good as none: the operator sees that nothing happens.
            word: row.operator_word.and_then(|word| serde_json::from_str(&word).ok()),
            reserved_epoch: row.reserved_epoch,
            adopted_at: row.adopted_at.map(Timestamp::from_ms),
            lines: Vec::new(),
            attempts: Vec::new(),
            id: row.id,
        })
    }
}

impl TryFrom<AttemptRow> for Attempt {
    type Error = StoreError;
    fn try_from(row: AttemptRow) -> Result<Attempt> {
        let id = &row.intent_id;
        let route = ["send", "advanced"].into_iter().find(|route| *route == row.route);
        Ok(Attempt {
            attempt: row.attempt,
            route: route.ok_or_else(|| damaged(id, format!("route {}", row.route)))?,
            idempotency_key: row.idempotency_key,
            body: row.body,
            inputs: serde_json::from_str(&row.inputs).map_err(|error| damaged(id, format!("inputs: {error}")))?,
            created_at: Timestamp::from_ms(row.created_at),
            created_height: column::height(row.created_height, &format!("payout {id}"))?,
            outcome: row.outcome,
            repeated: row.repeated != 0,
        })
    }
}

/// Intents that `condition` holds for, oldest first, whole.
pub(crate) async fn intents_load(c: &mut Conn<'_>, condition: &str, binds: Vec<Bind>) -> Result<Vec<Intent>> {
    let select = format!("SELECT i.* FROM intents i WHERE {condition} ORDER BY i.created_at, i.id");
    let rows: Vec<IntentRow> = c.rows(&select, binds.clone()).await?;
    let mut intents = rows.into_iter().map(Intent::try_from).collect::<Result<Vec<_>>>()?;
    let place: std::collections::HashMap<String, usize> =
        intents.iter().enumerate().map(|(place, intent)| (intent.id.clone(), place)).collect();

    let select = format!(
        "SELECT l.intent_id, m.address, l.gross, l.net FROM intents i JOIN intent_recipients l ON l.intent_id = i.id \
         JOIN miners m ON m.id = l.miner_id WHERE {condition} ORDER BY m.address"
    );
    for row in c.rows::<LineRow>(&select, binds.clone()).await? {
        let what = format!("payout {}", row.intent_id);
        let line = IntentLine {
            address: row.address,
            gross: column::amount(row.gross, &what)?,
            net: column::amount(row.net, &what)?,
        };
        intents[place[&row.intent_id]].lines.push(line);
    }

    let select = format!(
        "SELECT t.* FROM intents i JOIN intent_attempts t ON t.intent_id = i.id WHERE {condition} ORDER BY t.attempt"
    );
    for row in c.rows::<AttemptRow>(&select, binds).await? {
        let place = place[&row.intent_id];
        intents[place].attempts.push(Attempt::try_from(row)?);
    }
    Ok(intents)
}

/// A row that is there already is somebody else's intent.
fn taken(id: &str, error: StoreError) -> StoreError {
    match error {
        StoreError::Query(DieselError::DatabaseError(DatabaseErrorKind::UniqueViolation, _)) => conflict(id),
        other => other,
    }
}

pub(super) async fn intent_insert(c: &mut Conn<'_>, intent: &Intent, epoch: i64) -> Result<()> {
    let insert = "INSERT INTO intents (id, state, attempt, gross, recipients, fee_expected, fee_paid, txid, created_at, \
                  created_height, sent_at, absent_since, attention, wallet, reserved_epoch) \
                  VALUES ($1, $2, $3, $4, $5, $6, NULL, NULL, $7, $8, NULL, NULL, $9, $10, $11)";
    let binds = binds![
        intent.id.clone(),
        intent.state.as_str(),
        intent.attempts.last().map(|attempt| attempt.attempt),
        intent.gross.to_i64(),
        i64::try_from(intent.lines.len()).ok(),
        intent.fee_expected.to_i64(),
        intent.created_at.ms(),
        intent.created_height.to_i64(),
        intent.attention.clone(),
        intent.wallet.clone(),
        epoch,
    ];
    c.run(insert, binds).await.map_err(|error| taken(&intent.id, error))?;
    Ok(())
}

/// An intent that was sent without these books: settled, and without a request.
pub(super) async fn adopted_insert(c: &mut Conn<'_>, intent: &Intent, at: Timestamp) -> Result<()> {
    let insert = "INSERT INTO intents (id, state, attempt, gross, recipients, fee_expected, fee_paid, txid, created_at, \
                  created_height, sent_at, settled_at, wallet, adopted_at) \
                  VALUES ($1, $2, 0, $3, $4, $5, $5, $6, $7, $8, $7, $9, $10, $9)";
    let binds = binds![
        intent.id.clone(),
        intent.state.as_str(),
        intent.gross.to_i64(),
        i64::try_from(intent.lines.len()).ok(),
        intent.fee_expected.to_i64(),
        intent.txid.map(|txid| txid.to_string()),
        intent.created_at.ms(),
        intent.created_height.to_i64(),
        at.ms(),
        intent.wallet.clone(),
    ];
    c.run(insert, binds).await.map_err(|error| taken(&intent.id, error))?;
    Ok(())
}

/// Nothing was asked of the wallet yet, as far as this holder of the lease knows.
pub(super) async fn reserved_under(c: &mut Conn<'_>, id: &str, epoch: i64) -> Result<()> {
    c.run("UPDATE intents SET reserved_epoch = $1 WHERE id = $2", binds![epoch, id]).await?;
    Ok(())
}

pub(super) async fn lines_insert(c: &mut Conn<'_>, intent: &Intent) -> Result<()> {
    let insert = format!(
        "WITH v (intent_id, address, gross, net) AS (VALUES {}) INSERT INTO intent_recipients (intent_id, miner_id, gross, net) \
         SELECT v.intent_id, m.id, v.gross, v.net FROM v JOIN miners m ON m.address = v.address",
        values(intent.lines.len(), 4)
    );
    let binds = intent
        .lines
        .iter()
        .flat_map(|line| binds![intent.id.clone(), line.address.clone(), line.gross.to_i64(), line.net.to_i64()]);
    let stored = c.run(&insert, binds.collect()).await.map_err(|error| taken(&intent.id, error))?;
    if stored == intent.lines.len() {
        return Ok(());
    }
    Err(damaged(&intent.id, "a recipient has no account in its entry"))
}

pub(super) async fn attempt_insert(c: &mut Conn<'_>, id: &str, attempt: &Attempt) -> Result<()> {
    let insert = "INSERT INTO intent_attempts (intent_id, attempt, route, idempotency_key, body, inputs, created_at, \
                  created_height, outcome, repeated) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
    let inputs = serde_json::to_string(&attempt.inputs).expect("texts and numbers are JSON");
    let binds = binds![
        id,
        attempt.attempt,
        attempt.route,
        attempt.idempotency_key.clone(),
        attempt.body.clone(),
        inputs,
        attempt.created_at.ms(),
        attempt.created_height.to_i64(),
        attempt.outcome.clone(),
        i64::from(attempt.repeated),
    ];
    c.run(insert, binds).await.map_err(|error| taken(id, error))?;
    Ok(())
}

/// Gives the newest attempt its outcome.
pub(super) async fn attempt_close(c: &mut Conn<'_>, id: &str, outcome: &str) -> Result<()> {
    let update = "UPDATE intent_attempts SET outcome = $1 WHERE intent_id = $2 \
                  AND attempt = (SELECT attempt FROM intents WHERE id = $2)";
    c.run(update, binds![outcome, id]).await?;
    Ok(())
}

async fn attempt_mark_repeated(c: &mut Conn<'_>, id: &str) -> Result<()> {
    let update = "UPDATE intent_attempts SET repeated = 1 WHERE intent_id = $1 \
                  AND attempt = (SELECT attempt FROM intents WHERE id = $1)";
    c.run(update, binds![id]).await?;
    Ok(())
}

/// Everything of a change but the state.
pub(super) async fn intent_update(c: &mut Conn<'_>, id: &str, change: IntentChange) -> Result<()> {
    if let Some((txid, fee, at)) = change.sent {
        let update = "UPDATE intents SET txid = $1, fee_paid = $2, sent_at = $3 WHERE id = $4";
        c.run(update, binds![txid.to_string(), fee.to_i64(), at.ms(), id]).await?;
    }
    if let Some(absent_since) = change.absent_since {
        let update = "UPDATE intents SET absent_since = $1 WHERE id = $2";
        c.run(update, binds![absent_since.map(units::Height::to_i64), id]).await?;
    }
    if let Some(attention) = change.attention {
        c.run("UPDATE intents SET attention = $1 WHERE id = $2", binds![attention, id]).await?;
    }
    if let Some(outcome) = change.outcome {
        attempt_close(c, id, &outcome).await?;
    }
    if change.heard {
        c.run("UPDATE intents SET operator_word = NULL WHERE id = $1", binds![id]).await?;
    }
    if change.repeated {
        attempt_mark_repeated(c, id).await?;
    }
    Ok(())
}
