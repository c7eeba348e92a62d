//! Miners that are much faster than anything known about them.
use std::time::Duration;

use chain::Target;
use settings::VardiffSettings;

use crate::miner::{Job, Miner, error};
use crate::pool::{Pool, Setup, difficulty, template, with_pool};

const STEP: Duration = Duration::from_millis(2);

fn adjusted(setup: &mut Setup) {
    setup.vardiff = VardiffSettings::default();
}

/// A share that is just good enough for the job, and so no block.
fn share(job: &Job, id: u64, n: u64) -> String {
    let target: String = Target::from_difficulty(difficulty(job.difficulty))
        .as_bytes()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    job.claim(id, n, &target)
}

/// What came of a miner's work.
#[derive(Debug, Default)]
struct Outcome {
    submits: u64,
    accepted: u64,
    limited: u64,
    /// Hashes in the accepted shares.
    work: f64,
    job: Option<Job>,
}

/// Mines at so many hashes a second. Its time stands still while the machine does.
async fn mine(pool: &Pool, hashrate: f64, seconds: f64) -> Outcome {
    let mut miner = Miner::connect(pool).await;
    let mut job = miner.log_in(1, "farm").await;
    let mut outcome = Outcome::default();
    let (mut hashes, mut nonce, mut difficulties) = (0.0, 0, Vec::new());
    let mut steps = tokio::time::interval(STEP);
    steps.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let steps_due = (seconds / STEP.as_secs_f64()) as u64;
    let (mut step, mut answered) = (0, 0);
    while step < steps_due || answered < outcome.submits {
        tokio::select! {
            line = miner.next() => {
                let line = line.expect("the connection stays");
                if line.contains(r#""method":"job""#) {
                    (job, hashes, nonce) = (Job::of(&line), 0.0, 0);
                    continue;
                }
                answered += 1;
                let id = serde_json::from_str::<serde_json::Value>(&line).unwrap()["id"].as_u64().unwrap();
                if line.contains(r#""status":"ok""#) {
                    outcome.accepted += 1;
                    outcome.work += difficulties[id as usize] as f64;
                } else {
                    assert_eq!(line, error(id, "rate limited, retry"));
                    outcome.limited += 1;
                }
            }
            _ = steps.tick(), if step < steps_due => {
                step += 1;
                hashes += hashrate * STEP.as_secs_f64();
                let mut found = String::new();
                while hashes >= job.difficulty as f64 {
                    hashes -= job.difficulty as f64;
                    found += &(share(&job, outcome.submits, nonce) + "\n");
                    difficulties.push(job.difficulty);
                    (outcome.submits, nonce) = (outcome.submits + 1, nonce + 1);
                }
                miner.send_bytes(found.as_bytes()).await;
            }
        }
    }
    outcome.job = Some(job);
    outcome
}

#[test]
fn a_fast_miner_that_nothing_is_known_about_loses_no_share_to_the_submit_rate() {
    with_pool(adjusted, async |pool| {
        pool.mine(&template(41_237));
        let outcome = mine(pool, 100_000.0, 4.0).await;
        assert_eq!((outcome.limited, outcome.accepted), (0, outcome.submits));
        assert!(outcome.submits < 960, "the difficulty follows: {outcome:?}");
        assert!(outcome.job.as_ref().is_some_and(|job| job.difficulty > 10_000), "{outcome:?}");
    });
}

#[test]
fn shares_over_the_submit_rate_bring_the_harder_job_that_ends_them() {
    let adjust = |setup: &mut Setup| {
        adjusted(setup);
        setup.settings.submit_rate_max = 2;
        setup.settings.submit_rate_window = Duration::from_secs(300);
    };
    with_pool(adjust, async |pool| {
        pool.mine(&template(41_237));
        let mut miner = Miner::connect(pool).await;
        let job = miner.log_in(1, "farm").await;
        let all: String = (0..100).map(|n| share(&job, n, n) + "\n").collect();
        miner.send_bytes(all.as_bytes()).await;
        let (mut limited, mut harder) = (0, None);
        for _ in 0..101 {
            let line = miner.line().await;
            if line.contains("rate limited, retry") {
                limited += 1;
            } else if line.contains(r#""method":"job""#) {
                harder = Some(Job::of(&line));
            }
        }
        assert!(harder.is_some_and(|harder| harder.difficulty >= 16 * job.difficulty));
        assert_eq!(limited, 100 - 2 - 16);
    });
}

#[test]
fn a_second_login_of_a_worker_starts_with_what_the_first_has_measured() {
    with_pool(adjusted, async |pool| {
        pool.mine(&template(41_237));
        let mut miner = Miner::connect(pool).await;
        let job = miner.log_in(1, "farm").await;
        let all: String = (0..100).map(|n| share(&job, n, n) + "\n").collect();
        miner.send_bytes(all.as_bytes()).await;
        for _ in 0..101 {
            miner.line().await;
        }
        let again = miner.log_in(1, "farm").await;
        assert!(again.difficulty >= 16 * job.difficulty, "{again:?}");
        assert_eq!(miner.log_in(1, "other").await.difficulty, job.difficulty);
    });
}

#[test]
fn a_share_that_is_offered_again_and_again_is_no_sign_of_a_fast_miner() {
    let adjust = |setup: &mut Setup| {
        adjusted(setup);
        setup.settings.submit_rate_max = 1;
        setup.settings.submit_rate_window = Duration::from_secs(300);
    };
    with_pool(adjust, async |pool| {
        pool.mine(&template(41_237));
        let mut miner = Miner::connect(pool).await;
        let job = miner.log_in(1, "rig").await;
        for n in 0..9 {
            miner.send(&share(&job, n, n)).await;
            assert!(miner.line().await.contains(r#""status":"ok""#));
        }
        let again: String = (9..209).map(|n| share(&job, n, 9) + "\n").collect();
        miner.send_bytes(again.as_bytes()).await;
        for n in 9..209 {
            assert_eq!(miner.line().await, error(n, "rate limited, retry"));
        }
    });
}
