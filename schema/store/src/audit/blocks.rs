//! Blocks against their entries, and their weights against the shares of their windows.
use std::collections::BTreeMap;

use diesel::QueryableByName;
use diesel::sql_types::{BigInt, Nullable, Text};
use units::{Amount, BlockRowId, Minute, Timestamp, Work};

use super::recount::{self, Recounted, Window};
use super::{Difference, Findings};
use crate::blocks::window_work;
use crate::db::Conn;
use crate::joined::Joined;
use crate::retention::{Mark, mark_in_txn};
use crate::sql::binds;
use crate::{Result, StoreError};

/// Blocks whose windows are recounted in one pass over the batches.
const BLOCKS_PER_PASS: i64 = 256;

/// A block's entries begin with its hash, 64 digits long.
const CREDITS: &str = "SELECT b.hash AS subject, b.credits AS stored, COALESCE(e.n, 0) AS computed FROM blocks b \
    LEFT JOIN (SELECT substr(reference, 1, 64) AS hash, COUNT(*) AS n FROM entries WHERE kind = 'block_credited' \
        GROUP BY substr(reference, 1, 64)) AS e ON e.hash = b.hash WHERE b.credits <> COALESCE(e.n, 0)";

const REVERSALS: &str = "SELECT b.hash AS subject, b.reversals AS stored, COALESCE(e.n, 0) AS computed FROM blocks b \
    LEFT JOIN (SELECT substr(reference, 1, 64) AS hash, COUNT(*) AS n FROM entries WHERE kind = 'block_reversed' \
        GROUP BY substr(reference, 1, 64)) AS e ON e.hash = b.hash WHERE b.reversals <> COALESCE(e.n, 0)";

const STRAYS: &str = "SELECT e.kind || ' ' || e.reference AS subject, CAST(1 AS BIGINT) AS stored, \
    CAST(0 AS BIGINT) AS computed FROM entries e LEFT JOIN blocks b ON b.hash = substr(e.reference, 1, 64) \
    WHERE e.kind IN ('block_credited', 'block_reversed') AND b.id IS NULL";

const STATES: &str = "SELECT hash || ' ' || state AS subject, credits AS stored, \
    reversals + CASE WHEN state = 'credited' THEN 1 ELSE 0 END AS computed FROM blocks \
    WHERE credits <> reversals + CASE WHEN state = 'credited' THEN 1 ELSE 0 END \
    OR (state = 'reversed' AND credits = 0) OR (state NOT IN ('credited', 'reversed') AND credits <> 0)";

/// Weights are there from `confirmed` on, and not before. A lost block may have them: it was lost while it waited.
const WEIGHED: &str = "SELECT hash || ' ' || state AS subject, COALESCE(verdict_seq, 0) AS stored, \
    CAST(0 AS BIGINT) AS computed FROM blocks \
    WHERE (weights_digest IS NULL AND state IN ('confirmed', 'credited', 'reversed')) \
    OR (weights_digest IS NOT NULL AND state IN ('candidate', 'submitted', 'seen')) \
    OR (weights_digest IS NULL AND EXISTS (SELECT 1 FROM block_weights w WHERE w.block_id = blocks.id))";

const TEMPLATES: &str = "SELECT b.hash AS subject, b.reward AS stored, t.reward AS computed \
    FROM blocks b JOIN templates t ON t.id = b.template_id \
    WHERE b.reward <> t.reward OR b.height <> t.height OR b.difficulty <> t.difficulty";

const POLICIES: &str = "SELECT b.hash AS subject, b.policy_id AS stored, t.policy_id AS computed \
    FROM blocks b JOIN templates t ON t.id = b.template_id \
    WHERE t.policy_id IS NOT NULL AND b.policy_id <> t.policy_id";

/// Weights wait for every host that was there at the find.
const ENDS: &str = "SELECT b.hash || ' ' || h.name AS subject, CAST(0 AS BIGINT) AS stored, CAST(1 AS BIGINT) AS computed \
    FROM blocks b JOIN hosts h ON h.registered_at <= b.found_at \
    LEFT JOIN block_windows w ON w.block_id = b.id AND w.host_id = h.id \
    WHERE b.weights_digest IS NOT NULL AND w.end_seq IS NULL";

const FINDERS: &str = "SELECT b.hash AS subject, COALESCE(w.end_seq, 0) AS stored, b.share_seq AS computed \
    FROM blocks b LEFT JOIN block_windows w ON w.block_id = b.id AND w.host_id = b.host_id \
    WHERE b.identity_id IS NOT NULL AND COALESCE(w.end_seq, 0) < b.share_seq";

const SEEN: &str = "SELECT b.hash || ' ' || h.name AS subject, w.verdict_seq AS stored, h.folded_seq AS computed \
    FROM block_windows w JOIN blocks b ON b.id = w.block_id JOIN hosts h ON h.id = w.host_id \
    WHERE w.verdict_seq > h.folded_seq OR w.end_seq > h.folded_seq";

