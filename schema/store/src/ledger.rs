//! Double entry: entries that sum to zero, unique references, running balances; and the lease that lets one
//! writer at a time post them.
use std::collections::BTreeMap;
use std::time::Duration;

use accounting::{Account, AccountKind, Entry, Posting};
use diesel::result::{DatabaseErrorKind, Error as DieselError};
use diesel::sql_types::{BigInt, Nullable, Text};
use diesel::{ExpressionMethods, OptionalExtension, QueryDsl, QueryableByName};
use diesel_async::RunQueryDsl;
use units::{Amount, Timestamp};

use crate::db::{Conn, locked, on, q, txn};
use crate::schema::{accounts, entries, leases, miners, postings};
use crate::sql::{binds, statement};
use crate::{Result, Store, StoreError, column, joined};

/// The lease that every writer of money must hold.
pub const MONEY_LEASE: &str = "money";

/// Postings per statement, so that its list stays small.
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

    /// The balances of these keys.
    pub(crate) fn of_rows(rows: Vec<(String, i64)>) -> Result<Balances> {
        let held = rows.into_iter().map(|(key, balance)| Ok((column::account(&key)?, balance)));
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
        let ours =
            leases::table.find(name).filter(leases::holder.eq(holder.to_owned())).filter(leases::epoch.eq(epoch));
        self.run(move |db| async move {
            let released = (leases::holder.eq(""), leases::epoch.eq(leases::epoch + 1), leases::expires_at.eq(0));
            let release = diesel::update(ours).set(released);
            q!(db, write, c => release.execute(c).await)?;
            Ok(())
        })
        .await
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
        let balance = accounts::table.filter(accounts::key.eq(key.to_owned())).select(accounts::balance);
        let stored: Option<i64> =
            self.run(|db| async move { Ok(q!(db, read, c => balance.get_result(c).await.optional())?) }).await?;
        Ok(stored.unwrap_or(0))
    }

    /// What an address has; zeros for an unknown one.
    ///
    /// # Errors
    /// `Damaged` for a negative balance.
    pub async fn balance_of(&self, address: &str) -> Result<Balance> {
        let held = accounts::table
            .inner_join(miners::table)
            .filter(miners::address.eq(address.to_owned()))
            .select((accounts::key, accounts::balance));
        let rows: Vec<(String, i64)> = self.run(|db| async move { Ok(q!(db, read, c => held.load(c).await)?) }).await?;
        let mut balance = Balance::default();
        for (key, atoms) in rows {
            let slot = match column::account(&key)? {
                Account::Payable(_) => &mut balance.payable,
                Account::Inflight(_) => &mut balance.inflight,
                Account::PaidOut(_) => &mut balance.paid,
                _ => continue,
            };
            *slot = column::amount(atoms, &format!("balance of {key}"))?;
        }
        Ok(balance)
    }

    /// Sum of balances per kind of account, in signed atoms. A kind without an account is not in it.
    ///
    /// # Errors
    /// `Damaged` for a kind that is unknown.
    pub async fn account_totals(&self) -> Result<BTreeMap<AccountKind, i64>> {
        let totals: Vec<KindTotal> = self.load_file(statement!("ledger/account_totals.sql"), binds![]).await?;
        totals.into_iter().map(|row| Ok((column::account_kind(&row.kind)?, row.total))).collect()
    }
}

#[derive(QueryableByName)]
struct KindTotal {
    #[diesel(sql_type = Text)]
    kind: String,
    #[diesel(sql_type = BigInt)]
    total: i64,
}

#[derive(QueryableByName)]
struct LeaseEpoch {
    #[diesel(sql_type = BigInt)]
    epoch: i64,
}

async fn lease_take_in_txn(c: &mut Conn<'_>, name: &str, holder: &str, ttl_ms: i64) -> Result<Option<Lease>> {
    let take = statement!("ledger/lease_take.sql");
    let taken: Vec<LeaseEpoch> = c.load_file(take, binds![name, holder, ttl_ms]).await?;
    Ok(taken.into_iter().next().map(|row| Lease { epoch: row.epoch }))
}

// === within the caller's transaction ===

/// Refuses a writer whose epoch is not the lease's. Holds the lease's row until the transaction ends, so that money
/// is written by one transaction at a time and no new holder starts in the middle of one.
pub(crate) async fn lease_check_in_txn(c: &mut Conn<'_>, name: &'static str, epoch: i64) -> Result<()> {
    if lease_lock(c, name).await? == Some(epoch) {
        return Ok(());
    }
    Err(StoreError::Fenced { name, ours: epoch })
}

