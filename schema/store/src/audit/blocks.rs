//! Blocks against their entries, and their weights against the shares of their windows.
use std::collections::BTreeMap;

use diesel::{ExpressionMethods, JoinOnDsl, NullableExpressionMethods, QueryDsl, Queryable};
use diesel_async::RunQueryDsl;
use units::{Amount, BlockRowId, Minute, Timestamp, Work};

use super::recount::{self, Recounted, Window};
use super::{Difference, Findings};
use crate::blocks::window_work;
use crate::db::{Conn, on};
use crate::joined::Joined;
use crate::retention::{Mark, mark_in_txn};
use crate::schema::{accounts, block_weights, blocks, entries, miners, policies, postings, worker_identities};
use crate::sql::{binds, statement};
use crate::{Result, StoreError};

/// Blocks whose windows are recounted in one pass over the batches.
const BLOCKS_PER_PASS: i64 = 256;

/// A block whose weights are stored, with what they must follow from.
#[derive(Debug, Clone)]
pub struct WeighedBlock {
    /// 64 hex digits.
    pub hash: String,
    /// What it pays.
    pub reward: Amount,
    /// Finder's address.
    pub finder: Option<String>,
    /// When the share was received.
    pub found_at: Timestamp,
    /// When its round began.
    pub round_started_at: Timestamp,
    /// Payout window's start.
    pub window_start: Timestamp,
    /// The rules that price it, as they are stored.
    pub policy: String,
    /// Of the allocation.
    pub digest: String,
    /// Verified work, and accepted work that was not judged, by address: counted share by share.
    pub works: Vec<(String, Work, Work)>,
    /// No share of the window was voided or removed since: `works` is what the weights were computed from.
    pub is_exact: bool,
    /// By address.
    pub weights: Vec<StoredWeight>,
}

/// A stored line of an allocation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredWeight {
    /// Payout address.
    pub address: String,
    /// Verified work.
    pub verified: Work,
    /// Provisional work that counted.
    pub provisional: Work,
    /// What it was split by.
    pub weight: i64,
    /// What it was given.
    pub credit: Amount,
}

/// What a block's rules say about it.
#[derive(Debug, Clone, Default)]
pub struct Priced {
    /// Where the stored weights are not what the rules make of the work.
    pub differences: Vec<Difference>,
    /// Key of the account that gets the pool's part; `None` where the rules cannot be read.
    pub fee_account: Option<String>,
}

pub(super) async fn audit(
    c: &mut Conn<'_>,
    price: &(dyn Fn(&WeighedBlock) -> Priced + Send + Sync),
) -> Result<Vec<Difference>> {
    let mut found = Findings::default();
    found.query(c, "block was credited as often as it says", statement!("blocks/credits.sql"), binds![]).await?;
    found.query(c, "block was reversed as often as it says", statement!("blocks/reversals.sql"), binds![]).await?;
    found.query(c, "block entry has a block", statement!("blocks/strays.sql"), binds![]).await?;
    found.query(c, "state of a block follows from its credits", statement!("blocks/states.sql"), binds![]).await?;
    found.query(c, "block is weighed once it is confirmed", statement!("blocks/weighed.sql"), binds![]).await?;
    found.query(c, "reversal takes back the reward", statement!("blocks/taken_back.sql"), binds![]).await?;
    found.query(c, "block is what its template says", statement!("blocks/templates.sql"), binds![]).await?;
    found
        .query(c, "block is priced by the policy of its template", statement!("blocks/policies.sql"), binds![])
        .await?;
    found.query(c, "window has an end in every log", statement!("blocks/ends.sql"), binds![]).await?;
    found.query(c, "window holds the finding share", statement!("blocks/finders.sql"), binds![]).await?;
    found.query(c, "window and verdicts are folded", statement!("blocks/seen.sql"), binds![]).await?;
    let kept = mark_in_txn(c, Mark::Details).await?;
    let joined = Joined::load(c).await?;
    let mut after = 0;
    loop {
        let page = weighed(c, after).await?;
        let Some(last) = page.last() else { break };
        after = last.id;
        // What older windows held is gone; their weights are what is left of it.
        let whole: Vec<&Weighed> = page.iter().filter(|block| block.first_minute() >= kept).collect();
        let windows = whole.iter().map(|block| Window::load(block.id, block.window_start)).collect();
        let recounts = recount::recount(c, windows, &joined).await?;
        let mut recounts: BTreeMap<i64, Recounted> = whole.iter().map(|block| block.id).zip(recounts).collect();
        for block in &page {
            let weights = weights(c, block.id).await?;
            let recounted = recounts.remove(&block.id);
            let priced = price(&block.with(&weights, recounted.as_ref(), &joined));
            priced.differences.into_iter().for_each(|difference| found.push(difference));
            credits(c, block, &weights, priced.fee_account, &joined, &mut found).await?;
            if let Some(recounted) = recounted {
                found
                    .query(c, "window ends where segments end", statement!("blocks/cut.sql"), binds![block.id])
                    .await?;
                compare_weights(block, &weights, &recounted, &joined, &mut found);
                compare_segments(c, block, &recounted, &mut found).await?;
            }
        }
    }
    Ok(found.0)
}

