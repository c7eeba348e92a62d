//! Answers of the ledger that never came: the log decides.
use std::sync::Arc;
use std::time::Duration;

use crate::ledger::LedgerBehavior;
use crate::miner::{error, share_ok};
use crate::pool::{Pool, with_pool};
use crate::protocol::ready;

const LOST: [LedgerBehavior; 4] = [
    LedgerBehavior::Breaks { written: false },
    LedgerBehavior::Loses { written: false },
    LedgerBehavior::Breaks { written: true },
    LedgerBehavior::Loses { written: true },
];

fn is_written(behavior: LedgerBehavior) -> bool {
    matches!(behavior, LedgerBehavior::Breaks { written: true } | LedgerBehavior::Loses { written: true })
}

fn written() -> u64 {
    LOST.iter().filter(|behavior| is_written(**behavior)).count() as u64
}

fn offered(pool: &Pool) -> usize {
    pool.offered.lock().unwrap().iter().map(|offer| offer.0.len()).sum()
}

#[test]
fn a_share_whose_answer_was_lost_is_acknowledged_if_it_is_in_the_log_and_may_come_again_if_not() {
    with_pool(
        |_| (),
        async |pool| {
            let (mut miner, job) = ready(pool).await;
            for (n, behavior) in (0..).zip(LOST) {
                pool.ledger.set(behavior);
                miner.send(&job.submit(2, n)).await;
                let expected = if is_written(behavior) { share_ok(2) } else { error(2, "server busy, retry") };
                assert_eq!(miner.line().await, expected, "{behavior:?}");
                pool.ledger.set(LedgerBehavior::Writes);
                miner.send(&job.submit(3, n)).await;
                let expected = if is_written(behavior) { error(3, "duplicate share") } else { share_ok(3) };
                assert_eq!(miner.line().await, expected, "{behavior:?}");
            }
            assert_eq!(pool.ledger.shares().len(), LOST.len(), "each of them once");
            assert_eq!(offered(pool), LOST.len(), "all of them may be checked");
            assert_eq!(pool.metrics.shares_accepted_total.get(), LOST.len() as u64);
            assert_eq!(pool.metrics.shares_in_doubt.get(), 0);
        },
    );
}

#[test]
fn the_log_decides_also_after_the_miner_was_told_that_nobody_knows() {
    with_pool(
        |_| (),
        async |pool| {
            let (mut miner, job) = ready(pool).await;
            pool.ledger.set_blind(true);
            for (n, behavior) in (0..).zip(LOST) {
                pool.ledger.set(behavior);
                miner.send(&job.submit(10 + n, n)).await;
                pool.until("the doubt", |pool| pool.metrics.shares_in_doubt.get() == n + 1).await;
            }
            pool.ledger.set(LedgerBehavior::Writes);
            for n in 0..LOST.len() as u64 {
                miner.send(&job.submit(20 + n, n)).await;
                assert_eq!(miner.line().await, error(20 + n, "duplicate share"), "it is reserved meanwhile");
            }
            let mut told: Vec<String> = Vec::new();
            for _ in LOST {
                told.push(miner.line().await);
            }
            told.sort();
            let expected: Vec<String> = (10..14).map(|id| error(id, "share outcome unknown")).collect();
            assert_eq!(told, expected);
            pool.ledger.set_blind(false);
            pool.until("the decision", |pool| pool.metrics.shares_in_doubt.get() == 0).await;
            assert_eq!(pool.metrics.shares_accepted_total.get(), written());
            for (n, behavior) in (0..).zip(LOST) {
                miner.send(&job.submit(30 + n, n)).await;
                let expected = if is_written(behavior) { error(30 + n, "duplicate share") } else { share_ok(30 + n) };
                assert_eq!(miner.line().await, expected, "{behavior:?}");
            }
            assert_eq!(pool.ledger.shares().len(), LOST.len(), "each of them once");
            assert_eq!(offered(pool), LOST.len());
        },
    );
}

#[test]
fn a_connection_that_drains_is_told_what_became_of_its_shares() {
    with_pool(
        |_| (),
        async |pool| {
            let (mut miner, job) = ready(pool).await;
            pool.ledger.set_blind(true);
            pool.ledger.set(LedgerBehavior::Loses { written: true });
            miner.send(&job.submit(2, 0)).await;
            pool.until("the doubt", |pool| pool.metrics.shares_in_doubt.get() == 1).await;
            let ledger = Arc::clone(&pool.ledger);
            let sees_again = async { ledger.set_blind(false) };
            let (answer, (), ()) = tokio::join!(miner.line(), pool.drain(Duration::from_secs(8)), sees_again);
            assert_eq!(answer, share_ok(2));
        },
    );
}
