//! Double entry: entries that sum to zero, unique references, running balances; and the lease that lets one
//! writer at a time post them.
use std::collections::BTreeMap;
use std::time::Duration;

use accounting::{Account, Entry, Posting};
use diesel::QueryableByName;
use diesel::result::{DatabaseErrorKind, Error as DieselError};
use diesel::sql_types::{BigInt, Nullable, Text};
use units::{Amount, Timestamp};

use crate::db::{Conn, txn};
use crate::sql::{Bind, binds, values};
use crate::{Result, Store, StoreError, column, joined};

/// The lease that every writer of money must hold.
pub const MONEY_LEASE: &str = "money";

/// Postings per statement: well below either database's limit of parameters.
const CHUNK: usize = 500;

/// What a miner has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Balance {
    /// Credited, not reserved.
    pub payable: Amount,
    /// Reserved by payouts that are not settled.
    pub inflight: Amount,
    /// Sum of what settled payouts sent it, without network fee.
    pub paid: Amount,
}

/// What accounts hold, under lock until the transaction ends.
#[derive(Debug, Default)]
pub struct Balances(BTreeMap<Account, i64>);

impl Balances {
    /// Signed atoms; 0 for an account that was not asked for.
    #[must_use]
    pub fn of(&self, account: &Account) -> i64 {
        self.0.get(account).copied().unwrap_or(0)
    }

    /// All of them, ordered by account.
    pub fn iter(&self) -> impl Iterator<Item = (&Account, i64)> {
        self.0.iter().map(|(account, balance)| (account, *balance))
    }

    /// The accounts of rows `key`, `balance`.
    pub(crate) async fn load(c: &mut Conn<'_>, select: &str, binds: Vec<Bind>) -> Result<Balances> {
        #[derive(QueryableByName)]
        struct Held {
            #[diesel(sql_type = Text)]
            key: String,
            #[diesel(sql_type = BigInt)]
            balance: i64,
        }
        let rows: Vec<Held> = c.rows(select, binds).await?;
        let held = rows.into_iter().map(|row| Ok((column::account(&row.key)?, row.balance)));
        held.collect::<Result<BTreeMap<_, _>>>().map(Balances)
    }
}

/// A lease that is held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// Its fencing epoch: grows with every change of holder.
    pub epoch: i64,
}

// === impl Store ===

impl Store {
    /// Takes or renews a lease by the database's clock. `None` while another holder's has not expired.
    /// A holder's name must belong to one process run only: the same name is the same writer, and keeps its epoch.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn lease_take(&self, name: &'static str, holder: &str, ttl: Duration) -> Result<Option<Lease>> {
        let holder = holder.to_owned();
        let ttl_ms = i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX / 4);
        self.run(move |db| async move { txn!(db, c => lease_take_in_txn(c, name, &holder, ttl_ms).await?) }).await
    }

    /// Gives a lease back, so that the next holder need not wait for its expiry. From then on the epoch is an old one.
    /// Nothing happens when it is held by somebody else.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn lease_release(&self, name: &'static str, holder: &str, epoch: i64) -> Result<()> {
        const RELEASE: &str = "UPDATE leases SET holder = '', epoch = epoch + 1, expires_at = 0 \
                               WHERE name = $1 AND holder = $2 AND epoch = $3";
        self.exec(RELEASE, binds![name, holder, epoch]).await?;
        Ok(())
    }

    /// Posts an entry under the money lease. `false` when its reference is already there with the same postings.
    ///
    /// # Errors
    /// `Conflict` when the reference is there with other postings, or a balance would become negative; `Fenced` when
    /// `epoch` is not the lease's.
    pub async fn entry_post(&self, epoch: i64, entry: Entry, at: Timestamp) -> Result<bool> {
        self.run(move |db| async move { txn!(db, c => entry_post_in_txn(c, epoch, &entry, at).await?) }).await
    }

    /// The running total of an account, 0 if there is none.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn account_balance(&self, key: &str) -> Result<i64> {
        let balance = self.number("SELECT balance AS n FROM accounts WHERE key = $1", binds![key]).await?;
        Ok(balance.unwrap_or(0))
    }

    /// What an address has; zeros for an unknown one.
    ///
    /// # Errors
    /// `Damaged` for a negative balance.
    pub async fn balance_of(&self, address: &str) -> Result<Balance> {
        const BALANCES: &str = "SELECT a.key AS name, a.kind AS kind, a.balance AS amount FROM accounts a \
                                JOIN miners m ON m.id = a.miner_id WHERE m.address = $1";
        let rows: Vec<NamedAmount> = self.rows(BALANCES, binds![address]).await?;
        let mut balance = Balance::default();
        for row in rows {
            let slot = match row.kind.as_str() {
                "payable" => &mut balance.payable,
                "inflight" => &mut balance.inflight,
                "paid_out" => &mut balance.paid,
                _ => continue,
            };
            *slot = column::amount(row.amount, &format!("balance of {}", row.name))?;
        }
        Ok(balance)
    }

    /// Sum of balances per account kind.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn account_totals(&self) -> Result<Vec<(String, i64)>> {
        const TOTALS: &str = "SELECT kind AS name, kind, CAST(SUM(balance) AS BIGINT) AS amount FROM accounts \
                              GROUP BY kind ORDER BY kind";
        let rows: Vec<NamedAmount> = self.rows(TOTALS, binds![]).await?;
        Ok(rows.into_iter().map(|row| (row.kind, row.amount)).collect())
    }
}

