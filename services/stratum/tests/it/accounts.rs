//! Whoever logs in with either form of an address is the same miner.
use std::sync::Arc;
use std::time::Duration;

use chain::{Address, Network};
use messages::facts::{Origin, Quarantine, Restrictions};
use messages::write_behind::{HintRecord, WrittenBehind};
use units::Difficulty;

use crate::miner::{Job, Miner, address, login_line, login_ok, share_ok};
use crate::pool::{Pool, now, template, with_pool};

/// The first address without its checksum.
fn legacy() -> String {
    Address::parse(&address(1), &Network::Mainnet).unwrap().legacy_text()
}

async fn logged_in(pool: &Pool, address: &str) -> (Miner, Job) {
    let mut miner = Miner::connect(pool).await;
    miner.send(&login_line(1, address, "rig")).await;
    assert_eq!(miner.line().await, login_ok(1));
    let job = miner.job().await;
    (miner, job)
}

#[test]
fn shares_of_both_forms_of_an_address_are_the_same_miners() {
    with_pool(
        |_| (),
        async |pool| {
            pool.mine(&template(41_237));
            for text in [address(1), legacy()] {
                let (mut miner, job) = logged_in(pool, &text).await;
                miner.send(&job.submit(2, 0)).await;
                assert_eq!(miner.line().await, share_ok(2));
            }
            let shares = pool.ledger.shares();
            let [one, other] = [&shares[0].line, &shares[1].line];
            assert_eq!((&*one.address, one.pair()), (address(1).as_str(), other.pair()));
        },
    );
}

#[test]
fn a_quarantine_cannot_be_left_by_dropping_the_checksum() {
    with_pool(
        |_| (),
        async |pool| {
            pool.mine(&template(41_237));
            let (mut miner, job) = logged_in(pool, &address(1)).await;
            miner.send(&job.submit(2, 0)).await;
            miner.line().await;
            let pair = pool.ledger.shares()[0].line.pair();
            let until = now().plus(Duration::from_secs(3600));
            let quarantine = Quarantine { reason: "invalid share proof", strikes: 3, until };
            let restrictions = Restrictions { quarantined: [(pair, quarantine)].into(), ..Restrictions::default() };
            pool.restrictions.send_replace(Arc::new(restrictions));
            // The arbiter hears of it a moment later.
            let mut n = 3;
            loop {
                miner.send(&job.submit(n, n)).await;
                if miner.line().await != share_ok(n) {
                    break;
                }
                n += 1;
            }
            let mut other = Miner::connect(pool).await;
            other.send(&login_line(1, &legacy(), "rig")).await;
            let answer = other.line().await;
            assert!(answer.contains("address quarantined: invalid share proof"), "{answer}");
        },
    );
}

#[test]
fn both_forms_of_an_address_have_one_difficulty() {
    let measured = |setup: &mut crate::pool::Setup| {
        setup.vardiff.enabled = true;
        let hint = HintRecord {
            address: address(1).into(),
            worker: "rig".into(),
            origin: Origin([1; 16]),
            difficulty: Difficulty::new(97).unwrap(),
            measured_at: now(),
        };
        setup.hints.load(vec![hint], now());
    };
    with_pool(measured, async |pool| {
        pool.mine(&template(41_237));
        let (_, job) = logged_in(pool, &address(1)).await;
        let (_, other) = logged_in(pool, &legacy()).await;
        let (_, stranger) = logged_in(pool, &address(2)).await;
        assert_eq!(job.difficulty, other.difficulty);
        assert!(job.difficulty > stranger.difficulty, "{} of a known worker", job.difficulty);
    });
}

#[test]
fn both_forms_of_an_address_are_one_name() {
    with_pool(
        |setup| setup.settings.max_connections_per_ip = 1,
        async |pool| {
            let mut miner = Miner::from(pool, "10.0.0.1").await;
            // Four addresses for one connection, each in both forms.
            for n in 1..=4 {
                let legacy = Address::parse(&address(n), &Network::Mainnet).unwrap().legacy_text();
                for text in [address(n), legacy] {
                    miner.send(&login_line(n, &text, "rig")).await;
                    assert_eq!(miner.line().await, login_ok(n));
                }
            }
            miner.send(&login_line(5, &address(5), "rig")).await;
            assert_ne!(miner.line().await, login_ok(5));
        },
    );
}