#[derive(Queryable)]
struct Weighed {
    id: i64,
    hash: String,
    reward: i64,
    window_start: i64,
    credits: i64,
    found_at: i64,
    round_started_at: i64,
    found_as: Option<String>,
    /// The finder's address of today.
    address: Option<String>,
    policy: String,
    digest: String,
}

impl Weighed {
    fn first_minute(&self) -> Minute {
        Timestamp::from_ms(self.window_start).minute()
    }

    /// Without a recount, what is stored is taken as it is. So it is where a miner of it was joined into another one since.
    fn with(&self, weights: &[Weight], recounted: Option<&Recounted>, joined: &Joined) -> WeighedBlock {
        let recounted = recounted.filter(|_| !weights.iter().any(|row| joined.is_old(&row.address)));
        // What is no amount or no work is damage, which other checks name.
        let amount = |atoms| Amount::from_i64(atoms).unwrap_or(Amount::ZERO);
        let work = |work| u64::try_from(work).ok().and_then(Work::new).unwrap_or(Work::ZERO);
        let works = recounted.into_iter().flatten().map(|(address, counted)| {
            let rest = counted.accepted - counted.taken - counted.verified;
            (address.clone(), work(counted.verified), work(rest))
        });
        let weights = weights.iter().map(|row| StoredWeight {
            address: row.address.clone(),
            verified: work(row.verified.into()),
            provisional: work(row.provisional.into()),
            weight: row.weight,
            credit: amount(row.credit),
        });
        WeighedBlock {
            hash: self.hash.clone(),
            reward: amount(self.reward),
            finder: self.found_as.clone().or_else(|| self.address.clone()),
            found_at: Timestamp::from_ms(self.found_at),
            round_started_at: Timestamp::from_ms(self.round_started_at),
            window_start: Timestamp::from_ms(self.window_start),
            policy: self.policy.clone(),
            digest: self.digest.clone(),
            works: works.collect(),
            is_exact: recounted.is_some_and(|all| all.values().all(|counted| counted.voided_since == 0)),
            weights: weights.collect(),
        }
    }
}

#[derive(Queryable, Default)]
struct Weight {
    address: String,
    verified: i64,
    provisional: i64,
    weight: i64,
    credit: i64,
}

async fn weighed(conn: &mut Conn<'_>, after: i64) -> Result<Vec<Weighed>> {
    let page = blocks::table
        .inner_join(policies::table)
        .left_join(worker_identities::table)
        .left_join(miners::table.on(miners::id.eq(worker_identities::miner_id)))
        .filter(blocks::weights_digest.is_not_null())
        .filter(blocks::id.gt(after))
        .order(blocks::id)
        .limit(BLOCKS_PER_PASS)
        .select((
            blocks::id,
            blocks::hash,
            blocks::reward,
            blocks::window_start,
            blocks::credits,
            blocks::found_at,
            blocks::round_started_at,
            blocks::found_as,
            miners::address.nullable(),
            policies::body,
            blocks::weights_digest.assume_not_null(),
        ));
    Ok(on!(conn, c => page.load(c).await)?)
}

async fn weights(conn: &mut Conn<'_>, block: i64) -> Result<Vec<Weight>> {
    let all = block_weights::table
        .inner_join(miners::table)
        .filter(block_weights::block_id.eq(block))
        .order(miners::address)
        .select((
            miners::address,
            block_weights::verified,
            block_weights::provisional,
            block_weights::weight,
            block_weights::credit,
        ));
    Ok(on!(conn, c => all.load(c).await)?)
}