#[derive(QueryableByName)]
struct NamedAmount {
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = Text)]
    kind: String,
    #[diesel(sql_type = BigInt)]
    amount: i64,
}

async fn lease_take_in_txn(c: &mut Conn<'_>, name: &str, holder: &str, ttl_ms: i64) -> Result<Option<Lease>> {
    let now = c.now_ms();
    // By the clock: a database that was put back from a copy must not give an epoch again that a frozen process holds.
    let take = format!(
        "INSERT INTO leases (name, holder, epoch, expires_at) VALUES ($1, $2, {now}, {now} + $3) \
         ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, expires_at = excluded.expires_at, \
         epoch = CASE WHEN leases.holder = excluded.holder THEN leases.epoch \
         WHEN leases.epoch < excluded.epoch THEN excluded.epoch ELSE leases.epoch + 1 END \
         WHERE leases.holder = excluded.holder OR leases.expires_at <= {now} RETURNING epoch AS n"
    );
    Ok(c.number(&take, binds![name, holder, ttl_ms]).await?.map(|epoch| Lease { epoch }))
}

// === within the caller's transaction ===

/// Refuses a writer whose epoch is not the lease's. Holds the lease's row until the transaction ends, so that money
/// is written by one transaction at a time and no new holder starts in the middle of one.
pub(crate) async fn lease_check_in_txn(c: &mut Conn<'_>, name: &'static str, epoch: i64) -> Result<()> {
    let select = format!("SELECT epoch AS n FROM leases WHERE name = $1{}", c.for_update());
    if c.number(&select, binds![name]).await? == Some(epoch) {
        return Ok(());
    }
    Err(StoreError::Fenced { name, ours: epoch })
}

/// Waits for whoever writes money, for a command that changes many rows of it and holds no lease.
pub(crate) async fn money_wait_in_txn(c: &mut Conn<'_>) -> Result<()> {
    let select = format!("SELECT epoch AS n FROM leases WHERE name = $1{}", c.for_update());
    c.number(&select, binds![MONEY_LEASE]).await?;
    Ok(())
}

/// Posts an entry and moves the balances; `false` when the same entry is already there.
/// Checks the money lease itself.
pub(crate) async fn entry_post_in_txn(c: &mut Conn<'_>, epoch: i64, entry: &Entry, at: Timestamp) -> Result<bool> {
    lease_check_in_txn(c, MONEY_LEASE, epoch).await?;
    let entry = &*joined::entry_now(c, entry).await?;
    assert!(entry.is_balanced(), "{} sums to zero", entry_name(entry));
    let insert = "INSERT INTO entries (kind, reference, epoch, at) VALUES ($1, $2, $3, $4) \
                  ON CONFLICT (kind, reference) DO NOTHING RETURNING id AS n";
    let id = c.number(insert, binds![entry.kind().as_str(), entry.reference(), epoch, at.ms()]).await?;
    let Some(id) = id else {
        entry_compare(c, entry).await?;
        return Ok(false);
    };
    for postings in entry.postings().chunks(CHUNK) {
        accounts_ensure(c, postings, at).await?;
        postings_insert(c, id, postings).await?;
    }
    entry_check(c, id, entry).await?;
    balances_move(c, id, entry).await?;
    Ok(true)
}

