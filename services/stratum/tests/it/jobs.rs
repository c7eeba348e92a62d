//! Jobs: for how long shares of one count, and when another one replaces it.
use std::time::Duration;

use crate::ledger::LedgerBehavior;
use crate::miner::{Job, address, error, login_line, login_ok, share_ok};
use crate::pool::{template, with_pool};

use crate::protocol::ready;

#[test]
fn stale_jobs_say_what_they_are_stale_against() {
    with_pool(
        |setup| setup.settings.stale_grace = Duration::ZERO,
        async |pool| {
            let (mut miner, job) = ready(pool).await;
            let (old, new) = (template(41_237), template(41_238));
            pool.mine(&new);
            let next = miner.job().await;
            assert_eq!((next.height, next.id == job.id), (41_238, false));
            miner.send(&job.submit(2, 0)).await;
            let answer = miner.line().await;
            let expected = format!(
                r#"{{"id":2,"error":"stale job: template {:016x} exceeded stale grace (current={:016x}, stale_for="#,
                old.uid(),
                new.uid()
            );
            assert!(answer.starts_with(&expected) && answer.ends_with(r#", stale_grace=0ms)"}"#), "{answer}");
            // A second login is another job on the same template: the one before is superseded.
            miner.send(&login_line(3, &address(1), "rig-07")).await;
            assert_eq!(miner.line().await, login_ok(3));
            miner.job().await;
            miner.send(&next.submit(4, 0)).await;
            let answer = miner.line().await;
            let expected = r#"{"id":4,"error":"stale job: assignment superseded by newer difficulty (stale_for="#;
            assert!(answer.starts_with(expected), "{answer}");
        },
    );
}

#[test]
fn a_share_of_the_previous_template_counts_within_the_grace() {
    with_pool(
        |_| (),
        async |pool| {
            let (mut miner, job) = ready(pool).await;
            pool.mine(&template(41_238));
            miner.job().await;
            miner.send(&job.submit(2, 0)).await;
            assert_eq!(miner.line().await, share_ok(2));
            assert_eq!(pool.ledger.shares()[0].template.height.get(), 41_237);
        },
    );
}

#[test]
fn a_job_that_shares_count_for_is_never_forgotten_however_many_come_after_it() {
    const JOBS: usize = 64;
    with_pool(
        |setup| setup.settings.stale_grace = Duration::from_secs(3),
        async |pool| {
            let (mut miner, first) = ready(pool).await;
            for id in 2..=JOBS as u64 {
                miner.send(&login_line(id, &address(1), "rig-07")).await;
                assert_eq!(miner.line().await, login_ok(id));
                miner.job().await;
            }
            miner.send(&login_line(100, &address(1), "rig-07")).await;
            assert_eq!(miner.line().await, login_ok(100));
            miner.send(&first.submit(101, 0)).await;
            assert_eq!(miner.line().await, share_ok(101), "instead of the next job");
            // It comes when the first is over.
            let next = miner.job().await;
            miner.send(&next.submit(102, 0)).await;
            assert_eq!(miner.line().await, share_ok(102));
            assert!(pool.metrics.jobs_withheld_total.get() > 0);
        },
    );
}

#[test]
fn a_second_login_takes_over_and_the_job_before_belongs_to_the_first() {
    with_pool(
        |_| (),
        async |pool| {
            let (mut miner, job) = ready(pool).await;
            miner.send(&login_line(2, &address(2), "other")).await;
            assert_eq!(miner.line().await, login_ok(2));
            let second = miner.job().await;
            assert_ne!(second.id, job.id);
            miner.send(&job.submit(3, 0)).await;
            assert_eq!(miner.line().await, error(3, "job not assigned to this miner"));
            miner.send(&second.submit(4, 0)).await;
            assert_eq!(miner.line().await, share_ok(4));
            let share = &pool.ledger.shares()[0];
            assert_eq!((&*share.line.address, &*share.line.worker), (address(2).as_str(), "other"));
            assert_eq!(pool.metrics.stratum_sessions.get(), 1);
        },
    );
}

#[test]
fn a_job_with_many_shares_is_replaced_and_none_of_them_is_taken_twice() {
    with_pool(
        |setup| setup.settings.submit_rate_max = 1_000_000,
        async |pool| {
            let (mut miner, job) = ready(pool).await;
            let mut next = None;
            for thousand in 0..50 {
                let all: String = (0..1000).map(|n| job.submit(n, thousand * 1000 + n) + "\n").collect();
                miner.send_bytes(all.as_bytes()).await;
                for n in 0..1000 {
                    let mut line = miner.line().await;
                    if line.contains(r#""method":"job""#) {
                        assert!(next.replace(Job::of(&line)).is_none(), "one new job");
                        line = miner.line().await;
                    }
                    assert_eq!(line, share_ok(n));
                }
            }
            let next = next.expect("a new job");
            assert!(next.first > job.last || next.last < job.first);
            for (n, nonce) in [0, 1, 25_000, 49_999].into_iter().enumerate() {
                miner.send(&job.submit(n as u64, nonce)).await;
                assert_eq!(miner.line().await, error(n as u64, "duplicate share"));
            }
            miner.send(&next.submit(9, 0)).await;
            assert_eq!(miner.line().await, share_ok(9));
        },
    );
}

#[test]
fn a_job_does_not_wait_for_a_submit_and_a_line_in_two_halves_is_not_lost_to_it() {
    with_pool(
        |_| (),
        async |pool| {
            let (mut miner, job) = ready(pool).await;
            pool.ledger.set(LedgerBehavior::Holds);
            miner.send(&job.submit(2, 0)).await;
            pool.until("the submit under way", |pool| pool.ledger.held() == 1).await;
            let submit = job.submit(3, 1);
            let (first, second) = submit.split_at(30);
            miner.send_bytes(first.as_bytes()).await;
            pool.mine(&template(41_238));
            assert_eq!(miner.job().await.height, 41_238, "while the submit is still under way");
            miner.send(second).await;
            pool.until("the second half", |pool| pool.ledger.held() == 2).await;
            pool.ledger.release();
            assert_eq!([miner.line().await, miner.line().await], [share_ok(2), share_ok(3)]);
        },
    );
}
