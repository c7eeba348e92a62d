//! Block claims: looked at whatever the log does, and refused only before anything is promised.
use std::sync::Arc;

use messages::facts::{Origin, Restrictions};
use messages::validation::{BookedShare, ClaimPermits, ProofRefusal, VerifyShare};
use runtime::{Recipient, Reply};
use units::Seq;

use crate::ledger::LedgerBehavior;
use crate::miner::{error, share_ok};
use crate::pool::{HASH_5, Pool, with_pool};
use crate::protocol::ready;

/// Meets every target.
const BLOCK: &str = "0000000000000000000000000000000000000000000000000000000000000000";

fn offered(pool: &Pool) -> Vec<BookedShare> {
    pool.offered.lock().unwrap().drain(..).flat_map(|offer| offer.0).collect()
}

#[test]
fn a_claim_that_the_log_does_not_take_is_looked_at_all_the_same() {
    let behaviors = [
        LedgerBehavior::Full,
        LedgerBehavior::Busy,
        LedgerBehavior::Breaks { written: false },
        LedgerBehavior::Loses { written: false },
        LedgerBehavior::Breaks { written: true },
        LedgerBehavior::Loses { written: true },
    ];
    with_pool(
        |_| (),
        async |pool| {
            let (mut miner, job) = ready(pool).await;
            for (n, behavior) in (0..).zip(behaviors) {
                pool.ledger.set(behavior);
                let is_written = matches!(
                    behavior,
                    LedgerBehavior::Breaks { written: true } | LedgerBehavior::Loses { written: true }
                );
                miner.send(&job.claim(2, n, BLOCK)).await;
                let expected = if is_written { share_ok(2) } else { error(2, "server busy, retry") };
                assert_eq!(miner.line().await, expected, "{behavior:?}");
                miner.send(&job.claim(3, 100 + n, HASH_5)).await;
                miner.line().await;
                let claims: Vec<BookedShare> = offered(pool).into_iter().filter(|share| share.claims_block).collect();
                let seqs: Vec<Seq> = claims.iter().map(|share| share.seq).collect();
                assert_eq!(seqs.len(), 1 + usize::from(is_written), "{behavior:?}: {seqs:?}");
                assert!(seqs[0] == Seq::ZERO && claims[0].claimed_hash.is_some() && claims[0].place.is_some());
                assert_eq!(pool.metrics.claims_unlogged_total.get(), n + 1);
            }
            assert_eq!(pool.claim_places.depth(), 0, "the places were given back with the shares");
        },
    );
}

#[test]
fn a_claim_without_a_place_is_refused_before_it_is_logged() {
    with_pool(
        |_| (),
        async |pool| {
            let (mut miner, job) = ready(pool).await;
            for n in 0..ClaimPermits::PAIR_MAX as u64 {
                miner.send(&job.claim(2, n, BLOCK)).await;
                assert_eq!(miner.line().await, share_ok(2));
            }
            let logged = pool.ledger.shares().len();
            for _ in 0..2 {
                miner.send(&job.claim(3, 100, BLOCK)).await;
                assert_eq!(miner.line().await, error(3, "server busy, retry"));
            }
            assert_eq!((pool.ledger.shares().len(), pool.metrics.claims_refused_total.get()), (logged, 2));
            miner.send(&job.submit(4, 101)).await;
            assert_eq!(miner.line().await, share_ok(4), "an ordinary share needs no place");
            drop(offered(pool));
            assert_eq!(pool.claim_places.depth(), 0);
            miner.send(&job.claim(5, 100, BLOCK)).await;
            assert_eq!(miner.line().await, share_ok(5), "its nonce was given back, and there is a place again");
        },
    );
}

#[test]
fn a_flood_of_claims_keeps_strangers_out_and_no_trusted_miner() {
    with_pool(
        |_| (),
        async |pool| {
            let (mut miner, job) = ready(pool).await;
            miner.send(&job.submit(2, 0)).await;
            assert_eq!(miner.line().await, share_ok(2));
            let pair = pool.ledger.shares()[0].line.pair();
            let flood = |n: u32| {
                let mut origin = [9; 16];
                origin[..4].copy_from_slice(&(if n < 4000 { n / 4 } else { n }).to_le_bytes());
                pool.claim_places.take(&(n.to_string().into(), Origin(origin)))
            };
            let held: Vec<_> = (0..8000).filter_map(flood).collect();
            assert_eq!(held.len(), ClaimPermits::MAX);
            miner.send(&job.claim(3, 1, BLOCK)).await;
            assert_eq!(miner.line().await, error(3, "server busy, retry"));
            pool.claim_places.trust(&pair);
            miner.send(&job.claim(4, 1, BLOCK)).await;
            assert_eq!(miner.line().await, share_ok(4));
            pool.claim_places.distrust(&pair);
            miner.send(&job.claim(5, 2, BLOCK)).await;
            assert_eq!(miner.line().await, error(5, "server busy, retry"));
        },
    );
}

#[test]
fn a_proof_that_finds_no_place_may_be_asked_for_again() {
    with_pool(
        |setup| {
            setup.prover = Some(Recipient::from_fn(|_, reply: Reply<VerifyShare>| {
                reply.send(Err(ProofRefusal::Busy));
                Ok(())
            }));
        },
        async |pool| {
            let (mut miner, job) = ready(pool).await;
            miner.send(&job.submit(2, 0)).await;
            assert_eq!(miner.line().await, share_ok(2));
            let forced = [pool.ledger.shares()[0].line.pair()].into();
            pool.restrictions.send_replace(Arc::new(Restrictions { forced, ..Restrictions::default() }));
            let mut n = 1;
            loop {
                miner.send(&job.submit(3, n)).await;
                let answer = miner.line().await;
                if answer == error(3, "server busy, retry") {
                    break;
                }
                assert_eq!(answer, share_ok(3), "the front has not heard of it yet");
                n += 1;
            }
            miner.send(&job.submit(4, n)).await;
            assert_eq!(miner.line().await, error(4, "server busy, retry"), "its nonce was given back");
            assert_eq!(pool.ledger.shares().len() as u64, n);
        },
    );
}