/// Waits for whoever writes money, for a command that changes many rows of it and holds no lease.
pub(crate) async fn money_wait_in_txn(c: &mut Conn<'_>) -> Result<()> {
    lease_lock(c, MONEY_LEASE).await?;
    Ok(())
}

/// The lease's epoch, under lock until the transaction ends.
async fn lease_lock(c: &mut Conn<'_>, name: &str) -> Result<Option<i64>> {
    let epoch = leases::table.find(name).select(leases::epoch);
    Ok(locked!(c, epoch, get_result).optional()?)
}

/// Posts an entry and moves the balances; `false` when the same entry is already there.
/// Checks the money lease itself.
pub(crate) async fn entry_post_in_txn(c: &mut Conn<'_>, epoch: i64, entry: &Entry, at: Timestamp) -> Result<bool> {
    lease_check_in_txn(c, MONEY_LEASE, epoch).await?;
    let entry = &*joined::entry_now(c, entry).await?;
    assert!(entry.is_balanced(), "{} sums to zero", entry_name(entry));
    let row = (
        entries::kind.eq(entry.kind().as_str()),
        entries::reference.eq(entry.reference()),
        entries::epoch.eq(epoch),
        entries::at.eq(at.ms()),
    );
    let insert = diesel::insert_into(entries::table)
        .values(row)
        .on_conflict((entries::kind, entries::reference))
        .do_nothing()
        .returning(entries::id);
    let id: Option<i64> = on!(c, c => insert.get_result(c).await.optional())?;
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
    let addresses: Vec<[&str; 1]> = postings.iter().filter_map(|posting| Some([posting.account.owner()?])).collect();
    if !addresses.is_empty() {
        let addresses = serde_json::to_string(&addresses).expect("texts are always JSON");
        c.run_file(statement!("ledger/miners_ensure.sql"), binds![addresses, at.ms()]).await?;
    }
    let accounts = postings.iter().map(|posting| {
        let account = &posting.account;
        (account.to_string(), account.kind().as_str(), account.owner())
    });
    let accounts = serde_json::to_string(&accounts.collect::<Vec<_>>()).expect("texts are always JSON");
    c.run_file(statement!("ledger/accounts_ensure.sql"), binds![accounts]).await?;
    Ok(())
}

async fn postings_insert(c: &mut Conn<'_>, entry: i64, postings: &[Posting]) -> Result<()> {
    let rows: Vec<(String, i64)> =
        postings.iter().map(|posting| (posting.account.to_string(), posting.amount)).collect();
    let rows = serde_json::to_string(&rows).expect("texts and numbers are always JSON");
    c.run_file(statement!("ledger/postings_insert.sql"), binds![rows, entry]).await?;
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
    let stored = c.load_file::<Stored>(statement!("ledger/entry_sum.sql"), binds![id]).await?;
    let meant = i64::try_from(entry.postings().len()).unwrap_or(i64::MAX);
    if stored.iter().any(|row| row.count == meant && row.sum == Some(0)) {
        return Ok(());
    }
    Err(StoreError::Damaged { what: entry_name(entry), why: "its postings were not stored as meant".into() })
}

/// Adds the entry's postings to the balances. The database refuses negative ones where they must not be.
async fn balances_move(c: &mut Conn<'_>, id: i64, entry: &Entry) -> Result<()> {
    match c.run_file(statement!("ledger/balances_move.sql"), binds![id]).await {
        Ok(_) => Ok(()),
        Err(StoreError::Query(DieselError::DatabaseError(DatabaseErrorKind::CheckViolation, _))) => {
            Err(StoreError::Conflict { what: format!("a balance that {} takes from", entry_name(entry)) })
        }
        Err(error) => Err(error),
    }
}

/// Posting twice is fine, posting something else under the same reference is not.
async fn entry_compare(c: &mut Conn<'_>, entry: &Entry) -> Result<()> {
    let same = postings::table
        .inner_join(entries::table)
        .inner_join(accounts::table)
        .filter(entries::kind.eq(entry.kind().as_str()))
        .filter(entries::reference.eq(entry.reference()))
        .select((accounts::key, postings::amount));
    let mut stored: Vec<(String, i64)> = on!(c, c => same.load(c).await)?;
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