const CUT: &str = "SELECT b.hash || ' line ' || s.identity_id AS subject, s.last_seq AS stored, w.end_seq AS computed \
    FROM block_windows w JOIN blocks b ON b.id = w.block_id JOIN worker_identities l ON l.host_id = w.host_id \
    JOIN segments s ON s.identity_id = l.id AND s.start_seq = (SELECT MAX(y.start_seq) FROM segments y \
        WHERE y.identity_id = l.id AND y.start_seq <= w.end_seq) \
    WHERE w.block_id = $1 AND s.last_seq > w.end_seq";

const TAKEN_BACK: &str = "SELECT e.reference AS subject, b.reward AS stored, \
    CAST(COALESCE(SUM(p.amount), 0) AS BIGINT) AS computed \
    FROM entries e JOIN blocks b ON b.hash = substr(e.reference, 1, 64) \
    LEFT JOIN postings p ON p.entry_id = e.id AND p.account_id = (SELECT id FROM accounts WHERE key = 'chain_rewards') \
    WHERE e.kind = 'block_reversed' GROUP BY e.id, e.reference, b.reward \
    HAVING b.reward <> COALESCE(SUM(p.amount), 0)";

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
    found.query(c, "block was credited as often as it says", CREDITS, binds![]).await?;
    found.query(c, "block was reversed as often as it says", REVERSALS, binds![]).await?;
    found.query(c, "block entry has a block", STRAYS, binds![]).await?;
    found.query(c, "state of a block follows from its credits", STATES, binds![]).await?;
    found.query(c, "block is weighed once it is confirmed", WEIGHED, binds![]).await?;
    found.query(c, "reversal takes back the reward", TAKEN_BACK, binds![]).await?;
    found.query(c, "block is what its template says", TEMPLATES, binds![]).await?;
    found.query(c, "block is priced by the policy of its template", POLICIES, binds![]).await?;
    found.query(c, "window has an end in every log", ENDS, binds![]).await?;
    found.query(c, "window holds the finding share", FINDERS, binds![]).await?;
    found.query(c, "window and verdicts are folded", SEEN, binds![]).await?;
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
                found.query(c, "window ends where segments end", CUT, binds![block.id]).await?;
                compare_weights(block, &weights, &recounted, &joined, &mut found);
                compare_segments(c, block, &recounted, &mut found).await?;
            }
        }
    }
    Ok(found.0)
}

#[derive(QueryableByName)]
struct Weighed {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = Text)]
    hash: String,
    #[diesel(sql_type = BigInt)]
    reward: i64,
    #[diesel(sql_type = BigInt)]
    window_start: i64,
    #[diesel(sql_type = BigInt)]
    credits: i64,
    #[diesel(sql_type = BigInt)]
    found_at: i64,
    #[diesel(sql_type = BigInt)]
    round_started_at: i64,
    #[diesel(sql_type = Nullable<Text>)]
    finder: Option<String>,
    #[diesel(sql_type = Text)]
    policy: String,
    #[diesel(sql_type = Text)]
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
            finder: self.finder.clone(),
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

#[derive(QueryableByName, Default)]
struct Weight {
    #[diesel(sql_type = Text)]
    address: String,
    #[diesel(sql_type = BigInt)]
    verified: i64,
    #[diesel(sql_type = BigInt)]
    provisional: i64,
    #[diesel(sql_type = BigInt)]
    weight: i64,
    #[diesel(sql_type = BigInt)]
    credit: i64,
}

async fn weighed(c: &mut Conn<'_>, after: i64) -> Result<Vec<Weighed>> {
    let select = "SELECT b.id, b.hash, b.reward, b.window_start, b.credits, b.found_at, b.round_started_at, \
                  COALESCE(b.found_as, m.address) AS finder, \
                  p.body AS policy, b.weights_digest AS digest FROM blocks b JOIN policies p ON p.id = b.policy_id \
                  LEFT JOIN worker_identities l ON l.id = b.identity_id LEFT JOIN miners m ON m.id = l.miner_id \
                  WHERE b.weights_digest IS NOT NULL AND b.id > $1 ORDER BY b.id LIMIT $2";
    c.rows(select, binds![after, BLOCKS_PER_PASS]).await
}

async fn weights(c: &mut Conn<'_>, block: i64) -> Result<Vec<Weight>> {
    let select = "SELECT m.address, w.verified, w.provisional, w.weight, w.credit \
                  FROM block_weights w JOIN miners m ON m.id = w.miner_id WHERE w.block_id = $1 ORDER BY m.address";
    c.rows(select, binds![block]).await
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
async fn postings(c: &mut Conn<'_>, reference: &str) -> Result<BTreeMap<String, i128>> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Text)]
        key: String,
        #[diesel(sql_type = BigInt)]
        amount: i64,
    }
    let select = "SELECT a.key, p.amount FROM entries e JOIN postings p ON p.entry_id = e.id \
                  JOIN accounts a ON a.id = p.account_id WHERE e.kind = 'block_credited' AND e.reference = $1";
    let mut postings = BTreeMap::new();
    for row in c.rows::<Row>(select, binds![reference]).await? {
        *postings.entry(row.key).or_default() += i128::from(row.amount);
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
