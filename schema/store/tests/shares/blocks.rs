//! Blocks from find to credit and reversal.
use accounting::{Entry, EntryKind};
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt;
use store::StoreError;
use store::blocks::{Block, BlockState, BlockWeight};
use store::ledger::Balances;
use units::{Amount, BlockRowId, Height, HostId, MinerId, Seq, Work};

use crate::common::log::{EPOCH, Log, WINDOW, at, hash, line};
use crate::common::money::{entry, lease};
use crate::common::{TestDb, for_each_database};

mod weights;

async fn find(db: &TestDb, n: u64) -> Block {
    db.store.block_find(&hash(n)).await.unwrap().unwrap()
}

/// A log with shares of two miners and block 1, found by bob.
async fn with_block(db: &TestDb) -> (Log, i64) {
    let mut log = Log::new(&db.store, "host", vec![line("alice", "a"), line("bob", "b")]).await;
    log.share(0, EPOCH, 50);
    log.share(0, EPOCH + 1, 50);
    let share = log.share(1, EPOCH + 2, 25);
    db.store.fold(log.candidate(&hash(1), 1, share, EPOCH + 2)).await.unwrap();
    (log, lease(db, "treasury").await)
}

/// One line of an allocation.
async fn weight(db: &TestDb, address: &str, credit: u64) -> BlockWeight {
    let miner = db.number(&format!("SELECT id AS n FROM miners WHERE address = '{address}'"));
    BlockWeight {
        miner: MinerId(miner),
        verified: Work::ZERO,
        provisional: Work::new(credit).unwrap(),
        weight: credit.cast_signed(),
        credit: Amount::from_atoms(credit).unwrap(),
    }
}

fn seen(position: u64) -> Vec<(HostId, Seq)> {
    vec![(HostId(1), Seq(position))]
}

/// Block 1 with its weights stored.
async fn with_weights(db: &TestDb) -> (Block, i64) {
    let (_, epoch) = with_block(db).await;
    let block = find(db, 1).await;
    db.store.block_move(epoch, block.id, BlockState::Candidate, BlockState::Seen).await.unwrap();
    let weights = vec![weight(db, "alice", 80).await, weight(db, "bob", 20).await];
    db.store.block_weights_store(epoch, block.id, weights, "digest", seen(4)).await.unwrap();
    (block, epoch)
}

fn credit(n: u32) -> Entry {
    let postings = [("chain_rewards", -105), ("payable:alice", 80), ("payable:bob", 20), ("pool_fee", 5)];
    entry(EntryKind::BlockCredited, &format!("block:{n}"), &postings)
}

fn is_conflict<T: std::fmt::Debug>(outcome: Result<T, StoreError>) -> bool {
    matches!(outcome, Err(StoreError::Conflict { .. }))
}

#[test]
fn a_candidate_becomes_a_block_with_its_price_fixed() {
    for_each_database(async |db| {
        let (log, _) = with_block(db).await;
        let block = find(db, 1).await;
        assert_eq!((block.state, block.height), (BlockState::Candidate, Height::new(1_000)));
        assert_eq!((block.finder.as_deref(), block.worker.as_deref()), (Some("bob"), Some("b")));
        assert_eq!((block.difficulty, block.reward), (log.template.difficulty, log.template.reward));
        assert_eq!((block.found_at, block.policy), (at(EPOCH + 2), log.policy));
        assert_eq!(block.window_start, at(EPOCH + 2).minus(WINDOW));
        assert_eq!((block.round_work.get(), block.round_started_at), (125, at(EPOCH)));
        assert_eq!((block.credits, block.reversals, block.credited_at), (0, 0, None));
        assert_eq!((block.displaced_at, block.hold_reason), (None, None));
        assert!(db.store.block_find("none").await.unwrap().is_none());
    });
}

