//! What the API shows, on both databases.
#![expect(clippy::unwrap_used, reason = "what a test needs and does not get fails it")]
mod common;

use accounting::EntryKind;
use std::collections::BTreeMap;
use std::time::Duration;

use common::log::{EPOCH, Log, at, hash, line};
use common::money::{NOW, atoms, entry, fund, intent, intent_id, later, lease, line as paid, reserved, settled};
use common::{TestDb, for_each_database};
use store::blocks::BlockState;
use store::fold::IdentityKey;
use store::payouts::{IntentChange, IntentState};
use store::reads::{BlockPage, PoolTotals};
use units::{Height, Minute};

/// Alice with two workers, bob with one; rejects, verdicts, and blocks 1 (alice) and 2 (bob).
async fn mined(db: &TestDb) -> (Log, i64) {
    let lines = vec![line("alice", "a1"), line("alice", "a2"), line("bob", "b")];
    let mut log = Log::new(&db.store, "host", lines).await;
    let first = log.share(0, EPOCH, 50);
    log.share(1, EPOCH + 1, 30);
    let other = log.share(2, EPOCH + 2, 20);
    log.verdict(first, "verified");
    log.verdict(other, "rejected");
    log.reject(0, EPOCH + 2, "low difficulty share", 3);
    db.store.fold(log.candidate(&hash(1), 0, first, EPOCH + 2)).await.unwrap();
    log.template = common::log::template(1_001);
    log.template.seen_at = at(EPOCH + 4);
    let share = log.share(2, EPOCH + 4, 7);
    db.store.fold(log.candidate(&hash(2), 2, share, EPOCH + 4)).await.unwrap();
    let epoch = lease(db, "treasury").await;
    (log, epoch)
}

async fn heights(db: &TestDb, page: BlockPage) -> (Vec<u64>, u64) {
    let (blocks, total) = db.store.block_list(page).await.unwrap();
    (blocks.iter().map(|block| block.height.get()).collect(), total)
}

#[test]
fn an_empty_database_has_zeros_and_no_times() {
    for_each_database(async |db| {
        let totals = db.store.pool_totals().await.unwrap();
        assert_eq!(format!("{totals:?}"), format!("{:?}", PoolTotals::default()));
        assert_eq!(db.store.work_since(Minute(0)).await.unwrap(), []);
        assert_eq!(db.store.active_count(Minute(0)).await.unwrap(), (0, 0));
        let round = db.store.round().await.unwrap();
        assert_eq!((round.work, round.started_at), (units::Work::ZERO, None), "nobody has begun one");
        assert_eq!(db.store.block_pace().await.unwrap(), None);
        assert_eq!(heights(db, BlockPage { limit: 10, ..BlockPage::default() }).await, (vec![], 0));
        assert_eq!(db.store.payout_list(0, 10).await.unwrap().1, 0);
        assert!(db.store.payout_list_of("alice", 10).await.unwrap().is_empty());
        assert!(db.store.miner_summary("alice", Minute(0)).await.unwrap().is_none());
    });
}

#[test]
fn totals_count_shares_verdicts_and_blocks_once() {
    for_each_database(async |db| {
        let (_, epoch) = mined(db).await;
        let totals = db.store.pool_totals().await.unwrap();
        assert_eq!((totals.shares, totals.rejects, totals.verified, totals.refuted), (4, 3, 1, 1));
        assert_eq!(totals.last_share_at, Some(at(EPOCH + 4)));
        assert_eq!((totals.blocks, totals.orphaned), (0, 0), "a candidate is not a block yet");
        for (n, state) in [(1, BlockState::Seen), (2, BlockState::Lost)] {
            let block = db.store.block_find(&hash(n)).await.unwrap().unwrap();
            db.store.block_move(epoch, block.id, BlockState::Candidate, state).await.unwrap();
        }
        let totals = db.store.pool_totals().await.unwrap();
        assert_eq!((totals.blocks, totals.orphaned), (1, 1));
    });
}

