//! The session at the end of the reference, from login to the first stale share.
use std::time::Duration;

use messages::facts::Notice;
use settings::VardiffSettings;

use crate::miner::{Miner, address, error, login_line, login_ok, share_ok};
use crate::pool::{HASH_5, difficulty, template, with_pool};

#[test]
fn the_reference_session_goes_as_it_is_written() {
    with_pool(
        |setup| setup.settings.stale_grace = Duration::from_millis(300),
        async |pool| {
            pool.mine(&template(41_237));
            let mut miner = Miner::connect(pool).await;
            miner.send(&login_line(1, &address(1), "rig-07")).await;
            assert_eq!(miner.line().await, login_ok(1));
            let first = miner.job().await;
            assert_eq!((first.height, first.difficulty), (41_237, 5));
            miner.send(&first.submit(2, 1)).await;
            assert_eq!(miner.line().await, share_ok(2));
            miner.send("").await; // The keepalive after a silence.
            let better = "2a3cea29b25e39e6ae6c358db53d8f35655321c7d70bf8ea7b289774ec25187e";
            miner.send(&first.claim(3, 0, better)).await;
            assert_eq!(miner.line().await, share_ok(3));
            pool.notices.send(Notice::BlockSolved { finder: None }).unwrap();
            assert!(miner.line().await.contains(r#""kind":"pool_block_solved""#));
            let (old, new) = (template(41_237), template(41_238));
            pool.mine(&new);
            assert_eq!(miner.job().await.height, 41_238);
            tokio::time::sleep(Duration::from_millis(400)).await; // The grace has to pass.
            miner.send(&first.submit(4, 2)).await;
            let answer = miner.line().await;
            let begin = format!(
                "stale job: template {:016x} exceeded stale grace (current={:016x}, stale_for=",
                old.uid(),
                new.uid()
            );
            assert!(answer.contains(&begin) && answer.ends_with(r#"ms, stale_grace=300ms)"}"#), "{answer}");
            let stale_for: u64 =
                answer.split("stale_for=").nth(1).unwrap().split("ms").next().unwrap().parse().unwrap();
            assert!((300..15_000).contains(&stale_for), "said honestly: {answer}");
            assert_ne!(answer, error(4, ""));
        },
    );
}

#[test]
fn a_share_that_changes_the_difficulty_is_answered_after_the_job_that_has_it() {
    with_pool(
        |setup| {
            setup.vardiff = VardiffSettings { initial: difficulty(5), ..VardiffSettings::default() };
        },
        async |pool| {
            pool.mine(&template(41_237));
            let mut miner = Miner::connect(pool).await;
            let job = miner.log_in(1, "rig-07").await;
            // Shares in milliseconds, where one in half a minute is aimed at.
            for n in 0..100 {
                miner.send(&job.claim(n, n, HASH_5)).await;
                let line = miner.line().await;
                if line.contains(r#""method":"job""#) {
                    let next = crate::miner::Job::of(&line);
                    assert!(next.difficulty > 5 && next.id != job.id, "{next:?}");
                    let answer = miner.line().await;
                    assert!(answer.starts_with(&format!(r#"{{"id":{n},"status":"ok""#)), "{answer}");
                    assert!(answer.contains(&format!(r#""difficulty":{}"#, next.difficulty)), "{answer}");
                    return;
                }
            }
            panic!("the difficulty never changed");
        },
    );
}
