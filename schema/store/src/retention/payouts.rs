//! Closed payouts: summed up by day, then removed. Their entries and the balances stay.
use std::collections::BTreeMap;

use diesel::QueryableByName;
use diesel::sql_types::{BigInt, Nullable, Text};
use units::{Height, Timestamp};

use super::{DAY, json, step_begin};
use crate::db::{Conn, txn};
use crate::sql::{binds, statement};
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
                let binds = binds![closed, planned, i64::from(limit)];
                let rows: Vec<Closed> = c.load_file(statement!("payouts/closed.sql"), binds).await?;
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
        let days: Vec<_> = days.into_iter().map(|(day, d)| (day, d.0, d.1, d.2, d.3, d.4, d.5)).collect();
        c.run_file(statement!("payouts/days_add.sql"), binds![json(&days)]).await?;
    }
    let ids = json(&rows.iter().map(|row| [&row.id]).collect::<Vec<_>>());
    c.run_file(statement!("payouts/recipients_remove.sql"), binds![ids.clone()]).await?;
    c.run_file(statement!("payouts/attempts_remove.sql"), binds![ids.clone()]).await?;
    Ok(c.run_file(statement!("payouts/intents_remove.sql"), binds![ids]).await? as u64)
}
