//! Rows of `intents`, `intent_recipients` and `intent_attempts`.
use std::collections::HashMap;

use diesel::prelude::*;
use diesel::result::{DatabaseErrorKind, Error as DieselError};
use diesel::sql_types::{BigInt, Text};
use diesel_async::RunQueryDsl;
use units::{Amount, Height, Timestamp};

use super::{Attempt, Due, Intent, IntentChange, IntentLine, IntentState, conflict};
use crate::db::{Conn, on};
use crate::schema::{intent_attempts, intent_recipients, intents, miners};
use crate::sql::{binds, statement};
use crate::{Result, Store, StoreError, column};

/// Everything but settled and released.
pub(super) const OPEN_STATES: [&str; 4] = ["reserved", "unknown", "broadcast", "confirmed"];

pub(super) async fn due(store: &Store, min: Amount, limit: u32) -> Result<Vec<Due>> {
    let binds = binds![min.to_i64(), i64::from(limit)];
    let rows: Vec<DueRow> = store.load_file(statement!("rows/due.sql"), binds).await?;
    rows.into_iter().map(Due::try_from).collect()
}

#[derive(QueryableByName)]
struct DueRow {
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

#[derive(Queryable, Selectable)]
#[diesel(table_name = intents)]
struct IntentRow {
    id: String,
    state: String,
    gross: i64,
    fee_expected: i64,
    fee_paid: Option<i64>,
    txid: Option<String>,
    created_at: i64,
    created_height: i64,
    sent_at: Option<i64>,
    absent_since: Option<i64>,
    attention: Option<String>,
    wallet: Option<String>,
    operator_word: Option<String>,
    reserved_epoch: Option<i64>,
    adopted_at: Option<i64>,
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = intent_attempts)]
struct AttemptRow {
    intent_id: String,
    attempt: i64,
    route: String,
    idempotency_key: String,
    body: Vec<u8>,
    inputs: String,
    created_at: i64,
    created_height: i64,
    outcome: Option<String>,
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

/// Which intents are loaded.
#[derive(Debug, Clone)]
pub(crate) enum Which {
    /// Those that are not closed.
    Open,
    /// Settled ones that were planned at this height or later.
    SettledSince(Height),
    /// This one.
    Of(String),
    /// The ids after the first and up to the second.
    Between(String, String),
}

/// Parameters of one statement, well below SQLite's bound.
pub(super) const IDS_PER_QUERY: usize = 1_000;

/// Intents, oldest first, whole.
pub(crate) async fn intents_load(c: &mut Conn<'_>, which: Which) -> Result<Vec<Intent>> {
    let rows = intent_rows(c, which).await?;
    let mut intents = rows.into_iter().map(Intent::try_from).collect::<Result<Vec<_>>>()?;
    let ids: Vec<String> = intents.iter().map(|intent| intent.id.clone()).collect();
    let index: HashMap<&str, usize> = ids.iter().enumerate().map(|(index, id)| (id.as_str(), index)).collect();
    for some in ids.chunks(IDS_PER_QUERY) {
        let recipients = intent_recipients::table
            .inner_join(miners::table)
            .filter(intent_recipients::intent_id.eq_any(some))
            .order(miners::address)
            .select((intent_recipients::intent_id, miners::address, intent_recipients::gross, intent_recipients::net));
        let rows: Vec<(String, String, i64, i64)> = on!(c, c => recipients.load(c).await)?;
        for (id, address, gross, net) in rows {
            let what = format!("payout {id}");
            let (gross, net) = (column::amount(gross, &what)?, column::amount(net, &what)?);
            intents[index[id.as_str()]].lines.push(IntentLine { address, gross, net });
        }
        let of_some = intent_attempts::intent_id.eq_any(some);
        let rows: Vec<AttemptRow> = on!(c, c => intent_attempts::table
            .filter(of_some)
            .order(intent_attempts::attempt)
            .select(AttemptRow::as_select())
            .load(c)
            .await)?;
        for row in rows {
            let index = index[row.intent_id.as_str()];
            intents[index].attempts.push(Attempt::try_from(row)?);
        }
    }
    Ok(intents)
}

async fn intent_rows(c: &mut Conn<'_>, which: Which) -> Result<Vec<IntentRow>> {
    macro_rules! load {
        ($filter:expr) => {
            on!(c, c => intents::table
                .filter($filter)
                .order((intents::created_at, intents::id))
                .select(IntentRow::as_select())
                .load(c)
                .await)?
        };
    }
    Ok(match which {
        Which::Open => load!(intents::state.eq_any(OPEN_STATES)),
        Which::SettledSince(height) => {
            load!(intents::state.eq("settled").and(intents::created_height.ge(height.to_i64())))
        }
        Which::Of(id) => load!(intents::id.eq(&id)),
        Which::Between(after, last) => load!(intents::id.gt(&after).and(intents::id.le(&last))),
    })
}

/// A row that is there already is somebody else's intent.
fn taken(id: &str, error: DieselError) -> StoreError {
    match error {
        DieselError::DatabaseError(DatabaseErrorKind::UniqueViolation, _) => conflict(id),
        other => other.into(),
    }
}

#[derive(Insertable)]
#[diesel(table_name = intents)]
struct NewIntent<'a> {
    id: &'a str,
    state: &'a str,
    attempt: i64,
    gross: i64,
    recipients: i64,
    fee_expected: i64,
    fee_paid: Option<i64>,
    txid: Option<String>,
    created_at: i64,
    created_height: i64,
    sent_at: Option<i64>,
    settled_at: Option<i64>,
    attention: Option<&'a str>,
    wallet: Option<&'a str>,
    reserved_epoch: Option<i64>,
    adopted_at: Option<i64>,
}

