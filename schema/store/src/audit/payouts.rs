//! Intents against their recipients and entries.
use std::collections::{BTreeMap, HashMap};

use diesel::sql_types::{BigInt, Text};
use diesel::{ExpressionMethods, QueryDsl, QueryableByName};
use diesel_async::RunQueryDsl;
use units::Amount;

use super::{Difference, Findings};
use crate::Result;
use crate::db::{Conn, on};
use crate::joined::Joined;
use crate::payouts::{Intent, IntentState, Which, intents_load};
use crate::retention::{Mark, mark_in_txn};
use crate::schema::{accounts, entries, intents, postings};
use crate::sql::{binds, statement};

const INTENTS_PER_PAGE: i64 = 200;

pub(super) async fn audit(c: &mut Conn<'_>) -> Result<Vec<Difference>> {
    let mut found = Findings::default();
    found.query(c, "in flight is what open payouts took", statement!("payouts/inflight.sql"), binds![]).await?;
    let kept = mark_in_txn(c, Mark::Payouts).await?.start().ms();
    found.query(c, "payout entry has a payout", statement!("payouts/strays.sql"), binds![kept]).await?;
    found.query(c, "payouts sent what the books say", statement!("payouts/paid.sql"), binds![]).await?;
    found.query(c, "payout counts its recipients", statement!("payouts/recipients.sql"), binds![]).await?;
    found.query(c, "payout has all its attempts", statement!("payouts/attempts.sql"), binds![]).await?;
    let joined = Joined::load(c).await?;
    let mut after = String::new();
    loop {
        let page = intents::table
            .filter(intents::id.gt(after.clone()))
            .order(intents::id)
            .limit(INTENTS_PER_PAGE)
            .select(intents::id);
        let ids: Vec<String> = on!(c, x => page.load(x).await)?;
        let Some(last) = ids.last() else { break };
        let mut entries = entries(c, &after, last).await?;
        let mut before = balances_before(c, binds![after.as_str(), last.as_str()]).await?;
        for intent in intents_load(c, Which::Between(after, last.clone())).await? {
            let before = before.remove(&intent.id).unwrap_or_default();
            check(&intent, entries.remove(&intent.id).unwrap_or_default(), &before, &joined, &mut found);
        }
        after = last.clone();
    }
    Ok(found.0)
}

/// Amounts by account.
type Postings = BTreeMap<String, i128>;

/// Of the intents after `after` up to `last`: by intent, by kind.
async fn entries(conn: &mut Conn<'_>, after: &str, last: &str) -> Result<HashMap<String, BTreeMap<String, Postings>>> {
    let page = postings::table
        .inner_join(entries::table)
        .inner_join(accounts::table)
        .filter(entries::reference.gt(after))
        .filter(entries::reference.le(last))
        .filter(entries::kind.eq_any(["payout_reserved", "payout_settled", "payout_released"]))
        .select((entries::reference, entries::kind, accounts::key, postings::amount));
    let rows: Vec<(String, String, String, i64)> = on!(conn, c => page.load(c).await)?;
    let mut entries: HashMap<String, BTreeMap<String, Postings>> = HashMap::new();
    for (reference, kind, key, amount) in rows {
        let postings = entries.entry(reference).or_default().entry(kind).or_default();
        *postings.entry(key).or_default() += i128::from(amount);
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
    let mut before: HashMap<String, Postings> = HashMap::new();
    for row in c.load_file::<Row>(statement!("payouts/balances_before.sql"), binds).await? {
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
