//! Every exchange of the protocol, byte for byte.
use std::sync::Arc;
use std::time::Duration;

use crate::ledger::LedgerBehavior;
use crate::miner::{Job, Miner, address, error, login_line, login_ok, share_ok};
use crate::pool::{HASH_1, HASH_5, HEADER, Pool, template, with_pool};
use messages::facts::{Notice, Quarantine, Restrictions, SessionId};
use stratum::CloseReason;

pub(crate) async fn ready(pool: &Pool) -> (Miner, Job) {
    pool.mine(&template(41_237));
    let mut miner = Miner::connect(pool).await;
    let job = miner.log_in(1, "rig-07").await;
    (miner, job)
}

#[test]
fn a_login_of_each_version_is_negotiated() {
    with_pool(
        |setup| setup.settings.require_claimed_hash = false,
        async |pool| {
            let v2 = r#""protocol_version":2,"capabilities":["login_negotiation","share_validation_status","submit_claimed_hash","difficulty_hint"]"#;
            let v1 = r#""protocol_version":1,"capabilities":["login_negotiation","share_validation_status"]"#;
            let name = address(1);
            for (params, expected) in [
                (String::new(), v1),
                (r#","protocol_version":0"#.to_owned(), v1),
                (r#","protocol_version":1,"capabilities":["submit_claimed_hash"]"#.to_owned(), v1),
                (r#","protocol_version":2,"capabilities":[" SUBMIT_Claimed_hash ",""],"more":[1]"#.to_owned(), v2),
                (r#","protocol_version":9,"difficulty_hint":null"#.to_owned(), v2),
            ] {
                let mut miner = Miner::connect(pool).await;
                let line = format!(
                    r#"{{"id":9007199254740993,"method":"login","params":{{"address":" {name} ","worker":""{params}}}}}"#
                );
                miner.send(&line).await;
                let answer = miner.line().await;
                assert_eq!(answer, format!(r#"{{"id":9007199254740993,"status":"ok","result":{{{expected}}}}}"#));
                assert!(miner.is_silent().await, "no job without a template");
            }
        },
    );
}

#[test]
fn a_login_that_is_refused_hears_why_and_is_closed_and_a_malformed_one_stays() {
    with_pool(
        |_| (),
        async |pool| {
            let good = address(1);
            let login = |address: &str| login_line(7, address, "rig");
            let mut broken = good.clone();
            broken.replace_range(40..41, if &good[40..41] == "2" { "3" } else { "2" });
            for (line, text) in [
                (login(""), "invalid address"),
                (login(&"2".repeat(129)), "invalid address"),
                (login("0OIl"), "invalid address: invalid base58 address"),
                (login("2222"), "invalid address: invalid address length: expected 64 or 68 bytes, got 3"),
                (login(&broken), "invalid address: invalid address checksum"),
                (
                    format!(
                        r#"{{"id":7,"method":"login","params":{{"address":"{good}","worker":"x","protocol_version":1}}}}"#
                    ),
                    "pool requires protocol_version >= 2",
                ),
                (
                    format!(
                        r#"{{"id":7,"method":"login","params":{{"address":"{good}","worker":"x","protocol_version":2}}}}"#
                    ),
                    "pool requires submit_claimed_hash capability",
                ),
            ] {
                let mut miner = Miner::connect(pool).await;
                miner.send(&line).await;
                assert_eq!(miner.line().await, error(7, text), "{line}");
                assert!(miner.is_closed().await, "{line}");
            }
            pool.until("the count", |pool| pool.closed(CloseReason::LoginRefused) == 7).await;
            let mut miner = Miner::connect(pool).await;
            for line in [
                r#"{"id":8,"method":"login"}"#.to_owned(),
                format!(r#"{{"id":8,"method":"login","params":{{"address":"{good}"}}}}"#),
                format!(r#"{{"id":8,"method":"login","params":{{"address":"{good}","worker":1}}}}"#),
                r#"{"id":8,"method":"login","params":{"worker":"x"}}"#.to_owned(),
            ] {
                miner.send(&line).await;
                assert_eq!(miner.line().await, error(8, "invalid login params"), "{line}");
            }
            miner.send(&login(&good)).await;
            assert_eq!(miner.line().await, login_ok(7));
        },
    );
}

#[test]
fn a_job_has_the_documented_members_and_integers() {
    with_pool(
        |_| (),
        async |pool| {
            pool.mine(&template(41_237));
            let mut miner = Miner::connect(pool).await;
            miner.send(&login_line(1, &address(1), "rig-07")).await;
            assert_eq!(miner.line().await, login_ok(1));
            let line = miner.line().await;
            let job = Job::of(&line);
            assert!(job.id.len() == 16 && job.id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')));
            assert!(job.last > job.first && i64::try_from(job.last).is_ok());
            let network = template(41_237).network_target.to_hex();
            let expected = format!(
                r#"{{"method":"job","params":{{"header_base":"{HEADER}","network_target":"{network}","height":41237,"template_id":"5be1a90c77d2e604","job_id":"{}","difficulty":5,"target":"{}","nonce_start":{},"nonce_end":{}}}}}"#,
                job.id,
                "3".repeat(64),
                job.first,
                job.last
            );
            assert_eq!(line, expected);
        },
    );
}

#[test]
fn a_submit_is_answered_as_documented() {
    with_pool(
        |_| (),
        async |pool| {
            let (mut miner, job) = ready(pool).await;
            miner.send(&job.submit(18_446_744_073_709_551_615, 0)).await;
            assert_eq!(miner.line().await, share_ok(u64::MAX));
            miner.send(&job.claim(2, 1, &format!("  {}  ", HASH_5.to_uppercase()))).await;
            assert_eq!(miner.line().await, share_ok(2));
            let shares = pool.ledger.shares();
            assert_eq!(shares.iter().map(|share| share.nonce.get()).collect::<Vec<_>>(), [job.first, job.first + 1]);
            assert!(shares.iter().all(|share| share.difficulty.get() == 5 && !share.claims_block && !share.verified));
            assert_eq!((&*shares[0].line.address, &*shares[0].line.worker), (address(1).as_str(), "rig-07"));
            pool.until("the offer to validation", |pool| {
                pool.offered.lock().unwrap().iter().map(|offer| offer.0.len()).sum::<usize>() == 2
            })
            .await;
        },
    );
}

#[test]
fn every_refusal_of_a_submit_has_its_text_and_leaves_the_connection_open() {
    with_pool(
        |_| (),
        async |pool| {
            let mut stranger = Miner::connect(pool).await;
            let (mut miner, job) = ready(pool).await;
            stranger.send(&job.submit(1, 0)).await;
            assert_eq!(stranger.line().await, error(1, "not logged in"));
            miner.send(&job.submit(2, 0)).await;
            assert_eq!(miner.line().await, share_ok(2));
            let unknown = Job { id: "00000000000000ff".to_owned(), ..job.clone() };
            let shouting = Job { id: job.id.to_uppercase() + " ", ..job.clone() };
            for (line, text) in [
                (r#"{"id":3,"method":"submit"}"#.to_owned(), "invalid submit params"),
                (
                    format!(r#"{{"id":3,"method":"submit","params":{{"job_id":"{}"}}}}"#, job.id),
                    "invalid submit params",
                ),
                (unknown.submit(3, 0), "stale job: assignment not found"),
                (shouting.submit(3, 0), "stale job: assignment not found"),
                (job.submit(3, job.last - job.first + 1), "nonce out of assigned range"),
                (job.claim(3, 1, "abc"), "hex length must be even"),
                (job.claim(3, 1, "zz"), "invalid hex"),
                (job.claim(3, 1, "abcd"), "expected 32-byte hash, got 2 bytes"),
                (job.claim(3, 1, "  "), "claimed hash required"),
                (job.claim(3, 1, HASH_1), "low difficulty share"),
                (job.submit(3, 0), "duplicate share"),
            ] {
                miner.send(&line).await;
                assert_eq!(miner.line().await, error(3, text), "{line}");
            }
            miner.send(&job.submit(4, 1)).await;
            assert_eq!(miner.line().await, share_ok(4), "a refused nonce may come again");
        },
    );
}

#[test]
fn a_full_ledger_says_retry_and_the_retry_counts() {
    with_pool(
        |_| (),
        async |pool| {
            let (mut miner, job) = ready(pool).await;
            for (n, behavior) in [LedgerBehavior::Busy, LedgerBehavior::Full].into_iter().enumerate() {
                let n = n as u64;
                pool.ledger.set(behavior);
                miner.send(&job.submit(2, n)).await;
                assert_eq!(miner.line().await, error(2, "server busy, retry"));
                pool.ledger.set(LedgerBehavior::Writes);
                miner.send(&job.submit(3, n)).await;
                assert_eq!(miner.line().await, share_ok(3));
            }
        },
    );
}

#[test]
fn the_same_share_twice_in_one_packet_counts_once() {
    with_pool(
        |_| (),
        async |pool| {
            let (mut miner, job) = ready(pool).await;
            let twice = format!("{}\n{}\n", job.submit(2, 0), job.submit(3, 0));
            miner.send_bytes(twice.as_bytes()).await;
            let mut answers = [miner.line().await, miner.line().await];
            answers.sort();
            assert_eq!(
                answers,
                [error(3, "duplicate share"), share_ok(2)].map(|line| line).into_iter().rev().collect::<Vec<_>>()[..]
            );
            assert_eq!(pool.ledger.shares().len(), 1);
        },
    );
}

#[test]
fn too_many_submits_are_told_to_wait() {
    with_pool(
        |setup| setup.settings.submit_rate_max = 3,
        async |pool| {
            let (mut miner, job) = ready(pool).await;
            for n in 0..3 {
                miner.send(&job.submit(n, n)).await;
                assert_eq!(miner.line().await, share_ok(n));
            }
            miner.send(&job.submit(3, 3)).await;
            assert_eq!(miner.line().await, error(3, "rate limited, retry"));
        },
    );
}

#[test]
fn a_quarantined_pair_is_told_until_when() {
    with_pool(
        |_| (),
        async |pool| {
            let (mut miner, job) = ready(pool).await;
            miner.send(&job.submit(2, 0)).await;
            miner.line().await;
            let pair = pool.ledger.shares()[0].line.pair();
            let until = crate::pool::now().plus(Duration::from_secs(3600));
            let quarantine = Quarantine { reason: "invalid share proof", strikes: 3, until };
            let restrictions = Restrictions { quarantined: [(pair, quarantine)].into(), ..Restrictions::default() };
            pool.restrictions.send_replace(Arc::new(restrictions));
            let expected = |id: u64| {
                format!(
                    r#"{{"id":{id},"error":"address quarantined: invalid share proof (fraud strikes=3, until {until}, remaining "#
                )
            };
            let mut n = 3;
            let answer = loop {
                miner.send(&job.submit(n, n)).await;
                let answer = miner.line().await;
                if answer != share_ok(n) {
                    break answer;
                }
                n += 1; // The fact is on its way.
            };
            assert!(answer.starts_with(&expected(n)), "{answer}");
            let mut again = Miner::connect(pool).await;
            again.send(&login_line(1, &address(1), "rig-07")).await;
            let answer = again.line().await;
            assert!(answer.starts_with(&expected(1)) && again.is_closed().await, "{answer}");
            let mut neighbour = Miner::connect(pool).await;
            neighbour.log_in(2, "rig").await;
        },
    );
}

#[test]
fn the_finder_hears_of_its_block_before_everybody_hears_of_it() {
    with_pool(
        |_| (),
        async |pool| {
            let (mut finder, job) = ready(pool).await;
            let mut other = Miner::connect(pool).await;
            other.log_in(2, "rig").await;
            let mut nobody = Miner::connect(pool).await;
            nobody.send("").await;
            finder.send(&job.submit(2, 0)).await;
            assert_eq!(finder.line().await, share_ok(2));
            pool.notices.send(Notice::BlockSolved { finder: Some(SessionId(1)) }).unwrap();
            let mine = r#"{"method":"notification","params":{"kind":"miner_block_found","message":""#;
            let ours = r#"{"method":"notification","params":{"kind":"pool_block_solved","message":""#;
            for (miner, begin) in [(&mut finder, mine), (&mut other, ours)] {
                let line = miner.line().await;
                assert!(line.starts_with(begin) && !line.starts_with(&format!("{begin}\"")), "{line}");
            }
            assert!(finder.line().await.starts_with(ours));
            assert!(nobody.is_silent().await);
        },
    );
}
