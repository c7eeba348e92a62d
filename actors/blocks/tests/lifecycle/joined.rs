//! Blocks on both sides of the migration that joins the accounts of one miner.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
use accounting::{Booked, Entry};
use chain::{Address, Network};
use store::Joining;
use store::blocks::BlockState;
use units::BasisPoints;

use crate::common::{Harness, id};

/// The nth address, with and without its checksum.
fn texts(n: usize) -> (String, String) {
    let key = |first| std::array::from_fn(|place| if place == 0 { first } else { 0 });
    let candidates = (2..=u8::MAX).map(|first| Address::encode(&key(first), &key(first), Network::Testnet));
    let address = candidates.filter_map(|text| Address::parse(&text, &Network::Testnet).ok()).nth(n).unwrap();
    (address.as_str().to_owned(), address.legacy_text())
}

const JOINING: Joining = Joining {
    network: Network::Testnet,
    entry: |from, to, held| {
        let booked = Booked { payable: held.payable, inflight: held.inflight, paid_out: held.paid };
        Entry::accounts_joined(from, to, &booked).unwrap()
    },
};

#[actix_rt::test]
async fn blocks_of_before_and_after_the_migration_are_credited_taken_back_and_audited_alike() {
    let mut harness = Harness::new().await;
    let ((mine, old), (owner, old_owner), (other, _)) = (texts(0), texts(1), texts(2));
    // The bonus tells which text has found it, the fee goes to an address of the legacy form.
    harness
        .policy_with(|policy| {
            policy.finder_bonus_bps = BasisPoints::new(1_000).unwrap();
            policy.fee_address = Some(old_owner.clone());
        })
        .await;
    let works = [(old.as_str(), 100), (mine.as_str(), 50), (other.as_str(), 150)];
    harness.find(1, &works).await;
    harness.find(2, &works).await;
    harness.chain_has(100, id(1));
    harness.tick(103).await;
    assert_eq!(harness.block(1).await.state, BlockState::Credited);
    let accounts = [&old, &mine, &old_owner, &owner].map(|text| format!("payable:{text}"));
    let accounts = accounts.each_ref().map(String::as_str);
    let [old_had, mine_had, fee, _] = harness.balances(&accounts).await;
    // A tenth of 990,003 more for the finder.
    assert_eq!((old_had, mine_had, fee), (99_000 + 297_001, 148_500, 10_000));

    harness.join(JOINING).await;
    let audit = async |harness: &Harness| {
        let mut found = harness.store.audit_blocks(blocks::price).await.unwrap();
        found.extend(harness.store.audit_entries().await.unwrap());
        found
    };
    assert_eq!(audit(&harness).await, []);
    assert_eq!(harness.balances(&accounts).await, [0, old_had + mine_had, 0, fee]);

    // The one whose window has shares under both texts, and the old policy.
    harness.chain_has(101, id(2));
    harness.tick(104).await;
    assert_eq!(harness.block(2).await.state, BlockState::Credited);
    let credits = harness.store.block_credits(harness.block(2).await.id).await.unwrap();
    assert_eq!(credits.iter().map(|(to, _)| to).collect::<Vec<_>>(), {
        let mut both = [&mine, &other];
        both.sort();
        both
    });
    assert_eq!(audit(&harness).await, []);
    let [_, after, left, fees] = harness.balances(&accounts).await;
    assert_eq!((left, fees), (0, 2 * fee));
    assert!(after > old_had + mine_had);

    // The first one leaves the chain: all that it gave returns, from whoever has it now.
    harness.chain_has(100, id(77));
    for tip in [105, 108] {
        harness.tick(tip).await;
    }
    assert_eq!(harness.block(1).await.state, BlockState::Reversed);
    assert_eq!(harness.balances(&accounts).await, [0, after - old_had - mine_had, 0, fee]);
    assert_eq!(harness.balances(&["orphan_loss"]).await, [0]);
    assert_eq!(audit(&harness).await, []);
    harness.chain_has(100, id(1));
    harness.tick(109).await;
    assert_eq!(harness.block(1).await.state, BlockState::Credited);
    assert_eq!(harness.balances(&accounts).await, [0, after, 0, 2 * fee]);
    assert_eq!(audit(&harness).await, []);
}
