//! Joins what older programs kept under two texts of the same keys: the legacy one goes into the checksummed one.
//!
//! What still changes moves: lines with their segments, verdicts and rejects, counts, days, suspects, difficulties, and
//! all money, by one entry per miner that sums to zero. What is history stays as it was and under the text that it was
//! made under: share batches, weights and their digests, entries, recipients of payouts. The row of the legacy text stays
//! for them and names the miner that it is now ([`crate::joined`]).
//!
//! Runs in the transaction of its migration: it happens wholly, once, or not at all.
use std::collections::BTreeSet;

use accounting::Entry;
use chain::{Address, Network};
use diesel::QueryableByName;
use diesel::sql_types::{BigInt, Text};

use super::tx::Tx;
use crate::ledger::{Balance, MONEY_LEASE};
use crate::sql::binds;
use crate::{Result, StoreError, column};

mod identities;
mod names;

/// What joining accounts needs to know that no table says.
#[derive(Debug, Clone, Copy)]
pub struct Joining {
    /// Whose checksum the texts get.
    pub network: Network,
    /// The entry that moves what is booked under the first text to the accounts of the second, `accounts_joined`.
    pub entry: fn(&str, &str, &Balance) -> Entry,
}

/// 64 bytes are never longer in base58.
const LEGACY_CHARS_MAX: i64 = 88;

const NOW_IN_PG: &str = "CAST(extract(epoch FROM now()) * 1000 AS BIGINT)";
const NOW_IN_LITE: &str = "CAST(unixepoch('subsec') * 1000 AS INTEGER)";

#[derive(QueryableByName)]
struct Named {
    #[diesel(sql_type = Text)]
    text: String,
}

/// Joins all there is to join. Without `joining` there must be nothing.
pub(super) fn join_accounts(c: &mut Tx<'_>, joining: Option<&Joining>) -> Result<()> {
    let miners = legacy_miners(c)?;
    let names = legacy_names(c)?;
    let Some(first) = miners.iter().chain(&names).next() else { return Ok(()) };
    let joining = joining.ok_or_else(|| StoreError::Damaged {
        what: format!("address {first}"),
        why: "it has no checksum, and the network that would give it one was not said".to_owned(),
    })?;
    let to = |from: &str| Address::account_text(from, &joining.network).into_owned();
    for from in &names {
        names::penalties(c, from, &to(from))?;
        names::hints(c, from, &to(from))?;
    }
    for from in &miners {
        miner(c, joining, from, &to(from))?;
    }
    tracing::info!(miners = miners.len(), "accounts joined: addresses that had two texts");
    Ok(())
}

fn is_legacy(text: &str) -> bool {
    // Good on every network.
    Address::parse(text, &Network::Mainnet).is_ok_and(|address| address.is_legacy())
}

/// Texts that have accounts, or may get one: a block that was found under a policy credits whom that names.
fn legacy_miners(c: &mut Tx<'_>) -> Result<BTreeSet<String>> {
    let select = "SELECT address AS text FROM miners WHERE length(address) <= $1";
    let miners: Vec<Named> = c.rows(select, binds![LEGACY_CHARS_MAX])?;
    let policies: Vec<Named> = c.rows("SELECT body AS text FROM policies", binds![])?;
    let fee_address = |policy: Named| {
        let policy: serde_json::Value = serde_json::from_str(&policy.text).ok()?;
        Some(policy.get("fee_address")?.as_str()?.to_owned())
    };
    let texts = miners.into_iter().map(|row| row.text).chain(policies.into_iter().filter_map(fee_address));
    Ok(texts.filter(|text| is_legacy(text)).collect())
}

fn legacy_names(c: &mut Tx<'_>) -> Result<BTreeSet<String>> {
    let select = "SELECT address AS text FROM penalties WHERE length(address) <= $1 \
                  UNION SELECT address FROM vardiff_hints WHERE length(address) <= $1";
    let texts: Vec<Named> = c.rows(select, binds![LEGACY_CHARS_MAX])?;
    Ok(texts.into_iter().map(|row| row.text).filter(|text| is_legacy(text)).collect())
}

fn miner(c: &mut Tx<'_>, joining: &Joining, from: &str, to: &str) -> Result<()> {
    let now = match c {
        Tx::Pg(_) => NOW_IN_PG,
        Tx::Lite(_) => NOW_IN_LITE,
    };
    let first_seen = format!("COALESCE((SELECT first_seen_at FROM miners WHERE address = $2), {now})");
    let insert = format!(
        "INSERT INTO miners (address, first_seen_at) VALUES ($1, {first_seen}) ON CONFLICT (address) DO NOTHING"
    );
    c.run(&insert, binds![to, from])?;
    c.run(&insert, binds![from, to])?;
    let (one, other) = (miner_id(c, from)?, miner_id(c, to)?);
    let found_as = "UPDATE blocks SET found_as = $1 WHERE weights_digest IS NOT NULL \
                    AND identity_id IN (SELECT id FROM worker_identities WHERE miner_id = $2)";
    c.run(found_as, binds![from, one])?;
    identities::join(c, one, other)?;
    counts(c, one, other)?;
    days(c, one, other)?;
    let booked = booked(c, one)?;
    if booked != Balance::default() {
        let entry = (joining.entry)(from, to, &booked);
        post(c, &entry, now)?;
    }
    let left = c.number("SELECT COUNT(*) AS n FROM accounts WHERE miner_id = $1 AND balance <> 0", binds![one])?;
    if left != Some(0) {
        let why = "the entry that should have emptied its accounts has not".to_owned();
        return Err(StoreError::Damaged { what: format!("balance of {from}"), why });
    }
    c.run("UPDATE miners SET joined_into = $1 WHERE id = $2", binds![other, one])?;
    Ok(())
}

