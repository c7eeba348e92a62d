//! Blocks weighed and credited, without the rules that price them.
use accounting::Entry;
use store::blocks::{Block, BlockState, BlockWeight};
use units::{Amount, Work};

use super::{TestDb, money};

/// Weighs a block as the lifecycle does, with a simple split: by weight, the rest to the pool.
pub async fn weigh(db: &TestDb, epoch: i64, block: &Block) -> Vec<(String, u64)> {
    db.store.block_move(epoch, block.id, BlockState::Candidate, BlockState::Seen).await.unwrap();
    assert_eq!(db.store.block_window_close(epoch, block.id).await.unwrap(), [""; 0]);
    let (works, verdicts) = db.store.block_window_work(block.id).await.unwrap();
    let weight = |verified: Work, provisional: Work| verified.get() + provisional.get().min(19 * verified.get());
    let total: u64 = works.iter().map(|work| weight(work.verified, work.provisional)).sum();
    let pot = u128::from(block.reward.atoms() / 100 * 99);
    let mut credits = Vec::new();
    let mut weights = Vec::new();
    for work in &works {
        let weight = weight(work.verified, work.provisional);
        let credit = u64::try_from(pot * u128::from(weight) / u128::from(total)).unwrap();
        credits.push((work.address.clone(), credit));
        weights.push(BlockWeight {
            miner: work.miner,
            verified: work.verified,
            provisional: Work::new(weight - work.verified.get()).unwrap(),
            weight: i64::try_from(weight).unwrap(),
            credit: Amount::from_atoms(credit).unwrap(),
        });
    }
    db.store.block_weights_store(epoch, block.id, weights, "digest", verdicts).await.unwrap();
    credits
}

/// The entry of a block's credit; what the miners do not get goes to `fee_to`.
pub fn credit(reference: &str, block: &Block, credits: &[(String, u64)], fee_to: &str) -> Entry {
    let credits: Vec<_> = credits.iter().map(|(to, credit)| (to, money::atoms(*credit))).collect();
    Entry::block_credited(reference, block.reward, &credits, money::account(fee_to)).unwrap()
}