#[test]
fn totals_follow_the_money_of_a_payout() {
    for_each_database(async |db| {
        let epoch = lease(db, "treasury").await;
        let postings = [("chain_rewards", -2_010), ("payable:A", 1_000), ("payable:B", 1_000), ("pool_fee", 10)];
        db.store.entry_post(epoch, entry(EntryKind::BlockCredited, "block:1", &postings), NOW).await.unwrap();
        let intent = intent(&intent_id(1), vec![paid("A", 900, 870), paid("B", 600, 590)]);
        db.store.intent_reserve(epoch, intent.clone(), reserved(&intent), NOW).await.unwrap();
        let totals = db.store.pool_totals().await.unwrap();
        assert_eq!((totals.payouts_open, totals.payouts_open_amount.atoms()), (1, 1_500));
        assert_eq!((totals.unpaid_miners, totals.unpaid.atoms()), (2, 500));
        assert_eq!((totals.fees.atoms(), totals.paid.atoms(), totals.last_payout_at), (10, 0, None));

        let sent = IntentChange {
            state: Some(IntentState::Broadcast),
            sent: Some((chain::TxId([0xaa; 32]), atoms(40), later(5))),
            ..IntentChange::default()
        };
        db.store.intent_change(epoch, &intent.id, IntentState::Reserved, sent).await.unwrap();
        let (from, to) = (IntentState::Broadcast, IntentState::Settled);
        db.store.intent_close(epoch, &intent.id, from, to, settled(&intent, 40), later(9)).await.unwrap();
        let totals = db.store.pool_totals().await.unwrap();
        assert_eq!((totals.payouts_open, totals.paid.atoms()), (0, 1_460));
        // What payouts leave behind is no fee of a block.
        assert_eq!((totals.fees.atoms(), totals.last_payout_at), (10, Some(later(5))));
    });
}

#[test]
fn recent_work_and_people_are_those_since_the_minute() {
    for_each_database(async |db| {
        mined(db).await;
        let since = async |minute: u32| {
            let work = db.store.work_since(Minute(minute)).await.unwrap();
            let work: Vec<_> = work.into_iter().map(|(first, work)| (first.0 - EPOCH, work.get())).collect();
            (work, db.store.active_count(Minute(minute)).await.unwrap())
        };
        assert_eq!(since(EPOCH).await, (vec![(0, 50), (1, 30), (2, 27)], (2, 3)));
        assert_eq!(since(EPOCH + 1).await, (vec![(1, 30), (2, 27)], (2, 2)));
        assert_eq!(since(EPOCH + 3).await, (vec![(4, 7)], (1, 1)), "what was before does not count");
        assert_eq!(since(EPOCH + 5).await, (vec![], (0, 0)));
    });
}

#[test]
fn the_pools_recent_work_is_that_of_its_miners() {
    for_each_database(async |db| {
        let (mut log, _) = mined(db).await;
        // The same worker from another place, and one that comes back.
        log.lines.push(IdentityKey { origin: [8; 16], ..line("alice", "a2") });
        log.share(3, EPOCH, 4);
        log.share(0, EPOCH + 7, 9);
        db.store.fold(log.step()).await.unwrap();
        for since in [EPOCH, EPOCH + 1, EPOCH + 2, EPOCH + 6, EPOCH + 8].map(Minute) {
            let mut parts: BTreeMap<Minute, u64> = BTreeMap::new();
            for address in ["alice", "bob"] {
                for worker in db.store.miner_summary(address, since).await.unwrap().unwrap().workers {
                    assert_eq!(worker.recent_since.is_some(), worker.recent_work.get() > 0);
                    let Some(first) = worker.recent_since else { continue };
                    *parts.entry(first).or_default() += worker.recent_work.get();
                }
            }
            let pool = db.store.work_since(since).await.unwrap().into_iter().map(|(first, work)| (first, work.get()));
            assert_eq!(pool.collect::<Vec<_>>(), parts.into_iter().collect::<Vec<_>>(), "{since:?}");
        }
    });
}

#[test]
fn a_round_begins_with_the_newest_block() {
    for_each_database(async |db| {
        let (mut log, _) = mined(db).await;
        log.share(0, EPOCH + 6, 11);
        db.store.fold(log.step()).await.unwrap();
        let round = db.store.round().await.unwrap();
        assert_eq!((round.work.get(), round.started_at), (11, Some(at(EPOCH + 4))));
    });
}

#[test]
fn the_pace_of_the_chain_is_time_by_height() {
    for_each_database(async |db| {
        let (mut log, _) = mined(db).await;
        // Five heights on, of which the pool saw the last only.
        log.template = common::log::template(1_006);
        log.template.seen_at = at(EPOCH + 12);
        log.share(0, EPOCH + 12, 1);
        db.store.fold(log.step()).await.unwrap();
        assert_eq!(db.store.block_pace().await.unwrap(), Some(Duration::from_secs(12 * 60) / 6));
    });
}