fn miner_id(c: &mut Tx<'_>, address: &str) -> Result<i64> {
    let id = c.number("SELECT id AS n FROM miners WHERE address = $1", binds![address])?;
    id.ok_or_else(|| StoreError::Conflict { what: format!("miner {address}") })
}

/// What forgotten lines had done, and since when both are known.
fn counts(c: &mut Tx<'_>, from: i64, to: i64) -> Result<()> {
    let add = "UPDATE miners SET gone_shares = miners.gone_shares + f.gone_shares, \
               gone_rejects = miners.gone_rejects + f.gone_rejects, \
               gone_first_at = CASE WHEN f.gone_first_at < miners.gone_first_at OR miners.gone_first_at IS NULL \
               THEN f.gone_first_at ELSE miners.gone_first_at END, \
               first_seen_at = CASE WHEN f.first_seen_at < miners.first_seen_at \
               THEN f.first_seen_at ELSE miners.first_seen_at END \
               FROM (SELECT * FROM miners WHERE id = $1) AS f WHERE miners.id = $2";
    c.run(add, binds![from, to])?;
    c.run("UPDATE miners SET gone_shares = 0, gone_rejects = 0, gone_first_at = NULL WHERE id = $1", binds![from])?;
    Ok(())
}

/// Summaries of days that were cleaned up. The whole pool's are the same as before.
fn days(c: &mut Tx<'_>, from: i64, to: i64) -> Result<()> {
    let columns = ["shares", "work", "verified", "verified_work", "refuted", "refuted_work"];
    let add: Vec<String> = columns.iter().map(|name| format!("{name} = share_days.{name} + excluded.{name}")).collect();
    let (columns, add) = (columns.join(", "), add.join(", "));
    let shares = format!(
        "INSERT INTO share_days (miner_id, day, {columns}) SELECT $1, day, {columns} FROM share_days \
         WHERE miner_id = $2 ON CONFLICT (miner_id, day) DO UPDATE SET {add}"
    );
    c.run(&shares, binds![to, from])?;
    let rejects = "INSERT INTO reject_days (miner_id, day, reason, count) SELECT $1, day, reason, count \
                   FROM reject_days WHERE miner_id = $2 \
                   ON CONFLICT (miner_id, day, reason) DO UPDATE SET count = reject_days.count + excluded.count";
    c.run(rejects, binds![to, from])?;
    for table in ["share_days", "reject_days"] {
        c.run(&format!("DELETE FROM {table} WHERE miner_id = $1"), binds![from])?;
    }
    Ok(())
}

// === money ===

/// What a miner's accounts hold.
fn booked(c: &mut Tx<'_>, miner: i64) -> Result<Balance> {
    #[derive(QueryableByName)]
    struct Account {
        #[diesel(sql_type = Text)]
        key: String,
        #[diesel(sql_type = Text)]
        kind: String,
        #[diesel(sql_type = BigInt)]
        balance: i64,
    }
    let mut booked = Balance::default();
    let accounts: Vec<Account> =
        c.rows("SELECT key, kind, balance FROM accounts WHERE miner_id = $1", binds![miner])?;
    for account in accounts {
        let slot = match account.kind.as_str() {
            "payable" => &mut booked.payable,
            "inflight" => &mut booked.inflight,
            "paid_out" => &mut booked.paid,
            _ => continue,
        };
        *slot = column::amount(account.balance, &format!("balance of {}", account.key))?;
    }
    Ok(booked)
}

/// Posts an entry as [`crate::Store::entry_post`] does. Whoever holds the money lease waits meanwhile.
fn post(c: &mut Tx<'_>, entry: &Entry, now: &str) -> Result<()> {
    let epoch = c.number("SELECT epoch AS n FROM leases WHERE name = $1", binds![MONEY_LEASE])?.unwrap_or(0);
    let insert =
        format!("INSERT INTO entries (kind, reference, epoch, at) VALUES ($1, $2, $3, {now}) RETURNING id AS n");
    let id = c.number(&insert, binds![entry.kind().as_str(), entry.reference(), epoch])?;
    let id =
        id.ok_or_else(|| StoreError::Conflict { what: format!("entry {} {}", entry.kind(), entry.reference()) })?;
    for posting in entry.postings() {
        let (key, kind, address) =
            (posting.account.to_string(), posting.account.kind().as_str(), posting.account.owner());
        let account = "INSERT INTO accounts (key, kind, miner_id) \
                       VALUES ($1, $2, (SELECT id FROM miners WHERE address = $3)) ON CONFLICT (key) DO NOTHING";
        c.run(account, binds![key.clone(), kind, address.map(str::to_owned)])?;
        let insert =
            "INSERT INTO postings (entry_id, account_id, amount) SELECT $1, id, $2 FROM accounts WHERE key = $3";
        c.run(insert, binds![id, posting.amount, key.clone()])?;
        let add = "UPDATE accounts SET balance = balance + $1 WHERE key = $2";
        c.run(add, binds![posting.amount, key])?;
    }
    Ok(())
}