impl NewIntent<'_> {
    /// What every intent has.
    fn of(intent: &Intent) -> NewIntent<'_> {
        NewIntent {
            id: &intent.id,
            state: intent.state.as_str(),
            attempt: intent.attempts.last().map_or(0, |attempt| attempt.attempt),
            gross: intent.gross.to_i64(),
            recipients: i64::try_from(intent.lines.len()).unwrap_or(i64::MAX),
            fee_expected: intent.fee_expected.to_i64(),
            fee_paid: None,
            txid: None,
            created_at: intent.created_at.ms(),
            created_height: intent.created_height.to_i64(),
            sent_at: None,
            settled_at: None,
            attention: intent.attention.as_deref(),
            wallet: intent.wallet.as_deref(),
            reserved_epoch: None,
            adopted_at: None,
        }
    }
}

pub(super) async fn intent_insert(c: &mut Conn<'_>, intent: &Intent, epoch: i64) -> Result<()> {
    let row = NewIntent { reserved_epoch: Some(epoch), ..NewIntent::of(intent) };
    let insert = diesel::insert_into(intents::table).values(row);
    on!(c, c => insert.execute(c).await).map_err(|error| taken(&intent.id, error))?;
    Ok(())
}

/// An intent that was sent without these books: settled, and without a request.
pub(super) async fn adopted_insert(c: &mut Conn<'_>, intent: &Intent, at: Timestamp) -> Result<()> {
    let row = NewIntent {
        fee_paid: Some(intent.fee_expected.to_i64()),
        txid: intent.txid.map(|txid| txid.to_string()),
        sent_at: Some(intent.created_at.ms()),
        settled_at: Some(at.ms()),
        adopted_at: Some(at.ms()),
        ..NewIntent::of(intent)
    };
    let insert = diesel::insert_into(intents::table).values(row);
    on!(c, c => insert.execute(c).await).map_err(|error| taken(&intent.id, error))?;
    Ok(())
}

/// Nothing was asked of the wallet yet, as far as this holder of the lease knows.
pub(super) async fn reserved_under(c: &mut Conn<'_>, id: &str, epoch: i64) -> Result<()> {
    let update = diesel::update(intents::table.find(id)).set(intents::reserved_epoch.eq(epoch));
    on!(c, c => update.execute(c).await)?;
    Ok(())
}