/// Every credit entry takes the reward, gives each miner what its weight got, and what is left to one account.
async fn credits(
    c: &mut Conn<'_>,
    block: &Weighed,
    weights: &[Weight],
    fee_account: Option<String>,
    joined: &Joined,
    found: &mut Findings,
) -> Result<()> {
    let fee_account = fee_account.map(|key| joined.account(&key));
    let mut entries = Vec::new();
    // Other references would be too many entries, which is another finding.
    for time in 1..=block.credits {
        let reference = if time == 1 { block.hash.clone() } else { format!("{}:{time}", block.hash) };
        let postings = postings(c, &reference).await?;
        entries.push((reference, joined.postings(&postings)));
    }
    let mut expected = BTreeMap::from([("chain_rewards".to_owned(), -i128::from(block.reward))]);
    let mut fee = i128::from(block.reward);
    for weight in weights {
        let key = format!("payable:{}", joined.now(&weight.address));
        *expected.entry(key).or_default() += i128::from(weight.credit);
        fee -= i128::from(weight.credit);
    }
    if fee < 0 {
        found.add("credits are within the reward", &block.hash, block.reward, i128::from(block.reward) - fee);
    }
    for (reference, stored) in entries {
        let mut off = stored;
        for (key, amount) in &expected {
            *off.entry(key.clone()).or_default() -= amount;
        }
        // The fee goes to the pool's account, or to the payable account of the address that its owner named.
        let to_pool = || off.contains_key("pool_fee").then(|| "pool_fee".to_owned());
        let to_named = || off.iter().find(|(key, amount)| **amount == fee && key.starts_with("payable:"));
        let unread = || to_pool().or_else(|| to_named().map(|(key, _)| key.clone()));
        if let Some(key) = fee_account.clone().or_else(unread) {
            *off.entry(key).or_default() -= fee;
        } else if fee != 0 {
            found.add("fee of a block has an account", &reference, "none", fee);
        }
        for (key, off) in off.into_iter().filter(|(_, off)| *off != 0) {
            let meant = expected.get(&key).copied().unwrap_or_default();
            found.add("credit is what the weights say", format!("{reference} {key}"), meant + off, meant);
        }
    }
    Ok(())
}

/// What a credit entry gives, by account.
async fn postings(conn: &mut Conn<'_>, reference: &str) -> Result<BTreeMap<String, i128>> {
    let all = postings::table
        .inner_join(entries::table)
        .inner_join(accounts::table)
        .filter(entries::kind.eq("block_credited"))
        .filter(entries::reference.eq(reference))
        .select((accounts::key, postings::amount));
    let rows: Vec<(String, i64)> = on!(conn, c => all.load(c).await)?;
    let mut postings = BTreeMap::new();
    for (key, amount) in rows {
        *postings.entry(key).or_default() += i128::from(amount);
    }
    Ok(postings)
}

/// What is stored was computed from the shares and the verdicts that were known at the time. A share that was voided
/// since then may have counted as verified or not at all: there the stored numbers are believed within those limits.
/// Of a miner that was joined into another one, only the sum of both can be told.
fn compare_weights(block: &Weighed, weights: &[Weight], recounted: &Recounted, joined: &Joined, found: &mut Findings) {
    let check = "weights are what the shares say";
    let mut left = recounted.clone();
    for weight in &of_today(weights, joined) {
        let work = left.remove(&weight.address).unwrap_or_default();
        let (verified, provisional) = (i128::from(weight.verified), i128::from(weight.provisional));
        let verified_fits = (work.verified..=work.verified + work.voided_since).contains(&verified);
        let rest = work.accepted - work.taken - verified;
        let weighs = i128::from(weight.weight) == verified + provisional;
        // Provisional work counts up to a limit that the block's rules set.
        if !verified_fits || provisional < 0 || provisional > rest || !weighs {
            let stored = format!("verified {verified}, provisional {provisional}, weight {}", weight.weight);
            found.add(check, format!("{} {}", block.hash, weight.address), stored, work);
        }
    }
    for (address, work) in left.into_iter().filter(|(_, work)| work.accepted > work.taken + work.voided_since) {
        found.add(check, format!("{} {address}", block.hash), "no weight", work);
    }
}

/// By address of today.
fn of_today(weights: &[Weight], joined: &Joined) -> Vec<Weight> {
    let mut sums: BTreeMap<&str, Weight> = BTreeMap::new();
    for row in weights {
        let address = joined.now(&row.address);
        let sum = sums.entry(address).or_insert_with(|| Weight { address: address.to_owned(), ..Weight::default() });
        sum.verified = sum.verified.saturating_add(row.verified);
        sum.provisional = sum.provisional.saturating_add(row.provisional);
        sum.weight = sum.weight.saturating_add(row.weight);
        sum.credit = sum.credit.saturating_add(row.credit);
    }
    sums.into_values().collect()
}

/// Segments give the same accepted work in the window as the shares do.
async fn compare_segments(
    c: &mut Conn<'_>,
    block: &Weighed,
    recounted: &Recounted,
    found: &mut Findings,
) -> Result<()> {
    let check = "segments of a window are its shares";
    let works = match window_work(c, BlockRowId(block.id)).await {
        Ok((works, _)) => works,
        Err(StoreError::Damaged { what, why }) => {
            found.add(check, &block.hash, what, why);
            return Ok(());
        }
        Err(error) => return Err(error),
    };
    let mut left = recounted.clone();
    for work in works {
        let shares = left.remove(&work.address).unwrap_or_default();
        let stored = i128::from(work.verified.get()) + i128::from(work.provisional.get());
        let computed = shares.accepted - shares.taken_now;
        if stored != computed {
            found.add(check, format!("{} {}", block.hash, work.address), stored, computed);
        }
    }
    for (address, shares) in left.into_iter().filter(|(_, shares)| shares.accepted != 0) {
        found.add(check, format!("{} {address}", block.hash), 0, shares.accepted);
    }
    Ok(())
}