#[test]
fn blocks_are_paged_and_filtered_by_state_and_finder() {
    for_each_database(async |db| {
        let (_, epoch) = mined(db).await;
        let block = db.store.block_find(&hash(1)).await.unwrap().unwrap();
        db.store.block_move(epoch, block.id, BlockState::Candidate, BlockState::Seen).await.unwrap();
        let all = BlockPage { limit: 10, ..BlockPage::default() };
        assert_eq!(heights(db, all.clone()).await, (vec![1_001, 1_000], 2));
        assert_eq!(heights(db, BlockPage { limit: 1, ..all.clone() }).await, (vec![1_001], 2));
        assert_eq!(heights(db, BlockPage { offset: 1, ..all.clone() }).await, (vec![1_000], 2));
        assert_eq!(heights(db, BlockPage { offset: 9, ..all.clone() }).await, (vec![], 2));
        let of = |finder: &str| BlockPage { finder: Some(finder.into()), ..all.clone() };
        assert_eq!(heights(db, of("alice")).await, (vec![1_000], 1));
        assert_eq!(heights(db, of("ali")).await, (vec![], 0), "whole addresses only");
        let states = vec![BlockState::Seen, BlockState::Credited];
        assert_eq!(heights(db, BlockPage { states: states.clone(), ..all.clone() }).await, (vec![1_000], 1));
        assert_eq!(heights(db, BlockPage { states: states.clone(), ..of("alice") }).await, (vec![1_000], 1));
        assert_eq!(heights(db, BlockPage { states, ..of("bob") }).await, (vec![], 0));
    });
}

#[test]
fn payouts_are_listed_with_what_recipients_get() {
    for_each_database(async |db| {
        let epoch = lease(db, "treasury").await;
        fund(db, epoch, "f1", "A", 2_000, NOW).await;
        fund(db, epoch, "f2", "B", 600, NOW).await;
        let first = intent(&intent_id(1), vec![paid("A", 900, 870), paid("B", 600, 590)]);
        let mut second = intent(&intent_id(2), vec![paid("A", 100, 80)]);
        second.created_at = later(60);
        for intent in [&first, &second] {
            db.store.intent_reserve(epoch, intent.clone(), reserved(intent), NOW).await.unwrap();
        }
        let trouble = IntentChange { attention: Some(Some("look".into())), ..IntentChange::default() };
        db.store.intent_change(epoch, &second.id, IntentState::Reserved, trouble).await.unwrap();

        let (rows, total) = db.store.payout_list(0, 10).await.unwrap();
        let shown: Vec<_> =
            rows.iter().map(|row| (row.intent.as_str(), row.net.atoms(), row.fee.atoms(), row.recipients)).collect();
        assert_eq!(shown, [(second.id.as_str(), 80, 40, 1), (first.id.as_str(), 1_460, 40, 2)]);
        assert_eq!((total, rows[0].attention.as_deref(), rows[1].attention.as_deref()), (2, Some("look"), None));
        assert_eq!(db.store.payout_list(1, 10).await.unwrap().0[0].intent, first.id);

        let own = db.store.payout_list_of("B", 10).await.unwrap();
        assert_eq!((own.len(), own[0].net.atoms(), own[0].fee.atoms(), own[0].recipients), (1, 590, 10, 1));
        assert_eq!(db.store.payout_list_of("A", 1).await.unwrap().len(), 1);
    });
}

#[test]
fn a_miner_sees_its_workers_and_their_recent_work() {
    for_each_database(async |db| {
        let (_, epoch) = mined(db).await;
        let alice = db.store.miner_summary("alice", Minute(EPOCH + 1)).await.unwrap().unwrap();
        let workers: Vec<_> = alice
            .workers
            .iter()
            .map(|row| (row.worker.as_str(), row.shares, row.rejects, row.recent_work.get(), row.last_share_at))
            .collect();
        let expected = [("a2", 1, 0, 30, Some(at(EPOCH + 1))), ("a1", 1, 3, 0, Some(at(EPOCH)))];
        assert_eq!((workers.as_slice(), alice.first_share_at), (&expected[..], Some(at(EPOCH))));
        // Credited without a share of its own.
        fund(db, epoch, "f1", "carol", 5, NOW).await;
        let carol = db.store.miner_summary("carol", Minute(0)).await.unwrap().unwrap();
        assert!(carol.workers.is_empty() && carol.first_share_at.is_none());
        assert!(db.store.miner_summary("nobody", Minute(0)).await.unwrap().is_none());
        assert_eq!(db.store.block_find(&hash(1)).await.unwrap().unwrap().height, Height::new(1_000));
    });
}
