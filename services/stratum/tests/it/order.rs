//! Which of several faults a submit is told about, and shares that are proven before they are taken.
use std::sync::{Arc, Mutex};
use std::time::Duration;

use messages::facts::{Quarantine, Restrictions};
use messages::validation::{ProofRefusal, Proven, VerifyShare};
use runtime::{Recipient, Refused};

use crate::miner::{Miner, address, error, login_line, login_ok, share_ok};
use crate::pool::{HASH_1, difficulty, now, template, with_pool};
use crate::protocol::ready;

/// A submit of any job, nonce and claim.
fn submit(id: u64, job: &str, nonce: u64, hash: &str) -> String {
    format!(r#"{{"id":{id},"method":"submit","params":{{"job_id":"{job}","nonce":{nonce},"claimed_hash":"{hash}"}}}}"#)
}

#[test]
fn of_two_faults_a_submit_is_told_the_first_in_the_fixed_order() {
    with_pool(
        |setup| setup.settings.submit_rate_max = 100,
        async |pool| {
            // Who is not logged in is told so whatever the job is.
            let mut stranger = Miner::connect(pool).await;
            stranger.send(&submit(1, "00000000000000ff", 0, "xyz")).await;
            assert_eq!(stranger.line().await, error(1, "not logged in"));

            let (mut miner, before) = ready(pool).await;
            miner.send(&login_line(2, &address(2), "rig-07")).await;
            assert_eq!(miner.line().await, login_ok(2));
            let job = miner.job().await;
            let outside = job.last + 1;
            let (unknown, owned) = ("stale job: assignment not found", "job not assigned to this miner");
            let (range, form) = ("nonce out of assigned range", "hex length must be even");
            let faults = [
                // An unknown job, a nonce of no range, a claim that is none.
                (submit(3, "00000000000000ff", outside, "xyz"), unknown),
                (submit(4, &before.id, outside, "xyz"), owned),
                (submit(5, &job.id, outside, "xyz"), range),
                (submit(6, &job.id, job.first, "xyz"), form),
                (submit(7, &job.id, job.first, HASH_1), "low difficulty share"),
            ];
            for (id, (line, text)) in (3..).zip(faults) {
                miner.send(&line).await;
                assert_eq!(miner.line().await, error(id, text), "{line}");
            }
            miner.send(&job.submit(8, 0)).await;
            assert_eq!(miner.line().await, share_ok(8));
            // The nonce is taken, and the claim too weak.
            miner.send(&job.claim(9, 0, HASH_1)).await;
            assert_eq!(miner.line().await, error(9, "low difficulty share"));
            miner.send(&job.submit(10, 0)).await;
            assert_eq!(miner.line().await, error(10, "duplicate share"));
        },
    );
}

#[test]
fn the_rate_comes_before_everything_else() {
    with_pool(
        |setup| setup.settings.submit_rate_max = 4,
        async |pool| {
            let mut stranger = Miner::connect(pool).await;
            for id in 1..=4 {
                stranger.send(&submit(id, "00000000000000ff", 0, "xyz")).await;
                assert_eq!(stranger.line().await, error(id, "not logged in"));
            }
            stranger.send(&submit(5, "00000000000000ff", 0, "xyz")).await;
            assert_eq!(stranger.line().await, error(5, "rate limited, retry"));
        },
    );
}

#[test]
fn a_quarantine_comes_between_the_range_and_the_form_of_the_claim() {
    with_pool(
        |_| (),
        async |pool| {
            let (mut miner, job) = ready(pool).await;
            miner.send(&job.submit(2, 0)).await;
            assert_eq!(miner.line().await, share_ok(2));
            let pair = pool.ledger.shares()[0].line.pair();
            let until = units::Timestamp::from_ms(now().ms() + 3_600_000);
            let quarantined = [(pair, Quarantine { reason: "invalid share proof", strikes: 3, until })].into();
            pool.restrictions.send_replace(Arc::new(Restrictions { quarantined, ..Restrictions::default() }));
            for id in 3.. {
                miner.send(&submit(id, &job.id, job.first, "xyz")).await;
                let answer = miner.line().await;
                if answer.contains("address quarantined") {
                    break;
                }
                // The front has not heard of it yet.
                assert_eq!(answer, error(id, "hex length must be even"));
            }
            miner.send(&submit(2, &job.id, job.last + 1, "xyz")).await;
            assert_eq!(miner.line().await, error(2, "nonce out of assigned range"));
        },
    );
}

#[test]
fn no_job_is_harder_than_the_network() {
    with_pool(
        |setup| setup.vardiff.initial = difficulty(1_000_000),
        async |pool| {
            let (_, job) = ready(pool).await;
            assert_eq!(job.difficulty, template(41_237).network_difficulty.get());
        },
    );
}

/// Answers proofs one after the other.
#[derive(Clone, Copy)]
enum Proof {
    Holds,
    Fails(ProofRefusal),
    Busy,
    Dies,
}

fn prover(script: Vec<Proof>) -> Recipient<VerifyShare> {
    let script = Mutex::new(script.into_iter());
    Recipient::from_fn(move |question: VerifyShare, reply| {
        match script.lock().unwrap().next().unwrap() {
            Proof::Holds => {
                reply.send(Ok(Proven { hash: chain::PowHash([0; 32]) }));
            }
            Proof::Fails(refusal) => reply.send(Err(refusal)),
            Proof::Busy => return Err(Refused::Busy(question)),
            Proof::Dies => drop(reply),
        }
        Ok(())
    })
}

#[test]
fn a_share_without_a_claim_is_proven_first_and_every_outcome_has_its_answer() {
    let script = vec![
        Proof::Fails(ProofRefusal::InvalidProof),
        Proof::Fails(ProofRefusal::LowDifficulty),
        Proof::Fails(ProofRefusal::HashFailed),
        Proof::Busy,
        Proof::Dies,
        Proof::Holds,
    ];
    with_pool(
        |setup| {
            setup.settings.require_claimed_hash = false;
            setup.prover = Some(prover(script));
        },
        async |pool| {
            pool.mine(&template(41_237));
            let mut miner = Miner::connect(pool).await;
            miner.send(&login_line(1, &address(1), "rig-07")).await;
            miner.line().await;
            let job = miner.job().await;
            let bare = |id: u64| {
                let (job, nonce) = (&job.id, job.first);
                format!(r#"{{"id":{id},"method":"submit","params":{{"job_id":"{job}","nonce":{nonce}}}}}"#)
            };
            let refusals = [
                "invalid share proof",
                "low difficulty share",
                "hash computation failed",
                "server busy, retry",
                "server busy, retry",
            ];
            for (id, text) in (2..).zip(refusals) {
                miner.send(&bare(id)).await;
                assert_eq!(miner.line().await, error(id, text), "and the nonce is free again");
            }
            assert!(pool.ledger.shares().is_empty());
            miner.send(&bare(9)).await;
            let verified = r#"{"id":9,"status":"ok","result":{"accepted":true,"verified":true,"status":"verified","difficulty":5}}"#;
            assert_eq!(miner.line().await, verified);
            assert!(pool.ledger.shares()[0].verified);
        },
    );
}

#[test]
fn acknowledged_shares_wait_for_a_validation_that_is_away() {
    let heard = Arc::new(Mutex::new((true, 0)));
    let hears = Arc::clone(&heard);
    with_pool(
        |setup| {
            setup.validation = Some(Recipient::from_fn(move |offer: messages::validation::OfferShares, reply| {
                let mut state = hears.lock().unwrap();
                if state.0 {
                    return Err(Refused::Down(offer));
                }
                state.1 += offer.0.len();
                reply.send(());
                Ok(())
            }));
        },
        async |pool| {
            let (mut miner, job) = ready(pool).await;
            for n in 0..100 {
                miner.send(&job.submit(n, n)).await;
                assert_eq!(miner.line().await, share_ok(n), "shares do not wait for it");
            }
            pool.until("all of them to wait", |pool| pool.metrics.offers_waiting.get() == 100).await;
            heard.lock().unwrap().0 = false;
            pool.until("the offers", |pool| pool.metrics.offers_waiting.get() == 0).await;
            assert_eq!(heard.lock().unwrap().1, 100);
            pool.drain(Duration::from_secs(1)).await;
        },
    );
}