pub(super) async fn recipients_insert(c: &mut Conn<'_>, intent: &Intent) -> Result<()> {
    let row = |line: &IntentLine| (intent.id.clone(), line.address.clone(), line.gross.to_i64(), line.net.to_i64());
    let rows: Vec<(String, String, i64, i64)> = intent.lines.iter().map(row).collect();
    let rows = serde_json::to_string(&rows).expect("texts and numbers are JSON");
    let stored = c.run_file(statement!("rows/recipients.sql"), binds![rows]).await;
    let stored = stored.map_err(|error| match error {
        StoreError::Query(error) => taken(&intent.id, error),
        other => other,
    })?;
    if stored == intent.lines.len() {
        return Ok(());
    }
    Err(damaged(&intent.id, "a recipient has no account in its entry"))
}

pub(super) async fn attempt_insert(c: &mut Conn<'_>, id: &str, attempt: &Attempt) -> Result<()> {
    let inputs = serde_json::to_string(&attempt.inputs).expect("texts and numbers are JSON");
    let row = (
        intent_attempts::intent_id.eq(id),
        intent_attempts::attempt.eq(attempt.attempt),
        intent_attempts::route.eq(attempt.route),
        intent_attempts::idempotency_key.eq(&attempt.idempotency_key),
        intent_attempts::body.eq(&attempt.body),
        intent_attempts::inputs.eq(inputs),
        intent_attempts::created_at.eq(attempt.created_at.ms()),
        intent_attempts::created_height.eq(attempt.created_height.to_i64()),
        intent_attempts::outcome.eq(&attempt.outcome),
        intent_attempts::repeated.eq(i64::from(attempt.repeated)),
    );
    let insert = diesel::insert_into(intent_attempts::table).values(row);
    on!(c, c => insert.execute(c).await).map_err(|error| taken(id, error))?;
    Ok(())
}

/// The attempt that the intent is at.
async fn newest_attempt(c: &mut Conn<'_>, id: &str) -> Result<i64> {
    let newest = intents::table.find(id).select(intents::attempt);
    Ok(on!(c, c => newest.first(c).await)?)
}

/// Gives the newest attempt its outcome.
pub(super) async fn attempt_close(c: &mut Conn<'_>, id: &str, outcome: &str) -> Result<()> {
    let newest = newest_attempt(c, id).await?;
    let update = diesel::update(intent_attempts::table.find((id, newest))).set(intent_attempts::outcome.eq(outcome));
    on!(c, c => update.execute(c).await)?;
    Ok(())
}

async fn attempt_mark_repeated(c: &mut Conn<'_>, id: &str) -> Result<()> {
    let newest = newest_attempt(c, id).await?;
    let update = diesel::update(intent_attempts::table.find((id, newest))).set(intent_attempts::repeated.eq(1));
    on!(c, c => update.execute(c).await)?;
    Ok(())
}

/// Everything of a change but the state.
pub(super) async fn intent_update(c: &mut Conn<'_>, id: &str, change: IntentChange) -> Result<()> {
    let changes = Changes {
        txid: change.sent.as_ref().map(|(txid, ..)| txid.to_string()),
        fee_paid: change.sent.as_ref().map(|(_, fee, _)| fee.to_i64()),
        sent_at: change.sent.as_ref().map(|(.., at)| at.ms()),
        absent_since: change.absent_since.map(|height| height.map(Height::to_i64)),
        attention: change.attention,
        operator_word: change.heard.then_some(None),
    };
    if changes != Changes::default() {
        let update = diesel::update(intents::table.find(id)).set(changes);
        on!(c, c => update.execute(c).await)?;
    }
    if let Some(outcome) = change.outcome {
        attempt_close(c, id, &outcome).await?;
    }
    if change.repeated {
        attempt_mark_repeated(c, id).await?;
    }
    Ok(())
}

/// What of an intent changes; `Some(None)` clears a column, the others stay.
#[derive(Default, PartialEq, Eq, AsChangeset)]
#[diesel(table_name = intents)]
struct Changes {
    txid: Option<String>,
    fee_paid: Option<i64>,
    sent_at: Option<i64>,
    absent_since: Option<Option<i64>>,
    attention: Option<Option<String>>,
    operator_word: Option<Option<String>>,
}
