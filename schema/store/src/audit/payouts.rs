//! Intents against their recipients and entries.
use std::collections::{BTreeMap, HashMap};

use diesel::QueryableByName;
use diesel::sql_types::{BigInt, Text};
use units::Amount;

use super::{Difference, Findings};
use crate::Result;
use crate::db::Conn;
use crate::joined::Joined;
use crate::payouts::{Intent, IntentState, Which, intents_load};
use crate::retention::{Mark, mark_in_txn};
use crate::sql::binds;

const INTENTS_PER_PAGE: i64 = 200;

const INFLIGHT: &str = "SELECT 'inflight:' || m.address AS subject, COALESCE(a.balance, 0) AS stored, \
    CAST(COALESCE(o.gross, 0) AS BIGINT) AS computed \
    FROM miners m LEFT JOIN accounts a ON a.miner_id = m.id AND a.kind = 'inflight' \
    LEFT JOIN (SELECT COALESCE(t.joined_into, t.id) AS miner_id, SUM(l.gross) AS gross FROM intents i \
        JOIN intent_recipients l ON l.intent_id = i.id JOIN miners t ON t.id = l.miner_id WHERE i.state NOT IN ('settled', 'released') \
        GROUP BY COALESCE(t.joined_into, t.id)) AS o ON o.miner_id = m.id \
    WHERE COALESCE(a.balance, 0) <> COALESCE(o.gross, 0)";

const STRAYS: &str = "SELECT e.kind || ' ' || e.reference AS subject, CAST(1 AS BIGINT) AS stored, \
    CAST(0 AS BIGINT) AS computed FROM entries e LEFT JOIN intents i ON i.id = e.reference \
    WHERE e.kind IN ('payout_reserved', 'payout_settled', 'payout_released') AND i.id IS NULL AND e.at >= $1";

/// Of the payouts whose rows are gone, the sums stay.
const PAID: &str = "SELECT 'all payouts' AS subject, CAST(s.listed + s.summed AS BIGINT) AS stored, \
    CAST(s.books AS BIGINT) AS computed FROM (SELECT \
        (SELECT COALESCE(SUM(l.net), 0) FROM intent_recipients l JOIN intents i ON i.id = l.intent_id \
            WHERE i.state = 'settled') AS listed, \
        (SELECT COALESCE(SUM(net), 0) FROM payout_days) AS summed, \
        (SELECT COALESCE(SUM(p.amount), 0) FROM entries e JOIN postings p ON p.entry_id = e.id \
            JOIN accounts a ON a.id = p.account_id WHERE e.kind = 'payout_settled' AND a.kind = 'paid_out') AS books\
    ) AS s WHERE s.listed + s.summed <> s.books";

const HEADS: &str = "SELECT i.id AS subject, i.recipients AS stored, COUNT(l.miner_id) AS computed \
    FROM intents i LEFT JOIN intent_recipients l ON l.intent_id = i.id GROUP BY i.id, i.recipients \
    HAVING i.recipients <> COUNT(l.miner_id)";

const ATTEMPTS: &str = "SELECT i.id AS subject, i.attempt AS stored, COUNT(t.attempt) AS computed \
    FROM intents i LEFT JOIN intent_attempts t ON t.intent_id = i.id GROUP BY i.id, i.attempt \
    HAVING i.attempt <> COUNT(t.attempt) OR i.attempt <> MAX(t.attempt)";

