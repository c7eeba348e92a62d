//! Closed payouts: summed up by day, then removed. Their entries and the balances stay.
use std::collections::BTreeMap;

use diesel::QueryableByName;
use diesel::sql_types::{BigInt, Nullable, Text};
use units::{Height, Timestamp};

use super::{DAY, json, step_begin};
use crate::db::{Conn, txn};
use crate::sql::binds;
use crate::{Result, Store};

impl Store {
    /// Moves up to `limit` payouts into the summaries that were closed before `closed` and planned below the height
    /// `planned`, and that nobody must look at; how many.
    ///
    /// # Errors
    /// `Fenced`.
    pub async fn payouts_prune(&self, epoch: i64, closed: Timestamp, planned: Height, limit: u32) -> Result<u64> {
        let (closed, planned) = (closed.ms(), planned.to_i64());
        self.run(move |db| async move {
            txn!(db, c => {
                step_begin(c, epoch).await?;
                let rows: Vec<Closed> = c.rows(CLOSED, binds![closed, planned, i64::from(limit)]).await?;
                remove(c, &rows).await?
            })
        })
        .await
    }
}

#[derive(QueryableByName)]
struct Closed {
    #[diesel(sql_type = Text)]
    id: String,
    #[diesel(sql_type = Text)]
    state: String,
    #[diesel(sql_type = BigInt)]
    recipients: i64,
    #[diesel(sql_type = BigInt)]
    gross: i64,
    #[diesel(sql_type = BigInt)]
    net: i64,
    #[diesel(sql_type = BigInt)]
    fee: i64,
    #[diesel(sql_type = BigInt)]
    at: i64,
    #[diesel(sql_type = Nullable<BigInt>)]
    sent_at: Option<i64>,
}

/// payouts, recipients, gross, net, fee, last sent at
type Sums = (i64, i64, i64, i64, i64, Option<i64>);

/// The entry that closed it says when: all its entries are older than what audits ask rows for.
const CLOSED: &str = "SELECT i.id, i.state, i.recipients, i.gross, COALESCE(i.sent_at, i.created_at) AS at, i.sent_at, \
    COALESCE(i.fee_paid, i.fee_expected) AS fee, CAST((SELECT COALESCE(SUM(l.net), 0) FROM intent_recipients l \
        WHERE l.intent_id = i.id) AS BIGINT) AS net \
    FROM intents i JOIN entries e ON e.reference = i.id \
    AND e.kind = CASE i.state WHEN 'settled' THEN 'payout_settled' ELSE 'payout_released' END \
    WHERE i.state IN ('settled', 'released') AND e.at < $1 AND i.created_height < $2 AND i.attention IS NULL \
    ORDER BY i.created_at, i.id LIMIT $3";

async fn remove(c: &mut Conn<'_>, rows: &[Closed]) -> Result<u64> {
    if rows.is_empty() {
        return Ok(0);
    }
    let mut days: BTreeMap<i64, Sums> = BTreeMap::new();
    // What was never sent is not a payout of any day.
    for row in rows.iter().filter(|row| row.state == "settled") {
        let day = days.entry(row.at.div_euclid(i64::from(DAY) * 60_000)).or_default();
        day.0 += 1;
        day.1 += row.recipients;
        day.2 = day.2.saturating_add(row.gross);
        day.3 = day.3.saturating_add(row.net);
        day.4 = day.4.saturating_add(row.fee);
        day.5 = day.5.max(row.sent_at);
    }
    if !days.is_empty() {
        let upsert = format!(
            "INSERT INTO payout_days (day, payouts, recipients, gross, net, fee, last_sent_at) \
             SELECT CAST(value->>0 AS BIGINT), CAST(value->>1 AS BIGINT), CAST(value->>2 AS BIGINT), \
             CAST(value->>3 AS BIGINT), CAST(value->>4 AS BIGINT), CAST(value->>5 AS BIGINT), \
             CAST(value->>6 AS BIGINT) FROM {} WHERE true ON CONFLICT (day) DO UPDATE SET \
             payouts = payout_days.payouts + excluded.payouts, \
             recipients = payout_days.recipients + excluded.recipients, gross = payout_days.gross + excluded.gross, \
             net = payout_days.net + excluded.net, fee = payout_days.fee + excluded.fee, last_sent_at = \
             CASE WHEN payout_days.last_sent_at > excluded.last_sent_at THEN payout_days.last_sent_at \
             ELSE COALESCE(excluded.last_sent_at, payout_days.last_sent_at) END",
            c.json_rows(),
        );
        let days: Vec<_> = days.into_iter().map(|(day, d)| (day, d.0, d.1, d.2, d.3, d.4, d.5)).collect();
        c.run(&upsert, binds![json(&days)]).await?;
    }
    let ids = json(&rows.iter().map(|row| [&row.id]).collect::<Vec<_>>());
    let these = format!("(SELECT value->>0 FROM {})", c.json_rows());
    for table in ["intent_recipients", "intent_attempts"] {
        c.run(&format!("DELETE FROM {table} WHERE intent_id IN {these}"), binds![ids.clone()]).await?;
    }
    Ok(c.run(&format!("DELETE FROM intents WHERE id IN {these}"), binds![ids]).await? as u64)
}