/// Makes the accounts that do not exist yet, and the miners that they name.
async fn accounts_ensure(c: &mut Conn<'_>, postings: &[Posting], at: Timestamp) -> Result<()> {
    let addresses: Vec<&str> = postings.iter().filter_map(|posting| posting.account.owner()).collect();
    if !addresses.is_empty() {
        let miners = format!(
            "WITH v (address) AS (VALUES {}) INSERT INTO miners (address, first_seen_at) \
             SELECT DISTINCT address, {} FROM v \
             WHERE NOT EXISTS (SELECT 1 FROM miners WHERE miners.address = v.address) \
             ON CONFLICT (address) DO NOTHING",
            values(addresses.len(), 1),
            at.ms()
        );
        c.run(&miners, addresses.into_iter().map(Bind::from).collect()).await?;
    }
    let accounts = format!(
        "WITH v (key, kind, address) AS (VALUES {}) INSERT INTO accounts (key, kind, miner_id) \
         SELECT DISTINCT v.key, v.kind, m.id FROM v LEFT JOIN miners m ON m.address = v.address \
         WHERE NOT EXISTS (SELECT 1 FROM accounts WHERE accounts.key = v.key) ON CONFLICT (key) DO NOTHING",
        values(postings.len(), 3)
    );
    let parts = postings.iter().flat_map(|posting| {
        let account = &posting.account;
        binds![account.to_string(), account.kind(), account.owner().map(str::to_owned)]
    });
    c.run(&accounts, parts.collect()).await?;
    Ok(())
}

async fn postings_insert(c: &mut Conn<'_>, entry: i64, postings: &[Posting]) -> Result<()> {
    let insert = format!(
        "WITH v (key, amount) AS (VALUES {}) INSERT INTO postings (entry_id, account_id, amount) \
         SELECT {entry}, a.id, v.amount FROM v JOIN accounts a ON a.key = v.key",
        values(postings.len(), 2)
    );
    let binds = postings.iter().flat_map(|posting| binds![posting.account.to_string(), posting.amount]);
    c.run(&insert, binds.collect()).await?;
    Ok(())
}

/// Reads the entry back: what is stored is what was meant, and it sums to zero.
async fn entry_check(c: &mut Conn<'_>, id: i64, entry: &Entry) -> Result<()> {
    #[derive(QueryableByName)]
    struct Stored {
        #[diesel(sql_type = BigInt)]
        count: i64,
        #[diesel(sql_type = Nullable<BigInt>)]
        sum: Option<i64>,
    }
    let select = "SELECT COUNT(*) AS count, CAST(SUM(amount) AS BIGINT) AS sum FROM postings WHERE entry_id = $1";
    let stored = c.rows::<Stored>(select, binds![id]).await?;
    let meant = i64::try_from(entry.postings().len()).unwrap_or(i64::MAX);
    if stored.iter().any(|row| row.count == meant && row.sum == Some(0)) {
        return Ok(());
    }
    Err(StoreError::Damaged { what: entry_name(entry), why: "its postings were not stored as meant".into() })
}

/// Adds the entry's postings to the balances. The database refuses negative ones where they must not be.
async fn balances_move(c: &mut Conn<'_>, id: i64, entry: &Entry) -> Result<()> {
    let update = "UPDATE accounts SET balance = accounts.balance + d.amount, from_blocks = accounts.from_blocks + \
                  CASE WHEN d.kind IN ('block_credited', 'block_reversed') THEN d.amount ELSE 0 END FROM (\
                  SELECT p.account_id, e.kind, CAST(SUM(p.amount) AS BIGINT) AS amount FROM postings p \
                  JOIN entries e ON e.id = p.entry_id WHERE p.entry_id = $1 \
                  GROUP BY p.account_id, e.kind) AS d WHERE accounts.id = d.account_id";
    match c.run(update, binds![id]).await {
        Ok(_) => Ok(()),
        Err(StoreError::Query(DieselError::DatabaseError(DatabaseErrorKind::CheckViolation, _))) => {
            Err(StoreError::Conflict { what: format!("a balance that {} takes from", entry_name(entry)) })
        }
        Err(error) => Err(error),
    }
}

/// Posting twice is fine, posting something else under the same reference is not.
async fn entry_compare(c: &mut Conn<'_>, entry: &Entry) -> Result<()> {
    let select = "SELECT a.key AS name, a.kind AS kind, p.amount AS amount FROM entries e \
                  JOIN postings p ON p.entry_id = e.id JOIN accounts a ON a.id = p.account_id \
                  WHERE e.kind = $1 AND e.reference = $2";
    let rows = c.rows::<NamedAmount>(select, binds![entry.kind().as_str(), entry.reference()]).await?;
    let mut stored: Vec<(String, i64)> = rows.into_iter().map(|row| (row.name, row.amount)).collect();
    let mut meant: Vec<(String, i64)> =
        entry.postings().iter().map(|posting| (posting.account.to_string(), posting.amount)).collect();
    stored.sort_unstable();
    meant.sort_unstable();
    if stored == meant {
        return Ok(());
    }
    Err(StoreError::Conflict { what: entry_name(entry) })
}

fn entry_name(entry: &Entry) -> String {
    format!("entry {} {}", entry.kind(), entry.reference())
}