pub(super) async fn audit(c: &mut Conn<'_>) -> Result<Vec<Difference>> {
    let mut found = Findings::default();
    found.query(c, "in flight is what open payouts took", INFLIGHT, binds![]).await?;
    let kept = mark_in_txn(c, Mark::Payouts).await?.start().ms();
    found.query(c, "payout entry has a payout", STRAYS, binds![kept]).await?;
    found.query(c, "payouts sent what the books say", PAID, binds![]).await?;
    found.query(c, "payout counts its recipients", HEADS, binds![]).await?;
    found.query(c, "payout has all its attempts", ATTEMPTS, binds![]).await?;
    let joined = Joined::load(c).await?;
    let mut after = String::new();
    loop {
        #[derive(QueryableByName)]
        struct Id {
            #[diesel(sql_type = Text)]
            id: String,
        }
        let page = "SELECT id FROM intents WHERE id > $1 ORDER BY id LIMIT $2";
        let Some(last) = c.rows::<Id>(page, binds![after.clone(), INTENTS_PER_PAGE]).await?.pop() else { break };
        let binds = binds![after.clone(), last.id.clone()];
        let mut entries = entries(c, binds.clone()).await?;
        let mut before = balances_before(c, binds).await?;
        for intent in intents_load(c, Which::Between(after, last.id.clone())).await? {
            let before = before.remove(&intent.id).unwrap_or_default();
            check(&intent, entries.remove(&intent.id).unwrap_or_default(), &before, &joined, &mut found);
        }
        after = last.id;
    }
    Ok(found.0)
}

/// Amounts by account.
type Postings = BTreeMap<String, i128>;

/// By intent, by kind.
async fn entries(
    c: &mut Conn<'_>,
    binds: Vec<crate::sql::Bind>,
) -> Result<HashMap<String, BTreeMap<String, Postings>>> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Text)]
        kind: String,
        #[diesel(sql_type = Text)]
        reference: String,
        #[diesel(sql_type = Text)]
        key: String,
        #[diesel(sql_type = BigInt)]
        amount: i64,
    }
    let select = "SELECT e.kind, e.reference, a.key, p.amount FROM entries e JOIN postings p ON p.entry_id = e.id \
                  JOIN accounts a ON a.id = p.account_id WHERE e.reference > $1 AND e.reference <= $2 \
                  AND e.kind IN ('payout_reserved', 'payout_settled', 'payout_released')";
    let mut entries: HashMap<String, BTreeMap<String, Postings>> = HashMap::new();
    for row in c.rows::<Row>(select, binds).await? {
        let postings = entries.entry(row.reference).or_default().entry(row.kind).or_default();
        *postings.entry(row.key).or_default() += i128::from(row.amount);
    }
    Ok(entries)
}

/// What the balances of recipients and the pool's fees were when adopted payouts were booked, by intent. Money is
/// written by one transaction at a time, so the order of entries is that of time.
async fn balances_before(c: &mut Conn<'_>, binds: Vec<crate::sql::Bind>) -> Result<HashMap<String, Postings>> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Text)]
        reference: String,
        #[diesel(sql_type = Text)]
        key: String,
        #[diesel(sql_type = BigInt)]
        amount: i64,
    }
    let select = "SELECT e.reference, a.key, CAST(COALESCE(SUM(p.amount), 0) AS BIGINT) AS amount \
                  FROM intents i JOIN entries e ON e.reference = i.id AND e.kind = 'payout_reserved' \
                  JOIN accounts a ON a.kind = 'pool_fee' OR (a.kind = 'payable' AND a.miner_id IN \
                      (SELECT l.miner_id FROM intent_recipients l WHERE l.intent_id = i.id)) \
                  LEFT JOIN postings p ON p.account_id = a.id AND p.entry_id < e.id \
                  WHERE i.id > $1 AND i.id <= $2 AND i.adopted_at IS NOT NULL GROUP BY e.reference, a.key";
    let mut before: HashMap<String, Postings> = HashMap::new();
    for row in c.rows::<Row>(select, binds).await? {
        before.entry(row.reference).or_default().insert(row.key, i128::from(row.amount));
    }
    Ok(before)
}