#[test]
fn a_block_is_priced_by_the_policy_under_which_its_template_was_logged() {
    for_each_database(async |db| {
        let mut log = Log::new(&db.store, "host", vec![line("alice", "a")]).await;
        let (before, after) = (r#"{"window_ms":600000}"#, r#"{"window_ms":60000}"#);
        let before = db.store.policy_ensure(before, at(EPOCH)).await.unwrap();
        let after = db.store.policy_ensure(after, at(EPOCH)).await.unwrap();
        log.policy = before;
        let share = log.share(0, EPOCH, 10);
        db.store.fold(log.step()).await.unwrap();
        log.policy = after;
        db.store.fold(log.candidate(&hash(1), 0, share, EPOCH)).await.unwrap();
        let priced = |block: &Block| (block.policy, block.window_start);
        let expected = (before, at(EPOCH).minus(Duration::from_secs(600)));
        assert_eq!(priced(&find(db, 1).await), expected);
        // The same for a block that no candidate explains.
        let (epoch, root) = (lease(db, "treasury").await, log.template.merkle_root.clone());
        let recognised =
            db.store.block_insert_unexplained(epoch, log.host, &hash(2), 1, &root, at(EPOCH), after, WINDOW).await;
        assert!(recognised.unwrap());
        assert_eq!(priced(&find(db, 2).await), expected);
    });
}

#[test]
fn a_round_is_the_work_since_the_block_before() {
    for_each_database(async |db| {
        let (mut log, _) = with_block(db).await;
        log.share(0, EPOCH + 3, 7);
        db.store.fold(log.step()).await.unwrap();
        let share = log.share(0, EPOCH + 4, 8);
        db.store.fold(log.candidate(&hash(2), 0, share, EPOCH + 4)).await.unwrap();
        let block = find(db, 2).await;
        assert_eq!((block.round_work.get(), block.round_started_at), (15, at(EPOCH + 2)));
    });
}

#[test]
fn a_candidate_told_twice_is_one_block() {
    for_each_database(async |db| {
        let (mut log, _) = with_block(db).await;
        let share = log.share(0, EPOCH + 5, 1);
        db.store.fold(log.candidate(&hash(1), 0, share, EPOCH + 5)).await.unwrap();
        let block = find(db, 1).await;
        assert_eq!((block.finder.as_deref(), block.found_at), (Some("bob"), at(EPOCH + 2)));
        assert_eq!(db.number("SELECT COUNT(*) AS n FROM block_windows"), 1);
        assert_eq!(db.number("SELECT closed_seq AS n FROM hosts"), 4);
    });
}

#[test]
fn an_unexplained_block_ends_its_window_where_the_log_is_folded() {
    for_each_database(async |db| {
        let (mut log, epoch) = with_block(db).await;
        let root = log.template.merkle_root.clone();
        let insert = async |hash: &str, root: &str, epoch: i64| {
            db.store
                .block_insert_unexplained(epoch, log.host, hash, u64::MAX, root, at(EPOCH + 3), log.policy, WINDOW)
                .await
        };
        assert!(insert(&hash(2), &root, epoch).await.unwrap());
        assert!(!insert(&hash(2), &root, epoch).await.unwrap());
        assert!(!insert(&hash(1), &root, epoch).await.unwrap());
        assert!(matches!(insert(&hash(3), "unknown", epoch).await, Err(StoreError::Damaged { .. })));
        assert!(matches!(insert(&hash(3), &root, epoch + 1).await, Err(StoreError::Fenced { .. })));
        let block = find(db, 2).await;
        assert_eq!((block.state, block.finder, block.line), (BlockState::Seen, None, None));
        assert_eq!(db.number("SELECT MAX(block_id) AS n FROM block_windows"), block.id.0);
        assert_eq!(db.number(&format!("SELECT end_seq AS n FROM block_windows WHERE block_id = {}", block.id)), 4);
        assert_eq!(db.number("SELECT closed_seq AS n FROM hosts"), 4);

        let end = format!("SELECT end_seq AS n FROM block_windows WHERE block_id = {}", block.id);

        // The share came into the log when the window was closed: nobody finds a block with work that it does not count.
        let share = log.share(0, EPOCH + 4, 9);
        db.store.fold(log.candidate(&hash(2), 0, share, EPOCH + 4)).await.unwrap();
        assert_eq!((find(db, 2).await.finder, db.number(&end)), (None, 4));

        // The candidate of a share that the window has turns up later: only the finder is filled in.
        db.store.fold(log.candidate(&hash(2), 0, 2, EPOCH + 4)).await.unwrap();
        let block = find(db, 2).await;
        assert_eq!(
            (block.state, block.finder.as_deref(), block.found_at),
            (BlockState::Seen, Some("alice"), at(EPOCH + 3))
        );
        assert_eq!(db.number(&end), 4);
    });
}

#[test]
fn a_block_moves_only_from_where_it_was_seen() {
    for_each_database(async |db| {
        let (_, epoch) = with_block(db).await;
        let block = find(db, 1).await.id;
        let (from, to) = (BlockState::Candidate, BlockState::Submitted);
        assert!(matches!(db.store.block_move(epoch - 1, block, from, to).await, Err(StoreError::Fenced { .. })));
        db.store.block_move(epoch, block, from, to).await.unwrap();
        assert!(is_conflict(db.store.block_move(epoch, block, from, to).await));
        assert!(is_conflict(db.store.block_move(epoch, BlockRowId(99), from, to).await));
        assert_eq!(find(db, 1).await.state, to);
    });
}

#[test]
fn notes_are_set_and_cleared() {
    for_each_database(async |db| {
        let (_, epoch) = with_block(db).await;
        let block = find(db, 1).await.id;
        db.store.block_displaced(epoch, block, Some(Height::new(1_005))).await.unwrap();
        db.store.block_hold(epoch, block, Some("host `b` is behind")).await.unwrap();
        let noted = find(db, 1).await;
        assert_eq!(
            (noted.displaced_at, noted.hold_reason.as_deref()),
            (Some(Height::new(1_005)), Some("host `b` is behind"))
        );
        db.store.block_displaced(epoch, block, None).await.unwrap();
        let noted = find(db, 1).await;
        assert_eq!((noted.displaced_at, noted.hold_reason.is_some()), (None, true), "each note is its own");
        db.store.block_hold(epoch, block, None).await.unwrap();
        assert_eq!(find(db, 1).await.hold_reason, None);
        assert!(is_conflict(db.store.block_hold(epoch, BlockRowId(99), None).await));
    });
}

#[test]
fn open_blocks_are_those_that_may_still_change() {
    for_each_database(async |db| {
        let (_, epoch) = with_block(db).await;
        let block = find(db, 1).await.id;
        let listed = async || !db.store.block_list_open().await.unwrap().is_empty();
        assert!(listed().await);
        assert!(is_conflict(db.store.block_finish(epoch, block, at(EPOCH)).await), "it is not credited");
        db.store.block_move(epoch, block, BlockState::Candidate, BlockState::Credited).await.unwrap();
        assert!(listed().await, "however deep it is by now, nobody has looked");
        db.store.block_finish(epoch, block, at(EPOCH)).await.unwrap();
        assert!(!listed().await);
        db.sql("UPDATE blocks SET final_at = NULL").unwrap();
        db.store.block_move(epoch, block, BlockState::Credited, BlockState::Lost).await.unwrap();
        assert!(!listed().await);
    });
}

#[test]
fn a_block_is_credited_once() {
    for_each_database(async |db| {
        let (block, epoch) = with_weights(db).await;
        let all = (0..3).map(|_| db.store.block_credit(epoch, block.id, credit(1), at(EPOCH + 9)));
        let mut all: Vec<bool> = futures_util::future::join_all(all).await.into_iter().map(Result::unwrap).collect();
        all.sort_unstable();
        assert_eq!(all, [false, false, true]);
        let credited = find(db, 1).await;
        assert_eq!((credited.state, credited.credits), (BlockState::Credited, 1));
        assert_eq!(credited.credited_at, Some(at(EPOCH + 9)));
        assert_eq!(db.store.account_balance("payable:alice").await.unwrap(), 80);
        // Another entry for a block that is credited: neither is true.
        assert!(is_conflict(db.store.block_credit(epoch, block.id, credit(2), at(EPOCH)).await));
        assert!(matches!(
            db.store.block_credit(epoch + 1, block.id, credit(1), at(EPOCH)).await,
            Err(StoreError::Fenced { .. })
        ));
        assert_eq!(db.store.account_balance("payable:alice").await.unwrap(), 80);
    });
}

#[test]
fn a_reversal_sees_the_balances_and_is_booked_once() {
    for_each_database(async |db| {
        let (block, epoch) = with_weights(db).await;
        // The pool's part goes to an address that has mined nothing.
        let postings = [("chain_rewards", -105), ("payable:alice", 80), ("payable:bob", 20), ("payable:owner", 5)];
        let credited = entry(EntryKind::BlockCredited, "block:1", &postings);
        db.store.block_credit(epoch, block.id, credited, at(EPOCH + 9)).await.unwrap();
        // Most of it is being paid to alice already.
        let reserve = entry(EntryKind::PayoutReserved, "p", &[("payable:alice", -70), ("inflight:alice", 70)]);
        db.store.entry_post(epoch, reserve, at(EPOCH + 10)).await.unwrap();
        let build = |balances: &Balances| {
            let balances: Vec<_> = balances.iter().map(|(account, held)| (account.to_string(), held)).collect();
            let expected = [("chain_rewards", -105), ("payable:alice", 10), ("payable:bob", 20), ("payable:owner", 5)];
            assert_eq!(balances, expected.map(|(key, balance)| (key.to_owned(), balance)));
            let postings = [
                ("chain_rewards", 105),
                ("payable:alice", -10),
                ("payable:bob", -20),
                ("payable:owner", -5),
                ("orphan_loss", -70),
            ];
            entry(EntryKind::BlockReversed, "block:1", &postings)
        };
        db.store.block_reverse(epoch, block.id, "block:1", at(EPOCH + 11), build).await.unwrap();
        assert!(is_conflict(db.store.block_reverse(epoch, block.id, "block:1", at(EPOCH + 11), build).await));
        let reversed = find(db, 1).await;
        assert_eq!((reversed.state, reversed.credits, reversed.reversals), (BlockState::Reversed, 1, 1));
        assert_eq!(db.store.account_balance("orphan_loss").await.unwrap(), -70);
        assert_eq!(db.store.account_balance("inflight:alice").await.unwrap(), 70);

        // It came back to the main chain.
        assert!(db.store.block_credit(epoch, block.id, credit(2), at(EPOCH + 20)).await.unwrap());
        assert_eq!(find(db, 1).await.credits, 2);
    });
}

#[test]
fn a_policy_is_stored_once() {
    for_each_database(async |db| {
        let first = db.store.policy_ensure("{\"fee\":1}", at(EPOCH)).await.unwrap();
        assert_eq!(db.store.policy_ensure("{\"fee\":1}", at(EPOCH + 1)).await.unwrap(), first);
        let second = db.store.policy_ensure("{\"fee\":2}", at(EPOCH)).await.unwrap();
        assert_ne!(first, second);
        assert_eq!(db.store.policy_get(second).await.unwrap(), "{\"fee\":2}");
        assert!(is_conflict(db.store.policy_get(units::PolicyId(99)).await));
    });
}

#[test]
fn a_panic_in_a_transaction_undoes_it_and_reaches_the_caller() {
    for_each_database(async |db| {
        let (block, epoch) = with_weights(db).await;
        db.store.block_credit(epoch, block.id, credit(1), at(EPOCH + 9)).await.unwrap();
        let reversal =
            db.store.block_reverse(epoch, block.id, "block:1", at(EPOCH + 11), |_| panic!("it cannot be built"));
        let panic = AssertUnwindSafe(reversal).catch_unwind().await.unwrap_err();
        assert_eq!(panic.downcast_ref(), Some(&"it cannot be built"));
        let credited = find(db, 1).await;
        assert_eq!((credited.state, credited.reversals), (BlockState::Credited, 0));
        // The writer that was lost with it is replaced.
        db.store.block_hold(epoch, block.id, Some("look at it")).await.unwrap();
    });
}
