//! Clients that may not connect for a while, as the Stratum hosts decided.
use diesel::{ExpressionMethods, QueryDsl};
use diesel_async::RunQueryDsl;
use units::Timestamp;

use crate::db::{on, q, txn};
use crate::schema::client_bans;
use crate::{Result, Store};

/// Rows kept, whatever the hosts decide. Those that end first go first.
const ROWS_MAX: i64 = 8192;

/// One ban.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BanRow {
    /// IPv4 address or IPv6 /64, as text.
    pub client: String,
    /// What for.
    pub reason: String,
    /// When it was imposed.
    pub begun: Timestamp,
    /// When it ends.
    pub until: Timestamp,
    /// How many there were in a row, this one included.
    pub times: u32,
}

diesel::alias! {
    const KEPT: Alias<BanToKeep> = client_bans as kept;
}

type Columns = (String, String, i64, i64, i64);

impl Store {
    /// Stores bans and forgets those that ended before `begin`. Of two bans of one client the one that ends later
    /// stays.
    pub async fn bans_put(&self, bans: &[BanRow], begin: Timestamp) -> Result<()> {
        let row = |ban: &BanRow| -> Columns {
            (ban.client.clone(), ban.reason.clone(), ban.begun.ms(), ban.until.ms(), i64::from(ban.times))
        };
        let rows: Vec<Columns> = bans.iter().map(row).collect();
        self.run(move |db| async move {
            txn!(db, conn => {
                for (client, reason, begun_at, ends_at, times) in rows {
                    let shorter = client_bans::table.find(client.clone()).filter(client_bans::ends_at.lt(ends_at));
                    on!(conn, c => diesel::delete(shorter).execute(c).await)?;
                    let row = (
                        client_bans::client.eq(client),
                        client_bans::reason.eq(reason),
                        client_bans::begun_at.eq(begun_at),
                        client_bans::ends_at.eq(ends_at),
                        client_bans::times.eq(times),
                    );
                    let insert = diesel::insert_into(client_bans::table).values(row).on_conflict_do_nothing();
                    on!(conn, c => insert.execute(c).await)?;
                }
                let over = client_bans::table.filter(client_bans::ends_at.lt(begin.ms()));
                on!(conn, c => diesel::delete(over).execute(c).await)?;
                let kept = KEPT
                    .select(KEPT.field(client_bans::client))
                    .order((KEPT.field(client_bans::ends_at).desc(), KEPT.field(client_bans::client)))
                    .limit(ROWS_MAX);
                let rest = client_bans::table.filter(client_bans::client.ne_all(kept));
                on!(conn, c => diesel::delete(rest).execute(c).await)?;
            })
        })
        .await
    }

    /// Bans that end after `begin`, the latest end first.
    pub async fn bans_list(&self, begin: Timestamp) -> Result<Vec<BanRow>> {
        self.run(move |db| async move {
            let all = client_bans::table
                .filter(client_bans::ends_at.ge(begin.ms()))
                .order(client_bans::ends_at.desc())
                .limit(ROWS_MAX);
            let rows: Vec<Columns> = q!(db, read, c => all.load(c).await)?;
            let ban = |(client, reason, begun_at, ends_at, times): Columns| BanRow {
                client,
                reason,
                begun: Timestamp::from_ms(begun_at),
                until: Timestamp::from_ms(ends_at),
                times: u32::try_from(times).unwrap_or(u32::MAX),
            };
            Ok(rows.into_iter().map(ban).collect())
        })
        .await
    }
}