fn check(
    intent: &Intent,
    entries: BTreeMap<String, Postings>,
    before: &Postings,
    joined: &Joined,
    found: &mut Findings,
) {
    let gross = Amount::checked_sum(intent.lines.iter().map(|line| line.gross)).unwrap_or(Amount::MAX);
    if gross != intent.gross {
        found.add("payout is the sum of its recipients", &intent.id, intent.gross.atoms(), gross.atoms());
    }
    for line in intent.lines.iter().filter(|line| line.net > line.gross) {
        let subject = format!("{} to {}", intent.id, line.address);
        found.add("payout sends no more than it takes", subject, line.net.atoms(), line.gross.atoms());
    }
    let reserved = match intent.adopted_at {
        None => moved(intent, "payable", "inflight"),
        Some(_) => adopted(intent, before),
    };
    let mut expected = BTreeMap::from([("payout_reserved", reserved)]);
    match intent.state {
        IntentState::Settled => {
            let rest = entries.get("payout_settled").map(fees).unwrap_or_default();
            expected.insert("payout_settled", settled(intent, &rest));
        }
        IntentState::Released => {
            expected.insert("payout_released", moved(intent, "inflight", "payable"));
        }
        _ => {}
    }
    for (kind, postings) in &expected {
        let stored = entries.get(*kind);
        // It may have been reserved under one text of an address and settled under another.
        if stored.map(|stored| joined.postings(stored)) != Some(joined.postings(postings)) {
            let stored = stored.map_or_else(|| "no entry".to_owned(), |stored| format!("{stored:?}"));
            found.add(
                "payout entry says what the payout says",
                format!("{kind} {}", intent.id),
                stored,
                format!("{postings:?}"),
            );
        }
    }
    for (kind, postings) in entries.iter().filter(|(kind, _)| !expected.contains_key(kind.as_str())) {
        let computed = format!("no entry in state {}", intent.state.as_str());
        found.add("payout entry fits the state", format!("{kind} {}", intent.id), format!("{postings:?}"), computed);
    }
}

fn moved(intent: &Intent, from: &str, to: &str) -> Postings {
    let lines = intent.lines.iter().flat_map(|line| {
        let gross = i128::from(line.gross.atoms());
        [(format!("{from}:{}", line.address), -gross), (format!("{to}:{}", line.address), gross)]
    });
    lines.collect()
}

/// Balances gave as far as they went, then the pool's fees, then it was a loss; the fees kept what the pool bears of the
/// network fee.
fn adopted(intent: &Intent, before: &Postings) -> Postings {
    let had = |key: &str| before.get(key).copied().unwrap_or_default().max(0);
    let mut postings = Postings::new();
    let mut lacking = 0;
    let mut borne = intent.fee_paid.map_or(0, |fee| i128::from(fee.atoms()));
    for line in &intent.lines {
        let (gross, payable) = (i128::from(line.gross.atoms()), format!("payable:{}", line.address));
        let taken = had(&payable).min(gross);
        postings.insert(payable, -taken);
        postings.insert(format!("inflight:{}", line.address), gross);
        lacking += gross - taken;
        borne -= gross - i128::from(line.net.atoms());
    }
    let lost = (lacking + borne.max(0) - had("pool_fee")).max(0);
    postings.insert("pool_fee".to_owned(), lost - lacking);
    postings.insert("orphan_loss".to_owned(), -lost);
    postings.retain(|_, amount| *amount != 0);
    postings
}

/// What the network and the pool got of a settled payout.
fn fees(stored: &Postings) -> Postings {
    let fees = stored.iter().filter(|(key, _)| ["network_fee", "pool_fee"].contains(&key.as_str()));
    fees.map(|(key, amount)| (key.clone(), *amount)).collect()
}

/// The fee that the wallet named goes to the network. The pool takes or bears what is left, which follows from the sum.
fn settled(intent: &Intent, stored_fees: &Postings) -> Postings {
    let mut postings = Postings::new();
    let mut left = 0;
    for line in &intent.lines {
        let (gross, net) = (i128::from(line.gross.atoms()), i128::from(line.net.atoms()));
        postings.insert(format!("inflight:{}", line.address), -gross);
        postings.insert(format!("paid_out:{}", line.address), net);
        left += gross - net;
    }
    let stored = stored_fees.get("network_fee").copied().unwrap_or_default();
    let network_fee = intent.fee_paid.map_or(stored, |fee| i128::from(fee.atoms()));
    postings.insert("network_fee".to_owned(), network_fee);
    postings.insert("pool_fee".to_owned(), left - network_fee);
    postings.retain(|_, amount| *amount != 0);
    postings
}
